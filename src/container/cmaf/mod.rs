//! CMAF: init segments, fragments, segment objects, and fragmented MP4 from elsewhere.
//!
//! Comes in: track parameters, samples and their tables; or bytes of fragmented MP4 from anyone. Goes out:
//! bytes, or parameters, rows, tables and samples. Never: I/O, clocks, copies of sample bytes beyond the one
//! into the object; never panics, hangs or takes memory out of proportion to its input.
//!
//! Clauses are those of ISO/IEC 14496-12 where nothing else is named.

mod boxes;
mod elementary;
mod entry;
mod fmp4;
mod fragment;
mod init;
mod muxed;
mod object;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests_ffmpeg;

pub(crate) use elementary::{AdtsFormat, adts_format, annex_b_sets};
pub use entry::params_from_sample_entry;
pub use fmp4::Fmp4Reader;
pub use init::{init_segment, read_init};
pub use muxed::{muxed_init, muxed_segment};
pub use object::{HEADER_UUID, PartInput, begins_run, payload_of, read_segment, write_segment};

/// Why bytes were not read, or not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CmafError {
    /// The bytes are cut short, contradict themselves or ask for more than anything real does.
    #[error("damaged MP4: {0}")]
    Damaged(&'static str),
    /// Well formed as far as it was read, but nothing that can be carried; names what it is.
    #[error("not carried: {0}")]
    Unsupported(String),
    /// The object's header and its key name different segments, or the key names none.
    #[error("the object is not the segment that its key names")]
    KeyMismatch,
    /// What was given to be written fits no segment.
    #[error("cannot be written as a segment: {0}")]
    Unwritable(&'static str),
}
