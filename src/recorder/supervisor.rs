//! Which streams this recorder has: those of its configuration file, and those that the index names.
//!
//! Comes in: the file's streams, and the settings in the index, looked at every two seconds. Goes out: a task for each
//! stream, started, stopped in order and started anew as they change. A name in the file is the file's. While the index
//! is away it goes on with what is known. Never: disturbs a stream that has not changed.

use super::members::Shared;
use super::reports::Shown;
use super::source::spec::SourceSpec;
use super::status::StreamStatus;
use super::{RecordedStream, stream};
use crate::index::control::KeptSetting;
use crate::media::StreamName;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Between looks at the settings in the index.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// All settings are read at least so often, should a change have escaped notice.
const READ_EVERY: Duration = Duration::from_secs(60);
/// Before a recorder that failed starts again.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// A stream under way.
struct Running {
    recorded: RecordedStream,
    shown: Arc<Shown>,
    cancel: CancellationToken,
}

/// All streams of one recorder.
pub(super) struct Supervisor {
    shared: Arc<Shared>,
    /// Of the configuration file, with the status that others look at.
    file: BTreeMap<StreamName, (RecordedStream, Arc<StreamStatus>)>,
    /// As the index says; `None` until it has said anything.
    index: Option<BTreeMap<StreamName, RecordedStream>>,
    /// Settings of names that the file has, told once.
    overruled: BTreeSet<StreamName>,
    /// Revision of the settings that are known, and when they were read.
    known: Option<(u64, Instant)>,
    running: BTreeMap<StreamName, Running>,
    tasks: JoinSet<StreamName>,
    shown: watch::Sender<Vec<Arc<Shown>>>,
    cancel: CancellationToken,
}

impl Supervisor {
    /// A recorder of `file` and what the index names; who it is that is shown goes to `shown`.
    pub fn new(
        shared: Arc<Shared>,
        file: Vec<(RecordedStream, Arc<StreamStatus>)>,
        shown: watch::Sender<Vec<Arc<Shown>>>,
        cancel: CancellationToken,
    ) -> Self {
        let file = file.into_iter().map(|(recorded, status)| (recorded.name.clone(), (recorded, status))).collect();
        Self {
            shared,
            file,
            index: None,
            overruled: BTreeSet::new(),
            known: None,
            running: BTreeMap::new(),
            tasks: JoinSet::new(),
            shown,
            cancel,
        }
    }

    /// Records until it is cancelled, then waits for all streams to end in order.
    ///
    /// # Errors
    /// When the spool cannot be read at the start.
    pub async fn run(mut self) -> std::io::Result<()> {
        let left_over = self.shared.environment.spool.streams()?;
        self.follow(left_over);
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let cancel = self.cancel.clone();
        while !cancel.is_cancelled() {
            tokio::select! {
                _ = ticks.tick() => {
                    let looked = tokio::select! { looked = self.look() => looked, () = cancel.cancelled() => break };
                    if looked {
                        self.follow(Vec::new());
                    }
                }
                Some(ended) = self.tasks.join_next() => self.ended(ended),
                () = cancel.cancelled() => {}
            }
        }
        while self.tasks.join_next().await.is_some() {}
        Ok(())
    }

    /// Asks the index for its settings when they have changed; says whether they were read.
    async fn look(&mut self) -> bool {
        let index = &self.shared.environment.index;
        let read = async {
            let revision = index.settings_revision().await?;
            if self.known.is_some_and(|(known, at)| known == revision && at.elapsed() < READ_EVERY) {
                return Ok(None);
            }
            Ok(Some((revision, index.settings().await?)))
        };
        let read: crate::index::Result<_> = read.await;
        match read {
            Ok(None) => false,
            Ok(Some((revision, settings))) => {
                self.known = Some((revision, Instant::now()));
                self.take(settings);
                true
            }
            Err(error) => {
                tracing::debug!(%error, "the streams in the index cannot be read; going on with those known");
                false
            }
        }
    }

