//! A TS segment from a segment object.
//!
//! Comes in: row, tables, the object's bytes, what its init segments say, the tracks that are asked for. Goes out:
//! packets. Never: tracks that the segment does not have.

use super::{MuxError, MuxTrack, mux};
use crate::container::cmaf;
use crate::media::segment::SegmentWithTables;
use crate::media::{InitInfo, TrackId};

/// The TS segment of those of `tracks` that the segment has. The first of a run begins with a discontinuity, as the
/// object itself says.
///
/// # Errors
/// [`MuxError::Nothing`] when it has none of `tracks`, [`MuxError::Missing`] when the object or `inits` lack what
/// the row names, else as [`mux`].
pub fn ts_of_object(
    object: &SegmentWithTables,
    object_bytes: &[u8],
    inits: &[InitInfo],
    tracks: &[TrackId],
) -> Result<Vec<u8>, MuxError> {
    let parts = object.segment.tracks.iter().zip(&object.tables).filter(|(part, _)| tracks.contains(&part.track));
    let tracks = parts.map(|(part, table)| {
        let init = inits.iter().find(|init| init.hash == part.init).ok_or(MuxError::Missing(part.track))?;
        let payload = cmaf::payload_of(part, object_bytes).ok_or(MuxError::Missing(part.track))?;
        let (params, table) = (&init.params, table.samples.as_slice());
        Ok(MuxTrack { track: part.track, params, decode_start: part.decode_start, table, payload })
    });
    mux(&tracks.collect::<Result<Vec<_>, _>>()?, cmaf::begins_run(object_bytes))
}
