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

/// Starts logging. `quiet`: only warnings, because progress lines are on the terminal.
pub fn start(format: Option<LogFormat>, quiet: bool) {
    let default = if quiet { "warn" } else { "info" };
    let filter = EnvFilter::builder()
        .parse(std::env::var("EVERTAPE_LOG").unwrap_or_else(|_| default.into()))
        .unwrap_or_else(|_| EnvFilter::new(default));
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json }) {
        LogFormat::Text => builder.with_ansi(terminal).with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
