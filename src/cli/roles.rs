//! The roles: what each subcommand starts.

use super::progress;
use anyhow::Context;
use evertape::config::{Config, StreamSettings};
use evertape::index::{self, Index};
use evertape::janitor;
use evertape::recorder::source::spec::SourceSpec;
use evertape::recorder::spool::Spool;
use evertape::recorder::status::StreamStatus;
use evertape::recorder::{self, Environment, RecordedStream, Tuning};
use evertape::store::{self, HedgedStore, ObjectStore};
use evertape::web::admin::{AdminOptions, FileStream};
use evertape::web::preview::JpegOptions;
use evertape::web::{self, Limits, PlaybackOptions};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long `run` and `migrate` wait for an index that does not answer.
const INDEX_PATIENCE: Duration = Duration::from_secs(30);

/// What all roles work on.
pub struct Backends {
    /// The object store.
    pub store: Arc<dyn ObjectStore>,
    /// The time index.
    pub index: Arc<dyn Index>,
}

/// Opens store and index. Asks nothing of a PostgreSQL or S3 yet.
pub async fn connect(config: &Config) -> anyhow::Result<Backends> {
    let store = store::open(&config.store.url, config.s3_options())
        .context("the object store cannot be opened; see [store]")?;
    let index = index::open(config.index.url.expose()).await.context("the index cannot be opened; see [index]")?;
    Ok(Backends { store, index })
}

/// Ends at SIGINT or SIGTERM; a second signal ends at once.
pub fn stop_on_signals() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let cancel = CancellationToken::new();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stopping = cancel.clone();
    tokio::spawn(async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        tracing::info!("stopping: cutting and publishing what is buffered");
        stopping.cancel();
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        std::process::exit(130);
    });
    Ok(cancel)
}

fn recorded_streams(config: &Config) -> anyhow::Result<Vec<(RecordedStream, Arc<StreamStatus>)>> {
    config
        .stream
        .iter()
        .map(|s| {
            let source = Some(SourceSpec::parse(s.source.expose())?);
            let recorded = RecordedStream {
                name: s.name.clone(),
                source,
                standby: s.standby,
                retention_us: s.retention.map(|r| i64::try_from(r.as_micros()).unwrap_or(i64::MAX)),
                retention_bytes: s.retention_bytes,
            };
            Ok((recorded, Arc::new(StreamStatus::new(s.name.clone()))))
        })
        .collect()
}

fn recording_environment(config: &Config, backends: &Backends) -> anyhow::Result<Arc<Environment>> {
    let settings = &config.recorder;
    let spool = Spool::open_with(&settings.spool, settings.spool_max_mib << 20, settings.spool_when_full)
        .with_context(|| format!("the spool {} cannot be opened; see recorder.spool", settings.spool.display()))?;
    Ok(Arc::new(Environment {
        store: backends.store.clone(),
        index: backends.index.clone(),
        spool,
        segment_seconds: settings.segment_seconds,
        stall: settings.stall,
        tuning: Tuning {
            lease: settings.lease,
            standby_keep: settings.standby_keep,
            uploads: settings.uploads as usize,
            max_streams: settings.max_streams,
        },
    }))
}

/// What the configuration says of retention.
pub fn janitor_rules(config: &Config) -> janitor::Rules {
    if config.janitor.grace <= config.playback.max_window {
        tracing::warn!(
            "janitor.grace is not longer than playback.max_window: long playlists and exports may lose their oldest segments while they are being read"
        );
    }
    janitor::Rules {
        streams: config
            .stream
            .iter()
            .map(|s| (s.name.clone(), janitor::Keep { age: s.retention, bytes: s.retention_bytes }))
            .collect(),
        max_bytes: config.janitor.max_bytes,
        grace: config.janitor.grace,
        interval: config.janitor.interval,
    }
}

async fn listen(config: &Config) -> anyhow::Result<TcpListener> {
    TcpListener::bind(config.http.listen)
        .await
        .with_context(|| format!("cannot listen on {}; give another address in http.listen", config.http.listen))
}

