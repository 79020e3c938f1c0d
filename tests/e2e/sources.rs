//! Live sources: ffmpeg sends the clips in real time over HLS (TS and fMP4), HTTP and UDP.

use super::media::Clips;
use super::node::free_port;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use tokio::process::{Child, Command};

/// One stream of the suite.
pub struct Stream {
    /// Name.
    pub name: &'static str,
    /// Address to record from.
    pub source: String,
    /// Clip that is sent.
    pub clip: PathBuf,
    /// Whether its video is H.265.
    pub is_hevc: bool,
    /// Languages of its audio tracks.
    pub languages: &'static [&'static str],
    /// Whether the source states wall time.
    pub states_time: bool,
}

/// Everything that sends.
pub struct Sources {
    /// What is sent.
    pub streams: Vec<Stream>,
    _dir: tempfile::TempDir,
    _senders: Vec<Child>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Sources {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Sources {
    /// `[[stream]]` tables for all.
    pub fn config(&self) -> String {
        self.streams.iter().map(|s| format!("[[stream]]\nname = \"{}\"\nsource = \"{}\"\n", s.name, s.source)).collect()
    }
}

fn sender(clip: &std::path::Path, output: &[&str]) -> Child {
    Command::new("ffmpeg")
        .args(["-v", "error", "-re", "-i"])
        .arg(clip)
        .args(["-map", "0", "-c", "copy"])
        .args(output)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("ffmpeg starts; run `scripts/install-deps test`")
}

struct Shared {
    folder: PathBuf,
    clip: PathBuf,
}

async fn file(State(shared): State<Arc<Shared>>, Path(path): Path<String>) -> Response {
    match std::fs::read(shared.folder.join(path)) {
        Ok(bytes) => bytes.into_response(),
        Err(_) => axum::http::StatusCode::NOT_FOUND.into_response(),
    }
}

async fn endless(State(shared): State<Arc<Shared>>) -> Response {
    let mut child = sender(&shared.clip, &["-f", "mpegts", "-"]);
    let out = child.stdout.take().expect("a pipe");
    let bytes = tokio_util::io::ReaderStream::new(out);
    let held = futures::StreamExt::map(bytes, move |piece| {
        let _ = &child;
        piece
    });
    ([("content-type", "video/mp2t")], Body::from_stream(held)).into_response()
}

/// Starts all senders.
pub async fn start(clips: &Clips) -> Sources {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = dir.path().to_owned();
    for name in ["ts", "fmp4"] {
        std::fs::create_dir(folder.join(name)).expect("a folder");
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let shared = Arc::new(Shared { folder: folder.clone(), clip: clips.two_languages.clone() });
    let router = axum::Router::new()
        .route("/live.ts", axum::routing::get(endless))
        .route("/hls/{*path}", axum::routing::get(file))
        .with_state(shared);
    let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("serves") });
    let udp = format!("127.0.0.1:{}", free_port());
    let hls = ["-f", "hls", "-hls_time", "2", "-hls_list_size", "8", "-hls_flags", "delete_segments+program_date_time"];
    let ts_list = folder.join("ts/live.m3u8");
    let fmp4_list = folder.join("fmp4/live.m3u8");
    let ts = [&hls[..], &["-hls_segment_type", "mpegts", ts_list.to_str().expect("a path")]].concat();
    let fmp4 =
        [&hls[..], &["-tag:v", "hvc1", "-hls_segment_type", "fmp4", fmp4_list.to_str().expect("a path")]].concat();
    let udp_url = format!("udp://{udp}?pkt_size=1316");
    let senders =
        vec![sender(&clips.h264, &ts), sender(&clips.hevc, &fmp4), sender(&clips.h264, &["-f", "mpegts", &udp_url])];
    let stream = |name, source: String, clip: &PathBuf, languages, states_time| Stream {
        name,
        source,
        clip: clip.clone(),
        is_hevc: *clip == clips.hevc,
        languages,
        states_time,
    };
    let streams = vec![
        stream("hls/ts", format!("{base}/hls/ts/live.m3u8"), &clips.h264, &["und"], true),
        stream("hls/fmp4", format!("{base}/hls/fmp4/live.m3u8"), &clips.hevc, &["und"], true),
        stream("http", format!("{base}/live.ts"), &clips.two_languages, &["eng", "fra"], false),
        stream("udp", format!("udp://{udp}"), &clips.h264, &["und"], false),
    ];
    Sources { streams, _dir: dir, _senders: senders, server }
}
