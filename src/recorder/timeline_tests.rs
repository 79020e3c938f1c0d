use super::super::joint::WRAP;
use super::super::track_queue::InitSegment;
use super::*;
use crate::media::segment::SegmentWithTables;
use crate::media::track::{InitInfo, TrackParams, VideoParams};
use crate::media::{Codec, InitHash, Sample, SampleTable, StreamName, TrackId, TrackPart};
use bytes::Bytes;
use proptest::prelude::*;
use std::sync::Arc;

const START: i64 = 1_409_148_900_000_000;
const FRAME: i64 = 3600;
const SOUND: i64 = 1920;

fn init(mark: u8) -> Arc<InitSegment> {
    let params = TrackParams {
        codec: Codec::H264,
        codec_string: "x".into(),
        language: None,
        video: Some(VideoParams { width: 640, height: 360 }),
        audio: None,
        sample_entry: vec![0, 0, 0, 9, b't', b'e', b's', b't', mark],
    };
    let info = InitInfo { hash: InitHash::of(&[mark]), params };
    Arc::new(InitSegment { info, bytes: Bytes::from(vec![mark]) })
}

fn part(track: TrackId, numbers: std::ops::Range<i64>, step: i64, clock: i64) -> CutPart {
    let (is_video, letter) = (track == TrackId::video(1), if track == TrackId::video(1) { 'v' } else { 'a' });
    let payload: Vec<Bytes> = numbers
        .clone()
        .map(|n| Bytes::from(format!("{letter}{n:0>width$}", width = (5 + n * 7 % 13) as usize)))
        .collect();
    let sample = |n: i64, data: &Bytes| Sample {
        size: data.len() as u32,
        duration: step as u32,
        composition_offset: 2 * FRAME as i32,
        sync: !is_video || n % 25 == 0,
    };
    let samples = numbers.clone().zip(&payload).map(|(n, data)| sample(n, data)).collect();
    let decode_start = Ticks(clock + numbers.start * step);
    CutPart { track, init: init(letter as u8), decode_start, table: SampleTable { samples }, payload }
}

/// Frames `from` to `to` of one broadcast, as a recorder cuts them whose media clock began at `clock` and whose wall
/// clock is `off_us` ahead.
fn cut(from: i64, to: i64, clock: i64, off_us: i64, new_run: bool) -> CutSegment {
    let sounds = |frame: i64| (frame * FRAME).div_euclid(SOUND) + i64::from((frame * FRAME).rem_euclid(SOUND) > 0);
    CutSegment {
        new_run,
        discontinuity: new_run,
        start: UtcUs(START + from * 40_000 + off_us),
        duration_us: (to - from) * 40_000,
        anchor: Ticks(clock + (from + 2) * FRAME),
        parts: vec![
            part(TrackId::video(1), from..to, FRAME, clock),
            part(TrackId::audio(1), sounds(from)..sounds(to), SOUND, clock),
        ],
    }
}

/// What is committed when `cut` is.
fn committed(cut: &CutSegment, sequence: u64) -> SegmentWithTables {
    let id = SegmentId {
        stream: StreamName::parse("x").unwrap(),
        run: RunId(7),
        epoch: 1,
        sequence,
        start: cut.start,
        duration_us: cut.duration_us,
    };
    let parts = cut.parts.iter().map(|p| TrackPart {
        track: p.track,
        init: p.init.info.hash,
        offset: 0,
        length: p.table.payload_bytes(),
        payload_offset: 0,
        decode_start: p.decode_start,
        presentation_start: p.decode_start,
        duration: p.table.duration(),
        sample_count: p.table.samples.len() as u32,
        sync_count: p.table.sync_count(),
        starts_with_sync: true,
        duration_runs: 1,
        composition_runs: 1,
    });
    let segment = Segment {
        object: id.object_key().unwrap(),
        id,
        discontinuity: 0,
        anchor: cut.anchor,
        object_offset: 0,
        object_length: 0,
        tracks: parts.collect(),
    };
    SegmentWithTables { segment, tables: cut.parts.iter().map(|p| p.table.clone()).collect() }
}

fn payload(cuts: &[CutSegment], track: TrackId) -> Vec<Bytes> {
    cuts.iter().flat_map(|c| &c.parts).filter(|p| p.track == track).flat_map(|p| p.payload.clone()).collect()
}

fn place_all(timeline: &mut Timeline, cuts: Vec<CutSegment>) -> Vec<CutSegment> {
    let placed = cuts.into_iter().map(|c| timeline.place(c));
    placed.filter_map(|p| if let Placed::Next(c) = p { Some(c) } else { None }).collect()
}

