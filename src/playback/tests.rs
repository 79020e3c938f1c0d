//! Whole playlists: golden files for each scenario, two independent parsers, and what must hold over time.

use super::hls::{self, Material, MediaPlace, PlainHls, playlist};
use super::plan::Plan;
use super::url::{Request, Target, parse};
use super::window::{Limits, Recorded, Rows, WindowError, resolve};
use super::{json, summary};
use crate::media::segment::{Segment, SegmentId, TrackPart};
use crate::media::track::{AudioParams, Codec, InitInfo, TrackParams, Uncarried, VideoParams};
use crate::media::{InitHash, ObjectKey, RunId, StreamName, Ticks, TrackId, UtcRange, UtcUs};
use proptest::prelude::*;
use std::collections::HashMap;

/// 2026-11-22T10:00:00Z
const T0: i64 = 1_795_341_600;

fn init(name: &str, params: TrackParams) -> InitInfo {
    InitInfo { hash: InitHash::of(name.as_bytes()), params }
}

fn video(codec: Codec, codec_string: &str, width: u32, height: u32) -> TrackParams {
    TrackParams {
        codec,
        codec_string: codec_string.to_owned(),
        language: None,
        video: Some(VideoParams { width, height }),
        audio: None,
        sample_entry: Vec::new(),
    }
}

fn audio(codec: Codec, codec_string: &str, language: Option<&str>, channels: u16) -> TrackParams {
    TrackParams {
        codec,
        codec_string: codec_string.to_owned(),
        language: language.map(str::to_owned),
        video: None,
        audio: Some(AudioParams { sample_rate: 48_000, channels }),
        sample_entry: Vec::new(),
    }
}

fn inits() -> Vec<InitInfo> {
    vec![
        init("h264", video(Codec::H264, "avc1.640028", 1920, 1080)),
        init("h264-sd", video(Codec::H264, "avc1.4d401e", 720, 576)),
        init("hevc", video(Codec::H265, "hvc1.2.4.L153.B0", 3840, 2160)),
        init("eng", audio(Codec::Aac, "mp4a.40.2", Some("eng"), 2)),
        init("ger", audio(Codec::Aac, "mp4a.40.2", Some("ger"), 2)),
        init("ac3", audio(Codec::Ac3, "ac-3", Some("eng"), 6)),
        init("und", audio(Codec::MpegAudio, "mp4a.40.33", None, 2)),
    ]
}

