//! Fragments: `moof` (8.8.4) read without trust, `prft` + `moof` + `mdat` header written compactly.
//!
//! Comes in: bytes of a `moof`, or a sample table. Goes out: track runs whose samples are read one by one, or
//! bytes of a size that is known before. Never: memory for samples that a run only claims to have.

use super::CmafError;
use super::boxes::{BoxRef, Boxes, Cursor, put_box, put_full, put32, put64};
use super::checksum::{CHECKSUM_BOX_BYTES, put_checksum_box};
use super::init::{Defaults, OUR_TRACK};
use crate::media::{SampleTable, Ticks, UtcUs};

/// `sample_depends_on` = 2: depends on no other (8.8.3.1).
const FLAGS_SYNC: u32 = 0x0200_0000;
/// `sample_depends_on` = 1, `sample_is_non_sync_sample` = 1.
const FLAGS_NON_SYNC: u32 = 0x0101_0000;

/// Whether decoding can start at a sample with these flags. A sample that depends on others cannot be one,
/// whatever its non-sync bit says: some packagers leave that bit unset.
pub(super) const fn is_sync(flags: u32) -> bool {
    flags & 0x0001_0000 == 0 && flags & 0x0300_0000 != 0x0100_0000
}

/// A track fragment (8.8.6).
#[derive(Debug, Clone)]
pub(super) struct TrackFragment<'a> {
    pub track_id: u32,
    pub base_data_offset: Option<u64>,
    pub default_base_is_moof: bool,
    pub description: Option<u32>,
    pub duration: Option<u32>,
    pub size: Option<u32>,
    pub flags: Option<u32>,
    /// `tfdt`, and whether it has 32 bits only.
    pub decode_time: Option<(u64, bool)>,
    /// There is sample encryption information (ISO/IEC 23001-7).
    pub encrypted: bool,
    pub runs: Vec<Run<'a>>,
}

impl TrackFragment<'_> {
    /// What holds for samples that do not say it themselves.
    pub(super) fn defaults(&self, track: Defaults) -> Defaults {
        Defaults {
            description: self.description.unwrap_or(track.description),
            duration: self.duration.unwrap_or(track.duration),
            size: self.size.unwrap_or(track.size),
            flags: self.flags.unwrap_or(track.flags),
        }
    }
}

/// A track run (8.8.8).
#[derive(Debug, Clone, Copy)]
pub(super) struct Run<'a> {
    pub count: u32,
    pub data_offset: Option<i32>,
    first_flags: Option<u32>,
    fields: u32,
    entries: Cursor<'a>,
}

/// A sample as a run describes it, in units of the track's timescale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunSample {
    pub duration: u32,
    pub size: u32,
    pub flags: u32,
    pub composition_offset: i32,
}

impl<'a> Run<'a> {
    /// The samples, at most [`Run::count`]; the bytes for all of them are there.
    pub(super) fn samples(&self, defaults: Defaults) -> impl Iterator<Item = Result<RunSample, CmafError>> + use<'a> {
        let Run { count, first_flags, fields, mut entries, .. } = *self;
        (0..count).map(move |number| {
            let mut field = |bit: u32, default: u32| if fields & bit == 0 { Ok(default) } else { entries.u32() };
            let duration = field(0x100, defaults.duration)?;
            let size = field(0x200, defaults.size)?;
            let default_flags = first_flags.filter(|_| number == 0).unwrap_or(defaults.flags);
            let flags = field(0x400, default_flags)?;
            // Version 0 is unsigned, but no real offset needs the highest bit, and old writers meant a sign.
            let composition_offset = field(0x800, 0)? as i32;
            Ok(RunSample { duration, size, flags, composition_offset })
        })
    }
}

/// Reads the track fragments of a `moof` body.
pub(super) fn read_moof(moof: &[u8]) -> Result<Vec<TrackFragment<'_>>, CmafError> {
    let mut fragments = Vec::new();
    for found in Boxes::children(moof) {
        let found = found?;
        if found.kind == *b"traf" {
            fragments.push(read_traf(found.body)?);
        }
    }
    Ok(fragments)
}

