//! HLS against a scripted server on loopback.

use crate::container::MediaEvent;
use crate::media::track::TrackKind;
use crate::media::{Ticks, UtcUs};
use crate::recorder::source::testing::{Running, audio, breaks, context, real_context, start, times, video};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One second at 25 pictures, which is how long the segments here are.
const SECOND: i64 = 90_000;

#[derive(Clone)]
enum Answer {
    Body(Bytes),
    Status(StatusCode),
    Redirect(String),
    /// Bytes without end.
    Endless,
    /// Never answers.
    Hang,
}

#[derive(Default)]
struct Script {
    answers: HashMap<String, Answer>,
    requests: Vec<String>,
}

#[derive(Clone, Default)]
struct Server {
    script: Arc<Mutex<Script>>,
    base: String,
}

impl Server {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { base: format!("http://{}", listener.local_addr().unwrap()), ..Self::default() };
        let router = Router::new().fallback(answer).with_state(server.clone());
        // Ends with the test's runtime.
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn set(&self, path: &str, answer: Answer) {
        self.script.lock().unwrap().answers.insert(path.into(), answer);
    }

    fn body(&self, path: &str, body: impl Into<Bytes>) {
        self.set(path, Answer::Body(body.into()));
    }

    /// `/vN.ts` for N in `range`: the Nth second of video.
    fn video(&self, range: std::ops::Range<i64>) {
        for n in range {
            self.body(&format!("/v{n}.ts"), video(n * SECOND, 25));
        }
    }

    fn requests(&self, path: &str) -> usize {
        self.script.lock().unwrap().requests.iter().filter(|r| *r == path).count()
    }

