//! AC-3 and E-AC-3: one sample is 6 blocks of all substreams of a programme.
//!
//! Comes in: syncframes of either kind, mixed or not. Goes out: access units, `ac-3` and `ec-3` sample entries. Never:
//! reads past the fields that tell frames apart (so `bsmod` of E-AC-3 is said to be 0, and Atmos is not flagged).

use super::audio::{AudioSyntax, AudioUnit};
use super::bits::{BitReader, BitWriter};
use super::entry::{audio, boxed};
use super::frames::FrameFormat;
use crate::media::Ticks;
use crate::media::track::{AudioParams, Codec, TrackParams};
use bytes::Bytes;

/// kbit/s by `frmsizecod / 2` (ETSI TS 102 366 table 4.13).
const BIT_RATES: [usize; 19] = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
const RATES: [u32; 3] = [48_000, 44_100, 32_000];
/// Samples of a block.
const BLOCK_SAMPLES: u32 = 256;
/// Blocks of an access unit (annex F.2).
const UNIT_BLOCKS: u32 = 6;
/// 8 programmes of 9 substreams of a largest frame each, with some air.
const MAX_UNIT_BYTES: usize = 512 << 10;

/// So many access units after a loss must look like those before.
const DOUBTFUL_UNITS: u32 = 8;

/// What kind of frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ac3,
    /// With its substream number.
    Independent(u8),
    Dependent,
}

/// Fields of a syncframe (4.3, 4.4.2, E.1.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    kind: Kind,
    fscod: u8,
    bsid: u8,
    bsmod: u8,
    acmod: u8,
    lfe: bool,
    /// `bit_rate_code` of AC-3.
    rate_code: u8,
    rate: u32,
    blocks: u32,
    bytes: usize,
    /// Of dependent substreams: bit 15 is left, bit 0 the LFE (E.1.3.1.8).
    channel_map: u16,
}

/// Frames of AC-3 and E-AC-3.
pub(super) struct Frames;

impl FrameFormat for Frames {
    type Header = Header;
    const SYNC_BYTE: u8 = 0x0b;
    const HEADER_BYTES: usize = 12;

    fn header(bytes: &[u8]) -> Option<Header> {
        let bytes = bytes.get(..Self::HEADER_BYTES)?;
        if !bytes.starts_with(&[0x0b, 0x77]) {
            return None;
        }
        // Both kinds have it at the same place.
        let bsid = bytes.get(5)? >> 3;
        let mut r = BitReader::new(bytes);
        r.skip(16);
        match bsid {
            0..=10 => read_ac3(&mut r, bsid),
            11..=16 => read_eac3(&mut r, bsid),
            _ => None,
        }
    }

    fn frame_bytes(header: &Header) -> usize {
        header.bytes
    }

    fn follows(before: &Header, next: &Header) -> bool {
        before.rate == next.rate
    }
}

fn read_ac3(r: &mut BitReader<'_>, bsid: u8) -> Option<Header> {
    r.skip(16);
    let fscod = r.bits(2)? as u8;
    let size_code = r.bits(6)? as u8;
    r.skip(5);
    let (bsmod, acmod) = (r.bits(3)? as u8, r.bits(3)? as u8);
    if acmod & 1 == 1 && acmod != 1 {
        r.skip(2);
    }
    if acmod & 4 != 0 {
        r.skip(2);
    }
    if acmod == 2 {
        r.skip(2);
    }
    let lfe = r.flag()?;
    let kilobits = *BIT_RATES.get(usize::from(size_code >> 1))?;
    // 16-bit words of 1536 samples.
    let words = match fscod {
        0 => kilobits * 2,
        1 => kilobits * 96_000 / 44_100 + usize::from(size_code & 1),
        2 => kilobits * 3,
        _ => return None,
    };
    Some(Header {
        kind: Kind::Ac3,
        fscod,
        bsid,
        bsmod,
        acmod,
        lfe,
        rate_code: size_code >> 1,
        rate: RATES.get(usize::from(fscod))? >> bsid.saturating_sub(8),
        blocks: UNIT_BLOCKS,
        bytes: words * 2,
        channel_map: 0,
    })
}

