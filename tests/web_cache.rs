//! What playback keeps in memory: read once for many, fresh, and still there during an outage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod web_bed;

use futures::future::join_all;
use std::time::Duration;
use web_bed::{Bed, SECONDS, SEGMENTS};

fn header<'a>(answer: &'a reqwest::Response, name: &str) -> &'a str {
    answer.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
}

#[tokio::test(flavor = "multi_thread")]
async fn many_viewers_cost_one_reading() {
    let bed = Bed::new().await;
    let (segments, init) = bed.media().await;
    // Another node, so that nothing is known yet.
    let base = bed.second_node().await;
    bed.store.taken();
    for path in [&segments[3], &segments[4], &init] {
        let all = (0..30).map(|_| bed.client.get(format!("{base}/{path}")).send());
        let mut bodies = Vec::new();
        for answer in join_all(all).await {
            let answer = answer.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
            bodies.push(answer.bytes().await.unwrap());
        }
        assert!(bodies[0].len() > 100 && bodies.iter().all(|b| *b == bodies[0]), "{path}");
        assert_eq!(bed.store.taken().len(), 1, "{path}");
    }
    // Part of what is in memory costs nothing.
    let part = bed.client.get(format!("{base}/{}", segments[3])).header("range", "bytes=5-9").send().await.unwrap();
    assert_eq!((part.status().as_u16(), part.bytes().await.unwrap().len()), (206, 5));
    assert_eq!(bed.client.head(format!("{base}/{}", segments[3])).send().await.unwrap().status(), 200);
    assert_eq!(bed.store.gets(), 0);
    // The playlists of a window: extent, two hours at most, and what the multivariant one says of the tracks; the first
    // one of a node also asks what is set for the streams, and for its revision.
    for (path, most) in [("tracks-v1/index", 3 + 2), ("tracks-a1/index", 1), ("index", 4)] {
        let (before, begun) = (bed.index.injected(), std::time::Instant::now());
        let url = |n: i64| format!("{base}/{path}-{}-60.m3u8", bed.from + n % 3);
        let all = (0..40).map(|n| bed.client.get(url(n)).send());
        assert!(join_all(all).await.into_iter().all(|a| a.unwrap().status() == 200));
        let calls = bed.index.injected() - before;
        // The live edge is asked for anew after 300 ms.
        let most = most + u64::try_from(begun.elapsed().as_millis() / 300).unwrap();
        assert!(calls <= most, "{calls} calls to the index for 40 viewers of {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_is_listed_and_never_taken_back() {
    let bed = Bed::new().await;
    let live = "tracks-v1/index.m3u8";
    let number = |list: &str| {
        let first: u64 = list.split("#EXT-X-MEDIA-SEQUENCE:").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
        first + list.matches("#EXTINF").count() as u64
    };
    let mut last = number(&bed.text(live).await);
    assert_eq!(last, 2 * SEGMENTS);
    for n in 2 * SEGMENTS..2 * SEGMENTS + 4 {
        let (_, start) = bed.recorder.publish(n).await;
        // A window that ends with the live edge is whole as soon as it says so.
        let window = format!("tracks-v1/index-{}-{}.m3u8", bed.from, start + SECONDS - bed.from);
        let mut ended = false;
        for _ in 0..200 {
            let (answer, now) = tokio::join!(bed.get(&window), bed.text(live));
            assert!(number(&now) >= last, "an older view after a newer one");
            last = number(&now);
            // Caches may keep it: nothing more will come.
            ended = header(&answer, "cache-control").contains("max-age=3600");
            let list = answer.text().await.unwrap();
            if ended {
                assert_eq!(list.matches("#EXTINF").count() as u64, n + 1, "{list}");
            }
            if ended && last == n + 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(ended && last == n + 1, "segment {n} is not listed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_index_is_told_by_age() {
    let bed = Bed::new().await;
    let finished = format!("tracks-v1/index-{}-60.m3u8", bed.from);
    let growing = format!("tracks-v1/index-{}-now.m3u8", bed.from);
    let paths = [&*finished, &*growing, "index.m3u8", "ranges.json", "media_info.json"];
    let mut before = Vec::new();
    for path in paths {
        let answer = bed.get(path).await;
        assert_eq!(header(&answer, "age"), "", "{path}");
        before.push(answer.text().await.unwrap());
    }
    bed.index.set_out(true);
    let age = |answer: &reqwest::Response| header(answer, "age").parse::<u32>().unwrap_or(0);
    let mut grown = 0;
    for _ in 0..100 {
        grown = age(&bed.get(&growing).await);
        if grown > 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(grown > 1, "the answer does not say how old it is");
    for (path, before) in paths.iter().zip(before) {
        assert_eq!(bed.text(path).await, before, "{path}");
    }
    // Back again: what was published meanwhile is listed.
    bed.index.set_out(false);
    bed.recorder.publish(2 * SEGMENTS).await;
    for _ in 0..100 {
        let answer = bed.get(&growing).await;
        let fresh = age(&answer) == 0;
        if fresh && answer.text().await.unwrap().matches("#EXTINF").count() as u64 == 2 * SEGMENTS + 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the node does not come back");
}
