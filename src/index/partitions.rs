//! Partitions of PostgreSQL tables, one for each UTC day: made when first needed, dropped when empty and old.
//!
//! Comes in: days. Goes out: tables. Never: touches a row. Names are built from numbers only.

use super::Result;
use super::error::during;
use crate::media::UtcUs;
use crate::media::segment::civil_hour;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Postgres, Transaction};
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Microseconds of a UTC day.
const DAY_US: i64 = 86_400_000_000;

/// Partitioned tables. Locks are taken in this order.
const TABLES: [&str; 2] = ["segments", "sample_tables"];

/// Key of the advisory lock under which partitions are made and dropped (a constant of our own choosing).
const LOCK_KEY: i64 = 0x6576_6572_7461_7065;

/// Days remembered as present; beyond that, memory is emptied and filled again.
const MOST_KNOWN: usize = 4096;

/// Time between two looks for partitions to drop.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);

/// Most partitions dropped at once.
const MOST_DROPPED: usize = 16;

/// Days that stay after the newest segment's, empty or not: somebody may be about to write there.
const KEPT_DAYS: i64 = 2;

/// First moment of the UTC day of `start`, in microseconds.
pub(super) fn day_of(start_utc_us: i64) -> i64 {
    start_utc_us.div_euclid(DAY_US).saturating_mul(DAY_US)
}

/// First moment after the UTC day that begins at `day_utc_us`.
pub(super) fn day_end(day_utc_us: i64) -> i64 {
    day_utc_us.saturating_add(DAY_US)
}

/// What this process knows of the partitions.
#[derive(Default)]
pub(super) struct Partitions {
    known: Mutex<BTreeSet<i64>>,
    swept: Mutex<Option<Instant>>,
}

impl Partitions {
    /// Makes sure that the day of `start_utc_us` has its partitions.
    pub async fn ensure(&self, conn: &mut PgConnection, start_utc_us: i64) -> Result<()> {
        let day = day_of(start_utc_us);
        if locked(&self.known).contains(&day) {
            return Ok(());
        }
        let failed = during("making a partition");
        let mut tx = conn.begin().await.map_err(&failed)?;
        lock_others_out(&mut tx).await?;
        for table in TABLES {
            let Some(name) = partition_name(table, day) else { continue };
            let exists: bool = sqlx::query_scalar("select to_regclass($1) is not null")
                .bind(&name)
                .fetch_one(&mut *tx)
                .await
                .map_err(&failed)?;
            if !exists {
                // Attaching, other than `create table ... partition of`, lets readers and writers go on.
                let end = day_end(day);
                let ddl = format!(
                    "create table {name} (like {table} including defaults including constraints including storage); \
                     alter table {table} attach partition {name} for values from ({day}) to ({end})"
                );
                sqlx::raw_sql(AssertSqlSafe(ddl)).execute(&mut *tx).await.map_err(&failed)?;
            }
        }
        tx.commit().await.map_err(&failed)?;
        let mut known = locked(&self.known);
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(day);
        Ok(())
    }

    /// Forgets a day: another process has dropped its partitions.
    pub fn forget(&self, start_utc_us: i64) {
        locked(&self.known).remove(&day_of(start_utc_us));
    }

    /// Whether it is time to look for partitions to drop; says so to one caller only.
    pub fn sweep_is_due(&self) -> bool {
        let mut swept = locked(&self.swept);
        if swept.is_some_and(|at| at.elapsed() < SWEEP_INTERVAL) {
            return false;
        }
        *swept = Some(Instant::now());
        true
    }

    /// Days, oldest first, at most `limit`, whose segments were all marked before `marked_before`; not the days that
    /// somebody may still write to.
    pub async fn expired(&self, conn: &mut PgConnection, marked_before: UtcUs, limit: usize) -> Result<Vec<i64>> {
        let mut expired = Vec::new();
        for day in self.old_days(conn).await? {
            if expired.len() >= limit {
                break;
            }
            let (left, segments) = left_and_all(conn, day, marked_before).await?;
            if !left && segments > 0 {
                expired.push(day);
            }
        }
        Ok(expired)
    }

    /// Drops a day's partitions if they hold exactly `segments` segments, all marked before `marked_before`, once
    /// nobody else can write.
    pub async fn drop_expired(
        &self,
        conn: &mut PgConnection,
        day: i64,
        marked_before: UtcUs,
        segments: u64,
    ) -> Result<bool> {
        let failed = during("dropping an expired day");
        if !self.old_days(conn).await?.contains(&day) {
            return Ok(false);
        }
        let mut tx = conn.begin().await.map_err(&failed)?;
        lock_for_dropping(&mut tx).await?;
        let (left, found) = left_and_all(&mut tx, day, marked_before).await?;
        if left || u64::try_from(found) != Ok(segments) {
            tx.rollback().await.map_err(&failed)?;
            return Ok(false);
        }
        drop_tables(&mut tx, day).await?;
        tx.commit().await.map_err(&failed)?;
        self.forget(day);
        Ok(true)
    }

    /// Drops up to 16 partitions that are empty and older than what any stream writes now, oldest first.
    /// Returns how many.
    pub async fn sweep(&self, conn: &mut PgConnection) -> Result<usize> {
        let mut dropped = 0;
        for day in self.old_days(conn).await? {
            if dropped == MOST_DROPPED {
                break;
            }
            if !is_empty(conn, day).await? {
                continue;
            }
            dropped += usize::from(self.drop_day(conn, day).await?);
        }
        Ok(dropped)
    }

