//! What is decided from a stream's row: who holds the lease, what a publish does, where the recording stands.
//!
//! Comes in: the row as read under its lock. Goes out: a decision and the row as it is to be written.
//! Never: SQL, a clock. Both adapters decide here, so they cannot differ.

use super::error::{damaged, error};
use super::row::from_sql;
use super::{Extent, IndexError, IndexErrorKind, Lease, Result, Tail};
use crate::media::{ObjectKey, Segment, StreamName, UtcUs};

/// Columns in the order of `sql::STREAM`: holder, epoch, expiry, next sequence, discontinuity, end of the newest,
/// first start, live edge, longest segment.
pub(super) type StreamColumns =
    (Option<String>, i64, Option<i64>, i64, i64, Option<i64>, Option<i64>, Option<i64>, i64);

/// Number, discontinuity and end of the newest row.
pub(super) type TailColumns = (i64, i64, i64);

/// One row of `streams`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct StreamRow {
    pub holder: Option<String>,
    pub epoch: u64,
    pub expires: Option<UtcUs>,
    pub tail: Tail,
    pub extent: Option<Extent>,
    /// See [`Extent::longest_us`]; known of a stream of which nothing is listed, too.
    pub longest_us: i64,
}

/// A row that has the sequence of a segment to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Existing {
    pub start: UtcUs,
    pub epoch: u64,
    pub object: String,
}

/// Who writes a segment.
#[derive(Debug, Clone, Copy)]
pub(super) enum Writer<'a> {
    /// The holder of the stream's lease.
    Holder(&'a Lease),
    /// Anybody, into a free number.
    Fill,
}

impl Writer<'_> {
    /// Whether it may write `segment` where the stream stands at `state`.
    ///
    /// # Errors
    /// `Fenced` for a holder whose epoch is over; `Other` for a number that is not below the next one.
    pub fn check(self, state: Option<StreamRow>, segment: &Segment) -> Result<StreamRow> {
        match self {
            Self::Holder(lease) => state.filter(|s| s.epoch == lease.epoch).ok_or_else(|| fenced(lease)),
            Self::Fill => state.filter(|s| segment.id.sequence < s.tail.next_sequence).ok_or_else(|| {
                error(IndexErrorKind::Other, format!("{} is not a number that could be filled", segment.object))
            }),
        }
    }

    /// What a write has to do where `existing` has the number.
    ///
    /// # Errors
    /// As [`Existing::weigh`].
    pub fn weigh(self, existing: &Existing, segment: &Segment) -> Result<Verdict> {
        match self {
            Self::Holder(_) => existing.weigh(segment),
            Self::Fill if existing.object == segment.object.as_str() => Ok(Verdict::Keep),
            Self::Fill => Ok(Verdict::Superseded),
        }
    }
}

/// What a publish has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing: it is there.
    Keep,
    /// Nothing: one of a higher epoch is there.
    Superseded,
    /// Put it in the place of the existing row.
    Replace,
}

impl StreamRow {
    /// Reads the columns.
    pub fn of(columns: StreamColumns) -> Result<Self> {
        let (holder, epoch, expires, next_sequence, discontinuity, end, first_start, live_edge, longest_us) = columns;
        Ok(Self {
            holder,
            epoch: from_sql(epoch, "lease epoch")?,
            expires: expires.map(UtcUs),
            tail: Tail {
                next_sequence: from_sql(next_sequence, "next sequence")?,
                discontinuity: from_sql(discontinuity, "discontinuity")?,
                end: end.map(UtcUs),
            },
            extent: match (first_start, live_edge) {
                (Some(first), Some(edge)) => {
                    Some(Extent { first_start: UtcUs(first), live_edge: UtcUs(edge), longest_us })
                }
                (None, None) => None,
                _ => return Err(damaged("a stream has a first start or a live edge alone")),
            },
            longest_us,
        })
    }

    /// The lease as it stands.
    pub fn lease(&self, stream: &StreamName) -> Option<Lease> {
        let (holder, expires) = (self.holder.clone()?, self.expires?);
        Some(Lease { stream: stream.clone(), holder, epoch: self.epoch, expires })
    }

