//! What was recorded of a stream that an operator deleted.
//!
//! Comes in: deletions that the index remembers. Goes out: marks on all that was recorded before, locked parts excepted.
//! Never: touches what is recorded under the same name since.

use super::{Mode, micros};
use crate::index::Index;
use crate::index::control::Removed;
use crate::media::{UtcRange, UtcUs};
use std::time::Duration;

/// Recorders hear of a deletion within seconds and end in order: what they bring of this time still goes, too.
const DRAINED_US: i64 = 30_000_000;

/// Rows marked by one statement.
const BATCH: usize = 500;
/// Batches of one stream in one round.
const MOST_BATCHES: usize = 40;

/// Marks what is to go of a deleted stream; says how much. `is_used`: the name belongs to a stream again, set in the
/// index or in the file of a recorder: then the moment of the deletion is the limit to the microsecond.
pub(super) async fn mark(
    index: &dyn Index,
    removed: &Removed,
    is_used: bool,
    grace: Duration,
    mode: Mode,
    now: UtcUs,
) -> anyhow::Result<u64> {
    // Never `now`: a stream of this name may be recorded that no setting and no report tells of (yet).
    let cutoff = if is_used { removed.at } else { removed.at.plus_us(DRAINED_US) };
    if mode.dry_run {
        return Ok(index.expired(&removed.stream, cutoff, now).await?.segments);
    }
    let mut total = 0;
    for batch in 1.. {
        let marked = index.mark_expired(&removed.stream, cutoff, now, BATCH).await?;
        total += marked;
        if marked < BATCH as u64 || (batch >= MOST_BATCHES && !mode.to_the_end) {
            break;
        }
    }
    if now.since(removed.at) > micros(grace) {
        // What a lock keeps goes when the lock does. One segment may lie across the limit: it stays.
        let before = UtcRange::new(UtcUs(0), cutoff);
        let left = index.window(&removed.stream, before, None, 3).await?;
        if left.iter().all(|segment| segment.id.end() > cutoff) {
            index.forget_removed(removed).await?;
        }
    }
    Ok(total)
}
