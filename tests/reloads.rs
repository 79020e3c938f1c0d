//! Growing and sliding playlists over simulated minutes, reloaded by players that forget nothing: rows that come late,
//! gaps, runs, lost numbers, retention, recorders that change. And for some seconds on real nodes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/reload_checker.rs"]
#[allow(dead_code)]
mod reload_checker;
mod web_bed;

use evertape::media::segment::{Segment, SegmentId, TrackPart};
use evertape::media::track::{Codec, TrackParams, VideoParams};
use evertape::media::{InitHash, InitInfo, RunId, StreamName, Ticks, TrackId, UtcUs};
use evertape::playback::hls::{self, Material, PlainHls};
use evertape::playback::plan::Plan;
use evertape::playback::url::{self, Target};
use evertape::playback::window::{self, Limits, Recorded, Rows, Window, WindowError};
use reload_checker::{Loaded, Watched, agree, in_step};
use std::collections::BTreeMap;

/// 2026-11-22T10:00:00Z
const T0: i64 = 1_795_341_600;
/// Length of what is watched, in seconds; recording begins as long before.
const WATCHED: i64 = 420;
/// Rows are taken off the list this long after they ended, in seconds.
const RETENTION: i64 = 2 * WATCHED + 200;

/// A generator with a seed (Knuth, MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, n: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as i64 % n.max(1)
    }
}

struct Row {
    segment: Segment,
    published: UtcUs,
}

fn part(track: TrackId, init: &str, media: Ticks, us: i64, offset: u64, sync: bool) -> TrackPart {
    let duration = Ticks::from_us(us);
    TrackPart {
        track,
        init: InitHash::of(init.as_bytes()),
        offset,
        length: 90_000,
        payload_offset: 500,
        decode_start: media,
        presentation_start: media + Ticks(3600),
        duration,
        sample_count: (duration.0 / 3600).max(1) as u32,
        sync_count: 1,
        starts_with_sync: sync,
        duration_runs: 1,
        composition_runs: 1,
    }
}

/// A recording that began long before and goes on to the end of the watch. `retention`: so long before that its
/// beginning is taken off the list while it is watched.
fn recording(random: &mut Random, retention: bool) -> Vec<Row> {
    let stream = StreamName::parse("s").unwrap();
    let mut rows: Vec<Row> = Vec::new();
    let (mut sequence, mut discontinuity, mut run, mut epoch) = (1000 + random.below(50) as u64, 7u64, 1u128, 1u64);
    let mut at = UtcUs::from_seconds(T0 - if retention { RETENTION } else { WATCHED });
    let (mut media, mut init, mut muted) = (Ticks(900_000), 0, 0);
    let (mut new_run, mut published) = (true, UtcUs(0));
    let usual_us = 1_000_000 * (2 + random.below(5));
    while at < UtcUs::from_seconds(T0 + WATCHED) {
        match random.below(60) {
            // The source breaks, for a moment or for minutes.
            0 | 1 => {
                at = at.plus_us([40_000, 3_000_000, 20_000_000, 150_000_000][random.below(4) as usize]);
                (new_run, run, media) = (true, run + 1, Ticks(random.below(1 << 30)));
            }
            // The recorder is another one.
            2 => {
                at = at.plus_us(random.below(30_000_000));
                (new_run, run, epoch, media) = (true, run + 1, epoch + 1, Ticks(0));
            }
            // Numbers that never come.
            3 => {
                let count = 1 + random.below(8);
                sequence += count as u64;
                at = at.plus_us(count * usual_us);
                media = media + Ticks::from_us(count * usual_us);
                if random.below(2) == 0 {
                    (new_run, run) = (true, run + 1);
                }
            }
            // Parameters change.
            4 => (init, discontinuity) = (init + 1, discontinuity + 1),
            // The sound is away for some segments.
            5 => muted = 1 + random.below(4),
            _ => {}
        }
        discontinuity += u64::from(new_run);
        new_run = false;
        let us = if random.below(12) == 0 { 500_000 + random.below(11_900_000) } else { usual_us };
        let sync = random.below(15) > 0;
        let mut tracks = vec![part(TrackId::video(1), &format!("v{init}"), media, us, 100, sync)];
        muted -= 1;
        if muted < 0 {
            // Sound does not end with the picture.
            let us = us + random.below(40_000) - 20_000;
            tracks.push(part(TrackId::audio(1), "a", media + Ticks(700), us, 90_100, true));
        }
        let id = SegmentId { stream: stream.clone(), run: RunId(run), epoch, sequence, start: at, duration_us: us };
        // In order, soon or after an outage of the store.
        let late = if random.below(25) == 0 { 50_000_000 } else { 0 };
        published = published.max(id.end().plus_us(500_000 + random.below(2_000_000) + late));
        let segment = Segment {
            object: id.object_key().unwrap(),
            discontinuity,
            anchor: media + Ticks(3600),
            object_offset: 0,
            object_length: 200_000,
            tracks,
            id,
        };
        at = segment.id.end();
        media = media + Ticks::from_us(us);
        sequence += 1;
        rows.push(Row { segment, published });
    }
    rows
}

