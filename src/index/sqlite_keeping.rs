//! Retention, repair and reindexing in SQLite.
//!
//! Comes in: calls of the port. Goes out: statements; every write is one transaction that begins by locking the file.
//! Never: a lease.

use super::error::{OPERATION_TIMEOUT, during, within};
use super::keeping::{Adoption, AppliedRetention, HOUR_US, adoptable, boundary_hour, first_that_does_not_fit};
use super::row::{self, LockColumns, RowColumns, bound, from_sql, limit as rows_limit, to_sql};
use super::sqlite::{BY_SEQUENCE, SqliteIndex, insert_row, look_for_extent, stream_row, write_stream};
use super::stream_row::Existing;
use super::{Adopted, Amount, Keeping, Result, Row, sql};
use crate::media::lock::{Lock, LockId, unlocked_spans};
use crate::media::segment::{SegmentId, SegmentWithTables};
use crate::media::track::InitInfo;
use crate::media::{StreamName, UtcRange, UtcUs};
use sqlx::SqliteConnection;
use std::collections::BTreeMap;
use std::time::Duration;

/// Longest time for reading the whole file.
const INTEGRITY_TIMEOUT: Duration = Duration::from_secs(3600);

/// Marks of one transaction.
const MARK_BATCH: usize = 500;

#[async_trait::async_trait]
impl Keeping for SqliteIndex {
    async fn adopt(&self, stream: &StreamName, segments: &[SegmentWithTables], inits: &[InitInfo]) -> Result<Adopted> {
        let rows = adoptable(stream, segments)?;
        let inits = row::init_columns(inits)?;
        let highest_epoch = segments.iter().map(|s| s.segment.id.epoch).max().unwrap_or(0);
        within(OPERATION_TIMEOUT, "adopting segments", async {
            let failed = during("adopting segments");
            let mut tx = self.write("adopting segments").await?;
            sqlx::query(sql::REGISTER).bind(stream.as_str()).execute(&mut *tx).await.map_err(&failed)?;
            let mut state = stream_row(&mut tx, stream).await?.unwrap_or_default();
            let mut existing = BTreeMap::new();
            for row in rows.iter().filter(|r| r.sequence < bound(state.tail.next_sequence)) {
                let find = sqlx::query_as(BY_SEQUENCE).bind(stream.as_str()).bind(row.sequence);
                let found = find.fetch_optional(&mut *tx).await.map_err(&failed)?.map(Existing::of).transpose()?;
                existing.extend(found.map(|e| (row.sequence as u64, e)));
            }
            let adoption = Adoption::of(segments, &state, &existing)?;
            for (start, sequence) in &adoption.replace {
                for statement in [sql::DELETE_SEGMENT, sql::DELETE_TABLES] {
                    let delete = sqlx::query(statement).bind(stream.as_str()).bind(start.0).bind(bound(*sequence));
                    delete.execute(&mut *tx).await.map_err(&failed)?;
                }
            }
            for (hash, params) in &inits {
                let insert = sqlx::query(sql::INSERT_INIT).bind(stream.as_str()).bind(hash).bind(params);
                insert.execute(&mut *tx).await.map_err(&failed)?;
            }
            for (segment, row) in adoption.write.iter().filter_map(|n| segments.get(*n).zip(rows.get(*n))) {
                insert_row(&mut tx, &segment.segment, row).await?;
                state = state.published(&segment.segment);
            }
            if !adoption.replace.is_empty()
                && let Some(bounds) = state.extent
            {
                state = state.with_extent(look_for_extent(&mut tx, stream.as_str(), bounds, false).await?);
            }
            write_stream(&mut tx, stream.as_str(), &state).await?;
            let raise = sqlx::query(sql::RAISE_EPOCH).bind(stream.as_str()).bind(to_sql(highest_epoch, "epoch")?);
            raise.execute(&mut *tx).await.map_err(&failed)?;
            tx.commit().await.map_err(&failed)?;
            Ok(adoption.adopted)
        })
        .await
    }

