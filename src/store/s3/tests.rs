//! Stores that misbehave; the port itself is tested in `tests/store_conformance.rs`.

use super::*;
use crate::store::read_all;
use axum::body::Body as HttpBody;
use axum::extract::Request;
use axum::http::{Method, Response, StatusCode, header};
use std::sync::Mutex;

const SECRET: &str = "a-secret-nobody-may-see";

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).unwrap()
}

fn store(address: std::net::SocketAddr) -> S3Store {
    let config = S3Config {
        bucket: "bucket".to_owned(),
        prefix: "p".to_owned(),
        endpoint: Some(format!("http://{address}")),
        region: "r".to_owned(),
        access_key: Some("GK".to_owned()),
        secret_key: Some(Secret::new(SECRET)),
        path_style: true,
    };
    let limits = Limits {
        connect: Duration::from_millis(500),
        attempt: Duration::from_millis(500),
        attempts: 2,
        stall: Duration::from_millis(300),
    };
    S3Store::with_limits(config, limits).unwrap()
}

type Log = Arc<Mutex<Vec<String>>>;

/// A server that answers each request with `answer(method and path, range header, number of the request)`.
async fn serve(
    answer: impl Fn(&str, &str, usize) -> Response<HttpBody> + Clone + Send + Sync + 'static,
) -> (S3Store, Log) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let log = Log::default();
    let seen = Arc::clone(&log);
    let app = axum::Router::new().fallback(move |request: Request| {
        let (answer, seen) = (answer.clone(), Arc::clone(&seen));
        async move {
            let (head, body) = request.into_parts();
            let _ = axum::body::to_bytes(body, 1 << 24).await;
            let range = head.headers.get(header::RANGE).map_or("", |range| range.to_str().unwrap()).to_owned();
            let condition = if head.headers.contains_key(header::IF_NONE_MATCH) { " if-none-match" } else { "" };
            let line = format!("{} {}{condition}", head.method, head.uri);
            let number = {
                let mut seen = seen.lock().unwrap();
                seen.push(format!("{line} {range}"));
                seen.len() - 1
            };
            let mut response = answer(&line, &range, number);
            if head.method == Method::HEAD {
                *response.body_mut() = HttpBody::empty();
            }
            response
        }
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    (store(address), log)
}

fn status(code: u16, body: &'static str) -> Response<HttpBody> {
    Response::builder().status(code).body(body.into()).unwrap()
}

fn xml_error(code: u16, name: &str, message: &str) -> Response<HttpBody> {
    let xml = format!("<?xml version=\"1.0\"?><Error><Code>{name}</Code><Message>{message}</Message></Error>");
    Response::builder().status(code).body(xml.into()).unwrap()
}

fn partial(content_range: &str, body: impl Into<HttpBody>) -> Response<HttpBody> {
    Response::builder()
        .status(StatusCode::PARTIAL_CONTENT)
        .header(header::CONTENT_RANGE, content_range)
        .header(header::ETAG, "\"e\"")
        .body(body.into())
        .unwrap()
}

/// `content` and then a connection that breaks, or hangs.
fn breaking(content: &'static [u8], hang: bool) -> HttpBody {
    let rest = futures::stream::once(async move {
        if hang {
            std::future::pending::<()>().await;
        }
        // The server sends what it has before it notices the failure.
        tokio::time::sleep(Duration::from_millis(50)).await;
        Err(std::io::Error::other("cut"))
    });
    HttpBody::from_stream(futures::stream::iter([Ok(Bytes::from_static(content))]).chain(rest))
}

#[tokio::test]
async fn a_store_that_ignores_ranges_gives_no_wrong_bytes() {
    let (store, _) = serve(|_, _, _| status(200, "0123456789")).await;
    assert_eq!(read_all(&store, &key("x"), 0..10).await.unwrap(), "0123456789");
    assert_eq!(read_all(&store, &key("x"), 0..99).await.unwrap(), "0123456789");
    for range in [2..10, 0..5, 20..30] {
        let error = read_all(&store, &key("x"), range.clone()).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Other, "{range:?}");
    }
}

