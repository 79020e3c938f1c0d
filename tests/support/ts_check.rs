//! A checker of transport streams, written from ISO/IEC 13818-1 alone: it shares no code with what it checks.
//!
//! It reads a whole stream, collects what is wrong in sentences, and gives the PES packets it found.

use std::collections::BTreeMap;

const PACKET: usize = 188;
const WRAP: i64 = 1 << 33;
/// 100 ms, 2.7.2.
const PCR_INTERVAL: i64 = 9000;
/// PAT and PMT every 500 ms, seen through PCRs that are up to 100 ms old.
const TABLE_INTERVAL: i64 = 45_000 + PCR_INTERVAL;
/// No decoder keeps more than 10 s.
const MAX_DELAY: i64 = 900_000;
const MAX_FAULTS: usize = 50;

/// One PES packet; times unwrapped from the first of its PID on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pes {
    pub pts: i64,
    pub dts: i64,
    pub random_access: bool,
    pub discontinuity: bool,
    pub data: Vec<u8>,
}

/// What was found on one PID of an elementary stream.
#[derive(Debug, Clone, Default)]
pub struct PidReport {
    pub stream_type: u8,
    pub language: Option<String>,
    pub registration: Option<String>,
    pub packets: usize,
    pub payload_packets: usize,
    /// Packets with discontinuity_indicator.
    pub discontinuities: usize,
    /// Access units: pictures, ADTS frames; PES packets for other sound.
    pub access_units: usize,
    pub pes: Vec<Pes>,
}

impl PidReport {
    pub fn first_pts(&self) -> Option<i64> {
        self.pes.iter().map(|p| p.pts).min()
    }

    pub fn last_pts(&self) -> Option<i64> {
        self.pes.iter().map(|p| p.pts).max()
    }
}

/// What was found in a stream.
#[derive(Debug, Default)]
pub struct Report {
    /// Elementary streams by PID.
    pub pids: BTreeMap<u16, PidReport>,
    pub packets: usize,
    pub pcr_pid: u16,
    pub pcrs: usize,
    /// How often PAT and PMT came.
    pub pats: usize,
    pub pmts: usize,
    /// PCRs that began a new time base.
    pub new_time_bases: usize,
    pub faults: Vec<String>,
}

impl Report {
    /// Panics with all that is wrong.
    pub fn assert_clean(&self) {
        assert!(self.faults.is_empty(), "{} faults:\n{}", self.faults.len(), self.faults.join("\n"));
    }
}

/// Checks `ts`: whole packets from PAT and PMT on.
pub fn check(ts: &[u8]) -> Report {
    let mut checker = Checker::default();
    if ts.len() % PACKET != 0 {
        checker.fault("the length is no multiple of 188");
    }
    for packet in ts.chunks_exact(PACKET) {
        checker.packet(packet);
        checker.report.packets += 1;
    }
    for pid in checker.pids.keys().copied().collect::<Vec<_>>() {
        checker.finish_pes(pid);
    }
    if checker.report.pats == 0 || checker.report.pmts == 0 {
        checker.fault("no PAT or no PMT");
    }
    checker.report
}

#[derive(Default)]
struct Pid {
    counter: Option<u8>,
    section: Vec<u8>,
    open: Option<Open>,
    last_dts: Option<i64>,
    new_base: bool,
}

struct Open {
    pes: Pes,
    /// Bytes that the header promised, when it did.
    promised: Option<usize>,
    header: Vec<u8>,
}

#[derive(Default)]
struct Checker {
    report: Report,
    pids: BTreeMap<u16, Pid>,
    pmt_pid: Option<u16>,
    pmt: Option<(u8, Vec<u8>)>,
    /// Unwrapped.
    pcr: Option<i64>,
    pcr_at_tables: [Option<i64>; 2],
}

impl Checker {
    fn fault(&mut self, what: impl std::fmt::Display) {
        if self.report.faults.len() < MAX_FAULTS {
            let at = self.report.packets;
            self.report.faults.push(format!("packet {at}: {what}"));
        }
    }

