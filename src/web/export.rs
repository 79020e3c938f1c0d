//! MP4 exports: the virtual file, sent slice by slice.
//!
//! Comes in: a window. Goes out: any range of the file, read from the objects it touches and no others. What a
//! request holds is the plan (shared by the requests for one file) and the pieces in flight.

use super::Node;
use super::answers::{self, init_hashes};
use super::body::object_range;
use super::conditional::{Selection, not_modified, select};
use super::media::{insert, unsatisfiable};
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
/// Most sample tables of one query.
const TABLES_AT_ONCE: u64 = 64;

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
    let (range, settled) = window_of(node, stream, from, duration_us).await?;
    let make = make_plan(node, stream, range, tracks);
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

/// The window of a file, and whether nothing more can come into it.
pub async fn window_of(
    node: &Node,
    stream: &StreamName,
    from: UtcUs,
    duration_us: i64,
) -> Result<(UtcRange, bool), Problem> {
    let recorded = node.recorded(stream).await?;
    let range = window::finite(from, duration_us, answers::now(), recorded, &node.limits())?;
    Ok((range, recorded.is_some_and(|r| r.live_edge >= range.end)))
}

/// What a settled file's plan is kept under.
pub fn cache_name(stream: &StreamName, range: UtcRange, tracks: Option<&TrackChoice>) -> String {
    let choice = tracks.map(ToString::to_string).unwrap_or_default();
    format!("{stream}|{}|{}|{choice}", range.start.0, range.end.0)
}

/// Rows of the window, with those before it that lead into it: sound that straddles a cut, and what precedes a
/// segment without a sync sample. None when nothing is in the window.
pub async fn rows(node: &Node, stream: &StreamName, range: UtcRange) -> Result<Vec<Segment>, Problem> {
    let mut segments = node.overlapping(stream, range).await?;
    let Some(first) = segments.first().map(|s| s.id.sequence) else { return Ok(segments) };
    let before = UtcRange { start: range.start.plus_us(-LONGEST_SEGMENT_US), end: range.start };
    let mut earlier = node.overlapping(stream, before).await?;
    earlier.retain(|s| s.id.sequence < first);
    let keep = earlier.iter().rposition(|s| s.lead().is_some_and(|p| p.starts_with_sync)).unwrap_or(0);
    earlier.drain(..keep);
    earlier.append(&mut segments);
    Ok(earlier)
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
    range: UtcRange,
    tracks: Option<&TrackChoice>,
) -> Result<Arc<ExportPlan>, Problem> {
    let mut segments = rows(node, stream, range).await?;
    // One more behind: sound that straddles the cut.
    let Some(last) = segments.last().map(|s| s.id.sequence) else {
        return Err(ExportError::NothingRecorded.into());
    };
    let after = UtcRange { start: range.end, end: range.end.plus_us(LONGEST_SEGMENT_US) };
    segments.extend(node.index.window(stream, after, Some(last), 1).await?);
    let mut tables = TableSet::new();
    for sequences in consecutive(&ExportPlan::edges(range, &segments)?) {
        for (sequence, found) in node.index.sample_tables(stream, sequences.start, sequences.end).await? {
            tables.insert(sequence, &found);
        }
    }
    let inits = node.index.inits(stream, &init_hashes(&segments)).await?;
    let chosen = chosen(&segments, tracks)?;
    // Some hundred thousand samples are summed up: off the threads that serve others.
    let plan =
        tokio::task::spawn_blocking(move || ExportPlan::new(range, segments, &inits, &tables, chosen.as_deref()));
    Ok(Arc::new(plan.await.map_err(|error| {
        tracing::error!(%error, "an export's plan failed");
        Problem::internal()
    })??))
}

/// Ascending numbers as ranges, none longer than [`TABLES_AT_ONCE`]: a source that often breaks gives many short
/// spans, and a query for each number would take too long.
pub fn consecutive(numbers: &[u64]) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some(last) if last.end == number && number - last.start < TABLES_AT_ONCE => last.end += 1,
            _ => ranges.push(number..number.saturating_add(1)),
        }
    }
    ranges
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
        let sequences = &piece.sequences;
        let found = node.index.sample_tables(plan.stream(), sequences.start, sequences.end).await.map_err(failed)?;
        for (sequence, found) in found {
            tables.insert(sequence, &found);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_asked_for_in_few_queries() {
        assert_eq!(consecutive(&[]), []);
        assert_eq!(consecutive(&[1, 2, 3, 7, 9, 10]), [1..4, 7..8, 9..11]);
        let many: Vec<u64> = (0..200).collect();
        let ranges = consecutive(&many);
        assert!(ranges.iter().all(|r| r.end - r.start <= TABLES_AT_ONCE));
        assert_eq!(ranges.into_iter().flatten().collect::<Vec<_>>(), many);
        assert_eq!(consecutive(&[u64::MAX]).len(), 1);
    }
}
