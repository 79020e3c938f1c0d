//! First step: what is to go is marked, and no longer listed.
//!
//! Comes in: what is to be kept, and what the index holds. Goes out: marks, or a refusal. Never: marks more than half of
//! what a stream lists at once, unless the setting was just changed, time alone has brought it about, or it is forced.

use super::{Keep, Mode, Round, micros};
use crate::crash_points::reached;
use crate::index::{AppliedRetention, Index};
use crate::media::{StreamName, UtcUs, retention};
use std::fmt;

/// Rows marked by one statement.
const BATCH: usize = 500;
/// Batches of one stream in one round, so that a long backlog of one does not starve the others.
const MOST_BATCHES: usize = 40;
/// So far the cutoff may move on between two rounds without anything being asked: at the end of a stream that is no
/// longer recorded, the last segments go, which are all there are.
const UNASKED_US: i64 = 3_600_000_000;

/// The cutoff is written down again when it has moved on so far: each round would be a write for nothing.
const REMEMBERED_US: i64 = 600_000_000;

/// What holds for a stream.
pub(super) struct Wanted {
    pub keep: Keep,
    pub max_bytes: Option<u64>,
    /// What `max_bytes` of all streams means for each.
    pub total_cutoff: Option<UtcUs>,
}

/// A stream of which nothing was marked, because it would have been too much at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Segments that would have been marked.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of all listed segments.
    pub listed_bytes: u64,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.bytes.saturating_mul(100) / self.listed_bytes.max(1);
        write!(
            f,
            "retention would unlist {} segments at once, {percent}% of the stream, and the setting was not changed: \
             nothing was unlisted. If it is meant, run `evertape janitor --once --force`",
            self.segments
        )
    }
}

/// Marks what is to go of one stream.
pub(super) async fn mark(
    index: &dyn Index,
    stream: &StreamName,
    wanted: &Wanted,
    mode: Mode,
    now: UtcUs,
) -> anyhow::Result<Round> {
    let mut round = Round::default();
    let setting = setting(wanted);
    let applied = index.applied_retention(stream).await?;
    let by_age = wanted.keep.age.map(|age| retention::expiry_cutoff(now, micros(age)));
    let by_bytes = match wanted.keep.bytes {
        Some(bytes) => index.bytes_cutoff(Some(stream), bytes).await?,
        None => None,
    };
    let cutoff = by_age.max(by_bytes).max(wanted.total_cutoff);
    let Some(cutoff) = cutoff else {
        remember(index, stream, applied, setting, None, mode).await?;
        return Ok(round);
    };
    let expired = index.expired(stream, cutoff, now).await?;
    round.expired_bytes = expired.bytes;
    if expired.segments > 0 {
        let listed_bytes = index.stored_bytes(stream).await?;
        let changed = applied.as_ref().is_some_and(|a| a.setting != setting);
        let by_time = applied.as_ref().is_some_and(|a| cutoff.since(a.cutoff) <= UNASKED_US);
        if expired.bytes > listed_bytes / 2 && !changed && !by_time && !mode.force {
            round.refused = Some(Refused { segments: expired.segments, bytes: expired.bytes, listed_bytes });
            return Ok(round);
        }
        if mode.dry_run {
            round.marked = expired.segments;
            return Ok(round);
        }
        for batch in 1.. {
            let marked = index.mark_expired(stream, cutoff, now, BATCH).await?;
            round.marked += marked;
            reached("janitor.marked");
            if marked < BATCH as u64 {
                break;
            }
            if batch >= MOST_BATCHES && !mode.to_the_end {
                // What was allowed goes on in the next round.
                return Ok(round);
            }
        }
    }
    remember(index, stream, applied, setting, Some(cutoff), mode).await?;
    Ok(round)
}

/// The settings in words: another setting, other words.
fn setting(wanted: &Wanted) -> String {
    let or_all = |value: Option<String>| value.unwrap_or_else(|| "all".to_owned());
    format!(
        "age {}, bytes {}, total {}",
        or_all(wanted.keep.age.map(|age| format!("{} us", micros(age)))),
        or_all(wanted.keep.bytes.map(|b| b.to_string())),
        or_all(wanted.max_bytes.map(|b| b.to_string())),
    )
}

/// Writes what was applied, when it is news. The cutoff never falls while the setting stays.
async fn remember(
    index: &dyn Index,
    stream: &StreamName,
    applied: Option<AppliedRetention>,
    setting: String,
    cutoff: Option<UtcUs>,
    mode: Mode,
) -> anyhow::Result<()> {
    let cutoff = cutoff.unwrap_or(UtcUs(i64::MIN));
    let known = applied.is_some_and(|a| a.setting == setting && cutoff.since(a.cutoff) <= REMEMBERED_US);
    if !known && !mode.dry_run {
        index.set_applied_retention(stream, &AppliedRetention { setting, cutoff }).await?;
        reached("janitor.retention-remembered");
    }
    Ok(())
}
