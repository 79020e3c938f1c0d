//! One media playlist, followed: reloads it, fetches what is new, demuxes it.
//!
//! Comes in: the address of a media playlist. Goes out: demuxed segments in order, each once, into a bounded
//! channel. One of these runs for each rendition of a presentation, so that none holds up another.

use super::choose::language_code;
use super::merge::SegmentEvents;
use super::playlist::{MAX_PLAYLIST_BYTES, MapRef, MediaPlaylist, Playlist, parse};
use super::tracker::{Planned, Standing, Start, Tracker};
use crate::container::{MediaEvent, SourceTrack};
use crate::media::track::TrackKind;
use crate::media::{Ticks, UtcUs};
use crate::recorder::source::backoff::Backoff;
use crate::recorder::source::demux::{Fmp4Demux, TsDemux};
use crate::recorder::source::fetch::{FetchError, Fetcher};
use crate::recorder::source::spec::redacted;
use crate::recorder::source::{SourceContext, SourceCounters, SourceError, now_utc};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;
use url::Url;

/// Largest segment, in bytes.
const MAX_SEGMENT_BYTES: usize = 64 << 20;
/// Largest segment of an audio rendition, of which there may be many, in bytes.
const MAX_AUDIO_SEGMENT_BYTES: usize = 8 << 20;
/// Largest init segment, in bytes.
const MAX_INIT_BYTES: usize = 4 << 20;
/// Attempts at one segment when the server refuses it.
const ATTEMPTS: u32 = 3;
/// Attempts at one segment when the server is out of reach: it may come back with all that is listed.
const ATTEMPTS_OUT_OF_REACH: u32 = 6;
/// Failures in a row after which a playlist is asked for anew from the top.
const PLAYLIST_FAILURES: u32 = 4;

/// What a rendition tells the session.
pub(super) enum FromRendition {
    /// The next segment.
    Segment(Box<SegmentEvents>),
    /// The last events of the last segment, and the epoch they are of.
    Tail(Vec<MediaEvent>, i64),
    /// How long its segments are at most, in microseconds.
    Target(i64),
}

/// One rendition at work.
pub(super) struct Rendition {
    pub(super) context: SourceContext,
    pub(super) fetcher: Fetcher,
    /// Where the playlist is.
    pub(super) url: Url,
    /// Whether it leads; only the lead says wall times.
    pub(super) lead: bool,
    /// RFC 5646, from the multivariant playlist, for media that say none.
    pub(super) language: Option<String>,
    pub(super) tracker: Tracker,
    pub(super) start: Option<Start>,
    /// Something of this source was live: then arrival says something.
    pub(super) seen_live: bool,
    pub(super) reader: SegmentReader,
    pub(super) out: Sender<FromRendition>,
}

impl Rendition {
    /// Loads the playlist.
    pub(super) async fn load(fetcher: &Fetcher, url: &Url, time: Duration) -> Result<(Url, Playlist), FetchError> {
        let fetched = fetcher.fetch(url, None, MAX_PLAYLIST_BYTES, time).await?;
        let playlist = parse(&fetched.body)
            .map_err(|e| FetchError { status: None, sentence: format!("{}: {e}", redacted(url)) })?;
        Ok((fetched.url, playlist))
    }

