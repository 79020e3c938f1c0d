//! Playback over HTTP.
//!
//! Comes in: requests from anyone. Goes out: playlists, media, exports, JSON, problems. Stateless: any node
//! answers any request from index and store alone. Never: holds more of a body than the pieces in flight.

mod answers;
pub mod body;
pub mod conditional;
mod export;
mod health;
mod media;
mod playlist;
pub mod problem;
mod server;
mod ts_export;
mod watched;

use crate::index::Index;
use crate::playback::export::ExportPlan;
use crate::playback::ts_export::TsExportPlan;
use crate::store::ObjectStore;
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Exports prepared lately, so that a player's many range requests prepare one once.
const EXPORT_CACHE_BYTES: u64 = 64 << 20;

/// What an operator may set.
#[derive(Clone)]
pub struct PlaybackOptions {
    /// Longest window of one request.
    pub max_window: Duration,
    /// Where playlists point for media; relative to the playlist when `None`.
    pub media_base_url: Option<String>,
    /// Length of segments aimed at by the recorders.
    pub segment_seconds: u32,
    /// What `/metrics` shows.
    pub metrics: PrometheusHandle,
}

/// What every request needs.
pub struct Node {
    store: Arc<dyn ObjectStore>,
    index: Arc<dyn Index>,
    options: PlaybackOptions,
    exports: moka::future::Cache<String, Arc<ExportPlan>>,
    ts_exports: moka::future::Cache<String, Arc<TsExportPlan>>,
}

/// Answers `/healthz` and `/metrics` alone, for a process that plays nothing.
///
/// # Errors
/// When the listener fails.
pub async fn serve_metrics(
    listener: tokio::net::TcpListener,
    metrics: PrometheusHandle,
    cancel: CancellationToken,
) -> std::io::Result<()> {
    server::run(listener, health::router(metrics), cancel).await
}

/// Answers requests on `listener` until `cancel`; then finishes what runs, for some seconds.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: tokio::net::TcpListener,
    store: Arc<dyn ObjectStore>,
    index: Arc<dyn Index>,
    options: PlaybackOptions,
    cancel: CancellationToken,
) -> std::io::Result<()> {
    let exports = plan_cache(ExportPlan::memory_bytes);
    let ts_exports = plan_cache(TsExportPlan::memory_bytes);
    let node = Arc::new(Node { store, index, options, exports, ts_exports });
    server::run(listener, answers::router(node), cancel).await
}

/// Plans made lately, by what was asked for.
fn plan_cache<P: Send + Sync + 'static>(
    bytes: impl Fn(&P) -> usize + Send + Sync + 'static,
) -> moka::future::Cache<String, Arc<P>> {
    moka::future::Cache::builder()
        .weigher(move |key: &String, plan: &Arc<P>| u32::try_from(key.len() + bytes(plan)).unwrap_or(u32::MAX))
        .max_capacity(EXPORT_CACHE_BYTES)
        .time_to_live(Duration::from_secs(60))
        .build()
}
