//! Makes new tracks appear in the order of the PMT.
//!
//! Comes in: events, from when a PMT brings tracks. Goes out: the same events, the first parameters of each
//! new track before all else. Never: waits longer, or keeps more, than its limits.
//!
//! Tracks are numbered in the order in which they appear; without this a second audio track whose first frame
//! happens to come early would change places with the first at every reconnection.

use crate::container::{MediaEvent, SourceTrack};

/// Media time after which a silent track is not waited for, in ticks of 1/90000 s.
const MAX_WAIT_TICKS: i64 = 3 * 90_000;

/// Most bytes of samples that wait.
const MAX_BYTES: usize = 12 << 20;

/// Most events that wait.
const MAX_EVENTS: usize = 4096;

/// Events that wait until all new tracks are known.
pub(super) struct Gate {
    order: Vec<SourceTrack>,
    unknown: Vec<SourceTrack>,
    events: Vec<MediaEvent>,
    bytes: usize,
    first_dts: Option<i64>,
}

impl Gate {
    /// A gate for these tracks; none is needed for one alone.
    pub fn for_tracks(order: Vec<SourceTrack>) -> Option<Self> {
        let unknown = order.clone();
        (order.len() > 1).then_some(Self { order, unknown, events: Vec::new(), bytes: 0, first_dts: None })
    }

    /// Keeps an event. Whether it is time to open.
    pub fn hold(&mut self, event: MediaEvent) -> bool {
        let mut waited = 0;
        let broken = matches!(event, MediaEvent::Discontinuity(_));
        match &event {
            MediaEvent::Track { track, .. } => self.unknown.retain(|t| t != track),
            MediaEvent::Sample(sample) => {
                self.bytes += sample.data.len();
                waited = sample.dts.0 - *self.first_dts.get_or_insert(sample.dts.0);
            }
            _ => {}
        }
        self.events.push(event);
        broken
            || self.unknown.is_empty()
            || waited.abs() > MAX_WAIT_TICKS
            || self.bytes > MAX_BYTES
            || self.events.len() >= MAX_EVENTS
    }

    /// Gives everything.
    pub fn open(self, out: &mut Vec<MediaEvent>) {
        let mut first: Vec<Option<MediaEvent>> = vec![None; self.order.len()];
        let mut rest = Vec::with_capacity(self.events.len());
        for event in self.events {
            let place = match &event {
                MediaEvent::Track { track, .. } => self.order.iter().position(|t| t == track),
                _ => None,
            };
            match place.and_then(|at| first.get_mut(at)) {
                Some(slot) if slot.is_none() => *slot = Some(event),
                _ => rest.push(event),
            }
        }
        out.extend(first.into_iter().flatten());
        out.append(&mut rest);
    }
}
