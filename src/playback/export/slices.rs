//! Any range of bytes of the virtual file, as slices; and tables, rendered piece by piece.

use super::tables::{self, TableSet};
use super::{Entries, ExportError, ExportPlan, PartRecord, TrackRecord};
use crate::container::progressive::{HeadPiece, Table};
use crate::media::ObjectKey;
use bytes::Bytes;
use std::ops::Range;

/// A piece of a table needs the sample tables of at most this many consecutive segment numbers.
pub const PIECE_SEGMENTS: u64 = 64;

/// Largest slice of the tables, in bytes.
pub const PIECE_BYTES: u64 = 256 * 1024;

/// Consecutive bytes of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slice {
    /// These bytes.
    Bytes(Bytes),
    /// What [`ExportPlan::render`] makes of this piece and the sample tables it needs.
    Tables(TablePiece),
    /// These bytes of an object.
    Object {
        /// Which object.
        key: ObjectKey,
        /// Half-open, not empty.
        range: Range<u64>,
        /// The part of the segment in which they lie, head and all: what has a checksum.
        part: Range<u64>,
    },
}

impl Slice {
    /// Length in bytes; never 0.
    pub fn bytes(&self) -> u64 {
        match self {
            Slice::Bytes(bytes) => bytes.len() as u64,
            Slice::Tables(piece) => piece.bytes.end - piece.bytes.start,
            Slice::Object { range, .. } => range.end - range.start,
        }
    }
}

/// Consecutive bytes of one table of one track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablePiece {
    /// Segment numbers whose sample tables rendering may need, half-open; at most [`PIECE_SEGMENTS`].
    pub sequences: Range<u64>,
    track: usize,
    table: Table,
    /// Bytes of the table's entries.
    bytes: Range<u64>,
}

impl TablePiece {
    /// Length in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes.end - self.bytes.start
    }
}

impl Entries {
    /// How many entries of `table` these are, before a part of this index.
    fn of(&self, table: Table, part: usize) -> u64 {
        match table {
            Table::TimeToSample => u64::from(self.times),
            Table::CompositionOffset => u64::from(self.compositions),
            Table::SyncSample => u64::from(self.syncs),
            Table::SampleSize => u64::from(self.samples),
            Table::SampleToChunk | Table::ChunkOffset | Table::ChunkOffset64 => part as u64,
        }
    }
}

impl TrackRecord {
    /// Byte of `table` at which part `index` begins, or the end of the table for the index after the last.
    fn table_offset(&self, table: Table, index: usize) -> u64 {
        let before = self.parts.get(index).map_or(self.entries, |p| p.before);
        before.of(table, index.min(self.parts.len())) * table.entry_bytes()
    }

    /// The part in which byte `at` of `table` lies, among parts that have entries there.
    fn part_at(&self, table: Table, at: u64) -> usize {
        let entry = at / table.entry_bytes();
        match table {
            Table::SampleToChunk | Table::ChunkOffset | Table::ChunkOffset64 => entry as usize,
            _ => self.parts.partition_point(|p| p.before.of(table, 0) <= entry).saturating_sub(1),
        }
    }

    /// Entries of a part.
    fn entries_of(&self, index: usize) -> Entries {
        let from = self.parts.get(index).map_or(self.entries, |p| p.before);
        let to = self.parts.get(index + 1).map_or(self.entries, |p| p.before);
        Entries {
            samples: to.samples - from.samples,
            times: to.times - from.times,
            compositions: to.compositions - from.compositions,
            syncs: to.syncs - from.syncs,
        }
    }
}

/// Iterator over the slices of a range.
#[derive(Debug, Clone)]
pub struct Slices<'a> {
    plan: &'a ExportPlan,
    at: u64,
    end: u64,
}

impl Iterator for Slices<'_> {
    type Item = Slice;

    fn next(&mut self) -> Option<Slice> {
        if self.at >= self.end {
            return None;
        }
        let slice = self.plan.slice_at(self.at, self.end)?;
        self.at += slice.bytes();
        Some(slice)
    }
}

