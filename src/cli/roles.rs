//! The roles: what each subcommand starts.

use super::progress;
use anyhow::Context;
use evertape::config::Config;
use evertape::index::{self, Index};
use evertape::janitor;
use evertape::recorder::source::spec::SourceSpec;
use evertape::recorder::spool::Spool;
use evertape::recorder::status::StreamStatus;
use evertape::recorder::{self, Environment, RecordedStream};
use evertape::store::{self, ObjectStore, S3Options};
use evertape::web::{self, PlaybackOptions};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

struct Backends {
    store: Arc<dyn ObjectStore>,
    index: Arc<dyn Index>,
}

async fn connect(config: &Config) -> anyhow::Result<Backends> {
    let s3 = &config.store.s3;
    let store = store::open(
        &config.store.url,
        S3Options {
            endpoint: s3.endpoint.clone(),
            region: s3.region.clone(),
            access_key: s3.access_key.clone(),
            secret_key: s3.secret_key.as_ref().map(|s| store::Secret::new(s.expose())),
            path_style: s3.path_style,
        },
    )
    .context("the object store cannot be opened; see [store]")?;
    let index = index::open(config.index.url.expose()).await.context("the index cannot be opened; see [index]")?;
    Ok(Backends { store, index })
}

/// Ends at SIGINT or SIGTERM; a second signal ends at once.
fn stop_on_signals() -> anyhow::Result<CancellationToken> {
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
            Ok((RecordedStream { name: s.name.clone(), source }, Arc::new(StreamStatus::new(s.name.clone()))))
        })
        .collect()
}

fn recording_environment(config: &Config, backends: &Backends) -> anyhow::Result<Arc<Environment>> {
    let spool = Spool::open(&config.recorder.spool, config.recorder.spool_max_mib << 20).with_context(|| {
        format!("the spool {} cannot be opened; see recorder.spool", config.recorder.spool.display())
    })?;
    Ok(Arc::new(Environment {
        store: backends.store.clone(),
        index: backends.index.clone(),
        spool,
        segment_seconds: config.recorder.segment_seconds,
        stall: config.recorder.stall,
    }))
}

fn janitor_rules(config: &Config) -> janitor::Rules {
    janitor::Rules {
        streams: config.stream.iter().map(|s| (s.name.clone(), s.retention)).collect(),
        grace: config.janitor.grace,
        interval: config.janitor.interval,
    }
}

async fn serve(config: &Config, backends: &Backends, cancel: CancellationToken) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(config.http.listen)
        .await
        .with_context(|| format!("cannot listen on {}; give another address in http.listen", config.http.listen))?;
    let address = listener.local_addr()?;
    tracing::info!(%address, "playback is ready");
    let options = PlaybackOptions {
        max_window: config.playback.max_window,
        media_base_url: config.playback.media_base_url.clone(),
        segment_seconds: config.recorder.segment_seconds,
        metrics: super::observability::prometheus()?,
    };
    web::serve(listener, backends.store.clone(), backends.index.clone(), options, cancel).await?;
    Ok(())
}

/// `evertape run`
pub async fn run(config: Config) -> anyhow::Result<()> {
    let cancel = stop_on_signals()?;
    let backends = connect(&config).await?;
    migrate_with_patience(&backends, &cancel).await?;
    let environment = recording_environment(&config, &backends)?;
    let streams = recorded_streams(&config)?;
    announce(&config);
    let recording = tokio::spawn(recorder::run(environment, streams, cancel.clone()));
    let sweeping = tokio::spawn(janitor::run(
        backends.store.clone(),
        backends.index.clone(),
        janitor_rules(&config),
        cancel.clone(),
    ));
    let served = serve(&config, &backends, cancel.clone()).await;
    cancel.cancel();
    recording.await??;
    sweeping.await?;
    served
}

fn announce(config: &Config) {
    let base = format!("http://{}", config.http.listen);
    println!("Evertape is running. Open in a player:");
    for stream in &config.stream {
        println!("  live      {base}/{}/index.m3u8", stream.name);
        println!("  rewind    {base}/{}/rewind-3600.m3u8", stream.name);
        println!("  recorded  {base}/{}/recording_status.json", stream.name);
    }
    println!("  health    {base}/readyz   metrics {base}/metrics");
}

/// An index that is not up yet is waited for: machines of one installation start in any order.
async fn migrate_with_patience(backends: &Backends, cancel: &CancellationToken) -> anyhow::Result<()> {
    for attempt in 1u64.. {
        match backends.index.migrate().await {
            Ok(()) => break,
            Err(error)
                if error.kind == index::IndexErrorKind::Unavailable && attempt < 30 && !cancel.is_cancelled() =>
            {
                tracing::warn!(%error, attempt, "the index does not answer yet");
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            Err(error) => return Err(error).context("the index's schema cannot be brought up to date"),
        }
    }
    Ok(())
}

/// `evertape record`
pub async fn record(config: Config, shows_progress: bool) -> anyhow::Result<()> {
    let cancel = stop_on_signals()?;
    let backends = connect(&config).await?;
    let environment = recording_environment(&config, &backends)?;
    let streams = recorded_streams(&config)?;
    anyhow::ensure!(!streams.is_empty(), "nothing to record: add a [[stream]] to the configuration");
    let shown = shows_progress.then(|| tokio::spawn(progress::show(streams.iter().map(|(_, s)| s.clone()).collect())));
    let recorded = recorder::run(environment, streams, cancel).await;
    if let Some(shown) = shown {
        shown.abort();
    }
    Ok(recorded?)
}

/// `evertape play`
pub async fn play(config: Config) -> anyhow::Result<()> {
    let cancel = stop_on_signals()?;
    let backends = connect(&config).await?;
    serve(&config, &backends, cancel).await
}

/// `evertape janitor`
pub async fn janitor(config: Config) -> anyhow::Result<()> {
    let cancel = stop_on_signals()?;
    let backends = connect(&config).await?;
    janitor::run(backends.store, backends.index, janitor_rules(&config), cancel).await;
    Ok(())
}

/// `evertape migrate`
pub async fn migrate(config: Config) -> anyhow::Result<()> {
    let cancel = stop_on_signals()?;
    let backends = connect(&config).await?;
    migrate_with_patience(&backends, &cancel).await?;
    println!("The index's schema is up to date.");
    Ok(())
}
