//! Recorders at work: rows of `recorders`, and the rule by which a free number may be filled.
//!
//! Comes in: columns as read. Goes out: typed rows and decisions, the same for both adapters. Never: a clock.

use super::error::damaged;
use super::row::from_sql;
use super::{RecorderBeat, Result};
use crate::media::segment::{LONGEST_SEGMENT_US, Segment};
use crate::media::{UtcRange, UtcUs};

/// recorder, seen, capacity, held, leaving, begun: a sign of life.
pub(super) const BEAT: &str = "insert into recorders (recorder, beat, seen_utc_us, capacity, held, leaving, begun_utc_us) \
    values ($1, 1, $2, $3, $4, $5, $6) on conflict (recorder) do update set beat = recorders.beat + 1, \
    seen_utc_us = excluded.seen_utc_us, capacity = excluded.capacity, held = excluded.held, \
    leaving = excluded.leaving, begun_utc_us = excluded.begun_utc_us";

/// seen before: recorders that are long gone.
pub(super) const FORGET: &str = "delete from recorders where seen_utc_us < $1";

/// → `BeatColumns`.
pub(super) const RECORDERS: &str = "select recorder, beat, seen_utc_us, capacity, held, leaving, begun_utc_us from recorders order by recorder limit 10000";

/// A recorder that has shown no sign of life for this long is forgotten.
pub(super) const FORGET_AFTER_US: i64 = 7 * 86_400_000_000;

/// recorder, beat, seen, capacity, held, leaving, begun.
pub(super) type BeatColumns = (String, i64, i64, Option<i64>, i64, i64, i64);

/// Reads the columns.
pub(super) fn beats(rows: Vec<BeatColumns>) -> Result<Vec<RecorderBeat>> {
    let count = |n: i64| u32::try_from(n).map_err(|_| damaged("a recorder's count of streams is out of range"));
    rows.into_iter()
        .map(|(recorder, beat, seen, capacity, held, leaving, begun)| {
            Ok(RecorderBeat {
                recorder,
                beat: from_sql(beat, "beat")?,
                seen: UtcUs(seen),
                capacity: capacity.map(count).transpose()?,
                held: count(held)?,
                leaving: leaving != 0,
                begun: UtcUs(begun),
            })
        })
        .collect()
}

/// stream, not before, before → `NeighbourColumns`, marked ones included.
pub(super) const NEIGHBOURS: &str = "select sequence, start_utc_us, duration_us, discontinuity from segments \
    where stream = $1 and start_utc_us >= $2 and start_utc_us < $3";

/// sequence, start, duration, discontinuity.
pub(super) type NeighbourColumns = (i64, i64, i64, i64);

/// Where the segments start that `segment` could touch or overlap.
pub(super) fn neighbourhood(segment: &Segment) -> (i64, i64) {
    (segment.id.start.plus_us(-LONGEST_SEGMENT_US).0, segment.id.end().plus_us(LONGEST_SEGMENT_US).0)
}

/// Whether `segment`, in the place of a free number, keeps time and discontinuities in the order of the numbers.
pub(super) fn fits(segment: &Segment, neighbours: &[NeighbourColumns]) -> Result<bool> {
    let own = segment.range();
    for &(sequence, start, duration_us, discontinuity) in neighbours {
        let sequence: u64 = from_sql(sequence, "sequence")?;
        let discontinuity: u64 = from_sql(discontinuity, "discontinuity")?;
        let other = UtcRange::new(UtcUs(start), UtcUs(start).plus_us(duration_us));
        let in_order = if sequence < segment.id.sequence {
            other.end <= own.start && discontinuity <= segment.discontinuity
        } else {
            other.start >= own.end && discontinuity >= segment.discontinuity
        };
        if !in_order {
            return Ok(false);
        }
    }
    Ok(true)
}
