//! Configuration: a TOML file, each key also by environment (`EVERTAPE_STORE__URL`), checked before anything
//! starts.
//!
//! Comes in: text from an operator. Goes out: a [`Config`] that can be run, or sentences that say what is
//! wrong, where, and how to mend it. Never: opens, connects or creates anything; prints a secret.

use crate::media::StreamName;
use crate::playback::hls::PlainHls;
use crate::recorder::source::spec::SourceSpec;
use crate::recorder::spool::WhenFull;
use crate::store::{S3Options, S3Store};
use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

mod size;

/// Environment variables of the same prefix that are not configuration keys.
const NOT_KEYS: &[&str] = &["config", "log", "captures", "tools", "crash_at", "clock_offset"];

/// Keys that are not texts: of their variables the value is read as TOML would. All other values are taken as they
/// stand, or a password of digits would be a number.
const NOT_TEXTS: &[&str] = &[
    "http.cors_origins",
    "http.max_connections",
    "http.max_requests",
    "admin.enabled",
    "recorder.segment_seconds",
    "recorder.spool_max_mib",
    "recorder.uploads",
    "recorder.max_streams",
    "playback.row_cache_mib",
    "playback.media_cache_mib",
    "playback.max_streams",
    "playback.max_exports",
    "preview.width",
    "preview.processes",
    "store.s3.path_style",
];

/// All settings of one process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[http]`
    pub http: Http,
    /// `[index]`
    pub index: IndexSettings,
    /// `[store]`
    pub store: StoreSettings,
    /// `[recorder]`
    pub recorder: RecorderSettings,
    /// `[admin]`
    pub admin: AdminSettings,
    /// `[playback]`
    pub playback: PlaybackSettings,
    /// `[preview]`
    pub preview: PreviewSettings,
    /// `[janitor]`
    pub janitor: JanitorSettings,
    /// `[[stream]]`, in the order of the file.
    pub stream: Vec<StreamSettings>,
}

/// `[http]`: where the server listens.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Address and port; loopback unless asked for otherwise.
    pub listen: SocketAddr,
    /// Origins (`https://host`) of web pages that may send credentials; all others may read without.
    pub cors_origins: Vec<String>,
    /// Most connections at once; whoever comes then gets 503 at once.
    pub max_connections: usize,
    /// Most requests whose answer has not begun, at once; whoever comes then gets 503 at once.
    pub max_requests: usize,
    /// At the end, answers under way may take so long to be finished.
    #[serde(with = "humantime_text")]
    pub drain: Duration,
}

/// `[admin]`: the web interface and its API.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminSettings {
    /// Whether there is one.
    pub enabled: bool,
    /// Name to sign in with.
    pub user: String,
    /// Password to sign in with (HTTP Basic). Without one the interface answers on this machine only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
}

/// `[index]`: the time index.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexSettings {
    /// `sqlite:path` or `postgres://user:password@host/database`.
    pub url: Secret,
}

/// `[store]`: the object store.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSettings {
    /// `file:path` or `s3://bucket/prefix`.
    pub url: String,
    /// `[store.s3]`
    pub s3: S3Settings,
}

/// `[store.s3]`: how to reach the S3-compatible store.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Settings {
    /// `http(s)://host:port`; Amazon's own for the region when left out.
    pub endpoint: Option<String>,
    /// Region name.
    pub region: Option<String>,
    /// Access key id.
    pub access_key: Option<String>,
    /// Secret access key.
    pub secret_key: Option<Secret>,
    /// Bucket in the path instead of the host name; what most stores other than Amazon's want.
    pub path_style: Option<bool>,
}

/// `[recorder]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecorderSettings {
    /// Folder on a local disk where segments wait until store and index have them.
    pub spool: PathBuf,
    /// Length of a segment; the cut falls on the nearest sync sample.
    pub segment_seconds: u32,
    /// Most the spool may hold, in MiB; beyond it segments are lost, loudly.
    pub spool_max_mib: u64,
    /// Which are lost then: `drop-newest` or `drop-oldest`.
    pub spool_when_full: WhenFull,
    /// Segments that one process uploads at a time.
    pub uploads: u32,
    /// Most streams that this process records; no limit when left out. Others record the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_streams: Option<u32>,
    /// Life of a stream's lease: how long a dead recorder's streams wait for another one.
    #[serde(with = "humantime_text")]
    pub lease: Duration,
    /// How much a standby keeps ready of each of its streams.
    #[serde(with = "humantime_text")]
    pub standby_keep: Duration,
    /// A source that sends nothing for this long is connected to anew.
    #[serde(with = "humantime_text")]
    pub stall: Duration,
    /// Where `evertape record` answers `/healthz` and `/metrics`; nowhere when left out. (`run` does on `http.listen`.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
}

