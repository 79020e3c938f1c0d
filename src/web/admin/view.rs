//! Streams as the API shows them: settings, what recorders say, and what is recorded, put together.
//!
//! Comes in: the index, the configuration file's streams, a clock. Goes out: one [`Stream`] for each name. Never:
//! writes anything.

use super::super::answers::init_hashes;
use super::super::problem::Problem;
use super::super::{Node, answers};
use super::secrets;
use super::types::{Origin, Stream, StreamState, Track};
use crate::index::IndexError;
use crate::index::control::{KeptReport, KeptSetting, ReportedState};
use crate::media::StreamName;
use crate::playback::hls::PlainHls;
use crate::playback::summary::summarize;
use futures::{StreamExt, TryStreamExt};
use std::collections::{BTreeMap, BTreeSet};

/// A report older than this, by the clocks of two machines, is of a recorder that is gone. Recorders repeat theirs each
/// ten seconds.
const REPORT_LASTS_US: i64 = 45_000_000;
/// Segments that describe a stream as it is now.
const NEWEST: usize = 10;
/// Streams that are asked about at a time.
const AT_A_TIME: usize = 8;

/// What is known of all streams without asking about each.
pub struct Overview {
    settings: BTreeMap<StreamName, KeptSetting>,
    reports: BTreeMap<StreamName, KeptReport>,
    bytes: BTreeMap<StreamName, u64>,
    removed: BTreeSet<StreamName>,
    archived: Vec<StreamName>,
}

impl Overview {
    /// Reads it.
    ///
    /// # Errors
    /// Whatever the index says.
    pub async fn read(node: &Node) -> Result<Self, IndexError> {
        let index = &node.index;
        let (settings, reports, bytes, removed, archived) = tokio::try_join!(
            index.settings(),
            index.reports(),
            index.all_stored_bytes(),
            index.removed(),
            index.streams()
        )?;
        let now = answers::now();
        let mut best: BTreeMap<StreamName, KeptReport> = BTreeMap::new();
        for report in reports.into_iter().filter(|r| now.since(r.seen).abs() <= REPORT_LASTS_US) {
            // The recorder that has the stream knows best, then the one that spoke last.
            let rank = |r: &KeptReport| (r.report.active, r.seen);
            if best.get(&report.report.stream).is_none_or(|known| rank(&report) > rank(known)) {
                best.insert(report.report.stream.clone(), report);
            }
        }
        Ok(Self {
            settings: settings.into_iter().map(|s| (s.stream.clone(), s)).collect(),
            reports: best,
            bytes: bytes.into_iter().collect(),
            removed: removed.into_iter().map(|r| r.stream).collect(),
            archived,
        })
    }

    /// Names of all streams, ascending: those of the file, of the index, of recorders, and those with an archive. One
    /// that was deleted is none, though its archive takes a while to go.
    pub fn names(&self, node: &Node) -> BTreeSet<StreamName> {
        let file = node.options.admin.iter().flat_map(|a| a.streams.iter().map(|s| s.name.clone()));
        let archived = self.archived.iter().filter(|n| self.bytes.contains_key(n) && !self.removed.contains(n));
        let reported = self.reports.iter().filter(|(n, r)| r.report.from_file || self.settings.contains_key(n));
        file.chain(self.settings.keys().cloned())
            .chain(reported.map(|(n, _)| n.clone()))
            .chain(archived.cloned())
            .collect()
    }

    /// Whether the name stands in a configuration file, here or at a recorder.
    pub fn is_of_file(&self, node: &Node, name: &StreamName) -> bool {
        let here = node.options.admin.iter().any(|a| a.streams.iter().any(|s| s.name == *name));
        here || self.reports.get(name).is_some_and(|r| r.report.from_file)
    }

    /// The setting of a stream.
    pub fn setting(&self, name: &StreamName) -> Option<&KeptSetting> {
        self.settings.get(name)
    }

