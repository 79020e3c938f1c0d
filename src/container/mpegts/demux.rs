//! The demuxer: packets to their PIDs, tables to programs.
//!
//! Comes in: bytes. Goes out: events. Never: allocates per packet, or knows more programs than its limit.

use super::framing::{Frame, Framer};
use super::packet::{Header, PACKET_BYTES, PIDS, pid_of};
use super::program::{Factory, MAX_TRACKS, Program};
use super::psi::{PatCollector, Pmt, Section, Unused, parse_pmt, parse_time};
use super::section::Sections;
use crate::container::MediaEvent;
use crate::container::SourceTrack;
use crate::container::codec::Assembler;
use crate::media::Codec;

/// PID of TDT and TOT (EN 300 468 5.1.3).
const TIME_PID: u16 = 0x14;

/// Most programs that are looked at.
const MAX_PROGRAMS: usize = 256;

/// Packets for which a program waits for the PMTs of those before it in the PAT.
const MAX_WAITING_PACKETS: u32 = 2000;

/// Skipped bytes after which continuity counters, which have 4 bits, show nothing.
const MANY_SKIPPED_BYTES: u64 = 16 * PACKET_BYTES as u64;

// What a PID is used for.
const IGNORED: u8 = 0;
const PAT: u8 = 1;
const PMT: u8 = 2;
const TIME: u8 = 3;
const PCR: u8 = 4;
const FIRST_TRACK: u8 = 8;
const _: () = assert!(FIRST_TRACK as usize + MAX_TRACKS <= 256);

/// MPEG-TS to events (ISO/IEC 13818-1).
///
/// Takes the first program of the PAT that has a track which can be recorded, and stays with it. All times are
/// of one clock per [`MediaEvent::Discontinuity`]; the first of a clock are raw values, plus 2^33 where those are
/// below 30 s. Wall times come from TDT and TOT, in whole seconds, with the media time of the latest PCR: they are
/// late by up to a second and the way of the table through the multiplexer.
pub struct TsDemuxer {
    framer: Framer,
    core: Core,
}

impl Default for TsDemuxer {
    fn default() -> Self {
        Self::new()
    }
}

impl TsDemuxer {
    /// A demuxer for all codecs that are carried.
    pub fn new() -> Self {
        Self::with_assemblers(crate::container::codec::assembler)
    }

    /// A demuxer whose elementary streams are put together by what `factory` makes.
    pub fn with_assemblers(factory: fn(Codec, SourceTrack, Option<String>) -> Box<dyn Assembler>) -> Self {
        Self { framer: Framer::default(), core: Core::new(factory) }
    }

    /// Takes the next bytes, as many as there are. How they are cut into pieces makes no difference.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<MediaEvent>) {
        self.framer.push(bytes, |frame| self.core.frame(frame, out));
    }

    /// The input ends: gives what is whole. Tables and clock are kept, should more come.
    pub fn flush(&mut self, out: &mut Vec<MediaEvent>) {
        self.framer.flush(|frame| self.core.frame(frame, out));
        self.core.flush(out);
    }

    /// The input breaks here (`EXT-X-DISCONTINUITY`, a reconnection): gives what is whole, then
    /// [`MediaEvent::Discontinuity`]. Clocks, counters and what was under way are forgotten; tracks are kept
    /// until another PMT comes.
    pub fn discontinuity(&mut self, out: &mut Vec<MediaEvent>) {
        self.flush(out);
        self.core.program.forget_clock();
        out.push(MediaEvent::Discontinuity("the source says that the media clock breaks"));
    }
}

/// A program of the PAT.
struct Candidate {
    number: u16,
    pmt_pid: u16,
    /// Its PMT and the PMT's CRC.
    pmt: Option<(u32, Pmt)>,
}

struct Core {
    /// What each PID is used for.
    uses: Box<[u8; PIDS]>,
    pat_sections: Sections,
    pat: PatCollector,
    time_sections: Sections,
    pmt_sections: Vec<(u16, Sections)>,
    candidates: Vec<Candidate>,
    /// program_number of the chosen program.
    chosen: Option<u16>,
    pcr_pid: Option<u16>,
    waiting_packets: u32,
    program: Program,
    last_use: u8,
}

impl Core {
    fn new(factory: Factory) -> Self {
        let mut core = Self {
            uses: Box::new([IGNORED; PIDS]),
            pat_sections: Sections::default(),
            pat: PatCollector::default(),
            time_sections: Sections::default(),
            pmt_sections: Vec::new(),
            candidates: Vec::new(),
            chosen: None,
            pcr_pid: None,
            waiting_packets: 0,
            program: Program::new(factory),
            last_use: IGNORED,
        };
        core.assign();
        core
    }