async fn jpeg_options(config: &Config) -> Option<JpegOptions> {
    let ffmpeg = config.preview.ffmpeg.clone()?;
    if let Some(why) = web::preview::cannot_start(&ffmpeg).await {
        // Everything else is played all the same.
        tracing::error!("preview.ffmpeg: {why}");
    }
    Some(JpegOptions { ffmpeg, width: config.preview.width, processes: config.preview.processes })
}

/// What `check-config` finds beyond the configuration's own rules: sentences.
pub async fn check(config: &Config) -> Vec<String> {
    let mut faults = Vec::new();
    if let Some(ffmpeg) = &config.preview.ffmpeg
        && let Some(why) = web::preview::cannot_start(ffmpeg).await
    {
        faults.push(format!("preview.ffmpeg: {why}"));
    }
    faults
}

fn admin_options(config: &Config, loopback: bool, roles: Vec<&'static str>) -> AdminOptions {
    let shown = |s: &StreamSettings| FileStream {
        name: s.name.clone(),
        // What cannot be read is not shown: it may hold a password.
        source: SourceSpec::parse(s.source.expose()).map(|spec| spec.to_string()).unwrap_or_default(),
        retention_us: s.retention.map(|r| i64::try_from(r.as_micros()).unwrap_or(i64::MAX)),
    };
    AdminOptions {
        user: config.admin.user.clone(),
        password: config.admin.password.as_ref().map(|p| p.expose().to_owned()),
        loopback,
        streams: config.stream.iter().map(shown).collect(),
        roles,
        tester: Arc::new(super::source_test::Tester),
    }
}

async fn serve(
    config: &Config,
    listener: TcpListener,
    backends: &Backends,
    roles: Vec<&'static str>,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    let address = listener.local_addr()?;
    tracing::info!(%address, "playback is ready");
    let loopback = address.ip().is_loopback();
    if config.admin.enabled && config.admin.password.is_none() && !loopback {
        tracing::warn!(
            "the web interface refuses everybody: {address} is open to other machines, and admin.password is not set"
        );
    }
    let options = PlaybackOptions {
        max_window: config.playback.max_window,
        media_base_url: config.playback.media_base_url.clone(),
        media_redirect: config.playback.media_redirect.is_some(),
        segment_seconds: config.recorder.segment_seconds,
        max_streams: config.playback.max_streams,
        max_exports: config.playback.max_exports,
        max_requests: config.http.max_requests,
        limits: Limits { max_connections: config.http.max_connections, drain: config.http.drain, ..Limits::default() },
        jpeg: jpeg_options(config).await,
        plain_hls: config.stream.iter().map(|s| (s.name.clone(), s.hls)).collect(),
        cors_origins: config.http.cors_origins.clone(),
        row_cache_bytes: config.playback.row_cache_mib << 20,
        media_cache_bytes: config.playback.media_cache_mib << 20,
        metrics: super::observability::prometheus()?,
        admin: config.admin.enabled.then(|| admin_options(config, loopback, roles)),
    };
    let store: Arc<dyn ObjectStore> = match backends.store.is_near() {
        true => backends.store.clone(),
        // A viewer waits: one slow answer in a hundred must not be theirs.
        false => Arc::new(HedgedStore::new(backends.store.clone())),
    };
    web::serve(listener, store, backends.index.clone(), options, cancel).await?;
    Ok(())
}

