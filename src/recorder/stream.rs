//! One stream's recorder: lease, source, segmenter, numbers, spool; beside it the publisher.
//!
//! Comes in: one source. Goes out: numbered segments in the spool. A segment gets its number when it is cut,
//! from this recorder alone, and keeps it. Never: goes on writing once its lease is known to be lost.

use super::publisher::{Prepared, Publisher, Queue};
use super::segmenter::{CutSegment, Output, Segmenter};
use super::source::spec::SourceSpec;
use super::source::{self, SourceContext, SourceItem};
use super::spool::StreamSpool;
use super::status::StreamStatus;
use super::{Environment, RecordedStream};
use crate::clock;
use crate::container::cmaf::{self, PartInput};
use crate::index::{IndexErrorKind, Lease};
use crate::media::segment::{SegmentId, SegmentWithTables};
use crate::media::track::Uncarried;
use crate::media::{InitHash, RunId, StreamName, UtcUs};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Life of a lease: how long another recorder waits before it takes a dead one's place.
const LEASE_US: i64 = 30_000_000;
const RENEW_EVERY: Duration = Duration::from_secs(8);
/// Between attempts to get a lease, or to reach an index that is away.
const ACQUIRE_EVERY: Duration = Duration::from_secs(2);
/// Between attempts to publish what another process left in the spool.
const LEFT_OVER_EVERY: Duration = Duration::from_secs(30);
/// Waits before the spool is written again.
const SPOOL_RETRIES: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(800)];
/// Uncarried elementary streams remembered.
const MOST_UNCARRIED: usize = 64;
/// How long an orderly stop may take to empty the spool; what is left is published at the next start.
const DRAIN_FOR: Duration = Duration::from_secs(10);
/// Pieces of a source that may wait for the segmenter.
const SOURCE_QUEUE: usize = 64;

/// Records until `cancel`. Losing the lease ends a session; the next one begins when it can be had again.
pub async fn record(
    environment: Arc<Environment>,
    recorded: RecordedStream,
    status: Arc<StreamStatus>,
    cancel: CancellationToken,
) {
    while !cancel.is_cancelled() {
        let Some(lease) = acquire(&environment, &recorded, &status, &cancel).await else { return };
        match Session::open(&environment, &recorded, &status, lease).await {
            Ok(session) => session.run(recorded.source.clone(), &cancel).await,
            Err(error) => {
                tracing::error!(stream = %recorded.name, %error, "recording cannot start; tried again");
                wait(ACQUIRE_EVERY, &cancel).await;
            }
        }
        if recorded.source.is_none() {
            if status.waiting.load(Ordering::Relaxed) == 0 {
                return;
            }
            // The stream may have a recorder elsewhere: it comes first.
            wait(LEFT_OVER_EVERY, &cancel).await;
        }
    }
}

async fn wait(time: Duration, cancel: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = cancel.cancelled() => {}
    }
}

async fn acquire(
    environment: &Environment,
    recorded: &RecordedStream,
    status: &StreamStatus,
    cancel: &CancellationToken,
) -> Option<Lease> {
    let mut said = false;
    let mut watched: Option<(Lease, Instant)> = None;
    while !cancel.is_cancelled() {
        let why = match contend(environment, &recorded.name, &mut watched).await {
            Ok(Some(lease)) => return Some(lease),
            Ok(None) => "another recorder holds this stream; this one stands by".to_owned(),
            Err(error) => {
                watched = None;
                format!("the index cannot be asked who records this stream: {error}")
            }
        };
        if !said {
            tracing::warn!(stream = %recorded.name, %why, "recording waits");
            said = true;
        }
        status.set_publish_error(Some(why));
        wait(ACQUIRE_EVERY, cancel).await;
    }
    None
}

/// Takes the lease if it is free, or has not been renewed for its whole life while this process watched and the
/// index answered. Expiry alone is not enough: it compares the clocks of two machines, and after an outage of
/// the index every lease has expired although its holder has a spool full of segments.
async fn contend(
    environment: &Environment,
    stream: &StreamName,
    watched: &mut Option<(Lease, Instant)>,
) -> crate::index::Result<Option<Lease>> {
    let holder = environment.spool.holder();
    let mut now = clock::now();
    match environment.index.holder(stream).await? {
        Some(other) if other.holder != holder => {
            let since = watched.as_ref().filter(|(seen, _)| *seen == other).map(|(_, since)| *since);
            if since.is_none_or(|since| since.elapsed() < Duration::from_micros(LEASE_US as u64)) {
                *watched = Some((other, since.unwrap_or_else(Instant::now)));
                return Ok(None);
            }
            now = now.max(other.expires);
        }
        _ => {}
    }
    environment.index.acquire(stream, holder, now, LEASE_US).await
}

