//! What must hold of every stream, on every pair of index and store, on every node.

use super::media::{self, Clips, FPS};
use super::sources::{Sources, Stream};
use super::ts_check;
use std::time::{Duration, Instant};

const WAIT: Duration = Duration::from_secs(120);
/// Seconds of recording that the checks need.
const NEEDED: i64 = 26;

async fn get(url: &str) -> reqwest::Response {
    reqwest::get(url).await.unwrap_or_else(|e| panic!("{url}: {e}"))
}

async fn text(url: &str) -> String {
    let answer = get(url).await;
    assert_eq!(answer.status(), 200, "{url}");
    answer.text().await.expect("a text")
}

/// From and length, in seconds, of the newest range that is at least `seconds` long.
pub async fn wait_for_recording(base: &str, stream: &str, seconds: i64) -> (i64, i64) {
    let until = Instant::now() + WAIT;
    let url = format!("{base}/{stream}/recording_status.json");
    let mut last = String::new();
    while Instant::now() < until {
        if let Ok(answer) = reqwest::get(&url).await {
            last = answer.text().await.unwrap_or_default();
            let json: serde_json::Value = serde_json::from_str(&last).unwrap_or_default();
            let ranges = json[0]["ranges"].as_array().cloned().unwrap_or_default();
            let range = ranges.last().map(|r| (r["from"].as_i64().unwrap_or(0), r["duration"].as_i64().unwrap_or(0)));
            if let Some(range) = range.filter(|r| r.1 >= seconds) {
                return range;
            }
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    panic!("{stream} was not recorded for {seconds} s: {last}");
}

/// Numbers of all segments in a wide rewind playlist.
pub async fn listed_sequences(base: &str, stream: &str) -> Vec<u64> {
    let list = text(&format!("{base}/{stream}/tracks-v1/rewind-3600.m3u8")).await;
    let names = list.lines().filter_map(|l| l.split("segment/").nth(1));
    names.filter_map(|n| n.split('-').next()).filter_map(|n| n.parse().ok()).collect()
}

/// All checks of all streams, on all nodes.
pub async fn check_all(nodes: &[String], sources: &Sources, _clips: &Clips) {
    for stream in &sources.streams {
        let (from, _) = wait_for_recording(&nodes[0], stream.name, NEEDED).await;
        check_stream(nodes, stream, from).await;
    }
}

fn consecutive(frames: &[i64], what: &str) {
    assert!(!frames.is_empty(), "{what}: no frames");
    let broken = frames.windows(2).position(|w| w[1] != w[0] + 1);
    assert_eq!(broken, None, "{what}: frames are not one after another: {frames:?}");
}

fn attribute<'a>(list: &'a str, tag: &str) -> Vec<&'a str> {
    list.lines().filter_map(|l| l.strip_prefix(tag)).collect()
}

