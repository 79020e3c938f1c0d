//! What a row holds: packed parts, packed sample tables, and the way between columns and [`Segment`].
//!
//! Comes in: segments to store, columns read. Goes out: columns, segments. Never: SQL, a panic on damaged bytes.
//!
//! A packed column begins with a version byte. Numbers are LEB128, signed ones zigzag. Parts: count, then for
//! each kind, number, init hash, offset, length, payload offset, decode start, presentation start minus decode
//! start, duration, samples, sync samples, starts with sync, duration runs, composition runs.

use super::error::{damaged, error};
use super::keeping::Row;
use super::{Deletable, IndexErrorKind, Result};
use crate::media::lock::{Lock, LockId, MAX_TITLE_BYTES};
use crate::media::segment::{LONGEST_SEGMENT_US, SegmentId, SegmentWithTables, civil_hour};
use crate::media::track::{InitInfo, Uncarried};
use crate::media::{
    InitHash, ObjectKey, RunId, SampleTable, Segment, StreamName, Ticks, TrackId, TrackKind, TrackPart, UtcRange, UtcUs,
};

/// Version of packed parts and packed sample tables.
const VERSION: u8 = 1;

/// Most parts of one segment: a number is one byte, and there are two kinds.
const MAX_PARTS: usize = 510;

/// Media times stay well inside `i64`, so that sums of a few cannot overflow.
const MAX_TICKS: i64 = 1 << 60;

/// Columns of a segment, in the order of `sql::WINDOW`: sequence, epoch, run, start, duration, discontinuity,
/// anchor, object, offset, length, parts.
pub(super) type SegmentColumns = (i64, i64, Vec<u8>, i64, i64, i64, i64, String, i64, i64, Vec<u8>);

/// Columns of a row of `sql::ROWS`: those of a segment, then when it was marked.
pub(super) type RowColumns = (i64, i64, Vec<u8>, i64, i64, i64, i64, String, i64, i64, Vec<u8>, Option<i64>);

/// Columns of a lock: id, from, to, title, created, expires.
pub(super) type LockColumns = (Vec<u8>, i64, i64, String, i64, Option<i64>);

/// Columns of a marked segment: sequence, epoch, run, start, duration, object.
pub(super) type MarkedColumns = (i64, i64, Vec<u8>, i64, i64, String);

/// A segment checked and turned into columns.
pub(super) struct NewRow {
    pub sequence: i64,
    pub epoch: i64,
    pub run: Vec<u8>,
    pub start_utc_us: i64,
    pub duration_us: i64,
    pub discontinuity: i64,
    pub anchor_ticks: i64,
    pub object_offset: i64,
    pub object_length: i64,
    pub parts: Vec<u8>,
    pub tables: Vec<u8>,
}

/// A `u64` as the databases hold it.
pub(super) fn to_sql(value: u64, what: &str) -> Result<i64> {
    i64::try_from(value).map_err(|_| error(IndexErrorKind::Other, format!("{what} {value} is out of range")))
}

