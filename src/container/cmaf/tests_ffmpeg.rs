//! Against ffmpeg: its fragmented MP4 in, our object out, and ffprobe finds the same packets in both.

use super::boxes::Boxes;
use super::{Fmp4Reader, PartInput, init_segment, read_init, read_segment, write_segment};
use crate::container::{MediaEvent, SourceTrack};
use crate::media::segment::SegmentId;
use crate::media::track::TrackParams;
use crate::media::{InitHash, RunId, Sample, SampleTable, StreamName, Ticks, TrackId, TrackKind, UtcUs};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Moves every time, so that edit lists push none below 0: what a recorder does at the start of a run.
const BIAS: i64 = 900_000;

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|e| panic!("{program}: {e}; install ffmpeg (apt-get install ffmpeg)"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{program} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// PTS and DTS in ticks, size, whether it is a sync sample.
type Packet = (i64, i64, u32, bool);

/// Packets of each stream of a file.
fn packets(file: &Path) -> Vec<Vec<Packet>> {
    let file = file.to_str().unwrap();
    let probe = |entries| run("ffprobe", &["-v", "error", "-show_entries", entries, "-of", "compact=p=0:nk=0", file]);
    let field = |line: &str, name: &str| -> Option<String> {
        line.split('|').find_map(|f| f.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
    };
    let scale = |line: &str| field(line, "time_base").unwrap().strip_prefix("1/").unwrap().parse::<u32>().unwrap();
    let scales: Vec<u32> = probe("stream=time_base").lines().filter(|l| !l.is_empty()).map(scale).collect();
    let mut streams = vec![Vec::new(); scales.len()];
    for line in probe("packet=stream_index,pts,dts,size,flags").lines() {
        let Some(stream) = field(line, "stream_index") else { continue };
        let stream: usize = stream.parse().unwrap();
        let number = |name| field(line, name).unwrap().parse::<i64>().unwrap();
        let ticks = |name| Ticks::rescale(number(name), scales[stream]).0;
        let sync = field(line, "flags").unwrap().starts_with('K');
        streams[stream].push((ticks("pts"), ticks("dts"), number("size") as u32, sync));
    }
    streams
}

/// What ffprobe says, moved by `by`. It shows a stream with composition offsets below zero later by the lowest of
/// them, which ISO/IEC 14496-12 does not.
fn without_quirk(packets: &[Packet], table: &SampleTable, by: i64) -> Vec<Packet> {
    let lowest = table.samples.iter().map(|s| i64::from(s.composition_offset)).min().unwrap_or(0).min(0);
    packets.iter().map(|&(pts, dts, size, sync)| (pts + lowest + by, dts + by, size, sync)).collect()
}

#[derive(Default)]
struct Collected {
    params: Option<TrackParams>,
    decode_start: Option<Ticks>,
    table: SampleTable,
    payload: Vec<Bytes>,
    packets: Vec<Packet>,
}

/// Reads a fragmented file in two pushes, init and rest.
fn collect(file: &Path) -> BTreeMap<SourceTrack, Collected> {
    let bytes = Bytes::from(std::fs::read(file).unwrap());
    let moov = Boxes::top_level(&bytes).map(Result::unwrap).find(|b| b.kind == *b"moov").unwrap();
    let init_end = moov.offset + moov.whole.len();
    let mut reader = Fmp4Reader::new();
    let mut events = Vec::new();
    reader.push_init(&bytes[..init_end], &mut events).unwrap();
    reader.push_segment(&bytes.slice(init_end..), &mut events).unwrap();
    let mut tracks = BTreeMap::<SourceTrack, Collected>::new();
    for event in events {
        match event {
            MediaEvent::Track { track, params } => tracks.entry(track).or_default().params = Some(params),
            MediaEvent::Sample(sample) => {
                let track = tracks.get_mut(&sample.track).unwrap();
                track.decode_start.get_or_insert(sample.dts);
                track.packets.push((sample.pts.0, sample.dts.0, sample.data.len() as u32, sample.sync));
                track.table.samples.push(Sample {
                    size: sample.data.len() as u32,
                    duration: sample.duration.unwrap_or_default(),
                    composition_offset: (sample.pts - sample.dts).0 as i32,
                    sync: sample.sync,
                });
                track.payload.push(sample.data);
            }
            other => panic!("{other:?}"),
        }
    }
    tracks
}

/// The whole way: ffmpeg's file, our reader, our object, each part behind its init segment, ffprobe and ffmpeg.
fn whole_way(inputs: &[&str], output: &[&str]) -> Vec<TrackParams> {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source.mp4");
    let mut arguments = vec!["-v", "error", "-nostdin", "-y", "-fflags", "+bitexact"];
    arguments.extend(inputs);
    arguments.extend(output);
    arguments.extend(["-t", "2", source.to_str().unwrap()]);
    run("ffmpeg", &arguments);

    let expected = packets(&source);
    let tracks = collect(&source);
    assert_eq!(tracks.len(), expected.len());
    let mut numbers = BTreeMap::new();
    let mut parts = Vec::new();
    let mut inits = Vec::new();
    let mut all_params = Vec::new();
    for (track, expected) in tracks.values().zip(&expected) {
        let expected = without_quirk(expected, &track.table, 0);
        assert_eq!(track.packets, expected);
        let params = track.params.clone().unwrap();
        let kind = params.kind();
        let number: &mut u8 = numbers.entry(kind).or_default();
        *number += 1;
        let init = init_segment(&params);
        assert_eq!(read_init(&init).unwrap(), params);
        parts.push(PartInput {
            track: TrackId { kind, number: *number },
            init: InitHash::of(&init),
            decode_start: track.decode_start.unwrap() + Ticks(BIAS),
            table: &track.table,
            payload: &track.payload,
        });
        inits.push(init);
        all_params.push(params);
    }
    let id = SegmentId {
        stream: StreamName::parse("test").unwrap(),
        run: RunId(1),
        epoch: 1,
        sequence: 1,
        start: UtcUs::from_seconds(1_700_000_000),
        duration_us: 2_000_000,
    };
    let (object, segment) = write_segment(&id, 0, Ticks(BIAS), false, &parts).unwrap();
    let read = read_segment(&segment.object, &object).unwrap();
    assert_eq!(read.segment, segment);

    for (((part, table), init), track) in segment.tracks.iter().zip(&read.tables).zip(&inits).zip(tracks.values()) {
        let file = dir.path().join(format!("{}.mp4", part.track));
        let range = &object[part.offset as usize..(part.offset + part.length) as usize];
        std::fs::write(&file, [init, range].concat()).unwrap();
        let [found] = packets(&file).try_into().unwrap();
        assert_eq!(without_quirk(&found, table, -BIAS), track.packets, "{}", part.track);
        let file = file.to_str().unwrap();
        assert_eq!(run("ffmpeg", &["-v", "error", "-nostdin", "-xerror", "-i", file, "-f", "null", "-"]), "");
    }
    all_params
}

const PICTURES: [&str; 4] = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"];
const SOUND: [&str; 4] = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"];
const OTHER_SOUND: [&str; 4] = ["-f", "lavfi", "-i", "sine=frequency=880:sample_rate=44100"];

#[test]
fn h264_with_b_frames_and_two_languages_of_aac() {
    let inputs = [PICTURES, SOUND, OTHER_SOUND].concat();
    let params = whole_way(
        &inputs,
        &[
            "-map",
            "0",
            "-map",
            "1",
            "-map",
            "2",
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-g",
            "25",
            "-bf",
            "2",
            "-c:a",
            "aac",
            "-metadata:s:a:0",
            "language=eng",
            "-metadata:s:a:1",
            "language=deu",
            "-movflags",
            "+frag_keyframe+empty_moov+default_base_moof",
        ],
    );
    let told: Vec<_> = params.iter().map(|p| (p.kind(), p.language.as_deref())).collect();
    assert_eq!(told, [(TrackKind::Video, None), (TrackKind::Audio, Some("eng")), (TrackKind::Audio, Some("deu"))]);
    assert_eq!(params[2].audio.map(|a| (a.sample_rate, a.channels)), Some((44_100, 1)));
    assert_eq!(params[0].video.map(|v| (v.width, v.height)), Some((320, 180)));
}

#[test]
fn hevc_and_aac_with_offsets_below_zero() {
    let inputs = [PICTURES, SOUND].concat();
    let params = whole_way(
        &inputs,
        &[
            "-map",
            "0",
            "-map",
            "1",
            "-c:v",
            "libx265",
            "-preset",
            "ultrafast",
            "-x265-params",
            "log-level=none:bframes=2",
            "-tag:v",
            "hvc1",
            "-g",
            "25",
            "-c:a",
            "aac",
            "-movflags",
            "+cmaf+frag_keyframe+delay_moov",
        ],
    );
    assert!(params[0].codec_string.starts_with("hvc1.1.6.L"), "{}", params[0].codec_string);
    assert_eq!(params[1].codec_string, "mp4a.40.2");
}

#[test]
fn edit_lists_absolute_offsets_and_the_older_codecs() {
    let inputs = [PICTURES, SOUND, SOUND, SOUND].concat();
    let params = whole_way(
        &inputs,
        &[
            "-map",
            "0",
            "-map",
            "1",
            "-map",
            "2",
            "-map",
            "3",
            "-c:v",
            "mpeg2video",
            "-g",
            "12",
            "-bf",
            "2",
            "-ac",
            "2",
            "-c:a:0",
            "ac3",
            "-c:a:1",
            "eac3",
            "-c:a:2",
            "mp2",
            "-movflags",
            "+frag_keyframe+delay_moov",
        ],
    );
    let strings: Vec<&str> = params.iter().map(|p| p.codec_string.as_str()).collect();
    assert_eq!(strings, ["mp4v.61", "ac-3", "ec-3", "mp4a.6B"]);
}
