//! The world of one case: one stream, its source, two recorders, an archive; and the model of it.

use crate::operations::{Operation, Trouble, Who};
use crate::recorded::{Plan, name, start};
use crate::recorder::Recorder;
use crate::{Tally, postgres};
use evertape::index::faults::{Fault, FaultyIndex};
use evertape::index::{self, Index};
use evertape::media::lock::Lock;
use evertape::media::segment::SegmentId;
use evertape::media::{ObjectKey, StreamName, UtcUs};
use evertape::store::faults::{Fault as StoreFault, Operation as StoreCall};
use evertape::store::{DirectoryStore, FaultyStore, ObjectStore};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Seconds of one segment.
pub const SECONDS: i64 = 6;
/// Life of a lease.
pub const LEASE_US: i64 = 30_000_000;
/// Between marking and deleting.
pub const GRACE_S: i64 = 600;
/// Segments of a gap that may be left room for.
pub const MOST_ROOM: i64 = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

/// A row, as the model knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub id: SegmentId,
    pub object: ObjectKey,
    pub discontinuity: u64,
    pub marked: Option<UtcUs>,
}

impl Known {
    /// Which piece of the source it is.
    pub fn slot(&self) -> i64 {
        slot_of(&self.id)
    }
}

pub fn slot_of(id: &SegmentId) -> i64 {
    id.start.since(start()) / 1_000_000 / SECONDS
}

pub fn slot_start(slot: i64) -> UtcUs {
    start().plus_us(slot * SECONDS * 1_000_000)
}

/// What stands behind an index.
enum Ground {
    Nothing,
    Server { _database: postgres::TestDatabase },
}

pub struct World {
    pub tally: Tally,
    pub database: Database,
    pub stream: StreamName,
    pub folder: tempfile::TempDir,
    pub store: Arc<dyn ObjectStore>,
    pub index: Arc<dyn Index>,
    pub url: String,
    ground: Ground,
    /// By everybody's clock.
    pub now: UtcUs,
    /// Pieces the source has given.
    pub source: i64,
    pub recorders: [Recorder; 2],
    /// Rows by number.
    pub rows: BTreeMap<u64, Known>,
    /// Pieces that somebody cut under a number, and what was committed is not to be lost.
    pub cut: BTreeSet<i64>,
    /// Pieces that retention has unlisted.
    pub expired: BTreeSet<i64>,
    pub locks: Vec<Lock>,
    /// Holder, epoch, end of the lease.
    pub lease: Option<(Who, u64, UtcUs)>,
    pub epoch: u64,
    /// Objects that were read and were right.
    pub verified: BTreeSet<String>,
    pub made: u64,
}

impl World {
    pub async fn new(database: Database, tally: Tally) -> Self {
        // Thousands of files are made to last: where the memory can hold them, the disk need not.
        let memory = std::path::Path::new("/dev/shm");
        let folder = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap();
        let store: Arc<dyn ObjectStore> = Arc::new(DirectoryStore::open(&folder.path().join("objects")).unwrap());
        let (index, url, ground) = empty(database, folder.path(), 0).await;
        let stream = name("x");
        let recorders = [Who::A, Who::B].map(|who| Recorder::start(who, folder.path(), &stream));
        Self {
            tally,
            database,
            stream,
            folder,
            store,
            index,
            url,
            ground,
            now: start(),
            source: 0,
            recorders,
            rows: BTreeMap::new(),
            cut: BTreeSet::new(),
            expired: BTreeSet::new(),
            locks: Vec::new(),
            lease: None,
            epoch: 0,
            verified: BTreeSet::new(),
            made: 0,
        }
    }

    /// An index without rows in the place of this one.
    pub async fn empty_index(&mut self) -> (Arc<dyn Index>, impl FnOnce(&mut World) + use<>) {
        self.made += 1;
        let (index, url, ground) = empty(self.database, self.folder.path(), self.made).await;
        let kept = index.clone();
        (index, move |world: &mut World| (world.index, world.url, world.ground) = (kept, url, ground))
    }

    pub fn count(&self, what: &'static str, times: u64) {
        *self.tally.lock().unwrap().entry(what).or_default() += times;
    }

    pub fn recorder(&mut self, who: Who) -> &mut Recorder {
        &mut self.recorders[usize::from(who == Who::B)]
    }

