//! The index from the bucket alone.
//!
//! Comes in: a bucket, and an index without rows, or one to be completed. Goes out: a row for each object that is whole;
//! of two with one number the one of the higher epoch, and none where the number was void. Never: samples read, objects
//! changed.

use super::adopting::{self, KnownInits};
use super::listing::{Day, Hop, Named, named};
use super::report::Collector;
use super::strays::Sweep;
use super::{CheckError, DAYS_AT_ONCE, Options, Progress, READS_AT_ONCE, Run, patiently};
use crate::crash_points::reached;
use crate::index::{Adopted, Index, IndexErrorKind};
use crate::media::{ObjectKey, StreamName, UtcRange, UtcUs};
use crate::store::{ObjectInfo, ObjectStore};
use futures::StreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Keys in one listing.
const PAGE: usize = 1000;
/// Damaged objects that are named.
const MOST_NAMED: usize = 20;

/// What reindexing did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reindexed {
    /// Rows.
    pub adopted: Adopted,
    /// Objects that are not right, and so have no row.
    pub damaged: u64,
    /// The first of them, and why.
    pub first_damaged: Vec<(ObjectKey, String)>,
    /// Files that are not Evertape's.
    pub foreign: u64,
    /// Whole objects without a row: their number was void, and nobody has given it out anew.
    pub void: u64,
}

/// Writes the rows of all objects of the bucket (of `streams` only, unless empty).
///
/// # Errors
/// `Refused` when the index has rows already and `into_existing` is not set; what store and index say.
pub async fn reindex(
    store: Arc<dyn ObjectStore>,
    index: Arc<dyn Index>,
    streams: Vec<StreamName>,
    into_existing: bool,
    progress: Arc<Progress>,
) -> Result<Reindexed, CheckError> {
    if !into_existing {
        refuse_rows(index.as_ref(), &streams).await?;
    }
    let report = Collector::new(0, progress.clone());
    let options = Options { streams, ..Options::default() };
    let reads = tokio::sync::Semaphore::new(READS_AT_ONCE);
    let run = Run { store, index, options, progress, report, reads, now: UtcUs(0) };
    let inits = KnownInits::default();
    let mut done = Reindexed::default();
    let (jobs, mut found) = tokio::sync::mpsc::channel(DAYS_AT_ONCE);
    let discovering = async {
        let discovered = discover(&run, &jobs).await;
        drop(jobs);
        discovered
    };
    let mut seen = BTreeSet::new();
    let days = futures::stream::poll_fn(move |context| found.poll_recv(context));
    let adopting = async {
        let days = days.inspect(|day: &Day| _ = seen.insert(day.stream.clone()));
        let mut days = days.map(|day| adopt_day(&run, day, &inits)).buffer_unordered(DAYS_AT_ONCE);
        while let Some(day) = days.next().await {
            let day = day?;
            done.adopted += day.adopted;
            done.damaged += day.damaged;
            done.foreign += day.foreign;
            done.first_damaged.extend(day.first_damaged);
            done.first_damaged.truncate(MOST_NAMED);
        }
        Ok::<(), CheckError>(())
    };
    let (discovered, adopted) = futures::join!(discovering, adopting);
    adopted?;
    done.foreign += discovered?;
    for stream in seen {
        done.void += withdraw_strays(&run, &stream).await?;
    }
    Ok(done)
}

/// Takes back the rows whose number was void: nothing tells before all of them are there.
async fn withdraw_strays(run: &Run, stream: &StreamName) -> Result<u64, CheckError> {
    let all = UtcRange::new(UtcUs(i64::MIN), UtcUs(i64::MAX));
    let (mut sweep, mut after) = (Sweep::default(), None);
    loop {
        let page = match patiently(async || run.index.rows(stream, all, after, PAGE).await).await {
            Ok(page) => page,
            Err(error) if error.kind == IndexErrorKind::Damaged => {
                tracing::warn!(%stream, %error, "void numbers were not looked for behind a row that cannot be read");
                break;
            }
            Err(error) => return Err(error.into()),
        };
        let Some(last) = page.last() else { break };
        after = Some((last.segment.id.start, last.segment.id.sequence));
        page.into_iter().for_each(|row| sweep.push(row.segment.id, row.segment.discontinuity));
    }
    let mut withdrawn = 0;
    match sweep.strays() {
        Ok(strays) => {
            for strays in strays.chunks(PAGE) {
                withdrawn += patiently(async || run.index.withdraw(stream, strays).await).await?;
            }
        }
        Err(segments) => tracing::warn!(%stream, segments,
            "at least so many segments overlap others or are out of order, too many to tell which are right; they stay"),
    }
    Ok(withdrawn)
}

async fn refuse_rows(index: &dyn Index, streams: &[StreamName]) -> Result<(), CheckError> {
    let all = UtcRange::new(UtcUs(i64::MIN), UtcUs(i64::MAX));
    for stream in patiently(async || index.streams().await).await? {
        if !streams.is_empty() && !streams.contains(&stream) {
            continue;
        }
        if !patiently(async || index.rows(&stream, all, None, 1).await).await?.is_empty() {
            return Err(CheckError::Refused(format!(
                "the index has rows of {stream} already. Give an empty one in [index], or add what is missing with \
                 --into-existing"
            )));
        }
    }
    Ok(())
}

/// Sends the days that the bucket has. Says how many foreign files it passed.
async fn discover(run: &Run, days: &tokio::sync::mpsc::Sender<Day>) -> Result<u64, CheckError> {
    let wanted = &run.options.streams;
    let prefixes: Vec<String> =
        if wanted.is_empty() { vec![String::new()] } else { wanted.iter().map(|s| format!("{s}/")).collect() };
    let foreign = std::sync::atomic::AtomicU64::new(0);
    for prefix in prefixes {
        let mut hop = Hop::new(prefix);
        while let Some(day) = hop.next(run.store.as_ref(), |_| Progress::add(&foreign, 1)).await? {
            if (wanted.is_empty() || wanted.contains(&day.stream)) && days.send(day).await.is_err() {
                break;
            }
        }
    }
    Ok(foreign.into_inner())
}

async fn adopt_day(run: &Run, day: Day, inits: &KnownInits) -> Result<Reindexed, CheckError> {
    let wanted = &run.options.streams;
    let prefix = day.prefix();
    let mut done = Reindexed::default();
    let mut after: Option<ObjectKey> = None;
    loop {
        let page = patiently(async || run.store.list(&prefix, after.as_ref(), PAGE).await).await?;
        let Some(last) = page.last() else {
            reached("reindex.day-done");
            return Ok(done);
        };
        after = Some(last.key.clone());
        Progress::add(&run.progress.objects, page.len() as u64);
        let mut by_stream: BTreeMap<StreamName, Vec<ObjectInfo>> = BTreeMap::new();
        for info in page {
            match named(&info.key) {
                Named::Segment(id) if wanted.is_empty() || wanted.contains(&id.stream) => {
                    by_stream.entry(id.stream).or_default().push(info);
                }
                Named::Segment(_) | Named::Init(_) => {}
                Named::Foreign => done.foreign += 1,
            }
        }
        for (stream, objects) in by_stream {
            let batch = adopting::adopt(run, &stream, &objects, inits).await?;
            done.adopted += batch.adopted;
            done.damaged += batch.damaged.len() as u64;
            done.first_damaged.extend(batch.damaged);
            done.first_damaged.truncate(MOST_NAMED);
        }
    }
}
