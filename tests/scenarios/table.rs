//! One line for each scenario.

use crate::bed::Ledger;
use crate::stage::Stage;
use std::fmt::Write;
use std::time::Duration;

/// What a scenario cost.
#[derive(Debug, Default)]
pub struct Row {
    /// What was broken.
    pub what: &'static str,
    /// Seconds of media in a second of the run.
    pub speed: u32,
    /// Pictures from the first to the last of the archive.
    pub pictures: Option<usize>,
    /// Pictures that are missing in between, and sounds.
    pub lost: [usize; 2],
    /// Pictures and sounds that are there twice.
    pub twice: usize,
    /// Gaps in the pictures, each of which is told.
    pub gaps: usize,
    /// How far the archive was behind the source at most, in seconds of media.
    pub longest_lag_s: Option<f64>,
    /// From the mending until the archive was up with the source, in seconds of the run.
    pub caught_up: Option<Duration>,
    /// Most that the spools held.
    pub spool_bytes: u64,
    /// What else was counted.
    pub more: String,
}

impl Row {
    /// The figures that each scenario of recording has.
    pub fn of(what: &'static str, stage: &Stage, ledger: &Ledger) -> Self {
        let peaks = stage.peaks();
        Self {
            what,
            speed: stage.bed.pace.speed,
            pictures: Some(ledger.pictures.1 + 1 - ledger.pictures.0),
            lost: [ledger.gaps[0].iter().sum(), ledger.gaps[1].iter().sum()],
            twice: ledger.twice,
            gaps: ledger.gaps[0].len(),
            longest_lag_s: Some(peaks.lag_us as f64 / 1e6),
            caught_up: None,
            spool_bytes: peaks.spool_bytes,
            more: String::new(),
        }
    }

    pub fn caught_up(mut self, time: Duration) -> Self {
        self.caught_up = Some(time);
        self
    }

    pub fn more(mut self, more: impl Into<String>) -> Self {
        self.more = more.into();
        self
    }
}

pub fn text(rows: &[Row]) -> String {
    let mut out = String::from("\nWhat was broken, and what it cost\n");
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let _ = writeln!(
        out,
        "{:<54} {:>5} {:>8} {:>11} {:>5} {:>4} {:>7} {:>6} {:>8}  and",
        "broken", "speed", "pictures", "lost", "twice", "gaps", "lag s", "up s", "spool"
    );
    for row in rows {
        let _ = writeln!(
            out,
            "{:<54} {:>4}x {:>8} {:>11} {:>5} {:>4} {:>7} {:>6} {:>5.1} MB  {}",
            row.what,
            row.speed,
            or_dash(row.pictures.map(|n| n.to_string())),
            format!("{} + {}", row.lost[0], row.lost[1]),
            row.twice,
            row.gaps,
            or_dash(row.longest_lag_s.map(|s| format!("{s:.0}"))),
            or_dash(row.caught_up.map(|t| format!("{:.1}", t.as_secs_f64()))),
            row.spool_bytes as f64 / 1e6,
            row.more,
        );
    }
    out.push_str(
        "speed: seconds of media in a second of the run. lost: pictures + sounds. lag: the longest, in seconds of media.\n\
         up: from the mending until the archive was up with the source, in seconds of the run. spool: the most it held.\n",
    );
    out
}
