//! A playback node in this process, over synthetic recordings: two runs with a gap, one picture and two sounds.

#![allow(dead_code, reason = "several suites use it, each some of it")]

use bytes::Bytes;
use evertape::container::cmaf::{self, PartInput};
use evertape::index::faults::{FaultyIndex, Rates};
use evertape::index::{self, Index};
use evertape::media::segment::{SegmentId, SegmentWithTables};
use evertape::media::{InitHash, InitInfo, ObjectKey, RunId, Sample, SampleTable, StreamName, Ticks, TrackId, UtcUs};
use evertape::store::{ByteStream, DirectoryStore, FaultyStore, ObjectInfo, ObjectStore, Put, StoreError};
use evertape::web::{self, PlaybackOptions};
use metrics_exporter_prometheus::PrometheusBuilder;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

/// Segments of one run.
pub const SEGMENTS: u64 = 10;
/// Length of a segment in seconds.
pub const SECONDS: i64 = 6;
/// From the start of the first run to that of the second: a minute is missing between them.
pub const SECOND_RUN: i64 = 120;

/// A store that remembers which objects were asked for.
pub struct CountingStore {
    pub faults: FaultyStore<DirectoryStore>,
    pub gets: Mutex<Vec<String>>,
}

impl CountingStore {
    /// Objects asked for since the last call.
    pub fn taken(&self) -> Vec<String> {
        std::mem::take(&mut *self.gets.lock().unwrap())
    }

    pub fn gets(&self) -> usize {
        self.gets.lock().unwrap().len()
    }
}

#[async_trait::async_trait]
impl ObjectStore for CountingStore {
    async fn put(&self, key: &ObjectKey, body: Bytes, content_type: &'static str) -> Result<Put, StoreError> {
        self.faults.put(key, body, content_type).await
    }
    async fn get(&self, key: &ObjectKey, range: Range<u64>) -> Result<ByteStream, StoreError> {
        self.gets.lock().unwrap().push(key.to_string());
        self.faults.get(key, range).await
    }
    async fn head(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        self.faults.head(key).await
    }
    async fn delete(&self, keys: &[ObjectKey]) -> Result<(), StoreError> {
        self.faults.delete(keys).await
    }
    async fn list(&self, prefix: &str, after: Option<&ObjectKey>, limit: usize) -> Result<Vec<ObjectInfo>, StoreError> {
        self.faults.list(prefix, after, limit).await
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.faults.ping().await
    }
}

/// What is recorded, and how to get at it.
pub struct Bed {
    pub dir: tempfile::TempDir,
    pub store: Arc<CountingStore>,
    pub index: FaultyIndex<dyn Index>,
    pub recorder: Recorder,
    pub base: String,
    pub address: std::net::SocketAddr,
    /// Start of the recording in UTC seconds.
    pub from: i64,
    pub keys: Vec<ObjectKey>,
    pub client: reqwest::Client,
    cancel: CancellationToken,
}

fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], kind, body].concat()
}

fn video_entry() -> Vec<u8> {
    let avcc = boxed(b"avcC", &[1, 0x64, 0, 0x28, 0xff, 0xe1, 0, 2, 0x67, 0x64, 1, 0, 1, 0x68]);
    let mut body = vec![0; 78];
    body[7] = 1;
    body[24..28].copy_from_slice(&[2, 0x80, 1, 0x68]);
    body[28..36].copy_from_slice(&[0, 0x48, 0, 0, 0, 0x48, 0, 0]);
    body[41] = 1;
    body[75..78].copy_from_slice(&[24, 0xff, 0xff]);
    boxed(b"avc1", &[body, avcc].concat())
}

fn audio_entry() -> Vec<u8> {
    let decoder = [&[0x40, 5 << 2 | 1][..], &[0; 11], &[5, 2, 0x11, 0x90]].concat();
    let mut esds = vec![0, 0, 0, 0, 3, (3 + 2 + decoder.len() + 3) as u8, 0, 1, 0, 4, decoder.len() as u8];
    esds.extend(decoder);
    esds.extend([6, 1, 2]);
    let mut body = vec![0; 28];
    body[7] = 1;
    body[17] = 2;
    body[19] = 16;
    body[24..26].copy_from_slice(&48_000u16.to_be_bytes());
    boxed(b"mp4a", &[body, boxed(b"esds", &esds)].concat())
}

fn init(entry: &[u8], language: Option<&str>) -> (Bytes, InitInfo) {
    let params = cmaf::params_from_sample_entry(entry, language.map(str::to_owned)).unwrap();
    let bytes = Bytes::from(cmaf::init_segment(&params));
    (bytes.clone(), InitInfo { hash: InitHash::of(&bytes), params })
}

/// 540,000 ticks of `count` samples; where `gop` is not 0, every such many is a sync sample.
fn table(count: u32, size: u32, gop: u32) -> SampleTable {
    let sample = |n: u32| Sample {
        size: size + n % 7,
        duration: 540_000 / count,
        composition_offset: 0,
        sync: gop == 0 || n.is_multiple_of(gop),
    };
    SampleTable { samples: (0..count).map(sample).collect() }
}

