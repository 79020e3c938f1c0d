//! Whole streams: the packets that ffprobe finds.

use super::*;
use proptest::prelude::*;
use std::sync::OnceLock;

/// PES packets and ffprobe's packets of the stream with `pid` in a transport stream.
fn both(path: &Path, stream: &str, pid: u16) -> (Vec<Pes>, Vec<Packet>) {
    (demux(&std::fs::read(path).unwrap(), pid), ffprobe(path, stream))
}

/// A transport stream of `options` in a temporary file.
fn transport(options: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.ts");
    std::fs::write(&path, ffmpeg(&format!("{options} -f mpegts"))).unwrap();
    (folder, path)
}

/// Samples have the times and sync flags of `packets`, one for one.
fn assert_packets(codec: Codec, pes: &[Pes], packets: &[Packet]) -> Vec<Assembled> {
    let made = assemble(codec, pes);
    let found: Vec<_> = samples(&made).iter().map(|s| (s.pts.0, s.dts.0, s.sync)).collect();
    let wanted: Vec<_> = packets.iter().map(|p| (p.pts.unwrap_or(-1), p.dts.or(p.pts).unwrap_or(-1), p.key)).collect();
    assert_eq!(found.len(), wanted.len(), "{codec:?}: {:?}", damage(&made));
    for (n, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
        // Computed times are rounded by one side or the other.
        let near = found.0.abs_diff(wanted.0) <= 2 && found.1.abs_diff(wanted.1) <= 2 && found.2 == wanted.2;
        assert!(near, "{codec:?}, sample {n}: {found:?} is not {wanted:?}");
    }
    made
}

fn assert_made(codec: Codec, stream: &str, options: &str) -> Vec<Assembled> {
    let (_folder, path) = transport(options);
    let (pes, packets) = both(&path, stream, 256);
    assert!(packets.len() > 20);
    let made = assert_packets(codec, &pes, &packets);
    assert_eq!(damage(&made), Vec::<&str>::new());
    assert_eq!(params(&made).len(), 1);
    assert_eq!(params(&made)[0].language.as_deref(), Some("deu"));
    made
}

const SOURCE: &str = "-f lavfi -i testsrc2=size=320x192:rate=25 -frames:v 60 -pix_fmt yuv420p";

#[test]
fn h264_of_every_kind() {
    for options in [
        "-c:v libx264 -preset ultrafast -bf 2 -g 15",
        "-c:v libx264 -preset ultrafast -slices 4 -tune zerolatency -g 15",
        "-c:v libx264 -preset veryfast -x264-params open-gop=1:keyint=15:bframes=3",
        "-c:v libx264 -preset veryfast -x264-params intra-refresh=1:keyint=20",
        "-c:v libx264 -preset veryfast -flags +ildct+ilme -x264-params tff=1:keyint=15",
        "-c:v libx264 -preset ultrafast -profile:v baseline -g 15",
    ] {
        assert_made(Codec::H264, "v:0", &format!("{SOURCE} {options}"));
    }
}

#[test]
fn h265_of_every_kind() {
    for options in ["keyint=15:bframes=3:open-gop=0", "keyint=15:bframes=3:open-gop=1", "keyint=15:slices=3:aud=1"] {
        let codec = "-c:v libx265 -preset ultrafast -x265-params log-level=none";
        assert_made(Codec::H265, "v:0", &format!("{SOURCE} {codec}:{options}"));
    }
}

#[test]
fn mpeg2_video() {
    for options in ["-bf 2 -g 12", "-flags +ildct+ilme -bf 2 -g 12", "-bf 0 -g 5"] {
        assert_made(Codec::Mpeg2Video, "v:0", &format!("{SOURCE} -c:v mpeg2video {options}"));
    }
}

