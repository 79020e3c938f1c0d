//! What several suites need: real services, found or started.
#![allow(dead_code, reason = "no suite uses all of it")]

pub mod s3;
pub mod ts_check;
