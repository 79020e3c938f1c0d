//! The program as an operator meets it: help, wrong configurations, dead servers, secrets, signals, a terminal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::type_complexity)]

use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const SUBCOMMANDS: &[&str] = &["run", "record", "play", "janitor", "check", "reindex", "migrate", "check-config"];
/// Stands in every place where a secret may be written.
const SECRET: &str = "hunter2";

/// `evertape` in `dir`, with nothing of this process's environment that it would read.
fn evertape(dir: &Path, arguments: &[&str], env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evertape"));
    for (name, _) in std::env::vars().filter(|(n, _)| n.starts_with("EVERTAPE_") || n.starts_with("AWS_")) {
        command.env_remove(name);
    }
    command.args(arguments).envs(env.iter().copied()).current_dir(dir).stdin(Stdio::null());
    command
}

fn output(dir: &Path, arguments: &[&str], env: &[(&str, &str)]) -> Output {
    evertape(dir, arguments, env).output().expect("evertape starts")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A running process, killed when dropped; what it says goes to a file.
struct Running {
    child: Child,
    log: std::path::PathBuf,
}

impl Running {
    fn start(dir: &Path, arguments: &[&str], env: &[(&str, &str)]) -> Self {
        let log = dir.join(format!("{}.log", arguments[0]));
        let file = std::fs::File::create(&log).expect("a log");
        let errors = file.try_clone().expect("a log");
        let child = evertape(dir, arguments, env).stdout(file).stderr(errors).spawn().expect("evertape starts");
        Self { child, log }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn wait_for(&mut self, what: impl Fn(&str) -> bool, limit: Duration) -> String {
        let until = Instant::now() + limit;
        loop {
            let said = self.said();
            if what(&said) {
                return said;
            }
            let ended = self.child.try_wait().expect("a child");
            assert!(ended.is_none() && Instant::now() < until, "{ended:?}: {said}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn terminate(&mut self, limit: Duration) -> Option<i32> {
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill");
        self.end(limit)
    }

    fn end(&mut self, limit: Duration) -> Option<i32> {
        let until = Instant::now() + limit;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("it does not end: {}", self.said());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port where connecting is refused.
fn dead_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

#[test]
fn help_explains() {
    let dir = tempfile::tempdir().unwrap();
    let help = output(dir.path(), &["--help"], &[]);
    assert_eq!(help.status.code(), Some(0));
    let help = said(&help);
    for word in SUBCOMMANDS.iter().chain(&["EVERTAPE_STORE__S3__ACCESS_KEY", "evertape.toml", "EVERTAPE_LOG"]) {
        assert!(help.contains(word), "no {word} in {help}");
    }
    for command in SUBCOMMANDS {
        let help = output(dir.path(), &[command, "--help"], &[]);
        assert_eq!(help.status.code(), Some(0), "{command}");
        let help = said(&help);
        assert!(help.contains("--config <FILE>") && help.contains("EVERTAPE_CONFIG"), "{help}");
        assert!(help.lines().next().is_some_and(|l| l.len() > 20), "{command} does not say what it does: {help}");
    }
    for wrong in [&[][..], &["recrod"], &["run", "--confg", "x"]] {
        assert_eq!(output(dir.path(), wrong, &[]).status.code(), Some(2), "{wrong:?}");
    }
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "asking for help has left files");
}

#[test]
fn wrong_configurations_say_what_where_and_how() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = "[store]\nurl = \"s3://bucket/p\"\n";
    let cases: &[(&str, &[(&str, &str)], &[&str])] = &[
        ("[http]\nlisen = \"x\"", &[], &["my.toml", "http.lisen", "did you mean `listen`"]),
        ("[recorder]\nsegment_seconds = \"six\"", &[], &["my.toml", "recorder.segment_seconds", "a text was given"]),
        ("[http]\nlisten = \"localhost\"", &[], &["http.listen", "127.0.0.1:8080"]),
        ("[store.s3]\nsecret_key = \"hunter2", &[], &["my.toml", "line 2"]),
        ("[index]\nurl = \"mysql://u:hunter2@h\"", &[], &["index.url", "sqlite:", "postgres://"]),
        ("[store]\nurl = \"s3://hunter2:hunter2@b/p\"", &[], &["store.url"]),
        (s3, &[], &["access_key", "secret_key"]),
        ("[[stream]]\nname = \"a b\"\nsource = \"demo:\"", &[], &["stream", "letters"]),
        ("[[stream]]\nname = \"a\"\nsource = \"gopher://u:hunter2@h/\"", &[], &["a: source", "udp://"]),
        ("", &[("EVERTAPE_HTTP__LISEN", "x")], &["EVERTAPE_HTTP__LISEN", "did you mean `listen`"]),
        ("", &[("EVERTAPE_RECORDER__SEGMENT_SECONDS", "six")], &["EVERTAPE_RECORDER__SEGMENT_SECONDS"]),
        ("", &[("EVERTAPE_PLAYBACK__MAX_WINDOW", "soon")], &["EVERTAPE_PLAYBACK__MAX_WINDOW", "24h"]),
        ("", &[("EVERTAPE_STREAM", "[{name=\"a\", source=\"gopher://u:hunter2@h\"}]")], &["a: source"]),
        ("", &[("EVERTAPE_STREAM", "hunter2")], &["EVERTAPE_STREAM"]),
    ];
    for (text, env, expected) in cases {
        std::fs::write(dir.path().join("my.toml"), text).unwrap();
        for command in ["check-config", "play", "record"] {
            let output = output(dir.path(), &[command, "--config", "my.toml"], env);
            let said = said(&output);
            assert_eq!(output.status.code(), Some(2), "{command} {text:?} {env:?}: {said}");
            for word in *expected {
                assert!(said.contains(word), "no {word:?} in {said:?}");
            }
            assert!(!said.contains(SECRET), "{said}");
        }
    }
    let missing = output(dir.path(), &["run", "--config", "nowhere.toml"], &[]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(said(&missing).contains("nowhere.toml"), "{}", said(&missing));

    // Values that look like numbers are texts where texts are wanted.
    std::fs::write(dir.path().join("my.toml"), s3).unwrap();
    let env = [
        ("EVERTAPE_STORE__S3__ACCESS_KEY", "007"),
        ("EVERTAPE_STORE__S3__SECRET_KEY", "1e5"),
        ("EVERTAPE_STORE__S3__PATH_STYLE", "true"),
        ("EVERTAPE_RECORDER__SEGMENT_SECONDS", "4"),
        ("EVERTAPE_STREAM", "[{name=\"demo\", source=\"demo:\", retention=\"7d\"}]"),
        ("EVERTAPE_CONFIG", "my.toml"),
    ];
    let good = output(dir.path(), &["check-config"], &env);
    assert_eq!(good.status.code(), Some(0), "{}", said(&good));
    assert!(said(&good).contains("good"), "{}", said(&good));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "checking has left files");

    // A program that is named must start.
    for (program, code) in [("/nonexistent/ffmpeg", 2), ("false", 2), ("ffmpeg", 0)] {
        let checked = output(dir.path(), &["check-config"], &[("EVERTAPE_PREVIEW__FFMPEG", program)]);
        assert_eq!(checked.status.code(), Some(code), "{program}: {}", said(&checked));
        assert_eq!(said(&checked).contains("preview.ffmpeg"), code == 2, "{program}: {}", said(&checked));
    }
}

/// Everything that can hold a secret, all of it dead.
fn dead_installation(dir: &Path, log: &str) -> Vec<(&'static str, String)> {
    std::fs::write(dir.join("dead.toml"), format!("# {log}\n")).unwrap();
    let (database, store, source, http) = (dead_port(), dead_port(), dead_port(), dead_port());
    vec![
        ("EVERTAPE_INDEX__URL", format!("postgres://user:{SECRET}@127.0.0.1:{database}/db")),
        ("EVERTAPE_STORE__URL", "s3://bucket/prefix".to_owned()),
        ("EVERTAPE_STORE__S3__ENDPOINT", format!("http://127.0.0.1:{store}")),
        ("EVERTAPE_STORE__S3__ACCESS_KEY", "GK1".to_owned()),
        ("EVERTAPE_STORE__S3__SECRET_KEY", SECRET.to_owned()),
        ("EVERTAPE_RECORDER__SPOOL", dir.join("spool").display().to_string()),
        ("EVERTAPE_HTTP__LISTEN", format!("127.0.0.1:{http}")),
        (
            "EVERTAPE_STREAM",
            format!("[{{name=\"a\", source=\"http://user:{SECRET}@127.0.0.1:{source}/a.m3u8?token={SECRET}\"}}]"),
        ),
        ("EVERTAPE_LOG", log.to_owned()),
    ]
}

#[test]
fn dead_servers_are_waited_for_clearly_and_without_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let env = dead_installation(dir.path(), "debug");
    let env: Vec<(&str, &str)> = env.iter().map(|(n, v)| (*n, v.as_str())).collect();

    // `migrate` gives up, in the meantime the others wait.
    let mut migrate = Running::start(dir.path(), &["migrate", "--log-format", "text"], &env);
    let mut record = Running::start(dir.path(), &["record", "--log-format", "json"], &env);
    let mut play = Running::start(dir.path(), &["play", "--log-format", "text"], &env);
    let said = record.wait_for(|s| s.contains("publishing waits"), Duration::from_secs(30));
    for line in said.lines() {
        let json: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(json["level"].is_string(), "{line}");
    }
    play.wait_for(|s| s.contains("playback is ready"), Duration::from_secs(20));
    assert_eq!(play.terminate(Duration::from_secs(10)), Some(0), "{}", play.said());
    assert_eq!(record.terminate(Duration::from_secs(20)), Some(0), "{}", record.said());
    assert_eq!(migrate.end(Duration::from_secs(75)), Some(1));
    let end = migrate.said();
    assert!(end.contains("does not answer yet"), "{end}");
    assert!(end.lines().last().unwrap_or("").starts_with("evertape: the index's schema cannot be"), "{end}");
    for running in [&migrate, &record, &play] {
        assert!(!running.said().contains(SECRET), "{}", running.said());
    }
}

#[test]
fn a_dead_source_and_store_tell_no_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let mut env = dead_installation(dir.path(), "trace");
    env[0].1 = format!("sqlite:{}", dir.path().join("index.db").display());
    // A second stream comes as far as the store.
    env[7].1 = env[7].1.replace("}]", "}, {name=\"demo\", source=\"demo:\"}]");
    env.push(("EVERTAPE_RECORDER__SEGMENT_SECONDS", "1".to_owned()));
    let env: Vec<(&str, &str)> = env.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let mut run = Running::start(dir.path(), &["run", "--log-format", "text"], &env);
    run.wait_for(|s| s.contains("127.0.0.1") && s.contains("put demo/"), Duration::from_secs(40));
    assert_eq!(run.terminate(Duration::from_secs(30)), Some(0), "{}", run.said());
    let said = run.said();
    let leak = said.lines().find(|l| l.contains(SECRET));
    assert_eq!(leak, None);
}

#[test]
fn what_cannot_begin_ends_with_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let demo = ("EVERTAPE_STREAM", "[{name=\"demo\", source=\"demo:\"}]");
    for command in ["run", "play"] {
        let env = [demo, ("EVERTAPE_HTTP__LISTEN", address.as_str())];
        let output = output(dir.path(), &[command, "--log-format", "text"], &env);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("cannot listen on {address}")) && said.contains("http.listen"), "{said}");
        assert!(!said.contains("is running") && !said.contains("panicked"), "{said}");
    }
    // A spool that cannot be: below a file. (Permissions do not stop a superuser.)
    std::fs::write(dir.path().join("file"), "").unwrap();
    for (key, value, word) in [
        ("EVERTAPE_RECORDER__SPOOL", "file/spool", "recorder.spool"),
        ("EVERTAPE_STORE__URL", "file:file/objects", "[store]"),
        ("EVERTAPE_INDEX__URL", "sqlite:file/index.db", "[index]"),
    ] {
        let free = format!("127.0.0.1:{}", dead_port());
        let env = [demo, (key, value), ("EVERTAPE_HTTP__LISTEN", free.as_str())];
        for format in ["text", "json"] {
            let output = output(dir.path(), &["run", "--log-format", format], &env);
            let said = said(&output);
            assert_eq!(output.status.code(), Some(1), "{key}: {said}");
            assert!(said.contains(word) && !said.contains("panicked"), "{key}: {said}");
        }
    }
    // Without streams in the configuration a recorder waits for those that the index names.
    let mut idle = Running::start(dir.path(), &["record", "--log-format", "text"], &[]);
    idle.wait_for(|said| said.contains("no [[stream]] in the configuration"), Duration::from_secs(20));
    assert_eq!(idle.terminate(Duration::from_secs(15)), Some(0), "{}", idle.said());
}

