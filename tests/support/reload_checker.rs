//! Watches one media playlist over its reloads, as a player does, and fails where something changes that must not
//! (RFC 8216 and rfc8216bis, 6.2.1, 6.2.2, 6.2.5.1). Reads text alone; knows nothing of how it was made.

use std::collections::BTreeMap;

/// What a player knows of one segment.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// EXTINF, in microseconds.
    pub duration_us: i64,
    /// Number of discontinuities before it, those of the stream's past included.
    pub discontinuity: u64,
    pub date: Option<String>,
    pub map: Option<String>,
    pub byte_range: Option<String>,
    pub gap: bool,
    pub uri: String,
}

/// A whole playlist: one that was sent, or one put together from a delta update and what was known before.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    pub target_seconds: i64,
    pub playlist_type: Option<String>,
    pub ended: bool,
    pub start: Option<String>,
    pub server_control: Option<String>,
    pub independent: bool,
    pub i_frames_only: bool,
    pub media_sequence: u64,
    pub discontinuity_sequence: u64,
    /// By number, without holes.
    pub segments: BTreeMap<u64, Listed>,
    /// SKIPPED-SEGMENTS of what was sent.
    pub skipped: u64,
    version: u64,
}

impl Loaded {
    /// Reads `text`; `known` is what a delta update builds on.
    pub fn read(text: &str, known: Option<&Loaded>) -> Result<Self, String> {
        let tag = |name: &str| -> Result<Option<&str>, String> {
            let mut found = text.lines().filter_map(|l| l.strip_prefix(name));
            match (found.next(), found.next()) {
                (_, Some(_)) => Err(format!("{name} stands there twice")),
                (one, None) => Ok(one),
            }
        };
        let number = |name: &str| -> Result<u64, String> {
            tag(name)?.ok_or(format!("no {name}"))?.parse().map_err(|_| format!("{name} is no number"))
        };
        if !text.starts_with("#EXTM3U\n") || !text.ends_with('\n') {
            return Err("it begins or ends wrongly".into());
        }
        let skipped = match tag("#EXT-X-SKIP:SKIPPED-SEGMENTS=")? {
            None => 0,
            Some(n) => n.parse().map_err(|_| "SKIPPED-SEGMENTS is no number")?,
        };
        let mut loaded = Self {
            target_seconds: number("#EXT-X-TARGETDURATION:")? as i64,
            playlist_type: tag("#EXT-X-PLAYLIST-TYPE:")?.map(str::to_owned),
            ended: tag("#EXT-X-ENDLIST")?.is_some(),
            start: tag("#EXT-X-START:")?.map(str::to_owned),
            server_control: tag("#EXT-X-SERVER-CONTROL:")?.map(str::to_owned),
            independent: tag("#EXT-X-INDEPENDENT-SEGMENTS")?.is_some(),
            i_frames_only: tag("#EXT-X-I-FRAMES-ONLY")?.is_some(),
            media_sequence: number("#EXT-X-MEDIA-SEQUENCE:")?,
            discontinuity_sequence: number("#EXT-X-DISCONTINUITY-SEQUENCE:")?,
            segments: BTreeMap::new(),
            skipped,
            version: number("#EXT-X-VERSION:")?,
        };
        let mut at = loaded.media_sequence;
        let mut discontinuity = loaded.discontinuity_sequence;
        let mut map: Option<String> = None;
        if skipped > 0 {
            let known = known.ok_or("a delta update although nothing is known")?;
            for n in at..at + skipped {
                let segment = known.segments.get(&n).ok_or(format!("segment {n} is skipped and was never sent"))?;
                loaded.segments.insert(n, segment.clone());
                (discontinuity, map) = (segment.discontinuity, segment.map.clone());
            }
            at += skipped;
        }
        let (mut duration_us, mut date, mut byte_range, mut gap) = (None, None, None, false);
        for line in text.lines() {
            if line == "#EXT-X-DISCONTINUITY" {
                discontinuity += 1;
            } else if let Some(value) = line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:") {
                date = Some(value.to_owned());
            } else if let Some(value) = line.strip_prefix("#EXT-X-MAP:") {
                map = Some(value.to_owned());
            } else if let Some(value) = line.strip_prefix("#EXT-X-BYTERANGE:") {
                byte_range = Some(value.to_owned());
            } else if line == "#EXT-X-GAP" {
                gap = true;
            } else if let Some(value) = line.strip_prefix("#EXTINF:") {
                let seconds: f64 = value.trim_end_matches(',').parse().map_err(|_| "EXTINF is no number")?;
                duration_us = Some((seconds * 1e6).round() as i64);
            } else if !line.starts_with('#') {
                let segment = Listed {
                    duration_us: duration_us.take().ok_or("a segment without EXTINF")?,
                    discontinuity,
                    date: date.take(),
                    map: map.clone(),
                    byte_range: byte_range.take(),
                    gap: std::mem::take(&mut gap),
                    uri: line.to_owned(),
                };
                loaded.segments.insert(at, segment);
                at += 1;
            }
        }
        loaded.check()?;
        Ok(loaded)
    }

    /// What must hold of one playlist by itself.
    fn check(&self) -> Result<(), String> {
        if self.segments.is_empty() {
            return Err("no segments".into());
        }
        for (n, segment) in &self.segments {
            // RFC 8216 4.3.3.1: rounded to the nearest second.
            if (segment.duration_us + 500_000) / 1_000_000 > self.target_seconds {
                let target = self.target_seconds;
                return Err(format!("segment {n} lasts {} us, the target is {target} s", segment.duration_us));
            }
            if !segment.gap && segment.date.is_none() {
                return Err(format!("segment {n} has no date"));
            }
            if segment.uri.contains(".m4s") && !segment.gap && segment.map.is_none() {
                return Err(format!("segment {n} has no init segment"));
            }
        }
        let wants = |tag: bool, version: u64, what: &str| match tag && self.version < version {
            true => Err(format!("{what} in version {}", self.version)),
            false => Ok(()),
        };
        wants(self.skipped > 0, 9, "EXT-X-SKIP")?;
        wants(self.segments.values().any(|s| s.map.is_some()), 6, "EXT-X-MAP")?;
        wants(self.i_frames_only || self.segments.values().any(|s| s.byte_range.is_some()), 4, "EXT-X-BYTERANGE")?;
        if let Some(control) = &self.server_control {
            let until = control.strip_prefix("CAN-SKIP-UNTIL=").and_then(|u| u.parse::<f64>().ok());
            if !until.is_some_and(|u| u >= 6.0 * self.target_seconds as f64) {
                return Err(format!("skip boundary {control}"));
            }
        }
        Ok(())
    }

    /// Sum of all EXTINF, in microseconds.
    pub fn duration_us(&self) -> i64 {
        self.segments.values().map(|s| s.duration_us).sum()
    }

    fn end(&self) -> u64 {
        self.media_sequence + self.segments.len() as u64
    }
}

