//! Real recorder processes on one index and one store, and what must hold of what they leave behind.

use crate::postgres::postgres;
use crate::source::{Clip, Live, PICTURES_PER_SECOND, Pace};
use evertape::container::cmaf;
use evertape::index::{self, Index};
use evertape::media::segment::SegmentId;
use evertape::media::{Segment, StreamName, Ticks, TrackKind, UtcRange, UtcUs};
use evertape::recorder::share::{self, Peer};
use evertape::store::{self, ObjectStore};
use std::any::Any;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

/// What one recorder process is started with beside the bed's.
#[derive(Default, Clone)]
pub struct With {
    /// `EVERTAPE_CRASH_AT`
    pub crash_at: Option<String>,
    /// Address of the index, where it is not the bed's own.
    pub index: Option<String>,
    /// Address of the source, where it is not the bed's own.
    pub source: Option<String>,
    /// What stands under `[store]`, where it is not the bed's own.
    pub store: Option<String>,
    /// `standby_keep`, where it is not the bed's own.
    pub standby_keep: Option<String>,
    /// The stream is not in the configuration any more.
    pub forgets_stream: bool,
    /// More configuration, of `[recorder]`.
    pub settings: String,
    /// `EVERTAPE_CLOCK_OFFSET`
    pub clock: Option<PathBuf>,
    /// The spool lies on a disk of its own of so many KiB, which ends with the process.
    pub spool_disk_kib: Option<u32>,
}

/// What a bed stands on.
pub struct Backends {
    /// Address of the index.
    pub index_url: String,
    /// The store itself.
    pub store: Arc<dyn ObjectStore>,
    /// What stands under `[store]`.
    pub store_settings: String,
    /// What must live as long.
    pub holds: Box<dyn Any + Send + Sync>,
}

/// Index, store and spools of one scenario.
pub struct Bed {
    pub dir: tempfile::TempDir,
    pub live: Live,
    pub began: Instant,
    pub clip: Arc<Clip>,
    pub index: Arc<dyn Index>,
    pub store: Arc<dyn ObjectStore>,
    pub index_url: String,
    pub standby: bool,
    pub segment_seconds: u32,
    pub lease_s: u32,
    /// How much a standby keeps, in seconds of media.
    pub standby_keep_s: u32,
    pub pace: Pace,
    pub store_settings: String,
    _holds: Box<dyn Any + Send + Sync>,
}

/// A recorder process.
pub struct Process {
    pub child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `evertape role` with a configuration.
    pub fn start(role: &str, config: &Path, log: PathBuf, adjust: impl FnOnce(&mut Command)) -> Self {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_evertape"));
        command.args([role, "--log-format", "text", "--config"]).arg(config);
        command.env_remove("EVERTAPE_CRASH_AT").env("EVERTAPE_LOG", "info,evertape::recorder=debug");
        adjust(&mut command);
        command.stdin(Stdio::null()).stdout(file.try_clone().expect("a log")).stderr(file).kill_on_drop(true);
        Self { child: command.spawn().expect("evertape starts"), log }
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it runs");
        let done = std::process::Command::new("kill").args([format!("-{name}"), pid.to_string()]).status();
        assert!(done.expect("kill starts").success());
    }

    /// SIGKILL, and waits for the end.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it is killed");
    }

    /// SIGTERM, and waits for an orderly end.
    pub async fn stop(mut self) {
        self.signal("TERM");
        let ended = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await.expect("it stops in time");
        assert!(ended.expect("it ends").success(), "{}", self.said());
    }

    /// Waits until it has died by itself.
    pub async fn died(&mut self, within: Duration) -> bool {
        tokio::time::timeout(within, self.child.wait()).await.is_ok()
    }

    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// What an archive has of the clip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    /// First and last picture.
    pub pictures: (usize, usize),
    /// Pictures and sounds missing between the first and the last, by gap.
    pub gaps: [Vec<usize>; 2],
    /// Gaps that nothing tells of: no discontinuity, no free number.
    pub unstated: usize,
    /// Most by which a gap in the pictures and the gap in wall time differ.
    pub gap_error_us: i64,
    /// By how much wall time and the number of the picture drift apart, from segment to segment.
    pub wall_spread_us: i64,
    /// Pictures and sounds that are there twice, or out of order.
    pub twice: usize,
    /// Runs.
    pub runs: usize,
    /// Discontinuities.
    pub discontinuities: u64,
    /// Numbers without a row.
    pub free_numbers: u64,
}

