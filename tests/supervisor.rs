//! Recorders that follow the streams set in the index: when it is away at the start, when a configuration file has the
//! same name, when there are two of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common_recording;

use common_recording::{Bed, Recorder, clip, name, until};
use evertape::clock;
use evertape::index::control::{Changed, Control, Expected, ReportedState, StreamSetting};
use evertape::index::faults::{FaultyIndex, Rates};
use evertape::index::{Index, sqlite::SqliteIndex};
use evertape::media::{StreamName, UtcUs};
use evertape::playback::hls::PlainHls;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const SEGMENT_SECONDS: u32 = 2;

fn setting(source: &str) -> StreamSetting {
    StreamSetting {
        source: source.into(),
        retention_us: None,
        retention_bytes: None,
        hls: PlainHls::Auto,
        standby: false,
        paused: false,
    }
}

async fn set(index: &SqliteIndex, stream: &StreamName, setting: StreamSetting) {
    let present = index.setting(stream).await.unwrap().is_some();
    let expected = if present { Expected::Present } else { Expected::Absent };
    let changed = index.put_setting(stream, &setting, expected, clock::now()).await.unwrap();
    assert!(matches!(changed, Changed::Done(_)), "{changed:?}");
}

/// Widths of the pictures that were recorded.
async fn widths(bed: &Bed, stream: &StreamName) -> BTreeSet<u32> {
    let mut hashes = BTreeSet::new();
    for segment in bed.listed(stream).await {
        hashes.extend(segment.tracks.iter().map(|t| t.init));
    }
    let hashes: Vec<_> = hashes.into_iter().collect();
    let inits = bed.index.inits(stream, &hashes).await.unwrap();
    inits.iter().filter_map(|i| i.params.video.map(|v| v.width)).collect()
}

/// Segments in a spool, numbered or not.
fn segments_below(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    let count = |path: PathBuf| match path.is_dir() {
        true => segments_below(&path),
        false => usize::from(path.extension().is_some_and(|e| e == "cmfs")),
    };
    entries.map(count).sum()
}

async fn edge(bed: &Bed, stream: &StreamName) -> UtcUs {
    bed.index.extent(stream).await.unwrap().map_or(UtcUs(0), |e| e.live_edge)
}

/// The streams of the file are recorded all the same, into the spool; those of the index follow when it is there.
#[tokio::test(flavor = "multi_thread")]
async fn the_index_is_away_at_the_start() {
    let bed = Bed::new().await;
    let (of_file, of_index) = (name("of/file"), name("of/index"));
    set(&bed.index, &of_index, setting("demo:")).await;
    let rates = Rates { before_percent: 0, after_percent: 0, delay_percent: 0, delay: Duration::ZERO };
    let index = FaultyIndex::seeded(bed.index.clone(), 1, rates);
    index.set_out(true);
    let spool = bed.spool("spool").await;
    let streams = [(of_file.as_str(), "demo:".to_owned())];
    let recorder = Recorder::start(bed.store.clone(), Arc::new(index.clone()), spool, SEGMENT_SECONDS, &streams);
    // Without an index there are no numbers: what is cut waits as shadows.
    until("the file's stream waits in the spool", async || segments_below(&bed.dir.path().join("spool")) >= 2).await;
    for stream in [&of_file, &of_index] {
        assert_eq!(bed.listed(stream).await, [], "{stream} is listed by an index that is away");
    }
    index.set_out(false);
    until("both are recorded", async || {
        bed.listed(&of_file).await.len() >= 3 && !bed.listed(&of_index).await.is_empty()
    })
    .await;
    recorder.stop().await;
    for stream in [&of_file, &of_index] {
        assert_eq!(bed.check(stream).await.len(), 1, "{stream}: one run, from the first picture on");
    }
}

