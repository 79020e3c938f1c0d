//! An hour of recording, made by the product's own demuxer, segmenter and writer from one generated clip.

use super::measure;
use crate::support;
use bytes::Bytes;
use evertape::container::cmaf::{self, PartInput};
use evertape::container::mpegts::TsDemuxer;
use evertape::index::{self, Index};
use evertape::media::segment::{SegmentId, SegmentWithTables};
use evertape::media::{ObjectKey, RunId, StreamName, Ticks, UtcUs};
use evertape::recorder::segmenter::{CutSegment, Output, Segmenter};
use evertape::store::{self, ObjectStore, S3Options};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Segments of 6 s in an hour.
pub const SEGMENTS: u64 = 600;
const SEGMENT_US: i64 = 6_000_000;
const CLIP_SECONDS: u32 = 60;

/// A generated MPEG-TS clip in memory.
pub struct Clip {
    /// Where it lies.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its length.
    pub seconds: f64,
}

impl Clip {
    /// Its bit rate.
    pub fn mbit_per_s(&self) -> f64 {
        self.bytes.len() as f64 * 8e-6 / self.seconds
    }
}

/// Makes the clip: H.264 720p25 with B-frames and AAC, about 3.65 Mbit/s.
pub fn clip(dir: &Path) -> Clip {
    let path = dir.join("clip.ts");
    let (video, sound) = (
        format!("testsrc2=s=1280x720:r=25:d={CLIP_SECONDS},noise=alls=12:allf=t"),
        format!("sine=frequency=440:sample_rate=48000:duration={CLIP_SECONDS}"),
    );
    let rate = ["-b:v", "3350k", "-minrate", "3350k", "-maxrate", "3350k", "-bufsize", "3350k", "-nal-hrd", "cbr"];
    let arguments = [
        &["-y", "-v", "error", "-f", "lavfi", "-i", &video, "-f", "lavfi", "-i", &sound, "-c:v", "libx264"][..],
        &["-preset", "ultrafast", "-bf", "2", "-g", "50", "-sc_threshold", "0", "-pix_fmt", "yuv420p"],
        &rate,
        &["-c:a", "aac", "-b:a", "128k", "-f", "mpegts", path.to_str().expect("a path")],
    ]
    .concat();
    measure::run("ffmpeg", &arguments);
    let bytes = std::fs::read(&path).expect("the clip");
    Clip { path, bytes, seconds: f64::from(CLIP_SECONDS) }
}

fn cut(clip: &Clip) -> Vec<CutSegment> {
    let mut demuxer = TsDemuxer::new();
    let mut segmenter = Segmenter::new(6, UtcUs(0));
    let (mut events, mut out) = (Vec::new(), Vec::new());
    for piece in clip.bytes.chunks(64 * 1024) {
        demuxer.push(piece, &mut events);
        segmenter.push(std::mem::take(&mut events), None, UtcUs(0), &mut out);
    }
    demuxer.flush(&mut events);
    segmenter.push(events, None, UtcUs(0), &mut out);
    segmenter.end_run(&mut out);
    out.into_iter().filter_map(|o| if let Output::Segment(s) = o { Some(s) } else { None }).collect()
}

fn write(cut: &CutSegment, sequence: u64, start: UtcUs, shift: Ticks) -> (Vec<u8>, SegmentWithTables) {
    let id = SegmentId {
        stream: StreamName::parse("bench").expect("a name"),
        run: RunId(1),
        epoch: 1,
        sequence,
        start,
        duration_us: cut.duration_us,
    };
    let inputs: Vec<PartInput<'_>> = cut
        .parts
        .iter()
        .map(|p| PartInput {
            track: p.track,
            init: p.init.info.hash,
            decode_start: p.decode_start + shift,
            table: &p.table,
            payload: &p.payload,
        })
        .collect();
    let (object, segment) = cmaf::write_segment(&id, 0, cut.anchor + shift, cut.new_run, &inputs).expect("a segment");
    let tables = cut.parts.iter().map(|p| p.table.clone()).collect();
    (object, SegmentWithTables { segment, tables })
}

