//! Sample entries (8.5.2): what one says about its track.
//!
//! Comes in: one whole sample entry box, from an init segment of ours or of anyone. Goes out: codec, RFC 6381
//! string, picture size or sound format, with the entry kept byte for byte. Never: changes the entry.

use super::CmafError;
use super::boxes::{BoxRef, Boxes, Cursor, Kind};
use crate::media::Codec;
use crate::media::track::{AudioParams, TrackParams, VideoParams};

/// Longest sample entry that is taken, in bytes: parameter sets take a few hundred.
pub(super) const MAX_ENTRY_BYTES: usize = 65_536;

/// Fixed part of a visual sample entry with its box header (12.1.3).
pub(super) const VISUAL_BYTES: usize = 86;
/// Fixed part of an audio sample entry with its box header (12.2.3).
const AUDIO_BYTES: usize = 36;

/// Reads the parameters of a track from its sample entry: `avc1`/`avc3`, `hvc1`/`hev1` (ISO/IEC 14496-15),
/// `mp4v`, `mp4a` (ISO/IEC 14496-14), `ac-3`, `ec-3` (ETSI TS 102 366 annex F). `language` is passed on.
///
/// # Errors
/// [`CmafError::Unsupported`] names what is not carried, encrypted entries too; [`CmafError::Damaged`] when the
/// entry contradicts itself.
pub fn params_from_sample_entry(entry: &[u8], language: Option<String>) -> Result<TrackParams, CmafError> {
    if entry.len() > MAX_ENTRY_BYTES {
        return Err(CmafError::Damaged("a sample entry is larger than any real one"));
    }
    let outer = Boxes::children(entry).next().ok_or(CmafError::Damaged("an empty sample entry"))??;
    if outer.whole.len() != entry.len() {
        return Err(CmafError::Damaged("bytes after a sample entry"));
    }
    let found = match &outer.kind {
        b"avc1" | b"avc3" => avc(&outer)?,
        b"hvc1" | b"hev1" => hevc(&outer)?,
        b"mp4v" => mpeg_video(&outer)?,
        b"mp4a" => mpeg_audio(&outer)?,
        b"ac-3" => ac3(&outer)?,
        b"ec-3" => eac3(&outer)?,
        other => return Err(CmafError::Unsupported(name_of(other))),
    };
    Ok(TrackParams {
        codec: found.codec,
        codec_string: found.codec_string,
        language,
        video: found.video,
        audio: found.audio,
        sample_entry: entry.to_vec(),
    })
}

struct Found {
    codec: Codec,
    codec_string: String,
    video: Option<VideoParams>,
    audio: Option<AudioParams>,
}

/// What a sample entry is, in words for an operator.
fn name_of(kind: &Kind) -> String {
    match kind {
        b"encv" => "encrypted video".into(),
        b"enca" => "encrypted audio".into(),
        b"enct" | b"encs" => "encrypted data".into(),
        b"wvtt" => "WebVTT subtitles".into(),
        b"stpp" => "TTML subtitles".into(),
        b"tx3g" => "timed text subtitles".into(),
        b"Opus" => "Opus audio".into(),
        b"fLaC" => "FLAC audio".into(),
        b"alac" => "ALAC audio".into(),
        b"ac-4" => "AC-4 audio".into(),
        b"mhm1" | b"mha1" | b"mhm2" | b"mha2" => "MPEG-H audio".into(),
        b"dtsc" | b"dtsh" | b"dtsl" | b"dtse" | b"dtsx" => "DTS audio".into(),
        b"av01" => "AV1 video".into(),
        b"vp08" | b"vp09" => "VP8 or VP9 video".into(),
        b"vvc1" | b"vvi1" => "H.266 video".into(),
        b"dvh1" | b"dvhe" | b"dva1" | b"dvav" | b"dav1" => "Dolby Vision video".into(),
        other => format!("sample entry {:?}", String::from_utf8_lossy(other).escape_default().to_string()),
    }
}

/// The configuration box of `kind` among the children that follow `fixed` bytes.
fn config<'a>(entry: &BoxRef<'a>, fixed: usize, kind: &Kind) -> Result<Option<&'a [u8]>, CmafError> {
    let children = entry.whole.get(fixed..).ok_or(CmafError::Damaged("a sample entry ends early"))?;
    Ok(super::boxes::child(children, kind)?.map(|b| b.body))
}

