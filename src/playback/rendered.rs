//! Media playlists put together from text that was made beforehand.
//!
//! Comes in: a window, a view of rows. Goes out: the text of a media playlist, byte for byte what the plain way
//! ([`Plan::build`](super::plan::Plan::build), [`hls::playlist`]) gives, or nothing where only that knows the
//! answer. Never: another text than the plain way's.
//!
//! What a segment's lines say depends on the segment alone. So they are written once for a block of rows, and a
//! window is a head, a slice of each block, and the tags where something changes. Most windows change nowhere.

use super::hls::links::{Links, MediaUri, Present};
use super::hls::media::{self, Listed, Listing};
use super::hls::{Container, MediaPlace};
use super::plan::{Link, MAX_LOST, link};
use super::url::{Form, Layout, MAX_MUXED, PlaylistFormat, PlaylistTarget, Request, Shift, TrackSelector};
use super::view::{Block, View};
use super::window::{Mode, Rows, Window, target_seconds};
use crate::manifest::hls::{DateText, MediaPlaylist, push_map};
use crate::media::{Segment, TrackId, UtcUs};
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

/// What makes the lines of a segment differ between two playlists, apart from the carried query.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Style {
    /// Ascending, at least one.
    tracks: Vec<TrackId>,
    container: Container,
    whole_objects: bool,
    /// Stands before `segment/`.
    media_base: String,
}

/// The lines of all rows of a block in one style.
#[derive(Debug)]
struct Rendered {
    text: String,
    /// Where the lines of each row end; the last byte is a line break, what stands before it the URI.
    ends: Vec<u32>,
    /// Rows that do not simply follow the row before them.
    breaks: Vec<u32>,
    /// Rows of which the plain way must take care.
    odd: Vec<u32>,
    /// Rows that do not begin with a sync sample.
    unsynced: Vec<u32>,
}

/// Texts made of one block.
#[derive(Debug, Default)]
pub struct Renderings(RwLock<Vec<(Style, Arc<Rendered>)>>);

impl Renderings {
    /// Most texts of one block: a few tracks, seen from a few depths of the address.
    pub const MOST_TEXTS: usize = 8;

    fn of(&self, style: &Style, block: &Block) -> Option<Arc<Rendered>> {
        let found = |texts: &[(Style, Arc<Rendered>)]| texts.iter().find(|(s, _)| s == style).map(|(_, r)| r.clone());
        let texts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(rendered) = found(&texts) {
            return Some(rendered);
        }
        let full = texts.len() >= Self::MOST_TEXTS;
        drop(texts);
        if full {
            return None;
        }
        let rendered = Arc::new(Rendered::new(style, block));
        let mut texts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if found(&texts).is_none() && texts.len() < Self::MOST_TEXTS {
            texts.push((style.clone(), rendered.clone()));
        }
        Some(rendered)
    }
}

impl Style {
    fn listing(&self) -> Listing<'_> {
        let as_what = if self.container == Container::Ts { Listed::Ts } else { Listed::Fmp4 };
        Listing { tracks: &self.tracks, as_what }
    }
}

impl Rendered {
    fn new(style: &Style, block: &Block) -> Self {
        let carried = super::url::CarriedQuery::default();
        let links = Links::bare(&style.media_base, style.whole_objects, &carried);
        let rows = block.segments();
        let mut new = Self {
            text: String::with_capacity(rows.len() * 192),
            ends: Vec::with_capacity(rows.len()),
            breaks: Vec::new(),
            odd: Vec::new(),
            unsynced: Vec::new(),
        };
        let mut dates = DateText::default();
        let listing = style.listing();
        let mut before: Option<&Segment> = None;
        for (n, segment) in (0u32..).zip(rows) {
            let present = Present { segment, wanted: &style.tracks };
            if before.is_none_or(|b| !follows(b, segment, &listing, &links)) {
                new.breaks.push(n);
            }
            if present.parts().next().is_none() {
                new.odd.push(n);
            }
            if present.parts().any(|p| !p.starts_with_sync) {
                new.unsynced.push(n);
            }
            listing.segment(segment, &links).write_lines(&mut new.text, &mut dates);
            // A block has some ten thousand rows at most.
            new.ends.push(u32::try_from(new.text.len()).unwrap_or(u32::MAX));
            before = Some(segment);
        }
        new.text.shrink_to_fit();
        new
    }

    /// The lines of some rows.
    fn lines(&self, rows: Range<usize>) -> &str {
        let end = |row: usize| row.checked_sub(1).and_then(|r| self.ends.get(r)).map_or(0, |e| *e as usize);
        self.text.get(end(rows.start)..end(rows.end)).unwrap_or_default()
    }
}

/// Whether nothing stands between the lines of the two.
fn follows(before: &Segment, after: &Segment, listing: &Listing<'_>, links: &Links<'_>) -> bool {
    after.id.sequence == before.id.sequence.wrapping_add(1)
        && after.discontinuity == before.discontinuity
        && after.id.run == before.id.run
        && listing.map(before, links) == listing.map(after, links)
}

/// Whether any of the ascending `numbers` lies in `rows`.
fn any_in(numbers: &[u32], rows: &Range<usize>) -> bool {
    let from = numbers.partition_point(|n| (*n as usize) < rows.start);
    numbers.get(from).is_some_and(|n| (*n as usize) < rows.end)
}

/// One piece of the view, with its text.
struct Piece<'a> {
    block: &'a Block,
    rows: Range<usize>,
    rendered: Arc<Rendered>,
}

