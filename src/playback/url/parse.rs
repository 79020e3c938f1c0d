//! The parser: from the right, because a stream's name may contain `/`.

use super::query::Query;
use super::{
    ExportFormat, Form, LARGEST_SECONDS, Layout, MAX_MUXED, PlaylistFormat, PlaylistTarget, PreviewFormat,
    RangesTarget, Request, Shift, Target, TrackChoice, TrackSelector, UrlError, WHOLE_OBJECT,
};
use crate::media::segment::SegmentId;
use crate::media::{InitHash, StreamName, TrackId, UtcUs};
use percent_encoding::percent_decode_str;

/// Longest path, in bytes.
const MAX_PATH_BYTES: usize = 1024;
/// Milliseconds of the end of the year 9999.
const LAST_MILLIS: i64 = 253_402_300_799_999;
/// Most bytes in one segment's part: no more than a `moof` and a `mdat` with 32-bit sizes.
const MAX_PART_BYTES: u64 = 1 << 33;

const NOT_UTF8: UrlError = UrlError::BadRequest("the address is not UTF-8");
const BAD_TIME: UrlError =
    UrlError::BadRequest("a time is written as UTC seconds, or as UTC milliseconds above 100000000000");
const BAD_DURATION: UrlError = UrlError::BadRequest("a duration is written as whole seconds");
const NO_DURATION: UrlError = UrlError::BadRequest("a duration must be more than zero seconds");
const BAD_TRACKS: UrlError =
    UrlError::BadRequest("tracks are written like v1a1 or 1,2: at most 32, each numbered from 1 to 255");

/// Reads a request: path `/{stream}/…` and query (without its `?`) as they were sent, percent-encoded or not.
///
/// # Errors
/// [`UrlError::NotFound`] for everything unknown, [`UrlError::BadRequest`] for a known form with a bad value.
pub fn parse(path: &str, query: Option<&str>) -> Result<Request, UrlError> {
    if path.len() > 3 * MAX_PATH_BYTES {
        return Err(UrlError::NotFound);
    }
    let path = percent_decode_str(path).decode_utf8().map_err(|_| NOT_UTF8)?;
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
    Ok(Request {
        stream,
        target,
        carried: query.carried,
        delta: query.delta,
        depth: parts.len() - stream_parts.len() - 1,
    })
}

/// Cuts off the components that are below the stream (and its selection of tracks).
fn split_tail<'a, 'b>(parts: &'b [&'a str]) -> (&'b [&'a str], &'b [&'a str]) {
    let length = match parts {
        // Digits exactly as they are written: components of a stream's name may be numbers, too.
        [.., y, mo, d, h, mi, last]
            if split_preview_name(last).is_some_and(|(s, _)| s.len() == 2)
                && y.len() == 4
                && [mo, d, h, mi].iter().all(|n| n.len() == 2)
                && [y, mo, d, h, mi].iter().all(|n| is_digits(n, 4)) =>
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
    let in_query = || query.get("tracks").or_else(|| query.get("filter.tracks"));
    let tracks = || path_tracks.or_else(in_query).map(parse_tracks).transpose();
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
                let layout = live_layout(name).ok_or(UrlError::NotFound)?;
                Target::Playlist(PlaylistTarget { form, format, layout, tracks: tracks()? })
            }
        }
        ["timeshift_abs", at] => Target::TsStream { shift: Shift::TunedInAt(parse_time(at)?), tracks: tracks()? },
        ["timeshift_rel", delay] => Target::TsStream { shift: Shift::Delay(parse_seconds(delay)?), tracks: tracks()? },
        [name] => parse_file(name, tracks()?, path_tracks.is_some(), query)?,
        // What is left has no tracks to choose.
        _ if path_tracks.is_some() => return Err(UrlError::NotFound),
        ["segment", base, part] => parse_segment(stream, base, part).ok_or(UrlError::NotFound)?,
        ["init", name] => parse_init(name).ok_or(UrlError::NotFound)?,
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
    if part == WHOLE_OBJECT {
        return Some(Target::Object { id });
    }
    if let Some(tracks) = part.strip_suffix(".ts") {
        return Some(Target::SegmentTs { id, tracks: parse_muxed(tracks)? });
    }
    if let Some(tracks) = part.strip_suffix(".m4s").and_then(parse_muxed) {
        return (tracks.len() > 1).then_some(Target::SegmentMuxed { id, tracks });
    }
    let mut fields = part.strip_suffix(".m4s")?.split('-');
    let track = TrackId::parse(fields.next()?)?;
    let mut number = || fields.next().filter(|f| is_digits(f, 19) && (*f == "0" || !f.starts_with('0')));
    let offset: u64 = number()?.parse().ok()?;
    let length: u64 = number()?.parse().ok()?;
    let whole = fields.next().is_none() && (1..=MAX_PART_BYTES).contains(&length) && offset < 1 << 62;
    whole.then_some(Target::Segment { id, track, offset, length })
}

