//! The wall clock of a recorder is stepped, while its source tells no time of its own.

use crate::bed::With;
use crate::stage::{Common, Stage, until};
use crate::table::Row;
use std::sync::Arc;
use std::time::Duration;

const SECOND_US: i64 = 1_000_000;

/// The active one's clock is an hour ahead, then ten minutes behind, then right again; the other's is right.
pub async fn clock_steps_and_steps_back(common: Arc<Common>) -> Row {
    let mut stage = Stage::real_time(&common).await;
    stage.bed.lease_s = 6;
    let links = [stage.link().await, stage.link().await];
    let clock = stage.bed.dir.path().join("clock");
    let with = With { clock: Some(clock.clone()), ..links[0].with() };
    let [active, standby] = stage.two([&with, &links[1].with()]).await;
    for offset_us in [3600 * SECOND_US, -600 * SECOND_US, 0] {
        std::fs::write(&clock, offset_us.to_string()).expect("a clock");
        // Two lives of the lease.
        tokio::time::sleep(Duration::from_secs(12)).await;
        stage.records_s(2).await;
        assert_eq!(stage.holder().await, Some("a"), "the lease has moved");
    }
    standby.stop().await;
    active.stop().await;
    let ledger = stage.ledger().await;
    assert!(ledger.is_whole() && ledger.runs == 1, "{ledger:?}");
    assert!(ledger.wall_spread_us < 500_000, "wall time has moved: {ledger:?}");
    let more = format!("wall time within {} ms", ledger.wall_spread_us / 1000);
    Row::of("active one's clock: +1 h, -10 min, right again", &stage, &ledger).more(more)
}

/// It starts half a minute behind, and is put right for good: after a minute that is believed, and told as a gap.
pub async fn clock_was_wrong_and_is_put_right(common: Arc<Common>) -> Row {
    let stage = Stage::real_time(&common).await;
    let link = stage.link().await;
    let clock = stage.bed.dir.path().join("clock");
    std::fs::write(&clock, (-30 * SECOND_US).to_string()).expect("a clock");
    let recorder = stage.bed.start("a", &With { clock: Some(clock.clone()), ..link.with() });
    stage.records_s(4).await;
    std::fs::write(&clock, "0").expect("a clock");
    until("the step is believed", async || stage.newest().await.is_some_and(|s| s.discontinuity > 0)).await;
    stage.records_s(4).await;
    stage.stop("a", recorder).await;
    let ledger = stage.ledger().await;
    assert_eq!((ledger.gaps[0].len(), ledger.runs, ledger.discontinuities), (0, 2, 1), "{ledger:?}");
    let off_us = (ledger.wall_spread_us - 30 * SECOND_US).abs();
    assert!(off_us < SECOND_US, "the step was another: {ledger:?}");
    let more = format!("1 discontinuity of {:.1} s", ledger.wall_spread_us as f64 / 1e6);
    Row::of("clock 30 s behind at the start, put right by a step", &stage, &ledger).more(more)
}

/// It records with a clock ten minutes ahead, and is started again with a right one: it goes on at once, behind what it
/// has recorded in the future.
pub async fn clock_was_ahead_before_a_restart(common: Arc<Common>) -> Row {
    let stage = Stage::real_time(&common).await;
    let link = stage.link().await;
    let clock = stage.bed.dir.path().join("clock");
    std::fs::write(&clock, (600 * SECOND_US).to_string()).expect("a clock");
    let wrong = stage.bed.start("a", &With { clock: Some(clock), ..link.with() });
    stage.records_s(5).await;
    stage.stop("a", wrong).await;
    let right = stage.bed.start("a", &link.with());
    stage.records_s(5).await;
    stage.stop("a", right).await;
    let ledger = stage.ledger().await;
    assert_eq!((ledger.gaps[0].len(), ledger.runs, ledger.discontinuities), (1, 2, 1), "{ledger:?}");
    // Not even a tenth of what the clock was ahead.
    assert!(ledger.gaps[0][0] < 60 * 25, "{ledger:?}");
    let more = "the gap is the restart, not the ten minutes";
    Row::of("clock 10 min ahead, right after a restart", &stage, &ledger).more(more)
}