#[tokio::test]
async fn another_range_than_asked_for_is_refused() {
    for wrong in ["bytes 0-4/10", "bytes 2-3/10", "bytes 2-9/10", "bytes x", "bytes 2-6/5"] {
        let (store, _) = serve(move |_, _, _| partial(wrong, "23456")).await;
        let error = read_all(&store, &key("x"), 2..7).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Other, "{wrong}");
    }
    let (store, _) = serve(|_, _, _| partial("bytes 2-6/10", "23456")).await;
    assert_eq!(read_all(&store, &key("x"), 2..7).await.unwrap(), "23456");
    let (store, _) = serve(|_, _, _| partial("bytes 2-4/5", "234")).await;
    assert_eq!(read_all(&store, &key("x"), 2..7).await.unwrap(), "234");
}

#[tokio::test]
async fn a_body_that_breaks_or_stalls_is_taken_up_again() {
    for hang in [false, true] {
        let (store, log) = serve(move |_, range, _| match range {
            "bytes=0-9" => partial("bytes 0-9/10", breaking(b"0123", hang)),
            "bytes=4-9" => partial("bytes 4-9/10", breaking(b"45", hang)),
            "bytes=6-9" => partial("bytes 6-9/10", "6789"),
            _ => status(500, ""),
        })
        .await;
        assert_eq!(read_all(&store, &key("x"), 0..10).await.unwrap(), "0123456789");
        assert_eq!(log.lock().unwrap().len(), 3);
    }
}

#[tokio::test]
async fn a_body_that_breaks_for_ever_ends_with_unavailable() {
    let (store, log) = serve(|_, _, _| partial("bytes 0-9/10", breaking(b"", false))).await;
    let error = read_all(&store, &key("x"), 0..10).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable, "{error}");
    assert!(log.lock().unwrap().len() <= 8);
}

#[tokio::test]
async fn an_object_that_changes_while_it_is_read_is_an_error() {
    let (store, _) = serve(|_, range, _| match range {
        "bytes=0-9" => partial("bytes 0-9/10", breaking(b"0123", false)),
        _ => partial("bytes 4-9/11", "456789"),
    })
    .await;
    let error = read_all(&store, &key("x"), 0..10).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Other);
    assert!(error.message.contains("changed"), "{error}");
}

#[tokio::test]
async fn many_deletes_fall_back_to_single_ones() {
    let (store, log) = serve(|line, _, _| match line.starts_with("POST") {
        true => xml_error(501, "NotImplemented", "no"),
        false => status(204, ""),
    })
    .await;
    store.delete(&[key("a"), key("b"), key("a")]).await.unwrap();
    store.delete(&[key("c"), key("d")]).await.unwrap();
    let log = log.lock().unwrap();
    assert_eq!(log.iter().filter(|line| line.starts_with("POST")).count(), 1, "{log:?}");
    let singles = log.iter().filter(|line| line.starts_with("DELETE /bucket/p/")).count();
    assert_eq!(singles, 4, "{log:?}");
}

#[tokio::test]
async fn keys_that_a_mass_deletion_leaves_are_tried_singly() {
    let (store, log) = serve(|line, _, _| match line.starts_with("POST") {
        true => status(
            200,
            "<DeleteResult><Error><Key>p/b</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>",
        ),
        false => xml_error(403, "AccessDenied", "no"),
    })
    .await;
    let error = store.delete(&[key("a"), key("b")]).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Refused, "{error}");
    assert!(log.lock().unwrap().iter().any(|line| line.starts_with("DELETE /bucket/p/b")));
}

