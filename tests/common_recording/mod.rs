//! Recorders in one process, on faulty stores and indexes, and what must hold of what they leave behind.

#![allow(dead_code)]

use evertape::container::cmaf;
use evertape::container::{MediaEvent, mpegts::TsDemuxer};
use evertape::index::{Index, sqlite::SqliteIndex};
use evertape::media::{Segment, StreamName, TrackKind, UtcRange, UtcUs};
use evertape::recorder::source::spec::SourceSpec;
use evertape::recorder::spool::Spool;
use evertape::recorder::status::StreamStatus;
use evertape::recorder::{self, Environment, RecordedStream, Tuning};
use evertape::store::{self, DirectoryStore, ObjectStore};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// 60 s of pictures that all differ, a sync sample each second, and a tone.
pub async fn clip(dir: &Path) -> PathBuf {
    let path = dir.join("clip.ts");
    let arguments = "-y -v error -f lavfi -i testsrc2=s=160x96:r=25:d=60 -f lavfi -i sine=f=440:r=48000:d=60 \
                     -c:v libx264 -preset ultrafast -g 25 -sc_threshold 0 -pix_fmt yuv420p -c:a aac -b:a 64k";
    ffmpeg(&arguments.split(' ').filter(|a| !a.is_empty()).collect::<Vec<_>>(), &path).await;
    path
}

/// Runs ffmpeg, writing to `output`.
pub async fn ffmpeg(arguments: &[&str], output: &Path) {
    let status = tokio::process::Command::new("ffmpeg").args(arguments).arg(output).status().await;
    assert!(status.expect("ffmpeg starts; run `scripts/install-deps test`").success(), "ffmpeg {arguments:?}");
}

/// Bytes of the samples of a file, video and audio, as the demuxer gives them; without the sound before the first
/// picture, which is left out of a run (decision 3).
pub fn samples_of(path: &Path) -> [Vec<Vec<u8>>; 2] {
    let mut events = Vec::new();
    let mut demuxer = TsDemuxer::new();
    demuxer.push(&std::fs::read(path).expect("a clip"), &mut events);
    demuxer.flush(&mut events);
    let video = events.iter().find_map(|e| match e {
        MediaEvent::Track { track, params } if params.kind() == TrackKind::Video => Some(*track),
        _ => None,
    });
    let first = events.iter().find_map(|e| match e {
        MediaEvent::Sample(sample) if Some(sample.track) == video && sample.sync => Some(sample.pts),
        _ => None,
    });
    let mut samples = [Vec::new(), Vec::new()];
    for event in events {
        if let MediaEvent::Sample(sample) = event
            && first.is_some_and(|first| sample.pts >= first)
        {
            samples[usize::from(Some(sample.track) != video)].push(sample.data.to_vec());
        }
    }
    samples
}

/// Store and index of one test, without faults.
pub struct Bed {
    pub dir: tempfile::TempDir,
    pub store: Arc<DirectoryStore>,
    pub index: Arc<SqliteIndex>,
}

