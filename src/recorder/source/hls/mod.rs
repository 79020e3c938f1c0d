//! HLS: a presentation followed live, or read to its end.
//!
//! Comes in: the address of a multivariant or media playlist. Goes out: events of the best variant and its audio
//! renditions, in order of decoding time. What was recorded is remembered across reconnects, so no segment is
//! recorded twice.

mod choose;
mod merge;
mod playlist;
mod rendition;
mod tracker;

#[cfg(test)]
mod tests;

use super::fetch::Fetcher;
use super::sink::Sink;
use super::{End, SourceContext, SourceError};
use choose::{Choice, choose};
use merge::Merge;
use playlist::{AudioMedia, MediaPlaylist, Playlist};
use rendition::{FromRendition, Rendition, SegmentReader, playlist_time};
use std::collections::HashMap;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument;
use tracker::{Start, Tracker};
use url::Url;

/// Segments of a rendition that wait to be merged, beside the one being merged.
const AHEAD: usize = 2;
/// Most renditions that are remembered without being in use.
const MAX_REMEMBERED: usize = 64;
/// Events handed on at once.
const BATCH: usize = 128;

/// An HLS source. Lives as long as the source, across sessions.
pub(super) struct HlsSource {
    url: Url,
    attempt: usize,
    /// What was recorded, by rendition.
    memory: HashMap<String, Tracker>,
    /// It was live once: then its end is not the end.
    seen_live: bool,
}

/// How the task of the nth rendition ended.
type Ended = Result<(usize, Result<(), SourceError>), tokio::task::JoinError>;

/// A media playlist to follow.
struct Lane {
    key: String,
    url: Url,
    language: Option<String>,
    first: Option<(Url, MediaPlaylist)>,
    start: Option<Start>,
}

impl HlsSource {
    pub(super) fn new(url: Url, _context: &SourceContext) -> Self {
        Self { url, attempt: 0, memory: HashMap::new(), seen_live: false }
    }

    pub(super) async fn session(&mut self, context: &SourceContext, sink: &mut Sink) -> Result<End, SourceError> {
        let fetcher = Fetcher::new(&self.url, context)?;
        let lanes = self.open(context, &fetcher).await?;
        let keys: Vec<String> = lanes.iter().map(|lane| lane.key.clone()).collect();
        if self.memory.len() > MAX_REMEMBERED {
            self.memory.retain(|key, _| keys.contains(key));
        }
        let mut tasks = JoinSet::new();
        let mut receivers = Vec::new();
        for (n, lane) in lanes.into_iter().enumerate() {
            let (out, receiver) = mpsc::channel(AHEAD);
            let rendition = Rendition {
                context: context.clone(),
                fetcher: fetcher.clone(),
                url: lane.url,
                lead: n == 0,
                language: lane.language,
                tracker: self.memory.get(&lane.key).cloned().unwrap_or_default(),
                start: lane.start,
                seen_live: self.seen_live,
                reader: SegmentReader::new(),
                out,
            };
            let following = rendition.follow(lane.first).in_current_span();
            tasks.spawn(async move { (n, following.await) });
            receivers.push(receiver);
        }
        self.merge(context, sink, &keys, tasks, receivers).await
    }

    /// Loads the playlist; if it is a multivariant one, chooses and loads the best variant's.
    async fn open(&mut self, context: &SourceContext, fetcher: &Fetcher) -> Result<Vec<Lane>, SourceError> {
        let (base, top) = Rendition::load(fetcher, &self.url, context.stall).await?;
        let multivariant = match top {
            Playlist::Media(media) => {
                self.seen_live |= !media.ended;
                let lane = Lane {
                    key: "lead".into(),
                    url: self.url.clone(),
                    language: None,
                    first: Some((base, media)),
                    start: None,
                };
                return Ok(vec![lane]);
            }
            Playlist::Multivariant(multivariant) => multivariant,
        };
        let Some(Choice { variant, audio, language }) = choose(&multivariant, self.attempt) else {
            return Err(SourceError::failed("the multivariant playlist has no variant"));
        };
        tracing::info!(
            bandwidth = variant.bandwidth,
            codecs = variant.codecs.as_deref(),
            audio_renditions = audio.len(),
            variants = multivariant.variants.len(),
            "a variant is chosen"
        );
        let join = |uri: &str| {
            base.join(uri).map_err(|e| SourceError::failed(format!("the address of a variant is malformed ({e})")))
        };
        let url = join(&variant.uri)?;
        let (lead_base, lead) = match Rendition::load(fetcher, &url, context.stall).await {
            Ok((base, Playlist::Media(media))) => (base, media),
            Ok((_, Playlist::Multivariant(_))) => {
                return Err(SourceError::failed("a variant's playlist is itself a multivariant playlist"));
            }
            Err(error) => {
                // Another server may have the same variant: the next session tries it.
                self.attempt = self.attempt.wrapping_add(1);
                return Err(error.into());
            }
        };
        self.seen_live |= !lead.ended;
        let mut lanes = Vec::new();
        let near = self.start_beside(&lead);
        for AudioMedia { name, language, uri, .. } in audio {
            let Some(Ok(url)) = uri.as_deref().map(join) else { continue };
            let key = format!("audio {} {name}", language.as_deref().unwrap_or(""));
            lanes.push(Lane { key, url, language, first: None, start: near });
        }
        lanes.insert(0, Lane { key: "lead".into(), url, language, first: Some((lead_base, lead)), start: None });
        Ok(lanes)
    }

