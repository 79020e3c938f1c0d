//! What a scenario plays on: a bed on PostgreSQL and S3, roles as real processes, a proxy on each of their ways.

use crate::bed::{Backends, Bed, Ledger, Process, With, behind, entries, stream};
use crate::proxy::{Mode, Proxy};
use crate::s3::{TestS3, s3};
use crate::source::{Clip, Pace};
use evertape::media::{Segment, UtcUs};
use evertape::store::{ObjectStore, S3Store};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio_util::task::AbortOnDropHandle;

/// Longest wait for what must come; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(150);
/// Between looks at lag and spool.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Later than any recording.
const END_OF_TIME: UtcUs = UtcUs(i64::MAX / 4);

/// What all scenarios share.
pub struct Common {
    pub clip: Arc<Clip>,
    s3: TestS3,
    _dir: tempfile::TempDir,
}

impl Common {
    pub async fn start() -> Arc<Self> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (clip, s3) = tokio::join!(Clip::make(dir.path()), s3());
        assert!(s3.endpoint.starts_with("http://"), "a proxy cannot stand before {}", s3.endpoint);
        Arc::new(Self { clip, s3, _dir: dir })
    }

    fn store_settings(&self, prefix: &str, endpoint: &str) -> String {
        let TestS3 { region, bucket, access_key, secret_key, .. } = &self.s3;
        format!(
            "url = \"s3://{bucket}/{prefix}\"\n[store.s3]\nendpoint = \"{endpoint}\"\nregion = \"{region}\"\n\
             access_key = \"{access_key}\"\nsecret_key = \"{secret_key}\"\npath_style = true\n"
        )
    }
}

/// The worst that was seen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Peaks {
    /// How far the archive was behind the source.
    pub lag_us: i64,
    /// What both spools held.
    pub spool_bytes: u64,
}

pub struct Stage {
    pub bed: Bed,
    common: Arc<Common>,
    prefix: String,
    began_utc: UtcUs,
    peaks: Arc<Mutex<Peaks>>,
    _watching: AbortOnDropHandle<()>,
}

/// A role's ways to the index and to the store.
pub struct Link {
    pub sql: Proxy,
    pub s3: Proxy,
    pub index_url: String,
    pub store_settings: String,
}

impl Link {
    pub fn set(&self, mode: Mode) {
        self.sql.set(mode);
        self.s3.set(mode);
    }

    pub fn with(&self) -> With {
        With { index: Some(self.index_url.clone()), store: Some(self.store_settings.clone()), ..With::default() }
    }
}

impl Stage {
    /// In real time; the time is that of arrival.
    pub async fn real_time(common: &Arc<Common>) -> Self {
        Self::new(common, Pace::default()).await
    }

    /// Faster than real time: the source states a time that began two hours ago, so that none of it is to come.
    pub async fn fast(common: &Arc<Common>, speed: u32) -> Self {
        let seconds = evertape::clock::now().0 / 1_000_000 - 7200;
        let mut stage = Self::new(common, Pace { speed, stated: Some(UtcUs::from_seconds(seconds)) }).await;
        stage.bed.standby_keep_s = 3600;
        stage
    }