    pub async fn carry_out(&mut self, operation: &Operation) -> Result<(), String> {
        self.now = self.now.plus_us(1_000_000);
        match *operation {
            Operation::Record { segments, a_has_it, b_has_it, trouble } => {
                self.record(segments, [a_has_it, b_has_it], trouble).await
            }
            Operation::Publish { who, trouble } => self.publish_waiting(who, trouble).await,
            Operation::Acquire { who, trouble } => self.acquire(who, trouble).await,
            Operation::Release { who } => self.release(who).await,
            Operation::Restart { who } => {
                self.restart(who);
                Ok(())
            }
            Operation::Wait { seconds } => {
                self.now = self.now.plus_us(i64::from(seconds) * 1_000_000);
                Ok(())
            }
            Operation::Fill { who, trouble } => self.fill(who, trouble).await,
            Operation::Janitor { keep, trouble } => self.janitor(keep, trouble).await,
            Operation::TwoJanitors { keep } => self.two_janitors(keep).await,
            Operation::Replaced { missed, repaired } => self.replaced(missed, repaired).await,
            Operation::Lock { from, length, lasts } => self.lock(from, length, lasts).await,
            Operation::Unlock { nth } => self.unlock(nth).await,
            Operation::Repair { trouble } => self.repair(trouble).await,
            Operation::Reindex { trouble } => self.reindex(trouble).await,
            Operation::Playlists { from, length } => self.playlists(from, length).await,
        }
    }

    /// Store and index in which something goes wrong.
    pub fn troubled(&self, trouble: Trouble, store_calls: &[StoreCall]) -> Troubled {
        let (mut on_index, mut on_store) = (Vec::new(), Vec::new());
        let calls = |nth: u8| usize::from(nth.max(1)) - 1;
        let mut plan = |store: bool, nth: u8, index_fault: Fault, store_fault: StoreFault| {
            if store {
                for call in store_calls {
                    on_store.extend(std::iter::repeat_n((*call, StoreFault::Pass), calls(nth)));
                    on_store.push((*call, store_fault));
                }
            } else {
                on_index.extend(std::iter::repeat_n(Fault::None, calls(nth)));
                on_index.push(index_fault);
            }
        };
        match trouble {
            Trouble::Nothing => {}
            Trouble::Fails { store, nth } => plan(store, nth, Fault::Before, StoreFault::FailBefore),
            Trouble::AnswerLost { store, nth } => plan(store, nth, Fault::After, StoreFault::FailAfter),
            Trouble::Killed { store, nth, done: false } => plan(store, nth, Fault::HangBefore, StoreFault::HangBefore),
            Trouble::Killed { store, nth, done: true } => plan(store, nth, Fault::HangAfter, StoreFault::HangAfter),
        }
        Troubled {
            store: Arc::new(FaultyStore::scripted(self.store.clone(), on_store)),
            index: Arc::new(FaultyIndex::scripted(self.index.clone(), on_index)),
        }
    }

    /// The object and the row of a piece of the source under a name.
    pub fn plan(&self, id: &SegmentId, discontinuity: u64) -> Plan {
        Plan {
            stream: self.stream.clone(),
            sequence: id.sequence,
            epoch: id.epoch,
            run: id.run.0,
            discontinuity,
            at_s: slot_of(id) * SECONDS,
            seconds: SECONDS,
        }
    }
}

async fn empty(database: Database, folder: &std::path::Path, number: u64) -> (Arc<dyn Index>, String, Ground) {
    let (url, ground) = match database {
        Database::Sqlite => (format!("sqlite:{}/index-{number}.db", folder.display()), Ground::Nothing),
        Database::Postgres => {
            let database = postgres::postgres().await;
            (database.url.clone(), Ground::Server { _database: database })
        }
    };
    let index = index::open(&url).await.unwrap();
    index.migrate().await.unwrap();
    (index, url, ground)
}

/// Store and index of one operation.
pub struct Troubled {
    pub store: Arc<FaultyStore<Arc<dyn ObjectStore>>>,
    pub index: Arc<FaultyIndex<dyn Index>>,
}

impl Troubled {
    /// Does `work` until it ends or is killed: `None`.
    pub async fn until_killed<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.store.hung() => None,
            () = self.index.hung() => None,
        }
    }

    /// Faults that happened.
    pub fn injected(&self) -> u64 {
        self.store.injected() + self.index.injected()
    }
}
