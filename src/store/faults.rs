//! A store that fails on purpose: for the suites that ask what a failure leaves behind.
//!
//! Comes in: any store and a plan (a script, or a seed). Goes out: the same port, with calls that fail before
//! or after they did their work, come late, or break off while streaming. Never: wrong bytes, real randomness.

use super::{ByteStream, ObjectInfo, ObjectStore, Put, Result, StoreError, StoreErrorKind};
use crate::media::ObjectKey;
use bytes::Bytes;
use futures::StreamExt;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Which call of the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// [`ObjectStore::put`].
    Put,
    /// [`ObjectStore::get`].
    Get,
    /// [`ObjectStore::head`].
    Head,
    /// [`ObjectStore::delete`].
    Delete,
    /// [`ObjectStore::list`].
    List,
    /// [`ObjectStore::ping`].
    Ping,
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it passes.
    Pass,
    /// It fails and the store never heard of it.
    FailBefore,
    /// It happens, then its answer is lost: the caller sees a failure.
    FailAfter,
    /// It happens this much later.
    Delay(Duration),
    /// For `get`: the stream fails after half of its bytes. Other calls fail before.
    CutStream,
    /// It does not happen, and never answers: whoever waits is about to be killed.
    HangBefore,
    /// It happens, and never answers: whoever waits is about to be killed.
    HangAfter,
}

#[derive(Debug)]
enum Plan {
    Script(VecDeque<(Operation, Fault)>),
    Seeded { state: u64, percent: u8 },
}

/// A store behind a fault injector. Every injected error is `Unavailable`.
#[derive(Debug)]
pub struct FaultyStore<S> {
    inner: S,
    plan: Mutex<Plan>,
    down: AtomicBool,
    injected: AtomicU64,
    hung: Notify,
}

impl<S> FaultyStore<S> {
    /// Each call takes the first fault of the script that is meant for its operation; the rest pass.
    pub fn scripted(inner: S, script: impl IntoIterator<Item = (Operation, Fault)>) -> Self {
        Self::with_plan(inner, Plan::Script(script.into_iter().collect()))
    }

    /// About `percent` of the calls suffer a fault, chosen by `seed`: the same calls in the same order meet
    /// the same faults.
    pub fn seeded(inner: S, seed: u64, percent: u8) -> Self {
        Self::with_plan(inner, Plan::Seeded { state: seed, percent })
    }

    fn with_plan(inner: S, plan: Plan) -> Self {
        Self {
            inner,
            plan: Mutex::new(plan),
            down: AtomicBool::new(false),
            injected: AtomicU64::new(0),
            hung: Notify::new(),
        }
    }

    /// Appends to the script; replaces a seeded plan.
    pub fn then(&self, operation: Operation, fault: Fault) {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *plan {
            Plan::Script(script) => script.push_back((operation, fault)),
            Plan::Seeded { .. } => *plan = Plan::Script(VecDeque::from([(operation, fault)])),
        }
    }

    /// From now on every call fails before it happens (`true`), or the plan holds again (`false`).
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// How many calls suffered a fault so far.
    pub fn injected(&self) -> u64 {
        self.injected.load(Ordering::SeqCst)
    }

    /// The store behind.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Waits until a call hangs.
    pub async fn hung(&self) {
        self.hung.notified().await;
    }

    async fn hang<T>(&self) -> T {
        self.hung.notify_one();
        std::future::pending().await
    }

    fn choose(&self, operation: Operation) -> Fault {
        let fault = if self.down.load(Ordering::SeqCst) {
            Fault::FailBefore
        } else {
            match &mut *self.plan.lock().unwrap_or_else(PoisonError::into_inner) {
                Plan::Script(script) => match script.iter().position(|(meant, _)| *meant == operation) {
                    Some(at) => script.remove(at).map_or(Fault::Pass, |(_, fault)| fault),
                    None => Fault::Pass,
                },
                Plan::Seeded { state, percent } => {
                    if split_mix(state) % 100 < u64::from(*percent) {
                        random_fault(operation, split_mix(state))
                    } else {
                        Fault::Pass
                    }
                }
            }
        };
        if fault != Fault::Pass {
            self.injected.fetch_add(1, Ordering::SeqCst);
        }
        fault
    }

