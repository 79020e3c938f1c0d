//! What was recorded before the server starts: several days with gaps and a clock in the picture, a codec that Chromium
//! does not play, and a stream that is set nowhere any more. All by the recorder itself, at full speed.

use crate::clip::{BITS, Clip, FPS};
use crate::common_recording::{Bed, Recorder, file_from, until};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::Ordering;

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;
const SEGMENT_SECONDS: u32 = 6;

/// The archive with the clock.
pub const TV: &str = "tv/clock";
/// H.265.
pub const UHD: &str = "sport/uhd-1";
/// Nobody records it any more.
pub const LEFT_OVER: &str = "left-over";

/// Spans of [`TV`]: seconds before the moment that all is told from, and length.
const SPANS: [(i64, i64); 7] = [
    (3 * 24 * HOUR, 4 * MINUTE),
    (26 * HOUR, 4 * MINUTE),
    // A window of two hours that begins in the one ends in the other.
    (6 * HOUR, 7 * MINUTE),
    (6 * HOUR - 117 * MINUTE, 8 * MINUTE),
    // Half an hour is missing, then six seconds.
    (100 * MINUTE, 12 * MINUTE),
    (58 * MINUTE, 12 * MINUTE),
    (46 * MINUTE - 6, 5 * MINUTE),
];

/// One recording to be made.
struct Part {
    stream: &'static str,
    clip: Clip,
    start_s: i64,
}

/// Records everything; says what there is, for the tests in the browser.
pub async fn record(bed: &Bed) -> Value {
    // On the minute, and long enough ago that nothing lies in the future.
    let told_from_s = (evertape::clock::now().seconds() / MINUTE - 1) * MINUTE;
    let zero_s = told_from_s - SPANS[0].0;
    let number = |at_s: i64| (at_s - zero_s) * FPS;
    let clip = |start_s: i64, seconds: i64| Clip {
        pictures: number(start_s)..number(start_s + seconds),
        is_hevc: false,
        sounds: &["eng", "deu"],
    };
    let spans: Vec<(i64, i64)> = SPANS.iter().map(|(ago, seconds)| (told_from_s - ago, *seconds)).collect();
    let mut parts: Vec<Part> =
        spans.iter().map(|&(start_s, seconds)| Part { stream: TV, clip: clip(start_s, seconds), start_s }).collect();
    let start_s = told_from_s - 20 * MINUTE;
    let hevc = Clip { is_hevc: true, sounds: &["eng"], ..clip(start_s, 40) };
    parts.push(Part { stream: UHD, clip: hevc, start_s });
    let start_s = told_from_s - 2 * HOUR;
    parts.push(Part { stream: LEFT_OVER, clip: Clip { sounds: &[], ..clip(start_s, 30) }, start_s });
    let folder = bed.dir.path().join("clips");
    std::fs::create_dir(&folder).expect("a folder");
    // Two at a time: as many as an ordinary machine has cores.
    let paths: Vec<_> = (0..parts.len()).map(|n| folder.join(format!("{n}.ts"))).collect();
    for (parts, paths) in parts.chunks(2).zip(paths.chunks(2)) {
        let both = parts.iter().zip(paths).map(|(part, path)| part.clip.write(path));
        futures::future::join_all(both).await;
    }
    for (part, path) in parts.iter().zip(&paths) {
        record_part(bed, part, path).await;
    }
    std::fs::remove_dir_all(&folder).expect("the clips are not needed any more");
    json!({
        "tv": TV, "uhd": UHD, "leftOver": LEFT_OVER,
        "spans": spans.iter().map(|(from_s, s)| json!([from_s * 1000, (from_s + s) * 1000])).collect::<Vec<_>>(),
        "longGap": 4, "shortGap": 5, "windows": 2,
        "clock": { "zero_ms": zero_s * 1000, "frame_ms": 1000 / FPS, "bits": BITS },
    })
}

/// Makes a clip and records it.
pub async fn record_clip(bed: &Bed, stream: &'static str, clip: Clip, start_s: i64) {
    let path = bed.dir.path().join("clip.ts");
    clip.write(&path).await;
    record_part(bed, &Part { stream, clip, start_s }, &path).await;
}

async fn record_part(bed: &Bed, part: &Part, path: &Path) {
    let spool = bed.spool("library-spool").await;
    let streams = [(part.stream, file_from(path, part.start_s))];
    let recorder = Recorder::start(bed.store.clone(), bed.index.clone(), spool, SEGMENT_SECONDS, &streams);
    let status = recorder.status[0].clone();
    let published = || status.waiting.load(Ordering::Relaxed) == 0;
    until("the clip is recorded", async || status.source_ended.load(Ordering::Relaxed) && published()).await;
    recorder.stop().await;
    assert!(published(), "something of {} is not published", part.stream);
}
