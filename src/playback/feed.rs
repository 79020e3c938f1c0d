//! Stream mode: where a viewer begins, what follows what, and how a segment is cut into parts that fit in memory.
//!
//! Comes in: the moment asked for, rows, sample tables. Goes out: samples and where their bytes lie. Never: the bytes.
//!
//! # Gaps
//! A gap is jumped over at once, whatever was asked for. `timeshift_rel/{n}` is n seconds behind when it begins; each
//! gap that is jumped over brings the viewer that much nearer to live, as it does with `timeshift_abs/{t}`, and at the
//! live edge both go on as live. To wait the gap out instead would show nothing for its whole length.

use super::export::{ExportError, TableSet};
use super::url::{Shift, TrackChoice};
use super::window::{Recorded, WindowError};
use crate::media::{InitHash, ObjectKey, Sample, SampleTable, Segment, Ticks, TrackId, UtcUs};
use std::ops::Range;

/// Bytes of samples that are muxed at a time, about.
pub const PART_BYTES: u64 = 3 << 19;
/// Whoever asks for a moment after the live edge waits for it, if the recording is no further behind than this.
const SILENT_US: i64 = 120_000_000;

/// The moment at which a viewer begins: never so near to the live edge that the player would have to wait before it
/// has `ahead_us` to play, and not before the first recording.
///
/// # Errors
/// `FromInFuture`; `NothingRecorded` when nothing is, or nothing was for long.
pub fn begin(shift: Shift, now: UtcUs, recorded: Option<Recorded>, ahead_us: i64) -> Result<UtcUs, WindowError> {
    let wanted = match shift {
        Shift::Delay(delay_us) => now.plus_us(delay_us.max(0).saturating_neg()),
        Shift::TunedInAt(at) => at,
    };
    if wanted > recorded.map_or(now, |r| r.live_edge.max(now)) {
        return Err(WindowError::FromInFuture);
    }
    let recorded = recorded.ok_or(WindowError::NothingRecorded)?;
    if wanted.since(recorded.live_edge) > SILENT_US {
        return Err(WindowError::NothingRecorded);
    }
    Ok(wanted.min(recorded.live_edge.plus_us(-ahead_us)).max(recorded.first_start))
}

/// Whether `after` joins `before` without a seam.
pub fn joins(before: &Segment, after: &Segment) -> bool {
    after.id.run == before.id.run
        && after.id.sequence == before.id.sequence.saturating_add(1)
        && after.discontinuity == before.discontinuity
}

/// Samples of one track, consecutive in their object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Which track.
    pub track: TrackId,
    /// Init segment that they need.
    pub init: InitHash,
    /// DTS of the first.
    pub decode_start: Ticks,
    /// The samples; may be none.
    pub samples: Vec<Sample>,
    /// Where they lie in the object.
    pub bytes: Range<u64>,
    /// The part of the segment with all samples of this track, boxes and all: what has a checksum.
    pub part: Range<u64>,
}

/// What is muxed at a time: a segment, or some of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The object.
    pub object: ObjectKey,
    /// Bytes of the whole segment.
    pub segment_bytes: u64,
    /// One for each track, the lead first; a track has one even if nothing of it lies here.
    pub stretches: Vec<Stretch>,
    /// How long it plays, in microseconds.
    pub media_us: i64,
}

impl Part {
    /// Bytes of all samples.
    pub fn bytes(&self) -> u64 {
        self.stretches.iter().map(|s| s.bytes.end - s.bytes.start).sum()
    }

    /// Names what is in it: two parts of one name have the same samples.
    pub fn name(&self) -> String {
        use std::fmt::Write;
        let mut name = self.object.to_string();
        for stretch in &self.stretches {
            let _ = write!(name, "|{}-{}-{}", stretch.track, stretch.bytes.start, stretch.bytes.end);
        }
        name
    }
}

/// One track of the segment.
struct Track {
    part: usize,
    table: SampleTable,
    /// DTS of each sample, and of what follows the last.
    dts: Vec<i64>,
    /// Where each begins in the object, and where the last ends.
    offset: Vec<u64>,
}

impl Track {
    fn of(segment: &Segment, part: usize, tables: &TableSet) -> Result<Self, ExportError> {
        let sequence = segment.id.sequence;
        let disagree = ExportError::Disagree(sequence);
        let row = segment.tracks.get(part).ok_or(disagree.clone())?;
        let table = tables.get(sequence, u16::try_from(part).map_err(|_| disagree.clone())?)?;
        if table.samples.len() != row.sample_count as usize || table.payload_bytes() != row.payload_bytes() {
            return Err(disagree);
        }
        let (mut at, mut time) = (row.offset + u64::from(row.payload_offset), row.decode_start.0);
        let (mut dts, mut offset) = (vec![time], vec![at]);
        for sample in &table.samples {
            time = time.saturating_add(i64::from(sample.duration));
            at += u64::from(sample.size);
            dts.push(time);
            offset.push(at);
        }
        Ok(Self { part, table, dts, offset })
    }

    fn len(&self) -> usize {
        self.table.samples.len()
    }

    fn pts(&self, n: usize) -> i64 {
        let offset = self.table.samples.get(n).map_or(0, |s| i64::from(s.composition_offset));
        self.dts_at(n).saturating_add(offset)
    }

