//! The segmenter: media events in, cut segments out.
//!
//! Comes in: what demuxers found, with the time of arrival. Goes out: segments of about the configured
//! length, cut at sync samples of the lead track, every track split at the same moment, each with its place
//! in wall time. Never: I/O, clocks, encoding. What is buffered is bounded in time and bytes.

use super::track_queue::{Follows, InitSegment, QueuedSample, TrackQueue};
use crate::container::{MediaEvent, MediaSample, SourceTrack};
use crate::media::segment::LONGEST_SEGMENT_US;
use crate::media::track::{TrackId, TrackKind, Uncarried};
use crate::media::wallclock::{JUMP_US, MAX_SLEW_US_PER_SECOND, Observed, WALL_ERROR_US, WallClock, WallSource};
use crate::media::{SampleTable, Ticks, UtcUs};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A track that is this far behind the lead no longer holds up a cut.
const MAX_INTERLEAVE: Ticks = Ticks(3 * 90_000);
/// A lead track without samples for this long has a gap: a new run begins after it.
const LEAD_GAP: Ticks = Ticks(3 * 90_000);
/// A lead DTS this far before the last one is another clock, not disorder.
const CLOCK_WENT_BACK: Ticks = Ticks(90_000);
/// A picture that is sent but never a sync sample is waited for this long.
const NO_SYNC_AFTER: Ticks = Ticks(30 * 90_000);
/// Without any video by then, the stream is audio only.
const AUDIO_ONLY_AFTER: Ticks = Ticks(5 * 90_000);
/// Sounds that wait for a first picture.
const MOST_EARLY: usize = 8192;
/// A segment may be longer than the target duration by less than half a second (RFC 8216 4.3.3.1 rounds).
const OVER_TARGET: Ticks = Ticks(90_000 / 4);
/// A segment without any sync sample to cut at is cut anyway before it is longer than that, or at this size.
const FORCED_CUT_BYTES: usize = 128 << 20;
/// A stated wall time this far from the arrival is nonsense (a looped old recording, an unset clock).
const PLAUSIBLE_US: i64 = 86_400_000_000;
/// A lead track this far behind another has fallen silent: the others go on without it.
const LEAD_SILENT: Ticks = Ticks(10 * 90_000);

/// One track's share of a cut segment.
#[derive(Debug)]
pub struct CutPart {
    /// Name of the track in the stream.
    pub track: TrackId,
    /// Its init segment.
    pub init: Arc<InitSegment>,
    /// DTS of the first sample.
    pub decode_start: Ticks,
    /// The samples.
    pub table: SampleTable,
    /// Their bytes, in order.
    pub payload: Vec<Bytes>,
}

/// A segment, before it has a number.
#[derive(Debug)]
pub struct CutSegment {
    /// First of a new run.
    pub new_run: bool,
    /// Whether anything breaks before it: a new run, or other parameters.
    pub discontinuity: bool,
    /// Wall time of the anchor.
    pub start: UtcUs,
    /// Wall time covered, in microseconds.
    pub duration_us: i64,
    /// Media time of `start`.
    pub anchor: Ticks,
    /// Video first, then audio, each by number.
    pub parts: Vec<CutPart>,
}

/// What the segmenter has to say, in order.
#[derive(Debug)]
pub enum Output {
    /// A segment.
    Segment(CutSegment),
    /// A sentence for the log.
    Note(String),
    /// The source has something that is not recorded.
    Uncarried(Uncarried),
}

#[derive(Debug)]
struct Run {
    lead: SourceTrack,
    clock: WallClock,
    /// Added to stated wall times: a run that was moved to the end of the one before stays moved.
    stated_bias_us: i64,
    /// Where the open segment begins: media and wall time.
    anchor: Ticks,
    start: UtcUs,
    /// Cuts that wait for the other tracks.
    cuts: Vec<CutPoint>,
    last_gop: Ticks,
    last_sync: Ticks,
    /// DTS of the newest lead sample.
    last_dts: Ticks,
    last_observed: Ticks,
    first_segment: bool,
    /// Whether the open segment begins with a sync sample of the lead.
    open_sync: bool,
    /// The source's clock has jumped or stood still: at the next sync sample a new run follows it again.
    clock_broke: bool,
}

