//! Janitors, locks, repair, reindexing, playlists; and what each of them may have changed.

use crate::operations::{Trouble, Who};
use crate::recorded::all_time;
use crate::world::{GRACE_S, Known, SECONDS, World, slot_start};
use evertape::check::{self, Kind, Options};
use evertape::container::cmaf;
use evertape::index::{self, Index, Row};
use evertape::janitor::{Keep, Mode, Rules, round};
use evertape::media::lock::{Lock, LockId};
use evertape::media::segment::SegmentId;
use evertape::media::{ObjectKey, UtcRange, UtcUs};
use evertape::store::faults::Operation as StoreCall;
use evertape::store::{self, ObjectStore};
use evertape::web::{self, PlaybackOptions};
use metrics_exporter_prometheus::PrometheusBuilder;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What an operation may have done to rows.
#[derive(Debug, Clone, Copy, Default)]
struct Permitted {
    /// Mark what ends before or at this moment and is not locked.
    mark: Option<UtcUs>,
    /// Delete what was marked before this moment.
    delete: Option<UtcUs>,
    /// Adopt objects of the bucket.
    adopt: bool,
}

impl World {
    pub async fn actual_rows(&self) -> Result<Vec<Row>, String> {
        self.index.rows(&self.stream, all_time(), None, usize::MAX).await.map_err(|e| e.to_string())
    }

    pub async fn objects(&self) -> BTreeMap<String, u64> {
        let all = self.store.list("", None, 1_000_000).await.expect("the store lists");
        all.into_iter().map(|o| (o.key.to_string(), o.object_bytes)).filter(|(k, _)| k.ends_with(".cmfs")).collect()
    }

    fn is_locked(&self, range: UtcRange) -> bool {
        let holds = |l: &&Lock| l.expires.is_none_or(|at| at > self.now);
        self.locks.iter().filter(holds).any(|l| l.range.overlaps(range))
    }

    fn is_to_be_marked(&self, row: &Known, cutoff: UtcUs) -> bool {
        row.id.end() <= cutoff && !self.is_locked(UtcRange::new(row.id.start, row.id.end()))
    }

    /// Takes over into the model what an operation has changed, if it may have.
    async fn reconcile(&mut self, permitted: Permitted) -> Result<(), String> {
        let actual: BTreeMap<u64, Row> =
            self.actual_rows().await?.into_iter().map(|r| (r.segment.id.sequence, r)).collect();
        let objects = self.objects().await;
        let (mut marked, mut deleted, mut adopted) = (0, 0, 0);
        for (number, known) in self.rows.clone() {
            let Some(row) = actual.get(&number) else {
                let over = known.marked.zip(permitted.delete).is_some_and(|(marked, before)| marked < before);
                if !over {
                    return Err(format!("the row of {} is gone; marked {:?}", known.object, known.marked));
                }
                if objects.contains_key(known.object.as_str()) {
                    return Err(format!("the row of {} is gone, its object is not", known.object));
                }
                self.rows.remove(&number);
                deleted += 1;
                continue;
            };
            if row.segment.object != known.object {
                let higher = row.segment.id.epoch > known.id.epoch;
                let same_piece = row.segment.id.start == known.id.start;
                if !(permitted.adopt && higher && (same_piece || known.marked.is_some())) {
                    return Err(format!("{} has taken the place of {}", row.segment.object, known.object));
                }
                self.rows.insert(number, of_row(row));
                continue;
            }
            match (known.marked, row.marked) {
                (None, Some(at)) => {
                    if !permitted.mark.is_some_and(|cutoff| self.is_to_be_marked(&known, cutoff)) {
                        return Err(format!("{} was unlisted", known.object));
                    }
                    self.expired.insert(known.slot());
                    if let Some(known) = self.rows.get_mut(&number) {
                        known.marked = Some(at);
                    }
                    marked += 1;
                }
                (before, after) if before == after => {}
                other => return Err(format!("{} is marked otherwise: {other:?}", known.object)),
            }
        }
        for (number, row) in &actual {
            if self.rows.contains_key(number) {
                continue;
            }
            if !permitted.adopt || !objects.contains_key(row.segment.object.as_str()) {
                return Err(format!("a row from nowhere: {}", row.segment.object));
            }
            self.rows.insert(*number, of_row(row));
            adopted += 1;
        }
        self.count("rows marked", marked);
        self.count("rows deleted", deleted);
        self.count("rows adopted", adopted);
        Ok(())
    }

