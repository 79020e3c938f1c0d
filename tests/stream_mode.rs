//! Stream mode over real HTTP: bytes, beginning, pace, gaps, the live edge, the end of a connection, memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod media_bed;
#[path = "support/ts_check.rs"]
#[allow(dead_code, reason = "not all of it is used here")]
mod ts_check;

use evertape::media::{Segment, UtcUs};
use futures::StreamExt;
use media_bed::{Archive, Cut, GOP, Kind, Node, SEGMENT_SECONDS, clip, header, media};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Media that is sent at once.
const BURST_S: f64 = 5.0;
/// Of the clip, in seconds.
const LENGTH: u32 = 40;
/// A piece, and what a busy machine may be late or early by.
const SLACK_S: f64 = 2.0;

/// A stream that is being read.
struct Watching {
    body: futures::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    taken: Vec<u8>,
    ended: bool,
}

impl Watching {
    async fn of(node: &Node, path: &str) -> Self {
        let answer = node.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(header(&answer, "content-type"), "video/mp2t");
        assert_eq!(header(&answer, "cache-control"), "no-store");
        assert_eq!(header(&answer, "content-length"), "");
        Self { body: answer.bytes_stream().boxed(), taken: Vec::new(), ended: false }
    }

    /// Reads for so long.
    async fn during(&mut self, seconds: f64) {
        let until = tokio::time::Instant::now() + Duration::from_secs_f64(seconds);
        while let Ok(piece) = tokio::time::timeout_at(until, self.body.next()).await {
            match piece {
                Some(piece) => self.taken.extend_from_slice(&piece.unwrap()),
                None => {
                    self.ended = true;
                    return;
                }
            }
        }
    }

    /// Reads until so many seconds of media were sent.
    async fn until_media(&mut self, seconds: f64) {
        let end = Instant::now() + Duration::from_secs(60);
        while self.media_s() < seconds {
            assert!(Instant::now() < end, "only {} s of media", self.media_s());
            self.during(0.2).await;
        }
    }

    /// Seconds of media, by the PCRs, whole time bases added up.
    fn media_s(&self) -> f64 {
        let mut total = 0.0;
        let mut last: Option<u64> = None;
        for packet in self.taken.chunks_exact(188) {
            if packet[3] & 0x20 == 0 || packet[4] < 7 || packet[5] & 0x10 == 0 {
                continue;
            }
            let pcr =
                u64::from(u32::from_be_bytes(packet[6..10].try_into().unwrap())) << 1 | u64::from(packet[10] >> 7);
            // A new time base begins.
            if packet[5] & 0x80 == 0
                && let Some(last) = last
            {
                total += (pcr.wrapping_sub(last) % (1 << 33)) as f64 / 90_000.0;
            }
            last = Some(pcr);
        }
        total
    }

    /// The packets so far, checked: no fault in continuity, clocks and tables.
    fn checked(&self) -> ts_check::Report {
        // Up to where a picture or a PCR begins: what is cut off at the end says nothing.
        let has_pcr = |p: &[u8]| p[3] & 0x20 != 0 && p[4] >= 7 && p[5] & 0x10 != 0;
        let packets = self.taken.chunks_exact(188).rposition(has_pcr).expect("a PCR");
        let report = ts_check::check(&self.taken[..packets * 188]);
        report.assert_clean();
        report
    }

    /// Numbers of the frames in it.
    async fn frames(&self) -> Vec<i64> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("taken.ts");
        std::fs::write(&file, &self.taken).unwrap();
        let mut frames = media::frame_numbers(file.to_str().unwrap(), &[]).await;
        // The last ones may be cut off in the middle.
        frames.truncate(frames.len().saturating_sub(3));
        frames
    }
}

fn assert_consecutive(frames: &[i64]) {
    assert!(frames.len() > 20, "{frames:?}");
    assert!(frames.windows(2).all(|w| w[1] == w[0] + 1), "{frames:?}");
}

