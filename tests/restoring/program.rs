//! The real program, the real tools, and nodes that answer.

use crate::recorded::Bed;
use evertape::index::Index;
use evertape::store::ObjectStore;
use evertape::web::{self, PlaybackOptions};
use metrics_exporter_prometheus::PrometheusBuilder;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Command;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A configuration for an index at `url` and the bed's objects, in `folder`.
pub fn configure(bed: &Bed, folder: &Path, url: &str, more: &str) {
    let objects = bed.folder.path().join("objects");
    let text = format!("[index]\nurl = \"{url}\"\n[store]\nurl = \"file:{}\"\n{more}", objects.display());
    std::fs::write(folder.join("evertape.toml"), text).expect("a configuration");
}

/// Runs `evertape` with the configuration in `folder`; its exit code and all that it said.
pub async fn evertape(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evertape"));
    command.args(arguments).arg("--config").arg(folder.join("evertape.toml")).current_dir(folder);
    output(command).await
}

/// Runs a tool of the system.
pub async fn tool(name: &str, arguments: &[&str]) {
    let mut command = Command::new(name);
    command.args(arguments);
    let (code, said) = output(command).await;
    assert_eq!(code, Some(0), "{name} {arguments:?}: {said}");
}

async fn output(mut command: Command) -> (Option<i32>, String) {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.expect("it starts; run `scripts/install-deps test`");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code(), said)
}

/// A playback node; it ends with this value.
pub struct Node {
    pub base: String,
    client: reqwest::Client,
    _stop: DropGuard,
}

impl Node {
    pub async fn start(store: Arc<dyn ObjectStore>, index: Arc<dyn Index>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let options = PlaybackOptions {
            max_window: Duration::from_secs(400 * 86_400),
            ..PlaybackOptions::new(PrometheusBuilder::new().build_recorder().handle())
        };
        let stop = CancellationToken::new();
        tokio::spawn(web::serve(listener, store, index, options, stop.clone()));
        Self { base, client: reqwest::Client::new(), _stop: stop.drop_guard() }
    }

    /// Status and body; `None` when the answer breaks off.
    pub async fn get(&self, path: &str) -> Option<(u16, Vec<u8>)> {
        let answer = self.client.get(format!("{}/{path}", self.base)).send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.bytes().await.ok()?.to_vec()))
    }
}
