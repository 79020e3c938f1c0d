//! Real recordings, segment by segment to TS and put together: checked, demuxed again, and decoded by ffmpeg.

use crate::common_captures::pipeline::{self, Recording, Stored};
use crate::common_captures::{capture, probe};
use crate::ts_check;
use evertape::container::cmaf;
use evertape::container::mpegts::TsDemuxer;
use evertape::container::mpegts::mux::{MuxError, ts_of_object};
use evertape::container::{MediaEvent, SourceTrack};
use evertape::media::{InitHash, InitInfo, TrackId, TrackKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const VIDEO: TrackId = TrackId::video(1);
const AUDIO: TrackId = TrackId::audio(1);
const WRAP: i64 = 1 << 33;

fn ffmpeg(arguments: &str, output: &Path) {
    let arguments: Vec<&str> = arguments.split(' ').filter(|a| !a.is_empty()).collect();
    let status = Command::new("ffmpeg").args(["-y", "-v", "error"]).args(&arguments).arg(output).status();
    assert!(status.expect("ffmpeg starts; run `scripts/install-deps test`").success(), "ffmpeg {arguments:?}");
}

/// 14 s of picture and sound in these codecs.
fn source(dir: &Path, video: &str, audio: &str) -> PathBuf {
    let path = dir.join("source.ts");
    let picture = "-f lavfi -i testsrc2=s=320x192:r=25:d=14";
    let sound = "-f lavfi -i aevalsrc=sin(440*2*PI*t)|sin(550*2*PI*t):s=48000:d=14";
    let language = "-metadata:s:a:0 language=deu -muxdelay 0.5";
    ffmpeg(&format!("{picture} {sound} {video} -pix_fmt yuv420p {audio} {language}"), &path);
    path
}

fn inits(recording: &Recording) -> Vec<InitInfo> {
    let all = recording.inits.values().flatten();
    all.map(|bytes| InitInfo { hash: InitHash::of(bytes), params: cmaf::read_init(bytes).expect("an init segment") })
        .collect()
}

fn segments(recording: &Recording, tracks: &[TrackId]) -> Vec<Vec<u8>> {
    let inits = inits(recording);
    let muxed = recording.segments.iter().zip(&recording.objects);
    muxed.map(|(with, object)| ts_of_object(with, object, &inits, tracks).expect("a TS segment")).collect()
}

/// Samples that a demuxer finds on a PID.
fn demuxed(ts: &[u8], pid: u16) -> Vec<Stored> {
    let mut events = Vec::new();
    let mut demuxer = TsDemuxer::new();
    demuxer.push(ts, &mut events);
    demuxer.flush(&mut events);
    let track = SourceTrack(u32::from(pid));
    let samples = events.into_iter().filter_map(|e| match e {
        MediaEvent::Sample(s) if s.track == track => Some(s),
        _ => None,
    });
    let stored = |s: evertape::container::MediaSample| Stored {
        packet: pipeline::Packet { pts: s.pts.0, dts: s.dts.0, size: s.data.len(), sync: s.sync },
        data: s.data.to_vec(),
    };
    samples.map(stored).collect()
}

/// Hashes of all decoded frames of a kind.
fn frames(file: &Path, kind: &str) -> Vec<String> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args(["-map", &format!("0:{kind}:0"), "-fps_mode", "passthrough", "-f", "framemd5", "-"])
        .stdin(Stdio::null())
        .output()
        .expect("ffmpeg starts; run `scripts/install-deps test`");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{}: {errors}", file.display());
    let text = String::from_utf8(output.stdout).expect("text");
    let hashes = text.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.rsplit(',').next());
    hashes.map(|h| h.trim().to_owned()).collect()
}

