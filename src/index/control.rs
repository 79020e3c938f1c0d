//! Streams that are set in the index, and what recorders say of theirs: the part of the port by which an operator
//! steers a whole installation.
//!
//! Comes in: settings, deletions, reports. Goes out: the same, for every node alike. Never: decides who records (leases
//! do) or what is kept (the janitor does).

use super::Result;
use super::error::damaged;
use super::row::from_sql;
use crate::media::{StreamName, UtcUs};
use crate::playback::hls::PlainHls;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Most streams that one installation has settings for.
pub const MOST_SETTINGS: usize = 100_000;
/// Reports are forgotten when they are this much older than a new one.
const FORGET_AFTER_US: i64 = 86_400_000_000;

/// What is recorded under a name, and how.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamSetting {
    /// Where it comes from, as an operator wrote it: may hold a password.
    pub source: String,
    /// How long recordings are kept, in microseconds; for ever when `None`.
    pub retention_us: Option<i64>,
    /// Most bytes that are kept; any number when `None`.
    pub retention_bytes: Option<u64>,
    /// What plain `.m3u8` means.
    #[serde(default)]
    pub hls: PlainHls,
    /// A second recorder takes in the same source.
    #[serde(default)]
    pub standby: bool,
    /// Nothing is recorded for now.
    #[serde(default)]
    pub paused: bool,
}

impl fmt::Debug for StreamSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamSetting")
            .field("retention_us", &self.retention_us)
            .field("retention_bytes", &self.retention_bytes)
            .field("hls", &self.hls)
            .field("standby", &self.standby)
            .field("paused", &self.paused)
            .finish_non_exhaustive()
    }
}

/// A setting as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSetting {
    /// Name.
    pub stream: StreamName,
    /// The setting.
    pub setting: StreamSetting,
    /// Another one for each change, and never one that was given before, not even to a deleted stream.
    pub version: u64,
    /// When it was changed last.
    pub changed: UtcUs,
}

/// A stream that was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Name.
    pub stream: StreamName,
    /// What ends before or at this moment goes.
    pub at: UtcUs,
}

/// What a change expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// No such stream.
    Absent,
    /// The stream, in this version.
    Version(u64),
    /// The stream, in any version.
    Present,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It was done; the new version.
    Done(u64),
    /// Somebody else changed it meanwhile: this is its version now.
    Stale(u64),
    /// There is no such stream.
    Missing,
}

/// What a recorder is doing about a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportedState {
    /// Media comes in.
    Recording,
    /// It tries to.
    Reconnecting,
    /// It does not: the source was finite and has ended, or another recorder has the stream.
    Stopped,
    /// An operator paused it.
    Paused,
}

/// What one recorder says of one stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamReport {
    /// Name.
    pub stream: StreamName,
    /// Machine and process, for people.
    pub node: String,
    /// The stream stands in the recorder's configuration file.
    pub from_file: bool,
    /// Its source without secrets.
    pub source: String,
    /// This recorder has the stream's lease.
    pub active: bool,
    /// What it does.
    pub state: ReportedState,
    /// Why, in words, where something is wrong.
    pub reason: Option<String>,
    /// Since when, by its own clock, in microseconds of UTC.
    pub since_utc_us: i64,
    /// Segments that wait in its spool.
    pub waiting: u64,
    /// As in [`StreamSetting`].
    pub retention_us: Option<i64>,
    /// As in [`StreamSetting`].
    pub retention_bytes: Option<u64>,
}

/// A report as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptReport {
    /// Holder of the recorder's leases.
    pub recorder: String,
    /// When it was said, by the recorder's own clock.
    pub seen: UtcUs,
    /// What it says.
    pub report: StreamReport,
}

/// Settings, deletions, reports.
#[async_trait::async_trait]
pub trait Control: Send + Sync + 'static {
    /// A number that changes with every change of a setting and every deletion.
    async fn settings_revision(&self) -> Result<u64>;

    /// All settings, by name; at most [`MOST_SETTINGS`].
    async fn settings(&self) -> Result<Vec<KeptSetting>>;

    /// One setting.
    async fn setting(&self, stream: &StreamName) -> Result<Option<KeptSetting>>;

    /// Writes a setting if `expected` is what there is. With [`Expected::Absent`], a stream that is there is `Stale`.
    async fn put_setting(
        &self,
        stream: &StreamName,
        setting: &StreamSetting,
        expected: Expected,
        now: UtcUs,
    ) -> Result<Changed>;

    /// Deletes a setting, and remembers that what was recorded up to `now` is to go.
    async fn remove_setting(&self, stream: &StreamName, expected: Expected, now: UtcUs) -> Result<Changed>;

    /// Remembers that what was recorded up to `now` of a stream without a setting is to go. `Missing` where nothing
    /// ever was recorded under that name, `Stale` where the stream has a setting: that one is to be removed.
    async fn remove_archive(&self, stream: &StreamName, now: UtcUs) -> Result<Changed>;

    /// Streams that were deleted and still had recordings, by name.
    async fn removed(&self) -> Result<Vec<Removed>>;

    /// Forgets a deletion, unless the stream was deleted again since.
    async fn forget_removed(&self, removed: &Removed) -> Result<()>;

    /// Replaces all that `recorder` said before, as of `now`.
    async fn report(&self, recorder: &str, reports: &[StreamReport], now: UtcUs) -> Result<()>;

    /// What all recorders said last, by stream.
    async fn reports(&self) -> Result<Vec<KeptReport>>;
}