    fn packet(&mut self, p: &[u8]) {
        if p[0] != 0x47 {
            return self.fault("no sync byte");
        }
        let pid = u16::from(p[1] & 0x1f) << 8 | u16::from(p[2]);
        let (start, control, counter) = (p[1] & 0x40 != 0, p[3] >> 4 & 3, p[3] & 15);
        if p[1] & 0xa0 != 0 || p[3] & 0xc0 != 0 || control == 0 {
            self.fault("error, priority or scrambling bits, or no content");
        }
        match self.report.packets {
            0 if pid != 0 || !start => self.fault("does not begin with a PAT"),
            1 if Some(pid) != self.pmt_pid || !start => self.fault("no PMT behind the PAT"),
            _ => {}
        }
        let mut payload_at = 4;
        let (mut discontinuity, mut random_access, mut pcr) = (false, false, None);
        if control & 2 != 0 {
            let length = usize::from(p[4]);
            payload_at = 5 + length;
            if length > 183 || (control == 2 && length != 183) || (control == 3 && length > 182) {
                return self.fault(format!("an adaptation field of {length} bytes"));
            }
            if length > 0 {
                (discontinuity, random_access) = (p[5] & 0x80 != 0, p[5] & 0x40 != 0);
                let mut at = 6;
                if p[5] & 0x10 != 0 {
                    let base = p[6..10].iter().fold(0i64, |n, &b| n << 8 | i64::from(b)) << 1 | i64::from(p[10] >> 7);
                    let extension = u16::from(p[10] & 1) << 8 | u16::from(p[11]);
                    if extension >= 300 || p[10] & 0x7e != 0x7e {
                        self.fault("a PCR with a wrong extension or reserved bits");
                    }
                    pcr = Some(base);
                    at = 12;
                }
                if p[5] & 0x0f != 0 {
                    self.fault("parts of an adaptation field that nobody asked for");
                } else if payload_at < at || p[at..payload_at].iter().any(|&b| b != 0xff) {
                    self.fault("stuffing that is not 0xff");
                }
            }
        }
        let has_payload = control & 1 != 0;
        let state = self.pids.entry(pid).or_default();
        if discontinuity {
            state.counter = None;
            state.new_base = true;
        }
        let expected = state.counter.map(|c| if has_payload { (c + 1) & 15 } else { c });
        if (has_payload || state.counter.is_some())
            && state.counter.replace(counter).is_some()
            && expected != Some(counter)
        {
            self.fault(format!("pid {pid:#x}: continuity counter {counter}, expected {expected:?}"));
        }
        if let Some(stream) = self.report.pids.get_mut(&pid) {
            stream.packets += 1;
            stream.payload_packets += usize::from(has_payload);
            stream.discontinuities += usize::from(discontinuity);
        }
        if let Some(base) = pcr {
            self.pcr(pid, base, discontinuity);
        }
        if !has_payload {
            if start {
                self.fault("a start without payload");
            }
            return;
        }
        let payload = &p[payload_at..];
        if payload.is_empty() {
            self.fault("payload of no bytes");
        } else if pid == 0 || Some(pid) == self.pmt_pid {
            self.table(pid, start, payload);
        } else if self.report.pids.contains_key(&pid) {
            self.elementary(pid, start, payload, random_access, discontinuity);
        } else {
            self.fault(format!("pid {pid:#x} is in no PMT"));
        }
    }

    fn pcr(&mut self, pid: u16, base: i64, discontinuity: bool) {
        self.report.pcrs += 1;
        if pid != self.report.pcr_pid {
            self.fault(format!("a PCR on pid {pid:#x}"));
        }
        if discontinuity {
            self.report.new_time_bases += 1;
            self.pcr_at_tables = [None; 2];
        } else if let Some(last) = self.pcr {
            let step = wrapped(base - last);
            if !(0..=PCR_INTERVAL).contains(&step) {
                self.fault(format!("the PCR steps by {step} ticks"));
            }
            self.pcr = Some(last + step);
            return;
        }
        self.pcr = Some(base);
    }

