//! PES packets (ISO/IEC 13818-1 2.4.3.6, 2.4.3.7).
//!
//! Comes in: the payloads of one PID. Goes out: one PES packet at a time, its times and its bytes, copied once.
//! Never: keeps more than its limit, or more than all tracks together may.

use super::clock::RawTimes;

/// Most bytes of one PES packet of video: far above any access unit that broadcast uses.
pub(super) const MAX_VIDEO_PES_BYTES: usize = 8 << 20;

/// Most bytes of one PES packet of audio.
pub(super) const MAX_AUDIO_PES_BYTES: usize = 1 << 20;

/// Most bytes that the PES packets of all tracks may take together.
pub(super) const BUDGET_BYTES: usize = 32 << 20;

/// What became of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fed {
    /// More are needed.
    More,
    /// The packet is complete: as long as it says.
    Complete,
    /// The packet is given up, and why.
    Refused(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between packets, or within one that was given up.
    Idle,
    /// Its header is not whole yet.
    Header,
    /// Its header is read.
    Body,
}

/// The PES packet under way on one PID.
#[derive(Debug)]
pub(super) struct PesBuffer {
    state: State,
    /// The whole packet, header first.
    data: Vec<u8>,
    payload_at: usize,
    /// Length of the whole packet where the header says; video may leave it open.
    length: Option<usize>,
    limit: usize,
    /// Times of the header.
    pub times: Option<RawTimes>,
    /// Something is missing before or within the packet.
    pub damaged: bool,
}

impl PesBuffer {
    /// A buffer for packets of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { state: State::Idle, data: Vec::new(), payload_at: 0, length: None, limit, times: None, damaged: false }
    }

    /// Whether a packet is under way.
    pub fn is_active(&self) -> bool {
        self.state != State::Idle
    }

    /// Whether the packet under way is as long as it says; one that does not say may end anywhere.
    pub fn is_whole(&self) -> bool {
        self.state == State::Body && self.length.is_none_or(|length| self.data.len() >= length)
    }

    /// The elementary stream bytes so far.
    pub fn payload(&self) -> &[u8] {
        let at = if self.state == State::Body { self.payload_at } else { self.data.len() };
        self.data.get(at..).unwrap_or_default()
    }

    /// A packet begins.
    pub fn start(&mut self) {
        self.data.clear();
        self.state = State::Header;
        self.payload_at = 0;
        self.length = None;
        self.times = None;
    }

    /// Ends the packet under way. Keeps the memory unless it is much more than was needed.
    pub fn end(&mut self, budget: &mut usize) {
        self.state = State::Idle;
        self.damaged = false;
        if self.data.capacity() > 1 << 20 && self.data.len() < self.data.capacity() / 4 {
            self.release(budget);
        }
        self.data.clear();
    }

    /// Gives all memory back.
    pub fn release(&mut self, budget: &mut usize) {
        self.state = State::Idle;
        *budget += self.data.capacity();
        self.data = Vec::new();
    }

    /// Appends bytes to the packet under way.
    pub fn feed(&mut self, bytes: &[u8], budget: &mut usize) -> Fed {
        if self.state == State::Idle {
            return Fed::More;
        }
        let needed = self.data.len() + bytes.len();
        if needed > self.data.capacity() && !self.grow(needed, budget) {
            self.release(budget);
            return Fed::Refused("a PES packet is too large");
        }
        self.data.extend_from_slice(bytes);
        if self.state == State::Header
            && let Some(refused) = self.read_header()
        {
            self.state = State::Idle;
            return Fed::Refused(refused);
        }
        match self.length {
            Some(length) if self.state == State::Body && self.data.len() >= length => {
                self.data.truncate(length);
                Fed::Complete
            }
            _ => Fed::More,
        }
    }

    fn grow(&mut self, needed: usize, budget: &mut usize) -> bool {
        let capacity = (self.data.capacity() * 2).max(4096).max(needed);
        let more = capacity - self.data.capacity();
        if needed > self.limit || more > *budget {
            return false;
        }
        let before = self.data.capacity();
        self.data.reserve_exact(capacity - self.data.len());
        *budget = budget.saturating_sub(self.data.capacity() - before);
        true
    }

    /// Reads the header once it is whole; a sentence when it is none.
    fn read_header(&mut self) -> Option<&'static str> {
        let (fixed, rest) = self.data.split_first_chunk::<9>()?;
        let [0, 0, 1, stream_id, high, low, flags, more_flags, optional] = *fixed else {
            return Some("a PES packet has no start code");
        };
        // Table 2-22: these have no optional header; none carries video or audio.
        if matches!(stream_id, 0xbc | 0xbe | 0xbf | 0xf0 | 0xf1 | 0xf2 | 0xf8 | 0xff) {
            self.state = State::Idle;
            return None;
        }
        if flags & 0xc0 != 0x80 {
            return Some("a PES header is damaged");
        }
        if flags & 0x30 != 0 {
            return Some("a PES packet is scrambled");
        }
        let fields = rest.get(..usize::from(optional))?;
        self.payload_at = 9 + fields.len();
        self.length = match u16::from_be_bytes([high, low]) {
            0 => None,
            length => Some(6 + usize::from(length)),
        };
        if self.length.is_some_and(|length| length < self.payload_at) {
            return Some("a PES header is longer than its packet");
        }
        let pts = (more_flags & 0x80 != 0).then(|| fields.first_chunk::<5>().and_then(timestamp)).flatten();
        let dts = (more_flags & 0xc0 == 0xc0)
            .then(|| fields.get(5..).and_then(|f| f.first_chunk::<5>()).and_then(timestamp))
            .flatten();
        self.times = pts.and_then(|pts| RawTimes::new(pts, dts));
        self.state = State::Body;
        None
    }
}

/// A PTS or DTS field: 33 bits in three parts, each followed by a marker bit.
fn timestamp(field: &[u8; 5]) -> Option<i64> {
    let [a, b, c, d, e] = field.map(i64::from);
    (a & c & e & 1 == 1).then_some((a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1)
}
