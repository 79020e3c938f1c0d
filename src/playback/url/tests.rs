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
        ("/ort/mono-timeshift_abs-1409148900.m3u8", same),
        ("/ort/mono-timeshift_rel-60.ts.m3u8", same),
        ("/ort/mono-rewind-60.fmp4.m3u8", same),
        ("/ort/mono-1409148900-now.fmp4.m3u8", same),
        ("/ort/video1-1409148900-60.m3u8", "/ort/index-1409148900-60.m3u8"),
        // Kodi, pvr.iptvsimple: Flussonic mode, for `mpegts`, `index.m3u8`, `mono.m3u8` and others; shift mode.
        ("/151/mpegts?token=t", "/151/timeshift_rel/0?token=t"),
        ("/151/timeshift_abs-1409148900.ts?token=t", "/151/timeshift_abs/1409148900?token=t"),
        ("/325/timeshift_rel-600.m3u8?token=t", same),
        ("/325/mono-timeshift_rel-600.m3u8?token=t", same),
        ("/325/video-timeshift_rel-600.m3u8", "/325/mono-timeshift_rel-600.m3u8"),
        ("/325/index.ts-timeshift_rel-600.m3u8", "/325/timeshift_rel-600.ts.m3u8"),
        ("/325/mono.fmp4-timeshift_rel-600.m3u8", "/325/mono-timeshift_rel-600.fmp4.m3u8"),
        ("/325/index.m3u8?token=t&utc=1409148900&lutc=1409149900", "/325/index-1409148900-now.m3u8?token=t"),
        ("/325/mono.m3u8?utc=1409148900&lutc=1409149900", "/325/mono-1409148900-now.m3u8"),
        ("/325/mpegts?utc=1409148900&lutc=1409149900", "/325/timeshift_abs/1409148900"),
        // A template that was not filled in.
        ("/151/timeshift_abs-${start}.ts", "400"),
        ("/151/timeshift_rel-{offset:1}.m3u8", "400"),
        ("/151/index.m3u8?utc={utc}&lutc={lutc}", "400"),
        // OTT-Play, Dune.
        ("/kb/timeshift_abs_video-1409148900.m3u8?token=t", "/kb/mono-timeshift_abs-1409148900.m3u8?token=t"),
        ("/kb/timeshift_rel_mono-60.fmp4.m3u8", "/kb/mono-timeshift_rel-60.fmp4.m3u8"),
        ("/kb/video-1409148900-10800.m3u8?token=t", "/kb/mono-1409148900-10800.m3u8?token=t"),
        ("/kb/archive-1409148900-3600.mpd", "/kb/index-1409148900-3600.mpd"),
        ("/kb/timeshift_abs-1409148900.mdp", "/kb/timeshift_abs-1409148900.mpd"),
        ("/kb/timeshift_abs-1409148900.mpd", same),
        // Enigma2, Magoware, other middleware.
        ("/e2/video-timeshift_abs-1409148900.m3u8", "/e2/mono-timeshift_abs-1409148900.m3u8"),
        ("/e2/timeshift_abs_video-1409148900.m3u8", "/e2/mono-timeshift_abs-1409148900.m3u8"),
        ("/ch/timeshift_abs-1409148900.m3u8", same),
        ("/ch/mono-1409148900-3600.ts", "/ch/archive-1409148900-3600.ts"),
        ("/ch/video-timeshift_abs-1409148900.ts", "/ch/timeshift_abs/1409148900"),
        ("/ch/timeshift_abs_video-1409148900123.m3u8", "/ch/mono-timeshift_abs-1409148900123.m3u8"),
        ("/ch/timeshift_abs/1409148900123", same),
        ("/ch/mono-timeshift_abs_video-5.m3u8", "/ch/mono-timeshift_abs-5.m3u8"),
        ("/ch/timeshift_abs_video.m3u8", "404"),
        ("/ch/timeshift_abs_hd-5.m3u8", "404"),
        // Flussonic's old spellings.
        ("/a/b/archive/1409148900/3600/mono.m3u8", "/a/b/mono-1409148900-3600.m3u8"),
        ("/a/b/archive/1409148900/3600/video.ts.m3u8", "/a/b/mono-1409148900-3600.ts.m3u8"),
        ("/a/b/archive/1409148900123/3600/playlist.m3u8", "/a/b/index-1409148900123-3600.m3u8"),
        ("/a/b/archive/1409148900/3600/index.mpd", "/a/b/index-1409148900-3600.mpd"),
        ("/a/b/archive/1409148900/now/mpegts", "400"),
        // Pictures for trick play.
        ("/ort/iframes.fmp4.m3u8", same),
        ("/ort/tracks-v1/iframes.fmp4.m3u8", same),
        ("/ort/tracks-v1/iframes-1409148900-60.fmp4.m3u8", same),
        ("/ort/tracks-v1/iframes-1409148900-now.fmp4.m3u8", same),
        ("/ort/tracks-v1/iframes-timeshift_rel-60.fmp4.m3u8", same),
        ("/ort/tracks-v1/iframes-timeshift_abs-60.fmp4.m3u8", same),
        ("/ort/tracks-v1/iframes-rewind-60.fmp4.m3u8", same),
        ("/ort/iframes.m3u8?utc=1409148900", "/ort/iframes-1409148900-now.m3u8"),
        ("/ort/iframes-1409148900-60.mp4", "404"),
        ("/ort/iframes-timeshift_rel-60.ts", "404"),
        // Percent-encoding, slashes in names.
        ("/sport%2Fuhd-1/index.m3u8", "/sport/uhd-1/index.m3u8"),
        ("/%6frt/index%2Em3u8", "/ort/index.m3u8"),
        ("/ort/tracks-1%2C2/index.m3u8", "/ort/tracks-1,2/index.m3u8"),
        ("/ort/timeshift%5Frel-60.m3u8", "/ort/timeshift_rel-60.m3u8"),
        ("/ort/%2e%2e%2fetc/index.m3u8", "404"),
        ("/ort/%252e%252e/index.m3u8", "404"),
        ("/ort/%00/index.m3u8", "404"),
        ("/%ff/index.m3u8", "400"),
        ("/ort/%zz/index.m3u8", "404"),
        ("/a/b/c/d~e_f/rewind-60.m3u8", same),
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
        ("/2014/08/27/14/15/1409148900-preview.mp4", same),
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
        ("/s/init/00112233445566778899aabbccddeeff-ffeeddccbbaa99887766554433221100.mp4", same),
        // Two tracks with equal parameters have equal init segments.
        ("/s/init/00112233445566778899aabbccddeeff-00112233445566778899aabbccddeeff.mp4", same),
        // Queries are repeated, our own parameters are not, and nothing gets out of a line.
        ("/ort/index.m3u8?token=a%2Fb&x", "/ort/index.m3u8?token=a%2Fb&x"),
        ("/ort/index.m3u8?a=1&&_HLS_skip=YES&tracks=v1&b=2", "/ort/tracks-v1/index.m3u8?_HLS_skip=YES&a=1&b=2"),
        ("/ort/index.m3u8?_HLS_skip=v2&_HLS_msn=5&_HLS_part=1&_HLS_x=y", "/ort/index.m3u8?_HLS_skip=YES"),
        ("/ort/index.m3u8?_HLS_skip=NO", "/ort/index.m3u8"),
        ("/ort/index.m3u8?_HLS_skip", "/ort/index.m3u8"),
        ("/ort/index.m3u8?filter.tracks=v1a1", "/ort/tracks-v1a1/index.m3u8"),
        // A second `?`: something was appended to an address that had a query already.
        ("/ort/index.m3u8?token=t?utc=1409148900&lutc=5", "/ort/index-1409148900-now.m3u8?token=t"),
        ("/ort/index.m3u8?utc=1409148900&lutc=5?token=t", "/ort/index-1409148900-now.m3u8?token=t"),
        ("/ort/timeshift_rel-60.m3u8?a=1?token=t", "/ort/timeshift_rel-60.m3u8?a=1&token=t"),
        ("/ort/index.m3u8??token=t", "/ort/index.m3u8?token=t"),
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
        ("/s/init/00112233445566778899aabbccddeeff-.mp4", "404"),
        ("/s/init/00112233445566778899aabbccddeeff-00.mp4", "404"),
        ("/s/segment/gap.m4s", "404"),
        ("/s/segment/7-1-1409148900000000-6000000-0192000000007000800000000000000f/v1-0-1.m4s", "404"),
    ];
    for &(url, expected) in rows {
        let expected = if expected == same { url } else { expected };
        assert_eq!(canonical(url), expected, "{url:?}");
    }
    for tail in ["v1.ts", "a1.ts", "v1a1.ts", "v1v2a1a255.ts", "v1a1.m4s", "a1a2.m4s"] {
        let url = format!("{SEGMENT}/{tail}");
        assert_eq!(canonical(&url), url);
    }
    let many: String = (1..=17).map(|n| format!("a{n}")).collect();
    let hashes = ["00112233445566778899aabbccddeeff"; 17].join("-");
    assert_eq!(canonical(&format!("{SEGMENT}/{many}.ts")), "404");
    assert_eq!(canonical(&format!("/s/init/{hashes}.mp4")), "404");
    for tail in [
        "v1.m4s",
        "a1v1.ts",
        "v1v1.ts",
        "a2a1.m4s",
        "v1,a1.ts",
        "v01.ts",
        "v0a1.ts",
        "v256.ts",
        "v1a.ts",
        "V1.ts",
        "1.ts",
        ".ts",
        ".m4s",
        "v1a1",
        "v1-0-5.ts",
        "v1é.ts",
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

fn any_id() -> impl Strategy<Value = SegmentId> {
    (0u64..1 << 60, 0u64..1 << 40, 0i64..1 << 50, 1i64..=LONGEST_SEGMENT_US, any::<u128>()).prop_map(
        |(sequence, epoch, start, duration_us, run)| SegmentId {
            stream: StreamName::parse("sport/uhd-1").unwrap(),
            run: RunId(run),
            epoch,
            sequence,
            start: UtcUs(start),
            duration_us,
        },
    )
}

fn any_muxed(least: usize) -> impl Strategy<Value = Vec<TrackId>> {
    proptest::collection::btree_set(any_track(), least..=MAX_MUXED).prop_map(|tracks| tracks.into_iter().collect())
}

fn any_target() -> impl Strategy<Value = Target> {
    let format = prop_oneof![
        Just(PlaylistFormat::Hls),
        Just(PlaylistFormat::HlsFmp4),
        Just(PlaylistFormat::HlsTs),
        Just(PlaylistFormat::Dash)
    ];
    let layout = prop_oneof![Just(Layout::Renditions), Just(Layout::Muxed), Just(Layout::IFrames)];
    let opt = || proptest::option::of(any_moment());
    prop_oneof![
        (any_form(), format, layout, any_tracks()).prop_map(|(form, format, layout, tracks)| {
            Target::Playlist(PlaylistTarget { form, format, layout, tracks })
        }),
        (any_moment(), 1i64..1_000_000_000, any::<bool>(), any_tracks()).prop_map(|(from, n, mp4, tracks)| {
            Target::Export {
                from,
                duration_us: us(n),
                format: if mp4 { ExportFormat::Mp4 } else { ExportFormat::Ts },
                tracks,
            }
        }),
        (any_moment(), any_tracks()).prop_map(|(at, tracks)| Target::TsStream { shift: Shift::TunedInAt(at), tracks }),
        (0i64..1_000_000_000, any_tracks())
            .prop_map(|(n, tracks)| Target::TsStream { shift: Shift::Delay(us(n)), tracks }),
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
        (any_id(), any_track(), 0u64..1 << 40, 1u64..1 << 32).prop_map(|(id, track, offset, length)| Target::Segment {
            id,
            track,
            offset,
            length
        }),
        (any_id(), any_muxed(1)).prop_map(|(id, tracks)| Target::SegmentTs { id, tracks }),
        (any_id(), any_muxed(2)).prop_map(|(id, tracks)| Target::SegmentMuxed { id, tracks }),
        proptest::collection::vec(any::<[u8; 16]>().prop_map(InitHash), 2..=MAX_MUXED)
            .prop_map(|hashes| Target::InitMuxed { hashes }),
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
        "iframes",
        "mpegts",
        "_video",
        ".m4s",
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
    fn what_is_printed_reads_back(target in any_target(), delta in any::<bool>(), sent in any_query()) {
        let carried = Query::read(Some(&sent)).unwrap();
        let below = target.to_string();
        let depth = below.matches('/').count();
        let request = Request { stream: StreamName::parse("sport/uhd-1").unwrap(), target, carried, delta, depth };
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

/// Parameters of somebody else, legal and not.
fn any_query() -> impl Strategy<Value = String> {
    let pair = ("[a-zA-Z0-9._~%-]{1,8}", "[ -~é]{0,12}").prop_map(|(key, value)| format!("x{key}={value}"));
    proptest::collection::vec(pair, 0..4).prop_map(|pairs| pairs.join("&"))
}

/// A generator with a seed (Knuth, MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }
}

#[test]
fn a_hundred_thousand_mutations_are_read_or_refused() {
    let part = format!("{SEGMENT}/v1-40-12345.m4s");
    let muxed = format!("{SEGMENT}/v1a1.ts");
    let seeds = [
        &part,
        &muxed,
        "/a/b/tracks-v1a1/index-1409148900-3600.fmp4.m3u8?token=x",
        "/ort/index.fmp4-timeshift_rel-600.m3u8?utc=5&lutc=7",
        "/ort/timeshift_abs_video-1409148900.m3u8",
        "/ort/archive/1409148900/now/index.ts.m3u8?_HLS_skip=YES",
        "/ort/2014/08/27/14/15/00-preview.mp4",
        "/ort/tracks-v1/iframes-rewind-60.fmp4.m3u8",
        "/ort/ranges.json?opened_at_gte=1409148900123&limit=7&cursor=88",
        "/s/init/00112233445566778899aabbccddeeff-ffeeddccbbaa99887766554433221100.mp4",
        "/ort/timeshift_rel/600?filter.tracks=1,2",
        "/ort/archive-1409148900-3600.mp4",
    ];
    let (mut random, mut good) = (Random(7), 0);
    for n in 0..100_000 {
        let mut bytes = seeds[n % seeds.len()].as_bytes().to_vec();
        for _ in 0..1 + random.below(3) {
            let at = random.below(bytes.len() + 1);
            match random.below(5) {
                0 if at < bytes.len() => bytes[at] = random.below(256) as u8,
                1 if at < bytes.len() => drop(bytes.remove(at)),
                2 => bytes.insert(at, b"0123456789-_/.%?=&,~av"[random.below(22)]),
                3 => bytes.truncate(at),
                _ => {
                    let from = random.below(bytes.len() + 1).min(at);
                    let piece = bytes[from..at].to_vec();
                    drop(bytes.splice(from..from, piece));
                }
            }
        }
        let Ok(url) = String::from_utf8(bytes) else { continue };
        let Ok(request) = read(&url) else { continue };
        good += 1;
        let (path, query) = (request.path(), request.query());
        let again = parse(&path, Some(&query)).unwrap_or_else(|e| panic!("{url:?} -> {path:?}?{query:?}: {e}"));
        assert_eq!((&again.target, &again.carried), (&request.target, &request.carried), "{url:?}");
    }
    assert!(good > 20_000, "only {good} were still good: the mutations are too wild");
}

struct Query;

impl Query {
    fn read(raw: Option<&str>) -> Result<CarriedQuery, UrlError> {
        super::query::Query::read(raw).map(|q| q.carried)
    }
}
