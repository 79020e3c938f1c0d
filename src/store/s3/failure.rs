//! What an error of the S3 client means to the caller of the port.

use crate::store::{Secret, StoreError, StoreErrorKind};
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use std::error::Error;

/// Longest text taken over from a store's answer, in characters.
const MAX_DETAIL_CHARS: usize = 400;

/// An error of one request, before it is known what asked for it.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) kind: StoreErrorKind,
    /// HTTP status, when there was an answer.
    pub(super) status: Option<u16>,
    /// The store's own error code.
    pub(super) code: Option<String>,
    detail: String,
}

impl Failure {
    pub(super) fn of<E: ProvideErrorMetadata + Error + 'static>(error: &SdkError<E, HttpResponse>) -> Self {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let (code, message) = match error.as_service_error() {
            Some(service) => (service.code(), service.message()),
            None => (None, None),
        };
        let kind = match error {
            SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) => StoreErrorKind::Unavailable,
            SdkError::ConstructionFailure(_) => StoreErrorKind::Other,
            _ => kind_of(code, status),
        };
        let detail = match (code, message, status) {
            (None, None, _) => chain(error),
            (code, message, status) => format!(
                "{} ({}): {}",
                code.unwrap_or("no code"),
                status.map_or_else(|| "no status".to_owned(), |status| status.to_string()),
                message.unwrap_or("no message")
            ),
        };
        Self { kind, status, code: code.map(str::to_owned), detail }
    }

    pub(super) fn other(kind: StoreErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, status: None, code: None, detail: detail.into() }
    }

    pub(super) fn has_code(&self, codes: &[&str]) -> bool {
        self.code.as_deref().is_some_and(|code| codes.contains(&code))
    }

    /// The error of the port. Not the client's error itself as a cause: its debug form holds whole answers.
    pub(super) fn into_error(self, what: &str, secret: &Secret) -> StoreError {
        let mut detail: String =
            self.detail.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_DETAIL_CHARS).collect();
        // No store should ever repeat the secret, but its answer is not ours.
        if !secret.expose().is_empty() {
            detail = detail.replace(secret.expose(), "***");
        }
        let hint = match self.kind {
            StoreErrorKind::Refused => hint_for(self.code.as_deref(), self.status),
            _ => "",
        };
        StoreError::new(self.kind, format!("{what}: {detail}{hint}"))
    }
}

fn hint_for(code: Option<&str>, status: Option<u16>) -> &'static str {
    match (code, status) {
        (Some("NoSuchBucket"), _) => "; create the bucket or mend store.url",
        (Some("AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException"), _)
        | (_, Some(301 | 307)) => "; check store.s3.region and store.s3.endpoint",
        (Some("RequestTimeTooSkewed"), _) => "; set this machine's clock",
        _ => "; check store.s3.access_key, secret_key and what they may do",
    }
}

/// The kind of an answer with this error code and HTTP status.
pub(super) fn kind_of(code: Option<&str>, status: Option<u16>) -> StoreErrorKind {
    match code {
        Some("NoSuchKey" | "NoSuchVersion") => return StoreErrorKind::NotFound,
        Some("InvalidRange") => return StoreErrorKind::RangeNotSatisfiable,
        Some(
            "NoSuchBucket"
            | "InvalidBucketName"
            | "AccessDenied"
            | "AllAccessDisabled"
            | "AccountProblem"
            | "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "AuthorizationHeaderMalformed"
            | "ExpiredToken"
            | "InvalidToken"
            | "NotSignedUp"
            | "PermanentRedirect"
            | "RequestTimeTooSkewed",
        ) => return StoreErrorKind::Refused,
        Some(
            "SlowDown"
            | "ServiceUnavailable"
            | "InternalError"
            | "RequestTimeout"
            | "Throttling"
            | "ThrottlingException"
            | "OperationAborted"
            | "ConditionalRequestConflict",
        ) => return StoreErrorKind::Unavailable,
        _ => {}
    }
    match status {
        Some(404) => StoreErrorKind::NotFound,
        Some(416) => StoreErrorKind::RangeNotSatisfiable,
        Some(301 | 307 | 401 | 403) => StoreErrorKind::Refused,
        Some(408 | 409 | 425 | 429 | 500 | 502..=504 | 506..=599) => StoreErrorKind::Unavailable,
        _ => StoreErrorKind::Other,
    }
}

/// An error and its causes in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let next_text = next.to_string();
        if !text.ends_with(&next_text) {
            text.push_str(": ");
            text.push_str(&next_text);
        }
        cause = next.source();
    }
    text
}
