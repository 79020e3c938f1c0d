//! The media playlist (RFC 8216 4.3.3), written by hand: one pass, one text, nothing allocated for a segment.
//!
//! Comes in: numbers, durations, URIs. Goes out: text. Never: checks or changes the numbering.

use super::text::{DateText, push_int, push_seconds, push_uri};
use crate::media::UtcUs;

/// Something that prints itself as a URI: saves one allocation for each segment.
pub trait WriteUri {
    /// Appends the URI. It must hold nothing but characters of RFC 3986 and not begin with `#`.
    fn write_uri(&self, out: &mut String);
}

impl WriteUri for &str {
    fn write_uri(&self, out: &mut String) {
        push_uri(out, self);
    }
}

/// EXT-X-PLAYLIST-TYPE (RFC 8216 4.3.3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaylistType {
    /// Segments are only added at the end.
    Event,
    /// The playlist does not change.
    Vod,
}

/// EXT-X-START (RFC 8216 4.3.5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// TIME-OFFSET from the beginning of the playlist, in microseconds.
    pub time_offset_us: i64,
    /// PRECISE=YES: samples before the offset are not shown.
    pub precise: bool,
}

/// One segment of a media playlist, with what stands before its URI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaSegment<U> {
    /// EXT-X-DISCONTINUITY tags before it (RFC 8216 4.3.2.3): more than one where segments that
    /// followed a discontinuity are missing, so that the numbers after stay right.
    pub discontinuities: u32,
    /// Its init segment, for EXT-X-MAP (RFC 8216 4.3.2.5), which is written where it changes.
    pub map: Option<U>,
    /// Wall time of its first sample (RFC 8216 4.3.2.6).
    pub program_date_time: Option<UtcUs>,
    /// EXTINF (RFC 8216 4.3.2.1), in microseconds.
    pub duration_us: i64,
    /// EXT-X-GAP (rfc8216bis 4.4.4.7): there is no media behind this URI.
    pub gap: bool,
    /// EXT-X-BYTERANGE (RFC 8216 4.3.2.2): length and first byte of the part of the resource that is meant.
    pub byte_range: Option<(u64, u64)>,
    /// Its URI.
    pub uri: U,
}

/// A media playlist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaPlaylist<U> {
    /// EXT-X-VERSION: no lower than the tags ask for (RFC 8216 7).
    pub version: u8,
    /// EXT-X-TARGETDURATION: at least every EXTINF rounded to whole seconds.
    pub target_duration_seconds: u32,
    /// EXT-X-MEDIA-SEQUENCE: number of the first segment.
    pub media_sequence: u64,
    /// EXT-X-DISCONTINUITY-SEQUENCE: discontinuity number of the first segment.
    pub discontinuity_sequence: u64,
    /// EXT-X-PLAYLIST-TYPE; none for sliding playlists.
    pub playlist_type: Option<PlaylistType>,
    /// EXT-X-INDEPENDENT-SEGMENTS.
    pub independent_segments: bool,
    /// EXT-X-I-FRAMES-ONLY (RFC 8216 4.3.3.6).
    pub i_frames_only: bool,
    /// EXT-X-START.
    pub start: Option<Start>,
    /// CAN-SKIP-UNTIL of EXT-X-SERVER-CONTROL (rfc8216bis 4.4.3.8), in whole seconds.
    pub can_skip_until_seconds: Option<u32>,
    /// SKIPPED-SEGMENTS of EXT-X-SKIP (rfc8216bis 4.4.5.2): so many stand before the first of `segments`. None unless
    /// more than 0.
    pub skipped_segments: u64,
    /// In order.
    pub segments: Vec<MediaSegment<U>>,
    /// EXT-X-ENDLIST.
    pub ended: bool,
}

/// Appends EXT-X-MAP with the URI of an init segment.
pub fn push_map(out: &mut String, init: &impl WriteUri) {
    out.push_str("#EXT-X-MAP:URI=\"");
    init.write_uri(out);
    out.push_str("\"\n");
}

impl<U: WriteUri> MediaSegment<U> {
    /// Appends what depends on nothing but the segment: PROGRAM-DATE-TIME, GAP, EXTINF, and the URI in a line of
    /// its own, the last one.
    pub fn write_lines(&self, out: &mut String, dates: &mut DateText) {
        if let Some(at) = self.program_date_time {
            let before = out.len();
            out.push_str("#EXT-X-PROGRAM-DATE-TIME:");
            if dates.push(out, at) {
                out.push('\n');
            } else {
                out.truncate(before);
            }
        }
        if self.gap {
            out.push_str("#EXT-X-GAP\n");
        }
        if let Some((length, offset)) = self.byte_range {
            out.push_str("#EXT-X-BYTERANGE:");
            push_int(out, length);
            out.push('@');
            push_int(out, offset);
            out.push('\n');
        }
        out.push_str("#EXTINF:");
        push_seconds(out, self.duration_us.max(0));
        out.push_str(",\n");
        self.uri.write_uri(out);
        out.push('\n');
    }
}

