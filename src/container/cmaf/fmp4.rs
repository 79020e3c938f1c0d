//! Fragmented MP4 from elsewhere (HLS with fMP4 segments, CMAF, DASH): tracks and samples.
//!
//! Comes in: whole init segments and whole media segments of one source, from anyone. Goes out: media events on the
//! 90 kHz clock, sample bytes as slices of the segment. Never: copies of samples, state that grows with the input.

use super::CmafError;
use super::boxes::{BoxRef, Boxes};
use super::entry::params_from_sample_entry;
use super::fragment::{self, Run, RunSample, TrackFragment};
use super::init::{Defaults, TrackHeader, read_moov};
use crate::container::{MediaEvent, MediaSample, SourceTrack};
use crate::media::time::TIMESCALE;
use crate::media::track::{TrackParams, Uncarried};
use crate::media::{Ticks, TrackKind};
use bytes::Bytes;

/// Most samples in one pushed segment, all tracks together.
const MAX_SAMPLES_PER_SEGMENT: u32 = 500_000;
/// Media times further from 0 than this (three thousand years of ticks) are damage.
const MAX_TICKS: i128 = 1 << 53;
/// A 32-bit `tfdt` that falls back by 2^32, give or take this much, has wrapped.
const WRAP_TOLERANCE_SECONDS: i64 = 60;
/// Most things that are remembered as said.
const MAX_SAID: usize = 256;

/// Reads one source of fragmented MP4, segment after segment.
#[derive(Debug, Default)]
pub struct Fmp4Reader {
    tracks: Vec<Track>,
    said: Vec<Uncarried>,
}

#[derive(Debug)]
struct Track {
    id: u32,
    timescale: u32,
    language: Option<String>,
    /// Media time of the edit list that is shown first, in units of `timescale`.
    shift: i64,
    /// Empty time of the edit list.
    delay: Ticks,
    defaults: Defaults,
    entries: Vec<Entry>,
    /// Index of the entry that the last event was about.
    announced: Option<usize>,
    /// DTS of the next sample where no `tfdt` says it, in units of `timescale`, wraps included.
    next_dts: Option<i64>,
    /// What to add to a 32-bit `tfdt`.
    wrapped: i64,
}

#[derive(Debug, PartialEq, Eq)]
enum Entry {
    Carried(TrackParams),
    Not(Uncarried),
}

/// What the fragments of one segment share.
struct Segment<'a> {
    bytes: &'a Bytes,
    /// Where the segment begins in the file that absolute offsets count from; known from the first of them.
    origin: Option<u64>,
    samples_left: u32,
    /// Samples do not share bytes: together they are no longer than the segment.
    bytes_left: usize,
}

impl Fmp4Reader {
    /// A reader that knows no track yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes an init segment (`ftyp` + `moov`, 8.2.1). Tells which tracks are there, those with other parameters
    /// than before, those that went, and what is not carried. The same one again tells nothing. Nothing changes
    /// on an error.
    ///
    /// # Errors
    /// [`CmafError::Damaged`] when it has no readable `moov`.
    pub fn push_init(&mut self, bytes: &[u8], out: &mut Vec<MediaEvent>) -> Result<(), CmafError> {
        for found in Boxes::top_level(bytes) {
            let found = found?;
            if found.kind == *b"moov" && !found.cut_short {
                return self.take_moov(&found, out);
            }
        }
        Err(CmafError::Damaged("an init segment without moov"))
    }

