//! When a recording may go: first marked (no longer listed), deleted only after a grace.

use super::time::UtcUs;

/// A segment whose end is before this moment has outlived `retention_us`.
pub const fn expiry_cutoff(now: UtcUs, retention_us: i64) -> UtcUs {
    now.plus_us(-retention_us)
}

/// What was marked before this moment is in no playlist and no export any more.
pub const fn deletion_cutoff(now: UtcUs, grace_us: i64) -> UtcUs {
    now.plus_us(-grace_us)
}
