//! How a track's samples stand in its PES packets, and what the PMT says of it.
//!
//! Comes in: a track's id and parameters. Goes out: PID, stream type, descriptors, and what is put before each
//! sample. Never: looks at samples.

use super::MuxError;
use crate::container::cmaf::{AdtsFormat, adts_format, annex_b_sets};
use crate::media::track::TrackParams;
use crate::media::{Codec, Sample, TrackId, TrackKind};

/// ADTS header without CRC.
pub(super) const ADTS_HEADER_BYTES: usize = 7;
/// aac_frame_length has 13 bits.
const MAX_ADTS_FRAME_BYTES: u32 = 0x1fff;

/// Access unit delimiters that allow all kinds of slices, with start code.
const H264_DELIMITER: &[u8] = &[0, 0, 0, 1, 0x09, 0xf0];
const H265_DELIMITER: &[u8] = &[0, 0, 0, 1, 0x46, 0x01, 0x50];

/// How samples become payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// As they are stored.
    Plain,
    /// Each behind an ADTS header.
    Adts(AdtsFormat),
    /// Length-prefixed NAL units to Annex B: a delimiter, the parameter sets, then the units. The sets stand at sync
    /// samples and at the first of a segment, which is cut there where they changed in between.
    Nal { hevc: bool, sets: Vec<u8> },
}

/// An elementary stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Elementary {
    pub track: TrackId,
    pub pid: u16,
    pub stream_type: u8,
    /// stream_id of its PES packets (2.4.3.7).
    pub stream_id: u8,
    /// Of the PMT.
    pub descriptors: Vec<u8>,
    pub form: Form,
}

/// PID of a track: v1 is 0x100, a1 is 0x110; those without a place there go on elsewhere. No two share one.
fn pid_of(track: TrackId) -> u16 {
    let place = u16::from(track.number.wrapping_sub(1));
    match track.kind {
        TrackKind::Video if place < 16 => 0x100 + place,
        TrackKind::Video => 0x300 + place,
        TrackKind::Audio => 0x110 + place,
    }
}

impl Elementary {
    pub fn of(track: TrackId, params: &TrackParams) -> Result<Self, MuxError> {
        let unfit = |error| MuxError::Entry(track, error);
        let nal = |codec| {
            let sets = annex_b_sets(codec, &params.sample_entry).map_err(unfit)?;
            Ok(Form::Nal { hevc: codec == Codec::H265, sets })
        };
        let (stream_type, stream_id, registration, form) = match params.codec {
            Codec::H264 => (0x1b, 0xe0, None, nal(Codec::H264)?),
            Codec::H265 => (0x24, 0xe0, Some(b"HEVC"), nal(Codec::H265)?),
            // MPEG-1 video, by its object type.
            Codec::Mpeg2Video if params.codec_string.ends_with(".6A") => (0x01, 0xe0, None, Form::Plain),
            Codec::Mpeg2Video => (0x02, 0xe0, None, Form::Plain),
            Codec::Aac => (0x0f, 0xc0, None, Form::Adts(adts_format(&params.sample_entry).map_err(unfit)?)),
            // ISO/IEC 13818-3 has the low sample rates.
            Codec::MpegAudio if params.audio.is_some_and(|a| a.sample_rate < 32_000) => (0x04, 0xc0, None, Form::Plain),
            Codec::MpegAudio => (0x03, 0xc0, None, Form::Plain),
            // ATSC A/52 annexes A and G; in DVB the registration alone tells.
            Codec::Ac3 => (0x81, 0xbd, Some(b"AC-3"), Form::Plain),
            Codec::Eac3 => (0x87, 0xbd, Some(b"EAC3"), Form::Plain),
        };
        let mut descriptors = Vec::new();
        if let Some(format) = registration {
            descriptors.extend_from_slice(&[0x05, 4]);
            descriptors.extend_from_slice(format);
        }
        if let Some(language) = params.language.as_deref().filter(|l| l.len() == 3 && l.is_ascii()) {
            descriptors.extend_from_slice(&[0x0a, 4]);
            descriptors.extend_from_slice(language.as_bytes());
            descriptors.push(0);
        }
        Ok(Self { track, pid: pid_of(track), stream_type, stream_id, descriptors, form })
    }

    pub fn is_video(&self) -> bool {
        self.track.kind == TrackKind::Video
    }

    /// Bytes of a sample in its PES packet; `first` of the segment.
    pub fn payload_bytes(&self, sample: &Sample, first: bool) -> Result<u64, MuxError> {
        let more = match &self.form {
            Form::Plain => 0,
            Form::Adts(_) if sample.size > MAX_ADTS_FRAME_BYTES - ADTS_HEADER_BYTES as u32 => {
                return Err(MuxError::FrameTooLong(self.track));
            }
            Form::Adts(_) => ADTS_HEADER_BYTES,
            Form::Nal { hevc, sets } => delimiter(*hevc).len() + if sample.sync || first { sets.len() } else { 0 },
        };
        Ok(u64::from(sample.size) + more as u64)
    }
}

/// The access unit delimiter of H.265 or H.264.
pub(super) const fn delimiter(hevc: bool) -> &'static [u8] {
    if hevc { H265_DELIMITER } else { H264_DELIMITER }
}

/// Whether a NAL unit that begins so is an access unit delimiter.
pub(super) const fn is_delimiter(hevc: bool, first: u8) -> bool {
    if hevc { first >> 1 & 0x3f == 35 } else { first & 0x1f == 9 }
}

/// The ADTS header of a frame of `bytes`, header included (ISO/IEC 14496-3 1.A.2.2): MPEG-4, no CRC, one block.
pub(super) const fn adts_header(format: AdtsFormat, bytes: u32) -> [u8; ADTS_HEADER_BYTES] {
    let AdtsFormat { profile, rate_index, channel_configuration } = format;
    [
        0xff,
        0xf1,
        profile << 6 | rate_index << 2 | channel_configuration >> 2,
        (channel_configuration & 3) << 6 | (bytes >> 11 & 3) as u8,
        (bytes >> 3) as u8,
        ((bytes & 7) << 5) as u8 | 0x1f,
        0xfc,
    ]
}
