//! Pace: when how much of a stream may be sent.
//!
//! Comes in: what was sent, how long that plays, how much time has gone by; muxed TS. Goes out: how long to wait, and
//! where to cut. Never: looks at a clock, sleeps.
//!
//! A viewer is sent [`BURST_US`] of media at once and the rest in real time: never more than the burst ahead of what a
//! player that began at once has played. When sending was held up for longer than the burst (nothing new was
//! recorded, or the viewer took nothing), the player has stood still; it gets a burst again and no more, so that its
//! own buffer is never flooded.

use std::ops::Range;

/// Media that is sent at once at the beginning, in microseconds.
pub const BURST_US: i64 = 5_000_000;
/// Length of a piece of media that is sent at a time, in microseconds.
pub const PIECE_US: i64 = 200_000;

/// The pace of one viewer, in microseconds of real time since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    burst_us: i64,
    /// When a player that took everything at once has played all that was sent.
    played_out_us: i64,
}

impl Pace {
    /// A pace that begins with `burst_us` at once.
    pub const fn new(burst_us: i64) -> Self {
        Self { burst_us, played_out_us: 0 }
    }

    /// When the next piece may be sent: at once if that has gone by. Counted from the beginning, so that pauses that
    /// last a little longer than asked for do not add up.
    pub const fn due_us(&self) -> i64 {
        self.played_out_us.saturating_sub(self.burst_us)
    }

    /// Notes that `media_us` were sent at `elapsed_us`.
    pub fn sent(&mut self, elapsed_us: i64, media_us: i64) {
        self.played_out_us = self.played_out_us.max(elapsed_us).saturating_add(media_us.max(0));
    }
}

/// Some packets and how long they play.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Bytes, whole packets.
    pub bytes: Range<usize>,
    /// How long they play, in microseconds.
    pub media_us: i64,
}

const PACKET_BYTES: usize = 188;
/// PCR_base wraps (2.4.2.2).
const PCR_WRAP: u64 = 1 << 33;

/// The PCR_base of a packet, in ticks (ISO/IEC 13818-1 2.4.3.4).
fn pcr_of(packet: &[u8]) -> Option<u64> {
    match *packet.first_chunk::<11>()? {
        [0x47, _, _, control, 7..=255, flags, a, b, c, d, e] if control & 0x20 != 0 && flags & 0x10 != 0 => {
            Some(u64::from(u32::from_be_bytes([a, b, c, d])) << 1 | u64::from(e >> 7))
        }
        _ => None,
    }
}

