//! The row and the tables of a segment object, from a few small ranges of it.
//!
//! Comes in: an object's key and size, then the ranges that are asked for, one after the other. Goes out: what
//! [`super::write_segment`] was given and returned. Never: reads samples (a range may run a little way into them), asks
//! for more than a few MiB at once or for ever more ranges, a row from an object whose key names another segment.
//!
//! What is read here is checked against itself and against the key. Whether the samples are right, only their checksum
//! says: [`super::verify_part`].

use super::CmafError;
use super::boxes::{Boxes, Cursor};
use super::checksum::{PartCheck, Shape, verify_part};
use super::fragment::{self, PRFT_BYTES};
use super::init::{Defaults, OUR_TRACK};
use super::object::{
    Header, HeaderTrack, MAX_HEADER_BYTES, MAX_OBJECT_SAMPLES, MAX_TICKS, read_header, row_of, times_of,
};
use crate::media::sample::MAX_SAMPLES;
use crate::media::segment::{SegmentId, SegmentWithTables};
use crate::media::{ObjectKey, Sample, SampleTable, Segment, Ticks, TrackPart};
use std::ops::Range;

/// Asked for first: the header and the head of the first part, nearly always.
const FIRST_BYTES: u64 = 8192;
/// Asked for where a part begins: its head, nearly always.
const PART_BYTES: u64 = 4096;
/// No `moof` of ours is larger: 16 bytes for each sample, and the boxes around them.
const MAX_MOOF_BYTES: u64 = 16 * MAX_SAMPLES as u64 + 512;

/// An object being read. Give it what it [wants](Self::wanted) until it has read all.
#[derive(Debug)]
pub struct SegmentScan {
    id: SegmentId,
    object: ObjectKey,
    object_bytes: u64,
    header: Option<Header>,
    /// Where the next box to be read begins.
    at: u64,
    wanted: Range<u64>,
    samples_left: usize,
    tracks: Vec<TrackPart>,
    tables: Vec<SampleTable>,
}

/// How one box group was read.
enum Read {
    /// Whole: so many bytes of the object are dealt with.
    Whole,
    /// So many bytes from its beginning are needed.
    Needs(u64),
}

impl SegmentScan {
    /// Begins with the object `key` of `object_bytes` bytes.
    ///
    /// # Errors
    /// [`CmafError::KeyMismatch`] when `key` names no segment, [`CmafError::Damaged`] for an object too small for one.
    pub fn new(key: &ObjectKey, object_bytes: u64) -> Result<Self, CmafError> {
        let id = SegmentId::parse_object_key(key).ok_or(CmafError::KeyMismatch)?;
        if object_bytes < 8 {
            return Err(CmafError::Damaged("the boxes of a segment object"));
        }
        Ok(Self {
            id,
            object: key.clone(),
            object_bytes,
            header: None,
            at: 0,
            wanted: 0..FIRST_BYTES.min(object_bytes),
            samples_left: MAX_OBJECT_SAMPLES,
            tracks: Vec::new(),
            tables: Vec::new(),
        })
    }

    /// The bytes of the object that are needed next; never empty, never beyond its end.
    pub fn wanted(&self) -> Range<u64> {
        self.wanted.clone()
    }

    /// Takes the bytes that were wanted. Gives row and tables once all is read; until then, ask again.
    ///
    /// # Errors
    /// [`CmafError::KeyMismatch`], [`CmafError::Unsupported`], [`CmafError::Damaged`] as [`read_segment`]; then the scan
    /// is over.
    pub fn give(&mut self, bytes: &[u8]) -> Result<Option<SegmentWithTables>, CmafError> {
        let base = self.wanted.start;
        if bytes.len() as u64 != self.wanted.end - base {
            return Err(CmafError::Damaged("an object is shorter than it is said to be"));
        }
        loop {
            let rest = self.at.checked_sub(base).and_then(|skip| bytes.get(usize::try_from(skip).ok()?..));
            let rest = rest.unwrap_or_default();
            let read = match &self.header {
                None => self.read_header(rest)?,
                Some(header) => match header.tracks.get(self.tracks.len()).copied() {
                    Some(track) => self.read_part(track, rest)?,
                    None => return self.done().map(Some),
                },
            };
            if let Read::Needs(needed) = read {
                let end = self.at.checked_add(needed).filter(|end| *end <= self.object_bytes);
                let end = end.ok_or(CmafError::Damaged("an object ends inside a box"))?;
                self.wanted = self.at..end.max((self.at + PART_BYTES).min(self.object_bytes));
                return Ok(None);
            }
        }
    }

