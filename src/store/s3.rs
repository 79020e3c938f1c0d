//! Object store over the S3 protocol.
//!
//! Comes in: keys, whole bodies. Goes out: objects `{prefix}/{key}` of one bucket, ranges of them. Works with
//! AWS and with stores that know less: no checksums they did not ask for, single deletes where they cannot
//! delete many, and a look before a PUT where they ignore `If-None-Match` (found out once, with a small
//! object `{prefix}/.evertape/conditional-put`, which stays). Never: a secret in a message.

mod failure;
mod read;

use super::options::environment;
use super::{ByteStream, ObjectInfo, ObjectStore, Put, Result, Secret, StoreError, StoreErrorKind, can_be_prefix};
use crate::media::ObjectKey;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
};
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream as Body;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use bytes::Bytes;
use failure::{Failure, kind_of};
use futures::{StreamExt, TryStreamExt};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::OnceCell;

/// Most keys of one listing page or one deletion, as the protocol has it.
const PAGE_KEYS: usize = 1000;
/// Single deletes under way at once.
const DELETES_AT_ONCE: usize = 8;
/// Slowest upload that is waited for, in bytes per second, beyond the time of an ordinary request.
const SLOWEST_UPLOAD: u64 = 256 << 10;
/// Longest wait of a ping (see [`ObjectStore::ping`]).
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// Shows whether the store honours `If-None-Match: *`. No key starts with a dot.
const PROBE: &str = ".evertape/conditional-put";

/// How to reach one bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Config {
    /// Bucket.
    pub bucket: String,
    /// Objects lie under `prefix/`; empty for the whole bucket.
    pub prefix: String,
    /// Address of the store, `http(s)://host[:port]`; AWS when absent.
    pub endpoint: Option<String>,
    /// Region, for the signature.
    pub region: String,
    /// Access key; with the secret key, or neither: then `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and
    /// `AWS_SESSION_TOKEN` of the environment hold.
    pub access_key: Option<String>,
    /// Secret key.
    pub secret_key: Option<Secret>,
    /// Bucket in the path instead of the host name.
    pub path_style: bool,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
struct Limits {
    connect: Duration,
    /// One attempt, up to the answer's head; plus time for an upload's size.
    attempt: Duration,
    attempts: u32,
    /// The next piece of a body.
    stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            attempt: Duration::from_secs(10),
            attempts: 3,
            stall: Duration::from_secs(10),
        }
    }
}

impl Limits {
    fn timeouts(&self, upload_bytes: usize) -> TimeoutConfig {
        let attempt = self.attempt + Duration::from_millis(upload_bytes as u64 * 1000 / SLOWEST_UPLOAD);
        TimeoutConfig::builder()
            .connect_timeout(self.connect)
            .operation_attempt_timeout(attempt)
            .operation_timeout(attempt * self.attempts + Duration::from_secs(5))
            .build()
    }
}

/// Objects in one bucket, below one prefix.
#[derive(Debug)]
pub struct S3Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    bucket: String,
    /// Empty, or ends with a slash.
    prefix: String,
    secret: Secret,
    limits: Limits,
    /// Whether the store honours `If-None-Match: *`, once known.
    conditional: OnceCell<bool>,
    /// Whether the store has refused to delete many at once.
    single_deletes: AtomicBool,
    /// Whether the bucket has answered: then a 404 is about an object.
    bucket_seen: AtomicBool,
}

impl S3Store {
    /// A store for this configuration. Asks nothing of the network.
    ///
    /// # Errors
    /// `Refused` with a sentence about the configuration.
    pub fn new(config: S3Config) -> Result<Self> {
        Self::with_limits(config, Limits::default())
    }