#[tokio::test]
async fn conditions_are_used_only_where_they_hold() {
    // Honoured: one question, then conditional PUTs.
    let (honest, log) = serve(|_, _, number| match number {
        0 => status(200, ""),
        1 | 3 => xml_error(412, "PreconditionFailed", "there"),
        _ => status(200, ""),
    })
    .await;
    assert_eq!(honest.put(&key("x"), Bytes::from_static(b"1"), "video/mp4").await.unwrap(), Put::Written);
    assert_eq!(honest.put(&key("x"), Bytes::from_static(b"1"), "video/mp4").await.unwrap(), Put::AlreadyThere);
    assert!(log.lock().unwrap().iter().all(|line| line.contains("if-none-match")), "{log:?}");
    // Ignored or unknown: a look before, no condition.
    for code in [200, 501] {
        let (plain, log) = serve(move |line, _, _| match line {
            line if line.starts_with("HEAD") && line.ends_with("/there") => {
                Response::builder().header(header::CONTENT_LENGTH, 1).body(HttpBody::empty()).unwrap()
            }
            line if line.starts_with("HEAD") => status(404, ""),
            line if line.starts_with("GET") => status(200, "<ListBucketResult></ListBucketResult>"),
            line if line.contains("if-none-match") => status(code, ""),
            _ => status(200, ""),
        })
        .await;
        assert_eq!(plain.put(&key("there"), Bytes::from_static(b"1"), "video/mp4").await.unwrap(), Put::AlreadyThere);
        assert_eq!(plain.put(&key("new"), Bytes::from_static(b"1"), "video/mp4").await.unwrap(), Put::Written);
        let log = log.lock().unwrap();
        let last = log.last().unwrap();
        assert!(last.starts_with("PUT /bucket/p/new") && !last.contains("if-none-match"), "{log:?}");
    }
}

#[tokio::test]
async fn answers_have_the_right_kind_and_never_show_the_secret() {
    let cases = [
        (403, "SignatureDoesNotMatch", StoreErrorKind::Refused),
        (403, "Strange", StoreErrorKind::Refused),
        (404, "NoSuchKey", StoreErrorKind::NotFound),
        (404, "NoSuchBucket", StoreErrorKind::Refused),
        (416, "InvalidRange", StoreErrorKind::RangeNotSatisfiable),
        (429, "Strange", StoreErrorKind::Unavailable),
        (503, "SlowDown", StoreErrorKind::Unavailable),
        (500, "InternalError", StoreErrorKind::Unavailable),
        (400, "InvalidArgument", StoreErrorKind::Other),
    ];
    for (code, name, kind) in cases {
        let (store, _) = serve(move |_, _, _| xml_error(code, name, SECRET)).await;
        let error = store.get(&key("x"), 0..1).await.err().unwrap();
        assert_eq!(error.kind, kind, "{error}");
        assert!(!format!("{error} {error:?}").contains(SECRET), "{error:?}");
        assert!(!format!("{store:?}").contains(SECRET));
    }
    let (store, _) = serve(|_, _, _| status(502, "<html>no XML here")).await;
    assert_eq!(store.list("", None, 1).await.unwrap_err().kind, StoreErrorKind::Unavailable);
}

#[tokio::test]
async fn a_missing_bucket_is_not_a_missing_object() {
    let (store, _) = serve(|line, _, _| match line.starts_with("HEAD") {
        true => status(404, ""),
        false => xml_error(404, "NoSuchBucket", "none"),
    })
    .await;
    assert_eq!(store.head(&key("x")).await.unwrap_err().kind, StoreErrorKind::Refused);
    let put = store.put(&key("x"), Bytes::new(), "video/mp4").await.unwrap_err();
    assert_eq!(put.kind, StoreErrorKind::Refused);
}

#[tokio::test]
async fn a_listing_that_runs_in_circles_ends() {
    let (store, _) = serve(|_, _, _| {
        status(
            200,
            "<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>p/a</Key><Size>1</Size></Contents>\
             </ListBucketResult>",
        )
    })
    .await;
    assert_eq!(store.list("", None, 1).await.unwrap().len(), 1);
    assert_eq!(store.list("", None, 2).await.unwrap_err().kind, StoreErrorKind::Other);
}

/// A server that takes connections and says nothing.
#[tokio::test]
async fn a_silent_store_is_unavailable_in_bounded_time() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let store = store(listener.local_addr().unwrap());
    let started = std::time::Instant::now();
    assert_eq!(store.ping().await.unwrap_err().kind, StoreErrorKind::Unavailable);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert_eq!(store.head(&key("x")).await.unwrap_err().kind, StoreErrorKind::Unavailable);
    assert_eq!(store.put(&key("x"), Bytes::new(), "a/b").await.unwrap_err().kind, StoreErrorKind::Unavailable);
    assert!(started.elapsed() < Duration::from_secs(12), "{:?}", started.elapsed());
}
