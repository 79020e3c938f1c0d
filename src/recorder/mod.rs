//! The recorder: sources into segments, segments into spool, store and index.
//!
//! Comes in: streams to record. Goes out: published segments. One task tree for each stream; a stream in
//! trouble does not touch the others. Never: answers requests.

mod ground;
mod heal;
mod lease;
mod members;
mod numbers;
mod publisher;
mod registry;
pub mod segmenter;
mod shadow;
pub mod share;
pub mod source;
pub mod spool;
pub mod status;
mod stream;
pub mod timeline;
pub mod track_queue;
mod uncarried;

use crate::index::Index;
use crate::media::StreamName;
use crate::store::ObjectStore;
use source::spec::SourceSpec;
use spool::Spool;
use status::StreamStatus;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Before a recorder that failed starts again.
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// How old what `/metrics` says of sources and spool may be.
const METRICS_EVERY: Duration = Duration::from_secs(2);

/// A stream to record.
#[derive(Debug, Clone)]
pub struct RecordedStream {
    /// Name.
    pub name: StreamName,
    /// Where it comes from; `None` to publish only what an earlier process left in the spool.
    pub source: Option<SourceSpec>,
    /// Another recorder keeps its last minutes ready, and takes over without a gap.
    pub standby: bool,
}

/// How recorders share their work and wait for each other.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// Life of a lease: how long another recorder waits before it takes a dead one's place.
    pub lease: Duration,
    /// How much of a stream a standby keeps ready.
    pub standby_keep: Duration,
    /// Uploads at a time.
    pub uploads: usize,
    /// Most streams to record; `None` for no limit.
    pub max_streams: Option<u32>,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { lease: Duration::from_secs(30), standby_keep: Duration::from_secs(180), uploads: 16, max_streams: None }
    }
}

/// What all streams share.
pub struct Environment {
    /// Object store.
    pub store: Arc<dyn ObjectStore>,
    /// Time index.
    pub index: Arc<dyn Index>,
    /// Spool.
    pub spool: Arc<Spool>,
    /// Segment length aimed at, in seconds.
    pub segment_seconds: u32,
    /// How long a source may send nothing.
    pub stall: Duration,
    /// How it shares its work with others.
    pub tuning: Tuning,
}

/// Records `streams`, and publishes what the spool holds of others, until `cancel`; then cuts and publishes what
/// is buffered, within some seconds, and returns.
///
/// # Errors
/// When the spool cannot be read at the start.
pub async fn run(
    environment: Arc<Environment>,
    streams: Vec<(RecordedStream, Arc<StreamStatus>)>,
    cancel: CancellationToken,
) -> std::io::Result<()> {
    let mut tasks = JoinSet::new();
    let mut left_over = environment.spool.streams()?;
    left_over.retain(|name| !streams.iter().any(|(s, _)| s.name == *name));
    let left_over = left_over.into_iter().map(|name| {
        (RecordedStream { name: name.clone(), source: None, standby: false }, Arc::new(StreamStatus::new(name)))
    });
    let mut shown = Vec::new();
    let (shared, peers) = members::Shared::new(environment.clone());
    let watching = tokio::spawn(members::run(shared.clone(), peers, cancel.clone()));
    for (recorded, status) in streams.into_iter().chain(left_over) {
        shown.push(status.clone());
        let (shared, cancel) = (shared.clone(), cancel.clone());
        tasks.spawn(async move {
            // A defect in one stream's recorder must end neither the others nor, for long, its own.
            let attempt = || {
                let (shared, recorded) = (shared.clone(), recorded.clone());
                AbortOnDropHandle::new(tokio::spawn(stream::record(shared, recorded, status.clone(), cancel.clone())))
            };
            while let Err(error) = attempt().await {
                tracing::error!(stream = %recorded.name, %error, "a recorder failed; it is started again");
                tokio::time::sleep(RESTART_AFTER).await;
            }
        });
    }
    let _exporting = AbortOnDropHandle::new(tokio::spawn(export_metrics(environment, shown)));
    let watching = AbortOnDropHandle::new(watching);
    while tasks.join_next().await.is_some() {}
    if cancel.is_cancelled() {
        let _ = watching.await;
    }
    Ok(())
}

async fn export_metrics(environment: Arc<Environment>, streams: Vec<Arc<StreamStatus>>) {
    let mut ticks = tokio::time::interval(METRICS_EVERY);
    loop {
        ticks.tick().await;
        metrics::gauge!("evertape_spool_bytes").set(environment.spool.used_bytes() as f64);
        streams.iter().for_each(|s| s.export());
    }
}
