//! The window: what a request asks of the index, and how its playlist behaves over time.
//!
//! Comes in: the form of a request, `now`, what is recorded, limits. Goes out: which rows to read and the mode
//! of the playlist, or why there is none. Never: reads anything.

use super::cache::CacheClass;
use super::url::{Form, Shift};
use crate::media::{UtcRange, UtcUs};

/// What of a stream is recorded: oldest start and newest end of its listed segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// Start of the oldest listed segment.
    pub first_start: UtcUs,
    /// End of the newest listed segment.
    pub live_edge: UtcUs,
    /// Longest duration of any segment that was ever published, in microseconds; never falls.
    pub longest_us: i64,
}

/// Constants of a stream's playlists. They must not change while players watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest window, in microseconds.
    pub max_window_us: i64,
    /// EXT-X-TARGETDURATION of streams whose segments are as long as they should be.
    pub target_seconds: u32,
    /// Segments may still come this long after a finite window has ended, in microseconds.
    pub end_lag_us: i64,
}

impl Limits {
    /// Most rows that a short sliding playlist is made from.
    pub const SLIDING_ROWS: usize = 32;

    /// Limits for segments of about `segment_seconds`: the target duration is twice that, because a segment
    /// ends at the next sync sample, and no more than one group of pictures late.
    pub fn new(segment_seconds: u32, max_window_us: i64) -> Self {
        let segment_seconds = segment_seconds.clamp(1, 60);
        // A source that states the time may itself be a minute or two behind.
        let end_lag_us = (3 * i64::from(segment_seconds) * 1_000_000).max(300_000_000);
        Self { max_window_us, target_seconds: 2 * segment_seconds, end_lag_us }
    }

    /// The same for a stream whose longest segment ever lasts `longest_us`: the target duration is the least multiple
    /// that holds for it. As the recorder makes no segment longer than the target duration it is configured for, this
    /// changes only where an operator makes segments longer.
    pub fn holding(self, longest_us: i64) -> Self {
        Self { target_seconds: target_seconds(longest_us, self.target_seconds), ..self }
    }

    /// Length of a short sliding playlist: three target durations, less would be against RFC 8216 6.2.2.
    pub const fn sliding_span_us(&self) -> i64 {
        3 * self.target_seconds as i64 * 1_000_000
    }

    /// Class of a playlist that grows or slides: half a target duration.
    pub const fn growing(&self) -> CacheClass {
        CacheClass::Growing { max_age_ms: self.target_seconds.saturating_mul(500) }
    }
}

/// The least multiple of `unit` seconds that is an EXT-X-TARGETDURATION for `longest_us`: an EXTINF counts rounded to
/// the nearest second (RFC 8216 4.3.3.1).
pub(super) fn target_seconds(longest_us: i64, unit: u32) -> u32 {
    let needed = u32::try_from(longest_us.saturating_add(500_000) / 1_000_000).unwrap_or(u32::MAX);
    needed.div_ceil(unit.max(1)).max(1).saturating_mul(unit.max(1))
}

/// Which rows to ask the index for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// All that overlap this range.
    Overlapping(UtcRange),
    /// The newest ones.
    Newest {
        /// That start before this moment.
        before: UtcUs,
        /// At most so many.
        count: usize,
    },
}

/// How a playlist behaves over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Ended.
    Vod {
        /// Whether later media is published already, so that nothing more can come.
        settled: bool,
        /// Whether it ended so lately that somebody may reload it who saw it grow: then its numbers stay.
        fresh: bool,
    },
    /// Segments are added at the end.
    Event,
    /// Segments are added at the end and removed at the beginning.
    Sliding {
        /// Keep at least so many microseconds; `None` keeps all rows.
        keep_us: Option<i64>,
    },
}

/// What to read and how to present it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Which rows to read.
    pub rows: Rows,
    /// How the playlist behaves.
    pub mode: Mode,
    /// Where playing starts, for windows that begin at a moment.
    pub start: Option<UtcUs>,
    /// Only segments that end by then are listed (timeshift).
    pub listed_until: UtcUs,
    /// The form that the child playlists of a multivariant playlist carry.
    pub child: Form,
    /// EXT-X-TARGETDURATION.
    pub target_seconds: u32,
    /// For the playlist made from this.
    pub cache: CacheClass,
}

