//! Where a committed timeline ends, and how media that was cut elsewhere lies to it.
//!
//! Comes in: the last committed segments, cut segments. Goes out: whether a cut one is before that end, after it, or goes
//! on from it, and by how much its times differ. Never: changes a segment; I/O, a clock.

use super::segmenter::CutSegment;
use crate::media::segment::SegmentWithTables;
use crate::media::{InitHash, ObjectKey, RunId, SampleTable, Segment, Ticks, TrackId, UtcUs};
use std::collections::HashMap;
use std::hash::Hasher;

/// MPEG-TS timestamps have 33 bits (ISO/IEC 13818-1 2.4.3.7).
pub(super) const WRAP: i64 = 1 << 33;
/// Two recorders of one source agree on the wall time of a picture at least so far; more is another clock that only
/// happens to show the same media times.
const SAME_CLOCK_US: i64 = 5_000_000;
/// A difference in wall time that is kept and slewed away; a larger one is a discontinuity.
pub const MOST_BIAS_US: i64 = 500_000;
/// Pictures that must be found for an alignment by content.
const FEWEST_ALIKE: usize = 8;

/// One track where the committed timeline ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JointTrack {
    /// Which.
    pub track: TrackId,
    /// Its parameters.
    pub init: InitHash,
    /// DTS and size of its last samples, at least one.
    pub samples: Vec<(Ticks, u32)>,
    /// Where the next sample is expected.
    pub next: Ticks,
}

impl JointTrack {
    /// DTS of its last sample.
    pub(super) fn last(&self) -> Ticks {
        self.samples.last().map_or(self.next, |s| s.0)
    }
}

/// Where the committed timeline ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joint {
    /// Run of the last segment.
    pub run: RunId,
    /// Its end.
    pub end: UtcUs,
    /// Media time of `end`.
    pub end_media: Ticks,
    /// The tracks of the run.
    pub tracks: Vec<JointTrack>,
    /// The track that segments are cut by.
    pub lead: TrackId,
    /// Object of the last segment.
    pub object: ObjectKey,
    /// Hashes of the last segment's pictures, in the order of its samples; empty when they are not known.
    pub lead_hashes: Vec<u64>,
    /// What has to be added to the others' media times, when the content has told.
    pub content_shift: Option<Ticks>,
    /// What comes is of the very run, cut by one segmenter: its media times are those of what is committed.
    pub own_run: bool,
}

impl Joint {
    /// The joint after the last of `newest`, committed segments in ascending order. `None` without any.
    pub fn after(newest: &[SegmentWithTables]) -> Option<Self> {
        let last = newest.last()?;
        let segment = &last.segment;
        let mut tracks: Vec<JointTrack> = Vec::new();
        for older in newest.iter().rev().filter(|s| s.segment.id.run == segment.id.run) {
            for (part, table) in older.segment.tracks.iter().zip(&older.tables) {
                if tracks.iter().all(|t| t.track != part.track) {
                    tracks.push(JointTrack {
                        track: part.track,
                        init: part.init,
                        samples: times(part.decode_start, table).zip(table.samples.iter().map(|s| s.size)).collect(),
                        next: part.decode_end(),
                    });
                }
            }
        }
        Some(Self {
            run: segment.id.run,
            end: segment.id.end(),
            end_media: media_end(segment),
            lead: segment.lead()?.track,
            tracks,
            object: segment.object.clone(),
            lead_hashes: Vec::new(),
            content_shift: None,
            own_run: false,
        })
    }

