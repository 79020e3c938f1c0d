//! Adoption, rows, marks by name, locks, bytes, the retention applied last.

use crate::bed::{Bed, DAY, LONG_US, all_time, at, inits, range, segment, stream};
use evertape::index::{Adopted, Amount, AppliedRetention, Extent, IndexErrorKind, Row, Tail};
use evertape::media::lock::{Lock, LockId};
use evertape::media::segment::{SegmentId, SegmentWithTables};
use evertape::media::{StreamName, UtcUs};

fn numbers(rows: &[Row]) -> Vec<u64> {
    rows.iter().map(|r| r.segment.id.sequence).collect()
}

fn lock(name: &StreamName, id: u128, from: i64, to: i64) -> Lock {
    Lock {
        id: LockId(id),
        stream: name.clone(),
        range: range(from, to),
        title: format!("Film {id}"),
        created: at(id as i64),
        expires: None,
    }
}

pub async fn adopted_segments_are_as_published_ones(bed: Bed) {
    let (name, other) = (stream("one"), stream("two"));
    // Several days, a gap, overlaps in time, and a number that two epochs have.
    let made = |name: &StreamName| -> Vec<SegmentWithTables> {
        let mut made: Vec<_> = (0..40).map(|n| segment(name, n, 1 + n / 20, n as i64 * DAY / 12, 100)).collect();
        made.push(segment(name, 7, 2, 7 * DAY / 12 + 3, 90));
        made
    };
    let mut lease = bed.lease(&name, "x").await;
    for new in &made(&name) {
        if new.segment.id.epoch > lease.epoch {
            bed.index.release(&lease).await.unwrap();
            lease = bed.lease(&name, "y").await;
        }
        bed.index.publish(&lease, new, &inits()).await.unwrap();
    }
    // The same in any order, in several batches.
    let mut shuffled = made(&other);
    shuffled.sort_by_key(|s| (s.segment.id.sequence * 7919 % 41, s.segment.id.epoch));
    let mut adopted = Adopted::default();
    for batch in shuffled.chunks(9) {
        adopted += bed.index.adopt(&other, batch, &inits()).await.unwrap();
    }
    if bed.exact {
        assert_eq!(adopted.kept + adopted.conflicting, 0);
        assert_eq!(adopted.written + adopted.superseded, 41);
    }
    let renamed = |segments: Vec<evertape::media::Segment>| -> Vec<_> {
        let rename = |mut s: evertape::media::Segment| {
            s.id.stream = name.clone();
            s.object = s.id.object_key().unwrap();
            s
        };
        segments.into_iter().map(rename).collect()
    };
    assert_eq!(renamed(bed.listed(&other).await), bed.listed(&name).await);
    assert_eq!(bed.index.tail(&other).await.unwrap(), bed.index.tail(&name).await.unwrap());
    assert_eq!(bed.index.extent(&other).await.unwrap(), bed.index.extent(&name).await.unwrap());
    let tables = bed.index.sample_tables(&name, 0, 100).await.unwrap();
    assert_eq!(bed.index.sample_tables(&other, 0, 100).await.unwrap(), tables);
    let hashes: Vec<_> = inits().iter().map(|i| i.hash).collect();
    assert_eq!(bed.index.inits(&other, &hashes).await.unwrap(), inits());
    assert_eq!(
        bed.index.ranges(&other, all_time(), 0, 99).await.unwrap(),
        bed.index.ranges(&name, all_time(), 0, 99).await.unwrap()
    );
    assert_eq!(bed.index.streams().await.unwrap(), [name, other.clone()]);
    // Again: nothing changes.
    let again = bed.index.adopt(&other, &shuffled, &inits()).await.unwrap();
    assert_eq!(again, Adopted { kept: 40, superseded: 1, ..Adopted::default() });
    assert_eq!(bed.index.adopt(&other, &[], &[]).await.unwrap(), Adopted::default());
    // Whoever records next writes above.
    assert_eq!(bed.lease(&other, "z").await.epoch, 3);
}

