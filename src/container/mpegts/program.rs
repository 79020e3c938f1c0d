//! The tracks of the chosen program.
//!
//! Comes in: packets of its elementary streams, PCRs, its PMT. Goes out: events in the order of the source, on
//! one clock. Never: looks into elementary streams (assemblers do), or lets one wrong time move the clock.
//!
//! One track leads: the first video track, else the first track. Only it can make the clock jump, and only when
//! its next time, the PCR or another track agrees. A PES packet whose time does not fit waits until that is
//! decided. So one wrong time costs one time, and a break costs nothing.

use super::clock::{RawTimes, Timeline, TrackClock};
use super::gate::Gate;
use super::packet::{Continuity, Header, PACKET_BYTES, Step};
use super::pes::{BUDGET_BYTES, Fed, MAX_AUDIO_PES_BYTES, MAX_VIDEO_PES_BYTES, PesBuffer};
use super::psi::{Content, Pmt};
use crate::container::codec::{Assembled, Assembler, PesPayload};
use crate::container::{MediaEvent, SourceTrack};
use crate::media::{Codec, Ticks, track::TrackKind, track::Uncarried};
use std::collections::VecDeque;

/// Makes an assembler for one elementary stream.
pub(super) type Factory = fn(Codec, SourceTrack, Option<String>) -> Box<dyn Assembler>;

/// Most tracks of a program.
pub(super) const MAX_TRACKS: usize = 64;

/// Most PES packets of one track that wait for a decision about the clock.
const MAX_HELD: usize = 128;

/// Most bytes of all PES packets that wait.
const MAX_HELD_BYTES: usize = 16 << 20;

/// Waiting PES packets of one track after which the leading track, silent all the while, leads no more.
const TAKEOVER: usize = 32;

/// Most different elementary streams that are reported as not carried.
const MAX_UNCARRIED: usize = 256;

struct Held {
    times: Option<RawTimes>,
    data: Vec<u8>,
    damaged: bool,
}

struct Track {
    pid: u16,
    codec: Codec,
    language: Option<String>,
    assembler: Box<dyn Assembler>,
    continuity: Continuity,
    pes: PesBuffer,
    clock: TrackClock,
    held: VecDeque<Held>,
    /// Times of the leading track when the first of `held` came.
    held_since: u64,
    scrambled: bool,
}

/// The chosen program's tracks and clock.
pub(super) struct Program {
    factory: Factory,
    tracks: Vec<Track>,
    leader: usize,
    leader_times: u64,
    timeline: Timeline,
    gate: Option<Gate>,
    uncarried: Vec<Uncarried>,
    budget: usize,
    held_bytes: usize,
    scratch: Vec<Assembled>,
}

impl Program {
    pub fn new(factory: Factory) -> Self {
        Self {
            factory,
            tracks: Vec::new(),
            leader: 0,
            leader_times: 0,
            timeline: Timeline::default(),
            gate: None,
            uncarried: Vec::new(),
            budget: BUDGET_BYTES,
            held_bytes: 0,
            scratch: Vec::new(),
        }
    }

    /// PIDs of the tracks; the position is the index that [`Self::packet`] takes.
    pub fn pids(&self) -> impl Iterator<Item = u16> {
        self.tracks.iter().map(|t| t.pid)
    }

    /// Makes the tracks those of `pmt`: what is unchanged goes on undisturbed.
    pub fn apply(&mut self, pmt: &Pmt, out: &mut Vec<MediaEvent>) {
        self.open_gate(out);
        let mut old = std::mem::take(&mut self.tracks);
        let mut fresh = Vec::new();
        for stream in &pmt.streams {
            let codec = match &stream.content {
                Content::Carried(codec) if self.tracks.len() < MAX_TRACKS => *codec,
                Content::Carried(_) => {
                    self.report(stream.pid, "one track more than a program may have", &stream.language, out);
                    continue;
                }
                Content::Other(what) => {
                    self.report(stream.pid, what, &stream.language, out);
                    continue;
                }
            };
            let track = SourceTrack(u32::from(stream.pid));
            let position = old.iter().position(|t| t.pid == stream.pid && t.codec == codec);
            if let Some(mut kept) = position.map(|at| old.remove(at)) {
                if kept.language != stream.language {
                    kept.assembler.flush(&mut self.scratch);
                    drain(kept.pid, &mut self.scratch, &mut self.gate, out);
                    kept.language.clone_from(&stream.language);
                    kept.assembler = (self.factory)(codec, track, stream.language.clone());
                }
                self.tracks.push(kept);
                continue;
            }
            fresh.push(track);
            let limit = match codec.kind() {
                TrackKind::Video => MAX_VIDEO_PES_BYTES,
                TrackKind::Audio => MAX_AUDIO_PES_BYTES,
            };
            self.tracks.push(Track {
                pid: stream.pid,
                codec,
                language: stream.language.clone(),
                assembler: (self.factory)(codec, track, stream.language.clone()),
                continuity: Continuity::default(),
                pes: PesBuffer::new(limit),
                clock: TrackClock::default(),
                held: VecDeque::new(),
                held_since: 0,
                scrambled: false,
            });
        }
        for mut gone in old {
            gone.assembler.flush(&mut self.scratch);
            drain(gone.pid, &mut self.scratch, &mut self.gate, out);
            gone.pes.release(&mut self.budget);
            self.held_bytes -= gone.held.iter().map(|h| h.data.len()).sum::<usize>();
            out.push(MediaEvent::TrackGone(SourceTrack(u32::from(gone.pid))));
        }
        self.choose_leader();
        self.gate = Gate::for_tracks(fresh);
    }

