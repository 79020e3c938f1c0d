//! Tests on streams written packet by packet.

use super::TsDemuxer;
use super::testkit::*;
use crate::container::{MediaEvent, MediaSample, SourceTrack};
use crate::media::{Codec, Ticks, UtcUs};
use proptest::prelude::*;

pub(super) const WRAP: i64 = 1 << 33;
const FRAME: i64 = 3600;

pub(super) fn demux(bytes: &[u8]) -> Vec<MediaEvent> {
    demux_in_pieces(bytes, bytes.len().max(1))
}

pub(super) fn demux_in_pieces(bytes: &[u8], piece: usize) -> Vec<MediaEvent> {
    let mut demuxer = TsDemuxer::with_assemblers(one_sample_per_pes);
    let mut out = Vec::new();
    for chunk in bytes.chunks(piece) {
        demuxer.push(chunk, &mut out);
    }
    demuxer.flush(&mut out);
    out
}

pub(super) fn samples(events: &[MediaEvent], pid: u32) -> Vec<&MediaSample> {
    events
        .iter()
        .filter_map(|e| match e {
            MediaEvent::Sample(s) if s.track == SourceTrack(pid) => Some(s),
            _ => None,
        })
        .collect()
}

fn dts(events: &[MediaEvent], pid: u32) -> Vec<i64> {
    samples(events, pid).iter().map(|s| s.dts.0).collect()
}

fn damage(events: &[MediaEvent]) -> Vec<&'static str> {
    events.iter().filter_map(|e| if let MediaEvent::Damage(why) = e { Some(*why) } else { None }).collect()
}

pub(super) fn breaks(events: &[MediaEvent]) -> usize {
    events.iter().filter(|e| matches!(e, MediaEvent::Discontinuity(_))).count()
}

fn tracks(events: &[MediaEvent]) -> Vec<(u32, Codec, Option<&str>)> {
    events
        .iter()
        .filter_map(|e| match e {
            MediaEvent::Track { track, params } => Some((track.0, params.codec, params.language.as_deref())),
            _ => None,
        })
        .collect()
}

/// Tables and `count` pairs from `start` on.
fn stream(start: i64, count: i64) -> TsWriter {
    let mut ts = TsWriter::default();
    ts.tables();
    for n in 0..count {
        ts.pair(start + n * FRAME);
    }
    ts
}

fn times(start: i64, count: i64) -> Vec<i64> {
    (0..count).map(|n| start + n * FRAME).collect()
}

const START: i64 = 100 * 90_000;

#[test]
fn a_plain_stream_gives_its_tracks_and_samples() {
    let ts = stream(START, 10);
    let events = demux(&ts.bytes);
    assert_eq!(tracks(&events), [(0x101, Codec::H264, None), (0x102, Codec::Aac, None)]);
    assert_eq!(dts(&events, 0x101), times(START, 10));
    assert_eq!(dts(&events, 0x102), times(START, 10));
    assert!(samples(&events, 0x101).iter().all(|s| s.pts.0 == s.dts.0 + 3600 && s.data[..] == [1; 300]));
    assert!(samples(&events, 0x102).iter().all(|s| s.data[..] == [2; 100]));
    assert_eq!(damage(&events), [""; 0]);
    assert_eq!(breaks(&events), 0);
}

#[test]
fn audio_with_a_length_is_complete_without_its_successor() {
    let mut ts = TsWriter::default();
    ts.pat(0, &[(1, 0x100)]);
    ts.pmt(0x100, 1, 0, 0x102, &[(0x0f, 0x102, &[])]);
    ts.pes(0x102, (Some(START), None), &[2; 100], true);
    let mut out = Vec::new();
    TsDemuxer::with_assemblers(one_sample_per_pes).push(&ts.bytes, &mut out);
    // Packets are believed only when more follow.
    assert_eq!(samples(&out, 0x102).len(), 0);
    for _ in 0..3 {
        ts.pcr(0x102, START, false);
    }
    TsDemuxer::with_assemblers(one_sample_per_pes).push(&ts.bytes, &mut out);
    assert_eq!(samples(&out, 0x102).len(), 1);
}

