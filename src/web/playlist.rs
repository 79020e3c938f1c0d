//! Playlists: window, rows, plan, text.

use super::Node;
use super::answers;
use super::problem::Problem;
use crate::media::{Segment, StreamName, UtcRange};
use crate::playback::hls;
use crate::playback::plan::Plan;
use crate::playback::url::{Layout, PlaylistFormat, PlaylistTarget, Request};
use crate::playback::window::{self, Limits, Recorded, Rows, WindowError};
use axum::body::Body;
use http::{HeaderMap, Response, StatusCode};

const CONTENT_TYPE: &str = "application/vnd.apple.mpegurl";
/// Rows of one query.
const PAGE_ROWS: usize = 5000;
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
    pub async fn recorded(&self, stream: &StreamName) -> Result<Option<Recorded>, Problem> {
        let extent = self.index.extent(stream).await?;
        Ok(extent.map(|e| Recorded { first_start: e.first_start, live_edge: e.live_edge }))
    }

    /// All listed segments that overlap `range`.
    pub async fn overlapping(&self, stream: &StreamName, range: UtcRange) -> Result<Vec<Segment>, Problem> {
        let mut rows: Vec<Segment> = Vec::new();
        loop {
            let after = rows.last().map(|s| s.id.sequence);
            let page = self.index.window(stream, range, after, PAGE_ROWS).await?;
            let full = page.len() == PAGE_ROWS;
            rows.extend(page);
            if rows.len() > MOST_ROWS {
                return Err(Problem::bad_request("The window holds too many segments for one answer; ask for less."));
            }
            if !full {
                return Ok(rows);
            }
        }
    }
}

/// A multivariant or a media playlist.
pub async fn answer(
    node: &Node,
    headers: &HeaderMap,
    request: &Request,
    target: &PlaylistTarget,
) -> Result<Response<Body>, Problem> {
    if matches!(target.format, PlaylistFormat::HlsTs | PlaylistFormat::Dash) || target.layout != Layout::Renditions {
        return Err(Problem::not_found("This node does not make MPEG-TS or DASH yet; ask for .fmp4.m3u8."));
    }
    let limits = node.limits();
    let stream = &request.stream;
    let recorded = node.recorded(stream).await?;
    let window = window::resolve(&target.form, answers::now(), recorded, &limits)?;
    let rows = match window.rows {
        Rows::Overlapping(range) => node.overlapping(stream, range).await?,
        Rows::Newest { before, count } => node.index.newest(stream, before, count).await?,
    };
    let plan = Plan::build(&window, &rows, &limits)?;
    let inits = match hls::is_media(target) {
        true => Vec::new(),
        false => node.index.inits(stream, &plan.inits()).await?,
    };
    let text = hls::playlist(request, target, &plan, &inits, node.options.media_base_url.as_deref())?;
    Ok(answers::text(headers, text, CONTENT_TYPE, &window.cache))
}
