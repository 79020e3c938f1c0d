//! Reading requests: names, queries, bodies.
//!
//! Comes in: what anyone sends. Goes out: checked values, or a problem that says what to mend. Never: a body of any
//! size, or one that takes for ever.

use super::{no_such_stream, unprocessable};
use crate::media::{StreamName, UtcUs};
use crate::web::problem::Problem;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::request::Parts;
use http::{Response, StatusCode, header};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Most bytes of a body.
const MOST_BYTES: usize = 64 * 1024;
/// A body must be there by then.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// The year 9999: no moment asked for is later.
const LAST_MS: i64 = 253_402_300_799_999;

impl axum::response::IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        Problem::into_response(self)
    }
}

/// A body in JSON.
pub struct Sent<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Sent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            let why = "Send the body as application/json.";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why).not_cached());
        }
        let announced = http_body::Body::size_hint(request.body()).lower();
        let too_large = || Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large.").not_cached();
        if announced > MOST_BYTES as u64 {
            return Err(too_large());
        }
        let reading = tokio::time::timeout(BODY_WITHIN, axum::body::to_bytes(request.into_body(), MOST_BYTES)).await;
        let late = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "The body took too long.").not_cached();
        let bytes = reading.map_err(late)?.map_err(|_| too_large())?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| match error.classify() {
            // The parser names the field and the place; of what was sent it repeats at most a field's value of a wrong
            // kind, to the one who sent it.
            serde_json::error::Category::Data => unprocessable(format!("The body cannot be used: {error}.")),
            _ => Problem::bad_request("The body is not JSON.").not_cached(),
        })
    }
}

/// The query.
pub struct Asked<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Query::try_from_uri(&parts.uri).map(|Query(query)| Self(query)).map_err(|error| {
            let why = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            Problem::bad_request(format!("The query cannot be read: {why}.")).not_cached()
        })
    }
}

/// The stream that the path names, and what else it names.
pub struct Named(pub StreamName, pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let found = Path::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let Path(found) = found.map_err(|_| no_such_stream())?;
        let mut found = found.into_iter().map(|(_, value)| value);
        let name = found.next().unwrap_or_default();
        // A name that cannot be is one that is not there.
        Ok(Self(StreamName::parse(&name).map_err(|_| no_such_stream())?, found.next()))
    }
}

/// A moment in UTC milliseconds.
pub fn moment(name: &str, ms: i64) -> Result<UtcUs, Problem> {
    if !(0..=LAST_MS).contains(&ms) {
        let why = format!("{name} is a moment in milliseconds since 1970, up to the year 9999.");
        return Err(Problem::bad_request(why).not_cached());
    }
    Ok(UtcUs::from_millis(ms))
}
