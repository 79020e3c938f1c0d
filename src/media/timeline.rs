//! What was recorded when: segments joined into ranges, ranges cut into windows.

use super::time::UtcRange;

/// Spans between segments up to this long are not gaps: wall time is rounded and slewed.
pub const JOIN_TOLERANCE_US: i64 = 500_000;

/// Joins ranges, given by ascending start, that touch or lie no further apart than `tolerance_us`.
pub fn join(ranges: impl IntoIterator<Item = UtcRange>, tolerance_us: i64) -> Vec<UtcRange> {
    let mut joined: Vec<UtcRange> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start.since(last.end) <= tolerance_us => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

/// The parts of `window` that `ranges` (ascending, disjoint) leave uncovered.
pub fn gaps(ranges: &[UtcRange], window: UtcRange) -> Vec<UtcRange> {
    let mut gaps = Vec::new();
    let mut at = window.start;
    for range in ranges.iter().filter_map(|r| r.intersect(window)) {
        if range.start > at {
            gaps.push(UtcRange { start: at, end: range.start });
        }
        at = at.max(range.end);
    }
    if at < window.end {
        gaps.push(UtcRange { start: at, end: window.end });
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::super::time::UtcUs;
    use super::*;
    use proptest::prelude::*;

    fn ranges(spans: &[(i64, i64)]) -> Vec<UtcRange> {
        let mut at = 0;
        spans
            .iter()
            .map(|&(gap, length)| {
                let start = at + gap;
                at = start + length;
                UtcRange::new(UtcUs(start), UtcUs(at))
            })
            .collect()
    }

    proptest! {
        /// Against the naive model: a set of moments.
        #[test]
        fn ranges_and_gaps_tile_the_window(spans in proptest::collection::vec((0i64..4, 1i64..5), 0..8), from in -3i64..20, length in 1i64..30) {
            let joined = join(ranges(&spans), 0);
            let window = UtcRange::new(UtcUs(from), UtcUs(from + length));
            let holes = gaps(&joined, window);
            for t in from..from + length {
                let t = UtcUs(t);
                let covered = ranges(&spans).iter().any(|r| r.contains(t));
                prop_assert_eq!(covered, joined.iter().any(|r| r.contains(t)));
                prop_assert_eq!(!covered, holes.iter().any(|r| r.contains(t)));
            }
        }

        #[test]
        fn joined_ranges_lie_apart(spans in proptest::collection::vec((0i64..4, 1i64..5), 0..8), tolerance in 0i64..4) {
            let joined = join(ranges(&spans), tolerance);
            for pair in joined.windows(2) {
                prop_assert!(pair[1].start.since(pair[0].end) > tolerance);
            }
        }
    }
}
