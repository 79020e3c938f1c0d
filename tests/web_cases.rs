//! Playback over real HTTP: every case of the table, conditional and partial requests, outages, hostile addresses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/ts_check.rs"]
#[allow(dead_code, reason = "other suites use the rest")]
mod ts_check;
mod web_bed;

use futures::StreamExt;
use std::time::{Duration, Instant};
use web_bed::{Bed, SECOND_RUN, SEGMENTS};

fn header<'a>(answer: &'a reqwest::Response, name: &str) -> &'a str {
    answer.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
}

/// An error is a problem document that caches keep for two seconds at most, with a sentence and no cause.
async fn problem(answer: reqwest::Response, status: u16, no_store: bool, what: &str) -> String {
    assert_eq!(answer.status(), status, "{what}");
    assert_eq!(header(&answer, "content-type"), "application/problem+json", "{what}");
    let caching = header(&answer, "cache-control").to_owned();
    assert!(caching == "no-store" || caching == "max-age=2" && !no_store, "{what}: {caching}");
    assert_eq!(header(&answer, "access-control-allow-origin"), "*", "{what}");
    let text = answer.text().await.unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["status"], status, "{text}");
    assert!(json["title"].as_str().is_some_and(|t| !t.is_empty()), "{text}");
    let detail = json["detail"].as_str().unwrap().to_owned();
    assert!(detail.len() > 10 && detail.ends_with('.'), "{detail}");
    for cause in ["injected", "sqlite", "index.db", "objects/", ".rs"] {
        assert!(!text.contains(cause), "{what}: {text}");
    }
    detail
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_cases() {
    let bed = Bed::new().await;
    let f = bed.from;
    // Clamped to what is recorded.
    for path in [format!("tracks-v1/index-{}-160.m3u8", f - 100), format!("tracks-v1/archive-{}-160.m3u8", f - 100)] {
        let list = bed.text(&path).await;
        assert_eq!(list.matches("#EXTINF").count(), 10, "{list}");
        assert!(list.contains("#EXT-X-PLAYLIST-TYPE:VOD") && list.contains("#EXT-X-ENDLIST"), "{list}");
    }
    let clamped = bed.get(&format!("archive-{}-130.mp4", f - 100)).await.bytes().await.unwrap();
    assert_eq!(clamped, bed.get(&format!("archive-{f}-30.mp4")).await.bytes().await.unwrap());
    // Nothing recorded: before, and in the gap.
    for window in [format!("{}-50", f - 100), format!("{}-30", f + 75)] {
        for form in ["index", "archive", "tracks-v1/index"] {
            for end in ["m3u8", "fmp4.m3u8"] {
                let path = format!("{form}-{window}.{end}");
                problem(bed.get(&path).await, 404, false, &path).await;
            }
        }
        let path = format!("archive-{window}.mp4");
        problem(bed.get(&path).await, 404, false, &path).await;
    }
    let ahead = f + 10_000;
    for path in [
        format!("index-{ahead}-60.m3u8"),
        format!("archive-{ahead}-60.mp4"),
        format!("index-{ahead}-now.m3u8"),
        format!("timeshift_abs-{ahead}.m3u8"),
        format!("index.m3u8?utc={ahead}&lutc={f}"),
    ] {
        problem(bed.get(&path).await, 404, true, &path).await;
    }
    for (path, said) in [
        ("index-abc-60.m3u8".to_owned(), "time"),
        (format!("index-{f}-x.m3u8"), "duration"),
        (format!("index-{f}-0.m3u8"), "more than zero"),
        (format!("archive-{f}--5.m3u8"), "more than zero"),
        (format!("archive-{f}-0.mp4"), "more than zero"),
        (format!("archive-{f}-86401.mp4"), "86400"),
        (format!("index-{f}-86401.m3u8"), "86400"),
        (format!("index-{}-now.m3u8", f - 90_000_000), ""),
        ("rewind-0.m3u8".to_owned(), "more than zero"),
        ("rewind-86401.m3u8".to_owned(), "86400"),
        ("timeshift_rel-1e3.m3u8".to_owned(), "duration"),
        (format!("index-{}9999999999999-5.m3u8", f), "time"),
        ("ranges.json?limit=0".to_owned(), "limit"),
        ("recording_status.json?from=x".to_owned(), "time"),
        ("tracks-v0/index.m3u8".to_owned(), "tracks"),
    ] {
        let answer = bed.get(&path).await;
        if path.contains("-now") {
            // Clamped to the first recording, so not too long.
            assert_eq!(answer.status(), 200, "{path}");
            continue;
        }
        let detail = problem(answer, 400, false, &path).await;
        assert!(detail.to_lowercase().contains(said), "{path}: {detail}");
    }
    for path in bed.texts() {
        let answer = bed.client.get(format!("{}x/{path}", bed.base)).send().await.unwrap();
        problem(answer, 404, false, &path).await;
    }
    problem(bed.get("index.mpd").await, 404, false, "mpd").await;
    problem(bed.get(&format!("tracks-v7/index-{f}-60.m3u8")).await, 404, false, "no such track").await;
    problem(bed.get("nothing").await, 404, false, "nothing").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gaps_are_told() {
    let bed = Bed::new().await;
    let f = bed.from;
    for path in [format!("tracks-v1/index-{f}-180.m3u8"), format!("tracks-a2/index-{f}-now.m3u8")] {
        let list = bed.text(&path).await;
        assert_eq!(list.matches("#EXTINF").count(), 2 * SEGMENTS as usize, "{list}");
        assert_eq!(list.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{list}");
        let after = list.split("#EXT-X-DISCONTINUITY\n").nth(1).unwrap();
        let stated = after.split("#EXT-X-PROGRAM-DATE-TIME:").nth(1).and_then(|t| t.lines().next()).unwrap();
        assert_eq!(stated.parse::<jiff::Timestamp>().unwrap().as_second(), f + SECOND_RUN);
        m3u8_rs::parse_media_playlist_res(list.as_bytes()).unwrap();
    }
    let status = bed.text("recording_status.json").await;
    assert!(status.contains(&format!("{{\"from\":{f},\"duration\":60}},{{\"from\":{},", f + SECOND_RUN)), "{status}");
    let export = bed.get(&format!("archive-{}-100.mp4", f + 30)).await;
    assert_eq!(header(&export, "evertape-gaps"), format!("{}-{}", (f + 60) * 1000, (f + SECOND_RUN) * 1000));
    assert_eq!(header(&bed.get(&format!("archive-{f}-30.mp4")).await, "evertape-gaps"), "");
    // A token is carried.
    let list = bed.text(&format!("tracks-v1/index-{f}-60.m3u8?token=t1")).await;
    assert!(list.lines().filter(|l| l.contains("segment/")).all(|l| l.ends_with("?token=t1")), "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn outages() {
    let bed = Bed::new().await;
    let (segments, init) = bed.media().await;
    let root = bed.base.trim_end_matches("/demo").to_owned();
    let ready = async || bed.client.get(format!("{root}/readyz")).send().await.unwrap();
    assert_eq!(ready().await.status(), 200);
    let export = format!("archive-{}-30.mp4", bed.from);

    let fresh_node = bed.second_node().await;
    for path in bed.texts().into_iter().chain([export.clone()]) {
        let answer = bed.get(&path).await;
        assert_eq!(answer.status(), 200, "{path}");
        // To its end: nothing of it may still be read when the index goes.
        answer.bytes().await.unwrap();
    }
    bed.index.set_out(true);
    let before = bed.index.injected();
    for path in [&segments[0], &segments[5], &init] {
        let answer = bed.get(path).await;
        assert_eq!(answer.status(), 200, "media needs no index: {path}");
        assert!(header(&answer, "cache-control").contains("immutable"));
        assert!(!answer.bytes().await.unwrap().is_empty());
    }
    assert_eq!(bed.index.injected(), before, "serving media asked the index");
    for path in bed.texts().into_iter().chain([export.clone()]) {
        let answer = bed.client.get(format!("{fresh_node}/{path}")).send().await.unwrap();
        assert!(header(&answer, "retry-after").parse::<u32>().is_ok_and(|s| s > 0), "{path}");
        problem(answer, 503, true, &path).await;
        assert_eq!(bed.get(&path).await.status(), 200, "what is known is still said: {path}");
    }
    problem(ready().await, 503, true, "readyz").await;
    assert_eq!(bed.client.get(format!("{root}/healthz")).send().await.unwrap().status(), 200);
    bed.index.set_out(false);
    assert_eq!(ready().await.status(), 200);

    bed.store.faults.set_down(true);
    for path in bed.texts() {
        assert_eq!(bed.get(&path).await.status(), 200, "playlists need no store: {path}");
    }
    for url in [format!("{}/{}", bed.base, segments[1]), format!("{fresh_node}/{init}")] {
        let answer = bed.client.get(&url).send().await.unwrap();
        assert!(!header(&answer, "retry-after").is_empty(), "{url}");
        problem(answer, 503, true, &url).await;
    }
    for path in [&segments[0], &init] {
        assert_eq!(bed.get(path).await.status(), 200, "what was read lately is still served: {path}");
    }
    problem(ready().await, 503, true, "readyz").await;
    assert_eq!(bed.client.get(format!("{root}/healthz")).send().await.unwrap().status(), 200);
    // An export's length is promised before its media is read: it breaks off, and does not hang.
    let started = Instant::now();
    assert!(bed.get(&export).await.bytes().await.is_err());
    assert!(started.elapsed() < Duration::from_secs(10));
    bed.store.faults.set_down(false);
    assert!(bed.get(&export).await.bytes().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn conditional_compressed_and_head_requests() {
    let bed = Bed::new().await;
    for path in bed.texts() {
        let url = format!("{}/{path}", bed.base);
        let whole = bed.get(&path).await;
        assert_eq!(whole.status(), 200, "{path}");
        assert_eq!(header(&whole, "access-control-allow-origin"), "*");
        assert_eq!(header(&whole, "vary"), "accept-encoding", "{path}: a cache must not keep one for each origin");
        let etag = header(&whole, "etag").to_owned();
        assert!(etag.len() > 4, "{path}");
        let kept = header(&whole, "cache-control").to_owned();
        assert!(kept.contains("max-age") || kept == "no-store", "{path}: {kept}");
        let head = bed.client.head(&url).send().await.unwrap();
        assert_eq!(head.status(), 200, "{path}");
        for name in ["content-length", "content-type", "cache-control", "vary"] {
            assert!(!header(&whole, name).is_empty(), "{path}: no {name}");
            assert_eq!(header(&head, name), header(&whole, name), "{path}: {name}");
        }
        // Those that hold a delay made of `now` may differ by a second.
        if kept != "no-store" && !path.contains("timeshift") {
            let unchanged = bed.with(&path, &[("if-none-match", &etag)]).await;
            assert_eq!(unchanged.status(), 304, "{path}");
            assert_eq!((header(&unchanged, "etag"), header(&unchanged, "cache-control")), (&*etag, &*kept));
            assert!(unchanged.bytes().await.unwrap().is_empty());
            let plain = whole.text().await.unwrap();
            let zipped = bed.with(&path, &[("accept-encoding", "gzip")]).await;
            assert_eq!(header(&zipped, "content-encoding"), "gzip", "{path}");
            assert_eq!(header(&zipped, "etag"), etag);
            let unzipped = reqwest::Client::new().get(&url).send().await.unwrap().text().await.unwrap();
            assert_eq!(unzipped, plain, "{path}");
        }
        assert_eq!(bed.with(&path, &[("if-none-match", "\"other\"")]).await.status(), 200);
    }
    let (segments, init) = bed.media().await;
    let export = format!("archive-{}-30.mp4", bed.from);
    for path in [&segments[0], &init, &export] {
        let url = format!("{}/{path}", bed.base);
        let whole = bed.with(path, &[("accept-encoding", "gzip")]).await;
        assert_eq!((whole.status().as_u16(), header(&whole, "content-encoding")), (200, ""), "{path}");
        assert_eq!((header(&whole, "vary"), header(&whole, "accept-ranges")), ("", "bytes"), "{path}");
        let etag = header(&whole, "etag").to_owned();
        assert!(etag.starts_with('"'), "{etag}");
        // Ranges are not defined for HEAD.
        let head = bed.client.head(&url).header("range", "bytes=0-9").send().await.unwrap();
        assert_eq!(head.status(), 200, "{path}");
        for name in ["content-length", "content-type", "etag", "cache-control", "accept-ranges", "content-disposition"]
        {
            assert_eq!(header(&head, name), header(&whole, name), "{path}: {name}");
        }
        let length = header(&whole, "content-length").to_owned();
        let bytes = whole.bytes().await.unwrap();
        assert_eq!(bytes.len().to_string(), length);
        assert_eq!(bed.with(path, &[("if-none-match", &etag)]).await.status(), 304);
        assert_eq!(bed.with(path, &[("if-none-match", "*")]).await.status(), 304);
        let part = bed.with(path, &[("range", "bytes=5-14"), ("if-range", &etag)]).await;
        assert_eq!(part.status(), 206, "{path}");
        assert_eq!(header(&part, "content-range"), format!("bytes 5-14/{length}"));
        assert_eq!(part.bytes().await.unwrap(), bytes.slice(5..15));
        assert_eq!(bed.with(path, &[("range", "bytes=5-14"), ("if-range", "\"old\"")]).await.status(), 200);
        let outside = bed.with(path, &[("range", &format!("bytes={length}-"))]).await;
        assert_eq!(header(&outside, "content-range"), format!("bytes */{length}"));
        problem(outside, 416, false, path).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_and_origins() {
    let bed = Bed::new().await;
    let root = bed.base.trim_end_matches("/demo").to_owned();
    for url in [format!("{}/index.m3u8", bed.base), format!("{root}/healthz"), format!("{root}/readyz")] {
        for method in [reqwest::Method::POST, reqwest::Method::PUT, reqwest::Method::DELETE] {
            let answer = bed.client.request(method, &url).body("x").send().await.unwrap();
            assert_eq!(header(&answer, "allow"), "GET, HEAD", "{url}");
            problem(answer, 405, false, &url).await;
        }
        let preflight = bed
            .client
            .request(reqwest::Method::OPTIONS, &url)
            .header("origin", "https://tv.example")
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "range")
            .send()
            .await
            .unwrap();
        assert_eq!(preflight.status(), 200);
        assert_eq!(header(&preflight, "access-control-allow-origin"), "*");
        assert!(header(&preflight, "access-control-allow-methods").contains("GET"));
        assert!(!header(&preflight, "access-control-allow-headers").is_empty());
    }
    let export = bed.with(&format!("archive-{}-30.mp4", bed.from), &[("origin", "https://tv.example")]).await;
    let exposed = header(&export, "access-control-expose-headers");
    for name in ["content-length", "content-range", "etag", "evertape-gaps"] {
        assert!(exposed.contains(name), "{exposed}");
    }
    let metrics = bed.client.get(format!("{root}/metrics")).send().await.unwrap();
    assert!(metrics.status() == 200 && header(&metrics, "content-type").starts_with("text/plain"));
}

#[tokio::test(flavor = "multi_thread")]
async fn exports() {
    let bed = Bed::new().await;
    let path = format!("archive-{}-54.mp4", bed.from + 3);
    let whole = bed.get(&path).await;
    let etag = header(&whole, "etag").to_owned();
    let disposition = header(&whole, "content-disposition").to_owned();
    assert!(disposition.starts_with("attachment") && disposition.contains("demo_"), "{disposition}");
    let whole = whole.bytes().await.unwrap();
    // Another node gives the same file under the same tag.
    let second = bed.client.get(format!("{}/{path}", bed.second_node().await)).send().await.unwrap();
    assert_eq!(header(&second, "etag"), etag);
    assert_eq!(second.bytes().await.unwrap(), whole);
    // A range costs the objects it touches. The last bytes lie in the last segment.
    bed.store.taken();
    let last = bed.with(&path, &[("range", "bytes=-100")]).await;
    assert_eq!(last.bytes().await.unwrap(), whole.slice(whole.len() - 100..));
    assert_eq!(bed.store.taken(), [bed.keys[9].as_str()]);
    let head = bed.with(&path, &[("range", "bytes=0-99")]).await;
    assert_eq!(head.bytes().await.unwrap(), whole.slice(..100));
    assert_eq!(bed.store.taken(), [""; 0]);
    let middle = bed.with(&path, &[("range", &format!("bytes={0}-{0}", whole.len() / 2))]).await;
    assert_eq!(middle.bytes().await.unwrap()[0], whole[whole.len() / 2]);
    assert_eq!(bed.store.taken().len(), 1);
    for (range, status) in [("bytes=9-1", 200), ("bytes=1-2,4-5", 200), ("items=1-2", 200), ("bytes=-0", 416)] {
        assert_eq!(bed.with(&path, &[("range", range)]).await.status(), status, "{range}");
    }
    // Many at once for a file that nobody asked for before: one plan.
    let fresh = format!("{}/archive-{}-48.mp4", bed.base, bed.from + 6);
    let one = bed.index.injected();
    bed.client.head(format!("{}/archive-{}-48.mp4", bed.base, bed.from + 5)).send().await.unwrap();
    let one = bed.index.injected() - one;
    let before = bed.index.injected();
    let requests = (0..20).map(|_| bed.client.head(&fresh).send());
    assert!(futures::future::join_all(requests).await.into_iter().all(|r| r.unwrap().status() == 200));
    // Each looks at what is recorded; the rest is done once.
    let calls = bed.index.injected() - before;
    assert!(calls <= 20 + one, "{calls} calls to the index for 20 requests, {one} for one");
}

#[tokio::test(flavor = "multi_thread")]
async fn ts_exports() {
    let bed = Bed::new().await;
    let path = format!("archive-{}-54.ts", bed.from + 3);
    let answer = bed.get(&path).await;
    let etag = header(&answer, "etag").to_owned();
    assert!(etag.starts_with('"'), "{etag}");
    assert_eq!((header(&answer, "content-type"), header(&answer, "accept-ranges")), ("video/mp2t", "bytes"));
    assert_eq!(header(&answer, "cache-control"), "public, max-age=3600");
    let disposition = header(&answer, "content-disposition").to_owned();
    assert!(disposition.contains("demo_") && disposition.contains("54s.ts"), "{disposition}");
    let length: usize = header(&answer, "content-length").parse().unwrap();
    let whole = answer.bytes().await.unwrap();
    assert_eq!(whole.len(), length);
    let report = ts_check::check(&whole);
    report.assert_clean();
    // From the sync sample two seconds in, of three in the first segment, to the end of the window.
    assert_eq!(report.pids[&0x100].access_units, 25 * 55);
    assert_eq!(report.pids.keys().copied().collect::<Vec<_>>(), [0x100, 0x110, 0x111]);
    assert_eq!(report.pids[&0x110].language.as_deref(), Some("eng"));
    // HEAD says the same; another node gives the same file under the same tag.
    let head = bed.client.head(format!("{}/{path}", bed.base)).send().await.unwrap();
    assert_eq!((header(&head, "etag"), header(&head, "content-length")), (etag.as_str(), length.to_string().as_str()));
    let second = bed.client.get(format!("{}/{path}", bed.second_node().await)).send().await.unwrap();
    assert_eq!(header(&second, "etag"), etag);
    assert_eq!(second.bytes().await.unwrap(), whole);
    assert_eq!(bed.with(&path, &[("if-none-match", &etag)]).await.status(), 304);
    // A range is that range, and costs the objects it touches.
    let mut at = 7;
    while at < length {
        let last = (at + 1 + at * 31 % 200_000).min(length) - 1;
        let part = bed.with(&path, &[("range", &format!("bytes={at}-{last}")), ("if-range", &etag)]).await;
        assert_eq!(
            (part.status().as_u16(), header(&part, "content-range")),
            (206, format!("bytes {at}-{last}/{length}").as_str())
        );
        assert_eq!(part.bytes().await.unwrap(), whole.slice(at..=last), "{at}-{last}");
        at += 1 + at * 17 % 90_000;
    }
    bed.store.taken();
    let tail = bed.with(&path, &[("range", "bytes=-100")]).await;
    assert_eq!(tail.bytes().await.unwrap(), whole.slice(length - 100..));
    assert_eq!(bed.store.taken(), [bed.keys[9].as_str()]);
    assert_eq!(bed.with(&path, &[("range", "bytes=1-2"), ("if-range", "\"other\"")]).await.status(), 200);
    assert_eq!(bed.with(&path, &[("range", &format!("bytes={length}-"))]).await.status(), 416);
    // Tracks, the older spelling, and the gap between the runs.
    let sound = bed.get(&format!("tracks-a2/archive-{}-54.ts", bed.from + 3)).await.bytes().await.unwrap();
    let report = ts_check::check(&sound);
    report.assert_clean();
    assert_eq!(report.pids.keys().copied().collect::<Vec<_>>(), [0x111]);
    let old = bed.get(&format!("archive/{}/54/mpegts", bed.from + 3)).await;
    assert_eq!(header(&old, "etag"), etag);
    let f = bed.from;
    let gap = bed.get(&format!("archive-{}-100.ts", f + 30)).await;
    assert_eq!(header(&gap, "evertape-gaps"), format!("{}-{}", (f + 60) * 1000, (f + SECOND_RUN) * 1000));
    let report = ts_check::check(&gap.bytes().await.unwrap());
    report.assert_clean();
    assert_eq!(report.new_time_bases, 1);
    assert_eq!(report.pids[&0x100].access_units, 25 * 40);
    // What is not there.
    problem(bed.get(&format!("archive-{}-30.ts", f + 75)).await, 404, false, "in the gap").await;
    problem(bed.get(&format!("archive-{}-60.ts", f + 10_000)).await, 404, true, "ahead").await;
    problem(bed.get(&format!("archive-{f}-0.ts")).await, 400, false, "nothing").await;
    problem(bed.get(&format!("tracks-v7/archive-{f}-60.ts")).await, 404, false, "no such track").await;
    // A missing object breaks it off; what lies behind is still served.
    std::fs::remove_file(bed.object_path(5)).unwrap();
    let broken = bed.get(&path).await;
    assert!(broken.bytes().await.is_err());
    let tail = bed.with(&path, &[("range", "bytes=-1000")]).await;
    assert_eq!(tail.bytes().await.unwrap(), whole.slice(length - 1000..));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_object_breaks_the_export_off() {
    let bed = Bed::new().await;
    let path = format!("archive-{}-60.mp4", bed.from);
    let whole = bed.get(&path).await.bytes().await.unwrap();
    let (segments, _) = bed.media().await;
    std::fs::remove_file(bed.object_path(5)).unwrap();
    // Another one is cut short.
    let file = std::fs::File::options().write(true).open(bed.object_path(7)).unwrap();
    file.set_len(file.metadata().unwrap().len() - 10_000).unwrap();
    let answer = bed.get(&path).await;
    assert_eq!(answer.status(), 200);
    let (mut got, mut pieces, started) = (Vec::new(), answer.bytes_stream(), Instant::now());
    let broke = loop {
        match tokio::time::timeout(Duration::from_secs(20), pieces.next()).await.expect("it hangs") {
            Some(Ok(piece)) => got.extend_from_slice(&piece),
            Some(Err(_)) => break true,
            None => break false,
        }
    };
    assert!(broke && started.elapsed() < Duration::from_secs(20));
    assert!(got.len() < whole.len() && whole.starts_with(&got), "wrong bytes were sent");
    assert!(got.len() > whole.len() / 3, "only {} of {} bytes", got.len(), whole.len());
    // What lies behind is still served.
    let rest = bed.with(&path, &[("range", "bytes=-1000")]).await;
    assert_eq!(rest.bytes().await.unwrap(), whole.slice(whole.len() - 1000..));
    problem(bed.get(&segments[5]).await, 404, false, "its segment").await;
    problem(bed.with(&segments[5], &[("if-none-match", "*")]).await, 404, false, "its segment").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_reach_nothing_else() {
    let bed = Bed::new().await;
    std::fs::write(bed.dir.path().join("secret.mp4"), "hunter2").unwrap();
    std::fs::write(bed.dir.path().join("objects/secret.mp4"), "hunter2").unwrap();
    let (segments, init) = bed.media().await;
    let long = format!("/demo/{}/index.m3u8", "a".repeat(3000));
    let (base, part) = segments[0].rsplit_once('/').unwrap();
    let hash = init.trim_start_matches("init/");
    let numbers: Vec<u64> = part.trim_end_matches(".m4s").split('-').skip(1).map(|n| n.parse().unwrap()).collect();
    let (offset, length) = (numbers[0], numbers[1]);
    let mut paths: Vec<String> = [
        "/demo/../secret.mp4",
        "/demo/%2e%2e/secret.mp4",
        "/demo/init/..%2f..%2fsecret.mp4",
        "/demo/init/%2e%2e%2f%2e%2e%2fsecret.mp4",
        "/demo/init/..%252f..%252fsecret.mp4",
        "/demo/init/secret.mp4%00",
        "/demo%00/index.m3u8",
        "/demo%2f..%2fdemo/index.m3u8",
        "/demo/%0d%0aSet-Cookie:x/index.m3u8",
        "/%2e%2e/objects/demo/index.m3u8",
        "//demo/index.m3u8",
        "/demo//index.m3u8",
        "/demo/./index.m3u8",
        "/.evertape/index.m3u8",
        "/demo\\..\\x/index.m3u8",
        "/%c0%ae%c0%ae/index.m3u8",
        "/%ff/index.m3u8",
        "/",
        "/demo",
        "/demo/",
        "/demo/segment/gap.m4s",
        "/demo/segment/",
    ]
    .map(str::to_owned)
    .to_vec();
    paths.push(long);
    paths.push(format!("/other/init/{hash}"));
    paths.push(format!("/demo/x/{base}/{part}"));
    paths.push(format!("/demo/{base}%2f..%2f..%2f..%2fsecret.mp4/{part}"));
    // Of a segment that is there, made-up parts: no truncated body, no bytes of something else.
    for (offset, length) in [
        (offset, length + 1),
        (offset, length - 1),
        (offset + 1, length),
        (0, length),
        (offset, 1),
        (offset, 1 << 29),
        (offset, (1 << 30) + 1),
        (1 << 61, 100),
        (u64::MAX / 4, u64::MAX / 4),
        (1 << 40, 100),
    ] {
        paths.push(format!("/demo/{base}/v1-{offset}-{length}.m4s"));
    }
    paths.push(format!("/demo/{base}/v1-{offset}-99999999999999999999999.m4s"));
    paths.push(format!("/demo/{base}/v1--1-{length}.m4s"));
    for path in &paths {
        let (status, answer) = bed.raw_path(path).await;
        assert!((400..500).contains(&status), "{path}: {answer}");
        assert!(!answer.contains("hunter2"), "{path}: {answer}");
        assert!(!answer.to_lowercase().contains("set-cookie"), "{path}: {answer}");
    }
    // The same for a part of it, and for what a HEAD says.
    let beyond = format!("{base}/v1-{offset}-{}.m4s", length * 10);
    problem(bed.with(&beyond, &[("range", "bytes=5-10")]).await, 404, false, &beyond).await;
    assert_eq!(bed.client.head(format!("{}/{beyond}", bed.base)).send().await.unwrap().status(), 404);
    // An absolute address is the same as its path, whatever host it names.
    assert_eq!(bed.raw_path("http://evil.example/demo/index.m3u8").await.0, 200);
    assert!((400..500).contains(&bed.raw_path("http://evil.example/../secret.mp4").await.0));
    let huge = format!("GET /demo/index.m3u8?{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "a".repeat(60_000));
    assert!((400..500).contains(&bed.raw(huge.as_bytes()).await.0));
    let query = bed.get(&format!("index.m3u8?{}", "a".repeat(3000))).await;
    problem(query, 400, false, "a long query").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_holds_little() {
    // Objects of 7.5 MB: more than the sockets' buffers take.
    let bed = Bed::with_sample_bytes(50_000).await;
    for format in ["mp4", "ts"] {
        slow_client(&bed, &format!("archive-{}-180.{format}", bed.from)).await;
    }
}

async fn slow_client(bed: &Bed, path: &str) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    bed.store.taken();
    let mut tcp = tokio::net::TcpStream::connect(bed.address).await.unwrap();
    let request = format!("GET /demo/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut taken = vec![0; 64 * 1024];
    for _ in 0..20 {
        tcp.read_exact(&mut taken).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    // One being sent, one opened ahead, and what the kernel's buffers have swallowed.
    let gets = bed.store.gets();
    assert!((1..=6).contains(&gets), "{gets} objects were asked for by a client that took 1.3 MB");
    let settled = gets;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(bed.store.gets(), settled, "the server reads on without a reader");
    // Gone: nothing more is read.
    drop(tcp);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(bed.store.gets() <= settled + 1);
    assert_eq!(bed.get("index.m3u8").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_muxed_on_the_way_out() {
    let bed = Bed::new().await;
    let second = bed.second_node().await;
    let f = bed.from;
    let list = bed.text(&format!("tracks-v1a1/index-{f}-60.ts.m3u8")).await;
    let ts: Vec<String> = list.lines().filter_map(|l| l.strip_prefix("../")).map(str::to_owned).collect();
    assert_eq!(
        (ts.len(), list.contains("#EXT-X-MAP"), list.contains("#EXT-X-VERSION:3\n")),
        (10, false, true),
        "{list}"
    );
    let list = bed.text(&format!("mono-{f}-60.fmp4.m3u8")).await;
    let muxed = list.lines().find(|l| l.ends_with("/v1a1a2.m4s")).expect("a muxed segment").to_owned();
    let init = list.split("URI=\"").nth(1).and_then(|r| r.split('"').next()).expect("a map").to_owned();
    for (path, content_type) in [(&ts[3], "video/mp2t"), (&muxed, "video/mp4"), (&init, "video/mp4")] {
        let asked = bed.index.injected();
        let whole = bed.get(path).await;
        assert_eq!((whole.status().as_u16(), header(&whole, "content-type")), (200, content_type), "{path}");
        assert!(header(&whole, "cache-control").contains("immutable"), "{path}");
        let etag = header(&whole, "etag").to_owned();
        assert!(etag.starts_with('"'), "{path}: {etag}");
        let length = header(&whole, "content-length").to_owned();
        let bytes = whole.bytes().await.unwrap();
        assert_eq!(bytes.len().to_string(), length, "{path}");
        let other = bed.client.get(format!("{second}/{path}")).send().await.unwrap();
        assert_eq!(header(&other, "etag"), etag, "{path}");
        assert_eq!(other.bytes().await.unwrap(), bytes, "{path}: two nodes differ");
        let head = bed.client.head(format!("{}/{path}", bed.base)).send().await.unwrap();
        assert_eq!((header(&head, "content-length"), header(&head, "etag")), (&*length, &*etag), "{path}");
        assert_eq!(bed.with(path, &[("if-none-match", &etag)]).await.status(), 304, "{path}");
        let part = bed.with(path, &[("range", "bytes=188-375"), ("if-range", &etag)]).await;
        assert_eq!(part.status(), 206, "{path}");
        assert_eq!(header(&part, "content-range"), format!("bytes 188-375/{length}"));
        assert_eq!(part.bytes().await.unwrap(), bytes.slice(188..376), "{path}");
        assert_eq!(bed.index.injected(), asked, "{path}: media needs no index");
    }
    let bytes = bed.get(&ts[0]).await.bytes().await.unwrap();
    assert!(bytes.len() % 188 == 0 && bytes.chunks(188).all(|packet| packet[0] == 0x47));
    // Tracks that the segment does not have, another order, another segment: nothing to be kept for a year.
    let folder = ts[0].rsplit_once('/').unwrap().0;
    let hash = init.split(['/', '-', '.']).nth(1).unwrap();
    for path in [
        format!("{folder}/v2.ts"),
        format!("{folder}/v1a1a3.ts"),
        format!("{folder}/a1v1.ts"),
        format!("{folder}/v1a9.m4s"),
        format!("{}/v1a1.ts", folder.replace("-6000000-", "-6000001-")),
        format!("init/{hash}-{}.mp4", "0".repeat(32)),
    ] {
        problem(bed.get(&path).await, 404, false, &path).await;
        problem(bed.with(&path, &[("if-none-match", "*")]).await, 404, false, &path).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_for_trick_play() {
    let bed = Bed::new().await;
    let f = bed.from;
    let multivariant = bed.text(&format!("index-{f}-60.fmp4.m3u8")).await;
    let line = multivariant.lines().find(|l| l.starts_with("#EXT-X-I-FRAME-STREAM-INF:")).expect("one for trick play");
    let uri = line.split("URI=\"").nth(1).and_then(|r| r.split('"').next()).unwrap();
    let list = bed.text(uri).await;
    assert!(list.contains("#EXT-X-I-FRAMES-ONLY\n") && list.contains("#EXT-X-MAP:"), "{list}");
    let lines: Vec<&str> = list.lines().collect();
    let ranges: Vec<(&str, &str)> = lines
        .windows(3)
        .filter_map(|w| Some((w[0].strip_prefix("#EXT-X-BYTERANGE:")?.strip_suffix("@0")?, w[2].strip_prefix("../")?)))
        .collect();
    assert_eq!(ranges.len(), 10, "{list}");
    for (n, (length, path)) in ranges.iter().enumerate() {
        let last: u64 = length.parse::<u64>().unwrap() - 1;
        let part = bed.with(path, &[("range", &format!("bytes=0-{last}"))]).await;
        assert_eq!(part.status(), 206);
        let bytes = part.bytes().await.unwrap();
        // Fragment boxes, and the whole first picture: its length, then bytes of its own.
        let picture = &bytes[bytes.len() - 1000..];
        assert_eq!(picture[..4], 996u32.to_be_bytes());
        assert!(picture[5..].iter().all(|b| *b == n as u8 + 1) && bytes[4..8] == *b"prft");
    }
}
