//! What can happen, and how likely it is.

use proptest::prelude::*;

/// Which recorder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    A,
    B,
}

/// What goes wrong with one call of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    Nothing,
    /// The n-th call of the store or the index fails before it is done.
    Fails {
        store: bool,
        nth: u8,
    },
    /// It is done and its answer is lost.
    AnswerLost {
        store: bool,
        nth: u8,
    },
    /// The process is killed in it, before or after it is done.
    Killed {
        store: bool,
        nth: u8,
        done: bool,
    },
}

#[derive(Debug, Clone)]
pub enum Operation {
    /// The source goes on by so many segments; those who have it cut them. The holder publishes.
    Record {
        segments: u8,
        a_has_it: bool,
        b_has_it: bool,
        trouble: Trouble,
    },
    /// Whoever believes in its lease publishes what waits.
    Publish {
        who: Who,
        trouble: Trouble,
    },
    /// Asks for the lease, and goes on from what is committed if it gets it.
    Acquire {
        who: Who,
        trouble: Trouble,
    },
    Release {
        who: Who,
    },
    /// The process dies and is started again.
    Restart {
        who: Who,
    },
    /// Time passes: seconds.
    Wait {
        seconds: u32,
    },
    /// What the archive lacks and this one's shadows have is filled in.
    Fill {
        who: Who,
        trouble: Trouble,
    },
    /// A round of retention that keeps so many segments' time.
    Janitor {
        keep: u8,
        trouble: Trouble,
    },
    /// Two at once.
    TwoJanitors {
        keep: u8,
    },
    /// The holder dies between storing an object and committing it; the source goes on unseen for a while; the other
    /// recorder takes the stream; perhaps somebody repairs before it has cut anything.
    Replaced {
        missed: u8,
        repaired: bool,
    },
    /// Part of what is recorded, in hundredths; for so many seconds, or for good.
    Lock {
        from: u8,
        length: u8,
        lasts: Option<u16>,
    },
    Unlock {
        nth: u8,
    },
    Repair {
        trouble: Trouble,
    },
    /// From the bucket alone, and on from there.
    Reindex {
        trouble: Trouble,
    },
    /// Two nodes are asked for the same.
    Playlists {
        from: u8,
        length: u8,
    },
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![Just(Who::A), Just(Who::B)]
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let call = || (any::<bool>(), 1u8..6);
    prop_oneof![
        4 => Just(Trouble::Nothing),
        1 => call().prop_map(|(store, nth)| Trouble::Fails { store, nth }),
        1 => call().prop_map(|(store, nth)| Trouble::AnswerLost { store, nth }),
        2 => (call(), any::<bool>()).prop_map(|((store, nth), done)| Trouble::Killed { store, nth, done }),
    ]
}

/// What goes wrong in a round of the janitor: it deletes objects in one call, and asks the index some ten times.
fn janitors_trouble() -> impl Strategy<Value = Trouble> {
    let call = || prop_oneof![2 => Just((true, 1)), 3 => (1u8..15).prop_map(|nth| (false, nth))];
    prop_oneof![
        2 => Just(Trouble::Nothing),
        1 => call().prop_map(|(store, nth)| Trouble::Fails { store, nth }),
        1 => call().prop_map(|(store, nth)| Trouble::AnswerLost { store, nth }),
        3 => (call(), any::<bool>()).prop_map(|((store, nth), done)| Trouble::Killed { store, nth, done }),
    ]
}

/// Killed or not, where failures would be waited for.
fn killed() -> impl Strategy<Value = Trouble> {
    prop_oneof![
        2 => Just(Trouble::Nothing),
        3 => (any::<bool>(), 1u8..10, any::<bool>()).prop_map(|(store, nth, done)| Trouble::Killed { store, nth, done }),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        24 => (1u8..8, prop::bool::weighted(0.8), prop::bool::weighted(0.6), trouble()).prop_map(|(segments, a_has_it, b_has_it, trouble)| {
            Operation::Record { segments, a_has_it, b_has_it, trouble }
        }),
        8 => (who(), trouble()).prop_map(|(who, trouble)| Operation::Publish { who, trouble }),
        12 => (who(), trouble()).prop_map(|(who, trouble)| Operation::Acquire { who, trouble }),
        3 => who().prop_map(|who| Operation::Release { who }),
        4 => who().prop_map(|who| Operation::Restart { who }),
        8 => prop_oneof![3 => 1u32..60, 2 => 600u32..3000].prop_map(|seconds| Operation::Wait { seconds }),
        8 => (who(), trouble()).prop_map(|(who, trouble)| Operation::Fill { who, trouble }),
        9 => (2u8..40, janitors_trouble()).prop_map(|(keep, trouble)| Operation::Janitor { keep, trouble }),
        2 => (2u8..40).prop_map(|keep| Operation::TwoJanitors { keep }),
        4 => (0u8..100, 1u8..40, prop::option::of(1u16..5000)).prop_map(|(from, length, lasts)| {
            Operation::Lock { from, length, lasts }
        }),
        3 => (0u8..25, prop::bool::weighted(0.2)).prop_map(|(missed, repaired)| Operation::Replaced { missed, repaired }),
        2 => any::<u8>().prop_map(|nth| Operation::Unlock { nth }),
        1 => killed().prop_map(|trouble| Operation::Repair { trouble }),
        1 => killed().prop_map(|trouble| Operation::Reindex { trouble }),
        2 => (0u8..100, 1u8..60).prop_map(|(from, length)| Operation::Playlists { from, length }),
    ]
}

/// One of the two has the stream at first.
pub fn sequence(longest: usize) -> impl Strategy<Value = Vec<Operation>> {
    let first = who().prop_map(|who| Operation::Acquire { who, trouble: Trouble::Nothing });
    (first, prop::collection::vec(operation(), longest / 3..longest)).prop_map(|(first, mut rest)| {
        rest.insert(0, first);
        rest
    })
}