fn read_eac3(r: &mut BitReader<'_>, bsid: u8) -> Option<Header> {
    let (stream_type, substream) = (r.bits(2)?, r.bits(3)? as u8);
    let bytes = (r.bits(11)? as usize + 1) * 2;
    let fscod = r.bits(2)? as u8;
    let code = r.bits(2)? as usize;
    let (rate, blocks) = match fscod {
        3 => (RATES.get(code)? / 2, UNIT_BLOCKS),
        _ => (*RATES.get(usize::from(fscod))?, *[1, 2, 3, UNIT_BLOCKS].get(code)?),
    };
    let (acmod, lfe) = (r.bits(3)? as u8, r.flag()?);
    r.skip(5);
    let kind = match stream_type {
        0 | 2 => Kind::Independent(substream),
        1 => Kind::Dependent,
        _ => return None,
    };
    let mut channel_map = 0;
    if kind == Kind::Dependent {
        for _ in 0..if acmod == 0 { 2 } else { 1 } {
            r.skip(5);
            if r.flag()? {
                r.skip(8);
            }
        }
        if r.flag()? {
            channel_map = r.bits(16)? as u16;
        }
    }
    (bytes >= Frames::HEADER_BYTES).then_some(Header {
        kind,
        fscod,
        bsid,
        bsmod: 0,
        acmod,
        lfe,
        rate_code: 0,
        rate,
        blocks,
        bytes,
        channel_map,
    })
}

/// An independent substream with its dependent ones, as `dec3` says it (annex F.6).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Substream {
    ac3: bool,
    fscod: u8,
    bsid: u8,
    bsmod: u8,
    acmod: u8,
    lfe: bool,
    dependents: u8,
    locations: u16,
}

impl Substream {
    fn of(header: &Header) -> Self {
        Self {
            ac3: header.kind == Kind::Ac3,
            fscod: header.fscod,
            bsid: header.bsid,
            bsmod: header.bsmod,
            acmod: header.acmod,
            lfe: header.lfe,
            dependents: 0,
            locations: 0,
        }
    }

    /// Adds a dependent substream. `chan_loc` counts, from its lowest bit on, the places from Lc/Rc to Cvh, then LFE2.
    fn depend(&mut self, header: &Header) {
        self.dependents = (self.dependents + 1).min(15);
        for place in 0..8 {
            if header.channel_map >> (10 - place) & 1 == 1 {
                self.locations |= 1 << place;
            }
        }
        if header.channel_map & 2 != 0 {
            self.locations |= 1 << 8;
        }
    }

    fn channels(&self) -> u16 {
        let full = [2, 1, 2, 3, 3, 4, 4, 5].get(usize::from(self.acmod)).copied().unwrap_or(2);
        // Lc/Rc, Lrs/Rrs, Lsd/Rsd, Lw/Rw, Lvh/Rvh are pairs.
        let more = self.locations.count_ones() + (self.locations & 0b0_0111_0011).count_ones();
        full + u16::from(self.lfe) + more as u16
    }
}

/// The access unit being gathered.
#[derive(Debug)]
struct Pending {
    data: Vec<u8>,
    /// Of the first independent substream.
    blocks: u32,
    rate: u32,
    rate_code: u8,
    stated: Option<Ticks>,
    substreams: Vec<Substream>,
    /// Frames of the first set of blocks are still coming.
    first_set: bool,
}

/// Syntax of AC-3 and E-AC-3.
#[derive(Debug, Default)]
pub(super) struct Ac3 {
    pending: Option<Pending>,
    given: Option<(u32, Vec<Substream>)>,
    /// Access units to come that may lack frames.
    doubtful_units: u32,
}

impl Ac3 {
    /// Refuses what lacks something against the access unit before, when frames were lost.
    fn check(&mut self, pending: Pending) -> Result<AudioUnit, &'static str> {
        let doubtful = self.doubtful_units > 0;
        self.doubtful_units = self.doubtful_units.saturating_sub(1);
        let other = self.given.as_ref().is_some_and(|(_, given)| *given != pending.substreams);
        if doubtful && (other || pending.blocks < UNIT_BLOCKS) {
            return Err("E-AC-3 access unit cut off");
        }
        Ok(self.finish(pending))
    }

    fn finish(&mut self, pending: Pending) -> AudioUnit {
        let samples = pending.blocks * BLOCK_SAMPLES;
        let same =
            self.given.as_ref().is_some_and(|(rate, given)| *rate == pending.rate && *given == pending.substreams);
        let mut changed = None;
        if !same {
            changed = Some(params(&pending, samples));
            self.given = Some((pending.rate, pending.substreams));
        }
        AudioUnit {
            params: changed,
            data: Bytes::from(pending.data),
            samples,
            rate: pending.rate,
            stated: pending.stated,
        }
    }
}

