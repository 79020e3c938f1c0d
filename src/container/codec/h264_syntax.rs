//! H.264 headers: what parameter sets, slice headers and SEI say about access units and tracks.
//!
//! Comes in: NAL units. Goes out: their fields, `None` when they are damaged. Never: decodes pictures.

use super::bits::{BitReader, unescape, unescape_into};
use super::clock::Step;
use super::entry::{AspectRatio, Colour, MAX_PICTURE_SIDE, aspect_ratio};

/// Bytes of a slice that hold all fields that are read here.
const SLICE_HEADER_BYTES: usize = 64;

/// A sequence parameter set (ISO/IEC 14496-10 7.3.2.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sps {
    pub id: u8,
    pub profile: u8,
    pub constraints: u8,
    pub level: u8,
    pub chroma_format: u8,
    pub bit_depth_luma: u8,
    pub bit_depth_chroma: u8,
    pub separate_planes: bool,
    pub frame_num_bits: u32,
    pub poc_type: u8,
    pub poc_lsb_bits: u32,
    pub delta_poc_always_zero: bool,
    pub frames_only: bool,
    pub width: u32,
    pub height: u32,
    pub sar: Option<AspectRatio>,
    pub colour: Option<Colour>,
    pub step: Option<Step>,
}

/// Profiles whose SPS and `avcC` tell chroma format and bit depths.
pub(super) const fn has_chroma_info(profile: u8) -> bool {
    matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135)
}

impl Sps {
    /// Reads an SPS NAL unit, header byte included.
    pub(super) fn parse(nal: &[u8]) -> Option<Self> {
        let rbsp = unescape(nal.get(1..)?);
        let mut r = BitReader::new(&rbsp);
        let (profile, constraints, level) = (r.byte()?, r.byte()?, r.byte()?);
        let id = r.ue_max(31)? as u8;
        let (mut chroma_format, mut separate_planes) = (1, false);
        let (mut bit_depth_luma, mut bit_depth_chroma) = (8, 8);
        if has_chroma_info(profile) {
            chroma_format = r.ue_max(3)? as u8;
            separate_planes = chroma_format == 3 && r.flag()?;
            bit_depth_luma = 8 + r.ue_max(6)? as u8;
            bit_depth_chroma = 8 + r.ue_max(6)? as u8;
            r.skip(1);
            if r.flag()? {
                let lists = if chroma_format == 3 { 12 } else { 8 };
                for list in 0..lists {
                    if r.flag()? {
                        skip_scaling_list(&mut r, if list < 6 { 16 } else { 64 })?;
                    }
                }
            }
        }
        let frame_num_bits = 4 + r.ue_max(12)?;
        let poc_type = r.ue_max(2)? as u8;
        let (mut poc_lsb_bits, mut delta_poc_always_zero) = (0, false);
        match poc_type {
            0 => poc_lsb_bits = 4 + r.ue_max(12)?,
            1 => {
                delta_poc_always_zero = r.flag()?;
                r.se()?;
                r.se()?;
                for _ in 0..r.ue_max(255)? {
                    r.se()?;
                }
            }
            _ => {}
        }
        r.ue()?;
        r.skip(1);
        let width_mbs = r.ue_max(MAX_PICTURE_SIDE / 16)? + 1;
        let height_units = r.ue_max(MAX_PICTURE_SIDE / 16)? + 1;
        let frames_only = r.flag()?;
        if !frames_only {
            r.skip(1);
        }
        r.skip(1);
        let field_factor = if frames_only { 1 } else { 2 };
        let (mut width, mut height) = (width_mbs * 16, height_units * 16 * field_factor);
        if r.flag()? {
            // Table 6-1 and equations 7-19 to 7-22.
            let (sub_width, sub_height) = match (separate_planes, chroma_format) {
                (false, 1) => (2, 2),
                (false, 2) => (2, 1),
                _ => (1, 1),
            };
            let (left, right) = (r.ue_max(MAX_PICTURE_SIDE)?, r.ue_max(MAX_PICTURE_SIDE)?);
            let (top, bottom) = (r.ue_max(MAX_PICTURE_SIDE)?, r.ue_max(MAX_PICTURE_SIDE)?);
            width = width.checked_sub((left + right) * sub_width)?;
            height = height.checked_sub((top + bottom) * sub_height * field_factor)?;
        }
        if width == 0 || height == 0 || width > MAX_PICTURE_SIDE || height > MAX_PICTURE_SIDE {
            return None;
        }
        let mut sps = Self {
            id,
            profile,
            constraints,
            level,
            chroma_format,
            bit_depth_luma,
            bit_depth_chroma,
            separate_planes,
            frame_num_bits,
            poc_type,
            poc_lsb_bits,
            delta_poc_always_zero,
            frames_only,
            width,
            height,
            sar: None,
            colour: None,
            step: None,
        };
        if r.flag()? {
            // What of the VUI cannot be read is not needed to decode.
            let _ = sps.read_vui(&mut r);
        }
        Some(sps)
    }