#[test]
fn audio_of_every_kind() {
    let source = "-f lavfi -i sine=frequency=440:sample_rate=44100:duration=3";
    for (codec, options) in [
        (Codec::Aac, "-c:a aac"),
        (Codec::Aac, "-ar 48000 -ac 6 -c:a aac"),
        (Codec::MpegAudio, "-c:a mp2"),
        (Codec::MpegAudio, "-c:a libmp3lame"),
        (Codec::MpegAudio, "-ar 22050 -c:a libmp3lame"),
        (Codec::Ac3, "-ar 48000 -ac 6 -c:a ac3"),
        (Codec::Ac3, "-c:a ac3 -b:a 192k"),
        (Codec::Eac3, "-ar 48000 -ac 6 -c:a eac3"),
    ] {
        let made = assert_made(codec, "a:0", &format!("{source} {options}"));
        for pair in samples(&made).windows(2) {
            let gap = pair[1].pts.0 - pair[0].pts.0 - i64::from(pair[0].duration.unwrap());
            assert!(gap.abs() <= 2, "{codec:?}: a gap of {gap}");
        }
    }
}

/// The bytes are those of an independent way through ffmpeg: its MP4 muxer.
#[test]
fn sample_bytes_are_those_of_an_mp4() {
    for (codec, options) in [
        (Codec::H264, format!("{SOURCE} -c:v libx264 -preset ultrafast -bf 2 -g 15 -slices 2 -aud 1")),
        (Codec::Aac, "-f lavfi -i sine=duration=2 -c:a aac".to_owned()),
        (Codec::Ac3, "-f lavfi -i sine=duration=2:sample_rate=48000 -c:a ac3".to_owned()),
    ] {
        let (_folder, path) = transport(&options);
        let pes = demux(&std::fs::read(&path).unwrap(), 256);
        let made = assemble(codec, &pes);
        let filter = if codec == Codec::H264 { "-bsf:v filter_units=remove_types=7-9" } else { "" };
        let filter = if codec == Codec::Aac { "-bsf:a aac_adtstoasc" } else { filter };
        let bytes = ffmpeg(&format!(
            "-i {} -c copy {filter} -f mp4 -movflags frag_keyframe+delay_moov+default_base_moof",
            path.display()
        ));
        let mut at = 0;
        for (n, sample) in samples(&made).iter().enumerate() {
            let rest = &bytes[at..];
            let found = memchr::memmem::find(rest, &sample.data);
            assert!(found.is_some(), "{codec:?}: sample {n} is not in the MP4");
            at += found.unwrap() + sample.data.len();
        }
    }
}

/// A capture begins and ends anywhere: ffprobe counts what has no parameters yet, and cuts off frames; and it counts
/// second fields, which have no times.
fn assert_capture(codec: Codec, name: &str, stream: &str) {
    let (pes, packets) = both(&capture(name), stream, pid(name, stream));
    let made = assemble(codec, &pes);
    let damage = damage(&made);
    let early = damage.iter().filter(|why| why.contains("parameter sets")).count();
    let late = damage.iter().filter(|why| why.contains("cut off")).count();
    let holes = damage.iter().filter(|why| why.contains("lost bytes")).count();
    assert_eq!(damage.len(), early + late + holes, "{damage:?}");
    assert!(holes <= pes.iter().filter(|pes| pes.damaged).count());
    let given: std::collections::BTreeSet<_> = samples(&made).iter().map(|sample| sample.dts.0).collect();
    let mut timed: Vec<_> = packets.into_iter().filter(|p| p.pts.is_some()).collect();
    let all = timed.len();
    timed.retain(|packet| packet.dts.or(packet.pts).is_some_and(|dts| given.contains(&dts)));
    assert!(all - timed.len() <= early + late + holes, "{} of {all} are missing: {damage:?}", all - timed.len());
    assert_packets(codec, &pes, &timed);
    if codec.kind() == crate::media::TrackKind::Video {
        assert!(samples(&made).iter().any(|sample| sample.sync));
    }
}

