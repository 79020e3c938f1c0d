//! Random tables: lengths, order, times, what damaged input does.

use crate::entries;
use crate::ts_check::{self, Report};
use evertape::container::codec::{Assembled, Assembler, PesPayload};
use evertape::container::mpegts::TsDemuxer;
use evertape::container::mpegts::mux::{MuxError, MuxShape, MuxTrack, mux, muxed_bytes};
use evertape::container::{MediaEvent, MediaSample, SourceTrack};
use evertape::media::track::TrackParams;
use evertape::media::{Codec, Sample, Ticks, TrackId, TrackKind};
use proptest::prelude::*;

const WRAP: i64 = 1 << 33;

/// One track of a run: its samples with their bytes as they are stored.
#[derive(Debug, Clone)]
struct Track {
    id: TrackId,
    params: TrackParams,
    start: i64,
    samples: Vec<(Sample, Vec<u8>)>,
}

/// A part of a track, as a segment has it.
struct Part {
    id: TrackId,
    params: TrackParams,
    start: i64,
    table: Vec<Sample>,
    payload: Vec<u8>,
}

impl Track {
    fn dts(&self) -> impl Iterator<Item = i64> {
        self.samples.iter().scan(self.start, |at, (s, _)| {
            let dts = *at;
            *at += i64::from(s.duration);
            Some(dts)
        })
    }

    /// The samples with a DTS from `from` up to `to`.
    fn part(&self, from: i64, to: i64) -> Part {
        let mut part =
            Part { id: self.id, params: self.params.clone(), start: 0, table: Vec::new(), payload: Vec::new() };
        for (dts, (sample, data)) in self.dts().zip(&self.samples).filter(|(dts, _)| (from..to).contains(dts)) {
            if part.table.is_empty() {
                part.start = dts;
            }
            part.table.push(*sample);
            part.payload.extend_from_slice(data);
        }
        part
    }

    fn sets(&self) -> &'static [u8] {
        if self.params.codec == Codec::H264 { entries::H264_SETS } else { entries::H265_SETS }
    }

    /// A stored sample as it must stand in its PES packet.
    fn muxed(&self, sample: &Sample, data: &[u8], first: bool) -> Vec<u8> {
        let mut out = Vec::new();
        match self.params.codec {
            Codec::H264 | Codec::H265 => {
                let delimiter: &[u8] = if self.params.codec == Codec::H264 {
                    &[0, 0, 0, 1, 9, 0xf0]
                } else {
                    &[0, 0, 0, 1, 0x46, 1, 0x50]
                };
                out.extend_from_slice(delimiter);
                if sample.sync || first {
                    out.extend_from_slice(self.sets());
                }
                let mut rest = data;
                while !rest.is_empty() {
                    let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
                    out.extend_from_slice(&[0, 0, 0, 1]);
                    out.extend_from_slice(&rest[4..4 + length]);
                    rest = &rest[4 + length..];
                }
            }
            Codec::Aac => {
                let length = data.len() as u32 + 7;
                out.extend([0xff, 0xf1, 0x4c, 0x80 | (length >> 11) as u8, (length >> 3) as u8]);
                out.extend([(length << 5) as u8 | 0x1f, 0xfc]);
                out.extend_from_slice(data);
            }
            _ => out.extend_from_slice(data),
        }
        out
    }
}

fn mux_parts(parts: &[Part], discontinuity: bool) -> Result<Vec<u8>, MuxError> {
    let tracks = parts.iter().map(|p| MuxTrack {
        track: p.id,
        params: &p.params,
        decode_start: Ticks(p.start),
        table: &p.table,
        payload: &p.payload,
    });
    mux(&tracks.collect::<Vec<_>>(), discontinuity)
}

fn length_of(parts: &[Part]) -> Result<u64, MuxError> {
    let shapes = parts.iter().map(|p| MuxShape {
        track: p.id,
        params: &p.params,
        decode_start: Ticks(p.start),
        table: &p.table,
    });
    muxed_bytes(&shapes.collect::<Vec<_>>())
}

