//! For tests: demuxers of a toy format, and a collector of what a source sends.
//!
//! A toy TS packet is 188 bytes: 0x47, kind (`v` or `a`), track, sync, then the DTS in 8 bytes, big-endian.

use super::demux::{Demuxers, Fmp4Demux, TsDemux};
use super::{SourceContext, SourceCounters, SourceItem, SourceSpec, Tuning, run};
use crate::container::{MediaEvent, MediaSample, SourceTrack};
use crate::media::track::{AudioParams, TrackParams, VideoParams};
use crate::media::{Codec, StreamName, Ticks};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(super) struct ToyDemuxers;

impl Demuxers for ToyDemuxers {
    fn ts(&self) -> Box<dyn TsDemux> {
        Box::new(Toy::default())
    }
    fn fmp4(&self) -> Box<dyn Fmp4Demux> {
        Box::new(Toy::default())
    }
}

/// Holds the last sample of each push back until the next, as a real demuxer does.
#[derive(Default)]
struct Toy {
    rest: Vec<u8>,
    seen: BTreeSet<u8>,
    held: Option<MediaSample>,
    init: Option<u8>,
}

pub(super) fn params(kind: u8, flavour: u8) -> TrackParams {
    let video = kind == b'v';
    TrackParams {
        codec: if video { Codec::H264 } else { Codec::Aac },
        codec_string: format!("toy{flavour}"),
        language: None,
        video: video.then_some(VideoParams { width: 16, height: 16 }),
        audio: (!video).then_some(AudioParams { sample_rate: 48_000, channels: 2 }),
        sample_entry: vec![flavour],
    }
}

/// A toy TS packet.
pub(super) fn packet(kind: u8, track: u8, dts: i64) -> Vec<u8> {
    let mut packet = vec![0x47, kind, track, 1];
    packet.extend(dts.to_be_bytes());
    packet.resize(188, 0);
    packet
}

/// `count` video packets from `dts`, 3600 ticks apart.
pub(super) fn video(dts: i64, count: i64) -> Vec<u8> {
    (0..count).flat_map(|n| packet(b'v', 0, dts + 3600 * n)).collect()
}

/// `count` audio packets from `dts`, 3600 ticks apart.
pub(super) fn audio(dts: i64, count: i64) -> Vec<u8> {
    (0..count).flat_map(|n| packet(b'a', 1, dts + 3600 * n)).collect()
}

impl Toy {
    fn read(&mut self, bytes: &[u8], events: &mut Vec<MediaEvent>) {
        self.rest.extend_from_slice(bytes);
        while self.rest.len() >= 188 {
            let packet: Vec<u8> = self.rest.drain(..188).collect();
            if packet[0] != 0x47 {
                events.push(MediaEvent::Damage("toy garbage"));
                continue;
            }
            let (kind, track) = (packet[1], packet[2]);
            if self.seen.insert(track) {
                let params = params(kind, self.init.unwrap_or(0));
                events.push(MediaEvent::Track { track: SourceTrack(track.into()), params });
            }
            let dts = Ticks(i64::from_be_bytes(packet[4..12].try_into().unwrap()));
            let sample = MediaSample {
                track: SourceTrack(track.into()),
                dts,
                pts: dts,
                duration: (kind == b'a').then_some(3600),
                sync: packet[3] == 1,
                data: Bytes::from_static(b"x"),
            };
            events.extend(self.held.replace(sample).map(MediaEvent::Sample));
        }
    }
}

impl TsDemux for Toy {
    fn push(&mut self, bytes: &[u8], events: &mut Vec<MediaEvent>) {
        self.read(bytes, events);
    }
    fn flush(&mut self, events: &mut Vec<MediaEvent>) {
        events.extend(self.held.take().map(MediaEvent::Sample));
        self.rest.clear();
    }
    fn discontinuity(&mut self, events: &mut Vec<MediaEvent>) {
        TsDemux::flush(self, events);
        events.push(MediaEvent::Discontinuity("toy"));
    }
}

impl Fmp4Demux for Toy {
    fn push_init(&mut self, bytes: &[u8], _events: &mut Vec<MediaEvent>) -> Result<(), String> {
        let [b'i', flavour, ..] = bytes else { return Err("no toy init segment".into()) };
        self.init = Some(*flavour);
        self.seen.clear();
        Ok(())
    }
    fn push_segment(&mut self, bytes: &Bytes, events: &mut Vec<MediaEvent>) -> Result<(), String> {
        if self.init.is_none() {
            return Err("a segment before its init segment".into());
        }
        self.read(bytes, events);
        TsDemux::flush(self, events);
        Ok(())
    }
    fn discontinuity(&mut self) {}
}

/// A context with short waits and toy demuxers.
pub(super) fn context() -> SourceContext {
    let mut context = real_context();
    context.demuxers = Arc::new(ToyDemuxers);
    context
}

/// A context with short waits and the real demuxers.
pub(super) fn real_context() -> SourceContext {
    let mut context = SourceContext::new(StreamName::parse("test").unwrap(), Arc::new(SourceCounters::default()));
    context.stall = Duration::from_millis(1500);
    context.tuning = Tuning {
        backoff_first: Duration::from_millis(10),
        backoff_most: Duration::from_millis(60),
        jitter_seed: 1,
        playlist_second: Duration::from_millis(50),
    };
    context
}

/// A source at work, stopped when this is dropped.
pub(super) struct Running {
    items: mpsc::Receiver<SourceItem>,
    pub(super) counters: Arc<SourceCounters>,
    _stop: DropGuard,
}

pub(super) fn start(spec: &str, context: SourceContext) -> Running {
    start_spec(SourceSpec::parse(spec).unwrap(), context)
}

pub(super) fn start_spec(spec: SourceSpec, context: SourceContext) -> Running {
    let (out, items) = mpsc::channel(1000);
    let cancel = CancellationToken::new();
    let counters = context.counters.clone();
    tokio::spawn(run(spec, context, out, cancel.clone()));
    Running { items, counters, _stop: cancel.drop_guard() }
}

impl Running {
    /// The next item, within a few seconds; `None` when the source has ended.
    pub(super) async fn item(&mut self) -> Option<SourceItem> {
        let within = Duration::from_secs(8);
        match tokio::time::timeout(within, self.items.recv()).await {
            Ok(item) => item,
            Err(_) => panic!("nothing came within {within:?}; last error: {:?}", self.counters.error()),
        }
    }

    /// Events until `enough` says so of all that came.
    pub(super) async fn until(&mut self, enough: impl Fn(&[MediaEvent]) -> bool) -> Vec<MediaEvent> {
        let mut all = Vec::new();
        while !enough(&all) {
            let Some(item) = self.item().await else { panic!("the source ended after {all:?}") };
            all.extend(item.events);
        }
        all
    }

    /// All events until the source ends.
    pub(super) async fn rest(&mut self) -> Vec<MediaEvent> {
        let mut all = Vec::new();
        while let Some(item) = self.item().await {
            all.extend(item.events);
        }
        all
    }
}

/// DTS of the samples of one track.
pub(super) fn times(events: &[MediaEvent], track: u32) -> Vec<i64> {
    events
        .iter()
        .filter_map(|event| match event {
            MediaEvent::Sample(sample) if sample.track.0 == track => Some(sample.dts.0),
            _ => None,
        })
        .collect()
}

/// Number of discontinuities.
pub(super) fn breaks(events: &[MediaEvent]) -> usize {
    events.iter().filter(|event| matches!(event, MediaEvent::Discontinuity(_))).count()
}
