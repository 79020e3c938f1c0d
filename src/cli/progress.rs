//! Progress lines on a terminal: one for each stream, rewritten every second.

use evertape::clock;
use evertape::recorder::reports::Shown;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Whether there is a terminal to show progress on.
pub fn on_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Shows the lines until dropped or aborted.
pub async fn show(under_way: watch::Receiver<Vec<Arc<Shown>>>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    let mut shown = 0;
    loop {
        ticks.tick().await;
        let streams = under_way.borrow().clone();
        let mut text = if shown > 0 { format!("\x1b[{shown}A") } else { String::new() };
        for stream in &streams {
            // A line longer than the terminal would wrap and break the rewriting: no wrapping meanwhile.
            text.push_str("\r\x1b[K\x1b[?7l");
            text.extend(stream.status.line(clock::now()).chars().filter(|c| !c.is_control()).take(300));
            text.push_str("\x1b[?7h\n");
        }
        // Fewer streams than before leave lines behind: they are cleared.
        text.push_str("\x1b[J");
        shown = streams.len();
        let mut out = std::io::stdout().lock();
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}
