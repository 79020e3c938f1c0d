//! A real encoder's output, recorded in memory, exported, and judged by ffprobe and a decoder.

use super::parsed::header;
use super::synthetic::*;
use crate::media::*;
use mp4_atom::{Atom, Decode, Header, Moof, Moov, ReadFrom};
use std::path::Path;
use std::process::Command;

fn tool(name: &str, arguments: &[&str]) -> String {
    let done = Command::new(name).args(arguments).output();
    let done = done.unwrap_or_else(|e| panic!("{name} cannot be run ({e}): install ffmpeg"));
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && errors.is_empty(), "{name} {arguments:?}: {errors}");
    String::from_utf8(done.stdout).unwrap()
}

/// The content of the first box found by descending along `path`.
fn descend<'a>(mut bytes: &'a [u8], path: &[&[u8; 4]]) -> &'a [u8] {
    for name in path {
        loop {
            let (found, head, size) = header(bytes);
            if &found == *name {
                bytes = &bytes[head as usize..size as usize];
                break;
            }
            bytes = &bytes[size as usize..];
        }
    }
    bytes
}

struct Raw {
    dts: i64,
    sample: Sample,
    data: Vec<u8>,
}

/// All samples of both tracks, and their sample entries, from a fragmented file.
fn read(file: &[u8]) -> ([Vec<u8>; 2], [Vec<Raw>; 2]) {
    let mut tracks = [Vec::new(), Vec::new()];
    let mut entries = [Vec::new(), Vec::new()];
    let mut scales = [0; 2];
    let mut at = 0;
    while at < file.len() {
        let (name, head, size) = header(&file[at..]);
        let whole = &file[at..at + size as usize];
        match &name {
            b"moov" => {
                let moov = Moov::decode(&mut &whole[..]).unwrap();
                let mut rest = &whole[head as usize..];
                let mut index = 0;
                while !rest.is_empty() {
                    let (name, head, size) = header(rest);
                    if &name == b"trak" {
                        let inside = &rest[head as usize..size as usize];
                        let stsd = descend(inside, &[b"mdia", b"minf", b"stbl", b"stsd"]);
                        entries[index] = stsd[8..8 + header(&stsd[8..]).2 as usize].to_vec();
                        scales[index] = moov.trak[index].mdia.mdhd.timescale;
                        index += 1;
                    }
                    rest = &rest[size as usize..];
                }
            }
            b"moof" => {
                let mut cursor = whole;
                let header = Header::read_from(&mut cursor).unwrap();
                assert_eq!(header.kind, Moof::KIND);
                let moof = Moof::decode_body(&mut cursor).unwrap();
                for traf in &moof.traf {
                    let index = traf.tfhd.track_id as usize - 1;
                    let scale = |v: i64| Ticks::rescale(v, scales[index]).0;
                    let mut dts = traf.tfdt.as_ref().unwrap().base_media_decode_time as i64;
                    for trun in &traf.trun {
                        let mut data_at = at + trun.data_offset.unwrap() as usize;
                        for (n, entry) in trun.samples.iter().enumerate() {
                            let size = entry.size.or(traf.tfhd.default_sample_size).unwrap();
                            let duration = entry.duration.or(traf.tfhd.default_sample_duration).unwrap();
                            let flags = entry.flags.or(traf.tfhd.default_sample_flags).unwrap();
                            let sample = Sample {
                                size,
                                duration: scale(i64::from(duration)) as u32,
                                composition_offset: scale(entry.cts.unwrap_or(0)) as i32,
                                sync: if index == 0 { n == 0 } else { flags & 0x1_0000 == 0 },
                            };
                            let data = file[data_at..data_at + size as usize].to_vec();
                            data_at += size as usize;
                            tracks[index].push(Raw { dts: scale(dts), sample, data });
                            dts += i64::from(duration);
                        }
                    }
                }
            }
            _ => {}
        }
        at += size as usize;
    }
    (entries, tracks)
}

/// One segment per group of pictures; sound is cut where the pictures are.
fn record(entries: [Vec<u8>; 2], tracks: [Vec<Raw>; 2]) -> Recording {
    let mut recording = Recording::new();
    let mut inits = [video_init(320), audio_init()];
    for (init, entry) in inits.iter_mut().zip(entries) {
        init.params.sample_entry = entry;
    }
    let pts = |r: &Raw| r.dts + i64::from(r.sample.composition_offset);
    let [video, audio] = &tracks;
    let cuts: Vec<usize> = (0..video.len()).filter(|&n| video[n].sample.sync).collect();
    let first = pts(&video[0]);
    for (k, &cut) in cuts.iter().enumerate() {
        let end = cuts.get(k + 1).copied().unwrap_or(video.len());
        let anchor = pts(&video[cut]);
        let last = video[end - 1].dts + i64::from(video[end - 1].sample.duration);
        let until = cuts.get(k + 1).map_or(last + anchor - video[cut].dts, |&n| pts(&video[n]));
        let from = if k == 0 { i64::MIN } else { anchor };
        let sound: Vec<&Raw> = audio.iter().filter(|r| (from..until).contains(&r.dts)).collect();
        let part = |track, init: usize, raws: Vec<&Raw>| PartIn {
            track,
            init: inits[init].hash,
            decode_start: raws[0].dts,
            samples: raws.iter().map(|r| (r.sample, r.data.clone())).collect(),
        };
        let parts = vec![part(V, 0, video[cut..end].iter().collect()), part(A, 1, sound)];
        let start = T0 + Ticks(anchor - first).to_us();
        recording.segment(7, start, Ticks(until - anchor).to_us(), anchor, parts);
    }
    recording.inits = inits.to_vec();
    recording
}

