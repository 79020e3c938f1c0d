use super::super::boxes::{put_box, put_full, put32, put64};
use super::super::testing::{self, foreign_segment};
use super::super::{init_segment, read_init};
use super::*;

/// Words of a full box.
fn full(kind: &[u8; 4], version: u8, flags: u32, words: &[u32]) -> Vec<u8> {
    let mut out = Vec::new();
    put_full(&mut out, kind, version, flags, |out| words.iter().for_each(|&w| put32(out, w)));
    out
}

/// An init segment of ours made foreign: another timescale, and an edit list if asked for.
fn foreign_init(params: &TrackParams, timescale: u32, elst: Option<&[u32]>) -> Vec<u8> {
    let mut bytes = init_segment(params);
    let mdhd = bytes.windows(4).position(|w| w == b"mdhd").unwrap();
    bytes[mdhd + 16..mdhd + 20].copy_from_slice(&timescale.to_be_bytes());
    if let Some(words) = elst {
        let mut edts = Vec::new();
        put_box(&mut edts, b"edts", |out| out.extend(full(b"elst", 0, 0, words)));
        for parent in [b"moov", b"trak"] {
            let at = bytes.windows(4).position(|w| w == parent).unwrap() - 4;
            let size = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) + edts.len() as u32;
            bytes[at..at + 4].copy_from_slice(&size.to_be_bytes());
        }
        let mdia = bytes.windows(4).position(|w| w == b"mdia").unwrap() - 4;
        bytes.splice(mdia..mdia, edts);
    }
    bytes
}

fn traf(boxes: &[Vec<u8>]) -> Vec<u8> {
    boxes.concat()
}

/// `styp` 16, `moof` header 8, `mfhd` 16: where the payload begins in a foreign segment, from the `moof`.
fn payload_from_moof(trafs: &[Vec<u8>]) -> i32 {
    trafs.iter().map(|t| t.len() as i32 + 8).sum::<i32>() + 8 + 16 + 8
}

fn aac() -> TrackParams {
    testing::all_params().into_iter().find(|p| p.codec_string == "mp4a.40.2").unwrap()
}

/// DTS, PTS, duration, sync, bytes.
type Read<'a> = (i64, i64, Option<u32>, bool, &'a [u8]);

fn samples(events: &[MediaEvent]) -> Vec<Read<'_>> {
    let mut found = Vec::new();
    for event in events {
        if let MediaEvent::Sample(s) = event {
            found.push((s.dts.0, s.pts.0, s.duration, s.sync, s.data.as_ref()));
        }
    }
    found
}

/// A reader that knows `init`, and what `segment` made of it.
fn read(init: &[u8], segment: Vec<u8>) -> Vec<MediaEvent> {
    let mut reader = Fmp4Reader::new();
    let mut out = Vec::new();
    reader.push_init(init, &mut out).unwrap();
    reader.push_segment(&segment.into(), &mut out).unwrap();
    out
}

/// `tfhd` with duration and size for all samples, base at the `moof`.
fn tfhd(duration: u32, size: u32) -> Vec<u8> {
    full(b"tfhd", 0, 0x2_0018, &[1, duration, size])
}

fn tfdt(at: u32) -> Vec<u8> {
    full(b"tfdt", 0, 0, &[at])
}

#[test]
fn every_time_is_rounded_by_itself() {
    let run = |offset: i32| full(b"trun", 0, 0x1, &[4, offset as u32]);
    let parts = |offset| vec![traf(&[tfhd(1024, 2), tfdt(1024), run(offset)])];
    let segment = foreign_segment(&parts(payload_from_moof(&parts(0))), b"aabbccdd");
    let out = read(&foreign_init(&aac(), 44_100, None), segment);
    assert!(matches!(out[0], MediaEvent::Track { track: SourceTrack(1), ref params } if *params == aac()));
    // 1024 / 44100 s is 2089.8 ticks.
    assert_eq!(
        samples(&out),
        [
            (2090, 2090, Some(2090), true, b"aa".as_slice()),
            (4180, 4180, Some(2089), true, b"bb"),
            (6269, 6269, Some(2090), true, b"cc"),
            (8359, 8359, Some(2090), true, b"dd")
        ]
    );
}

