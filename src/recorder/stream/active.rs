//! A stream's recorder while it holds the lease: placing, numbering, and the ends of it.
//!
//! Comes in: the ground to go on from, shadows, cut segments. Goes out: numbered segments in the spool and in the queue
//! of the publisher. Never: gives a number to what is committed already; numbers without a lease.

use super::super::ground::{self, Ground};
use super::super::lease;
use super::super::numbers::Numbers;
use super::super::publisher::{Prepared, Publisher, Queue};
use super::super::segmenter::CutSegment;
use super::super::shadow;
use super::super::source::spec::SourceSpec;
use super::super::timeline::{LEAST_GAP_US, Placed, Timeline};
use super::{AGAIN_AFTER, NUMBERED_AHEAD, StreamRecorder};
use crate::crash_points::reached;
use crate::media::segment::{SegmentId, SegmentWithTables};
use crate::media::{RunId, Ticks, TrackId};
use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// The time between getting a lease and losing or releasing it.
pub(super) struct Active {
    pub(super) timeline: Timeline,
    pub(super) numbers: Numbers,
    pub(super) queue: Arc<Queue>,
    pub(super) publishing: AbortOnDropHandle<bool>,
    pub(super) drain: CancellationToken,
    pub(super) stop: CancellationToken,
    /// The cut segment that was placed last.
    pub(super) last: Option<LastCut>,
    /// Run of shadows in which the committed pictures were looked for.
    pub(super) searched: Option<RunId>,
    /// Whether the committed timeline was gone on with, to the sample.
    pub(super) joined: bool,
    /// When a shadow was last found to lie before the end of what is committed, and left to be looked after.
    pub(super) left: Option<Instant>,
}

/// A cut segment, as far as the next one of its run must follow it.
#[derive(Debug, Clone, Copy)]
pub(super) struct LastCut {
    run: RunId,
    /// Its number among the cut segments; `None` for one that once had a number of the stream.
    sequence: Option<u64>,
    /// Its lead, where that begins and ends.
    lead: Option<(TrackId, Ticks, Ticks)>,
}

impl LastCut {
    pub(super) fn of(id: &SegmentId, cut: &CutSegment) -> Self {
        let lead = cut.parts.first();
        Self {
            run: id.run,
            sequence: (id.epoch == 0).then_some(id.sequence),
            lead: lead.map(|p| (p.track, p.decode_start, p.decode_start + p.table.duration())),
        }
    }

    /// Whether something is missing between it and `next`, of the same run.
    fn is_apart(&self, next: &Self) -> bool {
        match (self.sequence, next.sequence) {
            (Some(last), Some(next)) => last + 1 != next,
            // Their numbers are of two kinds, or may have been left free.
            _ => self.lead.zip(next.lead).is_none_or(|(last, next)| (next.1 - last.2).to_us().abs() >= LEAST_GAP_US),
        }
    }

    /// Whether `next`, of the same run, is the same segment once more: numbered, and not yet removed as a shadow.
    fn is_again(&self, next: &Self) -> bool {
        let lead = self.lead.zip(next.lead);
        self.sequence.is_some() != next.sequence.is_some()
            && lead.is_some_and(|(last, next)| last.0 == next.0 && next.2 <= last.2)
    }
}

/// What became of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Committed {
    /// It has its number.
    Numbered,
    /// It lies before the end of what is committed.
    Covered,
    /// It could not be spooled.
    Lost,
}