    /// One stream.
    ///
    /// # Errors
    /// Whatever the index says.
    pub async fn stream(&self, node: &Node, name: &StreamName) -> Result<Stream, Problem> {
        let setting = self.settings.get(name).map(|kept| &kept.setting);
        let of_file = self.is_of_file(node, name);
        let file = node.options.admin.iter().flat_map(|a| &a.streams).find(|s| s.name == *name);
        let report = self.reports.get(name).map(|kept| &kept.report);
        let (state, reason) = match (report, setting) {
            (_, Some(setting)) if setting.paused && !of_file => (StreamState::Paused, None),
            (Some(report), _) if of_file || setting.is_some() => {
                let state = match report.state {
                    ReportedState::Recording => StreamState::Recording,
                    ReportedState::Reconnecting => StreamState::Reconnecting,
                    ReportedState::Stopped => StreamState::Stopped,
                    ReportedState::Paused => StreamState::Paused,
                };
                (state, report.reason.clone())
            }
            _ if of_file || setting.is_some() => {
                (StreamState::Unknown, Some("No recorder has said anything of this stream lately.".to_owned()))
            }
            _ => (StreamState::Stopped, Some("It is set nowhere any more; its recordings are kept.".to_owned())),
        };
        let source = match (of_file, setting) {
            (false, Some(setting)) => secrets::shown(&setting.source),
            _ => file.map(|f| f.source.clone()).or_else(|| report.map(|r| r.source.clone())).unwrap_or_default(),
        };
        let retention_us = match (of_file, setting) {
            (false, Some(setting)) => setting.retention_us,
            _ => file.and_then(|f| f.retention_us).or_else(|| report.and_then(|r| r.retention_us)),
        };
        let known = node.recorded(name).await?;
        let (mut tracks, mut bitrate_bps) = (Vec::new(), None);
        if let Some(known) = &known {
            let extent = &known.extent;
            let newest = node.rows.newest(name, extent, extent.live_edge, NEWEST).await?.view;
            let inits = node.rows.inits(name, &init_hashes(newest.segments())).await?;
            tracks = summarize(newest.segments(), &inits).iter().map(Track::of_summary).collect();
            bitrate_bps = Some(tracks.iter().filter_map(|t| t.bitrate_bps).sum());
        }
        let uncarried = node.rows.uncarried(name).await?;
        Ok(Stream {
            name: name.to_string(),
            origin: match (of_file, setting) {
                (true, _) => Origin::File,
                (false, Some(_)) => Origin::Api,
                (false, None) => Origin::Archive,
            },
            source,
            state,
            reason,
            since_ms: report.filter(|_| state != StreamState::Paused).map(|r| r.since_utc_us / 1000),
            node: report.map(|r| r.node.clone()),
            tracks,
            uncarried: uncarried.iter().map(Into::into).collect(),
            bitrate_bps,
            first_ms: known.as_ref().map(|k| k.extent.first_start.millis()),
            live_edge_ms: known.as_ref().map(|k| k.extent.live_edge.millis()),
            stored_bytes: self.bytes.get(name).copied().unwrap_or(0),
            retention_seconds: retention_us.map(|us| us / 1_000_000),
            retention_bytes: setting.and_then(|s| s.retention_bytes).or_else(|| report.and_then(|r| r.retention_bytes)),
            hls: setting.map_or_else(|| node.options.plain_hls.get(name).copied().unwrap_or(PlainHls::Auto), |s| s.hls),
            standby: setting.is_some_and(|s| s.standby),
            paused: setting.is_some_and(|s| s.paused && !of_file),
        })
    }

    /// Several streams, in the order of their names.
    ///
    /// # Errors
    /// Whatever the index says.
    pub async fn streams(&self, node: &Node, names: Vec<StreamName>) -> Result<Vec<Stream>, Problem> {
        let asked = names.into_iter().map(|name| async move { self.stream(node, &name).await });
        futures::stream::iter(asked).buffered(AT_A_TIME).try_collect().await
    }
}
