//! HLS playlists from a plan.
//!
//! Comes in: a request, its plan, what the init segments say, where media is fetched from. Goes out: the
//! text of one playlist, the same on every node. Never: reads rows or clocks.
//!
//! Every segment has its PROGRAM-DATE-TIME, not only those after a break: a sliding playlist then says the same
//! time of a segment whichever one it begins with, although wall time is slewed against media time.

use super::language;
use super::plan::{Entry, Plan};
use super::summary::{TrackSummary, summarize};
use super::url::{CarriedQuery, Form, Layout, PlaylistFormat, PlaylistTarget, Request, Shift, TrackChoice};
use super::window::{Mode, Window, WindowError};
use crate::manifest::hls::{
    MediaPlaylist, MediaSegment, MultivariantPlaylist, PlaylistType, Rendition, Start, Variant, WriteUri,
};
use crate::media::segment::SegmentId;
use crate::media::track::{Codec, InitInfo};
use crate::media::{InitHash, RunId, Segment, TrackId, TrackKind};
use std::fmt::Write;

/// EXT-X-VERSION: EXT-X-MAP without I-frames only (RFC 8216 7).
pub(super) const VERSION: u8 = 7;

/// Everything about a request that goes into URIs.
pub(super) struct Links<'a> {
    /// Stands before `segment/` and `init/`.
    pub(super) media_base: String,
    /// Leads from the request to its stream's folder.
    up: String,
    pub(super) carried: &'a CarriedQuery,
}

impl<'a> Links<'a> {
    pub(super) fn new(request: &'a Request, media_base_url: Option<&str>) -> Self {
        let up = "../".repeat(request.depth);
        let media_base = match media_base_url {
            // Set by an operator, but a line break in it would still break every playlist.
            Some(base) => {
                let base: String =
                    base.chars().filter(|c| c.is_ascii_graphic() && !"\"<>\\^`{|}#".contains(*c)).collect();
                format!("{}/{}/", base.trim_end_matches('/'), request.stream)
            }
            None => up.clone(),
        };
        Self { media_base, up, carried: &request.carried }
    }

    /// Links of media only, for text that is made once for many requests.
    pub(super) fn bare(media_base: &str, carried: &'a CarriedQuery) -> Self {
        Self { media_base: media_base.to_owned(), up: String::new(), carried }
    }

    fn child(&self, form: Form, track: TrackId) -> String {
        let tracks = Some(TrackChoice::one(track));
        let target = PlaylistTarget { form, format: PlaylistFormat::HlsFmp4, layout: Layout::Renditions, tracks };
        let mut uri = format!("{}{target}", self.up);
        self.push_query(&mut uri);
        uri
    }

    fn push_query(&self, uri: &mut String) {
        if !self.carried.is_empty() {
            uri.push('?');
            uri.push_str(self.carried.as_str());
        }
    }
}

/// The URI of a media segment, of an init segment, or of nothing.
#[derive(Clone, Copy)]
pub(super) struct MediaUri<'a> {
    pub(super) links: &'a Links<'a>,
    pub(super) what: Resource<'a>,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Resource<'a> {
    Segment { id: &'a SegmentId, track: TrackId, offset: u64, length: u64 },
    Init(InitHash),
    Gap,
}

impl PartialEq for MediaUri<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.what == other.what
    }
}

impl WriteUri for MediaUri<'_> {
    fn write_uri(&self, out: &mut String) {
        out.push_str(&self.links.media_base);
        match self.what {
            Resource::Segment { id, track, offset, length } => {
                out.push_str("segment/");
                push_base_name(out, id);
                out.push('/');
                out.push(match track.kind {
                    TrackKind::Video => 'v',
                    TrackKind::Audio => 'a',
                });
                push_number(out, track.number.into());
                out.push('-');
                push_number(out, offset);
                out.push('-');
                push_number(out, length);
                out.push_str(".m4s");
            }
            Resource::Init(hash) => {
                // Writing to a string does not fail.
                let _ = write!(out, "init/{hash}.mp4");
            }
            Resource::Gap => out.push_str("segment/gap.m4s"),
        }
        self.links.push_query(out);
    }
}

fn push_number(out: &mut String, value: u64) {
    out.push_str(itoa::Buffer::new().format(value));
}

/// The same as [`SegmentId::base_name`], without the cost of formatting: it is printed for every segment.
fn push_base_name(out: &mut String, id: &SegmentId) {
    let mut buffer = itoa::Buffer::new();
    let sequence = buffer.format(id.sequence);
    out.extend(std::iter::repeat_n('0', 10usize.saturating_sub(sequence.len())));
    out.push_str(sequence);
    out.push('-');
    push_number(out, id.epoch);
    out.push('-');
    out.push_str(itoa::Buffer::new().format(id.start.0));
    out.push('-');
    out.push_str(itoa::Buffer::new().format(id.duration_us));
    out.push('-');
    push_run(out, id.run);
}

