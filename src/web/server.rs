//! The accept loop: connections with limits that `axum::serve` does not offer.
//!
//! Comes in: TCP connections from anyone. Goes out: requests for the router. Never: waits for ever for a head,
//! takes one of any size, or more connections than the process can hold: those beyond are told so.

use super::watched::Watched;
use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Connections beyond the limit that are told so, at once; more wait in the kernel's queue.
const MOST_REFUSED: usize = 64;
/// And so long each, at most.
const REFUSED_WITHIN: Duration = Duration::from_secs(2);
/// What they are told. Whoever speaks HTTP/2 at once takes it for the end of the connection, which it is.
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n\
    Cache-Control: no-store\r\nRetry-After: 2\r\nConnection: close\r\nContent-Length: 147\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\"detail\":\"This node has all \
    the connections it can have. Try again in a moment.\"}\n";
/// A request's head must be there by then; an idle connection is closed after it, too.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// Most bytes of a request's head.
const HEAD_BYTES: usize = 32 * 1024;

/// What connections may have.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most at once.
    pub max_connections: usize,
    /// At the end, answers under way may take so long to be finished.
    pub drain: Duration,
    /// A peer that takes not a single byte for so long is gone, or means harm. A player that was paused comes back with
    /// a range request.
    pub take_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_connections: 8192, drain: Duration::from_secs(10), take_within: Duration::from_secs(120) }
    }
}

/// Serves until `cancel`.
pub async fn run<S>(listener: TcpListener, service: S, limits: Limits, cancel: CancellationToken) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(HEAD_BYTES);
    builder.http2().timer(TokioTimer::new()).max_header_list_size(HEAD_BYTES as u32).max_concurrent_streams(64);
    builder.http2().keep_alive_interval(HEAD_WITHIN).keep_alive_timeout(HEAD_WITHIN);
    let places = Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS)));
    let refused = Arc::new(Semaphore::new(MOST_REFUSED));
    let graceful = GracefulShutdown::new();
    let given_up = CancellationToken::new();
    let _ends_all = given_up.clone().drop_guard();
    loop {
        let place = tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            place = places.clone().acquire_owned() => Ok(place),
            place = refused.clone().acquire_owned() => Err(place),
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = cancel.cancelled() => break,
        };
        let tcp = match accepted {
            Ok((tcp, _)) => tcp,
            Err(error) => {
                // Out of file descriptors, or a connection that was gone already: others still want service.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = tcp.set_nodelay(true);
        let place = match place {
            Ok(Ok(place)) => Ok(place),
            // One may have become free while nobody came.
            Err(Ok(refused)) => places.clone().try_acquire_owned().map_err(|_| refused),
            _ => break,
        };
        let place = match place {
            Ok(place) => place,
            Err(refused) => {
                metrics::counter!("evertape_http_refused_total", "reason" => "connections").increment(1);
                tokio::spawn(async move {
                    let _ = tokio::time::timeout(REFUSED_WITHIN, refuse(tcp)).await;
                    drop(refused);
                });
                continue;
            }
        };
        let watched = Watched::new(tcp, limits.take_within);
        let connection = builder.serve_connection(TokioIo::new(watched), service.clone()).into_owned();
        let connection = graceful.watch(connection);
        let given_up = given_up.clone();
        tokio::spawn(async move {
            if let Some(Err(error)) = given_up.run_until_cancelled(connection).await {
                tracing::debug!(error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.drain, graceful.shutdown()).await.is_err() {
        tracing::info!("what is still open is closed");
    }
    Ok(())
}

/// Hears a request out, so that its sender hears the answer, and says no.
async fn refuse(mut tcp: TcpStream) -> io::Result<()> {
    let mut heard = 0;
    let (mut last, mut buffer) = ([0; 4], [0; 1024]);
    while heard < HEAD_BYTES && &last != b"\r\n\r\n" {
        let n = tcp.read(&mut buffer).await?;
        let Some(read) = buffer.get(..n).filter(|read| !read.is_empty()) else { break };
        heard += n;
        for byte in read.iter().rev().take(4).rev() {
            last.rotate_left(1);
            last[3] = *byte;
        }
    }
    tcp.write_all(REFUSAL).await?;
    tcp.shutdown().await?;
    // Until the peer closes, too: to end before would take the answer away from it.
    while tcp.read(&mut buffer).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::REFUSAL;

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let text = std::str::from_utf8(REFUSAL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        assert_eq!(length, Some(body.len().to_string().as_str()));
        let problem: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["status"], 503);
        assert!(head.lines().all(|line| !line.starts_with(' ')), "{head}");
    }
}
