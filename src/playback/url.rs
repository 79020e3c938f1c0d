//! The URL grammar of playback: one type for requests, one parser, one printer, one table of tests.
//!
//! Comes in: a path and a query as they were sent, from anyone. Goes out: a [`Request`] that says what is
//! asked of which stream, or the path of one. Lenient in what is read, one spelling in what is printed.
//! Never: looks anything up; lets a line break, a quote or a control character through.

mod parse;
mod query;
#[cfg(test)]
mod tests;

pub use parse::parse;
pub use query::CarriedQuery;

use crate::media::segment::SegmentId;
use crate::media::{InitHash, StreamName, TrackId, UtcUs};
use std::fmt::{self, Write};

/// Why a URL is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// No such address.
    #[error("there is nothing at this address")]
    NotFound,
    /// The address is known, a value in it is wrong: a sentence for whoever made the URL, free of their text.
    #[error("{0}")]
    BadRequest(&'static str),
}

/// What is asked of which stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The stream. Whether it exists is not known here.
    pub stream: StreamName,
    /// What is asked.
    pub target: Target,
    /// The part of the query that every URI of the answer repeats.
    pub carried: CarriedQuery,
    /// `_HLS_skip=YES` or `v2` (rfc8216bis 6.2.5.1): a playlist update without what is known already will do.
    pub delta: bool,
    /// Path components between the stream and the last one: as many `../` lead back to the stream.
    pub depth: usize,
}

/// What can be asked of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An HLS or DASH playlist.
    Playlist(PlaylistTarget),
    /// `archive-{from}-{duration}.mp4` or `.ts`: a finite window as one file.
    Export {
        /// First moment.
        from: UtcUs,
        /// Length in microseconds, more than 0.
        duration_us: i64,
        /// What kind of file.
        format: ExportFormat,
        /// Which tracks; all when `None`.
        tracks: Option<TrackChoice>,
    },
    /// `timeshift_abs/{t}`, `timeshift_rel/{n}` and their `-….ts` spellings: endless MPEG-TS in real time.
    TsStream {
        /// From when.
        shift: Shift,
        /// Which tracks; all when `None`.
        tracks: Option<TrackChoice>,
    },
    /// `{t}-preview.mp4`, `preview.jpg` and so on: one picture.
    Preview {
        /// Of when; the newest when `None`.
        at: Option<UtcUs>,
        /// As what.
        format: PreviewFormat,
    },
    /// `recording_status.json?from=&to=&request=ranges`.
    RecordingStatus {
        /// Ranges that end before are left out.
        from: Option<UtcUs>,
        /// Ranges that begin after are left out.
        to: Option<UtcUs>,
    },
    /// `ranges.json?opened_at_gte=&closed_at_lte=&limit=&cursor=&resolution=`.
    Ranges(RangesTarget),
    /// `media_info.json`.
    MediaInfo,
    /// `segment/{base}/{track}-{offset}-{length}.m4s`: one track of one segment, all that is needed to fetch it.
    Segment {
        /// The segment: its object's key follows.
        id: SegmentId,
        /// Which track.
        track: TrackId,
        /// First byte in the object.
        offset: u64,
        /// Bytes, at least 1.
        length: u64,
    },
    /// `segment/{base}/object.m4s`: the object that holds a segment, of which players fetch ranges.
    Object {
        /// The segment: its object's key follows.
        id: SegmentId,
    },
    /// `segment/{base}/{tracks}.ts`: tracks of one segment as MPEG-TS.
    SegmentTs {
        /// The segment: its object's key follows.
        id: SegmentId,
        /// Which tracks: 1 to [`MAX_MUXED`], ascending.
        tracks: Vec<TrackId>,
    },
    /// `segment/{base}/{tracks}.m4s`: fragments of several tracks of one segment.
    SegmentMuxed {
        /// The segment: its object's key follows.
        id: SegmentId,
        /// Which tracks: 2 to [`MAX_MUXED`], ascending.
        tracks: Vec<TrackId>,
    },
    /// `init/{hash}.mp4`: an init segment.
    Init {
        /// Its content hash.
        hash: InitHash,
    },
    /// `init/{hash}-{hash}….mp4`: one init segment for several tracks.
    InitMuxed {
        /// Content hashes of theirs in the order of the tracks: 2 to [`MAX_MUXED`].
        hashes: Vec<InitHash>,
    },
}