impl Ledger {
    pub fn lost(&self) -> usize {
        self.gaps.iter().flatten().sum()
    }

    /// Nothing lost, nothing twice, nothing broken.
    pub fn is_whole(&self) -> bool {
        self.lost() == 0 && self.twice == 0
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in ["a", "b"] {
                let said = std::fs::read_to_string(self.dir.path().join(format!("{name}.log"))).unwrap_or_default();
                eprintln!("--- {name} ---\n{said}");
            }
        }
    }
}

impl Bed {
    pub async fn sqlite(clip: &Arc<Clip>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite:{}/index.db", dir.path().display());
        Self::with(clip, dir, url, Box::new(())).await
    }

    pub async fn postgres(clip: &Arc<Clip>) -> Self {
        let database = postgres().await;
        let url = database.url.clone();
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut bed = Self::with(clip, dir, url, Box::new(database)).await;
        bed.standby = true;
        bed
    }

    async fn with(
        clip: &Arc<Clip>,
        dir: tempfile::TempDir,
        index_url: String,
        holds: Box<dyn Any + Send + Sync>,
    ) -> Self {
        let objects = format!("file:{}/objects", dir.path().display());
        let store = store::open(&objects, store::S3Options::default()).expect("a store");
        let store_settings = format!("url = \"{objects}\"");
        Self::on(clip, dir, Backends { index_url, store, store_settings, holds }, Pace::default()).await
    }

    pub async fn on(clip: &Arc<Clip>, dir: tempfile::TempDir, backends: Backends, pace: Pace) -> Self {
        let Backends { index_url, store, store_settings, holds } = backends;
        let index = index::open(&index_url).await.expect("an index");
        index.migrate().await.expect("a schema");
        // The stream is a's own, or it would be handed over in the middle of a scenario.
        let mut holders = ["a", "b"].map(|name| name.repeat(32));
        let peers = holders.each_ref().map(|h| Peer { recorder: h.clone(), capacity: None, held: 0, settled: true });
        if share::ranked(&stream(), &peers)[0].recorder != holders[0] {
            holders.reverse();
        }
        for (name, holder) in ["a", "b"].into_iter().zip(&holders) {
            std::fs::create_dir(dir.path().join(name)).expect("a folder");
            std::fs::write(dir.path().join(name).join("holder"), holder).expect("a name");
        }
        let began = Instant::now();
        let live = Live::paced(clip.clone(), began, pace).await;
        Self {
            dir,
            live,
            began,
            clip: clip.clone(),
            index,
            store,
            index_url,
            standby: false,
            segment_seconds: 1,
            lease_s: 2,
            standby_keep_s: 60,
            pace,
            store_settings,
            _holds: holds,
        }
    }

    /// Gives the spool `name` to a recorder that comes after a and b where the stream should be.
    pub fn comes_last(&self, name: &str) {
        let of = |recorder: String| Peer { recorder, capacity: None, held: 0, settled: true };
        let last = ('c'..='f').chain('0'..='9').map(|letter| letter.to_string().repeat(32)).find(|holder| {
            let peers = ["a".repeat(32), "b".repeat(32), holder.clone()].map(of);
            share::ranked(&stream(), &peers)[2].recorder == *holder
        });
        std::fs::create_dir(self.dir.path().join(name)).expect("a folder");
        std::fs::write(self.dir.path().join(name).join("holder"), last.expect("one that comes last")).expect("a name");
    }

