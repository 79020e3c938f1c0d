//! Rows whose object is gone are marked; unless that is most of a stream, which speaks for the wrong bucket.

use super::report::Kind;
use super::{CheckError, Run, patiently};
use crate::crash_points::reached;
use crate::media::StreamName;
use crate::media::segment::SegmentId;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Most rows of all streams that one run marks; more are found again by the next.
const MOST: usize = 200_000;
/// So few may always be marked.
const FEW: u64 = 10;

/// Rows without object.
#[derive(Default)]
pub(super) struct Missing {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    streams: BTreeMap<StreamName, Stream>,
    held: usize,
}

#[derive(Default)]
struct Stream {
    listed: u64,
    missing: u64,
    ids: Vec<SegmentId>,
}

impl Missing {
    fn with<T>(&self, call: impl FnOnce(&mut Inner) -> T) -> T {
        call(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// So many listed rows of a stream were seen.
    pub fn seen(&self, stream: &StreamName, rows: u64) {
        self.with(|inner| inner.streams.entry(stream.clone()).or_default().listed += rows);
    }

    /// One of them has no object.
    pub fn add(&self, id: SegmentId) {
        self.with(|inner| {
            let room = inner.held < MOST;
            inner.held += usize::from(room);
            let stream = inner.streams.entry(id.stream.clone()).or_default();
            stream.missing += 1;
            if room {
                stream.ids.push(id);
            }
        });
    }
}

/// Marks them, with repair.
pub(super) async fn mark_missing(run: &Run, missing: Missing) -> Result<(), CheckError> {
    if !run.options.repair {
        return Ok(());
    }
    let inner = missing.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (name, stream) in inner.streams {
        if stream.missing > FEW && stream.missing > stream.listed / 2 && !run.options.force {
            run.report.refuse(format!(
                "{} of {} objects of {name} are not there. Is [store] the bucket that belongs to this index? If they are \
                 lost, run again with --force",
                stream.missing, stream.listed
            ));
            continue;
        }
        for ids in stream.ids.chunks(500) {
            patiently(async || run.index.mark(ids, run.now).await).await?;
            reached("repair.rows-marked");
            run.report.repaired(Kind::RowWithoutObject, ids.len() as u64);
        }
    }
    Ok(())
}
