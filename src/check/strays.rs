//! Numbers that were void, told from the numbers around them.
//!
//! Comes in: the segments of a stream, in the order of their starts. Goes out: those whose number cannot have been theirs.
//! Never: I/O.
//!
//! A recorder that lost the stream may have stored an object that it could not commit; the next one gave its number out
//! anew, or began behind it in time. Of what was committed, numbers, times and discontinuities rise together: where two
//! segments do not, the one of the lower epoch was never committed.

use crate::media::segment::SegmentId;
use std::collections::VecDeque;

/// Segments that are compared with the next one.
const LOOK_BACK: usize = 1024;
/// So many may always be void. Each time that a recorder loses its stream leaves one at most.
const FEW: usize = 16;
/// Else, one in so many: more speaks for something else, such as an index that was restored and written to since.
const ONE_IN: u64 = 100;

/// Goes through the segments of one stream.
#[derive(Default)]
pub(super) struct Sweep {
    /// In their place, by number, with their discontinuities.
    placed: VecDeque<(SegmentId, u64)>,
    /// Not in their place.
    strays: Vec<SegmentId>,
    segments: u64,
}

impl Sweep {
    /// The next segment: none starts before the one that came before it.
    pub fn push(&mut self, id: SegmentId, discontinuity: u64) {
        self.segments += 1;
        while let Some((last, before)) = self.placed.back() {
            let in_time = last.sequence < id.sequence && last.end() <= id.start;
            let is_counted = *before <= discontinuity;
            // Of what was filled in no epoch tells when that was.
            let cannot_tell = last.epoch == id.epoch || (in_time && last.epoch.min(id.epoch) == 0);
            if (in_time && is_counted) || cannot_tell {
                break;
            }
            if last.epoch > id.epoch {
                self.note(id);
                return;
            }
            if let Some((last, _)) = self.placed.pop_back() {
                self.note(last);
            }
        }
        if self.placed.len() == LOOK_BACK {
            self.placed.pop_front();
        }
        self.placed.push_back((id, discontinuity));
    }

    fn most(&self) -> usize {
        usize::try_from(self.segments / ONE_IN).unwrap_or(usize::MAX).max(FEW)
    }

    fn note(&mut self, stray: SegmentId) {
        // Beyond that they are only counted.
        if self.strays.len() <= self.most() {
            self.strays.push(stray);
        }
    }

    /// Those whose number was void; the error says how many segments are out of order when they are too many for that.
    pub fn strays(self) -> Result<Vec<SegmentId>, usize> {
        if self.strays.len() > self.most() { Err(self.strays.len()) } else { Ok(self.strays) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{RunId, StreamName, UtcUs};

    /// Number, epoch, start, end, discontinuity.
    type Row = (u64, u64, i64, i64, u64);

    /// Numbers and epochs of the strays, in any order.
    #[allow(clippy::unwrap_used, reason = "tests")]
    fn strays(mut rows: Vec<Row>) -> Result<Vec<(u64, u64)>, usize> {
        rows.sort_by_key(|row| (row.2, row.0));
        let mut sweep = Sweep::default();
        for (sequence, epoch, start, end, discontinuity) in rows {
            let (stream, run) = (StreamName::parse("x").unwrap(), RunId(1));
            let id = SegmentId { stream, run, epoch, sequence, start: UtcUs(start), duration_us: end - start };
            sweep.push(id, discontinuity);
        }
        let mut found: Vec<(u64, u64)> = sweep.strays()?.into_iter().map(|id| (id.sequence, id.epoch)).collect();
        found.sort_unstable();
        Ok(found)
    }

    #[test]
    fn what_was_committed_is_in_its_place() {
        let taken_over = vec![(1, 1, 0, 4, 0), (2, 1, 4, 8, 0), (3, 3, 8, 12, 1), (4, 3, 100, 104, 2)];
        assert_eq!(strays(taken_over), Ok(vec![]));
        let filled = vec![(1, 1, 0, 4, 0), (2, 0, 4, 8, 0), (3, 0, 8, 11, 0), (4, 3, 11, 15, 1), (5, 3, 15, 19, 1)];
        assert_eq!(strays(filled), Ok(vec![]));
        // Nobody has its number, or its time: it is what the archive would lack.
        let unheard = vec![(1, 1, 0, 4, 0), (2, 4, 4, 8, 0), (3, 2, 8, 12, 0)];
        assert_eq!(strays(unheard), Ok(vec![]));
        let filled_and_unclear = vec![(26, 4, 0, 4, 9), (47, 0, 100, 104, 7), (48, 0, 104, 108, 7)];
        assert_eq!(strays(filled_and_unclear), Ok(vec![]));
        let one_recorder = vec![(1, 7, 0, 4, 0), (2, 7, 3, 8, 0), (3, 7, 7, 10, 0)];
        assert_eq!(strays(one_recorder), Ok(vec![]));
    }

    #[test]
    fn void_numbers_are_found() {
        let behind_the_last = vec![(6, 2, 0, 4, 0), (7, 4, 6, 10, 1), (8, 2, 8, 12, 0)];
        assert_eq!(strays(behind_the_last), Ok(vec![(8, 2)]));
        let from_before = vec![(6, 2, 0, 4, 0), (8, 2, 8, 12, 0), (9, 2, 12, 16, 0), (7, 4, 100, 104, 1)];
        assert_eq!(strays(from_before), Ok(vec![(8, 2), (9, 2)]));
        let reaches_into_the_next = vec![(6, 2, 0, 4, 0), (7, 2, 4, 8, 0), (8, 2, 8, 12, 0), (9, 3, 9, 13, 1)];
        assert_eq!(strays(reaches_into_the_next), Ok(vec![(8, 2)]));
        let counted_less = vec![(6, 2, 0, 4, 0), (7, 4, 4, 8, 3), (8, 2, 8, 12, 1), (8, 5, 12, 16, 3)];
        assert_eq!(strays(counted_less), Ok(vec![(8, 2)]));
        let filled_elsewhere = vec![(6, 2, 0, 4, 0), (7, 0, 4, 9, 0), (8, 3, 8, 12, 1)];
        assert_eq!(strays(filled_elsewhere), Ok(vec![(7, 0)]));
    }

    /// Recorded on from an older copy of the index: half of the archive is out of order.
    #[test]
    fn many_are_left_alone() {
        let mut rows: Vec<Row> = (0..100).map(|n| (n, 9, n as i64 * 4, n as i64 * 4 + 4, 50)).collect();
        rows.extend((100..140).map(|n| (n, 3, n as i64 * 4, n as i64 * 4 + 4, 20)));
        assert_eq!(strays(rows), Err(FEW + 1));
    }
}
