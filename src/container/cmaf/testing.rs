//! Helpers of the tests: sample entries, a readable box tree, seeded damage, ffmpeg.

use super::boxes::{Boxes, put_box, put_full, put_zeros, put16, put32};
use super::{HEADER_UUID, PartInput, params_from_sample_entry, write_segment};
use crate::media::segment::SegmentId;
use crate::media::track::TrackParams;
use crate::media::{InitHash, RunId, Sample, SampleTable, Segment, StreamName, Ticks, TrackId, UtcUs};
use bytes::Bytes;
use std::fmt::Write;

/// High profile, level 4.0, 4-byte lengths, tiny parameter sets that nobody decodes.
pub(super) const AVCC: &[u8] = &[1, 0x64, 0, 0x28, 0xff, 0xe1, 0, 2, 0x67, 0x64, 1, 0, 1, 0x68];

/// A visual sample entry with the given boxes inside.
pub(super) fn video_entry(kind: &[u8; 4], width: u16, height: u16, inside: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    put_box(&mut out, kind, |out| {
        put_zeros(out, 6);
        put16(out, 1);
        put_zeros(out, 16);
        put16(out, width);
        put16(out, height);
        put32(out, 0x0048_0000);
        put32(out, 0x0048_0000);
        put_zeros(out, 4);
        put16(out, 1);
        put_zeros(out, 32);
        put16(out, 24);
        put16(out, 0xffff);
        inside.iter().for_each(|(kind, body)| put_box(out, kind, |out| out.extend_from_slice(body)));
    });
    out
}

/// An audio sample entry with the given boxes inside.
pub(super) fn audio_entry(kind: &[u8; 4], channels: u16, rate: u16, inside: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    put_box(&mut out, kind, |out| {
        put_zeros(out, 6);
        put16(out, 1);
        put_zeros(out, 8);
        put16(out, channels);
        put16(out, 16);
        put_zeros(out, 4);
        put32(out, u32::from(rate) << 16);
        inside.iter().for_each(|(kind, body)| put_box(out, kind, |out| out.extend_from_slice(body)));
    });
    out
}

/// Body of an `esds` box.
pub(super) fn esds(object_type: u8, stream_type: u8, specific: &[u8]) -> Vec<u8> {
    let mut decoder = vec![object_type, stream_type << 2 | 1];
    put_zeros(&mut decoder, 11);
    if !specific.is_empty() {
        decoder.extend([5, specific.len() as u8]);
        decoder.extend_from_slice(specific);
    }
    let mut out = vec![0, 0, 0, 0, 3, (3 + 2 + decoder.len() + 3) as u8, 0, 1, 0, 4, decoder.len() as u8];
    out.extend(decoder);
    out.extend([6, 1, 2]);
    out
}

fn params(entry: &[u8], language: Option<&str>) -> TrackParams {
    params_from_sample_entry(entry, language.map(str::to_owned)).unwrap()
}

pub(super) fn h264() -> TrackParams {
    params(&video_entry(b"avc1", 1920, 1080, &[(b"avcC", AVCC)]), None)
}

pub(super) fn hvcc(profile_byte: u8, compatibility: u32, constraints: [u8; 6], level: u8) -> Vec<u8> {
    let mut out = vec![1, profile_byte];
    put32(&mut out, compatibility);
    out.extend(constraints);
    out.push(level);
    out.extend([0xf0, 0, 0xfc, 0xfd, 0xf8, 0xf8, 0, 0, 0x0f, 0]);
    out
}

/// One of every kind that is carried.
pub(super) fn all_params() -> Vec<TrackParams> {
    let hvcc = hvcc(1, 0x6000_0000, [0x90, 0, 0, 0, 0, 0], 93);
    let stereo = |kind, inside: &[(&[u8; 4], &[u8])]| audio_entry(kind, 2, 48_000, inside);
    vec![
        h264(),
        params(&video_entry(b"avc3", 720, 576, &[(b"avcC", AVCC)]), Some("eng")),
        params(&video_entry(b"hvc1", 3840, 2160, &[(b"hvcC", &hvcc)]), None),
        params(&video_entry(b"hev1", 3840, 2160, &[(b"hvcC", &hvcc)]), None),
        params(&video_entry(b"mp4v", 704, 576, &[(b"esds", &esds(0x61, 4, &[0, 0, 1, 0xb3]))]), None),
        params(&stereo(b"mp4a", &[(b"esds", &esds(0x40, 5, &[0x11, 0x90]))]), Some("deu")),
        params(&stereo(b"mp4a", &[(b"esds", &esds(0x6b, 5, &[]))]), Some("fra")),
        params(&stereo(b"mp4a", &[(b"esds", &esds(0x69, 5, &[]))]), None),
        params(&stereo(b"ac-3", &[(b"dac3", &[0x10, 0x3d, 0xe0])]), Some("eng")),
        params(&stereo(b"ec-3", &[(b"dec3", &[0x07, 0xc0, 0x20, 0x0f, 0x00])]), Some("eng")),
    ]
}

