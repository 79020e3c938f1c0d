//! From a request to its answer: the URL grammar decides which.

use super::cache::rows::Known;
use super::problem::Problem;
use super::{Node, export, health, media, playlist, preview, ts, ts_export};
use crate::clock;
use crate::media::{Segment, StreamName, UtcRange, UtcUs, timeline};
use crate::playback::cache::CacheClass;
use crate::playback::json;
use crate::playback::summary::summarize;
use crate::playback::url::{self, ExportFormat, RangesTarget, Request, Target, UrlError};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::get;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use std::sync::Arc;
use std::time::Duration;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{Any, CorsLayer};

/// An answer must have begun by then.
const BEGIN_WITHIN: Duration = Duration::from_secs(30);
/// A browser asks once an hour whether it may ask.
const PREFLIGHT_FOR: Duration = Duration::from_secs(3600);
/// Segments that describe a stream as it is now.
const INFO_SEGMENTS: usize = 10;

pub fn router(node: Arc<Node>) -> Router {
    let expose =
        [header::CONTENT_LENGTH, header::CONTENT_RANGE, header::ETAG, header::CONTENT_DISPOSITION, export::GAPS];
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::HEAD])
        .allow_headers(Any)
        .expose_headers(expose)
        .max_age(PREFLIGHT_FOR)
        // The answer is the same for every origin: a cache must not keep one for each.
        .vary(Vec::<header::HeaderName>::new());
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .method_not_allowed_fallback(async || refused_method().into_response())
        .fallback(answer)
        .layer(CompressionLayer::new().gzip(true).compress_when(is_text))
        .layer(cors)
        .with_state(node)
}

/// Playlists and JSON compress well; media does not, and its length and ranges must stay as they are.
fn is_text(_: StatusCode, _: http::Version, headers: &HeaderMap, _: &http::Extensions) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    content_type.starts_with("application/") && (content_type.contains("mpegurl") || content_type.contains("json"))
}

async fn answer(State(node): State<Arc<Node>>, method: Method, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let (kind, answered) = if method != Method::GET && method != Method::HEAD {
        ("other", Err(refused_method()))
    } else {
        match parse(&uri) {
            Ok(request) => {
                let answered = tokio::time::timeout(BEGIN_WITHIN, dispatch(&node, &method, &headers, &request)).await;
                let late = |_| Err(Problem::unavailable("The answer took too long. Try again in a moment."));
                (kind_of(&request.target), answered.unwrap_or_else(late))
            }
            Err(problem) => ("other", Err(problem)),
        }
    };
    let response = answered.unwrap_or_else(Problem::into_response);
    metrics::counter!("evertape_http_requests_total", "kind" => kind, "status" => response.status().as_str().to_owned()).increment(1);
    response
}

fn refused_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are answered here.")
}

fn kind_of(target: &Target) -> &'static str {
    match target {
        Target::Playlist(_) => "playlist",
        Target::Export { .. } => "export",
        Target::TsStream { .. } => "ts_stream",
        Target::Preview { .. } => "preview",
        Target::RecordingStatus { .. } | Target::Ranges(_) | Target::MediaInfo => "json",
        Target::Segment { .. } | Target::SegmentTs { .. } | Target::SegmentMuxed { .. } => "segment",
        Target::Init { .. } | Target::InitMuxed { .. } => "init",
    }
}

fn parse(uri: &Uri) -> Result<Request, Problem> {
    url::parse(uri.path(), uri.query()).map_err(|error| match error {
        UrlError::NotFound => Problem::not_found("There is nothing at this address."),
        UrlError::BadRequest(why) => Problem::saying(StatusCode::BAD_REQUEST, &why),
    })
}

async fn dispatch(
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
        Target::Init { hash } => media::init(node, method, headers, stream, *hash).await,
        Target::RecordingStatus { from, to } => recording_status(node, headers, stream, *from, *to).await,
        Target::Ranges(target) => ranges(node, headers, stream, target).await,
        Target::MediaInfo => media_info(node, headers, stream).await,
        Target::Preview { at, format } => preview::answer(node, method, headers, stream, *at, *format).await,
        Target::TsStream { .. } => {
            Err(Problem::not_found("This node does not make MPEG-TS streams yet; ask for .ts.m3u8."))
        }
    }
}

/// Says how old an answer is (RFC 9111 5.1), where it is older than it would be with the index in reach.
pub fn aged(mut response: Response<Body>, age: Duration) -> Response<Body> {
    if age.as_secs() > 0 {
        response.headers_mut().insert(header::AGE, HeaderValue::from(age.as_secs()));
    }
    response
}

/// A text with a tag of its content, or 304 where the asker has it.
pub fn text(headers: &HeaderMap, body: String, content_type: &'static str, cache: &CacheClass) -> Response<Body> {
    // Weak: the bytes on the wire may be compressed. Equal on every node.
    let etag = format!("W/\"{:032x}\"", xxhash_rust::xxh3::xxh3_128(body.as_bytes()));
    let mut response = Response::new(Body::empty());
    let out = response.headers_mut();
    media::insert(out, header::ETAG, &etag);
    media::insert(out, header::CACHE_CONTROL, &cache.header_value());
    out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if super::conditional::not_modified(headers, &etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
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
    Ok(text(headers, json::recording_status(stream, &found, cut), JSON, &JSON_CACHE))
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
    Ok(text(headers, json::ranges(&found, target.limit), JSON, &JSON_CACHE))
}

async fn media_info(node: &Node, headers: &HeaderMap, stream: &StreamName) -> Result<Response<Body>, Problem> {
    let extent = known(node, stream).await?.extent;
    let newest = node.rows.newest(stream, &extent, extent.live_edge, INFO_SEGMENTS).await?.view;
    let inits = node.rows.inits(stream, &init_hashes(newest.segments())).await?;
    let uncarried = node.rows.uncarried(stream).await?;
    let recorded = UtcRange::new(extent.first_start, extent.live_edge);
    let body = json::media_info(stream, &summarize(newest.segments(), &inits), &uncarried, Some(recorded));
    Ok(text(headers, body, JSON, &JSON_CACHE))
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