    fn choose_leader(&mut self) {
        self.leader = self.tracks.iter().position(|t| t.codec.kind() == TrackKind::Video).unwrap_or(0);
    }

    fn report(&mut self, pid: u16, what: &str, language: &Option<String>, out: &mut Vec<MediaEvent>) {
        let uncarried = Uncarried { place: format!("pid {pid:#x}"), what: what.to_owned(), language: language.clone() };
        if self.uncarried.len() < MAX_UNCARRIED && !self.uncarried.contains(&uncarried) {
            self.uncarried.push(uncarried.clone());
            out.push(MediaEvent::Uncarried(uncarried));
        }
    }

    /// Takes a PCR of the program.
    pub fn pcr(&mut self, base: i64, announced: bool) {
        self.timeline.pcr(base, announced);
    }

    /// Media time of the latest PCR.
    pub fn pcr_time(&self) -> Option<Ticks> {
        self.timeline.pcr_time()
    }

    /// An event that is not of a track.
    pub fn emit(&mut self, event: MediaEvent, out: &mut Vec<MediaEvent>) {
        emit(event, &mut self.gate, out);
    }

    /// Takes a packet with payload of track number `index`.
    pub fn packet(&mut self, index: usize, header: &Header, packet: &[u8; PACKET_BYTES], out: &mut Vec<MediaEvent>) {
        let Some(track) = self.tracks.get_mut(index) else { return };
        let Some(payload) = header.payload.and_then(|at| packet.get(at..)) else { return };
        let step = track.continuity.step(header, packet);
        if step == Step::Duplicate {
            return;
        }
        // At a splice that is announced, the packet before is whole.
        let lost = step == Step::Lost || (step == Step::Announced && !header.unit_start);
        track.pes.damaged |= lost;
        if step == Step::Lost {
            emit(MediaEvent::Damage("packets of a track were lost"), &mut self.gate, out);
        }
        let scrambled = header.scrambled;
        if scrambled {
            track.pes.end(&mut self.budget);
            track.pes.damaged = true;
            if !std::mem::replace(&mut track.scrambled, true) {
                emit(MediaEvent::Damage("a track is scrambled"), &mut self.gate, out);
            }
            return;
        }
        track.scrambled = false;
        if header.unit_start {
            if track.pes.is_active() {
                if !track.pes.is_whole() && !std::mem::replace(&mut track.pes.damaged, true) {
                    emit(MediaEvent::Damage("a PES packet ends early"), &mut self.gate, out);
                }
                self.complete(index, out);
            }
            let Some(track) = self.tracks.get_mut(index) else { return };
            // What was lost at a boundary may have been of either packet.
            track.pes.damaged |= lost;
            track.pes.start();
        }
        let Some(track) = self.tracks.get_mut(index) else { return };
        match track.pes.feed(payload, &mut self.budget) {
            Fed::More => {}
            Fed::Complete => self.complete(index, out),
            Fed::Refused(why) => {
                track.pes.damaged = true;
                emit(MediaEvent::Damage(why), &mut self.gate, out);
            }
        }
    }

    /// Bytes were skipped after a packet of track `last`, which may have lost its end; when `many`, counters
    /// tell nothing any more.
    pub fn skipped(&mut self, last: Option<usize>, many: bool) {
        for (index, track) in self.tracks.iter_mut().enumerate() {
            if many || (last == Some(index) && track.pes.is_active()) {
                track.pes.damaged = true;
            }
        }
    }

