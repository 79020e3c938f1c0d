//! Recorders: the order of their steps is that of `src/recorder/`, on the real spool, store and index; what they cut is
//! arithmetic.

use crate::operations::{Trouble, Who};
use crate::recorded::inits;
use crate::world::{Known, LEASE_US, MOST_ROOM, SECONDS, Troubled, World, slot_of, slot_start};
use evertape::container::cmaf;
use evertape::index::{Index, IndexErrorKind, Lease, Published};
use evertape::media::segment::SegmentId;
use evertape::media::{InitInfo, ObjectKey, RunId, StreamName, UtcUs};
use evertape::recorder::numbers_are_void;
use evertape::recorder::spool::{Spool, StreamSpool};
use evertape::store::ObjectStore;
use evertape::store::faults::Operation as StoreCall;
use std::path::Path;

/// Shadows a standby keeps.
const KEPT_SHADOWS: usize = 12;

/// What the process knows while it holds the lease.
#[derive(Debug, Clone)]
pub struct Numbers {
    next: u64,
    discontinuity: u64,
    run: u128,
    /// First piece behind what is numbered.
    slot: i64,
    begins_run: bool,
}

pub struct Recorder {
    /// `None` between two processes.
    spool: Option<StreamSpool>,
    pub holder: String,
    pub lease: Option<Lease>,
    pub numbers: Option<Numbers>,
    shadows_made: u64,
    /// Pieces that were put aside for an operator.
    pub damaged: Vec<i64>,
}

impl Recorder {
    /// A process on its spool.
    pub fn start(who: Who, folder: &Path, stream: &StreamName) -> Self {
        let folder = folder.join(format!("spool-{who:?}"));
        let spool = Spool::open(&folder, 1 << 30).expect("a spool");
        let holder = spool.holder().to_owned();
        let spool = spool.stream(stream).expect("a spool");
        Self { spool: Some(spool), holder, lease: None, numbers: None, shadows_made: 0, damaged: Vec::new() }
    }

    pub fn spool(&self) -> &StreamSpool {
        self.spool.as_ref().expect("the process runs")
    }

    pub fn waiting(&self) -> Vec<SegmentId> {
        self.spool().pending().expect("the spool can be read")
    }

    /// Pieces of the source that are on its disk.
    pub fn slots(&self) -> Vec<i64> {
        let shadows = self.spool().shadows().expect("the spool can be read");
        self.waiting().iter().chain(&shadows).map(slot_of).chain(self.damaged.iter().copied()).collect()
    }

    fn lose(&mut self) {
        self.lease = None;
        self.numbers = None;
        for id in self.waiting() {
            self.spool().demote(&id).expect("it is moved");
        }
    }
}

/// How publishing ended.
enum Outcome {
    Done,
    Failed,
    Fenced,
    Killed,
}

fn infos() -> Vec<InitInfo> {
    inits().into_iter().map(|(info, _)| info).collect()
}

impl World {
    /// Kills a recorder's process and starts another on the same spool.
    pub fn restart(&mut self, who: Who) {
        let (folder, stream) = (self.folder.path().to_path_buf(), self.stream.clone());
        let recorder = self.recorder(who);
        // Two processes may not have one spool: the old one goes first.
        recorder.spool = None;
        let (damaged, shadows_made) = (std::mem::take(&mut recorder.damaged), recorder.shadows_made);
        *recorder = Recorder { damaged, shadows_made, ..Recorder::start(who, &folder, &stream) };
        self.count("recorders started", 1);
    }

    /// The source goes on. Who has it cuts: under numbers if it believes that it holds the lease, else shadows.
    pub async fn record(&mut self, segments: u8, has_it: [bool; 2], trouble: Trouble) -> Result<(), String> {
        for _ in 0..segments {
            let slot = self.source;
            self.source += 1;
            self.now = self.now.plus_us(SECONDS * 1_000_000);
            for (who, _) in [Who::A, Who::B].into_iter().zip(has_it).filter(|(_, has)| *has) {
                if self.recorder(who).numbers.is_some() {
                    self.cut(who, slot);
                } else {
                    self.cut_shadow(who, slot);
                }
            }
        }
        for who in [Who::A, Who::B] {
            self.renew(who).await?;
            self.publish_waiting(who, trouble).await?;
        }
        Ok(())
    }

