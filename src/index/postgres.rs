//! Time index in PostgreSQL.
//!
//! Comes in: calls of the port. Goes out: statements; every write is one transaction that holds the stream's row.
//! Never: an address or a password in an error, a wait without an end, a connection in an unknown state put back.

use super::error::{OPERATION_TIMEOUT, PING_TIMEOUT, check_version, during, error, of_migration, within};
use super::members::{self, BeatColumns, NeighbourColumns};
use super::partitions::{Partitions, day_of};
use super::postgres_keeping::spans;
use super::postgres_rows::{days, delete_rows, find, lock_stream, look_for_extent, read_stream, write_stream};
use super::row::{self, MarkedColumns, NewRow, SegmentColumns, bound, limit as rows_limit, to_sql};
use super::spans::Spans;
use super::stream_row::{StreamRow, Verdict, Writer, fenced, same_stream};
use super::{Deletable, Extent, Index, IndexErrorKind, Lease, Published, RecorderBeat, Result, Tail, sql};
use crate::media::segment::{LONGEST_SEGMENT_US, SegmentId, SegmentWithTables};
use crate::media::track::{InitInfo, Uncarried};
use crate::media::{InitHash, SampleTable, Segment, StreamName, UtcRange, UtcUs};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, Postgres, SqlSafeStr};
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use std::time::Duration;

/// Most connections of one process.
const MAX_CONNECTIONS: u32 = 10;

/// Longest wait for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest time for all migrations together, waiting for another's included.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(600);

/// Rows deleted in one transaction.
const DELETE_BATCH: usize = 500;

/// How far back `newest` looks at first: nearly always far enough, and one or two partitions.
const FIRST_LOOK_BACK_US: i64 = 6 * 3_600_000_000;

/// Version of the schema that this program needs: that of its last migration.
const SCHEMA_VERSION: i64 = 6;

/// The plan is made for the values: only so are the partitions of other days left out before they are locked.
const SESSION: &str = "set statement_timeout = '10s'; set idle_in_transaction_session_timeout = '30s'; \
    set plan_cache_mode = force_custom_plan; set jit = off; set timezone = 'UTC'";

/// stream, day, sequence.
const NOTE_DAY: &str = "insert into stream_days (stream, day_utc_us, first_sequence, last_sequence) \
    values ($1, $2, $3, $3) on conflict (stream, day_utc_us) do update set \
    first_sequence = least(stream_days.first_sequence, excluded.first_sequence), \
    last_sequence = greatest(stream_days.last_sequence, excluded.last_sequence)";

/// stream, from, to, not before, before → sequence, tables.
const TABLES: &str = "select sequence, tables from sample_tables where stream = $1 and sequence >= $2 \
    and sequence < $3 and start_utc_us >= $4 and start_utc_us < $5 order by sequence";

const INITS: &str = "select hash, params from inits where stream = $1 and hash = any($2)";

/// The index in a PostgreSQL database (12 or later).
pub struct PostgresIndex {
    pool: PgPool,
    options: PgConnectOptions,
    pub(super) partitions: Partitions,
}

/// A connection that goes back to the pool only when its work was finished; else it is closed, because nobody
/// knows what its server is still doing.
pub(super) struct Held {
    conn: PoolConnection<Postgres>,
    finished: bool,
}

impl Held {
    pub(super) fn finish(&mut self) {
        self.finished = true;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.finished {
            self.conn.close_on_drop();
        }
    }
}

impl Deref for Held {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.conn
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.conn
    }
}

