//! Init segments (`ftyp` + `moov`): ours written and read, anyone's read.
//!
//! Comes in: track parameters, or bytes. Goes out: bytes that depend on the parameters alone, or tracks.
//! Never: sample bytes; more than a few dozen tracks.

use super::CmafError;
use super::boxes::{Boxes, Cursor, child, need, put_box, put_full, put_zeros, put16, put32};
use super::entry::{params_from_sample_entry, shown_size};
use crate::media::TrackKind;
use crate::media::time::TIMESCALE;
use crate::media::track::TrackParams;

/// `track_ID` of the one track of our init segments.
pub(super) const OUR_TRACK: u32 = 1;
/// Most tracks in one init segment.
pub(super) const MAX_TRACKS: usize = 64;
/// Most sample entries in one track.
const MAX_ENTRIES: usize = 16;
/// Most edits that are looked at.
const MAX_EDITS: usize = 16;

/// Unity matrix (8.2.2).
const MATRIX: [u32; 9] = [0x0001_0000, 0, 0, 0, 0x0001_0000, 0, 0, 0, 0x4000_0000];

/// The init segment of a track: `ftyp` (brands `cmfc`, `iso6`; ISO/IEC 23000-19 7.2) and `moov` (8.2.1) with one
/// track of `track_ID` 1, timescale 90000 and the sample entry as it is. Equal parameters give equal bytes.
pub fn init_segment(params: &TrackParams) -> Vec<u8> {
    write_init(b"cmfc\0\0\0\0cmfciso6", &[params])
}

/// `ftyp` with the given body, and `moov` with these tracks, numbered from [`OUR_TRACK`] on.
pub(super) fn write_init(brands: &[u8], tracks: &[&TrackParams]) -> Vec<u8> {
    let numbered = || (OUR_TRACK..).zip(tracks);
    let mut out = Vec::with_capacity(tracks.iter().map(|t| 640 + t.sample_entry.len()).sum());
    put_box(&mut out, b"ftyp", |out| out.extend_from_slice(brands));
    put_box(&mut out, b"moov", |out| {
        put_full(out, b"mvhd", 0, 0, |out| {
            put_zeros(out, 8); // creation, modification
            put32(out, TIMESCALE);
            put32(out, 0); // duration: unknown, fragments follow
            put32(out, 0x0001_0000); // rate
            put16(out, 0x0100); // volume
            put_zeros(out, 10);
            MATRIX.iter().for_each(|&m| put32(out, m));
            put_zeros(out, 24);
            put32(out, OUR_TRACK + tracks.len() as u32);
        });
        for (id, params) in numbered() {
            put_box(out, b"trak", |out| put_track(out, id, params));
        }
        put_box(out, b"mvex", |out| {
            for (id, _) in numbered() {
                put_full(out, b"trex", 0, 0, |out| {
                    put32(out, id);
                    put32(out, 1); // sample description
                    put_zeros(out, 12); // duration, size, flags
                });
            }
        });
    });
    out
}

fn put_track(out: &mut Vec<u8>, id: u32, params: &TrackParams) {
    let video = params.kind() == TrackKind::Video;
    put_full(out, b"tkhd", 0, 3, |out| {
        put_zeros(out, 8); // creation, modification
        put32(out, id);
        put_zeros(out, 4 + 4 + 8); // reserved, duration, reserved
        put_zeros(out, 4); // layer, alternate group
        put16(out, if video { 0 } else { 0x0100 }); // volume
        put16(out, 0);
        MATRIX.iter().for_each(|&m| put32(out, m));
        let (width, height) = params.video.map_or((0, 0), |v| shown_size(v, &params.sample_entry));
        put32(out, width);
        put32(out, height);
    });
    put_box(out, b"mdia", |out| {
        put_full(out, b"mdhd", 0, 0, |out| {
            put_zeros(out, 8);
            put32(out, TIMESCALE);
            put32(out, 0);
            put16(out, packed_language(params.language.as_deref()));
            put16(out, 0);
        });
        put_full(out, b"hdlr", 0, 0, |out| {
            put32(out, 0);
            out.extend_from_slice(if video { b"vide" } else { b"soun" });
            put_zeros(out, 12);
            out.extend_from_slice(if video { b"video\0" } else { b"sound\0" });
        });
        put_box(out, b"minf", |out| {
            if video {
                put_full(out, b"vmhd", 0, 1, |out| put_zeros(out, 8));
            } else {
                put_full(out, b"smhd", 0, 0, |out| put_zeros(out, 4));
            }
            put_box(out, b"dinf", |out| {
                put_full(out, b"dref", 0, 0, |out| {
                    put32(out, 1);
                    put_full(out, b"url ", 0, 1, |_| {});
                });
            });
            put_box(out, b"stbl", |out| {
                put_full(out, b"stsd", 0, 0, |out| {
                    put32(out, 1);
                    out.extend_from_slice(&params.sample_entry);
                });
                put_full(out, b"stts", 0, 0, |out| put32(out, 0));
                put_full(out, b"stsc", 0, 0, |out| put32(out, 0));
                put_full(out, b"stsz", 0, 0, |out| put_zeros(out, 8));
                put_full(out, b"stco", 0, 0, |out| put32(out, 0));
            });
        });
    });
}

