//! The segment: the unit of recording, one fragment per track, one index row, one object.
//!
//! An object's key says stream, run, epoch, sequence, UTC start and duration, so that the bucket
//! alone restores the index; the same key without its folders names the segment in URLs.

use super::ids::{InitHash, ObjectKey, RunId, StreamName};
use super::sample::SampleTable;
use super::time::{Ticks, UtcRange, UtcUs};
use super::track::{TrackId, TrackKind};
use std::fmt;

/// No segment is longer than this in wall time; window queries look back this far.
pub const LONGEST_SEGMENT_US: i64 = 120_000_000;

/// One track's share of a segment: `prft` + `moof` + `mdat`, contiguous in the object.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TrackPart {
    /// Which track.
    pub track: TrackId,
    /// Init segment that its samples need.
    pub init: InitHash,
    /// First byte in the object.
    pub offset: u64,
    /// Bytes, `prft` to the end of `mdat`.
    pub length: u64,
    /// Bytes from `offset` to the first sample; the samples fill the rest.
    pub payload_offset: u32,
    /// `tfdt`: DTS of the first sample.
    pub decode_start: Ticks,
    /// Earliest PTS.
    pub presentation_start: Ticks,
    /// Sum of the sample durations.
    pub duration: Ticks,
    /// Number of samples.
    pub sample_count: u32,
    /// Number of sync samples.
    pub sync_count: u32,
    /// Whether the first sample is a sync sample.
    pub starts_with_sync: bool,
    /// Runs of equal durations, see [`SampleTable::duration_runs`].
    pub duration_runs: u32,
    /// Runs of equal composition offsets, see [`SampleTable::composition_runs`].
    pub composition_runs: u32,
}

impl TrackPart {
    /// Bytes of all samples.
    pub const fn payload_bytes(&self) -> u64 {
        self.length - self.payload_offset as u64
    }

    /// DTS at which the next part begins when nothing is missing.
    pub fn decode_end(&self) -> Ticks {
        self.decode_start + self.duration
    }
}

/// One recorded segment: what its index row says.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Segment {
    /// Stream, run, epoch, number and time.
    #[serde(flatten)]
    pub id: SegmentId,
    /// Discontinuities of the stream up to and with the one before this segment, if there is one:
    /// a segment whose number differs from its predecessor's follows a discontinuity (RFC 8216 4.4.4.3).
    pub discontinuity: u64,
    /// Media time of `id.start`: the PTS of the lead track's first sync sample. Any sample's wall time is
    /// `id.start + (pts - anchor)`.
    pub anchor: Ticks,
    /// Object that holds it.
    pub object: ObjectKey,
    /// First byte of the segment in its object.
    pub object_offset: u64,
    /// Bytes of the segment.
    pub object_length: u64,
    /// Video first, then audio, each by number.
    pub tracks: Vec<TrackPart>,
}

impl Segment {
    /// Wall time covered.
    pub fn range(&self) -> UtcRange {
        UtcRange::new(self.id.start, self.id.end())
    }

    /// The part of `track`, if the segment has it.
    pub fn part(&self, track: TrackId) -> Option<&TrackPart> {
        self.tracks.iter().find(|p| p.track == track)
    }

    /// The track that segments are cut by: the first video track, else the first audio track.
    pub fn lead(&self) -> Option<&TrackPart> {
        self.tracks.iter().find(|p| p.track.kind == TrackKind::Video).or_else(|| self.tracks.first())
    }

    /// The longest of its durations, on the wall or of a track, in microseconds.
    pub fn longest_us(&self) -> i64 {
        self.tracks.iter().map(|p| p.duration.to_us()).fold(self.id.duration_us, i64::max)
    }

    /// Wall time of a media time inside this segment.
    pub fn utc_of(&self, media: Ticks) -> UtcUs {
        self.id.start.plus_us((media - self.anchor).to_us())
    }

    /// Media time of a wall time inside this segment.
    pub fn media_of(&self, utc: UtcUs) -> Ticks {
        self.anchor + Ticks::from_us(utc.since(self.id.start))
    }
}

