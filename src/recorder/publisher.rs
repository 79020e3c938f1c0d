//! The publisher: from the spool to object store and index, in order, for as long as it takes.
//!
//! Comes in: names of spooled segments. Goes out: objects, then rows, then an emptier spool. The order is the
//! invariant: init segments, object, row, and only then the spool's copy is removed; every step may be done
//! twice. A kill between any two leaves the spool's copy, and the next start goes on from there.
//! Never: gives up, skips a segment it can read, or holds more than a few segments in memory.

use super::lease::HeldLease;
use super::members::{Shared, TURN};
use super::source::backoff::Backoff;
use super::spool::StreamSpool;
use super::status::StreamStatus;
use crate::clock;
use crate::container::cmaf;
use crate::crash_points::reached;
use crate::index::{IndexError, IndexErrorKind, Published};
use crate::media::segment::{SegmentId, SegmentWithTables};
use crate::media::track::InitInfo;
use crate::media::{InitHash, ObjectKey};
use crate::store::StoreError;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Segments that may wait in memory; more wait on disk only.
const MOST_IN_MEMORY: usize = 3;
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(10);
/// A failure that goes on is said again after this long.
const SAY_EVERY: Duration = Duration::from_secs(60);
/// Attempts before a segment that the index refuses is set aside.
const PERSISTENT_ATTEMPTS: u32 = 5;

/// A segment ready to be published.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The row and the sample tables.
    pub row: SegmentWithTables,
    /// The object.
    pub object: Bytes,
}

/// What waits to be published; shared by the recorder, which adds, and the publisher.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: Mutex<VecDeque<(SegmentId, Option<Prepared>)>>,
    changed: Notify,
    shorter: Notify,
}

impl Queue {
    /// Adds a segment that is in the spool already.
    pub fn add(&self, id: SegmentId, prepared: Option<Prepared>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let prepared = prepared.filter(|_| waiting.len() < MOST_IN_MEMORY);
        waiting.push_back((id, prepared));
        drop(waiting);
        self.changed.notify_one();
    }

    /// Number of segments that wait.
    pub fn len(&self) -> usize {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until a segment has left the queue.
    pub async fn shrunk(&self) {
        self.shorter.notified().await;
    }

    fn front(&self) -> Option<(SegmentId, Option<Prepared>)> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).front().cloned()
    }

    fn pop(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        self.shorter.notify_one();
    }
}

/// Publishes one stream's spool.
pub struct Publisher {
    /// Store, index and the rest.
    pub shared: Arc<Shared>,
    /// The stream's spool.
    pub spool: StreamSpool,
    /// What waits.
    pub queue: Arc<Queue>,
    /// The current lease, renewed by another task.
    pub lease: HeldLease,
    /// Where progress is shown.
    pub status: Arc<StreamStatus>,
    /// Give up at the first failure: what another process left must not keep its stream's lease from it.
    pub gives_up: bool,
    /// Init segments known to be in the store.
    stored_inits: BTreeMap<InitHash, InitInfo>,
}

enum Failure {
    Retry(String),
    /// Trying again will not help, unless an operator does something.
    Persistent(String),
    /// Another recorder has the stream.
    Fenced(String),
    /// Its number is another's: it may still be missing.
    Superseded(String),
    /// It went to make room in the spool, and was counted then.
    Dropped,
    /// The spooled bytes make no sense.
    Unreadable(String),
}

impl From<StoreError> for Failure {
    fn from(e: StoreError) -> Self {
        Failure::Retry(format!("store: {e}"))
    }
}

