//! What all sources share on the way out: order, breaks, counting, logging, and the watch for stalls.
//!
//! Comes in: events of a session. Goes out: `SourceItem`s into the recorder's channel. Waits while it is full.

use super::{SourceContext, SourceCounters, SourceError, SourceItem, now_utc};
use crate::container::MediaEvent;
use crate::media::{UtcUs, track::Uncarried};
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

/// Kinds of damage are told again after this long.
const REPEAT: Duration = Duration::from_secs(60);
/// Uncarried streams remembered; more than any source has.
const MAX_UNCARRIED: usize = 256;

/// Notices when no media comes.
pub(super) struct Watch {
    state: Mutex<WatchState>,
    /// The recorder is slow, not the source.
    blocked: AtomicBool,
}

struct WatchState {
    last: Instant,
    limit: Option<Duration>,
}

impl Watch {
    fn new(limit: Duration) -> Self {
        Self {
            state: Mutex::new(WatchState { last: Instant::now(), limit: Some(limit) }),
            blocked: AtomicBool::new(false),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, WatchState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the source may be silent from now on; `None` for as long as it likes.
    pub(super) fn set_limit(&self, limit: Option<Duration>) {
        self.state().limit = limit;
    }

    /// Media came.
    pub(super) fn progress(&self) {
        self.state().last = Instant::now();
    }

    /// Runs `session`, unless the source falls silent for longer than the limit.
    pub(super) async fn guard<T>(
        self: Arc<Self>,
        session: impl Future<Output = Result<T, SourceError>>,
    ) -> Result<T, SourceError> {
        let mut session = std::pin::pin!(session);
        loop {
            let now = Instant::now();
            let look = {
                let state = self.state();
                match state.limit {
                    None => now + Duration::from_secs(1),
                    Some(_) if self.blocked.load(Ordering::Relaxed) => now + Duration::from_millis(200),
                    Some(limit) if now >= state.last + limit => return Err(SourceError::Stalled(limit)),
                    // The limit may shrink before the deadline: look at least once a second.
                    Some(limit) => (state.last + limit).min(now + Duration::from_secs(1)),
                }
            };
            tokio::select! {
                ended = &mut session => return ended,
                () = tokio::time::sleep_until(look) => {}
            }
        }
    }
}

/// The way out of a source.
pub(super) struct Sink {
    out: Sender<SourceItem>,
    counters: Arc<SourceCounters>,
    stall: Duration,
    watch: Arc<Watch>,
    /// Said before the next event.
    pending_break: Option<&'static str>,
    /// Anything was ever delivered.
    delivered: bool,
    delivered_in_session: bool,
    damage: HashMap<&'static str, (Instant, u64)>,
    uncarried: HashSet<Uncarried>,
}

impl Sink {
    pub(super) fn new(out: Sender<SourceItem>, context: &SourceContext) -> Self {
        Self {
            out,
            counters: context.counters.clone(),
            stall: context.stall,
            watch: Arc::new(Watch::new(context.stall)),
            pending_break: None,
            delivered: false,
            delivered_in_session: false,
            damage: HashMap::new(),
            uncarried: HashSet::new(),
        }
    }

    /// A new connection begins; what follows does not continue what came before.
    pub(super) fn begin_session(&mut self) -> Arc<Watch> {
        if self.delivered {
            self.pending_break = Some("the source was connected anew");
        }
        self.delivered_in_session = false;
        self.watch = Arc::new(Watch::new(self.stall));
        self.watch.clone()
    }

    /// Whether media came out of this session.
    pub(super) fn delivered_in_session(&self) -> bool {
        self.delivered_in_session
    }

    /// The watch of this session.
    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Notes bytes of media.
    pub(super) fn received(&self, bytes: usize) {
        self.counters.received(bytes, now_utc());
    }

    /// Sends `events` on; they arrived at `arrival`.
    ///
    /// # Errors
    /// `Closed` when nobody wants them.
    pub(super) async fn send(&mut self, events: Vec<MediaEvent>, arrival: Option<UtcUs>) -> Result<(), SourceError> {
        if events.is_empty() {
            return Ok(());
        }
        let media = self.look_at(&events);
        if media {
            self.watch.progress();
            if !self.delivered_in_session {
                self.delivered_in_session = true;
                self.counters.set_error(None);
                self.counters.connected.store(true, Ordering::Relaxed);
                tracing::info!("media is coming in");
            }
        }
        let events = match self.pending_break.take() {
            Some(why) if !matches!(events.first(), Some(MediaEvent::Discontinuity(_))) => {
                std::iter::once(MediaEvent::Discontinuity(why)).chain(events).collect()
            }
            _ => events,
        };
        self.delivered = true;
        self.watch.blocked.store(true, Ordering::Relaxed);
        let sent = self.out.send(SourceItem { events, arrival }).await;
        self.watch.blocked.store(false, Ordering::Relaxed);
        if media {
            self.watch.progress();
        }
        sent.map_err(|_| SourceError::Closed)
    }

    /// Counts and logs; says whether there is a sample among the events.
    fn look_at(&mut self, events: &[MediaEvent]) -> bool {
        let mut media = false;
        for event in events {
            match event {
                MediaEvent::Sample(_) => media = true,
                MediaEvent::Damage(what) => self.damaged(what),
                MediaEvent::Uncarried(one) if self.uncarried.len() < MAX_UNCARRIED => {
                    if self.uncarried.insert(one.clone()) {
                        let language = one.language.as_deref();
                        tracing::info!(place = %one.place, what = %one.what, language, "this is not recorded");
                    }
                }
                MediaEvent::Track { track, params } => {
                    let language = params.language.as_deref();
                    tracing::info!(track = track.0, codec = %params.codec_string, language, "a track");
                }
                MediaEvent::TrackGone(track) => tracing::info!(track = track.0, "a track is gone"),
                MediaEvent::Discontinuity(why) => tracing::info!(why, "a break in the media clock"),
                MediaEvent::Uncarried(_) | MediaEvent::WallTime { .. } => {}
            }
        }
        media
    }

    fn damaged(&mut self, what: &'static str) {
        SourceCounters::add(&self.counters.packets_damaged, 1);
        let now = Instant::now();
        match self.damage.get_mut(what) {
            Some((at, unsaid)) if now - *at < REPEAT => *unsaid += 1,
            known => {
                let times = known.map_or(1, |(_, unsaid)| *unsaid + 1);
                tracing::warn!(what, times, "damaged input");
                self.damage.insert(what, (now, 0));
            }
        }
    }
}
