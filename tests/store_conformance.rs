//! One suite for every object store: what the port promises, plain and behind a fault injector.
//!
//! Each case works below a folder of its own, so all of them can share one store.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, that is how it fails")]

mod support;

use bytes::Bytes;
use evertape::media::ObjectKey;
use evertape::store::faults::{Fault, Operation};
use evertape::store::{
    DirectoryStore, FaultyStore, ObjectInfo, ObjectStore, Put, Result, S3Store, Secret, StoreError, StoreErrorKind,
    read_all,
};
use futures::StreamExt;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

type Store = dyn ObjectStore;

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).unwrap_or_else(|| panic!("{text:?} is no key"))
}

/// Bytes that differ everywhere, so that a shifted range shows.
fn body(size: usize, seed: u64) -> Bytes {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        bytes.extend_from_slice(&random(&mut state).to_le_bytes());
    }
    bytes.truncate(size);
    bytes.into()
}

/// xorshift64*; the same numbers in every run.
fn random(state: &mut u64) -> u64 {
    *state = (*state).max(1);
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

async fn put(store: &Store, name: &str, body: impl Into<Bytes>) -> Put {
    store.put(&key(name), body.into(), "video/mp4").await.unwrap()
}

async fn get_error(store: &Store, name: &str, range: std::ops::Range<u64>) -> StoreErrorKind {
    match store.get(&key(name), range.clone()).await {
        Ok(_) => panic!("get {name} {range:?} gave a stream"),
        Err(error) => error.kind,
    }
}

async fn names(store: &Store, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    let after = after.map(key);
    let listed = store.list(prefix, after.as_ref(), limit).await.unwrap();
    listed.into_iter().map(|info| info.key.to_string()).collect()
}

async fn round_trips(store: &Store) {
    for size in [0, 1, 1 << 20, (9 << 20) + 3] {
        let (name, bytes) = (format!("round/trip/{size}.mp4"), body(size, 7));
        assert_eq!(put(store, &name, bytes.clone()).await, Put::Written, "{size}");
        assert_eq!(store.head(&key(&name)).await.unwrap(), size as u64);
        if size > 0 {
            assert!(read_all(store, &key(&name), 0..u64::MAX).await.unwrap() == bytes, "{size} bytes differ");
            assert!(read_all(store, &key(&name), 0..size as u64).await.unwrap() == bytes, "{size} bytes differ");
        }
    }
    store.ping().await.unwrap();
}

async fn an_object_stays_as_it_was_written(store: &Store) {
    assert_eq!(put(store, "twice/x", "first").await, Put::Written);
    assert_eq!(put(store, "twice/x", "the second").await, Put::AlreadyThere);
    assert_eq!(read_all(store, &key("twice/x"), 0..99).await.unwrap(), "first");
    store.delete(&[key("twice/x")]).await.unwrap();
    assert_eq!(put(store, "twice/x", "third").await, Put::Written);
    assert_eq!(read_all(store, &key("twice/x"), 0..99).await.unwrap(), "third");
}

async fn ranges_are_exact(store: &Store) {
    let size = 3 * (256 << 10) + 1234;
    let bytes = body(size, 11);
    put(store, "ranges/x", bytes.clone()).await;
    let size = size as u64;
    let piece = 256 << 10;
    let mut ranges = vec![
        0..1,
        0..size,
        1..size,
        size - 1..size,
        size - 1..size + 1,
        size - 5..u64::MAX,
        piece - 1..piece + 1,
        piece..2 * piece,
        piece..2 * piece + 1,
        2 * piece - 7..size + 5000,
    ];
    let mut state = 3;
    for _ in 0..20 {
        let start = random(&mut state) % size;
        ranges.push(start..start + 1 + random(&mut state) % size);
    }
    for range in ranges {
        let got = read_all(store, &key("ranges/x"), range.clone()).await.unwrap();
        let want = bytes.slice(range.start as usize..range.end.min(size) as usize);
        assert!(got == want, "{range:?}: {} bytes for {}", got.len(), want.len());
    }
    for start in [size, size + 1, 1 << 40, u64::MAX - 1] {
        let kind = get_error(store, "ranges/x", start..start + 1).await;
        assert_eq!(kind, StoreErrorKind::RangeNotSatisfiable, "{start}");
    }
    // A stream that is not read to its end harms nobody.
    let mut stream = store.get(&key("ranges/x"), 0..size).await.unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    drop(stream);
    // An empty range is a mistake of the caller, not an empty answer.
    assert!(store.get(&key("ranges/x"), 5..5).await.is_err());
}

async fn an_empty_object_has_no_range(store: &Store) {
    put(store, "empty/x", "").await;
    assert_eq!(store.head(&key("empty/x")).await.unwrap(), 0);
    assert_eq!(get_error(store, "empty/x", 0..1).await, StoreErrorKind::RangeNotSatisfiable);
    assert_eq!(get_error(store, "empty/x", 0..u64::MAX).await, StoreErrorKind::RangeNotSatisfiable);
    assert_eq!(store.list("empty/", None, 9).await.unwrap(), [ObjectInfo { key: key("empty/x"), object_bytes: 0 }]);
}

async fn what_is_not_there_is_not_found(store: &Store) {
    put(store, "missing/here", "x").await;
    for name in ["missing/not", "missing/here-", "missing/her", "nowhere/at/all"] {
        assert_eq!(store.head(&key(name)).await.unwrap_err().kind, StoreErrorKind::NotFound, "{name}");
        for range in [0..1, 7..9, 0..u64::MAX, 1 << 50..u64::MAX] {
            assert_eq!(get_error(store, name, range.clone()).await, StoreErrorKind::NotFound, "{name} {range:?}");
        }
    }
}

async fn deleting_is_idempotent_and_takes_many(store: &Store) {
    store.delete(&[]).await.unwrap();
    store.delete(&[key("delete/never-there")]).await.unwrap();
    let many: Vec<ObjectKey> = (0..60).map(|number| key(&format!("delete/many/{number}/x"))).collect();
    for one in many.iter().step_by(2) {
        store.put(one, Bytes::from_static(b"x"), "video/mp4").await.unwrap();
    }
    put(store, "delete/stays", "x").await;
    // Half of them are not there; one is named twice.
    let named: Vec<ObjectKey> = many.iter().cloned().chain([many[0].clone()]).collect();
    store.delete(&named).await.unwrap();
    store.delete(&named).await.unwrap();
    assert_eq!(names(store, "delete/", None, 99).await, ["delete/stays"]);
    assert_eq!(store.head(&many[0]).await.unwrap_err().kind, StoreErrorKind::NotFound);
}

/// More keys than one request of the protocol may name.
async fn deleting_takes_more_than_a_page(store: &Store) {
    let many: Vec<ObjectKey> = (0..1003).map(|number| key(&format!("page/{number}"))).collect();
    for at in [0, 999, 1000, 1002] {
        store.put(&many[at], Bytes::from_static(b"x"), "video/mp4").await.unwrap();
    }
    store.delete(&many).await.unwrap();
    assert_eq!(names(store, "page/", None, 9).await, Vec::<String>::new());
}

async fn listings_are_in_byte_order(store: &Store) {
    // `-` and `.` sort before `/`, digits and letters after it; capitals before small ones; `~` last.
    let mut all: Vec<String> = [
        "a/x", "a-b", "a.b", "a0", "a~", "A/x", "B", "_u/x", "a/x-y/z", "a/x.y", "aa", "a-b-c/d", "ab/c/d", "z", "0/1",
    ]
    .iter()
    .map(|name| format!("list/{name}"))
    .collect();
    // No directory holds both `a/x` and `a/x/y`; so no key is the folder of another here.
    for name in &all {
        put(store, name, name.clone().into_bytes()).await;
    }
    put(store, "list-beside/x", "x").await;
    put(store, "lisu", "x").await;
    all.sort();
    assert_eq!(names(store, "list/", None, 1000).await, all);
    let listed = store.list("list/", None, 1000).await.unwrap();
    assert!(listed.iter().all(|info| info.object_bytes == info.key.as_str().len() as u64));
    // Any string may be a prefix, whether it is a folder, part of a name or no key at all.
    let prefixes = [
        "list/a",
        "list/a/",
        "list/a/x",
        "list/a-",
        "list/a-b",
        "list/a-b-c/",
        "list/A",
        "list/_",
        "list/z",
        "list/zz",
        "list/a/x-y",
        "list/ab/c/d",
        "list/ab/c/d/",
        "list//",
        "list/../list/",
        "/list/",
        "../",
        ".",
        "list/a b",
        "ü",
        "list/\0",
    ];
    for prefix in prefixes {
        let want: Vec<String> = all.iter().filter(|name| name.starts_with(prefix)).cloned().collect();
        assert_eq!(names(store, prefix, None, 1000).await, want, "prefix {prefix:?}");
    }
    // Pages of every size, from every place, there or not.
    for limit in [1, 2, 4, 7, all.len(), all.len() + 1] {
        let mut paged: Vec<String> = Vec::new();
        loop {
            let page = names(store, "list/", paged.last().map(String::as_str), limit).await;
            assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        assert_eq!(paged, all, "pages of {limit}");
    }
    for after in
        ["list/a", "list/a-", "list/a/w", "list/a/x", "list/a/x-y", "list/aaa", "list/zzz", "a", "zzz", "list/ab/c"]
    {
        let want: Vec<String> = all.iter().filter(|name| name.as_str() > after).cloned().collect();
        assert_eq!(names(store, "list/", Some(after), 1000).await, want, "after {after:?}");
        let want: Vec<String> =
            all.iter().filter(|name| name.as_str() > after && name.starts_with("list/a")).take(2).cloned().collect();
        assert_eq!(names(store, "list/a", Some(after), 2).await, want, "two after {after:?}");
    }
    assert_eq!(names(store, "list/", None, 0).await, Vec::<String>::new());
    let everything = names(store, "", None, 100_000).await;
    assert!(everything.is_sorted() && all.iter().all(|name| everything.contains(name)));
}

/// Puts to one key at once, with readers meanwhile: there is one whole body or nothing.
async fn an_object_is_whole_or_not_there(store: &Store) {
    for round in 0..3 {
        let name = key(&format!("race/{round}"));
        let bodies: Vec<Bytes> = (1..=4).map(|seed| body((1 << 20) + seed * 1000, seed as u64)).collect();
        let writers =
            futures::future::join_all(bodies.iter().map(|bytes| store.put(&name, bytes.clone(), "video/mp4")));
        let whole = |bytes: &Bytes| bodies.contains(bytes);
        let reader = async {
            let mut seen = 0;
            for _ in 0..200 {
                match read_all(store, &name, 0..u64::MAX).await {
                    Ok(bytes) => {
                        assert!(whole(&bytes), "half an object of {} bytes", bytes.len());
                        seen += 1;
                    }
                    Err(error) => assert_eq!(error.kind, StoreErrorKind::NotFound, "{error}"),
                }
                if seen == 5 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let (answers, ()) = futures::join!(writers, reader);
        assert!(answers.iter().any(|answer| matches!(answer, Ok(Put::Written))), "{answers:?}");
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        let last = read_all(store, &name, 0..u64::MAX).await.unwrap();
        assert!(whole(&last));
    }
}

/// Calls again until it succeeds, as the services do.
async fn insist<T>(mut call: impl AsyncFnMut() -> Result<T>) -> T {
    for _ in 0..100 {
        match call().await {
            Ok(value) => return value,
            Err(error) if error.kind == StoreErrorKind::Unavailable => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("a hundred failures in a row");
}

/// What a call gives in the end, when only `Unavailable` is tried again.
async fn outcome<T>(mut call: impl AsyncFnMut() -> Result<T>) -> Result<T, StoreErrorKind> {
    insist(async || match call().await {
        Ok(value) => Ok(Ok(value)),
        Err(error) if error.kind == StoreErrorKind::Unavailable => Err(error),
        Err(error) => Ok(Err(error.kind)),
    })
    .await
}

/// Random calls against a map that is right by definition. Behind faults a put may have happened without
/// its caller knowing; everything else is the same.
async fn acts_like_a_map(store: &Store, folder: &str, seed: u64, steps: usize, faulty: bool) {
    let mut state = seed;
    let mut model: BTreeMap<String, Bytes> = BTreeMap::new();
    for step in 0..steps {
        let number = random(&mut state) % 12;
        // Folders and objects never share a name: objects end with a letter, folders with a digit.
        let name = match number % 3 {
            0 => format!("{folder}/{}x", number / 3),
            1 => format!("{folder}/d{}/{}y", number % 2, number / 3),
            _ => format!("{folder}/d{}-/e/{}z", number % 2, number / 3),
        };
        let at = key(&name);
        let say = || format!("seed {seed}, step {step}, {name}");
        match random(&mut state) % 6 {
            0 | 1 => {
                let bytes = body((random(&mut state) % 5000) as usize, random(&mut state));
                let put = insist(async || store.put(&at, bytes.clone(), "video/mp4").await).await;
                let want = if model.contains_key(&name) { Put::AlreadyThere } else { Put::Written };
                assert!(put == want || faulty && put == Put::AlreadyThere, "{}: {put:?}", say());
                model.entry(name.clone()).or_insert(bytes);
            }
            2 => {
                let start = random(&mut state) % 5000;
                let range = start..start + 1 + random(&mut state) % 5000;
                let got = outcome(async || read_all(store, &at, range.clone()).await).await;
                let want = match model.get(&name) {
                    None => Err(StoreErrorKind::NotFound),
                    Some(bytes) if start >= bytes.len() as u64 => Err(StoreErrorKind::RangeNotSatisfiable),
                    Some(bytes) => Ok(bytes.slice(start as usize..bytes.len().min(range.end as usize))),
                };
                assert!(got == want, "{}: {range:?}", say());
            }
            3 => {
                let got = outcome(async || store.head(&at).await).await;
                let want = model.get(&name).map(|bytes| bytes.len() as u64).ok_or(StoreErrorKind::NotFound);
                assert_eq!(got, want, "{}", say());
            }
            4 => {
                let mut keys = vec![at.clone()];
                keys.extend(model.keys().filter(|_| random(&mut state).is_multiple_of(4)).map(|name| key(name)));
                insist(async || store.delete(&keys).await).await;
                model.retain(|name, _| !keys.contains(&key(name)));
            }
            _ => {
                let limit = (random(&mut state) % 8) as usize;
                let prefix =
                    if random(&mut state).is_multiple_of(2) { format!("{folder}/") } else { format!("{folder}/d1") };
                let after = random(&mut state).is_multiple_of(2).then_some(&at);
                let got = insist(async || store.list(&prefix, after, limit).await).await;
                let want: Vec<ObjectInfo> = model
                    .iter()
                    .filter(|(name, _)| {
                        name.starts_with(&prefix) && after.is_none_or(|after| name.as_str() > after.as_str())
                    })
                    .take(limit)
                    .map(|(name, bytes)| ObjectInfo { key: key(name), object_bytes: bytes.len() as u64 })
                    .collect();
                assert_eq!(got, want, "{}: list {prefix} after {after:?} limit {limit}", say());
            }
        }
    }
    let names = insist(async || store.list(&format!("{folder}/"), None, 100).await).await;
    assert_eq!(names.len(), model.len());
    for (name, bytes) in &model {
        if !bytes.is_empty() {
            let got = insist(async || read_all(store, &key(name), 0..u64::MAX).await).await;
            assert!(got == bytes, "seed {seed}: {name} differs in the end");
        }
    }
}

async fn random_calls(store: &Store) {
    for seed in 1..=2 {
        acts_like_a_map(store, &format!("model{seed}"), seed, 150, false).await;
    }
}

/// The same behind failures before, failures after the fact, delays and broken streams.
async fn retried_until_done_it_ends_the_same(store: impl ObjectStore) {
    let faulty = FaultyStore::seeded(store, 42, 40);
    acts_like_a_map(&faulty, "faulty", 5, 200, true).await;
    assert!(faulty.injected() > 50, "only {} faults", faulty.injected());
}

/// Everything above on one store, for those that are dear to start.
async fn whole_suite(store: impl ObjectStore) {
    round_trips(&store).await;
    an_object_stays_as_it_was_written(&store).await;
    ranges_are_exact(&store).await;
    an_empty_object_has_no_range(&store).await;
    what_is_not_there_is_not_found(&store).await;
    deleting_is_idempotent_and_takes_many(&store).await;
    deleting_takes_more_than_a_page(&store).await;
    an_object_is_whole_or_not_there(&store).await;
    random_calls(&store).await;
    listings_are_in_byte_order(&store).await;
    retried_until_done_it_ends_the_same(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_keeps_the_promises() {
    let folder = tempfile::tempdir().unwrap();
    whole_suite(DirectoryStore::open(folder.path()).unwrap()).await;
    let left = std::fs::read_dir(folder.path().join(".evertape/tmp")).unwrap().count();
    assert_eq!(left, 0, "unfinished files are left");
}

#[tokio::test]
async fn a_quick_s3_keeps_the_promises() {
    let s3 = support::s3::s3s_fs().await;
    whole_suite(s3.store()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_s3_keeps_the_promises() {
    let s3 = support::s3::s3().await;
    whole_suite(s3.store()).await;
    // Another prefix of the same bucket is another store.
    let mut config = s3.config();
    config.prefix.push_str("-other");
    let other = S3Store::new(config).unwrap();
    assert_eq!(names(&other, "", None, 9).await, Vec::<String>::new());
    wrong_credentials_are_refused(&s3).await;
    let mut config = s3.config();
    config.bucket = "no-such-bucket-here".to_owned();
    everything_is_refused(&S3Store::new(config).unwrap(), &s3.secret_key).await;
}

async fn wrong_credentials_are_refused(s3: &support::s3::TestS3) {
    let secret = "d00d".repeat(16);
    let mut config = s3.config();
    config.secret_key = Some(Secret::new(secret.clone()));
    everything_is_refused(&S3Store::new(config).unwrap(), &secret).await;
}

async fn everything_is_refused(store: &S3Store, secret: &str) {
    let errors: [StoreError; 6] = [
        store.put(&key("x"), Bytes::from_static(b"1"), "video/mp4").await.unwrap_err(),
        store.get(&key("x"), 0..1).await.err().unwrap(),
        store.head(&key("x")).await.unwrap_err(),
        store.delete(&[key("x"), key("y")]).await.unwrap_err(),
        store.list("", None, 1).await.unwrap_err(),
        store.ping().await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind, StoreErrorKind::Refused, "{error}");
        let text = format!("{error} {error:?} {store:?}");
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test]
async fn a_quick_s3_refuses_wrong_credentials() {
    wrong_credentials_are_refused(&support::s3::s3s_fs().await).await;
}

#[tokio::test]
async fn a_dead_endpoint_is_unavailable_in_bounded_time() {
    let mut config = support::s3::s3s_fs().await.config();
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    config.endpoint = Some(format!("http://{unused}"));
    let store = S3Store::new(config).unwrap();
    let started = Instant::now();
    let kinds = [
        store.ping().await.unwrap_err().kind,
        store.put(&key("x"), Bytes::from_static(b"1"), "video/mp4").await.unwrap_err().kind,
        store.get(&key("x"), 0..1).await.err().unwrap().kind,
        store.head(&key("x")).await.unwrap_err().kind,
        store.delete(&[key("x")]).await.unwrap_err().kind,
        store.list("", None, 1).await.unwrap_err().kind,
    ];
    assert_eq!(kinds, [StoreErrorKind::Unavailable; 6]);
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[tokio::test]
async fn the_fault_injector_does_as_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = FaultyStore::scripted(
        DirectoryStore::open(folder.path()).unwrap(),
        [
            (Operation::Put, Fault::FailBefore),
            (Operation::Get, Fault::CutStream),
            (Operation::Put, Fault::FailAfter),
            (Operation::Delete, Fault::FailAfter),
            (Operation::List, Fault::Delay(Duration::from_millis(20))),
        ],
    );
    let (at, bytes) = (key("a/b"), body(1000, 1));
    let put = async || store.put(&at, bytes.clone(), "video/mp4").await;
    assert_eq!(put().await.unwrap_err().kind, StoreErrorKind::Unavailable);
    assert_eq!(store.head(&at).await.unwrap_err().kind, StoreErrorKind::NotFound, "it failed before");
    assert_eq!(put().await.unwrap_err().kind, StoreErrorKind::Unavailable);
    assert_eq!(store.head(&at).await.unwrap(), 1000, "it failed after");
    assert_eq!(put().await.unwrap(), Put::AlreadyThere);
    let pieces: Vec<Result<Bytes>> = store.get(&at, 0..900).await.unwrap().collect().await;
    let whole: Vec<u8> = pieces.iter().flatten().flat_map(|piece| piece.to_vec()).collect();
    assert_eq!(whole, bytes[..450]);
    assert_eq!(pieces.last().unwrap().as_ref().unwrap_err().kind, StoreErrorKind::Unavailable);
    assert!(read_all(&store, &at, 0..1000).await.unwrap() == bytes, "only the first is cut");
    assert!(store.delete(std::slice::from_ref(&at)).await.is_err());
    assert_eq!(store.head(&at).await.unwrap_err().kind, StoreErrorKind::NotFound);
    let started = Instant::now();
    assert_eq!(store.list("", None, 9).await.unwrap(), []);
    assert!(started.elapsed() >= Duration::from_millis(20));
    store.set_down(true);
    assert!(store.ping().await.is_err() && put().await.is_err());
    store.set_down(false);
    store.ping().await.unwrap();
    assert_eq!(store.injected(), 7);
}
