//! Answers: URL grammar, window, presentation plan, playlists, the virtual MP4.

pub mod export;
