//! The parser: from the right, because a stream's name may contain `/`.

use super::query::Query;
use super::{
    ExportFormat, Form, LARGEST_SECONDS, PlaylistFormat, PlaylistTarget, PreviewFormat, RangesTarget, Request, Shift,
    Target, TrackChoice, TrackSelector, UrlError,
};
use crate::media::segment::SegmentId;
use crate::media::{InitHash, StreamName, TrackId, UtcUs};

/// Longest path, in bytes.
const MAX_PATH_BYTES: usize = 1024;
/// Milliseconds of the end of the year 9999.
const LAST_MILLIS: i64 = 253_402_300_799_999;
/// Most bytes in one segment's part: no more than a `moof` and a `mdat` with 32-bit sizes.
const MAX_PART_BYTES: u64 = 1 << 33;

const BAD_TIME: UrlError =
    UrlError::BadRequest("a time is written as UTC seconds, or as UTC milliseconds above 100000000000");
const BAD_DURATION: UrlError = UrlError::BadRequest("a duration is written as whole seconds");
const NO_DURATION: UrlError = UrlError::BadRequest("a duration must be more than zero seconds");
const BAD_TRACKS: UrlError =
    UrlError::BadRequest("tracks are written like v1a1 or 1,2: at most 32, each numbered from 1 to 255");

/// Reads a request: the percent-decoded path `/{stream}/…` and the raw query without its `?`.
///
/// # Errors
/// [`UrlError::NotFound`] for everything unknown, [`UrlError::BadRequest`] for a known form with a bad value.
pub fn parse(path: &str, query: Option<&str>) -> Result<Request, UrlError> {
    if path.len() > MAX_PATH_BYTES {
        return Err(UrlError::NotFound);
    }
    let path = path.strip_prefix('/').ok_or(UrlError::NotFound)?;
    let parts: Vec<&str> = path.split('/').collect();
    let query = Query::read(query)?;
    let (rest, tail) = split_tail(&parts);
    // The selection of tracks, if there is one, stands between the stream and the tail.
    let (stream_parts, path_tracks) = match rest.split_last() {
        Some((last, before)) if last.starts_with("tracks-") => (before, last.strip_prefix("tracks-")),
        _ => (rest, None),
    };
    let stream = StreamName::parse(&stream_parts.join("/")).map_err(|_| UrlError::NotFound)?;
    let target = parse_target(&stream, tail, path_tracks, &query)?;
    Ok(Request { stream, target, carried: query.carried, depth: parts.len() - stream_parts.len() - 1 })
}

/// Cuts off the components that are below the stream (and its selection of tracks).
fn split_tail<'a, 'b>(parts: &'b [&'a str]) -> (&'b [&'a str], &'b [&'a str]) {
    let length = match parts {
        [.., y, mo, d, h, mi, last]
            if last.contains("-preview.") && [y, mo, d, h, mi].iter().all(|n| is_digits(n, 4)) =>
        {
            6
        }
        [.., "archive", _, _, _] => 4,
        [.., "segment", _, _] => 3,
        [.., "init" | "timeshift_abs" | "timeshift_rel", _] => 2,
        _ => 1,
    };
    parts.split_at(parts.len().saturating_sub(length))
}

fn parse_target(
    stream: &StreamName,
    tail: &[&str],
    path_tracks: Option<&str>,
    query: &Query<'_>,
) -> Result<Target, UrlError> {
    let tracks = || path_tracks.or_else(|| query.get("tracks")).map(parse_tracks).transpose();
    let target = match tail {
        ["archive", from, duration, last] => {
            let form = match *duration {
                "now" => Form::FromNow { from: parse_time(from)? },
                duration => parse_finite(from, duration)?,
            };
            if *last == "mpegts" {
                export(form, ExportFormat::Ts, tracks()?)?
            } else {
                let (name, format) = split_playlist_name(last).ok_or(UrlError::NotFound)?;
                if name != "index" {
                    return Err(UrlError::NotFound);
                }
                Target::Playlist(PlaylistTarget { form, format, muxed: false, tracks: tracks()? })
            }
        }
        ["timeshift_abs", at] => Target::TsStream { shift: Shift::TunedInAt(parse_time(at)?), tracks: tracks()? },
        ["timeshift_rel", delay] => Target::TsStream { shift: Shift::Delay(parse_seconds(delay)?), tracks: tracks()? },
        [name] => parse_file(name, tracks()?, path_tracks.is_some(), query)?,
        // What is left has no tracks to choose.
        _ if path_tracks.is_some() => return Err(UrlError::NotFound),
        ["segment", base, part] => parse_segment(stream, base, part).ok_or(UrlError::NotFound)?,
        ["init", name] => {
            let hash = name.strip_suffix(".mp4").and_then(InitHash::parse).ok_or(UrlError::NotFound)?;
            Target::Init { hash }
        }
        [year, month, day, hour, minute, last] => {
            let (second, format) = split_preview_name(last).ok_or(UrlError::NotFound)?;
            let at = civil([year, month, day, hour, minute, second]).ok_or(BAD_TIME)?;
            Target::Preview { at: Some(at), format }
        }
        _ => return Err(UrlError::NotFound),
    };
    Ok(target)
}

