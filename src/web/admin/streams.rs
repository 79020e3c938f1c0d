//! Streams: listed, created, changed, deleted. Nothing is lost that somebody else changed meanwhile.

use super::input::{Asked, Named, Sent};
use super::snapshot::Outline;
use super::types::{ProblemDocument, Stream, StreamInput, StreamPage};
use super::{no_such_stream, options, refused, unprocessable};
use crate::index::control::{Changed, Expected, StreamSetting};
use crate::media::StreamName;
use crate::playback::hls::PlainHls;
use crate::web::Node;
use crate::web::answers::now;
use crate::web::problem::Problem;
use axum::body::Body;
use axum::extract::State;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Streams of a page, unless asked otherwise, and at most.
const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1000;
/// Most bytes of a source.
const MOST_SOURCE_BYTES: usize = 4096;
/// A hundred years.
const LONGEST_RETENTION_SECONDS: i64 = 3_155_760_000;

/// A page of the list.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct PageQuery {
    /// Streams on the page, at most 1000.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// JSON with a status.
pub fn answer(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let Ok(text) = serde_json::to_vec(value) else { return Problem::internal().into_response() };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// 204.
pub fn done() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// All streams that are set, by name, page by page.
#[utoipa::path(get, path = "/api/v1/streams", params(PageQuery), responses(
    (status = 200, body = StreamPage), (status = 400, body = ProblemDocument)))]
pub async fn list(State(node): State<Arc<Node>>, Asked(query): Asked<PageQuery>) -> Result<Response<Body>, Problem> {
    let limit = query.limit.unwrap_or(PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(Problem::bad_request(format!("limit is 1 to {LARGEST_PAGE}.")).not_cached());
    }
    let outline = Outline::read(&node).await?;
    let after = query.cursor.unwrap_or_default();
    let mut names: Vec<StreamName> =
        outline.names().filter(|n| n.as_str() > after.as_str()).take(limit + 1).cloned().collect();
    let has_more = names.len() > limit;
    names.truncate(limit);
    let next_cursor = names.last().filter(|_| has_more).map(ToString::to_string);
    let streams = outline.streams(&node, &names).await?;
    Ok(answer(StatusCode::OK, &StreamPage { streams, next_cursor }))
}

/// One stream; its version as `ETag`, where it is set here.
#[utoipa::path(get, path = "/api/v1/streams/{name}", params(("name" = String, Path)), responses(
    (status = 200, body = Stream), (status = 404, body = ProblemDocument)))]
pub async fn one(State(node): State<Arc<Node>>, Named(name, _): Named) -> Result<Response<Body>, Problem> {
    tell(&node, &name, StatusCode::OK).await
}

async fn tell(node: &Node, name: &StreamName, status: StatusCode) -> Result<Response<Body>, Problem> {
    let outline = Outline::read(node).await?;
    let stream = outline.stream(node, name).await?.ok_or_else(no_such_stream)?;
    let mut response = answer(status, &stream);
    if let Some(version) = outline.version(name)
        && let Ok(etag) = HeaderValue::from_str(&format!("\"{version}\""))
    {
        response.headers_mut().insert(header::ETAG, etag);
    }
    Ok(response)
}

/// Creates a stream. Recorders begin within seconds.
#[utoipa::path(post, path = "/api/v1/streams", request_body = StreamInput, responses(
    (status = 201, body = Stream), (status = 409, body = ProblemDocument), (status = 415, body = ProblemDocument),
    (status = 422, body = ProblemDocument)))]
pub async fn create(State(node): State<Arc<Node>>, Sent(input): Sent<StreamInput>) -> Result<Response<Body>, Problem> {
    let name = StreamName::parse(&input.name).map_err(|why| refused(&why))?;
    let setting = checked(&node, &input, None)?;
    if Outline::read(&node).await?.is_of_file(&name) {
        return Err(of_file());
    }
    match node.index.put_setting(&name, &setting, Expected::Absent, now()).await? {
        Changed::Done(_) => {}
        Changed::Stale(_) | Changed::Missing => {
            return Err(conflict("There is a stream of this name already."));
        }
    }
    tracing::info!(stream = %name, "a stream was created");
    node.events.look_now();
    tell(&node, &name, StatusCode::CREATED).await
}

/// Changes a stream that is as `If-Match` says.
#[utoipa::path(put, path = "/api/v1/streams/{name}", request_body = StreamInput,
    params(("name" = String, Path), ("If-Match" = String, Header, description = "`ETag` of the stream")), responses(
    (status = 200, body = Stream), (status = 404, body = ProblemDocument), (status = 409, body = ProblemDocument),
    (status = 412, body = ProblemDocument), (status = 415, body = ProblemDocument), (status = 422, body = ProblemDocument),
    (status = 428, body = ProblemDocument)))]