#[test]
fn several_runs_flags_of_the_first_and_offsets_below_zero() {
    let build = |offset: i32| {
        let first = full(b"trun", 0, 0x5, &[2, offset as u32, 0x0200_0000]);
        let second = [2, (offset + 4) as u32, 1, 0x0200_0000, 0, 3, 0x0101_0000, -1i32 as u32];
        let second = full(b"trun", 1, 0xe01, &second);
        vec![traf(&[full(b"tfhd", 0, 0x2_0038, &[1, 1, 2, 0x0101_0000]), tfdt(10), first, second])]
    };
    let segment = foreign_segment(&build(payload_from_moof(&build(0))), b"aabbcddd");
    let out = read(&foreign_init(&testing::h264(), 25, None), segment);
    assert_eq!(
        samples(&out),
        [
            (36_000, 36_000, Some(3600), true, b"aa".as_slice()),
            (39_600, 39_600, Some(3600), false, b"bb"),
            (43_200, 43_200, Some(3600), true, b"c"),
            (46_800, 43_200, Some(3600), false, b"ddd")
        ]
    );
}

#[test]
fn an_edit_list_shifts_and_delays() {
    // An empty edit of a second (movie timescale 90000), then the media from 1024.
    let elst = [2, 90_000, u32::MAX, 0x0001_0000, 0, 1024, 0x0001_0000];
    let build = |offset: i32| vec![traf(&[tfhd(1024, 2), tfdt(0), full(b"trun", 0, 0x1, &[2, offset as u32])])];
    let segment = foreign_segment(&build(payload_from_moof(&build(0))), b"aabb");
    let out = read(&foreign_init(&aac(), 48_000, Some(&elst)), segment);
    assert_eq!(samples(&out).iter().map(|s| s.1).collect::<Vec<_>>(), [88_080, 90_000]);
}

#[test]
fn absolute_and_implied_bases() {
    for origin in [0u64, 1 << 33] {
        let build = |offset: u32| {
            let mut tfhd = Vec::new();
            put_full(&mut tfhd, b"tfhd", 0, 0x19, |out| {
                put32(out, 1);
                put64(out, origin + 16);
                put32(out, 1024);
                put32(out, 2);
            });
            vec![traf(&[tfhd, tfdt(0), full(b"trun", 0, 0x1, &[1, offset])])]
        };
        let segment = foreign_segment(&build(payload_from_moof(&build(0)) as u32), b"aa");
        assert_eq!(samples(&read(&foreign_init(&aac(), 48_000, None), segment)).len(), 1, "origin {origin}");
    }
    // No base at all: the first fragment counts from the moof, the next goes on where it ended.
    let build = |offset: i32| {
        let head = full(b"tfhd", 0, 0x18, &[1, 1024, 2]);
        let (first, second) = (full(b"trun", 0, 0x1, &[1, offset as u32]), full(b"trun", 0, 0, &[1]));
        vec![traf(&[head.clone(), tfdt(0), first]), traf(&[head, second])]
    };
    let segment = foreign_segment(&build(payload_from_moof(&build(0))), b"aabb");
    let out = read(&foreign_init(&aac(), 48_000, None), segment);
    assert_eq!(samples(&out).iter().map(|s| (s.0, s.4)).collect::<Vec<_>>(), [(0, b"aa".as_slice()), (1920, b"bb")]);
}

fn one_sample(at: Option<u32>) -> Bytes {
    let build = |offset: i32| {
        let mut boxes = vec![tfhd(1024, 2)];
        boxes.extend(at.map(tfdt));
        boxes.push(full(b"trun", 0, 0x1, &[1, offset as u32]));
        vec![traf(&boxes)]
    };
    foreign_segment(&build(payload_from_moof(&build(0))), b"aa").into()
}

#[test]
fn times_go_on_without_tfdt_and_over_the_wrap_of_a_short_one() {
    let mut reader = Fmp4Reader::new();
    let mut out = Vec::new();
    reader.push_init(&foreign_init(&aac(), 48_000, None), &mut out).unwrap();
    out.clear();
    for at in [Some(u32::MAX - 1023), None, Some(1024), Some(2048)] {
        reader.push_segment(&one_sample(at), &mut out).unwrap();
    }
    let times: Vec<i64> = samples(&out).iter().map(|s| s.0).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 1920), "{times:?}");
    reader.discontinuity();
    out.clear();
    reader.push_segment(&one_sample(None), &mut out).unwrap();
    assert_eq!(samples(&out)[0].0, 0);
}