/// A `u64` as the databases hold it; what is too large becomes the largest. For bounds of queries.
pub(super) fn bound(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// How many rows to ask for.
pub(super) fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// A `u64` read back.
pub(super) fn from_sql(value: i64, what: &str) -> Result<u64> {
    u64::try_from(value).map_err(|_| damaged(format_args!("{what} {value} is negative")))
}

impl NewRow {
    /// Checks `new` and packs it.
    ///
    /// # Errors
    /// `Other` for what no reader would take back.
    pub fn of(new: &SegmentWithTables) -> Result<Self> {
        let segment = &new.segment;
        let id = &segment.id;
        let refuse = |why: &str| {
            Err(error(IndexErrorKind::Other, format!("segment {} of {} is not stored: {why}", id.sequence, id.stream)))
        };
        if !(1..=LONGEST_SEGMENT_US).contains(&id.duration_us) {
            return refuse("its duration is out of range");
        }
        if civil_hour(id.start).is_none() {
            return refuse("its start is outside the years 1970 to 9999");
        }
        if id.sequence >= i64::MAX as u64 {
            return refuse("its sequence is out of range");
        }
        if new.tables.len() != segment.tracks.len() || segment.tracks.len() > MAX_PARTS {
            return refuse("it needs one sample table for each of at most 510 parts");
        }
        if !ticks_are_sane(segment.anchor) || !segment.tracks.iter().all(part_is_sane) {
            return refuse("a part's numbers are out of range");
        }
        Ok(Self {
            sequence: to_sql(id.sequence, "sequence")?,
            epoch: to_sql(id.epoch, "epoch")?,
            run: id.run.0.to_be_bytes().to_vec(),
            start_utc_us: id.start.0,
            duration_us: id.duration_us,
            discontinuity: to_sql(segment.discontinuity, "discontinuity")?,
            anchor_ticks: segment.anchor.0,
            object_offset: to_sql(segment.object_offset, "offset")?,
            object_length: to_sql(segment.object_length, "length")?,
            parts: pack_parts(&segment.tracks),
            tables: pack_tables(&new.tables),
        })
    }
}

/// A segment from its columns.
pub(super) fn segment(stream: &StreamName, columns: SegmentColumns) -> Result<Segment> {
    let (sequence, epoch, run, start, duration, discontinuity, anchor, object, offset, length, parts) = columns;
    let anchor = Ticks(anchor);
    if !ticks_are_sane(anchor) {
        return Err(damaged("anchor out of range"));
    }
    Ok(Segment {
        id: segment_id(stream, sequence, epoch, &run, start, duration)?,
        discontinuity: from_sql(discontinuity, "discontinuity")?,
        anchor,
        object: object_key(&object)?,
        object_offset: from_sql(offset, "object offset")?,
        object_length: from_sql(length, "object length")?,
        tracks: unpack_parts(&parts).ok_or_else(|| damaged(format_args!("parts of segment {sequence} of {stream}")))?,
    })
}

/// Rows from their columns.
pub(super) fn rows(stream: &StreamName, rows: Vec<RowColumns>) -> Result<Vec<Row>> {
    let row = |(a, b, c, d, e, f, g, h, i, j, k, marked): RowColumns| {
        Ok(Row { segment: segment(stream, (a, b, c, d, e, f, g, h, i, j, k))?, marked: marked.map(UtcUs) })
    };
    rows.into_iter().map(row).collect()
}

/// Locks from their columns.
pub(super) fn locks(stream: &StreamName, rows: Vec<LockColumns>) -> Result<Vec<Lock>> {
    let lock = |(id, from, to, title, created, expires): LockColumns| {
        let id = LockId(u128::from_be_bytes(id.try_into().map_err(|_| damaged("lock"))?));
        let range = UtcRange::new(UtcUs(from), UtcUs(to));
        let (created, expires) = (UtcUs(created), expires.map(UtcUs));
        Ok(Lock { id, stream: stream.clone(), range, title, created, expires })
    };
    rows.into_iter().map(lock).collect()
}

/// Hours and their bytes.
pub(super) fn hour_bytes(rows: Vec<(i64, i64)>) -> Result<Vec<(UtcUs, u64)>> {
    rows.into_iter().map(|(hour, bytes)| Ok((UtcUs(hour), from_sql(bytes, "bytes")?))).collect()
}

/// Streams and their bytes.
pub(super) fn stream_bytes(rows: Vec<(String, i64)>) -> Result<Vec<(StreamName, u64)>> {
    let one =
        |(name, bytes): (String, i64)| Ok((StreamName::parse(&name).map_err(damaged)?, from_sql(bytes, "bytes")?));
    let mut streams = rows.into_iter().map(one).collect::<Result<Vec<_>>>()?;
    streams.sort();
    Ok(streams)
}

/// Checks a lock before it is written.
///
/// # Errors
/// `Other` for an empty range or a title that is too long.
pub(super) fn check_lock(lock: &Lock) -> Result<()> {
    if lock.range.is_empty() || lock.title.len() > MAX_TITLE_BYTES {
        return Err(error(
            IndexErrorKind::Other,
            "a lock has a range that is not empty and a title of at most 500 bytes",
        ));
    }
    Ok(())
}

/// Segments from their columns.
pub(super) fn segments(stream: &StreamName, rows: Vec<SegmentColumns>) -> Result<Vec<Segment>> {
    rows.into_iter().map(|columns| segment(stream, columns)).collect()
}

/// Marked segments from their columns.
pub(super) fn deletables(stream: &StreamName, rows: Vec<MarkedColumns>) -> Result<Vec<Deletable>> {
    rows.into_iter()
        .map(|(sequence, epoch, run, start, duration, object)| {
            let id = segment_id(stream, sequence, epoch, &run, start, duration)?;
            Ok(Deletable { id, object: object_key(&object)? })
        })
        .collect()
}

/// Sample tables from (sequence, packed tables).
pub(super) fn sample_tables(rows: Vec<(i64, Vec<u8>)>) -> Result<Vec<(u64, Vec<SampleTable>)>> {
    rows.into_iter()
        .map(|(sequence, packed)| {
            let tables =
                unpack_tables(&packed).ok_or_else(|| damaged(format_args!("sample tables of segment {sequence}")))?;
            Ok((from_sql(sequence, "sequence")?, tables))
        })
        .collect()
}

/// Stream names, ascending.
pub(super) fn stream_names(names: Vec<String>) -> Result<Vec<StreamName>> {
    let mut names = names.iter().map(|n| StreamName::parse(n).map_err(damaged)).collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// What init segments say, from (hash, JSON), in the order of `asked`, each once.
pub(super) fn inits(asked: &[InitHash], rows: Vec<(Vec<u8>, String)>) -> Result<Vec<InitInfo>> {
    let mut infos = rows
        .into_iter()
        .map(|(hash, params)| {
            let hash = InitHash(hash.try_into().map_err(|_| damaged("hash of an init segment"))?);
            let params =
                serde_json::from_str(&params).map_err(|e| damaged(format_args!("init segment {hash}: {e}")))?;
            Ok(InitInfo { hash, params })
        })
        .collect::<Result<Vec<_>>>()?;
    infos.sort_by_key(|info| asked.iter().position(|hash| *hash == info.hash));
    infos.dedup_by_key(|info| info.hash);
    Ok(infos)
}

/// Init segments as columns: hash, JSON.
pub(super) fn init_columns(inits: &[InitInfo]) -> Result<Vec<(Vec<u8>, String)>> {
    inits.iter().map(|init| Ok((init.hash.0.to_vec(), to_json(&init.params)?))).collect()
}

/// What is not recorded, from JSON; nothing known is an empty list.
pub(super) fn uncarried(tracks: Option<String>) -> Result<Vec<Uncarried>> {
    tracks.map_or(Ok(Vec::new()), |json| {
        serde_json::from_str(&json).map_err(|e| damaged(format_args!("what is not recorded: {e}")))
    })
}

/// Segments from their columns, turned to ascending sequence.
pub(super) fn newest(stream: &StreamName, rows: Vec<SegmentColumns>) -> Result<Vec<Segment>> {
    let mut segments = segments(stream, rows)?;
    segments.sort_by_key(|segment| segment.id.sequence);
    Ok(segments)
}

/// Columns hold JSON where nothing searches: what init segments say, what is not recorded.
pub(super) fn to_json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|e| error(IndexErrorKind::Other, format!("not stored: {e}")))
}

