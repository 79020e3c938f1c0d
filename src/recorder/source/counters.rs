//! What a source has done so far, in plain numbers: written by the source, read by metrics and status pages.

use crate::media::UtcUs;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Counters of one source. All of them only grow, except where said.
#[derive(Debug, Default)]
pub struct SourceCounters {
    /// Bytes of media received.
    pub bytes_in: AtomicU64,
    /// Places where something was lost or damaged.
    pub packets_damaged: AtomicU64,
    /// Connections that ended and were (or will be) tried again.
    pub reconnects: AtomicU64,
    /// Connections given up because no media came.
    pub stalls: AtomicU64,
    /// HLS segments received.
    pub segments_fetched: AtomicU64,
    /// HLS segments that were listed (or must have been) and could not be had.
    pub segments_skipped: AtomicU64,
    /// Whether media is coming in now.
    pub connected: AtomicBool,
    /// When media bytes last came, in microseconds of UTC; 0 for never.
    pub last_bytes_at_us: AtomicI64,
    /// The latest error, in words, until media flows again. Holds no secret.
    pub last_error: Mutex<Option<String>>,
}

impl SourceCounters {
    /// Notes that `bytes` of media came in at `now`.
    pub fn received(&self, bytes: usize, now: UtcUs) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
        self.last_bytes_at_us.store(now.0, Ordering::Relaxed);
    }

    /// Adds to one of the counters.
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    /// Remembers an error, or forgets the last one.
    pub fn set_error(&self, error: Option<String>) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    /// The latest error.
    pub fn error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
