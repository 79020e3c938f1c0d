//! Requests that no interface would send, by a seed: each is answered or refused, none breaks anything.

use crate::bed::{Api, read};
use reqwest::Method;
use serde_json::json;
use std::collections::BTreeMap;

const REQUESTS: usize = 1500;
const PIECES: &[&str] = &[
    "\"",
    "{",
    "}",
    "[",
    ":",
    ",",
    "null",
    "true",
    "-1",
    "1e999",
    "9223372036854775808",
    "\\u0000",
    "é",
    "***",
    "a/b",
    "../",
    "%00",
    "%ff",
    "%2F",
    "&",
    "=",
    "?",
    "#",
    " ",
    "0",
    "-",
    "999999999999999",
    "demo",
    "x",
];

/// A generator with a seed (Knuth, MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }

    fn damage(&mut self, text: &str) -> String {
        let mut chars: Vec<char> = text.chars().collect();
        for _ in 0..self.below(4) {
            let at = self.below(chars.len() + 1);
            match self.below(3) {
                0 if at < chars.len() => drop(chars.remove(at)),
                1 => chars.truncate(at),
                _ => {
                    let piece: Vec<char> = PIECES[self.below(PIECES.len())].chars().collect();
                    chars.splice(at..at, piece);
                }
            }
        }
        chars.into_iter().collect()
    }
}

pub async fn requests_are_answered_or_refused(api: Api) {
    let from = api.bed.from * 1000;
    let stream = json!({ "name": "a", "source": "http://u:p@h/x?token=1", "retention_seconds": 60, "paused": true });
    let lock = json!({ "from_ms": from, "to_ms": from + 1000, "title": "t" });
    let seeds = [
        (Method::GET, "/streams?limit=5&cursor=a".to_owned(), None),
        (Method::GET, format!("/streams/demo/ranges?from_ms={from}&to_ms={}&resolution_ms=5", from + 9000), None),
        (Method::GET, format!("/streams/demo/export?from_ms={from}&duration_ms=9000&tracks=v1,a1&format=ts"), None),
        (Method::GET, "/streams/demo/locks".to_owned(), None),
        (Method::GET, "/streams/a".to_owned(), None),
        (Method::POST, "/streams".to_owned(), Some(stream.to_string())),
        (Method::PUT, "/streams/a".to_owned(), Some(stream.to_string())),
        (Method::POST, "/streams/demo/locks".to_owned(), Some(lock.to_string())),
        (Method::DELETE, "/streams/demo/locks/00000000000000000000000000000001".to_owned(), None),
        (Method::POST, "/sources/test".to_owned(), Some(json!({ "source": "demo:" }).to_string())),
        (Method::DELETE, "/streams/a".to_owned(), None),
    ];
    let mut random = Random(20_260_729);
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    for n in 0..REQUESTS {
        let (method, path, body) = &seeds[random.below(seeds.len())];
        let in_body = body.is_some() && random.below(4) > 0;
        let path = if in_body { path.clone() } else { random.damage(path) };
        // What leaves the API's own addresses is not the API's.
        if !path.starts_with('/') || path.contains("/../") || path.contains('#') {
            continue;
        }
        let body = body.as_ref().map(|b| if in_body { random.damage(b) } else { b.clone() });
        let mut request = api.ask(method.clone(), &path).header("if-match", random.damage("*"));
        if let Some(body) = &body {
            request = request.header("content-type", "application/json").body(body.clone());
        }
        // A header that cannot be written is not sent.
        let Ok(request) = request.build() else { continue };
        if !request.url().path().starts_with("/api/v1/") {
            continue;
        }
        let shown = format!("{n}: {method} {path} {body:?}");
        let answer = api.bed.client.execute(request).await.unwrap_or_else(|e| panic!("{shown}: {e}"));
        let status = answer.status().as_u16();
        assert!(status < 500, "{shown}: {status}");
        read(answer).await;
        *statuses.entry(status).or_default() += 1;
    }
    for expected in [200, 201, 204, 400, 404, 422] {
        assert!(statuses.contains_key(&expected), "no {expected} among {statuses:?}");
    }
    assert_eq!(api.get("/status").await.0, 200);
}
