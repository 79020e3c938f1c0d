//! Writes what a layout says.
//!
//! Comes in: a layout and its samples' bytes. Goes out: packets, in one buffer whose size was known. Never:
//! looks at a byte of a picture but its NAL unit lengths and types.

use super::elementary::{ADTS_HEADER_BYTES, Elementary, Form, adts_header, delimiter, is_delimiter};
use super::layout::{Layout, PCR_DELAY, ROOM, Unit, What};
use super::{MuxError, MuxTrack};
use crate::container::mpegts::packet::{PACKET_BYTES, SYNC_BYTE};
use crate::media::Sample;

const START_CODE: [u8; 4] = [0, 0, 0, 1];
/// Flags of an adaptation field (2.4.3.4).
const DISCONTINUITY: u8 = 0x80;
const RANDOM_ACCESS: u8 = 0x40;
const WITH_PCR: u8 = 0x10;

const STUFFING: [u8; PACKET_BYTES] = [0xff; PACKET_BYTES];

/// A stream while it is written.
struct Cursor<'a> {
    stream: &'a Elementary,
    /// What is left of them.
    payload: &'a [u8],
    samples: &'a [Sample],
    /// Number of the first of `samples`.
    at: u32,
    /// Whether something was written.
    begun: bool,
    counter: u8,
}

pub(super) fn write(layout: &Layout, tracks: &[MuxTrack<'_>], discontinuity: bool) -> Result<Vec<u8>, MuxError> {
    let total = usize::try_from(layout.total_bytes()).map_err(|_| MuxError::TooLarge)?;
    let mut out = Vec::with_capacity(total);
    let mut cursors: Vec<Cursor<'_>> = tracks
        .iter()
        .zip(&layout.streams)
        .map(|(t, stream)| Cursor { stream, payload: t.payload, samples: t.table, at: 0, begun: false, counter: 0 })
        .collect();
    let (mut pat_counter, mut pmt_counter) = (0, 0);
    for &(time, what) in &layout.events {
        match what {
            What::Tables => {
                let first = discontinuity && out.is_empty();
                layout.pat.put(&mut out, &mut pat_counter, first);
                layout.pmt.put(&mut out, &mut pmt_counter, first);
            }
            What::Pcr => {
                if let Some(cursor) = cursors.get(layout.pcr_stream) {
                    put_pcr_packet(&mut out, cursor, time);
                }
            }
            What::Unit { stream, unit } => {
                let found = layout.units.get(usize::from(stream)).and_then(|units| units.get(unit as usize));
                if let (Some(cursor), Some(found)) = (cursors.get_mut(usize::from(stream)), found) {
                    cursor.put(&mut out, found, discontinuity && unit == 0)?;
                }
            }
        }
    }
    debug_assert_eq!(out.len(), total, "the size is known before");
    Ok(out)
}

/// A PCR whose base is `time` less the delay (2.4.3.5), without extension.
fn pcr(time: i64) -> [u8; 6] {
    let base = time.wrapping_sub(PCR_DELAY) as u64 & 0x1_ffff_ffff;
    let [_, _, a, b, c, d, e, f] = (base << 15 | 0x7e00).to_be_bytes();
    [a, b, c, d, e, f]
}

fn put_pcr_packet(out: &mut Vec<u8>, cursor: &Cursor<'_>, time: i64) {
    let [high, low] = cursor.stream.pid.to_be_bytes();
    // Without payload the counter stays what it was.
    out.extend_from_slice(&[SYNC_BYTE, high, low, 0x20 | cursor.counter.wrapping_sub(1) & 15, 183, WITH_PCR]);
    out.extend_from_slice(&pcr(time));
    out.extend_from_slice(STUFFING.get(..PACKET_BYTES - 12).unwrap_or_default());
}

/// A time stamp with its marker bits (2.4.3.7).
fn stamp(prefix: u8, time: i64) -> [u8; 5] {
    let t = time & 0x1_ffff_ffff;
    [prefix << 4 | (t >> 29) as u8 & 0x0e | 1, (t >> 22) as u8, (t >> 14) as u8 | 1, (t >> 7) as u8, (t << 1) as u8 | 1]
}

impl<'a> Cursor<'a> {
    fn put(&mut self, out: &mut Vec<u8>, unit: &Unit, discontinuity: bool) -> Result<(), MuxError> {
        let mut flags = if discontinuity { DISCONTINUITY } else { 0 };
        if unit.sync {
            flags |= RANDOM_ACCESS;
        }
        let mut packets = Packets {
            out,
            pid: self.stream.pid.to_be_bytes(),
            counter: &mut self.counter,
            packets: unit.packets as usize,
            bytes: unit.bytes as usize,
            room: 0,
        };
        packets.first(unit, flags);
        put_pes_header(&mut packets, self.stream, unit);
        // Samples that are empty are in no unit.
        while self.at < unit.first {
            self.samples = self.samples.get(1..).unwrap_or_default();
            self.at += 1;
        }
        for _ in 0..unit.count {
            let bad = MuxError::Payload(self.stream.track);
            let Some((sample, samples)) = self.samples.split_first() else { return Err(bad) };
            let Some((data, payload)) = self.payload.split_at_checked(sample.size as usize) else { return Err(bad) };
            (self.samples, self.payload) = (samples, payload);
            self.at += 1;
            match &self.stream.form {
                Form::Plain => packets.put(data),
                Form::Adts(format) => {
                    packets.put(&adts_header(*format, sample.size + ADTS_HEADER_BYTES as u32));
                    packets.put(data);
                }
                Form::Nal { hevc, sets } => {
                    packets.put(delimiter(*hevc));
                    if sample.sync || !self.begun {
                        packets.put(sets);
                    }
                    put_nal_units(&mut packets, data, *hevc).ok_or(MuxError::NalLengths(self.stream.track))?;
                }
            }
            self.begun = true;
        }
        debug_assert_eq!((packets.packets, packets.bytes, packets.room), (0, 0, 0), "a unit fills its packets");
        Ok(())
    }
}

fn put_pes_header(packets: &mut Packets<'_>, stream: &Elementary, unit: &Unit) {
    let data_bytes = unit.header_data_bytes();
    // 0 says that it ends where the next begins: only video may (2.4.3.7).
    let [high, low] = u16::try_from(unit.bytes - 6).unwrap_or(0).to_be_bytes();
    let both = unit.dts != unit.pts;
    let times = if both { 0xc0 } else { 0x80 };
    // Begins with an access unit: data_alignment_indicator.
    packets.put(&[0, 0, 1, stream.stream_id, high, low, 0x84, times, data_bytes]);
    packets.put(&stamp(if both { 3 } else { 2 }, unit.pts));
    if both {
        packets.put(&stamp(1, unit.dts));
    }
    packets.put(STUFFING.get(..usize::from(unit.stuffing)).unwrap_or_default());
}

/// 4-byte lengths to start codes of 4 bytes. Delimiters that a source stored, and empty units, become zero bytes
/// between units, which Annex B allows: so the length stays.
fn put_nal_units(packets: &mut Packets<'_>, mut data: &[u8], hevc: bool) -> Option<()> {
    while !data.is_empty() {
        let (length, rest) = data.split_first_chunk::<4>()?;
        let (unit, next) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        match unit.first() {
            Some(&first) if !is_delimiter(hevc, first) => {
                packets.put(&START_CODE);
                packets.put(unit);
            }
            _ => {
                packets.put(&[0; 4]);
                for piece in unit.chunks(PACKET_BYTES) {
                    packets.put([0; PACKET_BYTES].get(..piece.len())?);
                }
            }
        }
        data = next;
    }
    Some(())
}

/// The packets of one unit.
struct Packets<'a> {
    out: &'a mut Vec<u8>,
    pid: [u8; 2],
    counter: &'a mut u8,
    /// Packets not yet begun.
    packets: usize,
    /// Bytes of the unit that are not in a packet that was begun.
    bytes: usize,
    /// What the packet that was begun still takes.
    room: usize,
}