    async fn withdraw(&self, stream: &StreamName, segments: &[SegmentId]) -> Result<u64> {
        within(OPERATION_TIMEOUT, "taking rows back", async {
            let failed = during("taking rows back");
            let mut tx = self.write("taking rows back").await?;
            let Some(mut state) = stream_row(&mut tx, stream).await? else { return Ok(0) };
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
            let rows: Vec<RowColumns> = sqlx::query_as(sql::ROWS)
                .bind(stream.as_str())
                .bind(window.start.0.max(after.0))
                .bind(window.end.0)
                .bind(after.0)
                .bind(after.1)
                .bind(rows_limit(limit))
                .fetch_all(&self.readers)
                .await
                .map_err(during("reading rows"))?;
            row::rows(stream, rows)
        })
        .await
    }

    async fn row(&self, stream: &StreamName, sequence: u64) -> Result<Option<Row>> {
        within(OPERATION_TIMEOUT, "reading a row", async {
            let ask =
                sqlx::query_as(sql::ROW).bind(stream.as_str()).bind(bound(sequence)).bind(i64::MIN).bind(i64::MAX);
            let found: Option<RowColumns> = ask.fetch_optional(&self.readers).await.map_err(during("reading a row"))?;
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
            let add = sqlx::query(sql::ADD_LOCK)
                .bind(lock.stream.as_str())
                .bind(lock.id.0.to_be_bytes().to_vec())
                .bind(lock.range.start.0)
                .bind(lock.range.end.0)
                .bind(&lock.title)
                .bind(lock.created.0)
                .bind(lock.expires.map(|at| at.0));
            add.execute(&self.writer).await.map(|_| ()).map_err(during("writing a lock"))
        })
        .await
    }

    async fn locks(&self, stream: &StreamName, window: UtcRange) -> Result<Vec<Lock>> {
        within(OPERATION_TIMEOUT, "reading locks", async {
            let ask = sqlx::query_as(sql::LOCKS).bind(stream.as_str()).bind(window.start.0).bind(window.end.0);
            let rows: Vec<LockColumns> = ask.fetch_all(&self.readers).await.map_err(during("reading locks"))?;
            row::locks(stream, rows)
        })
        .await
    }

    async fn remove_lock(&self, stream: &StreamName, id: LockId) -> Result<bool> {
        within(OPERATION_TIMEOUT, "removing a lock", async {
            let remove = sqlx::query(sql::REMOVE_LOCK).bind(stream.as_str()).bind(id.0.to_be_bytes().to_vec());
            let done = remove.execute(&self.writer).await.map_err(during("removing a lock"))?;
            Ok(done.rows_affected() > 0)
        })
        .await
    }

    async fn forget_locks(&self, expired_before: UtcUs) -> Result<u64> {
        within(OPERATION_TIMEOUT, "forgetting locks", async {
            let forget = sqlx::query(sql::FORGET_LOCKS).bind(expired_before.0).execute(&self.writer).await;
            Ok(forget.map_err(during("forgetting locks"))?.rows_affected())
        })
        .await
    }

    async fn stored_bytes(&self, stream: &StreamName) -> Result<u64> {
        within(OPERATION_TIMEOUT, "reading sizes", async {
            let ask = sqlx::query_scalar(sql::STORED_BYTES).bind(stream.as_str()).fetch_one(&self.readers).await;
            from_sql(ask.map_err(during("reading sizes"))?, "bytes")
        })
        .await
    }

    async fn all_stored_bytes(&self) -> Result<Vec<(StreamName, u64)>> {
        within(OPERATION_TIMEOUT, "reading sizes", async {
            let ask = sqlx::query_as(sql::ALL_STORED_BYTES).fetch_all(&self.readers).await;
            row::stream_bytes(ask.map_err(during("reading sizes"))?)
        })
        .await
    }

    async fn hour_bytes(&self, stream: &StreamName, window: UtcRange) -> Result<Vec<(UtcUs, u64)>> {
        within(OPERATION_TIMEOUT, "reading sizes", async {
            let ask = sqlx::query_as(sql::HOURS_WITHIN).bind(stream.as_str()).bind(window.start.0).bind(window.end.0);
            row::hour_bytes(ask.fetch_all(&self.readers).await.map_err(during("reading sizes"))?)
        })
        .await
    }

