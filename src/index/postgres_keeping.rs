//! Retention, repair and reindexing in PostgreSQL.
//!
//! Comes in: calls of the port. Goes out: statements over whole batches; every write that changes what is listed is one
//! transaction that holds the stream's row. Never: a lease.

use super::error::{OPERATION_TIMEOUT, during, error, within};
use super::keeping::{Adoption, AppliedRetention, HOUR_US, adoptable, boundary_hour, first_that_does_not_fit};
use super::partitions::{day_end, day_of};
use super::postgres::{PostgresIndex, is_missing_partition};
use super::postgres_rows::{days, lock_stream, look_for_extent, read_stream, write_stream};
use super::row::{self, LockColumns, NewRow, RowColumns, bound, from_sql, limit as rows_limit, to_sql};
use super::stream_row::Existing;
use super::{Adopted, Amount, IndexErrorKind, Keeping, Result, Row, sql};
use crate::media::lock::{Lock, LockId, unlocked_spans};
use crate::media::segment::{SegmentId, SegmentWithTables};
use crate::media::track::InitInfo;
use crate::media::{StreamName, UtcRange, UtcUs};
use sqlx::{Connection, PgConnection, Postgres, Transaction};
use std::collections::{BTreeMap, BTreeSet};

/// Marks of one transaction.
const MARK_BATCH: usize = 500;

/// stream, sequences, not before, before → sequence, start, epoch, object.
const BY_SEQUENCES: &str = "select sequence, start_utc_us, epoch, object_key from segments \
    where stream = $1 and sequence = any($2) and start_utc_us >= $3 and start_utc_us < $4";

/// stream, then a list for each column of `sql::INSERT_SEGMENT` after it.
const INSERT_SEGMENTS: &str = "insert into segments (stream, start_utc_us, sequence, epoch, run, duration_us, \
    discontinuity, anchor_ticks, object_key, object_offset, object_length, parts) \
    select $1, * from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bigint[], $7::bigint[], \
    $8::bigint[], $9::text[], $10::bigint[], $11::bigint[], $12::bytea[])";

/// stream, sequences, starts, tables.
const INSERT_TABLES: &str = "insert into sample_tables (stream, sequence, start_utc_us, tables) \
    select $1, * from unnest($2::bigint[], $3::bigint[], $4::bytea[])";

/// stream, sequences, starts.
const NOTE_DAYS: &str = "insert into stream_days (stream, day_utc_us, first_sequence, last_sequence) \
    select $1, start - start % 86400000000, min(sequence), max(sequence) \
    from unnest($2::bigint[], $3::bigint[]) as new (sequence, start) group by 2 \
    on conflict (stream, day_utc_us) do update set \
    first_sequence = least(stream_days.first_sequence, excluded.first_sequence), \
    last_sequence = greatest(stream_days.last_sequence, excluded.last_sequence)";

#[async_trait::async_trait]
impl Keeping for PostgresIndex {
    async fn adopt(&self, stream: &StreamName, segments: &[SegmentWithTables], inits: &[InitInfo]) -> Result<Adopted> {
        let rows = adoptable(stream, segments)?;
        let inits = row::init_columns(inits)?;
        within(OPERATION_TIMEOUT, "adopting segments", async {
            for _ in 0..3 {
                if let Some(adopted) = self.try_adopt(stream, segments, &rows, &inits).await? {
                    return Ok(adopted);
                }
            }
            Err(error(IndexErrorKind::Unavailable, "adopting segments: a partition is dropped again and again"))
        })
        .await
    }

