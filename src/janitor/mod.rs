//! The janitor: retention, in two steps.
//!
//! Comes in: streams with what to keep of them, by configuration and by the index, those that were deleted, and time. Goes out: marks, then, after a grace longer than any
//! playlist or export lives, deleted objects, then deleted rows: in this order, so that a kill between two
//! steps leaves a row whose object is gone already, never an object that nothing knows of.
//! Never: deletes what is not marked; marks what is locked, or most of a stream at once unless that is meant.
//! Any number of janitors may run at once: each step may be repeated, and done by two.

use crate::causes::causes;
use crate::clock;
use crate::crash_points::reached;
use crate::index::Index;
use crate::media::{StreamName, UtcUs};
use crate::store::ObjectStore;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

mod deleting;
mod marking;
mod removing;

pub use marking::Refused;

/// What is kept of a stream; neither is for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keep {
    /// For how long.
    pub age: Option<Duration>,
    /// The newest so many bytes.
    pub bytes: Option<u64>,
}

/// What the janitor keeps to.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Streams and what is kept of each.
    pub streams: Vec<(StreamName, Keep)>,
    /// Most bytes of all streams of the index together, configured here or not.
    pub max_bytes: Option<u64>,
    /// Between marking and deleting.
    pub grace: Duration,
    /// Between two rounds.
    pub interval: Duration,
}

/// How one round goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mode {
    /// Mark most of a stream, too, if the rules say so.
    pub force: bool,
    /// Change nothing, only say what would be.
    pub dry_run: bool,
    /// Go on until all is done, however much it is; else so much that other streams have their turn.
    pub to_the_end: bool,
}

/// What one round did, or would do, to a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Round {
    /// Segments marked.
    pub marked: u64,
    /// Bytes of the segments that were to be marked when the round began.
    pub expired_bytes: u64,
    /// Segments whose object and row are gone.
    pub deleted: u64,
    /// Why nothing was marked.
    pub refused: Option<Refused>,
}

/// Rounds for ever, until `cancel`. An error ends a stream's round, not the janitor.
pub async fn run(store: Arc<dyn ObjectStore>, index: Arc<dyn Index>, rules: Rules, cancel: CancellationToken) {
    let mut ticks = tokio::time::interval(rules.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut refused = BTreeSet::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = cancel.cancelled() => return,
        }
        let rounds = tokio::select! {
            rounds = round(&*store, &*index, &rules, Mode::default(), clock::now()) => rounds,
            () = cancel.cancelled() => return,
        };
        let rounds = match rounds {
            Ok(rounds) => rounds,
            Err(error) => {
                tracing::warn!(error = %causes(&error), "retention failed; tried again");
                continue;
            }
        };
        for (stream, outcome) in rounds {
            match outcome {
                Ok(round) => report(&stream, &round, &mut refused),
                Err(error) => tracing::warn!(%stream, error = %causes(&error), "retention failed; tried again"),
            }
        }
    }
}

/// Logs and counts a round. A refusal is logged once, until it is over.
fn report(stream: &StreamName, round: &Round, refused: &mut BTreeSet<StreamName>) {
    if round.marked > 0 || round.deleted > 0 {
        tracing::info!(%stream, marked = round.marked, deleted = round.deleted, "retention");
        metrics::counter!("evertape_segments_marked_total", "stream" => stream.to_string()).increment(round.marked);
        metrics::counter!("evertape_segments_deleted_total", "stream" => stream.to_string()).increment(round.deleted);
    }
    let gauge = metrics::gauge!("evertape_janitor_refused", "stream" => stream.to_string());
    match &round.refused {
        Some(why) => {
            gauge.set(1.0);
            if refused.insert(stream.clone()) {
                tracing::error!(%stream, "{why}");
            }
        }
        None => {
            gauge.set(0.0);
            refused.remove(stream);
        }
    }
}

/// One round over all streams at `now`: marks what is to go, deletes what was marked longer than the grace ago.
///
/// # Errors
/// When the index cannot say what there is. What happens to one stream is in its own result.
pub async fn round(
    store: &dyn ObjectStore,
    index: &dyn Index,
    rules: &Rules,
    mode: Mode,
    now: UtcUs,
) -> anyhow::Result<Vec<(StreamName, anyhow::Result<Round>)>> {
    let mut streams = rules.streams.clone();
    for kept in index.settings().await? {
        // A name in the configuration file is the file's.
        if !streams.iter().any(|(known, _)| *known == kept.stream) {
            let age = kept.setting.retention_us.map(|us| Duration::from_micros(u64::try_from(us).unwrap_or(0)));
            streams.push((kept.stream, Keep { age, bytes: kept.setting.retention_bytes }));
        }
    }
    let mut used: BTreeSet<StreamName> = streams.iter().map(|(name, _)| name.clone()).collect();
    // Of a stream that is configured no more, what was marked is still to be deleted.
    for name in index.streams().await? {
        if !streams.iter().any(|(known, _)| *known == name) {
            streams.push((name, Keep::default()));
        }
    }
    let total_cutoff = match rules.max_bytes {
        Some(bytes) => index.bytes_cutoff(None, bytes).await?,
        None => None,
    };
    let mut rounds = Vec::with_capacity(streams.len());
    for (stream, keep) in &streams {
        let wanted = marking::Wanted { keep: *keep, max_bytes: rules.max_bytes, total_cutoff };
        rounds.push((stream.clone(), marking::mark(index, stream, &wanted, mode, now).await));
    }
    let removed = index.removed().await?;
    if !removed.is_empty() {
        // The janitor's own file may not have the streams of a recorder's.
        let told = index.reports().await?.into_iter().map(|kept| kept.report);
        used.extend(told.filter(|report| report.from_file).map(|report| report.stream));
    }
    for removed in removed {
        let outcome = removing::mark(index, &removed, used.contains(&removed.stream), rules.grace, mode, now).await;
        reached("janitor.deletion-seen-to");
        match (rounds.iter_mut().find(|(name, _)| *name == removed.stream), outcome) {
            (Some((_, Ok(round))), Ok(marked)) => round.marked += marked,
            (Some((_, round)), Err(error)) => *round = Err(error),
            (_, Err(error)) => rounds.push((removed.stream, Err(error))),
            (_, Ok(_)) => {}
        }
    }
    let marked_before = crate::media::retention::deletion_cutoff(now, micros(rules.grace));
    if !mode.dry_run {
        // They keep nothing any more; for the length of the grace they are still shown.
        if index.forget_locks(marked_before).await? > 0 {
            reached("janitor.locks-forgotten");
        }
        for (stream, deleted) in deleting::spans(store, index, marked_before, mode).await? {
            if let Some((_, Ok(round))) = rounds.iter_mut().find(|(name, _)| *name == stream) {
                round.deleted += deleted;
            }
        }
    }
    for (stream, outcome) in &mut rounds {
        let deleted = deleting::rows(store, index, stream, marked_before, mode).await;
        match (outcome.as_mut(), deleted) {
            (Ok(round), Ok(deleted)) => round.deleted += deleted,
            (Ok(_), Err(error)) => *outcome = Err(error),
            (Err(_), _) => {}
        }
    }
    Ok(rounds)
}

pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
