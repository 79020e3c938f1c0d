//! What each address does, and what it refuses.

use crate::bed::{Api, options, read};
use crate::web_bed::{SECOND_RUN, SECONDS, SEGMENTS};
use evertape::index::control::{Control, ReportedState, StreamReport};
use evertape::media::StreamName;
use futures::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

fn input(name: &str) -> Value {
    json!({ "name": name, "source": "demo:", "retention_seconds": 86_400, "paused": false })
}

pub async fn streams_are_made_changed_and_deleted(api: Api) {
    let made = api
        .ask(Method::POST, "/streams")
        .header("content-type", "application/json")
        .body(input("sport/one").to_string())
        .send()
        .await
        .unwrap();
    let etag = made.headers()["etag"].to_str().unwrap().to_owned();
    let (status, stream) = read(made).await;
    assert_eq!(status, 201);
    assert_eq!((&stream["name"], &stream["origin"]), (&json!("sport/one"), &json!("api")));
    assert_eq!((&stream["source"], &stream["retention_seconds"]), (&json!("demo:"), &json!(86_400)));
    assert_eq!((&stream["state"], &stream["paused"]), (&json!("unknown"), &json!(false)));
    for key in ["tracks", "uncarried", "bitrate_bps", "first_ms", "live_edge_ms", "stored_bytes", "node", "since_ms"] {
        assert!(stream.get(key).is_some(), "{key}");
    }
    assert_eq!(api.get("/streams/sport%2Fone").await, (200, stream));
    assert_eq!(api.etag("/streams/sport%2Fone").await, etag);

    let paused = json!({ "name": "sport/one", "source": "udp://:5000", "retention_seconds": null, "paused": true });
    let (status, stream) = api.send(Method::PUT, "/streams/sport%2Fone", &paused, Some(&etag)).await;
    assert_eq!((status, &stream["state"], &stream["paused"]), (200, &json!("paused"), &json!(true)));
    assert_eq!((&stream["source"], &stream["retention_seconds"]), (&json!("udp://:5000"), &Value::Null));
    let newer = api.etag("/streams/sport%2Fone").await;
    assert_ne!(newer, etag);

    let (status, _) = api.send(Method::DELETE, "/streams/sport%2Fone", &Value::Null, Some(&newer)).await;
    assert_eq!(status, 204);
    assert_eq!(api.get("/streams/sport%2Fone").await.0, 404);
    let (_, page) = api.get("/streams").await;
    assert_eq!(page["streams"].as_array().unwrap().len(), 1, "the one of the file");
    assert_eq!(api.bed.index.removed().await.unwrap().len(), 1, "what was recorded is to go");
}