#[derive(Debug, Clone, Copy)]
struct CutPoint {
    /// PTS of the lead sample that begins the next segment.
    at: Ticks,
    /// Its DTS: where the lead is split, in decoding order.
    lead_dts: Ticks,
    /// Whether it is a sync sample.
    sync: bool,
}

/// `lead_dts` of the cut that takes all that is left.
const LAST: Ticks = Ticks(i64::MAX);

/// Cuts one stream's media events into segments.
pub struct Segmenter {
    target: Ticks,
    /// No segment is longer, unless a picture alone is: see `docs/decisions/0005-target-duration.md`.
    longest: Ticks,
    /// No segment starts before this.
    floor: UtcUs,
    tracks: BTreeMap<SourceTrack, TrackQueue>,
    names: BTreeMap<SourceTrack, TrackId>,
    run: Option<Run>,
    wall_hint: Option<(Ticks, UtcUs, WallSource)>,
    /// Added to all media times of a run whose first would be negative (edit lists do that): `tfdt` has no sign.
    shift: Ticks,
    /// The wall clock jumped: by this the run to come begins, at the next sync sample.
    jump_to: Option<(Ticks, UtcUs, WallSource)>,
    /// No picture is expected: radio, or a picture that has stopped.
    audio_only: bool,
    /// Sound that came before the first picture.
    early: VecDeque<MediaSample>,
    notes_given: Vec<&'static str>,
}

impl Segmenter {
    /// A segmenter for segments of about `segment_seconds`; nothing will start before `floor`, the end of
    /// what the stream has recorded so far.
    pub fn new(segment_seconds: u32, floor: UtcUs) -> Self {
        Self {
            target: Ticks(i64::from(segment_seconds) * 90_000),
            longest: Ticks(2 * i64::from(segment_seconds) * 90_000) + OVER_TARGET,
            floor,
            tracks: BTreeMap::new(),
            names: BTreeMap::new(),
            run: None,
            wall_hint: None,
            shift: Ticks(0),
            jump_to: None,
            audio_only: false,
            early: VecDeque::new(),
            notes_given: Vec::new(),
        }
    }

    /// Takes events in order. `arrival`: when they arrived, where that says anything; `now`: the wall time a
    /// run gets that nothing else tells the time of.
    pub fn push(&mut self, events: Vec<MediaEvent>, arrival: Option<UtcUs>, now: UtcUs, out: &mut Vec<Output>) {
        for event in events {
            match event {
                MediaEvent::Track { track, params } => {
                    let init = Arc::new(InitSegment::new(params));
                    let queue = self.tracks.entry(track).or_default();
                    // Listed again, be it with the parameters it had.
                    queue.gone = false;
                    if queue.init_for_next().is_none_or(|old| old.info.hash != init.info.hash) {
                        queue.set_init(init);
                    }
                }
                MediaEvent::TrackGone(track) => {
                    if self.run.as_ref().is_some_and(|r| r.lead == track) {
                        self.end_run(out);
                    }
                    // What is queued still belongs to the open segment; the queue goes when it is empty.
                    if let Some(queue) = self.tracks.get_mut(&track) {
                        queue.gone = true;
                    }
                }
                MediaEvent::Sample(sample) => self.sample(sample, arrival, now, out),
                MediaEvent::Discontinuity(why) => {
                    self.end_run(out);
                    out.push(Output::Note(format!("the source breaks here: {why}")));
                }
                MediaEvent::WallTime { media, utc } => self.wall_time(media, utc, arrival, out),
                MediaEvent::Uncarried(uncarried) => out.push(Output::Uncarried(uncarried)),
                MediaEvent::Damage(what) => self.note_once(what, out),
            }
        }
    }

