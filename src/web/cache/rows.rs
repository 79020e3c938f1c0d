//! Rows of the index, read once for all who want them: the only way by which playback asks the index.
//!
//! Comes in: windows. Goes out: views of rows, never older than one that was given before. Rows are kept in
//! blocks of one hour. A block is read again when the live edge has moved inside it (only what is new), and from
//! time to time wholly: a late segment or one that retention took off the list shows up then.

use super::refreshed::{Kept, Refreshed};
use super::spans::HourSpans;
use super::tables::{self, Tables};
use crate::index::{Extent, Index, IndexError};
use crate::media::segment::LONGEST_SEGMENT_US;
use crate::media::track::Uncarried;
use crate::media::{InitHash, InitInfo, Segment, StreamName, UtcRange, UtcUs};
use crate::playback::export::TableSet;
use crate::playback::view::{BLOCK_US, Block, View, block_of, block_range};
use futures::{StreamExt, TryStreamExt, stream};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The live edge is asked for no more often.
const EXTENT_FRESH: Duration = Duration::from_millis(300);
/// A block that ended lately is read again after so long.
const BLOCK_FRESH: Duration = Duration::from_secs(5);
/// An older one after so long.
const OLD_BLOCK_FRESH: Duration = Duration::from_secs(30);
/// What "lately" is.
const LATELY_US: i64 = 2 * BLOCK_US;
/// Spans of recordings, and what is not recorded.
const SPANS_FRESH: Duration = Duration::from_secs(1);
/// Bytes of small things: extents, init segments, spans.
const SMALL_BYTES: u64 = 8 << 20;
/// Rows of one query.
const PAGE_ROWS: usize = 5000;
/// Rows of one block: more than ten a second.
const MOST_BLOCK_ROWS: usize = 40_000;
/// Blocks read at once for one request.
const BLOCKS_AT_ONCE: usize = 8;
/// Hours looked back for the newest segments before the index is asked outright.
const HOURS_BACK: i64 = 3;
/// Rough size of a rendered segment in a playlist, in bytes.
const RENDERED_BYTES: usize = 256;

type BlockKey = (StreamName, i64);

/// One hour as it was read.
struct Hour {
    block: Arc<Block>,
    /// The live edge was at least here when the reading began.
    edge: UtcUs,
    /// When all of it was last read.
    whole: Instant,
}

/// Rows for a window, and how far they reach.
pub struct Found {
    /// The rows.
    pub view: View,
    /// They hold all that is listed before this moment; the live edge that was asked for, unless the index is
    /// out of reach.
    pub edge: UtcUs,
}

/// What of a stream is recorded, and how old that knowledge is.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// First start and live edge.
    pub extent: Extent,
    /// How old it is beyond what is normal; zero unless the index is out of reach.
    pub stale: Duration,
}

/// Rows, sample tables and all else that the index says.
pub struct Rows {
    index: Arc<dyn Index>,
    extents: Refreshed<StreamName, Option<Extent>>,
    hours: Refreshed<BlockKey, Hour>,
    newest: Refreshed<(StreamName, UtcUs, usize), Vec<Segment>>,
    inits: Refreshed<(StreamName, InitHash), Option<InitInfo>>,
    spans: Refreshed<(StreamName, UtcRange, i64, usize), Vec<UtcRange>>,
    hour_spans: HourSpans,
    uncarried: Refreshed<StreamName, Vec<Uncarried>>,
    tables: Tables,
}

impl Rows {
    /// Rows of `index`; about `most_bytes` are kept.
    pub fn new(index: Arc<dyn Index>, most_bytes: u64) -> Self {
        let weigh_hour = |_: &BlockKey, hour: &Hour| {
            let rows = hour.block.segments();
            let tracks = rows.last().map_or(0, |s| s.tracks.len());
            hour.block.memory_bytes() + rows.len() * (tracks + 1) * RENDERED_BYTES
        };
        let weigh_rows =
            |_: &(StreamName, UtcUs, usize), rows: &Vec<Segment>| rows.len() * (size_of::<Segment>() + 1024);
        let weigh_init =
            |_: &_, init: &Option<InitInfo>| 256 + init.as_ref().map_or(0, |i| i.params.sample_entry.len());
        Self {
            index: index.clone(),
            extents: Refreshed::new("extent", SMALL_BYTES, |stream, _| stream.as_str().len() + 64),
            hours: Refreshed::new("rows", most_bytes / 3 * 2, weigh_hour),
            newest: Refreshed::new("newest", SMALL_BYTES, weigh_rows),
            inits: Refreshed::new("init", SMALL_BYTES, weigh_init),
            spans: Refreshed::new("spans", SMALL_BYTES, |_, spans| 128 + spans.len() * size_of::<UtcRange>()),
            hour_spans: HourSpans::new(index.clone()),
            uncarried: Refreshed::new("uncarried", SMALL_BYTES, |_, list| 128 + list.len() * 256),
            tables: Tables::new(index, most_bytes / 3),
        }
    }

