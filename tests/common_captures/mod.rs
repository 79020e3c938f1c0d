//! Reading captures: with ffprobe and ffmpeg, and through the library's own pipeline.

pub mod pipeline;
pub mod probe;

use std::path::PathBuf;

/// A capture of the folder of captures.
pub fn capture(name: &str) -> PathBuf {
    let folder = std::env::var("EVERTAPE_CAPTURES")
        .unwrap_or_else(|_| format!("{}/../shared/media", env!("CARGO_MANIFEST_DIR")));
    let path = PathBuf::from(folder).join(name);
    assert!(path.is_file(), "{} is missing; set EVERTAPE_CAPTURES to the folder of captures", path.display());
    path
}