    /// Ends what is under way: the input ends or breaks here.
    pub fn flush(&mut self, out: &mut Vec<MediaEvent>) {
        for index in 0..self.tracks.len() {
            if let Some(track) = self.tracks.get_mut(index)
                && track.pes.is_active()
            {
                track.pes.damaged |= !track.pes.is_whole();
                self.complete(index, out);
            }
        }
        for index in 0..self.tracks.len() {
            let held = self.take_held(index);
            if !held.is_empty() {
                emit(MediaEvent::Damage("samples whose times fit nowhere"), &mut self.gate, out);
            }
        }
        for track in &mut self.tracks {
            track.assembler.flush(&mut self.scratch);
            drain(track.pid, &mut self.scratch, &mut self.gate, out);
            track.continuity.forget();
            track.pes.end(&mut self.budget);
        }
        self.open_gate(out);
    }

    /// Forgets the clock.
    pub fn forget_clock(&mut self) {
        self.timeline = Timeline::default();
        self.choose_leader();
        for track in &mut self.tracks {
            track.clock = TrackClock::default();
        }
    }

    fn open_gate(&mut self, out: &mut Vec<MediaEvent>) {
        if let Some(gate) = self.gate.take() {
            gate.open(out);
        }
    }

    /// The PES packet under way on track `index` is complete.
    fn complete(&mut self, index: usize, out: &mut Vec<MediaEvent>) {
        let leads = index == self.leader;
        let Some(track) = self.tracks.get_mut(index) else { return };
        if !track.pes.payload().is_empty() {
            match track.pes.times {
                Some(times) => {
                    self.leader_times += u64::from(leads);
                    match self.timeline.judge(&mut track.clock, times.decoding(), leads) {
                        Some(at) => {
                            if !track.held.is_empty() {
                                self.refute(index, out);
                            }
                            self.give_current(index, Some((times, at)), out);
                        }
                        None => self.misfit(index, times, out),
                    }
                }
                None if !track.held.is_empty() => self.hold(index, None, out),
                None if track.clock.has_joined() => self.give_current(index, None, out),
                None => {}
            }
        }
        if let Some(track) = self.tracks.get_mut(index) {
            track.pes.end(&mut self.budget);
        }
    }

    fn give_current(&mut self, index: usize, times: Option<(RawTimes, i64)>, out: &mut Vec<MediaEvent>) {
        let leads = index == self.leader;
        let Some(track) = self.tracks.get_mut(index) else { return };
        let (pts, dts) = times.map_or((None, None), |(times, at)| times.unwrapped(at));
        if let Some((_, at)) = times {
            self.timeline.accept(&mut track.clock, at, leads);
        }
        let payload = PesPayload { pts, dts, data: track.pes.payload(), damaged: track.pes.damaged };
        track.assembler.push(payload, &mut self.scratch);
        drain(track.pid, &mut self.scratch, &mut self.gate, out);
    }

    /// The complete PES packet of track `index` has times that are not on the clock.
    fn misfit(&mut self, index: usize, times: RawTimes, out: &mut Vec<MediaEvent>) {
        let Some(track) = self.tracks.get(index) else { return };
        if index == self.leader {
            let held = track.held.iter().find_map(|h| h.times);
            let follows = held.is_some_and(|held| times.follows(held));
            if held.is_some() && !follows {
                self.refute(index, out);
            }
            let confirmed = follows
                || self.timeline.pcr_confirms(times.decoding())
                || self.tracks.iter().enumerate().any(|(other, track)| {
                    let latest = track.held.iter().rev().find_map(|h| h.times);
                    other != index && latest.is_some_and(|latest| times.near(latest))
                });
            self.hold(index, Some(times), out);
            if confirmed {
                self.jump(index, out);
            }
            return;
        }
        self.hold(index, Some(times), out);
        let Some(track) = self.tracks.get(index) else { return };
        let silent = track.held_since == self.leader_times;
        let mut recent = track.held.iter().rev().filter_map(|h| h.times);
        let steady = match (recent.next(), recent.next()) {
            (Some(last), Some(before)) => last.follows(before),
            _ => false,
        };
        if silent && steady && track.held.len() >= TAKEOVER {
            self.leader = index;
            self.jump(index, out);
        }
    }

