//! Placing cut segments behind what is committed: the join of two recorders' media, to the sample.
//!
//! Comes in: where the committed timeline ends (a [`Joint`]), and cut segments in their order, those that were
//! kept aside and those that are cut from now on. Goes out: what is to be committed next: trimmed, in the media
//! time of the committed run, its wall time touching. Never: I/O, a clock, a sample twice.
//!
//! How a join is found, best first:
//! 1. by media timestamps, which MPEG-TS gives modulo 2^33: the first sample of each track whose DTS follows the
//!    last committed one is the next;
//! 2. by content: hashes of the last committed pictures, found among those kept;
//! 3. by wall time, at a sync sample, as a new run.

pub use super::joint::{Joint, JointTrack, MOST_BIAS_US, hash_of, media_end};
use super::joint::{Relation, nearest_wrap, times};
use super::segmenter::{CutPart, CutSegment};
use crate::media::segment::{LONGEST_SEGMENT_US, SegmentId};
use crate::media::wallclock::MAX_SLEW_US_PER_SECOND;
use crate::media::{RunId, Segment, Ticks, UtcUs};

/// What has just been cut and yet ends so long before the end of what is committed is not in there: a clock was wrong.
/// Two recorders of one source are apart by less.
const WRONG_CLOCK_US: i64 = 60_000_000;
/// A cut this near to where the committed timeline ends is where it ends: rounding and slew.
const SAME_MOMENT: i64 = 50 * 90;
/// What is apart by less, in media time or in wall time, has no gap between.
pub const LEAST_GAP_US: i64 = 100_000;

/// Removes the first `count` samples.
fn skip(part: &mut CutPart, count: usize) {
    let count = count.min(part.table.samples.len());
    let skipped: i64 = part.table.samples.drain(..count).map(|s| i64::from(s.duration)).sum();
    part.payload.drain(..count);
    part.decode_start = part.decode_start + Ticks(skipped);
}

/// Keeps the first `count` samples.
fn keep(part: &mut CutPart, count: usize) {
    part.table.samples.truncate(count);
    part.payload.truncate(count);
}

/// How many samples from the front lie before the first one for which `wanted` (DTS, PTS, sync) holds.
fn before(part: &CutPart, wanted: impl Fn(Ticks, Ticks, bool) -> bool) -> usize {
    times(part.decode_start, &part.table)
        .zip(&part.table.samples)
        .take_while(|(dts, s)| !wanted(*dts, *dts + Ticks(s.composition_offset.into()), s.sync))
        .count()
}

fn first_pts(part: &CutPart) -> Option<Ticks> {
    part.table.samples.first().map(|s| part.decode_start + Ticks(s.composition_offset.into()))
}

/// Puts segments one behind the other.
#[derive(Debug)]
pub struct Timeline {
    end: UtcUs,
    joint: Option<Joint>,
    /// Run of what is placed.
    run: Option<RunId>,
    shift: Ticks,
    bias_us: i64,
    /// Samples of other tracks that are not committed although the lead's of their time are.
    held: Vec<CutPart>,
}

/// What became of a cut segment.
#[derive(Debug)]
pub enum Placed {
    /// To be committed next.
    Next(CutSegment),
    /// Committed already, or from before a join by time.
    Covered,
}

impl Timeline {
    /// A timeline that ends at `end`, to be gone on with from `joint` where that is known.
    pub fn new(end: UtcUs, joint: Option<Joint>) -> Self {
        Self { end, joint, run: None, shift: Ticks(0), bias_us: 0, held: Vec::new() }
    }

    /// Whether the join is still to come.
    pub fn joint(&mut self) -> Option<&mut Joint> {
        self.joint.as_mut()
    }

    /// Takes note of the run of what is placed next. Gives whether it is the one that is committed.
    pub fn comes_of(&mut self, run: RunId) -> bool {
        let Some(joint) = &mut self.joint else { return false };
        // One that waited for its number, and lost it, may come before others of other runs: what is known of the one says
        // nothing of the other.
        if self.run.replace(run) != Some(run) {
            joint.content_shift = None;
            self.held.clear();
        }
        joint.own_run = joint.run == run;
        joint.own_run
    }

    /// What comes does not go on from what is committed.
    pub fn forget_joint(&mut self) {
        self.joint = None;
        self.held.clear();
    }

