//! S3 stores to test against.
//!
//! [`s3`] is a real one: the address of the environment (`TEST_S3_ENDPOINT`, with `TEST_S3_ACCESS_KEY`,
//! `TEST_S3_SECRET_KEY`, `TEST_S3_BUCKET`, `TEST_S3_REGION`), else Garage as a local process, which ends with
//! the test. [`s3s_fs`] is a quick one inside this process. Where Garage is missing, tests fail with a hint.

use evertape::store::{ObjectStore, S3Config, S3Options, S3Store, Secret};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// An S3 store that is there as long as this value.
pub struct TestS3 {
    pub endpoint: String,
    pub region: String,
    pub bucket: String,
    pub access_key: String,
    pub secret_key: String,
    /// Differs for every value, so that suites may share a bucket.
    pub prefix: String,
    _server: Server,
}

enum Server {
    Foreign,
    Process(GarageProcess),
    Task {
        task: tokio::task::JoinHandle<()>,
        _folder: tempfile::TempDir,
    },
    /// MinIO's container, by its id.
    Container(String),
}

impl Drop for Server {
    fn drop(&mut self) {
        match self {
            Server::Task { task, .. } => task.abort(),
            Server::Container(id) => {
                let remove = ["rm", "--force", "--volumes", id];
                let _ = Command::new("docker").args(remove).stdout(Stdio::null()).stderr(Stdio::null()).status();
            }
            Server::Foreign | Server::Process(_) => {}
        }
    }
}

/// Killed and waited for when dropped; by the kernel, when the thread that started it ends otherwise.
struct GarageProcess {
    child: Child,
    folder: tempfile::TempDir,
}

impl Drop for GarageProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl TestS3 {
    /// How to reach it, with a prefix of its own.
    pub fn config(&self) -> S3Config {
        self.options().into_config(&self.bucket, &self.prefix)
    }

    /// The same as the configuration file has it; the URL is [`TestS3::url`].
    pub fn options(&self) -> S3Options {
        S3Options {
            endpoint: Some(self.endpoint.clone()),
            region: Some(self.region.clone()),
            access_key: Some(self.access_key.clone()),
            secret_key: Some(Secret::new(self.secret_key.clone())),
            path_style: Some(true),
        }
    }

    /// `s3://bucket/prefix`.
    pub fn url(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix)
    }

    pub fn store(&self) -> S3Store {
        S3Store::new(self.config()).unwrap()
    }
}

fn fresh_prefix() -> String {
    format!("test-{}", uuid::Uuid::now_v7().simple())
}

/// A real S3 store.
pub async fn s3() -> TestS3 {
    if let Ok(endpoint) = std::env::var("TEST_S3_ENDPOINT") {
        let variable = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| panic!("TEST_S3_ENDPOINT is set, so {name} must be too"))
        };
        return TestS3 {
            endpoint,
            region: std::env::var("TEST_S3_REGION").unwrap_or_else(|_| "us-east-1".to_owned()),
            bucket: variable("TEST_S3_BUCKET"),
            access_key: variable("TEST_S3_ACCESS_KEY"),
            secret_key: variable("TEST_S3_SECRET_KEY"),
            prefix: fresh_prefix(),
            _server: Server::Foreign,
        };
    }
    if engine_answers() { minio().await } else { garage().await }
}