pub async fn what_is_wrong_is_said(api: Api) {
    let with = |key: &str, value: Value| {
        let mut body = input("a");
        body[key] = value;
        body
    };
    let cases = [
        (with("name", json!("a b")), 422, "letters, digits"),
        (with("name", json!("../x")), 422, "dot"),
        (with("name", json!("api/x")), 422, "server"),
        (with("name", json!("ui")), 422, "server"),
        (with("name", json!("<script>")), 422, "letters"),
        (with("name", json!("x".repeat(129))), 422, "128"),
        (with("name", json!(7)), 422, "name"),
        (with("source", json!("gopher://x")), 422, "not supported"),
        (with("source", json!("")), 422, "source"),
        (with("source", json!("http://u:***@h/x")), 422, "***"),
        (with("retention_seconds", json!(0)), 422, "kept"),
        (with("retention_seconds", json!(-5)), 422, "kept"),
        (with("retention_seconds", json!(i64::MAX)), 422, "kept"),
        (with("retention_seconds", json!("long")), 422, "retention_seconds"),
        (json!({ "name": "a" }), 422, "source"),
        (json!([]), 422, ""),
    ];
    for (body, status, word) in cases {
        let (got, problem) = api.send(Method::POST, "/streams", &body, None).await;
        assert_eq!(got, status, "{body} {problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.to_lowercase().contains(&word.to_lowercase()), "{body}: {detail}");
    }
    let post = |kind: &'static str, body: String| {
        let request = api.ask(Method::POST, "/streams").header("content-type", kind).body(body);
        async move { read(request.send().await.unwrap()).await.0 }
    };
    assert_eq!(post("application/json", "{".into()).await, 400);
    assert_eq!(post("text/plain", input("a").to_string()).await, 415);
    assert_eq!(post("application/x-www-form-urlencoded", "name=a".into()).await, 415);
    assert_eq!(post("application/json", format!("\"{}\"", "x".repeat(70_000))).await, 413);
    assert_eq!(api.send(Method::POST, "/streams", &input("a"), None).await.0, 201);
    assert_eq!(api.send(Method::POST, "/streams", &input("a"), None).await.0, 409);

    let (status, _) = api.send(Method::PUT, "/streams/a", &input("b"), Some("*")).await;
    assert_eq!(status, 422, "a stream keeps its name");
    for (method, path, allow) in [
        (Method::PATCH, "/streams", "GET,HEAD,POST"),
        (Method::POST, "/streams/a", "GET,HEAD,PUT,DELETE"),
        (Method::GET, "/streams/a/locks/b", "DELETE"),
        (Method::GET, "/sources/test", "POST"),
        (Method::DELETE, "/status", "GET,HEAD"),
        (Method::OPTIONS, "/streams", "GET,HEAD,POST"),
    ] {
        let answer = api.ask(method.clone(), path).send().await.unwrap();
        let said = answer.headers()["allow"].to_str().unwrap().replace(' ', "");
        let (mut said, mut wanted): (Vec<_>, Vec<_>) = (said.split(',').collect(), allow.split(',').collect());
        said.sort_unstable();
        wanted.sort_unstable();
        assert_eq!((answer.status().as_u16(), said), (405, wanted), "{method} {path}");
        read(answer).await;
    }
    for path in ["/streams/none", "/streams/%ff", "/streams/a%20b", "/none", "/streams/a/b"] {
        assert_eq!(api.get(path).await.0, 404, "{path}");
    }
    for query in ["from_ms=1", "from_ms=x&to_ms=2", "", "from_ms=1&to_ms=99999999999999999999"] {
        assert_eq!(api.get(&format!("/streams/demo/ranges?{query}")).await.0, 400, "{query}");
    }
}

pub async fn an_archive_that_nobody_records_is_deleted(api: Api) {
    api.bed.add_stream("old/show").await;
    let (status, stream) = api.get("/streams/old%2Fshow").await;
    assert_eq!((status, &stream["origin"], &stream["state"]), (200, &json!("archive"), &json!("stopped")));
    assert!(stream["stored_bytes"].as_u64().unwrap() > 0, "{stream}");
    let delete = async |tag| api.send(Method::DELETE, "/streams/old%2Fshow", &Value::Null, tag).await.0;
    assert_eq!(delete(Some("\"7\"")).await, 412, "there is no version of it");
    assert_eq!(delete(None).await, 204);
    assert_eq!(delete(None).await, 404);
    assert_eq!(api.get("/streams/old%2Fshow").await.0, 404);
    let removed = api.bed.index.removed().await.unwrap();
    assert_eq!(removed.iter().map(|r| r.stream.as_str()).collect::<Vec<_>>(), ["old/show"], "it is to go");
    // The one of the file is still the file's.
    assert_eq!(api.send(Method::DELETE, "/streams/demo", &Value::Null, Some("*")).await.0, 409);
}

pub async fn nothing_is_lost_that_somebody_else_changed(api: Api) {
    api.send(Method::POST, "/streams", &input("a"), None).await;
    let first = api.etag("/streams/a").await;
    // Ten operators who all read the same: one of them wins.
    let changes = (0..10).map(|n| {
        let (api, first) = (&api, &first);
        let body = json!({ "name": "a", "source": format!("udp://:{}", 5000 + n), "retention_seconds": 60 + n });
        async move { (body.clone(), api.send(Method::PUT, "/streams/a", &body, Some(first)).await.0) }
    });
    let done = futures::future::join_all(changes).await;
    let (won, lost): (Vec<_>, Vec<_>) = done.into_iter().partition(|(_, status)| *status == 200);
    assert_eq!(won.len(), 1);
    assert!(lost.iter().all(|(_, status)| *status == 412), "{lost:?}");
    assert_eq!(api.get("/streams/a").await.1["source"], won[0].0["source"]);

    for method in [Method::PUT, Method::DELETE] {
        let body = input("a");
        for (etag, status) in [(None, 428), (Some(first.as_str()), 412), (Some("x"), 412), (Some("W/\"1\""), 412)] {
            assert_eq!(api.send(method.clone(), "/streams/a", &body, etag).await.0, status, "{method} {etag:?}");
        }
        let (status, _) = api.send(method.clone(), "/streams/none", &input("none"), Some("*")).await;
        assert_eq!(status, 404);
    }
    assert_eq!(api.send(Method::DELETE, "/streams/a", &Value::Null, Some("*")).await.0, 204);
    // Made anew, it is another one.
    api.send(Method::POST, "/streams", &input("a"), None).await;
    assert_eq!(api.send(Method::DELETE, "/streams/a", &Value::Null, Some(&first)).await.0, 412);
}

