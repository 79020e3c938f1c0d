//! Brings the renditions of a presentation together: one stream of events in order of decoding time.
//!
//! Comes in: segments of each rendition, demuxed. Goes out: events, with the wall time at which they count as
//! arrived. Pure: says what it waits for; how long is for others to decide.
//!
//! The first rendition leads: it is always waited for. Another may be declared late, and is then not waited for
//! until it delivers again. A break of the media clock is passed by all renditions together.

use super::tracker::Known;
use crate::container::{MediaEvent, SourceTrack};
use crate::media::{Ticks, UtcUs};
use std::collections::VecDeque;

/// PTS and DTS of MPEG-TS count modulo this (ISO/IEC 13818-1 2.4.3.7).
const WRAP: i64 = 1 << 33;
/// How far a rendition may be ahead of one that stands at a break before the break is taken for its own (10 s).
const BREAK_PATIENCE: i64 = 900_000;
/// Samples this near to the lead's (20 s) are of its epoch, whatever the playlists say.
const SAME_CLOCK: i64 = 1_800_000;
/// Track numbers of the nth rendition begin at n times this.
const TRACKS_PER_RENDITION: u32 = 0x1_0000;

/// A segment of one rendition, demuxed.
#[derive(Debug)]
pub(super) struct SegmentEvents {
    /// What to remember when its first event goes out.
    pub(super) known: Known,
    /// What the demuxer still held of the segment before, given up at a break or a hole.
    pub(super) tail: Vec<MediaEvent>,
    /// Counts the breaks that this rendition's playlist has passed.
    pub(super) epoch: i64,
    /// Why there is a break before it.
    pub(super) breaks: Option<&'static str>,
    /// Something of this rendition is missing before it.
    pub(super) hole: bool,
    /// When its end arrived, if arrival says anything.
    pub(super) arrival: Option<UtcUs>,
    pub(super) events: Vec<MediaEvent>,
}

/// What comes out.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub(super) events: Vec<MediaEvent>,
    pub(super) arrival: Option<UtcUs>,
    /// Segments that began, by rendition.
    pub(super) begun: Vec<(usize, Known)>,
}

#[derive(Debug)]
enum Queued {
    Begin { known: Known, arrival: Option<(UtcUs, i64)> },
    Break { epoch: i64, why: &'static str },
    Hole,
    Event(MediaEvent),
}

#[derive(Debug, Default)]
struct Lane {
    queue: VecDeque<Queued>,
    finished: bool,
    late: bool,
    epoch: i64,
    /// What to add to the epochs of its playlist, which may count fewer or more breaks than the lead's.
    offset: i64,
    /// Breaks inside the media, which the playlist does not count.
    inner: i64,
    last_dts: Option<i64>,
    /// Ticks to add, once known in this epoch.
    shift: Option<i64>,
}

impl Lane {
    /// Queues events; a break inside them is one for all renditions to pass together.
    fn take(&mut self, events: Vec<MediaEvent>, epoch: i64) {
        for event in events {
            let queued = match event {
                MediaEvent::Discontinuity(why) => {
                    self.inner += 1;
                    Queued::Break { epoch: epoch + self.inner, why }
                }
                event => Queued::Event(event),
            };
            self.queue.push_back(queued);
        }
    }
}

/// The renditions on their way out.
#[derive(Debug)]
pub(super) struct Merge {
    lanes: Vec<Lane>,
    epoch: i64,
    /// DTS of the lead's latest sample in this epoch.
    lead_dts: Option<i64>,
    /// The lead segment's arrival and the DTS that arrived then.
    arrival: Option<(UtcUs, i64)>,
}

impl Merge {
    /// For so many renditions; the first leads.
    pub(super) fn new(renditions: usize) -> Self {
        let lanes = (0..renditions).map(|_| Lane::default()).collect();
        Self { lanes, epoch: 0, lead_dts: None, arrival: None }
    }

    /// Takes a segment of a rendition.
    pub(super) fn push(&mut self, rendition: usize, segment: SegmentEvents) {
        let Some(lane) = self.lanes.get_mut(rendition) else { return };
        lane.late = false;
        lane.take(segment.tail, segment.epoch);
        if let Some(why) = segment.breaks {
            lane.queue.push_back(Queued::Break { epoch: segment.epoch + lane.inner, why });
        } else if segment.hole {
            lane.queue.push_back(Queued::Hole);
        }
        let last = segment.events.iter().rev().find_map(|event| match event {
            MediaEvent::Sample(sample) => Some(sample.dts.0),
            _ => None,
        });
        lane.queue.push_back(Queued::Begin { known: segment.known, arrival: segment.arrival.zip(last) });
        lane.take(segment.events, segment.epoch);
    }

