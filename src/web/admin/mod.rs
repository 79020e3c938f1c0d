//! The admin API, version 1: what the web interface asks for, and anybody with a script.
//!
//! Comes in: requests below `/api/v1` that [`guard`] lets through. Goes out: JSON that nobody may keep, problems,
//! server-sent events. Never: a password of a source; anything to a page of another origin.

mod archive;
mod events;
mod guard;
mod secrets;
mod streams;
mod types;
mod view;

use super::Node;
use super::problem::Problem;
use crate::media::StreamName;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::middleware::{self, Next};
use http::{HeaderValue, Request, Response, StatusCode, header};
use std::sync::Arc;
use std::time::Duration;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use events::Events;
pub use guard::{MOST_GUESSES, guard};
pub use types::{SourceReport, Track, Uncarried};

/// Most bytes of a request's body.
const BODY_BYTES: usize = 64 << 10;
/// Longest time that a source is looked at.
pub const SOURCE_TEST: Duration = Duration::from_secs(10);

/// Looks at a source and says what is in it. The recorder's part, given by whoever starts the server.
#[async_trait::async_trait]
pub trait SourceTester: Send + Sync + 'static {
    /// What can be recorded of `source`, within [`SOURCE_TEST`] or so.
    async fn test(&self, source: &str) -> SourceReport;
    /// What is wrong with an address, without opening anything.
    ///
    /// # Errors
    /// A sentence for whoever wrote it.
    fn check(&self, source: &str) -> Result<(), String>;
}

/// A stream of this process's configuration file.
#[derive(Debug, Clone)]
pub struct FileStream {
    /// Name.
    pub name: StreamName,
    /// Source without secrets.
    pub source: String,
    /// How long recordings are kept, in microseconds.
    pub retention_us: Option<i64>,
}

/// What the admin API needs beside a playback node.
#[derive(Clone)]
pub struct AdminOptions {
    /// Name for HTTP Basic.
    pub user: String,
    /// Password for HTTP Basic; nobody is asked for one when `None`.
    pub password: Option<String>,
    /// The server listens on a loopback address only.
    pub loopback: bool,
    /// Streams of the configuration file.
    pub streams: Vec<FileStream>,
    /// What this process does, for people.
    pub roles: Vec<&'static str>,
    /// Looks at sources.
    pub tester: Arc<dyn SourceTester>,
}

#[derive(OpenApi)]
#[openapi(info(
    title = "Evertape",
    description = "Streams, archives, locks and exports. Times are UTC milliseconds. Errors are RFC 9457 problems."
))]
struct Document;

fn routes() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new()
        .routes(routes!(streams::list, streams::create))
        .routes(routes!(streams::one, streams::change, streams::delete))
        .routes(routes!(streams::test_source))
        .routes(routes!(archive::ranges))
        .routes(routes!(archive::locks, archive::add_lock))
        .routes(routes!(archive::release_lock))
        .routes(routes!(archive::export))
        .routes(routes!(events::status))
        .routes(routes!(events::storage))
        .routes(routes!(events::events))
}

fn nested() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::with_openapi(Document::openapi()).nest("/api/v1", routes())
}

/// The document that describes the API, as JSON.
pub fn openapi() -> String {
    text_of(&nested().split_for_parts().1)
}

fn text_of(document: &utoipa::openapi::OpenApi) -> String {
    document.to_pretty_json().unwrap_or_default()
}

/// Answers below `/api/v1`.
pub fn router(node: Arc<Node>) -> Router {
    let (router, document) = nested().split_for_parts();
    let document = text_of(&document);
    let show = move || std::future::ready(json(StatusCode::OK, document.clone().into()));
    router
        .route("/api/v1/openapi.json", axum::routing::get(show))
        .fallback(async || super::answers::nothing_here().not_cached().into_response())
        .method_not_allowed_fallback(async || {
            let what = "This address does not answer that method; its Allow header says which.";
            let mut response = Problem::new(StatusCode::METHOD_NOT_ALLOWED, what).not_cached().into_response();
            // Playback's; the router puts in its own.
            response.headers_mut().remove(header::ALLOW);
            response
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(middleware::from_fn_with_state(node.clone(), guarded))
        .with_state(node)
}

async fn guarded(State(node): State<Arc<Node>>, request: Request<Body>, next: Next) -> Response<Body> {
    if let Err(refused) = guard(&node, request.method(), request.headers()).await {
        return *refused;
    }
    let mut response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if response.status().is_client_error() && kind != Some(b"application/problem+json") {
        // The router's own words, for a path that cannot be decoded.
        response = Problem::not_found("There is nothing at this address.").into_response();
    }
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn json(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer, or a problem that nobody keeps.
type Answer<T> = Result<T, Refusal>;

/// A problem as the answer of a handler.
pub struct Refusal(Problem);

impl<P: Into<Problem>> From<P> for Refusal {
    fn from(problem: P) -> Self {
        Self(problem.into().not_cached())
    }
}

impl axum::response::IntoResponse for Refusal {
    fn into_response(self) -> Response<Body> {
        self.0.into_response()
    }
}

/// 422: understood, but it cannot be.
fn unprocessable(why: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, why)
}

/// A body of JSON; whatever is wrong with it is a problem.
struct Body_<T>(T);

impl<T: serde::de::DeserializeOwned, S: Send + Sync> axum::extract::FromRequest<S> for Body_<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request<Body>, state: &S) -> Result<Self, Refusal> {
        use axum::extract::rejection::JsonRejection;
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(JsonRejection::JsonDataError(e)) => Err(unprocessable(format!("{}.", e.body_text())).into()),
            Err(other) => Err(Problem::new(other.status(), format!("{}.", other.body_text())).into()),
        }
    }
}

/// A query; whatever is wrong with it is a problem.
struct Asked<T>(T);

impl<T: serde::de::DeserializeOwned, S: Send + Sync> axum::extract::FromRequestParts<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut http::request::Parts, state: &S) -> Result<Self, Refusal> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(error) => Err(Problem::bad_request(format!("{}.", error.body_text())).into()),
        }
    }
}

/// The stream of a path.
fn stream_of(name: &str) -> Result<StreamName, Problem> {
    StreamName::parse(name).map_err(|_| no_such_stream())
}

fn no_such_stream() -> Problem {
    Problem::not_found("There is no such stream.")
}
