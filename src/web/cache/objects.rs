//! Objects of the store, fetched once for all who want them.
//!
//! Comes in: keys and ranges. Goes out: bytes, shared by all who were given them; those of a part of a segment only
//! once they are proven. What the cache keeps, what is being fetched and what was lent to answers under way are each
//! bounded by bytes; beyond that a caller is told to stream past the cache. Never: an object larger than
//! [`LARGEST_BYTES`] in memory.

use super::super::problem::Problem;
use super::flight::Flights;
use super::parts::{LARGEST_HELD_BYTES, Proven, prove};
use crate::media::ObjectKey;
use crate::store::{ObjectStore, StoreError, StoreErrorKind};
use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use xxhash_rust::xxh3::Xxh3;

/// Largest object, or part of one, that is held in memory.
pub const LARGEST_BYTES: u64 = 64 << 20;
/// What an object of unknown size counts for while it is fetched: most segments are smaller.
const USUAL_BYTES: u64 = 8 << 20;
/// So small an object is kept even where it comes from this machine: an init segment, for instance.
const SMALL_BYTES: usize = 64 << 10;
/// Unit of the budgets.
const KIB: u64 = 1024;

/// Which bytes of which object; `None`: all of them.
type Part = (ObjectKey, Option<Range<u64>>);

/// What is kept.
#[derive(PartialEq, Eq, Hash, Clone)]
enum Name {
    /// As it is in the store.
    Stored(Part),
    /// Made of what is there, under a name that says all that it follows from.
    Made(String),
}

/// What was proven is believed for so long, where its bytes are read again to be sent: a disk may go bad.
const BELIEVED_FOR: Duration = Duration::from_secs(600);
/// Parts that are believed, at most: 16 bytes each, and what a map needs besides.
const MOST_BELIEVED: u64 = 100_000;
/// What a part that is too large to hold counts for while it streams by.
const PASSING_BYTES: u64 = 1 << 20;

/// What becomes of a part that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Others will want it.
    Yes,
    /// It passes by, as one of thousands of an export.
    No,
}

/// See the module.
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    kept: moka::future::Cache<Name, Bytes>,
    flights: Flights<Part, Result<Proven, StoreError>>,
    /// Fingerprints of parts that were proven lately.
    believed: moka::future::Cache<u128, ()>,
    makings: Flights<String, Result<Bytes, Problem>>,
    /// Room for what is being made: each takes a processor, and some megabytes.
    making: Arc<Semaphore>,
    /// KiB that may be on their way from the store.
    fetching: Arc<Semaphore>,
    /// KiB that answers under way may hold.
    lent: Arc<Semaphore>,
    most_kib: u64,
    hits: metrics::Counter,
    misses: metrics::Counter,
}

impl Objects {
    /// Objects of `store`, of which about `most_bytes` are kept, and as much again may be on its way from the
    /// store, and as much again may be lent.
    pub fn new(store: Arc<dyn ObjectStore>, most_bytes: u64) -> Self {
        let kept = moka::future::Cache::builder()
            .weigher(|name: &Name, bytes: &Bytes| {
                let name_bytes = match name {
                    Name::Stored((key, _)) => key.as_str().len(),
                    Name::Made(name) => name.len(),
                };
                u32::try_from(name_bytes + bytes.len() + 128).unwrap_or(u32::MAX)
            })
            .max_capacity(most_bytes)
            .build();
        let most_kib = (most_bytes.max(LARGEST_BYTES) / KIB).min(u64::from(u32::MAX >> 1));
        let permits = usize::try_from(most_kib).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let count = |result: &'static str| metrics::counter!("evertape_cache_requests_total", "cache" => "media", "result" => result);
        Self {
            store,
            kept,
            flights: Flights::default(),
            believed: moka::future::Cache::builder().max_capacity(MOST_BELIEVED).time_to_live(BELIEVED_FOR).build(),
            makings: Flights::default(),
            making: Arc::new(Semaphore::new(2 * std::thread::available_parallelism().map_or(2, Into::into))),
            fetching: Arc::new(Semaphore::new(permits)),
            lent: Arc::new(Semaphore::new(permits)),
            most_kib,
            hits: count("hit"),
            misses: count("miss"),
        }
    }

    /// The whole object, from memory or fetched once for all who ask meanwhile.
    ///
    /// # Errors
    /// Whatever the store says; `Other` for an object larger than [`LARGEST_BYTES`].
    pub async fn whole(&self, key: &ObjectKey) -> Result<Bytes, StoreError> {
        let part = (key.clone(), None);
        if let Some(bytes) = self.kept.get(&Name::Stored(part.clone())).await {
            self.hits.increment(1);
            return Ok(bytes);
        }
        self.misses.increment(1);
        match self.read(part, Keep::Yes).await? {
            Proven::Held(bytes) => Ok(bytes),
            Proven::Stored => Err(too_large(key)),
        }
    }

    /// Forgets a whole object whose bytes were found to be damaged: they may have been damaged on the way.
    pub async fn forget(&self, key: &ObjectKey) {
        self.kept.invalidate(&Name::Stored((key.clone(), None))).await;
    }