    fn table(&mut self, pid: u16, start: bool, payload: &[u8]) {
        let state = self.pids.entry(pid).or_default();
        if start {
            let pointer = usize::from(payload[0]);
            state.section = payload.get(1 + pointer..).unwrap_or_default().to_vec();
        } else {
            state.section.extend_from_slice(payload);
        }
        let Some(length) = state.section.get(1..3).map(|l| usize::from(l[0] & 15) << 8 | usize::from(l[1])) else {
            return;
        };
        if state.section.len() < 3 + length {
            return;
        }
        let (section, rest) = state.section.split_at(3 + length);
        let (section, stuffed) = (section.to_vec(), rest.iter().all(|&b| b == 0xff));
        state.section.clear();
        if !stuffed || length > 1021 || length < 9 {
            self.fault("a section that is too long, too short or not stuffed with 0xff");
            return;
        }
        if crc(&section) != 0 || section[1] & 0xf0 != 0xb0 || section[5] & 1 == 0 || section[6..8] != [0, 0] {
            self.fault(format!("pid {pid:#x}: CRC or header of a section"));
            return;
        }
        let number = usize::from(pid != 0);
        if let (Some(now), Some(then)) = (self.pcr, self.pcr_at_tables[number])
            && now - then > TABLE_INTERVAL
        {
            self.fault(format!("{} ticks between two tables on pid {pid:#x}", now - then));
        }
        self.pcr_at_tables[number] = self.pcr;
        let version = section[5] >> 1 & 31;
        let body = section[8..section.len() - 4].to_vec();
        match (pid, section[0]) {
            (0, 0) => {
                self.report.pats += 1;
                if body.len() != 4 {
                    return self.fault("a PAT of other than one program");
                }
                self.pmt_pid = Some(u16::from(body[2] & 0x1f) << 8 | u16::from(body[3]));
            }
            (_, 2) => {
                self.report.pmts += 1;
                match &self.pmt {
                    Some((known, before)) if *before != body && *known == version => {
                        self.fault("the PMT changed, its version did not");
                    }
                    Some((_, before)) if *before == body => return,
                    _ => {}
                }
                self.pmt = Some((version, body.clone()));
                self.pmt(&body);
            }
            _ => self.fault("a table of another kind"),
        }
    }

    fn pmt(&mut self, body: &[u8]) {
        self.report.pcr_pid = u16::from(body[0] & 0x1f) << 8 | u16::from(body[1]);
        let mut at = 4 + (usize::from(body[2] & 15) << 8 | usize::from(body[3]));
        while at + 5 <= body.len() {
            let pid = u16::from(body[at + 1] & 0x1f) << 8 | u16::from(body[at + 2]);
            let length = usize::from(body[at + 3] & 15) << 8 | usize::from(body[at + 4]);
            let Some(mut info) = body.get(at + 5..at + 5 + length) else {
                return self.fault("a PMT whose lengths do not fit");
            };
            let stream = self.report.pids.entry(pid).or_default();
            stream.stream_type = body[at];
            while info.len() >= 2 {
                let content = &info[2..2 + usize::from(info[1])];
                let text = String::from_utf8_lossy(content).into_owned();
                match info[0] {
                    5 => stream.registration = Some(text),
                    10 => stream.language = Some(text[..3].to_owned()),
                    _ => {}
                }
                info = &info[2 + content.len()..];
            }
            at += 5 + length;
        }
        if at != body.len() {
            self.fault("a PMT whose lengths do not fit");
        }
    }

    fn elementary(&mut self, pid: u16, start: bool, payload: &[u8], random_access: bool, discontinuity: bool) {
        if start {
            self.finish_pes(pid);
            let state = self.pids.entry(pid).or_default();
            let pes = Pes { pts: 0, dts: 0, random_access, discontinuity, data: Vec::new() };
            state.open = Some(Open { pes, promised: None, header: Vec::new() });
        }
        let Some(open) = &mut self.pids.entry(pid).or_default().open else {
            return self.fault(format!("pid {pid:#x}: payload before a PES packet begins"));
        };
        if !open.pes.data.is_empty() {
            open.pes.data.extend_from_slice(payload);
            return;
        }
        open.header.extend_from_slice(payload);
        if open.header.len() >= 9 && open.header.len() > 9 + usize::from(open.header[8]) {
            self.pes_header(pid);
        }
    }

