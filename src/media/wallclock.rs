//! Wall time of a run: anchored once, then following the media clock, with drift slewed.
//!
//! Comes in: media times with what the source (or the arrival) says the wall time was. Goes out: the
//! wall time of each cut, never running backwards. Never: reads a clock.

use super::time::{Ticks, UtcUs};

/// A difference larger than this between media clock and wall clock is a jump: a new run begins.
pub const JUMP_US: i64 = 10_000_000;

/// Fastest correction: microseconds of wall time per second of media (500 ppm).
pub const MAX_SLEW_US_PER_SECOND: i64 = 500;

/// Observations that one estimate looks at.
const WINDOW: usize = 16;

/// Where a wall time came from: what the source says is worth more than when it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WallSource {
    /// PROGRAM-DATE-TIME, TDT, RTCP: exact up to its own rounding.
    Stated,
    /// The time of arrival: late by an unknown, varying delay, never early.
    Arrival,
}

/// What an observation showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observed {
    /// Within what can be slewed.
    Steady,
    /// Off by this many microseconds: begin a new run.
    Jump(i64),
}

/// Maps one run's media time to wall time.
#[derive(Debug, Clone)]
pub struct WallClock {
    /// Media time and wall time of the last cut.
    anchor_media: Ticks,
    anchor_utc: UtcUs,
    source: WallSource,
    /// Latest offsets (wall minus mapped wall) in microseconds.
    errors: Vec<i64>,
    slew_us: i64,
}

impl WallClock {
    /// A clock by which `media` is `utc`.
    pub fn new(media: Ticks, utc: UtcUs, source: WallSource) -> Self {
        Self { anchor_media: media, anchor_utc: utc, source, errors: Vec::new(), slew_us: 0 }
    }

    /// Wall time of `media` as mapped now, without correction.
    pub fn utc_of(&self, media: Ticks) -> UtcUs {
        self.anchor_utc.plus_us((media - self.anchor_media).to_us())
    }

    /// Takes note that `media` was `utc`, as told by `source`. Arrival is ignored once the source itself
    /// states the time.
    pub fn observe(&mut self, media: Ticks, utc: UtcUs, source: WallSource) -> Observed {
        match (self.source, source) {
            (WallSource::Stated, WallSource::Arrival) => return Observed::Steady,
            (WallSource::Arrival, WallSource::Stated) => {
                self.source = source;
                self.errors.clear();
            }
            _ => {}
        }
        let error = utc.since(self.utc_of(media));
        let jumped = match source {
            WallSource::Stated => error.abs() > JUMP_US,
            // Late is normal, up to a point; early means the media clock ran ahead.
            WallSource::Arrival => error.abs() > 3 * JUMP_US,
        };
        if jumped {
            return Observed::Jump(error);
        }
        if self.errors.len() == WINDOW {
            self.errors.remove(0);
        }
        self.errors.push(error);
        let full = self.errors.len() == WINDOW;
        self.slew_us = match source {
            WallSource::Stated => median(&self.errors),
            // The least delayed arrival of a full window is nearest to the truth.
            WallSource::Arrival if full => self.errors.iter().copied().min().unwrap_or(0),
            WallSource::Arrival => 0,
        };
        Observed::Steady
    }

    /// Wall time of a cut at `media`, which becomes the new anchor. Not before the last cut.
    pub fn cut(&mut self, media: Ticks) -> UtcUs {
        let elapsed_us = (media - self.anchor_media).to_us().max(0);
        let most = (elapsed_us as i128 * MAX_SLEW_US_PER_SECOND as i128 / 1_000_000) as i64;
        let correction = self.slew_us.clamp(-most, most);
        for error in &mut self.errors {
            *error -= correction;
        }
        self.slew_us -= correction;
        self.anchor_utc = self.anchor_utc.plus_us(elapsed_us + correction);
        self.anchor_media = media;
        self.anchor_utc
    }
}

fn median(values: &[i64]) -> i64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEGMENT: i64 = 6 * 90_000;

    #[test]
    fn follows_the_media_clock_when_nothing_is_observed() {
        let mut clock = WallClock::new(Ticks(0), UtcUs(1_000), WallSource::Arrival);
        assert_eq!(clock.cut(Ticks(SEGMENT)), UtcUs(6_001_000));
    }

    #[test]
    fn drift_is_slewed_away_slowly_and_wholly() {
        let mut clock = WallClock::new(Ticks(0), UtcUs(0), WallSource::Stated);
        let mut last = UtcUs(0);
        for n in 1..200 {
            let media = Ticks(n * SEGMENT);
            assert_eq!(clock.observe(media, UtcUs(n * 6_000_000 + 40_000), WallSource::Stated), Observed::Steady);
            let cut = clock.cut(media);
            let step = cut.since(last);
            assert!((5_997_000..=6_003_000).contains(&step), "step of {step} us");
            last = cut;
        }
        assert!((last.0 - (199 * 6_000_000 + 40_000)).abs() < 100, "{last:?}");
    }

    #[test]
    fn bursty_arrival_moves_nothing_and_a_jump_is_seen() {
        let mut clock = WallClock::new(Ticks(0), UtcUs(0), WallSource::Arrival);
        for n in 1..100 {
            let late = if n % 3 == 0 { 0 } else { 1_500_000 };
            assert_eq!(
                clock.observe(Ticks(n * SEGMENT), UtcUs(n * 6_000_000 + late), WallSource::Arrival),
                Observed::Steady
            );
            assert_eq!(clock.cut(Ticks(n * SEGMENT)), UtcUs(n * 6_000_000));
        }
        let mut clock = WallClock::new(Ticks(0), UtcUs(0), WallSource::Stated);
        assert_eq!(
            clock.observe(Ticks(SEGMENT), UtcUs(3_606_000_000), WallSource::Stated),
            Observed::Jump(3_600_000_000)
        );
    }

    proptest! {
        #[test]
        fn wall_time_never_runs_backwards(errors in proptest::collection::vec(-9_000_000i64..9_000_000, 1..60)) {
            let mut clock = WallClock::new(Ticks(0), UtcUs(0), WallSource::Stated);
            let mut last = UtcUs(0);
            for (n, error) in errors.iter().enumerate() {
                let media = Ticks((n as i64 + 1) * SEGMENT);
                clock.observe(media, UtcUs(media.to_us() + error), WallSource::Stated);
                let cut = clock.cut(media);
                prop_assert!(cut > last);
                last = cut;
            }
        }
    }
}