/// The samples of a table, all of one byte; a picture is one NAL unit with its length before it.
fn payload(table: &SampleTable, byte: u8, picture: bool) -> Bytes {
    let mut out = Vec::new();
    for sample in &table.samples {
        let end = out.len() + sample.size as usize;
        if picture {
            out.extend_from_slice(&(sample.size - 4).to_be_bytes());
            out.push(0x41);
        }
        out.resize(end, byte);
    }
    out.into()
}

impl Bed {
    pub async fn new() -> Self {
        Self::with_sample_bytes(1000).await
    }

    /// `video_bytes`: of each picture; there are 150 in a segment.
    pub async fn with_sample_bytes(video_bytes: u32) -> Self {
        Self::over(video_bytes, None).await
    }

    /// Over the index with this address; an own one in SQLite when `None`.
    pub async fn over(video_bytes: u32, index_url: Option<&str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let from = evertape::clock::now().seconds() - 3600;
        let directory = DirectoryStore::open(&dir.path().join("objects")).unwrap();
        let store = Arc::new(CountingStore { faults: FaultyStore::scripted(directory, []), gets: Mutex::default() });
        let own = format!("sqlite:{}", dir.path().join("index.db").display());
        let index = index::open(index_url.unwrap_or(&own)).await.unwrap();
        index.migrate().await.unwrap();
        let recorder = Recorder::new(store.clone(), index.clone(), "demo", 0, from, video_bytes).await;
        let mut keys = Vec::new();
        for n in 0..2 * SEGMENTS {
            keys.push(recorder.publish(n).await.0);
        }
        // Counts every call and disturbs none.
        let rates = Rates { before_percent: 0, after_percent: 0, delay_percent: 100, delay: Duration::ZERO };
        let index = FaultyIndex::seeded(index, 1, rates);
        let cancel = CancellationToken::new();
        let address = serve(store.clone(), index.clone(), &cancel).await;
        let client = reqwest::Client::builder().no_gzip().build().unwrap();
        store.taken();
        Self {
            dir,
            store,
            index,
            recorder,
            base: format!("http://{address}/demo"),
            address,
            from,
            keys,
            client,
            cancel,
        }
    }

    /// Another node over the same recordings; gives its base.
    pub async fn second_node(&self) -> String {
        format!("http://{}/demo", serve(self.store.clone(), self.index.clone(), &self.cancel).await)
    }

    /// Another node, set up otherwise, over the same recordings.
    pub async fn node_with(&self, change: impl FnOnce(&mut PlaybackOptions)) -> String {
        let mut options = options();
        change(&mut options);
        self.node_over(self.store.clone(), options).await
    }

    /// A node with these limits; what stops it, and what ends with it.
    pub async fn node_to_stop(&self, limits: web::Limits) -> (String, CancellationToken, tokio::task::JoinHandle<()>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let (store, index, token) = (self.store.clone(), Arc::new(self.index.clone()), stop.clone());
        let options = PlaybackOptions { limits, ..options() };
        let ended = tokio::spawn(async move { web::serve(listener, store, index, options, token).await.unwrap() });
        (format!("http://{address}/demo"), stop, ended)
    }

