//! The system's wall clock, read here and nowhere else.

use crate::media::UtcUs;
use std::time::{SystemTime, UNIX_EPOCH};

/// Wall time now, in UTC microseconds; 0 before 1970.
pub fn now() -> UtcUs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UtcUs(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
