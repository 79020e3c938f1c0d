//! Settings and reports in PostgreSQL.
//!
//! Comes in: calls of the port. Goes out: statements; every change is one transaction. Never: a lease.

use super::Result;
use super::control::{
    self, Changed, Control, Expected, KeptReport, KeptSetting, Removed, RemovedColumns, ReportColumns, SettingColumns,
    StreamReport, StreamSetting,
};
use super::error::{OPERATION_TIMEOUT, during, within};
use super::postgres::PostgresIndex;
use super::row::{from_sql, limit as rows_limit};
use crate::media::{StreamName, UtcUs};
use sqlx::{Connection, PgConnection};

#[async_trait::async_trait]
impl Control for PostgresIndex {
    async fn settings_revision(&self) -> Result<u64> {
        within(OPERATION_TIMEOUT, "asking for the revision of the settings", async {
            let mut conn = self.connection().await?;
            let revision: i64 = sqlx::query_scalar(control::REVISION)
                .fetch_one(&mut *conn)
                .await
                .map_err(during("asking for the revision of the settings"))?;
            conn.finish();
            from_sql(revision, "revision")
        })
        .await
    }

    async fn settings(&self) -> Result<Vec<KeptSetting>> {
        within(OPERATION_TIMEOUT, "reading settings", async {
            let mut conn = self.connection().await?;
            let ask = sqlx::query_as(control::SETTINGS).bind(rows_limit(control::MOST_SETTINGS));
            let rows: Vec<SettingColumns> = ask.fetch_all(&mut *conn).await.map_err(during("reading settings"))?;
            conn.finish();
            rows.into_iter().map(control::kept_setting).collect()
        })
        .await
    }

    async fn setting(&self, stream: &StreamName) -> Result<Option<KeptSetting>> {
        within(OPERATION_TIMEOUT, "reading a setting", async {
            let mut conn = self.connection().await?;
            let ask = sqlx::query_as(control::SETTING).bind(stream.as_str());
            let row: Option<SettingColumns> =
                ask.fetch_optional(&mut *conn).await.map_err(during("reading a setting"))?;
            conn.finish();
            row.map(control::kept_setting).transpose()
        })
        .await
    }

    async fn put_setting(
        &self,
        stream: &StreamName,
        setting: &StreamSetting,
        expected: Expected,
        now: UtcUs,
    ) -> Result<Changed> {
        let text = control::json(setting)?;
        within(OPERATION_TIMEOUT, "changing a setting", async {
            let failed = during("changing a setting");
            let mut conn = self.connection().await?;
            let mut tx = conn.begin().await.map_err(&failed)?;
            let (version, found) = next_version(&mut tx, stream).await?;
            if let Some(refused) = control::refusal(expected, found) {
                tx.rollback().await.map_err(&failed)?;
                conn.finish();
                return Ok(refused);
            }
            let put = sqlx::query(control::PUT_SETTING).bind(stream.as_str()).bind(version).bind(now.0).bind(text);
            put.execute(&mut *tx).await.map_err(&failed)?;
            tx.commit().await.map_err(&failed)?;
            conn.finish();
            Ok(Changed::Done(from_sql(version, "version")?))
        })
        .await
    }

    async fn remove_setting(&self, stream: &StreamName, expected: Expected, now: UtcUs) -> Result<Changed> {
        within(OPERATION_TIMEOUT, "deleting a setting", async {
            let failed = during("deleting a setting");
            let mut conn = self.connection().await?;
            let mut tx = conn.begin().await.map_err(&failed)?;
            let (version, found) = next_version(&mut tx, stream).await?;
            if let Some(refused) = control::refusal(expected, found) {
                tx.rollback().await.map_err(&failed)?;
                conn.finish();
                return Ok(refused);
            }
            let delete = sqlx::query(control::DELETE_SETTING).bind(stream.as_str());
            delete.execute(&mut *tx).await.map_err(&failed)?;
            let remember = sqlx::query(control::REMEMBER_REMOVED).bind(stream.as_str()).bind(now.0);
            remember.execute(&mut *tx).await.map_err(&failed)?;
            tx.commit().await.map_err(&failed)?;
            conn.finish();
            Ok(Changed::Done(from_sql(version, "version")?))
        })
        .await
    }

