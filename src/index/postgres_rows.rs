//! Rows of PostgreSQL tables that several operations read and write, inside their connection or transaction.
//!
//! Comes in: a connection. Goes out: rows as the shared decisions take them. Never: begins or ends a transaction.

use super::error::during;
use super::partitions::day_end;
use super::row::{NewRow, bound, to_sql};
use super::stream_row::{Existing, StreamColumns, StreamRow};
use super::{Extent, Result, sql};
use crate::media::segment::{LONGEST_SEGMENT_US, SegmentId};
use crate::media::{StreamName, UtcUs};
use sqlx::{PgConnection, Postgres, Transaction};

/// How far ahead the first listed segment is looked for at first.
const FIRST_LOOK_AHEAD_US: i64 = 2 * 86_400_000_000;

const LOCK_STREAM: &str = "select lease_holder, lease_epoch, lease_expires_utc_us, next_sequence, \
    newest_discontinuity, newest_end_utc_us, first_start_utc_us, live_edge_utc_us, longest_us from streams \
    where stream = $1 for update";

/// stream, first sequence, sequence after the last → bounds of the days, in microseconds; null when none.
const DAYS: &str = "select min(day_utc_us), max(day_utc_us) from stream_days \
    where stream = $1 and first_sequence < $3 and last_sequence >= $2";

/// stream, sequence, not before, before → start, epoch, object.
const BY_SEQUENCE: &str = "select start_utc_us, epoch, object_key from segments \
    where stream = $1 and sequence = $2 and start_utc_us >= $3 and start_utc_us < $4";

/// stream, day, next day, starts, sequences, epochs, runs: marked ones, and only these very segments.
const DELETE_ROWS: &str = "with gone as (delete from segments s \
    using unnest($4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[]) as d (start, sequence, epoch, run) \
    where s.stream = $1 and s.start_utc_us >= $2 and s.start_utc_us < $3 and s.start_utc_us = d.start \
    and s.sequence = d.sequence and s.epoch = d.epoch and s.run = d.run and s.marked_utc_us is not null \
    returning s.start_utc_us, s.sequence) \
    delete from sample_tables t using gone where t.stream = $1 and t.start_utc_us >= $2 and t.start_utc_us < $3 \
    and t.start_utc_us = gone.start_utc_us and t.sequence = gone.sequence";

/// Deletes marked segments of one day, rows and sample tables.
pub(super) async fn delete_rows(conn: &mut PgConnection, stream: &str, day: i64, ids: &[&SegmentId]) -> Result<()> {
    sqlx::query(DELETE_ROWS)
        .bind(stream)
        .bind(day)
        .bind(day_end(day))
        .bind(ids.iter().map(|id| id.start.0).collect::<Vec<_>>())
        .bind(ids.iter().map(|id| bound(id.sequence)).collect::<Vec<_>>())
        .bind(ids.iter().map(|id| bound(id.epoch)).collect::<Vec<_>>())
        .bind(ids.iter().map(|id| id.run.0.to_be_bytes().to_vec()).collect::<Vec<_>>())
        .execute(conn)
        .await
        .map(|_| ())
        .map_err(during("deleting rows"))
}

/// The stream's row.
pub(super) async fn read_stream(conn: &mut PgConnection, stream: &StreamName) -> Result<Option<StreamRow>> {
    let columns: Option<StreamColumns> = sqlx::query_as(sql::STREAM)
        .bind(stream.as_str())
        .fetch_optional(conn)
        .await
        .map_err(during("reading a stream's row"))?;
    columns.map(StreamRow::of).transpose()
}

/// The stream's row, locked until the transaction ends: all writes to one stream queue here.
pub(super) async fn lock_stream(tx: &mut Transaction<'_, Postgres>, stream: &StreamName) -> Result<Option<StreamRow>> {
    let columns: Option<StreamColumns> = sqlx::query_as(LOCK_STREAM)
        .bind(stream.as_str())
        .fetch_optional(&mut **tx)
        .await
        .map_err(during("locking a stream's row"))?;
    columns.map(StreamRow::of).transpose()
}

