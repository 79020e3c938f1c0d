//! One day of one stream: rows against objects, hour by hour.
//!
//! Comes in: a day. Goes out: findings; with repair, rows of orphans. Never: more than an hour's rows and a page of the
//! listing in memory; a finding that a recorder or a janitor at work explains.
//!
//! The two sides are not read at one moment. So what seems to be missing on one side is asked for again by its own name
//! before it is a finding: publishing writes object before row, deleting takes object before row, marked first.

use super::adopting::{self, KnownInits};
use super::inits::Referenced;
use super::listing::{Day, Named, named};
use super::objects::{self, Unread};
use super::repair::Missing;
use super::report::Kind;
use super::summaries::Summaries;
use super::{CheckError, Progress, Run, YOUNG_US, patiently, place};
use crate::index::{IndexErrorKind, Row};
use crate::media::segment::SegmentId;
use crate::media::{ObjectKey, StreamName, UtcRange, UtcUs};
use crate::store::{ObjectInfo, StoreErrorKind};
use futures::StreamExt;
use std::collections::BTreeMap;
use std::time::Duration;

/// Keys in one listing.
const PAGE: usize = 1000;
/// Rows in one query.
const ROWS: usize = 1000;
const HOUR_US: i64 = 3_600_000_000;
/// Objects that seem to have no row, remembered until they are asked for again.
const SUSPECTS: usize = 5000;
/// Until then: whoever has just written an object is given the time to write its row.
const SETTLED: Duration = Duration::from_secs(2);
/// Objects of one day that are read whole at the same time.
const DEEP_AT_ONCE: usize = 4;

/// What the days of a run add up to.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub inits: &'a Referenced,
    pub missing: &'a Missing,
    pub summaries: &'a Summaries,
}

/// The rows of an hour that have not met their object yet.
struct Hour {
    range: UtcRange,
    rows: BTreeMap<ObjectKey, Row>,
}

/// Compares a day.
pub(super) async fn compare(run: &Run, day: Day, seen: Seen<'_>) -> Result<(), CheckError> {
    run.report.stream(&day.stream);
    seen.summaries.begin(run, &day.stream).await?;
    let known = KnownInits::default();
    let prefix = day.prefix();
    let mut hour = load(run, &day, 0, seen).await?;
    let mut number = 0;
    let mut after: Option<ObjectKey> = None;
    let mut suspects = Vec::new();
    loop {
        let page = patiently(async || run.store.list(&prefix, after.as_ref(), PAGE).await).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        Progress::add(&run.progress.objects, page.len() as u64);
        let mut pairs = Vec::new();
        for info in page {
            match named(&info.key) {
                Named::Segment(id) if id.stream == day.stream => {
                    let of = id.start.since(day.start).div_euclid(HOUR_US);
                    while number < of {
                        finish(run, &day.stream, hour, seen).await?;
                        number += 1;
                        hour = load(run, &day, number, seen).await?;
                    }
                    match hour.rows.remove(&info.key) {
                        Some(row) => pairs.push((row, info)),
                        None => suspects.push((id, info)),
                    }
                }
                // A stream whose name looks like a day of this one.
                Named::Segment(id) => match patiently(async || run.index.row(&id.stream, id.sequence).await).await? {
                    Some(row) if row.segment.object == info.key => pairs.push((row, info)),
                    _ => suspects.push((id, info)),
                },
                Named::Init(_) => {}
                Named::Foreign => {
                    run.report.add(
                        Kind::ForeignFile,
                        Some(&day.stream),
                        &info.key,
                        format!("{} bytes", info.object_bytes),
                    );
                }
            }
        }
        let mut checks =
            futures::stream::iter(pairs.iter().map(|(row, info)| pair(run, row, info))).buffer_unordered(DEEP_AT_ONCE);
        while let Some(done) = checks.next().await {
            done?;
        }
        drop(checks);
        if suspects.len() >= SUSPECTS {
            settle(run, std::mem::take(&mut suspects), &known).await?;
        }
    }
    loop {
        finish(run, &day.stream, hour, seen).await?;
        number += 1;
        if number >= 24 {
            break;
        }
        hour = load(run, &day, number, seen).await?;
    }
    settle(run, suspects, &known).await
}

