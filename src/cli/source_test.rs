//! A look at a source, for whoever is about to record it.
//!
//! Comes in: an address. Goes out: what would be recorded of it, or why nothing would. Never: records anything, looks
//! for longer than it may.

use evertape::container::MediaEvent;
use evertape::media::{StreamName, TrackKind};
use evertape::recorder::source::counters::SourceCounters;
use evertape::recorder::source::spec::SourceSpec;
use evertape::recorder::source::{self, SourceContext};
use evertape::web::admin::{SOURCE_TEST, SourceReport, SourceTester, Track, Uncarried};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Once samples have come, so long more for what the source has besides.
const LOOK_ON: Duration = Duration::from_secs(2);
/// Pieces of the source that may wait.
const QUEUE: usize = 16;

/// Looks at sources by the recorder's own means.
pub struct Tester;

#[async_trait::async_trait]
impl SourceTester for Tester {
    fn check(&self, source: &str) -> Result<(), String> {
        SourceSpec::parse(source).map(|_| ()).map_err(|e| e.to_string())
    }

    async fn test(&self, source: &str) -> SourceReport {
        let began = Instant::now();
        let mut found = Found::default();
        let message = match SourceSpec::parse(source) {
            Ok(spec) => look(spec, &mut found).await,
            Err(error) => Some(error.to_string()),
        };
        let recorded = found.tracks.len();
        let mut tracks: Vec<Track> = found.tracks.into_values().collect();
        tracks.sort_by_key(|t| t.kind);
        SourceReport {
            ok: message.is_none(),
            message: message.unwrap_or_else(|| match recorded {
                1 => "One track can be recorded.".to_owned(),
                n => format!("{n} tracks can be recorded."),
            }),
            took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            tracks,
            uncarried: found.uncarried,
        }
    }
}

#[derive(Default)]
struct Found {
    tracks: BTreeMap<String, Track>,
    uncarried: Vec<Uncarried>,
    samples: bool,
}

/// Takes in the source for a while; what was wrong, in words.
async fn look(spec: SourceSpec, found: &mut Found) -> Option<String> {
    let Ok(name) = StreamName::parse("source-test") else { return Some("The look could not begin.".to_owned()) };
    let counters = Arc::<SourceCounters>::default();
    let context = SourceContext::new(name, counters.clone());
    let (sender, mut items) = tokio::sync::mpsc::channel(QUEUE);
    let cancel = CancellationToken::new();
    let _stops = cancel.clone().drop_guard();
    let _task = AbortOnDropHandle::new(tokio::spawn(source::run(spec, context, sender, cancel)));
    let mut until = Instant::now() + SOURCE_TEST;
    let mut numbers = [0_u32; 2];
    loop {
        let Ok(Some(item)) = tokio::time::timeout_at(until, items.recv()).await else { break };
        for event in item.events {
            match event {
                MediaEvent::Track { params, .. } => {
                    let place = usize::from(params.kind() == TrackKind::Audio);
                    numbers[place] += 1;
                    let id = format!("{}{}", ["v", "a"][place], numbers[place]);
                    let track = Track::of_params(id, &params);
                    // The same track said again is no other one.
                    let known = |t: &Track| Track { id: track.id.clone(), ..t.clone() } == track;
                    if found.tracks.values().any(known) || found.tracks.len() >= 64 {
                        numbers[place] -= 1;
                    } else {
                        found.tracks.insert(track.id.clone(), track);
                    }
                }
                MediaEvent::Uncarried(uncarried) if found.uncarried.len() < 64 => {
                    found.uncarried.push((&uncarried).into());
                }
                MediaEvent::Sample(_) if !found.samples => {
                    found.samples = true;
                    until = until.min(Instant::now() + LOOK_ON);
                }
                _ => {}
            }
        }
    }
    if found.samples {
        return None;
    }
    Some(counters.error().map_or_else(
        || format!("Nothing that can be recorded came from the source within {} s.", SOURCE_TEST.as_secs()),
        |error| format!("The source gives nothing: {error}."),
    ))
}
