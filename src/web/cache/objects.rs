//! Objects of the store, fetched once for all who want them.
//!
//! Comes in: keys and ranges. Goes out: bytes, shared by all who were given them. What the cache keeps, what is
//! being fetched and what was lent to answers under way are each bounded by bytes; beyond that a caller is told
//! to stream past the cache. Never: an object larger than [`LARGEST_BYTES`] in memory.

use super::super::problem::Problem;
use super::flight::Flights;
use crate::media::ObjectKey;
use crate::store::{ObjectStore, StoreError, StoreErrorKind};
use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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

/// What the first bytes of a range say of it, given how long it was said to be: whether it is what it should be,
/// or `None` when they are too few to tell.
pub type Check = fn(&[u8], u64) -> Option<bool>;

/// See the module.
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    kept: moka::future::Cache<Name, Bytes>,
    flights: Flights<Part, Result<Bytes, StoreError>>,
    makings: Flights<String, Result<Bytes, Problem>>,
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
            makings: Flights::default(),
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
        self.part((key.clone(), None), LARGEST_BYTES, |_, _| Some(true)).await
    }

    /// The bytes `range` of an object, of which `check` must approve: else no more of it is read.
    ///
    /// # Errors
    /// Whatever the store says; `NotFound` for what is not approved of, or ends early.
    pub async fn range(&self, key: &ObjectKey, range: Range<u64>, check: Check) -> Result<Bytes, StoreError> {
        let length = range.end.saturating_sub(range.start);
        self.part((key.clone(), Some(range)), length, check).await
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
            let (kept, making) = (self.kept.clone(), make());
            async move {
                if let Some(bytes) = kept.get(&key).await {
                    return Ok(bytes);
                }
                let bytes = making.await?;
                kept.insert(key, bytes.clone()).await;
                Ok(bytes)
            }
        };
        self.makings.join(&name, begin).await.unwrap_or_else(|| Err(Problem::internal()))
    }

    async fn part(&self, part: Part, most_bytes: u64, check: Check) -> Result<Bytes, StoreError> {
        if most_bytes > LARGEST_BYTES {
            return Err(too_large(&part.0));
        }
        let name = Name::Stored(part.clone());
        if let Some(bytes) = self.kept.get(&name).await {
            self.hits.increment(1);
            return Ok(bytes);
        }
        self.misses.increment(1);
        let fetch = || {
            let (store, kept, part) = (self.store.clone(), self.kept.clone(), part.clone());
            let (fetching, most_kib) = (self.fetching.clone(), self.most_kib);
            async move {
                // Another one may have ended between the look above and now.
                if let Some(bytes) = kept.get(&name).await {
                    return Ok(bytes);
                }
                let expected = if part.1.is_some() { most_bytes } else { USUAL_BYTES };
                let kib = u32::try_from(expected.div_ceil(KIB).min(most_kib)).unwrap_or(u32::MAX);
                let _permit = fetching.acquire_many_owned(kib).await;
                let bytes = fetch(&*store, &part, check).await?;
                if !store.is_near() || bytes.len() <= SMALL_BYTES {
                    kept.insert(name, bytes.clone()).await;
                }
                Ok(bytes)
            }
        };
        self.flights.join(&part, fetch).await.unwrap_or_else(|| {
            Err(StoreError::new(StoreErrorKind::Other, format!("get {}: the reading ended", part.0)))
        })
    }
}

fn too_large(key: &ObjectKey) -> StoreError {
    StoreError::new(StoreErrorKind::Other, format!("get {key}: more than {LARGEST_BYTES} bytes at once"))
}

async fn fetch(store: &dyn ObjectStore, (key, range): &Part, check: Check) -> Result<Bytes, StoreError> {
    // One byte more than allowed, so that a larger object is noticed and not cut.
    let asked = range.clone().unwrap_or(0..LARGEST_BYTES + 1);
    let expected = range.as_ref().map(|r| r.end.saturating_sub(r.start));
    let foreign = || StoreError::new(StoreErrorKind::NotFound, format!("get {key}: no such part"));
    let mut pieces = store.get(key, asked).await?;
    let mut whole = pieces.try_next().await?.unwrap_or_default();
    let mut verdict = check(&whole, expected.unwrap_or(0));
    let mut gathered = BytesMut::new();
    while verdict != Some(false)
        && let Some(piece) = pieces.try_next().await?
    {
        if gathered.is_empty() {
            gathered.reserve(usize::try_from(expected.unwrap_or(USUAL_BYTES).min(LARGEST_BYTES)).unwrap_or(0));
            gathered.extend_from_slice(&whole);
        }
        if (gathered.len() + piece.len()) as u64 > LARGEST_BYTES {
            return Err(too_large(key));
        }
        gathered.extend_from_slice(&piece);
        if verdict.is_none() {
            verdict = check(&gathered, expected.unwrap_or(0));
        }
    }
    if !gathered.is_empty() {
        whole = gathered.freeze();
    }
    let short = expected.is_some_and(|bytes| whole.len() as u64 != bytes);
    if short || verdict != Some(true) { Err(foreign()) } else { Ok(whole) }
}
