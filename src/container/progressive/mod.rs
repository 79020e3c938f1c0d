//! Progressive MP4 (ISO/IEC 14496-12): everything in front of the media bytes, `moov` first.
//!
//! Comes in: what the tracks are, how many entries each of their tables has. Goes out: the bytes of `ftyp`,
//! `moov` and the header of `mdat`, with a hole of known size wherever the entries of a table belong, so that
//! the tables of a very long movie never have to exist as a whole. Never: samples, a clock, I/O.

use crate::media::Ticks;
use crate::media::time::TIMESCALE;
use crate::media::track::{TrackKind, VideoParams};
use bytes::Bytes;

/// A table of `stbl`, of which this module writes the header and leaves the entries to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Table {
    /// `stts` (8.6.1.2): count, delta; 8 bytes.
    TimeToSample,
    /// `ctts` version 1 (8.6.1.3): count, signed offset; 8 bytes.
    CompositionOffset,
    /// `stss` (8.6.2): sample number from 1; 4 bytes.
    SyncSample,
    /// `stsc` (8.7.4): first chunk from 1, samples per chunk, sample entry from 1; 12 bytes.
    SampleToChunk,
    /// `stsz` (8.7.3.2): size; 4 bytes.
    SampleSize,
    /// `stco` (8.7.5): file offset of a chunk; 4 bytes.
    ChunkOffset,
    /// `co64` (8.7.5): file offset of a chunk; 8 bytes.
    ChunkOffset64,
}

impl Table {
    /// Size of one entry in bytes.
    pub const fn entry_bytes(self) -> u64 {
        match self {
            Table::TimeToSample | Table::CompositionOffset | Table::ChunkOffset64 => 8,
            Table::SyncSample | Table::SampleSize | Table::ChunkOffset => 4,
            Table::SampleToChunk => 12,
        }
    }

    const fn name(self) -> &'static [u8; 4] {
        match self {
            Table::TimeToSample => b"stts",
            Table::CompositionOffset => b"ctts",
            Table::SyncSample => b"stss",
            Table::SampleToChunk => b"stsc",
            Table::SampleSize => b"stsz",
            Table::ChunkOffset => b"stco",
            Table::ChunkOffset64 => b"co64",
        }
    }
}

/// How many entries each table of a track has. A chunk has one entry in `stsc` and one in `stco` or `co64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableCounts {
    /// Samples: entries of `stsz`.
    pub samples: u32,
    /// Chunks.
    pub chunks: u32,
    /// Entries of `stts`.
    pub time_to_sample: u32,
    /// Entries of `ctts`; `None` leaves the box out: every offset is 0.
    pub composition_offset: Option<u32>,
    /// Entries of `stss`; `None` leaves the box out: every sample is a sync sample.
    pub sync_sample: Option<u32>,
}

/// One entry of an edit list (8.6.6), played at normal speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edit {
    /// Length in ticks of 1/90000 s, both movie's and track's timescale.
    pub duration: Ticks,
    /// Where it starts in the composition timeline of the track; `None` for an empty edit.
    pub media_time: Option<Ticks>,
}

/// What `trak` says besides the entries of its tables. Its `track_ID` is its place in the list, from 1.
#[derive(Debug, Clone)]
pub struct TrackHead<'a> {
    /// Video or audio.
    pub kind: TrackKind,
    /// Whether a player starts with it (8.3.2); set for one track of each kind.
    pub enabled: bool,
    /// ISO 639-2/T; `None` for `und`.
    pub language: Option<&'a str>,
    /// Set for video.
    pub video: Option<VideoParams>,
    /// Whole boxes, in the order of their `sample_description_index`.
    pub sample_entries: Vec<&'a [u8]>,
    /// The edit list.
    pub edits: Vec<Edit>,
    /// Sum of all deltas of `stts`, in ticks.
    pub media_duration: Ticks,
    /// Sizes of the tables.
    pub counts: TableCounts,
}

/// A piece of the head of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeadPiece {
    /// These bytes.
    Bytes(Bytes),
    /// All entries of a table.
    Table {
        /// Index into the list of tracks.
        track: usize,
        /// Which table.
        table: Table,
        /// Size of its entries in bytes.
        bytes: u64,
    },
}

impl HeadPiece {
    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        match self {
            HeadPiece::Bytes(bytes) => bytes.len() as u64,
            HeadPiece::Table { bytes, .. } => *bytes,
        }
    }
}