fn parse_segment(stream: &StreamName, base: &str, part: &str) -> Option<Target> {
    let id = SegmentId::parse_base_name(stream, base)?;
    let mut fields = part.strip_suffix(".m4s")?.split('-');
    let track = TrackId::parse(fields.next()?)?;
    let mut number = || fields.next().filter(|f| is_digits(f, 19) && (*f == "0" || !f.starts_with('0')));
    let offset: u64 = number()?.parse().ok()?;
    let length: u64 = number()?.parse().ok()?;
    let whole = fields.next().is_none() && (1..=MAX_PART_BYTES).contains(&length) && offset < 1 << 62;
    whole.then_some(Target::Segment { id, track, offset, length })
}

/// Everything whose last component says it all.
fn parse_file(
    name: &str,
    tracks: Option<TrackChoice>,
    tracks_in_path: bool,
    query: &Query<'_>,
) -> Result<Target, UrlError> {
    if let Some((name, format)) = split_playlist_name(name) {
        let Name { mut form, muxed, container } = parse_name(name)?;
        if form == Form::Live
            && let Some(utc) = query.get("utc")
        {
            form = Form::FromNow { from: parse_time(utc)? };
        }
        let format = if format == PlaylistFormat::Hls { container.unwrap_or(format) } else { format };
        return Ok(Target::Playlist(PlaylistTarget { form, format, muxed, tracks }));
    }
    if !tracks_in_path {
        if let Some((at, format)) = split_preview_name(name) {
            let at = if at.is_empty() { None } else { Some(parse_time(at)?) };
            return Ok(Target::Preview { at, format });
        }
        match name {
            "preview.mp4" => return Ok(Target::Preview { at: None, format: PreviewFormat::Mp4 }),
            "preview.jpg" => return Ok(Target::Preview { at: None, format: PreviewFormat::Jpg }),
            "media_info.json" => return Ok(Target::MediaInfo),
            "ranges.json" => return parse_ranges(query),
            "recording_status.json" => {
                let time = |name| query.get(name).map(parse_time).transpose();
                return Ok(Target::RecordingStatus { from: time("from")?, to: time("to")? });
            }
            _ => {}
        }
    }
    if let Some(name) = name.strip_suffix(".mp4") {
        return export(parse_name(name)?.form, ExportFormat::Mp4, tracks);
    }
    if let Some(name) = name.strip_suffix(".ts") {
        return match parse_name(name)?.form {
            Form::Timeshift(shift) => Ok(Target::TsStream { shift, tracks }),
            form => export(form, ExportFormat::Ts, tracks),
        };
    }
    Err(UrlError::NotFound)
}

fn export(form: Form, format: ExportFormat, tracks: Option<TrackChoice>) -> Result<Target, UrlError> {
    match form {
        Form::Finite { from, duration_us } => Ok(Target::Export { from, duration_us, format, tracks }),
        Form::FromNow { .. } => Err(UrlError::BadRequest("a file needs an end: archive-{from}-{duration}")),
        _ => Err(UrlError::NotFound),
    }
}