    /// Numbers a piece behind what is numbered, and spools it; what lies before is covered.
    fn cut(&mut self, who: Who, slot: i64) {
        let stream = self.stream.clone();
        let fresh_run = 1 + u128::from(self.made) * 2 + u128::from(who == Who::B);
        let recorder = self.recorder(who);
        let (Some(numbers), Some(lease)) = (&mut recorder.numbers, &recorder.lease) else { return };
        if slot < numbers.slot {
            return;
        }
        let missing = slot - numbers.slot;
        let breaks = numbers.begins_run || missing > 0;
        if breaks {
            if numbers.next > 0 && missing > 0 && missing <= MOST_ROOM {
                numbers.next += missing as u64;
            }
            numbers.discontinuity += u64::from(numbers.next > 0);
            numbers.run = fresh_run;
            numbers.begins_run = false;
        }
        let id = SegmentId {
            stream,
            run: RunId(numbers.run),
            epoch: lease.epoch,
            sequence: numbers.next,
            start: slot_start(slot),
            duration_us: SECONDS * 1_000_000,
        };
        let discontinuity = numbers.discontinuity;
        numbers.next += 1;
        numbers.slot = slot + 1;
        self.made += u64::from(breaks);
        let (object, _) = self.plan(&id, discontinuity).object();
        self.recorder(who).spool().put_segment(&id, &object).expect("it is spooled");
        self.cut.insert(slot);
    }

    fn cut_shadow(&mut self, who: Who, slot: i64) {
        let stream = self.stream.clone();
        let recorder = self.recorder(who);
        recorder.shadows_made += 1;
        let id = SegmentId {
            stream,
            run: RunId(1 << 100),
            epoch: 0,
            sequence: recorder.shadows_made,
            start: slot_start(slot),
            duration_us: SECONDS * 1_000_000,
        };
        let (object, _) = self.plan(&id, 0).object();
        self.recorder(who).spool().put_shadow(&id, &object).expect("it is spooled");
        self.count("shadows written", 1);
    }

    async fn renew(&mut self, who: Who) -> Result<(), String> {
        let now = self.now;
        let Some(lease) = self.recorder(who).lease.clone() else { return Ok(()) };
        let renewed = self.index.renew(&lease, now, LEASE_US).await;
        let holds = self.lease.is_some_and(|(holder, epoch, _)| holder == who && epoch == lease.epoch);
        match renewed {
            Ok(renewed) if holds => {
                self.lease = Some((who, renewed.epoch, renewed.expires));
                self.recorder(who).lease = Some(renewed);
            }
            Ok(_) => return Err(format!("{who:?} renewed a lease that is not its own")),
            Err(error) if error.kind == IndexErrorKind::Fenced && !holds => {}
            Err(error) => return Err(format!("{who:?} could not renew: {error}")),
        }
        Ok(())
    }

    pub async fn release(&mut self, who: Who) -> Result<(), String> {
        let Some(lease) = self.recorder(who).lease.clone() else { return Ok(()) };
        // In order: with nothing waiting.
        if !self.recorder(who).waiting().is_empty() {
            return Ok(());
        }
        self.index.release(&lease).await.map_err(|e| e.to_string())?;
        if self.lease.is_some_and(|(holder, epoch, _)| holder == who && epoch == lease.epoch) {
            self.lease = None;
        }
        self.recorder(who).lose();
        Ok(())
    }

