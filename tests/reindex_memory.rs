//! Reindexing a bucket of a million objects: listed in parallel, and in memory that does not grow with their number.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use evertape::check;
use evertape::index::{Index, sqlite::SqliteIndex};
use evertape::media::segment::SegmentId;
use evertape::media::{ObjectKey, RunId, StreamName, UtcUs};
use evertape::store::{ByteStream, ObjectInfo, ObjectStore, Put, Result, StoreError, StoreErrorKind};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const STREAMS: u64 = 10;
/// Six-second segments of a week: 100,800 in each stream.
const EACH: u64 = 7 * 86_400 / 6;
const FIRST_S: i64 = 1_409_097_600;
/// What a million keys would take, at 100 bytes each, is ten times that.
const MOST_GROWTH_KIB: u64 = 24 << 10;

/// A bucket made of arithmetic. Its objects are gone when they are read.
struct Arithmetic {
    names: Vec<StreamName>,
    listing: AtomicUsize,
    most_at_once: AtomicUsize,
    listings: AtomicUsize,
}

impl Arithmetic {
    fn key(&self, stream: usize, n: u64) -> ObjectKey {
        let id = SegmentId {
            stream: self.names[stream].clone(),
            run: RunId(1),
            epoch: 1,
            sequence: n,
            start: UtcUs::from_seconds(FIRST_S + n as i64 * 6),
            duration_us: 6_000_000,
        };
        id.object_key().unwrap()
    }

    /// The first number of a stream whose key is above `after` and not below `from`: keys ascend with numbers.
    fn first(&self, stream: usize, above: impl Fn(&str) -> bool) -> u64 {
        let (mut low, mut high) = (0, EACH);
        while low < high {
            let middle = (low + high) / 2;
            if above(self.key(stream, middle).as_str()) { high = middle } else { low = middle + 1 }
        }
        low
    }
}

#[async_trait::async_trait]
impl ObjectStore for Arithmetic {
    async fn put(&self, key: &ObjectKey, _body: Bytes, _content_type: &'static str) -> Result<Put> {
        Err(StoreError::new(StoreErrorKind::Refused, format!("{key}: nothing is written here")))
    }

    async fn get(&self, key: &ObjectKey, _range: Range<u64>) -> Result<ByteStream> {
        Err(StoreError::new(StoreErrorKind::NotFound, format!("{key} is gone")))
    }

    async fn head(&self, key: &ObjectKey) -> Result<u64> {
        Err(StoreError::new(StoreErrorKind::NotFound, format!("{key} is gone")))
    }

    async fn delete(&self, _keys: &[ObjectKey]) -> Result<()> {
        Err(StoreError::new(StoreErrorKind::Refused, "nothing is deleted here"))
    }

    async fn list(&self, prefix: &str, after: Option<&ObjectKey>, limit: usize) -> Result<Vec<ObjectInfo>> {
        let at_once = self.listing.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(at_once, Ordering::SeqCst);
        self.listings.fetch_add(1, Ordering::SeqCst);
        // As a store far away: others have their turn meanwhile.
        tokio::task::yield_now().await;
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        let after = after.map_or("", ObjectKey::as_str);
        let mut found = Vec::new();
        for stream in 0..self.names.len() {
            let first = self.first(stream, |key| key > after && key >= prefix);
            let keys = (first..EACH).map(|n| self.key(stream, n));
            let keys = keys.take_while(|key| key.as_str().starts_with(prefix)).take(limit - found.len());
            found.extend(keys.map(|key| ObjectInfo { key, object_bytes: 1_000_000 }));
            if found.len() == limit {
                break;
            }
        }
        self.listing.fetch_sub(1, Ordering::SeqCst);
        Ok(found)
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }
}

/// Most memory this process ever had, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux says what a process takes");
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).expect("VmHWM");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_objects_are_listed_in_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let index = SqliteIndex::connect(&format!("sqlite:{}/index.db", folder.path().display())).await.unwrap();
    index.migrate().await.unwrap();
    let index: Arc<dyn Index> = Arc::new(index);
    let bucket = |streams: u64| {
        Arc::new(Arithmetic {
            names: (0..streams).map(|n| StreamName::parse(&format!("stream-{n}")).unwrap()).collect(),
            listing: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            listings: AtomicUsize::new(0),
        })
    };
    let run = async |bucket: Arc<Arithmetic>| {
        let progress = Arc::new(check::Progress::default());
        let done = check::reindex(bucket, index.clone(), Vec::new(), true, progress.clone()).await.unwrap();
        assert_eq!((done.adopted.written, done.damaged, done.foreign), (0, 0, 0));
        progress.objects.load(Ordering::Relaxed)
    };
    // A tenth first: what all this takes however much there is.
    let small = run(bucket(1)).await;
    let (before_kib, began) = (peak_kib(), std::time::Instant::now());
    let whole = bucket(STREAMS);
    let listed = run(whole.clone()).await;
    let grown_kib = peak_kib() - before_kib;
    println!(
        "{listed} objects in {} listings, up to {} at once, {:.1} s; memory {} MiB after {small}, {} MiB more after {listed}",
        whole.listings.load(Ordering::SeqCst),
        whole.most_at_once.load(Ordering::SeqCst),
        began.elapsed().as_secs_f64(),
        before_kib >> 10,
        grown_kib >> 10
    );
    assert_eq!((small, listed), (EACH, EACH * STREAMS));
    assert!(whole.most_at_once.load(Ordering::SeqCst) >= 4, "one listing after the other");
    assert!(grown_kib < MOST_GROWTH_KIB, "{grown_kib} KiB more for {listed} objects than for {small}");
}
