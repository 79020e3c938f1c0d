//! What a case runs on: an index, plain or behind faults, and segments to put there.

use crate::postgres::{TestDatabase, postgres};
use evertape::index::control::{
    Changed, Control, Expected, KeptReport, KeptSetting, Removed, StreamReport, StreamSetting,
};
use evertape::index::faults::{FaultyIndex, Rates};
use evertape::index::{Adopted, Amount, AppliedRetention, Keeping, Row};
use evertape::index::{Deletable, Extent, Index, IndexErrorKind, Lease, Published, RecorderBeat, Result, Tail, open};
use evertape::media::lock::{Lock, LockId};
use evertape::media::segment::{SegmentId, SegmentWithTables};
use evertape::media::track::{AudioParams, InitInfo, TrackParams, Uncarried};
use evertape::media::{
    Codec, InitHash, RunId, Sample, SampleTable, Segment, StreamName, Ticks, TrackId, TrackPart, UtcRange, UtcUs,
};
use std::sync::Arc;
use std::time::Duration;

/// Seconds in a day.
pub const DAY: i64 = 86_400;

/// 2024-02-28T00:00:00Z: the next day but one is the 29th of February.
pub const EPOCH_S: i64 = 1_709_078_400;

/// A time to live that outlasts every case.
pub const LONG_US: i64 = 1_000_000_000_000;

/// An index and what it stands on.
pub struct Bed {
    pub index: Arc<dyn Index>,
    /// Without faults: counts are those of one call, and the first publish says `Written`.
    pub exact: bool,
    pub url: String,
    _ground: Ground,
}

