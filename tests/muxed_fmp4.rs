//! Picture and sound in one fragmented MP4, made of the segments of a recording: read and decoded by ffmpeg.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "other suites use the rest")]
mod common_captures;

use common_captures::{capture, pipeline, probe};
use evertape::container::cmaf::{muxed_init, muxed_segment};
use evertape::media::TrackId;
use std::collections::BTreeSet;

const TRACKS: [TrackId; 2] = [TrackId::video(1), TrackId::audio(1)];

#[test]
fn captures_play_with_both_tracks_in_step() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for name in ["h264-progressive-mp2.ts", "mpeg2video-mp2.ts"] {
        let path = capture(name);
        let recording = pipeline::record(&path, 2, 256 << 10);
        let inits = TRACKS.map(|track| recording.inits[&track][0].as_slice());
        let mut file = muxed_init(&inits).expect("an init segment");
        for (with, object) in recording.segments.iter().zip(&recording.objects) {
            file.extend(muxed_segment(with, object, &TRACKS).expect("a segment"));
        }
        assert!(recording.segments.len() > 1, "one segment has no seam");
        let muxed = dir.path().join("muxed.mp4");
        std::fs::write(&muxed, file).expect("written");
        for (kind, track) in [("v", TRACKS[0]), ("a", TRACKS[1])] {
            let expected: Vec<_> = recording.samples(track).iter().map(|s| s.packet).collect();
            let found = probe::packets(&muxed, kind);
            assert_eq!(found.len(), expected.len(), "{name} {track}");
            // Times are absolute, so those of the tracks belong together.
            assert!(found == expected, "{name} {track}: {:?} and {:?}", found[0], expected[0]);
        }
        let known = probe::complaints(path.to_str().expect("a path"));
        let said = probe::complaints(muxed.to_str().expect("a path"));
        assert_eq!(said.difference(&known).collect::<BTreeSet<_>>(), BTreeSet::new(), "{name}");
    }
}