    fn take(&mut self, settings: Vec<KeptSetting>) {
        let mut streams = BTreeMap::new();
        for KeptSetting { stream: name, setting, .. } in settings {
            if self.file.contains_key(&name) {
                if self.overruled.insert(name.clone()) {
                    tracing::warn!(stream = %name, "the index sets this stream, too; the configuration file holds");
                }
                continue;
            }
            if setting.paused {
                continue;
            }
            match SourceSpec::parse(&setting.source) {
                Ok(source) => {
                    let recorded = RecordedStream {
                        name: name.clone(),
                        source: Some(source),
                        standby: setting.standby,
                        retention_us: setting.retention_us,
                        retention_bytes: setting.retention_bytes,
                    };
                    streams.insert(name, recorded);
                }
                Err(error) => tracing::error!(stream = %name, %error, "this stream of the index cannot be recorded"),
            }
        }
        self.index = Some(streams);
    }

    fn wanted(&self, name: &StreamName) -> Option<&RecordedStream> {
        let of_index = || self.index.as_ref().and_then(|streams| streams.get(name));
        self.file.get(name).map(|(recorded, _)| recorded).or_else(of_index)
    }

    /// Starts what is new, stops what is not wanted any more, or not as it is.
    fn follow(&mut self, left_over: Vec<StreamName>) {
        for (name, running) in &self.running {
            let as_is = match self.wanted(name) {
                Some(wanted) => wanted.records_as(&running.recorded),
                None => running.recorded.source.is_none(),
            };
            if !as_is {
                running.cancel.cancel();
            }
        }
        let named = self.file.keys().chain(self.index.iter().flat_map(BTreeMap::keys)).cloned();
        let wanted: BTreeSet<StreamName> = named.chain(left_over).collect();
        for name in wanted {
            if !self.running.contains_key(&name) {
                self.start(name);
            }
        }
        self.show();
    }

    /// Starts a stream; of one that nobody wants, what is in the spool is published.
    fn start(&mut self, name: StreamName) {
        let recorded = self.wanted(&name).cloned().unwrap_or_else(|| RecordedStream::left_over(name.clone()));
        let of_file = self.file.get(&name);
        let status = of_file.map_or_else(|| Arc::new(StreamStatus::new(name.clone())), |(_, status)| status.clone());
        let shown = Arc::new(Shown::new(recorded.clone(), status.clone(), of_file.is_some()));
        let cancel = self.cancel.child_token();
        self.tasks.spawn(keep_going(self.shared.clone(), recorded.clone(), status, cancel.clone()));
        self.running.insert(name, Running { recorded, shown, cancel });
    }

    /// A stream's task has ended: because it was stopped, or because there was nothing more to do.
    fn ended(&mut self, ended: Result<StreamName, tokio::task::JoinError>) {
        let Ok(name) = ended else { return };
        let stopped = self.running.remove(&name).is_some_and(|r| r.cancel.is_cancelled());
        // What could not be published within the time of a stop is published now.
        let left = || self.shared.environment.spool.streams().is_ok_and(|left| left.contains(&name));
        if !self.cancel.is_cancelled() && (self.wanted(&name).is_some() || (stopped && left())) {
            self.start(name);
        }
        self.show();
    }

    fn show(&self) {
        self.shown.send_replace(self.running.values().map(|r| r.shown.clone()).collect());
    }
}

/// Records one stream. A defect in its recorder must end neither the others nor, for long, its own.
async fn keep_going(
    shared: Arc<Shared>,
    recorded: RecordedStream,
    status: Arc<StreamStatus>,
    cancel: CancellationToken,
) -> StreamName {
    let attempt = || {
        let (shared, recorded) = (shared.clone(), recorded.clone());
        AbortOnDropHandle::new(tokio::spawn(stream::record(shared, recorded, status.clone(), cancel.clone())))
    };
    while let Err(error) = attempt().await {
        tracing::error!(stream = %recorded.name, %error, "a recorder failed; it is started again");
        tokio::time::sleep(RESTART_AFTER).await;
    }
    recorded.name
}
