//! Playback over HTTP.
//!
//! Comes in: requests from anyone. Goes out: playlists, media, exports, JSON, problems. Stateless: any node
//! answers any request from index and store alone. Never: holds more of a body than the pieces in flight.

pub mod admin;
mod answers;
pub mod body;
mod cache;
pub mod conditional;
mod cors;
mod encoding;
mod export;
mod health;
mod media;
mod plain;
mod playlist;
pub mod preview;
pub mod problem;
mod server;
mod service;
mod stream_mode;
mod ts;
mod ts_export;
mod ui;
mod watched;

use self::cache::objects::{Keep, Objects};
use self::cache::parts::Proven;
use self::cache::rows::Rows;
use self::problem::Problem;
pub use self::server::Limits;
pub use self::service::Service;
use crate::index::{Index, IndexError};
use crate::media::{InitHash, InitInfo, ObjectKey, StreamName};
use crate::playback::export::ExportPlan;
use crate::playback::hls::PlainHls;
use crate::playback::ts_export::TsExportPlan;
use crate::store::{self, ObjectStore};
use hyper_util::service::TowerToHyperService;
use metrics_exporter_prometheus::PrometheusHandle;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Exports prepared lately, so that a player's many range requests prepare one once.
const EXPORT_CACHE_BYTES: u64 = 64 << 20;

/// A TS export holds the objects that it muxes: some megabytes. An MP4 export passes them on.
const TS_EXPORT_PLACES: u32 = 8;

/// Sources that an operator looks at, at once.
const MOST_SOURCE_TESTS: usize = 2;

/// What an operator may set.
#[derive(Clone)]
pub struct PlaybackOptions {
    /// Longest window of one request.
    pub max_window: Duration,
    /// Where playlists point for media; relative to the playlist when `None`.
    pub media_base_url: Option<String>,
    /// Players fetch single tracks of fragmented MP4 from the store itself, by addresses that it signs.
    pub media_redirect: bool,
    /// Length of segments aimed at by the recorders.
    pub segment_seconds: u32,
    /// Most endless streams at once.
    pub max_streams: usize,
    /// Most exports at once; one as TS counts for [`TS_EXPORT_PLACES`].
    pub max_exports: usize,
    /// Most requests whose answer has not begun, at once.
    pub max_requests: usize,
    /// What connections may have.
    pub limits: Limits,
    /// How JPEG previews are made; not at all when `None`.
    pub jpeg: Option<preview::JpegOptions>,
    /// What plain `.m3u8` means, for streams that say so.
    pub plain_hls: HashMap<StreamName, PlainHls>,
    /// Bytes of rows and sample tables that are kept.
    pub row_cache_bytes: u64,
    /// Bytes of media that are kept.
    pub media_cache_bytes: u64,
    /// Origins of web pages that may send credentials.
    pub cors_origins: Vec<String>,
    /// What `/metrics` shows.
    pub metrics: PrometheusHandle,
    /// The admin API and the web interface; neither when `None`.
    pub admin: Option<admin::AdminOptions>,
}

impl PlaybackOptions {
    /// The defaults of the configuration.
    pub fn new(metrics: PrometheusHandle) -> Self {
        Self {
            max_window: Duration::from_secs(24 * 3600),
            media_base_url: None,
            media_redirect: false,
            segment_seconds: 6,
            max_streams: 4000,
            max_exports: 512,
            max_requests: 1024,
            limits: Limits::default(),
            jpeg: None,
            plain_hls: HashMap::new(),
            row_cache_bytes: 256 << 20,
            media_cache_bytes: 256 << 20,
            cors_origins: Vec::new(),
            metrics,
            admin: None,
        }
    }
}

/// What every request needs.
pub struct Node {
    store: Arc<dyn ObjectStore>,
    /// For `/readyz` only: all else asks [`Node::rows`].
    index: Arc<dyn Index>,
    rows: Rows,
    objects: Objects,
    cors: cors::Cors,
    compressed: encoding::Compressed,
    options: PlaybackOptions,
    exports: moka::future::Cache<String, Arc<ExportPlan>>,
    ts_exports: moka::future::Cache<String, Arc<TsExportPlan>>,
    jpegs: Option<preview::Jpegs>,
    muxed: stream_mode::MuxedParts,
    places: stream_mode::Places,
    export_places: Arc<tokio::sync::Semaphore>,
    plain: plain::Plain,
    events: admin::Events,
    /// Sources that may be looked at at once.
    source_tests: tokio::sync::Semaphore,
    /// Wrong passwords that are being answered.
    guesses: tokio::sync::Semaphore,
    /// This process is being stopped: what has no end ends.
    stopping: CancellationToken,
}

/// No init segment is larger: one sample entry with its parameter sets.
const LARGEST_INIT_BYTES: usize = 1 << 20;

impl Node {
    /// A whole object (a segment, an init segment), from memory or fetched once for all who ask meanwhile. The
    /// bytes are shared: what is made of them must not keep them longer than an answer lasts.
    ///
    /// # Errors
    /// 404 for one that is not there, 503 while the store cannot be reached, 500 for one larger than
    /// [`cache::objects::LARGEST_BYTES`].
    pub async fn object(&self, key: &ObjectKey) -> Result<bytes::Bytes, Problem> {
        Ok(self.objects.whole(key).await?)
    }

