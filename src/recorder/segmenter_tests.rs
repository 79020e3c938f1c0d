use super::*;
use crate::media::Codec;
use crate::media::track::{AudioParams, TrackParams, VideoParams};
use proptest::prelude::*;

const VIDEO: SourceTrack = SourceTrack(0x100);
const AUDIO: SourceTrack = SourceTrack(0x101);
const START: UtcUs = UtcUs(1_409_148_900_000_000);

fn params(codec: Codec, mark: u8) -> TrackParams {
    let video = (codec.kind() == TrackKind::Video).then_some(VideoParams { width: 640, height: 360 });
    let audio = (codec.kind() == TrackKind::Audio).then_some(AudioParams { sample_rate: 48_000, channels: 2 });
    let sample_entry = vec![0, 0, 0, 9, b't', b'e', b's', b't', mark];
    TrackParams { codec, codec_string: "x".into(), language: None, video, audio, sample_entry }
}

fn track(track: SourceTrack, codec: Codec, mark: u8) -> MediaEvent {
    MediaEvent::Track { track, params: params(codec, mark) }
}

fn video(n: i64, gop: i64) -> MediaEvent {
    let dts = Ticks(900_000 + n * 3600);
    let data = Bytes::from(format!("v{n:07}"));
    MediaEvent::Sample(MediaSample {
        track: VIDEO,
        dts,
        pts: dts + Ticks(7200),
        duration: None,
        sync: n % gop == 0,
        data,
    })
}

/// 1024 samples at 44.1 kHz, rounded one by one as in MPEG-TS.
fn audio(n: i64) -> MediaEvent {
    let at = |n: i64| 907_200 + (n * 1024 * 90_000 + 22_050) / 44_100;
    let (dts, next) = (at(n), at(n + 1));
    let data = Bytes::from(format!("a{n:07}"));
    MediaEvent::Sample(MediaSample {
        track: AUDIO,
        dts: Ticks(dts),
        pts: Ticks(dts),
        duration: Some((next - dts) as u32),
        sync: true,
        data,
    })
}

fn dts_of(event: &MediaEvent) -> i64 {
    match event {
        MediaEvent::Sample(s) => s.dts.0,
        _ => 0,
    }
}

/// Picture and sound of `seconds`, the sound arriving `late` ticks after the picture of its time.
fn broadcast(seconds: i64, gop: i64, late: i64) -> Vec<MediaEvent> {
    let mut samples: Vec<(i64, MediaEvent)> =
        (0..seconds * 25).map(|n| video(n, gop)).map(|e| (dts_of(&e), e)).collect();
    let sounds = (0..seconds * 44_100 / 1024).map(audio);
    samples.extend(sounds.map(|e| (dts_of(&e) + late, e)));
    samples.sort_by_key(|(at, _)| *at);
    let head = [track(VIDEO, Codec::H264, 0), track(AUDIO, Codec::Aac, 0)];
    head.into_iter().chain(samples.into_iter().map(|(_, e)| e)).collect()
}

fn cut(segmenter: &mut Segmenter, events: Vec<MediaEvent>, piece: usize) -> Vec<CutSegment> {
    let mut out = Vec::new();
    let mut events = events.into_iter().peekable();
    while events.peek().is_some() {
        segmenter.push(events.by_ref().take(piece).collect(), None, START, &mut out);
    }
    segmenter.end_run(&mut out);
    out.into_iter().filter_map(|o| if let Output::Segment(s) = o { Some(s) } else { None }).collect()
}

fn payload(segments: &[CutSegment], track: TrackId) -> Vec<Bytes> {
    segments.iter().flat_map(|s| &s.parts).filter(|p| p.track == track).flat_map(|p| p.payload.clone()).collect()
}

/// What must hold of the segments of one run.
fn check_run(segments: &[CutSegment]) {
    let mut ends: BTreeMap<TrackId, Ticks> = BTreeMap::new();
    for (n, segment) in segments.iter().enumerate() {
        assert_eq!(segment.new_run, n == 0);
        if let Some(next) = segments.get(n + 1) {
            assert_eq!(segment.start.plus_us(segment.duration_us), next.start, "wall time has a seam");
        }
        for part in &segment.parts {
            if let Some(end) = ends.insert(part.track, part.decode_start + part.table.duration()) {
                assert_eq!(end, part.decode_start, "{} has a seam before segment {n}", part.track);
            }
        }
        // No track drifts: each begins within one frame of the cut.
        for part in &segment.parts {
            let first = part.decode_start + Ticks(part.table.samples[0].composition_offset.into());
            let off = (first - segment.anchor).0;
            assert!((0..=2090).contains(&off), "{} begins {off} ticks after the cut", part.track);
        }
    }
}