fn push_run(out: &mut String, run: RunId) {
    for shift in (0..32).rev() {
        let nibble = (run.0 >> (4 * shift) & 15) as u32;
        out.push(char::from_digit(nibble, 16).unwrap_or('0'));
    }
}

/// The playlist for `request`: the media playlist where it chooses one track, else the multivariant one.
/// Only the multivariant playlist needs `inits`: what [`Plan::inits`] names (see [`is_media`]).
///
/// # Errors
/// [`WindowError::NoSuchTrack`] when none of the chosen tracks is there.
pub fn playlist(
    request: &Request,
    target: &PlaylistTarget,
    plan: &Plan<'_>,
    inits: &[InitInfo],
    media_base_url: Option<&str>,
) -> Result<String, WindowError> {
    let tracks = plan.chosen_tracks(target.tracks.as_ref())?;
    let links = Links::new(request, media_base_url);
    match tracks.as_slice() {
        [track] if is_media(target) => Ok(media_playlist(plan, *track, &links)),
        _ => Ok(multivariant_playlist(plan, &tracks, inits, &links)),
    }
}

/// Whether the answer is a media playlist: one track is chosen, and the address holds all that the playlist is
/// made of. (The delay of `timeshift_abs` is fixed by its multivariant playlist.)
pub fn is_media(target: &PlaylistTarget) -> bool {
    let one = target.tracks.as_ref().is_some_and(|t| t.selectors().len() == 1);
    one && !matches!(target.form, Form::Timeshift(Shift::TunedInAt(_)))
}

fn media_playlist(plan: &Plan<'_>, track: TrackId, links: &Links<'_>) -> String {
    let uri = |what| MediaUri { links, what };
    let mut independent = true;
    // What a playlist begins with needs an init segment too, even a gap.
    let mut map = plan.segments().find_map(|s| s.part(track)).map(|p| p.init);
    let mut segments = Vec::with_capacity(plan.entries().len());
    for entry in plan.entries() {
        let (segment, discontinuities) = match *entry {
            Entry::Segment { segment, discontinuities } => (segment, discontinuities),
            Entry::Lost { duration_us } => {
                let map = map.map(|hash| uri(Resource::Init(hash)));
                segments.push(MediaSegment {
                    discontinuities: 0,
                    map,
                    program_date_time: None,
                    duration_us,
                    gap: true,
                    uri: uri(Resource::Gap),
                });
                continue;
            }
        };
        let part = segment.part(track);
        map = part.map(|p| p.init).or(map);
        independent &= part.is_none_or(|p| p.starts_with_sync);
        let map = map.map(|hash| uri(Resource::Init(hash)));
        segments.push(MediaSegment { discontinuities, map, ..listed(segment, track, links) });
    }
    let (playlist_type, ended) = kind(plan.window().mode);
    let playlist = MediaPlaylist {
        version: VERSION,
        target_duration_seconds: plan.target_seconds(),
        media_sequence: plan.first().id.sequence,
        discontinuity_sequence: plan.first().discontinuity,
        playlist_type,
        independent_segments: independent,
        start: start(plan.window(), plan.first(), track),
        segments,
        ended,
    };
    playlist.to_text()
}

/// A segment as a playlist lists it, apart from what depends on the one before it.
pub(super) fn listed<'a>(segment: &'a Segment, track: TrackId, links: &'a Links<'a>) -> MediaSegment<MediaUri<'a>> {
    let part = segment.part(track);
    let what = part.map_or(Resource::Gap, |p| Resource::Segment {
        id: &segment.id,
        track,
        offset: p.offset,
        length: p.length,
    });
    MediaSegment {
        discontinuities: 0,
        map: None,
        program_date_time: Some(part.map_or(segment.id.start, |p| segment.utc_of(p.presentation_start))),
        duration_us: part.map_or(segment.id.duration_us, |p| p.duration.to_us()),
        gap: part.is_none(),
        uri: MediaUri { links, what },
    }
}

/// EXT-X-PLAYLIST-TYPE, and whether the playlist has ended.
pub(super) const fn kind(mode: Mode) -> (Option<PlaylistType>, bool) {
    match mode {
        Mode::Vod { .. } => (Some(PlaylistType::Vod), true),
        Mode::Event => (Some(PlaylistType::Event), false),
        Mode::Sliding { .. } => (None, false),
    }
}

/// Where playing starts: at the moment asked for, which lies inside the first segment.
pub(super) fn start(window: &Window, first: &Segment, track: TrackId) -> Option<Start> {
    let begins = first.part(track).map_or(first.id.start, |p| first.utc_of(p.presentation_start));
    let time_offset_us = window.start?.since(begins).max(0);
    // A tag for less than a millisecond would only make players seek.
    let time_offset_us = if time_offset_us < 1000 { 0 } else { time_offset_us };
    match (window.mode, time_offset_us) {
        (Mode::Vod { .. }, 0) => None,
        (_, time_offset_us) => Some(Start { time_offset_us, precise: time_offset_us > 0 }),
    }
}