/// What the index knows at a moment.
struct Known<'a> {
    rows: Vec<&'a Segment>,
    recorded: Option<Recorded>,
}

impl<'a> Known<'a> {
    fn at(all: &'a [Row], now: UtcUs) -> Self {
        let published = || all.iter().filter(|r| r.published <= now).map(|r| &r.segment);
        let cutoff = now.plus_us(-RETENTION * 1_000_000);
        let rows: Vec<&Segment> = published().filter(|s| s.id.end() > cutoff).collect();
        let recorded = rows.first().map(|first| Recorded {
            first_start: first.id.start,
            live_edge: rows.iter().map(|s| s.id.end()).max().unwrap(),
            longest_us: published().map(Segment::longest_us).max().unwrap(),
        });
        Self { rows, recorded }
    }

    fn read(&self, rows: Rows) -> Vec<&'a Segment> {
        let all = self.rows.iter().copied();
        match rows {
            Rows::Overlapping(range) => all.filter(|s| s.range().overlaps(range)).collect(),
            Rows::Newest { before, count } => {
                let before: Vec<&Segment> = all.filter(|s| s.id.start < before).collect();
                before[before.len().saturating_sub(count)..].to_vec()
            }
        }
    }

    fn window(&self, target: &url::PlaylistTarget, now: UtcUs) -> Result<(Window, Vec<&'a Segment>), WindowError> {
        let limits = Limits::new(6, 86_400_000_000);
        let window = window::resolve(&target.form, now, self.recorded, &limits)?;
        let rows = self.read(window.rows);
        match window.at_least(rows.iter().copied()) {
            None => Ok((window, rows)),
            Some(wider) => Ok((wider, self.read(wider.rows))),
        }
    }

    fn answer(&self, address: &str, now: UtcUs) -> Result<String, WindowError> {
        let (path, query) = address.split_once('?').map_or((address, None), |(p, q)| (p, Some(q)));
        let request = url::parse(&format!("/s/{path}"), query).unwrap();
        let Target::Playlist(target) = &request.target else { panic!("{address}") };
        let (window, rows) = self.window(target, now)?;
        let plan = Plan::build(&window, rows.iter().copied())?;
        let video = |hash| {
            let video = Some(VideoParams { width: 640, height: 360 });
            let codec_string = "avc1.4d401e".to_owned();
            let codec = Codec::H264;
            InitInfo {
                hash,
                params: TrackParams { codec, codec_string, language: None, video, audio: None, sample_entry: vec![] },
            }
        };
        let inits: Vec<InitInfo> = hls::inits_needed(target, &plan, PlainHls::Auto)?.into_iter().map(video).collect();
        let first_sample_bytes = &|sequence| Some(1000 + sequence as u32);
        let material = Material { plain: PlainHls::Auto, inits: &inits, place: Default::default(), first_sample_bytes };
        hls::playlist(&request, target, &plan, &material)
    }
}

/// Every form that is reloaded, each by several tracks and in several containers.
fn addresses() -> Vec<String> {
    let forms = [
        "index".to_owned(),
        "rewind-120".to_owned(),
        format!("rewind-{}", WATCHED),
        "timeshift_rel-30".to_owned(),
        "timeshift_rel-200".to_owned(),
        format!("index-{}-now", T0 - 100),
        format!("index-{}-150", T0 - 50),
        format!("index-{}-{}", T0 - 20, WATCHED),
    ];
    let mono = |form: &str| match form {
        "index" => "mono".to_owned(),
        form => format!("mono-{}", form.trim_start_matches("index-")),
    };
    let all = forms.iter().flat_map(|form| {
        let iframes = mono(form).replacen("mono", "iframes", 1);
        [
            format!("tracks-v1/{form}.fmp4.m3u8"),
            format!("tracks-a1/{form}.fmp4.m3u8"),
            format!("tracks-v1a1/{form}.ts.m3u8"),
            format!("tracks-a1/{form}.ts.m3u8"),
            format!("{}.m3u8", mono(form)),
            format!("{}.fmp4.m3u8", mono(form)),
            format!("tracks-v1/{iframes}.fmp4.m3u8"),
        ]
    });
    all.collect()
}

/// The form of an address: tracks of one form are watched together.
fn form_of(address: &str) -> &str {
    let name = address.rsplit('/').next().unwrap();
    let name = name.trim_end_matches(".m3u8").trim_end_matches(".fmp4").trim_end_matches(".ts");
    let name = name.trim_start_matches("mono").trim_start_matches("iframes").trim_start_matches("index");
    name.trim_start_matches('-')
}

