//! Tests on broadcast captures, whole and damaged.

use super::tests::{Numbers, WRAP, breaks, demux, demux_in_pieces, samples};

fn capture(name: &str) -> Vec<u8> {
    let folder = std::env::var("EVERTAPE_CAPTURES")
        .unwrap_or_else(|_| format!("{}/../shared/media", env!("CARGO_MANIFEST_DIR")));
    let path = format!("{folder}/{name}");
    std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}; set EVERTAPE_CAPTURES to the folder of captures"))
}

/// PID, PES packets that begin behind the first PMT, and the first PTS of them.
type Expected = (u32, usize, i64);

const CAPTURES: [(&str, [Expected; 2]); 4] = [
    ("h264-progressive-mp2.ts", [(0x100, 299, 129_902), (0x101, 209, 126_000)]),
    ("h264-broadcast-eac3-dvbsub.ts", [(0x26c, 162, 5_223_574_968), (0x276, 35, 5_223_529_297)]),
    ("h264-interlaced-ac3.ts", [(0x3f2, 60, 3_971_880_940), (0x3fd, 15, 3_971_836_831)]),
    ("mpeg2video-mp2.ts", [(0x1000, 74, 1_728_711_944), (0x1001, 120, 1_728_695_384)]),
];

#[test]
fn captures_give_the_pes_packets_they_hold() {
    for (name, expected) in CAPTURES {
        let events = demux(&capture(name));
        assert_eq!(breaks(&events), 0, "{name}");
        for (pid, count, first_pts) in expected {
            let samples = samples(&events, pid);
            assert_eq!(samples.len(), count, "{name} pid {pid:#x}");
            assert_eq!(samples[0].pts.0 % WRAP, first_pts, "{name} pid {pid:#x}");
            assert!(samples.windows(2).all(|w| w[1].dts.0 > w[0].dts.0), "{name} pid {pid:#x}");
        }
    }
}

/// PTS of the packets of one stream as ffprobe reads them.
fn ffprobe_pts(name: &str, pid: u32) -> std::collections::BTreeSet<i64> {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let select = format!("i:{pid:#x}");
    let arguments = ["-v", "quiet", "-select_streams", &select, "-show_entries", "packet=pts", "-of", "csv=p=0", "-"];
    let mut child = Command::new("ffprobe")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("ffprobe: {e}; install ffmpeg"));
    let mut stdin = child.stdin.take().unwrap();
    let bytes = capture(name);
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join();
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| line.trim_end_matches(',').parse::<i64>().ok())
        .collect()
}

#[test]
fn times_are_those_that_ffprobe_reads() {
    for (name, expected) in CAPTURES {
        let events = demux(&capture(name));
        for (pid, ..) in expected {
            let read = ffprobe_pts(name, pid);
            let ours: Vec<i64> = samples(&events, pid).iter().map(|s| s.pts.0 % WRAP).collect();
            let strange: Vec<_> = ours.iter().filter(|pts| !read.contains(pts)).collect();
            assert!(strange.is_empty(), "{name} pid {pid:#x}: {strange:?} of {} not among {}", ours.len(), read.len());
        }
    }
}

#[test]
fn damaged_captures_are_survived_however_they_are_cut() {
    let mut numbers = Numbers(0x5eed);
    for (name, _) in CAPTURES {
        let whole = capture(name);
        for _ in 0..6 {
            let from = numbers.next(whole.len() - 300_000);
            let mut bytes = whole[from..from + 300_000].to_vec();
            for _ in 0..numbers.next(400) {
                let at = numbers.next(bytes.len() - 1000);
                match numbers.next(4) {
                    0 => bytes[at] ^= 1 << numbers.next(8),
                    1 => drop(bytes.drain(at..at + numbers.next(500))),
                    2 => bytes[at / 188 * 188 + numbers.next(24)] = numbers.next(256) as u8,
                    _ => bytes.extend_from_within(at..at + 700),
                }
            }
            let events = demux(&bytes);
            assert_eq!(demux_in_pieces(&bytes, 1 + numbers.next(5000)), events);
            assert!(events.len() <= bytes.len() / 188 * 3);
        }
    }
}
