//! What a `source = "…"` line means.
//!
//! Comes in: the text of the configuration. Goes out: a checked `SourceSpec`, or a sentence that says what is
//! wrong, where, and how to mend it. Never: opens anything, looks up names, prints a secret.

use crate::media::UtcUs;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use url::Url;

/// Why a source was refused: a sentence for whoever wrote it. Holds no secret of the source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SpecError(pub String);

/// Where a stream comes from. `Display` and `Debug` hide user names, passwords and the values of queries.
#[derive(Clone, PartialEq, Eq)]
pub enum SourceSpec {
    /// `demo:`: the clip inside the program, looped in real time.
    Demo,
    /// `file:/path.ts`: an MPEG-TS file.
    File(FileSpec),
    /// `http(s)://….m3u8`: HLS.
    Hls(Url),
    /// `http(s)://…`: MPEG-TS over HTTP, unless the answer turns out to be a playlist.
    Http(Url),
    /// `udp://…` and `rtp://…`: MPEG-TS in datagrams, with or without RTP.
    Udp(UdpSpec),
}

/// A file source.
#[derive(Clone, PartialEq, Eq)]
pub struct FileSpec {
    /// Where it is.
    pub path: PathBuf,
    /// `loop=1`: begins anew at its end, with continuous timestamps.
    pub looped: bool,
    /// `realtime=1`: no faster than its own clock.
    pub realtime: bool,
    /// `start=`: the wall time of its first sample.
    pub start: Option<UtcUs>,
}

/// A datagram source.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UdpSpec {
    /// The multicast group to join, or the local address to listen on.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// `iface=`: where to join the group.
    pub interface: Option<Interface>,
    /// `source=`: only datagrams of this sender (source-specific multicast, RFC 4607).
    pub sender: Option<IpAddr>,
}

/// A network interface, as the operating system wants it named for a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interface {
    /// By its IPv4 address.
    Address(Ipv4Addr),
    /// By its number (IPv6).
    Index(u32),
}

const FORMS: &str = "known are demo:, file:/path.ts, http(s)://host/path.m3u8, http(s)://host/path, \
                     udp://@group:port, udp://:port and rtp://@group:port";

fn fail<T>(sentence: impl Into<String>) -> Result<T, SpecError> {
    Err(SpecError(sentence.into()))
}

impl SourceSpec {
    /// Reads a source.
    ///
    /// # Errors
    /// A sentence that says what is wrong and how to mend it.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let text = text.trim();
        if text.len() > 4096 {
            return fail("the source is longer than 4096 bytes; an address that long is a mistake");
        }
        if text.chars().any(char::is_control) {
            return fail("the source holds a control character; write it on one line");
        }
        let Some((scheme, rest)) = text.split_once(':') else {
            return fail(format!("the source does not begin with a kind and a colon; {FORMS}"));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "demo" if rest.trim_matches('/').is_empty() => Ok(Self::Demo),
            "demo" => fail("demo: takes nothing after the colon; remove it"),
            "file" => parse_file(rest).map(Self::File),
            "http" | "https" => parse_http(text),
            "udp" | "rtp" => parse_udp(scheme, rest).map(Self::Udp),
            other if other.bytes().all(|b| b.is_ascii_alphanumeric()) && other.len() <= 16 => {
                fail(format!("sources of the kind {other:?} are not supported; {FORMS}"))
            }
            _ => fail(format!("the source begins with no known kind; {FORMS}")),
        }
    }
}

/// The options after `?`, each once.
fn options<'a>(
    kind: &str,
    query: Option<&'a str>,
    known: &'static [&'static str],
) -> Result<Vec<(&'static str, &'a str)>, SpecError> {
    let mut found: Vec<(&'static str, &'a str)> = Vec::new();
    for pair in query.unwrap_or("").split('&').filter(|p| !p.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(name) = known.iter().find(|k| **k == key) else {
            return fail(format!("{kind}: has no option {key:?}; it takes {}", known.join(", ")));
        };
        if found.iter().any(|(k, _)| k == name) {
            return fail(format!("{kind}: the option {name} is given twice; keep one"));
        }
        found.push((name, value));
    }
    Ok(found)
}

