//! What all files made of a window have in common: their name, what they leave out, where one stretch ends.
//!
//! Comes in: a window and index rows. Goes out: names and ranges. Never: knows of a container.

use crate::media::segment::civil_hour;
use crate::media::timeline::{JOIN_TOLERANCE_US, gaps, join};
use crate::media::{Segment, StreamName, Ticks, UtcRange};

/// A name for `Content-Disposition`, ASCII without quotes, spaces or slashes, for instance
/// `ort_2014-08-27T14-15-00Z_3600s.mp4`; names of two streams may differ only in `_` and `/`.
pub(super) fn name(stream: &StreamName, window: UtcRange, extension: &str) -> String {
    let stream = stream.as_str().replace('/', "_");
    let seconds = window.start.seconds();
    let start = match civil_hour(window.start) {
        Some((year, month, day, hour)) => {
            let (minute, second) = (seconds.rem_euclid(3600) / 60, seconds.rem_euclid(60));
            format!("{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}-{second:02}Z")
        }
        None => seconds.to_string(),
    };
    let millis = window.duration_us() / 1000;
    let length = match millis % 1000 {
        0 => format!("{}s", millis / 1000),
        _ => format!("{millis}ms"),
    };
    format!("{stream}_{start}_{length}.{extension}")
}

/// What of the window no range covers; rounding of wall time makes no gap.
pub(super) fn holes(mut ranges: Vec<UtcRange>, window: UtcRange) -> Vec<UtcRange> {
    // A clock that was set back gives ranges out of order.
    ranges.sort_by_key(|r| r.start);
    let mut holes = gaps(&join(ranges, JOIN_TOLERANCE_US), window);
    holes.retain(|gap| gap.duration_us() > JOIN_TOLERANCE_US);
    holes
}

/// Whether media time goes on from `a` to `b`. Other parameters do not break it: what is decoded across the change
/// may need what was before it.
pub(super) fn continuous(a: &Segment, b: &Segment) -> bool {
    let tolerance = Ticks::from_us(JOIN_TOLERANCE_US).0;
    let expected = a.anchor + Ticks::from_us(a.id.duration_us);
    a.id.run == b.id.run
        && b.id.start.since(a.id.end()).abs() <= JOIN_TOLERANCE_US
        && (b.anchor - expected).0.abs() <= tolerance
}
