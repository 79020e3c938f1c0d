//! Values that are read again when they grow old, and outlive an outage of the index.
//!
//! Comes in: a key, a rule for what is fresh, a reading. Goes out: a value and its age. One reading at a time for
//! a key. While the index cannot be reached (or is slow), the last good value is given for [`STALE_FOR`], and the
//! index is asked about it once in [`RETRY_AFTER`].

use super::flight::Flights;
use crate::index::{IndexError, IndexErrorKind};
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a value is given while it cannot be read again. Much shorter than the grace before deletion.
pub const STALE_FOR: Duration = Duration::from_secs(3600);
/// After a failed reading, nobody tries again for so long.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Whoever could be given an older value waits no longer for a newer one.
const PATIENCE: Duration = Duration::from_secs(1);

/// A value and when it was asked for.
#[derive(Debug)]
pub struct Kept<V> {
    /// The value.
    pub value: V,
    /// When the reading began: it holds everything that was committed by then.
    pub asked: Instant,
    /// Milliseconds after `asked` until which nobody tries to read it again.
    quiet_until_ms: AtomicU64,
}

impl<V> Kept<V> {
    fn new(value: V, asked: Instant) -> Self {
        Self { value, asked, quiet_until_ms: AtomicU64::new(0) }
    }

    /// How old it is.
    pub fn age(&self) -> Duration {
        self.asked.elapsed()
    }

    fn failed(&self) {
        let until = self.age() + RETRY_AFTER;
        self.quiet_until_ms.store(u64::try_from(until.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn quiet(&self) -> bool {
        self.age().as_millis() < u128::from(self.quiet_until_ms.load(Ordering::Relaxed))
    }
}

type Answer<V> = Result<Arc<Kept<V>>, IndexError>;

/// See the module.
pub struct Refreshed<K, V> {
    values: moka::future::Cache<K, Arc<Kept<V>>>,
    flights: Flights<K, Answer<V>>,
    stale: metrics::Counter,
}

impl<K, V> Refreshed<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// A cache of `most_bytes`, each value weighed by `weigh`.
    pub fn new(name: &'static str, most_bytes: u64, weigh: fn(&K, &V) -> usize) -> Self {
        let values = moka::future::Cache::builder()
            .weigher(move |k: &K, v: &Arc<Kept<V>>| {
                u32::try_from(weigh(k, &v.value).saturating_add(128)).unwrap_or(u32::MAX)
            })
            .max_capacity(most_bytes)
            .build();
        let stale = metrics::counter!("evertape_cache_stale_total", "cache" => name);
        Self { values, flights: Flights::default(), stale }
    }

    /// The value of `key` for which `fresh` holds, read by `read` (which is given the old one) where there is
    /// none; an older one while that fails.
    ///
    /// # Errors
    /// Whatever the reading says, when there is no older value to give.
    pub async fn get<F>(
        &self,
        key: &K,
        fresh: impl Fn(&Kept<V>) -> bool + Send + 'static,
        read: impl FnOnce(Option<Arc<Kept<V>>>) -> F,
    ) -> Answer<V>
    where
        F: Future<Output = Result<V, IndexError>> + Send + 'static,
    {
        let kept = self.values.get(key).await;
        let Some(old) = kept else { return self.read(key, None, fresh, read).await };
        if fresh(&old) {
            return Ok(old);
        }
        let usable = old.age() < STALE_FOR;
        if usable && old.quiet() {
            self.stale.increment(1);
            return Ok(old);
        }
        let reading = self.read(key, Some(old.clone()), fresh, read);
        if !usable {
            return reading.await;
        }
        match tokio::time::timeout(PATIENCE, reading).await {
            Ok(Err(error)) if error.kind == IndexErrorKind::Unavailable => {
                tracing::warn!(%error, "the index cannot be reached: what was read before is given");
                old.failed();
            }
            Ok(answer) => return answer,
            Err(_) => old.failed(),
        }
        self.stale.increment(1);
        Ok(old)
    }

    async fn read<F>(
        &self,
        key: &K,
        old: Option<Arc<Kept<V>>>,
        fresh: impl Fn(&Kept<V>) -> bool + Send + 'static,
        read: impl FnOnce(Option<Arc<Kept<V>>>) -> F,
    ) -> Answer<V>
    where
        F: Future<Output = Result<V, IndexError>> + Send + 'static,
    {
        let joined = self.flights.join(key, || {
            let asked = Instant::now();
            let reading = read(old);
            let (values, key) = (self.values.clone(), key.clone());
            async move {
                // Another one may have ended between the look before and now.
                if let Some(kept) = values.get(&key).await
                    && fresh(&kept)
                {
                    return Ok(kept);
                }
                let kept = Arc::new(Kept::new(reading.await?, asked));
                values.insert(key, kept.clone()).await;
                Ok(kept)
            }
        });
        joined.await.unwrap_or_else(|| {
            Err(IndexError { kind: IndexErrorKind::Other, message: "a reading of the index ended".into(), cause: None })
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn whoever_asks_while_or_just_after_it_is_read_costs_nothing() {
        let kept: Arc<Refreshed<usize, usize>> = Arc::new(Refreshed::new("test", 1 << 20, |_, _| 8));
        let reads = Arc::new(AtomicUsize::new(0));
        for key in 0..500 {
            let asked = (0..16).map(|_| {
                let (kept, reads) = (kept.clone(), reads.clone());
                tokio::spawn(async move {
                    let read = |_| async move { Ok(reads.fetch_add(1, Ordering::Relaxed)) };
                    kept.get(&key, |_| true, read).await.unwrap().value
                })
            });
            let answers = futures::future::try_join_all(asked).await.unwrap();
            assert_eq!(answers, [key; 16]);
        }
    }
}