/// `v1a1a2`: ascending, none twice, so that there is one spelling.
fn parse_muxed(text: &str) -> Option<Vec<TrackId>> {
    let mut tracks: Vec<TrackId> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (one, more) = split_track(rest)?;
        let track = TrackId::parse(one)?;
        if tracks.len() == MAX_MUXED || tracks.last().is_some_and(|last| *last >= track) {
            return None;
        }
        tracks.push(track);
        rest = more;
    }
    (!tracks.is_empty()).then_some(tracks)
}

/// Splits before the next letter, which begins the next track.
fn split_track(text: &str) -> Option<(&str, &str)> {
    let end = text.bytes().skip(1).position(|b| !b.is_ascii_digit()).map_or(text.len(), |at| at + 1);
    text.split_at_checked(end)
}

fn parse_init(name: &str) -> Option<Target> {
    let hashes: Option<Vec<InitHash>> =
        name.strip_suffix(".mp4")?.split('-').take(MAX_MUXED + 1).map(InitHash::parse).collect();
    match hashes?.as_slice() {
        &[hash] => Some(Target::Init { hash }),
        hashes if hashes.len() <= MAX_MUXED => Some(Target::InitMuxed { hashes: hashes.to_vec() }),
        _ => None,
    }
}

/// Everything whose last component says it all.
fn parse_file(
    name: &str,
    tracks: Option<TrackChoice>,
    tracks_in_path: bool,
    query: &Query<'_>,
) -> Result<Target, UrlError> {
    if let Some((name, format)) = split_playlist_name(name) {
        let Name { mut form, layout, container } = parse_name(name)?;
        if form == Form::Live
            && let Some(utc) = query.get("utc")
        {
            form = Form::FromNow { from: parse_time(utc)? };
        }
        let format = if format == PlaylistFormat::Hls { container.unwrap_or(format) } else { format };
        return Ok(Target::Playlist(PlaylistTarget { form, format, layout, tracks }));
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
    if name == "mpegts" {
        let shift = match query.get("utc") {
            Some(utc) => Shift::TunedInAt(parse_time(utc)?),
            None => Shift::Delay(0),
        };
        return Ok(Target::TsStream { shift, tracks });
    }
    if let Some(name) = name.strip_suffix(".mp4") {
        return export(file_form(name)?, ExportFormat::Mp4, tracks);
    }
    if let Some(name) = name.strip_suffix(".ts") {
        return match file_form(name)? {
            Form::Timeshift(shift) => Ok(Target::TsStream { shift, tracks }),
            form => export(form, ExportFormat::Ts, tracks),
        };
    }
    Err(UrlError::NotFound)
}

/// Of when a file is: whatever prefix it has, all its tracks are muxed.
fn file_form(name: &str) -> Result<Form, UrlError> {
    let name = parse_name(name)?;
    if name.layout == Layout::IFrames { Err(UrlError::NotFound) } else { Ok(name.form) }
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
    // The second spelling is what some builds of OTT-Play ask for.
    if let Some(name) = name.strip_suffix(".mpd").or_else(|| name.strip_suffix(".mdp")) {
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
    layout: Layout,
    container: Option<PlaylistFormat>,
}

/// The layout that a name without a form stands for.
fn live_layout(name: &str) -> Option<Layout> {
    match name {
        "index" | "playlist" => Some(Layout::Renditions),
        "mono" | "video" => Some(Layout::Muxed),
        "iframes" => Some(Layout::IFrames),
        _ => None,
    }
}

fn strip_muxed(name: &str) -> Option<&str> {
    name.strip_suffix("_mono").or_else(|| name.strip_suffix("_video"))
}

fn parse_name(name: &str) -> Result<Name, UrlError> {
    let (name, suffixed) = match strip_muxed(name) {
        Some(name) => (name, true),
        None => (name, false),
    };
    if let Some(layout) = live_layout(name) {
        let layout = if suffixed { Layout::Muxed } else { layout };
        return Ok(Name { form: Form::Live, layout, container: None });
    }
    let (prefix, form, word_muxed) = parse_form(name)?;
    // `index.fmp4.m3u8` with a form put in before its last dot.
    let (prefix, container) = match prefix.strip_suffix(".fmp4") {
        Some(prefix) => (prefix, Some(PlaylistFormat::HlsFmp4)),
        None => match prefix.strip_suffix(".ts") {
            Some(prefix) => (prefix, Some(PlaylistFormat::HlsTs)),
            None => (prefix, None),
        },
    };
    let muxed = suffixed || word_muxed || strip_muxed(prefix).is_some();
    let layout = if muxed { Layout::Muxed } else { live_layout(prefix).unwrap_or(Layout::Renditions) };
    Ok(Name { form, layout, container })
}

/// Splits `{prefix}-{form}`; the prefix may be missing before a form that has a word of its own. Says too whether
/// that word has `_mono` or `_video` behind it (`timeshift_abs_video-{t}`).
fn parse_form(name: &str) -> Result<(&str, Form, bool), UrlError> {
    for word in ["timeshift_rel", "timeshift_abs", "rewind"] {
        let Some(at) = name.rfind(word) else { continue };
        let (before, after) = (&name[..at], &name[at + word.len()..]);
        let prefix = match before.strip_suffix('-') {
            Some("") => continue,
            Some(prefix) => prefix,
            None if before.is_empty() => "",
            None => continue,
        };
        let (value, muxed) = match after.strip_prefix("_video-").or_else(|| after.strip_prefix("_mono-")) {
            Some(value) => (value, true),
            None => match after.strip_prefix('-') {
                Some(value) => (value, false),
                None => continue,
            },
        };
        let form = match word {
            "timeshift_rel" => Form::Timeshift(Shift::Delay(parse_seconds(value)?)),
            "timeshift_abs" => Form::Timeshift(Shift::TunedInAt(parse_time(value)?)),
            _ => match parse_seconds(value)? {
                0 => return Err(NO_DURATION),
                length_us => Form::Rewind { length_us },
            },
        };
        return Ok((prefix, form, muxed));
    }
    // Any prefix, as long as two numbers follow.
    if let Some((before, duration)) = name.rsplit_once('-')
        && let Some((prefix, from)) = before.rsplit_once('-')
        && !prefix.is_empty()
        && !prefix.ends_with('-')
        && is_digits(from, usize::MAX)
        && (duration == "now" || is_digits(duration, usize::MAX))
    {
        return Ok((prefix, parse_window(from, duration)?, false));
    }
    // The grammar's own prefixes: what follows was meant as numbers, so say what is wrong with them.
    for prefix in ["archive", "index", "mono", "video", "playlist", "iframes"] {
        if let Some(rest) = name.strip_prefix(prefix).and_then(|r| r.strip_prefix('-'))
            && let Some(dash) = rest.char_indices().skip(1).find(|&(_, c)| c == '-').map(|(at, _)| at)
        {
            return Ok((prefix, parse_window(&rest[..dash], &rest[dash + 1..])?, false));
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
            let (one, more) = split_track(rest).ok_or(BAD_TRACKS)?;
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