    /// Takes a whole media segment: any number of `moof` + `mdat` (8.8.4), with any number of tracks and runs.
    /// `styp`, `sidx`, `prft`, `emsg`, `free` are passed over; a `moov` is taken as by [`Fmp4Reader::push_init`].
    /// Samples beyond the end of a cut segment are left out and told as damage.
    ///
    /// # Errors
    /// [`CmafError::Damaged`]; what was read before the damage is in `out`.
    pub fn push_segment(&mut self, bytes: &Bytes, out: &mut Vec<MediaEvent>) -> Result<(), CmafError> {
        let mut segment =
            Segment { bytes, origin: None, samples_left: MAX_SAMPLES_PER_SEGMENT, bytes_left: bytes.len() };
        for found in Boxes::top_level(bytes) {
            let found = found?;
            match &found.kind {
                b"moof" | b"moov" if found.cut_short => return Err(CmafError::Damaged("a segment ends in its moof")),
                b"moof" => self.take_moof(&mut segment, &found, out)?,
                b"moov" => self.take_moov(&found, out)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// The next segment's times have nothing to do with those before (EXT-X-DISCONTINUITY): without `tfdt` they
    /// begin at 0 again. Tracks stay known.
    pub fn discontinuity(&mut self) {
        for track in &mut self.tracks {
            track.next_dts = None;
            track.wrapped = 0;
        }
    }

    fn take_moov(&mut self, moov: &BoxRef<'_>, out: &mut Vec<MediaEvent>) -> Result<(), CmafError> {
        let headers = read_moov(moov.body)?;
        let mut tracks = headers.iter().map(new_track).collect::<Result<Vec<_>, _>>()?;
        let mut old = std::mem::take(&mut self.tracks);
        for track in &mut tracks {
            let before = old.iter_mut().find(|o| o.id == track.id);
            if let Some(before) = before {
                if before.timescale == track.timescale {
                    (track.next_dts, track.wrapped) = (before.next_dts, before.wrapped);
                }
                if track.starts_like(before) {
                    track.announced = before.announced;
                }
            }
        }
        for before in &old {
            let stays = tracks.iter().any(|t| t.id == before.id && t.default_entry().is_some_and(Entry::is_carried));
            if before.announced.is_some() && !stays {
                out.push(MediaEvent::TrackGone(SourceTrack(before.id)));
            }
        }
        for (track, header) in tracks.iter_mut().zip(&headers) {
            if track.announced.is_none() {
                if header.edit.more {
                    out.push(MediaEvent::Damage("edits beyond the first of a track are not applied"));
                }
                track.announce(track.defaults.description, &mut self.said, out);
            }
        }
        self.tracks = tracks;
        Ok(())
    }

    fn take_moof(
        &mut self,
        segment: &mut Segment<'_>,
        moof: &BoxRef<'_>,
        out: &mut Vec<MediaEvent>,
    ) -> Result<(), CmafError> {
        let mut data_end = moof.offset as i64;
        for traf in fragment::read_moof(moof.body)? {
            let base = segment.base_of(&traf, moof, data_end)?;
            let track = self.tracks.iter_mut().find(|t| t.id == traf.track_id);
            data_end = match track {
                Some(track) => track.take_traf(segment, &traf, base, &mut self.said, out)?,
                None => {
                    out.push(MediaEvent::Damage("a fragment of a track that the init segment does not have"));
                    data_end
                }
            };
        }
        Ok(())
    }
}

impl Segment<'_> {
    /// Where a track fragment's data offsets count from (8.8.7), as a position in the segment.
    fn base_of(&mut self, traf: &TrackFragment<'_>, moof: &BoxRef<'_>, data_end: i64) -> Result<i64, CmafError> {
        let Some(absolute) = traf.base_data_offset else {
            return Ok(if traf.default_base_is_moof { moof.offset as i64 } else { data_end });
        };
        // Absolute offsets count from the beginning of a file of which this segment may be a part. Runs that
        // begin behind the moof's own length count from the moof, so that its place in the file is known.
        let from_moof = traf.runs.first().and_then(|run| run.data_offset);
        let from_moof = from_moof.and_then(|o| usize::try_from(o).ok()).is_some_and(|o| o >= moof.whole.len());
        let in_file = if from_moof { absolute.saturating_sub(moof.offset as u64) } else { 0 };
        let origin = *self.origin.get_or_insert(in_file);
        let position = absolute.checked_sub(origin).and_then(|p| i64::try_from(p).ok());
        position.ok_or(CmafError::Damaged("a base data offset"))
    }

    /// The bytes of a sample, if the segment has them.
    fn slice(&mut self, start: i64, bytes: u32) -> Option<Bytes> {
        let start = usize::try_from(start).ok()?;
        let end = start.checked_add(bytes as usize).filter(|&end| end <= self.bytes.len())?;
        self.bytes_left = self.bytes_left.checked_sub(bytes as usize)?;
        Some(self.bytes.slice(start..end))
    }
}

impl Entry {
    const fn is_carried(&self) -> bool {
        matches!(self, Entry::Carried(_))
    }
}

fn new_track(header: &TrackHeader<'_>) -> Result<Track, CmafError> {
    let entries = header.entries.iter().map(|entry| {
        let not = |what| {
            let (place, language) = (format!("track {}", header.track_id), header.language.clone());
            Entry::Not(Uncarried { place, what, language })
        };
        match params_from_sample_entry(entry, header.language.clone()) {
            Ok(params) => Entry::Carried(params),
            Err(CmafError::Unsupported(what)) => not(what),
            Err(error) => not(error.to_string()),
        }
    });
    let delay = i64::try_from(header.edit.delay).map_err(|_| CmafError::Damaged("an edit list"))?;
    Ok(Track {
        id: header.track_id,
        timescale: header.timescale,
        language: header.language.clone(),
        shift: header.edit.media_time,
        delay: ticks(delay, header.movie_timescale)?,
        defaults: header.defaults,
        entries: entries.collect(),
        announced: None,
        next_dts: None,
        wrapped: 0,
    })
}

/// A time in units of a timescale (not 0) as the nearest tick.
fn ticks(units: i64, timescale: u32) -> Result<Ticks, CmafError> {
    let rough = i128::from(units) * i128::from(TIMESCALE) / i128::from(timescale);
    if rough.abs() > MAX_TICKS {
        return Err(CmafError::Damaged("a media time beyond all reason"));
    }
    Ok(Ticks::rescale(units, timescale))
}

const OVERFLOW: CmafError = CmafError::Damaged("a media time beyond all reason");

impl Track {
    fn default_entry(&self) -> Option<&Entry> {
        self.entry(self.defaults.description).map(|(_, entry)| entry)
    }

    /// Entry number `description`, counted from 1, with its index.
    fn entry(&self, description: u32) -> Option<(usize, &Entry)> {
        let index = usize::try_from(description.checked_sub(1)?).ok()?;
        Some((index, self.entries.get(index)?))
    }

    /// Whether this track goes on as the one before it did: nothing need be told.
    fn starts_like(&self, before: &Track) -> bool {
        self.entries == before.entries && self.defaults.description == before.defaults.description
    }

    /// Tells of the entry when it is not the one told last. Whether it is carried.
    fn announce(&mut self, description: u32, said: &mut Vec<Uncarried>, out: &mut Vec<MediaEvent>) -> bool {
        let Some((index, entry)) = self.entry(description) else {
            out.push(MediaEvent::Damage("a fragment of a sample entry that the init segment does not have"));
            return false;
        };
        match entry {
            Entry::Not(uncarried) => {
                say(uncarried, said, out);
                false
            }
            Entry::Carried(params) => {
                if self.announced != Some(index) {
                    out.push(MediaEvent::Track { track: SourceTrack(self.id), params: params.clone() });
                    self.announced = Some(index);
                }
                true
            }
        }
    }

    /// Gives the samples of a track fragment whose data offsets count from `base`; returns where its data end.
    fn take_traf(
        &mut self,
        segment: &mut Segment<'_>,
        traf: &TrackFragment<'_>,
        base: i64,
        said: &mut Vec<Uncarried>,
        out: &mut Vec<MediaEvent>,
    ) -> Result<i64, CmafError> {
        let defaults = traf.defaults(self.defaults);
        let mut carried = self.announce(defaults.description, said, out);
        if carried && traf.encrypted {
            let place = format!("track {}", self.id);
            let uncarried = Uncarried { place, what: "encrypted samples".into(), language: self.language.clone() };
            say(&uncarried, said, out);
            carried = false;
        }
        let always_sync =
            !matches!(self.entry(defaults.description), Some((_, Entry::Carried(p))) if p.kind() == TrackKind::Video);
        let mut dts = self.start_of(traf)?;
        let mut at = base;
        for run in &traf.runs {
            segment.samples_left =
                segment.samples_left.checked_sub(run.count).ok_or(CmafError::Damaged("too many samples"))?;
            at = run.data_offset.map_or(at, |offset| base.saturating_add(i64::from(offset)));
            for sample in Run::samples(run, defaults) {
                let sample = sample?;
                let next = dts.checked_add(i64::from(sample.duration)).ok_or(OVERFLOW)?;
                if carried && sample.size > 0 {
                    if let Some(data) = segment.slice(at, sample.size) {
                        out.push(self.event(dts, &sample, always_sync, data)?);
                    } else {
                        // The rest of the fragment is beyond the end as well.
                        out.push(MediaEvent::Damage("samples beyond the end of their segment"));
                        carried = false;
                    }
                }
                at = at.checked_add(i64::from(sample.size)).ok_or(CmafError::Damaged("a data offset"))?;
                dts = next;
            }
        }
        self.next_dts = Some(dts);
        Ok(at)
    }

    /// DTS of a track fragment's first sample, in units of the timescale: `tfdt` (8.8.12), or what comes next.
    fn start_of(&mut self, traf: &TrackFragment<'_>) -> Result<i64, CmafError> {
        let Some((stated, short)) = traf.decode_time else {
            return Ok(self.next_dts.unwrap_or(0));
        };
        let stated = i64::try_from(stated).map_err(|_| OVERFLOW)?;
        if !short {
            return Ok(stated);
        }
        let expected = self.next_dts.unwrap_or(stated);
        let fallen = expected.saturating_sub(stated.saturating_add(self.wrapped));
        if (fallen - (1 << 32)).abs() < WRAP_TOLERANCE_SECONDS * i64::from(self.timescale) {
            self.wrapped = self.wrapped.saturating_add(1 << 32);
        }
        Ok(stated.saturating_add(self.wrapped))
    }

    /// A sample on the 90 kHz clock. Every time is rounded by itself, so that nothing accumulates.
    fn event(&self, dts: i64, sample: &RunSample, always_sync: bool, data: Bytes) -> Result<MediaEvent, CmafError> {
        let shown = |units: i64| {
            let units = units.checked_sub(self.shift).ok_or(OVERFLOW)?;
            Ok(ticks(units, self.timescale)? + self.delay)
        };
        let pts = dts.checked_add(i64::from(sample.composition_offset)).ok_or(OVERFLOW)?;
        let next = dts.checked_add(i64::from(sample.duration)).ok_or(OVERFLOW)?;
        let (dts, pts, next) = (shown(dts)?, shown(pts)?, shown(next)?);
        let duration = u32::try_from((next - dts).0).map_err(|_| OVERFLOW)?;
        if i32::try_from((pts - dts).0).is_err() {
            return Err(OVERFLOW);
        }
        Ok(MediaEvent::Sample(MediaSample {
            track: SourceTrack(self.id),
            dts,
            pts,
            // 0 is what some packagers write for "unknown".
            duration: Some(duration).filter(|_| sample.duration > 0),
            sync: always_sync || fragment::is_sync(sample.flags),
            data,
        }))
    }
}

fn say(uncarried: &Uncarried, said: &mut Vec<Uncarried>, out: &mut Vec<MediaEvent>) {
    if said.len() < MAX_SAID && !said.contains(uncarried) {
        said.push(uncarried.clone());
        out.push(MediaEvent::Uncarried(uncarried.clone()));
    }
}

#[cfg(test)]
#[path = "fmp4_tests.rs"]
mod tests;