/// Why there is no playlist (or file).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// 404, briefly cached.
    #[error("nothing was recorded in this window")]
    NothingRecorded,
    /// 404, not cached: it will be there later.
    #[error("this window begins in the future")]
    FromInFuture,
    /// 400.
    #[error("the window is longer than the {} s that are allowed", .max_us / 1_000_000)]
    TooLong {
        /// Longest window, in microseconds.
        max_us: i64,
    },
    /// 404, briefly cached.
    #[error("none of the chosen tracks was recorded in this window")]
    NoSuchTrack,
    /// 404: there is no such kind of playlist.
    #[error("{0}")]
    NotMade(&'static str),
}

impl WindowError {
    /// Status code (RFC 9110 15.5).
    pub const fn status(&self) -> u16 {
        match self {
            WindowError::TooLong { .. } => 400,
            WindowError::NothingRecorded
            | WindowError::FromInFuture
            | WindowError::NoSuchTrack
            | WindowError::NotMade(_) => 404,
        }
    }

    /// How long the error may be cached.
    pub const fn cache(&self) -> CacheClass {
        match self {
            WindowError::FromInFuture => CacheClass::NoStore,
            _ => CacheClass::Error,
        }
    }
}

/// The finite range `[from, from + duration)` cut to what is recorded, for playlists and exports alike.
///
/// # Errors
/// Too long, in the future, or before everything that is recorded.
pub fn finite(
    from: UtcUs,
    duration_us: i64,
    now: UtcUs,
    recorded: Option<Recorded>,
    limits: &Limits,
) -> Result<UtcRange, WindowError> {
    if duration_us > limits.max_window_us {
        return Err(WindowError::TooLong { max_us: limits.max_window_us });
    }
    let recorded = begun(from, now, recorded)?;
    let start = from.max(recorded.first_start);
    let end = from.plus_us(duration_us);
    if start < end { Ok(UtcRange { start, end }) } else { Err(WindowError::NothingRecorded) }
}

fn begun(from: UtcUs, now: UtcUs, recorded: Option<Recorded>) -> Result<Recorded, WindowError> {
    if from > recorded.map_or(now, |r| r.live_edge.max(now)) {
        return Err(WindowError::FromInFuture);
    }
    recorded.ok_or(WindowError::NothingRecorded)
}

