//! Streaming a range of an object: checked against what was asked, resumed where it breaks off.
//!
//! Comes in: a key and a range. Goes out: exactly those bytes or an error; never bytes of another place,
//! whatever the store answers.

use super::failure::{Failure, chain};
use super::{Inner, Result};
use crate::media::ObjectKey;
use crate::store::{ByteStream, StoreErrorKind};
use bytes::Bytes;
use futures::StreamExt;
use std::ops::Range;
use std::sync::Arc;

/// How often one stream takes up again where its connection broke.
const RESUMES: u8 = 3;
/// No object reaches this offset; larger numbers make some stores fail.
const MAX_OFFSET: u64 = 1 << 62;

/// The open answer to a ranged GET.
struct Answer {
    body: aws_sdk_s3::primitives::ByteStream,
    end: u64,
    total: Option<u64>,
    etag: Option<String>,
}

struct Part {
    inner: Arc<Inner>,
    key: ObjectKey,
    /// Offset of the next byte to hand out.
    next: u64,
    answer: Answer,
    /// Whether `answer.body` still gives bytes.
    broken: bool,
    resumes_left: u8,
}

pub(super) async fn get(inner: &Arc<Inner>, key: &ObjectKey, range: Range<u64>) -> Result<ByteStream> {
    let what = format!("get {key}");
    if range.is_empty() {
        return Err(inner.error(&what, Failure::other(StoreErrorKind::Other, "an empty range")));
    }
    let next = range.start.min(MAX_OFFSET);
    let answer = request(inner, key, next..range.end.clamp(next + 1, MAX_OFFSET + 1), None)
        .await
        .map_err(|failure| inner.error(&what, failure))?;
    let part = Part { inner: Arc::clone(inner), key: key.clone(), next, answer, broken: false, resumes_left: RESUMES };
    Ok(futures::stream::unfold(Some(part), |part| async move {
        let mut part = part?;
        match part.piece().await {
            Ok(Some(bytes)) => Some((Ok(bytes), Some(part))),
            Ok(None) => None,
            Err(failure) => Some((Err(part.inner.error(&format!("get {}", part.key), failure)), None)),
        }
    })
    .boxed())
}

impl Part {
    async fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            if self.next >= self.answer.end {
                return Ok(None);
            }
            if self.broken {
                self.resume().await?;
            }
            let broke = match tokio::time::timeout(self.inner.limits.stall, self.answer.body.next()).await {
                Ok(Some(Ok(bytes))) if bytes.is_empty() => continue,
                Ok(Some(Ok(bytes))) => {
                    if bytes.len() as u64 > self.answer.end - self.next {
                        return Err(Failure::other(StoreErrorKind::Other, "the store sent more than it announced"));
                    }
                    self.next += bytes.len() as u64;
                    return Ok(Some(bytes));
                }
                Ok(Some(Err(error))) => chain(&error),
                Ok(None) => "the body ended early".to_owned(),
                Err(_) => format!("no byte for {} s", self.inner.limits.stall.as_secs()),
            };
            if self.resumes_left == 0 {
                return Err(Failure::other(StoreErrorKind::Unavailable, broke));
            }
            tracing::debug!(key = %self.key, at = self.next, reason = %broke, "taking a broken download up again");
            self.resumes_left -= 1;
            self.broken = true;
        }
    }

    async fn resume(&mut self) -> Result<(), Failure> {
        let rest = self.next..self.answer.end;
        let answer = request(&self.inner, &self.key, rest, self.answer.etag.as_deref()).await?;
        let same =
            answer.end == self.answer.end && (answer.total == self.answer.total) && (answer.etag == self.answer.etag);
        if !same {
            return Err(Failure::other(StoreErrorKind::Other, "the object changed while it was read"));
        }
        self.answer = answer;
        self.broken = false;
        Ok(())
    }
}

async fn request(inner: &Inner, key: &ObjectKey, range: Range<u64>, etag: Option<&str>) -> Result<Answer, Failure> {
    let answer = inner
        .client
        .get_object()
        .bucket(&inner.bucket)
        .key(inner.name(key))
        .range(format!("bytes={}-{}", range.start, range.end - 1))
        .set_if_match(etag.map(str::to_owned))
        .send()
        .await
        .map_err(|error| Failure::of(&error))?;
    inner.seen();
    let length = answer.content_length().and_then(|length| u64::try_from(length).ok());
    if length == Some(0) {
        return Err(Failure::other(StoreErrorKind::RangeNotSatisfiable, "an empty object"));
    }
    let wrong = |why: &str| Err(Failure::other(StoreErrorKind::Other, format!("{why}; bytes thrown away")));
    let (end, total) = match (answer.content_range().map(parse_content_range), length) {
        (Some(Some((first, last, total))), length) => {
            let fits = first == range.start && last >= first && last < range.end;
            let whole = last == range.end - 1 || total.is_none_or(|total| last + 1 == total);
            if !fits || !whole || length.is_some_and(|length| length != last + 1 - first) {
                return wrong("the store sent another range than it was asked for");
            }
            (last + 1, total)
        }
        (Some(None), _) => return wrong("the store sent an unreadable Content-Range"),
        // The whole object, which is right when the whole object was asked for.
        (None, Some(length)) if range.start == 0 && length <= range.end => (length, Some(length)),
        (None, _) => return wrong("the store ignored the range"),
    };
    Ok(Answer { end, total, etag: answer.e_tag().map(str::to_owned), body: answer.body })
}

/// `bytes 0-9/100` or `bytes 0-9/*` as first byte, last byte, size of the object.
fn parse_content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let total = match total.trim() {
        "*" => None,
        number => Some(number.parse().ok()?),
    };
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (last <= MAX_OFFSET && total.is_none_or(|total| last < total)).then_some((first, last, total))
}

#[cfg(test)]
mod tests {
    use super::parse_content_range;

    #[test]
    fn content_ranges() {
        assert_eq!(parse_content_range("bytes 0-9/100"), Some((0, 9, Some(100))));
        assert_eq!(parse_content_range("bytes 5-5/*"), Some((5, 5, None)));
        let huge = format!("bytes 0-{}/*", u64::MAX);
        for bad in [
            "",
            "bytes",
            "bytes */100",
            "bytes 0-9",
            "items 0-9/10",
            "bytes a-9/10",
            "bytes 0-9/x",
            "bytes 0-9/9",
            &huge,
        ] {
            assert_eq!(parse_content_range(bad), None, "{bad:?}");
        }
    }
}
