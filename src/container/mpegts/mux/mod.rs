//! MPEG-TS out: the samples of one segment to one TS segment (ISO/IEC 13818-1).
//!
//! Comes in: tracks with their tables, and bytes as they are stored. Goes out: whole packets, or how many bytes they
//! would be. Never: state from one segment to the next, payload to know a length, memory for each sample.
//!
//! The bytes are a function of the segment alone, and yet segments join: on every PID the packets with payload are a
//! multiple of 16 in each segment, so that each begins with continuity_counter 0; and the PCR is the DTS less a
//! constant, on the first video track, else the first audio track.

mod elementary;
mod layout;
mod object;
mod tables;
mod write;

pub use object::ts_of_object;

use crate::container::cmaf::CmafError;
use crate::media::track::TrackParams;
use crate::media::{Sample, Ticks, TrackId};
use layout::Layout;

/// One track of what is muxed; `table` and `payload` may be some of a segment's samples.
#[derive(Debug, Clone, Copy)]
pub struct MuxTrack<'a> {
    /// Which track; its PID follows from this alone.
    pub track: TrackId,
    /// Codec, language and sample entry.
    pub params: &'a TrackParams,
    /// DTS of the first of `table`.
    pub decode_start: Ticks,
    /// The samples, in decoding order.
    pub table: &'a [Sample],
    /// Their bytes as they are stored, one after another.
    pub payload: &'a [u8],
}

/// [`MuxTrack`] without its bytes: all that the length of the output depends on.
#[derive(Debug, Clone, Copy)]
pub struct MuxShape<'a> {
    /// Which track.
    pub track: TrackId,
    /// Codec, language and sample entry.
    pub params: &'a TrackParams,
    /// DTS of the first of `table`.
    pub decode_start: Ticks,
    /// The samples, in decoding order.
    pub table: &'a [Sample],
}

impl<'a> MuxTrack<'a> {
    fn shape(&self) -> MuxShape<'a> {
        MuxShape { track: self.track, params: self.params, decode_start: self.decode_start, table: self.table }
    }
}

/// Why nothing was muxed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MuxError {
    /// No track was given, or none has a sample.
    #[error("there is nothing to mux")]
    Nothing,
    /// A track was given twice.
    #[error("track {0} is there twice")]
    Twice(TrackId),
    /// The PMT would be longer than a section.
    #[error("more tracks than a program of MPEG-TS lists")]
    TooManyTracks,
    /// Its sample entry does not say what the elementary stream needs.
    #[error("track {0} cannot be carried in MPEG-TS")]
    Entry(TrackId, #[source] CmafError),
    /// Its bytes are not those of its table.
    #[error("track {0}: the samples are not as long as their table says")]
    Payload(TrackId),
    /// NAL unit lengths do not fit their sample.
    #[error("track {0}: damaged NAL unit lengths")]
    NalLengths(TrackId),
    /// An audio frame is longer than its headers can say.
    #[error("track {0}: an audio frame is too long")]
    FrameTooLong(TrackId),
    /// Times lie further apart than in any segment.
    #[error("media times beyond all reason")]
    Times,
    /// More samples or bytes than any segment has.
    #[error("larger than any segment")]
    TooLarge,
    /// The object, or what goes with it, lacks something that its row names.
    #[error("track {0}: its samples or its init segment are missing")]
    Missing(TrackId),
}

/// Muxes `tracks` into one TS segment. Tracks without samples are listed and send nothing. `discontinuity` says so on
/// the first packet of every PID (2.4.3.5): nothing before it belongs to the same clock.
///
/// Where a picture would be shown before it is decoded, as MP4 allows, its DTS is moved back.
///
/// # Errors
/// [`MuxError`]; damaged input never panics.
pub fn mux(tracks: &[MuxTrack<'_>], discontinuity: bool) -> Result<Vec<u8>, MuxError> {
    for track in tracks {
        let bytes: u64 = track.table.iter().map(|s| u64::from(s.size)).sum();
        if bytes != track.payload.len() as u64 {
            return Err(MuxError::Payload(track.track));
        }
    }
    let layout = Layout::of(tracks.iter().map(MuxTrack::shape))?;
    write::write(&layout, tracks, discontinuity)
}

/// Exactly the length of what [`mux`] gives, whatever the payload.
///
/// # Errors
/// As [`mux`], but for what only the payload shows.
pub fn muxed_bytes(tracks: &[MuxShape<'_>]) -> Result<u64, MuxError> {
    Ok(Layout::of(tracks.iter().copied())?.total_bytes())
}
