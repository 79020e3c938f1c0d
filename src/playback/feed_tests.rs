use super::*;
use crate::media::segment::{SegmentId, TrackPart};
use crate::media::{RunId, StreamName};
use proptest::prelude::*;

const S: i64 = 1_000_000;

fn at(seconds: i64) -> UtcUs {
    UtcUs(seconds * S)
}

#[test]
fn where_a_viewer_begins() {
    let recorded = Some(Recorded { first_start: at(1000), live_edge: at(5000), longest_us: 6_000_000 });
    let begins = |shift| begin(shift, at(5010), recorded, 11 * S).map(|t| t.0 / S);
    for (shift, expected) in [
        (Shift::TunedInAt(at(3000)), Ok(3000)),
        (Shift::TunedInAt(at(4989)), Ok(4989)),
        // So near to the live edge that the player would wait.
        (Shift::TunedInAt(at(4999)), Ok(4989)),
        (Shift::TunedInAt(at(5010)), Ok(4989)),
        (Shift::TunedInAt(at(5011)), Err(WindowError::FromInFuture)),
        (Shift::TunedInAt(UtcUs(i64::MAX)), Err(WindowError::FromInFuture)),
        (Shift::TunedInAt(at(1)), Ok(1000)),
        (Shift::TunedInAt(UtcUs(i64::MIN)), Ok(1000)),
        (Shift::Delay(0), Ok(4989)),
        (Shift::Delay(60 * S), Ok(4950)),
        (Shift::Delay(i64::MAX), Ok(1000)),
    ] {
        assert_eq!(begins(shift), expected, "{shift:?}");
    }
    // Nothing comes any more.
    assert_eq!(begin(Shift::Delay(0), at(5121), recorded, S), Err(WindowError::NothingRecorded));
    assert_eq!(begin(Shift::Delay(60 * S), at(5121), recorded, S), Ok(at(4999)));
    assert_eq!(begin(Shift::Delay(0), at(5000), None, S), Err(WindowError::NothingRecorded));
    let short = Some(Recorded { first_start: at(4998), live_edge: at(5000), longest_us: 6_000_000 });
    assert_eq!(begin(Shift::Delay(0), at(5000), short, 11 * S), Ok(at(4998)));
}

fn track_part(track: TrackId, offset: u64, table: &SampleTable) -> TrackPart {
    TrackPart {
        track,
        init: InitHash::of(b"x"),
        offset,
        length: table.payload_bytes() + 50,
        payload_offset: 50,
        decode_start: Ticks(90_000),
        presentation_start: Ticks(90_000),
        duration: table.duration(),
        sample_count: table.samples.len() as u32,
        sync_count: table.sync_count(),
        starts_with_sync: true,
        duration_runs: 1,
        composition_runs: 1,
    }
}

/// Six seconds from 100 s: pictures of these sizes, every `gop`th a sync sample, and sound.
fn segment(sizes: &[u32], gop: usize) -> (Segment, TableSet) {
    let duration = 540_000 / sizes.len() as u32;
    let picture =
        |(n, size): (usize, &u32)| Sample { size: *size, duration, composition_offset: 0, sync: n.is_multiple_of(gop) };
    let sound = Sample { size: 300, duration: 1920, composition_offset: 0, sync: true };
    let video = SampleTable { samples: sizes.iter().enumerate().map(picture).collect() };
    let audio = SampleTable { samples: vec![sound; 281] };
    let id = SegmentId {
        stream: StreamName::parse("x").unwrap(),
        run: RunId(1),
        epoch: 1,
        sequence: 7,
        start: at(100),
        duration_us: 6 * S,
    };
    let first = track_part(TrackId::video(1), 1000, &video);
    let second = track_part(TrackId::audio(1), 1000 + first.length, &audio);
    let object_length = 1000 + first.length + second.length;
    let mut tables = TableSet::new();
    tables.insert(7, &[video, audio]);
    let object = id.object_key().unwrap();
    let tracks = vec![first, second];
    let row = Segment { id, discontinuity: 0, anchor: Ticks(90_000), object, object_offset: 0, object_length, tracks };
    (row, tables)
}

/// Each track's samples once, in order, where they lie.
fn check(segment: &Segment, tables: &TableSet, found: &[Part]) {
    for (n, row) in segment.tracks.iter().enumerate() {
        let stretches: Vec<&Stretch> = found.iter().map(|p| &p.stretches[n]).collect();
        let samples: Vec<Sample> = stretches.iter().flat_map(|s| s.samples.clone()).collect();
        assert_eq!(samples, tables.get(7, n as u16).unwrap().samples);
        let (mut offset, mut dts) = (row.offset + 50, row.decode_start.0);
        for stretch in stretches {
            assert_eq!((stretch.track, stretch.bytes.start, stretch.decode_start.0), (row.track, offset, dts));
            assert_eq!(stretch.part, row.offset..row.offset + row.length);
            offset = stretch.bytes.end;
            dts += stretch.samples.iter().map(|s| i64::from(s.duration)).sum::<i64>();
        }
        assert_eq!(offset, row.offset + row.length);
    }
    assert_eq!(found.iter().map(|p| p.media_us).sum::<i64>(), segment.id.duration_us);
}