    /// Takes the last events of a rendition, which belong to the segment before.
    pub(super) fn push_tail(&mut self, rendition: usize, events: Vec<MediaEvent>, epoch: i64) {
        if let Some(lane) = self.lanes.get_mut(rendition) {
            lane.take(events, epoch);
        }
    }

    /// A rendition has come to its end.
    pub(super) fn finish(&mut self, rendition: usize) {
        if let Some(lane) = self.lanes.get_mut(rendition) {
            lane.finished = true;
        }
    }

    /// Whether all renditions have ended and nothing is left.
    pub(super) fn is_done(&self) -> bool {
        self.lanes.iter().all(|lane| lane.finished && lane.queue.is_empty())
    }

    /// Whether the lead has ended and nothing of it is left.
    pub(super) fn lead_is_done(&self) -> bool {
        self.lanes.first().is_some_and(|lane| lane.finished && lane.queue.is_empty())
    }

    /// Whether this rendition still has something queued.
    pub(super) fn has_queued(&self, rendition: usize) -> bool {
        self.lanes.get(rendition).is_some_and(|lane| !lane.queue.is_empty())
    }

    /// Renditions, apart from the lead, that hold up the others.
    pub(super) fn awaited(&self) -> Vec<usize> {
        if self.lanes.iter().all(|lane| lane.queue.is_empty()) {
            return Vec::new();
        }
        let empty = |lane: &Lane| lane.queue.is_empty() && !lane.finished && !lane.late;
        self.lanes.iter().enumerate().skip(1).filter(|(_, lane)| empty(lane)).map(|(n, _)| n).collect()
    }

    /// Goes on without these renditions until they deliver again.
    pub(super) fn give_up(&mut self, renditions: &[usize]) {
        for n in renditions {
            if let Some(lane) = self.lanes.get_mut(*n) {
                lane.late = true;
            }
        }
    }

    /// Up to about `limit` events that are in order now; empty when something must be waited for.
    pub(super) fn pull(&mut self, limit: usize) -> Merged {
        let mut merged = Merged::default();
        while merged.events.len() < limit {
            if !self.step(&mut merged) {
                break;
            }
        }
        merged.arrival = match (self.arrival, self.lead_dts) {
            // As if the segment had arrived in real time, ending when its end did.
            (Some((utc, end)), Some(dts)) => Some(utc.plus_us(-Ticks(end.saturating_sub(dts)).to_us())),
            _ => None,
        };
        merged
    }

    /// One step; false when nothing can go out.
    fn step(&mut self, merged: &mut Merged) -> bool {
        // What has no time goes out as soon as it is reached.
        for n in 0..self.lanes.len() {
            if self.pass_timeless(n, merged) {
                return true;
            }
        }
        let waiting = |lane: &Lane| lane.queue.is_empty() && !lane.finished && !lane.late;
        if self.lanes.iter().any(waiting) {
            return false;
        }
        // Now each queue is empty, or begins with a sample or a break.
        let head = |lane: &Lane| match lane.queue.front() {
            Some(Queued::Event(MediaEvent::Sample(sample))) => {
                Some(sample.dts.0.saturating_add(lane.shift.unwrap_or(0)))
            }
            _ => None,
        };
        let first = self.lanes.iter().enumerate().filter_map(|(n, lane)| Some((head(lane)?, n))).min();
        let Some((dts, n)) = first else { return self.pass_break(merged) };
        if self.break_is_lonely(dts, merged) {
            return true;
        }
        let Some(Queued::Event(event)) = self.lanes.get_mut(n).and_then(|lane| lane.queue.pop_front()) else {
            return false;
        };
        self.give_out(n, event, merged);
        true
    }

