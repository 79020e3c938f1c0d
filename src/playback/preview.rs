//! One picture: which sync sample shows a moment, and the MP4 around it.
//!
//! Comes in: rows, the sample table of one of them, the moment. Goes out: the bytes of the object that hold the
//! picture, and the MP4 head that belongs in front of them. Never: the picture itself.

use super::cache::CacheClass;
use super::export::TableSet;
use super::window::Recorded;
use crate::container::progressive::{Edit, Head, HeadPiece, Table, TableCounts, TrackHead, head};
use crate::media::segment::TrackPart;
use crate::media::track::TrackParams;
use crate::media::{InitHash, ObjectKey, RunId, Segment, Ticks, TrackId, TrackKind, UtcRange, UtcUs};
use bytes::Bytes;
use std::ops::Range;

/// In a gap the picture before it is shown, up to this long after the recording broke off, in microseconds.
pub const REACH_US: i64 = 60_000_000;
/// No coded picture is larger.
pub const LARGEST_BYTES: u64 = 32 << 20;

/// Why there is no picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PreviewError {
    /// Nothing was recorded there.
    #[error("nothing was recorded at this moment or shortly before it")]
    NothingRecorded,
    /// The stream has sound only.
    #[error("the recording has no picture at this moment")]
    NoPicture,
    /// The moment has not come.
    #[error("this moment lies in the future")]
    InFuture,
    /// Row, table or init segment are not what they should be: a sentence for the log.
    #[error("{0}")]
    Damaged(&'static str),
}

/// A coded picture in its object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The object.
    pub object: ObjectKey,
    /// Its bytes there, not empty.
    pub bytes: Range<u64>,
    /// The part of the segment in which they lie: what has a checksum.
    pub part: Range<u64>,
    /// Init segment that it needs.
    pub init: InitHash,
    /// When it is shown.
    pub shown_at: UtcUs,
    /// How long, in ticks.
    pub duration: Ticks,
    run: RunId,
    epoch: u64,
    sequence: u64,
    track: TrackId,
}

/// The rows to read for the picture of `at` (the newest when `None`).
///
/// # Errors
/// `InFuture`.
pub fn window(at: Option<UtcUs>, now: UtcUs, recorded: Recorded) -> Result<UtcRange, PreviewError> {
    let moment = at.unwrap_or(recorded.live_edge);
    if at.is_some() && moment > recorded.live_edge.max(now) {
        return Err(PreviewError::InFuture);
    }
    Ok(UtcRange::new(moment.plus_us(-REACH_US), moment.plus_us(1)))
}

/// Those of the `rows` of a [`window`] that may hold its picture, nearest first.
///
/// # Errors
/// `NothingRecorded`, `NoPicture`.
pub fn candidates<'a>(
    rows: impl DoubleEndedIterator<Item = &'a Segment>,
    window: UtcRange,
) -> Result<Vec<&'a Segment>, PreviewError> {
    let moment = window.end.plus_us(-1);
    let within = |s: &&Segment| s.id.start <= moment && moment.since(s.id.end()) <= REACH_US;
    let near: Vec<&Segment> = rows.rev().filter(within).collect();
    if near.is_empty() {
        return Err(PreviewError::NothingRecorded);
    }
    let pictured: Vec<&Segment> =
        near.into_iter().filter(|s| video_of(s).is_some_and(|(_, p)| p.sync_count > 0)).collect();
    if pictured.is_empty() { Err(PreviewError::NoPicture) } else { Ok(pictured) }
}

fn video_of(segment: &Segment) -> Option<(usize, &TrackPart)> {
    segment.tracks.iter().enumerate().find(|(_, p)| p.track.kind == TrackKind::Video)
}

