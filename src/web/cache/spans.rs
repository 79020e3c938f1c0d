//! What is recorded of long windows, without reading every row each time.
//!
//! Comes in: windows. Goes out: exactly what [`Index::ranges`] says of them. The spans of whole hours are kept, cut to the
//! hour, and read again only when the bytes of that hour, or of the one before (from which a segment may reach in),
//! are others. Never: a summary that is not made of rows; more than [`MOST_BYTES`] in memory.

use crate::index::{Index, IndexError};
use crate::media::{StreamName, UtcRange, UtcUs, timeline};
use futures::{StreamExt, TryStreamExt, stream};
use moka::future::Cache;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

const HOUR_US: i64 = 3_600_000_000;
/// Shorter windows are read as they are.
const LONG_US: i64 = 3 * HOUR_US;
/// Hours that are read with one query.
const HOURS_AT_ONCE: usize = 24;
/// Queries at a time, of one stream.
const QUERIES_AT_ONCE: usize = 4;
/// Spans of one query; a stream with more of them is read as it is.
const MOST_SPANS: usize = 20_000;
/// An hour is read again after so long, whatever its bytes are.
const KEEP_FOR: Duration = Duration::from_secs(600);
/// Memory for hours.
const MOST_BYTES: u64 = 16 << 20;
/// Streams whose hours are being read.
const MOST_TURNS: u64 = 10_000;

/// One hour: what lies in it.
struct Hour {
    /// Bytes of the hour before and of this one when it was read.
    bytes: (u64, u64),
    read: Instant,
    spans: Vec<UtcRange>,
}

/// Spans of whole hours, by stream.
#[derive(Clone)]
pub struct HourSpans {
    index: Arc<dyn Index>,
    hours: Cache<(StreamName, i64), Arc<Hour>>,
    /// One reader of a stream at a time: the others find what it has read.
    turns: Cache<StreamName, Arc<Mutex<()>>>,
}

impl HourSpans {
    /// Nothing is known yet.
    pub fn new(index: Arc<dyn Index>) -> Self {
        let weigh =
            |_: &_, hour: &Arc<Hour>| u32::try_from(192 + hour.spans.len() * size_of::<UtcRange>()).unwrap_or(u32::MAX);
        let hours = Cache::builder().weigher(weigh).max_capacity(MOST_BYTES).build();
        Self { index, hours, turns: Cache::new(MOST_TURNS) }
    }

    /// As [`Index::ranges`].
    ///
    /// # Errors
    /// Whatever the index says.
    pub async fn ranges(
        &self,
        stream: &StreamName,
        window: UtcRange,
        tolerance_us: i64,
        limit: usize,
    ) -> Result<Vec<UtcRange>, IndexError> {
        let is_long = window.end.0.saturating_sub(window.start.0) > LONG_US;
        if is_long && tolerance_us >= timeline::JOIN_TOLERANCE_US {
            let turn = self.turns.get_with(stream.clone(), async { Arc::default() }).await;
            let _mine = turn.lock().await;
            if let Some(spans) = self.by_hour(stream, window).await? {
                let mut ranges = timeline::join(spans, tolerance_us);
                ranges.truncate(limit);
                return Ok(ranges);
            }
        }
        self.index.ranges(stream, window, tolerance_us, limit).await
    }

