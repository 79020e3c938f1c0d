//! Reading: windows, pages, the newest, ranges, what belongs to a stream.

use crate::bed::{Bed, DAY, all_time, at, inits, range, segment, stream};
use evertape::index::{Extent, Tail};
use evertape::media::track::Uncarried;
use evertape::media::{InitHash, UtcRange, UtcUs};

fn numbers(segments: &[evertape::media::Segment]) -> Vec<u64> {
    segments.iter().map(|s| s.id.sequence).collect()
}

pub async fn an_empty_stream_has_empty_answers(bed: Bed) {
    for name in [stream("unknown"), stream("registered")] {
        assert_eq!(bed.index.window(&name, all_time(), None, 10).await.unwrap(), []);
        assert_eq!(bed.index.newest(&name, at(0), 10).await.unwrap(), []);
        assert_eq!(bed.index.sample_tables(&name, 0, u64::MAX).await.unwrap(), []);
        assert_eq!(bed.index.inits(&name, &[InitHash::of(b"x")]).await.unwrap(), []);
        assert_eq!(bed.index.extent(&name).await.unwrap(), None);
        assert_eq!(bed.index.ranges(&name, all_time(), 0, 10).await.unwrap(), []);
        assert_eq!(bed.index.uncarried(&name).await.unwrap(), []);
        assert_eq!(bed.index.mark_expired(&name, at(DAY), at(DAY), 10).await.unwrap(), 0);
        assert_eq!(bed.index.deletable(&name, at(DAY), 10).await.unwrap(), []);
        assert_eq!(bed.index.tail(&name).await.unwrap(), Tail::default());
        bed.lease(&stream("registered"), "x").await;
    }
    bed.index.delete(&[]).await.unwrap();
    bed.index.delete(&[segment(&stream("unknown"), 0, 1, 0, 6).segment.id]).await.unwrap();
}

pub async fn a_window_is_half_open(bed: Bed) {
    let name = stream("one");
    let lease = bed.lease(&name, "x").await;
    // The last before midnight reaches into the next day; the longest possible one reaches far.
    for (n, start, seconds) in [(0, 0, 120), (1, 120, 6), (2, 126, 6), (3, DAY - 3, 6), (4, DAY + 3, 6)] {
        bed.put(&lease, &segment(&name, n, 1, start, seconds)).await;
    }
    for (from, to, expected) in [
        (0, DAY * 2, vec![0, 1, 2, 3, 4]),
        (120, 126, vec![1]),
        (119, 127, vec![0, 1, 2]),
        (126, 127, vec![2]),
        (132, DAY - 3, vec![]),
        (132, DAY - 2, vec![3]),
        (DAY, DAY + 1, vec![3]),
        (DAY + 9, DAY * 3, vec![]),
        (-DAY, 0, vec![]),
        (5, 5, vec![]),
    ] {
        let found = bed.index.window(&name, range(from, to), None, 100).await.unwrap();
        assert_eq!(numbers(&found), expected, "[{from}, {to})");
    }
    let last_moment = UtcRange::new(at(120).plus_us(-1), at(120));
    assert_eq!(numbers(&bed.index.window(&name, last_moment, None, 100).await.unwrap()), [0]);
    assert_eq!(numbers(&bed.index.window(&name, all_time(), None, 100).await.unwrap()), [0, 1, 2, 3, 4]);
}

pub async fn windows_are_paged_by_number(bed: Bed) {
    let name = stream("one");
    let lease = bed.lease(&name, "x").await;
    for n in 0..30 {
        bed.put(&lease, &segment(&name, n, 1, DAY - 60 + n as i64 * 6, 6)).await;
    }
    let window = range(DAY - 54, DAY + 101);
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let page = bed.index.window(&name, window, after, 7).await.unwrap();
        assert!(page.len() <= 7);
        let Some(last) = page.last() else { break };
        after = Some(last.id.sequence);
        pages.extend(numbers(&page));
    }
    assert_eq!(pages, (1..27).collect::<Vec<u64>>());
    assert_eq!(bed.index.window(&name, window, None, 0).await.unwrap(), []);
    assert_eq!(bed.index.window(&name, window, Some(u64::MAX), 5).await.unwrap(), []);
    assert_eq!(numbers(&bed.index.window(&name, window, Some(0), 1).await.unwrap()), [1]);
}

pub async fn the_newest_before_a_moment(bed: Bed) {
    let name = stream("one");
    let lease = bed.lease(&name, "x").await;
    // Long gaps: the newest may lie days back.
    for (n, start) in [0, 6, 5 * DAY, 5 * DAY + 6, 40 * DAY].into_iter().enumerate() {
        bed.put(&lease, &segment(&name, n as u64, 1, start, 6)).await;
    }
    for (before, count, expected) in [
        (at(41 * DAY), 3, vec![2, 3, 4]),
        (at(40 * DAY), 2, vec![2, 3]),
        (at(40 * DAY).plus_us(1), 1, vec![4]),
        (at(5 * DAY + 1), 2, vec![1, 2]),
        (UtcUs(i64::MAX), 100, vec![0, 1, 2, 3, 4]),
        (at(1), 5, vec![0]),
        (at(0), 5, vec![]),
        (UtcUs(i64::MIN), 5, vec![]),
        (at(41 * DAY), 0, vec![]),
    ] {
        let found = bed.index.newest(&name, before, count).await.unwrap();
        assert_eq!(numbers(&found), expected, "{count} before {before:?}");
    }
}

