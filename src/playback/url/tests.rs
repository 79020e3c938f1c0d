//! The table of the grammar, and what must hold of any text.

use super::*;
use crate::media::segment::LONGEST_SEGMENT_US;
use crate::media::{RunId, TrackKind};
use proptest::prelude::*;

fn s(seconds: i64) -> UtcUs {
    UtcUs::from_seconds(seconds)
}

fn us(seconds: i64) -> i64 {
    seconds * 1_000_000
}

/// Path and query in one.
fn read(url: &str) -> Result<Request, UrlError> {
    match url.split_once('?') {
        Some((path, query)) => parse(path, Some(query)),
        None => parse(url, None),
    }
}

/// The canonical spelling of what `url` says, with `?` and its query, or the error.
fn canonical(url: &str) -> String {
    match read(url) {
        Ok(request) => {
            let (path, query) = (request.path(), request.query());
            if query.is_empty() { path } else { format!("{path}?{query}") }
        }
        Err(UrlError::NotFound) => "404".to_owned(),
        Err(UrlError::BadRequest(_)) => "400".to_owned(),
    }
}

const SEGMENT: &str = "/s/segment/0000000007-1-1409148900000000-6000000-0192000000007000800000000000000f";

#[test]
fn the_table_of_urls() {
    let same = "=";
    let part = format!("{SEGMENT}/v1-40-12345.m4s");
    let rows: &[(&str, &str)] = &[
        ("/ort/index.m3u8", same),
        ("/sport/uhd-1/index.fmp4.m3u8", same),
        ("/ort/index.ts.m3u8", same),
        ("/ort/index.mpd", same),
        ("/ort/playlist.m3u8", "/ort/index.m3u8"),
        // Windows.
        ("/ort/archive-1409148900-3600.m3u8", "/ort/index-1409148900-3600.m3u8"),
        ("/ort/index-1409148900-3600.m3u8", same),
        ("/ort/index-1409148900-3600.mpd", same),
        ("/ort/archive-1409148900123-60.fmp4.m3u8", "/ort/index-1409148900123-60.fmp4.m3u8"),
        ("/ort/archive-1409148900000-60.m3u8", "/ort/index-1409148900-60.m3u8"),
        ("/ort/archive-100000000000-60.m3u8", "/ort/index-100000000000-60.m3u8"),
        ("/ort/archive-100000000001-60.m3u8", "/ort/index-100000000001-60.m3u8"),
        ("/ort/archive-1409148900-now.m3u8", "/ort/index-1409148900-now.m3u8"),
        ("/ort/index-1409148900-now.ts.m3u8", same),
        ("/a/b/archive/1409148900/3600/index.m3u8", "/a/b/index-1409148900-3600.m3u8"),
        ("/a/b/archive/1409148900/now/index.fmp4.m3u8", "/a/b/index-1409148900-now.fmp4.m3u8"),
        ("/a/b/archive/1409148900/3600/mpegts", "/a/b/archive-1409148900-3600.ts"),
        // Shifted.
        ("/ort/timeshift_rel-600.m3u8", same),
        ("/ort/timeshift_rel-0.fmp4.m3u8", same),
        ("/ort/timeshift_abs-1409148900.m3u8", same),
        ("/ort/timeshift_abs-1409148900.ts", "/ort/timeshift_abs/1409148900"),
        ("/ort/timeshift_rel-600.ts", "/ort/timeshift_rel/600"),
        ("/ort/timeshift_abs/1409148900", same),
        ("/ort/timeshift_rel/600", same),
        ("/ort/rewind-7200.m3u8", same),
        ("/ort/rewind-7200.mpd", same),
        ("/ort/index.m3u8?utc=1409148900&lutc=1409149900", "/ort/index-1409148900-now.m3u8"),
        ("/ort/index.m3u8?utc=1409148900&lutc=1&token=x", "/ort/index-1409148900-now.m3u8?token=x"),
        // Prefixes.
        ("/ort/mono-1409148900-3600.m3u8", same),
        ("/ort/video-1409148900-3600.m3u8", "/ort/mono-1409148900-3600.m3u8"),
        ("/ort/video-1409148900-now.m3u8", "/ort/mono-1409148900-now.m3u8"),
        ("/ort/mono-timeshift_rel-60.m3u8", same),
        ("/ort/mono.m3u8", same),
        ("/ort/video.m3u8", "/ort/mono.m3u8"),
        ("/ort/index_mono.m3u8", "/ort/mono.m3u8"),
        ("/ort/archive_mono-1409148900-60.m3u8", "/ort/mono-1409148900-60.m3u8"),
        ("/ort/archive-1409148900-60_video.m3u8", "/ort/mono-1409148900-60.m3u8"),
        ("/ort/playlist-timeshift_rel-600.m3u8", "/ort/timeshift_rel-600.m3u8"),
        ("/ort/index.fmp4-timeshift_rel-600.m3u8", "/ort/timeshift_rel-600.fmp4.m3u8"),
        ("/ort/index-timeshift_abs-1409148900.m3u8", "/ort/timeshift_abs-1409148900.m3u8"),
        ("/ort/my-hd-1409148900-60.m3u8", "/ort/index-1409148900-60.m3u8"),
        ("/ort/index-hd-1409148900-60.m3u8", "/ort/index-1409148900-60.m3u8"),
        // Tracks.
        ("/ort/tracks-v1a1/index.m3u8", same),
        ("/ort/tracks-v1,a1,v1/index.m3u8", "/ort/tracks-v1a1/index.m3u8"),
        ("/ort/tracks-1,2/index-1409148900-60.m3u8", same),
        ("/ort/tracks-v1,2/index.m3u8", same),
        ("/ort/index.m3u8?tracks=a2", "/ort/tracks-a2/index.m3u8"),
        ("/ort/tracks-a1/archive/1409148900/60/index.m3u8", "/ort/tracks-a1/index-1409148900-60.m3u8"),
        ("/ort/tracks-v1/archive-1409148900-60.mp4", same),
        // Files.
        ("/ort/archive-1409148900-3600.mp4", same),
        ("/ort/archive-1409148900-3600.ts", same),
        // Previews.
        ("/ort/1409148900-preview.mp4", same),
        ("/ort/1409148900-preview.jpg", same),
        ("/ort/preview.mp4", same),
        ("/ort/preview.jpg", same),
        ("/ort/2014/08/27/14/15/00-preview.mp4", "/ort/1409148900-preview.mp4"),
        ("/ort/2014/02/30/14/15/00-preview.mp4", "400"),
        // JSON.
        ("/ort/recording_status.json", "/ort/recording_status.json?request=ranges"),
        ("/ort/recording_status.json?from=1&to=2&request=ranges", same),
        ("/ort/ranges.json", "/ort/ranges.json?limit=100"),
        ("/ort/ranges.json?opened_at_gte=1409148900123&closed_at_lte=5&limit=7&cursor=88&resolution=3", same),
        ("/ort/ranges.json?limit=99999", "/ort/ranges.json?limit=1000"),
        ("/ort/media_info.json", same),
        // Media.
        (&part, same),
        ("/s/init/00112233445566778899aabbccddeeff.mp4", same),
        // Queries are repeated, our own parameters are not, and nothing gets out of a line.
        ("/ort/index.m3u8?token=a%2Fb&x", "/ort/index.m3u8?token=a%2Fb&x"),
        ("/ort/index.m3u8?a=1&&_HLS_skip=YES&tracks=v1&b=2", "/ort/tracks-v1/index.m3u8?a=1&b=2"),
        ("/ort/index.m3u8?a=\"\n\r#%zz", "/ort/index.m3u8?a=%22%0A%0D%23%25zz"),
        ("/ort/index.m3u8?%75tc=1409148900", "/ort/index-1409148900-now.m3u8"),
        // Bad values.
        ("/ort/archive-abc-60.m3u8", "400"),
        ("/ort/archive-1409148900-0.m3u8", "400"),
        ("/ort/archive-1409148900--5.m3u8", "400"),
        ("/ort/archive--5-60.m3u8", "400"),
        ("/ort/archive-1409148900-1e3.m3u8", "400"),
        ("/ort/archive-1409148900.5-60.m3u8", "400"),
        ("/ort/archive-99999999999999999999-60.m3u8", "400"),
        ("/ort/archive-253402300800000-60.m3u8", "400"),
        ("/ort/archive-1409148900-9999999999999.m3u8", "400"),
        ("/ort/archive/abc/60/index.m3u8", "400"),
        ("/ort/archive/1409148900/-1/mpegts", "400"),
        ("/ort/archive-1409148900-now.mp4", "400"),
        ("/ort/archive-1409148900-0.mp4", "400"),
        ("/ort/timeshift_rel-x.m3u8", "400"),
        ("/ort/timeshift_rel-.m3u8", "400"),
        ("/ort/timeshift_abs-.m3u8", "400"),
        ("/ort/timeshift_rel--1.m3u8", "400"),
        ("/ort/rewind-0.m3u8", "400"),
        ("/ort/index.m3u8?utc=yesterday", "400"),
        ("/ort/tracks-/index.m3u8", "400"),
        ("/ort/tracks-v0/index.m3u8", "400"),
        ("/ort/tracks-v1x/index.m3u8", "400"),
        ("/ort/tracks-v1,,a1/index.m3u8", "400"),
        ("/ort/index.m3u8?tracks=é", "400"),
        ("/ort/ranges.json?limit=0", "400"),
        ("/ort/ranges.json?cursor=-1", "400"),
        ("/ort/x-preview.mp4", "400"),
        // Everything else.
        ("", "404"),
        ("/", "404"),
        ("//", "404"),
        ("/index.m3u8", "404"),
        ("/ort", "404"),
        ("/ort/", "404"),
        ("ort/index.m3u8", "404"),
        ("/ort//index.m3u8", "404"),
        ("/ort/nothing.m3u8", "404"),
        ("/ort/archive.m3u8", "404"),
        ("/ort/index.mp4", "404"),
        ("/ort/1409148900-60.m3u8", "404"),
        ("/ort/../etc/index.m3u8", "404"),
        ("/ort/%2e%2e/index.m3u8", "404"),
        ("/o rt/index.m3u8", "404"),
        ("/metrics/index.m3u8", "404"),
        ("/segment/index.m3u8", "404"),
        ("/ort/tracks-v1/media_info.json", "404"),
        ("/ort/tracks-v1/init/00112233445566778899aabbccddeeff.mp4", "404"),
        ("/ort/archive/1409148900/60/other.m3u8", "404"),
        ("/ort/archive/1409148900/60", "404"),
        ("/s/init/00112233445566778899AABBCCDDEEFF.mp4", "404"),
        ("/s/segment/gap.m4s", "404"),
        ("/s/segment/7-1-1409148900000000-6000000-0192000000007000800000000000000f/v1-0-1.m4s", "404"),
    ];
    for &(url, expected) in rows {
        let expected = if expected == same { url } else { expected };
        assert_eq!(canonical(url), expected, "{url:?}");
    }
    for tail in [
        "v1-00-5.m4s",
        "v1-0-0.m4s",
        "v1-0-5",
        "v1-0-5-6.m4s",
        "x1-0-5.m4s",
        "v1--5.m4s",
        "v1-0-99999999999999999999.m4s",
    ] {
        assert_eq!(canonical(&format!("{SEGMENT}/{tail}")), "404", "{tail}");
    }
    assert_eq!(canonical(&format!("/{}/index.m3u8", "x/".repeat(600))), "404");
    assert_eq!(canonical(&format!("/ort/index.m3u8?{}", "x".repeat(2049))), "400");
}