    /// Spans of a long window, ascending; `None` where there are too many.
    async fn by_hour(&self, stream: &StreamName, window: UtcRange) -> Result<Option<Vec<UtcRange>>, IndexError> {
        let before = UtcUs(hour_of(window.start).saturating_sub(HOUR_US));
        let bytes: BTreeMap<i64, u64> = {
            let hours = self.index.hour_bytes(stream, UtcRange::new(before, window.end)).await?;
            hours.into_iter().map(|(hour, bytes)| (hour.0, bytes)).collect()
        };
        // Where the window begins and ends, segments count that reach out of it: asked for as they are.
        let first = hour_of(window.start);
        let last = hour_of(window.end.plus_us(-1));
        let known = |hour: i64| (at(&bytes, hour.saturating_sub(HOUR_US)), at(&bytes, hour));
        let mut stale = Vec::new();
        let mut hours: Vec<i64> = bytes.keys().flat_map(|hour| [*hour, hour.saturating_add(HOUR_US)]).collect();
        hours.dedup();
        hours.retain(|hour| (first..=last).contains(hour));
        let mut kept: BTreeMap<i64, Arc<Hour>> = BTreeMap::new();
        for &hour in hours.iter().filter(|hour| **hour != first && **hour != last) {
            match self.hours.get(&(stream.clone(), hour)).await {
                Some(found) if found.bytes == known(hour) && found.read.elapsed() < KEEP_FOR => {
                    kept.insert(hour, found);
                }
                _ => stale.push(hour),
            }
        }
        let runs = runs_of(&stale).into_iter().map(|run| self.read(stream, run, known));
        let read: Vec<Option<Vec<Arc<Hour>>>> = stream::iter(runs).buffered(QUERIES_AT_ONCE).try_collect().await?;
        for (run, read) in runs_of(&stale).iter().zip(read) {
            let Some(read) = read else { return Ok(None) };
            kept.extend(run.iter().copied().zip(read));
        }
        let mut spans = Vec::new();
        for hour in hours {
            if hour == first || hour == last {
                let part =
                    UtcRange::new(UtcUs(hour).max(window.start), UtcUs(hour.saturating_add(HOUR_US)).min(window.end));
                let tolerance_us = timeline::JOIN_TOLERANCE_US;
                let found = self.index.ranges(stream, part, tolerance_us, MOST_SPANS).await?;
                if found.len() == MOST_SPANS {
                    return Ok(None);
                }
                spans.extend(found);
            } else if let Some(hour) = kept.get(&hour) {
                spans.extend(&hour.spans);
            }
        }
        Ok(Some(spans))
    }

    /// Reads consecutive hours; `None` where they hold too many spans.
    async fn read(
        &self,
        stream: &StreamName,
        run: Vec<i64>,
        known: impl Fn(i64) -> (u64, u64),
    ) -> Result<Option<Vec<Arc<Hour>>>, IndexError> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(Some(Vec::new())) };
        let window = UtcRange::new(UtcUs(*first), UtcUs(last.saturating_add(HOUR_US)));
        let read = Instant::now();
        let found = self.index.ranges(stream, window, timeline::JOIN_TOLERANCE_US, MOST_SPANS).await?;
        if found.len() == MOST_SPANS {
            return Ok(None);
        }
        let mut hours = Vec::with_capacity(run.len());
        let mut from = 0;
        for hour in run {
            let whole = UtcRange::new(UtcUs(hour), UtcUs(hour.saturating_add(HOUR_US)));
            from += found.iter().skip(from).take_while(|range| range.end <= whole.start).count();
            let inside = found.iter().skip(from).take_while(|range| range.start < whole.end);
            let spans = inside.filter_map(|range| range.intersect(whole)).collect();
            let hour_spans = Arc::new(Hour { bytes: known(hour), read, spans });
            self.hours.insert((stream.clone(), hour), hour_spans.clone()).await;
            hours.push(hour_spans);
        }
        Ok(Some(hours))
    }
}

fn hour_of(moment: UtcUs) -> i64 {
    moment.0.div_euclid(HOUR_US).saturating_mul(HOUR_US)
}

fn at(bytes: &BTreeMap<i64, u64>, hour: i64) -> u64 {
    bytes.get(&hour).copied().unwrap_or(0)
}

