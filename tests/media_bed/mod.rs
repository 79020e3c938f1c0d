//! A playback node in this process over real recordings: clips whose frames carry their number, cut by the
//! segmenter and published at moments the test chooses.
#![allow(dead_code, reason = "no suite uses all of it")]

#[path = "../e2e/media.rs"]
pub mod media;

use bytes::Bytes;
use evertape::container::MediaEvent;
use evertape::container::cmaf::{self, PartInput};
use evertape::container::mpegts::TsDemuxer;
use evertape::index::faults::{FaultyIndex, Rates};
use evertape::index::{self, Index, Lease};
use evertape::media::segment::{SegmentId, SegmentWithTables};
use evertape::media::track::InitInfo;
use evertape::media::{ObjectKey, RunId, Segment, StreamName, UtcUs};
use evertape::recorder::segmenter::{CutSegment, Output, Segmenter};
use evertape::store::{ByteStream, DirectoryStore, ObjectInfo, ObjectStore, Put, StoreError, StoreErrorKind};
use evertape::web::preview::JpegOptions;
use evertape::web::{self, PlaybackOptions};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Frames between two sync samples of every clip.
pub const GOP: i64 = 25;
/// Length of a segment in seconds.
pub const SEGMENT_SECONDS: u32 = 4;

/// Streams at once of every node.
pub const MOST_STREAMS: usize = 60;

/// A store that remembers what was read of it.
pub struct CountingStore {
    directory: DirectoryStore,
    reads: Mutex<Vec<(String, Range<u64>)>>,
    away: AtomicBool,
    near: AtomicBool,
    slow_ms: AtomicU64,
    reading: AtomicUsize,
    most_reading: AtomicUsize,
}

impl CountingStore {
    /// Reading costs nothing: what is proven is not kept.
    pub fn near(&self) {
        self.near.store(true, Ordering::SeqCst);
    }

    /// Lets each read wait for so long.
    pub fn slow(&self, time: Duration) {
        self.slow_ms.store(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// The most reads that waited at a time.
    pub fn most_reading(&self) -> usize {
        self.most_reading.load(Ordering::SeqCst)
    }

    /// Whether reads fail as if the store could not be reached.
    pub fn away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// Ranges of segment objects that were asked for since the last call.
    pub fn taken(&self) -> Vec<(String, Range<u64>)> {
        let mut reads = std::mem::take(&mut *self.reads.lock().unwrap());
        reads.retain(|(key, _)| key.ends_with(".cmfs"));
        reads
    }
}

#[async_trait::async_trait]
impl ObjectStore for CountingStore {
    async fn put(&self, key: &ObjectKey, body: Bytes, content_type: &'static str) -> Result<Put, StoreError> {
        self.directory.put(key, body, content_type).await
    }
    async fn get(&self, key: &ObjectKey, range: Range<u64>) -> Result<ByteStream, StoreError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "away, as the test wants it"));
        }
        self.reads.lock().unwrap().push((key.to_string(), range.clone()));
        let slow_ms = self.slow_ms.load(Ordering::SeqCst);
        if slow_ms > 0 {
            self.most_reading.fetch_max(self.reading.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(slow_ms)).await;
            self.reading.fetch_sub(1, Ordering::SeqCst);
        }
        self.directory.get(key, range).await
    }
    fn is_near(&self) -> bool {
        self.near.load(Ordering::SeqCst)
    }
    async fn head(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        self.directory.head(key).await
    }
    async fn delete(&self, keys: &[ObjectKey]) -> Result<(), StoreError> {
        self.directory.delete(keys).await
    }
    async fn list(&self, prefix: &str, after: Option<&ObjectKey>, limit: usize) -> Result<Vec<ObjectInfo>, StoreError> {
        self.directory.list(prefix, after, limit).await
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.directory.ping().await
    }
}

/// What a clip is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// H.264 with B-frames, AAC.
    H264,
    /// H.265, AAC.
    Hevc,
    /// MPEG-2 video with B-frames, MP2.
    Mpeg2,
    /// AAC alone.
    Radio,
}