fn nal_units(first: u8) -> impl Strategy<Value = Vec<u8>> {
    let unit = proptest::collection::vec(1u8.., 1..900).prop_map(move |mut unit| {
        unit[0] = first;
        let mut out = (unit.len() as u32).to_be_bytes().to_vec();
        out.extend(unit);
        out
    });
    proptest::collection::vec(unit, 1..5).prop_map(|units| units.concat())
}

fn pictures(hevc: bool) -> impl Strategy<Value = Vec<(Sample, Vec<u8>)>> {
    let duration = prop_oneof![8 => Just(3600u32), 1 => 1u32..30_000];
    let sample = (nal_units(if hevc { 0x26 } else { 0x41 }), duration, 0i32..20_000, prop::bool::weighted(0.1));
    proptest::collection::vec(sample, 1..120).prop_map(|samples| {
        let sample = |(data, duration, composition_offset, sync): (Vec<u8>, _, _, _)| {
            (Sample { size: data.len() as u32, duration, composition_offset, sync }, data)
        };
        samples.into_iter().map(sample).collect()
    })
}

fn sounds(duration: u32) -> impl Strategy<Value = Vec<(Sample, Vec<u8>)>> {
    let gap = prop_oneof![30 => 0..2u32, 1 => 1000..40_000u32];
    let sample = (proptest::collection::vec(1u8..0xff, 1..700), gap);
    proptest::collection::vec(sample, 1..250).prop_map(move |samples| {
        let sample = |(data, gap): (Vec<u8>, u32)| {
            let sample =
                Sample { size: data.len() as u32, duration: duration + gap, composition_offset: 0, sync: true };
            (sample, data)
        };
        samples.into_iter().map(sample).collect()
    })
}

/// A run of one to four tracks, somewhere around a wrap.
fn run() -> impl Strategy<Value = Vec<Track>> {
    let video = proptest::option::of(prop::bool::ANY.prop_flat_map(|hevc| (Just(hevc), pictures(hevc))));
    let more = proptest::collection::vec((sounds(1920), 0..3usize, 0i64..9000), 1..4);
    (video, more, WRAP - 2_000_000..WRAP + 100_000).prop_map(|(video, sounds, start)| {
        let mut tracks = Vec::new();
        if let Some((hevc, samples)) = video {
            let params = if hevc { entries::h265() } else { entries::h264() };
            tracks.push(Track { id: TrackId::video(1), params, start, samples });
        }
        for (n, (samples, kind, later)) in (1u8..).zip(sounds) {
            let params = [entries::aac(Some("deu")), entries::mp2(), entries::ac3()][kind].clone();
            tracks.push(Track { id: TrackId::audio(n), params, start: start + later, samples });
        }
        tracks
    })
}

fn pid(track: TrackId) -> u16 {
    let base = if track.kind == TrackKind::Video { 0x100 } else { 0x110 };
    base + u16::from(track.number) - 1
}

/// The PES packets of a report hold the samples of a track, with their times.
fn assert_holds(report: &Report, track: &Track, cuts: &[i64]) {
    let found = &report.pids[&pid(track.id)].pes;
    let mut piece_before = None;
    let mut expected = track.dts().zip(&track.samples).map(|(dts, (s, data))| {
        let piece = cuts.iter().filter(|c| **c <= dts).count();
        let first = piece_before.replace(piece) != Some(piece);
        let pts = dts + i64::from(s.composition_offset);
        (pts.rem_euclid(WRAP), dts.rem_euclid(WRAP), s.sync, track.muxed(s, data, first))
    });
    for pes in found {
        let (pts, dts, sync, mut data) = expected.next().expect("no PES packet more than samples");
        assert_eq!((pes.pts.rem_euclid(WRAP), pes.dts.rem_euclid(WRAP)), (pts, dts));
        if track.id.kind == TrackKind::Video {
            assert_eq!(pes.random_access, sync);
        }
        while data.len() < pes.data.len() {
            assert_eq!(track.id.kind, TrackKind::Audio, "one picture in each PES packet");
            data.extend(expected.next().expect("no more bytes than samples have").3);
        }
        assert_eq!(pes.data, data);
    }
    assert!(expected.next().is_none(), "all samples are there");
}

