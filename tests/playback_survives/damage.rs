//! Objects that are no more what was written: whatever is asked for is answered with the right bytes, or not at all.

use crate::web_bed::{Bed, SEGMENTS, options};
use bytes::{Bytes, BytesMut};
use evertape::store::{DirectoryStore, ObjectStore};
use evertape::web::{self, Service};
use futures::StreamExt;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Kinds of damage done, each to an object of its own.
const ROUNDS: u64 = 60;

/// Numbers that follow from a seed (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn random_range(&mut self, range: Range<usize>) -> usize {
        range.start + (self.next() % (range.end - range.start) as u64) as usize
    }
}

/// What an answer came to.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The whole body.
    Whole(u16, Bytes),
    /// It broke off after these bytes.
    Broken(u16, Bytes),
}

/// One request: a name of its kind, path, range.
type Request = (&'static str, String, Option<String>);

async fn ask(service: &Service, path: &str, range: Option<&str>) -> Outcome {
    let mut request = http::Request::get(format!("/demo/{path}"));
    if let Some(range) = range {
        request = request.header("range", range);
    }
    let answer = service.answer(request.body(axum::body::Body::empty()).unwrap()).await;
    let status = answer.status().as_u16();
    let mut body = answer.into_body().into_data_stream();
    let mut bytes = BytesMut::new();
    while let Some(piece) = body.next().await {
        match piece {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(_) => return Outcome::Broken(status, bytes.freeze()),
        }
    }
    Outcome::Whole(status, bytes.freeze())
}

/// Requests that read media, of every kind.
async fn requests(bed: &Bed) -> Vec<Request> {
    let f = bed.from;
    let mut requests: Vec<Request> = Vec::new();
    for (kind, playlist) in [
        ("fmp4 video", format!("tracks-v1/index-{f}-300.fmp4.m3u8")),
        ("fmp4 sound", format!("tracks-a2/index-{f}-300.fmp4.m3u8")),
        ("fmp4 muxed", format!("mono-{f}-300.fmp4.m3u8")),
        ("ts", format!("tracks-v1a1/index-{f}-300.ts.m3u8")),
    ] {
        let list = bed.text(&playlist).await;
        let segments: Vec<&str> =
            list.lines().filter(|l| !l.starts_with('#')).map(|l| l.trim_start_matches("../")).collect();
        assert_eq!(segments.len() as u64, 2 * SEGMENTS, "{list}");
        for segment in segments {
            requests.push((kind, segment.to_owned(), None));
            requests.push((kind, segment.to_owned(), Some("bytes=500-899".into())));
        }
    }
    for path in [format!("archive-{f}-200.mp4"), format!("tracks-a1/archive-{}-31.mp4", f + 3)] {
        requests.push(("mp4 export", path.clone(), None));
        requests.push(("mp4 export", path.clone(), Some("bytes=-3000".into())));
        requests.push(("mp4 export", path, Some("bytes=20000-160000".into())));
    }
    requests.push(("ts export", format!("archive-{f}-200.ts"), None));
    requests.push(("ts export", format!("archive-{f}-200.ts"), Some("bytes=188000-376000".into())));
    for n in 0..SEGMENTS as i64 {
        requests.push(("preview", format!("{}-preview.mp4", f + 6 * n + 4), None));
    }
    requests
}

/// Damages one object; says how.
fn damage(bed: &Bed, rng: &mut Random) -> (std::path::PathBuf, Vec<u8>, String) {
    let n = rng.random_range(0..bed.keys.len());
    let path = bed.object_path(n);
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    let at = rng.random_range(0..bad.len());
    let how = match rng.random_range(0..8) {
        0 | 1 => {
            bad[at] ^= 1 << rng.random_range(0..8);
            format!("a bit at {at}")
        }
        2 => {
            bad.truncate(at);
            format!("cut at {at}")
        }
        3 => {
            let to = (at + rng.random_range(1..5000)).min(bad.len());
            bad[at..to].fill(0);
            format!("zeros from {at} to {to}")
        }
        4 => {
            let to = (at + rng.random_range(1..600)).min(bad.len());
            bad[at..to].iter_mut().for_each(|b| *b = rng.next() as u8);
            format!("noise from {at} to {to}")
        }
        5 => {
            let other = (n + rng.random_range(1..bed.keys.len())) % bed.keys.len();
            bad = std::fs::read(bed.object_path(other)).unwrap();
            format!("object {other} in its place")
        }
        6 => {
            let gone = rng.random_range(1..2000).min(bad.len() - at);
            bad.drain(at..at + gone);
            format!("{gone} bytes missing at {at}")
        }
        _ => {
            bad.clear();
            "nothing left".to_owned()
        }
    };
    std::fs::write(&path, &bad).unwrap();
    (path, good, format!("object {n}: {how}"))
}

async fn whatever_is_damaged(is_near: bool) {
    let bed = Bed::new().await;
    let node = || {
        let index = Arc::new(bed.index.clone());
        let store: Arc<dyn ObjectStore> = match is_near {
            true => Arc::new(DirectoryStore::open(&bed.dir.path().join("objects")).unwrap()),
            false => bed.store.clone(),
        };
        web::service(store, index, options(), CancellationToken::new())
    };
    let requests = requests(&bed).await;
    let mut expected = Vec::new();
    let whole = node();
    for (kind, path, range) in &requests {
        let Outcome::Whole(status, bytes) = ask(&whole, path, range.as_deref()).await else {
            panic!("{path} broke off")
        };
        assert_eq!(status, if range.is_some() { 206 } else { 200 }, "{kind}: {path}");
        expected.push((status, bytes));
    }
    let mut refused: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..ROUNDS {
        let mut rng = Random(seed);
        let (file, good, how) = damage(&bed, &mut rng);
        let node = node();
        for ((kind, path, range), (status, right)) in requests.iter().zip(&expected) {
            let what = format!("seed {seed}, {how}: {kind} {path} {range:?}");
            match ask(&node, path, range.as_deref()).await {
                Outcome::Whole(s, bytes) if s == *status => assert!(bytes == right, "{what}: wrong media"),
                Outcome::Whole(404 | 416 | 500 | 503, bytes) => {
                    assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok(), "{what}");
                    *refused.entry(kind).or_default() += 1;
                }
                Outcome::Broken(s, bytes) if s == *status => {
                    assert!(
                        bytes.len() < right.len() && right.starts_with(&bytes),
                        "{what}: wrong media, then nothing"
                    );
                    *refused.entry(kind).or_default() += 1;
                }
                other => panic!("{what}: {other:?}"),
            }
        }
        std::fs::write(&file, good).unwrap();
        // What was damaged on the way only, or was mended, plays again at once.
        for ((kind, path, range), (status, right)) in requests.iter().zip(&expected).skip(seed as usize % 7).step_by(7)
        {
            let again = ask(&node, path, range.as_deref()).await;
            assert!(again == Outcome::Whole(*status, right.clone()), "{kind} {path} after the object was mended");
        }
    }
    println!("{ROUNDS} damaged objects, answers refused or broken off (near: {is_near}): {refused:?}");
    for kind in ["fmp4 video", "fmp4 sound", "fmp4 muxed", "ts", "mp4 export", "ts export", "preview"] {
        assert!(refused.get(kind).is_some_and(|n| *n > 0), "no damage was noticed in {kind}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_folder() {
    whatever_is_damaged(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_store_elsewhere() {
    whatever_is_damaged(false).await;
}

/// Stream mode leaves a damaged segment out and goes on: every packet that is sent is one that an undamaged recording
/// gives, too.
#[tokio::test(flavor = "multi_thread")]
async fn stream_mode_leaves_it_out() {
    for large in [false, true] {
        let bed = Bed::with_sample_bytes(if large { 20_000 } else { 1000 }).await;
        let path = format!("timeshift_abs/{}", bed.from);
        let take = async |bytes: usize| {
            let node = bed.service();
            let answer =
                node.answer(http::Request::get(format!("/demo/{path}")).body(axum::body::Body::empty()).unwrap()).await;
            assert_eq!(answer.status(), 200);
            let mut body = answer.into_body().into_data_stream();
            let mut taken = BytesMut::new();
            while taken.len() < bytes {
                taken.extend_from_slice(&body.next().await.expect("it goes on").expect("it does not break off"));
            }
            taken.freeze()
        };
        // As much as it sends at once.
        let right = take(if large { 4 << 20 } else { 200_000 }).await;
        // The pictures of the first segment: another bit in the middle of them.
        let file = bed.object_path(0);
        let mut bad = std::fs::read(&file).unwrap();
        let middle = bad.len() / 4;
        bad[middle] ^= 0x10;
        std::fs::write(&file, &bad).unwrap();
        let without = take(50_000).await;
        assert_eq!(without[0], 0x47);
        assert_ne!(without[..40_000], right[..40_000], "the damage was not noticed");
        // Each sample of segment n is made of the byte n + 1: nothing of the first is there.
        let payload = |ts: &[u8], byte: u8| ts.windows(16).filter(|w| w.iter().all(|b| *b == byte)).count();
        assert!(payload(&right, 1) > 1000 && payload(&without, 1) == 0);
        assert!(payload(&without, 2) > 1000, "it does not go on with the second");
    }
}