/// Makes a clip of `seconds`, 25 frames a second, a sync sample every [`GOP`].
pub async fn clip(dir: &Path, kind: Kind, seconds: u32) -> PathBuf {
    let path = dir.join(format!("{kind:?}-{seconds}.ts"));
    let video = format!("color=black:s=320x192:r={}:d={seconds},{}", media::FPS, media::numbering());
    let tone = format!("sine=frequency=440:sample_rate=48000:duration={seconds}");
    let common = ["-y", "-v", "error", "-f", "lavfi", "-i", &video, "-f", "lavfi", "-i", &tone];
    let codecs: &[&str] = match kind {
        Kind::H264 => &[
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-pix_fmt",
            "yuv420p",
            "-g",
            "25",
            "-bf",
            "2",
            "-sc_threshold",
            "0",
            "-c:a",
            "aac",
            "-b:a",
            "64k",
        ],
        Kind::Hevc => &[
            "-c:v",
            "libx265",
            "-preset",
            "ultrafast",
            "-pix_fmt",
            "yuv420p",
            "-c:a",
            "aac",
            "-b:a",
            "64k",
            "-x265-params",
            "keyint=25:min-keyint=25:scenecut=0:log-level=error",
        ],
        Kind::Mpeg2 => &[
            "-c:v",
            "mpeg2video",
            "-g",
            "25",
            "-bf",
            "2",
            "-sc_threshold",
            "1000000000",
            "-flags",
            "+cgop",
            "-b:v",
            "1M",
            "-c:a",
            "mp2",
            "-b:a",
            "128k",
        ],
        Kind::Radio => &["-map", "1:a", "-c:a", "aac", "-b:a", "64k"],
    };
    media::run("ffmpeg", &[&common[..], codecs, &[path.to_str().unwrap()]].concat()).await;
    path
}

/// What of a clip is published when.
pub struct Show<'a> {
    pub clip: &'a Path,
    pub start: UtcUs,
}

/// A clip, cut; and what is needed to publish it bit by bit.
pub struct Cut {
    segments: Vec<CutSegment>,
    start: UtcUs,
}

impl Cut {
    pub fn of(clip: &Path, start: UtcUs) -> Self {
        let mut demuxer = TsDemuxer::new();
        let mut segmenter = Segmenter::new(SEGMENT_SECONDS, UtcUs(0));
        let (mut events, mut out) = (Vec::new(), Vec::new());
        demuxer.push(&std::fs::read(clip).expect("a clip"), &mut events);
        demuxer.flush(&mut events);
        events.retain(|e| !matches!(e, MediaEvent::WallTime { .. }));
        segmenter.push(events, None, start, &mut out);
        segmenter.end_run(&mut out);
        let segments = out.into_iter().filter_map(|o| match o {
            Output::Segment(cut) => Some(cut),
            _ => None,
        });
        Self { segments: segments.collect(), start }
    }

    pub fn len(&self) -> usize {
        self.segments.len()
    }

    pub fn start(&self) -> UtcUs {
        self.start
    }
}

/// Store and index of one stream, `demo`.
pub struct Archive {
    pub dir: tempfile::TempDir,
    pub store: Arc<CountingStore>,
    pub index: Arc<dyn Index>,
    /// The same as the nodes ask it: each call counts as one fault that does nothing.
    pub asked: FaultyIndex<dyn Index>,
    pub stream: StreamName,
    lease: Lease,
    next: Mutex<(u64, u64, u128)>,
}

