//! AAC in ADTS: one raw data block per sample.
//!
//! Comes in: ADTS frames. Goes out: their raw data blocks, `mp4a` sample entries with AudioSpecificConfig. Never:
//! decodes, looks for implicit SBR (players find it by themselves).

use super::audio::{AudioSyntax, AudioUnit};
use super::bits::{BitReader, BitWriter};
use super::entry::{audio, esds};
use super::frames::FrameFormat;
use crate::media::Ticks;
use crate::media::track::{AudioParams, Codec, TrackParams};
use bytes::Bytes;

/// By `sampling_frequency_index` (ISO/IEC 14496-3 table 1.18).
const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// Samples of a raw data block; ADTS knows no other length.
const FRAME_SAMPLES: u32 = 1024;

/// Fields of an ADTS header (ISO/IEC 14496-3 1.A.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    object_type: u8,
    rate_index: u8,
    channel_configuration: u8,
    header_bytes: usize,
    bytes: usize,
    /// Raw data blocks beyond the first.
    more_blocks: u8,
}

impl Header {
    fn rate(&self) -> u32 {
        RATES.get(usize::from(self.rate_index)).copied().unwrap_or(48_000)
    }
}

/// Frames of ADTS.
pub(super) struct Frames;

impl FrameFormat for Frames {
    type Header = Header;
    const SYNC_BYTE: u8 = 0xff;
    const HEADER_BYTES: usize = 7;

    fn header(bytes: &[u8]) -> Option<Header> {
        let &[0xff, b1, b2, b3, b4, b5, b6, ..] = bytes else { return None };
        // Sync word, layer 0.
        if b1 & 0xf6 != 0xf0 {
            return None;
        }
        let header = Header {
            object_type: (b2 >> 6) + 1,
            rate_index: b2 >> 2 & 15,
            channel_configuration: (b2 & 1) << 2 | b3 >> 6,
            header_bytes: if b1 & 1 == 1 { 7 } else { 9 },
            bytes: usize::from(b3 & 3) << 11 | usize::from(b4) << 3 | usize::from(b5 >> 5),
            more_blocks: b6 & 3,
        };
        (usize::from(header.rate_index) < RATES.len() && header.bytes > header.header_bytes).then_some(header)
    }

    fn frame_bytes(header: &Header) -> usize {
        header.bytes
    }

    fn follows(before: &Header, next: &Header) -> bool {
        (before.object_type, before.rate_index, before.channel_configuration)
            == (next.object_type, next.rate_index, next.channel_configuration)
    }
}

/// A `program_config_element` (ISO/IEC 14496-3 4.4.1.1) as AudioSpecificConfig wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ProgramConfig {
    /// Fields and widths, without the comment.
    fields: Vec<(u32, u32)>,
    channels: u16,
}

impl ProgramConfig {
    /// From a raw data block that begins with one.
    fn find(block: &[u8]) -> Option<Self> {
        let mut r = BitReader::new(block);
        // id_syn_ele ID_PCE.
        if r.bits(3)? != 5 {
            return None;
        }
        let mut fields = Vec::new();
        let mut read = |r: &mut BitReader<'_>, width: u32| {
            let value = r.bits(width)?;
            fields.push((value, width));
            Some(value)
        };
        read(&mut r, 4)?;
        read(&mut r, 2)?;
        read(&mut r, 4)?;
        let mut counts = [0; 6];
        for (count, width) in counts.iter_mut().zip([4, 4, 4, 2, 3, 4]) {
            *count = read(&mut r, width)?;
        }
        for width in [4, 4, 3] {
            if read(&mut r, 1)? == 1 {
                read(&mut r, width)?;
            }
        }
        let [front, side, back, lfe, associated, coupling] = counts;
        let mut channels = lfe;
        for _ in 0..front + side + back {
            channels += 1 + read(&mut r, 1)?;
            read(&mut r, 4)?;
        }
        for _ in 0..lfe + associated {
            read(&mut r, 4)?;
        }
        for _ in 0..coupling {
            read(&mut r, 5)?;
        }
        let channels = u16::try_from(channels).ok().filter(|&channels| channels > 0)?;
        Some(Self { fields, channels })
    }
}

/// Syntax of AAC.
#[derive(Debug, Default)]
pub(super) struct Aac {
    program: Option<ProgramConfig>,
    given: Option<(u8, u8, u8, Option<ProgramConfig>)>,
}

/// AudioSpecificConfig (ISO/IEC 14496-3 1.6.2.1) with GASpecificConfig.
fn specific_config(header: &Header, program: Option<&ProgramConfig>) -> Vec<u8> {
    let mut out = BitWriter::default();
    out.put(header.object_type.into(), 5);
    out.put(header.rate_index.into(), 4);
    out.put(header.channel_configuration.into(), 4);
    // 1024 samples, no core coder, no extension.
    out.put(0, 3);
    if let Some(program) = program {
        for &(value, width) in &program.fields {
            out.put(value, width);
        }
        out.align();
        // No comment.
        out.put(0, 8);
    }
    out.into_bytes()
}

fn params(header: &Header, channels: u16, program: Option<&ProgramConfig>) -> TrackParams {
    let config = esds(0x40, false, &specific_config(header, program));
    TrackParams {
        codec: Codec::Aac,
        codec_string: format!("mp4a.40.{}", header.object_type),
        language: None,
        video: None,
        audio: Some(AudioParams { sample_rate: header.rate(), channels }),
        sample_entry: audio(b"mp4a", channels, header.rate(), &config),
    }
}

impl AudioSyntax for Aac {
    type Format = Frames;

    fn frame(
        &mut self,
        header: Header,
        bytes: &[u8],
        stated: Option<Ticks>,
    ) -> Result<Option<AudioUnit>, &'static str> {
        if header.more_blocks > 0 {
            return Err("ADTS frame of several raw data blocks");
        }
        let block = bytes.get(header.header_bytes..).unwrap_or_default();
        let channels = match header.channel_configuration {
            0 => {
                // The element need not stand in every frame.
                if let Some(found) = ProgramConfig::find(block) {
                    self.program = Some(found);
                }
                self.program.as_ref().ok_or("AAC frame before its program config element")?.channels
            }
            7 => 8,
            count => u16::from(count),
        };
        let program = self.program.as_ref().filter(|_| header.channel_configuration == 0);
        let same = self.given.as_ref().is_some_and(|(object_type, rate, configuration, given)| {
            (*object_type, *rate, *configuration)
                == (header.object_type, header.rate_index, header.channel_configuration)
                && given.as_ref() == program
        });
        let mut changed = None;
        if !same {
            changed = Some(params(&header, channels, program));
            self.given = Some((header.object_type, header.rate_index, header.channel_configuration, program.cloned()));
        }
        Ok(Some(AudioUnit {
            params: changed,
            data: Bytes::copy_from_slice(block),
            samples: FRAME_SAMPLES,
            rate: header.rate(),
            stated,
        }))
    }

    fn close(&mut self) -> Result<Option<AudioUnit>, &'static str> {
        Ok(None)
    }
}
