//! Sources: where live streams come from.
//!
//! Comes in: a `SourceSpec`, the network or a file. Goes out: `SourceItem`s in order, into a bounded channel, for as
//! long as the receiver wants them. A source reconnects for ever with bounded back-off; one that stalls is
//! noticed. Never: decides what becomes of the media, prints a secret, holds more than its bounds.

use crate::container::MediaEvent;
use crate::media::{StreamName, UtcUs};
use demux::Demuxers;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

pub(super) mod backoff;
pub mod counters;
mod demux;
mod fetch;
mod file;
mod hls;
mod http_ts;
mod rtp;
mod sink;
pub mod spec;
mod udp;

#[cfg(test)]
mod net_tests;
#[cfg(test)]
mod testing;

pub use counters::SourceCounters;
pub use spec::{SourceSpec, SpecError};

use backoff::Backoff;
use sink::Sink;

/// A piece of a source, in order.
#[derive(Debug)]
pub struct SourceItem {
    /// What was demuxed.
    pub events: Vec<MediaEvent>,
    /// When it arrived; `None` where arrival says nothing of wall time (a file read at full speed).
    pub arrival: Option<UtcUs>,
}

/// How patient a source is.
#[derive(Debug, Clone, Copy)]
pub struct Tuning {
    /// The first wait before a new attempt.
    pub backoff_first: Duration,
    /// The longest wait before a new attempt.
    pub backoff_most: Duration,
    /// Decides the jitter of the waits.
    pub jitter_seed: u64,
    /// How long a second of an HLS playlist's time is when waits are reckoned; only tests shorten it.
    pub playlist_second: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            backoff_first: Duration::from_millis(500),
            backoff_most: Duration::from_secs(30),
            jitter_seed: 0,
            playlist_second: Duration::from_secs(1),
        }
    }
}

/// What a source needs to know apart from its address.
#[derive(Clone)]
pub struct SourceContext {
    /// The stream it feeds, for log lines.
    pub stream: StreamName,
    /// Without media for this long, the source is connected anew. HLS waits three target durations if that is more.
    pub stall: Duration,
    /// About how long the recorder's segments are, in seconds.
    pub segment_seconds: u32,
    /// What it has done, for metrics.
    pub counters: Arc<SourceCounters>,
    /// How patient it is.
    pub tuning: Tuning,
    demuxers: Arc<dyn Demuxers>,
}

impl SourceContext {
    /// The usual context of `stream`: 10 s until a stall, 6 s segments; the jitter follows from the name.
    pub fn new(stream: StreamName, counters: Arc<SourceCounters>) -> Self {
        let seed = stream
            .as_str()
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self {
            stream,
            stall: Duration::from_secs(10),
            segment_seconds: 6,
            counters,
            tuning: Tuning { jitter_seed: seed, ..Tuning::default() },
            demuxers: demux::real(),
        }
    }
}

/// Why a session with a source ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum SourceError {
    /// A sentence for the log, without secrets.
    #[error("{0}")]
    Failed(String),
    /// No media for too long.
    #[error("no media for {} s: the source has stalled", .0.as_secs_f32())]
    Stalled(Duration),
    /// Nobody wants the items any more.
    #[error("the recorder of this stream has ended")]
    Closed,
}

impl SourceError {
    fn failed(sentence: impl Into<String>) -> Self {
        Self::Failed(sentence.into())
    }
}

/// How a session ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The source was finite and all of it was delivered.
    Finished,
}

/// One kind of source: what survives a reconnect is in here.
enum Driver {
    File(file::FileSource),
    Http(http_ts::HttpSource),
    Hls(Box<hls::HlsSource>),
    Udp(spec::UdpSpec),
}

impl Driver {
    fn new(spec: SourceSpec, context: &SourceContext) -> Self {
        match spec {
            SourceSpec::Demo => Self::File(file::FileSource::demo()),
            SourceSpec::File(file) => Self::File(file::FileSource::new(file)),
            SourceSpec::Hls(url) => Self::Hls(Box::new(hls::HlsSource::new(url, context))),
            SourceSpec::Http(url) => Self::Http(http_ts::HttpSource::new(url, context)),
            SourceSpec::Udp(udp) => Self::Udp(udp),
        }
    }

    async fn session(&mut self, context: &SourceContext, sink: &mut Sink) -> Result<End, SourceError> {
        match self {
            Self::File(file) => file.session(context, sink).await,
            Self::Http(http) => http.session(context, sink).await,
            Self::Hls(hls) => hls.session(context, sink).await,
            Self::Udp(spec) => udp::session(*spec, context, sink).await,
        }
    }
}

/// Runs a source until it is cancelled, the receiver is gone, or a finite source has ended. After every reconnect a
/// `Discontinuity` comes before the new events.
pub async fn run(spec: SourceSpec, context: SourceContext, out: Sender<SourceItem>, cancel: CancellationToken) {
    use std::sync::atomic::Ordering;
    let span = tracing::info_span!("source", stream = %context.stream);
    let counters = context.counters.clone();
    async {
        tokio::select! {
            biased;
            () = cancel.cancelled() => tracing::debug!("the source is stopped"),
            () = supervise(spec, context, out) => {}
        }
    }
    .instrument(span)
    .await;
    counters.connected.store(false, Ordering::Relaxed);
}

async fn supervise(spec: SourceSpec, context: SourceContext, out: Sender<SourceItem>) {
    use std::sync::atomic::Ordering;
    let counters = context.counters.clone();
    let tuning = context.tuning;
    let mut backoff = Backoff::new(tuning.backoff_first, tuning.backoff_most, tuning.jitter_seed);
    // A session counts as good when it outlived this: a source that gives a little and breaks is not hammered.
    let good = tuning.backoff_most / 3;
    let mut complaints = Complaints::default();
    let mut sink = Sink::new(out, &context);
    tracing::info!(source = %spec, "the source starts");
    let mut driver = Driver::new(spec, &context);
    loop {
        let began = Instant::now();
        let watch = sink.begin_session();
        let ended = watch.guard(driver.session(&context, &mut sink)).await;
        counters.connected.store(false, Ordering::Relaxed);
        let error = match ended {
            Ok(End::Finished) => {
                tracing::info!("the source has come to its end");
                return;
            }
            Err(SourceError::Closed) => return,
            Err(error) => error,
        };
        if matches!(error, SourceError::Stalled(_)) {
            SourceCounters::add(&counters.stalls, 1);
        }
        SourceCounters::add(&counters.reconnects, 1);
        counters.set_error(Some(error.to_string()));
        if sink.delivered_in_session() && began.elapsed() >= good {
            backoff.reset();
        }
        let wait = backoff.wait();
        complaints.complain(&error.to_string(), wait);
        tokio::time::sleep(wait).await;
    }
}

/// Logs a failure when it is new, and a lasting one once a minute.
#[derive(Default)]
struct Complaints {
    last: Option<(String, Instant)>,
    unsaid: u64,
}

impl Complaints {
    fn complain(&mut self, error: &str, wait: Duration) {
        let now = Instant::now();
        let said = self.last.as_ref().is_some_and(|(text, at)| text == error && now - *at < Duration::from_secs(60));
        if said {
            self.unsaid += 1;
            return;
        }
        let retry_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(error, retry_ms, unsaid = self.unsaid, "the source failed and is tried again");
        self.last = Some((error.to_owned(), now));
        self.unsaid = 0;
    }
}

/// The wall clock.
fn now_utc() -> UtcUs {
    crate::clock::arrival()
}
