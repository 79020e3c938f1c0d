//! Whole files from synthetic recordings, compared sample by sample with what a naive model expects.

mod parsed;
mod real;
mod synthetic;

use super::*;
use crate::media::{SampleTable, TrackKind};
use parsed::{ParsedFile, ParsedTrack, parse};
use proptest::prelude::*;
use synthetic::*;

/// What a window shows of one run: run, media times, export time.
#[derive(Debug, Clone, Copy)]
struct Piece {
    run: u128,
    start: i64,
    end: i64,
    export: i64,
}

/// The naive model: each run is one piece.
fn pieces(recording: &Recording, window: UtcRange) -> Vec<Piece> {
    let mut runs: Vec<u128> = recording.segments.iter().map(|s| s.id.run.0).collect();
    runs.dedup();
    let mut export = 0;
    let mut pieces = Vec::new();
    for run in runs {
        let of_run: Vec<&Segment> = recording.segments.iter().filter(|s| s.id.run.0 == run).collect();
        let whole = UtcRange::new(of_run[0].id.start, of_run[of_run.len() - 1].id.end());
        let Some(part) = whole.intersect(window) else { continue };
        let (start, end) = (of_run[0].media_of(part.start).0, of_run[0].media_of(part.end).0);
        pieces.push(Piece { run, start, end, export });
        export += end - start;
    }
    pieces
}

/// Numbers of the samples that the file must have of a track.
fn expected(recording: &Recording, pieces: &[Piece], track: TrackId) -> Vec<(usize, Piece)> {
    let mut all: Vec<(usize, Piece)> = Vec::new();
    for piece in pieces {
        let shift = piece.export - piece.start;
        let of_run: Vec<(usize, &Truth)> =
            recording.truth.iter().enumerate().filter(|(_, t)| t.run == piece.run && t.track == track).collect();
        let at_start = |t: &Truth| {
            t.sync && t.pts <= piece.start && (track.kind == TrackKind::Video || t.pts + t.duration > piece.start)
        };
        let Some(first) = of_run
            .iter()
            .rposition(|(_, t)| at_start(t))
            .or_else(|| of_run.iter().position(|(_, t)| t.sync && t.pts > piece.start))
        else {
            continue;
        };
        let Some(last) = of_run.iter().rposition(|(_, t)| t.pts < piece.end) else { continue };
        if last < first || of_run[first..=last].iter().all(|(_, t)| t.pts + t.duration <= piece.start) {
            continue;
        }
        let next = of_run[first].1.dts + shift;
        while all.last().is_some_and(|(n, p)| recording.truth[*n].dts - p.start + p.export >= next) {
            all.pop();
        }
        all.extend(of_run[first..=last].iter().map(|(n, _)| (*n, *piece)));
    }
    all
}

/// Checks every sample of the file: bytes, times to the tick, sync flag, the edit list.
fn verify(recording: &Recording, plan: &ExportPlan, window: UtcRange) -> (Vec<u8>, ParsedFile) {
    let bytes = recording.file(plan);
    let file = parse(&bytes);
    let pieces = pieces(recording, window);
    let total: i64 = pieces.iter().map(|p| p.end - p.start).sum();
    assert_eq!((file.duration, plan.duration().0), (total, total));
    assert_eq!(file.media.0 + file.media.1, bytes.len() as u64);
    let tracks: Vec<TrackId> = plan.tracks().collect();
    assert_eq!(tracks.len(), file.tracks.len());
    for (id, track) in tracks.iter().zip(&file.tracks) {
        verify_track(recording, &expected(recording, &pieces, *id), &bytes, track, total);
    }
    (bytes, file)
}

