//! Locks: ranges that are kept from retention.

use super::input::{Named, Sent, moment};
use super::snapshot::must_exist;
use super::streams::{answer, done};
use super::types::{Lock, LockInput, LockList, ProblemDocument, Span};
use super::unprocessable;
use crate::media::lock::{self, LockId, MAX_TITLE_BYTES};
use crate::media::{UtcRange, UtcUs};
use crate::web::Node;
use crate::web::answers::now;
use crate::web::problem::Problem;
use axum::body::Body;
use axum::extract::State;
use http::{Response, StatusCode};
use std::sync::Arc;

/// Most locks of a stream.
const MOST_LOCKS: usize = 10_000;

fn everything() -> UtcRange {
    UtcRange::new(UtcUs(0), UtcUs(i64::MAX))
}

fn shown(lock: lock::Lock) -> Lock {
    let Span { from_ms, to_ms } = lock.range.into();
    Lock { id: lock.id.to_string(), from_ms, to_ms, title: lock.title, created_ms: lock.created.millis() }
}

/// The locks of a stream, by start.
#[utoipa::path(get, path = "/api/v1/streams/{name}/locks", params(("name" = String, Path)), responses(
    (status = 200, body = LockList), (status = 404, body = ProblemDocument)))]
pub async fn list(State(node): State<Arc<Node>>, Named(name, _): Named) -> Result<Response<Body>, Problem> {
    let locks: Vec<Lock> = node.index.locks(&name, everything()).await?.into_iter().map(shown).collect();
    if locks.is_empty() {
        must_exist(&node, &name).await?;
    }
    Ok(answer(StatusCode::OK, &LockList { locks }))
}

/// Locks a range. What retention has taken already does not come back.
#[utoipa::path(post, path = "/api/v1/streams/{name}/locks", params(("name" = String, Path)), request_body = LockInput,
    responses((status = 201, body = Lock), (status = 404, body = ProblemDocument), (status = 409, body = ProblemDocument),
    (status = 415, body = ProblemDocument), (status = 422, body = ProblemDocument)))]
pub async fn create(
    State(node): State<Arc<Node>>,
    Named(name, _): Named,
    Sent(input): Sent<LockInput>,
) -> Result<Response<Body>, Problem> {
    let unusable = |problem: Problem| unprocessable(problem.detail);
    let start = moment("from_ms", input.from_ms).map_err(unusable)?;
    let end = moment("to_ms", input.to_ms).map_err(unusable)?;
    if end <= start {
        return Err(unprocessable("A lock must end after it begins."));
    }
    if input.title.len() > MAX_TITLE_BYTES || input.title.contains('\0') {
        return Err(unprocessable(format!("A title has at most {MAX_TITLE_BYTES} bytes.")));
    }
    must_exist(&node, &name).await?;
    if node.index.locks(&name, everything()).await?.len() >= MOST_LOCKS {
        let why = "This stream has too many locks. Release some that are not needed any more.";
        return Err(Problem::new(StatusCode::CONFLICT, why).not_cached());
    }
    let lock = lock::Lock {
        id: LockId(uuid::Uuid::now_v7().as_u128()),
        stream: name,
        range: UtcRange::new(start, end),
        title: input.title,
        created: now(),
    };
    node.index.add_lock(&lock).await?;
    tracing::info!(stream = %lock.stream, id = %lock.id, "a range was locked");
    Ok(answer(StatusCode::CREATED, &shown(lock)))
}

/// Releases a lock: retention may take what it kept.
#[utoipa::path(delete, path = "/api/v1/streams/{name}/locks/{id}",
    params(("name" = String, Path), ("id" = String, Path)),
    responses((status = 204), (status = 404, body = ProblemDocument)))]
pub async fn release(State(node): State<Arc<Node>>, Named(name, id): Named) -> Result<Response<Body>, Problem> {
    let id = id.as_deref().and_then(LockId::parse);
    let was_there = match id {
        Some(id) => node.index.remove_lock(&name, id).await?,
        None => false,
    };
    if !was_there {
        return Err(Problem::not_found("There is no such lock (any more).").not_cached());
    }
    tracing::info!(stream = %name, id = ?id, "a lock was released");
    Ok(done())
}
