//! Looking after shadows: what the archive lacks is filled in from them, what it has is let go.
//!
//! Comes in: shadows, and the rows of their time. Goes out: segments in the place of free numbers, fewer shadows.
//! A number that no row has lies between two that have: whoever has the media of that time may fill it, also without
//! the lease (docs/decisions/0006). Never: changes a number or a row that is there.

use super::RecordedStream;
use super::ground::with_tables;
use super::members::Shared;
use super::segmenter::CutSegment;
use super::shadow;
use super::spool::StreamSpool;
use super::timeline::{self, Joint, LEAST_GAP_US};
use crate::crash_points::reached;
use crate::index::Published;
use crate::media::segment::{LONGEST_SEGMENT_US, SegmentId, SegmentWithTables};
use crate::media::track::InitInfo;
use crate::media::{ObjectKey, Segment, UtcRange};
use crate::playback::plan::MAX_LOST;
use std::io;
use std::sync::Arc;

/// Rows looked at in one go.
const PAGE: usize = 500;
/// Rows looked at in all: some hours.
const MOST_ROWS: usize = 10_000;
/// Shadows this near to a gap may reach into it: the clocks of two recorders differ.
const NEAR_US: i64 = 5_000_000;

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tended {
    /// Segments filled in.
    pub filled: u64,
    /// Shadows let go because the archive has what is in them.
    pub covered: u64,
}

/// A gap between two committed segments.
struct Gap {
    before: Segment,
    after: Segment,
}

impl Gap {
    fn range(&self) -> UtcRange {
        UtcRange::new(self.before.id.end(), self.after.id.start)
    }

    fn free_numbers(&self) -> u64 {
        self.after.id.sequence - self.before.id.sequence - 1
    }

    fn can_be_filled(&self) -> bool {
        (1..=MAX_LOST).contains(&self.free_numbers())
    }
}

/// What the shadows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shadows {
    /// Shadows are being added, by one that stands by; the last minutes are kept.
    Growing,
    /// What whoever publishes has left, because it lies before the end of what is committed.
    Placed,
    /// Nobody adds to them any more.
    Left,
}

/// Fills and lets go.
pub async fn tend(shared: Arc<Shared>, recorded: RecordedStream, spool: StreamSpool, kind: Shadows) -> Tended {
    let mut done = Tended::default();
    if let Err(error) = try_tend(&shared, &recorded, &spool, kind, &mut done).await {
        tracing::debug!(stream = %recorded.name, %error, "the shadows are looked after later");
    }
    done
}

async fn try_tend(
    shared: &Shared,
    recorded: &RecordedStream,
    spool: &StreamSpool,
    kind: Shadows,
    done: &mut Tended,
) -> anyhow::Result<()> {
    let shadows = spool.all_shadows()?;
    let (first, last) = (shadows.iter().map(|s| s.start).min(), shadows.iter().map(SegmentId::end).max());
    let (Some(first), Some(last)) = (first, last) else { return Ok(()) };
    let index = &*shared.environment.index;
    let Some(edge) = index.tail(&recorded.name).await?.end else { return Ok(()) };
    let window = UtcRange::new(first.plus_us(-LONGEST_SEGMENT_US), last.max(edge).plus_us(LONGEST_SEGMENT_US));
    let mut rows: Vec<Segment> = Vec::new();
    let mut are_all = false;
    while !are_all && rows.len() < MOST_ROWS {
        let page = index.window(&recorded.name, window, rows.last().map(|r| r.id.sequence), PAGE).await?;
        are_all = page.len() < PAGE;
        rows.extend(page);
    }
    // Of what comes behind rows that were not looked at, nothing is known.
    let seen_to = if are_all { edge } else { rows.last().map_or(first, |row| row.id.end()) };
    let gap = |pair: &[Segment]| match pair {
        [before, after] if after.id.start.since(before.id.end()) >= LEAST_GAP_US => {
            Some(Gap { before: before.clone(), after: after.clone() })
        }
        _ => None,
    };
    let mut open = Vec::new();
    for gap in rows.windows(2).filter_map(gap) {
        let near = UtcRange::new(gap.range().start.plus_us(-NEAR_US), gap.range().end.plus_us(NEAR_US));
        let inside: Vec<SegmentId> = shadows.iter().filter(|s| range(s).overlaps(near)).cloned().collect();
        if inside.is_empty() {
            continue;
        }
        let reaches = inside.iter().any(|s| s.end() >= gap.range().end);
        let more_to_come = kind == Shadows::Growing && !reaches;
        if !gap.can_be_filled() || more_to_come {
            open.push((gap, more_to_come));
            continue;
        }
        let filled = fill(shared, spool, &rows, &gap, &inside).await;
        tracing::debug!(stream = %recorded.name, free_numbers = gap.free_numbers(), start_utc_us = gap.range().start.0,
            gap_us = gap.range().duration_us(), shadows = inside.len(), ?filled, "a gap between two segments");
        match filled {
            Ok(0) => open.push((gap, false)),
            // What is left of it is seen the next time.
            Ok(filled) => {
                done.filled += filled;
                open.push((gap, true));
            }
            Err(error) => {
                tracing::debug!(stream = %recorded.name, %error, "a gap could not be filled yet");
                open.push((gap, true));
            }
        }
    }
    let keep_us = match kind {
        Shadows::Growing => i64::try_from(shared.environment.tuning.standby_keep.as_micros())?,
        Shadows::Placed | Shadows::Left => 0,
    };
    for id in &shadows {
        if id.end() > edge.plus_us(-keep_us).min(seen_to) {
            continue;
        }
        let in_gap = open.iter().find(|(gap, _)| range(id).overlaps(gap.range()));
        match in_gap {
            // What the archive has before its first row, or after a gap that is still open, is not known to be there.
            Some((_, true)) => continue,
            Some((gap, false)) if id.epoch > 0 || kind == Shadows::Left => {
                tracing::error!(stream = %id.stream, start_utc_us = id.start.0, free_numbers = gap.free_numbers(),
                    "a segment that the archive lacks cannot be filled in; it was moved to the folder `damaged` of its spool");
                metrics::counter!("evertape_spool_damaged_total", "stream" => id.stream.to_string()).increment(1);
                spool.quarantine_shadow(id)?;
            }
            _ => {
                spool.remove_shadow(id)?;
                done.covered += 1;
                metrics::counter!("evertape_segments_covered_total", "stream" => id.stream.to_string()).increment(1);
                reached("shadow.let-go");
            }
        }
    }
    Ok(())
}