/// → revision.
pub(super) const REVISION: &str = "select revision from settings_revision";

/// → revision. Whoever is here first goes first.
pub(super) const NEXT_REVISION: &str = "update settings_revision set revision = revision + 1 returning revision";

/// limit → `SettingColumns`.
pub(super) const SETTINGS: &str =
    "select stream, version, changed_utc_us, setting from stream_settings order by stream limit $1";

/// stream → `SettingColumns`.
pub(super) const SETTING: &str =
    "select stream, version, changed_utc_us, setting from stream_settings where stream = $1";

/// stream, version, now, setting.
pub(super) const PUT_SETTING: &str = "insert into stream_settings (stream, version, changed_utc_us, setting) \
    values ($1, $2, $3, $4) on conflict (stream) do update set version = excluded.version, \
    changed_utc_us = excluded.changed_utc_us, setting = excluded.setting";

/// stream.
pub(super) const DELETE_SETTING: &str = "delete from stream_settings where stream = $1";

/// stream, now.
pub(super) const REMEMBER_REMOVED: &str = "insert into removed_streams (stream, removed_utc_us) values ($1, $2) \
    on conflict (stream) do update set removed_utc_us = excluded.removed_utc_us";

/// stream → 1 where anything ever was recorded, or was about to be.
pub(super) const IS_KNOWN: &str = "select 1 from streams where stream = $1";

/// → `RemovedColumns`.
pub(super) const REMOVED: &str = "select stream, removed_utc_us from removed_streams order by stream limit 100000";

/// stream, moment.
pub(super) const FORGET_REMOVED: &str = "delete from removed_streams where stream = $1 and removed_utc_us = $2";

/// recorder, seen before: what it said before, and what was said long ago.
pub(super) const CLEAR_REPORTS: &str = "delete from stream_reports where recorder = $1 or seen_utc_us < $2";

/// recorder, stream, seen, report.
pub(super) const ADD_REPORT: &str = "insert into stream_reports (recorder, stream, seen_utc_us, report) \
    values ($1, $2, $3, $4) on conflict (recorder, stream) do nothing";

/// → `ReportColumns`.
pub(super) const REPORTS: &str =
    "select recorder, seen_utc_us, report from stream_reports order by stream, recorder limit 200000";

/// stream, version, changed, JSON.
pub(super) type SettingColumns = (String, i64, i64, String);
/// stream, moment.
pub(super) type RemovedColumns = (String, i64);
/// recorder, seen, JSON.
pub(super) type ReportColumns = (String, i64, String);

pub(super) fn kept_setting((stream, version, changed, setting): SettingColumns) -> Result<KeptSetting> {
    Ok(KeptSetting {
        stream: StreamName::parse(&stream).map_err(damaged)?,
        // Not the parser's words: they may quote the source.
        setting: serde_json::from_str(&setting).map_err(|_| damaged(format!("the setting of {stream}")))?,
        version: from_sql(version, "version")?,
        changed: UtcUs(changed),
    })
}

pub(super) fn kept_removed((stream, at): RemovedColumns) -> Result<Removed> {
    Ok(Removed { stream: StreamName::parse(&stream).map_err(damaged)?, at: UtcUs(at) })
}

pub(super) fn kept_report((recorder, seen, report): ReportColumns) -> Result<KeptReport> {
    let report = serde_json::from_str(&report).map_err(|e| damaged(format!("a report of {recorder}: {e}")))?;
    Ok(KeptReport { recorder, seen: UtcUs(seen), report })
}

pub(super) fn forgotten(now: UtcUs) -> i64 {
    now.plus_us(-FORGET_AFTER_US).0
}

/// What a change that expects `expected` does where `found` is the version there is; `None`: it may go on.
pub(super) fn refusal(expected: Expected, found: Option<u64>) -> Option<Changed> {
    match (expected, found) {
        (Expected::Absent, None) | (Expected::Present, Some(_)) => None,
        (Expected::Version(wanted), Some(there)) if wanted == there => None,
        (_, Some(there)) => Some(Changed::Stale(there)),
        (_, None) => Some(Changed::Missing),
    }
}

/// A value as JSON text.
pub(super) fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| damaged(format!("a setting or report cannot be written: {e}")))
}
