//! Parts of segments, read and proven: no byte of one is sent before the whole of it is known to be what was written.
//!
//! Comes in: where a part lies. Goes out: its bytes, or only the word that they are right. Never: a part whose checksum
//! does not fit; more of a range that somebody made up than it takes to see that.

use crate::container::cmaf::{PartCheck, PartVerifier};
use crate::media::ObjectKey;
use crate::media::segment::SegmentId;
use crate::store::{ObjectStore, StoreError, StoreErrorKind};
use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use std::ops::Range;

/// A larger part is proven as it streams by, and read again to be sent.
pub const LARGEST_HELD_BYTES: u64 = 32 << 20;
/// `prft` and `moof` of the longest sample table take less.
const LARGEST_FRONT_BYTES: usize = 2 << 20;

/// A part whose bytes are those that were written.
#[derive(Debug, Clone)]
pub enum Proven {
    /// These.
    Held(Bytes),
    /// Whoever wants them reads them from the store.
    Stored,
}

/// Reads the part that the bytes `range` of an object are said to be; gives them when they can be held. Damage on the
/// way is healed by reading again, once.
///
/// # Errors
/// Whatever the store says; `NotFound` for what is no part, or ends early; `Damaged`.
pub async fn prove(store: &dyn ObjectStore, key: &ObjectKey, range: &Range<u64>) -> Result<Proven, StoreError> {
    match prove_once(store, key, range).await {
        Err(error) if error.kind == StoreErrorKind::Damaged => {
            tracing::warn!(%key, from = range.start, to = range.end, "a part came damaged; it is read again");
            let again = prove_once(store, key, range).await;
            if again.as_ref().is_err_and(|error| error.kind == StoreErrorKind::Damaged) {
                metrics::counter!("evertape_damaged_parts_total").increment(1);
                tracing::error!(%key, from = range.start, to = range.end, "a part in the store is damaged; `evertape check --deep` finds all such");
            }
            again
        }
        proven => proven,
    }
}

async fn prove_once(store: &dyn ObjectStore, key: &ObjectKey, range: &Range<u64>) -> Result<Proven, StoreError> {
    let length = range.end.saturating_sub(range.start);
    let foreign = || StoreError::new(StoreErrorKind::NotFound, format!("get {key}: no such part"));
    let mut pieces = store.get(key, range.clone()).await?;
    let mut verifier = PartVerifier::default();
    // One piece is not copied.
    let mut first = Bytes::new();
    let mut gathered = BytesMut::new();
    let mut seen = 0;
    let mut is_part = None;
    while let Some(piece) = pieces.try_next().await? {
        seen += piece.len() as u64;
        if seen > length {
            return Err(StoreError::new(StoreErrorKind::Other, format!("get {key}: more than was asked for")));
        }
        verifier.update(&piece);
        let holding = is_part.is_none() || length <= LARGEST_HELD_BYTES;
        if !holding {
            continue;
        }
        if first.is_empty() && gathered.is_empty() {
            first = piece;
        } else {
            if gathered.is_empty() {
                let capacity = if is_part.is_some() { length } else { 0 };
                gathered.reserve(usize::try_from(capacity).unwrap_or(0));
                gathered.extend_from_slice(&std::mem::take(&mut first));
            }
            gathered.extend_from_slice(&piece);
        }
        if is_part.is_none() {
            let front = if gathered.is_empty() { &first[..] } else { &gathered[..] };
            is_part = says_part(front, length);
            match is_part {
                Some(false) => return Err(foreign()),
                Some(true) if length > LARGEST_HELD_BYTES => (first, gathered) = Default::default(),
                _ => {}
            }
        }
    }
    if is_part != Some(true) || seen != length {
        return Err(foreign());
    }
    let id = SegmentId::parse_object_key(key);
    if verifier.finish() == PartCheck::Damaged || id.is_some_and(|id| !verifier.is_of(&id)) {
        let why = format!("get {key}: bytes {} to {} are not what was written", range.start, range.end);
        return Err(StoreError::new(StoreErrorKind::Damaged, why));
    }
    Ok(match length <= LARGEST_HELD_BYTES {
        true if gathered.is_empty() => Proven::Held(first),
        true => Proven::Held(gathered.freeze()),
        false => Proven::Stored,
    })
}

/// Whether the boxes at the front make a part of `length` bytes; `None` while there are too few.
fn says_part(front: &[u8], length: u64) -> Option<bool> {
    match part_length(front) {
        Front::Says(bytes) => Some(bytes == length),
        Front::CutShort if front.len() < LARGEST_FRONT_BYTES => None,
        _ => Some(false),
    }
}

/// What the first bytes of a part say.
#[derive(Debug, PartialEq, Eq)]
enum Front {
    /// Its whole length in bytes.
    Says(u64),
    /// Nothing yet.
    CutShort,
    /// That it is none.
    Foreign,
}

/// A part is `prft`, `moof`, `mdat`, each with a 32-bit size (ISO/IEC 14496-12 4.2).
fn part_length(front: &[u8]) -> Front {
    let mut at = 0u64;
    for kind in [b"prft", b"moof", b"mdat"] {
        let Ok(start) = usize::try_from(at) else { return Front::Foreign };
        let Some(&[a, b, c, d, ref name @ ..]) = front.get(start..).and_then(|rest| rest.first_chunk::<8>()) else {
            return Front::CutShort;
        };
        let size = u64::from(u32::from_be_bytes([a, b, c, d]));
        if name != kind || size < 8 {
            return Front::Foreign;
        }
        at += size;
    }
    Front::Says(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_says_how_long_it_is() {
        let boxes = |kinds: &[(&[u8; 4], u32)]| -> Vec<u8> {
            let one = |(kind, size): &(&[u8; 4], u32)| {
                let body = vec![0; if *kind == b"mdat" { 0 } else { *size as usize - 8 }];
                [&size.to_be_bytes()[..], &kind[..], &body].concat()
            };
            kinds.iter().flat_map(one).collect()
        };
        let good = boxes(&[(b"prft", 32), (b"moof", 100), (b"mdat", 1000)]);
        assert_eq!(part_length(&good), Front::Says(1132));
        for short in [0, 7, 32, 139] {
            assert_eq!(part_length(&good[..short]), Front::CutShort, "{short}");
        }
        assert_eq!(part_length(&good[32..]), Front::Foreign);
        assert_eq!(part_length(&[0; 8]), Front::Foreign);
        let huge = [&u32::MAX.to_be_bytes()[..], b"prft"].concat();
        assert_eq!(part_length(&huge), Front::CutShort);
    }
}
