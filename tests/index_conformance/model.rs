//! Random operations against a model that does everything the slow, plain way.

use crate::bed::{Bed, LONG_US, Random, all_time, at, segment, stream};
use evertape::index::{Extent, Lease, Published, Tail};
use evertape::media::lock::{Lock, LockId};
use evertape::media::segment::SegmentWithTables;
use evertape::media::{Segment, StreamName, UtcRange, UtcUs, timeline};

const SEED: u64 = 7;
const OPERATIONS: u64 = 400;

struct Row {
    new: SegmentWithTables,
    marked: Option<UtcUs>,
}

struct Model {
    stream: StreamName,
    lease: Lease,
    /// Every segment ever made: what a replay sends.
    made: Vec<SegmentWithTables>,
    rows: Vec<Row>,
    locks: Vec<Lock>,
    tail: Tail,
    /// Of all that were ever published.
    longest_us: i64,
    /// Seconds at which the next segment starts.
    clock: i64,
}

impl Model {
    fn listed(&self) -> Vec<Segment> {
        let mut listed: Vec<Segment> =
            self.rows.iter().filter(|r| r.marked.is_none()).map(|r| r.new.segment.clone()).collect();
        listed.sort_by_key(|s| s.id.sequence);
        listed
    }

    fn publish(&mut self, new: &SegmentWithTables) -> Published {
        let id = &new.segment.id;
        if let Some(old) = self.rows.iter().position(|r| r.new.segment.id.sequence == id.sequence) {
            match self.rows[old].new.segment.id.epoch.cmp(&id.epoch) {
                std::cmp::Ordering::Greater => return Published::Superseded,
                std::cmp::Ordering::Equal => return Published::AlreadyThere,
                std::cmp::Ordering::Less => {}
            }
            self.rows.remove(old);
        }
        if id.sequence + 1 >= self.tail.next_sequence {
            let (next_sequence, discontinuity) = (id.sequence + 1, new.segment.discontinuity);
            self.tail = Tail { next_sequence, discontinuity, end: Some(id.end()) };
        }
        self.longest_us = self.longest_us.max(new.segment.longest_us());
        self.rows.push(Row { new: new.clone(), marked: None });
        Published::Written
    }
}

pub async fn random_operations_agree_with_a_naive_model(bed: Bed) {
    let mut random = Random(SEED);
    let mut models = Vec::new();
    for name in ["one", "one/two"] {
        let stream = stream(name);
        let lease = bed.lease(&stream, "x").await;
        models.push(Model {
            stream,
            lease,
            made: vec![],
            rows: vec![],
            locks: vec![],
            tail: Tail::default(),
            longest_us: 0,
            clock: 0,
        });
    }
    for step in 0..OPERATIONS {
        let which = random.below(2) as usize;
        operate(&bed, &mut models[which], &mut random, step).await;
        compare(&bed, &models[which], &mut random, step).await;
    }
    assert!(models.iter().all(|m| m.made.len() > 30 && m.rows.iter().any(|r| r.marked.is_some())));
}

