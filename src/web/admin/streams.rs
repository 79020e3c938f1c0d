//! Streams: listed, made, changed, deleted, and their sources looked at.
//!
//! Comes in: requests of the API. Goes out: streams, or a sentence why not. Never: overwrites what somebody else changed
//! meanwhile; changes what a configuration file sets.

use super::super::problem::Problem;
use super::super::{Node, answers};
use super::types::{SourceInput, SourceReport, Stream, StreamInput, StreamPage};
use super::view::Overview;
use super::{Answer, Asked, Body_, SOURCE_TEST, no_such_stream, secrets, stream_of, unprocessable};
use crate::index::control::{Changed, Expected, StreamSetting};
use crate::media::StreamName;
use axum::body::Body;
use axum::extract::{Path, State};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

const DEFAULT_PAGE: usize = 100;
const MOST_PAGE: usize = 500;
/// A hundred years.
const LONGEST_RETENTION_S: i64 = 3_155_760_000;
const LEAST_RETENTION_S: i64 = 60;

/// Where a hidden secret is not known, or would go to another host.
const HIDDEN: &str = "In the source *** stands for a secret that is not shown. Write it anew.";

/// Which page of a list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Page {
    /// Streams on a page: 100 when left out, 500 at most.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Streams, by name.
#[utoipa::path(get, path = "/streams", params(Page), responses((status = 200, body = StreamPage)))]
pub async fn list(State(node): State<Arc<Node>>, Asked(page): Asked<Page>) -> Answer<axum::Json<StreamPage>> {
    let limit = page.limit.unwrap_or(DEFAULT_PAGE).clamp(1, MOST_PAGE);
    let overview = Overview::read(&node).await?;
    let after = page.cursor.unwrap_or_default();
    let mut names: Vec<StreamName> =
        overview.names(&node).into_iter().filter(|n| n.as_str() > after.as_str()).take(limit + 1).collect();
    let more = names.len() > limit;
    names.truncate(limit);
    let next_cursor = more.then(|| names.last().map(ToString::to_string)).flatten();
    Ok(axum::Json(StreamPage { streams: overview.streams(&node, names).await?, next_cursor }))
}

/// One stream. Its `ETag` is wanted back as `If-Match` for a change.
#[utoipa::path(get, path = "/streams/{name}", params(("name" = String, Path)), responses((status = 200, body = Stream), (status = 404)))]
pub async fn one(State(node): State<Arc<Node>>, Path(name): Path<String>) -> Answer<Response<Body>> {
    shown(&node, &stream_of(&name)?, StatusCode::OK).await
}

async fn shown(node: &Node, name: &StreamName, status: StatusCode) -> Answer<Response<Body>> {
    let overview = Overview::read(node).await?;
    if !overview.names(node).contains(name) {
        return Err(no_such_stream().into());
    }
    let stream = overview.stream(node, name).await?;
    let body = serde_json::to_vec(&stream).map_err(|_| Problem::internal())?;
    let mut response = super::json(status, body.into());
    if let Some(kept) = overview.setting(name)
        && !overview.is_of_file(node, name)
        && let Ok(etag) = HeaderValue::from_str(&etag(kept.version))
    {
        response.headers_mut().insert(header::ETAG, etag);
    }
    Ok(response)
}

fn etag(version: u64) -> String {
    format!("\"{version}\"")
}

/// Makes a stream; recorders begin within seconds.
#[utoipa::path(post, path = "/streams", request_body = StreamInput, responses((status = 201, body = Stream), (status = 409), (status = 422)))]
pub async fn create(State(node): State<Arc<Node>>, Body_(input): Body_<StreamInput>) -> Answer<Response<Body>> {
    let name = StreamName::parse(&input.name).map_err(|e| Problem::saying(StatusCode::UNPROCESSABLE_ENTITY, &e))?;
    let overview = Overview::read(&node).await?;
    if overview.is_of_file(&node, &name) {
        return Err(in_file().into());
    }
    let setting = setting_of(&node, &input, None)?;
    let taken = || Problem::new(StatusCode::CONFLICT, format!("There is a stream “{name}” already."));
    match node.index.put_setting(&name, &setting, Expected::Absent, answers::now()).await? {
        Changed::Done(_) => {}
        Changed::Stale(_) | Changed::Missing => return Err(taken().into()),
    }
    tracing::info!(stream = %name, "a stream was added");
    node.events.look_now();
    shown(&node, &name, StatusCode::CREATED).await
}

/// Changes a stream as a whole. Needs `If-Match` with the `ETag` of what was read, or `*`.
#[utoipa::path(put, path = "/streams/{name}", params(("name" = String, Path)), request_body = StreamInput, responses((status = 200, body = Stream), (status = 404), (status = 409), (status = 412), (status = 422), (status = 428)))]
pub async fn change(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Body_(input): Body_<StreamInput>,
) -> Answer<Response<Body>> {
    let name = stream_of(&name)?;
    if input.name != name.as_str() {
        return Err(unprocessable("A stream keeps its name: it is part of every address.").into());
    }
    let overview = Overview::read(&node).await?;
    let expected = expected(&overview, &node, &name, &headers)?;
    let known = node.index.setting(&name).await?.ok_or_else(no_such_stream)?;
    let setting = setting_of(&node, &input, Some(&known.setting))?;
    done(node.index.put_setting(&name, &setting, expected, answers::now()).await?)?;
    tracing::info!(stream = %name, "a stream was changed");
    node.events.look_now();
    shown(&node, &name, StatusCode::OK).await
}

