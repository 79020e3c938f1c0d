//! One viewer of stream mode: what comes next, and when.
//!
//! Comes in: polls of the body. Goes out: pieces of TS. Never: holds more than one part of a segment; polls the index
//! more often than [`POLL`]; waits for ever for a recording that has ended.

use super::Place;
use crate::media::segment::LONGEST_SEGMENT_US;
use crate::media::{Segment, StreamName, UtcRange, UtcUs, timeline};
use crate::playback::export::TableSet;
use crate::playback::feed::{self, Part};
use crate::playback::pacing::{self, BURST_US, Pace, Piece};
use crate::playback::url::{Shift, TrackChoice};
use crate::playback::window::WindowError;
use crate::web::Node;
use crate::web::answers;
use crate::web::playlist::as_recorded;
use crate::web::problem::Problem;
use bytes::Bytes;
use http::StatusCode;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often a viewer at the live edge looks for more. All viewers together ask the index no more often than its cache
/// lets them.
const POLL: Duration = Duration::from_millis(500);
/// Nothing new for so long: the recording has ended, or a reconnecting player finds another node. Longer than a second
/// recorder takes to take over.
const SILENCE: Duration = Duration::from_secs(180);
/// Store or index out of reach for so long: the stream breaks off.
const OUTAGE: Duration = Duration::from_secs(60);
/// Between two tries.
const RETRY: Duration = Duration::from_secs(1);
/// After a segment that had to be left out: many may be missing in a row.
const AFTER_DAMAGE: Duration = Duration::from_millis(100);
/// How far ahead rows are looked for before the gap is measured.
const LOOK_US: i64 = 2 * LONGEST_SEGMENT_US;

/// See the module.
pub struct Viewer {
    node: Arc<Node>,
    stream: StreamName,
    tracks: Option<TrackChoice>,
    place: Place,
    pace: Pace,
    began: Instant,
    /// Where the next segment is looked for: the end of the one before.
    position: UtcUs,
    /// The segment being sent, or sent last.
    current: Option<Segment>,
    /// Nothing is missing between what was sent and what comes next.
    joined: bool,
    parts: VecDeque<Part>,
    muxed: Bytes,
    pieces: VecDeque<Piece>,
    /// Since when there is nothing to send, and since when something fails.
    silent: Option<Instant>,
    failing: Option<Instant>,
}

