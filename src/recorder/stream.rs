//! One stream's recorder: its source, whoever publishes; its numbers and its spool while this one does.
//!
//! Comes in: one source. Goes out: numbered segments in the spool while this recorder holds the stream's lease, shadows
//! while it does not, or does not know. A segment gets its number from the lease's holder alone, behind what is
//! committed, and keeps it. Never: goes on numbering once its lease is known to be lost.

use super::ground::{self, Ground};
use super::heal::{self, Shadows, Tended};
use super::lease::{self, HeldLease, LeaseKeeper, Standing};
use super::members::Shared;
use super::segmenter::{CutSegment, Output, Segmenter};
use super::shadow::{self, ShadowNumbers};
use super::share::{self, Share};
use super::source::{self, SourceContext, SourceItem};
use super::spool::StreamSpool;
use super::status::StreamStatus;
use super::{RecordedStream, uncarried};
use crate::clock;
use crate::crash_points::reached;
use crate::media::UtcUs;
use crate::media::segment::SegmentId;
use active::{Active, LastCut};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

mod active;

/// Before what failed is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// Between attempts to publish what another process left in the spool.
const LEFT_OVER_EVERY: Duration = Duration::from_secs(30);
/// How long an orderly stop may take to empty the spool; what is left is published at the next start.
const DRAIN_FOR: Duration = Duration::from_secs(10);
/// How long a stopped source may take to give what it has.
const SOURCE_ENDS_IN: Duration = Duration::from_secs(1);
/// Pieces of a source that may wait for the segmenter.
const SOURCE_QUEUE: usize = 64;
/// Shadows are numbered while fewer segments than this wait: a backlog stays where it is until its turn.
const NUMBERED_AHEAD: usize = 4;
/// Between looks at what has become of the shadows.
const TEND_EVERY: Duration = Duration::from_secs(3);

/// Records until `cancel`. What the spool holds of a stream without a source is published, or filled in, and then the
/// call returns.
pub async fn record(
    shared: Arc<Shared>,
    recorded: RecordedStream,
    status: Arc<StreamStatus>,
    cancel: CancellationToken,
) {
    let spool = loop {
        match shared.environment.spool.stream(&recorded.name) {
            Ok(spool) => break spool,
            Err(error) => {
                tracing::error!(stream = %recorded.name, %error, "recording cannot start; tried again");
                wait(AGAIN_AFTER, &cancel).await;
            }
        }
        if cancel.is_cancelled() {
            return;
        }
    };
    let (standing, stands) = watch::channel(Standing::Asking);
    let (wants, wanted) = watch::channel(true);
    let held = HeldLease::default();
    let shown = status.clone();
    let keeper = LeaseKeeper {
        stream: recorded.name.clone(),
        wanted,
        shared: shared.clone(),
        held: held.clone(),
        standing,
        why: Arc::new(move |why| shown.set_publish_error(why)),
    };
    let _keeping = AbortOnDropHandle::new(tokio::spawn(keeper.run()));
    let (uncarried, known) = watch::channel(Vec::new());
    let telling = uncarried::tell(shared.environment.clone(), recorded.name.clone(), known);
    let _telling = AbortOnDropHandle::new(tokio::spawn(telling));
    let recorder = StreamRecorder {
        peers: shared.peers.clone(),
        shared,
        recorded,
        status,
        spool,
        held,
        stands,
        wants,
        uncarried,
        ingest: None,
        ended: None,
        names: ShadowNumbers::default(),
        grounding: None,
        active: None,
        backlog: VecDeque::new(),
        tending: None,
        tended: Instant::now(),
        retry: None,
    };
    recorder.run(&cancel).await;
}

async fn wait(time: Duration, cancel: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = cancel.cancelled() => {}
    }
}

/// A source under way.
struct Ingest {
    items: mpsc::Receiver<SourceItem>,
    task: AbortOnDropHandle<()>,
    cancel: CancellationToken,
    segmenter: Segmenter,
}

