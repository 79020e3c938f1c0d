//! Lost and wrong bytes: bounded loss, bounded memory, no panic.

use super::*;

fn push(assembler: &mut dyn Assembler, pts: Option<i64>, data: &[u8], damaged: bool) -> Vec<Assembled> {
    let mut out = Vec::new();
    assembler.push(PesPayload { pts: pts.map(Ticks), dts: None, data, damaged }, &mut out);
    out
}

fn flush(assembler: &mut dyn Assembler) -> Vec<Assembled> {
    let mut out = Vec::new();
    assembler.flush(&mut out);
    out
}

fn pictures() -> Vec<Pes> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.ts");
    let made = ffmpeg(
        "-f lavfi -i testsrc2=size=160x128:rate=25 -frames:v 20 -pix_fmt yuv420p -c:v libx264 -preset ultrafast -bf 0 \
         -g 10 -f mpegts",
    );
    std::fs::write(&path, &made).unwrap();
    demux(&made, 256)
}

#[test]
fn a_hole_is_told_and_its_picture_kept() {
    let packets = pictures();
    let mut assembler = assembler(Codec::H264, SourceTrack(1), None);
    let mut out = Vec::new();
    for (n, pes) in packets.iter().enumerate() {
        let pts = pes.pts.map(|pts| pts.0);
        if n == 5 {
            let half = pes.data.len() / 2;
            out.extend(push(&mut *assembler, pts, &pes.data[..half], false));
            out.extend(push(&mut *assembler, None, &pes.data[half + 20..], true));
        } else {
            out.extend(push(&mut *assembler, pts, &pes.data, false));
        }
    }
    out.extend(flush(&mut *assembler));
    assert_eq!(damage(&out), ["access unit lost bytes"]);
    let times: Vec<_> = samples(&out).iter().map(|sample| Some(sample.pts)).collect();
    let wanted: Vec<_> = packets.iter().map(|pes| pes.pts).collect();
    assert_eq!(times, wanted);
    let lost = samples(&out)[5].data.len() as i64 - samples(&assemble_all(&packets))[5].data.len() as i64;
    assert_eq!(lost, -20, "what is there of the picture is kept");
}

fn assemble_all(packets: &[Pes]) -> Vec<Assembled> {
    let mut assembler = assembler(Codec::H264, SourceTrack(1), None);
    let mut out = Vec::new();
    for pes in packets {
        out.extend(push(&mut *assembler, pes.pts.map(|pts| pts.0), &pes.data, false));
    }
    out.extend(flush(&mut *assembler));
    out
}

/// The demuxer marks the whole packet in which something is missing: the packets before and after are whole.
#[test]
fn a_damaged_packet_is_told_and_its_picture_kept() {
    let packets = pictures();
    for hit in [0, 1, 7, packets.len() - 1] {
        let mut assembler = assembler(Codec::H264, SourceTrack(1), None);
        let mut out = Vec::new();
        for (n, pes) in packets.iter().enumerate() {
            out.extend(push(&mut *assembler, pes.pts.map(|pts| pts.0), &pes.data, n == hit));
        }
        out.extend(flush(&mut *assembler));
        assert_eq!(damage(&out), ["access unit lost bytes"]);
        let times: Vec<_> = samples(&out).iter().map(|sample| Some(sample.pts)).collect();
        let wanted: Vec<_> = packets.iter().map(|pes| pes.pts).collect();
        assert_eq!(times, wanted);
    }
}

#[test]
fn a_lost_audio_frame_is_the_only_one() {
    let stream = tone("-c:a aac -f adts");
    let whole = assemble(Codec::Aac, &cut(&stream, || usize::MAX));
    let frames = samples(&whole);
    let begins: Vec<usize> =
        frames.iter().scan(0, |at, s| Some(std::mem::replace(at, *at + s.data.len() + 7))).collect();
    let mut assembler = assembler(Codec::Aac, SourceTrack(1), None);
    // The hole lies in frame 10; the next payload begins in frame 11.
    let mut out = push(&mut *assembler, Some(0), &stream[..begins[10] + 30], false);
    out.extend(push(&mut *assembler, Some(12 * 1920), &stream[begins[11] + 9..begins[20]], true));
    out.extend(push(&mut *assembler, None, &stream[begins[20]..], false));
    out.extend(flush(&mut *assembler));
    let found: Vec<_> = samples(&out).iter().map(|sample| (sample.pts, sample.data.clone())).collect();
    let wanted: Vec<_> =
        (0..10).chain(12..frames.len()).map(|n| (Ticks(n as i64 * 1920), frames[n].data.clone())).collect();
    assert_eq!(found, wanted);
    assert!(!damage(&out).is_empty());
}