/// Gives each PES packet as a sample.
struct Whole(SourceTrack, Option<TrackParams>);

impl Assembler for Whole {
    fn push(&mut self, pes: PesPayload<'_>, out: &mut Vec<Assembled>) {
        out.extend(self.1.take().map(Assembled::Params));
        assert!(!pes.damaged);
        let pts = pes.pts.unwrap();
        let data = bytes::Bytes::copy_from_slice(pes.data);
        let dts = pes.dts.unwrap_or(pts);
        out.push(Assembled::Sample(MediaSample { track: self.0, dts, pts, duration: None, sync: false, data }));
    }

    fn flush(&mut self, _: &mut Vec<Assembled>) {}
}

fn whole(codec: Codec, track: SourceTrack, language: Option<String>) -> Box<dyn Assembler> {
    let params = TrackParams {
        codec,
        codec_string: String::new(),
        language,
        video: None,
        audio: None,
        sample_entry: Vec::new(),
    };
    Box::new(Whole(track, Some(params)))
}

/// Our demuxer reads what the checker read.
fn assert_demuxed(ts: &[u8], report: &Report) {
    let mut events = Vec::new();
    let mut demuxer = TsDemuxer::with_assemblers(whole);
    demuxer.push(ts, &mut events);
    demuxer.flush(&mut events);
    for (pid, stream) in &report.pids {
        let samples = events.iter().filter_map(|e| match e {
            MediaEvent::Sample(s) if s.track == SourceTrack(u32::from(*pid)) => Some(s),
            _ => None,
        });
        let found: Vec<_> =
            samples.map(|s| (s.pts.0.rem_euclid(WRAP), s.dts.0.rem_euclid(WRAP), s.data.to_vec())).collect();
        let expected: Vec<_> =
            stream.pes.iter().map(|p| (p.pts.rem_euclid(WRAP), p.dts.rem_euclid(WRAP), p.data.clone())).collect();
        assert!(found == expected, "pid {pid:#x}: {} and {} PES packets", found.len(), expected.len());
    }
    let damage: Vec<_> =
        events.iter().filter(|e| matches!(e, MediaEvent::Damage(_) | MediaEvent::Discontinuity(_))).collect();
    assert!(damage.is_empty(), "{damage:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// A run cut anywhere, muxed piece by piece and put together, is one stream without a seam.
    #[test]
    fn segments_join(tracks in run(), cuts in proptest::collection::vec(0i64..600_000, 0..4)) {
        let start = tracks[0].start;
        let mut cuts: Vec<i64> = cuts.iter().map(|c| start + c).collect();
        cuts.extend([i64::MIN, i64::MAX]);
        cuts.sort_unstable();
        let mut ts = Vec::new();
        for pair in cuts.windows(2) {
            let parts: Vec<Part> = tracks.iter().map(|t| t.part(pair[0], pair[1])).collect();
            let made = mux_parts(&parts, false);
            prop_assert_eq!(made.as_ref().map(|m| m.len() as u64).map_err(Clone::clone), length_of(&parts));
            match made {
                Ok(made) => ts.extend(made),
                Err(MuxError::Nothing) => prop_assert!(parts.iter().all(|p| p.table.is_empty())),
                Err(other) => panic!("{other}"),
            }
        }
        let video_only_parts = cuts.len() > 2;
        let mut report = ts_check::check(&ts);
        // A piece without pictures has its PCR elsewhere: time that no picture tells, and another PMT, which once in
        // 32 times has the same version.
        if video_only_parts {
            let of_time = ["the PCR steps by", "a PCR on pid", "between two tables", "its version did not"];
            report.faults.retain(|f| of_time.iter().all(|t| !f.contains(t)));
        }
        report.assert_clean();
        for track in &tracks {
            assert_holds(&report, track, &cuts);
        }
        assert_demuxed(&ts, &report);
    }

    /// Bytes that are not what they should be are refused or muxed to the length that was told.
    #[test]
    fn damaged_payload_never_panics(
        tracks in run(),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        discontinuity: bool,
    ) {
        let mut parts: Vec<Part> = tracks.iter().map(|t| t.part(i64::MIN, i64::MAX)).collect();
        let expected = length_of(&parts).unwrap();
        for (at, byte) in flips {
            let payload = &mut parts[0].payload;
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        match mux_parts(&parts, discontinuity) {
            Ok(ts) => prop_assert_eq!(ts.len() as u64, expected),
            Err(error) => prop_assert!(matches!(error, MuxError::NalLengths(_)), "{}", error),
        }
        parts[0].payload.pop();
        let refused = mux_parts(&parts, discontinuity);
        prop_assert_eq!(refused, Err(MuxError::Payload(parts[0].id)));
    }

    /// Tables that nobody would write are refused or muxed to the length that was told.
    #[test]
    fn absurd_tables_never_panic(
        samples in proptest::collection::vec((0u32..2000, any::<u32>(), any::<i32>(), any::<bool>()), 0..40),
        small: bool,
        start: i64,
        kind in 0usize..4,
    ) {
        let duration = |d: u32| if small { d % 9000 } else { d };
        let table: Vec<Sample> = samples
            .iter()
            .map(|&(size, d, composition_offset, sync)| Sample { size, duration: duration(d), composition_offset, sync })
            .collect();
        let params = [entries::h264(), entries::aac(None), entries::mp2(), entries::h265()][kind].clone();
        let id = TrackId { kind: params.kind(), number: 200 };
        let payload = vec![0; table.iter().map(|s| s.size as usize).sum()];
        let parts = [Part { id, params, start, table, payload }];
        match mux_parts(&parts, true) {
            // The payload of zeros is no whole number of lengths.
            Err(MuxError::NalLengths(_)) => prop_assert!(length_of(&parts).is_ok()),
            made => prop_assert_eq!(made.map(|m| m.len() as u64), length_of(&parts)),
        }
    }
}

fn audio_part(id: TrackId, samples: usize) -> Part {
    let table = vec![Sample { size: 100, duration: 1920, composition_offset: 0, sync: true }; samples];
    Part { id, params: entries::aac(Some("eng")), start: 900_000, payload: vec![7; 100 * samples], table }
}

#[test]
fn what_cannot_be_muxed_is_refused() {
    assert_eq!(mux(&[], false), Err(MuxError::Nothing));
    assert_eq!(muxed_bytes(&[]), Err(MuxError::Nothing));
    let one = TrackId::audio(1);
    assert_eq!(mux_parts(&[audio_part(one, 0)], false), Err(MuxError::Nothing));
    assert_eq!(mux_parts(&[audio_part(one, 1), audio_part(one, 1)], false), Err(MuxError::Twice(one)));
    let many: Vec<Part> = (1..=255).map(|n| audio_part(TrackId::audio(n), 1)).collect();
    assert_eq!(mux_parts(&many, false), Err(MuxError::TooManyTracks));
    let long = Sample { size: 8185, duration: 1920, composition_offset: 0, sync: true };
    let part = Part { table: vec![long], payload: vec![0; 8185], ..audio_part(one, 0) };
    assert_eq!(mux_parts(&[part], false), Err(MuxError::FrameTooLong(one)));
    let broken =
        Part { params: TrackParams { sample_entry: vec![1, 2, 3], ..entries::aac(None) }, ..audio_part(one, 1) };
    assert!(matches!(mux_parts(&[broken], false), Err(MuxError::Entry(track, _)) if track == one));
}

/// With any number of tracks the PMT has the length that was told, with and without flags.
#[test]
fn pmts_of_every_length_are_whole() {
    for tracks in 1..=58u8 {
        let parts: Vec<Part> = (1..=tracks).map(|n| audio_part(TrackId::audio(n), 40)).collect();
        let Ok(expected) = length_of(&parts) else {
            assert!(tracks > 40, "{tracks}");
            continue;
        };
        for discontinuity in [false, true] {
            let ts = mux_parts(&parts, discontinuity).unwrap();
            assert_eq!(ts.len() as u64, expected, "{tracks} tracks");
            let report = ts_check::check(&ts);
            report.assert_clean();
            assert_eq!(report.pids.len(), usize::from(tracks));
            assert_eq!((report.pats % 16, report.pmts % 16), (0, 0));
            for stream in report.pids.values() {
                assert_eq!(stream.payload_packets % 16, 0);
                assert_eq!(stream.discontinuities, usize::from(discontinuity));
                assert_eq!(stream.language.as_deref(), Some("eng"));
                assert_eq!(stream.access_units, 40);
            }
        }
    }
}

/// The least there can be: one byte of sound, in 16 packets all the same.
#[test]
fn a_byte_of_sound_fills_its_packets() {
    let table = vec![Sample { size: 1, duration: 2160, composition_offset: 0, sync: true }];
    let part = Part { id: TrackId::audio(1), params: entries::mp2(), start: 0, table, payload: vec![0xab] };
    let ts = mux_parts(&[part], false).unwrap();
    let report = ts_check::check(&ts);
    report.assert_clean();
    let stream = &report.pids[&0x110];
    assert_eq!((stream.payload_packets, stream.pes.len(), stream.pes[0].data.as_slice()), (16, 1, [0xab].as_slice()));
}

/// MP4 lets pictures be shown before they are decoded; here they are decoded earlier, and none is shown later.
#[test]
fn negative_composition_offsets_become_earlier_decoding() {
    let offsets = [0, 3, -1, -1, 0, 3, -1, -1];
    let table: Vec<Sample> =
        offsets.iter().map(|o| Sample { size: 6, duration: 3600, composition_offset: o * 3600, sync: false }).collect();
    let payload = [0, 0, 0, 2, 0x41, 1].repeat(offsets.len());
    let part = Part { id: TrackId::video(1), params: entries::h264(), start: 900_000, table, payload };
    let report = ts_check::check(&mux_parts(&[part], false).unwrap());
    report.assert_clean();
    let pts: Vec<i64> = report.pids[&0x100].pes.iter().map(|p| (p.pts - 900_000) / 3600).collect();
    assert_eq!(pts, [0, 4, 1, 2, 4, 8, 5, 6]);
}

/// A delimiter that a source left in its samples, and an empty NAL unit, are replaced by zero bytes.
#[test]
fn stored_delimiters_do_not_come_twice() {
    let payload = [&[0, 0, 0, 2, 0x09, 0x10][..], &[0, 0, 0, 0], &[0, 0, 0, 3, 0x65, 1, 2]].concat();
    let table = vec![Sample { size: payload.len() as u32, duration: 3600, composition_offset: 0, sync: false }];
    let part = Part { id: TrackId::video(1), params: entries::h264(), start: 900_000, table, payload };
    let report = ts_check::check(&mux_parts(&[part], false).unwrap());
    report.assert_clean();
    let data = &report.pids[&0x100].pes[0].data;
    assert_eq!(
        data.as_slice(),
        [&[0, 0, 0, 1, 9, 0xf0][..], entries::H264_SETS, &[0; 10], &[0, 0, 0, 1, 0x65, 1, 2]].concat()
    );
}
