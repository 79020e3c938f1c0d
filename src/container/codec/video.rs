//! Gathers start-code delimited units into access units, for H.264, H.265 and MPEG-2 video.
//!
//! Comes in: PES payloads. Goes out: samples, each byte copied once on its way. Never: holds more than one
//! access unit (16 MiB at most).

use super::clock::{Order, Step, VideoClock};
use super::{Assembled, Assembler, PesPayload};
use crate::container::{MediaSample, SourceTrack};
use crate::media::{Ticks, track::TrackParams};
use bytes::Bytes;
use memchr::memmem::Finder;

/// More than any level allows one picture to have.
const MAX_ACCESS_UNIT_BYTES: usize = 16 << 20;
const START_CODE: &[u8] = &[0, 0, 1];

/// What an access unit turned out to be, when the next one begins.
#[derive(Debug)]
pub(super) enum Closed {
    /// A picture that can be decoded with the parameters known.
    Picture(Picture),
    /// No picture, or none whose parameters are known.
    Nothing(&'static str),
}

/// A whole picture.
#[derive(Debug)]
pub(super) struct Picture {
    /// New parameters, the language still missing.
    pub params: Option<TrackParams>,
    /// Decoding can start here.
    pub sync: bool,
    /// One field without its other.
    pub lone_field: bool,
    pub order: Option<Order>,
    /// Frame rate by the parameters.
    pub step: Option<Step>,
}

/// What a unit means for the access units.
#[derive(Debug)]
pub(super) enum Boundary {
    /// It belongs to the open one, or begins the first.
    None,
    /// It belongs to no access unit that can be had.
    Skip,
    /// It begins a new one; the one before is closed.
    Cut(Closed),
    /// It begins either a new one or the second field of the open one: remember the place.
    Mark,
    /// The access unit was over at the mark.
    CutAtMark(Closed),
    /// The mark was the second field.
    Join,
}

/// The syntax of one codec.
pub(super) trait Syntax: Send + Sync {
    /// Units are stored as they come, start codes included; else behind 4 bytes of length.
    const START_CODES: bool;
    /// Takes a whole unit, without start code; says what it means and whether it is stored.
    fn unit(&mut self, unit: &[u8]) -> (Boundary, bool);
    /// Closes the open access unit, if one is open: the stream ends here.
    fn close(&mut self) -> Option<Closed>;
    /// Forgets the open access unit: bytes of it were lost.
    fn forget(&mut self);
}

/// The PES packet in which a unit begins.
#[derive(Debug, Clone, Copy, Default)]
struct PesHead {
    /// Counted from 1.
    index: u64,
    pts: Option<Ticks>,
    dts: Option<Ticks>,
    damaged: bool,
}

/// An assembler of pictures.
pub(super) struct VideoAssembler<S> {
    syntax: S,
    track: SourceTrack,
    language: Option<String>,
    finder: Finder<'static>,
    /// The open access unit, the open unit at its end.
    gathered: Vec<u8>,
    /// Where the prefix of the open unit stands.
    unit_at: usize,
    in_unit: bool,
    /// Zero bytes that the payloads so far end with, 2 at most.
    zeros: usize,
    head: PesHead,
    head_before: PesHead,
    unit_head: PesHead,
    /// PES in which the open access unit begins, when one is open.
    open_head: Option<PesHead>,
    mark: Option<(usize, PesHead)>,
    /// Where bytes from damaged payloads lie in `gathered`.
    tainted: Option<(usize, usize)>,
    /// PES whose times are spent.
    spent_index: u64,
    /// PES in which the second field of the open access unit begins: its times are not used.
    joined_index: u64,
    /// No sample since the start or the last loss.
    fresh: bool,
    usual_bytes: usize,
    clock: VideoClock,
}

impl<S: Syntax> VideoAssembler<S> {
    pub(super) fn new(syntax: S, track: SourceTrack, language: Option<String>) -> Self {
        Self {
            syntax,
            track,
            language,
            finder: Finder::new(START_CODE),
            gathered: Vec::new(),
            unit_at: 0,
            in_unit: false,
            zeros: 0,
            head: PesHead::default(),
            head_before: PesHead::default(),
            unit_head: PesHead::default(),
            open_head: None,
            mark: None,
            tainted: None,
            spent_index: 0,
            joined_index: 0,
            fresh: true,
            usual_bytes: 0,
            clock: VideoClock::default(),
        }
    }