#[test]
fn a_signal_ends_it_with_all_that_was_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let address = format!("127.0.0.1:{}", dead_port());
    let env = [
        ("EVERTAPE_STREAM", "[{name=\"demo\", source=\"demo:\"}]"),
        ("EVERTAPE_HTTP__LISTEN", address.as_str()),
        ("EVERTAPE_RECORDER__SEGMENT_SECONDS", "2"),
    ];
    let mut run = Running::start(dir.path(), &["run"], &env);
    run.wait_for(|s| s.contains(&format!("http://{address}/demo/index.m3u8")), Duration::from_secs(20));
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(run.terminate(Duration::from_secs(15)), Some(0), "{}", run.said());
    let files = |folder: &Path, extension: &str| -> usize {
        fn all(folder: &Path, extension: &str) -> usize {
            std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).fold(0, |n, p| {
                n + if p.is_dir() {
                    all(&p, extension)
                } else {
                    usize::from(p.extension().is_some_and(|x| x == extension))
                }
            })
        }
        all(folder, extension)
    };
    let objects = files(&dir.path().join("data/objects"), "cmfs");
    assert!(objects >= 2, "{objects} segments: {}", run.said());
    assert_eq!(files(&dir.path().join("data/spool"), "cmfs"), 0, "{}", run.said());
}