    fn frame(&mut self, frame: Frame<'_>, out: &mut Vec<MediaEvent>) {
        match frame {
            Frame::Packet(packet) => self.packet(packet, out),
            Frame::Lost => {
                let last = self.last_use.checked_sub(FIRST_TRACK).map(usize::from);
                self.program.skipped(last, false);
                self.program.emit(MediaEvent::Damage("bytes that are no transport packets"), out);
            }
            Frame::Regained(skipped) if skipped >= MANY_SKIPPED_BYTES => self.program.skipped(None, true),
            Frame::Regained(_) => {}
        }
    }

    fn packet(&mut self, packet: &[u8; PACKET_BYTES], out: &mut Vec<MediaEvent>) {
        if self.chosen.is_none() && !self.candidates.is_empty() {
            self.wait(out);
        }
        let pid = pid_of(packet);
        let used = self.uses.get(usize::from(pid)).copied().unwrap_or(IGNORED);
        self.last_use = used;
        if used == IGNORED {
            return;
        }
        let Some(header) = Header::parse(packet) else {
            self.program.emit(MediaEvent::Damage("a packet header is damaged"), out);
            return;
        };
        if header.error {
            // Even its PID may be wrong; the continuity counter will tell which track lost it.
            self.program.emit(MediaEvent::Damage("a packet is marked as damaged"), out);
            return;
        }
        if let Some(base) = header.pcr
            && self.pcr_pid == Some(pid)
        {
            self.program.pcr(base, header.discontinuity);
        }
        if header.payload.is_none() {
            return;
        }
        match used {
            PCR => {}
            FIRST_TRACK.. => self.program.packet(usize::from(used - FIRST_TRACK), &header, packet, out),
            _ if header.scrambled => self.program.emit(MediaEvent::Damage("a table is scrambled"), out),
            PAT => self.pat_packet(&header, packet, out),
            PMT => self.pmt_packet(pid, &header, packet, out),
            _ => self.time_packet(&header, packet, out),
        }
    }

    fn pat_packet(&mut self, header: &Header, packet: &[u8; PACKET_BYTES], out: &mut Vec<MediaEvent>) {
        let mut programs = None;
        let mut damage = false;
        let pat = &mut self.pat;
        let lost = self.pat_sections.push(header, packet, |bytes| match Section::parse(bytes, 0x00) {
            Ok(section) => programs = pat.push(&section).or(programs.take()),
            Err(Unused::Damaged) => damage = true,
            Err(Unused::Elsewhere) => {}
        });
        self.table_damage(lost, damage, out);
        if let Some(programs) = programs {
            self.apply_pat(&programs, out);
        }
    }

    fn table_damage(&mut self, lost: Option<&'static str>, damaged: bool, out: &mut Vec<MediaEvent>) {
        let wrong = damaged.then_some("a table is damaged");
        for why in lost.into_iter().chain(wrong) {
            self.program.emit(MediaEvent::Damage(why), out);
        }
    }

    fn apply_pat(&mut self, programs: &[(u16, u16)], out: &mut Vec<MediaEvent>) {
        let mut old = std::mem::take(&mut self.candidates);
        for &(number, pmt_pid) in programs.iter().take(MAX_PROGRAMS) {
            if self.candidates.iter().any(|c| c.number == number) {
                continue;
            }
            let known = old.iter_mut().find(|c| c.number == number && c.pmt_pid == pmt_pid);
            let pmt = known.and_then(|c| c.pmt.take());
            self.candidates.push(Candidate { number, pmt_pid, pmt });
        }
        if self.chosen.is_some_and(|chosen| self.candidates.iter().all(|c| c.number != chosen)) {
            self.chosen = None;
            self.pcr_pid = None;
            self.waiting_packets = 0;
            self.program.apply(&Pmt { pcr_pid: 0x1fff, streams: Vec::new() }, out);
        }
        self.assign();
        if self.chosen.is_none() {
            self.choose(false, out);
        }
    }

    fn pmt_packet(&mut self, pid: u16, header: &Header, packet: &[u8; PACKET_BYTES], out: &mut Vec<MediaEvent>) {
        let Some(position) = self.pmt_sections.iter().position(|(p, _)| *p == pid) else { return };
        let Some((_, mut sections)) = self.pmt_sections.get_mut(position).map(std::mem::take) else { return };
        let mut damage = false;
        let lost = sections.push(header, packet, |bytes| match Section::parse(bytes, 0x02) {
            Ok(section) => damage |= !self.pmt_section(pid, &section, out),
            Err(Unused::Damaged) => damage = true,
            Err(Unused::Elsewhere) => {}
        });
        // The PIDs of PMTs may have been assigned anew in between.
        if let Some(slot) = self.pmt_sections.iter_mut().find(|(p, _)| *p == pid || *p == 0) {
            *slot = (pid, sections);
        }
        self.table_damage(lost, damage, out);
    }