    /// Starts `evertape record` on the spool `name`.
    pub fn start(&self, name: &str, with: &With) -> Process {
        let dir = self.dir.path();
        let config = dir.join(format!("{name}.toml"));
        let source = with.source.as_ref().unwrap_or(&self.live.url);
        let stream = format!("[[stream]]\nname = \"x\"\nsource = \"{source}\"\nstandby = {}\n", self.standby);
        let text = format!(
            "[index]\nurl = \"{}\"\n[recorder]\nspool = \"{}\"\nsegment_seconds = {}\nlease = \"{}s\"\n\
             standby_keep = \"{}\"\n{}\n{}[store]\n{}\n",
            with.index.as_ref().unwrap_or(&self.index_url),
            dir.join(name).display(),
            self.segment_seconds,
            self.lease_s,
            with.standby_keep.clone().unwrap_or_else(|| format!("{}s", self.standby_keep_s)),
            with.settings,
            if with.forgets_stream { "" } else { &stream },
            with.store.as_ref().unwrap_or(&self.store_settings),
        );
        std::fs::write(&config, text).expect("a configuration");
        Process::start("record", &config, dir.join(format!("{name}.log")), |command| {
            if let Some(kib) = with.spool_disk_kib {
                // Needs the right to mount (as root has it), in a namespace of its own.
                let mount = "mount -t tmpfs -o size=\"$0\"k spool \"$1\" && shift && exec \"$@\"";
                let mut within = Command::new("unshare");
                within.args(["-m", "sh", "-c", mount, &kib.to_string()]).arg(dir.join(name));
                let program = command.as_std();
                within.arg(program.get_program()).args(program.get_args());
                within.env_remove("EVERTAPE_CRASH_AT").env("EVERTAPE_LOG", "info,evertape::recorder=debug");
                *command = within;
            }
            if let Some(name) = &with.crash_at {
                command.env("EVERTAPE_CRASH_AT", name);
            }
            if let Some(file) = &with.clock {
                command.env("EVERTAPE_CLOCK_OFFSET", file);
            }
        })
    }

    pub async fn listed(&self) -> Vec<Segment> {
        let all = UtcRange::new(UtcUs(0), UtcUs(i64::MAX / 4));
        self.index.window(&stream(), all, None, 10_000).await.expect("a window")
    }

    /// Waits until so many more segments than now are listed.
    pub async fn grows_by(&self, count: usize) {
        let before = self.listed().await.len();
        until(&format!("{count} more segments are listed"), async || self.listed().await.len() >= before + count).await;
    }

    /// Waits until both... until `name` has shadows that reach the present.
    pub async fn shadows(&self, name: &str, count: usize) {
        until(&format!("{name} keeps shadows"), async || self.shadowed(name) >= count).await;
    }

    /// Shadows in the spool `name`.
    pub fn shadowed(&self, name: &str) -> usize {
        self.in_folder(name, "shadow") + self.in_folder(name, "earlier")
    }

    /// What was set aside in the spool `name`.
    pub fn damaged(&self, name: &str) -> usize {
        self.in_folder(name, "damaged")
    }

    /// Segments that lie in a folder of the spool `name`.
    pub fn entries(&self, name: &str, folder: &str) -> Vec<SegmentId> {
        entries(&self.dir.path().join(name).join("streams/x").join(folder))
    }

    fn in_folder(&self, name: &str, folder: &str) -> usize {
        let folder = self.dir.path().join(name).join("streams/x").join(folder);
        std::fs::read_dir(folder).into_iter().flatten().flatten().count()
    }

    /// Files that wait in the spool `name`, shadows not counted.
    pub fn spooled(&self, name: &str) -> usize {
        let folder = self.dir.path().join(name).join("streams/x");
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        files.filter(|f| f.path().extension().is_some_and(|e| e == "cmfs")).count()
    }