/// The tree of boxes with the bytes of those that have no children.
pub(super) fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    dump_into(bytes, 0, &mut text);
    text
}

fn dump_into(bytes: &[u8], depth: usize, text: &mut String) {
    for found in Boxes::children(bytes) {
        let found = found.unwrap();
        let kind = String::from_utf8_lossy(&found.kind);
        write!(text, "{:indent$}{kind} {}", "", found.whole.len(), indent = depth * 2).unwrap();
        let inner = match &found.kind {
            b"moov" | b"trak" | b"mdia" | b"minf" | b"dinf" | b"stbl" | b"mvex" | b"moof" | b"traf" | b"edts" => {
                Some(0)
            }
            b"stsd" | b"dref" => Some(8),
            b"avc1" => Some(78),
            _ => None,
        };
        match inner {
            Some(skip) => {
                text.push('\n');
                dump_into(&found.body[skip..], depth + 1, text);
            }
            None if found.body.starts_with(&HEADER_UUID) => {
                writeln!(text, " {} {}", hex::encode(&found.body[..16]), String::from_utf8_lossy(&found.body[16..]))
                    .unwrap();
            }
            None => {
                let words: Vec<String> = found.body.chunks(4).map(hex::encode).collect();
                writeln!(text, " {}", words.join(" ")).unwrap();
            }
        }
    }
}

/// Calls `check` with `rounds` differently damaged copies of `good`, the same ones every time.
pub(super) fn mutations(good: &[u8], rounds: u32, mut check: impl FnMut(&[u8])) {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize % below.max(1)
    };
    for _ in 0..rounds {
        let mut bytes = good.to_vec();
        for _ in 0..1 + random(4) {
            let at = random(bytes.len());
            match random(6) {
                0 => bytes[at] = random(256) as u8,
                1 => bytes[at] ^= 1 << random(8),
                2 => bytes.truncate(at.max(1)),
                3 => {
                    let word: u32 = [0, 1, 7, 8, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff][random(7)];
                    let end = (at + 4).min(bytes.len());
                    bytes[at..end].copy_from_slice(&word.to_be_bytes()[..end - at]);
                }
                4 => {
                    let end = (at + random(64)).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    let to = random(bytes.len());
                    bytes.splice(to..to, piece);
                }
                _ => {
                    let end = (at + 1 + random(16)).min(bytes.len());
                    if bytes.len() > end - at {
                        bytes.drain(at..end);
                    }
                }
            }
        }
        check(&bytes);
    }
}

/// A fragmented file of one `moof` as a foreign packager may write it: body of `traf` and payload given.
pub(super) fn foreign_segment(trafs: &[Vec<u8>], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_box(&mut out, b"styp", |out| out.extend_from_slice(b"msdh\0\0\0\0"));
    put_box(&mut out, b"moof", |out| {
        put_full(out, b"mfhd", 0, 0, |out| put32(out, 1));
        trafs.iter().for_each(|traf| put_box(out, b"traf", |out| out.extend_from_slice(traf)));
    });
    put_box(&mut out, b"mdat", |out| out.extend_from_slice(payload));
    out
}

/// A segment of three pictures and two sound frames: object, row, tables.
pub(super) fn small_segment() -> (Vec<u8>, Segment, Vec<SampleTable>) {
    let id = SegmentId {
        stream: StreamName::parse("sport/uhd-1").unwrap(),
        run: RunId(0x0192_0000_0000_7000_8000_0000_0000_00ff),
        epoch: 3,
        sequence: 41,
        start: UtcUs(1_409_148_900_500_000),
        duration_us: 120_000,
    };
    let sample = |size, composition_offset, sync| Sample { size, duration: 3600, composition_offset, sync };
    let video = SampleTable { samples: vec![sample(5, 3600, true), sample(3, 7200, false), sample(2, -3600, false)] };
    let audio = SampleTable { samples: vec![Sample { size: 4, duration: 1920, composition_offset: 0, sync: true }; 2] };
    let parts = [
        PartInput {
            track: TrackId::video(1),
            init: InitHash::of(b"v"),
            decode_start: Ticks(900_000),
            table: &video,
            payload: &[Bytes::from_static(b"VVVV"), Bytes::from_static(b"Vvvvvv")],
        },
        PartInput {
            track: TrackId::audio(2),
            init: InitHash::of(b"a"),
            decode_start: Ticks(901_000),
            table: &audio,
            payload: &[Bytes::from_static(b"AAAAaaaa")],
        },
    ];
    let (object, segment) = write_segment(&id, 2, Ticks(903_600), false, &parts).unwrap();
    (object, segment, vec![video, audio])
}
