//! Tracks: what kind, which codec, with which parameters.

use super::ids::InitHash;
use std::fmt;

/// Video or audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrackKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// Name of a track within its stream: kind and number from 1, written `v1`, `a2`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackId {
    /// Video or audio.
    pub kind: TrackKind,
    /// From 1, in the order in which the source lists them.
    pub number: u8,
}

impl TrackId {
    /// The `number`th video track.
    pub const fn video(number: u8) -> Self {
        Self { kind: TrackKind::Video, number }
    }

    /// The `number`th audio track.
    pub const fn audio(number: u8) -> Self {
        Self { kind: TrackKind::Audio, number }
    }

    /// Reads `v1`, `a12`: a letter, then 1 to 255 without leading zero.
    pub fn parse(text: &str) -> Option<Self> {
        let kind = match text.as_bytes().first()? {
            b'v' => TrackKind::Video,
            b'a' => TrackKind::Audio,
            _ => return None,
        };
        let digits = &text[1..];
        if digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Some(Self { kind, number: digits.parse().ok()? })
    }
}

impl fmt::Display for TrackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.kind {
            TrackKind::Video => 'v',
            TrackKind::Audio => 'a',
        };
        write!(f, "{letter}{}", self.number)
    }
}

impl fmt::Debug for TrackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for TrackId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for TrackId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        TrackId::parse(&text).ok_or_else(|| serde::de::Error::custom("a track is written like v1 or a2"))
    }
}

/// Codecs that are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// ISO/IEC 14496-10.
    H264,
    /// ISO/IEC 23008-2.
    H265,
    /// ISO/IEC 13818-2 (MPEG-1 video too).
    Mpeg2Video,
    /// ISO/IEC 14496-3, as ADTS in MPEG-TS.
    Aac,
    /// ISO/IEC 11172-3 and 13818-3: layer I, II (MP2) and III (MP3).
    MpegAudio,
    /// ETSI TS 102 366.
    Ac3,
    /// ETSI TS 102 366 annex E.
    Eac3,
}

impl Codec {
    /// Video or audio.
    pub const fn kind(self) -> TrackKind {
        match self {
            Codec::H264 | Codec::H265 | Codec::Mpeg2Video => TrackKind::Video,
            Codec::Aac | Codec::MpegAudio | Codec::Ac3 | Codec::Eac3 => TrackKind::Audio,
        }
    }
}

/// Parameters of a video track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct VideoParams {
    /// Width of the cropped picture, in samples.
    pub width: u32,
    /// Height of the cropped picture, in lines (both fields together).
    pub height: u32,
}

/// Parameters of an audio track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct AudioParams {
    /// In Hz.
    pub sample_rate: u32,
    /// Number of channels, LFE included.
    pub channels: u16,
}

/// All that an init segment says about its one track.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TrackParams {
    /// Codec.
    pub codec: Codec,
    /// For `CODECS`: RFC 6381, for instance `avc1.640028`, `mp4a.40.2`, `ec-3`.
    pub codec_string: String,
    /// ISO 639-2/T, three lower-case letters; `None` when the source does not say (`und`).
    pub language: Option<String>,
    /// Set for video tracks.
    pub video: Option<VideoParams>,
    /// Set for audio tracks.
    pub audio: Option<AudioParams>,
    /// The whole sample entry box (`avc1`, `mp4a` ...; ISO/IEC 14496-12 8.5.2), as it stands in `stsd`.
    #[serde(with = "hex_bytes")]
    pub sample_entry: Vec<u8>,
}

impl TrackParams {
    /// Video or audio.
    pub const fn kind(&self) -> TrackKind {
        self.codec.kind()
    }
}

/// An init segment's name and what it says.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct InitInfo {
    /// Content hash of the init segment.
    pub hash: InitHash,
    /// What it says.
    pub params: TrackParams,
}

/// An elementary stream of a source that is not recorded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Uncarried {
    /// Where it is in the source, for instance `pid 0x102`.
    pub place: String,
    /// What it is, for instance `DVB subtitles`.
    pub what: String,
    /// ISO 639-2, when the source says.
    pub language: Option<String>,
}

mod hex_bytes {
    pub fn serialize<S: serde::Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&hex::encode(bytes))
    }

    pub fn deserialize<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(d)?;
        hex::decode(text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn track_ids_read_back() {
        for id in [TrackId::video(1), TrackId::audio(255)] {
            assert_eq!(TrackId::parse(&id.to_string()), Some(id));
        }
        for bad in ["", "v", "v0", "a01", "a256", "x1", "v-1", "v1a", "é1"] {
            assert_eq!(TrackId::parse(bad), None, "{bad:?}");
        }
    }
}
