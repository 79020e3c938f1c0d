//! HLS playlists from elsewhere, checked (RFC 8216).
//!
//! Comes in: bytes of a playlist, from anyone. Goes out: a multivariant or a media playlist of checked, plain
//! numbers, or a sentence. Pure. The lines and attribute lists are taken apart by quick-m3u8; numbers and dates are
//! read here, because its own are floating-point and refuse `+0000`, which ffmpeg writes.

use crate::media::UtcUs;
use crate::recorder::source::fetch::ByteRange;
use quick_m3u8::config::ParsingOptionsBuilder;
use quick_m3u8::tag::{AttributeValue, TagValue};
use quick_m3u8::{HlsLine, Reader};
use std::sync::Arc;

/// Longest playlist that is read, in bytes after decompression.
pub(in crate::recorder::source) const MAX_PLAYLIST_BYTES: usize = 8 << 20;
/// Longest segment that is believed: an hour.
const MAX_SEGMENT_US: i64 = 3_600_000_000;
/// Most variants and renditions that are looked at.
const MAX_VARIANTS: usize = 256;

/// An init segment's place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::recorder::source) struct MapRef {
    pub(in crate::recorder::source) uri: String,
    pub(in crate::recorder::source) range: Option<ByteRange>,
}

/// A media segment as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::recorder::source) struct Listed {
    /// Media sequence number.
    pub(in crate::recorder::source) sequence: u64,
    pub(in crate::recorder::source) uri: String,
    pub(in crate::recorder::source) range: Option<ByteRange>,
    pub(in crate::recorder::source) duration_us: i64,
    /// EXT-X-DISCONTINUITY stands before it.
    pub(in crate::recorder::source) discontinuity: bool,
    /// Wall time of its first sample: stated, or reckoned from the last one that was.
    pub(in crate::recorder::source) utc: Option<UtcUs>,
    /// Whether `utc` is stated for this very segment.
    pub(in crate::recorder::source) utc_stated: bool,
    /// EXT-X-GAP: listed, but not there.
    pub(in crate::recorder::source) gap: bool,
    pub(in crate::recorder::source) map: Option<Arc<MapRef>>,
}

/// A media playlist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::recorder::source) struct MediaPlaylist {
    pub(in crate::recorder::source) target_us: i64,
    /// EXT-X-ENDLIST: nothing will be added.
    pub(in crate::recorder::source) ended: bool,
    pub(in crate::recorder::source) segments: Vec<Listed>,
}

/// A variant of a multivariant playlist.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::recorder::source) struct Variant {
    pub(in crate::recorder::source) uri: String,
    pub(in crate::recorder::source) bandwidth: u64,
    pub(in crate::recorder::source) codecs: Option<String>,
    /// Width times height.
    pub(in crate::recorder::source) pixels: u64,
    pub(in crate::recorder::source) audio_group: Option<String>,
}

/// An audio rendition (EXT-X-MEDIA with TYPE=AUDIO).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::recorder::source) struct AudioMedia {
    pub(in crate::recorder::source) group: String,
    pub(in crate::recorder::source) name: String,
    /// RFC 5646.
    pub(in crate::recorder::source) language: Option<String>,
    /// `None`: inside the variant itself.
    pub(in crate::recorder::source) uri: Option<String>,
}

/// A multivariant playlist.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::recorder::source) struct Multivariant {
    pub(in crate::recorder::source) variants: Vec<Variant>,
    pub(in crate::recorder::source) audio: Vec<AudioMedia>,
}

/// Either kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::recorder::source) enum Playlist {
    Multivariant(Multivariant),
    Media(MediaPlaylist),
}

/// Why a playlist was refused: a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(in crate::recorder::source) struct PlaylistError(pub(in crate::recorder::source) String);

fn fail<T>(sentence: impl Into<String>) -> Result<T, PlaylistError> {
    Err(PlaylistError(sentence.into()))
}

