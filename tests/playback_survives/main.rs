//! Playback under faults: damaged objects, overload, peers that do not take what they asked for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod damage;
mod overload;
#[path = "../web_bed/mod.rs"]
mod web_bed;
