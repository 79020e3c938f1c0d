//! A node with the admin API over recordings of an hour ago.

use crate::postgres::{TestDatabase, postgres};
use crate::schema;
use crate::web_bed::Bed;
use evertape::recorder::source::spec::SourceSpec;
use evertape::web::admin::{AdminOptions, FileStream, SourceReport, SourceTester};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use std::sync::Arc;

/// Reads addresses as recorders do, and opens nothing: sources are opened in `program.rs`.
pub struct Unopened;

#[async_trait::async_trait]
impl SourceTester for Unopened {
    async fn test(&self, source: &str) -> SourceReport {
        SourceReport { ok: false, message: source.to_owned(), took_ms: 0, tracks: Vec::new(), uncarried: Vec::new() }
    }

    fn check(&self, source: &str) -> Result<(), String> {
        SourceSpec::parse(source).map(|_| ()).map_err(|e| e.to_string())
    }
}

pub fn options() -> AdminOptions {
    let demo = FileStream {
        name: evertape::media::StreamName::parse("demo").unwrap(),
        source: "demo:".into(),
        retention_us: Some(3_600_000_000),
    };
    AdminOptions {
        user: "admin".into(),
        password: None,
        loopback: true,
        streams: vec![demo],
        roles: vec!["play"],
        tester: Arc::new(Unopened),
    }
}

/// The API, its recordings, its database.
pub struct Api {
    pub bed: Bed,
    /// `http://127.0.0.1:port`
    pub origin: String,
    _database: Option<TestDatabase>,
}

impl Api {
    pub async fn sqlite() -> Self {
        Self::over(None).await
    }

    pub async fn postgres() -> Self {
        Self::over(Some(postgres().await)).await
    }

    async fn over(database: Option<TestDatabase>) -> Self {
        let bed = Bed::over(20, database.as_ref().map(|d| d.url.as_str())).await;
        let base = bed.node_with(|o| o.admin = Some(options())).await;
        Self { bed, origin: base.trim_end_matches("/demo").to_owned(), _database: database }
    }

    pub fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.bed.client.request(method, format!("{}/api/v1{path}", self.origin))
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        let answer = read(self.ask(Method::GET, path).send().await.unwrap()).await;
        held_against_the_document(&Method::GET, path, &answer);
        answer
    }

    pub async fn send(&self, method: Method, path: &str, body: &Value, etag: Option<&str>) -> (u16, Value) {
        let mut request =
            self.ask(method.clone(), path).header("content-type", "application/json").body(body.to_string());
        if let Some(etag) = etag {
            request = request.header("if-match", etag);
        }
        let answer = read(request.send().await.unwrap()).await;
        held_against_the_document(&method, path, &answer);
        answer
    }

    pub async fn etag(&self, path: &str) -> String {
        let answer = self.ask(Method::GET, path).send().await.unwrap();
        answer.headers()["etag"].to_str().unwrap().to_owned()
    }
}

fn held_against_the_document(method: &Method, path: &str, (status, body): &(u16, Value)) {
    if *status < 400 && path != "/openapi.json" {
        schema::check(method.as_str(), path, *status, body);
    }
}

/// Status and JSON. Whatever it is, nobody may keep it, and an error is a problem document with a sentence.
pub async fn read(answer: Response) -> (u16, Value) {
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    assert_eq!(headers.get("cache-control").map(|v| v.as_bytes()), Some(&b"no-store"[..]), "{status}");
    assert!(!headers.contains_key("access-control-allow-origin"));
    let text = answer.text().await.unwrap();
    if status == 204 {
        assert_eq!(text, "");
        return (status, Value::Null);
    }
    let value: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{status} {text:?}: {e}"));
    let kind = headers["content-type"].to_str().unwrap();
    if status >= 400 {
        assert_eq!(kind, "application/problem+json", "{text}");
        assert_eq!(value["status"], status);
        assert!(value["detail"].as_str().unwrap().ends_with(['.', ':']), "{text}");
    } else {
        assert_eq!(kind, "application/json");
    }
    (status, value)
}
