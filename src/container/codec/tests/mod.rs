//! Tests of the assemblers on streams made by ffmpeg, on captures, and on damaged bytes.

mod damage;
mod entries;
mod streams;

use super::{Assembled, Assembler, PesPayload, assembler};
use crate::container::{MediaSample, SourceTrack};
use crate::media::{Codec, Ticks, track::TrackParams};
use std::path::{Path, PathBuf};
use std::process::Command;

/// One PES packet of a capture.
#[derive(Debug, Clone)]
struct Pes {
    pts: Option<Ticks>,
    dts: Option<Ticks>,
    data: Vec<u8>,
    damaged: bool,
}

/// A packet as ffprobe tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Packet {
    pts: Option<i64>,
    dts: Option<i64>,
    bytes: usize,
    key: bool,
}

fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let done = Command::new(program).args(arguments).output();
    let done = done.unwrap_or_else(|why| panic!("{program} is needed by this test (apt-get install ffmpeg): {why}"));
    assert!(done.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

/// What ffmpeg writes for `arguments`, words parted by blanks.
fn ffmpeg(arguments: &str) -> Vec<u8> {
    let mut words = vec!["-hide_banner", "-loglevel", "error", "-nostdin", "-threads", "1"];
    words.extend(arguments.split_whitespace());
    words.push("-");
    run("ffmpeg", &words)
}

/// The packets of `stream` (`v:0`, `a:0`) of a file.
fn ffprobe(path: &Path, stream: &str) -> Vec<Packet> {
    let path = path.to_str().unwrap();
    let entries = "packet=pts,dts,size,flags";
    let csv =
        run("ffprobe", &["-v", "error", "-select_streams", stream, "-show_entries", entries, "-of", "csv=p=0", path]);
    let csv = String::from_utf8(csv).unwrap();
    csv.lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            Packet {
                pts: fields[0].parse().ok(),
                dts: fields[1].parse().ok(),
                bytes: fields[2].parse().unwrap(),
                key: fields[3].contains('K'),
            }
        })
        .collect()
}

/// The PES packets of one PID of a whole transport stream, those with lost packets marked.
fn demux(ts: &[u8], pid: u16) -> Vec<Pes> {
    let mut packets: Vec<(Vec<u8>, bool)> = Vec::new();
    let mut counter = None;
    for packet in ts.chunks_exact(188) {
        assert_eq!(packet[0], 0x47);
        if u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2]) != pid || packet[3] & 0x10 == 0 {
            continue;
        }
        let at = if packet[3] & 0x20 == 0 { 4 } else { 5 + usize::from(packet[4]) };
        if packet[1] & 0x40 != 0 {
            packets.push((Vec::new(), false));
        }
        let lost = counter.is_some_and(|before| packet[3] & 15 != (before + 1) & 15);
        counter = Some(packet[3] & 15);
        if let Some((data, damaged)) = packets.last_mut() {
            data.extend_from_slice(&packet[at..]);
            *damaged |= lost;
        }
    }
    let time = |b: &[u8]| {
        let field = |n: usize| i64::from(b[n]);
        Ticks((field(0) >> 1 & 7) << 30 | field(1) << 22 | (field(2) >> 1) << 15 | field(3) << 7 | field(4) >> 1)
    };
    packets
        .iter()
        .map(|(pes, damaged)| {
            assert!(pes.starts_with(&[0, 0, 1]));
            let length = usize::from(u16::from_be_bytes([pes[4], pes[5]]));
            let end = if length == 0 { pes.len() } else { pes.len().min(6 + length) };
            Pes {
                pts: (pes[7] & 0x80 != 0).then(|| time(&pes[9..])),
                dts: (pes[7] & 0xc0 == 0xc0).then(|| time(&pes[14..])),
                data: pes[9 + usize::from(pes[8])..end].to_vec(),
                damaged: *damaged,
            }
        })
        .collect()
}

/// Everything an assembler makes of `packets`.
fn assemble(codec: Codec, packets: &[Pes]) -> Vec<Assembled> {
    let mut assembler = assembler(codec, SourceTrack(7), Some("deu".into()));
    let mut out = Vec::new();
    for pes in packets {
        assembler.push(PesPayload { pts: pes.pts, dts: pes.dts, data: &pes.data, damaged: pes.damaged }, &mut out);
    }
    assembler.flush(&mut out);
    out
}

/// `stream` in pieces of the sizes that `size` gives, time 0 stated at the first.
fn cut(stream: &[u8], mut size: impl FnMut() -> usize) -> Vec<Pes> {
    let mut rest = stream;
    let mut packets = Vec::new();
    while !rest.is_empty() {
        // The first access unit begins in the first packet.
        let least = if packets.is_empty() { 16 } else { 1 };
        let (head, tail) = rest.split_at(size().max(least).min(rest.len()));
        let pts = packets.is_empty().then_some(Ticks(0));
        packets.push(Pes { pts, dts: pts, data: head.to_vec(), damaged: false });
        rest = tail;
    }
    packets
}

fn samples(made: &[Assembled]) -> Vec<&MediaSample> {
    made.iter().filter_map(|one| if let Assembled::Sample(sample) = one { Some(sample) } else { None }).collect()
}

fn params(made: &[Assembled]) -> Vec<&TrackParams> {
    made.iter().filter_map(|one| if let Assembled::Params(params) = one { Some(params) } else { None }).collect()
}

fn damage(made: &[Assembled]) -> Vec<&'static str> {
    made.iter().filter_map(|one| if let Assembled::Damage(why) = one { Some(*why) } else { None }).collect()
}

/// A capture; fails with a hint when there is none.
fn capture(name: &str) -> PathBuf {
    let folder = std::env::var_os("EVERTAPE_CAPTURES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/media"), PathBuf::from);
    let path = folder.join(name);
    assert!(path.exists(), "no {}: set EVERTAPE_CAPTURES to the folder of the captures", path.display());
    path
}

/// Pseudo-random numbers that are the same each time (xorshift64*).
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % most.max(1)
    }
}

/// Video of the test pattern, `frames` pictures.
fn video(size: &str, frames: u32, options: &str) -> Vec<u8> {
    ffmpeg(&format!("-f lavfi -i testsrc2=size={size}:rate=25 -frames:v {frames} -pix_fmt yuv420p {options}"))
}

/// A tone of two seconds.
fn tone(options: &str) -> Vec<u8> {
    ffmpeg(&format!("-f lavfi -i sine=frequency=440:sample_rate=48000:duration=2 {options}"))
}

/// An elementary stream of each codec.
fn every_codec() -> Vec<(Codec, Vec<u8>)> {
    vec![
        (Codec::H264, video("160x128", 40, "-c:v libx264 -preset ultrafast -bf 2 -g 12 -slices 2 -aud 1 -f h264")),
        (
            Codec::H265,
            video("160x128", 30, "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=10 -f hevc"),
        ),
        (Codec::Mpeg2Video, video("160x128", 40, "-c:v mpeg2video -bf 2 -g 10 -f mpeg2video")),
        (Codec::Aac, tone("-c:a aac -f adts")),
        (Codec::MpegAudio, tone("-c:a mp2 -f mp2")),
        (Codec::MpegAudio, tone("-c:a libmp3lame -write_xing 0 -id3v2_version 0 -f mp3")),
        (Codec::Ac3, tone("-c:a ac3 -f ac3")),
        (Codec::Eac3, tone("-c:a eac3 -f eac3")),
    ]
}
