//! One clock for the program: 33-bit times unwrapped, jumps told from damage.
//!
//! Comes in: PTS, DTS and PCR as they stand in the stream (ISO/IEC 13818-1 2.4.2.1, 2.4.3.5, 2.4.3.7). Goes out:
//! times that never wrap, the same for all tracks; or word that a time does not belong to this clock. Never:
//! decides by one time alone that the clock has jumped.
//!
//! The first time of a clock is taken as it stands, plus 2^33 where it is so near to zero that an earlier one
//! of another track might come out negative.

use crate::media::Ticks;

/// Where PTS, DTS and PCR wrap: 2^33 ticks, 26.5 hours.
pub(super) const WRAP: i64 = 1 << 33;

const SECOND: i64 = 90_000;

/// A track that gets ahead of everything by more has jumped.
pub(super) const JUMP_AHEAD: i64 = 10 * SECOND;

/// A track that goes back by more has jumped. PTS without DTS go back by less, by reordering.
const JUMP_BACK: i64 = SECOND;

/// Tracks are within this of each other; interleaving is coarse in some HLS sources.
const ALIGNED: i64 = 20 * SECOND;

/// First times below this are moved by 2^33, so that nothing comes out negative.
const NEAR_ZERO: i64 = ALIGNED + JUMP_AHEAD;

/// Samples from before a jump may trail behind it for so long.
const TRAILING: i64 = 5 * SECOND;

/// Times of the leading track until which a change of the PCR is remembered.
const PCR_CHANGE_TIMES: u8 = 8;

/// PTS and DTS as they stand in a PES header: 33 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawTimes {
    pts: i64,
    dts: Option<i64>,
}

impl RawTimes {
    /// `None` when the two are too far apart to be of one picture.
    pub fn new(pts: i64, dts: Option<i64>) -> Option<Self> {
        dts.is_none_or(|dts| difference(pts, dts).abs() <= JUMP_AHEAD).then_some(Self { pts, dts })
    }

    /// The DTS, which equals the PTS where the header has none (2.4.3.7).
    pub fn decoding(self) -> i64 {
        self.dts.unwrap_or(self.pts)
    }

    /// PTS, and DTS where there is one, unwrapped, when the decoding time is `at`.
    pub fn unwrapped(self, at: i64) -> (Option<Ticks>, Option<Ticks>) {
        let pts = at + difference(self.pts, self.decoding());
        (Some(Ticks(pts)), self.dts.map(|_| Ticks(at)))
    }

    /// Whether the two may follow one another on one clock.
    pub fn follows(self, earlier: RawTimes) -> bool {
        (-JUMP_BACK..=JUMP_AHEAD).contains(&difference(self.decoding(), earlier.decoding()))
    }

    /// Whether the two may be of two tracks at the same moment.
    pub fn near(self, other: RawTimes) -> bool {
        difference(self.decoding(), other.decoding()).abs() <= JUMP_AHEAD
    }
}

/// `a - b` on the circle of 2^33 ticks: from -2^32 up to but not 2^32.
pub(super) fn difference(a: i64, b: i64) -> i64 {
    let d = a.wrapping_sub(b) & (WRAP - 1);
    if d >= WRAP / 2 { d - WRAP } else { d }
}

/// The first time of a clock.
fn anchor(raw: i64) -> i64 {
    if raw < NEAR_ZERO { raw + WRAP } else { raw }
}

/// Where one track is on the program's clock.
#[derive(Debug, Default)]
pub(super) struct TrackClock {
    last: Option<i64>,
    /// Where it was when the clock jumped: its latest and its first such time, 33 bits.
    before_jump: Option<(i64, i64)>,
}

impl TrackClock {
    /// Whether the track has had a time on this clock.
    pub fn has_joined(&self) -> bool {
        self.last.is_some()
    }

    /// The clock jumped; `leads` when this track said so.
    pub fn jumped(&mut self, leads: bool) {
        if let Some(last) = self.last.take() {
            self.before_jump = Some((last, last));
        }
        if leads {
            self.before_jump = None;
        }
    }

