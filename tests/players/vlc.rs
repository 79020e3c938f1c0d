//! VLC: in real time, with its dummy interface, writing what it shows as raw pictures into a pipe.

use super::cases::{Case, Container, Form};
use super::clip::{FPS, number_of};
use super::expect::{Expected, position};
use super::recording::{AFTER_GAP, BEFORE_GAP};
use std::ops::Range;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::Command;

/// Longest play of one URL.
const LIMIT: Duration = Duration::from_secs(25);
/// Pictures it may leave out in one place: at a change of size, what it has not shown yet.
const MOST_MISSING: i64 = 2 * FPS;
/// The user "nobody": VLC refuses to run as root.
const NOBODY: u32 = 65_534;

/// Reads YUV4MPEG2 as it comes: a header at each change of size, then 4:2:0 pictures.
#[derive(Default)]
struct Pictures {
    bytes: Vec<u8>,
    size: (usize, usize),
    numbers: Vec<Option<i64>>,
}

impl Pictures {
    fn push(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
        let mut at = 0;
        while let Some(end) = self.bytes[at..].iter().take(200).position(|b| *b == b'\n').map(|n| at + n) {
            let line = String::from_utf8_lossy(&self.bytes[at..end]).into_owned();
            if line.starts_with("YUV4MPEG2") {
                let number = |key: char| line.split(' ').find_map(|w| w.strip_prefix(key)?.parse::<usize>().ok());
                self.size = (number('W').unwrap_or(0), number('H').unwrap_or(0));
                at = end + 1;
                continue;
            }
            let (width, height) = self.size;
            let next = end + 1 + width * height * 3 / 2;
            if self.bytes.len() < next {
                break;
            }
            self.numbers.push(number_of(&self.bytes[end + 1..next], width, height));
            at = next;
        }
        self.bytes.drain(..at);
    }
}

fn command(home: &Path) -> Command {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    let mut command = if is_root {
        let mut command = Command::new("setpriv");
        let id = |what: &str| format!("--re{what}={NOBODY}");
        command.args([id("uid"), id("gid"), "--clear-groups".to_owned(), "vlc".to_owned()]);
        for path in [home, &home.join("pictures")] {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("the folder can be given away");
        }
        command
    } else {
        Command::new("vlc")
    };
    command.env("HOME", home).env("XDG_RUNTIME_DIR", home).env_remove("DISPLAY");
    command
}

/// Plays until `done` says so, it ends, or the time is over.
async fn pictures(
    url: &str,
    options: &[&str],
    done: impl Fn(&[Option<i64>]) -> bool,
) -> Result<Vec<Option<i64>>, String> {
    let home = tempfile::tempdir().map_err(|e| e.to_string())?;
    let path = home.path().join("pictures");
    let made = Command::new("mkfifo").arg(&path).status().await;
    assert!(made.expect("mkfifo starts").success(), "no pipe at {}", path.display());
    // Open for writing too: so the pipe does not end when VLC opens its output anew.
    let mut input = pipe::OpenOptions::new().read_write(true).open_receiver(&path).expect("a pipe");
    let log = std::fs::File::create(home.path().join("log")).expect("a log");
    let mut child = command(home.path())
        .args(["-I", "dummy", "--no-interact", "--no-media-library", "--aout", "dummy", "--play-and-exit"])
        .args(["--avcodec-hw", "none", "--no-drop-late-frames", "--no-skip-frames", "--no-spu", "--vout", "yuv"])
        .args(["--yuv-yuv4mpeg2", "--yuv-file"])
        .arg(&path)
        .args(options)
        .args([url, "vlc://quit"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("vlc cannot be started ({e}); run `scripts/install-deps test`"))?;
    let mut seen = Pictures::default();
    let mut buffer = vec![0; 256 << 10];
    let reading = async {
        loop {
            tokio::select! {
                biased;
                read = input.read(&mut buffer) => {
                    seen.push(&buffer[..read.unwrap_or(0)]);
                    if done(&seen.numbers) {
                        break;
                    }
                }
                _ = child.wait() => break,
            }
        }
    };
    let in_time = tokio::time::timeout(LIMIT, reading).await.is_ok();
    let _ = child.kill().await;
    while let Ok(Ok(read @ 1..)) = tokio::time::timeout(Duration::from_millis(20), input.read(&mut buffer)).await {
        seen.push(&buffer[..read]);
    }
    if seen.numbers.is_empty() {
        let said = std::fs::read_to_string(home.path().join("log")).unwrap_or_default();
        let last: Vec<&str> = said.lines().rev().take(8).collect();
        let how = if in_time { "ended" } else { "was ended" };
        return Err(format!("no picture; vlc {how} and said: {}", last.join(" | ")));
    }
    Ok(seen.numbers)
}

/// VLC plays a case.
pub async fn play(case: &Case) -> Result<(), String> {
    // It knows no EXT-X-START: what grows is played from its live edge.
    let case = if case.form == Form::Now { &case.as_live() } else { case };
    let first = case.first_now();
    // VLC 3 cannot go on after a discontinuity in fMP4, whoever made it: "Failed to create demuxer MP4". It plays up to
    // there. See docs/players.md.
    let crosses = case.container == Container::Ts;
    let expected = |first: Range<i64>, seam: Option<i64>| Expected {
        first,
        least: if crosses { 2 * FPS as usize } else { FPS as usize },
        most_missing: MOST_MISSING,
        last: None,
        seams: seam.filter(|_| crosses).into_iter().collect(),
    };
    let from_start = first.start..first.end + 3;
    if case.last.is_none() {
        return play_until(case, &[], &expected(from_start, case.seams.first().copied())).await;
    }
    // What is finished: its beginning, then from three seconds before each break.
    play_until(case, &[], &expected(from_start, None)).await?;
    if case.form == Form::ExportTs {
        return Ok(());
    }
    let begins = position(first.start).unwrap_or(0);
    // In fMP4 it takes the first init segment for all, wherever it begins.
    let seams = if crosses { &case.seams[..] } else { &case.seams[..1] };
    for seam in seams {
        let before = position(*seam).unwrap_or(0) - begins;
        let option = format!("--start-time={}", before / FPS - 3);
        // It goes to the sync sample before.
        let last_before = if *seam == AFTER_GAP.start { BEFORE_GAP.end } else { *seam };
        let expected = expected(last_before - 5 * FPS..last_before - 2 * FPS, Some(*seam));
        play_until(case, &[&option], &expected).await.map_err(|e| format!("{option}: {e}"))?;
    }
    Ok(())
}

/// Plays until all that is expected may have been seen.
async fn play_until(case: &Case, options: &[&str], expected: &Expected) -> Result<(), String> {
    let done = |frames: &[Option<i64>]| {
        let beyond = |seam: &i64| frames.last().copied().flatten().is_some_and(|f| f >= *seam + FPS / 2);
        frames.len() >= expected.least && expected.seams.iter().all(beyond)
    };
    expected.check(&pictures(&case.url(), options, done).await?)
}
