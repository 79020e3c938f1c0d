//! Formats of media: bytes to samples and back.
//!
//! Comes in: bytes of MPEG-TS, CMAF, MP4, in pieces of any size, from anyone. Goes out: typed tracks and
//! samples, or bytes. Never: I/O, async, clocks, logging; never panics or grows without bound on any input.

use crate::media::{Ticks, UtcUs, track::TrackParams, track::Uncarried};
use bytes::Bytes;

pub mod cmaf;
pub mod codec;
pub mod mpegts;
pub mod progressive;

/// Number by which a source knows a track: the PID in MPEG-TS, the `track_ID` in fragmented MP4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceTrack(pub u32);

/// One access unit in the form that is stored: length-prefixed NAL units (4 bytes each, without parameter
/// sets and AUDs) for H.264 and H.265, one raw AAC frame without ADTS header, one whole frame for MPEG audio,
/// AC-3 and E-AC-3, one coded frame (both fields) for MPEG-2 video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaSample {
    /// Which track of the source.
    pub track: SourceTrack,
    /// Decoding time, unwrapped: never jumps by 2^33.
    pub dts: Ticks,
    /// Presentation time, unwrapped.
    pub pts: Ticks,
    /// Ticks this sample lasts where the format says so (audio frames; `trun`); else the next DTS says.
    pub duration: Option<u32>,
    /// Whether decoding can start here.
    pub sync: bool,
    /// The bytes.
    pub data: Bytes,
}

/// What demuxers make of a source, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaEvent {
    /// A track appeared, or its parameters change from its next sample on.
    Track {
        /// Which track of the source.
        track: SourceTrack,
        /// Its parameters from now on.
        params: TrackParams,
    },
    /// The source no longer lists this track.
    TrackGone(SourceTrack),
    /// A sample. Samples of one track come in decoding order; tracks are interleaved as in the source.
    Sample(MediaSample),
    /// The media clock is broken here: the times after have nothing to do with the times before.
    Discontinuity(&'static str),
    /// The source says that the media time `media` is the wall time `utc`.
    WallTime {
        /// Media time, unwrapped.
        media: Ticks,
        /// Wall time.
        utc: UtcUs,
    },
    /// An elementary stream that is not recorded; said once for each.
    Uncarried(Uncarried),
    /// Something was lost or damaged: a sentence for the log, counted by kind.
    Damage(&'static str),
}