fn params(pending: &Pending, samples: u32) -> TrackParams {
    let first = pending.substreams.first();
    let channels = first.map_or(2, Substream::channels);
    let plain = first.filter(|first| first.ac3 && first.dependents == 0 && pending.substreams.len() == 1);
    let (codec, name, config) = match plain {
        Some(only) => (Codec::Ac3, b"ac-3", dac3(only, pending.rate_code)),
        None => (Codec::Eac3, b"ec-3", dec3(pending, samples)),
    };
    TrackParams {
        codec,
        codec_string: String::from_utf8_lossy(name).into_owned(),
        language: None,
        video: None,
        audio: Some(AudioParams { sample_rate: pending.rate, channels }),
        sample_entry: audio(name, channels, pending.rate, &config),
    }
}

/// `AC3SpecificBox` (F.4).
fn dac3(stream: &Substream, rate_code: u8) -> Vec<u8> {
    let mut out = BitWriter::default();
    out.put(stream.fscod.into(), 2);
    out.put(stream.bsid.into(), 5);
    out.put(stream.bsmod.into(), 3);
    out.put(stream.acmod.into(), 3);
    out.put(stream.lfe.into(), 1);
    out.put(rate_code.into(), 5);
    out.put(0, 5);
    boxed(b"dac3", &out.into_bytes())
}

/// `EC3SpecificBox` (F.6), with the data rate of this access unit.
fn dec3(pending: &Pending, samples: u32) -> Vec<u8> {
    let kilobits = pending.data.len() as u64 * 8 * u64::from(pending.rate) / (u64::from(samples.max(1)) * 1000);
    let mut out = BitWriter::default();
    out.put(kilobits.min(0x1fff) as u32, 13);
    out.put(pending.substreams.len().saturating_sub(1) as u32, 3);
    for stream in &pending.substreams {
        out.put(stream.fscod.into(), 2);
        out.put(stream.bsid.into(), 5);
        out.put(0, 2);
        out.put(stream.bsmod.into(), 3);
        out.put(stream.acmod.into(), 3);
        out.put(stream.lfe.into(), 1);
        out.put(0, 3);
        out.put(stream.dependents.into(), 4);
        if stream.dependents > 0 {
            out.put(stream.locations.into(), 9);
        } else {
            out.put(0, 1);
        }
    }
    boxed(b"dec3", &out.into_bytes())
}

impl AudioSyntax for Ac3 {
    type Format = Frames;

    fn frame(
        &mut self,
        header: Header,
        bytes: &[u8],
        stated: Option<Ticks>,
    ) -> Result<Option<AudioUnit>, &'static str> {
        let mut whole = None;
        if matches!(header.kind, Kind::Ac3 | Kind::Independent(0)) {
            let over = |pending: &Pending| pending.blocks + header.blocks > UNIT_BLOCKS || pending.rate != header.rate;
            match &mut self.pending {
                Some(pending) if !over(pending) => {
                    pending.blocks += header.blocks;
                    pending.first_set = false;
                }
                _ => {
                    whole = self.pending.take();
                    self.pending = Some(Pending {
                        data: Vec::with_capacity(bytes.len()),
                        blocks: header.blocks,
                        rate: header.rate,
                        rate_code: header.rate_code,
                        stated,
                        substreams: vec![Substream::of(&header)],
                        first_set: true,
                    });
                }
            }
        } else if let Some(pending) = self.pending.as_mut().filter(|pending| pending.first_set) {
            if header.kind != Kind::Dependent {
                if pending.substreams.len() < 8 {
                    pending.substreams.push(Substream::of(&header));
                }
            } else if let Some(last) = pending.substreams.last_mut() {
                last.depend(&header);
            }
        }
        let whole = whole.map(|pending| self.check(pending));
        let Some(pending) = &mut self.pending else { return Err("substream without its independent one") };
        if pending.data.len() + bytes.len() > MAX_UNIT_BYTES {
            self.pending = None;
            return Err("E-AC-3 access unit too large");
        }
        pending.data.extend_from_slice(bytes);
        whole.transpose()
    }

    fn close(&mut self) -> Result<Option<AudioUnit>, &'static str> {
        let Some(pending) = self.pending.take() else { return Ok(None) };
        self.doubtful_units = 1;
        self.check(pending).map(Some)
    }

    fn doubt(&mut self) {
        self.doubtful_units = DOUBTFUL_UNITS;
    }
}