/// Writes tail and extent.
pub(super) async fn write_stream(tx: &mut Transaction<'_, Postgres>, stream: &str, state: &StreamRow) -> Result<()> {
    sqlx::query(sql::WRITE_STREAM)
        .bind(stream)
        .bind(to_sql(state.tail.next_sequence, "next sequence")?)
        .bind(to_sql(state.tail.discontinuity, "discontinuity")?)
        .bind(state.tail.end.map(|t| t.0))
        .bind(state.extent.map(|e| e.first_start.0))
        .bind(state.extent.map(|e| e.live_edge.0))
        .bind(state.longest_us)
        .execute(&mut **tx)
        .await
        .map(|_| ())
        .map_err(during("writing a stream's row"))
}

/// Bounds of the days on which numbers from `from` to before `to` were published.
pub(super) async fn days(conn: &mut PgConnection, stream: &str, from: i64, to: i64) -> Result<Option<(i64, i64)>> {
    let bounds: (Option<i64>, Option<i64>) = sqlx::query_as(DAYS)
        .bind(stream)
        .bind(from)
        .bind(to)
        .fetch_one(conn)
        .await
        .map_err(during("looking for a sequence"))?;
    Ok(bounds.0.zip(bounds.1).map(|(first, last)| (first, day_end(last))))
}

/// The row that has the sequence of `new`, wherever it is.
pub(super) async fn find(tx: &mut Transaction<'_, Postgres>, stream: &str, new: &NewRow) -> Result<Option<Existing>> {
    let Some((first, last)) = days(tx, stream, new.sequence, new.sequence.saturating_add(1)).await? else {
        return Ok(None);
    };
    let found = sqlx::query_as(BY_SEQUENCE)
        .bind(stream)
        .bind(new.sequence)
        .bind(first)
        .bind(last)
        .fetch_optional(&mut **tx)
        .await
        .map_err(during("looking for a sequence"))?;
    found.map(Existing::of).transpose()
}

/// The extent of the listed segments, none of which lies outside `bounds`. `edge_stays`: the live edge is known
/// to be that of `bounds`.
pub(super) async fn look_for_extent(
    tx: &mut Transaction<'_, Postgres>,
    stream: &str,
    bounds: Extent,
    edge_stays: bool,
) -> Result<Option<Extent>> {
    let (low, high) = (bounds.first_start.0, bounds.live_edge.0);
    let mut step_us = FIRST_LOOK_AHEAD_US;
    // Step by step: a statement over all days would plan for hundreds of partitions.
    let first = loop {
        let end = low.saturating_add(step_us).min(high);
        match moment(tx, sql::FIRST_START, stream, low, end).await? {
            Some(first) => break first,
            None if end == high => return Ok(None),
            None => step_us = step_us.saturating_mul(8),
        }
    };
    if edge_stays {
        return Ok(Some(Extent { first_start: UtcUs(first), ..bounds }));
    }
    let last = moment(tx, sql::LAST_START, stream, first, high).await?.unwrap_or(first);
    // Whatever ends last starts less than a segment's length before the last start.
    let edge = moment(tx, sql::LAST_END, stream, last.saturating_sub(LONGEST_SEGMENT_US), high).await?;
    Ok(edge.map(|edge| Extent { first_start: UtcUs(first), live_edge: UtcUs(edge), ..bounds }))
}

async fn moment(
    tx: &mut Transaction<'_, Postgres>,
    statement: &'static str,
    stream: &str,
    not_before: i64,
    before: i64,
) -> Result<Option<i64>> {
    let ask = sqlx::query_scalar(statement).bind(stream).bind(not_before).bind(before);
    let found: Option<Option<i64>> =
        ask.fetch_optional(&mut **tx).await.map_err(during("looking for the extent of a stream"))?;
    Ok(found.flatten())
}