#[test]
fn depth_leads_back_to_the_stream() {
    for (url, depth) in [
        ("/a/b/index.m3u8", 0),
        ("/a/b/tracks-v1/index.m3u8", 1),
        ("/a/b/archive/1/60/index.m3u8", 3),
        ("/a/b/tracks-v1/archive/1/60/index.m3u8", 4),
        ("/a/b/index.m3u8?tracks=v1", 0),
    ] {
        assert_eq!(read(url).unwrap().depth, depth, "{url}");
    }
}

#[test]
fn numbered_and_named_tracks() {
    let Target::Playlist(playlist) = read("/ort/tracks-v1,2/index.m3u8").unwrap().target else { panic!() };
    let choice = playlist.tracks.unwrap();
    assert!(choice.wants(TrackId::video(1), 5) && choice.wants(TrackId::audio(9), 1));
    assert!(!choice.wants(TrackId::audio(1), 0));
}

fn any_moment() -> impl Strategy<Value = UtcUs> {
    prop_oneof![
        (0i64..=100_000_000_000).prop_map(s),
        (100_000_000_001i64..253_402_300_799_999).prop_map(UtcUs::from_millis)
    ]
}

fn any_form() -> impl Strategy<Value = Form> {
    let length = || (1i64..1_000_000_000).prop_map(us);
    prop_oneof![
        Just(Form::Live),
        (any_moment(), length()).prop_map(|(from, duration_us)| Form::Finite { from, duration_us }),
        any_moment().prop_map(|from| Form::FromNow { from }),
        (0i64..1_000_000_000).prop_map(|n| Form::Timeshift(Shift::Delay(us(n)))),
        any_moment().prop_map(|at| Form::Timeshift(Shift::TunedInAt(at))),
        length().prop_map(|length_us| Form::Rewind { length_us }),
    ]
}

