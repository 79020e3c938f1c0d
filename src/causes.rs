//! An error and its causes in one line.
//!
//! Comes in: an error. Goes out: its sentence, and those of its causes that it does not quote itself. Never: the same
//! words twice, which hides in a long line what is new in it.

/// One line for people.
pub fn causes(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn nothing_is_said_twice() {
        let inner = anyhow!("no such file");
        assert_eq!(causes(&inner), "no such file");
        let quotes = inner.context("opening x: no such file");
        assert_eq!(causes(&quotes), "opening x: no such file");
        let more = quotes.context("the index").context("nothing to record");
        assert_eq!(causes(&more), "nothing to record: the index: opening x: no such file");
        assert_eq!(causes(&anyhow!("b").context("a")), "a: b");
    }
}
