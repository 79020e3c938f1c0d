//! Transport packets (ISO/IEC 13818-1 2.4.3.2 to 2.4.3.5).
//!
//! Comes in: 188 bytes that begin with a sync byte. Goes out: the header's fields and where the payload begins.
//! Never: looks into the payload.

/// Bytes of a transport packet (2.4.3.1).
pub(super) const PACKET_BYTES: usize = 188;

/// First byte of each packet (2.4.3.3).
pub(super) const SYNC_BYTE: u8 = 0x47;

/// Number of PIDs: they have 13 bits.
pub(super) const PIDS: usize = 8192;

/// The PID of `packet`.
pub(super) fn pid_of(packet: &[u8; PACKET_BYTES]) -> u16 {
    u16::from_be_bytes([packet[1], packet[2]]) & 0x1fff
}

/// What the fields of a packet say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    /// payload_unit_start_indicator.
    pub unit_start: bool,
    /// transport_error_indicator.
    pub error: bool,
    /// transport_scrambling_control is not 00.
    pub scrambled: bool,
    /// continuity_counter.
    pub counter: u8,
    /// discontinuity_indicator of the adaptation field.
    pub discontinuity: bool,
    /// program_clock_reference_base: ticks of 1/90000 s, 33 bits.
    pub pcr: Option<i64>,
    /// Offset of the payload, if there is one; at most 188.
    pub payload: Option<usize>,
}

impl Header {
    /// Reads the header; `None` when adaptation_field_control is reserved or the field does not fit.
    pub fn parse(packet: &[u8; PACKET_BYTES]) -> Option<Self> {
        let control = packet[3];
        let mut header = Self {
            unit_start: packet[1] & 0x40 != 0,
            error: packet[1] & 0x80 != 0,
            scrambled: control & 0xc0 != 0,
            counter: control & 0x0f,
            discontinuity: false,
            pcr: None,
            payload: (control & 0x10 != 0).then_some(4),
        };
        if control & 0x20 != 0 {
            let length = usize::from(packet[4]);
            if 5 + length > PACKET_BYTES {
                return None;
            }
            if length > 0 {
                header.discontinuity = packet[5] & 0x80 != 0;
                if packet[5] & 0x10 != 0 && length >= 7 {
                    header.pcr = Some(
                        i64::from(packet[6]) << 25
                            | i64::from(packet[7]) << 17
                            | i64::from(packet[8]) << 9
                            | i64::from(packet[9]) << 1
                            | i64::from(packet[10] >> 7),
                    );
                }
            }
            header.payload = header.payload.map(|_| 5 + length);
        } else if header.payload.is_none() {
            return None;
        }
        Some(header)
    }
}

/// What a packet's continuity counter shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The first, or the one after the last.
    Next,
    /// The last one once more: to be ignored.
    Duplicate,
    /// Packets are missing before this one.
    Lost,
    /// Packets are missing, and the multiplexer said so by discontinuity_indicator.
    Announced,
}

/// Follows the continuity counter of one PID (2.4.3.3).
#[derive(Debug, Default)]
pub(super) struct Continuity {
    last: Option<u8>,
    tail: [u8; 8],
}

impl Continuity {
    /// Takes note of a packet that has payload.
    ///
    /// A packet is a duplicate only when its last bytes equal those before too: a counter alone cannot tell
    /// a duplicate from sixteen lost packets. (A PCR, which may differ, does not stand at the end.)
    pub fn step(&mut self, header: &Header, packet: &[u8; PACKET_BYTES]) -> Step {
        let tail = packet.last_chunk::<8>().copied().unwrap_or_default();
        let step = match self.last {
            None => Step::Next,
            Some(last) if (last + 1) & 0x0f == header.counter => Step::Next,
            Some(last) if last == header.counter && self.tail == tail && !header.discontinuity => Step::Duplicate,
            Some(_) if header.discontinuity => Step::Announced,
            Some(_) => Step::Lost,
        };
        self.last = Some(header.counter);
        self.tail = tail;
        step
    }

    /// The next packet will be as good as the first.
    pub fn forget(&mut self) {
        self.last = None;
    }
}
