//! What is recorded of a stream: ranges, locks, what a file of a window would be.
//!
//! Comes in: requests of the API. Goes out: spans and sizes, read from the index. Never: an object of the store.

use super::super::problem::Problem;
use super::super::{Node, answers, export as mp4, ts_export};
use super::types::{ExportInfo, Lock, LockInput, Locks, RangeAnswer, RecordedSpan, Track};
use super::{Answer, Asked, Body_, stream_of, unprocessable};
use crate::index::Keeping;
use crate::media::lock::{self, LockId, MAX_TITLE_BYTES};
use crate::media::{StreamName, TrackId, UtcRange, UtcUs, timeline};
use crate::playback::url::TrackChoice;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;
use std::sync::Arc;

/// Spans of one answer.
const MOST_RANGES: usize = 20_000;
/// Farthest moments that are asked for: 1 January 1 and 10000.
const MOMENTS_MS: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_800_000;
/// Locks of a stream that are listed.
const MOST_LOCKS: usize = 10_000;

/// A window to look at.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Window {
    /// First moment.
    from_ms: i64,
    /// First moment behind it.
    to_ms: i64,
    /// Spans nearer to each other than this are one.
    #[serde(default)]
    resolution_ms: i64,
}

fn moments(from_ms: i64, to_ms: i64) -> Result<UtcRange, Problem> {
    if ![from_ms, to_ms].iter().all(|ms| MOMENTS_MS.contains(ms)) {
        return Err(Problem::bad_request("A moment lies outside of the years 1 to 9999."));
    }
    if from_ms >= to_ms {
        return Err(unprocessable("It must end after it begins."));
    }
    Ok(UtcRange::new(UtcUs::from_millis(from_ms), UtcUs::from_millis(to_ms)))
}

/// What is recorded in a window.
#[utoipa::path(get, path = "/streams/{name}/ranges", params(("name" = String, Path), Window), responses((status = 200, body = RangeAnswer), (status = 400)))]
pub async fn ranges(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    Asked(asked): Asked<Window>,
) -> Answer<axum::Json<RangeAnswer>> {
    let name = stream_of(&name)?;
    let window = moments(asked.from_ms, asked.to_ms)?;
    let resolution_us = asked.resolution_ms.clamp(1, 1 << 40) * 1000;
    let fine = timeline::JOIN_TOLERANCE_US;
    let mut found = node.rows.ranges(&name, window, fine, MOST_RANGES + 1).await?;
    let mut truncated = false;
    let mut spans: Vec<RecordedSpan> = Vec::new();
    if found.len() <= MOST_RANGES {
        for range in found {
            let (from_ms, to_ms) = (range.start.millis(), range.end.millis());
            match spans.last_mut() {
                Some(last) if (from_ms - last.to_ms) * 1000 <= resolution_us => {
                    last.gaps += 1;
                    last.to_ms = last.to_ms.max(to_ms);
                }
                _ => spans.push(RecordedSpan { from_ms, to_ms, gaps: 0 }),
            }
        }
    } else {
        // Too many to count: the index joins them itself.
        found = node.rows.ranges(&name, window, resolution_us.max(fine), MOST_RANGES + 1).await?;
        truncated = found.len() > MOST_RANGES;
        let span = |r: &UtcRange| RecordedSpan { from_ms: r.start.millis(), to_ms: r.end.millis(), gaps: 0 };
        spans.extend(found.iter().take(MOST_RANGES).map(span));
    }
    let (from_ms, to_ms) = (asked.from_ms, asked.to_ms);
    Ok(axum::Json(RangeAnswer { from_ms, to_ms, resolution_ms: resolution_us / 1000, ranges: spans, truncated }))
}

fn shown(lock: &lock::Lock) -> Lock {
    Lock {
        id: lock.id.to_string(),
        from_ms: lock.range.start.millis(),
        to_ms: lock.range.end.millis(),
        title: lock.title.clone(),
        created_ms: lock.created.millis(),
        expires_ms: lock.expires.map(|at| at.millis()),
    }
}

/// Locks of a stream, by start.
#[utoipa::path(get, path = "/streams/{name}/locks", params(("name" = String, Path)), responses((status = 200, body = Locks)))]
pub async fn locks(State(node): State<Arc<Node>>, Path(name): Path<String>) -> Answer<axum::Json<Locks>> {
    let name = stream_of(&name)?;
    let all = UtcRange::new(UtcUs(i64::MIN), UtcUs(i64::MAX));
    let locks = node.index.locks(&name, all).await?;
    Ok(axum::Json(Locks { locks: locks.iter().take(MOST_LOCKS).map(shown).collect() }))
}

/// Keeps a time range from retention.
#[utoipa::path(post, path = "/streams/{name}/locks", params(("name" = String, Path)), request_body = LockInput, responses((status = 201, body = Lock), (status = 404), (status = 422)))]
pub async fn add_lock(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    Body_(input): Body_<LockInput>,
) -> Answer<(StatusCode, axum::Json<Lock>)> {
    let stream = stream_of(&name)?;
    let range = moments(input.from_ms, input.to_ms)?;
    let title = input.title.trim().to_owned();
    let (created, expires) = (answers::now(), input.expires_ms.map(UtcUs::from_millis));
    if expires.is_some_and(|at| at <= created || !MOMENTS_MS.contains(&at.millis())) {
        return Err(unprocessable("A lock must end in the future, before the year 10000, or never.").into());
    }
    if title.len() > MAX_TITLE_BYTES || title.chars().any(char::is_control) {
        return Err(unprocessable(format!("A name is one line of at most {MAX_TITLE_BYTES} bytes.")).into());
    }
    if node.recorded(&stream).await?.is_none() && node.index.setting(&stream).await?.is_none() {
        return Err(super::no_such_stream().into());
    }
    let id = LockId(uuid::Uuid::now_v7().as_u128());
    let lock = lock::Lock { id, stream, range, title, created, expires };
    node.index.add_lock(&lock).await?;
    tracing::info!(stream = %lock.stream, lock = %lock.id, "a lock was made");
    Ok((StatusCode::CREATED, axum::Json(shown(&lock))))
}

