//! What concerns one index, the schema, or the fault injector itself.

use crate::bed::{Bed, DAY, at, inits, range, segment, stream};
use evertape::index::faults::{Fault, FaultyIndex};
use evertape::index::{Index, IndexErrorKind, Published, open};
use sqlx::Connection;
use std::sync::Arc;
use std::time::{Duration, Instant};

async fn the_schema_is_checked_and_migrated_by_several_at_once(bed: Bed) {
    assert_eq!(bed.index.ping().await.unwrap_err().kind, IndexErrorKind::Schema);
    let error = bed.index.tail(&stream("one")).await.unwrap_err();
    assert_eq!(error.kind, IndexErrorKind::Schema, "{error}");
    let mut others = Vec::new();
    for _ in 0..4 {
        let index = bed.another().await;
        others.push(tokio::spawn(async move { index.migrate().await }));
    }
    for other in others {
        other.await.unwrap().unwrap();
    }
    bed.index.migrate().await.unwrap();
    bed.index.ping().await.unwrap();
    bed.lease(&stream("one"), "x").await;
}

#[tokio::test]
async fn sqlite_schema() {
    the_schema_is_checked_and_migrated_by_several_at_once(Bed::empty_sqlite(false).await).await;
}

#[tokio::test]
async fn postgres_schema() {
    the_schema_is_checked_and_migrated_by_several_at_once(Bed::empty_postgres(false).await).await;
}

/// A day in pages, over midnight.
async fn a_day_is_read_in_pages(bed: Bed) {
    const SECONDS: i64 = 40;
    let name = stream("one");
    let lease = bed.lease(&name, "x").await;
    let count = (DAY / SECONDS) as u64;
    for n in 0..count + 20 {
        bed.put(&lease, &segment(&name, n, 1, DAY / 2 + n as i64 * SECONDS, SECONDS)).await;
    }
    let window = range(DAY / 2, DAY / 2 + DAY);
    let (mut read, mut after) = (0, None);
    let begin = Instant::now();
    loop {
        let page = bed.index.window(&name, window, after, 1000).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id.sequence);
        for segment in &page {
            assert_eq!(segment.id.sequence, read);
            read += 1;
        }
    }
    assert_eq!(read, count);
    assert_eq!(bed.index.ranges(&name, window, 0, 10).await.unwrap(), [window]);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn sqlite_day() {
    a_day_is_read_in_pages(Bed::sqlite(false).await).await;
}

#[tokio::test]
async fn postgres_day() {
    a_day_is_read_in_pages(Bed::postgres(false).await).await;
}

