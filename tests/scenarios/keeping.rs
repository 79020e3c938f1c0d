//! Retention beside what is being read, and two janitors beside each other.

use crate::bed::stream;
use crate::client::{Taken, download, get};
use crate::proxy::Mode;
use crate::stage::{Common, Dice, Stage, until};
use crate::table::Row;
use evertape::media::{UtcRange, UtcUs};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const ALL_TIME: UtcRange = UtcRange { start: UtcUs(0), end: UtcUs(i64::MAX / 4) };

/// A file is taken slowly while all of its window is unlisted; the janitor deletes it only after the grace, and until
/// then its bytes are what they were.
pub async fn retention_races_an_export(common: Arc<Common>) -> Row {
    const WINDOW_S: i64 = 400;
    let mut stage = Stage::fast(&common, 20).await;
    stage.bed.segment_seconds = 2;
    let links = [stage.link().await, stage.link().await, stage.link().await];
    let recorder = stage.bed.start("a", &links[0].with());
    stage.records_s(WINDOW_S + 10).await;
    stage.stop("a", recorder).await;
    let ledger = stage.ledger().await;
    let from = stage.bed.listed().await[0].id.start.0 / 1_000_000 + 2;
    let paths = ["mp4", "ts"].map(|kind| format!("/x/archive-{from}-{WINDOW_S}.{kind}"));
    let undisturbed = stage.play("play1", &links[1]).await;
    let mut wanted = Vec::new();
    for path in &paths {
        wanted.push(download(undisturbed.address, path).await.expect("a download").expect("a file"));
    }
    undisturbed.process.stop().await;
    // Another node, that has nothing of it in its memory.
    let node = stage.play("play2", &links[1]).await;
    let before = links[1].s3.counted().bytes_down;
    let mut slow = Vec::new();
    for (path, whole) in paths.iter().zip(&wanted) {
        let mut answer = get(node.address, path, &[]).await.expect("an answer");
        assert_eq!(answer.status, 200);
        let mut taken = Taken::default();
        assert!(!taken.take(&mut answer, whole.bytes / 10).await.expect("the beginning"));
        slow.push((answer, taken));
    }
    let (keep, rules) = ("retention = \"1s\"", "grace = \"20s\"\ninterval = \"500ms\"");
    let mut once = stage.janitor("unlisting", &links[2], keep, rules, &["--once", "--force"]);
    assert!(once.died(Duration::from_secs(60)).await, "{}", once.said());
    assert_eq!(stage.bed.listed().await, [], "nothing is listed any more");
    let janitor = stage.janitor("deleting", &links[2], keep, rules, &[]);
    let read = links[1].s3.counted().bytes_down - before;
    let of = wanted[0].bytes + wanted[1].bytes;
    assert!(read < of * 2 / 3, "the node had read {read} of {of} bytes before anything was unlisted: no race");
    for ((answer, taken), whole) in slow.iter_mut().zip(&wanted) {
        let quarter = whole.bytes / 4;
        for part in 1..4 {
            assert!(!taken.take(answer, part * quarter).await.expect("more"));
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        taken.take(answer, u64::MAX).await.expect("the rest of it");
        assert_eq!((taken.bytes, taken.sha256()), (whole.bytes, whole.sha256()), "other bytes than undisturbed");
    }
    until("all is deleted", async || stage.objects().await.is_empty()).await;
    let rows = async || stage.bed.index.rows(&stream(), ALL_TIME, None, 10).await.expect("rows").len();
    until("the rows are deleted, too", async || rows().await == 0).await;
    let gone = async || matches!(download(node.address, &paths[0]).await, Ok(Err(404)));
    until("the node says that it is gone", gone).await;
    janitor.stop().await;
    let more = format!(
        "MP4 and TS of {:.1} and {:.1} MB, {}% read when unlisted: the same bytes; then all deleted",
        wanted[0].bytes as f64 / 1e6,
        wanted[1].bytes as f64 / 1e6,
        read * 100 / of
    );
    let mut row = Row::of("retention races two exports (grace 20 s)", &stage, &ledger).more(more);
    row.longest_lag_s = None;
    row
}

/// Two janitor processes on one stream by size, while it is recorded; each is killed now and then, the store fails
/// a third of their requests.
pub async fn two_janitors(common: Arc<Common>) -> Row {
    const KEPT_BYTES: u64 = 1_500_000;
    let mut stage = Stage::fast(&common, 20).await;
    stage.bed.segment_seconds = 2;
    let links = [stage.link().await, stage.seeded_link(2).await, stage.seeded_link(3).await];
    let recorder = stage.bed.start("a", &links[0].with());
    let keep = format!("retention_bytes = \"{KEPT_BYTES}\"");
    let rules = "grace = \"2s\"\ninterval = \"200ms\"";
    let start = |n: usize| stage.janitor(["j1", "j2"][n], &links[n + 1], &keep, rules, &[]);
    let mut janitors = [Some(start(0)), Some(start(1))];
    let mut dice = Dice(2);
    for round in 0..10 {
        links[1].s3.set(if round % 2 == 0 { Mode::Unavailable(30) } else { Mode::Pass });
        links[2].sql.set(if round % 3 == 0 { Mode::Latency(Duration::from_millis(40)) } else { Mode::Pass });
        tokio::time::sleep(Duration::from_millis(1000 + dice.below(1500))).await;
        let n = dice.below(2) as usize;
        janitors[n].take().expect("it runs").kill().await;
        janitors[n] = Some(start(n));
    }
    links.iter().for_each(|link| link.set(Mode::Pass));
    stage.catches_up().await;
    stage.stop("a", recorder).await;
    let sent = stage.newest().await.expect("a segment").id.sequence + 1;
    // What is marked goes after its grace, and then nothing is left to do.
    let marked = async || stage.bed.index.deletable(&stream(), ALL_TIME.end, 10_000).await.expect("rows").len();
    let bytes = async || stage.bed.index.stored_bytes(&stream()).await.expect("an answer");
    until("the janitors have nothing left to do", async || bytes().await <= KEPT_BYTES && marked().await == 0).await;
    for janitor in janitors.into_iter().flatten() {
        janitor.stop().await;
    }
    let ledger = stage.ledger().await;
    assert!(ledger.is_whole() && ledger.runs == 1, "{ledger:?}");
    let listed: BTreeSet<String> = stage.bed.listed().await.iter().map(|s| s.object.to_string()).collect();
    assert_eq!(stage.objects().await, listed, "an object without a row, or a row without its object");
    let kept = stage.bed.index.stored_bytes(&stream()).await.expect("an answer");
    let most = stage.bed.listed().await.iter().map(|s| s.object_length).max().unwrap_or(0);
    assert!(kept + 2 * most > KEPT_BYTES, "more was deleted than had to go: {kept} of {KEPT_BYTES} bytes are left");
    let deleted = sent - listed.len() as u64;
    assert!(deleted > 20, "only {deleted} segments were deleted");
    let more = format!("{deleted} segments deleted, {} kept; 0 orphans, 0 rows without object; 10 kills", listed.len());
    Row::of("two janitors at once, killed, S3 503 to 30%", &stage, &ledger).more(more)
}
