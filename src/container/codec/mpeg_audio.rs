//! MPEG audio: layers I, II (MP2) and III (MP3), MPEG-1, MPEG-2 and the unofficial MPEG-2.5.
//!
//! Comes in: frames. Goes out: the same frames, `mp4a` sample entries. Never: takes frames of free format.

use super::audio::{AudioSyntax, AudioUnit};
use super::entry::{audio, esds};
use super::frames::FrameFormat;
use crate::media::Ticks;
use crate::media::track::{AudioParams, Codec, TrackParams};
use bytes::Bytes;

/// Fields of a frame header (ISO/IEC 11172-3 2.4.1.3, 13818-3 2.4.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    layer: u8,
    /// MPEG-2 and 2.5: half the rates, half the samples in layer III.
    low_rates: bool,
    rate: u32,
    channels: u16,
    bytes: usize,
}

/// kbit/s by layer (I, II, III), then of the low rates (I; II and III).
const BIT_RATES: [[u16; 14]; 5] = [
    [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

impl Header {
    fn samples(&self) -> u32 {
        match (self.layer, self.low_rates) {
            (1, _) => 384,
            (3, true) => 576,
            _ => 1152,
        }
    }
}

/// Frames of MPEG audio.
pub(super) struct Frames;

impl FrameFormat for Frames {
    type Header = Header;
    const SYNC_BYTE: u8 = 0xff;
    const HEADER_BYTES: usize = 4;

    fn header(bytes: &[u8]) -> Option<Header> {
        let &[0xff, b1, b2, b3, ..] = bytes else { return None };
        let halvings = match b1 >> 3 & 3 {
            _ if b1 & 0xe0 != 0xe0 => return None,
            0 => 2,
            2 => 1,
            3 => 0,
            _ => return None,
        };
        let layer = 4 - (b1 >> 1 & 3);
        let low_rates = halvings > 0;
        let row = match (low_rates, layer) {
            (_, 4) => return None,
            (false, layer) => layer - 1,
            (true, 1) => 3,
            (true, _) => 4,
        };
        // Index 0 is the free format, 15 is forbidden.
        let kilobits = *BIT_RATES.get(usize::from(row))?.get(usize::from(b2 >> 4).checked_sub(1)?)?;
        let rate = *[44_100u32, 48_000, 32_000].get(usize::from(b2 >> 2 & 3))? >> halvings;
        let padding = usize::from(b2 >> 1 & 1);
        let bit_rate = usize::from(kilobits) * 1000;
        let bytes = match (layer, low_rates) {
            (1, _) => (12 * bit_rate / rate as usize + padding) * 4,
            (3, true) => 72 * bit_rate / rate as usize + padding,
            _ => 144 * bit_rate / rate as usize + padding,
        };
        let channels = if b3 >> 6 == 3 { 1 } else { 2 };
        (b3 & 3 != 2).then_some(Header { layer, low_rates, rate, channels, bytes })
    }

    fn frame_bytes(header: &Header) -> usize {
        header.bytes
    }

    fn follows(before: &Header, next: &Header) -> bool {
        (before.layer, before.low_rates, before.rate) == (next.layer, next.low_rates, next.rate)
    }
}

/// Syntax of MPEG audio.
#[derive(Debug, Default)]
pub(super) struct MpegAudio {
    /// Layer, low rates, rate, channels of the last parameters.
    given: Option<(u8, bool, u32, u16)>,
}

fn params(header: &Header) -> TrackParams {
    let object_type = if header.low_rates { 0x69 } else { 0x6b };
    let config = esds(object_type, false, &[]);
    TrackParams {
        codec: Codec::MpegAudio,
        // The entry's object type (6B, 69) does not tell layers apart, so players would take MP2 for MP3. MPEG-4's
        // own numbers of layers I to III do, and are what HLS asks for.
        codec_string: format!("mp4a.40.{}", 31 + u32::from(header.layer)),
        language: None,
        video: None,
        audio: Some(AudioParams { sample_rate: header.rate, channels: header.channels }),
        sample_entry: audio(b"mp4a", header.channels, header.rate, &config),
    }
}

impl AudioSyntax for MpegAudio {
    type Format = Frames;

    fn frame(
        &mut self,
        header: Header,
        bytes: &[u8],
        stated: Option<Ticks>,
    ) -> Result<Option<AudioUnit>, &'static str> {
        let key = Some((header.layer, header.low_rates, header.rate, header.channels));
        let changed = self.given != key;
        self.given = key;
        Ok(Some(AudioUnit {
            params: changed.then(|| params(&header)),
            data: Bytes::copy_from_slice(bytes),
            samples: header.samples(),
            rate: header.rate,
            stated,
        }))
    }

    fn close(&mut self) -> Result<Option<AudioUnit>, &'static str> {
        Ok(None)
    }
}