fn verify_track(recording: &Recording, expected: &[(usize, Piece)], bytes: &[u8], track: &ParsedTrack, total: i64) {
    assert_eq!(track.samples.len(), expected.len());
    // Export time of the track's own time 0.
    let base = track.delay - track.media_time;
    for (sample, (number, piece)) in track.samples.iter().zip(expected) {
        let truth = &recording.truth[*number];
        let data = &bytes[sample.offset as usize..(sample.offset + sample.size) as usize];
        assert_eq!(data, truth.data, "bytes of sample {number}");
        let shift = piece.export - piece.start;
        assert_eq!(base + sample.dts, truth.dts + shift, "DTS of sample {number}");
        assert_eq!(base + sample.cts, truth.pts + shift, "PTS of sample {number}");
        assert_eq!(sample.sync, truth.sync);
    }
    let first = &recording.truth[expected[0].0];
    let starts = first.pts - expected[0].1.start + expected[0].1.export;
    assert_eq!(track.delay, starts.max(0), "the track starts with the window or with its first sample");
    assert!(track.delay + track.shown <= total && track.media_time >= 0);
    let last = expected.iter().map(|(n, p)| {
        let t = &recording.truth[*n];
        t.pts + t.duration - p.start + p.export
    });
    assert_eq!(track.delay + track.shown, last.max().unwrap().min(total));
    assert!(track.media_duration > 0);
}

#[test]
fn a_whole_run() {
    let mut recording = Recording::new();
    recording.run(&Run::default());
    let window = window(0, 5 * SEGMENT_US);
    let plan = recording.plan(window, None).unwrap();
    let (bytes, file) = verify(&recording, &plan, window);
    assert_eq!(plan.duration(), Ticks(5 * 90_000));
    assert!(plan.gaps().is_empty());
    assert_eq!(file.tracks[0].samples.len() as i64, 5 * GOP);
    assert!(file.tracks[0].has_ctts && file.tracks[0].has_stss && !file.tracks[1].has_ctts);
    assert!(!file.tracks[1].has_stss && file.tracks[0].video && !file.tracks[1].video);
    assert_eq!(plan.file_name(), "sport_ort_2014-08-27T14-15-00Z_5s.mp4");

    // A second reader finds the same.
    let mut reader = mp4::Mp4Reader::read_header(std::io::Cursor::new(&bytes), bytes.len() as u64).unwrap();
    for (index, track) in file.tracks.iter().enumerate() {
        let id = index as u32 + 1;
        assert_eq!(reader.sample_count(id).unwrap() as usize, track.samples.len());
        for (n, sample) in track.samples.iter().enumerate() {
            let read = reader.read_sample(id, n as u32 + 1).unwrap().unwrap();
            assert_eq!(read.start_time as i64, sample.dts);
            assert_eq!(i64::from(read.rendering_offset), sample.cts - sample.dts);
            assert_eq!(&read.bytes[..], &bytes[sample.offset as usize..][..sample.size as usize]);
        }
    }
}

#[test]
fn a_window_begins_over_the_preceding_sync_sample_and_ends_exactly() {
    let mut recording = Recording::new();
    recording.run(&Run::default());
    let window = window(1_512_345, 3_777_777);
    let plan = recording.plan(window, None).unwrap();
    let (_, file) = verify(&recording, &plan, window);
    assert_eq!(plan.duration(), Ticks::from_us(3_777_777) - Ticks::from_us(1_512_345));
    let video = &file.tracks[0];
    // The I frame of the second segment, half a second before the window.
    assert_eq!(video.media_time, FRAME + Ticks::from_us(512_345).0);
    // Sound begins with the frame that sounds at the start: at most one frame is skipped.
    assert!((0..SOUND).contains(&file.tracks[1].media_time));
    assert_eq!(file.tracks[1].delay, 0);
}

