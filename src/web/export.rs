//! MP4 exports: the virtual file, sent slice by slice.
//!
//! Comes in: a window. Goes out: any range of the file, read from the objects it touches and no others. What a
//! request holds is the plan (shared by the requests for one file) and the pieces in flight.

use super::Node;
use super::answers::{self, init_hashes};
use super::body::object_range;
use super::cache::rows::Known;
use super::cache::tables::Name;
use super::conditional::{Selection, not_modified, select};
use super::media::{insert, unsatisfiable};
use super::playlist::as_recorded;
use super::problem::Problem;
use crate::media::segment::LONGEST_SEGMENT_US;
use crate::media::{Segment, StreamName, TrackId, UtcRange, UtcUs};
use crate::playback::export::{ExportError, ExportPlan, Slice, TablePiece, TableSet};
use crate::playback::url::TrackChoice;
use crate::playback::window;
use crate::store::ByteStream;
use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use tokio_util::task::AbortOnDropHandle;

/// Spans left out of the file because nothing is recorded: `from-to` in UTC milliseconds, comma-separated.
pub const GAPS: HeaderName = HeaderName::from_static("evertape-gaps");
/// Most gaps named in the header; more are only counted.
const MOST_GAPS: usize = 50;

impl From<ExportError> for Problem {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::NothingRecorded => Self::not_found("Nothing was recorded in this window."),
            ExportError::TooLarge => Self::bad_request("The window holds too much for one MP4 file; ask for less."),
            other => {
                tracing::error!(error = %other, "an export cannot be made");
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
    let (known, range, settled) = window_of(node, stream, from, duration_us).await?;
    let make = make_plan(node, stream, known, range, tracks);
    let plan = if settled {
        let name = cache_name(stream, range, tracks);
        node.exports.try_get_with(name, make).await.map_err(|problem| Problem::clone(&problem))?
    } else {
        make.await?
    };
    let head = Head {
        total_bytes: plan.total_bytes(),
        etag: plan.etag(),
        file_name: plan.file_name(),
        gaps: plan.gaps(),
        content_type: "video/mp4",
        settled,
    };
    let body = |wanted| Body::from_stream(bytes_of(node.clone(), plan.clone(), wanted));
    Ok(respond(method, headers, &head, body))
}

/// What of the stream is recorded, the window of a file, and whether nothing more can come into it.
pub async fn window_of(
    node: &Node,
    stream: &StreamName,
    from: UtcUs,
    duration_us: i64,
) -> Result<(Known, UtcRange, bool), Problem> {
    let known = node.recorded(stream).await?;
    let range = window::finite(from, duration_us, answers::now(), known.as_ref().map(as_recorded), &node.limits())?;
    let Some(known) = known else { return Err(ExportError::NothingRecorded.into()) };
    Ok((known, range, known.extent.live_edge >= range.end))
}

/// What a settled file's plan is kept under.
pub fn cache_name(stream: &StreamName, range: UtcRange, tracks: Option<&TrackChoice>) -> String {
    let choice = tracks.map(ToString::to_string).unwrap_or_default();
    format!("{stream}|{}|{}|{choice}", range.start.0, range.end.0)
}

/// Rows of the window, with those before it that lead into it (sound that straddles a cut, and what precedes a
/// segment without a sync sample) and up to `behind` after it. None when nothing is in the window.
pub async fn rows(
    node: &Node,
    stream: &StreamName,
    known: &Known,
    range: UtcRange,
    behind: usize,
) -> Result<Vec<Segment>, Problem> {
    let reach = UtcRange::new(range.start.plus_us(-LONGEST_SEGMENT_US), range.end.plus_us(LONGEST_SEGMENT_US));
    let found = node.overlapping(stream, known, reach).await?;
    if found.edge < range.end.min(known.extent.live_edge) {
        // An export is kept by caches under the name of its whole window.
        return Err(Problem::unavailable("The index of recordings cannot be reached. Try again in a moment."));
    }
    let reached: Vec<&Segment> = found.view.segments().collect();
    let inside = |s: &&Segment| s.range().overlaps(range);
    let (Some(first), Some(last)) = (reached.iter().position(inside), reached.iter().rposition(inside)) else {
        return Ok(Vec::new());
    };
    let synced = |s: &&Segment| s.lead().is_some_and(|p| p.starts_with_sync);
    let from = reached.iter().take(first).rposition(synced).unwrap_or(0);
    let until = (last + 1 + behind).min(reached.len());
    Ok(reached.iter().take(until).skip(from).map(|s| Segment::clone(s)).collect())
}

/// The tracks of a choice that occur; all when `None`.
pub fn chosen(segments: &[Segment], tracks: Option<&TrackChoice>) -> Result<Option<Vec<TrackId>>, Problem> {
    let chosen = tracks.map(|choice| {
        let all: BTreeSet<TrackId> = segments.iter().flat_map(|s| s.tracks.iter().map(|p| p.track)).collect();
        all.into_iter().enumerate().filter(|(n, t)| choice.wants(*t, *n)).map(|(_, t)| t).collect::<Vec<_>>()
    });
    if chosen.as_ref().is_some_and(Vec::is_empty) {
        return Err(Problem::not_found("None of the chosen tracks was recorded in this window."));
    }
    Ok(chosen)
}

async fn make_plan(
    node: &Arc<Node>,
    stream: &StreamName,
    known: Known,
    range: UtcRange,
    tracks: Option<&TrackChoice>,
) -> Result<Arc<ExportPlan>, Problem> {
    // One more behind: sound that straddles the cut.
    let segments = rows(node, stream, &known, range, 1).await?;
    let mut tables = TableSet::new();
    let edges = ExportPlan::edges(range, &segments)?;
    let named: Vec<Name> = segments
        .iter()
        .filter(|s| edges.binary_search(&s.id.sequence).is_ok())
        .map(|s| (s.id.sequence, s.id.epoch))
        .collect();
    node.rows.tables(stream, &named, &mut tables).await?;
    let inits = node.rows.inits(stream, &init_hashes(segments.iter())).await?;
    let chosen = chosen(&segments, tracks)?;
    // Some hundred thousand samples are summed up: off the threads that serve others.
    let plan =
        tokio::task::spawn_blocking(move || ExportPlan::new(range, segments, &inits, &tables, chosen.as_deref()));
    Ok(Arc::new(plan.await.map_err(|error| {
        tracing::error!(%error, "an export's plan failed");
        Problem::internal()
    })??))
}

/// What is told of a file before its bytes.
pub struct Head<'a> {
    pub total_bytes: u64,
    /// Strong, with its quotes.
    pub etag: &'a str,
    pub file_name: String,
    pub gaps: &'a [UtcRange],
    pub content_type: &'static str,
    /// Nothing more can come into it.
    pub settled: bool,
}

