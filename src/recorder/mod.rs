//! The recorder: sources into segments, segments into spool, store and index.
//!
//! Comes in: streams to record. Goes out: published segments. One task tree for each stream; a stream in
//! trouble does not touch the others. Never: answers requests.

mod ground;
mod heal;
mod joint;
mod lease;
mod members;
mod numbers;
mod publisher;
mod registry;
pub mod reports;
pub mod segmenter;
mod shadow;
pub mod share;
pub mod source;
pub mod spool;
pub mod status;
mod stream;
mod supervisor;
pub mod timeline;
pub mod track_queue;
mod uncarried;

pub use ground::numbers_are_void;

use crate::index::Index;
use crate::media::StreamName;
use crate::store::ObjectStore;
use reports::Shown;
use source::spec::SourceSpec;
use spool::Spool;
use status::StreamStatus;
use std::sync::Arc;
use std::time::Duration;
use supervisor::Supervisor;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// How old what `/metrics` says of sources and spool may be.
const METRICS_EVERY: Duration = Duration::from_secs(2);

/// A stream to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedStream {
    /// Name.
    pub name: StreamName,
    /// Where it comes from; `None` to publish only what an earlier process left in the spool.
    pub source: Option<SourceSpec>,
    /// Another recorder keeps its last minutes ready, and takes over without a gap.
    pub standby: bool,
    /// How long recordings are kept, in microseconds: shown, the janitor sees to it.
    pub retention_us: Option<i64>,
    /// Most bytes that are kept: shown, the janitor sees to it.
    pub retention_bytes: Option<u64>,
}

impl RecordedStream {
    /// A stream of which only what is in the spool is left.
    fn left_over(name: StreamName) -> Self {
        Self { name, source: None, standby: false, retention_us: None, retention_bytes: None }
    }

    /// Whether the same is recorded in the same way: what is kept of it is no reason to begin anew.
    fn records_as(&self, other: &Self) -> bool {
        (&self.source, self.standby) == (&other.source, other.standby)
    }
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

/// Records `streams` and those that the index names, and publishes what the spool holds of others, until `cancel`; then
/// cuts and publishes what is buffered, within some seconds, and returns.
///
/// # Errors
/// When the spool cannot be read at the start.
pub async fn run(
    environment: Arc<Environment>,
    streams: Vec<(RecordedStream, Arc<StreamStatus>)>,
    cancel: CancellationToken,
) -> std::io::Result<()> {
    run_shown(environment, streams, watch::Sender::default(), cancel).await
}

/// As [`run`]; which streams are under way goes to `shown`.
///
/// # Errors
/// As [`run`].
pub async fn run_shown(
    environment: Arc<Environment>,
    streams: Vec<(RecordedStream, Arc<StreamStatus>)>,
    shown: watch::Sender<Vec<Arc<Shown>>>,
    cancel: CancellationToken,
) -> std::io::Result<()> {
    let (shared, peers) = members::Shared::new(environment.clone());
    let watching = AbortOnDropHandle::new(tokio::spawn(members::run(shared.clone(), peers, cancel.clone())));
    let seen = shown.subscribe();
    let _exporting = AbortOnDropHandle::new(tokio::spawn(export_metrics(environment.clone(), seen.clone())));
    // It has its last word when the streams have ended.
    let ended = CancellationToken::new();
    let telling = AbortOnDropHandle::new(tokio::spawn(reports::tell(environment, seen, ended.clone())));
    Supervisor::new(shared, streams, shown, cancel).run().await?;
    ended.cancel();
    let _ = tokio::join!(watching, telling);
    Ok(())
}

async fn export_metrics(environment: Arc<Environment>, shown: watch::Receiver<Vec<Arc<Shown>>>) {
    let mut ticks = tokio::time::interval(METRICS_EVERY);
    loop {
        ticks.tick().await;
        metrics::gauge!("evertape_spool_bytes").set(environment.spool.used_bytes() as f64);
        let streams = shown.borrow().clone();
        streams.iter().for_each(|s| s.status.export());
    }
}
