//! Making the plan: spans to kept parts, kept parts to records, records to the head of the file.

use super::super::file::holes;
use super::select::{Kept, TrackSelection};
use super::spans;
use super::tables::TableSet;
use super::{Entries, ExportError, ExportPlan, OWN_KEY, PartRecord, SegmentRecord, TrackRecord};
use crate::container::progressive::{Edit, TableCounts, TrackHead, head};
use crate::media::{InitHash, InitInfo, ObjectKey, RunId, Segment, Ticks, TrackId, TrackKind, UtcRange};
use xxhash_rust::xxh3::xxh3_128;

/// Changed whenever the same recording would give other bytes than before.
const FORMAT_VERSION: u64 = 1;

/// Most sample entries of one track.
const MAX_SAMPLE_ENTRIES: usize = 1024;

pub(super) fn make(
    window: UtcRange,
    segments: &[&Segment],
    inits: &[InitInfo],
    edge_tables: &TableSet,
    tracks: Option<&[TrackId]>,
) -> Result<ExportPlan, ExportError> {
    spans::check(segments)?;
    let spans = spans::split(window, segments);
    let duration: i64 = spans.iter().map(|s| (s.end - s.start).0).sum();
    let mut tracks_kept = Vec::new();
    for track in spans::tracks_of(segments) {
        if tracks.is_some_and(|chosen| !chosen.contains(&track)) {
            continue;
        }
        let mut selection = TrackSelection::new(track, segments, edge_tables);
        let mut export_start = 0;
        for span in &spans {
            selection.add(span, export_start)?;
            export_start += (span.end - span.start).0;
        }
        tracks_kept.extend(Shown::new(selection, duration));
    }
    let stream = match segments.first() {
        Some(first) if !tracks_kept.is_empty() => first.id.stream.clone(),
        _ => return Err(ExportError::NothingRecorded),
    };

    let mut formats = Vec::new();
    for track in &tracks_kept {
        formats.push(Formats::of(track, inits)?);
    }
    let mut records = Records::default();
    records.fill(segments, &tracks_kept, &formats)?;

    let mut heads: Vec<TrackHead<'_>> = Vec::new();
    for ((shown, formats), record) in tracks_kept.iter().zip(&formats).zip(&records.tracks) {
        let enabled = heads.iter().all(|h| h.kind != shown.track.kind);
        heads.push(shown.head(formats, record, enabled));
    }
    let head = head(Ticks(duration), &heads, records.media_bytes)?;
    let mut at = 0;
    let pieces = head.pieces.into_iter().map(|piece| {
        let start = at;
        at += piece.bytes();
        (start, piece)
    });
    let mut plan = ExportPlan {
        stream,
        window,
        duration: Ticks(duration),
        gaps: holes(spans.iter().map(|s| s.utc).collect(), window),
        runs: records.runs,
        other_keys: records.other_keys,
        segments: records.segments,
        tracks: records.tracks,
        head: pieces.collect(),
        media_start: head.bytes,
        total_bytes: head.bytes + records.media_bytes,
        etag: String::new(),
    };
    plan.etag = etag(&plan, &tracks_kept);
    Ok(plan)
}

/// A track of which something is shown.
struct Shown {
    track: TrackId,
    kept: Vec<Kept>,
    edits: Vec<Edit>,
    media_duration: Ticks,
}

impl Shown {
    fn new(selection: TrackSelection<'_>, movie_duration: i64) -> Option<Self> {
        let kept = selection.kept;
        let (first, last) = (kept.first()?, kept.last()?);
        // Export time at which the track begins to be shown. Its own timeline begins with its first DTS, so
        // that what precedes the window is decoded and skipped.
        let shown_from = first.first_pts.max(first.dts).max(0);
        let shown_to = last.end_pts.min(movie_duration);
        if shown_to <= shown_from {
            return None;
        }
        let mut edits = Vec::new();
        if shown_from > 0 {
            edits.push(Edit { duration: Ticks(shown_from), media_time: None });
        }
        edits.push(Edit { duration: Ticks(shown_to - shown_from), media_time: Some(Ticks(shown_from - first.dts)) });
        let media_duration = Ticks(last.dts + last.total - first.dts);
        Some(Self { track: selection.track, edits, media_duration, kept })
    }