    /// The source has ended or breaks: cuts what is buffered and closes the run.
    pub fn end_run(&mut self, out: &mut Vec<Output>) {
        if self.run.is_some() {
            self.finish_cuts(true, out);
            self.final_cut(out);
        }
        self.run = None;
        self.wall_hint = None;
        self.jump_to = None;
        self.shift = Ticks(0);
        self.early.clear();
        self.tracks.retain(|_, q| !q.gone);
        for queue in self.tracks.values_mut() {
            queue.clear();
        }
    }

    fn note_once(&mut self, what: &'static str, out: &mut Vec<Output>) {
        if !self.notes_given.contains(&what) && self.notes_given.len() < 64 {
            self.notes_given.push(what);
            out.push(Output::Note(format!("{what} (said once; counted from now on)")));
        }
    }

    fn wall_time(&mut self, media: Ticks, utc: UtcUs, arrival: Option<UtcUs>, out: &mut Vec<Output>) {
        if arrival.is_some_and(|a| utc.since(a).abs() > PLAUSIBLE_US) {
            self.note_once("the source states a wall time more than a day off; the time of arrival is used", out);
            return;
        }
        let Some(run) = &mut self.run else {
            self.wall_hint = Some((media, utc, WallSource::Stated));
            return;
        };
        let biased = utc.plus_us(run.stated_bias_us);
        if let Observed::Jump(error_us) = run.clock.observe(media + self.shift, biased, WallSource::Stated) {
            if self.jump_to.is_none() {
                let millis = error_us / 1000;
                out.push(Output::Note(format!("the source's wall clock jumped by {millis} ms; a new run begins")));
            }
            // At the next sync sample: the media goes on, and none of it need be lost.
            self.jump_to = Some((media, utc, WallSource::Stated));
        }
    }

