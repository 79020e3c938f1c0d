//! A recording made of numbers: every sample's bytes begin with its number, so that a file can be checked.

use crate::media::segment::SegmentId;
use crate::media::track::{AudioParams, InitInfo, TrackParams, VideoParams};
use crate::media::*;
use crate::playback::export::{ExportError, ExportPlan, Slice, TableSet};
use mp4_atom::Encode;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

pub const V: TrackId = TrackId::video(1);
pub const A: TrackId = TrackId::audio(1);
pub const FRAME: i64 = 3600;
pub const SOUND: i64 = 1920;
/// Frames of a synthetic segment: an I frame, then groups of P B B.
pub const GOP: i64 = 25;
pub const SEGMENT_US: i64 = GOP * 40_000;
pub const T0: i64 = 1_409_148_900_000_000;

#[derive(Debug, Clone)]
pub struct Truth {
    pub track: TrackId,
    pub run: u128,
    pub dts: i64,
    pub pts: i64,
    pub duration: i64,
    pub sync: bool,
    pub data: Vec<u8>,
}

#[derive(Default)]
pub struct Recording {
    pub segments: Vec<Segment>,
    pub tables: BTreeMap<u64, Vec<SampleTable>>,
    pub objects: HashMap<ObjectKey, Vec<u8>>,
    pub inits: Vec<InitInfo>,
    /// By number.
    pub truth: Vec<Truth>,
    pub next_sequence: u64,
}

pub struct PartIn {
    pub track: TrackId,
    pub init: InitHash,
    pub decode_start: i64,
    pub samples: Vec<(Sample, Vec<u8>)>,
}

/// How one run is recorded.
#[derive(Debug, Clone)]
pub struct Run {
    pub run: u128,
    pub utc: i64,
    pub media: i64,
    pub segments: usize,
    /// Added to every composition offset of the video, in frames.
    pub shift: i64,
    pub init: InitHash,
    /// Segments without sound.
    pub silent: Range<usize>,
    pub video: bool,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            run: 1,
            utc: T0,
            media: 1 << 33,
            segments: 5,
            shift: 0,
            init: video_init(640).hash,
            silent: 0..0,
            video: true,
        }
    }
}

pub fn encoded(atom: impl Encode) -> Vec<u8> {
    let mut out = Vec::new();
    atom.encode(&mut out).unwrap();
    out
}

pub fn video_init(width: u16) -> InitInfo {
    let sample_entry = encoded(mp4_atom::Avc1 {
        visual: mp4_atom::Visual { data_reference_index: 1, width, height: 360, ..Default::default() },
        avcc: mp4_atom::Avcc {
            configuration_version: 1,
            avc_profile_indication: 77,
            avc_level_indication: 30,
            length_size: 4,
            sequence_parameter_sets: vec![vec![0x67, 77, 0, 30]],
            picture_parameter_sets: vec![vec![0x68, 1, 2, 3]],
            ..Default::default()
        },
        ..Default::default()
    });
    let params = TrackParams {
        codec: Codec::H264,
        codec_string: "avc1.4d001e".into(),
        language: None,
        video: Some(VideoParams { width: width.into(), height: 360 }),
        audio: None,
        sample_entry,
    };
    InitInfo { hash: InitHash::of(&width.to_be_bytes()), params }
}

pub fn audio_init() -> InitInfo {
    let esds = mp4_atom::Esds {
        es_desc: mp4_atom::esds::EsDescriptor {
            dec_config: mp4_atom::esds::DecoderConfig {
                object_type_indication: 0x40,
                stream_type: 5,
                dec_specific: Some(mp4_atom::esds::DecoderSpecific {
                    profile: 2,
                    freq_index: 3,
                    chan_conf: 2,
                    ..Default::default()
                }),
                ..Default::default()
            },
            ..Default::default()
        },
    };
    let sample_entry = encoded(mp4_atom::Mp4a {
        audio: mp4_atom::Audio {
            data_reference_index: 1,
            channel_count: 2,
            sample_size: 16,
            sample_rate: 48000.into(),
        },
        esds,
        btrt: None,
        taic: None,
    });
    let params = TrackParams {
        codec: Codec::Aac,
        codec_string: "mp4a.40.2".into(),
        language: Some("deu".into()),
        video: None,
        audio: Some(AudioParams { sample_rate: 48_000, channels: 2 }),
        sample_entry,
    };
    InitInfo { hash: InitHash::of(b"audio"), params }
}

impl Recording {
    pub fn new() -> Self {
        Self { inits: vec![video_init(640), video_init(720), audio_init()], next_sequence: 100, ..Self::default() }
    }

    /// Numbers a sample and remembers what it is.
    fn number(&mut self, track: TrackId, run: u128, dts: i64, sample: Sample) -> (Sample, Vec<u8>) {
        let number = self.truth.len() as u32;
        let mut data = number.to_be_bytes().to_vec();
        data.resize(4 + (number as usize * 7) % 23, track.number);
        let sample = Sample { size: data.len() as u32, ..sample };
        self.truth.push(Truth {
            track,
            run,
            dts,
            pts: dts + i64::from(sample.composition_offset),
            duration: sample.duration.into(),
            sync: sample.sync,
            data: data.clone(),
        });
        (sample, data)
    }

