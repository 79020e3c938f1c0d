//! H.265 headers: what parameter sets and slice headers say about access units and tracks.
//!
//! Comes in: NAL units. Goes out: their fields, `None` when they are damaged. Never: decodes pictures.

use super::bits::{BitReader, unescape, unescape_into};
use super::clock::Step;
use super::entry::{AspectRatio, Colour, MAX_PICTURE_SIDE};
use super::h264_syntax::{read_aspect_ratio, read_colour, sei_message};

/// A sequence parameter set (ISO/IEC 23008-2 7.3.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sps {
    pub id: u8,
    pub vps_id: u8,
    pub max_sub_layers: u8,
    pub temporal_nesting: bool,
    /// `general_profile_space` to `general_level_idc` as they stand (7.3.3).
    pub profile_tier_level: [u8; 12],
    pub chroma_format: u8,
    pub separate_planes: bool,
    pub bit_depth_luma: u8,
    pub bit_depth_chroma: u8,
    pub poc_lsb_bits: u32,
    pub width: u32,
    pub height: u32,
    pub sar: Option<AspectRatio>,
    pub colour: Option<Colour>,
    pub step: Option<Step>,
}

impl Sps {
    /// Reads an SPS NAL unit, both header bytes included.
    pub(super) fn parse(nal: &[u8]) -> Option<Self> {
        let rbsp = unescape(nal.get(2..)?);
        let mut r = BitReader::new(&rbsp);
        let vps_id = r.bits(4)? as u8;
        let max_sub_layers = r.bits(3)? as u8 + 1;
        if max_sub_layers > 7 {
            return None;
        }
        let temporal_nesting = r.flag()?;
        let mut profile_tier_level = [0; 12];
        for byte in &mut profile_tier_level {
            *byte = r.byte()?;
        }
        skip_sub_layers(&mut r, max_sub_layers - 1)?;
        let id = r.ue_max(15)? as u8;
        let chroma_format = r.ue_max(3)? as u8;
        let separate_planes = chroma_format == 3 && r.flag()?;
        let (mut width, mut height) = (r.ue_max(MAX_PICTURE_SIDE)?, r.ue_max(MAX_PICTURE_SIDE)?);
        if r.flag()? {
            // Table 6-1.
            let (sub_width, sub_height) = match (separate_planes, chroma_format) {
                (false, 1) => (2, 2),
                (false, 2) => (2, 1),
                _ => (1, 1),
            };
            let (left, right) = (r.ue_max(MAX_PICTURE_SIDE)?, r.ue_max(MAX_PICTURE_SIDE)?);
            let (top, bottom) = (r.ue_max(MAX_PICTURE_SIDE)?, r.ue_max(MAX_PICTURE_SIDE)?);
            width = width.checked_sub((left + right) * sub_width)?;
            height = height.checked_sub((top + bottom) * sub_height)?;
        }
        if width == 0 || height == 0 {
            return None;
        }
        let bit_depth_luma = 8 + r.ue_max(8)? as u8;
        let bit_depth_chroma = 8 + r.ue_max(8)? as u8;
        let poc_lsb_bits = 4 + r.ue_max(12)?;
        let mut sps = Self {
            id,
            vps_id,
            max_sub_layers,
            temporal_nesting,
            profile_tier_level,
            chroma_format,
            separate_planes,
            bit_depth_luma,
            bit_depth_chroma,
            poc_lsb_bits,
            width,
            height,
            sar: None,
            colour: None,
            step: None,
        };
        // The VUI is not needed to decode.
        let _ = sps.read_to_vui(&mut r);
        Some(sps)
    }

    fn read_to_vui(&mut self, r: &mut BitReader<'_>) -> Option<()> {
        let all_layers = r.flag()?;
        for _ in 0..if all_layers { self.max_sub_layers } else { 1 } {
            r.ue()?;
            r.ue()?;
            r.ue()?;
        }
        for _ in 0..6 {
            r.ue()?;
        }
        if r.flag()? && r.flag()? {
            skip_scaling_lists(r)?;
        }
        r.skip(2);
        if r.flag()? {
            r.skip(8);
            r.ue()?;
            r.ue()?;
            r.skip(1);
        }
        let mut pictures = 0;
        for set in 0..r.ue_max(64)? {
            pictures = skip_reference_set(r, set, pictures)?;
        }
        if r.flag()? {
            for _ in 0..r.ue_max(32)? {
                r.skip(self.poc_lsb_bits as usize + 1);
            }
        }
        r.skip(2);
        if r.flag()? {
            self.read_vui(r)?;
        }
        Some(())
    }

    /// Annex E.2.1, as far as it is needed.
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
        r.skip(3);
        if r.flag()? {
            for _ in 0..4 {
                r.ue()?;
            }
        }
        if r.flag()? {
            let (units, scale) = (r.bits(32)?, r.bits(32)?);
            self.step = Step::from_seconds(u64::from(units), u64::from(scale));
        }
        Some(())
    }

    /// RFC 6381 codec string (ISO/IEC 14496-15 annex E.3), for instance `hvc1.1.6.L93.B0`.
    pub(super) fn codec_string(&self) -> String {
        use std::fmt::Write;
        let [general, c0, c1, c2, c3, constraints @ .., level] = self.profile_tier_level;
        let space = ["", "A", "B", "C"].get(usize::from(general >> 6)).copied().unwrap_or_default();
        let compatibility = u32::from_be_bytes([c0, c1, c2, c3]).reverse_bits();
        let tier = if general & 0x20 == 0 { 'L' } else { 'H' };
        let mut text = format!("hvc1.{space}{}.{compatibility:X}.{tier}{level}", general & 0x1f);
        let used = constraints.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        for byte in constraints.iter().take(used) {
            let _ = write!(text, ".{byte:X}");
        }
        text
    }
}

