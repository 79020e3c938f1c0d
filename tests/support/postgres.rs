//! A PostgreSQL server for tests, and a fresh database on it for each test.
//!
//! In this order: `TEST_DATABASE_URL`; a container, where an engine answers; a private cluster made from the
//! installed binaries. The last two are shared by all test processes of this build: the first one starts the
//! server, a watchdog ends it a few seconds after the last process has gone, however it went.
//!
//! `docker run` takes the place of the testcontainers crate here: that one starts a container for each process,
//! and under nextest every test is a process.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::OnceCell;

const HINT: &str = "no PostgreSQL for the tests: `apt-get install postgresql-15`, or set TEST_DATABASE_URL to a server \
    where databases may be created";

/// A database of a test's own. Dropped with this value.
pub struct TestDatabase {
    /// Its address.
    pub url: String,
    server: String,
    name: String,
}

/// Makes a fresh, empty database.
pub async fn postgres() -> TestDatabase {
    static SERVER: OnceCell<String> = OnceCell::const_new();
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let server = SERVER.get_or_init(server).await.clone();
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let name = format!("evertape_test_{}_{number}_{nanos}", std::process::id());
    let mut conn = PgConnection::connect(&server).await.expect("the PostgreSQL server for the tests answers");
    let create = AssertSqlSafe(format!("create database {name}"));
    sqlx::raw_sql(create).execute(&mut conn).await.expect("a database for the test is made");
    conn.close().await.ok();
    TestDatabase { url: with_database(&server, &name), server, name }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // A runtime of its own: the test's may be ending.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let drop = async {
                    let mut conn = PgConnection::connect(&server).await?;
                    let drop = AssertSqlSafe(format!("drop database if exists {name} with (force)"));
                    sqlx::raw_sql(drop).execute(&mut conn).await
                };
                let _ = tokio::time::timeout(Duration::from_secs(10), drop).await;
            });
        });
        let _ = dropping.join();
    }
}

/// The address with another database's name.
fn with_database(server: &str, name: &str) -> String {
    let mut url = url::Url::parse(server).expect("the address of the server is a URL");
    url.set_path(name);
    url.into()
}

async fn server() -> String {
    if let Some(url) = std::env::var("TEST_DATABASE_URL").ok().filter(|url| !url.is_empty()) {
        return url;
    }
    tokio::task::spawn_blocking(shared_server).await.expect("a PostgreSQL server for the tests is started")
}

/// Files of the shared server. `users` is locked by every process that uses it (shared) and by the watchdog
/// while it ends the server (exclusive); `watchdog` by the watchdog as long as it lives; `start` by whoever starts.
struct Place {
    folder: PathBuf,
}

impl Place {
    fn lock_file(&self, name: &str) -> File {
        let path = self.folder.join(name);
        OpenOptions::new().create(true).append(true).open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }
}

fn shared_server() -> String {
    // Not below target: the server's own user must reach it, and a socket's path must be short.
    let build = evertape::media::InitHash::of(env!("CARGO_TARGET_TMPDIR").as_bytes()).to_string();
    let place = Place { folder: std::env::temp_dir().join(format!("evertape-test-pg-{}", &build[..12])) };
    std::fs::create_dir_all(&place.folder).expect("a folder for the test server is made");
    std::fs::set_permissions(&place.folder, std::fs::Permissions::from_mode(0o755)).ok();

    let users = place.lock_file("users");
    users.lock_shared().expect("the test server is marked as used");
    // Held until the process ends.
    std::mem::forget(users);
    let start = place.lock_file("start");
    start.lock().expect("starting the test server is locked");
    let url_file = place.folder.join("url");
    let running = {
        let watchdog = place.lock_file("watchdog");
        let running = watchdog.try_lock().is_err();
        drop(watchdog);
        running
    };
    if running && let Ok(url) = std::fs::read_to_string(&url_file) {
        return url;
    }
    std::fs::remove_file(&url_file).ok();
    let url = if engine_answers() { start_container(&place) } else { start_cluster(&place) };
    std::fs::write(&url_file, &url).expect("the address of the test server is written");
    url
}

