//! Several recorders: free numbers that are filled, signs of life.

use crate::bed::{Bed, at, inits, segment, stream};
use evertape::index::{Extent, IndexErrorKind, Published, RecorderBeat};

pub async fn free_numbers_are_filled_by_anybody(bed: Bed) {
    let name = stream("one");
    let lease = bed.lease(&name, "x").await;
    bed.put(&lease, &segment(&name, 0, 1, 0, 6)).await;
    bed.put(&lease, &segment(&name, 4, 1, 24, 6)).await;
    let tail = bed.index.tail(&name).await.unwrap();
    for n in [2, 1, 2] {
        let filled = bed.index.fill(&segment(&name, n, 0, n as i64 * 6, 6), &inits()).await.unwrap();
        assert_ne!(filled, Published::Superseded);
    }
    let numbers: Vec<u64> = bed.listed(&name).await.iter().map(|s| s.id.sequence).collect();
    assert_eq!(numbers, [0, 1, 2, 4]);
    assert_eq!(bed.index.tail(&name).await.unwrap(), tail, "the tail stays");
    assert_eq!(bed.index.sample_tables(&name, 1, 3).await.unwrap().len(), 2);
    let extent = bed.index.extent(&name).await.unwrap();
    assert_eq!(extent, Some(Extent { first_start: at(0), live_edge: at(30), longest_us: 6_000_000 }));
}

pub async fn a_fill_changes_nothing_that_is_there(bed: Bed) {
    let name = stream("one");
    let lease = bed.lease(&name, "x").await;
    bed.put(&lease, &segment(&name, 1, 1, 6, 6)).await;
    bed.put(&lease, &segment(&name, 4, 1, 24, 6)).await;
    let before = bed.listed(&name).await;
    // A number that is taken, also by a lower epoch; times that do not fit between the neighbours.
    for wrong in [
        segment(&name, 4, 9, 24, 5),
        segment(&name, 2, 0, 11, 6),
        segment(&name, 3, 0, 19, 6),
        segment(&name, 2, 0, 40, 6),
        segment(&name, 0, 0, 2, 6),
    ] {
        assert_eq!(bed.index.fill(&wrong, &inits()).await.unwrap(), Published::Superseded, "{:?}", wrong.segment.id);
    }
    for beyond in [5, 6] {
        let error = bed.index.fill(&segment(&name, beyond, 0, 60, 6), &[]).await.unwrap_err();
        assert_eq!(error.kind, IndexErrorKind::Other);
    }
    let error = bed.index.fill(&segment(&stream("two"), 0, 0, 0, 6), &[]).await.unwrap_err();
    assert_eq!(error.kind, IndexErrorKind::Other);
    assert_eq!(bed.listed(&name).await, before);
}

pub async fn two_that_fill_one_number_leave_one(bed: Bed) {
    let name = stream("one");
    let lease = bed.lease(&name, "x").await;
    bed.put(&lease, &segment(&name, 0, 1, 0, 6)).await;
    bed.put(&lease, &segment(&name, 9, 1, 60, 6)).await;
    let other = bed.another().await;
    let (a, b) = (segment(&name, 5, 0, 30, 6), segment(&name, 5, 0, 31, 6));
    let (first, second) = tokio::join!(bed.index.fill(&a, &[]), other.fill(&b, &[]));
    let lost = [first.unwrap(), second.unwrap()].iter().filter(|p| **p == Published::Superseded).count();
    assert_eq!(lost, 1);
    assert_eq!(bed.listed(&name).await.len(), 3);
}

pub async fn signs_of_life_are_seen_by_all(bed: Bed) {
    let beat = |name: &str, held| RecorderBeat {
        recorder: name.into(),
        beat: 0,
        seen: at(1000),
        capacity: (name == "a").then_some(7),
        held,
        leaving: held == 3,
        begun: at(0),
    };
    bed.index.beat(&beat("a", 1)).await.unwrap();
    let first = bed.index.beat(&beat("b", 2)).await.unwrap();
    assert_eq!(first.iter().map(|b| b.recorder.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let again = bed.index.beat(&beat("a", 3)).await.unwrap();
    assert!(again[0].beat > first[0].beat && again[1].beat == first[1].beat);
    assert_eq!((again[0].capacity, again[0].held, again[0].leaving), (Some(7), 3, true));
    assert_eq!((again[1].capacity, again[1].held, again[1].leaving), (None, 2, false));
    // One that has been silent for weeks is forgotten.
    let again = RecorderBeat { begun: at(7), ..beat("c", 0) };
    assert!(bed.index.beat(&again).await.unwrap().iter().any(|b| b.recorder == "c" && b.begun == at(7)));
    let late = RecorderBeat { seen: at(1000 + 30 * 86_400), ..beat("c", 0) };
    let left = bed.index.beat(&late).await.unwrap();
    assert_eq!(left.iter().map(|b| b.recorder.as_str()).collect::<Vec<_>>(), ["c"]);
}
