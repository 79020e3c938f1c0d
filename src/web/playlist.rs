//! Playlists: window, rows, plan, text.

use super::Node;
use super::answers;
use super::cache::rows::{Found, Known};
use super::problem::Problem;
use crate::index::Extent;
use crate::media::{Segment, StreamName, TrackId, UtcRange};
use crate::playback::export::TableSet;
use crate::playback::hls;
use crate::playback::plan::Plan;
use crate::playback::rendered;
use crate::playback::url::{Layout, PlaylistTarget, Request};
use crate::playback::window::{self, Limits, Recorded, Rows, Window, WindowError};
use axum::body::Body;
use http::{HeaderMap, Response, StatusCode};
use std::collections::HashMap;

const CONTENT_TYPE: &str = "application/vnd.apple.mpegurl";
/// Sample tables that are held at once.
const TABLES_AT_ONCE: usize = 256;
/// Rows of one answer: more than the longest window holds at one second a segment and a day.
const MOST_ROWS: usize = 200_000;

impl From<WindowError> for Problem {
    fn from(error: WindowError) -> Self {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::NOT_FOUND);
        let problem = Self::saying(status, &error);
        if error == WindowError::FromInFuture { problem.not_cached() } else { problem }
    }
}

impl Node {
    /// The limits of this node's playlists.
    pub fn limits(&self) -> Limits {
        let max_window_us = i64::try_from(self.options.max_window.as_micros()).unwrap_or(i64::MAX);
        Limits::new(self.options.segment_seconds, max_window_us)
    }

    /// What of `stream` is recorded.
    ///
    /// # Errors
    /// 503 when the index cannot be reached and nothing is known from before.
    pub async fn recorded(&self, stream: &StreamName) -> Result<Option<Known>, Problem> {
        Ok(self.rows.extent(stream).await?)
    }

    /// All listed segments that overlap `range`, by ascending sequence. `known`: what [`Node::recorded`] said.
    ///
    /// # Errors
    /// 503 when the index cannot be reached and not all is known from before, 400 for too many.
    pub async fn overlapping(&self, stream: &StreamName, known: &Known, range: UtcRange) -> Result<Found, Problem> {
        let found = self.rows.overlapping(stream, &known.extent, range).await?;
        if found.view.len() > MOST_ROWS {
            return Err(Problem::bad_request("The window holds too many segments for one answer; ask for less."));
        }
        Ok(found)
    }
}

impl Node {
    /// The rows that a window asks for.
    async fn found(&self, stream: &StreamName, known: &Known, window: &Window) -> Result<Found, Problem> {
        match window.rows {
            Rows::Overlapping(range) => self.overlapping(stream, known, range).await,
            Rows::Newest { before, count } => Ok(self.rows.newest(stream, &known.extent, before, count).await?),
        }
    }
}

/// What windows ask of a stream's extent.
pub fn as_recorded(known: &Known) -> Recorded {
    let Extent { first_start, live_edge, longest_us } = known.extent;
    Recorded { first_start, live_edge, longest_us }
}

/// A multivariant or a media playlist.
pub async fn answer(
    node: &Node,
    headers: &HeaderMap,
    request: &Request,
    target: &PlaylistTarget,
) -> Result<Response<Body>, Problem> {
    let limits = node.limits();
    let stream = &request.stream;
    let (now, mut known) = (answers::now(), node.recorded(stream).await?);
    let (window, view, stale) = loop {
        let mut window = window::resolve(&target.form, now, known.as_ref().map(as_recorded), &limits)?;
        let Some(known) = &mut known else { return Err(WindowError::NothingRecorded.into()) };
        let mut found = node.found(stream, known, &window).await?;
        if let Some(wider) = window.at_least(found.view.segments()) {
            window = wider;
            found = node.found(stream, known, &window).await?;
        }
        if found.edge >= known.extent.live_edge {
            break (window, found.view, known.stale);
        }
        // The index went away between the two questions: what is known ends where the rows do.
        known.extent.live_edge = found.edge;
    };
    let place = hls::MediaPlace {
        base_url: node.options.media_base_url.as_deref(),
        whole_objects: node.options.media_redirect,
    };
    if let Some(text) = rendered::media_playlist(request, target, &window, &view, place) {
        return Ok(answers::aged(answers::text(node, headers, text, CONTENT_TYPE, &window.cache).await, stale));
    }
    let plan = Plan::build(&window, view.segments())?;
    let plain = node.plain.of(stream).await;
    let inits = node.rows.inits(stream, &hls::inits_needed(target, &plan, plain)?).await?;
    let sizes = match target.layout {
        Layout::IFrames => first_sample_bytes(node, stream, &plan, hls::i_frame_track(target, &plan)?).await?,
        _ => HashMap::new(),
    };
    let text = {
        let first_sample_bytes = |sequence| sizes.get(&sequence).copied();
        let material = hls::Material { plain, inits: &inits, place, first_sample_bytes: &first_sample_bytes };
        hls::playlist(request, target, &plan, &material)?
    };
    Ok(answers::aged(answers::text(node, headers, text, CONTENT_TYPE, &window.cache).await, stale))
}

/// Sizes of the first samples of `track`, by the number of their segment. Reads the tables page by page.
async fn first_sample_bytes(
    node: &Node,
    stream: &StreamName,
    plan: &Plan<'_>,
    track: TrackId,
) -> Result<HashMap<u64, u32>, Problem> {
    let of_track = |s: &Segment| s.tracks.iter().position(|p| p.track == track && p.starts_with_sync);
    let wanted: Vec<(u64, u64, usize)> =
        plan.segments().filter_map(|s| Some((s.id.sequence, s.id.epoch, of_track(s)?))).collect();
    let mut sizes = HashMap::with_capacity(wanted.len());
    for page in wanted.chunks(TABLES_AT_ONCE) {
        let names: Vec<(u64, u64)> = page.iter().map(|(sequence, epoch, _)| (*sequence, *epoch)).collect();
        let mut tables = TableSet::new();
        node.rows.tables(stream, &names, &mut tables).await?;
        sizes.extend(page.iter().filter_map(|(n, _, at)| Some((*n, tables.first_sample(*n, *at)?.size))));
    }
    Ok(sizes)
}
