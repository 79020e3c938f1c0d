//! The TS muxer: what it makes of random tables and of real recordings, read by a checker that shares no code with
//! it, by our demuxer and by ffmpeg.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common_captures/mod.rs"]
#[allow(dead_code, reason = "other suites use the rest")]
mod common_captures;
mod entries;
mod properties;
mod recorded;
#[path = "../support/ts_check.rs"]
#[allow(dead_code, reason = "other suites use the rest")]
mod ts_check;
