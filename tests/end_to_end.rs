//! The whole path with real programs: ffmpeg makes live sources with numbered frames, `evertape` records them,
//! ffmpeg and ffprobe read back what it plays. Once on SQLite and a folder, once on PostgreSQL and Garage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod e2e;

use e2e::{cluster, media, node::Node, scenario, sources};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn records_and_plays_on_sqlite_and_a_folder() {
    let clips = media::clips().await;
    let sources = sources::start(&clips).await;
    let node = Node::start(&sources.config()).await;
    scenario::check_all(&[node.base()], &sources, &clips).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_and_plays_on_postgresql_and_garage() {
    let clips = media::clips().await;
    let sources = sources::start(&clips).await;
    let cluster = cluster::Cluster::start(&sources.config()).await;
    scenario::check_all(&cluster.nodes(), &sources, &clips).await;
}

/// Whatever a kill interrupts, the next start goes on from the spool: no number is missing, none is there twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_recorder_loses_no_cut_segment() {
    let mut node =
        Node::start("[recorder]\nsegment_seconds = 1\n[[stream]]\nname = \"demo\"\nsource = \"demo:\"\n").await;
    for round in 0..3 {
        tokio::time::sleep(Duration::from_millis(4300 + 900 * round)).await;
        node.kill_and_restart().await;
    }
    scenario::wait_for_recording(&node.base(), "demo", 4).await;
    let sequences = scenario::listed_sequences(&node.base(), "demo").await;
    assert!(sequences.len() >= 4, "{sequences:?}");
    assert!(sequences.windows(2).all(|w| w[1] == w[0] + 1), "{sequences:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_empties_index_and_store() {
    let settings = "[recorder]\nsegment_seconds = 1\n[janitor]\ngrace = \"2s\"\ninterval = \"300ms\"\n\
                    [[stream]]\nname = \"demo\"\nsource = \"demo:\"\nretention = \"4s\"\n";
    let node = Node::start(settings).await;
    scenario::wait_for_recording(&node.base(), "demo", 2).await;
    let mut most = 0;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        most = node.objects().max(most);
    }
    let sequences = scenario::listed_sequences(&node.base(), "demo").await;
    assert!(sequences.first().is_some_and(|s| *s > 3), "nothing was unlisted: {sequences:?}");
    // 4 s of retention, 2 s of grace, segments of 2 s (the demo's distance of sync samples), one under way.
    assert!(most <= 8, "{most} objects at once");
    assert!(node.objects() >= 2);
}