fn multivariant_playlist(plan: &Plan<'_>, tracks: &[TrackId], inits: &[InitInfo], links: &Links<'_>) -> String {
    let summaries: Vec<TrackSummary> =
        summarize(plan.segments(), inits).into_iter().filter(|s| tracks.contains(&s.track)).collect();
    let (video, audio): (Vec<&TrackSummary>, Vec<&TrackSummary>) =
        summaries.iter().partition(|s| s.track.kind == TrackKind::Video);
    let form = plan.window().child;
    let groups = audio_groups(&audio);
    // One sound without pictures needs no group.
    let grouped = !video.is_empty() || audio.len() > 1;
    let mut renditions = Vec::new();
    let mut variants = Vec::new();
    if grouped {
        for (name, members) in &groups {
            renditions.extend(group_renditions(name, members, |track| links.child(form, track)));
        }
    }
    for picture in &video {
        if groups.is_empty() {
            variants.push(variant(Some(picture), &[], None, links.child(form, picture.track)));
        }
        for (name, members) in &groups {
            variants.push(variant(Some(picture), members, Some(*name), links.child(form, picture.track)));
        }
    }
    if video.is_empty() {
        for (name, members) in &groups {
            let Some(first) = members.first() else { continue };
            variants.push(variant(None, members, grouped.then_some(*name), links.child(form, first.track)));
        }
    }
    let independent_segments = summaries.iter().all(|s| s.independent);
    MultivariantPlaylist { version: VERSION, independent_segments, renditions, variants }.to_text()
}

/// Audio tracks by codec, in order of appearance: a player picks the group it can decode (RFC 8216 4.3.4.1.1).
fn audio_groups<'a>(audio: &[&'a TrackSummary]) -> Vec<(&'static str, Vec<&'a TrackSummary>)> {
    let mut groups: Vec<(&'static str, Vec<&TrackSummary>)> = Vec::new();
    for track in audio {
        let name = match track.codec {
            Some(Codec::Aac) => "aac",
            Some(Codec::MpegAudio) => "mpega",
            Some(Codec::Ac3) => "ac3",
            Some(Codec::Eac3) => "eac3",
            _ => "audio",
        };
        match groups.iter_mut().find(|(n, _)| *n == name) {
            Some((_, members)) => members.push(track),
            None => groups.push((name, vec![track])),
        }
    }
    groups
}

fn group_renditions(group: &str, members: &[&TrackSummary], uri: impl Fn(TrackId) -> String) -> Vec<Rendition> {
    let mut renditions: Vec<Rendition> = Vec::new();
    for (position, track) in members.iter().enumerate() {
        let language = track.language.as_deref().and_then(language::describe);
        let mut name = match &language {
            Some(language) => language.name.clone(),
            None => format!("Audio {}", track.track.number),
        };
        if renditions.iter().any(|r| r.name == name) {
            let _ = write!(name, " ({})", track.track);
        }
        renditions.push(Rendition {
            group: group.to_owned(),
            name,
            language: language.map(|l| l.tag),
            default: position == 0,
            channels: track.audio.map(|a| a.channels),
            uri: uri(track.track),
        });
    }
    renditions
}

fn variant(picture: Option<&TrackSummary>, sound: &[&TrackSummary], group: Option<&str>, uri: String) -> Variant {
    let mut codecs: Vec<&str> = Vec::new();
    for codec in picture.into_iter().chain(sound.iter().copied()).flat_map(|s| &s.codec_strings) {
        if !codecs.contains(&codec.as_str()) {
            codecs.push(codec);
        }
    }
    // One sound plays at a time: the largest counts.
    let most = |rate: fn(&TrackSummary) -> u64| {
        picture.map_or(0, rate).saturating_add(sound.iter().map(|s| rate(s)).max().unwrap_or(0))
    };
    Variant {
        bandwidth_bps: most(|s| s.peak_bps).max(1),
        average_bandwidth_bps: most(|s| s.average_bps).max(1),
        codecs: codecs.join(","),
        resolution: picture.and_then(|p| p.video).map(|v| (v.width, v.height)),
        frame_rate_milli: picture.and_then(|p| p.frame_rate_milli),
        audio_group: group.map(str::to_owned),
        uri,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{StreamName, UtcUs};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn base_names_are_spelled_as_the_id_spells_them(sequence in any::<u64>(), epoch in any::<u64>(), start in any::<i64>(), duration_us in any::<i64>(), run in any::<u128>()) {
            let id = SegmentId { stream: StreamName::parse("a").unwrap(), run: RunId(run), epoch, sequence, start: UtcUs(start), duration_us };
            let mut out = String::new();
            push_base_name(&mut out, &id);
            prop_assert_eq!(out, id.base_name().to_string());
        }
    }
}