    /// Follows the playlist, whose first load may be given, until it has ended.
    pub(super) async fn follow(mut self, first: Option<(Url, MediaPlaylist)>) -> Result<(), SourceError> {
        let began = Instant::now();
        let mut loaded = first;
        let mut failures = 0;
        let tuning = self.context.tuning;
        let mut backoff = Backoff::new(tuning.backoff_first, tuning.backoff_most, tuning.jitter_seed);
        loop {
            let asked = Instant::now();
            let playlist = match loaded.take() {
                Some((base, playlist)) => Ok((base, playlist)),
                None => match Self::load(&self.fetcher, &self.url, self.patience()).await {
                    Ok((base, Playlist::Media(playlist))) => Ok((base, playlist)),
                    Ok((_, Playlist::Multivariant(_))) => {
                        Err(format!("{}: a media playlist became a multivariant one", redacted(&self.url)))
                    }
                    Err(error) => Err(error.sentence),
                },
            };
            let (base, playlist) = match playlist {
                Ok(loaded) => {
                    if failures > 0 {
                        tracing::info!(playlist = %redacted(&self.url), failures, "the playlist is back");
                    }
                    failures = 0;
                    backoff.reset();
                    loaded
                }
                Err(sentence) => {
                    failures += 1;
                    if failures == 1 {
                        tracing::warn!(error = sentence, "a playlist could not be loaded");
                    }
                    // The lead asks for a new multivariant playlist; another rendition goes on trying by itself.
                    if self.lead && failures >= PLAYLIST_FAILURES {
                        return Err(SourceError::Failed(sentence));
                    }
                    tokio::time::sleep(backoff.wait()).await;
                    continue;
                }
            };
            self.tell(FromRendition::Target(playlist.target_us)).await?;
            self.seen_live |= !playlist.ended;
            let start = self.start.unwrap_or(if playlist.ended { Start::First } else { Start::Edge });
            let now_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let plan = self.tracker.plan(&playlist, start, now_ms);
            if plan.standing == Standing::Behind {
                tracing::debug!(playlist = %redacted(&self.url), "a playlist that ends before what is recorded");
            }
            let fresh = plan.standing == Standing::News;
            // As if every segment had arrived when it was ready: the last now, the others before it.
            let mut ahead_us: i64 = plan.segments.iter().map(|p| p.listed.duration_us).sum();
            let loaded_at = now_utc();
            for planned in plan.segments {
                ahead_us -= planned.listed.duration_us;
                let arrival = self.seen_live.then(|| loaded_at.plus_us(-ahead_us));
                self.deliver(planned, &base, arrival).await?;
            }
            if playlist.ended {
                let tail = self.reader.finish();
                return self.tell(FromRendition::Tail(tail, self.reader.epoch)).await;
            }
            // RFC 8216 6.3.4: a target duration after a change, half of one without.
            let wait_us = if fresh { playlist.target_us } else { playlist.target_us / 2 };
            tokio::time::sleep_until(asked + self.playlist_time(wait_us)).await;
        }
    }

    /// A playlist's time on our clock.
    fn playlist_time(&self, us: i64) -> Duration {
        playlist_time(&self.context, us)
    }

    /// Longest wait for one answer.
    fn patience(&self) -> Duration {
        self.context.stall.max(Duration::from_millis(100))
    }

    async fn tell(&mut self, what: FromRendition) -> Result<(), SourceError> {
        self.out.send(what).await.map_err(|_| SourceError::Closed)
    }

    /// Fetches and demuxes one segment, with a few attempts, and hands it on.
    async fn deliver(&mut self, planned: Planned, base: &Url, arrival: Option<UtcUs>) -> Result<(), SourceError> {
        let counters = self.context.counters.clone();
        let listed = &planned.listed;
        if planned.missed > 0 {
            SourceCounters::add(&counters.segments_skipped, planned.missed);
            let (missed, next) = (planned.missed, listed.sequence);
            tracing::warn!(missed, next, "segments fell out of the playlist before they could be fetched");
            self.reader.hole(false);
        }
        if planned.breaks.is_some() {
            self.reader.epoch += 1;
            self.reader.pending_break = planned.breaks;
            self.reader.hole(true);
        }
        let mut backoff =
            Backoff::new(self.context.tuning.backoff_first, self.playlist_time(listed.duration_us), listed.sequence);
        let mut attempt = 1;
        let fetched = loop {
            if listed.gap {
                break Err("the playlist says that it is missing (EXT-X-GAP)".to_owned());
            }
            match self.fetch(&planned, base).await {
                Ok(fetched) => break Ok(fetched),
                Err(error) if attempt >= if error.status.is_some() { ATTEMPTS } else { ATTEMPTS_OUT_OF_REACH } => {
                    break Err(error.sentence);
                }
                Err(error) => {
                    tracing::debug!(error = error.sentence, attempt, "a segment could not be fetched");
                    attempt += 1;
                    tokio::time::sleep(backoff.wait()).await;
                }
            }
        };
        let read = fetched.and_then(|(init, body)| {
            counters.received(body.len(), now_utc());
            SourceCounters::add(&counters.segments_fetched, 1);
            let utc = listed.utc.filter(|_| self.lead && listed.utc_stated);
            self.reader.read(&self.context, listed.map.as_ref().zip(init), body, utc)
        });
        match read {
            Ok((tail, mut events)) => {
                self.name_language(&mut events);
                let segment = SegmentEvents {
                    known: planned.known,
                    tail,
                    epoch: self.reader.epoch,
                    breaks: self.reader.pending_break.take(),
                    hole: std::mem::take(&mut self.reader.pending_hole),
                    arrival,
                    events,
                };
                self.tell(FromRendition::Segment(Box::new(segment))).await
            }
            Err(error) => {
                SourceCounters::add(&counters.segments_skipped, 1);
                tracing::warn!(error, sequence = listed.sequence, "a segment is skipped");
                self.reader.hole(false);
                Ok(())
            }
        }
    }

