//! Several tracks in one fragmented MP4, for players that want picture and sound in one playlist.
//!
//! Comes in: init segments and segment objects, whose tracks all have `track_ID` 1. Goes out: the same with one
//! number for each. Never: other samples, other times.

use super::CmafError;
use super::boxes::{Boxes, Kind};
use super::init::{MAX_TRACKS, OUR_TRACK, read_init, write_init};
use crate::media::TrackId;
use crate::media::segment::SegmentWithTables;

/// One init segment out of `inits`, each of one track: `track_ID` counts from 1 in their order. The same input gives
/// the same bytes.
///
/// # Errors
/// [`CmafError::Damaged`] when one is none of ours, [`CmafError::Unwritable`] when there are none or too many.
pub fn muxed_init(inits: &[&[u8]]) -> Result<Vec<u8>, CmafError> {
    if inits.is_empty() || inits.len() > MAX_TRACKS {
        return Err(CmafError::Unwritable("it has no track, or too many"));
    }
    let params = inits.iter().map(|init| read_init(init)).collect::<Result<Vec<_>, _>>()?;
    Ok(write_init(b"iso6\0\0\0\0iso6mp41", &params.iter().collect::<Vec<_>>()))
}

/// The parts of `tracks` one after another, `prft`, `moof` and `mdat` each, with the `track_ID`s that [`muxed_init`]
/// gives to the init segments of `tracks` in this order. Tracks that the segment does not have are left out; the
/// others keep their numbers.
///
/// # Errors
/// [`CmafError::Unwritable`] when it has none of `tracks`, or these are too many; [`CmafError::Damaged`] when the object
/// is not what its row says.
pub fn muxed_segment(
    object: &SegmentWithTables,
    object_bytes: &[u8],
    tracks: &[TrackId],
) -> Result<Vec<u8>, CmafError> {
    let parts = || {
        let numbered = (OUR_TRACK..).zip(tracks);
        numbered.filter_map(|(id, track)| Some((id, object.segment.part(*track)?)))
    };
    if parts().next().is_none() || tracks.len() > MAX_TRACKS {
        return Err(CmafError::Unwritable("it has none of these tracks, or they are too many"));
    }
    let missing = CmafError::Damaged("an object ends before its row says");
    let total = parts().map(|(_, part)| part.length).fold(0u64, u64::saturating_add);
    if total > object_bytes.len() as u64 * tracks.len() as u64 {
        return Err(missing);
    }
    let mut out = Vec::with_capacity(total as usize);
    for (id, part) in parts() {
        let range = usize::try_from(part.offset).ok().zip(part.offset.checked_add(part.length));
        let bytes = range.and_then(|(from, to)| object_bytes.get(from..usize::try_from(to).ok()?));
        let start = out.len();
        out.extend_from_slice(bytes.ok_or(missing.clone())?);
        let fragment = out.get_mut(start..).unwrap_or_default();
        // Numbers of fragments grow in a file (8.8.5): those of a segment share its number.
        let number = (object.segment.id.sequence as u32).wrapping_mul(tracks.len() as u32).wrapping_add(id - OUR_TRACK);
        set(fragment, &[b"prft"], id)?;
        set(fragment, &[b"moof", b"mfhd"], number)?;
        set(fragment, &[b"moof", b"traf", b"tfhd"], id)?;
    }
    Ok(out)
}

