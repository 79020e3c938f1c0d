//! What an operator runs by hand or from cron: one round of retention, and what looks after index and bucket.

use super::roles::{connect, janitor_rules, migrate_with_patience, stop_on_signals};
use clap::Args;
use evertape::causes::causes;
use evertape::check::{self, Progress};
use evertape::clock;
use evertape::config::Config;
use evertape::janitor::{self, Mode};
use evertape::media::StreamName;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

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

/// `evertape check`
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Only this stream; may be given more than once.
    #[arg(long, value_name = "NAME", value_parser = StreamName::parse)]
    stream: Vec<StreamName>,
    /// Read every object whole: boxes, samples, checksums.
    #[arg(long)]
    deep: bool,
    /// Mend: adopt objects without row, unlist rows whose object is gone, make init segments again.
    #[arg(long)]
    repair: bool,
    /// Mend even where more than half of a stream's objects are not there. Needs --repair.
    #[arg(long, requires = "repair")]
    force: bool,
    /// The report as JSON, with up to 1000 findings of each kind.
    #[arg(long)]
    json: bool,
}

/// `evertape reindex`
#[derive(Debug, Args)]
pub struct ReindexArgs {
    /// Only this stream; may be given more than once.
    #[arg(long, value_name = "NAME", value_parser = StreamName::parse)]
    stream: Vec<StreamName>,
    /// Add what is missing to an index that has rows already.
    #[arg(long)]
    into_existing: bool,
}

/// Findings that are named for people, of each kind.
const NAMED: usize = 10;
/// And for machines.
const NAMED_IN_JSON: usize = 1000;
/// What ends sooner shows no progress.
const QUIET: Duration = Duration::from_secs(2);

/// Says on standard error how far `work` has come, once it takes longer.
async fn with_progress<T>(progress: &Progress, line: impl Fn(&Progress) -> String, work: impl Future<Output = T>) -> T {
    let terminal = std::io::stderr().is_terminal();
    let every = if terminal { Duration::from_secs(1) } else { Duration::from_secs(10) };
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + QUIET, every);
    let mut work = std::pin::pin!(work);
    let mut shown = false;
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            _ = ticks.tick() => {
                let text = line(progress);
                if terminal { eprint!("\r\x1b[K{text}") } else { eprintln!("{text}") }
                shown = true;
            }
        }
    };
    if shown && terminal {
        eprintln!("\r\x1b[K{}", line(progress));
    }
    done
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// `evertape check`. Exit code 0: all is well or was mended; 1: something is not; 2: it could not be told.
pub async fn check(config: Config, args: CheckArgs) -> ExitCode {
    let run = async {
        let cancel = stop_on_signals()?;
        let backends = connect(&config).await?;
        let options = check::Options {
            streams: args.stream,
            deep: args.deep,
            repair: args.repair,
            force: args.force,
            most_named: if args.json { NAMED_IN_JSON } else { NAMED },
        };
        let progress = Arc::new(Progress::default());
        let work = check::check(backends.store, backends.index, options, progress.clone(), clock::now());
        let line = |p: &Progress| {
            let read_text =
                if args.deep { format!(", {} read", human_bytes(read(&p.bytes_read))) } else { String::new() };
            let (rows, objects, findings) = (read(&p.rows), read(&p.objects), read(&p.findings));
            format!("{rows} rows, {objects} objects{read_text}, {findings} findings")
        };
        tokio::select! {
            report = with_progress(&progress, line, work) => Ok(report?),
            () = cancel.cancelled() => Err(anyhow::anyhow!("stopped")),
        }
    };
    let report = match run.await {
        Ok(report) => report,
        Err(error) => {
            eprintln!("evertape: {}", causes(&error));
            return ExitCode::from(2);
        }
    };
    if args.json {
        match serde_json::to_string_pretty(&report) {
            Ok(json) => println!("{json}"),
            Err(error) => eprintln!("evertape: {error}"),
        }
    } else {
        print!("{report}");
    }
    if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// `evertape reindex`
pub async fn reindex(config: Config, args: ReindexArgs) -> anyhow::Result<()> {
    let cancel = stop_on_signals()?;
    let backends = connect(&config).await?;
    if !migrate_with_patience(&backends, &cancel).await? {
        anyhow::bail!("stopped before the schema was up to date");
    }
    let progress = Arc::new(Progress::default());
    let begun = Instant::now();
    let (store, index) = (backends.store, backends.index);
    let work = check::reindex(store, index, args.stream, args.into_existing, progress.clone());
    let line = |p: &Progress| {
        let (objects, written) = (read(&p.objects), read(&p.written));
        let rate = u128::from(objects) * 1000 / begun.elapsed().as_millis().max(1);
        format!("{objects} objects, {written} rows written, {rate} objects/s")
    };
    let done = tokio::select! {
        done = with_progress(&progress, line, work) => done?,
        () = cancel.cancelled() => anyhow::bail!("stopped; run it again with --into-existing to go on"),
    };
    let adopted = done.adopted;
    println!("{}", line(&progress));
    println!(
        "{} rows written, {} were there, {} superseded objects, {} conflicting, {} foreign files",
        adopted.written, adopted.kept, adopted.superseded, adopted.conflicting, done.foreign
    );
    if adopted.reserved > 0 {
        println!(
            "  {} objects were left alone: the recorder that has their stream may give their numbers out yet",
            adopted.reserved
        );
    }
    if done.void > 0 {
        println!("  {} objects were left out: the recorder that made them had lost their stream by then", done.void);
    }
    for (key, why) in &done.first_damaged {
        println!("  not readable: {key}: {why}");
    }
    anyhow::ensure!(done.damaged == 0, "{} objects are damaged and have no row now", done.damaged);
    Ok(())
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
                let _ = writeln!(text, "{stream}: failed: {}", causes(error));
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
