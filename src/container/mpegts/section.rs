//! Sections of tables (ISO/IEC 13818-1 2.4.4).
//!
//! Comes in: the payloads of one PID. Goes out: whole sections. Never: keeps more than one section and a packet.

use super::packet::{Continuity, Header, PACKET_BYTES, Step};

/// Longest section: three bytes and a 12-bit length.
const MAX_SECTION_BYTES: usize = 3 + 4095;

const CRC_TABLE: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut n = 0;
    while n < 256 {
        let mut crc = (n as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000_0000 != 0 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 };
            bit += 1;
        }
        table[n] = crc;
        n += 1;
    }
    table
};

/// CRC of sections (annex A): zero over a whole section with its own CRC at the end.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, &byte| crc << 8 ^ CRC_TABLE[usize::from((crc >> 24) as u8 ^ byte)])
}

/// Puts the sections of one PID together.
#[derive(Debug, Default)]
pub(super) struct Sections {
    continuity: Continuity,
    /// Begins with a section; empty when none is under way.
    buffer: Vec<u8>,
}

impl Sections {
    /// Takes a packet and calls `section` with each whole section. Returns a sentence when something was lost.
    pub fn push(
        &mut self,
        header: &Header,
        packet: &[u8; PACKET_BYTES],
        mut section: impl FnMut(&[u8]),
    ) -> Option<&'static str> {
        let payload = packet.get(header.payload?..)?;
        let mut damage = None;
        match self.continuity.step(header, packet) {
            Step::Next => {}
            Step::Duplicate => return None,
            Step::Lost | Step::Announced => {
                if !self.buffer.is_empty() {
                    damage = Some("packets of a table were lost");
                }
                self.buffer.clear();
            }
        }
        if header.unit_start {
            let (&pointer, rest) = payload.split_first()?;
            let Some((tail, head)) = rest.split_at_checked(usize::from(pointer)) else {
                self.buffer.clear();
                return Some("a table begins outside its packet");
            };
            if !self.buffer.is_empty() {
                self.buffer.extend_from_slice(tail);
                self.drain(&mut section);
            }
            self.buffer.clear();
            self.buffer.extend_from_slice(head);
        } else if self.buffer.is_empty() {
            return damage;
        } else {
            self.buffer.extend_from_slice(payload);
        }
        self.drain(&mut section);
        damage
    }

    /// Gives the whole sections at the front of the buffer and keeps the rest.
    fn drain(&mut self, section: &mut impl FnMut(&[u8])) {
        let mut at = 0;
        while let Some(rest) = self.buffer.get(at..) {
            match rest {
                // Stuffing up to the end of the packet.
                [0xff, ..] => {
                    self.buffer.clear();
                    return;
                }
                &[_, high, low, ..] => {
                    let length = 3 + usize::from(u16::from_be_bytes([high, low]) & 0x0fff);
                    debug_assert!(length <= MAX_SECTION_BYTES);
                    let Some(whole) = rest.get(..length) else { break };
                    section(whole);
                    at += length;
                }
                _ => break,
            }
        }
        self.buffer.drain(..at.min(self.buffer.len()));
    }

    /// Forgets a section under way and the continuity counter.
    pub fn forget(&mut self) {
        self.buffer.clear();
        self.continuity.forget();
    }
}