/// `[playback]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaybackSettings {
    /// Longest window of one playlist or export.
    #[serde(with = "humantime_text")]
    pub max_window: Duration,
    /// Where playlists point for media (a CDN); relative to the playlist when left out.
    pub media_base_url: Option<String>,
    /// Players fetch fragmented MP4 from the store itself; from this node when left out.
    pub media_redirect: Option<MediaRedirect>,
    /// Memory for rows of the index, texts of playlists and sample tables, in MiB.
    pub row_cache_mib: u64,
    /// Memory for media that was read lately, in MiB.
    pub media_cache_mib: u64,
    /// Most endless streams (`timeshift_abs/…`) at once; whoever comes then gets 503.
    pub max_streams: usize,
    /// Most exports at once; one as TS counts for eight. Whoever comes then gets 503.
    pub max_exports: usize,
}

/// `[preview]`: single pictures.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreviewSettings {
    /// Program that makes JPEG files, by path or by name; without it there are only MP4 previews.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ffmpeg: Option<PathBuf>,
    /// Width of JPEG files; smaller pictures stay as they are.
    pub width: u32,
    /// Most of these programs at once.
    pub processes: usize,
}

/// `playback.media_redirect`: how players are sent to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaRedirect {
    /// 302 to an address that the store's key has signed.
    Presigned,
}

/// `[janitor]`: retention.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JanitorSettings {
    /// Between marking a segment and deleting it: longer than any playlist or export lives.
    #[serde(with = "humantime_text")]
    pub grace: Duration,
    /// Between two rounds.
    #[serde(with = "humantime_text")]
    pub interval: Duration,
    /// Most bytes of recordings, all streams together: beyond it the oldest go first, locked ranges excepted.
    #[serde(default, with = "size::optional", skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
}

/// `[[stream]]`: one live source and what to keep of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamSettings {
    /// Name in URLs.
    pub name: StreamName,
    /// `demo:`, `file:`, `http(s)://`, `udp://`, `rtp://`. May hold credentials.
    pub source: Secret,
    /// How long recordings are kept; for ever when left out.
    #[serde(default, with = "optional_humantime_text", skip_serializing_if = "Option::is_none")]
    pub retention: Option<Duration>,
    /// Most bytes that are kept: beyond it the oldest go first, locked ranges excepted. Any number when left out.
    #[serde(default, with = "size::optional", skip_serializing_if = "Option::is_none")]
    pub retention_bytes: Option<u64>,
    /// What plain `.m3u8` means: `auto` (MPEG-TS where the picture is H.264, else fragmented MP4), `ts` or `fmp4`.
    #[serde(default)]
    pub hls: PlainHls,
    /// A second recorder takes in the same source and takes over without a gap when the first one dies.
    #[serde(default)]
    pub standby: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            http: Http {
                listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
                cors_origins: Vec::new(),
                max_connections: 8192,
                max_requests: 1024,
                drain: Duration::from_secs(10),
            },
            admin: AdminSettings { enabled: true, user: "admin".into(), password: None },
            index: IndexSettings { url: Secret("sqlite:data/index.db".into()) },
            store: StoreSettings { url: "file:data/objects".into(), s3: S3Settings::default() },
            recorder: RecorderSettings {
                spool: "data/spool".into(),
                segment_seconds: 6,
                spool_max_mib: 20 * 1024,
                spool_when_full: WhenFull::default(),
                uploads: 16,
                max_streams: None,
                lease: Duration::from_secs(30),
                standby_keep: Duration::from_secs(180),
                stall: Duration::from_secs(10),
                listen: None,
            },
            playback: PlaybackSettings {
                max_window: Duration::from_secs(24 * 3600),
                media_base_url: None,
                media_redirect: None,
                row_cache_mib: 256,
                media_cache_mib: 256,
                max_streams: 4000,
                max_exports: 512,
            },
            preview: PreviewSettings { ffmpeg: None, width: 320, processes: 2 },
            janitor: JanitorSettings {
                grace: Duration::from_secs(26 * 3600),
                interval: Duration::from_secs(30),
                max_bytes: None,
            },
            stream: Vec::new(),
        }
    }
}