pub(super) fn need_config<'a>(entry: &BoxRef<'a>, fixed: usize, kind: &Kind) -> Result<&'a [u8], CmafError> {
    config(entry, fixed, kind)?.ok_or(CmafError::Damaged("a sample entry without its configuration"))
}

fn picture(entry: &BoxRef<'_>) -> Result<VideoParams, CmafError> {
    let mut cursor = Cursor(entry.body);
    cursor.take(24)?;
    let (width, height) = (u32::from(cursor.u16()?), u32::from(cursor.u16()?));
    if width == 0 || height == 0 {
        return Err(CmafError::Damaged("a picture without size"));
    }
    Ok(VideoParams { width, height })
}

/// Width and height in 16.16 pixels as they are shown, pixel aspect ratio applied (8.3.2, 12.1.4).
pub(super) fn shown_size(video: VideoParams, entry: &[u8]) -> (u32, u32) {
    let ratio = entry.get(VISUAL_BYTES..).and_then(|children| {
        let pasp = super::boxes::child(children, b"pasp").ok()??;
        let mut cursor = Cursor(pasp.body);
        Some((u64::from(cursor.u32().ok()?), u64::from(cursor.u32().ok()?)))
    });
    let (horizontal, vertical) = ratio.filter(|&(h, v)| h > 0 && v > 0).unwrap_or((1, 1));
    let width = (u128::from(video.width) << 16) * u128::from(horizontal) / u128::from(vertical);
    let height = u64::from(video.height) << 16;
    (u32::try_from(width).unwrap_or(u32::MAX), u32::try_from(height).unwrap_or(u32::MAX))
}

fn video(codec: Codec, codec_string: String, size: VideoParams) -> Found {
    Found { codec, codec_string, video: Some(size), audio: None }
}

/// ISO/IEC 14496-15 5.3.3 (`avcC`), RFC 6381 3.3.
fn avc(entry: &BoxRef<'_>) -> Result<Found, CmafError> {
    let mut cursor = Cursor(need_config(entry, VISUAL_BYTES, b"avcC")?);
    let [version, profile, compatibility, level, lengths] = cursor.array()?;
    if version != 1 {
        return Err(CmafError::Unsupported("H.264 of an unknown configuration version".into()));
    }
    four_byte_lengths("H.264", lengths)?;
    let name = String::from_utf8_lossy(&entry.kind);
    let codec_string = format!("{name}.{profile:02X}{compatibility:02X}{level:02X}");
    Ok(video(Codec::H264, codec_string, picture(entry)?))
}

/// Samples are stored with 4-byte NAL unit lengths, and foreign ones are never rewritten.
fn four_byte_lengths(what: &str, field: u8) -> Result<(), CmafError> {
    match field & 3 {
        3 => Ok(()),
        n => Err(CmafError::Unsupported(format!("{what} with NAL unit lengths of {} bytes", n + 1))),
    }
}

/// ISO/IEC 14496-15 8.3.3 (`hvcC`) and annex E (the string).
fn hevc(entry: &BoxRef<'_>) -> Result<Found, CmafError> {
    let mut cursor = Cursor(need_config(entry, VISUAL_BYTES, b"hvcC")?);
    let [_version, profile] = cursor.array()?;
    let compatibility = cursor.u32()?;
    let constraints: [u8; 6] = cursor.array()?;
    let level = cursor.u8()?;
    cursor.take(8)?;
    four_byte_lengths("H.265", cursor.u8()?)?;
    let name = String::from_utf8_lossy(&entry.kind);
    let space = ["", "A", "B", "C"].get(usize::from(profile >> 6)).copied().unwrap_or_default();
    let tier = if profile & 0x20 == 0 { 'L' } else { 'H' };
    let mut codec_string = format!("{name}.{space}{}.{:X}.{tier}{level}", profile & 0x1f, compatibility.reverse_bits());
    let used = constraints.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
    for byte in constraints.iter().take(used) {
        codec_string.push_str(&format!(".{byte:X}"));
    }
    Ok(video(Codec::H265, codec_string, picture(entry)?))
}

/// Object types: ISO/IEC 14496-1 7.2.6.6.2.
fn mpeg_video(entry: &BoxRef<'_>) -> Result<Found, CmafError> {
    let (object_type, _) = decoder_config(need_config(entry, VISUAL_BYTES, b"esds")?)?;
    match object_type {
        0x60..=0x65 | 0x6a => Ok(video(Codec::Mpeg2Video, format!("mp4v.{object_type:02X}"), picture(entry)?)),
        0x20 => Err(CmafError::Unsupported("MPEG-4 part 2 video".into())),
        other => Err(CmafError::Unsupported(format!("video of object type {other:#04x}"))),
    }
}