#[test]
fn garbage_is_skipped_and_told_once_per_stretch() {
    let ts = stream(START, 10);
    let whole = demux(&ts.bytes);
    let mut bytes = vec![0x47, 1, 2, 3, 0x47, 0x47];
    bytes.extend(&ts.bytes[..188 * 8]);
    bytes.push(0);
    bytes.extend([0x47; 77]);
    bytes.extend(&ts.bytes[188 * 8..]);
    let events = demux(&bytes);
    assert_eq!(dts(&events, 0x101), dts(&whole, 0x101));
    assert_eq!(dts(&events, 0x102), dts(&whole, 0x102));
    assert!((2..=4).contains(&damage(&events).len()), "{:?}", damage(&events));
    // One wrong sync byte costs one packet.
    let mut bytes = ts.bytes.clone();
    bytes[188 * 8] = 0;
    assert!(samples(&demux(&bytes), 0x101).len() + samples(&demux(&bytes), 0x102).len() >= 19);
    assert!(demux(&[0x55; 100_000]).len() == 1);
}

#[test]
fn packets_of_204_and_of_192_bytes() {
    let ts = stream(START, 10);
    let whole = demux(&ts.bytes);
    let with_code: Vec<u8> = ts.bytes.chunks(188).flat_map(|p| [p, &[0x47; 16]].concat()).collect();
    assert_eq!(demux(&with_code), whole);
    let with_time: Vec<u8> = ts.bytes.chunks(188).flat_map(|p| [&[0x12, 0x34, 0x56, 0x78], p].concat()).collect();
    assert_eq!(demux(&with_time), whole);
}