pub async fn pages_hold_every_stream_once(api: Api) {
    let mut wanted = vec!["demo".to_owned()];
    for n in 0..23 {
        let name = format!("s/{n:02}");
        assert_eq!(api.send(Method::POST, "/streams", &input(&name), None).await.0, 201);
        wanted.push(name);
    }
    for limit in [1, 5, 23, 24, 25] {
        let (mut names, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let (status, page) = api.get(&format!("/streams?limit={limit}&cursor={cursor}")).await;
            assert_eq!(status, 200);
            let streams = page["streams"].as_array().unwrap();
            assert!(streams.len() <= limit && !streams.is_empty());
            names.extend(streams.iter().map(|s| s["name"].as_str().unwrap().to_owned()));
            pages += 1;
            match page["next_cursor"].as_str() {
                Some(next) => cursor = next.replace('/', "%2F"),
                None => break,
            }
        }
        assert_eq!((names, pages), (wanted.clone(), 24_usize.div_ceil(limit)), "{limit}");
    }
}

pub async fn secrets_are_kept_and_not_shown(api: Api) {
    let secret = "http://joe:hunter2@h.example/live?token=s3cret&x=1";
    let mut body = input("a");
    body["source"] = json!(secret);
    let (status, made) = api.send(Method::POST, "/streams", &body, None).await;
    assert_eq!(status, 201);
    let name = StreamName::parse("a").unwrap();
    let kept = async || api.bed.index.setting(&name).await.unwrap().unwrap().setting.source;
    assert_eq!(kept().await, secret);
    for text in [made.to_string(), api.get("/streams").await.1.to_string(), api.get("/streams/a").await.1.to_string()] {
        assert!(!text.contains("hunter2") && !text.contains("s3cret") && text.contains("***"), "{text}");
    }
    // What was shown comes back with another field changed.
    body["source"] = made["source"].clone();
    body["retention_seconds"] = json!(120);
    assert_eq!(api.send(Method::PUT, "/streams/a", &body, Some("*")).await.0, 200);
    assert_eq!(kept().await, secret);
    // To another host the password does not go.
    body["source"] = json!(made["source"].as_str().unwrap().replace("h.example", "evil.example"));
    let (status, problem) = api.send(Method::PUT, "/streams/a", &body, Some("*")).await;
    assert_eq!(status, 422, "{problem}");
    assert_eq!(kept().await, secret);
}

pub async fn a_stream_of_the_file_is_not_changed_here(api: Api) {
    let (status, stream) = api.get("/streams/demo").await;
    assert_eq!((status, &stream["origin"], &stream["source"]), (200, &json!("file"), &json!("demo:")));
    assert_eq!((&stream["retention_seconds"], &stream["paused"]), (&json!(3600), &json!(false)));
    let tracks: Vec<_> = stream["tracks"].as_array().unwrap().iter().map(|t| t["id"].as_str().unwrap()).collect();
    assert_eq!(tracks, ["v1", "a1", "a2"]);
    assert_eq!(stream["first_ms"], api.bed.from * 1000);
    assert_eq!(stream["live_edge_ms"], (api.bed.from + SECOND_RUN + SEGMENTS as i64 * SECONDS) * 1000);
    assert!(stream["stored_bytes"].as_u64().unwrap() > 0);
    for (method, path) in
        [(Method::POST, "/streams"), (Method::PUT, "/streams/demo"), (Method::DELETE, "/streams/demo")]
    {
        let (status, problem) = api.send(method, path, &input("demo"), Some("*")).await;
        assert_eq!(status, 409);
        assert!(problem["detail"].as_str().unwrap().contains("configuration file"));
    }
}