/// Why there is no source under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// It was finite.
    Finished,
    /// Its task failed: a defect. It is started again.
    Failed(Instant),
}

struct StreamRecorder {
    shared: Arc<Shared>,
    recorded: RecordedStream,
    status: Arc<StreamStatus>,
    spool: StreamSpool,
    held: HeldLease,
    stands: watch::Receiver<Standing>,
    peers: watch::Receiver<Vec<share::Peer>>,
    wants: watch::Sender<bool>,
    uncarried: watch::Sender<Vec<crate::media::track::Uncarried>>,
    ingest: Option<Ingest>,
    ended: Option<Ended>,
    names: ShadowNumbers,
    grounding: Option<AbortOnDropHandle<anyhow::Result<Ground>>>,
    active: Option<Active>,
    /// Shadows to be placed, in order; only while active.
    backlog: VecDeque<SegmentId>,
    tending: Option<AbortOnDropHandle<Tended>>,
    tended: Instant,
    retry: Option<Instant>,
}

impl StreamRecorder {
    async fn run(mut self, cancel: &CancellationToken) {
        let mut ticks = tokio::time::interval(Duration::from_millis(500));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !cancel.is_cancelled() {
            self.follow_standing().await;
            if self.follow_share().await {
                return;
            }
            self.status.active.store(self.active.is_some(), Ordering::Relaxed);
            self.status.source_ended.store(self.ended == Some(Ended::Finished), Ordering::Relaxed);
            let can_advance = self.can_advance();
            let shrunk = self.active.as_ref().map(|a| a.queue.clone());
            let fenced = async {
                match &mut self.active {
                    Some(active) => matches!((&mut active.publishing).await, Ok(false)),
                    None => std::future::pending().await,
                }
            };
            let item = async {
                match &mut self.ingest {
                    Some(ingest) => ingest.items.recv().await,
                    None => std::future::pending().await,
                }
            };
            let ground = async {
                match &mut self.grounding {
                    Some(task) => task.await,
                    None => std::future::pending().await,
                }
            };
            let tended = async {
                match &mut self.tending {
                    Some(task) => task.await,
                    None => std::future::pending().await,
                }
            };
            let shorter = async {
                match &shrunk {
                    Some(queue) => queue.shrunk().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                item = item => self.take_item(item).await,
                ground = ground => {
                    self.grounding = None;
                    match ground.map_err(anyhow::Error::from).and_then(|g| g) {
                        Ok(ground) => self.activate(ground),
                        Err(error) => {
                            tracing::warn!(stream = %self.recorded.name, %error, "publishing cannot begin yet; tried again");
                            self.retry = Some(Instant::now() + AGAIN_AFTER);
                        }
                    }
                }
                tended = tended => {
                    self.tending = None;
                    self.tended = Instant::now();
                    self.after_tending(tended.unwrap_or_default());
                }
                fenced = fenced => self.publishing_ended(fenced).await,
                () = std::future::ready(()), if can_advance => self.advance().await,
                () = shorter => {}
                _ = self.stands.changed() => {}
                _ = self.peers.changed() => {}
                _ = ticks.tick() => {}
                () = cancel.cancelled() => {}
            }
        }
        self.finish().await;
    }

    /// The publisher has come to an end by itself.
    async fn publishing_ended(&mut self, fenced: bool) {
        if fenced {
            self.held.lose();
            self.deactivate().await;
            return;
        }
        // It gave up, or failed: what waits keeps its number.
        self.active = None;
        self.backlog.clear();
        let again = if self.recorded.source.is_none() { LEFT_OVER_EVERY } else { AGAIN_AFTER };
        self.retry = Some(Instant::now() + again);
        if self.recorded.source.is_none() {
            // The stream may have a recorder elsewhere: it comes first.
            self.wants.send_replace(false);
            lease::release(&*self.shared.environment.index, &self.held).await;
        }
    }

    fn standing(&self) -> Standing {
        *self.stands.borrow()
    }

    fn stream(&self) -> &crate::media::StreamName {
        &self.recorded.name
    }

    /// Begins to publish when the lease is had, stops when it is lost.
    async fn follow_standing(&mut self) {
        let mine = self.standing() == Standing::Mine && self.held.lease().is_some();
        if !mine && self.active.is_some() {
            self.deactivate().await;
        }
        if !mine {
            self.grounding = None;
        } else if self.active.is_none()
            && self.grounding.is_none()
            && self.retry.is_none_or(|at| Instant::now() >= at)
            && let Some(lease) = self.held.lease()
        {
            // What it does with the shadows would be in the way.
            self.tending = None;
            self.retry = None;
            let (shared, spool) = (self.shared.clone(), self.spool.clone());
            self.grounding = Some(AbortOnDropHandle::new(tokio::spawn(ground::prepare(
                shared,
                spool,
                lease,
                self.held.taken_over(),
            ))));
        }
    }

    fn share(&self) -> Share {
        let holder = self.shared.environment.spool.holder();
        let mut peers = self.peers.borrow().clone();
        if let Some(own) = peers.iter_mut().find(|p| p.recorder == holder) {
            own.held = self.shared.held();
        }
        share::share(self.stream(), holder, self.standing() == Standing::Mine, &peers)
    }

    /// Starts and stops the source, and hands the stream over, as the others' presence asks for. `true` when there is
    /// nothing more to do for this stream.
    async fn follow_share(&mut self) -> bool {
        let share = self.share();
        let standing = self.standing();
        let idle = self.active.as_ref().is_none_or(|a| a.queue.is_empty()) && self.backlog.is_empty();
        let has_ended = self.ended == Some(Ended::Finished);
        let left = || self.spool.all_shadows().map_or(true, |s| !s.is_empty());
        if self.recorded.source.is_none() {
            return self.left_over(idle).await;
        }
        let done = has_ended && idle && (self.active.is_some() || !left());
        self.wants.send_if_modified(|old| std::mem::replace(old, share.take && !done) != (share.take && !done));
        if done && self.active.is_some() && self.looked_after() {
            tracing::info!(stream = %self.stream(), "the source has ended; the recording is complete");
            self.deactivate_in_order().await;
        } else if share.hand_over && idle && self.active.is_some() {
            tracing::info!(stream = %self.stream(), "the stream is handed over to the recorder whose own it is");
            self.deactivate_in_order().await;
        }
        let spares = matches!(standing, Standing::Other | Standing::Free);
        self.spool.set_spare(spares);
        let wanted = match standing {
            Standing::Mine => true,
            Standing::Asking => self.ingest.is_some(),
            Standing::Unknown => share.ready || self.ingest.is_some(),
            Standing::Other | Standing::Free => share.coming || (self.recorded.standby && share.ready),
        };
        let may_start = match self.ended {
            None => true,
            Some(Ended::Finished) => false,
            Some(Ended::Failed(at)) => at.elapsed() > AGAIN_AFTER,
        };
        if wanted && self.ingest.is_none() && may_start {
            self.start_source();
        } else if !wanted && self.ingest.is_some() {
            self.stop_source().await;
        }
        let stands_by = self.active.is_none() && self.grounding.is_none() && spares;
        if stands_by || (self.active.is_some() && self.backlog.is_empty()) {
            self.tend();
        }
        false
    }

    /// What is done for a stream that only the spool knows: published if it is free, else filled in.
    async fn left_over(&mut self, idle: bool) -> bool {
        if self.active.is_some() && idle && self.looked_after() {
            self.deactivate_in_order().await;
            self.retry = Some(Instant::now() + LEFT_OVER_EVERY);
        }
        let pending = self.spool.pending().map_or(1, |p| p.len());
        let shadows = self.spool.all_shadows().map_or(1, |s| s.len());
        if pending + shadows == 0 {
            return true;
        }
        if self.active.is_none() && self.standing() == Standing::Other {
            // Its holder comes first: what is numbered here is not published any more.
            for id in self.spool.pending().unwrap_or_default() {
                let _ = self.spool.demote(&id);
            }
            self.tend();
        }
        let wanted = self.retry.is_none_or(|at| Instant::now() >= at);
        self.wants.send_if_modified(|old| std::mem::replace(old, wanted) != wanted);
        false
    }

    fn start_source(&mut self) {
        let Some(spec) = self.recorded.source.clone() else { return };
        let environment = &self.shared.environment;
        let (sender, items) = mpsc::channel(SOURCE_QUEUE);
        let mut context = SourceContext::new(self.stream().clone(), self.status.source.clone());
        context.stall = environment.stall;
        context.segment_seconds = environment.segment_seconds;
        let cancel = CancellationToken::new();
        let task = AbortOnDropHandle::new(tokio::spawn(source::run(spec, context, sender, cancel.clone())));
        // The timeline sees to it that nothing begins before the end of what is recorded.
        let segmenter = Segmenter::new(environment.segment_seconds, UtcUs(0));
        self.ended = None;
        self.ingest = Some(Ingest { items, task, cancel, segmenter });
    }

    /// Stops the source and takes what it has given, to the last sample.
    async fn stop_source(&mut self) {
        let Some(ingest) = &mut self.ingest else { return };
        ingest.cancel.cancel();
        let limit = Instant::now() + SOURCE_ENDS_IN;
        loop {
            let Some(ingest) = &mut self.ingest else { return };
            match tokio::time::timeout_at(limit, ingest.items.recv()).await {
                Ok(Some(item)) => self.take_item(Some(item)).await,
                Ok(None) | Err(_) => break,
            }
        }
        self.end_run().await;
        self.ingest = None;
    }

    async fn end_run(&mut self) {
        let mut out = Vec::new();
        if let Some(ingest) = &mut self.ingest {
            ingest.segmenter.end_run(&mut out);
        }
        for output in out {
            self.take(output).await;
        }
    }

    async fn take_item(&mut self, item: Option<SourceItem>) {
        let Some(ingest) = &mut self.ingest else { return };
        let Some(SourceItem { events, arrival }) = item else {
            self.end_run().await;
            let Some(ingest) = self.ingest.take() else { return };
            self.ended = Some(match ingest.task.await {
                Ok(()) => Ended::Finished,
                Err(error) => {
                    tracing::error!(stream = %self.stream(), %error, "the source's task failed");
                    Ended::Failed(Instant::now())
                }
            });
            return;
        };
        let mut out = Vec::new();
        ingest.segmenter.push(events, arrival, clock::arrival(), &mut out);
        for output in out {
            self.take(output).await;
        }
    }

    async fn take(&mut self, output: Output) {
        match output {
            Output::Segment(cut) => self.take_cut(cut).await,
            Output::Note(note) => tracing::warn!(stream = %self.stream(), "{note}"),
            Output::Uncarried(found) => uncarried::note(&self.uncarried, self.stream(), found),
        }
    }

    async fn take_cut(&mut self, mut cut: CutSegment) {
        reached("segment.cut");
        // Also names what is not kept: a run begins where its first segment was cut.
        let name = self.names.name(&self.recorded.name, &cut);
        if self.active.is_some() && self.backlog.is_empty() {
            if let Some(active) = &mut self.active {
                active.last = Some(LastCut::of(&name, &cut));
                active.timeline.comes_of(name.run);
                if let Some(ahead_us) = active.timeline.begin_behind_the_future(&mut cut) {
                    tracing::warn!(stream = %name.stream, ahead_ms = ahead_us / 1000,
                        "what is recorded ends in the future: a clock was wrong; the recording goes on behind it, its times moved");
                }
            }
            let committed = self.commit(cut, name.run).await;
            self.count(committed);
            return;
        }
        let (spool, id) = (self.spool.clone(), name.clone());
        let written = tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
            let (object, _) = shadow::encode(&id, 0, &cut)?;
            Ok(shadow::write(&spool, &cut, |spool| spool.put_shadow(&id, &object))?)
        });
        match written.await.map_err(anyhow::Error::from).and_then(|w| w) {
            Ok(()) => {
                reached("shadow.written");
                if self.active.is_some() {
                    self.backlog.push_back(name);
                    self.show_waiting();
                }
            }
            Err(error) => self.lost(&name, &error),
        }
    }

    fn lost(&self, id: &SegmentId, error: &anyhow::Error) {
        self.status.lost.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("evertape_segments_lost_total", "stream" => id.stream.to_string()).increment(1);
        // A full spool has said so once.
        if self.shared.environment.spool.is_full() {
            tracing::debug!(stream = %id.stream, start_utc_us = id.start.0, duration_us = id.duration_us, "a segment is lost");
        } else {
            tracing::error!(stream = %id.stream, %error, start_utc_us = id.start.0, duration_us = id.duration_us,
                "A SEGMENT IS LOST: it could not be written to the spool; free space on its disk or raise recorder.spool_max_mib");
        }
    }

    fn show_waiting(&self) {
        let queued = self.active.as_ref().map_or(0, |a| a.queue.len());
        self.status.waiting.store((queued + self.backlog.len()) as u64, Ordering::Relaxed);
    }

    /// Lets somebody look at what became of the shadows, now and then.
    fn tend(&mut self) {
        if self.tending.is_none() && self.tended.elapsed() >= TEND_EVERY {
            if self.active.is_none() && self.standing() == Standing::Other {
                // Left from before this process was killed: another recorder gives the numbers now.
                for id in self.spool.pending().unwrap_or_default() {
                    let _ = self.spool.demote(&id);
                }
            }
            let kind = match (&self.active, &self.ingest) {
                (Some(_), _) => Shadows::Placed,
                (None, Some(_)) => Shadows::Growing,
                (None, None) => Shadows::Left,
            };
            let tending = heal::tend(self.shared.clone(), self.recorded.clone(), self.spool.clone(), kind);
            self.tending = Some(AbortOnDropHandle::new(tokio::spawn(tending)));
        }
    }

    fn after_tending(&mut self, tended: Tended) {
        if tended.filled > 0
            && let Some(active) = &mut self.active
        {
            // There may be more for what is left of a gap.
            active.left = Some(self.tended);
        }
        if tended.filled > 0 || tended.covered > 0 {
            tracing::info!(stream = %self.stream(), filled = tended.filled, covered = tended.covered, "looked after the shadows");
        }
    }

    /// An orderly stop: cuts and publishes what is buffered, and lets others have the stream.
    async fn finish(&mut self) {
        // What is released must not be had again.
        self.wants.send_replace(false);
        self.stop_source().await;
        reached("handover.cut");
        let limit = Instant::now() + DRAIN_FOR;
        while self.active.is_some() && Instant::now() < limit {
            let Some(active) = &self.active else { break };
            if active.publishing.is_finished() || self.held.lease().is_none() {
                break;
            }
            if self.can_advance() {
                self.advance().await;
            } else if self.backlog.is_empty() && active.queue.is_empty() {
                break;
            } else {
                let _ = tokio::time::timeout(Duration::from_millis(100), active.queue.clone().shrunk()).await;
            }
        }
        let Some(active) = self.active.take() else {
            lease::release(&*self.shared.environment.index, &self.held).await;
            return;
        };
        let left = active.queue.len() + self.backlog.len();
        active.drain.cancel();
        active.stop.cancel();
        if !active.publishing.is_finished() {
            let _ = active.publishing.await;
        }
        reached("handover.published");
        if left > 0 {
            tracing::warn!(stream = %self.stream(), left, "stopping; the rest of the spool is published at the next start");
        }
        // Segments that wait have numbers: another recorder, let in now, would give them out again. The next start has
        // the lease at once. A standby has them too, and what it lacks is filled in.
        if left == 0 || self.recorded.standby {
            lease::release(&*self.shared.environment.index, &self.held).await;
        }
        self.status.waiting.store(left as u64, Ordering::Relaxed);
    }
}
