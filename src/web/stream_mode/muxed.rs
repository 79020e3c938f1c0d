//! Parts of segments as TS, made once for all viewers who are at the same moment.
//!
//! Comes in: which samples. Goes out: packets, shared. Bounded: what is kept by bytes, what is being made by number, for
//! each holds its samples and its packets at once. Never: reads a byte of an object twice for viewers at the same
//! moment; sends samples of a part that is not what was written.

use crate::container::cmaf::{PartCheck, PartVerifier};
use crate::container::mpegts::mux::{MuxError, MuxTrack, mux};
use crate::media::segment::SegmentId;
use crate::media::{InitInfo, StreamName};
use crate::playback::feed::{PART_BYTES, Part, Stretch};
use crate::web::Node;
use crate::web::problem::Problem;
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Parts that wait for the store at a time, besides those that keep the processors busy.
const MOST_READING: usize = 16;
/// Whoever waits for longer than this to be made a part is told that the store does not keep up.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A part is not what its checksum says.
#[derive(Debug, thiserror::Error)]
#[error("a part is not what its checksum says")]
struct Damaged;

/// See the module.
pub struct MuxedParts {
    kept: moka::future::Cache<String, Bytes>,
    making: Arc<Semaphore>,
}

impl MuxedParts {
    /// Keeps about `most_bytes`.
    pub fn new(most_bytes: u64) -> Self {
        let kept = moka::future::Cache::builder()
            .weigher(|name: &String, ts: &Bytes| u32::try_from(name.len() + ts.len() + 128).unwrap_or(u32::MAX))
            .max_capacity(most_bytes)
            .build();
        let processors = std::thread::available_parallelism().map_or(2, Into::into);
        Self { kept, making: Arc::new(Semaphore::new(MOST_READING + 2 * processors)) }
    }

    /// `part` as TS. `discontinuity`: it does not go on from what is sent before it.
    ///
    /// # Errors
    /// 404 when the object is gone, 503 while the store cannot be reached, 500 for damaged samples.
    pub async fn of(
        &self,
        node: &Node,
        stream: &StreamName,
        part: &Part,
        discontinuity: bool,
    ) -> Result<Bytes, Problem> {
        let name = format!("{}|{discontinuity}", part.name());
        let made = self.kept.try_get_with(name, async {
            let busy = || Problem::unavailable("This node cannot read its store fast enough. Try again in a moment.");
            let room = tokio::time::timeout(LONGEST_WAIT, self.making.clone().acquire_owned()).await;
            let room = room.ok().and_then(Result::ok).ok_or_else(busy)?;
            make(node, stream, part, discontinuity, room).await
        });
        made.await.map_err(|problem| Problem::clone(&problem))
    }
}

/// `room` is given back when the packets are there, or nothing is held for them any more.
async fn make(
    node: &Node,
    stream: &StreamName,
    part: &Part,
    discontinuity: bool,
    room: OwnedSemaphorePermit,
) -> Result<Bytes, Problem> {
    let mut sources: Vec<(Stretch, InitInfo, Bytes)> = Vec::with_capacity(part.stretches.len());
    let whole = match part.segment_bytes <= PART_BYTES {
        true => Some(node.segment_object(&part.object, |object| verify(object, part)).await?.0),
        false => None,
    };
    for stretch in &part.stretches {
        let init = node.init_info(stream, stretch.init).await?.ok_or_else(Problem::internal)?;
        let payload = match &whole {
            Some(object) => within(object, &stretch.bytes)?,
            None if stretch.bytes.is_empty() => Bytes::new(),
            None => node.proven(&part.object, &stretch.part, &stretch.bytes).await?,
        };
        sources.push((stretch.clone(), init, payload));
    }
    let object = part.object.clone();
    let muxing = tokio::task::spawn_blocking(move || {
        // This goes on even where nobody waits for it any more.
        let _room = room;
        let tracks: Vec<MuxTrack<'_>> = sources
            .iter()
            .map(|(stretch, init, payload)| MuxTrack {
                track: stretch.track,
                params: &init.params,
                decode_start: stretch.decode_start,
                table: &stretch.samples,
                payload,
            })
            .collect();
        mux(&tracks, discontinuity)
    });
    let muxed = muxing.await.map_err(|error| {
        tracing::error!(%error, "muxing failed");
        Problem::internal()
    })?;
    muxed.map(Bytes::from).map_err(|error| match error {
        MuxError::Entry(..) | MuxError::TooManyTracks | MuxError::FrameTooLong(_) => {
            Problem::not_found("MPEG-TS cannot carry these tracks; ask for .fmp4.m3u8.")
        }
        error => {
            tracing::error!(%error, %object, "samples cannot be muxed");
            Problem::internal()
        }
    })
}

/// Whether the parts of a whole object that `part` takes of are what was written.
fn verify(object: &Bytes, part: &Part) -> Result<(), Damaged> {
    let id = SegmentId::parse_object_key(&part.object);
    let is_damaged = |stretch: &Stretch| {
        let mut verifier = PartVerifier::default();
        verifier.update(&within(object, &stretch.part).unwrap_or_default());
        verifier.finish() == PartCheck::Damaged || id.as_ref().is_some_and(|id| !verifier.is_of(id))
    };
    if part.stretches.iter().any(is_damaged) { Err(Damaged) } else { Ok(()) }
}

/// The bytes `range` of a whole object.
fn within(object: &Bytes, range: &Range<u64>) -> Result<Bytes, Problem> {
    match (usize::try_from(range.start), usize::try_from(range.end)) {
        (Ok(from), Ok(to)) if from <= to && to <= object.len() => Ok(object.slice(from..to)),
        _ => Err(Problem::not_found("This part of the recording is not (or no longer) in the store.")),
    }
}
