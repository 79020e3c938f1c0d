//! Server-sent events: what has changed of streams and state.
//!
//! One task looks for all listeners of a node, and only while there are some. A listener first gets the state and all
//! streams, then what changes. One that cannot keep up is let go: it comes again, and gets all anew.

use super::snapshot::Outline;
use super::status::now_of;
use super::types::{ProblemDocument, Stream};
use crate::media::StreamName;
use crate::web::Node;
use crate::web::problem::Problem;
use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{HeaderValue, Response, header};
use serde::Serialize;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, broadcast};
use tokio::time::Instant;

/// Listeners at once.
const MOST_LISTENERS: usize = 256;
/// Events that a listener may be behind.
const MOST_BEHIND: usize = 64;
/// Between looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Between events that tell the server's state and clock.
const STATUS_EVERY: Duration = Duration::from_secs(10);
/// Between comments that show to everybody on the way that the connection lives.
const BEAT_EVERY: Duration = Duration::from_secs(15);

/// Who listens at a node.
pub struct Events {
    sender: broadcast::Sender<Bytes>,
    places: Arc<Semaphore>,
    look: Notify,
    /// All streams as they were last told; `None` while nobody looks.
    last: Mutex<Option<Streams>>,
}

type Streams = BTreeMap<String, Stream>;

impl Events {
    /// Nobody yet.
    pub fn new() -> Self {
        let (sender, _) = broadcast::channel(MOST_BEHIND);
        Self { sender, places: Arc::new(Semaphore::new(MOST_LISTENERS)), look: Notify::new(), last: Mutex::default() }
    }

    /// Something has just been changed.
    pub fn look_now(&self) {
        self.look.notify_one();
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<Streams>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}

fn event(name: &str, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("event: {name}\ndata: {data}\n\n").into()
}

fn of_streams<'a>(streams: impl Iterator<Item = &'a Stream>) -> Bytes {
    let streams: Vec<&Stream> = streams.collect();
    event("streams", &serde_json::json!({ "streams": streams }))
}

/// Events: `status` (how this node is), `streams` (`{"streams": [...]}`: new or changed ones), `removed`
/// (`{"name": ...}`).
#[utoipa::path(get, path = "/api/v1/events", responses(
    (status = 200, content_type = "text/event-stream", body = String), (status = 503, body = ProblemDocument)))]
pub async fn listen(State(node): State<Arc<Node>>) -> Result<Response<Body>, Problem> {
    let busy = |_| Problem::unavailable("Too many listen already. Try again in a moment.");
    let place = node.events.places.clone().try_acquire_owned().map_err(busy)?;
    let status = now_of(&node).await?;
    // Subscribed while nobody tells: between what is known and what comes nothing is lost.
    let (receiver, known) = {
        let mut last = node.events.last();
        let receiver = node.events.sender.subscribe();
        match last.as_ref() {
            Some(known) => (receiver, of_streams(known.values())),
            None => {
                *last = Some(Streams::new());
                tokio::spawn(look(node.clone()));
                (receiver, Bytes::new())
            }
        }
    };
    let first = [Bytes::from_static(b"retry: 2000\n\n"), event("status", &status), known];
    let stopping = node.stopping.clone();
    let rest = stream::unfold((receiver, place), move |(mut receiver, place)| {
        let stopping = stopping.clone();
        async move {
            let bytes = tokio::select! {
                () = stopping.cancelled() => return None,
                received = tokio::time::timeout(BEAT_EVERY, receiver.recv()) => match received {
                    Ok(Ok(bytes)) => bytes,
                    Ok(Err(_)) => return None,
                    Err(_) => Bytes::from_static(b": still here\n\n"),
                },
            };
            Some((bytes, (receiver, place)))
        }
    });
    let body = stream::iter(first).filter(|b| std::future::ready(!b.is_empty())).chain(rest);
    let mut response = Response::new(Body::from_stream(body.map(Ok::<_, Infallible>)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // Proxies that keep answers back until they are long would keep these for ever.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// Looks and tells, as long as somebody listens.
async fn look(node: Arc<Node>) {
    let mut told = Instant::now();
    loop {
        match all(&node).await {
            Ok(now) => tell(&node.events, now),
            // The listeners hear of it by the status.
            Err(problem) => tracing::debug!(why = %problem.detail, "the streams cannot be listed for listeners"),
        }
        if told.elapsed() >= STATUS_EVERY
            && let Ok(status) = now_of(&node).await
        {
            let _ = node.events.sender.send(event("status", &status));
            told = Instant::now();
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = node.events.look.notified() => {}
            () = node.stopping.cancelled() => return,
        }
        let mut last = node.events.last();
        if node.events.sender.receiver_count() == 0 {
            *last = None;
            return;
        }
    }
}

async fn all(node: &Node) -> Result<Streams, Problem> {
    let outline = Outline::read(node).await?;
    let names: Vec<StreamName> = outline.names().cloned().collect();
    let streams = outline.streams(node, &names).await?;
    Ok(streams.into_iter().map(|s| (s.name.clone(), s)).collect())
}

fn tell(events: &Events, now: Streams) {
    let mut last = events.last();
    let before = last.take().unwrap_or_default();
    let changed = now.values().filter(|s| before.get(&s.name) != Some(s));
    if changed.clone().next().is_some() {
        let _ = events.sender.send(of_streams(changed));
    }
    for name in before.keys().filter(|name| !now.contains_key(*name)) {
        let _ = events.sender.send(event("removed", &serde_json::json!({ "name": name })));
    }
    *last = Some(now);
}
