//! Recordings made up for tests of what looks after them: real objects and rows, tiny samples.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use evertape::container::cmaf::{self, PartInput};
use evertape::index::{self, Index, Row};
use evertape::media::segment::{SegmentId, SegmentWithTables};
use evertape::media::{
    InitHash, InitInfo, ObjectKey, RunId, Sample, SampleTable, Segment, StreamName, Ticks, TrackId, UtcRange, UtcUs,
};
use evertape::store::{DirectoryStore, ObjectStore};
use std::collections::BTreeSet;
use std::sync::Arc;

pub const HOUR_US: i64 = 3_600_000_000;

/// 2014-08-27T00:00:00Z.
pub fn start() -> UtcUs {
    UtcUs::from_seconds(1_409_097_600)
}

pub fn name(stream: &str) -> StreamName {
    StreamName::parse(stream).unwrap()
}

pub fn all_time() -> UtcRange {
    UtcRange::new(UtcUs(0), UtcUs(i64::MAX / 4))
}

/// Store and index of one test.
pub struct Bed {
    pub store: Arc<dyn ObjectStore>,
    pub index: Arc<dyn Index>,
    pub url: String,
    pub folder: tempfile::TempDir,
    _database: Option<crate::postgres::TestDatabase>,
    _s3: Option<crate::support::s3::TestS3>,
}

impl Bed {
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}/index.db", folder.path().display());
        Self::on(folder, url, None, None).await
    }

    pub async fn postgres() -> Self {
        let database = crate::postgres::postgres().await;
        Self::on(tempfile::tempdir().unwrap(), database.url.clone(), Some(database), None).await
    }

    /// What a real deployment runs on.
    pub async fn postgres_and_s3() -> Self {
        let (database, s3) = tokio::join!(crate::postgres::postgres(), crate::support::s3::s3());
        Self::on(tempfile::tempdir().unwrap(), database.url.clone(), Some(database), Some(s3)).await
    }

    async fn on(
        folder: tempfile::TempDir,
        url: String,
        database: Option<crate::postgres::TestDatabase>,
        s3: Option<crate::support::s3::TestS3>,
    ) -> Self {
        let store: Arc<dyn ObjectStore> = match &s3 {
            Some(s3) => Arc::new(s3.store()),
            None => Arc::new(DirectoryStore::open(&folder.path().join("objects")).unwrap()),
        };
        let index = index::open(&url).await.unwrap();
        index.migrate().await.unwrap();
        Self { store, index, url, folder, _database: database, _s3: s3 }
    }

    /// Another process on the same index.
    pub async fn another(&self) -> Arc<dyn Index> {
        index::open(&self.url).await.unwrap()
    }

    /// An empty index of the same kind, migrated. Keeps what it stands on in the second value.
    pub async fn empty_index(&self) -> (Arc<dyn Index>, Ground) {
        let (url, ground) = match &self._database {
            Some(_) => {
                let database = crate::postgres::postgres().await;
                (database.url.clone(), Ground::Database(database))
            }
            None => {
                let folder = tempfile::tempdir().unwrap();
                (format!("sqlite:{}/index.db", folder.path().display()), Ground::Folder(folder))
            }
        };
        let index = index::open(&url).await.unwrap();
        index.migrate().await.unwrap();
        (index, ground)
    }

    /// Puts other bytes in the place of an object.
    pub async fn overwrite(&self, key: &ObjectKey, bytes: impl Into<Bytes>) {
        self.store.delete(std::slice::from_ref(key)).await.unwrap();
        self.store.put(key, bytes.into(), "video/mp4").await.unwrap();
    }

    /// An object whole.
    pub async fn object(&self, key: &ObjectKey) -> Bytes {
        evertape::store::read_all(&*self.store, key, 0..1 << 30).await.unwrap()
    }

    /// Publishes `count` segments of one second that begin `every_s` apart.
    pub async fn record(&self, stream: &StreamName, count: u64, every_s: i64) {
        let segments: Vec<_> = (0..count).map(|n| Plan::new(stream, n, n as i64 * every_s)).collect();
        self.write(&segments).await;
    }

    /// Publishes `count` more, numbered from `first`, an hour apart.
    pub async fn record_more(&self, stream: &StreamName, first: u64, count: u64) {
        let segments: Vec<_> = (first..first + count).map(|n| Plan::new(stream, n, n as i64 * 3600)).collect();
        self.write(&segments).await;
    }

    /// Writes objects and rows.
    pub async fn write(&self, plans: &[Plan]) -> Vec<Segment> {
        let mut rows: Vec<SegmentWithTables> = Vec::new();
        for plan in plans {
            let (object, row) = plan.object();
            self.store.put(&row.segment.object, object, "video/mp4").await.unwrap();
            rows.push(row);
        }
        for (init, bytes) in inits() {
            let streams: BTreeSet<_> = plans.iter().map(|p| &p.stream).collect();
            for stream in streams {
                self.store.put(&ObjectKey::init(stream, init.hash), bytes.clone(), "video/mp4").await.unwrap();
            }
        }
        let inits: Vec<InitInfo> = inits().into_iter().map(|(info, _)| info).collect();
        let written = rows.iter().map(|r| r.segment.clone()).collect();
        for batch in rows.chunk_by(|a, b| a.segment.id.stream == b.segment.id.stream) {
            for batch in batch.chunks(500) {
                self.index.adopt(&batch[0].segment.id.stream, batch, &inits).await.unwrap();
            }
        }
        written
    }

    pub async fn listed(&self, stream: &StreamName) -> Vec<Segment> {
        self.index.window(stream, all_time(), None, usize::MAX).await.unwrap()
    }

    pub async fn rows(&self, stream: &StreamName) -> Vec<Row> {
        self.index.rows(stream, all_time(), None, usize::MAX).await.unwrap()
    }

    /// Keys of the segment objects in the store.
    pub async fn objects(&self) -> BTreeSet<String> {
        let all = self.store.list("", None, 1_000_000).await.unwrap();
        all.into_iter().map(|o| o.key.to_string()).filter(|k| k.ends_with(".cmfs")).collect()
    }
}