/// Last part of the address of a whole object.
pub(in crate::playback) const WHOLE_OBJECT: &str = "object.m4s";

/// Most tracks in one muxed segment.
pub const MAX_MUXED: usize = 16;

/// A playlist: of when, in which format, with which tracks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaylistTarget {
    /// Of when.
    pub form: Form,
    /// In which format.
    pub format: PlaylistFormat,
    /// What is in its segments.
    pub layout: Layout,
    /// Which tracks; all when `None`.
    pub tracks: Option<TrackChoice>,
}

/// What is in the segments of a playlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Each rendition by itself, or as the container wants it.
    Renditions,
    /// `mono-…`, `video-…`: one media playlist, all tracks muxed.
    Muxed,
    /// `iframes-…`: the sync samples of one video track.
    IFrames,
}

/// Of when a playlist is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// `index`: live.
    Live,
    /// `archive-{from}-{duration}`, `index-{from}-{duration}`: a finite window.
    Finite {
        /// First moment.
        from: UtcUs,
        /// Length in microseconds, more than 0.
        duration_us: i64,
    },
    /// `archive-{from}-now`, `index-{from}-now`, `index?utc={from}`: start-over.
    FromNow {
        /// First moment.
        from: UtcUs,
    },
    /// Live, shifted in time.
    Timeshift(Shift),
    /// `rewind-{n}`: live with a wide past.
    Rewind {
        /// Seekable past in microseconds, more than 0.
        length_us: i64,
    },
}

/// How far a shifted live stream lies behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shift {
    /// By a constant, in microseconds, 0 or more.
    Delay(i64),
    /// As if tuned in at this moment.
    TunedInAt(UtcUs),
}

/// Format of a playlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlaylistFormat {
    /// `.m3u8`: HLS in the container that fits the codecs.
    Hls,
    /// `.fmp4.m3u8`: HLS with fragmented MP4.
    HlsFmp4,
    /// `.ts.m3u8`: HLS with MPEG-TS.
    HlsTs,
    /// `.mpd`: DASH.
    Dash,
}

/// Format of an exported file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExportFormat {
    /// Progressive MP4.
    Mp4,
    /// MPEG-TS.
    Ts,
}

/// Format of a preview.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PreviewFormat {
    /// A single sync sample.
    Mp4,
    /// JPEG.
    Jpg,
}

/// Parameters of `ranges.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RangesTarget {
    /// Ranges that close before are left out.
    pub opened_at_gte: Option<UtcUs>,
    /// Ranges that open after are left out.
    pub closed_at_lte: Option<UtcUs>,
    /// Most ranges in one answer, 1 to [`RangesTarget::MAX_LIMIT`].
    pub limit: usize,
    /// Where the page before ended: ranges that open at or after this moment.
    pub cursor: Option<UtcUs>,
    /// Join ranges that lie no further apart, in microseconds.
    pub resolution_us: Option<i64>,
}

impl RangesTarget {
    /// Ranges in one answer when the request does not say.
    pub const DEFAULT_LIMIT: usize = 100;
    /// Most ranges in one answer.
    pub const MAX_LIMIT: usize = 1000;
}

/// Which tracks a request wants: `v1a1`, `1,2`. At most [`TrackChoice::MAX`], none twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackChoice(Vec<TrackSelector>);

/// One chosen track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrackSelector {
    /// By its name.
    Id(TrackId),
    /// The n-th of the tracks there are, from 1, video first.
    Nth(u8),
}

