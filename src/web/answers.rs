//! From a request to its answer: the URL grammar decides which.

use super::cache::rows::Known;
use super::problem::Problem;
use super::{Node, encoding, export, media, playlist, preview, stream_mode, ts, ts_export};
use crate::clock;
use crate::media::{Segment, StreamName, UtcRange, UtcUs, timeline};
use crate::playback::cache::CacheClass;
use crate::playback::json;
use crate::playback::summary::summarize;
use crate::playback::url::{self, ExportFormat, RangesTarget, Request, Target, UrlError};
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// Segments that describe a stream as it is now.
const INFO_SEGMENTS: usize = 10;

/// 405.
pub fn refused_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are answered here.")
}

/// 404 for an address that is none.
pub fn nothing_here() -> Problem {
    Problem::not_found("There is nothing at this address.")
}

/// What a request is counted as.
pub fn kind_of(target: &Target) -> &'static str {
    match target {
        Target::Playlist(_) => "playlist",
        Target::Export { .. } => "export",
        Target::TsStream { .. } => "ts_stream",
        Target::Preview { .. } => "preview",
        Target::RecordingStatus { .. } | Target::Ranges(_) | Target::MediaInfo => "json",
        Target::Segment { .. } | Target::Object { .. } | Target::SegmentTs { .. } | Target::SegmentMuxed { .. } => {
            "segment"
        }
        Target::Init { .. } | Target::InitMuxed { .. } => "init",
    }
}

/// Reads an address.
pub fn parse(uri: &Uri) -> Result<Request, Problem> {
    url::parse(uri.path(), uri.query()).map_err(|error| match error {
        UrlError::NotFound => nothing_here(),
        UrlError::BadRequest(why) => Problem::saying(StatusCode::BAD_REQUEST, &why),
    })
}

/// The answer to a request by its target.
pub async fn dispatch(
    node: &Arc<Node>,
    method: &Method,
    headers: &HeaderMap,
    request: &Request,
) -> Result<Response<Body>, Problem> {
    let stream = &request.stream;
    match &request.target {
        Target::Playlist(target) => playlist::answer(node, headers, request, target).await,
        Target::Export { from, duration_us, format: ExportFormat::Mp4, tracks } => {
            export::answer(node, method, headers, stream, *from, *duration_us, tracks.as_ref()).await
        }
        Target::Export { from, duration_us, format: ExportFormat::Ts, tracks } => {
            ts_export::answer(node, method, headers, stream, *from, *duration_us, tracks.as_ref()).await
        }
        Target::Segment { id, track, offset, length } => {
            let end = offset.checked_add(*length).ok_or_else(|| Problem::not_found("There is no such segment."))?;
            media::segment(node, method, headers, id, *track, *offset..end).await
        }
        Target::SegmentTs { id, tracks } => ts::segment_ts(node, method, headers, id, tracks).await,
        Target::SegmentMuxed { id, tracks } => ts::segment_muxed(node, method, headers, id, tracks).await,
        Target::InitMuxed { hashes } => ts::init_muxed(node, method, headers, stream, hashes).await,
        Target::Object { id } => media::object(node, method, headers, id).await,
        Target::Init { hash } => media::init(node, method, headers, stream, *hash).await,
        Target::RecordingStatus { from, to } => recording_status(node, headers, stream, *from, *to).await,
        Target::Ranges(target) => ranges(node, headers, stream, target).await,
        Target::MediaInfo => media_info(node, headers, stream).await,
        Target::Preview { at, format } => preview::answer(node, method, headers, stream, *at, *format).await,
        Target::TsStream { shift, tracks } => stream_mode::answer(node, method, stream, *shift, tracks.as_ref()).await,
    }
}

/// Says how old an answer is (RFC 9111 5.1), where it is older than it would be with the index in reach.
pub fn aged(mut response: Response<Body>, age: Duration) -> Response<Body> {
    if age.as_secs() > 0 {
        response.headers_mut().insert(header::AGE, HeaderValue::from(age.as_secs()));
    }
    response
}