    async fn withdraw(&self, stream: &StreamName, segments: &[SegmentId]) -> Result<u64> {
        within(OPERATION_TIMEOUT, "taking rows back", async {
            let failed = during("taking rows back");
            let mut conn = self.connection().await?;
            let mut tx = conn.begin().await.map_err(&failed)?;
            let mut state = lock_stream(&mut tx, stream).await?.unwrap_or_default();
            let mut gone = 0;
            for id in segments.iter().filter(|id| id.stream == *stream) {
                let delete = sqlx::query(sql::DELETE_ONE)
                    .bind(stream.as_str())
                    .bind(id.start.0)
                    .bind(bound(id.sequence))
                    .bind(bound(id.epoch))
                    .bind(id.run.0.to_be_bytes().to_vec());
                if delete.execute(&mut *tx).await.map_err(&failed)?.rows_affected() > 0 {
                    gone += 1;
                    let tables = sqlx::query(sql::DELETE_TABLES).bind(stream.as_str()).bind(id.start.0);
                    tables.bind(bound(id.sequence)).execute(&mut *tx).await.map_err(&failed)?;
                }
            }
            if gone > 0 {
                let last = state.tail.next_sequence.checked_sub(1);
                if segments.iter().any(|id| Some(id.sequence) == last) {
                    let ask = sqlx::query_as(sql::NEWEST_ROW).bind(stream.as_str());
                    state = state.withdrawn(ask.fetch_optional(&mut *tx).await.map_err(&failed)?)?;
                }
                if let Some(bounds) = state.extent {
                    state = state.with_extent(look_for_extent(&mut tx, stream.as_str(), bounds, false).await?);
                }
                write_stream(&mut tx, stream.as_str(), &state).await?;
            }
            tx.commit().await.map_err(&failed)?;
            conn.finish();
            Ok(gone)
        })
        .await
    }

    async fn rows(
        &self,
        stream: &StreamName,
        window: UtcRange,
        after: Option<(UtcUs, u64)>,
        limit: usize,
    ) -> Result<Vec<Row>> {
        within(OPERATION_TIMEOUT, "reading rows", async {
            let after = after.map_or((i64::MIN, -1), |(start, sequence)| (start.0, bound(sequence)));
            let mut conn = self.connection().await?;
            let rows: Vec<RowColumns> = sqlx::query_as(sql::ROWS)
                .bind(stream.as_str())
                .bind(window.start.0.max(after.0))
                .bind(window.end.0)
                .bind(after.0)
                .bind(after.1)
                .bind(rows_limit(limit))
                .fetch_all(&mut *conn)
                .await
                .map_err(during("reading rows"))?;
            conn.finish();
            row::rows(stream, rows)
        })
        .await
    }

    async fn row(&self, stream: &StreamName, sequence: u64) -> Result<Option<Row>> {
        within(OPERATION_TIMEOUT, "reading a row", async {
            let mut conn = self.connection().await?;
            let number = bound(sequence);
            let mut found: Option<RowColumns> = None;
            if let Some((first, last)) = days(&mut conn, stream.as_str(), number, number.saturating_add(1)).await? {
                let ask = sqlx::query_as(sql::ROW).bind(stream.as_str()).bind(number).bind(first).bind(last);
                found = ask.fetch_optional(&mut *conn).await.map_err(during("reading a row"))?;
            }
            conn.finish();
            Ok(row::rows(stream, found.into_iter().collect())?.pop())
        })
        .await
    }

    async fn mark(&self, segments: &[SegmentId], now: UtcUs) -> Result<u64> {
        let mut by_stream: BTreeMap<&StreamName, Vec<&SegmentId>> = BTreeMap::new();
        segments.iter().for_each(|id| by_stream.entry(&id.stream).or_default().push(id));
        let mut marked = 0;
        for (stream, ids) in by_stream {
            for batch in ids.chunks(MARK_BATCH) {
                marked += within(OPERATION_TIMEOUT, "marking segments", self.mark_batch(stream, batch, now)).await?;
            }
        }
        Ok(marked)
    }

