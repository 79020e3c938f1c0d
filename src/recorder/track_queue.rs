//! One track's samples between demuxer and cut.
//!
//! Comes in: samples in decoding order, parameters from time to time. Goes out: the samples before a cut as
//! a sample table with its payload. Never: decides where to cut.

use crate::container::{MediaSample, cmaf};
use crate::media::track::{InitInfo, TrackKind, TrackParams};
use crate::media::{InitHash, Sample, SampleTable, Ticks};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;

/// Ticks given to a sample when nothing tells how long it lasts: a frame at 25 Hz.
const ASSUMED_DURATION: u32 = 3600;

/// Longest distance of two samples that is taken as the track's usual one.
const LONGEST_STEP: Ticks = Ticks(9000);
/// Samples out of order that are squeezed in; more are another clock.
const MOST_STRAYS: u32 = 3;

/// How a sample's time follows on the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// It grows.
    On,
    /// It is the same again: the source's clock stands still.
    StandsStill,
    /// It is a little before, as disorder is.
    Stray,
    /// It went back, and goes on from there.
    WentBack,
}

/// An init segment with its bytes.
#[derive(Debug)]
pub struct InitSegment {
    /// Hash and parameters.
    pub info: InitInfo,
    /// `ftyp` + `moov`.
    pub bytes: Bytes,
}

impl InitSegment {
    /// Builds the init segment of a track.
    pub fn new(params: TrackParams) -> Self {
        let bytes: Bytes = cmaf::init_segment(&params).into();
        Self { info: InitInfo { hash: InitHash::of(&bytes), params }, bytes }
    }
}

/// A sample that waits for its cut.
#[derive(Debug)]
pub struct QueuedSample {
    /// Decoding time.
    pub dts: Ticks,
    /// Presentation time.
    pub pts: Ticks,
    duration: Option<u32>,
    sync: bool,
    data: Bytes,
    init: Option<Arc<InitSegment>>,
}

/// One track's queue.
#[derive(Debug, Default)]
pub struct TrackQueue {
    samples: VecDeque<QueuedSample>,
    bytes: usize,
    next_init: Option<Arc<InitSegment>>,
    taken_init: Option<Arc<InitSegment>>,
    published: Option<InitHash>,
    last_dts: Option<Ticks>,
    last_pts: Option<Ticks>,
    /// Added to the times of a source whose clock does not go on, until the next run.
    bridge: Ticks,
    last_raw: Option<Ticks>,
    step: Option<Ticks>,
    strays: u32,
    /// A sample of it has come since the last break.
    pub seen: bool,
    /// It leads no run while others have gone on without it.
    pub silent: bool,
    /// The source no longer lists the track.
    pub gone: bool,
}

impl TrackQueue {
    /// Init segment of the next sample to come.
    pub fn init_for_next(&self) -> Option<&Arc<InitSegment>> {
        self.next_init.as_ref()
    }

    /// The next sample, and those after it, have these parameters.
    pub fn set_init(&mut self, init: Arc<InitSegment>) {
        self.next_init = Some(init);
    }

    /// Gives `sample` a DTS that grows, whatever its source says, and says how it follows. None is dropped.
    pub fn stamp(&mut self, sample: &mut MediaSample) -> Follows {
        let raw = sample.dts;
        let before = self.last_raw.replace(raw);
        let Some(last) = self.last_dts else { return Follows::On };
        let step = self.step.unwrap_or(Ticks(ASSUMED_DURATION.into()));
        let mut dts = raw + self.bridge;
        let follows = if dts > last {
            if dts - last <= LONGEST_STEP {
                self.step = Some(dts - last);
            }
            self.strays = 0;
            Follows::On
        } else if before == Some(raw) {
            dts = last + step;
            Follows::StandsStill
        } else if self.strays < MOST_STRAYS {
            self.strays += 1;
            dts = last + Ticks(1);
            Follows::Stray
        } else {
            dts = last + step;
            Follows::WentBack
        };
        if matches!(follows, Follows::StandsStill | Follows::WentBack) {
            self.bridge = dts - raw;
        }
        let by = dts - raw;
        (sample.dts, sample.pts) = (dts, sample.pts + by);
        follows
    }

    /// The source's clock has jumped: what comes follows on what was there, until the next run.
    pub fn bridge_to(&mut self, raw: Ticks) {
        if let Some(last) = self.last_dts {
            self.bridge = last + self.step.unwrap_or(Ticks(ASSUMED_DURATION.into())) - raw;
            self.last_raw = None;
        }
    }

    /// What is added to the source's times.
    pub fn bridge(&self) -> Ticks {
        self.bridge
    }

    /// PTS of the first sample whose parameters are not those of the first one in the queue.
    pub fn parameters_change_at(&self) -> Option<Ticks> {
        let hash = |s: &QueuedSample| s.init.as_ref().map(|i| i.info.hash);
        let first = self.samples.front().map(hash)?;
        self.samples.iter().find(|s| hash(s) != first).map(|s| s.pts)
    }

