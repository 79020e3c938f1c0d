//! Which recorder should have which stream.
//!
//! Comes in: the recorders at work, with room and load. Goes out: for each stream, the order in which they are
//! asked. By rendezvous hashing (Thaler and Ravishankar, 1998): each pair of stream and recorder has a fixed weight,
//! and the heaviest recorder is the stream's own. A recorder that joins takes only streams whose heaviest it is; one
//! that leaves gives up only its own. Never: I/O, a clock; decides who may write (the lease does).

use crate::media::StreamName;

/// A recorder at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Holder of its leases.
    pub recorder: String,
    /// Most streams it records; `None` for no limit.
    pub capacity: Option<u32>,
    /// Streams it records now.
    pub held: u32,
    /// At work for long enough that streams may be moved to it.
    pub settled: bool,
}

impl Peer {
    /// Whether it can take one more stream.
    pub fn has_room(&self) -> bool {
        self.capacity.is_none_or(|most| self.held < most)
    }
}

/// Weight of a pair.
fn weight(stream: &StreamName, recorder: &str) -> u64 {
    // FNV-1a over both, then SplitMix64's finish: FNV alone hardly mixes its last bytes upwards.
    let bytes = stream.as_str().bytes().chain([0]).chain(recorder.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let mut z = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The recorders in the order in which `stream` is theirs.
pub fn ranked<'a>(stream: &StreamName, peers: &'a [Peer]) -> Vec<&'a Peer> {
    let mut order: Vec<&Peer> = peers.iter().collect();
    order.sort_by_key(|p| (std::cmp::Reverse(weight(stream, &p.recorder)), &p.recorder));
    order
}

/// What a recorder should do about a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Take it when it is free.
    pub take: bool,
    /// Hand it to a recorder whose own it is.
    pub hand_over: bool,
    /// Have its last minutes ready, if it has a standby: this one is next in line for it.
    pub ready: bool,
    /// Have its last minutes ready: its holder will hand it over.
    pub coming: bool,
}

/// The share of recorder `me` in `stream`, of which it is the holder or not. Without knowledge of the others (`peers`
/// does not hold `me`) it takes what it can get.
pub fn share(stream: &StreamName, me: &str, holds: bool, peers: &[Peer]) -> Share {
    let Some(own) = peers.iter().find(|p| p.recorder == me) else {
        return Share { take: true, hand_over: false, ready: true, coming: false };
    };
    let order = ranked(stream, peers);
    let first = order.first().is_some_and(|p| p.recorder == me);
    let first_with_room = order.iter().find(|p| p.has_room()).is_none_or(|p| p.recorder == me);
    let better = order.first().filter(|p| p.recorder != me && p.settled && p.has_room());
    let place = order.iter().position(|p| p.recorder == me).unwrap_or(usize::MAX);
    Share {
        take: holds || (own.has_room() && first_with_room),
        hand_over: holds && better.is_some(),
        // Of the first two, one holds it in most cases; then the other is next.
        ready: first || place <= 1,
        coming: !holds && first && own.has_room(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn peers(names: &[&str], capacity: Option<u32>) -> Vec<Peer> {
        names.iter().map(|n| Peer { recorder: (*n).into(), capacity, held: 0, settled: true }).collect()
    }

    fn streams() -> Vec<StreamName> {
        (0..400).map(|n| StreamName::parse(&format!("channel/{n}")).unwrap()).collect()
    }

    fn owners(peers: &[Peer]) -> BTreeMap<StreamName, String> {
        streams().into_iter().map(|s| (s.clone(), ranked(&s, peers)[0].recorder.clone())).collect()
    }

    #[test]
    fn shares_are_fair_and_a_change_moves_only_what_must_move() {
        let (three, four) = (peers(&["a", "b", "c"], None), peers(&["a", "b", "c", "d"], None));
        let (before, after) = (owners(&three), owners(&four));
        for name in ["a", "b", "c", "d"] {
            let count = after.values().filter(|o| *o == name).count();
            assert!((70..=130).contains(&count), "{name} has {count} of 400");
        }
        for (stream, owner) in &after {
            assert!(owner == "d" || owner == &before[stream], "{stream} moved from {} to {owner}", before[stream]);
        }
    }

    /// Every stream finds a recorder as long as there is room, none has too many, and a death moves only its own.
    #[test]
    fn capacity_is_kept_and_orphans_find_room() {
        let mut peers = peers(&["a", "b", "c", "d"], Some(140));
        let mut held: BTreeMap<StreamName, String> = BTreeMap::new();
        let mut settle = |peers: &mut Vec<Peer>| {
            held.retain(|_, owner| peers.iter().any(|p| p.recorder == *owner));
            let before = held.clone();
            for stream in streams() {
                if held.contains_key(&stream) {
                    continue;
                }
                let takers: Vec<usize> =
                    (0..peers.len()).filter(|&i| share(&stream, &peers[i].recorder, false, peers).take).collect();
                assert_eq!(takers.len(), 1, "{stream} is taken by {takers:?}");
                peers[takers[0]].held += 1;
                held.insert(stream, peers[takers[0]].recorder.clone());
            }
            assert!(peers.iter().all(|p| p.held <= 140));
            for (stream, owner) in &before {
                assert_eq!(&held[stream], owner);
            }
        };
        settle(&mut peers);
        peers.remove(1);
        settle(&mut peers);
    }

    #[test]
    fn a_holder_hands_over_only_to_a_settled_owner_with_room() {
        let mut two = peers(&["a", "b"], Some(200));
        let stream = streams().into_iter().find(|s| ranked(s, &two)[0].recorder == "b").unwrap();
        let of = |peers: &[Peer]| share(&stream, "a", true, peers);
        assert!(of(&two).hand_over && of(&two).take);
        two[1].settled = false;
        assert!(!of(&two).hand_over);
        two[1] = Peer { held: 200, settled: true, ..two[1].clone() };
        assert!(!of(&two).hand_over);
        assert!(!share(&stream, "b", false, &two).take, "it is full");
        let unknown = share(&stream, "x", false, &two);
        assert!(unknown.take && unknown.ready && !unknown.hand_over);
    }
}
