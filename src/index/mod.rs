//! The time index: a port in terms of windows and segments, and its two adapters.
//!
//! Comes in: published segments, windows. Goes out: segments in order. No row id, table or join leaks out.
//! Every adapter passes one conformance suite (`tests/index_conformance/`), plain and behind a fault injector.

use crate::media::segment::{SegmentId, SegmentWithTables};
use crate::media::track::{InitInfo, Uncarried};
use crate::media::{InitHash, ObjectKey, SampleTable, Segment, StreamName, UtcRange, UtcUs};
use std::sync::Arc;

pub mod control;
mod error;
pub mod faults;
mod keeping;
mod members;
mod partitions;
pub mod postgres;
mod postgres_control;
mod postgres_keeping;
mod postgres_rows;
mod row;
mod spans;
mod sql;
pub mod sqlite;
mod sqlite_control;
mod sqlite_keeping;
mod stream_row;

pub use control::Control;
pub use keeping::{Adopted, Amount, AppliedRetention, Keeping, Row};

/// What went wrong, by what the caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexErrorKind {
    /// Out of reach, overloaded, timed out, locked too long: try again later.
    Unavailable,
    /// The lease is not (any more) the caller's: another writer records this stream.
    Fenced,
    /// The schema is missing or of another version: run `evertape migrate`.
    Schema,
    /// A row says what cannot be. An operator must look.
    Damaged,
    /// Anything else.
    Other,
}

/// An error of the index: a kind for the caller, a sentence for the log, its cause. Never holds a secret.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct IndexError {
    /// What the caller can do about it.
    pub kind: IndexErrorKind,
    /// A sentence for the log.
    pub message: String,
    /// The cause.
    #[source]
    pub cause: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// Result of an index operation.
pub type Result<T, E = IndexError> = std::result::Result<T, E>;

/// Opens the index that `url` names: `sqlite:path`, `postgres://…` or `postgresql://…`. Does not migrate it.
///
/// # Errors
/// `Other` for another scheme or an address that cannot be read; whatever opening a SQLite file says.
pub async fn open(url: &str) -> Result<Arc<dyn Index>> {
    match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("sqlite") => Ok(Arc::new(sqlite::SqliteIndex::connect(url).await?)),
        Some("postgres" | "postgresql") => Ok(Arc::new(postgres::PostgresIndex::connect(url).await?)),
        // The address is not repeated: it may hold a password.
        _ => Err(error::error(
            IndexErrorKind::Other,
            "the address of the index begins with `sqlite:`, `postgres://` or `postgresql://`",
        )),
    }
}

/// The right to write one stream, until it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Stream.
    pub stream: StreamName,
    /// Who holds it: unique for each process.
    pub holder: String,
    /// Grows with every new holder; every publish is checked against it.
    pub epoch: u64,
    /// When it lapses unless renewed.
    pub expires: UtcUs,
}

/// Where a stream's recording stands: what a new writer goes on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tail {
    /// Number for the next segment: one more than the highest ever published, 0 at first.
    pub next_sequence: u64,
    /// Discontinuity number of the newest segment, 0 at first.
    pub discontinuity: u64,
    /// End of the newest segment, marked ones included.
    pub end: Option<UtcUs>,
}

/// Whether a publish wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// The row is there now.
    Written,
    /// The same segment (same object) was there already.
    AlreadyThere,
    /// Another segment has this number, of a higher epoch; nothing was written. What is in this one is listed
    /// nowhere: the caller must not throw it away.
    Superseded,
}

/// A sign of life of a recorder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecorderBeat {
    /// The recorder: holder of its leases.
    pub recorder: String,
    /// Grows with each sign of life. Given back by the index; what is written does not matter.
    pub beat: u64,
    /// When it was, by the recorder's own clock.
    pub seen: UtcUs,
    /// Most streams it records; `None` for no limit.
    pub capacity: Option<u32>,
    /// Streams it records now.
    pub held: u32,
    /// It is about to end.
    pub leaving: bool,
    /// When its process began, by its own clock: another moment, another process.
    pub begun: UtcUs,
}

/// A marked segment whose grace is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletable {
    /// Segment.
    pub id: SegmentId,
    /// Its object.
    pub object: ObjectKey,
}

/// What is known of a stream apart from its segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Start of the oldest listed segment.
    pub first_start: UtcUs,
    /// End of the newest listed segment: the live edge.
    pub live_edge: UtcUs,
    /// Longest duration of any segment ever published, listed or not, or of a track in it, in microseconds. Never
    /// falls: what holds for every segment of a playlist is made from it.
    pub longest_us: i64,
}

/// Segments by stream and time. "Listed" means published and not marked for deletion.
#[async_trait::async_trait]
pub trait Index: Keeping + Control {
    /// Brings the schema up to date. Safe to run by several at once.
    async fn migrate(&self) -> Result<()>;