/// The media playlist for `request`, or `None` where the plain way has to be taken.
pub fn media_playlist(
    request: &Request,
    target: &PlaylistTarget,
    window: &Window,
    view: &View,
    place: MediaPlace<'_>,
) -> Option<String> {
    let (tracks, container) = listed_in(target)?;
    let whole = matches!(window.rows, Rows::Overlapping(_)) && window.listed_until == UtcUs(i64::MAX);
    let can_skip = window.can_skip;
    if !whole || matches!(window.mode, Mode::Sliding { keep_us: Some(_) }) || can_skip && request.delta {
        return None;
    }
    let links = Links::new(request, place);
    let whole_objects = links.whole_objects;
    let style = Style { tracks, container, whole_objects, media_base: links.media_base.clone() };
    // Nobody reloads it who saw it grow.
    let closed = matches!(window.mode, Mode::Vod { fresh: false, .. });
    let mut pieces = Vec::with_capacity(view.pieces().len());
    let mut independent = closed;
    let mut longest = 0;
    let mut bytes = 512;
    for (block, rows) in view.pieces() {
        let rendered = block.renderings().of(&style, block)?;
        if any_in(&rendered.odd, rows) {
            return None;
        }
        independent &= !any_in(&rendered.unsynced, rows);
        longest = longest.max(block.longest_us());
        bytes += rendered.lines(rows.clone()).len();
        pieces.push(Piece { block, rows: rows.clone(), rendered });
    }
    let first = view.segments().next()?;
    let target_duration_seconds = window.target_seconds;
    if target_seconds(longest, 1) > target_duration_seconds {
        return None;
    }
    let (playlist_type, ended) = media::kind(window.mode);
    let listing = style.listing();
    let head: MediaPlaylist<MediaUri<'_>> = MediaPlaylist {
        version: if container == Container::Ts { media::VERSION_TS } else { media::VERSION_FMP4 },
        target_duration_seconds,
        media_sequence: first.id.sequence,
        discontinuity_sequence: first.discontinuity,
        playlist_type,
        independent_segments: independent,
        i_frames_only: false,
        start: media::start(window, first, &style.tracks),
        can_skip_until_seconds: can_skip.then(|| media::skip_boundary_seconds(target_duration_seconds)),
        skipped_segments: 0,
        segments: Vec::new(),
        ended,
    };
    if !links.carried.is_empty() {
        bytes += view.len() * (links.carried.as_str().len() + 1);
    }
    let mut out = String::with_capacity(bytes);
    head.write_head(&mut out);
    let mut before: Option<&Segment> = None;
    for piece in &pieces {
        let mut from = piece.rows.start;
        let breaks = &piece.rendered.breaks;
        let next = breaks.partition_point(|n| (*n as usize) <= from);
        // The first row of a piece may follow the last one of the piece before.
        let inner = breaks.iter().skip(next).map(|n| *n as usize).take_while(|n| *n < piece.rows.end);
        for row in std::iter::once(from).chain(inner) {
            push_lines(&mut out, piece, from..row, &links);
            from = row;
            let segment = piece.block.segments().get(row)?;
            if row > piece.rows.start {
                before = piece.block.segments().get(row - 1);
            }
            push_break(&mut out, before, segment, &listing, closed, &links)?;
        }
        push_lines(&mut out, piece, from..piece.rows.end, &links);
        before = piece.block.segments().get(piece.rows.end.checked_sub(1)?);
    }
    if ended {
        out.push_str("#EXT-X-ENDLIST\n");
    }
    Some(out)
}

/// The tracks that a target names for a playlist of its own, and their container.
fn listed_in(target: &PlaylistTarget) -> Option<(Vec<TrackId>, Container)> {
    let chosen = target.tracks.as_ref()?.selectors();
    let container = match target.format {
        PlaylistFormat::HlsFmp4 if chosen.len() == 1 => Container::Fmp4,
        PlaylistFormat::HlsTs if chosen.len() <= MAX_MUXED => Container::Ts,
        _ => return None,
    };
    if target.layout != Layout::Renditions || matches!(target.form, Form::Timeshift(Shift::TunedInAt(_))) {
        return None;
    }
    let mut tracks = Vec::with_capacity(chosen.len());
    for selector in chosen {
        let TrackSelector::Id(track) = *selector else { return None };
        tracks.push(track);
    }
    tracks.sort_unstable();
    Some((tracks, container))
}

/// The lines of some rows, each URI with the carried query.
fn push_lines(out: &mut String, piece: &Piece<'_>, rows: Range<usize>, links: &Links<'_>) {
    if links.carried.is_empty() {
        out.push_str(piece.rendered.lines(rows));
        return;
    }
    for row in rows {
        let lines = piece.rendered.lines(row..row + 1);
        out.push_str(lines.strip_suffix('\n').unwrap_or(lines));
        out.push('?');
        out.push_str(links.carried.as_str());
        out.push('\n');
    }
}

/// The tags between two segments; `None` when placeholders are needed, or a sliding playlist would begin later.
fn push_break(
    out: &mut String,
    before: Option<&Segment>,
    segment: &Segment,
    listing: &Listing<'_>,
    closed: bool,
    links: &Links<'_>,
) -> Option<()> {
    let tags = match before.map(|b| link(b, segment, closed)) {
        None => 0,
        Some(Link::Next(tags)) => tags,
        Some(Link::Wide) if closed => 1,
        Some(Link::Wide | Link::Lost(..)) => return None,
    };
    debug_assert!(u64::from(tags) <= MAX_LOST);
    for _ in 0..tags {
        out.push_str("#EXT-X-DISCONTINUITY\n");
    }
    let map = listing.map(segment, links);
    if let Some(init) = &map
        && (tags > 0 || before.and_then(|b| listing.map(b, links)).as_ref() != Some(init))
    {
        push_map(out, init);
    }
    Some(())
}

#[cfg(test)]
mod tests;