#[test]
fn the_same_init_says_nothing_and_another_says_what_changed() {
    let mut reader = Fmp4Reader::new();
    let mut out = Vec::new();
    let audio = foreign_init(&aac(), 48_000, None);
    reader.push_init(&audio, &mut out).unwrap();
    assert_eq!(out.len(), 1);
    reader.push_init(&audio, &mut out).unwrap();
    assert_eq!(out.len(), 1);
    out.clear();
    reader.push_init(&init_segment(&testing::h264()), &mut out).unwrap();
    assert!(matches!(out.as_slice(), [MediaEvent::Track { params, .. }] if *params == testing::h264()));
    out.clear();
    let mut opus = aac();
    opus.sample_entry = testing::audio_entry(b"Opus", 2, 48_000, &[(b"dOps", &[0; 11])]);
    reader.push_init(&init_segment(&opus), &mut out).unwrap();
    assert!(
        matches!(out.as_slice(), [MediaEvent::TrackGone(SourceTrack(1)), MediaEvent::Uncarried(u)] if u.what == "Opus audio")
    );
    out.clear();
    reader.push_segment(&one_sample(Some(0)), &mut out).unwrap();
    assert_eq!(out, []);
}

#[test]
fn encrypted_samples_are_not_carried() {
    let mut out = Vec::new();
    let mut params = testing::h264();
    params.sample_entry = testing::video_entry(b"encv", 640, 360, &[(b"avcC", testing::AVCC)]);
    Fmp4Reader::new().push_init(&init_segment(&params), &mut out).unwrap();
    assert!(matches!(out.as_slice(), [MediaEvent::Uncarried(u)] if u.what == "encrypted video"));
    let build = |offset: i32| {
        vec![traf(&[tfhd(1, 2), tfdt(0), full(b"trun", 0, 0x1, &[1, offset as u32]), full(b"senc", 0, 0, &[0])])]
    };
    let segment = foreign_segment(&build(payload_from_moof(&build(0))), b"aa");
    let out = read(&foreign_init(&aac(), 48_000, None), segment);
    assert!(matches!(&out[1..], [MediaEvent::Uncarried(u)] if u.what == "encrypted samples"));
}

#[test]
fn a_cut_segment_gives_what_is_whole() {
    let build = |offset: i32| vec![traf(&[tfhd(1024, 2), tfdt(0), full(b"trun", 0, 0x1, &[4, offset as u32])])];
    let mut segment = foreign_segment(&build(payload_from_moof(&build(0))), b"aabbccdd");
    segment.truncate(segment.len() - 3);
    let out = read(&foreign_init(&aac(), 48_000, None), segment);
    assert_eq!(samples(&out).len(), 2);
    assert!(matches!(out.last(), Some(MediaEvent::Damage(_))));
}

#[test]
fn claims_of_endless_samples_are_refused() {
    let segment = |flags, count| {
        let parts = vec![traf(&[tfhd(1024, 0), tfdt(0), full(b"trun", 0, flags, &[count, 0])])];
        Bytes::from(foreign_segment(&parts, b"aa"))
    };
    let mut reader = Fmp4Reader::new();
    let mut out = Vec::new();
    reader.push_init(&foreign_init(&aac(), 48_000, None), &mut out).unwrap();
    for (flags, count) in [(0x1, u32::MAX), (0xf01, u32::MAX), (0xf01, 1), (0x1, MAX_SAMPLES_PER_SEGMENT + 1)] {
        assert!(reader.push_segment(&segment(flags, count), &mut out).is_err(), "{flags:#x} {count}");
    }
    assert_eq!(samples(&out), []);
}

#[test]
fn codec_strings_and_sizes() {
    let strings: Vec<String> = testing::all_params().into_iter().map(|p| p.codec_string).collect();
    let expected = [
        "avc1.640028",
        "avc3.640028",
        "hvc1.1.6.L93.90",
        "hev1.1.6.L93.90",
        "mp4v.61",
        "mp4a.40.2",
        "mp4a.6B",
        "mp4a.69",
        "ac-3",
        "ec-3",
    ];
    assert_eq!(strings, expected);
    let main10 = testing::hvcc(0x22, 0x2000_0000, [0xb0, 0, 0, 0, 0, 0], 153);
    let entry = testing::video_entry(b"hvc1", 1280, 720, &[(b"hvcC", &main10)]);
    assert_eq!(params_from_sample_entry(&entry, None).unwrap().codec_string, "hvc1.2.4.H153.B0");
    let sound =
        |entry: Vec<u8>| params_from_sample_entry(&entry, None).unwrap().audio.map(|a| (a.sample_rate, a.channels));
    let aac =
        |specific: &[u8]| testing::audio_entry(b"mp4a", 2, 48_000, &[(b"esds", &testing::esds(0x40, 5, specific))]);
    assert_eq!(sound(aac(&[0x11, 0xb0])), Some((48_000, 6)));
    // SBR said in front: 24 kHz inside, 48 kHz heard.
    assert_eq!(sound(aac(&[0x2b, 0x11, 0x88, 0x00])), Some((48_000, 2)));
    // 0b00_01000_000 111 1 01111: 48 kHz, 3/2 and LFE.
    assert_eq!(sound(testing::audio_entry(b"ac-3", 2, 48_000, &[(b"dac3", &[0x10, 0x3d, 0xe0])])), Some((48_000, 6)));
    // One dependent substream with Lrs/Rrs: 7.1.
    let dec3 = [0x0c, 0x00, 0x20, 0x0f, 0x02, 0x02];
    assert_eq!(sound(testing::audio_entry(b"ec-3", 2, 48_000, &[(b"dec3", &dec3)])), Some((48_000, 8)));
    // Object type 34 (escaped): MP3 as MPEG-4 numbers it.
    let mp3 = testing::audio_entry(b"mp4a", 2, 48_000, &[(b"esds", &testing::esds(0x40, 5, &[0xf8, 0x46, 0x40]))]);
    let mp3 = params_from_sample_entry(&mp3, None).unwrap();
    assert_eq!((mp3.codec, mp3.codec_string.as_str()), (crate::media::Codec::MpegAudio, "mp4a.40.34"));
    assert_eq!(mp3.audio.map(|a| (a.sample_rate, a.channels)), Some((48_000, 2)));
    let mut short_lengths = testing::AVCC.to_vec();
    short_lengths[4] = 0xfd;
    let entry = testing::video_entry(b"avc1", 640, 360, &[(b"avcC", &short_lengths)]);
    assert!(matches!(params_from_sample_entry(&entry, None), Err(CmafError::Unsupported(_))));
}

