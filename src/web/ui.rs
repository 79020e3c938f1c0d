//! The web interface: the files that were built from `ui/`, embedded in the binary.
//!
//! Comes in: requests below `/ui/`. Goes out: files, compressed as they are embedded; for every other address below it
//! the page itself, which reads its address. Never: a file of the machine's, a script or style from elsewhere.

use super::conditional;
use super::problem::Problem;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use std::io::Read;

/// Name below `ui/dist` and content, gzip.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/ui.rs"));

/// Nothing inline, nothing from another origin. Pictures and media come from hls.js and canvases as blobs.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
    media-src 'self' blob:; connect-src 'self'; worker-src 'self' blob:; font-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

const PAGE: &str = "index.html";
/// Files in here have a hash of their content in their name.
const HASHED: &str = "assets/";
/// No file of the interface is larger.
const LARGEST_BYTES: u64 = 32 << 20;

/// The answer to a request for `path`, which begins with `/ui`.
pub fn answer(method: &Method, headers: &HeaderMap, path: &str) -> Response<Body> {
    match respond(method, headers, path) {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

fn respond(method: &Method, headers: &HeaderMap, path: &str) -> Result<Response<Body>, Problem> {
    if method != Method::GET && method != Method::HEAD {
        return Err(super::answers::refused_method());
    }
    let Some(rest) = path.strip_prefix("/ui/") else { return Ok(moved("/ui/")) };
    let found = |name: &str| FILES.iter().find(|(known, _)| *known == name);
    // A script that is not there (any more) must not be answered with a page.
    let file = if rest.starts_with(HASHED) { found(rest) } else { found(rest).or_else(|| found(PAGE)) };
    let Some((name, packed)) = file else {
        let why = match FILES {
            [] => "This program was built without the web interface: build it with `make build`.",
            _ => "There is no such file.",
        };
        return Err(Problem::not_found(why));
    };
    let etag = format!("\"{:032x}\"", xxhash_rust::xxh3::xxh3_128(packed));
    let mut response = Response::new(Body::empty());
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(type_of(name)));
    out.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    out.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    out.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    let caching = if name.starts_with(HASHED) { "private, max-age=31536000, immutable" } else { "private, no-cache" };
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    if let Ok(value) = HeaderValue::from_str(&etag) {
        out.insert(header::ETAG, value);
    }
    if conditional::not_modified(headers, &etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    let body = match takes_gzip(headers) {
        true => {
            out.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            Bytes::from_static(packed)
        }
        false => unpacked(packed)?,
    };
    out.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    if method == Method::GET {
        *response.body_mut() = Body::from(body);
    }
    Ok(response)
}

/// 302 to another address of this server.
pub fn moved(to: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static(to));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let only_gzip = |item: &str| {
        let (name, weight) = item.split_once(';').unwrap_or((item, ""));
        name.trim().eq_ignore_ascii_case("gzip") && !matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
    };
    let sent = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok());
    sent.flat_map(|v| v.split(',')).any(only_gzip)
}

fn unpacked(packed: &[u8]) -> Result<Bytes, Problem> {
    let mut plain = Vec::new();
    let read = flate2::read::GzDecoder::new(packed).take(LARGEST_BYTES).read_to_end(&mut plain);
    read.map(|_| plain.into()).map_err(|error| {
        tracing::error!(%error, "a file of the interface cannot be unpacked");
        Problem::internal()
    })
}

fn type_of(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "json" | "map" => "application/json",
        "png" => "image/png",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(path: &str, pairs: &[(header::HeaderName, &str)]) -> Response<Body> {
        let headers = pairs.iter().map(|(n, v)| (n.clone(), v.parse().unwrap())).collect();
        answer(&Method::GET, &headers, path)
    }

    fn of<'a>(response: &'a Response<Body>, name: &header::HeaderName) -> &'a str {
        response.headers().get(name).map_or("", |v| v.to_str().unwrap())
    }

    async fn body(response: Response<Body>) -> Bytes {
        axum::body::to_bytes(response.into_body(), 1 << 24).await.unwrap()
    }

    #[tokio::test]
    async fn the_page_answers_for_every_address_of_its_own_under_a_strict_policy() {
        assert!(!FILES.is_empty(), "the interface is not built: run `make ui/dist/index.html`, then build again");
        for path in ["/ui/", "/ui/index.html", "/ui/streams/a"] {
            let page = asked(path, &[]);
            assert_eq!(page.status(), StatusCode::OK);
            assert_eq!(of(&page, &header::CONTENT_TYPE), "text/html; charset=utf-8");
            assert!(of(&page, &header::CONTENT_SECURITY_POLICY).starts_with("default-src 'none'; script-src 'self'"));
            assert_eq!(of(&page, &header::CACHE_CONTROL), "private, no-cache");
            let etag = of(&page, &header::ETAG).to_owned();
            assert!(body(page).await.starts_with(b"<!doctype html>"));
            let again = asked(path, &[(header::IF_NONE_MATCH, &etag)]);
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        }
        let bare = asked("/ui", &[]);
        assert_eq!((bare.status(), of(&bare, &header::LOCATION)), (StatusCode::FOUND, "/ui/"));
    }

    #[tokio::test]
    async fn assets_are_kept_for_ever_and_compressed_for_whom_it_suits() {
        let (name, packed) = FILES.iter().find(|(name, _)| name.ends_with(".js")).expect("a script");
        let path = format!("/ui/{name}");
        let compressed = asked(&path, &[(header::ACCEPT_ENCODING, "br, gzip;q=0.5")]);
        assert_eq!(of(&compressed, &header::CONTENT_ENCODING), "gzip");
        assert_eq!(of(&compressed, &header::CACHE_CONTROL), "private, max-age=31536000, immutable");
        assert_eq!(body(compressed).await, *packed);
        for refused in ["", "identity", "gzip;q=0"] {
            let plain = asked(&path, &[(header::ACCEPT_ENCODING, refused)]);
            assert_eq!(of(&plain, &header::CONTENT_ENCODING), "");
            let length: usize = of(&plain, &header::CONTENT_LENGTH).parse().unwrap();
            assert!(length > packed.len());
            assert_eq!(body(plain).await.len(), length);
        }
        let gone = asked("/ui/assets/gone.js", &[]);
        assert_eq!(gone.status(), StatusCode::NOT_FOUND);
        assert_eq!(answer(&Method::POST, &HeaderMap::new(), "/ui/").status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