fn flag(kind: &str, name: &str, value: &str) -> Result<bool, SpecError> {
    match value {
        "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" => Ok(false),
        other => fail(format!("{kind}: {name}={other:?} is neither on nor off; write {name}=1 or {name}=0")),
    }
}

fn parse_file(rest: &str) -> Result<FileSpec, SpecError> {
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    // file:///x and file:/x are the same; file://host/x is not ours.
    let path = match path.strip_prefix("//") {
        Some(local) if local.starts_with('/') => local,
        Some(_) => return fail("file://host/path names another machine; write file:/path for a file on this one"),
        None => path,
    };
    let decoded = percent_encoding::percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| SpecError("the path of the file is not UTF-8 after percent-decoding; rename the file".into()))?;
    if decoded.is_empty() {
        return fail("file: needs a path; write file:/path/to/clip.ts");
    }
    if decoded.contains('\0') {
        return fail("the path of the file holds a NUL byte; remove the %00");
    }
    let mut spec = FileSpec { path: PathBuf::from(decoded.into_owned()), looped: false, realtime: false, start: None };
    for (name, value) in options("file", query, &["loop", "realtime", "start"])? {
        match name {
            "loop" => spec.looped = flag("file", name, value)?,
            "realtime" => spec.realtime = flag("file", name, value)?,
            _ => {
                let number = value.parse::<i64>().ok().filter(|n| (0..=100_000_000_000_000).contains(n));
                let Some(number) = number else {
                    return fail(format!("file: start={value:?} is no time; write UTC seconds, like start=1735689600"));
                };
                // As in playback URLs: what is too large for seconds is milliseconds.
                let start =
                    if number > 100_000_000_000 { UtcUs::from_millis(number) } else { UtcUs::from_seconds(number) };
                spec.start = Some(start);
            }
        }
    }
    if spec.looped && !spec.realtime {
        return fail("file: loop=1 without realtime=1 would record for ever at full speed; add realtime=1");
    }
    Ok(spec)
}

fn parse_http(text: &str) -> Result<SourceSpec, SpecError> {
    // The parser's own words never quote the input, so they hold no secret.
    let mut url =
        Url::parse(text).map_err(|e| SpecError(format!("the address is malformed ({e}); write http://host/path")))?;
    if url.host_str().is_none_or(str::is_empty) {
        return fail("the address names no host; write http://host/path");
    }
    url.set_fragment(None);
    let path = url.path().to_ascii_lowercase();
    let hinted = url.query_pairs().any(|(k, v)| k == "type" && v.eq_ignore_ascii_case("hls"));
    if hinted || path.ends_with(".m3u8") || path.ends_with(".m3u") {
        Ok(SourceSpec::Hls(url))
    } else {
        Ok(SourceSpec::Http(url))
    }
}

fn parse_udp(scheme: &str, rest: &str) -> Result<UdpSpec, SpecError> {
    let kind = scheme.to_ascii_lowercase();
    let Some(rest) = rest.strip_prefix("//") else {
        return fail(format!("{kind}: needs two slashes; write {kind}://@group:port or {kind}://:port"));
    };
    let (place, query) = match rest.split_once('?') {
        Some((place, query)) => (place, Some(query)),
        None => (rest, None),
    };
    let place = place.trim_end_matches('/');
    let (before, place) = match place.rsplit_once('@') {
        Some((before, place)) => (before, place),
        None => ("", place),
    };
    let Some((host, port)) = place.rsplit_once(':') else {
        return fail(format!("{kind}: names no port; write {kind}://@group:port or {kind}://:port"));
    };
    let Some(port) = port.parse::<u16>().ok().filter(|p| *p > 0) else {
        return fail(format!("{kind}: the port {port:?} is not between 1 and 65535"));
    };
    let address = match host {
        "" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        host => ip(&kind, "the address", host)?,
    };
    let mut spec = UdpSpec { address, port, interface: None, sender: None };
    if !before.is_empty() {
        spec.sender = Some(ip(&kind, "the sender before the @", before)?);
    }
    for (name, value) in options(&kind, query, &["iface", "source"])? {
        match name {
            "source" => spec.sender = Some(ip(&kind, "source", value)?),
            _ => {
                let interface = match (address, value.parse::<Ipv4Addr>(), value.parse::<u32>()) {
                    (IpAddr::V4(_), Ok(ip), _) => Interface::Address(ip),
                    (IpAddr::V6(_), _, Ok(index)) => Interface::Index(index),
                    (IpAddr::V4(_), ..) => {
                        return fail(format!(
                            "{kind}: iface={value:?} is no IPv4 address of an interface of this host"
                        ));
                    }
                    (IpAddr::V6(_), ..) => {
                        return fail(format!("{kind}: iface={value:?} is no interface number (see `ip link`)"));
                    }
                };
                spec.interface = Some(interface);
            }
        }
    }
    if !spec.address.is_multicast() && spec.interface.is_some() {
        return fail(format!("{kind}: iface= is for multicast groups, and {address} is none; listen on its address"));
    }
    if let Some(sender) = spec.sender {
        if sender.is_ipv4() != address.is_ipv4() {
            return fail(format!("{kind}: sender and address are not of the same IP version"));
        }
        if address.is_multicast() && address.is_ipv6() {
            return fail(format!("{kind}: source-specific joins are supported for IPv4 only; leave source= out"));
        }
    }
    Ok(spec)
}

