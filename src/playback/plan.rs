//! The presentation plan: which segments a playlist lists, and what stands between them.
//!
//! Comes in: a window and the rows that the index gave for it. Goes out: entries in order, numbered the same on
//! every node and at every reload. Never: knows of URLs or text.
//!
//! # Holes in the numbering
//! A segment's `sequence` is its media sequence number. Where rows are missing between two listed ones:
//! - a playlist that grows or slides lists a placeholder (EXT-X-GAP) for each missing number, up to
//!   [`MAX_LOST`] in a row, so that no later number shifts, whether the missing ones come late or never;
//! - over a wider hole, or where a run ends and no discontinuity was counted, a sliding playlist begins after it; a
//!   growing one, whose beginning is fixed, shows a discontinuity and numbers on;
//! - a playlist that ended long ago is not reloaded: any hole is a discontinuity, and what is missing is left out.
//!
//! All this depends on rows alone, not on tracks, so that the playlists of all tracks have the same
//! numbers and the same discontinuities (rfc8216bis 6.2.4). A track that is missing from a listed segment is
//! a gap in that track's playlist for the same reason.

use super::url::TrackChoice;
use super::window::{Mode, Rows, Window, WindowError, target_seconds};
use crate::media::{InitHash, Segment, TrackId, UtcUs};

/// Most placeholders in a row, and most discontinuities before one segment.
pub const MAX_LOST: u64 = 16;

/// One entry of every playlist of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A recorded segment.
    Segment {
        /// Its row.
        segment: &'a Segment,
        /// EXT-X-DISCONTINUITY tags before it.
        discontinuities: u32,
    },
    /// A number whose segment is missing.
    Lost {
        /// Its share of the missing time, in microseconds.
        duration_us: i64,
    },
}

/// Ordered segments and breaks that answer one request.
#[derive(Debug, Clone)]
pub struct Plan<'a> {
    window: Window,
    entries: Vec<Entry<'a>>,
    first: &'a Segment,
    target_seconds: u32,
}

/// What lies between two listed segments.
pub(super) enum Link {
    /// They follow each other, after so many discontinuities.
    Next(u32),
    /// Numbers are missing: so many, and so many discontinuities.
    Lost(u64, u32),
    /// Too much is missing.
    Wide,
}

pub(super) fn link(before: &Segment, after: &Segment, closed: bool) -> Link {
    let missing = after.id.sequence.saturating_sub(before.id.sequence).saturating_sub(1);
    let breaks = match after.discontinuity.checked_sub(before.discontinuity) {
        Some(n) => n,
        None => return Link::Wide,
    };
    // Numbers that two recorders left uncommitted, adopted later, may lie between those of another run and count no
    // discontinuity of their own.
    let is_seam = breaks == 0 && before.id.run != after.id.run;
    if closed {
        return Link::Next(u32::from(missing > 0 || breaks > 0 || is_seam));
    }
    if is_seam {
        return Link::Wide;
    }
    match u32::try_from(breaks) {
        Ok(tags) if breaks <= MAX_LOST && missing == 0 => Link::Next(tags),
        Ok(tags) if breaks <= MAX_LOST && missing <= MAX_LOST => Link::Lost(missing, tags),
        _ => Link::Wide,
    }
}

impl<'a> Plan<'a> {
    /// Makes a plan from rows in ascending order. Rows that do not belong in the window, or are out of order,
    /// are left out.
    ///
    /// # Errors
    /// [`WindowError::NothingRecorded`] when no row is left.
    pub fn build(window: &Window, rows: impl IntoIterator<Item = &'a Segment>) -> Result<Self, WindowError> {
        let closed = matches!(window.mode, Mode::Vod { fresh: false, .. });
        let mut listed: Vec<&Segment> = Vec::new();
        for row in rows {
            let inside = match window.rows {
                Rows::Overlapping(range) => row.range().overlaps(range),
                Rows::Newest { before, .. } => row.id.start < before,
            };
            if !closed && target_seconds(row.longest_us(), 1) > window.target_seconds {
                // Published after it was asked how long segments are. It is there, with another target duration, as
                // soon as that is known.
                break;
            }
            let ordered = listed.last().is_none_or(|last| last.id.sequence < row.id.sequence);
            if inside && ordered && row.id.end() <= window.listed_until && !row.tracks.is_empty() {
                listed.push(row);
            }
        }
        let mut from = 0;
        if let Mode::Sliding { keep_us } = window.mode {
            from = (1..listed.len())
                .rev()
                .find(|&i| matches!(link(listed[i - 1], listed[i], closed), Link::Wide))
                .unwrap_or(0);
            if let Some(keep_us) = keep_us {
                from = from.max(last_spanning(&listed, keep_us));
            }
        }
        let listed = listed.get(from..).unwrap_or_default();
        let Some(&first) = listed.first() else { return Err(WindowError::NothingRecorded) };
        let target_seconds =
            if closed { needed_seconds(listed).max(window.target_seconds) } else { window.target_seconds };
        let mut plan = Self { window: *window, entries: Vec::with_capacity(listed.len()), first, target_seconds };
        let mut previous: Option<&Segment> = None;
        for &segment in listed {
            let discontinuities = match previous.map(|p| (p, link(p, segment, closed))) {
                None => 0,
                Some((_, Link::Next(tags))) => tags,
                Some((_, Link::Wide)) => 1,
                Some((before, Link::Lost(missing, tags))) => {
                    plan.add_lost(missing, segment.id.start.since(before.id.end()));
                    tags
                }
            };
            plan.entries.push(Entry::Segment { segment, discontinuities });
            previous = Some(segment);
        }
        Ok(plan)
    }