impl TrackChoice {
    /// Most tracks in one choice.
    pub const MAX: usize = 32;

    /// A choice of one track.
    pub fn one(track: TrackId) -> Self {
        Self(vec![TrackSelector::Id(track)])
    }

    /// A choice of these; more than [`TrackChoice::MAX`] are left out.
    pub fn of(tracks: &[TrackId]) -> Self {
        Self(tracks.iter().take(Self::MAX).map(|t| TrackSelector::Id(*t)).collect())
    }

    /// The chosen ones, at least one.
    pub fn selectors(&self) -> &[TrackSelector] {
        &self.0
    }

    /// Whether `track`, the `position`-th (from 0) of the tracks there are, is chosen.
    pub fn wants(&self, track: TrackId, position: usize) -> bool {
        self.0.iter().any(|s| match *s {
            TrackSelector::Id(id) => id == track,
            TrackSelector::Nth(n) => usize::from(n) == position + 1,
        })
    }
}

impl fmt::Display for TrackChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbered = self.0.iter().any(|s| matches!(s, TrackSelector::Nth(_)));
        for (i, selector) in self.0.iter().enumerate() {
            if i > 0 && numbered {
                f.write_char(',')?;
            }
            match selector {
                TrackSelector::Id(id) => write!(f, "{id}")?,
                TrackSelector::Nth(n) => write!(f, "{n}")?,
            }
        }
        Ok(())
    }
}

/// Values up to this are seconds, above are milliseconds.
const LARGEST_SECONDS: i64 = 100_000_000_000;

/// Prints a moment as the grammar reads it: whole seconds where they say it all, else milliseconds.
struct Moment(UtcUs);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0.seconds(), self.0.millis());
        if seconds <= LARGEST_SECONDS && (seconds * 1000 == millis || millis <= LARGEST_SECONDS) {
            write!(f, "{seconds}")
        } else {
            write!(f, "{millis}")
        }
    }
}

/// Microseconds as whole seconds, rounded down.
const fn whole_seconds(us: i64) -> i64 {
    us.div_euclid(1_000_000)
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Form::Live => f.write_str("index"),
            Form::Finite { from, duration_us } => write!(f, "index-{}-{}", Moment(from), whole_seconds(duration_us)),
            Form::FromNow { from } => write!(f, "index-{}-now", Moment(from)),
            Form::Timeshift(Shift::Delay(us)) => write!(f, "timeshift_rel-{}", whole_seconds(us)),
            Form::Timeshift(Shift::TunedInAt(at)) => write!(f, "timeshift_abs-{}", Moment(at)),
            Form::Rewind { length_us } => write!(f, "rewind-{}", whole_seconds(length_us)),
        }
    }
}

impl fmt::Display for PlaylistTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_tracks(f, self.tracks.as_ref())?;
        let word = match self.layout {
            Layout::Renditions => None,
            Layout::Muxed => Some("mono"),
            Layout::IFrames => Some("iframes"),
        };
        if let Some(word) = word {
            f.write_str(word)?;
            match self.form {
                Form::Live => {}
                Form::Finite { .. } | Form::FromNow { .. } => {
                    let form = self.form.to_string();
                    f.write_str(form.strip_prefix("index").unwrap_or(&form))?;
                }
                Form::Timeshift(_) | Form::Rewind { .. } => write!(f, "-{}", self.form)?,
            }
        } else {
            write!(f, "{}", self.form)?;
        }
        f.write_str(match self.format {
            PlaylistFormat::Hls => ".m3u8",
            PlaylistFormat::HlsFmp4 => ".fmp4.m3u8",
            PlaylistFormat::HlsTs => ".ts.m3u8",
            PlaylistFormat::Dash => ".mpd",
        })
    }
}

fn write_tracks(f: &mut fmt::Formatter<'_>, tracks: Option<&TrackChoice>) -> fmt::Result {
    tracks.map_or(Ok(()), |t| write!(f, "tracks-{t}/"))
}

