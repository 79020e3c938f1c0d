//! A file through demuxer, segmenter, writer and reader: what a recorder makes of it, without its I/O.

use evertape::container::MediaEvent;
use evertape::container::cmaf::{self, PartInput};
use evertape::container::mpegts::TsDemuxer;
use evertape::media::segment::{SegmentId, SegmentWithTables};
use evertape::media::track::Uncarried;
use evertape::media::{RunId, StreamName, Ticks, TrackId, UtcUs};
use evertape::recorder::segmenter::{CutSegment, Output, Segmenter};
use std::collections::BTreeMap;
use std::path::Path;

/// 2014-08-27 14:15:00 UTC.
pub const START: UtcUs = UtcUs(1_409_148_900_000_000);

/// One packet or sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    pub pts: i64,
    pub dts: i64,
    pub size: usize,
    pub sync: bool,
}

/// A sample that was read back from its object.
#[derive(Debug, Clone)]
pub struct Stored {
    pub packet: Packet,
    pub data: Vec<u8>,
}

/// A whole recording.
#[derive(Default)]
pub struct Recording {
    pub segments: Vec<SegmentWithTables>,
    pub objects: Vec<Vec<u8>>,
    /// Init segments of each track, in order of appearance.
    pub inits: BTreeMap<TrackId, Vec<Vec<u8>>>,
    pub uncarried: Vec<Uncarried>,
    pub notes: Vec<String>,
}

/// Records `path`, given to the demuxer in pieces of `piece` bytes.
pub fn record(path: &Path, segment_seconds: u32, piece: usize) -> Recording {
    let bytes = std::fs::read(path).expect("the capture can be read");
    let mut demuxer = TsDemuxer::new();
    let mut segmenter = Segmenter::new(segment_seconds, UtcUs(0));
    let mut out = Vec::new();
    for piece in bytes.chunks(piece) {
        let mut events = Vec::new();
        demuxer.push(piece, &mut events);
        // A file that is given a start has no clock of its own; so the program does, too.
        events.retain(|e| !matches!(e, MediaEvent::WallTime { .. }));
        segmenter.push(events, None, START, &mut out);
    }
    let mut events = Vec::new();
    demuxer.flush(&mut events);
    segmenter.push(events, None, START, &mut out);
    segmenter.end_run(&mut out);
    let mut recording = Recording::default();
    for output in out {
        match output {
            Output::Segment(cut) => recording.write(&cut),
            Output::Note(note) => recording.notes.push(note),
            Output::Uncarried(what) => recording.uncarried.push(what),
        }
    }
    recording
}

impl Recording {
    fn write(&mut self, cut: &CutSegment) {
        let id = SegmentId {
            stream: StreamName::parse("capture").expect("a name"),
            run: RunId(1),
            epoch: 1,
            sequence: self.segments.len() as u64,
            start: cut.start,
            duration_us: cut.duration_us,
        };
        let inputs: Vec<PartInput<'_>> = cut
            .parts
            .iter()
            .map(|p| PartInput {
                track: p.track,
                init: p.init.info.hash,
                decode_start: p.decode_start,
                table: &p.table,
                payload: &p.payload,
            })
            .collect();
        let (object, row) =
            cmaf::write_segment(&id, 0, cut.anchor, cut.new_run, &inputs).expect("a segment that can be written");
        let read = cmaf::read_segment(&row.object, &object).expect("a segment that can be read back");
        assert_eq!(read.segment, row, "the object says something else than the row");
        for (table, part) in read.tables.iter().zip(&cut.parts) {
            assert_eq!(*table, part.table);
            let inits = self.inits.entry(part.track).or_default();
            if inits.last().is_none_or(|last| *last != part.init.bytes) {
                inits.push(part.init.bytes.to_vec());
            }
        }
        self.segments.push(read);
        self.objects.push(object);
    }

    /// All samples of a track, as the objects hold them.
    pub fn samples(&self, track: TrackId) -> Vec<Stored> {
        let mut samples = Vec::new();
        for (with, object) in self.segments.iter().zip(&self.objects) {
            for (part, table) in with.segment.tracks.iter().zip(&with.tables).filter(|(p, _)| p.track == track) {
                let mut payload = cmaf::payload_of(part, object).expect("the samples lie in the object");
                let mut dts = part.decode_start;
                for sample in &table.samples {
                    let (data, rest) = payload.split_at(sample.size as usize);
                    payload = rest;
                    let pts = dts + Ticks(sample.composition_offset.into());
                    let packet = Packet { pts: pts.0, dts: dts.0, size: data.len(), sync: sample.sync };
                    samples.push(Stored { packet, data: data.to_vec() });
                    dts = dts + Ticks(sample.duration.into());
                }
                assert!(payload.is_empty());
            }
        }
        samples
    }

    /// Init segment and fragments of a track, one after another: a file that players read.
    pub fn fragmented(&self, track: TrackId) -> Vec<u8> {
        let mut file = self.inits[&track][0].clone();
        for (with, object) in self.segments.iter().zip(&self.objects) {
            if let Some(part) = with.segment.part(track) {
                file.extend_from_slice(&object[part.offset as usize..(part.offset + part.length) as usize]);
            }
        }
        file
    }
}