/// Reads a playlist.
pub(in crate::recorder::source) fn parse(bytes: &[u8]) -> Result<Playlist, PlaylistError> {
    if bytes.len() > MAX_PLAYLIST_BYTES {
        return fail(format!("the playlist is larger than {MAX_PLAYLIST_BYTES} bytes"));
    }
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    if !text.starts_with("#EXTM3U") {
        return fail("this is no playlist: it does not begin with #EXTM3U");
    }
    // No tag is "known": every value stays as written until it is read below.
    let mut reader = Reader::from_str(text, ParsingOptionsBuilder::new().build());
    let mut building = Building::default();
    // A line that cannot be read is passed over by the reader; still, no more turns than there can be lines.
    for _ in 0..=text.len() {
        match reader.read_line() {
            Ok(None) => break,
            Ok(Some(HlsLine::UnknownTag(tag))) => building.tag(tag.name(), tag.value())?,
            Ok(Some(HlsLine::Uri(uri))) => building.uri(uri.trim()),
            Ok(Some(_)) | Err(_) => {}
        }
    }
    building.finish()
}

/// What was read so far.
#[derive(Default)]
struct Building {
    multivariant: Multivariant,
    variant: Option<Variant>,
    target_us: Option<i64>,
    first_sequence: u64,
    ended: bool,
    segments: Vec<Listed>,
    /// Of the segment whose URI has not come yet.
    duration_us: Option<i64>,
    range: Option<(u64, Option<u64>)>,
    discontinuity: bool,
    gap: bool,
    utc: Option<UtcUs>,
    map: Option<Arc<MapRef>>,
    /// End of the byte range before, and of which resource.
    last_range: Option<(String, u64)>,
    /// End of the last segment in wall time.
    utc_end: Option<UtcUs>,
    encrypted: Option<String>,
}

impl Building {
    fn tag(&mut self, name: &str, value: Option<TagValue<'_>>) -> Result<(), PlaylistError> {
        let text = value.and_then(|v| std::str::from_utf8(v.0).ok()).unwrap_or("").trim();
        match name {
            "-X-TARGETDURATION" => self.target_us = decimal_us(text),
            "-X-MEDIA-SEQUENCE" => match text.parse() {
                // Room to count on from it.
                Ok(first) if first < u64::MAX / 2 => self.first_sequence = first,
                _ => return fail("EXT-X-MEDIA-SEQUENCE is no number"),
            },
            "-X-ENDLIST" => self.ended = true,
            "INF" => {
                let seconds = text.split_once(',').map_or(text, |(seconds, _)| seconds);
                self.duration_us = Some(decimal_us(seconds.trim()).unwrap_or(0));
            }
            "-X-BYTERANGE" => self.range = Some(byte_range(text)?),
            "-X-DISCONTINUITY" => self.discontinuity = true,
            "-X-GAP" => self.gap = true,
            "-X-PROGRAM-DATE-TIME" => self.utc = parse_date_time(text),
            "-X-MAP" => {
                let attributes = attributes("EXT-X-MAP", text)?;
                let Some(uri) = attributes.quoted("URI") else { return fail("EXT-X-MAP has no URI") };
                let range = match attributes.quoted("BYTERANGE").map(byte_range).transpose()? {
                    Some((length, offset)) => Some(checked_range(offset.unwrap_or(0), length)?),
                    None => None,
                };
                self.map = Some(Arc::new(MapRef { uri: uri.to_owned(), range }));
            }
            "-X-KEY" => {
                let method = attributes("EXT-X-KEY", text)?.any("METHOD").unwrap_or("").to_owned();
                if method != "NONE" {
                    self.encrypted.get_or_insert(method);
                }
            }
            "-X-SKIP" => return fail("the playlist is a delta update, which was not asked for"),
            "-X-STREAM-INF" => self.variant = stream_inf(text),
            "-X-MEDIA" => self.media(text),
            _ => {}
        }
        Ok(())
    }