#[test]
fn tables_over_several_packets_and_damaged_ones() {
    let mut ts = TsWriter::default();
    // A PAT of two sections, a PMT of four packets.
    ts.section(0, &long_section(0, 1, 3, (0, 1), &[0, 0, 0xe0, 0x10]));
    ts.section(0, &long_section(0, 1, 3, (1, 1), &[0, 1, 0xe1, 0x00]));
    let long = [&[0x0a, 4, b'D', b'E', b'U', 0][..], &[0xfe, 200][..], &[0; 200][..]].concat();
    let long = [&long[..], &[0xfe, 200][..], &[0; 200][..]].concat();
    let entries: [PmtEntry<'_>; 3] =
        [(0x1b, 0x101, &long), (0x04, 0x102, &long), (0x06, 0x103, &[0x56, 5, b'f', b'r', b'a', 0, 0])];
    let mut wrong = pmt_section(1, 0, 0x101, &entries);
    wrong[40] ^= 1;
    ts.section(0x100, &wrong);
    ts.pair(START);
    ts.pmt(0x100, 1, 0, 0x101, &entries);
    ts.pair(START + FRAME);
    let events = demux(&ts.bytes);
    assert_eq!(tracks(&events), [(0x101, Codec::H264, Some("deu")), (0x102, Codec::MpegAudio, Some("deu"))]);
    assert_eq!(dts(&events, 0x101), [START + FRAME]);
    assert_eq!(damage(&events), ["a table is damaged"]);
    let uncarried: Vec<_> =
        events.iter().filter_map(|e| if let MediaEvent::Uncarried(u) = e { Some(u) } else { None }).collect();
    assert_eq!(uncarried.len(), 1);
    assert_eq!(
        (uncarried[0].what.as_str(), uncarried[0].place.as_str(), uncarried[0].language.as_deref()),
        ("teletext", "pid 0x103", Some("fra"))
    );
}

#[test]
fn a_changed_pmt_changes_only_what_it_says() {
    let mut ts = stream(START, 3);
    ts.pmt(
        0x100,
        1,
        1,
        0x101,
        &[(0x1b, 0x101, &[]), (0x81, 0x104, &[0x0a, 4, b'e', b'n', b'g', 0]), (0x86, 0x105, &[])],
    );
    ts.pair(START + 3 * FRAME);
    ts.pes(0x104, (Some(START + 3 * FRAME), None), &[4; 10], true);
    // The same content under another version is no change.
    ts.pmt(
        0x100,
        1,
        2,
        0x101,
        &[(0x1b, 0x101, &[]), (0x81, 0x104, &[0x0a, 4, b'e', b'n', b'g', 0]), (0x86, 0x105, &[])],
    );
    ts.pair(START + 4 * FRAME);
    let events = demux(&ts.bytes);
    assert_eq!(
        tracks(&events),
        [(0x101, Codec::H264, None), (0x102, Codec::Aac, None), (0x104, Codec::Ac3, Some("eng"))]
    );
    assert_eq!(events.iter().filter(|e| matches!(e, MediaEvent::TrackGone(SourceTrack(0x102)))).count(), 1);
    assert_eq!(events.iter().filter(|e| matches!(e, MediaEvent::Uncarried(_))).count(), 1);
    assert_eq!(dts(&events, 0x101), times(START, 5));
    assert_eq!(dts(&events, 0x102), times(START, 3));
}

#[test]
fn the_first_program_with_a_track_is_taken_even_when_others_have_no_pmt() {
    let mut ts = TsWriter::default();
    ts.pat(0, &[(7, 0x70), (8, 0x80), (1, 0x100), (2, 0x200)]);
    for n in 0..6 {
        ts.pmt(0x200, 2, 0, 0x201, &[(0x1b, 0x201, &[])]);
        ts.pmt(0x80, 8, 0, 0x81, &[(0x06, 0x81, &[])]);
        ts.pmt(0x100, 1, 0, 0x101, &[(0x1b, 0x101, &[]), (0x0f, 0x102, &[])]);
        ts.pair(START + n * FRAME);
        ts.pes(0x201, (Some(START), None), &[9; 10], false);
    }
    let events = demux(&ts.bytes);
    assert!(samples(&events, 0x101).len() >= 4);
    assert!(samples(&events, 0x201).is_empty());
}

#[test]
fn new_tracks_appear_in_the_order_of_the_pmt() {
    let mut ts = TsWriter::default();
    ts.pat(0, &[(1, 0x100)]);
    ts.pmt(0x100, 1, 0, 0x101, &[(0x0f, 0x106, &[]), (0x0f, 0x104, &[]), (0x1b, 0x101, &[]), (0x0f, 0x108, &[])]);
    for n in 0..150 {
        ts.pes(0x104, (Some(START + n * FRAME), None), &[4], true);
        ts.pes(0x106, (Some(START + n * FRAME), None), &[6], true);
        ts.pes(0x101, (Some(START + n * FRAME), None), &[1], false);
    }
    let events = demux(&ts.bytes);
    assert_eq!(tracks(&events).iter().map(|t| t.0).collect::<Vec<_>>(), [0x106, 0x104, 0x101]);
    assert_eq!(dts(&events, 0x104), times(START, 150));
}

#[test]
fn lost_packets_mark_and_duplicates_vanish() {
    let mut ts = TsWriter::default();
    ts.tables();
    for n in 0..4 {
        ts.pes(0x101, (Some(START + n * FRAME), None), &(0..1000).map(|b| b as u8).collect::<Vec<_>>(), false);
    }
    let whole = demux(&ts.bytes);
    assert_eq!(samples(&whole, 0x101).len(), 4);
    let doubled: Vec<u8> = ts.bytes.chunks(188).flat_map(|p| [p, p].concat()).collect();
    assert_eq!(demux(&doubled), whole);
    // The second packet of the second picture.
    let mut lossy = TsWriter::default();
    lossy.bytes = ts.bytes.clone();
    lossy.remove(2 + 6 + 1);
    let events = demux(&lossy.bytes);
    assert_eq!(damage(&events), ["packets of a track were lost", DAMAGED]);
    assert_eq!(samples(&events, 0x101)[1].data.len(), 1000 - 184);
    // discontinuity_indicator excuses a counter that jumps at the start of a picture.
    let mut spliced = ts.bytes.clone();
    let mut other = TsWriter::default();
    for n in 4..8 {
        let field: &[u8] = if n == 4 { &[0x80] } else { &[] };
        other.unit(0x101, field, &pes(0x101, (Some(START + n * FRAME), None), &[7; 10], false));
    }
    spliced.extend(&other.bytes);
    let events = demux(&spliced);
    assert_eq!(damage(&events), [""; 0]);
    assert_eq!(samples(&events, 0x101).len(), 8);
}

#[test]
fn marked_and_scrambled_packets_are_dropped() {
    let ts = stream(START, 6);
    let mut bytes = ts.bytes.clone();
    let last = ts.packets() - 1;
    bytes[188 * last + 1] |= 0x80;
    let events = demux(&bytes);
    assert_eq!(samples(&events, 0x102).len(), 5);
    assert_eq!(damage(&events), ["a packet is marked as damaged"]);
    let mut bytes = ts.bytes.clone();
    for packet in bytes.chunks_mut(188).skip(2) {
        packet[3] |= 0x80;
    }
    let events = demux(&bytes);
    assert_eq!(damage(&events), ["a track is scrambled"; 2]);
    assert_eq!(tracks(&events), []);
}

#[test]
fn a_pes_packet_that_never_ends_is_given_up() {
    let mut ts = stream(START, 2);
    ts.pes(0x101, (Some(START + 2 * FRAME), None), &vec![0; 9 << 20], false);
    ts.pair(START + 3 * FRAME);
    let events = demux(&ts.bytes);
    assert_eq!(damage(&events)[0], "a PES packet is too large");
    assert_eq!(dts(&events, 0x101), [START, START + FRAME, START + 3 * FRAME]);
}

#[test]
fn times_go_on_through_the_wrap_for_all_tracks() {
    // Audio and video pass 2^33 at different packets.
    let mut ts = TsWriter::default();
    ts.tables();
    let start = WRAP - 5 * FRAME;
    for n in 0..12 {
        let at = start + n * FRAME;
        ts.pcr(0x101, at - 9000, false);
        ts.pes(0x101, (Some(at + 7200), Some(at)), &[1; 20], false);
        ts.pes(0x102, (Some(at - 2000), None), &[2; 20], true);
    }
    let events = demux(&ts.bytes);
    assert_eq!(dts(&events, 0x101), times(start, 12));
    assert_eq!(dts(&events, 0x102), times(start - 2000, 12));
    assert_eq!(samples(&events, 0x101)[3].pts, Ticks(start + 3 * FRAME + 7200));
    assert_eq!((breaks(&events), damage(&events).len()), (0, 0));
    // The video has wrapped already when the audio has not: nothing comes out negative.
    let mut ts = TsWriter::default();
    ts.tables();
    for n in 0..12 {
        ts.pes(0x101, (Some(n * FRAME), None), &[1; 20], false);
        ts.pes(0x102, (Some(n * FRAME - 20_000), None), &[2; 20], true);
    }
    let events = demux(&ts.bytes);
    assert_eq!(dts(&events, 0x102), times(WRAP - 20_000, 12));
    assert_eq!(dts(&events, 0x101), times(WRAP, 12));
}

/// Ten pairs at `from`, ten at `to`; the audio goes on by two frames behind the break.
fn jumping(from: i64, to: i64, with_pcr: bool) -> Vec<u8> {
    let mut ts = TsWriter::default();
    ts.tables();
    for n in 0..20 {
        let base = if n < 10 { from } else { to } + n % 10 * FRAME;
        let late = if !(10..12).contains(&n) { base } else { from + n * FRAME };
        if with_pcr {
            ts.pcr(0x101, base - 9000, n == 10);
        }
        ts.pes(0x101, (Some(base), None), &[1; 20], false);
        ts.pes(0x102, (Some(late), None), &[2; 20], true);
    }
    ts.bytes
}

#[test]
fn a_jump_is_one_discontinuity_and_costs_no_video() {
    for (from, to) in [
        (START, START + 60 * 90_000),
        (START + 60 * 90_000, START),
        (WRAP - 100, 5_000_000),
        (START, START - 2 * 90_000),
    ] {
        for with_pcr in [false, true] {
            let events = demux(&jumping(from, to, with_pcr));
            assert_eq!(breaks(&events), 1, "{from} to {to}, PCR {with_pcr}");
            let at = events.iter().position(|e| matches!(e, MediaEvent::Discontinuity(_))).unwrap();
            let (before, after) = events.split_at(at);
            assert_eq!(dts(before, 0x101).len(), 10);
            assert_eq!(dts(after, 0x101), times(to, 10));
            assert_eq!(dts(after, 0x102), times(to, 10)[2..]);
        }
    }
}

#[test]
fn audio_that_jumps_first_waits_for_the_video() {
    let mut ts = TsWriter::default();
    ts.tables();
    let to = START + 1000 * 90_000;
    for n in 0..30 {
        ts.pes(0x101, (Some(if n < 15 { START } else { to } + n * FRAME), None), &[1; 20], false);
        ts.pes(0x102, (Some(if n < 8 { START } else { to } + n * FRAME), None), &[2; 20], true);
    }
    let events = demux(&ts.bytes);
    assert_eq!(breaks(&events), 1);
    assert_eq!(dts(&events, 0x102).len(), 30);
    assert_eq!(dts(&events, 0x101).len(), 30);
}

#[test]
fn a_small_jump_counts_when_it_is_announced() {
    for (announced, expected) in [(false, 0), (true, 1)] {
        let mut ts = TsWriter::default();
        ts.tables();
        for n in 0..20 {
            let base = START + n * FRAME + if n < 10 { 0 } else { 4 * 90_000 };
            ts.unit(
                0x101,
                &pcr_field(base - 9000, announced && n == 10),
                &pes(0x101, (Some(base), None), &[1; 20], false),
            );
            ts.pes(0x102, (Some(base), None), &[2; 20], true);
        }
        let events = demux(&ts.bytes);
        assert_eq!(breaks(&events), expected);
        assert_eq!((dts(&events, 0x101).len(), dts(&events, 0x102).len()), (20, 20));
    }
    // Announced, but times go on as before.
    let mut ts = TsWriter::default();
    ts.tables();
    for n in 0..20 {
        ts.pcr(0x101, START + n * FRAME - 9000, n == 10);
        ts.pair(START + n * FRAME);
    }
    assert_eq!(breaks(&demux(&ts.bytes)), 0);
}

#[test]
fn one_wrong_timestamp_breaks_nothing() {
    for pid in [0x101, 0x102] {
        for wrong in [0, START + 3_000_000_000, START - 900_000] {
            let mut ts = TsWriter::default();
            ts.tables();
            for n in 0..10 {
                let at = |p: u16| Some(if n == 5 && p == pid { wrong } else { START + n * FRAME });
                ts.pes(0x101, (at(0x101), None), &[1; 20], false);
                ts.pes(0x102, (at(0x102), None), &[2; 20], true);
            }
            let events = demux(&ts.bytes);
            assert_eq!(breaks(&events), 0, "{pid:#x} {wrong}");
            assert_eq!(damage(&events), ["a lone timestamp fits nowhere", UNTIMED]);
            assert_eq!((dts(&events, 0x101).len() + dts(&events, 0x102).len()), 19);
        }
    }
}

#[test]
fn a_track_on_a_clock_of_its_own_does_not_break_the_program() {
    let mut ts = TsWriter::default();
    ts.tables();
    for n in 0..400 {
        ts.pes(0x101, (Some(START + n * FRAME), None), &[1; 20], false);
        ts.pes(0x102, (Some(START + 900_000_000 + n * FRAME), None), &[2; 20], true);
    }
    let events = demux(&ts.bytes);
    assert!(breaks(&events) <= 1);
    assert!(dts(&events, 0x101).len() >= 399);
    // But when the video ends for good, audio goes on.
    let mut ts = stream(START, 10);
    for n in 0..60 {
        ts.pes(0x102, (Some(START + 900_000_000 + n * FRAME), None), &[2; 20], true);
    }
    let events = demux(&ts.bytes);
    assert_eq!(breaks(&events), 1);
    assert_eq!(dts(&events, 0x102).len(), 70);
}

#[test]
fn pes_packets_without_times_follow_those_with() {
    let mut ts = TsWriter::default();
    ts.tables();
    ts.pes(0x101, (None, None), &[1; 20], false);
    for n in 0..10 {
        ts.pes(0x101, ((n % 5 == 0).then_some(START + n * FRAME), None), &[1; 20], false);
    }
    let events = demux(&ts.bytes);
    assert_eq!(dts(&events, 0x101), [START, START + 5 * FRAME]);
    assert_eq!(damage(&events), [UNTIMED; 8]);
}

#[test]
fn wall_time_comes_with_the_media_time_of_the_pcr() {
    let mut ts = stream(START, 1);
    ts.tdt(59_215, [0x12, 0x34, 0x56]);
    ts.pcr(0x101, START + 100, false);
    ts.pair(START + FRAME);
    ts.pcr(0x101, START + 200, false);
    ts.tdt(59_215, [0x12, 0x34, 0x57]);
    ts.tdt(59_215, [0x12, 0x3a, 0x57]);
    let events = demux(&ts.bytes);
    let walls: Vec<_> = events.iter().filter(|e| matches!(e, MediaEvent::WallTime { .. })).collect();
    // 2021-01-01 is day 59215 (MJD).
    let utc = UtcUs::from_seconds(1_609_459_200 + 12 * 3600 + 34 * 60 + 57);
    assert_eq!(walls, [&MediaEvent::WallTime { media: Ticks(START + 200), utc }]);
    assert_eq!(damage(&events), ["a table is damaged"]);
}

#[test]
fn an_external_break_forgets_clock_and_counters_but_not_tables() {
    let mut demuxer = TsDemuxer::with_assemblers(one_sample_per_pes);
    let mut out = Vec::new();
    demuxer.push(&stream(START, 5).bytes, &mut out);
    demuxer.discontinuity(&mut out);
    assert_eq!(out.last(), Some(&MediaEvent::Discontinuity("the source says that the media clock breaks")));
    assert_eq!(dts(&out, 0x101).len(), 5);
    let mut after = Vec::new();
    // Without the tables.
    demuxer.push(&stream(START * 50, 5).bytes[376..], &mut after);
    demuxer.flush(&mut after);
    assert_eq!(dts(&after, 0x101), times(START * 50, 5));
    assert_eq!((breaks(&after), damage(&after).len()), (0, 0));
}

/// A small generator of numbers, the same each time (xorshift).
pub(super) struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

#[test]
fn random_timestamps_never_break_the_clock_for_ever() {
    let mut numbers = Numbers(7);
    let mut ts = stream(START, 10);
    for _ in 0..2000 {
        ts.pes(0x101, (Some(numbers.next(WRAP as usize) as i64), None), &[1; 20], false);
        ts.pes(0x102, (Some(numbers.next(WRAP as usize) as i64), None), &[2; 20], true);
    }
    let events = demux(&ts.bytes);
    assert!(breaks(&events) < 30, "{} breaks", breaks(&events));
}

/// Synthetic streams, with all kinds of packets in any order.
fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = (0u8..9, 0i64..1 << 34, 0usize..600, any::<bool>());
    (proptest::collection::vec(piece, 0..60), any::<bool>()).prop_map(|(pieces, ordered)| {
        let mut ts = stream(START, 2);
        for (n, (kind, number, size, flag)) in pieces.into_iter().enumerate() {
            let at = if ordered { START + (n as i64 + 2) * FRAME } else { number };
            match kind {
                0 | 1 => ts.pair(at),
                2 => ts.pes(0x102, (flag.then_some(at), None), &vec![3; size], true),
                3 => ts.pcr(0x101, at, flag),
                4 => ts.bytes.truncate(ts.bytes.len() - 188 * usize::from(flag)),
                5 => ts.tables(),
                6 => ts.pmt(0x100, 1, size as u8 & 31, 0x101, &[(0x1b, 0x101, &[]), (size as u8, 0x103, &[])]),
                7 => ts.pes(0x101, (Some(at), Some(number)), &vec![0x47; size], flag),
                _ => ts.pat(size as u8 & 31, &[(1, 0x100), (size as u16, number as u16 & 0x1fff)]),
            }
        }
        ts.bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_cut_makes_no_difference(bytes in any_stream(), cut in 1usize..2000, garbage in proptest::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>()) {
        let mut bytes = bytes;
        let at = at.index(bytes.len());
        bytes.splice(at..at, garbage);
        let events = demux(&bytes);
        prop_assert_eq!(demux_in_pieces(&bytes, cut), events.clone());
        for event in &events {
            if let MediaEvent::Sample(s) = event {
                prop_assert!(s.dts.0 >= 0 && s.pts.0 >= 0);
            }
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(prop_oneof![Just(0x47u8), any::<u8>()], 0..4000), cut in 1usize..500) {
        prop_assert_eq!(demux_in_pieces(&bytes, cut), demux(&bytes));
    }
}
