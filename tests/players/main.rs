//! Real players play every form of URL: ffmpeg, VLC, GStreamer, and in Chromium hls.js and Shaka Player.
//!
//! The recording's frames carry their number, and the number tells the wall time; so each decoded picture says
//! whether the player shows what its URL asked for: at the start, across a gap or a change of codec, after a seek.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)]
#[path = "../e2e/node.rs"]
mod node;

mod browser;
mod cases;
mod clip;
mod expect;
mod native;
mod process;
mod recording;
mod vlc;

use browser::Player;
use cases::{Case, Container, FORMS, STREAM_FORMS};
use recording::Recording;

/// One line of the table of results.
struct Outcome {
    player: &'static str,
    case: Case,
    result: Result<(), String>,
}

/// The containers that are tested.
const CONTAINERS: [Container; 2] = [Container::Fmp4, Container::Ts];

/// What the programs play.
fn native_cases(recording: &Recording) -> Vec<Case> {
    let playlists = CONTAINERS.iter().flat_map(|&container| FORMS.map(|form| (form, container)));
    let all = playlists.chain(STREAM_FORMS.map(|form| (form, Container::Ts)));
    all.map(|(form, container)| Case::new(recording, form, container)).collect()
}

async fn decoders(cases: &[Case]) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for case in cases {
        outcomes.push(Outcome { player: "ffmpeg", result: native::ffmpeg(case).await, case: case.clone() });
        if !STREAM_FORMS.contains(&case.form) {
            outcomes.push(Outcome { player: "GStreamer", result: native::gstreamer(case).await, case: case.clone() });
        }
    }
    outcomes
}

async fn vlc(cases: &[Case]) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for case in cases {
        outcomes.push(Outcome { player: "VLC", result: vlc::play(case).await, case: case.clone() });
    }
    outcomes
}

async fn in_browser(recording: &Recording) -> Vec<Outcome> {
    let mut cases = Vec::new();
    for container in CONTAINERS {
        for player in [Player::HlsJs, Player::Shaka] {
            cases.extend(FORMS.map(|form| (player, Case::new(recording, form, container))));
        }
    }
    let results = browser::play(recording, &cases).await;
    let named = cases.into_iter().zip(results);
    named.map(|((player, case), result)| Outcome { player: player.name(), case, result }).collect()
}

fn report(outcomes: &[Outcome]) {
    let mut faults = Vec::new();
    for Outcome { player, case, result } in outcomes {
        let word = if result.is_ok() { "plays" } else { "FAILS" };
        println!("{player:<10} {word} {:?} {:?}", case.container, case.form);
        if let Err(fault) = result {
            faults.push(format!("{player} {case}\n    {fault}"));
        }
    }
    assert!(faults.is_empty(), "{} of {} fail:\n{}", faults.len(), outcomes.len(), faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_player_plays_every_form() {
    let recording = Recording::start().await;
    recording.wait_for_live(14).await;
    let cases = native_cases(&recording);
    // VLC plays in real time and leaves the processor to the others.
    let (mut outcomes, vlc) = tokio::join!(decoders(&cases), vlc(&cases));
    outcomes.extend(vlc);
    outcomes.extend(in_browser(&recording).await);
    report(&outcomes);
}
