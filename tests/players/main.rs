//! Real players play every form of URL: ffmpeg, VLC, GStreamer, and in Chromium hls.js and Shaka Player.
//!
//! The recording's frames carry their number, and the number tells the wall time; so each decoded picture says
//! whether the player shows what its URL asked for: at the start, across a gap or a change of codec, after a seek.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)]
#[path = "../e2e/node.rs"]
mod node;

mod clip;
mod recording;

use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn hold() {
    let recording = recording::Recording::start().await;
    println!("{} t0={} live={}", recording.base(), recording.zero, recording.live_from);
    std::fs::write("/tmp/players-base", format!("{} {} {}", recording.base(), recording.zero, recording.live_from))
        .unwrap();
    tokio::time::sleep(Duration::from_secs(900)).await;
}