impl ExportPlan {
    /// The bytes `range` of the file (cut to the file), slice by slice, each found by binary search.
    pub fn slices(&self, range: Range<u64>) -> Slices<'_> {
        Slices { plan: self, at: range.start, end: range.end.min(self.total_bytes) }
    }

    /// Number and epoch of the segments whose tables rendering `piece` needs and `tables` does not have, ascending.
    pub fn missing(&self, piece: &TablePiece, tables: &TableSet) -> Vec<(u64, u64)> {
        let Some(track) = self.tracks.get(piece.track) else { return Vec::new() };
        self.parts_of(piece)
            .filter(|(index, part)| even_time(piece.table, part, track.entries_of(*index)).is_none())
            .filter_map(|(_, part)| self.segments.get(part.segment as usize))
            .map(|segment| (segment.sequence, segment.epoch))
            .filter(|(sequence, _)| !tables.contains(*sequence))
            .collect()
    }

    /// The bytes of `piece`, exactly as many as it promised.
    ///
    /// # Errors
    /// `MissingTables` when `tables` lacks a segment, `Disagree` when its tables are not what its row said.
    pub fn render(&self, piece: &TablePiece, tables: &TableSet) -> Result<Bytes, ExportError> {
        let mut out: Vec<u8> = Vec::with_capacity(piece.bytes() as usize);
        let Some(track) = self.tracks.get(piece.track) else { return Ok(Bytes::new()) };
        for (index, part) in self.parts_of(piece) {
            let part_start = track.table_offset(piece.table, index);
            let part_end = track.table_offset(piece.table, index + 1);
            if part_start == part_end {
                continue;
            }
            let sequence = self.sequence_of(part).unwrap_or(u64::MAX);
            let entries = match even_time(piece.table, part, track.entries_of(index)) {
                Some(entry) => entry.to_vec(),
                None => render_part(piece.table, part, track.entries_of(index), sequence, tables)?,
            };
            let from = piece.bytes.start.saturating_sub(part_start) as usize;
            let to = (piece.bytes.end.min(part_end) - part_start) as usize;
            out.extend_from_slice(entries.get(from..to).ok_or(ExportError::Disagree(sequence))?);
        }
        if out.len() as u64 == piece.bytes() {
            Ok(out.into())
        } else {
            Err(ExportError::Disagree(piece.sequences.start))
        }
    }

    fn parts_of(&self, piece: &TablePiece) -> impl Iterator<Item = (usize, &PartRecord)> {
        let track = self.tracks.get(piece.track);
        let first = track.map_or(0, |t| t.part_at(piece.table, piece.bytes.start));
        let parts = track.map(|t| t.parts.as_slice()).unwrap_or_default();
        let inside = move |index: usize| track.is_some_and(|t| t.table_offset(piece.table, index) < piece.bytes.end);
        parts.iter().enumerate().skip(first).take_while(move |(index, _)| inside(*index))
    }

    fn sequence_of(&self, part: &PartRecord) -> Option<u64> {
        self.segments.get(part.segment as usize).map(|s| s.sequence)
    }

    fn slice_at(&self, at: u64, end: u64) -> Option<Slice> {
        if at >= self.media_start {
            return self.media_slice(at - self.media_start, end - self.media_start);
        }
        let index = self.head.partition_point(|(start, _)| *start <= at).checked_sub(1)?;
        let (start, piece) = self.head.get(index)?;
        let from = at - start;
        let to = piece.bytes().min(end - start);
        match piece {
            HeadPiece::Bytes(bytes) => Some(Slice::Bytes(bytes.slice(from as usize..to as usize))),
            HeadPiece::Table { track, table, .. } => self.table_slice(*track, *table, from, to),
        }
    }

    fn table_slice(&self, track_index: usize, table: Table, from: u64, to: u64) -> Option<Slice> {
        let track = self.tracks.get(track_index)?;
        let to = to.min(from + PIECE_BYTES);
        match table {
            Table::SampleToChunk => Some(computed(table, from, to, |index| chunk_entry(track, index))),
            Table::ChunkOffset => {
                Some(computed(table, from, to, |index| Some((self.chunk_offset(track, index)? as u32).to_be_bytes())))
            }
            Table::ChunkOffset64 => {
                Some(computed(table, from, to, |index| Some(self.chunk_offset(track, index)?.to_be_bytes())))
            }
            _ => {
                let part = track.parts.get(track.part_at(table, from))?;
                let batch = self.sequence_of(part)? / PIECE_SEGMENTS;
                let sequences = self.batch(batch)?;
                let inside = |p: &PartRecord| self.sequence_of(p).is_some_and(|s| s < sequences.end);
                let after = track.parts.partition_point(inside);
                let to = to.min(track.table_offset(table, after));
                Some(Slice::Tables(TablePiece { sequences, track: track_index, table, bytes: from..to }))
            }
        }
    }

    /// Segment numbers of the `batch`th batch, cut to those of the plan.
    fn batch(&self, batch: u64) -> Option<Range<u64>> {
        let first = self.segments.first()?.sequence;
        let last = self.segments.last()?.sequence;
        let start = batch * PIECE_SEGMENTS;
        Some(start.max(first)..start.saturating_add(PIECE_SEGMENTS).min(last.saturating_add(1)))
    }

    fn chunk_offset(&self, track: &TrackRecord, index: usize) -> Option<u64> {
        track.parts.get(index).map(|p| self.media_start + p.media_at)
    }

    fn media_slice(&self, from: u64, to: u64) -> Option<Slice> {
        let index = self.segments.partition_point(|s| s.media_at <= from).checked_sub(1)?;
        let record = self.segments.get(index)?;
        let part = self.tracks.iter().find_map(|track| {
            let at = track.parts.binary_search_by_key(&(index as u32), |p| p.segment).ok()?;
            let part = track.parts.get(at)?;
            (part.media_at..part.media_at + u64::from(part.bytes)).contains(&from).then_some(part)
        })?;
        let start = part.object_at + (from - part.media_at);
        let end = part.object_at + u64::from(part.bytes).min(to - part.media_at);
        let whole = part.object_at.checked_sub(u64::from(part.before_bytes))?
            ..part.object_at + u64::from(part.bytes) + u64::from(part.behind_bytes);
        Some(Slice::Object { key: self.key_of(record)?, range: start..end, part: whole })
    }
}

