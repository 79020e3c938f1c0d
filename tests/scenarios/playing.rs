//! A playback node dies under its viewers.

use crate::client::{Taken, download, get};
use crate::stage::{Common, Stage};
use crate::table::Row;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Barrier;

const CLIENTS: usize = 10;
/// Seconds of media in each file.
const WINDOW_S: i64 = 120;

/// Two nodes; ten clients, each with an MP4 and a TS under way from one of them, which is killed. Each goes on at the
/// other, from the byte it had got to.
pub async fn playback_node_killed_under_load(common: Arc<Common>) -> Row {
    let mut stage = Stage::fast(&common, 20).await;
    stage.bed.segment_seconds = 6;
    let links = [stage.link().await, stage.link().await, stage.link().await];
    let recorder = stage.bed.start("a", &links[0].with());
    stage.records_s(WINDOW_S + 20).await;
    stage.stop("a", recorder).await;
    let from = stage.bed.listed().await[0].id.start.0 / 1_000_000 + 5;
    let paths = ["mp4", "ts"].map(|kind| format!("/x/archive-{from}-{WINDOW_S}.{kind}"));
    let [first, second] = [stage.play("play1", &links[1]).await, stage.play("play2", &links[2]).await];
    let mut wanted = Vec::new();
    for path in &paths {
        let whole = download(second.address, path).await.expect("an undisturbed download").expect("a file");
        wanted.push((whole.bytes, whole.sha256()));
    }
    let under_way = Arc::new(Barrier::new(2 * CLIENTS + 1));
    let killed = Arc::new(Barrier::new(2 * CLIENTS + 1));
    let mut clients = Vec::new();
    for (path, (bytes, _)) in (0..CLIENTS).flat_map(|_| paths.iter().zip(&wanted)) {
        let (path, bytes) = (path.clone(), *bytes);
        let (addresses, barriers) = ([first.address, second.address], [under_way.clone(), killed.clone()]);
        clients.push(tokio::spawn(async move { one(&path, bytes, addresses, barriers).await }));
    }
    under_way.wait().await;
    first.process.kill().await;
    let since = Instant::now();
    killed.wait().await;
    let (mut resumed, mut longest, mut broke_at) = (0, Duration::ZERO, 0_u64);
    for (client, (bytes, sha256)) in clients.into_iter().zip(wanted.iter().cycle()) {
        let done = client.await.expect("a client");
        assert_eq!((done.taken.bytes, &done.taken.sha256()), (*bytes, sha256), "other bytes than undisturbed");
        assert!(done.broke_at < *bytes, "the download was over before the node died");
        resumed += 1;
        broke_at += done.broke_at * 100 / bytes;
        longest = longest.max(done.ended.duration_since(since));
    }
    assert_eq!(resumed, 2 * CLIENTS);
    let ledger = stage.ledger().await;
    assert!(ledger.is_whole(), "{ledger:?}");
    let more = format!(
        "{resumed} downloads of {:.1} and {:.1} MB broke at {}% and went on: the same bytes, all in {:.1} s",
        wanted[0].0 as f64 / 1e6,
        wanted[1].0 as f64 / 1e6,
        broke_at / resumed as u64,
        longest.as_secs_f64()
    );
    let mut row = Row::of("playback node killed under 10 clients", &stage, &ledger).more(more);
    row.longest_lag_s = None;
    row
}

struct Done {
    taken: Taken,
    broke_at: u64,
    ended: Instant,
}

async fn one(path: &str, bytes: u64, [first, second]: [SocketAddr; 2], barriers: [Arc<Barrier>; 2]) -> Done {
    let mut answer = get(first, path, &[]).await.expect("the first node answers");
    assert_eq!(answer.status, 200, "{path}");
    let etag = answer.header("etag").to_owned();
    let mut taken = Taken::default();
    assert!(!taken.take(&mut answer, bytes / 5).await.expect("a download under way"));
    for barrier in &barriers {
        barrier.wait().await;
    }
    let broke = taken.take(&mut answer, u64::MAX).await;
    assert!(broke.is_err(), "the node was killed, and the download went on to its end");
    let broke_at = taken.bytes;
    let range = format!("bytes={broke_at}-");
    let mut rest = get(second, path, &[("Range", &range), ("If-Range", &etag)]).await.expect("the second node answers");
    assert_eq!((rest.status, rest.header("etag")), (206, etag.as_str()), "{path}");
    assert_eq!(rest.header("content-range"), format!("bytes {broke_at}-{}/{bytes}", bytes - 1));
    taken.take(&mut rest, u64::MAX).await.expect("the rest");
    Done { taken, broke_at, ended: Instant::now() }
}