/// The last sync sample of `segment` that is shown at or before `at` (the last one when `None`), by the segment's
/// sample tables. `Ok(None)` when all its sync samples come later.
///
/// # Errors
/// `Damaged`.
pub fn picture(segment: &Segment, tables: &TableSet, at: Option<UtcUs>) -> Result<Option<Picture>, PreviewError> {
    const DISAGREE: PreviewError = PreviewError::Damaged("a sample table is not what its row says");
    let Some((ordinal, part)) = video_of(segment) else { return Ok(None) };
    let ordinal = u16::try_from(ordinal).map_err(|_| DISAGREE)?;
    let table = tables.get(segment.id.sequence, ordinal).map_err(|_| DISAGREE)?;
    if table.samples.len() != part.sample_count as usize || table.payload_bytes() != part.payload_bytes() {
        return Err(DISAGREE);
    }
    let (mut dts, mut offset) = (part.decode_start.0, part.offset + u64::from(part.payload_offset));
    let mut found = None;
    for sample in &table.samples {
        let pts = Ticks(dts.saturating_add(i64::from(sample.composition_offset)));
        let shown_at = segment.utc_of(pts);
        if sample.sync && sample.size > 0 && at.is_none_or(|at| shown_at <= at) {
            found = Some((shown_at, offset, sample));
        }
        dts = dts.saturating_add(i64::from(sample.duration));
        offset += u64::from(sample.size);
    }
    let Some((shown_at, start, sample)) = found else { return Ok(None) };
    if u64::from(sample.size) > LARGEST_BYTES {
        return Err(PreviewError::Damaged("a picture is larger than any picture"));
    }
    Ok(Some(Picture {
        object: segment.object.clone(),
        bytes: start..start + u64::from(sample.size),
        part: part.offset..part.offset.saturating_add(part.length),
        init: part.init,
        shown_at,
        duration: Ticks(i64::from(sample.duration.max(1))),
        run: segment.id.run,
        epoch: segment.id.epoch,
        sequence: segment.id.sequence,
        track: part.track,
    }))
}

impl Picture {
    /// A strong tag of the MP4 file, without its quotes: says all that its bytes are made of.
    pub fn tag(&self) -> String {
        let Range { start, end } = self.bytes;
        let hash = self.init.to_string();
        let init = hash.get(..12).unwrap_or(&hash);
        format!("p1-{}-{}-{}-{}-{start}-{end}-{init}", self.run, self.epoch, self.sequence, self.track)
    }

    /// What stands in front of the picture's bytes so that both are a progressive MP4 of one sample.
    ///
    /// # Errors
    /// `Damaged` when `params` are not a video track's.
    pub fn head(&self, params: &TrackParams) -> Result<Bytes, PreviewError> {
        const UNWRITABLE: PreviewError = PreviewError::Damaged("a picture's parameters make no MP4 file");
        if params.kind() != TrackKind::Video {
            return Err(UNWRITABLE);
        }
        let payload_bytes = self.bytes.end - self.bytes.start;
        let track = TrackHead {
            kind: TrackKind::Video,
            enabled: true,
            language: None,
            video: params.video,
            sample_entries: vec![&params.sample_entry],
            edits: vec![Edit { duration: self.duration, media_time: Some(Ticks(0)) }],
            media_duration: self.duration,
            counts: TableCounts {
                samples: 1,
                chunks: 1,
                time_to_sample: 1,
                composition_offset: None,
                sync_sample: None,
            },
        };
        let laid = head(self.duration, &[track], payload_bytes).map_err(|_| UNWRITABLE)?;
        fill(&laid, payload_bytes, self.duration).ok_or(UNWRITABLE)
    }
}

/// The head with the one entry that each table has.
fn fill(head: &Head, payload_bytes: u64, duration: Ticks) -> Option<Bytes> {
    let mut out = Vec::with_capacity(usize::try_from(head.bytes).ok()?);
    for piece in &head.pieces {
        let entry = match piece {
            HeadPiece::Bytes(bytes) => {
                out.extend_from_slice(bytes);
                continue;
            }
            HeadPiece::Table { table: Table::TimeToSample, .. } => vec![1, u32::try_from(duration.0).ok()?],
            HeadPiece::Table { table: Table::SampleToChunk, .. } => vec![1, 1, 1],
            HeadPiece::Table { table: Table::SampleSize, .. } => vec![u32::try_from(payload_bytes).ok()?],
            HeadPiece::Table { table: Table::ChunkOffset, .. } => vec![u32::try_from(head.bytes).ok()?],
            HeadPiece::Table { .. } => return None,
        };
        entry.iter().for_each(|value: &u32| out.extend_from_slice(&value.to_be_bytes()));
    }
    (out.len() as u64 == head.bytes).then(|| out.into())
}

