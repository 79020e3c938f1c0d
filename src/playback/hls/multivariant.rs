//! The multivariant playlist of a plan: which renditions there are, and which play together.

use super::links::Links;
use super::{Container, Material};
use crate::manifest::hls::{IFrameVariant, MultivariantPlaylist, Rendition, Variant};
use crate::media::track::Codec;
use crate::media::{TrackId, TrackKind};
use crate::playback::language;
use crate::playback::plan::Plan;
use crate::playback::summary::{TrackSummary, summarize};
use crate::playback::url::{Layout, PlaylistFormat, PlaylistTarget, TrackChoice};
use std::fmt::Write;

/// What a MPEG-TS segment adds to a track, at most, apart from a tenth: filling packets, tables.
const TS_OVERHEAD_BPS: u64 = 50_000;

/// Makes the children of one multivariant playlist.
struct Children<'a> {
    plan: &'a Plan<'a>,
    container: Container,
    links: &'a Links<'a>,
}

impl Children<'_> {
    fn uri(&self, layout: Layout, tracks: Option<TrackChoice>, container: Container) -> String {
        let format = match container {
            Container::Ts => PlaylistFormat::HlsTs,
            Container::Fmp4 => PlaylistFormat::HlsFmp4,
        };
        self.links.child(&PlaylistTarget { form: self.plan.window().child, format, layout, tracks })
    }

    fn of(&self, tracks: &[TrackId]) -> String {
        self.uri(Layout::Renditions, Some(TrackChoice::of(tracks)), self.container)
    }

    /// A picture, with the sound that stands in the same segments: in MPEG-TS the first of its group.
    fn picture(&self, picture: TrackId, sound: Option<TrackId>) -> String {
        match (self.container, sound) {
            (Container::Ts, Some(sound)) => self.of(&[picture, sound]),
            _ => self.of(&[picture]),
        }
    }

    fn i_frames(&self, pictures: &[&TrackSummary]) -> Vec<IFrameVariant> {
        let one = |picture: &&TrackSummary| IFrameVariant {
            // One sample is less than the whole segment, in the same time.
            bandwidth_bps: picture.peak_bps.max(1),
            codecs: picture.codec_strings.join(","),
            resolution: picture.video.map(|v| (v.width, v.height)),
            uri: self.uri(Layout::IFrames, Some(TrackChoice::one(picture.track)), Container::Fmp4),
        };
        pictures.iter().map(one).collect()
    }
}

/// The playlist of all renditions of `tracks`.
pub fn multivariant_playlist(
    plan: &Plan<'_>,
    tracks: &[TrackId],
    container: Container,
    material: &Material<'_>,
    links: &Links<'_>,
) -> String {
    let summaries = summaries(plan, tracks, container, material);
    let (video, audio): (Vec<&TrackSummary>, Vec<&TrackSummary>) =
        summaries.iter().partition(|s| s.track.kind == TrackKind::Video);
    let children = Children { plan, container, links };
    let groups = audio_groups(&audio);
    // One sound without pictures needs no group.
    let grouped = !video.is_empty() || audio.len() > 1;
    let mut renditions = Vec::new();
    let mut variants = Vec::new();
    if grouped {
        for (name, members) in &groups {
            let inside = |position| container == Container::Ts && position == 0;
            renditions.extend(group_renditions(name, members, |position, track| {
                (!inside(position)).then(|| children.of(&[track]))
            }));
        }
    }
    for picture in &video {
        if groups.is_empty() {
            variants.push(variant(Some(picture), &[], None, children.picture(picture.track, None)));
        }
        for (name, members) in &groups {
            let uri = children.picture(picture.track, members.first().map(|m| m.track));
            variants.push(variant(Some(picture), members, Some(*name), uri));
        }
    }
    if video.is_empty() {
        for (name, members) in &groups {
            let Some(first) = members.first() else { continue };
            variants.push(variant(None, members, grouped.then_some(*name), children.of(&[first.track])));
        }
    }
    let version = match container {
        Container::Fmp4 => super::media::VERSION_FMP4,
        // RFC 8216 7: EXT-X-MEDIA says little to players of version 3.
        Container::Ts if renditions.is_empty() => 3,
        Container::Ts => 4,
    };
    MultivariantPlaylist {
        version,
        independent_segments: super::media::independent(plan, tracks),
        renditions,
        variants,
        i_frames: children.i_frames(&video),
    }
    .to_text()
}

/// The playlist of one variant, which fixes what its address leaves open: `tracks` muxed, or one alone.
pub fn single_variant_playlist(
    plan: &Plan<'_>,
    target: &PlaylistTarget,
    tracks: &[TrackId],
    container: Container,
    material: &Material<'_>,
    links: &Links<'_>,
) -> String {
    let summaries = summaries(plan, tracks, container, material);
    let (video, audio): (Vec<&TrackSummary>, Vec<&TrackSummary>) =
        summaries.iter().partition(|s| s.track.kind == TrackKind::Video);
    let children = Children { plan, container, links };
    let uri = children.uri(target.layout, target.tracks.clone(), container);
    let mut variant = variant(video.first().copied(), &audio, None, uri);
    // All are in the same segments.
    let sum = |rate: fn(&TrackSummary) -> u64| summaries.iter().map(rate).fold(0, u64::saturating_add);
    variant.bandwidth_bps = sum(|s| s.peak_bps).max(1);
    variant.average_bandwidth_bps = sum(|s| s.average_bps).max(1);
    MultivariantPlaylist {
        version: if container == Container::Ts { 3 } else { super::media::VERSION_FMP4 },
        independent_segments: super::media::independent(plan, tracks),
        renditions: Vec::new(),
        variants: vec![variant],
        i_frames: children.i_frames(&video),
    }
    .to_text()
}

fn summaries(plan: &Plan<'_>, tracks: &[TrackId], container: Container, material: &Material<'_>) -> Vec<TrackSummary> {
    let mut summaries = summarize(plan.segments(), material.inits);
    summaries.retain(|s| tracks.contains(&s.track));
    if container == Container::Ts {
        for summary in &mut summaries {
            let muxed = |rate: u64| rate.saturating_add(rate / 10).saturating_add(TS_OVERHEAD_BPS);
            (summary.peak_bps, summary.average_bps) = (muxed(summary.peak_bps), muxed(summary.average_bps));
        }
    }
    summaries
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

fn group_renditions(
    group: &str,
    members: &[&TrackSummary],
    uri: impl Fn(usize, TrackId) -> Option<String>,
) -> Vec<Rendition> {
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
            uri: uri(position, track.track),
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