    fn add_lost(&mut self, missing: u64, missing_us: i64) {
        let share_us = missing_us / i64::try_from(missing.max(1)).unwrap_or(1);
        let duration_us = share_us.clamp(1000, i64::from(self.target_seconds) * 1_000_000);
        self.entries.extend((0..missing).map(|_| Entry::Lost { duration_us }));
    }

    /// The window this plan answers.
    pub const fn window(&self) -> &Window {
        &self.window
    }

    /// Entries in order, at least one; the first and the last are segments.
    pub fn entries(&self) -> &[Entry<'a>] {
        &self.entries
    }

    /// The first listed segment.
    pub const fn first(&self) -> &'a Segment {
        self.first
    }

    /// Listed segments in order.
    pub fn segments(&self) -> impl Iterator<Item = &'a Segment> + Clone {
        self.entries.iter().filter_map(|e| match *e {
            Entry::Segment { segment, .. } => Some(segment),
            Entry::Lost { .. } => None,
        })
    }

    /// EXT-X-TARGETDURATION of all playlists of this plan: [`Window::target_seconds`], so that it stays the same
    /// between reloads, and when a growing playlist ends.
    pub const fn target_seconds(&self) -> u32 {
        self.target_seconds
    }

    /// End of the last listed segment.
    pub fn end(&self) -> UtcUs {
        self.segments().last().map_or(self.first.id.start, |s| s.id.end())
    }

    /// All tracks that any listed segment has: video first, each by number.
    pub fn tracks(&self) -> Vec<TrackId> {
        let mut tracks: Vec<TrackId> = Vec::new();
        for part in self.segments().flat_map(|s| &s.tracks) {
            if let Err(at) = tracks.binary_search(&part.track) {
                tracks.insert(at, part.track);
            }
        }
        tracks
    }

    /// The tracks of a choice, in the order of [`Plan::tracks`].
    ///
    /// # Errors
    /// [`WindowError::NoSuchTrack`] when none of them is there.
    pub fn chosen_tracks(&self, choice: Option<&TrackChoice>) -> Result<Vec<TrackId>, WindowError> {
        let mut tracks = self.tracks();
        if let Some(choice) = choice {
            let mut position = 0;
            tracks.retain(|&track| {
                position += 1;
                choice.wants(track, position - 1)
            });
        }
        if tracks.is_empty() { Err(WindowError::NoSuchTrack) } else { Ok(tracks) }
    }

    /// Init segments that the listed segments need, each once, ascending.
    pub fn inits(&self) -> Vec<InitHash> {
        let mut inits: Vec<InitHash> = Vec::new();
        for part in self.segments().flat_map(|s| &s.tracks) {
            if let Err(at) = inits.binary_search(&part.init) {
                inits.insert(at, part.init);
            }
        }
        inits
    }
}

/// Where the shortest tail begins that lasts `keep_us`. Never moves backwards as segments are added.
fn last_spanning(listed: &[&Segment], keep_us: i64) -> usize {
    let mut span_us = 0i64;
    for (i, segment) in listed.iter().enumerate().rev() {
        span_us = span_us.saturating_add(segment.shortest_us());
        if span_us >= keep_us {
            return i;
        }
    }
    0
}

/// The least EXT-X-TARGETDURATION that holds for all of `listed`.
fn needed_seconds(listed: &[&Segment]) -> u32 {
    target_seconds(listed.iter().map(|s| s.longest_us()).max().unwrap_or(0), 1)
}