fn any_track() -> impl Strategy<Value = TrackId> {
    (any::<bool>(), 1u8..)
        .prop_map(|(video, number)| TrackId { kind: if video { TrackKind::Video } else { TrackKind::Audio }, number })
}

fn any_tracks() -> impl Strategy<Value = Option<TrackChoice>> {
    let selector = prop_oneof![any_track().prop_map(TrackSelector::Id), (1u8..).prop_map(TrackSelector::Nth)];
    proptest::option::of(proptest::collection::vec(selector, 1..6).prop_map(|all| {
        let mut chosen = Vec::new();
        for one in all {
            if !chosen.contains(&one) {
                chosen.push(one);
            }
        }
        TrackChoice(chosen)
    }))
}

fn any_target() -> impl Strategy<Value = Target> {
    let format = prop_oneof![
        Just(PlaylistFormat::Hls),
        Just(PlaylistFormat::HlsFmp4),
        Just(PlaylistFormat::HlsTs),
        Just(PlaylistFormat::Dash)
    ];
    let opt = || proptest::option::of(any_moment());
    prop_oneof![
        (any_form(), format, any::<bool>(), any_tracks())
            .prop_map(|(form, format, muxed, tracks)| Target::Playlist(PlaylistTarget { form, format, muxed, tracks })),
        (any_moment(), 1i64..1_000_000_000, any::<bool>(), any_tracks()).prop_map(|(from, n, mp4, tracks)| {
            Target::Export {
                from,
                duration_us: us(n),
                format: if mp4 { ExportFormat::Mp4 } else { ExportFormat::Ts },
                tracks,
            }
        }),
        (any_moment(), any_tracks()).prop_map(|(at, tracks)| Target::TsStream { shift: Shift::TunedInAt(at), tracks }),
        (opt(), any::<bool>()).prop_map(|(at, mp4)| Target::Preview {
            at,
            format: if mp4 { PreviewFormat::Mp4 } else { PreviewFormat::Jpg }
        }),
        (opt(), opt()).prop_map(|(from, to)| Target::RecordingStatus { from, to }),
        (opt(), opt(), 1usize..=1000, proptest::option::of(0i64..1 << 55), proptest::option::of(0i64..1_000_000))
            .prop_map(|(opened_at_gte, closed_at_lte, limit, cursor, resolution)| Target::Ranges(RangesTarget {
                opened_at_gte,
                closed_at_lte,
                limit,
                cursor: cursor.map(UtcUs),
                resolution_us: resolution.map(us),
            })),
        Just(Target::MediaInfo),
        (
            0u64..1 << 60,
            0u64..1 << 40,
            0i64..1 << 50,
            1i64..=LONGEST_SEGMENT_US,
            any::<u128>(),
            any_track(),
            0u64..1 << 40,
            1u64..1 << 32
        )
            .prop_map(|(sequence, epoch, start, duration_us, run, track, offset, length)| Target::Segment {
                id: SegmentId {
                    stream: StreamName::parse("sport/uhd-1").unwrap(),
                    run: RunId(run),
                    epoch,
                    sequence,
                    start: UtcUs(start),
                    duration_us
                },
                track,
                offset,
                length
            }),
        any::<[u8; 16]>().prop_map(|hash| Target::Init { hash: InitHash(hash) }),
    ]
}

