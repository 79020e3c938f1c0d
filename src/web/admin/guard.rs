//! Who may use the admin API and the web interface.
//!
//! Comes in: the head of a request. Goes out: nothing when it may go on, else the answer that refuses it. Never: tells
//! by its timing how much of a password was right; lets a page of another origin change anything.

use crate::web::problem::Problem;
use axum::body::Body;
use base64::Engine;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use sha2::{Digest, Sha256};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Where `admin.enabled` is off.
pub const SWITCHED_OFF: &str = "The web interface and its API are switched off here (admin.enabled).";
/// Where anybody could come and no password is set.
pub const NO_PASSWORD: &str = "This server can be reached from other machines and has no password for its web \
    interface. Set admin.password in the configuration (or EVERTAPE_ADMIN__PASSWORD), or let http.listen be 127.0.0.1.";

/// Who is let in.
#[derive(Clone)]
pub struct Access {
    /// Digest of `user:password`; nobody has to say any when `None`.
    secret: Option<[u8; 32]>,
    loopback: bool,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_password = self.secret.is_some();
        f.debug_struct("Access").field("has_password", &has_password).field("loopback", &self.loopback).finish()
    }
}

impl Access {
    /// `password`: whether one is asked for. `listen`: where requests come in.
    pub fn new(user: &str, password: Option<&str>, listen: SocketAddr) -> Self {
        let secret = password.filter(|p| !p.is_empty()).map(|p| digest(format!("{user}:{p}").as_bytes()));
        Self { secret, loopback: listen.ip().to_canonical().is_loopback() }
    }

    /// Nobody is let in: reached from other machines, and without a password.
    pub fn is_closed(&self) -> bool {
        self.secret.is_none() && !self.loopback
    }
}