    /// Passes what stands at the head of a queue and has no time. True when something was passed.
    fn pass_timeless(&mut self, n: usize, merged: &mut Merged) -> bool {
        let (epoch, lead_dts) = (self.epoch, self.lead_dts);
        let lead_head = self.lanes.first().and_then(|lead| match lead.queue.front() {
            Some(Queued::Event(MediaEvent::Sample(sample))) => Some(sample.dts.0),
            _ => None,
        });
        let Some(lane) = self.lanes.get_mut(n) else { return false };
        match lane.queue.front() {
            None => return false,
            Some(Queued::Break { epoch: to, .. }) if *to + lane.offset > epoch => return false,
            Some(Queued::Event(MediaEvent::Sample(sample))) => {
                if lane.epoch < epoch {
                    let near = lead_dts.or(lead_head).is_some_and(|lead| {
                        let distance = lead.saturating_sub(sample.dts.0);
                        distance.saturating_sub(nearest_wrap(distance)).abs() < SAME_CLOCK
                    });
                    if near {
                        lane.offset += epoch - lane.epoch;
                        lane.epoch = epoch;
                        lane.shift = None;
                    } else {
                        // Of the time before a break that the others have passed.
                        lane.queue.pop_front();
                    }
                    return true;
                }
                if lane.shift.is_none() {
                    lane.shift = match (n, lead_dts.or(lead_head)) {
                        (0, _) => Some(0),
                        // Each demuxer unwraps by itself: whole wraps may lie between them.
                        (_, Some(lead)) => Some(nearest_wrap(lead.saturating_sub(sample.dts.0))),
                        (_, None) => None,
                    };
                }
                return false;
            }
            Some(_) => {}
        }
        match lane.queue.pop_front() {
            Some(Queued::Break { epoch: to, .. }) => {
                // Others have passed it already.
                lane.epoch = (to + lane.offset).max(lane.epoch);
                lane.shift = None;
                lane.last_dts = None;
            }
            Some(Queued::Begin { known, arrival }) => {
                merged.begun.push((n, known));
                if n == 0 {
                    self.arrival = arrival;
                }
            }
            Some(Queued::Hole) if n == 0 => {
                merged.events.push(MediaEvent::Discontinuity("segments of the source were missed"));
            }
            Some(Queued::Hole) => merged.events.push(MediaEvent::Damage("segments of an audio rendition were missed")),
            Some(Queued::Event(event)) => self.give_out(n, event, merged),
            None => {}
        }
        true
    }

    /// A rendition that stands at a break while another (whose next sample is at `dts`) has gone on for long: then
    /// the playlists do not agree on breaks. The lead's breaks count for all, those of others are dropped.
    fn break_is_lonely(&mut self, dts: i64, merged: &mut Merged) -> bool {
        let epoch = self.epoch;
        let lonely = self.lanes.iter().position(|lane| {
            let stands =
                matches!(lane.queue.front(), Some(Queued::Break { epoch: to, .. }) if to + lane.offset > epoch);
            stands && lane.last_dts.is_some_and(|last| dts.saturating_sub(last) > BREAK_PATIENCE)
        });
        match lonely {
            None => false,
            Some(0) => self.pass_break(merged),
            Some(n) => {
                if let Some(lane) = self.lanes.get_mut(n)
                    && let Some(Queued::Break { epoch: to, .. }) = lane.queue.pop_front()
                {
                    lane.offset = epoch - to;
                    lane.shift = None;
                }
                merged.events.push(MediaEvent::Damage("an audio rendition has a break that the video has not"));
                true
            }
        }
    }

    /// All that is left begins with a break: passes the nearest.
    fn pass_break(&mut self, merged: &mut Merged) -> bool {
        let next = self.lanes.iter().filter_map(|lane| match lane.queue.front() {
            Some(Queued::Break { epoch, why }) => Some((epoch + lane.offset, *why)),
            _ => None,
        });
        let Some((epoch, why)) = next.min_by_key(|(epoch, _)| *epoch) else { return false };
        self.epoch = epoch;
        self.lead_dts = None;
        self.arrival = None;
        merged.events.push(MediaEvent::Discontinuity(why));
        true
    }

    fn give_out(&mut self, n: usize, mut event: MediaEvent, merged: &mut Merged) {
        let shift = Ticks(self.lanes.get(n).and_then(|lane| lane.shift).unwrap_or(0));
        let base = u32::try_from(n).unwrap_or(0) * TRACKS_PER_RENDITION;
        let place = |track: SourceTrack| SourceTrack(base.wrapping_add(track.0 % TRACKS_PER_RENDITION));
        match &mut event {
            MediaEvent::Sample(sample) => {
                sample.dts = sample.dts + shift;
                sample.pts = sample.pts + shift;
                sample.track = place(sample.track);
                if n == 0 {
                    self.lead_dts = Some(sample.dts.0);
                }
                if let Some(lane) = self.lanes.get_mut(n) {
                    lane.last_dts = Some(sample.dts.0);
                }
            }
            MediaEvent::Track { track, .. } | MediaEvent::TrackGone(track) => *track = place(*track),
            MediaEvent::WallTime { .. } if n > 0 => return,
            _ => {}
        }
        merged.events.push(event);
    }
}

/// The multiple of 2^33 nearest to `distance`.
fn nearest_wrap(distance: i64) -> i64 {
    distance.saturating_add(WRAP / 2).div_euclid(WRAP).saturating_mul(WRAP)
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
