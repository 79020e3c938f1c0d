//! Broadcast captures, recorded: through the library's pipeline, and by the program as a black box. What was recorded is
//! compared with what ffprobe and ffmpeg read from the capture itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common_captures;
#[allow(dead_code)]
#[path = "e2e/node.rs"]
mod node;

use common_captures::pipeline::{self, Packet, Recording, Stored};
use common_captures::probe::{self, WRAP};
use evertape::media::TrackId;
use std::path::Path;
use std::time::{Duration, Instant};

struct Capture {
    name: &'static str,
    /// As ffprobe names them in MP4: any MPEG audio is `mp3` there, what ffmpeg itself writes too.
    codecs: [&'static str; 2],
    /// Formats of ffmpeg for the elementary streams.
    formats: [&'static str; 2],
    /// Pictures and sounds at the end that the capture cuts off.
    cut_off: [usize; 2],
    /// Packets are missing: which complaints a decoder has depends on where it begins.
    has_holes: bool,
    /// What is not recorded, as the recorder calls it.
    uncarried: &'static [&'static str],
}

const PROGRESSIVE: Capture = Capture {
    name: "h264-progressive-mp2.ts",
    codecs: ["h264", "mp3"],
    formats: ["h264", "mp2"],
    cut_off: [0, 0],
    has_holes: false,
    uncarried: &[],
};
/// Packets of the video are missing in 16 places, of the sound in 13: see [`broadcast_with_holes_is_kept_nearly_whole`].
const BROADCAST: Capture = Capture {
    name: "h264-broadcast-eac3-dvbsub.ts",
    codecs: ["h264", "eac3"],
    formats: ["h264", "eac3"],
    cut_off: [0, 0],
    has_holes: true,
    uncarried: &["DVB subtitles"],
};
const INTERLACED: Capture = Capture {
    name: "h264-interlaced-ac3.ts",
    codecs: ["h264", "ac3"],
    formats: ["h264", "ac3"],
    cut_off: [0, 1],
    has_holes: false,
    uncarried: &["DVB subtitles"],
};
const MPEG2: Capture = Capture {
    name: "mpeg2video-mp2.ts",
    codecs: ["mpeg2video", "mp3"],
    formats: ["mpeg2video", "mp2"],
    cut_off: [0, 1],
    has_holes: false,
    uncarried: &[],
};

const VIDEO: TrackId = TrackId::video(1);
const AUDIO: TrackId = TrackId::audio(1);

/// The packets of the capture that belong into a recording that begins at the picture `first`: neither pictures nor
/// sound of the time before it, nor what the capture cuts off at its end.
fn expected(path: &Path, kind: &str, first: i64, cut_off: usize) -> Vec<Packet> {
    let mut packets = probe::packets(path, kind);
    packets.truncate(packets.len() - cut_off);
    let from = packets.iter().position(|p| if kind == "v" { p.pts == first } else { p.pts >= first });
    assert!(from.is_some() || kind == "a", "{} has no picture with PTS {first}", path.display());
    packets.drain(..from.unwrap_or(packets.len()));
    packets.retain(|p| p.pts >= first);
    packets
}

fn recorded(samples: &[Stored]) -> Vec<Packet> {
    samples.iter().map(|s| Packet { pts: s.packet.pts % WRAP, dts: s.packet.dts % WRAP, ..s.packet }).collect()
}

fn first_difference(ours: &[Packet], theirs: &[Packet]) -> String {
    let at = ours.iter().zip(theirs).position(|(a, b)| a != b).unwrap_or(ours.len().min(theirs.len()));
    format!(
        "{} recorded, {} in the capture, different at {at}: {:?} and {:?}",
        ours.len(),
        theirs.len(),
        ours.get(at),
        theirs.get(at)
    )
}

fn find(stream: &[u8], part: &[u8]) -> Option<usize> {
    let head = &part[..part.len().min(64)];
    stream.windows(head.len()).enumerate().find(|(at, w)| *w == head && stream[*at..].starts_with(part)).map(|f| f.0)
}

/// Whether the bytes of the samples are those of the capture's elementary stream, one after another.
fn same_bytes(capture: &Capture, path: &Path, samples: &[Stored], kind: usize) {
    if samples.is_empty() {
        return;
    }
    let stream = probe::elementary(path, ["v", "a"][kind], capture.formats[kind]);
    if capture.formats[kind] != "h264" {
        let mut left = &stream[..];
        for (n, sample) in samples.iter().enumerate() {
            let at = find(left, &sample.data);
            let at = at.unwrap_or_else(|| panic!("{}: {kind} sample {n} is not in the capture", capture.name));
            left = &left[at + sample.data.len()..];
        }
        return;
    }
    let theirs = probe::annex_b_units(&stream);
    // Leading pictures are left out, so each sample is found behind the one before.
    let mut at = 0;
    for (n, sample) in samples.iter().enumerate() {
        let units = probe::length_prefixed_units(&sample.data);
        assert!(!units.is_empty(), "{}: sample {n} is empty", capture.name);
        let found = theirs[at..].windows(units.len()).position(|w| w == units);
        let found = found.unwrap_or_else(|| panic!("{}: picture {n} is not in the capture", capture.name));
        at += found + units.len();
    }
}

fn check_library(capture: &Capture) -> Recording {
    let path = common_captures::capture(capture.name);
    let recording = pipeline::record(&path, 2, 64 << 10);
    assert!(!recording.segments.is_empty());
    let uncarried: Vec<&str> = recording.uncarried.iter().map(|u| u.what.as_str()).collect();
    assert_eq!(uncarried.len(), capture.uncarried.len(), "{}: {uncarried:?}", capture.name);
    for (found, wanted) in uncarried.iter().zip(capture.uncarried) {
        assert!(found.contains(wanted), "{}: {found}, not {wanted}", capture.name);
    }

    let video = recording.samples(VIDEO);
    let first = video[0].packet.pts % WRAP;
    assert!(video[0].packet.sync);
    let mut ours = recorded(&video);
    let mut theirs = expected(&path, "v", first, capture.cut_off[0]);
    if capture.formats[0] == "h264" {
        // Without start codes and parameter sets the sizes are others; `same_bytes` compares the units.
        ours.iter_mut().chain(&mut theirs).for_each(|p| p.size = 0);
    }
    assert!(ours == theirs, "{} video: {}", capture.name, first_difference(&ours, &theirs));
    same_bytes(capture, &path, &video, 0);

    let tracks: Vec<TrackId> = recording.inits.keys().copied().collect();
    let audio = recording.samples(AUDIO);
    assert_eq!(tracks.contains(&AUDIO), !audio.is_empty());
    let (ours, theirs) = (recorded(&audio), expected(&path, "a", first, capture.cut_off[1]));
    assert!(ours == theirs, "{} audio: {}", capture.name, first_difference(&ours, &theirs));
    same_bytes(capture, &path, &audio, 1);

    let known = probe::complaints(path.to_str().expect("a path"));
    let dir = tempfile::tempdir().expect("a temporary folder");
    for track in tracks {
        let file = dir.path().join(format!("{track}.mp4"));
        std::fs::write(&file, recording.fragmented(track)).expect("written");
        let said = probe::complaints(file.to_str().expect("a path"));
        let new: Vec<_> = said.difference(&known).collect();
        assert!(new.is_empty(), "{} {track}: {new:?} beyond {known:?}", capture.name);
    }
    recording
}

/// However the capture arrives, the same is recorded.
fn check_pieces(capture: &Capture, whole: &Recording) {
    let path = common_captures::capture(capture.name);
    for piece in [1316, 100_003] {
        let other = pipeline::record(&path, 2, piece);
        assert!(other.objects == whole.objects, "{} in pieces of {piece}", capture.name);
    }
}

#[test]
fn progressive_h264_and_mp2_are_recorded_as_they_are() {
    check_pieces(&PROGRESSIVE, &check_library(&PROGRESSIVE));
}

/// Pictures with holes are kept. Around a hole ffprobe glues what we take apart, or the other way round, and each
/// guesses times of its own; everywhere else the packets are the same.
#[test]
fn broadcast_with_holes_is_kept_nearly_whole() {
    let path = common_captures::capture(BROADCAST.name);
    let recording = pipeline::record(&path, 2, 64 << 10);
    let uncarried: Vec<&str> = recording.uncarried.iter().map(|u| u.what.as_str()).collect();
    assert!(uncarried.iter().any(|u| u.contains(BROADCAST.uncarried[0])), "{uncarried:?}");
    let ours = recorded(&recording.samples(VIDEO));
    let theirs = expected(&path, "v", ours[0].pts, 0);
    assert!(ours.len().abs_diff(theirs.len()) <= 16, "{} and {} pictures", ours.len(), theirs.len());
    let same = ours.iter().filter(|p| theirs.iter().any(|t| (t.pts, t.sync) == (p.pts, p.sync))).count();
    assert!(same + 2 * 16 >= theirs.len(), "{same} of {} pictures are the same", theirs.len());
    assert!(ours.iter().filter(|p| p.sync).count() >= 5, "the sync pictures are kept");
    let ours = recorded(&recording.samples(AUDIO));
    let theirs = expected(&path, "a", recording.samples(VIDEO)[0].packet.pts % WRAP, 0);
    let same = ours.iter().filter(|p| theirs.iter().any(|t| t.pts == p.pts)).count();
    assert!(same + 13 * 3 >= theirs.len(), "{same} of {} sounds are the same", theirs.len());
    check_pieces(&BROADCAST, &recording);
}

/// The broadcast capture with its video packets made null packets.
fn without_video(to: &Path) {
    let mut bytes = std::fs::read(common_captures::capture(BROADCAST.name)).expect("the capture can be read");
    for packet in bytes.chunks_exact_mut(188) {
        if u16::from_be_bytes([packet[1] & 0x1f, packet[2]]) == 0x26c {
            (packet[1], packet[2]) = (0x1f, 0xff);
        }
    }
    std::fs::write(to, bytes).expect("written");
}

/// Packets of the sound are missing too: what was recorded is what ffprobe reads, without the frames around the holes.
#[test]
fn eac3_with_holes_is_recorded_as_radio() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("radio.ts");
    without_video(&path);
    let recording = pipeline::record(&path, 2, 64 << 10);
    assert_eq!(recording.inits.keys().copied().collect::<Vec<_>>(), [AUDIO]);
    let (ours, theirs) = (recorded(&recording.samples(AUDIO)), probe::packets(&path, "a"));
    // Around a hole ffprobe glues the stump of a frame to the next one, so sizes there differ.
    let strange: Vec<_> = ours.iter().filter(|p| theirs.iter().all(|t| t.pts != p.pts || t.size < p.size)).collect();
    // And each guesses the time of the first frame after it.
    assert!(strange.len() <= 13, "{strange:?} of {} not among {}", ours.len(), theirs.len());
    assert!(ours.windows(2).all(|w| w[0].dts < w[1].dts));
    // 13 holes of one or two packets, each of which touches two frames or three.
    assert!(ours.len() + 13 * 3 >= theirs.len(), "{} of {}", ours.len(), theirs.len());
    let file = dir.path().join("radio.mp4");
    std::fs::write(&file, recording.fragmented(AUDIO)).expect("written");
    assert_eq!(probe::codecs(&file), ["eac3"]);
}

