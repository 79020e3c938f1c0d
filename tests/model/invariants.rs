//! What holds after each step. Numbers are those of the design's invariants.
//!
//! 1. What is listed has its object, whole, which says what the row says.
//! 2. A piece that was cut under a number is in a spool, in the archive, or retention has unlisted it.
//! 3. What was marked has its object until the grace is over; nothing locked is marked (`upkeep.rs`, step by step).
//! 4. Nobody publishes under a lease that is another's (`recorder.rs`, publish by publish).
//! 5. A number names one object as long as it is listed; numbers and time grow together.
//! 6. Rows, window, sums and ranges say the same on every connection; two nodes' playlists are alike (`upkeep.rs`).
//! 7. Where time is missing between two numbers, there is a discontinuity; ranges are those of the model.
//!
//! The eighth (memory) is not a matter of sequences: `tests/reindex_memory.rs` and the suites of exports measure it.

use crate::recorded::all_time;
use crate::world::{GRACE_S, Known, World};
use evertape::container::cmaf;
use evertape::media::{UtcRange, timeline};
use evertape::store;
use std::collections::BTreeSet;

impl World {
    pub async fn check_invariants(&mut self) -> Result<(), String> {
        let actual = self.actual_rows().await?;
        let known: Vec<(u64, String, u64, _)> = self.rows.values().map(columns).collect();
        let mut there: Vec<(u64, String, u64, _)> = actual
            .iter()
            .map(|r| (r.segment.id.sequence, r.segment.object.to_string(), r.segment.discontinuity, r.marked))
            .collect();
        there.sort_by_key(|r| r.0);
        if known != there {
            let differs = known.iter().find(|k| !there.contains(k)).or(there.iter().find(|t| !known.contains(t)));
            return Err(format!("the rows are not those of the model, first {differs:?}: {known:?} {there:?}"));
        }
        self.objects_are_whole(&actual).await?;
        self.nothing_is_lost()?;
        self.order_is_kept()?;
        self.sums_are_right(&actual).await
    }

    async fn objects_are_whole(&mut self, actual: &[evertape::index::Row]) -> Result<(), String> {
        let objects = self.objects().await;
        let must_be_there = self.now.plus_us(-GRACE_S * 1_000_000);
        for row in actual {
            let key = &row.segment.object;
            let needed = row.marked.is_none_or(|at| at >= must_be_there);
            match objects.get(key.as_str()) {
                None if needed => return Err(format!("{key} is listed, or in its grace, and its object is gone")),
                None => continue,
                Some(bytes) if *bytes != row.segment.object_length => {
                    return Err(format!("{key} has {bytes} bytes, its row says {}", row.segment.object_length));
                }
                Some(_) => {}
            }
            if self.verified.insert(key.to_string()) {
                let bytes = store::read_all(&*self.store, key, 0..1 << 30).await.map_err(|e| e.to_string())?;
                let read = cmaf::read_segment(key, &bytes).map_err(|e| format!("{key}: {e}"))?;
                if read.segment != row.segment {
                    return Err(format!("{key} says something else than its row"));
                }
            }
        }
        Ok(())
    }

    fn nothing_is_lost(&self) -> Result<(), String> {
        let mut safe: BTreeSet<i64> = self.rows.values().map(Known::slot).collect();
        safe.extend(&self.expired);
        self.recorders.iter().for_each(|r| safe.extend(r.slots()));
        match self.cut.difference(&safe).next() {
            Some(slot) => Err(format!("the piece {slot} was cut, and is nowhere")),
            None => Ok(()),
        }
    }

    fn order_is_kept(&self) -> Result<(), String> {
        let listed: Vec<&Known> = self.rows.values().filter(|r| r.marked.is_none()).collect();
        for pair in listed.windows(2) {
            let [before, after] = pair else { continue };
            if after.id.start < before.id.end() {
                return Err(format!("{} begins before the end of {}", after.object, before.object));
            }
            if after.discontinuity < before.discontinuity {
                return Err(format!("fewer discontinuities at {} than at {}", after.object, before.object));
            }
            let next = after.id.sequence == before.id.sequence + 1;
            // Where a run ends, playlists say so by themselves (`upkeep.rs`).
            let gap = after.id.start > before.id.end() && after.id.run == before.id.run;
            if next && gap && after.discontinuity == before.discontinuity {
                return Err(format!("no discontinuity between {} and {}", before.object, after.object));
            }
        }
        Ok(())
    }

    async fn sums_are_right(&self, actual: &[evertape::index::Row]) -> Result<(), String> {
        let failed = |e: evertape::index::IndexError| e.to_string();
        let mut listed: Vec<_> = actual.iter().filter(|r| r.marked.is_none()).map(|r| r.segment.clone()).collect();
        listed.sort_by_key(|s| s.id.sequence);
        let window = self.index.window(&self.stream, all_time(), None, usize::MAX).await.map_err(failed)?;
        if window != listed {
            return Err("the window over all is not what is listed".into());
        }
        let bytes: u64 = listed.iter().map(|s| s.object_length).sum();
        let stored = self.index.stored_bytes(&self.stream).await.map_err(failed)?;
        if stored != bytes {
            return Err(format!("{stored} bytes are said to be stored, the rows have {bytes}"));
        }
        let extent = self.index.extent(&self.stream).await.map_err(failed)?;
        let expected = listed.iter().map(|s| s.id.start).min().zip(listed.iter().map(|s| s.id.end()).max());
        if extent.map(|e| (e.first_start, e.live_edge)) != expected {
            return Err(format!("the extent is {extent:?}, not {expected:?}"));
        }
        let ranges = self.index.ranges(&self.stream, all_time(), 0, 10_000).await.map_err(failed)?;
        let expected = timeline::join(listed.iter().map(|s| UtcRange::new(s.id.start, s.id.end())), 0);
        if ranges != expected {
            return Err(format!("the ranges are {ranges:?}, not {expected:?}"));
        }
        let tail = self.index.tail(&self.stream).await.map_err(failed)?;
        match self.rows.keys().next_back() {
            Some(highest) if tail.next_sequence <= *highest => Err(format!("{highest} would be given once more")),
            _ => Ok(()),
        }
    }
}

fn columns(known: &Known) -> (u64, String, u64, Option<evertape::media::UtcUs>) {
    (known.id.sequence, known.object.to_string(), known.discontinuity, known.marked)
}
