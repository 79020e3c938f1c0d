//! Store or index are away, fail, or lie; the spool is full.

use crate::bed::{Ledger, With};
use crate::proxy::Mode;
use crate::stage::{Common, Stage, free_port, metric, until};
use crate::table::Row;
use std::sync::Arc;
use std::time::Duration;

/// So many seconds of media in a second: ten minutes of an outage are half a minute.
const SPEED: u32 = 20;

/// Nothing lost, nothing twice, one run.
fn whole(ledger: &Ledger) {
    assert!(ledger.is_whole() && ledger.runs == 1 && ledger.discontinuities == 0, "{ledger:?}");
}

/// The store is refused, then a black hole; ten minutes in all.
pub async fn store_down_ten_minutes(common: Arc<Common>) -> Row {
    let mut stage = Stage::fast(&common, SPEED).await;
    stage.bed.segment_seconds = 6;
    let link = stage.link().await;
    let recorder = stage.bed.start("a", &link.with());
    stage.records_s(30).await;
    link.s3.set(Mode::Cut);
    tokio::time::sleep(Duration::from_secs(15)).await;
    link.s3.set(Mode::Blackhole);
    tokio::time::sleep(Duration::from_secs(15)).await;
    let waiting = stage.bed.spooled("a");
    assert!(waiting > 50, "{waiting} segments wait in the spool");
    link.s3.set(Mode::Pass);
    let up = stage.catches_up().await;
    stage.stop("a", recorder).await;
    let ledger = stage.ledger().await;
    whole(&ledger);
    Row::of("S3 down for 10 min: refused, then a black hole", &stage, &ledger)
        .caught_up(up)
        .more(format!("{waiting} segments waited"))
}

pub async fn store_answers_503_to_a_third(common: Arc<Common>) -> Row {
    let mut stage = Stage::fast(&common, 10).await;
    stage.bed.segment_seconds = 6;
    let link = stage.seeded_link(503).await;
    link.s3.set(Mode::Unavailable(30));
    let recorder = stage.bed.start("a", &link.with());
    stage.source_reaches_s(300).await;
    stage.records_s(60).await;
    let counted = link.s3.counted();
    assert!(counted.unavailable * 5 > counted.requests, "{counted:?}");
    let up = stage.catches_up().await;
    stage.stop("a", recorder).await;
    let ledger = stage.ledger().await;
    whole(&ledger);
    let more = format!("{} of {} requests", counted.unavailable, counted.requests);
    Row::of("S3 answers 503 to 30% of the requests", &stage, &ledger).caught_up(up).more(more)
}

/// The store has the object, and the recorder does not hear of it.
pub async fn put_done_but_its_answer_lost(common: Arc<Common>) -> Row {
    let mut stage = Stage::fast(&common, 10).await;
    stage.bed.segment_seconds = 4;
    let link = stage.seeded_link(200).await;
    link.s3.set(Mode::LostPuts(30));
    let recorder = stage.bed.start("a", &link.with());
    stage.source_reaches_s(300).await;
    until("answers are lost", async || link.s3.counted().lost_puts >= 30).await;
    let up = stage.catches_up().await;
    stage.stop("a", recorder).await;
    let ledger = stage.ledger().await;
    whole(&ledger);
    let (objects, rows) = (stage.objects().await.len(), stage.bed.listed().await.len());
    assert_eq!(objects, rows, "an object without a row, or a row without its object");
    let more = format!("{} answers lost, {rows} rows, {objects} objects", link.s3.counted().lost_puts);
    Row::of("PUT done, its answer lost (30% of them)", &stage, &ledger).caught_up(up).more(more)
}