/// The part of `profile_tier_level` after `general_level_idc`.
fn skip_sub_layers(r: &mut BitReader<'_>, count: u8) -> Option<()> {
    let mut bits = 0;
    for _ in 0..count {
        bits += if r.flag()? { 88 } else { 0 };
        bits += if r.flag()? { 8 } else { 0 };
    }
    if count > 0 {
        bits += 2 * (8 - usize::from(count));
    }
    r.skip(bits);
    Some(())
}

/// `scaling_list_data` (7.3.4).
fn skip_scaling_lists(r: &mut BitReader<'_>) -> Option<()> {
    for size in 0..4u32 {
        for _ in 0..if size == 3 { 2 } else { 6 } {
            if !r.flag()? {
                r.ue()?;
                continue;
            }
            if size > 1 {
                r.se()?;
            }
            for _ in 0..64.min(1 << (4 + 2 * size)) {
                r.se()?;
            }
        }
    }
    Some(())
}

/// `st_ref_pic_set` (7.3.7); `before` and the answer are numbers of pictures in the set.
fn skip_reference_set(r: &mut BitReader<'_>, set: u32, before: u32) -> Option<u32> {
    if set > 0 && r.flag()? {
        r.skip(1);
        r.ue()?;
        let mut pictures = 0;
        for _ in 0..=before {
            let used = r.flag()?;
            if used || r.flag()? {
                pictures += 1;
            }
        }
        return Some(pictures);
    }
    let pictures = r.ue_max(16)? + r.ue_max(16)?;
    for _ in 0..pictures {
        r.ue()?;
        r.skip(1);
    }
    Some(pictures)
}

/// What is read of a picture parameter set (7.3.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pps {
    pub id: u8,
    pub sps_id: u8,
    pub output_flag_present: bool,
    pub extra_slice_bits: u32,
}

impl Pps {
    /// Reads a PPS NAL unit, both header bytes included.
    pub(super) fn parse(nal: &[u8]) -> Option<Self> {
        let rbsp = unescape(nal.get(2..)?);
        let mut r = BitReader::new(&rbsp);
        let (id, sps_id) = (r.ue_max(63)? as u8, r.ue_max(15)? as u8);
        r.skip(1);
        Some(Self { id, sps_id, output_flag_present: r.flag()?, extra_slice_bits: r.bits(3)? })
    }
}

/// `first_slice_segment_in_pic_flag` (7.3.6.1).
pub(super) fn is_first_slice(nal: &[u8]) -> Option<bool> {
    nal.get(2).map(|byte| byte & 0x80 != 0)
}

/// The PPS that a slice segment uses.
pub(super) fn slice_pps(nal: &[u8]) -> Option<u8> {
    let mut bytes = [0; 16];
    let length = unescape_into(nal.get(2..)?, &mut bytes);
    let mut r = BitReader::new(bytes.get(..length)?);
    read_slice_pps(&mut r, nal_type(nal)?)
}

fn read_slice_pps(r: &mut BitReader<'_>, kind: u8) -> Option<u8> {
    r.skip(1);
    if matches!(kind, 16..=23) {
        r.skip(1);
    }
    r.ue_max(63).map(|id| id as u8)
}

/// `slice_pic_order_cnt_lsb` of a picture's first slice segment; 0 for IDR pictures.
pub(super) fn slice_poc_lsb(nal: &[u8], sps: &Sps, pps: &Pps) -> Option<u32> {
    let kind = nal_type(nal)?;
    if matches!(kind, 19 | 20) {
        return Some(0);
    }
    let mut bytes = [0; 32];
    let length = unescape_into(nal.get(2..)?, &mut bytes);
    let mut r = BitReader::new(bytes.get(..length)?);
    read_slice_pps(&mut r, kind)?;
    r.skip(pps.extra_slice_bits as usize);
    r.ue_max(2)?;
    r.skip(if pps.output_flag_present { 1 } else { 0 } + if sps.separate_planes { 2 } else { 0 });
    r.bits(sps.poc_lsb_bits)
}

/// `nal_unit_type` (7.3.1.2); `None` when the forbidden bit is set.
pub(super) fn nal_type(nal: &[u8]) -> Option<u8> {
    nal.first().filter(|&&byte| byte & 0x80 == 0).map(|byte| byte >> 1 & 0x3f)
}

/// `nuh_layer_id` (7.3.1.2).
pub(super) fn layer(nal: &[u8]) -> Option<u8> {
    Some((nal.first()? & 1) << 5 | nal.get(1)? >> 3)
}

/// `recovery_poc_cnt` (D.2.8), when a prefix SEI NAL unit has it.
pub(super) fn recovery_pictures(nal: &[u8]) -> Option<i64> {
    let rbsp = unescape(nal.get(2..)?);
    BitReader::new(sei_message(&rbsp, 6)?).se()
}
