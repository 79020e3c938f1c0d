//! H.264: NAL units to access units, one sample per frame or pair of fields.
//!
//! Comes in: NAL units. Goes out: boundaries, sync flags, `avc1` sample entries. Never: keeps more than 32 SPS
//! and 256 PPS of 4 KiB.

use super::clock::Order;
use super::entry::{boxed, visual};
use super::h264_syntax::{Pps, Slice, Sps, Structure, has_chroma_info, recovery_frames, slice_start};
use super::video::{Boundary, Closed, Picture, Syntax};
use crate::media::track::{Codec, TrackParams, VideoParams};
use std::collections::BTreeMap;

/// Larger parameter sets are damage.
pub(super) const MAX_PARAMETER_SET_BYTES: usize = 4096;
/// Recovery points that take longer are no place to begin. A picture refreshed by columns of macroblocks takes
/// 240 pictures at 3840 lines' width.
pub(super) const MAX_RECOVERY_FRAMES: u32 = 255;

/// The open access unit.
#[derive(Debug, Default)]
struct Unit {
    /// Some NAL unit belongs to it.
    open: bool,
    /// A slice belongs to it.
    pictured: bool,
    first: Option<Slice>,
    last: Option<Slice>,
    /// The second field is there.
    paired: bool,
    recovery: Option<u32>,
}

impl Unit {
    fn begun() -> Self {
        Self { open: true, ..Self::default() }
    }

    fn add(&mut self, slice: Option<Slice>) {
        self.open = true;
        if !self.pictured {
            self.first = slice;
        }
        self.pictured = true;
        self.last = slice;
    }

    /// The field that still may get its other.
    fn lone_field(&self) -> Option<&Slice> {
        self.first.as_ref().filter(|first| first.structure != Structure::Frame && !self.paired)
    }
}

#[derive(Debug)]
struct StoredPps {
    nal: Vec<u8>,
    pps: Pps,
    /// Its SPS was replaced and it was neither repeated nor used since.
    stale: bool,
}

/// Syntax of H.264 (ISO/IEC 14496-10).
#[derive(Debug, Default)]
pub(super) struct H264 {
    sps: BTreeMap<u8, (Vec<u8>, Sps)>,
    pps: BTreeMap<u8, StoredPps>,
    /// Counts changes of the sets.
    version: u64,
    /// Version and SPS for which parameters were last made.
    made: Option<(u64, u8)>,
    given: Option<TrackParams>,
    open: Unit,
    /// What follows a mark: the second field or the next access unit.
    after_mark: Option<Unit>,
    /// Parameters of the unit before the mark.
    before_mark: Option<TrackParams>,
}

impl H264 {
    fn store_sps(&mut self, nal: &[u8]) {
        let Some(sps) = Sps::parse(nal).filter(|_| nal.len() <= MAX_PARAMETER_SET_BYTES) else { return };
        let id = sps.id;
        if self.sps.get(&id).is_some_and(|(known, _)| known == nal) {
            return;
        }
        if self.sps.insert(id, (nal.to_vec(), sps)).is_some() {
            for stored in self.pps.values_mut().filter(|stored| stored.pps.sps_id == id) {
                stored.stale = true;
            }
        }
        self.version += 1;
    }

    fn store_pps(&mut self, nal: &[u8]) {
        let Some(pps) = Pps::parse(nal).filter(|_| nal.len() <= MAX_PARAMETER_SET_BYTES) else { return };
        if self.pps.get(&pps.id).is_some_and(|known| !known.stale && known.nal == nal) {
            return;
        }
        self.pps.insert(pps.id, StoredPps { nal: nal.to_vec(), pps, stale: false });
        self.version += 1;
    }

    /// The header of a slice, when its parameter sets are known.
    fn slice(&mut self, nal: &[u8], pps_id: u8) -> Option<Slice> {
        let stored = self.pps.get_mut(&pps_id)?;
        let (_, sps) = self.sps.get(&stored.pps.sps_id)?;
        let slice = Slice::parse(nal, sps, &stored.pps)?;
        if std::mem::take(&mut stored.stale) {
            self.version += 1;
        }
        Some(slice)
    }

    /// A NAL unit that can only stand before the slices of an access unit (7.4.1.2.3).
    fn delimiter(&mut self, kind: u8, nal: &[u8]) -> (Boundary, bool) {
        let boundary = if self.after_mark.is_some() {
            Boundary::None
        } else if !self.open.pictured {
            self.open.open = true;
            Boundary::None
        } else if let Some(sps_id) = self.open.lone_field().map(|first| first.sps_id) {
            self.before_mark = self.params(sps_id);
            self.after_mark = Some(Unit::begun());
            Boundary::Mark
        } else {
            let closed = self.close_open();
            self.open = Unit::begun();
            Boundary::Cut(closed)
        };
        match kind {
            6 => {
                if let Some(frames) = recovery_frames(nal) {
                    self.after_mark.as_mut().unwrap_or(&mut self.open).recovery = Some(frames);
                }
            }
            7 => self.store_sps(nal),
            8 => self.store_pps(nal),
            _ => {}
        }
        (boundary, matches!(kind, 6 | 14))
    }