/// `evertape run`
pub async fn run(config: Config) -> anyhow::Result<()> {
    let cancel = stop_on_signals()?;
    // First what fails at once, so that nothing has begun when it does.
    let listener = listen(&config).await?;
    let backends = connect(&config).await?;
    let environment = recording_environment(&config, &backends)?;
    let streams = recorded_streams(&config)?;
    if !migrate_with_patience(&backends, &cancel).await? {
        return Ok(());
    }
    announce(&config, listener.local_addr()?);
    let stop = cancel.clone();
    let recording = tokio::spawn(async move {
        let recorded = recorder::run(environment, streams, stop.clone()).await;
        if recorded.is_err() {
            // Playing on without recording would look like health.
            stop.cancel();
        }
        recorded
    });
    let sweeping = tokio::spawn(janitor::run(
        backends.store.clone(),
        backends.index.clone(),
        janitor_rules(&config),
        cancel.clone(),
    ));
    let served = serve(&config, listener, &backends, vec!["record", "play", "janitor"], cancel.clone()).await;
    cancel.cancel();
    recording.await?.context("recording has ended; see [recorder]")?;
    sweeping.await?;
    served
}

fn announce(config: &Config, mut address: SocketAddr) {
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::from([127, 0, 0, 1]));
    }
    let base = format!("http://{address}");
    println!("Evertape is running.");
    if config.admin.enabled {
        println!("  web interface  {base}/ui/");
    }
    println!("Open in a player:");
    for stream in &config.stream {
        println!("  live      {base}/{}/index.m3u8", stream.name);
        println!("  rewind    {base}/{}/rewind-3600.m3u8", stream.name);
        println!("  recorded  {base}/{}/recording_status.json", stream.name);
    }
    println!("  health    {base}/readyz   metrics {base}/metrics");
}

/// An index that is not up yet is waited for: machines of one installation start in any order. `false` when the
/// process was told to stop before that.
pub async fn migrate_with_patience(backends: &Backends, cancel: &CancellationToken) -> anyhow::Result<bool> {
    let until = tokio::time::Instant::now() + INDEX_PATIENCE;
    let migrated = async {
        loop {
            match backends.index.migrate().await {
                Ok(()) => return Ok(true),
                Err(error)
                    if error.kind == index::IndexErrorKind::Unavailable && tokio::time::Instant::now() < until =>
                {
                    tracing::warn!(%error, "the index does not answer yet; tried again");
                    tokio::time::sleep(Duration::from_secs(2)).await;
                }
                Err(error) => {
                    return Err(error).context("the index's schema cannot be brought up to date; see [index]");
                }
            }
        }
    };
    // A migration is one transaction: cut off, it has not happened.
    tokio::select! {
        migrated = migrated => migrated,
        () = cancel.cancelled() => Ok(false),
    }
}

/// `evertape record`
pub async fn record(config: Config, shows_progress: bool) -> anyhow::Result<()> {
    let cancel = stop_on_signals()?;
    if let Some(address) = config.recorder.listen {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}; give another address in recorder.listen"))?;
        tokio::spawn(web::serve_metrics(listener, super::observability::prometheus()?, cancel.clone()));
    }
    let backends = connect(&config).await?;
    let environment = recording_environment(&config, &backends)?;
    let streams = recorded_streams(&config)?;
    if streams.is_empty() {
        tracing::info!("no [[stream]] in the configuration: recording what the index names");
    }
    let under_way = tokio::sync::watch::Sender::default();
    let shown = shows_progress.then(|| tokio::spawn(progress::show(under_way.subscribe())));
    let recorded = recorder::run_shown(environment, streams, under_way, cancel).await;
    if let Some(shown) = shown {
        shown.abort();
    }
    Ok(recorded?)
}

/// `evertape play`
pub async fn play(config: Config) -> anyhow::Result<()> {
    let cancel = stop_on_signals()?;
    let listener = listen(&config).await?;
    let backends = connect(&config).await?;
    serve(&config, listener, &backends, vec!["play"], cancel).await
}

/// `evertape migrate`
pub async fn migrate(config: Config) -> anyhow::Result<()> {
    let cancel = stop_on_signals()?;
    let backends = connect(&config).await?;
    anyhow::ensure!(migrate_with_patience(&backends, &cancel).await?, "stopped before the schema was up to date");
    println!("The index's schema is up to date.");
    Ok(())
}
