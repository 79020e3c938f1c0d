//! The URLs that every player plays, and what it must show.

use super::clip::FPS;
use super::recording::{AFTER_GAP, BEFORE_GAP, LARGER, LIVE_FRAME, OTHER_CODEC, Recording, STREAM};
use std::fmt;
use std::ops::Range;

/// Container of the segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    Fmp4,
    Ts,
}

impl Container {
    fn extension(self) -> &'static str {
        match self {
            Self::Fmp4 => ".fmp4.m3u8",
            Self::Ts => ".ts.m3u8",
        }
    }
}

/// Forms of URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `archive-F-D` with a gap inside.
    ArchiveGap,
    /// `archive-F-D` with a change of parameters and a change of codec inside.
    ArchiveCodec,
    /// `index`
    Live,
    /// `archive-F-now`, from before the gap.
    Now,
    /// `timeshift_abs-T`, just after the gap.
    TimeshiftAbs,
    /// `timeshift_rel-N`, just after the change of codec.
    TimeshiftRel,
    /// `rewind-N`
    Rewind,
    /// `timeshift_abs/T`: endless MPEG-TS, from before the gap.
    StreamAbs,
    /// `timeshift_rel/N`: the same, from before the change of codec.
    StreamRel,
    /// `archive-F-D.ts` with a gap and the changes inside.
    ExportTs,
}

/// All forms.
pub const FORMS: [Form; 7] =
    [Form::ArchiveGap, Form::ArchiveCodec, Form::Live, Form::Now, Form::TimeshiftAbs, Form::TimeshiftRel, Form::Rewind];

/// Forms that are MPEG-TS without a playlist, for players that are no browsers.
pub const STREAM_FORMS: [Form; 3] = [Form::StreamAbs, Form::StreamRel, Form::ExportTs];

/// Most seconds between the present and what a live player shows first.
const LIVE_DELAY: i64 = 30;

/// One URL.
#[derive(Debug, Clone)]
pub struct Case {
    pub form: Form,
    pub container: Container,
    /// May hold `{delay}`, see [`Case::url`].
    pub url: String,
    /// UTC seconds that `{delay}` counts from.
    pub delay_from: i64,
    /// Wall time of frame 0, UTC seconds.
    pub zero: i64,
    /// The first picture is one of these; `None` where it is played from its live edge.
    pub first: Option<Range<i64>>,
    /// The last one, where it ends.
    pub last: Option<i64>,
    /// First frames after a break.
    pub seams: Vec<i64>,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} {}", self.form, self.container, self.url)
    }
}

impl Case {
    /// Of a form and a container.
    pub fn new(recording: &Recording, form: Form, container: Container) -> Self {
        let second = |frame: i64| recording.zero + frame / FPS;
        let mut delay_from = 0;
        let (path, first, last, seams) = match form {
            Form::ArchiveGap => {
                let from = 50 * FPS;
                (
                    format!("archive-{}-60", second(from)),
                    Some(from..from + 1),
                    Some(110 * FPS - 1),
                    vec![AFTER_GAP.start],
                )
            }
            Form::ArchiveCodec => {
                let from = 110 * FPS;
                let seams = vec![LARGER.start, OTHER_CODEC.start];
                (format!("archive-{}-40", second(from)), Some(from..from + 1), Some(150 * FPS - 1), seams)
            }
            Form::Live => ("index".to_owned(), None, None, vec![]),
            Form::Now => {
                let from = 54 * FPS;
                (format!("archive-{}-now", second(from)), Some(from..from + 1), None, vec![AFTER_GAP.start])
            }
            // Three target durations of 4 s are listed, and what is left of a segment: up to 10 s before the break.
            Form::TimeshiftAbs => {
                let at = AFTER_GAP.start + 4 * FPS;
                let first = BEFORE_GAP.end - 10 * FPS..at;
                (format!("timeshift_abs-{}", second(at)), Some(first), None, vec![AFTER_GAP.start])
            }
            Form::TimeshiftRel => {
                let at = OTHER_CODEC.start + 4 * FPS;
                delay_from = second(at);
                let first = OTHER_CODEC.start - 10 * FPS..at;
                ("timeshift_rel-{delay}".to_owned(), Some(first), None, vec![OTHER_CODEC.start])
            }
            Form::StreamAbs => {
                let at = BEFORE_GAP.end - 3 * FPS;
                (format!("timeshift_abs/{}", second(at)), Some(at - 3 * FPS..at + FPS), None, vec![AFTER_GAP.start])
            }
            Form::StreamRel => {
                let at = OTHER_CODEC.start - 3 * FPS;
                delay_from = second(at);
                let first = at - 4 * FPS..at + 2 * FPS;
                ("timeshift_rel/{delay}".to_owned(), Some(first), None, vec![OTHER_CODEC.start])
            }
            Form::ExportTs => {
                let from = 50 * FPS;
                let seams = vec![AFTER_GAP.start, LARGER.start, OTHER_CODEC.start];
                (format!("archive-{}-100.ts", second(from)), Some(from..from + 1), Some(150 * FPS - 1), seams)
            }
            Form::Rewind => ("rewind-900".to_owned(), None, None, vec![]),
        };
        let extension = if STREAM_FORMS.contains(&form) { "" } else { container.extension() };
        let url = format!("{}/{STREAM}/{path}{extension}", recording.base());
        Self { form, container, url, delay_from, zero: recording.zero, first, last, seams }
    }

    /// The URL, as it is at this moment.
    pub fn url(&self) -> String {
        let delay = evertape::clock::now().seconds() - self.delay_from;
        self.url.replace("{delay}", &delay.to_string())
    }

    /// The same as a player sees it that begins at the live edge whatever the playlist says.
    pub fn as_live(&self) -> Self {
        Self { first: None, seams: vec![], ..self.clone() }
    }

    /// Which picture comes first in a player that begins at this moment, in UTC milliseconds.
    pub fn first_at(&self, at_ms: i64) -> Range<i64> {
        let present = (at_ms / 1000 - self.zero) * FPS;
        self.first.clone().unwrap_or((present - LIVE_DELAY * FPS).max(LIVE_FRAME)..present + FPS)
    }

    /// The same for a player that begins now.
    pub fn first_now(&self) -> Range<i64> {
        self.first_at(evertape::clock::now().0 / 1000)
    }
}
