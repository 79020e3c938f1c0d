//! What a configuration may say, and what is said of a wrong one.

use super::*;

fn load(text: &str) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("evertape.toml");
    std::fs::write(&file, text).unwrap();
    Config::load(Some(&file)).map_err(|e| e.to_string().replace(dir.path().to_str().unwrap(), ""))
}

#[test]
fn the_example_of_the_readme_loads() {
    let config = load(
        r#"
        [http]
        listen = "127.0.0.1:8080"
        [index]
        url = "postgres://user:pass@host/db"
        [store]
        url = "s3://bucket/prefix"
        [store.s3]
        endpoint = "http://127.0.0.1:3900"
        region = "garage"
        access_key = "GK"
        secret_key = "hush"
        path_style = true
        [recorder]
        spool = "data/spool"
        segment_seconds = 6
        [playback]
        max_window = "24h"
        [[stream]]
        name = "demo"
        source = "demo:"
        retention = "7d"
        retention_bytes = "1.5TB"
        [janitor]
        max_bytes = 20000000000000
        "#,
    )
    .unwrap();
    assert_eq!(config.stream[0].retention_bytes, Some(1_500_000_000_000));
    assert_eq!(config.janitor.max_bytes, Some(20_000_000_000_000));
    assert_eq!(config.stream[0].retention, Some(Duration::from_secs(7 * 86_400)));
    assert_eq!(config.playback.max_window, Duration::from_secs(86_400));
    let shown = format!("{config:?}");
    assert!(!shown.contains("hush") && !shown.contains(":pass"), "{shown}");
}

#[test]
fn faults_say_what_where_and_how() {
    let cases = [
        ("[http]\nlisen = \"x\"", "http.lisen: unknown key; did you mean `listen`?"),
        ("[htp]\n", "htp: unknown key; did you mean `http`?"),
        ("[recorder]\nsegment_seconds = \"six\"", "recorder.segment_seconds: a text was given"),
        ("[recorder]\nsegment_seconds = 99", "recorder.segment_seconds: 1 to 30"),
        ("[playback]\nmax_window = \"soon\"", "playback.max_window: write a length of time"),
        ("[store]\nurl = \"ftp://x\"", "store.url: write file:"),
        ("[index]\nurl = \"mysql://root:hush@x\"", "index.url: write sqlite:"),
        ("[[stream]]\nname = \"../x\"\nsource = \"demo:\"", "stream name"),
        ("[[stream]]\nname = \"x\"", "source: missing"),
        ("[[stream]]\nname = \"x\"\nsource = \"gopher://x\"", "x: source:"),
        (
            "[[stream]]\nname = \"x\"\nsource = \"demo:\"\n[[stream]]\nname = \"x\"\nsource = \"demo:\"",
            "configured twice",
        ),
        ("[[stream]]\nname = \"x\"\nsource = \"demo:\"\nhls = \"mpegts\"", "`auto`, `ts`, `fmp4`"),
        ("[http\n", "not valid TOML: line 1"),
        ("[janitor]\nmax_bytes = \"lots\"", "janitor.max_bytes: write a size such as \"500GB\""),
        ("[janitor]\nmax_bytes = 0", "janitor.max_bytes: write a size"),
        (
            "[[stream]]\nname = \"x\"\nsource = \"demo:\"\nretention_bytes = \"5 apples\"",
            "retention_bytes: write a size",
        ),
        ("[store.s3]\nsecret_key = \"hush", "not valid TOML: line 2"),
        ("[http]\nlisten = \"localhost\"", "http.listen: write an address and a port"),
        ("[playback]\nmax_streams = 0", "playback.max_streams: 1 or more"),
        ("[playback]\nmax_exports = 7", "playback.max_exports: 8 or more"),
        ("[http]\nmax_connections = 0", "http.max_connections: 1 or more"),
        ("[http]\nmax_requests = 0", "http.max_requests: 1 or more"),
        ("[http]\ndrain = \"2h\"", "http.drain: at most 1h"),
        ("[preview]\nwidth = 5", "preview.width: 16 to 4096"),
        ("[preview]\nffmpeg = \"\"", "preview.ffmpeg: name a program"),
        ("[preview]\nffmpg = \"x\"", "did you mean `ffmpeg`?"),
        ("[http]\ncors_origins = [\"https://tv.example/\"]", "http.cors_origins: \"https://tv.example/\": write it"),
        ("[http]\ncors_origins = [\"*\"]", "http.cors_origins"),
        ("[playback]\nmedia_redirect = \"presigned\"", "playback.media_redirect: a folder has no addresses"),
        ("[playback]\nmedia_redirect = \"always\"", "playback.media_redirect"),
        ("[playback]\nrow_cache_mib = 1", "playback.row_cache_mib: 16 or more"),
        ("[playback]\nmedia_cache_mib = \"much\"", "playback.media_cache_mib: a text was given"),
        ("[recorder]\nspool_max_mib = 0", "recorder.spool_max_mib: 1 or more"),
        ("[[stream]]\nname = \"x\"\nsource = \"demo:\"\nretention = \"0s\"", "x: retention: more than 0s"),
        ("[store]\nurl = \"s3://b/p\"\n[store.s3]\nsecret_key = \"hush\"", "set both access_key and secret_key"),
        (
            "[store]\nurl = \"s3://b/p\"\n[store.s3]\nendpoint = \"http://u:hush@h\"\naccess_key = \"a\"\nsecret_key = \"hush\"",
            "store.s3.endpoint: write http",
        ),
    ];
    for (text, expected) in cases {
        let error = load(text).unwrap_err();
        assert!(error.contains(expected), "{text:?} gave {error:?}");
        assert!(!error.contains("hush"), "{error}");
    }
}