fn range(id: &SegmentId) -> UtcRange {
    UtcRange::new(id.start, id.end())
}

/// Fills `gap` from `shadows`; gives the number of segments. 0 when they do not go on from what is before it.
async fn fill(
    shared: &Shared,
    spool: &StreamSpool,
    rows: &[Segment],
    gap: &Gap,
    shadows: &[SegmentId],
) -> anyhow::Result<u64> {
    let environment = &shared.environment;
    let upto = rows.iter().filter(|r| r.id.sequence <= gap.before.id.sequence).count();
    let before = rows.get(upto.saturating_sub(3)..upto).unwrap_or_default();
    let committed = with_tables(&*environment.index, &gap.before.id.stream, before.to_vec()).await?;
    let Some(joint) = Joint::after(&committed) else { return Ok(0) };
    let (reader, ids, gap_end) = (spool.clone(), shadows.to_vec(), gap.after.clone());
    let segment_us = i64::from(environment.segment_seconds) * 1_000_000;
    let free = gap.free_numbers();
    let pieces = tokio::task::spawn_blocking(move || {
        let placed = timeline::between(&joint, &ids, |id| read(&reader, id), &gap_end)?;
        let Some(whole) = timeline::concatenate(placed) else { return Ok(Vec::new()) };
        let count = u64::try_from(whole.duration_us)?.div_ceil(u64::try_from(segment_us)?).clamp(1, free);
        anyhow::Ok(timeline::divide(whole, usize::try_from(count)?))
    })
    .await??;
    let mut filled = 0;
    for (n, cut) in (1..).zip(pieces) {
        let id = SegmentId {
            stream: gap.before.id.stream.clone(),
            run: gap.before.id.run,
            // Below all leases: what a holder publishes holds.
            epoch: 0,
            sequence: gap.before.id.sequence + n,
            start: cut.start,
            duration_us: cut.duration_us,
        };
        if publish(shared, &id, gap.before.discontinuity, cut).await? {
            filled += 1;
            metrics::counter!("evertape_segments_filled_total", "stream" => id.stream.to_string()).increment(1);
        }
    }
    Ok(filled)
}

/// Reads a shadow; one that makes no sense is set aside, so that it does not keep the others from their place.
fn read(spool: &StreamSpool, id: &SegmentId) -> anyhow::Result<CutSegment> {
    let object = spool.shadow(id)?;
    shadow::read(spool, id, object).inspect_err(|error| {
        let may_pass = error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() != io::ErrorKind::NotFound);
        if !may_pass {
            tracing::error!(stream = %id.stream, start_utc_us = id.start.0, %error,
                "a spooled segment cannot be read; it was moved to the folder `damaged` of its spool");
            metrics::counter!("evertape_spool_damaged_total", "stream" => id.stream.to_string()).increment(1);
            if let Err(error) = spool.quarantine_shadow(id) {
                tracing::error!(stream = %id.stream, start_utc_us = id.start.0, %error, "and could not be moved");
            }
        }
    })
}

async fn publish(shared: &Shared, id: &SegmentId, discontinuity: u64, cut: CutSegment) -> anyhow::Result<bool> {
    let environment = &shared.environment;
    let (object, segment) = shadow::encode(id, discontinuity, &cut)?;
    let mut inits: Vec<InitInfo> = Vec::new();
    for part in &cut.parts {
        let info = &part.init.info;
        if inits.iter().all(|i| i.hash != info.hash) {
            environment
                .store
                .put(&ObjectKey::init(&id.stream, info.hash), part.init.bytes.clone(), "video/mp4")
                .await?;
            inits.push(info.clone());
        }
    }
    let key = segment.object.clone();
    environment.store.put(&key, object.into(), "video/mp4").await?;
    reached("fill.object-stored");
    let tables = cut.parts.into_iter().map(|p| p.table).collect();
    let published = environment.index.fill(&SegmentWithTables { segment, tables }, &inits).await?;
    reached("fill.committed");
    if published == Published::Superseded {
        // The row that is there names another object.
        environment.store.delete(&[key]).await?;
    }
    Ok(published != Published::Superseded)
}
