//! `evertape check --repair`, killed at every step.

use crate::crash_steps::REPAIR;
use crate::program::{Ended, Line, On, State, configure, each, print, run};
use crate::recorded::{Bed, Plan, inits, name};
use evertape::media::ObjectKey;
use std::collections::BTreeSet;

/// Objects that have no row, rows that have no object, init segments that are missing on either side; in each of three
/// streams.
async fn disordered(on: On) -> Bed {
    let bed = on.bed().await;
    for stream in ["one", "one/two", "three"] {
        let stream = name(stream);
        let plans: Vec<Plan> = (0..24).map(|n| Plan::new(&stream, n, n as i64 * 7200)).collect();
        let written = bed.write(&plans).await;
        let lost: Vec<ObjectKey> = written[3..6].iter().map(|s| s.object.clone()).collect();
        bed.store.delete(&lost).await.unwrap();
        bed.store.delete(&[ObjectKey::init(&stream, inits()[0].0.hash)]).await.unwrap();
        // In a day that has rows, in one that has none; one that holds over a row.
        let orphans = [
            Plan::new(&stream, 24, 170_000),
            Plan::new(&stream, 25, 864_000),
            Plan { epoch: 5, run: 6, ..plans[9].clone() },
        ];
        for orphan in &orphans {
            let (object, row) = orphan.object();
            bed.store.put(&row.segment.object, object, "video/mp4").await.unwrap();
        }
    }
    // Rows whose init segments only the bucket knows.
    let stream = name("unknown");
    let (object, row) = Plan::new(&stream, 0, 0).object();
    bed.store.put(&row.segment.object, object, "video/mp4").await.unwrap();
    bed.index.adopt(&stream, &[row], &[]).await.unwrap();
    for (init, bytes) in inits() {
        bed.store.put(&ObjectKey::init(&stream, init.hash), bytes, "video/mp4").await.unwrap();
    }
    configure(&bed, &bed.url, "");
    bed
}

const MEND: &[&str] = &["check", "--repair"];

async fn mended(bed: &Bed) -> State {
    let (ended, said) = run(bed, MEND, None).await;
    assert!(matches!(ended, Ended::Code(0 | 1)), "{ended:?}: {said}");
    // What is left was superseded, and is left to be deleted by hand.
    let (_, said) = run(bed, &["check", "--deep", "--json"], None).await;
    // Behind it may be how far it had come, where it took its time.
    let mut values = serde_json::Deserializer::from_str(&said).into_iter::<serde_json::Value>();
    let report = values.next().expect("a report").expect("a report");
    let left: Vec<&String> = report["findings"].as_object().expect("findings").keys().collect();
    assert_eq!(left, ["superseded_object"], "not all is mended: {said}");
    State::of(bed, &*bed.index).await
}

async fn at_every_step(on: On) {
    let before = State::of_whole(on).await;
    let undisturbed = mended(&disordered(on).await).await;
    let one = |step: &'static str| async move {
        let bed = disordered(on).await;
        let (ended, said) = run(&bed, MEND, Some(step)).await;
        assert_eq!(ended, Ended::Killed, "{step} was never reached: {said}");
        let left = State::of(&bed, &*bed.index).await;
        Line { step: step.into(), left, after: mended(&bed).await }
    };
    let lines = each(REPAIR, one).await;
    print(&format!("evertape check --repair on {on:?}, killed and run again"), &undisturbed, &lines);
    // Of each stream 24 rows, 3 of them lost, 2 found.
    assert_eq!((undisturbed.listed().count(), undisturbed.rows().count()), (3 * 23 + 1, 3 * 26 + 1));
    assert_eq!((undisturbed.listed_without_object(), undisturbed.without_row()), (0, 3), "only superseded ones");
    let listed = |state: &State| state.listed().map(|s| s.object.to_string()).collect::<BTreeSet<_>>();
    for Line { step, left, after } in &lines {
        assert_eq!(after, &undisturbed, "{step}");
        assert!(left.objects.is_superset(&before.objects), "{step}: an object is gone");
        assert!(left.listed_without_object() <= 9, "{step}: repairing has listed what is not there");
        let known: BTreeSet<String> = listed(&before).union(&listed(&undisturbed)).cloned().collect();
        assert!(listed(left).is_subset(&known), "{step}: a row from nowhere");
    }
}

impl State {
    /// As it is before anybody repairs.
    async fn of_whole(on: On) -> Self {
        let bed = disordered(on).await;
        Self::of(&bed, &*bed.index).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    at_every_step(On::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres() {
    at_every_step(On::Postgres).await;
}