#[test]
fn damaged_input_neither_panics_nor_grows() {
    let mut trafs = Vec::new();
    let build = |offset: i32| {
        vec![
            traf(&[tfhd(1024, 2), tfdt(7), full(b"trun", 0, 0x1, &[2, offset as u32])]),
            traf(&[tfhd(1024, 1), full(b"trun", 1, 0xf01, &[1, (offset + 4) as u32, 9, 4, 0, 0])]),
        ]
    };
    trafs.extend(build(payload_from_moof(&build(0))));
    let segment = foreign_segment(&trafs, b"aabbcccc");
    let init = foreign_init(&aac(), 44_100, Some(&[1, 0, 1024, 0x0001_0000]));
    let mut most = 0;
    testing::mutations(&segment, 20_000, |bytes| {
        let mut reader = Fmp4Reader::new();
        let mut out = Vec::new();
        reader.push_init(&init, &mut out).unwrap();
        let _ = reader.push_segment(&Bytes::copy_from_slice(bytes), &mut out);
        let _ = reader.push_segment(&Bytes::copy_from_slice(&segment), &mut out);
        most = most.max(out.len());
    });
    // No sample without a byte of its own; a word or two of damage for each fragment.
    assert!(most <= 3 * segment.len(), "{most} events");
    testing::mutations(&init, 20_000, |bytes| {
        let mut reader = Fmp4Reader::new();
        let mut out = Vec::new();
        let _ = read_init(bytes);
        let _ = reader.push_init(bytes, &mut out);
        let _ = reader.push_segment(&Bytes::copy_from_slice(&segment), &mut out);
    });
}

#[test]
fn a_base_behind_the_moof_counts_from_the_segment() {
    let build = |base: u64| {
        let mut tfhd = Vec::new();
        put_full(&mut tfhd, b"tfhd", 0, 0x19, |out| {
            put32(out, 1);
            put64(out, base);
            put32(out, 1024);
            put32(out, 2);
        });
        vec![traf(&[tfhd, tfdt(0), full(b"trun", 0, 0, &[2])])]
    };
    let segment = foreign_segment(&build(16 + payload_from_moof(&build(0)) as u64), b"aabb");
    let out = read(&foreign_init(&aac(), 48_000, None), segment);
    assert_eq!(samples(&out).iter().map(|s| s.4).collect::<Vec<_>>(), [b"aa", b"bb"]);
}

#[test]
fn runs_that_share_their_bytes_do_not_multiply_samples() {
    let build = |offset: i32| {
        let mut boxes = vec![tfhd(1, 1), tfdt(0)];
        boxes.extend((0..1000).map(|_| full(b"trun", 0, 0x1, &[400, offset as u32])));
        vec![traf(&boxes)]
    };
    let segment = foreign_segment(&build(payload_from_moof(&build(0))), &[7; 400]);
    let bytes = segment.len();
    let out = read(&foreign_init(&aac(), 48_000, None), segment);
    assert!(samples(&out).len() <= bytes, "{} samples of {bytes} bytes", samples(&out).len());
    assert!(matches!(out.last(), Some(MediaEvent::Damage(_))));
}