    /// Takes note of a segment that has just been cut: where only time could tell its place, and what is committed ends
    /// long after the present, time tells nothing. Then a new run begins behind what is committed, with times moved
    /// there. Gives by how much.
    pub fn begin_behind_the_future(&mut self, cut: &mut CutSegment) -> Option<i64> {
        let ahead_us = self.joint.as_ref()?.end.since(cut.start.plus_us(cut.duration_us));
        if ahead_us < WRONG_CLOCK_US || !self.is_elsewhere(cut) {
            return None;
        }
        self.forget_joint();
        cut.new_run = true;
        Some(ahead_us)
    }

    /// How `cut` lies to the joint: whether its media times say nothing.
    pub fn is_elsewhere(&self, cut: &CutSegment) -> bool {
        self.joint.as_ref().is_some_and(|j| matches!(j.relate(cut), Relation::Elsewhere))
    }

    /// Places the next segment.
    pub fn place(&mut self, mut cut: CutSegment) -> Placed {
        let Some(joint) = self.joint.take() else { return Placed::Next(self.follow(cut)) };
        match joint.relate(&cut) {
            Relation::Before { shift } => {
                self.hold(&joint, cut, shift);
                self.joint = Some(joint);
                Placed::Covered
            }
            Relation::Joins { shift, bias_us } => self.join(joint, cut, shift, bias_us),
            Relation::After => {
                self.held.clear();
                cut.new_run = true;
                Placed::Next(self.follow(cut))
            }
            Relation::Elsewhere => {
                self.held.clear();
                if begin_at(&mut cut, joint.end) {
                    cut.new_run = true;
                    return Placed::Next(self.follow(cut));
                }
                self.joint = Some(joint);
                Placed::Covered
            }
        }
    }

    /// Keeps what `cut` has of tracks that are committed less far than its lead.
    fn hold(&mut self, joint: &Joint, mut cut: CutSegment, shift: Ticks) {
        for mut part in cut.parts.drain(..).filter(|p| p.track != joint.lead) {
            let Some(own) = joint.track(part.track).filter(|own| own.init == part.init.info.hash) else { continue };
            let last = own.last();
            let skipped = before(&part, |dts, _, _| dts + shift > last);
            skip(&mut part, skipped);
            if part.table.samples.is_empty() {
                continue;
            }
            match self.held.iter_mut().find(|h| h.track == part.track) {
                Some(held) => append(held, part),
                None => self.held.push(part),
            }
        }
    }

    fn join(&mut self, joint: Joint, mut cut: CutSegment, shift: Ticks, bias_us: i64) -> Placed {
        let same_media = joint.is_same_media(&cut, shift);
        let continues = joint.own_run || (same_media && bias_us.abs() < MOST_BIAS_US);
        let mut lead_from = None;
        if let Some(lead) = cut.parts.iter_mut().find(|p| p.track == joint.lead) {
            let last = joint.track(joint.lead).map_or(joint.end_media, JointTrack::last);
            // Another encoder's pictures cannot be decoded from between two sync samples.
            let skipped = before(lead, |dts, _, sync| dts + shift > last && (same_media || sync));
            skip(lead, skipped);
            lead_from = first_pts(lead);
        }
        let Some(lead_from) = lead_from else {
            self.joint = Some(joint);
            return Placed::Covered;
        };
        for part in cut.parts.iter_mut().filter(|p| p.track != joint.lead) {
            let skipped = match joint.track(part.track) {
                Some(own) if same_media => before(part, |dts, _, _| dts + shift > own.last()),
                Some(own) => before(part, |dts, pts, _| dts + shift > own.last() && pts >= lead_from),
                None => before(part, |_, pts, _| pts >= lead_from),
            };
            skip(part, skipped);
        }
        for held in std::mem::take(&mut self.held) {
            match cut.parts.iter_mut().find(|p| p.track == held.track) {
                Some(part) if part.init.info.hash == held.init.info.hash && !part.table.samples.is_empty() => {
                    let rest = std::mem::replace(part, held);
                    append(part, rest);
                }
                _ => {}
            }
        }
        cut.parts.retain(|p| !p.table.samples.is_empty());
        let whole_end = cut.start.plus_us(cut.duration_us);
        if !continues {
            let from = cut.start.plus_us((lead_from - cut.anchor).to_us());
            cut.start = from;
            cut.duration_us = whole_end.since(from).max(1);
            cut.anchor = lead_from;
            cut.new_run = true;
            return Placed::Next(self.follow(cut));
        }
        cut.new_run = false;
        cut.discontinuity =
            cut.parts.iter().any(|p| joint.track(p.track).is_some_and(|own| own.init != p.init.info.hash));
        // The committed mapping of media time to wall time goes on; at a sync sample, exactly from there.
        let at_sync = (lead_from + shift - joint.end_media).0.abs() <= SAME_MOMENT;
        cut.anchor = if at_sync { lead_from } else { joint.end_media - shift };
        cut.start = joint.end.plus_us(-bias_us);
        cut.duration_us = whole_end.since(cut.start).max(1);
        (self.shift, self.bias_us, self.end) = (shift, bias_us, joint.end);
        Placed::Next(self.follow(cut))
    }

