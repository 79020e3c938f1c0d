//! Wall time of a run: anchored once, then following the media clock, with drift slewed.
//!
//! Comes in: media times with what the source (or the arrival) says the wall time was. Goes out: the
//! wall time of each cut, never running backwards. Never: reads a clock.

use super::time::{Ticks, UtcUs};

/// A difference larger than this between media clock and wall clock is a jump: a new run begins.
pub const JUMP_US: i64 = 10_000_000;

/// The archive's wall time is to be no further from the truth than this: a larger error that stays is a jump.
pub const WALL_ERROR_US: i64 = 500_000;

/// A statement in whole seconds is this far off by itself.
const COARSE_ERROR_US: i64 = 1_000_000;

/// Observations in a row that show an error which is no accident.
const PERSISTENT: usize = 5;

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
    /// All that was stated were whole seconds.
    is_coarse: bool,
}

impl WallClock {
    /// A clock by which `media` is `utc`.
    pub fn new(media: Ticks, utc: UtcUs, source: WallSource) -> Self {
        Self { anchor_media: media, anchor_utc: utc, source, errors: Vec::new(), slew_us: 0, is_coarse: true }
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
                self.is_coarse = true;
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
        self.is_coarse &= utc.0 % 1_000_000 == 0;
        if let Some(stays_us) = self.persistent_error() {
            return Observed::Jump(stays_us);
        }
        let full = self.errors.len() == WINDOW;
        self.slew_us = match source {
            WallSource::Stated => median(&self.errors),
            // The least delayed arrival of a full window is nearest to the truth.
            WallSource::Arrival if full => self.errors.iter().copied().min().unwrap_or(0),
            WallSource::Arrival => 0,
        };
        Observed::Steady
    }

    /// An error beyond what is allowed that does not go away by itself.
    fn persistent_error(&self) -> Option<i64> {
        let newest = self.errors.get(self.errors.len().checked_sub(PERSISTENT)?..)?;
        let least = newest.iter().copied().min_by_key(|e| e.abs())?;
        match self.source {
            WallSource::Stated => {
                let most_us = if self.is_coarse { COARSE_ERROR_US } else { WALL_ERROR_US };
                (least.abs() > most_us && newest.iter().all(|e| e.signum() == least.signum())).then_some(least)
            }
            // Nothing arrives before its time.
            WallSource::Arrival if newest.iter().all(|e| *e < -WALL_ERROR_US) => Some(least),
            // The least delayed of a full window is late, too: the media clock has lost time.
            WallSource::Arrival if self.errors.len() == WINDOW => {
                self.errors.iter().copied().min().filter(|e| *e > WALL_ERROR_US)
            }
            WallSource::Arrival => None,
        }
    }

    /// Whether nothing but the time of arrival is known.
    pub fn is_by_arrival(&self) -> bool {
        self.source == WallSource::Arrival
    }