#[test]
fn gaps_are_closed_and_told_and_sound_stays_with_the_picture() {
    let mut recording = Recording::new();
    recording.run(&Run::default());
    recording.run(&Run { run: 2, utc: T0 + 8_000_000, media: 77_777, ..Run::default() });
    recording.run(&Run { run: 3, utc: T0 + 13_100_000, media: 5_000_001, segments: 2, ..Run::default() });
    let wide = window(2_300_000, 20_000_000);
    let plan = recording.plan(wide, None).unwrap();
    // `verify` compares both tracks with one export clock, to the tick.
    verify(&recording, &plan, wide);
    let gap = |from, to| window(from, to);
    assert_eq!(plan.gaps(), [gap(5_000_000, 8_000_000), gap(15_100_000, 20_000_000)]);
    // A hole in the middle of a run is a gap too.
    let mut holed = Recording::new();
    holed.run(&Run { segments: 9, ..Run::default() });
    holed.segments.drain(3..5);
    for t in &mut holed.truth {
        let segment = (t.dts - (1 << 33)) / (GOP * FRAME);
        t.run = if segment < 3 { 1 } else { 2 };
    }
    let plan = holed.plan(window(0, 9_000_000), None).unwrap();
    assert_eq!(plan.gaps(), [gap(3_000_000, 5_000_000)]);
    assert_eq!(plan.duration(), Ticks(7 * 90_000));
    let file = parse(&holed.file(&plan));
    assert_eq!(file.tracks[0].samples.len() as i64, 7 * GOP);
    let steps: Vec<i64> = file.tracks[0].samples.windows(2).map(|w| w[1].dts - w[0].dts).collect();
    assert!(steps.iter().all(|s| *s == FRAME), "the picture runs through");
}

#[test]
fn parameters_that_change_become_further_sample_entries() {
    let mut recording = Recording::new();
    recording.run(&Run::default());
    recording.run(&Run { run: 2, utc: T0 + 5_000_000, init: video_init(720).hash, ..Run::default() });
    recording.run(&Run { run: 3, utc: T0 + 10_000_000, ..Run::default() });
    let window = window(0, 15_000_000);
    let plan = recording.plan(window, None).unwrap();
    let (_, file) = verify(&recording, &plan, window);
    let video = &file.tracks[0];
    assert_eq!((video.entries, file.tracks[1].entries), (2, 1));
    let per_run = 5 * GOP as usize;
    let descriptions: Vec<u32> = video.samples.iter().step_by(per_run).map(|s| s.description).collect();
    assert_eq!(descriptions, [1, 2, 1]);
    recording.inits.remove(1);
    assert_eq!(recording.plan(window, None).unwrap_err(), ExportError::UnknownInit(video_init(720).hash));
}

#[test]
fn negative_composition_offsets() {
    let mut recording = Recording::new();
    recording.run(&Run { shift: -1, ..Run::default() });
    recording.run(&Run { shift: -1, run: 2, utc: T0 + 6_000_000, media: 3, ..Run::default() });
    let window = window(500_000, 9_900_000);
    let plan = recording.plan(window, None).unwrap();
    let (_, file) = verify(&recording, &plan, window);
    assert!(file.tracks[0].samples.iter().any(|s| s.cts < s.dts));
}

#[test]
fn chosen_tracks_and_sound_alone() {
    let mut recording = Recording::new();
    recording.run(&Run::default());
    let part = window(700_000, 2_100_000);
    let plan = recording.plan(part, Some(&[A, TrackId::audio(9)])).unwrap();
    assert_eq!(plan.tracks().collect::<Vec<_>>(), [A]);
    verify(&recording, &plan, part);
    assert_eq!(recording.plan(part, Some(&[TrackId::audio(9)])).unwrap_err(), ExportError::NothingRecorded);
    assert_eq!(recording.plan(window(-9, -3), None).unwrap_err(), ExportError::NothingRecorded);

    let mut radio = Recording::new();
    radio.run(&Run { video: false, ..Run::default() });
    let plan = radio.plan(part, None).unwrap();
    verify(&radio, &plan, part);
}

#[test]
fn a_track_that_is_away_for_a_while_comes_back_in_time() {
    let mut recording = Recording::new();
    recording.run(&Run { segments: 8, silent: 2..5, ..Run::default() });
    let whole = window(0, 8_000_000);
    let plan = recording.plan(whole, None).unwrap();
    verify(&recording, &plan, whole);
    // From within the silence: sound starts late, with an empty edit before it.
    let late = window(3_500_000, 8_000_000);
    let plan = recording.plan(late, None).unwrap();
    let (_, file) = verify(&recording, &plan, late);
    assert!((1_490..1_530).contains(&(file.tracks[1].delay / 90)), "{}", file.tracks[1].delay);
    // Only silence: no track of it.
    let plan = recording.plan(window(3_000_000, 4_500_000), None).unwrap();
    assert_eq!(plan.tracks().collect::<Vec<_>>(), [V]);
}

