//! MPEG-2 video (and MPEG-1): start-code units to coded frames, both fields in one sample.
//!
//! Comes in: units between start codes. Goes out: boundaries, sync flags, `mp4v` sample entries. Never: takes the
//! headers out of the samples.

use super::bits::BitReader;
use super::clock::{Order, Step};
use super::entry::{AspectRatio, Colour, esds, visual};
use super::video::{Boundary, Closed, Picture, Syntax};
use crate::media::track::{Codec, TrackParams, VideoParams};

/// A sequence header with its matrices has 140 bytes.
const MAX_HEADER_BYTES: usize = 256;

/// What a sequence header and its extensions say (ISO/IEC 13818-2 6.2.2.1, 6.2.2.3, 6.2.2.4).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sequence {
    width: u32,
    height: u32,
    aspect: u8,
    rate_code: u8,
    rate_factor: (u64, u64),
    /// `profile_and_level_indication`; none in MPEG-1.
    profile: Option<u8>,
    progressive: bool,
    colour: Option<Colour>,
}

impl Sequence {
    fn parse(header: &[u8]) -> Option<Self> {
        let mut r = BitReader::new(header.get(1..)?);
        let sequence = Self {
            width: r.bits(12)?,
            height: r.bits(12)?,
            aspect: r.bits(4)? as u8,
            rate_code: r.bits(4)? as u8,
            rate_factor: (1, 1),
            ..Self::default()
        };
        (sequence.width > 0 && sequence.height > 0).then_some(sequence)
    }

    fn extend(&mut self, extension: &[u8]) -> Option<()> {
        let mut r = BitReader::new(extension.get(1..)?);
        match r.bits(4)? {
            1 => {
                let profile = r.byte()?;
                self.progressive = r.flag()?;
                r.skip(2);
                self.width |= r.bits(2)? << 12;
                self.height |= r.bits(2)? << 12;
                r.skip(12 + 1 + 8 + 1);
                self.rate_factor = (u64::from(r.bits(2)?) + 1, u64::from(r.bits(5)?) + 1);
                self.profile = Some(profile);
            }
            2 => {
                r.skip(3);
                if r.flag()? {
                    let (primaries, transfer, matrix) = (r.byte()?, r.byte()?, r.byte()?);
                    self.colour = Some(Colour { primaries, transfer, matrix, full_range: false });
                }
            }
            _ => {}
        }
        Some(())
    }

    /// `objectTypeIndication` by profile (ISO/IEC 14496-1 table 5).
    fn object_type(&self) -> u8 {
        match self.profile {
            None => 0x6a,
            // The escape bit: 4:2:2 profile.
            Some(profile) if profile & 0x80 != 0 => 0x65,
            Some(profile) => match profile >> 4 & 7 {
                5 => 0x60,
                3 => 0x62,
                2 => 0x63,
                1 => 0x64,
                _ => 0x61,
            },
        }
    }

    /// Table 6-3: the picture's aspect, from which the sample's follows.
    fn sar(&self) -> Option<AspectRatio> {
        self.profile?;
        let (across, down) = match self.aspect {
            2 => (4, 3),
            3 => (16, 9),
            4 => (221, 100),
            _ => return None,
        };
        let (across, down) = (across * self.height, down * self.width);
        let divisor = gcd(across, down);
        Some((across / divisor, down / divisor))
    }

    /// Table 6-4.
    fn step(&self) -> Option<Step> {
        let (numerator, denominator) = match self.rate_code {
            1 => (1001, 24_000),
            2 => (1, 24),
            3 => (1, 25),
            4 => (1001, 30_000),
            5 => (1, 30),
            6 => (1, 50),
            7 => (1001, 60_000),
            8 => (1, 60),
            _ => return None,
        };
        let (times, by) = self.rate_factor;
        Step::from_seconds(numerator * by, denominator * times)
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a.max(1) } else { gcd(b, a % b) }
}

/// The open access unit.
#[derive(Debug, Default)]
struct Unit {
    open: bool,
    pictured: bool,
    sliced: bool,
    /// Sequence header and extensions, start codes included.
    headers: Vec<u8>,
    sequence: Option<Sequence>,
    group: bool,
    temporal_reference: u32,
    intra: bool,
    field: bool,
    paired: bool,
}