async fn check_stream(nodes: &[String], stream: &Stream, recorded_from: i64) {
    let name = stream.name;
    let base = &nodes[0];
    let (from, seconds) = (recorded_from + 5, 13);

    // The archive: the same on every node, right in its outlines, and it plays.
    let archive = format!("{name}/index-{from}-{seconds}.fmp4.m3u8");
    let multivariant = text(&format!("{base}/{archive}")).await;
    assert!(multivariant.contains("CODECS=") && multivariant.contains("RESOLUTION=320x192"), "{multivariant}");
    assert!(multivariant.contains("FRAME-RATE=25.000"), "{multivariant}");
    assert_eq!(multivariant.matches("TYPE=AUDIO").count(), stream.languages.len(), "{multivariant}");
    if stream.languages.len() == 2 {
        assert!(multivariant.contains("LANGUAGE=\"en\"") && multivariant.contains("LANGUAGE=\"fr\""), "{multivariant}");
    }
    m3u8_rs::parse_master_playlist_res(multivariant.as_bytes()).expect("a multivariant playlist");
    let media_list = text(&format!("{base}/{name}/tracks-v1/index-{from}-{seconds}.fmp4.m3u8")).await;
    let parsed = m3u8_rs::parse_media_playlist_res(media_list.as_bytes()).expect("a media playlist");
    assert!(parsed.end_list, "{media_list}");
    for node in &nodes[1..] {
        assert_eq!(text(&format!("{node}/{archive}")).await, multivariant);
        assert_eq!(text(&format!("{node}/{name}/tracks-v1/index-{from}-{seconds}.fmp4.m3u8")).await, media_list);
    }
    let archived = media::frame_numbers(&format!("{base}/{archive}"), &[]).await;
    consecutive(&archived, &format!("{name} archive"));
    assert!(archived.len() as i64 >= seconds * FPS, "{} frames", archived.len());

    // Wall time: the first segment's PROGRAM-DATE-TIME and its first frame fit together.
    let first_utc_ms = program_date_time_ms(&media_list);
    let offset_frames = (from * 1000 - first_utc_ms) * FPS / 1000;
    if stream.states_time {
        // The sender began with frame 0 at a moment it knows, and states it by the second frame's worth.
        let other_ms =
            program_date_time_ms(&text(&format!("{base}/{name}/tracks-v1/index-{}-3.fmp4.m3u8", from + 6)).await);
        let other = media::frame_numbers(&format!("{base}/{name}/index-{}-3.fmp4.m3u8", from + 6), &[]).await;
        let by_time = (other_ms - first_utc_ms) * FPS;
        let by_frames = (other[0] - archived[0]) * 1000;
        assert!((by_time - by_frames).abs() <= 2000, "{name}: {by_time} and {by_frames}");
    }

    // The export: exactly the window, in frames and in packets, whole and in pieces, from any node.
    check_export(nodes, stream, from, seconds, archived[0] + offset_frames).await;
    check_ts_export(nodes, stream, from, seconds, archived[0] + offset_frames).await;

    // A show still on air, and live shifted in time.
    let now = text(&format!("{base}/{name}/tracks-v1/index-{from}-now.fmp4.m3u8")).await;
    assert!(now.contains("#EXT-X-PLAYLIST-TYPE:EVENT") && !now.contains("ENDLIST"), "{now}");
    let options = ["-live_start_index", "0", "-t", "5"];
    let started_over = media::frame_numbers(&format!("{base}/{name}/index-{from}-now.m3u8"), &options).await;
    consecutive(&started_over, &format!("{name} now"));
    assert_eq!(started_over[0], archived[0], "{name} now begins elsewhere");
    let live = media::frame_numbers(&format!("{base}/{name}/index.m3u8"), &options).await;
    consecutive(&live, &format!("{name} live"));
    let shifted = media::frame_numbers(&format!("{base}/{name}/timeshift_rel-8.m3u8"), &options).await;
    consecutive(&shifted, &format!("{name} timeshift"));
    assert!(shifted[0] < live[0] + 100, "{} is not behind {}", shifted[0], live[0]);
    let absolute = media::frame_numbers(&format!("{base}/{name}/timeshift_abs-{}.m3u8", from + 8), &["-t", "3"]).await;
    consecutive(&absolute, &format!("{name} timeshift_abs"));

    check_segment(base, &media_list, name).await;
    let info: serde_json::Value =
        serde_json::from_str(&text(&format!("{base}/{name}/media_info.json")).await).expect("JSON");
    assert_eq!(info["tracks"].as_array().map(Vec::len), Some(1 + stream.languages.len()), "{info}");
}

fn program_date_time_ms(list: &str) -> i64 {
    let stated = attribute(list, "#EXT-X-PROGRAM-DATE-TIME:");
    stated[0].parse::<jiff::Timestamp>().expect("a time").as_millisecond()
}

async fn check_export(nodes: &[String], stream: &Stream, from: i64, seconds: i64, first_frame: i64) {
    let name = stream.name;
    let path = format!("{name}/archive-{from}-{seconds}.mp4");
    let answer = get(&format!("{}/{path}", nodes[0])).await;
    assert_eq!(answer.status(), 200);
    let header = |n: &str| answer.headers().get(n).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let (length, etag, disposition) = (header("content-length"), header("etag"), header("content-disposition"));
    assert!(etag.starts_with('"'), "a strong tag: {etag}");
    assert!(disposition.contains(&name.replace('/', "_")) && disposition.contains(".mp4"), "{disposition}");
    let whole = answer.bytes().await.expect("a body");
    assert_eq!(length, whole.len().to_string());

    let client = reqwest::Client::new();
    let head = client.head(format!("{}/{path}", nodes[0])).send().await.expect("HEAD");
    assert_eq!(
        (head.status().as_u16(), head.headers()["content-length"].to_str().expect("ascii")),
        (200, length.as_str())
    );
    // Random pieces, in turn from all nodes, put together to the whole.
    let mut seed = from as u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let (mut joined, mut turn) = (Vec::new(), 0);
    while joined.len() < whole.len() {
        let end = (joined.len() + 1 + random(whole.len() / 6)).min(whole.len());
        let node = &nodes[turn % nodes.len()];
        turn += 1;
        let piece = client
            .get(format!("{node}/{path}"))
            .header("range", format!("bytes={}-{}", joined.len(), end - 1))
            .header("if-range", &etag)
            .send()
            .await
            .expect("a piece");
        assert_eq!(piece.status(), 206);
        joined.extend_from_slice(&piece.bytes().await.expect("a body"));
    }
    assert!(joined == whole, "{name}: the pieces are not the whole");

    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("export.mp4");
    std::fs::write(&file, &whole).expect("written");
    let path = file.to_str().expect("a path");
    media::run("ffmpeg", &["-v", "error", "-xerror", "-i", path, "-f", "null", "-"]).await;
    let frames = media::frame_numbers(path, &[]).await;
    consecutive(&frames, &format!("{name} export"));
    assert!((frames.len() as i64 - seconds * FPS).abs() <= 1, "{name}: {} frames for {seconds} s", frames.len());
    assert!((frames[0] - first_frame).abs() <= 1, "{name}: begins at {}, not {first_frame}", frames[0]);
    let probed =
        media::run("ffprobe", &["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", path]).await;
    let duration: f64 = String::from_utf8_lossy(&probed).trim().parse().expect("a duration");
    assert!((duration - seconds as f64).abs() < 0.05, "{name}: lasts {duration} s");
    for kind in ["v", "a"] {
        let exported = media::packet_hashes(&file, kind, stream.is_hevc).await;
        let sent = media::packet_hashes(&stream.clip, kind, stream.is_hevc).await;
        assert!(exported.len() > 100, "{name} {kind}: {} packets", exported.len());
        let found = sent.windows(exported.len()).any(|w| w == exported);
        assert!(found, "{name} {kind}: the packets are not the source's, in order and without a hole");
    }
}

