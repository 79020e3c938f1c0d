//! What ffprobe and ffmpeg read from a file.

use super::pipeline::Packet;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// PTS and DTS of MPEG-TS have 33 bits.
pub const WRAP: i64 = 1 << 33;

fn output(program: &str, arguments: &[&str]) -> Output {
    let started = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    started.unwrap_or_else(|e| panic!("{program} cannot be started ({e}); run `scripts/install-deps test`"))
}

fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = output(program, arguments);
    assert!(output.status.success(), "{program} {arguments:?}\n{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path")
}

fn entries(path: &Path, kind: &str, show: &str) -> Vec<serde_json::Value> {
    let arguments =
        ["-v", "quiet", "-ignore_editlist", "1", "-select_streams", kind, "-show_entries", show, "-of", "json"];
    // The option is one of MP4; others do not know it.
    let skip = if path.extension().is_some_and(|e| e == "mp4") { 0 } else { 2 };
    let arguments = [&arguments[..2], &arguments[2 + skip..], &[text(path)]].concat();
    let json: serde_json::Value = serde_json::from_slice(&run("ffprobe", &arguments)).expect("JSON");
    let list = if show.starts_with("packet") { "packets" } else { "streams" };
    json[list].as_array().cloned().unwrap_or_default()
}

/// The packets of the first track of a kind (`v`, `a`), times in the file's own ticks. A packet without PTS is the
/// second field of the picture before it and counts as its part.
pub fn packets(path: &Path, kind: &str) -> Vec<Packet> {
    let mut packets: Vec<Packet> = Vec::new();
    for entry in entries(path, &format!("{kind}:0"), "packet=pts,dts,size,flags") {
        let size: usize = entry["size"].as_str().and_then(|s| s.parse().ok()).expect("a size");
        let Some(pts) = entry["pts"].as_i64() else {
            if let Some(last) = packets.last_mut() {
                last.size += size;
            }
            continue;
        };
        let dts = entry["dts"].as_i64().unwrap_or(pts);
        packets.push(Packet { pts, dts, size, sync: entry["flags"].as_str().is_some_and(|f| f.contains('K')) });
    }
    packets
}

/// Codec names of all tracks, in order.
pub fn codecs(path: &Path) -> Vec<String> {
    let name = |s: serde_json::Value| s["codec_name"].as_str().map(str::to_owned);
    ["v", "a"].iter().flat_map(|kind| entries(path, kind, "stream=codec_name")).filter_map(name).collect()
}

/// The elementary stream of the first track of a kind, in ffmpeg's format `format`.
pub fn elementary(path: &Path, kind: &str, format: &str) -> Vec<u8> {
    let map = format!("0:{kind}:0");
    run("ffmpeg", &["-v", "quiet", "-i", text(path), "-map", &map, "-c", "copy", "-f", format, "-"])
}

/// What ffmpeg complains about when it decodes all of `input`: without numbers and addresses, each once.
pub fn complaints(input: &str) -> BTreeSet<String> {
    // Where the last frame cannot be decoded, the status tells it, too.
    let decode = ["-v", "error", "-i", input, "-map", "0:v?", "-map", "0:a?", "-f", "null", "-"];
    let output = output("ffmpeg", &decode);
    let errors = String::from_utf8_lossy(&output.stderr);
    let plain = |line: &str| {
        let line = line.trim_start_matches(|c| c != ']').trim_start_matches(']');
        line.chars().filter(|c| !c.is_ascii_digit() && *c != '-').collect::<String>().trim().to_owned()
    };
    errors.lines().filter(|l| l.starts_with('[')).map(plain).filter(|l| !l.is_empty()).collect()
}

/// NAL units of an Annex B stream of H.264 that are part of samples: no parameter sets, delimiters or filler; without
/// trailing zeros, which belong to no unit.
pub fn annex_b_units(stream: &[u8]) -> Vec<&[u8]> {
    let mut starts: Vec<usize> =
        stream.windows(3).enumerate().filter(|(_, w)| *w == [0, 0, 1]).map(|(at, _)| at + 3).collect();
    starts.push(stream.len() + 3);
    starts.windows(2).map(|w| trimmed(&stream[w[0]..w[1] - 3])).filter(|unit| is_stored(unit)).collect()
}

/// NAL units of a sample in which each has its length in 4 bytes before it.
pub fn length_prefixed_units(mut sample: &[u8]) -> Vec<&[u8]> {
    let mut units = Vec::new();
    while let Some((length, rest)) = sample.split_first_chunk::<4>() {
        let (unit, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        units.push(trimmed(unit));
        sample = rest;
    }
    assert!(sample.is_empty(), "bytes after the last NAL unit");
    units.into_iter().filter(|unit| is_stored(unit)).collect()
}

fn trimmed(unit: &[u8]) -> &[u8] {
    &unit[..unit.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1)]
}

/// Rec. ITU-T H.264 table 7-1: 7 and 8 are parameter sets, 9 a delimiter, 10 and 11 ends, 12 filler.
fn is_stored(unit: &[u8]) -> bool {
    unit.first().is_some_and(|b| !matches!(b & 0x1f, 7..=12))
}
