//! What the API says and takes, as JSON. Times are UTC milliseconds.

use crate::media::track::{Codec, TrackParams};
use crate::media::{TrackKind, UtcRange, track};
use crate::playback::summary::TrackSummary;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a stream is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Media comes in.
    Recording,
    /// A recorder tries to reach the source.
    Reconnecting,
    /// Nobody records it: `reason` says why.
    Stopped,
    /// An operator paused it.
    Paused,
    /// No recorder has said anything of it lately.
    Unknown,
}

/// Where a stream is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// In the configuration file: not to be changed here.
    File,
    /// Here.
    Api,
}

/// Picture or sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Picture.
    Video,
    /// Sound.
    Audio,
}

/// A track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Track {
    /// Name in playback URLs, for instance `v1`.
    pub id: String,
    /// Picture or sound.
    pub kind: Kind,
    /// RFC 6381, for instance `avc1.640028`.
    pub codec: String,
    /// For people, for instance `H.264`.
    pub codec_name: &'static str,
    /// ISO 639-2.
    pub language: Option<String>,
    /// Width of the picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Height of the picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Pictures in 1000 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame_rate_milli: Option<u32>,
    /// In Hz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_rate: Option<u32>,
    /// Channels, LFE included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<u16>,
    /// Bits per second.
    pub bitrate_bps: Option<u64>,
}

fn codec_name(codec: Option<Codec>) -> &'static str {
    match codec {
        Some(Codec::H264) => "H.264",
        Some(Codec::H265) => "H.265",
        Some(Codec::Mpeg2Video) => "MPEG-2",
        Some(Codec::Aac) => "AAC",
        Some(Codec::MpegAudio) => "MPEG audio",
        Some(Codec::Ac3) => "AC-3",
        Some(Codec::Eac3) => "E-AC-3",
        None => "unknown",
    }
}

impl From<TrackKind> for Kind {
    fn from(kind: TrackKind) -> Self {
        match kind {
            TrackKind::Video => Self::Video,
            TrackKind::Audio => Self::Audio,
        }
    }
}

impl Track {
    /// As recorded.
    pub fn recorded(summary: &TrackSummary) -> Self {
        Self {
            id: summary.track.to_string(),
            kind: summary.track.kind.into(),
            codec: summary.codec_strings.last().cloned().unwrap_or_default(),
            codec_name: codec_name(summary.codec),
            language: summary.language.clone(),
            width: summary.video.map(|v| v.width),
            height: summary.video.map(|v| v.height),
            frame_rate_milli: summary.frame_rate_milli,
            sample_rate: summary.audio.map(|a| a.sample_rate),
            channels: summary.audio.map(|a| a.channels),
            bitrate_bps: Some(summary.average_bps),
        }
    }

    /// As a source has it; `number`: from 1, of its kind.
    pub fn of_source(params: &TrackParams, number: usize) -> Self {
        let (kind, letter) = match params.kind() {
            TrackKind::Video => (Kind::Video, 'v'),
            TrackKind::Audio => (Kind::Audio, 'a'),
        };
        Self {
            id: format!("{letter}{number}"),
            kind,
            codec: params.codec_string.clone(),
            codec_name: codec_name(Some(params.codec)),
            language: params.language.clone(),
            width: params.video.map(|v| v.width),
            height: params.video.map(|v| v.height),
            frame_rate_milli: None,
            sample_rate: params.audio.map(|a| a.sample_rate),
            channels: params.audio.map(|a| a.channels),
            bitrate_bps: None,
        }
    }
}

/// Part of a source that is not recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Uncarried {
    /// Where it is in the source.
    pub place: String,
    /// What it is.
    pub what: String,
    /// ISO 639-2.
    pub language: Option<String>,
}

impl From<track::Uncarried> for Uncarried {
    fn from(u: track::Uncarried) -> Self {
        Self { place: u.place, what: u.what, language: u.language }
    }
}

/// A stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Stream {
    /// Name.
    pub name: String,
    /// Where it is set.
    pub origin: Origin,
    /// Its source; secrets are shown as `***`.
    pub source: String,
    /// What it is doing.
    pub state: State,
    /// Why, in words.
    pub reason: Option<String>,
    /// Since when.
    pub since_ms: Option<i64>,
    /// The machine that records it.
    pub node: Option<String>,
    /// As in the newest segments.
    pub tracks: Vec<Track>,
    /// What of the source is not recorded.
    pub uncarried: Vec<Uncarried>,
    /// Of all tracks, while it is recorded.
    pub bitrate_bps: Option<u64>,
    /// Start of the oldest recording.
    pub first_ms: Option<i64>,
    /// End of the newest recording.
    pub live_edge_ms: Option<i64>,
    /// Bytes of all recordings.
    pub stored_bytes: u64,
    /// How long recordings are kept; for ever when null.
    pub retention_seconds: Option<i64>,
    /// Nothing is recorded for now.
    pub paused: bool,
}

