//! H.265: NAL units to access units. Fields stay samples of their own.
//!
//! Comes in: NAL units. Goes out: boundaries, sync flags, `hvc1` sample entries. Never: keeps more than 16 VPS,
//! 16 SPS and 64 PPS of 4 KiB.

use super::clock::Order;
use super::entry::{boxed, visual};
use super::h264::{MAX_PARAMETER_SET_BYTES, MAX_RECOVERY_FRAMES, put_sets};
use super::h265_syntax::{Pps, Sps, is_first_slice, layer, nal_type, recovery_pictures, slice_poc_lsb, slice_pps};
use super::video::{Boundary, Closed, Picture, Syntax};
use crate::media::track::{Codec, TrackParams, VideoParams};
use std::collections::BTreeMap;

/// The open access unit.
#[derive(Debug, Default)]
struct Unit {
    open: bool,
    pictured: bool,
    sps_id: Option<u8>,
    irap: bool,
    recovery: bool,
    order: Option<Order>,
}

#[derive(Debug)]
struct StoredPps {
    nal: Vec<u8>,
    pps: Pps,
    /// Its SPS was replaced and it was neither repeated nor used since.
    stale: bool,
}

/// Syntax of H.265 (ISO/IEC 23008-2).
#[derive(Debug, Default)]
pub(super) struct H265 {
    vps: BTreeMap<u8, Vec<u8>>,
    sps: BTreeMap<u8, (Vec<u8>, Sps)>,
    pps: BTreeMap<u8, StoredPps>,
    /// Counts changes of the sets.
    version: u64,
    /// Version and SPS for which parameters were last made.
    made: Option<(u64, u8)>,
    given: Option<TrackParams>,
    open: Unit,
}

impl H265 {
    fn store(&mut self, kind: u8, nal: &[u8]) {
        if nal.len() > MAX_PARAMETER_SET_BYTES {
            return;
        }
        match kind {
            32 => {
                let Some(id) = nal.get(2).map(|byte| byte >> 4) else { return };
                if self.vps.get(&id).is_none_or(|known| known != nal) {
                    self.vps.insert(id, nal.to_vec());
                    self.version += 1;
                }
            }
            33 => {
                let Some(sps) = Sps::parse(nal) else { return };
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
            _ => {
                let Some(pps) = Pps::parse(nal) else { return };
                if self.pps.get(&pps.id).is_some_and(|known| !known.stale && known.nal == nal) {
                    return;
                }
                self.pps.insert(pps.id, StoredPps { nal: nal.to_vec(), pps, stale: false });
                self.version += 1;
            }
        }
    }

    /// A NAL unit after which, or a slice with which, a new access unit begins (7.4.2.4.4).
    fn boundary(&mut self) -> Boundary {
        if !self.open.pictured {
            self.open.open = true;
            return Boundary::None;
        }
        let closed = self.close_open();
        self.open.open = true;
        Boundary::Cut(closed)
    }

    fn coded_slice(&mut self, kind: u8, nal: &[u8]) -> (Boundary, bool) {
        match is_first_slice(nal) {
            Some(true) => {}
            Some(false) if self.open.pictured => return (Boundary::None, true),
            _ => return (Boundary::Skip, false),
        }
        let boundary = self.boundary();
        self.open.pictured = true;
        self.open.irap = matches!(kind, 16..=23);
        let Some(stored) = slice_pps(nal).and_then(|id| self.pps.get_mut(&id)) else { return (boundary, true) };
        let Some((_, sps)) = self.sps.get(&stored.pps.sps_id) else { return (boundary, true) };
        self.open.sps_id = Some(sps.id);
        self.open.order = slice_poc_lsb(nal, sps, &stored.pps).map(|count| Order {
            count: i64::from(count),
            modulus: 1 << sps.poc_lsb_bits,
            per_frame: 1,
            // IDR and BLA.
            restart: matches!(kind, 16..=20),
        });
        if std::mem::take(&mut stored.stale) {
            self.version += 1;
        }
        (boundary, true)
    }

    fn close_open(&mut self) -> Closed {
        let unit = std::mem::take(&mut self.open);
        if !unit.pictured {
            return Closed::Nothing("access unit without a picture");
        }
        let Some((sps_id, step)) = unit.sps_id.and_then(|id| self.sps.get(&id).map(|(_, sps)| (id, sps.step))) else {
            return Closed::Nothing("picture without parameter sets");
        };
        Closed::Picture(Picture {
            params: self.params(sps_id),
            sync: unit.irap || unit.recovery,
            lone_field: false,
            order: unit.order,
            step,
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
            codec: Codec::H265,
            codec_string: sps.codec_string(),
            language: None,
            video: Some(VideoParams { width: sps.width, height: sps.height }),
            audio: None,
            sample_entry: visual(b"hvc1", sps.width, sps.height, &self.hvcc(sps), sps.sar, sps.colour),
        };
        if self.given.as_ref() == Some(&params) {
            return None;
        }
        self.given = Some(params.clone());
        Some(params)
    }

    /// `HEVCConfigurationBox` (ISO/IEC 14496-15 8.3.3.1) with all sets known.
    fn hvcc(&self, active: &Sps) -> Vec<u8> {
        let mut body = vec![1];
        body.extend_from_slice(&active.profile_tier_level);
        // min_spatial_segmentation_idc 0, parallelismType 0: not said.
        body.extend_from_slice(&[0xf0, 0, 0xfc, 0xfc | active.chroma_format]);
        for depth in [active.bit_depth_luma, active.bit_depth_chroma] {
            body.push(0xf8 | depth.saturating_sub(8) & 7);
        }
        let layers = active.max_sub_layers << 3 | u8::from(active.temporal_nesting) << 2 | 3;
        body.extend_from_slice(&[0, 0, layers, 3]);
        let vps: Vec<&[u8]> = self.vps.values().map(Vec::as_slice).collect();
        let sps: Vec<&[u8]> = self.sps.values().map(|(nal, _)| nal.as_slice()).collect();
        let pps: Vec<&[u8]> = self.pps.values().filter(|p| !p.stale).map(|p| p.nal.as_slice()).collect();
        for (kind, sets) in [(32, vps), (33, sps), (34, pps)] {
            // All sets of this kind are here, none in the samples.
            body.extend_from_slice(&[0x80 | kind, 0, sets.len() as u8]);
            put_sets(&mut body, &sets);
        }
        boxed(b"hvcC", &body)
    }
}

impl Syntax for H265 {
    const START_CODES: bool = false;

    fn unit(&mut self, nal: &[u8]) -> (Boundary, bool) {
        let (Some(kind), Some(0)) = (nal_type(nal), layer(nal)) else { return (Boundary::Skip, false) };
        match kind {
            0..=31 => self.coded_slice(kind, nal),
            32..=35 | 39 | 41..=44 | 48..=55 => {
                let boundary = self.boundary();
                match kind {
                    32..=34 => self.store(kind, nal),
                    39 => {
                        let near = recovery_pictures(nal).is_some_and(|n| n.abs() <= i64::from(MAX_RECOVERY_FRAMES));
                        self.open.recovery |= near;
                    }
                    _ => {}
                }
                (boundary, kind == 39)
            }
            // Suffix SEI, and what two well-known extensions of HDR put behind a picture.
            40 | 62 | 63 if self.open.pictured => (Boundary::None, true),
            _ => (Boundary::Skip, false),
        }
    }

    fn close(&mut self) -> Option<Closed> {
        self.open.pictured.then(|| self.close_open())
    }

    fn forget(&mut self) {
        self.open = Unit::default();
    }
}
