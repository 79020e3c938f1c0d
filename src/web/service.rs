//! One request after another: which part answers it, who may read it, and counting.
//!
//! Comes in: requests from anyone. Goes out: answers. What the server itself has (`/healthz`, `/metrics`) goes
//! through a router; playback, asked for a thousand times as often, does not.

use super::Node;
use super::admin::{self, guard};
use super::answers;
use super::health;
use super::problem::Problem;
use super::ui;
use axum::Router;
use axum::body::Body;
use axum::routing::{any, get};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tower_service::Service as _;

/// An answer must have begun by then.
const BEGIN_WITHIN: Duration = Duration::from_secs(30);
/// First parts of the server's own addresses: no stream is called so.
const OWN: &[&str] = &["", "healthz", "readyz", "metrics", "ui", "api"];
/// Of these, what only an operator may see, and no other origin's page.
const OPERATORS: &[&str] = &["ui", "api"];

/// What answers the requests of one node. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    node: Arc<Node>,
    own: Router,
    counters: Arc<Counters>,
}

impl Service {
    /// Answers from `node`.
    pub fn new(node: Arc<Node>) -> Self {
        let own = Router::new()
            .route("/", get(async || ui::moved("/ui/")))
            .route("/ui", any(interface))
            .route("/ui/{*file}", any(interface))
            .route("/ui/", any(interface))
            .route("/healthz", get(health::healthz))
            .route("/readyz", get(health::readyz))
            .route("/metrics", get(health::metrics))
            .merge(admin::router())
            .method_not_allowed_fallback(admin::not_allowed)
            .fallback(async || answers::nothing_here().into_response())
            .with_state(node.clone());
        Self { node, own, counters: Arc::default() }
    }

    /// The answer to one request.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        if OPERATORS.contains(&first_part(parts.uri.path())) {
            return self.operate(Request::from_parts(parts, Body::new(body))).await;
        }
        if OWN.contains(&first_part(parts.uri.path())) && parts.method != Method::OPTIONS {
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

    /// The admin API and the interface: no answer is for another origin.
    async fn operate(&self, request: Request<Body>) -> Response<Body> {
        let is_api = first_part(request.uri().path()) == "api";
        let access = self.node.options.admin.as_ref().map(|a| &a.access);
        let refused = guard::guard(access, request.method(), request.uri(), request.headers());
        let mut response = match refused {
            Some(refused) => refused,
            None => {
                let answered = tokio::time::timeout(BEGIN_WITHIN, self.own.clone().call(request)).await;
                match answered {
                    Ok(Ok(response)) => response,
                    Ok(Err(never)) => match never {},
                    Err(_) => Problem::unavailable("The answer took too long. Try again in a moment.").into_response(),
                }
            }
        };
        if is_api {
            let headers = response.headers_mut();
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            self.counters.count("admin", response.status());
        }
        response
    }

    async fn play(&self, request: &Parts) -> Response<Body> {
        let method = &request.method;
        let (kind, answered) = if method != Method::GET && method != Method::HEAD {
            ("other", Err(answers::refused_method()))
        } else {
            match answers::parse(&request.uri) {
                Ok(parsed) => {
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

async fn interface(method: Method, headers: HeaderMap, uri: Uri) -> Response<Body> {
    ui::answer(&method, &headers, uri.path())
}

fn first_part(path: &str) -> &str {
    path.get(1..).and_then(|p| p.split('/').next()).unwrap_or_default()
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