    /// First start and live edge of what is listed; `None` when nothing is.
    ///
    /// # Errors
    /// Whatever the index says, when nothing is known from before.
    pub async fn extent(&self, stream: &StreamName) -> Result<Option<Known>, IndexError> {
        let read = |_| {
            let (index, stream) = (self.index.clone(), stream.clone());
            async move { index.extent(&stream).await }
        };
        let kept = self.extents.get(stream, |kept| kept.age() < EXTENT_FRESH, read).await?;
        let stale = kept.age().saturating_sub(EXTENT_FRESH);
        Ok(kept.value.map(|extent| Known { extent, stale }))
    }

    /// All listed segments that overlap `range`. `extent`: what was said to be recorded.
    ///
    /// # Errors
    /// Whatever the index says, when not all of the rows are known from before.
    pub async fn overlapping(
        &self,
        stream: &StreamName,
        extent: &Extent,
        range: UtcRange,
    ) -> Result<Found, IndexError> {
        let first = range.start.plus_us(-LONGEST_SEGMENT_US).max(extent.first_start);
        let end = range.end.min(extent.live_edge);
        if range.is_empty() || first >= end {
            return Ok(Found { view: View::default(), edge: extent.live_edge });
        }
        let hours = block_of(first)..block_of(end.plus_us(-1)) + 1;
        let (blocks, edge) = self.blocks(stream, extent, hours).await?;
        Ok(Found { view: View::overlapping(&blocks, range), edge })
    }

    /// The newest `count` listed segments that start before `before`, which is not after the live edge of `extent`.
    ///
    /// # Errors
    /// As [`Rows::overlapping`].
    pub async fn newest(
        &self,
        stream: &StreamName,
        extent: &Extent,
        before: UtcUs,
        count: usize,
    ) -> Result<Found, IndexError> {
        let last = block_of(before.min(extent.live_edge).plus_us(-1));
        let first = block_of(extent.first_start).max(last - HOURS_BACK);
        let mut from = last;
        let (mut blocks, mut edge) = (Vec::new(), extent.live_edge);
        while from >= first {
            let (mut earlier, seen) = self.blocks(stream, extent, from..from + 1).await?;
            earlier.append(&mut blocks);
            (blocks, edge) = (earlier, edge.min(seen));
            match View::newest(&blocks, before, count) {
                Some(view) if view.len() == count || from <= block_of(extent.first_start) => {
                    return Ok(Found { view, edge });
                }
                Some(_) => from -= 1,
                None => break,
            }
        }
        let key = (stream.clone(), before, count);
        let read = |_| {
            let (index, key) = (self.index.clone(), key.clone());
            async move { index.newest(&key.0, key.1, key.2).await }
        };
        let kept = self.newest.get(&key, |kept| kept.age() < EXTENT_FRESH, read).await?;
        Ok(Found { view: View::of(kept.value.clone()), edge: extent.live_edge })
    }

    /// Blocks `hours`, and up to where they are whole.
    async fn blocks(
        &self,
        stream: &StreamName,
        extent: &Extent,
        hours: Range<i64>,
    ) -> Result<(Vec<Arc<Block>>, UtcUs), IndexError> {
        let mut edge = extent.live_edge;
        let mut blocks = Vec::with_capacity(usize::try_from(hours.end - hours.start).unwrap_or(0));
        let mut take = |hour: i64, kept: Arc<Kept<Hour>>| {
            if kept.value.edge < extent.live_edge.min(block_range(hour).end) {
                edge = edge.min(kept.value.edge);
            }
            blocks.push(kept.value.block.clone());
        };
        if hours.end - hours.start <= 2 {
            for hour in hours {
                take(hour, self.hour(stream, extent, hour).await?);
            }
        } else {
            let reads = hours.map(|hour| async move { Ok((hour, self.hour(stream, extent, hour).await?)) });
            let mut reads = stream::iter(reads).buffered(BLOCKS_AT_ONCE);
            while let Some((hour, kept)) = reads.try_next().await? {
                take(hour, kept);
            }
        }
        Ok((blocks, edge))
    }

    async fn hour(&self, stream: &StreamName, extent: &Extent, hour: i64) -> Result<Arc<Kept<Hour>>, IndexError> {
        let range = block_range(hour);
        let live_edge = extent.live_edge;
        let lately = live_edge.since(range.end) < LATELY_US;
        let keep_for = if lately { BLOCK_FRESH } else { OLD_BLOCK_FRESH };
        let fresh = move |kept: &Kept<Hour>| {
            kept.value.edge >= live_edge.min(range.end) && kept.value.whole.elapsed() < keep_for
        };
        let read = |old: Option<Arc<Kept<Hour>>>| {
            let (index, stream) = (self.index.clone(), stream.clone());
            async move { read_hour(&*index, &stream, hour, live_edge, old, keep_for).await }
        };
        self.hours.get(&(stream.clone(), hour), fresh, read).await
    }

