//! One `evertape run` in a temporary folder, ended when dropped.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The process and its folder.
pub struct Node {
    dir: tempfile::TempDir,
    port: u16,
    child: Child,
}

/// A port that nothing listens on now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

impl Node {
    /// Starts with `settings` beside the folder's own paths, and waits until it is ready.
    pub async fn start(settings: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(dir.path().join("evertape.toml"), settings).expect("the configuration is written");
        let port = free_port();
        let child = spawn(dir.path(), port);
        let mut node = Self { dir, port, child };
        node.wait_until_ready().await;
        node
    }

    /// Address of the node.
    pub fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// SIGKILL, then a new process on the same folder.
    pub async fn kill_and_restart(&mut self) {
        self.child.kill().expect("the process can be killed");
        self.child.wait().expect("and reaped");
        self.child = spawn(self.dir.path(), self.port);
        self.wait_until_ready().await;
    }

    /// An end by force, then a new process on the same folder with other settings.
    #[allow(dead_code, reason = "not every suite changes settings")]
    pub async fn restart_with(&mut self, settings: &str) {
        std::fs::write(self.dir.path().join("evertape.toml"), settings).expect("the configuration is written");
        self.kill_and_restart().await;
    }

    /// Segment objects in the store.
    pub fn objects(&self) -> usize {
        fn count(folder: &Path) -> usize {
            let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
            entries
                .flatten()
                .map(|e| e.path())
                .map(|p| if p.is_dir() { count(&p) } else { usize::from(p.extension().is_some_and(|x| x == "cmfs")) })
                .sum()
        }
        count(&self.dir.path().join("objects"))
    }

    async fn wait_until_ready(&mut self) {
        let until = Instant::now() + Duration::from_secs(60);
        let url = format!("{}/readyz", self.base());
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().expect("a child") {
                panic!("evertape ended with {status}:\n{}", self.log());
            }
            if reqwest::get(&url).await.is_ok_and(|r| r.status() == 200) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("evertape did not get ready:\n{}", self.log());
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

fn spawn(dir: &Path, port: u16) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(dir.join("log")).expect("a log");
    let errors = log.try_clone().expect("a log");
    Command::new(env!("CARGO_BIN_EXE_evertape"))
        .args(["run", "--log-format", "text", "--config"])
        .arg(dir.join("evertape.toml"))
        .env("EVERTAPE_HTTP__LISTEN", format!("127.0.0.1:{port}"))
        .env("EVERTAPE_INDEX__URL", format!("sqlite:{}/index.db", dir.display()))
        .env("EVERTAPE_STORE__URL", format!("file:{}/objects", dir.display()))
        .env("EVERTAPE_RECORDER__SPOOL", dir.join("spool"))
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .expect("evertape starts")
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of evertape ---\n{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
