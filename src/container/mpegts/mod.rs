//! MPEG-TS in: packets to media events (ISO/IEC 13818-1). MPEG-TS out: [`mux`].
//!
//! Comes in: bytes of a transport stream, in pieces of any size, damaged or hostile. Goes out: tracks, samples,
//! breaks, wall times, and word of what was lost or is not carried. Never: panics, keeps more than its limits,
//! or lets the way the bytes were cut make a difference.

mod clock;
mod demux;
mod framing;
mod gate;
pub mod mux;
mod packet;
mod pes;
mod program;
mod psi;
mod section;

pub use demux::TsDemuxer;

#[cfg(test)]
mod captures;
#[cfg(test)]
pub(crate) mod testkit;
#[cfg(test)]
mod tests;
