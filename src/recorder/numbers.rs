//! Numbers for segments: sequence, discontinuity, run.
//!
//! Comes in: segments in the order of the timeline. Goes out: what they are called. Dense, but for the room that is
//! left where another recorder may have what is missing. Never: I/O.

use super::segmenter::CutSegment;
use crate::media::segment::SegmentId;
use crate::media::{RunId, StreamName, UtcUs};
use crate::playback::plan::MAX_LOST;

/// Shorter gaps get no room: there is nothing in them.
const LEAST_GAP_US: i64 = 500_000;

/// What the next segment is numbered by.
#[derive(Debug, Clone)]
pub struct Numbers {
    /// Number for the next segment.
    pub sequence: u64,
    /// Discontinuity number of the last segment.
    pub discontinuity: u64,
    /// The run that is under way.
    pub run: Option<RunId>,
    /// A segment was lost: the next one follows a discontinuity.
    pub lost: bool,
    /// End of the last segment.
    pub end: UtcUs,
    /// Length of a segment, in microseconds.
    pub segment_us: i64,
    /// Numbers are left free where a new run begins after a gap: another recorder may have what is missing.
    pub leaves_room: bool,
}

impl Numbers {
    /// The name of the next segment, and its discontinuity number. A new run is called `run`.
    pub fn next(&mut self, stream: &StreamName, epoch: u64, cut: &CutSegment, run: RunId) -> (SegmentId, u64) {
        if cut.new_run && self.leaves_room && self.sequence > 0 {
            let gap_us = cut.start.since(self.end);
            let numbers = u64::try_from(gap_us).unwrap_or(0).div_ceil(self.segment_us.max(1).unsigned_abs());
            // More could not be shown as missing: the playlists would go on behind the gap anyway.
            if gap_us >= LEAST_GAP_US && numbers <= MAX_LOST {
                self.sequence += numbers;
            }
        }
        let run = match self.run {
            Some(under_way) if !cut.new_run => under_way,
            _ => run,
        };
        self.run = Some(run);
        let breaks = cut.discontinuity || cut.new_run || std::mem::take(&mut self.lost);
        let discontinuity = self.discontinuity + u64::from(breaks && self.sequence > 0);
        let id = SegmentId {
            stream: stream.clone(),
            run,
            epoch,
            sequence: self.sequence,
            start: cut.start,
            duration_us: cut.duration_us,
        };
        (id, discontinuity)
    }

    /// The segment is in the spool: its number is given.
    pub fn written(&mut self, id: &SegmentId, discontinuity: u64) {
        self.sequence = id.sequence + 1;
        self.discontinuity = discontinuity;
        self.end = id.end();
    }

    /// The segment is nowhere: its number is free, and what follows is behind a gap.
    pub fn lost(&mut self) {
        self.lost = true;
    }
}
