//! What plain `.m3u8` means for a stream: by the configuration file, or by the index.
//!
//! Comes in: the name of a stream. Goes out: its setting. The settings of the index are read again behind the back of
//! whoever asks, when they have changed; while the index is away, what is known holds. Never: makes a playlist wait for
//! the index, but for the first one of a node.

use crate::index::Index;
use crate::media::StreamName;
use crate::playback::hls::PlainHls;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// How old what is known may be.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The first playlist waits for so long.
const FIRST_WITHIN: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Known {
    revision: Option<u64>,
    looked: Option<Instant>,
    plain: HashMap<StreamName, PlainHls>,
}

/// The settings of all streams.
pub struct Plain {
    file: HashMap<StreamName, PlainHls>,
    index: Arc<dyn Index>,
    known: Arc<RwLock<Known>>,
}

impl Plain {
    /// `file`: those of the configuration file, which hold.
    pub fn new(file: HashMap<StreamName, PlainHls>, index: Arc<dyn Index>) -> Self {
        Self { file, index, known: Arc::default() }
    }

    /// The setting of one stream.
    pub async fn of(&self, stream: &StreamName) -> PlainHls {
        if let Some(&plain) = self.file.get(stream) {
            return plain;
        }
        let (known, looked) = self.known(stream);
        if looked.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return known;
        }
        // Others do not look meanwhile.
        self.known.write().unwrap_or_else(PoisonError::into_inner).looked = Some(Instant::now());
        let looking = tokio::spawn(look(self.index.clone(), self.known.clone()));
        if looked.is_none() {
            let _ = tokio::time::timeout(FIRST_WITHIN, looking).await;
        }
        self.known(stream).0
    }

    fn known(&self, stream: &StreamName) -> (PlainHls, Option<Instant>) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        (known.plain.get(stream).copied().unwrap_or_default(), known.looked)
    }
}

async fn look(index: Arc<dyn Index>, known: Arc<RwLock<Known>>) {
    let before = known.read().unwrap_or_else(PoisonError::into_inner).revision;
    let read = async {
        let revision = index.settings_revision().await?;
        let settings = if before == Some(revision) { None } else { Some(index.settings().await?) };
        Ok::<_, crate::index::IndexError>((revision, settings))
    };
    match read.await {
        Ok((_, None)) => {}
        Ok((revision, Some(settings))) => {
            let plain = settings.into_iter().map(|kept| (kept.stream, kept.setting.hls)).collect();
            let mut known = known.write().unwrap_or_else(PoisonError::into_inner);
            (known.revision, known.plain) = (Some(revision), plain);
        }
        Err(error) => tracing::debug!(%error, "the settings of streams cannot be read; what is known holds"),
    }
}