    /// What the init segments `hashes` say; unknown ones are left out.
    ///
    /// # Errors
    /// Whatever the index says.
    pub async fn inits(&self, stream: &StreamName, hashes: &[InitHash]) -> Result<Vec<InitInfo>, IndexError> {
        let mut found = Vec::with_capacity(hashes.len());
        for &hash in hashes {
            let read = |_| {
                let (index, stream) = (self.index.clone(), stream.clone());
                async move { Ok(index.inits(&stream, &[hash]).await?.pop()) }
            };
            // What a hash says never changes; that nothing is known of it may.
            let fresh = |kept: &Kept<Option<InitInfo>>| kept.value.is_some() || kept.age() < SPANS_FRESH;
            found.extend(self.inits.get(&(stream.clone(), hash), fresh, read).await?.value.clone());
        }
        Ok(found)
    }

    /// Adds the sample tables of `segments`, as (sequence, epoch), to `set`. Those that are not there are left out.
    ///
    /// # Errors
    /// Whatever the index says.
    pub async fn tables(
        &self,
        stream: &StreamName,
        segments: &[tables::Name],
        set: &mut TableSet,
    ) -> Result<(), IndexError> {
        self.tables.add(stream, segments, set).await
    }

    /// Spans of listed segments: see [`Index::ranges`].
    ///
    /// # Errors
    /// Whatever the index says, when nothing is known from before.
    pub async fn ranges(
        &self,
        stream: &StreamName,
        window: UtcRange,
        tolerance_us: i64,
        limit: usize,
    ) -> Result<Vec<UtcRange>, IndexError> {
        let read = |_| {
            let (spans, stream) = (self.hour_spans.clone(), stream.clone());
            async move { spans.ranges(&stream, window, tolerance_us, limit).await }
        };
        let key = (stream.clone(), window, tolerance_us, limit);
        let kept = self.spans.get(&key, |kept| kept.age() < SPANS_FRESH, read).await?;
        Ok(kept.value.clone())
    }

    /// What of the source is not recorded.
    ///
    /// # Errors
    /// Whatever the index says, when nothing is known from before.
    pub async fn uncarried(&self, stream: &StreamName) -> Result<Vec<Uncarried>, IndexError> {
        let read = |_| {
            let (index, stream) = (self.index.clone(), stream.clone());
            async move { index.uncarried(&stream).await }
        };
        let kept = self.uncarried.get(stream, |kept| kept.age() < SPANS_FRESH, read).await?;
        Ok(kept.value.clone())
    }
}

/// Reads an hour, or what is new in it when the rest was read a moment ago.
async fn read_hour(
    index: &dyn Index,
    stream: &StreamName,
    hour: i64,
    live_edge: UtcUs,
    old: Option<Arc<Kept<Hour>>>,
    keep_for: Duration,
) -> Result<Hour, IndexError> {
    let begun = Instant::now();
    let range = block_range(hour);
    let tail_of = old.as_ref().map(|kept| &kept.value).filter(|hour| begun.duration_since(hour.whole) < keep_for);
    let mut after = tail_of.and_then(|hour| hour.block.segments().last()).map(|s| s.id.sequence);
    let mut new: Vec<Segment> = Vec::new();
    loop {
        let page = index.window(stream, range, after, PAGE_ROWS).await?;
        let full = page.len() == PAGE_ROWS;
        after = page.last().map(|s| s.id.sequence).or(after);
        // What reaches in from the hour before is of that hour.
        new.extend(page.into_iter().filter(|s| block_of(s.id.start) == hour));
        if !full || new.len() >= MOST_BLOCK_ROWS {
            break;
        }
    }
    // As far as known when the reading began: what was published since may or may not be here.
    let edge = old.as_ref().map_or(live_edge, |kept| kept.value.edge.max(live_edge));
    let before = old.as_ref().map(|kept| &kept.value.block);
    let (block, whole) = match (tail_of, before) {
        (Some(hour), _) if new.is_empty() => (hour.block.clone(), hour.whole),
        (Some(hour), _) => {
            let rows = hour.block.segments().iter().cloned().chain(new).collect();
            (Arc::new(Block::new(rows)), hour.whole)
        }
        // The same as before: what was made of it is still good.
        (None, Some(block)) if block.segments() == new => (block.clone(), begun),
        (None, _) => (Arc::new(Block::new(new)), begun),
    };
    Ok(Hour { block, edge, whole })
}
