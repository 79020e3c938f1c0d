//! One request after another: which part answers it, who may read it, and counting.
//!
//! Comes in: requests from anyone. Goes out: answers. What the server itself has (`/healthz`, `/metrics`) goes
//! through a router; playback, asked for a thousand times as often, does not.

use super::Node;
use super::admin;
use super::answers;
use super::health;
use super::problem::Problem;
use super::ui;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::{any, get};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tower_service::Service as _;

/// An answer must have begun by then.
const BEGIN_WITHIN: Duration = Duration::from_secs(30);
/// First parts of the server's own addresses: no stream is called so.
const OWN: &[&str] = &["", "healthz", "readyz", "metrics", "ui", "api"];

/// What answers the requests of one node. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    node: Arc<Node>,
    own: Router,
    api: Router,
    counters: Arc<Counters>,
    /// Room for requests whose answer has not begun.
    begun: Arc<Semaphore>,
}

impl Service {
    /// Answers from `node`.
    pub fn new(node: Arc<Node>) -> Self {
        let own = Router::new()
            .route("/", get(front))
            .route("/ui", any(interface))
            .route("/ui/{*file}", any(interface))
            .route("/ui/", any(interface))
            .route("/healthz", get(health::healthz))
            .route("/readyz", get(health::readyz))
            .route("/metrics", get(health::metrics))
            .method_not_allowed_fallback(async || answers::refused_method().into_response())
            .fallback(async || answers::nothing_here().into_response())
            .with_state(node.clone());
        let api = admin::router(node.clone());
        let begun = Arc::new(Semaphore::new(node.options.max_requests));
        Self { node, own, api, counters: Arc::default(), begun }
    }

    /// The answer to one request.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (mut parts, body) = request.into_parts();
        if is_below(parts.uri.path(), "api") {
            name_host(&mut parts);
            // No page of another origin has business here: no CORS.
            let answered = self.api.clone().call(Request::from_parts(parts, Body::new(body))).await;
            return answered.unwrap_or_else(|never: Infallible| match never {});
        }
        if is_own(parts.uri.path()) && parts.method != Method::OPTIONS {
            name_host(&mut parts);
            let origin = parts.headers.get(header::ORIGIN).cloned();
            let answered = self.own.clone().call(Request::from_parts(parts, Body::new(body))).await;
            let mut response = answered.unwrap_or_else(|never: Infallible| match never {});
            self.node.cors.allow(origin.as_ref(), response.headers_mut());
            return response;
        }
        // Nothing that is asked here has a body.
        drop(body);
        let mut response = match parts.method {
            Method::OPTIONS => self.node.cors.preflight(&parts.headers),
            _ => self.play(&parts).await,
        };
        self.node.cors.allow(parts.headers.get(header::ORIGIN), response.headers_mut());
        response
    }

    /// Whoever would only wait in a queue is told so at once, and a load balancer or player goes elsewhere.
    fn room(&self) -> Result<SemaphorePermit<'_>, Problem> {
        self.begun.try_acquire().map_err(|_| {
            metrics::counter!("evertape_http_refused_total", "reason" => "requests").increment(1);
            Problem::unavailable("This node has as much to do as it can. Try again in a moment.")
        })
    }

    async fn play(&self, request: &Parts) -> Response<Body> {
        let method = &request.method;
        let (kind, answered) = if method != Method::GET && method != Method::HEAD {
            ("other", Err(answers::refused_method()))
        } else {
            match answers::parse(&request.uri).and_then(|parsed| Ok((parsed, self.room()?))) {
                Ok((parsed, _room)) => {
                    let answer = answers::dispatch(&self.node, method, &request.headers, &parsed);
                    let answered = tokio::time::timeout(BEGIN_WITHIN, answer).await;
                    let late = |_| Err(Problem::unavailable("The answer took too long. Try again in a moment."));
                    (answers::kind_of(&parsed.target), answered.unwrap_or_else(late))
                }
                Err(problem) => ("other", Err(problem)),
            }
        };
        let response = answered.unwrap_or_else(Problem::into_response);
        self.counters.count(kind, response.status());
        response
    }
}

/// HTTP/2 says whom it asks in the address, and HTTP/1 may: that counts (RFC 9112 3.2.2, RFC 9113 8.3.1).
fn name_host(parts: &mut Parts) {
    let named = parts.uri.authority().map(|authority| HeaderValue::from_str(authority.as_str()));
    if let Some(Ok(host)) = named {
        parts.headers.insert(header::HOST, host);
    }
}

/// The server's own address leads to the web interface, where there is one.
async fn front(State(node): State<Arc<Node>>) -> Response<Body> {
    match node.options.admin {
        Some(_) => ui::moved("/ui/"),
        None => answers::nothing_here().into_response(),
    }
}

async fn interface(State(node): State<Arc<Node>>, method: Method, headers: HeaderMap, uri: Uri) -> Response<Body> {
    match admin::guard(&node, &method, &headers).await {
        Ok(()) => ui::answer(&method, &headers, uri.path()),
        Err(refused) => *refused,
    }
}

/// Whether a path's first part is `first`.
fn is_below(path: &str, first: &str) -> bool {
    path.get(1..).and_then(|p| p.split('/').next()) == Some(first)
}

fn is_own(path: &str) -> bool {
    let first = path.get(1..).and_then(|p| p.split('/').next()).unwrap_or_default();
    OWN.contains(&first)
}

/// `evertape_http_requests_total`, without looking a counter up by its labels for each request.
#[derive(Default)]
struct Counters(RwLock<HashMap<(&'static str, StatusCode), metrics::Counter>>);

impl Counters {
    fn count(&self, kind: &'static str, status: StatusCode) {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = known.get(&(kind, status)) {
            counter.increment(1);
            return;
        }
        drop(known);
        let label = status.as_str().to_owned();
        let counter = metrics::counter!("evertape_http_requests_total", "kind" => kind, "status" => label);
        counter.increment(1);
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert((kind, status), counter);
    }
}
