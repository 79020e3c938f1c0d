//! Times of access units that the PES headers do not state.
//!
//! Comes in: stated times, frame rates, display orders. Goes out: a time for each unit. Never: adds up
//! rounded numbers, so nothing drifts.

use crate::media::{Ticks, time::TIMESCALE};

/// Stated and computed times this close are the same time, rounded twice.
const ROUNDING_TICKS: i64 = 2;
/// A step between two pictures larger than this is a gap, not a frame rate (10 s).
const MAX_STEP_TICKS: i64 = 900_000;
/// Assumed of a video that states no rate: 25 pictures a second.
const DEFAULT_STEP: Step = Step { ticks: 3600, per: 1 };

/// `a * b / c`, rounded to the nearest.
fn mul_div(a: i64, b: i64, c: i64) -> i64 {
    let c = i128::from(c.max(1));
    let scaled = i128::from(a) * i128::from(b);
    let rounded = if scaled >= 0 { (scaled + c / 2) / c } else { (scaled - c / 2) / c };
    i64::try_from(rounded).unwrap_or(0)
}

/// Times of audio frames: a stated time, then whole numbers of samples after it.
#[derive(Debug, Default)]
pub(super) struct AudioClock {
    base: Option<Ticks>,
    /// Samples since `base`.
    samples: i64,
    rate: u32,
}

impl AudioClock {
    /// Time and duration of a frame of `samples` at `rate` Hz whose PES header stated `stated`. `None` before any
    /// time was stated.
    pub(super) fn next(&mut self, stated: Option<Ticks>, samples: u32, rate: u32) -> Option<(Ticks, u32)> {
        let expected = self.base.map(|base| Ticks(base.0.saturating_add(self.offset(self.samples))));
        if self.rate != rate {
            self.base = expected;
            self.samples = 0;
            self.rate = rate;
        }
        if let Some(stated) = stated {
            let rounded = expected.is_some_and(|e| e.0.abs_diff(stated.0) <= ROUNDING_TICKS as u64);
            if !rounded {
                self.base = Some(stated);
                self.samples = 0;
            }
        }
        let base = self.base?;
        let begin = self.offset(self.samples);
        self.samples = self.samples.saturating_add(i64::from(samples));
        let end = self.offset(self.samples);
        Some((Ticks(base.0.saturating_add(begin)), u32::try_from(end - begin).unwrap_or(0)))
    }

    /// Forgets the time, not the rate.
    pub(super) fn reset(&mut self) {
        self.base = None;
        self.samples = 0;
    }

    fn offset(&self, samples: i64) -> i64 {
        mul_div(samples, i64::from(TIMESCALE), i64::from(self.rate))
    }
}

/// Ticks between two pictures, as a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    ticks: i64,
    per: i64,
}

impl Step {
    /// From seconds as a fraction; `None` for rates outside 1 to 480 Hz, which are not meant.
    pub(super) fn from_seconds(numerator: u64, denominator: u64) -> Option<Self> {
        let plausible = numerator > 0 && denominator >= numerator && denominator / 480 <= numerator;
        let ticks = i64::try_from(numerator.checked_mul(u64::from(TIMESCALE))?).ok()?;
        plausible.then_some(Self { ticks, per: i64::try_from(denominator).ok()? })
    }
}

/// Where a picture lies in display order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    /// Order count, counted modulo `modulus`.
    pub count: i64,
    /// Where `count` wraps.
    pub modulus: i64,
    /// Counts per frame.
    pub per_frame: i64,
    /// All pictures decoded before are shown before: counting starts anew.
    pub restart: bool,
}

/// Times of pictures: stated ones, and between them the frame rate and the display order.
#[derive(Debug, Default)]
pub(super) struct VideoClock {
    /// Last stated DTS, and pictures since.
    base: Option<(Ticks, i64)>,
    /// Measured between stated times.
    measured: Option<Step>,
    last: Option<(Ticks, Ticks, Option<Order>)>,
    latest_pts: Option<Ticks>,
}

impl VideoClock {
    /// DTS and PTS of the next picture in decoding order; `stated` is (DTS, PTS). `None` before any time was stated.
    pub(super) fn next(
        &mut self,
        stated: Option<(Ticks, Ticks)>,
        declared: Option<Step>,
        order: Option<Order>,
    ) -> Option<(Ticks, Ticks)> {
        let (dts, pts) = match stated {
            Some((dts, pts)) => {
                if let Some((base, since)) = self.base {
                    let ticks = dts.0.saturating_sub(base.0);
                    let per = since.saturating_add(1);
                    if ticks > 0 && ticks / per < MAX_STEP_TICKS {
                        self.measured = Some(Step { ticks, per });
                    }
                }
                self.base = Some((dts, 0));
                (dts, pts)
            }
            None => {
                let step = declared.or(self.measured).unwrap_or(DEFAULT_STEP);
                let (base, since) = self.base.as_mut()?;
                *since = since.saturating_add(1);
                let dts = Ticks(base.0.saturating_add(mul_div(*since, step.ticks, step.per)));
                (dts, self.pts_of(dts, step, order))
            }
        };
        self.latest_pts = Some(self.latest_pts.map_or(pts, |latest| latest.max(pts)));
        // After a jump backwards the old maximum says nothing.
        if stated.is_some() && self.latest_pts.is_some_and(|latest| latest.0.saturating_sub(pts.0) > MAX_STEP_TICKS) {
            self.latest_pts = Some(pts);
        }
        self.last = Some((dts, pts, order));
        Some((dts, pts))
    }

