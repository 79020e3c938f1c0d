//! A backup of the database with the real tools (`pg_dump`, `pg_restore`, `sqlite3 .backup`), a disaster, and the way back
//! of docs/operations.md: restore, `evertape migrate`, `evertape reindex --into-existing` for what came after the backup,
//! `evertape check --repair` for what went. Afterwards all playlists are as before, byte for byte, and so is what only the
//! database knows: locks, settings, deletions.

use crate::postgres::{TestDatabase, postgres};
use crate::program::{Node, configure, evertape, tool};
use crate::recorded::{Bed, HOUR_US, Plan, all_time, inits, name, start};
use evertape::index::control::{Expected, StreamSetting};
use evertape::index::{self, Index};
use evertape::janitor::{Keep, Mode, Rules, round};
use evertape::media::lock::{Lock, LockId};
use evertape::media::segment::SegmentWithTables;
use evertape::media::{InitInfo, StreamName, UtcRange};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Rows of the timed restore, unless `EVERTAPE_RESTORE_ROWS` says another number.
const TIMED_ROWS: u64 = 20_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    Sqlite,
    Postgres,
}

/// A database that was restored, and what it stands on.
struct Restored {
    url: String,
    index: Arc<dyn Index>,
    _database: Option<TestDatabase>,
}

impl On {
    async fn bed(self) -> Bed {
        match self {
            Self::Sqlite => Bed::sqlite().await,
            Self::Postgres => Bed::postgres().await,
        }
    }

    /// As docs/operations.md says, while everything runs.
    async fn back_up(self, bed: &Bed, folder: &Path) -> PathBuf {
        let file = folder.join("backup");
        match self {
            Self::Sqlite => {
                let database = bed.url.strip_prefix("sqlite:").expect("a path");
                tool("sqlite3", &[database, &format!(".backup '{}'", file.display())]).await;
            }
            Self::Postgres => {
                let to = format!("--file={}", file.display());
                tool("pg_dump", &["--format=custom", "--no-owner", &to, &format!("--dbname={}", bed.url)]).await;
            }
        }
        file
    }

    async fn restore(self, file: &Path, folder: &Path) -> Restored {
        let (url, database) = match self {
            Self::Sqlite => {
                let path = folder.join("restored.db");
                std::fs::copy(file, &path).expect("it is copied");
                (format!("sqlite:{}", path.display()), None)
            }
            Self::Postgres => {
                let database = postgres().await;
                let into = format!("--dbname={}", database.url);
                let from = file.display().to_string();
                tool("pg_restore", &["--no-owner", "--exit-on-error", "--jobs=2", &into, &from]).await;
                (database.url.clone(), Some(database))
            }
        };
        let index = index::open(&url).await.expect("the restored index opens");
        Restored { url, index, _database: database }
    }
}

/// Addresses of playlists over all that was recorded, and of what there is.
fn addresses(stream: &StreamName) -> Vec<String> {
    let from = start().seconds();
    let mut all = vec![format!("{stream}/ranges.json"), format!("{stream}/media_info.json")];
    for (from, seconds) in [(from, 400_000), (from + 7200, 86_400), (from + 130_000, 7200)] {
        for form in ["archive", "index", "mono"] {
            for kind in ["m3u8", "fmp4.m3u8", "ts.m3u8"] {
                all.push(format!("{stream}/{form}-{from}-{seconds}.{kind}"));
                all.push(format!("{stream}/tracks-v1/archive-{from}-{seconds}.{kind}"));
            }
        }
        all.push(format!("{stream}/recording_status.json?from={from}&to={}&request=ranges", from + seconds));
    }
    all
}

