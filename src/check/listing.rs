//! Which days of which streams there are, in bucket or index.
//!
//! Comes in: listings of one key each, which hop from day to day; the next row after each day. Goes out: each day of each
//! stream once, as soon as it is known. Never: a listing of everything.

use super::report::Kind;
use super::{CheckError, Progress, Run, patiently};
use crate::index::Index;
use crate::media::segment::{SegmentId, civil_hour};
use crate::media::{InitHash, ObjectKey, StreamName, UtcRange, UtcUs};
use crate::store::{ObjectInfo, ObjectStore};
use std::collections::BTreeSet;
use tokio::sync::mpsc::Sender;

/// Microseconds of a UTC day.
pub(super) const DAY_US: i64 = 86_400_000_000;
/// First moment of the year 10000: nothing is recorded there.
const END_OF_TIME: UtcUs = UtcUs(253_402_300_800_000_000);
/// Keys in one listing, where none can be hopped over.
const PAGE: usize = 1000;

/// A UTC day of a stream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Day {
    pub stream: StreamName,
    pub start: UtcUs,
}

impl Day {
    /// The day in which `at` lies.
    pub fn of(stream: &StreamName, at: UtcUs) -> Self {
        Self { stream: stream.clone(), start: UtcUs(at.0.div_euclid(DAY_US) * DAY_US) }
    }

    /// What the keys of its objects begin with.
    pub fn prefix(&self) -> String {
        let (year, month, day, _) = civil_hour(self.start).unwrap_or_default();
        format!("{}/{year:04}/{month:02}/{day:02}/", self.stream)
    }

    pub fn range(&self) -> UtcRange {
        UtcRange::new(self.start, self.start.plus_us(DAY_US))
    }
}

/// What a key names.
pub(super) enum Named {
    Segment(SegmentId),
    Init(StreamName),
    Foreign,
}

/// Reads a key.
pub(super) fn named(key: &ObjectKey) -> Named {
    if let Some(id) = SegmentId::parse_object_key(key) {
        return Named::Segment(id);
    }
    let init = key.as_str().strip_suffix(".mp4").and_then(|rest| rest.rsplit_once("/init/"));
    let stream = init.filter(|(_, hash)| InitHash::parse(hash).is_some());
    match stream.and_then(|(stream, _)| StreamName::parse(stream).ok()) {
        Some(stream) => Named::Init(stream),
        None => Named::Foreign,
    }
}

/// Sends every day of the streams that are asked for, each once. Ends early when nobody takes them.
pub(super) async fn discover(run: &Run, days: &Sender<Day>) -> Result<(), CheckError> {
    let mut seen = BTreeSet::new();
    let wanted = &run.options.streams;
    let prefixes: Vec<String> =
        if wanted.is_empty() { vec![String::new()] } else { wanted.iter().map(|s| format!("{s}/")).collect() };
    for prefix in &prefixes {
        let foreign = |info: &ObjectInfo| {
            Progress::add(&run.progress.objects, 1);
            run.report.add(Kind::ForeignFile, None, &info.key, format!("{} bytes", info.object_bytes));
        };
        let mut hop = Hop::new(prefix.clone());
        while let Some(day) = hop.next(run.store.as_ref(), foreign).await? {
            let asked = wanted.is_empty() || wanted.contains(&day.stream);
            if asked && seen.insert(day.clone()) && days.send(day).await.is_err() {
                return Ok(());
            }
        }
    }
    let mut streams: Vec<StreamName> = patiently(async || run.index.streams().await).await?;
    streams.retain(|s| wanted.is_empty() || wanted.contains(s));
    for stream in &streams {
        run.report.stream(stream);
        let mut from = UtcUs(0);
        while let Some(day) = next_day(run.index.as_ref(), stream, from).await? {
            from = day.range().end;
            if seen.insert(day.clone()) && days.send(day).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The first day from `from` on that has rows. A row that cannot be read is dealt with where its day is compared: then
/// the next day is tried.
async fn next_day(index: &dyn Index, stream: &StreamName, from: UtcUs) -> Result<Option<Day>, CheckError> {
    let rest = UtcRange::new(from, END_OF_TIME);
    match patiently(async || index.rows(stream, rest, None, 1).await).await {
        Ok(rows) => Ok(rows.first().map(|row| Day::of(stream, row.segment.id.start))),
        Err(error) if error.kind == crate::index::IndexErrorKind::Damaged => {
            let extent = patiently(async || index.extent(stream).await).await?;
            let first = extent.map(|e| e.first_start.max(from)).filter(|f| extent.is_some_and(|e| *f < e.live_edge));
            Ok(first.map(|at| Day::of(stream, at)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Hops over a listing from day to day.
pub(super) struct Hop {
    prefix: String,
    after: Option<ObjectKey>,
    step: usize,
    /// Foreign files, not shown yet: whoever looks at a day meets those of its folder.
    foreign: Vec<ObjectInfo>,
}

impl Hop {
    pub fn new(prefix: String) -> Self {
        Self { prefix, after: None, step: 1, foreign: Vec::new() }
    }

    /// The next day that has objects. What is none of ours, and in no such day's folder, is shown to `foreign`.
    pub async fn next(
        &mut self,
        store: &dyn ObjectStore,
        foreign: impl Fn(&ObjectInfo),
    ) -> Result<Option<Day>, CheckError> {
        loop {
            let page = patiently(async || store.list(&self.prefix, self.after.as_ref(), self.step).await).await?;
            let Some(last) = page.last() else {
                self.foreign.drain(..).for_each(|info| foreign(&info));
                return Ok(None);
            };
            if self.foreign.len() > PAGE {
                self.foreign.drain(..).for_each(|info| foreign(&info));
            }
            self.after = Some(last.key.clone());
            // As long as nothing can be hopped over, larger and larger steps.
            self.step = (self.step * 4).min(PAGE);
            for info in &page {
                match named(&info.key) {
                    Named::Segment(id) => {
                        let day = Day::of(&id.stream, id.start);
                        let prefix = day.prefix();
                        let outside = |info: &ObjectInfo| !info.key.as_str().starts_with(&prefix);
                        self.foreign.drain(..).filter(outside).for_each(|info| foreign(&info));
                        self.hop_over(&prefix);
                        return Ok(Some(day));
                    }
                    Named::Init(stream) => {
                        self.hop_over(&format!("{stream}/init/"));
                        break;
                    }
                    Named::Foreign => self.foreign.push(info.clone()),
                }
            }
        }
    }

    fn hop_over(&mut self, folder: &str) {
        // No file of ours begins with a tilde, and none sorts after it.
        self.after = ObjectKey::parse(&format!("{folder}~")).or(self.after.take());
        self.step = 1;
    }
}