/// `ESDescriptor` of an `esds` box (ISO/IEC 14496-14 5.6): object type and decoder specific info.
pub(super) fn decoder_config(esds: &[u8]) -> Result<(u8, &[u8]), CmafError> {
    let mut outer = Cursor(esds);
    outer.u32()?;
    let mut es = Cursor(descriptor(&mut outer, 0x03)?);
    es.u16()?;
    let flags = es.u8()?;
    if flags & 0x80 != 0 {
        es.u16()?;
    }
    if flags & 0x40 != 0 {
        let url = es.u8()?;
        es.take(usize::from(url))?;
    }
    if flags & 0x20 != 0 {
        es.u16()?;
    }
    let mut decoder = Cursor(descriptor(&mut es, 0x04)?);
    let object_type = decoder.u8()?;
    decoder.take(12)?;
    let specific = if decoder.0.is_empty() { &[] } else { descriptor(&mut decoder, 0x05)? };
    Ok((object_type, specific))
}

/// One descriptor with its expandable size (ISO/IEC 14496-1 8.3.3).
fn descriptor<'a>(cursor: &mut Cursor<'a>, tag: u8) -> Result<&'a [u8], CmafError> {
    if cursor.u8()? != tag {
        return Err(CmafError::Damaged("an unexpected descriptor in esds"));
    }
    let mut size = 0usize;
    for _ in 0..4 {
        let byte = cursor.u8()?;
        size = size << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return cursor.take(size);
        }
    }
    Err(CmafError::Damaged("a descriptor size in esds"))
}

/// Channel count and sample rate of an audio sample entry (12.2.3), as they stand there.
fn sound(entry: &BoxRef<'_>) -> Result<(u16, AudioParams), CmafError> {
    let mut cursor = Cursor(entry.body);
    cursor.take(8)?;
    let version = cursor.u16()?;
    cursor.take(6)?;
    let channels = cursor.u16()?;
    cursor.take(6)?;
    Ok((version, AudioParams { sample_rate: cursor.u32()? >> 16, channels }))
}

fn audio(codec: Codec, codec_string: String, params: AudioParams) -> Result<Found, CmafError> {
    if params.sample_rate == 0 || params.channels == 0 {
        return Err(CmafError::Damaged("sound without sample rate or channels"));
    }
    Ok(Found { codec, codec_string, video: None, audio: Some(params) })
}

/// Body of the `esds` of an `mp4a`.
pub(super) fn audio_esds<'a>(entry: &BoxRef<'a>) -> Result<&'a [u8], CmafError> {
    let (version, _) = sound(entry)?;
    // QuickTime's version 1 has 16 bytes more; ISO's version 1 (12.2.3) has not.
    match config(entry, AUDIO_BYTES, b"esds") {
        Ok(Some(esds)) => Ok(esds),
        _ if version == 1 => need_config(entry, AUDIO_BYTES + 16, b"esds"),
        Ok(None) => Err(CmafError::Damaged("a sample entry without its configuration")),
        Err(error) => Err(error),
    }
}

fn mpeg_audio(entry: &BoxRef<'_>) -> Result<Found, CmafError> {
    let (_, stated) = sound(entry)?;
    let esds = audio_esds(entry)?;
    let (object_type, specific) = decoder_config(esds)?;
    match object_type {
        0x40 => {
            let (mpeg4_type, params) = audio_specific_config(specific, stated)?;
            let codec = if (32..=34).contains(&mpeg4_type) { Codec::MpegAudio } else { Codec::Aac };
            audio(codec, format!("mp4a.40.{mpeg4_type}"), params)
        }
        0x66..=0x68 => {
            let (_, params) = audio_specific_config(specific, stated)?;
            audio(Codec::Aac, format!("mp4a.{object_type:02X}"), params)
        }
        0x69 | 0x6b => audio(Codec::MpegAudio, format!("mp4a.{object_type:02X}"), stated),
        other => Err(CmafError::Unsupported(format!("audio of object type {other:#04x}"))),
    }
}

/// Reads bits, most significant first.
pub(super) struct Bits<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
}