#[test]
fn twenty_minutes_stay_aligned_and_whole() {
    let segments = cut(&mut Segmenter::new(6, START), broadcast(1200, 50, 9000), 40);
    check_run(&segments);
    assert_eq!(segments.len(), 200);
    assert_eq!(payload(&segments, TrackId::video(1)).len(), 1200 * 25);
    let sounds = payload(&segments, TrackId::audio(1));
    assert_eq!(sounds.len() as i64, 1200 * 44_100 / 1024);
    assert!(sounds.windows(2).all(|w| w[0] < w[1]), "sounds out of order or twice");
    assert!(segments.iter().all(|s| s.parts[0].table.samples[0].sync));
    assert!(segments[..199].iter().all(|s| s.duration_us == 6_000_000));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn nothing_is_lost_however_it_arrives(gop in 5i64..400, late in -80_000i64..200_000, piece in 1usize..300, seconds in 20i64..60) {
        let segments = cut(&mut Segmenter::new(6, START), broadcast(seconds, gop, late), piece);
        check_run(&segments);
        prop_assert_eq!(payload(&segments, TrackId::video(1)).len() as i64, seconds * 25);
        let sounds = payload(&segments, TrackId::audio(1));
        prop_assert_eq!(sounds.len() as i64, seconds * 44_100 / 1024);
        prop_assert!(sounds.windows(2).all(|w| w[0] < w[1]));
    }
}

#[test]
fn a_break_begins_a_new_run_that_does_not_go_back_in_time() {
    let mut segmenter = Segmenter::new(6, START);
    let mut events = broadcast(20, 50, 0);
    events.push(MediaEvent::Discontinuity("test"));
    // The source's clock says it is an hour earlier than it was.
    events.push(MediaEvent::WallTime { media: Ticks(907_200), utc: START.plus_us(-3_600_000_000) });
    events.extend(broadcast(20, 50, 0));
    let segments = cut(&mut segmenter, events, 10);
    let runs = segments.iter().filter(|s| s.new_run).count();
    assert_eq!(runs, 2);
    for pair in segments.windows(2) {
        assert!(pair[0].start.plus_us(pair[0].duration_us) <= pair[1].start);
    }
    assert!(segments.iter().filter(|s| s.new_run).all(|s| s.discontinuity));
    assert_eq!(payload(&segments, TrackId::video(1)).len(), 2 * 20 * 25);
}

#[test]
fn stated_wall_time_wins_over_arrival_and_a_jump_begins_a_run() {
    let mut segmenter = Segmenter::new(6, UtcUs(0));
    let stated = START.plus_us(-5_000_000);
    let mut events = vec![MediaEvent::WallTime { media: Ticks(907_200), utc: stated }];
    events.extend(broadcast(30, 50, 0));
    let mut out = Vec::new();
    segmenter.push(events, Some(START), START, &mut out);
    // Ten minutes later by the source's clock, without a break in the media.
    segmenter.push(
        vec![MediaEvent::WallTime { media: Ticks(900_000 + 750 * 3600), utc: stated.plus_us(630_000_000) }],
        Some(START),
        START,
        &mut out,
    );
    segmenter.push((750..1500).map(|n| video(n, 50)).collect(), Some(START.plus_us(630_000_000)), START, &mut out);
    segmenter.end_run(&mut out);
    let segments: Vec<CutSegment> =
        out.into_iter().filter_map(|o| if let Output::Segment(s) = o { Some(s) } else { None }).collect();
    assert_eq!(segments[0].start, stated);
    let second = segments.iter().filter(|s| s.new_run).nth(1).unwrap();
    assert!((second.start.since(stated) - 630_000_000).abs() < 100_000, "{:?}", second.start);
}