fn parse_ranges(query: &Query<'_>) -> Result<Target, UrlError> {
    let time = |name| query.get(name).map(parse_time).transpose();
    let limit = match query.get("limit") {
        None => RangesTarget::DEFAULT_LIMIT,
        Some(text) => match parse_digits(text, 9) {
            Some(n @ 1..) => usize::try_from(n).unwrap_or(usize::MAX).min(RangesTarget::MAX_LIMIT),
            _ => return Err(UrlError::BadRequest("limit is a whole number from 1 on")),
        },
    };
    let cursor = match query.get("cursor") {
        None => None,
        Some(text) => Some(UtcUs(parse_digits(text, 18).ok_or(UrlError::BadRequest("this cursor is none of ours"))?)),
    };
    Ok(Target::Ranges(RangesTarget {
        opened_at_gte: time("opened_at_gte")?,
        closed_at_lte: time("closed_at_lte")?,
        limit,
        cursor,
        resolution_us: query.get("resolution").map(parse_seconds).transpose()?,
    }))
}

/// `{name}.m3u8` and its like, without the extension.
fn split_playlist_name(name: &str) -> Option<(&str, PlaylistFormat)> {
    if let Some(name) = name.strip_suffix(".mpd") {
        return Some((name, PlaylistFormat::Dash));
    }
    let name = name.strip_suffix(".m3u8")?;
    Some(match name.strip_suffix(".fmp4") {
        Some(name) => (name, PlaylistFormat::HlsFmp4),
        None => match name.strip_suffix(".ts") {
            Some(name) => (name, PlaylistFormat::HlsTs),
            None => (name, PlaylistFormat::Hls),
        },
    })
}

fn split_preview_name(name: &str) -> Option<(&str, PreviewFormat)> {
    match name.strip_suffix("-preview.mp4") {
        Some(at) => Some((at, PreviewFormat::Mp4)),
        None => name.strip_suffix("-preview.jpg").map(|at| (at, PreviewFormat::Jpg)),
    }
}

/// What a name without its extension says.
struct Name {
    form: Form,
    muxed: bool,
    container: Option<PlaylistFormat>,
}

fn parse_name(name: &str) -> Result<Name, UrlError> {
    let (name, suffixed) = match name.strip_suffix("_mono").or_else(|| name.strip_suffix("_video")) {
        Some(name) => (name, true),
        None => (name, false),
    };
    match name {
        "index" | "playlist" => return Ok(Name { form: Form::Live, muxed: suffixed, container: None }),
        "mono" | "video" => return Ok(Name { form: Form::Live, muxed: true, container: None }),
        _ => {}
    }
    let (prefix, form) = parse_form(name)?;
    // `index.fmp4.m3u8` with a form put in before its last dot.
    let (prefix, container) = match prefix.strip_suffix(".fmp4") {
        Some(prefix) => (prefix, Some(PlaylistFormat::HlsFmp4)),
        None => match prefix.strip_suffix(".ts") {
            Some(prefix) => (prefix, Some(PlaylistFormat::HlsTs)),
            None => (prefix, None),
        },
    };
    let muxed =
        suffixed || matches!(prefix, "mono" | "video") || prefix.ends_with("_mono") || prefix.ends_with("_video");
    Ok(Name { form, muxed, container })
}

/// Splits `{prefix}-{form}`; the prefix may be missing before a form that has a word of its own.
fn parse_form(name: &str) -> Result<(&str, Form), UrlError> {
    for word in ["timeshift_rel-", "timeshift_abs-", "rewind-"] {
        let Some(at) = name.rfind(word) else { continue };
        let (before, value) = (&name[..at], &name[at + word.len()..]);
        let prefix = match before.strip_suffix('-') {
            Some("") => continue,
            Some(prefix) => prefix,
            None if before.is_empty() => "",
            None => continue,
        };
        let form = match word {
            "timeshift_rel-" => Form::Timeshift(Shift::Delay(parse_seconds(value)?)),
            "timeshift_abs-" => Form::Timeshift(Shift::TunedInAt(parse_time(value)?)),
            _ => match parse_seconds(value)? {
                0 => return Err(NO_DURATION),
                length_us => Form::Rewind { length_us },
            },
        };
        return Ok((prefix, form));
    }
    // Any prefix, as long as two numbers follow.
    if let Some((before, duration)) = name.rsplit_once('-')
        && let Some((prefix, from)) = before.rsplit_once('-')
        && !prefix.is_empty()
        && !prefix.ends_with('-')
        && is_digits(from, usize::MAX)
        && (duration == "now" || is_digits(duration, usize::MAX))
    {
        return Ok((prefix, parse_window(from, duration)?));
    }
    // The grammar's own prefixes: what follows was meant as numbers, so say what is wrong with them.
    for prefix in ["archive", "index", "mono", "video", "playlist"] {
        if let Some(rest) = name.strip_prefix(prefix).and_then(|r| r.strip_prefix('-'))
            && let Some(dash) = rest.char_indices().skip(1).find(|&(_, c)| c == '-').map(|(at, _)| at)
        {
            return Ok((prefix, parse_window(&rest[..dash], &rest[dash + 1..])?));
        }
    }
    Err(UrlError::NotFound)
}

