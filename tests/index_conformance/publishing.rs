//! Publishing: fenced, idempotent, the higher epoch holds.

use crate::bed::{Bed, DAY, at, inits, range, segment, stream};
use evertape::index::{Extent, IndexErrorKind, Lease, Published, Tail};
use evertape::media::segment::LONGEST_SEGMENT_US;

pub async fn nothing_is_published_without_a_lease(bed: Bed) {
    let (name, other) = (stream("one"), stream("two"));
    let made_up = Lease { stream: name.clone(), holder: "x".into(), epoch: 0, expires: at(1000) };
    let error = bed.index.publish(&made_up, &segment(&name, 0, 0, 0, 6), &[]).await.unwrap_err();
    assert_eq!(error.kind, IndexErrorKind::Fenced);
    let lease = bed.lease(&name, "x").await;
    let wrong = Lease { epoch: lease.epoch + 1, ..lease.clone() };
    let error = bed.index.publish(&wrong, &segment(&name, 0, 1, 0, 6), &[]).await.unwrap_err();
    assert_eq!(error.kind, IndexErrorKind::Fenced);
    let error = bed.index.publish(&lease, &segment(&other, 0, 1, 0, 6), &[]).await.unwrap_err();
    assert_eq!(error.kind, IndexErrorKind::Other, "a lease is good for its own stream only");
    assert_eq!(bed.index.tail(&name).await.unwrap(), Tail::default());
    assert_eq!(bed.index.streams().await.unwrap(), [name]);
}

pub async fn a_segment_reads_back_whole(bed: Bed) {
    let name = stream("sport/uhd-1");
    let lease = bed.lease(&name, "x").await;
    let mut new = segment(&name, 7, 1, DAY - 3, 6);
    new.segment.object_offset = 123_456;
    bed.index.publish(&lease, &new, &inits()).await.unwrap();
    assert_eq!(bed.listed(&name).await, [new.segment.clone()]);
    assert_eq!(bed.index.newest(&name, at(DAY), 1).await.unwrap(), [new.segment]);
    assert_eq!(bed.index.sample_tables(&name, 7, 8).await.unwrap(), [(7, new.tables)]);
}

pub async fn a_replay_changes_nothing(bed: Bed) {
    let name = stream("one");
    let lease = bed.lease(&name, "x").await;
    for n in 0..3 {
        bed.put(&lease, &segment(&name, n, 1, n as i64 * 6, 6)).await;
    }
    let before = (bed.listed(&name).await, bed.index.tail(&name).await.unwrap());
    for n in [1, 0, 2, 2] {
        let again = bed.index.publish(&lease, &segment(&name, n, 1, n as i64 * 6, 6), &inits()).await.unwrap();
        assert_eq!(again, Published::AlreadyThere);
    }
    assert_eq!((bed.listed(&name).await, bed.index.tail(&name).await.unwrap()), before);
    // Marked is there, too: a late replay does not list it again.
    bed.index.mark_expired(&name, at(6), at(100), 1).await.unwrap();
    let again = bed.index.publish(&lease, &segment(&name, 0, 1, 0, 6), &[]).await.unwrap();
    assert_eq!(again, Published::AlreadyThere);
    assert!(bed.listed(&name).await.iter().all(|s| s.id.sequence != 0));
}

pub async fn a_higher_epoch_replaces_and_a_lower_one_does_not(bed: Bed) {
    let name = stream("one");
    let mut lease = bed.lease(&name, "x").await;
    for holder in ["y", "z"] {
        bed.index.release(&lease).await.unwrap();
        lease = bed.lease(&name, holder).await;
    }
    assert_eq!(lease.epoch, 3);
    bed.put(&lease, &segment(&name, 0, 1, 0, 6)).await;
    bed.put(&lease, &segment(&name, 1, 2, 6, 6)).await;
    let lower = bed.index.publish(&lease, &segment(&name, 1, 1, 7, 6), &inits()).await.unwrap();
    assert_eq!(lower, Published::Superseded);
    assert_eq!(bed.listed(&name).await[1], segment(&name, 1, 2, 6, 6).segment);

    // The replacement lies on another day: nothing of the old one is left anywhere.
    let mut newer = segment(&name, 1, 3, 2 * DAY, 4);
    newer.tables[1].samples.pop();
    bed.put(&lease, &newer).await;
    assert_eq!(bed.listed(&name).await, [segment(&name, 0, 1, 0, 6).segment, newer.segment.clone()]);
    assert_eq!(bed.index.window(&name, range(6, 12), None, 10).await.unwrap(), []);
    assert_eq!(bed.index.sample_tables(&name, 1, 2).await.unwrap(), [(1, newer.tables)]);
    assert_eq!(bed.index.tail(&name).await.unwrap().end, Some(at(2 * DAY + 4)));
    // And so does the first: the extent shrinks on that side.
    bed.put(&lease, &segment(&name, 0, 3, DAY, 6)).await;
    let extent = bed.index.extent(&name).await.unwrap();
    assert_eq!(extent, Some(Extent { first_start: at(DAY), live_edge: at(2 * DAY + 4), longest_us: 6_000_000 }));
    // A late replay of what was replaced.
    let late = bed.index.publish(&lease, &segment(&name, 0, 1, 0, 6), &[]).await.unwrap();
    assert_eq!(late, Published::Superseded);
    assert_eq!(bed.listed(&name).await.len(), 2);
    // What replaces a marked segment is listed.
    bed.index.mark_expired(&name, at(3 * DAY), at(4 * DAY), 10).await.unwrap();
    assert_eq!(bed.index.extent(&name).await.unwrap(), None);
    bed.index.release(&lease).await.unwrap();
    let lease = bed.lease(&name, "w").await;
    bed.put(&lease, &segment(&name, 1, 4, 2 * DAY, 5)).await;
    assert_eq!(bed.listed(&name).await, [segment(&name, 1, 4, 2 * DAY, 5).segment]);
}