    fn coded_slice(&mut self, nal: &[u8]) -> (Boundary, bool) {
        let Some((first_mb, _, pps_id)) = slice_start(nal) else { return (Boundary::Skip, false) };
        let slice = self.slice(nal, pps_id);
        if slice.is_some_and(|slice| slice.redundant) {
            return if self.open.pictured { (Boundary::None, true) } else { (Boundary::Skip, false) };
        }
        if let Some(mut next) = self.after_mark.take() {
            if self.completes(slice) {
                return (Boundary::Join, true);
            }
            let closed = self.close_open();
            next.add(slice);
            self.open = next;
            return (Boundary::CutAtMark(closed), true);
        }
        if !self.open.open && first_mb != 0 {
            return (Boundary::Skip, false);
        }
        let other = self.open.pictured
            && match (&slice, &self.open.last) {
                (Some(slice), Some(last)) => {
                    slice.other_picture(last) || (first_mb == 0 && !self.any_slice_order(slice.sps_id))
                }
                _ => first_mb == 0,
            };
        if !other {
            self.open.add(slice);
            return (Boundary::None, true);
        }
        if self.completes(slice) {
            return (Boundary::Join, true);
        }
        let closed = self.close_open();
        self.open = Unit::default();
        self.open.add(slice);
        (Boundary::Cut(closed), true)
    }

    /// Takes `slice` as the second field, if it is that of the open one.
    fn completes(&mut self, slice: Option<Slice>) -> bool {
        let second = slice.filter(|slice| self.open.lone_field().is_some_and(|first| slice.completes(first)));
        if second.is_some() {
            self.open.paired = true;
            self.open.last = second;
        }
        second.is_some()
    }

    /// Baseline and Extended profile may send slices in any order.
    fn any_slice_order(&self, sps_id: u8) -> bool {
        self.sps.get(&sps_id).is_some_and(|(_, sps)| matches!(sps.profile, 66 | 88) && sps.constraints & 0x40 == 0)
    }

    fn close_open(&mut self) -> Closed {
        let unit = std::mem::take(&mut self.open);
        let before_mark = self.before_mark.take();
        if !unit.pictured {
            return Closed::Nothing("access unit without a picture");
        }
        let Some(first) = &unit.first else { return Closed::Nothing("picture without parameter sets") };
        let params = if self.after_mark.is_some() { None } else { self.params(first.sps_id) };
        let sps = self.sps.get(&first.sps_id).map(|(_, sps)| sps);
        let order = sps.filter(|sps| sps.poc_type == 0).map(|sps| Order {
            count: i64::from(first.poc_lsb),
            modulus: 1 << sps.poc_lsb_bits,
            per_frame: 2,
            restart: first.idr,
        });
        Closed::Picture(Picture {
            params: params.or(before_mark),
            sync: first.idr || unit.recovery.is_some_and(|frames| frames <= MAX_RECOVERY_FRAMES),
            lone_field: unit.lone_field().is_some(),
            order,
            step: sps.and_then(|sps| sps.step),
        })
    }

    /// Parameters with `sps_id` active, when they are not those given last.
    fn params(&mut self, sps_id: u8) -> Option<TrackParams> {
        if self.made == Some((self.version, sps_id)) {
            return None;
        }
        self.made = Some((self.version, sps_id));
        let (_, sps) = self.sps.get(&sps_id)?;
        let params = TrackParams {
            codec: Codec::H264,
            codec_string: format!("avc1.{:02X}{:02X}{:02X}", sps.profile, sps.constraints, sps.level),
            language: None,
            video: Some(VideoParams { width: sps.width, height: sps.height }),
            audio: None,
            sample_entry: visual(b"avc1", sps.width, sps.height, &self.avcc(sps), sps.sar, sps.colour),
        };
        if self.given.as_ref() == Some(&params) {
            return None;
        }
        self.given = Some(params.clone());
        Some(params)
    }

    /// `AVCConfigurationBox` (ISO/IEC 14496-15 5.3.3.1) with all sets known.
    fn avcc(&self, active: &Sps) -> Vec<u8> {
        // 5 and 8 bits of count.
        let sps: Vec<&[u8]> = self.sps.values().take(31).map(|(nal, _)| nal.as_slice()).collect();
        let pps: Vec<&[u8]> = self.pps.values().filter(|p| !p.stale).take(255).map(|p| p.nal.as_slice()).collect();
        let mut body = vec![1, active.profile, active.constraints, active.level, 0xff, 0xe0 | sps.len() as u8];
        put_sets(&mut body, &sps);
        body.push(pps.len() as u8);
        put_sets(&mut body, &pps);
        if has_chroma_info(active.profile) {
            let depths = [active.bit_depth_luma, active.bit_depth_chroma].map(|depth| 0xf8 | depth.saturating_sub(8));
            body.extend_from_slice(&[0xfc | active.chroma_format, depths[0], depths[1], 0]);
        }
        boxed(b"avcC", &body)
    }
}

/// Each set behind 16 bits of length.
pub(super) fn put_sets(body: &mut Vec<u8>, sets: &[&[u8]]) {
    for set in sets {
        body.extend_from_slice(&(set.len() as u16).to_be_bytes());
        body.extend_from_slice(set);
    }
}

impl Syntax for H264 {
    const START_CODES: bool = false;

    fn unit(&mut self, nal: &[u8]) -> (Boundary, bool) {
        let header = nal.first().copied().unwrap_or(0x80);
        if header & 0x80 != 0 {
            return (Boundary::Skip, false);
        }
        match header & 0x1f {
            1 | 2 | 5 => self.coded_slice(nal),
            kind @ (6..=9 | 14..=18) => self.delimiter(kind, nal),
            3 | 4 | 19..=21 if self.open.pictured => (Boundary::None, true),
            // End of sequence or stream, filler, SPS extension, what is not specified.
            _ => (Boundary::Skip, false),
        }
    }

    fn close(&mut self) -> Option<Closed> {
        let closed = self.open.pictured.then(|| self.close_open());
        self.after_mark = None;
        closed
    }

    fn forget(&mut self) {
        self.open = Unit::default();
        self.after_mark = None;
        if self.before_mark.take().is_some() {
            // Made, but never given.
            self.made = None;
            self.given = None;
        }
    }
}
