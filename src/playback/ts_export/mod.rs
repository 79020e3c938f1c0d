//! The virtual TS: one file of MPEG-TS of any window over recorded segments.
//!
//! Comes in: a window, the index rows of its segments with their sample tables, one after another. Goes out: the
//! exact size, a strong entity tag, and for any range of bytes the pieces of the file it touches, each of which is
//! made of one object. Memory is about a hundred bytes per segment, whatever lies in them; the same input always
//! gives the same file. Never: I/O, a clock, payload to know a length.
//!
//! TS has no edit list. So the picture begins at the last sync sample at or before the window's start, and the sound
//! with it; both end with the last that begins before the window's end, and pictures that this one needs. Where the media clock breaks, the piece
//! behind the break says so on all its PIDs.
//!
//! How a caller makes one: rows of the window, their init segments, [`TsExportBuilder::add`] for each row with its
//! tables, [`TsExportBuilder::finish`]; then for each of [`TsExportPlan::pieces`] the object it names and
//! [`TsExportPlan::mux`].

mod select;

use super::file;
use crate::container::cmaf::{self, CmafError};
use crate::container::mpegts::mux::{MuxError, MuxShape, MuxTrack, mux, muxed_bytes};
use crate::media::segment::{SegmentId, SegmentWithTables};
use crate::media::track::TrackParams;
use crate::media::{InitHash, InitInfo, ObjectKey, RunId, Segment, StreamName, Ticks, TrackId, UtcRange, UtcUs};
use select::{Chosen, Start};
use sha2::{Digest, Sha256};
use std::ops::Range;

/// Changed whenever the same recording would give other bytes than before.
const FORMAT_VERSION: u64 = 1;
/// Largest media time, in ticks, that is taken for real.
const LARGEST_TICKS: i64 = 1 << 52;