#[test]
fn changed_parameters_begin_a_part_of_their_own() {
    let mut segmenter = Segmenter::new(6, START);
    let mut events = broadcast(30, 50, 0);
    // The sound's parameters change at about 10 s, between two sync samples.
    let at = events.iter().position(|e| dts_of(e) > 900_000 + 10 * 90_000 + 20_000).unwrap();
    events.insert(at, track(AUDIO, Codec::Aac, 1));
    let segments = cut(&mut segmenter, events, 7);
    let inits: Vec<_> = segments
        .iter()
        .filter_map(|s| s.parts.iter().find(|p| p.track == TrackId::audio(1)))
        .map(|p| p.init.info.hash)
        .collect();
    let changes = inits.windows(2).filter(|w| w[0] != w[1]).count();
    assert_eq!(changes, 1);
    let changed = segments.iter().position(|s| s.discontinuity && !s.new_run).unwrap();
    assert_ne!(inits[changed - 1], inits[changed]);
    assert_eq!(payload(&segments, TrackId::video(1)).len(), 750);
    assert_eq!(payload(&segments, TrackId::audio(1)).len() as i64, 30 * 44_100 / 1024);
    check_run(&segments);
}

#[test]
fn a_track_that_is_listed_again_is_recorded_again() {
    let mut events = broadcast(60, 50, 0);
    let at = |seconds: i64| move |e: &MediaEvent| dts_of(e) > 900_000 + seconds * 90_000;
    let (gone, back) = (events.iter().position(at(20)).unwrap(), events.iter().position(at(25)).unwrap());
    let of_audio = |e: &MediaEvent| matches!(e, MediaEvent::Sample(s) if s.track == AUDIO);
    let missing = events[gone..back].iter().filter(|e| of_audio(e)).count();
    let mut n = 0;
    events.retain(|e| {
        n += 1;
        !((gone..back).contains(&(n - 1)) && of_audio(e))
    });
    events.insert(gone, MediaEvent::TrackGone(AUDIO));
    let returns = events.iter().position(at(25)).unwrap();
    events.insert(returns, track(AUDIO, Codec::Aac, 0));
    // A break after it is back must not take it for gone.
    let breaks = events.iter().position(at(40)).unwrap();
    events.insert(breaks, MediaEvent::Discontinuity("test"));
    let segments = cut(&mut Segmenter::new(6, START), events, 10);
    let sounds = payload(&segments, TrackId::audio(1)).len() as i64;
    let all = 60 * 44_100 / 1024 - missing as i64;
    // After the break the sound begins with the next sync sample of the picture, shown 2 s and two pictures later at most.
    assert!((all - 208 * 441 / 1024 - 2..=all).contains(&sounds), "{sounds} of {all}");
}

#[test]
fn radio_needs_no_picture() {
    let mut events = vec![track(AUDIO, Codec::Aac, 0)];
    events.extend((0..3000).map(audio));
    let segments = cut(&mut Segmenter::new(6, START), events, 50);
    check_run(&segments);
    assert!(segments.len() >= 9, "{}", segments.len());
    assert_eq!(payload(&segments, TrackId::audio(1)).len(), 3000, "what came while waiting for a picture counts, too");
}

#[test]
fn sound_goes_on_when_the_picture_stops_and_the_picture_comes_back() {
    let mut events = broadcast(20, 50, 0);
    events.extend((20 * 44_100 / 1024..60 * 44_100 / 1024).map(audio));
    events.extend((60 * 25..80 * 25).map(|n| video(n, 50)));
    let segments = cut(&mut Segmenter::new(6, START), events, 20);
    let sounds = payload(&segments, TrackId::audio(1));
    assert_eq!(sounds.len() as i64, 60 * 44_100 / 1024);
    assert_eq!(payload(&segments, TrackId::video(1)).len(), 40 * 25);
    assert!(segments.iter().filter(|s| s.new_run).count() >= 3);
}

#[test]
fn no_segment_is_longer_than_the_target_duration() {
    // Distances of sync samples in pictures, 25 a second.
    for gop in [50, 250, 300, 306, 310, 375, 700, i64::MAX] {
        let segments = cut(&mut Segmenter::new(6, START), broadcast(120, gop, 0), 40);
        check_run(&segments);
        for segment in &segments {
            let parts = segment.parts.iter().map(|p| p.table.duration().to_us());
            let longest = parts.fold(segment.duration_us, i64::max);
            assert!(longest < 12_500_000, "{longest} us with a sync sample every {gop} pictures");
        }
        // Where a sync sample comes, a segment begins.
        let syncs: usize = segments.iter().map(|s| s.parts[0].table.sync_count() as usize).sum();
        let led = segments.iter().filter(|s| s.parts[0].table.samples[0].sync).count();
        assert!(gop < 250 || led == syncs, "{led} of {syncs} sync samples, {gop} pictures apart, begin a segment");
    }
}

