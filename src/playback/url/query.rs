//! The query string: the grammar's own parameters, and the rest, which is repeated in every URI.

use super::UrlError;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// Longest query, in bytes: it is repeated once for each segment.
const MAX_QUERY_BYTES: usize = 2048;

/// Parameters that belong to the grammar, apart from `_HLS_…` (rfc8216bis 6.2.5): they are not repeated.
const OWN: &[&str] = &[
    "utc",
    "lutc",
    "tracks",
    "filter.tracks",
    "from",
    "to",
    "request",
    "opened_at_gte",
    "closed_at_lte",
    "limit",
    "cursor",
    "resolution",
];

/// The part of a request's query that every URI of its playlists repeats, a token for instance. Holds nothing
/// but characters that RFC 3986 3.4 allows in a query, so it breaks no line and no quote.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct CarriedQuery(String);

impl CarriedQuery {
    /// The text without `?`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing to repeat.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A query taken apart.
pub(super) struct Query<'a> {
    own: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    pub(super) carried: CarriedQuery,
    pub(super) delta: bool,
}

impl<'a> Query<'a> {
    /// Takes the raw query (without `?`) apart. A further `?` separates as `&` does: players append `?token=…` or
    /// `?utc=…` to an address that has a query already.
    pub(super) fn read(raw: Option<&'a str>) -> Result<Self, UrlError> {
        let raw = raw.unwrap_or_default();
        if raw.len() > MAX_QUERY_BYTES {
            return Err(UrlError::BadRequest("the query string is too long: at most 2048 bytes are accepted"));
        }
        let mut query = Self { own: Vec::new(), carried: CarriedQuery::default(), delta: false };
        for pair in raw.split(['&', '?']).filter(|p| !p.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let key = percent_decode_str(key).decode_utf8_lossy();
            if OWN.contains(&key.as_ref()) {
                query.own.push((key, percent_decode_str(value).decode_utf8_lossy()));
            } else if key == "_HLS_skip" {
                // Others are reserved, and mean nothing here (rfc8216bis 6.2.5).
                query.delta |= matches!(value, "YES" | "v2");
            } else if !key.starts_with("_HLS_") {
                if !query.carried.0.is_empty() {
                    query.carried.0.push('&');
                }
                push_escaped(&mut query.carried.0, pair);
            }
        }
        Ok(query)
    }

    /// The first parameter of that name with a value.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.own.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_ref())
    }
}

/// Appends `text` with every byte escaped that may not stand in a query.
fn push_escaped(out: &mut String, text: &str) {
    let bytes = text.as_bytes();
    for (i, &byte) in bytes.iter().enumerate() {
        let allowed = byte.is_ascii_alphanumeric()
            || b"-._~!$'()*+,;=:@/&".contains(&byte)
            || byte == b'%' && bytes.get(i + 1..i + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        if allowed {
            out.push(char::from(byte));
        } else {
            out.push_str(percent_encoding::percent_encode_byte(byte));
        }
    }
}
