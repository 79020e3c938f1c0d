//! A connection that does not wait for ever for its peer.
//!
//! Comes in: a socket. Goes out: the same socket, which fails when nothing at all was said at the beginning, or
//! when what is to be sent is not taken. Never: limits how long an answer may take that is being read.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// The protocol must be known by then; only afterwards do the limits of the protocol hold.
const GREETING_WITHIN: Duration = Duration::from_secs(30);
/// As long as the preface of HTTP/2 (RFC 9113 3.4), which tells it from HTTP/1.
const GREETING_BYTES: usize = 24;

/// See the module.
pub struct Watched<T> {
    inner: T,
    heard_bytes: usize,
    greeting: Option<Pin<Box<Sleep>>>,
    stalled: Option<Pin<Box<Sleep>>>,
    take_within: Duration,
}

impl<T> Watched<T> {
    /// A peer that takes no byte for `take_within` is given up. Must be called inside a runtime.
    pub fn new(inner: T, take_within: Duration) -> Self {
        Self::with_limits(inner, GREETING_WITHIN, take_within)
    }

    fn with_limits(inner: T, greeting_within: Duration, take_within: Duration) -> Self {
        let greeting = Some(Box::pin(tokio::time::sleep(greeting_within)));
        Self { inner, heard_bytes: 0, greeting, stalled: None, take_within }
    }

    /// What became of a write: while it waits, time runs.
    fn written<R>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if poll.is_ready() {
            (self.greeting, self.stalled) = (None, None);
            return poll;
        }
        let limit = self.take_within;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not take what is sent")))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let poll = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.heard_bytes = self.heard_bytes.saturating_add(buf.filled().len() - before);
        if self.heard_bytes >= GREETING_BYTES {
            self.greeting = None;
        }
        match (&poll, &mut self.greeting) {
            (Poll::Pending, Some(greeting)) => {
                ready!(greeting.as_mut().poll(cx));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer says nothing")))
            }
            _ => poll,
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.written(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.written(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    // Flushing and shutting down a socket does not wait.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const SOON: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn silence_at_the_beginning_ends_the_connection() {
        let (near, mut far) = duplex(64);
        let mut near = Watched::with_limits(near, SOON, SOON);
        far.write_all(b"PRI").await.unwrap();
        let mut buffer = [0; 64];
        assert_eq!(near.read(&mut buffer).await.unwrap(), 3);
        assert_eq!(near.read(&mut buffer).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn silence_later_does_not() {
        let (near, mut far) = duplex(64);
        let mut near = Watched::with_limits(near, SOON, SOON);
        far.write_all(&[b'x'; GREETING_BYTES]).await.unwrap();
        let mut buffer = [0; 64];
        assert_eq!(near.read(&mut buffer).await.unwrap(), GREETING_BYTES);
        assert!(tokio::time::timeout(SOON * 4, near.read(&mut buffer)).await.is_err());
    }

    #[tokio::test]
    async fn what_is_not_taken_ends_the_connection_and_a_trickle_does_not() {
        let (near, mut far) = duplex(16);
        let mut near = Watched::with_limits(near, SOON, SOON * 2);
        let reader = tokio::spawn(async move {
            let mut one = [0; 8];
            for _ in 0..8 {
                tokio::time::sleep(SOON).await;
                far.read_exact(&mut one).await.unwrap();
            }
            far
        });
        near.write_all(&[0; 80]).await.unwrap();
        let _far = reader.await.unwrap();
        assert_eq!(near.write_all(&[0; 80]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