/// Whatever the index says of the same name, at the start and later.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_the_file_is_the_files() {
    let bed = Bed::new().await;
    let small = clip(bed.dir.path()).await;
    let looped = setting(&format!("file:{}?loop=1&realtime=1", small.display()));
    let (both, of_index) = (name("both"), name("of/index"));
    set(&bed.index, &both, looped.clone()).await;
    set(&bed.index, &of_index, looped.clone()).await;
    let spool = bed.spool("spool").await;
    let streams = [(both.as_str(), "demo:".to_owned())];
    let recorder = Recorder::start(bed.store.clone(), bed.index.clone(), spool, SEGMENT_SECONDS, &streams);
    let more = async |stream: &StreamName, than: usize| bed.listed(stream).await.len() > than;
    until("both are recorded", async || more(&both, 1).await && more(&of_index, 0).await).await;
    // Changed in the index, then paused, then deleted there: the file's stream does not notice.
    set(&bed.index, &both, setting("udp://127.0.0.1:9")).await;
    set(&bed.index, &both, StreamSetting { paused: true, ..looped.clone() }).await;
    set(&bed.index, &of_index, StreamSetting { paused: true, ..looped }).await;
    let mut stood = edge(&bed, &of_index).await;
    until("the changes have been followed", async || {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let (before, now) = (stood, edge(&bed, &of_index).await);
        stood = now;
        before == now
    })
    .await;
    bed.index.remove_setting(&both, Expected::Present, clock::now()).await.unwrap();
    let listed = bed.listed(&both).await.len();
    until("the file's stream goes on", async || more(&both, listed + 2).await).await;
    recorder.stop().await;
    assert_eq!(widths(&bed, &both).await, BTreeSet::from([640]), "the demo clip's");
    assert_eq!(widths(&bed, &of_index).await, BTreeSet::from([160]), "the small clip's");
    assert_eq!(bed.check(&both).await.len(), 1, "it was interrupted");
}

/// Every stream has one writer, also after one of the two has gone; a change reaches both.
#[tokio::test(flavor = "multi_thread")]
async fn two_recorders_on_the_same_settings() {
    let bed = Bed::new().await;
    let names: Vec<StreamName> = (0..5).map(|n| name(&format!("s{n}"))).collect();
    for stream in &names {
        set(&bed.index, stream, setting("demo:")).await;
    }
    let start = async |spool: &str| {
        let spool = bed.spool(spool).await;
        Recorder::start(bed.store.clone(), bed.index.clone(), spool, SEGMENT_SECONDS, &[])
    };
    let (first, second) = (start("one").await, start("two").await);
    // By stream: recorders that write it, and recorders that say that another does.
    let said = async || {
        let mut said: BTreeMap<StreamName, (usize, usize)> = BTreeMap::new();
        for kept in bed.index.reports().await.unwrap() {
            let (active, waiting) = said.entry(kept.report.stream).or_default();
            *active += usize::from(kept.report.active);
            *waiting += usize::from(!kept.report.active && kept.report.state == ReportedState::Stopped);
        }
        said
    };
    until("each has one writer, and the other recorder knows", async || {
        let said = said().await;
        names.iter().all(|n| said.get(n) == Some(&(1, 1)))
    })
    .await;
    let all_go_on = async |streams: &[StreamName]| {
        let mut before = Vec::new();
        for stream in streams {
            before.push(edge(&bed, stream).await);
        }
        until("all streams are recorded", async || {
            for (stream, before) in streams.iter().zip(&before) {
                if edge(&bed, stream).await <= *before {
                    return false;
                }
            }
            true
        })
        .await;
    };
    all_go_on(&names).await;
    first.stop().await;
    // What the first one had is the other's now.
    all_go_on(&names).await;
    until("the one that is left writes all", async || {
        let said = said().await;
        names.iter().all(|n| said.get(n).is_some_and(|(active, _)| *active == 1))
    })
    .await;
    let (paused, rest) = names.split_first().unwrap();
    set(&bed.index, paused, StreamSetting { paused: true, ..setting("demo:") }).await;
    until("nobody records what is paused", async || !said().await.contains_key(paused)).await;
    let third = start("one").await;
    all_go_on(rest).await;
    second.stop().await;
    third.stop().await;
    for stream in &names {
        // Numbers are dense, objects are as the rows say, wall time does not run backwards.
        bed.check(stream).await;
    }
}