    /// Looks for the last committed pictures among those of `cuts`, all of one run; remembers what it finds.
    pub fn find_content<'a>(&mut self, cuts: impl Iterator<Item = &'a CutSegment>) -> bool {
        let Some(lead) = self.tracks.iter().find(|t| t.track == self.lead) else { return false };
        if lead.samples.len() != self.lead_hashes.len() {
            return false;
        }
        let mut known: HashMap<u64, Vec<Ticks>> = HashMap::new();
        for (hash, (dts, _)) in self.lead_hashes.iter().zip(&lead.samples) {
            known.entry(*hash).or_default().push(*dts);
        }
        let mut votes: HashMap<Ticks, usize> = HashMap::new();
        for part in cuts.flat_map(|c| &c.parts).filter(|p| p.track == self.lead) {
            for (dts, data) in times(part.decode_start, &part.table).zip(&part.payload) {
                for known in known.get(&hash_of(data)).into_iter().flatten() {
                    *votes.entry(*known - dts).or_default() += 1;
                }
            }
        }
        let mut ranked: Vec<(usize, Ticks)> = votes.into_iter().map(|(shift, count)| (count, shift)).collect();
        ranked.sort_by_key(|(count, shift)| (usize::MAX - count, *shift));
        self.content_shift = match ranked.as_slice() {
            [(count, shift)] if *count >= FEWEST_ALIKE => Some(*shift),
            // Pictures that are all alike say nothing.
            [(count, shift), (second, _), ..] if *count >= FEWEST_ALIKE && count / 2 >= *second => Some(*shift),
            _ => None,
        };
        self.content_shift.is_some()
    }

    /// One of its tracks.
    pub(super) fn track(&self, track: TrackId) -> Option<&JointTrack> {
        self.tracks.iter().find(|t| t.track == track)
    }

    fn utc_of(&self, media: Ticks) -> UtcUs {
        self.end.plus_us((media - self.end_media).to_us())
    }

    /// How `cut` lies to the joint, going by media times.
    pub(super) fn relate(&self, cut: &CutSegment) -> Relation {
        let (Some(own), Some(part)) = (self.track(self.lead), cut.parts.iter().find(|p| p.track == self.lead)) else {
            return Relation::Elsewhere;
        };
        let shift = match self.content_shift {
            _ if self.own_run => Ticks(0),
            Some(shift) => shift,
            None => nearest_wrap(own.last() - part.decode_start),
        };
        let bias_us = self.utc_of(cut.anchor + shift).since(cut.start);
        // A source that was started anew shows the media times it began with.
        let agrees = |most_us| bias_us.abs() <= most_us;
        if self.content_shift.is_none()
            && !self.own_run
            && !(agrees(MOST_BIAS_US) || agrees(SAME_CLOCK_US) && self.is_same_media(cut, shift))
        {
            return Relation::Elsewhere;
        }
        let first = part.decode_start + shift;
        let last = times(first, &part.table).last().unwrap_or(first);
        let step = own.next - own.last();
        if last <= own.last() {
            Relation::Before { shift }
        } else if first > own.next + step {
            Relation::After
        } else {
            Relation::Joins { shift, bias_us }
        }
    }

    /// Whether the samples that both have are as long as each other: the same encoder's. The very last one may have
    /// been cut short by whatever ended the recording.
    pub(super) fn is_same_media(&self, cut: &CutSegment, shift: Ticks) -> bool {
        let (Some(own), Some(part)) = (self.track(self.lead), cut.parts.iter().find(|p| p.track == self.lead)) else {
            return false;
        };
        let whole = own.samples.split_last().map_or(&[][..], |(_, whole)| whole);
        let sizes: HashMap<Ticks, u32> = whole.iter().copied().collect();
        times(part.decode_start + shift, &part.table)
            .zip(&part.table.samples)
            .all(|(dts, sample)| sizes.get(&dts).is_none_or(|size| *size == sample.size))
    }
}

/// How a cut segment lies to a joint. `shift`: what its media times lack; `bias_us`: what its wall time lacks.
pub(super) enum Relation {
    /// All of it is committed.
    Before { shift: Ticks },
    /// The next sample is in it.
    Joins { shift: Ticks, bias_us: i64 },
    /// Something is missing before it.
    After,
    /// Media times say nothing.
    Elsewhere,
}

/// The multiple of 2^33 nearest to `apart`.
pub(super) fn nearest_wrap(apart: Ticks) -> Ticks {
    Ticks((apart.0 + WRAP / 2).div_euclid(WRAP) * WRAP)
}

/// Media time of a segment's end.
pub fn media_end(segment: &Segment) -> Ticks {
    segment.anchor + Ticks::from_us(segment.id.duration_us)
}

/// Hash of a sample's bytes.
pub fn hash_of(data: &[u8]) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(data);
    hasher.finish()
}

/// DTS of each sample.
pub(super) fn times(start: Ticks, table: &SampleTable) -> impl Iterator<Item = Ticks> + '_ {
    table.samples.iter().scan(start, |next, sample| {
        let dts = *next;
        *next = dts + Ticks(i64::from(sample.duration));
        Some(dts)
    })
}
