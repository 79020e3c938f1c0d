//! The web interface in a real browser, in front of a real `evertape run`: every sentence of what it was asked to do is a
//! test of `ui/e2e`, which this one gives a server with several days of archive, gaps and a clock in the picture.
//!
//! Screenshots of every screen are written to `target/screenshots`, for people to look at.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod archive;
mod bench;
mod clip;
#[path = "../common_recording/mod.rs"]
mod common_recording;
mod node;

use axum::extract::{Query, State};
use axum::routing::post;
use common_recording::Bed;
use node::Node;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::Mutex;

/// A source with what may break a page or a log: quotes, markup, letters of other scripts.
const HOSTILE_SOURCE: &str =
    "http://user:geheim@127.0.0.1:9/a\"b'c/<script>alert(1)</script>/ünï-код.ts?x=%22&token=geheim";
/// No run of the browser's tests is longer, on however slow a machine.
const LONGEST: Duration = Duration::from_secs(1500);

#[derive(Deserialize)]
struct Away {
    ms: u64,
}

/// Lets the browser's tests kill the server: `POST /away?ms=3000` is answered when it is back.
async fn control(node: Arc<Mutex<Node>>) -> String {
    let away = async |State(node): State<Arc<Mutex<Node>>>, Query(asked): Query<Away>| {
        node.lock().await.away_for(Duration::from_millis(asked.ms.min(60_000))).await;
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/away", post(away)).with_state(node);
    tokio::spawn(async move { axum::serve(listener, router).await });
    base
}

async fn set(base: &str, name: &str, source: &str, paused: bool, retention_seconds: Option<i64>) {
    let body = json!({ "name": name, "source": source, "paused": paused, "retention_seconds": retention_seconds });
    let asked = reqwest::Client::new().request(Method::POST, format!("{base}/api/v1/streams")).json(&body);
    let answer = asked.send().await.unwrap();
    assert_eq!(answer.status(), 201, "{name}: {}", answer.text().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sentence_holds_in_a_browser() {
    let bed = Bed::new().await;
    let mut facts = archive::record(&bed).await;
    // One more, in the configuration file and on air.
    let demo = "[[stream]]\nname = \"demo\"\nsource = \"demo:\"\nretention = \"7d\"\n";
    let node = Node::start(bed.dir.path(), demo).await;
    let base = node.base.clone();
    set(&base, archive::TV, "udp://@239.1.1.1:1234", true, Some(30 * 86_400)).await;
    set(&base, archive::UHD, "http://127.0.0.1:9/uhd.ts", false, None).await;
    set(&base, "hostile", HOSTILE_SOURCE, false, None).await;
    set(&base, "empty", &format!("udp://127.0.0.1:{}", node::free_port()), false, Some(3600)).await;
    set(&base, "music", "udp://@239.1.1.2:1234", true, Some(3600)).await;
    let node = Arc::new(Mutex::new(node));
    facts["control"] = json!(control(node.clone()).await);
    facts["live"] = json!("demo");
    facts["hostile"] = json!("hostile");
    facts["hostileShown"] = shown_source(&base, "hostile").await;
    let file = bed.dir.path().join("facts.json");
    std::fs::write(&file, facts.to_string()).unwrap();

    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    assert!(
        root.join("ui/node_modules").is_dir(),
        "what the browser is driven with is missing: run `make ui/dist/index.html`"
    );
    let mut command = Command::new("node");
    command.arg("e2e/run.mjs").args(["--base", &base, "--out", root.join("target").to_str().unwrap()]);
    // For whoever works on one test: part of its name.
    if let Ok(only) = std::env::var("UI_ONLY") {
        command.args(["--only", &only]);
    }
    command.env("EVERTAPE_UI_FACTS", &file).current_dir(root.join("ui")).stdin(Stdio::null()).kill_on_drop(true);
    let mut run = command.spawn().expect("node starts; run `scripts/install-deps ui`");
    let ended = tokio::time::timeout(LONGEST, run.wait()).await;
    let log = node.lock().await.log();
    let well = ended.as_ref().is_ok_and(|e| e.as_ref().is_ok_and(std::process::ExitStatus::success));
    assert!(well, "the browser's tests ended with {ended:?}; the server said:\n{}", tail(&log));
    assert!(!log.contains("panicked"), "the server said:\n{}", tail(&log));
    assert!(!log.contains("geheim"), "a password is in the log");
}

async fn shown_source(base: &str, name: &str) -> Value {
    let stream: Value = reqwest::get(format!("{base}/api/v1/streams/{name}")).await.unwrap().json().await.unwrap();
    let shown = stream["source"].as_str().unwrap();
    assert!(!shown.contains("geheim"), "{shown}");
    json!(shown)
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}
