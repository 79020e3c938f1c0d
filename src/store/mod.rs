//! The object store: a port, and its two adapters.
//!
//! Comes in: keys that cannot leave their root, whole bodies. Goes out: streamed ranges. Every adapter
//! passes one conformance suite (`tests/store_conformance.rs`), plain and behind a fault injector.
//! Never: overwrites on purpose, media types, SQL, a secret in a message.

use crate::media::ObjectKey;
use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub mod directory;
pub mod faults;
pub mod hedged;
pub mod options;
pub mod s3;

pub use directory::DirectoryStore;
pub use faults::FaultyStore;
pub use hedged::HedgedStore;
pub use options::{S3Options, Secret};
pub use s3::{S3Config, S3Store};

/// What went wrong, by what the caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// No such object.
    NotFound,
    /// The range begins at or after the end of the object.
    RangeNotSatisfiable,
    /// Out of reach, overloaded or timed out: try again later.
    Unavailable,
    /// The store refuses: credentials, permissions, a missing bucket. An operator must act.
    Refused,
    /// The bytes are not those that were written. An operator must look.
    Damaged,
    /// Anything else.
    Other,
}

/// An error of the store: a kind for the caller, a sentence for the log, its cause. Never holds a secret.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// What the caller can do about it.
    pub kind: StoreErrorKind,
    /// A sentence for the log: operation, key, what happened.
    pub message: String,
    /// The cause.
    #[source]
    pub cause: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl StoreError {
    /// An error of this kind with a sentence for the log, without a cause.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), cause: None }
    }

    /// The same error with its cause.
    #[must_use]
    pub fn because(mut self, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.cause = Some(Arc::new(cause));
        self
    }
}

/// Whether a put wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object is there with these bytes.
    Written,
    /// An object of that name was there already and was left as it is. Only stores that honour
    /// `If-None-Match: *` say so; nothing may rely on it for safety.
    AlreadyThere,
}

/// What a listing says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Key.
    pub key: ObjectKey,
    /// Size in bytes.
    pub object_bytes: u64,
}

/// Bytes of an object, in order, in pieces.
pub type ByteStream = BoxStream<'static, Result<Bytes, StoreError>>;

/// Result of a store operation.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Objects by key: immutable once written, whole or not there.
#[async_trait::async_trait]
pub trait ObjectStore: Send + Sync + 'static {
    /// Writes the whole object, unless one of that name is there. When this returns, the object survives a
    /// crash of the process and, as far as the store can tell, of the machine.
    async fn put(&self, key: &ObjectKey, body: Bytes, content_type: &'static str) -> Result<Put>;

    /// The bytes `range` (half-open, not empty) of an object; cut short where the object ends inside.
    /// `NotFound` and `RangeNotSatisfiable` come from the call itself, not from the stream.
    async fn get(&self, key: &ObjectKey, range: Range<u64>) -> Result<ByteStream>;

    /// Size of an object in bytes.
    async fn head(&self, key: &ObjectKey) -> Result<u64>;

    /// Deletes objects; those that are not there count as deleted. On an error some may be deleted.
    async fn delete(&self, keys: &[ObjectKey]) -> Result<()>;

    /// Up to `limit` objects whose key starts with `prefix` (any string), after `after`, by ascending key
    /// (byte order).
    async fn list(&self, prefix: &str, after: Option<&ObjectKey>, limit: usize) -> Result<Vec<ObjectInfo>>;

    /// Whether the store answers, within two seconds.
    async fn ping(&self) -> Result<()>;

    /// Whether reading the same bytes again costs no request: they come from this machine's memory.
    fn is_near(&self) -> bool {
        false
    }

    /// An address from which anyone may get the object, or ranges of it, for `valid_for`. Asks nothing of the
    /// network.
    ///
    /// # Errors
    /// `Refused` by stores that nobody else can reach.
    async fn presign_get(&self, key: &ObjectKey, valid_for: Duration) -> Result<String> {
        let _ = valid_for;
        Err(StoreError::new(StoreErrorKind::Refused, format!("{key}: this store gives no addresses")))
    }
}