#[test]
fn a_small_segment_is_one_part_and_a_large_one_is_cut_at_sync_samples() {
    let (row, tables) = segment(&[1000; 150], 50);
    let found = parts(&row, &tables, None, None).unwrap();
    assert_eq!(found.len(), 1);
    check(&row, &tables, &found);
    // A second is a megabyte: a part each; with two seconds between sync samples, somewhere between.
    let (row, tables) = segment(&[40_000; 150], 25);
    let found = parts(&row, &tables, None, None).unwrap();
    assert_eq!(found.iter().map(|p| p.media_us).collect::<Vec<_>>(), [S; 6]);
    assert!(found.iter().all(|p| p.bytes() <= PART_BYTES && p.stretches[0].samples[0].sync));
    check(&row, &tables, &found);
    let (row, tables) = segment(&[40_000; 150], 50);
    check(&row, &tables, &parts(&row, &tables, None, None).unwrap());
}

#[test]
fn a_viewer_begins_at_a_sync_sample_inside_a_segment() {
    let (row, tables) = segment(&[1000; 150], 50);
    let begins = |t: i64| {
        let found = parts(&row, &tables, None, Some(UtcUs(t))).unwrap();
        let [video, audio] = [0, 1].map(|n| &found[0].stretches[n]);
        assert!(video.samples[0].sync && audio.decode_start >= video.decode_start);
        assert!(audio.decode_start.0 - video.decode_start.0 < 1920);
        (video.decode_start.0 / 90_000 - 1, found[0].media_us)
    };
    assert_eq!(begins(100 * S), (0, 6 * S));
    assert_eq!(begins(102 * S - 1), (0, 6 * S));
    assert_eq!(begins(102 * S), (2, 4 * S));
    assert_eq!(begins(105 * S), (4, 2 * S));
    assert_eq!(begins(0), (0, 6 * S));
}

#[test]
fn tracks_are_chosen_and_rows_are_checked() {
    let (row, tables) = segment(&[1000; 150], 50);
    let choice = TrackChoice::one(TrackId::audio(1));
    let found = parts(&row, &tables, Some(&choice), None).unwrap();
    assert_eq!(found[0].stretches.len(), 1);
    assert_eq!(found[0].stretches[0].track, TrackId::audio(1));
    let none = TrackChoice::one(TrackId::audio(2));
    assert_eq!(parts(&row, &tables, Some(&none), None).unwrap(), []);
    assert_eq!(parts(&row, &TableSet::new(), None, None), Err(ExportError::MissingTables(7)));
    let mut other = TableSet::new();
    other.insert(7, &[SampleTable::default(), SampleTable::default()]);
    assert_eq!(parts(&row, &other, None, None), Err(ExportError::Disagree(7)));
}

#[test]
fn what_joins_what() {
    let (first, _) = segment(&[1000], 1);
    let mut second = first.clone();
    second.id.sequence += 1;
    assert!(joins(&first, &second));
    for change in [
        |s: &mut Segment| s.id.sequence += 1,
        |s: &mut Segment| s.discontinuity += 1,
        |s: &mut Segment| s.id.run = RunId(2),
    ] {
        let mut other = second.clone();
        change(&mut other);
        assert!(!joins(&first, &other));
    }
}

proptest! {
    #[test]
    fn parts_are_the_whole_and_bounded(
        sizes in proptest::collection::vec(prop_oneof![5 => 0u32..50_000, 1 => 0u32..3_000_000], 1..200), gop in 1usize..60,
    ) {
        let (row, tables) = segment(&sizes, gop);
        let found = parts(&row, &tables, None, None).unwrap();
        check(&row, &tables, &found);
        for part in &found {
            prop_assert!(part.bytes() <= PART_BYTES || part.stretches[0].samples.len() <= 2, "{}", part.bytes());
        }
    }

    #[test]
    fn beginning_anywhere_gives_the_end(sizes in proptest::collection::vec(0u32..50_000, 1..200), gop in 1usize..60, t in any::<i64>(), inside in 0i64..6 * S) {
        let (row, tables) = segment(&sizes, gop);
        for t in [t, 100 * S + inside] {
            let found = parts(&row, &tables, None, Some(UtcUs(t))).unwrap();
            let last = &found.last().unwrap().stretches[0];
            prop_assert_eq!(last.bytes.end, last.part.end);
            prop_assert!(found[0].stretches[0].samples[0].sync);
            prop_assert!(found.iter().map(|p| p.media_us).sum::<i64>() <= 6 * S);
        }
    }
}
