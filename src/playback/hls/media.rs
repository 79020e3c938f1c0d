//! Media playlists of a plan: muxed or of one track, MPEG-TS or fragmented MP4, whole or as a delta update, and those
//! of sync samples only.
//!
//! Every segment has its PROGRAM-DATE-TIME, not only those after a break: a sliding playlist then says the same
//! time of a segment whichever one it begins with, although wall time is slewed against media time.

use super::links::{Links, MediaUri, Present, Resource};
use crate::manifest::hls::{MediaPlaylist, MediaSegment, PlaylistType, Start};
use crate::media::{Segment, TrackId};
use crate::playback::plan::{Entry, Plan};
use crate::playback::window::{Mode, Window};

/// EXT-X-VERSION with decimal durations, for old set-top boxes (RFC 8216 7).
pub(in crate::playback) const VERSION_TS: u8 = 3;
/// With EXT-X-MAP; players expect 7 of fragmented MP4.
pub(in crate::playback) const VERSION_FMP4: u8 = 7;
/// With EXT-X-SKIP (rfc8216bis 8).
const VERSION_SKIP: u8 = 9;
/// CAN-SKIP-UNTIL in target durations: no less is allowed (rfc8216bis 4.4.3.8).
const SKIP_BOUNDARY_TARGETS: u32 = 6;

/// What the segments of a playlist are.
#[derive(Clone, Copy)]
pub(in crate::playback) enum Listed<'a> {
    /// MPEG-TS.
    Ts,
    /// Fragmented MP4.
    Fmp4,
    /// The first sample of one track of each segment that begins with a sync sample. Gives that sample's size by the
    /// segment's number.
    IFrames(&'a dyn Fn(u64) -> Option<u32>),
}

/// What a playlist lists of each segment.
#[derive(Clone, Copy)]
pub(in crate::playback) struct Listing<'a> {
    /// Which tracks, at least one; the first one that a segment has gives times and duration.
    pub tracks: &'a [TrackId],
    /// As what.
    pub as_what: Listed<'a>,
}

impl<'a> Listing<'a> {
    fn duration_us(&self, segment: &Segment) -> i64 {
        let part = Present { segment, wanted: self.tracks }.parts().next();
        part.map_or(segment.id.duration_us, |p| p.duration.to_us())
    }

    /// The init segment that a segment needs, if it has any of the tracks.
    pub fn map(&self, segment: &'a Segment, links: &'a Links<'a>) -> Option<MediaUri<'a>> {
        if matches!(self.as_what, Listed::Ts) {
            return None;
        }
        let present = Present { segment, wanted: self.tracks };
        let mut parts = present.parts();
        match (parts.next(), parts.next()) {
            (Some(part), None) => Some(Resource::Init(part.init)),
            (Some(_), Some(_)) => Some(Resource::InitMuxed(present)),
            _ => None,
        }
        .map(|what| MediaUri { links, what })
    }

    /// A segment as it is listed, apart from what depends on the one before it.
    pub fn segment(&self, segment: &'a Segment, links: &'a Links<'a>) -> MediaSegment<MediaUri<'a>> {
        let present = Present { segment, wanted: self.tracks };
        let mut parts = present.parts();
        let (first, several) = (parts.next(), parts.next().is_some());
        // Length and first byte.
        let mut byte_range = None;
        let what = match (first, self.as_what) {
            (None, _) => Resource::Gap,
            (Some(_), Listed::Ts) => Resource::Ts(present),
            (Some(_), Listed::Fmp4) if several => Resource::Muxed(present),
            (Some(part), Listed::Fmp4) if links.whole_objects => {
                byte_range = Some((part.length, part.offset));
                Resource::Object(&segment.id)
            }
            (Some(part), Listed::Fmp4) => Resource::Part(&segment.id, part),
            (Some(part), Listed::IFrames(size)) => match size(segment.id.sequence).filter(|_| part.starts_with_sync) {
                Some(bytes) => {
                    let length = u64::from(part.payload_offset) + u64::from(bytes);
                    let length = length.min(part.length);
                    let at = if links.whole_objects { part.offset } else { 0 };
                    byte_range = Some((length, at));
                    if links.whole_objects { Resource::Object(&segment.id) } else { Resource::Part(&segment.id, part) }
                }
                None => Resource::Gap,
            },
        };
        MediaSegment {
            discontinuities: 0,
            map: None,
            program_date_time: Some(first.map_or(segment.id.start, |p| segment.utc_of(p.presentation_start))),
            duration_us: self.duration_us(segment),
            gap: matches!(what, Resource::Gap),
            byte_range,
            uri: MediaUri { links, what },
        }
    }
}

/// The text of a media playlist. `delta`: one without the segments that whoever reloads it knows will do.
pub(in crate::playback) fn media_playlist(
    plan: &Plan<'_>,
    listing: Listing<'_>,
    delta: bool,
    links: &Links<'_>,
) -> String {
    let can_skip = plan.window().can_skip;
    let boundary_seconds = skip_boundary_seconds(plan.target_seconds());
    let skipped = if can_skip && delta { skippable(plan, &listing, boundary_seconds) } else { 0 };
    let (known, listed) = plan.entries().split_at(skipped);
    let uri = |what| MediaUri { links, what };
    // What a playlist begins with needs an init segment too, even a gap.
    let mut map = known.iter().rev().find_map(|e| listing.map(segment_of(e)?, links));
    map = map.or_else(|| plan.segments().find_map(|s| listing.map(s, links)));
    let mut segments = Vec::with_capacity(listed.len());
    for entry in listed {
        let segment = match *entry {
            Entry::Segment { segment, discontinuities } => {
                map = listing.map(segment, links).or(map);
                MediaSegment { discontinuities, map, ..listing.segment(segment, links) }
            }
            Entry::Lost { duration_us } => MediaSegment {
                discontinuities: 0,
                map,
                program_date_time: None,
                duration_us,
                gap: true,
                byte_range: None,
                uri: uri(Resource::Gap),
            },
        };
        segments.push(segment);
    }
    let (playlist_type, ended) = kind(plan.window().mode);
    let i_frames_only = matches!(listing.as_what, Listed::IFrames(_));
    let playlist = MediaPlaylist {
        version: version(listing.as_what, skipped > 0),
        target_duration_seconds: plan.target_seconds(),
        media_sequence: plan.first().id.sequence,
        discontinuity_sequence: plan.first().discontinuity,
        playlist_type,
        independent_segments: !i_frames_only && independent(plan, listing.tracks),
        i_frames_only,
        start: start(plan.window(), plan.first(), listing.tracks),
        can_skip_until_seconds: can_skip.then_some(boundary_seconds),
        skipped_segments: skipped as u64,
        segments,
        ended,
    };
    playlist.to_text()
}

/// EXT-X-VERSION, as low as the tags allow.
pub(in crate::playback) const fn version(as_what: Listed<'_>, skips: bool) -> u8 {
    match as_what {
        _ if skips => VERSION_SKIP,
        Listed::Ts => VERSION_TS,
        Listed::Fmp4 | Listed::IFrames(_) => VERSION_FMP4,
    }
}

fn segment_of<'a>(entry: &Entry<'a>) -> Option<&'a Segment> {
    match *entry {
        Entry::Segment { segment, .. } => Some(segment),
        Entry::Lost { .. } => None,
    }
}