impl Packets<'_> {
    fn header(&mut self, start: u8, control: u8) {
        let [high, low] = self.pid;
        self.out.extend_from_slice(&[SYNC_BYTE, start | high, low, control | *self.counter]);
        *self.counter = (*self.counter + 1) & 15;
        self.packets = self.packets.saturating_sub(1);
    }

    /// What the next packet takes of the unit: all it can, but at least a byte is left for each packet behind it.
    fn share(&self, most: usize) -> usize {
        most.min((self.bytes + 1).saturating_sub(self.packets))
    }

    /// Begins the first packet.
    fn first(&mut self, unit: &Unit, flags: u8) {
        let field = usize::from(unit.field);
        let room = self.share(ROOM - field);
        self.header(0x40, if room < ROOM { 0x30 } else { 0x10 });
        self.bytes -= room;
        self.room = room;
        if field == 0 {
            self.stuff(ROOM - room);
            return;
        }
        let length = (ROOM - 1 - room) as u8;
        if unit.has_pcr() {
            self.out.extend_from_slice(&[length, flags | WITH_PCR]);
            self.out.extend_from_slice(&pcr(unit.time));
        } else {
            self.out.extend_from_slice(&[length, flags]);
        }
        self.out.extend_from_slice(STUFFING.get(..ROOM - field - room).unwrap_or_default());
    }

    /// Begins a further packet.
    fn next(&mut self) {
        let room = self.share(ROOM);
        self.header(0, if room < ROOM { 0x30 } else { 0x10 });
        self.bytes -= room;
        self.room = room;
        self.stuff(ROOM - room);
    }

    /// An adaptation field of `bytes` that says nothing; none when 0.
    fn stuff(&mut self, bytes: usize) {
        match bytes {
            0 => {}
            1 => self.out.push(0),
            _ => {
                self.out.extend_from_slice(&[(bytes - 1) as u8, 0]);
                self.out.extend_from_slice(STUFFING.get(..bytes - 2).unwrap_or_default());
            }
        }
    }

    /// Appends bytes of the unit.
    fn put(&mut self, mut data: &[u8]) {
        loop {
            let (now, later) = data.split_at(data.len().min(self.room));
            self.out.extend_from_slice(now);
            self.room -= now.len();
            data = later;
            // Most of a large unit: packets without anything but payload.
            while self.room == 0
                && self.share(ROOM) == ROOM
                && let Some((payload, later)) = data.split_first_chunk::<ROOM>()
            {
                self.header(0, 0x10);
                self.bytes -= ROOM;
                self.out.extend_from_slice(payload);
                data = later;
            }
            if data.is_empty() || (self.room == 0 && self.packets == 0) {
                return;
            }
            if self.room == 0 {
                self.next();
            }
        }
    }
}