/// Three letters as 5 bits each (8.4.2); anything else is `und`.
fn packed_language(language: Option<&str>) -> u16 {
    let letters = language.map(str::as_bytes).filter(|l| l.len() == 3 && l.iter().all(u8::is_ascii_lowercase));
    letters.unwrap_or(b"und").iter().fold(0, |packed, letter| packed << 5 | u16::from(letter - 0x60))
}

fn unpacked_language(packed: u16) -> Option<String> {
    let letters = [packed >> 10 & 31, packed >> 5 & 31, packed & 31].map(|l| l as u8 + 0x60);
    let text = letters.iter().map(|&l| char::from(l)).collect::<String>();
    (letters.iter().all(u8::is_ascii_lowercase) && text != "und").then_some(text)
}

/// Reads an init segment with one track of timescale 90000 and one sample entry, such as [`init_segment`] writes.
///
/// # Errors
/// [`CmafError::Damaged`] when it is none, [`CmafError::Unsupported`] when its codec is not carried.
pub fn read_init(bytes: &[u8]) -> Result<TrackParams, CmafError> {
    let moov = need(bytes, b"moov", "an init segment without moov")?;
    let mut tracks = read_moov(moov.body)?;
    let (Some(track), true) = (tracks.pop(), tracks.is_empty()) else {
        return Err(CmafError::Damaged("an init segment of ours has one track"));
    };
    if track.track_id != OUR_TRACK || track.timescale != TIMESCALE {
        return Err(CmafError::Damaged("not an init segment of ours"));
    }
    match track.entries.as_slice() {
        [entry] => params_from_sample_entry(entry, track.language),
        _ => Err(CmafError::Damaged("an init segment of ours has one sample entry")),
    }
}

/// What `trex` and `tfhd` say of samples that do not say it themselves (8.8.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Defaults {
    pub description: u32,
    pub duration: u32,
    pub size: u32,
    pub flags: u32,
}

/// The edit list of a track (8.6.6) as far as it is a shift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Edit {
    /// Empty time before the track begins, in units of the movie's timescale.
    pub delay: u64,
    /// Media time that is shown first, in units of the track's timescale.
    pub media_time: i64,
    /// There are further edits, which are not applied.
    pub more: bool,
}

/// One track of a `moov`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TrackHeader<'a> {
    pub track_id: u32,
    /// Units of media time per second; not 0.
    pub timescale: u32,
    /// Units of the edit list's durations per second; not 0.
    pub movie_timescale: u32,
    pub language: Option<String>,
    pub edit: Edit,
    /// Sample entries, each a whole box.
    pub entries: Vec<&'a [u8]>,
    pub defaults: Defaults,
}

/// Reads the tracks of a `moov` body, anyone's.
pub(super) fn read_moov(moov: &[u8]) -> Result<Vec<TrackHeader<'_>>, CmafError> {
    let (version, _, mut mvhd) = need(moov, b"mvhd", "moov without mvhd")?.full()?;
    mvhd.take(if version == 0 { 8 } else { 16 })?;
    let movie_timescale = not_zero(mvhd.u32()?)?;
    let mut tracks: Vec<TrackHeader<'_>> = Vec::new();
    for found in Boxes::children(moov) {
        let found = found?;
        if found.kind == *b"trak" {
            let track = read_track(found.body, movie_timescale)?;
            if tracks.len() == MAX_TRACKS || tracks.iter().any(|t| t.track_id == track.track_id) {
                return Err(CmafError::Damaged("too many tracks, or two of one number"));
            }
            tracks.push(track);
        }
    }
    let extends = child(moov, b"mvex")?.map_or(&[][..], |b| b.body);
    for found in Boxes::children(extends) {
        let found = found?;
        if found.kind == *b"trex" {
            let (_, _, mut cursor) = found.full()?;
            let track_id = cursor.u32()?;
            let description = cursor.u32()?;
            let (duration, size, flags) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
            if let Some(track) = tracks.iter_mut().find(|t| t.track_id == track_id) {
                track.defaults = Defaults { description, duration, size, flags };
            }
        }
    }
    Ok(tracks)
}

fn not_zero(timescale: u32) -> Result<u32, CmafError> {
    if timescale == 0 { Err(CmafError::Damaged("a timescale of 0")) } else { Ok(timescale) }
}

