//! Answers: URL grammar, window, presentation plan, playlists, the virtual MP4 and TS files.
//!
//! Comes in: paths and queries from anyone, index rows, `now`. Goes out: typed requests, what to ask the index,
//! texts of playlists and JSON answers, and how long each may be cached.
//! Never: I/O, clocks, SQL, HTTP types, logging. Two nodes give byte-identical answers.
//!
//! The way of a playlist: [`url::parse`] → [`window::resolve`] → the index → [`plan::Plan::build`] →
//! [`hls::playlist`].

pub mod cache;
pub mod export;
pub mod feed;
mod file;
pub mod hls;
pub mod json;
mod language;
pub mod pacing;
pub mod plan;
pub mod preview;
pub mod rendered;
pub mod summary;
pub mod ts_export;
pub mod url;
pub mod view;
pub mod window;

#[cfg(test)]
mod tests;
