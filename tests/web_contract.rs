//! The contract with browsers and CDNs: who may read, what is compressed, where media is fetched.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;
mod web_bed;

use evertape::media::ObjectKey;
use evertape::store::{ObjectStore, read_all};
use std::io::Read;
use std::sync::Arc;
use web_bed::Bed;

const TRUSTED: &str = "https://tv.example";

fn header<'a>(answer: &'a reqwest::Response, name: &str) -> &'a str {
    answer.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
}

fn vary(answer: &reqwest::Response) -> Vec<String> {
    let lines = answer.headers().get_all("vary").iter();
    lines.flat_map(|v| v.to_str().unwrap().split(',').map(|n| n.trim().to_ascii_lowercase())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_for_named_origins_only() {
    let bed = Bed::new().await;
    let (segments, init) = bed.media().await;
    let base = bed.node_with(|options| options.cors_origins = vec![TRUSTED.to_owned()]).await;
    let root = base.trim_end_matches("/demo").to_owned();
    let list = format!("tracks-v1/index-{}-60.m3u8", bed.from);
    let export = format!("archive-{}-30.mp4", bed.from);
    let demo = |path: &str| format!("{base}/{path}");
    for url in [demo(&list), demo(&segments[0]), demo(&init), demo(&export), demo("nothing"), format!("{root}/healthz")]
    {
        let ask = |origin: Option<&str>, method: reqwest::Method| {
            let request = bed.client.request(method, &url);
            let request = match origin {
                Some(origin) => request.header("origin", origin).header("access-control-request-method", "GET"),
                None => request,
            };
            request.header("access-control-request-headers", "range, x-token").send()
        };
        for method in [reqwest::Method::GET, reqwest::Method::HEAD, reqwest::Method::OPTIONS] {
            let trusted = ask(Some(TRUSTED), method.clone()).await.unwrap();
            assert_eq!(header(&trusted, "access-control-allow-origin"), TRUSTED, "{method} {url}");
            assert_eq!(header(&trusted, "access-control-allow-credentials"), "true", "{method} {url}");
            assert!(vary(&trusted).contains(&"origin".to_owned()), "{method} {url}");
            for origin in [Some("https://other.example"), Some("https://tv.example.evil"), Some("null"), None] {
                let other = ask(origin, method.clone()).await.unwrap();
                assert_eq!(header(&other, "access-control-allow-origin"), "*", "{method} {url} {origin:?}");
                assert_eq!(header(&other, "access-control-allow-credentials"), "", "{method} {url} {origin:?}");
                // Or a cache would give this answer to the trusted one.
                assert!(vary(&other).contains(&"origin".to_owned()), "{method} {url} {origin:?}");
            }
        }
        // `*` does not stand for all headers where credentials are sent.
        let preflight = ask(Some(TRUSTED), reqwest::Method::OPTIONS).await.unwrap();
        assert_eq!(
            (preflight.status().as_u16(), header(&preflight, "access-control-allow-headers")),
            (200, "range, x-token")
        );
        // A node that trusts nobody gives everyone the same.
        let path = url.trim_start_matches(&root);
        let open =
            bed.client.get(format!("http://{}{path}", bed.address)).header("origin", TRUSTED).send().await.unwrap();
        assert_eq!(header(&open, "access-control-allow-origin"), "*", "{url}");
        assert!(!vary(&open).contains(&"origin".to_owned()), "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_are_compressed_as_the_client_likes() {
    let bed = Bed::new().await;
    for path in bed.texts() {
        let plain = bed.text(&path).await;
        if plain.contains("timeshift") {
            // Holds a delay made of `now`.
            continue;
        }
        for (accepted, coding) in
            [("gzip", "gzip"), ("gzip, br, zstd", "zstd"), ("zstd;q=0.1, gzip", "gzip"), ("br", ""), ("identity", "")]
        {
            let answer = bed.with(&path, &[("accept-encoding", accepted)]).await;
            assert_eq!(header(&answer, "content-encoding"), coding, "{path} {accepted}");
            assert!(vary(&answer).contains(&"accept-encoding".to_owned()), "{path}");
            let length = header(&answer, "content-length").to_owned();
            let url = format!("{}/{path}", bed.base);
            let head = bed.client.head(&url).header("accept-encoding", accepted).send().await.unwrap();
            assert_eq!(header(&head, "content-length"), length, "{path} {accepted}");
            assert_eq!(header(&head, "content-encoding"), coding, "{path} {accepted}");
            let body = answer.bytes().await.unwrap();
            assert_eq!(body.len().to_string(), length, "{path} {accepted}");
            let read = match coding {
                "gzip" => {
                    let mut read = Vec::new();
                    flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut read).unwrap();
                    read
                }
                "zstd" => zstd::stream::decode_all(&body[..]).unwrap(),
                _ => body.to_vec(),
            };
            assert_eq!(String::from_utf8(read).unwrap(), plain, "{path} {accepted}");
        }
    }
}

/// A store that others can reach, with all objects of the bed.
async fn reachable(bed: &Bed, s3: &support::s3::TestS3) -> Arc<dyn ObjectStore> {
    let store = Arc::new(s3.store());
    for info in bed.store.list("", None, 1000).await.unwrap() {
        let bytes = read_all(&*bed.store, &info.key, 0..u64::MAX).await.unwrap();
        store.put(&info.key, bytes, "video/mp4").await.unwrap();
    }
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn players_are_sent_to_the_store() {
    let bed = Bed::new().await;
    let s3 = support::s3::s3().await;
    let mut options = web_bed::options();
    options.media_redirect = true;
    let base = bed.node_over(reachable(&bed, &s3).await, options).await;
    let client = reqwest::Client::builder().no_gzip().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let list = client.get(format!("{base}/tracks-a1/index-{}-60.fmp4.m3u8", bed.from)).send().await.unwrap();
    let list = list.text().await.unwrap();
    m3u8_rs::parse_media_playlist_res(list.as_bytes()).unwrap();
    let plain = bed.text(&format!("tracks-a1/index-{}-60.fmp4.m3u8", bed.from)).await;
    let parts: Vec<&str> = plain.lines().filter_map(|l| l.strip_prefix("../")).collect();
    let mut ranges = list.lines().filter_map(|l| l.strip_prefix("#EXT-X-BYTERANGE:"));
    let objects: Vec<&str> = list.lines().filter_map(|l| l.strip_prefix("../segment/")).collect();
    assert_eq!((objects.len(), parts.len()), (10, 10), "{list}");
    for (object, part) in objects.iter().zip(&parts) {
        let url = format!("{base}/segment/{object}");
        let (length, offset) = ranges.next().unwrap().split_once('@').unwrap();
        let (length, offset): (u64, u64) = (length.parse().unwrap(), offset.parse().unwrap());
        let range = format!("bytes={offset}-{}", offset + length - 1);
        let sent_on = client.get(&url).header("range", &range).send().await.unwrap();
        assert_eq!(sent_on.status(), 302, "{url}");
        assert_eq!(header(&sent_on, "access-control-allow-origin"), "*");
        let location = header(&sent_on, "location").to_owned();
        assert!(location.starts_with(&s3.endpoint), "{location}");
        // Kept for less than the address is good for.
        let seconds = |text: &str, before: &str| -> u64 {
            text.split(before).nth(1).unwrap().split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
        };
        let kept = seconds(header(&sent_on, "cache-control"), "max-age=");
        assert!(kept > 0 && kept * 2 <= seconds(&location, "X-Amz-Expires="), "{location}");
        // Without a key of its own, a player gets the same bytes from there.
        let there = client.get(&location).header("range", &range).send().await.unwrap();
        assert_eq!(there.status(), 206);
        let here = bed.get(part).await;
        assert_eq!(there.bytes().await.unwrap(), here.bytes().await.unwrap());
        // An address is signed for GET only: a HEAD is answered here.
        let head = client.head(&url).send().await.unwrap();
        assert_eq!((head.status().as_u16(), header(&head, "accept-ranges")), (200, "bytes"));
    }
    // Init segments and MPEG-TS are not sent on.
    let init = list.split("URI=\"../").nth(1).and_then(|r| r.split('"').next()).unwrap();
    assert_eq!(client.get(format!("{base}/{init}")).send().await.unwrap().status(), 200);
    // A node that is not set up so serves the same addresses itself.
    let url = format!("segment/{}", objects[0]);
    let range = list.split("#EXT-X-BYTERANGE:").nth(1).unwrap().lines().next().unwrap();
    let (length, offset) = range.split_once('@').unwrap();
    let end = offset.parse::<u64>().unwrap() + length.parse::<u64>().unwrap() - 1;
    let here = bed.with(&url, &[("range", &format!("bytes={offset}-{end}"))]).await;
    assert_eq!(here.status(), 206);
    assert_eq!(here.bytes().await.unwrap(), bed.get(parts[0]).await.bytes().await.unwrap());
}

#[tokio::test]
async fn a_folder_gives_no_addresses() {
    let bed = Bed::new().await;
    let key = ObjectKey::parse("demo/x").unwrap();
    let error = bed.store.presign_get(&key, std::time::Duration::from_secs(60)).await.unwrap_err();
    assert_eq!(error.kind, evertape::store::StoreErrorKind::Refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_muxed_segment_is_made_once() {
    let bed = Bed::new().await;
    let list = bed.text(&format!("tracks-v1a1/index-{}-60.ts.m3u8", bed.from)).await;
    let path = list.lines().find_map(|l| l.strip_prefix("../")).unwrap().to_owned();
    let base = bed.second_node().await;
    bed.store.taken();
    let all = (0..20).map(|_| bed.client.get(format!("{base}/{path}")).send());
    let mut bodies = Vec::new();
    for answer in futures::future::join_all(all).await {
        let answer = answer.unwrap();
        assert_eq!((answer.status().as_u16(), header(&answer, "content-type")), (200, "video/mp2t"));
        bodies.push(answer.bytes().await.unwrap());
    }
    assert!(bodies[0].len() > 1000 && bodies.iter().all(|b| *b == bodies[0]));
    let objects = bed.store.taken();
    assert_eq!(objects.iter().filter(|key| key.ends_with(".cmfs")).count(), 1, "{objects:?}");
    assert_eq!(bodies[0], bed.get(&path).await.bytes().await.unwrap(), "another node makes the same bytes");
}