impl From<IndexError> for Failure {
    fn from(e: IndexError) -> Self {
        match e.kind {
            IndexErrorKind::Fenced => Failure::Fenced(e.to_string()),
            IndexErrorKind::Damaged => Failure::Persistent(format!("index: {e}")),
            // `Other` too: a database whose disk is full must not send the whole spool aside.
            IndexErrorKind::Unavailable | IndexErrorKind::Schema | IndexErrorKind::Other => {
                Failure::Retry(format!("index: {e}"))
            }
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(e: std::io::Error) -> Self {
        match e.kind() {
            std::io::ErrorKind::NotFound => Failure::Unreadable(format!("spool: {e}")),
            _ => Failure::Retry(format!("spool: {e}")),
        }
    }
}

impl Publisher {
    /// A publisher for one stream.
    pub fn new(
        shared: Arc<Shared>,
        spool: StreamSpool,
        queue: Arc<Queue>,
        lease: HeldLease,
        status: Arc<StreamStatus>,
    ) -> Self {
        Self { shared, spool, queue, lease, status, gives_up: false, stored_inits: BTreeMap::new() }
    }

    /// Publishes until `drain` is cancelled and the queue is empty, or `stop` is cancelled, or the lease is lost;
    /// says whether the lease still holds.
    pub async fn run(mut self, drain: CancellationToken, stop: CancellationToken) -> bool {
        let seed = self.status.stream.as_str().bytes().fold(7_u64, |h, b| h.wrapping_mul(31) ^ u64::from(b));
        let mut backoff = Backoff::new(FIRST_RETRY, LAST_RETRY, seed);
        let mut attempts = 0;
        let mut refusals = 0;
        let mut said: Option<Instant> = None;
        loop {
            let Some((id, prepared)) = self.queue.front() else {
                if drain.is_cancelled() {
                    return true;
                }
                tokio::select! {
                    () = self.queue.changed.notified() => {}
                    () = drain.cancelled() => {}
                    () = stop.cancelled() => return true,
                }
                continue;
            };
            let outcome = tokio::select! {
                outcome = self.publish(&id, prepared) => outcome,
                () = stop.cancelled() => return true,
            };
            match outcome {
                Ok(()) => {
                    if attempts > 0 {
                        tracing::info!(stream = %id.stream, sequence = id.sequence, attempts, "publishing goes on");
                    }
                    backoff.reset();
                    (attempts, refusals, said) = (0, 0, None);
                    self.pop();
                    self.status.set_publish_error(None);
                    continue;
                }
                Err(Failure::Fenced(why)) => {
                    tracing::error!(stream = %id.stream, %why, "another recorder has this stream; nothing is published");
                    return false;
                }
                Err(Failure::Persistent(why)) if refusals < PERSISTENT_ATTEMPTS => {
                    refusals += 1;
                    self.status.set_publish_error(Some(why));
                }
                Err(Failure::Dropped) => {
                    self.pop();
                    continue;
                }
                Err(Failure::Superseded(why)) => {
                    tracing::warn!(stream = %id.stream, sequence = id.sequence, %why,
                        "a spooled segment lost its number; what the archive lacks of it is filled in");
                    if let Err(error) = self.spool.demote(&id) {
                        tracing::error!(stream = %id.stream, sequence = id.sequence, %error, "and could not be moved");
                    }
                    self.pop();
                    continue;
                }
                Err(Failure::Unreadable(why) | Failure::Persistent(why)) => {
                    self.set_aside(&id, &why);
                    refusals = 0;
                    continue;
                }
                Err(Failure::Retry(why)) => {
                    if said.is_none_or(|at| at.elapsed() > SAY_EVERY) {
                        said = Some(Instant::now());
                        tracing::warn!(stream = %id.stream, sequence = id.sequence, waiting = self.queue.len(), attempts, %why,
                            "publishing failed; the segments stay in the spool and are tried again");
                    }
                    metrics::counter!("evertape_publish_retries_total", "stream" => id.stream.to_string()).increment(1);
                    self.status.set_publish_error(Some(why));
                }
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.wait()) => {}
                () = self.lease.changed() => {}
                () = stop.cancelled() => return true,
            }
            if self.gives_up {
                return true;
            }
            attempts += 1;
        }
    }

    /// What cannot be published is kept for an operator, out of the way of what can.
    fn set_aside(&self, id: &SegmentId, why: &str) {
        tracing::error!(stream = %id.stream, sequence = id.sequence, start_utc_us = id.start.0, %why,
            "a spooled segment cannot be published; it was moved to the folder `damaged` of its spool");
        metrics::counter!("evertape_spool_damaged_total", "stream" => id.stream.to_string()).increment(1);
        if let Err(error) = self.spool.quarantine(id) {
            tracing::error!(stream = %id.stream, sequence = id.sequence, %error, "and could not be moved");
        }
        self.pop();
    }

    fn pop(&self) {
        self.queue.pop();
        self.status.waiting.store(self.queue.len() as u64, Ordering::Relaxed);
    }

    /// Publishes one segment, from its turn on.
    async fn publish(&mut self, id: &SegmentId, prepared: Option<Prepared>) -> Result<(), Failure> {
        let shared = self.shared.clone();
        let mut turn = shared.turn().await;
        let mut work = std::pin::pin!(self.publish_now(id, prepared));
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(TURN), if turn.is_some() => turn = None,
            }
        }
    }

    async fn publish_now(&mut self, id: &SegmentId, prepared: Option<Prepared>) -> Result<(), Failure> {
        if !self.spool.hold(id) {
            return Err(Failure::Dropped);
        }
        let prepared = match prepared {
            Some(prepared) => prepared,
            None => self.read(id).await?,
        };
        let Prepared { row, object } = prepared;
        let mut inits: Vec<InitInfo> = Vec::with_capacity(row.segment.tracks.len());
        for part in &row.segment.tracks {
            if !inits.iter().any(|i| i.hash == part.init) {
                inits.push(self.store_init(id, part.init).await?);
            }
        }
        let bytes = object.len() as u64;
        let environment = self.shared.environment.clone();
        reached("publish.inits-stored");
        environment.store.put(&row.segment.object, object, "video/mp4").await?;
        reached("publish.object-stored");
        // Another recorder may have taken over once the lease has run out; the epoch would stop this one all the same.
        let Some(lease) = self.lease.lasting(environment.tuning.lease / 6) else {
            return Err(Failure::Retry("the lease has run out and could not be renewed".into()));
        };
        if environment.index.publish(&lease, &row, &inits).await? == Published::Superseded {
            return Err(Failure::Superseded("another recorder has published another segment of this number".into()));
        }
        reached("publish.committed");
        let spool = self.spool.clone();
        let done = id.clone();
        tokio::task::spawn_blocking(move || spool.remove(&done)).await.map_err(|e| Failure::Retry(e.to_string()))??;
        reached("publish.spool-emptied");
        self.status.published(id, bytes);
        let stream = id.stream.to_string();
        metrics::counter!("evertape_segments_published_total", "stream" => stream.clone()).increment(1);
        metrics::counter!("evertape_segment_bytes_published_total", "stream" => stream.clone()).increment(bytes);
        metrics::gauge!("evertape_live_edge_timestamp_seconds", "stream" => stream.clone())
            .set(id.end().millis() as f64 / 1000.0);
        metrics::gauge!("evertape_publish_lag_seconds", "stream" => stream)
            .set(clock::now().since(id.end()) as f64 / 1e6);
        Ok(())
    }

    async fn read(&self, id: &SegmentId) -> Result<Prepared, Failure> {
        let (spool, id) = (self.spool.clone(), id.clone());
        let read = tokio::task::spawn_blocking(move || {
            let object = spool.segment(&id)?;
            let key = id.object_key().ok_or_else(|| Failure::Unreadable("no key for this time".into()))?;
            let row = cmaf::read_segment(&key, &object).map_err(|e| Failure::Unreadable(e.to_string()))?;
            Ok(Prepared { row, object: object.into() })
        });
        read.await.map_err(|e| Failure::Retry(e.to_string()))?
    }

    async fn store_init(&mut self, id: &SegmentId, hash: InitHash) -> Result<InitInfo, Failure> {
        if let Some(info) = self.stored_inits.get(&hash) {
            return Ok(info.clone());
        }
        let spool = self.spool.clone();
        let bytes = tokio::task::spawn_blocking(move || spool.init(hash))
            .await
            .map_err(|e| Failure::Retry(e.to_string()))??;
        let params = cmaf::read_init(&bytes).map_err(|e| Failure::Unreadable(format!("init segment {hash}: {e}")))?;
        let store = &self.shared.environment.store;
        store.put(&ObjectKey::init(&id.stream, hash), bytes.into(), "video/mp4").await?;
        let info = InitInfo { hash, params };
        self.stored_inits.insert(hash, info.clone());
        Ok(info)
    }
}