    async fn bytes_cutoff(&self, stream: Option<&StreamName>, keep_bytes: u64) -> Result<Option<UtcUs>> {
        within(OPERATION_TIMEOUT, "reading sizes", async {
            let failed = during("reading sizes");
            let hours = match stream {
                Some(stream) => sqlx::query_as(sql::HOURS).bind(stream.as_str()).fetch_all(&self.readers).await,
                None => sqlx::query_as(sql::ALL_HOURS).fetch_all(&self.readers).await,
            };
            let Some((hour, left)) = boundary_hour(&hours.map_err(&failed)?, keep_bytes) else { return Ok(None) };
            let end = hour.saturating_add(HOUR_US);
            let sizes = match stream {
                Some(stream) => sqlx::query_as(sql::SIZES).bind(stream.as_str()).bind(hour).bind(end),
                None => sqlx::query_as(sql::ALL_SIZES).bind(hour).bind(end),
            };
            let sizes = sizes.fetch_all(&self.readers).await.map_err(&failed)?;
            // Meanwhile marked: then what was left over fits.
            Ok(first_that_does_not_fit(&sizes, left).or(Some(UtcUs(hour))))
        })
        .await
    }

    async fn expired(&self, stream: &StreamName, cutoff: UtcUs, now: UtcUs) -> Result<Amount> {
        within(OPERATION_TIMEOUT, "counting what has expired", async {
            let failed = during("counting what has expired");
            let mut conn = self.readers.acquire().await.map_err(&failed)?;
            let mut amount = Amount::default();
            let Some(extent) = stream_row(&mut conn, stream).await?.and_then(|s| s.extent) else { return Ok(amount) };
            for span in self::spans(&mut conn, stream, extent.first_start, cutoff, now).await? {
                let ask = sqlx::query_as(sql::EXPIRED).bind(stream.as_str()).bind(span.start.0).bind(span.end.0);
                let (segments, bytes): (i64, i64) = ask.fetch_one(&mut *conn).await.map_err(&failed)?;
                amount.segments += from_sql(segments, "count")?;
                amount.bytes += from_sql(bytes, "bytes")?;
            }
            Ok(amount)
        })
        .await
    }

    async fn applied_retention(&self, stream: &StreamName) -> Result<Option<AppliedRetention>> {
        within(OPERATION_TIMEOUT, "reading the retention applied last", async {
            let ask = sqlx::query_as(sql::APPLIED_RETENTION).bind(stream.as_str()).fetch_optional(&self.readers).await;
            let row: Option<(String, i64)> = ask.map_err(during("reading the retention applied last"))?;
            Ok(row.map(|(setting, cutoff)| AppliedRetention { setting, cutoff: UtcUs(cutoff) }))
        })
        .await
    }

    async fn set_applied_retention(&self, stream: &StreamName, applied: &AppliedRetention) -> Result<()> {
        within(OPERATION_TIMEOUT, "writing the retention applied", async {
            let set = sqlx::query(sql::SET_APPLIED_RETENTION)
                .bind(stream.as_str())
                .bind(&applied.setting)
                .bind(applied.cutoff.0);
            set.execute(&self.writer).await.map(|_| ()).map_err(during("writing the retention applied"))
        })
        .await
    }

    async fn integrity(&self) -> Result<Vec<String>> {
        within(INTEGRITY_TIMEOUT, "checking the file of the index", async {
            let found = sqlx::query_scalar("pragma integrity_check(20)").fetch_all(&self.readers).await;
            let found: Vec<String> = found.map_err(during("checking the file of the index"))?;
            Ok(found.into_iter().filter(|line| line != "ok").collect())
        })
        .await
    }

    async fn deletable_spans(&self, _marked_before: UtcUs, _limit: usize) -> Result<Vec<UtcRange>> {
        Ok(Vec::new())
    }

    async fn delete_span(&self, _span: UtcRange, _marked_before: UtcUs, _segments: u64) -> Result<bool> {
        Ok(false)
    }
}

impl SqliteIndex {
    async fn mark_batch(&self, stream: &StreamName, ids: &[&SegmentId], now: UtcUs) -> Result<u64> {
        let failed = during("marking segments");
        let mut tx = self.write("marking segments").await?;
        let Some(state) = stream_row(&mut tx, stream).await? else { return Ok(0) };
        let mut marked = 0;
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
        tx.commit().await.map_err(&failed)?;
        Ok(marked)
    }
}

/// The spans between `first` and `cutoff` that no lock that holds at `now` reaches into.
pub(super) async fn spans(
    conn: &mut SqliteConnection,
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
