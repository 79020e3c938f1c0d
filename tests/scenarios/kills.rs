//! Killed, and killed again: one recorder alone, and the active one of two.

use crate::bed::{With, entries};
use crate::source::PICTURES_PER_SECOND;
use crate::stage::{Common, Dice, Stage, until};
use crate::table::Row;
use evertape::media::UtcRange;
use std::collections::BTreeSet;
use std::sync::Arc;

const KILLS: usize = 50;
/// An hour in two minutes.
const SPEED: u32 = 30;
const HOUR_S: i64 = 3600;

/// At fifty random moments of an hour, also while it starts. What it has not cut, and what is sent while it is away, is
/// missing; of what it has cut nothing is.
pub async fn killed_fifty_times_in_an_hour(common: Arc<Common>) -> Row {
    let mut stage = Stage::fast(&common, SPEED).await;
    stage.bed.segment_seconds = 6;
    let link = stage.link().await;
    let mut dice = Dice(0x5eed);
    let mut moments: Vec<u64> = (0..KILLS).map(|_| 30 + dice.below(HOUR_S as u64 - 90)).collect();
    moments.sort_unstable();
    let spool = stage.bed.dir.path().join("a/streams/x");
    let (mut numbered, mut shadows) = (BTreeSet::new(), Vec::new());
    let mut process = stage.bed.start("a", &link.with());
    for moment in moments {
        stage.source_reaches_s(moment as i64).await;
        process.kill().await;
        numbered.extend(entries(&spool).iter().map(|id| id.base_name().to_string()));
        shadows.extend(["shadow", "earlier"].iter().flat_map(|folder| entries(&spool.join(folder))));
        process = stage.bed.start("a", &link.with());
    }
    stage.source_reaches_s(HOUR_S).await;
    let up = stage.catches_up().await;
    stage.stop("a", process).await;
    let ledger = stage.ledger().await;
    assert!(ledger.gaps.iter().all(|gaps| gaps.len() <= KILLS), "{ledger:?}");
    assert!(ledger.gap_error_us < 1_500_000, "a gap is told wrongly: {ledger:?}");
    let listed = stage.bed.listed().await;
    let names: BTreeSet<String> = listed.iter().map(|s| s.id.base_name().to_string()).collect();
    let lost: Vec<&String> = numbered.iter().filter(|name| !names.contains(*name)).collect();
    assert!(lost.is_empty(), "in the spool of a killed recorder, and not in the archive: {lost:?}");
    // Their numbers are others in the end, but their time is there.
    for id in &shadows {
        let middle = id.start.plus_us(id.duration_us / 2);
        let around = UtcRange::new(middle, middle.plus_us(1));
        assert!(listed.iter().any(|s| s.range().overlaps(around)), "cut, and not in the archive: {id:?}");
    }
    let lost_s = ledger.gaps[0].iter().sum::<usize>() as f64 / PICTURES_PER_SECOND as f64;
    let away_s = lost_s / f64::from(SPEED) / KILLS as f64;
    let spooled = numbered.len() + shadows.len();
    let more = format!("0 of {spooled} segments lost that lay in its spool; a kill costs {away_s:.1} s of the run");
    Row::of("recorder alone killed 50 times in an hour", &stage, &ledger).caught_up(up).more(more)
}

/// Each time the one that holds the stream; the other takes over without a gap.
pub async fn active_of_two_killed_again_and_again(common: Arc<Common>) -> Row {
    const TIMES: usize = 6;
    let mut stage = Stage::fast(&common, 5).await;
    let links = [stage.link().await, stage.link().await];
    let with: [With; 2] = [links[0].with(), links[1].with()];
    let [a, b] = stage.two([&with[0], &with[1]]).await;
    let mut processes = [Some(a), Some(b)];
    let mut killed = 0;
    while killed < TIMES {
        // Nobody does for a moment while it is handed over.
        until("one of them holds it", async || stage.holder().await.is_some()).await;
        let Some(name) = stage.holder().await else { continue };
        killed += 1;
        let which = usize::from(name == "b");
        processes[which].take().expect("it runs").kill().await;
        stage.taken_over_from(name).await;
        processes[which] = Some(stage.bed.start(name, &with[which]));
        stage.stands_by(name).await;
        // The one that has just begun to stand by has nothing of what still waits in the other's spool.
        stage.catches_up().await;
        stage.records_s(15).await;
    }
    let up = stage.catches_up().await;
    for process in processes.into_iter().flatten() {
        process.stop().await;
    }
    let ledger = stage.ledger().await;
    assert!(ledger.is_whole() && ledger.runs == 1, "{ledger:?}");
    Row::of("active of two killed, 6 times over", &stage, &ledger).caught_up(up)
}
