//! The admin API below `/api/v1`: streams, ranges, locks, exports, state. What the web interface is made of.
//!
//! Comes in: requests that [`guard`] let through. Goes out: JSON, server-sent events, problems. Never: the password of
//! a source, an answer for another origin, a body of any size.

mod events;
mod export;
pub mod guard;
mod input;
mod locks;
mod openapi;
mod ranges;
mod snapshot;
mod status;
mod streams;
mod test_source;
mod types;

pub use events::Events;
pub use test_source::{Sources, Tested};

use super::Node;
use super::problem::Problem;
use crate::media::StreamName;
use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use http::{Response, StatusCode, header};
use std::sync::Arc;

/// What an operator may do here, and who is one.
#[derive(Clone)]
pub struct AdminOptions {
    /// Who is let in.
    pub access: guard::Access,
    /// Streams of the configuration file.
    pub file_streams: Vec<FileStream>,
    /// What this process does: `record`, `play`, `janitor`.
    pub roles: Vec<&'static str>,
    /// What knows about sources.
    pub sources: Arc<dyn Sources>,
}

/// A stream of the configuration file.
#[derive(Debug, Clone)]
pub struct FileStream {
    /// Name.
    pub name: StreamName,
    /// Its source without secrets.
    pub shown_source: String,
    /// How long recordings are kept, in microseconds; for ever when `None`.
    pub retention_us: Option<i64>,
}

/// All addresses of the API.
pub(super) fn router() -> Router<Arc<Node>> {
    Router::new()
        .route("/api/v1/openapi.json", get(openapi::document))
        .route("/api/v1/streams", get(streams::list).post(streams::create))
        .route("/api/v1/streams/{name}", get(streams::one).put(streams::update).delete(streams::delete))
        .route("/api/v1/streams/{name}/ranges", get(ranges::ranges))
        .route("/api/v1/streams/{name}/locks", get(locks::list).post(locks::create))
        .route("/api/v1/streams/{name}/locks/{id}", axum::routing::delete(locks::release))
        .route("/api/v1/streams/{name}/export", get(export::info))
        .route("/api/v1/sources/test", post(test_source::test))
        .route("/api/v1/status", get(status::status))
        .route("/api/v1/storage", get(status::storage))
        .route("/api/v1/events", get(events::listen))
}

/// 405; the router says which methods there are.
pub(super) async fn not_allowed() -> Response<Body> {
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "This method is not answered here.");
    let mut response = problem.into_response();
    response.headers_mut().remove(header::ALLOW);
    response
}

/// What the operator set; the API is not reached without.
fn options(node: &Node) -> Result<&AdminOptions, Problem> {
    node.options.admin.as_ref().ok_or_else(|| Problem::not_found(guard::SWITCHED_OFF).not_cached())
}

/// 422: the request is understood and cannot be done as it is.
fn unprocessable(sentence: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, sentence).not_cached()
}

/// What a lower layer says, as 422.
fn refused(what: &impl std::fmt::Display) -> Problem {
    Problem::saying(StatusCode::UNPROCESSABLE_ENTITY, what).not_cached()
}

fn no_such_stream() -> Problem {
    Problem::not_found("There is no such stream.").not_cached()
}
