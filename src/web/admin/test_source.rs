//! Looking at a source before it is recorded.

use super::input::Sent;
use super::streams::answer;
use super::types::{Kind, ProblemDocument, SourceInput, SourceReport, Track};
use super::{options, refused, unprocessable};
use crate::media::track::{TrackParams, Uncarried};
use crate::web::Node;
use crate::web::problem::Problem;
use axum::body::Body;
use axum::extract::State;
use http::{Response, StatusCode};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Tests at once.
static PLACES: Semaphore = Semaphore::const_new(4);

/// What was found at a source.
#[derive(Debug, Clone, Default)]
pub struct Tested {
    /// What would be recorded.
    pub tracks: Vec<TrackParams>,
    /// What would not.
    pub uncarried: Vec<Uncarried>,
    /// What went wrong, in words, without secrets.
    pub error: Option<String>,
}

/// What knows about sources: a recorder's part, handed in.
#[async_trait::async_trait]
pub trait Sources: Send + Sync + 'static {
    /// A source with its secrets as `***`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    fn shown(&self, source: &str) -> Result<String, String>;

    /// Takes in a source for at most some ten seconds.
    async fn test(&self, source: &str) -> Tested;
}

/// Takes a source in for some seconds, and says what is found.
#[utoipa::path(post, path = "/api/v1/sources/test", request_body = SourceInput, responses(
    (status = 200, body = SourceReport), (status = 415, body = ProblemDocument), (status = 422, body = ProblemDocument),
    (status = 503, body = ProblemDocument)))]
pub async fn test(State(node): State<Arc<Node>>, Sent(input): Sent<SourceInput>) -> Result<Response<Body>, Problem> {
    let sources = &options(&node)?.sources;
    let source = match input.source.contains("***") {
        true => hidden(&node, &input.source).await?,
        false => input.source,
    };
    sources.shown(&source).map_err(|why| refused(&why))?;
    let busy = |_| Problem::unavailable("Other sources are being tested. Try again in a moment.");
    let _place = PLACES.try_acquire().map_err(busy)?;
    let began = Instant::now();
    let tested = sources.test(&source).await;
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(answer(StatusCode::OK, &report(tested, took_ms)))
}

/// The source that is shown as `shown`.
async fn hidden(node: &Node, shown: &str) -> Result<String, Problem> {
    let sources = &options(node)?.sources;
    let mut same = node.index.settings().await?.into_iter().map(|kept| kept.setting.source);
    same.find(|source| sources.shown(source).is_ok_and(|s| s == shown))
        .ok_or_else(|| unprocessable("In the source *** stands for a secret that is not shown. Write it anew."))
}

fn report(tested: Tested, took_ms: u64) -> SourceReport {
    let (mut videos, mut sounds) = (0, 0);
    let mut tracks = Vec::new();
    for params in &tested.tracks {
        let track = Track::of_source(params, 0);
        let number = if track.kind == Kind::Video { &mut videos } else { &mut sounds };
        *number += 1;
        tracks.push(Track::of_source(params, *number));
    }
    let ok = !tracks.is_empty();
    let message = match (ok, tested.error) {
        (true, _) => format!("This source can be recorded: {videos} picture and {sounds} sound tracks."),
        (false, Some(error)) => error,
        (false, None) if tested.uncarried.is_empty() => "Nothing came from this source.".to_owned(),
        (false, None) => "Nothing of this source can be recorded.".to_owned(),
    };
    let uncarried = tested.uncarried.into_iter().map(Into::into).collect();
    SourceReport { ok, message, took_ms, tracks, uncarried }
}