    /// Annex E.1.1, as far as it is needed.
    fn read_vui(&mut self, r: &mut BitReader<'_>) -> Option<()> {
        self.sar = read_aspect_ratio(r)?;
        if r.flag()? {
            r.skip(1);
        }
        self.colour = read_colour(r)?;
        if r.flag()? {
            r.ue()?;
            r.ue()?;
        }
        if r.flag()? {
            let (units, scale) = (r.bits(32)?, r.bits(32)?);
            // A tick is a field.
            self.step = Step::from_seconds(u64::from(units) * 2, u64::from(scale));
        }
        Some(())
    }
}

/// `aspect_ratio_info_present_flag` and what follows; the same in H.264 and H.265.
pub(super) fn read_aspect_ratio(r: &mut BitReader<'_>) -> Option<Option<AspectRatio>> {
    if !r.flag()? {
        return Some(None);
    }
    match r.byte()? {
        255 => Some(Some((r.bits(16)?, r.bits(16)?))),
        idc => Some(aspect_ratio(idc)),
    }
}

/// `video_signal_type_present_flag` and what follows; the same in H.264 and H.265.
pub(super) fn read_colour(r: &mut BitReader<'_>) -> Option<Option<Colour>> {
    if !r.flag()? {
        return Some(None);
    }
    r.skip(3);
    let full_range = r.flag()?;
    if !r.flag()? {
        return Some(None);
    }
    Some(Some(Colour { primaries: r.byte()?, transfer: r.byte()?, matrix: r.byte()?, full_range }))
}

fn skip_scaling_list(r: &mut BitReader<'_>, size: u32) -> Option<()> {
    let (mut last, mut next) = (8i64, 8i64);
    for _ in 0..size {
        if next != 0 {
            next = (last + r.se()?).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

/// What is read of a picture parameter set (7.3.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pps {
    pub id: u8,
    pub sps_id: u8,
    pub pic_order_present: bool,
    pub redundant_pictures: bool,
}

impl Pps {
    /// Reads a PPS NAL unit, header byte included.
    pub(super) fn parse(nal: &[u8]) -> Option<Self> {
        let rbsp = unescape(nal.get(1..)?);
        let mut r = BitReader::new(&rbsp);
        let id = r.ue_max(255)? as u8;
        let sps_id = r.ue_max(31)? as u8;
        r.skip(1);
        let pic_order_present = r.flag()?;
        let mut pps = Self { id, sps_id, pic_order_present, redundant_pictures: false };
        // With slice groups the rest is not read: redundant pictures of the Baseline profile only.
        if r.ue_max(7)? == 0 {
            r.ue_max(31)?;
            r.ue_max(31)?;
            r.skip(3);
            r.se()?;
            r.se()?;
            r.se()?;
            r.skip(2);
            pps.redundant_pictures = r.flag()?;
        }
        Some(pps)
    }
}

/// Top, bottom, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Structure {
    Frame,
    Top,
    Bottom,
}

/// What of a slice header tells pictures apart (7.3.3, 7.4.1.2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slice {
    pub first_mb: u32,
    pub intra: bool,
    pub pps_id: u8,
    pub sps_id: u8,
    pub frame_num: u32,
    pub structure: Structure,
    pub reference: bool,
    pub idr: bool,
    pub idr_pic_id: u32,
    pub poc_lsb: u32,
    pub delta_poc: [i64; 2],
    pub redundant: bool,
}

/// `first_mb_in_slice`, slice type and PPS of a slice, which need no parameter sets.
pub(super) fn slice_start(nal: &[u8]) -> Option<(u32, bool, u8)> {
    let mut bytes = [0; SLICE_HEADER_BYTES];
    let length = unescape_into(nal.get(1..)?, &mut bytes);
    read_slice_start(&mut BitReader::new(bytes.get(..length)?))
}