/// This capture lacks 13 TS packets of sound. ffprobe glues the frame with the hole to the next; here the frame with the
/// hole is gone, and the one before where the hole took the header that would have confirmed it.
#[test]
fn losses_in_a_capture_cost_two_frames_at_most() {
    let name = "h264-broadcast-eac3-dvbsub.ts";
    let (pes, packets) = both(&capture(name), "a:0", pid(name, "a:0"));
    let holes = packets.iter().filter(|packet| packet.bytes > 512).count();
    assert_eq!(pes.iter().filter(|pes| pes.damaged).count(), holes);
    let made = assemble(Codec::Eac3, &pes);
    let found = samples(&made);
    // The last frame is cut off.
    assert!((packets.len() - 1 - holes..packets.len()).contains(&found.len()), "{}", found.len());
    assert!(found.iter().all(|sample| sample.data.len() == 512 && sample.data.starts_with(&[0x0b, 0x77])));
    assert_eq!(params(&made).len(), 1);
    // After a hole times may be early, until the next packet states one.
    for pes in pes[..pes.len() - 1].iter().filter(|pes| !pes.damaged && pes.data.starts_with(&[0x0b, 0x77])) {
        let stated = pes.pts.unwrap().0;
        assert!(found.iter().any(|sample| sample.pts.0.abs_diff(stated) <= 2), "{stated}");
    }
}

#[test]
fn progressive_capture() {
    assert_capture(Codec::H264, "h264-progressive-mp2.ts", "v:0");
}

fn pid(name: &str, stream: &str) -> u16 {
    let path = capture(name);
    let arguments = [
        "-v",
        "error",
        "-select_streams",
        stream,
        "-show_entries",
        "stream=id",
        "-of",
        "csv=p=0",
        path.to_str().unwrap(),
    ];
    let text = String::from_utf8(run("ffprobe", &arguments)).unwrap();
    let line = text.lines().find(|line| line.contains("0x")).unwrap();
    u16::from_str_radix(line.trim().trim_end_matches(',').trim_start_matches("0x"), 16).unwrap()
}

#[test]
fn interlaced_captures_give_one_sample_per_frame() {
    assert_capture(Codec::H264, "h264-broadcast-eac3-dvbsub.ts", "v:0");
    assert_capture(Codec::H264, "h264-interlaced-ac3.ts", "v:0");
}

#[test]
fn mpeg2_capture() {
    assert_capture(Codec::Mpeg2Video, "mpeg2video-mp2.ts", "v:0");
}

#[test]
fn audio_of_captures() {
    assert_capture(Codec::MpegAudio, "h264-progressive-mp2.ts", "a:0");
    assert_capture(Codec::MpegAudio, "mpeg2video-mp2.ts", "a:0");
    assert_capture(Codec::Ac3, "h264-interlaced-ac3.ts", "a:0");
}

/// With all times but the first taken away, frame rate and display order give the same times.
#[test]
fn missing_times_are_computed() {
    for (codec, options) in [
        (Codec::H264, "-c:v libx264 -preset veryfast -bf 2 -g 15 -x264-params b-pyramid=none:scenecut=0"),
        (Codec::Mpeg2Video, "-c:v mpeg2video -bf 2 -g 12"),
        (Codec::H265, "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=15:bframes=2:open-gop=0"),
    ] {
        let (_folder, path) = transport(&format!("{SOURCE} {options}"));
        let (mut pes, packets) = both(&path, "v:0", 256);
        for packet in pes.iter_mut().skip(1) {
            (packet.pts, packet.dts) = (None, None);
        }
        assert_packets(codec, &pes, &packets);
    }
}

/// A stream, and what it gives as a whole.
type Made = (Codec, Vec<u8>, Vec<Assembled>);

fn streams() -> &'static [Made] {
    static STREAMS: OnceLock<Vec<Made>> = OnceLock::new();
    STREAMS.get_or_init(|| {
        let whole = |(codec, bytes): (Codec, Vec<u8>)| {
            let made = assemble(codec, &cut(&bytes, || usize::MAX));
            assert_eq!(damage(&made), Vec::<&str>::new(), "{codec:?}");
            assert!(samples(&made).len() >= 30, "{codec:?}");
            (codec, bytes, made)
        };
        every_codec().into_iter().map(whole).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However the bytes are cut, the same comes out.
    #[test]
    fn cuts_do_not_matter(seed in 1u64.., most in prop_oneof![Just(3usize), Just(200), Just(5000)]) {
        for (codec, bytes, wanted) in streams() {
            let mut seeded = Seeded(seed);
            let made = assemble(*codec, &cut(bytes, || 1 + seeded.below(most)));
            prop_assert!(&made == wanted, "{:?}: {} and {}", codec, made.len(), wanted.len());
        }
    }
}