fn read_track(trak: &[u8], movie_timescale: u32) -> Result<TrackHeader<'_>, CmafError> {
    let (version, _, mut tkhd) = need(trak, b"tkhd", "trak without tkhd")?.full()?;
    tkhd.take(if version == 0 { 8 } else { 16 })?;
    let track_id = tkhd.u32()?;
    let mdia = need(trak, b"mdia", "trak without mdia")?.body;
    let (version, _, mut mdhd) = need(mdia, b"mdhd", "mdia without mdhd")?.full()?;
    mdhd.take(if version == 0 { 8 } else { 16 })?;
    let timescale = not_zero(mdhd.u32()?)?;
    mdhd.versioned(version)?;
    let language = unpacked_language(mdhd.u16()?);
    let minf = need(mdia, b"minf", "mdia without minf")?.body;
    let stbl = need(minf, b"stbl", "minf without stbl")?.body;
    let (_, _, mut stsd) = need(stbl, b"stsd", "stbl without stsd")?.full()?;
    let count = stsd.u32()? as usize;
    let entries = Boxes::children(stsd.0).take(count.min(MAX_ENTRIES)).map(|b| b.map(|b| b.whole));
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    let edit = match child(trak, b"edts")? {
        Some(edts) => read_edits(edts.body)?,
        None => Edit::default(),
    };
    let defaults = Defaults { description: 1, ..Defaults::default() };
    Ok(TrackHeader { track_id, timescale, movie_timescale, language, edit, entries, defaults })
}

/// Leading empty edits and the first that shows media.
fn read_edits(edts: &[u8]) -> Result<Edit, CmafError> {
    let mut edit = Edit::default();
    let Some(elst) = child(edts, b"elst")? else { return Ok(edit) };
    let (version, _, mut cursor) = elst.full()?;
    let count = cursor.u32()? as usize;
    let mut shown = false;
    for _ in 0..count.min(MAX_EDITS) {
        let (duration, media_time) = read_edit(&mut cursor, version)?;
        if shown {
            edit.more = true;
        } else if media_time < 0 {
            edit.delay = edit.delay.saturating_add(duration);
        } else {
            edit.media_time = media_time;
            shown = true;
        }
    }
    Ok(edit)
}

fn read_edit(cursor: &mut Cursor<'_>, version: u8) -> Result<(u64, i64), CmafError> {
    let duration = cursor.versioned(version)?;
    let media_time = if version == 0 { i64::from(cursor.i32()?) } else { cursor.u64()? as i64 };
    cursor.u32()?; // rate
    Ok((duration, media_time))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, dump};
    use super::*;

    #[test]
    fn every_kind_of_track_reads_back() {
        for params in testing::all_params() {
            let bytes = init_segment(&params);
            assert_eq!(read_init(&bytes).unwrap(), params);
            assert_eq!(init_segment(&params.clone()), bytes);
        }
    }

    #[test]
    fn languages_that_are_none_become_undetermined() {
        for odd in ["und", "EN", "engl", "", "é"] {
            let params = TrackParams { language: Some(odd.into()), ..testing::h264() };
            assert_eq!(read_init(&init_segment(&params)).unwrap().language, None, "{odd}");
        }
    }

    #[test]
    fn pixels_that_are_not_square_are_shown_as_wide_as_they_are() {
        let entry = testing::video_entry(
            b"avc1",
            720,
            576,
            &[(b"avcC", testing::AVCC), (b"pasp", &[0, 0, 0, 64, 0, 0, 0, 45])],
        );
        assert_eq!(shown_size(VideoParams { width: 720, height: 576 }, &entry), (1024 << 16, 576 << 16));
    }
    use crate::media::track::VideoParams;

    #[test]
    fn golden_init_segment() {
        insta::assert_snapshot!(dump(&init_segment(&testing::h264())), @r#"
        ftyp 24 636d6663 00000000 636d6663 69736f36
        moov 598
          mvhd 108 00000000 00000000 00000000 00015f90 00000000 00010000 01000000 00000000 00000000 00010000 00000000 00000000 00000000 00010000 00000000 00000000 00000000 40000000 00000000 00000000 00000000 00000000 00000000 00000000 00000002
          trak 442
            tkhd 92 00000003 00000000 00000000 00000001 00000000 00000000 00000000 00000000 00000000 00000000 00010000 00000000 00000000 00000000 00010000 00000000 00000000 00000000 40000000 07800000 04380000
            mdia 342
              mdhd 32 00000000 00000000 00000000 00015f90 00000000 55c40000
              hdlr 38 00000000 00000000 76696465 00000000 00000000 00000000 76696465 6f00
              minf 264
                vmhd 20 00000001 00000000 00000000
                dinf 36
                  dref 28
                    url  12 00000001
                stbl 200
                  stsd 124
                    avc1 108
                      avcC 22 01640028 ffe10002 67640100 0168
                  stts 16 00000000 00000000
                  stsc 16 00000000 00000000
                  stsz 20 00000000 00000000 00000000
                  stco 16 00000000 00000000
          mvex 40
            trex 32 00000000 00000001 00000001 00000000 00000000 00000000
        "#);
    }

    #[test]
    fn damaged_init_segments_are_refused_or_read() {
        for params in testing::all_params() {
            let good = init_segment(&params);
            testing::mutations(&good, 3000, |bytes| {
                let _ = read_init(bytes);
            });
            for cut in 0..good.len() {
                assert!(read_init(&good[..cut]).is_err());
            }
        }
    }
}
