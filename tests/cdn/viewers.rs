//! Viewers who follow playlists as players do: multivariant, then the playlists of both tracks, init segments, and
//! segment after segment; what grows or slides is loaded again.

use super::origin::{Origin, STREAM};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

/// Viewers of each mode.
const VIEWERS: [usize; 3] = [80, 60, 60];
/// Most segments of each track that a viewer of a finished window watches. They watch faster than real time.
const MOST_SEGMENTS: usize = 30;
/// How long the others watch, in real time: the nodes' clock cannot be hurried.
const WATCH: Duration = Duration::from_secs(24);
/// A viewer of a growing playlist loads it again that often: what RFC 8216 6.3.4 asks of 12 s of target duration.
const RELOAD: Duration = Duration::from_secs(6);

/// What a viewer watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Archive,
    Now,
    Timeshift,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Archive, Self::Now, Self::Timeshift];

    /// Of the path of a playlist.
    pub fn of(path: &str) -> Self {
        if path.contains("timeshift_") {
            Self::Timeshift
        } else if path.contains("-now.") {
            Self::Now
        } else {
            Self::Archive
        }
    }
}

/// What a viewer saw.
pub struct Watched {
    pub mode: Mode,
    /// Paths of media, and a hash of the bytes.
    pub media: BTreeMap<String, u64>,
    /// Media time of the video segments.
    pub media_seconds: f64,
}

struct Viewer {
    base: String,
    client: reqwest::Client,
    seen: Watched,
}

/// Segments of a media playlist: path and seconds; init segments with 0 s.
fn listed(path: &str, list: &str) -> Vec<(String, f64)> {
    let url = url::Url::parse("http://x").and_then(|u| u.join(path)).expect("a path");
    let resolved = |uri: &str| url.join(uri).expect("a URI").path().to_owned();
    let (mut segments, mut seconds) = (Vec::new(), 0.0);
    for line in list.lines() {
        if let Some(map) = line.strip_prefix("#EXT-X-MAP:URI=\"") {
            segments.push((resolved(map.trim_end_matches('"')), 0.0));
        } else if let Some(info) = line.strip_prefix("#EXTINF:") {
            seconds = info.trim_end_matches(',').parse().expect("seconds");
        } else if !line.starts_with('#') && !line.is_empty() && !line.contains("/gap.") {
            segments.push((resolved(line), seconds));
        }
    }
    segments
}

impl Viewer {
    async fn get(&self, path: &str) -> bytes::Bytes {
        let url = format!("{}{path}", self.base);
        let answer = self.client.get(&url).send().await.unwrap_or_else(|e| panic!("{url}: {e}"));
        assert_eq!(answer.status(), 200, "{url}");
        answer.bytes().await.unwrap_or_else(|e| panic!("{url}: {e}"))
    }

    async fn text(&self, path: &str) -> String {
        String::from_utf8(self.get(path).await.to_vec()).expect("a text")
    }

    /// Loads what is listed and was not loaded before; at most so many segments.
    async fn load(&mut self, path: &str, most: usize) {
        let list = self.text(path).await;
        let new: Vec<_> = listed(path, &list).into_iter().filter(|(p, _)| !self.seen.media.contains_key(p)).collect();
        for (path, seconds) in new.into_iter().take(most) {
            let mut hasher = DefaultHasher::new();
            let bytes = self.get(&path).await;
            assert!(!bytes.is_empty(), "{path}");
            bytes.hash(&mut hasher);
            if path.contains("/v1-") {
                self.seen.media_seconds += seconds;
            }
            self.seen.media.insert(path, hasher.finish());
        }
    }

    async fn watch(mut self, form: String, start_after: Duration) -> Watched {
        tokio::time::sleep(start_after).await;
        let begun = Instant::now();
        let path = format!("/{STREAM}/{form}.fmp4.m3u8");
        let multivariant = self.text(&path).await;
        let children: Vec<String> = multivariant
            .lines()
            .filter_map(|l| {
                if l.starts_with("#EXT-X-MEDIA") { l.split("URI=\"").nth(1)?.split('"').next() } else { Some(l) }
            })
            .filter(|l| !l.starts_with('#') && !l.is_empty())
            .map(|l| format!("/{STREAM}/{l}"))
            .collect();
        assert_eq!(children.len(), 2, "{multivariant}");
        if self.seen.mode == Mode::Archive {
            for child in &children {
                self.load(child, MOST_SEGMENTS).await;
            }
            return self.seen;
        }
        // At first what fills a buffer, then one segment of each track for every reload.
        let mut most = 6;
        while begun.elapsed() < WATCH {
            for child in &children {
                self.load(child, most).await;
            }
            most = 1;
            tokio::time::sleep(RELOAD).await;
        }
        self.seen
    }
}

/// All viewers watch through the cache.
pub async fn watch(base: &str, origin: &Origin) -> Vec<Watched> {
    let client = reqwest::Client::builder().pool_max_idle_per_host(256).build().expect("a client");
    let mut viewers = Vec::new();
    for (mode, count) in Mode::ALL.into_iter().zip(VIEWERS) {
        for n in 0..count as i64 {
            // Six programmes of ten minutes; four delays.
            let form = match mode {
                Mode::Archive => format!("archive-{}-600", origin.from + n % 6 * 600),
                Mode::Now => format!("archive-{}-now", origin.from + n % 6 * 600),
                Mode::Timeshift => format!("timeshift_rel-{}", (n % 4 + 1) * 600),
            };
            let seen = Watched { mode, media: BTreeMap::new(), media_seconds: 0.0 };
            let viewer = Viewer { base: base.to_owned(), client: client.clone(), seen };
            // Many at the same moment, many a little later.
            let start_after = Duration::from_millis((n as u64 % 5) * 700);
            viewers.push(tokio::spawn(viewer.watch(form, start_after)));
        }
    }
    let mut watched = Vec::new();
    for viewer in viewers {
        watched.push(viewer.await.expect("a viewer"));
    }
    watched
}

/// One address, one content.
pub fn check_same_bytes(watched: &[Watched]) {
    let mut all: BTreeMap<&str, u64> = BTreeMap::new();
    for (path, hash) in watched.iter().flat_map(|w| &w.media) {
        assert_eq!(*all.entry(path).or_insert(*hash), *hash, "{path} is not the same for all");
    }
}
