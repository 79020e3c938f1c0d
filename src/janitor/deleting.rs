//! Second step: what was marked long enough ago is deleted, objects first, then rows.
//!
//! Comes in: marked segments whose grace is over. Goes out: deleted objects, deleted rows. Never: a row whose object may
//! still be there.

use super::Mode;
use crate::crash_points::reached;
use crate::index::{Index, IndexErrorKind};
use crate::media::{ObjectKey, StreamName, UtcRange, UtcUs};
use crate::store::ObjectStore;

/// Rows handled by one statement.
const BATCH: usize = 500;
/// Batches of one stream in one round, so that a long backlog of one does not starve the others.
const MOST_BATCHES: usize = 40;
/// Whole spans in one round.
const MOST_SPANS: usize = 4;

/// Deletes the spans of time that have expired whole. Says how many segments of which stream went.
pub(super) async fn spans(
    store: &dyn ObjectStore,
    index: &dyn Index,
    marked_before: UtcUs,
    mode: Mode,
) -> anyhow::Result<Vec<(StreamName, u64)>> {
    let mut deleted = Vec::new();
    loop {
        let spans = index.deletable_spans(marked_before, MOST_SPANS).await?;
        let mut gone = 0;
        for span in &spans {
            if let Some(counts) = span_whole(store, index, *span, marked_before).await? {
                deleted.extend(counts);
                gone += 1;
            }
        }
        if spans.len() < MOST_SPANS || gone == 0 || !mode.to_the_end {
            return Ok(deleted);
        }
    }
}

/// One span; `None` when it stays, because somebody has written there or is busy. Then its rows go one by one.
async fn span_whole(
    store: &dyn ObjectStore,
    index: &dyn Index,
    span: UtcRange,
    marked_before: UtcUs,
) -> anyhow::Result<Option<Vec<(StreamName, u64)>>> {
    let mut counts = Vec::new();
    for stream in index.streams().await? {
        let (mut after, mut count) = (None, 0);
        loop {
            let rows = index.rows(&stream, span, after, BATCH).await?;
            let Some(last) = rows.last() else { break };
            if !rows.iter().all(|r| r.marked.is_some_and(|marked| marked < marked_before)) {
                return Ok(None);
            }
            after = Some((last.segment.id.start, last.segment.id.sequence));
            count += rows.len() as u64;
            let objects: Vec<ObjectKey> = rows.into_iter().map(|r| r.segment.object).collect();
            store.delete(&objects).await?;
            reached("janitor.span-objects-deleted");
        }
        if count > 0 {
            counts.push((stream, count));
        }
    }
    match index.delete_span(span, marked_before, counts.iter().map(|c| c.1).sum()).await {
        Ok(true) => {
            reached("janitor.span-deleted");
            Ok(Some(counts))
        }
        Ok(false) => Ok(None),
        Err(error) if error.kind == IndexErrorKind::Unavailable => {
            tracing::debug!(%error, "an expired day stays for now");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Deletes marked segments of one stream. Says how many went, or would go.
pub(super) async fn rows(
    store: &dyn ObjectStore,
    index: &dyn Index,
    stream: &StreamName,
    marked_before: UtcUs,
    mode: Mode,
) -> anyhow::Result<u64> {
    if mode.dry_run {
        return Ok(index.deletable(stream, marked_before, usize::MAX).await?.len() as u64);
    }
    let mut deleted = 0;
    for batch in 1.. {
        let deletable = index.deletable(stream, marked_before, BATCH).await?;
        if deletable.is_empty() {
            break;
        }
        let objects: Vec<ObjectKey> = deletable.iter().map(|d| d.object.clone()).collect();
        store.delete(&objects).await?;
        reached("janitor.objects-deleted");
        let rows: Vec<_> = deletable.into_iter().map(|d| d.id).collect();
        index.delete(&rows).await?;
        reached("janitor.rows-deleted");
        deleted += rows.len() as u64;
        if rows.len() < BATCH || (batch >= MOST_BATCHES && !mode.to_the_end) {
            break;
        }
    }
    Ok(deleted)
}
