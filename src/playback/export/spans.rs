//! Spans: what lies in the window between two breaks, and which sample tables its edges need.

use super::super::file::continuous;
use super::ExportError;
use crate::media::segment::LONGEST_SEGMENT_US;
use crate::media::{Segment, Ticks, TrackId, TrackKind, TrackPart, UtcRange};
use std::ops::Range;

/// Pictures are shown at most this long before or after others that precede or follow them in decoding order.
const REORDER_TICKS: i64 = 90_000;

/// A part that begins this much before its predecessor ended is fitted in without looking at samples.
pub(super) const SMALL_OVERLAP_TICKS: i64 = 90;

/// Consecutive segments of one run without a break in between, as far as the window shows them.
#[derive(Debug, Clone)]
pub(super) struct Span {
    /// Which of the segments.
    pub segments: Range<usize>,
    /// Media time of its first moment in the window.
    pub start: Ticks,
    /// Media time of the first moment after.
    pub end: Ticks,
    /// Wall time of the same.
    pub utc: UtcRange,
}

/// The spans of `segments` that show something in `window`.
pub(super) fn split(window: UtcRange, segments: &[&Segment]) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut first = 0;
    for chunk in segments.chunk_by(|a, b| continuous(a, b)) {
        spans.extend(clip(window, chunk, first));
        first += chunk.len();
    }
    spans
}

fn clip(window: UtcRange, chunk: &[&Segment], first: usize) -> Option<Span> {
    let head = chunk.first()?;
    let tail = chunk.iter().rev().find(|s| s.id.start < window.end)?;
    let start = match chunk.iter().rev().find(|s| s.id.start <= window.start) {
        Some(segment) => (segment.media_of(window.start), window.start),
        None => (head.anchor, head.id.start),
    };
    let end_utc = window.end.min(tail.id.end());
    let end = tail.media_of(end_utc);
    let utc = UtcRange::new(start.1, end_utc);
    (end > start.0 && !utc.is_empty()).then(|| Span { segments: first..first + chunk.len(), start: start.0, end, utc })
}

/// One track's part of a segment, with where it comes from.
#[derive(Clone, Copy)]
pub(super) struct PartRef<'a> {
    /// Index of the segment.
    pub segment: usize,
    /// Place of the part, and of its table, in the segment.
    pub ordinal: u16,
    /// The part.
    pub part: &'a TrackPart,
}

impl PartRef<'_> {
    /// About where its presentation ends.
    pub fn presentation_end(&self) -> Ticks {
        self.part.presentation_start + self.part.duration
    }

    /// Whether decoding can start somewhere in it. Every audio frame stands by itself.
    fn decodable(&self) -> bool {
        self.part.track.kind == TrackKind::Audio || self.part.sync_count > 0
    }
}

/// The parts of one track in a span, ascending, with samples in each.
pub(super) fn parts_of<'a>(span: &Span, segments: &[&'a Segment], track: TrackId) -> Vec<PartRef<'a>> {
    let inside = segments.get(span.segments.clone()).unwrap_or_default();
    let numbered = span.segments.clone().zip(inside.iter().copied());
    numbered
        .filter_map(|(segment, s)| {
            let (ordinal, part) = s.tracks.iter().enumerate().find(|(_, p)| p.track == track)?;
            (part.sample_count > 0).then_some(PartRef { segment, ordinal: ordinal as u16, part })
        })
        .collect()
}

