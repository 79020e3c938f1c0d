//! The janitor: retention by age, in two steps.
//!
//! Comes in: streams with their retention, and time. Goes out: marks, then, after a grace longer than any
//! playlist or export lives, deleted objects, then deleted rows: in this order, so that a kill between two
//! steps leaves a row whose object is gone already, never an object that nothing knows of.
//! Never: deletes what is not marked; touches streams that are not configured here.

use crate::clock;
use crate::index::Index;
use crate::media::{ObjectKey, StreamName, retention};
use crate::store::ObjectStore;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Rows handled by one statement.
const BATCH: usize = 500;
/// Batches of one stream in one round, so that a long backlog of one does not starve the others.
const MOST_BATCHES: usize = 40;

/// What the janitor keeps to.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Streams and how long each is kept; `None` is for ever.
    pub streams: Vec<(StreamName, Option<Duration>)>,
    /// Between marking and deleting.
    pub grace: Duration,
    /// Between two rounds.
    pub interval: Duration,
}

/// What one round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Round {
    /// Segments marked.
    pub marked: u64,
    /// Segments whose object and row are gone.
    pub deleted: u64,
}

/// Rounds for ever, until `cancel`. An error ends a stream's round, not the janitor.
pub async fn run(store: Arc<dyn ObjectStore>, index: Arc<dyn Index>, rules: Rules, cancel: CancellationToken) {
    let mut ticks = tokio::time::interval(rules.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = cancel.cancelled() => return,
        }
        for (stream, keep) in &rules.streams {
            let swept = tokio::select! {
                swept = sweep(&*store, &*index, stream, *keep, rules.grace, clock::now()) => swept,
                () = cancel.cancelled() => return,
            };
            match swept {
                Ok(Round { marked: 0, deleted: 0 }) => {}
                Ok(round) => {
                    tracing::info!(%stream, marked = round.marked, deleted = round.deleted, "retention");
                    metrics::counter!("evertape_segments_marked_total", "stream" => stream.to_string())
                        .increment(round.marked);
                    metrics::counter!("evertape_segments_deleted_total", "stream" => stream.to_string())
                        .increment(round.deleted);
                }
                Err(error) => tracing::warn!(%stream, error = %format!("{error:#}"), "retention failed; tried again"),
            }
        }
    }
}

/// One stream's round at `now`: marks what has outlived `keep`, deletes what was marked longer than `grace` ago.
///
/// # Errors
/// What store or index say; what was done until then stays done and is not repeated.
pub async fn sweep(
    store: &dyn ObjectStore,
    index: &dyn Index,
    stream: &StreamName,
    keep: Option<Duration>,
    grace: Duration,
    now: crate::media::UtcUs,
) -> anyhow::Result<Round> {
    let mut round = Round::default();
    if let Some(keep) = keep {
        let cutoff = retention::expiry_cutoff(now, micros(keep));
        for _ in 0..MOST_BATCHES {
            let marked = index.mark_expired(stream, cutoff, now, BATCH).await?;
            round.marked += marked;
            if marked < BATCH as u64 {
                break;
            }
        }
    }
    let marked_before = retention::deletion_cutoff(now, micros(grace));
    for _ in 0..MOST_BATCHES {
        let deletable = index.deletable(stream, marked_before, BATCH).await?;
        let objects: Vec<ObjectKey> = deletable.iter().map(|d| d.object.clone()).collect();
        if objects.is_empty() {
            break;
        }
        store.delete(&objects).await?;
        let rows: Vec<_> = deletable.into_iter().map(|d| d.id).collect();
        index.delete(&rows).await?;
        round.deleted += rows.len() as u64;
        if rows.len() < BATCH {
            break;
        }
    }
    Ok(round)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