async fn operate(bed: &Bed, model: &mut Model, random: &mut Random, step: u64) {
    let index = &bed.index;
    let now = at(10_000_000 + step as i64);
    match random.below(14) {
        // The next segment, now and then after a gap of up to two days.
        0..=5 => {
            if random.below(8) == 0 {
                model.clock += 1 + random.below(172_800) as i64;
            }
            let seconds = 1 + random.below(120) as i64;
            let new = segment(&model.stream, model.made.len() as u64, model.lease.epoch, model.clock, seconds);
            model.clock += seconds;
            // Some arrive late or never.
            if random.below(6) > 0 {
                publish(bed, model, &new, step).await;
            }
            model.made.push(new);
        }
        // A replay.
        6 | 7 if !model.made.is_empty() => {
            let new = model.made[random.below(model.made.len() as u64) as usize].clone();
            publish(bed, model, &new, step).await;
        }
        // A new holder, who records a number again.
        8 if !model.made.is_empty() => {
            index.release(&model.lease).await.unwrap();
            let lease = index.acquire(&model.stream, &format!("holder {step}"), now, LONG_US).await.unwrap().unwrap();
            assert_eq!(lease.epoch, model.lease.epoch + 1, "step {step}");
            model.lease = lease;
            let n = random.below(model.made.len() as u64) as usize;
            let old = &model.made[n].segment.id;
            let start = old.start.since(at(0)) / 1_000_000 + random.below(3) as i64 - 1;
            let new = segment(&model.stream, n as u64, model.lease.epoch, start.max(0), old.duration_us / 1_000_000);
            publish(bed, model, &new, step).await;
            model.made[n] = new;
        }
        9 => {
            let cutoff = at(random.below(model.clock as u64 / 2 + 1) as i64);
            index.mark_expired(&model.stream, cutoff, now, usize::MAX).await.unwrap();
            let locks = model.locks.clone();
            let expired = |s: &Segment| {
                s.id.end() <= cutoff
                    && !locks.iter().any(|l| l.expires.is_none_or(|at| at > now) && l.range.overlaps(s.range()))
            };
            for row in model.rows.iter_mut().filter(|r| r.marked.is_none() && expired(&r.new.segment)) {
                row.marked = Some(now);
            }
        }
        10 => {
            let before = now.plus_us(-(random.below(40_000_000) as i64));
            let found = index.deletable(&model.stream, before, 1000).await.unwrap();
            let mut expected: Vec<_> = model
                .rows
                .iter()
                .filter(|r| r.marked.is_some_and(|m| m < before))
                .map(|r| r.new.segment.id.clone())
                .collect();
            expected.sort_by_key(|id| (id.start, id.sequence));
            let ids: Vec<_> = found.into_iter().map(|d| d.id).collect();
            assert_eq!(ids, expected, "step {step}");
            index.delete(&ids).await.unwrap();
            model.rows.retain(|r| !ids.contains(&r.new.segment.id));
        }
        // A lock comes or goes.
        11 if model.locks.len() < 4 => {
            let from = random.below(model.clock as u64 + 1) as i64;
            let range = UtcRange::new(at(from), at(from + 1 + random.below(50_000) as i64));
            let (id, stream) = (LockId(step.into()), model.stream.clone());
            // Every third one ends by itself, some steps from now.
            let expires = step.is_multiple_of(3).then(|| now.plus_us((step % 300) as i64 * 1_000_000));
            let lock = Lock { id, stream, range, title: String::new(), created: now, expires };
            index.add_lock(&lock).await.unwrap();
            model.locks.push(lock);
        }
        11 => {
            let lock = model.locks.remove(random.below(4) as usize);
            index.remove_lock(&model.stream, lock.id).await.unwrap();
        }
        // What the bucket holds is adopted, some of it known, some superseded.
        12 if !model.made.is_empty() => {
            let from = random.below(model.made.len() as u64) as usize;
            let some: Vec<_> = model.made[from..].iter().take(8).rev().cloned().collect();
            index.adopt(&model.stream, &some, &[]).await.unwrap();
            // What another writer had, and the holder may give out yet, is left alone.
            let own = some.iter().map(|s| &s.segment.id).filter(|id| id.epoch >= model.lease.epoch);
            let next = own.map(|id| id.sequence + 1).max().unwrap_or(0).max(model.tail.next_sequence);
            for new in some.iter().rev() {
                let id = &new.segment.id;
                let known = model.rows.iter().any(|r| r.new.segment.id.sequence == id.sequence);
                if known || id.epoch >= model.lease.epoch || id.sequence < next {
                    model.publish(new);
                }
            }
        }
        13 if !model.rows.is_empty() => {
            let row = random.below(model.rows.len() as u64) as usize;
            index.mark(&[model.rows[row].new.segment.id.clone()], now).await.unwrap();
            model.rows[row].marked.get_or_insert(now);
        }
        _ => {}
    }
}

