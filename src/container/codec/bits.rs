//! Bits of headers.
//!
//! Comes in: bytes of a header. Goes out: fields, `None` past the end. Never: panics, reads out of bounds.

/// Reads bits from the most significant on (ISO/IEC 14496-10 7.2).
#[derive(Debug, Clone)]
pub(super) struct BitReader<'a> {
    data: &'a [u8],
    /// In bits.
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    /// `count` bits, 32 at most.
    pub(super) fn bits(&mut self, count: u32) -> Option<u32> {
        let mut value = 0u64;
        let mut left = count.min(32) as usize;
        while left > 0 {
            let byte = *self.data.get(self.at / 8)?;
            let offset = self.at % 8;
            let take = left.min(8 - offset);
            let part = (u64::from(byte) >> (8 - offset - take)) & ((1 << take) - 1);
            value = value << take | part;
            self.at += take;
            left -= take;
        }
        u32::try_from(value).ok()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.bits(8).map(|v| v as u8)
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        self.bits(1).map(|bit| bit == 1)
    }

    /// Passes over `count` bits; reading after the end fails then.
    pub(super) fn skip(&mut self, count: usize) {
        self.at = self.at.saturating_add(count);
    }

    /// Exp-Golomb, unsigned: `ue(v)` (9.1).
    pub(super) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = self.bits(zeros)?;
        (((1u64 << zeros) - 1) as u32).checked_add(rest)
    }

    /// `ue(v)` that must not exceed `most`.
    pub(super) fn ue_max(&mut self, most: u32) -> Option<u32> {
        self.ue().filter(|&v| v <= most)
    }

    /// Exp-Golomb, signed: `se(v)` (9.1.1).
    pub(super) fn se(&mut self) -> Option<i64> {
        let code = i64::from(self.ue()?);
        Some(if code % 2 == 1 { (code + 1) / 2 } else { -(code / 2) })
    }
}

/// Writes bits, most significant first.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// In bits.
    at: usize,
}

impl BitWriter {
    /// The low `count` bits of `value`.
    pub(super) fn put(&mut self, value: u32, count: u32) {
        for n in (0..count.min(32)).rev() {
            if self.at.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> n & 1) as u8) << (7 - self.at % 8);
            }
            self.at += 1;
        }
    }

    /// Zeros up to the next whole byte.
    pub(super) fn align(&mut self) {
        self.at = self.bytes.len() * 8;
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Copies `nal` without its emulation prevention bytes (ISO/IEC 14496-10 7.3.1) until `to` is full; says how
/// many bytes came out.
pub(super) fn unescape_into(nal: &[u8], to: &mut [u8]) -> usize {
    let mut zeros = 0;
    let mut length = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        let Some(slot) = to.get_mut(length) else { break };
        *slot = byte;
        length += 1;
    }
    length
}

/// [`unescape_into`] a new vector.
pub(super) fn unescape(nal: &[u8]) -> Vec<u8> {
    let mut to = vec![0; nal.len()];
    let length = unescape_into(nal, &mut to);
    to.truncate(length);
    to
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golomb_codes() {
        // 1 010 011 00100 00101 then the end
        let mut bits = BitReader::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        assert_eq!([bits.ue(), bits.ue(), bits.ue()], [Some(0), Some(1), Some(2)]);
        assert_eq!([bits.se(), bits.se()], [Some(2), Some(-2)]);
        assert_eq!(bits.ue(), None);
        assert_eq!(BitReader::new(&[0; 9]).ue(), None);
    }

    #[test]
    fn emulation_prevention_goes() {
        assert_eq!(unescape(&[1, 0, 0, 3, 1, 0, 0, 3, 0, 0, 3]), [1, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(unescape(&[0, 0, 0, 3, 3]), [0, 0, 0, 3]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(fields in proptest::collection::vec((any::<u32>(), 1u32..=32), 0..20)) {
            let mut out = BitWriter::default();
            for &(value, count) in &fields {
                out.put(value, count);
            }
            let bytes = out.into_bytes();
            let mut bits = BitReader::new(&bytes);
            for &(value, count) in &fields {
                let mask = if count == 32 { u32::MAX } else { (1 << count) - 1 };
                prop_assert_eq!(bits.bits(count), Some(value & mask));
            }
        }
    }
}
