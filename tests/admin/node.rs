//! One `evertape run` with a web interface, and a client of its API.

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The process and its folder; ended when dropped.
pub struct Node {
    pub dir: tempfile::TempDir,
    pub base: String,
    pub client: Client,
    child: Child,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default());
        }
    }
}

impl Node {
    /// Starts on `index` (a SQLite file of its own when `None`), listening on `ip`, with more configuration.
    pub async fn start(index: Option<&str>, ip: &str, settings: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let place = dir.path().display();
        let own = format!("sqlite:{place}/index.db");
        let text = format!(
            "[http]\nlisten = \"{ip}:{port}\"\n[index]\nurl = \"{}\"\n[store]\nurl = \"file:{place}/objects\"\n[recorder]\n\
             spool = \"{place}/spool\"\nsegment_seconds = 1\n[janitor]\ninterval = \"500ms\"\n{settings}",
            index.unwrap_or(&own)
        );
        std::fs::write(dir.path().join("evertape.toml"), text).expect("a configuration");
        let log = std::fs::File::create(dir.path().join("log")).expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_evertape"))
            .args(["run", "--log-format", "text", "--config"])
            .arg(dir.path().join("evertape.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("evertape starts");
        let node = Self { dir, base: format!("http://127.0.0.1:{port}"), client: Client::new(), child };
        let ready = async || node.get("/readyz").await.is_ok_and(|r| r.status().is_success());
        until("the node is ready", ready).await;
        node
    }

    pub fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub async fn get(&self, path: &str) -> reqwest::Result<Response> {
        self.ask(Method::GET, path).send().await
    }

    /// Status and JSON of an answer of the API, which must be JSON that nobody keeps.
    pub async fn api(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut asked = self.ask(method, &format!("/api/v1{path}")).header("if-match", "*");
        if let Some(body) = body {
            asked = asked.json(&body);
        }
        read(asked.send().await.expect("an answer")).await
    }

    /// A stream as the API shows it.
    pub async fn stream(&self, name: &str) -> Value {
        self.api(Method::GET, &format!("/streams/{}", name.replace('/', "%2F")), None).await.1
    }
}

/// Status and JSON.
pub async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["cache-control"], "no-store");
    if status == 204 {
        return (status, Value::Null);
    }
    let kind = response.headers()["content-type"].to_str().expect("text").to_owned();
    assert_eq!(kind, if status < 400 { "application/json" } else { "application/problem+json" });
    let value: Value = response.json().await.expect("JSON");
    if status >= 400 {
        let detail = value["detail"].as_str().expect("a sentence");
        assert!(detail.len() > 10 && detail.ends_with('.'), "{detail}");
        assert_eq!(value["status"], status);
    }
    (status, value)
}

/// Waits until a condition holds.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !condition().await {
        assert!(Instant::now() < end, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
