//! The one place where sources meet the demuxers of `container/`.
//!
//! Comes in: bytes of MPEG-TS or fragmented MP4. Goes out: media events. Sources know only the two traits here.

use crate::container::MediaEvent;
use bytes::Bytes;
use std::sync::Arc;

/// Reads MPEG-TS in pieces of any size.
pub(crate) trait TsDemux: Send + Sync {
    /// Takes the next bytes.
    fn push(&mut self, bytes: &[u8], events: &mut Vec<MediaEvent>);
    /// The input ends: gives what is whole.
    fn flush(&mut self, events: &mut Vec<MediaEvent>);
    /// What comes next does not continue what came before.
    fn discontinuity(&mut self, events: &mut Vec<MediaEvent>);
}

/// Reads fragmented MP4: an init segment, then media segments.
pub(crate) trait Fmp4Demux: Send + Sync {
    /// Takes an init segment (`ftyp` + `moov`). An error is a sentence.
    fn push_init(&mut self, bytes: &[u8], events: &mut Vec<MediaEvent>) -> Result<(), String>;
    /// Takes a whole media segment. An error is a sentence; what was read before it is in `events`.
    fn push_segment(&mut self, bytes: &Bytes, events: &mut Vec<MediaEvent>) -> Result<(), String>;
    /// The times of the next segment do not continue those before.
    fn discontinuity(&mut self);
}

/// Makes demuxers; tests put their own in its place.
pub(crate) trait Demuxers: Send + Sync {
    /// A new demuxer for MPEG-TS.
    fn ts(&self) -> Box<dyn TsDemux>;
    /// A new demuxer for fragmented MP4.
    fn fmp4(&self) -> Box<dyn Fmp4Demux>;
}

/// The demuxers of this crate.
pub(crate) struct RealDemuxers;

/// The demuxers of this crate, to share.
pub(crate) fn real() -> Arc<dyn Demuxers> {
    Arc::new(RealDemuxers)
}

mod glue {
    use super::*;
    use crate::container::cmaf::Fmp4Reader;
    use crate::container::mpegts::TsDemuxer;

    impl Demuxers for RealDemuxers {
        fn ts(&self) -> Box<dyn TsDemux> {
            Box::new(TsDemuxer::with_assemblers(crate::container::codec::assembler))
        }
        fn fmp4(&self) -> Box<dyn Fmp4Demux> {
            Box::new(Fmp4Reader::new())
        }
    }

    impl TsDemux for TsDemuxer {
        fn push(&mut self, bytes: &[u8], events: &mut Vec<MediaEvent>) {
            TsDemuxer::push(self, bytes, events);
        }
        fn flush(&mut self, events: &mut Vec<MediaEvent>) {
            TsDemuxer::flush(self, events);
        }
        fn discontinuity(&mut self, events: &mut Vec<MediaEvent>) {
            TsDemuxer::discontinuity(self, events);
        }
    }

    impl Fmp4Demux for Fmp4Reader {
        fn push_init(&mut self, bytes: &[u8], events: &mut Vec<MediaEvent>) -> Result<(), String> {
            Fmp4Reader::push_init(self, bytes, events).map_err(|e| e.to_string())
        }
        fn push_segment(&mut self, bytes: &Bytes, events: &mut Vec<MediaEvent>) -> Result<(), String> {
            Fmp4Reader::push_segment(self, bytes, events).map_err(|e| e.to_string())
        }
        fn discontinuity(&mut self) {
            Fmp4Reader::discontinuity(self);
        }
    }
}