    /// Queues a sample; says whether its parameters differ from those of the sample before it.
    pub fn push(&mut self, sample: MediaSample) -> bool {
        let before = self.samples.back().and_then(|s| s.init.as_ref()).or(self.taken_init.as_ref());
        let changed = match (before, &self.next_init) {
            (Some(old), Some(new)) => old.info.hash != new.info.hash,
            _ => false,
        };
        self.bytes += sample.data.len();
        self.last_dts = Some(sample.dts);
        self.last_pts = Some(self.last_pts.map_or(sample.pts, |p| p.max(sample.pts)));
        self.samples.push_back(QueuedSample {
            dts: sample.dts,
            pts: sample.pts,
            duration: sample.duration,
            sync: sample.sync,
            data: sample.data,
            init: self.next_init.clone(),
        });
        changed
    }

    /// Removes the samples from the front for which `belongs` holds, as long as they share one init segment.
    pub fn take_while(&mut self, belongs: impl Fn(&QueuedSample) -> bool) -> Vec<QueuedSample> {
        let init = self.samples.front().and_then(|s| s.init.clone());
        let hash = init.as_ref().map(|i| i.info.hash);
        let count =
            self.samples.iter().take_while(|s| belongs(s) && s.init.as_ref().map(|i| i.info.hash) == hash).count();
        let taken: Vec<QueuedSample> = self.samples.drain(..count).collect();
        self.bytes -= taken.iter().map(|s| s.data.len()).sum::<usize>();
        if !taken.is_empty() {
            self.taken_init = init;
        }
        taken
    }

    /// Init segment of the samples taken last.
    pub fn init_of_taken(&self) -> Option<Arc<InitSegment>> {
        self.taken_init.clone()
    }

    /// Remembers which init segment was published last; says whether another was before it.
    pub fn note_published(&mut self, hash: InitHash) -> bool {
        let changed = self.published.is_some_and(|old| old != hash);
        self.published = Some(hash);
        changed
    }

    /// The sample table of `taken`: each duration reaches to the next DTS, the last one to `next_dts`. With
    /// `fill` the last one reaches there however far it is; without, a hole after it stays a hole.
    pub fn table(taken: Vec<QueuedSample>, next_dts: Option<Ticks>, fill: bool) -> (SampleTable, Vec<Bytes>) {
        let mut samples = Vec::with_capacity(taken.len());
        let mut payload = Vec::with_capacity(taken.len());
        let mut last_duration = ASSUMED_DURATION;
        let mut queue = taken.into_iter().peekable();
        while let Some(s) = queue.next() {
            let natural = s.duration.unwrap_or(last_duration);
            let duration = match queue.peek() {
                Some(next) => (next.dts - s.dts).0,
                None => match next_dts.map(|n| (n - s.dts).0) {
                    Some(to_next) if fill || to_next <= 2 * i64::from(natural) => to_next,
                    _ => i64::from(natural),
                },
            };
            last_duration = u32::try_from(duration.max(1)).unwrap_or(u32::MAX);
            samples.push(Sample {
                size: s.data.len() as u32,
                duration: last_duration,
                composition_offset: (s.pts - s.dts).0.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32,
                sync: s.sync,
            });
            payload.push(s.data);
        }
        (SampleTable { samples }, payload)
    }

    /// DTS of the first sample in the queue that is presented at `pts` or later.
    pub fn first_dts_presented_from(&self, pts: Ticks) -> Option<Ticks> {
        self.samples.iter().find(|s| s.pts >= pts).map(|s| s.dts)
    }

    /// End of the last picture or sound in the queue.
    pub fn presentation_end(&self) -> Option<Ticks> {
        let last = self.samples.iter().max_by_key(|s| s.pts)?;
        let count = self.samples.len() as i64;
        let mean = match (self.samples.front(), self.samples.back()) {
            (Some(a), Some(b)) if count > 1 => (b.dts - a.dts).0 / (count - 1),
            _ => i64::from(ASSUMED_DURATION),
        };
        Some(last.pts + Ticks(last.duration.map_or(mean, i64::from)))
    }

    /// Video or audio, once known.
    pub fn kind(&self) -> Option<TrackKind> {
        self.next_init.as_ref().map(|i| i.info.params.kind())
    }

    /// DTS of the first sample in the queue.
    pub fn first_dts(&self) -> Option<Ticks> {
        self.samples.front().map(|s| s.dts)
    }

    /// DTS of the newest sample, queued or taken.
    pub fn last_dts(&self) -> Option<Ticks> {
        self.last_dts
    }

    /// Latest PTS, queued or taken.
    pub fn last_pts(&self) -> Option<Ticks> {
        self.last_pts
    }

    /// Bytes queued.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether no cut need wait for this track: it is gone, or it never had a sample in this run.
    pub fn is_idle(&self) -> bool {
        self.gone || self.last_dts.is_none()
    }

    /// Forgets the samples and their times; parameters stay.
    pub fn clear(&mut self) {
        self.samples.clear();
        self.bytes = 0;
        self.last_dts = None;
        self.last_pts = None;
        self.bridge = Ticks(0);
        self.last_raw = None;
        self.strays = 0;
        self.taken_init = None;
        self.seen = false;
    }
}
