//! What tables say: PAT and PMT (ISO/IEC 13818-1 2.4.4), TDT and TOT (ETSI EN 300 468 5.2.5, 5.2.6).
//!
//! Comes in: whole sections. Goes out: programs, elementary streams, wall time. Never: trusts a length.

use super::section::crc32;
use crate::media::{Codec, UtcUs};

/// An elementary stream as the PMT lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stream {
    pub pid: u16,
    pub content: Content,
    /// ISO 639-2 code of the first language descriptor.
    pub language: Option<String>,
}

/// What an elementary stream holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Carried(Codec),
    /// What it is, in words.
    Other(String),
}

/// A program as its PMT describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pmt {
    pub pcr_pid: u16,
    pub streams: Vec<Stream>,
}

impl Pmt {
    /// Whether anything of it can be recorded.
    pub fn is_carried(&self) -> bool {
        self.streams.iter().any(|s| matches!(s.content, Content::Carried(_)))
    }
}

/// A section with the long header: its fields, and its body without CRC.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section<'a> {
    /// transport_stream_id or program_number.
    pub id: u16,
    pub version: u8,
    pub number: u8,
    pub last_number: u8,
    pub crc: u32,
    pub body: &'a [u8],
}

/// Why a section is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unused {
    /// It is not valid yet, or of another table.
    Elsewhere,
    /// Its checksum or its length is wrong.
    Damaged,
}

impl<'a> Section<'a> {
    /// Reads a section of table `table_id`.
    pub fn parse(bytes: &'a [u8], table_id: u8) -> Result<Self, Unused> {
        if bytes.first() != Some(&table_id) {
            return Err(Unused::Elsewhere);
        }
        let (rest, crc) = bytes.split_last_chunk::<4>().ok_or(Unused::Damaged)?;
        let (&[_, syntax, _, id_high, id_low, version, number, last_number], body) =
            rest.split_first_chunk::<8>().ok_or(Unused::Damaged)?;
        if syntax & 0x80 == 0 || crc32(bytes) != 0 || number > last_number {
            return Err(Unused::Damaged);
        }
        if version & 1 == 0 {
            return Err(Unused::Elsewhere);
        }
        let id = u16::from_be_bytes([id_high, id_low]);
        let crc = u32::from_be_bytes(*crc);
        Ok(Self { id, version: version >> 1 & 0x1f, number, last_number, crc, body })
    }
}

/// Program numbers and the PIDs of their PMTs.
pub(super) type Programs = Vec<(u16, u16)>;

/// The PAT under way (2.4.4.3): one list of programs out of up to 256 sections.
#[derive(Debug, Default)]
pub(super) struct PatCollector {
    version: u8,
    /// By section_number: CRC and content.
    sections: Vec<Option<(u32, Programs)>>,
}

impl PatCollector {
    /// Takes a section. Gives all programs and their PMT PIDs when the table is whole and was not before.
    pub fn push(&mut self, section: &Section<'_>) -> Option<Programs> {
        let count = usize::from(section.last_number) + 1;
        if self.version != section.version || self.sections.len() != count {
            self.version = section.version;
            self.sections = vec![None; count];
        }
        let slot = self.sections.get_mut(usize::from(section.number))?;
        if slot.as_ref().is_some_and(|(crc, _)| *crc == section.crc) {
            return None;
        }
        let entries = section.body.chunks_exact(4).filter_map(|e| match *e {
            [a, b, c, d] => Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]) & 0x1fff)),
            _ => None,
        });
        // Program 0 is the network, not a program.
        *slot = Some((section.crc, entries.filter(|&(program, _)| program != 0).collect()));
        if self.sections.iter().any(Option::is_none) {
            return None;
        }
        Some(self.sections.iter().flatten().flat_map(|(_, programs)| programs.iter().copied()).collect())
    }
}

