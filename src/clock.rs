//! The system's wall clock, read here and nowhere else.

use crate::media::UtcUs;
use crate::media::wallclock::ArrivalClock;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Wall time now, in UTC microseconds; 0 before 1970.
pub fn now() -> UtcUs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UtcUs(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// The time of arrival of what arrives now: [`now`] without the steps of the system's clock.
pub fn arrival() -> UtcUs {
    static CLOCK: OnceLock<(Instant, Mutex<ArrivalClock>)> = OnceLock::new();
    let (began, clock) = CLOCK.get_or_init(|| (Instant::now(), Mutex::new(ArrivalClock::new(0, now()))));
    // Under the lock, or an older reading could come after a newer one.
    let mut clock = clock.lock().unwrap_or_else(PoisonError::into_inner);
    let steady_us = i64::try_from(began.elapsed().as_micros()).unwrap_or(i64::MAX);
    clock.read(steady_us, now())
}
