//! Checksums of parts: whether the bytes of a part are those that were written.
//!
//! Comes in: a part (`prft` + `moof` + `mdat`), whole or in pieces. Goes out: a verdict. Never: more than the part
//! itself, a copy of it, memory that grows.
//!
//! The last child of a part's `moof` is a `uuid` box (11.1) of type [`CHECKSUM_UUID`] that holds 8 bytes, big endian:
//! xxh3-64 of the whole part with these 8 bytes taken as zero. Readers skip boxes they do not know (4.2). Objects from
//! before there were checksums have none; so that damage cannot make a part look like one of those, such a part must
//! have exactly their boxes, and nothing that looks like a checksum where one would be.

use super::boxes::{Cursor, put_box};
use super::fragment::{PRFT_BYTES, ntp_timestamp};
use crate::media::segment::SegmentId;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Type of the box with a part's checksum: 69d06a59-ead8-4b63-abd0-7cfaa51cc8d8, chosen at random once for Evertape.
pub const CHECKSUM_UUID: [u8; 16] =
    [0x69, 0xd0, 0x6a, 0x59, 0xea, 0xd8, 0x4b, 0x63, 0xab, 0xd0, 0x7c, 0xfa, 0xa5, 0x1c, 0xc8, 0xd8];

/// Bytes of that box.
pub(super) const CHECKSUM_BOX_BYTES: usize = 8 + 16 + HASH_BYTES;
const HASH_BYTES: usize = 8;

/// As far as the header of `traf`: `prft`, header of `moof`, `mfhd`, header of `traf`.
const FRONT_BYTES: usize = PRFT_BYTES + 8 + 16 + 8;
/// Where the wall time of `prft` is (14496-12 8.16.5), and the number of `mfhd` (8.8.5).
const NTP_AT: usize = 16;
const NUMBER_AT: usize = PRFT_BYTES + 8 + 12;
/// Sound and picture of one segment begin no further apart.
const NEAR_SECONDS: i64 = 300;
/// The last bytes of `moof`, where the checksum is, and the header of `mdat`.
const TAIL_BYTES: usize = CHECKSUM_BOX_BYTES + 8;
/// No `moof` of ours is as large: 16 bytes for each of the most samples of a table.
const MAX_MOOF_BYTES: u32 = 2 << 20;

/// What a part's checksum says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartCheck {
    /// The bytes are those that were written.
    Verified,
    /// A part from before there were checksums: its boxes are in order, of its samples nothing is known.
    Unverified,
    /// Not the bytes that were written, or not all of them.
    Damaged,
}

/// Checks a whole part.
pub fn verify_part(part: &[u8]) -> PartCheck {
    let mut verifier = PartVerifier::default();
    verifier.update(part);
    verifier.finish()
}

/// Checks a part that streams by.
#[derive(Clone)]
pub struct PartVerifier {
    hash: Xxh3,
    seen: u64,
    front: [u8; FRONT_BYTES],
    tail: [u8; TAIL_BYTES],
    shape: Option<Shape>,
}

impl std::fmt::Debug for PartVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartVerifier").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl Default for PartVerifier {
    fn default() -> Self {
        Self { hash: Xxh3::new(), seen: 0, front: [0; FRONT_BYTES], tail: [0; TAIL_BYTES], shape: None }
    }
}

