use super::*;
use crate::recorder::source::spec::SourceSpec;
use crate::recorder::source::testing::{
    Running, audio, breaks, context, packet, real_context, start, start_spec, times, video,
};
use std::io::Write;

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// Loops at full speed, which the configuration refuses.
fn looped(path: &std::path::Path) -> SourceSpec {
    SourceSpec::File(FileSpec { path: path.to_owned(), looped: true, realtime: false, start: None })
}

#[tokio::test]
async fn a_file_is_read_to_its_end() {
    let file = file(&[video(90_000, 5), audio(91_000, 5)].concat());
    let mut source = start(&format!("file:{}?start=1700000000", file.path().display()), context());
    let first = source.item().await.unwrap();
    assert_eq!(first.arrival, None);
    let mut events = first.events;
    events.extend(source.rest().await);
    assert_eq!(times(&events, 0), [90_000, 93_600, 97_200, 100_800, 104_400]);
    assert_eq!(times(&events, 1).len(), 5);
    let wall = events
        .iter()
        .position(|e| matches!(e, MediaEvent::WallTime { media: Ticks(90_000), utc: UtcUs(1_700_000_000_000_000) }));
    let sample = events.iter().position(|e| matches!(e, MediaEvent::Sample(_)));
    assert_eq!(wall.unwrap() + 1, sample.unwrap());
    assert_eq!(source.counters.bytes_in.load(std::sync::atomic::Ordering::Relaxed), 10 * 188);
}

#[tokio::test]
async fn a_loop_goes_on_evenly_and_keeps_the_tracks_together() {
    // The audio ends half a frame after the video, and begins a little after it.
    let file = file(&[video(90_000, 50), audio(90_900, 51)].concat());
    let mut source = start_spec(looped(file.path()), context());
    let events = source.until(|all| times(all, 0).len() >= 50 * 40).await;
    let (video, audio) = (times(&events, 0), times(&events, 1));
    for (n, dts) in video.iter().enumerate() {
        assert_eq!(*dts, 90_000 + 3600 * n as i64);
    }
    for pair in audio.windows(2) {
        assert!((1800..=5400).contains(&(pair[1] - pair[0])), "{pair:?}");
    }
    // No drift: at the end the audio is beside the video as it was at the beginning.
    assert!((audio[50 * 39] - video[50 * 39] - 900).abs() <= 3600);
    assert_eq!(breaks(&events), 0);
    assert_eq!(events.iter().filter(|e| matches!(e, MediaEvent::Track { .. })).count(), 2);
}

#[tokio::test]
async fn real_time_is_kept() {
    // A second of media, twice.
    let file = file(&video(0, 25));
    let began = std::time::Instant::now();
    let mut source = start(&format!("file:{}?loop=1&realtime=1", file.path().display()), context());
    let mut arrivals = Vec::new();
    let mut count = 0;
    while count < 40 {
        let item = source.item().await.unwrap();
        count += times(&item.events, 0).len();
        arrivals.push(item.arrival.unwrap());
    }
    let took = began.elapsed();
    assert!((Duration::from_millis(1400)..Duration::from_millis(2600)).contains(&took), "{took:?}");
    assert!(arrivals.len() >= 12, "pieces of {} samples come in bursts", count / arrivals.len());
}

#[tokio::test]
async fn a_missing_or_empty_file_is_tried_again_without_haste() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("later.ts");
    // At once, as a whole.
    let put = |bytes: Vec<u8>| {
        std::fs::write(dir.path().join("new"), bytes).unwrap();
        std::fs::rename(dir.path().join("new"), &path).unwrap();
    };
    let began = std::time::Instant::now();
    let mut source = start(&format!("file:{}", path.display()), context());
    let said = async |source: &Running, what: &str| {
        for _ in 0..1000 {
            if source.counters.error().is_some_and(|error| error.contains(what)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it never said {what:?}: {:?}", source.counters.error());
    };
    said(&source, "later.ts").await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    let tried = u128::from(source.counters.reconnects.load(std::sync::atomic::Ordering::Relaxed));
    assert!(tried >= 1 && tried * 4 < 4 + began.elapsed().as_millis(), "{tried} attempts in {:?}", began.elapsed());
    put(video(0, 3));
    assert_eq!(times(&source.rest().await, 0).len(), 3);
    put(vec![0u8; 1000]);
    let source = start_spec(looped(&path), context());
    said(&source, "no media").await;
}

#[tokio::test]
async fn the_demo_clip_loops_without_a_seam() {
    // The clip at full speed, through the real demuxer.
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo.ts");
    let mut source = start_spec(looped(&path), real_context());
    let events = source.until(|all| all.iter().filter(|e| matches!(e, MediaEvent::Sample(_))).count() > 3 * 1150).await;
    let tracks: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            MediaEvent::Track { track, params } => Some((*track, params.kind())),
            _ => None,
        })
        .collect();
    assert_eq!(tracks.len(), 2, "{tracks:?}");
    for (track, kind) in tracks {
        let expected = if kind == TrackKind::Video { 3600 } else { 1920 };
        let times = times(&events, track.0);
        assert!(times.len() > 1000);
        assert!(times.windows(2).all(|p| p[1] - p[0] == expected), "{kind:?}");
    }
    assert!(!events.iter().any(|e| matches!(e, MediaEvent::Damage(_) | MediaEvent::Discontinuity(_))));
}

#[tokio::test]
async fn the_demo_source_runs_in_real_time() {
    let mut source = start("demo:", real_context());
    let item = source.item().await.unwrap();
    assert!(item.arrival.is_some());
    let began = std::time::Instant::now();
    source.until(|all| times(all, 256).len() >= 20).await;
    assert!(began.elapsed() > Duration::from_millis(400));
}

#[tokio::test]
async fn a_file_with_a_break_inside_breaks_at_its_end_too() {
    let mut looper = Looper::new(true, false);
    let params = crate::recorder::source::testing::params(b'v', 0);
    let pass = || {
        vec![
            MediaEvent::Track { track: SourceTrack(0), params: params.clone() },
            sample(0),
            MediaEvent::Discontinuity("inside"),
            sample(500_000),
        ]
    };
    let first = looper.take(pass());
    assert!(looper.end_pass());
    let second = looper.take(pass());
    assert_eq!((breaks(&first), breaks(&second)), (1, 2));
    assert_eq!(times(&second, 0), [0, 500_000]);
    let _ = packet(b'v', 0, 0);
}

fn sample(dts: i64) -> MediaEvent {
    MediaEvent::Sample(MediaSample {
        track: SourceTrack(0),
        dts: Ticks(dts),
        pts: Ticks(dts),
        duration: None,
        sync: true,
        data: bytes::Bytes::new(),
    })
}