/// The answer to a request that may not go on.
pub fn guard(access: Option<&Access>, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Response<Body>> {
    let Some(access) = access else {
        return Some(Problem::not_found(SWITCHED_OFF).not_cached().into_response());
    };
    let host = host(uri, headers);
    match access.secret {
        None if access.is_closed() => return Some(forbidden(NO_PASSWORD)),
        // A page elsewhere may let a name of its own point to this machine.
        None if !host.as_ref().is_some_and(is_loopback) => {
            return Some(forbidden("Without admin.password this is answered only at 127.0.0.1 and localhost."));
        }
        None => {}
        Some(secret) if same(&secret, &said(headers)) => {}
        Some(_) => return Some(who_are_you()),
    }
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if !reads && !is_same_origin(headers, host.as_ref()) {
        return Some(forbidden("Changes are taken only from this server's own pages, and from programs."));
    }
    None
}

fn forbidden(why: &str) -> Response<Body> {
    Problem::new(StatusCode::FORBIDDEN, why).not_cached().into_response()
}

fn who_are_you() -> Response<Body> {
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "User and password are needed, and these were not right.");
    let mut response = problem.not_cached().into_response();
    let challenge = HeaderValue::from_static("Basic realm=\"Evertape\", charset=\"UTF-8\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

fn digest(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Digest of what the request says for itself.
fn said(headers: &HeaderMap) -> [u8; 32] {
    let text = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let (scheme, rest) = text.split_once(' ').unwrap_or_default();
    let decoded = match scheme.eq_ignore_ascii_case("basic") {
        true => base64::engine::general_purpose::STANDARD.decode(rest.trim()).unwrap_or_default(),
        false => Vec::new(),
    };
    digest(&decoded)
}

/// Takes equally long wherever they differ.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    std::hint::black_box(a.iter().zip(b).fold(0, |differs, (x, y)| differs | (x ^ y))) == 0
}

/// The name by which the server was asked.
fn host(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let mut sent = headers.get_all(header::HOST).iter();
    match (uri.authority(), sent.next(), sent.next()) {
        (Some(authority), ..) => Some(authority.clone()),
        (None, Some(host), None) => host.to_str().ok()?.parse().ok(),
        _ => None,
    }
}

fn is_loopback(host: &Authority) -> bool {
    let name = host.host();
    let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Browsers say where a request comes from; programs need not.
fn is_same_origin(headers: &HeaderMap, host: Option<&Authority>) -> bool {
    let all_are =
        |name: &str, right: &dyn Fn(&str) -> bool| headers.get_all(name).iter().all(|v| v.to_str().is_ok_and(right));
    let ours = |origin: &str| {
        let (scheme, rest) = origin.split_once("://").unwrap_or_default();
        let port = |a: &Authority| a.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
        let asked = rest.parse::<Authority>().ok().zip(host);
        matches!(scheme, "http" | "https")
            && asked.is_some_and(|(a, h)| a.host().eq_ignore_ascii_case(h.host()) && port(&a) == port(h))
    };
    all_are("sec-fetch-site", &|site| matches!(site, "same-origin" | "none")) && all_are("origin", &ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(access: &Access, method: &Method, pairs: &[(&str, &str)]) -> u16 {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let refusal = guard(Some(access), method, &Uri::from_static("/api/v1/status"), &headers);
        refusal.map_or(200, |r| r.status().as_u16())
    }

    fn basic(text: &str) -> String {
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
    }

    #[test]
    fn without_a_password_only_this_machine_is_answered_under_its_own_name() {
        let local = Access::new("admin", None, "127.0.0.1:8080".parse().unwrap());
        for host in ["127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:8080", "127.1.2.3"] {
            assert_eq!(asked(&local, &Method::GET, &[("host", host)]), 200, "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "localhost.evil", ""] {
            assert_eq!(asked(&local, &Method::GET, &[("host", host)]), 403, "{host}");
        }
        assert_eq!(asked(&local, &Method::GET, &[]), 403);
        assert_eq!(asked(&local, &Method::GET, &[("host", "localhost"), ("host", "evil.example")]), 403);
        let open = Access::new("admin", Some(""), "0.0.0.0:8080".parse().unwrap());
        assert_eq!(asked(&open, &Method::GET, &[("host", "127.0.0.1:8080")]), 403);
        assert!(open.is_closed() && !local.is_closed());
    }

    #[test]
    fn with_a_password_it_must_be_said() {
        let open = Access::new("admin", Some("hush"), "0.0.0.0:8080".parse().unwrap());
        assert!(!open.is_closed() && !format!("{open:?}").contains("hush"));
        let host = ("host", "tv.example");
        let right = basic("admin:hush");
        assert_eq!(asked(&open, &Method::GET, &[host, ("authorization", &right)]), 200);
        assert_eq!(asked(&open, &Method::GET, &[host, ("authorization", &right.replace("Basic", "bAsIc"))]), 200);
        for wrong in [basic("admin:hus"), basic("admin:hush2"), basic("root:hush"), basic(""), "Basic !".into()] {
            assert_eq!(asked(&open, &Method::GET, &[host, ("authorization", &wrong)]), 401, "{wrong}");
        }
        assert_eq!(asked(&open, &Method::GET, &[host, ("authorization", &right.replace("Basic", "Bearer"))]), 401);
        assert_eq!(asked(&open, &Method::GET, &[host]), 401);
    }

    #[test]
    fn changes_come_from_this_origin_or_from_programs() {
        let local = Access::new("admin", None, "127.0.0.1:8080".parse().unwrap());
        let host = ("host", "127.0.0.1:8080");
        let cases = [
            (&[][..], 200),
            (&[("origin", "http://127.0.0.1:8080"), ("sec-fetch-site", "same-origin")], 200),
            (&[("origin", "https://127.0.0.1:8080")], 200),
            (&[("sec-fetch-site", "none")], 200),
            (&[("origin", "http://127.0.0.1:8081")], 403),
            (&[("origin", "http://127.0.0.1")], 403),
            (&[("origin", "http://evil.example")], 403),
            (&[("origin", "null")], 403),
            (&[("sec-fetch-site", "cross-site")], 403),
            (&[("sec-fetch-site", "same-site")], 403),
        ];
        for (pairs, expected) in cases {
            let pairs: Vec<_> = pairs.iter().copied().chain([host]).collect();
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
                assert_eq!(asked(&local, &method, &pairs), expected, "{pairs:?}");
            }
            assert_eq!(asked(&local, &Method::GET, &pairs), 200, "{pairs:?}");
        }
    }

    #[test]
    fn switched_off_is_not_there() {
        let answer = guard(None, &Method::GET, &Uri::from_static("/ui/"), &HeaderMap::new());
        assert_eq!(answer.map(|r| r.status()), Some(StatusCode::NOT_FOUND));
    }
}
