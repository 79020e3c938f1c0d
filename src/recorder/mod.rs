//! Recorder: sources, segmenter, spool, publisher.

pub mod source;