impl StreamRecorder {
    /// Begins to publish, from where the committed timeline ends.
    pub(super) fn activate(&mut self, ground: Ground) {
        let read = self.spool.shadows().and_then(|shadows| Ok((shadows, self.spool.earlier()?)));
        let (shadows, earlier) = match read {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(stream = %self.stream(), %error, "the spool cannot be read; tried again");
                self.retry = Some(Instant::now() + AGAIN_AFTER);
                return;
            }
        };
        let joint = ground.joint;
        let queue = Arc::new(Queue::default());
        for id in ground.pending {
            queue.add(id, None);
        }
        let (drain, stop) = (CancellationToken::new(), CancellationToken::new());
        let mut publisher = Publisher::new(
            self.shared.clone(),
            self.spool.clone(),
            queue.clone(),
            self.held.clone(),
            self.status.clone(),
        );
        publisher.gives_up = self.recorded.source.is_none();
        let publishing = AbortOnDropHandle::new(tokio::spawn(publisher.run(drain.clone(), stop.clone())));
        if !shadows.is_empty() || !queue.is_empty() {
            tracing::info!(stream = %self.stream(), segments = queue.len(), shadows = shadows.len(), "publishing what the spool holds");
        }
        let mut numbers = ground.numbers;
        numbers.segment_us = i64::from(self.shared.environment.segment_seconds) * 1_000_000;
        numbers.leaves_room |= self.recorded.standby;
        self.backlog = shadows.into();
        let timeline = Timeline::new(numbers.end, joint);
        self.active = Some(Active {
            timeline,
            numbers,
            queue,
            publishing,
            drain,
            stop,
            last: None,
            searched: None,
            joined: false,
            left: (!earlier.is_empty()).then(Instant::now),
        });
        self.show_waiting();
        reached("takeover.begun");
    }

    /// Stops publishing at once; what waits loses its number.
    pub(super) async fn deactivate(&mut self) {
        let Some(active) = self.active.take() else { return };
        active.stop.cancel();
        if !active.publishing.is_finished() {
            let _ = active.publishing.await;
        }
        for id in self.spool.pending().unwrap_or_default() {
            if let Err(error) = self.spool.demote(&id) {
                tracing::error!(stream = %id.stream, sequence = id.sequence, %error, "a segment that lost its number could not be moved");
            }
            reached("demotion.lease-lost");
        }
        self.backlog.clear();
        self.show_waiting();
    }

    /// Stops publishing with nothing left to publish, and lets others have the stream.
    pub(super) async fn deactivate_in_order(&mut self) {
        let Some(active) = self.active.take() else { return };
        active.drain.cancel();
        let _ = active.publishing.await;
        // Or it would be had again at once.
        self.wants.send_replace(false);
        lease::release(&*self.shared.environment.index, &self.held).await;
        self.show_waiting();
    }

    pub(super) fn can_advance(&self) -> bool {
        let room = self.active.as_ref().is_some_and(|a| a.queue.len() < NUMBERED_AHEAD);
        room && !self.backlog.is_empty()
    }

    /// Places the oldest shadow.
    pub(super) async fn advance(&mut self) {
        let Some(id) = self.backlog.front().cloned() else { return };
        let (spool, wanted) = (self.spool.clone(), id.clone());
        let read = tokio::task::spawn_blocking(move || shadow::read(&spool, &wanted, spool.shadow(&wanted)?));
        let mut cut = match read.await.map_err(anyhow::Error::from).and_then(|r| r) {
            Ok(cut) => cut,
            Err(error) => {
                let gone =
                    error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::NotFound);
                if !gone {
                    tracing::error!(stream = %id.stream, start_utc_us = id.start.0, %error,
                        "a spooled segment cannot be read; it was moved to the folder `damaged` of its spool");
                    let _ = self.spool.quarantine_shadow(&id);
                }
                self.backlog.pop_front();
                return;
            }
        };
        let Some(active) = &mut self.active else { return };
        let this = LastCut::of(&id, &cut);
        let before = active.last.filter(|last| last.run == id.run);
        if before.is_some_and(|last| last.is_again(&this)) {
            self.let_go(&id, Committed::Covered);
            self.backlog.pop_front();
            return;
        }
        active.last = Some(this);
        cut.new_run = before.is_none();
        cut.discontinuity = before.is_none_or(|last| last.is_apart(&this));
        active.timeline.comes_of(id.run);
        if active.searched != Some(id.run) && active.timeline.is_elsewhere(&cut) {
            active.searched = Some(id.run);
            self.search_content(id.run).await;
        }
        let committed = self.commit(cut, id.run).await;
        self.let_go(&id, committed);
        self.backlog.pop_front();
        self.show_waiting();
    }

    /// What becomes of a shadow that was placed.
    fn let_go(&mut self, id: &SegmentId, committed: Committed) {
        match committed {
            // There may be a gap before that end, which it fills: whoever looks after the shadows knows.
            Committed::Covered if self.may_fill(id) && self.spool.set_back(id).is_ok() => {
                reached("takeover.set-back");
                if let Some(active) = &mut self.active {
                    active.left = Some(Instant::now());
                }
            }
            Committed::Numbered | Committed::Covered => {
                self.count(committed);
                reached("takeover.numbered");
                let _ = self.spool.remove_shadow(id);
                reached("takeover.shadow-removed");
            }
            Committed::Lost => {}
        }
    }

    /// Counts what is let go because the archive has it.
    pub(super) fn count(&self, committed: Committed) {
        if committed == Committed::Covered {
            let stream = self.recorded.name.to_string();
            metrics::counter!("evertape_segments_covered_total", "stream" => stream).increment(1);
        }
    }

    /// Whether a shadow that is no part of what comes next may be media of an earlier time. Not where its time says
    /// nothing of that: it ends later than what is committed (a clock was wrong), or its source begins anew each time.
    fn may_fill(&self, id: &SegmentId) -> bool {
        !self.repeats() && self.active.as_ref().is_some_and(|active| id.end() <= active.numbers.end)
    }

    /// Whether a file is recorded, which begins anew with every process: it is not the same media that comes again.
    fn repeats(&self) -> bool {
        matches!(self.recorded.source, Some(SourceSpec::Demo | SourceSpec::File(_)))
    }

    /// Whether what was left before the end of what is committed was looked after; sees to it.
    pub(super) fn looked_after(&mut self) -> bool {
        let left = self.active.as_ref().and_then(|active| active.left);
        let done = left.is_none_or(|left| self.tended > left);
        if !done {
            self.tend();
        }
        done
    }

    /// Looks for the last committed pictures among the shadows of `run`.
    async fn search_content(&mut self, run: RunId) {
        let wanted: Vec<SegmentId> = self.backlog.iter().filter(|id| id.run == run).cloned().collect();
        let Some(active) = &mut self.active else { return };
        let Some(joint) = active.timeline.joint() else { return };
        let found = ground::find_content(&self.shared, &self.spool, joint.clone(), wanted).await;
        match found {
            Ok(found) => *joint = found,
            Err(error) => tracing::debug!(stream = %self.recorded.name, %error, "no alignment by content"),
        }
    }

    /// Places, numbers and spools a segment.
    pub(super) async fn commit(&mut self, cut: CutSegment, run: RunId) -> Committed {
        let repeats = self.repeats();
        let Some(active) = &mut self.active else { return Committed::Lost };
        if !active.timeline.comes_of(run) && repeats {
            active.timeline.forget_joint();
        }
        let waits = active.timeline.joint().is_some();
        let breaks_media = cut.new_run;
        let cut = match active.timeline.place(cut) {
            Placed::Next(cut) => cut,
            Placed::Covered => return Committed::Covered,
        };
        if waits {
            active.joined = !cut.new_run;
            tracing::info!(stream = %self.recorded.name, joined = active.joined, start_utc_us = cut.start.0, breaks_media,
                "the recording goes on behind what is committed");
            reached("takeover.joined");
        }
        let epoch = self.held.lease().map_or(0, |l| l.epoch);
        let (id, discontinuity) = active.numbers.next(&self.recorded.name, epoch, &cut, run);
        reached("segment.numbered");
        let (spool, spooled_id) = (self.spool.clone(), id.clone());
        let written = tokio::task::spawn_blocking(move || -> anyhow::Result<Prepared> {
            let (object, segment) = shadow::encode(&spooled_id, discontinuity, &cut)?;
            shadow::write(&spool, &cut, |spool| spool.put_segment(&spooled_id, &object))?;
            let tables = cut.parts.into_iter().map(|p| p.table).collect();
            Ok(Prepared { row: SegmentWithTables { segment, tables }, object: object.into() })
        });
        match written.await.map_err(anyhow::Error::from).and_then(|w| w) {
            Ok(prepared) => {
                reached("segment.spooled");
                active.numbers.written(&id, discontinuity);
                active.queue.add(id, Some(prepared));
                self.show_waiting();
                Committed::Numbered
            }
            Err(error) => {
                active.numbers.lost();
                self.lost(&id, &error);
                Committed::Lost
            }
        }
    }
}
