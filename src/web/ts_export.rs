//! TS exports: the virtual file, muxed piece by piece as it is sent.
//!
//! Comes in: a window. Goes out: any range of the file, muxed from the objects it touches and no others. What a
//! request holds is the plan (shared by the requests for one file), the piece being sent and the next objects.

use super::Node;
use super::answers::init_hashes;
use super::body::object_range;
use super::cache::rows::Known;
use super::cache::tables::Name;
use super::export::{self, Head, Piece, cache_name, failed, placed, respond, window_of};
use super::problem::Problem;
use crate::media::segment::SegmentWithTables;
use crate::media::{Segment, StreamName, UtcRange, UtcUs};
use crate::playback::export::TableSet;
use crate::playback::ts_export::{TsExportBuilder, TsExportError, TsExportPlan, TsPiece};
use crate::playback::url::TrackChoice;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};
use http::{HeaderMap, Method, Response};
use std::ops::Range;
use std::sync::Arc;
use tokio_util::task::AbortOnDropHandle;

/// Objects that are read ahead of the piece being sent, itself counted.
const READ_AHEAD: usize = 2;
/// Segments whose sample tables are in memory at once while a plan is made.
const SEGMENTS_AT_ONCE: usize = 256;
/// No object is larger.
const LARGEST_OBJECT_BYTES: u64 = 1 << 30;

impl From<TsExportError> for Problem {
    fn from(error: TsExportError) -> Self {
        match error {
            TsExportError::NothingRecorded => Self::not_found("Nothing was recorded in this window."),
            other => {
                let cause = std::error::Error::source(&other).map(ToString::to_string);
                tracing::error!(error = %other, cause, "a TS export cannot be made");
                Self::internal()
            }
        }
    }
}

/// The file, or the asked-for part of it.
pub async fn answer(
    node: &Arc<Node>,
    method: &Method,
    headers: &HeaderMap,
    stream: &StreamName,
    from: UtcUs,
    duration_us: i64,
    tracks: Option<&TrackChoice>,
) -> Result<Response<Body>, Problem> {
    let place = node.export_place(super::TS_EXPORT_PLACES)?;
    let (plan, _, settled) = plan(node, stream, from, duration_us, tracks).await?;
    let head = Head {
        total_bytes: plan.total_bytes(),
        etag: plan.etag(),
        file_name: plan.file_name(),
        gaps: plan.gaps(),
        content_type: "video/mp2t",
        settled,
    };
    let body = |wanted| Body::from_stream(placed(bytes_of(node.clone(), plan.clone(), wanted), place));
    Ok(respond(method, headers, &head, body))
}

/// The plan of a file, its window, and whether nothing more can come into it.
pub async fn plan(
    node: &Arc<Node>,
    stream: &StreamName,
    from: UtcUs,
    duration_us: i64,
    tracks: Option<&TrackChoice>,
) -> Result<(Arc<TsExportPlan>, UtcRange, bool), Problem> {
    let (known, range, settled) = window_of(node, stream, from, duration_us).await?;
    let make = make_plan(node, stream, known, range, tracks);
    let plan = if settled {
        let name = cache_name(stream, range, tracks);
        node.ts_exports.try_get_with(name, make).await.map_err(|problem| Problem::clone(&problem))?
    } else {
        make.await?
    };
    Ok((plan, range, settled))
}

async fn make_plan(
    node: &Arc<Node>,
    stream: &StreamName,
    known: Known,
    range: UtcRange,
    tracks: Option<&TrackChoice>,
) -> Result<Arc<TsExportPlan>, Problem> {
    let reached = export::rows(node, stream, &known, range, 0).await?;
    let segments = reached.segments();
    let inits = node.rows.inits(stream, &init_hashes(segments.iter().copied())).await?;
    let chosen = export::chosen(&segments, tracks)?;
    let mut builder = TsExportBuilder::new(range, inits, chosen);
    for page in segments.chunks(SEGMENTS_AT_ONCE) {
        let names: Vec<Name> = page.iter().map(|s| (s.id.sequence, s.id.epoch)).collect();
        let mut tables = TableSet::new();
        node.rows.tables(stream, &names, &mut tables).await?;
        let page: Vec<Segment> = page.iter().copied().cloned().collect();
        // The layout of some ten thousand samples: off the threads that serve others.
        let added = tokio::task::spawn_blocking(move || {
            for segment in page {
                let tables = tables.all(segment.id.sequence).unwrap_or_default();
                builder.add(&SegmentWithTables { segment, tables })?;
            }
            Ok::<_, TsExportError>(builder)
        });
        builder = added.await.map_err(|error| {
            tracing::error!(%error, "a TS export's plan failed");
            Problem::internal()
        })??;
    }
    Ok(Arc::new(builder.finish()?))
}

/// The bytes `range` of the file. The next object is read while a piece is sent; it is muxed when its turn comes.
fn bytes_of(node: Arc<Node>, plan: Arc<TsExportPlan>, range: Range<u64>) -> impl stream::Stream<Item = Piece> + Send {
    let pieces = Walk { plan: plan.clone(), at: range.start, end: range.end };
    stream::iter(pieces)
        .map(move |piece| {
            let node = node.clone();
            async move {
                // A task of its own: while a slow viewer takes the piece before, nobody polls this one.
                let (key, range) = (piece.object.clone(), piece.object_range.clone());
                let reading = tokio::spawn(async move { read(&node, key, range).await });
                let object = AbortOnDropHandle::new(reading).await.map_err(failed)??;
                Ok::<_, std::io::Error>((piece, object))
            }
        })
        .buffered(READ_AHEAD)
        .and_then(move |(piece, object)| {
            let (plan, range) = (plan.clone(), range.clone());
            async move {
                let file = piece.file_range.clone();
                let muxed = tokio::task::spawn_blocking(move || plan.mux(&piece, &object)).await.map_err(failed)?;
                let bytes = Bytes::from(muxed.map_err(failed)?);
                let from = range.start.max(file.start) - file.start;
                let to = range.end.min(file.end) - file.start;
                Ok(bytes.slice(from as usize..to as usize))
            }
        })
}

async fn read(node: &Node, key: crate::media::ObjectKey, range: Range<u64>) -> Result<Bytes, std::io::Error> {
    let length = range.end - range.start;
    if length > LARGEST_OBJECT_BYTES {
        return Err(failed(format!("{key} is said to have {length} bytes")));
    }
    let length = length as usize;
    let mut pieces = object_range(&node.store, key, range).await.map_err(failed)?;
    let Some(first) = pieces.try_next().await.map_err(failed)? else { return Ok(Bytes::new()) };
    if first.len() == length {
        return Ok(first);
    }
    let mut all = BytesMut::with_capacity(length);
    all.extend_from_slice(&first);
    while let Some(piece) = pieces.try_next().await.map_err(failed)? {
        all.extend_from_slice(&piece);
    }
    Ok(all.freeze())
}

/// The pieces of a range, one by one, owning the plan.
struct Walk {
    plan: Arc<TsExportPlan>,
    at: u64,
    end: u64,
}

impl Iterator for Walk {
    type Item = TsPiece;

    fn next(&mut self) -> Option<TsPiece> {
        let piece = self.plan.pieces(self.at..self.end).next()?;
        self.at = piece.file_range.end;
        Some(piece)
    }
}
