//! What an export would be, before it starts: made from the very plan that the file is sent by.

use super::input::{Asked, Named, moment};
use super::streams::answer;
use super::types::{ExportInfo, ProblemDocument, Span, Track};
use crate::media::{StreamName, UtcRange, UtcUs};
use crate::playback::summary::summarize;
use crate::playback::url::{self, ExportFormat, Target, TrackChoice};
use crate::web::answers::init_hashes;
use crate::web::problem::Problem;
use crate::web::{Node, export, ts_export};
use axum::body::Body;
use axum::extract::State;
use http::{Response, StatusCode};
use serde::Deserialize;
use std::sync::Arc;

/// Segments that tell what the tracks are.
const NEWEST: usize = 10;

/// The wanted file.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct ExportQuery {
    /// Start of the window.
    from_ms: i64,
    /// Length of the window; a file is a whole number of seconds long, so it is rounded up.
    duration_ms: i64,
    /// Ids of tracks, comma-separated; all when left out.
    tracks: Option<String>,
    /// `mp4` (when left out) or `ts`.
    format: Option<String>,
}

/// What an export would be: exact size, length, gaps, tracks, where it is.
#[utoipa::path(get, path = "/api/v1/streams/{name}/export", params(("name" = String, Path), ExportQuery), responses(
    (status = 200, body = ExportInfo), (status = 400, body = ProblemDocument), (status = 404, body = ProblemDocument)))]
pub async fn info(
    State(node): State<Arc<Node>>,
    Named(name, _): Named,
    Asked(query): Asked<ExportQuery>,
) -> Result<Response<Body>, Problem> {
    let wanted = wanted(&name, &query).map_err(Problem::not_cached)?;
    let Target::Export { from, duration_us, format, tracks } = &wanted.target else {
        return Err(Problem::internal());
    };
    let (from, duration_us, choice) = (*from, *duration_us, tracks.as_ref());
    let (bytes, file_name, mut gaps, range, played_us) = match format {
        ExportFormat::Mp4 => {
            let (plan, range, _) = export::plan_of(&node, &name, from, duration_us, choice).await?;
            let played_us = Some(plan.duration().to_us());
            (plan.total_bytes(), plan.file_name(), plan.gaps().to_vec(), range, played_us)
        }
        ExportFormat::Ts => {
            let (plan, range, _) = ts_export::plan_of(&node, &name, from, duration_us, choice).await?;
            (plan.total_bytes(), plan.file_name(), plan.gaps().to_vec(), range, None)
        }
    };
    let left_out: i64 = gaps.iter().map(|g| g.duration_us()).sum();
    let played_us = played_us.unwrap_or_else(|| range.duration_us() - left_out);
    if from < range.start {
        // The window of the file is cut to what is recorded; to whoever asked that is a gap too.
        gaps.insert(0, UtcRange::new(from, range.start));
    }
    let info = ExportInfo {
        bytes,
        duration_ms: played_us / 1000,
        file_name,
        url: wanted.path(),
        gaps: gaps.into_iter().map(Span::from).collect(),
        tracks: tracks_of(&node, &name, range.end, choice).await?,
    };
    Ok(answer(StatusCode::OK, &info))
}

/// The address of the file, read as a request for it would be.
fn wanted(name: &StreamName, query: &ExportQuery) -> Result<url::Request, Problem> {
    let from = moment("from_ms", query.from_ms)?;
    if !(1..=1_000_000_000_000).contains(&query.duration_ms) {
        return Err(Problem::bad_request("An export is at least a millisecond long."));
    }
    let seconds = (query.duration_ms + 999) / 1000;
    let extension = match query.format.as_deref() {
        None | Some("mp4") => "mp4",
        Some("ts") => "ts",
        Some(_) => return Err(Problem::bad_request("format is mp4 or ts.")),
    };
    let tracks = match query.tracks.as_deref().filter(|t| !t.is_empty()) {
        None => String::new(),
        Some(ids) if ids.bytes().all(|b| b.is_ascii_alphanumeric() || b == b',') => {
            format!("tracks-{}/", ids.replace(',', ""))
        }
        Some(_) => return Err(Problem::bad_request("tracks are ids such as v1,a1.")),
    };
    let unreadable = |_| Problem::bad_request("This window or these tracks make no address of a file.");
    // In milliseconds only where it must be: what is shared is shorter so.
    let at = if from.0 % 1_000_000 == 0 { from.seconds() } else { from.millis() };
    let path = format!("/{name}/{tracks}archive-{at}-{seconds}.{extension}");
    let read = url::parse(&path, None).map_err(unreadable)?;
    match read.target {
        Target::Export { from: read_as, .. } if read_as == from => Ok(read),
        _ => Err(unreadable(url::UrlError::NotFound)),
    }
}

async fn tracks_of(
    node: &Node,
    name: &StreamName,
    end: UtcUs,
    choice: Option<&TrackChoice>,
) -> Result<Vec<Track>, Problem> {
    let Some(known) = node.recorded(name).await? else { return Ok(Vec::new()) };
    let before = end.min(known.extent.live_edge);
    let newest = node.rows.newest(name, &known.extent, before, NEWEST).await?.view;
    let inits = node.rows.inits(name, &init_hashes(newest.segments())).await?;
    let all = summarize(newest.segments(), &inits);
    let chosen = all.iter().enumerate().filter(|(n, t)| choice.is_none_or(|c| c.wants(t.track, *n)));
    Ok(chosen.map(|(_, t)| Track::recorded(t)).collect())
}