#[test]
fn progress_on_a_terminal_and_json_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let env = [("EVERTAPE_STREAM", "[{name=\"demo\", source=\"demo:\"}]"), ("EVERTAPE_RECORDER__SEGMENT_SECONDS", "1")];
    assert_eq!(output(dir.path(), &["migrate"], &[]).status.code(), Some(0));
    let mut plain = Running::start(dir.path(), &["record"], &env);
    plain.wait_for(|s| s.lines().count() >= 2, Duration::from_secs(20));
    assert_eq!(plain.terminate(Duration::from_secs(15)), Some(0), "{}", plain.said());
    for line in plain.said().lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    }

    // `script` (util-linux) gives it a terminal; `timeout` sends the signal to the program itself.
    let program = format!("timeout -s TERM 7 {} record", env!("CARGO_BIN_EXE_evertape"));
    let mut command = Command::new("script");
    for (name, _) in std::env::vars().filter(|(n, _)| n.starts_with("EVERTAPE_")) {
        command.env_remove(name);
    }
    let mut child = command
        .args(["-qec", &program, "/dev/null"])
        .envs(env)
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("`script` is there: install util-linux (bsdutils)");
    let mut shown = Vec::new();
    child.stdout.take().expect("a pipe").read_to_end(&mut shown).expect("it is read");
    child.wait().expect("it ends");
    let shown = String::from_utf8_lossy(&shown);
    let lines: Vec<&str> = shown.lines().filter(|l| l.contains("demo") && l.contains("segments")).collect();
    assert!(lines.len() >= 3, "{shown:?}");
    assert!(shown.contains("\u{1b}[1A"), "the line is not rewritten: {shown:?}");
    assert!(lines.last().is_some_and(|l| l.contains("s behind")), "{shown:?}");
    assert!(!shown.contains("\"level\""), "{shown:?}");
}

