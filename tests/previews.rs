//! One picture: the frame of the moment, as MP4 and as JPEG, from a small range of one object.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod media_bed;

use evertape::media::{Segment, UtcUs};
use evertape::web::preview::JpegOptions;
use media_bed::{Archive, Cut, GOP, Kind, Node, clip, header, media};
use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const FRAME_US: i64 = 40_000;
/// Of the clip, in seconds.
const LENGTH: u32 = 14;
/// From the start of the first show to that of the second.
const SECOND: i64 = 200;

fn ffmpeg() -> JpegOptions {
    JpegOptions { ffmpeg: "ffmpeg".into(), width: 320, processes: 2 }
}

/// Number of the one frame that `bytes` are a file of.
async fn frame(bytes: &[u8], name: &str) -> i64 {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(name);
    std::fs::write(&file, bytes).unwrap();
    let numbers = media::frame_numbers(file.to_str().unwrap(), &[]).await;
    assert_eq!(numbers.len(), 1, "{name} holds {} frames", numbers.len());
    numbers[0]
}

async fn problem(answer: reqwest::Response, status: u16) -> String {
    assert_eq!(answer.status(), status, "{}", answer.url());
    let body: serde_json::Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    let detail = body["detail"].as_str().unwrap().to_owned();
    assert!(detail.ends_with('.') && detail.contains(' '), "{detail}");
    detail
}

/// Two shows of one clip, the second [`SECOND`] s later, both an hour ago.
async fn recorded(kind: Kind) -> (Archive, UtcUs, Vec<Segment>) {
    let archive = Archive::new().await;
    let clip = clip(archive.dir.path(), kind, LENGTH).await;
    let start = UtcUs::from_seconds(evertape::clock::now().seconds() - 3600);
    let rows = archive.publish(&Cut::of(&clip, start)).await;
    archive.publish(&Cut::of(&clip, start.plus_us(SECOND * 1_000_000))).await;
    (archive, start, rows)
}