/// How many entries lie wholly before the skip boundary.
fn skippable(plan: &Plan<'_>, listing: &Listing<'_>, boundary_seconds: u32) -> usize {
    let boundary_us = i64::from(boundary_seconds) * 1_000_000;
    let mut span_us = 0i64;
    for (n, entry) in plan.entries().iter().enumerate().rev() {
        if span_us >= boundary_us {
            return n + 1;
        }
        span_us = span_us.saturating_add(match *entry {
            Entry::Segment { segment, .. } => listing.duration_us(segment),
            Entry::Lost { duration_us } => duration_us,
        });
    }
    0
}

/// CAN-SKIP-UNTIL of a playlist with this target duration.
pub(in crate::playback) const fn skip_boundary_seconds(target_seconds: u32) -> u32 {
    target_seconds.saturating_mul(SKIP_BOUNDARY_TARGETS)
}

/// EXT-X-PLAYLIST-TYPE, and whether the playlist has ended.
pub(in crate::playback) const fn kind(mode: Mode) -> (Option<PlaylistType>, bool) {
    match mode {
        Mode::Vod { .. } => (Some(PlaylistType::Vod), true),
        Mode::Event => (Some(PlaylistType::Event), false),
        Mode::Sliding { .. } => (None, false),
    }
}

/// Whether EXT-X-INDEPENDENT-SEGMENTS can be said: never of what is still reloaded, for the next segment may begin
/// without a sync sample, and a tag once there must stay (RFC 8216 6.2.1).
pub(in crate::playback) fn independent(plan: &Plan<'_>, tracks: &[TrackId]) -> bool {
    matches!(plan.window().mode, Mode::Vod { fresh: false, .. })
        && plan.segments().all(|segment| Present { segment, wanted: tracks }.parts().all(|p| p.starts_with_sync))
}

/// Where playing starts: at the moment asked for, which lies inside the first segment.
pub(in crate::playback) fn start(window: &Window, first: &Segment, tracks: &[TrackId]) -> Option<Start> {
    let part = Present { segment: first, wanted: tracks }.parts().next();
    let begins = part.map_or(first.id.start, |p| first.utc_of(p.presentation_start));
    let time_offset_us = window.start?.since(begins).max(0);
    // A tag for less than a millisecond would only make players seek.
    let time_offset_us = if time_offset_us < 1000 { 0 } else { time_offset_us };
    match (window.mode, time_offset_us) {
        (Mode::Vod { .. }, 0) => None,
        // Shaka Player (5.2) takes 0 for "no such tag" and would begin at the live edge.
        (_, 0) => Some(Start { time_offset_us: 1000, precise: false }),
        (_, time_offset_us) => Some(Start { time_offset_us, precise: true }),
    }
}