pub async fn adoption_goes_on_beside_a_recorder(bed: Bed) {
    let name = stream("one");
    let lease = bed.lease(&name, "x").await;
    bed.put(&lease, &segment(&name, 5, 1, 30, 6)).await;
    let orphans: Vec<_> = (0..5).map(|n| segment(&name, n, 1, n as i64 * 6, 6)).collect();
    bed.index.adopt(&name, &orphans, &[]).await.unwrap();
    bed.put(&lease, &segment(&name, 6, 1, 36, 6)).await;
    assert_eq!(bed.listed(&name).await.len(), 7);
    assert_eq!(bed.index.tail(&name).await.unwrap(), Tail { next_sequence: 7, discontinuity: 0, end: Some(at(42)) });
    // Objects of a later epoch than the index knows of: its holder must not write below them.
    bed.index.adopt(&name, &[segment(&name, 7, 4, 42, 6)], &[]).await.unwrap();
    let fenced = bed.index.publish(&lease, &segment(&name, 8, 1, 48, 6), &[]).await.unwrap_err();
    assert_eq!(fenced.kind, IndexErrorKind::Fenced);
    let lease = bed.index.acquire(&name, "x", at(0), LONG_US).await.unwrap().expect("its own lease");
    assert_eq!(lease.epoch, 4);
    bed.put(&lease, &segment(&name, 8, 4, 48, 6)).await;
    // A segment of another stream is no segment of this one.
    let error = bed.index.adopt(&stream("two"), &orphans, &[]).await.unwrap_err();
    assert_eq!(error.kind, IndexErrorKind::Other);
}

pub async fn void_numbers_are_taken_back(bed: Bed) {
    let name = stream("one");
    let rows: Vec<_> = (0..5).map(|n| segment(&name, n, 1, n as i64 * 6, 6)).collect();
    bed.index.adopt(&name, &rows, &inits()).await.unwrap();
    let id = |n: usize| rows[n].segment.id.clone();
    let other = |of: SegmentId| SegmentId { epoch: of.epoch + 1, ..of };
    bed.index.mark(&[id(1)], at(1000)).await.unwrap();
    // Only what is listed, and only those very ones.
    let gone = bed.index.withdraw(&name, &[id(1), other(id(2)), id(3)]).await.unwrap();
    assert!(gone == 1 || !bed.exact, "{gone}");
    assert_eq!(bed.index.tail(&name).await.unwrap(), Tail { next_sequence: 5, discontinuity: 0, end: Some(at(30)) });
    let numbers = async || bed.listed(&name).await.iter().map(|s| s.id.sequence).collect::<Vec<_>>();
    assert_eq!(numbers().await, [0, 2, 4]);
    let bytes = |n: usize| rows[n].segment.object_length;
    assert_eq!(bed.index.stored_bytes(&name).await.unwrap(), bytes(0) + bytes(2) + bytes(4));
    let tables = bed.index.sample_tables(&name, 0, 9).await.unwrap();
    assert_eq!(tables.iter().map(|t| t.0).collect::<Vec<_>>(), [0, 1, 2, 4]);
    // The newest one: whoever comes next goes on behind what is left.
    bed.index.withdraw(&name, &[id(4)]).await.unwrap();
    assert_eq!(bed.index.tail(&name).await.unwrap(), Tail { next_sequence: 3, discontinuity: 0, end: Some(at(18)) });
    assert_eq!(bed.index.extent(&name).await.unwrap().unwrap().live_edge, at(18));
    // Whoever has the stream has read the tail.
    let lease = bed.lease(&name, "x").await;
    bed.index.withdraw(&name, &[id(2)]).await.unwrap();
    assert_eq!(bed.index.tail(&name).await.unwrap().next_sequence, 3);
    bed.put(&lease, &segment(&name, 3, lease.epoch, 18, 6)).await;
    assert_eq!(numbers().await, [0, 3]);
    assert_eq!(bed.index.withdraw(&stream("two"), &[id(0)]).await.unwrap(), 0);
    assert_eq!(numbers().await, [0, 3]);
}

