//! The multivariant playlist (RFC 8216 4.3.4): which renditions there are.
//!
//! Comes in: variants and renditions. Goes out: text. Never: decides what plays with what.

use super::text::{push_int, push_quoted, push_thousandths, push_uri};

/// EXT-X-MEDIA of TYPE=AUDIO (RFC 8216 4.3.4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendition {
    /// GROUP-ID.
    pub group: String,
    /// NAME: unique in its group.
    pub name: String,
    /// LANGUAGE: BCP 47.
    pub language: Option<String>,
    /// DEFAULT=YES; AUTOSELECT is always YES.
    pub default: bool,
    /// CHANNELS.
    pub channels: Option<u16>,
    /// URI of its media playlist; none where it is in the variants themselves.
    pub uri: Option<String>,
}

/// EXT-X-STREAM-INF (RFC 8216 4.3.4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// BANDWIDTH: peak bits per second of all its renditions together.
    pub bandwidth_bps: u64,
    /// AVERAGE-BANDWIDTH: bits per second.
    pub average_bandwidth_bps: u64,
    /// CODECS: RFC 6381, separated by commas; left out when empty.
    pub codecs: String,
    /// RESOLUTION: width and height.
    pub resolution: Option<(u32, u32)>,
    /// FRAME-RATE, in thousandths of a frame per second.
    pub frame_rate_milli: Option<u32>,
    /// AUDIO: GROUP-ID of the renditions it plays with.
    pub audio_group: Option<String>,
    /// URI of its media playlist.
    pub uri: String,
}

/// EXT-X-I-FRAME-STREAM-INF (RFC 8216 4.3.4.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IFrameVariant {
    /// BANDWIDTH: peak bits per second.
    pub bandwidth_bps: u64,
    /// CODECS: RFC 6381, separated by commas; left out when empty.
    pub codecs: String,
    /// RESOLUTION: width and height.
    pub resolution: Option<(u32, u32)>,
    /// URI of its media playlist.
    pub uri: String,
}

/// A multivariant playlist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultivariantPlaylist {
    /// EXT-X-VERSION: 7 for fMP4.
    pub version: u8,
    /// EXT-X-INDEPENDENT-SEGMENTS, for all its media playlists.
    pub independent_segments: bool,
    /// Audio renditions, group by group.
    pub renditions: Vec<Rendition>,
    /// Variants; players begin with the first.
    pub variants: Vec<Variant>,
    /// For trick play.
    pub i_frames: Vec<IFrameVariant>,
}

impl MultivariantPlaylist {
    /// The text, ending with a line break.
    pub fn to_text(&self) -> String {
        let mut out = String::with_capacity(128 + 256 * (self.renditions.len() + self.variants.len()));
        out.push_str("#EXTM3U\n#EXT-X-VERSION:");
        push_int(&mut out, self.version);
        out.push('\n');
        if self.independent_segments {
            out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
        }
        for rendition in &self.renditions {
            rendition.write(&mut out);
        }
        for variant in &self.variants {
            variant.write(&mut out);
        }
        for i_frames in &self.i_frames {
            i_frames.write(&mut out);
        }
        out
    }
}

impl Rendition {
    fn write(&self, out: &mut String) {
        out.push_str("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=");
        push_quoted(out, &self.group);
        out.push_str(",NAME=");
        push_quoted(out, &self.name);
        if let Some(language) = &self.language {
            out.push_str(",LANGUAGE=");
            push_quoted(out, language);
        }
        out.push_str(if self.default { ",DEFAULT=YES" } else { ",DEFAULT=NO" });
        out.push_str(",AUTOSELECT=YES");
        if let Some(channels) = self.channels {
            out.push_str(",CHANNELS=\"");
            push_int(out, channels);
            out.push('"');
        }
        if let Some(uri) = &self.uri {
            out.push_str(",URI=\"");
            push_uri(out, uri);
            out.push('"');
        }
        out.push('\n');
    }
}

impl IFrameVariant {
    fn write(&self, out: &mut String) {
        out.push_str("#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=");
        push_int(out, self.bandwidth_bps);
        push_codecs(out, &self.codecs);
        push_resolution(out, self.resolution);
        out.push_str(",URI=\"");
        push_uri(out, &self.uri);
        out.push_str("\"\n");
    }
}

fn push_codecs(out: &mut String, codecs: &str) {
    if !codecs.is_empty() {
        out.push_str(",CODECS=");
        push_quoted(out, codecs);
    }
}

fn push_resolution(out: &mut String, resolution: Option<(u32, u32)>) {
    if let Some((width, height)) = resolution {
        out.push_str(",RESOLUTION=");
        push_int(out, width);
        out.push('x');
        push_int(out, height);
    }
}

impl Variant {
    fn write(&self, out: &mut String) {
        out.push_str("#EXT-X-STREAM-INF:BANDWIDTH=");
        push_int(out, self.bandwidth_bps);
        out.push_str(",AVERAGE-BANDWIDTH=");
        push_int(out, self.average_bandwidth_bps);
        push_codecs(out, &self.codecs);
        push_resolution(out, self.resolution);
        if let Some(rate) = self.frame_rate_milli {
            out.push_str(",FRAME-RATE=");
            push_thousandths(out, rate);
        }
        if let Some(group) = &self.audio_group {
            out.push_str(",AUDIO=");
            push_quoted(out, group);
        }
        out.push('\n');
        push_uri(out, &self.uri);
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_inside_their_quotes() {
        let playlist = MultivariantPlaylist {
            version: 7,
            independent_segments: true,
            renditions: vec![Rendition {
                group: "aac".into(),
                name: "a\"b\nc".into(),
                language: Some("e\rn".into()),
                default: true,
                channels: Some(2),
                uri: Some("a\"\n.m3u8".into()),
            }],
            variants: vec![Variant {
                bandwidth_bps: 4_000_000,
                average_bandwidth_bps: 3_500_000,
                codecs: "avc1.640028,mp4a.40.2".into(),
                resolution: Some((1920, 1080)),
                frame_rate_milli: Some(29_970),
                audio_group: Some("aac".into()),
                uri: "v1.m3u8".into(),
            }],
            i_frames: vec![IFrameVariant {
                bandwidth_bps: 5,
                codecs: "a\"\n".into(),
                resolution: Some((64, 36)),
                uri: "i \".m3u8".into(),
            }],
        };
        insta::assert_snapshot!(playlist.to_text(), @r##"
        #EXTM3U
        #EXT-X-VERSION:7
        #EXT-X-INDEPENDENT-SEGMENTS
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="aac",NAME="a'b c",LANGUAGE="e n",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="a%22%0A.m3u8"
        #EXT-X-STREAM-INF:BANDWIDTH=4000000,AVERAGE-BANDWIDTH=3500000,CODECS="avc1.640028,mp4a.40.2",RESOLUTION=1920x1080,FRAME-RATE=29.970,AUDIO="aac"
        v1.m3u8
        #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=5,CODECS="a' ",RESOLUTION=64x36,URI="i%20%22.m3u8"
        "##);
    }
}
