//! The contract with the CDN, with a real cache: nginx with the configuration of `infra/cdn/` before two playback
//! nodes, and 200 viewers in one recorded hour.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)]
#[path = "../e2e/node.rs"]
mod node;

mod cache;
mod origin;
mod viewers;

use cache::Cache;
use origin::Origin;
use std::collections::{BTreeMap, BTreeSet};
use viewers::{Mode, Watched};

/// Whether a request is for media: what must be fetched once only.
fn is_media(path: &str) -> bool {
    path.contains("/segment/") || path.contains("/init/")
}

/// Two hundred viewers watch; then nodes fail.
#[tokio::test(flavor = "multi_thread")]
async fn each_media_object_is_fetched_from_the_nodes_once() {
    let mut origin = Origin::start().await;
    let cache = Cache::start(&origin.addresses()).await;

    let watched = viewers::watch(&cache.base(), &origin).await;
    let log = cache.requests();
    let mut fetched: BTreeMap<&str, u32> = BTreeMap::new();
    for request in log.iter().filter(|r| r.asked_a_node() && is_media(&r.path)) {
        *fetched.entry(request.path.split('?').next().unwrap_or_default()).or_default() += 1;
    }
    let twice: Vec<_> = fetched.iter().filter(|(_, times)| **times != 1).take(5).collect();
    assert!(twice.is_empty(), "fetched more than once: {twice:?}");
    let wanted: BTreeSet<&str> = watched.iter().flat_map(|w| w.media.keys()).map(String::as_str).collect();
    assert_eq!(fetched.keys().copied().collect::<BTreeSet<_>>(), wanted, "what was watched is what was fetched");
    let shared = watched.iter().map(|w| w.media.len()).sum::<usize>();
    assert!(shared > 3 * wanted.len(), "{shared} requests for {} objects: nothing was shared", wanted.len());
    viewers::check_same_bytes(&watched);
    for node in origin.addresses() {
        assert!(log.iter().any(|r| r.origin.contains(&node)), "{node} was asked nothing");
    }
    let failed: Vec<_> = log.iter().filter(|r| r.status >= 400).take(5).collect();
    assert!(failed.is_empty(), "{failed:?}");
    print_figures(&log, &watched);

    origin.check_same_playlists(&cache.base()).await;
    check_tokens_and_errors(&cache, &origin).await;
    check_failing_nodes(&cache, &mut origin).await;
}

fn print_figures(log: &[cache::Request], watched: &[Watched]) {
    let minutes = |mode: Mode| watched.iter().filter(|w| w.mode == mode).map(|w| w.media_seconds).sum::<f64>() / 60.0;
    println!("mode       viewers  viewer-minutes  requests  to the nodes  to the nodes per viewer-minute");
    let mut all = (0, 0.0, 0, 0);
    for mode in Mode::ALL {
        // The form stands in the playlists' paths; media is common to all, and counted below.
        let own: Vec<_> = log.iter().filter(|r| !is_media(&r.path) && Mode::of(&r.path) == mode).collect();
        let to_nodes = own.iter().filter(|r| r.asked_a_node()).count();
        let viewers = watched.iter().filter(|w| w.mode == mode).count();
        println!(
            "{:<10} {viewers:>7}  {:>14.1}  {:>8}  {to_nodes:>12}  {:.3} (playlists)",
            format!("{mode:?}"),
            minutes(mode),
            own.len(),
            to_nodes as f64 / minutes(mode),
        );
        all = (all.0 + viewers, all.1 + minutes(mode), all.2 + own.len(), all.3 + to_nodes);
    }
    let media: Vec<_> = log.iter().filter(|r| is_media(&r.path)).collect();
    let to_nodes = media.iter().filter(|r| r.asked_a_node()).count();
    println!(
        "{:<10} {:>7}  {:>14.1}  {:>8}  {to_nodes:>12}  {:.3}",
        "media",
        all.0,
        all.1,
        media.len(),
        to_nodes as f64 / all.1
    );
    let (requests, to_nodes) = (all.2 + media.len(), all.3 + to_nodes);
    println!(
        "{:<10} {:>7}  {:>14.1}  {requests:>8}  {to_nodes:>12}  {:.3}",
        "all",
        all.0,
        all.1,
        to_nodes as f64 / all.1
    );
}

/// A token does not make another object of a segment; an error is kept, but briefly.
async fn check_tokens_and_errors(cache: &Cache, origin: &Origin) {
    let before = cache.requests().len();
    let segment = origin.segment_path(3).await;
    for token in ["", "?token=one", "?token=two"] {
        let answer = cache.get(&format!("{segment}{token}")).await;
        assert_eq!(answer.status(), 200);
        assert!(answer.headers()["cache-control"].to_str().unwrap().contains("immutable"));
    }
    let part = cache.get_with(&format!("{segment}?token=three"), &[("range", "bytes=10-19")]).await;
    assert_eq!((part.status().as_u16(), part.bytes().await.unwrap().len()), (206, 10));
    let asked: Vec<_> = cache.requests().into_iter().skip(before).filter(cache::Request::asked_a_node).collect();
    assert!(asked.len() <= 1, "a token cost a request: {asked:?}");

    let list = format!("/{}/tracks-v1/archive-{}-60.fmp4.m3u8", origin::STREAM, origin.from + 60);
    let text = cache.get(&format!("{list}?token=abc")).await.text().await.unwrap();
    assert!(text.contains("?token=abc"), "the token is repeated: {text}");
    let text = cache.get(&format!("{list}?token=xyz")).await.text().await.unwrap();
    assert!(text.contains("?token=xyz") && !text.contains("abc"), "one viewer's token in another's playlist: {text}");

    let missing = format!("/{}/archive-1000000000-60.fmp4.m3u8", origin::STREAM);
    for wanted in ["MISS", "HIT"] {
        let answer = cache.get(&missing).await;
        assert_eq!(answer.status(), 404);
        assert_eq!(answer.headers()["x-cache"], wanted, "an error is shared for the moment");
        let control = answer.headers()["cache-control"].to_str().unwrap().to_owned();
        let seconds = control.split("max-age=").nth(1).and_then(|s| s.parse::<u32>().ok());
        assert!(seconds.is_some_and(|s| s <= 2), "{control}");
    }
    for hidden in ["/metrics", "/readyz"] {
        assert_eq!(cache.get(hidden).await.status(), 404);
    }
}

/// With one node all goes on; with none, what is there.
async fn check_failing_nodes(cache: &Cache, origin: &mut Origin) {
    let seen = origin.segment_path(5).await;
    assert_eq!(cache.get(&seen).await.status(), 200);
    let unseen = origin.uncached_segments(cache).await;
    assert!(unseen.len() >= 8, "{} segments were never asked for", unseen.len());
    origin.stop_node(0).await;
    let (first, rest) = unseen.split_at(unseen.len() / 2);
    for path in first {
        assert_eq!(cache.get(path).await.status(), 200, "{path} with one node");
    }
    let list = format!("/{}/tracks-v1/archive-{}-90.fmp4.m3u8", origin::STREAM, origin.from + 30);
    assert_eq!(cache.get(&list).await.status(), 200);
    origin.stop_node(1).await;
    for path in first.iter().chain([&seen, &list]) {
        let answer = cache.get(path).await;
        assert_eq!(answer.status(), 200, "{path} with no node");
    }
    assert_eq!(cache.get(&rest[0]).await.status(), 502, "what nobody has");
}