impl Bits<'_> {
    pub fn get(&mut self, count: usize) -> Result<u32, CmafError> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8).ok_or(CmafError::Damaged("an audio configuration ends early"))?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Ok(value)
    }
}

/// Sample rates by `samplingFrequencyIndex` (ISO/IEC 14496-3 table 1.18).
pub(super) const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// `AudioSpecificConfig` (ISO/IEC 14496-3 1.6.2.1): object type and what is heard.
fn audio_specific_config(bytes: &[u8], stated: AudioParams) -> Result<(u32, AudioParams), CmafError> {
    let mut bits = Bits { bytes, at: 0 };
    let rate = |bits: &mut Bits<'_>| match bits.get(4)? {
        15 => bits.get(24),
        index => RATES.get(index as usize).copied().ok_or(CmafError::Damaged("a sample rate index of AAC")),
    };
    let object_type = match bits.get(5)? {
        31 => 32 + bits.get(6)?,
        other => other,
    };
    let core_rate = rate(&mut bits)?;
    let configuration = bits.get(4)?;
    // Main, LC, SSR, LTP; 5 and 29 are LC with SBR and with SBR and parametric stereo, said in front; 32 to 34
    // are MPEG audio of layers I to III.
    let sample_rate = match object_type {
        1..=4 | 32..=34 => core_rate,
        5 | 29 => rate(&mut bits)?,
        other => return Err(CmafError::Unsupported(format!("MPEG-4 audio object type {other}"))),
    };
    let channels = match configuration {
        0 => stated.channels,
        1 if object_type == 29 => 2,
        n @ 1..=6 => n as u16,
        7 | 12 | 14 => 8,
        11 => 7,
        13 => 24,
        _ => return Err(CmafError::Damaged("a channel configuration of AAC")),
    };
    Ok((object_type, AudioParams { sample_rate, channels }))
}

/// `fscod` and `acmod` with `lfeon` (ETSI TS 102 366 4.4.1.3, 4.4.2.3).
fn dolby(fscod: u32, acmod: u32, lfe: u32) -> Result<AudioParams, CmafError> {
    let sample_rate = match fscod {
        0 => 48_000,
        1 => 44_100,
        2 => 32_000,
        _ => 0,
    };
    let full = [2u16, 1, 2, 3, 3, 4, 4, 5].get(acmod as usize).copied();
    let full = full.ok_or(CmafError::Damaged("an audio coding mode"))?;
    Ok(AudioParams { sample_rate, channels: full + lfe as u16 })
}

/// ETSI TS 102 366 F.4.
fn ac3(entry: &BoxRef<'_>) -> Result<Found, CmafError> {
    let mut bits = Bits { bytes: need_config(entry, AUDIO_BYTES, b"dac3")?, at: 0 };
    let fscod = bits.get(2)?;
    bits.get(8)?; // bsid, bsmod
    let (acmod, lfe) = (bits.get(3)?, bits.get(1)?);
    audio(Codec::Ac3, "ac-3".into(), dolby(fscod, acmod, lfe)?)
}

/// ETSI TS 102 366 F.6; the first independent substream and what depends on it.
fn eac3(entry: &BoxRef<'_>) -> Result<Found, CmafError> {
    let (_, stated) = sound(entry)?;
    let mut bits = Bits { bytes: need_config(entry, AUDIO_BYTES, b"dec3")?, at: 0 };
    bits.get(13 + 3)?; // data_rate, num_ind_sub
    let fscod = bits.get(2)?;
    bits.get(5 + 1 + 1 + 3)?; // bsid, reserved, asvc, bsmod
    let (acmod, lfe) = (bits.get(3)?, bits.get(1)?);
    bits.get(3)?;
    let mut params = dolby(fscod, acmod, lfe)?;
    if bits.get(4)? > 0 {
        // chan_loc: Lc/Rc, Lrs/Rrs, Cs, Ts, Lsd/Rsd, Lw/Rw, Lvh/Rvh, Cvh, LFE2, from the lowest bit.
        let chan_loc = bits.get(9)?;
        params.channels += (chan_loc.count_ones() + (chan_loc & 0b0_0111_0011).count_ones()) as u16;
    }
    if params.sample_rate == 0 {
        // Reduced rates (fscod 3) stand in the sample entry only.
        params.sample_rate = stated.sample_rate;
    }
    audio(Codec::Eac3, "ec-3".into(), params)
}