    fn with_limits(config: S3Config, limits: Limits) -> Result<Self> {
        let refused = |why: &str| Err(StoreError::new(StoreErrorKind::Refused, why));
        let bucket_ok = !config.bucket.is_empty()
            && !config.bucket.starts_with('.')
            && config.bucket.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if !bucket_ok {
            return refused("store.url: s3://bucket/prefix needs a bucket of letters, digits and . _ -");
        }
        let prefix = config.prefix.trim_end_matches('/');
        if !(prefix.is_empty() || ObjectKey::parse(prefix).is_some()) {
            return refused("store.url: the prefix may hold letters, digits and . _ ~ -, and / between parts");
        }
        if let Some(endpoint) = &config.endpoint {
            let ok = url::Url::parse(endpoint).is_ok_and(|url| {
                matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none()
            });
            if !ok {
                return refused("store.s3.endpoint: write http(s)://host[:port], without a user or password in it");
            }
        }
        let (access_key, secret, token) = match (config.access_key, config.secret_key) {
            (Some(access_key), Some(secret)) => (access_key, secret, None),
            (None, None) => match (environment("AWS_ACCESS_KEY_ID"), environment("AWS_SECRET_ACCESS_KEY")) {
                (Some(access_key), Some(secret)) => (access_key, Secret::new(secret), environment("AWS_SESSION_TOKEN")),
                _ => {
                    return refused(
                        "store.s3: set access_key and secret_key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY \
                         in the environment",
                    );
                }
            },
            _ => return refused("store.s3: set both access_key and secret_key, or neither"),
        };
        let credentials = Credentials::new(access_key, secret.expose(), token, None, "evertape");
        let retries = RetryConfig::standard()
            .with_max_attempts(limits.attempts)
            .with_initial_backoff(Duration::from_millis(200))
            .with_max_backoff(Duration::from_secs(2));
        let mut builder = Builder::new()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .credentials_provider(credentials)
            .region(Region::new(config.region))
            .force_path_style(config.path_style)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .timeout_config(limits.timeouts(0))
            .retry_config(retries)
            // A slow viewer is no stalled store: uploads end by their timeout, downloads by `Limits::stall`.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Some(endpoint) = config.endpoint {
            builder = builder.endpoint_url(endpoint);
        }
        let inner = Inner {
            client: Client::from_conf(builder.build()),
            bucket: config.bucket,
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
            secret,
            limits,
            conditional: OnceCell::new(),
            single_deletes: AtomicBool::new(false),
            bucket_seen: AtomicBool::new(false),
        };
        Ok(Self { inner: Arc::new(inner) })
    }
}

