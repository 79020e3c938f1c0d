//! Which samples of a segment are in the file.

use crate::media::segment::SegmentWithTables;
use crate::media::{SampleTable, Ticks, TrackId, TrackKind, TrackPart};

/// Where a segment begins to be taken.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start {
    /// With its first samples.
    Whole,
    /// At the last sync sample that is shown at this media time or before it; without one, with its first samples:
    /// the segment before leads into it.
    SyncOrWhole(Ticks),
    /// The same; without one, at the first sync sample after.
    SyncOrNext(Ticks),
}

/// What is taken of one part: `count` samples after the first `skip`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chosen {
    pub skip: u32,
    pub count: u32,
    /// Place of the part in its segment.
    pub ordinal: u16,
}

/// What is taken of a segment.
#[derive(Debug, Default)]
pub(super) struct Selection {
    pub chosen: Vec<Chosen>,
    /// It begins at a sync sample at or before the window's start: nothing before it is needed.
    pub from_sync: bool,
    /// Pictures are among it.
    pub video: bool,
}

impl Selection {
    pub fn is_empty(&self) -> bool {
        self.chosen.iter().all(|c| c.count == 0)
    }
}

/// The parts of the chosen tracks, with their place.
fn parts<'a>(
    with: &'a SegmentWithTables,
    tracks: Option<&'a [TrackId]>,
) -> impl Iterator<Item = (u16, &'a TrackPart, &'a SampleTable)> {
    let wanted = move |part: &TrackPart| tracks.is_none_or(|tracks| tracks.contains(&part.track));
    let parts = (0u16..).zip(&with.segment.tracks).zip(&with.tables);
    parts.filter(move |((_, part), _)| wanted(part)).map(|((ordinal, part), table)| (ordinal, part, table))
}

/// All samples of the chosen tracks.
pub(super) fn whole(with: &SegmentWithTables, tracks: Option<&[TrackId]>) -> Vec<Chosen> {
    parts(with, tracks)
        .map(|(ordinal, _, table)| Chosen { ordinal, skip: 0, count: table.samples.len() as u32 })
        .collect()
}

/// Whether `chosen` is all of the chosen tracks.
pub(super) fn is_whole(with: &SegmentWithTables, tracks: Option<&[TrackId]>, chosen: &[Chosen]) -> bool {
    whole(with, tracks) == chosen
}

/// Whether decoding can begin with the first picture.
pub(super) fn starts_with_sync(with: &SegmentWithTables, tracks: Option<&[TrackId]>) -> bool {
    let lead = parts(with, tracks).find(|(_, part, _)| part.track.kind == TrackKind::Video);
    lead.is_none_or(|(_, part, _)| part.starts_with_sync)
}

/// PTS, end of presentation and sync flag of each sample.
fn shown<'a>(part: &TrackPart, table: &'a SampleTable) -> impl Iterator<Item = (i64, i64, bool)> + 'a {
    let mut dts = part.decode_start.0;
    table.samples.iter().map(move |s| {
        let pts = dts + i64::from(s.composition_offset);
        dts += i64::from(s.duration);
        (pts, pts + i64::from(s.duration), s.sync)
    })
}

/// How many samples are taken, in decoding order: all that are shown before `end`, what these need, and what is shown
/// between the two, so that no picture is missing before the last.
fn end_of(part: &TrackPart, table: &SampleTable, end: i64) -> usize {
    let before = |limit: i64| {
        shown(part, table).enumerate().filter(|(_, s)| s.0 < limit).last().map_or(0, |(number, _)| number + 1)
    };
    let mut count = before(end);
    while let Some(latest) = shown(part, table).take(count).map(|s| s.0).max() {
        let more = before(latest);
        if more <= count {
            break;
        }
        count = more;
    }
    count
}

/// Chooses samples of a segment that is taken from `start` to the media time `end`.
pub(super) fn select(with: &SegmentWithTables, tracks: Option<&[TrackId]>, start: Start, end: Ticks) -> Selection {
    let mut selection = Selection::default();
    let lead =
        parts(with, tracks).find(|(_, part, table)| part.track.kind == TrackKind::Video && !table.samples.is_empty());
    // The media time from which on sound is taken, and how early pictures of other tracks may begin.
    let mut from = None;
    match (start, lead) {
        (Start::Whole, _) => {}
        (Start::SyncOrWhole(at) | Start::SyncOrNext(at), Some((_, part, table))) => {
            let syncs = || shown(part, table).filter(|s| s.2).map(|s| s.0);
            let before = syncs().filter(|pts| *pts <= at.0).last();
            selection.from_sync = before.is_some();
            from = match start {
                Start::SyncOrNext(_) => before.or_else(|| syncs().next()),
                _ => before,
            };
        }
        (Start::SyncOrNext(at), None) => from = Some(at.0),
        (Start::SyncOrWhole(_), None) => {}
    }
    for (ordinal, part, table) in parts(with, tracks) {
        let video = part.track.kind == TrackKind::Video;
        let skip = match from {
            None => 0,
            Some(from) if video => {
                let syncs = || shown(part, table).enumerate().filter(|(_, s)| s.2);
                let before = syncs().filter(|(_, s)| s.0 <= from).last();
                before.or_else(|| syncs().next()).map_or(0, |(n, _)| n)
            }
            // With a picture, sound that begins with it or later; alone, what is still heard.
            Some(from) if lead.is_some() => shown(part, table).take_while(|s| s.0 < from).count(),
            Some(from) => shown(part, table).take_while(|s| s.1 <= from).count(),
        };
        let upto = end_of(part, table, end.0);
        let count = upto.saturating_sub(skip) as u32;
        selection.video |= video && count > 0;
        selection.chosen.push(Chosen { ordinal, skip: if count == 0 { 0 } else { skip as u32 }, count });
    }
    selection
}
