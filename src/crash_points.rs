//! Named moments at which a test may have the process killed.
//!
//! Comes in: the name of a step, from the code that is about to go past it. Goes out: nothing, unless the
//! environment says `EVERTAPE_CRASH_AT=name` (the first time) or `name:n` (the n-th time): then the process gets
//! SIGKILL, as from `kill -9`: no destructor, no flush, no goodbye. Always compiled in, so that what is tested is
//! what is shipped; unset, a step costs one atomic read. Never: changes anything else.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The variable that names the step to die at.
pub const VARIABLE: &str = "EVERTAPE_CRASH_AT";

struct Fatal {
    name: String,
    passes: AtomicU64,
    at: u64,
}

impl Fatal {
    /// `None` for a text that names no step.
    fn parse(text: &str) -> Option<Self> {
        let (name, at) = match text.split_once(':') {
            Some((name, n)) => (name, n.parse().ok()?),
            None => (text, 1),
        };
        (!name.is_empty() && at > 0).then(|| Self { name: name.into(), passes: AtomicU64::new(0), at })
    }

    /// Counts a pass; says whether it is the last one.
    fn pass(&self, name: &str) -> bool {
        self.name == name && self.passes.fetch_add(1, Ordering::Relaxed) + 1 == self.at
    }
}

/// The process is about to go past the step `name`.
pub fn reached(name: &'static str) {
    static FATAL: OnceLock<Option<Fatal>> = OnceLock::new();
    let fatal = FATAL.get_or_init(|| std::env::var(VARIABLE).ok().and_then(|text| Fatal::parse(&text)));
    if fatal.as_ref().is_some_and(|fatal| fatal.pass(name)) {
        die();
    }
}

fn die() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    // Not reached on a system that has SIGKILL.
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::Fatal;

    #[test]
    fn a_step_is_fatal_at_its_nth_pass_only() {
        let fatal = Fatal::parse("spool.written:3").unwrap();
        let passed: Vec<bool> =
            ["spool.written", "other", "spool.written", "spool.written", "spool.written"].map(|n| fatal.pass(n)).into();
        assert_eq!(passed, [false, false, false, true, false]);
        assert!(Fatal::parse("x").unwrap().pass("x"));
        assert!(["", ":1", "x:0", "x:y", "x:"].iter().all(|text| Fatal::parse(text).is_none()));
    }
}