pub async fn ranges_count_the_gaps_they_join(api: Api) {
    let (from, end) = (api.bed.from * 1000, (api.bed.from + SECOND_RUN + SEGMENTS as i64 * SECONDS) * 1000);
    let (first_end, second) = (from + SEGMENTS as i64 * SECONDS * 1000, from + SECOND_RUN * 1000);
    let of = async |query: String| {
        let (status, answer) = api.get(&format!("/streams/demo/ranges?{query}")).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["truncated"], false);
        let spans = answer["ranges"].as_array().unwrap().iter();
        spans.map(|s| [&s["from_ms"], &s["to_ms"], &s["gaps"]].map(|v| v.as_i64().unwrap_or(0))).collect::<Vec<_>>()
    };
    let gap_ms = second - first_end;
    let all = format!("from_ms={}&to_ms={}", from - 5000, end + 5000);
    assert_eq!(of(all.clone()).await, [[from, first_end, 0], [second, end, 0]]);
    assert_eq!(of(format!("{all}&resolution_ms={}", gap_ms - 1)).await, [[from, first_end, 0], [second, end, 0]]);
    assert_eq!(of(format!("{all}&resolution_ms={gap_ms}")).await, [[from, end, 1]]);
    assert_eq!(of(format!("from_ms=0&to_ms={from}")).await, Vec::<[i64; 3]>::new());
    let (status, _) = api.get(&format!("/streams/demo/ranges?from_ms={end}&to_ms={from}")).await;
    assert!(matches!(status, 400 | 422), "{status}");
}

pub async fn locks_are_made_listed_and_released(api: Api) {
    let from = api.bed.from * 1000;
    let wanted = json!({ "from_ms": from, "to_ms": from + 9000, "title": "The \"goal\" <b>é" });
    let (status, lock) = api.send(Method::POST, "/streams/demo/locks", &wanted, None).await;
    assert_eq!((status, &lock["title"], &lock["from_ms"]), (201, &wanted["title"], &wanted["from_ms"]));
    assert!(lock["created_ms"].as_i64().unwrap() > from);
    assert_eq!(api.get("/streams/demo/locks").await, (200, json!({ "locks": [lock] })));
    let id = lock["id"].as_str().unwrap();
    assert_eq!(api.send(Method::DELETE, &format!("/streams/demo/locks/{id}"), &Value::Null, None).await.0, 204);
    assert_eq!(api.send(Method::DELETE, &format!("/streams/demo/locks/{id}"), &Value::Null, None).await.0, 404);
    assert_eq!(api.send(Method::DELETE, "/streams/demo/locks/x", &Value::Null, None).await.0, 404);
    assert_eq!(api.get("/streams/demo/locks").await.1, json!({ "locks": [] }));
    for (body, expected) in [
        (json!({ "from_ms": from, "to_ms": from, "title": "" }), 422),
        (json!({ "from_ms": from, "to_ms": from + 1, "title": "x".repeat(501) }), 422),
        (json!({ "from_ms": from, "title": "" }), 422),
        (json!({ "from_ms": from, "to_ms": from + 1, "title": "a\u{0}b" }), 422),
    ] {
        assert_eq!(api.send(Method::POST, "/streams/demo/locks", &body, None).await.0, expected, "{body}");
    }
    assert_eq!(api.send(Method::POST, "/streams/none/locks", &wanted, None).await.0, 404);
    // One that ends by itself: in the future.
    let mut ending = wanted.clone();
    let later_ms = evertape::clock::now().millis() + 3_600_000;
    ending["expires_ms"] = json!(later_ms);
    let (status, lock) = api.send(Method::POST, "/streams/demo/locks", &ending, None).await;
    assert_eq!((status, &lock["expires_ms"]), (201, &json!(later_ms)));
    assert_eq!(api.get("/streams/demo/locks").await, (200, json!({ "locks": [lock] })));
    for bad in [json!(later_ms - 7_200_000), json!(0), json!(i64::MAX), json!("2030")] {
        ending["expires_ms"] = bad;
        let (status, _) = api.send(Method::POST, "/streams/demo/locks", &ending, None).await;
        assert!(status == 422 || status == 400, "{status} for {ending}");
    }
}

