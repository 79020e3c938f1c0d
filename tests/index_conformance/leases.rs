//! Leases: one writer for each stream, fenced by epochs.

use crate::bed::{Bed, at, segment, stream};
use evertape::index::IndexErrorKind;

const TTL_US: i64 = 10_000_000;

pub async fn one_holder_at_a_time(bed: Bed) {
    let name = stream("sport/uhd-1");
    let first = bed.index.acquire(&name, "a", at(0), TTL_US).await.unwrap().unwrap();
    assert_eq!((first.epoch, first.expires, first.holder.as_str()), (1, at(10), "a"));
    assert_eq!(bed.index.acquire(&name, "b", at(9), TTL_US).await.unwrap(), None);
    let again = bed.index.acquire(&name, "a", at(5), TTL_US).await.unwrap().unwrap();
    assert_eq!((again.epoch, again.expires), (1, at(15)), "the holder keeps its epoch");
    assert_eq!(bed.index.acquire(&name, "b", at(14), TTL_US).await.unwrap(), None);
    let longer = bed.index.renew(&again, at(14), TTL_US).await.unwrap();
    assert_eq!((longer.epoch, longer.expires), (1, at(24)));
    assert_eq!(bed.index.acquire(&name, "b", at(23), TTL_US).await.unwrap(), None);
    // Anybody may ask who it is, however long ago it lapsed.
    assert_eq!(bed.index.holder(&name).await.unwrap(), Some(longer.clone()));
    assert_eq!(bed.index.holder(&stream("nobody")).await.unwrap(), None);
    bed.index.release(&longer).await.unwrap();
    assert_eq!(bed.index.holder(&name).await.unwrap(), None);
}

pub async fn a_lapsed_lease_is_taken_over_and_the_old_holder_fenced(bed: Bed) {
    let name = stream("one");
    let old = bed.index.acquire(&name, "a", at(0), TTL_US).await.unwrap().unwrap();
    bed.put(&old, &segment(&name, 0, 1, 0, 6)).await;
    // Lapsed, but nobody has taken it: it is still the holder's.
    let old = bed.index.renew(&old, at(30), TTL_US).await.unwrap();
    let new = bed.index.acquire(&name, "b", at(40), TTL_US).await.unwrap().expect("it lapses at its expiry");
    assert_eq!(new.epoch, 2);
    let renewed = bed.index.renew(&old, at(41), TTL_US).await.unwrap_err();
    assert_eq!(renewed.kind, IndexErrorKind::Fenced);
    let published = bed.index.publish(&old, &segment(&name, 1, 1, 6, 6), &[]).await.unwrap_err();
    assert_eq!(published.kind, IndexErrorKind::Fenced);
    let replayed = bed.index.publish(&old, &segment(&name, 0, 1, 0, 6), &[]).await.unwrap_err();
    assert_eq!(replayed.kind, IndexErrorKind::Fenced, "even what is there already");
    assert_eq!(bed.listed(&name).await.len(), 1);
    // The old holder gives up what is no longer its own: nothing happens.
    bed.index.release(&old).await.unwrap();
    bed.index.renew(&new, at(42), TTL_US).await.unwrap();
    // The new holder publishes what the old one cut.
    bed.put(&new, &segment(&name, 1, 1, 6, 6)).await;
    assert_eq!(bed.listed(&name).await.len(), 2);
    assert_eq!(bed.index.acquire(&name, "a", at(43), TTL_US).await.unwrap(), None);
}

pub async fn a_released_lease_is_free_at_once(bed: Bed) {
    let name = stream("one");
    let first = bed.index.acquire(&name, "a", at(0), TTL_US).await.unwrap().unwrap();
    bed.index.release(&first).await.unwrap();
    bed.index.release(&first).await.unwrap();
    let fenced = bed.index.renew(&first, at(1), TTL_US).await.unwrap_err();
    assert_eq!(fenced.kind, IndexErrorKind::Fenced, "what was given up does not come back");
    let second = bed.index.acquire(&name, "b", at(1), TTL_US).await.unwrap().expect("free at once");
    assert_eq!(second.epoch, 2);
    bed.index.release(&second).await.unwrap();
    assert_eq!(bed.index.acquire(&name, "b", at(2), TTL_US).await.unwrap().unwrap().epoch, 3);
}

pub async fn streams_are_named_from_their_first_lease(bed: Bed) {
    assert_eq!(bed.index.streams().await.unwrap(), []);
    for name in ["b", "a/b", "B", "a-b", "a"] {
        bed.lease(&stream(name), "x").await;
    }
    bed.index.set_uncarried(&stream("never-recorded"), &[]).await.unwrap();
    let mut expected = ["b", "a/b", "B", "a-b", "a"].map(stream);
    expected.sort();
    assert_eq!(bed.index.streams().await.unwrap(), expected);
}