/// The index hangs, then is refused; five minutes in all, which is much longer than the lease.
pub async fn index_down_five_minutes(common: Arc<Common>) -> Row {
    let mut stage = Stage::fast(&common, SPEED).await;
    stage.bed.segment_seconds = 6;
    let link = stage.link().await;
    let recorder = stage.bed.start("a", &link.with());
    stage.records_s(30).await;
    link.sql.set(Mode::Hang);
    tokio::time::sleep(Duration::from_secs(8)).await;
    link.sql.set(Mode::Cut);
    tokio::time::sleep(Duration::from_secs(7)).await;
    let waiting = stage.bed.spooled("a");
    assert!(waiting > 25, "{waiting} segments wait in the spool");
    link.sql.set(Mode::Pass);
    let up = stage.catches_up().await;
    stage.stop("a", recorder).await;
    let ledger = stage.ledger().await;
    whole(&ledger);
    Row::of("SQL down for 5 min: hangs, then refused", &stage, &ledger)
        .caught_up(up)
        .more(format!("{waiting} segments waited"))
}

/// All connections of all roles are reset; after a while new ones lead to the same data.
pub async fn index_fails_over(common: Arc<Common>) -> Row {
    let mut stage = Stage::fast(&common, 5).await;
    let links = [stage.link().await, stage.link().await, stage.link().await];
    let [active, standby] = stage.two([&links[0].with(), &links[1].with()]).await;
    let node = stage.play("play", &links[2]).await;
    let url = format!("http://{}/x/recording_status.json", node.address);
    let answers = async || reqwest::get(&url).await.map(|a| a.status().as_u16()).unwrap_or(0);
    until("the node answers", async || answers().await == 200).await;
    let mut connections = 0;
    for _ in 0..3 {
        let before: u64 = links.iter().map(|l| l.sql.counted().connections).sum();
        links.iter().for_each(|l| l.sql.set(Mode::Reset));
        tokio::time::sleep(Duration::from_millis(500)).await;
        links.iter().for_each(|l| l.sql.set(Mode::Cut));
        tokio::time::sleep(Duration::from_secs(3)).await;
        links.iter().for_each(|l| l.sql.set(Mode::Pass));
        stage.records_s(10).await;
        until("the node answers again", async || answers().await == 200).await;
        connections += links.iter().map(|l| l.sql.counted().connections).sum::<u64>() - before;
    }
    let up = stage.catches_up().await;
    standby.stop().await;
    active.stop().await;
    let ledger = stage.ledger().await;
    whole(&ledger);
    let more = format!("3 times; {connections} new connections of recorder, standby and node");
    Row::of("SQL fails over to a new, empty pool", &stage, &ledger).caught_up(up).more(more)
}

/// With the store away until the spool is full, and longer.
async fn spool_full(common: Arc<Common>, when_full: &str) -> (Stage, Ledger, Duration, (f64, usize)) {
    let mut stage = Stage::fast(&common, SPEED).await;
    stage.bed.segment_seconds = 2;
    let link = stage.link().await;
    let port = free_port();
    let settings = format!("spool_max_mib = 1\nspool_when_full = \"{when_full}\"\nlisten = \"127.0.0.1:{port}\"");
    let recorder = stage.bed.start("a", &With { settings, ..link.with() });
    stage.records_s(30).await;
    let full = async || metric(port, "evertape_spool_full").await.unwrap_or(0.0);
    let lost = async || metric(port, "evertape_segments_lost_total").await.unwrap_or(0.0);
    assert_eq!((full().await, lost().await), (0.0, 0.0));
    link.s3.set(Mode::Cut);
    until("the spool is full and segments go", async || lost().await >= 20.0).await;
    assert_eq!(full().await, 1.0, "nothing alarms");
    link.s3.set(Mode::Pass);
    let up = stage.catches_up().await;
    until("the alarm is over", async || full().await == 0.0).await;
    stage.records_s(30).await;
    let counted = lost().await;
    let said = recorder.said().matches("THE SPOOL IS FULL").count();
    stage.stop("a", recorder).await;
    // A segment may have been seen twice, while one went and another came.
    assert!(stage.peaks().spool_bytes < (1 << 20) + 200_000, "the spool has held {} bytes", stage.peaks().spool_bytes);
    let ledger = stage.ledger().await;
    assert_eq!(ledger.runs, 1, "{ledger:?}");
    // Once each time that it has been full; it may be full again before it has been emptied.
    assert!((1..=ledger.gaps[0].len()).contains(&said), "the log says so {said} times: {ledger:?}");
    // What is missing is what was counted: no segment has fewer or more pictures than these.
    let pictures = stage.bed.listed().await.iter().filter_map(|s| s.lead()).map(|p| p.sample_count as usize).collect();
    let missing: usize = ledger.gaps[0].iter().sum();
    let (least, most) = extremes(pictures);
    let lost = counted as usize;
    assert!((lost * least..=lost * most).contains(&missing), "{missing} pictures are missing, {lost} segments counted");
    (stage, ledger, up, (counted, said))
}

