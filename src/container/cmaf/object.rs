//! Segment objects: a `uuid` box that says which segment this is, then `prft` + `moof` + `mdat` for each track.
//!
//! Comes in: a segment's id, tables and sample bytes; or an object and its key. Goes out: the object with its
//! index row; or the row and the tables, exactly as they were written. Never: a second copy of the samples,
//! a row from an object whose key names another segment.
//!
//! The `uuid` box (11.1) has the type [`HEADER_UUID`] and holds JSON: `version`, `stream`, `run`, `epoch`, `sequence`,
//! `start`, `duration_us`, `discontinuity`, `anchor`, `tracks` (`track`, `init`), and `begins_run` where it is true.
//! Readers of fragmented MP4 skip it.

use super::CmafError;
use super::boxes::{Boxes, put_box};
use super::fragment::{self, FragmentTimes, Layout, ntp_timestamp, presentation_start};
use super::init::{Defaults, OUR_TRACK};
use crate::media::sample::MAX_SAMPLES;
use crate::media::segment::{SegmentId, SegmentWithTables};
use crate::media::{InitHash, ObjectKey, Sample, SampleTable, Segment, Ticks, TrackId, TrackPart};
use bytes::Bytes;

/// Type of the `uuid` box at the beginning of every segment object: e731b8c1-75be-4951-b193-e5371363e912, chosen at
/// random once for Evertape.
pub const HEADER_UUID: [u8; 16] =
    [0xe7, 0x31, 0xb8, 0xc1, 0x75, 0xbe, 0x49, 0x51, 0xb1, 0x93, 0xe5, 0x37, 0x13, 0x63, 0xe9, 0x12];

/// Version of what is written.
const VERSION: u32 = 1;
/// Most bytes of header: 510 tracks take less than half of it.
const MAX_HEADER_BYTES: usize = 65_536;
/// Most samples in one object, all parts together: a hundred times what two minutes have.
const MAX_OBJECT_SAMPLES: usize = 1 << 20;
/// No media time is as far from 0: two hundred thousand years of ticks, with room for sums.
const MAX_TICKS: i64 = 1 << 59;

/// One track's share of a segment to be written.
#[derive(Debug, Clone, Copy)]
pub struct PartInput<'a> {
    /// Which track.
    pub track: TrackId,
    /// Init segment that its samples need.
    pub init: InitHash,
    /// DTS of the first sample; not negative (`tfdt` is unsigned, 8.8.12).
    pub decode_start: Ticks,
    /// The samples; at least one, at most [`MAX_SAMPLES`].
    pub table: &'a SampleTable,
    /// Their bytes, in order, in pieces of any size.
    pub payload: &'a [Bytes],
}

#[derive(serde::Serialize)]
struct HeaderOut<'a> {
    version: u32,
    #[serde(flatten)]
    id: &'a SegmentId,
    discontinuity: u64,
    anchor: Ticks,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    begins_run: bool,
    tracks: Vec<HeaderTrack>,
}

#[derive(serde::Deserialize)]
struct HeaderIn {
    #[serde(flatten)]
    id: SegmentId,
    discontinuity: u64,
    anchor: Ticks,
    tracks: Vec<HeaderTrack>,
}

#[derive(serde::Deserialize)]
struct HeaderVersion {
    version: u32,
}

#[derive(serde::Deserialize)]
struct HeaderRun {
    #[serde(default)]
    begins_run: bool,
}

#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
struct HeaderTrack {
    track: TrackId,
    init: InitHash,
}