/// Reads the body of a PMT section (2.4.4.8); `None` when its lengths do not fit.
pub(super) fn parse_pmt(body: &[u8]) -> Option<Pmt> {
    let (&[pcr_high, pcr_low, info_high, info_low], rest) = body.split_first_chunk::<4>()?;
    let (_, mut rest) = rest.split_at_checked(length12(info_high, info_low))?;
    let mut streams: Vec<Stream> = Vec::new();
    while let Some((&[stream_type, pid_high, pid_low, high, low], after)) = rest.split_first_chunk::<5>() {
        let (info, next) = after.split_at_checked(length12(high, low))?;
        rest = next;
        let pid = u16::from_be_bytes([pid_high, pid_low]) & 0x1fff;
        let reserved = pid < 0x10 || pid == 0x1fff;
        if !reserved && streams.iter().all(|s| s.pid != pid) {
            let (content, language) = describe(stream_type, info);
            streams.push(Stream { pid, content, language });
        }
    }
    Some(Pmt { pcr_pid: u16::from_be_bytes([pcr_high, pcr_low]) & 0x1fff, streams })
}

fn length12(high: u8, low: u8) -> usize {
    usize::from(u16::from_be_bytes([high, low]) & 0x0fff)
}

/// Descriptors: tag and content (2.6.1).
fn descriptors(mut info: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (&[tag, length], rest) = info.split_first_chunk::<2>()?;
        let (content, next) = rest.split_at_checked(usize::from(length))?;
        info = next;
        Some((tag, content))
    })
}

/// What a stream of this type with these descriptors is (2.4.4.10; EN 300 468 6.1; ATSC A/53 part 3; SCTE 35).
fn describe(stream_type: u8, info: &[u8]) -> (Content, Option<String>) {
    let find = |wanted: u8| descriptors(info).find(|&(tag, _)| tag == wanted).map(|(_, content)| content);
    let mut language = find(0x0a).and_then(language_of);
    let other = |what: &str| Content::Other(what.to_owned());
    let content = match stream_type {
        0x01 | 0x02 => Content::Carried(Codec::Mpeg2Video),
        0x03 | 0x04 => Content::Carried(Codec::MpegAudio),
        0x0f => Content::Carried(Codec::Aac),
        0x1b => Content::Carried(Codec::H264),
        0x24 => Content::Carried(Codec::H265),
        0x81 => Content::Carried(Codec::Ac3),
        0x87 => Content::Carried(Codec::Eac3),
        0x05 if find(0x6f).is_some() => other("application signalling (AIT)"),
        0x05 => other("private sections"),
        0x08 | 0x0a..=0x0d => other("DSM-CC"),
        0x10 => other("MPEG-4 part 2 video"),
        0x11 => other("AAC in LATM"),
        0x15 if registration(find(0x26).unwrap_or_default(), b"ID3 ") => other("timed ID3 metadata"),
        0x15 => other("timed metadata"),
        0x16..=0x19 => other("metadata"),
        0x1c => other("raw MPEG-4 audio"),
        0x1f | 0x20 | 0x22 | 0x23 => other("a further layer or view of H.264"),
        0x21 => other("JPEG 2000 video"),
        0x25..=0x2a => other("a further layer of H.265"),
        0x33 => other("H.266 video"),
        0x42 | 0xd2 | 0xd4 => other("AVS video"),
        0x86 => other("SCTE-35"),
        0xcf | 0xdb | 0xc1 | 0xc2 => other("encrypted samples (SAMPLE-AES)"),
        0xd1 => other("Dirac video"),
        0xea => other("VC-1 video"),
        _ => {
            let content = describe_private(info);
            if let Content::Other(what) = &content
                && language.is_none()
            {
                language = match what.as_str() {
                    "DVB subtitles" => find(0x59).and_then(language_of),
                    "teletext" => find(0x56).and_then(language_of),
                    _ => None,
                };
            }
            match content {
                Content::Other(what) if what.is_empty() => {
                    Content::Other(format!("private data, stream type {stream_type:#04x}"))
                }
                content => content,
            }
        }
    };
    (content, language)
}

