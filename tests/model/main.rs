//! Random sequences of what recorders, janitors, operators and their machines do, on the real index, store, spool,
//! janitor, check and reindex, against a naive model: a list of what must be there. After each step the invariants of
//! the design are looked at (`invariants.rs` says which). What fails is made as short as it can be, and printed.
//!
//! `make test` runs a few seconds of it, with fixed seeds; `make soak` as many minutes as `EVERTAPE_SOAK_MINUTES` says.
//! `EVERTAPE_MODEL_SEED` repeats one run.
//!
//! Breakages of the product that were put in to see whether it fails; it caught each of these within one run:
//! the janitor deletes rows before their objects; it takes the grace for over at once; marking does not ask for locks; a
//! publish is not held against the lease's epoch; a segment of a lower epoch replaces one of a higher; a number that the
//! holder of the lease may give out yet is adopted. It does not notice when `Index::fill` replaces what is there: its
//! recorders fill only what is free (the conformance suite of the index sees that).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod invariants;
mod operations;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../recorded/mod.rs"]
mod recorded;
mod recorder;
#[path = "../support/mod.rs"]
mod support;
mod upkeep;
mod world;

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use world::{Database, World};

/// How often each operation was carried out, and what came of it.
type Tally = Arc<Mutex<BTreeMap<&'static str, u64>>>;

/// Some cases with one seed. A failure panics with the shortest sequence found.
fn cases(database: Database, seed: u64, cases: u32, longest: usize, tally: &Tally) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 400,
        max_shrink_time: 60_000,
        ..Config::default()
    };
    let bytes: Vec<u8> = seed.to_be_bytes().repeat(4);
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let outcome = runner.run(&operations::sequence(longest), |sequence| {
        runtime.block_on(async {
            let mut world = World::new(database, tally.clone()).await;
            for (step, operation) in sequence.iter().enumerate() {
                let done: Result<(), String> = async {
                    world.carry_out(operation).await?;
                    world.check_invariants().await
                }
                .await;
                done.map_err(|why| {
                    proptest::test_runner::TestCaseError::fail(format!("after step {step}, {operation:?}: {why}"))
                })?;
            }
            Ok(())
        })
    });
    if let Err(error) = outcome {
        panic!("on {database:?}, seed {seed} (EVERTAPE_MODEL_SEED={seed}): {error}");
    }
}

fn seed_or(default: u64) -> u64 {
    std::env::var("EVERTAPE_MODEL_SEED").ok().map_or(default, |s| s.parse().expect("EVERTAPE_MODEL_SEED is a number"))
}

fn print(title: &str, tally: &Tally, took: Duration) {
    let tally = tally.lock().unwrap();
    println!("{title}: {} s", took.as_secs());
    for (what, times) in tally.iter() {
        println!("  {what:<44} {times:>8}");
    }
}

/// The operations that a run must have carried out to have looked at anything.
fn is_worth_something(tally: &Tally) {
    let tally = tally.lock().unwrap();
    for what in
        ["segments published", "rows marked", "rows deleted", "killed in the middle", "answers lost", "takeovers"]
    {
        assert!(tally.get(what).is_some_and(|n| *n > 0), "no {what} in the whole run: {tally:?}");
    }
}

#[test]
fn on_sqlite() {
    let (tally, began) = (Tally::default(), Instant::now());
    cases(Database::Sqlite, seed_or(20_261_129), 20, 60, &tally);
    print("model on SQLite", &tally, began.elapsed());
    is_worth_something(&tally);
}

#[test]
fn on_postgres() {
    let (tally, began) = (Tally::default(), Instant::now());
    cases(Database::Postgres, seed_or(42), 6, 60, &tally);
    print("model on PostgreSQL", &tally, began.elapsed());
    is_worth_something(&tally);
}

/// As long as `EVERTAPE_SOAK_MINUTES` says (10 when it says nothing), on both databases in turn, with other seeds each time.
#[test]
#[ignore = "minutes: make soak"]
fn soak() {
    let minutes = std::env::var("EVERTAPE_SOAK_MINUTES").map_or(10, |m| m.parse().expect("a number of minutes"));
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let (tally, began) = (Tally::default(), Instant::now());
    let mut seed = seed_or(clock);
    let mut rounds = 0;
    while began.elapsed() < Duration::from_secs(minutes * 60) {
        cases(Database::Sqlite, seed, 16, 150, &tally);
        cases(Database::Postgres, seed, 8, 150, &tally);
        (seed, rounds) = (seed + 1, rounds + 1);
    }
    print(
        &format!("{rounds} rounds on SQLite and PostgreSQL, seeds {} to {}", seed - rounds, seed - 1),
        &tally,
        began.elapsed(),
    );
    is_worth_something(&tally);
}