impl PostgresIndex {
    /// Prepares at most 10 connections to `url` (`postgres://user:password@host:port/database`). Connects when
    /// first needed, so that a node starts while its database is away.
    ///
    /// # Errors
    /// `Other` when `url` cannot be read.
    pub async fn connect(url: &str) -> Result<Self> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| error(IndexErrorKind::Other, "the address of the PostgreSQL index cannot be read"))?
            .application_name("evertape");
        let pool = PgPoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(|conn, _| Box::pin(async move { sqlx::raw_sql(SESSION).execute(conn).await.map(|_| ()) }))
            .connect_lazy_with(options.clone());
        Ok(Self { pool, options, partitions: Partitions::default() })
    }

    async fn stream(&self, stream: &StreamName) -> Result<Option<StreamRow>> {
        within(OPERATION_TIMEOUT, "reading where a stream stands", async {
            let mut conn = self.connection().await?;
            let state = read_stream(&mut conn, stream).await?;
            conn.finish();
            Ok(state)
        })
        .await
    }

    pub(super) async fn connection(&self) -> Result<Held> {
        let conn = self.pool.acquire().await.map_err(during("connecting to the index"))?;
        Ok(Held { conn, finished: false })
    }

    async fn commit(&self, writer: Writer<'_>, segment: &SegmentWithTables, inits: &[InitInfo]) -> Result<Published> {
        let new = NewRow::of(segment)?;
        let inits = row::init_columns(inits)?;
        within(OPERATION_TIMEOUT, "publishing a segment", async {
            for _ in 0..3 {
                if let Some(published) = self.try_publish(writer, &segment.segment, &new, &inits).await? {
                    return Ok(published);
                }
            }
            Err(error(IndexErrorKind::Unavailable, "publishing a segment: its partition is dropped again and again"))
        })
        .await
    }

    /// One attempt of a publish. `None` when the day's partition has gone since it was seen.
    async fn try_publish(
        &self,
        writer: Writer<'_>,
        segment: &Segment,
        new: &NewRow,
        inits: &[(Vec<u8>, String)],
    ) -> Result<Option<Published>> {
        let failed = during("publishing a segment");
        let stream = segment.id.stream.as_str();
        let mut conn = self.connection().await?;
        self.partitions.ensure(&mut conn, new.start_utc_us).await?;
        let mut tx = conn.begin().await.map_err(&failed)?;
        let state = writer.check(lock_stream(&mut tx, &segment.id.stream).await?, segment)?;
        // Above the highest number there is nothing to look for.
        let known = segment.id.sequence < state.tail.next_sequence;
        let existing = if known { find(&mut tx, stream, new).await? } else { None };
        let replaces = match &existing {
            None => false,
            Some(existing) => match writer.weigh(existing, segment)? {
                verdict @ (Verdict::Keep | Verdict::Superseded) => {
                    tx.rollback().await.map_err(&failed)?;
                    conn.finish();
                    let kept = verdict == Verdict::Keep;
                    return Ok(Some(if kept { Published::AlreadyThere } else { Published::Superseded }));
                }
                Verdict::Replace => {
                    for statement in [sql::DELETE_SEGMENT, sql::DELETE_TABLES] {
                        let delete = sqlx::query(statement).bind(stream).bind(existing.start.0).bind(new.sequence);
                        delete.execute(&mut *tx).await.map_err(&failed)?;
                    }
                    true
                }
            },
        };
        if let Writer::Fill = writer {
            let (not_before, before) = members::neighbourhood(segment);
            let ask = sqlx::query_as(members::NEIGHBOURS).bind(stream).bind(not_before).bind(before);
            let neighbours: Vec<NeighbourColumns> = ask.fetch_all(&mut *tx).await.map_err(&failed)?;
            if !members::fits(segment, &neighbours)? {
                tx.rollback().await.map_err(&failed)?;
                conn.finish();
                return Ok(Some(Published::Superseded));
            }
        }
        for (hash, params) in inits {
            let insert = sqlx::query(sql::INSERT_INIT).bind(stream).bind(hash).bind(params);
            insert.execute(&mut *tx).await.map_err(&failed)?;
        }
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
        if let Err(cause) = insert.execute(&mut *tx).await {
            if is_missing_partition(&cause) {
                self.partitions.forget(new.start_utc_us);
                return Ok(None);
            }
            return Err(failed(cause));
        }
        let insert = sqlx::query(sql::INSERT_TABLES).bind(stream).bind(new.sequence).bind(new.start_utc_us);
        insert.bind(&new.tables).execute(&mut *tx).await.map_err(&failed)?;
        let note = sqlx::query(NOTE_DAY).bind(stream).bind(day_of(new.start_utc_us)).bind(new.sequence);
        note.execute(&mut *tx).await.map_err(&failed)?;
        let mut state = state.published(segment);
        if replaces && let Some(bounds) = state.extent {
            state = state.with_extent(look_for_extent(&mut tx, stream, bounds, false).await?);
        }
        write_stream(&mut tx, stream, &state).await?;
        tx.commit().await.map_err(&failed)?;
        conn.finish();
        Ok(Some(Published::Written))
    }

    /// Drops old partitions now and then. What fails is tried again later: nothing depends on it.
    async fn sweep_sometimes(&self, conn: &mut PgConnection) -> bool {
        if !self.partitions.sweep_is_due() {
            return true;
        }
        match self.partitions.sweep(conn).await {
            Ok(dropped) => {
                tracing::debug!(dropped, "looked for empty partitions");
                true
            }
            Err(error) => {
                tracing::debug!(%error, "empty partitions stay for now");
                false
            }
        }
    }
}