    fn media(&mut self, text: &str) {
        let Ok(attributes) = attributes("EXT-X-MEDIA", text) else { return };
        if attributes.any("TYPE") != Some("AUDIO") || self.multivariant.audio.len() >= MAX_VARIANTS {
            return;
        }
        let own = |name: &str| attributes.quoted(name).map(str::to_owned);
        self.multivariant.audio.push(AudioMedia {
            group: own("GROUP-ID").unwrap_or_default(),
            name: own("NAME").unwrap_or_default(),
            language: own("LANGUAGE"),
            uri: own("URI").filter(|u| !u.is_empty()),
        });
    }

    fn uri(&mut self, uri: &str) {
        if uri.is_empty() {
            return;
        }
        if let Some(variant) = self.variant.take() {
            if self.multivariant.variants.len() < MAX_VARIANTS {
                self.multivariant.variants.push(Variant { uri: uri.to_owned(), ..variant });
            }
            return;
        }
        // Without EXTINF it is no segment.
        let Some(duration_us) = self.duration_us.take() else { return };
        let range = self.range.take().and_then(|(length, offset)| {
            let offset = match (offset, &self.last_range) {
                (Some(offset), _) => offset,
                (None, Some((last, end))) if last == uri => *end,
                (None, _) => 0,
            };
            checked_range(offset, length).ok()
        });
        self.last_range = range.map(|r| (uri.to_owned(), r.offset + r.length));
        let discontinuity = std::mem::take(&mut self.discontinuity);
        let stated = self.utc.take();
        let utc = stated.or(if discontinuity { None } else { self.utc_end });
        self.utc_end = utc.map(|utc| utc.plus_us(duration_us));
        self.segments.push(Listed {
            sequence: self.first_sequence + self.segments.len() as u64,
            uri: uri.to_owned(),
            range,
            duration_us,
            discontinuity,
            utc,
            utc_stated: stated.is_some(),
            gap: std::mem::take(&mut self.gap),
            map: self.map.clone(),
        });
    }

    fn finish(mut self) -> Result<Playlist, PlaylistError> {
        if let Some(method) = self.encrypted {
            let method: String = method.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(20).collect();
            return fail(format!("the segments are encrypted (EXT-X-KEY METHOD={method}), which is not supported"));
        }
        if !self.multivariant.variants.is_empty() {
            return Ok(Playlist::Multivariant(self.multivariant));
        }
        let longest = self.segments.iter().map(|s| s.duration_us).max();
        let Some(target_us) = self.target_us.filter(|t| *t > 0).or(longest) else {
            return fail("the playlist has neither variants nor segments nor a target duration");
        };
        // A media sequence that comes after the segments it numbers would have been too late.
        for (n, segment) in (0u64..).zip(&mut self.segments) {
            segment.sequence = self.first_sequence + n;
        }
        Ok(Playlist::Media(MediaPlaylist {
            target_us: target_us.clamp(1_000_000, 60_000_000),
            ended: self.ended,
            segments: self.segments,
        }))
    }
}

fn stream_inf(text: &str) -> Option<Variant> {
    let attributes = attributes("EXT-X-STREAM-INF", text).ok()?;
    let pixels = attributes.any("RESOLUTION").and_then(|r| {
        let (width, height) = r.split_once('x')?;
        Some(u64::from(width.parse::<u32>().ok()?) * u64::from(height.parse::<u32>().ok()?))
    });
    Some(Variant {
        uri: String::new(),
        bandwidth: attributes.any("BANDWIDTH").and_then(|b| b.parse().ok()).unwrap_or(0),
        codecs: attributes.quoted("CODECS").map(str::to_owned),
        pixels: pixels.unwrap_or(0),
        audio_group: attributes.quoted("AUDIO").map(str::to_owned),
    })
}

struct Attributes<'a>(Vec<(&'a str, AttributeValue<'a>)>);

fn attributes<'a>(tag: &str, text: &'a str) -> Result<Attributes<'a>, PlaylistError> {
    // A comma at the end is common and means nothing.
    let text = text.trim_end_matches([',', ' ']);
    match TagValue(text.as_bytes()).try_as_ordered_attribute_list() {
        Ok(list) => Ok(Attributes(list)),
        Err(_) => fail(format!("the attributes of {tag} cannot be read")),
    }
}

