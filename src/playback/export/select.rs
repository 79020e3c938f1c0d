//! Which samples of a track are in the export, and when each part of them is decoded.
//!
//! Times are "export times": ticks after the first moment that is shown. What is decoded but not shown at the
//! beginning has negative ones. All tracks share them, so nothing drifts, however many spans there are.

use super::ExportError;
use super::spans::{PartRef, SMALL_OVERLAP_TICKS, Span, end_zone, parts_of, start_zone};
use super::tables::{TableSet, Trimmed, fitted_runs, trim};
use crate::media::{InitHash, SampleTable, Segment, TrackId, TrackKind};

/// The kept samples of one part: one chunk of the file.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    /// Index of the segment.
    pub segment: usize,
    /// Place of its table in the segment.
    pub ordinal: u16,
    /// Init segment that its samples need.
    pub init: InitHash,
    /// Samples of the table before the first kept one.
    pub skip: u32,
    /// Kept samples.
    pub samples: u32,
    /// Where their bytes begin in the object.
    pub object_at: u64,
    /// Their bytes.
    pub bytes: u64,
    /// DTS of the first.
    pub dts: i64,
    /// Sum of their durations as recorded.
    pub duration: i64,
    /// Sum of their durations in the export.
    pub total: i64,
    /// Runs of durations as recorded.
    duration_runs: u32,
    /// Runs of composition offsets.
    pub composition_runs: u32,
    /// Sync samples.
    pub syncs: u32,
    /// PTS of the first; exact for the first part of a span.
    pub first_pts: i64,
    /// End of presentation; exact for the first and last part of a span.
    pub end_pts: i64,
    /// Whether any composition offset differs from 0.
    pub offsets: bool,
}

impl Kept {
    /// The whole part, by what its row says. `shift` leads from media time to export time.
    fn whole(p: PartRef<'_>, shift: i64) -> Self {
        let part = p.part;
        Self {
            segment: p.segment,
            ordinal: p.ordinal,
            init: part.init,
            skip: 0,
            samples: part.sample_count,
            object_at: part.offset + u64::from(part.payload_offset),
            bytes: part.payload_bytes(),
            dts: part.decode_start.0 + shift,
            duration: part.duration.0,
            total: part.duration.0,
            duration_runs: part.duration_runs,
            composition_runs: part.composition_runs,
            syncs: part.sync_count,
            first_pts: part.presentation_start.0 + shift,
            end_pts: p.presentation_end().0 + shift,
            offsets: part.composition_runs > 1 || part.presentation_start != part.decode_start,
        }
    }

    /// Keeps of what is kept only `samples` samples after the first `skip`; `None` when that is nothing.
    fn narrowed(mut self, table: &SampleTable, skip: usize, samples: usize) -> Option<Self> {
        let from = self.skip as usize + skip;
        let already: Trimmed = trim(table, self.skip as usize..self.skip as usize + self.samples as usize)?;
        let t = trim(table, from..from + samples)?;
        let base = self.dts - already.ticks_before;
        self.skip = from as u32;
        self.samples = samples as u32;
        self.object_at += t.bytes_before - already.bytes_before;
        self.bytes = t.bytes;
        self.dts = base + t.ticks_before;
        self.duration = t.duration;
        self.total = t.duration;
        self.duration_runs = t.duration_runs;
        self.composition_runs = t.composition_runs;
        self.syncs = t.syncs;
        self.first_pts = base + t.first_pts;
        self.end_pts = base + t.end_pts;
        Some(self)
    }

    /// Entries of `stts`.
    pub fn time_entries(&self) -> u32 {
        if self.total == self.duration { self.duration_runs } else { fitted_runs(self.samples, self.duration_runs) }
    }
}

/// Collects what is kept of one track, span after span.
pub(super) struct TrackSelection<'a> {
    /// Which track.
    pub track: TrackId,
    /// What is kept, ascending.
    pub kept: Vec<Kept>,
    segments: &'a [&'a Segment],
    tables: &'a TableSet,
}