    fn rules(&self, keep: u8) -> Rules {
        let age = Duration::from_secs(u64::from(keep) * SECONDS as u64);
        Rules {
            streams: vec![(self.stream.clone(), Keep { age: Some(age), bytes: None })],
            max_bytes: None,
            grace: Duration::from_secs(GRACE_S as u64),
            interval: Duration::from_secs(30),
        }
    }

    fn permitted(&self, keep: u8) -> Permitted {
        Permitted {
            mark: Some(self.now.plus_us(-i64::from(keep) * SECONDS * 1_000_000)),
            delete: Some(self.now.plus_us(-GRACE_S * 1_000_000)),
            adopt: false,
        }
    }

    /// What a whole round leaves: by arithmetic.
    fn is_done(&self, permitted: Permitted) -> Result<(), String> {
        let (mark, delete) = (permitted.mark.unwrap_or(UtcUs(0)), permitted.delete.unwrap_or(UtcUs(0)));
        for known in self.rows.values() {
            if known.marked.is_none() && self.is_to_be_marked(known, mark) {
                return Err(format!("{} has expired and is listed", known.object));
            }
            if known.marked.is_some_and(|m| m < delete) {
                return Err(format!("the grace of {} is over and it is there", known.object));
            }
        }
        Ok(())
    }

    pub async fn janitor(&mut self, keep: u8, trouble: Trouble) -> Result<(), String> {
        let troubled = self.troubled(trouble, &[StoreCall::Delete]);
        let (rules, permitted, now) = (self.rules(keep), self.permitted(keep), self.now);
        let mode = Mode { force: true, dry_run: false, to_the_end: true };
        let done = troubled.until_killed(round(&*troubled.store, &*troubled.index, &rules, mode, now)).await;
        self.reconcile(permitted).await?;
        match done {
            None => {
                self.count("killed in the middle", 1);
                Ok(())
            }
            Some(_) if troubled.injected() > 0 => Ok(()),
            Some(rounds) => {
                for (_, round) in rounds.map_err(|e| e.to_string())? {
                    round.map_err(|e| format!("a round failed by itself: {e:#}"))?;
                }
                self.is_done(permitted)?;
                self.forget_locks();
                Ok(())
            }
        }
    }

    pub async fn two_janitors(&mut self, keep: u8) -> Result<(), String> {
        let (rules, permitted, now) = (self.rules(keep), self.permitted(keep), self.now);
        let other = index::open(&self.url).await.map_err(|e| e.to_string())?;
        let mode = Mode { force: true, dry_run: false, to_the_end: true };
        let (one, two) = tokio::join!(
            round(&*self.store, &*self.index, &rules, mode, now),
            round(&*self.store, &*other, &rules, mode, now)
        );
        for (_, round) in one.map_err(|e| e.to_string())?.into_iter().chain(two.map_err(|e| e.to_string())?) {
            round.map_err(|e| format!("a round beside another failed: {e:#}"))?;
        }
        self.reconcile(permitted).await?;
        self.forget_locks();
        self.is_done(permitted)
    }

    /// The janitor forgets locks that have expired for as long as the grace.
    fn forget_locks(&mut self) {
        let before = self.now.plus_us(-GRACE_S * 1_000_000);
        self.locks.retain(|l| l.expires.is_none_or(|at| at >= before));
    }

    pub async fn lock(&mut self, from: u8, length: u8, lasts: Option<u16>) -> Result<(), String> {
        self.made += 1;
        let from = i64::from(from) * self.source / 100;
        let lock = Lock {
            id: LockId(self.made.into()),
            stream: self.stream.clone(),
            range: UtcRange::new(slot_start(from).plus_us(1), slot_start(from + i64::from(length))),
            title: String::new(),
            created: self.now,
            expires: lasts.map(|s| self.now.plus_us(i64::from(s) * 1_000_000)),
        };
        self.index.add_lock(&lock).await.map_err(|e| e.to_string())?;
        self.locks.push(lock);
        Ok(())
    }

