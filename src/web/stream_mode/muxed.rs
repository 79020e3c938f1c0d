//! Parts of segments as TS, made once for all viewers who are at the same moment.
//!
//! Comes in: which samples. Goes out: packets, shared. Bounded by bytes. Never: reads a byte of an object twice for
//! viewers at the same moment; reads more than a part of a segment that is larger than one.

use crate::container::mpegts::mux::{MuxError, MuxTrack, mux};
use crate::media::{InitInfo, StreamName};
use crate::playback::feed::{PART_BYTES, Part, Stretch};
use crate::web::Node;
use crate::web::problem::Problem;
use bytes::Bytes;
use std::ops::Range;

/// Sound is read for a whole segment at a time, if it is no more than this.
const SMALL_BYTES: u64 = PART_BYTES / 4;

/// See the module.
pub struct MuxedParts {
    kept: moka::future::Cache<String, Bytes>,
}

impl MuxedParts {
    /// Keeps about `most_bytes`.
    pub fn new(most_bytes: u64) -> Self {
        let kept = moka::future::Cache::builder()
            .weigher(|name: &String, ts: &Bytes| u32::try_from(name.len() + ts.len() + 128).unwrap_or(u32::MAX))
            .max_capacity(most_bytes)
            .build();
        Self { kept }
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
        let made = self.kept.try_get_with(name, make(node, stream, part, discontinuity)).await;
        made.map_err(|problem| Problem::clone(&problem))
    }
}

async fn make(node: &Node, stream: &StreamName, part: &Part, discontinuity: bool) -> Result<Bytes, Problem> {
    let mut sources: Vec<(Stretch, InitInfo, Bytes)> = Vec::with_capacity(part.stretches.len());
    let whole = if part.segment_bytes <= PART_BYTES { Some(node.object(&part.object).await?) } else { None };
    for (n, stretch) in part.stretches.iter().enumerate() {
        let init = node.init_info(stream, stretch.init).await?.ok_or_else(Problem::internal)?;
        let all = &stretch.all_bytes;
        let payload = match &whole {
            Some(object) => within(object, 0, &stretch.bytes)?,
            None if stretch.bytes.is_empty() => Bytes::new(),
            None if n > 0 && all.end - all.start <= SMALL_BYTES => {
                within(&read(node, part, all).await?, all.start, &stretch.bytes)?
            }
            None => read(node, part, &stretch.bytes).await?,
        };
        sources.push((stretch.clone(), init, payload));
    }
    let object = part.object.clone();
    let muxing = tokio::task::spawn_blocking(move || {
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

async fn read(node: &Node, part: &Part, range: &Range<u64>) -> Result<Bytes, Problem> {
    Ok(node.objects.range(&part.object, range.clone(), |_, _| Some(true)).await?)
}

/// The bytes `range` of an object of which `bytes` are those from `start` on.
fn within(bytes: &Bytes, start: u64, range: &Range<u64>) -> Result<Bytes, Problem> {
    let cut = |at: u64| at.checked_sub(start).and_then(|at| usize::try_from(at).ok());
    match (cut(range.start), cut(range.end)) {
        (Some(from), Some(to)) if from <= to && to <= bytes.len() => Ok(bytes.slice(from..to)),
        _ => Err(Problem::not_found("This part of the recording is not (or no longer) in the store.")),
    }
}