/// What an index stands on.
pub enum Ground {
    Folder(tempfile::TempDir),
    Database(crate::postgres::TestDatabase),
}

/// A segment to be made.
#[derive(Debug, Clone)]
pub struct Plan {
    pub stream: StreamName,
    pub sequence: u64,
    pub epoch: u64,
    pub run: u128,
    pub discontinuity: u64,
    /// Seconds after [`start`].
    pub at_s: i64,
    pub seconds: i64,
}

impl Plan {
    /// One second long, epoch 1, run 1, no discontinuity.
    pub fn new(stream: &StreamName, sequence: u64, at_s: i64) -> Self {
        Self { stream: stream.clone(), sequence, epoch: 1, run: 1, discontinuity: 0, at_s, seconds: 1 }
    }

    /// Its object and its row.
    pub fn object(&self) -> (Bytes, SegmentWithTables) {
        let id = SegmentId {
            stream: self.stream.clone(),
            run: RunId(self.run),
            epoch: self.epoch,
            sequence: self.sequence,
            start: start().plus_us(self.at_s * 1_000_000),
            duration_us: self.seconds * 1_000_000,
        };
        let pictures = self.seconds as u32 * 5;
        let sample = |n: u32| Sample {
            size: 40 + (n * 31 + self.sequence as u32 * 7) % 60,
            duration: 18_000,
            composition_offset: 0,
            sync: n == 0,
        };
        let video = SampleTable { samples: (0..pictures).map(sample).collect() };
        let sound = Sample { size: 24, duration: 90_000 / 5, composition_offset: 0, sync: true };
        let audio = SampleTable { samples: vec![sound; pictures as usize] };
        let payload = |table: &SampleTable, seed: u64| {
            let bytes: Vec<u8> = (0..table.payload_bytes()).map(|n| (n * 37 + seed * 11 + self.epoch) as u8).collect();
            [Bytes::from(bytes)]
        };
        let payloads = [payload(&video, self.sequence), payload(&audio, self.sequence + 1)];
        let inits = inits();
        let at = Ticks(self.at_s * 90_000);
        let part = |track, n: usize, table, payload| PartInput {
            track,
            init: inits[n].0.hash,
            decode_start: at,
            table,
            payload,
        };
        let parts = [
            part(TrackId::video(1), 0, &video, &payloads[0][..]),
            part(TrackId::audio(1), 1, &audio, &payloads[1][..]),
        ];
        let (object, segment) = cmaf::write_segment(&id, self.discontinuity, at, false, &parts).unwrap();
        (object.into(), SegmentWithTables { segment, tables: vec![video.clone(), audio.clone()] })
    }
}

/// Two init segments and their bytes.
pub fn inits() -> Vec<(InitInfo, Bytes)> {
    let avcc: &[u8] = &[1, 0x64, 0, 0x28, 0xff, 0xe1, 0, 2, 0x67, 0x64, 1, 0, 1, 0x68];
    let entry = |kind: &[u8; 4], fixed: Vec<u8>, inner: &[u8; 4], body: &[u8]| {
        let inside = [&(8 + body.len() as u32).to_be_bytes()[..], inner, body].concat();
        [&(8 + fixed.len() as u32 + inside.len() as u32).to_be_bytes()[..], kind, &fixed, &inside].concat()
    };
    let mut visual = vec![0u8; 78];
    visual[7] = 1;
    visual[24..28].copy_from_slice(&[0, 160, 0, 96]);
    visual[28..36].copy_from_slice(&[0, 0x48, 0, 0, 0, 0x48, 0, 0]);
    visual[41] = 1;
    visual[75] = 24;
    visual[76..78].copy_from_slice(&[0xff, 0xff]);
    let mut sound = vec![0u8; 28];
    sound[7] = 1;
    sound[17] = 2;
    sound[19] = 16;
    sound[24..28].copy_from_slice(&(48_000u32 << 16).to_be_bytes());
    let entries = [entry(b"avc1", visual, b"avcC", avcc), entry(b"ac-3", sound, b"dac3", &[0x10, 0x3d, 0xe0])];
    entries
        .into_iter()
        .map(|entry| {
            let params = cmaf::params_from_sample_entry(&entry, Some("eng".into())).unwrap();
            let bytes = Bytes::from(cmaf::init_segment(&params));
            (InitInfo { hash: InitHash::of(&bytes), params }, bytes)
        })
        .collect()
}