    fn sample(&mut self, raw: MediaSample, arrival: Option<UtcUs>, now: UtcUs, out: &mut Vec<Output>) {
        let sample = &raw;
        let Some(queue) = self.tracks.get_mut(&sample.track) else { return };
        if queue.init_for_next().is_none() {
            return;
        }
        let is_video = queue.kind() == Some(TrackKind::Video);
        let lead_kind = self.run.as_ref().and_then(|r| self.tracks.get(&r.lead)).and_then(TrackQueue::kind);
        if is_video && lead_kind == Some(TrackKind::Audio) {
            // The picture is there, or back: from its next sync sample on, it leads.
            if !sample.sync {
                return;
            }
            self.audio_only = false;
            self.end_run(out);
        }
        if self.run.is_none() {
            if let Some(queue) = self.tracks.get_mut(&raw.track).filter(|_| is_video && raw.sync) {
                queue.silent = false;
            }
            if !self.try_start(&raw, arrival, now, out) {
                return self.wait_for_lead(raw, arrival, now, out);
            }
            let early = std::mem::take(&mut self.early);
            self.sample(raw, arrival, now, out);
            for sound in early {
                self.sample(sound, arrival, now, out);
            }
            return;
        }
        let shifted = |s: &MediaSample, by: Ticks| MediaSample { dts: s.dts + by, pts: s.pts + by, ..s.clone() };
        let sample = shifted(&raw, self.shift);
        let Some(run) = &self.run else { return };
        let is_lead = run.lead == sample.track;
        let lead_at = self.tracks.get(&run.lead).and_then(TrackQueue::last_dts);
        let Some(queue) = self.tracks.get_mut(&sample.track) else { return };
        if let Some(last) = queue.last_dts() {
            let apart = sample.dts + queue.bridge() - last;
            let went_back = last - (sample.dts + queue.bridge()) > CLOCK_WENT_BACK;
            let leapt = match lead_at {
                _ if is_lead => apart > LEAD_GAP,
                Some(lead) => (sample.dts + queue.bridge() - lead).0.abs() > LEAD_SILENT.0 && apart > LEAD_GAP,
                None => false,
            };
            if is_lead && raw.sync && went_back {
                out.push(Output::Note("the source's clock went back; a new run begins".into()));
                self.end_run(out);
                return self.sample(raw, arrival, now, out);
            }
            if is_lead && raw.sync && leapt {
                return self.restart_after_gap(raw, arrival, now, out);
            }
            if went_back || leapt {
                // Nothing could be decoded from here in a run of its own: it goes on with this one to the next sync.
                queue.bridge_to(sample.dts);
                if is_lead {
                    self.clock_breaks("the source's clock has jumped; a new run begins at the next sync sample", out);
                }
            }
        }
        let Some(queue) = self.tracks.get_mut(&sample.track) else { return };
        let mut sample = sample;
        match queue.stamp(&mut sample) {
            Follows::On => {}
            Follows::StandsStill => {
                self.note_once("the source's clock stands still; its samples got times of their own", out)
            }
            Follows::Stray => self.note_once("a sample's DTS did not grow; it got one that does", out),
            Follows::WentBack if is_lead => {
                self.clock_breaks("the source's clock went back; a new run begins at the next sync sample", out);
            }
            Follows::WentBack => {}
        }
        let Some(run) = &self.run else { return };
        if is_lead && sample.sync && run.clock_broke {
            return self.restart_by_own_clock(raw, sample.pts, arrival, now, out);
        }
        if !is_lead && self.lead_is_silent(sample.pts) {
            out.push(Output::Note("the video has stopped; the sound goes on without it".into()));
            self.end_run(out);
            self.audio_only = true;
            return self.sample(raw, arrival, now, out);
        }
        let Some(run) = &mut self.run else { return };
        // Before the run's first picture: leading pictures that nothing can decode, sound of the time before.
        if sample.pts < run.anchor && run.first_segment && !(is_lead && sample.sync) {
            return;
        }
        let (track, dts, pts, sync) = (sample.track, sample.dts, sample.pts, sample.sync);
        if let Some(hint) = self.jump_to.filter(|_| is_lead && sync) {
            self.end_run(out);
            self.wall_hint = Some(hint);
            return self.sample(raw, arrival, now, out);
        }
        if let Some(arrival) = arrival.filter(|_| is_lead && sync)
            && self.arrival_jumped(pts, arrival, out)
        {
            self.end_run(out);
            return self.sample(raw, Some(arrival), now, out);
        }
        let Some(queue) = self.tracks.get_mut(&track) else { return };
        let parameters_change = queue.push(sample);
        if is_lead {
            self.plan_cut(dts, pts, sync, parameters_change);
        } else if parameters_change {
            self.cut_lead_at(pts);
        }
        if self.tracks.get(&track).is_some_and(|q| q.bytes() > 2 * FORCED_CUT_BYTES) {
            out.push(Output::Note(format!("track {} ran away from the others; a new run begins", track.0)));
            self.end_run(out);
            return;
        }
        self.finish_cuts(false, out);
    }

    /// Keeps sound until the first picture comes, which may be later than the sound of its time; without any
    /// picture for long, the sound goes first.
    fn wait_for_lead(&mut self, raw: MediaSample, arrival: Option<UtcUs>, now: UtcUs, out: &mut Vec<Output>) {
        let Some(queue) = self.tracks.get_mut(&raw.track) else { return };
        queue.seen = true;
        if queue.kind() != Some(TrackKind::Audio) {
            return;
        }
        let latest = raw.pts;
        self.early.push_back(raw);
        let waited = self.early.front().map_or(Ticks(0), |first| latest - first.pts);
        let mut patience = AUDIO_ONLY_AFTER;
        for queue in self.tracks.values_mut().filter(|q| q.kind() == Some(TrackKind::Video) && !q.silent && !q.gone) {
            let limit = if queue.seen { NO_SYNC_AFTER } else { AUDIO_ONLY_AFTER };
            patience = patience.max(limit);
            // Announced, or there before the break, and not coming: the sound goes without it.
            queue.silent = waited >= limit;
        }
        if waited >= patience {
            self.audio_only = true;
            for sound in std::mem::take(&mut self.early) {
                let arrived = arrival.map(|a| a.plus_us((sound.pts - latest).to_us()));
                self.sample(sound, arrived, now, out);
            }
        }
        if self.early.len() > MOST_EARLY {
            self.early.pop_front();
        }
    }