impl fmt::Display for Target {
    /// The path below the stream.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Playlist(playlist) => write!(f, "{playlist}"),
            Target::Export { from, duration_us, format, tracks } => {
                write_tracks(f, tracks.as_ref())?;
                let extension = match format {
                    ExportFormat::Mp4 => "mp4",
                    ExportFormat::Ts => "ts",
                };
                write!(f, "archive-{}-{}.{extension}", Moment(*from), whole_seconds(*duration_us))
            }
            Target::TsStream { shift, tracks } => {
                write_tracks(f, tracks.as_ref())?;
                match *shift {
                    Shift::Delay(us) => write!(f, "timeshift_rel/{}", whole_seconds(us)),
                    Shift::TunedInAt(at) => write!(f, "timeshift_abs/{}", Moment(at)),
                }
            }
            Target::Preview { at, format } => {
                if let Some(at) = at {
                    // Two digits would be the seconds of the date form where the stream's name looks like a date.
                    write!(f, "{:0>3}-", Moment(*at).to_string())?;
                }
                f.write_str(match format {
                    PreviewFormat::Mp4 => "preview.mp4",
                    PreviewFormat::Jpg => "preview.jpg",
                })
            }
            Target::RecordingStatus { .. } => f.write_str("recording_status.json"),
            Target::Ranges(_) => f.write_str("ranges.json"),
            Target::MediaInfo => f.write_str("media_info.json"),
            Target::Segment { id, track, offset, length } => {
                write!(f, "segment/{}/{track}-{offset}-{length}.m4s", id.base_name())
            }
            Target::Object { id } => write!(f, "segment/{}/{WHOLE_OBJECT}", id.base_name()),
            Target::SegmentTs { id, tracks } => {
                write!(f, "segment/{}/", id.base_name())?;
                write_all(f, tracks, "")?;
                f.write_str(".ts")
            }
            Target::SegmentMuxed { id, tracks } => {
                write!(f, "segment/{}/", id.base_name())?;
                write_all(f, tracks, "")?;
                f.write_str(".m4s")
            }
            Target::Init { hash } => write!(f, "init/{hash}.mp4"),
            Target::InitMuxed { hashes } => {
                f.write_str("init/")?;
                write_all(f, hashes, "-")?;
                f.write_str(".mp4")
            }
        }
    }
}

fn write_all(f: &mut fmt::Formatter<'_>, all: &[impl fmt::Display], between: &str) -> fmt::Result {
    for (i, one) in all.iter().enumerate() {
        if i > 0 {
            f.write_str(between)?;
        }
        write!(f, "{one}")?;
    }
    Ok(())
}

impl Request {
    /// The path, as [`parse`] reads it: `/{stream}/…`.
    pub fn path(&self) -> String {
        format!("/{}/{}", self.stream, self.target)
    }

    /// The query without its `?`; empty when there is none.
    pub fn query(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        let mut time = |name: &str, at: Option<UtcUs>| parts.extend(at.map(|at| format!("{name}={}", Moment(at))));
        match &self.target {
            Target::RecordingStatus { from, to } => {
                time("from", *from);
                time("to", *to);
                parts.push("request=ranges".to_owned());
            }
            Target::Ranges(ranges) => {
                time("opened_at_gte", ranges.opened_at_gte);
                time("closed_at_lte", ranges.closed_at_lte);
                parts.push(format!("limit={}", ranges.limit));
                parts.extend(ranges.cursor.map(|c| format!("cursor={}", c.0)));
                parts.extend(ranges.resolution_us.map(|r| format!("resolution={}", whole_seconds(r))));
            }
            _ => {}
        }
        if self.delta {
            parts.push("_HLS_skip=YES".to_owned());
        }
        if !self.carried.is_empty() {
            parts.push(self.carried.as_str().to_owned());
        }
        parts.join("&")
    }
}
