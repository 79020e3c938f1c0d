//! URIs in playlists.
//!
//! Comes in: a request, segments, tracks. Goes out: addresses that the grammar reads, each thing's only one.

use crate::manifest::hls::WriteUri;
use crate::media::segment::{Segment, SegmentId};
use crate::media::{InitHash, RunId, TrackId, TrackKind, TrackPart};
use crate::playback::url::{CarriedQuery, PlaylistTarget, Request, WHOLE_OBJECT};
use std::fmt::Write;

/// Where players fetch media.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MediaPlace<'a> {
    /// Address of a CDN; relative to the playlist when `None`.
    pub base_url: Option<&'a str>,
    /// Single tracks of fragmented MP4 are ranges of whole objects, so that a request can be sent on to a store that
    /// knows nothing of tracks.
    pub whole_objects: bool,
}

/// Everything about a request that goes into URIs.
pub(in crate::playback) struct Links<'a> {
    /// Stands before `segment/` and `init/`.
    pub media_base: String,
    /// Leads from the request to its stream's folder.
    up: String,
    /// See [`MediaPlace::whole_objects`].
    pub whole_objects: bool,
    pub carried: &'a CarriedQuery,
}

impl<'a> Links<'a> {
    pub fn new(request: &'a Request, place: MediaPlace<'_>) -> Self {
        let up = "../".repeat(request.depth);
        let media_base = match place.base_url {
            // Set by an operator, but a line break in it would still break every playlist.
            Some(base) => {
                let base: String =
                    base.chars().filter(|c| c.is_ascii_graphic() && !"\"<>\\^`{|}#".contains(*c)).collect();
                format!("{}/{}/", base.trim_end_matches('/'), request.stream)
            }
            None => up.clone(),
        };
        Self { media_base, up, whole_objects: place.whole_objects, carried: &request.carried }
    }

    /// Links of media only, for text that is made once for many requests.
    pub fn bare(media_base: &str, whole_objects: bool, carried: &'a CarriedQuery) -> Self {
        Self { media_base: media_base.to_owned(), up: String::new(), whole_objects, carried }
    }

    /// The address of another playlist of the same stream.
    pub fn child(&self, target: &PlaylistTarget) -> String {
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

/// Those of `wanted` that a segment has.
#[derive(Clone, Copy)]
pub(in crate::playback) struct Present<'a> {
    pub segment: &'a Segment,
    pub wanted: &'a [TrackId],
}

impl<'a> Present<'a> {
    /// Their parts, in the order of `wanted`.
    pub fn parts(self) -> impl Iterator<Item = &'a TrackPart> {
        self.wanted.iter().filter_map(move |track| self.segment.part(*track))
    }
}

/// What a URI leads to.
#[derive(Clone, Copy)]
pub(in crate::playback) enum Resource<'a> {
    /// One track of a segment.
    Part(&'a SegmentId, &'a TrackPart),
    /// The object that holds a segment.
    Object(&'a SegmentId),
    /// Tracks of a segment as MPEG-TS.
    Ts(Present<'a>),
    /// Fragments of several tracks of a segment.
    Muxed(Present<'a>),
    /// An init segment.
    Init(InitHash),
    /// One init segment for several tracks.
    InitMuxed(Present<'a>),
    /// Nothing.
    Gap,
}

/// The URI of a media segment, of an init segment, or of nothing.
#[derive(Clone, Copy)]
pub(in crate::playback) struct MediaUri<'a> {
    pub links: &'a Links<'a>,
    pub what: Resource<'a>,
}

/// Whether two init segments are the same; nothing else is compared.
impl PartialEq for MediaUri<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self.what, other.what) {
            (Resource::Init(a), Resource::Init(b)) => a == b,
            (Resource::InitMuxed(a), Resource::InitMuxed(b)) => a.parts().map(|p| p.init).eq(b.parts().map(|p| p.init)),
            _ => false,
        }
    }
}

impl WriteUri for MediaUri<'_> {
    fn write_uri(&self, out: &mut String) {
        out.push_str(&self.links.media_base);
        match self.what {
            Resource::Part(id, part) => {
                push_folder(out, id);
                push_track(out, part.track);
                out.push('-');
                push_number(out, part.offset);
                out.push('-');
                push_number(out, part.length);
                out.push_str(".m4s");
            }
            Resource::Object(id) => {
                push_folder(out, id);
                out.push_str(WHOLE_OBJECT);
            }
            Resource::Ts(present) => {
                push_folder(out, &present.segment.id);
                present.parts().for_each(|p| push_track(out, p.track));
                out.push_str(".ts");
            }
            Resource::Muxed(present) => {
                push_folder(out, &present.segment.id);
                present.parts().for_each(|p| push_track(out, p.track));
                out.push_str(".m4s");
            }
            // Writing to a string does not fail.
            Resource::Init(hash) => drop(write!(out, "init/{hash}.mp4")),
            Resource::InitMuxed(present) => {
                for (n, part) in present.parts().enumerate() {
                    let _ = write!(out, "{}{}", if n == 0 { "init/" } else { "-" }, part.init);
                }
                out.push_str(".mp4");
            }
            Resource::Gap => out.push_str("segment/gap.m4s"),
        }
        self.links.push_query(out);
    }
}

fn push_folder(out: &mut String, id: &SegmentId) {
    out.push_str("segment/");
    push_base_name(out, id);
    out.push('/');
}

fn push_track(out: &mut String, track: TrackId) {
    out.push(match track.kind {
        TrackKind::Video => 'v',
        TrackKind::Audio => 'a',
    });
    push_number(out, track.number.into());
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
