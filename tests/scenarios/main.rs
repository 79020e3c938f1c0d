//! What was broken, and what it cost: real processes on a real PostgreSQL and a real S3 store, each behind a proxy that
//! misbehaves. One line with figures for each scenario, printed as a table at the end. `SCENARIO=word` runs those whose
//! name holds the word.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

#[path = "../recorder_survives/bed.rs"]
mod bed;
mod client;
mod clocks;
mod keeping;
mod kills;
mod outages;
mod owners;
mod playing;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/s3.rs"]
mod s3;
#[path = "../recorder_survives/source.rs"]
mod source;
mod stage;
mod storm;
mod table;

use futures::future::LocalBoxFuture;
use stage::Common;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use table::Row;
use tokio::runtime::{Builder, Runtime};

/// Most of them wait most of the time.
const AT_A_TIME: usize = 5;

type Scenario = (&'static str, fn(Arc<Common>) -> LocalBoxFuture<'static, Row>);

macro_rules! scenarios {
    ($($module:ident::$name:ident,)*) => {
        &[$((stringify!($name), |common| Box::pin($module::$name(common)) as LocalBoxFuture<'static, Row>),)*]
    };
}

/// In the order of the table. Those that take longest are begun first.
const SCENARIOS: &[Scenario] = scenarios![
    outages::store_down_ten_minutes,
    outages::store_answers_503_to_a_third,
    outages::put_done_but_its_answer_lost,
    outages::index_down_five_minutes,
    outages::index_fails_over,
    outages::spool_full_newest_go,
    outages::spool_full_oldest_go,
    outages::spool_disk_full,
    kills::killed_fifty_times_in_an_hour,
    kills::active_of_two_killed_again_and_again,
    owners::two_believe_they_own_the_stream,
    clocks::clock_steps_and_steps_back,
    clocks::clock_was_wrong_and_is_put_right,
    clocks::clock_was_ahead_before_a_restart,
    owners::standby_cut_off_from_the_index,
    storm::every_link_in_every_mode,
    keeping::retention_races_an_export,
    keeping::two_janitors,
    playing::playback_node_killed_under_load,
];

/// Begun first.
const LONG: &[&str] =
    &["killed_fifty_times_in_an_hour", "clock_was_wrong_and_is_put_right", "every_link_in_every_mode"];

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// One scenario on a thread and a runtime of its own: when it fails, all that it has started ends, and the others go on.
fn play(
    name: &'static str,
    scenario: fn(Arc<Common>) -> LocalBoxFuture<'static, Row>,
    common: Arc<Common>,
) -> Option<Row> {
    let playing = std::thread::Builder::new().name(name.into()).spawn(move || runtime().block_on(scenario(common)));
    playing.expect("a thread").join().ok()
}

#[test]
fn what_was_broken_and_what_it_cost() {
    let wanted = std::env::var("SCENARIO").unwrap_or_default();
    let mut chosen: Vec<Scenario> = SCENARIOS.iter().filter(|(name, _)| name.contains(&wanted)).copied().collect();
    assert!(!chosen.is_empty(), "no scenario is called {wanted:?}");
    chosen.sort_by_key(|(name, _)| !LONG.contains(name));
    let runtime = runtime();
    let common = runtime.block_on(Common::start());
    let waiting = Mutex::new(VecDeque::from(chosen));
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().expect("nobody panics here").pop_front();
                    let Some((name, scenario)) = next else { break };
                    let row = play(name, scenario, common.clone());
                    done.lock().expect("nobody panics here").push((name, row));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("nobody has panicked");
    done.sort_by_key(|(name, _)| SCENARIOS.iter().position(|s| s.0 == *name));
    let failed: Vec<&str> = done.iter().filter(|(_, row)| row.is_none()).map(|(name, _)| *name).collect();
    let rows: Vec<Row> = done.into_iter().filter_map(|(_, row)| row).collect();
    println!("{}", table::text(&rows));
    assert!(failed.is_empty(), "failed: {failed:?}");
}
