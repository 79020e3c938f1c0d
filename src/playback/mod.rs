//! Answers: URL grammar, window, presentation plan, playlists, the virtual MP4.