impl PartVerifier {
    /// Takes the next bytes of the part, as many as there are.
    pub fn update(&mut self, bytes: &[u8]) {
        let missing = FRONT_BYTES.saturating_sub(usize::try_from(self.seen).unwrap_or(usize::MAX));
        let (front, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
        if !front.is_empty() {
            copy_overlap(&mut self.front, 0, front, self.seen);
            self.hash.update(front);
            self.seen += front.len() as u64;
            if self.seen == FRONT_BYTES as u64 {
                self.shape = Shape::of(&self.front);
            }
        }
        let Some(shape) = self.shape.filter(|_| !rest.is_empty()) else { return };
        copy_overlap(&mut self.tail, shape.tail_at(), rest, self.seen);
        // The checksum itself counts as zeros.
        let clip = |at: u64| usize::try_from(at.saturating_sub(self.seen)).map_or(rest.len(), |n| n.min(rest.len()));
        let (from, to) = (clip(shape.hash_at()), clip(shape.hash_at() + HASH_BYTES as u64));
        if shape.sealed && from < to {
            self.hash.update(&rest[..from]);
            self.hash.update(&[0; HASH_BYTES][..to - from]);
            self.hash.update(&rest[to..]);
        } else {
            self.hash.update(rest);
        }
        self.seen += rest.len() as u64;
    }

    /// Whether the part's own boxes say that it is one of the segment `id`: its number, and a time near the segment's. A
    /// store that gives the bytes of another object gives a part whose checksum is right.
    pub fn is_of(&self, id: &SegmentId) -> bool {
        let field = |at: usize| self.front.get(at..);
        let ntp = field(NTP_AT).and_then(|b| b.first_chunk()).map(|b| u64::from_be_bytes(*b));
        let number = field(NUMBER_AT).and_then(|b| b.first_chunk()).map(|b| u32::from_be_bytes(*b));
        // NTP times begin anew in 2036: their difference does not.
        let apart = ntp.map(|ntp| ntp.wrapping_sub(ntp_timestamp(id.start)).cast_signed() >> 32);
        number == Some(id.sequence as u32) && apart.is_some_and(|seconds| seconds.abs() <= NEAR_SECONDS)
    }

    /// The verdict, once all bytes were given.
    pub fn finish(&self) -> PartCheck {
        let Some(shape) = self.shape else { return PartCheck::Damaged };
        let mut tail = Cursor(&self.tail);
        let (Ok(size), Ok(kind), Ok(uuid), Ok(hash), Ok(mdat_bytes), Ok(mdat)) =
            (tail.u32(), tail.array(), tail.array(), tail.u64(), tail.u32(), tail.array())
        else {
            return PartCheck::Damaged;
        };
        let whole = self.seen == shape.tail_at() + CHECKSUM_BOX_BYTES as u64 + u64::from(mdat_bytes);
        if !whole || mdat != *b"mdat" || mdat_bytes < 8 {
            return PartCheck::Damaged;
        }
        let looks_sealed = uuid == CHECKSUM_UUID;
        match shape.sealed {
            true if looks_sealed && size == CHECKSUM_BOX_BYTES as u32 && kind == *b"uuid" => {
                if hash == self.hash.digest() { PartCheck::Verified } else { PartCheck::Damaged }
            }
            false if !looks_sealed => PartCheck::Unverified,
            _ => PartCheck::Damaged,
        }
    }
}

/// What the front of a part says of the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    moof_bytes: u32,
    /// There is room for a checksum behind `traf`.
    pub sealed: bool,
}

impl Shape {
    /// `None` for anything that no version of ours has written.
    pub(super) fn of(front: &[u8]) -> Option<Self> {
        fn header(front: &mut Cursor<'_>, kind: &[u8; 4]) -> Option<u32> {
            let size = front.u32().ok()?;
            (front.array().ok()? == *kind).then_some(size)
        }
        let mut front = Cursor(front);
        let prft_bytes = header(&mut front, b"prft")?;
        front.take(PRFT_BYTES - 8).ok()?;
        let moof_bytes = header(&mut front, b"moof").filter(|&b| b <= MAX_MOOF_BYTES)?;
        let mfhd_bytes = header(&mut front, b"mfhd")?;
        front.take(8).ok()?;
        let traf_bytes = header(&mut front, b"traf")?;
        let behind = moof_bytes.checked_sub(8 + 16)?.checked_sub(traf_bytes)?;
        // `traf` has `tfhd`, `tfdt` and `trun`: the tail cannot reach into the front.
        let ours = prft_bytes == PRFT_BYTES as u32 && mfhd_bytes == 16 && traf_bytes >= 8 + 16 + 20 + 20;
        let sealed = match behind {
            0 => false,
            n if n == CHECKSUM_BOX_BYTES as u32 => true,
            _ => return None,
        };
        ours.then_some(Self { moof_bytes, sealed })
    }

    /// Where the last 32 bytes of `moof` begin.
    fn tail_at(&self) -> u64 {
        PRFT_BYTES as u64 + u64::from(self.moof_bytes) - CHECKSUM_BOX_BYTES as u64
    }

    fn hash_at(&self) -> u64 {
        self.tail_at() + (CHECKSUM_BOX_BYTES - HASH_BYTES) as u64
    }
}