enum Ground {
    Folder(#[allow(dead_code)] tempfile::TempDir),
    Database(#[allow(dead_code)] TestDatabase),
}

impl Bed {
    pub async fn sqlite(faults: bool) -> Self {
        let bed = Self::empty_sqlite(faults).await;
        bed.index.migrate().await.unwrap();
        bed
    }

    pub async fn postgres(faults: bool) -> Self {
        let bed = Self::empty_postgres(faults).await;
        bed.index.migrate().await.unwrap();
        bed
    }

    pub async fn empty_sqlite(faults: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("deep/below/index.db").display());
        Self::on(url, Ground::Folder(folder), faults).await
    }

    pub async fn empty_postgres(faults: bool) -> Self {
        let database = postgres().await;
        Self::on(database.url.clone(), Ground::Database(database), faults).await
    }

    async fn on(url: String, ground: Ground, faults: bool) -> Self {
        let plain = open(&url).await.unwrap();
        let rates = Rates { before_percent: 15, after_percent: 20, delay_percent: 5, delay: Duration::from_millis(1) };
        let index: Arc<dyn Index> =
            if faults { Arc::new(Patient(FaultyIndex::seeded(plain, 20_240_229, rates))) } else { plain };
        Self { index, exact: !faults, url, _ground: ground }
    }

    /// Another process on the same database.
    pub async fn another(&self) -> Arc<dyn Index> {
        open(&self.url).await.unwrap()
    }

    /// Takes the lease of a stream that nobody holds.
    pub async fn lease(&self, stream: &StreamName, holder: &str) -> Lease {
        self.index.acquire(stream, holder, at(0), LONG_US).await.unwrap().expect("the lease is free")
    }

    /// Publishes what is not there yet.
    pub async fn put(&self, lease: &Lease, segment: &SegmentWithTables) {
        let published = self.index.publish(lease, segment, &[]).await.unwrap();
        if self.exact {
            assert_eq!(published, Published::Written);
        }
    }

    /// All listed segments.
    pub async fn listed(&self, stream: &StreamName) -> Vec<Segment> {
        self.index.window(stream, all_time(), None, usize::MAX).await.unwrap()
    }
}

pub fn all_time() -> UtcRange {
    UtcRange::new(UtcUs(i64::MIN), UtcUs(i64::MAX))
}

pub fn stream(name: &str) -> StreamName {
    StreamName::parse(name).unwrap()
}

/// `seconds` after 2024-02-28T00:00:00Z.
pub fn at(seconds: i64) -> UtcUs {
    UtcUs::from_seconds(EPOCH_S + seconds)
}

pub fn range(from: i64, to: i64) -> UtcRange {
    UtcRange::new(at(from), at(to))
}

/// A segment that starts `start` seconds after [`EPOCH_S`].
pub fn segment(stream: &StreamName, sequence: u64, epoch: u64, start: i64, seconds: i64) -> SegmentWithTables {
    let id = SegmentId {
        stream: stream.clone(),
        run: RunId(0x0192_0000_0000_7000_8000_0000_0000_0000 + u128::from(epoch)),
        epoch,
        sequence,
        start: at(start),
        duration_us: seconds * 1_000_000,
    };
    let tables: Vec<SampleTable> = (0..2u32)
        .map(|track| {
            let sample = |n: u32| Sample {
                size: 1000 * (track + 1) + n * 7 + sequence as u32 % 5,
                duration: 3600,
                composition_offset: n as i32 - 1,
                sync: n == 0,
            };
            SampleTable { samples: (0..4).map(sample).collect() }
        })
        .collect();
    let part = |track: TrackId, init: &InitInfo, offset: u64, table: &SampleTable| TrackPart {
        track,
        init: init.hash,
        offset,
        length: table.payload_bytes() + 120,
        payload_offset: 120,
        decode_start: Ticks(start * 90_000),
        presentation_start: Ticks(start * 90_000 - 1),
        duration: table.duration(),
        sample_count: table.samples.len() as u32,
        sync_count: table.sync_count(),
        starts_with_sync: true,
        duration_runs: table.duration_runs(),
        composition_runs: table.composition_runs(),
    };
    let inits = inits();
    let first = part(TrackId::video(1), &inits[0], 0, &tables[0]);
    let second = part(TrackId::audio(1), &inits[1], first.length, &tables[1]);
    let segment = Segment {
        object: id.object_key().unwrap(),
        id,
        discontinuity: sequence / 10,
        anchor: Ticks(start * 90_000),
        object_offset: 0,
        object_length: first.length + second.length,
        tracks: vec![first, second],
    };
    SegmentWithTables { segment, tables }
}

/// Two init segments, as [`segment`] uses them.
pub fn inits() -> Vec<InitInfo> {
    let params = |codec: Codec, codec_string: &str, language: Option<&str>| TrackParams {
        codec,
        codec_string: codec_string.into(),
        language: language.map(Into::into),
        video: None,
        audio: Some(AudioParams { sample_rate: 48_000, channels: 2 }),
        sample_entry: vec![0, 1, 254, 255],
    };
    vec![
        InitInfo { hash: InitHash::of(b"video"), params: params(Codec::H264, "avc1.640028", None) },
        InitInfo { hash: InitHash::of(b"audio"), params: params(Codec::Aac, "mp4a.40.2", Some("deu")) },
    ]
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// Tries again while the index is unavailable, as its callers do.
struct Patient<I>(I);

macro_rules! patient {
    ($call:expr) => {{
        for _ in 0..200 {
            match $call.await {
                Err(error) if error.kind == IndexErrorKind::Unavailable => continue,
                done => return done,
            }
        }
        $call.await
    }};
}

#[async_trait::async_trait]
impl<I: Index> Index for Patient<I> {
    async fn migrate(&self) -> Result<()> {
        patient!(self.0.migrate())
    }
    async fn ping(&self) -> Result<()> {
        patient!(self.0.ping())
    }
    async fn streams(&self) -> Result<Vec<StreamName>> {
        patient!(self.0.streams())
    }
    async fn acquire(&self, stream: &StreamName, holder: &str, now: UtcUs, ttl_us: i64) -> Result<Option<Lease>> {
        patient!(self.0.acquire(stream, holder, now, ttl_us))
    }
    async fn holder(&self, stream: &StreamName) -> Result<Option<Lease>> {
        patient!(self.0.holder(stream))
    }
    async fn renew(&self, lease: &Lease, now: UtcUs, ttl_us: i64) -> Result<Lease> {
        patient!(self.0.renew(lease, now, ttl_us))
    }
    async fn release(&self, lease: &Lease) -> Result<()> {
        patient!(self.0.release(lease))
    }
    async fn tail(&self, stream: &StreamName) -> Result<Tail> {
        patient!(self.0.tail(stream))
    }
    async fn publish(&self, lease: &Lease, segment: &SegmentWithTables, inits: &[InitInfo]) -> Result<Published> {
        patient!(self.0.publish(lease, segment, inits))
    }
    async fn fill(&self, segment: &SegmentWithTables, inits: &[InitInfo]) -> Result<Published> {
        patient!(self.0.fill(segment, inits))
    }
    async fn beat(&self, beat: &RecorderBeat) -> Result<Vec<RecorderBeat>> {
        patient!(self.0.beat(beat))
    }
    async fn window(&self, s: &StreamName, w: UtcRange, after: Option<u64>, limit: usize) -> Result<Vec<Segment>> {
        patient!(self.0.window(s, w, after, limit))
    }
    async fn newest(&self, stream: &StreamName, before: UtcUs, count: usize) -> Result<Vec<Segment>> {
        patient!(self.0.newest(stream, before, count))
    }
    async fn sample_tables(&self, stream: &StreamName, from: u64, to: u64) -> Result<Vec<(u64, Vec<SampleTable>)>> {
        patient!(self.0.sample_tables(stream, from, to))
    }
    async fn inits(&self, stream: &StreamName, hashes: &[InitHash]) -> Result<Vec<InitInfo>> {
        patient!(self.0.inits(stream, hashes))
    }
    async fn extent(&self, stream: &StreamName) -> Result<Option<Extent>> {
        patient!(self.0.extent(stream))
    }
    async fn ranges(&self, s: &StreamName, w: UtcRange, tolerance_us: i64, limit: usize) -> Result<Vec<UtcRange>> {
        patient!(self.0.ranges(s, w, tolerance_us, limit))
    }
    async fn set_uncarried(&self, stream: &StreamName, uncarried: &[Uncarried]) -> Result<()> {
        patient!(self.0.set_uncarried(stream, uncarried))
    }
    async fn uncarried(&self, stream: &StreamName) -> Result<Vec<Uncarried>> {
        patient!(self.0.uncarried(stream))
    }
    async fn mark_expired(&self, stream: &StreamName, cutoff: UtcUs, now: UtcUs, limit: usize) -> Result<u64> {
        patient!(self.0.mark_expired(stream, cutoff, now, limit))
    }
    async fn deletable(&self, stream: &StreamName, marked_before: UtcUs, limit: usize) -> Result<Vec<Deletable>> {
        patient!(self.0.deletable(stream, marked_before, limit))
    }
    async fn delete(&self, segments: &[SegmentId]) -> Result<()> {
        patient!(self.0.delete(segments))
    }
}

#[async_trait::async_trait]
impl<I: Index> Keeping for Patient<I> {
    async fn adopt(&self, stream: &StreamName, segments: &[SegmentWithTables], inits: &[InitInfo]) -> Result<Adopted> {
        patient!(self.0.adopt(stream, segments, inits))
    }
    async fn withdraw(&self, stream: &StreamName, segments: &[SegmentId]) -> Result<u64> {
        patient!(self.0.withdraw(stream, segments))
    }
    async fn rows(
        &self,
        stream: &StreamName,
        window: UtcRange,
        after: Option<(UtcUs, u64)>,
        limit: usize,
    ) -> Result<Vec<Row>> {
        patient!(self.0.rows(stream, window, after, limit))
    }
    async fn row(&self, stream: &StreamName, sequence: u64) -> Result<Option<Row>> {
        patient!(self.0.row(stream, sequence))
    }
    async fn mark(&self, segments: &[SegmentId], now: UtcUs) -> Result<u64> {
        patient!(self.0.mark(segments, now))
    }
    async fn add_lock(&self, lock: &Lock) -> Result<()> {
        patient!(self.0.add_lock(lock))
    }
    async fn locks(&self, stream: &StreamName, window: UtcRange) -> Result<Vec<Lock>> {
        patient!(self.0.locks(stream, window))
    }
    async fn remove_lock(&self, stream: &StreamName, id: LockId) -> Result<bool> {
        patient!(self.0.remove_lock(stream, id))
    }
    async fn stored_bytes(&self, stream: &StreamName) -> Result<u64> {
        patient!(self.0.stored_bytes(stream))
    }
    async fn all_stored_bytes(&self) -> Result<Vec<(StreamName, u64)>> {
        patient!(self.0.all_stored_bytes())
    }
    async fn hour_bytes(&self, stream: &StreamName, window: UtcRange) -> Result<Vec<(UtcUs, u64)>> {
        patient!(self.0.hour_bytes(stream, window))
    }
    async fn bytes_cutoff(&self, stream: Option<&StreamName>, keep_bytes: u64) -> Result<Option<UtcUs>> {
        patient!(self.0.bytes_cutoff(stream, keep_bytes))
    }
    async fn expired(&self, stream: &StreamName, cutoff: UtcUs, now: UtcUs) -> Result<Amount> {
        patient!(self.0.expired(stream, cutoff, now))
    }
    async fn forget_locks(&self, expired_before: UtcUs) -> Result<u64> {
        patient!(self.0.forget_locks(expired_before))
    }
    async fn applied_retention(&self, stream: &StreamName) -> Result<Option<AppliedRetention>> {
        patient!(self.0.applied_retention(stream))
    }
    async fn set_applied_retention(&self, stream: &StreamName, applied: &AppliedRetention) -> Result<()> {
        patient!(self.0.set_applied_retention(stream, applied))
    }
    async fn integrity(&self) -> Result<Vec<String>> {
        patient!(self.0.integrity())
    }
    async fn deletable_spans(&self, marked_before: UtcUs, limit: usize) -> Result<Vec<UtcRange>> {
        patient!(self.0.deletable_spans(marked_before, limit))
    }
    async fn delete_span(&self, span: UtcRange, marked_before: UtcUs, segments: u64) -> Result<bool> {
        patient!(self.0.delete_span(span, marked_before, segments))
    }
}

#[async_trait::async_trait]
impl<I: Index> Control for Patient<I> {
    async fn settings_revision(&self) -> Result<u64> {
        patient!(self.0.settings_revision())
    }
    async fn settings(&self) -> Result<Vec<KeptSetting>> {
        patient!(self.0.settings())
    }
    async fn setting(&self, stream: &StreamName) -> Result<Option<KeptSetting>> {
        patient!(self.0.setting(stream))
    }
    async fn put_setting(&self, s: &StreamName, new: &StreamSetting, e: Expected, now: UtcUs) -> Result<Changed> {
        patient!(self.0.put_setting(s, new, e, now))
    }
    async fn remove_archive(&self, stream: &StreamName, now: UtcUs) -> Result<Changed> {
        patient!(self.0.remove_archive(stream, now))
    }
    async fn remove_setting(&self, stream: &StreamName, expected: Expected, now: UtcUs) -> Result<Changed> {
        patient!(self.0.remove_setting(stream, expected, now))
    }
    async fn removed(&self) -> Result<Vec<Removed>> {
        patient!(self.0.removed())
    }
    async fn forget_removed(&self, removed: &Removed) -> Result<()> {
        patient!(self.0.forget_removed(removed))
    }
    async fn report(&self, recorder: &str, reports: &[StreamReport], now: UtcUs) -> Result<()> {
        patient!(self.0.report(recorder, reports, now))
    }
    async fn reports(&self) -> Result<Vec<KeptReport>> {
        patient!(self.0.reports())
    }
}