/// A segment with its sample tables, `tables[i]` belonging to `segment.tracks[i]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentWithTables {
    /// The row.
    pub segment: Segment,
    /// One table per part, in the order of the parts.
    pub tables: Vec<SampleTable>,
}

/// What an object's key says of the segment inside.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SegmentId {
    /// Stream.
    pub stream: StreamName,
    /// Run.
    pub run: RunId,
    /// Epoch of the writer's lease. Of two segments with one sequence the higher epoch holds.
    pub epoch: u64,
    /// Dense and monotonic per stream: the HLS media sequence number.
    pub sequence: u64,
    /// Wall time of the first picture.
    pub start: UtcUs,
    /// Wall time covered, in microseconds; 1 to [`LONGEST_SEGMENT_US`].
    pub duration_us: i64,
}

impl SegmentId {
    /// First moment after the segment.
    pub const fn end(&self) -> UtcUs {
        self.start.plus_us(self.duration_us)
    }

    /// The last component of the object's key, without extension: unique within the stream.
    pub fn base_name(&self) -> BaseName<'_> {
        BaseName(self)
    }

    /// `{stream}/{YYYY}/{MM}/{DD}/{HH}/{base}.cmfs`, by the UTC hour in which the segment starts.
    /// `None` for a start outside the years 1970 to 9999.
    pub fn object_key(&self) -> Option<ObjectKey> {
        let (year, month, day, hour) = civil_hour(self.start)?;
        ObjectKey::parse(&format!("{}/{year:04}/{month:02}/{day:02}/{hour:02}/{}.cmfs", self.stream, self.base_name()))
    }

    /// Reads a base name back: the five numbers in exactly the form that is printed.
    pub fn parse_base_name(stream: &StreamName, base: &str) -> Option<Self> {
        let mut fields = base.split('-');
        let mut number = || fields.next().filter(|f| f.bytes().all(|b| b.is_ascii_digit()) && f.len() <= 19);
        let sequence = number()?.parse().ok()?;
        let epoch = number()?.parse().ok()?;
        let start = UtcUs(number()?.parse().ok()?);
        let duration_us = number()?.parse().ok()?;
        let run = RunId::parse(fields.next()?)?;
        if fields.next().is_some() || !(1..=LONGEST_SEGMENT_US).contains(&duration_us) {
            return None;
        }
        let id = Self { stream: stream.clone(), run, epoch, sequence, start, duration_us };
        // One spelling only: an object and a cache entry have one name.
        (id.base_name().to_string() == base).then_some(id)
    }

    /// Whether `key` is [`SegmentId::object_key`]; quicker than to make that.
    pub fn is_key(&self, key: &ObjectKey) -> bool {
        let mut numbers = itoa::Buffer::new();
        let mut rest = key.as_str();
        let mut eat = |text: &str| match rest.strip_prefix(text) {
            Some(after) => {
                rest = after;
                true
            }
            None => false,
        };
        let mut padded = |eat: &mut dyn FnMut(&str) -> bool, value: u64, digits: usize| {
            let text = numbers.format(value);
            (text.len()..digits).all(|_| eat("0")) && eat(text)
        };
        let Some((year, month, day, hour)) = civil_hour(self.start) else { return false };
        let in_folder = eat(self.stream.as_str())
            && [(year, 4), (month, 2), (day, 2), (hour, 2)]
                .into_iter()
                .all(|(value, digits)| eat("/") && padded(&mut eat, value.into(), digits));
        if !in_folder || !eat("/") || !padded(&mut eat, self.sequence, 10) {
            return false;
        }
        let mut signed = itoa::Buffer::new();
        let named = eat("-")
            && padded(&mut eat, self.epoch, 0)
            && eat("-")
            && eat(signed.format(self.start.0))
            && eat("-")
            && eat(signed.format(self.duration_us))
            && eat("-");
        named && rest.strip_suffix(".cmfs").and_then(RunId::parse) == Some(self.run)
    }

    /// Reads an object's key back.
    pub fn parse_object_key(key: &ObjectKey) -> Option<Self> {
        let mut parts = key.as_str().rsplitn(6, '/');
        let base = parts.next()?.strip_suffix(".cmfs")?;
        let stream = parts.nth(4)?;
        let id = Self::parse_base_name(&StreamName::parse(stream).ok()?, base)?;
        (id.object_key()? == *key).then_some(id)
    }
}

