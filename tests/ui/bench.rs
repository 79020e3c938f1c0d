//! Thirty days of recording with 10,000 gaps in a real index: how long the timeline's frames take in a browser, and how
//! long the index takes to say what is recorded.

use crate::archive;
use crate::clip::Clip;
use crate::common_recording::{Bed, name};
use crate::node::Node;
use evertape::index::{Index, Keeping};
use evertape::media::segment::{SegmentId, SegmentWithTables};
use evertape::media::{RunId, UtcRange, UtcUs};
use std::path::PathBuf;
use std::time::Instant;
use tokio::process::Command;

const STREAM: &str = "news";
const DAYS: i64 = 30;
const GAPS: i64 = 10_000;
const SEGMENT_S: i64 = 6;
const SEGMENTS: i64 = DAYS * 86_400 / SEGMENT_S;
/// As many rows as one call takes.
const BATCH: usize = 1000;

/// Writes the rows: one real segment, again and again. Its objects are not there: nobody plays them.
async fn thirty_days(bed: &Bed, until_s: i64) {
    let template = name("template");
    archive::record_clip(bed, "template", Clip { pictures: 0..60, is_hevc: false, sounds: &["eng"] }, until_s - 60)
        .await;
    let all = UtcRange::new(UtcUs(0), UtcUs(i64::MAX / 4));
    let segment = bed.index.window(&template, all, None, 1).await.unwrap().remove(0);
    let tables = bed.index.sample_tables(&template, 0, 1).await.unwrap().remove(0).1;
    let hashes: Vec<_> = segment.tracks.iter().map(|t| t.init).collect();
    let inits = bed.index.inits(&template, &hashes).await.unwrap();
    let stream = name(STREAM);
    let mut rows = Vec::with_capacity(BATCH);
    let mut start_s = until_s - DAYS * 86_400;
    for n in 0..SEGMENTS {
        let gap = n * GAPS / SEGMENTS;
        // A segment is missing: the next one begins a run of its own.
        let begins = n > 0 && gap != (n - 1) * GAPS / SEGMENTS;
        start_s += if begins { 2 * SEGMENT_S } else { SEGMENT_S };
        let id = SegmentId {
            stream: stream.clone(),
            run: RunId(gap as u128),
            epoch: 1,
            sequence: n as u64,
            start: UtcUs::from_seconds(start_s - GAPS * SEGMENT_S),
            duration_us: SEGMENT_S * 1_000_000,
        };
        let mut row = segment.clone();
        row.object = id.object_key().unwrap();
        row.discontinuity = gap as u64;
        row.id = id;
        rows.push(SegmentWithTables { segment: row, tables: tables.clone() });
        if rows.len() == BATCH || n + 1 == SEGMENTS {
            bed.index.adopt(&stream, &rows, &inits).await.unwrap();
            rows.clear();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: `make bench-ui`"]
async fn frame_times_with_thirty_days_and_ten_thousand_gaps() {
    let bed = Bed::new().await;
    let until_s = evertape::clock::now().seconds() / 60 * 60 - 300;
    let began = Instant::now();
    thirty_days(&bed, until_s).await;
    println!("{SEGMENTS} rows written in {:.1} s", began.elapsed().as_secs_f64());
    // What is played meanwhile is really there.
    let at_s = until_s + 60;
    let pictures = 0..1200;
    archive::record_clip(&bed, STREAM, Clip { pictures, is_hevc: false, sounds: &["eng"] }, at_s).await;
    let node = Node::start(bed.dir.path(), "").await;
    let (from_ms, to_ms) = ((until_s - 32 * 86_400) * 1000, (at_s + 3600) * 1000);
    for resolution_ms in [1, 1_000_000] {
        let path =
            format!("/api/v1/streams/{STREAM}/ranges?from_ms={from_ms}&to_ms={to_ms}&resolution_ms={resolution_ms}");
        for nth in ["first", "second"] {
            let began = Instant::now();
            let answer: serde_json::Value =
                reqwest::get(format!("{}{path}", node.base)).await.unwrap().json().await.unwrap();
            let took = began.elapsed();
            let ranges = answer["ranges"].as_array().unwrap();
            let gaps: u64 = ranges.iter().map(|r| r["gaps"].as_u64().unwrap()).sum::<u64>() + ranges.len() as u64 - 1;
            assert!(gaps.abs_diff(GAPS as u64) < 5, "{gaps} gaps");
            println!(
                "ranges of {DAYS} days, {resolution_ms} ms, {nth} time: {:.0} ms, {} spans",
                took.as_secs_f64() * 1000.0,
                ranges.len()
            );
            // What was said lately is not asked for again: the second one is.
            tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        }
    }
    let mut bench = Command::new("node");
    let moment = format!("{}", (at_s + 30) * 1000);
    bench.args(["e2e/bench.mjs", "--base", &node.base, "--stream", STREAM, "--at", &moment]);
    let ui = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("ui");
    assert!(bench.current_dir(ui).status().await.expect("node starts").success());
}
