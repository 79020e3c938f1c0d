//! What looks after index and bucket: `check` compares them, both ways, and mends; `reindex` makes the one from the other.
//!
//! Comes in: a store and an index. Goes out: a report of what does not fit, rows of objects that had none. Never: deletes
//! an object; holds more in memory than a few hours of rows, a few objects and a number of findings; takes a lease.

use crate::index::{Index, IndexError, IndexErrorKind};
use crate::media::{StreamName, UtcUs};
use crate::store::{ObjectStore, StoreError, StoreErrorKind};
use futures::StreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

mod adopting;
mod days;
mod inits;
mod listing;
mod objects;
mod place;
mod reindex;
mod repair;
mod report;
mod strays;
mod summaries;

pub use reindex::{Reindexed, reindex};
pub use report::{Finding, Kind, Report};

/// Days of streams that are looked at at the same time.
const DAYS_AT_ONCE: usize = 8;
/// Objects that are read at the same time.
const READS_AT_ONCE: usize = 32;
/// What ended less than this ago may be about to be published.
const YOUNG_US: i64 = 600_000_000;
/// Attempts while store or index are unavailable, with growing pauses between.
const ATTEMPTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// What is checked, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only these streams; all when empty.
    pub streams: Vec<StreamName>,
    /// Read every object whole.
    pub deep: bool,
    /// Mend what can be mended.
    pub repair: bool,
    /// Mend even where more than half of a stream's objects are not there.
    pub force: bool,
    /// Findings of each kind that are named in the report; all are counted.
    pub most_named: usize,
}

/// How far it has come; read while it runs.
#[derive(Debug, Default)]
pub struct Progress {
    /// Objects seen in the bucket.
    pub objects: AtomicU64,
    /// Rows seen in the index.
    pub rows: AtomicU64,
    /// Bytes of objects read.
    pub bytes_read: AtomicU64,
    /// Rows written.
    pub written: AtomicU64,
    /// Findings.
    pub findings: AtomicU64,
}

impl Progress {
    fn add(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Ordering::Relaxed);
    }
}

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The store.
    #[error("the object store: {0}")]
    Store(#[from] StoreError),
    /// The index.
    #[error("the index: {0}")]
    Index(#[from] IndexError),
    /// It was asked for what it does not do.
    #[error("{0}")]
    Refused(String),
}

/// What all parts of a run share.
struct Run {
    store: Arc<dyn ObjectStore>,
    index: Arc<dyn Index>,
    options: Options,
    progress: Arc<Progress>,
    report: report::Collector,
    reads: tokio::sync::Semaphore,
    now: UtcUs,
}

/// Compares index and bucket as of `now`.
///
/// # Errors
/// When store or index cannot be read, after some patience.
pub async fn check(
    store: Arc<dyn ObjectStore>,
    index: Arc<dyn Index>,
    options: Options,
    progress: Arc<Progress>,
    now: UtcUs,
) -> Result<Report, CheckError> {
    let report = report::Collector::new(options.most_named, progress.clone());
    let reads = tokio::sync::Semaphore::new(READS_AT_ONCE);
    let run = Run { store, index, options, progress, report, reads, now };
    let (jobs, mut found) = tokio::sync::mpsc::channel(DAYS_AT_ONCE);
    let inits = inits::Referenced::default();
    let missing = repair::Missing::default();
    let summaries = summaries::Summaries::default();
    if run.options.deep {
        summaries::integrity(&run).await?;
    }
    let discovering = async {
        let discovered = listing::discover(&run, &jobs).await;
        drop(jobs);
        discovered
    };
    let days = futures::stream::poll_fn(move |context| found.poll_recv(context));
    let comparing = async {
        let mut compared = days
            .map(|day| days::compare(&run, day, days::Seen { inits: &inits, missing: &missing, summaries: &summaries }))
            .buffer_unordered(DAYS_AT_ONCE);
        while let Some(done) = compared.next().await {
            done?;
        }
        Ok::<(), CheckError>(())
    };
    let (discovered, compared) = futures::join!(discovering, comparing);
    // Where comparing failed, discovering only noticed that nobody listens any more.
    compared?;
    discovered?;
    summaries.compare(&run).await?;
    inits::compare(&run, &inits).await?;
    repair::mark_missing(&run, missing).await?;
    Ok(run.report.finish())
}

/// Whether trying again may help.
trait Passing {
    fn passes(&self) -> bool;
}

impl Passing for StoreError {
    fn passes(&self) -> bool {
        self.kind == StoreErrorKind::Unavailable
    }
}

impl Passing for IndexError {
    fn passes(&self) -> bool {
        self.kind == IndexErrorKind::Unavailable
    }
}

/// Calls until it succeeds, fails for good, or has been unavailable for some seconds.
async fn patiently<T, E: Passing>(mut call: impl AsyncFnMut() -> Result<T, E>) -> Result<T, E> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..ATTEMPTS {
        match call().await {
            Err(error) if error.passes() => tokio::time::sleep(pause).await,
            done => return done,
        }
        pause *= 2;
    }
    call().await
}