    /// Asks for the lease; goes on from what is committed, then from what its spool has.
    pub async fn acquire(&mut self, who: Who, trouble: Trouble) -> Result<(), String> {
        let (holder, stream, now) = (self.recorder(who).holder.clone(), self.stream.clone(), self.now);
        if self.recorder(who).lease.is_some() {
            return Ok(());
        }
        let got = self.index.acquire(&stream, &holder, now, LEASE_US).await.map_err(|e| e.to_string())?;
        let free = self.lease.is_none_or(|(h, _, expires)| h == who || expires <= now);
        let taken_over = self.lease.is_some_and(|(h, _, _)| h != who);
        let Some(lease) = got else {
            return if free { Err(format!("{who:?} does not get a lease that is free")) } else { Ok(()) };
        };
        if !free {
            return Err(format!("{who:?} gets a lease that {:?} holds", self.lease));
        }
        let own = self.lease.is_some_and(|(h, epoch, _)| h == who && epoch == lease.epoch);
        if !own && lease.epoch <= self.epoch {
            return Err(format!("epoch {} after {}", lease.epoch, self.epoch));
        }
        self.count("takeovers", u64::from(taken_over));
        self.epoch = lease.epoch;
        self.lease = Some((who, lease.epoch, lease.expires));
        self.recorder(who).lease = Some(lease);
        self.prepare(who).await.map_err(|e| e.to_string())?;
        // What it has as shadows is placed behind what is committed; what is committed is let go.
        let shadows = self.recorder(who).spool().shadows().expect("the spool can be read");
        for id in shadows {
            let (slot, before) = (slot_of(&id), self.recorder(who).numbers.as_ref().map_or(0, |n| n.slot));
            if slot >= before {
                self.cut(who, slot);
                self.recorder(who).spool().remove_shadow(&id).expect("it is removed");
            }
        }
        self.publish_waiting(who, trouble).await
    }

    /// As `recorder/ground.rs`.
    async fn prepare(&mut self, who: Who) -> evertape::index::Result<()> {
        let stream = self.stream.clone();
        let tail = self.index.tail(&stream).await?;
        let newest = self.index.newest(&stream, UtcUs(i64::MAX / 4), 1).await?;
        let mut pending = self.recorder(who).waiting();
        let are_void = numbers_are_void(&*self.index, &tail, &pending).await?;
        let last_run = newest.last().filter(|s| s.id.sequence + 1 == tail.next_sequence).map(|s| s.id.run.0);
        let end = tail.end.map_or(0, |end| end.since(slot_start(0)) / 1_000_000 / SECONDS);
        let recorder = self.recorder(who);
        if are_void {
            pending.iter().for_each(|id| recorder.spool().demote(id).expect("it is moved"));
            pending.clear();
        }
        let mut numbers = Numbers {
            next: tail.next_sequence,
            discontinuity: tail.discontinuity,
            run: last_run.unwrap_or(0),
            slot: end,
            begins_run: last_run.is_none(),
        };
        if let Some(last) = pending.last() {
            let object = recorder.spool().segment(last).expect("it can be read");
            let read = cmaf::read_segment(&last.object_key().expect("a key"), &object).expect("it is whole");
            numbers.next = numbers.next.max(last.sequence + 1);
            numbers.slot = numbers.slot.max(slot_of(last) + 1);
            numbers.discontinuity = numbers.discontinuity.max(read.segment.discontinuity);
            // What was committed behind it may be gone already: then it does not end there.
            (numbers.run, numbers.begins_run) = (last.run.0, slot_of(last) + 1 < numbers.slot);
        }
        recorder.numbers = Some(numbers);
        Ok(())
    }