/// A text that may hold a password: never shown whole.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl Secret {
    /// The text itself, for whoever connects with it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"…\"")
    }
}

// Needed to give defaults to figment, in memory only.
impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

/// What is wrong with a configuration: one sentence for each fault.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

impl Config {
    /// Reads `file` (if given) and the environment over the defaults, and checks the result.
    ///
    /// # Errors
    /// Every fault found, as a sentence with its place and how to mend it.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Config::default()));
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|e| {
                ConfigError(vec![format!("{}: cannot be read ({e}); give another file with --config", path.display())])
            })?;
            // Figment would say only that a key is missing; the parser says line and column.
            if let Err(e) = text.parse::<toml::Table>() {
                // Not the error's own text: it shows the line, and a secret may stand there.
                let before = e.span().and_then(|s| text.get(..s.start)).unwrap_or("");
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
                let what = e.message().lines().next().unwrap_or("");
                return Err(ConfigError(vec![format!(
                    "{}: not valid TOML: line {line}, column {column}: {what}",
                    path.display()
                )]));
            }
            figment = figment.merge(Toml::string(&text));
        }
        let env = Env::prefixed("EVERTAPE_").ignore(NOT_KEYS).split("__");
        let place = file.map_or_else(|| "configuration".to_owned(), |p| p.display().to_string());
        for (key, text) in env.iter() {
            figment = figment.merge(Variable { key: key.as_str().to_owned(), text });
        }
        let config: Config =
            figment.extract().map_err(|e| ConfigError(e.into_iter().map(|e| explain(&e, &place)).collect()))?;
        config.check(&place)?;
        Ok(config)
    }

    fn check(&self, place: &str) -> Result<(), ConfigError> {
        let mut faults = Vec::new();
        let mut fault = |key: &str, text: String| faults.push(format!("{place}: {key}: {text}"));
        let index = self.index.url.expose();
        if !["sqlite:", "postgres://", "postgresql://"].iter().any(|s| index.starts_with(s)) {
            fault("index.url", "write sqlite:path/to/index.db or postgres://user:password@host/database".into());
        }
        match self.store.url.split_once(':') {
            Some(("file", path)) if !path.is_empty() => {}
            Some(("s3", rest)) if rest.len() > 2 && rest.starts_with("//") => {}
            _ => fault("store.url", "write file:path/to/folder or s3://bucket/prefix".into()),
        }
        if let Some(endpoint) = &self.store.s3.endpoint
            && !url::Url::parse(endpoint).is_ok_and(|u| matches!(u.scheme(), "http" | "https") && u.has_host())
        {
            fault("store.s3.endpoint", "write http://host:port or https://host".into());
        } else if let Some((bucket, prefix)) =
            self.store.url.strip_prefix("s3://").map(|r| r.split_once('/').unwrap_or((r, "")))
            && let Err(e) = S3Store::new(self.s3_options().into_config(bucket, prefix))
        {
            // The rest of its rules, credentials from the environment too. Asks nothing of the network.
            faults.push(format!("{place}: {e}"));
        }
        let mut fault = |key: &str, text: String| faults.push(format!("{place}: {key}: {text}"));
        for origin in &self.http.cors_origins {
            let read = url::Url::parse(origin).ok().filter(|u| matches!(u.scheme(), "http" | "https"));
            if read.is_none_or(|u| u.origin().ascii_serialization() != *origin) {
                fault(
                    "http.cors_origins",
                    format!("{origin:?}: write it as browsers do, for instance https://tv.example"),
                );
            }
        }
        if !(1..=1_000_000).contains(&self.http.max_connections) {
            fault("http.max_connections", "1 or more; 8192 is usual".into());
        }
        if !(1..=1_000_000).contains(&self.http.max_requests) {
            fault("http.max_requests", "1 or more; 1024 is usual".into());
        }
        if self.http.drain > Duration::from_secs(3600) {
            fault("http.drain", "at most 1h; 10s is usual".into());
        }
        if self.admin.user.is_empty() || self.admin.user.contains(':') {
            fault("admin.user", "a name without a colon; admin is usual".into());
        }
        if self.admin.password.as_ref().is_some_and(|p| p.expose().is_empty()) {
            fault("admin.password", "leave it out for none; an empty one protects nothing".into());
        }
        if self.playback.media_redirect.is_some() && self.store.url.starts_with("file:") {
            fault(
                "playback.media_redirect",
                "a folder has no addresses that players could be sent to; leave it out, or keep objects in s3://"
                    .into(),
            );
        }
        if !(1..=30).contains(&self.recorder.segment_seconds) {
            fault("recorder.segment_seconds", "1 to 30; 6 suits most players".into());
        }
        if self.recorder.spool.as_os_str().is_empty() {
            fault("recorder.spool", "name a folder on a local disk".into());
        }
        if !(1..=1 << 40).contains(&self.recorder.spool_max_mib) {
            fault("recorder.spool_max_mib", "1 or more; some hours of all streams, for instance 20480".into());
        }
        if !(1..=1024).contains(&self.recorder.uploads) {
            fault("recorder.uploads", "1 to 1024; 16 suits most stores".into());
        }
        if self.recorder.max_streams == Some(0) {
            fault("recorder.max_streams", "1 or more; leave it out for no limit".into());
        }
        if !(Duration::from_secs(2)..=Duration::from_secs(600)).contains(&self.recorder.lease) {
            fault("recorder.lease", "2s to 10m; 30s is usual".into());
        }
        if self.recorder.standby_keep < 2 * self.recorder.lease
            || self.recorder.standby_keep > Duration::from_secs(86_400)
        {
            fault("recorder.standby_keep", "from twice recorder.lease to 24h; 3m is usual".into());
        }
        if self.recorder.stall < Duration::from_secs(1) {
            fault("recorder.stall", "at least 1s".into());
        }
        if self.playback.max_window < Duration::from_secs(1) {
            fault("playback.max_window", "at least 1s; 24h is usual".into());
        }
        if let Some(base) = &self.playback.media_base_url
            && !url::Url::parse(base).is_ok_and(|u| matches!(u.scheme(), "http" | "https") && u.query().is_none())
        {
            fault("playback.media_base_url", "write http(s)://host/path, without a query".into());
        }
        if !(1..=1_000_000).contains(&self.playback.max_streams) {
            fault("playback.max_streams", "1 or more; 4000 is usual".into());
        }
        if !(8..=1_000_000).contains(&self.playback.max_exports) {
            fault("playback.max_exports", "8 or more; 512 is usual".into());
        }
        if self.preview.ffmpeg.as_ref().is_some_and(|f| f.as_os_str().is_empty()) {
            fault("preview.ffmpeg", "name a program, for instance ffmpeg, or leave it out".into());
        }
        if !(16..=4096).contains(&self.preview.width) {
            fault("preview.width", "16 to 4096; 320 is usual".into());
        }
        if !(1..=64).contains(&self.preview.processes) {
            fault("preview.processes", "1 to 64; no more than there are processors".into());
        }
        for (key, mib) in
            [("row_cache_mib", self.playback.row_cache_mib), ("media_cache_mib", self.playback.media_cache_mib)]
        {
            if !(16..=1 << 24).contains(&mib) {
                fault(&format!("playback.{key}"), "16 or more; 256 does for a small node".into());
            }
        }
        if self.janitor.interval < Duration::from_millis(100) {
            fault("janitor.interval", "at least 100ms; 30s is usual".into());
        }
        for (n, stream) in self.stream.iter().enumerate() {
            if self.stream[..n].iter().any(|s| s.name == stream.name) {
                fault("stream", format!("{} is configured twice; names are unique", stream.name));
            }
            if stream.retention.is_some_and(|r| r.is_zero()) {
                fault("stream", format!("{}: retention: more than 0s; leave it out to keep for ever", stream.name));
            }
            if let Err(e) = SourceSpec::parse(stream.source.expose()) {
                fault("stream", format!("{}: source: {e}", stream.name));
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(ConfigError(faults)) }
    }

    /// `[store.s3]` as the store wants it.
    pub fn s3_options(&self) -> S3Options {
        let s3 = &self.store.s3;
        S3Options {
            endpoint: s3.endpoint.clone(),
            region: s3.region.clone(),
            access_key: s3.access_key.clone(),
            secret_key: s3.secret_key.as_ref().map(|s| crate::store::Secret::new(s.expose())),
            path_style: s3.path_style,
        }
    }
}

