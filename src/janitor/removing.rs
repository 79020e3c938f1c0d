//! What was recorded of a stream that an operator deleted.
//!
//! Comes in: deletions that the index remembers. Goes out: marks on all that was recorded before, locked parts excepted.
//! Never: touches what is recorded under the same name since.

use super::{Mode, micros};
use crate::index::Index;
use crate::index::control::Removed;
use crate::media::{UtcRange, UtcUs};
use std::time::Duration;

/// Rows marked by one statement.
const BATCH: usize = 500;
/// Batches of one stream in one round.
const MOST_BATCHES: usize = 40;

/// Marks what is to go of a deleted stream; says how much. `is_set`: there is a stream of this name again.
pub(super) async fn mark(
    index: &dyn Index,
    removed: &Removed,
    is_set: bool,
    grace: Duration,
    mode: Mode,
    now: UtcUs,
) -> anyhow::Result<u64> {
    // Recorders need a while to hear of it, and one with a full spool longer: what they still bring goes, too.
    let cutoff = if is_set { removed.at } else { now.max(removed.at) };
    if mode.dry_run {
        return Ok(index.expired(&removed.stream, cutoff).await?.segments);
    }
    let mut total = 0;
    for batch in 1.. {
        let marked = index.mark_expired(&removed.stream, cutoff, now, BATCH).await?;
        total += marked;
        if marked < BATCH as u64 || (batch >= MOST_BATCHES && !mode.to_the_end) {
            break;
        }
    }
    // What a lock keeps goes when the lock does.
    let before = UtcRange::new(UtcUs(0), cutoff);
    let is_old = now.since(removed.at) > micros(grace);
    if is_old && index.ranges(&removed.stream, before, 0, 1).await?.is_empty() {
        index.forget_removed(removed).await?;
    }
    Ok(total)
}
