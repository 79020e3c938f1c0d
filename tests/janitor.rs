//! Retention by age and size, locks, refusals, several janitors at once; on SQLite with a folder and on PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/postgres.rs"]
mod postgres;
mod recorded;
mod support;

use evertape::index::control::{Changed, Expected, ReportedState, StreamReport, StreamSetting};
use evertape::janitor::{Keep, Mode, Round, Rules, round};
use evertape::media::lock::{Lock, LockId};
use evertape::media::{StreamName, UtcRange, UtcUs};
use evertape::playback::hls::PlainHls;
use recorded::{Bed, HOUR_US, Plan, name, start};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const AT_ONCE: Mode = Mode { force: false, dry_run: false, to_the_end: true };

fn rules(streams: &[(&str, Option<Duration>, Option<u64>)]) -> Rules {
    let keep = |(n, age, bytes): &(&str, _, _)| (name(n), Keep { age: *age, bytes: *bytes });
    Rules { streams: streams.iter().map(keep).collect(), max_bytes: None, grace: HOUR, interval: HOUR }
}

async fn run(bed: &Bed, rules: &Rules, mode: Mode, now: UtcUs) -> Vec<(StreamName, Round)> {
    let rounds = round(&*bed.store, &*bed.index, rules, mode, now).await.unwrap();
    rounds.into_iter().map(|(stream, round)| (stream, round.unwrap())).collect()
}

/// Every row has its object and every object its row.
async fn consistent(bed: &Bed, names: &[&str]) {
    let mut rows = 0;
    let objects = bed.objects().await;
    for n in names {
        for row in bed.rows(&name(n)).await {
            assert!(objects.contains(row.segment.object.as_str()), "a row without object");
            rows += 1;
        }
    }
    assert_eq!(rows, objects.len(), "an object without row");
}

async fn age_size_and_total(bed: Bed) {
    let [a, b, c] = ["a", "b", "c"];
    for n in [a, b, c] {
        bed.record(&name(n), 240, 60).await;
    }
    let end = start().plus_us(4 * HOUR_US);
    let each = bed.index.stored_bytes(&name(a)).await.unwrap() / 240;
    // The first round finds nothing and remembers what holds.
    let mut rules = rules(&[(a, Some(5 * HOUR), None), (b, None, None), (c, None, Some(each * 1000))]);
    let first = run(&bed, &rules, Mode::default(), end).await;
    assert!(first.iter().all(|(_, round)| *round == Round::default()), "{first:?}");
    // By age, in a dry run first.
    let dry = Mode { dry_run: true, ..AT_ONCE };
    let now = end.plus_us(2 * HOUR_US);
    assert_eq!(run(&bed, &rules, dry, now).await[0].1.marked, 60);
    assert_eq!(bed.listed(&name(a)).await.len(), 240);
    let second = run(&bed, &rules, AT_ONCE, now).await;
    assert_eq!((second[0].1.marked, second[0].1.deleted, &second[1].1), (60, 0, &Round::default()));
    assert_eq!(bed.listed(&name(a)).await[0].id.start, start().plus_us(HOUR_US));
    assert_eq!(bed.objects().await.len(), 720, "the grace is not over");
    // By size: the setting was changed, so most of it may go.
    rules.streams[2].1.bytes = Some(each * 30);
    let third = run(&bed, &rules, AT_ONCE, now).await;
    assert!((209..=212).contains(&third[2].1.marked), "{third:?}");
    assert!(bed.index.stored_bytes(&name(c)).await.unwrap() <= each * 30);
    // In total: the oldest of all streams go first.
    let before: u64 = bed.index.all_stored_bytes().await.unwrap().iter().map(|s| s.1).sum();
    rules.max_bytes = Some(before - each * 100);
    run(&bed, &rules, AT_ONCE, now).await;
    let after: u64 = bed.index.all_stored_bytes().await.unwrap().iter().map(|s| s.1).sum();
    assert!(after <= before - each * 100 && after + each * 103 > before, "{before} to {after}");
    let firsts = [bed.listed(&name(a)).await[0].id.start, bed.listed(&name(b)).await[0].id.start];
    assert!(firsts[0].since(firsts[1]).abs() <= 60_000_000, "{firsts:?}");
    consistent(&bed, &[a, b, c]).await;
    // After the grace the objects go, then the rows.
    let marked = 720
        - [a, b, c].map(name).iter().map(|_| 0).sum::<usize>()
        - bed.listed(&name(a)).await.len()
        - bed.listed(&name(b)).await.len()
        - bed.listed(&name(c)).await.len();
    let last = run(&bed, &rules, AT_ONCE, now.plus_us(HOUR_US + 1)).await;
    let deleted: u64 = last.iter().map(|(_, r)| r.deleted).sum();
    assert_eq!(deleted as usize, marked);
    consistent(&bed, &[a, b, c]).await;
    // A stream that is configured no more: what is marked of it still goes, what is listed stays.
    let listed = bed.listed(&name(b)).await;
    bed.index.mark(&[listed[0].id.clone()], now).await.unwrap();
    let none = Rules { streams: Vec::new(), max_bytes: None, ..rules };
    run(&bed, &none, AT_ONCE, now.plus_us(3 * HOUR_US)).await;
    assert_eq!(bed.listed(&name(b)).await, listed[1..]);
    assert_eq!(bed.rows(&name(b)).await.len(), listed.len() - 1);
    consistent(&bed, &[a, b, c]).await;
}