impl<U: WriteUri + PartialEq> MediaPlaylist<U> {
    /// The text, ending with a line break.
    pub fn to_text(&self) -> String {
        let mut out = String::with_capacity(256 + self.segments.len() * 224);
        self.write_head(&mut out);
        let mut dates = DateText::default();
        let mut map = None;
        for segment in &self.segments {
            for _ in 0..segment.discontinuities {
                out.push_str("#EXT-X-DISCONTINUITY\n");
            }
            if segment.discontinuities > 0 {
                // Legal either way; some players forget the init segment here.
                map = None;
            }
            if let Some(init) = &segment.map
                && map != Some(init)
            {
                push_map(&mut out, init);
                map = Some(init);
            }
            segment.write_lines(&mut out, &mut dates);
        }
        if self.ended {
            out.push_str("#EXT-X-ENDLIST\n");
        }
        out
    }

    /// The tags before the first segment.
    pub fn write_head(&self, out: &mut String) {
        out.push_str("#EXTM3U\n#EXT-X-VERSION:");
        push_int(out, self.version);
        out.push_str("\n#EXT-X-TARGETDURATION:");
        push_int(out, self.target_duration_seconds);
        out.push_str("\n#EXT-X-MEDIA-SEQUENCE:");
        push_int(out, self.media_sequence);
        out.push_str("\n#EXT-X-DISCONTINUITY-SEQUENCE:");
        push_int(out, self.discontinuity_sequence);
        out.push('\n');
        match self.playlist_type {
            Some(PlaylistType::Event) => out.push_str("#EXT-X-PLAYLIST-TYPE:EVENT\n"),
            Some(PlaylistType::Vod) => out.push_str("#EXT-X-PLAYLIST-TYPE:VOD\n"),
            None => {}
        }
        if self.independent_segments {
            out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
        }
        if self.i_frames_only {
            out.push_str("#EXT-X-I-FRAMES-ONLY\n");
        }
        if let Some(seconds) = self.can_skip_until_seconds {
            out.push_str("#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=");
            push_int(out, seconds);
            out.push_str(".0\n");
        }
        if let Some(start) = self.start {
            out.push_str("#EXT-X-START:TIME-OFFSET=");
            if start.time_offset_us == 0 {
                out.push('0');
            } else {
                push_seconds(out, start.time_offset_us);
            }
            out.push_str(if start.precise { ",PRECISE=YES\n" } else { "\n" });
        }
        if self.skipped_segments > 0 {
            out.push_str("#EXT-X-SKIP:SKIPPED-SEGMENTS=");
            push_int(out, self.skipped_segments);
            out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(map: &'static str, uri: &'static str) -> MediaSegment<&'static str> {
        MediaSegment {
            discontinuities: 0,
            map: Some(map),
            program_date_time: Some(UtcUs(1_409_148_900_123_999)),
            duration_us: 6_006_000,
            gap: false,
            byte_range: None,
            uri,
        }
    }

    #[test]
    fn every_tag_in_its_place() {
        let playlist = MediaPlaylist {
            version: 9,
            target_duration_seconds: 12,
            media_sequence: 41,
            discontinuity_sequence: 3,
            playlist_type: Some(PlaylistType::Vod),
            independent_segments: true,
            i_frames_only: true,
            start: Some(Start { time_offset_us: 1_250_000, precise: true }),
            can_skip_until_seconds: Some(72),
            skipped_segments: 3,
            segments: vec![
                segment("i1.mp4", "a.m4s"),
                MediaSegment { gap: true, program_date_time: None, ..segment("i1.mp4", "gap.m4s") },
                MediaSegment { byte_range: Some((900, 40)), ..segment("i2.mp4", "b.m4s") },
                MediaSegment { discontinuities: 2, ..segment("i2.mp4", "c d\n.m4s") },
            ],
            ended: true,
        };
        insta::assert_snapshot!(playlist.to_text(), @r##"
        #EXTM3U
        #EXT-X-VERSION:9
        #EXT-X-TARGETDURATION:12
        #EXT-X-MEDIA-SEQUENCE:41
        #EXT-X-DISCONTINUITY-SEQUENCE:3
        #EXT-X-PLAYLIST-TYPE:VOD
        #EXT-X-INDEPENDENT-SEGMENTS
        #EXT-X-I-FRAMES-ONLY
        #EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=72.0
        #EXT-X-START:TIME-OFFSET=1.250000,PRECISE=YES
        #EXT-X-SKIP:SKIPPED-SEGMENTS=3
        #EXT-X-MAP:URI="i1.mp4"
        #EXT-X-PROGRAM-DATE-TIME:2014-08-27T14:15:00.123Z
        #EXTINF:6.006000,
        a.m4s
        #EXT-X-GAP
        #EXTINF:6.006000,
        gap.m4s
        #EXT-X-MAP:URI="i2.mp4"
        #EXT-X-PROGRAM-DATE-TIME:2014-08-27T14:15:00.123Z
        #EXT-X-BYTERANGE:900@40
        #EXTINF:6.006000,
        b.m4s
        #EXT-X-DISCONTINUITY
        #EXT-X-DISCONTINUITY
        #EXT-X-MAP:URI="i2.mp4"
        #EXT-X-PROGRAM-DATE-TIME:2014-08-27T14:15:00.123Z
        #EXTINF:6.006000,
        c%20d%0A.m4s
        #EXT-X-ENDLIST
        "##);
    }
}
