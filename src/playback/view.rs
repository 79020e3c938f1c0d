//! Rows as playback keeps them: blocks of one hour, and views of some rows of some blocks, without copies.
//!
//! Comes in: rows read from the index. Goes out: the rows of a window, in order. Never: reads anything, copies a
//! row unless a clock was set back and hours overlap.

use super::rendered::Renderings;
use crate::media::{Segment, UtcRange, UtcUs};
use std::ops::Range;
use std::sync::Arc;

/// Length of a block, in microseconds.
pub const BLOCK_US: i64 = 3_600_000_000;

/// The block in which a segment that starts at `at` lies: blocks are whole hours of UTC.
pub const fn block_of(at: UtcUs) -> i64 {
    at.0.div_euclid(BLOCK_US)
}

/// The wall time of a block.
pub const fn block_range(block: i64) -> UtcRange {
    let start = UtcUs(block.saturating_mul(BLOCK_US));
    UtcRange { start, end: start.plus_us(BLOCK_US) }
}

/// The listed rows that start in one hour of one stream, by ascending sequence.
#[derive(Debug, Default)]
pub struct Block {
    segments: Vec<Segment>,
    /// Whether starts and ends ascend with the numbers: then what overlaps a window is one run of rows.
    straight: bool,
    /// See [`Segment::longest_us`].
    longest_us: i64,
    rendered: Renderings,
}

impl Block {
    /// A block of `segments`, which ascend by sequence.
    pub fn new(segments: Vec<Segment>) -> Self {
        let straight = segments
            .is_sorted_by(|a, b| a.id.sequence < b.id.sequence && a.id.start <= b.id.start && a.id.end() <= b.id.end());
        let longest_us = segments.iter().map(Segment::longest_us).max().unwrap_or(0);
        Self { segments, straight, longest_us, rendered: Renderings::default() }
    }

    /// Its rows.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The longest duration of any of its rows or their tracks, in microseconds.
    pub fn longest_us(&self) -> i64 {
        self.longest_us
    }

    /// Texts that were made of its rows.
    pub(super) fn renderings(&self) -> &Renderings {
        &self.rendered
    }

    /// Memory that it holds, roughly, in bytes, texts not included: see [`Renderings::MOST_TEXTS`].
    pub fn memory_bytes(&self) -> usize {
        let of = |s: &Segment| {
            size_of::<Segment>()
                + s.tracks.capacity() * size_of::<crate::media::TrackPart>()
                + s.object.as_str().len()
                + s.id.stream.as_str().len()
                + 48
        };
        self.segments.iter().map(of).sum()
    }
}

/// Some rows of some blocks.
#[derive(Debug, Clone, Default)]
pub struct View {
    pieces: Vec<(Arc<Block>, Range<usize>)>,
}

impl View {
    /// The rows of `blocks` (ascending by hour) that overlap `range`, by ascending sequence.
    pub fn overlapping(blocks: &[Arc<Block>], range: UtcRange) -> Self {
        let of = |block: &Arc<Block>| {
            let rows = &block.segments;
            let from = rows.partition_point(|s| s.id.end() <= range.start);
            let to = rows.partition_point(|s| s.id.start < range.end);
            from..to.max(from)
        };
        if !range.is_empty() && blocks.iter().all(|b| b.straight) {
            let pieces = blocks.iter().map(|b| (b.clone(), of(b))).filter(|(_, r)| !r.is_empty()).collect();
            let view = Self { pieces };
            if view.ascends() {
                return view;
            }
        }
        Self::sorted(blocks, |s| s.range().overlaps(range))
    }