#[derive(Default)]
struct Seen {
    reloads: usize,
    deltas: usize,
    removed: u64,
    ended: usize,
    gaps: usize,
    discontinuities: u64,
}

fn watch(seed: u64) -> Seen {
    let mut random = Random(seed);
    let rows = recording(&mut random, seed.is_multiple_of(3));
    let stored: BTreeMap<String, (u64, u64)> = rows
        .iter()
        .map(|r| (r.segment.id.base_name().to_string(), (r.segment.id.sequence, r.segment.discontinuity)))
        .collect();
    let mut watched: BTreeMap<String, Watched> = addresses().into_iter().map(|a| (a, Watched::default())).collect();
    let mut second = 0;
    let mut seen = Seen::default();
    while second < WATCHED {
        second += 1 + random.below(5);
        let now = UtcUs::from_seconds(T0 + second);
        let known = Known::at(&rows, now);
        // Another node, whose picture of the index is some seconds old.
        let behind = Known::at(&rows, now.plus_us(-random.below(6_000_000)));
        let mut together: BTreeMap<String, Loaded> = BTreeMap::new();
        for (address, player) in &mut watched {
            let fail = |what: String| -> ! { panic!("seed {seed}, second {second}, {address}: {what}") };
            // Players stop reloading what has ended, some a little later.
            if player.last().is_some_and(|l| l.ended) && random.below(3) > 0 {
                continue;
            }
            let whole = match known.answer(address, now) {
                Ok(text) => text,
                Err(_) if player.last().is_none() => continue,
                Err(WindowError::NoSuchTrack) => continue,
                Err(error) => fail(error.to_string()),
            };
            let delta = known.answer(&format!("{address}?_HLS_skip=YES"), now).unwrap_or_else(|e| fail(e.to_string()));
            let sliding = !whole.contains("#EXT-X-PLAYLIST-TYPE");
            // Some players ask for delta updates only; both must end with the same.
            let first = if player.last().is_some() && seed.is_multiple_of(2) { &delta } else { &whole };
            let loaded = player.reload(first).unwrap_or_else(|e| fail(e)).clone();
            player.rebuild(&delta).unwrap_or_else(|e| fail(e));
            let plain = Loaded::read(&whole, None).unwrap_or_else(|e| fail(e));
            if plain.segments != loaded.segments {
                fail(format!("delta updates have led to {loaded:?}, the whole is {plain:?}"));
            }
            if let Ok(text) = behind.answer(address, now)
                && let Ok(other) = Loaded::read(&text, None)
            {
                agree(&loaded, &other).unwrap_or_else(|e| fail(e));
            }
            for (n, segment) in loaded.segments.iter().filter(|(_, s)| !s.gap && sliding) {
                let base = segment.uri.split('/').rev().nth(1).unwrap();
                if stored[base] != (*n, segment.discontinuity) {
                    fail(format!("{base} is listed as {n}, {}", segment.discontinuity));
                }
            }
            if let Some(other) = together.get(form_of(address)) {
                in_step(other, &loaded).unwrap_or_else(|e| fail(e));
            }
            together.insert(form_of(address).to_owned(), loaded);
        }
    }
    for (address, player) in watched {
        let last = player.last().unwrap_or_else(|| panic!("seed {seed}: {address} was never there"));
        seen.reloads += player.reloads;
        seen.deltas += player.deltas;
        seen.removed += player.removed;
        seen.ended += usize::from(last.ended);
        seen.gaps += last.segments.values().filter(|s| s.gap).count();
        let numbers: Vec<u64> = last.segments.values().map(|s| s.discontinuity).collect();
        seen.discontinuities += numbers[numbers.len() - 1] - numbers[0];
    }
    seen
}

#[test]
fn nothing_changes_but_what_may() {
    let mut all = Seen::default();
    for seed in 1..=SEEDS {
        let seen = watch(seed);
        all.reloads += seen.reloads;
        all.deltas += seen.deltas;
        all.removed += seen.removed;
        all.ended += seen.ended;
        all.gaps += seen.gaps;
        all.discontinuities += seen.discontinuities;
    }
    // Every kind of thing did happen.
    let counts = [all.reloads, all.deltas, all.removed as usize, all.ended, all.gaps, all.discontinuities as usize];
    assert!(counts.iter().all(|n| *n > 40), "{counts:?}");
}

const SEEDS: u64 = 5;

