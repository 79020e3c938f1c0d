//! What plain `.m3u8` means for a stream: by the configuration file, or by the index.
//!
//! Comes in: the name of a stream. Goes out: its setting. The settings of the index are read again behind the back of
//! whoever asks, when they have changed; while the index is away, what is known holds. Never: makes a playlist wait for
//! the index, but for the first ones of a node.

use super::cache::flight::Flights;
use crate::index::Index;
use crate::media::StreamName;
use crate::playback::hls::PlainHls;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// How old what is known may be.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The first playlists wait for so long.
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
    first: Flights<(), ()>,
}

impl Plain {
    /// `file`: those of the configuration file, which hold.
    pub fn new(file: HashMap<StreamName, PlainHls>, index: Arc<dyn Index>) -> Self {
        Self { file, index, known: Arc::default(), first: Flights::default() }
    }

    /// The setting of one stream.
    pub async fn of(&self, stream: &StreamName) -> PlainHls {
        if let Some(&plain) = self.file.get(stream) {
            return plain;
        }
        let (known, looked) = self.known(stream);
        match looked {
            Some(at) if at.elapsed() < LOOK_EVERY => return known,
            Some(_) => {
                let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
                // Others do not look meanwhile, nor look again.
                if known.looked.is_some_and(|at| at.elapsed() >= LOOK_EVERY) {
                    known.looked = Some(Instant::now());
                    tokio::spawn(look(self.index.clone(), self.known.clone()));
                }
            }
            None => {
                let first = self.first.join(&(), || {
                    let (index, known) = (self.index.clone(), self.known.clone());
                    async move {
                        let looked = || known.read().unwrap_or_else(PoisonError::into_inner).looked.is_some();
                        if !looked() {
                            look(index, known.clone()).await;
                            known.write().unwrap_or_else(PoisonError::into_inner).looked = Some(Instant::now());
                        }
                    }
                });
                let _ = tokio::time::timeout(FIRST_WITHIN, first).await;
            }
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::index::control::{Expected, StreamSetting};
    use crate::index::faults::{FaultyIndex, Rates};
    use crate::media::UtcUs;

    /// However many ask at once, and however slow the index is: none is told what was not set.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_first_playlists_all_know_what_is_set() {
        let folder = tempfile::tempdir().unwrap();
        let index = crate::index::open(&format!("sqlite:{}/index.db", folder.path().display())).await.unwrap();
        index.migrate().await.unwrap();
        let stream = StreamName::parse("ort").unwrap();
        let setting = StreamSetting {
            source: "udp://239.1.1.1:1234".into(),
            retention_us: None,
            retention_bytes: None,
            hls: PlainHls::Fmp4,
            standby: false,
            paused: false,
        };
        index.put_setting(&stream, &setting, Expected::Absent, UtcUs(0)).await.unwrap();
        let rates = Rates { before_percent: 0, after_percent: 0, delay_percent: 0, delay: Duration::ZERO };
        let slow = FaultyIndex::seeded(index, 1, rates);
        slow.set_delay(Duration::from_millis(50));
        let plain = Arc::new(Plain::new(HashMap::new(), Arc::new(slow)));
        let asked = (0..20).map(|_| {
            let (plain, stream) = (plain.clone(), stream.clone());
            tokio::spawn(async move { plain.of(&stream).await })
        });
        for told in futures::future::join_all(asked).await {
            assert_eq!(told.unwrap(), PlainHls::Fmp4);
        }
    }
}
