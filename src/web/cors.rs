//! Which web pages may read the answers (Fetch standard, 3.2: the CORS protocol).
//!
//! Comes in: the `Origin` of a request. Goes out: headers. Everyone may read without credentials; with credentials
//! (cookies) only the origins that the operator named.

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};

/// What a page may read besides the plain headers.
const EXPOSED: &str = "content-length, content-range, etag, date, age, content-disposition, evertape-gaps";
/// A browser asks once an hour whether it may ask.
const PREFLIGHT_SECONDS: &str = "3600";

/// The rules of one node.
#[derive(Debug, Clone, Default)]
pub struct Cors {
    with_credentials: Vec<HeaderValue>,
}

impl Cors {
    /// Lets pages of `origins` (`https://host`) send credentials; what is no header value is left out.
    pub fn new(origins: &[String]) -> Self {
        Self { with_credentials: origins.iter().filter_map(|o| HeaderValue::from_str(o).ok()).collect() }
    }

    fn trusts(&self, origin: Option<&HeaderValue>) -> bool {
        origin.is_some_and(|origin| self.with_credentials.contains(origin))
    }

    /// Adds to an answer who may read it. `origin` is that of the request.
    pub fn allow(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        match origin {
            Some(origin) if self.trusts(Some(origin)) => {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            }
            _ => {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
        }
        if !self.with_credentials.is_empty() {
            // Only then does the answer depend on who asks: a cache need not keep one for each otherwise.
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }

    /// The answer to OPTIONS: what may be asked.
    pub fn preflight(&self, request: &HeaderMap) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        let mut set = |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
        set(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD");
        set(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS);
        set(header::CONTENT_LENGTH, "0");
        // `*` does not mean all where credentials are sent (4.10).
        let asked = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        let named = asked.filter(|_| self.trusts(request.get(header::ORIGIN))).cloned();
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, named.unwrap_or(HeaderValue::from_static("*")));
        if !self.with_credentials.is_empty() {
            headers.append(header::VARY, HeaderValue::from_static("access-control-request-headers"));
        }
        response
    }
}