#[test]
fn memory_is_bounded_without_sync_samples_and_with_a_runaway_track() {
    let mut segmenter = Segmenter::new(6, START);
    let mut out = Vec::new();
    segmenter.push(vec![track(VIDEO, Codec::H264, 0), track(AUDIO, Codec::Aac, 0)], None, START, &mut out);
    for n in 0..4000 {
        segmenter.push(vec![video(n, i64::MAX)], None, START, &mut out);
    }
    let forced: Vec<_> = out.iter().filter(|o| matches!(o, Output::Segment(_))).collect();
    assert!(forced.len() >= 4, "a stream with one sync sample is cut all the same");
    let queued: usize = segmenter.tracks.values().map(TrackQueue::bytes).sum();
    assert!(queued < 40 * 25 * 16, "{queued} bytes");
}

/// Every sample comes out, whatever becomes of the clock: in order, once.
fn all_samples_of(events: &[MediaEvent]) -> (Vec<Bytes>, Vec<Bytes>) {
    let data = |track| {
        let of = |e: &MediaEvent| match e {
            MediaEvent::Sample(s) if s.track == track => Some(s.data.clone()),
            _ => None,
        };
        events.iter().filter_map(of).collect()
    };
    (data(VIDEO), data(AUDIO))
}

fn restamped(events: Vec<MediaEvent>, mut stamp: impl FnMut(i64, Ticks) -> Ticks) -> Vec<MediaEvent> {
    let change = |event| match event {
        MediaEvent::Sample(s) => {
            let by = stamp((s.dts.0 - 900_000).div_euclid(3600), s.dts) - s.dts;
            MediaEvent::Sample(MediaSample { dts: s.dts + by, pts: s.pts + by, ..s })
        }
        other => other,
    };
    events.into_iter().map(change).collect()
}

#[test]
fn no_sample_is_dropped_for_its_timestamp() {
    type Stamp = fn(i64, Ticks) -> Ticks;
    let cases: [(&str, Stamp); 7] = [
        ("leaps 20 s ahead", |n, dts| if n > 510 { dts + Ticks(1_800_000) } else { dts }),
        ("goes 20 s back", |n, dts| if n > 510 { dts - Ticks(1_800_000) } else { dts }),
        ("goes half a second back", |n, dts| if n > 510 { dts - Ticks(45_000) } else { dts }),
        ("goes a day back", |n, dts| if n > 510 { dts + Ticks(-86_400 * 90_000 + (1 << 33)) } else { dts }),
        ("stands still for 4 s", |n, dts| if (510..610).contains(&n) { Ticks(900_000 + 510 * 3600) } else { dts }),
        ("stands still and goes on from there", |n, dts| match n {
            510..610 => Ticks(900_000 + 510 * 3600),
            610.. => dts - Ticks(360_000),
            _ => dts,
        }),
        ("errs once in a while", |n, dts| if n % 97 == 13 { dts - Ticks(7200) } else { dts }),
    ];
    for (what, stamp) in cases {
        let sent = broadcast(60, 50, 0);
        let (pictures, sounds) = all_samples_of(&sent);
        let segments = cut(&mut Segmenter::new(6, START), restamped(sent, stamp), 40);
        assert_eq!(payload(&segments, TrackId::video(1)), pictures, "{what}");
        let kept = payload(&segments, TrackId::audio(1));
        let lost = sounds.len() - kept.len();
        let mut all = sounds.iter();
        assert!(kept.iter().all(|k| all.any(|s| s == k)), "{what}: sounds out of order or twice");
        // Where a run begins, sound of the time before its first picture is left out (decision 3).
        assert!(lost <= 12, "{what}: {lost} sounds are missing");
        for pair in segments.windows(2) {
            assert!(pair[0].start.plus_us(pair[0].duration_us) <= pair[1].start, "{what}: wall time");
        }
        for segment in &segments {
            assert!(segment.parts.iter().all(|p| p.table.samples.iter().all(|s| s.duration > 0)), "{what}");
        }
    }
}