/// One variable of the environment, its key with dots.
struct Variable {
    key: String,
    text: String,
}

impl Provider for Variable {
    fn metadata(&self) -> Metadata {
        Metadata::named("environment")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let typed = NOT_TEXTS.contains(&self.key.as_str()) || !self.key.contains('.');
        let value = match (typed, self.text.parse::<Value>()) {
            (true, Ok(value)) => value,
            _ => Value::from(self.text.as_str()),
        };
        let nested = figment::util::nest(&self.key, value).into_dict().unwrap_or_default();
        Ok(Map::from([(Profile::Default, nested)]))
    }
}

/// One sentence from figment's error: place, key, what was wrong, and for unknown keys the nearest known one.
fn explain(error: &figment::Error, place: &str) -> String {
    use figment::error::Kind;
    let from_env = error.metadata.as_ref().is_some_and(|m| m.name.contains("environment"));
    let mut path = error.path.clone();
    if let Kind::UnknownField(field, known) = &error.kind {
        if path.last() != Some(field) {
            path.push(field.clone());
        }
        let near = known
            .iter()
            .map(|k| (strsim::damerau_levenshtein(k, field), *k))
            .min()
            .filter(|(distance, k)| *distance <= k.len().max(3) / 2)
            .map_or_else(String::new, |(_, k)| format!("did you mean `{k}`? "));
        return format!("{}: unknown key; {near}known here: {}", key_place(&path, from_env, place), known.join(", "));
    }
    let what = match &error.kind {
        // Values may be secrets: name the kind of value only.
        Kind::InvalidType(found, wanted) => format!("{} was given, {wanted} is wanted", kind_of(found)),
        Kind::InvalidValue(_, wanted) => format!("{wanted} is wanted"),
        Kind::MissingField(field) => {
            path.push(field.to_string());
            "missing; add it".to_owned()
        }
        _ if path == ["http", "listen"] => {
            "write an address and a port, for instance 127.0.0.1:8080, or 0.0.0.0:8080 for all".to_owned()
        }
        other => other.to_string(),
    };
    format!("{}: {what}", key_place(&path, from_env, place))
}

