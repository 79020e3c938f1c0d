//! A hundred thousand damaged addresses, put to a whole playback node in this process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod web_bed;

use axum::body::{Body, to_bytes};
use futures::StreamExt;
use http::{Method, Request, StatusCode, header};
use std::collections::BTreeMap;
use web_bed::{Bed, OTHER_BYTES};

const MUTATIONS: usize = 100_000;
const PIECES: &[&str] = &[
    "%",
    "%00",
    "%2f",
    "..",
    "/",
    "-",
    "0",
    "9999999999999999999",
    "now",
    "=",
    "&",
    "?",
    "é",
    "%ff",
    ".",
    ",",
    "v1",
    "a1",
    "2",
    "_HLS_skip=YES",
    "iframes",
    "mono",
    ".ts",
    ".fmp4",
    "%2e",
];

/// A generator with a seed (Knuth, MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }
}

async fn seeds(bed: &Bed) -> Vec<String> {
    let (segments, init) = bed.media().await;
    let (base, _) = segments[3].rsplit_once('/').unwrap();
    let hash = init.trim_start_matches("init/").trim_end_matches(".mp4");
    let f = bed.from;
    let mut seeds = bed.texts();
    seeds.extend([segments[0].clone(), segments[9].clone(), init.clone()]);
    seeds.extend([format!("{base}/v1a1.ts"), format!("{base}/v1a1a2.m4s"), format!("init/{hash}-{hash}.mp4")]);
    seeds.extend([format!("archive-{f}-30.mp4"), format!("tracks-1,2/archive-{f}-30.mp4")]);
    seeds.extend([format!("index.m3u8?utc={f}&lutc={f}"), "ranges.json?limit=3&cursor=5".to_owned()]);
    seeds.extend([format!("archive/{f}/now/index.m3u8"), "2026/01/02/03/04/05-preview.mp4".to_owned()]);
    seeds.extend([format!("mono-{f}-60.ts.m3u8"), format!("video-{f}-now.m3u8"), "preview.mp4".to_owned()]);
    seeds.extend([format!("tracks-v1/iframes-{f}-60.fmp4.m3u8"), "index.ts.m3u8".to_owned()]);
    seeds.extend([format!("timeshift_abs/{f}"), "timeshift_rel-3500.ts".to_owned(), format!("{f}-preview.mp4")]);
    seeds.extend([format!("timeshift_abs_video-{f}.m3u8"), "index.fmp4-timeshift_rel-3500.m3u8".to_owned()]);
    seeds.extend([format!("tracks-v1/index-{f}-now.fmp4.m3u8?_HLS_skip=YES"), format!("archive/{f}/60/mono.m3u8")]);
    seeds
}

fn mutated(seed: &str, random: &mut Random) -> String {
    let mut bytes = format!("/demo/{seed}").into_bytes();
    for _ in 0..1 + random.below(2) {
        // Seldom in the stream's name: what would follow is not read at all.
        let first = if random.below(8) == 0 { 1 } else { 6 };
        let at = first.min(bytes.len() - 1);
        let at = at + random.below(bytes.len() - at);
        match random.below(6) {
            0 => bytes[at] = b"0123456789-_/.%?=&abcvxz~+*"[random.below(27)],
            1 => drop(bytes.remove(at)),
            2 => drop(bytes.splice(at..at, PIECES[random.below(PIECES.len())].bytes())),
            3 => bytes[at] = random.below(256) as u8,
            4 => bytes = [b"/demo2/", &bytes[bytes.len().min(6)..]].concat(),
            _ => bytes.truncate(at.max(2)),
        }
        if bytes.len() < 2 {
            bytes = b"/x".to_vec();
        }
    }
    String::from_utf8_lossy(&bytes).chars().filter(|c| !c.is_control() && *c != ' ').collect()
}