/// A text with a tag of its content, compressed where the asker takes that, or 304 where the asker has it.
pub async fn text(
    node: &Node,
    headers: &HeaderMap,
    body: String,
    content_type: &'static str,
    cache: &CacheClass,
) -> Response<Body> {
    let mut body = Bytes::from(body);
    let hash = xxhash_rust::xxh3::xxh3_128(&body);
    // Weak: the bytes on the wire may be compressed. Equal on every node.
    let mut etag = *b"W/\"................................\"";
    if hex::encode_to_slice(hash.to_be_bytes(), &mut etag[3..35]).is_err() {
        tracing::error!("a hash has another length than its text");
    }
    let mut response = Response::new(Body::empty());
    let out = response.headers_mut();
    out.reserve(12);
    if let Ok(value) = HeaderValue::from_bytes(&etag) {
        out.insert(header::ETAG, value);
    }
    match cache.header_value() {
        Cow::Borrowed(value) => out.insert(header::CACHE_CONTROL, HeaderValue::from_static(value)),
        Cow::Owned(value) => HeaderValue::try_from(value).ok().and_then(|v| out.insert(header::CACHE_CONTROL, v)),
    };
    out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if headers.contains_key(header::IF_NONE_MATCH)
        && super::conditional::not_modified(headers, std::str::from_utf8(&etag).unwrap_or_default())
    {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(coding) = encoding::choose(headers)
        && let Some(compressed) = node.compressed.of(hash, coding, &body).await
    {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        body = compressed;
    }
    // A HEAD is answered with the length of what a GET would get.
    *response.body_mut() = Body::from(body);
    response
}

fn everything() -> UtcRange {
    UtcRange { start: UtcUs(0), end: UtcUs(i64::MAX) }
}

const JSON: &str = "application/json";
const JSON_CACHE: CacheClass = CacheClass::Growing { max_age_ms: 2000 };

/// Every range of a stream's life: gaps make ranges, and there may be many.
const MOST_RANGES: usize = 100_000;

async fn recording_status(
    node: &Node,
    headers: &HeaderMap,
    stream: &StreamName,
    from: Option<UtcUs>,
    to: Option<UtcUs>,
) -> Result<Response<Body>, Problem> {
    let all = everything();
    let window = UtcRange::new(from.unwrap_or(all.start), to.unwrap_or(all.end));
    let found = node.rows.ranges(stream, window, timeline::JOIN_TOLERANCE_US, MOST_RANGES).await?;
    if found.is_empty() {
        known(node, stream).await?;
    }
    let cut = (from.is_some() || to.is_some()).then_some(window);
    Ok(text(node, headers, json::recording_status(stream, &found, cut), JSON, &JSON_CACHE).await)
}

async fn ranges(
    node: &Node,
    headers: &HeaderMap,
    stream: &StreamName,
    target: &RangesTarget,
) -> Result<Response<Body>, Problem> {
    let all = everything();
    let start = target.cursor.max(target.opened_at_gte).unwrap_or(all.start);
    let window = UtcRange::new(start, target.closed_at_lte.unwrap_or(all.end));
    let tolerance_us = target.resolution_us.unwrap_or(0).max(timeline::JOIN_TOLERANCE_US);
    let mut found = node.rows.ranges(stream, window, tolerance_us, target.limit + 1).await?;
    // A page begins where the one before said; what reaches into it from before was on that page.
    if let Some(cursor) = target.cursor {
        found.retain(|r| r.start >= cursor);
    }
    if found.is_empty() {
        known(node, stream).await?;
    }
    Ok(text(node, headers, json::ranges(&found, target.limit), JSON, &JSON_CACHE).await)
}

async fn media_info(node: &Node, headers: &HeaderMap, stream: &StreamName) -> Result<Response<Body>, Problem> {
    let extent = known(node, stream).await?.extent;
    let newest = node.rows.newest(stream, &extent, extent.live_edge, INFO_SEGMENTS).await?.view;
    let inits = node.rows.inits(stream, &init_hashes(newest.segments())).await?;
    let uncarried = node.rows.uncarried(stream).await?;
    let recorded = UtcRange::new(extent.first_start, extent.live_edge);
    let body = json::media_info(stream, &summarize(newest.segments(), &inits), &uncarried, Some(recorded));
    Ok(text(node, headers, body, JSON, &JSON_CACHE).await)
}

/// What is recorded; 404 for a stream of which nothing is known.
async fn known(node: &Node, stream: &StreamName) -> Result<Known, Problem> {
    let missing = || Problem::not_found("There is no such stream, or nothing of it is recorded.");
    node.recorded(stream).await?.ok_or_else(missing)
}

/// The init segments that `segments` name, each once.
pub fn init_hashes<'a>(segments: impl Iterator<Item = &'a Segment>) -> Vec<crate::media::InitHash> {
    let mut hashes: Vec<_> = segments.flat_map(|s| s.tracks.iter().map(|p| p.init)).collect();
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

/// Wall time now; the only place where an answer looks at a clock.
pub fn now() -> UtcUs {
    clock::now()
}