/// The file or the asked-for part of it, whose bytes `body` gives.
pub fn respond(
    method: &Method,
    headers: &HeaderMap,
    file: &Head<'_>,
    body: impl FnOnce(Range<u64>) -> Body,
) -> Response<Body> {
    let total_bytes = file.total_bytes;
    let mut response = Response::new(Body::empty());
    let out = response.headers_mut();
    insert(out, header::ETAG, file.etag);
    insert(out, header::CACHE_CONTROL, if file.settled { "public, max-age=3600" } else { "no-store" });
    if not_modified(headers, file.etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    insert(out, header::CONTENT_TYPE, file.content_type);
    insert(out, header::ACCEPT_RANGES, "bytes");
    insert(out, header::CONTENT_DISPOSITION, &format!("attachment; filename=\"{}\"", file.file_name));
    if !file.gaps.is_empty() {
        let named = file.gaps.iter().take(MOST_GAPS);
        let spans: Vec<String> = named.map(|g| format!("{}-{}", g.start.millis(), g.end.millis())).collect();
        insert(out, GAPS, &spans.join(", "));
    }
    let wanted = match select(method, headers, file.etag, total_bytes) {
        Selection::Whole => 0..total_bytes,
        Selection::Part(part) => {
            insert(out, header::CONTENT_RANGE, &format!("bytes {}-{}/{total_bytes}", part.start, part.end - 1));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            part
        }
        Selection::Unsatisfiable => return unsatisfiable(total_bytes),
    };
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(wanted.end - wanted.start));
    if method != Method::HEAD {
        *response.body_mut() = body(wanted);
    }
    response
}

/// Bytes of a body, or why it broke off.
pub type Piece = Result<Bytes, std::io::Error>;

/// Says why in the log, and breaks off.
pub fn failed(error: impl std::fmt::Display) -> std::io::Error {
    // The length was promised, so all that is left is to break off; players resume with a range request.
    tracing::warn!(%error, "an export broke off");
    std::io::Error::other("broken off")
}

/// The bytes `range` of the file. The object after the one being sent is already asked for.
fn bytes_of(node: Arc<Node>, plan: Arc<ExportPlan>, range: Range<u64>) -> impl stream::Stream<Item = Piece> + Send {
    let opener = node.clone();
    let slices = Walk { plan: plan.clone(), at: range.start, end: range.end };
    let tables = Arc::new(tokio::sync::Mutex::new(TableSet::new()));
    stream::iter(slices)
        .map(move |slice| {
            let (node, plan, tables) = (opener.clone(), plan.clone(), tables.clone());
            async move {
                let pieces: ByteStream = match slice {
                    Slice::Bytes(bytes) => stream::once(async { Ok(bytes) }).boxed(),
                    Slice::Tables(piece) => {
                        let bytes = render(&node, &plan, &piece, &tables).await?;
                        stream::once(async { Ok(bytes) }).boxed()
                    }
                    Slice::Object { key, range } => {
                        // A task of its own: while a slow viewer takes the slice before, nobody polls this one,
                        // and its time limits would run out.
                        let store = node.store.clone();
                        let opening = tokio::spawn(async move { object_range(&store, key, range).await });
                        AbortOnDropHandle::new(opening).await.map_err(failed)?.map_err(failed)?
                    }
                };
                Ok::<_, std::io::Error>(pieces.map_err(failed))
            }
        })
        .buffered(2)
        .try_flatten()
}

async fn render(
    node: &Node,
    plan: &ExportPlan,
    piece: &TablePiece,
    tables: &tokio::sync::Mutex<TableSet>,
) -> Result<Bytes, std::io::Error> {
    let mut tables = tables.lock().await;
    if !plan.can_render(piece, &tables) {
        tables.clear();
        let names: Vec<Name> = plan.named(&piece.sequences).collect();
        node.rows.tables(plan.stream(), &names, &mut tables).await.map_err(failed)?;
    }
    plan.render(piece, &tables).map_err(failed)
}

/// The slices of a range, one by one, owning the plan.
struct Walk {
    plan: Arc<ExportPlan>,
    at: u64,
    end: u64,
}

impl Iterator for Walk {
    type Item = Slice;

    fn next(&mut self) -> Option<Slice> {
        let slice = self.plan.slices(self.at..self.end).next()?;
        self.at += slice.bytes();
        Some(slice)
    }
}
