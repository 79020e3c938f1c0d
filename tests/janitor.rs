//! Retention by age and size, locks, refusals, several janitors at once; on SQLite with a folder and on PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/postgres.rs"]
mod postgres;
mod recorded;
mod support;

use evertape::janitor::{Keep, Mode, Round, Rules, round};
use evertape::media::lock::{Lock, LockId};
use evertape::media::{StreamName, UtcRange, UtcUs};
use recorded::{Bed, HOUR_US, name, start};
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
    let lock = Lock { id: LockId(1), stream: name("x"), range, title: "The final".into(), created: end };
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
}
