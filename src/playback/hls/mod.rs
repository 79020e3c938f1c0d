//! HLS playlists from a plan.
//!
//! Comes in: a request, its plan, what the init segments say, where media is fetched from. Goes out: the
//! text of one playlist, the same on every node. Never: reads rows or clocks.

pub(super) mod links;
pub(super) mod media;
mod multivariant;

use super::plan::Plan;
use super::url::{Form, Layout, MAX_MUXED, PlaylistFormat, PlaylistTarget, Request, Shift};
use super::window::WindowError;
use crate::media::track::{Codec, InitInfo};
use crate::media::{InitHash, TrackId, TrackKind};
use links::Links;
pub use links::MediaPlace;
use media::{Listed, Listing, media_playlist};

/// What plain `.m3u8` means for a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlainHls {
    /// MPEG-TS where the picture is H.264, else fragmented MP4.
    #[default]
    Auto,
    /// MPEG-TS.
    Ts,
    /// Fragmented MP4.
    Fmp4,
}

/// Container of the segments of a playlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// MPEG-TS.
    Ts,
    /// Fragmented MP4.
    Fmp4,
}

/// What a playlist is made of apart from request and plan.
#[derive(Clone, Copy)]
pub struct Material<'a> {
    /// What plain `.m3u8` means for the stream.
    pub plain: PlainHls,
    /// What [`inits_needed`] names.
    pub inits: &'a [InitInfo],
    /// Where media is fetched from.
    pub place: MediaPlace<'a>,
    /// Size of the first sample of the track that [`i_frame_track`] names, by the segment's number.
    pub first_sample_bytes: &'a dyn Fn(u64) -> Option<u32>,
}

/// The playlist for `request`: a media playlist where its address says all about one, else a multivariant one.
///
/// # Errors
/// [`WindowError::NoSuchTrack`] when none of the chosen tracks is there, [`WindowError::NotMade`] for what there is not.
pub fn playlist(
    request: &Request,
    target: &PlaylistTarget,
    plan: &Plan<'_>,
    material: &Material<'_>,
) -> Result<String, WindowError> {
    if target.format == PlaylistFormat::Dash {
        return Err(WindowError::NotMade("DASH is not made here yet; ask for .m3u8"));
    }
    let links = Links::new(request, material.place);
    if target.layout == Layout::IFrames {
        let track = i_frame_track(target, plan)?;
        let listing = Listing { tracks: &[track], as_what: Listed::IFrames(material.first_sample_bytes) };
        return Ok(media_playlist(plan, listing, request.delta, &links));
    }
    let mut tracks = plan.chosen_tracks(target.tracks.as_ref())?;
    let container = container(target, plan, material)?;
    let muxed = is_muxed(target, container);
    if muxed {
        tracks.truncate(MAX_MUXED);
    }
    if muxed && is_undated(target) {
        return Ok(multivariant::single_variant_playlist(plan, target, &tracks, container, material, &links));
    }
    if !muxed {
        return Ok(multivariant::multivariant_playlist(plan, &tracks, container, material, &links));
    }
    let as_what = if container == Container::Ts { Listed::Ts } else { Listed::Fmp4 };
    Ok(media_playlist(plan, Listing { tracks: &tracks, as_what }, request.delta, &links))
}

/// Whether the delay is still to be fixed: `timeshift_abs`. Its playlist leads to one that holds it.
fn is_undated(target: &PlaylistTarget) -> bool {
    matches!(target.form, Form::Timeshift(Shift::TunedInAt(_)))
}

/// Whether all that is chosen is in one playlist.
fn is_muxed(target: &PlaylistTarget, container: Container) -> bool {
    let chosen = target.tracks.as_ref().map_or(0, |t| t.selectors().len());
    match target.layout {
        Layout::Muxed | Layout::IFrames => true,
        Layout::Renditions => chosen == 1 || chosen > 1 && container == Container::Ts,
    }
}

/// The container that address and configuration name; `None` where the codec decides.
pub(super) const fn named_container(target: &PlaylistTarget, plain: PlainHls) -> Option<Container> {
    match (target.format, plain) {
        (PlaylistFormat::HlsTs, _) | (PlaylistFormat::Hls, PlainHls::Ts) => Some(Container::Ts),
        (PlaylistFormat::Hls, PlainHls::Auto) => None,
        _ => Some(Container::Fmp4),
    }
}

fn container(target: &PlaylistTarget, plan: &Plan<'_>, material: &Material<'_>) -> Result<Container, WindowError> {
    if let Some(named) = named_container(target, material.plain) {
        return Ok(named);
    }
    let first = first_picture(target, plan)?;
    let is_h264 = |hash| material.inits.iter().any(|i| i.hash == hash && i.params.codec == Codec::H264);
    Ok(if first.is_some_and(is_h264) { Container::Ts } else { Container::Fmp4 })
}

/// Init segment of the first picture that is listed.
fn first_picture(target: &PlaylistTarget, plan: &Plan<'_>) -> Result<Option<InitHash>, WindowError> {
    let tracks = plan.chosen_tracks(target.tracks.as_ref())?;
    let video = tracks.into_iter().find(|t| t.kind == TrackKind::Video);
    Ok(video.and_then(|track| plan.segments().find_map(|s| s.part(track)).map(|p| p.init)))
}

/// The init segments of which a playlist has to know what they say.
///
/// # Errors
/// As [`playlist`].
pub fn inits_needed(target: &PlaylistTarget, plan: &Plan<'_>, plain: PlainHls) -> Result<Vec<InitHash>, WindowError> {
    if target.layout == Layout::IFrames {
        return Ok(Vec::new());
    }
    let named = named_container(target, plain);
    // What is one playlist as fragmented MP4 is one as MPEG-TS, too.
    if is_undated(target) || !is_muxed(target, named.unwrap_or(Container::Fmp4)) {
        return Ok(plan.inits());
    }
    match named {
        Some(_) => Ok(Vec::new()),
        None => Ok(first_picture(target, plan)?.into_iter().collect()),
    }
}

/// The track of which a playlist of sync samples lists the first of each segment: the first chosen picture.
///
/// # Errors
/// [`WindowError::NotMade`] for other containers, and where the delay is still to be fixed.
pub fn i_frame_track(target: &PlaylistTarget, plan: &Plan<'_>) -> Result<TrackId, WindowError> {
    if matches!(target.format, PlaylistFormat::HlsTs | PlaylistFormat::Dash) {
        return Err(WindowError::NotMade("pictures for trick play are fragmented MP4; ask for .fmp4.m3u8"));
    }
    if is_undated(target) {
        return Err(WindowError::NotMade("pictures for trick play need a delay; ask for iframes-timeshift_rel-{n}"));
    }
    let tracks = plan.chosen_tracks(target.tracks.as_ref())?;
    tracks.into_iter().find(|t| t.kind == TrackKind::Video).ok_or(WindowError::NoSuchTrack)
}