    /// Compares the archive with the clip, sample by sample; checks that rows and objects agree and that time and
    /// numbers only grow.
    pub async fn ledger(&self) -> Ledger {
        let segments = self.listed().await;
        // Number of each sample, and of the segment that it is in.
        let mut seen: [Vec<(usize, usize)>; 2] = Default::default();
        let (mut runs, mut free) = (Vec::new(), 0);
        for (n, segment) in segments.iter().enumerate() {
            let object = store::read_all(&*self.store, &segment.object, 0..u64::MAX >> 1).await.expect("an object");
            let read = cmaf::read_segment(&segment.object, &object).expect("a whole object");
            assert_eq!(&read.segment, segment, "object and row differ");
            if let Some(before) = n.checked_sub(1).map(|b| &segments[b]) {
                assert!(segment.id.start >= before.id.end(), "wall time runs backwards before {}", segment.id.sequence);
                assert!(segment.id.sequence > before.id.sequence, "numbers do not grow");
                free += segment.id.sequence - before.id.sequence - 1;
                let same_run = segment.id.run == before.id.run;
                let new = segment.discontinuity - before.discontinuity;
                assert!(same_run || new > 0, "a new run, yet no discontinuity, before {}", segment.id.sequence);
                if same_run && new == 0 && segment.id.sequence == before.id.sequence + 1 {
                    for part in &segment.tracks {
                        let end = before.part(part.track).map(|p| p.decode_end());
                        let seam = end.map_or(0, |end| (part.decode_start - end).0);
                        assert!(
                            seam.abs() <= 3600,
                            "a seam of {seam} ticks in {} before {}",
                            part.track,
                            segment.id.sequence
                        );
                    }
                }
            }
            if !runs.contains(&segment.id.run) {
                runs.push(segment.id.run);
            }
            for (part, table) in segment.tracks.iter().zip(&read.tables) {
                let kind = usize::from(part.track.kind == TrackKind::Audio);
                let mut payload = cmaf::payload_of(part, &object).expect("the samples");
                let mut dts = part.decode_start;
                for sample in &table.samples {
                    let (data, rest) = payload.split_at(sample.size as usize);
                    let number = self.clip.number(kind, data, dts.0);
                    seen[kind].push((number.expect("a sample that was never sent, or not at this time"), n));
                    payload = rest;
                    dts = dts + Ticks(sample.duration.into());
                }
            }
        }
        let states_a_gap = |before: usize, after: usize| {
            segments[before..=after].windows(2).any(|pair| {
                pair[1].discontinuity > pair[0].discontinuity || pair[1].id.sequence > pair[0].id.sequence + 1
            })
        };
        let mut gaps: [Vec<usize>; 2] = Default::default();
        let (mut twice, mut unstated, mut gap_error_us) = (0, 0, 0_i64);
        for (kind, seen) in seen.iter().enumerate() {
            for pair in seen.windows(2) {
                let [(before, in_before), (after, in_after)] = [pair[0], pair[1]];
                match after.checked_sub(before) {
                    Some(1) => {}
                    Some(step) if step > 1 => {
                        gaps[kind].push(step - 1);
                        unstated += usize::from(!states_a_gap(in_before, in_after));
                        if kind == 0 && in_after == in_before + 1 {
                            let told_us = segments[in_after].id.start.since(segments[in_before].id.end());
                            let missing_us = (step as i64 - 1) * 1_000_000 / PICTURES_PER_SECOND;
                            gap_error_us = gap_error_us.max((told_us - missing_us).abs());
                        }
                    }
                    _ => twice += 1,
                }
            }
        }
        let firsts = seen[0].chunk_by(|a, b| a.1 == b.1).filter_map(|samples| samples.first());
        let off_us =
            |(number, n): &(usize, usize)| segments[*n].id.start.0 - *number as i64 * 1_000_000 / PICTURES_PER_SECOND;
        let offs_us: Vec<i64> = firsts.map(off_us).collect();
        let wall_spread_us = offs_us.iter().max().zip(offs_us.iter().min()).map_or(0, |(most, least)| most - least);
        let picture = |seen: Option<&(usize, usize)>| seen.map_or(0, |s| s.0);
        let pictures = (picture(seen[0].first()), picture(seen[0].last()));
        let discontinuities = segments.last().map_or(0, |s| s.discontinuity);
        Ledger {
            pictures,
            gaps,
            unstated,
            gap_error_us,
            wall_spread_us,
            twice,
            runs: runs.len(),
            discontinuities,
            free_numbers: free,
        }
    }
}

/// The stream of all scenarios.
pub fn stream() -> StreamName {
    StreamName::parse("x").expect("a name")
}

/// Segments that lie in a folder of a spool.
pub fn entries(folder: &Path) -> Vec<SegmentId> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let id = |name: &str| SegmentId::parse_base_name(&stream(), name.strip_suffix(".cmfs")?);
    files.filter_map(|file| id(file.file_name().to_str()?)).collect()
}

/// Where a PostgreSQL listens (`host:port`, or its socket), and its address as seen through a port of this machine.
pub fn behind(index_url: &str) -> (String, impl Fn(u16) -> String) {
    let url = url::Url::parse(index_url).expect("an address");
    let socket = url.query_pairs().find(|(key, _)| key == "host").map(|(_, folder)| format!("{folder}/.s.PGSQL.5432"));
    let target = match socket {
        Some(socket) => socket,
        None => format!("{}:{}", url.host_str().expect("a host"), url.port().unwrap_or(5432)),
    };
    let at = move |port| {
        let mut url = url.clone();
        url.set_query(None);
        url.set_host(Some("127.0.0.1")).expect("an address");
        url.set_port(Some(port)).expect("an address");
        url.into()
    };
    (target, at)
}

/// Waits until a condition holds.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !condition().await {
        assert!(Instant::now() < end, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
