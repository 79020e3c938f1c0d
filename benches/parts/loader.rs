//! A client that costs little and only counts: blocking connections that are kept open.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Connections at once: enough that the server never waits for the client.
const CONNECTIONS: usize = 32;

/// What came back.
#[derive(Debug, Clone, Copy, Default)]
pub struct Load {
    pub requests: u64,
    pub body_bytes: u64,
}

/// Asks for `paths` in a random order on many connections for `time`; all answers must be 200 or 206. `headers`:
/// lines that end with CRLF.
pub fn run(address: SocketAddr, paths: &[String], headers: &str, time: Duration) -> Load {
    assert!(!paths.is_empty());
    let (requests, body_bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    let until = Instant::now() + time;
    std::thread::scope(|scope| {
        for seed in 0..CONNECTIONS as u64 {
            let (requests, body_bytes) = (&requests, &body_bytes);
            scope.spawn(move || {
                let mut connection = Connection::open(address);
                let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
                while Instant::now() < until {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let path = &paths[(state >> 33) as usize % paths.len()];
                    let bytes = connection.get(path, headers);
                    requests.fetch_add(1, Ordering::Relaxed);
                    body_bytes.fetch_add(bytes, Ordering::Relaxed);
                }
            });
        }
    });
    Load { requests: requests.into_inner(), body_bytes: body_bytes.into_inner() }
}

struct Connection {
    tcp: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    fn open(address: SocketAddr) -> Self {
        let tcp = TcpStream::connect(address).expect("a connection");
        tcp.set_nodelay(true).expect("an option");
        tcp.set_read_timeout(Some(Duration::from_secs(60))).expect("an option");
        Self { tcp, buffer: vec![0; 256 << 10] }
    }

    /// Bytes of the body.
    fn get(&mut self, path: &str, headers: &str) -> u64 {
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n{headers}\r\n");
        self.tcp.write_all(request.as_bytes()).expect("a request");
        let mut got = 0;
        let head_end = loop {
            let read = self.tcp.read(&mut self.buffer[got..]).expect("an answer");
            assert!(read > 0, "{path}: the connection was closed");
            got += read;
            if let Some(at) = self.buffer[..got].windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let head = std::str::from_utf8(&self.buffer[..head_end]).expect("a head").to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 20"), "{path}: {head}");
        let length = head.split("content-length: ").nth(1).and_then(|r| r.split("\r\n").next());
        let length: u64 = length.and_then(|l| l.parse().ok()).unwrap_or_else(|| panic!("{path}: no length: {head}"));
        let mut left = length - (got - head_end) as u64;
        while left > 0 {
            let most = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = self.tcp.read(&mut self.buffer[..most]).expect("a body");
            assert!(read > 0, "{path}: cut short");
            left -= read as u64;
        }
        length
    }
}