pub async fn two_segments_of_one_epoch_and_number_are_an_error(bed: Bed) {
    let name = stream("one");
    let lease = bed.lease(&name, "x").await;
    bed.put(&lease, &segment(&name, 0, 1, 0, 6)).await;
    let error = bed.index.publish(&lease, &segment(&name, 0, 1, 1, 6), &[]).await.unwrap_err();
    assert_eq!(error.kind, IndexErrorKind::Damaged, "neither may be lost silently");
    assert_eq!(bed.listed(&name).await, [segment(&name, 0, 1, 0, 6).segment]);
}

pub async fn racing_publishers_leave_the_highest_epoch(bed: Bed) {
    let name = stream("one");
    let mut lease = bed.lease(&name, "holder").await;
    for n in 2..=8 {
        bed.index.release(&lease).await.unwrap();
        lease = bed.lease(&name, &format!("holder {n}")).await;
    }
    let others = [bed.another().await, bed.another().await];
    let race = (1..=8u64).flat_map(|epoch| [(epoch, 0), (epoch, 1)]).map(|(epoch, turn)| {
        let (index, lease) = (others[epoch as usize % 2].clone(), lease.clone());
        // Every epoch on a day of its own: partitions are made in the race, too.
        let new = segment(&name, 5, epoch, epoch as i64 * DAY, 6);
        tokio::spawn(async move {
            let published = index.publish(&lease, &new, &inits()).await.unwrap();
            (epoch, turn, published)
        })
    });
    let race: Vec<_> = race.collect();
    let mut written = Vec::new();
    for task in race {
        let (epoch, _, published) = task.await.unwrap();
        if published == Published::Written {
            written.push(epoch);
        }
    }
    assert!(written.contains(&8));
    let mut once = written.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), written.len(), "an object was written twice");
    assert_eq!(bed.listed(&name).await, [segment(&name, 5, 8, 8 * DAY, 6).segment]);
    assert_eq!(bed.index.sample_tables(&name, 0, 10).await.unwrap().len(), 1);
    let extent = bed.index.extent(&name).await.unwrap();
    assert_eq!(extent, Some(Extent { first_start: at(8 * DAY), live_edge: at(8 * DAY + 6), longest_us: 6_000_000 }));
}

pub async fn the_tail_follows_the_highest_number(bed: Bed) {
    let name = stream("one");
    assert_eq!(bed.index.tail(&name).await.unwrap(), Tail::default());
    let lease = bed.lease(&name, "x").await;
    assert_eq!(bed.index.tail(&name).await.unwrap(), Tail::default());
    bed.put(&lease, &segment(&name, 41, 1, 60, 6)).await;
    let tail = Tail { next_sequence: 42, discontinuity: 4, end: Some(at(66)) };
    assert_eq!(bed.index.tail(&name).await.unwrap(), tail);
    bed.put(&lease, &segment(&name, 12, 1, 0, 6)).await;
    assert_eq!(bed.index.tail(&name).await.unwrap(), tail, "an older one from the spool does not move it");
    // Neither does deletion: numbers are never used again.
    bed.index.mark_expired(&name, at(1000), at(1000), 10).await.unwrap();
    assert_eq!(bed.index.tail(&name).await.unwrap(), tail);
    let gone: Vec<_> = bed.index.deletable(&name, at(2000), 10).await.unwrap().into_iter().map(|d| d.id).collect();
    bed.index.delete(&gone).await.unwrap();
    assert_eq!(bed.index.tail(&name).await.unwrap(), tail);
    assert_eq!(bed.index.sample_tables(&name, 0, 100).await.unwrap(), []);
}

pub async fn nonsense_is_refused(bed: Bed) {
    let name = stream("one");
    let lease = bed.lease(&name, "x").await;
    let good = segment(&name, 0, 1, 0, 6);
    let mut bad = vec![good.clone(); 7];
    bad[0].segment.id.duration_us = 0;
    bad[1].segment.id.duration_us = LONGEST_SEGMENT_US + 1;
    bad[2].tables.pop();
    bad[3].segment.id.sequence = u64::MAX;
    bad[4].segment.id.start = evertape::media::UtcUs(-1);
    bad[5].segment.tracks[0].length = 1;
    bad[6].segment.id.start = evertape::media::UtcUs(i64::MAX);
    for (n, bad) in bad.iter().enumerate() {
        let error = bed.index.publish(&lease, bad, &[]).await.unwrap_err();
        assert_eq!(error.kind, IndexErrorKind::Other, "{n}");
    }
    assert_eq!(bed.index.tail(&name).await.unwrap(), Tail::default());
    assert_eq!(bed.index.sample_tables(&name, 0, u64::MAX).await.unwrap(), []);
}
