//! Who is let in, asked as no browser asks: over HTTP/2, and with many passwords at once.

use crate::bed::options;
use crate::web_bed::{self, Bed};
use evertape::web::admin::AdminOptions;
use evertape::web::{self, PlaybackOptions, Service};
use http::{Request, StatusCode};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

fn service(bed: &Bed, admin: AdminOptions) -> Service {
    let options = PlaybackOptions { admin: Some(admin), ..web_bed::options() };
    web::service(bed.store.clone(), Arc::new(bed.index.clone()), options, CancellationToken::new())
}

async fn status(service: &Service, request: http::request::Builder) -> StatusCode {
    service.answer(request.body(axum::body::Body::empty()).unwrap()).await.status()
}

/// HTTP/2 has no `Host`: the address says whom it asks, and where both are there the address counts.
#[tokio::test]
async fn the_address_says_whom_it_asks() {
    let bed = Bed::new().await;
    let service = service(&bed, options());
    let get = |uri: &str| Request::get(uri);
    assert_eq!(status(&service, get("http://localhost:8080/api/v1/streams")).await, 200);
    assert_eq!(status(&service, get("http://127.0.0.1/ui/")).await, 200);
    for evil in ["http://evil.example/api/v1/streams", "http://evil.example/ui/"] {
        assert_eq!(status(&service, get(evil)).await, 403);
        assert_eq!(status(&service, get(evil).header("host", "localhost")).await, 403);
    }
    assert_eq!(status(&service, get("/api/v1/streams")).await, 403);
    let post = || Request::post("http://localhost:8080/api/v1/streams").header("content-type", "application/json");
    assert_eq!(status(&service, post().header("origin", "http://evil.example")).await, 403);
    assert_eq!(status(&service, post().header("origin", "http://localhost:8080")).await, 400);
}

/// However many guess at once, few are told whether they were right; whoever knows the password is let in meanwhile.
#[tokio::test]
async fn passwords_are_not_guessed_by_the_thousand() {
    let bed = Bed::new().await;
    let service = service(&bed, AdminOptions { password: Some("right".into()), ..options() });
    let ask = async |credentials: &str| {
        let request = Request::get("/api/v1/streams").header("authorization", format!("Basic {credentials}"));
        status(&service, request).await
    };
    let (wrong, right) = ("YWRtaW46d3Jvbmc=", "YWRtaW46cmlnaHQ=");
    let guesses = futures::future::join_all((0..200).map(|_| ask(wrong)));
    let (guesses, known) = tokio::join!(guesses, ask(right));
    assert_eq!(known, 200);
    let told = guesses.iter().filter(|s| **s == 401).count();
    assert!((1..=web::admin::MOST_GUESSES).contains(&told), "{told} of 200 guesses were answered");
    assert!(guesses.iter().all(|s| *s == 401 || *s == 429));
    assert_eq!(ask(wrong).await, 401);
}