    async fn add_lock(&self, lock: &Lock) -> Result<()> {
        row::check_lock(lock)?;
        within(OPERATION_TIMEOUT, "writing a lock", async {
            let failed = during("writing a lock");
            let mut conn = self.connection().await?;
            let mut tx = conn.begin().await.map_err(&failed)?;
            // Behind whoever marks just now: whoever marks later sees the lock.
            lock_stream(&mut tx, &lock.stream).await?;
            let add = sqlx::query(sql::ADD_LOCK)
                .bind(lock.stream.as_str())
                .bind(lock.id.0.to_be_bytes().to_vec())
                .bind(lock.range.start.0)
                .bind(lock.range.end.0)
                .bind(&lock.title)
                .bind(lock.created.0)
                .bind(lock.expires.map(|at| at.0));
            add.execute(&mut *tx).await.map_err(&failed)?;
            tx.commit().await.map_err(&failed)?;
            conn.finish();
            Ok(())
        })
        .await
    }

    async fn locks(&self, stream: &StreamName, window: UtcRange) -> Result<Vec<Lock>> {
        within(OPERATION_TIMEOUT, "reading locks", async {
            let mut conn = self.connection().await?;
            let ask = sqlx::query_as(sql::LOCKS).bind(stream.as_str()).bind(window.start.0).bind(window.end.0);
            let rows: Vec<LockColumns> = ask.fetch_all(&mut *conn).await.map_err(during("reading locks"))?;
            conn.finish();
            row::locks(stream, rows)
        })
        .await
    }

    async fn remove_lock(&self, stream: &StreamName, id: LockId) -> Result<bool> {
        within(OPERATION_TIMEOUT, "removing a lock", async {
            let mut conn = self.connection().await?;
            let remove = sqlx::query(sql::REMOVE_LOCK).bind(stream.as_str()).bind(id.0.to_be_bytes().to_vec());
            let done = remove.execute(&mut *conn).await.map_err(during("removing a lock"))?;
            conn.finish();
            Ok(done.rows_affected() > 0)
        })
        .await
    }

    async fn forget_locks(&self, expired_before: UtcUs) -> Result<u64> {
        within(OPERATION_TIMEOUT, "forgetting locks", async {
            let mut conn = self.connection().await?;
            let forget = sqlx::query(sql::FORGET_LOCKS).bind(expired_before.0).execute(&mut *conn).await;
            let gone = forget.map_err(during("forgetting locks"))?.rows_affected();
            conn.finish();
            Ok(gone)
        })
        .await
    }

    async fn stored_bytes(&self, stream: &StreamName) -> Result<u64> {
        within(OPERATION_TIMEOUT, "reading sizes", async {
            let mut conn = self.connection().await?;
            let bytes = sqlx::query_scalar(sql::STORED_BYTES).bind(stream.as_str()).fetch_one(&mut *conn).await;
            let bytes = bytes.map_err(during("reading sizes"))?;
            conn.finish();
            from_sql(bytes, "bytes")
        })
        .await
    }

    async fn all_stored_bytes(&self) -> Result<Vec<(StreamName, u64)>> {
        within(OPERATION_TIMEOUT, "reading sizes", async {
            let mut conn = self.connection().await?;
            let rows = sqlx::query_as(sql::ALL_STORED_BYTES).fetch_all(&mut *conn).await;
            let rows = rows.map_err(during("reading sizes"))?;
            conn.finish();
            row::stream_bytes(rows)
        })
        .await
    }

    async fn hour_bytes(&self, stream: &StreamName, window: UtcRange) -> Result<Vec<(UtcUs, u64)>> {
        within(OPERATION_TIMEOUT, "reading sizes", async {
            let mut conn = self.connection().await?;
            let ask = sqlx::query_as(sql::HOURS_WITHIN).bind(stream.as_str()).bind(window.start.0).bind(window.end.0);
            let rows = ask.fetch_all(&mut *conn).await.map_err(during("reading sizes"))?;
            conn.finish();
            row::hour_bytes(rows)
        })
        .await
    }