#[test]
fn interlaced_h264_and_ac3_are_recorded_as_they_are() {
    check_pieces(&INTERLACED, &check_library(&INTERLACED));
}

#[test]
fn mpeg2_video_and_mp2_are_recorded_as_they_are() {
    check_pieces(&MPEG2, &check_library(&MPEG2));
}

async fn json(url: &str) -> serde_json::Value {
    let Ok(answer) = reqwest::get(url).await else { return serde_json::Value::Null };
    let text = answer.text().await.unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

async fn wait_for_end(base: &str, stream: &str, end_us: i64) {
    let until = Instant::now() + Duration::from_secs(60);
    let url = format!("{base}/{stream}/ranges.json");
    let mut last = serde_json::Value::Null;
    while Instant::now() < until {
        last = json(&url).await;
        let ranges = last["ranges"].as_array().cloned().unwrap_or_default();
        // Which of the first samples has the stated time is the source's choice: two pictures more or less.
        let closed_at = ranges.last().and_then(|r| r["closed_at"].as_i64());
        if closed_at.is_some_and(|at| (at - end_us.div_euclid(1000)).abs() <= 80) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{stream} was not recorded up to {end_us}: {last}");
}

/// The program records all four captures at once; what it plays is what the pipeline alone makes of them.
#[tokio::test(flavor = "multi_thread")]
async fn the_program_records_and_plays_the_captures() {
    let captures = [("a", &PROGRESSIVE), ("b", &BROADCAST), ("c", &INTERLACED), ("tv/d", &MPEG2)];
    let mut settings = "[recorder]\nsegment_seconds = 2\n".to_owned();
    for (stream, capture) in captures {
        let path = common_captures::capture(capture.name);
        let path = path.canonicalize().expect("a path");
        settings +=
            &format!("[[stream]]\nname = \"{stream}\"\nsource = \"file:{}?start=1409148900\"\n", path.display());
    }
    let node = node::Node::start(&settings).await;
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (stream, capture) in captures {
        let path = common_captures::capture(capture.name);
        let whole = pipeline::record(&path, 2, 256 << 10);
        // The first sample of the file has the time asked for, the recording begins at the first sync sample.
        let segments = || whole.segments.iter().map(|s| &s.segment);
        let first = first_pts(&path);
        let begins = pipeline::START.0 + (segments().next().expect("a segment").anchor.0 - first) * 100 / 9;
        let length: i64 = segments().map(|s| s.id.duration_us).sum();
        wait_for_end(&node.base(), stream, begins + length).await;
        check_answers(&node.base(), stream, capture, &path, &whole).await;

        let url = format!("{}/{stream}/archive-1409148900-60.mp4", node.base());
        let answer = reqwest::get(&url).await.expect("an export");
        assert_eq!(answer.status(), 200, "{url}");
        let file = dir.path().join("export.mp4");
        std::fs::write(&file, answer.bytes().await.expect("a body")).expect("written");
        check_export(capture, &path, &file, &whole);
    }
    assert!(!node.log().contains("panicked"), "{}", node.log());
}

/// PTS of the first sample that the demuxer gives.
fn first_pts(path: &Path) -> i64 {
    use evertape::container::{MediaEvent, mpegts::TsDemuxer};
    let mut events = Vec::new();
    TsDemuxer::new().push(&std::fs::read(path).expect("the capture can be read"), &mut events);
    let first = events.iter().find_map(|e| if let MediaEvent::Sample(s) = e { Some(s.pts.0) } else { None });
    first.expect("a sample")
}

async fn check_answers(base: &str, stream: &str, capture: &Capture, path: &Path, whole: &Recording) {
    let info = json(&format!("{base}/{stream}/media_info.json")).await;
    let tracks = info["tracks"].as_array().expect("tracks");
    assert_eq!(tracks.len(), whole.inits.len(), "{info}");
    let uncarried = info["uncarried"].as_array().expect("a list");
    assert_eq!(uncarried.len(), capture.uncarried.len(), "{info}");
    for (found, wanted) in uncarried.iter().zip(capture.uncarried) {
        assert!(found["what"].as_str().is_some_and(|w| w.contains(wanted)), "{info}");
    }
    let known = probe::complaints(path.to_str().expect("a path"));
    let said = probe::complaints(&format!("{base}/{stream}/index-1409148900-60.fmp4.m3u8"));
    let new: Vec<_> = said.difference(&known).collect();
    assert!(new.is_empty() || capture.has_holes, "{stream} playlist: {new:?} beyond {known:?}");
}

fn check_export(capture: &Capture, path: &Path, file: &Path, whole: &Recording) {
    assert_eq!(probe::codecs(file), capture.codecs[..whole.inits.len()], "{}", capture.name);
    let known = probe::complaints(path.to_str().expect("a path"));
    let said = probe::complaints(file.to_str().expect("a path"));
    let new: Vec<_> = said.difference(&known).collect();
    assert!(new.is_empty() || capture.has_holes, "{} export: {new:?} beyond {known:?}", capture.name);
    for (kind, track) in [("v", VIDEO), ("a", AUDIO)].into_iter().filter(|(_, t)| whole.inits.contains_key(t)) {
        // In the file each track's time begins anew.
        let relative = |packets: Vec<Packet>| -> Vec<Packet> {
            let first = packets[0];
            packets.iter().map(|p| Packet { pts: p.pts - first.dts, dts: p.dts - first.dts, ..*p }).collect()
        };
        let ours: Vec<Packet> = whole.samples(track).iter().map(|s| s.packet).collect();
        let (ours, exported) = (relative(ours), relative(probe::packets(file, kind)));
        assert!(exported == ours, "{} export {kind}: {}", capture.name, first_difference(&exported, &ours));
    }
}