impl<'a> TrackSelection<'a> {
    pub fn new(track: TrackId, segments: &'a [&'a Segment], tables: &'a TableSet) -> Self {
        Self { track, kept: Vec::new(), segments, tables }
    }

    /// Adds what `span`, which begins at export time `export_start`, shows of the track.
    pub fn add(&mut self, span: &Span, export_start: i64) -> Result<(), ExportError> {
        let parts = parts_of(span, self.segments, self.track);
        let shift = export_start - span.start.0;
        let Some((first, skip)) = self.find_start(span, &parts)? else { return Ok(()) };
        let Some((last, end)) = self.find_end(span, &parts)? else { return Ok(()) };
        let mut shown = false;
        let mut kept = Vec::new();
        for (index, &p) in parts.iter().enumerate().take(last + 1).skip(first) {
            let whole = Kept::whole(p, shift);
            let from = if index == first { skip } else { 0 };
            let to = if index == last { end.unwrap_or(whole.samples as usize) } else { whole.samples as usize };
            let exact = index == first || (index == last && end.is_some());
            let part = match exact {
                true => {
                    let table = self.table(&p)?;
                    to.checked_sub(from).and_then(|n| whole.narrowed(&table, from, n))
                }
                false => Some(whole),
            };
            let Some(part) = part else { continue };
            shown |= part.end_pts > export_start;
            kept.push(part);
        }
        // All that can be decoded lies before the span: the track had gone by then.
        if !shown {
            return Ok(());
        }
        for part in kept {
            self.settle(part.dts)?;
            self.kept.push(part);
        }
        Ok(())
    }

    /// Part and sample to begin with: for video the last sync sample shown at the start of the span or before
    /// it, for audio the frame that sounds then; failing that the first one after.
    fn find_start(&self, span: &Span, parts: &[PartRef<'_>]) -> Result<Option<(usize, usize)>, ExportError> {
        let mut before = None;
        let mut after = None;
        for index in start_zone(span, parts) {
            let Some(p) = parts.get(index) else { break };
            let table = self.table(p)?;
            let mut dts = p.part.decode_start.0;
            for (number, sample) in table.samples.iter().enumerate() {
                let pts = dts + i64::from(sample.composition_offset);
                dts += i64::from(sample.duration);
                let possible = match self.track.kind {
                    TrackKind::Video => sample.sync,
                    TrackKind::Audio => pts > span.start.0 || pts + i64::from(sample.duration) > span.start.0,
                };
                if !possible {
                    continue;
                }
                if pts <= span.start.0 {
                    before = Some((index, number));
                } else if after.is_none() {
                    after = Some((index, number));
                }
            }
        }
        Ok(before.or(after))
    }

    /// Part to end with and how many of its samples: in decoding order up to and with the last sample shown
    /// before the span ends. `None` for the samples means all.
    fn find_end(&self, span: &Span, parts: &[PartRef<'_>]) -> Result<Option<(usize, Option<usize>)>, ExportError> {
        let zone = end_zone(span, parts);
        let before = zone.start.checked_sub(1);
        for index in zone.rev() {
            let Some(p) = parts.get(index) else { continue };
            let table = self.table(p)?;
            let mut dts = p.part.decode_start.0;
            let mut last = None;
            for (number, sample) in table.samples.iter().enumerate() {
                if dts + i64::from(sample.composition_offset) < span.end.0 {
                    last = Some(number);
                }
                dts += i64::from(sample.duration);
            }
            if let Some(last) = last {
                return Ok(Some((index, Some(last + 1))));
            }
        }
        Ok(before.map(|index| (index, None)))
    }

    /// Makes what is kept so far end where the next part begins: the last sample lasts longer or shorter, and
    /// samples that would not come before `next_dts` are dropped.
    fn settle(&mut self, next_dts: i64) -> Result<(), ExportError> {
        while let Some(last) = self.kept.pop() {
            let total = next_dts - last.dts;
            let change = total - last.duration;
            if change >= 0 || (change >= -SMALL_OVERLAP_TICKS && total >= i64::from(last.samples)) {
                self.kept.push(Kept { total, ..last });
                return Ok(());
            }
            // Without its table, as with no sample left, a part goes as a whole.
            let Some(p) = self.part_of(&last).filter(|p| self.tables.contains(self.sequence(p.segment))) else {
                continue;
            };
            let table = self.table(&p)?;
            let kept = table.samples.iter().skip(last.skip as usize).take(last.samples as usize);
            let mut dts = last.dts;
            let mut count = 0;
            for sample in kept {
                if dts >= next_dts {
                    break;
                }
                dts += i64::from(sample.duration);
                count += 1;
            }
            if let Some(shorter) = last.narrowed(&table, 0, count) {
                self.kept.push(Kept { total, ..shorter });
                return Ok(());
            }
        }
        Ok(())
    }

    fn sequence(&self, segment: usize) -> u64 {
        self.segments.get(segment).map_or(u64::MAX, |s| s.id.sequence)
    }

    fn part_of(&self, kept: &Kept) -> Option<PartRef<'a>> {
        let part = self.segments.get(kept.segment)?.tracks.get(usize::from(kept.ordinal))?;
        Some(PartRef { segment: kept.segment, ordinal: kept.ordinal, part })
    }

    /// The table of a part, which must be what its row says.
    fn table(&self, p: &PartRef<'_>) -> Result<SampleTable, ExportError> {
        let sequence = self.sequence(p.segment);
        let table = self.tables.get(sequence, p.ordinal)?;
        let same = table.samples.len() == p.part.sample_count as usize
            && table.payload_bytes() == p.part.payload_bytes()
            && table.duration() == p.part.duration;
        if same { Ok(table) } else { Err(ExportError::Disagree(sequence)) }
    }
}
