//! A playback node as its own process, and a client beside it.

use super::archive::Archive;
use super::measure::{self, Cpu};
use bytes::Bytes;
use futures::StreamExt;
use std::future::Future;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The node, ended when dropped.
pub struct Server {
    child: Child,
    address: std::net::SocketAddr,
    base: String,
    client: reqwest::Client,
}

impl Server {
    /// Starts `evertape play`.
    pub async fn start(archive: &Archive) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        // One core, so that figures of different machines can be compared.
        let child = Command::new("taskset")
            .args(["--cpu-list", "0", env!("CARGO_BIN_EXE_evertape"), "play", "--config"])
            .arg(&archive.config)
            .env("EVERTAPE_HTTP__LISTEN", address.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("evertape starts");
        let server = Self { child, address, base: format!("http://{address}"), client: reqwest::Client::new() };
        for _ in 0..100 {
            let ready = server.client.get(server.url("readyz")).send().await;
            if ready.is_ok_and(|r| r.status() == 200) {
                return server;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the node did not get ready");
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    pub fn address(&self) -> std::net::SocketAddr {
        self.address
    }

    pub fn cpu(&self) -> Cpu {
        measure::process_cpu(self.child.id())
    }

    pub fn resident_kb(&self) -> u64 {
        measure::status_kb(self.child.id(), "VmRSS:")
    }

    /// `None` when the answer is 404.
    pub async fn try_get(&self, url: &str) -> Option<Bytes> {
        let answer = self.client.get(url).send().await.expect("an answer");
        if answer.status() == 404 {
            return None;
        }
        assert_eq!(answer.status(), 200, "{url}");
        Some(answer.bytes().await.expect("a body"))
    }

    /// `headers`: one line that ends with CRLF, or nothing.
    pub async fn get_with(&self, url: &str, headers: &str) -> Bytes {
        let mut request = self.client.get(url);
        if let Some((name, value)) = headers.trim_end().split_once(": ") {
            request = request.header(name, value);
        }
        let answer = request.send().await.expect("an answer");
        assert!(answer.status().is_success(), "{url}");
        answer.bytes().await.expect("a body")
    }

    pub async fn first_byte(&self, url: &str) -> Duration {
        let start = Instant::now();
        let mut body = self.client.get(url).send().await.expect("an answer").bytes_stream();
        body.next().await.expect("a piece").expect("bytes");
        start.elapsed()
    }

    /// Reads a whole body and forgets it; gives its length.
    pub async fn drain(&self, url: &str) -> u64 {
        let answer = self.client.get(url).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{url}");
        let promised = answer.content_length().expect("a length");
        let mut body = answer.bytes_stream();
        let mut bytes = 0;
        while let Some(piece) = body.next().await {
            bytes += piece.expect("bytes").len() as u64;
        }
        assert_eq!(bytes, promised);
        bytes
    }

    /// Most resident memory, in kB, while `work` runs.
    pub async fn peak_while<T>(&self, work: impl Future<Output = T>) -> u64 {
        let mut work = std::pin::pin!(work);
        let mut peak = 0;
        loop {
            tokio::select! {
                _ = &mut work => return peak.max(self.resident_kb()),
                () = tokio::time::sleep(Duration::from_millis(20)) => peak = peak.max(self.resident_kb()),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
