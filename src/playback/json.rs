//! The JSON answers: `recording_status.json`, `ranges.json`, `media_info.json`.
//!
//! Comes in: ranges, track summaries. Goes out: text. Never: asks for them.

use super::summary::TrackSummary;
use crate::media::track::Uncarried;
use crate::media::{StreamName, UtcRange};
use serde::Serialize;

fn to_text(value: &impl Serialize) -> String {
    // Nothing that is serialized here can fail: no maps, no foreign implementations.
    serde_json::to_string(value).unwrap_or_default()
}

/// `recording_status.json`: `[{"stream","ranges":[{"from","duration"}]}]` in whole seconds, `from` rounded down,
/// cut to `window` where the request gave one.
pub fn recording_status(stream: &StreamName, ranges: &[UtcRange], window: Option<UtcRange>) -> String {
    #[derive(Serialize)]
    struct Status<'a> {
        stream: &'a StreamName,
        ranges: Vec<Range>,
    }
    #[derive(Serialize)]
    struct Range {
        from: i64,
        duration: i64,
    }
    let ranges = ranges
        .iter()
        .filter_map(|r| window.map_or(Some(*r), |w| r.intersect(w)))
        .map(|r| Range { from: r.start.seconds(), duration: r.end.seconds() - r.start.seconds() })
        .filter(|r| r.duration > 0)
        .collect();
    to_text(&[Status { stream, ranges }])
}

/// `ranges.json`: `{"ranges":[{"opened_at","closed_at"}]}` in milliseconds. Callers ask the index for one range
/// more than `limit`; where there is one, `next_cursor` says where the next page begins.
pub fn ranges(ranges: &[UtcRange], limit: usize) -> String {
    #[derive(Serialize)]
    struct Answer {
        ranges: Vec<Range>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next_cursor: Option<String>,
    }
    #[derive(Serialize)]
    struct Range {
        opened_at: i64,
        closed_at: i64,
    }
    let (page, more) = ranges.split_at(limit.min(ranges.len()));
    to_text(&Answer {
        ranges: page.iter().map(|r| Range { opened_at: r.start.millis(), closed_at: r.end.millis() }).collect(),
        next_cursor: more.first().map(|r| r.start.0.to_string()),
    })
}

/// `media_info.json`: tracks as in the newest segments, what of the source is not recorded, what is recorded.
pub fn media_info(
    stream: &StreamName,
    tracks: &[TrackSummary],
    uncarried: &[Uncarried],
    recorded: Option<UtcRange>,
) -> String {
    #[derive(Serialize)]
    struct Info<'a> {
        stream: &'a StreamName,
        #[serde(skip_serializing_if = "Option::is_none")]
        recorded_from_ms: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        recorded_to_ms: Option<i64>,
        tracks: Vec<Track<'a>>,
        uncarried: &'a [Uncarried],
    }
    #[derive(Serialize)]
    struct Track<'a> {
        id: crate::media::TrackId,
        kind: crate::media::TrackKind,
        #[serde(skip_serializing_if = "Option::is_none")]
        codec: Option<crate::media::Codec>,
        #[serde(skip_serializing_if = "Option::is_none")]
        codec_string: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        language: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        width: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        height: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        frame_rate_milli: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        sample_rate: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        channels: Option<u16>,
        bitrate_bps: u64,
        peak_bitrate_bps: u64,
    }
    let tracks = tracks
        .iter()
        .map(|t| Track {
            id: t.track,
            kind: t.track.kind,
            codec: t.codec,
            codec_string: t.codec_strings.last().map(String::as_str),
            language: t.language.as_deref(),
            width: t.video.map(|v| v.width),
            height: t.video.map(|v| v.height),
            frame_rate_milli: t.frame_rate_milli,
            sample_rate: t.audio.map(|a| a.sample_rate),
            channels: t.audio.map(|a| a.channels),
            bitrate_bps: t.average_bps,
            peak_bitrate_bps: t.peak_bps,
        })
        .collect();
    to_text(&Info {
        stream,
        recorded_from_ms: recorded.map(|r| r.start.millis()),
        recorded_to_ms: recorded.map(|r| r.end.millis()),
        tracks,
        uncarried,
    })
}