/// Sets the number that follows version and flags of the full box at `path`.
fn set(fragment: &mut [u8], path: &[&Kind], value: u32) -> Result<(), CmafError> {
    let damaged = CmafError::Damaged("a fragment of a segment object");
    let (mut from, mut to) = (0, fragment.len());
    for kind in path {
        let inside = fragment.get(from..to).unwrap_or_default();
        let mut children = Boxes::children(inside).filter_map(Result::ok);
        let found = children.find(|b| b.kind == **kind).ok_or(damaged.clone())?;
        to = from + found.offset + found.whole.len();
        from = to - found.body.len();
    }
    let field = fragment.get_mut(from..to).and_then(|body| body.get_mut(4..8)).ok_or(damaged)?;
    field.copy_from_slice(&value.to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::init::read_moov;
    use super::super::object::{PartInput, write_segment};
    use super::super::testing::{self, dump};
    use super::super::{fragment, init_segment, read_segment};
    use super::*;
    use crate::container::cmaf::boxes::need;
    use crate::media::segment::SegmentId;
    use crate::media::{InitHash, RunId, Sample, SampleTable, StreamName, Ticks, UtcUs};
    use bytes::Bytes;

    fn object() -> (SegmentWithTables, Vec<u8>) {
        let id = SegmentId {
            stream: StreamName::parse("s").unwrap(),
            run: RunId(1),
            epoch: 1,
            sequence: 7,
            start: UtcUs(1_409_148_900_000_000),
            duration_us: 40_000,
        };
        let table =
            SampleTable { samples: vec![Sample { size: 3, duration: 3600, composition_offset: 0, sync: true }] };
        let payloads = [b"vvv", b"aaa", b"bbb"].map(|p| [Bytes::from_static(p)]);
        let tracks = [TrackId::video(1), TrackId::audio(1), TrackId::audio(2)];
        let parts: Vec<PartInput<'_>> = tracks
            .iter()
            .zip(&payloads)
            .map(|(track, payload)| PartInput {
                track: *track,
                init: InitHash([0; 16]),
                decode_start: Ticks(900_000),
                table: &table,
                payload,
            })
            .collect();
        let (bytes, row) = write_segment(&id, 0, Ticks(900_000), true, &parts).unwrap();
        (read_segment(&row.object, &bytes).unwrap(), bytes)
    }

    /// Track, number and samples of each fragment.
    fn fragments(segment: &[u8]) -> Vec<(u32, u32, &[u8])> {
        let boxes: Vec<_> = Boxes::children(segment).map(Result::unwrap).collect();
        let read = boxes.chunks(3).map(|three| {
            assert_eq!([&three[0].kind, &three[1].kind, &three[2].kind], [b"prft", b"moof", b"mdat"]);
            let (_, _, mut prft) = three[0].full().unwrap();
            let (_, _, mut mfhd) = need(three[1].body, b"mfhd", "").unwrap().full().unwrap();
            let moof = fragment::read_moof(three[1].body).unwrap();
            assert_eq!(prft.u32().unwrap(), moof[0].track_id);
            (moof[0].track_id, mfhd.u32().unwrap(), three[2].body)
        });
        read.collect()
    }

    #[test]
    fn parts_get_numbers_in_the_order_asked_for() {
        let (row, bytes) = object();
        let (v, a, b) = (TrackId::video(1), TrackId::audio(1), TrackId::audio(2));
        let muxed = |tracks: &[TrackId]| muxed_segment(&row, &bytes, tracks);
        assert_eq!(fragments(&muxed(&[v, b]).unwrap()), [(1, 14, &b"vvv"[..]), (2, 15, b"bbb")]);
        assert_eq!(fragments(&muxed(&[a, TrackId::audio(9), v]).unwrap()), [(1, 21, &b"aaa"[..]), (3, 23, b"vvv")]);
        assert!(matches!(muxed(&[TrackId::audio(9)]), Err(CmafError::Unwritable(_))));
        assert!(matches!(muxed(&[]), Err(CmafError::Unwritable(_))));
        assert!(matches!(muxed_segment(&row, &bytes[..bytes.len() - 1], &[b]), Err(CmafError::Damaged(_))));
        assert!(matches!(muxed_segment(&row, &[], &[v]), Err(CmafError::Damaged(_))));
    }

    #[test]
    fn init_segments_become_one() {
        let all = testing::all_params();
        let inits: Vec<Vec<u8>> = all.iter().map(init_segment).collect();
        let slices: Vec<&[u8]> = inits.iter().map(Vec::as_slice).collect();
        let muxed = muxed_init(&slices).unwrap();
        let moov = need(&muxed, b"moov", "").unwrap();
        let tracks = read_moov(moov.body).unwrap();
        assert_eq!(tracks.len(), all.len());
        for ((n, track), params) in (1u32..).zip(&tracks).zip(&all) {
            assert_eq!((track.track_id, track.entries.as_slice()), (n, [params.sample_entry.as_slice()].as_slice()));
            assert_eq!((&track.language, track.defaults.description), (&params.language, 1));
        }
        // But for the brands, one track is as it was.
        let one = muxed_init(&slices[..1]).unwrap();
        assert_eq!(dump(&one).lines().skip(1).collect::<Vec<_>>(), dump(slices[0]).lines().skip(1).collect::<Vec<_>>());
        assert!(matches!(muxed_init(&[]), Err(CmafError::Unwritable(_))));
        assert!(muxed_init(&[b"no init"]).is_err());
    }

    #[test]
    fn damaged_objects_are_refused_or_copied() {
        let (row, bytes) = object();
        testing::mutations(&bytes, 3000, |bytes| {
            let _ = muxed_segment(&row, bytes, &[TrackId::video(1), TrackId::audio(2)]);
        });
    }
}