#[async_trait::async_trait]
impl<S: ObjectStore + ?Sized> ObjectStore for Arc<S> {
    async fn put(&self, key: &ObjectKey, body: Bytes, content_type: &'static str) -> Result<Put> {
        (**self).put(key, body, content_type).await
    }

    async fn get(&self, key: &ObjectKey, range: Range<u64>) -> Result<ByteStream> {
        (**self).get(key, range).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<u64> {
        (**self).head(key).await
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Result<()> {
        (**self).delete(keys).await
    }

    async fn list(&self, prefix: &str, after: Option<&ObjectKey>, limit: usize) -> Result<Vec<ObjectInfo>> {
        (**self).list(prefix, after, limit).await
    }

    async fn ping(&self) -> Result<()> {
        (**self).ping().await
    }

    fn is_near(&self) -> bool {
        (**self).is_near()
    }

    async fn presign_get(&self, key: &ObjectKey, valid_for: Duration) -> Result<String> {
        (**self).presign_get(key, valid_for).await
    }
}

/// Opens the store that `url` names: `file:path` (relative to the working directory, or `file:/abs`,
/// `file:///abs`) or `s3://bucket/prefix`. `s3` is read for the second only. Asks nothing of the network.
///
/// # Errors
/// `Refused` with a sentence for whoever wrote the configuration; for a directory also what the disk says.
pub fn open(url: &str, s3: S3Options) -> Result<Arc<dyn ObjectStore>> {
    let refused = |why: String| StoreError::new(StoreErrorKind::Refused, why);
    if let Some(rest) = url.strip_prefix("file:") {
        let path = match rest.strip_prefix("//") {
            Some(absolute) if absolute.starts_with('/') => absolute,
            Some(_) => return Err(refused("store.url: write file:relative/path or file:///absolute/path".to_owned())),
            None => rest,
        };
        if path.is_empty() {
            return Err(refused("store.url: file: needs a path, for instance file:data/objects".to_owned()));
        }
        return Ok(Arc::new(DirectoryStore::open(Path::new(path))?));
    }
    if let Some(rest) = url.strip_prefix("s3://") {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        return Ok(Arc::new(S3Store::new(s3.into_config(bucket, prefix))?));
    }
    // The URL itself stays out of the message: a mistyped one may hold a password.
    Err(refused("store.url: use file:path or s3://bucket/prefix".to_owned()))
}

/// Whether any key can start with `prefix`; spares stores the prefixes that are no keys (`../`, `//`).
pub(crate) fn can_be_prefix(prefix: &str) -> bool {
    prefix.is_empty() || ObjectKey::parse(prefix.strip_suffix('/').unwrap_or(prefix)).is_some()
}

/// Reads a whole range into memory; for small objects and tests. At most `range` bytes.
///
/// # Errors
/// Whatever the store says.
pub async fn read_all(store: &dyn ObjectStore, key: &ObjectKey, range: Range<u64>) -> Result<Bytes> {
    use futures::TryStreamExt;
    let length = range.end.saturating_sub(range.start);
    let mut pieces = store.get(key, range).await?;
    // One piece is not copied; many are gathered as they come, so that nothing is held twice.
    let first = pieces.try_next().await?.unwrap_or_default();
    let Some(second) = pieces.try_next().await? else { return Ok(first) };
    let mut gathered = BytesMut::with_capacity(usize::try_from(length.min(MOST_RESERVED_BYTES)).unwrap_or(0));
    gathered.extend_from_slice(&first);
    drop(first);
    gathered.extend_from_slice(&second);
    drop(second);
    while let Some(piece) = pieces.try_next().await? {
        gathered.extend_from_slice(&piece);
    }
    Ok(gathered.freeze())
}

/// Nobody's word is taken for how much memory a range needs beyond this.
const MOST_RESERVED_BYTES: u64 = 2 << 20;
