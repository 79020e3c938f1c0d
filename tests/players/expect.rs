//! What a player must show: the order of the recorded frames, and checks of what was seen against it.

use super::clip::FPS;
use super::recording::{AFTER_GAP, BEFORE_GAP, LIVE_FRAME, OTHER_CODEC};
use std::ops::Range;

/// Position of a frame among all recorded ones; `None` for one that was never recorded.
pub fn position(frame: i64) -> Option<i64> {
    let first_hole = AFTER_GAP.start - BEFORE_GAP.end;
    let second_hole = LIVE_FRAME - OTHER_CODEC.end;
    if BEFORE_GAP.contains(&frame) {
        Some(frame)
    } else if (AFTER_GAP.start..OTHER_CODEC.end).contains(&frame) {
        Some(frame - first_hole)
    } else if frame >= LIVE_FRAME {
        Some(frame - first_hole - second_hole)
    } else {
        None
    }
}

/// What is asked of the pictures of one play.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The first picture is one of these.
    pub first: Range<i64>,
    /// At least so many pictures.
    pub least: usize,
    /// Most pictures that may be missing in one place: 0 for a decoder without a clock.
    pub most_missing: i64,
    /// The last picture, where the play ends by itself.
    pub last: Option<i64>,
    /// First frames after a break that must be crossed: pictures within a second (and what may be
    /// missing) are seen on both sides.
    pub seams: Vec<i64>,
}

fn shortened(frames: &[Option<i64>]) -> String {
    let mut runs: Vec<(Option<i64>, Option<i64>)> = Vec::new();
    for &frame in frames {
        match (runs.last_mut(), frame) {
            (Some((_, Some(last))), Some(frame)) if frame == *last + 1 || frame == *last => *last = frame,
            (Some((_, None)), None) => {}
            _ => runs.push((frame, frame)),
        }
    }
    let shown: Vec<String> = runs
        .iter()
        .take(30)
        .map(|run| match run {
            (Some(a), Some(b)) if a == b => format!("{a}"),
            (Some(a), Some(b)) => format!("{a}..={b}"),
            _ => "unreadable".into(),
        })
        .collect();
    format!("{} pictures: {}{}", frames.len(), shown.join(" "), if runs.len() > 30 { " …" } else { "" })
}

impl Expected {
    /// Checks the pictures a player showed, in order.
    ///
    /// # Errors
    /// What is wrong, and what was seen.
    pub fn check(&self, frames: &[Option<i64>]) -> Result<(), String> {
        self.find_fault(frames).map_or(Ok(()), |fault| Err(format!("{fault}; seen: {}", shortened(frames))))
    }

    fn find_fault(&self, frames: &[Option<i64>]) -> Option<String> {
        if frames.len() < self.least {
            return Some(format!("at least {} pictures are wanted", self.least));
        }
        let mut positions = Vec::with_capacity(frames.len());
        for &frame in frames {
            let Some(frame) = frame else { return Some("a picture cannot be read".into()) };
            let Some(position) = position(frame) else { return Some(format!("{frame} was never recorded")) };
            positions.push(position);
        }
        let (first, last) = (frames.first().copied().flatten()?, frames.last().copied().flatten()?);
        if !self.first.contains(&first) {
            return Some(format!("begins with {first}, not in {:?}", self.first));
        }
        if let Some(wanted) = self.last
            && (last > wanted || last < wanted - self.most_missing)
        {
            return Some(format!("ends with {last}, not {wanted}"));
        }
        // A player with a clock may show a picture twice.
        let least_step = i64::from(self.most_missing == 0);
        let jump = positions.windows(2).zip(frames.windows(2)).find(|(p, _)| {
            let step = p[1] - p[0];
            step < least_step || step > self.most_missing + 1
        });
        if let Some((_, f)) = jump {
            return Some(format!("goes from {} to {}", f[0].unwrap_or(-1), f[1].unwrap_or(-1)));
        }
        for seam in &self.seams {
            let at = position(*seam)?;
            let near = |range: Range<i64>| positions.iter().any(|p| range.contains(p));
            if !near(at - FPS - self.most_missing..at) || !near(at..at + FPS + self.most_missing) {
                return Some(format!("does not cross the break before {seam}"));
            }
        }
        None
    }
}
