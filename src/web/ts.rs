//! Segments that are muxed on the way out: MPEG-TS, fragmented MP4 with several tracks, their init segments.
//!
//! No SQL: the URL names the object, and the object says the rest. What is made is a function of the URL and of this
//! program, so its tag says which of its formats it is.

use super::Node;
use super::conditional::{any_will_do, not_modified};
use super::media::{self, begin, unchanged};
use super::problem::Problem;
use crate::container::cmaf;
use crate::container::mpegts::mux::{MuxError, ts_of_object};
use crate::media::segment::{SegmentId, SegmentWithTables};
use crate::media::{InitHash, InitInfo, StreamName, TrackId};
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use std::sync::Arc;

/// Grows when the same object makes other bytes: part of the tags.
const FORMAT: u32 = 1;
const TS: &str = "video/mp2t";
const MP4: &str = "video/mp4";

/// Tracks of one segment as MPEG-TS.
pub async fn segment_ts(
    node: &Arc<Node>,
    method: &Method,
    headers: &HeaderMap,
    id: &SegmentId,
    tracks: &[TrackId],
) -> Result<Response<Body>, Problem> {
    segment(node, method, headers, id, tracks, TS).await
}

/// Fragments of several tracks of one segment.
pub async fn segment_muxed(
    node: &Arc<Node>,
    method: &Method,
    headers: &HeaderMap,
    id: &SegmentId,
    tracks: &[TrackId],
) -> Result<Response<Body>, Problem> {
    segment(node, method, headers, id, tracks, MP4).await
}

async fn segment(
    node: &Arc<Node>,
    method: &Method,
    headers: &HeaderMap,
    id: &SegmentId,
    tracks: &[TrackId],
    content_type: &'static str,
) -> Result<Response<Body>, Problem> {
    let etag = segment_tag(if content_type == TS { "ts" } else { "mp4" }, id, tracks);
    if not_modified(headers, &etag) && !any_will_do(headers) {
        return Ok(unchanged(&etag));
    }
    let make = || {
        let (node, id, tracks) = (node.clone(), id.clone(), tracks.to_vec());
        async move {
            let (bytes, segment) = read(&node, &id, &tracks).await?;
            let inits = if content_type == TS { inits(&node, &id, &segment, &tracks).await? } else { Vec::new() };
            // Some milliseconds for some megabytes: off the threads that serve others.
            let made = tokio::task::spawn_blocking(move || match content_type {
                TS => to_ts(&id, &segment, &bytes, &inits, &tracks),
                _ => cmaf::muxed_segment(&segment, &bytes, &tracks).map_err(|error| damaged(&id, &error)),
            });
            made.await.map_err(|_| Problem::internal())?.map(Bytes::from)
        }
    };
    let made = node.objects.made(format!("{}/{}/{etag}", id.stream, id.base_name()), make).await?;
    Ok(answer(node, method, headers, &etag, content_type, made))
}

/// What the init segments say that the tracks of a segment need.
async fn inits(
    node: &Node,
    id: &SegmentId,
    segment: &SegmentWithTables,
    tracks: &[TrackId],
) -> Result<Vec<InitInfo>, Problem> {
    let mut inits: Vec<InitInfo> = Vec::new();
    for part in segment.segment.tracks.iter().filter(|p| tracks.contains(&p.track)) {
        if !inits.iter().any(|i| i.hash == part.init) {
            let init = node.init_bytes(&id.stream, part.init).await?;
            let params = cmaf::read_init(&init).map_err(|error| damaged(id, &error))?;
            inits.push(InitInfo { hash: part.init, params });
        }
    }
    Ok(inits)
}

fn to_ts(
    id: &SegmentId,
    segment: &SegmentWithTables,
    bytes: &[u8],
    inits: &[InitInfo],
    tracks: &[TrackId],
) -> Result<Vec<u8>, Problem> {
    ts_of_object(segment, bytes, inits, tracks).map_err(|error| match error {
        MuxError::Entry(..) | MuxError::TooManyTracks | MuxError::FrameTooLong(_) => {
            Problem::not_found("MPEG-TS cannot carry these tracks; ask for .fmp4.m3u8.")
        }
        error => damaged(id, &error),
    })
}

/// One init segment for several tracks.
pub async fn init_muxed(
    node: &Node,
    method: &Method,
    headers: &HeaderMap,
    stream: &StreamName,
    hashes: &[InitHash],
) -> Result<Response<Body>, Problem> {
    let names: Vec<String> = hashes.iter().map(ToString::to_string).collect();
    let etag = format!("\"m{FORMAT}-{}\"", names.join("-"));
    if not_modified(headers, &etag) && !any_will_do(headers) {
        return Ok(unchanged(&etag));
    }
    let mut inits = Vec::with_capacity(hashes.len());
    for hash in hashes {
        inits.push(node.init_bytes(stream, *hash).await?);
    }
    let inits: Vec<&[u8]> = inits.iter().map(AsRef::as_ref).collect();
    let made = cmaf::muxed_init(&inits).map_err(|error| {
        tracing::error!(%stream, %error, "init segments cannot be muxed");
        Problem::internal()
    })?;
    Ok(answer(node, method, headers, &etag, MP4, made.into()))
}

fn segment_tag(kind: &str, id: &SegmentId, tracks: &[TrackId]) -> String {
    let tracks: String = tracks.iter().map(ToString::to_string).collect();
    format!("\"{kind}{FORMAT}-{}-{}-{}-{tracks}\"", id.run, id.epoch, id.sequence)
}

/// The object of a segment, which must have all of `tracks`: a URL that somebody made up must not be kept for a year.
async fn read(node: &Node, id: &SegmentId, tracks: &[TrackId]) -> Result<(Bytes, SegmentWithTables), Problem> {
    let no_such_segment = || Problem::not_found("There is no such segment.");
    let key = id.object_key().ok_or_else(no_such_segment)?;
    let (bytes, segment) = node.segment_object(&key, |object| cmaf::read_segment(&key, object)).await?;
    if tracks.iter().any(|t| segment.segment.part(*t).is_none()) {
        return Err(no_such_segment());
    }
    Ok((bytes, segment))
}

fn damaged(id: &SegmentId, error: &(dyn std::error::Error + 'static)) -> Problem {
    tracing::error!(stream = %id.stream, sequence = id.sequence, error, "a segment cannot be muxed");
    Problem::internal()
}

fn answer(
    node: &Node,
    method: &Method,
    headers: &HeaderMap,
    etag: &str,
    content_type: &'static str,
    made: Bytes,
) -> Response<Body> {
    if not_modified(headers, etag) {
        return unchanged(etag);
    }
    let (mut response, wanted) = match begin(method, headers, etag, made.len() as u64) {
        Ok(begun) => begun,
        Err(unsatisfiable) => return *unsatisfiable,
    };
    media::insert(response.headers_mut(), http::header::CONTENT_TYPE, content_type);
    if method != Method::HEAD {
        let wanted = made.slice(wanted.start as usize..wanted.end as usize);
        // Too much is held by slow peers: what is made for this one is not shared.
        *response.body_mut() = Body::from(node.objects.lend(wanted.clone()).unwrap_or(wanted));
    }
    response
}