    /// Whether the index answers and has the schema this program needs, within two seconds.
    async fn ping(&self) -> Result<()>;

    /// Names of all streams that ever had a segment or a lease, ascending.
    async fn streams(&self) -> Result<Vec<StreamName>>;

    /// Takes the lease of `stream` for `ttl_us` from `now`: when nobody holds it, it lapsed, or `holder` holds
    /// it already (then the epoch stays). Registers the stream. `Ok(None)` while another holds it.
    async fn acquire(&self, stream: &StreamName, holder: &str, now: UtcUs, ttl_us: i64) -> Result<Option<Lease>>;

    /// The lease of `stream` as it stands, lapsed or not; `None` when nobody holds it.
    async fn holder(&self, stream: &StreamName) -> Result<Option<Lease>>;

    /// Prolongs `lease` to `ttl_us` from `now` and returns the prolonged one.
    ///
    /// # Errors
    /// `Fenced` when its epoch is no longer the stream's.
    async fn renew(&self, lease: &Lease, now: UtcUs, ttl_us: i64) -> Result<Lease>;

    /// Gives the lease up, so that another can take it at once. Not being the holder is no error.
    async fn release(&self, lease: &Lease) -> Result<()>;

    /// Where the stream's recording stands.
    async fn tail(&self, stream: &StreamName) -> Result<Tail>;

    /// Commits one segment with its sample tables and the init segments it needs, all in one transaction that
    /// checks the lease's epoch first. Idempotent. A segment of the same sequence and a lower epoch is
    /// replaced. The segment's own epoch may be lower than the lease's (a replayed spool).
    ///
    /// # Errors
    /// `Fenced` when the lease's epoch is no longer the stream's.
    async fn publish(&self, lease: &Lease, segment: &SegmentWithTables, inits: &[InitInfo]) -> Result<Published>;

    /// Puts a segment into the place of a free number below the newest, whoever holds the lease: what one recorder
    /// had and the archive lacked. Idempotent. `Superseded` when the number is taken, or the segment does not lie
    /// in time and discontinuities between its neighbours; then nothing was written.
    ///
    /// # Errors
    /// `Other` when the number is not below the stream's next one.
    async fn fill(&self, segment: &SegmentWithTables, inits: &[InitInfo]) -> Result<Published>;

    /// Notes a sign of life of a recorder, and gives those of all recorders, this one included.
    async fn beat(&self, beat: &RecorderBeat) -> Result<Vec<RecorderBeat>>;

    /// Listed segments that overlap `window`, by ascending sequence, at most `limit`, starting after sequence
    /// `after` if given. Callers page on with the last sequence they got.
    async fn window(
        &self,
        stream: &StreamName,
        window: UtcRange,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Segment>>;

    /// The newest `count` listed segments that start before `before`, by ascending sequence.
    async fn newest(&self, stream: &StreamName, before: UtcUs, count: usize) -> Result<Vec<Segment>>;

    /// Sample tables of listed or marked segments with `from <= sequence < to`, by ascending sequence.
    /// Each as (sequence, tables in the order of the segment's parts).
    async fn sample_tables(&self, stream: &StreamName, from: u64, to: u64) -> Result<Vec<(u64, Vec<SampleTable>)>>;

    /// What the named init segments say; unknown ones are left out.
    async fn inits(&self, stream: &StreamName, hashes: &[InitHash]) -> Result<Vec<InitInfo>>;

    /// First start and live edge of the listed segments; `None` when there are none.
    async fn extent(&self, stream: &StreamName) -> Result<Option<Extent>>;

    /// Spans of listed segments that overlap `window`, joined where they lie no further apart than
    /// `tolerance_us`, ascending, not cut to the window, at most `limit`. Reads no more than it must.
    async fn ranges(
        &self,
        stream: &StreamName,
        window: UtcRange,
        tolerance_us: i64,
        limit: usize,
    ) -> Result<Vec<UtcRange>>;

    /// Remembers what of the source is not recorded, replacing what was remembered.
    async fn set_uncarried(&self, stream: &StreamName, uncarried: &[Uncarried]) -> Result<()>;

    /// What of the source is not recorded.
    async fn uncarried(&self, stream: &StreamName) -> Result<Vec<Uncarried>>;

    /// Marks up to `limit` listed segments that end at or before `cutoff` and overlap no lock that holds at `now`, oldest
    /// first, as of `now`: from then on they are not listed. Returns how many.
    async fn mark_expired(&self, stream: &StreamName, cutoff: UtcUs, now: UtcUs, limit: usize) -> Result<u64>;

    /// Up to `limit` segments that were marked before `marked_before`, oldest first.
    async fn deletable(&self, stream: &StreamName, marked_before: UtcUs, limit: usize) -> Result<Vec<Deletable>>;

    /// Deletes the rows (sample tables too) of marked segments whose objects are gone. Listed ones stay.
    async fn delete(&self, segments: &[SegmentId]) -> Result<()>;
}