    async fn fetch(&mut self, planned: &Planned, base: &Url) -> Result<(Option<Bytes>, Bytes), FetchError> {
        let listed = &planned.listed;
        let time = self.patience().max(self.playlist_time(listed.duration_us.saturating_mul(3)));
        let mut init = None;
        if let Some(map) = &listed.map
            && self.reader.init_of.as_deref() != Some(map)
        {
            let url = resolve(base, &map.uri)?;
            init = Some(self.fetcher.fetch(&url, map.range, MAX_INIT_BYTES, time).await?.body);
        }
        let url = resolve(base, &listed.uri)?;
        let limit = if self.lead { MAX_SEGMENT_BYTES } else { MAX_AUDIO_SEGMENT_BYTES };
        let body = self.fetcher.fetch(&url, listed.range, limit, time).await?.body;
        Ok((init, body))
    }

    /// Says the language where the media themselves do not.
    fn name_language(&self, events: &mut [MediaEvent]) {
        let Some(code) = self.language.as_deref().and_then(language_code) else { return };
        for event in events {
            if let MediaEvent::Track { params, .. } = event
                && params.kind() == TrackKind::Audio
                && params.language.is_none()
            {
                params.language = Some(code.clone());
            }
        }
    }
}

/// A playlist's time on our clock; tests let it run faster.
pub(super) fn playlist_time(context: &SourceContext, us: i64) -> Duration {
    let us = u64::try_from(us).unwrap_or(0);
    let second_us = u64::try_from(context.tuning.playlist_second.as_micros()).unwrap_or(1_000_000);
    Duration::from_micros(us / 1000 * second_us / 1000)
}

fn resolve(base: &Url, uri: &str) -> Result<Url, FetchError> {
    base.join(uri).map_err(|e| FetchError {
        status: None,
        sentence: format!("an address in the playlist is malformed ({e}), seen at {}", redacted(base)),
    })
}

/// Demuxes the segments of one rendition.
pub(super) struct SegmentReader {
    ts: Option<Box<dyn TsDemux>>,
    fmp4: Option<Box<dyn Fmp4Demux>>,
    /// Which init segment the fragmented MP4 reader has.
    init_of: Option<Arc<MapRef>>,
    kinds: BTreeMap<SourceTrack, TrackKind>,
    epoch: i64,
    pending_break: Option<&'static str>,
    pending_hole: bool,
    /// The next bytes do not continue the last ones.
    pending_reset: bool,
    /// The playlist has PROGRAM-DATE-TIME.
    states_time: bool,
}

impl SegmentReader {
    pub(super) fn new() -> Self {
        Self {
            ts: None,
            fmp4: None,
            init_of: None,
            kinds: BTreeMap::new(),
            epoch: 0,
            pending_break: None,
            pending_hole: false,
            pending_reset: false,
            states_time: false,
        }
    }

    /// Something is missing here; `known` when the playlist itself announces a break.
    fn hole(&mut self, known: bool) {
        self.pending_hole |= !known;
        self.pending_reset = true;
    }

    /// The end: what the demuxer still holds.
    fn finish(&mut self) -> Vec<MediaEvent> {
        let mut tail = Vec::new();
        if let Some(demuxer) = &mut self.ts {
            demuxer.flush(&mut tail);
        }
        tail
    }