    /// Whether the section could be read.
    fn pmt_section(&mut self, pid: u16, section: &Section<'_>, out: &mut Vec<MediaEvent>) -> bool {
        let wanted = |c: &&mut Candidate| c.pmt_pid == pid && c.number == section.id;
        let Some(candidate) = self.candidates.iter_mut().find(wanted) else { return true };
        if candidate.pmt.as_ref().is_some_and(|(crc, _)| *crc == section.crc) {
            // Once around: the PMTs that are there at all have been there.
            if self.chosen.is_none() {
                self.choose(true, out);
            }
            return true;
        }
        let Some(pmt) = parse_pmt(section.body) else { return false };
        candidate.pmt = Some((section.crc, pmt));
        if self.chosen == Some(section.id) {
            self.apply_chosen(out);
        } else if self.chosen.is_none() {
            self.choose(false, out);
        }
        true
    }

    /// Counts packets while a program waits for others.
    fn wait(&mut self, out: &mut Vec<MediaEvent>) {
        let ready = |c: &Candidate| c.pmt.as_ref().is_some_and(|(_, pmt)| pmt.is_carried());
        self.waiting_packets += 1;
        if self.waiting_packets.is_multiple_of(MAX_WAITING_PACKETS) && self.candidates.iter().any(ready) {
            self.choose(true, out);
        }
    }

    /// Chooses the first program of the PAT with a track that can be recorded. Those before it whose PMT is not
    /// known are waited for, unless it is urgent.
    fn choose(&mut self, urgent: bool, out: &mut Vec<MediaEvent>) {
        for candidate in &self.candidates {
            match &candidate.pmt {
                Some((_, pmt)) if pmt.is_carried() => {
                    self.chosen = Some(candidate.number);
                    break;
                }
                None if !urgent => return,
                _ => {}
            }
        }
        if self.chosen.is_some() {
            self.apply_chosen(out);
        }
    }

    fn apply_chosen(&mut self, out: &mut Vec<MediaEvent>) {
        let chosen = self.candidates.iter().find(|c| Some(c.number) == self.chosen);
        if let Some((_, pmt)) = chosen.and_then(|c| c.pmt.as_ref()) {
            self.pcr_pid = Some(pmt.pcr_pid);
            self.program.apply(pmt, out);
        }
        self.assign();
    }

    /// Says anew what each PID is used for.
    fn assign(&mut self) {
        self.uses.fill(IGNORED);
        let mut old = std::mem::take(&mut self.pmt_sections);
        let mut assign = |pid: u16, used: u8| {
            if let Some(slot) = self.uses.get_mut(usize::from(pid)) {
                *slot = used;
            }
        };
        assign(TIME_PID, TIME);
        if let Some(pid) = self.pcr_pid {
            assign(pid, PCR);
        }
        for (index, pid) in self.program.pids().enumerate() {
            assign(pid, FIRST_TRACK + index as u8);
        }
        for candidate in &self.candidates {
            let pid = candidate.pmt_pid;
            if self.chosen.is_none_or(|chosen| chosen == candidate.number) && pid != 0 {
                assign(pid, PMT);
                if self.pmt_sections.iter().all(|(p, _)| *p != pid) {
                    let known = old.iter_mut().find(|(p, _)| *p == pid);
                    self.pmt_sections.push((pid, known.map(|(_, s)| std::mem::take(s)).unwrap_or_default()));
                }
            }
        }
        assign(0, PAT);
        assign(0x1fff, IGNORED);
    }

    fn time_packet(&mut self, header: &Header, packet: &[u8; PACKET_BYTES], out: &mut Vec<MediaEvent>) {
        let mut utc = None;
        let mut damage = false;
        let lost = self.time_sections.push(header, packet, |bytes| match parse_time(bytes) {
            Ok(time) => utc = Some(time),
            Err(Unused::Damaged) => damage = true,
            Err(Unused::Elsewhere) => {}
        });
        self.table_damage(lost, damage, out);
        if let (Some(utc), Some(media)) = (utc, self.program.pcr_time()) {
            self.program.emit(MediaEvent::WallTime { media, utc }, out);
        }
    }

    fn flush(&mut self, out: &mut Vec<MediaEvent>) {
        self.program.flush(out);
        self.pat_sections.forget();
        self.time_sections.forget();
        for (_, sections) in &mut self.pmt_sections {
            sections.forget();
        }
    }
}