    /// Whether the lead has nothing new although another track has come as far as `pts`.
    fn lead_is_silent(&mut self, pts: Ticks) -> bool {
        let Some(lead) = self.run.as_ref().and_then(|r| self.tracks.get_mut(&r.lead)) else { return false };
        lead.silent = lead.last_pts().is_some_and(|last| pts - last > LEAD_SILENT);
        lead.silent
    }

    /// Compares the lead with the time of arrival; says whether they are too far apart to go on.
    fn arrival_jumped(&mut self, pts: Ticks, arrival: UtcUs, out: &mut Vec<Output>) -> bool {
        let Some(run) = &mut self.run else { return false };
        if run.first_segment && run.stated_bias_us == 0 {
            // A burst at the beginning: the first picture had waited for it.
            let earlier_us = arrival.since(run.clock.utc_of(pts)).max(self.floor.since(run.start)).min(0);
            if run.clock.is_by_arrival() && earlier_us < 0 {
                run.clock.shift(earlier_us);
                run.start = run.start.plus_us(earlier_us);
            }
        }
        // Sound is all sync samples; the estimate looks at minutes.
        if pts < run.last_observed + Ticks(90_000) {
            return false;
        }
        run.last_observed = pts;
        let Observed::Jump(error_us) = run.clock.observe(pts, arrival.plus_us(run.stated_bias_us), WallSource::Arrival)
        else {
            return false;
        };
        out.push(Output::Note(format!(
            "the media clock is {} ms off the wall clock; a new run begins",
            error_us / 1000
        )));
        true
    }

    /// Begins a run at `sample` if it can: a sync sample of the lead track.
    fn try_start(&mut self, sample: &MediaSample, arrival: Option<UtcUs>, now: UtcUs, out: &mut Vec<Output>) -> bool {
        // The first video track that is really sent; one that was there before a break may never come back.
        let leads = |t: SourceTrack, q: &TrackQueue| {
            q.kind() == Some(TrackKind::Video) && !q.silent && !q.gone && (q.seen || t == sample.track)
        };
        let lead = self.tracks.iter().find(|(track, q)| leads(**track, q)).map(|(track, _)| *track);
        let lead = match lead {
            Some(video) => video,
            None if self.audio_only => sample.track,
            None => return false,
        };
        if lead != sample.track || !sample.sync {
            return false;
        }
        let (media, utc, source) = match (self.wall_hint.take(), arrival) {
            (Some(hint), _) => hint,
            (None, Some(arrival)) => (sample.pts, arrival, WallSource::Arrival),
            (None, None) => (sample.pts, now.max(self.floor), WallSource::Arrival),
        };
        let stated = utc.plus_us((sample.pts - media).to_us());
        let start = stated.max(self.floor);
        let bias_us = start.since(stated);
        if bias_us > 1_000_000 {
            out.push(Output::Note(format!(
                "the source's time is {} ms before the end of what is recorded; the run begins there instead",
                bias_us / 1000
            )));
        }
        self.shift = Ticks((-sample.dts.0).max(0));
        let anchor = sample.pts + self.shift;
        self.run = Some(Run {
            lead,
            clock: WallClock::new(anchor, start, source),
            stated_bias_us: bias_us,
            anchor,
            start,
            cuts: Vec::new(),
            last_gop: Ticks(0),
            last_sync: anchor,
            last_dts: sample.dts + self.shift,
            last_observed: anchor,
            first_segment: true,
            open_sync: true,
            clock_broke: false,
        });
        true
    }

    fn clock_breaks(&mut self, what: &'static str, out: &mut Vec<Output>) {
        if let Some(run) = self.run.as_mut().filter(|run| !run.clock_broke) {
            run.clock_broke = true;
            out.push(Output::Note(what.into()));
        }
    }

