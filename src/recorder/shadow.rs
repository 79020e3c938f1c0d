//! Shadows: cut segments on the disk of which it is not known yet whether and under which number they are published.
//!
//! Comes in: cut segments. Goes out: the same, as they were cut. A shadow is a segment object like any other; its
//! run and number are those of this process and mean nothing to others. Never: publishes.

use super::segmenter::{CutPart, CutSegment};
use super::spool::StreamSpool;
use super::track_queue::InitSegment;
use crate::container::cmaf::{self, PartInput};
use crate::media::segment::{SegmentId, SegmentWithTables};
use crate::media::track::InitInfo;
use crate::media::{InitHash, RunId, Segment, StreamName};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Waits before the spool is written again.
const SPOOL_RETRIES: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(800)];

/// The object of a cut segment, and its row.
///
/// # Errors
/// When it cannot be written as a segment.
pub fn encode(id: &SegmentId, discontinuity: u64, cut: &CutSegment) -> anyhow::Result<(Vec<u8>, Segment)> {
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
    Ok(cmaf::write_segment(id, discontinuity, cut.anchor, cut.new_run, &inputs)?)
}

/// Writes an object and the init segments it needs, with `put`. Out of file descriptors or of space for a moment is
/// worth a wait, as this is the only copy. Runs where it may block.
///
/// # Errors
/// When the spool is full or the disk fails.
pub fn write(
    spool: &StreamSpool,
    cut: &CutSegment,
    put: impl Fn(&StreamSpool) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let all = || {
        let mut written: BTreeSet<InitHash> = BTreeSet::new();
        for part in &cut.parts {
            if written.insert(part.init.info.hash) {
                spool.put_init(part.init.info.hash, &part.init.bytes)?;
            }
        }
        put(spool)
    };
    let mut written = all();
    for pause in SPOOL_RETRIES {
        match &written {
            Err(error) if error.kind() != std::io::ErrorKind::StorageFull => {
                tracing::warn!(%error, "the spool cannot be written; tried again");
                std::thread::sleep(pause);
                written = all();
            }
            _ => break,
        }
    }
    written
}

/// Reads a shadow, or a numbered segment, back as it was cut; whether it begins a run is not said.
///
/// # Errors
/// When the disk fails, or the bytes make no sense.
pub fn read(spool: &StreamSpool, id: &SegmentId, object: Vec<u8>) -> anyhow::Result<CutSegment> {
    let key = id.object_key().ok_or_else(|| anyhow::anyhow!("no object key for its time"))?;
    let SegmentWithTables { segment, tables } = cmaf::read_segment(&key, &object)?;
    let object = Bytes::from(object);
    let mut parts = Vec::with_capacity(tables.len());
    for (part, table) in segment.tracks.iter().zip(tables) {
        let bytes: Bytes = spool.init(part.init)?.into();
        let info = InitInfo { hash: part.init, params: cmaf::read_init(&bytes)? };
        let mut at = usize::try_from(part.offset + u64::from(part.payload_offset))?;
        let mut payload = Vec::with_capacity(table.samples.len());
        for sample in &table.samples {
            let end = at + sample.size as usize;
            anyhow::ensure!(end <= object.len(), "its samples lie outside");
            payload.push(object.slice(at..end));
            at = end;
        }
        parts.push(CutPart {
            track: part.track,
            init: Arc::new(InitSegment { info, bytes }),
            decode_start: part.decode_start,
            table,
            payload,
        });
    }
    Ok(CutSegment {
        new_run: false,
        discontinuity: false,
        start: segment.id.start,
        duration_us: segment.id.duration_us,
        anchor: segment.anchor,
        parts,
    })
}

/// Names for shadows.
#[derive(Debug)]
pub struct ShadowNumbers {
    run: RunId,
    sequence: u64,
}

impl Default for ShadowNumbers {
    fn default() -> Self {
        Self { run: new_run(), sequence: 0 }
    }
}

impl ShadowNumbers {
    /// The name of the next shadow.
    pub fn name(&mut self, stream: &StreamName, cut: &CutSegment) -> SegmentId {
        if cut.new_run {
            self.run = new_run();
        }
        self.sequence += 1;
        SegmentId {
            stream: stream.clone(),
            run: self.run,
            epoch: 0,
            sequence: self.sequence,
            start: cut.start,
            duration_us: cut.duration_us,
        }
    }
}

/// A run's name.
pub fn new_run() -> RunId {
    RunId(uuid::Uuid::now_v7().as_u128())
}
