//! HTTP as far as a proxy must understand it to pick requests: one request for each connection.
//!
//! Comes in: a request with `Content-Length` or without a body. Goes out: the target's answer, or 503, or nothing at all
//! although the target has done what was asked. The same seed picks the same requests, by their order.

use super::{End, Place};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest head of a request.
const MOST_HEAD: usize = 64 << 10;
const BODY_503: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>SlowDown</Code><Message>Please reduce \
    your request rate.</Message><Resource>/</Resource><RequestId>0</RequestId></Error>";

/// Which requests are picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    pub unavailable_percent: u32,
    pub lost_put_percent: u32,
}

/// Numbers by a seed, in order (SplitMix64).
#[derive(Debug)]
pub(super) struct Dice(AtomicU64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Whether a thing of so many percent happens.
    fn happens(&self, percent: u32) -> bool {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % 100 < u64::from(percent)
    }
}

/// Head and body of a request.
struct Request {
    /// With the empty line.
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Request {
    /// `None` when the client has gone, or says what is not understood here.
    async fn read(client: &mut TcpStream) -> Option<Self> {
        let mut head = Vec::new();
        let mut buffer = vec![0; 16 << 10];
        let end = loop {
            if let Some(at) = head.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            let count = client.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
            head.extend_from_slice(&buffer[..count]);
            if head.len() > MOST_HEAD && !head.windows(4).any(|w| w == b"\r\n\r\n") {
                return None;
            }
        };
        let mut body = head.split_off(end);
        let field = |name: &str| {
            let text = std::str::from_utf8(&head).ok()?;
            let mut lines = text.lines().skip(1).filter_map(|line| line.split_once(':'));
            lines.find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
        };
        let length: usize = match field("content-length") {
            Some(length) => length.parse().ok()?,
            None if field("transfer-encoding").is_some() => return None,
            None => 0,
        };
        if field("expect").is_some() && body.len() < length {
            client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
        }
        while body.len() < length {
            let count = client.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
            body.extend_from_slice(&buffer[..count]);
        }
        Some(Self { head, body })
    }

    fn is_put(&self) -> bool {
        self.head.starts_with(b"PUT ")
    }

    /// As it is passed on: the target is to end the connection after its answer, which is how the end is known.
    fn for_target(&self) -> Vec<u8> {
        let line = self.head.windows(2).position(|w| w == b"\r\n").map_or(0, |at| at + 2);
        [&self.head[..line], b"Connection: close\r\n", &self.head[line..], &self.body].concat()
    }
}

pub(super) async fn serve(client: &mut TcpStream, place: &Place, rules: Rules) -> End {
    let Some(request) = Request::read(client).await else { return End::Orderly };
    let counters = &place.counters;
    counters.requests.fetch_add(1, Ordering::Relaxed);
    if place.dice.happens(rules.unavailable_percent) {
        counters.unavailable.fetch_add(1, Ordering::Relaxed);
        let head = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/xml\r\nConnection: close";
        let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{BODY_503}", BODY_503.len());
        let _ = client.write_all(answer.as_bytes()).await;
        let _ = client.shutdown().await;
        return End::Orderly;
    }
    let Ok(mut target) = place.connect().await else { return End::Orderly };
    let sent = request.for_target();
    if target.write_all(&sent).await.is_err() {
        return End::Orderly;
    }
    counters.bytes[0].fetch_add(sent.len() as u64, Ordering::Relaxed);
    if request.is_put() && place.dice.happens(rules.lost_put_percent) {
        let mut answer = Vec::new();
        // The whole of it: the target has done its work when it has answered.
        let _ = target.read_to_end(&mut answer).await;
        if answer.starts_with(b"HTTP/1.1 200") {
            counters.lost_puts.fetch_add(1, Ordering::Relaxed);
        }
        return End::Reset;
    }
    if let Ok(count) = tokio::io::copy(&mut target, client).await {
        counters.bytes[1].fetch_add(count, Ordering::Relaxed);
    }
    let _ = client.shutdown().await;
    End::Orderly
}