    fn read_header(&mut self, bytes: &[u8]) -> Result<Read, CmafError> {
        let mut cursor = Cursor(bytes);
        let (Ok(size), Ok(kind)) = (cursor.u32(), cursor.array::<4>()) else { return Ok(Read::Needs(8)) };
        if kind != *b"uuid" || size < 8 || size as usize > 24 + MAX_HEADER_BYTES {
            return Err(CmafError::Damaged("the boxes of a segment object"));
        }
        let Some(body) = bytes.get(8..size as usize) else { return Ok(Read::Needs(size.into())) };
        let header = read_header(body)?;
        if header.id != self.id {
            return Err(CmafError::KeyMismatch);
        }
        self.header = Some(header);
        self.at = size.into();
        Ok(Read::Whole)
    }

    fn read_part(&mut self, HeaderTrack { track, init }: HeaderTrack, bytes: &[u8]) -> Result<Read, CmafError> {
        let damaged = CmafError::Damaged("the boxes of a segment object");
        let Some(moof_header) = bytes.get(PRFT_BYTES..PRFT_BYTES + 8) else {
            return Ok(Read::Needs(PRFT_BYTES as u64 + 8));
        };
        let moof_bytes = u64::from(Cursor(moof_header).u32()?);
        if moof_bytes > MAX_MOOF_BYTES {
            return Err(damaged);
        }
        let head_bytes = PRFT_BYTES as u64 + moof_bytes + 8;
        let Some(head) = bytes.get(..head_bytes as usize) else { return Ok(Read::Needs(head_bytes)) };
        let (boxes, mdat_header) = head.split_at(head.len() - 8);
        let mut mdat = Cursor(mdat_header);
        let (mdat_bytes, mdat_kind) = (u64::from(mdat.u32()?), mdat.array::<4>()?);
        let mut boxes = Boxes::children(boxes);
        let (Some(prft), Some(moof), None) = (boxes.next(), boxes.next(), boxes.next()) else { return Err(damaged) };
        let (prft, moof) = (prft?, moof?);
        let header = self.header.as_ref().ok_or_else(|| damaged.clone())?;
        // A writer that seals its header seals its parts.
        let sealed = Shape::of(head).ok_or_else(|| damaged.clone())?.sealed;
        let kinds = prft.kind == *b"prft" && moof.kind == *b"moof" && mdat_kind == *b"mdat";
        if !kinds || mdat_bytes < 8 || sealed != header.sealed {
            return Err(damaged);
        }
        let (decode_start, table) = read_fragment(moof.body, moof.whole.len() + 8, self.samples_left.min(MAX_SAMPLES))?;
        self.samples_left -= table.samples.len();
        if table.payload_bytes() != mdat_bytes - 8 {
            return Err(CmafError::Damaged("a fragment's samples do not fill its mdat"));
        }
        let mut row = row_of(track, init, decode_start, &table);
        row.offset = self.at;
        row.payload_offset = head_bytes as u32;
        row.length = head_bytes - 8 + mdat_bytes;
        let times = times_of(&self.id, header.anchor, &row);
        if fragment::read_prft(&prft)? != (times.ntp_timestamp, times.media_time) {
            return Err(CmafError::Damaged("the wall time of a fragment"));
        }
        self.at += row.length;
        if self.at > self.object_bytes {
            return Err(CmafError::Damaged("an object ends inside a box"));
        }
        self.tracks.push(row);
        self.tables.push(table);
        Ok(Read::Whole)
    }

    fn done(&mut self) -> Result<SegmentWithTables, CmafError> {
        if self.at != self.object_bytes {
            return Err(CmafError::Damaged("bytes after a segment object"));
        }
        let header = self.header.take().ok_or(CmafError::Damaged("the header of a segment object"))?;
        let segment = Segment {
            id: header.id,
            discontinuity: header.discontinuity,
            anchor: header.anchor,
            object: self.object.clone(),
            object_offset: 0,
            object_length: self.object_bytes,
            tracks: std::mem::take(&mut self.tracks),
        };
        Ok(SegmentWithTables { segment, tables: std::mem::take(&mut self.tables) })
    }
}

