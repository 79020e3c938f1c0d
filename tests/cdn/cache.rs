//! nginx with `infra/cdn/nginx.conf`, other ports and folders put in; ended when dropped.

use super::node::free_port;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The running cache.
pub struct Cache {
    dir: tempfile::TempDir,
    port: u16,
    child: Child,
    client: reqwest::Client,
}

/// A line of its log.
#[derive(Debug, Clone)]
pub struct Request {
    /// Path and query.
    pub path: String,
    pub status: u16,
    /// Node that was asked; `-` for none.
    pub origin: String,
}

impl Request {
    /// Whether a node was asked.
    pub fn asked_a_node(&self) -> bool {
        self.origin != "-" && !self.origin.is_empty()
    }
}

/// The reference configuration, with what differs here.
fn rendered(dir: &Path, port: u16, nodes: &[String]) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("infra/cdn/nginx.conf");
    let mut text = std::fs::read_to_string(file).expect("the reference configuration");
    let mut put = |from: &str, to: &str| {
        assert!(text.contains(from), "infra/cdn/nginx.conf has no `{from}` any more: change this test with it");
        text = text.replace(from, to);
    };
    let at = |name: &str| dir.join(name).display().to_string();
    put("pid /run/nginx.pid;", &format!("pid {};\ndaemon off;\nmaster_process off;", at("pid")));
    put("/var/log/nginx/error.log", &at("error.log"));
    put("/var/log/nginx/evertape.log", &at("access.log"));
    put("/var/cache/nginx/evertape", &at("cache"));
    put("127.0.0.1:8081", &nodes[0]);
    put("127.0.0.1:8082", &nodes[1]);
    put("listen 80;", &format!("listen 127.0.0.1:{port};"));
    put("        listen [::]:80;\n", "");
    // Folders that only root may write by default.
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("    {kind}_temp_path {};\n", at(kind)))
        .collect();
    put("http {\n", &format!("http {{\n{temporary}"));
    text
}

impl Cache {
    /// Starts it before two nodes (`host:port`).
    pub async fn start(nodes: &[String]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let file = dir.path().join("nginx.conf");
        std::fs::write(&file, rendered(dir.path(), port, nodes)).expect("written");
        let log = std::fs::File::create(dir.path().join("said")).expect("a log");
        let child = Command::new("nginx")
            .args(["-e", "stderr", "-p"])
            .arg(dir.path())
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|e| panic!("nginx cannot be started ({e}); run `scripts/install-deps test`"));
        let client = reqwest::Client::builder().pool_max_idle_per_host(256).build().expect("a client");
        let mut cache = Self { dir, port, child, client };
        let until = Instant::now() + Duration::from_secs(10);
        while cache.client.get(format!("{}/healthz", cache.base())).send().await.is_err() {
            let said = std::fs::read_to_string(cache.dir.path().join("said")).unwrap_or_default();
            assert!(cache.child.try_wait().expect("a child").is_none(), "nginx ended: {said}");
            assert!(Instant::now() < until, "nginx does not answer: {said}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        cache
    }

    /// Its address.
    pub fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A request through it.
    pub async fn get(&self, path: &str) -> reqwest::Response {
        self.get_with(path, &[]).await
    }

    /// A request with headers.
    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
        let request = self.client.get(format!("{}{path}", self.base()));
        let request = headers.iter().fold(request, |r, (name, value)| r.header(*name, *value));
        request.send().await.unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// All requests to a stream so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        let text = std::fs::read_to_string(self.dir.path().join("access.log")).expect("the log");
        let request = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let origin = line.split(" origin=").nth(1)?.split(" origin_status=").next()?.to_owned();
            Some(Request { path: (*words.get(2)?).to_owned(), status: words.get(3)?.parse().ok()?, origin })
        };
        text.lines().filter_map(request).filter(|r| r.path != "/healthz").collect()
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- nginx ---\n{}",
                std::fs::read_to_string(self.dir.path().join("error.log")).unwrap_or_default()
            );
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