    /// Records a run; sound is cut at the first frame at or after each cut of the pictures.
    pub fn run(&mut self, how: &Run) {
        let sound_frame = |media: i64| (media - 700).div_euclid(SOUND) + i64::from((media - 700) % SOUND != 0);
        for index in 0..how.segments as i64 {
            let decode_start = how.media + index * GOP * FRAME;
            // Two frames of reordering delay.
            let anchor = decode_start + (1 + how.shift) * FRAME;
            let mut parts = Vec::new();
            if how.video {
                let mut samples = Vec::new();
                for j in 0..GOP {
                    let offset = match j {
                        0 => 1,
                        _ if j % 3 == 1 => 3,
                        _ => 0,
                    };
                    let sample = Sample {
                        size: 0,
                        duration: FRAME as u32,
                        composition_offset: ((offset + how.shift) * FRAME) as i32,
                        sync: j == 0,
                    };
                    samples.push(self.number(V, how.run, decode_start + j * FRAME, sample));
                }
                parts.push(PartIn { track: V, init: how.init, decode_start, samples });
            }
            if !how.silent.contains(&(index as usize)) {
                let frames = sound_frame(anchor)..sound_frame(anchor + GOP * FRAME);
                let first = frames.start * SOUND + 700;
                let sample = Sample { size: 0, duration: SOUND as u32, composition_offset: 0, sync: true };
                let samples = frames.map(|n| self.number(A, how.run, n * SOUND + 700, sample)).collect();
                parts.push(PartIn { track: A, init: audio_init().hash, decode_start: first, samples });
            }
            self.segment(how.run, how.utc + index * SEGMENT_US, SEGMENT_US, anchor, parts);
        }
    }

    pub fn segment(&mut self, run: u128, start: i64, duration_us: i64, anchor: i64, parts: Vec<PartIn>) {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let stream = StreamName::parse("sport/ort").unwrap();
        let id = SegmentId { stream, run: RunId(run), epoch: 1, sequence, start: UtcUs(start), duration_us };
        let mut object = Vec::new();
        let mut tracks = Vec::new();
        let mut tables = Vec::new();
        for part in parts {
            let offset = object.len() as u64;
            object.resize(object.len() + 33, 0xee);
            let mut presentation_start = i64::MAX;
            let mut dts = part.decode_start;
            for (sample, data) in &part.samples {
                presentation_start = presentation_start.min(dts + i64::from(sample.composition_offset));
                dts += i64::from(sample.duration);
                object.extend_from_slice(data);
            }
            let table = SampleTable { samples: part.samples.iter().map(|(s, _)| *s).collect() };
            tracks.push(TrackPart {
                track: part.track,
                init: part.init,
                offset,
                length: object.len() as u64 - offset,
                payload_offset: 33,
                decode_start: Ticks(part.decode_start),
                presentation_start: Ticks(presentation_start),
                duration: table.duration(),
                sample_count: table.samples.len() as u32,
                sync_count: table.sync_count(),
                starts_with_sync: table.samples[0].sync,
                duration_runs: table.duration_runs(),
                composition_runs: table.composition_runs(),
            });
            tables.push(table);
        }
        let key = id.object_key().unwrap();
        self.segments.push(Segment {
            id,
            discontinuity: run as u64,
            anchor: Ticks(anchor),
            object: key.clone(),
            object_offset: 0,
            object_length: object.len() as u64,
            tracks,
        });
        self.tables.insert(sequence, tables);
        self.objects.insert(key, object);
    }

    pub fn edge_tables(&self, window: UtcRange, segments: &[Segment]) -> TableSet {
        let edges = ExportPlan::edges(window, segments).unwrap();
        edges.into_iter().map(|s| (s, self.tables[&s].clone())).collect()
    }

    pub fn plan(&self, window: UtcRange, tracks: Option<&[TrackId]>) -> Result<ExportPlan, ExportError> {
        let tables = self.edge_tables(window, &self.segments);
        ExportPlan::new(window, &self.segments, &self.inits, &tables, tracks)
    }

    /// Puts a range of the file together as a server would.
    pub fn bytes(&self, plan: &ExportPlan, range: Range<u64>) -> Vec<u8> {
        let mut out = Vec::new();
        let mut loaded = TableSet::new();
        for slice in plan.slices(range) {
            let before = out.len();
            match &slice {
                Slice::Bytes(bytes) => out.extend_from_slice(bytes),
                Slice::Object { key, range, .. } => {
                    out.extend_from_slice(&self.objects[key][range.start as usize..range.end as usize])
                }
                Slice::Tables(piece) => {
                    assert!(piece.sequences.end - piece.sequences.start <= super::super::slices::PIECE_SEGMENTS);
                    if !plan.missing(piece, &loaded).is_empty() {
                        loaded.clear();
                        let missing = plan.missing(piece, &loaded);
                        assert!(missing.iter().all(|(s, _)| piece.sequences.contains(s)));
                        loaded.extend(missing.into_iter().map(|(s, _)| (s, self.tables[&s].clone())));
                    }
                    out.extend_from_slice(&plan.render(piece, &loaded).unwrap());
                }
            }
            assert_eq!((out.len() - before) as u64, slice.bytes());
            assert!(slice.bytes() > 0);
        }
        out
    }

    pub fn file(&self, plan: &ExportPlan) -> Vec<u8> {
        let bytes = self.bytes(plan, 0..u64::MAX);
        assert_eq!(bytes.len() as u64, plan.total_bytes());
        bytes
    }
}

/// A window in microseconds after [`T0`].
pub fn window(from: i64, to: i64) -> UtcRange {
    UtcRange::new(UtcUs(T0 + from), UtcUs(T0 + to))
}
