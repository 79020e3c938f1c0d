//! Codecs: elementary stream bytes to access units with parameters.

use super::MediaSample;
use crate::media::{Ticks, track::TrackParams};

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
pub trait Assembler: Send {
    /// Takes the next payload.
    fn push(&mut self, pes: PesPayload<'_>, out: &mut Vec<Assembled>);
    /// The stream ends or breaks here: gives what is whole, forgets the rest, keeps the parameters.
    fn flush(&mut self, out: &mut Vec<Assembled>);
}