/// The same window as MPEG-TS: begins at a sync sample, ends with the window, and holds the source's packets.
async fn check_ts_export(nodes: &[String], stream: &Stream, from: i64, seconds: i64, first_frame: i64) {
    let name = stream.name;
    let path = format!("{name}/archive-{from}-{seconds}.ts");
    let answer = get(&format!("{}/{path}", nodes[0])).await;
    assert_eq!(answer.status(), 200);
    let (length, etag) = (answer.headers()["content-length"].clone(), answer.headers()["etag"].clone());
    let whole = answer.bytes().await.expect("a body");
    assert_eq!(length.to_str().expect("ascii"), whole.len().to_string());
    let last = nodes.last().expect("a node");
    let other = get(&format!("{last}/{path}")).await;
    assert_eq!(other.headers()["etag"], etag);
    assert!(other.bytes().await.expect("a body") == whole, "{name}: two nodes make two files");
    let half = whole.len() / 2;
    let client = reqwest::Client::new();
    let rest = client.get(format!("{last}/{path}")).header("range", format!("bytes={half}-")).header("if-range", etag);
    assert!(rest.send().await.expect("a part").bytes().await.expect("a body") == whole.slice(half..), "{name}: a part");

    let report = ts_check::check(&whole);
    report.assert_clean();
    assert_eq!(report.new_time_bases, 0, "{name}: the clock breaks");
    let spoken: Vec<&str> = report.pids.values().filter_map(|s| s.language.as_deref()).collect();
    assert!(stream.languages.len() < 2 || spoken == stream.languages, "{name}: {spoken:?}");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("export.ts");
    std::fs::write(&file, &whole).expect("written");
    let path = file.to_str().expect("a path");
    media::run("ffmpeg", &["-v", "error", "-xerror", "-i", path, "-f", "null", "-"]).await;
    let frames = media::frame_numbers(path, &[]).await;
    consecutive(&frames, &format!("{name} TS export"));
    // A group of pictures has two seconds.
    let early = first_frame - frames[0];
    assert!((-1..=2 * FPS).contains(&early), "{name}: begins at {}, not {first_frame}", frames[0]);
    // The last picture in decoding order may be shown after three others.
    let late = frames.len() as i64 - early - seconds * FPS;
    assert!((-1..=4).contains(&late), "{name}: ends {late} frames after the window");
    for kind in ["v", "a"] {
        let exported = media::packet_hashes(&file, kind, stream.is_hevc).await;
        let sent = media::packet_hashes(&stream.clip, kind, stream.is_hevc).await;
        assert!(exported.len() > 100, "{name} {kind}: {} packets", exported.len());
        let found = sent.windows(exported.len()).any(|w| w == exported);
        assert!(found, "{name} {kind}: the packets are not the source's, in order and without a hole");
    }
}

/// Media segments: immutable, ranged, tagged; nothing else can be reached through their addresses.
async fn check_segment(base: &str, media_list: &str, name: &str) {
    let client = reqwest::Client::new();
    let relative = media_list.lines().find(|l| !l.starts_with('#') && !l.is_empty()).expect("a segment");
    let url = format!("{base}/{name}/tracks-v1/{relative}");
    let whole = client.get(&url).send().await.expect("a segment");
    assert_eq!(whole.status(), 200, "{url}");
    assert!(whole.headers()["cache-control"].to_str().expect("ascii").contains("immutable"));
    let etag = whole.headers()["etag"].clone();
    let bytes = whole.bytes().await.expect("a body");
    let part = client.get(&url).header("range", "bytes=100-199").send().await.expect("a part");
    assert_eq!(part.status(), 206);
    assert_eq!(part.bytes().await.expect("a body"), bytes.slice(100..200));
    let again = client.get(&url).header("if-none-match", etag).send().await.expect("an answer");
    assert_eq!(again.status(), 304);
    let outside = client.get(&url).header("range", format!("bytes={}-", bytes.len())).send().await.expect("an answer");
    assert_eq!(outside.status(), 416);
}