    /// Demuxes one segment, which begins at wall time `utc` if that is known. `init`: its init segment's place, and
    /// its bytes when they are new. Gives what was still held of the segment before, if this one does not continue
    /// it, and the events of this one.
    fn read(
        &mut self,
        context: &SourceContext,
        init: Option<(&Arc<MapRef>, Bytes)>,
        body: Bytes,
        utc: Option<UtcUs>,
    ) -> Result<(Vec<MediaEvent>, Vec<MediaEvent>), String> {
        let mut tail = Vec::new();
        let mut events = Vec::new();
        let is_fmp4 = init.is_some() || self.init_of.is_some() || looks_like_mp4(&body);
        let mut first = None;
        let reset = std::mem::take(&mut self.pending_reset);
        if is_fmp4 {
            let reader = self.fmp4.get_or_insert_with(|| context.demuxers.fmp4());
            if reset {
                reader.discontinuity();
            }
            if let Some((map, init)) = init {
                reader.push_init(&init, &mut events)?;
                self.init_of = Some(map.clone());
            }
            if let Err(error) = reader.push_segment(&body, &mut events) {
                if !events.iter().any(|e| matches!(e, MediaEvent::Sample(_))) {
                    return Err(error);
                }
                events.push(MediaEvent::Damage("a damaged segment of fragmented MP4"));
            }
            interleave(&mut events);
        } else {
            if utc.is_some() {
                first = first_time(context, &body);
            }
            let demuxer = self.ts.get_or_insert_with(|| context.demuxers.ts());
            if reset {
                demuxer.discontinuity(&mut tail);
                // Said once, for all renditions together.
                tail.retain(|event| !matches!(event, MediaEvent::Discontinuity(_)));
            }
            demuxer.push(&body, &mut events);
        }
        self.states_time |= utc.is_some();
        if self.states_time {
            // The playlist knows better than the tables in the stream, which are whole seconds.
            events.retain(|event| !matches!(event, MediaEvent::WallTime { .. }));
        }
        self.state_wall_time(&mut events, utc, first);
        Ok((tail, events))
    }

    /// Puts the wall time of the segment's first video (else first) sample before the events.
    fn state_wall_time(&mut self, events: &mut Vec<MediaEvent>, utc: Option<UtcUs>, first: Option<Ticks>) {
        for event in events.iter() {
            if let MediaEvent::Track { track, params } = event {
                self.kinds.insert(*track, params.kind());
            }
        }
        let Some(utc) = utc else { return };
        let video = |track: &SourceTrack| self.kinds.get(track) == Some(&TrackKind::Video);
        let mut samples = events.iter().filter_map(|event| match event {
            MediaEvent::Sample(sample) => Some(sample),
            _ => None,
        });
        let any = samples.clone().next();
        let Some(sample) = samples.find(|s| video(&s.track)).or(any) else { return };
        // A TS demuxer gives the last picture of the segment before only now: the time comes from a look ahead,
        // made comparable by whole wraps of the 33-bit clock.
        let media = match first {
            Some(raw) => {
                let wrap = 1_i64 << 33;
                let turns = sample.pts.0.saturating_sub(raw.0).saturating_add(wrap / 2).div_euclid(wrap);
                Ticks(raw.0.saturating_add(turns.saturating_mul(wrap)))
            }
            None => sample.pts,
        };
        events.insert(0, MediaEvent::WallTime { media, utc });
    }
}

/// PTS of the first video (else first) sample of a TS segment, found with a demuxer of its own.
fn first_time(context: &SourceContext, body: &[u8]) -> Option<Ticks> {
    let mut demuxer = context.demuxers.ts();
    let mut events = Vec::new();
    let mut kinds = BTreeMap::new();
    let mut any = None;
    let mut chunks = body.chunks(188 * 64);
    loop {
        let ended = match chunks.next() {
            Some(chunk) => {
                demuxer.push(chunk, &mut events);
                false
            }
            None => {
                demuxer.flush(&mut events);
                true
            }
        };
        for event in events.drain(..) {
            match event {
                MediaEvent::Track { track, params } => {
                    kinds.insert(track, params.kind());
                }
                MediaEvent::Sample(sample) if kinds.get(&sample.track) == Some(&TrackKind::Video) => {
                    return Some(sample.pts);
                }
                MediaEvent::Sample(sample) => {
                    any.get_or_insert(sample.pts);
                }
                _ => {}
            }
        }
        if ended {
            return any;
        }
    }
}

/// Brings the samples of a segment into one order of decoding times: a fragment has them track by track.
fn interleave(events: &mut [MediaEvent]) {
    let is_sample = |event: &MediaEvent| matches!(event, MediaEvent::Sample(_));
    for run in events.chunk_by_mut(|a, b| is_sample(a) && is_sample(b)) {
        run.sort_by_key(|event| match event {
            MediaEvent::Sample(sample) => sample.dts.0,
            _ => 0,
        });
    }
}

/// Whether the bytes begin with a box of ISO/IEC 14496-12 that a segment may begin with.
fn looks_like_mp4(body: &[u8]) -> bool {
    matches!(body.get(4..8), Some(b"styp" | b"moof" | b"sidx" | b"prft" | b"emsg" | b"ftyp" | b"free"))
}