fn now() -> UtcUs {
    evertape::clock::now()
}

async fn one_show(kind: Kind, ago_s: i64) -> (Archive, PathBuf, UtcUs, Vec<Segment>) {
    let archive = Archive::new().await;
    let clip = clip(archive.dir.path(), kind, LENGTH).await;
    let start = UtcUs::from_seconds(now().seconds() - ago_s);
    let rows = archive.publish(&Cut::of(&clip, start)).await;
    (archive, clip, start, rows)
}

async fn plays(kind: Kind) {
    let (archive, _, start, _) = one_show(kind, 3600).await;
    let node = archive.serve(None).await;
    let t = start.seconds() + 6;
    let mut watching = Watching::of(&node, &format!("timeshift_abs/{t}")).await;
    watching.during(7.0).await;
    // Ten seconds and more: the burst and what has gone by, and not much else.
    let media = watching.media_s();
    assert!(media > 10.0 - SLACK_S && media < BURST_S + 7.0 + SLACK_S, "{media} s of media in 7 s");
    let report = watching.checked();
    assert_eq!(report.pids.len(), 2);
    assert_eq!(report.new_time_bases, 0);
    let frames = watching.frames().await;
    assert_eq!(frames[0], 6 * media::FPS, "not the sync sample of the moment");
    assert_consecutive(&frames);
}

