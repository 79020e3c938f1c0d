//! hls.js and Shaka Player in Chromium, by way of `tests/browser/play.mjs`: many cases in one browser.

use super::cases::{Case, Form};
use super::clip::FPS;
use super::expect::{Expected, position};
use super::recording::{AFTER_GAP, BEFORE_GAP, Recording};
use serde::Deserialize;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Longest time for all cases.
const LIMIT: Duration = Duration::from_secs(170);
/// Pages that play at once.
const TOGETHER: usize = 3;
/// A browser that has little of the processor leaves pictures out.
const MOST_MISSING: i64 = 2 * FPS;
/// The wall time that a player claims may differ by the delay of B-frames, and by one picture.
const CLAIM_MS: i64 = 3 * 1000 / FPS;

/// A player in the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Player {
    HlsJs,
    Shaka,
}

impl Player {
    /// Its name, as the page knows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::HlsJs => "hls.js",
            Self::Shaka => "Shaka",
        }
    }
}

/// What the page tells of one case.
#[derive(Debug, Deserialize)]
struct Notes {
    id: usize,
    fatal: Vec<String>,
    warnings: Vec<String>,
    requests: Vec<String>,
    steps: Vec<Step>,
    state: serde_json::Value,
}

#[derive(Debug, Deserialize)]
struct Step {
    /// When it began, UTC milliseconds.
    at_ms: i64,
    /// Media time in ms, number in the picture, wall time that the player claims.
    samples: Vec<(i64, Option<i64>, Option<i64>)>,
}

fn chromium() -> Result<PathBuf, String> {
    ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
        .iter()
        .map(PathBuf::from)
        .find(|p| p.exists())
        .ok_or_else(|| "Chromium is not there; run `scripts/install-deps test`".to_owned())
}

/// What the page does, and what each part of it must show.
fn steps(player: Player, case: &Case, recording: &Recording) -> Vec<(serde_json::Value, Expected)> {
    let started = |first: std::ops::Range<i64>| {
        let expected = Expected { first, least: 10, most_missing: MOST_MISSING, last: None, seams: vec![] };
        (json!({ "seconds": 10, "samples": 25 }), expected)
    };
    // From a second before a break until half a second after it.
    let across = |seam: i64| {
        let before = position(seam).map_or(0, |p| p - FPS);
        let first = if seam == AFTER_GAP.start { BEFORE_GAP.end - FPS } else { seam - FPS };
        let utc_ms = recording.zero * 1000 + first * 1000 / FPS;
        debug_assert_eq!(position(first), Some(before));
        let expected = Expected {
            first: first - FPS..first + FPS / 2,
            least: 10,
            most_missing: MOST_MISSING,
            last: None,
            seams: vec![seam],
        };
        (json!({ "seekUtcMs": utc_ms, "seconds": 10, "untilNumber": seam + FPS / 2 }), expected)
    };
    // Where there is none, it follows from the moment at which the page begins.
    let slack = case.first.clone().map_or(0..0, |first| first.start..first.end + FPS);
    match case.form {
        Form::ArchiveGap | Form::ArchiveCodec | Form::Now => {
            let mut steps = vec![started(slack)];
            steps.extend(case.seams.iter().map(|seam| across(*seam)));
            steps
        }
        Form::Live => vec![started(slack)],
        // Its seek range in a sliding playlist is off by the length of the gaps inside: no seek over them.
        Form::Rewind if player == Player::Shaka => vec![started(slack)],
        Form::Rewind => vec![started(slack), across(AFTER_GAP.start)],
        // The rest is not for browsers.
        Form::StreamAbs | Form::StreamRel | Form::ExportTs => vec![],
        Form::TimeshiftAbs | Form::TimeshiftRel => {
            let expected = Expected { first: slack, least: 50, most_missing: MOST_MISSING, last: None, seams: vec![] };
            vec![(json!({ "seconds": 5 }), expected)]
        }
    }
}

