//! Who may use the admin API and the web interface.
//!
//! Comes in: a request's method and headers. Goes out: leave, or the answer that refuses it. Never: says which of name
//! and password was wrong; lets a page of another origin act in an operator's name.

use super::super::Node;
use super::super::problem::Problem;
use axum::body::Body;
use base64::Engine;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// Wrong passwords that are answered at once; whoever guesses faster is told to wait.
pub const MOST_GUESSES: usize = 4;
/// Whoever guesses waits for each guess.
const AFTER_A_WRONG_PASSWORD: Duration = Duration::from_millis(500);

/// Whether a request may pass.
///
/// # Errors
/// The answer that refuses it.
pub async fn guard(node: &Node, method: &Method, headers: &HeaderMap) -> Result<(), Box<Response<Body>>> {
    match check(node, method, headers) {
        Ok(()) => Ok(()),
        Err(problem) => {
            let unauthorized = problem.status == StatusCode::UNAUTHORIZED;
            if unauthorized && headers.contains_key(header::AUTHORIZATION) {
                metrics::counter!("evertape_admin_wrong_passwords_total").increment(1);
                let Ok(_place) = node.guesses.try_acquire() else {
                    let why = "Too many wrong passwords at once. Wait a moment.";
                    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, why);
                    return Err(Box::new(Problem { retry_after_s: Some(1), ..problem.not_cached() }.into_response()));
                };
                tokio::time::sleep(AFTER_A_WRONG_PASSWORD).await;
            }
            let mut response = problem.not_cached().into_response();
            if unauthorized {
                let scheme = HeaderValue::from_static("Basic realm=\"Evertape\", charset=\"UTF-8\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
            }
            Err(Box::new(response))
        }
    }
}

fn check(node: &Node, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(options) = &node.options.admin else {
        return Err(Problem::not_found("The web interface and its API are switched off here (admin.enabled)."));
    };
    let forbidden = |why: &str| Problem::new(StatusCode::FORBIDDEN, why);
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
    match &options.password {
        Some(password) => {
            let wanted = format!("{}:{password}", options.user);
            if !credentials(headers).is_some_and(|given| same(given.as_bytes(), wanted.as_bytes())) {
                return Err(Problem::new(StatusCode::UNAUTHORIZED, "A name and a password are needed here."));
            }
        }
        None if !options.loopback => {
            let why = "The server can be reached from other machines, and no password is set for its web interface: \
                       set admin.password in the configuration.";
            return Err(forbidden(why));
        }
        // A name that somebody else's DNS points at this machine would make their pages this server's own.
        None if !is_loopback(host) => {
            let why = "Without a password (admin.password) the web interface answers on this machine only, \
                       as localhost or 127.0.0.1.";
            return Err(forbidden(why));
        }
        None => {}
    }
    if !method.is_safe() && !same_origin(headers, host) {
        return Err(forbidden("This was asked by a page of another origin."));
    }
    Ok(())
}

fn credentials(headers: &HeaderMap) -> Option<String> {
    let (scheme, rest) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let plain = base64::engine::general_purpose::STANDARD.decode(rest.trim()).ok()?;
    scheme.eq_ignore_ascii_case("basic").then(|| String::from_utf8(plain).ok()).flatten()
}

/// Compares hashes: how long that takes tells nothing of the texts.
fn same(a: &[u8], b: &[u8]) -> bool {
    Sha256::digest(a) == Sha256::digest(b)
}

fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<http::uri::Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    let local = |n: &str| n.eq_ignore_ascii_case("localhost") || n.to_ascii_lowercase().ends_with(".localhost");
    local(name) || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn same_origin(headers: &HeaderMap, host: &str) -> bool {
    let text = |name: &str| headers.get(name).map(|v| v.to_str().unwrap_or("?"));
    if text("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return false;
    }
    // The scheme is not known behind a proxy; the host and port are.
    text("origin").is_none_or(|origin| origin.split_once("://").is_some_and(|(_, of)| of == host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine() {
        for (host, expected) in [
            ("localhost", true),
            ("LOCALHOST:8080", true),
            ("tv.localhost", true),
            ("127.0.0.1:80", true),
            ("[::1]:8080", true),
            ("", false),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("192.168.1.2", false),
        ] {
            assert_eq!(is_loopback(host), expected, "{host}");
        }
    }

    #[test]
    fn pages_of_other_origins() {
        let asked = |pairs: &[(&'static str, &str)]| {
            let headers = pairs.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
            same_origin(&headers, "dvr.example:8080")
        };
        assert!(asked(&[]));
        assert!(asked(&[("origin", "https://dvr.example:8080"), ("sec-fetch-site", "same-origin")]));
        for wrong in ["https://evil.example", "https://dvr.example", "null", ""] {
            assert!(!asked(&[("origin", wrong)]), "{wrong}");
        }
        assert!(!asked(&[("sec-fetch-site", "same-site")]));
        assert!(!asked(&[("sec-fetch-site", "cross-site")]));
    }
}
