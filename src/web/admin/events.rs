//! What changes, told to every open page as it happens (server-sent events), and the state of the whole.
//!
//! Comes in: the index, looked at every two seconds while anybody listens: once for all listeners of a node. Goes out:
//! `status`, `streams` (those that have changed), `removed`. Never: keeps what a slow listener has not taken; it is
//! disconnected, comes again and asks for all.

use super::super::problem::Problem;
use super::super::{Node, answers};
use super::Answer;
use super::types::{Health, Status, Storage, Stream, StreamBytes};
use super::view::Overview;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, Semaphore, broadcast};

/// Between looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Looks between two `status` events.
const STATUS_EVERY: u32 = 5;
/// Open pages at once.
const MOST_LISTENERS: usize = 256;
/// Events that a listener may be behind.
const BEHIND: usize = 64;

/// Name and data of an event.
type Told = (&'static str, Arc<str>);

/// The listeners of a node.
pub struct Events {
    told: broadcast::Sender<Told>,
    places: Arc<Semaphore>,
    looking: AtomicBool,
    now: Notify,
}

impl Default for Events {
    fn default() -> Self {
        let places = Arc::new(Semaphore::new(MOST_LISTENERS));
        Self { told: broadcast::channel(BEHIND).0, places, looking: AtomicBool::new(false), now: Notify::new() }
    }
}

impl Events {
    /// Something was changed here: it is not waited until the next look.
    pub fn look_now(&self) {
        self.now.notify_one();
    }
}

/// The state of this process, the index and the store.
#[utoipa::path(get, path = "/status", responses((status = 200, body = Status)))]
pub async fn status(State(node): State<Arc<Node>>) -> axum::Json<Status> {
    axum::Json(status_of(&node).await)
}

async fn status_of(node: &Node) -> Status {
    let (index, store) = tokio::join!(node.index.ping(), node.store.ping());
    let health = |name: &str, fault: Option<String>| Health {
        ok: fault.is_none(),
        message: fault.map_or_else(
            || format!("The {name} answers."),
            |fault| {
                tracing::warn!(fault, "not ready: {name}");
                format!("The {name} cannot be reached, or is not set up; the server's log says more.")
            },
        ),
    };
    Status {
        version: env!("CARGO_PKG_VERSION"),
        now_ms: answers::now().millis(),
        index: health("index", index.err().map(|e| e.to_string())),
        store: health("object store", store.err().map(|e| e.to_string())),
        roles: node.options.admin.as_ref().map(|a| a.roles.clone()).unwrap_or_default(),
    }
}

/// Bytes that are stored, by stream.
#[utoipa::path(get, path = "/storage", responses((status = 200, body = Storage)))]
pub async fn storage(State(node): State<Arc<Node>>) -> Answer<axum::Json<Storage>> {
    let all = node.index.all_stored_bytes().await?;
    let bytes = all.iter().map(|(_, bytes)| bytes).sum();
    let streams = all.into_iter().map(|(name, bytes)| StreamBytes { name: name.to_string(), bytes }).collect();
    Ok(axum::Json(Storage { bytes, streams }))
}

/// Server-sent events: `status`, `streams` with those that have changed, `removed` with a name. The first ones say how
/// things stand.
#[utoipa::path(get, path = "/events", responses((status = 200, content_type = "text/event-stream", body = String), (status = 503)))]
pub async fn events(
    State(node): State<Arc<Node>>,
) -> Answer<Sse<impl futures::Stream<Item = Result<Event, Infallible>>>> {
    let Ok(place) = node.events.places.clone().try_acquire_owned() else {
        return Err(Problem::unavailable("Too many pages are open. Try again in a moment.").into());
    };
    let told = node.events.told.subscribe();
    if !node.events.looking.swap(true, Ordering::AcqRel) {
        tokio::spawn(look(Arc::downgrade(&node)));
    }
    let status = serde_json::to_string(&status_of(&node).await).unwrap_or_default();
    let first = futures::stream::iter([Ok(event(&("status", status.into())))]);
    let stopping = node.stopping.clone();
    let following = futures::stream::unfold((told, stopping, place), |(mut told, stopping, place)| async move {
        let next = tokio::select! {
            next = told.recv() => next,
            () = stopping.cancelled() => Err(RecvError::Closed),
        };
        match next {
            Ok(next) => Some((Ok(event(&next)), (told, stopping, place))),
            // What it has missed it gets by asking for everything, as at the beginning.
            Err(RecvError::Lagged(_) | RecvError::Closed) => None,
        }
    });
    let all = futures::StreamExt::chain(first, following);
    Ok(Sse::new(all).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

fn event((name, data): &Told) -> Event {
    Event::default().event(name).data(data)
}

/// Looks at the index until nobody listens any more.
async fn look(node: Weak<Node>) {
    let mut known: BTreeMap<String, Stream> = BTreeMap::new();
    let mut looks = 0_u32;
    loop {
        let Some(node) = node.upgrade() else { return };
        let events = &node.events;
        if events.told.receiver_count() == 0 || node.stopping.is_cancelled() {
            events.looking.store(false, Ordering::Release);
            // Whoever came between the two lines above is not forgotten.
            if events.told.receiver_count() == 0 || events.looking.swap(true, Ordering::AcqRel) {
                return;
            }
        }
        let tell = |name, value: &serde_json::Value| {
            let _ = events.told.send((name, value.to_string().into()));
        };
        match all(&node).await {
            Ok(now) => {
                let changed: Vec<&Stream> = now.values().filter(|s| known.get(&s.name) != Some(s)).collect();
                if !changed.is_empty() {
                    tell("streams", &serde_json::json!({ "streams": changed }));
                }
                for name in known.keys().filter(|name| !now.contains_key(*name)) {
                    tell("removed", &serde_json::json!({ "name": name }));
                }
                known = now;
            }
            Err(problem) => tracing::debug!(detail = problem.detail, "the streams could not be looked at"),
        }
        if looks.is_multiple_of(STATUS_EVERY)
            && let Ok(status) = serde_json::to_value(status_of(&node).await)
        {
            tell("status", &status);
        }
        looks = looks.wrapping_add(1);
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = events.now.notified() => {}
            () = node.stopping.cancelled() => {}
        }
    }
}

async fn all(node: &Node) -> Result<BTreeMap<String, Stream>, Problem> {
    let overview = Overview::read(node).await?;
    let names = overview.names(node).into_iter().collect();
    Ok(overview.streams(node, names).await?.into_iter().map(|s| (s.name.clone(), s)).collect())
}