    /// Runs `call` under the fault chosen for it.
    async fn disturb<T>(&self, operation: Operation, call: impl Future<Output = Result<T>>) -> Result<T> {
        match self.choose(operation) {
            Fault::Pass => call.await,
            Fault::Delay(time) => {
                tokio::time::sleep(time).await;
                call.await
            }
            Fault::FailBefore | Fault::CutStream => Err(injected(operation, "before it happened")),
            Fault::FailAfter => {
                call.await?;
                Err(injected(operation, "after it happened"))
            }
            Fault::HangBefore => self.hang().await,
            Fault::HangAfter => {
                call.await?;
                self.hang().await
            }
        }
    }
}

fn injected(operation: Operation, when: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, format!("{operation:?}: injected failure {when}"))
}

/// The next number of the SplitMix64 sequence.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn random_fault(operation: Operation, number: u64) -> Fault {
    match (number % 4, operation) {
        (0, _) => Fault::FailBefore,
        (1, _) => Fault::Delay(Duration::from_millis(1 + (number >> 8) % 4)),
        (_, Operation::Get) => Fault::CutStream,
        (_, Operation::Put | Operation::Delete) => Fault::FailAfter,
        (_, Operation::Head | Operation::List | Operation::Ping) => Fault::FailBefore,
    }
}

#[async_trait::async_trait]
impl<S: ObjectStore> ObjectStore for FaultyStore<S> {
    async fn put(&self, key: &ObjectKey, body: Bytes, content_type: &'static str) -> Result<Put> {
        self.disturb(Operation::Put, self.inner.put(key, body, content_type)).await
    }

    async fn get(&self, key: &ObjectKey, range: Range<u64>) -> Result<ByteStream> {
        match self.choose(Operation::Get) {
            Fault::Pass => self.inner.get(key, range).await,
            Fault::Delay(time) => {
                tokio::time::sleep(time).await;
                self.inner.get(key, range).await
            }
            Fault::FailBefore => Err(injected(Operation::Get, "before it happened")),
            Fault::FailAfter => {
                drop(self.inner.get(key, range).await?);
                Err(injected(Operation::Get, "after it happened"))
            }
            Fault::HangBefore => self.hang().await,
            Fault::HangAfter => {
                drop(self.inner.get(key, range).await?);
                self.hang().await
            }
            Fault::CutStream => {
                let end = range.end.min(self.inner.head(key).await?);
                let half = end.saturating_sub(range.start) / 2;
                Ok(cut(self.inner.get(key, range).await?, half))
            }
        }
    }

    async fn head(&self, key: &ObjectKey) -> Result<u64> {
        self.disturb(Operation::Head, self.inner.head(key)).await
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Result<()> {
        self.disturb(Operation::Delete, self.inner.delete(keys)).await
    }

    async fn list(&self, prefix: &str, after: Option<&ObjectKey>, limit: usize) -> Result<Vec<ObjectInfo>> {
        self.disturb(Operation::List, self.inner.list(prefix, after, limit)).await
    }

    async fn ping(&self) -> Result<()> {
        self.disturb(Operation::Ping, self.inner.ping()).await
    }
}

/// `stream` up to `bytes` bytes, then an error.
fn cut(stream: ByteStream, bytes: u64) -> ByteStream {
    futures::stream::unfold(Some((stream, bytes)), |state| async move {
        let (mut stream, left) = state?;
        if left == 0 {
            return Some((Err(injected(Operation::Get, "half way through the body")), None));
        }
        match stream.next().await? {
            Ok(mut piece) => {
                piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - piece.len() as u64;
                Some((Ok(piece), Some((stream, left))))
            }
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}
