//! Time index in SQLite: the embedded default.
//!
//! Comes in: calls of the port. Goes out: statements; writes go one after another through one connection, each
//! in one transaction that begins by locking the file. Never: a commit that a loss of power could undo.

use super::error::{OPERATION_TIMEOUT, PING_TIMEOUT, check_version, during, error, of_migration, within};
use super::members::{self, BeatColumns, NeighbourColumns};
use super::row::{self, MarkedColumns, NewRow, SegmentColumns, bound, limit as rows_limit, to_sql};
use super::spans::Spans;
use super::sqlite_keeping::spans;
use super::stream_row::{Existing, StreamColumns, StreamRow, Verdict, Writer, fenced, same_stream};
use super::{Deletable, Extent, Index, IndexErrorKind, Lease, Published, RecorderBeat, Result, Tail, sql};
use crate::media::segment::{LONGEST_SEGMENT_US, SegmentId, SegmentWithTables};
use crate::media::track::{InitInfo, Uncarried};
use crate::media::{InitHash, SampleTable, Segment, StreamName, UtcRange, UtcUs};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{SqlSafeStr, Sqlite, SqliteConnection, SqlitePool, Transaction};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Connections that read at the same time.
const READERS: u32 = 4;

/// Rows that a query reads ahead.
const ROWS_AT_ONCE: usize = 1024;

/// Longest wait for a connection: for the writer, behind other writers.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest wait for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Attempts to open the file, with this long between two: turning WAL on does not wait for others by itself.
const OPEN_ATTEMPTS: u32 = 50;
const OPEN_PAUSE: Duration = Duration::from_millis(100);

/// Rows deleted in one transaction.
const DELETE_BATCH: usize = 500;

/// Version of the schema that this program needs: that of its last migration.
const SCHEMA_VERSION: i64 = 6;

/// Takes the write lock at once: a transaction that reads first and then writes could find it taken, and fail.
const BEGIN: &str = "begin immediate";

/// stream, sequence → start, epoch, object.
pub(super) const BY_SEQUENCE: &str =
    "select start_utc_us, epoch, object_key from segments where stream = $1 and sequence = $2";

/// stream, from, to → sequence, tables.
const TABLES: &str = "select sequence, tables from sample_tables where stream = $1 and sequence >= $2 \
    and sequence < $3 order by sequence";

/// stream, hash → hash, params.
const INIT: &str = "select hash, params from inits where stream = $1 and hash = $2";

/// The index in one file.
pub struct SqliteIndex {
    pub(super) writer: SqlitePool,
    pub(super) readers: SqlitePool,
}

