//! The virtual TS file: what is in it, and that every range of it is that range of the whole.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "other suites use the rest")]
mod common_captures;
#[path = "ts_mux/entries.rs"]
#[allow(dead_code, reason = "other suites use the rest")]
mod entries;
#[path = "support/ts_check.rs"]
#[allow(dead_code, reason = "other suites use the rest")]
mod ts_check;

use bytes::Bytes;
use common_captures::pipeline::{self, Recording};
use evertape::container::cmaf::{self, PartInput};
use evertape::media::segment::{SegmentId, SegmentWithTables};
use evertape::media::{InitHash, InitInfo, RunId, Sample, SampleTable, StreamName, Ticks, TrackId, UtcRange};
use evertape::playback::ts_export::{TsExportBuilder, TsExportError, TsExportPlan};
use std::collections::BTreeMap;
use std::process::Command;
use ts_check::Report;

const VIDEO: TrackId = TrackId::video(1);
const AUDIO: TrackId = TrackId::audio(1);
const WRAP: i64 = 1 << 33;

/// What is stored.
struct Archive {
    segments: Vec<SegmentWithTables>,
    objects: BTreeMap<String, Vec<u8>>,
    inits: Vec<InitInfo>,
}

impl Archive {
    fn of(recording: Recording) -> Self {
        let inits = recording.inits.values().flatten();
        let inits = inits.map(|b| InitInfo { hash: InitHash::of(b), params: cmaf::read_init(b).unwrap() }).collect();
        let keys = recording.segments.iter().map(|s| s.segment.object.to_string());
        let objects = keys.zip(recording.objects).collect();
        Self { segments: recording.segments, objects, inits }
    }

    fn plan(&self, window: UtcRange, tracks: Option<&[TrackId]>) -> Result<TsExportPlan, TsExportError> {
        let mut builder = TsExportBuilder::new(window, self.inits.clone(), tracks.map(<[_]>::to_vec));
        for with in self.segments.iter().filter(|w| w.segment.id.start < window.end) {
            builder.add(with)?;
        }
        builder.finish()
    }

    /// Bytes `from..to` of the file, as a server makes them.
    fn bytes(&self, plan: &TsExportPlan, from: u64, to: u64) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in plan.pieces(from..to) {
            let object = &self.objects[piece.object.as_str()];
            let range = piece.object_range.start as usize..piece.object_range.end as usize;
            let muxed = plan.mux(&piece, &object[range]).expect("a piece");
            let (start, end) = (piece.file_range.start, piece.file_range.end);
            assert_eq!(muxed.len() as u64, end - start);
            out.extend_from_slice(&muxed[(from.max(start) - start) as usize..(to.min(end) - start) as usize]);
        }
        out
    }

    /// PTS of the samples that belong into a file of a window without a gap, of one track.
    fn expected(&self, window: UtcRange, track: TrackId) -> Vec<i64> {
        let first = &self.segments[0].segment;
        // One run of the demo source: one mapping for all.
        let (start, end) = (first.media_of(window.start).0, first.media_of(window.end).0);
        let samples = |track: TrackId| {
            let mut found: Vec<(i64, bool)> = Vec::new();
            for with in &self.segments {
                for (part, table) in with.segment.tracks.iter().zip(&with.tables).filter(|(p, _)| p.track == track) {
                    let mut dts = part.decode_start.0;
                    for sample in &table.samples {
                        found.push((dts + i64::from(sample.composition_offset), sample.sync));
                        dts += i64::from(sample.duration);
                    }
                }
            }
            found
        };
        let video = samples(VIDEO);
        let begin = video.iter().rposition(|(pts, sync)| *sync && *pts <= start).unwrap_or(0);
        if track == VIDEO {
            let last = video.iter().rposition(|(pts, _)| *pts < end).expect("a picture");
            // A picture that others need may be shown after them; then those between are there as well.
            let latest = video[begin..=last].iter().map(|(pts, _)| *pts).max().expect("a picture");
            let last = video.iter().rposition(|(pts, _)| *pts <= latest).expect("a picture");
            return video[begin..=last].iter().map(|(pts, _)| *pts).collect();
        }
        let from = video[begin].0;
        samples(track).into_iter().map(|(pts, _)| pts).filter(|pts| (from..end).contains(pts)).collect()
    }
}

fn window(start_us: i64, length_us: i64) -> UtcRange {
    let start = pipeline::START.plus_us(start_us);
    UtcRange::new(start, start.plus_us(length_us))
}

