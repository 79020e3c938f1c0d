//! The janitor, killed at every step.

use crate::crash_steps::{JANITOR, JANITOR_SPANS};
use crate::program::{Ended, Line, On, State, configure, each, print, run};
use crate::recorded::{Bed, Plan, name, start};
use evertape::clock;
use evertape::index::control::{Expected, StreamSetting};
use evertape::media::lock::{Lock, LockId};
use evertape::media::{UtcRange, UtcUs};
use std::time::Duration;

const DAY_S: i64 = 86_400;
/// Days that are recorded, and segments of each.
const DAYS: i64 = 6;
const EACH_DAY: i64 = 6;
/// Retention ends in the middle of this day.
const CUT_DAY: i64 = 4;
/// A little longer than the grace.
const PAST_GRACE: Duration = Duration::from_millis(1200);

fn at(seconds: i64) -> UtcUs {
    start().plus_us(seconds * 1_000_000)
}

/// Two streams with retention, one that is kept for ever, one that was deleted; a lock, and one that has expired.
async fn recorded(on: On, retention_s: i64) -> Bed {
    let bed = on.bed().await;
    for stream in ["gone", "kept", "x", "y"] {
        let first_day = if stream == "kept" { CUT_DAY } else { 0 };
        let plans: Vec<Plan> = (first_day * EACH_DAY..DAYS * EACH_DAY)
            .map(|n| Plan::new(&name(stream), n as u64, n / EACH_DAY * DAY_S + n % EACH_DAY * 14_000))
            .collect();
        bed.write(&plans).await;
    }
    let setting = StreamSetting {
        source: "demo:".into(),
        retention_us: None,
        retention_bytes: None,
        hls: Default::default(),
        standby: false,
        paused: false,
    };
    bed.index.put_setting(&name("gone"), &setting, Expected::Absent, at(0)).await.unwrap();
    bed.index.remove_setting(&name("gone"), Expected::Present, at(DAYS * DAY_S)).await.unwrap();
    let lock = |id, stream, from, to, expires| Lock {
        id: LockId(id),
        stream: name(stream),
        range: UtcRange::new(at(from), at(to)),
        title: String::new(),
        created: at(0),
        expires,
    };
    bed.index.add_lock(&lock(1, "x", DAY_S, DAY_S + 20_000, None)).await.unwrap();
    bed.index.add_lock(&lock(2, "y", 0, 2 * DAY_S, Some(at(365 * DAY_S)))).await.unwrap();
    let mut more = "[janitor]\ngrace = \"1s\"\n".to_owned();
    for stream in ["x", "y"] {
        more += &format!("[[stream]]\nname = \"{stream}\"\nsource = \"demo:\"\nretention = \"{retention_s}s\"\n");
    }
    configure(&bed, &bed.url, &more);
    bed
}

/// What must be left: by arithmetic.
fn is_kept(stream: &str, start_s: i64) -> bool {
    let locked = stream == "x" && start_s + 1 > DAY_S && start_s < DAY_S + 20_000;
    match stream {
        "kept" => true,
        "gone" => false,
        _ => locked || start_s >= CUT_DAY * DAY_S + DAY_S / 2,
    }
}

/// What holds whenever the janitor stops.
fn nothing_is_lost(step: &str, state: &State, expected: usize) {
    assert_eq!(state.listed_without_object(), 0, "{step}: listed, but its object is gone");
    assert_eq!(state.without_row(), 0, "{step}: objects that nothing knows of");
    let kept = state.listed().filter(|s| is_kept(s.id.stream.as_str(), s.id.start.since(start()) / 1_000_000));
    assert_eq!(kept.count(), expected, "{step}: what is kept is lost");
}

const ONCE: &[&str] = &["janitor", "--once", "--force"];

/// Rounds until nothing is left to do, without being killed.
async fn to_the_end(bed: &Bed) -> State {
    for _ in 0..3 {
        let (ended, said) = run(bed, ONCE, None).await;
        assert_eq!(ended, Ended::Code(0), "{said}");
        tokio::time::sleep(PAST_GRACE).await;
    }
    State::of(bed, &*bed.index).await
}

async fn at_every_step(on: On, steps: &[&'static str]) {
    // The cutoff lies hours away from the next segment, however long the test takes.
    let retention_s = clock::now().since(at(CUT_DAY * DAY_S)) / 1_000_000 - DAY_S / 2;
    let undisturbed = to_the_end(&recorded(on, retention_s).await).await;
    let expected = |s: &&str, first: i64| {
        (first * EACH_DAY..DAYS * EACH_DAY).filter(|n| is_kept(s, n / EACH_DAY * DAY_S + n % EACH_DAY * 14_000)).count()
    };
    let kept = expected(&"kept", CUT_DAY) + expected(&"x", 0) + expected(&"y", 0);
    let one = |step: &'static str| async move {
        let bed = recorded(on, retention_s).await;
        let mut killed = false;
        for _ in 0..3 {
            let (ended, said) = run(&bed, ONCE, Some(step)).await;
            killed = ended == Ended::Killed;
            if killed {
                break;
            }
            assert_eq!(ended, Ended::Code(0), "{step}: {said}");
            tokio::time::sleep(PAST_GRACE).await;
        }
        assert!(killed, "{step} was never reached");
        let left = State::of(&bed, &*bed.index).await;
        Line { step: step.into(), left, after: to_the_end(&bed).await }
    };
    let lines = each(steps, one).await;
    print(&format!("evertape janitor on {on:?}, killed and run again"), &undisturbed, &lines);
    nothing_is_lost("undisturbed", &undisturbed, kept);
    assert_eq!((undisturbed.rows().count(), undisturbed.removed.len()), (kept, 0));
    for Line { step, left, after } in &lines {
        nothing_is_lost(step, left, kept);
        assert_eq!(after, &undisturbed, "{step}");
    }
    let objects = undisturbed.objects.iter().filter(|o| o.ends_with(".cmfs")).count();
    assert_eq!(objects, kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    at_every_step(On::Sqlite, JANITOR).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres() {
    let steps: Vec<&str> = JANITOR.iter().chain(JANITOR_SPANS).copied().collect();
    at_every_step(On::Postgres, &steps).await;
}