/// The time between getting a lease and losing or releasing it.
struct Session {
    environment: Arc<Environment>,
    status: Arc<StreamStatus>,
    spool: StreamSpool,
    queue: Arc<Queue>,
    lease: Arc<Mutex<Lease>>,
    numbers: Numbers,
    uncarried: watch::Sender<Vec<Uncarried>>,
}

/// How following a source ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Followed {
    /// The source was finite.
    Finished,
    Cancelled,
    /// Its task failed: a defect. It is started again.
    Failed,
}

/// What the next segment is numbered by.
#[derive(Debug, Clone)]
struct Numbers {
    sequence: u64,
    discontinuity: u64,
    run: RunId,
    /// A segment was lost: the next one follows a discontinuity.
    lost: bool,
    end: UtcUs,
}

impl Session {
    async fn open(
        environment: &Arc<Environment>,
        recorded: &RecordedStream,
        status: &Arc<StreamStatus>,
        lease: Lease,
    ) -> anyhow::Result<Self> {
        let tail = environment.index.tail(&recorded.name).await?;
        let spool = environment.spool.stream(&recorded.name)?;
        let queue = Arc::new(Queue::default());
        let mut numbers = Numbers {
            sequence: tail.next_sequence,
            discontinuity: tail.discontinuity,
            run: RunId(0),
            lost: false,
            end: tail.end.unwrap_or(UtcUs(0)),
        };
        let pending = spool.pending()?;
        if let Some(newest) = pending.last() {
            tracing::info!(stream = %recorded.name, segments = pending.len(), "publishing what the spool holds");
            numbers.sequence = numbers.sequence.max(newest.sequence + 1);
            numbers.end = numbers.end.max(newest.end());
            match read_spooled(&spool, newest) {
                Ok(row) => numbers.discontinuity = numbers.discontinuity.max(row.segment.discontinuity),
                // Its number stays taken; one more discontinuity than needed does no harm.
                Err(error) => {
                    tracing::error!(stream = %recorded.name, sequence = newest.sequence, %error, "a spooled segment cannot be read");
                    numbers.discontinuity += 1;
                }
            }
        }
        status.waiting.store(pending.len() as u64, Ordering::Relaxed);
        for id in pending {
            queue.add(id, None);
        }
        Ok(Self {
            environment: environment.clone(),
            status: status.clone(),
            spool,
            queue,
            lease: Arc::new(Mutex::new(lease)),
            numbers,
            uncarried: watch::Sender::default(),
        })
    }