/// Reads a segment object back: the row and the tables that [`super::write_segment`] was given and returned. Checks the
/// checksums.
///
/// # Errors
/// [`CmafError::KeyMismatch`] when `key` names no segment or another one, [`CmafError::Unsupported`] for an object of a
/// newer version, [`CmafError::Damaged`] for anything that was not written so.
pub fn read_segment(key: &ObjectKey, object: &[u8]) -> Result<SegmentWithTables, CmafError> {
    let slice = |from: u64, to: u64| object.get(usize::try_from(from).ok()?..usize::try_from(to).ok()?);
    let mut scan = SegmentScan::new(key, object.len() as u64)?;
    let read = loop {
        let wanted = scan.wanted();
        let bytes = slice(wanted.start, wanted.end).ok_or(CmafError::Damaged("an object ends inside a box"))?;
        if let Some(read) = scan.give(bytes)? {
            break read;
        }
    };
    for part in &read.segment.tracks {
        let bytes = slice(part.offset, part.offset + part.length).unwrap_or_default();
        if verify_part(bytes) == PartCheck::Damaged {
            return Err(CmafError::Damaged("a part is not what its checksum says"));
        }
    }
    Ok(read)
}

/// DTS of the first sample and the table of a fragment of ours, whose samples begin `data_offset` bytes after
/// the beginning of its `moof`, `most` samples at most.
fn read_fragment(moof: &[u8], data_offset: usize, most: usize) -> Result<(Ticks, SampleTable), CmafError> {
    let damaged = CmafError::Damaged("a fragment of a segment object");
    let fragments = fragment::read_moof(moof)?;
    let [traf] = fragments.as_slice() else { return Err(damaged) };
    let ([run], Some((decode_start, false))) = (traf.runs.as_slice(), traf.decode_time) else { return Err(damaged) };
    let as_written = traf.track_id == OUR_TRACK
        && traf.default_base_is_moof
        && traf.base_data_offset.is_none()
        && run.data_offset.and_then(|o| usize::try_from(o).ok()) == Some(data_offset);
    let count = run.count as usize;
    if !as_written || count == 0 || count > most || decode_start > MAX_TICKS as u64 {
        return Err(damaged);
    }
    let mut samples = Vec::with_capacity(count);
    for sample in run.samples(traf.defaults(Defaults::default())) {
        let sample = sample?;
        samples.push(Sample {
            size: sample.size,
            duration: sample.duration,
            composition_offset: sample.composition_offset,
            sync: fragment::is_sync(sample.flags),
        });
    }
    Ok((Ticks(decode_start as i64), SampleTable { samples }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{mutations, small_segment};
    use super::super::{HEADER_UUID, PartInput, init_segment, write_segment};
    use super::*;
    use crate::media::{InitHash, StreamName, TrackId};
    use bytes::Bytes;

    /// The object of [`small_segment`] as it was written before there were checksums.
    fn unsealed() -> Vec<u8> {
        let json = "{\"version\":1,\"stream\":\"sport/uhd-1\",\"run\":\"019200000000700080000000000000ff\",\"epoch\":3,\
            \"sequence\":41,\"start\":1409148900500000,\"duration_us\":120000,\"discontinuity\":2,\"anchor\":903600,\
            \"tracks\":[{\"track\":\"v1\",\"init\":\"4c94485e0c21ae6c41ce1dfe7b6bface\"},\
            {\"track\":\"a2\",\"init\":\"ca978112ca1bbdcafac231b39a23dc4d\"}]}";
        let parts = "\
            00000020707266740100001800000001d7a866648000000000000000000dc9b00000007c6d6f6f66000000106d6668640000 \
            00000000002900000064747261660000001874666864000200280000000100000e1001010000000000147466647401000000 \
            00000000000dbba0000000307472756e01000a050000000300000084020000000000000500000e100000000300001c200000 \
            0002fffff1f0000000126d6461745656565656767676767600000020707266740100001800000001d7a86664789abb010000 \
            0000000dbf88000000646d6f6f66000000106d66686400000000000000290000004c747261660000001c7466686400020038 \
            0000000100000780000000040200000000000014746664740100000000000000000dbf88000000147472756e010000010000 \
            00020000006c000000106d6461744141414161616161 \
            ";
        let parts: String = parts.split_whitespace().collect();
        let size = (24 + json.len() as u32).to_be_bytes();
        [&size[..], b"uuid", &HEADER_UUID, json.as_bytes(), &hex::decode(parts).unwrap()].concat()
    }

    /// Scans and says which ranges were asked for.
    fn scan(key: &ObjectKey, object: &[u8]) -> Result<(SegmentWithTables, Vec<Range<u64>>), CmafError> {
        let mut scan = SegmentScan::new(key, object.len() as u64)?;
        let mut asked = Vec::new();
        loop {
            let wanted = scan.wanted();
            assert!(!wanted.is_empty() && wanted.end <= object.len() as u64, "{wanted:?}");
            assert!(wanted.end - wanted.start <= MAX_MOOF_BYTES + 8192, "{wanted:?}");
            asked.push(wanted.clone());
            assert!(asked.len() < 2000, "it asks for ever");
            if let Some(read) = scan.give(&object[wanted.start as usize..wanted.end as usize])? {
                return Ok((read, asked));
            }
        }
    }

    #[test]
    fn an_object_without_checksums_reads_as_it_did() {
        let (_, segment, tables) = small_segment();
        let object = unsealed();
        let read = read_segment(&segment.object, &object).unwrap();
        assert_eq!(read.tables, tables);
        assert_eq!(read.segment.discontinuity, 2);
        for part in &read.segment.tracks {
            let bytes = &object[part.offset as usize..(part.offset + part.length) as usize];
            assert_eq!(verify_part(bytes), PartCheck::Unverified);
        }
        mutations(&object, 20_000, |bytes| {
            let _ = read_segment(&segment.object, bytes);
        });
    }

    #[test]
    fn no_changed_bit_passes() {
        let (object, segment, _) = small_segment();
        assert!(read_segment(&segment.object, &object).is_ok());
        for bit in 0..object.len() * 8 {
            let mut damaged = object.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(read_segment(&segment.object, &damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_header_without_its_checksum_does_not_fit_parts_that_have_one() {
        let (object, segment, _) = small_segment();
        let header = u32::from_be_bytes(object[..4].try_into().unwrap()) as usize;
        let old = unsealed();
        let old_header = u32::from_be_bytes(old[..4].try_into().unwrap()) as usize;
        for mixed in
            [[&old[..old_header], &object[header..]].concat(), [&object[..header], &old[old_header..]].concat()]
        {
            assert!(matches!(read_segment(&segment.object, &mixed), Err(CmafError::Damaged(_))));
        }
    }

    /// Six seconds of HD: `frames` pictures of 15 kB and sound.
    fn large(frames: usize) -> (Vec<u8>, Segment, Vec<SampleTable>) {
        let sample = |n: usize| Sample {
            size: 15_000 + n as u32 % 7,
            duration: 3600,
            composition_offset: n as i32 % 3,
            sync: n == 0,
        };
        let video = SampleTable { samples: (0..frames).map(sample).collect() };
        let audio = SampleTable {
            samples: (0..281)
                .map(|n| Sample { size: 300 + n % 9, duration: 1920, composition_offset: 0, sync: true })
                .collect(),
        };
        let payloads = [&video, &audio].map(|t| [Bytes::from(vec![0x5a; t.payload_bytes() as usize])]);
        let init = InitHash::of(&init_segment(&super::super::testing::h264()));
        let part = |track, table, payload| PartInput { track, init, decode_start: Ticks(0), table, payload };
        let parts =
            [part(TrackId::video(1), &video, &payloads[0][..]), part(TrackId::audio(1), &audio, &payloads[1][..])];
        let (_, small, _) = small_segment();
        let id = SegmentId { stream: StreamName::parse("hd").unwrap(), ..small.id };
        let (object, segment) = write_segment(&id, 0, Ticks(0), false, &parts).unwrap();
        (object, segment, vec![video, audio])
    }

    #[test]
    fn two_small_reads_are_enough_for_six_seconds() {
        let (object, segment, tables) = large(300);
        let (read, asked) = scan(&segment.object, &object).unwrap();
        assert_eq!(read, SegmentWithTables { segment, tables });
        assert_eq!(asked.len(), 2, "{asked:?}");
        assert!(asked.iter().map(|r| r.end - r.start).sum::<u64>() <= 16_384, "{asked:?}");
        // A long table takes one more, of its own size.
        let (object, segment, tables) = large(3000);
        let (read, asked) = scan(&segment.object, &object).unwrap();
        assert_eq!((read, asked.len()), (SegmentWithTables { segment, tables }, 3));
    }

    #[test]
    fn damage_is_an_error_and_the_scan_ends() {
        let (object, segment, _) = small_segment();
        mutations(&object, 20_000, |bytes| {
            let _ = scan(&segment.object, bytes);
        });
        let (object, segment, _) = large(300);
        mutations(&object[..8192], 2_000, |front| {
            let bytes = [front, &object[8192..]].concat();
            let _ = scan(&segment.object, &bytes);
        });
        for cut in [0, 7, 8, 23, 100, 500, 4000, 8192, object.len() - 1] {
            assert!(scan(&segment.object, &object[..cut]).is_err(), "cut at {cut}");
        }
        // A store that gives less than it listed.
        let mut scan = SegmentScan::new(&segment.object, object.len() as u64).unwrap();
        assert!(scan.give(&object[..8191]).is_err());
    }
}
