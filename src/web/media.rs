//! Media segments and init segments: ranges of objects, named by their URLs.
//!
//! No SQL: the URL says object, offset and length. The bytes behind a URL never change, so its tag follows
//! from the URL alone.

use super::Node;
use super::body::object_range;
use super::conditional::{Selection, not_modified, select};
use super::problem::Problem;
use crate::media::segment::SegmentId;
use crate::media::{InitHash, ObjectKey, StreamName, TrackId};
use axum::body::Body;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use std::ops::Range;

const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// No segment is larger; whoever asks for more made the URL up.
const LARGEST_BYTES: u64 = 1 << 30;

/// One track of one segment.
pub async fn segment(
    node: &Node,
    method: &Method,
    headers: &HeaderMap,
    id: &SegmentId,
    track: TrackId,
    range: Range<u64>,
) -> Result<Response<Body>, Problem> {
    let Some(key) = id.object_key().filter(|_| range.end - range.start <= LARGEST_BYTES) else {
        return Err(Problem::not_found("There is no such segment."));
    };
    let etag = format!("\"{}-{}-{track}-{}-{}\"", id.run, id.sequence, range.start, range.end);
    object(node, method, headers, key, range, &etag).await
}

/// An init segment.
pub async fn init(
    node: &Node,
    method: &Method,
    headers: &HeaderMap,
    stream: &StreamName,
    hash: InitHash,
) -> Result<Response<Body>, Problem> {
    let key = ObjectKey::init(stream, hash);
    let total_bytes = node.store.head(&key).await?;
    object(node, method, headers, key, 0..total_bytes, &format!("\"{hash}\"")).await
}

async fn object(
    node: &Node,
    method: &Method,
    headers: &HeaderMap,
    key: ObjectKey,
    range: Range<u64>,
    etag: &str,
) -> Result<Response<Body>, Problem> {
    let total_bytes = range.end - range.start;
    let mut response = Response::new(Body::empty());
    let out = response.headers_mut();
    insert(out, header::ETAG, etag);
    insert(out, header::CACHE_CONTROL, IMMUTABLE);
    if not_modified(headers, etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    insert(out, header::CONTENT_TYPE, "video/mp4");
    insert(out, header::ACCEPT_RANGES, "bytes");
    let wanted = match select(headers, etag, total_bytes) {
        Selection::Whole => 0..total_bytes,
        Selection::Part(part) => {
            insert(out, header::CONTENT_RANGE, &format!("bytes {}-{}/{total_bytes}", part.start, part.end - 1));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            part
        }
        Selection::Unsatisfiable => return Ok(unsatisfiable(total_bytes)),
    };
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(wanted.end - wanted.start));
    let absolute = range.start + wanted.start..range.start + wanted.end;
    if method == Method::HEAD {
        // A HEAD says whether a GET would find it all.
        let object_bytes = node.store.head(&key).await?;
        if object_bytes < range.end {
            return Err(Problem::not_found("There is no such segment."));
        }
        return Ok(response);
    }
    *response.body_mut() = Body::from_stream(object_range(&node.store, key, absolute).await?);
    Ok(response)
}

/// 416 (RFC 9110 15.5.17).
pub fn unsatisfiable(total_bytes: u64) -> Response<Body> {
    let problem = Problem::new(
        StatusCode::RANGE_NOT_SATISFIABLE,
        format!("The range lies outside the {total_bytes} bytes there are."),
    );
    let mut response = problem.into_response();
    insert(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{total_bytes}"));
    response
}

/// Sets a header whose value is known to be printable.
pub fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