impl Bed {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let store = Arc::new(DirectoryStore::open(&dir.path().join("objects")).expect("a store"));
        let url = format!("sqlite:{}/index.db", dir.path().display());
        let index = Arc::new(SqliteIndex::connect(&url).await.expect("an index"));
        index.migrate().await.expect("a schema");
        Self { dir, store, index }
    }

    /// Opens a spool; one whose user was just ended may take a moment.
    pub async fn spool(&self, name: &str) -> Arc<Spool> {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            match Spool::open(&self.dir.path().join(name), 1 << 30) {
                Ok(spool) => return spool,
                Err(error) if Instant::now() > until => panic!("the spool stays in use: {error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    /// All listed segments.
    pub async fn listed(&self, stream: &StreamName) -> Vec<Segment> {
        let all = UtcRange::new(UtcUs(0), UtcUs(i64::MAX / 4));
        let mut segments: Vec<Segment> = Vec::new();
        loop {
            let after = segments.last().map(|s| s.id.sequence);
            let page = self.index.window(stream, all, after, 100).await.expect("a window");
            if page.is_empty() {
                return segments;
            }
            segments.extend(page);
        }
    }

    /// Keys of the segment objects in the store.
    pub async fn objects(&self) -> BTreeSet<String> {
        let all = self.store.list("", None, 100_000).await.expect("a listing");
        all.into_iter().map(|o| o.key.to_string()).filter(|k| k.ends_with(".cmfs")).collect()
    }

    /// Checks all that must hold of a stream once everything is published, and gives, for each run in order, the
    /// bytes of its samples, video and audio.
    pub async fn check(&self, stream: &StreamName) -> Vec<[Vec<Vec<u8>>; 2]> {
        let segments = self.listed(stream).await;
        let sequences: Vec<u64> = segments.iter().map(|s| s.id.sequence).collect();
        assert_eq!(sequences, (0..segments.len() as u64).collect::<Vec<_>>(), "the numbers are not dense");
        let tables = self.index.sample_tables(stream, 0, u64::MAX >> 1).await.expect("tables");
        assert_eq!(tables.len(), segments.len());
        let mut runs = Vec::new();
        let mut last = None;
        for (n, (segment, (sequence, tables))) in segments.iter().zip(&tables).enumerate() {
            assert_eq!(*sequence, segment.id.sequence);
            let object = store::read_all(&*self.store, &segment.object, 0..u64::MAX >> 1).await.expect("an object");
            let read = cmaf::read_segment(&segment.object, &object).expect("a whole object");
            assert_eq!((&read.segment, &read.tables), (segment, tables), "object and row differ");
            if let Some(before) = n.checked_sub(1).map(|b| &segments[b]) {
                assert!(segment.id.start >= before.id.end(), "wall time runs backwards before {sequence}");
                let same_run = segment.id.run == before.id.run;
                assert!(same_run || segment.discontinuity > before.discontinuity, "a new run, yet no discontinuity");
                for part in segment.tracks.iter().filter(|_| same_run) {
                    let end = before.part(part.track).map_or(part.decode_start, |p| p.decode_end());
                    assert!(part.decode_start >= end, "media time runs backwards before {sequence}");
                }
            }
            let new_run = last.replace(segment.id.run) != Some(segment.id.run);
            assert_eq!(
                cmaf::begins_run(&object),
                new_run,
                "{sequence} says the wrong thing about its run; all, by number, epoch, run, discontinuity, start and end: {:?}",
                segments
                    .iter()
                    .map(|s| (s.id.sequence, s.id.epoch, s.id.run, s.discontinuity, s.id.start.0, s.id.end().0))
                    .collect::<Vec<_>>()
            );
            if new_run {
                runs.push([Vec::new(), Vec::new()]);
            }
            for (part, table) in segment.tracks.iter().zip(tables) {
                let mut payload = cmaf::payload_of(part, &object).expect("the samples");
                for sample in &table.samples {
                    let (data, rest) = payload.split_at(sample.size as usize);
                    let run = runs.last_mut().expect("a run");
                    run[usize::from(part.track.kind == TrackKind::Audio)].push(data.to_vec());
                    payload = rest;
                }
            }
        }
        runs
    }
}

/// Names of the segments that wait in a spool's folder.
pub fn spooled(spool: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for stream in std::fs::read_dir(spool.join("streams")).into_iter().flatten().flatten() {
        let files = std::fs::read_dir(stream.path()).into_iter().flatten().flatten();
        names.extend(files.filter_map(|f| f.file_name().into_string().ok()).filter(|n| n.ends_with(".cmfs")));
    }
    names
}

/// A recorder under way.
pub struct Recorder {
    pub cancel: CancellationToken,
    pub status: Vec<Arc<StreamStatus>>,
    pub task: JoinHandle<std::io::Result<()>>,
}

impl Recorder {
    /// Starts one for streams of names and sources.
    pub fn start(
        store: Arc<dyn ObjectStore>,
        index: Arc<dyn Index>,
        spool: Arc<Spool>,
        segment_seconds: u32,
        streams: &[(&str, String)],
    ) -> Self {
        Self::start_tuned(store, index, spool, segment_seconds, streams, Tuning::default())
    }

    /// The same with other settings of how it shares its work.
    pub fn start_tuned(
        store: Arc<dyn ObjectStore>,
        index: Arc<dyn Index>,
        spool: Arc<Spool>,
        segment_seconds: u32,
        streams: &[(&str, String)],
        tuning: Tuning,
    ) -> Self {
        Self::start_with(store, index, spool, segment_seconds, streams, tuning, false)
    }

    /// One of several that all take in the source.
    #[allow(dead_code, reason = "not all suites")]
    pub fn start_standby(
        store: Arc<dyn ObjectStore>,
        index: Arc<dyn Index>,
        spool: Arc<Spool>,
        streams: &[(&str, String)],
    ) -> Self {
        Self::start_with(store, index, spool, 1, streams, Tuning::default(), true)
    }

    fn start_with(
        store: Arc<dyn ObjectStore>,
        index: Arc<dyn Index>,
        spool: Arc<Spool>,
        segment_seconds: u32,
        streams: &[(&str, String)],
        tuning: Tuning,
        standby: bool,
    ) -> Self {
        let environment =
            Arc::new(Environment { store, index, spool, segment_seconds, stall: Duration::from_secs(10), tuning });
        let streams: Vec<_> = streams
            .iter()
            .map(|(stream, source)| {
                let source = Some(SourceSpec::parse(source).expect("a source"));
                (
                    RecordedStream { name: name(stream), source, standby, retention_us: None, retention_bytes: None },
                    Arc::new(StreamStatus::new(name(stream))),
                )
            })
            .collect();
        let status = streams.iter().map(|(_, status)| status.clone()).collect();
        let cancel = CancellationToken::new();
        let task = tokio::spawn(recorder::run(environment, streams, cancel.clone()));
        Self { cancel, status, task }
    }

    /// An orderly stop.
    pub async fn stop(self) {
        self.cancel.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(30), self.task).await.expect("it stops in time");
        ended.expect("no panic").expect("no error");
    }
}

/// A name that is one.
pub fn name(stream: &str) -> StreamName {
    StreamName::parse(stream).expect("a name")
}

/// A source that plays a file at full speed.
pub fn file(path: &Path) -> String {
    file_from(path, 1_409_148_900)
}

/// A source that plays a file at full speed, as of this UTC second.
pub fn file_from(path: &Path, start_s: i64) -> String {
    format!("file:{}?start={start_s}", path.display())
}

/// Waits until a condition holds.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(90);
    while !condition().await {
        assert!(Instant::now() < end, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
