//! Wall time and media time.
//!
//! Wall time is UTC in whole microseconds. Media time is whole ticks of one 90 kHz clock for every
//! track (see `docs/decisions/0001-one-timescale.md`). Nothing here is floating point.

use std::ops::{Add, Sub};

/// Media ticks per second, for every track that is stored: the clock of PTS and DTS (ISO/IEC 13818-1 2.4.3.7).
pub const TIMESCALE: u32 = 90_000;

/// Microseconds in a second.
pub const US_PER_SECOND: i64 = 1_000_000;

/// A moment of wall time: microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct UtcUs(pub i64);

impl UtcUs {
    /// From whole UTC seconds; saturates at the ends of `i64`.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(US_PER_SECOND))
    }

    /// From UTC milliseconds; saturates at the ends of `i64`.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Whole milliseconds, rounded down.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Whole seconds, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(US_PER_SECOND)
    }

    /// This moment moved by `us` microseconds; saturates.
    pub const fn plus_us(self, us: i64) -> Self {
        Self(self.0.saturating_add(us))
    }

    /// Microseconds from `earlier` to this moment; saturates.
    pub const fn since(self, earlier: UtcUs) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A moment or a length of media time, in ticks of 1/90000 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Ticks(pub i64);

impl Ticks {
    /// Microseconds, rounded to the nearest (halves away from zero).
    pub const fn to_us(self) -> i64 {
        let scaled = self.0 as i128 * 100;
        let rounded = if scaled >= 0 { (scaled + 4) / 9 } else { (scaled - 4) / 9 };
        rounded as i64
    }

    /// The tick nearest to `us` microseconds (halves away from zero).
    pub const fn from_us(us: i64) -> Self {
        let scaled = us as i128 * 9;
        let rounded = if scaled >= 0 { (scaled + 50) / 100 } else { (scaled - 50) / 100 };
        Self(rounded as i64)
    }

    /// `value` in units of `1/timescale` s, as the nearest tick. `timescale` must not be zero.
    pub const fn rescale(value: i64, timescale: u32) -> Self {
        let t = timescale as i128;
        let scaled = value as i128 * TIMESCALE as i128;
        let rounded = if scaled >= 0 { (scaled + t / 2) / t } else { (scaled - t / 2) / t };
        Self(rounded as i64)
    }
}

impl Add for Ticks {
    type Output = Ticks;
    fn add(self, other: Ticks) -> Ticks {
        Ticks(self.0 + other.0)
    }
}

impl Sub for Ticks {
    type Output = Ticks;
    fn sub(self, other: Ticks) -> Ticks {
        Ticks(self.0 - other.0)
    }
}

/// A half-open range of wall time: `start` is in it, `end` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct UtcRange {
    /// First moment inside.
    pub start: UtcUs,
    /// First moment after.
    pub end: UtcUs,
}

impl UtcRange {
    /// A range; an `end` before `start` gives an empty one at `start`.
    pub fn new(start: UtcUs, end: UtcUs) -> Self {
        Self { start, end: end.max(start) }
    }

    /// Length in microseconds.
    pub const fn duration_us(self) -> i64 {
        self.end.since(self.start)
    }

    /// Whether nothing is inside.
    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }

    /// Whether `at` is inside.
    pub fn contains(self, at: UtcUs) -> bool {
        self.start <= at && at < self.end
    }

    /// Whether the two share a moment.
    pub fn overlaps(self, other: UtcRange) -> bool {
        self.start < other.end && other.start < self.end && !self.is_empty() && !other.is_empty()
    }

    /// The shared part, if there is one.
    pub fn intersect(self, other: UtcRange) -> Option<UtcRange> {
        let start = self.start.max(other.start);
        let end = self.end.min(other.end);
        (start < end).then_some(UtcRange { start, end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ticks_survive_the_way_through_microseconds(t in -(1i64 << 50)..(1i64 << 50)) {
            prop_assert_eq!(Ticks::from_us(Ticks(t).to_us()), Ticks(t));
        }

        #[test]
        fn rescaling_is_off_by_half_a_tick_at_most(v in -(1i64 << 40)..(1i64 << 40), ts in 1u32..200_000_000) {
            let got = Ticks::rescale(v, ts).0 as i128;
            let error = (got * ts as i128 - v as i128 * 90_000).abs();
            prop_assert!(error * 2 <= ts as i128);
        }

        #[test]
        fn intersect_agrees_with_overlaps(a in -50i64..50, b in -50i64..50, c in -50i64..50, d in -50i64..50) {
            let x = UtcRange::new(UtcUs(a), UtcUs(b));
            let y = UtcRange::new(UtcUs(c), UtcUs(d));
            prop_assert_eq!(x.overlaps(y), x.intersect(y).is_some());
        }
    }
}
