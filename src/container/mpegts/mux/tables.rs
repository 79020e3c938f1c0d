//! PAT and PMT as whole packets (2.4.4).
//!
//! Comes in: the elementary streams. Goes out: packets whose continuity counters are still 0. Never: depends on
//! anything but the content.

use super::MuxError;
use super::elementary::Elementary;
use crate::container::mpegts::packet::{PACKET_BYTES, SYNC_BYTE};
use crate::container::mpegts::section::crc32;

/// PID of the PMT.
pub(super) const PMT_PID: u16 = 0x1000;
const PROGRAM: u16 = 1;
/// section_length of a PMT is 1021 at most (2.4.4.9), so the section has 3 bytes more.
const MAX_SECTION_BYTES: usize = 1024;
/// A packet's payload, and that behind an adaptation field with flags.
const ROOM: usize = 184;
const ROOM_AFTER_FLAGS: usize = 182;
/// maximum_bitrate_descriptor (2.6.26) that says as much as it can: a filler.
const FILLER: [u8; 5] = [0x0e, 3, 0xff, 0xff, 0xff];

/// Sections of one table, ready to be packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pid: u16,
    /// Pointer field and section.
    payload: Vec<u8>,
}

impl Table {
    /// Packets that it takes, with or without flags on the first.
    pub fn packets(&self) -> usize {
        self.payload.len().div_ceil(ROOM)
    }

    /// Whether flags on the first packet would make it take one more.
    fn grows(&self) -> bool {
        (self.payload.len() + ROOM - ROOM_AFTER_FLAGS).div_ceil(ROOM) > self.packets()
    }

    /// Appends the packets, the first of which says `discontinuity`.
    pub fn put(&self, out: &mut Vec<u8>, counter: &mut u8, discontinuity: bool) {
        let mut rest = self.payload.as_slice();
        let mut first = true;
        while first || !rest.is_empty() {
            let flagged = first && discontinuity;
            let [high, low] = self.pid.to_be_bytes();
            let start = if first { 0x40 } else { 0 };
            let control = if flagged { 0x30 } else { 0x10 };
            let end = out.len() + PACKET_BYTES;
            out.extend_from_slice(&[SYNC_BYTE, start | high, low, control | *counter]);
            *counter = (*counter + 1) & 15;
            if flagged {
                out.extend_from_slice(&[1, 0x80]);
            }
            let (now, later) = rest.split_at(rest.len().min(end - out.len()));
            out.extend_from_slice(now);
            out.resize(end, 0xff);
            (rest, first) = (later, false);
        }
    }
}

fn section(table_id: u8, id: u16, version: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() + 9) as u16;
    let mut out = vec![0, table_id];
    out.extend_from_slice(&(0xb000 | length & 0x0fff).to_be_bytes());
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&[0xc1 | version << 1, 0, 0]);
    out.extend_from_slice(body);
    let crc = crc32(out.get(1..).unwrap_or_default());
    out.extend_from_slice(&crc.to_be_bytes());
    out
}

/// The PAT: one program.
pub(super) fn pat() -> Table {
    let mut body = PROGRAM.to_be_bytes().to_vec();
    body.extend_from_slice(&(0xe000 | PMT_PID).to_be_bytes());
    Table { pid: 0, payload: section(0x00, 1, 0, &body) }
}

/// The PMT. Its version follows from its content, so that it changes with it.
pub(super) fn pmt(pcr_pid: u16, streams: &[Elementary]) -> Result<Table, MuxError> {
    let plain = pmt_with(pcr_pid, streams, &[])?;
    if plain.grows() { pmt_with(pcr_pid, streams, &FILLER) } else { Ok(plain) }
}

fn pmt_with(pcr_pid: u16, streams: &[Elementary], program_info: &[u8]) -> Result<Table, MuxError> {
    let mut body = (0xe000 | pcr_pid).to_be_bytes().to_vec();
    body.extend_from_slice(&(0xf000 | program_info.len() as u16).to_be_bytes());
    body.extend_from_slice(program_info);
    for stream in streams {
        body.push(stream.stream_type);
        body.extend_from_slice(&(0xe000 | stream.pid).to_be_bytes());
        body.extend_from_slice(&(0xf000 | stream.descriptors.len() as u16).to_be_bytes());
        body.extend_from_slice(&stream.descriptors);
        if body.len() + 12 > MAX_SECTION_BYTES {
            return Err(MuxError::TooManyTracks);
        }
    }
    let version = (crc32(&body) & 31) as u8;
    Ok(Table { pid: PMT_PID, payload: section(0x02, PROGRAM, version, &body) })
}