    /// The part of a segment that the bytes `range` of an object are, proven. Where `Keep::No` says that nobody else
    /// will want it, or where reading costs nothing, only the first one to ask is given the bytes themselves.
    ///
    /// # Errors
    /// Whatever the store says; `NotFound` for what is no part, `Damaged` for what is no more what was written.
    pub async fn part(&self, key: &ObjectKey, range: &Range<u64>, keep: Keep) -> Result<Proven, StoreError> {
        if let Some(bytes) = self.kept(key, range).await {
            return Ok(Proven::Held(bytes));
        }
        let is_held = range.end.saturating_sub(range.start) <= LARGEST_HELD_BYTES;
        let is_read_again = keep == Keep::No || !is_held || self.store.is_near();
        if is_read_again && self.believed.get(&fingerprint(key, range)).await.is_some() {
            return Ok(Proven::Stored);
        }
        self.misses.increment(1);
        self.read((key.clone(), Some(range.clone())), keep).await
    }

    /// The bytes `range` of an object if they are in memory.
    pub async fn kept(&self, key: &ObjectKey, range: &Range<u64>) -> Option<Bytes> {
        let kept = self.kept.get(&Name::Stored((key.clone(), Some(range.clone())))).await;
        kept.inspect(|_| self.hits.increment(1))
    }

    /// Bytes for a body: they count as lent until the last of them is sent. `None` when too much is lent
    /// already, to peers that take it slowly.
    pub fn lend(&self, bytes: Bytes) -> Option<Bytes> {
        struct Lent(Bytes, #[allow(dead_code, reason = "held")] OwnedSemaphorePermit);
        impl AsRef<[u8]> for Lent {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        let kib = u32::try_from((bytes.len() as u64).div_ceil(KIB)).ok()?;
        let permit = self.lent.clone().try_acquire_many_owned(kib).ok()?;
        Some(Bytes::from_owner(Lent(bytes, permit)))
    }

    /// What `make` makes, once for all who ask meanwhile; kept under `name`, which says all that it follows from.
    ///
    /// # Errors
    /// Whatever `make` says; 500 when it ends without a word.
    pub async fn made<F>(&self, name: String, make: impl FnOnce() -> F) -> Result<Bytes, Problem>
    where
        F: Future<Output = Result<Bytes, Problem>> + Send + 'static,
    {
        let key = Name::Made(name.clone());
        if let Some(bytes) = self.kept.get(&key).await {
            self.hits.increment(1);
            return Ok(bytes);
        }
        self.misses.increment(1);
        let begin = || {
            let (kept, made, making) = (self.kept.clone(), make(), self.making.clone());
            async move {
                let _room = making.acquire_owned().await;
                if let Some(bytes) = kept.get(&key).await {
                    return Ok(bytes);
                }
                let bytes = made.await?;
                kept.insert(key, bytes.clone()).await;
                Ok(bytes)
            }
        };
        self.makings.join(&name, begin).await.unwrap_or_else(|| Err(Problem::internal()))
    }

    async fn read(&self, part: Part, keep: Keep) -> Result<Proven, StoreError> {
        let fetch = || {
            let (store, kept, part) = (self.store.clone(), self.kept.clone(), part.clone());
            let (fetching, most_kib, believed) = (self.fetching.clone(), self.most_kib, self.believed.clone());
            async move {
                let name = Name::Stored(part);
                // Another one may have ended between the look before and now.
                if let Some(bytes) = kept.get(&name).await {
                    return Ok(Proven::Held(bytes));
                }
                let Name::Stored((key, range)) = &name else { return Ok(Proven::Stored) };
                let expected_bytes = match range.as_ref().map(|r| r.end.saturating_sub(r.start)) {
                    None => USUAL_BYTES,
                    Some(bytes) if bytes > LARGEST_HELD_BYTES => PASSING_BYTES,
                    Some(bytes) => bytes,
                };
                let kib = u32::try_from(expected_bytes.div_ceil(KIB).min(most_kib)).unwrap_or(u32::MAX);
                let _permit = fetching.acquire_many_owned(kib).await;
                let proven = match range {
                    None => Proven::Held(whole(&*store, key).await?),
                    Some(range) => {
                        let proven = prove(&*store, key, range).await?;
                        believed.insert(fingerprint(key, range), ()).await;
                        proven
                    }
                };
                if let Proven::Held(bytes) = &proven
                    && keep == Keep::Yes
                    && (!store.is_near() || bytes.len() <= SMALL_BYTES)
                {
                    kept.insert(name, bytes.clone()).await;
                }
                Ok(proven)
            }
        };
        self.flights.join(&part, fetch).await.unwrap_or_else(|| {
            Err(StoreError::new(StoreErrorKind::Other, format!("get {}: the reading ended", part.0)))
        })
    }
}

fn fingerprint(key: &ObjectKey, range: &Range<u64>) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(&range.start.to_be_bytes());
    hash.update(&range.end.to_be_bytes());
    hash.update(key.as_str().as_bytes());
    hash.digest128()
}

fn too_large(key: &ObjectKey) -> StoreError {
    StoreError::new(StoreErrorKind::Other, format!("get {key}: more than {LARGEST_BYTES} bytes at once"))
}

async fn whole(store: &dyn ObjectStore, key: &ObjectKey) -> Result<Bytes, StoreError> {
    // One byte more than allowed, so that a larger object is noticed and not cut.
    let mut pieces = store.get(key, 0..LARGEST_BYTES + 1).await?;
    let first = pieces.try_next().await?.unwrap_or_default();
    let mut gathered = BytesMut::new();
    while let Some(piece) = pieces.try_next().await? {
        if gathered.is_empty() {
            gathered.reserve(USUAL_BYTES as usize);
            gathered.extend_from_slice(&first);
        }
        if (gathered.len() + piece.len()) as u64 > LARGEST_BYTES {
            return Err(too_large(key));
        }
        gathered.extend_from_slice(&piece);
    }
    Ok(if gathered.is_empty() { first } else { gathered.freeze() })
}