/// Characters that matter to the grammar, and some that must not get through.
fn hostile_text() -> impl Strategy<Value = String> {
    let pieces = vec![
        "/",
        "//",
        "-",
        "--",
        ".",
        "..",
        "archive",
        "index",
        "timeshift_rel",
        "timeshift_abs",
        "rewind",
        "now",
        "tracks-",
        "v1a1",
        ".m3u8",
        ".fmp4",
        ".ts",
        ".mp4",
        ".mpd",
        "1409148900",
        "0",
        "99999999999999999999",
        "segment",
        "init",
        "mono",
        "_mono",
        "preview",
        "-preview.mp4",
        "ranges.json",
        "ort",
        "%",
        "\"",
        "\n",
        "é",
        "\0",
        "2014/08/27/14/15/",
        ",",
    ];
    proptest::collection::vec(
        prop_oneof![4 => proptest::sample::select(pieces).prop_map(str::to_owned), 1 => any::<String>()],
        0..12,
    )
    .prop_map(|v| v.concat())
}

proptest! {
    #[test]
    fn what_is_printed_reads_back(target in any_target(), token in "[a-z0-9]{0,8}") {
        let carried = Query::read(Some(&token)).unwrap();
        let below = target.to_string();
        let depth = below.matches('/').count();
        let request = Request { stream: StreamName::parse("sport/uhd-1").unwrap(), target, carried, depth };
        let query = request.query();
        let query = (!query.is_empty()).then_some(query);
        prop_assert_eq!(parse(&request.path(), query.as_deref()), Ok(request));
    }

    #[test]
    fn any_text_is_read_or_refused(path in hostile_text(), query in proptest::option::of(hostile_text())) {
        if let Ok(request) = parse(&format!("/ort/{path}"), query.as_deref()) {
            let text = format!("{}?{}", request.path(), request.query());
            prop_assert!(text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'#'), "{:?}", text);
            // The canonical spelling is a fixed point.
            let query = request.query();
            let again = parse(&request.path(), Some(&query)).unwrap();
            prop_assert_eq!((&again.target, &again.carried), (&request.target, &request.carried));
        }
    }

    #[test]
    fn a_damaged_url_does_no_harm(target in any_target(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut path = format!("/ort/{target}").into_bytes();
        let at = at.index(path.len());
        path[at] = byte;
        if let Ok(path) = String::from_utf8(path) {
            let _ = parse(&path, None);
        }
    }
}

struct Query;

impl Query {
    fn read(raw: Option<&str>) -> Result<CarriedQuery, UrlError> {
        super::query::Query::read(raw).map(|q| q.carried)
    }
}