#[tokio::test]
async fn a_recorder_alone_tells_its_health_and_metrics() {
    let dir = tempfile::tempdir().unwrap();
    let address = format!("127.0.0.1:{}", dead_port());
    let env = [
        ("EVERTAPE_STREAM", "[{name=\"demo\", source=\"demo:\"}]"),
        ("EVERTAPE_RECORDER__SEGMENT_SECONDS", "1"),
        ("EVERTAPE_RECORDER__LISTEN", address.as_str()),
    ];
    assert_eq!(output(dir.path(), &["migrate"], &[]).status.code(), Some(0));
    let recorder = Running::start(dir.path(), &["record"], &env);
    let wanted = [
        "evertape_source_connected{stream=\"demo\"} 1",
        "evertape_segments_published_total{stream=\"demo\"}",
        "evertape_spool_bytes",
    ];
    let until = Instant::now() + Duration::from_secs(30);
    let mut shown = String::new();
    while !wanted.iter().all(|w| shown.contains(w)) {
        assert!(Instant::now() < until, "{shown}\n{}", recorder.said());
        tokio::time::sleep(Duration::from_millis(200)).await;
        if let Ok(answer) = reqwest::get(format!("http://{address}/metrics")).await {
            shown = answer.text().await.unwrap_or_default();
        }
    }
    let health = reqwest::get(format!("http://{address}/healthz")).await.unwrap();
    assert_eq!(health.status(), 200);
    assert_eq!(reqwest::get(format!("http://{address}/demo/index.m3u8")).await.unwrap().status(), 404);
}