async fn most_of_a_stream_does_not_go_unasked(bed: Bed) {
    bed.record(&name("x"), 120, 60).await;
    let end = start().plus_us(2 * HOUR_US);
    // A setting nobody has applied before, on an index that is full already: as after a reindex with a wrong file.
    let mut rules = rules(&[("x", Some(HOUR / 2), None)]);
    let refused = run(&bed, &rules, Mode::default(), end).await.remove(0).1.refused.expect("a refusal");
    assert_eq!(refused.segments, 90);
    assert!(refused.to_string().contains("% of the stream") && refused.to_string().contains("--force"), "{refused}");
    assert_eq!(bed.listed(&name("x")).await.len(), 120);
    let dry = run(&bed, &rules, Mode { dry_run: true, ..AT_ONCE }, end).await.remove(0).1;
    assert!(dry.refused.is_some());
    // A harmless setting is applied; a jump of the clock is not; a change of the setting is.
    rules.streams[0].1.age = Some(HOUR * 2);
    assert_eq!(run(&bed, &rules, Mode::default(), end.plus_us(60_000_000)).await.remove(0).1.marked, 1);
    let year = end.plus_us(365 * 24 * HOUR_US);
    assert!(run(&bed, &rules, Mode::default(), year).await.remove(0).1.refused.is_some());
    assert_eq!(bed.listed(&name("x")).await.len(), 119);
    rules.streams[0].1.age = Some(HOUR / 2);
    assert_eq!(run(&bed, &rules, Mode::default(), end).await.remove(0).1.marked, 89);
    // Time alone takes the last ones of a stream that is recorded no more.
    for minute in 0..=30 {
        let round = run(&bed, &rules, Mode::default(), end.plus_us(minute * 60_000_000)).await.remove(0).1;
        assert_eq!((round.refused, round.marked), (None, u64::from(minute > 0)));
    }
    assert_eq!(bed.listed(&name("x")).await, []);
    // Forced: whatever the rules say.
    bed.record(&name("y"), 120, 60).await;
    let rules = self::rules(&[("y", Some(HOUR / 2), None)]);
    assert!(run(&bed, &rules, AT_ONCE, end).await.remove(0).1.refused.is_some());
    let forced = run(&bed, &rules, Mode { force: true, ..AT_ONCE }, end).await.remove(0).1;
    assert_eq!(forced.marked, 90);
}

async fn locks_are_kept(bed: Bed) {
    bed.record(&name("x"), 120, 60).await;
    let end = start().plus_us(2 * HOUR_US);
    let range = UtcRange::new(start().plus_us(HOUR_US / 4), start().plus_us(HOUR_US / 2));
    let lock = Lock { id: LockId(1), stream: name("x"), range, title: "The final".into(), created: end, expires: None };
    bed.index.add_lock(&lock).await.unwrap();
    let rules = rules(&[("x", Some(HOUR), Some(1))]);
    run(&bed, &rules, Mode { force: true, ..AT_ONCE }, end.plus_us(HOUR_US)).await;
    run(&bed, &rules, AT_ONCE, end.plus_us(3 * HOUR_US)).await;
    let listed = bed.listed(&name("x")).await;
    assert_eq!(listed.len(), 15);
    assert!(listed.iter().all(|s| s.range().overlaps(range)));
    consistent(&bed, &["x"]).await;
    bed.index.remove_lock(&name("x"), LockId(1)).await.unwrap();
    run(&bed, &rules, Mode { force: true, ..AT_ONCE }, end.plus_us(3 * HOUR_US)).await;
    run(&bed, &rules, AT_ONCE, end.plus_us(5 * HOUR_US)).await;
    assert_eq!(bed.rows(&name("x")).await, []);
    assert!(bed.objects().await.is_empty());
}

