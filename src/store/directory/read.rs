//! Reading a file in order: large pieces, few hops to the blocking threads, one batch ahead.
//!
//! Comes in: an open file and a range inside it. Goes out: its bytes. At most two batches (2 MiB) are in
//! memory for each stream, whatever its length.

use super::{Inner, io_error};
use crate::store::{ByteStream, Result, StoreError, StoreErrorKind};
use bytes::Bytes;
use futures::StreamExt;
use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinHandle;

/// Bytes of one piece: large enough that system calls do not count, small enough for the processor's cache.
pub(super) const PIECE_BYTES: usize = 256 << 10;
/// Bytes read in one hop to a blocking thread.
const BATCH_BYTES: u64 = 4 * PIECE_BYTES as u64;
/// Most buffers kept for reuse by one store: 16 MiB.
const KEPT_BUFFERS: usize = 64;

/// Buffers of [`PIECE_BYTES`], used again and again: a fresh one costs as much as reading into it.
#[derive(Debug, Default)]
pub(super) struct Buffers(Mutex<Vec<Vec<u8>>>);

struct Lent {
    buffer: Vec<u8>,
    home: Arc<Buffers>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut kept = self.home.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_BUFFERS {
            kept.push(std::mem::take(&mut self.buffer));
        }
    }
}

/// Reads `length` bytes at `offset` in pieces.
pub(super) fn read_pieces(
    buffers: &Arc<Buffers>,
    file: &File,
    offset: u64,
    length: u64,
) -> std::io::Result<VecDeque<Bytes>> {
    let mut pieces = VecDeque::new();
    let mut done = 0;
    while done < length {
        let size = usize::try_from(length - done).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        if size == PIECE_BYTES {
            let kept = buffers.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let buffer = kept.unwrap_or_else(|| vec![0; PIECE_BYTES]);
            let mut lent = Lent { buffer, home: Arc::clone(buffers) };
            file.read_exact_at(&mut lent.buffer, offset + done)?;
            pieces.push_back(Bytes::from_owner(lent));
        } else {
            // A buffer of its own size: a small piece kept in some cache must not hold a large one.
            let mut buffer = vec![0; size];
            file.read_exact_at(&mut buffer, offset + done)?;
            pieces.push_back(buffer.into());
        }
        done += size as u64;
    }
    Ok(pieces)
}

/// What is left to read of a file.
pub(super) struct Reader {
    pub(super) inner: Arc<Inner>,
    pub(super) file: Arc<File>,
    /// For messages.
    pub(super) key: String,
    /// Read and not yet handed out.
    pub(super) ready: VecDeque<Bytes>,
    /// Offset of the next byte to read.
    pub(super) next: u64,
    pub(super) end: u64,
}

type Ahead = JoinHandle<std::io::Result<VecDeque<Bytes>>>;

impl Reader {
    pub(super) fn into_stream(self) -> ByteStream {
        futures::stream::unfold(Some((self, None)), |state| async move {
            let (mut reader, mut ahead) = state?;
            match reader.piece(&mut ahead).await {
                Ok(Some(piece)) => Some((Ok(piece), Some((reader, ahead)))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }

    async fn piece(&mut self, ahead: &mut Option<Ahead>) -> Result<Option<Bytes>> {
        if self.ready.is_empty() {
            let batch = match ahead.take() {
                Some(reading) => tokio::time::timeout(super::CALL_TIMEOUT, reading)
                    .await
                    .map_err(|_| self.stalled())?
                    .map_err(|_| StoreError::new(StoreErrorKind::Other, format!("get {}: reader ended", self.key)))?,
                None if self.next == self.end => return Ok(None),
                None => {
                    let (file, offset, length) = self.take_batch();
                    self.inner
                        .blocking(&self.inner.reads, "get", move |inner| {
                            Ok(read_pieces(&inner.buffers, &file, offset, length))
                        })
                        .await?
                }
            };
            self.ready = batch.map_err(|error| io_error(&format!("get {}", self.key), error))?;
        }
        if ahead.is_none() && self.next < self.end {
            // Only while threads are to spare: whoever waits for a first byte goes before reading ahead.
            if let Ok(permit) = Arc::clone(&self.inner.reads).try_acquire_owned() {
                let (file, offset, length) = self.take_batch();
                let buffers = Arc::clone(&self.inner.buffers);
                *ahead = Some(tokio::task::spawn_blocking(move || {
                    let _permit = permit;
                    read_pieces(&buffers, &file, offset, length)
                }));
            }
        }
        Ok(self.ready.pop_front())
    }

    fn take_batch(&mut self) -> (Arc<File>, u64, u64) {
        let (offset, length) = (self.next, BATCH_BYTES.min(self.end - self.next));
        self.next += length;
        (Arc::clone(&self.file), offset, length)
    }

    fn stalled(&self) -> StoreError {
        StoreError::new(StoreErrorKind::Unavailable, format!("get {}: the disk does not answer", self.key))
    }
}
