//! MPEG-TS in datagrams: plain, or inside RTP (RFC 3550, RFC 2250).
//!
//! Comes in: datagrams in order of arrival. Goes out: TS bytes in order of sending, with losses counted. Pure:
//! the time is an argument. Never holds more than 64 packets, nor any for longer than 100 ms.

use std::collections::BTreeMap;

/// Most packets waiting for one that is missing.
const MAX_WAITING: usize = 64;
/// Longest wait for a missing packet, in milliseconds.
const MAX_WAIT_MS: u64 = 100;
/// A sequence number this far off is a new beginning, not a gap (RFC 3550 A.1).
const MAX_DROPOUT: i64 = 3000;
/// MPEG-TS's payload type (RFC 3551 6).
const PAYLOAD_MP2T: u8 = 33;

/// An RTP packet's useful parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RtpPacket<'a> {
    pub(super) sequence: u16,
    pub(super) sender: u32,
    pub(super) payload: &'a [u8],
}

/// What a datagram holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Datagram<'a> {
    /// TS packets as they are.
    Plain(&'a [u8]),
    /// TS packets inside RTP.
    Rtp(RtpPacket<'a>),
    /// Neither.
    Other,
}

/// Says what a datagram holds. RTP is known by its version with payload type 33 or a TS packet behind its header.
pub(super) fn classify(datagram: &[u8]) -> Datagram<'_> {
    match datagram.first() {
        // The version bits of 0x47 are 1: a TS packet never looks like RTP.
        Some(0x47) if datagram.len() >= 188 => Datagram::Plain(datagram),
        Some(first) if first >> 6 == 2 => parse_rtp(datagram).map_or(Datagram::Other, Datagram::Rtp),
        _ => Datagram::Other,
    }
}

fn parse_rtp(datagram: &[u8]) -> Option<RtpPacket<'_>> {
    let (header, mut rest) = datagram.split_at_checked(12)?;
    let [flags, kind, s0, s1, _, _, _, _, a, b, c, d] = *header else { return None };
    rest = rest.get(usize::from(flags & 0x0f) * 4..)?;
    if flags & 0x10 != 0 {
        let words = u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]);
        rest = rest.get(4 + usize::from(words) * 4..)?;
    }
    if flags & 0x20 != 0 {
        let padding = usize::from(*rest.last()?);
        rest = rest.get(..rest.len().checked_sub(padding)?)?;
    }
    if kind & 0x7f != PAYLOAD_MP2T && rest.first() != Some(&0x47) {
        return None;
    }
    Some(RtpPacket { sequence: u16::from_be_bytes([s0, s1]), sender: u32::from_be_bytes([a, b, c, d]), payload: rest })
}

/// Puts RTP packets back into order.
#[derive(Debug, Default)]
pub(super) struct Reorder {
    sender: Option<u32>,
    /// Number of the next packet to give out; counts on past 65535.
    next: i64,
    waiting: BTreeMap<i64, (u64, Vec<u8>)>,
    /// Packets that never came.
    pub(super) lost: u64,
    /// Packets that came too late or twice.
    pub(super) useless: u64,
}

impl Reorder {
    /// Takes a packet that arrived at `now_ms` and appends to `out` what is in order now. True when a new sender
    /// or a jump in the numbers broke the order.
    pub(super) fn push(&mut self, packet: RtpPacket<'_>, now_ms: u64, out: &mut Vec<u8>) -> bool {
        let mut broken = false;
        // The full number nearest to the expected one.
        let offset = i64::from(packet.sequence.wrapping_sub(self.next as u16) as i16);
        let mut number = self.next + offset;
        if self.sender != Some(packet.sender) || offset.abs() > MAX_DROPOUT {
            broken = self.sender.is_some();
            self.drain(out);
            self.sender = Some(packet.sender);
            number = i64::from(packet.sequence);
            self.next = number;
        }
        if number < self.next || self.waiting.contains_key(&number) {
            self.useless += 1;
            return broken;
        }
        if number == self.next {
            out.extend_from_slice(packet.payload);
            self.next += 1;
        } else {
            self.waiting.insert(number, (now_ms, packet.payload.to_vec()));
        }
        self.release(now_ms, out);
        broken
    }

    /// Appends to `out` what has waited long enough at `now_ms`.
    pub(super) fn release(&mut self, now_ms: u64, out: &mut Vec<u8>) {
        while let Some(entry) = self.waiting.first_entry() {
            let number = *entry.key();
            let waited = now_ms.saturating_sub(entry.get().0) >= MAX_WAIT_MS;
            if number != self.next && !waited && self.waiting.len() <= MAX_WAITING {
                return;
            }
            if let Some((number, (_, payload))) = self.waiting.pop_first() {
                self.lost += u64::try_from(number - self.next).unwrap_or(0);
                self.next = number + 1;
                out.extend_from_slice(&payload);
            }
        }
    }

