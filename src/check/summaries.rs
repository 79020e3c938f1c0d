//! What the index keeps of a stream as a whole (its tail, its extent, its bytes), against its rows.
//!
//! Comes in: all rows of a stream, hour by hour, from many hands. Goes out: findings. Never: one about a stream that was
//! written to meanwhile; but its next number is above all numbers at any time.

use super::report::Kind;
use super::{CheckError, Run, patiently};
use crate::index::{Extent, IndexError, IndexErrorKind, Row, Tail};
use crate::media::{ObjectKey, StreamName, UtcUs};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What is kept of a stream as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Summary {
    tail: Tail,
    extent: Option<Extent>,
    bytes: u64,
}

/// What follows from the rows seen so far.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    highest: Option<u64>,
    first_start: Option<UtcUs>,
    live_edge: Option<UtcUs>,
    bytes: u64,
    /// Some rows could not be read.
    incomplete: bool,
}

/// Sums of all streams, and what was kept of them before the first row was read.
#[derive(Default)]
pub(super) struct Summaries {
    streams: Mutex<BTreeMap<StreamName, (Option<Summary>, Sums)>>,
}

impl Summaries {
    fn with<T>(&self, stream: &StreamName, call: impl FnOnce(&mut (Option<Summary>, Sums)) -> T) -> T {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        call(streams.entry(stream.clone()).or_default())
    }

    /// Remembers what is kept of a stream, the first time; before its rows are read.
    pub async fn begin(&self, run: &Run, stream: &StreamName) -> Result<(), CheckError> {
        if self.with(stream, |s| s.0.is_some()) {
            return Ok(());
        }
        let summary = read(run, stream).await?;
        self.with(stream, |s| s.0 = s.0.or(summary));
        Ok(())
    }

    /// Rows of a stream.
    pub fn add(&self, stream: &StreamName, rows: &[Row]) {
        self.with(stream, |(_, sums)| {
            for row in rows {
                let id = &row.segment.id;
                sums.highest = sums.highest.max(Some(id.sequence));
                if row.marked.is_none() {
                    sums.bytes += row.segment.object_length;
                    sums.first_start = Some(sums.first_start.map_or(id.start, |t| t.min(id.start)));
                    sums.live_edge = sums.live_edge.max(Some(id.end()));
                }
            }
        });
    }

    /// Rows of a stream could not be read.
    pub fn incomplete(&self, stream: &StreamName) {
        self.with(stream, |s| s.1.incomplete = true);
    }

    /// Compares, once all rows were read.
    pub async fn compare(self, run: &Run) -> Result<(), CheckError> {
        let streams = self.streams.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (stream, (before, sums)) in streams {
            let Some(key) = ObjectKey::parse(stream.as_str()) else { continue };
            let now = read(run, &stream).await?;
            let found = match now {
                None => Some("it cannot be read".to_owned()),
                Some(now) if sums.highest.is_some_and(|n| n >= now.tail.next_sequence) => {
                    Some(format!("its next number would be {}, which it has", now.tail.next_sequence))
                }
                // Somebody writes, or rows are missing: the sums are of no moment.
                _ if now != before || sums.incomplete => None,
                Some(now)
                    if now.extent.map(|e| e.first_start) != sums.first_start
                        || now.extent.map(|e| e.live_edge) != sums.live_edge =>
                {
                    Some("it is said to begin or end elsewhere than its rows do".to_owned())
                }
                Some(now) if now.bytes != sums.bytes => {
                    Some(format!("it is said to have {} bytes, its rows have {}", now.bytes, sums.bytes))
                }
                Some(_) => None,
            };
            if let Some(detail) = found {
                run.report.add(Kind::StreamDiffers, Some(&stream), &key, detail);
            }
        }
        Ok(())
    }
}

/// `None` when it cannot be read.
async fn read(run: &Run, stream: &StreamName) -> Result<Option<Summary>, CheckError> {
    let summary = patiently(async || {
        let tail = run.index.tail(stream).await?;
        let extent = run.index.extent(stream).await?;
        let bytes = run.index.stored_bytes(stream).await?;
        Ok::<_, IndexError>(Summary { tail, extent, bytes })
    });
    match summary.await {
        Ok(summary) => Ok(Some(summary)),
        Err(error) if error.kind == IndexErrorKind::Damaged => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Asks the database about its own files.
pub(super) async fn integrity(run: &Run) -> Result<(), CheckError> {
    let place = ObjectKey::parse("database");
    let said = match patiently(async || run.index.integrity().await).await {
        Ok(said) => said,
        Err(error) if error.kind == IndexErrorKind::Damaged => vec![error.to_string()],
        Err(error) => return Err(error.into()),
    };
    for (line, key) in said.into_iter().zip(std::iter::repeat(place).flatten()) {
        run.report.add(Kind::DamagedDatabase, None, &key, line);
    }
    Ok(())
}