/// Sound whose parts do not quite follow each other, as sloppy sources have it.
#[test]
fn parts_that_overlap_or_leave_holes_are_fitted() {
    for nudge in [-4000i64, -1921, -91, -90, -7, -1, 1, 5, 2500] {
        let mut recording = Recording::new();
        recording.run(&Run { segments: 6, ..Run::default() });
        // From the fourth segment on everything of the sound is `nudge` later.
        for segment in &mut recording.segments[3..] {
            segment.tracks[1].decode_start.0 += nudge;
            segment.tracks[1].presentation_start.0 += nudge;
        }
        let moved = recording.segments[3].tracks[1].decode_start.0;
        for t in recording.truth.iter_mut().filter(|t| t.track == A && t.dts >= moved - nudge) {
            t.dts += nudge;
            t.pts += nudge;
        }
        let plan = recording.plan(window(0, 6_000_000), None).unwrap();
        let bytes = recording.file(&plan);
        let track = &parse(&bytes).tracks[1];
        let base = track.delay - track.media_time;
        let start = recording.segments[0].anchor.0;
        let mut last = i64::MIN;
        let mut misplaced = 0;
        for s in &track.samples {
            assert!(s.dts > last, "decoding times ascend");
            last = s.dts;
            let number = u32::from_be_bytes(bytes[s.offset as usize..][..4].try_into().unwrap());
            misplaced += usize::from(recording.truth[number as usize].dts - start != base + s.dts);
        }
        assert_eq!(misplaced, 0, "nudge {nudge}");
    }
}

#[test]
fn tables_that_disagree_give_an_error_and_never_a_wrong_length() {
    let mut recording = Recording::new();
    recording.run(&Run { segments: 9, ..Run::default() });
    let all = window(0, 9_000_000);
    let plan = recording.plan(all, None).unwrap();
    let good: TableSet = recording.tables.iter().map(|(s, t)| (*s, t.clone())).collect();
    let damages: [fn(&mut SampleTable); 4] = [
        |t| t.samples.truncate(20),
        |t| t.samples[3].size += 1,
        |t| t.samples[3].sync = true,
        |t| t.samples[5].composition_offset += 1,
    ];
    for damage in damages {
        let mut bad = good.clone();
        let mut tables = recording.tables[&104].clone();
        damage(&mut tables[0]);
        bad.insert(104, &tables);
        let mut errors = 0;
        for slice in plan.slices(0..plan.total_bytes()) {
            let Slice::Tables(piece) = slice else { continue };
            if plan.missing(&piece, &TableSet::new()).is_empty() {
                // Even times follow from the rows.
                assert_eq!(plan.render(&piece, &bad), plan.render(&piece, &good));
                continue;
            }
            match plan.render(&piece, &bad) {
                Ok(bytes) => assert_eq!(bytes.len() as u64, piece.bytes()),
                Err(error) => {
                    assert_eq!(error, ExportError::Disagree(104));
                    errors += 1;
                }
            }
            assert!(matches!(plan.render(&piece, &TableSet::new()), Err(ExportError::MissingTables(_))));
        }
        assert!(errors > 0);
    }
    let missing = ExportPlan::new(all, &recording.segments, &recording.inits, &TableSet::new(), None);
    assert_eq!(missing.unwrap_err(), ExportError::MissingTables(100));
    let mut damaged = recording.segments.clone();
    damaged[2].tracks[0].payload_offset = u32::MAX;
    assert!(matches!(ExportPlan::edges(all, &damaged), Err(ExportError::Damaged { sequence: 102, .. })));
    let mut extreme = recording.segments.clone();
    extreme[0].tracks[0].decode_start = Ticks(i64::MAX);
    assert!(ExportPlan::edges(all, &extreme).is_err());
}

