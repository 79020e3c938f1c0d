//! Bytes of one connection, both ways, as the flows say.
//!
//! Comes in: a client, a target, flows that may change at any time. Goes out: the client's bytes to the target and the
//! target's to the client. Never: more than a bounded number of bytes held back.

use super::{Direction, Flow, Place, Rules};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

/// Bytes read at a time.
const PIECE: usize = 16 << 10;
/// Pieces that wait for their time; more wait in the sender's socket.
const MOST_WAITING: usize = 64;
/// A throttled piece takes about this long.
const THROTTLED_PIECE: Duration = Duration::from_millis(100);

/// Until both have said all, or the connection breaks.
pub(super) async fn both_ways(client: &mut TcpStream, place: &Place, rules: &watch::Receiver<Rules>) {
    let Ok(mut server) = place.connect().await else { return };
    let (client_reads, client_writes) = client.split();
    let (server_reads, server_writes) = tokio::io::split(&mut server);
    let [up, down] = &place.counters.bytes;
    let up = one_way(client_reads, server_writes, Direction::Up, rules.clone(), up);
    let down = one_way(server_reads, client_writes, Direction::Down, rules.clone(), down);
    let (mut up, mut down) = (std::pin::pin!(up), std::pin::pin!(down));
    // One who has said all may still listen; a connection that is cut is cut both ways.
    tokio::select! {
        ended = &mut up => if ended { down.await; },
        ended = &mut down => if ended { up.await; },
    }
}

/// `true` when the sender had said all; `false` when the connection is to end at once.
async fn one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    direction: Direction,
    mut rules: watch::Receiver<Rules>,
    counter: &AtomicU64,
) -> bool {
    let mut waiting: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let (mut said_all, mut is_lost) = (false, false);
    let mut free_at = Instant::now();
    let mut truncation: Option<(u64, u64)> = None;
    let mut buffer = vec![0; PIECE];
    loop {
        let flow = if is_lost { Flow::Vanish } else { rules.borrow_and_update().flow(direction) };
        truncation = match (flow, truncation) {
            (Flow::Truncate(bytes), Some((of, left))) if of == bytes => Some((of, left)),
            (Flow::Truncate(bytes), _) => Some((bytes, bytes)),
            _ => None,
        };
        let moves = flow != Flow::Hang;
        let due = waiting.front().map(|(due, _)| *due);
        if said_all && waiting.is_empty() {
            let _ = to.shutdown().await;
            return true;
        }
        let most = match flow {
            Flow::Throttle(rate) => {
                usize::try_from(rate * THROTTLED_PIECE.as_millis() as u64 / 1000).unwrap_or(PIECE).clamp(1, PIECE)
            }
            _ => PIECE,
        };
        tokio::select! {
            biased;
            changed = rules.changed() => {
                if changed.is_err() {
                    return false;
                }
            }
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if moves && due.is_some() => {
                let Some((_, mut bytes)) = waiting.pop_front() else { continue };
                if flow == Flow::Vanish {
                    is_lost = true;
                    continue;
                }
                let mut cut = false;
                if let Some((_, left)) = &mut truncation {
                    cut = bytes.len() as u64 >= *left;
                    bytes.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= bytes.len() as u64;
                }
                if to.write_all(&bytes).await.is_err() {
                    return false;
                }
                counter.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                if cut {
                    return false;
                }
            }
            read = from.read(&mut buffer[..most]), if moves && !said_all && waiting.len() < MOST_WAITING => {
                let Ok(count) = read else { return false };
                said_all = count == 0;
                let now = Instant::now();
                let due = match flow {
                    Flow::Latency(time) => now + time,
                    Flow::Throttle(rate) => {
                        free_at = free_at.max(now) + Duration::from_micros(count as u64 * 1_000_000 / rate.max(1));
                        free_at
                    }
                    _ => now,
                };
                if count > 0 {
                    waiting.push_back((due, buffer[..count].to_vec()));
                }
            }
        }
    }
}
