//! What a recorder says of its streams: to the index for all to see, and to metrics.
//!
//! Comes in: the streams under way. Goes out: a report of each, when something has changed, and now and then to say
//! that this recorder is still there. Never: holds up a recording; tells a secret of a source.

use super::status::StreamStatus;
use super::{Environment, RecordedStream};
use crate::clock;
use crate::index::control::{ReportedState, StreamReport};
use crate::media::UtcUs;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Between looks at what has changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A report says that the recorder is there at least so often: three times in the life that readers believe in.
const REPORT_EVERY: Duration = Duration::from_secs(10);
/// An orderly stop waits for so long to say that nothing is recorded here any more.
const LAST_WORD_WITHIN: Duration = Duration::from_secs(2);

/// A stream as others see it.
#[derive(Debug)]
pub struct Shown {
    /// What is recorded.
    pub recorded: RecordedStream,
    /// How it goes.
    pub status: Arc<StreamStatus>,
    from_file: bool,
    state: Mutex<(ReportedState, UtcUs)>,
}

impl Shown {
    /// A stream that has just been started.
    pub(super) fn new(recorded: RecordedStream, status: Arc<StreamStatus>, from_file: bool) -> Self {
        Self { recorded, status, from_file, state: Mutex::new((ReportedState::Reconnecting, clock::now())) }
    }

    /// The report of a stream with a source.
    fn report(&self, node: &str) -> Option<StreamReport> {
        let source = self.recorded.source.as_ref()?;
        let (counters, active) = (&self.status.source, self.status.active.load(Ordering::Relaxed));
        // The source itself is told beside it.
        let address = format!("{source}: ");
        let trouble = counters.error().map(|e| e.strip_prefix(&address).map_or_else(|| e.clone(), str::to_owned));
        let (state, reason) = if counters.connected.load(Ordering::Relaxed) {
            (ReportedState::Recording, self.status.publish_error())
        } else if trouble.is_some() {
            (ReportedState::Reconnecting, trouble)
        } else if self.status.source_ended.load(Ordering::Relaxed) {
            (ReportedState::Stopped, Some("The source has come to its end.".to_owned()))
        } else if active {
            (ReportedState::Reconnecting, Some("Nothing has come from the source yet.".to_owned()))
        } else {
            let why = self.status.publish_error();
            (ReportedState::Stopped, why.or_else(|| Some("Another recorder has this stream.".to_owned())))
        };
        let mut since = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if since.0 != state {
            *since = (state, clock::now());
        }
        Some(StreamReport {
            stream: self.recorded.name.clone(),
            node: node.to_owned(),
            from_file: self.from_file,
            source: source.to_string(),
            active,
            state,
            reason,
            since_utc_us: since.1.0,
            waiting: self.status.waiting.load(Ordering::Relaxed),
            retention_us: self.recorded.retention_us,
            retention_bytes: self.recorded.retention_bytes,
        })
    }
}

/// Tells the index, until `cancel`; then that nothing is recorded here any more.
pub(super) async fn tell(
    environment: Arc<Environment>,
    shown: watch::Receiver<Vec<Arc<Shown>>>,
    cancel: CancellationToken,
) {
    let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let recorder = environment.spool.holder();
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told: Option<(Vec<StreamReport>, Instant)> = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = cancel.cancelled() => break,
        }
        let streams = shown.borrow().clone();
        let reports: Vec<StreamReport> = streams.iter().filter_map(|s| s.report(&node)).collect();
        let is_news = told.as_ref().is_none_or(|(before, at)| *before != reports || at.elapsed() >= REPORT_EVERY);
        if !is_news {
            continue;
        }
        let telling = environment.index.report(recorder, &reports, clock::now());
        match tokio::select! { telling = telling => telling, () = cancel.cancelled() => break } {
            Ok(()) => told = Some((reports, Instant::now())),
            Err(error) => tracing::debug!(%error, "the state of the streams could not be told"),
        }
    }
    let last_word = environment.index.report(recorder, &[], clock::now());
    let _ = tokio::time::timeout(LAST_WORD_WITHIN, last_word).await;
}