    async fn bytes_cutoff(&self, stream: Option<&StreamName>, keep_bytes: u64) -> Result<Option<UtcUs>> {
        within(OPERATION_TIMEOUT, "reading sizes", async {
            let failed = during("reading sizes");
            let mut conn = self.connection().await?;
            let hours = match stream {
                Some(stream) => sqlx::query_as(sql::HOURS).bind(stream.as_str()).fetch_all(&mut *conn).await,
                None => sqlx::query_as(sql::ALL_HOURS).fetch_all(&mut *conn).await,
            };
            let boundary = boundary_hour(&hours.map_err(&failed)?, keep_bytes);
            let mut cutoff = None;
            if let Some((hour, left)) = boundary {
                let end = hour.saturating_add(HOUR_US);
                let sizes = match stream {
                    Some(stream) => sqlx::query_as(sql::SIZES).bind(stream.as_str()).bind(hour).bind(end),
                    None => sqlx::query_as(sql::ALL_SIZES).bind(hour).bind(end),
                };
                let sizes = sizes.fetch_all(&mut *conn).await.map_err(&failed)?;
                // Meanwhile marked: then what was left over fits.
                cutoff = first_that_does_not_fit(&sizes, left).or(Some(UtcUs(hour)));
            }
            conn.finish();
            Ok(cutoff)
        })
        .await
    }

    async fn expired(&self, stream: &StreamName, cutoff: UtcUs, now: UtcUs) -> Result<Amount> {
        within(OPERATION_TIMEOUT, "counting what has expired", async {
            let failed = during("counting what has expired");
            let mut conn = self.connection().await?;
            let mut amount = Amount::default();
            if let Some(extent) = read_stream(&mut conn, stream).await?.and_then(|s| s.extent) {
                for span in spans(&mut conn, stream, extent.first_start, cutoff.min(extent.live_edge), now).await? {
                    let ask = sqlx::query_as(sql::EXPIRED).bind(stream.as_str()).bind(span.start.0).bind(span.end.0);
                    let (segments, bytes): (i64, i64) = ask.fetch_one(&mut *conn).await.map_err(&failed)?;
                    amount.segments += from_sql(segments, "count")?;
                    amount.bytes += from_sql(bytes, "bytes")?;
                }
            }
            conn.finish();
            Ok(amount)
        })
        .await
    }

    async fn applied_retention(&self, stream: &StreamName) -> Result<Option<AppliedRetention>> {
        within(OPERATION_TIMEOUT, "reading the retention applied last", async {
            let mut conn = self.connection().await?;
            let ask = sqlx::query_as(sql::APPLIED_RETENTION).bind(stream.as_str()).fetch_optional(&mut *conn).await;
            let row: Option<(String, i64)> = ask.map_err(during("reading the retention applied last"))?;
            conn.finish();
            Ok(row.map(|(setting, cutoff)| AppliedRetention { setting, cutoff: UtcUs(cutoff) }))
        })
        .await
    }

    async fn set_applied_retention(&self, stream: &StreamName, applied: &AppliedRetention) -> Result<()> {
        within(OPERATION_TIMEOUT, "writing the retention applied", async {
            let mut conn = self.connection().await?;
            let set = sqlx::query(sql::SET_APPLIED_RETENTION)
                .bind(stream.as_str())
                .bind(&applied.setting)
                .bind(applied.cutoff.0);
            set.execute(&mut *conn).await.map_err(during("writing the retention applied"))?;
            conn.finish();
            Ok(())
        })
        .await
    }

    async fn integrity(&self) -> Result<Vec<String>> {
        // PostgreSQL checks its pages itself where it was set up with checksums, and says so when they are read.
        Ok(Vec::new())
    }

    async fn deletable_spans(&self, marked_before: UtcUs, limit: usize) -> Result<Vec<UtcRange>> {
        within(OPERATION_TIMEOUT, "looking for expired days", async {
            let mut conn = self.connection().await?;
            let days = self.partitions.expired(&mut conn, marked_before, limit).await?;
            conn.finish();
            Ok(days.into_iter().map(|day| UtcRange::new(UtcUs(day), UtcUs(day_end(day)))).collect())
        })
        .await
    }

