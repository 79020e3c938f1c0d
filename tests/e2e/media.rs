//! Clips whose frames carry their number, and readers of such numbers.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// Frames a second of every clip.
pub const FPS: i64 = 25;
const SECONDS: u32 = 180;
const BITS: usize = 16;

/// The clips of one test, in a temporary folder.
pub struct Clips {
    _dir: tempfile::TempDir,
    /// H.264 with B-frames, and AAC.
    pub h264: PathBuf,
    /// H.265 and AAC.
    pub hevc: PathBuf,
    /// H.264 and two AAC tracks, in English and French.
    pub two_languages: PathBuf,
}

/// Runs a program that must succeed; gives what it printed.
pub async fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap_or_else(|e| panic!("{program} cannot be started ({e}); run `scripts/install-deps test`"));
    assert!(output.status.success(), "{program} {arguments:?}\n{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A number in each frame: a row of boxes, white for the bits that are set.
pub fn numbering() -> String {
    (0..BITS)
        .map(|bit| {
            let x = bit * 20;
            format!(
                "drawbox=x={x}:y=80:w=20:h=32:color=white:t=fill:enable='gt(mod(floor(n/{})\\,2)\\,0)'",
                1u32 << bit
            )
        })
        .collect::<Vec<_>>()
        .join(",")
}

/// Makes the clips.
pub async fn clips() -> Clips {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| dir.path().join(name);
    let (h264, hevc, two) = (path("h264.ts"), path("hevc.mp4"), path("two.ts"));
    let video = format!("color=black:s=320x192:r={FPS}:d={SECONDS},{}", numbering());
    let tone = |hz: u32| format!("sine=frequency={hz}:sample_rate=48000:duration={SECONDS}");
    let (tone1, tone2) = (tone(440), tone(660));
    let x264 =
        ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", "50", "-bf", "2", "-sc_threshold", "0"];
    let x265 = [
        "-c:v",
        "libx265",
        "-preset",
        "ultrafast",
        "-pix_fmt",
        "yuv420p",
        "-tag:v",
        "hvc1",
        "-x265-params",
        "keyint=50:min-keyint=50:scenecut=0:log-level=error",
    ];
    let aac = ["-c:a", "aac", "-b:a", "96k", "-ac", "2"];
    let start = ["-y", "-v", "error", "-f", "lavfi", "-i", &video, "-f", "lavfi", "-i", &tone1];
    let first = [&start[..], &x264, &aac, &[h264.to_str().expect("a path")]].concat();
    let second = [&start[..], &x265, &aac, &[hevc.to_str().expect("a path")]].concat();
    let languages = [
        "-map",
        "0:v",
        "-map",
        "1:a",
        "-map",
        "2:a",
        "-metadata:s:a:0",
        "language=eng",
        "-metadata:s:a:1",
        "language=fra",
    ];
    let third = [&start[..], &["-f", "lavfi", "-i", &tone2], &languages, &x264, &aac, &[two.to_str().expect("a path")]]
        .concat();
    run("ffmpeg", &first).await;
    run("ffmpeg", &second).await;
    run("ffmpeg", &third).await;
    Clips { _dir: dir, h264, hevc, two_languages: two }
}

/// Numbers of the frames that a player sees of `input` (a file or a URL), in order.
pub async fn frame_numbers(input: &str, options: &[&str]) -> Vec<i64> {
    let read = "crop=320:16:0:88,scale=16:1:flags=area,format=gray";
    let mut arguments = vec!["-v", "error"];
    arguments.extend_from_slice(options);
    arguments.extend_from_slice(&[
        "-i",
        input,
        "-map",
        "0:v:0",
        "-vf",
        read,
        "-fps_mode",
        "passthrough",
        "-f",
        "rawvideo",
        "-",
    ]);
    let rows = run("ffmpeg", &arguments).await;
    rows.chunks_exact(BITS)
        .map(|row| row.iter().enumerate().map(|(bit, level)| i64::from(*level > 128) << bit).sum())
        .collect()
}

/// Hashes of the packets of the first track of a kind (`v`, `a`), in one form for all containers.
pub async fn packet_hashes(input: &Path, kind: &str, is_hevc: bool) -> Vec<String> {
    let map = format!("0:{kind}:0");
    let is_ts = input.extension().is_some_and(|e| e == "ts");
    let filter = match (kind, is_hevc, is_ts) {
        ("v", false, true) => "filter_units=remove_types=7|8|9",
        ("v", false, false) => "h264_mp4toannexb,filter_units=remove_types=7|8|9",
        ("v", true, true) => "filter_units=remove_types=32|33|34|35",
        ("v", true, false) => "hevc_mp4toannexb,filter_units=remove_types=32|33|34|35",
        (_, _, true) => "aac_adtstoasc",
        _ => "null",
    };
    let bsf = format!("-bsf:{kind}");
    // Without the edit list: the packets as they are stored.
    let mut arguments = vec!["-v", "error"];
    if !is_ts {
        arguments.extend_from_slice(&["-ignore_editlist", "1"]);
    }
    let path = input.to_str().expect("a path");
    arguments.extend_from_slice(&["-i", path, "-map", &map, "-c", "copy", &bsf, filter, "-f", "framemd5", "-"]);
    let text = String::from_utf8(run("ffmpeg", &arguments).await).expect("text");
    text.lines()
        .filter(|l| !l.starts_with('#'))
        .filter_map(|l| l.split(',').nth(5))
        .map(|h| h.trim().to_owned())
        .collect()
}