/// Several processes write several streams.
async fn writers_of_several_streams(bed: Bed) {
    let mut tasks = Vec::new();
    for n in 0..4 {
        let index = bed.another().await;
        let name = stream(&format!("stream-{n}"));
        tasks.push(tokio::spawn(async move {
            let lease = index.acquire(&name, "x", at(0), 1_000_000).await.unwrap().unwrap();
            for sequence in 0..25 {
                // Midnight comes for all at once.
                let new = segment(&name, sequence, 1, DAY - 60 + sequence as i64 * 6, 6);
                assert_eq!(index.publish(&lease, &new, &inits()).await.unwrap(), Published::Written);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    for name in bed.index.streams().await.unwrap() {
        assert_eq!(bed.listed(&name).await.len(), 25);
    }
}

#[tokio::test]
async fn sqlite_writers() {
    writers_of_several_streams(Bed::sqlite(false).await).await;
}

#[tokio::test]
async fn postgres_writers() {
    writers_of_several_streams(Bed::postgres(false).await).await;
}

#[tokio::test]
async fn postgres_partitions_come_and_go() {
    let bed = Bed::postgres(false).await;
    let name = stream("one");
    let lease = bed.lease(&name, "x").await;
    for (n, start) in [0, DAY, 10 * DAY].into_iter().enumerate() {
        bed.put(&lease, &segment(&name, n as u64, 1, start, 6)).await;
    }
    let mut conn = sqlx::PgConnection::connect(&bed.url).await.unwrap();
    const NAMES: &str =
        "select relname::text from pg_class where relname ~ '^(segments|sample_tables)_[0-9]+$' order by 1";
    let names: Vec<String> = sqlx::query_scalar(NAMES).fetch_all(&mut conn).await.unwrap();
    assert_eq!(names.len(), 6, "{names:?}");
    assert!(names.contains(&"segments_20240229".to_owned()), "{names:?}");

    bed.index.mark_expired(&name, at(6), at(11 * DAY), 10).await.unwrap();
    let gone: Vec<_> = bed.index.deletable(&name, at(12 * DAY), 10).await.unwrap().into_iter().map(|d| d.id).collect();
    // Another process deletes, and drops what is empty and old.
    bed.another().await.delete(&gone).await.unwrap();
    let names: Vec<String> = sqlx::query_scalar(NAMES).fetch_all(&mut conn).await.unwrap();
    assert_eq!(names, ["sample_tables_20240229", "sample_tables_20240309", "segments_20240229", "segments_20240309"]);
    // This process has seen the dropped partition; it makes it again.
    let late = segment(&name, 3, 1, 60, 6);
    bed.put(&lease, &late).await;
    assert_eq!(bed.index.window(&name, range(0, 100), None, 10).await.unwrap(), [late.segment]);
    assert_eq!(bed.index.sample_tables(&name, 3, 4).await.unwrap().len(), 1);
}

#[tokio::test]
async fn postgres_drops_expired_days_whole() {
    let bed = Bed::postgres(false).await;
    let names = ["one", "two"].map(stream);
    for name in &names {
        let segments: Vec<_> = (0..80).map(|n| segment(name, n, 1, n as i64 * DAY / 10, 6)).collect();
        bed.index.adopt(name, &segments, &inits()).await.unwrap();
    }
    let span = range(0, DAY);
    assert_eq!(bed.index.deletable_spans(at(100 * DAY), 9).await.unwrap(), [], "nothing is marked");
    bed.index.mark_expired(&names[0], at(4 * DAY), at(10 * DAY), 100).await.unwrap();
    assert_eq!(bed.index.deletable_spans(at(100 * DAY), 9).await.unwrap(), [], "the other stream keeps them");
    bed.index.mark_expired(&names[1], at(DAY + DAY / 20), at(11 * DAY), 100).await.unwrap();
    assert_eq!(bed.index.deletable_spans(at(11 * DAY), 9).await.unwrap(), [], "the grace of the last is not over");
    let later = at(11 * DAY).plus_us(1);
    assert_eq!(bed.index.deletable_spans(later, 9).await.unwrap(), [span]);
    assert_eq!(bed.index.deletable_spans(later, 0).await.unwrap(), []);
    // Only what was counted goes, only a whole day, and only once.
    for (span, before, count) in
        [(span, later, 19), (span, at(11 * DAY), 20), (range(0, DAY - 1), later, 20), (range(DAY, 2 * DAY), later, 20)]
    {
        assert!(!bed.index.delete_span(span, before, count).await.unwrap(), "{span:?} {count}");
    }
    assert_eq!(bed.index.rows(&names[0], span, None, 99).await.unwrap().len(), 10);
    let (a, b) = (bed.index.delete_span(span, later, 20), bed.index.delete_span(span, later, 20));
    let (a, b) = tokio::join!(a, b);
    assert!(a.unwrap_or(false) ^ b.unwrap_or(false));
    for name in &names {
        assert_eq!(bed.index.rows(name, span, None, 99).await.unwrap(), []);
        assert_eq!(bed.index.sample_tables(name, 0, 10).await.unwrap(), []);
        assert_eq!(bed.index.sample_tables(name, 10, 80).await.unwrap().len(), 70);
        assert_eq!(bed.index.tail(name).await.unwrap().next_sequence, 80);
    }
    // Somebody publishes into it meanwhile: it stays.
    bed.index.mark_expired(&names[1], at(2 * DAY), at(11 * DAY), 100).await.unwrap();
    assert_eq!(bed.index.deletable_spans(later, 9).await.unwrap(), [range(DAY, 2 * DAY)]);
    let lease = bed.lease(&names[1], "x").await;
    bed.put(&lease, &segment(&names[1], 99, 1, DAY + 77, 6)).await;
    assert!(!bed.index.delete_span(range(DAY, 2 * DAY), later, 20).await.unwrap());
    assert!(!bed.index.delete_span(range(DAY, 2 * DAY), later, 21).await.unwrap());
}

/// The schema as it was at first.
fn first_version(sql: &'static str) -> sqlx::migrate::Migrator {
    use sqlx::SqlSafeStr;
    use sqlx::migrate::{Migration, MigrationType, Migrator};
    let first = Migration::new(1, "time index".into(), MigrationType::Simple, sql.into_sql_str(), false);
    Migrator::with_migrations(vec![first])
}

/// Brings an index of the first version, with the segments 0 to `held`, up to date and goes on in it.
async fn is_brought_up_to_date(bed: &Bed, held: u64) {
    let name = stream("one");
    assert_eq!(bed.index.ping().await.unwrap_err().kind, IndexErrorKind::Schema);
    bed.index.migrate().await.unwrap();
    bed.index.migrate().await.unwrap();
    bed.index.ping().await.unwrap();
    let bytes = |listed: Vec<evertape::media::Segment>| listed.iter().map(|s| s.object_length).sum::<u64>();
    assert_eq!(bed.listed(&name).await.len() as u64, held);
    assert_eq!(bed.index.stored_bytes(&name).await.unwrap(), bytes(bed.listed(&name).await));
    let lease = bed.lease(&name, "x").await;
    for n in held..31 {
        bed.put(&lease, &segment(&name, n, 1, n as i64 * 3000, 6)).await;
    }
    bed.index.mark_expired(&name, at(30_000), at(DAY * 3), 100).await.unwrap();
    assert_eq!(bed.listed(&name).await.len(), 21);
    assert_eq!(bed.index.stored_bytes(&name).await.unwrap(), bytes(bed.listed(&name).await));
    assert_eq!(bed.index.extent(&name).await.unwrap().map(|e| e.longest_us), Some(6_000_000));
}

#[tokio::test]
async fn sqlite_upgrade() {
    let (bed, newest) = (Bed::empty_sqlite(false).await, Bed::sqlite(false).await);
    let name = stream("one");
    let lease = newest.lease(&name, "x").await;
    for n in 0..30 {
        newest.put(&lease, &segment(&name, n, 1, n as i64 * 3000, 6)).await;
    }
    newest.index.release(&lease).await.unwrap();
    let path = |bed: &Bed| bed.url.strip_prefix("sqlite:").unwrap().to_owned();
    let mut old = sqlx::SqliteConnection::connect(&path(&bed)).await.unwrap();
    let sql = include_str!("../../migrations/sqlite/0001_time_index.sql");
    first_version(sql).run_direct(None, &mut old, false).await.unwrap();
    sqlx::query("attach $1 as newest").bind(path(&newest)).execute(&mut old).await.unwrap();
    for table in ["streams", "segments", "sample_tables"] {
        let columns: Vec<String> = sqlx::query_scalar("select name from pragma_table_info($1, 'main')")
            .bind(table)
            .fetch_all(&mut old)
            .await
            .unwrap();
        let columns = columns.join(", ");
        let copy = format!("insert into main.{table} ({columns}) select {columns} from newest.{table}");
        sqlx::query(sqlx::AssertSqlSafe(copy)).execute(&mut old).await.unwrap();
    }
    drop(old);
    is_brought_up_to_date(&bed, 30).await;
}

#[tokio::test]
async fn postgres_upgrade() {
    let bed = Bed::empty_postgres(false).await;
    let mut old = sqlx::PgConnection::connect(&bed.url).await.unwrap();
    let sql = include_str!("../../migrations/postgres/0001_time_index.sql");
    first_version(sql).run_direct(None, &mut old, false).await.unwrap();
    sqlx::query("insert into streams (stream) values ('one')").execute(&mut old).await.unwrap();
    drop(old);
    is_brought_up_to_date(&bed, 0).await;
}

#[tokio::test]
async fn a_postgres_out_of_reach_is_said_so_without_its_password() {
    // Nothing listens there: the port was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let index = open(&format!("postgres://user:hunter2@127.0.0.1:{port}/db")).await.unwrap();
    let begin = Instant::now();
    let errors = [index.ping().await.unwrap_err(), index.tail(&stream("one")).await.unwrap_err()];
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
    for error in errors {
        assert_eq!(error.kind, IndexErrorKind::Unavailable, "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn a_postgres_that_never_answers_is_given_up() {
    // It takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let index = open(&format!("postgres://user@{address}/db")).await.unwrap();
    let begin = Instant::now();
    assert_eq!(index.ping().await.unwrap_err().kind, IndexErrorKind::Unavailable);
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn addresses_that_name_no_index_are_refused_without_their_password() {
    for url in ["mysql://u:hunter2@h/db", "hunter2", "postgres://u:hunter2@h:port/db", "sqlite::memory:", "sqlite:"] {
        let Err(error) = open(url).await else { panic!("{url} was accepted") };
        assert_eq!(error.kind, IndexErrorKind::Other, "{url}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[tokio::test]
async fn sqlite_is_still_there_when_opened_again() {
    let bed = Bed::sqlite(false).await;
    let name = stream("one");
    let lease = bed.lease(&name, "x").await;
    bed.put(&lease, &segment(&name, 0, 1, 0, 6)).await;
    let again = bed.another().await;
    again.ping().await.unwrap();
    assert_eq!(again.newest(&name, at(100), 5).await.unwrap(), bed.listed(&name).await);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.db");
    std::fs::write(&path, "no database ".repeat(1000)).unwrap();
    let Err(error) = open(&format!("sqlite:{}", path.display())).await else { panic!("it was opened") };
    assert_eq!(error.kind, IndexErrorKind::Damaged, "{error}");
}

#[tokio::test]
async fn scripted_faults_come_in_order() {
    let bed = Bed::sqlite(false).await;
    let name = stream("one");
    let lease = bed.lease(&name, "x").await;
    let script = [Fault::Before, Fault::After, Fault::None, Fault::Delay(Duration::from_millis(20))];
    let faulty = FaultyIndex::scripted(bed.index.clone(), script);
    let new = segment(&name, 0, 1, 0, 6);
    assert_eq!(faulty.publish(&lease, &new, &[]).await.unwrap_err().kind, IndexErrorKind::Unavailable);
    assert_eq!(bed.listed(&name).await.len(), 0);
    assert_eq!(faulty.publish(&lease, &new, &[]).await.unwrap_err().kind, IndexErrorKind::Unavailable);
    assert_eq!(bed.listed(&name).await.len(), 1, "done, but the answer was lost");
    assert_eq!(faulty.publish(&lease, &new, &[]).await.unwrap(), Published::AlreadyThere);
    let begin = Instant::now();
    faulty.ping().await.unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(20));
    faulty.set_out(true);
    assert!(faulty.ping().await.is_err() && faulty.tail(&name).await.is_err());
    faulty.heal();
    faulty.ping().await.unwrap();
    assert_eq!(faulty.injected(), 5);
    let _: Arc<dyn Index> = Arc::new(faulty);
}