impl Archive {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let directory = DirectoryStore::open(&dir.path().join("objects")).unwrap();
        let store = Arc::new(CountingStore {
            directory,
            reads: Mutex::default(),
            away: AtomicBool::default(),
            near: AtomicBool::default(),
            slow_ms: AtomicU64::default(),
            reading: AtomicUsize::default(),
            most_reading: AtomicUsize::default(),
        });
        let index = index::open(&format!("sqlite:{}", dir.path().join("index.db").display())).await.unwrap();
        index.migrate().await.unwrap();
        let stream = StreamName::parse("demo").unwrap();
        let lease = index.acquire(&stream, "bed", UtcUs(0), 1 << 60).await.unwrap().unwrap();
        let rates = Rates { before_percent: 0, after_percent: 0, delay_percent: 100, delay: Duration::ZERO };
        let asked = FaultyIndex::seeded(index.clone(), 1, rates);
        Self { dir, store, index, asked, stream, lease, next: Mutex::new((0, 0, 0)) }
    }

    /// Publishes all of it.
    pub async fn publish(&self, cut: &Cut) -> Vec<Segment> {
        let mut rows = Vec::new();
        for n in 0..cut.len() {
            rows.push(self.publish_one(cut, n).await);
        }
        rows
    }

    /// Publishes the `n`th segment of it.
    pub async fn publish_one(&self, cut: &Cut, n: usize) -> Segment {
        let cut = &cut.segments[n];
        let (sequence, discontinuity, run) = {
            let mut next = self.next.lock().unwrap();
            let (sequence, discontinuity, run) = *next;
            let run = run + u128::from(cut.new_run);
            let discontinuity = discontinuity + u64::from(cut.discontinuity && sequence > 0);
            *next = (sequence + 1, discontinuity, run);
            (sequence, discontinuity, run)
        };
        let id = SegmentId {
            stream: self.stream.clone(),
            run: RunId(run),
            epoch: 1,
            sequence,
            start: cut.start,
            duration_us: cut.duration_us,
        };
        let inputs: Vec<PartInput<'_>> = cut
            .parts
            .iter()
            .map(|p| PartInput {
                track: p.track,
                init: p.init.info.hash,
                decode_start: p.decode_start,
                table: &p.table,
                payload: &p.payload,
            })
            .collect();
        let (object, segment) =
            cmaf::write_segment(&id, discontinuity, cut.anchor, cut.new_run, &inputs).expect("a segment");
        for part in &cut.parts {
            let key = ObjectKey::init(&self.stream, part.init.info.hash);
            self.store.put(&key, part.init.bytes.clone(), "video/mp4").await.unwrap();
        }
        self.store.put(&segment.object, object.into(), "video/mp4").await.unwrap();
        let infos: Vec<InitInfo> = cut.parts.iter().map(|p| p.init.info.clone()).collect();
        let tables = cut.parts.iter().map(|p| p.table.clone()).collect();
        let with = SegmentWithTables { segment, tables };
        self.index.publish(&self.lease, &with, &infos).await.unwrap();
        with.segment
    }

    /// A node over it.
    pub async fn serve(&self, jpeg: Option<JpegOptions>) -> Node {
        self.node(jpeg, 64 << 20, PrometheusBuilder::new().build_recorder().handle()).await
    }

    /// A node with a small cache of media.
    pub async fn serve_with(&self, media_cache_bytes: u64) -> Node {
        self.node(None, media_cache_bytes, PrometheusBuilder::new().build_recorder().handle()).await
    }

    /// A node whose `/metrics` are those of this process: for one test of a process.
    pub async fn serve_measured(&self) -> Node {
        let metrics = PrometheusBuilder::new().install_recorder().expect("nothing else measures in this process");
        self.node(None, 64 << 20, metrics).await
    }

    async fn node(&self, jpeg: Option<JpegOptions>, media_cache_bytes: u64, metrics: PrometheusHandle) -> Node {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let options = PlaybackOptions {
            segment_seconds: SEGMENT_SECONDS,
            max_streams: MOST_STREAMS,
            jpeg,
            media_cache_bytes,
            ..PlaybackOptions::new(metrics)
        };
        let cancel = CancellationToken::new();
        let index = Arc::new(self.asked.clone());
        let served = tokio::spawn(web::serve(listener, self.store.clone(), index, options, cancel.clone()));
        let client = reqwest::Client::builder().no_gzip().build().unwrap();
        Node { base: format!("http://{address}/{}", self.stream), address, client, cancel, served }
    }
}

/// A playback node.
pub struct Node {
    pub base: String,
    pub address: std::net::SocketAddr,
    pub client: reqwest::Client,
    pub cancel: CancellationToken,
    pub served: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Node {
    pub async fn get(&self, path: &str) -> reqwest::Response {
        let url = format!("{}/{path}", self.base);
        self.client.get(&url).send().await.unwrap_or_else(|e| panic!("{url}: {e}"))
    }

    pub async fn with(&self, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
        let request = self.client.get(format!("{}/{path}", self.base));
        headers.iter().fold(request, |r, (name, value)| r.header(*name, *value)).send().await.unwrap()
    }

    pub async fn head(&self, path: &str) -> reqwest::Response {
        self.client.head(format!("{}/{path}", self.base)).send().await.unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// A header as text; empty when it is not there.
pub fn header(answer: &reqwest::Response, name: &str) -> String {
    answer.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
}
