//! Streams of one recorder and their uploads: a store that is slow for one does not delay another, and what one has to
//! catch up with does not keep another waiting. No times are compared, only who came before whom.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common_recording;

use bytes::Bytes;
use common_recording::{Bed, Recorder, clip, file, name, until};
use evertape::media::ObjectKey;
use evertape::recorder::Tuning;
use evertape::store::{ByteStream, ObjectInfo, ObjectStore, Put, Result};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// A store whose segments of some streams wait for a gate; says in which order segments were stored.
struct Gated {
    inner: Arc<dyn ObjectStore>,
    /// Streams that wait while it is shut.
    behind: &'static [&'static str],
    open: watch::Receiver<bool>,
    order: Mutex<Vec<String>>,
}

impl Gated {
    fn new(inner: Arc<dyn ObjectStore>, behind: &'static [&'static str]) -> (Arc<Self>, watch::Sender<bool>) {
        let (gate, open) = watch::channel(false);
        (Arc::new(Self { inner, behind, open, order: Mutex::default() }), gate)
    }

    /// Streams of the segments that were stored, in order.
    fn order(&self) -> Vec<String> {
        self.order.lock().unwrap().clone()
    }
}

#[async_trait::async_trait]
impl ObjectStore for Gated {
    async fn put(&self, key: &ObjectKey, body: Bytes, content_type: &'static str) -> Result<Put> {
        let stream = key.as_str().split('/').next().unwrap_or_default();
        if self.behind.contains(&stream) {
            self.open.clone().wait_for(|open| *open).await.expect("the test runs");
        }
        let put = self.inner.put(key, body, content_type).await?;
        if key.as_str().ends_with(".cmfs") {
            self.order.lock().unwrap().push(stream.to_owned());
        }
        Ok(put)
    }

    async fn get(&self, key: &ObjectKey, range: Range<u64>) -> Result<ByteStream> {
        self.inner.get(key, range).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<u64> {
        self.inner.head(key).await
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Result<()> {
        self.inner.delete(keys).await
    }

    async fn list(&self, prefix: &str, after: Option<&ObjectKey>, limit: usize) -> Result<Vec<ObjectInfo>> {
        self.inner.list(prefix, after, limit).await
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }
}

/// Files that wait in the spool of a stream, with a number or without one.
fn spooled(folder: &std::path::Path, stream: &str) -> usize {
    let folder = folder.join("spool/streams").join(stream);
    let files = [folder.join("shadow"), folder].map(|f| std::fs::read_dir(f).into_iter().flatten().flatten());
    files.into_iter().flatten().filter(|f| f.path().extension().is_some_and(|e| e == "cmfs")).count()
}

/// The store takes nothing of one stream at all; with a single upload at a time the other is recorded to its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_slow_for_one_stream_does_not_delay_another() {
    let bed = Bed::new().await;
    let clip = clip(bed.dir.path()).await;
    let (store, gate) = Gated::new(bed.store.clone(), &["slow"]);
    let tuning = Tuning { uploads: 1, ..Tuning::default() };
    let streams = [("slow", file(&clip)), ("fast", file(&clip))];
    let spool = bed.spool("spool").await;
    let recorder = Recorder::start_tuned(store.clone(), bed.index.clone(), spool, 2, &streams, tuning);
    until("the other stream is there", async || bed.listed(&name("fast")).await.len() >= 30).await;
    assert!(store.order().iter().all(|s| s == "fast"), "the gate is not shut");
    until("the slow one waits in the spool", async || spooled(bed.dir.path(), "slow") >= 30).await;
    gate.send_replace(true);
    until("the slow one is there, too", async || bed.listed(&name("slow")).await.len() >= 30).await;
    recorder.stop().await;
    for stream in ["slow", "fast"] {
        bed.check(&name(stream)).await;
    }
}

/// After an outage of the store three streams have minutes to catch up with; a fourth has what it cut just now. They take
/// turns: the fourth is not behind the others' backlog.
#[tokio::test(flavor = "multi_thread")]
async fn catching_up_keeps_nobody_waiting() {
    const STREAMS: &[&str] = &["behind-1", "behind-2", "behind-3", "live"];
    let bed = Bed::new().await;
    let clip = clip(bed.dir.path()).await;
    let (store, gate) = Gated::new(bed.store.clone(), STREAMS);
    let tuning = Tuning { uploads: 1, ..Tuning::default() };
    let streams: Vec<(&str, String)> = STREAMS
        .iter()
        .map(|s| (*s, if *s == "live" { format!("{}&realtime=1", file(&clip)) } else { file(&clip) }))
        .collect();
    let spool = bed.spool("spool").await;
    let recorder = Recorder::start_tuned(store.clone(), bed.index.clone(), spool, 2, &streams, tuning);
    until("all wait in the spool", async || {
        STREAMS.iter().all(|s| spooled(bed.dir.path(), s) >= if *s == "live" { 3 } else { 30 })
    })
    .await;
    let waiting = spooled(bed.dir.path(), "live");
    gate.send_replace(true);
    until("all is there", async || store.order().iter().filter(|s| *s != "live").count() >= 90).await;
    let order = store.order();
    let places: Vec<usize> = order.iter().enumerate().filter(|(_, s)| *s == "live").map(|(n, _)| n).collect();
    println!("of {} segments those of the live stream came as {places:?}", order.len());
    assert!(places.len() >= waiting, "{waiting} waited");
    for (nth, place) in places.iter().take(waiting).enumerate() {
        // One of each stream before it, for each of its own; and those that were under way.
        assert!(*place <= (nth + 2) * STREAMS.len(), "its segment {nth} came as number {place}: {order:?}");
    }
    recorder.stop().await;
}
