//! Janitor: retention.