/// Copies what `bytes`, which begin at `at`, have of a buffer that begins at `buffer_at`.
fn copy_overlap(buffer: &mut [u8], buffer_at: u64, bytes: &[u8], at: u64) {
    let skip = usize::try_from(buffer_at.saturating_sub(at)).unwrap_or(usize::MAX);
    let into = usize::try_from(at.saturating_sub(buffer_at)).unwrap_or(usize::MAX);
    let (Some(from), Some(to)) = (bytes.get(skip..), buffer.get_mut(into..)) else { return };
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

/// Appends the box with a checksum still to be made.
pub(super) fn put_checksum_box(out: &mut Vec<u8>) {
    put_box(out, b"uuid", |out| {
        out.extend_from_slice(&CHECKSUM_UUID);
        out.extend_from_slice(&[0; HASH_BYTES]);
    });
}

/// Writes the checksum of a whole part whose checksum box, last in its `moof`, holds zeros. `head_bytes` are those
/// before its samples.
pub(super) fn seal(part: &mut [u8], head_bytes: usize) {
    let hash = xxh3_64(part).to_be_bytes();
    let end = head_bytes.saturating_sub(8);
    if let Some(field) = part.get_mut(end.saturating_sub(HASH_BYTES)..end) {
        field.copy_from_slice(&hash);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{mutations, small_segment};
    use super::*;

    fn parts() -> Vec<Vec<u8>> {
        let (object, segment, _) = small_segment();
        let part = |p: &crate::media::TrackPart| object[p.offset as usize..(p.offset + p.length) as usize].to_vec();
        segment.tracks.iter().map(part).collect()
    }

    #[test]
    fn what_was_written_is_verified_in_pieces_of_any_size() {
        for part in parts() {
            assert_eq!(verify_part(&part), PartCheck::Verified);
            for size in 1..part.len() {
                let mut verifier = PartVerifier::default();
                part.chunks(size).for_each(|piece| verifier.update(piece));
                assert_eq!(verifier.finish(), PartCheck::Verified, "in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_part_is_of_its_segment_and_of_no_other() {
        let (_, segment, _) = small_segment();
        for part in parts() {
            let mut verifier = PartVerifier::default();
            part.chunks(7).for_each(|piece| verifier.update(piece));
            let id = segment.id.clone();
            assert!(verifier.is_of(&id));
            assert!(!verifier.is_of(&SegmentId { sequence: id.sequence + 1, ..id.clone() }));
            assert!(verifier.is_of(&SegmentId { start: id.start.plus_us(60_000_000), ..id.clone() }));
            for apart in [-400_000_000, 400_000_000, 3_600_000_000_000] {
                assert!(!verifier.is_of(&SegmentId { start: id.start.plus_us(apart), ..id.clone() }));
            }
        }
        assert!(!PartVerifier::default().is_of(&segment.id));
    }

    #[test]
    fn no_changed_bit_cut_or_addition_passes() {
        for part in parts() {
            for bit in 0..part.len() * 8 {
                let mut damaged = part.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(verify_part(&damaged), PartCheck::Damaged, "bit {bit}");
            }
            for cut in 0..part.len() {
                assert_eq!(verify_part(&part[..cut]), PartCheck::Damaged, "cut at {cut}");
            }
            assert_eq!(verify_part(&[&part[..], &[0]].concat()), PartCheck::Damaged);
            assert_eq!(verify_part(&[&part[..], &part[..]].concat()), PartCheck::Damaged);
        }
    }

    #[test]
    fn damage_of_any_kind_is_damage() {
        for part in parts() {
            mutations(&part, 50_000, |bytes| {
                assert!(bytes == part || verify_part(bytes) == PartCheck::Damaged, "{bytes:02x?}");
            });
        }
    }

    #[test]
    fn zeroed_and_swapped_blocks_are_damage() {
        let [video, audio] = parts().try_into().unwrap();
        for at in (0..video.len()).step_by(4) {
            let mut damaged = video.clone();
            damaged[at..].iter_mut().take(32).for_each(|b| *b = 0);
            assert_eq!(verify_part(&damaged), PartCheck::Damaged, "zeros at {at}");
        }
        assert_eq!(verify_part(&[&video[..100], &audio[100..]].concat()), PartCheck::Damaged);
        assert_eq!(verify_part(&[]), PartCheck::Damaged);
        assert_eq!(verify_part(&[0; 4096]), PartCheck::Damaged);
    }
}