/// Which of `parts` may hold the first sample of the span.
pub(super) fn start_zone(span: &Span, parts: &[PartRef<'_>]) -> Range<usize> {
    // A whole part with a sync sample before the start: nothing before it is needed.
    let before = |p: &PartRef<'_>| p.presentation_end().0 + REORDER_TICKS <= span.start.0;
    let from = parts.iter().rposition(|p| p.decodable() && before(p)).unwrap_or(0);
    let mut to = from;
    let mut found = false;
    for p in parts.get(from..).unwrap_or_default() {
        if found && p.part.presentation_start.0 >= span.start.0 + REORDER_TICKS {
            break;
        }
        // Sound is not needed from before: the zone reaches on to the part that sounds at the start or after it.
        found |= p.decodable() && (p.part.track.kind == TrackKind::Video || p.presentation_end() > span.start);
        to += 1;
    }
    from..to
}

/// Which of `parts` may hold the last sample of the span: from the first one returned to the last of all.
pub(super) fn end_zone(span: &Span, parts: &[PartRef<'_>]) -> Range<usize> {
    let inside = |p: &PartRef<'_>| p.presentation_end().0 + REORDER_TICKS <= span.end.0;
    let from = parts.iter().rposition(inside).map_or(0, |last| last + 1);
    from..parts.len()
}

/// Indices of the segments whose sample tables are needed before anything can be said about the export.
pub(super) fn edges(spans: &[Span], segments: &[&Segment]) -> Vec<usize> {
    let mut needed = Vec::new();
    for span in spans {
        for track in tracks_of(segments.get(span.segments.clone()).unwrap_or_default()) {
            let parts = parts_of(span, segments, track);
            let ends = [start_zone(span, &parts), end_zone(span, &parts)];
            needed.extend(ends.into_iter().flat_map(|zone| parts.get(zone).unwrap_or_default()).map(|p| p.segment));
            for pair in parts.windows(2) {
                if let [a, b] = pair
                    && (b.part.decode_start - a.part.decode_end()).0 < -SMALL_OVERLAP_TICKS
                {
                    needed.push(a.segment);
                }
            }
        }
    }
    needed.sort_unstable();
    needed.dedup();
    needed
}

/// All tracks that occur, video first, then by number.
pub(super) fn tracks_of(segments: &[&Segment]) -> Vec<TrackId> {
    let mut tracks: Vec<TrackId> = Vec::new();
    for part in segments.iter().flat_map(|s| &s.tracks) {
        if let Err(at) = tracks.binary_search(&part.track) {
            tracks.insert(at, part.track);
        }
    }
    tracks
}

/// Largest media time, in ticks, and offset in an object, in bytes, that are taken for real.
const LARGEST: i64 = 1 << 52;

/// Checks what the arithmetic relies on, so that a damaged row gives an error and no nonsense.
pub(super) fn check(segments: &[&Segment]) -> Result<(), ExportError> {
    for pair in segments.windows(2) {
        if let [a, b] = pair {
            if b.id.sequence <= a.id.sequence {
                return Err(damaged(b, "out of order"));
            }
            if b.id.stream != a.id.stream {
                return Err(damaged(b, "of another stream"));
            }
        }
    }
    for segment in segments {
        if !(1..=LONGEST_SEGMENT_US).contains(&segment.id.duration_us) || segment.id.start.0.abs() > 1 << 60 {
            return Err(damaged(segment, "impossible time"));
        }
        if segment.tracks.len() > 512 {
            return Err(damaged(segment, "too many tracks"));
        }
        if segment.anchor.0.abs() > LARGEST {
            return Err(damaged(segment, "impossible media time"));
        }
        for (index, part) in segment.tracks.iter().enumerate() {
            check_part(segment, part)?;
            if segment.tracks.iter().take(index).any(|p| p.track == part.track) {
                return Err(damaged(segment, "a track twice"));
            }
        }
    }
    Ok(())
}

fn check_part(segment: &Segment, part: &TrackPart) -> Result<(), ExportError> {
    let times = [part.decode_start, part.presentation_start, part.duration];
    if times.iter().any(|t| t.0.abs() > LARGEST) || part.duration.0 < 0 {
        return Err(damaged(segment, "impossible media time"));
    }
    if part.length < u64::from(part.payload_offset) || part.offset > LARGEST as u64 || part.length > 1 << 40 {
        return Err(damaged(segment, "impossible place in its object"));
    }
    let runs = [part.duration_runs, part.composition_runs];
    if part.sync_count > part.sample_count || runs.iter().any(|&r| r > part.sample_count) {
        return Err(damaged(segment, "impossible counts"));
    }
    Ok(())
}

fn damaged(segment: &Segment, what: &'static str) -> ExportError {
    ExportError::Damaged { sequence: segment.id.sequence, what }
}