fn segment_id(
    stream: &StreamName,
    sequence: i64,
    epoch: i64,
    run: &[u8],
    start: i64,
    duration_us: i64,
) -> Result<SegmentId> {
    if !(1..=LONGEST_SEGMENT_US).contains(&duration_us) {
        return Err(damaged(format_args!("duration of segment {sequence} of {stream}")));
    }
    Ok(SegmentId {
        stream: stream.clone(),
        run: RunId(u128::from_be_bytes(run.try_into().map_err(|_| damaged("run"))?)),
        epoch: from_sql(epoch, "epoch")?,
        sequence: from_sql(sequence, "sequence")?,
        start: UtcUs(start),
        duration_us,
    })
}

fn object_key(key: &str) -> Result<ObjectKey> {
    ObjectKey::parse(key).ok_or_else(|| damaged(format_args!("object key {key:?}")))
}

fn ticks_are_sane(ticks: Ticks) -> bool {
    (-MAX_TICKS..=MAX_TICKS).contains(&ticks.0)
}

/// Whether the arithmetic of readers cannot overflow.
fn part_is_sane(part: &TrackPart) -> bool {
    part.length >= u64::from(part.payload_offset)
        && part.offset.checked_add(part.length).is_some_and(|end| end <= i64::MAX as u64)
        && ticks_are_sane(part.decode_start)
        && ticks_are_sane(part.presentation_start)
        && ticks_are_sane(part.duration)
}