/// Whether `after` may stand where `before` stood: nothing but a placeholder may be filled.
fn may_follow(before: &Listed, after: &Listed) -> bool {
    let filled = before.gap && before.date.is_none() && after.discontinuity >= before.discontinuity;
    before == after || filled
}

/// Watches one playlist.
#[derive(Debug, Default)]
pub struct Watched {
    last: Option<Loaded>,
    /// Reloads that were checked.
    pub reloads: usize,
    /// Delta updates among them that skipped something.
    pub deltas: usize,
    /// Segments that were removed from the front.
    pub removed: u64,
}

impl Watched {
    /// What was loaded last.
    pub fn last(&self) -> Option<&Loaded> {
        self.last.as_ref()
    }

    /// Checks the next answer against the one before.
    pub fn reload(&mut self, text: &str) -> Result<&Loaded, String> {
        let now = Loaded::read(text, self.last.as_ref())?;
        if let Some(last) = &self.last {
            check_reload(last, &now)?;
            self.removed += now.media_sequence - last.media_sequence;
        }
        self.reloads += 1;
        self.deltas += usize::from(now.skipped > 0);
        Ok(self.last.insert(now))
    }

    /// A delta update must build the same playlist as the whole that was just loaded.
    pub fn rebuild(&mut self, delta: &str) -> Result<(), String> {
        let whole = self.last.as_ref().ok_or("nothing was loaded")?;
        let built = Loaded::read(delta, Some(whole))?;
        self.deltas += usize::from(built.skipped > 0);
        let plain = |l: &Loaded| Loaded { skipped: 0, version: 0, ..l.clone() };
        if plain(&built) == plain(whole) {
            Ok(())
        } else {
            Err(format!("a delta update builds {built:?}, not {whole:?}"))
        }
    }
}