    const fn prefix_bytes() -> usize {
        if S::START_CODES { 3 } else { 4 }
    }

    /// Appends to the open unit.
    fn gather(&mut self, bytes: &[u8], out: &mut Vec<Assembled>) {
        if !self.in_unit {
            return;
        }
        if self.gathered.len() + bytes.len() > MAX_ACCESS_UNIT_BYTES {
            out.push(Assembled::Damage("access unit larger than 16 MiB"));
            self.forget();
            return;
        }
        let from = self.gathered.len();
        self.gathered.extend_from_slice(bytes);
        if self.head.damaged && !bytes.is_empty() {
            let begin = self.tainted.map_or(from, |(begin, _)| begin);
            self.tainted = Some((begin, self.gathered.len()));
        }
    }

    /// Drops what is gathered from `at` on.
    fn truncate(&mut self, at: usize) {
        self.gathered.truncate(at);
        self.tainted = self.tainted.map(|(begin, end)| (begin, end.min(at))).filter(|(begin, end)| begin < end);
    }

    fn begin_unit(&mut self, head: PesHead) {
        self.unit_at = self.gathered.len();
        self.unit_head = head;
        self.in_unit = true;
        self.gathered.extend_from_slice(if S::START_CODES { START_CODE } else { &[0; 4] });
    }

    /// The open unit is whole, but for its last `seam` bytes, which belong to the next start code.
    fn end_unit(&mut self, seam: usize, out: &mut Vec<Assembled>) {
        if !std::mem::take(&mut self.in_unit) {
            return;
        }
        let body_at = self.unit_at + Self::prefix_bytes();
        let mut end = self.gathered.len().saturating_sub(seam).max(body_at);
        if !S::START_CODES {
            // trailing_zero_8bits, and the zero_byte of the next start code (ISO/IEC 14496-10 B.1).
            while end > body_at && self.gathered.get(end - 1) == Some(&0) {
                end -= 1;
            }
        }
        self.truncate(end);
        let (boundary, keep) = match self.gathered.get(body_at..) {
            Some(unit) if !unit.is_empty() => self.syntax.unit(unit),
            _ => {
                self.truncate(self.unit_at);
                return;
            }
        };
        if !keep || matches!(boundary, Boundary::Skip) {
            self.truncate(self.unit_at);
        } else if !S::START_CODES {
            let length = (end - body_at) as u32;
            if let Some(prefix) = self.gathered.get_mut(self.unit_at..body_at) {
                prefix.copy_from_slice(&length.to_be_bytes());
            }
        }
        match boundary {
            Boundary::Skip => {}
            Boundary::None => {
                self.open_head.get_or_insert(self.unit_head);
            }
            Boundary::Mark => self.mark = Some((self.unit_at, self.unit_head)),
            Boundary::Join => {
                let second = self.mark.take().map_or(self.unit_head, |(_, head)| head);
                self.joined_index = second.index;
            }
            Boundary::Cut(closed) => self.cut(self.unit_at, self.unit_head, closed, out),
            Boundary::CutAtMark(closed) => {
                let (at, head) = self.mark.unwrap_or((self.unit_at, self.unit_head));
                self.cut(at, head, closed, out);
            }
        }
    }

    /// Gives what lies before `at`; the rest begins the next access unit.
    fn cut(&mut self, at: usize, head: PesHead, closed: Closed, out: &mut Vec<Assembled>) {
        self.mark = None;
        let rest = self.gathered.get(at..).unwrap_or_default();
        let mut next = Vec::with_capacity(rest.len().max(self.usual_bytes));
        next.extend_from_slice(rest);
        let mut data = std::mem::replace(&mut self.gathered, next);
        data.truncate(at);
        let hit = self.tainted.is_some_and(|(begin, _)| begin < at);
        self.tainted =
            self.tainted.filter(|&(_, end)| end > at).map(|(begin, end)| (begin.saturating_sub(at), end - at));
        if let Some(open_head) = self.open_head.replace(head) {
            self.emit(data, open_head, hit, closed, out);
        }
    }

