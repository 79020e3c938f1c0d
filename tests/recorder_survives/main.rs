//! Real `evertape record` processes that are killed, paused, cut off and restarted: what the archive has is compared
//! with what was sent, sample by sample.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

mod bed;
mod crash;
#[path = "../support/crash_steps.rs"]
mod crash_steps;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/proxy.rs"]
mod proxy;
mod source;
mod standby;