fn check_reload(last: &Loaded, now: &Loaded) -> Result<(), String> {
    let same = |what: &str, before: &dyn std::fmt::Debug, after: &dyn std::fmt::Debug| {
        let (before, after) = (format!("{before:?}"), format!("{after:?}"));
        if before == after { Ok(()) } else { Err(format!("{what} was {before} and is {after}")) }
    };
    same("TARGETDURATION", &last.target_seconds, &now.target_seconds)?;
    same("I-FRAMES-ONLY", &last.i_frames_only, &now.i_frames_only)?;
    if now.media_sequence < last.media_sequence {
        return Err(format!("the media sequence went from {} back to {}", last.media_sequence, now.media_sequence));
    }
    if now.end() < last.end() {
        return Err(format!("segment {} was taken from the end", now.end()));
    }
    if last.ended {
        same("what has ended", &last.segments, &now.segments)?;
        return same("ENDLIST", &last.ended, &now.ended);
    }
    if !now.ended {
        same("PLAYLIST-TYPE", &last.playlist_type, &now.playlist_type)?;
        same("START", &last.start, &now.start)?;
        same("SERVER-CONTROL", &last.server_control, &now.server_control)?;
        same("INDEPENDENT-SEGMENTS", &last.independent, &now.independent)?;
    }
    if last.playlist_type.as_deref() == Some("EVENT") && now.media_sequence != last.media_sequence {
        return Err("an EVENT playlist lost its beginning".into());
    }
    let removed = now.media_sequence - last.media_sequence;
    // RFC 8216 6.2.2: what is left lasts three target durations at least.
    if removed > 0 && now.duration_us() < 3 * now.target_seconds * 1_000_000 {
        return Err(format!("{removed} segments were removed and {} us are left", now.duration_us()));
    }
    for (n, before) in last.segments.range(now.media_sequence..) {
        let after = now.segments.get(n).ok_or(format!("segment {n} is gone"))?;
        if !may_follow(before, after) {
            return Err(format!("segment {n} was {before:?} and is {after:?}"));
        }
    }
    Ok(())
}

/// Checks that playlists of different tracks, loaded at the same moment, are in step (rfc8216bis 6.2.4).
pub fn in_step(a: &Loaded, b: &Loaded) -> Result<(), String> {
    let outline = |l: &Loaded| {
        let discontinuities: Vec<u64> = l.segments.values().map(|s| s.discontinuity).collect();
        (l.media_sequence, l.discontinuity_sequence, l.target_seconds, l.ended, discontinuities)
    };
    let (a, b) = (outline(a), outline(b));
    if a == b { Ok(()) } else { Err(format!("tracks are out of step: {a:?} and {b:?}")) }
}

/// Checks that two nodes say the same of what both list.
pub fn agree(a: &Loaded, b: &Loaded) -> Result<(), String> {
    if a.target_seconds != b.target_seconds {
        return Err(format!("TARGETDURATION is {} and {}", a.target_seconds, b.target_seconds));
    }
    for (n, one) in &a.segments {
        if let Some(other) = b.segments.get(n)
            && !may_follow(one, other)
            && !may_follow(other, one)
        {
            return Err(format!("segment {n} is {one:?} and {other:?}"));
        }
    }
    Ok(())
}