pub async fn ranges_are_joined_and_not_cut(bed: Bed) {
    let name = stream("one");
    let lease = bed.lease(&name, "x").await;
    for (n, start) in [0, 6, 14, 20, 3 * DAY, 3 * DAY + 6, 300 * DAY].into_iter().enumerate() {
        bed.put(&lease, &segment(&name, n as u64, 1, start, 6)).await;
    }
    for (window, tolerance_s, limit, expected) in [
        (
            all_time(),
            0,
            10,
            vec![range(0, 12), range(14, 26), range(3 * DAY, 3 * DAY + 12), range(300 * DAY, 300 * DAY + 6)],
        ),
        (all_time(), 2, 10, vec![range(0, 26), range(3 * DAY, 3 * DAY + 12), range(300 * DAY, 300 * DAY + 6)]),
        (all_time(), 1, 2, vec![range(0, 12), range(14, 26)]),
        (range(7, 15), 2, 10, vec![range(6, 20)]),
        (range(25, 3 * DAY + 1), 0, 10, vec![range(20, 26), range(3 * DAY, 3 * DAY + 6)]),
        (range(12, 14), 0, 10, vec![]),
        (all_time(), 0, 0, vec![]),
        (range(5, 5), 0, 5, vec![]),
    ] {
        let found = bed.index.ranges(&name, window, tolerance_s * 1_000_000, limit).await.unwrap();
        assert_eq!(found, expected, "{window:?}, {tolerance_s} s, {limit}");
    }
}

pub async fn init_segments_and_what_is_not_recorded(bed: Bed) {
    let (name, other) = (stream("one"), stream("two"));
    let lease = bed.lease(&name, "x").await;
    bed.index.publish(&lease, &segment(&name, 0, 1, 0, 6), &inits()).await.unwrap();
    bed.index.publish(&lease, &segment(&name, 1, 1, 6, 6), &inits()[..1]).await.unwrap();
    let hashes: Vec<InitHash> = inits().iter().map(|i| i.hash).collect();
    assert_eq!(bed.index.inits(&name, &hashes).await.unwrap(), inits());
    let asked = [hashes[1], InitHash::of(b"unknown"), hashes[1]];
    assert_eq!(bed.index.inits(&name, &asked).await.unwrap(), inits()[1..]);
    assert_eq!(bed.index.inits(&other, &hashes).await.unwrap(), []);

    let what =
        |place: &str| Uncarried { place: place.into(), what: "DVB subtitles".into(), language: Some("rus".into()) };
    bed.index.set_uncarried(&name, &[what("pid 0x102"), what("pid 0x103")]).await.unwrap();
    assert_eq!(bed.index.uncarried(&name).await.unwrap(), [what("pid 0x102"), what("pid 0x103")]);
    bed.index.set_uncarried(&name, &[what("pid 0x104")]).await.unwrap();
    assert_eq!(bed.index.uncarried(&name).await.unwrap(), [what("pid 0x104")]);
    bed.index.set_uncarried(&name, &[]).await.unwrap();
    assert_eq!(bed.index.uncarried(&name).await.unwrap(), []);
}

pub async fn streams_do_not_mix(bed: Bed) {
    let names = ["a", "a/b", "a-b", "A"].map(stream);
    for (n, name) in names.iter().enumerate() {
        let lease = bed.lease(name, "x").await;
        for sequence in 0..=n as u64 {
            bed.put(&lease, &segment(name, sequence, 1, sequence as i64 * 6, 6)).await;
        }
    }
    bed.index.mark_expired(&names[3], at(6), at(100), 10).await.unwrap();
    for (n, name) in names[..3].iter().enumerate() {
        let listed = bed.listed(name).await;
        assert_eq!(listed.len(), n + 1);
        assert!(listed.iter().all(|s| s.id.stream == *name));
        assert_eq!(bed.index.tail(name).await.unwrap().next_sequence, n as u64 + 1);
        assert_eq!(bed.index.sample_tables(name, 0, 100).await.unwrap().len(), n + 1);
        assert_eq!(bed.index.ranges(name, all_time(), 0, 9).await.unwrap(), [range(0, 6 * (n as i64 + 1))]);
        assert_eq!(bed.index.deletable(name, at(DAY), 10).await.unwrap(), []);
    }
    assert_eq!(bed.listed(&names[3]).await.len(), 3);
    assert_eq!(bed.index.deletable(&names[3], at(DAY), 10).await.unwrap().len(), 1);
}

pub async fn wall_time_may_run_backwards(bed: Bed) {
    let name = stream("one");
    let lease = bed.lease(&name, "x").await;
    for (n, start, seconds) in [(0, DAY + 100, 100), (1, DAY + 150, 6), (2, 50, 6), (3, DAY + 101, 6)] {
        bed.put(&lease, &segment(&name, n, 1, start, seconds)).await;
    }
    assert_eq!(numbers(&bed.listed(&name).await), [0, 1, 2, 3]);
    assert_eq!(numbers(&bed.index.window(&name, all_time(), Some(1), 1).await.unwrap()), [2]);
    assert_eq!(numbers(&bed.index.newest(&name, at(3 * DAY), 2).await.unwrap()), [1, 3]);
    let extent = Extent { first_start: at(50), live_edge: at(DAY + 200), longest_us: 100_000_000 };
    assert_eq!(bed.index.extent(&name).await.unwrap(), Some(extent));
    assert_eq!(bed.index.ranges(&name, all_time(), 0, 9).await.unwrap(), [range(50, 56), range(DAY + 100, DAY + 200)]);
    let tables = bed.index.sample_tables(&name, 1, 4).await.unwrap();
    assert_eq!(tables.iter().map(|t| t.0).collect::<Vec<_>>(), [1, 2, 3]);
    bed.index.mark_expired(&name, at(DAY + 156), at(2 * DAY), 9).await.unwrap();
    let extent = Extent { first_start: at(DAY + 100), live_edge: at(DAY + 200), longest_us: 100_000_000 };
    assert_eq!(bed.index.extent(&name).await.unwrap(), Some(extent));
}
