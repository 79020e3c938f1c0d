//! Codecs: elementary stream bytes to access units with parameters.
//!
//! Comes in: payloads of PES packets. Goes out: access units in the form that is stored, and the parameters of
//! their track with a complete sample entry. Never: decodes, grows without bound, panics on any input.

use super::{MediaSample, SourceTrack};
use crate::media::{Codec, Ticks, track::TrackParams};

mod aac;
mod ac3;
mod audio;
mod bits;
mod clock;
mod entry;
mod frames;
mod h264;
mod h264_syntax;
mod h265;
mod h265_syntax;
mod mpeg2;
mod mpeg_audio;
#[cfg(test)]
mod tests;
mod video;

/// One PES packet's payload, with the times of its header. Unwrapped already.
#[derive(Debug, Clone, Copy)]
pub struct PesPayload<'a> {
    /// PTS, where the header has one.
    pub pts: Option<Ticks>,
    /// DTS, where the header has one; else it equals PTS.
    pub dts: Option<Ticks>,
    /// The elementary stream bytes.
    pub data: &'a [u8],
    /// Packets were lost (or garbage skipped) somewhere before or within this payload.
    pub damaged: bool,
}

/// What an assembler found, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assembled {
    /// The parameters of the samples from here on.
    Params(TrackParams),
    /// One access unit; `track` is copied from the assembler's constructor.
    Sample(MediaSample),
    /// Bytes that were no frame, or a frame that had to be dropped: a sentence for the log.
    Damage(&'static str),
}

/// Turns one elementary stream's PES payloads into access units. Bounded memory on any input.
pub trait Assembler: Send + Sync {
    /// Takes the next payload.
    fn push(&mut self, pes: PesPayload<'_>, out: &mut Vec<Assembled>);
    /// The stream ends or breaks here: gives what is whole, forgets the rest, keeps the parameters.
    fn flush(&mut self, out: &mut Vec<Assembled>);
}

/// An assembler for `codec`. Samples carry `track`; parameters carry `language`.
///
/// - A picture with any byte in a damaged payload is dropped; one that ends right before such a payload is whole.
///   Audio frames that begin in or reach into a damaged payload must be confirmed by the header behind them.
/// - Access units without a stated time get one by the frame rate (and, for pictures, the display order); before the
///   first stated time nothing is given.
/// - Sync samples: IDR or IRAP pictures, recovery points of 255 pictures at most, I pictures of MPEG-2 video
///   behind a sequence header, every audio frame.
/// - AC-3 and E-AC-3 are told apart by their frames: `Params` says which it is, whatever was asked for.
pub fn assembler(codec: Codec, track: SourceTrack, language: Option<String>) -> Box<dyn Assembler> {
    use {audio::AudioAssembler, video::VideoAssembler};
    match codec {
        Codec::H264 => Box::new(VideoAssembler::new(h264::H264::default(), track, language)),
        Codec::H265 => Box::new(VideoAssembler::new(h265::H265::default(), track, language)),
        Codec::Mpeg2Video => Box::new(VideoAssembler::new(mpeg2::Mpeg2::default(), track, language)),
        Codec::Aac => Box::new(AudioAssembler::new(aac::Aac::default(), track, language)),
        Codec::MpegAudio => Box::new(AudioAssembler::new(mpeg_audio::MpegAudio::default(), track, language)),
        Codec::Ac3 | Codec::Eac3 => Box::new(AudioAssembler::new(ac3::Ac3::default(), track, language)),
    }
}
