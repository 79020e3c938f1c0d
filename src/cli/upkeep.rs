//! What an operator runs by hand or from cron: one round of retention, and what looks after index and bucket.

use super::roles::{connect, janitor_rules, stop_on_signals};
use clap::Args;
use evertape::clock;
use evertape::config::Config;
use evertape::janitor::{self, Mode};
use std::fmt::Write as _;

/// `evertape janitor`
#[derive(Debug, Args)]
pub struct JanitorArgs {
    /// One round to the end, with a report, instead of rounds for ever.
    #[arg(long)]
    once: bool,
    /// Unlist even more than half of a stream at once. Needs --once.
    #[arg(long, requires = "once")]
    force: bool,
    /// Only say what one round would do.
    #[arg(long)]
    dry_run: bool,
}

/// Bytes for people: `1.5 GB`.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut factor = 1;
    for unit in UNITS {
        if bytes / factor < 1000 || unit == UNITS[5] {
            let (whole, tenth) = (bytes / factor, bytes % factor * 10 / factor);
            return if factor == 1 || whole >= 100 {
                format!("{whole} {unit}")
            } else {
                format!("{whole}.{tenth} {unit}")
            };
        }
        factor *= 1000;
    }
    format!("{bytes} B")
}

/// `evertape janitor`
pub async fn janitor(config: Config, args: JanitorArgs) -> anyhow::Result<()> {
    let cancel = stop_on_signals()?;
    let backends = connect(&config).await?;
    let rules = janitor_rules(&config);
    if !args.once && !args.dry_run {
        janitor::run(backends.store, backends.index, rules, cancel).await;
        return Ok(());
    }
    let mode = Mode { force: args.force, dry_run: args.dry_run, to_the_end: true };
    let rounds = tokio::select! {
        rounds = janitor::round(&*backends.store, &*backends.index, &rules, mode, clock::now()) => rounds?,
        () = cancel.cancelled() => anyhow::bail!("stopped; what was begun goes on in the next round"),
    };
    let (mut text, mut failed, mut refused) = (String::new(), 0, 0);
    let (unlisted, deleted) = if args.dry_run { ("to unlist", "to delete") } else { ("unlisted", "deleted") };
    for (stream, outcome) in &rounds {
        match outcome {
            Ok(round) => {
                let bytes = human_bytes(round.expired_bytes);
                let _ = writeln!(text, "{stream}: {} {unlisted} ({bytes}), {} {deleted}", round.marked, round.deleted);
                if let Some(why) = &round.refused {
                    let _ = writeln!(text, "{stream}: refused: {why}");
                    refused += 1;
                }
            }
            Err(error) => {
                let _ = writeln!(text, "{stream}: failed: {error:#}");
                failed += 1;
            }
        }
    }
    print!("{text}");
    anyhow::ensure!(failed == 0, "retention failed for {failed} stream(s)");
    anyhow::ensure!(refused == 0, "retention was refused for {refused} stream(s)");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::human_bytes;

    #[test]
    fn bytes_for_people() {
        for (bytes, text) in
            [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_550_000, "1.5 MB"), (123_456_789_012, "123 GB")]
        {
            assert_eq!(human_bytes(bytes), text);
        }
        assert!(human_bytes(u64::MAX).ends_with("PB"));
    }
}
