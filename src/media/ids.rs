//! Names of things: streams, runs, init segments, objects.
//!
//! A value of these types is safe to put into an object key, a URL path or a log line: what could
//! leave its folder or its stream never gets this far.

use std::fmt;

/// Longest stream name, in bytes.
pub const MAX_STREAM_NAME_BYTES: usize = 128;

/// Why a name was refused: a sentence for whoever wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidName(pub String);

/// First components that belong to the server itself.
const RESERVED_FIRST: &[&str] = &["healthz", "readyz", "metrics", "api", "admin", "ui", "assets"];
/// Components that the URL grammar uses below a stream.
const RESERVED_ANY: &[&str] = &["segment", "init", "archive", "timeshift_abs", "timeshift_rel"];

/// Name of a stream: components of `[A-Za-z0-9._~-]` joined by `/`, for instance `sport/uhd-1`.
///
/// No component is empty, starts with a dot or is a word of the URL grammar, so a name is
/// never ambiguous in a URL and never leaves its folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct StreamName(String);

impl StreamName {
    /// Checks `name`.
    ///
    /// # Errors
    /// A sentence that says which rule was broken.
    pub fn parse(name: &str) -> Result<Self, InvalidName> {
        let fail = |why: &str| Err(InvalidName(format!("stream name {name:?}: {why}")));
        if name.is_empty() || name.len() > MAX_STREAM_NAME_BYTES {
            return Err(InvalidName(format!("a stream name has 1 to {MAX_STREAM_NAME_BYTES} bytes")));
        }
        for (position, component) in name.split('/').enumerate() {
            if component.is_empty() {
                return fail("a slash stands between two names, not at an end and not twice");
            }
            if component.starts_with('.') {
                return fail("no part may start with a dot");
            }
            if !component.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b)) {
                return fail("only letters, digits and . _ ~ - are allowed, and / between parts");
            }
            if position == 0 && RESERVED_FIRST.contains(&component) {
                return fail("its first part is an address of the server itself");
            }
            if RESERVED_ANY.contains(&component) || component.starts_with("tracks-") {
                return fail("one of its parts is a word of the playback URLs");
            }
        }
        Ok(Self(name.to_owned()))
    }

    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for StreamName {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        StreamName::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// One uninterrupted ingest session of a stream: 128 bits (a UUID v7), written as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u128);

impl RunId {
    /// Reads 32 lower-case hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        is_lower_hex(text, 32).then(|| u128::from_str_radix(text, 16).ok().map(Self))?
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for RunId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for RunId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        RunId::parse(&text).ok_or_else(|| serde::de::Error::custom("a run is 32 hex digits"))
    }
}

/// Content hash of an init segment: the first 16 bytes of its SHA-256, written as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InitHash(pub [u8; 16]);

impl InitHash {
    /// The hash of an init segment's bytes (`ftyp` + `moov`).
    pub fn of(init_segment: &[u8]) -> Self {
        use sha2::Digest;
        let digest = sha2::Sha256::digest(init_segment);
        let mut short = [0; 16];
        short.copy_from_slice(&digest[..16]);
        Self(short)
    }

    /// Reads 32 lower-case hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        if !is_lower_hex(text, 32) {
            return None;
        }
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl fmt::Display for InitHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for InitHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for InitHash {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for InitHash {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        InitHash::parse(&text).ok_or_else(|| serde::de::Error::custom("an init hash is 32 hex digits"))
    }
}

fn is_lower_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Key of an object in the store: relative, `/`-separated, no empty or dotted component.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// Checks `key`: components of `[A-Za-z0-9._~-]`, none starting with a dot, 900 bytes at most.
    pub fn parse(key: &str) -> Option<Self> {
        let ok = !key.is_empty()
            && key.len() <= 900
            && key.split('/').all(|c| {
                !c.is_empty()
                    && !c.starts_with('.')
                    && c.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b))
            });
        ok.then(|| Self(key.to_owned()))
    }

    /// Key of an init segment of `stream`: `{stream}/init/{hash}.mp4`.
    pub fn init(stream: &StreamName, hash: InitHash) -> Self {
        Self(format!("{stream}/init/{hash}.mp4"))
    }

    /// The key as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for ObjectKey {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        ObjectKey::parse(&text).ok_or_else(|| serde::de::Error::custom("not an object key"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_names() {
        for good in ["demo", "sport/uhd-1", "a.b~c_d", "2", "ort"] {
            assert_eq!(StreamName::parse(good).unwrap().as_str(), good);
        }
        let long = "x".repeat(129);
        for bad in [
            "",
            "/",
            "a//b",
            "a/",
            "/a",
            "..",
            "a/../b",
            ".x",
            "a b",
            "a%2f",
            "metrics",
            "x/segment",
            "x/tracks-1",
            "ü",
            &long,
        ] {
            assert!(StreamName::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn object_keys_stay_below_their_root() {
        for bad in ["", "/etc/passwd", "a/../b", "a/./b", "a//b", "a\\b", "a\0b"] {
            assert!(ObjectKey::parse(bad).is_none(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn hex_ids_read_back() {
        let run = RunId(0x0192_0000_0000_7000_8000_0000_0000_00ff);
        assert_eq!(RunId::parse(&run.to_string()), Some(run));
        assert_eq!(RunId::parse(&run.to_string().to_uppercase()), None);
        let hash = InitHash::of(b"x");
        assert_eq!(InitHash::parse(&hash.to_string()), Some(hash));
    }
}