/// Prints `{sequence}-{epoch}-{start_us}-{duration_us}-{run}`.
pub struct BaseName<'a>(&'a SegmentId);

impl fmt::Display for BaseName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.0;
        write!(f, "{:010}-{}-{}-{}-{}", id.sequence, id.epoch, id.start.0, id.duration_us, id.run)
    }
}

/// Year, month, day and hour of a moment, in UTC; `None` outside 1970 to 9999.
/// Days to civil date after Hinnant, "chrono-Compatible Low-Level Date Algorithms".
pub fn civil_hour(at: UtcUs) -> Option<(u32, u32, u32, u32)> {
    let seconds = at.seconds();
    if !(0..253_402_300_800).contains(&seconds) {
        return None;
    }
    let hour = (seconds % 86_400 / 3600) as u32;
    let z = seconds / 86_400 + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = (if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 }) as u32;
    let year = (year_of_era + era * 400 + i64::from(month <= 2)) as u32;
    Some((year, month, day, hour))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_read_back(seq in 0u64..1 << 60, epoch in 0u64..1 << 40, start in 0i64..253_402_300_799_999_999, dur in 1i64..=LONGEST_SEGMENT_US, run in any::<u128>()) {
            let id = SegmentId { stream: StreamName::parse("sport/uhd-1").unwrap(), run: RunId(run), epoch, sequence: seq, start: UtcUs(start), duration_us: dur };
            let key = id.object_key().unwrap();
            prop_assert!(id.is_key(&key));
            prop_assert_eq!(SegmentId::parse_object_key(&key), Some(id));
        }

        #[test]
        fn a_key_with_another_byte_is_another_key(seq in 0u64..1 << 40, start in 0i64..1 << 52, at in 0usize..140, byte in "[0-9a-f/.-]") {
            let id = SegmentId { stream: StreamName::parse("sport/uhd-1").unwrap(), run: RunId(7 << 100), epoch: 10, sequence: seq, start: UtcUs(start), duration_us: 6_000_000 };
            let mut text = id.object_key().unwrap().to_string();
            let at = at % text.len();
            text.replace_range(at..at + 1, &byte);
            if let Some(key) = ObjectKey::parse(&text) {
                prop_assert_eq!(id.is_key(&key), id.object_key().as_ref() == Some(&key));
            }
        }

        #[test]
        fn civil_dates_agree_with_jiff(seconds in 0i64..253_402_300_800) {
            let zoned = jiff::Timestamp::from_second(seconds).ok().map(|t| t.to_zoned(jiff::tz::TimeZone::UTC));
            if let Some(z) = zoned {
                prop_assert_eq!(civil_hour(UtcUs::from_seconds(seconds)), Some((z.year() as u32, z.month() as u32, z.day() as u32, z.hour() as u32)));
            }
        }
    }

    #[test]
    fn a_key_has_one_spelling() {
        let stream = StreamName::parse("ort").unwrap();
        let good = "0000000007-1-1409148900000000-6000000-0192000000007000800000000000000f";
        assert!(SegmentId::parse_base_name(&stream, good).is_some());
        for bad in [
            "7-1-1409148900000000-6000000-0192000000007000800000000000000f",
            "0000000007-01-1409148900000000-6000000-0192000000007000800000000000000f",
            "0000000007-1-1409148900000000-0-0192000000007000800000000000000f",
            "0000000007-1--5-6000000-0192000000007000800000000000000f",
            "0000000007-1-1409148900000000-6000000-0192000000007000800000000000000f-",
            "",
        ] {
            assert!(SegmentId::parse_base_name(&stream, bad).is_none(), "{bad:?} was accepted");
        }
    }
}
