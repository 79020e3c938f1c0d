//! The OpenAPI document, made from the code.

use super::streams::answer;
use super::{events, export, locks, ranges, status, streams, test_source};
use axum::body::Body;
use http::{Response, StatusCode};
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Evertape admin API",
        description = "Streams, ranges, locks, exports, state. Times are UTC \
        milliseconds; errors are problem documents (RFC 9457); a stream's name is one part of a path, its slashes \
        written as %2F."
    ),
    paths(
        streams::list,
        streams::create,
        streams::one,
        streams::update,
        streams::delete,
        ranges::ranges,
        locks::list,
        locks::create,
        locks::release,
        export::info,
        test_source::test,
        status::status,
        status::storage,
        events::listen
    )
)]
struct Document;

/// The document.
pub async fn document() -> Response<Body> {
    answer(StatusCode::OK, &Document::openapi())
}
