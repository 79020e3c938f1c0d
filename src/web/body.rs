//! Bodies made of object ranges: streamed, bounded, resumed where a store breaks off.
//!
//! Comes in: an object's key and a range. Goes out: its bytes in order. Never: holds more than the pieces in
//! flight, or sends bytes that do not belong.

use crate::media::ObjectKey;
use crate::store::{ByteStream, ObjectStore, StoreError, StoreErrorKind};
use futures::{StreamExt, stream};
use std::ops::Range;
use std::sync::Arc;

/// How often a range is asked for again after it broke off.
const RESUMES: u32 = 2;

/// The bytes `range` of `key`. The first answer of the store is awaited, so that a missing object is an error
/// here and not in the middle of a body; a stream that breaks off later is resumed where it stopped.
///
/// # Errors
/// Whatever the store says at first; later errors, and an object shorter than `range`, end the stream.
pub async fn object_range(
    store: &Arc<dyn ObjectStore>,
    key: ObjectKey,
    range: Range<u64>,
) -> Result<ByteStream, StoreError> {
    struct State {
        store: Arc<dyn ObjectStore>,
        key: ObjectKey,
        left: Range<u64>,
        pieces: ByteStream,
        resumes: u32,
    }
    let pieces = store.get(&key, range.clone()).await?;
    let state = State { store: store.clone(), key, left: range, pieces, resumes: RESUMES };
    let bytes = stream::try_unfold(state, |mut state| async move {
        while !state.left.is_empty() {
            let broke = match state.pieces.next().await {
                Some(Ok(mut piece)) => {
                    let wanted = state.left.end - state.left.start;
                    piece.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
                    state.left.start += piece.len() as u64;
                    return Ok(Some((piece, state)));
                }
                Some(Err(error)) => error,
                None => StoreError {
                    kind: StoreErrorKind::Other,
                    message: format!("{} ends {} bytes early", state.key, state.left.end - state.left.start),
                    cause: None,
                },
            };
            if state.resumes == 0 {
                return Err(broke);
            }
            state.resumes -= 1;
            tracing::warn!(key = %state.key, error = %broke, "a read broke off and is resumed");
            state.pieces = state.store.get(&state.key, state.left.clone()).await?;
        }
        Ok(None)
    });
    Ok(bytes.boxed())
}