/// A private stream by its descriptors; empty words when they do not tell.
fn describe_private(info: &[u8]) -> Content {
    let mut what = "";
    for (tag, content) in descriptors(info) {
        match tag {
            0x6a => return Content::Carried(Codec::Ac3),
            0x7a => return Content::Carried(Codec::Eac3),
            0x7c => return Content::Carried(Codec::Aac),
            0x05 => match content {
                [b'A', b'C', b'-', b'3', ..] => return Content::Carried(Codec::Ac3),
                [b'E', b'A', b'C', b'3', ..] => return Content::Carried(Codec::Eac3),
                [b'H', b'E', b'V', b'C', ..] => return Content::Carried(Codec::H265),
                [b'O', b'p', b'u', b's', ..] => what = "Opus audio",
                [b'A', b'V', b'0', b'1', ..] => what = "AV1 video",
                [b'V', b'C', b'-', b'1', ..] => what = "VC-1 video",
                [b'A', b'C', b'-', b'4', ..] => what = "AC-4 audio",
                [b'D', b'T', b'S', b'1'..=b'3', ..] => what = "DTS audio",
                [b'B', b'S', b'S', b'D', ..] => what = "SMPTE 302M audio",
                [b'I', b'D', b'3', b' ', ..] => what = "timed ID3 metadata",
                [b'K', b'L', b'V', b'A', ..] => what = "KLV metadata",
                [b'C', b'U', b'E', b'I', ..] => what = "SCTE-35",
                _ => {}
            },
            0x45 => what = "VBI data",
            0x46 => what = "VBI teletext",
            0x56 => what = "teletext",
            0x59 => what = "DVB subtitles",
            0x73 | 0x7b => what = "DTS audio",
            0x7f if content.first() == Some(&0x15) => what = "AC-4 audio",
            0x7f if content.first() == Some(&0x20) => what = "TTML subtitles",
            _ => {}
        }
    }
    Content::Other(what.to_owned())
}

/// Whether a metadata descriptor names this format (2.6.60).
fn registration(content: &[u8], format: &[u8; 4]) -> bool {
    content.windows(4).any(|w| w == format)
}

fn language_of(content: &[u8]) -> Option<String> {
    let code = content.get(..3)?.to_ascii_lowercase();
    let letters = code.iter().all(u8::is_ascii_lowercase);
    String::from_utf8(code).ok().filter(|code| letters && code != "und")
}

/// UTC of a TDT or TOT section: Modified Julian Date and six BCD digits (EN 300 468 annex C).
pub(super) fn parse_time(section: &[u8]) -> Result<UtcUs, Unused> {
    match section.first() {
        Some(0x70) => {}
        Some(0x73) if crc32(section) == 0 => {}
        Some(0x73) => return Err(Unused::Damaged),
        _ => return Err(Unused::Elsewhere),
    }
    let Some(&[mjd_high, mjd_low, hour, minute, second]) = section.get(3..).and_then(|s| s.first_chunk::<5>()) else {
        return Err(Unused::Damaged);
    };
    let bcd = |byte: u8, below: i64| {
        let (tens, ones) = (byte >> 4, byte & 0x0f);
        let value = i64::from(tens) * 10 + i64::from(ones);
        (tens < 10 && ones < 10 && value < below).then_some(value).ok_or(Unused::Damaged)
    };
    const MJD_OF_1970: i64 = 40_587;
    let days = i64::from(u16::from_be_bytes([mjd_high, mjd_low])) - MJD_OF_1970;
    if days < 0 {
        return Err(Unused::Damaged);
    }
    Ok(UtcUs::from_seconds(((days * 24 + bcd(hour, 24)?) * 60 + bcd(minute, 60)?) * 60 + bcd(second, 60)?))
}
