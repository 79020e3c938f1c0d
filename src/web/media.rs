//! Media segments and init segments: ranges of objects, named by their URLs.
//!
//! No SQL: the URL says object, offset and length. The bytes behind a URL never change, so its tag follows
//! from the URL alone.

use super::Node;
use super::body::object_range;
use super::cache::objects::Keep;
use super::cache::parts::Proven;
use super::conditional::{Selection, any_will_do, not_modified, select};
use super::problem::Problem;
use crate::media::segment::SegmentId;
use crate::media::{InitHash, ObjectKey, StreamName, TrackId};
use crate::store::StoreErrorKind;
use axum::body::Body;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use std::ops::Range;
use std::time::Duration;

const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// No segment is larger; whoever asks for more made the URL up.
const LARGEST_BYTES: u64 = 1 << 30;
/// An address of the store is good for so long.
const SIGNED_FOR: Duration = Duration::from_secs(3600);
/// The way there is kept for less: whoever got it last has as much time again.
const SIGNED_CACHE: &str = "public, max-age=1800";

fn no_such_segment() -> Problem {
    Problem::not_found("There is no such segment.")
}

/// One track of one segment.
pub async fn segment(
    node: &Node,
    method: &Method,
    headers: &HeaderMap,
    id: &SegmentId,
    track: TrackId,
    range: Range<u64>,
) -> Result<Response<Body>, Problem> {
    let total_bytes = range.end - range.start;
    let Some(key) = id.object_key().filter(|_| total_bytes <= LARGEST_BYTES) else { return Err(no_such_segment()) };
    let etag = format!("\"{}-{}-{track}-{}-{}\"", id.run, id.sequence, range.start, range.end);
    if not_modified(headers, &etag) {
        if any_will_do(headers) {
            check_size(node, &key, &range).await?;
        }
        return Ok(unchanged(&etag));
    }
    let (mut response, wanted) = match begin(method, headers, &etag, total_bytes) {
        Ok(begun) => begun,
        Err(unsatisfiable) => return Ok(*unsatisfiable),
    };
    if method == Method::HEAD {
        if node.objects.kept(&key, &range).await.is_none() {
            // A HEAD says whether a GET would find it all.
            check_size(node, &key, &range).await?;
        }
        return Ok(response);
    }
    // A URL that somebody made up must not be answered, and cached, with bytes that are no segment; nor one of ours with
    // bytes that are not what was written. Part of it is sent when all of it is right.
    let proven = match node.objects.part(&key, &range, Keep::Yes).await {
        Err(error) if error.kind == StoreErrorKind::NotFound => return Err(no_such_segment()),
        proven => proven?,
    };
    let lent = match proven {
        Proven::Held(bytes) => node.objects.lend(bytes.slice(wanted.start as usize..wanted.end as usize)),
        Proven::Stored => None,
    };
    *response.body_mut() = match lent {
        Some(lent) => Body::from(lent),
        None => {
            let absolute = range.start + wanted.start..range.start + wanted.end;
            Body::from_stream(object_range(&node.store, key, absolute).await?)
        }
    };
    Ok(response)
}

/// The object that holds a segment: sent on to the store where the operator wants that, else served.
pub async fn object(
    node: &Node,
    method: &Method,
    headers: &HeaderMap,
    id: &SegmentId,
) -> Result<Response<Body>, Problem> {
    let Some(key) = id.object_key() else { return Err(no_such_segment()) };
    if node.options.media_redirect && method == Method::GET {
        let address = node.store.presign_get(&key, SIGNED_FOR).await?;
        let mut response = Response::new(Body::empty());
        insert(response.headers_mut(), header::LOCATION, &address);
        insert(response.headers_mut(), header::CACHE_CONTROL, SIGNED_CACHE);
        *response.status_mut() = StatusCode::FOUND;
        return Ok(response);
    }
    let etag = format!("\"o-{}-{}-{}\"", id.run, id.epoch, id.sequence);
    if not_modified(headers, &etag) && !any_will_do(headers) {
        return Ok(unchanged(&etag));
    }
    let total_bytes = node.store.head(&key).await?;
    if not_modified(headers, &etag) {
        return Ok(unchanged(&etag));
    }
    let (mut response, wanted) = match begin(method, headers, &etag, total_bytes) {
        Ok(begun) => begun,
        Err(unsatisfiable) => return Ok(*unsatisfiable),
    };
    if method != Method::HEAD {
        *response.body_mut() = Body::from_stream(object_range(&node.store, key, wanted).await?);
    }
    Ok(response)
}

/// An init segment.
pub async fn init(
    node: &Node,
    method: &Method,
    headers: &HeaderMap,
    stream: &StreamName,
    hash: InitHash,
) -> Result<Response<Body>, Problem> {
    let etag = format!("\"{hash}\"");
    if not_modified(headers, &etag) && !any_will_do(headers) {
        return Ok(unchanged(&etag));
    }
    let bytes = node.init_bytes(stream, hash).await?;
    if not_modified(headers, &etag) {
        return Ok(unchanged(&etag));
    }
    let (mut response, wanted) = match begin(method, headers, &etag, bytes.len() as u64) {
        Ok(begun) => begun,
        Err(unsatisfiable) => return Ok(*unsatisfiable),
    };
    if method != Method::HEAD {
        *response.body_mut() = Body::from(bytes.slice(wanted.start as usize..wanted.end as usize));
    }
    Ok(response)
}

/// 404 unless the object holds all of `range`: a URL that somebody made up must not promise more.
async fn check_size(node: &Node, key: &ObjectKey, range: &Range<u64>) -> Result<(), Problem> {
    if node.store.head(key).await? < range.end { Err(no_such_segment()) } else { Ok(()) }
}

/// 304.
pub fn unchanged(etag: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    insert(response.headers_mut(), header::ETAG, etag);
    insert(response.headers_mut(), header::CACHE_CONTROL, IMMUTABLE);
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

/// An answer without its body, and the bytes that go into it.
pub type Begun = (Response<Body>, Range<u64>);

/// Status and headers, and which bytes to send; or the answer that there are none such.
pub fn begin(method: &Method, headers: &HeaderMap, etag: &str, total_bytes: u64) -> Result<Begun, Box<Response<Body>>> {
    let mut response = Response::new(Body::empty());
    let out = response.headers_mut();
    insert(out, header::ETAG, etag);
    insert(out, header::CACHE_CONTROL, IMMUTABLE);
    insert(out, header::CONTENT_TYPE, "video/mp4");
    insert(out, header::ACCEPT_RANGES, "bytes");
    let wanted = match select(method, headers, etag, total_bytes) {
        Selection::Whole => 0..total_bytes,
        Selection::Part(part) => {
            insert(out, header::CONTENT_RANGE, &format!("bytes {}-{}/{total_bytes}", part.start, part.end - 1));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            part
        }
        Selection::Unsatisfiable => return Err(Box::new(unsatisfiable(total_bytes))),
    };
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(wanted.end - wanted.start));
    Ok((response, wanted))
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
