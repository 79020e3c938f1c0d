//! For tests: writes transport streams packet by packet, and puts elementary streams together trivially.

use super::section::crc32;
use crate::container::codec::{Assembled, Assembler, PesPayload};
use crate::container::{MediaSample, SourceTrack};
use crate::media::track::TrackParams;
use crate::media::{Codec, Ticks};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Entry of a PMT: stream type, PID, descriptors.
pub(crate) type PmtEntry<'a> = (u8, u16, &'a [u8]);

/// Writes packets of 188 bytes with right continuity counters.
#[derive(Default)]
pub(crate) struct TsWriter {
    pub bytes: Vec<u8>,
    counters: BTreeMap<u16, u8>,
}

impl TsWriter {
    /// One packet: as much of `payload` as fits behind the adaptation field `adaptation` (flags and what
    /// follows, without length), stuffed to the end. Returns how much was taken.
    pub fn packet(&mut self, pid: u16, unit_start: bool, adaptation: &[u8], payload: &[u8]) -> usize {
        let room = 184 - if adaptation.is_empty() { 0 } else { 1 + adaptation.len() };
        let taken = payload.len().min(room);
        let counter = self.counters.entry(pid).or_insert(0);
        let [high, low] = pid.to_be_bytes();
        let mut control = *counter;
        if taken > 0 {
            *counter = (*counter + 1) & 15;
            control |= 0x10;
        } else {
            control = (control + 15) & 15;
        }
        let mut field = adaptation.to_vec();
        if !field.is_empty() || taken < room {
            control |= 0x20;
            let length = 183 - taken;
            if length > 0 && field.is_empty() {
                field.push(0);
            }
            field.resize(length, 0xff);
            field.insert(0, length as u8);
        }
        self.bytes.extend([0x47, high | if unit_start { 0x40 } else { 0 }, low, control]);
        self.bytes.extend(field);
        self.bytes.extend(&payload[..taken]);
        assert_eq!(self.bytes.len() % 188, 0);
        taken
    }

    /// A payload over as many packets as it takes.
    pub fn unit(&mut self, pid: u16, adaptation: &[u8], mut payload: &[u8]) {
        let mut first = true;
        while first || !payload.is_empty() {
            let taken = self.packet(pid, first, if first { adaptation } else { &[] }, payload);
            payload = &payload[taken..];
            first = false;
        }
    }

    /// A section that is complete already.
    pub fn section(&mut self, pid: u16, section: &[u8]) {
        let mut payload = vec![0];
        payload.extend(section);
        payload.resize(payload.len().next_multiple_of(184), 0xff);
        self.unit(pid, &[], &payload);
    }

    /// A PAT of one section: program numbers and PMT PIDs.
    pub fn pat(&mut self, version: u8, programs: &[(u16, u16)]) {
        let body: Vec<u8> = programs
            .iter()
            .flat_map(|(number, pid)| [number.to_be_bytes(), (pid | 0xe000).to_be_bytes()].concat())
            .collect();
        self.section(0, &long_section(0x00, 1, version, (0, 0), &body));
    }