/// Why there is no export, or no piece of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TsExportError {
    /// Nothing of the chosen tracks is in the window.
    #[error("nothing is recorded in this window")]
    NothingRecorded,
    /// A segment needs an init segment that was not given.
    #[error("init segment {0} is unknown")]
    UnknownInit(InitHash),
    /// The sample tables of this segment, or its object, are not what its row says.
    #[error("the sample tables or the object of segment {0} disagree with its row")]
    Disagree(u64),
    /// A row says what cannot be.
    #[error("segment {sequence}: {what}")]
    Damaged {
        /// Which segment.
        sequence: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// An object is none.
    #[error("segment {0}: its object cannot be read")]
    Object(u64, #[source] CmafError),
    /// A segment cannot be muxed.
    #[error("segment {0} cannot be muxed")]
    Mux(u64, #[source] MuxError),
}

/// A segment of which something is in the file.
#[derive(Debug, Clone)]
struct Record {
    sequence: u64,
    epoch: u64,
    start: UtcUs,
    /// First byte in the file.
    at: u64,
    /// Where it lies in its object.
    object_offset: u64,
    object_length: u64,
    duration_us: u32,
    /// Index into `runs`.
    run: u32,
    /// Index into `other_keys`, or [`OWN_KEY`].
    key: u32,
    /// The media clock breaks before it.
    discontinuity: bool,
    /// What is taken of its parts, where that is not all.
    chosen: Option<Box<[Chosen]>>,
}

/// The segment's object has the name that its id gives.
const OWN_KEY: u32 = u32::MAX;

/// A piece of the file: what is muxed from one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TsPiece {
    /// The object to read.
    pub object: ObjectKey,
    /// Bytes of the object, half-open.
    pub object_range: Range<u64>,
    /// Bytes of the file that it makes, half-open, not empty.
    pub file_range: Range<u64>,
    /// The media clock breaks before it.
    pub discontinuity: bool,
    /// Index into the plan's records.
    index: usize,
}

/// A TS file of a window, all of it known except the bytes.
#[derive(Debug, Clone)]
pub struct TsExportPlan {
    stream: StreamName,
    window: UtcRange,
    /// All when `None`.
    tracks: Option<Vec<TrackId>>,
    inits: Vec<InitInfo>,
    gaps: Vec<UtcRange>,
    runs: Vec<RunId>,
    other_keys: Vec<ObjectKey>,
    records: Vec<Record>,
    total_bytes: u64,
    etag: String,
}

/// Takes the segments of a window one after another.
#[derive(Debug)]
pub struct TsExportBuilder {
    window: UtcRange,
    tracks: Option<Vec<TrackId>>,
    inits: Vec<InitInfo>,
    runs: Vec<RunId>,
    other_keys: Vec<ObjectKey>,
    records: Vec<Record>,
    /// What the records show of the window.
    covered: Vec<UtcRange>,
    total_bytes: u64,
    stream: Option<StreamName>,
    /// The segment before, without its parts.
    last: Option<Segment>,
    /// Whether the last record belongs to `last`.
    joins: bool,
}

impl TsExportBuilder {
    /// For `window`. `inits` are those that the segments to come name; `tracks` chooses tracks, all when `None`.
    pub fn new(window: UtcRange, inits: Vec<InitInfo>, tracks: Option<Vec<TrackId>>) -> Self {
        Self {
            window,
            tracks,
            inits,
            runs: Vec::new(),
            other_keys: Vec::new(),
            records: Vec::new(),
            covered: Vec::new(),
            total_bytes: 0,
            stream: None,
            last: None,
            joins: false,
        }
    }

    /// Takes the next segment, by ascending number. All that overlap the window must come; those before help where
    /// the first one's video does not begin with a sync sample.
    ///
    /// # Errors
    /// See [`TsExportError`].
    pub fn add(&mut self, with: &SegmentWithTables) -> Result<(), TsExportError> {
        let segment = &with.segment;
        self.check(with)?;
        let follows = self.last.as_ref().is_some_and(|last| {
            last.id.sequence.checked_add(1) == Some(segment.id.sequence) && file::continuous(last, segment)
        });
        let joins = follows && self.joins;
        let before = Segment { tracks: Vec::new(), ..segment.clone() };
        self.last = Some(before);
        self.joins = false;
        let starts_with_sync = select::starts_with_sync(with, self.tracks.as_deref());
        let early = segment.id.start <= self.window.start;
        // What came before the window is kept only where it leads into it.
        let only_before = self.covered.last().is_some_and(|range| range.end <= self.window.start);
        let needless = if early { !joins } else { only_before && (!joins || starts_with_sync) };
        if needless {
            self.restart();
        }
        let start = match early {
            false => Start::Whole,
            true if joins => Start::SyncOrWhole(segment.media_of(self.window.start)),
            true => Start::SyncOrNext(segment.media_of(self.window.start)),
        };
        let selection = select::select(with, self.tracks.as_deref(), start, segment.media_of(self.window.end));
        if selection.from_sync {
            self.restart();
        }
        // Over before the window begins: sound alone, or pictures that nothing leads into.
        let leads_in = selection.video && (selection.from_sync || joins);
        let useless = segment.id.end() <= self.window.start && !leads_in;
        if selection.is_empty() || useless {
            return Ok(());
        }
        let discontinuity = !joins && !self.records.is_empty();
        self.push(with, selection.chosen, discontinuity)?;
        self.joins = true;
        Ok(())
    }

    fn restart(&mut self) {
        self.records.clear();
        self.covered.clear();
        self.runs.clear();
        self.other_keys.clear();
        self.total_bytes = 0;
    }

    fn check(&self, with: &SegmentWithTables) -> Result<(), TsExportError> {
        let segment = &with.segment;
        let sequence = segment.id.sequence;
        let damaged = |what| Err(TsExportError::Damaged { sequence, what });
        if self.last.as_ref().is_some_and(|last| last.id.sequence >= sequence) {
            return damaged("out of order");
        }
        if self.last.as_ref().is_some_and(|last| last.id.stream != segment.id.stream) {
            return damaged("of another stream");
        }
        if u32::try_from(segment.id.duration_us).is_err() || segment.id.start.0.abs() > 1 << 60 {
            return damaged("impossible time");
        }
        let far = |t: Ticks| t.0.unsigned_abs() > LARGEST_TICKS as u64;
        if far(segment.anchor) || segment.tracks.iter().any(|p| far(p.decode_start)) {
            return damaged("impossible media time");
        }
        let same = segment.tracks.len() == with.tables.len()
            && segment.tracks.iter().zip(&with.tables).all(|(part, table)| {
                part.length >= u64::from(part.payload_offset) && table.payload_bytes() == part.payload_bytes()
            });
        if same { Ok(()) } else { Err(TsExportError::Disagree(sequence)) }
    }

    fn push(
        &mut self,
        with: &SegmentWithTables,
        chosen: Vec<Chosen>,
        discontinuity: bool,
    ) -> Result<(), TsExportError> {
        let segment = &with.segment;
        let id = &segment.id;
        let mut shapes = Vec::with_capacity(chosen.len());
        for part in &chosen {
            let Some(cut) = Cut::of(with, part) else { return Err(TsExportError::Disagree(id.sequence)) };
            let params = params_of(&self.inits, cut.init)?;
            shapes.push(MuxShape { track: cut.track, params, decode_start: cut.decode_start, table: cut.table });
        }
        let bytes = muxed_bytes(&shapes).map_err(|error| TsExportError::Mux(id.sequence, error))?;
        if self.runs.last() != Some(&id.run) {
            self.runs.push(id.run);
        }
        let key = if id.object_key().as_ref() == Some(&segment.object) {
            OWN_KEY
        } else {
            if self.other_keys.last() != Some(&segment.object) {
                self.other_keys.push(segment.object.clone());
            }
            self.other_keys.len() as u32 - 1
        };
        let whole = select::is_whole(with, self.tracks.as_deref(), &chosen);
        self.records.push(Record {
            sequence: id.sequence,
            epoch: id.epoch,
            start: id.start,
            at: self.total_bytes,
            object_offset: segment.object_offset,
            object_length: segment.object_length,
            duration_us: id.duration_us as u32,
            run: self.runs.len() as u32 - 1,
            key,
            discontinuity,
            chosen: (!whole).then(|| chosen.into_boxed_slice()),
        });
        self.total_bytes += bytes;
        match self.covered.last_mut().filter(|last| last.end == id.start) {
            Some(last) => last.end = id.end(),
            None => self.covered.push(segment.range()),
        }
        self.stream.get_or_insert_with(|| id.stream.clone());
        Ok(())
    }

    /// All segments were given.
    ///
    /// # Errors
    /// [`TsExportError::NothingRecorded`] when nothing of the chosen tracks was in the window.
    pub fn finish(self) -> Result<TsExportPlan, TsExportError> {
        let window = self.window;
        let shown = self.covered.iter().any(|range| range.overlaps(window));
        let Some(stream) = self.stream.filter(|_| shown) else { return Err(TsExportError::NothingRecorded) };
        let mut records = self.records;
        records.shrink_to_fit();
        let mut plan = TsExportPlan {
            stream,
            window,
            tracks: self.tracks,
            inits: self.inits,
            gaps: file::holes(self.covered, window),
            runs: self.runs,
            other_keys: self.other_keys,
            records,
            total_bytes: self.total_bytes,
            etag: String::new(),
        };
        plan.etag = plan.make_etag();
        Ok(plan)
    }
}

fn params_of(inits: &[InitInfo], hash: InitHash) -> Result<&TrackParams, TsExportError> {
    inits.iter().find(|i| i.hash == hash).map(|i| &i.params).ok_or(TsExportError::UnknownInit(hash))
}

/// What is taken of one part.
struct Cut<'a> {
    track: TrackId,
    init: InitHash,
    decode_start: Ticks,
    table: &'a [crate::media::Sample],
    /// Bytes of the samples before.
    skipped_bytes: u64,
    bytes: u64,
}

