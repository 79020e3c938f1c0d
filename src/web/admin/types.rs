//! What the API speaks: shapes of requests and answers. Times are UTC milliseconds unless the name says otherwise.
//!
//! Comes in and goes out as JSON. Never: decides anything.

use crate::media::{Codec, TrackKind, UtcRange};
use crate::playback::hls::PlainHls;
use crate::playback::summary::TrackSummary;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is being done about a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StreamState {
    /// Media comes in.
    Recording,
    /// A recorder tries to get at the source.
    Reconnecting,
    /// Nothing is recorded, and nobody tries.
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
    /// In a configuration file: it cannot be changed here.
    File,
    /// Through this API.
    Api,
    /// Nowhere any more: only its archive is there.
    Archive,
}

/// What a track holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// A track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Track {
    /// `v1`, `a1` ...
    pub id: String,
    /// Pictures or sound.
    pub kind: Kind,
    /// RFC 6381.
    pub codec: String,
    /// For people.
    pub codec_name: &'static str,
    /// ISO 639.
    #[schema(required = true)]
    pub language: Option<String>,
    /// Pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Pictures in 1000 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame_rate_milli: Option<u32>,
    /// Hz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_rate: Option<u32>,
    /// Channels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<u16>,
    /// Bits in a second, lately.
    #[schema(required = true)]
    pub bitrate_bps: Option<u64>,
}

impl Track {
    /// A track as the newest segments have it.
    pub fn of_summary(track: &TrackSummary) -> Self {
        Self {
            id: track.track.to_string(),
            kind: kind(track.track.kind),
            codec: track.codec_strings.last().cloned().unwrap_or_default(),
            codec_name: track.codec.map_or("unknown", codec_name),
            language: track.language.clone(),
            width: track.video.map(|v| v.width),
            height: track.video.map(|v| v.height),
            frame_rate_milli: track.frame_rate_milli,
            sample_rate: track.audio.map(|a| a.sample_rate),
            channels: track.audio.map(|a| a.channels),
            bitrate_bps: Some(track.average_bps),
        }
    }

    /// A track by its parameters alone.
    pub fn of_params(id: String, info: &crate::media::track::TrackParams) -> Self {
        Self {
            id,
            kind: kind(info.kind()),
            codec: info.codec_string.clone(),
            codec_name: codec_name(info.codec),
            language: info.language.clone(),
            width: info.video.map(|v| v.width),
            height: info.video.map(|v| v.height),
            frame_rate_milli: None,
            sample_rate: info.audio.map(|a| a.sample_rate),
            channels: info.audio.map(|a| a.channels),
            bitrate_bps: None,
        }
    }
}

fn kind(kind: TrackKind) -> Kind {
    match kind {
        TrackKind::Video => Kind::Video,
        TrackKind::Audio => Kind::Audio,
    }
}

/// What plain `.m3u8` is, as the document says it.
fn hls_schema() -> utoipa::openapi::Object {
    let words = ["auto", "ts", "fmp4"];
    utoipa::openapi::ObjectBuilder::new().schema_type(utoipa::openapi::Type::String).enum_values(Some(words)).build()
}

fn codec_name(codec: Codec) -> &'static str {
    match codec {
        Codec::H264 => "H.264",
        Codec::H265 => "H.265",
        Codec::Mpeg2Video => "MPEG-2",
        Codec::Aac => "AAC",
        Codec::MpegAudio => "MPEG audio",
        Codec::Ac3 => "AC-3",
        Codec::Eac3 => "E-AC-3",
    }
}

/// What of a source is not recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Uncarried {
    /// Where in the source.
    pub place: String,
    /// What it is.
    pub what: String,
    /// ISO 639.
    #[schema(required = true)]
    pub language: Option<String>,
}

impl From<&crate::media::track::Uncarried> for Uncarried {
    fn from(of: &crate::media::track::Uncarried) -> Self {
        Self { place: of.place.clone(), what: of.what.clone(), language: of.language.clone() }
    }
}

/// A stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Stream {
    /// Name, as in playback URLs.
    pub name: String,
    /// Where it is set.
    pub origin: Origin,
    /// Address of the source; `***` stands for what is secret.
    pub source: String,
    /// What is being done about it.
    pub state: StreamState,
    /// Why, in words, where something is wrong.
    #[schema(required = true)]
    pub reason: Option<String>,
    /// Since when.
    #[schema(required = true)]
    pub since_ms: Option<i64>,
    /// The machine that records it.
    #[schema(required = true)]
    pub node: Option<String>,
    /// Tracks as in the newest segments.
    pub tracks: Vec<Track>,
    /// What of the source is not recorded.
    pub uncarried: Vec<Uncarried>,
    /// All tracks together, lately.
    #[schema(required = true)]
    pub bitrate_bps: Option<u64>,
    /// Start of the archive.
    #[schema(required = true)]
    pub first_ms: Option<i64>,
    /// End of the newest segment.
    #[schema(required = true)]
    pub live_edge_ms: Option<i64>,
    /// Bytes of the archive.
    pub stored_bytes: u64,
    /// How long recordings are kept; for ever when null.
    #[schema(required = true)]
    pub retention_seconds: Option<i64>,
    /// Most bytes that are kept; any number when null.
    #[schema(required = true)]
    pub retention_bytes: Option<u64>,
    /// What plain `.m3u8` is.
    #[schema(schema_with = hls_schema)]
    pub hls: PlainHls,
    /// A second recorder stands by.
    pub standby: bool,
    /// Nothing is recorded for now.
    pub paused: bool,
}