pub async fn a_number_that_the_holder_may_give_out_is_not_adopted(bed: Bed) {
    let name = stream("one");
    let first = bed.lease(&name, "x").await;
    bed.put(&first, &segment(&name, 0, 1, 0, 6)).await;
    bed.index.release(&first).await.unwrap();
    // "x" had stored its number 1 when it died; "y" holds the stream, and gives out number 1 some day.
    let second = bed.lease(&name, "y").await;
    let orphan = segment(&name, 1, 1, 6, 6);
    let adopt = async |segments: &[SegmentWithTables]| bed.index.adopt(&name, segments, &inits()).await.unwrap();
    assert_eq!(adopt(std::slice::from_ref(&orphan)).await, Adopted { reserved: 1, ..Adopted::default() });
    assert_eq!(bed.listed(&name).await.len(), 1);
    assert_eq!(bed.index.tail(&name).await.unwrap().next_sequence, 1);
    // Its own, stored and not committed, is nobody else's; what lies before it cannot be given out any more.
    let own = segment(&name, 3, 2, 18, 6);
    let adopted = adopt(&[segment(&name, 2, 1, 12, 6), own.clone()]).await;
    assert!(adopted == Adopted { written: 2, ..Adopted::default() } || !bed.exact, "{adopted:?}");
    let adopted = adopt(std::slice::from_ref(&orphan)).await;
    assert!(adopted == Adopted { written: 1, ..Adopted::default() } || !bed.exact, "{adopted:?}");
    bed.index.publish(&second, &own, &inits()).await.unwrap();
    // Nobody holds the stream: whoever takes it numbers behind what is there.
    bed.index.release(&second).await.unwrap();
    adopt(&[segment(&name, 4, 1, 24, 6)]).await;
    assert_eq!(bed.listed(&name).await.len(), 5);
    assert_eq!(bed.index.tail(&name).await.unwrap().next_sequence, 5);
}

pub async fn of_two_adopted_with_one_number_the_higher_epoch_holds(bed: Bed) {
    let name = stream("one");
    let two = [segment(&name, 0, 2, 3, 6), segment(&name, 0, 1, 0, 6)];
    let adopted = bed.index.adopt(&name, &two, &[]).await.unwrap();
    if bed.exact {
        assert_eq!(adopted, Adopted { written: 1, superseded: 1, ..Adopted::default() });
    }
    assert_eq!(bed.listed(&name).await, [two[0].segment.clone()]);
    let extent = Some(Extent { first_start: at(3), live_edge: at(9), longest_us: 6_000_000 });
    assert_eq!(bed.index.extent(&name).await.unwrap(), extent);
    // A third, higher, on another day.
    bed.index.adopt(&name, &[segment(&name, 0, 3, 2 * DAY, 6)], &[]).await.unwrap();
    assert_eq!(bed.listed(&name).await, [segment(&name, 0, 3, 2 * DAY, 6).segment]);
    assert_eq!(bed.index.sample_tables(&name, 0, 9).await.unwrap().len(), 1);
    let extent = Some(Extent { first_start: at(2 * DAY), live_edge: at(2 * DAY + 6), longest_us: 6_000_000 });
    assert_eq!(bed.index.extent(&name).await.unwrap(), extent);
    // Two of one epoch: the first stays, and it is said.
    let other = bed.index.adopt(&name, &[segment(&name, 0, 3, DAY, 6)], &[]).await.unwrap();
    assert_eq!(other, Adopted { conflicting: 1, ..Adopted::default() });
    // A marked one stays marked.
    bed.index.mark_expired(&name, at(3 * DAY), at(3 * DAY), 9).await.unwrap();
    bed.index.adopt(&name, &[segment(&name, 0, 3, 2 * DAY, 6)], &[]).await.unwrap();
    assert_eq!(bed.listed(&name).await, []);
}