    /// Begins a run by the source's own clock at a sample that was to have had the time `pts`.
    fn restart_by_own_clock(
        &mut self,
        raw: MediaSample,
        pts: Ticks,
        arrival: Option<UtcUs>,
        now: UtcUs,
        out: &mut Vec<Output>,
    ) {
        let utc = self.run.as_ref().map(|run| run.clock.utc_of(pts));
        self.end_run(out);
        if let (Some(utc), None) = (utc, arrival) {
            self.wall_hint = Some((raw.pts, utc, WallSource::Arrival));
        }
        self.sample(raw, arrival, now, out);
    }

    fn restart_after_gap(&mut self, sample: MediaSample, arrival: Option<UtcUs>, now: UtcUs, out: &mut Vec<Output>) {
        let resumed = self.run.as_ref().map(|r| (sample.pts, r.clock.utc_of(sample.pts + self.shift)));
        out.push(Output::Note("the lead track has a gap; a new run begins after it".into()));
        self.end_run(out);
        // The media clock went on through the gap, so it still tells the time, unless it jumped.
        // Nothing arrives before its time: then the clock ran ahead.
        let agrees = |utc: UtcUs| arrival.is_none_or(|a| (-WALL_ERROR_US..JUMP_US).contains(&a.since(utc)));
        if let Some((media, utc)) = resumed.filter(|(_, utc)| agrees(*utc)) {
            self.wall_hint = Some((media, utc, WallSource::Arrival));
        }
        self.sample(sample, arrival, now, out);
    }

    /// Decides, at a lead sample just queued, whether the next segment begins with it.
    fn plan_cut(&mut self, dts: Ticks, pts: Ticks, sync: bool, parameters_change: bool) {
        let queued = self.tracks.values().map(TrackQueue::bytes).sum::<usize>();
        let (target, longest) = (self.target, self.longest);
        let Some(run) = &mut self.run else { return };
        let open_since = run.cuts.last().map_or(run.anchor, |c| c.at);
        let open_sync = run.cuts.last().map_or(run.open_sync, |c| c.sync);
        let elapsed = pts - open_since;
        let spacing = dts - run.last_dts;
        run.last_dts = dts;
        if elapsed.0 <= 0 {
            return;
        }
        if sync {
            run.last_gop = pts - run.last_sync;
            run.last_sync = pts;
        }
        // The sync sample nearest to the target length, going by the last distance between two; or the first one after
        // a cut where there was none.
        let due = sync && (!open_sync || elapsed.0 + run.last_gop.0.min(target.0) / 2 > target.0);
        // With one more sample it would be too long.
        let overdue = elapsed + spacing > longest || (run.cuts.is_empty() && queued > FORCED_CUT_BYTES);
        if due || overdue || parameters_change {
            run.cuts.push(CutPoint { at: pts, lead_dts: dts, sync });
        }
    }

    /// Another track's parameters change at `pts`: cut there, be it at a sync sample or not.
    fn cut_lead_at(&mut self, pts: Ticks) {
        let Some(run) = &mut self.run else { return };
        let open_since = run.cuts.last().map_or(run.anchor, |c| c.at);
        if pts <= open_since {
            return;
        }
        let lead = self.tracks.get(&run.lead);
        let lead_dts = lead.and_then(|q| q.first_dts_presented_from(pts)).unwrap_or(pts);
        run.cuts.push(CutPoint { at: pts, lead_dts, sync: false });
    }

    /// Cuts what is complete: every other track has reached the cut, or is too far behind to wait for.
    fn finish_cuts(&mut self, ending: bool, out: &mut Vec<Output>) {
        while let Some(run) = &self.run {
            let Some(cut) = run.cuts.first().copied() else { return };
            let lead_at = self.tracks.get(&run.lead).and_then(TrackQueue::last_dts).unwrap_or(cut.lead_dts);
            let waited_enough = ending || lead_at - cut.lead_dts > MAX_INTERLEAVE;
            let complete = self
                .tracks
                .iter()
                .all(|(track, q)| *track == run.lead || q.is_idle() || q.last_pts().is_some_and(|p| p >= cut.at));
            if lead_at < cut.lead_dts || !(complete || waited_enough) {
                return;
            }
            if let Some(run) = &mut self.run {
                run.cuts.remove(0);
            }
            self.emit(cut, out);
        }
    }