    /// Whether packets wait for one that is missing.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Forgets the sender and what waits; the counts stay.
    pub(super) fn forget(&mut self) {
        *self = Self { lost: self.lost, useless: self.useless, ..Self::default() };
    }

    fn drain(&mut self, out: &mut Vec<u8>) {
        self.release(u64::MAX, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(sequence: u16) -> Vec<u8> {
        let mut p = vec![0x80, 33];
        p.extend(sequence.to_be_bytes());
        p.extend([0, 0, 0, 0, 0, 0, 0, 9]);
        p.extend([0x47, (sequence >> 8) as u8, sequence as u8]);
        p
    }

    fn feed(reorder: &mut Reorder, sequence: u16, now_ms: u64, out: &mut Vec<u8>) -> bool {
        let bytes = packet(sequence);
        let Datagram::Rtp(rtp) = classify(&bytes) else { panic!("not RTP") };
        reorder.push(rtp, now_ms, out)
    }

    fn sequences(out: &[u8]) -> Vec<u16> {
        out.chunks(3).map(|c| u16::from_be_bytes([c[1], c[2]])).collect()
    }

    #[test]
    fn headers_are_taken_off() {
        let mut p = vec![0x80 | 0x20 | 0x10 | 2, 96, 0, 5, 0, 0, 0, 0, 0, 0, 0, 9];
        p.extend([1; 8]); // two CSRCs
        p.extend([0xbe, 0xde, 0, 1, 9, 9, 9, 9]); // an extension of one word
        p.extend([0x47, 1, 2, 3]);
        p.extend([0, 0, 3]); // padding
        assert_eq!(classify(&p), Datagram::Rtp(RtpPacket { sequence: 5, sender: 9, payload: &[0x47, 1, 2, 3] }));
        for cut in 0..p.len() - 1 {
            classify(&p[..cut]);
        }
        assert_eq!(classify(&[0x47; 188]), Datagram::Plain(&[0x47; 188]));
        assert_eq!(classify(b"GET / HTTP/1.1"), Datagram::Other);
        // Some other payload type with something else inside: not ours.
        assert_eq!(classify(&[0x80, 96, 0, 5, 0, 0, 0, 0, 0, 0, 0, 9, 1, 2, 3]), Datagram::Other);
    }

    #[test]
    fn order_is_restored_across_the_wrap() {
        let mut reorder = Reorder::default();
        let mut out = Vec::new();
        for s in [65533u16, 65535, 65534, 1, 0, 0, 2] {
            feed(&mut reorder, s, 0, &mut out);
        }
        assert_eq!(sequences(&out), [65533, 65534, 65535, 0, 1, 2]);
        assert_eq!((reorder.lost, reorder.useless), (0, 1));
    }

    #[test]
    fn a_lost_packet_is_waited_for_but_not_for_ever() {
        let mut reorder = Reorder::default();
        let mut out = Vec::new();
        feed(&mut reorder, 1, 0, &mut out);
        feed(&mut reorder, 3, 10, &mut out);
        reorder.release(109, &mut out);
        assert_eq!(sequences(&out), [1]);
        reorder.release(110, &mut out);
        assert_eq!(sequences(&out), [1, 3]);
        assert_eq!(reorder.lost, 1);
        // By number, too.
        for s in 5..5 + 65 {
            feed(&mut reorder, s, 111, &mut out);
        }
        assert!(!reorder.is_waiting());
        assert_eq!(reorder.lost, 2);
    }

    #[test]
    fn a_restarted_sender_is_followed() {
        let mut reorder = Reorder::default();
        let mut out = Vec::new();
        assert!(!feed(&mut reorder, 100, 0, &mut out));
        assert!(feed(&mut reorder, 30_000, 0, &mut out));
        assert!(!feed(&mut reorder, 30_001, 0, &mut out));
        assert_eq!(sequences(&out), [100, 30_000, 30_001]);
        assert_eq!(reorder.lost, 0);
    }

    proptest! {
        #[test]
        fn output_is_ordered_and_everything_is_accounted_for(start: u16, jitter in proptest::collection::vec(0usize..20, 1..200), drop in proptest::collection::vec(any::<bool>(), 200)) {
            let count = jitter.len();
            let mut order: Vec<usize> = (1..=count).filter(|n| !drop[n - 1]).collect();
            order.sort_by_key(|n| n + jitter[n - 1]);
            order.insert(0, 0);
            let mut reorder = Reorder::default();
            let mut out = Vec::new();
            for n in &order {
                feed(&mut reorder, start.wrapping_add(*n as u16), 0, &mut out);
            }
            reorder.drain(&mut out);
            let got: Vec<u16> = sequences(&out).iter().map(|s| s.wrapping_sub(start)).collect();
            let mut sent: Vec<u16> = order.iter().map(|n| *n as u16).collect();
            sent.sort_unstable();
            let last = *sent.last().unwrap() as usize;
            prop_assert_eq!(&got, &sent);
            prop_assert_eq!(reorder.lost as usize, last + 1 - sent.len());
        }
    }
}