#[tokio::test(flavor = "multi_thread")]
async fn plays_h264_in_real_time_from_the_moment() {
    plays(Kind::H264).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plays_hevc_in_real_time_from_the_moment() {
    plays(Kind::Hevc).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plays_mpeg2_in_real_time_from_the_moment() {
    plays(Kind::Mpeg2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plays_radio() {
    let (archive, _, start, _) = one_show(Kind::Radio, 3600).await;
    let node = archive.serve(None).await;
    let mut watching = Watching::of(&node, &format!("timeshift_abs-{}.ts", start.seconds() + 3)).await;
    watching.during(3.0).await;
    let media = watching.media_s();
    assert!(media > 5.0 && media < BURST_S + 3.0 + SLACK_S, "{media}");
    assert_eq!(watching.checked().pids.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn begins_where_there_is_something() {
    let (archive, _, start, _) = one_show(Kind::H264, 3600).await;
    let node = archive.serve(None).await;
    let first_frame = async |path: &str| {
        let mut watching = Watching::of(&node, path).await;
        watching.until_media(2.0).await;
        watching.frames().await[0]
    };
    let begin = start.seconds();
    // A sync sample each second, several in a segment.
    assert!(i64::from(SEGMENT_SECONDS) * media::FPS > GOP);
    assert_eq!(first_frame(&format!("timeshift_abs/{}", start.millis() + 7_990)).await, 7 * media::FPS);
    assert_eq!(first_frame(&format!("timeshift_abs-{}.ts", begin + 9)).await, 9 * media::FPS);
    // Before the first recording, by whatever name.
    assert_eq!(first_frame(&format!("timeshift_abs/{}", begin - 5000)).await, 0);
    assert_eq!(first_frame("timeshift_rel/90000").await, 0);
    let ago = now().seconds() - begin;
    let frame = first_frame(&format!("timeshift_rel/{}", ago - 12)).await;
    assert!((11 * media::FPS..=16 * media::FPS).contains(&frame), "{frame}");

    for path in [
        format!("timeshift_abs/{}", now().seconds() + 100),
        // Nothing comes after the show, and has not for long.
        format!("timeshift_abs/{}", begin + i64::from(LENGTH) + 600),
        "timeshift_rel/0".to_owned(),
        format!("tracks-a7/timeshift_abs/{begin}"),
    ] {
        let answer = node.get(&path).await;
        assert_eq!(answer.status(), 404, "{path}");
        assert!(header(&answer, "content-type").contains("problem+json"), "{path}");
    }
    let future = node.get(&format!("timeshift_abs/{}", now().seconds() + 100)).await;
    assert_eq!(header(&future, "cache-control"), "no-store");
    let other = node.client.get(format!("{}x/timeshift_rel/5", node.base)).send().await.unwrap();
    assert_eq!(other.status(), 404);

    // HEAD says the same and sends nothing; a range means nothing.
    let path = format!("timeshift_abs/{begin}");
    let head = node.head(&path).await;
    assert_eq!((head.status().as_u16(), header(&head, "content-type").as_str()), (200, "video/mp2t"));
    assert_eq!(node.with(&path, &[("range", "bytes=0-99")]).await.status(), 200);

    // Tracks.
    let mut sound = Watching::of(&node, &format!("tracks-a1/timeshift_abs/{begin}")).await;
    sound.until_media(2.0).await;
    assert_eq!(sound.checked().pids.len(), 1);
    // HTTP/1.0: no chunks, ends with the connection.
    let mut tcp = tokio::net::TcpStream::connect(node.address).await.unwrap();
    tcp.write_all(format!("GET /demo/{path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
    let mut got = vec![0; 4096];
    tcp.read_exact(&mut got).await.unwrap();
    let text = String::from_utf8_lossy(&got).to_lowercase();
    let body = text.find("\r\n\r\n").unwrap() + 4;
    assert!(text.starts_with("http/1.0 200") && !text.contains("transfer-encoding"), "{}", &text[..body]);
    assert_eq!((got[body], got[body + 188]), (0x47, 0x47));
}

#[tokio::test(flavor = "multi_thread")]
async fn gaps_are_jumped_over_and_flagged() {
    let archive = Archive::new().await;
    let short = clip(archive.dir.path(), Kind::H264, 8).await;
    let long = clip(archive.dir.path(), Kind::H264, LENGTH).await;
    let start = UtcUs::from_seconds(now().seconds() - 90_000);
    let second = start.plus_us(100 * 1_000_000);
    // A short gap, and one of a day.
    archive.publish(&Cut::of(&short, start)).await;
    archive.publish(&Cut::of(&short, second)).await;
    archive.publish(&Cut::of(&long, UtcUs::from_seconds(now().seconds() - 3600))).await;
    let node = archive.serve(None).await;
    for form in ["abs", "rel"] {
        let path = match form {
            "abs" => format!("timeshift_abs/{}", start.seconds() + 4),
            // In the middle of a second between two sync samples, whatever the time is.
            _ => format!("timeshift_rel/{}", now().seconds() - start.seconds() - 4),
        };
        let mut watching = Watching::of(&node, &path).await;
        watching.during(10.0).await;
        // Four seconds, eight seconds, and then the third show: nothing was waited for.
        let media = watching.media_s();
        assert!(media > 12.0 && media < BURST_S + 10.0 + SLACK_S, "{path}: {media}");
        let report = watching.checked();
        assert_eq!(report.new_time_bases, 2, "{path}: a break has no flag, or there are too many");
        let frames = watching.frames().await;
        let runs: Vec<&[i64]> = frames.chunk_by(|a, b| *b == a + 1).collect();
        let begins: Vec<i64> = runs.iter().map(|r| r[0]).collect();
        assert_eq!(begins, [4 * media::FPS, 0, 0], "{path}: {frames:?}");
        let whole = 8 * media::FPS;
        assert_eq!((*runs[0].last().unwrap(), *runs[1].last().unwrap()), (whole - 1, whole - 1), "{path}");
    }
    // From inside a gap: the next show, at once.
    for inside in [start.plus_us(50 * 1_000_000), start.plus_us(40_000 * 1_000_000)] {
        let mut watching = Watching::of(&node, &format!("timeshift_abs/{}", inside.seconds())).await;
        watching.until_media(2.0).await;
        assert_eq!(watching.checked().new_time_bases, 0);
        assert_eq!(watching.frames().await[0], 0);
    }
}

/// Publishes `cut` as a recorder would: each segment a moment after its end.
fn record_live(archive: &std::sync::Arc<Archive>, cut: Cut) -> tokio::task::JoinHandle<()> {
    let archive = archive.clone();
    tokio::spawn(async move {
        for n in 0..cut.len() {
            let end = cut.start().plus_us((n as i64 + 1) * i64::from(SEGMENT_SECONDS) * 1_000_000 + 300_000);
            tokio::time::sleep(Duration::from_micros(end.since(now()).max(0) as u64)).await;
            archive.publish_one(&cut, n).await;
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn goes_on_as_live_at_the_live_edge() {
    let archive = std::sync::Arc::new(Archive::new().await);
    let clip = clip(archive.dir.path(), Kind::H264, LENGTH).await;
    // On air for 20 s already.
    let start = now().plus_us(-20_000_000);
    let recording = record_live(&archive, Cut::of(&clip, start));
    let node = archive.serve(None).await;
    while node.get("timeshift_rel/15").await.status() != 200 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let from = (now().since(start) / 1_000_000 - 15).max(0);
    let mut delayed = Watching::of(&node, "timeshift_rel/15").await;
    let mut live = Vec::new();
    for _ in 0..10 {
        live.push(Watching::of(&node, "timeshift_rel/0").await);
    }
    let asked = archive.asked.injected();
    tokio::join!(futures::future::join_all(live.iter_mut().map(|w| w.during(13.0))), delayed.during(13.0));
    // The index is asked for all viewers together, and not in a loop.
    let asked = archive.asked.injected() - asked;
    assert!((4..120).contains(&asked), "the index was asked {asked} times");
    for (watching, name) in [(&live[0], "live"), (&live[9], "live, too"), (&delayed, "delayed")] {
        assert!(!watching.ended, "{name} ended");
        let media = watching.media_s();
        assert!(media > 12.0, "{name}: {media}");
        assert!(media < BURST_S + 13.0 + SLACK_S, "{name}: {media}");
        assert_eq!(watching.checked().new_time_bases, 0);
        assert_consecutive(&watching.frames().await);
    }
    let first = delayed.frames().await[0];
    assert!((first / media::FPS - from).abs() <= 2, "{first} is not {from} s into the show");
    recording.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_at_the_same_moment_share_what_is_read() {
    let (archive, _, start, _) = one_show(Kind::H264, 3600).await;
    let node = archive.serve(None).await;
    archive.store.taken();
    let path = format!("timeshift_abs/{}", start.seconds());
    let watch = async |_| {
        let mut watching = Watching::of(&node, &path).await;
        watching.during(6.0).await;
        watching.taken.truncate(watching.taken.len() / 188 * 188);
        watching.taken
    };
    let taken = futures::future::join_all((0..20).map(watch)).await;
    let least = taken.iter().map(Vec::len).min().unwrap();
    assert!(least > 100_000 && taken.iter().all(|t| t[..least] == taken[0][..least]));
    let reads = archive.store.taken();
    let mut objects: Vec<&String> = reads.iter().map(|(key, _)| key).collect();
    objects.sort();
    objects.dedup();
    assert!((2..=4).contains(&objects.len()), "{reads:?}");
    assert_eq!(objects.len(), reads.len(), "an object was read twice: {reads:?}");
}

/// A value of `/metrics`.
async fn metric(node: &Node, name: &str) -> f64 {
    let url = format!("http://{}/metrics", node.address);
    let text = node.client.get(url).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find(|l| l.starts_with(name) && l[name.len()..].starts_with(' '));
    line.and_then(|l| l.rsplit(' ').next()).map_or(0.0, |v| v.parse().unwrap())
}

async fn wait_for_open(node: &Node, expected: f64, within: Duration) {
    let until = Instant::now() + within;
    while metric(node, "evertape_streams_open").await != expected {
        assert!(Instant::now() < until, "{} streams are open", metric(node, "evertape_streams_open").await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_connection_is_noticed_and_a_stop_ends_all() {
    let (archive, _, start, _) = one_show(Kind::H264, i64::from(LENGTH)).await;
    let mut node = archive.serve_measured().await;
    // While there is something to send, and while waiting at the live edge: the show is over by now.
    for path in [format!("timeshift_abs/{}", start.seconds() + 2), "timeshift_rel/0".to_owned()] {
        for reset in [false, true] {
            let mut tcp = tokio::net::TcpStream::connect(node.address).await.unwrap();
            tcp.write_all(format!("GET /demo/{path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
            let mut buffer = vec![0; 1 << 20];
            let end = tokio::time::Instant::now() + Duration::from_secs(if path.contains("rel") { 12 } else { 1 });
            while let Ok(read) = tokio::time::timeout_at(end, tcp.read(&mut buffer)).await {
                assert!(read.unwrap() > 0, "{path}: ended by itself");
            }
            assert_eq!(metric(&node, "evertape_streams_open").await, 1.0, "{path}");
            if reset {
                tcp.set_zero_linger().unwrap();
            }
            drop(tcp);
            wait_for_open(&node, 0.0, Duration::from_secs(5)).await;
        }
    }
    assert!(metric(&node, "evertape_stream_bytes_total").await > 100_000.0);
    // Nobody is counted for a HEAD or a refusal.
    node.head("timeshift_rel/0").await;
    node.get("timeshift_abs/99999999999").await;
    wait_for_open(&node, 0.0, Duration::from_secs(5)).await;
    // So many and no more.
    let mut open = Vec::new();
    for _ in 0..media_bed::MOST_STREAMS {
        open.push(Watching::of(&node, &format!("timeshift_abs/{}", start.seconds())).await);
    }
    let refused = node.get("timeshift_rel/0").await;
    assert_eq!((refused.status().as_u16(), header(&refused, "retry-after").as_str()), (503, "2"));
    // The end of the server is the end of all of them.
    node.cancel.cancel();
    for watching in &mut open {
        watching.during(20.0).await;
        assert!(watching.ended);
    }
    (&mut node.served).await.unwrap().unwrap();
}

/// Resident memory of this process in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
}

/// 40 s of MPEG-2 video that compresses badly: about 25 Mbit/s.
async fn heavy_clip(dir: &Path) -> PathBuf {
    let path = dir.join("heavy.ts");
    let arguments = "-y -v error -f rawvideo -pix_fmt yuv420p -s 640x360 -r 25 -t 40 -i /dev/urandom -f lavfi \
                     -i sine=f=440:r=48000:d=40 -c:v mpeg2video -g 25 -b:v 25M -minrate 25M -maxrate 25M -bufsize 8M \
                     -c:a mp2";
    let mut arguments: Vec<&str> = arguments.split_whitespace().collect();
    arguments.push(path.to_str().unwrap());
    media::run("ffmpeg", &arguments).await;
    path
}

#[test]
fn a_connection_holds_less_than_four_mebibytes() {
    // As the program does it.
    evertape::memory::limit_arenas();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(what_a_connection_holds());
}

async fn what_a_connection_holds() {
    const VIEWERS: usize = 50;
    let archive = Archive::new().await;
    let start = UtcUs::from_seconds(now().seconds() - 3600);
    let rows = {
        let clip = heavy_clip(archive.dir.path()).await;
        archive.publish(&Cut::of(&clip, start)).await
    };
    assert!(rows[0].object_length > 8 << 20, "{} bytes are too few", rows[0].object_length);
    let node = archive.serve_with(16 << 20).await;
    // Caches and pools are full before it is measured.
    let moment = |n: usize| format!("timeshift_abs/{}", start.millis() + n as i64 * 30_000 / VIEWERS as i64);
    for n in 0..8 {
        let mut first = Watching::of(&node, &moment(n * 6)).await;
        first.during(0.3).await;
    }
    let before = resident();
    let mut open = Vec::new();
    for n in 0..VIEWERS {
        // Raw sockets that are read a little: what is not taken stays with the server.
        let mut tcp = tokio::net::TcpStream::connect(node.address).await.unwrap();
        let request = format!("GET /demo/{} HTTP/1.1\r\nHost: x\r\n\r\n", moment(n));
        tcp.write_all(request.as_bytes()).await.unwrap();
        open.push(tcp);
    }
    let (mut peak, mut buffer) = (before, vec![0; 64 << 10]);
    for _ in 0..40 {
        for tcp in &mut open {
            let _ = tcp.try_read(&mut buffer);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        peak = peak.max(resident());
    }
    let each = (peak - before) / VIEWERS as u64;
    println!("{} KiB for each of {VIEWERS} viewers", each >> 10);
    assert!(each < 4 << 20, "{each} bytes for each connection");
}

/// Each part that is being made holds its samples and its packets: many viewers at once wait for their turn.
#[tokio::test(flavor = "multi_thread")]
async fn few_parts_are_made_at_a_time() {
    let most = 16 + 2 * std::thread::available_parallelism().unwrap().get();
    let viewers = 2 * most;
    let archive = Archive::new().await;
    let start = UtcUs::from_seconds(now().seconds() - 3600);
    let clip = heavy_clip(archive.dir.path()).await;
    archive.publish(&Cut::of(&clip, start)).await;
    archive.store.near();
    let node = archive.serve_with(16 << 20).await;
    // Segments that are proven are read for each who wants a part.
    for n in 0..8 {
        Watching::of(&node, &format!("timeshift_abs/{}", start.seconds() + n * 5)).await;
    }
    archive.store.slow(Duration::from_millis(150));
    let moments =
        (0..viewers).map(|n| format!("timeshift_abs/{}", start.millis() + n as i64 * 30_000 / viewers as i64));
    let begin = moments.map(|moment| {
        let node = &node;
        async move { Watching::of(node, &moment).await }
    });
    let watching = futures::future::join_all(begin).await;
    assert_eq!(watching.len(), viewers);
    let reading = archive.store.most_reading();
    assert!((most / 2..=most).contains(&reading), "{reading} at a time, of {most}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_waited_out_and_lost_objects_are_left_out() {
    let (archive, _, start, rows) = one_show(Kind::H264, 3600).await;
    let node = archive.serve(None).await;
    // The second segment is gone; the one after it follows.
    std::fs::remove_file(archive.dir.path().join("objects").join(rows[1].object.as_str())).unwrap();
    let mut watching = Watching::of(&node, &format!("timeshift_abs/{}", start.seconds())).await;
    watching.during(5.0).await;
    assert_eq!(watching.checked().new_time_bases, 1);
    let frames = watching.frames().await;
    let runs: Vec<&[i64]> = frames.chunk_by(|a, b| *b == a + 1).collect();
    let segment = i64::from(SEGMENT_SECONDS) * media::FPS;
    assert_eq!((runs.len(), runs[1][0]), (2, 2 * segment), "{frames:?}");
    // The store is away for some seconds: less than is sent ahead.
    archive.store.away(true);
    watching.during(3.0).await;
    archive.store.away(false);
    watching.during(6.0).await;
    assert!(!watching.ended);
    let media = watching.media_s();
    assert!(media > 12.0, "{media}");
    assert_eq!(watching.checked().new_time_bases, 1, "nothing was left out");
    // Whoever begins meanwhile is told.
    archive.store.away(true);
    let answer = archive.serve(None).await.get(&format!("timeshift_abs/{}", start.seconds() + 30)).await;
    assert_eq!(answer.status(), 503);
}
