//! Logs: structured, to standard error.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging, and says in which format. `quiet`: only warnings, because progress lines are on the terminal.
pub fn start(format: Option<LogFormat>, quiet: bool) -> LogFormat {
    let default = if quiet { "warn" } else { "info" };
    let wanted = std::env::var("EVERTAPE_LOG").unwrap_or_else(|_| default.into());
    let filter = EnvFilter::builder().parse(wanted);
    let misread = filter.is_err();
    let filter = filter.unwrap_or_else(|_| EnvFilter::new(default));
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let format = format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    match format {
        LogFormat::Text => builder.with_ansi(terminal).with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    if misread {
        tracing::warn!("EVERTAPE_LOG cannot be read; write a level such as `debug`, or `evertape=trace`");
    }
    format
}