/// What to read for `form` at the moment `now`.
///
/// # Errors
/// The cases for which there is no playlist, as far as they can be told without reading rows.
pub fn resolve(form: &Form, now: UtcUs, recorded: Option<Recorded>, limits: &Limits) -> Result<Window, WindowError> {
    let limits = &limits.holding(recorded.map_or(0, |r| r.longest_us));
    let target_seconds = limits.target_seconds;
    let unbounded = UtcUs(i64::MAX);
    let growing = limits.growing();
    let sliding = |rows, keep_us, listed_until, child, cache| Window {
        rows,
        mode: Mode::Sliding { keep_us },
        start: None,
        listed_until,
        child,
        target_seconds,
        cache,
    };
    let span_us = limits.sliding_span_us();
    let newest = |before| Rows::Newest { before, count: Limits::SLIDING_ROWS };
    match *form {
        Form::Finite { from, duration_us } => {
            let range = finite(from, duration_us, now, recorded, limits)?;
            let settled = recorded.is_some_and(|r| r.live_edge >= range.end);
            let ended = range.end.plus_us(limits.end_lag_us);
            let fresh = now < ended.plus_us(limits.end_lag_us);
            let (mode, cache) = if settled {
                (Mode::Vod { settled, fresh }, CacheClass::Finished)
            } else if now >= ended {
                // Ended, but a recorder that was cut off may still bring the rest.
                (Mode::Vod { settled, fresh }, growing)
            } else {
                (Mode::Event, growing)
            };
            let rows = Rows::Overlapping(range);
            Ok(Window {
                rows,
                mode,
                start: Some(range.start),
                listed_until: unbounded,
                child: *form,
                target_seconds,
                cache,
            })
        }
        Form::FromNow { from } => {
            let recorded = begun(from, now, recorded)?;
            let start = from.max(recorded.first_start);
            let range = UtcRange::new(start, now.max(recorded.live_edge));
            if range.duration_us() > limits.max_window_us {
                return Err(WindowError::TooLong { max_us: limits.max_window_us });
            }
            if recorded.live_edge <= start {
                return Err(WindowError::NothingRecorded);
            }
            let rows = Rows::Overlapping(range);
            let listed_until = unbounded;
            let (start, child) = (Some(start), *form);
            Ok(Window { rows, mode: Mode::Event, start, listed_until, child, target_seconds, cache: growing })
        }
        Form::Live => {
            let recorded = recorded.ok_or(WindowError::NothingRecorded)?;
            Ok(sliding(newest(recorded.live_edge), Some(span_us), unbounded, *form, growing))
        }
        Form::Rewind { length_us } => {
            if length_us > limits.max_window_us {
                return Err(WindowError::TooLong { max_us: limits.max_window_us });
            }
            let edge = recorded.ok_or(WindowError::NothingRecorded)?.live_edge;
            let range = UtcRange::new(edge.plus_us(-length_us.max(span_us)), edge);
            Ok(sliding(Rows::Overlapping(range), None, unbounded, *form, growing))
        }
        Form::Timeshift(shift) => {
            let (wanted, cache) = match shift {
                Shift::Delay(delay_us) => (now.plus_us(-delay_us.max(0)), growing),
                // The delay is made of `now`: nobody else may get this answer.
                Shift::TunedInAt(at) => (at, CacheClass::NoStore),
            };
            let recorded = begun(wanted, now, recorded)?;
            // At the very beginning, a first window's worth is there at once.
            let floor = recorded.first_start.plus_us(span_us).min(recorded.live_edge);
            let edge = wanted.max(floor);
            let child = match shift {
                Shift::Delay(_) if edge == wanted => *form,
                // Whole seconds, because that is what the URL of the child holds.
                _ => Form::Timeshift(Shift::Delay(now.since(edge).max(0) / 1_000_000 * 1_000_000)),
            };
            Ok(sliding(newest(edge), Some(span_us), edge, child, cache))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn s(seconds: i64) -> UtcUs {
        UtcUs(seconds * 1_000_000)
    }

    /// Recorded from 1000 s to 5000 s; now it is 5010 s.
    fn at_5010(form: Form) -> Result<Window, WindowError> {
        let recorded = Recorded { first_start: s(1000), live_edge: s(5000), longest_us: 0 };
        resolve(&form, s(5010), Some(recorded), &Limits::new(6, 3_600_000_000))
    }

    fn finite_form(from: i64, duration: i64) -> Form {
        Form::Finite { from: s(from), duration_us: s(duration).0 }
    }

    #[test]
    fn the_table_of_cases() {
        use WindowError::*;
        let range = |a, b| Rows::Overlapping(UtcRange { start: s(a), end: s(b) });
        let too_long = TooLong { max_us: 3_600_000_000 };
        let vod = |fresh| Mode::Vod { settled: true, fresh };
        for (form, expected) in [
            (finite_form(2000, 60), Ok((range(2000, 2060), vod(false)))),
            // Ends with the live edge, just ahead of it.
            (finite_form(4900, 100), Ok((range(4900, 5000), vod(true)))),
            (finite_form(4900, 101), Ok((range(4900, 5001), Mode::Event))),
            // Begins before the first recording.
            (finite_form(900, 200), Ok((range(1000, 1100), vod(false)))),
            (finite_form(900, 100), Err(NothingRecorded)),
            (finite_form(0, 3600), Ok((range(1000, 3600), vod(false)))),
            (finite_form(5005, 10), Ok((range(5005, 5015), Mode::Event))),
            (finite_form(5011, 10), Err(FromInFuture)),
            (finite_form(2000, 3601), Err(too_long)),
            (finite_form(900_000, 3601), Err(too_long)),
            (Form::FromNow { from: s(4000) }, Ok((range(4000, 5010), Mode::Event))),
            (Form::FromNow { from: s(5000) }, Err(NothingRecorded)),
            (Form::FromNow { from: s(5011) }, Err(FromInFuture)),
            (Form::FromNow { from: s(0) }, Err(too_long)),
            (Form::Rewind { length_us: s(600).0 }, Ok((range(4400, 5000), Mode::Sliding { keep_us: None }))),
            (Form::Rewind { length_us: s(1).0 }, Ok((range(4964, 5000), Mode::Sliding { keep_us: None }))),
            (Form::Rewind { length_us: s(3601).0 }, Err(too_long)),
            (Form::Timeshift(Shift::TunedInAt(s(5011))), Err(FromInFuture)),
        ] {
            assert_eq!(at_5010(form).map(|w| (w.rows, w.mode)), expected, "{form}");
        }
        for form in [finite_form(2000, 60), Form::FromNow { from: s(1) }, Form::Live, Form::Rewind { length_us: 1 }] {
            assert_eq!(resolve(&form, s(5010), None, &Limits::new(6, i64::MAX)), Err(NothingRecorded), "{form}");
        }
        let future = resolve(&finite_form(6000, 60), s(5010), None, &Limits::new(6, i64::MAX));
        assert_eq!(future, Err(FromInFuture));
        assert_eq!((FromInFuture.status(), FromInFuture.cache()), (404, CacheClass::NoStore));
        assert_eq!((NothingRecorded.status(), NothingRecorded.cache()), (404, CacheClass::Error));
        assert_eq!((too_long.status(), too_long.to_string().contains("3600 s")), (400, true));
    }

    #[test]
    fn a_running_programme_turns_into_vod_by_itself() {
        let form = finite_form(4900, 200);
        let mode = |now, live_edge| {
            let recorded = Recorded { first_start: s(1000), live_edge: s(live_edge), longest_us: 0 };
            let window = resolve(&form, s(now), Some(recorded), &Limits::new(6, 3_600_000_000)).unwrap();
            assert_eq!(window.start, Some(s(4900)));
            (window.mode, window.cache)
        };
        let growing = CacheClass::Growing { max_age_ms: 6000 };
        assert_eq!(mode(5000, 4990), (Mode::Event, growing));
        assert_eq!(mode(5105, 5099), (Mode::Event, growing));
        assert_eq!(mode(5105, 5100), (Mode::Vod { settled: true, fresh: true }, CacheClass::Finished));
        assert_eq!(mode(5700, 5600), (Mode::Vod { settled: true, fresh: false }, CacheClass::Finished));
        // The recorder went silent: the playlist ends, but is not kept, for the rest may come.
        assert_eq!(mode(5399, 5000), (Mode::Event, growing));
        assert_eq!(mode(5400, 5000), (Mode::Vod { settled: false, fresh: true }, growing));
    }

    #[test]
    fn a_tuned_in_moment_becomes_a_delay() {
        let window = at_5010(Form::Timeshift(Shift::TunedInAt(s(3010)))).unwrap();
        assert_eq!(window.child, Form::Timeshift(Shift::Delay(s(2000).0)));
        assert_eq!((window.listed_until, window.cache), (s(3010), CacheClass::NoStore));
        // Before the first recording: a first window's worth of it.
        for shift in [Shift::TunedInAt(s(3)), Shift::Delay(s(100_000).0)] {
            let window = at_5010(Form::Timeshift(shift)).unwrap();
            assert_eq!(window.listed_until, s(1036));
            assert_eq!(window.child, Form::Timeshift(Shift::Delay(s(5010 - 1036).0)));
        }
        let form = Form::Timeshift(Shift::Delay(s(60).0));
        let window = at_5010(form).unwrap();
        assert_eq!((window.child, window.listed_until), (form, s(4950)));
    }

    #[test]
    fn the_target_duration_holds_for_all_that_was_ever_recorded() {
        for (longest_us, target) in
            [(0, 12), (12_499_999, 12), (12_500_000, 24), (24_400_000, 24), (61_000_000, 72), (120_000_000, 120)]
        {
            let recorded = Recorded { first_start: s(1000), live_edge: s(5000), longest_us };
            let limits = Limits::new(6, 3_600_000_000);
            let window = resolve(&Form::Live, s(5010), Some(recorded), &limits).unwrap();
            assert_eq!((window.target_seconds, limits.holding(longest_us).target_seconds), (target, target));
        }
    }

    proptest! {
        #[test]
        fn no_numbers_overflow(from in any::<i64>(), length in 1i64.., now in any::<i64>(), first in any::<i64>(), edge in any::<i64>(), max in any::<i64>()) {
            let recorded = Recorded { first_start: UtcUs(first), live_edge: UtcUs(edge), longest_us: 0 };
            for form in [
                Form::Live, Form::Finite { from: UtcUs(from), duration_us: length }, Form::FromNow { from: UtcUs(from) },
                Form::Rewind { length_us: length }, Form::Timeshift(Shift::Delay(length)), Form::Timeshift(Shift::TunedInAt(UtcUs(from))),
            ] {
                if let Ok(Window { rows: Rows::Overlapping(range), .. }) = resolve(&form, UtcUs(now), Some(recorded), &Limits::new(6, max)) {
                    prop_assert!(range.start <= range.end);
                }
            }
        }
    }
}