/// Consecutive hours together, at most [`HOURS_AT_ONCE`].
fn runs_of(hours: &[i64]) -> Vec<Vec<i64>> {
    let mut runs: Vec<Vec<i64>> = Vec::new();
    for &hour in hours {
        match runs.last_mut() {
            Some(run) if run.len() < HOURS_AT_ONCE && run.last() == Some(&(hour - HOUR_US)) => run.push(hour),
            _ => runs.push(vec![hour]),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index;
    use crate::media::segment::{SegmentId, SegmentWithTables};
    use crate::media::{RunId, Segment, Ticks};

    /// Knuth, MMIX.
    struct Random(u64);

    impl Random {
        fn below(&mut self, n: i64) -> i64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as i64 % n
        }
    }

    fn segment(stream: &StreamName, sequence: u64, start_s: i64, seconds: i64, bytes: u64) -> SegmentWithTables {
        let id = SegmentId {
            stream: stream.clone(),
            run: RunId(1),
            epoch: 1,
            sequence,
            start: UtcUs::from_seconds(start_s),
            duration_us: seconds * 1_000_000,
        };
        let object = id.object_key().unwrap();
        let segment = Segment {
            id,
            discontinuity: 0,
            anchor: Ticks(0),
            object,
            object_offset: 0,
            object_length: bytes,
            tracks: Vec::new(),
        };
        SegmentWithTables { segment, tables: Vec::new() }
    }

    /// Segments of all lengths over two days, with gaps, many across the hour; read, changed, read again.
    #[tokio::test]
    async fn the_same_as_the_index_says_whatever_changes() {
        const FROM_S: i64 = 1_409_097_600;
        let dir = tempfile::tempdir().unwrap();
        let index = index::open(&format!("sqlite:{}/index.db", dir.path().display())).await.unwrap();
        index.migrate().await.unwrap();
        let (spans, stream) = (HourSpans::new(index.clone()), StreamName::parse("a/b").unwrap());
        let mut random = Random(11);
        let mut at_s = FROM_S;
        let mut made = Vec::new();
        while at_s < FROM_S + 48 * 3600 {
            let seconds = 1 + random.below(120);
            made.push(segment(&stream, made.len() as u64, at_s, seconds, 1 + random.below(9000) as u64));
            at_s += seconds + if random.below(6) == 0 { random.below(9000) } else { 0 };
        }
        // Every third comes late.
        let (late, first): (Vec<_>, Vec<_>) = made.iter().cloned().partition(|s| s.segment.id.sequence % 3 == 1);
        index.adopt(&stream, &first, &[]).await.unwrap();
        let mut late = late.chunks(20);
        for round in 0..40 {
            match round % 4 {
                0 => drop(index.adopt(&stream, late.next().unwrap_or_default(), &[]).await.unwrap()),
                1 => {
                    let one = made[random.below(made.len() as i64) as usize].segment.id.clone();
                    index.mark(&[one], UtcUs::from_seconds(at_s)).await.unwrap();
                }
                _ => {}
            }
            let mut moment = |s: i64| UtcUs::from_seconds(FROM_S - 7200 + random.below(s / 7) * 7);
            let (a, b) = (moment(54 * 3600), moment(54 * 3600));
            let on_the_hour = UtcRange::new(UtcUs(hour_of(a.min(b))), UtcUs(hour_of(a.max(b))));
            let all = UtcRange::new(UtcUs(0), UtcUs(i64::MAX));
            for window in [UtcRange::new(a.min(b), a.max(b)), on_the_hour, all] {
                for (tolerance_us, limit) in [(timeline::JOIN_TOLERANCE_US, 10_000), (600_000_000, 7), (0, 100)] {
                    let said = index.ranges(&stream, window, tolerance_us, limit).await.unwrap();
                    let found = spans.ranges(&stream, window, tolerance_us, limit).await.unwrap();
                    assert_eq!(found, said, "round {round}, {window:?}, {tolerance_us}, {limit}");
                }
            }
        }
    }

    #[test]
    fn hours_that_follow_each_other_are_read_together() {
        let hours: Vec<i64> = [1, 2, 3, 7, 8].iter().map(|n| n * HOUR_US).collect();
        let runs = runs_of(&hours);
        assert_eq!(runs.iter().map(Vec::len).collect::<Vec<_>>(), [3, 2]);
        let many: Vec<i64> = (0..50).map(|n| n * HOUR_US).collect();
        assert_eq!(runs_of(&many).iter().map(Vec::len).collect::<Vec<_>>(), [24, 24, 2]);
        assert!(runs_of(&[]).is_empty());
        assert_eq!(hour_of(UtcUs(-1)), -HOUR_US);
    }
}