    /// Waits until `path` was asked for `more` times more.
    async fn asked(&self, path: &str, more: usize) {
        let before = self.requests(path);
        for _ in 0..1000 {
            if self.requests(path) >= before + more {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{path} was not asked for");
    }
}

async fn answer(State(server): State<Server>, uri: Uri, headers: HeaderMap) -> Response {
    let found = {
        let mut script = server.script.lock().unwrap();
        script.requests.push(uri.path().to_owned());
        script.answers.get(uri.path()).cloned()
    };
    match found {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(Answer::Status(status)) => status.into_response(),
        Some(Answer::Redirect(to)) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        Some(Answer::Hang) => std::future::pending().await,
        Some(Answer::Endless) => {
            let piece = Bytes::from(vec![b'#'; 1 << 20]);
            let stream = futures::stream::repeat_with(move || Ok::<_, std::io::Error>(piece.clone()));
            Body::from_stream(stream).into_response()
        }
        Some(Answer::Body(body)) => {
            let range = headers.get(header::RANGE).and_then(|r| r.to_str().ok()).and_then(|r| {
                let (from, to) = r.strip_prefix("bytes=")?.split_once('-')?;
                Some((from.parse::<usize>().ok()?, to.parse::<usize>().ok()?))
            });
            match range {
                Some((from, to)) => (StatusCode::PARTIAL_CONTENT, body.slice(from..=to)).into_response(),
                None => body.into_response(),
            }
        }
    }
}

fn live(first: i64, range: std::ops::Range<i64>) -> String {
    let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
    for n in range {
        text.push_str(&format!("#EXTINF:1.0,\nv{n}.ts\n"));
    }
    text
}

fn vod(range: std::ops::Range<i64>) -> String {
    live(0, range) + "#EXT-X-ENDLIST\n"
}

/// Whole seconds of video from `from` up to `to`.
fn whole(from: i64, to: i64) -> Vec<i64> {
    (from * 25..to * 25).map(|n| n * 3600).collect()
}

/// The same without the last sample, which the demuxer still holds.
fn seconds(from: i64, to: i64) -> Vec<i64> {
    let mut all = whole(from, to);
    all.pop();
    all
}

async fn until_count(source: &mut Running, count: usize) -> Vec<MediaEvent> {
    source.until(|all| times(all, 0).len() >= count).await
}

#[tokio::test]
async fn vod_is_read_to_its_end_through_redirects() {
    let server = Server::start().await;
    server.set("/in.m3u8", Answer::Redirect("/deep/down/list.m3u8".into()));
    server.body("/deep/down/list.m3u8", vod(0..4));
    for n in 0..4 {
        server.body(&format!("/deep/down/v{n}.ts"), video(n * SECOND, 25));
    }
    let mut source = start(&server.url("/in.m3u8"), context());
    let first = source.item().await.unwrap();
    assert_eq!(first.arrival, None);
    let mut events = first.events;
    events.extend(source.rest().await);
    assert_eq!(times(&events, 0), whole(0, 4));
    assert_eq!(breaks(&events), 0);
}

#[tokio::test]
async fn a_live_playlist_slides_and_nothing_comes_twice() {
    let server = Server::start().await;
    server.video(0..40);
    server.body("/live.m3u8", live(0, 0..5));
    let mut source = start(&server.url("/live.m3u8"), context());
    let mut events = until_count(&mut source, 74).await;
    for edge in 6..12 {
        server.body("/live.m3u8", live(edge - 5, edge - 5..edge));
        server.asked("/live.m3u8", 2).await;
        // A cache answers with what it had before.
        server.body("/live.m3u8", live(edge - 6, edge - 6..edge - 1));
        server.asked("/live.m3u8", 1).await;
    }
    events.extend(source.until(|all| times(all, 0).len() >= 6 * 25).await);
    assert_eq!(times(&events, 0), seconds(2, 11));
    assert_eq!(breaks(&events), 0);
    assert_eq!(source.counters.segments_skipped.load(Ordering::Relaxed), 0);
    assert_eq!(source.counters.segments_fetched.load(Ordering::Relaxed), 9);
    for n in 2..11 {
        assert_eq!(server.requests(&format!("/v{n}.ts")), 1);
    }
}

#[tokio::test]
async fn program_date_time_comes_before_its_segment() {
    let server = Server::start().await;
    server.video(0..3);
    server.body(
        "/live.m3u8",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:00.250+0000\n#EXTINF:1,\nv0.ts\n\
         #EXTINF:1,\nv1.ts\n#EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:02.250+0000\n#EXTINF:1,\nv2.ts\n",
    );
    let mut source = start(&server.url("/live.m3u8"), context());
    let events = until_count(&mut source, 74).await;
    let walls: Vec<(usize, Ticks, UtcUs)> = events
        .iter()
        .enumerate()
        .filter_map(|(at, event)| match event {
            MediaEvent::WallTime { media, utc } => Some((at, *media, *utc)),
            _ => None,
        })
        .collect();
    let noon = UtcUs::from_seconds(1_795_348_800).plus_us(250_000);
    // Of the very first picture of the segment, though the demuxer still held the one before.
    let facts: Vec<_> = walls.iter().map(|(_, media, utc)| (*media, *utc)).collect();
    assert_eq!(facts, [(Ticks(0), noon), (Ticks(2 * SECOND), noon.plus_us(2_000_000))]);
    for (at, media, _) in walls {
        let sample = events.iter().position(|e| matches!(e, MediaEvent::Sample(s) if s.pts == media)).unwrap();
        assert!(at < sample);
    }
}

#[tokio::test]
async fn what_was_missed_is_counted_and_told() {
    let server = Server::start().await;
    server.video(0..40);
    server.body("/live.m3u8", live(0, 0..3));
    let mut source = start(&server.url("/live.m3u8"), context());
    let mut events = until_count(&mut source, 74).await;
    server.body("/live.m3u8", live(10, 10..13));
    events.extend(source.until(|all| times(all, 0).len() >= 75).await);
    assert_eq!(breaks(&events), 1);
    assert_eq!(source.counters.segments_skipped.load(Ordering::Relaxed), 7);
    let broken_at = events.iter().position(|e| matches!(e, MediaEvent::Discontinuity(_))).unwrap();
    assert!(times(&events[..broken_at], 0).iter().all(|t| *t < 3 * SECOND));
}

#[tokio::test]
async fn a_server_that_begins_anew_is_followed() {
    let server = Server::start().await;
    server.video(0..40);
    server.body("/live.m3u8", live(500, 0..3));
    let mut source = start(&server.url("/live.m3u8"), context());
    let mut events = until_count(&mut source, 74).await;
    server.body("/live.m3u8", live(0, 20..22));
    events.extend(source.until(|all| times(all, 0).len() >= 49).await);
    assert_eq!(breaks(&events), 1);
    let after: Vec<i64> = times(&events, 0).into_iter().filter(|t| *t >= 20 * SECOND).collect();
    assert_eq!(after, seconds(20, 22));
}

#[tokio::test]
async fn a_segment_that_cannot_be_had_is_skipped() {
    let server = Server::start().await;
    server.video(0..5);
    server.set("/v2.ts", Answer::Status(StatusCode::NOT_FOUND));
    server.body("/vod.m3u8", vod(0..5));
    let mut source = start(&server.url("/vod.m3u8"), context());
    let events = source.rest().await;
    assert_eq!(server.requests("/v2.ts"), 3);
    assert_eq!(breaks(&events), 1);
    assert_eq!(source.counters.segments_skipped.load(Ordering::Relaxed), 1);
    // What the demuxer held comes before the break.
    let broken_at = events.iter().position(|e| matches!(e, MediaEvent::Discontinuity(_))).unwrap();
    assert_eq!(times(&events[..broken_at], 0), whole(0, 2));
    assert_eq!(times(&events[broken_at..], 0), whole(3, 5));
}

#[tokio::test]
async fn a_refusal_that_passes_loses_nothing() {
    let server = Server::start().await;
    server.video(0..40);
    server.set("/live.m3u8", Answer::Status(StatusCode::NOT_FOUND));
    let mut source = start(&server.url("/live.m3u8"), context());
    server.asked("/live.m3u8", 3).await;
    assert!(source.counters.error().unwrap().contains("404"));
    server.body("/live.m3u8", live(0, 0..3));
    let mut events = until_count(&mut source, 74).await;
    assert_eq!(source.counters.error(), None);
    // It goes away for long enough that the session ends, and comes back with what it had and more.
    server.set("/live.m3u8", Answer::Status(StatusCode::BAD_GATEWAY));
    server.asked("/live.m3u8", 8).await;
    server.body("/live.m3u8", live(1, 1..5));
    events.extend(source.until(|all| times(all, 0).len() >= 49).await);
    let got = times(&events, 0);
    assert_eq!(got.len(), 74 + 49, "no segment twice");
    assert_eq!(got[74..], seconds(3, 5));
    assert_eq!(breaks(&events), 1);
}

#[tokio::test]
async fn fragmented_mp4_with_changing_init_segments_and_byte_ranges() {
    let server = Server::start().await;
    server.body("/a.mp4", vec![b'i', 1]);
    server.body("/b.mp4", vec![0, 0, b'i', 2, 0]);
    let all: Vec<u8> = [video(0, 25), video(SECOND, 25)].concat();
    server.body("/all.m4s", all);
    server.body("/c.m4s", video(2 * SECOND, 25));
    let bytes = 25 * 188;
    server.body(
        "/vod.m3u8",
        format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MAP:URI=\"a.mp4\"\n#EXTINF:1,\n#EXT-X-BYTERANGE:{bytes}@0\nall.m4s\n\
             #EXTINF:1,\n#EXT-X-BYTERANGE:{bytes}\nall.m4s\n#EXT-X-MAP:URI=\"b.mp4\",BYTERANGE=\"2@2\"\n\
             #EXTINF:1,\nc.m4s\n#EXT-X-ENDLIST\n"
        ),
    );
    let mut source = start(&server.url("/vod.m3u8"), context());
    let events = source.rest().await;
    assert_eq!(times(&events, 0), (0..75).map(|n| n * 3600).collect::<Vec<_>>());
    assert_eq!(server.requests("/a.mp4"), 1);
    let flavours: Vec<String> = events
        .iter()
        .filter_map(|event| match event {
            MediaEvent::Track { params, .. } => Some(params.codec_string.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(flavours, ["toy1", "toy2"]);
}

/// A multivariant playlist with two audio renditions, of which the second does as it likes.
async fn with_audio() -> Server {
    let server = Server::start().await;
    server.body(
        "/top.m3u8",
        "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"1\",LANGUAGE=\"de\",URI=\"a1.m3u8\"\n\
         #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"2\",LANGUAGE=\"en\",URI=\"a2.m3u8\"\n\
         #EXT-X-STREAM-INF:BANDWIDTH=9,RESOLUTION=16x16,CODECS=\"avc1.4d401e,mp4a.40.2\",AUDIO=\"a\"\nlow.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=5,RESOLUTION=32x32,CODECS=\"avc1.4d401e,mp4a.40.2\",AUDIO=\"a\"\nbest.m3u8\n",
    );
    server.video(0..20);
    for n in 0..20 {
        server.body(&format!("/x{n}.ts"), audio(n * SECOND + 900, 25));
    }
    server
}

const FIRST_AUDIO: u32 = 0x1_0001;
const SECOND_AUDIO: u32 = 0x2_0001;

#[tokio::test]
async fn audio_renditions_are_interleaved_with_the_best_variant() {
    let server = with_audio().await;
    server.body("/best.m3u8", vod(0..6));
    server.body("/a1.m3u8", vod(0..6).replace('v', "x"));
    server.body("/a2.m3u8", vod(0..6).replace('v', "x"));
    let mut source = start(&server.url("/top.m3u8"), context());
    let events = source.rest().await;
    assert_eq!(server.requests("/low.m3u8"), 0);
    assert_eq!(times(&events, 0), whole(0, 6));
    for track in [FIRST_AUDIO, SECOND_AUDIO] {
        assert_eq!(times(&events, track), whole(0, 6).iter().map(|t| t + 900).collect::<Vec<_>>());
    }
    let all: Vec<i64> = events
        .iter()
        .filter_map(|event| match event {
            MediaEvent::Sample(sample) => Some(sample.dts.0),
            _ => None,
        })
        .collect();
    assert!(all.is_sorted(), "in order of decoding time");
    let mut languages: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            MediaEvent::Track { track, params } => Some((track.0, params.language.clone())),
            _ => None,
        })
        .collect();
    languages.sort();
    assert_eq!(languages, [(0, None), (FIRST_AUDIO, Some("deu".into())), (SECOND_AUDIO, Some("eng".into()))]);
}

#[tokio::test]
async fn a_rendition_that_fails_does_not_hold_up_the_others() {
    let server = with_audio().await;
    server.body("/best.m3u8", live(0, 0..3));
    server.body("/a1.m3u8", live(0, 0..3).replace('v', "x"));
    server.set("/a2.m3u8", Answer::Hang);
    let mut context = context();
    context.stall = Duration::from_millis(300);
    let mut source = start(&server.url("/top.m3u8"), context);
    // Keeps on the air while the second rendition hangs.
    let mut events = Vec::new();
    for edge in 4..9 {
        events.extend(source.until(|all| times(all, 0).len() >= 20).await);
        server.body("/best.m3u8", live(edge - 4, edge - 4..edge));
        server.body("/a1.m3u8", live(edge - 4, edge - 4..edge).replace('v', "x"));
        server.asked("/best.m3u8", 1).await;
    }
    events.extend(source.until(|all| times(all, 0).len() >= 20).await);
    assert!(times(&events, 0).len() >= 5 * 25, "{}", times(&events, 0).len());
    assert!(times(&events, FIRST_AUDIO).len() >= 4 * 25);
    assert_eq!(times(&events, SECOND_AUDIO).len(), 0);
    let video = times(&events, 0);
    assert!(video.windows(2).all(|p| p[1] - p[0] == 3600));
}

#[tokio::test]
async fn bad_answers_are_bounded_and_told() {
    for (answer, word) in [
        (Answer::Body("<html>nothing here</html>".into()), "#EXTM3U"),
        (
            Answer::Body(
                "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF:1,\na\n".into(),
            ),
            "encrypted",
        ),
        (Answer::Endless, "larger than"),
        (Answer::Redirect("/live.m3u8".into()), "redirect"),
        (Answer::Redirect("file:///etc/passwd".into()), ""),
        (Answer::Hang, ""),
    ] {
        let server = Server::start().await;
        server.set("/live.m3u8", answer);
        let mut context = context();
        context.stall = Duration::from_millis(400);
        let source = start(&server.url("/live.m3u8"), context);
        let mut error = None;
        for _ in 0..400 {
            error = source.counters.error();
            if error.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let error = error.expect("no error was told");
        assert!(error.contains(word), "{word}: {error}");
    }
}

#[tokio::test]
async fn an_endless_segment_is_given_up() {
    let server = Server::start().await;
    server.video(0..3);
    server.set("/v1.ts", Answer::Endless);
    server.body("/vod.m3u8", vod(0..3));
    let mut context = context();
    context.stall = Duration::from_secs(20);
    context.tuning.playlist_second = Duration::from_millis(50);
    let mut source = start(&server.url("/vod.m3u8"), context);
    let events = source.rest().await;
    assert_eq!(times(&events, 0).len(), 50);
    assert_eq!(source.counters.segments_skipped.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_playlist_behind_a_plain_address_is_recognised() {
    let server = Server::start().await;
    server.video(0..3);
    server.body("/channel", vod(0..3));
    let mut source = start(&server.url("/channel"), context());
    assert_eq!(times(&source.rest().await, 0), whole(0, 3));
}

#[tokio::test]
async fn the_end_of_a_live_stream_is_not_the_end_of_the_source() {
    let server = Server::start().await;
    server.video(0..30);
    server.body("/live.m3u8", live(0, 0..3));
    let mut source = start(&server.url("/live.m3u8"), context());
    until_count(&mut source, 74).await;
    server.body("/live.m3u8", live(0, 0..4) + "#EXT-X-ENDLIST\n");
    until_count(&mut source, 26).await;
    server.asked("/live.m3u8", 3).await;
    server.body("/live.m3u8", live(0, 20..23));
    let events = until_count(&mut source, 70).await;
    assert_eq!(times(&events, 0)[..70], seconds(20, 23)[..70]);
}

/// DTS relative to the first video sample, PTS minus DTS, sync and bytes of every sample, by kind of track.
fn samples_by_kind(events: &[MediaEvent]) -> (Vec<SampleFacts>, Vec<SampleFacts>) {
    let mut kinds = HashMap::new();
    for event in events {
        if let MediaEvent::Track { track, params } = event {
            kinds.insert(*track, params.kind());
        }
    }
    let of = |kind| {
        let wanted = |s: &&crate::container::MediaSample| kinds.get(&s.track) == Some(&kind);
        let samples = events.iter().filter_map(|event| match event {
            MediaEvent::Sample(sample) => Some(sample),
            _ => None,
        });
        samples.filter(wanted).cloned().collect::<Vec<_>>()
    };
    let (video, audio) = (of(TrackKind::Video), of(TrackKind::Audio));
    // MP4 counts from another zero than TS: the first picture's presentation is common to both.
    let zero = video[0].pts.0;
    let facts = |samples: Vec<crate::container::MediaSample>| {
        samples.into_iter().map(|s| (s.dts.0 - zero, s.pts.0 - zero, s.sync, s.data)).collect()
    };
    (facts(video), facts(audio))
}

/// The NAL units of an H.264 sample, without parameter sets and delimiters: ffmpeg copies those into MP4 samples.
fn slices(sample: &[u8]) -> Vec<&[u8]> {
    let mut units = Vec::new();
    let mut rest = sample;
    while let Some((length, after)) = rest.split_at_checked(4) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let (unit, next) = after.split_at(length);
        if !matches!(unit[0] & 0x1f, 7..=9) {
            units.push(unit);
        }
        rest = next;
    }
    units
}

type SampleFacts = (i64, i64, bool, Bytes);

#[tokio::test]
async fn what_ffmpeg_segments_is_put_together_again() {
    let demo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo.ts");
    let mut direct = start(&format!("file:{}", demo.display()), real_context());
    let expected = samples_by_kind(&direct.rest().await);
    assert_eq!((expected.0.len(), expected.1.len()), (400, 750));
    let ts = ["-map", "0", "-hls_flags", "program_date_time", "list.m3u8"];
    let fmp4 = ["-map", "0", "-hls_segment_type", "fmp4", "list.m3u8"];
    let apart = [
        "-map",
        "0:v",
        "-map",
        "0:a",
        "-hls_segment_type",
        "fmp4",
        "-master_pl_name",
        "list.m3u8",
        "-var_stream_map",
        "v:0,agroup:a a:0,agroup:a,language:eng",
        "-hls_fmp4_init_filename",
        "init_%v.mp4",
        "sub_%v.m3u8",
    ];
    for (name, arguments) in [("ts", &ts[..]), ("fmp4", &fmp4[..]), ("apart", &apart[..])] {
        let dir = tempfile::tempdir().unwrap();
        let made = tokio::process::Command::new("ffmpeg")
            .current_dir(dir.path())
            .args(["-hide_banner", "-loglevel", "error", "-i"])
            .arg(&demo)
            .args(["-c", "copy", "-f", "hls", "-hls_time", "4", "-hls_list_size", "0", "-hls_playlist_type", "vod"])
            .args(if name == "ts" { &[][..] } else { &["-bsf:a", "aac_adtstoasc"][..] })
            .args(arguments)
            .status()
            .await
            .expect("these tests need ffmpeg: apt-get install ffmpeg");
        assert!(made.success(), "{name}");
        let server = Server::start().await;
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            server.body(&format!("/{}", path.file_name().unwrap().to_str().unwrap()), std::fs::read(&path).unwrap());
        }
        let mut source = start(&server.url("/list.m3u8"), real_context());
        let events = source.rest().await;
        let got = samples_by_kind(&events);
        for (kind, expected, got) in [("video", &expected.0, &got.0), ("audio", &expected.1, &got.1)] {
            assert_eq!(expected.len(), got.len(), "{name} {kind}");
            for (n, (e, g)) in expected.iter().zip(got).enumerate() {
                let same = if kind == "video" { slices(&e.3) == slices(&g.3) } else { e.3 == g.3 };
                assert!(same && e.2 == g.2, "{name} {kind} {n}: other bytes");
                assert!((e.0 - g.0).abs() <= 2 && (e.1 - g.1).abs() <= 2, "{name} {kind} {n}: {e:?} {g:?}");
            }
        }
        assert!(!events.iter().any(|e| matches!(e, MediaEvent::Damage(_) | MediaEvent::Discontinuity(_))), "{name}");
        let walls = events.iter().filter(|e| matches!(e, MediaEvent::WallTime { .. })).count();
        assert_eq!(walls, if name == "ts" { 4 } else { 0 });
        let track = |event: &MediaEvent| matches!(event, MediaEvent::Track { .. });
        assert_eq!(events.iter().filter(|e| track(e)).count(), 2, "{name}");
    }
}