/// Sound whose parameters change after the last picture.
#[test]
fn the_last_sounds_of_a_run_are_kept_whatever_their_parameters() {
    let mut events = broadcast(10, 50, 0);
    events.push(track(AUDIO, Codec::Aac, 9));
    let first = 10 * 44_100 / 1024;
    events.extend((first..first + 40).map(audio));
    let segments = cut(&mut Segmenter::new(6, START), events, 40);
    assert_eq!(payload(&segments, TrackId::audio(1)).len() as i64, first + 40);
    let last = segments.last().unwrap();
    assert!(last.discontinuity && !last.new_run && last.parts.len() == 1);
    assert_eq!(payload(&segments, TrackId::video(1)).len(), 250);
}

/// A source that gives some seconds at once when it is connected to: the first picture is as old as it is.
#[test]
fn a_burst_at_the_beginning_does_not_make_the_recording_late() {
    let mut segmenter = Segmenter::new(6, UtcUs(0));
    let mut out = Vec::new();
    for event in broadcast(60, 25, 0) {
        // Five seconds come at once, the rest in time.
        let media_us = Ticks(dts_of(&event).max(900_000) - 900_000).to_us();
        let arrival = START.plus_us(media_us.max(5_000_000));
        segmenter.push(vec![event], Some(arrival), arrival, &mut out);
    }
    let first = out.iter().find_map(|o| if let Output::Segment(s) = o { Some(s) } else { None }).unwrap();
    assert!((first.start.since(START)).abs() < 100_000, "{} us late", first.start.since(START));
}

/// A day of a source whose clock is 200 ppm off, one picture each second, while the recorder's own clock is stepped by
/// seconds for some seconds, forwards and back: no picture is dropped, wall time is within 500 ms of the truth and never
/// runs backwards.
#[test]
fn a_day_of_drift_and_steps_of_the_clock_drops_nothing() {
    use crate::media::wallclock::ArrivalClock;
    const DAY_S: i64 = 86_400;
    for ppm in [200, -200] {
        let truth = |media_us: i64| START.plus_us(media_us + media_us / 1_000_000 * ppm);
        let (mut segmenter, mut out) = (Segmenter::new(6, START), Vec::new());
        let mut clock = ArrivalClock::new(0, START);
        segmenter.push(vec![track(VIDEO, Codec::H264, 0)], None, START, &mut out);
        let mut noise = 7_u64;
        for n in 0..DAY_S {
            let dts = Ticks(900_000 + n * 90_000);
            let data = Bytes::from(format!("v{n:07}"));
            let sample = MediaSample { track: VIDEO, dts, pts: dts, duration: Some(90_000), sync: n % 2 == 0, data };
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // It arrives up to 100 ms late.
            let arrived = truth(n * 1_000_000).plus_us((noise >> 33) as i64 % 100_000);
            // Each three hours the system's clock is wrong for 40 s, once ahead, once behind.
            let step_us = match n % 21_600 {
                5_000..5_040 => 7_000_000,
                15_000..15_040 => -3_000_000,
                _ => 0,
            };
            let at = clock.read(arrived.since(START), arrived.plus_us(step_us));
            segmenter.push(vec![MediaEvent::Sample(sample)], Some(at), at, &mut out);
        }
        segmenter.end_run(&mut out);
        let segments: Vec<CutSegment> =
            out.into_iter().filter_map(|o| if let Output::Segment(s) = o { Some(s) } else { None }).collect();
        let pictures: Vec<Bytes> = segments.iter().flat_map(|s| &s.parts).flat_map(|p| p.payload.clone()).collect();
        assert_eq!(pictures.len() as i64, DAY_S, "{ppm} ppm: pictures are dropped, or there twice");
        assert!(pictures.windows(2).all(|w| w[0] < w[1]), "{ppm} ppm: out of order");
        assert!(
            segments.windows(2).all(|w| w[0].start.plus_us(w[0].duration_us) <= w[1].start),
            "{ppm} ppm: backwards"
        );
        let wrong_us =
            segments.iter().map(|s| s.start.since(truth((s.anchor - Ticks(900_000)).to_us())).abs()).max().unwrap();
        let runs = segments.iter().filter(|s| s.new_run).count();
        println!("{ppm} ppm: {} segments, {runs} runs, at most {} ms from the truth", segments.len(), wrong_us / 1000);
        assert!(wrong_us <= 500_000, "{ppm} ppm: {wrong_us} us from the truth");
        assert_eq!(runs, 1, "{ppm} ppm: drift and steps that pass are no reason for a break");
    }
}
