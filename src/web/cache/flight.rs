//! One reading for all who ask for the same thing at the same time.
//!
//! Comes in: a key and a future that reads it. Goes out: its result, to everyone who asked while it ran. The
//! reading is a task of its own: whoever asked first may go away.

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

type Running<V> = Shared<BoxFuture<'static, Option<V>>>;

/// Readings under way, by key. Clones share them.
pub struct Flights<K, V> {
    running: Arc<Mutex<HashMap<K, Running<V>>>>,
}

impl<K, V> Clone for Flights<K, V> {
    fn clone(&self) -> Self {
        Self { running: self.running.clone() }
    }
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self { running: Arc::default() }
    }
}

impl<K, V> Flights<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// What the reading of `key` under way gives, or the one that `read` begins. `None` when it ended without a
    /// result (it panicked, or the runtime is shutting down).
    pub async fn join<F>(&self, key: &K, read: impl FnOnce() -> F) -> Option<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let flight = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            match running.get(key) {
                Some(flight) => flight.clone(),
                None => {
                    let landed = Landed { flights: self.clone(), key: key.clone() };
                    let reading = read();
                    let task = tokio::spawn(async move {
                        let _landed = landed;
                        reading.await
                    });
                    let flight = task.map(Result::ok).boxed().shared();
                    running.insert(key.clone(), flight.clone());
                    flight
                }
            }
        };
        flight.await
    }
}

/// Takes a reading off the list, however it ends.
struct Landed<K: Hash + Eq, V> {
    flights: Flights<K, V>,
    key: K,
}

impl<K: Hash + Eq, V> Drop for Landed<K, V> {
    fn drop(&mut self) {
        self.flights.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[tokio::test]
    async fn many_ask_and_one_reads_even_if_the_first_goes_away() {
        let flights: Flights<u8, usize> = Flights::default();
        let reads = Arc::new(AtomicUsize::new(0));
        let ask = || {
            let (flights, reads) = (flights.clone(), reads.clone());
            async move {
                let read = || async move {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    reads.fetch_add(1, Ordering::SeqCst)
                };
                flights.join(&7, read).await
            }
        };
        let first = tokio::spawn(ask());
        tokio::task::yield_now().await;
        first.abort();
        let all = futures::future::join_all((0..20).map(|_| ask())).await;
        assert!(all.iter().all(|v| *v == Some(0)), "{all:?}");
        assert_eq!(ask().await, Some(1), "a later one reads anew");
    }

    #[tokio::test]
    async fn a_reading_that_panics_blocks_nobody() {
        let flights: Flights<u8, u8> = Flights::default();
        let broken = || async { panic!("as the test wants it") };
        assert_eq!(flights.join(&1, broken).await, None);
        assert_eq!(flights.join(&1, || async { 5 }).await, Some(5));
    }
}