/// A page of streams.
#[derive(Debug, Serialize, ToSchema)]
pub struct StreamPage {
    /// By name.
    pub streams: Vec<Stream>,
    /// Where the next page begins; null on the last.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// What is set of a stream.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamInput {
    /// Name: letters, digits, `.` `_` `~` `-`, and `/` between parts. Cannot be changed later.
    pub name: String,
    /// Address. Where a part that was shown as `***` comes back as `***`, it stays as it was.
    pub source: String,
    /// How long recordings are kept; for ever when null or left out.
    #[serde(default)]
    pub retention_seconds: Option<i64>,
    /// Most bytes that are kept; any number when null. Left out: as it was.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u64>)]
    pub retention_bytes: Option<Option<u64>>,
    /// `auto`, `ts` or `fmp4`. Left out: as it was.
    #[serde(default)]
    #[schema(schema_with = hls_schema, required = false)]
    pub hls: Option<PlainHls>,
    /// Left out: as it was.
    #[serde(default)]
    pub standby: Option<bool>,
    /// Nothing is recorded for now.
    #[serde(default)]
    pub paused: bool,
}

/// Tells what is null from what is left out.
fn given<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(from).map(Some)
}

/// A source to look at.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceInput {
    /// Address.
    pub source: String,
    /// The stream whose secrets stand where the address has `***`.
    #[serde(default)]
    pub stream: Option<String>,
}

/// What a look at a source found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SourceReport {
    /// It can be recorded.
    pub ok: bool,
    /// What was found, or what is wrong, in words.
    pub message: String,
    /// How long that took.
    pub took_ms: u64,
    /// What would be recorded, pictures first.
    pub tracks: Vec<Track>,
    /// What would not.
    pub uncarried: Vec<Uncarried>,
}

/// A span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Span {
    /// First moment.
    pub from_ms: i64,
    /// First moment behind it.
    pub to_ms: i64,
}

impl From<UtcRange> for Span {
    fn from(range: UtcRange) -> Self {
        Self { from_ms: range.start.millis(), to_ms: range.end.millis() }
    }
}

/// A span that is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct RecordedSpan {
    /// First moment.
    pub from_ms: i64,
    /// First moment behind it.
    pub to_ms: i64,
    /// Gaps in it that are shorter than the resolution.
    pub gaps: u64,
}

/// What is recorded in a window.
#[derive(Debug, Serialize, ToSchema)]
pub struct RangeAnswer {
    /// As asked.
    pub from_ms: i64,
    /// As asked.
    pub to_ms: i64,
    /// Spans that lie nearer to each other are one.
    pub resolution_ms: i64,
    /// Ascending, not cut to the window.
    pub ranges: Vec<RecordedSpan>,
    /// There are more than one answer holds.
    pub truncated: bool,
}

/// A time range that retention must keep.
#[derive(Debug, Serialize, ToSchema)]
pub struct Lock {
    /// 32 hex digits.
    pub id: String,
    /// First moment that is kept.
    pub from_ms: i64,
    /// First moment that is not.
    pub to_ms: i64,
    /// For people.
    pub title: String,
    /// When it was made.
    pub created_ms: i64,
    /// From when on it keeps nothing; left out for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
}

/// Locks of a stream.
#[derive(Debug, Serialize, ToSchema)]
pub struct Locks {
    /// By start.
    pub locks: Vec<Lock>,
}

/// A lock to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LockInput {
    /// First moment that is kept.
    pub from_ms: i64,
    /// First moment that is not.
    pub to_ms: i64,
    /// For people; at most 500 bytes.
    pub title: String,
    /// From when on it keeps nothing, in the future; left out for never.
    #[serde(default)]
    pub expires_ms: Option<i64>,
}

/// What a file would be.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExportInfo {
    /// Exactly.
    pub bytes: u64,
    /// Of what is recorded in the window.
    pub duration_ms: i64,
    /// Name for saving.
    pub file_name: String,
    /// Where it is.
    pub url: String,
    /// Parts of the window that are not recorded.
    pub gaps: Vec<Span>,
    /// Tracks in it.
    pub tracks: Vec<Track>,
}

/// Whether something can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Health {
    /// It answers.
    pub ok: bool,
    /// In words.
    pub message: String,
}

/// This process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Status {
    /// Of the program.
    pub version: &'static str,
    /// By the server's clock.
    pub now_ms: i64,
    /// The time index.
    pub index: Health,
    /// The object store.
    pub store: Health,
    /// What this process does.
    pub roles: Vec<&'static str>,
}

/// Bytes that are stored.
#[derive(Debug, Serialize, ToSchema)]
pub struct Storage {
    /// All together.
    pub bytes: u64,
    /// By stream.
    pub streams: Vec<StreamBytes>,
}

/// Bytes of one stream.
#[derive(Debug, Serialize, ToSchema)]
pub struct StreamBytes {
    /// Stream.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
}
