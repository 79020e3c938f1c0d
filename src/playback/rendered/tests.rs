//! The quick way and the plain way must give the same bytes, whatever was recorded.

use super::*;
use crate::media::segment::{SegmentId, TrackPart};
use crate::media::{InitHash, RunId, StreamName, Ticks};
use crate::playback::hls::{self, Material, MediaPlace, PlainHls};
use crate::playback::plan::Plan;
use crate::playback::url::{Target, parse};
use crate::playback::view::block_of;
use crate::playback::window::{Limits, Recorded, resolve};
use proptest::prelude::*;

/// Twenty minutes before a full hour.
const T0: i64 = 1_795_341_600 - 1200;

/// What happens before a segment.
#[derive(Debug, Clone, Copy)]
enum Event {
    Nothing,
    /// A new run after a pause, in seconds; less than 0: the clock was set back.
    Run(i64),
    /// A new run that counted no discontinuity.
    Seam,
    /// So many rows are missing.
    Lost(u64),
    /// Another init segment of the picture.
    Init,
    /// The second track is missing from this segment.
    Silent,
    /// This one begins without a sync sample.
    Unsynced,
    /// This one is long.
    Long,
    /// This one has no track at all.
    Empty,
}

fn recording(events: &[Event]) -> Vec<Segment> {
    let stream = StreamName::parse("sport/uhd").unwrap();
    let (mut sequence, mut run, mut discontinuity, mut init) = (40u64, 1u128, 3u64, 0u8);
    let (mut start, mut media) = (UtcUs::from_seconds(T0), Ticks(900_000));
    let mut rows = Vec::new();
    for event in events {
        match *event {
            Event::Run(pause) => {
                start = start.plus_us(pause * 1_000_000);
                (run, discontinuity, media) = (run + 1, discontinuity + 1, Ticks(0));
            }
            Event::Lost(count) => {
                sequence += count;
                start = start.plus_us(count as i64 * 6_000_000);
                media = media + Ticks(count as i64 * 540_000);
            }
            Event::Seam => (run, media) = (run + 1, Ticks(0)),
            Event::Init => init += 1,
            _ => {}
        }
        let duration_us = if matches!(event, Event::Long) { 17_000_000 } else { 6_000_000 };
        let id = SegmentId { stream: stream.clone(), run: RunId(run), epoch: 2, sequence, start, duration_us };
        let part = |track: TrackId, name: &[u8]| TrackPart {
            track,
            init: InitHash::of(name),
            offset: 100 + u64::from(track.number),
            length: 2000 + sequence,
            payload_offset: 50,
            decode_start: media,
            presentation_start: media + Ticks(sequence as i64 % 3 * 3600),
            duration: Ticks::from_us(duration_us),
            sample_count: 150,
            sync_count: 1,
            starts_with_sync: !matches!(event, Event::Unsynced),
            duration_runs: 1,
            composition_runs: 1,
        };
        let mut tracks = vec![part(TrackId::video(1), &[init])];
        match event {
            Event::Silent => {}
            Event::Empty => tracks.clear(),
            _ => tracks.push(part(TrackId::audio(1), b"sound")),
        }
        rows.push(Segment {
            discontinuity,
            anchor: media,
            object: id.object_key().unwrap(),
            object_offset: 0,
            object_length: 10_000,
            tracks,
            id,
        });
        sequence += 1;
        start = start.plus_us(duration_us);
        media = media + Ticks::from_us(duration_us);
    }
    rows
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        60 => Just(Event::Nothing),
        2 => (0i64..4000).prop_map(Event::Run),
        1 => (-600i64..0).prop_map(Event::Run),
        1 => Just(Event::Seam),
        2 => (1u64..20).prop_map(Event::Lost),
        1 => Just(Event::Init),
        1 => Just(Event::Silent),
        1 => Just(Event::Unsynced),
        1 => Just(Event::Long),
        1 => Just(Event::Empty),
    ]
}

fn blocks(rows: &[Segment]) -> Vec<Arc<Block>> {
    let mut hours: Vec<i64> = rows.iter().map(|s| block_of(s.id.start)).collect();
    hours.sort_unstable();
    hours.dedup();
    let of = |hour| rows.iter().filter(|s| block_of(s.id.start) == hour).cloned().collect();
    hours.into_iter().map(|hour| Arc::new(Block::new(of(hour)))).collect()
}