    async fn run(mut self, source: Option<SourceSpec>, cancel: &CancellationToken) {
        // `stop` ends everything at once (the lease is lost); `cancel` and the end of the source end it in order.
        let stop = CancellationToken::new();
        let drain = CancellationToken::new();
        let mut publisher = Publisher::new(
            self.environment.clone(),
            self.spool.clone(),
            self.queue.clone(),
            self.lease.clone(),
            self.status.clone(),
        );
        let left_over = source.is_none();
        publisher.gives_up = left_over;
        // None outlives this one, however it ends: an orphan would hold the lease and the spool for ever.
        let mut publishing = AbortOnDropHandle::new(tokio::spawn(publisher.run(drain.clone(), stop.clone())));
        let renewing =
            AbortOnDropHandle::new(tokio::spawn(renew(self.environment.clone(), self.lease.clone(), stop.clone())));
        let telling = tell_uncarried(self.environment.clone(), self.status.stream.clone(), self.uncarried.subscribe());
        let _telling = AbortOnDropHandle::new(tokio::spawn(telling));
        let mut finished = false;
        if let Some(source) = source {
            let following = async {
                loop {
                    match self.follow(source.clone(), cancel).await {
                        Followed::Finished => return true,
                        Followed::Cancelled => return false,
                        Followed::Failed => wait(ACQUIRE_EVERY, cancel).await,
                    }
                }
            };
            tokio::select! {
                ended = following => finished = ended,
                _ = &mut publishing => stop.cancel(),
                () = stop.cancelled() => {}
            }
        }
        drain.cancel();
        if !stop.is_cancelled() {
            let unhurried = self.status.clone();
            let limit = async {
                // A finite source or a left-over spool has all the time it needs; a stop does not.
                cancel.cancelled().await;
                tokio::time::sleep(DRAIN_FOR).await;
                unhurried.waiting.load(Ordering::Relaxed)
            };
            tokio::select! {
                _ = &mut publishing => {}
                left = limit => tracing::warn!(left, "stopping; the rest of the spool is published at the next start"),
                () = stop.cancelled() => {}
            }
        }
        finished &= !stop.is_cancelled() && self.queue.is_empty();
        stop.cancel();
        let _ = renewing.await;
        if !publishing.is_finished() {
            let _ = publishing.await;
        }
        self.status.waiting.store(self.queue.len() as u64, Ordering::Relaxed);
        let lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Segments that wait have numbers: another recorder, let in now, would give them out again. The next start
        // has the lease at once. What others left is different: the stream may have a recorder elsewhere.
        let release = left_over || self.queue.is_empty();
        if release && let Err(error) = self.environment.index.release(&lease).await {
            tracing::warn!(stream = %lease.stream, %error, "the lease could not be released; it lapses by itself");
        }
        if finished {
            tracing::info!(stream = %lease.stream, "the source has ended; the recording is complete");
            cancel.cancelled().await;
        }
    }

    /// Reads the source until it ends or `cancel`, and spools what is cut, to the last sample.
    async fn follow(&mut self, spec: SourceSpec, cancel: &CancellationToken) -> Followed {
        let (sender, mut items) = mpsc::channel(SOURCE_QUEUE);
        let stream = self.status.stream.clone();
        let mut context = SourceContext::new(stream.clone(), self.status.source.clone());
        context.stall = self.environment.stall;
        context.segment_seconds = self.environment.segment_seconds;
        // The source ends with this call, also when the call is dropped because the lease is lost.
        let source = AbortOnDropHandle::new(tokio::spawn(source::run(spec, context, sender, cancel.child_token())));
        let mut segmenter = Segmenter::new(self.environment.segment_seconds, self.numbers.end);
        let mut out = Vec::new();
        loop {
            let item = tokio::select! {
                item = items.recv() => item,
                () = cancel.cancelled() => None,
            };
            let ended = item.is_none();
            match item {
                Some(SourceItem { events, arrival }) => segmenter.push(events, arrival, clock::now(), &mut out),
                None => segmenter.end_run(&mut out),
            }
            for output in out.drain(..) {
                self.take(output).await;
            }
            if ended {
                break;
            }
        }
        drop(items);
        if let Err(error) = source.await {
            tracing::error!(%stream, %error, "the source's task failed");
            return Followed::Failed;
        }
        if cancel.is_cancelled() { Followed::Cancelled } else { Followed::Finished }
    }

    async fn take(&mut self, output: Output) {
        let stream = &self.status.stream;
        match output {
            Output::Segment(cut) => self.spool_segment(cut).await,
            Output::Note(note) => tracing::warn!(%stream, "{note}"),
            Output::Uncarried(found) => self.note_uncarried(found),
        }
    }

    fn note_uncarried(&mut self, found: Uncarried) {
        let stream = &self.status.stream;
        self.uncarried.send_if_modified(|known| {
            let is_new = known.len() < MOST_UNCARRIED && !known.contains(&found);
            if is_new {
                tracing::info!(%stream, place = %found.place, what = %found.what, "part of the source is not recorded");
                known.push(found);
            }
            is_new
        });
    }

