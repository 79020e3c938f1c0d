//! What an operator has when the database is damaged or lost: what is said, what is still right, and how it is brought back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod backup;
mod damage;
#[path = "../support/postgres.rs"]
mod postgres;
mod program;
#[path = "../recorded/mod.rs"]
mod recorded;
#[path = "../support/mod.rs"]
mod support;