fn parse_window(from: &str, duration: &str) -> Result<Form, UrlError> {
    if duration == "now" { Ok(Form::FromNow { from: parse_time(from)? }) } else { parse_finite(from, duration) }
}

fn parse_finite(from: &str, duration: &str) -> Result<Form, UrlError> {
    let from = parse_time(from)?;
    if duration.strip_prefix('-').is_some_and(|d| is_digits(d, usize::MAX)) {
        return Err(NO_DURATION);
    }
    match parse_seconds(duration)? {
        0 => Err(NO_DURATION),
        duration_us => Ok(Form::Finite { from, duration_us }),
    }
}

/// UTC seconds, or milliseconds above 1e11.
fn parse_time(text: &str) -> Result<UtcUs, UrlError> {
    match parse_digits(text, 15) {
        Some(n) if n <= LARGEST_SECONDS => Ok(UtcUs::from_seconds(n)),
        Some(n) if n <= LAST_MILLIS => Ok(UtcUs::from_millis(n)),
        _ => Err(BAD_TIME),
    }
}

/// Whole seconds, as microseconds.
fn parse_seconds(text: &str) -> Result<i64, UrlError> {
    parse_digits(text, 12).and_then(|n| n.checked_mul(1_000_000)).ok_or(BAD_DURATION)
}

fn parse_digits(text: &str, most: usize) -> Option<i64> {
    if is_digits(text, most) { text.parse().ok() } else { None }
}

fn is_digits(text: &str, most: usize) -> bool {
    !text.is_empty() && text.len() <= most && text.bytes().all(|b| b.is_ascii_digit())
}

/// `v1a1`, `1,2`, `v1,a2`.
fn parse_tracks(text: &str) -> Result<TrackChoice, UrlError> {
    let mut chosen: Vec<TrackSelector> = Vec::new();
    let mut add = |selector| {
        if !chosen.contains(&selector) {
            chosen.push(selector);
        }
        if chosen.len() > TrackChoice::MAX { Err(BAD_TRACKS) } else { Ok(()) }
    };
    if !text.is_ascii() {
        return Err(BAD_TRACKS);
    }
    for item in text.split(',') {
        if is_digits(item, 3) && !item.starts_with('0') {
            add(TrackSelector::Nth(item.parse().map_err(|_| BAD_TRACKS)?))?;
            continue;
        }
        let mut rest = item;
        loop {
            // The next letter begins the next track.
            let end = rest.bytes().skip(1).position(|b| !b.is_ascii_digit()).map_or(rest.len(), |at| at + 1);
            let (one, more) = rest.split_at(end);
            if one.len() < 2 {
                return Err(BAD_TRACKS);
            }
            add(TrackSelector::Id(TrackId::parse(one).ok_or(BAD_TRACKS)?))?;
            if more.is_empty() {
                break;
            }
            rest = more;
        }
    }
    Ok(TrackChoice(chosen))
}

/// A moment from year, month, day, hour, minute and second, in UTC.
fn civil(parts: [&str; 6]) -> Option<UtcUs> {
    let [year, month, day, hour, minute, second] = parts;
    let small = |text: &str| -> Option<i8> { if is_digits(text, 2) { text.parse().ok() } else { None } };
    let year: i16 = if year.len() == 4 { year.parse().ok()? } else { return None };
    let at =
        jiff::civil::DateTime::new(year, small(month)?, small(day)?, small(hour)?, small(minute)?, small(second)?, 0)
            .ok()?;
    let seconds = at.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
    (seconds >= 0).then(|| UtcUs::from_seconds(seconds))
}