/// Everything before the first byte of media.
#[derive(Debug, Clone)]
pub struct Head {
    /// In file order, none empty.
    pub pieces: Vec<HeadPiece>,
    /// Sum of their sizes: the file offset of the first byte of media.
    pub bytes: u64,
}

/// A box other than `mdat` would need more than 32 bits of size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many samples for one MP4 file")]
pub struct TooLarge;

/// Lays out `ftyp`, `moov` and the header of an `mdat` of `payload_bytes`. Chunk offsets have 32 bits when
/// the whole file is below 4 GiB, else 64. Every time of creation is 0.
///
/// # Errors
/// [`TooLarge`].
pub fn head(duration: Ticks, tracks: &[TrackHead<'_>], payload_bytes: u64) -> Result<Head, TooLarge> {
    let narrow = head_with(Table::ChunkOffset, duration, tracks, payload_bytes)?;
    if narrow.bytes.saturating_add(payload_bytes) <= u64::from(u32::MAX) {
        return Ok(narrow);
    }
    head_with(Table::ChunkOffset64, duration, tracks, payload_bytes)
}

fn head_with(offsets: Table, duration: Ticks, tracks: &[TrackHead<'_>], payload_bytes: u64) -> Result<Head, TooLarge> {
    let mut moov = Pieces::default();
    moov.append(mvhd(duration, tracks.len() as u32 + 1)?);
    for (index, track) in tracks.iter().enumerate() {
        moov.append(trak(index, offsets, track)?);
    }
    let mut all = Pieces::default();
    // iso4 brings signed composition offsets (annex E).
    all.append(leaf(b"ftyp", [b"isom".as_slice(), &512u32.to_be_bytes(), b"isom", b"iso4", b"mp42"].concat())?);
    all.append(boxed(b"moov", moov)?);
    all.append(Pieces::of(mdat_header(payload_bytes)));
    Ok(all.finish())
}

/// Header of an `mdat` of `payload_bytes`: 8 bytes, or 16 with a 64-bit size (4.2).
pub fn mdat_header(payload_bytes: u64) -> Vec<u8> {
    match u32::try_from(payload_bytes.saturating_add(8)) {
        Ok(size) => [size.to_be_bytes().as_slice(), b"mdat"].concat(),
        Err(_) => {
            let size = payload_bytes.saturating_add(16);
            [1u32.to_be_bytes().as_slice(), b"mdat", &size.to_be_bytes()].concat()
        }
    }
}

/// Bytes and holes that lie one after another.
#[derive(Default)]
struct Pieces {
    list: Vec<Piece>,
    bytes: u64,
}

enum Piece {
    Bytes(Vec<u8>),
    Hole { track: usize, table: Table, bytes: u64 },
}

impl Pieces {
    fn of(bytes: Vec<u8>) -> Self {
        Self { bytes: bytes.len() as u64, list: vec![Piece::Bytes(bytes)] }
    }

    fn append(&mut self, other: Pieces) {
        self.bytes += other.bytes;
        for piece in other.list {
            match (self.list.last_mut(), piece) {
                (Some(Piece::Bytes(last)), Piece::Bytes(more)) => last.extend_from_slice(&more),
                (_, piece) => self.list.push(piece),
            }
        }
    }

    fn finish(self) -> Head {
        let pieces = self.list.into_iter().map(|piece| match piece {
            Piece::Bytes(bytes) => HeadPiece::Bytes(bytes.into()),
            Piece::Hole { track, table, bytes } => HeadPiece::Table { track, table, bytes },
        });
        Head { pieces: pieces.filter(|p| p.bytes() > 0).collect(), bytes: self.bytes }
    }
}

fn boxed(name: &[u8; 4], content: Pieces) -> Result<Pieces, TooLarge> {
    let size = u32::try_from(content.bytes + 8).map_err(|_| TooLarge)?;
    let mut out = Pieces::of([size.to_be_bytes().as_slice(), name].concat());
    out.append(content);
    Ok(out)
}

fn leaf(name: &[u8; 4], content: Vec<u8>) -> Result<Pieces, TooLarge> {
    boxed(name, Pieces::of(content))
}

fn full(name: &[u8; 4], version: u8, flags: u32, content: Vec<u8>) -> Result<Pieces, TooLarge> {
    let mut out = Pieces::of(full_head(version, flags).to_vec());
    out.append(Pieces::of(content));
    boxed(name, out)
}

fn full_head(version: u8, flags: u32) -> [u8; 4] {
    (u32::from(version) << 24 | flags & 0x00ff_ffff).to_be_bytes()
}

fn parent(name: &[u8; 4], children: impl IntoIterator<Item = Result<Pieces, TooLarge>>) -> Result<Pieces, TooLarge> {
    let mut content = Pieces::default();
    for child in children {
        content.append(child?);
    }
    boxed(name, content)
}

/// Unity matrix (8.2.2): picture as it is.
const MATRIX: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

fn put_u32s(out: &mut Vec<u8>, values: &[u32]) {
    for value in values {
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// A duration as version 0 or 1 of a full box has it.
fn put_length(out: &mut Vec<u8>, version: u8, value: i64) {
    match version {
        0 => out.extend_from_slice(&(value as u32).to_be_bytes()),
        _ => out.extend_from_slice(&value.to_be_bytes()),
    }
}

/// 1 when the duration needs 64 bits. All ones mean "unknown" in version 0, so that value needs them too.
fn version_for(duration: Ticks) -> u8 {
    u8::from(duration.0 >= i64::from(u32::MAX))
}

/// Creation and modification: always 0, so that the same content gives the same bytes.
fn put_no_dates(out: &mut Vec<u8>, version: u8) {
    put_length(out, version, 0);
    put_length(out, version, 0);
}

fn mvhd(duration: Ticks, next_track: u32) -> Result<Pieces, TooLarge> {
    let version = version_for(duration);
    let mut out = Vec::with_capacity(112);
    put_no_dates(&mut out, version);
    put_u32s(&mut out, &[TIMESCALE]);
    put_length(&mut out, version, duration.0);
    // Rate 1.0, volume 1.0, reserved.
    put_u32s(&mut out, &[0x1_0000, 0x0100_0000, 0, 0]);
    put_u32s(&mut out, &MATRIX);
    put_u32s(&mut out, &[0; 6]);
    put_u32s(&mut out, &[next_track]);
    full(b"mvhd", version, 0, out)
}

fn trak(index: usize, offsets: Table, track: &TrackHead<'_>) -> Result<Pieces, TooLarge> {
    parent(
        b"trak",
        [
            tkhd(index, track),
            parent(b"edts", [elst(&track.edits)]),
            parent(b"mdia", [mdhd(track), hdlr(track.kind), minf(index, offsets, track)]),
        ],
    )
}

fn tkhd(index: usize, track: &TrackHead<'_>) -> Result<Pieces, TooLarge> {
    let duration = Ticks(track.edits.iter().map(|e| e.duration.0).sum());
    let version = version_for(duration);
    let mut out = Vec::with_capacity(104);
    put_no_dates(&mut out, version);
    put_u32s(&mut out, &[index as u32 + 1, 0]);
    put_length(&mut out, version, duration.0);
    // Of the tracks of one kind a player plays one: they are alternatives.
    let (group, volume): (u16, u16) = match track.kind {
        TrackKind::Video => (0, 0),
        TrackKind::Audio => (1, 0x0100),
    };
    put_u32s(&mut out, &[0, 0, u32::from(group), u32::from(volume) << 16]);
    put_u32s(&mut out, &MATRIX);
    let size = |pixels: u32| pixels.min(0xffff) << 16;
    let (width, height) = track.video.map_or((0, 0), |v| (size(v.width), size(v.height)));
    put_u32s(&mut out, &[width, height]);
    // In the movie; enabled.
    full(b"tkhd", version, 2 | u32::from(track.enabled), out)
}

fn elst(edits: &[Edit]) -> Result<Pieces, TooLarge> {
    let wide = |e: &Edit| e.duration.0 > i64::from(u32::MAX) || e.media_time.is_some_and(|t| t.0 > i64::from(i32::MAX));
    let version = u8::from(edits.iter().any(wide));
    let mut out = Vec::with_capacity(4 + edits.len() * 20);
    put_u32s(&mut out, &[edits.len() as u32]);
    for edit in edits {
        put_length(&mut out, version, edit.duration.0);
        put_length(&mut out, version, edit.media_time.map_or(-1, |t| t.0));
        put_u32s(&mut out, &[0x1_0000]);
    }
    full(b"elst", version, 0, out)
}

fn mdhd(track: &TrackHead<'_>) -> Result<Pieces, TooLarge> {
    let version = version_for(track.media_duration);
    let mut out = Vec::with_capacity(36);
    put_no_dates(&mut out, version);
    put_u32s(&mut out, &[TIMESCALE]);
    put_length(&mut out, version, track.media_duration.0);
    out.extend_from_slice(&packed_language(track.language).to_be_bytes());
    out.extend_from_slice(&[0; 2]);
    full(b"mdhd", version, 0, out)
}

/// Three letters of five bits (8.4.2.3).
fn packed_language(language: Option<&str>) -> u16 {
    let letters = match language.map(str::as_bytes) {
        Some(&[a, b, c]) if [a, b, c].iter().all(u8::is_ascii_lowercase) => [a, b, c],
        _ => *b"und",
    };
    letters.iter().fold(0, |packed, letter| packed << 5 | u16::from(letter - 0x60))
}

fn hdlr(kind: TrackKind) -> Result<Pieces, TooLarge> {
    let (handler, name) = match kind {
        TrackKind::Video => (b"vide", b"VideoHandler\0"),
        TrackKind::Audio => (b"soun", b"SoundHandler\0"),
    };
    full(b"hdlr", 0, 0, [[0; 4].as_slice(), handler, &[0; 12], name].concat())
}

fn minf(index: usize, offsets: Table, track: &TrackHead<'_>) -> Result<Pieces, TooLarge> {
    let media_header = match track.kind {
        TrackKind::Video => full(b"vmhd", 0, 1, vec![0; 8]),
        TrackKind::Audio => full(b"smhd", 0, 0, vec![0; 4]),
    };
    // The media is in this file: a `url ` that says so by its flag (8.7.2).
    let mut dref = Pieces::of(full_head(0, 0).to_vec());
    dref.append(Pieces::of(1u32.to_be_bytes().to_vec()));
    dref.append(full(b"url ", 0, 1, Vec::new())?);
    parent(b"minf", [media_header, parent(b"dinf", [boxed(b"dref", dref)]), stbl(index, offsets, track)])
}

fn stbl(index: usize, offsets: Table, track: &TrackHead<'_>) -> Result<Pieces, TooLarge> {
    let counts = track.counts;
    let table = |table: Table, entries: u32| table_box(index, table, entries);
    let mut children = vec![stsd(&track.sample_entries), table(Table::TimeToSample, counts.time_to_sample)];
    children.extend(counts.composition_offset.map(|n| table(Table::CompositionOffset, n)));
    children.extend(counts.sync_sample.map(|n| table(Table::SyncSample, n)));
    children.push(table(Table::SampleToChunk, counts.chunks));
    children.push(table(Table::SampleSize, counts.samples));
    children.push(table(offsets, counts.chunks));
    parent(b"stbl", children)
}

fn stsd(sample_entries: &[&[u8]]) -> Result<Pieces, TooLarge> {
    let mut out = (sample_entries.len() as u32).to_be_bytes().to_vec();
    for entry in sample_entries {
        out.extend_from_slice(entry);
    }
    full(b"stsd", 0, 0, out)
}

fn table_box(track: usize, table: Table, entries: u32) -> Result<Pieces, TooLarge> {
    let mut head = full_head(u8::from(table == Table::CompositionOffset), 0).to_vec();
    if table == Table::SampleSize {
        // No common size: each sample has its own.
        put_u32s(&mut head, &[0]);
    }
    put_u32s(&mut head, &[entries]);
    let mut content = Pieces::of(head);
    let bytes = u64::from(entries) * table.entry_bytes();
    content.append(Pieces { list: vec![Piece::Hole { track, table, bytes }], bytes });
    boxed(table.name(), content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mdat_headers_grow_at_four_gibibytes() {
        assert_eq!(mdat_header(1), [0, 0, 0, 9, b'm', b'd', b'a', b't']);
        assert_eq!(mdat_header((1 << 32) - 9).len(), 8);
        let wide = mdat_header((1 << 32) - 8);
        assert_eq!(wide, [0, 0, 0, 1, b'm', b'd', b'a', b't', 0, 0, 0, 1, 0, 0, 0, 8]);
    }

    #[test]
    fn languages_are_packed_into_fifteen_bits() {
        assert_eq!(packed_language(None), 0x55c4);
        assert_eq!(packed_language(Some("eng")), 0x15c7);
        assert_eq!(packed_language(Some("ENGLISH")), 0x55c4);
    }

    #[test]
    fn a_table_too_large_for_its_box_is_refused() {
        let counts = TableCounts {
            samples: u32::MAX,
            chunks: 1,
            time_to_sample: 1,
            composition_offset: None,
            sync_sample: None,
        };
        let track = TrackHead {
            kind: TrackKind::Audio,
            enabled: true,
            language: None,
            video: None,
            sample_entries: Vec::new(),
            edits: Vec::new(),
            media_duration: Ticks(1),
            counts,
        };
        assert_eq!(head(Ticks(1), &[track], 1).unwrap_err(), TooLarge);
    }
}