/// The checker itself: each of these is something it must not let through.
#[test]
fn the_checker_sees_what_is_wrong() {
    let list = |first: u64, count: u64| {
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:2\n"
        );
        for n in first..first + count {
            let date = format!("2026-11-22T10:{:02}:{:02}.000Z", n / 10, n % 10 * 6);
            text += &format!("#EXT-X-PROGRAM-DATE-TIME:{date}\n#EXTINF:6.000000,\nsegment/{n}/v1.ts\n");
        }
        text
    };
    let after = |before: &str, text: &str| {
        let mut player = Watched::default();
        player.reload(before).unwrap();
        player.reload(text).map(|_| ())
    };
    let start = list(10, 4);
    after(&start, &list(10, 5)).unwrap();
    after(&start, &list(12, 5)).unwrap();
    let ended = format!("{start}#EXT-X-ENDLIST\n");
    after(&ended, &ended).unwrap();
    let event = start.replace("#EXT-X-DISC", "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-DISC");
    for (before, text) in [
        (&start, list(9, 5)),
        (&start, list(10, 3)),
        (&start, list(13, 1)),
        (&start, list(10, 5).replace("TARGETDURATION:6", "TARGETDURATION:7")),
        (&start, list(10, 5).replace("EXTINF:6.000000", "EXTINF:6.600000")),
        (&start, list(10, 5).replace("segment/11", "segment/12")),
        (&start, list(10, 5).replace("10:01:06", "10:01:07")),
        (&start, list(10, 5).replace("SEQUENCE:2", "SEQUENCE:3")),
        (&start, list(10, 5).replace("#EXT-X-PROGRAM-DATE-TIME:2026-11-22T10:01:12", "#EXT-X-DISCONTINUITY\n$&")),
        (&start, list(10, 5).replace("#EXTINF:6.000000,\nsegment/12", "#EXT-X-GAP\n#EXTINF:6.000000,\nsegment/12")),
        (&start, list(10, 5).replace("#EXT-X-DISC", "#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-DISC")),
        (&event, list(12, 5).replace("#EXT-X-DISC", "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-DISC")),
        (&ended, list(10, 5)),
        (&ended, format!("{}#EXT-X-ENDLIST\n", list(10, 5))),
        (&start, list(10, 5).replace("#EXT-X-PROG", "#EXT-X-SKIP:SKIPPED-SEGMENTS=2\n#EXT-X-PROG")),
    ] {
        assert!(after(before, &text).is_err(), "{text}");
    }
    let (a, b) = (Loaded::read(&start, None).unwrap(), Loaded::read(&list(11, 3), None).unwrap());
    agree(&a, &b).unwrap();
    assert!(in_step(&a, &b).is_err());
    let moved = Loaded::read(&start.replace("segment/12", "segment/99"), None).unwrap();
    assert!(agree(&a, &moved).is_err());
}

/// Some reloads of real nodes, side by side, while segments are published.
#[tokio::test(flavor = "multi_thread")]
async fn real_nodes_side_by_side() {
    let bed = web_bed::Bed::new().await;
    let second = bed.second_node().await;
    let from = bed.from;
    let forms = [
        "tracks-v1/index.fmp4.m3u8".to_owned(),
        "tracks-v1a1/index.ts.m3u8".to_owned(),
        "tracks-a2/rewind-86000.fmp4.m3u8".to_owned(),
        format!("tracks-v1/index-{from}-now.fmp4.m3u8"),
        format!("mono-{from}-now.ts.m3u8"),
        format!("tracks-v1/index-{}-86000.fmp4.m3u8", from + 30),
    ];
    let mut watched: BTreeMap<(usize, &str), Watched> = BTreeMap::new();
    let mut published = 2 * web_bed::SEGMENTS;
    for round in 0..6 {
        for _ in 0..round % 3 {
            bed.recorder.publish(published).await;
            published += 1;
        }
        // What is cached of the live edge is that old at most.
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        for form in &forms {
            for (node, base) in [&bed.base, &second].into_iter().enumerate() {
                let get = async |query: &str| {
                    let answer = bed.client.get(format!("{base}/{form}{query}")).send().await.unwrap();
                    assert_eq!(answer.status(), 200, "{form}");
                    answer.text().await.unwrap()
                };
                let player = watched.entry((node, form)).or_default();
                player.reload(&get("").await).unwrap_or_else(|e| panic!("{form}: {e}"));
                player.rebuild(&get("?_HLS_skip=YES").await).unwrap_or_else(|e| panic!("{form}: {e}"));
            }
            let (a, b) = (watched[&(0, form.as_str())].last().unwrap(), watched[&(1, form.as_str())].last().unwrap());
            agree(a, b).unwrap_or_else(|e| panic!("{form}: {e}"));
        }
    }
    let last = watched[&(0, forms[3].as_str())].last().unwrap();
    assert_eq!(last.segments.len() as u64, published, "all that was published is listed");
    assert!(watched.values().map(|w| w.deltas).sum::<usize>() > 10);
}