impl<'a> Cut<'a> {
    fn of(with: &'a SegmentWithTables, chosen: &Chosen) -> Option<Self> {
        let ordinal = usize::from(chosen.ordinal);
        let (part, table) = (with.segment.tracks.get(ordinal)?, with.tables.get(ordinal)?);
        let (before, rest) = table.samples.split_at_checked(chosen.skip as usize)?;
        let table = rest.get(..chosen.count as usize)?;
        let bytes = |samples: &[crate::media::Sample]| samples.iter().map(|s| u64::from(s.size)).sum();
        let ticks: i64 = before.iter().map(|s| i64::from(s.duration)).sum();
        Some(Self {
            track: part.track,
            init: part.init,
            decode_start: part.decode_start + Ticks(ticks),
            table,
            skipped_bytes: bytes(before),
            bytes: bytes(table),
        })
    }
}

impl TsExportPlan {
    /// The stream it is of.
    pub fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// Size of the file in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Strong entity tag (RFC 9110 8.8.3) with its quotes: equal tags mean equal bytes.
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// Parts of the window of which nothing is recorded, ascending; they are left out of the file.
    pub fn gaps(&self) -> &[UtcRange] {
        &self.gaps
    }

    /// A name for `Content-Disposition`, ASCII without quotes, spaces or slashes.
    pub fn file_name(&self) -> String {
        file::name(&self.stream, self.window, "ts")
    }

    /// Memory that the plan holds, in bytes.
    pub fn memory_bytes(&self) -> usize {
        let chosen: usize = self.records.iter().filter_map(|r| r.chosen.as_deref()).map(size_of_val).sum();
        let inits: usize = self.inits.iter().map(|i| size_of::<InitInfo>() + i.params.sample_entry.len()).sum();
        let keys: usize = self.other_keys.iter().map(|k| size_of::<ObjectKey>() + k.as_str().len()).sum();
        size_of::<Self>()
            + chosen
            + inits
            + keys
            + self.records.capacity() * size_of::<Record>()
            + self.runs.capacity() * size_of::<RunId>()
            + self.gaps.capacity() * size_of::<UtcRange>()
    }