#[async_trait::async_trait]
impl ObjectStore for S3Store {
    async fn put(&self, key: &ObjectKey, body: Bytes, content_type: &'static str) -> Result<Put> {
        let inner = &self.inner;
        let what = format!("put {key}");
        let conditional = match inner.honours_conditions().await {
            Ok(conditional) => conditional,
            Err(failure) => return Err(inner.put_error(&what, failure)),
        };
        if !conditional {
            // Objects do not change, so whoever has written it wrote this. Two at once may both write.
            match self.head(key).await {
                Ok(_) => return Ok(Put::AlreadyThere),
                Err(error) if error.kind == StoreErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        match inner.upload(&inner.name(key), body, content_type, conditional).await {
            Ok(put) => Ok(put),
            Err(failure) => Err(inner.put_error(&what, failure)),
        }
    }

    async fn get(&self, key: &ObjectKey, range: Range<u64>) -> Result<ByteStream> {
        read::get(&self.inner, key, range).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<u64> {
        let inner = &self.inner;
        let what = format!("head {key}");
        match inner.client.head_object().bucket(&inner.bucket).key(inner.name(key)).send().await {
            Ok(answer) => {
                inner.seen();
                let length = answer.content_length().and_then(|length| u64::try_from(length).ok());
                length.ok_or_else(|| inner.error(&what, Failure::other(StoreErrorKind::Other, "no Content-Length")))
            }
            Err(error) => {
                let failure = Failure::of(&error);
                // The answer to a HEAD has no body, so it does not say whether key or bucket is missing.
                if failure.kind == StoreErrorKind::NotFound && !inner.bucket_seen.load(Ordering::Relaxed) {
                    self.list("", None, 1).await?;
                }
                Err(inner.error(&what, failure))
            }
        }
    }

    async fn presign_get(&self, key: &ObjectKey, valid_for: Duration) -> Result<String> {
        let inner = &self.inner;
        let what = format!("sign {key}");
        let other = |why: String| inner.error(&what, Failure::other(StoreErrorKind::Other, why));
        let expires = PresigningConfig::expires_in(valid_for).map_err(|error| other(error.to_string()))?;
        let request = inner.client.get_object().bucket(&inner.bucket).key(inner.name(key)).presigned(expires).await;
        Ok(request.map_err(|error| inner.error(&what, Failure::of(&error)))?.uri().to_owned())
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Result<()> {
        // Once each: some stores take a key named twice for an error.
        let keys: Vec<&ObjectKey> = keys.iter().collect::<BTreeSet<_>>().into_iter().collect();
        for page in keys.chunks(PAGE_KEYS) {
            self.inner.delete_page(page).await?;
        }
        Ok(())
    }

    async fn list(&self, prefix: &str, after: Option<&ObjectKey>, limit: usize) -> Result<Vec<ObjectInfo>> {
        if !can_be_prefix(prefix) {
            return Ok(Vec::new());
        }
        let inner = &self.inner;
        let what = format!("list {prefix}");
        let strange = |why: &str| inner.error(&what, Failure::other(StoreErrorKind::Other, why));
        let mut found = Vec::new();
        let full_prefix = format!("{}{prefix}", inner.prefix);
        // A place outside the prefix is not passed on: Garage then lists nothing instead of starting there.
        let mut from = match after.map(|key| inner.name(key)) {
            Some(after) if after.starts_with(&full_prefix) => Some(after),
            Some(after) if after > full_prefix => return Ok(Vec::new()),
            _ => None,
        };
        while found.len() < limit {
            let page = inner
                .client
                .list_objects_v2()
                .bucket(&inner.bucket)
                .prefix(&full_prefix)
                .set_start_after(from.clone())
                .max_keys((limit - found.len()).min(PAGE_KEYS) as i32)
                .send()
                .await
                .map_err(|error| inner.error(&what, Failure::of(&error)))?;
            inner.seen();
            let before = from.clone();
            for object in page.contents() {
                let Some(name) = object.key() else { continue };
                if from.as_deref().is_some_and(|from| name <= from) {
                    return Err(strange("the store does not list in ascending order"));
                }
                from = Some(name.to_owned());
                let key = name.strip_prefix(&inner.prefix).filter(|key| key.starts_with(prefix));
                // What is no key is not ours.
                let Some(key) = key.and_then(ObjectKey::parse) else { continue };
                let size = object.size().and_then(|size| u64::try_from(size).ok());
                let object_bytes = size.ok_or_else(|| strange("an object without a size"))?;
                if found.len() < limit {
                    found.push(ObjectInfo { key, object_bytes });
                }
            }
            if !page.is_truncated().unwrap_or(false) {
                break;
            }
            if from == before {
                return Err(strange("the store promises more and lists nothing"));
            }
        }
        Ok(found)
    }

    async fn ping(&self) -> Result<()> {
        let inner = &self.inner;
        // A listing and not HeadBucket: only an answer with a body says what is wrong.
        let quick = Builder::new().retry_config(RetryConfig::disabled()).timeout_config(
            TimeoutConfig::builder().connect_timeout(PING_TIMEOUT).operation_timeout(PING_TIMEOUT).build(),
        );
        let request = inner.client.list_objects_v2().bucket(&inner.bucket).prefix(&inner.prefix).max_keys(1);
        let answer = tokio::time::timeout(PING_TIMEOUT, request.customize().config_override(quick).send());
        match answer.await {
            Ok(Ok(_)) => {
                inner.seen();
                Ok(())
            }
            Ok(Err(error)) => Err(inner.error("ping", Failure::of(&error))),
            Err(_) => {
                let failure = Failure::other(StoreErrorKind::Unavailable, "no answer within 2 s");
                Err(inner.error("ping", failure))
            }
        }
    }
}

impl Inner {
    fn name(&self, key: &ObjectKey) -> String {
        format!("{}{key}", self.prefix)
    }

    fn error(&self, what: &str, failure: Failure) -> StoreError {
        failure.into_error(what, &self.secret)
    }

    fn put_error(&self, what: &str, mut failure: Failure) -> StoreError {
        // A PUT finds no object missing: it is the bucket, or what stands before it.
        if failure.kind == StoreErrorKind::NotFound {
            failure.kind = StoreErrorKind::Refused;
        }
        self.error(what, failure)
    }

    fn seen(&self) {
        self.bucket_seen.store(true, Ordering::Relaxed);
    }

    /// Whether `If-None-Match: *` holds here; asked once, or again after a failure.
    async fn honours_conditions(&self) -> Result<bool, Failure> {
        let probe = || async {
            let name = format!("{}{PROBE}", self.prefix);
            // The first may find nothing there and write; the second must not.
            for _ in 0..2 {
                match self.upload(&name, Bytes::new(), "application/octet-stream", true).await {
                    Ok(Put::AlreadyThere) => return Ok(true),
                    Ok(Put::Written) => {}
                    Err(failure) if failure.has_code(&["ConditionalRequestConflict"]) => return Ok(true),
                    Err(failure) if is_not_understood(&failure) => return Ok(false),
                    Err(failure) => return Err(failure),
                }
            }
            Ok(false)
        };
        self.conditional.get_or_try_init(probe).await.copied()
    }

    async fn upload(&self, name: &str, body: Bytes, content_type: &str, conditional: bool) -> Result<Put, Failure> {
        let timeouts = Builder::new().timeout_config(self.limits.timeouts(body.len()));
        let answer = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(name)
            .content_type(content_type)
            .set_if_none_match(conditional.then(|| "*".to_owned()))
            .body(Body::from(body))
            .customize()
            .config_override(timeouts)
            .send()
            .await;
        match answer.map_err(|error| Failure::of(&error)) {
            Ok(_) => {
                self.seen();
                Ok(Put::Written)
            }
            Err(failure) if conditional && failure.status == Some(412) => {
                self.seen();
                Ok(Put::AlreadyThere)
            }
            Err(failure) => Err(failure),
        }
    }

    async fn delete_page(&self, keys: &[&ObjectKey]) -> Result<()> {
        if keys.len() == 1 || self.single_deletes.load(Ordering::Relaxed) {
            return self.delete_singly(keys).await;
        }
        let what = format!("delete {} objects", keys.len());
        let identifiers: Result<Vec<_>, _> =
            keys.iter().map(|key| ObjectIdentifier::builder().key(self.name(key)).build()).collect();
        let list = identifiers.and_then(|objects| Delete::builder().quiet(true).set_objects(Some(objects)).build());
        let list = list.map_err(|error| self.error(&what, Failure::other(StoreErrorKind::Other, error.to_string())))?;
        match self.client.delete_objects().bucket(&self.bucket).delete(list).send().await {
            Ok(answer) => {
                self.seen();
                // Each by itself then: which says best why.
                let left: Vec<&ObjectKey> = answer
                    .errors()
                    .iter()
                    .filter(|error| kind_of(error.code(), None) != StoreErrorKind::NotFound)
                    .filter_map(|error| keys.iter().copied().find(|key| error.key() == Some(self.name(key).as_str())))
                    .collect();
                self.delete_singly(&left).await
            }
            Err(error) => {
                let failure = Failure::of(&error);
                if !is_not_understood(&failure) {
                    return Err(self.error(&what, failure));
                }
                tracing::info!(code = ?failure.code, "this store cannot delete many objects at once: one by one now");
                self.single_deletes.store(true, Ordering::Relaxed);
                self.delete_singly(keys).await
            }
        }
    }

    async fn delete_singly(&self, keys: &[&ObjectKey]) -> Result<()> {
        let deletions = keys.iter().map(|key| {
            let request = self.client.delete_object().bucket(&self.bucket).key(self.name(key));
            async move {
                match request.send().await.map_err(|error| Failure::of(&error)) {
                    Err(failure) if failure.kind != StoreErrorKind::NotFound => {
                        Err(self.error(&format!("delete {key}"), failure))
                    }
                    _ => Ok(()),
                }
            }
        });
        let deletions: Vec<_> = deletions.collect();
        futures::stream::iter(deletions).buffer_unordered(DELETES_AT_ONCE).try_collect().await
    }
}

/// Whether the store lacks this kind of request, so that another way must be found.
fn is_not_understood(failure: &Failure) -> bool {
    let unknown = [
        "NotImplemented",
        "MethodNotAllowed",
        "MissingContentMD5",
        "InvalidRequest",
        "InvalidArgument",
        "InvalidDigest",
        "MalformedXML",
        "BadRequest",
        "XNotImplemented",
    ];
    failure.kind == StoreErrorKind::Other && (failure.has_code(&unknown) || matches!(failure.status, Some(405 | 501)))
}

#[cfg(test)]
mod tests;