fn read_traf(traf: &[u8]) -> Result<TrackFragment<'_>, CmafError> {
    let tfhd = super::boxes::need(traf, b"tfhd", "traf without tfhd")?;
    let (_, flags, mut cursor) = tfhd.full()?;
    let track_id = cursor.u32()?;
    let base_data_offset = if flags & 0x1 == 0 { None } else { Some(cursor.u64()?) };
    let mut field = |bit: u32| if flags & bit == 0 { Ok(None) } else { cursor.u32().map(Some) };
    let mut fragment = TrackFragment {
        track_id,
        base_data_offset,
        default_base_is_moof: flags & 0x2_0000 != 0,
        description: field(0x2)?,
        duration: field(0x8)?,
        size: field(0x10)?,
        flags: field(0x20)?,
        decode_time: None,
        encrypted: false,
        runs: Vec::new(),
    };
    for found in Boxes::children(traf) {
        let found = found?;
        match &found.kind {
            b"tfdt" => {
                let (version, _, mut cursor) = found.full()?;
                fragment.decode_time = Some((cursor.versioned(version)?, version == 0));
            }
            b"trun" => fragment.runs.push(read_trun(&found)?),
            b"senc" => fragment.encrypted = true,
            _ => {}
        }
    }
    Ok(fragment)
}

fn read_trun<'a>(trun: &BoxRef<'a>) -> Result<Run<'a>, CmafError> {
    let (_, fields, mut cursor) = trun.full()?;
    let count = cursor.u32()?;
    let data_offset = if fields & 0x1 == 0 { None } else { Some(cursor.i32()?) };
    let first_flags = if fields & 0x4 == 0 { None } else { Some(cursor.u32()?) };
    let entry_bytes = u64::from((fields & 0xf00).count_ones()) * 4;
    if u64::from(count) * entry_bytes > cursor.0.len() as u64 {
        return Err(CmafError::Damaged("a run of more samples than it describes"));
    }
    Ok(Run { count, data_offset, first_flags, fields, entries: cursor })
}

/// How a table is written: what is equal for all samples stands once in `tfhd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    duration: Option<u32>,
    size: Option<u32>,
    flags: Flags,
    composition: bool,
    count: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flags {
    All(u32),
    FirstAndRest(u32, u32),
    Each,
}

const fn sample_flags(sync: bool) -> u32 {
    if sync { FLAGS_SYNC } else { FLAGS_NON_SYNC }
}

/// `prft` of version 1.
pub(super) const PRFT_BYTES: usize = 32;
/// Header of `mdat`.
const MDAT_HEADER_BYTES: usize = 8;
/// Flags of `prft`: the UTC time is, up to a small constant, that of the experience at `media_time` (8.16.5).
const PRFT_REAL_TIME: u32 = 24;

impl Layout {
    pub(super) fn of(table: &SampleTable) -> Self {
        let samples = table.samples.as_slice();
        let first = samples.first();
        let rest = samples.get(1..).unwrap_or_default();
        let flags = match (first.map(|s| s.sync), rest.first().map(|s| s.sync)) {
            (Some(first), Some(second)) if rest.iter().all(|s| s.sync == second) => {
                if first == second {
                    Flags::All(sample_flags(first))
                } else {
                    Flags::FirstAndRest(sample_flags(first), sample_flags(second))
                }
            }
            (Some(first), None) => Flags::All(sample_flags(first)),
            _ => Flags::Each,
        };
        Self {
            duration: first.map(|s| s.duration).filter(|&d| rest.iter().all(|s| s.duration == d)),
            size: first.map(|s| s.size).filter(|&z| rest.iter().all(|s| s.size == z)),
            flags,
            composition: samples.iter().any(|s| s.composition_offset != 0),
            count: samples.len(),
        }
    }

    const fn run_fields(&self) -> u32 {
        let flags = match self.flags {
            Flags::All(_) => 0,
            Flags::FirstAndRest(..) => 0x4,
            Flags::Each => 0x400,
        };
        0x1 | flags
            | if self.duration.is_none() { 0x100 } else { 0 }
            | if self.size.is_none() { 0x200 } else { 0 }
            | if self.composition { 0x800 } else { 0 }
    }

    const fn header_fields(&self) -> u32 {
        0x2_0000
            | if self.duration.is_some() { 0x8 } else { 0 }
            | if self.size.is_some() { 0x10 } else { 0 }
            | if matches!(self.flags, Flags::Each) { 0 } else { 0x20 }
    }

    /// Bytes of `moof`.
    const fn moof_bytes(&self) -> usize {
        let tfhd = 16 + 4 * (self.header_fields() & 0x38).count_ones() as usize;
        let trun = 20 + 4 * (self.run_fields() & 0x4).count_ones() as usize;
        let entries = 4 * (self.run_fields() & 0xf00).count_ones() as usize * self.count;
        8 + 16 + 8 + tfhd + 20 + trun + entries + CHECKSUM_BOX_BYTES
    }

    /// Bytes from the beginning of `prft` to the first sample.
    pub(super) const fn head_bytes(&self) -> usize {
        PRFT_BYTES + self.moof_bytes() + MDAT_HEADER_BYTES
    }
}

