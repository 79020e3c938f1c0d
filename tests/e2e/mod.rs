//! Parts of the end-to-end suite.

pub mod cluster;
pub mod media;
pub mod node;
pub mod scenario;
pub mod sources;
#[path = "../support/ts_check.rs"]
#[allow(dead_code, reason = "other suites use the rest")]
pub mod ts_check;