fn packets(file: &Path, stream: &str) -> Vec<String> {
    let file = file.to_str().unwrap();
    let listed = tool(
        "ffprobe",
        &[
            "-v",
            "error",
            "-ignore_editlist",
            "1",
            "-select_streams",
            stream,
            "-show_data_hash",
            "MD5",
            "-show_entries",
            "packet=data_hash",
            "-of",
            "csv=p=0",
            file,
        ],
    );
    listed.lines().map(|l| l.trim_end_matches(',').to_owned()).collect()
}

/// Hash of each decoded picture, with its time in milliseconds.
fn pictures(file: &Path) -> Vec<(i64, String)> {
    let file = file.to_str().unwrap();
    let listed = tool(
        "ffmpeg",
        &[
            "-v",
            "error",
            "-i",
            file,
            "-map",
            "0:v",
            "-vsync",
            "passthrough",
            "-enc_time_base",
            "1/1000",
            "-f",
            "framemd5",
            "-",
        ],
    );
    let lines = listed.lines().filter(|l| !l.starts_with('#'));
    lines
        .map(|l| {
            let fields: Vec<&str> = l.split(',').map(str::trim).collect();
            (fields[2].parse().unwrap(), fields[5].to_owned())
        })
        .collect()
}

#[test]
fn an_encoded_programme_is_exported_packet_by_packet() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source.mp4");
    tool(
        "ffmpeg",
        &[
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=320x180:rate=25:duration=10",
            "-f",
            "lavfi",
            "-i",
            "sine=frequency=440:sample_rate=48000:duration=10",
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-bf",
            "2",
            "-g",
            "50",
            "-keyint_min",
            "50",
            "-sc_threshold",
            "0",
            "-pix_fmt",
            "yuv420p",
            "-c:a",
            "aac",
            "-video_track_timescale",
            "90000",
            "-movflags",
            "+frag_keyframe+empty_moov+default_base_moof",
            "-f",
            "mp4",
            source.to_str().unwrap(),
        ],
    );
    let (entries, tracks) = read(&std::fs::read(&source).unwrap());
    let recording = record(entries, tracks);
    assert_eq!(recording.segments.len(), 5);

    // The whole: every packet of the source.
    let whole = window(0, 10_000_000);
    let out = folder.path().join("whole.mp4");
    std::fs::write(&out, recording.file(&recording.plan(whole, None).unwrap())).unwrap();
    let video = packets(&out, "v:0");
    assert_eq!(video.len(), 250);
    assert_eq!(video, packets(&source, "v:0"));
    let (ours, theirs) = (packets(&out, "a:0"), packets(&source, "a:0"));
    // The source's sound begins before and ends after its pictures by less than two frames each.
    let at = theirs.iter().position(|p| *p == ours[0]).unwrap();
    assert!(at <= 2 && at + ours.len() + 2 >= theirs.len(), "{at} {} {}", ours.len(), theirs.len());
    assert_eq!(ours[..], theirs[at..at + ours.len()]);

    // A part: decodes without a word, lasts exactly as long as asked, shows exactly the pictures asked for.
    let all = pictures(&source);
    let zero = all[0].0;
    for (from, to) in [(3_320_000, 8_320_000), (2_000_000, 4_000_000), (5_960_000, 6_040_000)] {
        let plan = recording.plan(window(from, to), None).unwrap();
        let out = folder.path().join("part.mp4");
        std::fs::write(&out, recording.file(&plan)).unwrap();
        let path = out.to_str().unwrap();
        tool("ffmpeg", &["-v", "error", "-i", path, "-f", "null", "-"]);
        let duration = tool("ffprobe", &["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", path]);
        let length_us = to - from;
        assert_eq!(duration.trim(), format!("{}.{:06}", length_us / 1_000_000, length_us % 1_000_000));
        let wanted: Vec<(i64, String)> = all
            .iter()
            .map(|(t, hash)| (t - zero, hash.clone()))
            .filter(|(t, _)| (from / 1000..to / 1000).contains(t))
            .map(|(t, hash)| (t - from / 1000, hash))
            .collect();
        assert_eq!(pictures(&out), wanted, "{from} to {to}");
    }
}
