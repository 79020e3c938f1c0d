//! MP4 exports: the virtual file, sent slice by slice.
//!
//! Comes in: a window. Goes out: any range of the file, read from the objects it touches and no others. What a
//! request holds is the plan (shared by the requests for one file) and the pieces in flight.

use super::Node;
use super::answers::{self, init_hashes};
use super::body::object_range;
use super::cache::objects::Keep;
use super::cache::parts::Proven;
use super::cache::rows::Known;
use super::cache::tables::Name;
use super::conditional::{Selection, not_modified, select};
use super::media::{insert, unsatisfiable};
use super::playlist::as_recorded;
use super::problem::Problem;
use crate::media::segment::LONGEST_SEGMENT_US;
use crate::media::{ObjectKey, Segment, StreamName, TrackId, UtcRange, UtcUs};
use crate::playback::export::{ExportError, ExportPlan, Slice, TablePiece, TableSet};
use crate::playback::url::TrackChoice;
use crate::playback::view::View;
use crate::playback::window;
use crate::store::{ByteStream, StoreError, StoreErrorKind};
use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::AbortOnDropHandle;

/// Spans left out of the file because nothing is recorded: `from-to` in UTC milliseconds, comma-separated.
pub const GAPS: HeaderName = HeaderName::from_static("evertape-gaps");
/// Most gaps named in the header; more are only counted.
const MOST_GAPS: usize = 50;
/// A plan of more rows is made off the threads that serve others.
const MOST_ROWS_HERE: usize = 1000;
/// What comes before the media is sent in pieces of about this size.
const FRONT_BYTES: u64 = 128 * 1024;
/// Sample tables that one answer holds, about.
const TABLES_BYTES: usize = 256 * 1024;

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
    let place = node.export_place(1)?;
    let (plan, _, settled) = plan(node, stream, from, duration_us, tracks).await?;
    let head = Head {
        total_bytes: plan.total_bytes(),
        etag: plan.etag(),
        file_name: plan.file_name(),
        gaps: plan.gaps(),
        content_type: "video/mp4",
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
) -> Result<(Arc<ExportPlan>, UtcRange, bool), Problem> {
    let (known, range, settled) = window_of(node, stream, from, duration_us).await?;
    let make = make_plan(node, stream, known, range, tracks);
    let plan = if settled {
        let name = cache_name(stream, range, tracks);
        node.exports.try_get_with(name, make).await.map_err(|problem| Problem::clone(&problem))?
    } else {
        make.await?
    };
    Ok((plan, range, settled))
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

/// Rows for a file of a window.
pub struct Reached {
    view: View,
    rows: Range<usize>,
}

impl Reached {
    /// In order.
    pub fn segments(&self) -> Vec<&Segment> {
        self.view.segments().skip(self.rows.start).take(self.rows.len()).collect()
    }
}

/// Rows of the window, with those before it that lead into it (sound that straddles a cut, and what precedes a
/// segment without a sync sample) and up to `behind` after it. None when nothing is in the window.
pub async fn rows(
    node: &Node,
    stream: &StreamName,
    known: &Known,
    range: UtcRange,
    behind: usize,
) -> Result<Reached, Problem> {
    let reach = UtcRange::new(range.start.plus_us(-LONGEST_SEGMENT_US), range.end.plus_us(LONGEST_SEGMENT_US));
    let found = node.overlapping(stream, known, reach).await?;
    if found.edge < range.end.min(known.extent.live_edge) {
        // An export is kept by caches under the name of its whole window.
        return Err(Problem::unavailable("The index of recordings cannot be reached. Try again in a moment."));
    }
    let view = found.view;
    let (mut synced, mut first, mut last) = (None, None, None);
    for (n, segment) in view.segments().enumerate() {
        if segment.range().overlaps(range) {
            first = first.or(Some(n));
            last = Some(n);
        } else if first.is_none() && segment.lead().is_some_and(|p| p.starts_with_sync) {
            synced = Some(n);
        }
    }
    let rows = match last {
        Some(last) => synced.unwrap_or(0)..(last + 1 + behind).min(view.len()),
        None => 0..0,
    };
    Ok(Reached { view, rows })
}

/// The tracks of a choice that occur; all when `None`.
pub fn chosen(segments: &[&Segment], tracks: Option<&TrackChoice>) -> Result<Option<Vec<TrackId>>, Problem> {
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
    let reached = rows(node, stream, &known, range, 1).await?;
    let segments = reached.segments();
    let mut tables = TableSet::new();
    let edges = ExportPlan::edges(range, &segments)?;
    let named: Vec<Name> = segments
        .iter()
        .filter(|s| edges.binary_search(&s.id.sequence).is_ok())
        .map(|s| (s.id.sequence, s.id.epoch))
        .collect();
    node.rows.tables(stream, &named, &mut tables).await?;
    let inits = node.rows.inits(stream, &init_hashes(segments.iter().copied())).await?;
    let chosen = chosen(&segments, tracks)?;
    if segments.len() <= MOST_ROWS_HERE {
        return Ok(Arc::new(ExportPlan::new(range, &segments, &inits, &tables, chosen.as_deref())?));
    }
    drop(segments);
    // Off the threads that serve others.
    let plan = tokio::task::spawn_blocking(move || {
        ExportPlan::new(range, &reached.segments(), &inits, &tables, chosen.as_deref())
    });
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

/// The pieces of a body, which has its place until it ends.
pub fn placed(
    pieces: impl stream::Stream<Item = Piece> + Send,
    place: OwnedSemaphorePermit,
) -> impl stream::Stream<Item = Piece> + Send {
    pieces.inspect(move |_| {
        let _ = &place;
    })
}

/// Says why in the log, and breaks off.
pub fn failed(error: impl std::fmt::Display) -> std::io::Error {
    // The length was promised, so all that is left is to break off; players resume with a range request.
    tracing::warn!(%error, "an export broke off");
    std::io::Error::other("broken off")
}

/// The bytes `range` of the file. The object after the one being sent is already asked for.
fn bytes_of(node: Arc<Node>, plan: Arc<ExportPlan>, range: Range<u64>) -> impl stream::Stream<Item = Piece> + Send {
    let opener = node.clone();
    let units = Walk { plan: plan.clone(), at: range.start, end: range.end };
    let tables = Arc::new(tokio::sync::Mutex::new(TableSet::new()));
    stream::iter(units)
        .map(move |unit| {
            let (node, plan, tables) = (opener.clone(), plan.clone(), tables.clone());
            async move {
                let pieces: ByteStream = match unit {
                    Unit::Front(slices) => {
                        let bytes = front(&node, &plan, slices, &tables).await?;
                        stream::once(async { Ok(bytes) }).boxed()
                    }
                    Unit::Object { key, range, part } => {
                        // A task of its own: while a slow viewer takes the slice before, nobody polls this one,
                        // and its time limits would run out.
                        let opening = tokio::spawn(async move { media(&node, key, range, part).await });
                        AbortOnDropHandle::new(opening).await.map_err(failed)?.map_err(failed)?
                    }
                };
                Ok::<_, std::io::Error>(pieces.map_err(failed))
            }
        })
        .buffered(2)
        .try_flatten()
}

/// The bytes `range` of an object, once the part in which they lie is proven.
async fn media(node: &Node, key: ObjectKey, range: Range<u64>, part: Range<u64>) -> Result<ByteStream, StoreError> {
    let lent = match node.objects.part(&key, &part, Keep::No).await? {
        Proven::Held(bytes) => {
            let at = |offset: u64| usize::try_from(offset.saturating_sub(part.start)).unwrap_or(usize::MAX);
            let (from, to) = (at(range.start), at(range.end));
            if from > to || to > bytes.len() {
                let why = format!("get {key}: {range:?} lies outside the part {part:?}");
                return Err(StoreError::new(StoreErrorKind::Other, why));
            }
            node.objects.lend(bytes.slice(from..to))
        }
        Proven::Stored => None,
    };
    match lent {
        Some(lent) => Ok(stream::once(async { Ok(lent) }).boxed()),
        None => object_range(&node.store, key, range).await,
    }
}

/// Slices before the media, as one piece: a small answer is one write.
async fn front(
    node: &Node,
    plan: &ExportPlan,
    slices: Vec<Slice>,
    tables: &tokio::sync::Mutex<TableSet>,
) -> Result<Bytes, std::io::Error> {
    let mut tables = tables.lock().await;
    let mut pieces = Vec::with_capacity(slices.len());
    for slice in slices {
        match slice {
            Slice::Bytes(bytes) => pieces.push(bytes),
            Slice::Tables(piece) => pieces.push(render(node, plan, &piece, &mut tables).await?),
            Slice::Object { .. } => {}
        }
    }
    match <[Bytes; 1]>::try_from(pieces) {
        Ok([one]) => Ok(one),
        Err(many) => Ok(many.concat().into()),
    }
}

async fn render(
    node: &Node,
    plan: &ExportPlan,
    piece: &TablePiece,
    tables: &mut TableSet,
) -> Result<Bytes, std::io::Error> {
    let mut missing: Vec<Name> = plan.missing(piece, tables);
    if !missing.is_empty() {
        if tables.bytes() > TABLES_BYTES {
            tables.clear();
            missing = plan.missing(piece, tables);
        }
        node.rows.tables(plan.stream(), &missing, tables).await.map_err(failed)?;
    }
    plan.render(piece, tables).map_err(failed)
}

/// What is sent in one go.
enum Unit {
    /// Slices before the media, up to [`FRONT_BYTES`].
    Front(Vec<Slice>),
    /// Media.
    Object { key: ObjectKey, range: Range<u64>, part: Range<u64> },
}

/// The units of a range, one by one, owning the plan.
struct Walk {
    plan: Arc<ExportPlan>,
    at: u64,
    end: u64,
}

impl Iterator for Walk {
    type Item = Unit;

    fn next(&mut self) -> Option<Unit> {
        let (mut front, mut bytes) = (Vec::new(), 0);
        while bytes < FRONT_BYTES {
            let Some(slice) = self.plan.slices(self.at..self.end).next() else { break };
            let length = slice.bytes();
            if let Slice::Object { key, range, part } = slice {
                if !front.is_empty() {
                    break;
                }
                self.at += length;
                return Some(Unit::Object { key, range, part });
            }
            self.at += length;
            bytes += length;
            front.push(slice);
        }
        (!front.is_empty()).then_some(Unit::Front(front))
    }
}
