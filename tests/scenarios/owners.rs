//! Who may write: two that believe they may, and one that cannot ask.

use crate::proxy::Mode;
use crate::stage::{Common, Stage, until};
use crate::table::Row;
use std::sync::Arc;
use std::time::Duration;

/// Stopped past its lease, the other takes over; let go, it still believes in its lease and has segments waiting.
pub async fn two_believe_they_own_the_stream(common: Arc<Common>) -> Row {
    let mut stage = Stage::fast(&common, 5).await;
    let links = [stage.link().await, stage.link().await];
    let [active, standby] = stage.two([&links[0].with(), &links[1].with()]).await;
    // So that something waits when it is stopped, and is on its way when it goes on.
    links[0].s3.set(Mode::Latency(Duration::from_millis(300)));
    stage.records_s(5).await;
    active.signal("STOP");
    stage.taken_over_from("a").await;
    active.signal("CONT");
    stage.records_s(10).await;
    links[0].s3.set(Mode::Pass);
    until("the first one's spool is empty", async || stage.bed.spooled("a") == 0).await;
    stage.records_s(20).await;
    let up = stage.catches_up().await;
    standby.stop().await;
    active.stop().await;
    let ledger = stage.ledger().await;
    assert!(ledger.is_whole() && ledger.runs == 1, "{ledger:?}");
    let (objects, rows) = (stage.objects().await.len(), stage.bed.listed().await.len());
    let more = format!("{rows} rows, {} objects of the one that came too late", objects - rows);
    Row::of("two recorders believe they own the stream", &stage, &ledger).caught_up(up).more(more)
}

/// The standby cannot ask: it takes nothing over. When the way is free again and the active one dies, it has all.
pub async fn standby_cut_off_from_the_index(common: Arc<Common>) -> Row {
    let mut stage = Stage::fast(&common, 5).await;
    stage.bed.lease_s = 4;
    let links = [stage.link().await, stage.link().await];
    let [active, standby] = stage.two([&links[0].with(), &links[1].with()]).await;
    for mode in [Mode::Blackhole, Mode::Hang] {
        links[1].sql.set(mode);
        tokio::time::sleep(Duration::from_secs(6)).await;
        stage.records_s(5).await;
        assert_eq!(stage.holder().await, Some("a"), "the stream has changed hands");
    }
    links[1].sql.set(Mode::Pass);
    active.kill().await;
    stage.taken_over_from("a").await;
    let up = stage.catches_up().await;
    standby.stop().await;
    let ledger = stage.ledger().await;
    assert!(ledger.is_whole() && ledger.runs == 1, "{ledger:?}");
    let more = "12 s cut off, then the active one was killed";
    Row::of("standby cut off from SQL", &stage, &ledger).caught_up(up).more(more)
}
