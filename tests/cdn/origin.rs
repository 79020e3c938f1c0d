//! A recorded hour that goes on being recorded, and two playback nodes over it.

use super::cache::Cache;
use super::node::free_port;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Name of the stream.
pub const STREAM: &str = "tv";
const HOUR: i64 = 3600;

/// The processes, ended when dropped.
pub struct Origin {
    dir: tempfile::TempDir,
    recorder: Child,
    nodes: Vec<(Child, u16)>,
    /// Where the hour begins, UTC seconds.
    pub from: i64,
}

fn ffmpeg(arguments: &[&str]) {
    let status = Command::new("ffmpeg").args(["-y", "-v", "error"]).args(arguments).stdin(Stdio::null()).status();
    let status = status.unwrap_or_else(|e| panic!("ffmpeg cannot be started ({e}); run `scripts/install-deps test`"));
    assert!(status.success(), "ffmpeg {arguments:?}");
}

fn spawn(dir: &Path, role: &str, source: &str, port: u16) -> Child {
    let settings = format!(
        "[recorder]\nsegment_seconds = 6\n[[stream]]\nname = \"{STREAM}\"\nsource = \"{source}\"\n[http]\nlisten = \"127.0.0.1:{port}\"\n"
    );
    let file = dir.join(format!("{port}.toml"));
    std::fs::write(&file, settings).expect("the configuration is written");
    let log = std::fs::File::options().create(true).append(true).open(dir.join("log")).expect("a log");
    Command::new(env!("CARGO_BIN_EXE_evertape"))
        .args([role, "--log-format", "text", "--config"])
        .arg(file)
        .env("EVERTAPE_INDEX__URL", format!("sqlite:{}/index.db", dir.display()))
        .env("EVERTAPE_STORE__URL", format!("file:{}/objects", dir.display()))
        .env("EVERTAPE_RECORDER__SPOOL", dir.join("spool"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .spawn()
        .expect("evertape starts")
}

async fn ready(port: u16, dir: &Path) {
    let until = Instant::now() + Duration::from_secs(60);
    while !reqwest::get(format!("http://127.0.0.1:{port}/readyz")).await.is_ok_and(|r| r.status() == 200) {
        let log = std::fs::read_to_string(dir.join("log")).unwrap_or_default();
        assert!(Instant::now() < until, "evertape did not get ready: {log}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

impl Origin {
    /// Records an hour at full speed, then goes on live.
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| dir.path().join(name).display().to_string();
        let (minute, hour) = (path("minute.ts"), path("hour.ts"));
        ffmpeg(&[
            &["-f", "lavfi", "-i", "testsrc2=s=128x72:r=10:d=60", "-f", "lavfi", "-i", "sine=f=440:r=48000:d=60"][..],
            &["-c:v", "libx264", "-preset", "ultrafast", "-g", "20", "-sc_threshold", "0", "-pix_fmt", "yuv420p"],
            &["-c:a", "aac", "-b:a", "32k", &minute],
        ]
        .concat());
        ffmpeg(&["-stream_loop", "59", "-i", &minute, "-c", "copy", &hour]);
        let from = evertape::clock::now().seconds() - HOUR - 5;
        let port = free_port();
        let mut recorder = spawn(dir.path(), "run", &format!("file:{hour}?start={from}"), port);
        ready(port, dir.path()).await;
        wait_until_recorded(port, from + HOUR - 10).await;
        let _ = recorder.kill();
        let _ = recorder.wait();
        let recorder = spawn(dir.path(), "run", &format!("file:{minute}?realtime=1&loop=1"), port);
        ready(port, dir.path()).await;
        let mut nodes = Vec::new();
        for _ in 0..2 {
            let port = free_port();
            nodes.push((spawn(dir.path(), "play", "demo:", port), port));
            ready(port, dir.path()).await;
        }
        let origin = Self { dir, recorder, nodes, from };
        // Until what follows the hour is on air.
        wait_until_recorded(port, from + HOUR + 6).await;
        origin
    }

    /// `host:port` of the nodes.
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|(_, port)| format!("127.0.0.1:{port}")).collect()
    }

    /// Ends a node.
    pub async fn stop_node(&mut self, n: usize) {
        self.nodes[n].0.kill().expect("it can be killed");
        self.nodes[n].0.wait().expect("and reaped");
    }

    async fn text(&self, node: usize, path: &str) -> String {
        let url = format!("http://{}{path}", self.addresses()[node]);
        let answer = reqwest::get(&url).await.unwrap_or_else(|e| panic!("{url}: {e}"));
        assert_eq!(answer.status(), 200, "{url}");
        answer.text().await.expect("a text")
    }

    async fn segments(&self, track: &str) -> Vec<String> {
        let list = format!("/{STREAM}/tracks-{track}/archive-{}-{HOUR}.fmp4.m3u8", self.from);
        let text = self.text(0, &list).await;
        text.lines().filter_map(|l| l.strip_prefix("../")).map(|l| format!("/{STREAM}/{l}")).collect()
    }

    /// Path of a video segment of the hour.
    pub async fn segment_path(&self, n: usize) -> String {
        self.segments("v1").await[n].clone()
    }

    /// Segments that nobody asked the cache for.
    pub async fn uncached_segments(&self, cache: &Cache) -> Vec<String> {
        let asked: std::collections::BTreeSet<String> = cache.requests().into_iter().map(|r| r.path).collect();
        let all = self.segments("v1").await.into_iter().chain(self.segments("a1").await);
        all.filter(|path| !asked.contains(path)).take(24).collect()
    }

    /// Finished playlists are the same on both nodes and through the cache; growing ones never contradict each other.
    pub async fn check_same_playlists(&self, cache: &str) {
        for form in ["archive", "index"] {
            for (offset, length) in [(0, 600), (1200, 1800), (3000, 120)] {
                for tracks in ["", "tracks-v1/", "tracks-a1/"] {
                    let path = format!("/{STREAM}/{tracks}{form}-{}-{length}.fmp4.m3u8", self.from + offset);
                    let first = self.text(0, &path).await;
                    assert_eq!(first, self.text(1, &path).await, "{path}");
                    let cached = reqwest::get(format!("{cache}{path}")).await.expect("an answer");
                    assert_eq!(first, cached.text().await.expect("a text"), "{path} through the cache");
                }
            }
        }
        let growing = [
            format!("archive-{}-now", self.from + 3000),
            "timeshift_rel-900".into(),
            "rewind-600".into(),
            "index".into(),
        ];
        for form in growing {
            let path = format!("/{STREAM}/tracks-v1/{form}.fmp4.m3u8");
            let cached = reqwest::get(format!("{cache}{path}")).await.expect("an answer").text().await.expect("a text");
            let (first, second) = (self.text(0, &path).await, self.text(1, &path).await);
            for other in [&second, &cached] {
                let (a, b) = (numbered(&first), numbered(other));
                let common = a.iter().filter(|(number, _)| b.contains_key(number)).count();
                assert!(common >= 3, "{path}: nothing in common:\n{first}\n{other}");
                assert!(
                    a.iter().all(|(number, uri)| b.get(number).is_none_or(|u| u == uri)),
                    "{path}:\n{first}\n{other}"
                );
            }
        }
    }
}

/// URIs and what stands before them, by media sequence number.
fn numbered(list: &str) -> std::collections::BTreeMap<u64, String> {
    let first = list.split("#EXT-X-MEDIA-SEQUENCE:").nth(1).and_then(|r| r.lines().next()).and_then(|n| n.parse().ok());
    let mut number: u64 = first.expect("a media sequence");
    let (mut segments, mut before) = (std::collections::BTreeMap::new(), String::new());
    for line in list.lines() {
        if line.starts_with("#EXTINF") || line.starts_with("#EXT-X-PROGRAM-DATE-TIME") {
            before.push_str(line);
        } else if !line.starts_with('#') && !line.is_empty() {
            segments.insert(number, std::mem::take(&mut before) + line);
            number += 1;
        }
    }
    segments
}

async fn wait_until_recorded(port: u16, to: i64) {
    let until = Instant::now() + Duration::from_secs(90);
    let url = format!("http://127.0.0.1:{port}/{STREAM}/recording_status.json");
    let mut last = String::new();
    while Instant::now() < until {
        last = reqwest::get(&url).await.expect("an answer").text().await.expect("a text");
        let json: serde_json::Value = serde_json::from_str(&last).unwrap_or_default();
        let ranges = json[0]["ranges"].as_array().cloned().unwrap_or_default();
        let end = |r: &serde_json::Value| r["from"].as_i64().unwrap_or(0) + r["duration"].as_i64().unwrap_or(0);
        if ranges.iter().any(|r| end(r) >= to) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not recorded until {to}: {last}");
}

impl Drop for Origin {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            eprintln!("--- log of evertape ---\n{}", &log[log.len().saturating_sub(4000)..]);
        }
        for child in self.nodes.iter_mut().map(|(child, _)| child).chain([&mut self.recorder]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