    fn emit(&mut self, data: Vec<u8>, head: PesHead, hit: bool, closed: Closed, out: &mut Vec<Assembled>) {
        let picture = match closed {
            Closed::Picture(picture) => picture,
            Closed::Nothing(why) => {
                out.push(Assembled::Damage(why));
                return;
            }
        };
        if let Some(mut params) = picture.params {
            params.language.clone_from(&self.language);
            out.push(Assembled::Params(params));
        }
        // Times belong to the first access unit that begins in the packet (ISO/IEC 13818-1 2.4.3.7).
        let stated = if head.index > self.spent_index {
            self.spent_index = head.index;
            head.pts.map(|pts| (head.dts.unwrap_or(pts), pts))
        } else {
            None
        };
        self.spent_index = self.spent_index.max(std::mem::take(&mut self.joined_index));
        if self.fresh && picture.lone_field && stated.is_none() {
            out.push(Assembled::Damage("second field without its first"));
            return;
        }
        let times = self.clock.next(stated, picture.step, picture.order);
        if hit {
            // Kept: decoders conceal a loss, and on poor reception every large (sync) picture has one.
            out.push(Assembled::Damage("access unit lost bytes"));
        }
        let Some((dts, pts)) = times else {
            out.push(Assembled::Damage("picture before the first time stamp"));
            return;
        };
        self.fresh = hit;
        // A little above the average, so that few pictures make the buffer grow.
        self.usual_bytes = (self.usual_bytes / 8 * 7 + data.len() / 8 + data.len() / 32).min(1 << 20);
        out.push(Assembled::Sample(MediaSample {
            track: self.track,
            dts,
            pts,
            duration: None,
            sync: picture.sync,
            data: Bytes::from(data),
        }));
    }

    /// Forgets the open access unit; goes on at the next.
    fn forget(&mut self) {
        self.syntax.forget();
        self.gathered.clear();
        self.in_unit = false;
        self.open_head = None;
        self.mark = None;
        self.tainted = None;
        self.joined_index = 0;
        self.zeros = 0;
        self.fresh = true;
    }
}

impl<S: Syntax> Assembler for VideoAssembler<S> {
    fn push(&mut self, pes: PesPayload<'_>, out: &mut Vec<Assembled>) {
        let data = pes.data;
        let (Some(&first), Some(&last)) = (data.first(), data.last()) else { return };
        self.head_before = self.head;
        self.head = PesHead { index: self.head.index + 1, pts: pes.pts, dts: pes.dts, damaged: pes.damaged };

        // A start code across the seam of two packets begins in the packet before.
        let mut at = 0;
        if self.zeros >= 2 && first == 1 {
            at = 1;
        } else if self.zeros >= 1 && data.starts_with(&[0, 1]) {
            at = 2;
        }
        if at > 0 {
            self.end_unit(3 - at, out);
            self.begin_unit(self.head_before);
        }
        while let Some(found) = data.get(at..).and_then(|rest| self.finder.find(rest)) {
            let until = at + found;
            self.gather(data.get(at..until).unwrap_or_default(), out);
            self.end_unit(0, out);
            self.begin_unit(self.head);
            at = until + START_CODE.len();
        }
        self.gather(data.get(at..).unwrap_or_default(), out);
        if last != 0 {
            self.zeros = 0;
        } else {
            let trailing = data.iter().rev().take(2).take_while(|&&byte| byte == 0).count();
            self.zeros = if trailing == data.len() { (self.zeros + trailing).min(2) } else { trailing };
        }
    }

    fn flush(&mut self, out: &mut Vec<Assembled>) {
        self.end_unit(0, out);
        if let Some(closed) = self.syntax.close() {
            let data = std::mem::take(&mut self.gathered);
            if let Some(head) = self.open_head.take() {
                // A mark that was never resolved has no picture behind it.
                let end = self.mark.map_or(data.len(), |(at, _)| at);
                let mut data = data;
                data.truncate(end);
                let hit = self.tainted.is_some_and(|(begin, _)| begin < end);
                self.emit(data, head, hit, closed, out);
            }
        }
        self.forget();
        self.clock = VideoClock::default();
        self.spent_index = self.head.index;
    }
}
