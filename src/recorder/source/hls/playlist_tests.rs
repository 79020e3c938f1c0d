use super::*;
use proptest::prelude::*;

fn media(text: &str) -> MediaPlaylist {
    match parse(text.as_bytes()) {
        Ok(Playlist::Media(media)) => media,
        other => panic!("not a media playlist: {other:?}"),
    }
}

#[test]
fn a_live_playlist_with_everything() {
    let playlist = media(
        "\u{feff}#EXTM3U\r\n#EXT-X-VERSION:6\r\n#EXT-X-TARGETDURATION:4\r\n#EXT-X-MEDIA-SEQUENCE:100\r\n\
         #EXT-X-MAP:URI=\"init1.mp4\"\r\n#EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:00.500+0000\r\n\
         #EXTINF:3.96,title, with comma\r\na.m4s\r\n#EXTINF:4\r\nb.m4s\r\n\r\n# a comment\r\n#EXT-X-DISCONTINUITY\r\n\
         #EXT-X-MAP:URI=\"init2.mp4\",BYTERANGE=\"720@0\"\r\n#EXT-X-GAP\r\n#EXTINF:4.000001,\r\nc.m4s\r\n",
    );
    assert_eq!(playlist.target_us, 4_000_000);
    assert!(!playlist.ended);
    let [a, b, c] = &playlist.segments[..] else { panic!() };
    assert_eq!((a.sequence, a.duration_us, a.uri.as_str()), (100, 3_960_000, "a.m4s"));
    let noon = UtcUs::from_seconds(1_795_348_800);
    assert_eq!((a.utc, a.utc_stated), (Some(noon.plus_us(500_000)), true));
    assert_eq!((b.utc, b.utc_stated), (Some(noon.plus_us(4_460_000)), false));
    assert_eq!(a.map, b.map);
    assert_eq!(c.map.as_ref().unwrap().range, Some(ByteRange { offset: 0, length: 720 }));
    assert!(c.discontinuity && c.gap && c.utc.is_none() && c.duration_us == 4_000_001);
}

#[test]
fn dates_as_they_are_met() {
    let noon = UtcUs::from_seconds(1_795_348_800);
    for same in [
        "2026-11-22T12:00:00Z",
        "2026-11-22T12:00:00.000+0000",
        "2026-11-22T12:00:00+00:00",
        "2026-11-22T13:00:00+0100",
        "2026-11-22T13:00:00+01",
        "2026-11-22T06:30:00-05:30",
        "2026-11-22 12:00:00.0000000000",
    ] {
        assert_eq!(parse_date_time(same), Some(noon), "{same}");
    }
    for bad in [
        "",
        "now",
        "2026-11-22",
        "2026-13-22T12:00:00Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T12:00:00+9999",
        "2026-11-22T12:00:00 CET",
        "２０26-11-22T12:00:00Z",
    ] {
        assert_eq!(parse_date_time(bad), None, "{bad}");
    }
    assert_eq!(parse_date_time("2000-02-29T00:00:00Z"), Some(UtcUs::from_seconds(951_782_400)));
    assert_eq!(parse_date_time("1970-01-01T00:00:00Z"), Some(UtcUs(0)));
}

#[test]
fn byte_ranges_go_on_from_the_one_before() {
    let playlist = media(
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n#EXT-X-BYTERANGE:100@50\nall.ts\n#EXTINF:4,\n\
         #EXT-X-BYTERANGE:30\nall.ts\n#EXTINF:4,\n#EXT-X-BYTERANGE:7\nother.ts\n#EXT-X-ENDLIST\n",
    );
    let ranges: Vec<_> = playlist.segments.iter().map(|s| s.range.unwrap()).map(|r| (r.offset, r.length)).collect();
    assert_eq!(ranges, [(50, 100), (150, 30), (0, 7)]);
    assert!(playlist.ended);
}

#[test]
fn variants_and_audio_groups() {
    let Ok(Playlist::Multivariant(m)) = parse(
        b"#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aac\",NAME=\"Deutsch\",LANGUAGE=\"de\",URI=\"de.m3u8\",\n\
          #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"x\",URI=\"s.m3u8\"\n\
          #EXT-X-STREAM-INF:BANDWIDTH=800000, RESOLUTION=640x360,CODECS=\"avc1.4d401e,mp4a.40.2\",AUDIO=\"aac\"\nlow.m3u8\n",
    ) else {
        panic!()
    };
    assert_eq!(m.variants.len(), 1);
    let v = &m.variants[0];
    assert_eq!((v.uri.as_str(), v.bandwidth, v.pixels), ("low.m3u8", 800_000, 640 * 360));
    assert_eq!((v.codecs.as_deref(), v.audio_group.as_deref()), (Some("avc1.4d401e,mp4a.40.2"), Some("aac")));
    assert_eq!(m.audio.len(), 1);
    assert_eq!((m.audio[0].language.as_deref(), m.audio[0].uri.as_deref()), (Some("de"), Some("de.m3u8")));
}

#[test]
fn refusals_say_why() {
    for (text, word) in [
        ("<html>", "#EXTM3U"),
        ("", "#EXTM3U"),
        ("#EXTM3U\n", "neither"),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF:4,\na.ts\n", "encrypted"),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:-1\n", "MEDIA-SEQUENCE"),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n", "delta"),
    ] {
        match parse(text.as_bytes()) {
            Ok(playlist) => panic!("{text:?}: {playlist:?}"),
            Err(e) => assert!(e.0.contains(word), "{text:?}: {e}"),
        }
    }
    assert!(parse(b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-KEY:METHOD=NONE\n#EXTINF:4,\na.ts\n").is_ok());
}

proptest! {
    #[test]
    fn damaged_playlists_never_panic(lines in proptest::collection::vec("(#EXT-X-(MAP|KEY|BYTERANGE|MEDIA|STREAM-INF|PROGRAM-DATE-TIME|MEDIA-SEQUENCE|TARGETDURATION|DISCONTINUITY)|#EXTINF|#|)(:|)[ -~é\r\t\"=,@.0-9TZ+]{0,30}", 0..30), junk in proptest::collection::vec(any::<u8>(), 0..40)) {
        let mut bytes = format!("#EXTM3U\n{}\n", lines.join("\n")).into_bytes();
        bytes.extend(junk);
        let _ = parse(&bytes);
    }

    #[test]
    fn dates_agree_with_jiff(seconds in 0i64..4_102_444_800, millis in 0i64..1000) {
        let stamp = jiff::Timestamp::from_millisecond(seconds * 1000 + millis).unwrap();
        let text = stamp.strftime("%Y-%m-%dT%H:%M:%S.%3f+0000").to_string();
        prop_assert_eq!(parse_date_time(&text), Some(UtcUs::from_millis(seconds * 1000 + millis)));
    }
}
