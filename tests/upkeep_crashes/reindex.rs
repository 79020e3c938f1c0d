//! `evertape reindex`, killed at every step and gone on with.

use crate::crash_steps::REINDEX;
use crate::program::{Ended, Line, On, State, configure, each, print, run};
use crate::recorded::{Bed, Plan, name};
use evertape::index;

/// Days of two streams, numbers that two epochs have.
async fn recorded(on: On) -> Bed {
    let bed = on.bed().await;
    for stream in ["one", "sport/uhd-1"] {
        let stream = name(stream);
        let plans: Vec<Plan> = (0..60).map(|n| Plan::new(&stream, n, n as i64 * 7200)).collect();
        bed.write(&plans).await;
        let again = |p: &Plan| Plan { epoch: 2, run: 9, at_s: p.at_s + 1, ..p.clone() };
        bed.write(&plans[34..37].iter().map(again).collect::<Vec<_>>()).await;
    }
    bed
}

/// An empty index beside the bed's own, and what it stands on.
async fn empty(on: On, bed: &Bed) -> (String, Option<crate::postgres::TestDatabase>) {
    match on {
        On::Sqlite => (format!("sqlite:{}/again.db", bed.folder.path().display()), None),
        On::Postgres => {
            let database = crate::postgres::postgres().await;
            (database.url.clone(), Some(database))
        }
    }
}

async fn at_every_step(on: On) {
    let undisturbed = {
        let bed = recorded(on).await;
        let (url, _ground) = empty(on, &bed).await;
        configure(&bed, &url, "");
        let (ended, said) = run(&bed, &["reindex"], None).await;
        assert_eq!(ended, Ended::Code(0), "{said}");
        let again = State::of(&bed, &*index::open(&url).await.unwrap()).await;
        assert_eq!(again, State::of(&bed, &*bed.index).await, "the index as it was");
        again
    };
    let one = |step: &'static str| async move {
        let bed = recorded(on).await;
        let (url, _ground) = empty(on, &bed).await;
        configure(&bed, &url, "");
        let (ended, said) = run(&bed, &["reindex"], Some(step)).await;
        assert_eq!(ended, Ended::Killed, "{step} was never reached: {said}");
        let index = index::open(&url).await.unwrap();
        let left = State::of(&bed, &*index).await;
        if left.rows().count() > 0 {
            let (ended, said) = run(&bed, &["reindex"], None).await;
            assert_eq!(ended, Ended::Code(1), "it goes on without being asked: {said}");
        }
        let (ended, said) = run(&bed, &["reindex", "--into-existing"], None).await;
        assert_eq!(ended, Ended::Code(0), "{step}: {said}");
        Line { step: step.into(), left, after: State::of(&bed, &*index).await }
    };
    let lines = each(REINDEX, one).await;
    print(&format!("evertape reindex on {on:?}, killed and gone on with"), &undisturbed, &lines);
    for Line { step, left, after } in &lines {
        assert_eq!(left.listed_without_object(), 0, "{step}");
        assert_eq!(left.objects, undisturbed.objects, "{step}: an object is gone");
        assert_eq!(after, &undisturbed, "{step}");
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