/// 24 s of pictures out of order, a sync sample each second, and sound.
fn archive() -> (tempfile::TempDir, Archive) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("clip.ts");
    let arguments = "-y -v error -f lavfi -i testsrc2=s=160x96:r=25:d=24 -f lavfi -i sine=f=440:r=48000:d=24 \
                     -c:v libx264 -preset ultrafast -bf 2 -g 25 -sc_threshold 0 -pix_fmt yuv420p -c:a aac -b:a 64k";
    let status = Command::new("ffmpeg").args(arguments.split_whitespace()).arg(&path).status();
    assert!(status.expect("ffmpeg starts; run `scripts/install-deps test`").success());
    let archive = Archive::of(pipeline::record(&path, 4, 256 << 10));
    assert!(archive.segments.len() >= 5);
    (dir, archive)
}

/// Always the same numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % limit
    }
}

fn pts(report: &Report, pid: u16) -> Vec<i64> {
    report.pids[&pid].pes.iter().map(|p| p.pts.rem_euclid(WRAP)).collect()
}

#[test]
fn windows_have_what_belongs_into_them() {
    let (_dir, archive) = archive();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..60 {
        let window = window(random.below(21_000_000) as i64, 40_000 + random.below(20_000_000) as i64);
        let plan = archive.plan(window, None).expect("a plan");
        let whole = archive.bytes(&plan, 0, plan.total_bytes());
        assert_eq!(whole.len() as u64, plan.total_bytes());
        let report = ts_check::check(&whole);
        report.assert_clean();
        assert_eq!(report.new_time_bases, 0);
        let expected = |track| archive.expected(window, track).iter().map(|p| p % WRAP).collect::<Vec<_>>();
        assert_eq!(pts(&report, 0x100), expected(VIDEO), "round {round}: {window:?}");
        let sound = expected(AUDIO);
        assert_eq!(report.pids[&0x110].access_units, sound.len(), "round {round}: {window:?}");
        assert_eq!(report.pids[&0x110].first_pts().map(|p| p % WRAP), sound.first().copied());
        assert!(report.pids[&0x100].pes[0].random_access);
        let mut shown = pts(&report, 0x100);
        shown.sort_unstable();
        assert!(shown.windows(2).all(|w| w[1] - w[0] == 3600), "a picture is missing");
        for _ in 0..5 {
            let from = random.below(plan.total_bytes());
            let to = from + random.below(plan.total_bytes() - from + 1);
            assert!(archive.bytes(&plan, from, to) == whole[from as usize..to as usize], "{from}..{to}");
        }
        assert_eq!(plan.pieces(plan.total_bytes()..u64::MAX).count(), 0);
        assert_eq!(archive.plan(window, None).expect("a plan").etag(), plan.etag());
    }
}

#[test]
fn tracks_are_chosen_and_told_apart() {
    let (_dir, archive) = archive();
    let window = window(5_000_000, 9_000_000);
    let all = archive.plan(window, None).expect("a plan");
    let sound = archive.plan(window, Some(&[AUDIO])).expect("a plan");
    let both = archive.plan(window, Some(&[VIDEO, AUDIO])).expect("a plan");
    assert!(all.etag() != sound.etag() && all.etag().starts_with('"'));
    assert_eq!(both.total_bytes(), all.total_bytes());
    let report = ts_check::check(&archive.bytes(&sound, 0, u64::MAX));
    report.assert_clean();
    assert_eq!(report.pids.keys().copied().collect::<Vec<_>>(), [0x110]);
    // Alone it begins with the window, to a frame: 9 s of 1024 samples each.
    let frames = report.pids[&0x110].access_units;
    assert!((421..=423).contains(&frames), "{frames}");
    assert_eq!(archive.plan(window, Some(&[TrackId::audio(7)])).unwrap_err(), TsExportError::NothingRecorded);
    assert_eq!(all.file_name(), "capture_2014-08-27T14-15-05Z_9s.ts");
    assert_eq!(all.gaps(), []);
    let length = archive.segments.len();
    assert!(all.memory_bytes() < 2048 + 200 * length, "{} bytes", all.memory_bytes());
}

#[test]
fn a_gap_breaks_the_clock_and_is_told() {
    let (_dir, mut archive) = archive();
    let lost = archive.segments.remove(2).segment;
    let whole_window = window(0, 20_000_000);
    let plan = archive.plan(whole_window, None).expect("a plan");
    assert_eq!(plan.gaps(), [lost.range()]);
    assert_eq!(plan.pieces(0..u64::MAX).filter(|p| p.discontinuity).count(), 1);
    let report = ts_check::check(&archive.bytes(&plan, 0, u64::MAX));
    report.assert_clean();
    assert_eq!(report.new_time_bases, 1);
    // A window that begins in the gap begins behind it, and not before.
    let late = UtcRange::new(lost.id.start.plus_us(1_000_000), whole_window.end);
    let plan = archive.plan(late, None).expect("a plan");
    let report = ts_check::check(&archive.bytes(&plan, 0, u64::MAX));
    report.assert_clean();
    let first = archive.segments[2].segment.anchor.0;
    assert_eq!((report.new_time_bases, report.pids[&0x100].pes[0].pts % WRAP), (0, first % WRAP));
    assert_eq!(plan.gaps(), [UtcRange::new(late.start, lost.id.end())]);
    // Nothing but the gap.
    let inside = UtcRange::new(lost.id.start.plus_us(1), lost.id.end().plus_us(-1));
    assert_eq!(archive.plan(inside, None).unwrap_err(), TsExportError::NothingRecorded);
}