/// Asks again for what seems to have no row, and adopts what has none, with repair.
async fn settle(run: &Run, mut suspects: Vec<(SegmentId, ObjectInfo)>, known: &KnownInits) -> Result<(), CheckError> {
    suspects.retain(|(id, _)| id.end() <= run.now.plus_us(-YOUNG_US));
    if suspects.is_empty() {
        return Ok(());
    }
    // Most are explained by another row. The rest are asked for again, a little later.
    let mut unexplained = Vec::new();
    for (id, info) in suspects {
        unexplained.extend(orphan(run, id, info).await?);
    }
    let mut orphans = Vec::new();
    if !unexplained.is_empty() {
        tokio::time::sleep(SETTLED).await;
    }
    for (id, info) in unexplained {
        if let Some((id, info)) = orphan(run, id, info).await? {
            run.report.add(Kind::ObjectWithoutRow, Some(&id.stream), &info.key, format!("{} bytes", info.object_bytes));
            orphans.push((id, info));
        }
    }
    if run.options.repair {
        repair(run, orphans, known).await?;
    }
    Ok(())
}

/// Reads the rows of an hour.
async fn load(run: &Run, day: &Day, number: i64, seen: Seen<'_>) -> Result<Hour, CheckError> {
    let start = day.start.plus_us(number * HOUR_US);
    let range = UtcRange::new(start, start.plus_us(HOUR_US));
    let mut rows = BTreeMap::new();
    let mut after: Option<(UtcUs, u64)> = None;
    loop {
        let page = match patiently(async || run.index.rows(&day.stream, range, after, ROWS).await).await {
            Ok(page) => page,
            Err(error) if error.kind == IndexErrorKind::Damaged => {
                // The hour stands for what cannot be named.
                let place = format!("{}{:02}/rows", day.prefix(), number);
                if let Some(key) = ObjectKey::parse(&place) {
                    run.report.add(Kind::DamagedRow, Some(&day.stream), &key, error.to_string());
                }
                seen.summaries.incomplete(&day.stream);
                break;
            }
            Err(error) => return Err(error.into()),
        };
        let Some(last) = page.last() else { break };
        after = Some((last.segment.id.start, last.segment.id.sequence));
        Progress::add(&run.progress.rows, page.len() as u64);
        seen.summaries.add(&day.stream, &page);
        seen.missing.seen(&day.stream, page.iter().filter(|r| r.marked.is_none()).count() as u64);
        for row in page {
            if row.marked.is_none() {
                seen.inits.add(&day.stream, &row.segment);
            }
            rows.insert(row.segment.object.clone(), row);
        }
    }
    Ok(Hour { range, rows })
}