/// A page of streams.
#[derive(Debug, Serialize, ToSchema)]
pub struct StreamPage {
    /// By name.
    pub streams: Vec<Stream>,
    /// Where the next page begins; null on the last one.
    pub next_cursor: Option<String>,
}

/// A stream to be created or changed.
#[derive(Deserialize, ToSchema)]
pub struct StreamInput {
    /// Name.
    pub name: String,
    /// Its source. A source as it was shown, with `***`, stands for the one that is set.
    pub source: String,
    /// How long recordings are kept; for ever when null.
    #[serde(default)]
    pub retention_seconds: Option<i64>,
    /// Nothing is recorded for now.
    #[serde(default)]
    pub paused: bool,
}

/// A source to be tested.
#[derive(Deserialize, ToSchema)]
pub struct SourceInput {
    /// The source. As it was shown, with `***`, it stands for the one that is set.
    pub source: String,
}

/// What was found at a source.
#[derive(Debug, Serialize, ToSchema)]
pub struct SourceReport {
    /// It can be recorded.
    pub ok: bool,
    /// In words.
    pub message: String,
    /// How long the test took.
    pub took_ms: u64,
    /// What would be recorded.
    pub tracks: Vec<Track>,
    /// What would not.
    pub uncarried: Vec<Uncarried>,
}

/// A span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Span {
    /// Start.
    pub from_ms: i64,
    /// End.
    pub to_ms: i64,
}

impl From<UtcRange> for Span {
    fn from(r: UtcRange) -> Self {
        Self { from_ms: r.start.millis(), to_ms: r.end.millis() }
    }
}

/// A recorded span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct RecordedSpan {
    /// Start.
    pub from_ms: i64,
    /// End.
    pub to_ms: i64,
    /// Gaps inside that are no longer than the resolution.
    #[serde(skip_serializing_if = "is_zero")]
    pub gaps: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// What of a window is recorded.
#[derive(Debug, Serialize, ToSchema)]
pub struct RangeAnswer {
    /// Start of the window.
    pub from_ms: i64,
    /// End of the window.
    pub to_ms: i64,
    /// Gaps up to this long are joined over.
    pub resolution_ms: i64,
    /// Recorded spans, cut to the window.
    pub ranges: Vec<RecordedSpan>,
    /// There are more; ask for less at a time, or coarser.
    pub truncated: bool,
}

/// A lock.
#[derive(Debug, Serialize, ToSchema)]
pub struct Lock {
    /// Its name.
    pub id: String,
    /// Start of what is kept.
    pub from_ms: i64,
    /// Its end.
    pub to_ms: i64,
    /// For people.
    pub title: String,
    /// When it was made.
    pub created_ms: i64,
}

/// A lock to be made.
#[derive(Deserialize, ToSchema)]
pub struct LockInput {
    /// Start of what is kept.
    pub from_ms: i64,
    /// Its end.
    pub to_ms: i64,
    /// For people.
    #[serde(default)]
    pub title: String,
}

/// The locks of a stream.
#[derive(Debug, Serialize, ToSchema)]
pub struct LockList {
    /// By start.
    pub locks: Vec<Lock>,
}

/// What an export would be.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExportInfo {
    /// Size of the file, exactly.
    pub bytes: u64,
    /// How long it plays.
    pub duration_ms: i64,
    /// Name under which browsers keep it.
    pub file_name: String,
    /// Where it is, on this server.
    pub url: String,
    /// Spans of the window that are not in it.
    pub gaps: Vec<Span>,
    /// What is in it.
    pub tracks: Vec<Track>,
}

/// How a part of the installation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Part {
    /// It answers.
    pub ok: bool,
    /// In words.
    pub message: String,
}

/// How this node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Status {
    /// Of the program.
    pub version: &'static str,
    /// The server's clock.
    pub now_ms: i64,
    /// The index of recordings.
    pub index: Part,
    /// The object store.
    pub store: Part,
    /// What this process does.
    pub roles: Vec<&'static str>,
}

/// Bytes of a stream.
#[derive(Debug, Serialize, ToSchema)]
pub struct StreamBytes {
    /// Stream.
    pub name: String,
    /// Of its recordings.
    pub bytes: u64,
}

/// Bytes of all recordings.
#[derive(Debug, Serialize, ToSchema)]
pub struct Storage {
    /// Of all streams.
    pub bytes: u64,
    /// Of each.
    pub streams: Vec<StreamBytes>,
}

/// An error (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemDocument {
    /// `about:blank`.
    pub r#type: String,
    /// Of the status.
    pub title: String,
    /// Status.
    pub status: u16,
    /// A sentence for people.
    pub detail: String,
}