/// Ends a stream's recording; its archive goes, too, but for locked parts. Needs `If-Match`, as a change does; a stream
/// that is set nowhere and has only an archive has no `ETag`, and needs none.
#[utoipa::path(delete, path = "/streams/{name}", params(("name" = String, Path)), responses((status = 204), (status = 404), (status = 409), (status = 412), (status = 428)))]
pub async fn delete(State(node): State<Arc<Node>>, Path(name): Path<String>, headers: HeaderMap) -> Answer<StatusCode> {
    let name = stream_of(&name)?;
    let overview = Overview::read(&node).await?;
    let is_set = overview.is_of_file(&node, &name) || overview.setting(&name).is_some();
    if !is_set && overview.names(&node).contains(&name) {
        if headers.get(header::IF_MATCH).is_some_and(|tag| tag != "*") {
            return Err(stale().into());
        }
        done(node.index.remove_archive(&name, answers::now()).await?)?;
    } else {
        let expected = expected(&overview, &node, &name, &headers)?;
        done(node.index.remove_setting(&name, expected, answers::now()).await?)?;
    }
    tracing::info!(stream = %name, "a stream was deleted");
    node.events.look_now();
    Ok(StatusCode::NO_CONTENT)
}

fn in_file() -> Problem {
    Problem::new(StatusCode::CONFLICT, "This stream is set in a configuration file. Change it there.")
}

/// What `If-Match` expects (RFC 9110 13.1.1).
fn expected(overview: &Overview, node: &Node, name: &StreamName, headers: &HeaderMap) -> Result<Expected, Problem> {
    if overview.is_of_file(node, name) {
        return Err(in_file());
    }
    if overview.setting(name).is_none() {
        return Err(no_such_stream());
    }
    let Some(tag) = headers.get(header::IF_MATCH) else {
        let why = "Say in If-Match which version is meant: the ETag of what was read, or *.";
        return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, why));
    };
    let tag = tag.to_str().unwrap_or_default().trim();
    if tag == "*" {
        return Ok(Expected::Present);
    }
    let version = tag.strip_prefix('"').and_then(|t| t.strip_suffix('"')).and_then(|t| t.parse().ok());
    version.map(Expected::Version).ok_or_else(stale)
}

fn stale() -> Problem {
    Problem::new(StatusCode::PRECONDITION_FAILED, "Somebody else changed this stream meanwhile.")
}

fn done(changed: Changed) -> Result<(), Problem> {
    match changed {
        Changed::Done(_) => Ok(()),
        Changed::Stale(_) => Err(stale()),
        Changed::Missing => Err(no_such_stream()),
    }
}

/// What is set, checked; what the input leaves out stays as it was.
fn setting_of(node: &Node, input: &StreamInput, known: Option<&StreamSetting>) -> Result<StreamSetting, Problem> {
    let source = secrets::whole(input.source.trim(), known.map(|k| k.source.as_str()));
    let options = node.options.admin.as_ref().ok_or_else(Problem::internal)?;
    if source.contains(secrets::MASK) {
        return Err(unprocessable(HIDDEN));
    }
    options.tester.check(&source).map_err(|why| Problem::saying(StatusCode::UNPROCESSABLE_ENTITY, &why))?;
    if input.retention_seconds.is_some_and(|s| !(LEAST_RETENTION_S..=LONGEST_RETENTION_S).contains(&s)) {
        return Err(unprocessable("Recordings are kept for a minute to a hundred years, or for ever."));
    }
    if input.retention_bytes == Some(Some(0)) {
        return Err(unprocessable("More than no bytes are to be kept; leave the limit out to keep any number."));
    }
    Ok(StreamSetting {
        source,
        retention_us: input.retention_seconds.map(|s| s * 1_000_000),
        retention_bytes: input.retention_bytes.unwrap_or_else(|| known.and_then(|k| k.retention_bytes)),
        hls: input.hls.or_else(|| known.map(|k| k.hls)).unwrap_or_default(),
        standby: input.standby.or_else(|| known.map(|k| k.standby)).unwrap_or_default(),
        paused: input.paused,
    })
}

/// Looks at a source for some seconds and says what would be recorded.
#[utoipa::path(post, path = "/sources/test", request_body = SourceInput, responses((status = 200, body = SourceReport), (status = 503)))]
pub async fn test_source(
    State(node): State<Arc<Node>>,
    Body_(input): Body_<SourceInput>,
) -> Answer<axum::Json<SourceReport>> {
    let options = node.options.admin.as_ref().ok_or_else(Problem::internal)?;
    let known = match input.stream.as_deref().map(stream_of).transpose()? {
        Some(name) => node.index.setting(&name).await?,
        None => None,
    };
    let source = secrets::whole(input.source.trim(), known.as_ref().map(|k| k.setting.source.as_str()));
    let refused =
        |message: String| SourceReport { ok: false, message, took_ms: 0, tracks: Vec::new(), uncarried: Vec::new() };
    if source.contains(secrets::MASK) {
        return Ok(axum::Json(refused(HIDDEN.to_owned())));
    }
    if let Err(why) = options.tester.check(&source) {
        return Ok(axum::Json(refused(Problem::saying(StatusCode::OK, &why).detail)));
    }
    let Ok(_place) = node.source_tests.try_acquire() else {
        return Err(Problem::unavailable("Other sources are being looked at. Try again in a moment.").into());
    };
    let looked = tokio::time::timeout(SOURCE_TEST + Duration::from_secs(5), options.tester.test(&source)).await;
    Ok(axum::Json(looked.unwrap_or_else(|_| refused("The source gives no answer.".to_owned()))))
}