    pub async fn unlock(&mut self, nth: u8) -> Result<(), String> {
        if self.locks.is_empty() {
            return Ok(());
        }
        let lock = self.locks.remove(usize::from(nth) % self.locks.len());
        // One that has expired may have been forgotten by a round that was killed.
        let there = self.index.remove_lock(&self.stream, lock.id).await.map_err(|e| e.to_string())?;
        let expired = lock.expires.is_some_and(|at| at < self.now);
        if there || expired { Ok(()) } else { Err(format!("the lock {} was not there", lock.id)) }
    }

    pub async fn repair(&mut self, trouble: Trouble) -> Result<(), String> {
        let troubled = self.troubled(trouble, &[StoreCall::Get, StoreCall::List, StoreCall::Head]);
        let options = Options { deep: true, repair: true, most_named: 10, ..Options::default() };
        // Late enough that nothing is too young.
        let later = self.now.plus_us(3_600_000_000);
        let work = check::check(troubled.store.clone(), troubled.index.clone(), options, Arc::default(), later);
        let done = troubled.until_killed(work).await;
        self.reconcile(Permitted { adopt: true, ..Permitted::default() }).await?;
        let Some(report) = done else {
            self.count("killed in the middle", 1);
            return Ok(());
        };
        let report = report.map_err(|e| e.to_string())?;
        self.count("checks to the end", 1);
        for (kind, group) in &report.findings {
            let harmless = matches!(kind, Kind::SupersededObject | Kind::ConflictingObject);
            // A number that the holder may give out yet, or that was another's already.
            let reserved =
                *kind == Kind::ObjectWithoutRow && (self.lease.is_some() || !self.void_objects(false).await.is_empty());
            if !harmless && !reserved && group.repaired < group.count {
                return Err(format!("{kind:?} is left: {report}"));
            }
        }
        Ok(())
    }

    /// Objects that no row names, and that have no place among the rows: their number was void when they were stored, or
    /// what took it has gone since. `miscounted`: only those whose discontinuities do not fit.
    async fn void_objects(&self, miscounted: bool) -> Vec<ObjectKey> {
        let named = |key: &String| self.rows.values().any(|r| r.object.as_str() == key);
        let keys = self.objects().await.into_keys().filter(|key| !named(key));
        let mut void = Vec::new();
        for key in keys.filter_map(|key| ObjectKey::parse(&key)) {
            let Some(id) = SegmentId::parse_object_key(&key) else { continue };
            let bytes = store::read_all(&*self.store, &key, 0..1 << 30).await.expect("an object");
            let discontinuity = cmaf::read_segment(&key, &bytes).expect("a segment").segment.discontinuity;
            let is_out_of_order = self.rows.values().any(|r| match r.id.sequence.cmp(&id.sequence) {
                Ordering::Less => (id.epoch > 0 && r.id.epoch > id.epoch) || r.id.end() > id.start,
                Ordering::Greater => r.id.start < id.end(),
                Ordering::Equal => false,
            });
            let is_miscounted = self.rows.values().any(|r| match r.id.sequence.cmp(&id.sequence) {
                Ordering::Less => r.discontinuity > discontinuity,
                Ordering::Greater => r.discontinuity < discontinuity,
                Ordering::Equal => false,
            });
            if is_miscounted || (is_out_of_order && !miscounted) {
                void.push(key);
            }
        }
        void
    }

