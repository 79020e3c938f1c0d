//! Media playlists put together from text that was made beforehand.
//!
//! Comes in: a window, a view of rows. Goes out: the text of a media playlist, byte for byte what the plain way
//! ([`Plan::build`](super::plan::Plan::build), [`hls::playlist`]) gives, or nothing where only that knows the
//! answer. Never: another text than the plain way's.
//!
//! What a segment's lines say depends on the segment alone. So they are written once for a block of rows, and a
//! window is a head, a slice of each block, and the tags where something changes. Most windows change nowhere.

use super::hls::{self, Links, MediaUri, Resource};
use super::plan::{Link, MAX_LOST, link, longest_us, target_seconds};
use super::url::{Form, Layout, PlaylistFormat, PlaylistTarget, Request, Shift, TrackSelector};
use super::view::{Block, View};
use super::window::{Limits, Mode, Rows, Window};
use crate::manifest::hls::{DateText, MediaPlaylist, push_map};
use crate::media::{InitHash, Segment, TrackId, UtcUs};
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

/// What makes the lines of a segment differ between two playlists, apart from the carried query.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Style {
    track: TrackId,
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

impl Rendered {
    fn new(style: &Style, block: &Block) -> Self {
        let carried = super::url::CarriedQuery::default();
        let links = Links::bare(&style.media_base, &carried);
        let rows = block.segments();
        let mut new = Self {
            text: String::with_capacity(rows.len() * 192),
            ends: Vec::with_capacity(rows.len()),
            breaks: Vec::new(),
            odd: Vec::new(),
            unsynced: Vec::new(),
        };
        let mut dates = DateText::default();
        let mut before: Option<&Segment> = None;
        for (n, segment) in (0u32..).zip(rows) {
            let part = segment.part(style.track);
            if before.is_none_or(|b| !follows(b, segment, style.track)) {
                new.breaks.push(n);
            }
            match part {
                None => new.odd.push(n),
                Some(part) if !part.starts_with_sync => new.unsynced.push(n),
                Some(_) => {}
            }
            hls::listed(segment, style.track, &links).write_lines(&mut new.text, &mut dates);
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
fn follows(before: &Segment, after: &Segment, track: TrackId) -> bool {
    after.id.sequence == before.id.sequence.wrapping_add(1)
        && after.discontinuity == before.discontinuity
        && init_of(before, track) == init_of(after, track)
}

fn init_of(segment: &Segment, track: TrackId) -> Option<InitHash> {
    segment.part(track).map(|p| p.init)
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
    limits: &Limits,
    media_base_url: Option<&str>,
) -> Option<String> {
    let track = track_of(target)?;
    let whole = matches!(window.rows, Rows::Overlapping(_)) && window.listed_until == UtcUs(i64::MAX);
    if !whole || matches!(window.mode, Mode::Sliding { keep_us: Some(_) }) {
        return None;
    }
    let links = Links::new(request, media_base_url);
    let style = Style { track, media_base: links.media_base.clone() };
    let mut pieces = Vec::with_capacity(view.pieces().len());
    let mut independent = true;
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
    let mut target_duration_seconds = target_seconds(longest, limits);
    if target_duration_seconds > limits.target_seconds {
        // Some segment of the hour is long; whether one of the window is?
        target_duration_seconds = target_seconds(view.segments().map(longest_us).max()?, limits);
    }
    let (playlist_type, ended) = hls::kind(window.mode);
    let head: MediaPlaylist<MediaUri<'_>> = MediaPlaylist {
        version: hls::VERSION,
        target_duration_seconds,
        media_sequence: first.id.sequence,
        discontinuity_sequence: first.discontinuity,
        playlist_type,
        independent_segments: independent,
        start: hls::start(window, first, track),
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
            push_break(&mut out, before, segment, track, ended, &links)?;
        }
        push_lines(&mut out, piece, from..piece.rows.end, &links);
        before = piece.block.segments().get(piece.rows.end.checked_sub(1)?);
    }
    if ended {
        out.push_str("#EXT-X-ENDLIST\n");
    }
    Some(out)
}

/// The one track that a target names.
fn track_of(target: &PlaylistTarget) -> Option<TrackId> {
    let [TrackSelector::Id(track)] = target.tracks.as_ref()?.selectors() else { return None };
    let media = target.format == PlaylistFormat::HlsFmp4
        && target.layout == Layout::Renditions
        && !matches!(target.form, Form::Timeshift(Shift::TunedInAt(_)));
    media.then_some(*track)
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
    track: TrackId,
    ended: bool,
    links: &Links<'_>,
) -> Option<()> {
    let tags = match before.map(|b| link(b, segment, ended)) {
        None => 0,
        Some(Link::Next(tags)) => tags,
        Some(Link::Wide) if ended => 1,
        Some(Link::Wide | Link::Lost(..)) => return None,
    };
    debug_assert!(u64::from(tags) <= MAX_LOST);
    for _ in 0..tags {
        out.push_str("#EXT-X-DISCONTINUITY\n");
    }
    let init = init_of(segment, track);
    if let Some(hash) = init
        && (tags > 0 || before.and_then(|b| init_of(b, track)) != init)
    {
        push_map(out, &MediaUri { links, what: Resource::Init(hash) });
    }
    Some(())
}

#[cfg(test)]
mod tests;