    /// Whether `raw` continues the track as it was before the jump.
    fn trails(&mut self, raw: i64) -> bool {
        let Some((latest, first)) = self.before_jump else { return false };
        if difference(raw, first) > TRAILING {
            self.before_jump = None;
            return false;
        }
        let trails = difference(raw, latest).abs() <= SECOND;
        if trails {
            self.before_jump = Some((raw, first));
        }
        trails
    }
}

#[derive(Debug, Clone, Copy)]
struct PcrChange {
    announced: bool,
    times_left: u8,
}

/// The clock of the program.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// Latest decoding time of any track.
    now: Option<i64>,
    /// Latest PCR, as long as it follows this clock.
    pcr: Option<i64>,
    pcr_raw: Option<i64>,
    /// The PCR has left this clock.
    pcr_change: Option<PcrChange>,
}

impl Timeline {
    /// The unwrapped decoding time, if `raw` can be on this clock.
    pub fn judge(&self, clock: &mut TrackClock, raw: i64, leads: bool) -> Option<i64> {
        let Some(now) = self.now else { return Some(anchor(raw)) };
        let Some(last) = clock.last else {
            let time = now + difference(raw, now);
            let aligned = (time - now).abs() <= ALIGNED && time >= JUMP_AHEAD;
            return (!clock.trails(raw) && aligned).then_some(time);
        };
        let time = last + difference(raw, last);
        let (most_ahead, most_back) = match self.pcr_change {
            // Announced and seen at the PCR: a smaller step will do.
            Some(PcrChange { announced: true, .. }) => (SECOND, SECOND / 2),
            _ => (JUMP_AHEAD, JUMP_BACK),
        };
        let reached = match self.pcr {
            Some(pcr) if self.pcr_change.is_none() => last.max(now).max(pcr),
            _ => last.max(now),
        };
        let fits = time - reached <= most_ahead
            && last - time <= most_back
            && (leads || now - time <= ALIGNED)
            && time >= JUMP_AHEAD;
        fits.then_some(time)
    }

    /// Takes `time`, which [`Self::judge`] gave.
    pub fn accept(&mut self, clock: &mut TrackClock, time: i64, leads: bool) {
        clock.last = Some(time);
        clock.before_jump = None;
        if self.now.replace(time).is_none() {
            self.find_pcr(time);
        }
        if leads && let Some(change) = &mut self.pcr_change {
            change.times_left -= 1;
            if change.times_left == 0 {
                self.pcr_change = None;
            }
        }
    }

    /// Takes a PCR; `announced` when discontinuity_indicator came with it (2.4.3.5).
    pub fn pcr(&mut self, raw: i64, announced: bool) {
        self.pcr_raw = Some(raw);
        let Some(now) = self.now else { return };
        let reference = self.pcr.unwrap_or(now);
        let step = difference(raw, reference);
        let follows = match self.pcr {
            Some(_) => (0..=if announced { SECOND } else { JUMP_AHEAD }).contains(&step),
            None => step.abs() <= ALIGNED,
        };
        if follows {
            self.pcr = Some(reference + step);
        } else {
            let announced = announced || self.pcr_change.is_some_and(|change| change.announced);
            self.pcr = None;
            self.pcr_change = Some(PcrChange { announced, times_left: PCR_CHANGE_TIMES });
        }
    }

    /// Whether the PCR has left this clock and is where `raw` is.
    pub fn pcr_confirms(&self, raw: i64) -> bool {
        self.pcr_change.is_some() && self.pcr_raw.is_some_and(|pcr| difference(raw, pcr).abs() <= JUMP_AHEAD)
    }

    /// The clock begins anew at `raw`.
    pub fn jump(&mut self, raw: i64) {
        let now = anchor(raw);
        self.now = Some(now);
        self.pcr_change = None;
        self.find_pcr(now);
    }

    /// Media time of the latest PCR, if it is on this clock.
    pub fn pcr_time(&self) -> Option<Ticks> {
        let (pcr, now) = (self.pcr?, self.now?);
        ((pcr - now).abs() <= ALIGNED && pcr >= 0).then_some(Ticks(pcr))
    }

    fn find_pcr(&mut self, now: i64) {
        self.pcr = self.pcr_raw.map(|raw| difference(raw, now)).filter(|d| d.abs() <= ALIGNED).map(|d| now + d);
    }
}