impl<'a> Attributes<'a> {
    fn value(&self, name: &str) -> Option<AttributeValue<'a>> {
        self.0.iter().find(|(key, _)| key.trim() == name).map(|(_, value)| *value)
    }

    fn quoted(&self, name: &str) -> Option<&'a str> {
        self.value(name)?.quoted()
    }

    /// The value, quoted or not: the difference is often got wrong.
    fn any(&self, name: &str) -> Option<&'a str> {
        match self.value(name)? {
            AttributeValue::Quoted(text) => Some(text),
            AttributeValue::Unquoted(text) => text.try_as_utf_8().ok().map(str::trim),
        }
    }
}

fn byte_range(text: &str) -> Result<(u64, Option<u64>), PlaylistError> {
    let (length, offset) = match text.split_once('@') {
        Some((length, offset)) => (length, Some(offset)),
        None => (text, None),
    };
    let number = |t: &str| t.trim().parse::<u64>().ok();
    match (number(length), offset.map(number)) {
        (Some(length), None) => Ok((length, None)),
        (Some(length), Some(Some(offset))) => Ok((length, Some(offset))),
        _ => fail("a byte range is not of the form length@offset"),
    }
}

fn checked_range(offset: u64, length: u64) -> Result<ByteRange, PlaylistError> {
    if length == 0 || offset.checked_add(length).is_none() {
        return fail("a byte range is empty or too large");
    }
    Ok(ByteRange { offset, length })
}

/// Seconds with a fraction, as microseconds; at most an hour.
fn decimal_us(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok().filter(|s| *s >= 0)?;
    let us = fraction_us(fraction)?;
    Some(seconds.saturating_mul(1_000_000).saturating_add(us).min(MAX_SEGMENT_US))
}

/// Digits after a decimal point, as microseconds; further digits are cut off.
fn fraction_us(digits: &str) -> Option<i64> {
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let first_six = digits.bytes().chain(std::iter::repeat(b'0')).take(6);
    Some(first_six.fold(0, |us, digit| us * 10 + i64::from(digit - b'0')))
}

/// ISO 8601 as it is met: `2026-11-22T12:00:00.000Z`, with `+00:00`, `+0000`, `+00`, or without a zone (UTC).
pub(in crate::recorder::source) fn parse_date_time(text: &str) -> Option<UtcUs> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let mark = |at: usize, marks: &[u8]| text.as_bytes().get(at).is_some_and(|b| marks.contains(b));
    if !(mark(4, b"-") && mark(7, b"-") && mark(10, b"Tt ") && mark(13, b":") && mark(16, b":")) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    // 60 is a leap second.
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut us = 0;
    if let Some(after) = rest.strip_prefix(['.', ',']) {
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        us = fraction_us(after.get(..digits)?)?;
        rest = after.get(digits..)?;
    }
    let offset_minutes = match rest {
        "" | "Z" | "z" => 0,
        _ => {
            let sign = if rest.starts_with('-') { -1 } else { 1 };
            let digits: String = rest.strip_prefix(['+', '-'])?.chars().filter(|c| *c != ':').collect();
            let value: i64 = digits.parse().ok()?;
            let minutes = match digits.len() {
                2 => value * 60,
                4 if value % 100 < 60 => value / 100 * 60 + value % 100,
                _ => return None,
            };
            if minutes > 18 * 60 {
                return None;
            }
            sign * minutes
        }
    };
    let days = days_since_1970(year, month, day);
    let seconds = ((days * 24 + hour) * 60 + minute - offset_minutes) * 60 + second;
    Some(UtcUs::from_seconds(seconds).plus_us(us))
}

/// Days of the proleptic Gregorian calendar; years begin in March here, so that the leap day is the last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
#[path = "playlist_tests.rs"]
mod tests;