    fn head<'a>(&self, formats: &Formats<'a>, record: &TrackRecord, enabled: bool) -> TrackHead<'a> {
        let entries = record.entries;
        let first = formats.params;
        TrackHead {
            kind: self.track.kind,
            enabled,
            language: first.and_then(|p| p.language.as_deref()),
            video: first.and_then(|p| p.video),
            sample_entries: formats.entries.clone(),
            edits: self.edits.clone(),
            media_duration: self.media_duration,
            counts: TableCounts {
                samples: entries.samples,
                chunks: record.parts.len() as u32,
                time_to_sample: entries.times,
                composition_offset: self.kept.iter().any(|k| k.offsets).then_some(entries.compositions),
                sync_sample: (self.track.kind == TrackKind::Video && entries.syncs < entries.samples)
                    .then_some(entries.syncs),
            },
        }
    }
}

/// The sample entries of a track, each once, in the order in which they are first needed.
struct Formats<'a> {
    entries: Vec<&'a [u8]>,
    /// Which of the entries (from 1) an init segment is.
    numbers: Vec<(InitHash, u16)>,
    /// Parameters of the first.
    params: Option<&'a crate::media::track::TrackParams>,
}

impl<'a> Formats<'a> {
    fn of(shown: &Shown, inits: &'a [InitInfo]) -> Result<Self, ExportError> {
        let mut formats = Self { entries: Vec::new(), numbers: Vec::new(), params: None };
        for kept in &shown.kept {
            if formats.number(kept.init).is_some() {
                continue;
            }
            let info = inits.iter().find(|i| i.hash == kept.init).ok_or(ExportError::UnknownInit(kept.init))?;
            let entry = info.params.sample_entry.as_slice();
            let size = entry.first_chunk::<4>().map(|b| u32::from_be_bytes(*b) as usize);
            if size != Some(entry.len()) || entry.len() < 16 || info.params.kind() != shown.track.kind {
                return Err(ExportError::DamagedInit(kept.init));
            }
            formats.params.get_or_insert(&info.params);
            let index = formats.entries.iter().position(|e| *e == entry).unwrap_or_else(|| {
                formats.entries.push(entry);
                formats.entries.len() - 1
            });
            if index >= MAX_SAMPLE_ENTRIES {
                return Err(ExportError::TooLarge);
            }
            formats.numbers.push((kept.init, index as u16 + 1));
        }
        Ok(formats)
    }

    fn number(&self, init: InitHash) -> Option<u16> {
        // The newest is the likeliest.
        self.numbers.iter().rev().find(|(hash, _)| *hash == init).map(|(_, number)| *number)
    }
}

#[derive(Default)]
struct Records {
    runs: Vec<RunId>,
    other_keys: Vec<ObjectKey>,
    segments: Vec<SegmentRecord>,
    tracks: Vec<TrackRecord>,
    media_bytes: u64,
}