/// The whole way of the recorder up to the object, without I/O.
pub fn to_cmaf(clip: &Clip) -> Vec<(Vec<u8>, SegmentWithTables)> {
    cut(clip).iter().enumerate().map(|(n, c)| write(c, n as u64, UtcUs::from_seconds(6 * n as i64), Ticks(0))).collect()
}

/// An hour in a store and an index.
pub struct Archive {
    /// Configuration for a node that plays it.
    pub config: PathBuf,
    /// Where it begins, UTC seconds.
    pub from: i64,
    _s3: Option<support::s3::TestS3>,
}

impl Archive {
    /// In SQLite and a folder.
    pub async fn in_folder(dir: &Path, clip: &Clip) -> Self {
        let url = format!("file:{}", dir.join("objects").display());
        let text = format!("[store]\nurl = \"{url}\"\n");
        let store = store::open(&url, S3Options::default()).expect("a store");
        Self::fill(dir, "folder", text, store, clip, None).await
    }

    /// In SQLite and Garage: what differs is the store.
    pub async fn in_s3(dir: &Path, clip: &Clip) -> Self {
        let s3 = support::s3::s3().await;
        let text = format!(
            "[store]\nurl = \"{}\"\n[store.s3]\nendpoint = \"{}\"\nregion = \"{}\"\naccess_key = \"{}\"\nsecret_key = \"{}\"\npath_style = true\n",
            s3.url(),
            s3.endpoint,
            s3.region,
            s3.access_key,
            s3.secret_key
        );
        let store = store::open(&s3.url(), s3.options()).expect("a store");
        Self::fill(dir, "s3", text, store, clip, Some(s3)).await
    }

    async fn fill(
        dir: &Path,
        name: &str,
        store_text: String,
        store: Arc<dyn ObjectStore>,
        clip: &Clip,
        s3: Option<support::s3::TestS3>,
    ) -> Self {
        let index_url = format!("sqlite:{}", dir.join(format!("{name}.db")).display());
        let config = dir.join(format!("{name}.toml"));
        std::fs::write(&config, format!("[index]\nurl = \"{index_url}\"\n{store_text}")).expect("written");
        let index: Arc<dyn Index> = index::open(&index_url).await.expect("an index");
        index.migrate().await.expect("a schema");
        // Whole segments only, again and again: an hour without a seam.
        let cuts: Vec<CutSegment> = cut(clip).into_iter().filter(|c| c.duration_us == SEGMENT_US).collect();
        let from = UtcUs::from_seconds(evertape::clock::now().seconds() - 7200);
        let stream = StreamName::parse("bench").expect("a name");
        let lease = index.acquire(&stream, "bench", from, 1 << 50).await.expect("a lease").expect("free");
        let mut inits = Vec::new();
        for part in &cuts[0].parts {
            let key = ObjectKey::init(&stream, part.init.info.hash);
            store.put(&key, part.init.bytes.clone(), "video/mp4").await.expect("an init segment");
            inits.push(part.init.info.clone());
        }
        let first = cuts[0].anchor;
        for n in 0..SEGMENTS {
            let cut = &cuts[n as usize % cuts.len()];
            let shift = first + Ticks(n as i64 * 540_000) - cut.anchor;
            let (object, row) = write(cut, n, from.plus_us(n as i64 * SEGMENT_US), shift);
            store.put(&row.segment.object, Bytes::from(object), "video/mp4").await.expect("an object");
            index.publish(&lease, &row, &inits).await.expect("a row");
        }
        Self { config, from: from.seconds(), _s3: s3 }
    }

    /// The hour as one file, made by the product, for the yardsticks.
    pub async fn whole_export(&self, dir: &Path) -> PathBuf {
        let server = super::server::Server::start(self).await;
        let path = dir.join("hour.mp4");
        let url = server.url(&format!("bench/archive-{}-3600.mp4", self.from));
        measure::run("curl", &["-s", "-f", "-o", path.to_str().expect("a path"), &url]);
        path
    }
}
