//! The recorded channel: a long part, a gap, a change of parameters inside a run, a change of codec with a new run,
//! and a part that is on air.

use super::clip::{self, Clip, FPS};
use super::node::Node;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Name of the stream.
pub const STREAM: &str = "players/tv";
/// Frames before the gap.
pub const BEFORE_GAP: Range<i64> = 0..60 * FPS;
/// After the gap, with the same parameters.
pub const AFTER_GAP: Range<i64> = 100 * FPS..120 * FPS;
/// In the same run, larger pictures of another profile.
pub const LARGER: Range<i64> = 120 * FPS..140 * FPS;
/// A new run without a gap: smaller pictures, and another sort of sound.
pub const OTHER_CODEC: Range<i64> = 140 * FPS..160 * FPS;
/// Where the part on air begins.
pub const LIVE_FRAME: i64 = 200 * FPS;
const LIVE_SECONDS: i64 = 330;

/// A node that records and plays.
pub struct Recording {
    node: Node,
    _clips: tempfile::TempDir,
    /// Wall time of frame 0, UTC seconds.
    pub zero: i64,
    /// When the part on air began, UTC seconds.
    pub live_from: i64,
}

fn settings(file: &Path, options: &str) -> String {
    format!(
        "[recorder]\nsegment_seconds = 2\n[[stream]]\nname = \"{STREAM}\"\nsource = \"file:{}?{options}\"\n",
        file.display()
    )
}

async fn wait_until_recorded(node: &Node, from: i64, to: i64) {
    let until = Instant::now() + Duration::from_secs(60);
    let url = format!("{}/{STREAM}/recording_status.json", node.base());
    let mut last = String::new();
    while Instant::now() < until {
        last = reqwest::get(&url).await.expect("an answer").text().await.expect("a text");
        let json: serde_json::Value = serde_json::from_str(&last).unwrap_or_default();
        let ranges = json[0]["ranges"].as_array().cloned().unwrap_or_default();
        let number = |range: &serde_json::Value, key: &str| range[key].as_i64().unwrap_or(0);
        if ranges.iter().any(|r| number(r, "from") <= from && number(r, "from") + number(r, "duration") >= to - 1) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not recorded from {from} to {to}: {last}\n{}", node.log());
}

impl Recording {
    /// Makes the clips, records them, and begins the part on air.
    pub async fn start() -> Self {
        let clips = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| -> PathBuf { clips.path().join(name) };
        let clip = |frames: Range<i64>, width, height, profile, sound| Clip { frames, width, height, profile, sound };
        let usual = |frames: Range<i64>| clip(frames, 320, 192, "high", (48_000, 2));
        let live = LIVE_FRAME..LIVE_FRAME + LIVE_SECONDS * FPS;
        let (before, after, on_air) = (usual(BEFORE_GAP), usual(AFTER_GAP), usual(live));
        let larger = clip(LARGER, 480, 288, "main", (48_000, 2));
        let other = clip(OTHER_CODEC, 256, 160, "main", (44_100, 1));
        let paths = ["before.ts", "after.ts", "larger.ts", "other.ts", "live.ts"].map(path);
        tokio::join!(
            before.write(&paths[0], 0),
            after.write(&paths[1], 0),
            larger.write(&paths[2], AFTER_GAP.end - AFTER_GAP.start),
            other.write(&paths[3], 0),
            on_air.write(&paths[4], 0),
        );
        let changing = path("changing.ts");
        clip::join(&[&paths[1], &paths[2]], &changing);

        let zero = evertape::clock::now().seconds() - LIVE_FRAME / FPS;
        let wall = |frame: i64| zero + frame / FPS;
        let start = |frame: i64| format!("start={}", wall(frame));
        let mut node = Node::start(&settings(&paths[0], &start(BEFORE_GAP.start))).await;
        wait_until_recorded(&node, wall(BEFORE_GAP.start), wall(BEFORE_GAP.end)).await;
        node.restart_with(&settings(&changing, &start(AFTER_GAP.start))).await;
        wait_until_recorded(&node, wall(AFTER_GAP.start), wall(LARGER.end)).await;
        node.restart_with(&settings(&paths[3], &start(OTHER_CODEC.start))).await;
        wait_until_recorded(&node, wall(AFTER_GAP.start), wall(OTHER_CODEC.end)).await;
        // Live is what ends now: the clip begins at its own wall time, and is read in real time from now on.
        let live_from = wall(LIVE_FRAME);
        node.restart_with(&settings(&paths[4], &format!("realtime=1&start={live_from}"))).await;
        Self { node, _clips: clips, zero, live_from }
    }

    /// Waits until so many seconds are on air.
    pub async fn wait_for_live(&self, seconds: i64) {
        wait_until_recorded(&self.node, self.live_from, self.live_from + seconds).await;
    }

    /// Address of the node.
    pub fn base(&self) -> String {
        self.node.base()
    }
}