/// All that must hold of a recording's TS. `decoded`: ffmpeg decodes the same from it as from the fragments.
fn check(recording: &Recording, decoded: bool) {
    let tracks: Vec<TrackId> = recording.inits.keys().copied().collect();
    let parts = segments(recording, &tracks);
    assert!(parts.len() > 1, "one segment has no seam");
    let ts = parts.concat();
    let report = ts_check::check(&ts);
    report.assert_clean();
    assert_eq!(report.new_time_bases, 1, "the run begins once");
    assert_eq!(segments(recording, &tracks).concat(), ts);
    for part in &parts {
        let report = ts_check::check(part);
        report.assert_clean();
        assert!(report.pids.values().all(|s| s.payload_packets % 16 == 0));
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("muxed.ts");
    std::fs::write(&file, &ts).expect("written");
    for &track in &tracks {
        let stored = recording.samples(track);
        let (kind, pid) = if track == VIDEO { ("v", 0x100) } else { ("a", 0x110) };
        let found = demuxed(&ts, pid);
        assert_eq!(found.len(), stored.len(), "{track}");
        for (n, (found, stored)) in found.iter().zip(&stored).enumerate() {
            let off = |a: i64, b: i64| (a - b + WRAP / 2).rem_euclid(WRAP) - WRAP / 2;
            let (pts, dts) = (off(found.packet.pts, stored.packet.pts), off(found.packet.dts, stored.packet.dts));
            // The times of sound are told once for several frames, and rounded.
            let most = if track.kind == TrackKind::Video { 0 } else { 2 };
            assert!(pts.abs() <= most && dts.abs() <= most, "{track} sample {n}: {pts}, {dts}");
            assert!(found.data == stored.data, "{track} sample {n} has other bytes");
            assert_eq!(found.packet.sync, stored.packet.sync);
        }
        let stream = &report.pids[&pid];
        let first = stored.iter().map(|s| s.packet.pts).min().expect("samples");
        assert_eq!(stream.first_pts().map(|p| p % WRAP), Some(first % WRAP));
        if decoded {
            assert_eq!(probe::packets(&file, kind).len(), stored.len(), "ffprobe, {track}");
            // ffmpeg takes all MPEG audio in MP4 for MP3, and decodes it with other rounding.
            let bare = stream.stream_type == 0x03;
            let other = dir.path().join(if bare { "other.mp2" } else { "other.mp4" });
            let bytes =
                if bare { stored.iter().flat_map(|s| s.data.clone()).collect() } else { recording.fragmented(track) };
            std::fs::write(&other, bytes).expect("written");
            let (ours, theirs) = (frames(&file, kind), frames(&other, kind));
            assert!(ours.len() > 50);
            assert!(ours == theirs, "{track}: {} and {} frames", ours.len(), theirs.len());
        }
    }
}

fn check_source(video: &str, audio: &str, stream_types: [u8; 2], registration: Option<&str>) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let recording = pipeline::record(&source(dir.path(), video, audio), 4, 256 << 10);
    check(&recording, true);
    let ts = segments(&recording, &[VIDEO, AUDIO]).concat();
    let report = ts_check::check(&ts);
    assert_eq!([0x100, 0x110].map(|pid| report.pids[&pid].stream_type), stream_types);
    assert_eq!(report.pids[&0x110].language.as_deref(), Some("deu"));
    assert_eq!(report.pids[&0x110].registration.as_deref(), registration);
    // What is not asked for is not there.
    let sound = ts_check::check(&segments(&recording, &[AUDIO]).concat());
    sound.assert_clean();
    assert_eq!((sound.pcr_pid, sound.pids.keys().copied().collect::<Vec<_>>()), (0x110, vec![0x110]));
    let with = (&recording.segments[0], &recording.objects[0]);
    assert_eq!(ts_of_object(with.0, with.1, &inits(&recording), &[TrackId::audio(9)]), Err(MuxError::Nothing));
    assert_eq!(ts_of_object(with.0, with.1, &[], &[AUDIO]), Err(MuxError::Missing(AUDIO)));
    let cut = &with.1[..with.1.len() - 1];
    assert_eq!(ts_of_object(with.0, cut, &inits(&recording), &[AUDIO]), Err(MuxError::Missing(AUDIO)));
}

#[test]
fn h264_with_pictures_out_of_order_and_aac() {
    check_source("-c:v libx264 -preset veryfast -bf 3 -g 50", "-c:a aac -b:a 96k", [0x1b, 0x0f], None);
}

#[test]
fn h265_and_eac3() {
    let video = "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=50:bframes=3";
    check_source(video, "-c:a eac3 -b:a 128k", [0x24, 0x87], Some("EAC3"));
}

#[test]
fn mpeg2_and_ac3() {
    check_source("-c:v mpeg2video -b:v 2M -g 25 -bf 2", "-c:a ac3 -b:a 192k", [0x02, 0x81], Some("AC-3"));
}

#[test]
fn h264_and_mp2() {
    check_source("-c:v libx264 -preset ultrafast -g 25", "-c:a mp2 -b:a 128k", [0x1b, 0x03], None);
}

#[test]
fn captures_of_broadcasts() {
    for name in ["h264-progressive-mp2.ts", "h264-interlaced-ac3.ts", "mpeg2video-mp2.ts"] {
        check(&pipeline::record(&capture(name), 2, 256 << 10), false);
    }
}

/// A capture with holes is recorded as it is, so only the stream around the pictures can be checked.
#[test]
fn a_capture_with_holes() {
    let recording = pipeline::record(&capture("h264-broadcast-eac3-dvbsub.ts"), 2, 256 << 10);
    let report = ts_check::check(&segments(&recording, &[VIDEO, AUDIO]).concat());
    report.assert_clean();
    for (pid, track) in [(0x100, VIDEO), (0x110, AUDIO)] {
        let (bytes, stored): (usize, usize) = (
            report.pids[&pid].pes.iter().map(|p| p.data.len()).sum(),
            recording.samples(track).iter().map(|s| s.data.len()).sum(),
        );
        assert!(bytes >= stored, "{track}: {bytes} of {stored} bytes");
    }
}