#[async_trait::async_trait]
impl Index for PostgresIndex {
    async fn migrate(&self) -> Result<()> {
        within(MIGRATION_TIMEOUT, "migrating the index", async {
            // A connection of its own: without the limits of the pool, and closed whatever happens, so that the
            // lock of a failed migration goes with it.
            let mut conn = self.options.connect().await.map_err(during("migrating the index"))?;
            let done = migrations().run_direct(None, &mut conn, false).await.map_err(of_migration);
            let _ = conn.close().await;
            done
        })
        .await
    }

    async fn ping(&self) -> Result<()> {
        within(PING_TIMEOUT, "pinging the index", async {
            let mut conn = self.connection().await?;
            let version = sqlx::query_scalar(sql::VERSION).fetch_one(&mut *conn).await;
            let version = version.map_err(during("asking for the schema of the index"))?;
            conn.finish();
            check_version(version, SCHEMA_VERSION)
        })
        .await
    }

    async fn streams(&self) -> Result<Vec<StreamName>> {
        within(OPERATION_TIMEOUT, "listing streams", async {
            let mut conn = self.connection().await?;
            let names = sqlx::query_scalar(sql::STREAMS).fetch_all(&mut *conn).await;
            let names = names.map_err(during("listing streams"))?;
            conn.finish();
            row::stream_names(names)
        })
        .await
    }

    async fn acquire(&self, stream: &StreamName, holder: &str, now: UtcUs, ttl_us: i64) -> Result<Option<Lease>> {
        within(OPERATION_TIMEOUT, "taking a lease", async {
            let failed = during("taking a lease");
            let mut conn = self.connection().await?;
            let mut tx = conn.begin().await.map_err(&failed)?;
            sqlx::query(sql::REGISTER).bind(stream.as_str()).execute(&mut *tx).await.map_err(&failed)?;
            let state = lock_stream(&mut tx, stream).await?.unwrap_or_default();
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
            conn.finish();
            Ok(lease)
        })
        .await
    }

    async fn renew(&self, lease: &Lease, now: UtcUs, ttl_us: i64) -> Result<Lease> {
        within(OPERATION_TIMEOUT, "renewing a lease", async {
            let mut conn = self.connection().await?;
            let renewed = Lease { expires: now.plus_us(ttl_us), ..lease.clone() };
            let done = sqlx::query(sql::RENEW_LEASE)
                .bind(lease.stream.as_str())
                .bind(&lease.holder)
                .bind(bound(lease.epoch))
                .bind(renewed.expires.0)
                .execute(&mut *conn)
                .await
                .map_err(during("renewing a lease"))?;
            conn.finish();
            if done.rows_affected() == 1 { Ok(renewed) } else { Err(fenced(lease)) }
        })
        .await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        within(OPERATION_TIMEOUT, "giving a lease up", async {
            let mut conn = self.connection().await?;
            sqlx::query(sql::RELEASE_LEASE)
                .bind(lease.stream.as_str())
                .bind(&lease.holder)
                .bind(bound(lease.epoch))
                .execute(&mut *conn)
                .await
                .map_err(during("giving a lease up"))?;
            conn.finish();
            Ok(())
        })
        .await
    }

    async fn holder(&self, stream: &StreamName) -> Result<Option<Lease>> {
        Ok(self.stream(stream).await?.and_then(|row| row.lease(stream)))
    }