/// Cuts `from..to` every `length` frames, beginning at a multiple of it less `phase`.
fn cuts(from: i64, to: i64, length: i64, clock: i64, off_us: i64) -> Vec<CutSegment> {
    let mut all = Vec::new();
    let mut at = from;
    while at < to {
        let next = (at + length).min(to);
        all.push(cut(at, next, clock, off_us, at == from));
        at = next;
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Wherever the first recorder ends and however the second one cuts: no sample is missing, none is there twice, and
    /// time goes on, also over a wrap of the 33 bits.
    #[test]
    fn two_recorders_of_one_source_join_to_the_sample(
        ends in 26i64..700, second_from in 0i64..400, first_length in 20i64..160, second_length in 20i64..160,
        clock in prop_oneof![Just(900_000), Just(WRAP - 700_000), Just(5 * WRAP + 12)], wraps in -3i64..3, off_ms in -450i64..450,
    ) {
        prop_assume!(second_from < ends);
        let before: Vec<SegmentWithTables> =
            cuts(0, ends, first_length, clock, 0).iter().enumerate().map(|(n, c)| committed(c, n as u64)).collect();
        let first = cuts(0, ends, first_length, clock, 0);
        let joint = Joint::after(&before[before.len().saturating_sub(3)..]).unwrap();
        let mut timeline = Timeline::new(joint.end, Some(joint.clone()));
        let second = cuts(second_from, 1000, second_length, clock + wraps * WRAP, off_ms * 1000);
        let placed = place_all(&mut timeline, second);
        let all: Vec<CutSegment> = first.into_iter().chain(placed).collect();
        let whole = cut(0, 1000, clock, 0, true);
        for track in [TrackId::video(1), TrackId::audio(1)] {
            prop_assert_eq!(payload(&all, track), payload(std::slice::from_ref(&whole), track));
            let mut end = None;
            for part in all.iter().flat_map(|c| &c.parts).filter(|p| p.track == track) {
                prop_assert!(end.is_none_or(|end| end == part.decode_start), "a seam in {track}");
                end = Some(part.decode_start + part.table.duration());
            }
        }
        for pair in all.windows(2) {
            prop_assert_eq!(pair[0].start.plus_us(pair[0].duration_us), pair[1].start);
            prop_assert!(!pair[1].new_run && !pair[1].discontinuity);
        }
        // The difference of the clocks goes away slowly, and never shows as more than it is.
        for cut in &all {
            let true_us = START + (cut.anchor.0 - clock - 2 * FRAME) * 100 / 9;
            let off = cut.start.0 - true_us;
            prop_assert!(off.abs() <= off_ms.abs() * 1000 + 100, "{off} us off");
        }
    }
}

fn joint_at(frame: i64) -> Joint {
    Joint::after(&[committed(&cut(frame - 100, frame, 900_000, 0, true), 3)]).unwrap()
}

#[test]
fn what_is_missing_before_a_join_is_a_break() {
    let mut timeline = Timeline::new(joint_at(500).end, Some(joint_at(500)));
    let placed = place_all(&mut timeline, cuts(525, 800, 100, 900_000, 0));
    assert!(placed[0].new_run && placed[0].discontinuity && !placed[1].new_run);
    assert_eq!(placed[0].start.0, START + 525 * 40_000);
    assert_eq!(payload(&placed, TrackId::video(1)).len(), 275);
}

#[test]
fn the_same_media_by_a_clock_too_far_off_is_one_break_and_no_loss() {
    let mut timeline = Timeline::new(joint_at(500).end, Some(joint_at(500)));
    let placed = place_all(&mut timeline, cuts(400, 800, 90, 900_000, -2_000_000));
    assert!(placed[0].new_run);
    assert_eq!(payload(&placed, TrackId::video(1)).len(), 300);
    assert_eq!(placed[0].start, joint_at(500).end, "wall time does not go back");
    assert!(placed.windows(2).all(|p| p[0].start.plus_us(p[0].duration_us) == p[1].start));
}

#[test]
fn other_timestamps_are_aligned_by_content() {
    let mut joint = joint_at(500);
    joint.lead_hashes = cut(400, 500, 0, 0, true).parts[0].payload.iter().map(|p| hash_of(p)).collect();
    let second = cuts(420, 800, 90, 123_456_789, 300_000);
    let mut timeline = Timeline::new(joint.end, Some(joint));
    assert!(timeline.is_elsewhere(&second[0]) || timeline.joint().is_some());
    assert!(timeline.joint().unwrap().find_content(second.iter()));
    let placed = place_all(&mut timeline, second);
    assert!(!placed[0].new_run, "content was found: the run goes on");
    assert_eq!(payload(&placed, TrackId::video(1)), cut(500, 800, 0, 0, true).parts[0].payload);
    assert_eq!(placed[0].parts[0].decode_start, Ticks(900_000 + 500 * FRAME));
}

#[test]
fn with_nothing_in_common_time_decides_at_a_sync_sample() {
    let mut other = cuts(425, 800, 75, 77_000_000_000, 0);
    for part in other.iter_mut().flat_map(|c| &mut c.parts) {
        for (sample, data) in part.table.samples.iter_mut().zip(&mut part.payload) {
            *data = Bytes::from(format!("other {}", data.len()));
            sample.size = data.len() as u32;
        }
    }
    // Another encoder's clock, a day off modulo 2^33.
    let mut timeline = Timeline::new(joint_at(510).end, Some(joint_at(510)));
    for cut in &mut other {
        cut.anchor = cut.anchor + Ticks(1 << 31);
        for part in &mut cut.parts {
            part.decode_start = part.decode_start + Ticks(1 << 31);
        }
    }
    let placed = place_all(&mut timeline, other);
    assert!(placed[0].new_run && placed[0].parts[0].table.samples[0].sync);
    assert_eq!(placed[0].start.0, START + 525 * 40_000, "the first sync sample after the end");
}

#[test]
fn what_is_cut_now_is_not_taken_for_what_is_committed_in_the_future() {
    const AHEAD_US: i64 = 3_600_000_000;
    let other_source = 77_000_000_000;
    // The clock was an hour ahead, and now it is right; the source was started anew, too.
    let joint = Joint::after(&[committed(&cut(400, 500, 900_000, AHEAD_US, true), 3)]).unwrap();
    let end = joint.end;
    let mut timeline = Timeline::new(end, Some(joint));
    let mut placed = Vec::new();
    for mut cut in cuts(525, 800, 100, other_source, 0) {
        timeline.begin_behind_the_future(&mut cut);
        match timeline.place(cut) {
            Placed::Next(cut) => placed.push(cut),
            Placed::Covered => panic!("dropped, because an hour ahead something else is committed"),
        }
    }
    assert!(placed[0].new_run && placed[0].discontinuity && !placed[1].new_run);
    assert_eq!(placed[0].start, end, "wall time does not go back");
    assert_eq!(payload(&placed, TrackId::video(1)).len(), 275);
    // A recorder whose source is only late has what is committed already.
    let mut timeline = Timeline::new(joint_at(1500).end, Some(joint_at(1500)));
    let mut late = cut(900, 1000, other_source, 0, true);
    assert_eq!(timeline.begin_behind_the_future(&mut late), None);
    assert!(matches!(timeline.place(late), Placed::Covered));
    // What goes on by its media times is placed by these.
    let mut timeline = Timeline::new(joint_at(500).end, Some(joint_at(500)));
    let mut same = cut(450, 550, 900_000, 0, true);
    assert_eq!(timeline.begin_behind_the_future(&mut same), None);
}

#[test]
fn a_gap_is_filled_up_to_what_follows() {
    let after = committed(&cut(700, 800, 900_000 + WRAP, 0, true), 9).segment;
    let mut timeline = Timeline::new(joint_at(500).end, Some(joint_at(500)));
    let placed = place_all(&mut timeline, cuts(430, 900, 85, 900_000, 100_000));
    let ended: Vec<CutSegment> = placed.into_iter().filter_map(|c| end_at(c, &after)).collect();
    assert_eq!(payload(&ended, TrackId::video(1)), cut(500, 700, 0, 0, true).parts[0].payload);
    assert_eq!(payload(&ended, TrackId::audio(1)), cut(500, 700, 0, 0, true).parts[1].payload);
    let whole = concatenate(ended).unwrap();
    let end = whole.start.plus_us(whole.duration_us);
    assert!(end <= after.id.start);
    let pieces = divide(whole, 3);
    assert_eq!(pieces.len(), 3);
    assert_eq!(pieces.iter().map(|p| p.duration_us).sum::<i64>(), end.since(pieces[0].start));
    assert!(pieces.iter().all(|p| p.parts[0].table.samples[0].sync && p.duration_us <= 4_000_000));
    assert_eq!(payload(&pieces, TrackId::audio(1)), cut(500, 700, 0, 0, true).parts[1].payload);
}

/// A segment that had a number under a process that was killed comes before what its successor has cut since, whose media
/// times have not wrapped.
#[test]
fn runs_of_two_processes_follow_each_other() {
    let clock = WRAP + 900_000;
    let last = cut(0, 100, clock, 0, true);
    let joint = Joint::after(&[committed(&last, 3)]).unwrap();
    let mut timeline = Timeline::new(joint.end, Some(joint));
    assert!(timeline.comes_of(RunId(7)));
    // Nor does what the pictures of one have told.
    timeline.joint().unwrap().content_shift = Some(Ticks(0));
    assert!(matches!(timeline.place(cut(50, 100, clock, 0, false)), Placed::Covered));
    for from in [50, 75] {
        assert!(!timeline.comes_of(RunId(8)));
        assert!(matches!(timeline.place(cut(from, from + 25, 900_000, 0, from == 50)), Placed::Covered));
    }
    assert!(!timeline.comes_of(RunId(8)));
    let Placed::Next(next) = timeline.place(cut(100, 125, 900_000, 0, false)) else { panic!("it is never gone on") };
    assert_eq!((next.new_run, next.parts[0].decode_start), (false, Ticks(clock + 100 * FRAME)));
}

/// Shadows of two recorders' runs, whose media times differ, and whose times overlap: what fills the gap is of one.
#[test]
fn a_gap_is_filled_from_one_run_at_a_time() {
    let after = committed(&cut(700, 800, 900_000, 0, true), 9).segment;
    // As they are read: whether one begins a run is not said.
    type Made = fn(i64, i64) -> CutSegment;
    let one: Made = |from, to| cut(from, to, 900_000, 0, false);
    let other: Made = |from, to| cut(from, to, 900_000 + WRAP, 20_000, false);
    let named = |run: u128, made: Made, from: i64, to: i64| {
        let id = committed(&made(from, to), from as u64).segment.id;
        (SegmentId { run: RunId(run), epoch: 0, ..id }, made, from, to)
    };
    // One ends within the gap, and begins before it; the other has all of it, by media times that have wrapped.
    let mut kept: Vec<_> = [450, 500, 550].map(|from| named(8, one, from, from + 50)).into();
    kept.extend([425, 500, 575, 650].map(|from| named(9, other, from, from + 75)));
    kept.sort_by_key(|(id, ..)| id.start);
    let between = |kept: &[(SegmentId, Made, i64, i64)]| {
        let ids: Vec<SegmentId> = kept.iter().map(|(id, ..)| id.clone()).collect();
        let found = |id: &SegmentId| kept.iter().find(|(own, ..)| own == id).ok_or(());
        let read = |id: &SegmentId| found(id).map(|(_, made, from, to)| made(*from, *to));
        super::between(&joint_at(500), &ids, read, &after).unwrap()
    };
    let filled = |placed: Vec<CutSegment>, to: i64| {
        for track in [TrackId::video(1), TrackId::audio(1)] {
            let mut end = None;
            for part in placed.iter().flat_map(|c| &c.parts).filter(|p| p.track == track) {
                assert!(end.is_none_or(|end| end == part.decode_start), "a seam in {track}");
                end = Some(part.decode_start + part.table.duration());
            }
        }
        assert_eq!(placed[0].parts[0].decode_start, Ticks(900_000 + 500 * FRAME));
        let whole = cut(500, to, 0, 0, true);
        assert_eq!(payload(&placed, TrackId::video(1)), whole.parts[0].payload);
        assert_eq!(payload(&placed, TrackId::audio(1)), whole.parts[1].payload);
    };
    filled(between(&kept), 700);
    // Something is missing in it: what is behind the hole is another filling's.
    let is_hole = |id: &SegmentId| id.run == RunId(9) && id.sequence == 575;
    let holed: Vec<_> = kept.iter().filter(|(id, ..)| !is_hole(id)).cloned().collect();
    filled(between(&holed), 600);
    // A segment that lost its number is there twice, for its shadow was not removed yet.
    let (id, made, from, to) = kept.iter().find(|(id, ..)| id.run == RunId(9) && id.sequence == 500).unwrap().clone();
    let numbered = (SegmentId { epoch: 3, sequence: 77, ..id }, made, from, to);
    filled(between(&[vec![numbered], kept.clone()].concat()), 700);
}

/// Sounds that one run has beyond what is committed are held for its own next segment: another run has its own, at media
/// times of its own.
#[test]
fn what_is_held_of_one_run_is_not_put_before_another() {
    let mut last = cut(400, 500, 900_000, 0, true);
    let sounds = last.parts[1].table.samples.len() - 20;
    keep(&mut last.parts[1], sounds);
    let joint = Joint::after(&[committed(&last, 3)]).unwrap();
    let mut timeline = Timeline::new(joint.end, Some(joint));
    timeline.comes_of(RunId(8));
    assert!(matches!(timeline.place(cut(400, 500, 900_000, 0, false)), Placed::Covered));
    timeline.comes_of(RunId(9));
    let Placed::Next(next) = timeline.place(cut(450, 550, 900_000 + WRAP, 0, false)) else { panic!("it goes on") };
    let whole = [last, next];
    assert_eq!(payload(&whole, TrackId::audio(1)), cut(400, 550, 0, 0, true).parts[1].payload);
    let [end, from] =
        [whole[0].parts[1].decode_start + whole[0].parts[1].table.duration(), whole[1].parts[1].decode_start];
    assert_eq!(from, end, "a seam");
}
