//! From what the databases say to what the caller can do about it.
//!
//! Comes in: errors of sqlx. Goes out: an [`IndexError`] with its kind. Never: an address with its password.

use super::{IndexError, IndexErrorKind, Result};
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Longest time any operation may take, waiting for a connection included.
pub(super) const OPERATION_TIMEOUT: Duration = Duration::from_secs(15);

/// Longest time a ping may take.
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// An error without a cause.
pub(super) fn error(kind: IndexErrorKind, message: impl Into<String>) -> IndexError {
    IndexError { kind, message: message.into(), cause: None }
}

/// A row that says what cannot be.
pub(super) fn damaged(what: impl std::fmt::Display) -> IndexError {
    error(IndexErrorKind::Damaged, format!("damaged row: {what}"))
}

/// For `map_err`: an error of sqlx while `doing` something.
pub(super) fn during(doing: &'static str) -> impl Fn(sqlx::Error) -> IndexError {
    move |cause| {
        let kind = kind_of(&cause);
        if let sqlx::Error::Configuration(_) = cause {
            // The cause might quote the address, and the address may hold a password.
            return error(kind, format!("{doing}: the configuration of the index is not usable"));
        }
        IndexError { kind, message: format!("{doing}: {cause}"), cause: Some(Arc::new(cause)) }
    }
}

/// Runs `work` for `limit` at most.
pub(super) async fn within<T>(
    limit: Duration,
    doing: &'static str,
    work: impl Future<Output = Result<T>> + Send,
) -> Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(error(
            IndexErrorKind::Unavailable,
            format!("{doing}: no answer from the index within {} s", limit.as_secs()),
        )),
    }
}

/// What a failed migration means.
pub(super) fn of_migration(cause: MigrateError) -> IndexError {
    match cause {
        MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => during("migrating the index")(cause),
        cause => IndexError {
            kind: IndexErrorKind::Schema,
            message: format!("migrating the index: {cause}"),
            cause: Some(Arc::new(cause)),
        },
    }
}

/// Compares the schema's version with the program's. A newer one is taken: migrations only ever add.
pub(super) fn check_version(found: Option<i64>, needed: i64) -> Result<()> {
    match found {
        Some(version) if version >= needed => Ok(()),
        found => Err(error(
            IndexErrorKind::Schema,
            format!(
                "the schema of the index has version {}, this program needs {needed}: run `evertape migrate`",
                found.unwrap_or(0)
            ),
        )),
    }
}

fn kind_of(cause: &sqlx::Error) -> IndexErrorKind {
    match cause {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => IndexErrorKind::Unavailable,
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => IndexErrorKind::Damaged,
        sqlx::Error::Database(database) => {
            if let Some(postgres) = database.try_downcast_ref::<PgDatabaseError>() {
                kind_of_sqlstate(postgres.code())
            } else if database.try_downcast_ref::<SqliteError>().is_some() {
                let code = database.code().and_then(|c| c.parse().ok()).unwrap_or(0);
                kind_of_sqlite(code, database.message())
            } else {
                IndexErrorKind::Other
            }
        }
        _ => IndexErrorKind::Other,
    }
}

/// PostgreSQL, appendix A: error codes.
fn kind_of_sqlstate(code: &str) -> IndexErrorKind {
    match code {
        // Undefined table, column, schema.
        "42P01" | "42703" | "3F000" => IndexErrorKind::Schema,
        // Data or index corrupted.
        "XX001" | "XX002" => IndexErrorKind::Damaged,
        // Query cancelled (a timeout), lock not available, serialization, deadlock, idle in transaction,
        // read-only transaction (the server is a standby just now).
        "57014" | "55P03" | "40001" | "40P01" | "25P03" | "25006" => IndexErrorKind::Unavailable,
        // Connection exceptions, insufficient resources, shutting down or starting up, system error.
        _ if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => IndexErrorKind::Unavailable,
        _ => IndexErrorKind::Other,
    }
}

/// SQLite, "Result and Error Codes": the low byte is the primary code.
fn kind_of_sqlite(code: i32, message: &str) -> IndexErrorKind {
    const ERROR: i32 = 1;
    const BUSY: i32 = 5;
    const LOCKED: i32 = 6;
    const IOERR: i32 = 10;
    const CORRUPT: i32 = 11;
    const FULL: i32 = 13;
    const CANTOPEN: i32 = 14;
    const PROTOCOL: i32 = 15;
    const NOTADB: i32 = 26;
    match code & 0xff {
        ERROR if message.starts_with("no such table") || message.contains("no such column") => IndexErrorKind::Schema,
        ERROR if message.contains("has no column named") => IndexErrorKind::Schema,
        BUSY | LOCKED | IOERR | FULL | CANTOPEN | PROTOCOL => IndexErrorKind::Unavailable,
        CORRUPT | NOTADB => IndexErrorKind::Damaged,
        _ => IndexErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_what_the_caller_can_do() {
        for (code, kind) in [
            ("42P01", IndexErrorKind::Schema),
            ("57P03", IndexErrorKind::Unavailable),
            ("53300", IndexErrorKind::Unavailable),
            ("57014", IndexErrorKind::Unavailable),
            ("08006", IndexErrorKind::Unavailable),
            ("XX001", IndexErrorKind::Damaged),
            ("28P01", IndexErrorKind::Other),
        ] {
            assert_eq!(kind_of_sqlstate(code), kind, "{code}");
        }
        for (code, message, kind) in [
            (1, "no such table: segments", IndexErrorKind::Schema),
            (1, "near \"x\": syntax error", IndexErrorKind::Other),
            (5, "database is locked", IndexErrorKind::Unavailable),
            (517, "database is locked", IndexErrorKind::Unavailable),
            (11, "database disk image is malformed", IndexErrorKind::Damaged),
        ] {
            assert_eq!(kind_of_sqlite(code, message), kind, "{code}");
        }
    }

    #[test]
    fn a_password_in_the_configuration_stays_there() {
        let cause = sqlx::Error::Configuration("postgres://u:hunter2@h/d".into());
        let said = during("connecting")(cause);
        assert!(!format!("{said:?} {said}").contains("hunter2"));
    }
}