    /// Copies the complete PES packet of track `index` to where it waits.
    fn hold(&mut self, index: usize, times: Option<RawTimes>, out: &mut Vec<MediaEvent>) {
        let Some(track) = self.tracks.get_mut(index) else { return };
        let data = track.pes.payload();
        if self.held_bytes + data.len() > MAX_HELD_BYTES {
            emit(MediaEvent::Damage("too much waits for a decision about the clock"), &mut self.gate, out);
            return;
        }
        if track.held.is_empty() {
            track.held_since = self.leader_times;
        }
        self.held_bytes += data.len();
        track.held.push_back(Held { times, data: data.to_vec(), damaged: track.pes.damaged });
        if track.held.len() > MAX_HELD
            && let Some(oldest) = track.held.pop_front()
        {
            self.held_bytes -= oldest.data.len();
            emit(MediaEvent::Damage("a track's times fit no other track"), &mut self.gate, out);
        }
    }

    fn take_held(&mut self, index: usize) -> VecDeque<Held> {
        let held = self.tracks.get_mut(index).map(|t| std::mem::take(&mut t.held)).unwrap_or_default();
        self.held_bytes -= held.iter().map(|h| h.data.len()).sum::<usize>();
        held
    }

    /// What waited does not belong to the clock. A lone wrong time loses only itself; times from before a jump
    /// lose their samples too.
    fn refute(&mut self, index: usize, out: &mut Vec<MediaEvent>) {
        let held = self.take_held(index);
        let Some(track) = self.tracks.get_mut(index) else { return };
        let lone = track.clock.has_joined() && held.iter().filter(|h| h.times.is_some()).count() == 1;
        let why = if lone { "a lone timestamp fits nowhere" } else { "samples of another clock" };
        emit(MediaEvent::Damage(why), &mut self.gate, out);
        for held in held.iter().filter(|_| lone) {
            let payload = PesPayload { pts: None, dts: None, data: &held.data, damaged: held.damaged };
            track.assembler.push(payload, &mut self.scratch);
            drain(track.pid, &mut self.scratch, &mut self.gate, out);
        }
    }

    /// The clock begins anew with what track `index` holds.
    fn jump(&mut self, index: usize, out: &mut Vec<MediaEvent>) {
        let Some(first) = self.tracks.get(index).and_then(|t| t.held.iter().find_map(|h| h.times)) else { return };
        for (other, track) in self.tracks.iter_mut().enumerate() {
            track.assembler.flush(&mut self.scratch);
            drain(track.pid, &mut self.scratch, &mut self.gate, out);
            track.clock.jumped(other == index);
        }
        emit(MediaEvent::Discontinuity("the media clock jumped"), &mut self.gate, out);
        self.timeline.jump(first.decoding());
        self.release(index, out);
        for other in (0..self.tracks.len()).filter(|&other| other != index) {
            self.release(other, out);
        }
    }

    /// Gives of what track `index` holds all that is on the clock.
    fn release(&mut self, index: usize, out: &mut Vec<MediaEvent>) {
        let held = self.take_held(index);
        let leads = index == self.leader;
        let Some(track) = self.tracks.get_mut(index) else { return };
        for held in &held {
            let (pts, dts) = match held.times {
                Some(times) => match self.timeline.judge(&mut track.clock, times.decoding(), leads) {
                    Some(at) => {
                        self.timeline.accept(&mut track.clock, at, leads);
                        times.unwrapped(at)
                    }
                    None => {
                        emit(MediaEvent::Damage("samples of another clock"), &mut self.gate, out);
                        continue;
                    }
                },
                None if track.clock.has_joined() => (None, None),
                None => continue,
            };
            let payload = PesPayload { pts, dts, data: &held.data, damaged: held.damaged };
            track.assembler.push(payload, &mut self.scratch);
            drain(track.pid, &mut self.scratch, &mut self.gate, out);
        }
    }
}

fn emit(event: MediaEvent, gate: &mut Option<Gate>, out: &mut Vec<MediaEvent>) {
    match gate {
        None => out.push(event),
        Some(waiting) => {
            if waiting.hold(event)
                && let Some(gate) = gate.take()
            {
                gate.open(out);
            }
        }
    }
}

fn drain(pid: u16, assembled: &mut Vec<Assembled>, gate: &mut Option<Gate>, out: &mut Vec<MediaEvent>) {
    for found in assembled.drain(..) {
        let event = match found {
            Assembled::Sample(sample) => MediaEvent::Sample(sample),
            Assembled::Damage(why) => MediaEvent::Damage(why),
            Assembled::Params(params) => MediaEvent::Track { track: SourceTrack(u32::from(pid)), params },
        };
        emit(event, gate, out);
    }
}
