//! The layout of a TS segment: which PES packets there are, in how many packets each, in which order.
//!
//! Comes in: tables. Goes out: all that the length and the order of the output depend on. Never: sees payload.

use super::elementary::Elementary;
use super::tables::{self, Table};
use super::{MuxError, MuxShape};
use crate::container::mpegts::packet::PACKET_BYTES;

/// Payload of a packet without adaptation field.
pub(super) const ROOM: usize = 184;
/// Packets with payload of each PID are a multiple of this: continuity_counter has 4 bits.
const COUNTERS: u32 = 16;
/// What the PCR is behind the DTS: 0.7 s, the time that a decoder has for a picture's bytes.
pub(super) const PCR_DELAY: i64 = 63_000;
/// A DTS is moved back by this at most, so that the PCR stays before it.
const MAX_MOVED: i64 = 54_000;
/// PCRs are at most this far apart: 90 ms, where 100 are allowed (2.7.2).
const PCR_EVERY: i64 = 8100;
/// PAT and PMT come at least this often: 500 ms.
const TABLES_EVERY: i64 = 45_000;
/// Audio frames of up to this long share a PES packet: 90 ms.
const GROUP_TICKS: i64 = 8100;
/// PES_packet_length has 16 bits and counts at most 30 bytes of header.
const GROUP_BYTES: u64 = 65_000;
/// From the first sample to the last: five times the longest segment.
const MAX_SPAN: i64 = 600 * 90_000;
/// What a last sample's duration counts.
const MAX_TAIL: i64 = 10 * 90_000;
/// As in segment objects.
const MAX_SAMPLES: usize = 1 << 20;
const MAX_BYTES: u64 = 1 << 30;
const MAX_TICKS: i64 = 1 << 59;
/// Adaptation fields, with their length byte: one with flags alone, and one with a PCR.
const FLAGS_BYTES: u8 = 2;
const PCR_BYTES: u8 = 8;

/// One PES packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unit {
    /// Number of its first sample.
    pub first: u32,
    pub count: u32,
    /// Header and payload.
    pub bytes: u32,
    pub packets: u32,
    /// Bytes of the first packet's adaptation field, 0 for none.
    pub field: u8,
    /// Stuffing bytes in the PES header.
    pub stuffing: u8,
    /// As the table says; orders the units.
    pub time: i64,
    /// As it is written.
    pub dts: i64,
    pub pts: i64,
    /// A random access point.
    pub sync: bool,
}

impl Unit {
    /// Whether the first packet has the PCR.
    pub fn has_pcr(&self) -> bool {
        self.field == PCR_BYTES
    }

    /// Bytes of PTS, DTS and stuffing (PES_header_data_length).
    pub fn header_data_bytes(&self) -> u8 {
        self.stuffing + if self.dts == self.pts { 5 } else { 10 }
    }

    fn header_bytes(&self) -> u32 {
        9 + u32::from(self.header_data_bytes())
    }

    fn fill_packets(&mut self) {
        let after_first = self.bytes.saturating_sub((ROOM - usize::from(self.field)) as u32);
        self.packets = 1 + after_first.div_ceil(ROOM as u32);
    }
}

/// What comes next in the output.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    /// PAT and PMT.
    Tables,
    /// A packet with a PCR and nothing else.
    Pcr,
    /// A unit of a stream.
    Unit { stream: u16, unit: u32 },
}

/// A TS segment without its payload.
pub(super) struct Layout {
    /// In the order in which the tracks were given.
    pub streams: Vec<Elementary>,
    pub units: Vec<Vec<Unit>>,
    /// By time.
    pub events: Vec<(i64, What)>,
    /// Index of the stream with the PCR.
    pub pcr_stream: usize,
    pub pat: Table,
    pub pmt: Table,
    packets: u64,
}