    fn pes_header(&mut self, pid: u16) {
        let pcr = self.pcr;
        let Some(state) = self.pids.get_mut(&pid) else { return };
        let Some(open) = &mut state.open else { return };
        let header = std::mem::take(&mut open.header);
        let data_at = 9 + usize::from(header[8]);
        open.pes.data = header[data_at..].to_vec();
        let length = usize::from(header[4]) << 8 | usize::from(header[5]);
        open.promised = (length > 0).then(|| (6 + length).wrapping_sub(data_at));
        let video = header[3] & 0xf0 == 0xe0;
        let mut faults = Vec::new();
        if header[..3] != [0, 0, 1] || header[6] & 0xf0 != 0x80 || header[7] & 0x3f != 0 {
            faults.push("the header of a PES packet".to_owned());
        }
        if !(video || header[3] & 0xe0 == 0xc0 || header[3] == 0xbd) {
            faults.push(format!("stream_id {:#x}", header[3]));
        }
        if length == 0 && !video {
            faults.push("a PES packet of sound without length".to_owned());
        }
        let stamps = match header[7] >> 6 {
            2 => 1,
            3 => 2,
            _ => 0,
        };
        if stamps == 0 || header[9 + 5 * stamps..data_at].iter().any(|&b| b != 0xff) {
            faults.push("a PES packet without PTS, or stuffing that is not 0xff".to_owned());
        }
        let mut raw = [0i64; 2];
        for n in 0..stamps {
            let b = &header[9 + 5 * n..14 + 5 * n];
            let prefix = match (stamps, n) {
                (1, _) => 2,
                (_, 0) => 3,
                _ => 1,
            };
            if b[0] >> 4 != prefix || b[0] & 1 == 0 || b[2] & 1 == 0 || b[4] & 1 == 0 {
                faults.push("prefix or marker bits of a time stamp".to_owned());
            }
            raw[n] = i64::from(b[0] >> 1 & 7) << 30
                | i64::from(b[1]) << 22
                | i64::from(b[2] >> 1) << 15
                | i64::from(b[3]) << 7
                | i64::from(b[4] >> 1);
        }
        let pts = raw[0];
        let dts = if stamps == 2 { raw[1] } else { pts };
        if stamps == 2 && pts == dts {
            faults.push("a DTS that says what the PTS says".to_owned());
        }
        let new_base = std::mem::take(&mut state.new_base);
        let unwrapped = match state.last_dts.filter(|_| !new_base) {
            Some(last) => {
                let step = wrapped(dts - last);
                if step <= 0 || step > 900_000 {
                    faults.push(format!("the DTS steps by {step} ticks"));
                }
                last + step
            }
            None => dts,
        };
        state.last_dts = Some(unwrapped);
        open.pes.dts = unwrapped;
        let reorder = wrapped(pts - dts);
        if !(0..=900_000).contains(&reorder) {
            faults.push(format!("the PTS is {reorder} ticks after the DTS"));
        }
        open.pes.pts = unwrapped + reorder;
        if let Some(pcr) = pcr {
            let delay = wrapped(dts - pcr);
            if !(0..=MAX_DELAY).contains(&delay) {
                faults.push(format!("it comes {delay} ticks before it is decoded"));
            }
        }
        for fault in faults {
            self.fault(format!("pid {pid:#x}: {fault}"));
        }
    }

    fn finish_pes(&mut self, pid: u16) {
        let Some(open) = self.pids.get_mut(&pid).and_then(|s| s.open.take()) else { return };
        let Some(stream) = self.report.pids.get_mut(&pid) else { return };
        let data = &open.pes.data;
        let (units, wrong) = match stream.stream_type {
            0x1b | 0x24 => {
                let delimiters: &[u8] =
                    if stream.stream_type == 0x1b { &[0, 0, 0, 1, 9] } else { &[0, 0, 0, 1, 0x46, 1] };
                let count = data.windows(delimiters.len()).filter(|w| *w == delimiters).count();
                (count, !data.starts_with(delimiters) || count != 1)
            }
            0x0f => {
                let (mut at, mut frames) = (0, 0);
                while let Some(h) = data.get(at..at + 7).filter(|h| h[0] == 0xff && h[1] & 0xf6 == 0xf0) {
                    at += usize::from(h[3] & 3) << 11 | usize::from(h[4]) << 3 | usize::from(h[5] >> 5);
                    frames += 1;
                }
                (frames, at != data.len() || frames == 0)
            }
            _ => (1, data.is_empty()),
        };
        stream.access_units += units;
        let short = open.promised.is_some_and(|promised| promised != data.len()) || !open.header.is_empty();
        let length = data.len();
        stream.pes.push(open.pes);
        if wrong {
            self.fault(format!("pid {pid:#x}: {units} access units in a PES packet of {length} bytes"));
        }
        if short {
            self.fault(format!("pid {pid:#x}: a PES packet of {length} bytes, {:?} were promised", open.promised));
        }
    }
}

/// A difference on the circle of 2^33 ticks.
fn wrapped(difference: i64) -> i64 {
    let d = difference.rem_euclid(WRAP);
    if d >= WRAP / 2 { d - WRAP } else { d }
}

fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |mut crc, &byte| {
        crc ^= u32::from(byte) << 24;
        for _ in 0..8 {
            crc = if crc >> 31 == 1 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 };
        }
        crc
    })
}