    /// The last `count` rows of `blocks` that start before `before`, by ascending sequence; `None` when that
    /// cannot be told without sorting, because a clock was set back.
    pub fn newest(blocks: &[Arc<Block>], before: UtcUs, count: usize) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut wanted = count;
        for block in blocks.iter().rev() {
            if !block.straight {
                return None;
            }
            let to = block.segments.partition_point(|s| s.id.start < before);
            let from = to.saturating_sub(wanted);
            wanted -= to - from;
            if from < to {
                pieces.push((block.clone(), from..to));
            }
        }
        pieces.reverse();
        let view = Self { pieces };
        view.ascends().then_some(view)
    }

    /// These rows, which ascend by sequence.
    pub fn of(segments: Vec<Segment>) -> Self {
        let rows = 0..segments.len();
        Self { pieces: vec![(Arc::new(Block::new(segments)), rows)] }
    }

    fn ascends(&self) -> bool {
        let number = |(block, rows): &(Arc<Block>, Range<usize>), last: bool| {
            let at = if last { rows.end - 1 } else { rows.start };
            block.segments.get(at).map(|s| s.id.sequence)
        };
        self.pieces.is_sorted_by(|a, b| number(a, true) < number(b, false))
    }

    /// Hours that overlap in numbers: a clock was set back. Of two rows with one number, which only rows read at
    /// different times can have, the higher epoch holds.
    fn sorted(blocks: &[Arc<Block>], wanted: impl Fn(&Segment) -> bool) -> Self {
        let mut rows: Vec<Segment> = blocks.iter().flat_map(|b| &b.segments).filter(|s| wanted(s)).cloned().collect();
        rows.sort_by_key(|s| (s.id.sequence, u64::MAX - s.id.epoch));
        rows.dedup_by_key(|s| s.id.sequence);
        Self::of(rows)
    }

    /// The rows, by ascending sequence.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &Segment> + Clone {
        self.pieces.iter().flat_map(|(block, rows)| block.segments.get(rows.clone()).unwrap_or_default())
    }

    /// The blocks with the rows that are meant of each; no piece is empty, except that of a view without rows.
    pub fn pieces(&self) -> &[(Arc<Block>, Range<usize>)] {
        &self.pieces
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.pieces.iter().map(|(_, rows)| rows.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies of the rows.
    pub fn to_vec(&self) -> Vec<Segment> {
        self.segments().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::segment::SegmentId;
    use crate::media::{ObjectKey, RunId, StreamName, Ticks};
    use proptest::prelude::*;

    fn row(sequence: u64, start: i64, duration_us: i64) -> Segment {
        let stream = StreamName::parse("a").unwrap();
        let id = SegmentId { stream, run: RunId(1), epoch: 1, sequence, start: UtcUs(start), duration_us };
        let object = ObjectKey::parse("a/b").unwrap();
        Segment {
            id,
            discontinuity: 0,
            anchor: Ticks(0),
            object,
            object_offset: 0,
            object_length: 1,
            tracks: Vec::new(),
        }
    }

    fn blocks(rows: &[Segment]) -> Vec<Arc<Block>> {
        let hours = -1..4;
        hours
            .map(|hour| rows.iter().filter(|s| block_of(s.id.start) == hour).cloned().collect())
            .map(|rows| Arc::new(Block::new(rows)))
            .collect()
    }

    fn numbers(view: &View) -> Vec<u64> {
        view.segments().map(|s| s.id.sequence).collect()
    }

    proptest! {
        /// Steps are in minutes; some go back.
        #[test]
        fn a_view_is_what_a_scan_gives(
            steps in proptest::collection::vec((prop_oneof![9 => 1i64..4, 1 => -30i64..0], 1i64..3), 0..60),
            from in -10i64..200, length in 0i64..200, count in 1usize..40,
        ) {
            const MINUTE: i64 = 60_000_000;
            let mut at = 0;
            let rows: Vec<Segment> = steps.iter().enumerate().map(|(n, (step, duration))| {
                at = (at + step).clamp(-50, 170);
                row(n as u64, at * MINUTE, duration * MINUTE)
            }).collect();
            let blocks = blocks(&rows);
            let range = UtcRange::new(UtcUs(from * MINUTE), UtcUs((from + length) * MINUTE));
            let expected: Vec<u64> = rows.iter().filter(|s| s.range().overlaps(range)).map(|s| s.id.sequence).collect();
            let view = View::overlapping(&blocks, range);
            prop_assert_eq!(view.len(), expected.len());
            prop_assert_eq!(numbers(&view), expected);
            let before = UtcUs(from * MINUTE);
            if let Some(view) = View::newest(&blocks, before, count) {
                let mut newest: Vec<&Segment> = rows.iter().filter(|s| s.id.start < before).collect();
                newest.sort_by_key(|s| (s.id.start, s.id.sequence));
                let mut expected: Vec<u64> = newest.iter().rev().take(count).map(|s| s.id.sequence).collect();
                expected.sort_unstable();
                prop_assert_eq!(numbers(&view), expected);
            }
        }
    }

    #[test]
    fn straight_rows_are_not_copied() {
        let rows: Vec<Segment> = (0..1200).map(|n| row(n, n as i64 * 6_000_000, 6_000_000)).collect();
        let blocks = blocks(&rows);
        let view = View::overlapping(&blocks, UtcRange::new(UtcUs(3_597_000_000), UtcUs(3_612_000_000)));
        assert_eq!(numbers(&view), [599, 600, 601]);
        assert_eq!(view.pieces().len(), 2);
        assert!(view.pieces().iter().all(|(b, _)| blocks.iter().any(|known| Arc::ptr_eq(known, b))));
        assert_eq!(numbers(&View::newest(&blocks, UtcUs(3_600_000_000), 2).unwrap()), [598, 599]);
        assert!(View::newest(&[], UtcUs(0), 2).unwrap().is_empty());
    }
}