#[test]
fn what_is_not_as_the_rows_say_is_refused() {
    let (_dir, mut archive) = archive();
    let window = window(0, 10_000_000);
    let plan = archive.plan(window, None).expect("a plan");
    let pieces: Vec<_> = plan.pieces(0..u64::MAX).collect();
    let object = archive.objects[pieces[0].object.as_str()].clone();
    assert!(matches!(plan.mux(&pieces[0], &object[..object.len() - 1]), Err(TsExportError::Object(0, _))));
    assert!(matches!(plan.mux(&pieces[1], &object), Err(TsExportError::Object(1, _))));
    archive.segments[1].tables[0].samples.pop();
    assert_eq!(archive.plan(window, None).unwrap_err(), TsExportError::Disagree(1));
    archive.segments.swap(0, 1);
    assert!(archive.plan(window, None).is_err());
    archive.segments.truncate(1);
    archive.segments.remove(0);
    assert_eq!(archive.plan(window, None).unwrap_err(), TsExportError::NothingRecorded);
}

/// Segments of a second, 25 pictures each, with a sync sample at the given place.
fn handmade(syncs: &[Option<usize>]) -> Archive {
    let params = entries::h264();
    let init = InitInfo { hash: InitHash::of(b"v"), params };
    let mut archive = Archive { segments: Vec::new(), objects: BTreeMap::new(), inits: vec![init.clone()] };
    for (n, sync) in syncs.iter().enumerate() {
        let sample = |i| Sample { size: 6, duration: 3600, composition_offset: 0, sync: *sync == Some(i) };
        let table = SampleTable { samples: (0..25).map(sample).collect() };
        let payload = [Bytes::from([0, 0, 0, 2, 0x41, n as u8 + 1].repeat(25))];
        let id = SegmentId {
            stream: StreamName::parse("capture").unwrap(),
            run: RunId(1),
            epoch: 1,
            sequence: n as u64,
            start: pipeline::START.plus_us(n as i64 * 1_000_000),
            duration_us: 1_000_000,
        };
        let anchor = Ticks(900_000 + n as i64 * 90_000);
        let part = PartInput { track: VIDEO, init: init.hash, decode_start: anchor, table: &table, payload: &payload };
        let (object, row) = cmaf::write_segment(&id, 0, anchor, n == 0, &[part]).unwrap();
        archive.segments.push(cmaf::read_segment(&row.object, &object).unwrap());
        archive.objects.insert(row.object.to_string(), object);
    }
    archive
}

#[test]
fn what_leads_into_the_window_is_there_as_far_as_it_is_needed() {
    let archive = handmade(&[Some(0), None, Some(10), None, Some(0)]);
    // Where the window begins, in ms, and the number of the first picture.
    for (from_ms, first) in [
        (0, 0),
        (900, 0),
        (1000, 0),
        (1900, 0),
        (2000, 0),
        (2399, 0),
        (2400, 60),
        (2900, 60),
        (3500, 60),
        (4000, 100),
        (4900, 100),
    ] {
        let window = window(from_ms * 1000, 60_000_000);
        let plan = archive.plan(window, None).expect("a plan");
        let report = ts_check::check(&archive.bytes(&plan, 0, u64::MAX));
        report.assert_clean();
        let pts: Vec<i64> = pts(&report, 0x100).iter().map(|p| (p - 900_000) / 3600).collect();
        assert_eq!(pts, (first..125).collect::<Vec<_>>(), "from {from_ms} ms");
        assert_eq!(plan.gaps().len(), 1, "the end of the window is not recorded");
    }
    // Without any before, the first there is after; with none at all, what the window has.
    let archive = handmade(&[None, None, Some(10), None]);
    for (from_ms, first) in [(2200, 60), (1500, 25)] {
        let plan = archive.plan(window(from_ms * 1000, 1_000_000), None).expect("a plan");
        let report = ts_check::check(&archive.bytes(&plan, 0, u64::MAX));
        report.assert_clean();
        assert_eq!((pts(&report, 0x100)[0] - 900_000) / 3600, first, "from {from_ms} ms");
    }
}
