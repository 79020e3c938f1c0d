//! The real program on a bed, killed at a step or not, and what store and index have afterwards.

use crate::recorded::{Bed, all_time};
use evertape::index::{Extent, Index, Tail};
use evertape::media::lock::Lock;
use evertape::media::{Segment, StreamName, UtcRange, UtcUs};
use futures::StreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use tokio::process::Command;

/// Scenarios that run at a time.
const AT_A_TIME: usize = 4;

/// How a run of the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By SIGKILL.
    Killed,
    /// By itself, with this code.
    Code(i32),
}

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    Sqlite,
    Postgres,
}

impl On {
    pub async fn bed(self) -> Bed {
        match self {
            Self::Sqlite => Bed::sqlite().await,
            Self::Postgres => Bed::postgres().await,
        }
    }
}

/// Writes the configuration of a bed; `index` where it is not the bed's own.
pub fn configure(bed: &Bed, index: &str, more: &str) {
    let objects = bed.folder.path().join("objects");
    let text = format!("[index]\nurl = \"{index}\"\n[store]\nurl = \"file:{}\"\n{more}", objects.display());
    std::fs::write(bed.folder.path().join("evertape.toml"), text).expect("a configuration");
}

/// Runs `evertape` with the bed's configuration.
pub async fn run(bed: &Bed, arguments: &[&str], crash_at: Option<&str>) -> (Ended, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evertape"));
    command.args(arguments).arg("--config").arg(bed.folder.path().join("evertape.toml"));
    command.env_remove("EVERTAPE_CRASH_AT");
    if let Some(step) = crash_at {
        command.env("EVERTAPE_CRASH_AT", step);
    }
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.expect("evertape starts");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let ended = match (output.status.signal(), output.status.code()) {
        (Some(9), _) => Ended::Killed,
        (_, Some(code)) => Ended::Code(code),
        other => panic!("it ended with {other:?}: {said}"),
    };
    (ended, said)
}

/// What store and index have, but for moments that depend on when the program ran.
#[derive(Debug, PartialEq, Eq)]
pub struct State {
    pub streams: BTreeMap<StreamName, StreamState>,
    pub objects: BTreeSet<String>,
    pub removed: Vec<StreamName>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct StreamState {
    /// Rows, and whether they are marked.
    pub rows: Vec<(Segment, bool)>,
    /// Numbers that have sample tables.
    pub tables: Vec<u64>,
    pub tail: Tail,
    pub extent: Option<Extent>,
    pub bytes: u64,
    pub locks: Vec<Lock>,
}

impl State {
    pub async fn of(bed: &Bed, index: &dyn Index) -> Self {
        let mut streams = BTreeMap::new();
        for stream in index.streams().await.unwrap() {
            let rows = index.rows(&stream, all_time(), None, usize::MAX).await.unwrap();
            let tables = index.sample_tables(&stream, 0, 1 << 40).await.unwrap();
            let state = StreamState {
                rows: rows.into_iter().map(|r| (r.segment, r.marked.is_some())).collect(),
                tables: tables.into_iter().map(|t| t.0).collect(),
                tail: index.tail(&stream).await.unwrap(),
                extent: index.extent(&stream).await.unwrap(),
                bytes: index.stored_bytes(&stream).await.unwrap(),
                locks: index.locks(&stream, UtcRange::new(UtcUs(i64::MIN), UtcUs(i64::MAX))).await.unwrap(),
            };
            streams.insert(stream, state);
        }
        let objects = bed.store.list("", None, 1_000_000).await.unwrap();
        let removed = index.removed().await.unwrap();
        Self {
            streams,
            objects: objects.into_iter().map(|o| o.key.to_string()).collect(),
            removed: removed.into_iter().map(|r| r.stream).collect(),
        }
    }

    pub fn listed(&self) -> impl Iterator<Item = &Segment> {
        self.streams.values().flat_map(|s| &s.rows).filter(|(_, marked)| !marked).map(|(segment, _)| segment)
    }

    pub fn rows(&self) -> impl Iterator<Item = &Segment> {
        self.streams.values().flat_map(|s| &s.rows).map(|(segment, _)| segment)
    }

    /// Listed rows whose object is not there.
    pub fn listed_without_object(&self) -> usize {
        self.listed().filter(|s| !self.objects.contains(s.object.as_str())).count()
    }

    /// Segment objects that no row names.
    pub fn without_row(&self) -> usize {
        let named: BTreeSet<&str> = self.rows().map(|s| s.object.as_str()).collect();
        self.objects.iter().filter(|o| o.ends_with(".cmfs") && !named.contains(o.as_str())).count()
    }
}

/// What is printed of one step.
pub struct Line {
    pub step: String,
    /// As the killed process left it.
    pub left: State,
    /// After the second run.
    pub after: State,
}

/// Runs a scenario for each step, some at a time.
pub async fn each<F: Future<Output = Line>>(steps: &[&'static str], one: impl Fn(&'static str) -> F) -> Vec<Line> {
    futures::stream::iter(steps.iter().map(|step| one(step))).buffered(AT_A_TIME).collect().await
}

/// The table.
pub fn print(title: &str, undisturbed: &State, lines: &[Line]) {
    println!("\n{title}");
    println!(
        "{:<34} | {:>6} {:>7} {:>9} {:>7} | {:>6} {:>7} {:>9} {:>7} | same as undisturbed",
        "killed at", "listed", "objects", "no object", "no row", "listed", "objects", "no object", "no row"
    );
    let columns = |s: &State| {
        let segments = s.objects.iter().filter(|o| o.ends_with(".cmfs")).count();
        format!("{:>6} {segments:>7} {:>9} {:>7}", s.listed().count(), s.listed_without_object(), s.without_row())
    };
    println!("{:<34} | {:>32} | {} | ", "(undisturbed)", "", columns(undisturbed));
    for Line { step, left, after } in lines {
        let same = if after == undisturbed { "yes" } else { "NO" };
        println!("{step:<34} | {} | {} | {same}", columns(left), columns(after));
    }
}
