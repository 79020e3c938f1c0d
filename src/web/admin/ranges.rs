//! What of a window is recorded, as coarse as a screen shows it.

use super::input::{Asked, Named, moment};
use super::snapshot::must_exist;
use super::streams::answer;
use super::types::{ProblemDocument, RangeAnswer, RecordedSpan, Span};
use crate::media::UtcRange;
use crate::media::timeline::JOIN_TOLERANCE_US;
use crate::web::Node;
use crate::web::problem::Problem;
use axum::body::Body;
use axum::extract::State;
use http::{Response, StatusCode};
use serde::Deserialize;
use std::sync::Arc;

/// Most spans that are read for one answer.
const MOST_READ: usize = 100_000;
/// Most spans of an answer.
const MOST_SPANS: usize = 20_000;

/// The window.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct RangeQuery {
    /// Start of the window.
    from_ms: i64,
    /// End of the window.
    to_ms: i64,
    /// Gaps up to this long are joined over and counted.
    resolution_ms: Option<i64>,
}

/// What of a window is recorded.
#[utoipa::path(get, path = "/api/v1/streams/{name}/ranges", params(("name" = String, Path), RangeQuery), responses(
    (status = 200, body = RangeAnswer), (status = 400, body = ProblemDocument), (status = 404, body = ProblemDocument)))]
pub async fn ranges(
    State(node): State<Arc<Node>>,
    Named(name, _): Named,
    Asked(query): Asked<RangeQuery>,
) -> Result<Response<Body>, Problem> {
    // A screen may show what was before 1970; nothing was recorded then.
    let (from, to) = (moment("from_ms", query.from_ms.max(0))?, moment("to_ms", query.to_ms)?);
    if to <= from {
        return Err(Problem::bad_request("A window ends after it begins.").not_cached());
    }
    let resolution_ms = query.resolution_ms.unwrap_or(1);
    if !(1..=315_576_000_000).contains(&resolution_ms) {
        return Err(Problem::bad_request("resolution_ms is from 1 to ten years.").not_cached());
    }
    let window = UtcRange::new(from, to);
    let found = node.rows.ranges(&name, window, JOIN_TOLERANCE_US, MOST_READ + 1).await?;
    if found.is_empty() {
        must_exist(&node, &name).await?;
    }
    let all_read = found.len() <= MOST_READ;
    let mut ranges = joined(&found, window, resolution_ms.saturating_mul(1000));
    let truncated = !all_read || ranges.len() > MOST_SPANS;
    ranges.truncate(MOST_SPANS);
    let Span { from_ms, to_ms } = window.into();
    Ok(answer(StatusCode::OK, &RangeAnswer { from_ms, to_ms, resolution_ms, ranges, truncated }))
}

/// Spans cut to `window` and joined over gaps of up to `resolution_us`, which are counted.
fn joined(found: &[UtcRange], window: UtcRange, resolution_us: i64) -> Vec<RecordedSpan> {
    let mut spans: Vec<(UtcRange, u32)> = Vec::new();
    for range in found.iter().filter_map(|r| r.intersect(window)) {
        match spans.last_mut() {
            Some((last, gaps)) if range.start.since(last.end) <= resolution_us => {
                last.end = last.end.max(range.end);
                *gaps = gaps.saturating_add(1);
            }
            _ => spans.push((range, 0)),
        }
    }
    let span = |(range, gaps): (UtcRange, u32)| {
        let Span { from_ms, to_ms } = range.into();
        RecordedSpan { from_ms, to_ms, gaps }
    };
    spans.into_iter().filter(|(r, _)| !r.is_empty()).map(span).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::UtcUs;

    #[test]
    fn gaps_are_joined_over_and_counted_and_spans_are_cut() {
        let range = |from: i64, to: i64| UtcRange::new(UtcUs::from_millis(from), UtcUs::from_millis(to));
        let found = [range(0, 1000), range(2000, 3000), range(3500, 4000), range(9000, 12_000)];
        let of = |resolution_ms: i64| {
            let spans = joined(&found, range(500, 10_000), resolution_ms * 1000);
            spans.into_iter().map(|s| (s.from_ms, s.to_ms, s.gaps)).collect::<Vec<_>>()
        };
        assert_eq!(of(1), [(500, 1000, 0), (2000, 3000, 0), (3500, 4000, 0), (9000, 10_000, 0)]);
        assert_eq!(of(500), [(500, 1000, 0), (2000, 4000, 1), (9000, 10_000, 0)]);
        assert_eq!(of(1000), [(500, 4000, 2), (9000, 10_000, 0)]);
        assert_eq!(of(100_000), [(500, 10_000, 3)]);
    }
}
