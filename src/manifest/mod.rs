//! Manifests: typed documents to text.
//!
//! Comes in: documents whose numbers others have decided. Goes out: their text, exact to the byte.
//! Never: decides what is listed; I/O, clocks, logging.

pub mod hls;
