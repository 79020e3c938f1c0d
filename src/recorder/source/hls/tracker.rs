//! Which listed segments are new.
//!
//! Comes in: one media playlist after the other, as a server, its cache or its restart happens to give them. Goes
//! out: what to fetch, each segment once. Pure: the time is an argument.
//!
//! A segment is known again by its media sequence together with its name (the last part of its path, and its byte
//! range; tokens in queries and folders change between sessions). A name that is found under another number means
//! the server counts anew but goes on; numbers without a known name mean it began anew; numbers that only go back
//! mean a stale copy.

use super::playlist::{Listed, MediaPlaylist};
use crate::media::UtcUs;
use std::collections::{HashSet, VecDeque};

/// Segments remembered: more than any sliding window.
const REMEMBERED: usize = 16_384;
/// Wall times this far apart are not those of one segment.
const SAME_UTC_US: i64 = 30_000_000;
/// A copy ends at most this many segments before where we are; one that ends earlier is something else.
const STALE_AT_MOST: u64 = 64;
/// How often a playlist of strangers must be seen before it is believed.
const STRANGERS_BELIEVED: u32 = 2;

/// Where to begin when nothing was recorded yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// At the first segment.
    First,
    /// Three segments before the end.
    Edge,
    /// Where the lead rendition begins: this wall time if both say it, else the segment of this number when it is
    /// listed, else at the edge.
    Near { utc: Option<UtcUs>, sequence: u64 },
}

/// What remains of a recorded segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// Counts how often the numbering began anew.
    generation: u64,
    sequence: u64,
    name: String,
    utc: Option<UtcUs>,
}

/// A segment to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) listed: Listed,
    pub(super) known: Known,
    /// The media clock is broken before this segment, in every rendition alike.
    pub(super) breaks: Option<&'static str>,
    /// Segments that were missed right before this one.
    pub(super) missed: u64,
}

/// How a playlist stands to what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has something new.
    News,
    /// It ends where we are.
    Unchanged,
    /// It ends before where we are: a stale copy, or a server that began anew (time will tell).
    Behind,
}

/// What to do about a playlist.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) segments: Vec<Planned>,
    pub(super) standing: Standing,
}

/// Remembers what was planned or recorded of one rendition.
#[derive(Debug, Clone, Default)]
pub(super) struct Tracker {
    generation: u64,
    /// Ascending in sequence within a generation.
    known: VecDeque<Known>,
    strangers: u32,
    /// Since when playlists end before where we are, in milliseconds, and where the first of them ended.
    behind: Option<(u64, u64)>,
}

impl Tracker {
    /// Notes that a segment is recorded. Older ones than the latest are known already.
    pub(super) fn commit(&mut self, segment: Known) {
        if segment.generation > self.generation {
            self.generation = segment.generation;
            self.known.clear();
        }
        let newer = self.known.back().is_none_or(|last| segment.sequence > last.sequence);
        if segment.generation == self.generation && newer {
            if self.known.len() == REMEMBERED {
                self.known.pop_front();
            }
            self.known.push_back(segment);
        }
    }

    /// Says what to fetch of `playlist`, which was loaded at `now_ms`, and takes it as fetched.
    pub(super) fn plan(&mut self, playlist: &MediaPlaylist, start: Start, now_ms: u64) -> Plan {
        let listed = &playlist.segments;
        let (Some(first), Some(newest)) = (listed.first(), listed.last()) else {
            return Plan { segments: Vec::new(), standing: Standing::Unchanged };
        };
        let names = names(listed);
        let Some(last) = self.known.back().cloned() else {
            let from = begin(listed, start);
            return self.take(listed, &names, from, None, 0);
        };
        let at = |n: usize| (listed.get(n), names.get(n));
        let same = |known: &Known, n: usize| match at(n) {
            (Some(segment), Some(name)) => known.name == *name && utc_agrees(known.utc, segment.utc),
            _ => false,
        };
        let index_of = |sequence: u64| {
            let n = usize::try_from(sequence.checked_sub(first.sequence)?).ok()?;
            (n < listed.len()).then_some(n)
        };

        // The usual case: the last one is listed under its number.
        if let Some(n) = index_of(last.sequence)
            && same(&last, n)
        {
            self.settle();
            return self.take(listed, &names, n + 1, None, 0);
        }
        // Some older one is listed under its number, and nothing after the last: behind.
        let older = self.known.iter().rev().any(|k| index_of(k.sequence).is_some_and(|n| same(k, n)));
        if older && newest.sequence <= last.sequence {
            return self.behind(playlist, &names, now_ms);
        }
        // It is listed under another number: the server counts anew, the media go on. A higher number without a
        // date may as well be a file that is looped.
        if !older
            && let Some(n) = (0..listed.len()).rev().find(|n| same(&last, *n))
            && listed.get(n).is_some_and(|s| s.sequence < last.sequence || s.utc.is_some())
        {
            self.renumber();
            return self.take(listed, &names, n + 1, None, 0);
        }
        // All of it lies ahead: what is between was missed.
        if first.sequence > last.sequence || older {
            self.settle();
            let from = listed.iter().position(|s| s.sequence > last.sequence).unwrap_or(listed.len());
            let missed = first.sequence.saturating_sub(last.sequence.saturating_add(1));
            return self.take(listed, &names, from, None, missed);
        }
        // Nothing is known of it. By its wall time, or by ending shortly before where we are without contradicting
        // anything, it is old all the same.
        let contradicts = self.known.iter().rev().any(|k| index_of(k.sequence).is_some());
        let short_of = last.sequence.saturating_sub(newest.sequence);
        let shortly_before = !contradicts && (1..=STALE_AT_MOST).contains(&short_of);
        let older_by_utc = matches!((last.utc, newest.utc), (Some(was), Some(is)) if is <= was);
        if shortly_before || older_by_utc {
            return self.behind(playlist, &names, now_ms);
        }
        self.strangers += 1;
        if self.strangers < STRANGERS_BELIEVED {
            return Plan { segments: Vec::new(), standing: Standing::Behind };
        }
        self.begin_anew(listed, &names)
    }