    /// The pieces that the bytes `range` of the file (cut to the file) touch, in order.
    pub fn pieces(&self, range: Range<u64>) -> impl Iterator<Item = TsPiece> + '_ {
        let end = range.end.min(self.total_bytes);
        let first = self.records.partition_point(|r| r.at <= range.start).saturating_sub(1);
        let empty = range.start >= end;
        (first..self.records.len())
            .take_while(move |&n| !empty && self.records.get(n).is_some_and(|r| r.at < end))
            .filter_map(|n| self.piece(n))
    }

    fn piece(&self, index: usize) -> Option<TsPiece> {
        let record = self.records.get(index)?;
        let end = self.records.get(index + 1).map_or(self.total_bytes, |next| next.at);
        Some(TsPiece {
            object: self.key_of(record)?,
            object_range: record.object_offset..record.object_offset.checked_add(record.object_length)?,
            file_range: record.at..end,
            discontinuity: record.discontinuity,
            index,
        })
    }

    /// The bytes of `piece`, made of the bytes of its object that it names; as many as it promised.
    ///
    /// # Errors
    /// `Object`, `Disagree` or `Mux` when the object is not what its row said.
    pub fn mux(&self, piece: &TsPiece, object_bytes: &[u8]) -> Result<Vec<u8>, TsExportError> {
        let Some(record) = self.records.get(piece.index) else { return Err(TsExportError::NothingRecorded) };
        let disagree = TsExportError::Disagree(record.sequence);
        let with = cmaf::read_segment(&piece.object, object_bytes)
            .map_err(|error| TsExportError::Object(record.sequence, error))?;
        let chosen = match &record.chosen {
            Some(chosen) => chosen.to_vec(),
            None => select::whole(&with, self.tracks.as_deref()),
        };
        let mut tracks = Vec::with_capacity(chosen.len());
        for part in &chosen {
            let cut = Cut::of(&with, part).ok_or(disagree.clone())?;
            let row = with.segment.tracks.get(usize::from(part.ordinal)).ok_or(disagree.clone())?;
            let all = cmaf::payload_of(row, object_bytes).ok_or(disagree.clone())?;
            let to = cut.skipped_bytes.saturating_add(cut.bytes);
            let payload = all.get(cut.skipped_bytes as usize..to as usize).ok_or(disagree.clone())?;
            let params = params_of(&self.inits, cut.init)?;
            let (track, decode_start, table) = (cut.track, cut.decode_start, cut.table);
            tracks.push(MuxTrack { track, params, decode_start, table, payload });
        }
        let bytes = mux(&tracks, record.discontinuity).map_err(|error| TsExportError::Mux(record.sequence, error))?;
        let promised = piece.file_range.end - piece.file_range.start;
        if bytes.len() as u64 == promised { Ok(bytes) } else { Err(disagree) }
    }

    /// Key of the object that holds a segment.
    fn key_of(&self, record: &Record) -> Option<ObjectKey> {
        if record.key != OWN_KEY {
            return self.other_keys.get(record.key as usize).cloned();
        }
        let id = SegmentId {
            stream: self.stream.clone(),
            run: *self.runs.get(record.run as usize)?,
            epoch: record.epoch,
            sequence: record.sequence,
            start: record.start,
            duration_us: i64::from(record.duration_us),
        };
        id.object_key()
    }

    /// Hash over everything that the bytes follow from. What a segment holds never changes, so its name and what is
    /// taken of it say enough.
    fn make_etag(&self) -> String {
        let mut hash = Sha256::new();
        let mut put = |value: u64| hash.update(value.to_be_bytes());
        put(FORMAT_VERSION);
        put(self.total_bytes);
        put(self.tracks.as_ref().map_or(u64::MAX, |tracks| tracks.len() as u64));
        for track in self.tracks.iter().flatten() {
            put(u64::from(track.kind == crate::media::TrackKind::Video) << 8 | u64::from(track.number));
        }
        for record in &self.records {
            let run = self.runs.get(record.run as usize).map_or(0, |r| r.0);
            put(record.sequence);
            put(record.epoch);
            put(record.start.0 as u64);
            put(u64::from(record.duration_us) << 1 | u64::from(record.discontinuity));
            put((run >> 64) as u64);
            put(run as u64);
            put(record.chosen.as_ref().map_or(u64::MAX, |chosen| chosen.len() as u64));
            for chosen in record.chosen.iter().flatten() {
                put(u64::from(chosen.ordinal));
                put(u64::from(chosen.skip) << 32 | u64::from(chosen.count));
            }
        }
        hash.update(self.stream.as_str());
        let digest: [u8; 32] = hash.finalize().into();
        format!("\"{}\"", hex::encode(digest.get(..16).unwrap_or_default()))
    }
}
