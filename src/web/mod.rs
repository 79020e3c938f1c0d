//! Web: playback over HTTP.