impl Layout {
    pub fn of<'a>(shapes: impl Iterator<Item = MuxShape<'a>> + Clone) -> Result<Self, MuxError> {
        let mut samples = 0usize;
        let mut bytes = 0u64;
        let mut streams: Vec<Elementary> = Vec::new();
        for shape in shapes.clone() {
            if streams.iter().any(|s| s.track == shape.track) {
                return Err(MuxError::Twice(shape.track));
            }
            samples = samples.saturating_add(shape.table.len());
            bytes = shape.table.iter().fold(bytes, |sum, s| sum.saturating_add(u64::from(s.size)));
            streams.push(Elementary::of(shape.track, shape.params)?);
            if streams.len() > usize::from(u8::MAX) {
                return Err(MuxError::TooManyTracks);
            }
        }
        if samples > MAX_SAMPLES || bytes > MAX_BYTES {
            return Err(MuxError::TooLarge);
        }
        let filled = |shape: &MuxShape<'_>| shape.table.iter().any(|s| s.size > 0);
        let with_samples = || shapes.clone().enumerate().filter(|(_, shape)| filled(shape));
        let first = with_samples().find(|&(n, _)| streams.get(n).is_some_and(Elementary::is_video));
        let (pcr_stream, _) = first.or_else(|| with_samples().next()).ok_or(MuxError::Nothing)?;
        let pcr_pid = streams.get(pcr_stream).ok_or(MuxError::Nothing)?.pid;

        let span = Span::of(shapes.clone())?;
        let mut units = Vec::with_capacity(streams.len());
        for (n, (shape, stream)) in shapes.clone().zip(&streams).enumerate() {
            let mut of_stream = if stream.is_video() { pictures(&shape, stream)? } else { groups(&shape, stream)? };
            finish(&mut of_stream, stream.is_video(), n == pcr_stream);
            units.push(of_stream);
        }
        let (pat, pmt) = (tables::pat(), tables::pmt(pcr_pid, &streams)?);
        let mut layout = Self { streams, units, events: Vec::new(), pcr_stream, pat, pmt, packets: 0 };
        let pcr_shape = shapes.clone().nth(pcr_stream).ok_or(MuxError::Nothing)?;
        layout.arrange(&span, &pcr_shape);
        Ok(layout)
    }

    pub fn total_bytes(&self) -> u64 {
        self.packets * PACKET_BYTES as u64
    }

    /// Puts units, tables and further PCRs in order, and counts packets.
    fn arrange(&mut self, span: &Span, pcr_shape: &MuxShape<'_>) {
        let rounds = span.length.max(1) as u64;
        let repeats = i64::from(COUNTERS) * rounds.div_ceil(u64::from(COUNTERS) * TABLES_EVERY as u64) as i64;
        let count = self.units.iter().map(Vec::len).sum::<usize>() + repeats as usize;
        self.events = Vec::with_capacity(count);
        // What was put first stays first among equals.
        self.events.extend((0..repeats).map(|n| (span.start + n * span.length / repeats, What::Tables)));
        self.packets = repeats as u64 * (self.pat.packets() + self.pmt.packets()) as u64;
        for (stream, units) in (0u16..).zip(&self.units) {
            self.events.extend((0u32..).zip(units).map(|(unit, u)| (u.time, What::Unit { stream, unit })));
            self.packets += units.iter().map(|u| u64::from(u.packets)).sum::<u64>();
        }
        let Some(units) = self.units.get(self.pcr_stream) else { return };
        let end = pcr_shape.table.iter().fold(pcr_shape.decode_start.0, |t, s| t + i64::from(s.duration));
        for (n, unit) in units.iter().enumerate() {
            let next = units.get(n + 1).map_or(end.min(unit.time + MAX_TAIL), |next| next.time);
            let mut at = unit.time + PCR_EVERY;
            while at < next {
                self.events.push((at, What::Pcr));
                self.packets += 1;
                at += PCR_EVERY;
            }
        }
        self.events.sort_by_key(|&(time, _)| time);
    }
}

/// The time that all tracks together take.
struct Span {
    start: i64,
    length: i64,
}

impl Span {
    fn of<'a>(shapes: impl Iterator<Item = MuxShape<'a>>) -> Result<Self, MuxError> {
        let (mut start, mut last, mut end) = (i64::MAX, i64::MIN, i64::MIN);
        for shape in shapes {
            let Some(tail) = shape.table.last() else { continue };
            let begins = shape.decode_start.0;
            if begins.unsigned_abs() > MAX_TICKS as u64 {
                return Err(MuxError::Times);
            }
            let ends = shape.table.iter().fold(begins, |t, s| t + i64::from(s.duration));
            start = start.min(begins);
            last = last.max(ends - i64::from(tail.duration));
            end = end.max(ends);
        }
        if start > last {
            return Err(MuxError::Nothing);
        }
        if last - start > MAX_SPAN {
            return Err(MuxError::Times);
        }
        Ok(Self { start, length: end.min(last + MAX_TAIL) - start })
    }
}