fn engine_answers() -> bool {
    // `timeout`: an engine that hangs counts as none.
    let info =
        Command::new("timeout").args(["3", "docker", "info"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    info.is_ok_and(|status| status.success())
}

fn start_container(place: &Place) -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let port_mapping = format!("127.0.0.1:{port}:5432");
    let args = ["run", "--rm", "-e", "POSTGRES_HOST_AUTH_METHOD=trust", "-p", &port_mapping];
    let server = ["postgres:15-alpine", "-c", "fsync=off", "-c", "max_connections=300"];
    watch(place, Command::new("docker").args(args).args(server));
    wait_until_ready(place, format!("postgres://postgres@127.0.0.1:{port}/postgres"), Duration::from_secs(120))
}

fn start_cluster(place: &Place) -> String {
    let binaries = binaries().expect(HINT);
    let data = place.folder.join("data");
    let socket = place.folder.join("socket");
    std::fs::remove_dir_all(&data).ok();
    for folder in [&data, &socket] {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
    let user = server_user(&[&data, &socket]);
    let mut initdb = as_user(user, &binaries.join("initdb"));
    initdb.args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"]).arg(&data);
    let made = initdb.current_dir("/").stdin(Stdio::null()).output().expect("initdb runs");
    assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    let mut server = as_user(user, &binaries.join("postgres"));
    server.arg("-D").arg(&data).arg("-k").arg(&socket);
    for setting in [
        "listen_addresses=",
        "fsync=off",
        "synchronous_commit=off",
        "full_page_writes=off",
        "max_connections=300",
        "shared_buffers=64MB",
        "autovacuum=off",
    ] {
        server.args(["-c", setting]);
    }
    watch(place, &mut server);
    let url = format!("postgres://postgres@localhost/postgres?host={}", socket.display());
    wait_until_ready(place, url, Duration::from_secs(30))
}

/// PostgreSQL refuses to run as root: then it runs as the user `postgres`, who gets the folders.
fn server_user(folders: &[&PathBuf]) -> Option<&'static str> {
    let output = Command::new("id").arg("-u").output().expect("`id -u` runs");
    if String::from_utf8_lossy(&output.stdout).trim() != "0" {
        return None;
    }
    let given = Command::new("chown").arg("postgres:").args(folders).status();
    assert!(given.is_ok_and(|s| s.success()), "no user `postgres`. {HINT}");
    Some("postgres")
}

/// A command that the kernel ends when its parent, the watchdog, has gone.
fn as_user(user: Option<&str>, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if let Some(user) = user {
        command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
    }
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// The newest installed one, or the one on the path.
fn binaries() -> Option<PathBuf> {
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|e| e.path());
    let newest = installed.filter(|p| p.join("bin/initdb").exists()).max_by_key(|p| version(p));
    let on_path = || std::env::split_paths(&std::env::var_os("PATH")?).find(|p| p.join("initdb").exists());
    newest.map(|p| p.join("bin")).or_else(on_path)
}

/// Runs `server` below a watchdog that ends it five seconds after the last user's lock has gone.
#[allow(clippy::zombie_processes)] // It outlives this process on purpose.
fn watch(place: &Place, server: &mut Command) {
    const WATCHDOG: &str = r#"
        folder=$1; shift
        exec 8>>"$folder/watchdog" 9>>"$folder/users"
        flock -n -x 8 || exit 1
        "$@" 8>&- 9>&- &
        server=$!
        idle=0
        while kill -0 $server; do
            sleep 1
            if flock -n -x 9; then
                idle=$((idle + 1))
                if [ $idle -ge 5 ]; then
                    kill -QUIT $server
                    wait $server
                    rm -rf "$folder/data" "$folder/socket" "$folder/url"
                    exit 0
                fi
                flock -u 9
            else
                idle=0
            fi
        done
    "#;
    let log = File::create(place.folder.join("log")).unwrap();
    Command::new("setsid")
        .args(["sh", "-c", WATCHDOG, "watchdog"])
        .arg(&place.folder)
        .arg(server.get_program())
        .args(server.get_args())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("setsid (util-linux) runs");
}

fn wait_until_ready(place: &Place, url: String, limit: Duration) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let begin = Instant::now();
    loop {
        let tried = runtime.block_on(tokio::time::timeout(Duration::from_secs(2), PgConnection::connect(&url)));
        match tried {
            Ok(Ok(conn)) => {
                let _ = runtime.block_on(conn.close());
                return url;
            }
            _ if begin.elapsed() > limit => {
                let log = std::fs::read_to_string(place.folder.join("log")).unwrap_or_default();
                panic!("the PostgreSQL server for the tests did not start within {limit:?}: {log}\n{HINT}");
            }
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