impl SqliteIndex {
    /// Opens the file named by `url` (`sqlite:path`, or a bare path), and makes it and its folder when missing.
    ///
    /// # Errors
    /// `Other` for an address that names no file; whatever opening says.
    pub async fn connect(url: &str) -> Result<Self> {
        let path = path_of(url)?;
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            tokio::fs::create_dir_all(folder)
                .await
                .map_err(|cause| during("making the folder of the index")(sqlx::Error::Io(cause)))?;
        }
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A published segment leaves the spool: its row must survive a loss of power, not only of the process.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            // Rows come from a thread of the connection's own: the fewer hand-overs, the less a long window costs.
            .row_buffer_size(ROWS_AT_ONCE)
            .pragma("journal_size_limit", "67108864");
        let pool = |connections| SqlitePoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT);
        let writer = pool(1).connect_lazy_with(options.clone());
        let readers = pool(READERS).connect_lazy_with(options.pragma("query_only", "on"));
        let mut attempts = 0;
        while let Err(cause) = writer.acquire().await {
            let cause = during("opening the index")(cause);
            attempts += 1;
            if cause.kind != IndexErrorKind::Unavailable || attempts == OPEN_ATTEMPTS {
                return Err(cause);
            }
            tokio::time::sleep(OPEN_PAUSE).await;
        }
        Ok(Self { writer, readers })
    }

    pub(super) async fn write(&self, doing: &'static str) -> Result<Transaction<'static, Sqlite>> {
        self.writer.begin_with(BEGIN).await.map_err(during(doing))
    }

    async fn commit(&self, writer: Writer<'_>, segment: &SegmentWithTables, inits: &[InitInfo]) -> Result<Published> {
        let new = NewRow::of(segment)?;
        let inits = row::init_columns(inits)?;
        within(OPERATION_TIMEOUT, "publishing a segment", async {
            let failed = during("publishing a segment");
            let mut tx = self.write("publishing a segment").await?;
            let state = stream_row(&mut tx, &segment.segment.id.stream).await?;
            let state = writer.check(state, &segment.segment)?;
            let published = insert(&mut tx, writer, state, &segment.segment, &new, &inits).await?;
            tx.commit().await.map_err(&failed)?;
            Ok(published)
        })
        .await
    }

    async fn read_stream(&self, stream: &StreamName) -> Result<Option<StreamRow>> {
        let columns: Option<StreamColumns> = sqlx::query_as(sql::STREAM)
            .bind(stream.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(during("reading a stream's row"))?;
        columns.map(StreamRow::of).transpose()
    }
}

#[async_trait::async_trait]
impl Index for SqliteIndex {
    async fn migrate(&self) -> Result<()> {
        let doing = "migrating the index";
        // The lock on the file makes others wait; the migrations become savepoints inside.
        let mut tx = self.write(doing).await?;
        migrations().run_direct(None, &mut *tx, false).await.map_err(of_migration)?;
        tx.commit().await.map_err(during(doing))
    }

    async fn ping(&self) -> Result<()> {
        within(PING_TIMEOUT, "pinging the index", async {
            let version = sqlx::query_scalar(sql::VERSION).fetch_one(&self.readers).await;
            check_version(version.map_err(during("asking for the schema of the index"))?, SCHEMA_VERSION)
        })
        .await
    }

    async fn streams(&self) -> Result<Vec<StreamName>> {
        let names = sqlx::query_scalar(sql::STREAMS).fetch_all(&self.readers).await;
        row::stream_names(names.map_err(during("listing streams"))?)
    }

    async fn acquire(&self, stream: &StreamName, holder: &str, now: UtcUs, ttl_us: i64) -> Result<Option<Lease>> {
        within(OPERATION_TIMEOUT, "taking a lease", async {
            let failed = during("taking a lease");
            let mut tx = self.write("taking a lease").await?;
            sqlx::query(sql::REGISTER).bind(stream.as_str()).execute(&mut *tx).await.map_err(&failed)?;
            let state = stream_row(&mut tx, stream).await?.unwrap_or_default();
            let lease = state.acquire(stream, holder, now, ttl_us);
            if let Some(lease) = &lease {
                sqlx::query(sql::TAKE_LEASE)
                    .bind(stream.as_str())
                    .bind(&lease.holder)
                    .bind(to_sql(lease.epoch, "epoch")?)
                    .bind(lease.expires.0)
                    .execute(&mut *tx)
                    .await
                    .map_err(&failed)?;
            }
            tx.commit().await.map_err(&failed)?;
            Ok(lease)
        })
        .await
    }

    async fn renew(&self, lease: &Lease, now: UtcUs, ttl_us: i64) -> Result<Lease> {
        within(OPERATION_TIMEOUT, "renewing a lease", async {
            let renewed = Lease { expires: now.plus_us(ttl_us), ..lease.clone() };
            let done = sqlx::query(sql::RENEW_LEASE)
                .bind(lease.stream.as_str())
                .bind(&lease.holder)
                .bind(bound(lease.epoch))
                .bind(renewed.expires.0)
                .execute(&self.writer)
                .await
                .map_err(during("renewing a lease"))?;
            if done.rows_affected() == 1 { Ok(renewed) } else { Err(fenced(lease)) }
        })
        .await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        within(OPERATION_TIMEOUT, "giving a lease up", async {
            sqlx::query(sql::RELEASE_LEASE)
                .bind(lease.stream.as_str())
                .bind(&lease.holder)
                .bind(bound(lease.epoch))
                .execute(&self.writer)
                .await
                .map(|_| ())
                .map_err(during("giving a lease up"))
        })
        .await
    }

    async fn holder(&self, stream: &StreamName) -> Result<Option<Lease>> {
        Ok(self.read_stream(stream).await?.and_then(|row| row.lease(stream)))
    }

    async fn tail(&self, stream: &StreamName) -> Result<Tail> {
        Ok(self.read_stream(stream).await?.unwrap_or_default().tail)
    }

    async fn publish(&self, lease: &Lease, segment: &SegmentWithTables, inits: &[InitInfo]) -> Result<Published> {
        same_stream(lease, &segment.segment.id.stream, &segment.segment.object)?;
        self.commit(Writer::Holder(lease), segment, inits).await
    }

    async fn fill(&self, segment: &SegmentWithTables, inits: &[InitInfo]) -> Result<Published> {
        self.commit(Writer::Fill, segment, inits).await
    }

    async fn beat(&self, beat: &RecorderBeat) -> Result<Vec<RecorderBeat>> {
        within(OPERATION_TIMEOUT, "noting a sign of life", async {
            let failed = during("noting a sign of life");
            let mut tx = self.write("noting a sign of life").await?;
            sqlx::query(members::BEAT)
                .bind(&beat.recorder)
                .bind(beat.seen.0)
                .bind(beat.capacity.map(i64::from))
                .bind(i64::from(beat.held))
                .bind(i64::from(beat.leaving))
                .bind(beat.begun.0)
                .execute(&mut *tx)
                .await
                .map_err(&failed)?;
            let forgotten = beat.seen.plus_us(-members::FORGET_AFTER_US).0;
            sqlx::query(members::FORGET).bind(forgotten).execute(&mut *tx).await.map_err(&failed)?;
            let rows: Vec<BeatColumns> =
                sqlx::query_as(members::RECORDERS).fetch_all(&mut *tx).await.map_err(&failed)?;
            tx.commit().await.map_err(&failed)?;
            members::beats(rows)
        })
        .await
    }

    async fn window(
        &self,
        stream: &StreamName,
        window: UtcRange,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Segment>> {
        if window.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        within(OPERATION_TIMEOUT, "reading a window", async {
            let rows: Vec<SegmentColumns> = sqlx::query_as(sql::WINDOW)
                .bind(stream.as_str())
                .bind(window.end.0)
                .bind(window.start.plus_us(-LONGEST_SEGMENT_US).0)
                .bind(window.start.0)
                .bind(after.map_or(-1, bound))
                .bind(rows_limit(limit))
                .fetch_all(&self.readers)
                .await
                .map_err(during("reading a window"))?;
            row::segments(stream, rows)
        })
        .await
    }

    async fn newest(&self, stream: &StreamName, before: UtcUs, count: usize) -> Result<Vec<Segment>> {
        within(OPERATION_TIMEOUT, "reading the newest segments", async {
            let rows: Vec<SegmentColumns> = sqlx::query_as(sql::NEWEST)
                .bind(stream.as_str())
                .bind(before.0)
                .bind(i64::MIN)
                .bind(rows_limit(count))
                .fetch_all(&self.readers)
                .await
                .map_err(during("reading the newest segments"))?;
            row::newest(stream, rows)
        })
        .await
    }

    async fn sample_tables(&self, stream: &StreamName, from: u64, to: u64) -> Result<Vec<(u64, Vec<SampleTable>)>> {
        within(OPERATION_TIMEOUT, "reading sample tables", async {
            let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(TABLES)
                .bind(stream.as_str())
                .bind(bound(from))
                .bind(bound(to))
                .fetch_all(&self.readers)
                .await
                .map_err(during("reading sample tables"))?;
            row::sample_tables(rows)
        })
        .await
    }

    async fn inits(&self, stream: &StreamName, hashes: &[InitHash]) -> Result<Vec<InitInfo>> {
        within(OPERATION_TIMEOUT, "reading init segments", async {
            let mut rows = Vec::new();
            for hash in hashes.iter().map(|h| h.0.to_vec()).collect::<BTreeSet<_>>() {
                let row = sqlx::query_as(INIT).bind(stream.as_str()).bind(hash).fetch_optional(&self.readers).await;
                rows.extend(row.map_err(during("reading init segments"))?);
            }
            row::inits(hashes, rows)
        })
        .await
    }

    async fn extent(&self, stream: &StreamName) -> Result<Option<Extent>> {
        Ok(self.read_stream(stream).await?.and_then(|s| s.extent))
    }

    async fn ranges(
        &self,
        stream: &StreamName,
        window: UtcRange,
        tolerance_us: i64,
        limit: usize,
    ) -> Result<Vec<UtcRange>> {
        within(OPERATION_TIMEOUT, "reading ranges", async {
            let mut spans = Spans::new(window, self.extent(stream).await?, tolerance_us, limit);
            while let Some(page) = spans.page() {
                let rows: Vec<(i64, i64, i64)> = sqlx::query_as(sql::SPANS)
                    .bind(stream.as_str())
                    .bind(page.before)
                    .bind(page.not_before)
                    .bind(page.ends_after)
                    .bind(page.last_start)
                    .bind(page.last_sequence)
                    .bind(page.limit)
                    .fetch_all(&self.readers)
                    .await
                    .map_err(during("reading ranges"))?;
                spans.take(&rows)?;
            }
            Ok(spans.ranges())
        })
        .await
    }

    async fn set_uncarried(&self, stream: &StreamName, uncarried: &[Uncarried]) -> Result<()> {
        let tracks = row::to_json(uncarried)?;
        within(OPERATION_TIMEOUT, "writing what is not recorded", async {
            let done = sqlx::query(sql::SET_UNCARRIED).bind(stream.as_str()).bind(tracks).execute(&self.writer).await;
            done.map(|_| ()).map_err(during("writing what is not recorded"))
        })
        .await
    }

    async fn uncarried(&self, stream: &StreamName) -> Result<Vec<Uncarried>> {
        let tracks = sqlx::query_scalar(sql::UNCARRIED).bind(stream.as_str()).fetch_optional(&self.readers).await;
        row::uncarried(tracks.map_err(during("reading what is not recorded"))?)
    }

    async fn mark_expired(&self, stream: &StreamName, cutoff: UtcUs, now: UtcUs, limit: usize) -> Result<u64> {
        within(OPERATION_TIMEOUT, "marking segments", async {
            let failed = during("marking segments");
            let mut tx = self.write("marking segments").await?;
            let Some(state) = stream_row(&mut tx, stream).await? else { return Ok(0) };
            let Some(extent) = state.extent else { return Ok(0) };
            let (mut marked, most) = (0, rows_limit(limit) as u64);
            for span in spans(&mut tx, stream, extent.first_start, cutoff, now).await? {
                if marked == most {
                    break;
                }
                let mark = sqlx::query(sql::MARK)
                    .bind(stream.as_str())
                    .bind(now.0)
                    .bind(span.start.0)
                    .bind(span.end.0)
                    .bind(bound(most - marked));
                marked += mark.execute(&mut *tx).await.map_err(&failed)?.rows_affected();
            }
            if marked > 0 {
                let left = look_for_extent(&mut tx, stream.as_str(), extent, extent.live_edge > cutoff).await?;
                write_stream(&mut tx, stream.as_str(), &state.with_extent(left)).await?;
            }
            tx.commit().await.map_err(&failed)?;
            Ok(marked)
        })
        .await
    }

    async fn deletable(&self, stream: &StreamName, marked_before: UtcUs, limit: usize) -> Result<Vec<Deletable>> {
        within(OPERATION_TIMEOUT, "reading what to delete", async {
            let rows: Vec<MarkedColumns> = sqlx::query_as(sql::DELETABLE)
                .bind(stream.as_str())
                .bind(marked_before.0)
                .bind(rows_limit(limit))
                .fetch_all(&self.readers)
                .await
                .map_err(during("reading what to delete"))?;
            row::deletables(stream, rows)
        })
        .await
    }

    async fn delete(&self, segments: &[SegmentId]) -> Result<()> {
        let failed = during("deleting rows");
        for batch in segments.chunks(DELETE_BATCH) {
            within(OPERATION_TIMEOUT, "deleting rows", async {
                let mut tx = self.write("deleting rows").await?;
                for id in batch {
                    let gone = sqlx::query(sql::DELETE_MARKED)
                        .bind(id.stream.as_str())
                        .bind(id.start.0)
                        .bind(bound(id.sequence))
                        .bind(bound(id.epoch))
                        .bind(id.run.0.to_be_bytes().to_vec())
                        .execute(&mut *tx)
                        .await
                        .map_err(&failed)?;
                    if gone.rows_affected() > 0 {
                        let delete = sqlx::query(sql::DELETE_TABLES).bind(id.stream.as_str()).bind(id.start.0);
                        delete.bind(bound(id.sequence)).execute(&mut *tx).await.map_err(&failed)?;
                    }
                }
                tx.commit().await.map_err(&failed)
            })
            .await?;
        }
        Ok(())
    }
}

/// Path of the file; `sqlite:`, `sqlite://` or nothing before it.
fn path_of(url: &str) -> Result<PathBuf> {
    let path = url.strip_prefix("sqlite:").unwrap_or(url);
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.contains(":memory:") || path.contains('?') || path.ends_with('/') {
        return Err(error(
            IndexErrorKind::Other,
            "a SQLite index is a file: write its path after `sqlite:`, without parameters",
        ));
    }
    Ok(Path::new(path).to_path_buf())
}

fn migrations() -> Migrator {
    let migration = |version, name: &'static str, sql: &'static str| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(vec![
        migration(1, "time index", include_str!("../../migrations/sqlite/0001_time_index.sql")),
        migration(2, "keeping", include_str!("../../migrations/sqlite/0002_keeping.sql")),
        migration(3, "longest segment", include_str!("../../migrations/sqlite/0003_longest_segment.sql")),
        migration(4, "recorders", include_str!("../../migrations/sqlite/0004_recorders.sql")),
        migration(5, "streams in the index", include_str!("../../migrations/sqlite/0005_streams_in_the_index.sql")),
        migration(
            6,
            "locks that end, recorders that begin",
            include_str!("../../migrations/sqlite/0006_locks_that_end_recorders_that_begin.sql"),
        ),
    ])
}

pub(super) async fn stream_row(conn: &mut SqliteConnection, stream: &StreamName) -> Result<Option<StreamRow>> {
    let columns: Option<StreamColumns> = sqlx::query_as(sql::STREAM)
        .bind(stream.as_str())
        .fetch_optional(conn)
        .await
        .map_err(during("reading a stream's row"))?;
    columns.map(StreamRow::of).transpose()
}

/// Writes a segment in the transaction that read `state`.
async fn insert(
    conn: &mut SqliteConnection,
    writer: Writer<'_>,
    state: StreamRow,
    segment: &Segment,
    new: &NewRow,
    inits: &[(Vec<u8>, String)],
) -> Result<Published> {
    let failed = during("publishing a segment");
    let stream = segment.id.stream.as_str();
    let existing: Option<(i64, i64, String)> = sqlx::query_as(BY_SEQUENCE)
        .bind(stream)
        .bind(new.sequence)
        .fetch_optional(&mut *conn)
        .await
        .map_err(&failed)?;
    let existing = existing.map(Existing::of).transpose()?;
    if let Some(existing) = &existing {
        match writer.weigh(existing, segment)? {
            Verdict::Keep => return Ok(Published::AlreadyThere),
            Verdict::Superseded => return Ok(Published::Superseded),
            Verdict::Replace => {}
        }
        for statement in [sql::DELETE_SEGMENT, sql::DELETE_TABLES] {
            let delete = sqlx::query(statement).bind(stream).bind(existing.start.0).bind(new.sequence);
            delete.execute(&mut *conn).await.map_err(&failed)?;
        }
    }
    if let Writer::Fill = writer {
        let (not_before, before) = members::neighbourhood(segment);
        let ask = sqlx::query_as(members::NEIGHBOURS).bind(stream).bind(not_before).bind(before);
        let neighbours: Vec<NeighbourColumns> = ask.fetch_all(&mut *conn).await.map_err(&failed)?;
        if !members::fits(segment, &neighbours)? {
            return Ok(Published::Superseded);
        }
    }
    for (hash, params) in inits {
        let insert = sqlx::query(sql::INSERT_INIT).bind(stream).bind(hash).bind(params);
        insert.execute(&mut *conn).await.map_err(&failed)?;
    }
    insert_row(conn, segment, new).await?;
    let mut state = state.published(segment);
    if existing.is_some()
        && let Some(bounds) = state.extent
    {
        state = state.with_extent(look_for_extent(conn, stream, bounds, false).await?);
    }
    write_stream(conn, stream, &state).await?;
    Ok(Published::Written)
}

/// Writes row and sample tables of a segment.
pub(super) async fn insert_row(conn: &mut SqliteConnection, segment: &Segment, new: &NewRow) -> Result<()> {
    let failed = during("writing a segment");
    let stream = segment.id.stream.as_str();
    let insert = sqlx::query(sql::INSERT_SEGMENT)
        .bind(stream)
        .bind(new.start_utc_us)
        .bind(new.sequence)
        .bind(new.epoch)
        .bind(&new.run)
        .bind(new.duration_us)
        .bind(new.discontinuity)
        .bind(new.anchor_ticks)
        .bind(segment.object.as_str())
        .bind(new.object_offset)
        .bind(new.object_length)
        .bind(&new.parts);
    insert.execute(&mut *conn).await.map_err(&failed)?;
    let insert = sqlx::query(sql::INSERT_TABLES).bind(stream).bind(new.sequence).bind(new.start_utc_us);
    insert.bind(&new.tables).execute(&mut *conn).await.map_err(&failed)?;
    Ok(())
}

pub(super) async fn write_stream(conn: &mut SqliteConnection, stream: &str, state: &StreamRow) -> Result<()> {
    sqlx::query(sql::WRITE_STREAM)
        .bind(stream)
        .bind(to_sql(state.tail.next_sequence, "next sequence")?)
        .bind(to_sql(state.tail.discontinuity, "discontinuity")?)
        .bind(state.tail.end.map(|t| t.0))
        .bind(state.extent.map(|e| e.first_start.0))
        .bind(state.extent.map(|e| e.live_edge.0))
        .bind(state.longest_us)
        .execute(conn)
        .await
        .map(|_| ())
        .map_err(during("writing a stream's row"))
}

/// The extent of the listed segments, none of which lies outside `bounds`. `edge_stays`: the live edge is known
/// to be that of `bounds`.
pub(super) async fn look_for_extent(
    conn: &mut SqliteConnection,
    stream: &str,
    bounds: Extent,
    edge_stays: bool,
) -> Result<Option<Extent>> {
    let (low, high) = (bounds.first_start.0, bounds.live_edge.0);
    let Some(first) = moment(conn, sql::FIRST_START, stream, low, high).await? else { return Ok(None) };
    if edge_stays {
        return Ok(Some(Extent { first_start: UtcUs(first), ..bounds }));
    }
    let last = moment(conn, sql::LAST_START, stream, first, high).await?.unwrap_or(first);
    // Whatever ends last starts less than a segment's length before the last start.
    let edge = moment(conn, sql::LAST_END, stream, last.saturating_sub(LONGEST_SEGMENT_US), high).await?;
    Ok(edge.map(|edge| Extent { first_start: UtcUs(first), live_edge: UtcUs(edge), ..bounds }))
}

async fn moment(
    conn: &mut SqliteConnection,
    statement: &'static str,
    stream: &str,
    not_before: i64,
    before: i64,
) -> Result<Option<i64>> {
    let ask = sqlx::query_scalar(statement).bind(stream).bind(not_before).bind(before);
    let found: Option<Option<i64>> =
        ask.fetch_optional(conn).await.map_err(during("looking for the extent of a stream"))?;
    Ok(found.flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_a_file() {
        for (url, path) in [
            ("sqlite:data/index.db", "data/index.db"),
            ("sqlite://data/index.db", "data/index.db"),
            ("sqlite:///var/lib/index.db", "/var/lib/index.db"),
            ("sqlite:/var/lib/index.db", "/var/lib/index.db"),
            ("index.db", "index.db"),
        ] {
            assert_eq!(path_of(url).unwrap(), Path::new(path), "{url}");
        }
        for bad in ["sqlite:", "sqlite::memory:", "sqlite:x.db?mode=ro", "sqlite:data/"] {
            assert!(path_of(bad).is_err(), "{bad} was accepted");
        }
    }
}
