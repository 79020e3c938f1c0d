//! The lease of one stream: contended for, renewed, believed in no longer than it lasts.
//!
//! Comes in: the index, and whether this recorder wants the stream. Goes out: where the lease stands, and for the
//! holder until when it may publish, by the monotonic clock. Never: writes anything else.

use crate::clock;
use crate::crash_points::reached;
use crate::index::{self, Index, IndexErrorKind, Lease};
use crate::media::StreamName;
use crate::recorder::members::Shared;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// Between attempts to renew a lease that could not be renewed.
const RENEW_AGAIN: Duration = Duration::from_secs(1);

/// Where the lease of a stream stands, as this recorder knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The index has not been asked yet.
    Asking,
    /// The index does not answer.
    Unknown,
    /// Another recorder holds it.
    Other,
    /// Nobody holds it, and this recorder does not want it.
    Free,
    /// This recorder holds it.
    Mine,
}

/// The lease while it is held. Its clones are one.
#[derive(Debug, Clone, Default)]
pub struct HeldLease {
    held: Arc<Mutex<Option<(Lease, Instant)>>>,
    renewed: Arc<Notify>,
    taken_over: Arc<AtomicBool>,
}

impl HeldLease {
    fn set(&self, held: Option<(Lease, Instant)>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
        self.renewed.notify_waiters();
    }

    /// It is another's, or given up.
    pub fn lose(&self) {
        self.set(None);
    }

    /// The lease, whether it has run out or not.
    pub fn lease(&self) -> Option<Lease> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(lease, _)| lease.clone())
    }

    /// The lease, if it lasts for `margin` more.
    pub fn lasting(&self, margin: Duration) -> Option<Lease> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().filter(|(_, until)| Instant::now() + margin < *until).map(|(lease, _)| lease.clone())
    }

    /// Whether its last holder did not give it up: that one may come back with what it has.
    pub fn taken_over(&self) -> bool {
        self.taken_over.load(Ordering::Relaxed)
    }

    /// Waits until the lease has been renewed or lost.
    pub async fn changed(&self) {
        self.renewed.notified().await;
    }
}

/// What decides about one stream's lease.
pub struct LeaseKeeper {
    /// Stream.
    pub stream: StreamName,
    /// Whether this recorder wants the stream if it is free, or keeps it.
    pub wanted: watch::Receiver<bool>,
    /// What limits the number of streams.
    pub shared: Arc<Shared>,
    /// The lease while it is held.
    pub held: HeldLease,
    /// Where it stands.
    pub standing: watch::Sender<Standing>,
    /// Why it is not held, for people.
    pub why: Arc<dyn Fn(Option<String>) + Send + Sync>,
}

impl LeaseKeeper {
    fn life(&self) -> Duration {
        self.shared.environment.tuning.lease
    }

    fn life_us(&self) -> i64 {
        i64::try_from(self.life().as_micros()).unwrap_or(i64::MAX)
    }

    fn stand(&self, standing: Standing) {
        self.standing.send_if_modified(|old| std::mem::replace(old, standing) != standing);
    }

    /// Contends for the lease and renews it, until it is dropped.
    pub async fn run(mut self) {
        let contend_every = (self.life() / 15).clamp(Duration::from_millis(100), Duration::from_secs(2));
        let mut said = false;
        loop {
            let mut watched: Option<(Lease, Instant)> = None;
            let _seat = loop {
                let seat = self.shared.seat();
                if self.contend(&mut watched, &mut said, seat.is_some()).await {
                    break seat;
                }
                drop(seat);
                tokio::select! {
                    () = tokio::time::sleep(contend_every) => {}
                    _ = self.wanted.changed() => {}
                }
            };
            said = false;
            reached("lease.acquired");
            self.stand(Standing::Mine);
            self.renew().await;
            self.held.lose();
            self.stand(Standing::Asking);
        }
    }

    /// One attempt; says whether the lease is held now.
    ///
    /// It is taken if it is free, or has not been renewed for its whole life while this process watched and the
    /// index answered. Expiry alone is not enough: it compares the clocks of two machines, and after an outage of
    /// the index every lease has expired although its holder has a spool full of segments.
    async fn contend(&self, watched: &mut Option<(Lease, Instant)>, said: &mut bool, has_seat: bool) -> bool {
        let why = match self.ask(watched, has_seat && *self.wanted.borrow()).await {
            Ok(Ok(held)) => {
                self.held.set(Some(held));
                (self.why)(None);
                return true;
            }
            Ok(Err(standing)) => {
                self.stand(standing);
                "another recorder holds this stream; this one stands by".to_owned()
            }
            Err(error) => {
                *watched = None;
                self.stand(Standing::Unknown);
                format!("the index cannot be asked who records this stream: {error}")
            }
        };
        if !std::mem::replace(said, true) {
            tracing::warn!(stream = %self.stream, %why, "publishing waits");
        }
        (self.why)(Some(why));
        false
    }

    async fn ask(
        &self,
        watched: &mut Option<(Lease, Instant)>,
        wanted: bool,
    ) -> index::Result<Result<(Lease, Instant), Standing>> {
        let environment = &self.shared.environment;
        let holder = environment.spool.holder();
        let mut now = clock::now();
        let mut taken_over = false;
        match environment.index.holder(&self.stream).await? {
            Some(other) if other.holder != holder => {
                let since = watched.as_ref().filter(|(seen, _)| *seen == other).map(|(_, since)| *since);
                if since.is_none_or(|since| since.elapsed() < self.life()) {
                    *watched = Some((other, since.unwrap_or_else(Instant::now)));
                    return Ok(Err(Standing::Other));
                }
                if !wanted {
                    return Ok(Err(Standing::Free));
                }
                now = now.max(other.expires);
                taken_over = true;
            }
            _ if !wanted => return Ok(Err(Standing::Free)),
            _ => {}
        }
        // Before the call: the life that is believed in begins no later than the one that the index counts.
        let asked = Instant::now();
        self.held.taken_over.store(taken_over, Ordering::Relaxed);
        let lease = environment.index.acquire(&self.stream, holder, now, self.life_us()).await?;
        Ok(lease.map(|lease| (lease, asked + self.life())).ok_or(Standing::Other))
    }

    /// Renews until the lease is lost or given up.
    async fn renew(&mut self) {
        let every = self.life() * 4 / 15;
        let mut pause = every;
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.held.changed() => {}
            }
            let Some(current) = self.held.lease() else { return };
            let asked = Instant::now();
            match self.shared.environment.index.renew(&current, clock::now(), self.life_us()).await {
                // It may have been given up meanwhile.
                Ok(_) if self.held.lease().is_none() => return,
                Ok(renewed) => {
                    self.held.set(Some((renewed, asked + self.life())));
                    pause = every;
                }
                Err(error) if error.kind == IndexErrorKind::Fenced => {
                    if self.held.lease().is_some() {
                        tracing::error!(stream = %current.stream, %error,
                            "the lease is lost to another recorder; this one publishes nothing more");
                    }
                    return;
                }
                // The spool goes on filling; what waits is published once the lease is renewed.
                Err(error) => {
                    tracing::warn!(stream = %current.stream, %error, "the lease could not be renewed; tried again");
                    pause = RENEW_AGAIN.min(every);
                }
            }
        }
    }
}

/// Gives the lease up, so that another can take it at once.
pub async fn release(index: &dyn Index, held: &HeldLease) {
    let Some(lease) = held.lease() else { return };
    held.lose();
    if let Err(error) = index.release(&lease).await {
        tracing::warn!(stream = %lease.stream, %error, "the lease could not be released; it lapses by itself");
    }
    reached("lease.released");
}