    async fn delete_span(&self, span: UtcRange, marked_before: UtcUs, segments: u64) -> Result<bool> {
        if day_of(span.start.0) != span.start.0 || day_end(span.start.0) != span.end.0 {
            return Ok(false);
        }
        within(OPERATION_TIMEOUT, "dropping an expired day", async {
            let mut conn = self.connection().await?;
            let gone = self.partitions.drop_expired(&mut conn, span.start.0, marked_before, segments).await?;
            conn.finish();
            Ok(gone)
        })
        .await
    }
}

impl PostgresIndex {
    /// One attempt. `None` when a day's partition has gone since it was seen.
    async fn try_adopt(
        &self,
        stream: &StreamName,
        segments: &[SegmentWithTables],
        rows: &[NewRow],
        inits: &[(Vec<u8>, String)],
    ) -> Result<Option<Adopted>> {
        let failed = during("adopting segments");
        let highest_epoch = segments.iter().map(|s| s.segment.id.epoch).max().unwrap_or(0);
        let mut conn = self.connection().await?;
        let days: BTreeSet<i64> = rows.iter().map(|r| day_of(r.start_utc_us)).collect();
        for day in &days {
            self.partitions.ensure(&mut conn, *day).await?;
        }
        let mut tx = conn.begin().await.map_err(&failed)?;
        sqlx::query(sql::REGISTER).bind(stream.as_str()).execute(&mut *tx).await.map_err(&failed)?;
        let mut state = lock_stream(&mut tx, stream).await?.unwrap_or_default();
        let known: Vec<i64> =
            rows.iter().map(|r| r.sequence).filter(|&n| n < bound(state.tail.next_sequence)).collect();
        let existing = find_all(&mut tx, stream.as_str(), &known).await?;
        let adoption = Adoption::of(segments, &state, &existing)?;
        for (start, sequence) in &adoption.replace {
            for statement in [sql::DELETE_SEGMENT, sql::DELETE_TABLES] {
                let delete = sqlx::query(statement).bind(stream.as_str()).bind(start.0).bind(bound(*sequence));
                delete.execute(&mut *tx).await.map_err(&failed)?;
            }
        }
        for (hash, params) in inits {
            let insert = sqlx::query(sql::INSERT_INIT).bind(stream.as_str()).bind(hash).bind(params);
            insert.execute(&mut *tx).await.map_err(&failed)?;
        }
        let new: Vec<(&SegmentWithTables, &NewRow)> =
            adoption.write.iter().filter_map(|n| segments.get(*n).zip(rows.get(*n))).collect();
        if let Err(cause) = insert_all(&mut tx, stream.as_str(), &new).await {
            if is_missing_partition(&cause) {
                days.iter().for_each(|day| self.partitions.forget(*day));
                return Ok(None);
            }
            return Err(failed(cause));
        }
        state = new.iter().fold(state, |state, (segment, _)| state.published(&segment.segment));
        if !adoption.replace.is_empty()
            && let Some(bounds) = state.extent
        {
            state = state.with_extent(look_for_extent(&mut tx, stream.as_str(), bounds, false).await?);
        }
        write_stream(&mut tx, stream.as_str(), &state).await?;
        let raise = sqlx::query(sql::RAISE_EPOCH).bind(stream.as_str()).bind(to_sql(highest_epoch, "epoch")?);
        raise.execute(&mut *tx).await.map_err(&failed)?;
        tx.commit().await.map_err(&failed)?;
        conn.finish();
        Ok(Some(adoption.adopted))
    }

    async fn mark_batch(&self, stream: &StreamName, ids: &[&SegmentId], now: UtcUs) -> Result<u64> {
        let failed = during("marking segments");
        let mut conn = self.connection().await?;
        let mut tx = conn.begin().await.map_err(&failed)?;
        let mut marked = 0;
        if let Some(state) = lock_stream(&mut tx, stream).await? {
            for id in ids {
                let mark = sqlx::query(sql::MARK_ONE)
                    .bind(stream.as_str())
                    .bind(id.start.0)
                    .bind(bound(id.sequence))
                    .bind(bound(id.epoch))
                    .bind(id.run.0.to_be_bytes().to_vec())
                    .bind(now.0);
                marked += mark.execute(&mut *tx).await.map_err(&failed)?.rows_affected();
            }
            if marked > 0
                && let Some(bounds) = state.extent
            {
                let left = look_for_extent(&mut tx, stream.as_str(), bounds, false).await?;
                write_stream(&mut tx, stream.as_str(), &state.with_extent(left)).await?;
            }
        }
        tx.commit().await.map_err(&failed)?;
        conn.finish();
        Ok(marked)
    }
}