pub async fn rows_are_paged_with_their_marks(bed: Bed) {
    let name = stream("one");
    let lease = bed.lease(&name, "x").await;
    for n in 0..9 {
        bed.put(&lease, &segment(&name, n, 1, (n as i64 - 3) * DAY / 4, 6)).await;
    }
    bed.index.mark_expired(&name, at(7), at(DAY), 100).await.unwrap();
    let all = bed.index.rows(&name, all_time(), None, 100).await.unwrap();
    assert_eq!(numbers(&all), (0..9).collect::<Vec<_>>());
    assert_eq!(all.iter().map(|r| r.marked).collect::<Vec<_>>()[2..5], [Some(at(DAY)), Some(at(DAY)), None]);
    assert_eq!(all[4].segment, segment(&name, 4, 1, DAY / 4, 6).segment);
    for row in &all {
        assert_eq!(bed.index.row(&name, row.segment.id.sequence).await.unwrap().as_ref(), Some(row));
    }
    assert_eq!(bed.index.row(&name, 9).await.unwrap(), None);
    assert_eq!(bed.index.row(&name, u64::MAX).await.unwrap(), None);
    assert_eq!(bed.index.row(&stream("nobody"), 0).await.unwrap(), None);
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let page = bed.index.rows(&name, range(0, DAY), after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.segment.id.start, last.segment.id.sequence));
        pages.push(numbers(&page));
    }
    assert_eq!(pages, [vec![3, 4], vec![5, 6]], "by start, half-open");
    assert_eq!(bed.index.rows(&name, range(6 * 3600, 6 * 3600), None, 9).await.unwrap(), []);
    assert_eq!(bed.index.rows(&name, all_time(), None, 0).await.unwrap(), []);
    // Two that start together.
    let name = stream("two");
    let lease = bed.lease(&name, "x").await;
    bed.put(&lease, &segment(&name, 0, 1, 5, 6)).await;
    bed.put(&lease, &segment(&name, 1, 1, 5, 6)).await;
    assert_eq!(numbers(&bed.index.rows(&name, all_time(), Some((at(5), 0)), 9).await.unwrap()), [1]);
}

