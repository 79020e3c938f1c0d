//! HLS playlists (RFC 8216, draft-pantos-hls-rfc8216bis) as typed documents.
//!
//! Comes in: a [`MediaPlaylist`] or a [`MultivariantPlaylist`]. Goes out: its text. Whatever a field holds,
//! no line break, quote or control character of it reaches the text.
//! Never: decides what is listed or how anything is numbered.

pub mod media;
pub mod multivariant;
mod text;

pub use media::{MediaPlaylist, MediaSegment, PlaylistType, Start, WriteUri, push_map};
pub use multivariant::{IFrameVariant, MultivariantPlaylist, Rendition, Variant};
pub use text::DateText;