    /// Publishes what waits, in order, until something goes wrong.
    pub async fn publish_waiting(&mut self, who: Who, trouble: Trouble) -> Result<(), String> {
        let troubled = self.troubled(trouble, &[StoreCall::Put]);
        for id in self.recorder(who).waiting() {
            let Some(lease) = self.recorder(who).lease.clone() else { return Ok(()) };
            match self.publish_one(who, &lease, &id, &troubled, trouble).await? {
                Outcome::Done => {}
                Outcome::Failed => return Ok(()),
                Outcome::Fenced => {
                    self.recorder(who).lose();
                    self.count("fenced", 1);
                    return Ok(());
                }
                Outcome::Killed => {
                    self.count("killed in the middle", 1);
                    self.restart(who);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// As `recorder/publisher.rs`: init segments, object, row, and only then the spool's copy goes.
    async fn publish_one(
        &mut self,
        who: Who,
        lease: &Lease,
        id: &SegmentId,
        troubled: &Troubled,
        trouble: Trouble,
    ) -> Result<Outcome, String> {
        let object = self.recorder(who).spool().segment(id).expect("it can be read");
        let row = cmaf::read_segment(&id.object_key().expect("a key"), &object).expect("it is whole");
        let work = async {
            for (info, bytes) in inits() {
                troubled
                    .store
                    .put(&ObjectKey::init(&id.stream, info.hash), bytes, "video/mp4")
                    .await
                    .map_err(|_| None)?;
            }
            troubled.store.put(&row.segment.object, object.into(), "video/mp4").await.map_err(|_| None)?;
            troubled.index.publish(lease, &row, &infos()).await.map_err(Some)
        };
        let done = troubled.until_killed(work).await;
        let holds = self.lease.is_some_and(|(holder, epoch, _)| holder == who && epoch == lease.epoch);
        let known = Known {
            id: id.clone(),
            object: row.segment.object.clone(),
            discontinuity: row.segment.discontinuity,
            marked: None,
        };
        // What may be committed without anybody having heard of it.
        let unheard = match trouble {
            Trouble::AnswerLost { store: false, .. } => !matches!(done, Some(Ok(_))),
            Trouble::Killed { store: false, done: true, .. } => done.is_none(),
            _ => false,
        };
        if unheard && holds && troubled.index.injected() > 0 {
            self.commit(known.clone())?;
            self.count("answers lost", 1);
        }
        match done {
            None => Ok(Outcome::Killed),
            Some(Ok(_)) if !holds => Err(format!("{who:?} publishes under a lease that is another's")),
            Some(Ok(Published::Superseded)) => {
                let taken = self.rows.get(&id.sequence).is_some_and(|r| r.id.epoch > id.epoch);
                self.recorder(who).spool().demote(id).expect("it is moved");
                if taken { Ok(Outcome::Done) } else { Err(format!("{} is superseded by nothing", known.object)) }
            }
            Some(Ok(_)) => {
                self.commit(known)?;
                self.recorder(who).spool().remove(id).expect("it is removed");
                self.count("segments published", 1);
                Ok(Outcome::Done)
            }
            Some(Err(Some(error))) if error.kind == IndexErrorKind::Fenced => {
                if holds {
                    Err(format!("{who:?} is fenced with a valid lease"))
                } else {
                    Ok(Outcome::Fenced)
                }
            }
            Some(Err(error)) => {
                let why = error.map(|e| e.to_string());
                if troubled.injected() == 0 {
                    Err(format!("publishing failed by itself: {why:?}"))
                } else {
                    Ok(Outcome::Failed)
                }
            }
        }
    }

    /// The model's row. A number is given once; only a higher epoch may take it, from what nobody was told of.
    pub fn commit(&mut self, known: Known) -> Result<(), String> {
        match self.rows.get(&known.id.sequence) {
            Some(there) if there.object == known.object || there.id.epoch > known.id.epoch => Ok(()),
            // A URL that viewers have seen would lead elsewhere.
            Some(there) if there.marked.is_none() && there.slot() != known.slot() => {
                Err(format!("{} takes the place of {}, which is listed", known.object, there.object))
            }
            _ => {
                self.rows.insert(known.id.sequence, known);
                Ok(())
            }
        }
    }

    /// The holder dies with an object stored and not committed, and the other recorder takes its stream.
    pub async fn replaced(&mut self, missed: u8, repaired: bool) -> Result<(), String> {
        let Some((holder, _, expires)) = self.lease else { return Ok(()) };
        if self.recorder(holder).numbers.is_none() {
            return Ok(());
        }
        let other = if holder == Who::A { Who::B } else { Who::A };
        let has_it = [Who::A, Who::B].map(|who| who == holder);
        // Its third object is that of the segment, behind two init segments.
        self.record(1, has_it, Trouble::Killed { store: true, nth: 3, done: true }).await?;
        self.source += i64::from(missed);
        self.now = self.now.max(expires).plus_us(LEASE_US);
        self.acquire(other, Trouble::Nothing).await?;
        if repaired {
            self.repair(Trouble::Nothing).await?;
        }
        self.record(1, [Who::A, Who::B].map(|who| who == other), Trouble::Nothing).await
    }

    /// As `recorder/heal.rs`: pieces that the archive lacks go into the place of free numbers between their neighbours;
    /// what it has is let go.
    pub async fn fill(&mut self, who: Who, trouble: Trouble) -> Result<(), String> {
        if self.recorder(who).lease.is_some() {
            return Ok(());
        }
        let troubled = self.troubled(trouble, &[StoreCall::Put]);
        let shadows = self.recorder(who).spool().shadows().expect("the spool can be read");
        let end = self.rows.values().map(|r| r.slot() + 1).max().unwrap_or(0);
        let newest = shadows.len().saturating_sub(KEPT_SHADOWS);
        for (nth, id) in shadows.iter().enumerate() {
            let slot = slot_of(id);
            if slot >= end {
                continue;
            }
            let covered = self.rows.values().any(|r| r.slot() == slot) || self.expired.contains(&slot);
            if covered {
                if nth < newest {
                    self.recorder(who).spool().remove_shadow(id).expect("it is removed");
                }
                continue;
            }
            let before = self.rows.values().rfind(|r| r.slot() < slot).cloned();
            let after = self.rows.values().find(|r| r.slot() > slot).cloned();
            let (Some(before), Some(after)) = (before, after) else { continue };
            let number = before.id.sequence + (slot - before.slot()) as u64;
            if number >= after.id.sequence {
                // Nowhere to put it: an operator may.
                let recorder = self.recorder(who);
                recorder.spool().quarantine_shadow(id).expect("it is moved");
                recorder.damaged.push(slot);
                continue;
            }
            let filling =
                SegmentId { run: before.id.run, epoch: 0, sequence: number, start: slot_start(slot), ..id.clone() };
            let (object, row) = self.plan(&filling, before.discontinuity).object();
            let work = async {
                troubled.store.put(&row.segment.object, object, "video/mp4").await.map_err(|_| None)?;
                troubled.index.fill(&row, &infos()).await.map_err(Some)
            };
            let done = troubled.until_killed(work).await;
            let known = Known {
                id: filling,
                object: row.segment.object.clone(),
                discontinuity: before.discontinuity,
                marked: None,
            };
            let row_there = self.index.row(&self.stream, number).await.map_err(|e| e.to_string())?;
            let is_there = row_there.is_some_and(|r| r.segment.object == known.object);
            match done {
                None => {
                    if is_there {
                        self.commit(known)?;
                    }
                    self.count("killed in the middle", 1);
                    self.restart(who);
                    return Ok(());
                }
                Some(Ok(Published::Superseded)) => {
                    return Err(format!("{} between {} and {} is refused", known.object, before.object, after.object));
                }
                Some(Ok(_)) => {
                    if !is_there {
                        return Err(format!("{} was filled in, and is not there", known.object));
                    }
                    self.commit(known)?;
                    self.recorder(who).spool().remove_shadow(id).expect("it is removed");
                    self.count("segments filled in", 1);
                }
                Some(Err(error)) => {
                    if is_there {
                        self.commit(known)?;
                    }
                    return match error {
                        _ if troubled.injected() > 0 => Ok(()),
                        error => Err(format!("filling failed by itself: {error:?}")),
                    };
                }
            }
        }
        Ok(())
    }
}