fn pack_parts(parts: &[TrackPart]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + parts.len() * 56);
    out.push(VERSION);
    put(&mut out, parts.len() as u64);
    for part in parts {
        out.push(match part.track.kind {
            TrackKind::Video => 0,
            TrackKind::Audio => 1,
        });
        out.push(part.track.number);
        out.extend_from_slice(&part.init.0);
        put(&mut out, part.offset);
        put(&mut out, part.length);
        put(&mut out, part.payload_offset.into());
        put_signed(&mut out, part.decode_start.0);
        put_signed(&mut out, part.presentation_start.0.wrapping_sub(part.decode_start.0));
        put_signed(&mut out, part.duration.0);
        put(&mut out, part.sample_count.into());
        put(&mut out, part.sync_count.into());
        out.push(part.starts_with_sync.into());
        put(&mut out, part.duration_runs.into());
        put(&mut out, part.composition_runs.into());
    }
    out
}

/// `None` when the bytes are not packed parts.
fn unpack_parts(mut bytes: &[u8]) -> Option<Vec<TrackPart>> {
    let bytes = &mut bytes;
    let count = header(bytes, MAX_PARTS)?;
    let mut parts = Vec::with_capacity(count);
    for _ in 0..count {
        let kind = match take_byte(bytes)? {
            0 => TrackKind::Video,
            1 => TrackKind::Audio,
            _ => return None,
        };
        let number = take_byte(bytes).filter(|&n| n > 0)?;
        let (hash, rest) = bytes.split_first_chunk::<16>()?;
        *bytes = rest;
        let offset = take(bytes)?;
        let length = take(bytes)?;
        let payload_offset = take_u32(bytes)?;
        let decode_start = take_signed(bytes)?;
        let part = TrackPart {
            track: TrackId { kind, number },
            init: InitHash(*hash),
            offset,
            length,
            payload_offset,
            decode_start: Ticks(decode_start),
            presentation_start: Ticks(decode_start.wrapping_add(take_signed(bytes)?)),
            duration: Ticks(take_signed(bytes)?),
            sample_count: take_u32(bytes)?,
            sync_count: take_u32(bytes)?,
            starts_with_sync: match take_byte(bytes)? {
                0 => false,
                1 => true,
                _ => return None,
            },
            duration_runs: take_u32(bytes)?,
            composition_runs: take_u32(bytes)?,
        };
        parts.push(Some(part).filter(part_is_sane)?);
    }
    bytes.is_empty().then_some(parts)
}

fn pack_tables(tables: &[SampleTable]) -> Vec<u8> {
    let mut out = vec![VERSION];
    put(&mut out, tables.len() as u64);
    for table in tables {
        table.encode(&mut out);
    }
    out
}