/// What is left of an hour has no object. Marked ones are being deleted.
async fn finish(run: &Run, stream: &StreamName, hour: Hour, seen: Seen<'_>) -> Result<(), CheckError> {
    debug_assert!(hour.rows.values().all(|r| hour.range.contains(r.segment.id.start)));
    for (key, row) in hour.rows.into_iter().filter(|(_, row)| row.marked.is_none()) {
        // Published since it was listed, or listed in another place of the bucket than its name says.
        match patiently(async || run.store.head(&key).await).await {
            Ok(object_bytes) => pair(run, &row, &ObjectInfo { key, object_bytes }).await?,
            Err(error) if error.kind == StoreErrorKind::NotFound => {
                run.report.add(Kind::RowWithoutObject, Some(stream), &key, "");
                seen.missing.add(row.segment.id);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A row and its object.
async fn pair(run: &Run, row: &Row, info: &ObjectInfo) -> Result<(), CheckError> {
    let segment = &row.segment;
    let stream = &segment.id.stream;
    let says = segment.object_offset.saturating_add(segment.object_length);
    if says != info.object_bytes && row.marked.is_none() {
        let detail = format!("{} bytes, its row says {says}", info.object_bytes);
        run.report.add(Kind::SizeDiffers, Some(stream), &info.key, detail);
        return Ok(());
    }
    if !run.options.deep || row.marked.is_some() {
        return Ok(());
    }
    let read = async {
        let read = objects::scan(run, &info.key, info.object_bytes).await?;
        let parts = objects::verify(run, &read.segment, info.object_bytes).await?;
        Ok::<_, Unread>((read, parts))
    };
    let (read, (verified, unverified)) = match read.await {
        Ok(read) => read,
        // Deleted meanwhile, or the next run says so.
        Err(Unread::Gone) => return Ok(()),
        Err(Unread::Damaged(why)) => {
            run.report.add(Kind::DamagedObject, Some(stream), &info.key, why);
            return Ok(());
        }
        Err(Unread::Store(error)) => return Err(error.into()),
    };
    run.report.parts(verified, unverified);
    let number = segment.id.sequence;
    let tables = patiently(async || run.index.sample_tables(stream, number, number.saturating_add(1)).await).await;
    let differs = match tables {
        Ok(tables) if read.segment != *segment => {
            let _ = tables;
            "the row is another".to_owned()
        }
        Ok(tables) if tables.first().is_none_or(|(_, tables)| *tables != read.tables) => {
            "the sample tables are others".to_owned()
        }
        Ok(_) => return Ok(()),
        Err(error) if error.kind == IndexErrorKind::Damaged => error.to_string(),
        Err(error) => return Err(error.into()),
    };
    // Replaced or deleted meanwhile.
    let again = patiently(async || run.index.row(stream, number).await).await;
    if again.is_ok_and(|row| row.is_none_or(|r| r.segment != *segment || r.marked.is_some())) {
        return Ok(());
    }
    run.report.add(Kind::RowDiffers, Some(stream), &info.key, differs);
    Ok(())
}

/// An object that had no row in its hour: reports what another row explains, and gives back what has none.
async fn orphan(run: &Run, id: SegmentId, info: ObjectInfo) -> Result<Option<(SegmentId, ObjectInfo)>, CheckError> {
    let row = match patiently(async || run.index.row(&id.stream, id.sequence).await).await {
        Ok(row) => row,
        Err(error) if error.kind == IndexErrorKind::Damaged => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let found = match row {
        Some(row) if row.segment.object == info.key => return Ok(None),
        Some(row) if row.segment.id.epoch > id.epoch => Some((Kind::SupersededObject, row)),
        Some(row) if row.segment.id.epoch == id.epoch => Some((Kind::ConflictingObject, row)),
        _ => None,
    };
    match patiently(async || run.store.head(&info.key).await).await {
        Ok(_) => {}
        Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    match found {
        Some((kind, row)) => {
            run.report.add(kind, Some(&id.stream), &info.key, format!("its number has {}", row.segment.object));
            Ok(None)
        }
        None => Ok(Some((id, info))),
    }
}

/// Adopts orphans.
async fn repair(run: &Run, orphans: Vec<(SegmentId, ObjectInfo)>, known: &KnownInits) -> Result<(), CheckError> {
    let mut by_stream: BTreeMap<StreamName, Vec<ObjectInfo>> = BTreeMap::new();
    for (id, info) in orphans {
        by_stream.entry(id.stream).or_default().push(info);
    }
    for (stream, objects) in by_stream {
        let (rows, damaged) = adopting::read(run, &objects).await?;
        let rows = place::with_place(run, rows).await?;
        let batch = adopting::Batch { damaged, ..adopting::write(run, &stream, rows, known).await? };
        run.report.repaired(Kind::ObjectWithoutRow, batch.adopted.written + batch.adopted.kept);
        for (key, why) in batch.damaged {
            run.report.add(Kind::DamagedObject, Some(&stream), &key, why);
        }
    }
    Ok(())
}
