//! Audio assemblers: frames to samples.
//!
//! Comes in: PES payloads. Goes out: samples with times that tile exactly. Never: decodes.

use super::clock::AudioClock;
use super::frames::{Found, FrameFormat, FrameScanner};
use super::{Assembled, Assembler, PesPayload};
use crate::container::{MediaSample, SourceTrack};
use crate::media::{Ticks, track::TrackParams};
use bytes::Bytes;

/// A whole sample.
#[derive(Debug)]
pub(super) struct AudioUnit {
    /// New parameters, the language still missing.
    pub params: Option<TrackParams>,
    pub data: Bytes,
    /// Samples per channel.
    pub samples: u32,
    /// In Hz.
    pub rate: u32,
    pub stated: Option<Ticks>,
}

/// Makes samples of frames.
pub(super) trait AudioSyntax: Send + Sync {
    /// How frames are found.
    type Format: FrameFormat;
    /// Takes a frame; gives the sample that is whole now.
    fn frame(
        &mut self,
        header: <Self::Format as FrameFormat>::Header,
        bytes: &[u8],
        stated: Option<Ticks>,
    ) -> Result<Option<AudioUnit>, &'static str>;
    /// Bytes were lost hereabouts.
    fn doubt(&mut self) {}
    /// The sample being gathered, if it is whole: nothing more belongs to it.
    fn close(&mut self) -> Result<Option<AudioUnit>, &'static str>;
}

/// An assembler of audio.
pub(super) struct AudioAssembler<S: AudioSyntax> {
    syntax: S,
    track: SourceTrack,
    language: Option<String>,
    scanner: FrameScanner<S::Format>,
    clock: AudioClock,
}

impl<S: AudioSyntax> AudioAssembler<S> {
    pub(super) fn new(syntax: S, track: SourceTrack, language: Option<String>) -> Self {
        Self { syntax, track, language, scanner: FrameScanner::new(), clock: AudioClock::default() }
    }

    fn scan(&mut self, last: bool, out: &mut Vec<Assembled>) {
        loop {
            match self.scanner.next(last) {
                Found::Frame { header, place, stated } => {
                    let made = self.syntax.frame(header, self.scanner.bytes(place), stated);
                    self.give(made, out);
                }
                Found::Damage(why) => {
                    self.syntax.doubt();
                    out.push(Assembled::Damage(why));
                }
                Found::Nothing => break,
            }
        }
        if last {
            let made = self.syntax.close();
            self.give(made, out);
        }
    }

    fn give(&mut self, made: Result<Option<AudioUnit>, &'static str>, out: &mut Vec<Assembled>) {
        let unit = match made {
            Ok(Some(unit)) => unit,
            Ok(None) => return,
            Err(why) => {
                out.push(Assembled::Damage(why));
                return;
            }
        };
        if let Some(mut params) = unit.params {
            params.language.clone_from(&self.language);
            out.push(Assembled::Params(params));
        }
        let Some((pts, duration)) = self.clock.next(unit.stated, unit.samples, unit.rate) else {
            out.push(Assembled::Damage("audio frame before the first time stamp"));
            return;
        };
        out.push(Assembled::Sample(MediaSample {
            track: self.track,
            dts: pts,
            pts,
            duration: Some(duration),
            sync: true,
            data: unit.data,
        }));
    }
}

impl<S: AudioSyntax> Assembler for AudioAssembler<S> {
    fn push(&mut self, pes: PesPayload<'_>, out: &mut Vec<Assembled>) {
        if pes.damaged {
            self.syntax.doubt();
        }
        self.scanner.push(pes);
        self.scan(false, out);
    }

    fn flush(&mut self, out: &mut Vec<Assembled>) {
        self.scan(true, out);
        self.scanner.clear();
        self.clock.reset();
    }
}