/// Bytes `from..to` of a table whose entries need no sample table.
fn computed<const N: usize>(table: Table, from: u64, to: u64, entry: impl Fn(usize) -> Option<[u8; N]>) -> Slice {
    let size = table.entry_bytes();
    let first = from / size;
    let last = to.div_ceil(size);
    let out: Vec<u8> = (first..last).flat_map(|index| entry(index as usize).unwrap_or([0; N])).collect();
    let skip = (from - first * size) as usize;
    Slice::Bytes(Bytes::from(out).slice(skip..skip + (to - from) as usize))
}

fn chunk_entry(track: &TrackRecord, index: usize) -> Option<[u8; 12]> {
    let part = track.parts.get(index)?;
    let mut out = [0; 12];
    out[..4].copy_from_slice(&(index as u32 + 1).to_be_bytes());
    out[4..8].copy_from_slice(&track.entries_of(index).samples.to_be_bytes());
    out[8..].copy_from_slice(&u32::from(part.description).to_be_bytes());
    Some(out)
}

/// The entry of `stts` of a part whose samples all last equally long: the row alone says it.
fn even_time(table: Table, part: &PartRecord, entries: Entries) -> Option<[u8; 8]> {
    if table != Table::TimeToSample || entries.times != 1 || entries.samples == 0 {
        return None;
    }
    let samples = i64::from(entries.samples);
    let delta = u32::try_from(part.total / samples).ok().filter(|_| part.total % samples == 0)?;
    Some(tables::pair(entries.samples, delta))
}

/// All entries of one part in one table.
fn render_part(
    table: Table,
    part: &PartRecord,
    entries: Entries,
    sequence: u64,
    tables: &TableSet,
) -> Result<Vec<u8>, ExportError> {
    let all = tables.get(sequence, part.ordinal)?;
    let first = part.skip as usize;
    let samples = all.samples.get(first..first + entries.samples as usize);
    let samples = samples.ok_or(ExportError::Disagree(sequence))?;
    let rendered = match table {
        Table::TimeToSample => tables::time_to_sample(samples, part.total, entries.times),
        Table::CompositionOffset => tables::composition_offsets(samples, entries.compositions),
        Table::SyncSample => tables::sync_samples(samples, part.before.samples, entries.syncs),
        Table::SampleSize => tables::sample_sizes(samples, u64::from(part.bytes)),
        Table::SampleToChunk | Table::ChunkOffset | Table::ChunkOffset64 => None,
    };
    rendered.ok_or(ExportError::Disagree(sequence))
}
