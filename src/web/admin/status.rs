//! How this node is, and how much is stored.

use super::options;
use super::streams::answer;
use super::types::{Part, Status, Storage, StreamBytes};
use crate::web::Node;
use crate::web::answers::now;
use crate::web::problem::Problem;
use axum::body::Body;
use axum::extract::State;
use http::{Response, StatusCode};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What has not answered by then is said not to.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How this node is.
pub async fn now_of(node: &Node) -> Result<Status, Problem> {
    let (index, store) = tokio::join!(part("The index", node.index.ping()), part("The store", node.store.ping()));
    let roles = options(node)?.roles.clone();
    Ok(Status { version: env!("CARGO_PKG_VERSION"), now_ms: now().millis(), index, store, roles })
}

async fn part<E: std::fmt::Display>(name: &str, ping: impl Future<Output = Result<(), E>>) -> Part {
    let began = Instant::now();
    match tokio::time::timeout(ANSWER_WITHIN, ping).await {
        Ok(Ok(())) => Part { ok: true, message: format!("{name} answers in {} ms.", began.elapsed().as_millis()) },
        Ok(Err(error)) => {
            tracing::debug!(%error, name, "does not answer");
            Part { ok: false, message: format!("{name} cannot be reached or is not set up; the log says more.") }
        }
        Err(_) => Part { ok: false, message: format!("{name} does not answer.") },
    }
}

/// How this node is.
#[utoipa::path(get, path = "/api/v1/status", responses((status = 200, body = Status)))]
pub async fn status(State(node): State<Arc<Node>>) -> Result<Response<Body>, Problem> {
    Ok(answer(StatusCode::OK, &now_of(&node).await?))
}

/// Bytes of all recordings.
#[utoipa::path(get, path = "/api/v1/storage", responses((status = 200, body = Storage)))]
pub async fn storage(State(node): State<Arc<Node>>) -> Result<Response<Body>, Problem> {
    let all = node.index.all_stored_bytes().await?;
    let bytes = all.iter().fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
    let streams = all.into_iter().map(|(name, bytes)| StreamBytes { name: name.to_string(), bytes }).collect();
    Ok(answer(StatusCode::OK, &Storage { bytes, streams }))
}
