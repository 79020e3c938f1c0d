//! One picture of a moment: `{t}-preview.mp4` and, where an `ffmpeg` is configured, `.jpg`.
//!
//! Comes in: a moment. Goes out: the sync sample nearest before it as an MP4 of one sample, or as JPEG. Reads a few
//! rows, one sample table, and of one object the bytes of the picture. Never: decodes anything itself.

mod jpeg;

pub use jpeg::{JpegOptions, cannot_start};

use super::Node;
use super::answers;
use super::body::object_range;
use super::conditional::{Selection, any_will_do, not_modified, select};
use super::media::{insert, unsatisfiable};
use super::playlist::as_recorded;
use super::problem::Problem;
use crate::media::{StreamName, UtcUs};
use crate::playback::export::TableSet;
use crate::playback::preview::{self, Picture, PreviewError};
use crate::playback::url::PreviewFormat;
use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;

/// Makes the JPEG files of a node.
pub(super) type Jpegs = jpeg::Jpegs;

impl From<PreviewError> for Problem {
    fn from(error: PreviewError) -> Self {
        match error {
            PreviewError::InFuture => Self::saying(StatusCode::NOT_FOUND, &error).not_cached(),
            PreviewError::NothingRecorded | PreviewError::NoPicture => Self::saying(StatusCode::NOT_FOUND, &error),
            PreviewError::Damaged(why) => {
                tracing::error!(why, "a preview cannot be made");
                Self::internal()
            }
        }
    }
}

/// A picture, what stands in front of it, and how long the answer may be kept.
struct Found {
    picture: Picture,
    head: Bytes,
    cache_control: String,
}

/// The picture of a moment, or the newest.
pub async fn answer(
    node: &Arc<Node>,
    method: &Method,
    headers: &HeaderMap,
    stream: &StreamName,
    at: Option<UtcUs>,
    format: PreviewFormat,
) -> Result<Response<Body>, Problem> {
    match (format, &node.jpegs) {
        (PreviewFormat::Mp4, _) => {
            let found = find(node, stream, at).await?;
            mp4(node, method, headers, found).await
        }
        (PreviewFormat::Jpg, Some(jpegs)) => {
            let found = find(node, stream, at).await?;
            let bytes = jpegs.of(found.picture.tag(), mp4_bytes(node, &found)).await?;
            let etag = format!("\"j{}\"", jpeg::tag(&bytes));
            let content = Content { etag, content_type: "image/jpeg", total_bytes: bytes.len() as u64 };
            Ok(match begin(method, headers, &content, &found.cache_control) {
                Begun::Ended(response) => response,
                Begun::Wanted(response, range) => {
                    response.map(|_| Body::from(bytes.slice(range.start as usize..range.end as usize)))
                }
            })
        }
        (PreviewFormat::Jpg, None) => Err(Problem::not_found(
            "This node makes no JPEG: the operator has to name an ffmpeg in [preview] ffmpeg. Ask for preview.mp4.",
        )),
    }
}

async fn find(node: &Node, stream: &StreamName, at: Option<UtcUs>) -> Result<Found, Problem> {
    let now = answers::now();
    let known = node.recorded(stream).await?.ok_or(PreviewError::NothingRecorded)?;
    let recorded = as_recorded(&known);
    let window = preview::window(at, now, recorded)?;
    let rows = node.overlapping(stream, &known, window).await?.view;
    for segment in preview::candidates(rows.segments(), window)? {
        let mut tables = TableSet::new();
        node.rows.tables(stream, &[(segment.id.sequence, segment.id.epoch)], &mut tables).await?;
        if !tables.contains(segment.id.sequence) {
            // Deleted in between: the one before, then.
            continue;
        }
        if let Some(picture) = preview::picture(segment, &tables, at)? {
            let init = node.init_info(stream, picture.init).await?;
            let init = init.ok_or(PreviewError::Damaged("an init segment is not in the index"))?;
            let head = picture.head(&init.params)?;
            let class = preview::cache_class(rows.segments(), at, now, recorded, node.limits().end_lag_us);
            return Ok(Found { picture, head, cache_control: class.header_value().into_owned() });
        }
    }
    Err(PreviewError::NothingRecorded.into())
}