/// Writes the object of a segment and the row that describes it. `anchor` is the media time of `id.start`;
/// `begins_run` says that it is the first of its run; `parts` come video first, then audio, each by number.
///
/// # Errors
/// [`CmafError::Unwritable`] says which rule the input breaks: no object key for `id`, no parts or in another order,
/// a part without samples or with too many, bytes that are not those of the table, a negative time, 4 GiB or more.
pub fn write_segment(
    id: &SegmentId,
    discontinuity: u64,
    anchor: Ticks,
    begins_run: bool,
    parts: &[PartInput<'_>],
) -> Result<(Vec<u8>, Segment), CmafError> {
    let object = id.object_key().ok_or(CmafError::Unwritable("it starts outside the years 1970 to 9999"))?;
    if SegmentId::parse_object_key(&object).as_ref() != Some(id) {
        return Err(CmafError::Unwritable("its numbers do not survive in an object key"));
    }
    if anchor.0.abs() > MAX_TICKS {
        return Err(CmafError::Unwritable("its anchor is out of range"));
    }
    let tracks: Vec<HeaderTrack> = parts.iter().map(|p| HeaderTrack { track: p.track, init: p.init }).collect();
    if !well_ordered(&tracks) {
        return Err(CmafError::Unwritable("its parts are none, or not in order"));
    }
    let header = HeaderOut { version: VERSION, id, discontinuity, anchor, begins_run, tracks };
    let header = serde_json::to_vec(&header).map_err(|_| CmafError::Unwritable("its header cannot be said in JSON"))?;

    if parts.iter().map(|p| p.table.samples.len()).sum::<usize>() > MAX_OBJECT_SAMPLES {
        return Err(CmafError::Unwritable("it has more samples than an object holds"));
    }
    let mut layouts = Vec::with_capacity(parts.len());
    let mut total = 8 + HEADER_UUID.len() + header.len();
    for part in parts {
        let payload_bytes = checked_payload(part)?;
        let layout = Layout::of(part.table);
        total += layout.head_bytes() + payload_bytes as usize;
        layouts.push((layout, payload_bytes));
    }

    let mut out = Vec::with_capacity(total);
    put_box(&mut out, b"uuid", |out| {
        out.extend_from_slice(&HEADER_UUID);
        out.extend_from_slice(&header);
    });
    let mut rows = Vec::with_capacity(parts.len());
    for (part, (layout, payload_bytes)) in parts.iter().zip(&layouts) {
        let mut row = row_of(part.track, part.init, part.decode_start, part.table);
        row.offset = out.len() as u64;
        row.payload_offset = layout.head_bytes() as u32;
        row.length = u64::from(row.payload_offset) + u64::from(*payload_bytes);
        fragment::put_head(&mut out, layout, part.table, times_of(id, anchor, &row), *payload_bytes);
        for piece in part.payload {
            out.extend_from_slice(piece);
        }
        rows.push(row);
    }
    debug_assert_eq!(out.len(), total, "the size is known before");
    let object_length = out.len() as u64;
    let segment =
        Segment { id: id.clone(), discontinuity, anchor, object, object_offset: 0, object_length, tracks: rows };
    Ok((out, segment))
}

/// Bytes of a part's samples, once all is as it should be.
fn checked_payload(part: &PartInput<'_>) -> Result<u32, CmafError> {
    if part.table.samples.is_empty() || part.table.samples.len() > MAX_SAMPLES {
        return Err(CmafError::Unwritable("a part has no samples, or more than a table holds"));
    }
    if !(0..=MAX_TICKS).contains(&part.decode_start.0) {
        return Err(CmafError::Unwritable("a part starts at a negative media time, or out of range"));
    }
    let bytes: u64 = part.payload.iter().map(|p| p.len() as u64).sum();
    if bytes != part.table.payload_bytes() {
        return Err(CmafError::Unwritable("a part's bytes are not those of its table"));
    }
    u32::try_from(bytes)
        .ok()
        .filter(|b| b.checked_add(8).is_some())
        .ok_or(CmafError::Unwritable("a part has 4 GiB or more"))
}

fn well_ordered(tracks: &[HeaderTrack]) -> bool {
    !tracks.is_empty() && tracks.windows(2).all(|pair| matches!(pair, [a, b] if a.track < b.track))
}

/// All of a part's row that does not depend on where it is.
fn row_of(track: TrackId, init: InitHash, decode_start: Ticks, table: &SampleTable) -> TrackPart {
    TrackPart {
        track,
        init,
        offset: 0,
        length: 0,
        payload_offset: 0,
        decode_start,
        presentation_start: presentation_start(decode_start, table),
        duration: table.duration(),
        sample_count: table.samples.len() as u32,
        sync_count: table.sync_count(),
        starts_with_sync: table.samples.first().is_some_and(|s| s.sync),
        duration_runs: table.duration_runs(),
        composition_runs: table.composition_runs(),
    }
}

/// What `prft`, `mfhd` and `tfdt` of a part say.
fn times_of(id: &SegmentId, anchor: Ticks, row: &TrackPart) -> FragmentTimes {
    let shown = row.presentation_start.max(Ticks(0));
    FragmentTimes {
        sequence_number: id.sequence as u32,
        decode_start: row.decode_start.0 as u64,
        media_time: shown.0 as u64,
        ntp_timestamp: ntp_timestamp(id.start.plus_us((shown - anchor).to_us())),
    }
}

/// Reads a segment object back: the row and the tables that [`write_segment`] was given and returned.
///
/// # Errors
/// [`CmafError::KeyMismatch`] when `key` names no segment or another one, [`CmafError::Unsupported`] for an object of a
/// newer version, [`CmafError::Damaged`] for anything that was not written so.
pub fn read_segment(key: &ObjectKey, object: &[u8]) -> Result<SegmentWithTables, CmafError> {
    let id = SegmentId::parse_object_key(key).ok_or(CmafError::KeyMismatch)?;
    let mut boxes = Boxes::children(object);
    let mut end = 0;
    let mut next = |kind: &[u8; 4]| match boxes.next().transpose()? {
        Some(found) if found.kind == *kind => {
            end = found.offset + found.whole.len();
            Ok(found)
        }
        _ => Err(CmafError::Damaged("the boxes of a segment object")),
    };
    let header = read_header(next(b"uuid")?.body)?;
    if header.id != id {
        return Err(CmafError::KeyMismatch);
    }
    if !well_ordered(&header.tracks) || header.anchor.0.unsigned_abs() > MAX_TICKS as u64 {
        return Err(CmafError::Damaged("the header of a segment object"));
    }
    let mut samples_left = MAX_OBJECT_SAMPLES;
    let mut tracks = Vec::new();
    let mut tables = Vec::new();
    for HeaderTrack { track, init } in header.tracks {
        let (prft, moof, mdat) = (next(b"prft")?, next(b"moof")?, next(b"mdat")?);
        let payload_at = mdat.offset + mdat.whole.len() - mdat.body.len();
        let (decode_start, table) = read_fragment(moof.body, payload_at - moof.offset, samples_left.min(MAX_SAMPLES))?;
        samples_left -= table.samples.len();
        if table.payload_bytes() != mdat.body.len() as u64 {
            return Err(CmafError::Damaged("a fragment's samples do not fill its mdat"));
        }
        let mut row = row_of(track, init, decode_start, &table);
        row.offset = prft.offset as u64;
        row.length = (mdat.offset + mdat.whole.len() - prft.offset) as u64;
        row.payload_offset =
            u32::try_from(payload_at - prft.offset).map_err(|_| CmafError::Damaged("the head of a fragment"))?;
        let times = times_of(&id, header.anchor, &row);
        if fragment::read_prft(&prft)? != (times.ntp_timestamp, times.media_time) {
            return Err(CmafError::Damaged("the wall time of a fragment"));
        }
        tracks.push(row);
        tables.push(table);
    }
    if end != object.len() {
        return Err(CmafError::Damaged("bytes after a segment object"));
    }
    let segment = Segment {
        id,
        discontinuity: header.discontinuity,
        anchor: header.anchor,
        object: key.clone(),
        object_offset: 0,
        object_length: object.len() as u64,
        tracks,
    };
    Ok(SegmentWithTables { segment, tables })
}

/// Whether the segment is the first of its run, as its object says; objects that do not say it are not. Reads the
/// header alone, so the front of an object will do.
pub fn begins_run(object: &[u8]) -> bool {
    let header = Boxes::children(object).next().and_then(Result::ok).filter(|b| b.kind == *b"uuid");
    let header = header.and_then(|b| serde_json::from_slice::<HeaderRun>(header_json(b.body)?).ok());
    header.is_some_and(|h| h.begins_run)
}

fn header_json(body: &[u8]) -> Option<&[u8]> {
    body.strip_prefix(&HEADER_UUID).filter(|json| json.len() <= MAX_HEADER_BYTES)
}

fn read_header(body: &[u8]) -> Result<HeaderIn, CmafError> {
    let json = header_json(body).ok_or(CmafError::Damaged("the header of a segment object"))?;
    let damaged = |_| CmafError::Damaged("the header of a segment object");
    let HeaderVersion { version } = serde_json::from_slice(json).map_err(damaged)?;
    if version != VERSION {
        return Err(CmafError::Unsupported(format!("a segment object of version {version}")));
    }
    serde_json::from_slice(json).map_err(damaged)
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

/// The sample bytes of `part` in its object; `None` when the object does not have them.
pub fn payload_of<'a>(part: &TrackPart, object: &'a [u8]) -> Option<&'a [u8]> {
    let start = part.offset.checked_add(u64::from(part.payload_offset))?;
    let end = part.offset.checked_add(part.length)?;
    object.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, dump};
    use super::*;
    use crate::media::{RunId, StreamName, UtcUs};
    use proptest::prelude::*;

    fn id() -> SegmentId {
        SegmentId {
            stream: StreamName::parse("sport/uhd-1").unwrap(),
            run: RunId(0x0192_0000_0000_7000_8000_0000_0000_00ff),
            epoch: 3,
            sequence: 41,
            start: UtcUs(1_409_148_900_500_000),
            duration_us: 120_000,
        }
    }

    fn small() -> (Vec<u8>, Segment, Vec<SampleTable>) {
        let sample = |size, composition_offset, sync| Sample { size, duration: 3600, composition_offset, sync };
        let video =
            SampleTable { samples: vec![sample(5, 3600, true), sample(3, 7200, false), sample(2, -3600, false)] };
        let audio =
            SampleTable { samples: vec![Sample { size: 4, duration: 1920, composition_offset: 0, sync: true }; 2] };
        let parts = [
            PartInput {
                track: TrackId::video(1),
                init: InitHash::of(b"v"),
                decode_start: Ticks(900_000),
                table: &video,
                payload: &[Bytes::from_static(b"VVVV"), Bytes::from_static(b"Vvvvvv")],
            },
            PartInput {
                track: TrackId::audio(2),
                init: InitHash::of(b"a"),
                decode_start: Ticks(901_000),
                table: &audio,
                payload: &[Bytes::from_static(b"AAAAaaaa")],
            },
        ];
        let (object, segment) = write_segment(&id(), 2, Ticks(903_600), false, &parts).unwrap();
        (object, segment, vec![video, audio])
    }

    #[test]
    fn golden_object() {
        let (object, segment, _) = small();
        insta::assert_snapshot!(dump(&object), @r#"
        uuid 330 e731b8c175be4951b193e5371363e912 {"version":1,"stream":"sport/uhd-1","run":"019200000000700080000000000000ff","epoch":3,"sequence":41,"start":1409148900500000,"duration_us":120000,"discontinuity":2,"anchor":903600,"tracks":[{"track":"v1","init":"4c94485e0c21ae6c41ce1dfe7b6bface"},{"track":"a2","init":"ca978112ca1bbdcafac231b39a23dc4d"}]}
        prft 32 01000018 00000001 d7a86664 80000000 00000000 000dc9b0
        moof 124
          mfhd 16 00000000 00000029
          traf 100
            tfhd 24 00020028 00000001 00000e10 01010000
            tfdt 20 01000000 00000000 000dbba0
            trun 48 01000a05 00000003 00000084 02000000 00000005 00000e10 00000003 00001c20 00000002 fffff1f0
        mdat 18 56565656 56767676 7676
        prft 32 01000018 00000001 d7a86664 789abb01 00000000 000dbf88
        moof 100
          mfhd 16 00000000 00000029
          traf 76
            tfhd 28 00020038 00000001 00000780 00000004 02000000
            tfdt 20 01000000 00000000 000dbf88
            trun 20 01000001 00000002 0000006c
        mdat 16 41414141 61616161
        "#);
        assert_eq!(payload_of(&segment.tracks[0], &object), Some(b"VVVVVvvvvv".as_slice()));
        assert_eq!(payload_of(&segment.tracks[1], &object), Some(b"AAAAaaaa".as_slice()));
        assert_eq!(payload_of(&segment.tracks[1], &object[..object.len() - 1]), None);
    }

    #[test]
    fn a_key_that_names_another_segment_is_refused() {
        let (object, segment, tables) = small();
        let read = read_segment(&segment.object, &object).unwrap();
        assert_eq!(read, SegmentWithTables { segment, tables });
        let other = SegmentId { epoch: 4, ..id() }.object_key().unwrap();
        assert_eq!(read_segment(&other, &object), Err(CmafError::KeyMismatch));
        let init = ObjectKey::init(&id().stream, InitHash::of(b"v"));
        assert_eq!(read_segment(&init, &object), Err(CmafError::KeyMismatch));
    }

    #[test]
    fn a_newer_version_is_told_apart_from_damage() {
        let (object, segment, _) = small();
        let at = object.windows(11).position(|w| w == b"\"version\":1").unwrap();
        let mut newer = object.clone();
        newer[at + 10] = b'2';
        assert!(matches!(read_segment(&segment.object, &newer), Err(CmafError::Unsupported(_))));
    }

    #[test]
    fn what_fits_no_segment_is_refused() {
        let table = SampleTable { samples: vec![Sample { size: 4, duration: 1, composition_offset: 0, sync: true }] };
        let payload = [Bytes::from_static(b"AAAA")];
        let good = PartInput {
            track: TrackId::audio(1),
            init: InitHash::of(b"a"),
            decode_start: Ticks(0),
            table: &table,
            payload: &payload,
        };
        let write = |parts: &[PartInput<'_>]| write_segment(&id(), 0, Ticks(0), false, parts).map(|_| ());
        assert_eq!(write(&[good]), Ok(()));
        let empty = SampleTable::default();
        let video = PartInput { track: TrackId::video(1), ..good };
        for bad in [
            &[][..],
            &[good, good],
            &[good, video],
            &[PartInput { decode_start: Ticks(-1), ..good }],
            &[PartInput { payload: &[], ..good }],
            &[PartInput { table: &empty, payload: &[], ..good }],
        ] {
            assert!(matches!(write(bad), Err(CmafError::Unwritable(_))), "{bad:?}");
        }
        let late = SegmentId { duration_us: 0, ..id() };
        assert!(write_segment(&late, 0, Ticks(0), false, &[good]).is_err());
        let huge = SampleTable { samples: vec![Sample { size: u32::MAX, ..table.samples[0] }] };
        assert!(write(&[PartInput { table: &huge, ..good }]).is_err());
    }

    fn any_table() -> impl Strategy<Value = SampleTable> {
        let sample =
            (0u32..40, prop_oneof![Just(3600u32), any::<u32>()], prop_oneof![Just(0i32), any::<i32>()], any::<bool>());
        let uniform = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
        (proptest::collection::vec(sample, 1..30), uniform).prop_map(|(samples, (d, z, c, s))| {
            let mut samples: Vec<Sample> = samples
                .into_iter()
                .map(|(size, duration, composition_offset, sync)| Sample { size, duration, composition_offset, sync })
                .collect();
            let first = samples[0];
            for (number, sample) in samples.iter_mut().enumerate() {
                sample.duration = if d { first.duration } else { sample.duration };
                sample.size = if z { first.size } else { sample.size };
                sample.composition_offset = if c { 0 } else { sample.composition_offset };
                sample.sync = if s { number == 0 } else { sample.sync };
            }
            SampleTable { samples }
        })
    }

    proptest! {
        #[test]
        fn objects_read_back(
            tables in proptest::collection::vec(any_table(), 1..4),
            starts in proptest::collection::vec(0i64..1 << 55, 4),
            anchor in -(1i64 << 40)..1 << 55,
            sequence in 0u64..1 << 60,
            start_utc_us in 0i64..253_402_300_000_000_000,
            discontinuity in 0u64..1 << 60,
            first: bool,
        ) {
            let id = SegmentId { sequence, start: UtcUs(start_utc_us), ..id() };
            let payloads: Vec<[Bytes; 1]> =
                tables.iter().map(|t| [vec![0xab; t.payload_bytes() as usize].into()]).collect();
            let parts: Vec<PartInput<'_>> = tables.iter().zip(&payloads).zip(&starts).enumerate().map(|(n, ((table, payload), start))| PartInput {
                track: if n == 0 { TrackId::video(1) } else { TrackId::audio(n as u8) },
                init: InitHash([n as u8; 16]),
                decode_start: Ticks(*start),
                table,
                payload,
            }).collect();
            let (object, segment) = write_segment(&id, discontinuity, Ticks(anchor), first, &parts).unwrap();
            prop_assert_eq!(begins_run(&object), first);
            prop_assert_eq!(object.len(), object.capacity());
            prop_assert_eq!(segment.object_length, object.len() as u64);
            let key = segment.object.clone();
            prop_assert_eq!(read_segment(&key, &object).unwrap(), SegmentWithTables { segment, tables: tables.clone() });
        }
    }

    #[test]
    fn damaged_objects_are_refused_or_read() {
        let (object, segment, _) = small();
        testing::mutations(&object, 20_000, |bytes| {
            let _ = read_segment(&segment.object, bytes);
        });
        for cut in 0..object.len() {
            assert!(read_segment(&segment.object, &object[..cut]).is_err(), "cut at {cut}");
        }
        let mut longer = object.clone();
        longer.extend_from_slice(&[0; 3]);
        assert!(read_segment(&segment.object, &longer).is_err());
    }
}