#[test]
fn the_same_question_has_the_same_answer_and_another_has_another_tag() {
    let mut recording = Recording::new();
    recording.run(&Run::default());
    let part = window(500_000, 3_000_000);
    let plan = recording.plan(part, None).unwrap();
    let again = recording.plan(part, None).unwrap();
    assert_eq!((plan.etag(), recording.file(&plan)), (again.etag(), recording.file(&again)));
    assert!(plan.etag().starts_with('"') && plan.etag().ends_with('"') && plan.etag().len() == 34);
    let mut tags = vec![plan.etag().to_owned()];
    tags.push(recording.plan(window(500_000, 3_000_001), None).unwrap().etag().to_owned());
    tags.push(recording.plan(part, Some(&[V])).unwrap().etag().to_owned());
    recording.segments[1].id.epoch = 2;
    recording.segments[1].object = recording.segments[1].id.object_key().unwrap();
    tags.push(recording.plan(part, None).unwrap().etag().to_owned());
    recording.segments.remove(1);
    tags.push(recording.plan(part, None).unwrap().etag().to_owned());
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 5);
}

#[test]
fn objects_with_other_names_are_found() {
    let mut recording = Recording::new();
    recording.run(&Run::default());
    let bundle = ObjectKey::parse("sport/ort/bundle.cmfs").unwrap();
    let mut together = Vec::new();
    for segment in &mut recording.segments[1..4] {
        let object = recording.objects.remove(&segment.object).unwrap();
        for part in &mut segment.tracks {
            part.offset += together.len() as u64;
        }
        segment.object_offset = together.len() as u64;
        together.extend(object);
        segment.object = bundle.clone();
    }
    recording.objects.insert(bundle, together);
    let all = window(0, 5_000_000);
    verify(&recording, &recording.plan(all, None).unwrap(), all);
}

/// A day as rows only; `scale` multiplies the bytes of every sample.
fn rows(count: u64, scale: u64) -> Recording {
    let mut recording = Recording::new();
    recording.run(&Run { segments: 1, ..Run::default() });
    let model = recording.segments[0].clone();
    let mut tables: Vec<SampleTable> = recording.tables[&100]
        .iter()
        .map(|t| {
            let scaled = |s: &crate::media::Sample| crate::media::Sample { size: s.size * scale as u32, ..*s };
            SampleTable { samples: t.samples.iter().map(scaled).collect() }
        })
        .collect();
    // Sound that lasts as long as the pictures, so that the parts follow each other.
    let excess = tables[1].duration().0 - GOP * FRAME;
    tables[1].samples.last_mut().unwrap().duration -= excess as u32;
    recording.segments.clear();
    for n in 0..count {
        let mut segment = model.clone();
        segment.id.sequence += n;
        segment.id.start.0 += n as i64 * SEGMENT_US;
        segment.anchor.0 += n as i64 * GOP * FRAME;
        segment.object = segment.id.object_key().unwrap();
        let mut at = 0;
        for (part, table) in segment.tracks.iter_mut().zip(&tables) {
            part.decode_start.0 += n as i64 * GOP * FRAME;
            part.presentation_start.0 += n as i64 * GOP * FRAME;
            part.offset = at;
            part.duration = table.duration();
            part.duration_runs = table.duration_runs();
            part.length = u64::from(part.payload_offset) + table.payload_bytes();
            at += part.length;
        }
        recording.tables.insert(segment.id.sequence, tables.clone());
        recording.segments.push(segment);
    }
    recording
}

#[test]
fn a_day_of_short_segments_takes_little_memory() {
    let recording = rows(14_400, 1);
    let window = window(0, 14_400 * SEGMENT_US);
    let edges = ExportPlan::edges(window, &recording.segments).unwrap();
    assert!(edges.len() <= 6, "{} edges", edges.len());
    let plan = recording.plan(window, None).unwrap();
    assert!(plan.memory_bytes() < 8 << 20, "{} bytes", plan.memory_bytes());
    assert!(size_of::<PartRecord>() <= 64 && size_of::<SegmentRecord>() <= 48);
    let mut end = 0;
    for slice in plan.slices(0..plan.media_start) {
        assert!(slice.bytes() <= slices::PIECE_BYTES);
        end += slice.bytes();
    }
    assert_eq!(end, plan.media_start);
    // A range in the middle names only the object it lies in.
    let middle = plan.media_start + (plan.total_bytes() - plan.media_start) / 2;
    assert_eq!(plan.slices(middle..middle + 1).count(), 1);
}

