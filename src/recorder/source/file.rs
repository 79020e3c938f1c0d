//! MPEG-TS from a file, and the demo clip inside the program.
//!
//! A looped file plays for ever with continuous timestamps: every pass is demuxed anew and moved, all tracks alike,
//! by a whole number of the first pass's lead-track durations. So tracks stay aligned and nothing drifts.

use super::sink::Sink;
use super::spec::FileSpec;
use super::{End, SourceContext, SourceError, now_utc};
use crate::container::{MediaEvent, MediaSample, SourceTrack};
use crate::media::track::{TrackKind, TrackParams};
use crate::media::{Ticks, UtcUs};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

/// The demo clip, made by `scripts/make-demo-clip`.
const DEMO: &[u8] = include_bytes!("../../../assets/demo.ts");

/// Bytes read at once in real time: small, so that pieces come steadily.
const PIECE_REALTIME: usize = 64 << 10;
/// Bytes read at once at full speed.
const PIECE: usize = 256 << 10;
/// Samples are handed on in groups of this many ticks (100 ms) in real time.
const GROUP_TICKS: i64 = 9_000;
/// This far behind its own clock, a source in real time starts its clock anew.
const HOPELESS: Duration = Duration::from_secs(5);

/// A file, or the demo clip.
pub(super) struct FileSource {
    /// `None` for the demo clip.
    path: Option<std::path::PathBuf>,
    looped: bool,
    realtime: bool,
    start: Option<UtcUs>,
}

impl FileSource {
    pub(super) fn new(spec: FileSpec) -> Self {
        Self { path: Some(spec.path), looped: spec.looped, realtime: spec.realtime, start: spec.start }
    }

    pub(super) fn demo() -> Self {
        Self { path: None, looped: true, realtime: true, start: None }
    }

    pub(super) async fn session(&mut self, context: &SourceContext, sink: &mut Sink) -> Result<End, SourceError> {
        sink.watch().set_limit(None);
        // A file that plays live plays now; the clock inside it tells when it was made.
        let tells_time = !self.looped && !self.realtime && self.start.is_none();
        let mut looper = Looper::new(self.looped, tells_time);
        let mut outlet = Outlet { pace: self.realtime.then(Pace::default), start: self.start };
        loop {
            let mut input = self.open().await?;
            let mut demuxer = context.demuxers.ts();
            let mut piece = vec![0; if self.realtime { PIECE_REALTIME } else { PIECE }];
            loop {
                let size = input.read(&mut piece).await?;
                let mut events = Vec::new();
                if size == 0 {
                    demuxer.flush(&mut events);
                } else {
                    sink.received(size);
                    demuxer.push(piece.get(..size).unwrap_or_default(), &mut events);
                }
                let events = looper.take(events);
                outlet.send(events, looper.lead, sink).await?;
                if size == 0 {
                    break;
                }
            }
            if !looper.end_pass() {
                return Err(SourceError::failed("the file holds no media that is recorded"));
            }
            if !self.looped {
                return Ok(End::Finished);
            }
        }
    }

    async fn open(&self) -> Result<Input, SourceError> {
        let Some(path) = &self.path else { return Ok(Input::Bytes(DEMO)) };
        match tokio::fs::File::open(path).await {
            Ok(file) => Ok(Input::File(file)),
            Err(e) => Err(SourceError::failed(format!("cannot open {}: {e}", path.display()))),
        }
    }
}

