//! `evertape janitor`, `evertape check --repair` and `evertape reindex`, killed (SIGKILL, the real process) at every
//! named step and run again: what is kept is never lost, nothing is listed without its object, and in the end all is as
//! if nobody had been killed. On SQLite and on PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/crash_steps.rs"]
mod crash_steps;
mod janitor;
mod names;
#[path = "../support/postgres.rs"]
mod postgres;
mod program;
#[path = "../recorded/mod.rs"]
mod recorded;
mod reindex;
mod repair;
#[path = "../support/mod.rs"]
mod support;