/// Days of two streams, janitors in several processes, all at once, and a recorder beside them.
async fn janitors_race(bed: Bed) {
    const DAY_US: i64 = 24 * HOUR_US;
    for n in ["a", "b"] {
        bed.record(&name(n), 200, 3600).await;
    }
    let others = [bed.another().await, bed.another().await, bed.another().await];
    let rules = rules(&[("a", Some(24 * HOUR), None), ("b", Some(48 * HOUR), None)]);
    let end = start().plus_us(200 * HOUR_US);
    for (step, now) in [(0, end), (1, end.plus_us(2 * HOUR_US)), (2, end.plus_us(DAY_US)), (3, end.plus_us(2 * DAY_US))]
    {
        let racing = others.iter().map(|index| {
            let (store, index, rules) = (bed.store.clone(), index.clone(), rules.clone());
            tokio::spawn(async move {
                let mode = Mode { force: true, ..AT_ONCE };
                let rounds = round(&*store, &*index, &rules, mode, now).await.unwrap();
                rounds.into_iter().map(|(_, round)| round.unwrap().marked).sum::<u64>()
            })
        });
        let mut marked = 0;
        for task in racing.collect::<Vec<_>>() {
            marked += task.await.unwrap();
        }
        if step == 0 {
            assert_eq!(marked, 200 - 24 + 200 - 48, "each is marked by one");
            bed.record_more(&name("a"), 200, 3).await;
        }
    }
    consistent(&bed, &["a", "b"]).await;
    assert_eq!(bed.listed(&name("b")).await, []);
    assert_eq!(bed.index.tail(&name("b")).await.unwrap().next_sequence, 200);
    assert_eq!(bed.index.tail(&name("a")).await.unwrap().next_sequence, 203);
}

fn setting(retention_us: Option<i64>) -> StreamSetting {
    StreamSetting {
        source: "demo:".into(),
        retention_us,
        retention_bytes: None,
        hls: PlainHls::default(),
        standby: false,
        paused: false,
    }
}

/// Publishes segments with these numbers, `every_s` seconds apart, behind those that are there.
async fn more(bed: &Bed, n: &str, numbers: std::ops::Range<u64>, every_s: i64) {
    let plans: Vec<Plan> = numbers.map(|number| Plan::new(&name(n), number, number as i64 * every_s)).collect();
    bed.write(&plans).await;
}

/// Retention by what the index says of a stream; what the configuration file says of the same name goes before it.
async fn settings_of_the_index_hold(bed: Bed) {
    for n in ["filed", "set", "kept"] {
        bed.record(&name(n), 120, 60).await;
    }
    let end = start().plus_us(2 * HOUR_US);
    for (n, age) in [("filed", Some(HOUR_US / 4)), ("set", Some(3 * HOUR_US)), ("kept", None)] {
        let done = bed.index.put_setting(&name(n), &setting(age), Expected::Absent, end).await.unwrap();
        assert!(matches!(done, Changed::Done(_)));
    }
    let rules = rules(&[("filed", Some(HOUR), None)]);
    run(&bed, &rules, Mode { force: true, ..AT_ONCE }, end).await;
    assert_eq!(bed.listed(&name("filed")).await.len(), 60, "the file's retention is what holds");
    assert_eq!(bed.listed(&name("set")).await.len(), 120);
    // A changed setting may take most of a stream unasked.
    bed.index.put_setting(&name("set"), &setting(Some(HOUR_US / 2)), Expected::Present, end).await.unwrap();
    run(&bed, &rules, AT_ONCE, end).await;
    assert_eq!(bed.listed(&name("set")).await.len(), 30);
    assert_eq!(bed.listed(&name("kept")).await.len(), 120);
    run(&bed, &rules, AT_ONCE, end.plus_us(HOUR_US + 1)).await;
    consistent(&bed, &["filed", "set", "kept"]).await;
}

