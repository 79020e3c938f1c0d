//! A live source for real recorder processes: one clip, sent in real time over HTTP to whoever connects.

use evertape::container::{MediaEvent, mpegts::TsDemuxer};
use evertape::media::TrackKind;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// So that the end of a connection is a break, not an end.
const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nContent-Length: 1000000000000\r\nConnection: close\r\n\r\n";
/// Seconds of the clip.
const SECONDS: u64 = 90;

/// What is sent, and where each sample is in it.
pub struct Clip {
    bytes: Vec<u8>,
    /// Number of each sample, video and audio, by its bytes: no two are alike.
    pub numbers: [HashMap<Vec<u8>, usize>; 2],
}

impl Clip {
    /// 90 s of pictures and noise that never repeat, a sync sample each half second.
    pub async fn make(dir: &Path) -> Arc<Self> {
        let path = dir.join("live.ts");
        let arguments = format!(
            "-y -v error -f lavfi -i testsrc2=s=160x96:r=25:d={SECONDS} -f lavfi -i anoisesrc=r=48000:d={SECONDS}:seed=7:a=0.3 \
             -c:v libx264 -preset ultrafast -bf 2 -g 12 -sc_threshold 0 -pix_fmt yuv420p -c:a aac -b:a 64k"
        );
        let arguments: Vec<&str> = arguments.split(' ').filter(|a| !a.is_empty()).collect();
        let status = tokio::process::Command::new("ffmpeg").args(&arguments).arg(&path).status().await;
        assert!(status.expect("ffmpeg starts; run `scripts/install-deps test`").success(), "ffmpeg {arguments:?}");
        let bytes = std::fs::read(&path).expect("a clip");
        let mut events = Vec::new();
        let mut demuxer = TsDemuxer::new();
        demuxer.push(&bytes, &mut events);
        demuxer.flush(&mut events);
        let video = events.iter().find_map(|e| match e {
            MediaEvent::Track { track, params } if params.kind() == TrackKind::Video => Some(*track),
            _ => None,
        });
        let mut numbers = [HashMap::new(), HashMap::new()];
        for event in events {
            if let MediaEvent::Sample(sample) = event {
                let of = &mut numbers[usize::from(Some(sample.track) != video)];
                let number = of.len();
                assert_eq!(of.insert(sample.data.to_vec(), number), None, "two samples of the clip are alike");
            }
        }
        Arc::new(Self { bytes, numbers })
    }
}

/// A source under way.
pub struct Live {
    pub url: String,
    paused: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Live {
    /// Begins to send; the clip's beginning is at `began`, for everybody who connects.
    pub async fn start(clip: Arc<Clip>, began: Instant) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/live.ts", listener.local_addr().expect("an address"));
        let paused = Arc::new(AtomicBool::new(false));
        let cut = paused.clone();
        let task = tokio::spawn(async move {
            let mut clients = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                clients.spawn(serve(client, clip.clone(), began, cut.clone()));
            }
        });
        Self { url, paused, task }
    }

    /// Cuts all connections and takes no new ones, or takes them again.
    pub fn set_cut(&self, cut: bool) {
        self.paused.store(cut, Ordering::Relaxed);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: TcpStream, clip: Arc<Clip>, began: Instant, cut: Arc<AtomicBool>) -> Option<()> {
    let mut request = [0; 2048];
    // Whatever is asked, the answer is the same.
    let _asked_bytes = client.read(&mut request).await.ok()?;
    if cut.load(Ordering::Relaxed) {
        return None;
    }
    client.write_all(HEAD).await.ok()?;
    let per_second = clip.bytes.len() as u64 / SECONDS;
    let due = || {
        let at = began.elapsed().as_millis() as u64 * per_second / 1000;
        (at as usize / 188 * 188).min(clip.bytes.len())
    };
    let mut at = due();
    while at < clip.bytes.len() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if cut.load(Ordering::Relaxed) {
            return None;
        }
        let to = due();
        client.write_all(&clip.bytes[at..to]).await.ok()?;
        at = to;
    }
    // The end of the clip is not the end of the stream.
    std::future::pending().await
}