/// One stream's rows, built one after another.
#[derive(Clone)]
struct Timeline {
    rows: Vec<Segment>,
    sequence: u64,
    discontinuity: u64,
    run: u128,
    at: UtcUs,
    media: Ticks,
    tracks: Vec<(TrackId, &'static str)>,
}

impl Timeline {
    fn new(tracks: &[(TrackId, &'static str)]) -> Self {
        Self {
            rows: Vec::new(),
            sequence: 100,
            discontinuity: 7,
            run: 0x0192_0000_0000_7000_8000_0000_0000_0001,
            at: UtcUs::from_seconds(T0),
            media: Ticks(900_000),
            tracks: tracks.to_vec(),
        }
    }

    fn segment(&mut self, duration_us: i64) -> &mut Self {
        let id = SegmentId {
            stream: StreamName::parse("sport/uhd").unwrap(),
            run: RunId(self.run),
            epoch: 3,
            sequence: self.sequence,
            start: self.at,
            duration_us,
        };
        let duration = Ticks::from_us(duration_us);
        let mut offset = 0;
        let mut tracks = Vec::new();
        for &(track, name) in &self.tracks {
            let length = if track == TrackId::video(1) { 3_000_000 + self.sequence * 1000 } else { 96_000 };
            tracks.push(TrackPart {
                track,
                init: InitHash::of(name.as_bytes()),
                offset,
                length,
                payload_offset: 700,
                decode_start: self.media,
                presentation_start: self.media,
                duration,
                sample_count: (duration.0 / 3600) as u32,
                sync_count: 1,
                starts_with_sync: true,
                duration_runs: 1,
                composition_runs: 1,
            });
            offset += length;
        }
        let object = id.object_key().unwrap_or_else(|| ObjectKey::parse("x").unwrap());
        self.rows.push(Segment {
            id,
            discontinuity: self.discontinuity,
            anchor: self.media,
            object,
            object_offset: 0,
            object_length: offset,
            tracks,
        });
        self.sequence += 1;
        self.at = self.at.plus_us(duration_us);
        self.media = self.media + duration;
        self
    }

    fn segments(&mut self, count: usize) -> &mut Self {
        for _ in 0..count {
            self.segment(6_000_000);
        }
        self
    }

    /// The recorder was away for `us`.
    fn outage(&mut self, us: i64) -> &mut Self {
        self.at = self.at.plus_us(us);
        self.discontinuity += 1;
        self.run += 1;
        self.media = Ticks(0);
        self
    }

    /// Rows of `count` segments never came.
    fn lose(&mut self, count: usize) -> &mut Self {
        self.segments(count);
        self.rows.truncate(self.rows.len() - count);
        self
    }

    fn tracks(&mut self, tracks: &[(TrackId, &'static str)]) -> &mut Self {
        self.tracks = tracks.to_vec();
        self
    }

    fn recorded(&self) -> Option<Recorded> {
        Some(Recorded {
            first_start: self.rows.first()?.id.start,
            live_edge: self.rows.last()?.id.end(),
            longest_us: self.rows.iter().map(Segment::longest_us).max()?,
        })
    }
}

fn av() -> Vec<(TrackId, &'static str)> {
    vec![(TrackId::video(1), "h264"), (TrackId::audio(1), "eng")]
}

fn limits() -> Limits {
    Limits::new(6, 86_400_000_000)
}

/// What the index answers.
fn query(rows: &[Segment], what: Rows) -> Vec<Segment> {
    match what {
        Rows::Overlapping(range) => rows.iter().filter(|r| r.range().overlaps(range)).cloned().collect(),
        Rows::Newest { before, count } => {
            let all: Vec<&Segment> = rows.iter().filter(|r| r.id.start < before).collect();
            all[all.len().saturating_sub(count)..].iter().copied().cloned().collect()
        }
    }
}

fn request(url: &str) -> Request {
    match url.split_once('?') {
        Some((path, query)) => parse(path, Some(query)).unwrap(),
        None => parse(url, None).unwrap(),
    }
}

fn answer(timeline: &Timeline, url: &str, now: UtcUs, base: Option<&str>) -> Result<String, WindowError> {
    let request = request(&format!("/sport/uhd/{url}"));
    let Target::Playlist(target) = &request.target else { panic!("{url} is no playlist") };
    let window = resolve(&target.form, now, timeline.recorded(), &limits())?;
    let rows = query(&timeline.rows, window.rows);
    let (window, rows) = match window.at_least(rows.iter()) {
        Some(wider) => (wider, query(&timeline.rows, wider.rows)),
        None => (window, rows),
    };
    let plan = Plan::build(&window, &rows)?;
    let needed = hls::inits_needed(target, &plan, PlainHls::Auto)?;
    let inits: Vec<InitInfo> = inits().into_iter().filter(|i| needed.contains(&i.hash)).collect();
    let sizes = |sequence| Some(20_000 + sequence as u32);
    let material = Material {
        plain: PlainHls::Auto,
        inits: &inits,
        place: MediaPlace { base_url: base, whole_objects: false },
        first_sample_bytes: &sizes,
    };
    let text = playlist(&request, target, &plan, &material)?;
    two_parsers_agree(&text);
    Ok(text)
}

fn at(seconds: i64) -> UtcUs {
    UtcUs::from_seconds(T0 + seconds)
}

fn two_parsers_agree(text: &str) {
    let (rest, _) = m3u8_rs::parse_playlist(text.as_bytes()).unwrap();
    assert!(rest.is_empty(), "m3u8-rs stopped at {:?}", String::from_utf8_lossy(rest));
    let options = quick_m3u8::config::ParsingOptionsBuilder::new().with_parsing_for_all_tags().build();
    let mut reader = quick_m3u8::Reader::from_str(text, options);
    loop {
        match reader.read_line().unwrap() {
            None => break,
            Some(quick_m3u8::HlsLine::UnknownTag(tag)) => panic!("unknown tag {}", tag.name()),
            Some(_) => {}
        }
    }
}

macro_rules! golden {
    ($name:expr, $text:expr) => {
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!($name, $text.unwrap());
        })
    };
}

fn hour() -> Timeline {
    let mut timeline = Timeline::new(&av());
    timeline.segments(20);
    timeline
}

#[test]
fn vod() {
    let url = format!("archive-{}-20.fmp4.m3u8", T0 + 10);
    golden!("vod_multivariant", answer(&hour(), &url, at(1000), None));
    let url = format!("tracks-v1/archive-{}-20.fmp4.m3u8", T0 + 10);
    golden!("vod_video", answer(&hour(), &url, at(1000), None));
    let url = format!("tracks-a1/archive-{}-12.fmp4.m3u8", T0 + 12);
    golden!("vod_audio_on_a_boundary", answer(&hour(), &url, at(1000), None));
}

#[test]
fn event() {
    golden!("event_finite", answer(&hour(), &format!("tracks-v1/index-{}-60.fmp4.m3u8", T0 + 102), at(125), None));
    golden!("event_start_over", answer(&hour(), &format!("tracks-v1/index-{}-now.fmp4.m3u8", T0 + 110), at(125), None));
    golden!(
        "event_shift_dialect",
        answer(&hour(), &format!("index.fmp4.m3u8?utc={}&lutc={}&token=t", T0 + 110, T0 + 125), at(125), None)
    );
}

#[test]
fn live() {
    golden!("live_multivariant", answer(&hour(), "index.fmp4.m3u8", at(125), None));
    golden!("live_video", answer(&hour(), "tracks-v1/index.fmp4.m3u8", at(125), None));
    golden!("rewind_video", answer(&hour(), "tracks-v1/rewind-48.fmp4.m3u8", at(125), None));
}

#[test]
fn timeshift() {
    golden!("timeshift_rel", answer(&hour(), "tracks-v1/timeshift_rel-65.fmp4.m3u8", at(125), None));
    golden!("timeshift_abs", answer(&hour(), &format!("timeshift_abs-{}.fmp4.m3u8", T0 + 60), at(125), None));
    // The delay has to be fixed before a media playlist can be made.
    let url = format!("tracks-v1/timeshift_abs-{}.fmp4.m3u8", T0 + 60);
    assert!(answer(&hour(), &url, at(125), None).unwrap().contains("../tracks-v1/timeshift_rel-65.fmp4.m3u8"));
}

#[test]
fn gaps() {
    let mut timeline = Timeline::new(&av());
    timeline.segments(2).outage(60_000_000).segments(2).lose(2).segments(2);
    golden!("gap_vod", answer(&timeline, &format!("tracks-v1/archive-{T0}-108.fmp4.m3u8"), at(1000), None));
    golden!("gap_event", answer(&timeline, &format!("tracks-v1/archive-{T0}-now.fmp4.m3u8"), at(1000), None));
}

#[test]
fn a_track_comes_and_goes() {
    let mut timeline = Timeline::new(&av());
    timeline.tracks(&av()[..1]).segments(1).tracks(&av()).segments(1).tracks(&av()[..1]).segments(1);
    golden!("track_missing", answer(&timeline, &format!("tracks-a1/archive-{T0}-18.fmp4.m3u8"), at(1000), None));
    let none = answer(&timeline, &format!("tracks-a2/archive-{T0}-18.fmp4.m3u8"), at(1000), None);
    assert_eq!(none, Err(WindowError::NoSuchTrack));
}

#[test]
fn an_init_segment_changes() {
    let mut timeline = Timeline::new(&av());
    timeline.segments(2).tracks(&[(TrackId::video(1), "h264-sd"), (TrackId::audio(1), "eng")]).segments(2);
    golden!("init_change", answer(&timeline, &format!("tracks-1/archive-{T0}-24.fmp4.m3u8"), at(1000), None));
    golden!("init_change_multivariant", answer(&timeline, &format!("archive-{T0}-24.fmp4.m3u8"), at(1000), None));
}

#[test]
fn languages_and_codecs() {
    let mut timeline = Timeline::new(&[
        (TrackId::video(1), "h264"),
        (TrackId::video(2), "h264-sd"),
        (TrackId::audio(1), "eng"),
        (TrackId::audio(2), "ger"),
        (TrackId::audio(3), "ac3"),
        (TrackId::audio(4), "eng"),
    ]);
    timeline.segments(10);
    golden!("two_languages", answer(&timeline, "tracks-v1a1a2/index.fmp4.m3u8", at(60), None));
    golden!("many_tracks", answer(&timeline, "index.fmp4.m3u8", at(60), None));
    let mut timeline = Timeline::new(&[(TrackId::video(1), "hevc"), (TrackId::audio(1), "und")]);
    timeline.segments(10);
    golden!("hevc", answer(&timeline, "index.fmp4.m3u8", at(60), None));
}

#[test]
fn audio_only() {
    let mut timeline = Timeline::new(&[(TrackId::audio(1), "eng")]);
    timeline.segments(10);
    golden!("audio_only", answer(&timeline, "index.fmp4.m3u8", at(60), None));
    let mut timeline = Timeline::new(&[(TrackId::audio(1), "eng"), (TrackId::audio(2), "ger")]);
    timeline.segments(10);
    golden!("audio_only_two_languages", answer(&timeline, "index.fmp4.m3u8", at(60), None));
}

#[test]
fn queries_and_base_urls() {
    let url = format!("archive/{T0}/6/index.fmp4.m3u8?token=a%20\"\n&utc=5");
    golden!("token_multivariant", answer(&hour(), &url, at(1000), None));
    let url = format!("tracks-v1/archive/{T0}/6/index.fmp4.m3u8?token=a%20\"\n&utc=5");
    golden!("token_video", answer(&hour(), &url, at(1000), None));
    golden!(
        "media_base_url",
        answer(&hour(), &format!("tracks-v1/archive-{T0}-6.fmp4.m3u8?t=1"), at(1000), Some("https://cdn.example/dvr/"))
    );
}

#[test]
fn ts_renditions() {
    let mut timeline = Timeline::new(&[
        (TrackId::video(1), "h264"),
        (TrackId::audio(1), "eng"),
        (TrackId::audio(2), "ger"),
        (TrackId::audio(3), "ac3"),
    ]);
    timeline.segments(10);
    // Plain means MPEG-TS where the picture is H.264.
    let plain = answer(&timeline, "index.m3u8?token=t", at(60), None).unwrap();
    assert_eq!(answer(&timeline, "index.ts.m3u8?token=t", at(60), None).unwrap(), plain);
    golden!("ts_multivariant", Ok::<_, ()>(plain));
    golden!("ts_video_and_sound", answer(&timeline, "tracks-v1a1/index.ts.m3u8?token=t", at(60), None));
    golden!("ts_second_sound", answer(&timeline, &format!("tracks-a2/index-{T0}-12.ts.m3u8"), at(6000), None));
    golden!("ts_timeshift_abs", answer(&timeline, &format!("tracks-v1a1/timeshift_abs-{T0}.ts.m3u8"), at(60), None));
    let mut timeline = Timeline::new(&[(TrackId::audio(1), "eng"), (TrackId::audio(2), "ger")]);
    timeline.segments(10);
    golden!("ts_radio", answer(&timeline, "index.ts.m3u8", at(60), None));
    assert!(answer(&timeline, "index.m3u8", at(60), None).unwrap().contains(".fmp4.m3u8"));
    let mut timeline = Timeline::new(&[(TrackId::video(1), "hevc"), (TrackId::audio(1), "eng")]);
    timeline.segments(10);
    assert!(answer(&timeline, "index.m3u8", at(60), None).unwrap().contains("tracks-v1/index.fmp4.m3u8"));
    assert!(answer(&timeline, "index.ts.m3u8", at(60), None).unwrap().contains("tracks-v1a1/index.ts.m3u8"));
    assert!(answer(&timeline, "tracks-v1a1/index.m3u8", at(60), None).unwrap().contains("#EXT-X-STREAM-INF"));
}

#[test]
fn one_playlist_with_all_tracks() {
    let both = [(TrackId::video(1), "h264"), (TrackId::audio(1), "eng"), (TrackId::audio(2), "ger")];
    let mut timeline = Timeline::new(&both);
    timeline.segments(2).tracks(&both[..1]).segments(1).tracks(&both[..2]).segments(1);
    golden!("mono_ts", answer(&timeline, &format!("mono-{T0}-24.m3u8"), at(6000), None));
    golden!("mono_fmp4", answer(&timeline, &format!("mono-{T0}-24.fmp4.m3u8"), at(6000), None));
    let video = answer(&timeline, &format!("video-{T0}-24.ts.m3u8"), at(6000), None);
    assert_eq!(video, answer(&timeline, &format!("mono-{T0}-24.m3u8"), at(6000), None));
    golden!("mono_timeshift_abs", answer(&timeline, &format!("timeshift_abs_video-{T0}.m3u8?t=1"), at(60), None));
    let mut timeline = Timeline::new(&[(TrackId::video(1), "hevc"), (TrackId::audio(1), "eng")]);
    timeline.segments(10);
    let text = answer(&timeline, "mono.m3u8", at(60), None).unwrap();
    assert!(text.contains("/v1a1.m4s\n") && !text.contains(".ts\n"), "{text}");
}

#[test]
fn pictures_for_trick_play() {
    let mut timeline = Timeline::new(&av());
    timeline.segments(3).outage(60_000_000).segments(1);
    timeline.rows[1].tracks[0].starts_with_sync = false;
    golden!("iframes", answer(&timeline, &format!("tracks-v1/iframes-{T0}-100.fmp4.m3u8?t=1"), at(6000), None));
    assert!(answer(&timeline, "iframes.m3u8", at(90), None).is_ok());
    for url in ["iframes.ts.m3u8", "iframes-timeshift_abs-1.m3u8", "index.mpd"] {
        let url = url.replace("-1.", &format!("-{T0}."));
        let error = answer(&timeline, &url, at(90), None).unwrap_err();
        assert_eq!((error.status(), error.to_string().len() > 20), (404, true), "{url}: {error}");
    }
    assert_eq!(answer(&timeline, "tracks-a1/iframes.m3u8", at(90), None), Err(WindowError::NoSuchTrack));
}

#[test]
fn delta_updates() {
    let mut timeline = Timeline::new(&av());
    timeline.segments(10).outage(60_000_000).segments(14_400);
    let edge = timeline.at;
    let url = format!("tracks-v1/index-{}-now.fmp4.m3u8", T0 + 120);
    let full = answer(&timeline, &url, edge, None).unwrap();
    let delta = answer(&timeline, &format!("{url}?_HLS_skip=YES"), edge, None).unwrap();
    assert!(full.contains("#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=72.0\n") && full.contains("#EXT-X-VERSION:7\n"));
    assert!(delta.len() < 4096 && full.len() > 2_000_000, "{} of {}", delta.len(), full.len());
    golden!("delta", Ok::<_, ()>(delta));
    // Not for what is short or has ended, and no part of it when all is within the boundary.
    for url in ["tracks-v1/index.fmp4.m3u8", &format!("tracks-v1/index-{T0}-60.fmp4.m3u8")] {
        let text = answer(&timeline, &format!("{url}?_HLS_skip=YES"), edge, None).unwrap();
        assert!(!text.contains("SKIP") && text.contains("#EXT-X-VERSION:7\n"), "{text}");
    }
    let short = format!("tracks-v1/index-{}-now.fmp4.m3u8", edge.seconds() - 60);
    let text = answer(&timeline, &format!("{short}?_HLS_skip=v2"), edge, None).unwrap();
    assert_eq!(answer(&timeline, &short, edge, None).unwrap(), text);
    assert!(!text.contains("#EXT-X-SKIP"));
}

#[test]
fn every_uri_is_one_that_the_grammar_reads() {
    let mut timeline = Timeline::new(&av());
    timeline.segments(12);
    for url in [
        "index.m3u8",
        "index.fmp4.m3u8",
        "tracks-v1/index.m3u8?tok=1",
        "tracks-v1/index.fmp4.m3u8?tok=1",
        "timeshift_rel-10.m3u8",
        "tracks-a1/rewind-60.m3u8",
        "mono.m3u8",
        "mono-rewind-60.fmp4.m3u8?tok=1",
        "iframes-rewind-60.m3u8?tok=1",
    ] {
        let text = answer(&timeline, url, at(72), None).unwrap();
        let mut uris: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
        uris.extend(text.split("URI=\"").skip(1).filter_map(|r| r.split('"').next()));
        assert!(uris.len() > 1);
        let page = url::Url::parse(&format!("http://host/sport/uhd/{url}")).unwrap();
        for uri in uris {
            let target = page.join(uri).unwrap();
            let request = parse(target.path(), target.query()).unwrap();
            assert_eq!(request.stream.as_str(), "sport/uhd");
            let query = target.query().map(|q| format!("?{q}")).unwrap_or_default();
            assert_eq!(format!("{}{query}", request.path()), format!("{}{query}", target.path()), "not canonical");
        }
    }
}

#[test]
fn a_hole_too_wide_to_fill() {
    let mut timeline = Timeline::new(&av());
    timeline.segments(8).lose(17).segments(2);
    let edge = timeline.at;
    let text = answer(&timeline, "tracks-v1/index.fmp4.m3u8", edge, None).unwrap();
    assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:125\n") && !text.contains("GAP"), "{text}");
    let text = answer(&timeline, &format!("tracks-v1/index-{T0}-now.fmp4.m3u8"), edge, None).unwrap();
    assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1);
    assert!(!text.contains("GAP"), "{text}");
}

/// What two recorders left uncommitted and was adopted later: a run ends, and no discontinuity was counted.
#[test]
fn a_run_that_ends_uncounted_is_told() {
    let mut timeline = Timeline::new(&av());
    timeline.segments(8);
    (timeline.run, timeline.media) = (timeline.run + 1, Ticks(0));
    timeline.segments(4);
    let edge = timeline.at;
    for form in [format!("archive-{T0}-72"), format!("index-{T0}-now")] {
        for now in [edge, at(2000)] {
            let text = answer(&timeline, &format!("tracks-v1/{form}.fmp4.m3u8"), now, None).unwrap();
            assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{form}: {text}");
        }
    }
    let text = answer(&timeline, "tracks-v1/index.fmp4.m3u8", edge, None).unwrap();
    assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:108\n") && !text.contains("#EXT-X-DISCONTINUITY\n"), "{text}");
}

#[test]
fn the_target_duration_holds_for_long_segments() {
    let mut timeline = Timeline::new(&av());
    timeline.segment(12_499_000).segment(6_000_000);
    let url = format!("tracks-v1/archive-{T0}-18.fmp4.m3u8");
    assert!(answer(&timeline, &url, at(1000), None).unwrap().contains("#EXT-X-TARGETDURATION:12\n"));
    timeline.segment(12_500_000);
    let url = format!("tracks-v1/archive-{T0}-30.fmp4.m3u8");
    assert!(answer(&timeline, &url, at(1000), None).unwrap().contains("#EXT-X-TARGETDURATION:24\n"));
}

#[test]
fn json_answers() {
    let stream = StreamName::parse("sport/uhd").unwrap();
    let span = |a: i64, b: i64| UtcRange::new(UtcUs::from_millis(a), UtcUs::from_millis(b));
    let ranges = [span(1000, 7500), span(9000, 9400), span(20_000, 30_000)];
    assert_eq!(
        json::recording_status(&stream, &ranges, None),
        r#"[{"stream":"sport/uhd","ranges":[{"from":1,"duration":6},{"from":20,"duration":10}]}]"#
    );
    assert_eq!(
        json::recording_status(&stream, &ranges, Some(span(5000, 22_000))),
        r#"[{"stream":"sport/uhd","ranges":[{"from":5,"duration":2},{"from":20,"duration":2}]}]"#
    );
    let first_two = r#"{"opened_at":1000,"closed_at":7500},{"opened_at":9000,"closed_at":9400}"#;
    assert_eq!(json::ranges(&ranges, 2), format!(r#"{{"ranges":[{first_two}],"next_cursor":"20000000"}}"#));
    assert_eq!(json::ranges(&ranges[..2], 2), format!(r#"{{"ranges":[{first_two}]}}"#));
    let timeline = hour();
    let tracks = summary::summarize(timeline.rows.iter(), &inits());
    let uncarried =
        [Uncarried { place: "pid 0x102".into(), what: "DVB subtitles".into(), language: Some("eng".into()) }];
    golden!("media_info", Ok::<_, ()>(json::media_info(&stream, &tracks, &uncarried, Some(span(1, 2)))));
}

/// What a player remembers of a segment.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    uri: String,
    discontinuity: u64,
    date: Option<String>,
    map: Option<String>,
}

/// Reads a media playlist as a player would. Returns target duration and segments by number, gaps left out.
fn read_media(text: &str) -> (u64, Vec<(u64, Seen)>) {
    let value = |name: &str| -> u64 {
        text.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
    };
    let target = value("#EXT-X-TARGETDURATION:");
    let mut number = value("#EXT-X-MEDIA-SEQUENCE:");
    let mut discontinuity = value("#EXT-X-DISCONTINUITY-SEQUENCE:");
    let (mut date, mut map, mut gap, mut segments) = (None, None, false, Vec::new());
    for line in text.lines() {
        if line == "#EXT-X-DISCONTINUITY" {
            discontinuity += 1;
        } else if let Some(d) = line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:") {
            date = Some(d.to_owned());
        } else if let Some(m) = line.strip_prefix("#EXT-X-MAP:") {
            map = Some(m.to_owned());
        } else if line == "#EXT-X-GAP" {
            gap = true;
        } else if let Some(d) = line.strip_prefix("#EXTINF:") {
            let seconds: f64 = d.trim_end_matches(',').parse().unwrap();
            assert!(seconds.round() as u64 <= target, "EXTINF {seconds} over target {target}");
        } else if !line.starts_with('#') {
            if !gap {
                segments
                    .push((number, Seen { uri: line.to_owned(), discontinuity, date: date.take(), map: map.clone() }));
            }
            gap = false;
            number += 1;
        }
    }
    (target, segments)
}

#[derive(Debug, Clone)]
enum Step {
    Segments(usize, i64),
    Outage(i64),
    Lose(usize),
    Mute,
    Both,
    Init,
}

fn any_timeline() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1usize..8, 500_000i64..12_000_000).prop_map(|(n, us)| Step::Segments(n, us)),
        1 => (0i64..200_000_000).prop_map(Step::Outage),
        1 => (1usize..30).prop_map(Step::Lose),
        1 => Just(Step::Mute),
        1 => Just(Step::Both),
        1 => Just(Step::Init),
    ];
    proptest::collection::vec(step, 1..16)
}

fn build(steps: &[Step]) -> Timeline {
    let mut timeline = Timeline::new(&av());
    for step in steps {
        match *step {
            Step::Segments(n, us) => (0..n).for_each(|_| {
                timeline.segment(us);
            }),
            Step::Outage(us) => {
                timeline.outage(us);
            }
            Step::Lose(n) => {
                timeline.lose(n);
            }
            Step::Mute => {
                timeline.tracks(&av()[..1]);
            }
            Step::Both => {
                timeline.tracks(&av());
            }
            Step::Init => {
                timeline.tracks(&[(TrackId::video(1), "h264-sd"), (TrackId::audio(1), "ger")]);
            }
        }
    }
    timeline
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// The recording grows by one segment at a time, and is reloaded each time.
    #[test]
    fn numbers_and_dates_never_change_between_reloads(steps in any_timeline()) {
        let whole = build(&steps);
        let start_over = format!("index-{T0}-now.m3u8");
        let finite = format!("index-{T0}-100.m3u8");
        let all = ["index.m3u8", "rewind-60.m3u8", "timeshift_rel-20.m3u8", &start_over, &finite];
        for url in all {
            // Numbers of one playlist: those of a sliding one hold for all sliding ones.
            let mut seen: HashMap<(&str, u64), Seen> = HashMap::new();
            let mut first_listed: HashMap<&str, u64> = HashMap::new();
            for known in 1..=whole.rows.len() {
                let mut now_known = whole.clone();
                now_known.rows.truncate(known);
                let now = now_known.rows[known - 1].id.end().plus_us(2_000_000);
                let mut discontinuities = Vec::new();
                for track in ["v1", "a1"] {
                    let Ok(text) = answer(&now_known, &format!("tracks-{track}/{url}"), now, None) else { continue };
                    let (target, segments) = read_media(&text);
                    prop_assert_eq!(target, 12);
                    prop_assert_eq!(text.contains("#EXT-X-ENDLIST"), text.contains("TYPE:VOD"));
                    if url == finite && text.contains("TYPE:VOD") {
                        // What is missing is left out of an ended playlist.
                        continue;
                    }
                    let head = text.lines().find_map(|l| l.strip_prefix("#EXT-X-MEDIA-SEQUENCE:")).unwrap();
                    let head: u64 = head.parse().unwrap();
                    let before = first_listed.insert(track, head).unwrap_or(head);
                    prop_assert!(before <= head, "the beginning moved backwards");
                    for (number, now_seen) in segments {
                        discontinuities.push((number, now_seen.discontinuity));
                        if let Some(before) = seen.insert((track, number), now_seen.clone()) {
                            prop_assert_eq!(before, now_seen);
                        }
                    }
                }
                // Matching content has matching discontinuity numbers in all tracks.
                let by_number: HashMap<u64, u64> = discontinuities.iter().copied().collect();
                prop_assert!(discontinuities.iter().all(|(n, d)| by_number[n] == *d));
            }
        }
    }

    /// A sliding playlist numbers segments as they are stored, whatever is missing before.
    #[test]
    fn sliding_numbers_are_the_stored_ones(steps in any_timeline()) {
        let timeline = build(&steps);
        let stored: HashMap<String, (u64, u64)> = timeline.rows.iter()
            .map(|r| (r.id.base_name().to_string(), (r.id.sequence, r.discontinuity))).collect();
        for url in ["index.m3u8", "rewind-120.m3u8", "timeshift_rel-40.m3u8"] {
            let Ok(text) = answer(&timeline, &format!("tracks-v1/{url}"), timeline.at, None) else { continue };
            let (_, segments) = read_media(&text);
            prop_assert!(!segments.is_empty());
            for (number, seen) in segments {
                let base = seen.uri.split('/').nth(2).unwrap();
                prop_assert_eq!((number, seen.discontinuity), stored[base]);
            }
        }
    }

    /// Ended playlists list exactly the segments that overlap the window.
    #[test]
    fn a_finished_window_lists_what_was_recorded(steps in any_timeline(), from in 0i64..100, length in 1i64..200) {
        let timeline = build(&steps);
        let range = UtcRange::new(at(from), at(from + length));
        let expected = timeline.rows.iter().filter(|r| r.range().overlaps(range)).count();
        let url = format!("tracks-v1/archive-{}-{length}.m3u8", T0 + from);
        match answer(&timeline, &url, at(100_000), None) {
            Ok(text) => {
                prop_assert!(text.ends_with("#EXT-X-ENDLIST\n"));
                prop_assert_eq!(read_media(&text).1.len(), expected);
            }
            Err(_) => prop_assert_eq!(expected, 0),
        }
    }
}