/// What was recorded before a stream was deleted goes, and nothing else, whoever records under its name afterwards.
async fn only_what_was_before_a_deletion_goes(bed: Bed) {
    let names = ["gone", "locked", "again", "filed", "unheard"];
    let minute = |n: i64| start().plus_us(n * 60_000_000);
    // In the middle of a segment.
    let removed_at = minute(60).plus_us(500_000);
    for n in names {
        bed.index.put_setting(&name(n), &setting(None), Expected::Absent, start()).await.unwrap();
        bed.record(&name(n), 60, 60).await;
    }
    let range = UtcRange::new(minute(10), minute(20));
    let lock = Lock {
        id: LockId(1),
        stream: name("locked"),
        range,
        title: "The final".into(),
        created: minute(60),
        expires: None,
    };
    bed.index.add_lock(&lock).await.unwrap();
    for n in names {
        let done = bed.index.remove_setting(&name(n), Expected::Present, removed_at).await.unwrap();
        assert!(matches!(done, Changed::Done(_)));
    }
    // "again" is set anew, "filed" stands in the file of a recorder that the janitor's file does not have, and of
    // "unheard" there is no sign but its recordings.
    bed.index.put_setting(&name("again"), &setting(None), Expected::Absent, minute(61)).await.unwrap();
    let told = StreamReport {
        stream: name("filed"),
        node: "elsewhere".into(),
        from_file: true,
        source: "demo:".into(),
        active: true,
        state: ReportedState::Recording,
        reason: None,
        since_utc_us: minute(61).0,
        waiting: 0,
        retention_us: None,
        retention_bytes: None,
    };
    bed.index.report("r", &[told], minute(61)).await.unwrap();
    // What was cut when the deletion came, and a minute later whoever records under the name now.
    for n in ["again", "filed", "unheard"] {
        more(&bed, n, 60..90, 60).await;
    }
    let rules = rules(&[]);
    let dry = run(&bed, &rules, Mode { dry_run: true, ..AT_ONCE }, minute(90)).await;
    assert_eq!(dry.iter().map(|(_, r)| r.marked).sum::<u64>(), 60 * 5 - 10 + 1, "{dry:?}");
    for now in [minute(90), minute(120).plus_us(HOUR_US), minute(120).plus_us(3 * HOUR_US), minute(100_000)] {
        run(&bed, &rules, AT_ONCE, now).await;
        assert_eq!(bed.listed(&name("gone")).await, []);
        assert_eq!(bed.listed(&name("locked")).await.len(), 10);
        // Where nobody says that the name is used again, the segment that was under way goes with the others.
        for (n, left) in [("again", 30), ("filed", 30), ("unheard", 29)] {
            let listed = bed.listed(&name(n)).await;
            assert_eq!(listed.len(), left, "{n}");
            assert!(listed[0].id.end() > removed_at, "{n}");
        }
    }
    consistent(&bed, &names).await;
    // All are forgotten but the one that a lock still keeps.
    let left: Vec<_> = bed.index.removed().await.unwrap().into_iter().map(|r| r.stream).collect();
    assert_eq!(left, [name("locked")]);
    bed.index.remove_lock(&name("locked"), LockId(1)).await.unwrap();
    run(&bed, &rules, AT_ONCE, minute(100_001)).await;
    run(&bed, &rules, AT_ONCE, minute(200_000)).await;
    assert_eq!(bed.rows(&name("locked")).await, []);
    assert_eq!(bed.index.removed().await.unwrap(), []);
    consistent(&bed, &names).await;
}

/// The end of what a recorder had under way when the stream was deleted goes, too, also when it comes later.
async fn what_recorders_still_bring_goes_too(bed: Bed) {
    bed.index.put_setting(&name("x"), &setting(None), Expected::Absent, start()).await.unwrap();
    bed.record(&name("x"), 10, 6).await;
    let removed_at = start().plus_us(63_000_000);
    bed.index.remove_setting(&name("x"), Expected::Present, removed_at).await.unwrap();
    let rules = rules(&[]);
    run(&bed, &rules, AT_ONCE, removed_at.plus_us(1_000_000)).await;
    assert_eq!(bed.listed(&name("x")).await, []);
    more(&bed, "x", 10..13, 6).await;
    run(&bed, &rules, AT_ONCE, removed_at.plus_us(30_000_000)).await;
    assert_eq!(bed.listed(&name("x")).await, []);
    run(&bed, &rules, AT_ONCE, removed_at.plus_us(2 * HOUR_US)).await;
    assert_eq!((bed.rows(&name("x")).await, bed.index.removed().await.unwrap()), (vec![], vec![]));
    assert!(bed.objects().await.is_empty());
}

macro_rules! on_both {
    ($($case:ident,)*) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")] async fn $case() { super::$case(super::Bed::sqlite().await).await })*
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")] async fn $case() { super::$case(super::Bed::postgres().await).await })*
        }
    };
}

on_both! {
    age_size_and_total,
    most_of_a_stream_does_not_go_unasked,
    locks_are_kept,
    janitors_race,
    settings_of_the_index_hold,
    only_what_was_before_a_deletion_goes,
    what_recorders_still_bring_goes_too,
}