async fn mp4(node: &Node, method: &Method, headers: &HeaderMap, found: Found) -> Result<Response<Body>, Problem> {
    let Found { picture, head, cache_control } = found;
    let head_bytes = head.len() as u64;
    let etag = format!("\"{}\"", picture.tag());
    let total_bytes = head_bytes + picture.bytes.end - picture.bytes.start;
    let content = Content { etag, content_type: "video/mp4", total_bytes };
    if method == Method::HEAD || any_will_do(headers) {
        // A HEAD says whether a GET would find it.
        if node.store.head(&picture.object).await? < picture.bytes.end {
            return Err(Problem::not_found("This part of the recording is not (or no longer) in the store."));
        }
    }
    let (mut response, wanted) = match begin(method, headers, &content, &cache_control) {
        Begun::Ended(response) => return Ok(response),
        Begun::Wanted(response, wanted) => (response, wanted),
    };
    let front = head.slice(wanted.start.min(head_bytes) as usize..wanted.end.min(head_bytes) as usize);
    let (start, end) = (wanted.start.saturating_sub(head_bytes), wanted.end.saturating_sub(head_bytes));
    *response.body_mut() = if start < end {
        let payload = payload(node, &picture).await?.slice(start as usize..end as usize);
        match node.objects.lend(payload) {
            Some(lent) => Body::from_stream(stream::iter([front, lent]).map(Ok::<_, Infallible>)),
            None => {
                let range = picture.bytes.start + start..picture.bytes.start + end;
                let pieces = object_range(&node.store, picture.object, range).await?;
                Body::from_stream(stream::once(async { Ok(front) }).chain(pieces))
            }
        }
    } else {
        Body::from(front)
    };
    Ok(response)
}

/// The coded picture, once the part in which it lies is proven: the part is read once for all pictures in it.
async fn payload(node: &Node, picture: &Picture) -> Result<Bytes, Problem> {
    node.proven(&picture.object, &picture.part, &picture.bytes).await
}

/// The whole file in memory.
async fn mp4_bytes(node: &Node, found: &Found) -> Result<Bytes, Problem> {
    let payload = payload(node, &found.picture).await?;
    Ok([found.head.as_ref(), payload.as_ref()].concat().into())
}

/// What is answered, before its bytes.
struct Content {
    etag: String,
    content_type: &'static str,
    total_bytes: u64,
}

enum Begun {
    /// Nothing more to send.
    Ended(Response<Body>),
    /// These bytes belong into the body.
    Wanted(Response<Body>, Range<u64>),
}

fn begin(method: &Method, headers: &HeaderMap, content: &Content, cache_control: &str) -> Begun {
    let mut response = Response::new(Body::empty());
    let out = response.headers_mut();
    insert(out, header::ETAG, &content.etag);
    insert(out, header::CACHE_CONTROL, cache_control);
    if not_modified(headers, &content.etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Begun::Ended(response);
    }
    insert(out, header::CONTENT_TYPE, content.content_type);
    insert(out, header::ACCEPT_RANGES, "bytes");
    let total_bytes = content.total_bytes;
    let wanted = match select(method, headers, &content.etag, total_bytes) {
        Selection::Whole => 0..total_bytes,
        Selection::Part(part) => {
            insert(out, header::CONTENT_RANGE, &format!("bytes {}-{}/{total_bytes}", part.start, part.end - 1));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            part
        }
        Selection::Unsatisfiable => return Begun::Ended(unsatisfiable(total_bytes)),
    };
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(wanted.end - wanted.start));
    if method == Method::HEAD { Begun::Ended(response) } else { Begun::Wanted(response, wanted) }
}