/// What looks like a header within a frame is no frame; what is before the first is skipped.
#[test]
fn garbage_before_a_stream_is_skipped() {
    let mut seeded = Seeded(99);
    for (codec, stream) in every_codec() {
        let whole = assemble(codec, &cut(&stream, || usize::MAX));
        let mut bytes: Vec<u8> = (0..3000).map(|_| (seeded.below(255) + 1) as u8).collect();
        bytes.extend_from_slice(&stream);
        let made = assemble(codec, &cut(&bytes, || usize::MAX));
        assert_eq!(samples(&made).len(), samples(&whole).len(), "{codec:?}");
    }
}

#[test]
fn after_a_flush_times_start_anew_and_parameters_stay() {
    for (codec, stream) in every_codec() {
        let mut assembler = assembler(codec, SourceTrack(1), None);
        let mut out = push(&mut *assembler, Some(0), &stream, false);
        out.extend(flush(&mut *assembler));
        let first = samples(&out).len();
        let begin = samples(&out)[0].pts;
        // No time stated: nothing can be placed.
        let mut more = push(&mut *assembler, None, &stream, false);
        more.extend(flush(&mut *assembler));
        assert_eq!(samples(&more).len(), 0, "{codec:?}");
        let mut again = push(&mut *assembler, Some(1_000_000), &stream, false);
        again.extend(flush(&mut *assembler));
        assert_eq!(samples(&again).len(), first, "{codec:?}");
        assert_eq!(samples(&again)[0].pts, Ticks(begin.0 + 1_000_000));
        assert_eq!(params(&again).len(), 0, "{codec:?}");
    }
}

#[test]
fn an_endless_access_unit_is_dropped() {
    for codec in [Codec::H264, Codec::H265, Codec::Mpeg2Video] {
        let mut assembler = assembler(codec, SourceTrack(1), None);
        let mut out = push(&mut *assembler, Some(0), &[0, 0, 1, 9, 0xf0, 0, 0, 1, 0x41], false);
        let block = vec![0x55; 1 << 20];
        for _ in 0..40 {
            out.extend(push(&mut *assembler, None, &block, false));
        }
        assert_eq!(damage(&out), ["access unit larger than 16 MiB"], "{codec:?}");
    }
}

/// Damaged streams of all kinds. The samples never hold more than came in, and nothing panics.
#[test]
fn mutations() {
    let mut seeded = Seeded(0x5eed);
    for (codec, stream) in every_codec() {
        for _ in 0..60 {
            let mut bytes = stream.clone();
            for _ in 0..=seeded.below(30) {
                let at = seeded.below(bytes.len());
                match seeded.below(5) {
                    0 => bytes[at] = seeded.below(256) as u8,
                    1 => bytes[at] ^= 1 << seeded.below(8),
                    2 => {
                        let end = (at + seeded.below(300)).min(bytes.len());
                        bytes.drain(at..end);
                    }
                    3 => {
                        let from = seeded.below(bytes.len());
                        let piece = bytes[from..(from + seeded.below(500)).min(bytes.len())].to_vec();
                        bytes.splice(at..at, piece);
                    }
                    // Headers stand at the beginning.
                    _ => bytes[at.min(60)] = seeded.below(256) as u8,
                }
                if bytes.is_empty() {
                    bytes.push(0);
                }
            }
            let mut assembler = assembler(codec, SourceTrack(1), None);
            let mut out = Vec::new();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (head, tail) = rest.split_at((1 + seeded.below(3000)).min(rest.len()));
                let pts = (seeded.below(3) > 0).then(|| seeded.below(1 << 30) as i64);
                out.extend(push(&mut *assembler, pts, head, seeded.below(9) == 0));
                rest = tail;
                if seeded.below(40) == 0 {
                    out.extend(flush(&mut *assembler));
                }
            }
            out.extend(flush(&mut *assembler));
            let given: usize = samples(&out).iter().map(|sample| sample.data.len()).sum();
            // A start code of 3 bytes becomes a length of 4.
            assert!(given <= bytes.len() * 4 / 3 + 16, "{codec:?}: {given} of {}", bytes.len());
        }
    }
}

/// Bytes without any structure, and the extremes of time.
#[test]
fn noise() {
    let mut seeded = Seeded(7);
    for codec in [Codec::H264, Codec::H265, Codec::Mpeg2Video, Codec::Aac, Codec::MpegAudio, Codec::Eac3] {
        for round in 0..40usize {
            let mut assembler = assembler(codec, SourceTrack(1), None);
            for _ in 0..20 {
                // Few values, so that start codes and sync words are frequent.
                let values = [0, 0, 1, 0xff, 0xf1, 0x0b, 0x77, 0x67, 0x42, 0x80, 0xb3];
                let data: Vec<u8> = (0..seeded.below(400))
                    .map(|_| if round % 2 == 0 { values[seeded.below(values.len())] } else { seeded.below(256) as u8 })
                    .collect();
                let pts = [None, Some(i64::MAX), Some(i64::MIN), Some(0)][seeded.below(4)];
                push(&mut *assembler, pts, &data, false);
            }
            flush(&mut *assembler);
        }
    }
}