#[test]
fn more_than_four_gibibytes() {
    let recording = rows(600, 1 << 14);
    let window = window(0, 600 * SEGMENT_US);
    let plan = recording.plan(window, None).unwrap();
    assert!(plan.total_bytes() > 5 << 30, "{}", plan.total_bytes());
    let file = parse(&recording.bytes(&plan, 0..plan.media_start));
    assert_eq!(file.media, (plan.media_start, plan.total_bytes() - plan.media_start));
    assert!(file.tracks.iter().all(|t| t.wide));
    // Each sample's offset leads to its own place in its own object.
    for (track, part) in [(0, 0), (1, 1)] {
        for sample in file.tracks[track].samples.iter().step_by(997) {
            let slice = plan.slices(sample.offset..sample.offset + 1).next().unwrap();
            let Slice::Object { key, range, .. } = slice else { panic!("{slice:?}") };
            let segment = recording.segments.iter().find(|s| s.object == key).unwrap();
            let p = &segment.tracks[part];
            let payload = p.offset + u64::from(p.payload_offset)..p.offset + p.length;
            assert!(payload.contains(&range.start));
        }
    }
    // Just below the limit offsets stay small.
    let small = rows(60, 1 << 14);
    let plan = small.plan(super::tests::window(0, 60 * SEGMENT_US), None).unwrap();
    assert!(!parse(&small.bytes(&plan, 0..plan.media_start)).tracks[0].wide);
}

fn any_runs() -> impl Strategy<Value = Vec<Run>> {
    let run = (1usize..7, 0i64..4_000_000, 0i64..1 << 34, -1i64..2, 0usize..7, 0usize..3, any::<bool>());
    proptest::collection::vec(run, 1..4).prop_map(|runs| {
        let mut utc = T0;
        let mut described = Vec::new();
        for (n, (segments, gap, media, shift, silent, length, second)) in runs.into_iter().enumerate() {
            let init = video_init(if second { 720 } else { 640 }).hash;
            utc += gap;
            let silent = silent..silent + length;
            described.push(Run { run: n as u128 + 1, utc, media, segments, shift, silent, init, video: true });
            utc += segments as i64 * SEGMENT_US;
        }
        described
    })
}

fn recorded(runs: &[Run]) -> Recording {
    let mut recording = Recording::new();
    for run in runs {
        recording.run(run);
    }
    recording
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn any_window_over_any_recording_is_exact(
        runs in any_runs(), from in -1_000_000i64..16_000_000, length in 1i64..16_000_000
    ) {
        let recording = recorded(&runs);
        let window = window(from, from + length);
        match recording.plan(window, None) {
            Ok(plan) => { verify(&recording, &plan, window); }
            Err(error) => {
                prop_assert_eq!(error, ExportError::NothingRecorded);
                let pieces = pieces(&recording, window);
                // Less than a tick or less than the first picture: nothing to show.
                prop_assert!(pieces.iter().map(|p| p.end - p.start).sum::<i64>() < FRAME, "{:?}", pieces);
            }
        }
    }

    #[test]
    fn ranges_put_together_equal_the_whole(
        runs in any_runs(), cuts in proptest::collection::vec(0.0f64..1.0, 1..12), from in 0i64..900_000
    ) {
        let recording = recorded(&runs);
        let plan = recording.plan(window(from, 14_000_000), None).unwrap();
        let whole = recording.file(&plan);
        let mut at: Vec<u64> = cuts.iter().map(|c| (c * whole.len() as f64) as u64).collect();
        at.extend([0, plan.media_start, whole.len() as u64]);
        at.sort_unstable();
        let mut joined = Vec::new();
        for pair in at.windows(2) {
            joined.extend(recording.bytes(&plan, pair[0]..pair[1]));
        }
        prop_assert!(joined == whole);
    }
}
