//! MPEG-TS over HTTP: one endless response. An answer that turns out to be a playlist is handed to HLS.

use super::fetch::{Fetcher, causes};
use super::hls::HlsSource;
use super::sink::Sink;
use super::{End, SourceContext, SourceError, now_utc};
use bytes::{Bytes, BytesMut};
use reqwest::header;
use url::Url;

/// Bytes after which the beginning is looked at.
const SNIFF: usize = 16;

/// A source over HTTP.
pub(super) struct HttpSource {
    url: Url,
    /// Set once the answer was a playlist.
    hls: Option<Box<HlsSource>>,
}

impl HttpSource {
    pub(super) fn new(url: Url, _context: &SourceContext) -> Self {
        Self { url, hls: None }
    }

    pub(super) async fn session(&mut self, context: &SourceContext, sink: &mut Sink) -> Result<End, SourceError> {
        if self.hls.is_none() {
            match self.stream(context, sink).await? {
                Looks::Playlist => {
                    tracing::info!("the answer is a playlist: read as HLS from now on");
                    self.hls = Some(Box::new(HlsSource::new(self.url.clone(), context)));
                }
                Looks::Ended => return Err(SourceError::failed("the server ended the stream")),
            }
        }
        match &mut self.hls {
            Some(hls) => hls.session(context, sink).await,
            None => Err(SourceError::failed("the server ended the stream")),
        }
    }

    async fn stream(&self, context: &SourceContext, sink: &mut Sink) -> Result<Looks, SourceError> {
        let fetcher = Fetcher::new(&self.url, context)?;
        let mut response = fetcher.open(&self.url, None).await?;
        let said = response.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
        if said.to_ascii_lowercase().contains("mpegurl") {
            return Ok(Looks::Playlist);
        }
        let mut demuxer = context.demuxers.ts();
        let mut head = Some(BytesMut::new());
        loop {
            let chunk = response.chunk().await;
            let ended = !matches!(chunk, Ok(Some(_)));
            let (chunk, failure) = match chunk {
                Ok(chunk) => (chunk, None),
                Err(error) => (None, Some(SourceError::Failed(causes(error)))),
            };
            let mut bytes = chunk.unwrap_or_default();
            if let Some(mut start) = head.take() {
                start.extend_from_slice(&bytes);
                if start.len() < SNIFF && !ended {
                    head = Some(start);
                    continue;
                }
                if looks_like_playlist(&start) {
                    return Ok(Looks::Playlist);
                }
                bytes = Bytes::from(start);
            }
            let mut events = Vec::new();
            if !bytes.is_empty() {
                sink.received(bytes.len());
                demuxer.push(&bytes, &mut events);
            }
            // Where the connection broke, the last picture did, too.
            if ended && failure.is_none() {
                demuxer.flush(&mut events);
            }
            sink.send(events, Some(now_utc())).await?;
            if ended {
                return failure.map_or(Ok(Looks::Ended), Err);
            }
        }
    }
}

enum Looks {
    Playlist,
    Ended,
}

/// RFC 8216 4.3.1.1: the first line is `#EXTM3U`, possibly after a byte order mark.
fn looks_like_playlist(start: &[u8]) -> bool {
    start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).starts_with(b"#EXTM3U")
}