    /// A node over the same index and another store.
    pub async fn node_over(&self, store: Arc<dyn ObjectStore>, options: PlaybackOptions) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(web::serve(listener, store, Arc::new(self.index.clone()), options, self.cancel.clone()));
        format!("http://{address}/demo")
    }

    /// Records the same again as another stream, other bytes in other runs: the run ids begin with 16 times `e`.
    pub async fn add_stream(&self, name: &str) {
        let index: Arc<dyn Index> = Arc::new(self.index.clone());
        let recorder = Recorder::new(self.store.clone(), index, name, OTHER_BYTES, self.from, 20).await;
        for n in 0..2 * SEGMENTS {
            recorder.publish(n).await;
        }
    }

    /// The node without its connections.
    pub fn service(&self) -> web::Service {
        web::service(self.store.clone(), Arc::new(self.index.clone()), options(), self.cancel.clone())
    }

    pub async fn get(&self, path: &str) -> reqwest::Response {
        let url = format!("{}/{path}", self.base);
        self.client.get(&url).send().await.unwrap_or_else(|e| panic!("{url}: {e}"))
    }

    pub async fn with(&self, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
        let request = self.client.get(format!("{}/{path}", self.base));
        headers.iter().fold(request, |r, (name, value)| r.header(*name, *value)).send().await.unwrap()
    }

    pub async fn text(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.text().await.unwrap()
    }

    /// An address of each kind of playlist and JSON.
    pub fn texts(&self) -> Vec<String> {
        let f = self.from;
        ["tracks-v1/", "", "tracks-a2/"]
            .iter()
            .flat_map(|tracks| {
                [
                    format!("{tracks}index.m3u8"),
                    format!("{tracks}index-{f}-60.m3u8"),
                    format!("{tracks}archive-{f}-300.fmp4.m3u8"),
                    format!("{tracks}index-{f}-now.m3u8"),
                    format!("{tracks}timeshift_rel-3500.m3u8"),
                    format!("{tracks}timeshift_abs-{f}.m3u8"),
                    format!("{tracks}rewind-3600.m3u8"),
                ]
            })
            .chain(["recording_status.json", "ranges.json", "media_info.json"].map(str::to_owned))
            .collect()
    }

    /// Addresses of the first segments and of an init segment, below the stream.
    pub async fn media(&self) -> (Vec<String>, String) {
        let list = self.text(&format!("tracks-v1/index-{}-60.fmp4.m3u8", self.from)).await;
        let segments = list.lines().filter_map(|l| l.strip_prefix("../segment/")).map(|l| format!("segment/{l}"));
        let init = list.split("URI=\"../").nth(1).and_then(|r| r.split('"').next()).expect("a map").to_owned();
        (segments.collect(), init)
    }

    /// Sends these bytes and gives status and whole answer; what no well-behaved client would send.
    pub async fn raw(&self, request: &[u8]) -> (u16, String) {
        let mut tcp = tokio::net::TcpStream::connect(self.address).await.unwrap();
        tcp.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), tcp.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "no answer to {:?}", String::from_utf8_lossy(request));
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        (status, answer)
    }

    pub async fn raw_path(&self, path: &str) -> (u16, String) {
        self.raw(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await
    }

    pub fn object_path(&self, n: usize) -> std::path::PathBuf {
        Path::new(self.dir.path()).join("objects").join(self.keys[n].as_str())
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

async fn serve(
    store: Arc<CountingStore>,
    index: FaultyIndex<dyn Index>,
    cancel: &CancellationToken,
) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(web::serve(listener, store, Arc::new(index), options(), cancel.clone()));
    address
}

pub fn options() -> PlaybackOptions {
    let options = PlaybackOptions::new(PrometheusBuilder::new().build_recorder().handle());
    PlaybackOptions { segment_seconds: SECONDS as u32, max_streams: 100, ..options }
}

/// Of what the samples of segment n of another stream are made: this and n.
pub const OTHER_BYTES: u8 = 100;

/// Publishes what is played.
pub struct Recorder {
    store: Arc<CountingStore>,
    index: Arc<dyn Index>,
    lease: index::Lease,
    inits: Vec<InitInfo>,
    tables: Vec<SampleTable>,
    from: i64,
    bytes: u8,
}

impl Recorder {
    async fn new(
        store: Arc<CountingStore>,
        index: Arc<dyn Index>,
        name: &str,
        bytes: u8,
        from: i64,
        video_bytes: u32,
    ) -> Self {
        let stream = StreamName::parse(name).unwrap();
        let inits = [init(&video_entry(), None), init(&audio_entry(), Some("eng")), init(&audio_entry(), Some("fra"))];
        for (bytes, info) in &inits {
            store.put(&ObjectKey::init(&stream, info.hash), bytes.clone(), "video/mp4").await.unwrap();
        }
        let inits: Vec<InitInfo> = inits.iter().map(|(_, info)| info.clone()).collect();
        let tables = vec![table(150, video_bytes, 50), table(250, 100, 0), table(250, 90, 0)];
        let lease = index.acquire(&stream, "bed", UtcUs::from_seconds(from), 1 << 50).await.unwrap().unwrap();
        Self { store, index, lease, inits, tables, from, bytes }
    }

    /// Object and row of segment `n`: the first [`SEGMENTS`] are one run, all others another. Its start in seconds
    /// is given, too.
    pub async fn publish(&self, n: u64) -> (ObjectKey, i64) {
        let run = u64::from(n >= SEGMENTS);
        let in_run = (n - run * SEGMENTS) as i64;
        let start = self.from + run as i64 * SECOND_RUN + in_run * SECONDS;
        let id = SegmentId {
            stream: self.lease.stream.clone(),
            run: RunId(u128::from(run) + 1 + if self.bytes > 0 { 0xeeee_eeee_eeee_eeee << 64 } else { 0 }),
            epoch: 1,
            sequence: n,
            start: UtcUs::from_seconds(start),
            duration_us: SECONDS * 1_000_000,
        };
        let tracks = [TrackId::video(1), TrackId::audio(1), TrackId::audio(2)];
        let decode_start = Ticks(900_000 + in_run * 540_000);
        // Each segment its own bytes, so that a wrong one is seen.
        let payloads: Vec<Vec<Bytes>> =
            self.tables.iter().enumerate().map(|(i, t)| vec![payload(t, self.bytes + n as u8 + 1, i == 0)]).collect();
        let parts: Vec<PartInput<'_>> = (0..3)
            .map(|i| PartInput {
                track: tracks[i],
                init: self.inits[i].hash,
                decode_start,
                table: &self.tables[i],
                payload: &payloads[i],
            })
            .collect();
        let (object, segment) = cmaf::write_segment(&id, run, decode_start, in_run == 0, &parts).unwrap();
        self.store.put(&segment.object, object.into(), "video/mp4").await.unwrap();
        let key = segment.object.clone();
        let row = SegmentWithTables { segment, tables: self.tables.clone() };
        self.index.publish(&self.lease, &row, &self.inits).await.unwrap();
        (key, start)
    }
}