    /// Moves the whole mapping.
    pub fn shift(&mut self, us: i64) {
        self.anchor_utc = self.anchor_utc.plus_us(us);
        for error in &mut self.errors {
            *error -= us;
        }
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

/// Longest that a step of the system's clock is taken for a passing error, in microseconds.
const BELIEVE_STEP_AFTER_US: i64 = 60_000_000;
/// A difference that is slewed, as drift is.
const NO_STEP_US: i64 = 250_000;

/// The time of arrival: the system's wall clock without its steps. It goes on by the monotonic clock, follows the wall
/// clock by at most 500 ppm, and believes a step once it has lasted a minute. Never: reads a clock.
#[derive(Debug, Clone)]
pub struct ArrivalClock {
    utc: UtcUs,
    steady_us: i64,
    off_since_us: Option<i64>,
}

impl ArrivalClock {
    /// A clock that agrees with `system` at the monotonic time `steady_us`.
    pub fn new(steady_us: i64, system: UtcUs) -> Self {
        Self { utc: system, steady_us, off_since_us: None }
    }

    /// The time at `steady_us`, when the system's wall clock says `system`.
    pub fn read(&mut self, steady_us: i64, system: UtcUs) -> UtcUs {
        let elapsed_us = (steady_us - self.steady_us).max(0);
        self.steady_us = self.steady_us.max(steady_us);
        self.utc = self.utc.plus_us(elapsed_us);
        let off_us = system.since(self.utc);
        if off_us.abs() <= NO_STEP_US {
            self.off_since_us = None;
            let most = elapsed_us.saturating_mul(MAX_SLEW_US_PER_SECOND) / 1_000_000;
            self.utc = self.utc.plus_us(off_us.clamp(-most, most));
        } else if self.steady_us - *self.off_since_us.get_or_insert(self.steady_us) >= BELIEVE_STEP_AFTER_US {
            self.off_since_us = None;
            self.utc = system;
        }
        self.utc
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

    /// A day of a source whose clock is 200 ppm off, seen through jitter: by arrival, and by statements.
    #[test]
    fn a_day_of_drift_stays_within_half_a_second() {
        for (ppm, source) in [
            (200, WallSource::Arrival),
            (-200, WallSource::Arrival),
            (200, WallSource::Stated),
            (-200, WallSource::Stated),
        ] {
            let mut clock = WallClock::new(Ticks(0), UtcUs(0), source);
            let mut noise = 12345_u64;
            let mut last = UtcUs(-1);
            for n in 1..86_400_i64 {
                let media = Ticks(n * 90_000);
                let truth = n * 1_000_000 + n * ppm;
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let jitter = (noise >> 40) as i64 % 200_000;
                let seen = truth + if source == WallSource::Arrival { jitter } else { jitter - 100_000 };
                assert_eq!(clock.observe(media, UtcUs(seen), source), Observed::Steady, "{ppm} {source:?} after {n} s");
                if n % 6 == 0 {
                    let cut = clock.cut(media);
                    assert!(
                        cut > last && (cut.0 - truth).abs() < WALL_ERROR_US,
                        "{ppm} {source:?}: {} us off after {n} s",
                        cut.0 - truth
                    );
                    last = cut;
                }
            }
        }
    }

    /// A media clock that runs ahead, or loses time, by more than half a second is noticed; bursts are not.
    #[test]
    fn errors_that_stay_are_jumps() {
        for (error, source, within) in [
            (-800_000, WallSource::Arrival, 5),
            (800_000, WallSource::Arrival, 16),
            (-800_000, WallSource::Stated, 5),
            (800_123, WallSource::Stated, 5),
        ] {
            let mut clock = WallClock::new(Ticks(0), UtcUs(0), source);
            let at = |n: i64, error: i64| (Ticks(n * 90_000), UtcUs(n * 1_000_000 + error + 7));
            for n in 1..40 {
                let (media, utc) = at(n, 0);
                assert_eq!(clock.observe(media, utc, source), Observed::Steady);
            }
            let jumped = (40..60).position(|n| {
                let (media, utc) = at(n, error);
                clock.observe(media, utc, source) != Observed::Steady
            });
            assert_eq!(jumped, Some(within - 1), "{error} {source:?}");
        }
    }

    /// Whole seconds are off by up to one by themselves.
    #[test]
    fn statements_in_whole_seconds_are_no_jumps() {
        let mut clock = WallClock::new(Ticks(0), UtcUs(0), WallSource::Stated);
        for n in 0..600_i64 {
            let truth = 999_000 + n * 2_300_000;
            let media = Ticks(n * 207_000);
            let stated = UtcUs(truth / 1_000_000 * 1_000_000);
            assert_eq!(clock.observe(media, stated, WallSource::Stated), Observed::Steady, "after {n}");
            clock.cut(media);
        }
    }

    #[test]
    fn steps_of_the_systems_clock_are_waited_out() {
        let second = |n: i64| n * 1_000_000;
        let mut clock = ArrivalClock::new(0, UtcUs(0));
        let mut last = UtcUs(-1);
        let mut read = |clock: &mut ArrivalClock, n: i64, system_off: i64| {
            let now = clock.read(second(n), UtcUs(second(n) + system_off));
            assert!(now >= last || system_off < 0, "it runs backwards");
            last = now;
            now.0 - second(n)
        };
        // Half a minute of a wrong clock moves nothing.
        for n in 1..100 {
            let off = if (30..60).contains(&n) { -3_600_000_000 } else { 0 };
            assert_eq!(read(&mut clock, n, off), 0);
        }
        // Drift is followed.
        for n in 100..1100 {
            read(&mut clock, n, (n - 100) * 200);
        }
        assert!((read(&mut clock, 1100, 200_000) - 200_000).abs() < 1000);
        // A step that lasts is believed after a minute.
        for n in 1101..1160 {
            assert!((read(&mut clock, n, 7_200_000) - 200_000).abs() < 1000);
        }
        for n in 1160..1170 {
            read(&mut clock, n, 7_200_000);
        }
        assert_eq!(read(&mut clock, 1170, 7_200_000), 7_200_000);
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