pub async fn a_mark_by_name_meets_only_that_segment(bed: Bed) {
    let (name, other) = (stream("one"), stream("two"));
    for name in [&name, &other] {
        let lease = bed.lease(name, "x").await;
        for n in 0..4 {
            bed.put(&lease, &segment(name, n, 1, n as i64 * 6, 6)).await;
        }
    }
    let id = |name, n, epoch| segment(name, n, epoch, n as i64 * 6, 6).segment.id;
    // Locked or not: its object is gone.
    bed.index.add_lock(&lock(&name, 1, 0, 100)).await.unwrap();
    let asked = [id(&name, 0, 1), id(&name, 3, 1), id(&other, 1, 1), id(&name, 1, 2), id(&name, 9, 1)];
    let marked = bed.index.mark(&asked, at(50)).await.unwrap();
    if bed.exact {
        assert_eq!(marked, 3);
    }
    assert_eq!(bed.index.mark(&asked, at(60)).await.unwrap(), 0, "the mark keeps its first time");
    assert_eq!(bed.listed(&name).await.iter().map(|s| s.id.sequence).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(bed.listed(&other).await.len(), 3);
    assert_eq!(
        bed.index.extent(&name).await.unwrap(),
        Some(Extent { first_start: at(6), live_edge: at(18), longest_us: 6_000_000 })
    );
    let deletable = bed.index.deletable(&name, at(51), 9).await.unwrap();
    assert_eq!(deletable.iter().map(|d| d.id.sequence).collect::<Vec<_>>(), [0, 3]);
    bed.index.mark(&[id(&name, 1, 1), id(&name, 2, 1)], at(70)).await.unwrap();
    assert_eq!(bed.index.extent(&name).await.unwrap(), None);
    assert_eq!(bed.index.mark(&[], at(70)).await.unwrap(), 0);
}

pub async fn nothing_that_overlaps_a_lock_is_marked(bed: Bed) {
    let name = stream("one");
    let lease = bed.lease(&name, "x").await;
    for n in 0..20 {
        bed.put(&lease, &segment(&name, n, 1, n as i64 * 6, 6)).await;
    }
    // Of 12 to 18 the segments 2 alone; one moment more takes in a neighbour; two that overlap; one yet to come.
    let locks = [lock(&name, 1, 12, 18), lock(&name, 2, 37, 43), lock(&name, 3, 40, 60), lock(&name, 4, 500, 600)];
    for lock in &locks {
        bed.index.add_lock(lock).await.unwrap();
    }
    bed.index.add_lock(&lock(&stream("two"), 5, 0, 1000)).await.unwrap();
    let expired = bed.index.expired(&name, at(90), at(200)).await.unwrap();
    let mut marked = 0;
    for limit in [2, 1, 100] {
        let now = bed.index.mark_expired(&name, at(90), at(200), limit).await.unwrap();
        assert!(now <= limit as u64);
        marked += now;
    }
    if bed.exact {
        assert_eq!((marked, expired.segments), (10, 10));
    }
    bed.index.mark_expired(&name, at(90), at(200), 100).await.unwrap();
    let left: Vec<u64> = bed.listed(&name).await.iter().map(|s| s.id.sequence).collect();
    assert_eq!(left, [2, 6, 7, 8, 9, 15, 16, 17, 18, 19]);
    assert_eq!(
        bed.index.extent(&name).await.unwrap(),
        Some(Extent { first_start: at(12), live_edge: at(120), longest_us: 6_000_000 })
    );
    assert_eq!(bed.index.expired(&name, at(90), at(200)).await.unwrap(), Amount::default());
    // Without the lock it goes.
    assert!(bed.index.remove_lock(&name, LockId(2)).await.unwrap() || !bed.exact);
    assert!(!bed.index.remove_lock(&name, LockId(2)).await.unwrap());
    assert!(!bed.index.remove_lock(&stream("two"), LockId(1)).await.unwrap());
    let expired = bed.index.expired(&name, at(90), at(200)).await.unwrap();
    let bytes = bed.listed(&name).await[1].object_length;
    bed.index.mark_expired(&name, at(90), at(201), 100).await.unwrap();
    assert_eq!(expired, Amount { segments: 0, bytes: 0 }, "{bytes} bytes: the other lock reaches into it");
    bed.index.remove_lock(&name, LockId(3)).await.unwrap();
    assert_eq!(bed.index.expired(&name, at(90), at(200)).await.unwrap().segments, 4);
    bed.index.mark_expired(&name, at(90), at(202), 100).await.unwrap();
    let left: Vec<u64> = bed.listed(&name).await.iter().map(|s| s.id.sequence).collect();
    assert_eq!(left, [2, 15, 16, 17, 18, 19]);
}

pub async fn a_lock_that_has_expired_keeps_nothing(bed: Bed) {
    let name = stream("one");
    let lease = bed.lease(&name, "x").await;
    for n in 0..10 {
        bed.put(&lease, &segment(&name, n, 1, n as i64 * 6, 6)).await;
    }
    // The first third for good, the rest until 300.
    let locks = [lock(&name, 1, 0, 18), Lock { expires: Some(at(300)), ..lock(&name, 2, 0, 60) }];
    for lock in &locks {
        bed.index.add_lock(lock).await.unwrap();
    }
    let listed = async || bed.listed(&name).await.iter().map(|s| s.id.sequence).collect::<Vec<_>>();
    assert_eq!(bed.index.locks(&name, all_time()).await.unwrap(), locks, "it comes back as it was given");
    assert_eq!(bed.index.expired(&name, at(60), at(299)).await.unwrap().segments, 0);
    assert_eq!(bed.index.mark_expired(&name, at(60), at(299), 100).await.unwrap(), 0);
    // Its very last moment is over at 300.
    assert_eq!(bed.index.expired(&name, at(60), at(300)).await.unwrap().segments, 7);
    bed.index.mark_expired(&name, at(60), at(300), 100).await.unwrap();
    assert_eq!(listed().await, [0, 1, 2]);
    // It is shown until it is forgotten; what never expires stays.
    assert_eq!(bed.index.locks(&name, all_time()).await.unwrap().len(), 2);
    assert_eq!(bed.index.forget_locks(at(300)).await.unwrap(), 0);
    assert!(bed.index.forget_locks(at(301)).await.unwrap() == 1 || !bed.exact);
    assert_eq!(bed.index.forget_locks(at(301)).await.unwrap(), 0);
    assert_eq!(bed.index.locks(&name, all_time()).await.unwrap(), locks[..1]);
    bed.index.mark_expired(&name, at(60), at(DAY * 1000), 100).await.unwrap();
    assert_eq!(listed().await, [0, 1, 2]);
}

pub async fn locks_are_listed_by_time(bed: Bed) {
    let name = stream("one");
    let made = [lock(&name, 9, 0, 10), lock(&name, 3, 5, 7), lock(&name, 4, 5, 100)];
    for lock in made.iter().rev() {
        bed.index.add_lock(lock).await.unwrap();
        bed.index.add_lock(lock).await.unwrap();
    }
    assert_eq!(bed.index.locks(&name, all_time()).await.unwrap(), made);
    assert_eq!(bed.index.locks(&name, range(7, 10)).await.unwrap(), [made[0].clone(), made[2].clone()]);
    assert_eq!(bed.index.locks(&name, range(-5, 0)).await.unwrap(), []);
    assert_eq!(bed.index.locks(&stream("two"), all_time()).await.unwrap(), []);
    let bad = [
        Lock { range: range(5, 5), ..made[0].clone() },
        Lock { title: "x".repeat(501), id: LockId(77), ..made[0].clone() },
    ];
    for bad in bad {
        assert_eq!(bed.index.add_lock(&bad).await.unwrap_err().kind, IndexErrorKind::Other);
    }
    let unusual = Lock { id: LockId(u128::MAX), title: "Пятница, 13-е '; --".into(), ..made[0].clone() };
    bed.index.add_lock(&unusual).await.unwrap();
    assert!(bed.index.locks(&name, all_time()).await.unwrap().contains(&unusual));
}

pub async fn bytes_are_counted(bed: Bed) {
    let (name, other) = (stream("one"), stream("two"));
    let sum = async |name: &StreamName| bed.listed(name).await.iter().map(|s| s.object_length).sum::<u64>();
    let check = async |what: &str| {
        let (one, two) = (sum(&name).await, sum(&other).await);
        assert_eq!(bed.index.stored_bytes(&name).await.unwrap(), one, "{what}");
        let all: Vec<_> = [(name.clone(), one), (other.clone(), two)].into_iter().filter(|(_, b)| *b > 0).collect();
        assert_eq!(bed.index.all_stored_bytes().await.unwrap(), all, "{what}");
    };
    check("nothing").await;
    let lease = bed.lease(&name, "x").await;
    for n in 0..12 {
        bed.put(&lease, &segment(&name, n, 1, n as i64 * 1000, 6)).await;
    }
    check("published").await;
    bed.index.publish(&lease, &segment(&name, 3, 1, 3000, 6), &[]).await.unwrap();
    check("published again").await;
    bed.index.release(&lease).await.unwrap();
    let lease = bed.lease(&name, "y").await;
    let mut larger = segment(&name, 3, 2, DAY, 6);
    larger.segment.object_length += 1000;
    bed.put(&lease, &larger).await;
    check("replaced").await;
    let adopted: Vec<_> = (0..9).map(|n| segment(&other, n, 1, n as i64 * 600, 6)).collect();
    bed.index.adopt(&other, &adopted, &[]).await.unwrap();
    check("adopted").await;
    bed.index.mark_expired(&name, at(5000), at(DAY), 100).await.unwrap();
    bed.index.mark(&[adopted[8].segment.id.clone()], at(DAY)).await.unwrap();
    check("marked").await;
    for name in [&name, &other] {
        let gone = bed.index.deletable(name, at(2 * DAY), 100).await.unwrap();
        bed.index.delete(&gone.into_iter().map(|d| d.id).collect::<Vec<_>>()).await.unwrap();
    }
    check("deleted").await;
    let marked_and_replaced = segment(&name, 5, 2, 5000, 6);
    bed.index.mark_expired(&name, at(5100), at(DAY), 100).await.unwrap();
    bed.put(&lease, &marked_and_replaced).await;
    check("replaced while marked").await;
    bed.index.mark_expired(&name, at(3 * DAY), at(3 * DAY), 100).await.unwrap();
    check("all marked").await;
    assert_eq!(bed.index.stored_bytes(&name).await.unwrap(), 0);
}

pub async fn the_newest_bytes_begin_at_a_moment(bed: Bed) {
    let (name, other) = (stream("one"), stream("two"));
    for (name, shift) in [(&name, 0), (&other, 1800)] {
        let segments: Vec<_> = (0..24).map(|n| segment(name, n, 1, shift + n as i64 * 1000, 100)).collect();
        bed.index.adopt(name, &segments, &[]).await.unwrap();
    }
    assert_eq!(bed.index.bytes_cutoff(Some(&stream("three")), 0).await.unwrap(), None);
    let all = bed.index.stored_bytes(&name).await.unwrap();
    for keep in [0, 1, all / 3, all / 2, all - 1] {
        let cutoff = bed.index.bytes_cutoff(Some(&name), keep).await.unwrap().expect("not all fits");
        let listed = bed.listed(&name).await;
        let left: Vec<_> = listed.iter().filter(|s| s.id.end() > cutoff).collect();
        let bytes: u64 = left.iter().map(|s| s.object_length).sum();
        let next = listed.iter().rev().nth(left.len()).map_or(0, |s| s.object_length);
        assert!(bytes <= keep && bytes + next > keep, "{keep}: {bytes} are left, {next} would fit");
    }
    assert_eq!(bed.index.bytes_cutoff(Some(&name), all).await.unwrap(), None);
    // Over all streams.
    let all: u64 = bed.index.all_stored_bytes().await.unwrap().iter().map(|s| s.1).sum();
    assert_eq!(bed.index.bytes_cutoff(None, all).await.unwrap(), None);
    let keep = all / 4;
    let cutoff = bed.index.bytes_cutoff(None, keep).await.unwrap().expect("not all fits");
    for name in [&name, &other] {
        bed.index.mark_expired(name, cutoff, at(DAY), 100).await.unwrap();
    }
    let left: u64 = bed.index.all_stored_bytes().await.unwrap().iter().map(|s| s.1).sum();
    let largest = bed.listed(&name).await.iter().map(|s| s.object_length).max().unwrap_or(0);
    assert!(left <= keep && left + 3 * largest > keep, "{left} of {keep}");
    assert!(bed.listed(&name).await.len() > 4 && bed.listed(&other).await.len() > 4, "both keep their newest");
    assert_eq!(bed.index.bytes_cutoff(None, keep).await.unwrap(), None);
}

pub async fn the_retention_applied_last_is_remembered(bed: Bed) {
    let name = stream("one");
    assert_eq!(bed.index.applied_retention(&name).await.unwrap(), None);
    for (setting, cutoff) in [("7d", UtcUs(5)), ("30d", UtcUs(-7))] {
        let applied = AppliedRetention { setting: setting.into(), cutoff };
        bed.index.set_applied_retention(&name, &applied).await.unwrap();
        assert_eq!(bed.index.applied_retention(&name).await.unwrap(), Some(applied));
    }
    assert_eq!(bed.index.applied_retention(&stream("two")).await.unwrap(), None);
}
