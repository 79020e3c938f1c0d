//! The program itself: a stream that is set while it runs is recorded, and sources are really opened.

use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn value(answer: reqwest::Response) -> Value {
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_stream_that_is_set_here_is_recorded_within_seconds_and_sources_are_tested() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let origin = format!("127.0.0.1:{}", free_port());
    let config = format!(
        "[http]\nlisten = \"{origin}\"\n[index]\nurl = \"sqlite:{}\"\n[store]\nurl = \"file:{}\"\n[recorder]\n\
         spool = \"{}\"\nsegment_seconds = 2\n",
        at("index.db"),
        at("objects"),
        at("spool"),
    );
    std::fs::write(at("evertape.toml"), config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_evertape"));
    command.args(["run", "--config", &at("evertape.toml")]).stdout(Stdio::null()).stderr(Stdio::null());
    let _program = Program(command.spawn().unwrap());
    let client = reqwest::Client::new();
    let api = format!("http://{origin}/api/v1");
    let until = Instant::now() + Duration::from_secs(60);
    let status: Value = loop {
        match client.get(format!("{api}/status")).send().await {
            Ok(answer) if answer.status() == 200 => break value(answer).await,
            _ => assert!(Instant::now() < until, "the program does not answer"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(status["roles"], json!(["record", "play", "janitor"]));

    let test = async |source: &str| -> Value {
        let request = client
            .post(format!("{api}/sources/test"))
            .header("content-type", "application/json")
            .body(json!({ "source": source }).to_string());
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        value(answer).await
    };
    let demo = test("demo:").await;
    assert_eq!(demo["ok"], true, "{demo}");
    let kinds: Vec<_> = demo["tracks"].as_array().unwrap().iter().map(|t| t["kind"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"video") && kinds.contains(&"audio"), "{demo}");
    assert!(demo["tracks"][0]["codec"].as_str().unwrap().contains('.'), "{demo}");
    let nothing = test(&format!("http://127.0.0.1:{}/live", free_port())).await;
    assert_eq!(nothing["ok"], false);
    assert!(
        nothing["message"].as_str().unwrap().len() > 20 && nothing["took_ms"].as_u64().unwrap() < 16_000,
        "{nothing}"
    );

    let wanted = json!({ "name": "news/one", "source": "demo:", "retention_seconds": 3600, "paused": false });
    let making = client.post(format!("{api}/streams")).header("content-type", "application/json");
    assert_eq!(making.body(wanted.to_string()).send().await.unwrap().status(), 201);
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = client.get(format!("{api}/streams/news%2Fone")).send().await.unwrap();
        let stream: Value = value(answer).await;
        if stream["state"] == "recording"
            && stream["live_edge_ms"].is_i64()
            && stream["tracks"].as_array().unwrap().len() > 1
        {
            break;
        }
        assert!(Instant::now() < until, "{stream}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let played = client.get(format!("http://{origin}/news/one/index.m3u8")).send().await.unwrap();
    assert_eq!(played.status(), 200);
}
