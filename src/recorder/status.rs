//! What a recorder shows of a stream: on a terminal, in logs, in metrics.

use crate::media::segment::SegmentId;
use crate::media::{StreamName, UtcUs};
use crate::recorder::source::SourceCounters;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// One stream's state; written by its recorder, read by anybody.
#[derive(Debug)]
pub struct StreamStatus {
    /// Stream.
    pub stream: StreamName,
    /// What its source counts.
    pub source: Arc<SourceCounters>,
    /// Segments published since the start.
    pub segments: AtomicU64,
    /// Bytes published since the start.
    pub bytes: AtomicU64,
    /// Segments in the spool.
    pub waiting: AtomicU64,
    /// Segments lost because the spool was full or the disk failed.
    pub lost: AtomicU64,
    /// This recorder publishes the stream: it has its lease.
    pub active: AtomicBool,
    /// The source was finite and has come to its end.
    pub source_ended: AtomicBool,
    live_edge_us: AtomicI64,
    last_duration_us: AtomicI64,
    last_bytes: AtomicU64,
    publish_error: Mutex<Option<String>>,
}

impl StreamStatus {
    /// A stream of which nothing is known yet.
    pub fn new(stream: StreamName) -> Self {
        Self {
            stream,
            source: Arc::default(),
            segments: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            active: AtomicBool::new(false),
            source_ended: AtomicBool::new(false),
            live_edge_us: AtomicI64::new(0),
            last_duration_us: AtomicI64::new(1),
            last_bytes: AtomicU64::new(0),
            publish_error: Mutex::new(None),
        }
    }

    /// A segment of `bytes` is in store and index.
    pub fn published(&self, id: &SegmentId, bytes: u64) {
        self.segments.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.live_edge_us.store(id.end().0, Ordering::Relaxed);
        self.last_duration_us.store(id.duration_us, Ordering::Relaxed);
        self.last_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Why publishing does not get on; `None` when it does.
    pub fn set_publish_error(&self, error: Option<String>) {
        *self.publish_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    /// Why publishing does not get on.
    pub fn publish_error(&self) -> Option<String> {
        self.publish_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets the metrics of this stream.
    pub fn export(&self) {
        let stream = || self.stream.to_string();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let source = &self.source;
        metrics::counter!("evertape_source_bytes_total", "stream" => stream()).absolute(read(&source.bytes_in));
        metrics::counter!("evertape_source_damaged_total", "stream" => stream())
            .absolute(read(&source.packets_damaged));
        metrics::counter!("evertape_source_reconnects_total", "stream" => stream()).absolute(read(&source.reconnects));
        metrics::counter!("evertape_source_stalls_total", "stream" => stream()).absolute(read(&source.stalls));
        metrics::counter!("evertape_source_segments_skipped_total", "stream" => stream())
            .absolute(read(&source.segments_skipped));
        let connected = source.connected.load(Ordering::Relaxed);
        metrics::gauge!("evertape_source_connected", "stream" => stream()).set(u8::from(connected));
        metrics::gauge!("evertape_spool_segments", "stream" => stream()).set(read(&self.waiting) as f64);
    }

    /// One line for a terminal.
    pub fn line(&self, now: UtcUs) -> String {
        let edge = self.live_edge_us.load(Ordering::Relaxed);
        let behind = if edge == 0 {
            "nothing recorded yet".to_owned()
        } else {
            format!("{:.1} s behind", now.since(UtcUs(edge)) as f64 / 1e6)
        };
        let bits = self.last_bytes.load(Ordering::Relaxed) as f64 * 8.0;
        let rate = bits / self.last_duration_us.load(Ordering::Relaxed) as f64;
        let trouble = self.publish_error().or_else(|| self.source.error());
        let trouble = trouble.map_or_else(String::new, |e| format!("  ! {e}"));
        format!(
            "{:<20} {:>6} segments {:>9.1} MB {:>6.2} Mbit/s  {behind}, {} waiting{trouble}",
            self.stream.as_str(),
            self.segments.load(Ordering::Relaxed),
            self.bytes.load(Ordering::Relaxed) as f64 / 1e6,
            rate,
            self.waiting.load(Ordering::Relaxed),
        )
    }
}
