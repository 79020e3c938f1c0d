//! What the tracks of a plan are: codecs, sizes, languages, bit rates.
//!
//! Comes in: rows and what their init segments say. Goes out: one summary for each track, in whole numbers.

use crate::media::track::{AudioParams, Codec, InitInfo, TrackParams, VideoParams};
use crate::media::{InitHash, Segment, Ticks, TrackId, TrackKind, time::TIMESCALE};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// One track over all segments of a window. Parameters may change inside: see each field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackSummary {
    /// Which track.
    pub track: TrackId,
    /// Codec at the end of the window; `None` when its init segment is not known.
    pub codec: Option<Codec>,
    /// All codec strings (RFC 6381) in order of appearance.
    pub codec_strings: Vec<String>,
    /// Language (ISO 639-2) at the end of the window.
    pub language: Option<String>,
    /// Largest picture.
    pub video: Option<VideoParams>,
    /// Sound parameters at the end of the window.
    pub audio: Option<AudioParams>,
    /// Bits per second of the densest segment, rounded up.
    pub peak_bps: u64,
    /// Bits per second over the whole window, rounded up.
    pub average_bps: u64,
    /// Pictures per 1000 seconds, for video.
    pub frame_rate_milli: Option<u32>,
    /// Whether every part begins with a sync sample.
    pub independent: bool,
}

#[derive(Default)]
struct Sums {
    bytes: u128,
    ticks: i128,
    samples: u128,
    longest: Ticks,
    inits: Vec<InitHash>,
    dependent: bool,
}

/// Sums up the tracks of `segments`, ascending. Runs over the segments twice.
pub fn summarize<'a>(segments: impl Iterator<Item = &'a Segment> + Clone, inits: &[InitInfo]) -> Vec<TrackSummary> {
    let known: HashMap<InitHash, &TrackParams> = inits.iter().map(|i| (i.hash, &i.params)).collect();
    let mut sums: BTreeMap<TrackId, Sums> = BTreeMap::new();
    for part in segments.clone().flat_map(|s| &s.tracks) {
        let sum = sums.entry(part.track).or_default();
        sum.bytes += u128::from(part.length);
        sum.ticks += i128::from(part.duration.0.max(0));
        sum.samples += u128::from(part.sample_count);
        sum.longest = sum.longest.max(part.duration);
        sum.dependent |= !part.starts_with_sync;
        if sum.inits.last() != Some(&part.init) {
            sum.inits.push(part.init);
        }
    }
    let mut peaks: BTreeMap<TrackId, u64> = BTreeMap::new();
    for part in segments.flat_map(|s| &s.tracks) {
        // RFC 8216 4.1: a peak is taken over no less than half a target duration; the stub before a break
        // would say nothing but that it is short.
        let long_enough = sums.get(&part.track).is_some_and(|s| part.duration.0.saturating_mul(2) >= s.longest.0);
        if long_enough {
            let rate = bits_per_second(part.length.into(), part.duration.0.into());
            let peak = peaks.entry(part.track).or_default();
            *peak = rate.max(*peak);
        }
    }
    sums.into_iter()
        .map(|(track, sum)| {
            let params: Vec<&TrackParams> = sum.inits.iter().filter_map(|h| known.get(h).copied()).collect();
            let last = params.last();
            let mut seen = BTreeSet::new();
            let codec_strings =
                params.iter().map(|p| p.codec_string.clone()).filter(|c| !c.is_empty() && seen.insert(c.clone()));
            let average_bps = bits_per_second(sum.bytes, sum.ticks);
            TrackSummary {
                track,
                codec: last.map(|p| p.codec),
                codec_strings: codec_strings.collect(),
                language: last.and_then(|p| p.language.clone()),
                video: params.iter().filter_map(|p| p.video).max_by_key(|v| u64::from(v.width) * u64::from(v.height)),
                audio: last.and_then(|p| p.audio),
                peak_bps: peaks.get(&track).copied().unwrap_or(0).max(average_bps),
                average_bps,
                frame_rate_milli: match track.kind {
                    TrackKind::Video => frame_rate_milli(sum.samples, sum.ticks),
                    TrackKind::Audio => None,
                },
                independent: !sum.dependent,
            }
        })
        .collect()
}

fn bits_per_second(bytes: u128, ticks: i128) -> u64 {
    match u128::try_from(ticks) {
        Ok(ticks @ 1..) => u64::try_from((bytes * 8 * u128::from(TIMESCALE)).div_ceil(ticks)).unwrap_or(u64::MAX),
        _ => 0,
    }
}

/// Pictures per 1000 s; one of the usual rates when it is off by no more than a thousandth.
fn frame_rate_milli(samples: u128, ticks: i128) -> Option<u32> {
    let ticks = u128::try_from(ticks).ok().filter(|&t| t > 0)?;
    let rate = (samples * 1000 * u128::from(TIMESCALE) + ticks / 2) / ticks;
    let rate = u32::try_from(rate).ok().filter(|&r| r > 0)?;
    const USUAL: [u32; 8] = [23_976, 24_000, 25_000, 29_970, 30_000, 50_000, 59_940, 60_000];
    let nearest = USUAL.into_iter().min_by_key(|u| u.abs_diff(rate))?;
    Some(if u64::from(nearest.abs_diff(rate)) * 1000 <= u64::from(nearest) { nearest } else { rate })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_rates_snap_to_the_usual_ones() {
        for (samples, ticks, rate) in [
            (150, 540_000, Some(25_000)),
            (151, 543_000, Some(25_000 + 28)),
            (149, 536_500, Some(25_000)),
            (360, 1_351_350, Some(23_976)),
            (360, 1_350_000, Some(24_000)),
            (180, 540_540, Some(29_970)),
            (1, 90_000, Some(1000)),
            (0, 90_000, None),
            (5, 0, None),
        ] {
            assert_eq!(frame_rate_milli(samples, ticks), rate, "{samples}/{ticks}");
        }
    }

    #[test]
    fn bit_rates_are_rounded_up() {
        assert_eq!(bits_per_second(1, 90_000), 8);
        assert_eq!(bits_per_second(1, 90_001), 8);
        assert_eq!(bits_per_second(1, 89_999), 9);
        assert_eq!(bits_per_second(1, 0), 0);
    }
}