pub async fn an_export_is_told_to_the_byte(api: Api) {
    let from = api.bed.from * 1000;
    let mut seen = 0;
    for format in ["mp4", "ts"] {
        for (tracks, ids) in [("", &["v1", "a1", "a2"][..]), ("v1,a2", &["v1", "a2"]), ("a1", &["a1"])] {
            for (start_ms, duration_ms) in [(0, 30_000), (7_500, 4_000), (54_000, 90_000), (-5_000, 10_000)] {
                let start = from + start_ms;
                let query = format!("from_ms={start}&duration_ms={duration_ms}&tracks={tracks}&format={format}");
                let (status, info) = api.get(&format!("/streams/demo/export?{query}")).await;
                assert_eq!(status, 200, "{query} {info}");
                let url = format!("{}{}", api.origin, info["url"].as_str().unwrap());
                let head = api.bed.client.head(&url).send().await.unwrap();
                assert_eq!(head.status(), 200, "{url}");
                let header = |name: &str| head.headers().get(name).map_or("", |v| v.to_str().unwrap());
                assert_eq!(header("content-length"), info["bytes"].to_string(), "{url}");
                assert!(header("content-disposition").contains(info["file_name"].as_str().unwrap()));
                let body = api.bed.client.get(&url).send().await.unwrap().bytes().await.unwrap();
                assert_eq!(body.len() as u64, info["bytes"].as_u64().unwrap());
                let told: Vec<_> =
                    info["tracks"].as_array().unwrap().iter().map(|t| t["id"].as_str().unwrap()).collect();
                assert_eq!(told, ids);
                let gaps = info["gaps"].as_array().unwrap();
                assert_eq!(!gaps.is_empty(), start_ms == 54_000 || start_ms < 0, "{query}: {gaps:?}");
                let left_out: i64 =
                    gaps.iter().map(|g| g["to_ms"].as_i64().unwrap() - g["from_ms"].as_i64().unwrap()).sum();
                let played = info["duration_ms"].as_i64().unwrap();
                assert!((played + left_out - duration_ms).abs() <= 100, "{query}: {played} and {left_out}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 24);
    for (query, expected) in [
        (format!("from_ms={from}&duration_ms=0"), 422),
        (format!("from_ms={from}&duration_ms=10000&format=avi"), 422),
        (format!("from_ms={from}&duration_ms=10000&tracks=v9"), 404),
        (format!("from_ms={from}&duration_ms=10000&tracks=x"), 422),
        (format!("from_ms={}&duration_ms=10000", from - 100_000), 404),
        (format!("from_ms={from}&duration_ms=864000000"), 400),
        (format!("duration_ms={from}"), 400),
    ] {
        assert_eq!(api.get(&format!("/streams/demo/export?{query}")).await.0, expected, "{query}");
    }
}

pub async fn status_and_storage(api: Api) {
    let (code, status) = api.get("/status").await;
    assert_eq!((code, &status["index"]["ok"], &status["store"]["ok"]), (200, &json!(true), &json!(true)));
    assert_eq!((&status["roles"], &status["version"]), (&json!(["play"]), &json!(env!("CARGO_PKG_VERSION"))));
    let now = evertape::clock::now().millis();
    assert!((now - status["now_ms"].as_i64().unwrap()).abs() < 10_000);
    let (_, storage) = api.get("/storage").await;
    let demo = &storage["streams"][0];
    assert_eq!((&demo["name"], &demo["bytes"]), (&json!("demo"), &storage["bytes"]));
    let index: std::sync::Arc<dyn evertape::index::Index> = std::sync::Arc::new(api.bed.index.clone());
    let stored = index.stored_bytes(&StreamName::parse("demo").unwrap()).await.unwrap();
    assert_eq!(storage["bytes"], stored);
}

pub async fn who_may(api: Api) {
    let open = async |password: Option<&str>, loopback: bool| {
        let node = api.bed.node_with(|o| {
            let admin = options();
            o.admin =
                Some(evertape::web::admin::AdminOptions { password: password.map(str::to_owned), loopback, ..admin });
        });
        node.await.trim_end_matches("/demo").to_owned()
    };
    let client = &api.bed.client;
    // Anybody could come, and no password is set.
    let closed = open(None, false).await;
    for path in ["/api/v1/status", "/api/v1/openapi.json", "/ui/"] {
        let answer = client.get(format!("{closed}{path}")).send().await.unwrap();
        assert_eq!(answer.status(), 403, "{path}");
        assert!(answer.text().await.unwrap().contains("admin.password"));
    }
    let played = client.get(format!("{closed}/demo/index.m3u8")).send().await.unwrap();
    assert_eq!(played.status(), 200, "playback is not the operators'");
    // With a password.
    let asked = open(Some("hush"), false).await;
    for path in ["/api/v1/status", "/ui/"] {
        let url = format!("{asked}{path}");
        let nobody = client.get(&url).send().await.unwrap();
        assert_eq!(nobody.status(), 401);
        assert!(nobody.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic realm="));
        let wrong = client.get(&url).basic_auth("admin", Some("hus")).send().await.unwrap();
        assert_eq!(wrong.status(), 401);
        let wrong = client.get(&url).basic_auth("root", Some("hush")).send().await.unwrap();
        assert_eq!(wrong.status(), 401);
        let right = client.get(&url).basic_auth("admin", Some("hush")).send().await.unwrap();
        assert!(![401, 403].contains(&right.status().as_u16()), "{path} {}", right.status());
    }
    // Without one, on this machine: other names of it are not answered, other origins' pages change nothing.
    let status = async |method: Method, path: &str, pairs: &[(&str, &str)]| {
        let request = api.ask(method, path).header("content-type", "application/json").body(input("x").to_string());
        let answer = pairs.iter().fold(request, |r, (n, v)| r.header(*n, *v)).send().await.unwrap();
        read(answer).await.0
    };
    let origin = api.origin.as_str();
    assert_eq!(status(Method::GET, "/status", &[("host", "evil.example")]).await, 403);
    assert_eq!(status(Method::GET, "/status", &[("host", "localhost:1")]).await, 200);
    for refused in [
        &[("origin", "http://evil.example")][..],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", origin)],
    ] {
        assert_eq!(status(Method::POST, "/streams", refused).await, 403, "{refused:?}");
        assert_eq!(status(Method::DELETE, "/streams/x", refused).await, 403, "{refused:?}");
    }
    assert_eq!(status(Method::POST, "/streams", &[("origin", origin), ("sec-fetch-site", "same-origin")]).await, 201);
    // Switched off.
    let off = api.bed.node_with(|o| o.admin = None).await;
    let answer = client.get(format!("{}/api/v1/status", off.trim_end_matches("/demo"))).send().await.unwrap();
    assert_eq!(answer.status(), 404);
}

/// The next event of a kind that `wanted` takes, read from a stream of events.
struct Listening {
    body: std::pin::Pin<Box<dyn futures::Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    text: String,
}

impl Listening {
    async fn begin(api: &Api) -> Self {
        let answer = api.ask(Method::GET, "/events").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
        assert_eq!(answer.headers()["cache-control"], "no-store");
        Self { body: Box::pin(answer.bytes_stream()), text: String::new() }
    }

    async fn next(&mut self, wanted: impl Fn(&str, &Value) -> bool) -> Value {
        let reading = async {
            loop {
                while let Some((event, rest)) = self.text.split_once("\n\n").map(|(a, b)| (a.to_owned(), b.to_owned()))
                {
                    self.text = rest;
                    let line = |name: &str| event.lines().find_map(|l| l.strip_prefix(name)).unwrap_or("").trim();
                    let data: Value = serde_json::from_str(line("data:")).unwrap_or_default();
                    let shape = match line("event:") {
                        "status" => crate::schema::fits_named("Status", &data),
                        "streams" => data["streams"]
                            .as_array()
                            .expect("a list")
                            .iter()
                            .try_for_each(|s| crate::schema::fits_named("Stream", s)),
                        _ => Ok(()),
                    };
                    assert_eq!(shape, Ok(()), "{data:#}");
                    if wanted(line("event:"), &data) {
                        return data;
                    }
                }
                let piece = self.body.next().await.expect("the events go on").unwrap();
                self.text.push_str(std::str::from_utf8(&piece).unwrap());
            }
        };
        tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the event comes")
    }
}

pub async fn changes_come_as_events(api: Api) {
    let (mut one, mut other) = (Listening::begin(&api).await, Listening::begin(&api).await);
    let names = |data: &Value| -> Vec<String> {
        let streams = data["streams"].as_array().cloned().unwrap_or_default();
        streams.iter().map(|s| s["name"].as_str().unwrap_or("").to_owned()).collect()
    };
    let status = one.next(|event, _| event == "status").await;
    assert_eq!(status["index"]["ok"], true);
    one.next(|event, data| event == "streams" && names(data).contains(&"demo".to_owned())).await;
    api.send(Method::POST, "/streams", &input("a"), None).await;
    for listener in [&mut one, &mut other] {
        let told = listener.next(|event, data| event == "streams" && names(data).contains(&"a".to_owned())).await;
        assert_eq!(names(&told), ["a"], "only what has changed");
    }
    let paused = json!({ "name": "a", "source": "demo:", "retention_seconds": null, "paused": true });
    api.send(Method::PUT, "/streams/a", &paused, Some("*")).await;
    other.next(|event, data| event == "streams" && data["streams"][0]["state"] == "paused").await;
    api.send(Method::DELETE, "/streams/a", &Value::Null, Some("*")).await;
    for listener in [&mut one, &mut other] {
        let removed = listener.next(|event, _| event == "removed").await;
        assert_eq!(removed, json!({ "name": "a" }));
    }
}

pub async fn the_document_names_every_address(api: Api) {
    let (status, document) = api.get("/openapi.json").await;
    assert_eq!(status, 200);
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let mut found: Vec<String> = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        found
            .extend(methods.as_object().unwrap().keys().map(|m| format!("{m} {}", path.trim_start_matches("/api/v1"))));
    }
    found.sort();
    let mut wanted = [
        "get /events",
        "get /status",
        "get /storage",
        "get /streams",
        "get /streams/{name}",
        "get /streams/{name}/export",
        "get /streams/{name}/locks",
        "get /streams/{name}/ranges",
        "delete /streams/{name}",
        "delete /streams/{name}/locks/{id}",
        "post /sources/test",
        "post /streams",
        "post /streams/{name}/locks",
        "put /streams/{name}",
    ];
    wanted.sort_unstable();
    assert_eq!(found, wanted);
    // What the document says of a stream is what a stream has.
    let (_, stream) = api.get("/streams/demo").await;
    let described = document["components"]["schemas"]["Stream"]["properties"].as_object().unwrap();
    let keys: Vec<_> = stream.as_object().unwrap().keys().collect();
    assert!(keys.iter().all(|k| described.contains_key(*k)) && keys.len() == described.len(), "{keys:?}");
}

pub async fn recorders_say_how_a_stream_is(api: Api) {
    api.send(Method::POST, "/streams", &input("a"), None).await;
    let now = evertape::clock::now();
    let report = |state, active, reason: Option<&str>| StreamReport {
        stream: StreamName::parse("a").unwrap(),
        node: "recorder-1".into(),
        from_file: false,
        source: "demo:".into(),
        active,
        state,
        reason: reason.map(str::to_owned),
        since_utc_us: now.0,
        waiting: 0,
        retention_us: None,
        retention_bytes: None,
    };
    let says = async |recorder: &str, report: StreamReport, seen| {
        let index: std::sync::Arc<dyn evertape::index::Index> = std::sync::Arc::new(api.bed.index.clone());
        Control::report(&*index, recorder, &[report], seen).await.unwrap();
    };
    let state = async || {
        let (_, stream) = api.get("/streams/a").await;
        let text = |key: &str| stream[key].as_str().unwrap_or("").to_owned();
        (text("state"), text("reason"), text("node"))
    };
    says("one", report(ReportedState::Recording, true, None), now.plus_us(-120_000_000)).await;
    assert_eq!(state().await.0, "unknown", "a recorder that has been silent for two minutes");
    says("one", report(ReportedState::Reconnecting, true, Some("refused")), now).await;
    assert_eq!(state().await, ("reconnecting".into(), "refused".into(), "recorder-1".into()));
    says("two", report(ReportedState::Stopped, false, Some("another has it")), now).await;
    assert_eq!(state().await.0, "reconnecting", "the one that has the stream knows");
    says("one", report(ReportedState::Recording, true, None), now).await;
    assert_eq!(state().await, ("recording".into(), String::new(), "recorder-1".into()));
}
