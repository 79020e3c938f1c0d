//! The recorders at work, as this one sees them, and what all streams of one process share.
//!
//! Comes in: signs of life in the index. Goes out: who is there, with room and load. A recorder is alive while its
//! counter grows, by this one's monotonic clock: no two clocks are compared. Never: decides who may write.

use super::Environment;
use super::share::Peer;
use crate::clock;
use crate::index::RecorderBeat;
use crate::media::UtcUs;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// After this long an upload goes on without its turn, so that slow ones do not keep the others waiting.
pub const TURN: Duration = Duration::from_secs(5);

/// What all streams of a process share.
pub struct Shared {
    /// Store, index and the rest.
    pub environment: Arc<Environment>,
    /// The recorders at work; empty while that is not known.
    pub peers: watch::Receiver<Vec<Peer>>,
    /// Uploads that may run at a time. Waiting is first come, first served, and a stream waits for one at a time:
    /// one with an hour of backlog takes a turn like any other.
    turns: Arc<Semaphore>,
    held: Arc<AtomicU32>,
}

/// The place of one stream among those that this recorder may hold.
#[derive(Debug)]
pub struct Seat(Arc<AtomicU32>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// Shared state, and the channel by which the peers are made known.
    pub fn new(environment: Arc<Environment>) -> (Arc<Self>, watch::Sender<Vec<Peer>>) {
        let (sender, peers) = watch::channel(Vec::new());
        let turns = Arc::new(Semaphore::new(environment.tuning.uploads.max(1)));
        (Arc::new(Self { environment, peers, turns, held: Arc::default() }), sender)
    }

    /// A place for one more stream, unless all are taken.
    pub fn seat(&self) -> Option<Seat> {
        let most = self.environment.tuning.max_streams.unwrap_or(u32::MAX);
        let taken = self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < most).then_some(n + 1));
        taken.is_ok().then(|| Seat(self.held.clone()))
    }

    /// Streams held now.
    pub fn held(&self) -> u32 {
        self.held.load(Ordering::Relaxed)
    }

    /// The next turn to upload; given back when dropped.
    pub async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        self.turns.clone().acquire_owned().await.ok()
    }
}

struct Seen {
    beat: u64,
    begun: UtcUs,
    first: Instant,
    changed: Instant,
}

/// Shows signs of life and watches for those of others, until `cancel`; then says that this one leaves.
pub async fn run(shared: Arc<Shared>, peers: watch::Sender<Vec<Peer>>, cancel: CancellationToken) {
    let environment = &shared.environment;
    let life = environment.tuning.lease;
    let every = (life / 4).max(Duration::from_millis(200));
    let mut seen: HashMap<String, Seen> = HashMap::new();
    let mut answered = Instant::now();
    let begun = clock::now();
    loop {
        let leaving = cancel.is_cancelled();
        let beat = RecorderBeat {
            recorder: environment.spool.holder().to_owned(),
            beat: 0,
            seen: clock::now(),
            capacity: environment.tuning.max_streams,
            held: shared.held(),
            leaving,
            begun,
        };
        match environment.index.beat(&beat).await {
            Ok(rows) => {
                answered = Instant::now();
                peers.send_replace(alive(&mut seen, rows, life));
            }
            Err(error) => {
                tracing::debug!(%error, "no sign of life could be given");
                if answered.elapsed() > life {
                    seen.clear();
                    peers.send_replace(Vec::new());
                }
            }
        }
        if leaving {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = cancel.cancelled() => {}
        }
    }
}

fn alive(seen: &mut HashMap<String, Seen>, rows: Vec<RecorderBeat>, life: Duration) -> Vec<Peer> {
    let now = Instant::now();
    let wall = clock::now();
    let life_us = i64::try_from(life.as_micros()).unwrap_or(i64::MAX);
    seen.retain(|name, _| rows.iter().any(|r| r.recorder == *name));
    let mut peers = Vec::new();
    for row in rows {
        let known = seen.get_mut(&row.recorder);
        // At first sight only the clocks can tell, and they may be wrong: nothing but a wait depends on it.
        let fresh = wall.since(row.seen).abs() < 2 * life_us;
        let state = match known {
            Some(state) => {
                if state.beat != row.beat {
                    // Back after a silence, or another process: of its streams it has nothing yet.
                    if now.duration_since(state.changed) > life || state.begun != row.begun {
                        state.first = now;
                    }
                    (state.beat, state.begun, state.changed) = (row.beat, row.begun, now);
                }
                state
            }
            None => {
                let changed = if fresh { now } else { now.checked_sub(life * 2).unwrap_or(now) };
                seen.entry(row.recorder.clone()).or_insert(Seen {
                    beat: row.beat,
                    begun: row.begun,
                    first: now,
                    changed,
                })
            }
        };
        if !row.leaving && now.duration_since(state.changed) <= life {
            let settled = now.duration_since(state.first) >= life;
            peers.push(Peer { recorder: row.recorder, capacity: row.capacity, held: row.held, settled });
        }
    }
    peers
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However soon it is back: nothing is handed over to a process that has just begun.
    #[test]
    fn a_recorder_that_was_started_anew_has_to_settle_again() {
        let life = Duration::from_secs(1);
        let long_ago = || Instant::now().checked_sub(life * 3).expect("the machine runs for some seconds");
        let beat = |beat, begun| RecorderBeat {
            recorder: "a".into(),
            beat,
            seen: clock::now(),
            capacity: None,
            held: 0,
            leaving: false,
            begun: UtcUs(begun),
        };
        let known = || {
            let seen = Seen { beat: 1, begun: UtcUs(1), first: long_ago(), changed: Instant::now() };
            HashMap::from([("a".to_owned(), seen)])
        };
        let settled = |seen: &mut HashMap<String, Seen>, row| alive(seen, vec![row], life).first().map(|p| p.settled);
        assert_eq!(settled(&mut known(), beat(2, 1)), Some(true), "the same process goes on");
        let mut seen = known();
        assert_eq!(settled(&mut seen, beat(2, 2)), Some(false), "another process");
        seen.get_mut("a").expect("it is known").first = long_ago();
        assert_eq!(settled(&mut seen, beat(3, 2)), Some(true), "which settles, too");
    }
}