    fn pts_of(&self, dts: Ticks, step: Step, order: Option<Order>) -> Ticks {
        let Some((last_dts, last_pts, last_order)) = self.last else { return dts };
        let frames = |count: i64, per_frame: i64| mul_div(count, step.ticks, step.per.saturating_mul(per_frame.max(1)));
        let pts = match (order, last_order) {
            (Some(now), _) if now.restart => {
                let latest = self.latest_pts.unwrap_or(last_pts);
                latest.0.saturating_add(frames(now.count.saturating_add(now.per_frame), now.per_frame))
            }
            (Some(now), Some(before)) if now.modulus == before.modulus && now.modulus > 1 => {
                let mut ahead = (now.count - before.count).rem_euclid(now.modulus);
                if ahead > now.modulus / 2 {
                    ahead -= now.modulus;
                }
                last_pts.0.saturating_add(frames(ahead, now.per_frame))
            }
            _ => dts.0.saturating_add(last_pts.0.saturating_sub(last_dts.0)),
        };
        Ticks(pts.max(dts.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn audio_tiles_and_never_drifts(rate in prop_oneof![Just(44_100u32), Just(48_000), Just(11_025), Just(7_350)], frames in 1usize..2000, base in -1i64 << 40..1i64 << 40) {
            let mut clock = AudioClock::default();
            let mut expected = base;
            for n in 0..frames {
                let (pts, duration) = clock.next((n == 0).then_some(Ticks(base)), 1024, rate).unwrap();
                prop_assert_eq!(pts, Ticks(expected));
                let exact = (n as i128 * 1024 * 90_000) * 2;
                prop_assert!(((pts.0 - base) as i128 * rate as i128 * 2 - exact).abs() <= rate as i128);
                expected += i64::from(duration);
            }
        }
    }

    #[test]
    fn stated_times_win_unless_they_are_roundings() {
        let mut clock = AudioClock::default();
        assert_eq!(clock.next(None, 1024, 48_000), None);
        assert_eq!(clock.next(Some(Ticks(100)), 1024, 48_000), Some((Ticks(100), 1920)));
        assert_eq!(clock.next(Some(Ticks(2022)), 1024, 48_000), Some((Ticks(2020), 1920)));
        assert_eq!(clock.next(Some(Ticks(3943)), 1024, 48_000), Some((Ticks(3943), 1920)));
        assert_eq!(clock.next(None, 1024, 48_000), Some((Ticks(5863), 1920)));
    }

    #[test]
    fn pictures_without_times_follow_rate_and_order() {
        let order = |count, restart| Some(Order { count, modulus: 16, per_frame: 2, restart });
        let step = Step::from_seconds(1, 25);
        let mut clock = VideoClock::default();
        assert_eq!(clock.next(None, step, order(0, true)), None);
        let stated = Some((Ticks(0), Ticks(3600)));
        assert_eq!(clock.next(stated, step, order(0, true)), Some((Ticks(0), Ticks(3600))));
        // P three frames on, then the two B between, then a new start.
        assert_eq!(clock.next(None, step, order(6, false)), Some((Ticks(3600), Ticks(14_400))));
        assert_eq!(clock.next(None, step, order(2, false)), Some((Ticks(7200), Ticks(7200))));
        assert_eq!(clock.next(None, step, order(4, false)), Some((Ticks(10_800), Ticks(10_800))));
        assert_eq!(clock.next(None, step, order(0, true)), Some((Ticks(14_400), Ticks(18_000))));
    }

    #[test]
    fn an_undeclared_rate_is_measured() {
        let mut clock = VideoClock::default();
        for n in 0..2 {
            let t = Ticks(n * 9000);
            clock.next(Some((t, t)), None, None);
        }
        assert_eq!(clock.next(None, None, None), Some((Ticks(18_000), Ticks(18_000))));
    }

    #[test]
    fn absurd_rates_are_ignored() {
        assert_eq!(Step::from_seconds(0, 25), None);
        assert_eq!(Step::from_seconds(1, 0), None);
        assert_eq!(Step::from_seconds(1, 90_000), None);
        assert!(Step::from_seconds(1001, 60_000).is_some());
    }
}