    /// A playlist that ends before where we are. A stale copy catches up or is replaced; one that goes on for six
    /// target durations without doing so belongs to a server that began anew under the same names.
    fn behind(&mut self, playlist: &MediaPlaylist, names: &[String], now_ms: u64) -> Plan {
        let newest = playlist.segments.last().map_or(0, |s| s.sequence);
        let (since_ms, ended_at) = *self.behind.get_or_insert((now_ms, newest));
        let patience_ms = u64::try_from(playlist.target_us / 1000 * 6).unwrap_or(u64::MAX);
        if newest > ended_at && now_ms.saturating_sub(since_ms) > patience_ms {
            return self.begin_anew(&playlist.segments, names);
        }
        Plan { segments: Vec::new(), standing: Standing::Behind }
    }

    fn begin_anew(&mut self, listed: &[Listed], names: &[String]) -> Plan {
        self.renumber();
        self.take(listed, names, 0, Some("the numbering of the HLS source began anew"), 0)
    }

    fn renumber(&mut self) {
        self.generation += 1;
        self.known.clear();
        self.settle();
    }

    fn settle(&mut self) {
        self.strangers = 0;
        self.behind = None;
    }

    fn take(
        &mut self,
        listed: &[Listed],
        names: &[String],
        from: usize,
        mut breaks: Option<&'static str>,
        mut missed: u64,
    ) -> Plan {
        let first_ever = self.known.is_empty() && self.generation == 0;
        let mut segments = Vec::new();
        for (n, (segment, name)) in listed.iter().zip(names).enumerate() {
            let known =
                Known { generation: self.generation, sequence: segment.sequence, name: name.clone(), utc: segment.utc };
            if n < from {
                // After a renumbering, what is recorded keeps being recorded under its new numbers.
                if self.known.back().is_none_or(|k| k.sequence < segment.sequence) && !first_ever {
                    self.commit(known);
                }
                continue;
            }
            self.commit(known.clone());
            let marked = segment.discontinuity.then_some("the HLS source says so");
            // The very first segment continues nothing.
            let breaks = breaks.take().or(marked).filter(|_| !(first_ever && segments.is_empty()));
            segments.push(Planned { listed: segment.clone(), known, breaks, missed: std::mem::take(&mut missed) });
        }
        let standing = if segments.is_empty() { Standing::Unchanged } else { Standing::News };
        Plan { segments, standing }
    }
}

fn begin(listed: &[Listed], start: Start) -> usize {
    let edge = listed.len().saturating_sub(3);
    match start {
        Start::First => 0,
        Start::Edge => edge,
        Start::Near { utc, sequence } => {
            // A tenth of a segment early or late is rounding of the dates.
            let reaches = |segment: &Listed, utc: UtcUs| {
                segment.utc.is_some_and(|s| s.plus_us(segment.duration_us - segment.duration_us / 10) > utc)
            };
            let by_utc = utc.and_then(|utc| listed.iter().position(|s| reaches(s, utc)));
            by_utc.or_else(|| listed.iter().position(|s| s.sequence == sequence)).unwrap_or(edge)
        }
    }
}

fn utc_agrees(a: Option<UtcUs>, b: Option<UtcUs>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.since(b).saturating_abs() < SAME_UTC_US,
        _ => true,
    }
}

/// Names of segments: short ones when they tell the segments apart, else whole addresses.
fn names(listed: &[Listed]) -> Vec<String> {
    let short: Vec<String> = listed
        .iter()
        .map(|segment| {
            let path = segment.uri.split(['?', '#']).next().unwrap_or("");
            let last = path.rsplit('/').next().unwrap_or("");
            match segment.range {
                Some(range) => format!("{last}@{}", range.offset),
                None => last.to_owned(),
            }
        })
        .collect();
    let distinct: HashSet<&str> = short.iter().map(String::as_str).collect();
    if distinct.len() == short.len() {
        return short;
    }
    listed
        .iter()
        .map(|segment| match segment.range {
            Some(range) => format!("{}@{}", segment.uri, range.offset),
            None => segment.uri.clone(),
        })
        .collect()
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tests;
