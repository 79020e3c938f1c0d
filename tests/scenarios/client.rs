//! A download, byte by byte under the test's control: what is not read stays with the sender.

use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// So small that the sender must wait for the reader.
const RECEIVE_BUFFER: u32 = 16 << 10;
/// A peer that says nothing for so long has gone.
const SILENCE: Duration = Duration::from_secs(60);

/// An answer whose body is being read.
pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    connection: TcpStream,
    /// Bytes of the body that came with the head.
    early: Vec<u8>,
    /// Bytes of the body that are still to come.
    left: u64,
}

/// Asks for `path`.
pub async fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    let mut connection = socket.connect(address).await?;
    let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{more}\r\n");
    connection.write_all(request.as_bytes()).await?;
    let (mut head, mut buffer) = (Vec::new(), vec![0; 4096]);
    let end = loop {
        if let Some(at) = head.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        match timely(connection.read(&mut buffer)).await? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => head.extend_from_slice(&buffer[..count]),
        }
    };
    let early = head.split_off(end);
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut lines = text.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let strange = |what: &str| Error::new(ErrorKind::InvalidData, format!("{what}: {text}"));
    let status = status.ok_or_else(|| strange("no status"))?;
    let length: u64 = headers.get("content-length").and_then(|l| l.parse().ok()).ok_or_else(|| strange("no length"))?;
    let left = length - (early.len() as u64).min(length);
    Ok(Answer { status, headers, connection, early, left })
}

async fn timely<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(SILENCE, work).await.map_err(|_| Error::from(ErrorKind::TimedOut))?
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The next bytes; `None` at the end. An error where it breaks off.
    pub async fn piece(&mut self) -> Result<Option<Vec<u8>>> {
        if !self.early.is_empty() {
            return Ok(Some(std::mem::take(&mut self.early)));
        }
        if self.left == 0 {
            return Ok(None);
        }
        let mut buffer = vec![0; 8 << 10];
        match timely(self.connection.read(&mut buffer)).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            count => {
                self.left -= (count as u64).min(self.left);
                buffer.truncate(count);
                Ok(Some(buffer))
            }
        }
    }
}

/// Hash and length of what has been downloaded.
#[derive(Clone, Default)]
pub struct Taken {
    hash: Sha256,
    pub bytes: u64,
}

impl Taken {
    /// Takes more, up to `bytes` in all; `true` when the answer has ended.
    pub async fn take(&mut self, answer: &mut Answer, bytes: u64) -> Result<bool> {
        while self.bytes < bytes {
            let Some(piece) = answer.piece().await? else { return Ok(true) };
            self.hash.update(&piece);
            self.bytes += piece.len() as u64;
        }
        Ok(false)
    }

    pub fn sha256(&self) -> String {
        hex::encode(self.hash.clone().finalize())
    }
}

/// Downloads a whole file; gives its status where it is no success.
pub async fn download(address: SocketAddr, path: &str) -> Result<std::result::Result<Taken, u16>> {
    let mut answer = get(address, path, &[]).await?;
    let mut taken = Taken::default();
    taken.take(&mut answer, u64::MAX).await?;
    Ok(if answer.status == 200 { Ok(taken) } else { Err(answer.status) })
}