    /// Where the lead will begin, for renditions of which nothing is recorded.
    fn start_beside(&self, lead: &MediaPlaylist) -> Option<Start> {
        let mut tracker = self.memory.get("lead").cloned().unwrap_or_default();
        let start = if lead.ended { Start::First } else { Start::Edge };
        let plan = tracker.plan(lead, start, 0);
        if lead.ended && self.memory.is_empty() {
            return Some(Start::First);
        }
        let first = &plan.segments.first()?.listed;
        Some(Start::Near { utc: first.utc, sequence: first.sequence })
    }

    /// Brings the renditions together until all have ended or the lead fails.
    async fn merge(
        &mut self,
        context: &SourceContext,
        sink: &mut Sink,
        keys: &[String],
        mut tasks: JoinSet<(usize, Result<(), SourceError>)>,
        mut receivers: Vec<mpsc::Receiver<FromRendition>>,
    ) -> Result<End, SourceError> {
        let mut merge = Merge::new(keys.len());
        // Less than what the watch for stalls allows: a late rendition is left behind before all are given up.
        let mut patience = context.stall / 2;
        // Since when something is waited for: a rendition by the others, or the end of the others by the lead.
        let mut waiting_since: Option<Instant> = None;
        let mut open: Vec<bool> = vec![true; keys.len()];
        loop {
            loop {
                let merged = merge.pull(BATCH);
                if merged.events.is_empty() && merged.begun.is_empty() {
                    break;
                }
                for (n, known) in merged.begun {
                    if let Some(key) = keys.get(n) {
                        self.memory.entry(key.clone()).or_default().commit(known);
                    }
                }
                sink.send(merged.events, merged.arrival).await?;
                if !merge.lead_is_done() {
                    waiting_since = None;
                }
            }
            if merge.is_done() {
                break;
            }
            let awaited = merge.awaited();
            let deadline = if awaited.is_empty() && !merge.lead_is_done() {
                waiting_since = None;
                Instant::now() + Duration::from_secs(3600)
            } else {
                *waiting_since.get_or_insert_with(Instant::now) + patience
            };
            tokio::select! {
                (n, item) = next(&mut receivers, &open, &merge) => match item {
                    Some(FromRendition::Segment(segment)) => merge.push(n, *segment),
                    Some(FromRendition::Tail(events, epoch)) => merge.push_tail(n, events, epoch),
                    Some(FromRendition::Target(target_us)) => {
                        if n == 0 {
                            // Longer segments come less often; that is no stall.
                            let limit = context.stall.max(playlist_time(context, target_us.saturating_mul(3)));
                            sink.watch().set_limit(Some(limit));
                            patience = limit / 2;
                        }
                    }
                    None => {
                        merge.finish(n);
                        if let Some(open) = open.get_mut(n) {
                            *open = false;
                        }
                    }
                },
                Some(ended) = tasks.join_next() => self.ended(ended, keys)?,
                () = tokio::time::sleep_until(deadline) => {
                    if merge.lead_is_done() {
                        tracing::warn!("an audio rendition goes on after the end of the video; it is cut off");
                        break;
                    }
                    for n in &awaited {
                        tracing::warn!(rendition = keys.get(*n), "an audio rendition is late; the others go on without it");
                    }
                    merge.give_up(&awaited);
                }
            }
        }
        // A channel closes a moment before its task tells why.
        while let Ok(Some(ended)) = tokio::time::timeout(Duration::from_secs(1), tasks.join_next()).await {
            self.ended(ended, keys)?;
        }
        if self.seen_live {
            return Err(SourceError::failed("the live playlist has ended; waiting for it to begin anew"));
        }
        Ok(End::Finished)
    }

    /// A rendition's task has ended. Only the lead's failure ends the session.
    fn ended(&mut self, ended: Ended, keys: &[String]) -> Result<(), SourceError> {
        match ended {
            Ok((_, Ok(()))) => Ok(()),
            Ok((0, Err(error))) => Err(error),
            Ok((n, Err(error))) => {
                tracing::warn!(rendition = keys.get(n), %error, "an audio rendition failed");
                Ok(())
            }
            Err(error) => Err(SourceError::failed(format!("a rendition's task failed: {error}"))),
        }
    }
}

/// The next word of a rendition of which nothing is queued: so at most one segment of each is held here.
async fn next(
    receivers: &mut [mpsc::Receiver<FromRendition>],
    open: &[bool],
    merge: &Merge,
) -> (usize, Option<FromRendition>) {
    std::future::poll_fn(|task| {
        for (n, receiver) in receivers.iter_mut().enumerate() {
            let wanted = open.get(n).is_some_and(|open| *open) && !merge.has_queued(n);
            if wanted && let Poll::Ready(item) = receiver.poll_recv(task) {
                return Poll::Ready((n, item));
            }
        }
        Poll::Pending
    })
    .await
}
