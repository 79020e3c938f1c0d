//! Conditional and partial requests: `If-None-Match`, `Range`, `If-Range` (RFC 9110 13 and 14).
//!
//! Comes in: headers from anyone. Goes out: what to send. Never: touches a body.

use http::{HeaderMap, Method, header};
use std::ops::Range;

/// Which bytes to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All of them, with 200.
    Whole,
    /// These (half-open), with 206.
    Part(Range<u64>),
    /// The range lies outside: 416.
    Unsatisfiable,
}

/// Whether `If-None-Match` is `*`: then the answer depends on whether anything is there at all.
pub fn any_will_do(headers: &HeaderMap) -> bool {
    headers.get_all(header::IF_NONE_MATCH).iter().any(|v| v.as_bytes().trim_ascii() == b"*")
}

/// Whether `If-None-Match` names `etag` (RFC 9110 13.1.2, weak comparison): answer 304.
pub fn not_modified(headers: &HeaderMap, etag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let ours = opaque(etag);
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .any(|tag| tag.trim() == "*" || opaque(tag) == ours)
}

/// What `Range` and `If-Range` select of `total_bytes` whose strong tag is `etag`. Several ranges, or a unit
/// other than bytes, or a range that makes no sense, give the whole (RFC 9110 14.2 allows it); so does a HEAD,
/// for which ranges are not defined.
pub fn select(method: &Method, headers: &HeaderMap, etag: &str, total_bytes: u64) -> Selection {
    if method != Method::GET {
        return Selection::Whole;
    }
    let Some(range) = headers.get(header::RANGE).and_then(|v| v.to_str().ok()) else { return Selection::Whole };
    // If-Range wants a strong comparison; a date never matches, as no Last-Modified is sent.
    if headers.get(header::IF_RANGE).is_some_and(|v| v.as_bytes() != etag.as_bytes()) {
        return Selection::Whole;
    }
    let Some(spec) = range.trim().strip_prefix("bytes=").map(str::trim) else { return Selection::Whole };
    if spec.contains(',') {
        return Selection::Whole;
    }
    let Some((first, last)) = spec.split_once('-') else { return Selection::Whole };
    // Digits only; more of them than fit mean "very far".
    let number = |text: &str| match text {
        "" => Some(None),
        t if t.bytes().all(|b| b.is_ascii_digit()) => Some(Some(t.parse().unwrap_or(u64::MAX))),
        _ => None,
    };
    match (number(first), number(last)) {
        (Some(Some(first)), Some(last)) => {
            let end = last.map_or(total_bytes, |l| l.saturating_add(1).min(total_bytes));
            match last {
                Some(last) if last < first => Selection::Whole,
                _ if first >= total_bytes => Selection::Unsatisfiable,
                _ => Selection::Part(first..end),
            }
        }
        (Some(None), Some(Some(suffix))) => match suffix.min(total_bytes) {
            0 => Selection::Unsatisfiable,
            suffix => Selection::Part(total_bytes - suffix..total_bytes),
        },
        _ => Selection::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (n.clone(), v.parse().unwrap())).collect()
    }

    #[test]
    fn ranges() {
        let cases = [
            ("bytes=0-0", Selection::Part(0..1)),
            ("bytes=0-", Selection::Part(0..100)),
            ("bytes=10-19", Selection::Part(10..20)),
            ("bytes=90-1000", Selection::Part(90..100)),
            ("bytes=-10", Selection::Part(90..100)),
            ("bytes=-1000", Selection::Part(0..100)),
            ("bytes=99-99999999999999999999999", Selection::Part(99..100)),
            ("bytes=100-", Selection::Unsatisfiable),
            ("bytes=-0", Selection::Unsatisfiable),
            ("bytes=5-4", Selection::Whole),
            ("bytes=0-1,5-6", Selection::Whole),
            ("lines=0-1", Selection::Whole),
            ("bytes=x-1", Selection::Whole),
            ("bytes=-", Selection::Whole),
            ("bytes=+1-2", Selection::Whole),
        ];
        for (text, expected) in cases {
            assert_eq!(select(&Method::GET, &headers(&[(header::RANGE, text)]), "\"e\"", 100), expected, "{text}");
        }
    }

    #[test]
    fn if_range_wants_the_same_strong_tag() {
        let with = |tag| headers(&[(header::RANGE, "bytes=1-2"), (header::IF_RANGE, tag)]);
        assert_eq!(select(&Method::GET, &with("\"e\""), "\"e\"", 9), Selection::Part(1..3));
        assert_eq!(select(&Method::GET, &with("\"f\""), "\"e\"", 9), Selection::Whole);
        assert_eq!(select(&Method::GET, &with("W/\"e\""), "\"e\"", 9), Selection::Whole);
        assert_eq!(select(&Method::GET, &with("Wed, 27 Aug 2014 14:15:00 GMT"), "\"e\"", 9), Selection::Whole);
    }

    #[test]
    fn a_head_has_no_range() {
        let asked = headers(&[(header::RANGE, "bytes=1-2")]);
        assert_eq!(select(&Method::HEAD, &asked, "\"e\"", 9), Selection::Whole);
    }

    #[test]
    fn if_none_match() {
        for (sent, expected) in
            [("\"e\"", true), ("W/\"e\"", true), ("\"a\", \"e\"", true), ("*", true), ("\"a\"", false)]
        {
            assert_eq!(not_modified(&headers(&[(header::IF_NONE_MATCH, sent)]), "W/\"e\""), expected, "{sent}");
        }
    }

    proptest! {
        #[test]
        fn a_part_always_lies_inside(text in "bytes=[0-9]{0,4}-[0-9]{0,4}", total in 0u64..2000) {
            if let Selection::Part(r) = select(&Method::GET, &headers(&[(header::RANGE, &text)]), "\"e\"", total) {
                prop_assert!(r.start < r.end && r.end <= total);
            }
        }
    }
}