/// Syntax of MPEG-2 video (ISO/IEC 13818-2) and MPEG-1 video (ISO/IEC 11172-2).
#[derive(Debug, Default)]
pub(super) struct Mpeg2 {
    active: Option<Sequence>,
    given: Option<Sequence>,
    open: Unit,
}

impl Mpeg2 {
    /// A header that begins an access unit (ISO/IEC 13818-1 2.1.1).
    fn boundary(&mut self) -> Boundary {
        let boundary = if self.open.pictured { Boundary::Cut(self.close_open()) } else { Boundary::None };
        self.open.open = true;
        boundary
    }

    fn picture(&mut self, unit: &[u8]) -> (Boundary, bool) {
        let mut r = BitReader::new(unit.get(1..).unwrap_or_default());
        let (Some(temporal_reference), Some(kind)) = (r.bits(10), r.bits(3)) else { return (Boundary::Skip, false) };
        let second = self.open.pictured
            && self.open.field
            && !self.open.paired
            && self.open.temporal_reference == temporal_reference;
        if second {
            self.open.paired = true;
            return (Boundary::Join, true);
        }
        let boundary = self.boundary();
        self.open.pictured = true;
        self.open.temporal_reference = temporal_reference;
        self.open.intra = kind == 1;
        (boundary, true)
    }

    fn add_header(&mut self, unit: &[u8]) {
        if self.open.headers.len() + unit.len() <= MAX_HEADER_BYTES {
            self.open.headers.extend_from_slice(&[0, 0, 1]);
            self.open.headers.extend_from_slice(unit);
        }
    }

    fn extension(&mut self, unit: &[u8]) {
        match unit.get(1).map(|byte| byte >> 4) {
            Some(1 | 2) if !self.open.pictured => {
                if let Some(sequence) = &mut self.open.sequence {
                    let _ = sequence.extend(unit);
                    self.add_header(unit);
                }
            }
            // Picture coding extension (6.2.3.1): picture_structure 3 is a frame.
            Some(8) if self.open.pictured && !self.open.paired => {
                self.open.field = unit.get(3).is_some_and(|byte| matches!(byte & 3, 1 | 2));
            }
            _ => {}
        }
    }

    fn close_open(&mut self) -> Closed {
        let unit = std::mem::take(&mut self.open);
        if !unit.sliced {
            return Closed::Nothing("access unit without a picture");
        }
        let with_sequence = unit.sequence.is_some();
        if with_sequence {
            self.active = unit.sequence;
        }
        let Some(active) = &self.active else { return Closed::Nothing("picture without parameter sets") };
        // Quantiser matrices and bit rates may change with each repetition; decoders read them in the samples.
        let mut params = None;
        if with_sequence && self.given.as_ref() != Some(active) {
            self.given = Some(active.clone());
            let object_type = active.object_type();
            let config = esds(object_type, true, &unit.headers);
            params = Some(TrackParams {
                codec: Codec::Mpeg2Video,
                codec_string: format!("mp4v.{object_type:02X}"),
                language: None,
                video: Some(VideoParams { width: active.width, height: active.height }),
                audio: None,
                sample_entry: visual(b"mp4v", active.width, active.height, &config, active.sar(), active.colour),
            });
        }
        Closed::Picture(Picture {
            params,
            sync: unit.intra && with_sequence,
            lone_field: unit.field && !unit.paired,
            order: Some(Order {
                count: i64::from(unit.temporal_reference),
                modulus: 1024,
                per_frame: 1,
                restart: unit.group,
            }),
            step: active.step(),
        })
    }
}

impl Syntax for Mpeg2 {
    const START_CODES: bool = true;

    fn unit(&mut self, unit: &[u8]) -> (Boundary, bool) {
        match unit.first() {
            Some(0) => self.picture(unit),
            Some(0xb3) => {
                let boundary = self.boundary();
                self.open.headers.clear();
                self.open.sequence = Sequence::parse(unit);
                self.add_header(unit);
                (boundary, true)
            }
            Some(0xb8) => {
                let boundary = self.boundary();
                self.open.group = true;
                (boundary, true)
            }
            Some(0x01..=0xaf) if self.open.pictured => {
                self.open.sliced = true;
                (Boundary::None, true)
            }
            Some(0xb5) if self.open.open => {
                self.extension(unit);
                (Boundary::None, true)
            }
            // User data, end of sequence.
            Some(0xb2 | 0xb7) if self.open.open => (Boundary::None, true),
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
