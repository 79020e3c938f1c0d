//! Locks: time ranges that retention must keep.

use super::{StreamName, UtcRange, UtcUs};
use std::fmt;

/// Longest title of a lock, in bytes.
pub const MAX_TITLE_BYTES: usize = 500;

/// Name of a lock: 128 bits (a UUID v7), written as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockId(pub u128);

impl LockId {
    /// Reads 32 lower-case hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        super::RunId::parse(text).map(|run| Self(run.0))
    }
}

impl fmt::Display for LockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for LockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A time range of a stream that retention must keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// Its name.
    pub id: LockId,
    /// Stream.
    pub stream: StreamName,
    /// What is kept: every segment that overlaps it. Not empty.
    pub range: UtcRange,
    /// For people; at most [`MAX_TITLE_BYTES`].
    pub title: String,
    /// When it was made.
    pub created: UtcUs,
    /// From when on it keeps nothing; `None` for never.
    pub expires: Option<UtcUs>,
}

/// The spans between locked ranges, from `first` to `cutoff`: of what ends at or before `cutoff` and starts at or after
/// `first`, exactly the segments that lie wholly in one of them overlap no lock. `locked` in any order.
pub fn unlocked_spans(locked: &[UtcRange], first: UtcUs, cutoff: UtcUs) -> Vec<UtcRange> {
    let mut locked: Vec<UtcRange> = locked.iter().copied().filter(|l| !l.is_empty() && l.start < cutoff).collect();
    locked.sort_by_key(|l| l.start);
    let mut spans = Vec::new();
    let mut from = first;
    for lock in locked {
        spans.push(UtcRange::new(from, lock.start.max(from)));
        from = from.max(lock.end);
    }
    spans.push(UtcRange::new(from, cutoff.max(from)));
    spans.retain(|s| !s.is_empty());
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_lies_in_a_span_overlaps_no_lock_and_the_other_way_round(
            locks in proptest::collection::vec((0i64..60, 0i64..10), 0..8),
            first in 0i64..30, cutoff in 0i64..60, start in 0i64..60, length in 1i64..8,
        ) {
            let range = |from: i64, to: i64| UtcRange::new(UtcUs(from), UtcUs(to));
            let locks: Vec<_> = locks.into_iter().map(|(from, length)| range(from, from + length)).collect();
            let spans = unlocked_spans(&locks, UtcUs(first), UtcUs(cutoff));
            let segment = range(start, start + length);
            let expected = start >= first && segment.end.0 <= cutoff && !locks.iter().any(|l| l.overlaps(segment));
            let inside = spans.iter().filter(|s| s.start <= segment.start && segment.end <= s.end).count();
            prop_assert_eq!(inside, usize::from(expected), "{:?}", spans);
            prop_assert!(spans.windows(2).all(|w| w[0].end < w[1].start));
        }
    }
}