async fn publish(bed: &Bed, model: &mut Model, new: &SegmentWithTables, step: u64) {
    let got = bed.index.publish(&model.lease, new, &[]).await.unwrap();
    let expected = model.publish(new);
    if bed.exact {
        assert_eq!(got, expected, "step {step}");
    }
}

async fn compare(bed: &Bed, model: &Model, random: &mut Random, step: u64) {
    let (index, stream) = (&bed.index, &model.stream);
    let listed = model.listed();
    let context = format!("step {step}, seed {SEED}");

    assert_eq!(index.tail(stream).await.unwrap(), model.tail, "{context}");
    let first_start = listed.iter().map(|s| s.id.start).min();
    let live_edge = listed.iter().map(|s| s.id.end()).max();
    let extent = first_start.zip(live_edge).map(|(first_start, live_edge)| Extent {
        first_start,
        live_edge,
        longest_us: model.longest_us,
    });
    assert_eq!(index.extent(stream).await.unwrap(), extent, "{context}");

    let from = random.below(model.clock as u64 + 100) as i64;
    let window = UtcRange::new(at(from), at(from + random.below(200_000) as i64));
    let after = (random.below(2) == 0).then(|| random.below(model.made.len() as u64 + 1));
    let limit = random.below(20) as usize;
    let inside: Vec<Segment> = listed.iter().filter(|s| s.range().overlaps(window)).cloned().collect();
    let expected: Vec<Segment> =
        inside.iter().filter(|s| after.is_none_or(|a| s.id.sequence > a)).take(limit).cloned().collect();
    assert_eq!(index.window(stream, window, after, limit).await.unwrap(), expected, "{context}");

    let mut by_start: Vec<_> = inside.iter().map(|s| (s.id.start, s.id.sequence, s.range())).collect();
    by_start.sort_by_key(|r| (r.0, r.1));
    let mut expected = timeline::join(by_start.into_iter().map(|r| r.2), 3_000_000);
    expected.truncate(limit);
    assert_eq!(index.ranges(stream, window, 3_000_000, limit).await.unwrap(), expected, "{context}");

    let mut before: Vec<Segment> = listed.iter().filter(|s| s.id.start < window.end).cloned().collect();
    before.sort_by_key(|s| (s.id.start, s.id.sequence));
    let mut expected = before.split_off(before.len().saturating_sub(limit));
    expected.sort_by_key(|s| s.id.sequence);
    assert_eq!(index.newest(stream, window.end, limit).await.unwrap(), expected, "{context}");

    let bytes: u64 = listed.iter().map(|s| s.object_length).sum();
    assert_eq!(index.stored_bytes(stream).await.unwrap(), bytes, "{context}");
    let mut hours = std::collections::BTreeMap::new();
    for segment in &listed {
        let hour = segment.id.start.0.div_euclid(3_600_000_000) * 3_600_000_000;
        if window.contains(UtcUs(hour)) {
            *hours.entry(hour).or_insert(0) += segment.object_length;
        }
    }
    let hours: Vec<_> = hours.into_iter().map(|(hour, bytes)| (UtcUs(hour), bytes)).collect();
    assert_eq!(index.hour_bytes(stream, window).await.unwrap(), hours, "{context}");
    let mut rows: Vec<_> = model.rows.iter().map(|r| (r.new.segment.clone(), r.marked)).collect();
    rows.sort_by_key(|(s, _)| (s.id.start, s.id.sequence));
    let found = index.rows(stream, all_time(), None, 10_000).await.unwrap();
    let found: Vec<_> = found.into_iter().map(|r| (r.segment, r.marked)).collect();
    if bed.exact {
        assert_eq!(found, rows, "{context}");
    }

    let from = random.below(model.made.len() as u64 + 1);
    let to = from + random.below(30);
    let mut expected: Vec<_> = model
        .rows
        .iter()
        .map(|r| (r.new.segment.id.sequence, r.new.tables.clone()))
        .filter(|(sequence, _)| (from..to).contains(sequence))
        .collect();
    expected.sort_by_key(|t| t.0);
    assert_eq!(index.sample_tables(stream, from, to).await.unwrap(), expected, "{context}");
}
