//! Finds the frames of self-delimiting audio streams.
//!
//! Comes in: PES payloads. Goes out: whole frames with the times of the packets they begin in. Never: trusts a
//! sync word by itself, holds more than a few frames.

use super::PesPayload;
use crate::media::Ticks;
use std::collections::VecDeque;

/// A frame format: how a header looks.
pub(super) trait FrameFormat: Send + Sync {
    /// Fields of a header.
    type Header: Copy + Send + Sync;
    /// First byte of the sync word.
    const SYNC_BYTE: u8;
    /// Bytes that [`Self::header`] needs.
    const HEADER_BYTES: usize;
    /// Reads the header at the start of `bytes`.
    fn header(bytes: &[u8]) -> Option<Self::Header>;
    /// Bytes of the whole frame, at least [`Self::HEADER_BYTES`].
    fn frame_bytes(header: &Self::Header) -> usize;
    /// Whether a frame with `next` may follow one with `before` in one stream.
    fn follows(before: &Self::Header, next: &Self::Header) -> bool;
}

/// What [`FrameScanner::next`] found.
#[derive(Debug)]
pub(super) enum Found<H> {
    /// A frame: its header, its place for [`FrameScanner::bytes`], the time stated for it.
    Frame { header: H, place: std::ops::Range<usize>, stated: Option<Ticks> },
    /// Bytes that are no frame.
    Damage(&'static str),
    /// Nothing more in these bytes.
    Nothing,
}

struct PesHead {
    /// Offset in the whole stream at which the payload begins.
    at: u64,
    pts: Option<Ticks>,
}

/// Scans one elementary stream.
pub(super) struct FrameScanner<F: FrameFormat> {
    buffer: Vec<u8>,
    /// Where scanning goes on in `buffer`.
    at: usize,
    /// Offset of `buffer` in the whole stream.
    offset: u64,
    heads: VecDeque<PesHead>,
    before: Option<F::Header>,
    /// Within a chain of frames.
    locked: bool,
    /// Frames that begin before this offset of the stream must be confirmed by the next.
    doubtful_until: u64,
    /// Garbage was said already.
    lost: bool,
}

impl<F: FrameFormat> FrameScanner<F> {
    pub(super) fn new() -> Self {
        Self {
            buffer: Vec::new(),
            at: 0,
            offset: 0,
            heads: VecDeque::new(),
            before: None,
            locked: false,
            doubtful_until: 0,
            lost: false,
        }
    }

    /// Appends a payload. Call [`Self::next`] until nothing is found before the next.
    pub(super) fn push(&mut self, pes: PesPayload<'_>) {
        if pes.data.is_empty() {
            return;
        }
        self.buffer.drain(..self.at);
        self.offset += self.at as u64;
        self.at = 0;
        let begin = self.offset + self.buffer.len() as u64;
        self.heads.push_back(PesHead { at: begin, pts: pes.pts });
        self.buffer.extend_from_slice(pes.data);
        if pes.damaged {
            self.doubtful_until = begin + pes.data.len() as u64;
        }
    }

    /// The bytes of a frame just found.
    pub(super) fn bytes(&self, place: std::ops::Range<usize>) -> &[u8] {
        self.buffer.get(place).unwrap_or_default()
    }

    /// The next frame. With `last`, nothing follows: a frame that ends with the bytes needs no confirmation.
    pub(super) fn next(&mut self, last: bool) -> Found<F::Header> {
        loop {
            if !self.locked {
                let rest = self.buffer.get(self.at..).unwrap_or_default();
                let garbage = memchr::memchr(F::SYNC_BYTE, rest).unwrap_or(rest.len());
                if garbage > 0 {
                    self.at += garbage;
                    if !std::mem::replace(&mut self.lost, true) {
                        return Found::Damage("bytes that are no audio frame");
                    }
                }
            }
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            if rest.len() < F::HEADER_BYTES {
                return self.end(last);
            }
            let Some(header) = F::header(rest) else {
                self.step_on();
                continue;
            };
            let length = F::frame_bytes(&header).max(1);
            if self.locked && self.before.is_some_and(|before| !F::follows(&before, &header)) {
                // Other parameters, or an accident: the next header decides.
                self.locked = false;
                continue;
            }
            if rest.len() < length {
                if last && !self.locked {
                    self.step_on();
                    continue;
                }
                return self.end(last);
            }
            let begin = self.offset + self.at as u64;
            if !self.locked || begin < self.doubtful_until {
                match rest.get(length..length + F::HEADER_BYTES) {
                    Some(next) if F::header(next).is_some_and(|next| F::follows(&header, &next)) => {}
                    None if last && rest.len() == length => {}
                    None if !last => return Found::Nothing,
                    _ => {
                        self.step_on();
                        continue;
                    }
                }
            }
            self.locked = true;
            self.lost = false;
            self.before = Some(header);
            let place = self.at..self.at + length;
            self.at += length;
            return Found::Frame { header, place, stated: self.stated(begin) };
        }
    }

    /// Forgets everything but nothing of the stream's parameters.
    pub(super) fn clear(&mut self) {
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        self.at = 0;
        self.heads.clear();
        self.locked = false;
        self.before = None;
        self.doubtful_until = 0;
        self.lost = false;
    }

    /// No frame begins here.
    fn step_on(&mut self) {
        self.locked = false;
        self.at += 1;
    }

    fn end(&mut self, last: bool) -> Found<F::Header> {
        if !last || self.at >= self.buffer.len() {
            return Found::Nothing;
        }
        self.at = self.buffer.len();
        if std::mem::replace(&mut self.lost, true) { Found::Nothing } else { Found::Damage("audio frame cut off") }
    }

    /// The time of the packet in which `begin` lies, if no frame before began there.
    fn stated(&mut self, begin: u64) -> Option<Ticks> {
        while self.heads.get(1).is_some_and(|next| next.at <= begin) {
            self.heads.pop_front();
        }
        self.heads.front_mut().filter(|head| head.at <= begin)?.pts.take()
    }
}