/// The answers of both ways, for one address.
fn both(
    rows: &[Segment],
    blocks: &[Arc<Block>],
    path: &str,
    now: UtcUs,
    base: Option<&str>,
) -> (Option<String>, Option<String>) {
    let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
    let request = parse(&format!("/sport/uhd/{path}"), query).unwrap();
    let Target::Playlist(target) = &request.target else { panic!("{path}") };
    let limits = Limits::new(6, 86_400_000_000);
    let recorded = Recorded {
        first_start: rows.iter().map(|s| s.id.start).min().unwrap(),
        live_edge: rows.iter().map(|s| s.id.end()).max().unwrap(),
        longest_us: rows.iter().map(Segment::longest_us).max().unwrap(),
    };
    let Ok(window) = resolve(&target.form, now, Some(recorded), &limits) else { return (None, None) };
    let Rows::Overlapping(range) = window.rows else { return (None, None) };
    let place = MediaPlace { base_url: base, whole_objects: base.is_some() };
    let view = View::overlapping(blocks, range);
    let quick = media_playlist(&request, target, &window, &view, place);
    let plain = Plan::build(&window, view.segments())
        .and_then(|plan| {
            let none = |_| None;
            let material = Material { plain: PlainHls::Auto, inits: &[], place, first_sample_bytes: &none };
            hls::playlist(&request, target, &plan, &material)
        })
        .ok();
    (quick, plain)
}

/// Tracks and container.
const LISTS: &[(&str, &str)] = &[
    ("tracks-v1", "fmp4"),
    ("tracks-a1", "fmp4"),
    ("tracks-v2", "fmp4"),
    ("tracks-v1a1", "ts"),
    ("tracks-a1", "ts"),
    ("tracks-v1a9", "ts"),
];

proptest! {
    #[test]
    fn both_ways_give_the_same_bytes(
        events in proptest::collection::vec(event(), 1..400),
        from in -100i64..3000, length in 1i64..2500, base in proptest::bool::ANY, token in proptest::bool::ANY,
    ) {
        let rows = recording(&events);
        let blocks = blocks(&rows);
        let base = base.then_some("https://cdn.example/x/");
        let query = if token { "?token=a%20b&n=1" } else { "" };
        let from = T0 + from;
        // Long after; while it grows; just after its end.
        for now in [T0 + 20_000, from + length / 2, from + length + 310].map(UtcUs::from_seconds) {
            for (list, container) in LISTS {
                for form in [format!("index-{from}-{length}"), format!("archive-{from}-now"), format!("rewind-{length}")] {
                    let path = format!("{list}/{form}.{container}.m3u8{query}");
                    let (quick, plain) = both(&rows, &blocks, &path, now, base);
                    if let Some(quick) = quick {
                        prop_assert_eq!(Some(quick), plain, "{}", path);
                    }
                }
            }
        }
    }
}

/// The plain way is for what is rare: else this module would be worth nothing.
#[test]
fn what_is_usual_is_quick() {
    let usual = [Event::Nothing; 400];
    let mut changes = usual;
    (changes[50], changes[120], changes[250]) = (Event::Run(30), Event::Init, Event::Unsynced);
    let now = UtcUs::from_seconds(T0 + 5000);
    for (events, tags) in [(&usual, 0), (&changes, 1)] {
        let rows = recording(events);
        let blocks = blocks(&rows);
        assert!(blocks.len() > 1);
        for query in ["", "?token=x"] {
            for form in [format!("archive-{T0}-2400"), format!("archive-{T0}-now"), "rewind-9000".to_owned()] {
                for (list, maps) in [("tracks-v1/{}.fmp4", 1 + 2 * tags), ("tracks-v1a1/{}.ts", 0)] {
                    let path = format!("{}.m3u8{query}", list.replace("{}", &form));
                    let (quick, plain) = both(&rows, &blocks, &path, now, None);
                    assert_eq!(quick, plain, "{path}");
                    let quick = quick.unwrap_or_else(|| panic!("{path} took the plain way"));
                    assert_eq!(quick.matches("#EXT-X-DISCONTINUITY\n").count(), tags, "{path}");
                    assert_eq!(quick.matches("#EXT-X-MAP").count(), maps, "{path}");
                }
            }
        }
    }
    // Lost rows: an ended playlist passes over them quickly; a growing one needs placeholders.
    let mut lost = usual;
    lost[100] = Event::Lost(3);
    let rows = recording(&lost);
    let blocks = blocks(&rows);
    assert!(both(&rows, &blocks, &format!("tracks-v1/archive-{T0}-2400.fmp4.m3u8"), now, None).0.is_some());
    assert!(both(&rows, &blocks, &format!("tracks-v1/archive-{T0}-now.fmp4.m3u8"), now, None).0.is_none());
}

#[test]
fn texts_of_a_block_are_bounded() {
    let rows = recording(&[Event::Nothing; 3]);
    let blocks = blocks(&rows);
    let now = UtcUs::from_seconds(T0 + 90_000);
    let answers: Vec<bool> = (0..2 * Renderings::MOST_TEXTS)
        .map(|n| {
            let base = format!("https://{n}.example");
            both(&rows, &blocks, &format!("tracks-v1/index-{T0}-60.fmp4.m3u8"), now, Some(&base)).0.is_some()
        })
        .collect();
    assert_eq!(answers.iter().filter(|quick| **quick).count(), Renderings::MOST_TEXTS);
}
