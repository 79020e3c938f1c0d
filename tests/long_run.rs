//! Two days of picture and sound through the segmenter: nothing drifts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use evertape::container::{MediaEvent, MediaSample, SourceTrack};
use evertape::media::track::{AudioParams, Codec, TrackParams, VideoParams};
use evertape::media::{Ticks, TrackKind, UtcUs};
use evertape::recorder::segmenter::{Output, Segmenter};

const VIDEO: SourceTrack = SourceTrack(1);
const AUDIO: SourceTrack = SourceTrack(2);
const START: UtcUs = UtcUs(1_409_148_900_000_000);

fn track(track: SourceTrack, codec: Codec) -> MediaEvent {
    let video = (codec.kind() == TrackKind::Video).then_some(VideoParams { width: 640, height: 360 });
    let audio = (codec.kind() == TrackKind::Audio).then_some(AudioParams { sample_rate: 48_000, channels: 2 });
    let sample_entry = vec![0, 0, 0, 8, b't', b'e', b's', b't'];
    let params = TrackParams { codec, codec_string: "x".into(), language: None, video, audio, sample_entry };
    MediaEvent::Track { track, params }
}

/// Records `hours` of 25 pictures a second and AAC of `rate` Hz, each time rounded to a tick by itself.
fn check(hours: i64, rate: i64) {
    let frame = 1024 * 90_000 / rate + 1;
    let sound_at = |n: i64| 900_000 + (n * 1024 * 90_000 + rate / 2) / rate;
    let mut segmenter = Segmenter::new(6, UtcUs(0));
    let mut out = Vec::new();
    segmenter.push(vec![track(VIDEO, Codec::H264), track(AUDIO, Codec::Aac)], None, START, &mut out);
    let data = Bytes::from_static(b"x");
    let (mut sounds, mut segments, mut counts) = (0, 0_i64, [0_i64; 2]);
    let mut expected_start = None;
    let mut ends: [Option<Ticks>; 2] = [None; 2];
    let pictures = hours * 3600 * 25;
    for n in 0..pictures {
        let dts = Ticks(900_000 + n * 3600);
        let mut events = Vec::with_capacity(4);
        let sample = |track, dts, pts, duration, sync| {
            MediaEvent::Sample(MediaSample { track, dts, pts, duration, sync, data: data.clone() })
        };
        events.push(sample(VIDEO, dts, dts, None, n % 50 == 0));
        while sound_at(sounds) < dts.0 + 3600 {
            let (at, next) = (Ticks(sound_at(sounds)), Ticks(sound_at(sounds + 1)));
            events.push(sample(AUDIO, at, at, Some((next - at).0 as u32), true));
            sounds += 1;
        }
        segmenter.push(events, None, START, &mut out);
        if n + 1 == pictures {
            segmenter.end_run(&mut out);
        }
        for output in out.drain(..) {
            let Output::Segment(segment) = output else { panic!("{output:?}") };
            assert_eq!(segment.new_run, segments == 0);
            assert_eq!(segment.anchor, Ticks(900_000 + segments * 540_000), "segment {segments}");
            assert_eq!(*expected_start.get_or_insert(segment.start), segment.start, "a seam in wall time");
            expected_start = Some(segment.start.plus_us(segment.duration_us));
            // The wall clock follows the media clock exactly: no rounding adds up.
            assert_eq!(segment.start, START.plus_us(segments * 6_000_000));
            assert_eq!(segment.parts.len(), 2);
            for (at, part) in segment.parts.iter().enumerate() {
                let off = (part.decode_start - segment.anchor).0;
                assert!((0..frame).contains(&off), "{} begins {off} ticks after segment {segments}", part.track);
                assert_eq!(*ends[at].get_or_insert(part.decode_start), part.decode_start, "a seam in {}", part.track);
                ends[at] = Some(part.decode_start + part.table.duration());
                counts[at] += part.table.samples.len() as i64;
            }
            segments += 1;
        }
    }
    assert_eq!((segments, counts), (hours * 600, [pictures, sounds]));
}

#[test]
fn two_days_of_48_khz_stay_aligned() {
    check(48, 48_000);
}

#[test]
fn a_day_of_44_1_khz_stays_aligned() {
    check(24, 44_100);
}
