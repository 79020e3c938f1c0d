//! The system's wall clock, read here and nowhere else.
//!
//! Comes in: the system's time, and for tests that step a clock which is not theirs, the name of a file in
//! `EVERTAPE_CLOCK_OFFSET` whose number of microseconds is added to it. Goes out: wall time. Always compiled in, so that
//! what is tested is what is shipped; unset, it costs one atomic read. Never: the monotonic clock is touched.

use crate::media::UtcUs;
use crate::media::wallclock::ArrivalClock;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The variable that names the file.
pub const VARIABLE: &str = "EVERTAPE_CLOCK_OFFSET";

/// Wall time now, in UTC microseconds; 0 before 1970.
pub fn now() -> UtcUs {
    static OFFSET: OnceLock<Option<PathBuf>> = OnceLock::new();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = UtcUs(i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
    match OFFSET.get_or_init(|| std::env::var_os(VARIABLE).map(PathBuf::from)) {
        None => now,
        Some(file) => now.plus_us(offset_us(file)),
    }
}

/// 0 where the file says nothing.
fn offset_us(file: &Path) -> i64 {
    std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
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

#[cfg(test)]
mod tests {
    use super::offset_us;

    #[test]
    fn the_offset_is_what_the_file_says() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("offset");
        assert_eq!(offset_us(&file), 0);
        for (text, offset) in [("-3600000000\n", -3_600_000_000), ("7", 7), ("", 0), ("soon", 0)] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(offset_us(&file), offset, "{text:?}");
        }
    }
}