/// How long the answer for `at` may be kept: for good when the moment lies inside a row, for an hour when nothing
/// can come before it any more, else for a moment.
pub fn cache_class<'a>(
    mut rows: impl Iterator<Item = &'a Segment>,
    at: Option<UtcUs>,
    now: UtcUs,
    recorded: Recorded,
    end_lag_us: i64,
) -> CacheClass {
    match at {
        Some(at) if rows.any(|row| row.range().contains(at)) => CacheClass::Immutable,
        Some(at) if recorded.live_edge > at && now.since(at) > end_lag_us => CacheClass::Finished,
        _ => CacheClass::Growing { max_age_ms: 2000 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::segment::SegmentId;
    use crate::media::{Sample, SampleTable, StreamName};

    const S: i64 = 1_000_000;

    fn sample(sync: bool) -> Sample {
        Sample { size: 100, duration: 45_000, composition_offset: 9000, sync }
    }

    /// Six seconds from `start` s: twelve pictures, the fourth and the eighth are sync samples.
    fn segment(start: i64, kind: TrackKind) -> (Segment, TableSet) {
        let table = SampleTable { samples: (0..12).map(|n| sample(n % 4 == 0 && n > 0)).collect() };
        let id = SegmentId {
            stream: StreamName::parse("x").unwrap(),
            run: RunId(1),
            epoch: 1,
            sequence: start as u64,
            start: UtcUs(start * S),
            duration_us: 6 * S,
        };
        let part = TrackPart {
            track: TrackId { kind, number: 1 },
            init: InitHash::of(b"x"),
            offset: 1000,
            length: 1250,
            payload_offset: 50,
            decode_start: Ticks(90_000),
            presentation_start: Ticks(99_000),
            duration: table.duration(),
            sample_count: 12,
            sync_count: 2,
            starts_with_sync: false,
            duration_runs: 1,
            composition_runs: 1,
        };
        let object = id.object_key().unwrap();
        let (object_offset, object_length) = (0, 3000);
        let anchor = Ticks(99_000);
        let tracks = vec![part];
        let mut tables = TableSet::new();
        tables.insert(id.sequence, &[table]);
        (Segment { id, discontinuity: 0, anchor, object, object_offset, object_length, tracks }, tables)
    }

    fn recorded() -> Recorded {
        Recorded { first_start: UtcUs(100 * S), live_edge: UtcUs(200 * S), longest_us: 0 }
    }

    #[test]
    fn the_last_sync_sample_by_then() {
        let (row, tables) = segment(100, TrackKind::Video);
        let at = |us| picture(&row, &tables, Some(UtcUs(us))).unwrap().map(|p| (p.shown_at.0, p.bytes));
        assert_eq!(at(102 * S - 1), None);
        assert_eq!(at(102 * S), Some((102 * S, 1450..1550)));
        assert_eq!(at(104 * S - 1), Some((102 * S, 1450..1550)));
        assert_eq!(at(104 * S), Some((104 * S, 1850..1950)));
        assert_eq!(picture(&row, &tables, None).unwrap().unwrap().bytes, 1850..1950);
        let mut other = TableSet::new();
        assert!(matches!(picture(&row, &other, None), Err(PreviewError::Damaged(_))));
        other.insert(row.id.sequence, &[SampleTable::default()]);
        assert!(matches!(picture(&row, &other, None), Err(PreviewError::Damaged(_))));
    }

    #[test]
    fn which_rows_may_hold_it() {
        let rows: Vec<Segment> = [100, 106].map(|t| segment(t, TrackKind::Video).0).into();
        let now = UtcUs(210 * S);
        let starts = |at: i64| {
            let window = window(Some(UtcUs(at)), now, recorded())?;
            candidates(rows.iter(), window).map(|f| f.iter().map(|s| s.id.start.0 / S).collect::<Vec<_>>())
        };
        assert_eq!(starts(111 * S), Ok(vec![106, 100]));
        assert_eq!(starts(105 * S), Ok(vec![100]));
        // In a gap, and too far into it.
        assert_eq!(starts(172 * S), Ok(vec![106]));
        assert_eq!(starts(172 * S + 1), Err(PreviewError::NothingRecorded));
        assert_eq!(starts(99 * S), Err(PreviewError::NothingRecorded));
        assert_eq!(starts(210 * S + 1), Err(PreviewError::InFuture));
        for hostile in [i64::MIN, -1, 0] {
            assert_eq!(starts(hostile), Err(PreviewError::NothingRecorded));
        }
        assert_eq!(starts(i64::MAX), Err(PreviewError::InFuture));
        let radio = [segment(100, TrackKind::Audio).0];
        let window = window(Some(UtcUs(101 * S)), now, recorded()).unwrap();
        assert_eq!(candidates(radio.iter(), window), Err(PreviewError::NoPicture));
    }

    #[test]
    fn only_what_cannot_change_is_kept() {
        let rows = [segment(100, TrackKind::Video).0];
        let class = |at, now| cache_class(rows.iter(), at, UtcUs(now * S), recorded(), 60 * S);
        let brief = CacheClass::Growing { max_age_ms: 2000 };
        assert_eq!(class(Some(UtcUs(103 * S)), 103), CacheClass::Immutable);
        assert_eq!(class(Some(UtcUs(106 * S)), 166), brief);
        assert_eq!(class(Some(UtcUs(106 * S)), 167), CacheClass::Finished);
        assert_eq!(class(Some(UtcUs(201 * S)), 1000), brief);
        assert_eq!(class(None, 1000), brief);
    }
}
