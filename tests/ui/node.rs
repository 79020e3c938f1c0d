//! One `evertape run` on a folder that is recorded already; killed and started again as the tests in the browser wish.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The process; ended when dropped.
pub struct Node {
    dir: PathBuf,
    pub base: String,
    child: Child,
}

/// A port that nothing listens on now.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

impl Node {
    /// Starts on `objects`, `index.db` and `spool` of `dir`, with more configuration.
    pub async fn start(dir: &Path, settings: &str) -> Self {
        let base = format!("http://127.0.0.1:{}", free_port());
        let place = dir.display();
        let text = format!(
            "[http]\nlisten = \"{}\"\n[index]\nurl = \"sqlite:{place}/index.db\"\n[store]\nurl = \"file:{place}/objects\"\n\
             [recorder]\nspool = \"{place}/spool\"\nsegment_seconds = 2\n[janitor]\ninterval = \"1s\"\n{settings}",
            base.trim_start_matches("http://"),
        );
        std::fs::write(dir.join("evertape.toml"), text).expect("a configuration");
        let child = spawn(dir);
        let mut node = Self { dir: dir.to_owned(), base, child };
        node.wait_until_ready().await;
        node
    }

    /// SIGKILL, nobody there for a while, then a new process on the same folder.
    pub async fn away_for(&mut self, time: Duration) {
        self.child.kill().expect("the process can be killed");
        self.child.wait().expect("and reaped");
        tokio::time::sleep(time).await;
        self.child = spawn(&self.dir);
        self.wait_until_ready().await;
    }

    async fn wait_until_ready(&mut self) {
        let until = Instant::now() + Duration::from_secs(60);
        let url = format!("{}/readyz", self.base);
        while !reqwest::get(&url).await.is_ok_and(|r| r.status() == 200) {
            if let Some(status) = self.child.try_wait().expect("a child") {
                panic!("evertape ended with {status}:\n{}", self.log());
            }
            assert!(Instant::now() < until, "evertape did not get ready:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}

fn spawn(dir: &Path) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(dir.join("log")).expect("a log");
    Command::new(env!("CARGO_BIN_EXE_evertape"))
        .args(["run", "--log-format", "text", "--config"])
        .arg(dir.join("evertape.toml"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .spawn()
        .expect("evertape starts")
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
