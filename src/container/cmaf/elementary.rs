//! Sample entries as elementary streams want them: parameter sets as Annex B, AudioSpecificConfig as ADTS.
//!
//! Comes in: one whole sample entry box. Goes out: what must stand before samples outside of MP4. Never: looks at
//! samples.

use super::CmafError;
use super::boxes::{BoxRef, Boxes, Cursor};
use super::entry::{Bits, RATES, VISUAL_BYTES, audio_esds, decoder_config, need_config};
use crate::media::Codec;

/// What each NAL unit begins with in Annex B (ISO/IEC 14496-10 B.1, ISO/IEC 23008-2 B.2).
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// What an ADTS header says of every frame (ISO/IEC 14496-3 1.A.2.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AdtsFormat {
    /// Audio object type minus 1, 2 bits.
    pub profile: u8,
    /// `sampling_frequency_index`, 4 bits.
    pub rate_index: u8,
    /// 3 bits; 0 when the frames say it themselves.
    pub channel_configuration: u8,
}

fn outer(entry: &[u8]) -> Result<BoxRef<'_>, CmafError> {
    Boxes::children(entry).next().ok_or(CmafError::Damaged("an empty sample entry"))?
}

/// All parameter sets of an H.264 or H.265 sample entry with start codes, in the order in which decoders need them.
///
/// # Errors
/// [`CmafError::Damaged`] when the entry has no readable configuration.
pub(crate) fn annex_b_sets(codec: Codec, entry: &[u8]) -> Result<Vec<u8>, CmafError> {
    let entry = outer(entry)?;
    let mut out = Vec::new();
    if codec == Codec::H264 {
        // ISO/IEC 14496-15 5.3.3.1.
        let mut cursor = Cursor(need_config(&entry, VISUAL_BYTES, b"avcC")?);
        cursor.take(5)?;
        for mask in [0x1f, 0xff] {
            for _ in 0..cursor.u8()? & mask {
                put_set(&mut cursor, &mut out)?;
            }
        }
        return Ok(out);
    }
    // 8.3.3.1.
    let mut cursor = Cursor(need_config(&entry, VISUAL_BYTES, b"hvcC")?);
    cursor.take(22)?;
    let arrays = cursor.u8()?;
    for wanted in [32, 33, 34] {
        let mut cursor = cursor;
        for _ in 0..arrays {
            let kind = cursor.u8()? & 0x3f;
            for _ in 0..cursor.u16()? {
                if kind == wanted {
                    put_set(&mut cursor, &mut out)?;
                } else {
                    let length = cursor.u16()?;
                    cursor.take(usize::from(length))?;
                }
            }
        }
    }
    Ok(out)
}

fn put_set(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), CmafError> {
    let length = cursor.u16()?;
    let set = cursor.take(usize::from(length))?;
    if !set.is_empty() {
        out.extend_from_slice(&START_CODE);
        out.extend_from_slice(set);
    }
    Ok(())
}

/// What the ADTS headers of an AAC track say.
///
/// # Errors
/// [`CmafError::Damaged`] when the entry has no readable configuration, [`CmafError::Unsupported`] when ADTS cannot
/// say it.
pub(crate) fn adts_format(entry: &[u8]) -> Result<AdtsFormat, CmafError> {
    let (_, specific) = decoder_config(audio_esds(&outer(entry)?)?)?;
    let mut bits = Bits { bytes: specific, at: 0 };
    let rate_index = |bits: &mut Bits<'_>| match bits.get(4)? {
        15 => {
            let rate = bits.get(24)?;
            RATES.iter().position(|&r| r == rate).ok_or_else(|| CmafError::Unsupported(format!("ADTS at {rate} Hz")))
        }
        index => Ok(index as usize),
    };
    let mut object_type = bits.get(5)?;
    let core_rate = rate_index(&mut bits)?;
    let channel_configuration = bits.get(4)?;
    if matches!(object_type, 5 | 29) {
        // SBR said in front: the frames are those of the core.
        rate_index(&mut bits)?;
        object_type = bits.get(5)?;
    }
    if !(1..=4).contains(&object_type) || channel_configuration > 7 || core_rate >= RATES.len() {
        return Err(CmafError::Unsupported(format!(
            "ADTS of object type {object_type}, channel configuration {channel_configuration}"
        )));
    }
    Ok(AdtsFormat {
        profile: (object_type - 1) as u8,
        rate_index: core_rate as u8,
        channel_configuration: channel_configuration as u8,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn sets_come_with_start_codes() {
        let entry = testing::h264().sample_entry;
        let sets = annex_b_sets(Codec::H264, &entry).unwrap();
        assert_eq!(sets, [0, 0, 0, 1, 0x67, 0x64, 0, 0, 0, 1, 0x68]);
    }

    #[test]
    fn hevc_sets_come_in_the_order_of_decoding() {
        let mut hvcc = testing::hvcc(1, 0x6000_0000, [0x90, 0, 0, 0, 0, 0], 93);
        *hvcc.last_mut().unwrap() = 3;
        for (kind, byte) in [(34u8, 0xcc), (32, 0xaa), (33, 0xbb)] {
            hvcc.extend([0x80 | kind, 0, 1, 0, 1, byte]);
        }
        let entry = testing::video_entry(b"hvc1", 16, 16, &[(b"hvcC", &hvcc)]);
        let sets = annex_b_sets(Codec::H265, &entry).unwrap();
        assert_eq!(sets, [0, 0, 0, 1, 0xaa, 0, 0, 0, 1, 0xbb, 0, 0, 0, 1, 0xcc]);
    }

    #[test]
    fn adts_says_what_the_entry_says() {
        let format = |specific: &[u8]| {
            let esds = testing::esds(0x40, 5, specific);
            adts_format(&testing::audio_entry(b"mp4a", 2, 48_000, &[(b"esds", &esds)]))
        };
        let lc = AdtsFormat { profile: 1, rate_index: 3, channel_configuration: 2 };
        assert_eq!(format(&[0x11, 0x90]), Ok(lc));
        // SBR in front: 5, 24 kHz, 2 channels, 48 kHz, LC.
        assert_eq!(format(&[0x2b, 0x11, 0x88, 0x00]), Ok(AdtsFormat { rate_index: 6, ..lc }));
        assert!(format(&[0x11, 0xf0]).is_err());
        assert!(format(&[]).is_err());
    }

    #[test]
    fn damaged_entries_are_refused_or_read() {
        for params in testing::all_params() {
            testing::mutations(&params.sample_entry, 2000, |bytes| {
                let _ = annex_b_sets(params.codec, bytes);
                let _ = adts_format(bytes);
            });
        }
    }
}