    /// A PMT.
    pub fn pmt(&mut self, pid: u16, program: u16, version: u8, pcr_pid: u16, entries: &[PmtEntry<'_>]) {
        self.section(pid, &pmt_section(program, version, pcr_pid, entries));
    }

    /// A PES packet; `bounded` writes its length.
    pub fn pes(&mut self, pid: u16, times: (Option<i64>, Option<i64>), payload: &[u8], bounded: bool) {
        self.unit(pid, &[], &pes(pid, times, payload, bounded));
    }

    /// A packet with a PCR and nothing else.
    pub fn pcr(&mut self, pid: u16, base: i64, discontinuity: bool) {
        self.packet(pid, false, &pcr_field(base, discontinuity), &[]);
    }

    /// A TDT.
    pub fn tdt(&mut self, mjd: u16, bcd: [u8; 3]) {
        let [high, low] = mjd.to_be_bytes();
        self.section(0x14, &[0x70, 0x70, 5, high, low, bcd[0], bcd[1], bcd[2]]);
    }

    /// PAT, and PMT on 0x100 of program 1 with H.264 on 0x101 and AAC on 0x102.
    pub fn tables(&mut self) {
        self.pat(0, &[(1, 0x100)]);
        self.pmt(0x100, 1, 0, 0x101, &[(0x1b, 0x101, &[]), (0x0f, 0x102, &[])]);
    }

    /// One picture and one audio frame at these times.
    pub fn pair(&mut self, at: i64) {
        self.pes(0x101, (Some(at + 3600), Some(at)), &[1; 300], false);
        self.pes(0x102, (Some(at), None), &[2; 100], true);
    }

    /// Number of packets.
    pub fn packets(&self) -> usize {
        self.bytes.len() / 188
    }

    /// Removes packet number `at`.
    pub fn remove(&mut self, at: usize) {
        self.bytes.drain(at * 188..(at + 1) * 188);
    }
}

/// A section with long header and CRC; `numbers` are section_number and last_section_number.
pub(crate) fn long_section(table_id: u8, id: u16, version: u8, numbers: (u8, u8), body: &[u8]) -> Vec<u8> {
    let [length_high, length_low] = (body.len() as u16 + 9).to_be_bytes();
    let [id_high, id_low] = id.to_be_bytes();
    let mut section = vec![table_id, 0xb0 | length_high, length_low, id_high, id_low];
    section.extend([0xc1 | version << 1, numbers.0, numbers.1]);
    section.extend(body);
    section.extend(crc32(&section).to_be_bytes());
    section
}

/// A PMT section.
pub(crate) fn pmt_section(program: u16, version: u8, pcr_pid: u16, entries: &[PmtEntry<'_>]) -> Vec<u8> {
    let mut body = (pcr_pid | 0xe000).to_be_bytes().to_vec();
    body.extend([0xf0, 0]);
    for (stream_type, pid, info) in entries {
        body.push(*stream_type);
        body.extend((pid | 0xe000).to_be_bytes());
        body.extend((info.len() as u16 | 0xf000).to_be_bytes());
        body.extend(*info);
    }
    long_section(0x02, program, version, (0, 0), &body)
}

/// A PES packet; an odd PID makes it video.
pub(crate) fn pes(pid: u16, times: (Option<i64>, Option<i64>), payload: &[u8], bounded: bool) -> Vec<u8> {
    let mut fields = Vec::new();
    let (pts, dts) = times;
    let flags = match (pts, dts) {
        (None, _) => 0x00,
        (Some(pts), None) => {
            fields.extend(timestamp(0x20, pts));
            0x80
        }
        (Some(pts), Some(dts)) => {
            fields.extend(timestamp(0x30, pts));
            fields.extend(timestamp(0x10, dts));
            0xc0
        }
    };
    let length = if bounded { (3 + fields.len() + payload.len()) as u16 } else { 0 };
    let mut packet = vec![0, 0, 1, if pid & 1 == 1 { 0xe0 } else { 0xc0 }];
    packet.extend(length.to_be_bytes());
    packet.extend([0x80, flags, fields.len() as u8]);
    packet.extend(fields);
    packet.extend(payload);
    packet
}

/// An adaptation field with a PCR.
pub(crate) fn pcr_field(base: i64, discontinuity: bool) -> Vec<u8> {
    let b = base & ((1 << 33) - 1);
    let flags = if discontinuity { 0x90 } else { 0x10 };
    vec![flags, (b >> 25) as u8, (b >> 17) as u8, (b >> 9) as u8, (b >> 1) as u8, ((b & 1) << 7) as u8 | 0x7e, 0]
}

fn timestamp(prefix: u8, t: i64) -> [u8; 5] {
    let t = t & ((1 << 33) - 1);
    [prefix | ((t >> 29) & 0x0e) as u8 | 1, (t >> 22) as u8, (t >> 14) as u8 | 1, (t >> 7) as u8, (t << 1) as u8 | 1]
}

/// Makes one sample of each PES packet that has times; one without is reported as damage.
struct OneSamplePerPes {
    codec: Codec,
    track: SourceTrack,
    language: Option<String>,
    said: bool,
}

/// What [`one_sample_per_pes`] says of a PES packet without times.
pub(crate) const UNTIMED: &str = "untimed";

/// What [`one_sample_per_pes`] says of a damaged PES packet, before its sample.
pub(crate) const DAMAGED: &str = "damaged";

/// An assembler for tests.
pub(crate) fn one_sample_per_pes(codec: Codec, track: SourceTrack, language: Option<String>) -> Box<dyn Assembler> {
    Box::new(OneSamplePerPes { codec, track, language, said: false })
}

impl Assembler for OneSamplePerPes {
    fn push(&mut self, pes: PesPayload<'_>, out: &mut Vec<Assembled>) {
        if !std::mem::replace(&mut self.said, true) {
            out.push(Assembled::Params(TrackParams {
                codec: self.codec,
                codec_string: String::new(),
                language: self.language.clone(),
                video: None,
                audio: None,
                sample_entry: Vec::new(),
            }));
        }
        if pes.damaged {
            out.push(Assembled::Damage(DAMAGED));
        }
        let Some(pts) = pes.pts else {
            out.push(Assembled::Damage(UNTIMED));
            return;
        };
        let dts: Ticks = pes.dts.unwrap_or(pts);
        let data = Bytes::copy_from_slice(pes.data);
        out.push(Assembled::Sample(MediaSample { track: self.track, dts, pts, duration: None, sync: false, data }));
    }

    fn flush(&mut self, _: &mut Vec<Assembled>) {}
}