/// Cuts `ts`, which plays `media_us`, before packets with a PCR into pieces of [`PIECE_US`] or little more. Together
/// they are all of it, in bytes and in time.
pub fn pieces(ts: &[u8], media_us: i64) -> Vec<Piece> {
    let media_us = media_us.max(0);
    let mut cut = Vec::new();
    let (mut from, mut paid_us, mut first) = (0, 0, None);
    for (n, packet) in ts.chunks_exact(PACKET_BYTES).enumerate() {
        let Some(pcr) = pcr_of(packet) else { continue };
        let origin = *first.get_or_insert(pcr);
        // At most 26 hours, so that nothing overflows; what cannot be is cut to what can.
        let since = pcr.wrapping_sub(origin) % PCR_WRAP;
        let at_us = i64::try_from(since * 100 / 9).unwrap_or(i64::MAX).min(media_us);
        if at_us - paid_us >= PIECE_US {
            let to = n * PACKET_BYTES;
            cut.push(Piece { bytes: from..to, media_us: at_us - paid_us });
            (from, paid_us) = (to, at_us);
        }
    }
    if from < ts.len() {
        cut.push(Piece { bytes: from..ts.len(), media_us: media_us - paid_us });
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: i64 = 1_000_000;

    /// Sends pieces of `piece_us` as soon as they are due, from `from_us` on, and gives when each was sent.
    fn send(pace: &mut Pace, from_us: i64, piece_us: i64, count: usize) -> Vec<i64> {
        let mut now = from_us;
        (0..count)
            .map(|_| {
                now = now.max(pace.due_us());
                pace.sent(now, piece_us);
                now
            })
            .collect()
    }

    #[test]
    fn a_burst_and_then_real_time() {
        let mut pace = Pace::new(5 * S);
        let times = send(&mut pace, 0, S, 10);
        assert_eq!(times, [0, 0, 0, 0, 0, 0, S, 2 * S, 3 * S, 4 * S]);
    }

    #[test]
    fn a_short_stall_is_caught_up_and_a_long_one_is_not() {
        let mut pace = Pace::new(5 * S);
        send(&mut pace, 0, S, 10);
        // Nothing could be sent until 7 s: what was due since 5 s goes at once.
        assert_eq!(send(&mut pace, 7 * S, S, 5), [7 * S, 7 * S, 7 * S, 8 * S, 9 * S]);
        // A minute later: a burst, not a minute.
        assert_eq!(send(&mut pace, 69 * S, S, 8)[5..], [69 * S, 70 * S, 71 * S]);
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_ahead(steps in proptest::collection::vec((0i64..3 * S, 0i64..S), 0..200)) {
            let mut pace = Pace::new(5 * S);
            let (mut now, mut sent) = (0, 0);
            for (late_us, piece_us) in steps {
                now = now.max(pace.due_us()) + late_us / 10;
                pace.sent(now, piece_us);
                sent += piece_us;
                prop_assert!(sent <= now + 5 * S + piece_us, "{sent} by {now}");
            }
        }

        #[test]
        fn pieces_are_the_whole(packets in proptest::collection::vec(proptest::option::of(any::<u64>()), 0..60), tail in 0usize..188, media_us in any::<i64>()) {
            let mut ts: Vec<u8> = packets.iter().flat_map(|pcr| packet(*pcr)).collect();
            ts.extend(vec![0x47; tail]);
            let cut = pieces(&ts, media_us);
            let mut at = 0;
            for piece in &cut {
                prop_assert!(piece.bytes.start == at && piece.bytes.end > at && piece.media_us >= 0);
                at = piece.bytes.end;
            }
            prop_assert_eq!(at, ts.len());
            if !ts.is_empty() {
                prop_assert_eq!(cut.iter().map(|p| p.media_us).sum::<i64>(), media_us.max(0));
            }
        }

        #[test]
        fn any_bytes_are_cut(ts in proptest::collection::vec(prop_oneof![Just(0x47u8), any::<u8>()], 0..1000)) {
            pieces(&ts, 5 * S);
        }
    }

    fn packet(pcr: Option<u64>) -> Vec<u8> {
        let mut out = vec![0x47, 1, 0, 0x10];
        if let Some(pcr) = pcr {
            let base = pcr % PCR_WRAP;
            out[3] = 0x30;
            out.extend([7, 0x10]);
            out.extend(((base >> 1) as u32).to_be_bytes());
            out.extend([(base as u8) << 7 | 0x7e, 0]);
        }
        out.resize(PACKET_BYTES, 0xff);
        out
    }

    #[test]
    fn cuts_lie_before_packets_with_a_pcr_and_the_clock_may_wrap() {
        // PCRs every 100 ms, across the wrap, two packets without between them.
        let first = PCR_WRAP - 9000;
        let packets: Vec<u8> = (0..10)
            .flat_map(|n| [packet(None), packet(Some((first + n * 9000) % PCR_WRAP)), packet(None)])
            .flatten()
            .collect();
        let cut = pieces(&packets, S);
        assert_eq!(cut.len(), 5);
        assert!(cut.iter().all(|p| p.media_us == 200_000), "{cut:?}");
        assert_eq!(cut[0].bytes, 0..7 * PACKET_BYTES);
        assert_eq!(cut[1].bytes, 7 * PACKET_BYTES..13 * PACKET_BYTES);
    }
}