/// The spans between `first` and `cutoff` that no lock that holds at `now` reaches into.
pub(super) async fn spans(
    conn: &mut PgConnection,
    stream: &StreamName,
    first: UtcUs,
    cutoff: UtcUs,
    now: UtcUs,
) -> Result<Vec<UtcRange>> {
    let ask = sqlx::query_as(sql::LOCKED).bind(stream.as_str()).bind(first.0).bind(cutoff.0).bind(now.0);
    let locked: Vec<(i64, i64)> = ask.fetch_all(conn).await.map_err(during("reading locks"))?;
    let locked: Vec<UtcRange> = locked.into_iter().map(|(from, to)| UtcRange::new(UtcUs(from), UtcUs(to))).collect();
    Ok(unlocked_spans(&locked, first, cutoff))
}

/// The rows that have one of these numbers.
async fn find_all(
    tx: &mut Transaction<'_, Postgres>,
    stream: &str,
    sequences: &[i64],
) -> Result<BTreeMap<u64, Existing>> {
    let (Some(low), Some(high)) = (sequences.iter().min(), sequences.iter().max()) else { return Ok(BTreeMap::new()) };
    let Some((first, last)) = days(tx, stream, *low, high.saturating_add(1)).await? else {
        return Ok(BTreeMap::new());
    };
    let found: Vec<(i64, i64, i64, String)> = sqlx::query_as(BY_SEQUENCES)
        .bind(stream)
        .bind(sequences)
        .bind(first)
        .bind(last)
        .fetch_all(&mut **tx)
        .await
        .map_err(during("looking for segments by number"))?;
    let existing = found.into_iter().map(|(sequence, start, epoch, object)| {
        Ok((from_sql(sequence, "sequence")?, Existing::of((start, epoch, object))?))
    });
    existing.collect()
}

async fn insert_all(
    tx: &mut Transaction<'_, Postgres>,
    stream: &str,
    new: &[(&SegmentWithTables, &NewRow)],
) -> std::result::Result<(), sqlx::Error> {
    if new.is_empty() {
        return Ok(());
    }
    let numbers = |of: fn(&NewRow) -> i64| new.iter().map(|(_, row)| of(row)).collect::<Vec<i64>>();
    let (sequences, starts) = (numbers(|r| r.sequence), numbers(|r| r.start_utc_us));
    sqlx::query(INSERT_SEGMENTS)
        .bind(stream)
        .bind(&starts)
        .bind(&sequences)
        .bind(numbers(|r| r.epoch))
        .bind(new.iter().map(|(_, r)| r.run.as_slice()).collect::<Vec<_>>())
        .bind(numbers(|r| r.duration_us))
        .bind(numbers(|r| r.discontinuity))
        .bind(numbers(|r| r.anchor_ticks))
        .bind(new.iter().map(|(s, _)| s.segment.object.as_str()).collect::<Vec<_>>())
        .bind(numbers(|r| r.object_offset))
        .bind(numbers(|r| r.object_length))
        .bind(new.iter().map(|(_, r)| r.parts.as_slice()).collect::<Vec<_>>())
        .execute(&mut **tx)
        .await?;
    let tables: Vec<&[u8]> = new.iter().map(|(_, r)| r.tables.as_slice()).collect();
    sqlx::query(INSERT_TABLES).bind(stream).bind(&sequences).bind(&starts).bind(tables).execute(&mut **tx).await?;
    sqlx::query(NOTE_DAYS).bind(stream).bind(&sequences).bind(&starts).execute(&mut **tx).await?;
    Ok(())
}