/// `None` when the bytes are not packed sample tables.
fn unpack_tables(mut bytes: &[u8]) -> Option<Vec<SampleTable>> {
    let count = header(&mut bytes, MAX_PARTS)?;
    let tables = (0..count).map(|_| SampleTable::decode(&mut bytes).ok()).collect::<Option<Vec<_>>>()?;
    bytes.is_empty().then_some(tables)
}

/// Reads version and count.
fn header(bytes: &mut &[u8], most: usize) -> Option<usize> {
    if take_byte(bytes)? != VERSION {
        return None;
    }
    usize::try_from(take(bytes)?).ok().filter(|&count| count <= most)
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, ((value << 1) ^ (value >> 63)) as u64);
}

fn take_byte(bytes: &mut &[u8]) -> Option<u8> {
    let (&first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(first)
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take_byte(bytes)?;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    take(bytes)?.try_into().ok()
}

fn take_signed(bytes: &mut &[u8]) -> Option<i64> {
    take(bytes).map(|v| ((v >> 1) as i64) ^ -((v & 1) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Sample;
    use proptest::prelude::*;

    prop_compose! {
        fn any_part()(
            video in any::<bool>(), number in 1u8.., init in any::<[u8; 16]>(),
            offset in 0u64..1 << 62, payload in any::<u32>(), more in 0u64..1 << 60,
            times in proptest::array::uniform3(-MAX_TICKS..=MAX_TICKS),
            counts in any::<[u32; 4]>(), sync in any::<bool>(),
        ) -> TrackPart {
            TrackPart {
                track: if video { TrackId::video(number) } else { TrackId::audio(number) },
                init: InitHash(init),
                offset,
                length: u64::from(payload) + more,
                payload_offset: payload,
                decode_start: Ticks(times[0]),
                presentation_start: Ticks(times[1]),
                duration: Ticks(times[2]),
                sample_count: counts[0],
                sync_count: counts[1],
                starts_with_sync: sync,
                duration_runs: counts[2],
                composition_runs: counts[3],
            }
        }
    }

    proptest! {
        #[test]
        fn parts_read_back(parts in proptest::collection::vec(any_part(), 0..6)) {
            prop_assert_eq!(unpack_parts(&pack_parts(&parts)), Some(parts));
        }

        #[test]
        fn cut_parts_are_refused(parts in proptest::collection::vec(any_part(), 1..3), cut in any::<prop::sample::Index>()) {
            let packed = pack_parts(&parts);
            prop_assert_eq!(unpack_parts(&packed[..cut.index(packed.len())]), None);
        }

        #[test]
        fn damaged_bytes_are_refused_or_read(mut bytes in proptest::collection::vec(any::<u8>(), 1..200)) {
            bytes[0] = VERSION;
            let parts = unpack_parts(&bytes).unwrap_or_default();
            // Readers' arithmetic must not overflow.
            for part in &parts {
                let _ = (part.payload_bytes(), part.decode_end());
            }
            let _ = unpack_tables(&bytes);
        }

        #[test]
        fn numbers_read_back(value in any::<u64>(), signed in any::<i64>()) {
            let mut out = Vec::new();
            put(&mut out, value);
            put_signed(&mut out, signed);
            let bytes = &mut out.as_slice();
            prop_assert_eq!((take(bytes), take_signed(bytes)), (Some(value), Some(signed)));
            prop_assert!(bytes.is_empty());
        }
    }

    #[test]
    fn tables_read_back_and_nothing_may_follow() {
        let sample = Sample { size: 9, duration: 3600, composition_offset: -1, sync: true };
        let tables = vec![SampleTable { samples: vec![sample; 3] }, SampleTable::default()];
        let mut packed = pack_tables(&tables);
        assert_eq!(unpack_tables(&packed), Some(tables));
        packed.push(0);
        assert_eq!(unpack_tables(&packed), None);
    }

    #[test]
    fn another_version_is_refused() {
        assert_eq!(unpack_parts(&[VERSION + 1, 0]), None);
        assert_eq!(unpack_tables(&[VERSION + 1, 0]), None);
    }
}