    async fn new(common: &Arc<Common>, pace: Pace) -> Self {
        let database = crate::postgres::postgres().await;
        let index_url = database.url.clone();
        let prefix = format!("test-{}", uuid::Uuid::now_v7().simple());
        let mut config = common.s3.config();
        config.prefix.clone_from(&prefix);
        let store: Arc<dyn ObjectStore> = Arc::new(S3Store::new(config).expect("a store"));
        let store_settings = common.store_settings(&prefix, &common.s3.endpoint);
        let backends = Backends { index_url, store, store_settings, holds: Box::new(database) };
        let dir = tempfile::tempdir().expect("a temporary folder");
        let bed = Bed::on(&common.clip, dir, backends, pace).await;
        let peaks = Arc::new(Mutex::new(Peaks::default()));
        let began_utc = pace.stated.unwrap_or_else(|| {
            let since_us = i64::try_from(bed.began.elapsed().as_micros()).unwrap_or(0);
            evertape::clock::now().plus_us(-since_us)
        });
        let (index, seen, began) = (bed.index.clone(), peaks.clone(), bed.began);
        let spools = ["a", "b"].map(|name| bed.dir.path().join(name).join("streams/x"));
        let watching = tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let spool_bytes = spools.iter().map(|spool| spool_bytes(spool)).sum();
                let newest = index.newest(&stream(), END_OF_TIME, 1).await.unwrap_or_default();
                let now = began_utc.plus_us(pace.media_us(began.elapsed()));
                let lag_us = newest.last().map_or(0, |newest| now.since(newest.id.end()));
                let mut seen = seen.lock().expect("nobody panics here");
                seen.spool_bytes = seen.spool_bytes.max(spool_bytes);
                seen.lag_us = seen.lag_us.max(lag_us);
            }
        });
        let watching = AbortOnDropHandle::new(watching);
        Self { bed, common: common.clone(), prefix, began_utc, peaks, _watching: watching }
    }

    /// A way of its own to index and store.
    pub async fn link(&self) -> Link {
        self.seeded_link(1).await
    }

    pub async fn seeded_link(&self, seed: u64) -> Link {
        let (target, url_at) = behind(&self.bed.index_url);
        let sql = Proxy::to(target).await;
        let store = self.common.s3.endpoint.trim_start_matches("http://").trim_end_matches('/');
        let s3 = Proxy::seeded(store, seed).await;
        let endpoint = format!("http://127.0.0.1:{}", s3.port);
        let index_url = url_at(sql.port);
        let store_settings = self.common.store_settings(&self.prefix, &endpoint);
        Link { sql, s3, index_url, store_settings }
    }

    pub fn peaks(&self) -> Peaks {
        *self.peaks.lock().expect("nobody panics there")
    }

    /// What time the source says it is.
    pub fn source_utc(&self) -> UtcUs {
        self.began_utc.plus_us(self.bed.pace.media_us(self.bed.began.elapsed()))
    }

    pub async fn newest(&self) -> Option<Segment> {
        self.bed.index.newest(&stream(), END_OF_TIME, 1).await.expect("the index itself answers").pop()
    }

    async fn edge(&self) -> UtcUs {
        self.newest().await.map_or(UtcUs(0), |newest| newest.id.end())
    }

    /// Waits until the archive is up with the source; says how long that took.
    pub async fn catches_up(&self) -> Duration {
        let since = Instant::now();
        let open_us = 3 * i64::from(self.bed.segment_seconds) * 1_000_000;
        // A second of the run for the way through the recorder, whatever the speed.
        let most_us = open_us + self.bed.pace.media_us(Duration::from_secs(1));
        until("the archive is up with the source", async || {
            let edge = self.edge().await;
            self.source_utc().since(edge) <= most_us
        })
        .await;
        since.elapsed()
    }

    /// Waits until what one recorder missed and another has is filled in.
    pub async fn is_filled(&self) {
        until("all gaps are filled in", async || self.bed.ledger().await.is_whole()).await;
    }

    /// Waits until so much more media has been recorded.
    pub async fn records_s(&self, seconds: i64) {
        let from = self.edge().await.max(self.began_utc);
        let end = Instant::now() + PATIENCE;
        while self.edge().await.since(from) < seconds * 1_000_000 {
            assert!(Instant::now() < end, "waited too long until more is recorded; {}", self.last_words().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Who holds the stream, and what the recorders said last.
    async fn last_words(&self) -> String {
        let mut words = format!("held by {:?}", self.holder().await);
        for name in ["a", "b"] {
            let log = std::fs::read_to_string(self.bed.dir.path().join(format!("{name}.log"))).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            words += &format!("\n{name} ({:?}):\n", entries(&self.bed.dir.path().join(name).join("streams/x")).len());
            words += &lines.get(lines.len().saturating_sub(60)..).unwrap_or_default().join("\n");
        }
        words
    }

    /// Waits until the source has sent so much, counted from its beginning.
    pub async fn source_reaches_s(&self, seconds: i64) {
        let wall_us = seconds * 1_000_000 / i64::from(self.bed.pace.speed);
        let at = self.bed.began + Duration::from_micros(u64::try_from(wall_us).unwrap_or(0));
        tokio::time::sleep_until(at.into()).await;
    }

    /// Starts two recorders: a publishes, b stands by.
    pub async fn two(&mut self, with: [&With; 2]) -> [Process; 2] {
        self.bed.standby = true;
        let active = self.bed.start("a", with[0]);
        self.records_s(3).await;
        let standby = self.bed.start("b", with[1]);
        self.stands_by("b").await;
        [active, standby]
    }

    /// Waits until `name` has shadows of what is sent from now on.
    pub async fn stands_by(&self, name: &str) {
        let folder = self.bed.dir.path().join(name).join("streams/x/shadow");
        let from = self.source_utc();
        let is_there = || entries(&folder).iter().any(|id| id.start >= from);
        until(&format!("{name} keeps shadows"), async || is_there()).await;
    }

    /// Which of the recorders holds the stream.
    pub async fn holder(&self) -> Option<&'static str> {
        let lease = self.bed.index.holder(&stream()).await.expect("the index itself answers")?;
        ["a", "b"].into_iter().find(|name| {
            let file = self.bed.dir.path().join(name).join("holder");
            std::fs::read_to_string(file).is_ok_and(|holder| holder == lease.holder)
        })
    }

    /// Waits until another than `name` publishes, and has published some.
    pub async fn taken_over_from(&self, name: &str) {
        let epoch = self.newest().await.map_or(0, |newest| newest.id.epoch);
        let other = async || self.newest().await.is_some_and(|newest| newest.id.epoch > epoch);
        until(&format!("another has taken over from {name}"), other).await;
        self.records_s(3).await;
    }

    /// Stops a recorder in order: nothing may be left in its spool.
    pub async fn stop(&self, name: &str, process: Process) {
        process.stop().await;
        assert_eq!(self.bed.spooled(name), 0, "something is left in the spool of {name}");
    }

    /// Keys of all segment objects.
    pub async fn objects(&self) -> BTreeSet<String> {
        let all = self.bed.store.list("", None, 1_000_000).await.expect("the store itself answers");
        all.into_iter().map(|o| o.key.to_string()).filter(|key| key.ends_with(".cmfs")).collect()
    }

    /// Compares; each listed segment's object is the only one of its number unless `orphans` may lie about.
    pub async fn ledger(&self) -> Ledger {
        let ledger = self.bed.ledger().await;
        assert_eq!(ledger.twice, 0, "{ledger:?}");
        assert_eq!(ledger.unstated, 0, "a gap that nothing tells of: {ledger:?}");
        ledger
    }

    /// Starts `evertape play`; waits until it answers.
    pub async fn play(&self, name: &str, link: &Link) -> Node {
        let dir = self.bed.dir.path();
        let config = dir.join(format!("{name}.toml"));
        let text = format!(
            "[http]\nlisten = \"127.0.0.1:0\"\n[admin]\nenabled = false\n[index]\nurl = \"{}\"\n[playback]\n\
             row_cache_mib = 16\nmedia_cache_mib = 16\n[store]\n{}",
            link.index_url, link.store_settings
        );
        std::fs::write(&config, text).expect("a configuration");
        let process = Process::start("play", &config, dir.join(format!("{name}.log")), |_| {});
        let address = || {
            let said = process.said();
            let (_, rest) = said.split_once("address=")?;
            rest.split_whitespace().next()?.parse().ok()
        };
        until(&format!("{name} listens"), async || address().is_some()).await;
        let address = address().expect("an address");
        Node { process, address }
    }

    /// Starts `evertape janitor`, with `keep` (keys of the stream) and `rules` (of `[janitor]`).
    pub fn janitor(&self, name: &str, link: &Link, keep: &str, rules: &str, arguments: &[&str]) -> Process {
        let dir = self.bed.dir.path();
        let config = dir.join(format!("{name}.toml"));
        let text = format!(
            "[index]\nurl = \"{}\"\n[janitor]\n{rules}\n[[stream]]\nname = \"x\"\nsource = \"{}\"\n{keep}\n[store]\n{}",
            link.index_url, self.bed.live.url, link.store_settings
        );
        std::fs::write(&config, text).expect("a configuration");
        Process::start("janitor", &config, dir.join(format!("{name}.log")), |command| {
            command.args(arguments);
        })
    }
}

/// A playback node.
pub struct Node {
    pub process: Process,
    pub address: std::net::SocketAddr,
}

fn spool_bytes(folder: &Path) -> u64 {
    let bytes = |folder: &Path| -> u64 {
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let segments = files.filter(|f| f.path().extension().is_some_and(|e| e == "cmfs"));
        segments.filter_map(|f| f.metadata().ok()).map(|m| m.len()).sum()
    };
    bytes(folder) + bytes(&folder.join("shadow")) + bytes(&folder.join("earlier"))
}

/// Waits until a condition holds.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < end, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Numbers by a seed (SplitMix64).
pub struct Dice(pub u64);

impl Dice {
    /// From 0 up to but not `below`.
    pub fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below.max(1)
    }
}

/// A metric of a process that answers at `port`, all its labels added up; `None` where it is not told.
pub async fn metric(port: u16, name: &str) -> Option<f64> {
    let text = reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await.ok()?.text().await.ok()?;
    let of = |line: &str| {
        let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']))?;
        rest.rsplit(' ').next()?.parse::<f64>().ok()
    };
    let values: Vec<f64> = text.lines().filter_map(of).collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

/// A port that nothing listens on now.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}