async fn brought_back(on: On) {
    let bed = on.bed().await;
    let names = ["one", "sport/two"].map(name);
    for stream in &names {
        bed.record(stream, 60, 3600).await;
    }
    // What only the database knows.
    let setting = StreamSetting {
        source: "udp://@239.0.0.1:1234".into(),
        retention_us: Some(7 * 24 * HOUR_US),
        retention_bytes: Some(1 << 40),
        hls: Default::default(),
        standby: true,
        paused: false,
    };
    let now = start().plus_us(60 * HOUR_US);
    for (stream, expected) in [("one", Expected::Absent), ("three", Expected::Absent)] {
        bed.index.put_setting(&name(stream), &setting, expected, now).await.unwrap();
    }
    bed.index.remove_setting(&name("three"), Expected::Present, now).await.unwrap();
    for (id, expires) in [(1, None), (2, Some(now.plus_us(9000 * HOUR_US)))] {
        let range = UtcRange::new(start().plus_us(20 * HOUR_US), start().plus_us(25 * HOUR_US));
        let lock =
            Lock { id: LockId(id), stream: names[0].clone(), range, title: "Финал".into(), created: now, expires };
        bed.index.add_lock(&lock).await.unwrap();
    }

    let folder = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let file = on.back_up(&bed, folder.path()).await;
    println!("{on:?}: backup of {} rows in {:.1} s", 120, began.elapsed().as_secs_f64());

    // After the backup: more is recorded, by another recorder, too; and the oldest six hours go for good.
    for stream in &names {
        let plans: Vec<Plan> = (60..100)
            .map(|n| Plan { epoch: 3, run: 2, discontinuity: 1, ..Plan::new(stream, n, n as i64 * 3600) })
            .collect();
        bed.write(&plans).await;
    }
    let end = start().plus_us(100 * HOUR_US);
    let age = Some(Duration::from_secs(94 * 3600 + 1800));
    let rules = Rules {
        streams: names.iter().map(|s| (s.clone(), Keep { age, bytes: None })).collect(),
        max_bytes: None,
        grace: Duration::from_secs(60),
        interval: Duration::from_secs(60),
    };
    for at in [end, end.plus_us(120_000_000)] {
        let mode = Mode { force: true, dry_run: false, to_the_end: true };
        for (_, done) in round(&*bed.store, &*bed.index, &rules, mode, at).await.unwrap() {
            done.unwrap();
        }
    }
    let before = Node::start(bed.store.clone(), bed.index.clone()).await;

    // The database is gone. The way back.
    let began = Instant::now();
    let restored = on.restore(&file, folder.path()).await;
    configure(&bed, folder.path(), &restored.url, "");
    for command in [&["migrate"][..], &["reindex", "--into-existing"], &["check", "--repair"]] {
        let (code, said) = evertape(folder.path(), command).await;
        assert_eq!(code, Some(0), "{command:?}: {said}");
    }
    println!("{on:?}: restored, completed and repaired in {:.1} s", began.elapsed().as_secs_f64());

    let index = restored.index;
    let all = UtcRange::new(all_time().start, all_time().end);
    for stream in &names {
        let listed = index.window(stream, all, None, usize::MAX).await.unwrap();
        assert_eq!(listed.len(), 94);
        assert_eq!(listed, bed.listed(stream).await);
        assert_eq!(index.tail(stream).await.unwrap(), bed.index.tail(stream).await.unwrap());
        assert_eq!(index.extent(stream).await.unwrap(), bed.index.extent(stream).await.unwrap());
        assert_eq!(index.locks(stream, all).await.unwrap(), bed.index.locks(stream, all).await.unwrap());
        // Whoever takes the stream writes above all that is there.
        let lease = index.acquire(stream, "the next", end, HOUR_US).await.unwrap().unwrap();
        assert_eq!(lease.epoch, 4);
    }
    assert_eq!(index.locks(&names[0], all).await.unwrap().len(), 2);
    assert_eq!(index.settings().await.unwrap(), bed.index.settings().await.unwrap());
    assert_eq!(index.settings().await.unwrap()[0].setting, setting);
    // Of the deleted stream nothing was recorded: the janitor has seen to it since, and will again.
    assert_eq!(index.removed().await.unwrap().iter().map(|r| r.stream.clone()).collect::<Vec<_>>(), [name("three")]);

    let after = Node::start(bed.store.clone(), index.clone()).await;
    let (mut compared, mut good) = (0, 0);
    for path in names.iter().flat_map(addresses) {
        let (one, two) = (before.get(&path).await.unwrap(), after.get(&path).await.unwrap());
        let text = |answer: &(u16, Vec<u8>)| format!("{} {}", answer.0, String::from_utf8_lossy(&answer.1));
        assert!(one == two, "{path}:\n{}\n{}", text(&one), text(&two));
        compared += 1;
        good += usize::from(one.0 == 200);
    }
    println!("{on:?}: {compared} playlists and answers byte-identical afterwards");
    assert!(good * 4 > compared * 3, "only {good} of {compared} were answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    brought_back(On::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres() {
    brought_back(On::Postgres).await;
}

/// The objects come from a copy, too, which is older than the database: what it lacks is unlisted, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn objects_from_an_older_copy() {
    let bed = Bed::sqlite().await;
    let stream = name("one");
    bed.record(&stream, 60, 3600).await;
    let folder = tempfile::tempdir().unwrap();
    let objects = bed.folder.path().join("objects").display().to_string();
    let copy = folder.path().join("objects").display().to_string();
    tool("cp", &["-a", &objects, &copy]).await;
    bed.record_more(&stream, 60, 5).await;
    let listed = bed.listed(&stream).await;
    // The bucket is lost, and its copy put in its place.
    tool("rm", &["-r", &objects]).await;
    tool("cp", &["-a", &copy, &objects]).await;
    configure(&bed, folder.path(), &bed.url, "");
    let (code, said) = evertape(folder.path(), &["check"]).await;
    assert_eq!(code, Some(1), "{said}");
    let (code, said) = evertape(folder.path(), &["check", "--repair"]).await;
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = evertape(folder.path(), &["check", "--deep"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(bed.listed(&stream).await, listed[..60]);
}

/// How long it takes for each 100,000 rows: rows of six seconds of picture and sound, without their objects.
#[tokio::test(flavor = "multi_thread")]
async fn how_long_a_restore_takes() {
    let rows = std::env::var("EVERTAPE_RESTORE_ROWS").map_or(TIMED_ROWS, |n| n.parse().expect("a number of rows"));
    println!("{:<12} {:>8} {:>12} {:>12} {:>12}", "", "rows", "backup MiB", "backup s", "restore s");
    for on in [On::Sqlite, On::Postgres] {
        let bed = on.bed().await;
        let stream = name("bulk");
        let inits: Vec<InitInfo> = inits().into_iter().map(|(info, _)| info).collect();
        for first in (0..rows).step_by(1000) {
            let plan = |n: u64| Plan { seconds: 6, ..Plan::new(&stream, n, n as i64 * 6) }.object().1;
            let batch: Vec<SegmentWithTables> = (first..(first + 1000).min(rows)).map(plan).collect();
            bed.index.adopt(&stream, &batch, &inits).await.unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let began = Instant::now();
        let file = on.back_up(&bed, folder.path()).await;
        let backup_s = began.elapsed().as_secs_f64();
        let began = Instant::now();
        let restored = on.restore(&file, folder.path()).await;
        let restore_s = began.elapsed().as_secs_f64();
        assert_eq!(restored.index.tail(&stream).await.unwrap().next_sequence, rows);
        let newest = restored.index.newest(&stream, all_time().end, 5).await.unwrap();
        assert_eq!(newest, bed.index.newest(&stream, all_time().end, 5).await.unwrap());
        let mib = std::fs::metadata(&file).unwrap().len() as f64 / 1_048_576.0;
        let each = 100_000.0 / rows as f64;
        println!("{:<12} {rows:>8} {mib:>12.1} {backup_s:>12.2} {restore_s:>12.2}", format!("{on:?}"));
        println!(
            "{:<12} {:>8} {:>12.1} {:>12.2} {:>12.2}",
            "  for each",
            100_000,
            mib * each,
            backup_s * each,
            restore_s * each
        );
    }
}
