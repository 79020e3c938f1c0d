//! CPU time and memory as the kernel accounts them.

use std::process::{Command, Stdio};
use std::time::Duration;

/// CPU time, user and system together.
pub type Cpu = Duration;

/// Ticks of `/proc/PID/stat`: USER_HZ is 100 on every Linux there is.
const TICK: Duration = Duration::from_millis(10);

fn stat_fields(process: &str) -> Vec<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("the process runs");
    // The second field is a name in parentheses that may hold anything.
    let rest = text.rsplit_once(')').expect("a stat line").1;
    rest.split_whitespace().map(|f| f.parse().unwrap_or(0)).collect()
}

/// CPU time of a running process.
pub fn process_cpu(pid: u32) -> Cpu {
    let fields = stat_fields(&pid.to_string());
    TICK * u32::try_from(fields[11] + fields[12]).expect("fits")
}

/// CPU time of children that were waited for.
pub fn children_cpu() -> Cpu {
    let fields = stat_fields("self");
    TICK * u32::try_from(fields[13] + fields[14]).expect("fits")
}

/// CPU time of this thread, to the nanosecond.
pub fn thread_cpu() -> Cpu {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("schedstat");
    Duration::from_nanos(text.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number"))
}

/// A field of `/proc/PID/status`, in kB.
pub fn status_kb(pid: u32, field: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = text.lines().find(|l| l.starts_with(field)).expect("the field");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
}

/// Runs a program to its end; gives its CPU time.
pub fn run(program: &str, arguments: &[&str]) -> Cpu {
    let before = children_cpu();
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .unwrap_or_else(|e| panic!("{program} cannot be started ({e}); run scripts/install-deps test"));
    assert!(status.success(), "{program} {arguments:?}");
    children_cpu() - before
}
