//! Every way of every role, in every mode, several at a time.

use crate::bed::stream;
use crate::client::{Taken, download};
use crate::proxy::{Mode, Proxy};
use crate::stage::{Common, Dice, Link, Stage, until};
use crate::table::Row;
use evertape::media::UtcRange;
use evertape::media::lock::{Lock, LockId};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;

const BROKEN_FOR: Duration = Duration::from_millis(3500);
const MENDED_FOR: Duration = Duration::from_millis(1500);
const VIEWERS: u64 = 4;
/// A viewer waits no longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Seconds of media that a lock keeps, and that are played.
const LOCKED_S: i64 = 60;

const MODES: [Mode; 9] = [
    Mode::Latency(Duration::from_millis(150)),
    Mode::Unavailable(30),
    Mode::Cut,
    Mode::Throttle(30_000),
    Mode::Reset,
    Mode::LostPuts(50),
    Mode::Blackhole,
    Mode::Truncate(3000),
    Mode::Hang,
];

/// PostgreSQL does not speak HTTP: there it is latency, and a truncation in the middle of an answer.
fn for_sql(mode: Mode) -> Mode {
    match mode {
        Mode::Unavailable(_) => Mode::Truncate(100),
        Mode::LostPuts(_) => Mode::Latency(Duration::from_millis(600)),
        mode => mode,
    }
}

/// Recorder, standby, node and janitor; each of their eight ways is in another mode, and in each mode once.
pub async fn every_link_in_every_mode(common: Arc<Common>) -> Row {
    let mut stage = Stage::fast(&common, 4).await;
    let mut links: Vec<Link> = Vec::new();
    for seed in 0..5 {
        links.push(stage.seeded_link(seed).await);
    }
    let [active, standby] = stage.two([&links[0].with(), &links[1].with()]).await;
    stage.records_s(LOCKED_S).await;
    let first = stage.bed.listed().await[0].id.start;
    let range = UtcRange::new(first, first.plus_us(LOCKED_S * 1_000_000));
    let lock = Lock { id: LockId(1), stream: stream(), range, title: "played".into(), created: first, expires: None };
    stage.bed.index.add_lock(&lock).await.expect("a lock");
    let node = stage.play("play", &links[2]).await;
    let keep = "retention_bytes = \"2500000\"";
    let janitor = stage.janitor("janitor", &links[3], keep, "grace = \"3s\"\ninterval = \"500ms\"", &[]);
    // One that nobody disturbs says what is right.
    let undisturbed = stage.play("undisturbed", &links[4]).await;
    let seen = Arc::new(Mutex::new(Seen::default()));
    let viewing: Vec<_> = (1..=VIEWERS)
        .map(|seed| view([node.address, undisturbed.address], range, Dice(seed), seen.clone()))
        .map(|viewer| AbortOnDropHandle::new(tokio::spawn(viewer)))
        .collect();
    let ways: Vec<(&Proxy, bool)> = links[..4].iter().flat_map(|l| [(&l.sql, true), (&l.s3, false)]).collect();
    for step in 0..MODES.len() {
        for (n, (proxy, is_sql)) in ways.iter().enumerate() {
            let mode = MODES[(step + n) % MODES.len()];
            proxy.set(if *is_sql { for_sql(mode) } else { mode });
        }
        tokio::time::sleep(BROKEN_FOR).await;
        ways.iter().for_each(|(proxy, _)| proxy.set(Mode::Pass));
        tokio::time::sleep(MENDED_FOR).await;
    }
    let up = stage.catches_up().await;
    drop(viewing);
    let seen = *seen.lock().expect("nobody panics there");
    // What was locked goes, so that what is left is in one piece.
    stage.bed.index.remove_lock(&stream(), LockId(1)).await.expect("no lock");
    let oldest = async || stage.bed.listed().await.first().map(|s| s.id.start);
    until("what was locked is deleted", async || oldest().await.is_some_and(|oldest| oldest > range.end)).await;
    janitor.stop().await;
    stage.is_filled().await;
    standby.stop().await;
    active.stop().await;
    let ledger = stage.ledger().await;
    assert_eq!(ledger.lost(), 0, "{ledger:?}");
    assert_eq!(seen.wrong, 0, "{seen:?}");
    assert!(seen.right > 0 && seen.refused + seen.broken > 0, "{seen:?}");
    let more = format!(
        "{} modes; downloads: {} right, {} refused, {} broke off, 0 wrong; {} discontinuities",
        MODES.len(),
        seen.right,
        seen.refused,
        seen.broken,
        ledger.discontinuities
    );
    Row::of("every way of every role in every mode", &stage, &ledger).caught_up(up).more(more)
}

/// What a viewer got.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// Whole, and the bytes that an undisturbed node gives.
    right: usize,
    /// Whole, and other bytes.
    wrong: usize,
    /// An answer that says that there is none now.
    refused: usize,
    /// Shorter than was said, so that the viewer knows.
    broken: usize,
}

impl Seen {
    /// `None` where the download broke off.
    fn note(&mut self, path: &str, right: &str, got: Option<Result<Taken, u16>>) {
        match got {
            Some(Ok(taken)) if taken.sha256() == right => self.right += 1,
            Some(Ok(_)) => self.wrong += 1,
            Some(Err(status)) => {
                assert!(status >= 500, "{path}: {status}");
                self.refused += 1;
            }
            None => self.broken += 1,
        }
    }
}

/// Downloads parts of `range`, one after the other.
async fn view([node, undisturbed]: [SocketAddr; 2], range: UtcRange, mut dice: Dice, seen: Arc<Mutex<Seen>>) {
    let mut right: HashMap<String, String> = HashMap::new();
    loop {
        let from = range.start.0 / 1_000_000 + 2 + dice.below(LOCKED_S as u64 - 25) as i64;
        let kind = ["mp4", "ts"][dice.below(2) as usize];
        let path = format!("/x/archive-{from}-{}.{kind}", 5 + dice.below(15));
        if !right.contains_key(&path) {
            let whole = download(undisturbed, &path).await.expect("an undisturbed download").expect("a file");
            right.insert(path.clone(), whole.sha256());
        }
        let got = tokio::time::timeout(PATIENCE, download(node, &path)).await;
        seen.lock().expect("nobody panics here").note(&path, &right[&path], got.ok().and_then(Result::ok));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