    /// Cuts all that is left, as the last segment of the run.
    fn final_cut(&mut self, out: &mut Vec<Output>) {
        let Some(run) = &self.run else { return };
        let ends = self.tracks.values().filter_map(TrackQueue::presentation_end);
        let Some(end) = ends.max().filter(|end| *end > run.anchor) else { return };
        // A part has one init segment: where the last sounds have other parameters, they get a segment of their own.
        while let Some(run) = &self.run
            && let Some(at) = self.tracks.values().filter_map(TrackQueue::parameters_change_at).min()
            && at > run.anchor
            && at < end
        {
            self.emit(CutPoint { at, lead_dts: LAST, sync: true }, out);
        }
        self.emit(CutPoint { at: end, lead_dts: LAST, sync: true }, out);
    }

    fn emit(&mut self, cut: CutPoint, out: &mut Vec<Output>) {
        self.name_tracks();
        let Some(run) = &mut self.run else { return };
        let mut parts = Vec::new();
        let mut discontinuity = run.first_segment;
        for (source, queue) in &mut self.tracks {
            let Some(&track) = self.names.get(source) else { continue };
            let taken: Vec<QueuedSample> = if *source == run.lead || cut.lead_dts == LAST {
                queue.take_while(|s| s.dts < cut.lead_dts)
            } else {
                queue.take_while(|s| s.pts < cut.at)
            };
            let (Some(first), Some(init)) = (taken.first(), queue.init_of_taken()) else { continue };
            let decode_start = first.dts;
            let next_dts = queue.first_dts();
            discontinuity |= queue.note_published(init.info.hash);
            let (table, payload) = TrackQueue::table(taken, next_dts, *source == run.lead);
            parts.push(CutPart { track, init, decode_start, table, payload });
        }
        parts.sort_by_key(|p| p.track);
        let end = run.clock.cut(cut.at);
        // A run that was moved finds back to its source's time as slowly as drift is slewed.
        let back_us = (cut.at - run.anchor).to_us().max(0) / 1_000_000 * MAX_SLEW_US_PER_SECOND;
        run.stated_bias_us = (run.stated_bias_us - back_us).max(0);
        let segment = CutSegment {
            new_run: run.first_segment,
            discontinuity,
            start: run.start,
            duration_us: end.since(run.start).clamp(1, LONGEST_SEGMENT_US),
            anchor: run.anchor,
            parts,
        };
        run.first_segment = false;
        run.open_sync = cut.sync;
        run.anchor = cut.at;
        run.start = segment.start.plus_us(segment.duration_us);
        self.floor = self.floor.max(run.start);
        if !segment.parts.is_empty() {
            out.push(Output::Segment(segment));
        }
    }

    /// Gives names to tracks that have none, by the order of their source ids. A name, once given, stays.
    fn name_tracks(&mut self) {
        // A run begins with the names of the tracks that are in it; the others' are free again.
        if self.run.as_ref().is_some_and(|r| r.first_segment) {
            self.names.retain(|source, _| self.tracks.get(source).is_some_and(|q| q.last_dts().is_some()));
        }
        for (source, queue) in &self.tracks {
            let Some(kind) = queue.kind().filter(|_| queue.last_dts().is_some()) else { continue };
            if self.names.get(source).is_some_and(|n| n.kind == kind) {
                continue;
            }
            let taken = |n: u8| self.names.values().any(|t| t.kind == kind && t.number == n);
            if let Some(number) = (1..=u8::MAX).find(|n| !taken(*n)) {
                self.names.insert(*source, TrackId { kind, number });
            }
        }
    }
}

#[cfg(test)]
#[path = "segmenter_tests.rs"]
mod tests;