    fn dts_at(&self, n: usize) -> i64 {
        self.dts.get(n).copied().unwrap_or(i64::MAX)
    }

    fn offset_at(&self, n: usize) -> u64 {
        self.offset.get(n).or(self.offset.last()).copied().unwrap_or(0)
    }

    fn is_sync(&self, n: usize) -> bool {
        self.table.samples.get(n).is_some_and(|s| s.sync)
    }

    fn stretch(&self, segment: &Segment, samples: Range<usize>) -> Option<Stretch> {
        let row = segment.tracks.get(self.part)?;
        Some(Stretch {
            track: row.track,
            init: row.init,
            decode_start: Ticks(self.dts_at(samples.start)),
            samples: self.table.samples.get(samples.clone())?.to_vec(),
            bytes: self.offset_at(samples.start)..self.offset_at(samples.end),
            part: row.offset..row.offset.saturating_add(row.length),
        })
    }
}

/// The parts of the chosen tracks of `segment`, in order: from the last sync sample at or before `at`, all when there
/// is none or `at` is `None`. Empty when it has none of the tracks. A part has about [`PART_BYTES`] or less, and begins
/// at a sync sample where that is possible.
///
/// # Errors
/// `MissingTables`, `Disagree`: the tables are not those of the row.
pub fn parts(
    segment: &Segment,
    tables: &TableSet,
    choice: Option<&TrackChoice>,
    at: Option<UtcUs>,
) -> Result<Vec<Part>, ExportError> {
    let chosen = segment.tracks.iter().enumerate().filter(|(n, p)| choice.is_none_or(|c| c.wants(p.track, *n)));
    let tracks: Vec<Track> = chosen.map(|(n, _)| Track::of(segment, n, tables)).collect::<Result<_, _>>()?;
    let Some((lead, others)) = tracks.split_first() else { return Ok(Vec::new()) };
    let wanted = |n: &usize| lead.is_sync(*n) && at.is_some_and(|at| segment.utc_of(Ticks(lead.pts(*n))) <= at);
    let from = (0..lead.len()).rev().find(wanted).unwrap_or(0);
    let begins_at = if from == 0 { segment.id.start } else { segment.utc_of(Ticks(lead.pts(from))) };
    // What is heard before the first picture is left out.
    let mut froms = vec![from];
    froms.extend(others.iter().map(|t| if from == 0 { 0 } else { first_at(t, lead.pts(from), Track::pts) }));
    let mut parts = Vec::new();
    let mut left_us = segment.id.end().since(begins_at).max(0);
    while froms.first().is_some_and(|f| *f < lead.len()) {
        let start = froms.first().copied().unwrap_or(0);
        let end = cut(&tracks, &froms);
        let ends: Vec<usize> = match end {
            None => tracks.iter().map(Track::len).collect(),
            Some(end) => {
                let time = lead.dts_at(end);
                let ends = others.iter().zip(froms.iter().skip(1));
                std::iter::once(end).chain(ends.map(|(t, f)| first_at(t, time, Track::dts_at).max(*f))).collect()
            }
        };
        let media_us = match end {
            None => left_us,
            Some(end) => Ticks(lead.dts_at(end) - lead.dts_at(start)).to_us().clamp(0, left_us),
        };
        left_us -= media_us;
        let ranges = froms.iter().zip(&ends).map(|(f, e)| *f..*e);
        let stretches = tracks.iter().zip(ranges).filter_map(|(t, range)| t.stretch(segment, range)).collect();
        let (object, segment_bytes) = (segment.object.clone(), segment.object_length);
        parts.push(Part { object, segment_bytes, stretches, media_us });
        froms = ends;
    }
    Ok(parts)
}

/// The first sample of `track` whose time is `time` or later.
fn first_at(track: &Track, time: i64, of: impl Fn(&Track, usize) -> i64) -> usize {
    (0..track.len()).find(|n| of(track, *n) >= time).unwrap_or(track.len())
}

/// Sample of the lead (the first of `tracks`) before which the part that begins at `froms` ends; `None` when all that
/// is left fits.
fn cut(tracks: &[Track], froms: &[usize]) -> Option<usize> {
    let (lead, others) = tracks.split_first()?;
    let start = froms.first().copied()?;
    let mut ends: Vec<usize> = froms.iter().skip(1).copied().collect();
    let mut sync = None;
    for n in start + 1..=lead.len() {
        let mut bytes = lead.offset_at(n) - lead.offset_at(start);
        for ((track, from), end) in others.iter().zip(froms.iter().skip(1)).zip(&mut ends) {
            let time = if n == lead.len() { i64::MAX } else { lead.dts_at(n) };
            while *end < track.len() && track.dts_at(*end) < time {
                *end += 1;
            }
            bytes += track.offset_at(*end) - track.offset_at(*from);
        }
        if bytes > PART_BYTES {
            // A picture that is larger than a part is one by itself.
            let before = (n - 1).max(start + 1);
            return Some(sync.unwrap_or(before)).filter(|end| *end < lead.len());
        }
        if lead.is_sync(n) {
            sync = Some(n);
        }
    }
    None
}

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;