/// What a fragment's head says besides its samples.
#[derive(Debug, Clone, Copy)]
pub(super) struct FragmentTimes {
    pub sequence_number: u32,
    pub decode_start: u64,
    /// Presentation time that `ntp_timestamp` belongs to.
    pub media_time: u64,
    pub ntp_timestamp: u64,
}

/// NTP time (RFC 5905 6): seconds since 1900 modulo 2^32, then binary fractions.
pub(super) fn ntp_timestamp(at: UtcUs) -> u64 {
    const SECONDS_1900_TO_1970: i64 = 2_208_988_800;
    let seconds = at.seconds().wrapping_add(SECONDS_1900_TO_1970) as u32;
    let fraction = ((at.0.rem_euclid(1_000_000) as u64) << 32) / 1_000_000;
    u64::from(seconds) << 32 | fraction
}

/// Appends `prft` (8.16.5), `moof` (8.8.4: `mfhd`, `traf` with `tfhd`, `tfdt`, one `trun`; an empty checksum) and the
/// header of `mdat` (8.1.1): exactly [`Layout::head_bytes`] bytes. `payload_bytes` is below 4 GiB less the header.
pub(super) fn put_head(
    out: &mut Vec<u8>,
    layout: &Layout,
    table: &SampleTable,
    times: FragmentTimes,
    payload_bytes: u32,
) {
    put_full(out, b"prft", 1, PRFT_REAL_TIME, |out| {
        put32(out, OUR_TRACK);
        put64(out, times.ntp_timestamp);
        put64(out, times.media_time);
    });
    put_box(out, b"moof", |out| {
        put_full(out, b"mfhd", 0, 0, |out| put32(out, times.sequence_number));
        put_box(out, b"traf", |out| {
            put_full(out, b"tfhd", 0, layout.header_fields(), |out| {
                put32(out, OUR_TRACK);
                layout.duration.into_iter().chain(layout.size).for_each(|v| put32(out, v));
                match layout.flags {
                    Flags::All(flags) | Flags::FirstAndRest(_, flags) => put32(out, flags),
                    Flags::Each => {}
                }
            });
            put_full(out, b"tfdt", 1, 0, |out| put64(out, times.decode_start));
            put_full(out, b"trun", 1, layout.run_fields(), |out| {
                put32(out, table.samples.len() as u32);
                put32(out, (layout.moof_bytes() + MDAT_HEADER_BYTES) as u32);
                if let Flags::FirstAndRest(first, _) = layout.flags {
                    put32(out, first);
                }
                for sample in &table.samples {
                    if layout.duration.is_none() {
                        put32(out, sample.duration);
                    }
                    if layout.size.is_none() {
                        put32(out, sample.size);
                    }
                    if matches!(layout.flags, Flags::Each) {
                        put32(out, sample_flags(sample.sync));
                    }
                    if layout.composition {
                        put32(out, sample.composition_offset as u32);
                    }
                }
            });
        });
        put_checksum_box(out);
    });
    put32(out, payload_bytes + MDAT_HEADER_BYTES as u32);
    out.extend_from_slice(b"mdat");
}

/// Earliest presentation time of samples of which the first is decoded at `decode_start`.
pub(super) fn presentation_start(decode_start: Ticks, table: &SampleTable) -> Ticks {
    let mut dts = decode_start;
    let mut earliest: Option<Ticks> = None;
    for sample in &table.samples {
        let pts = dts + Ticks(i64::from(sample.composition_offset));
        earliest = Some(earliest.map_or(pts, |e| e.min(pts)));
        dts = dts + Ticks(i64::from(sample.duration));
    }
    earliest.unwrap_or(decode_start)
}

/// The `prft` of a fragment: NTP time and media time.
pub(super) fn read_prft(prft: &BoxRef<'_>) -> Result<(u64, u64), CmafError> {
    let (version, _, mut cursor) = prft.full()?;
    cursor.u32()?;
    Ok((cursor.u64()?, cursor.versioned(version)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ntp_counts_from_1900_and_begins_anew_in_2036() {
        assert_eq!(ntp_timestamp(UtcUs(0)), 2_208_988_800 << 32);
        assert_eq!(ntp_timestamp(UtcUs(500_000)), 2_208_988_800 << 32 | 1 << 31);
        assert_eq!(ntp_timestamp(UtcUs::from_seconds(2_085_978_496)), 0);
    }

    #[test]
    fn sync_flags() {
        assert!(is_sync(0) && is_sync(FLAGS_SYNC));
        assert!(!is_sync(FLAGS_NON_SYNC) && !is_sync(0x0001_0000) && !is_sync(0x0100_0000));
    }
}
