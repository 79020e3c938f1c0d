//! The admin API of a real `evertape run`: streams set in the index and recorded within seconds, locks, exports, events,
//! who may use it, and what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod node;
#[path = "../support/postgres.rs"]
mod postgres;

use node::{Node, read, until};
use reqwest::Method;
use serde_json::{Value, json};

const LOOPBACK: &str = "127.0.0.1";
const DEMO: &str = "[[stream]]\nname = \"demo\"\nsource = \"demo:\"\nretention = \"7d\"\n";

fn input(name: &str, source: &str) -> Value {
    json!({ "name": name, "source": source, "retention_seconds": 86_400, "paused": false })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_lives_on_sqlite() {
    a_stream_lives(&Node::start(None, LOOPBACK, DEMO).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_lives_on_postgres() {
    let database = postgres::postgres().await;
    let node = Node::start(Some(&database.url), LOOPBACK, DEMO).await;
    a_stream_lives(&node).await;
    drop(node);
}

/// Added, recorded, changed, paused, deleted; the stream beside it is never disturbed.
async fn a_stream_lives(node: &Node) {
    let (status, made) = node.api(Method::POST, "/streams", Some(input("sport/one", "demo:"))).await;
    assert_eq!((status, &made["origin"], &made["retention_seconds"]), (201, &json!("api"), &json!(86_400)));
    until("it is recorded", async || {
        let stream = node.stream("sport/one").await;
        stream["state"] == "recording"
            && stream["live_edge_ms"].is_i64()
            && !stream["tracks"].as_array().unwrap().is_empty()
    })
    .await;
    let recorded = node.stream("sport/one").await;
    assert!(recorded["stored_bytes"].as_u64().unwrap() > 0 && recorded["bitrate_bps"].as_u64().unwrap() > 10_000);
    assert_eq!(recorded["tracks"][0]["codec_name"], "H.264");

    // What plain .m3u8 is follows the setting.
    let playlist = async || node.get("/sport/one/video.m3u8").await.unwrap().text().await.unwrap();
    assert!(playlist().await.contains(".ts"), "{}", playlist().await);
    let fmp4 = json!({ "name": "sport/one", "source": "demo:", "retention_seconds": null, "hls": "fmp4" });
    let (status, changed) = node.api(Method::PUT, "/streams/sport%2Fone", Some(fmp4)).await;
    assert_eq!((status, &changed["retention_seconds"], &changed["hls"]), (200, &Value::Null, &json!("fmp4")));
    until("plain playlists are fragmented MP4", async || playlist().await.contains("#EXT-X-MAP")).await;

    // Another source: a run of its own; what was recorded stays.
    let first = node.stream("sport/one").await["first_ms"].clone();
    let clip = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo.ts");
    let source = format!("file:{clip}?loop=1&realtime=1");
    let edge = node.stream("sport/one").await["live_edge_ms"].as_i64().unwrap();
    assert_eq!(node.api(Method::PUT, "/streams/sport%2Fone", Some(input("sport/one", &source))).await.0, 200);
    let newer = async || node.stream("sport/one").await["live_edge_ms"].as_i64().unwrap() > edge + 6000;
    until("the new source is recorded", newer).await;
    let now = node.stream("sport/one").await;
    assert_eq!((&now["first_ms"], &now["source"]), (&first, &json!(source)));
    let playlist = node.get("/sport/one/video-rewind-600.m3u8").await.unwrap().text().await.unwrap();
    assert!(playlist.contains("#EXT-X-DISCONTINUITY\n"), "one break, where the source changed: {playlist}");

    // Paused, nothing more comes; the file's stream was never interrupted.
    let paused = json!({ "name": "sport/one", "source": source, "paused": true });
    let (status, paused) = node.api(Method::PUT, "/streams/sport%2Fone", Some(paused)).await;
    assert_eq!((status, &paused["state"]), (200, &json!("paused")));
    until("it stands still", async || {
        let before = node.stream("sport/one").await["live_edge_ms"].clone();
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        node.stream("sport/one").await["live_edge_ms"] == before
    })
    .await;
    let status = node.get("/demo/recording_status.json").await.unwrap().json::<Value>().await.unwrap();
    assert_eq!(status[0]["ranges"].as_array().unwrap().len(), 1, "the other stream has a gap: {status}");
    let metrics = node.get("/metrics").await.unwrap().text().await.unwrap();
    assert!(
        metrics.contains("evertape_source_reconnects_total{stream=\"demo\"} 0"),
        "the other stream was connected anew"
    );

    // Deleted, it leaves the list, and its archive goes, but for what is locked.
    let (from, to) = (first.as_i64().unwrap() + 500, first.as_i64().unwrap() + 900);
    let lock = json!({ "from_ms": from, "to_ms": to, "title": "final <b>&</b> ñ" });
    let (status, lock) = node.api(Method::POST, "/streams/sport%2Fone/locks", Some(lock)).await;
    assert_eq!(status, 201);
    assert_eq!(node.api(Method::DELETE, "/streams/sport%2Fone", None).await.0, 204);
    assert_eq!(node.api(Method::GET, "/streams/sport%2Fone", None).await.0, 404);
    let ranges = async || {
        let path = format!("/streams/sport%2Fone/ranges?from_ms=0&to_ms={}", to + 3_600_000);
        node.api(Method::GET, &path, None).await.1["ranges"].as_array().unwrap().clone()
    };
    until("only what is locked is left", async || {
        let left = ranges().await;
        left.len() == 1 && left[0]["to_ms"].as_i64().unwrap() - left[0]["from_ms"].as_i64().unwrap() < 2100
    })
    .await;
    let left = ranges().await;
    assert!(left[0]["from_ms"].as_i64().unwrap() <= from && left[0]["to_ms"].as_i64().unwrap() >= to);
    let id = lock["id"].as_str().unwrap();
    assert_eq!(node.api(Method::DELETE, &format!("/streams/sport%2Fone/locks/{id}"), None).await.0, 204);
    until("and that, too", async || ranges().await.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_in_words() {
    let node = Node::start(None, LOOPBACK, DEMO).await;
    let post = async |body: Value| node.api(Method::POST, "/streams", Some(body)).await;
    for (body, status, word) in [
        (input("demo", "demo:"), 409, "configuration file"),
        (input("ui/x", "demo:"), 422, "address of the server"),
        (input("b\"ad <script> ñ", "demo:"), 422, "name"),
        (input("x", "gopher://h"), 422, "not supported"),
        (input("x", "http://"), 422, "host"),
        (json!({ "name": "x", "source": "demo:", "retention_seconds": 1 }), 422, "minute"),
        (json!({ "name": "x", "source": "demo:", "colour": 1 }), 422, "colour"),
        (json!({ "name": "x" }), 422, "source"),
        (json!([]), 422, "."),
    ] {
        let (found, problem) = post(body.clone()).await;
        assert_eq!(found, status, "{body}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{body}: {problem}");
    }
    for name in ["x", "y", "z/1"] {
        assert_eq!(post(input(name, "udp://127.0.0.1:9")).await.0, 201);
    }
    assert_eq!(post(input("x", "demo:")).await.0, 409);
    assert_eq!(node.api(Method::PUT, "/streams/demo", Some(input("demo", "demo:"))).await.0, 409);
    assert_eq!(node.api(Method::DELETE, "/streams/demo", None).await.0, 409);
    assert_eq!(node.api(Method::PUT, "/streams/x", Some(input("other", "demo:"))).await.0, 422);
    for (method, path, status) in [
        (Method::GET, "/streams/nowhere", 404),
        (Method::GET, "/streams/%2e%2e%2fetc", 404),
        (Method::DELETE, "/streams/nowhere", 404),
        (Method::GET, "/nothing", 404),
        (Method::PATCH, "/streams", 405),
        (Method::GET, "/streams?limit=x", 400),
        (Method::GET, "/streams/demo/ranges", 400),
        (Method::GET, "/streams/demo/ranges?from_ms=9&to_ms=3", 422),
        (Method::GET, "/streams/demo/ranges?from_ms=-9223372036854775808&to_ms=9223372036854775807", 400),
        (Method::GET, "/streams/demo/export?from_ms=0&duration_ms=1500", 422),
        (Method::GET, "/streams/demo/export?from_ms=0&duration_ms=1000&format=avi", 422),
        (Method::GET, "/streams/demo/export?from_ms=9223372036854775807&duration_ms=9223372036854775000", 400),
        (Method::GET, "/streams/demo/export?from_ms=1000&duration_ms=1000", 404),
        (Method::DELETE, "/streams/demo/locks/zz", 404),
    ] {
        let (found, problem) = node.api(method.clone(), path, None).await;
        assert_eq!(found, status, "{method} {path}: {problem}");
    }
    let text = node.ask(Method::POST, "/api/v1/streams").body("{}").send().await.unwrap();
    assert_eq!(read(text).await.0, 415);
    let large = node.ask(Method::POST, "/api/v1/streams").header("content-type", "application/json");
    assert_eq!(read(large.body(vec![b' '; 100_000]).send().await.unwrap()).await.0, 413);

    // Pages.
    let mut names = Vec::new();
    let mut cursor = String::new();
    loop {
        let (_, page) = node.api(Method::GET, &format!("/streams?limit=3&cursor={cursor}"), None).await;
        names.extend(page["streams"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(names, ["demo", "x", "y", "z/1"]);

    // No update is lost.
    let put = async |tag: Option<&str>, source: &str| {
        let asked = node.ask(Method::PUT, "/api/v1/streams/x").json(&input("x", source));
        let asked = match tag {
            Some(tag) => asked.header("if-match", tag),
            None => asked,
        };
        asked.send().await.unwrap()
    };
    let etag = node.get("/api/v1/streams/x").await.unwrap().headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(read(put(None, "udp://127.0.0.1:1").await).await.0, 428);
    let first = put(Some(&etag), "udp://127.0.0.1:1").await;
    let newer = first.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(first.status(), 200);
    assert_eq!(read(put(Some(&etag), "udp://127.0.0.1:2").await).await.0, 412);
    assert_eq!(put(Some(&newer), "udp://127.0.0.1:3").await.status(), 200);
    assert_eq!(node.stream("x").await["source"], "udp://127.0.0.1:3");

    // A password is never shown, and stays where it comes back as ***.
    let secret = "http://u:geheim@127.0.0.1:9/a.ts?token=abc&b=1";
    assert_eq!(post(input("s", secret)).await.0, 201);
    let shown = node.stream("s").await["source"].as_str().unwrap().to_owned();
    assert_eq!(shown, "http://u:***@127.0.0.1:9/a.ts?token=***&b=1");
    assert_eq!(node.api(Method::PUT, "/streams/s", Some(input("s", &shown))).await.0, 200);
    until("the recorder is told", async || node.stream("s").await["state"] == "reconnecting").await;
    let everything = format!(
        "{}{}",
        node.api(Method::GET, "/streams", None).await.1,
        std::fs::read_to_string(node.dir.path().join("log")).unwrap()
    );
    assert!(!everything.contains("geheim") && !everything.contains("token=abc"), "{everything}");
    let kept = evertape::index::open(&format!("sqlite:{}/index.db", node.dir.path().display())).await.unwrap();
    let name = evertape::media::StreamName::parse("s").unwrap();
    assert_eq!(kept.setting(&name).await.unwrap().unwrap().setting.source, secret);
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_are_told_exactly_and_sources_looked_at() {
    let node = Node::start(None, LOOPBACK, DEMO).await;
    let recorded = async || {
        let stream = node.stream("demo").await;
        stream["live_edge_ms"].as_i64().unwrap_or(0) - stream["first_ms"].as_i64().unwrap_or(0) > 6000
    };
    until("some seconds are recorded", recorded).await;
    let from_s = node.stream("demo").await["first_ms"].as_i64().unwrap() / 1000 + 1;
    for (query, extension) in [("", "mp4"), ("&format=ts", "ts"), ("&tracks=a1", "mp4"), ("&tracks=v1&format=ts", "ts")]
    {
        let path = format!("/streams/demo/export?from_ms={}&duration_ms=4000{query}", from_s * 1000);
        let (status, told) = node.api(Method::GET, &path, None).await;
        assert_eq!((status, &told["duration_ms"], &told["gaps"]), (200, &json!(4000), &json!([])), "{told}");
        let url = told["url"].as_str().unwrap();
        assert!(url.starts_with(&format!("/demo/archive-{from_s}-4.{extension}")), "{url}");
        let file = node.get(url).await.unwrap();
        let name = file.headers()["content-disposition"].to_str().unwrap().to_owned();
        assert!(name.contains(told["file_name"].as_str().unwrap()), "{name}");
        let length = file.bytes().await.unwrap().len() as u64;
        assert_eq!(told["bytes"].as_u64().unwrap(), length, "{query}");
        let tracks = told["tracks"].as_array().unwrap().len();
        assert_eq!(tracks, if query.contains("tracks") { 1 } else { 2 });
    }
    // Before the recording began there is a gap, which the window is cut to.
    let path = format!("/streams/demo/export?from_ms={}&duration_ms=5000", (from_s - 3) * 1000);
    let told = node.api(Method::GET, &path, None).await.1;
    assert!(told["duration_ms"].as_i64().unwrap() < 3000, "{told}");

    let looked = node.api(Method::POST, "/sources/test", Some(json!({ "source": "demo:" }))).await.1;
    assert_eq!((&looked["ok"], &looked["message"]), (&json!(true), &json!("2 tracks can be recorded.")));
    let dead = node.api(Method::POST, "/sources/test", Some(json!({ "source": "http://127.0.0.1:9/a.ts" }))).await.1;
    assert_eq!(dead["ok"], false);
    assert!(dead["message"].as_str().unwrap().contains("gives nothing"), "{dead}");
    let wrong = node.api(Method::POST, "/sources/test", Some(json!({ "source": "nonsense" }))).await.1;
    assert_eq!((&wrong["ok"], &wrong["took_ms"]), (&json!(false), &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_is_told_as_it_happens() {
    let node = Node::start(None, LOOPBACK, DEMO).await;
    let mut events = node.get("/api/v1/events").await.unwrap();
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    let mut heard = String::new();
    let mut hear = async |what: &str| {
        let listening = async {
            while !heard.contains(what) {
                let piece = events.chunk().await.expect("no error").expect("no end");
                heard.push_str(std::str::from_utf8(&piece).expect("text"));
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), listening).await.unwrap_or_else(|_| panic!("{what}"));
    };
    hear("event: status").await;
    hear("event: streams").await;
    node.api(Method::POST, "/streams", Some(input("new/one", "udp://127.0.0.1:9"))).await;
    hear("\"name\":\"new/one\"").await;
    let paused = json!({ "name": "new/one", "source": "udp://127.0.0.1:9", "paused": true });
    node.api(Method::PUT, "/streams/new%2Fone", Some(paused)).await;
    hear("\"state\":\"paused\"").await;
    node.api(Method::DELETE, "/streams/new%2Fone", None).await;
    hear("event: removed\ndata: {\"name\":\"new/one\"}").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may() {
    let node = Node::start(None, LOOPBACK, DEMO).await;
    let asked = async |path: &str, headers: &[(&'static str, &str)], method: Method| {
        let mut asked = node.ask(method.clone(), path);
        for (name, value) in headers {
            asked = asked.header(*name, *value);
        }
        if method == Method::POST {
            asked = asked.json(&input("x", "udp://127.0.0.1:9"));
        }
        asked.send().await.unwrap().status().as_u16()
    };
    for path in ["/api/v1/streams", "/ui/"] {
        assert_eq!(asked(path, &[], Method::GET).await, 200);
        assert_eq!(asked(path, &[("host", "localhost:1")], Method::GET).await, 200);
        assert_eq!(asked(path, &[("host", "evil.example")], Method::GET).await, 403);
    }
    for headers in [[("origin", "http://evil.example")], [("sec-fetch-site", "cross-site")]] {
        assert_eq!(asked("/api/v1/streams", &headers, Method::POST).await, 403);
    }
    assert_eq!(asked("/api/v1/streams", &[("origin", &node.base)], Method::POST).await, 201);
    // A page of another origin may read playlists, but not this.
    let answer = node.ask(Method::GET, "/api/v1/streams").header("origin", "http://evil.example").send().await.unwrap();
    assert!(answer.headers().get("access-control-allow-origin").is_none());

    // Open to other machines, and no password: nobody, but players.
    let open = Node::start(None, "0.0.0.0", DEMO).await;
    for path in ["/api/v1/streams", "/ui/"] {
        let refused = open.get(path).await.unwrap();
        assert_eq!(refused.status(), 403);
        assert!(refused.text().await.unwrap().contains("admin.password"));
    }
    assert_eq!(open.get("/healthz").await.unwrap().status(), 200);

    let signed =
        Node::start(None, "0.0.0.0", &format!("[admin]\nuser = \"ops\"\npassword = \"ge:heim ñ\"\n{DEMO}")).await;
    for path in ["/api/v1/streams", "/api/v1/openapi.json", "/ui/"] {
        let nobody = signed.get(path).await.unwrap();
        assert_eq!(nobody.status(), 401);
        assert!(nobody.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic realm="));
        for (user, password) in [("ops", "wrong"), ("admin", "ge:heim ñ"), ("ops", "")] {
            let wrong = signed.ask(Method::GET, path).basic_auth(user, Some(password)).send().await.unwrap();
            assert_eq!(wrong.status(), 401);
        }
        let known = signed.ask(Method::GET, path).basic_auth("ops", Some("ge:heim ñ")).send().await.unwrap();
        assert_eq!(known.status(), 200);
    }
    let off = Node::start(None, LOOPBACK, &format!("[admin]\nenabled = false\n{DEMO}")).await;
    assert_eq!(off.get("/ui/").await.unwrap().status(), 404);
    assert_eq!(off.get("/").await.unwrap().status(), 404);
    assert!(node.get("/").await.unwrap().url().path() == "/ui/", "the server's own address leads to the interface");
    assert_eq!(off.get("/api/v1/streams").await.unwrap().status(), 404);
}

/// Every route of the document is answered, and bodies and queries of nonsense are refused, never a defect.
#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused() {
    let node = Node::start(None, LOOPBACK, DEMO).await;
    let document: Value = node.get("/api/v1/openapi.json").await.unwrap().json().await.unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 10, "{:?}", paths.keys());
    let state = std::cell::Cell::new(0x5eed_u64);
    let random = |below: usize| {
        state.set(state.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
        (state.get() >> 33) as usize % below
    };
    let valid = input("a/b", "udp://127.0.0.1:9").to_string().into_bytes();
    let words =
        ["-1", "9223372036854775807", "1e999", "%00", "%ff", "null", "a1,a1,v9", "ñ", "", "../../x", "0", "\u{7f}"];
    for _ in 0..600 {
        let (path, operations) = paths.iter().nth(random(paths.len())).unwrap();
        let method = operations.as_object().unwrap().keys().nth(random(operations.as_object().unwrap().len())).unwrap();
        if path.ends_with("/events") || path.ends_with("/sources/test") {
            continue;
        }
        let word = || percent(words[random(words.len())]);
        let mut filled =
            path.replace("{name}", if path.len() % 2 == 0 { "demo" } else { "b" }).replace("{id}", &word());
        filled += &format!(
            "?from_ms={}&to_ms={}&duration_ms={}&resolution_ms={}&limit={}&tracks={}&cursor={}",
            word(),
            word(),
            word(),
            word(),
            word(),
            word(),
            word()
        );
        let mut body = valid.clone();
        for _ in 0..random(4) {
            let at = random(body.len());
            body[at] = random(256) as u8;
        }
        let asked = node
            .ask(method.to_uppercase().parse().unwrap(), &format!("/api/v1{}", filled.trim_start_matches("/api/v1")));
        let answer = asked
            .header("content-type", "application/json")
            .header("if-match", word().replace('%', ""))
            .body(body)
            .send()
            .await
            .unwrap();
        assert_ne!(answer.status().as_u16(), 500, "{method} {filled}");
        assert!(answer.status().as_u16() < 500, "{method} {filled}: {}", answer.status());
    }
    let log = std::fs::read_to_string(node.dir.path().join("log")).unwrap();
    assert!(!log.contains("panicked"), "{log}");
}

fn percent(word: &str) -> String {
    if word.starts_with('%') {
        word.to_owned()
    } else {
        percent_encoding::utf8_percent_encode(word, percent_encoding::NON_ALPHANUMERIC).to_string()
    }
}
