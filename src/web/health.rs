//! `/healthz`, `/readyz`, `/metrics`.
//!
//! `/healthz` says that the process answers; restarting it would not help with anything else. `/readyz` says
//! that index and store can be reached: a load balancer leaves out a node that is not ready.

use super::Node;
use super::problem::Problem;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::get;
use http::{HeaderValue, Response, header};
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;

fn text(body: impl Into<Body>, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub async fn healthz() -> Response<Body> {
    text("ok\n", "text/plain; charset=utf-8")
}

pub async fn readyz(State(node): State<Arc<Node>>) -> Response<Body> {
    if node.stopping.is_cancelled() {
        return Problem::unavailable("Not ready: this process is being stopped.").into_response();
    }
    let (index, store) = tokio::join!(node.index.ping(), node.store.ping());
    let mut faults = Vec::new();
    if let Err(error) = index {
        tracing::warn!(%error, "not ready: index");
        faults.push("the index of recordings cannot be reached or is not set up");
    }
    if let Err(error) = store {
        tracing::warn!(%error, "not ready: store");
        faults.push("the object store cannot be reached");
    }
    if faults.is_empty() {
        text("ready\n", "text/plain; charset=utf-8")
    } else {
        Problem::unavailable(format!("Not ready: {}.", faults.join("; "))).into_response()
    }
}

pub async fn metrics(State(node): State<Arc<Node>>) -> Response<Body> {
    rendered(&node.options.metrics)
}

fn rendered(metrics: &PrometheusHandle) -> Response<Body> {
    text(metrics.render(), "text/plain; version=0.0.4; charset=utf-8")
}

/// For a process without playback.
pub fn router(metrics: PrometheusHandle) -> Router {
    let show = move || {
        let answer = rendered(&metrics);
        async move { answer }
    };
    Router::new().route("/healthz", get(healthz)).route("/metrics", get(show))
}