fn ip(kind: &str, what: &str, text: &str) -> Result<IpAddr, SpecError> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let parsed = match bare {
        Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    };
    match parsed {
        Some(ip) => Ok(ip),
        None => fail(format!("{kind}: {what} {text:?} is no IP address (IPv6 in brackets); names are not looked up")),
    }
}

/// `url` without user name, password and the values of its query: fit for a log.
pub fn redacted(url: &Url) -> String {
    let mut text = format!("{}://", url.scheme());
    if !url.username().is_empty() || url.password().is_some() {
        text.push_str("***@");
    }
    text.push_str(url.host_str().unwrap_or(""));
    if let Some(port) = url.port() {
        text.push_str(&format!(":{port}"));
    }
    text.push_str(url.path());
    for (position, pair) in url.query().unwrap_or("").split('&').filter(|p| !p.is_empty()).enumerate() {
        text.push(if position == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((key, value)) if key == "type" && value.eq_ignore_ascii_case("hls") => text.push_str(pair),
            Some((key, _)) => text.push_str(&format!("{key}=***")),
            // A bare word may be the secret itself.
            None => text.push_str("***"),
        }
    }
    text
}

impl fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Demo => f.write_str("demo:"),
            Self::File(file) => {
                write!(f, "file:{}", file.path.display())?;
                let mut separator = '?';
                let mut option = |f: &mut fmt::Formatter<'_>, text: String| {
                    let written = write!(f, "{separator}{text}");
                    separator = '&';
                    written
                };
                if file.looped {
                    option(f, "loop=1".into())?;
                }
                if file.realtime {
                    option(f, "realtime=1".into())?;
                }
                match file.start {
                    Some(start) => option(f, format!("start={}", start.seconds())),
                    None => Ok(()),
                }
            }
            Self::Hls(url) | Self::Http(url) => f.write_str(&redacted(url)),
            Self::Udp(udp) => {
                let at = if udp.address.is_multicast() { "@" } else { "" };
                match udp.address {
                    IpAddr::V4(ip) => write!(f, "udp://{at}{ip}:{}", udp.port)?,
                    IpAddr::V6(ip) => write!(f, "udp://{at}[{ip}]:{}", udp.port)?,
                }
                let mut separator = '?';
                match udp.interface {
                    Some(Interface::Address(ip)) => write!(f, "{separator}iface={ip}")?,
                    Some(Interface::Index(index)) => write!(f, "{separator}iface={index}")?,
                    None => {}
                }
                if udp.interface.is_some() {
                    separator = '&';
                }
                match udp.sender {
                    Some(IpAddr::V6(ip)) => write!(f, "{separator}source=[{ip}]"),
                    Some(IpAddr::V4(ip)) => write!(f, "{separator}source={ip}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl fmt::Debug for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceSpec({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_documented_form_is_understood() {
        for (text, printed) in [
            ("demo:", "demo:"),
            ("file:/a%20b/clip.ts?loop=1&realtime=1", "file:/a b/clip.ts?loop=1&realtime=1"),
            ("file:///clip.ts?start=1700000000", "file:/clip.ts?start=1700000000"),
            ("file:clip.ts?start=1700000000123&realtime=1", "file:clip.ts?realtime=1&start=1700000000"),
            ("udp://@239.1.2.3:5000", "udp://@239.1.2.3:5000"),
            ("udp://239.1.2.3:5000?iface=10.0.0.1", "udp://@239.1.2.3:5000?iface=10.0.0.1"),
            ("udp://@:5000", "udp://0.0.0.0:5000"),
            ("udp://:5000/", "udp://0.0.0.0:5000"),
            ("udp://127.0.0.1:5000", "udp://127.0.0.1:5000"),
            (
                "rtp://@232.1.1.1:5004?source=10.9.8.7&iface=10.0.0.1",
                "udp://@232.1.1.1:5004?iface=10.0.0.1&source=10.9.8.7",
            ),
            ("rtp://10.9.8.7@232.1.1.1:5004", "udp://@232.1.1.1:5004?source=10.9.8.7"),
            ("udp://@[ff15::1]:5000?iface=2", "udp://@[ff15::1]:5000?iface=2"),
            ("HTTP://Host/live.M3U8", "http://host/live.M3U8"),
        ] {
            let spec = SourceSpec::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(spec.to_string(), printed, "{text}");
        }
    }

    #[test]
    fn hls_is_known_by_its_ending_or_by_a_hint() {
        for hls in ["http://h/a.m3u8", "https://h/a.m3u8?token=x", "http://h/a?type=hls"] {
            assert!(matches!(SourceSpec::parse(hls), Ok(SourceSpec::Hls(_))), "{hls}");
        }
        for ts in ["http://h/a.ts", "http://h:8080/udp/239.0.0.1:1234", "http://h/?u=x.m3u8"] {
            assert!(matches!(SourceSpec::parse(ts), Ok(SourceSpec::Http(_))), "{ts}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let spec = SourceSpec::parse("https://joe:hunter2@h:8443/a.m3u8?token=s3cret&hunter2&type=hls").unwrap();
        for text in [spec.to_string(), format!("{spec:?}")] {
            assert!(!text.contains("hunter2") && !text.contains("joe") && !text.contains("s3cret"), "{text}");
            assert!(text.contains("https://***@h:8443/a.m3u8?token=***&***&type=hls"), "{text}");
        }
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        for (text, word) in [
            ("", "colon"),
            ("clip.ts", "colon"),
            ("srt://h:1", "not supported"),
            ("demo:x", "nothing"),
            ("file:", "path"),
            ("file://host/x.ts", "another machine"),
            ("file:/x.ts?loop=1", "realtime=1"),
            ("file:/x.ts?lop=1", "loop, realtime, start"),
            ("file:/x.ts?loop=1&loop=0", "twice"),
            ("file:/x.ts?realtime=maybe", "realtime=1"),
            ("file:/x.ts?start=soon", "UTC seconds"),
            ("file:/x%00.ts", "NUL"),
            ("http://", "address"),
            ("udp://@239.1.1.1", "port"),
            ("udp://@239.1.1.1:0", "65535"),
            ("udp://@239.1.1.1:99999", "65535"),
            ("udp://encoder:5000", "not looked up"),
            ("udp:@239.1.1.1:1", "two slashes"),
            ("udp://:5000?iface=10.0.0.1", "multicast"),
            ("udp://@239.1.1.1:5000?iface=eth0", "iface"),
            ("udp://@239.1.1.1:5000?source=[::1]", "IP version"),
        ] {
            match SourceSpec::parse(text) {
                Ok(spec) => panic!("{text:?} was accepted as {spec}"),
                Err(e) => assert!(e.0.contains(word), "{text:?}: {e}"),
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_what_is_printed_without_secrets_reads_back(text in "(demo:|file:|udp://|rtp://|http://)?[ -~é]{0,40}") {
            if let Ok(spec) = SourceSpec::parse(&text)
                && matches!(spec, SourceSpec::Udp(_)) {
                prop_assert_eq!(SourceSpec::parse(&spec.to_string()), Ok(spec));
            }
        }
    }
}