pub async fn update(
    State(node): State<Arc<Node>>,
    Named(name, _): Named,
    headers: HeaderMap,
    Sent(input): Sent<StreamInput>,
) -> Result<Response<Body>, Problem> {
    let expected = expected(&node, &name, &headers).await?;
    if input.name != name.as_str() {
        return Err(unprocessable("A stream keeps its name. Create another one, and delete this one."));
    }
    let before = node.index.setting(&name).await?.ok_or_else(no_such_stream)?;
    let setting = checked(&node, &input, Some(&before.setting))?;
    // What was kept of the old source belongs to the version it was read from.
    let expected = match expected {
        Expected::Present => Expected::Version(before.version),
        other => other,
    };
    done_or(node.index.put_setting(&name, &setting, expected, now()).await?)?;
    tracing::info!(stream = %name, "a stream was changed");
    node.events.look_now();
    tell(&node, &name, StatusCode::OK).await
}

/// Deletes a stream that is as `If-Match` says, with its recordings; locked ranges stay.
#[utoipa::path(delete, path = "/api/v1/streams/{name}",
    params(("name" = String, Path), ("If-Match" = String, Header, description = "`ETag` of the stream")), responses(
    (status = 204), (status = 404, body = ProblemDocument), (status = 409, body = ProblemDocument),
    (status = 412, body = ProblemDocument), (status = 428, body = ProblemDocument)))]
pub async fn delete(
    State(node): State<Arc<Node>>,
    Named(name, _): Named,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let expected = expected(&node, &name, &headers).await?;
    done_or(node.index.remove_setting(&name, expected, now()).await?)?;
    tracing::info!(stream = %name, "a stream was deleted");
    node.events.look_now();
    Ok(done())
}

/// What the request expects of a stream that can be changed here.
async fn expected(node: &Node, name: &StreamName, headers: &HeaderMap) -> Result<Expected, Problem> {
    let outline = Outline::read(node).await?;
    if outline.is_of_file(name) {
        return Err(of_file());
    }
    if outline.version(name).is_none() {
        return Err(no_such_stream());
    }
    let Some(wanted) = headers.get(header::IF_MATCH) else {
        let why = "Say with If-Match which version of the stream is to be changed (its ETag).";
        return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, why).not_cached());
    };
    let wanted = wanted.to_str().unwrap_or_default().trim();
    if wanted == "*" {
        return Ok(Expected::Present);
    }
    let version = wanted.strip_prefix('"').and_then(|w| w.strip_suffix('"')).and_then(|w| w.parse().ok());
    version.map(Expected::Version).ok_or_else(changed_meanwhile)
}

fn done_or(changed: Changed) -> Result<(), Problem> {
    match changed {
        Changed::Done(_) => Ok(()),
        Changed::Stale(_) => Err(changed_meanwhile()),
        Changed::Missing => Err(no_such_stream()),
    }
}

fn conflict(why: &str) -> Problem {
    Problem::new(StatusCode::CONFLICT, why).not_cached()
}

fn of_file() -> Problem {
    conflict("This stream is set in the configuration file. Change it there.")
}

fn changed_meanwhile() -> Problem {
    let why = "Somebody else changed this stream meanwhile.";
    Problem::new(StatusCode::PRECONDITION_FAILED, why).not_cached()
}

/// The setting that `input` asks for; `before`: what is set.
fn checked(node: &Node, input: &StreamInput, before: Option<&StreamSetting>) -> Result<StreamSetting, Problem> {
    let sources = &options(node)?.sources;
    let shown_before = before.and_then(|b| sources.shown(&b.source).ok());
    let source = match before {
        Some(before) if shown_before.as_deref() == Some(input.source.as_str()) => before.source.clone(),
        _ if input.source.contains("***") => {
            return Err(unprocessable("In the source *** stands for a secret that is not shown. Write it anew."));
        }
        _ => input.source.clone(),
    };
    if source.len() > MOST_SOURCE_BYTES {
        return Err(unprocessable(format!("A source has at most {MOST_SOURCE_BYTES} bytes.")));
    }
    sources.shown(&source).map_err(|why| refused(&why))?;
    if input.retention_seconds.is_some_and(|s| !(1..=LONGEST_RETENTION_SECONDS).contains(&s)) {
        return Err(unprocessable("Retention is from one second to a hundred years; without it all is kept for ever."));
    }
    Ok(StreamSetting {
        source,
        retention_us: input.retention_seconds.map(|s| s.saturating_mul(1_000_000)),
        retention_bytes: before.and_then(|b| b.retention_bytes),
        hls: before.map_or_else(PlainHls::default, |b| b.hls),
        standby: before.is_some_and(|b| b.standby),
        paused: input.paused,
    })
}