    async fn spool_segment(&mut self, cut: CutSegment) {
        let numbers = &mut self.numbers;
        if cut.new_run {
            numbers.run = RunId(uuid::Uuid::now_v7().as_u128());
        }
        let breaks = cut.discontinuity || std::mem::take(&mut numbers.lost);
        let discontinuity = numbers.discontinuity + u64::from(breaks && numbers.sequence > 0);
        let id = SegmentId {
            stream: self.status.stream.clone(),
            run: numbers.run,
            epoch: self.lease.lock().unwrap_or_else(PoisonError::into_inner).epoch,
            sequence: numbers.sequence,
            start: cut.start,
            duration_us: cut.duration_us,
        };
        let spool = self.spool.clone();
        let spooled_id = id.clone();
        let written =
            tokio::task::spawn_blocking(move || write_to_spool(&spool, &spooled_id, discontinuity, cut)).await;
        match written.map_err(anyhow::Error::from).and_then(|r| r) {
            Ok(prepared) => {
                self.numbers.sequence += 1;
                self.numbers.discontinuity = discontinuity;
                self.numbers.end = id.end();
                self.queue.add(id, Some(prepared));
                self.status.waiting.store(self.queue.len() as u64, Ordering::Relaxed);
            }
            Err(error) => {
                self.numbers.lost = true;
                self.status.lost.fetch_add(1, Ordering::Relaxed);
                metrics::counter!("evertape_segments_lost_total", "stream" => id.stream.to_string()).increment(1);
                tracing::error!(stream = %id.stream, %error, start_utc_us = id.start.0, duration_us = id.duration_us,
                    "A SEGMENT IS LOST: it could not be written to the spool; free space on its disk or raise recorder.spool_max_mib");
            }
        }
    }
}

fn read_spooled(spool: &StreamSpool, id: &SegmentId) -> anyhow::Result<SegmentWithTables> {
    let object = spool.segment(id)?;
    let key = id.object_key().ok_or_else(|| anyhow::anyhow!("no object key for its time"))?;
    Ok(cmaf::read_segment(&key, &object)?)
}

/// Encodes the segment and writes it. Runs where it may block.
fn write_to_spool(
    spool: &StreamSpool,
    id: &SegmentId,
    discontinuity: u64,
    cut: CutSegment,
) -> anyhow::Result<Prepared> {
    let inputs: Vec<PartInput<'_>> = cut
        .parts
        .iter()
        .map(|p| PartInput {
            track: p.track,
            init: p.init.info.hash,
            decode_start: p.decode_start,
            table: &p.table,
            payload: &p.payload,
        })
        .collect();
    let (object, segment) = cmaf::write_segment(id, discontinuity, cut.anchor, cut.new_run, &inputs)?;
    let write = || {
        let mut written: BTreeSet<InitHash> = BTreeSet::new();
        for part in &cut.parts {
            if written.insert(part.init.info.hash) {
                spool.put_init(part.init.info.hash, &part.init.bytes)?;
            }
        }
        spool.put_segment(id, &object)
    };
    // Out of file descriptors or of space for a moment: worth a wait, as this is the only copy.
    let mut written = write();
    for pause in SPOOL_RETRIES {
        let Err(error) = &written else { break };
        tracing::warn!(stream = %id.stream, %error, "the spool cannot be written; tried again");
        std::thread::sleep(pause);
        written = write();
    }
    written?;
    let tables = cut.parts.into_iter().map(|p| p.table).collect();
    Ok(Prepared { row: SegmentWithTables { segment, tables }, object: object.into() })
}

/// Keeps the index's list of what is not recorded up to date, however often that takes.
async fn tell_uncarried(environment: Arc<Environment>, stream: StreamName, mut known: watch::Receiver<Vec<Uncarried>>) {
    while known.changed().await.is_ok() {
        let mut list = known.borrow_and_update().clone();
        list.sort_by(|a, b| a.place.cmp(&b.place));
        while let Err(error) = environment.index.set_uncarried(&stream, &list).await {
            tracing::warn!(%stream, %error, "media_info.json does not list yet what is not recorded");
            tokio::time::sleep(LEFT_OVER_EVERY).await;
            if known.has_changed().is_err() {
                return;
            }
        }
    }
}

async fn renew(environment: Arc<Environment>, lease: Arc<Mutex<Lease>>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(RENEW_EVERY) => {}
            () = stop.cancelled() => return,
        }
        let current = lease.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match environment.index.renew(&current, clock::now(), LEASE_US).await {
            Ok(renewed) => *lease.lock().unwrap_or_else(PoisonError::into_inner) = renewed,
            Err(error) if error.kind == IndexErrorKind::Fenced => {
                tracing::error!(stream = %current.stream, %error, "the lease is lost to another recorder; this one stops writing");
                stop.cancel();
                return;
            }
            // The spool goes on filling; every publish checks the epoch anyway.
            Err(error) => {
                tracing::warn!(stream = %current.stream, %error, "the lease could not be renewed; tried again")
            }
        }
    }
}