    /// A whole segment object of which `check` approves, and what it made of it. Damage on the way is healed by reading
    /// again, once.
    ///
    /// # Errors
    /// As [`Node::object`]; 500 where the store has other bytes than were written.
    pub async fn segment_object<T, E: std::error::Error>(
        &self,
        key: &ObjectKey,
        check: impl Fn(&bytes::Bytes) -> Result<T, E>,
    ) -> Result<(bytes::Bytes, T), Problem> {
        for attempt in 0..2 {
            let bytes = self.object(key).await?;
            match check(&bytes) {
                Ok(made) => return Ok((bytes, made)),
                Err(error) if attempt == 0 => tracing::warn!(%key, %error, "an object came damaged; it is read again"),
                Err(error) => {
                    metrics::counter!("evertape_damaged_parts_total").increment(1);
                    tracing::error!(%key, %error, "an object in the store is damaged; `evertape check --deep` finds all such");
                }
            }
            self.objects.forget(key).await;
        }
        Err(Problem::damaged())
    }

    /// The bytes `wanted` of a proven `part` of a segment, from memory or read for this caller.
    ///
    /// # Errors
    /// As [`Node::object`]; 500 where the store has other bytes than were written.
    pub async fn proven(
        &self,
        key: &ObjectKey,
        part: &Range<u64>,
        wanted: &Range<u64>,
    ) -> Result<bytes::Bytes, Problem> {
        let gone = || Problem::not_found("This part of the recording is not (or no longer) in the store.");
        match self.objects.part(key, part, Keep::Yes).await? {
            Proven::Held(bytes) => {
                let at = |offset: u64| offset.checked_sub(part.start).and_then(|at| usize::try_from(at).ok());
                match (at(wanted.start), at(wanted.end)) {
                    (Some(from), Some(to)) if from <= to && to <= bytes.len() => Ok(bytes.slice(from..to)),
                    _ => Err(gone()),
                }
            }
            Proven::Stored => {
                let bytes = store::read_all(&*self.store, key, wanted.clone()).await?;
                if bytes.len() as u64 == wanted.end.saturating_sub(wanted.start) { Ok(bytes) } else { Err(gone()) }
            }
        }
    }

    /// Room for one more export of this weight.
    ///
    /// # Errors
    /// 503 when there is none.
    fn export_place(&self, weight: u32) -> Result<tokio::sync::OwnedSemaphorePermit, Problem> {
        self.export_places.clone().try_acquire_many_owned(weight).map_err(|_| {
            metrics::counter!("evertape_http_refused_total", "reason" => "exports").increment(1);
            Problem::unavailable("This node makes as many exports as it may. Try again in a moment.")
        })
    }

    /// An init segment, checked against its name.
    ///
    /// # Errors
    /// As [`Node::object`]; 500 where the store has other bytes under this name.
    pub async fn init_bytes(&self, stream: &StreamName, hash: InitHash) -> Result<bytes::Bytes, Problem> {
        let key = ObjectKey::init(stream, hash);
        let bytes = self.objects.whole(&key).await?;
        if bytes.len() > LARGEST_INIT_BYTES || InitHash::of(&bytes) != hash {
            // Whoever gets these bytes keeps them for a year.
            tracing::error!(%key, "an init segment in the store is not what its name says");
            return Err(Problem::internal());
        }
        Ok(bytes)
    }

    /// What an init segment says, by the index; `None` when the index does not know it.
    ///
    /// # Errors
    /// Whatever the index says, unless it was asked before: what a hash says never changes.
    pub async fn init_info(&self, stream: &StreamName, hash: InitHash) -> Result<Option<InitInfo>, IndexError> {
        Ok(self.rows.inits(stream, &[hash]).await?.pop())
    }
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
    server::run(listener, TowerToHyperService::new(health::router(metrics)), Limits::default(), cancel).await
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
    let limits = options.limits;
    let service = service(store, index, options, cancel.clone());
    let answer = move |request| {
        let service = service.clone();
        async move { Ok(service.answer(request).await) }
    };
    server::run(listener, hyper::service::service_fn(answer), limits, cancel).await
}

/// What [`serve`] answers with, without connections. What has no end ends with `stopping`.
pub fn service(
    store: Arc<dyn ObjectStore>,
    index: Arc<dyn Index>,
    options: PlaybackOptions,
    stopping: CancellationToken,
) -> Service {
    let exports = plan_cache(ExportPlan::memory_bytes);
    let ts_exports = plan_cache(TsExportPlan::memory_bytes);
    let jpegs = options.jpeg.clone().map(preview::Jpegs::new);
    let rows = Rows::new(index.clone(), options.row_cache_bytes);
    let objects = Objects::new(store.clone(), options.media_cache_bytes);
    let plain = plain::Plain::new(options.plain_hls.clone(), index.clone());
    let cors = cors::Cors::new(&options.cors_origins);
    let compressed = encoding::Compressed::new();
    let muxed = stream_mode::MuxedParts::new(options.media_cache_bytes / 4);
    let places = stream_mode::Places::new(options.max_streams);
    let export_places = Arc::new(tokio::sync::Semaphore::new(options.max_exports));
    Service::new(Arc::new(Node {
        store,
        index,
        rows,
        objects,
        cors,
        compressed,
        options,
        exports,
        ts_exports,
        jpegs,
        muxed,
        places,
        export_places,
        plain,
        events: admin::Events::default(),
        source_tests: tokio::sync::Semaphore::new(MOST_SOURCE_TESTS),
        guesses: tokio::sync::Semaphore::new(admin::MOST_GUESSES),
        stopping,
    }))
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
