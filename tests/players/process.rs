//! Child processes with a limit on their time; none outlives its test.

use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

/// What is left of a process.
pub struct Ended {
    /// Whether it ended by itself, without an error.
    pub well: bool,
    /// Standard output.
    pub output: Vec<u8>,
    /// The end of what it said.
    pub said: String,
}

/// Runs a program for at most `limit`, then ends it by force.
///
/// # Errors
/// It is not there; the sentence says how to install it.
pub async fn run(program: &str, arguments: &[String], limit: Duration) -> Result<Ended, String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("{program} cannot be started ({e}); run `scripts/install-deps test`"))?;
    let (mut out, mut err) = (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
    let (mut output, mut said) = (Vec::new(), Vec::new());
    let both = async { tokio::join!(out.read_to_end(&mut output), err.read_to_end(&mut said)) };
    let in_time = tokio::time::timeout(limit, both).await.is_ok();
    if !in_time {
        let _ = child.start_kill();
    }
    let status = tokio::time::timeout(Duration::from_secs(5), child.wait()).await;
    let well = in_time && status.is_ok_and(|s| s.is_ok_and(|s| s.success()));
    let said = String::from_utf8_lossy(&said).into_owned();
    let lines: Vec<&str> = said.lines().collect();
    let said = lines[lines.len().saturating_sub(12)..].join("\n");
    Ok(Ended { well, output, said: if in_time { said } else { format!("{said}\nnot done after {limit:?}") } })
}
