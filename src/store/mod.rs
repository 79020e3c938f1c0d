//! The object store: a port, and its two adapters.
//!
//! Comes in: keys that cannot leave their root, whole bodies. Goes out: streamed ranges. Every adapter
//! passes one conformance suite (`store/conformance.rs`), plain and behind a fault injector.

use crate::media::ObjectKey;
use bytes::Bytes;
use futures::stream::BoxStream;
use std::ops::Range;
use std::sync::Arc;

pub mod directory;
pub mod s3;

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
}

/// Reads a whole range into memory; for small objects and tests. At most `range` bytes.
///
/// # Errors
/// Whatever the store says.
pub async fn read_all(store: &dyn ObjectStore, key: &ObjectKey, range: Range<u64>) -> Result<Bytes> {
    use futures::TryStreamExt;
    let pieces: Vec<Bytes> = store.get(key, range).await?.try_collect().await?;
    match <[Bytes; 1]>::try_from(pieces) {
        Ok([one]) => Ok(one),
        Err(many) => Ok(many.concat().into()),
    }
}
