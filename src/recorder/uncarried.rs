//! What of a source is not recorded, told to the index.
//!
//! Comes in: what a demuxer cannot carry. Goes out: a list in the index, however often that takes. Never: holds up
//! the recording.

use super::Environment;
use crate::media::StreamName;
use crate::media::track::Uncarried;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Uncarried elementary streams remembered.
const MOST_UNCARRIED: usize = 64;
/// Between attempts to tell the index.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// Notes something that is not recorded.
pub fn note(known: &watch::Sender<Vec<Uncarried>>, stream: &StreamName, found: Uncarried) {
    known.send_if_modified(|known| {
        let is_new = known.len() < MOST_UNCARRIED && !known.contains(&found);
        if is_new {
            tracing::info!(%stream, place = %found.place, what = %found.what, "part of the source is not recorded");
            known.push(found);
        }
        is_new
    });
}

/// Keeps the index's list up to date.
pub async fn tell(environment: Arc<Environment>, stream: StreamName, mut known: watch::Receiver<Vec<Uncarried>>) {
    while known.changed().await.is_ok() {
        let mut list = known.borrow_and_update().clone();
        list.sort_by(|a, b| a.place.cmp(&b.place));
        while let Err(error) = environment.index.set_uncarried(&stream, &list).await {
            tracing::warn!(%stream, %error, "media_info.json does not list yet what is not recorded");
            tokio::time::sleep(TELL_EVERY).await;
            if known.has_changed().is_err() {
                return;
            }
        }
    }
}
