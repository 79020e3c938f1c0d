//! Compressed texts: which coding a client takes (RFC 9110 12.5.3), and each text compressed once.
//!
//! Comes in: `Accept-Encoding`, a text with its hash. Goes out: its compressed form, kept for the next who asks.
//! Never: compresses media.

use super::cache::flight::Flights;
use bytes::Bytes;
use http::{HeaderMap, header};
use std::io::Write;

/// Texts above this are compressed off the threads that serve others.
const LARGE_BYTES: usize = 128 << 10;
/// Compressed texts that are kept.
const KEPT_BYTES: u64 = 32 << 20;
/// Of gzip: half of the time of the usual 6, for one part in ten more bytes.
const GZIP_LEVEL: u32 = 4;
/// Of zstd.
const ZSTD_LEVEL: i32 = 3;

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// RFC 8878.
    Zstd,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    /// Value of `Content-Encoding`.
    pub const fn name(self) -> &'static str {
        match self {
            Coding::Zstd => "zstd",
            Coding::Gzip => "gzip",
        }
    }

    fn compress(self, text: &[u8]) -> std::io::Result<Bytes> {
        match self {
            Coding::Zstd => Ok(zstd::bulk::compress(text, ZSTD_LEVEL)?.into()),
            Coding::Gzip => {
                let out = Vec::with_capacity(text.len() / 8 + 64);
                let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::new(GZIP_LEVEL));
                encoder.write_all(text)?;
                Ok(encoder.finish()?.into())
            }
        }
    }
}

/// The coding that the client likes best of those there are; `None`: as it is.
pub fn choose(headers: &HeaderMap) -> Option<Coding> {
    let mut best: Option<(u32, Coding)> = None;
    let (mut any, mut named) = (0, [false; 2]);
    for value in headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok()) {
        for item in value.split(',') {
            let (name, weight) = item.split_once(';').map_or((item, 1000), |(n, w)| (n, thousandths(w)));
            let (place, coding) = match name.trim() {
                n if n.eq_ignore_ascii_case("zstd") => (0, Coding::Zstd),
                n if n.eq_ignore_ascii_case("gzip") || n.eq_ignore_ascii_case("x-gzip") => (1, Coding::Gzip),
                "*" => {
                    any = weight;
                    continue;
                }
                _ => continue,
            };
            named[place] = true;
            if weight > 0 && best.is_none_or(|(w, c)| weight > w || weight == w && c == Coding::Gzip) {
                best = Some((weight, coding));
            }
        }
    }
    // `*` means those that are not named. Whoever takes anything surely takes gzip.
    if any > best.map_or(0, |(w, _)| w) && !named[1] {
        best = Some((any, Coding::Gzip));
    }
    best.map(|(_, coding)| coding)
}

/// `q=0.5` in thousandths; what cannot be read counts as 1.
fn thousandths(parameter: &str) -> u32 {
    let Some(text) = parameter.trim().strip_prefix("q=").or_else(|| parameter.trim().strip_prefix("Q=")) else {
        return 1000;
    };
    let (whole, part) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.len() != 1 || !digits(whole) || !digits(part) || part.len() > 3 {
        return 1000;
    }
    let part = format!("{part:0<3}").parse().unwrap_or(0);
    (whole.parse().unwrap_or(1) * 1000 + part).min(1000)
}

/// Compressed texts by hash.
pub struct Compressed {
    kept: moka::future::Cache<(u128, Coding), Bytes>,
    flights: Flights<(u128, Coding), Option<Bytes>>,
}

impl Compressed {
    /// An empty cache.
    pub fn new() -> Self {
        let kept = moka::future::Cache::builder()
            .weigher(|_: &(u128, Coding), bytes: &Bytes| u32::try_from(bytes.len() + 128).unwrap_or(u32::MAX))
            .max_capacity(KEPT_BYTES)
            .build();
        Self { kept, flights: Flights::default() }
    }

    /// `text`, whose hash is `hash`, in `coding`; `None` when that failed.
    pub async fn of(&self, hash: u128, coding: Coding, text: &Bytes) -> Option<Bytes> {
        let key = (hash, coding);
        if let Some(bytes) = self.kept.get(&key).await {
            return Some(bytes);
        }
        let compress = || {
            let (text, kept) = (text.clone(), self.kept.clone());
            async move {
                let made = if text.len() > LARGE_BYTES {
                    tokio::task::spawn_blocking(move || coding.compress(&text)).await.ok()?
                } else {
                    coding.compress(&text)
                };
                let bytes = made.inspect_err(|error| tracing::error!(%error, "a text cannot be compressed")).ok()?;
                kept.insert(key, bytes.clone()).await;
                Some(bytes)
            }
        };
        self.flights.join(&key, compress).await.flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_says_which() {
        for (sent, expected) in [
            ("", None),
            ("gzip", Some(Coding::Gzip)),
            ("gzip, deflate, br, zstd", Some(Coding::Zstd)),
            ("zstd, gzip", Some(Coding::Zstd)),
            ("zstd;q=0.5, gzip;q=0.8", Some(Coding::Gzip)),
            ("gzip;q=0", None),
            ("GZIP; q=0.001", Some(Coding::Gzip)),
            ("identity", None),
            ("br", None),
            ("*", Some(Coding::Gzip)),
            ("*;q=0", None),
            ("*, gzip;q=0", None),
            ("zstd;q=0, *;q=0.1", Some(Coding::Gzip)),
            ("gzip;q=2.5;x", Some(Coding::Gzip)),
            (";;,,=", None),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, sent.parse().unwrap())]);
            assert_eq!(choose(&headers), expected, "{sent}");
        }
        assert_eq!(choose(&HeaderMap::new()), None);
    }

    #[tokio::test]
    async fn what_is_compressed_reads_back() {
        use std::io::Read;
        let compressed = Compressed::new();
        for length in [0, 100, LARGE_BYTES + 1] {
            let text = Bytes::from("playlist ".repeat(length / 9 + 1).into_bytes());
            for _ in 0..2 {
                let zstd = compressed.of(length as u128, Coding::Zstd, &text).await.unwrap();
                assert_eq!(zstd::bulk::decompress(&zstd, text.len()).unwrap(), text);
                let gzip = compressed.of(length as u128, Coding::Gzip, &text).await.unwrap();
                let mut read = Vec::new();
                flate2::read::GzDecoder::new(&gzip[..]).read_to_end(&mut read).unwrap();
                assert_eq!(read, text);
            }
        }
    }
}