enum Input {
    Bytes(&'static [u8]),
    File(tokio::fs::File),
}

impl Input {
    async fn read(&mut self, piece: &mut [u8]) -> Result<usize, SourceError> {
        let read = match self {
            Self::Bytes(bytes) => bytes.read(piece).await,
            Self::File(file) => file.read(piece).await,
        };
        read.map_err(|e| SourceError::failed(format!("cannot read the file: {e}")))
    }
}

/// The way out of a file: at its own pace or at full speed.
struct Outlet {
    pace: Option<Pace>,
    /// The wall time of the first sample, until it was said.
    start: Option<UtcUs>,
}

impl Outlet {
    async fn send(
        &mut self,
        mut events: Vec<MediaEvent>,
        lead: Option<SourceTrack>,
        sink: &mut Sink,
    ) -> Result<(), SourceError> {
        if let Some(utc) = self.start
            && let Some((at, media)) = events.iter().enumerate().find_map(|(at, event)| match event {
                MediaEvent::Sample(sample) => Some((at, sample.pts)),
                _ => None,
            })
        {
            self.start = None;
            events.insert(at, MediaEvent::WallTime { media, utc });
        }
        let Some(pace) = &mut self.pace else { return sink.send(events, None).await };
        let mut group = Vec::new();
        let mut group_from: Option<i64> = None;
        for event in events {
            let dts = match &event {
                MediaEvent::Sample(sample) if lead.is_none_or(|lead| lead == sample.track) => Some(sample.dts.0),
                _ => None,
            };
            if let Some(dts) = dts {
                let full = group_from.is_some_and(|from| dts.saturating_sub(from) >= GROUP_TICKS || dts < from);
                if full {
                    sink.send(std::mem::take(&mut group), Some(now_utc())).await?;
                    group_from = None;
                }
                if group_from.is_none() {
                    group_from = Some(dts);
                    pace.until_due(dts).await;
                }
            }
            group.push(event);
        }
        sink.send(group, Some(now_utc())).await
    }
}

/// Holds samples back until they are due.
#[derive(Default)]
struct Pace {
    anchor: Option<(Instant, i64)>,
}

impl Pace {
    async fn until_due(&mut self, dts: i64) {
        let now = Instant::now();
        let (began, first) = *self.anchor.get_or_insert((now, dts));
        let due =
            u64::try_from(Ticks(dts.saturating_sub(first)).to_us()).ok().map(|us| began + Duration::from_micros(us));
        match due {
            // A jump of the file's own clock, or a machine that slept: begin anew from here.
            Some(due) if due > now + HOPELESS || now > due + HOPELESS => self.anchor = Some((now, dts)),
            None => self.anchor = Some((now, dts)),
            Some(due) => tokio::time::sleep_until(due).await,
        }
    }
}

/// Makes one endless stream of a file's passes.
struct Looper {
    looped: bool,
    /// Whether the wall times inside the file count.
    tells_time: bool,
    /// Ticks that the present pass is moved by.
    shift: i64,
    /// Duration of a pass; known after the first.
    period: Option<i64>,
    /// The track that paces: the first video track, else the first of all.
    lead: Option<SourceTrack>,
    tracks: BTreeMap<SourceTrack, Passed>,
    /// The file itself is not continuous, so its passes cannot be.
    broken: bool,
    samples_in_pass: u64,
    /// Said before the next pass.
    pending_break: bool,
}

struct Passed {
    params: TrackParams,
    /// First DTS of the first pass.
    first: Option<i64>,
    last: i64,
    /// Duration of the last sample.
    delta: i64,
    /// Where the next sample of this track belongs at the earliest.
    end: i64,
    /// Dropping what overlaps with the pass before, up to a sync sample.
    dropping: bool,
}

impl Looper {
    fn new(looped: bool, tells_time: bool) -> Self {
        Self {
            looped,
            tells_time,
            shift: 0,
            period: None,
            lead: None,
            tracks: BTreeMap::new(),
            broken: false,
            samples_in_pass: 0,
            pending_break: false,
        }
    }