fn read_slice_start(r: &mut BitReader<'_>) -> Option<(u32, bool, u8)> {
    let first_mb = r.ue()?;
    let slice_type = r.ue_max(9)?;
    Some((first_mb, matches!(slice_type % 5, 2 | 4), r.ue_max(255)? as u8))
}

impl Slice {
    /// Reads a slice NAL unit of type 1, 2 or 5.
    pub(super) fn parse(nal: &[u8], sps: &Sps, pps: &Pps) -> Option<Self> {
        let header = *nal.first()?;
        let mut bytes = [0; SLICE_HEADER_BYTES];
        let length = unescape_into(nal.get(1..)?, &mut bytes);
        let mut r = BitReader::new(bytes.get(..length)?);
        let (first_mb, intra, pps_id) = read_slice_start(&mut r)?;
        if sps.separate_planes {
            r.skip(2);
        }
        let frame_num = r.bits(sps.frame_num_bits)?;
        let mut structure = Structure::Frame;
        if !sps.frames_only && r.flag()? {
            structure = if r.flag()? { Structure::Bottom } else { Structure::Top };
        }
        let idr = header & 0x1f == 5;
        let idr_pic_id = if idr { r.ue()? } else { 0 };
        let mut poc_lsb = 0;
        let mut delta_poc = [0; 2];
        let frame_delta = pps.pic_order_present && structure == Structure::Frame;
        if sps.poc_type == 0 {
            poc_lsb = r.bits(sps.poc_lsb_bits)?;
            if frame_delta {
                delta_poc[0] = r.se()?;
            }
        } else if sps.poc_type == 1 && !sps.delta_poc_always_zero {
            delta_poc[0] = r.se()?;
            if frame_delta {
                delta_poc[1] = r.se()?;
            }
        }
        let redundant = pps.redundant_pictures && r.ue()? > 0;
        Some(Self {
            first_mb,
            intra,
            pps_id,
            sps_id: sps.id,
            frame_num,
            structure,
            reference: header & 0x60 != 0,
            idr,
            idr_pic_id,
            poc_lsb,
            delta_poc,
            redundant,
        })
    }

    /// Whether this slice begins another picture than `before` belongs to (7.4.1.2.4).
    pub(super) fn other_picture(&self, before: &Slice) -> bool {
        self.frame_num != before.frame_num
            || self.pps_id != before.pps_id
            || self.sps_id != before.sps_id
            || self.structure != before.structure
            || self.reference != before.reference
            || self.idr != before.idr
            || self.idr_pic_id != before.idr_pic_id
            || self.poc_lsb != before.poc_lsb
            || self.delta_poc != before.delta_poc
    }

    /// Whether this slice's field completes the frame that `first`'s field began (3.30): same frame number, other
    /// parity, no IDR after a picture that is none.
    pub(super) fn completes(&self, first: &Slice) -> bool {
        let opposite = matches!(
            (first.structure, self.structure),
            (Structure::Top, Structure::Bottom) | (Structure::Bottom, Structure::Top)
        );
        opposite
            && self.frame_num == first.frame_num
            && self.sps_id == first.sps_id
            && (!self.idr || (first.idr && self.idr_pic_id == first.idr_pic_id))
    }
}

/// The payload of the first SEI message of `payload_type` (7.3.2.3.1), from an RBSP.
pub(super) fn sei_message(rbsp: &[u8], payload_type: u32) -> Option<&[u8]> {
    let mut at = 0usize;
    // Two bytes at least are a message; a lone 0x80 is the trailing bits.
    while at + 2 < rbsp.len() {
        let mut numbers = [0u32; 2];
        for number in &mut numbers {
            loop {
                let byte = *rbsp.get(at)?;
                at += 1;
                *number = number.saturating_add(u32::from(byte));
                if byte != 255 {
                    break;
                }
            }
        }
        let [kind, size] = numbers;
        let end = at.checked_add(size as usize)?;
        if kind == payload_type {
            return rbsp.get(at..end);
        }
        at = end;
    }
    None
}

/// `recovery_frame_cnt` (D.1.8), when an SEI NAL unit has it.
pub(super) fn recovery_frames(nal: &[u8]) -> Option<u32> {
    let rbsp = unescape(nal.get(1..)?);
    BitReader::new(sei_message(&rbsp, 6)?).ue()
}
