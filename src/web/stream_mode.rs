//! Stream mode: endless MPEG-TS in real time, `timeshift_abs/{t}` and `timeshift_rel/{n}`.
//!
//! Comes in: a moment. Goes out: TS without an end, at the pace at which it plays. What many viewers watch is read and
//! muxed once. A viewer holds one part of a segment at a time, and nothing once the connection is gone: the body's
//! stream does all the work, and only when it is asked for more. Never: a thread or a task for a viewer.

mod muxed;
mod viewer;

pub use muxed::MuxedParts;

use self::viewer::Viewer;
use super::Node;
use super::problem::Problem;
use crate::media::StreamName;
use crate::playback::url::{Shift, TrackChoice};
use axum::body::Body;
use futures::stream;
use http::{HeaderName, HeaderValue, Method, Response, header};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Told to nginx, which else takes what it can get and keeps it on disk.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Places for viewers, and how many there are.
pub struct Places {
    free: Arc<Semaphore>,
    open: metrics::Gauge,
    bytes: metrics::Counter,
}

impl Places {
    /// Places for `most` viewers at once.
    pub fn new(most: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            open: metrics::gauge!("evertape_streams_open"),
            bytes: metrics::counter!("evertape_stream_bytes_total"),
        }
    }

    fn take(&self) -> Option<Place> {
        let permit = self.free.clone().try_acquire_owned().ok()?;
        self.open.increment(1.0);
        Some(Place { _permit: permit, open: self.open.clone(), bytes: self.bytes.clone() })
    }
}

/// One viewer's place, free again when dropped.
struct Place {
    _permit: OwnedSemaphorePermit,
    open: metrics::Gauge,
    bytes: metrics::Counter,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.decrement(1.0);
    }
}

/// An endless stream from the moment that `shift` says.
pub async fn answer(
    node: &Arc<Node>,
    method: &Method,
    stream: &StreamName,
    shift: Shift,
    tracks: Option<&TrackChoice>,
) -> Result<Response<Body>, Problem> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("video/mp2t"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A range of something endless means nothing.
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("none"));
    headers.insert(BUFFERING, HeaderValue::from_static("no"));
    let full = || Problem::unavailable("This node sends as many streams as it may. Try again in a moment.");
    let place = node.places.take().ok_or_else(full)?;
    // What cannot begin is an answer with a status, not a stream that breaks off.
    let viewer = Viewer::begin(node.clone(), stream.clone(), shift, tracks.cloned(), place).await?;
    if method != Method::HEAD {
        let bytes = stream::unfold(viewer, |mut viewer| async { viewer.next().await.map(|piece| (piece, viewer)) });
        *response.body_mut() = Body::from_stream(bytes);
    }
    Ok(response)
}
