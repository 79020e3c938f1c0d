//! Streams as they are now: what is set, what recorders say, what is recorded.
//!
//! Comes in: the index. Goes out: one [`Stream`] for each that is set, by name. A name in a configuration file is the
//! file's, as for recorders.

use super::types::{Origin, State, Stream, Track};
use super::{AdminOptions, options};
use crate::index::control::{KeptReport, KeptSetting, ReportedState};
use crate::media::{StreamName, UtcUs};
use crate::playback::summary::summarize;
use crate::web::Node;
use crate::web::answers::{init_hashes, now};
use crate::web::problem::Problem;
use futures::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeMap;

/// A recorder that has said nothing for so long is not believed any more.
const BELIEVED_US: i64 = 30_000_000;
/// Segments that describe a stream as it is now.
const NEWEST: usize = 10;
/// Streams that are looked up at once.
const AT_ONCE: usize = 8;

/// All streams that are set, without what is recorded of them.
pub struct Outline {
    known: BTreeMap<StreamName, Known>,
    bytes: BTreeMap<StreamName, u64>,
    now: UtcUs,
}

#[derive(Default)]
struct Known {
    setting: Option<KeptSetting>,
    file: Option<(String, Option<i64>)>,
    reports: Vec<KeptReport>,
}

impl Outline {
    /// Asks the index.
    pub async fn read(node: &Node) -> Result<Self, Problem> {
        let index = &node.index;
        let (settings, reports, bytes) = tokio::try_join!(index.settings(), index.reports(), index.all_stored_bytes())?;
        let mut known: BTreeMap<StreamName, Known> = BTreeMap::new();
        for file in &options(node)?.file_streams {
            known.entry(file.name.clone()).or_default().file = Some((file.shown_source.clone(), file.retention_us));
        }
        for setting in settings {
            let name = setting.stream.clone();
            known.entry(name).or_default().setting = Some(setting);
        }
        for report in reports {
            let said = &report.report;
            if said.from_file {
                let file = (said.source.clone(), said.retention_us);
                known.entry(said.stream.clone()).or_default().file.get_or_insert(file);
            }
            // What is said of a stream that is set no more is about to end.
            if let Some(known) = known.get_mut(&said.stream) {
                known.reports.push(report);
            }
        }
        Ok(Self { known, bytes: bytes.into_iter().collect(), now: now() })
    }

    /// Names, ascending.
    pub fn names(&self) -> impl Iterator<Item = &StreamName> {
        self.known.keys()
    }

    /// Whether a configuration file has this name.
    pub fn is_of_file(&self, name: &StreamName) -> bool {
        self.known.get(name).is_some_and(|k| k.file.is_some())
    }

    /// The version of a stream that is set here.
    pub fn version(&self, name: &StreamName) -> Option<u64> {
        let known = self.known.get(name).filter(|k| k.file.is_none())?;
        known.setting.as_ref().map(|s| s.version)
    }

    /// One stream as it is; `None` for one that is not set.
    pub async fn stream(&self, node: &Node, name: &StreamName) -> Result<Option<Stream>, Problem> {
        let Some(known) = self.known.get(name) else { return Ok(None) };
        let mut stream = self.outline_of(options(node)?, name, known);
        let Some(recorded) = node.recorded(name).await? else { return Ok(Some(stream)) };
        let extent = recorded.extent;
        let newest = node.rows.newest(name, &extent, extent.live_edge, NEWEST).await?.view;
        let inits = node.rows.inits(name, &init_hashes(newest.segments())).await?;
        stream.tracks = summarize(newest.segments(), &inits).iter().map(Track::recorded).collect();
        stream.uncarried = node.rows.uncarried(name).await?.into_iter().map(Into::into).collect();
        if stream.state == State::Recording {
            stream.bitrate_bps = Some(stream.tracks.iter().filter_map(|t| t.bitrate_bps).sum());
        }
        stream.first_ms = Some(extent.first_start.millis());
        stream.live_edge_ms = Some(extent.live_edge.millis());
        Ok(Some(stream))
    }

    /// These streams as they are, in this order.
    pub async fn streams(&self, node: &Node, names: &[StreamName]) -> Result<Vec<Stream>, Problem> {
        let found = names.to_vec().into_iter().map(|name| async move { self.stream(node, &name).await });
        let found: Vec<Option<Stream>> = stream::iter(found).buffered(AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    fn outline_of(&self, options: &AdminOptions, name: &StreamName, known: &Known) -> Stream {
        let setting = known.setting.as_ref().map(|s| &s.setting);
        let (origin, source, retention_us, paused) = match (&known.file, setting) {
            (Some((source, retention_us)), _) => (Origin::File, source.clone(), *retention_us, false),
            (None, Some(set)) => {
                let shown = options.sources.shown(&set.source).unwrap_or_else(|_| "***".to_owned());
                (Origin::Api, shown, set.retention_us, set.paused)
            }
            (None, None) => (Origin::Api, String::new(), None, false),
        };
        let fresh = known.reports.iter().filter(|r| self.now.since(r.seen) <= BELIEVED_US);
        // The one that writes; of several that do not, the one that gets on best.
        let rank = |r: &&KeptReport| (r.report.active, r.report.state == ReportedState::Recording, r.seen);
        let report = fresh.max_by_key(rank).map(|r| &r.report);
        let state = match report.map(|r| r.state) {
            _ if paused => State::Paused,
            None => State::Unknown,
            Some(ReportedState::Recording) => State::Recording,
            Some(ReportedState::Reconnecting) => State::Reconnecting,
            Some(ReportedState::Stopped) => State::Stopped,
            Some(ReportedState::Paused) => State::Paused,
        };
        let report = report.filter(|_| !paused);
        let reason = match state {
            State::Unknown => Some("No recorder has said anything of this stream lately.".to_owned()),
            _ => report.and_then(|r| r.reason.clone()),
        };
        Stream {
            name: name.to_string(),
            origin,
            source,
            state,
            reason,
            since_ms: report.map(|r| UtcUs(r.since_utc_us).millis()),
            node: report.map(|r| r.node.clone()),
            tracks: Vec::new(),
            uncarried: Vec::new(),
            bitrate_bps: None,
            first_ms: None,
            live_edge_ms: None,
            stored_bytes: self.bytes.get(name).copied().unwrap_or(0),
            retention_seconds: retention_us.map(|us| us / 1_000_000),
            paused,
        }
    }
}

/// 404 for a stream that is neither set nor recorded.
pub async fn must_exist(node: &Node, name: &StreamName) -> Result<(), Problem> {
    if node.recorded(name).await?.is_some() || node.index.setting(name).await?.is_some() {
        return Ok(());
    }
    if options(node)?.file_streams.iter().any(|f| f.name == *name) || Outline::read(node).await?.is_of_file(name) {
        return Ok(());
    }
    Err(super::no_such_stream())
}