/// Nothing in an answer to `path` is of the stream that it does not name.
fn check_owner(path: &str, content_type: &str, body: &[u8]) {
    let name = path.split('?').next().unwrap();
    let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy().into_owned();
    let other = match name.split('/').nth(1) {
        Some("demo") => true,
        Some("demo2") => false,
        _ => panic!("{path}: something was found of a stream that is not there"),
    };
    if content_type.starts_with("video/") {
        let foreign = |b: u8| (b > OTHER_BYTES && b <= OTHER_BYTES + 20) == other && (b <= OTHER_BYTES + 20 && b > 0);
        let longest = body.chunk_by(|a, b| a == b).filter(|run| foreign(run[0])).map(<[u8]>::len).max();
        // Short runs are numbers in boxes.
        assert!(longest.unwrap_or(0) < 16, "{path}: samples of another stream");
    } else {
        let text = String::from_utf8_lossy(body);
        let listed = text.lines().filter(|l| l.contains("segment/") && l.contains(".m4s") && !l.contains("gap.m4s"));
        for line in listed {
            assert_eq!(line.contains("-eeeeeeeeeeeeeeee"), !other, "{path}: {line}");
        }
        assert!(!(other && text.contains("demo2")), "{path}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mutated_addresses_always_get_an_answer() {
    let bed = Bed::with_sample_bytes(20).await;
    bed.add_stream("demo2").await;
    let seeds = seeds(&bed).await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8u64 {
        let (seeds, service) = (seeds.clone(), bed.service());
        tasks.spawn(async move {
            let mut random = Random(0x5eed + task);
            let mut seen: BTreeMap<u16, u32> = BTreeMap::new();
            for n in 0..MUTATIONS / 8 {
                let path = mutated(&seeds[n % seeds.len()], &mut random);
                let method = if random.below(10) == 0 { Method::HEAD } else { Method::GET };
                let Ok(request) = Request::builder().method(method.clone()).uri(&path).body(Body::empty()) else {
                    // No client can send it.
                    *seen.entry(0).or_default() += 1;
                    continue;
                };
                let answer = service.answer(request).await;
                let (parts, body) = answer.into_parts();
                let value = |name| parts.headers.get(name).map_or("", |v: &http::HeaderValue| v.to_str().unwrap());
                let endless = value(header::CONTENT_TYPE) == "video/mp2t" && value(header::CONTENT_LENGTH).is_empty();
                let body = if endless && method == Method::GET {
                    // Of what has no end, the first piece.
                    body.into_data_stream().next().await.unwrap_or_else(|| panic!("{path}: nothing")).unwrap()
                } else {
                    to_bytes(body, 64 << 20).await.unwrap_or_else(|e| panic!("{path}: {e}"))
                };
                *seen.entry(parts.status.as_u16()).or_default() += 1;
                if parts.status == StatusCode::OK {
                    check_owner(&path, value(header::CONTENT_TYPE), &body);
                    continue;
                }
                assert!(parts.status.is_client_error(), "{path}: {}", parts.status);
                assert_eq!(value(header::CONTENT_TYPE), "application/problem+json", "{path}");
                let kept = value(header::CACHE_CONTROL);
                assert!(matches!(kept, "no-store" | "max-age=1" | "max-age=2"), "{path}: {kept}");
                if method == Method::GET {
                    let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
                    let detail = json["detail"].as_str().unwrap();
                    assert!(detail.len() > 10 && detail.ends_with('.') && detail.contains(' '), "{path}: {detail}");
                }
            }
            seen
        });
    }
    let mut seen: BTreeMap<u16, u32> = BTreeMap::new();
    while let Some(counts) = tasks.join_next().await {
        counts.unwrap().into_iter().for_each(|(status, n)| *seen.entry(status).or_default() += n);
    }
    let of = |status| seen.get(&status).copied().unwrap_or(0);
    assert!(of(200) > 10_000 && of(400) > 2_000 && of(404) > 20_000, "too tame or too wild: {seen:?}");
    assert!(of(0) < 5_000, "too many that cannot be sent: {seen:?}");
}