/// One PES packet for each picture.
fn pictures(shape: &MuxShape<'_>, stream: &Elementary) -> Result<Vec<Unit>, MuxError> {
    let mut units = Vec::with_capacity(shape.table.len());
    let mut time = shape.decode_start.0;
    for (first, sample) in (0u32..).zip(shape.table) {
        if sample.size > 0 {
            let pts = time + i64::from(sample.composition_offset);
            let bytes = stream.payload_bytes(sample, units.is_empty())?;
            units.push(Unit { pts, ..unit(first, time, bytes, sample.sync)? });
        }
        time += i64::from(sample.duration);
    }
    // No picture is decoded after it or one behind it is shown, nor two at once.
    let mut latest = i64::MAX;
    for unit in units.iter_mut().rev() {
        latest = latest.min(unit.pts);
        unit.dts = unit.time.min(latest).max(unit.time - MAX_MOVED);
        unit.pts = unit.pts.max(unit.dts);
        latest = unit.dts - 1;
    }
    Ok(units)
}

fn unit(first: u32, time: i64, payload_bytes: u64, sync: bool) -> Result<Unit, MuxError> {
    let bytes = u32::try_from(payload_bytes).map_err(|_| MuxError::TooLarge)?;
    Ok(Unit { first, count: 1, bytes, packets: 0, field: 0, stuffing: 0, time, dts: time, pts: time, sync })
}

/// Several audio frames in one PES packet, as long as its time tells theirs.
fn groups(shape: &MuxShape<'_>, stream: &Elementary) -> Result<Vec<Unit>, MuxError> {
    let usual = usual_duration(shape);
    let mut units: Vec<Unit> = Vec::with_capacity(shape.table.len() / 2 + 1);
    let mut time = shape.decode_start.0;
    let mut open: Option<Unit> = None;
    for (n, sample) in (0u32..).zip(shape.table) {
        let bytes = stream.payload_bytes(sample, false)?;
        if bytes > GROUP_BYTES {
            return Err(MuxError::FrameTooLong(stream.track));
        }
        let end = time + i64::from(sample.duration);
        let fits = |group: &Unit| {
            let long = end - group.time > GROUP_TICKS || u64::from(group.bytes) + bytes > GROUP_BYTES;
            !long && sample.size > 0 && sample.composition_offset == 0
        };
        match &mut open {
            Some(group) if fits(group) => {
                group.count += 1;
                group.bytes += bytes as u32;
            }
            _ => {
                units.extend(open.take());
                if sample.size > 0 {
                    let pts = time + i64::from(sample.composition_offset);
                    open = Some(Unit { pts, dts: pts, ..unit(n, time, bytes, true)? });
                }
            }
        }
        // A gap after it, or a time of its own: what follows says its time itself.
        if sample.duration.abs_diff(usual) > 1 || sample.composition_offset != 0 {
            units.extend(open.take());
        }
        time = end;
    }
    units.extend(open);
    Ok(units)
}

/// The duration of most frames: all have the same but for rounding and gaps (a majority by Boyer and Moore).
fn usual_duration(shape: &MuxShape<'_>) -> u32 {
    let (mut usual, mut votes) = (0u32, 0u32);
    for sample in shape.table {
        if votes == 0 {
            usual = sample.duration;
        }
        votes = if sample.duration.abs_diff(usual) <= 1 { votes + 1 } else { votes - 1 };
    }
    usual
}

/// Adds headers and adaptation fields to the units of a stream, and spreads them over packets: a multiple of 16.
fn finish(units: &mut [Unit], video: bool, pcr: bool) {
    for (n, unit) in units.iter_mut().enumerate() {
        // The first packet of a PID has room for its flags in any case.
        let flags = n == 0 || (video && unit.sync);
        unit.field = if pcr {
            PCR_BYTES
        } else if flags {
            FLAGS_BYTES
        } else {
            0
        };
        unit.bytes += unit.header_bytes();
        unit.fill_packets();
    }
    let packets = units.iter().fold(0u32, |sum, u| sum.wrapping_add(u.packets));
    let mut missing = packets.wrapping_neg() % COUNTERS;
    // Every packet has payload; as long as there is enough, the header stays whole in the first.
    for keep_header in [true, false] {
        for unit in units.iter_mut().rev() {
            let kept = if keep_header { unit.header_bytes() } else { 1 };
            let spare = unit.bytes.saturating_sub(kept).saturating_sub(unit.packets.saturating_sub(1));
            let taken = spare.min(missing);
            unit.packets += taken;
            missing -= taken;
        }
    }
    if let Some(unit) = units.first_mut() {
        unit.stuffing = missing as u8;
        unit.bytes += missing;
        unit.packets += missing;
    }
}