    /// From an empty index; what was listed must be listed, as it was.
    pub async fn reindex(&mut self, trouble: Trouble) -> Result<(), String> {
        let before = self.actual_rows().await?;
        // Beside what was filled in, and has no epoch, the bucket alone cannot tell which of the two is miscounted.
        let miscounted = self.void_objects(true).await;
        self.store.delete(&miscounted).await.map_err(|e| e.to_string())?;
        self.count("miscounted objects removed before reindexing", miscounted.len() as u64);
        let (index, install) = self.empty_index().await;
        let old = std::mem::replace(&mut self.index, index.clone());
        let troubled = self.troubled(trouble, &[StoreCall::Get, StoreCall::List]);
        let again = |into: bool, store: Arc<dyn ObjectStore>, index: Arc<dyn Index>| {
            check::reindex(store, index, Vec::new(), into, Arc::default())
        };
        let done = troubled.until_killed(again(false, troubled.store.clone(), troubled.index.clone())).await;
        match done {
            None => {
                self.count("killed in the middle", 1);
                again(true, self.store.clone(), self.index.clone()).await.map_err(|e| e.to_string())?;
            }
            Some(done) => {
                done.map_err(|e| e.to_string())?;
            }
        }
        let after = self.actual_rows().await?;
        for row in before.iter().filter(|r| r.marked.is_none()) {
            let found = after.iter().find(|r| r.segment.id.sequence == row.segment.id.sequence);
            let same = found.is_some_and(|r| r.segment == row.segment && r.marked.is_none());
            let higher = found.is_some_and(|r| r.segment.id.epoch > row.segment.id.epoch);
            if !same && !higher {
                return Err(format!("{} is not there after reindexing: {found:?}", row.segment.object));
            }
        }
        drop(old);
        install(self);
        self.rows = after.iter().map(|r| (r.segment.id.sequence, of_row(r))).collect();
        self.epoch = self.rows.values().map(|r| r.id.epoch).max().unwrap_or(0);
        self.lease = None;
        // Recorders are started anew with the new index; locks come from a backup.
        for who in [Who::A, Who::B] {
            self.restart(who);
        }
        for lock in &self.locks {
            self.index.add_lock(lock).await.map_err(|e| e.to_string())?;
        }
        self.count("reindexed", 1);
        Ok(())
    }

    /// Two nodes that know nothing yet, each on its own connections.
    pub async fn playlists(&mut self, from: u8, length: u8) -> Result<(), String> {
        let from = i64::from(from) * self.source / 100;
        let window = UtcRange::new(slot_start(from), slot_start(from + i64::from(length)));
        let in_window = |r: &&Known| r.marked.is_none() && UtcRange::new(r.id.start, r.id.end()).overlaps(window);
        let listed: Vec<Known> = self.rows.values().filter(in_window).cloned().collect();
        let breaks = listed.windows(2).filter(|pair| {
            let [before, after] = pair else { return false };
            after.id.sequence > before.id.sequence + 1
                || after.discontinuity != before.discontinuity
                || after.id.run != before.id.run
        });
        let breaks = breaks.count();
        let path = format!(
            "x/tracks-v1/archive-{}-{}.fmp4.m3u8",
            window.start.seconds(),
            window.end.since(window.start) / 1_000_000
        );
        let mut answers = Vec::new();
        for _ in 0..2 {
            let index = index::open(&self.url).await.map_err(|e| e.to_string())?;
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            let options = PlaybackOptions::new(PrometheusBuilder::new().build_recorder().handle());
            let stop = tokio_util::sync::CancellationToken::new();
            let node = tokio::spawn(web::serve(listener, self.store.clone(), index, options, stop.clone()));
            let answer = reqwest::get(format!("http://{address}/{path}")).await.map_err(|e| e.to_string())?;
            let status = answer.status().as_u16();
            answers.push((status, answer.text().await.map_err(|e| e.to_string())?));
            stop.cancel();
            node.abort();
        }
        let [one, two] = &answers[..] else { return Err("two answers".into()) };
        if one != two {
            return Err(format!("two nodes answer {path} differently:\n{one:?}\n{two:?}"));
        }
        let (entries, gaps) = (one.1.matches("#EXTINF").count(), one.1.matches("#EXT-X-GAP").count());
        if one.0 == 200 && entries - gaps != listed.len() {
            return Err(format!("{path} lists {entries} less {gaps}, not {}:\n{}", listed.len(), one.1));
        }
        let told = one.1.lines().filter(|l| *l == "#EXT-X-DISCONTINUITY").count();
        if one.0 == 200 && told != breaks {
            return Err(format!("{path} tells of {told} discontinuities, not {breaks}:\n{}", one.1));
        }
        if one.0 != 200 && !listed.is_empty() {
            return Err(format!("{path} is answered with {one:?}, although {} are listed", listed.len()));
        }
        self.count("playlists compared", u64::from(one.0 == 200));
        Ok(())
    }
}

fn of_row(row: &Row) -> Known {
    Known {
        id: row.segment.id.clone(),
        object: row.segment.object.clone(),
        discontinuity: row.segment.discontinuity,
        marked: row.marked,
    }
}