    async fn tail(&self, stream: &StreamName) -> Result<Tail> {
        Ok(self.stream(stream).await?.unwrap_or_default().tail)
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
            let mut conn = self.connection().await?;
            sqlx::query(members::BEAT)
                .bind(&beat.recorder)
                .bind(beat.seen.0)
                .bind(beat.capacity.map(i64::from))
                .bind(i64::from(beat.held))
                .bind(i64::from(beat.leaving))
                .bind(beat.begun.0)
                .execute(&mut *conn)
                .await
                .map_err(&failed)?;
            let forgotten = beat.seen.plus_us(-members::FORGET_AFTER_US).0;
            sqlx::query(members::FORGET).bind(forgotten).execute(&mut *conn).await.map_err(&failed)?;
            let rows: Vec<BeatColumns> =
                sqlx::query_as(members::RECORDERS).fetch_all(&mut *conn).await.map_err(&failed)?;
            conn.finish();
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
            let mut conn = self.connection().await?;
            let rows: Vec<SegmentColumns> = sqlx::query_as(sql::WINDOW)
                .bind(stream.as_str())
                .bind(window.end.0)
                .bind(window.start.plus_us(-LONGEST_SEGMENT_US).0)
                .bind(window.start.0)
                .bind(after.map_or(-1, bound))
                .bind(rows_limit(limit))
                .fetch_all(&mut *conn)
                .await
                .map_err(during("reading a window"))?;
            conn.finish();
            row::segments(stream, rows)
        })
        .await
    }

    async fn newest(&self, stream: &StreamName, before: UtcUs, count: usize) -> Result<Vec<Segment>> {
        if count == 0 {
            return Ok(Vec::new());
        }
        within(OPERATION_TIMEOUT, "reading the newest segments", async {
            let mut conn = self.connection().await?;
            let mut rows: Vec<SegmentColumns> = Vec::new();
            if let Some(extent) = read_stream(&mut conn, stream).await?.and_then(|s| s.extent) {
                let high = before.min(extent.live_edge);
                let mut look_back_us = FIRST_LOOK_BACK_US;
                loop {
                    let low = high.plus_us(-look_back_us).max(extent.first_start);
                    rows = sqlx::query_as(sql::NEWEST)
                        .bind(stream.as_str())
                        .bind(high.0)
                        .bind(low.0)
                        .bind(rows_limit(count))
                        .fetch_all(&mut *conn)
                        .await
                        .map_err(during("reading the newest segments"))?;
                    if rows.len() >= count || low == extent.first_start {
                        break;
                    }
                    look_back_us = look_back_us.saturating_mul(8);
                }
            }
            conn.finish();
            row::newest(stream, rows)
        })
        .await
    }

    async fn sample_tables(&self, stream: &StreamName, from: u64, to: u64) -> Result<Vec<(u64, Vec<SampleTable>)>> {
        within(OPERATION_TIMEOUT, "reading sample tables", async {
            let mut conn = self.connection().await?;
            let mut rows = Vec::new();
            if let Some((first, last)) = days(&mut conn, stream.as_str(), bound(from), bound(to)).await? {
                rows = sqlx::query_as(TABLES)
                    .bind(stream.as_str())
                    .bind(bound(from))
                    .bind(bound(to))
                    .bind(first)
                    .bind(last)
                    .fetch_all(&mut *conn)
                    .await
                    .map_err(during("reading sample tables"))?;
            }
            conn.finish();
            row::sample_tables(rows)
        })
        .await
    }

    async fn inits(&self, stream: &StreamName, hashes: &[InitHash]) -> Result<Vec<InitInfo>> {
        within(OPERATION_TIMEOUT, "reading init segments", async {
            let mut conn = self.connection().await?;
            let names: Vec<Vec<u8>> = hashes.iter().map(|h| h.0.to_vec()).collect();
            let rows = sqlx::query_as(INITS).bind(stream.as_str()).bind(names).fetch_all(&mut *conn).await;
            let rows = rows.map_err(during("reading init segments"))?;
            conn.finish();
            row::inits(hashes, rows)
        })
        .await
    }

    async fn extent(&self, stream: &StreamName) -> Result<Option<Extent>> {
        within(OPERATION_TIMEOUT, "reading the extent of a stream", async {
            let mut conn = self.connection().await?;
            let state = read_stream(&mut conn, stream).await?;
            conn.finish();
            Ok(state.and_then(|s| s.extent))
        })
        .await
    }

    async fn ranges(
        &self,
        stream: &StreamName,
        window: UtcRange,
        tolerance_us: i64,
        limit: usize,
    ) -> Result<Vec<UtcRange>> {
        within(OPERATION_TIMEOUT, "reading ranges", async {
            let mut conn = self.connection().await?;
            let extent = read_stream(&mut conn, stream).await?.and_then(|s| s.extent);
            let mut spans = Spans::new(window, extent, tolerance_us, limit);
            while let Some(page) = spans.page() {
                let rows: Vec<(i64, i64, i64)> = sqlx::query_as(sql::SPANS)
                    .bind(stream.as_str())
                    .bind(page.before)
                    .bind(page.not_before)
                    .bind(page.ends_after)
                    .bind(page.last_start)
                    .bind(page.last_sequence)
                    .bind(page.limit)
                    .fetch_all(&mut *conn)
                    .await
                    .map_err(during("reading ranges"))?;
                spans.take(&rows)?;
            }
            conn.finish();
            Ok(spans.ranges())
        })
        .await
    }

    async fn set_uncarried(&self, stream: &StreamName, uncarried: &[Uncarried]) -> Result<()> {
        let tracks = row::to_json(uncarried)?;
        within(OPERATION_TIMEOUT, "writing what is not recorded", async {
            let mut conn = self.connection().await?;
            let done = sqlx::query(sql::SET_UNCARRIED).bind(stream.as_str()).bind(tracks).execute(&mut *conn).await;
            done.map_err(during("writing what is not recorded"))?;
            conn.finish();
            Ok(())
        })
        .await
    }

    async fn uncarried(&self, stream: &StreamName) -> Result<Vec<Uncarried>> {
        within(OPERATION_TIMEOUT, "reading what is not recorded", async {
            let mut conn = self.connection().await?;
            let tracks = sqlx::query_scalar(sql::UNCARRIED).bind(stream.as_str()).fetch_optional(&mut *conn).await;
            let tracks = tracks.map_err(during("reading what is not recorded"))?;
            conn.finish();
            row::uncarried(tracks)
        })
        .await
    }

    async fn mark_expired(&self, stream: &StreamName, cutoff: UtcUs, now: UtcUs, limit: usize) -> Result<u64> {
        within(OPERATION_TIMEOUT, "marking segments", async {
            let failed = during("marking segments");
            let mut conn = self.connection().await?;
            let mut tx = conn.begin().await.map_err(&failed)?;
            let mut marked = 0;
            if let Some(state) = lock_stream(&mut tx, stream).await?
                && let Some(extent) = state.extent
            {
                let most = rows_limit(limit) as u64;
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
            }
            tx.commit().await.map_err(&failed)?;
            conn.finish();
            Ok(marked)
        })
        .await
    }

    async fn deletable(&self, stream: &StreamName, marked_before: UtcUs, limit: usize) -> Result<Vec<Deletable>> {
        within(OPERATION_TIMEOUT, "reading what to delete", async {
            let mut conn = self.connection().await?;
            let rows: Vec<MarkedColumns> = sqlx::query_as(sql::DELETABLE)
                .bind(stream.as_str())
                .bind(marked_before.0)
                .bind(rows_limit(limit))
                .fetch_all(&mut *conn)
                .await
                .map_err(during("reading what to delete"))?;
            conn.finish();
            row::deletables(stream, rows)
        })
        .await
    }

    async fn delete(&self, segments: &[SegmentId]) -> Result<()> {
        // By stream and day: one statement, one partition.
        let mut days: BTreeMap<(&StreamName, i64), Vec<&SegmentId>> = BTreeMap::new();
        segments.iter().for_each(|id| days.entry((&id.stream, day_of(id.start.0))).or_default().push(id));
        for ((stream, day), ids) in days {
            for batch in ids.chunks(DELETE_BATCH) {
                within(OPERATION_TIMEOUT, "deleting rows", async {
                    let mut conn = self.connection().await?;
                    delete_rows(&mut conn, stream.as_str(), day, batch).await?;
                    conn.finish();
                    Ok(())
                })
                .await?;
            }
        }
        within(OPERATION_TIMEOUT, "dropping empty partitions", async {
            let mut conn = self.connection().await?;
            if self.sweep_sometimes(&mut conn).await {
                conn.finish();
            }
            Ok(())
        })
        .await
        .or(Ok(()))
    }
}

fn migrations() -> Migrator {
    let migration = |version, name: &'static str, text: &'static str| {
        Migration::new(version, name.into(), MigrationType::Simple, text.into_sql_str(), false)
    };
    Migrator::with_migrations(vec![
        migration(1, "time index", include_str!("../../migrations/postgres/0001_time_index.sql")),
        migration(2, "keeping", include_str!("../../migrations/postgres/0002_keeping.sql")),
        migration(3, "longest segment", include_str!("../../migrations/postgres/0003_longest_segment.sql")),
        migration(4, "recorders", include_str!("../../migrations/postgres/0004_recorders.sql")),
        migration(5, "streams in the index", include_str!("../../migrations/postgres/0005_streams_in_the_index.sql")),
        migration(
            6,
            "locks that end, recorders that begin",
            include_str!("../../migrations/postgres/0006_locks_that_end_recorders_that_begin.sql"),
        ),
    ])
}

/// "No partition of relation ... found for row": a check violation without a constraint.
pub(super) fn is_missing_partition(cause: &sqlx::Error) -> bool {
    let postgres = cause.as_database_error().and_then(|e| e.try_downcast_ref::<PgDatabaseError>());
    postgres.is_some_and(|e| e.code() == "23514" && e.constraint().is_none())
}
