//! Where packets begin.
//!
//! Comes in: bytes in pieces of any size. Goes out: whole packets, and word of what was skipped. Never: decides
//! by how the bytes were cut into pieces, so the same bytes always give the same packets.
//!
//! Packets of 188 bytes (ISO/IEC 13818-1 2.4.3.2), of 204 (16 bytes of Reed-Solomon code behind each) and of
//! 192 (four bytes of arrival time in front of each) are told apart by the distance between sync bytes.

use super::packet::{PACKET_BYTES, SYNC_BYTE};

/// Distances between sync bytes, the likeliest first.
const STRIDES: [usize; 3] = [188, 204, 192];

/// Sync bytes that must follow one before it is believed.
const CONFIRMATIONS: usize = 4;

/// Bytes that one decision looks at while searching.
const LOOKAHEAD: usize = 204 * CONFIRMATIONS + 1;

/// Bytes in front of the first packet that are no damage when packets have 192 bytes.
const ARRIVAL_TIME_BYTES: usize = 4;

/// What the framer found.
pub(super) enum Frame<'a> {
    /// A packet.
    Packet(&'a [u8; PACKET_BYTES]),
    /// Bytes that belong to no packet begin to be skipped; the packet before may be cut short.
    Lost,
    /// So many bytes were skipped until packets were found again.
    Regained(u64),
}

/// Finds packets in a stream of bytes. Keeps less than 1 KiB.
#[derive(Debug, Default)]
pub(super) struct Framer {
    stride: Option<usize>,
    /// Bytes behind the last packet that belong to it.
    trailing: usize,
    /// Bytes of the stretch that is being skipped.
    skipped: u64,
    reported: bool,
    carry: Vec<u8>,
}

impl Framer {
    /// Takes the next bytes.
    pub fn push(&mut self, mut bytes: &[u8], mut frame: impl FnMut(Frame<'_>)) {
        if !self.carry.is_empty() {
            let mut carry = std::mem::take(&mut self.carry);
            let kept = carry.len();
            let (head, rest) = bytes.split_at(bytes.len().min(LOOKAHEAD + PACKET_BYTES));
            carry.extend_from_slice(head);
            let used = self.run(&carry, false, &mut frame);
            if used < kept {
                // Only when there are too few bytes to decide: then `rest` is empty.
                carry.drain(..used);
                carry.extend_from_slice(rest);
                self.carry = carry;
                return;
            }
            bytes = bytes.get(used - kept..).unwrap_or_default();
            carry.clear();
            self.carry = carry;
        }
        let used = self.run(bytes, false, &mut frame);
        self.carry.extend_from_slice(bytes.get(used..).unwrap_or_default());
    }

    /// The input ends: gives the packets that fewer sync bytes than usual confirm, and begins anew.
    pub fn flush(&mut self, mut frame: impl FnMut(Frame<'_>)) {
        let carry = std::mem::take(&mut self.carry);
        self.run(&carry, true, &mut frame);
        *self = Self::default();
    }

    /// Looks at `bytes`, gives what is certain and returns how many it is done with.
    fn run(&mut self, bytes: &[u8], at_end: bool, frame: &mut impl FnMut(Frame<'_>)) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.trailing > 0 {
                let (behind, next) = rest.split_at(self.trailing.min(rest.len()));
                self.trailing -= behind.len();
                rest = next;
                continue;
            }
            let Some(stride) = self.stride else {
                let (skip, stride) = search(rest, at_end);
                rest = rest.get(skip..).unwrap_or_default();
                self.skip(skip, stride, frame);
                self.stride = stride;
                if stride.is_none() {
                    break;
                }
                continue;
            };
            if rest.first() != Some(&SYNC_BYTE) {
                self.stride = None;
                continue;
            }
            let Some((packet, next)) = rest.split_first_chunk::<PACKET_BYTES>() else { break };
            frame(Frame::Packet(packet));
            self.trailing = stride - PACKET_BYTES;
            rest = next;
        }
        bytes.len() - rest.len()
    }

    /// Counts skipped bytes; says so once per stretch.
    fn skip(&mut self, bytes: usize, found: Option<usize>, frame: &mut impl FnMut(Frame<'_>)) {
        self.skipped += bytes as u64;
        let harmless = self.skipped <= ARRIVAL_TIME_BYTES as u64 && found.is_none_or(|stride| stride == 192);
        if self.skipped > 0 && !harmless && !self.reported {
            self.reported = true;
            frame(Frame::Lost);
        }
        if found.is_some() {
            if self.reported {
                frame(Frame::Regained(self.skipped));
            }
            self.skipped = 0;
            self.reported = false;
        }
    }
}

/// How many bytes of `bytes` cannot begin a packet, and the stride of the packets after them if it is known.
fn search(bytes: &[u8], at_end: bool) -> (usize, Option<usize>) {
    let mut at = 0;
    while let Some(found) = bytes.get(at..).and_then(|rest| rest.iter().position(|&b| b == SYNC_BYTE)) {
        at += found;
        let rest = bytes.get(at..).unwrap_or_default();
        if rest.len() < LOOKAHEAD && !at_end {
            return (at, None);
        }
        if let Some(stride) = STRIDES.into_iter().find(|&stride| confirmed(rest, stride)) {
            return (at, Some(stride));
        }
        at += 1;
    }
    (bytes.len(), None)
}

/// Whether sync bytes stand at every `stride` from the start of `bytes`, as far as must be looked. Near the end
/// of the input one of them is enough, or a packet that ends exactly there.
fn confirmed(bytes: &[u8], stride: usize) -> bool {
    let mut seen = 0;
    for &byte in bytes.iter().skip(stride).step_by(stride).take(CONFIRMATIONS) {
        if byte != SYNC_BYTE {
            return false;
        }
        seen += 1;
    }
    seen > 0 || bytes.len() == stride || bytes.len() == PACKET_BYTES
}
