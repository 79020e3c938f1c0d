//! Second requests: that they come, what they give, and that they are few.

use super::*;
use crate::store::{StoreErrorKind, read_all};
use std::collections::VecDeque;
use std::sync::Mutex;

/// What a store does with one read.
#[derive(Clone, Copy)]
struct Manner {
    begins_after: Duration,
    fails: bool,
    /// Gives so many bytes and then nothing for an hour.
    hangs_at: Option<usize>,
}

const PROMPT: Manner = Manner { begins_after: Duration::ZERO, fails: false, hangs_at: None };
const NEVER: Manner = Manner { begins_after: Duration::from_secs(3600), ..PROMPT };
const SLOW: Manner = Manner { begins_after: Duration::from_millis(8), ..PROMPT };

/// Second requests come at once.
const EAGER: Timing =
    Timing { soonest: Duration::from_millis(1), latest: Duration::from_millis(2), stall: Duration::from_millis(5) };
/// Second requests come only where the first will never answer.
const PATIENT: Timing =
    Timing { soonest: Duration::from_secs(60), latest: Duration::from_secs(60), stall: Duration::from_secs(60) };
const FAILING: Manner = Manner { fails: true, ..PROMPT };
const HANGING: Manner = Manner { hangs_at: Some(10), ..PROMPT };

/// Objects of the bytes 0 to 99; each read takes the next manner, or the last one for ever.
#[derive(Default)]
struct Scripted {
    manners: Mutex<VecDeque<Manner>>,
    asked: Mutex<Vec<Range<u64>>>,
}

impl Scripted {
    fn with(manners: &[Manner]) -> Arc<Self> {
        Arc::new(Self { manners: Mutex::new(manners.iter().copied().collect()), ..Self::default() })
    }

    fn asked(&self) -> Vec<Range<u64>> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

#[async_trait::async_trait]
impl ObjectStore for Scripted {
    async fn put(&self, _: &ObjectKey, _: Bytes, _: &'static str) -> Result<Put> {
        unreachable!()
    }

    async fn get(&self, _: &ObjectKey, range: Range<u64>) -> Result<ByteStream> {
        let manner = {
            let mut manners = self.manners.lock().unwrap();
            if manners.len() > 1 { manners.pop_front() } else { manners.front().copied() }.unwrap_or(PROMPT)
        };
        self.asked.lock().unwrap().push(range.clone());
        tokio::time::sleep(manner.begins_after).await;
        if manner.fails {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "it fails"));
        }
        let bytes: Vec<u8> = (range.start..range.end.min(100)).map(|n| n as u8).collect();
        let pieces: Vec<Bytes> = bytes.chunks(5).map(Bytes::copy_from_slice).collect();
        let given = manner.hangs_at.map_or(pieces.len(), |bytes| bytes / 5);
        let then = stream::once(async move {
            if manner.hangs_at.is_some() {
                tokio::time::sleep(Duration::from_secs(3600)).await;
            }
        })
        .filter_map(|()| async { None });
        Ok(stream::iter(pieces.into_iter().take(given).map(Ok)).chain(then).boxed())
    }

    async fn head(&self, _: &ObjectKey) -> Result<u64> {
        Ok(100)
    }

    async fn delete(&self, _: &[ObjectKey]) -> Result<()> {
        unreachable!()
    }

    async fn list(&self, _: &str, _: Option<&ObjectKey>, _: usize) -> Result<Vec<ObjectInfo>> {
        unreachable!()
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }
}

fn key() -> ObjectKey {
    ObjectKey::parse("a/b").unwrap()
}

fn expected(range: Range<u64>) -> Vec<u8> {
    range.map(|n| n as u8).collect()
}

async fn read(store: &HedgedStore<Scripted>) -> Result<Bytes> {
    let key = key();
    let read = read_all(store, &key, 20..80);
    tokio::time::timeout(Duration::from_secs(60), read).await.expect("it does not wait for what never comes")
}

#[tokio::test]
async fn a_prompt_store_is_asked_once() {
    let inner = Scripted::with(&[PROMPT]);
    let store = HedgedStore::with(inner.clone(), PATIENT);
    for _ in 0..50 {
        assert_eq!(read(&store).await.unwrap(), expected(20..80));
    }
    assert_eq!(inner.asked().len(), 50);
}

#[tokio::test]
async fn a_slow_answer_is_overtaken() {
    let inner = Scripted::with(&[NEVER, PROMPT]);
    let store = HedgedStore::with(inner.clone(), EAGER);
    assert_eq!(read(&store).await.unwrap(), expected(20..80));
    assert_eq!(inner.asked(), [20..80, 20..80]);
}

#[tokio::test]
async fn of_two_the_one_that_does_not_fail_counts() {
    for manners in [[NEVER, PROMPT], [SLOW, FAILING], [Manner { fails: true, ..SLOW }, PROMPT]] {
        let inner = Scripted::with(&manners);
        let store = HedgedStore::with(inner.clone(), EAGER);
        assert_eq!(read(&store).await.unwrap(), expected(20..80));
        assert_eq!(inner.asked().len(), 2);
    }
    // An error is told at once, by the first one alone: trying again is the store's own business.
    let inner = Scripted::with(&[FAILING]);
    assert!(read(&HedgedStore::with(inner.clone(), PATIENT)).await.is_err());
    assert_eq!(inner.asked().len(), 1);
}

#[tokio::test]
async fn a_body_that_hangs_is_taken_up_where_it_stopped() {
    let inner = Scripted::with(&[HANGING, HANGING, PROMPT]);
    let timing = Timing { stall: EAGER.stall, ..PATIENT };
    let store = HedgedStore::with(inner.clone(), timing);
    assert_eq!(read(&store).await.unwrap(), expected(20..80));
    assert_eq!(inner.asked(), [20..80, 30..80, 40..80]);
}

#[tokio::test]
async fn a_store_that_is_slow_for_all_is_not_asked_twice_as_much() {
    let inner = Scripted::with(&[SLOW]);
    let store = HedgedStore::with(inner.clone(), EAGER);
    for _ in 0..400 {
        read(&store).await.unwrap();
    }
    let asked = inner.asked().len() as u64;
    assert!(asked > 400 && asked <= 400 + 400 * EARNED / COST + MOST_SAVED / COST, "{asked}");
}
