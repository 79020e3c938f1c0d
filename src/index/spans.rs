//! Reads a stream's spans page by page and joins them.
//!
//! Comes in: rows of `sql::SPANS`, page after page. Goes out: bounds of the next page, joined ranges. Memory
//! holds one page and the ranges asked for. Never: SQL of its own.

use super::{Extent, Result};
use crate::index::error::damaged;
use crate::media::segment::LONGEST_SEGMENT_US;
use crate::media::{UtcRange, UtcUs};

/// Wall time that a page looks at, at first: bounds the partitions one statement touches.
const FIRST_STEP_US: i64 = 8 * 86_400_000_000;

/// Most rows of a page.
const PAGE_ROWS: i64 = 16_384;

/// Bounds of one page, in the order of the parameters of `sql::SPANS` after the stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    pub before: i64,
    pub not_before: i64,
    pub ends_after: i64,
    pub last_start: i64,
    pub last_sequence: i64,
    pub limit: i64,
}

/// Joins spans into ranges.
pub(super) struct Spans {
    window: UtcRange,
    tolerance_us: i64,
    limit: usize,
    /// Bounds of the starts still to be read.
    low: i64,
    high: i64,
    step_us: i64,
    page_end: i64,
    last: (i64, i64),
    ranges: Vec<UtcRange>,
    done: bool,
}

impl Spans {
    /// `extent` is the stream's: nothing listed lies outside.
    pub fn new(window: UtcRange, extent: Option<Extent>, tolerance_us: i64, limit: usize) -> Self {
        let (low, high) = extent.map_or((0, 0), |extent| {
            let low = window.start.plus_us(-LONGEST_SEGMENT_US).max(extent.first_start);
            (low.0, window.end.min(extent.live_edge).0)
        });
        let done = limit == 0 || window.is_empty();
        let (step_us, last) = (FIRST_STEP_US, (i64::MIN, -1));
        Self { window, tolerance_us, limit, low, high, step_us, page_end: low, last, ranges: Vec::new(), done }
    }

    /// What to read next; `None` when all is read.
    pub fn page(&mut self) -> Option<Page> {
        if self.done || self.low >= self.high {
            return None;
        }
        self.page_end = self.low.saturating_add(self.step_us).min(self.high);
        Some(Page {
            before: self.page_end,
            not_before: self.low,
            ends_after: self.window.start.0,
            last_start: self.last.0,
            last_sequence: self.last.1,
            limit: PAGE_ROWS,
        })
    }

    /// Takes the rows of the page asked for: start, sequence, duration.
    pub fn take(&mut self, rows: &[(i64, i64, i64)]) -> Result<()> {
        for &(start, _, duration_us) in rows {
            if duration_us <= 0 {
                return Err(damaged(format_args!("duration of the segment at {start}")));
            }
            let span = UtcRange::new(UtcUs(start), UtcUs(start).plus_us(duration_us));
            let full = self.ranges.len() >= self.limit;
            match self.ranges.last_mut() {
                Some(last) if span.start.since(last.end) <= self.tolerance_us => last.end = last.end.max(span.end),
                _ if full => {
                    self.done = true;
                    return Ok(());
                }
                _ => self.ranges.push(span),
            }
        }
        match rows.last() {
            Some(&(start, sequence, _)) if rows.len() as i64 >= PAGE_ROWS => {
                self.low = start;
                self.last = (start, sequence);
            }
            _ => {
                self.low = self.page_end;
                // A long gap is crossed in ever longer steps.
                self.step_us = if rows.is_empty() { self.step_us.saturating_mul(2) } else { FIRST_STEP_US };
            }
        }
        Ok(())
    }

    /// The joined ranges.
    pub fn ranges(self) -> Vec<UtcRange> {
        self.ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::timeline;
    use proptest::prelude::*;

    /// What the database would answer.
    fn answer(all: &[(i64, i64, i64)], page: Page) -> Vec<(i64, i64, i64)> {
        let inside = |&&(start, sequence, duration): &&(i64, i64, i64)| {
            start < page.before
                && start >= page.not_before
                && start + duration > page.ends_after
                && (start > page.last_start || sequence > page.last_sequence)
        };
        all.iter().filter(inside).take(page.limit as usize).copied().collect()
    }

    proptest! {
        #[test]
        fn pages_join_like_one_list(spans in proptest::collection::vec((0i64..40 * 86_400, 1i64..120), 0..60), limit in 0usize..8, from in 0i64..100 * 86_400, length in 0i64..400 * 86_400) {
            let mut at = 0;
            let all: Vec<_> = spans.iter().enumerate().map(|(n, &(gap, length))| {
                // Most segments follow one another, some after days.
                at += if gap % 3 == 0 { gap * 1_000_000 } else { 0 };
                let start = at;
                at += length * 1_000_000;
                (start, n as i64, length * 1_000_000)
            }).collect();
            let window = UtcRange::new(UtcUs(from * 1_000_000), UtcUs((from + length) * 1_000_000));
            let extent = all.first().map(|first| Extent { first_start: UtcUs(first.0), live_edge: UtcUs(at), longest_us: 0 });
            let mut read = Spans::new(window, extent, 1_000_000, limit);
            let mut pages = 0;
            while let Some(page) = read.page() {
                read.take(&answer(&all, page)).unwrap();
                pages += 1;
                prop_assert!(pages < 1000);
            }
            let whole = all.iter().map(|&(s, _, d)| UtcRange::new(UtcUs(s), UtcUs(s + d))).filter(|r| r.overlaps(window));
            let mut expected = timeline::join(whole, 1_000_000);
            expected.truncate(limit);
            prop_assert_eq!(read.ranges(), expected);
        }
    }
}