fn check(player: Player, case: &Case, steps: &[Expected], notes: &Notes) -> Result<(), String> {
    let context = || {
        let warnings = &notes.warnings[..notes.warnings.len().min(4)];
        format!("warnings {warnings:?}, failed requests {:?}, state {}", notes.requests, notes.state)
    };
    if !notes.fatal.is_empty() {
        return Err(format!("fatal: {:?}; {}", notes.fatal, context()));
    }
    if !notes.requests.is_empty() {
        return Err(format!("requests failed; {}", context()));
    }
    if notes.steps.len() != steps.len() {
        return Err(format!("{} of {} steps were taken; {}", notes.steps.len(), steps.len(), context()));
    }
    for (n, (expected, step)) in steps.iter().zip(&notes.steps).enumerate() {
        let mut expected = expected.clone();
        if n == 0 && case.first.is_none() {
            expected.first = case.first_at(step.at_ms);
        }
        let frames: Vec<Option<i64>> = step.samples.iter().map(|s| s.1).collect();
        expected.check(&frames).map_err(|e| format!("step {}: {e}; {}", n + 1, context()))?;
        let seam = expected.seams.first().copied().unwrap_or(i64::MAX);
        let wrong: Vec<_> = step
            .samples
            .iter()
            // Shaka's clock runs evenly from the first segment on, so after a gap it is behind.
            .filter(|(_, frame, _)| player == Player::HlsJs || frame.is_some_and(|f| f < seam && f < AFTER_GAP.start))
            .filter_map(|(_, frame, claimed)| Some((frame.as_ref()?, claimed.as_ref()?)))
            .map(|(frame, claimed)| (frame, claimed - (case.zero * 1000 + frame * 1000 / FPS)))
            .filter(|(_, error_ms)| error_ms.abs() > CLAIM_MS)
            .collect();
        // At a break and after a seek, a picture and the player's position may be of different moments.
        if wrong.len() > 3 {
            return Err(format!("step {}: claims a wrong wall time (picture, error in ms): {wrong:?}", n + 1));
        }
    }
    Ok(())
}

/// Plays all cases; gives the results in their order.
pub async fn play(recording: &Recording, cases: &[(Player, Case)]) -> Vec<Result<(), String>> {
    let asked: Vec<Vec<(serde_json::Value, Expected)>> =
        cases.iter().map(|(player, case)| steps(*player, case, recording)).collect();
    let outcome = drive(cases, &asked).await;
    let notes = match &outcome {
        Ok(notes) => notes,
        Err(error) => return cases.iter().map(|_| Err(error.clone())).collect(),
    };
    (0..cases.len())
        .map(|id| {
            let expected: Vec<Expected> = asked[id].iter().map(|(_, e)| e.clone()).collect();
            match notes.iter().find(|n| n.id == id) {
                Some(notes) => check(cases[id].0, &cases[id].1, &expected, notes),
                None => Err("the browser did not come to it".to_owned()),
            }
        })
        .collect()
}

async fn drive(cases: &[(Player, Case)], asked: &[Vec<(serde_json::Value, Expected)>]) -> Result<Vec<Notes>, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    if !folder.join("node_modules/hls.js").exists() {
        return Err("the players' JavaScript is not there; run `make test-deps`".to_owned());
    }
    let cases: Vec<serde_json::Value> = cases
        .iter()
        .zip(asked)
        .enumerate()
        .map(|(id, ((player, case), steps))| {
            let steps: Vec<&serde_json::Value> = steps.iter().map(|(step, _)| step).collect();
            json!({ "id": id, "player": player.name(), "url": case.url, "delayFrom": case.delay_from, "steps": steps })
        })
        .collect();
    let input = json!({ "chromium": chromium()?, "together": TOGETHER, "cases": cases }).to_string();
    let mut child = Command::new("node")
        .arg(folder.join("play.mjs"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("node cannot be started ({e}); run `scripts/install-deps test`"))?;
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).await.map_err(|e| e.to_string())?;
    drop(stdin);
    let output = tokio::time::timeout(LIMIT, child.wait_with_output())
        .await
        .map_err(|_| format!("the browser was not done after {LIMIT:?}"))?
        .map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(format!("play.mjs failed: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).map_err(|e| format!("{e}: {line}"))).collect()
}