async fn the_frame_of_the_moment(kind: Kind) {
    let (archive, start, rows) = recorded(kind).await;
    let node = archive.serve(Some(ffmpeg())).await;
    assert!(rows[0].tracks[0].sync_count > 1, "a segment should hold several sync samples");
    assert_eq!(rows[0].id.start, start);
    archive.store.taken();
    let mut seen = HashSet::new();
    for ms in [0, 39, 999, 1000, 1001, 3500, 4000, 7999, 9040, 13_999] {
        let at = start.millis() + ms;
        let answer = node.get(&format!("{at}-preview.mp4")).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(header(&answer, "content-type"), "video/mp4");
        let bytes = answer.bytes().await.unwrap();
        let expected = ms * 1000 / FRAME_US / GOP * GOP;
        assert_eq!(frame(&bytes, "preview.mp4").await, expected, "{kind:?} at {ms} ms");
        // One read, of the pictures of the segment, which alone have a checksum, for all pictures in it; what is sent is
        // one picture behind a head of a few hundred bytes.
        let shown = rows.iter().find(|r| r.range().contains(UtcUs(at * 1000))).expect("a segment of the first show");
        let reads = archive.store.taken();
        match seen.insert(shown.id.sequence) {
            true => {
                let part = &shown.tracks[0];
                assert_eq!(reads, [(shown.object.to_string(), part.offset..part.offset + part.length)]);
            }
            false => assert_eq!(reads, [], "the same segment is read once"),
        }
        let head = bytes.windows(4).position(|w| w == b"mdat").expect("an mdat") + 4;
        assert!((300..1200).contains(&head), "a head of {head} bytes");
        assert!(bytes.len() as u64 * 3 < shown.object_length, "{} bytes for one picture", bytes.len());
        let info = mp4::Mp4Reader::read_header(std::io::Cursor::new(&bytes[..]), bytes.len() as u64);
        if kind == Kind::H264 {
            assert_eq!(info.expect("an MP4 file").sample_count(1).unwrap(), 1);
        }
    }
    let jpeg = node.get(&format!("{}-preview.jpg", start.millis() + 3500)).await;
    assert_eq!((jpeg.status().as_u16(), header(&jpeg, "content-type").as_str()), (200, "image/jpeg"));
    assert_eq!(frame(&jpeg.bytes().await.unwrap(), "preview.jpg").await, 3500 * 1000 / FRAME_US / GOP * GOP);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_frame_of_the_moment_in_h264() {
    the_frame_of_the_moment(Kind::H264).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_frame_of_the_moment_in_hevc() {
    the_frame_of_the_moment(Kind::Hevc).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_frame_of_the_moment_in_mpeg2() {
    the_frame_of_the_moment(Kind::Mpeg2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gaps_the_newest_and_hostile_moments() {
    let (archive, start, _) = recorded(Kind::H264).await;
    let node = archive.serve(None).await;
    let begin = start.seconds();
    let last = i64::from(LENGTH) * 25 - GOP;
    let picture = async |path: &str| {
        let answer = node.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        let kept = header(&answer, "cache-control");
        (frame(&answer.bytes().await.unwrap(), "preview.mp4").await, kept)
    };
    // In the gap: what was last seen, for a while.
    assert_eq!(picture(&format!("{}-preview.mp4", begin + 40)).await, (last, "public, max-age=3600".into()));
    let said = problem(node.get(&format!("{}-preview.mp4", begin + 100)).await, 404).await;
    assert!(said.contains("Nothing was recorded"), "{said}");
    // Of each show its own; what lies inside a segment never changes.
    let forever = "public, max-age=31536000, immutable";
    assert_eq!(picture(&format!("{}-preview.mp4", begin + SECOND + 2)).await, (50, forever.into()));
    let named = jiff::Timestamp::from_second(begin + 5).unwrap().strftime("%Y/%m/%d/%H/%M/%S").to_string();
    assert_eq!(picture(&format!("{named}-preview.mp4")).await, (125, forever.into()));
    // The newest may change any moment.
    assert_eq!(picture("preview.mp4").await, (last, "public, max-age=2".into()));
    let future = evertape::clock::now().seconds() + 1000;
    let answer = node.get(&format!("{future}-preview.mp4")).await;
    assert_eq!(header(&answer, "cache-control"), "no-store");
    problem(answer, 404).await;
    for hostile in ["0", "1", "99999999999", "4102444800000"] {
        problem(node.get(&format!("{hostile}-preview.mp4")).await, 404).await;
    }
    for hostile in ["-1", "9223372036854775807", "9223372036854775", "99999999999999999999999", "x"] {
        let status = node.get(&format!("{hostile}-preview.mp4")).await.status();
        assert!(status == 404 || status == 400, "{hostile}: {status}");
    }
    let other = node.client.get(format!("{}x/preview.mp4", node.base)).send().await.unwrap();
    problem(other, 404).await;
    let said = problem(node.get("preview.jpg").await, 404).await;
    assert!(said.contains("[preview]"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn conditional_and_partial_requests() {
    let (archive, start, _) = recorded(Kind::H264).await;
    let node = archive.serve(Some(ffmpeg())).await;
    for format in ["mp4", "jpg"] {
        let path = format!("{}-preview.{format}", start.seconds() + 3);
        let answer = node.get(&path).await;
        let (etag, length) = (header(&answer, "etag"), header(&answer, "content-length"));
        let whole = answer.bytes().await.unwrap();
        assert!(etag.starts_with('"') && length == whole.len().to_string(), "{etag} {length}");
        let second = archive.serve(Some(ffmpeg())).await.get(&path).await;
        assert_eq!(header(&second, "etag"), etag, "another node, another tag");
        let head = node.head(&path).await;
        assert_eq!((head.status().as_u16(), header(&head, "content-length")), (200, length));
        archive.store.taken();
        assert_eq!(node.with(&path, &[("if-none-match", &etag)]).await.status(), 304);
        assert_eq!(archive.store.taken(), [], "a 304 reads no object");
        let total = whole.len();
        for (first, last) in [(0, 9), (100, total - 1), (600, 1300), (total - 5, total + 100)] {
            let part = node.with(&path, &[("range", &format!("bytes={first}-{last}")), ("if-range", &etag)]).await;
            assert_eq!(part.status(), 206);
            assert_eq!(part.bytes().await.unwrap(), whole.slice(first..total.min(last + 1)), "{first}-{last}");
        }
        assert_eq!(node.with(&path, &[("range", &format!("bytes={total}-"))]).await.status(), 416);
    }
    // Gone from the store: no promise.
    let path = format!("{}-preview.mp4", start.seconds() + 3);
    std::fs::remove_dir_all(archive.dir.path().join("objects/demo")).unwrap();
    let node = archive.serve(None).await;
    problem(node.get(&path).await, 404).await;
    assert_eq!(node.head(&path).await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_has_no_picture() {
    let (archive, start, _) = recorded(Kind::Radio).await;
    let node = archive.serve(Some(ffmpeg())).await;
    for path in ["preview.mp4".to_owned(), format!("{}-preview.jpg", start.seconds() + 3)] {
        let said = problem(node.get(&path).await, 404).await;
        assert!(said.contains("no picture"), "{said}");
    }
}

/// A program in place of ffmpeg.
fn script(dir: &Path, body: &str) -> PathBuf {
    let path = dir.join("program");
    std::fs::write(&path, format!("#!/bin/sh\necho $$ >> '{}/started'\n{body}\n", dir.display())).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn started(dir: &Path) -> Vec<String> {
    std::fs::read_to_string(dir.join("started")).unwrap_or_default().lines().map(str::to_owned).collect()
}

async fn node_with(archive: &Archive, dir: &Path, body: &str) -> Node {
    archive.serve(Some(JpegOptions { ffmpeg: script(dir, body), width: 160, processes: 2 })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_ask_at_once_share_one_process() {
    let (archive, start, _) = recorded(Kind::H264).await;
    let dir = tempfile::tempdir().unwrap();
    let node = node_with(&archive, dir.path(), "sleep 0.3; exec ffmpeg \"$@\"").await;
    let path = format!("{}-preview.jpg", start.seconds() + 3);
    let answers = futures::future::join_all((0..8).map(|_| node.get(&path))).await;
    let mut bodies = Vec::new();
    for answer in answers {
        assert_eq!(answer.status(), 200);
        bodies.push(answer.bytes().await.unwrap());
    }
    assert!(bodies.iter().all(|b| *b == bodies[0]));
    // Half the width.
    let text = media::run(
        "ffprobe",
        &["-v", "error", "-show_entries", "stream=width,height", "-of", "csv=p=0", &{
            let f = dir.path().join("x.jpg");
            std::fs::write(&f, &bodies[0]).unwrap();
            f.to_str().unwrap().to_owned()
        }],
    )
    .await;
    assert_eq!(String::from_utf8_lossy(&text).trim(), "160,96");
    assert_eq!(node.get(&path).await.status(), 200);
    assert_eq!(started(dir.path()).len(), 1, "one process for all, also for whoever comes later");
    // Another picture of the same moment in other words is the same picture.
    assert_eq!(node.get(&format!("{}-preview.jpg", start.millis() + 3100)).await.status(), 200);
    assert_eq!(started(dir.path()).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_hangs_is_ended() {
    let (archive, start, _) = recorded(Kind::H264).await;
    let dir = tempfile::tempdir().unwrap();
    let node = node_with(&archive, dir.path(), "exec sleep 1000").await;
    let path = format!("{}-preview.jpg", start.seconds() + 3);
    let said = problem(node.get(&path).await, 503).await;
    assert!(said.contains("too long"), "{said}");
    // A viewer who goes away takes it along.
    let other = format!("{}/{}-preview.jpg", node.base, start.seconds() + 5);
    let asked = tokio::spawn(node.client.get(other).send());
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while started(dir.path()).len() < 2 {
        assert!(std::time::Instant::now() < until, "it was not started");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    asked.abort();
    let runs = |pid: &String| {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !state.is_empty() && !state.contains(") Z ")
    };
    while started(dir.path()).iter().any(runs) {
        assert!(std::time::Instant::now() < until, "a process goes on");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_fails_or_floods_is_an_error_and_no_picture() {
    let (archive, start, _) = recorded(Kind::H264).await;
    let path = format!("{}-preview.jpg", start.seconds() + 3);
    for body in [
        "cat > /dev/null; echo broken >&2; exit 1",
        "exec echo not a picture",
        "exec head -c 100000000 /dev/zero",
        "head -c 100000000 /dev/zero >&2; exit 3",
        "exec true",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let node = node_with(&archive, dir.path(), body).await;
        problem(node.get(&path).await, 500).await;
        // Nothing of it is kept.
        problem(node.get(&path).await, 500).await;
        assert_eq!(started(dir.path()).len(), 2, "{body}");
    }
    let nothing = archive.serve(Some(JpegOptions { ffmpeg: "/nonexistent".into(), width: 160, processes: 2 })).await;
    problem(nothing.get(&path).await, 500).await;
}