    /// The next segment of a run that is under way, or the first of a new one.
    fn follow(&mut self, mut cut: CutSegment) -> CutSegment {
        if cut.new_run {
            (self.shift, self.bias_us) = (Ticks(0), 0);
            cut.discontinuity = true;
        }
        cut.anchor = cut.anchor + self.shift;
        for part in &mut cut.parts {
            part.decode_start = part.decode_start + self.shift;
        }
        let (own_start, own_end) = (cut.start, cut.start.plus_us(cut.duration_us));
        cut.start = own_start.plus_us(self.bias_us).max(self.end);
        let bias_us = cut.start.since(own_start);
        let most = cut.duration_us.max(0) / 1_000_000 * MAX_SLEW_US_PER_SECOND;
        self.bias_us = bias_us - bias_us.clamp(-most, most);
        let end = own_end.plus_us(self.bias_us);
        cut.duration_us = end.since(cut.start).clamp(1, LONGEST_SEGMENT_US);
        self.end = cut.start.plus_us(cut.duration_us);
        cut
    }
}

/// Lets `cut` begin at its first sync sample of the lead at or after `from`; `false` when it has none.
fn begin_at(cut: &mut CutSegment, from: UtcUs) -> bool {
    if cut.start >= from {
        return true;
    }
    let (anchor, start) = (cut.anchor, cut.start);
    let utc_of = |pts: Ticks| start.plus_us((pts - anchor).to_us());
    let Some(lead) = cut.parts.first_mut() else { return false };
    let skipped = before(lead, |_, pts, sync| sync && utc_of(pts) >= from);
    skip(lead, skipped);
    let Some(lead_from) = first_pts(lead) else { return false };
    for part in cut.parts.iter_mut().skip(1) {
        let skipped = before(part, |_, pts, _| pts >= lead_from);
        skip(part, skipped);
    }
    cut.parts.retain(|p| !p.table.samples.is_empty());
    let end = start.plus_us(cut.duration_us);
    cut.start = utc_of(lead_from);
    cut.duration_us = end.since(cut.start).max(1);
    cut.anchor = lead_from;
    true
}

/// Puts `more` behind `part`; the last duration reaches to it when it comes soon.
fn append(part: &mut CutPart, more: CutPart) {
    let end = part.decode_start + part.table.duration();
    let apart = (more.decode_start - end).0;
    if let Some(last) = part.table.samples.last_mut() {
        let duration = i64::from(last.duration) + apart;
        last.duration = u32::try_from(duration.max(1)).unwrap_or(u32::MAX);
    }
    part.table.samples.extend(more.table.samples);
    part.payload.extend(more.payload);
}

/// Ends `cut` where the committed `next` begins: by media times where they agree, else by wall time. `None` when
/// nothing is left.
pub fn end_at(mut cut: CutSegment, next: &Segment) -> Option<CutSegment> {
    let lead = next.lead()?;
    let own = cut.parts.iter().find(|p| p.track == lead.track)?;
    let shift = nearest_wrap(lead.decode_start - own.decode_start);
    let off_us = next.utc_of(cut.anchor + shift).since(cut.start);
    let (anchor, start) = (cut.anchor, cut.start);
    let same_clock = off_us.abs() < MOST_BIAS_US;
    for part in &mut cut.parts {
        let other = next.part(part.track).map(|p| p.decode_start).filter(|_| same_clock);
        let count = before(part, |dts, pts, _| match other {
            Some(from) => dts + shift >= from,
            None => start.plus_us((pts - anchor).to_us()) >= next.id.start,
        });
        keep(part, count);
    }
    let lead_left = cut.parts.iter().any(|p| p.track == lead.track && !p.table.samples.is_empty());
    cut.parts.retain(|p| !p.table.samples.is_empty());
    let room_us = next.id.start.since(cut.start);
    if !lead_left || room_us <= 0 {
        return None;
    }
    cut.duration_us = cut.duration_us.min(room_us);
    Some(cut)
}

