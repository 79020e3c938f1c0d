//! HTTP with bounds: redirects, time, and bytes after decompression.
//!
//! Comes in: addresses. Goes out: whole bodies within their bounds, or open responses. Error sentences hold no
//! user name, password or query value.

use super::spec::redacted;
use super::{SourceContext, SourceError};
use bytes::{Bytes, BytesMut};
use reqwest::{Client, Response, StatusCode, header, redirect};
use std::time::Duration;
use url::Url;

/// Most redirects that are followed.
const MAX_REDIRECTS: usize = 5;

/// Bytes of a resource: `length` from `offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ByteRange {
    /// First byte.
    pub(super) offset: u64,
    /// Number of bytes, not 0.
    pub(super) length: u64,
}

/// Why a fetch failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FetchError {
    /// What the server said, if it said something.
    pub(super) status: Option<u16>,
    /// A sentence without secrets.
    pub(super) sentence: String,
}

impl FetchError {
    fn new(url: &Url, what: impl std::fmt::Display) -> Self {
        Self { status: None, sentence: format!("{}: {what}", redacted(url)) }
    }
}

impl From<FetchError> for SourceError {
    fn from(error: FetchError) -> Self {
        SourceError::Failed(error.sentence)
    }
}

/// A whole body.
#[derive(Debug)]
pub(super) struct Fetched {
    /// Where it came from after redirects: the base of its relative addresses.
    pub(super) url: Url,
    /// The bytes, decompressed.
    pub(super) body: Bytes,
}

/// An HTTP client for one source.
#[derive(Clone)]
pub(super) struct Fetcher {
    client: Client,
    /// The configured address: its user name and password go to its own host only.
    home: Url,
}

impl Fetcher {
    /// A client for the source at `home`.
    pub(super) fn new(home: &Url, context: &SourceContext) -> Result<Self, SourceError> {
        let only_http = redirect::Policy::custom(|attempt| {
            if attempt.previous().len() > MAX_REDIRECTS {
                return attempt.error("more than 5 redirects");
            }
            match attempt.url().scheme() {
                "http" | "https" => attempt.follow(),
                _ => attempt.error("redirected to something that is not HTTP"),
            }
        });
        let mut builder = Client::builder()
            .redirect(only_http)
            .connect_timeout(context.stall.min(Duration::from_secs(10)))
            .read_timeout(context.stall)
            .user_agent(concat!("evertape/", env!("CARGO_PKG_VERSION")));
        let loopback = match home.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            _ => home.host_str() == Some("localhost"),
        };
        if loopback {
            builder = builder.no_proxy();
        }
        let client =
            builder.build().map_err(|e| SourceError::failed(format!("the HTTP client cannot start: {}", causes(e))))?;
        Ok(Self { client, home: home.clone() })
    }

    /// Asks for `url` (the part `range` of it) and gives the open response, whose status is good.
    pub(super) async fn open(&self, url: &Url, range: Option<ByteRange>) -> Result<Response, FetchError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(FetchError::new(url, "only http and https addresses are fetched"));
        }
        let mut request = self.client.get(url.clone());
        if url.username().is_empty() && !self.home.username().is_empty() && url.origin() == self.home.origin() {
            let decode = |t: &str| percent_encoding::percent_decode_str(t).decode_utf8_lossy().into_owned();
            request = request.basic_auth(decode(self.home.username()), self.home.password().map(decode));
        }
        if let Some(ByteRange { offset, length }) = range {
            let last = offset.saturating_add(length).saturating_sub(1);
            request = request.header(header::RANGE, format!("bytes={offset}-{last}"));
        }
        let response = request.send().await.map_err(|e| FetchError::new(url, causes(e)))?;
        let status = response.status();
        if !status.is_success() {
            return Err(FetchError {
                status: Some(status.as_u16()),
                ..FetchError::new(url, format_args!("the server answered {status}"))
            });
        }
        Ok(response)
    }

    /// Fetches `url` (the part `range` of it): at most `limit` bytes, within `time`.
    pub(super) async fn fetch(
        &self,
        url: &Url,
        range: Option<ByteRange>,
        limit: usize,
        time: Duration,
    ) -> Result<Fetched, FetchError> {
        if let Some(range) = range
            && range.length > limit as u64
        {
            return Err(FetchError::new(url, format_args!("a byte range of more than {limit} bytes")));
        }
        let fetching = async {
            let response = self.open(url, range).await?;
            read_body(url, response, range, limit).await
        };
        match tokio::time::timeout(time, fetching).await {
            Ok(done) => done,
            Err(_) => Err(FetchError::new(url, format_args!("not complete after {} ms", time.as_millis()))),
        }
    }
}

async fn read_body(
    url: &Url,
    mut response: Response,
    range: Option<ByteRange>,
    limit: usize,
) -> Result<Fetched, FetchError> {
    let base = response.url().clone();
    let partial = response.status() == StatusCode::PARTIAL_CONTENT;
    // A server that ignores ranges sends everything from the beginning.
    let mut skip = match range {
        Some(range) if !partial => range.offset,
        _ => 0,
    };
    let want = range.map(|r| usize::try_from(r.length).unwrap_or(usize::MAX));
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| FetchError::new(url, causes(e)))? {
        let mut chunk = chunk;
        let jump = skip.min(chunk.len() as u64);
        skip -= jump;
        let _ = chunk.split_to(usize::try_from(jump).unwrap_or(chunk.len()));
        body.extend_from_slice(&chunk);
        if let Some(want) = want
            && body.len() >= want
        {
            body.truncate(want);
            break;
        }
        if body.len() > limit {
            return Err(FetchError::new(url, format_args!("larger than {limit} bytes; the rest was not read")));
        }
    }
    if want.is_some_and(|want| body.len() < want) {
        return Err(FetchError::new(url, "the resource ends before the byte range does"));
    }
    Ok(Fetched { url: base, body: body.freeze() })
}

/// An error with its causes, without its address.
pub(super) fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    // Causes repeat each other; the last one says most, and the depth is bounded.
    for _ in 0..8 {
        let Some(inner) = cause else { break };
        let said = inner.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = inner.source();
    }
    text
}