/// The disk of the spool itself is full, long before the bound that is configured: segments are lost while it is, counted
/// and said, and all goes on when the store takes them again.
pub async fn spool_disk_full(common: Arc<Common>) -> Row {
    let mut stage = Stage::fast(&common, SPEED).await;
    stage.bed.segment_seconds = 2;
    let link = stage.link().await;
    let port = free_port();
    let settings = format!("listen = \"127.0.0.1:{port}\"");
    let recorder = stage.bed.start("a", &With { settings, spool_disk_kib: Some(1024), ..link.with() });
    stage.records_s(30).await;
    let lost = async || metric(port, "evertape_segments_lost_total").await.unwrap_or(0.0);
    assert_eq!(lost().await, 0.0);
    link.s3.set(Mode::Cut);
    until("the disk is full and segments go", async || lost().await >= 10.0).await;
    link.s3.set(Mode::Pass);
    let up = stage.catches_up().await;
    stage.records_s(30).await;
    let counted = lost().await as usize;
    let said = recorder.said().matches("A SEGMENT IS LOST").count();
    recorder.stop().await;
    let ledger = stage.ledger().await;
    assert_eq!((ledger.runs, said), (1, counted), "{ledger:?}");
    let pictures = stage.bed.listed().await.iter().filter_map(|s| s.lead()).map(|p| p.sample_count as usize).collect();
    let missing: usize = ledger.gaps[0].iter().sum();
    let (least, most) = extremes(pictures);
    assert!(
        !ledger.gaps[0].is_empty() && (counted * least..=counted * most).contains(&missing),
        "{counted}: {ledger:?}"
    );
    Row::of("the spool's disk full (1 MiB, ENOSPC)", &stage, &ledger)
        .caught_up(up)
        .more(format!("{counted} segments counted, and said"))
}

/// Of all but the first and the last.
fn extremes(mut pictures: Vec<usize>) -> (usize, usize) {
    pictures.pop();
    pictures.remove(0);
    (pictures.iter().copied().min().unwrap_or(0), pictures.iter().copied().max().unwrap_or(0))
}

pub async fn spool_full_newest_go(common: Arc<Common>) -> Row {
    let (stage, ledger, up, (counted, said)) = spool_full(common, "drop-newest").await;
    // More than one gap, where it is full again before it has been emptied.
    assert!(!ledger.gaps[0].is_empty() && ledger.free_numbers == 0, "{ledger:?}");
    Row::of("spool full (1 MiB), the newest go", &stage, &ledger)
        .caught_up(up)
        .more(format!("{counted} segments counted, {said} times alarmed"))
}

pub async fn spool_full_oldest_go(common: Arc<Common>) -> Row {
    let (stage, ledger, up, (counted, said)) = spool_full(common, "drop-oldest").await;
    assert_eq!(ledger.free_numbers as f64, counted, "{ledger:?}");
    Row::of("spool full (1 MiB), the oldest go", &stage, &ledger)
        .caught_up(up)
        .more(format!("{counted} segments counted, {said} times alarmed"))
}
