use super::super::tracker::{Start, Tracker};
use super::*;
use crate::container::MediaSample;
use crate::recorder::source::hls::playlist;
use bytes::Bytes;

fn known() -> Known {
    let Ok(playlist::Playlist::Media(list)) = playlist::parse(b"#EXTM3U\n#EXTINF:1,\na\n") else { panic!() };
    Tracker::default().plan(&list, Start::First, 0).segments[0].known.clone()
}

fn samples(dts: impl IntoIterator<Item = i64>) -> Vec<MediaEvent> {
    dts.into_iter()
        .map(|dts| {
            MediaEvent::Sample(MediaSample {
                track: SourceTrack(256),
                dts: Ticks(dts),
                pts: Ticks(dts),
                duration: None,
                sync: true,
                data: Bytes::new(),
            })
        })
        .collect()
}

fn segment(epoch: i64, breaks: bool, dts: impl IntoIterator<Item = i64>) -> SegmentEvents {
    SegmentEvents {
        known: known(),
        tail: Vec::new(),
        epoch,
        breaks: breaks.then_some("test"),
        hole: false,
        arrival: Some(UtcUs(1_000_000)),
        events: samples(dts),
    }
}

/// `Ok((rendition, dts))` for samples, `Err` for breaks and damage.
fn pull(merge: &mut Merge) -> Vec<Result<(u32, i64), &'static str>> {
    let mut out = Vec::new();
    loop {
        let merged = merge.pull(3);
        if merged.events.is_empty() && merged.begun.is_empty() {
            return out;
        }
        out.extend(merged.events.into_iter().map(|event| match event {
            MediaEvent::Sample(s) => Ok((s.track.0 / TRACKS_PER_RENDITION, s.dts.0)),
            MediaEvent::Discontinuity(_) => Err("break"),
            MediaEvent::Damage(_) => Err("damage"),
            other => panic!("{other:?}"),
        }));
    }
}

#[test]
fn renditions_are_interleaved_and_waited_for() {
    let mut merge = Merge::new(2);
    merge.push(0, segment(0, false, [0, 10, 20]));
    assert_eq!(pull(&mut merge), []);
    assert_eq!(merge.awaited(), [1]);
    merge.push(1, segment(0, false, [5, 15]));
    assert_eq!(pull(&mut merge), [Ok((0, 0)), Ok((1, 5)), Ok((0, 10)), Ok((1, 15))]);
    // One that is given up holds nothing up, until it is there again.
    merge.give_up(&[1]);
    assert_eq!(pull(&mut merge), [Ok((0, 20))]);
    merge.push(0, segment(0, false, [30]));
    assert_eq!(pull(&mut merge), [Ok((0, 30))]);
    merge.push(1, segment(0, false, [40]));
    assert_eq!(pull(&mut merge), []);
    merge.finish(0);
    merge.finish(1);
    assert_eq!(pull(&mut merge), [Ok((1, 40))]);
    assert!(merge.is_done());
}

#[test]
fn a_break_is_passed_together() {
    let mut merge = Merge::new(2);
    merge.push(0, segment(0, false, [0, 10]));
    merge.push(0, segment(1, true, [9000, 9010]));
    merge.push(1, segment(0, false, [5, 15, 25]));
    assert_eq!(pull(&mut merge), [Ok((0, 0)), Ok((1, 5)), Ok((0, 10)), Ok((1, 15)), Ok((1, 25))]);
    merge.push(1, segment(1, true, [9005]));
    assert_eq!(pull(&mut merge), [Err("break"), Ok((0, 9000)), Ok((1, 9005))]);
}

#[test]
fn a_break_that_only_one_playlist_has_blocks_nothing() {
    let second = 90_000;
    let mut merge = Merge::new(2);
    merge.push(0, segment(0, false, [0]));
    merge.push(0, segment(1, true, (1..30).map(|n| n * second)));
    merge.push(1, segment(0, false, (0..30).map(|n| n * second + 1)));
    merge.finish(0);
    merge.finish(1);
    let out = pull(&mut merge);
    assert_eq!(out.iter().filter(|o| **o == Err("break")).count(), 1);
    assert_eq!(out.iter().filter(|o| o.is_ok()).count(), 60, "{out:?}");
    assert!(merge.is_done());
    // The other way round.
    let mut merge = Merge::new(2);
    merge.push(1, segment(0, false, [0]));
    merge.push(1, segment(1, true, (1..30).map(|n| n * second)));
    merge.push(0, segment(0, false, (0..30).map(|n| n * second + 1)));
    merge.finish(0);
    merge.finish(1);
    let out = pull(&mut merge);
    assert_eq!(out.iter().filter(|o| **o == Err("break")).count(), 0);
    assert_eq!(out.iter().filter(|o| o.is_ok()).count(), 60, "{out:?}");
    assert!(merge.is_done());
}

#[test]
fn a_break_inside_the_media_is_passed_together_too() {
    let mut merge = Merge::new(2);
    let mut jumping = segment(0, false, [0, 10]);
    jumping.events.push(MediaEvent::Discontinuity("inside"));
    jumping.events.extend(samples([9000]));
    merge.push(0, jumping);
    let mut jumping = segment(0, false, [5, 15]);
    jumping.events.push(MediaEvent::Discontinuity("inside"));
    jumping.events.extend(samples([9005]));
    merge.push(1, jumping);
    // And one that the playlist tells counts on from there; what the demuxer held comes before it.
    for (n, held, next) in [(0, 9010, 70), (1, 9015, 75)] {
        let mut told = segment(1, true, [next]);
        told.tail = samples([held]);
        merge.push(n, told);
        merge.finish(n);
    }
    let ok = |n, dts| Ok((n, dts));
    let expected = [
        [ok(0, 0), ok(1, 5), ok(0, 10), ok(1, 15), Err("break")].to_vec(),
        [ok(0, 9000), ok(1, 9005), ok(0, 9010), ok(1, 9015), Err("break")].to_vec(),
        [ok(0, 70), ok(1, 75)].to_vec(),
    ];
    assert_eq!(pull(&mut merge), expected.concat());
}

#[test]
fn a_wrap_between_the_renditions_is_mended() {
    let mut merge = Merge::new(2);
    merge.push(0, segment(0, false, [WRAP - 10, WRAP + 10]));
    merge.push(1, segment(0, false, [0, 20]));
    merge.finish(0);
    merge.finish(1);
    let out = pull(&mut merge);
    assert_eq!(out, [Ok((0, WRAP - 10)), Ok((1, WRAP)), Ok((0, WRAP + 10)), Ok((1, WRAP + 20))]);
}

#[test]
fn arrival_runs_with_the_media() {
    let mut merge = Merge::new(1);
    merge.push(0, segment(0, false, [0, 45_000, 90_000]));
    let arrivals: Vec<i64> = (0..3).map(|_| merge.pull(1).arrival.unwrap().0).collect();
    assert_eq!(arrivals, [0, 500_000, 1_000_000]);
}