    /// Moves the events of this pass to where they belong.
    fn take(&mut self, events: Vec<MediaEvent>) -> Vec<MediaEvent> {
        let mut out = Vec::with_capacity(events.len() + 1);
        for event in events {
            match event {
                MediaEvent::Track { track, params } => {
                    let known = self.tracks.get_mut(&track);
                    if known.as_ref().is_some_and(|k| k.params == params) {
                        continue;
                    }
                    match known {
                        Some(known) => known.params = params.clone(),
                        None => {
                            let kind = params.kind();
                            let passed = Passed {
                                params: params.clone(),
                                first: None,
                                last: 0,
                                delta: 0,
                                end: i64::MIN,
                                dropping: false,
                            };
                            self.tracks.insert(track, passed);
                            self.choose_lead(track, kind);
                        }
                    }
                    out.push(MediaEvent::Track { track, params });
                }
                MediaEvent::TrackGone(track) if self.looped && self.tracks.contains_key(&track) => {
                    // It comes back with the next pass; forgetting its place would let it overlap.
                    out.push(MediaEvent::TrackGone(track));
                    if let Some(known) = self.tracks.get_mut(&track) {
                        known.params.codec_string.clear();
                    }
                }
                MediaEvent::Sample(sample) => {
                    if let Some(sample) = self.place(sample) {
                        if std::mem::take(&mut self.pending_break) {
                            out.push(MediaEvent::Discontinuity("the file begins anew"));
                        }
                        out.push(MediaEvent::Sample(sample));
                    }
                }
                MediaEvent::WallTime { media, utc } => {
                    if self.tells_time {
                        out.push(MediaEvent::WallTime { media, utc });
                    }
                }
                MediaEvent::Discontinuity(why) => {
                    if self.samples_in_pass > 0 {
                        self.broken = true;
                        self.tracks.values_mut().for_each(|t| t.end = i64::MIN);
                        out.push(MediaEvent::Discontinuity(why));
                    }
                }
                other => out.push(other),
            }
        }
        out
    }

    fn choose_lead(&mut self, track: SourceTrack, kind: TrackKind) {
        let video = |t: Option<&Passed>| t.is_some_and(|t| t.params.kind() == TrackKind::Video);
        let lead_is_video = self.lead.is_some_and(|lead| video(self.tracks.get(&lead)));
        if self.lead.is_none() || (kind == TrackKind::Video && !lead_is_video && self.period.is_none()) {
            self.lead = Some(track);
        }
    }

    fn place(&mut self, mut sample: MediaSample) -> Option<MediaSample> {
        sample.dts = sample.dts + Ticks(self.shift);
        sample.pts = sample.pts + Ticks(self.shift);
        self.samples_in_pass += 1;
        let Some(passed) = self.tracks.get_mut(&sample.track) else { return Some(sample) };
        let dts = sample.dts.0;
        if self.period.is_some() {
            // Half a sample of overlap is rounding; more was sent already by the pass before.
            if dts < passed.end.saturating_sub(passed.delta / 2) {
                passed.dropping = true;
                return None;
            }
            if passed.dropping && !sample.sync {
                return None;
            }
            passed.dropping = false;
        }
        let delta = dts.saturating_sub(passed.last);
        passed.delta = match sample.duration {
            Some(duration) => i64::from(duration),
            None if passed.first.is_some() && delta > 0 => delta,
            None => passed.delta,
        };
        passed.first.get_or_insert(dts);
        passed.last = dts;
        passed.end = dts.saturating_add(passed.delta);
        Some(sample)
    }

    /// A pass is over. False when it held no sample at all.
    fn end_pass(&mut self) -> bool {
        let any = std::mem::take(&mut self.samples_in_pass) > 0;
        if self.broken {
            self.pending_break = true;
            self.tracks.values_mut().for_each(|t| t.end = i64::MIN);
            return any;
        }
        if self.period.is_none() {
            let lead = self.lead.and_then(|lead| self.tracks.get(&lead));
            let period = lead.and_then(|lead| Some(lead.end.saturating_sub(lead.first?))).filter(|p| *p > 0);
            match period {
                Some(period) => self.period = Some(period),
                None => {
                    self.broken = true;
                    self.pending_break = true;
                }
            }
        }
        self.shift = self.shift.saturating_add(self.period.unwrap_or(0));
        any
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