fn microseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl Viewer {
    /// A viewer whose first part is muxed.
    ///
    /// # Errors
    /// 404 when there is nothing to begin with, 503 while index or store cannot be reached.
    pub async fn begin(
        node: Arc<Node>,
        stream: StreamName,
        shift: Shift,
        tracks: Option<TrackChoice>,
        place: Place,
    ) -> Result<Self, Problem> {
        let known = node.recorded(&stream).await?;
        let ahead_us = BURST_US + i64::from(node.options.segment_seconds) * 1_000_000;
        let at = feed::begin(shift, answers::now(), known.as_ref().map(as_recorded), ahead_us)?;
        let mut viewer = Self {
            node,
            stream,
            tracks,
            place,
            pace: Pace::new(BURST_US),
            began: Instant::now(),
            position: at,
            current: None,
            joined: true,
            parts: VecDeque::new(),
            muxed: Bytes::new(),
            pieces: VecDeque::new(),
            silent: None,
            failing: None,
        };
        let first = viewer.following().await?.ok_or(WindowError::NothingRecorded)?;
        viewer.enter(first, Some(at)).await?;
        if viewer.parts.is_empty() {
            return Err(WindowError::NoSuchTrack.into());
        }
        match viewer.mux().await {
            // Deleted meanwhile, or damaged: what follows is sent.
            Err(problem) if problem.status != StatusCode::SERVICE_UNAVAILABLE => {
                viewer.leave_out(&problem);
                if !viewer.load().await? {
                    return Err(problem);
                }
            }
            muxed => muxed?,
        }
        viewer.began = Instant::now();
        Ok(viewer)
    }

    /// The next bytes, when they are due; `None` at the end of the recording, or of this process.
    pub async fn next(&mut self) -> Option<Result<Bytes, std::io::Error>> {
        let stopping = self.node.stopping.clone();
        tokio::select! {
            biased;
            () = stopping.cancelled() => None,
            piece = self.piece() => piece,
        }
    }

    async fn piece(&mut self) -> Option<Result<Bytes, std::io::Error>> {
        loop {
            if let Some(piece) = self.pieces.front() {
                let due = u64::try_from(self.pace.due_us()).unwrap_or(0);
                tokio::time::sleep_until(self.began + Duration::from_micros(due)).await;
                self.pace.sent(microseconds(self.began.elapsed()), piece.media_us);
                let bytes = self.muxed.slice(piece.bytes.clone());
                self.pieces.pop_front();
                if self.pieces.is_empty() {
                    self.muxed = Bytes::new();
                }
                self.place.bytes.increment(bytes.len() as u64);
                return Some(Ok(bytes));
            }
            match self.load().await {
                Ok(true) => (self.silent, self.failing) = (None, None),
                Ok(false) => {
                    // What comes then is told from the row; until then nothing is asked.
                    let silent = *self.silent.get_or_insert_with(Instant::now);
                    if silent.elapsed() > SILENCE {
                        return None;
                    }
                    tokio::time::sleep(POLL).await;
                }
                Err(problem) if problem.status == StatusCode::SERVICE_UNAVAILABLE => {
                    let failing = *self.failing.get_or_insert_with(Instant::now);
                    if failing.elapsed() > OUTAGE {
                        tracing::warn!(stream = %self.stream, "a stream broke off: index or store cannot be reached");
                        return Some(Err(std::io::Error::other("broken off")));
                    }
                    tokio::time::sleep(RETRY).await;
                }
                Err(problem) => {
                    self.leave_out(&problem);
                    tokio::time::sleep(AFTER_DAMAGE).await;
                }
            }
        }
    }

    /// Gives the current segment up: it was deleted meanwhile, or is damaged.
    fn leave_out(&mut self, problem: &Problem) {
        let sequence = self.current.as_ref().map(|s| s.id.sequence);
        tracing::warn!(stream = %self.stream, sequence, why = problem.detail, "a segment is left out of a stream");
        self.parts.clear();
        self.joined = false;
    }

    /// Muxes the next part, of the next segment if need be. `false` when there is none yet.
    async fn load(&mut self) -> Result<bool, Problem> {
        if self.parts.is_empty() {
            let Some(segment) = self.following().await? else { return Ok(false) };
            self.enter(segment, None).await?;
        }
        if !self.parts.is_empty() {
            self.mux().await?;
        }
        Ok(true)
    }

    /// The first listed segment after the current one.
    async fn following(&self) -> Result<Option<Segment>, Problem> {
        let Some(known) = self.node.recorded(&self.stream).await? else { return Ok(None) };
        if known.extent.live_edge <= self.position {
            return Ok(None);
        }
        let after = self.current.as_ref().map(|s| s.id.sequence);
        let next = async |from: UtcUs| {
            let range = UtcRange::new(from, from.plus_us(LOOK_US));
            let found = self.node.overlapping(&self.stream, &known, range).await?;
            let segment = found.view.segments().find(|s| after.is_none_or(|after| s.id.sequence > after));
            Ok::<_, Problem>(segment.cloned())
        };
        if let Some(segment) = next(self.position).await? {
            return Ok(Some(segment));
        }
        if known.extent.live_edge <= self.position.plus_us(LOOK_US) {
            return Ok(None);
        }
        // A long gap: where does it end?
        let rest = UtcRange::new(self.position, UtcUs(i64::MAX));
        let spans = self.node.rows.ranges(&self.stream, rest, timeline::JOIN_TOLERANCE_US, 1).await?;
        match spans.first() {
            Some(span) if span.start > self.position => next(span.start).await,
            _ => Ok(None),
        }
    }

    /// Makes `segment` the current one, from the last sync sample by `at` on.
    async fn enter(&mut self, segment: Segment, at: Option<UtcUs>) -> Result<(), Problem> {
        let mut tables = TableSet::new();
        self.node.rows.tables(&self.stream, &[(segment.id.sequence, segment.id.epoch)], &mut tables).await?;
        self.joined &= self.current.as_ref().is_none_or(|before| feed::joins(before, &segment));
        self.position = segment.id.end();
        let segment = self.current.insert(segment);
        if !tables.contains(segment.id.sequence) {
            return Err(Problem::not_found("This part of the recording is not (or no longer) in the index."));
        }
        self.parts = feed::parts(segment, &tables, self.tracks.as_ref(), at)?.into();
        if self.parts.is_empty() {
            // None of the chosen tracks: it is left out. Many of them in a row must not keep others waiting.
            self.joined = false;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Muxes the next part.
    async fn mux(&mut self) -> Result<(), Problem> {
        let Some(part) = self.parts.front() else { return Ok(()) };
        let muxed = self.node.muxed.of(&self.node, &self.stream, part, !self.joined).await?;
        self.pieces = pacing::pieces(&muxed, part.media_us).into();
        self.muxed = muxed;
        self.joined = true;
        self.parts.pop_front();
        Ok(())
    }
}
