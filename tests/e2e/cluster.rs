//! The cluster that `make cluster` starts: PostgreSQL, Garage, one recorder, two playback nodes.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;

/// Running processes, ended when dropped.
pub struct Cluster {
    dir: tempfile::TempDir,
    env: HashMap<String, String>,
}

fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("infra/cluster").join(name)
}

impl Cluster {
    /// Starts it with `streams` to record.
    pub async fn start(streams: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let log = std::fs::File::create(dir.path().join("up.log")).expect("a log");
        // To a file: what it starts in the background would keep a pipe open.
        let status = Command::new(script("up"))
            .env("CLUSTER_DIR", dir.path())
            .env("CLUSTER_STREAMS", streams)
            .env("CLUSTER_BIN", env!("CARGO_BIN_EXE_evertape"))
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .status()
            .expect("the script starts");
        let said = std::fs::read_to_string(dir.path().join("up.log")).unwrap_or_default();
        assert!(status.success(), "the cluster does not start: {said}");
        let env = std::fs::read_to_string(dir.path().join("env")).expect("the script says what runs");
        let env = env.lines().filter_map(|l| l.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        Self { dir, env }
    }

    /// Addresses of the playback nodes.
    pub fn nodes(&self) -> Vec<String> {
        vec![self.env["PLAY1"].clone(), self.env["PLAY2"].clone()]
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in ["record.log", "play1.log", "play2.log"] {
                eprintln!(
                    "--- {name} ---\n{}",
                    std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
                );
            }
        }
        let _ = Command::new(script("down")).arg(self.dir.path()).stdout(std::process::Stdio::null()).status();
    }
}
