//! Addresses with passwords in them: shown with `***`, and made whole again when they come back.
//!
//! Comes in: the address of a source. Goes out: one that may be shown, or the one it stands for. Never: I/O.

use url::Url;

/// What stands for a secret.
pub const MASK: &str = "***";

/// Keys of a query whose values are secrets.
fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["token", "key", "pass", "pwd", "auth", "sig", "secret"].iter().any(|word| key.contains(word))
}

/// `source` without its secrets. What is no URL with a host has none.
pub fn shown(source: &str) -> String {
    let Some(mut url) = web_address(source) else { return source.to_owned() };
    if url.password().is_some() {
        let _ = url.set_password(Some(MASK));
    }
    replace_query(&mut url, |key, value| if is_secret(key) { MASK.to_owned() } else { value.to_owned() });
    url.into()
}

/// `source` with the secrets of `known` where it has `***`.
pub fn whole(source: &str, known: Option<&str>) -> String {
    let (Some(mut url), Some(known)) = (web_address(source), known.and_then(web_address)) else {
        return source.to_owned();
    };
    // To another host a password is not sent.
    if !source.contains(MASK) || url.host() != known.host() {
        return source.to_owned();
    }
    if url.password() == Some(MASK) {
        let _ = url.set_password(known.password());
    }
    replace_query(&mut url, |key, value| {
        let before = || known.query_pairs().find(|(k, _)| k == key).map(|(_, v)| v.into_owned());
        if value == MASK { before().unwrap_or_else(|| value.to_owned()) } else { value.to_owned() }
    });
    url.into()
}

fn web_address(source: &str) -> Option<Url> {
    Url::parse(source).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
}

/// Writes the query anew, if a value changes: else it stays as it is written.
fn replace_query(url: &mut Url, value_of: impl Fn(&str, &str) -> String) {
    let pairs: Vec<(String, String)> = url.query_pairs().map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
    if pairs.iter().all(|(k, v)| value_of(k, v) == *v) {
        return;
    }
    url.query_pairs_mut().clear().extend_pairs(pairs.iter().map(|(k, v)| (k, value_of(k, v))));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_come_back() {
        for (source, expected) in [
            ("https://u:p%40ss@h.example/a.m3u8?x=1", "https://u:***@h.example/a.m3u8?x=1"),
            ("https://h.example/a.m3u8?b=2&token=abc%26", "https://h.example/a.m3u8?b=2&token=***"),
            ("http://h.example/a.ts?b=%C3%B1+", "http://h.example/a.ts?b=%C3%B1+"),
            ("udp://@239.1.1.1:1234", "udp://@239.1.1.1:1234"),
            ("demo:", "demo:"),
            ("nonsense token=1", "nonsense token=1"),
        ] {
            assert_eq!(shown(source), expected);
            assert_eq!(whole(expected, Some(source)), source);
        }
    }

    #[test]
    fn another_host_gets_no_secret() {
        let known = Some("https://u:p@h.example/?token=abc");
        assert_eq!(whole("https://u:***@evil.example/?token=***", known), "https://u:***@evil.example/?token=***");
        assert_eq!(whole("https://u:new@h.example/?token=***", known), "https://u:new@h.example/?token=abc");
        assert_eq!(whole("https://u:***@h.example/", None), "https://u:***@h.example/");
    }
}