    async fn remove_archive(&self, stream: &StreamName, now: UtcUs) -> Result<Changed> {
        within(OPERATION_TIMEOUT, "deleting an archive", async {
            let failed = during("deleting an archive");
            let mut conn = self.connection().await?;
            let mut tx = conn.begin().await.map_err(&failed)?;
            let (version, found) = next_version(&mut tx, stream).await?;
            let ask = sqlx::query_scalar(control::IS_KNOWN).bind(stream.as_str());
            let known: Option<i32> = ask.fetch_optional(&mut *tx).await.map_err(&failed)?;
            let refused = control::refusal(Expected::Absent, found).or(known.is_none().then_some(Changed::Missing));
            if let Some(refused) = refused {
                tx.rollback().await.map_err(&failed)?;
                conn.finish();
                return Ok(refused);
            }
            let remember = sqlx::query(control::REMEMBER_REMOVED).bind(stream.as_str()).bind(now.0);
            remember.execute(&mut *tx).await.map_err(&failed)?;
            tx.commit().await.map_err(&failed)?;
            conn.finish();
            Ok(Changed::Done(from_sql(version, "version")?))
        })
        .await
    }

    async fn removed(&self) -> Result<Vec<Removed>> {
        within(OPERATION_TIMEOUT, "reading deletions", async {
            let mut conn = self.connection().await?;
            let ask = sqlx::query_as(control::REMOVED);
            let rows: Vec<RemovedColumns> = ask.fetch_all(&mut *conn).await.map_err(during("reading deletions"))?;
            conn.finish();
            rows.into_iter().map(control::kept_removed).collect()
        })
        .await
    }

    async fn forget_removed(&self, removed: &Removed) -> Result<()> {
        within(OPERATION_TIMEOUT, "forgetting a deletion", async {
            let failed = during("forgetting a deletion");
            let mut conn = self.connection().await?;
            let mut tx = conn.begin().await.map_err(&failed)?;
            let forget = sqlx::query(control::FORGET_REMOVED).bind(removed.stream.as_str()).bind(removed.at.0);
            forget.execute(&mut *tx).await.map_err(&failed)?;
            tx.commit().await.map_err(&failed)?;
            conn.finish();
            Ok(())
        })
        .await
    }

    async fn report(&self, recorder: &str, reports: &[StreamReport], now: UtcUs) -> Result<()> {
        let texts = reports.iter().map(control::json).collect::<Result<Vec<_>>>()?;
        within(OPERATION_TIMEOUT, "reporting", async {
            let failed = during("reporting");
            let mut conn = self.connection().await?;
            let mut tx = conn.begin().await.map_err(&failed)?;
            let clear = sqlx::query(control::CLEAR_REPORTS).bind(recorder).bind(control::forgotten(now));
            clear.execute(&mut *tx).await.map_err(&failed)?;
            for (report, text) in reports.iter().zip(texts) {
                let add = sqlx::query(control::ADD_REPORT).bind(recorder).bind(report.stream.as_str());
                add.bind(now.0).bind(text).execute(&mut *tx).await.map_err(&failed)?;
            }
            tx.commit().await.map_err(&failed)?;
            conn.finish();
            Ok(())
        })
        .await
    }

    async fn reports(&self) -> Result<Vec<KeptReport>> {
        within(OPERATION_TIMEOUT, "reading reports", async {
            let mut conn = self.connection().await?;
            let ask = sqlx::query_as(control::REPORTS);
            let rows: Vec<ReportColumns> = ask.fetch_all(&mut *conn).await.map_err(during("reading reports"))?;
            conn.finish();
            rows.into_iter().map(control::kept_report).collect()
        })
        .await
    }
}

/// The version that a change gets, and the one there is. Changes go one after the other from here on.
async fn next_version(conn: &mut PgConnection, stream: &StreamName) -> Result<(i64, Option<u64>)> {
    let failed = during("changing a setting");
    let next: i64 = sqlx::query_scalar(control::NEXT_REVISION).fetch_one(&mut *conn).await.map_err(&failed)?;
    let ask = sqlx::query_as(control::SETTING).bind(stream.as_str());
    let row: Option<SettingColumns> = ask.fetch_optional(conn).await.map_err(&failed)?;
    Ok((next, row.map(|row| from_sql(row.1, "version")).transpose()?))
}