fn key_place(path: &[String], from_env: bool, place: &str) -> String {
    if from_env {
        format!("environment: EVERTAPE_{}", path.join("__").to_uppercase())
    } else {
        format!("{place}: {}", path.join("."))
    }
}

fn kind_of(actual: &figment::error::Actual) -> &'static str {
    use figment::error::Actual;
    match actual {
        Actual::Bool(_) => "true or false",
        Actual::Unsigned(_) | Actual::Signed(_) => "a whole number",
        Actual::Float(_) => "a decimal number",
        Actual::Str(_) | Actual::Char(_) => "a text",
        Actual::Seq => "a list",
        Actual::Map => "a table",
        _ => "another kind of value",
    }
}

mod humantime_text {
    use std::time::Duration;

    pub fn serialize<S: serde::Serializer>(value: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&humantime::format_duration(*value))
    }

    pub fn deserialize<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(d)?;
        let limit = Duration::from_secs(1000 * 365 * 86_400);
        humantime::parse_duration(&text)
            .ok()
            .filter(|d| *d <= limit)
            .ok_or_else(|| serde::de::Error::custom("write a length of time such as \"30s\", \"24h\" or \"7d\""))
    }
}

mod optional_humantime_text {
    use std::time::Duration;

    pub fn serialize<S: serde::Serializer>(value: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::humantime_text::serialize(value, s),
            None => s.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
        super::humantime_text::deserialize(d).map(Some)
    }
}

#[cfg(test)]
mod tests;