/// Releases a lock.
#[utoipa::path(delete, path = "/streams/{name}/locks/{id}", params(("name" = String, Path), ("id" = String, Path)), responses((status = 204), (status = 404)))]
pub async fn release_lock(
    State(node): State<Arc<Node>>,
    Path((name, id)): Path<(String, String)>,
) -> Answer<StatusCode> {
    let missing = || Problem::not_found("There is no such lock (any more).");
    let (stream, id) = (stream_of(&name)?, LockId::parse(&id).ok_or_else(missing)?);
    if !Keeping::remove_lock(&*node.index, &stream, id).await? {
        return Err(missing().into());
    }
    tracing::info!(%stream, lock = %id, "a lock was released");
    Ok(StatusCode::NO_CONTENT)
}

/// The window of a file.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// First moment.
    from_ms: i64,
    /// Whole seconds.
    duration_ms: i64,
    /// `v1,a1`; all when left out.
    tracks: Option<String>,
    /// `mp4` (when left out) or `ts`.
    format: Option<String>,
}

/// What a file of a window would be: its exact size, its gaps, its address.
#[utoipa::path(get, path = "/streams/{name}/export", params(("name" = String, Path), Wanted), responses((status = 200, body = ExportInfo), (status = 400), (status = 404), (status = 422)))]
pub async fn export(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    Asked(wanted): Asked<Wanted>,
) -> Answer<axum::Json<ExportInfo>> {
    let stream = stream_of(&name)?;
    let end_ms = wanted.from_ms.checked_add(wanted.duration_ms);
    let window = moments(wanted.from_ms, end_ms.unwrap_or(i64::MAX))?;
    if wanted.duration_ms % 1000 != 0 {
        return Err(unprocessable("The length of a file is in whole seconds.").into());
    }
    let chosen: Vec<TrackId> = wanted
        .tracks
        .iter()
        .flat_map(|list| list.split(','))
        .filter(|id| !id.is_empty())
        .map(|id| TrackId::parse(id).ok_or_else(|| unprocessable("Tracks are written like v1,a1.")))
        .collect::<Result<_, _>>()?;
    if chosen.len() > TrackChoice::MAX {
        return Err(unprocessable("More tracks are named than a file can have.").into());
    }
    let choice = (!chosen.is_empty()).then(|| TrackChoice::of(&chosen));
    let (from, duration_us) = (window.start, window.end.since(window.start));
    let (extension, bytes, file_name, mut gaps, range) = match wanted.format.as_deref() {
        None | Some("mp4") => {
            let (plan, range, _) = mp4::plan(&node, &stream, from, duration_us, choice.as_ref()).await?;
            ("mp4", plan.total_bytes(), plan.file_name(), plan.gaps().to_vec(), range)
        }
        Some("ts") => {
            let (plan, range, _) = ts_export::plan(&node, &stream, from, duration_us, choice.as_ref()).await?;
            ("ts", plan.total_bytes(), plan.file_name(), plan.gaps().to_vec(), range)
        }
        Some(_) => return Err(unprocessable("A file is mp4 or ts.").into()),
    };
    let missing_us: i64 = gaps.iter().map(|g| g.end.since(g.start)).sum();
    if from < range.start {
        // The file's own window begins with the recording; to whoever asked, what is before is a gap.
        gaps.insert(0, UtcRange::new(from, range.start));
    }
    Ok(axum::Json(ExportInfo {
        bytes,
        duration_ms: (range.end.since(range.start) - missing_us) / 1000,
        file_name,
        url: url_of(&stream, &wanted, &chosen, extension),
        gaps: gaps.into_iter().map(Into::into).collect(),
        tracks: tracks(&node, &stream, range, &chosen).await?,
    }))
}

fn url_of(stream: &StreamName, wanted: &Wanted, chosen: &[TrackId], extension: &str) -> String {
    // Numbers above 1e11 are milliseconds, all others seconds.
    let from = if wanted.from_ms % 1000 == 0 { wanted.from_ms / 1000 } else { wanted.from_ms };
    let list: Vec<String> = chosen.iter().map(ToString::to_string).collect();
    let query = if list.is_empty() { String::new() } else { format!("?tracks={}", list.join(",")) };
    format!("/{stream}/archive-{from}-{}.{extension}{query}", wanted.duration_ms / 1000)
}

/// The tracks at the beginning of a window.
async fn tracks(node: &Node, stream: &StreamName, range: UtcRange, chosen: &[TrackId]) -> Result<Vec<Track>, Problem> {
    let Some(known) = node.recorded(stream).await? else { return Ok(Vec::new()) };
    let found = node.overlapping(stream, &known, range).await?;
    let some: Vec<_> = found.view.segments().take(10).collect();
    let inits = node.rows.inits(stream, &answers::init_hashes(some.iter().copied())).await?;
    let all = crate::playback::summary::summarize(some.iter().copied(), &inits);
    Ok(all.iter().filter(|t| chosen.is_empty() || chosen.contains(&t.track)).map(Track::of_summary).collect())
}
