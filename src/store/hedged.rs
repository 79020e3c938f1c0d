//! Reads that a second request overtakes where the first is unusually slow.
//!
//! Comes in: reads for viewers who wait. Goes out: the same bytes, from whichever request gives them first. Never: more
//! second requests than a twentieth of all, so that a store that is slow for everybody is not asked twice as much;
//! writes twice.

use super::{ByteStream, ObjectInfo, ObjectStore, Put, Result, StoreError};
use crate::media::ObjectKey;
use bytes::Bytes;
use futures::future::{Either, select};
use futures::{StreamExt, stream};
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// The second request comes when the first has taken so many times as long as usual.
const TIMES_USUAL: u64 = 4;
/// What one read adds to the budget, and what a second request takes from it.
const EARNED: u64 = 50;
const COST: u64 = 1000;
/// Most that is saved up.
const MOST_SAVED: u64 = 20 * COST;
/// Weight of one read in what is usual: a sixteenth.
const WEIGHT: u64 = 16;

/// When a second request comes.
#[derive(Debug, Clone, Copy)]
struct Timing {
    /// Never sooner,
    soonest: Duration,
    /// or later than this.
    latest: Duration,
    /// A body that gives nothing for so long is asked for again, from there.
    stall: Duration,
}

const TIMING: Timing =
    Timing { soonest: Duration::from_millis(100), latest: Duration::from_secs(2), stall: Duration::from_secs(2) };

/// A store that is read in this way.
pub struct HedgedStore<S: ?Sized> {
    shared: Arc<Shared<S>>,
}

struct Shared<S: ?Sized> {
    timing: Timing,
    budget: AtomicU64,
    /// Time until a read begins to answer, in microseconds; 0 at first.
    usual_us: AtomicU64,
    inner: Arc<S>,
}

impl<S: ObjectStore + ?Sized> HedgedStore<S> {
    /// Reads from `inner`.
    pub fn new(inner: Arc<S>) -> Self {
        Self::with(inner, TIMING)
    }

    fn with(inner: Arc<S>, timing: Timing) -> Self {
        let (budget, usual_us) = (AtomicU64::new(MOST_SAVED / 2), AtomicU64::new(0));
        Self { shared: Arc::new(Shared { timing, budget, usual_us, inner }) }
    }
}

fn count(result: &'static str) {
    metrics::counter!("evertape_store_hedges_total", "result" => result).increment(1);
}

impl<S: ObjectStore + ?Sized> Shared<S> {
    /// How long the first request is waited for.
    fn patience(&self) -> Duration {
        match self.usual_us.load(Ordering::Relaxed) {
            0 => self.timing.latest,
            usual => {
                let usual = Duration::from_micros(usual.saturating_mul(TIMES_USUAL));
                usual.clamp(self.timing.soonest, self.timing.latest)
            }
        }
    }

    fn took(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).clamp(1, 60_000_000);
        // Two at once may lose one of them: it is an estimate.
        let usual = self.usual_us.load(Ordering::Relaxed);
        let next = if usual == 0 { us } else { (usual * (WEIGHT - 1) + us) / WEIGHT };
        self.usual_us.store(next.max(1), Ordering::Relaxed);
    }

    fn earn(&self) {
        let add = |saved: u64| Some((saved + EARNED).min(MOST_SAVED));
        let _ = self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Whether a second request may be made.
    fn may(&self) -> bool {
        let taken = self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| saved.checked_sub(COST));
        if taken.is_err() {
            count("denied");
        }
        taken.is_ok()
    }

    /// The beginning of an answer, from the first request or the second.
    async fn begin(&self, key: &ObjectKey, range: Range<u64>) -> Result<ByteStream> {
        self.earn();
        let began = Instant::now();
        let mut first = pin!(self.inner.get(key, range.clone()));
        let answer = match tokio::time::timeout(self.patience(), first.as_mut()).await {
            Ok(answer) => answer,
            Err(_) if !self.may() => first.await,
            Err(_) => {
                let second = pin!(self.inner.get(key, range));
                match select(first, second).await {
                    Either::Left((Ok(answer), _)) => {
                        count("lost");
                        Ok(answer)
                    }
                    Either::Right((Ok(answer), _)) => {
                        count("won");
                        Ok(answer)
                    }
                    Either::Left((Err(_), second)) => second.await.inspect(|_| count("won")),
                    Either::Right((Err(_), first)) => first.await.inspect(|_| count("lost")),
                }
            }
        };
        if answer.is_ok() {
            self.took(began.elapsed());
        }
        answer
    }

    /// The next piece of a body, from the answer under way, or from a second one that begins at `left`.
    async fn next(
        &self,
        key: &ObjectKey,
        pieces: &mut ByteStream,
        left: Range<u64>,
    ) -> Option<Result<Bytes, StoreError>> {
        if let Ok(piece) = tokio::time::timeout(self.timing.stall, pieces.next()).await {
            return piece;
        }
        if left.is_empty() || !self.may() {
            return pieces.next().await;
        }
        let second = pin!(async {
            let mut other = self.inner.get(key, left).await?;
            let piece = other.next().await.transpose()?;
            Ok::<_, StoreError>(piece.map(|piece| (other, piece)))
        });
        let (other, piece) = match select(pieces.next(), second).await {
            Either::Left((piece, _)) => {
                count("lost");
                return piece;
            }
            Either::Right((Ok(Some(found)), _)) => found,
            Either::Right((_, first)) => {
                count("lost");
                return first.await;
            }
        };
        count("won");
        *pieces = other;
        Some(Ok(piece))
    }
}

#[async_trait::async_trait]
impl<S: ObjectStore + ?Sized> ObjectStore for HedgedStore<S> {
    async fn put(&self, key: &ObjectKey, body: Bytes, content_type: &'static str) -> Result<Put> {
        self.shared.inner.put(key, body, content_type).await
    }

    async fn get(&self, key: &ObjectKey, range: Range<u64>) -> Result<ByteStream> {
        let pieces = self.shared.begin(key, range.clone()).await?;
        let state = (self.shared.clone(), key.clone(), pieces, range);
        let hedged = stream::unfold(Some(state), |state| async move {
            let (shared, key, mut pieces, mut left) = state?;
            match shared.next(&key, &mut pieces, left.clone()).await? {
                Ok(piece) => {
                    left.start = left.start.saturating_add(piece.len() as u64).min(left.end);
                    Some((Ok(piece), Some((shared, key, pieces, left))))
                }
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(hedged.boxed())
    }

    async fn head(&self, key: &ObjectKey) -> Result<u64> {
        self.shared.inner.head(key).await
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Result<()> {
        self.shared.inner.delete(keys).await
    }

    async fn list(&self, prefix: &str, after: Option<&ObjectKey>, limit: usize) -> Result<Vec<ObjectInfo>> {
        self.shared.inner.list(prefix, after, limit).await
    }

    async fn ping(&self) -> Result<()> {
        self.shared.inner.ping().await
    }

    fn is_near(&self) -> bool {
        self.shared.inner.is_near()
    }

    async fn presign_get(&self, key: &ObjectKey, valid_for: Duration) -> Result<String> {
        self.shared.inner.presign_get(key, valid_for).await
    }
}

#[cfg(test)]
#[path = "hedged_tests.rs"]
mod tests;