/// What of kept segments, named in the order in which they were cut, lies between `joint` and the committed `after`. Of
/// one run, for each has media times of its own: of the one that fills most, up to where something is missing in it.
/// Empty when none goes on from the joint.
///
/// # Errors
/// What `read` says, which gives a segment as it was cut.
pub fn between<E>(
    joint: &Joint,
    ids: &[SegmentId],
    mut read: impl FnMut(&SegmentId) -> Result<CutSegment, E>,
    after: &Segment,
) -> Result<Vec<CutSegment>, E> {
    let mut runs: Vec<RunId> = Vec::new();
    for id in ids {
        if !runs.contains(&id.run) {
            runs.push(id.run);
        }
    }
    let filled_us = |cuts: &[CutSegment]| cuts.iter().map(|cut| cut.duration_us).sum::<i64>();
    let mut best = Vec::new();
    for run in runs {
        let mut timeline = Timeline::new(joint.end, Some(joint.clone()));
        timeline.comes_of(run);
        let mut placed: Vec<CutSegment> = Vec::new();
        // Of what was placed last, in media time of the run.
        let mut end: Option<Ticks> = None;
        for id in ids.iter().filter(|id| id.run == run) {
            let cut = read(id)?;
            let Some(lead) = cut.parts.first() else { continue };
            let (from, to) = (lead.decode_start, lead.decode_start + lead.table.duration());
            // Once as a shadow, once with a number that it has lost since.
            if end.is_some_and(|end| to <= end) {
                continue;
            }
            let Placed::Next(cut) = timeline.place(cut) else { continue };
            if cut.new_run || end.replace(to).is_some_and(|end| (from - end).to_us().abs() >= LEAST_GAP_US) {
                break;
            }
            let Some(cut) = end_at(cut, after) else { break };
            placed.push(cut);
        }
        if filled_us(&placed) > filled_us(&best) {
            best = placed;
        }
    }
    Ok(best)
}

/// One segment of several that follow each other; up to where parameters change. `None` of none.
pub fn concatenate(cuts: Vec<CutSegment>) -> Option<CutSegment> {
    let mut cuts = cuts.into_iter();
    let mut whole = cuts.next()?;
    for cut in cuts {
        let changes =
            |p: &CutPart| whole.parts.iter().any(|w| w.track == p.track && w.init.info.hash != p.init.info.hash);
        let end = cut.start.plus_us(cut.duration_us);
        if cut.parts.iter().any(changes) || end.since(whole.start) > 2 * LONGEST_SEGMENT_US {
            break;
        }
        whole.duration_us = end.since(whole.start);
        for part in cut.parts {
            match whole.parts.iter_mut().find(|w| w.track == part.track) {
                Some(own) => append(own, part),
                None => whole.parts.push(part),
            }
        }
    }
    whole.parts.sort_by_key(|p| p.track);
    Some(whole)
}

/// Divides a segment into at most `count` of about the same length, at sync samples of the lead.
pub fn divide(cut: CutSegment, count: usize) -> Vec<CutSegment> {
    let mut pieces = Vec::new();
    let mut rest = cut;
    for left in (2..=count).rev() {
        let share_us = rest.duration_us / left as i64;
        let wanted = rest.anchor + Ticks::from_us(share_us);
        let Some(lead) = rest.parts.first() else { break };
        let syncs = times(lead.decode_start, &lead.table).zip(&lead.table.samples).skip(1).filter(|(_, s)| s.sync);
        let pts = syncs.map(|(dts, s)| dts + Ticks(s.composition_offset.into()));
        let Some(at) = pts.min_by_key(|pts| (*pts - wanted).0.abs()) else { break };
        let after_us = (at - rest.anchor).to_us();
        if after_us <= 0 || after_us >= rest.duration_us {
            break;
        }
        let mut head = Vec::new();
        for (n, part) in rest.parts.iter_mut().enumerate() {
            let count = before(part, |_, pts, sync| if n == 0 { sync && pts == at } else { pts >= at });
            let mut first = CutPart {
                track: part.track,
                init: part.init.clone(),
                decode_start: part.decode_start,
                table: part.table.clone(),
                payload: part.payload.clone(),
            };
            keep(&mut first, count);
            skip(part, count);
            head.push(first);
        }
        head.retain(|p| !p.table.samples.is_empty());
        rest.parts.retain(|p| !p.table.samples.is_empty());
        pieces.push(CutSegment { parts: head, duration_us: after_us, ..rest });
        rest = CutSegment {
            new_run: false,
            discontinuity: false,
            start: pieces.last().map_or(rest.start, |p| p.start.plus_us(p.duration_us)),
            duration_us: rest.duration_us - after_us,
            anchor: at,
            parts: rest.parts,
        };
    }
    pieces.push(rest);
    pieces
}

#[cfg(test)]
#[path = "timeline_tests.rs"]
mod tests;