    /// Days that have partitions and are older than what any stream writes now, oldest first.
    async fn old_days(&self, conn: &mut PgConnection) -> Result<Vec<i64>> {
        let failed = during("looking for old partitions");
        let newest: Option<i64> = sqlx::query_scalar("select max(newest_end_utc_us) from streams")
            .fetch_one(&mut *conn)
            .await
            .map_err(&failed)?;
        let Some(newest) = newest else { return Ok(Vec::new()) };
        let keep_from = day_of(newest).saturating_sub(KEPT_DAYS * DAY_US);
        let Some(keep_name) = partition_name("segments", keep_from) else { return Ok(Vec::new()) };
        // Names of one length: their order is that of the days.
        let names: Vec<String> = sqlx::query_scalar(
            "select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid \
             where i.inhparent = 'segments'::regclass and c.relname::text collate \"C\" < $1 order by 1",
        )
        .bind(keep_name)
        .fetch_all(&mut *conn)
        .await
        .map_err(&failed)?;
        Ok(names.iter().filter_map(|name| day_of_name(name)).collect())
    }

    /// Drops a day's partitions if they are still empty once nobody else can write. Gives up at once when
    /// somebody is busy there.
    async fn drop_day(&self, conn: &mut PgConnection, day: i64) -> Result<bool> {
        let failed = during("dropping an empty partition");
        let mut tx = conn.begin().await.map_err(&failed)?;
        lock_for_dropping(&mut tx).await?;
        if !is_empty(&mut tx, day).await? {
            return Ok(false);
        }
        drop_tables(&mut tx, day).await?;
        tx.commit().await.map_err(&failed)?;
        self.forget(day);
        Ok(true)
    }
}

/// Keeps everybody else away from the partitions. Gives up at once when somebody is busy there.
async fn lock_for_dropping(tx: &mut Transaction<'_, Postgres>) -> Result<()> {
    lock_others_out(tx).await?;
    sqlx::raw_sql(
        "set local lock_timeout = '200ms'; \
         lock table only segments, only sample_tables in access exclusive mode",
    )
    .execute(&mut **tx)
    .await
    .map(|_| ())
    .map_err(during("dropping a partition"))
}

async fn drop_tables(tx: &mut Transaction<'_, Postgres>, day: i64) -> Result<()> {
    let failed = during("dropping a partition");
    for table in TABLES {
        if let Some(name) = partition_name(table, day) {
            let ddl = AssertSqlSafe(format!("drop table if exists {name}"));
            sqlx::raw_sql(ddl).execute(&mut **tx).await.map_err(&failed)?;
        }
    }
    let forget = sqlx::query("delete from stream_days where day_utc_us = $1").bind(day);
    forget.execute(&mut **tx).await.map(|_| ()).map_err(&failed)
}

/// Whether a day holds segments that were not marked before `marked_before`; if not, how many it holds.
async fn left_and_all(conn: &mut PgConnection, day: i64, marked_before: UtcUs) -> Result<(bool, i64)> {
    let failed = during("looking for expired days");
    let left: bool = sqlx::query_scalar(
        "select exists (select from segments where start_utc_us >= $1 and start_utc_us < $2 \
         and (marked_utc_us is null or marked_utc_us >= $3))",
    )
    .bind(day)
    .bind(day_end(day))
    .bind(marked_before.0)
    .fetch_one(&mut *conn)
    .await
    .map_err(&failed)?;
    if left {
        return Ok((true, 0));
    }
    let count = sqlx::query_scalar("select count(*) from segments where start_utc_us >= $1 and start_utc_us < $2")
        .bind(day)
        .bind(day_end(day))
        .fetch_one(conn)
        .await
        .map_err(&failed)?;
    Ok((false, count))
}

async fn is_empty(conn: &mut PgConnection, day: i64) -> Result<bool> {
    sqlx::query_scalar(
        "select not exists (select from segments where start_utc_us >= $1 and start_utc_us < $2) \
         and not exists (select from sample_tables where start_utc_us >= $1 and start_utc_us < $2)",
    )
    .bind(day)
    .bind(day_end(day))
    .fetch_one(conn)
    .await
    .map_err(during("looking for empty partitions"))
}

async fn lock_others_out(tx: &mut Transaction<'_, Postgres>) -> Result<()> {
    sqlx::query("select pg_advisory_xact_lock($1)")
        .bind(LOCK_KEY)
        .execute(&mut **tx)
        .await
        .map(|_| ())
        .map_err(during("waiting for the lock on partitions"))
}

/// `{table}_{YYYYMMDD}`; `None` outside the years 1970 to 9999, where nothing is stored.
fn partition_name(table: &str, day_utc_us: i64) -> Option<String> {
    let (year, month, day, _) = civil_hour(UtcUs(day_utc_us))?;
    Some(format!("{table}_{year:04}{month:02}{day:02}"))
}

/// The day of a partition of `segments`.
fn day_of_name(name: &str) -> Option<i64> {
    let date = name.strip_prefix("segments_").filter(|d| d.len() == 8 && d.bytes().all(|b| b.is_ascii_digit()))?;
    let date = jiff::civil::Date::new(date[..4].parse().ok()?, date[4..6].parse().ok()?, date[6..].parse().ok()?);
    let midnight = date.ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(midnight.timestamp().as_microsecond())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for start in [0, 1_700_000_000_000_000, 250_000_000_000_000_000] {
            let name = partition_name("segments", day_of(start)).unwrap();
            assert_eq!(day_of_name(&name), Some(day_of(start)), "{name}");
        }
        for bad in ["segments", "segments_2024010", "segments_20241301", "sample_tables_20240101", "segments_２0240101"]
        {
            assert_eq!(day_of_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn days_are_half_open() {
        assert_eq!(day_of(DAY_US - 1), 0);
        assert_eq!(day_of(DAY_US), DAY_US);
        assert_eq!(day_of(-1), -DAY_US);
    }
}
