//! Objects: read a little, or whole.
//!
//! Comes in: keys and sizes. Goes out: row and tables, verdicts. Never: more than [`WHOLE_BYTES`] of one object in memory.

use super::{Progress, Run, patiently};
use crate::container::cmaf::{CmafError, PartCheck, PartVerifier, SegmentScan};
use crate::media::segment::SegmentWithTables;
use crate::media::{ObjectKey, Segment};
use crate::store::{self, ObjectStore, StoreError, StoreErrorKind};
use futures::TryStreamExt;
use std::ops::Range;

/// Pieces of this size are read of an object that is checked whole.
const WHOLE_BYTES: u64 = 4 << 20;

/// An object that is not right, or not to be had.
pub(super) enum Unread {
    /// It is not (any more) there.
    Gone,
    /// It is not what it should be.
    Damaged(String),
    /// The store does not answer.
    Store(StoreError),
}

impl From<CmafError> for Unread {
    fn from(error: CmafError) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<StoreError> for Unread {
    fn from(error: StoreError) -> Self {
        match error.kind {
            StoreErrorKind::NotFound => Self::Gone,
            StoreErrorKind::RangeNotSatisfiable => Self::Damaged("it is shorter than it is listed".into()),
            _ => Self::Store(error),
        }
    }
}

/// Row and tables of an object, from a few small ranges.
pub(super) async fn scan(run: &Run, key: &ObjectKey, object_bytes: u64) -> Result<SegmentWithTables, Unread> {
    let _turn = run.reads.acquire().await;
    let mut scan = SegmentScan::new(key, object_bytes)?;
    loop {
        let bytes = read(run, key, scan.wanted()).await?;
        if let Some(read) = scan.give(&bytes)? {
            return Ok(read);
        }
    }
}

/// Reads an object of `object_bytes` bytes whole and checks every part of `segment`. Says how many are verified, and how
/// many are from before there were checksums.
pub(super) async fn verify(run: &Run, segment: &Segment, object_bytes: u64) -> Result<(u64, u64), Unread> {
    let _turn = run.reads.acquire().await;
    let mut parts: Vec<(Range<u64>, PartVerifier)> =
        segment.tracks.iter().map(|p| (p.offset..p.offset.saturating_add(p.length), PartVerifier::default())).collect();
    let mut at = 0;
    while at < object_bytes {
        let end = object_bytes.min(at + WHOLE_BYTES);
        let bytes = read(run, &segment.object, at..end).await?;
        if bytes.len() as u64 != end - at {
            return Err(Unread::Damaged("it is shorter than it is listed".into()));
        }
        for (range, verifier) in &mut parts {
            let (from, to) = (range.start.max(at), range.end.min(end));
            let piece = (from < to).then(|| bytes.get((from - at) as usize..(to - at) as usize)).flatten();
            verifier.update(piece.unwrap_or_default());
        }
        at = end;
    }
    let (mut verified, mut unverified) = (0, 0);
    for (part, (_, verifier)) in segment.tracks.iter().zip(&parts) {
        match verifier.finish() {
            PartCheck::Verified => verified += 1,
            PartCheck::Unverified => unverified += 1,
            PartCheck::Damaged => {
                return Err(Unread::Damaged(format!("track {} is not what its checksum says", part.track)));
            }
        }
    }
    Ok((verified, unverified))
}

/// A range of an object; what breaks off in the middle is read again.
async fn read(run: &Run, key: &ObjectKey, range: Range<u64>) -> Result<bytes::Bytes, StoreError> {
    let bytes = patiently(async || {
        let pieces: Vec<bytes::Bytes> = run.store.get(key, range.clone()).await?.try_collect().await?;
        Ok::<_, StoreError>(bytes::Bytes::from(pieces.concat()))
    })
    .await?;
    Progress::add(&run.progress.bytes_read, bytes.len() as u64);
    Ok(bytes)
}

/// A small object whole, at most `most` bytes.
pub(super) async fn small(store: &dyn ObjectStore, key: &ObjectKey, most: u64) -> Result<bytes::Bytes, StoreError> {
    patiently(async || store::read_all(store, key, 0..most).await).await
}
