//! Deletion in two steps.

use crate::bed::{Bed, DAY, all_time, at, range, segment, stream};
use evertape::index::{Deletable, Extent};
use evertape::media::segment::SegmentId;

fn ids(deletable: &[Deletable]) -> Vec<SegmentId> {
    deletable.iter().map(|d| d.id.clone()).collect()
}

pub async fn marked_segments_are_not_listed_but_known(bed: Bed) {
    let name = stream("one");
    let lease = bed.lease(&name, "x").await;
    for n in 0..4 {
        bed.put(&lease, &segment(&name, n, 1, n as i64 * 6, 6)).await;
    }
    let tail = bed.index.tail(&name).await.unwrap();
    bed.index.mark_expired(&name, at(12), at(100), 100).await.unwrap();
    let listed = bed.listed(&name).await;
    assert_eq!(listed, [segment(&name, 2, 1, 12, 6).segment, segment(&name, 3, 1, 18, 6).segment]);
    assert_eq!(bed.index.newest(&name, at(100), 10).await.unwrap(), listed);
    assert_eq!(
        bed.index.extent(&name).await.unwrap(),
        Some(Extent { first_start: at(12), live_edge: at(24), longest_us: 6_000_000 })
    );
    assert_eq!(bed.index.ranges(&name, all_time(), 0, 10).await.unwrap(), [range(12, 24)]);
    assert_eq!(bed.index.tail(&name).await.unwrap(), tail);
    assert_eq!(bed.index.sample_tables(&name, 0, 4).await.unwrap().len(), 4, "an export still needs them");
    // Until nothing is left.
    bed.index.mark_expired(&name, at(24), at(100), 100).await.unwrap();
    assert_eq!(bed.listed(&name).await, []);
    assert_eq!(bed.index.extent(&name).await.unwrap(), None);
    assert_eq!(bed.index.tail(&name).await.unwrap(), tail);
    // The longest is remembered when nothing is left.
    bed.put(&lease, &segment(&name, 4, 1, 90, 4)).await;
    let extent = Extent { first_start: at(90), live_edge: at(94), longest_us: 6_000_000 };
    assert_eq!(bed.index.extent(&name).await.unwrap(), Some(extent));
}

pub async fn marking_goes_oldest_first(bed: Bed) {
    let name = stream("one");
    let lease = bed.lease(&name, "x").await;
    for n in 0..6 {
        bed.put(&lease, &segment(&name, n, 1, DAY - 12 + n as i64 * 6, 6)).await;
    }
    if bed.exact {
        assert_eq!(bed.index.mark_expired(&name, at(DAY + 17), at(DAY), 3).await.unwrap(), 3);
        assert_eq!(bed.listed(&name).await[0].id.sequence, 3);
        assert_eq!(bed.index.mark_expired(&name, at(DAY + 17), at(DAY), 3).await.unwrap(), 1);
        assert_eq!(bed.index.mark_expired(&name, at(DAY + 17), at(DAY), 3).await.unwrap(), 0);
        assert_eq!(bed.index.mark_expired(&name, at(DAY + 18), at(DAY), 0).await.unwrap(), 0);
    } else {
        bed.index.mark_expired(&name, at(DAY + 17), at(DAY), 100).await.unwrap();
    }
    let left: Vec<_> = bed.listed(&name).await.iter().map(|s| s.id.sequence).collect();
    assert_eq!(left, [4, 5], "what ends a second after the cutoff stays");
    // What ended last is marked first when it started first: the live edge falls back.
    if bed.exact {
        let name = stream("overlapping");
        let lease = bed.lease(&name, "x").await;
        bed.put(&lease, &segment(&name, 0, 1, 0, 100)).await;
        bed.put(&lease, &segment(&name, 1, 1, 10, 6)).await;
        assert_eq!(bed.index.mark_expired(&name, at(100), at(DAY), 1).await.unwrap(), 1);
        let extent = Extent { first_start: at(10), live_edge: at(16), longest_us: 100_000_000 };
        assert_eq!(bed.index.extent(&name).await.unwrap(), Some(extent));
    }
    let first_two = bed.index.deletable(&name, at(DAY + 1), 2).await.unwrap();
    assert_eq!(first_two.iter().map(|d| d.id.sequence).collect::<Vec<_>>(), [0, 1]);
}

pub async fn only_marked_segments_are_deleted_and_after_their_grace(bed: Bed) {
    let name = stream("one");
    let lease = bed.lease(&name, "x").await;
    for n in 0..4 {
        bed.put(&lease, &segment(&name, n, 1, n as i64 * 6, 6)).await;
    }
    bed.index.mark_expired(&name, at(6), at(100), 100).await.unwrap();
    bed.index.mark_expired(&name, at(12), at(200), 100).await.unwrap();
    assert_eq!(bed.index.deletable(&name, at(100), 10).await.unwrap(), [], "marked at, not before");
    let first = bed.index.deletable(&name, at(200), 10).await.unwrap();
    let expected = segment(&name, 0, 1, 0, 6).segment;
    assert_eq!(first, [Deletable { id: expected.id, object: expected.object }], "the mark keeps its first time");
    assert_eq!(bed.index.deletable(&name, at(201), 10).await.unwrap().len(), 2);
    // A caller that asks too much: listed ones stay.
    let all: Vec<_> = (0..4).map(|n| segment(&name, n, 1, n as i64 * 6, 6).segment.id).collect();
    bed.index.delete(&ids(&first)).await.unwrap();
    assert_eq!(bed.index.sample_tables(&name, 0, 4).await.unwrap().len(), 3);
    bed.index.delete(&all).await.unwrap();
    bed.index.delete(&all).await.unwrap();
    assert_eq!(bed.listed(&name).await.len(), 2);
    assert_eq!(bed.index.deletable(&name, at(DAY), 10).await.unwrap(), []);
    let left: Vec<_> = bed.index.sample_tables(&name, 0, 4).await.unwrap().iter().map(|t| t.0).collect();
    assert_eq!(left, [2, 3]);
}

pub async fn a_replacement_is_not_deleted_in_the_place_of_the_old(bed: Bed) {
    let name = stream("one");
    let lease = bed.lease(&name, "x").await;
    bed.put(&lease, &segment(&name, 0, 1, 0, 6)).await;
    bed.index.mark_expired(&name, at(6), at(100), 10).await.unwrap();
    let old = bed.index.deletable(&name, at(200), 10).await.unwrap();
    bed.index.release(&lease).await.unwrap();
    let lease = bed.lease(&name, "y").await;
    let new = segment(&name, 0, 2, 0, 6);
    bed.put(&lease, &new).await;
    bed.index.mark_expired(&name, at(6), at(300), 10).await.unwrap();
    bed.index.delete(&ids(&old)).await.unwrap();
    assert_eq!(ids(&bed.index.deletable(&name, at(301), 10).await.unwrap()), [new.segment.id]);
    assert_eq!(bed.index.sample_tables(&name, 0, 1).await.unwrap(), [(0, new.tables)]);
}