    /// The lease that `holder` gets at `now`; `None` while another holds it. The epoch stays when the last
    /// holder was `holder`, even when its lease lapsed: nobody else wrote in between.
    pub fn acquire(&self, stream: &StreamName, holder: &str, now: UtcUs, ttl_us: i64) -> Option<Lease> {
        let epoch = match &self.holder {
            Some(current) if current == holder => self.epoch,
            Some(_) if self.expires.is_some_and(|expires| expires > now) => return None,
            _ => self.epoch.checked_add(1)?,
        };
        Some(Lease { stream: stream.clone(), holder: holder.to_owned(), epoch, expires: now.plus_us(ttl_us) })
    }

    /// The row after `segment` was written. When it replaced another, the extent is not known without
    /// looking: see [`Self::with_extent`].
    pub fn published(mut self, segment: &Segment) -> Self {
        let (start, end) = (segment.id.start, segment.id.end());
        let next = segment.id.sequence.saturating_add(1);
        if next >= self.tail.next_sequence {
            self.tail = Tail { next_sequence: next, discontinuity: segment.discontinuity, end: Some(end) };
        }
        self.longest_us = self.longest_us.max(segment.longest_us());
        let (first, edge) = self.extent.map_or((start, end), |old| (old.first_start, old.live_edge));
        self.extent =
            Some(Extent { first_start: first.min(start), live_edge: edge.max(end), longest_us: self.longest_us });
        self
    }

    /// The row after the newest ones were taken back and `newest` is left. Whoever holds the lease goes on from the tail as
    /// it was.
    pub fn withdrawn(mut self, newest: Option<TailColumns>) -> Result<Self> {
        if let Some((sequence, discontinuity, end)) = newest.filter(|_| self.holder.is_none()) {
            let next_sequence = from_sql(sequence, "sequence")?.saturating_add(1);
            if next_sequence < self.tail.next_sequence {
                let discontinuity = from_sql(discontinuity, "discontinuity")?;
                self.tail = Tail { next_sequence, discontinuity, end: Some(UtcUs(end)) };
            }
        }
        Ok(self)
    }

    /// The row with another extent.
    pub fn with_extent(self, extent: Option<Extent>) -> Self {
        Self { extent, ..self }
    }
}

impl Existing {
    /// What publishing `segment`, of the same sequence, has to do.
    ///
    /// # Errors
    /// `Damaged` for two different segments of one writer with one number: taking either would lose the other.
    pub fn weigh(&self, segment: &Segment) -> Result<Verdict> {
        let id = &segment.id;
        match id.epoch.cmp(&self.epoch) {
            _ if self.object == segment.object.as_str() => Ok(Verdict::Keep),
            std::cmp::Ordering::Greater => Ok(Verdict::Replace),
            std::cmp::Ordering::Less => Ok(Verdict::Superseded),
            std::cmp::Ordering::Equal => Err(error(
                IndexErrorKind::Damaged,
                format!(
                    "{} has two segments {} of epoch {}: {} and {}",
                    id.stream, id.sequence, id.epoch, self.object, segment.object
                ),
            )),
        }
    }

    /// From columns: start, epoch, object.
    pub fn of((start, epoch, object): (i64, i64, String)) -> Result<Self> {
        Ok(Self { start: UtcUs(start), epoch: from_sql(epoch, "epoch")?, object })
    }
}

/// The lease is not the caller's any more.
pub(super) fn fenced(lease: &Lease) -> IndexError {
    error(
        IndexErrorKind::Fenced,
        format!("{}: the lease of epoch {} is not {}'s any more", lease.stream, lease.epoch, lease.holder),
    )
}

/// Checks that a segment is published under the lease of its own stream.
pub(super) fn same_stream(lease: &Lease, stream: &StreamName, object: &ObjectKey) -> Result<()> {
    if lease.stream == *stream {
        return Ok(());
    }
    Err(error(IndexErrorKind::Other, format!("{object} is not of the stream {} whose lease is held", lease.stream)))
}
