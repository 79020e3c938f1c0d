//! The command line: reads the configuration, connects, starts roles, ends them in order.
//!
//! Exit codes: 0 done, 1 failed while running, 2 wrong command line or configuration. Those of `check`: see there.

mod logging;
mod observability;
mod progress;
mod roles;
mod source_test;
mod upkeep;

use clap::{Args, Parser, Subcommand};
use evertape::causes::causes;
use evertape::config::Config;
use std::path::PathBuf;
use std::process::ExitCode;

/// A cloud DVR: records live TV around the clock into object storage and plays any moment of it back.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  evertape run --config evertape.toml       everything in one process: record, play, retention
  evertape check-config --config my.toml    say what is wrong with a configuration, and how to mend it
  evertape check --config my.toml           do index and bucket agree?
  evertape migrate --config my.toml         create or update the index's schema, before record and play
  EVERTAPE_HTTP__LISTEN=127.0.0.1:9000 evertape play --config my.toml

Each configuration key can be given by environment too: [store.s3] access_key is
EVERTAPE_STORE__S3__ACCESS_KEY; lists are written as in TOML:
  EVERTAPE_STREAM='[{name=\"demo\", source=\"demo:\", retention=\"7d\"}]'
EVERTAPE_LOG sets what is logged (for instance `debug`, `evertape=trace`).";

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything in one process: migrate, record, play, retention.
    ///
    /// What a single machine needs. With the defaults (SQLite and a folder of objects) nothing has to be
    /// installed.
    Run(Common),
    /// Record the configured streams.
    ///
    /// One process may record many streams; each stream is recorded by one process at a time, others stand by.
    /// On a terminal a line per stream shows the progress; else logs are written.
    Record(Common),
    /// Answer players over HTTP.
    ///
    /// Stateless: start as many as you need, behind any load balancer or CDN.
    Play(Common),
    /// Delete what has outlived its retention.
    ///
    /// `run` does this too. Once is enough for an installation; more do no harm. A run that would unlist more than
    /// half of a stream at once stops and asks, unless the retention was just changed: see --force.
    Janitor {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        args: upkeep::JanitorArgs,
    },
    /// Compare index and bucket, both ways: exit code 0 if they agree, 1 if not, 2 if it cannot be told.
    ///
    /// May run beside everything else. Says what is missing, what is too much, and what to do about it.
    Check {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        args: upkeep::CheckArgs,
    },
    /// Make the index again from the bucket alone.
    ///
    /// For a lost or damaged database: give an empty one in [index], run this, then the rest. What only the database
    /// knows (locks, settings) comes from its backup.
    Reindex {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        args: upkeep::ReindexArgs,
    },
    /// Create the index's schema or bring it up to date, then end.
    Migrate(Common),
    /// Check the configuration and end: exit code 0 if it is good, 2 if not.
    CheckConfig(Common),
}

#[derive(Debug, Args)]
struct Common {
    /// Configuration file (TOML). Without it, the defaults and the environment count.
    #[arg(long, short, env = "EVERTAPE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// How logs are written: for people or for machines. Default: text on a terminal, json elsewhere.
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<logging::LogFormat>,
}

impl Command {
    fn common(&self) -> &Common {
        match self {
            Self::Run(c) | Self::Record(c) | Self::Play(c) | Self::Migrate(c) | Self::CheckConfig(c) => c,
            Self::Janitor { common, .. } | Self::Check { common, .. } | Self::Reindex { common, .. } => common,
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, ExitCode> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        eprintln!("the runtime cannot start: {error}");
        ExitCode::FAILURE
    })
}

fn check_config(config: &Config) -> ExitCode {
    let faults = match runtime() {
        Ok(runtime) => runtime.block_on(roles::check(config)),
        Err(code) => return code,
    };
    if faults.is_empty() {
        println!("The configuration is good: {} stream(s), listening on {}.", config.stream.len(), config.http.listen);
        return ExitCode::SUCCESS;
    }
    faults.iter().for_each(|fault| eprintln!("{fault}"));
    ExitCode::from(2)
}

/// Open files that are asked of the system; it may grant fewer.
const MOST_FILES: u64 = 65_536;

/// Runs the command.
pub fn main(cli: Cli) -> ExitCode {
    evertape::memory::limit_arenas();
    let common = cli.command.common();
    let config = match Config::load(common.config.as_deref()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    if matches!(cli.command, Command::CheckConfig(_)) {
        return check_config(&config);
    }
    let shows_progress = matches!(cli.command, Command::Record(_)) && progress::on_terminal();
    let upkeep = matches!(cli.command, Command::Check { .. } | Command::Reindex { .. });
    let log_format = logging::start(common.log_format, shows_progress || upkeep);
    // A descriptor for each connection and object; the usual soft limit of 1024 would starve the spool.
    if let Err(error) = rlimit::increase_nofile_limit(MOST_FILES) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(code) => return code,
    };
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Run(_) => roles::run(config).await,
            Command::Record(_) => roles::record(config, shows_progress).await,
            Command::Play(_) => roles::play(config).await,
            Command::Janitor { args, .. } => upkeep::janitor(config, args).await,
            Command::Check { args, .. } => return Ok(upkeep::check(config, args).await),
            Command::Reindex { args, .. } => upkeep::reindex(config, args).await,
            Command::Migrate(_) => roles::migrate(config).await,
            Command::CheckConfig(_) => Ok(()),
        }
        .map(|()| ExitCode::SUCCESS)
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match outcome {
        Ok(code) => code,
        Err(error) => {
            // Once, in the form in which whoever reads the log expects it.
            match log_format {
                logging::LogFormat::Json => tracing::error!(error = %causes(&error), "ended"),
                logging::LogFormat::Text => eprintln!("evertape: {}", causes(&error)),
            }
            ExitCode::FAILURE
        }
    }
}
