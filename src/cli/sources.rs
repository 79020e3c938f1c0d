//! What the admin API knows of sources: the recorder's own way to read them.

use evertape::container::MediaEvent;
use evertape::media::StreamName;
use evertape::recorder::source::{self, SourceContext, SourceCounters, SourceSpec};
use evertape::web::admin::{Sources, Tested};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// A test ends by then.
const LONGEST: Duration = Duration::from_secs(10);
/// After the first track others may come for so long.
const OTHERS_WITHIN: Duration = Duration::from_secs(2);
/// A failure is believed when the second attempt has had the time to fail as well.
const FAILS_WITHIN: Duration = Duration::from_secs(2);
/// Parts that are not recorded, at most so many.
const MOST_UNCARRIED: usize = 64;

/// The recorder's sources.
pub struct RecorderSources;

#[async_trait::async_trait]
impl Sources for RecorderSources {
    fn shown(&self, source: &str) -> Result<String, String> {
        match SourceSpec::parse(source) {
            Ok(spec @ (SourceSpec::Hls(_) | SourceSpec::Http(_))) => Ok(spec.to_string()),
            // No secrets in these: shown as they were written, so that they can be changed as they stand.
            Ok(_) => Ok(source.to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn test(&self, source: &str) -> Tested {
        let spec = match SourceSpec::parse(source) {
            Ok(spec) => spec,
            Err(error) => return Tested { error: Some(error.to_string()), ..Tested::default() },
        };
        let Ok(name) = StreamName::parse("source-test") else { return Tested::default() };
        let counters = Arc::new(SourceCounters::default());
        let (sender, mut items) = mpsc::channel(16);
        let cancel = CancellationToken::new();
        let _stop = cancel.clone().drop_guard();
        let context = SourceContext::new(name, counters.clone());
        let _running = AbortOnDropHandle::new(tokio::spawn(source::run(spec, context, sender, cancel)));
        let began = Instant::now();
        let mut until = began + LONGEST;
        let mut tracks = BTreeMap::new();
        let mut tested = Tested::default();
        loop {
            let look = tokio::time::timeout(Duration::from_millis(200), items.recv()).await;
            match look {
                Ok(Some(item)) => {
                    for event in item.events {
                        match event {
                            MediaEvent::Track { track, params } => {
                                if tracks.insert(track, params).is_none() && tracks.len() == 1 {
                                    until = until.min(Instant::now() + OTHERS_WITHIN);
                                }
                            }
                            MediaEvent::Uncarried(found)
                                if tested.uncarried.len() < MOST_UNCARRIED && !tested.uncarried.contains(&found) =>
                            {
                                tested.uncarried.push(found);
                            }
                            _ => {}
                        }
                    }
                }
                Ok(None) => break,
                Err(_) => {}
            }
            let failed = tracks.is_empty() && counters.error().is_some() && began.elapsed() >= FAILS_WITHIN;
            if failed || Instant::now() >= until {
                break;
            }
        }
        tested.error = counters.error();
        tested.tracks = tracks.into_values().collect();
        tested
    }
}