fn engine_answers() -> bool {
    // `timeout`: an engine that hangs counts as none.
    let info =
        Command::new("timeout").args(["3", "docker", "info"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    info.is_ok_and(|status| status.success())
}

/// MinIO in a container of its own; a folder of its data is a bucket.
async fn minio() -> TestS3 {
    let [port] = free_ports();
    let (access_key, secret_key) = ("evertape".to_owned(), "evertape-secret".to_owned());
    let output = Command::new("docker")
        .args(["run", "--detach", "--publish", &format!("127.0.0.1:{port}:9000")])
        .args([
            "--env",
            &format!("MINIO_ROOT_USER={access_key}"),
            "--env",
            &format!("MINIO_ROOT_PASSWORD={secret_key}"),
        ])
        .args(["--entrypoint", "sh", "minio/minio", "-c", "mkdir -p /data/evertape && exec minio server /data"])
        .output()
        .expect("docker runs");
    assert!(output.status.success(), "docker run minio: {}", String::from_utf8_lossy(&output.stderr));
    let minio = TestS3 {
        endpoint: format!("http://127.0.0.1:{port}"),
        region: "us-east-1".to_owned(),
        bucket: "evertape".to_owned(),
        access_key,
        secret_key,
        prefix: fresh_prefix(),
        _server: Server::Container(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
    };
    let started = Instant::now();
    while let Err(error) = minio.store().ping().await {
        assert!(started.elapsed() < Duration::from_secs(60), "MinIO does not answer: {error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    minio
}

/// The `garage` binary, or what to do about its absence.
fn find_garage() -> PathBuf {
    let mut folders = Vec::new();
    if let Some(tools) = std::env::var_os("EVERTAPE_TOOLS") {
        folders.push(Path::new(&tools).join("bin"));
    }
    if let Some(home) = std::env::var_os("HOME") {
        folders.push(Path::new(&home).join(".cache/evertape/tools/bin"));
    }
    folders.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin"));
    if let Some(path) = std::env::var_os("PATH") {
        folders.extend(std::env::split_paths(&path));
    }
    let found = folders.iter().map(|folder| folder.join("garage")).find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!("this test needs an S3 store: run `make tools` for Garage, or set TEST_S3_ENDPOINT (see {})", file!())
    })
}

async fn garage() -> TestS3 {
    let binary = find_garage();
    let mut last_log = String::new();
    // A free port can be taken by another before Garage gets to it; so more than once.
    for _ in 0..3 {
        match start_garage(&binary).await {
            Ok(garage) => return garage,
            Err(log) => last_log = log,
        }
    }
    panic!("Garage does not start:\n{last_log}");
}

async fn start_garage(binary: &Path) -> Result<TestS3, String> {
    let folder = tempfile::tempdir().unwrap();
    let [api, rpc] = free_ports();
    let config = format!(
        "metadata_dir = \"{0}/meta\"\ndata_dir = \"{0}/data\"\ndb_engine = \"sqlite\"\nreplication_factor = 1\n\
         rpc_bind_addr = \"127.0.0.1:{rpc}\"\nrpc_public_addr = \"127.0.0.1:{rpc}\"\nrpc_secret = \"{1}\"\n\n\
         [s3_api]\napi_bind_addr = \"127.0.0.1:{api}\"\ns3_region = \"garage\"\n",
        folder.path().display(),
        "5a".repeat(32),
    );
    let config_file = folder.path().join("garage.toml");
    std::fs::write(&config_file, config).unwrap();
    let (access_key, secret_key) = (format!("GK{}", "0a1b".repeat(6)), "c4f1".repeat(16));
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .arg(binary)
        .arg("-c")
        .arg(&config_file)
        .args(["server", "--single-node", "--default-bucket"])
        .env("GARAGE_DEFAULT_ACCESS_KEY", &access_key)
        .env("GARAGE_DEFAULT_SECRET_KEY", &secret_key)
        .env("GARAGE_DEFAULT_BUCKET", "evertape")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("setpriv is needed to start Garage: install util-linux");
    let process = GarageProcess { child, folder };
    let mut garage = TestS3 {
        endpoint: format!("http://127.0.0.1:{api}"),
        region: "garage".to_owned(),
        bucket: "evertape".to_owned(),
        access_key,
        secret_key,
        prefix: fresh_prefix(),
        _server: Server::Process(process),
    };
    let store = garage.store();
    let started = Instant::now();
    loop {
        let answer = store.ping().await;
        if answer.is_ok() {
            return Ok(garage);
        }
        let Server::Process(process) = &mut garage._server else { unreachable!() };
        let ended = process.child.try_wait().unwrap().is_some();
        if ended || started.elapsed() > Duration::from_secs(60) {
            let log = std::fs::read_to_string(process.folder.path().join("log")).unwrap_or_default();
            return Err(format!("{answer:?}\n{log}"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn free_ports<const N: usize>() -> [u16; N] {
    let listeners: [_; N] = std::array::from_fn(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// A quick S3 store inside this process, over a temporary folder.
pub async fn s3s_fs() -> TestS3 {
    let (access_key, secret_key) = ("GKquick", "quick-secret");
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("evertape")).unwrap();
    let files = s3s_fs::FileSystem::new(folder.path()).unwrap();
    let mut service = s3s::service::S3ServiceBuilder::new(files);
    service.set_auth(s3s::auth::SimpleAuth::from_single(access_key, secret_key));
    let service = service.build();
    let app = axum::Router::new().fallback(move |request: axum::extract::Request| {
        let service = service.clone();
        async move {
            let answer = service.call(request.map(s3s::Body::http_body_unsync)).await;
            answer
                .map(|answer| answer.map(axum::body::Body::new))
                .map_err(|error| (axum::http::StatusCode::INTERNAL_SERVER_ERROR, format!("{error:?}")))
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        axum::serve(listener, app).await.unwrap();
    });
    TestS3 {
        endpoint,
        region: "us-east-1".to_owned(),
        bucket: "evertape".to_owned(),
        access_key: access_key.to_owned(),
        secret_key: secret_key.to_owned(),
        prefix: fresh_prefix(),
        _server: Server::Task { task, _folder: folder },
    }
}
