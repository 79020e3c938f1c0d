//! Errors as answers: RFC 9457 problem documents.
//!
//! Comes in: what went wrong, by kind. Goes out: a status, a plain sentence for whoever asked, how long the
//! answer may be cached. The cause goes to the log, never into the answer.

use crate::index::{IndexError, IndexErrorKind};
use crate::store::{StoreError, StoreErrorKind};
use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Status.
    pub status: StatusCode,
    /// A sentence for the viewer or the middleware's developer.
    pub detail: String,
    /// Whether a cache must not keep it at all; else it may for two seconds.
    pub no_store: bool,
    /// Seconds after which trying again makes sense.
    pub retry_after_s: Option<u32>,
}

impl Problem {
    /// An error that caches may keep for two seconds.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), no_store: false, retry_after_s: None }
    }

    /// 400: the request makes no sense as it is.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 503: index or store out of reach.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        Self { retry_after_s: Some(2), no_store: true, ..problem }
    }

    /// 500: a defect here or damaged data; the log knows more.
    pub fn internal() -> Self {
        let problem =
            Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Something is wrong here; the server's log says what.");
        Self { no_store: true, ..problem }
    }

    /// 500: the store has other bytes than were written.
    pub fn damaged() -> Self {
        let what = "This part of the recording is damaged in the store; what lies before and after it can be played.";
        Self { no_store: true, ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, what) }
    }

    /// The same, not to be cached at all.
    pub fn not_cached(self) -> Self {
        Self { no_store: true, ..self }
    }

    /// What a lower layer says, as a sentence.
    pub fn saying(status: StatusCode, what: &impl std::fmt::Display) -> Self {
        let mut sentence = format!("{what}.");
        if let Some(first) = sentence.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Self::new(status, sentence)
    }

    /// The answer.
    pub fn into_response(self) -> Response<Body> {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = serde_json::json!({
            "type": "about:blank",
            "title": title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let mut response = Response::new(Body::from(format!("{body}\n")));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        let caching = if self.no_store { "no-store" } else { "max-age=2" };
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<IndexError> for Problem {
    fn from(error: IndexError) -> Self {
        let cause = error.cause.as_ref().map(ToString::to_string);
        tracing::warn!(kind = ?error.kind, %error, cause, "the index did not answer a request");
        match error.kind {
            IndexErrorKind::Unavailable => {
                Self::unavailable("The index of recordings cannot be reached. Try again in a moment.")
            }
            IndexErrorKind::Schema => Self::unavailable(
                "The index of recordings is not set up yet. The operator has to run `evertape migrate`.",
            ),
            IndexErrorKind::Fenced | IndexErrorKind::Damaged | IndexErrorKind::Other => Self::internal(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error.kind {
            StoreErrorKind::NotFound | StoreErrorKind::RangeNotSatisfiable => {
                Self::not_found("This part of the recording is not (or no longer) in the store.")
            }
            kind => {
                let cause = error.cause.as_ref().map(ToString::to_string);
                tracing::warn!(?kind, %error, cause, "the object store did not answer a request");
                match kind {
                    StoreErrorKind::Damaged => Self::damaged(),
                    StoreErrorKind::Other => Self::internal(),
                    _ => Self::unavailable("The store of recordings cannot be reached. Try again in a moment."),
                }
            }
        }
    }
}