impl Records {
    /// Lays the media out: segment by segment, in each track by track, one chunk each.
    fn fill(&mut self, segments: &[&Segment], tracks: &[Shown], formats: &[Formats<'_>]) -> Result<(), ExportError> {
        let mut rest: Vec<std::slice::Iter<'_, Kept>> = tracks.iter().map(|t| t.kept.iter()).collect();
        self.tracks.extend(tracks.iter().map(|t| TrackRecord {
            id: t.track,
            parts: Vec::with_capacity(t.kept.len()),
            entries: Entries::default(),
        }));
        for (index, segment) in segments.iter().enumerate() {
            let at = self.media_bytes;
            let number = self.segments.len() as u32;
            let mut used = false;
            for ((kept, formats), track) in rest.iter_mut().zip(formats).zip(&mut self.tracks) {
                let Some(part) = kept.as_slice().first().filter(|k| k.segment == index) else { continue };
                kept.next();
                used = true;
                let (before_bytes, bytes, behind_bytes) = around(segment, part).ok_or(ExportError::Damaged {
                    sequence: segment.id.sequence,
                    what: "samples outside their part",
                })?;
                track.parts.push(PartRecord {
                    object_at: part.object_at,
                    bytes,
                    before_bytes,
                    behind_bytes,
                    media_at: self.media_bytes,
                    total: part.total,
                    before: track.entries,
                    segment: number,
                    skip: part.skip,
                    ordinal: part.ordinal,
                    description: formats.number(part.init).ok_or(ExportError::UnknownInit(part.init))?,
                });
                track.entries = plus(track.entries, part).ok_or(ExportError::TooLarge)?;
                self.media_bytes = self.media_bytes.checked_add(part.bytes).ok_or(ExportError::TooLarge)?;
            }
            if used {
                self.push_segment(segment, at);
            }
        }
        self.segments.shrink_to_fit();
        Ok(())
    }

    fn push_segment(&mut self, segment: &Segment, media_at: u64) {
        let id = &segment.id;
        if self.runs.last() != Some(&id.run) {
            self.runs.push(id.run);
        }
        let key = if id.is_key(&segment.object) {
            OWN_KEY
        } else {
            if self.other_keys.last() != Some(&segment.object) {
                self.other_keys.push(segment.object.clone());
            }
            self.other_keys.len() as u32 - 1
        };
        self.segments.push(SegmentRecord {
            sequence: id.sequence,
            epoch: id.epoch,
            start: id.start,
            media_at,
            duration_us: id.duration_us as u32,
            run: self.runs.len() as u32 - 1,
            key,
        });
    }
}

/// Bytes of the part of the segment before what is kept of it, of that, and behind it.
fn around(segment: &Segment, kept: &Kept) -> Option<(u32, u32, u32)> {
    let part = segment.tracks.get(usize::from(kept.ordinal))?;
    let before = kept.object_at.checked_sub(part.offset)?;
    let behind = part.offset.checked_add(part.length)?.checked_sub(kept.object_at.checked_add(kept.bytes)?)?;
    Some((u32::try_from(before).ok()?, u32::try_from(kept.bytes).ok()?, u32::try_from(behind).ok()?))
}

fn plus(before: Entries, part: &Kept) -> Option<Entries> {
    Some(Entries {
        samples: before.samples.checked_add(part.samples)?,
        times: before.times.checked_add(part.time_entries())?,
        compositions: before.compositions.checked_add(part.composition_runs)?,
        syncs: before.syncs.checked_add(part.syncs)?,
    })
}

/// Hash over everything that the bytes follow from. What a segment holds never changes, so its name and the
/// trimming say enough.
fn etag(plan: &ExportPlan, shown: &[Shown]) -> String {
    let mut said: Vec<u8> = Vec::with_capacity(64 * (plan.segments.len() + 2 * shown.len() * plan.segments.len()));
    let mut put = |value: u64| said.extend_from_slice(&value.to_be_bytes());
    put(FORMAT_VERSION);
    put(plan.window.start.0 as u64);
    put(plan.window.end.0 as u64);
    put(plan.total_bytes);
    put(plan.duration.0 as u64);
    for segment in &plan.segments {
        let run = plan.runs.get(segment.run as usize).map_or(0, |r| r.0);
        put(segment.sequence);
        put(segment.epoch);
        put(segment.start.0 as u64);
        put(u64::from(segment.duration_us));
        put((run >> 64) as u64);
        put(run as u64);
    }
    for (track, record) in shown.iter().zip(&plan.tracks) {
        put(u64::from(track.track.kind == TrackKind::Video) << 8 | u64::from(track.track.number));
        put(track.kept.len() as u64);
        for edit in &track.edits {
            put(edit.duration.0 as u64);
            put(edit.media_time.map_or(u64::MAX, |t| t.0 as u64));
        }
        for (kept, part) in track.kept.iter().zip(&record.parts) {
            put(u64::from(part.segment) << 32 | u64::from(part.ordinal));
            put(u64::from(kept.skip) << 32 | u64::from(kept.samples));
            put(kept.object_at);
            put(kept.bytes);
            put(kept.total as u64);
            put(u64::from_be_bytes(kept.init.0[..8].try_into().unwrap_or_default()));
            put(u64::from_be_bytes(kept.init.0[8..].try_into().unwrap_or_default()));
        }
    }
    said.extend_from_slice(plan.stream.as_str().as_bytes());
    format!("\"{:032x}\"", xxh3_128(&said))
}
