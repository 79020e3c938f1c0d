//! Objects become rows.
//!
//! Comes in: keys of objects. Goes out: rows in the index, with the init segments they need. Never: a row of an object that
//! cannot be read.

use super::objects::{self, Unread};
use super::{CheckError, Progress, Run, patiently};
use crate::container::cmaf;
use crate::crash_points::reached;
use crate::index::Adopted;
use crate::media::segment::SegmentWithTables;
use crate::media::{InitHash, InitInfo, ObjectKey, StreamName};
use crate::store::{ObjectInfo, StoreErrorKind};
use futures::StreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// No init segment is larger.
pub(super) const LARGEST_INIT_BYTES: u64 = 1 << 20;
/// Objects of one batch that are read at the same time.
const AHEAD: usize = 16;

/// Init segments that were read already; few.
#[derive(Default)]
pub(super) struct KnownInits {
    known: Mutex<BTreeMap<(StreamName, InitHash), Option<InitInfo>>>,
}

/// Objects that are not right, and why.
pub(super) type Damaged = Vec<(ObjectKey, String)>;

/// What became of a batch.
#[derive(Default)]
pub(super) struct Batch {
    pub adopted: Adopted,
    pub damaged: Damaged,
}

/// Reads objects of one stream and writes their rows.
pub(super) async fn adopt(
    run: &Run,
    stream: &StreamName,
    objects: &[ObjectInfo],
    inits: &KnownInits,
) -> Result<Batch, CheckError> {
    let (rows, damaged) = read(run, objects).await?;
    Ok(Batch { damaged, ..write(run, stream, rows, inits).await? })
}

/// What objects say, and those that are not right, and why.
pub(super) async fn read(run: &Run, objects: &[ObjectInfo]) -> Result<(Vec<SegmentWithTables>, Damaged), CheckError> {
    let mut damaged = Vec::new();
    let mut rows: Vec<SegmentWithTables> = Vec::with_capacity(objects.len());
    let scans = objects.iter().map(|o| async move { (o, objects::scan(run, &o.key, o.object_bytes).await) });
    let mut scans = futures::stream::iter(scans).buffered(AHEAD);
    while let Some((object, read)) = scans.next().await {
        match read {
            Ok(row) => rows.push(row),
            Err(Unread::Gone) => {}
            Err(Unread::Damaged(why)) => damaged.push((object.key.clone(), why)),
            Err(Unread::Store(error)) => return Err(error.into()),
        }
    }
    Ok((rows, damaged))
}

/// Writes rows of one stream, with the init segments they need.
pub(super) async fn write(
    run: &Run,
    stream: &StreamName,
    rows: Vec<SegmentWithTables>,
    inits: &KnownInits,
) -> Result<Batch, CheckError> {
    let mut batch = Batch::default();
    let hashes: BTreeSet<InitHash> = rows.iter().flat_map(|r| r.segment.tracks.iter().map(|t| t.init)).collect();
    let mut infos = Vec::new();
    for hash in hashes {
        infos.extend(inits.get(run, stream, hash).await?);
    }
    for rows in rows.chunks(500) {
        reached("adopt.objects-read");
        let adopted = patiently(async || run.index.adopt(stream, rows, &infos).await).await?;
        reached("adopt.rows-written");
        Progress::add(&run.progress.written, adopted.written);
        batch.adopted += adopted;
    }
    Ok(batch)
}

impl KnownInits {
    /// What an init segment of the bucket says; `None` when it is not there or not what its name says.
    async fn get(&self, run: &Run, stream: &StreamName, hash: InitHash) -> Result<Option<InitInfo>, CheckError> {
        let name = (stream.clone(), hash);
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let info = read_init(run, stream, hash).await?.ok();
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(name, info.clone());
        Ok(info)
    }
}

/// Reads an init segment of the bucket. The inner error says whether it is there.
pub(super) async fn read_init(
    run: &Run,
    stream: &StreamName,
    hash: InitHash,
) -> Result<Result<InitInfo, Unread>, CheckError> {
    let key = ObjectKey::init(stream, hash);
    match objects::small(run.store.as_ref(), &key, LARGEST_INIT_BYTES).await {
        Ok(bytes) if InitHash::of(&bytes) != hash => Ok(Err(Unread::Damaged("its content is another".into()))),
        Ok(bytes) => match cmaf::read_init(&bytes) {
            Ok(params) => Ok(Ok(InitInfo { hash, params })),
            Err(error) => Ok(Err(error.into())),
        },
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(Err(Unread::Gone)),
        // An empty object has no range.
        Err(error) if error.kind == StoreErrorKind::RangeNotSatisfiable => Ok(Err(error.into())),
        Err(error) => Err(error.into()),
    }
}
