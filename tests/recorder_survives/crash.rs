//! Killed at every named step: a recorder alone, and a pair of which one takes over.

use crate::bed::{Bed, Ledger, With, until};
use crate::source::Clip;
use crate::standby::two;
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;

/// Steps from the cut to the emptied spool, as a recorder alone goes past them; with the pass at which it dies.
const ALONE: &[&str] = &[
    "lease.acquired",
    "takeover.begun",
    "segment.cut:3",
    "segment.numbered:3",
    "spool.created:5",
    "spool.written:5",
    "spool.synced:5",
    "spool.renamed:5",
    "spool.folder-synced:5",
    "segment.spooled:3",
    "publish.inits-stored:3",
    "publish.object-stored:3",
    "publish.committed:3",
    "publish.spool-emptied:3",
];

/// Steps of an orderly stop.
const LEAVING: &[&str] = &["handover.cut", "handover.published", "lease.released"];

/// Steps of a takeover.
const TAKING: &[&str] = &[
    "lease.acquired",
    "takeover.begun",
    "takeover.joined",
    "segment.spooled",
    "takeover.numbered",
    "takeover.shadow-removed",
    "publish.object-stored",
    "publish.committed",
    "publish.spool-emptied",
    "shadow.written:5",
];

/// Scenarios that run at a time.
const AT_A_TIME: usize = 4;

struct Line {
    step: String,
    ledger: Ledger,
}

fn print(title: &str, lines: &[Line]) {
    println!("\n{title}");
    println!("{:<28} {:>8} {:>6} {:>6} {:>5} {:>5}", "killed at", "pictures", "lost", "twice", "gaps", "runs");
    for Line { step, ledger } in lines {
        let pictures = ledger.pictures.1 + 1 - ledger.pictures.0;
        let gaps = ledger.gaps[0].len();
        println!(
            "{step:<28} {pictures:>8} {:>6} {:>6} {gaps:>5} {:>5}",
            ledger.gaps[0].iter().sum::<usize>(),
            ledger.twice,
            ledger.runs
        );
    }
}

async fn each<F: Future<Output = Line>>(steps: &[&'static str], one: impl Fn(&'static str) -> F) -> Vec<Line> {
    futures::stream::iter(steps.iter().map(|step| one(step))).buffered(AT_A_TIME).collect().await
}

/// A recorder alone, killed and started again: nothing twice, and one gap at most, which is the time it was away and what
/// it had not cut.
#[tokio::test(flavor = "multi_thread")]
async fn alone_at_every_step() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let clip = Clip::make(dir.path()).await;
    let one = |step: &'static str| {
        let clip: Arc<Clip> = clip.clone();
        async move {
            let bed = Bed::sqlite(&clip).await;
            let mut first = bed.start("a", &With { crash_at: Some(step.into()), ..With::default() });
            assert!(first.died(Duration::from_secs(30)).await, "{step} was never reached: {}", first.said());
            let second = bed.start("a", &With::default());
            bed.grows_by(3).await;
            second.stop().await;
            assert_eq!(bed.spooled("a"), 0, "{step}: something is left in the spool");
            Line { step: step.into(), ledger: bed.ledger().await }
        }
    };
    let lines = each(ALONE, one).await;
    print("one recorder, killed and started again", &lines);
    for Line { step, ledger } in &lines {
        assert_eq!(ledger.twice, 0, "{step}: {ledger:?}");
        assert!(ledger.gaps[0].len() <= 1 && ledger.gaps[1].len() <= 1, "{step}: {ledger:?}");
        assert_eq!(u64::try_from(ledger.gaps[0].len()), Ok(ledger.discontinuities), "{step}: a gap that is not stated");
    }
}

/// The active one of two dies at a step of its orderly stop: the other goes on without a gap.
#[tokio::test(flavor = "multi_thread")]
async fn leaving_at_every_step() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let clip = Clip::make(dir.path()).await;
    let one = |step: &'static str| {
        let clip: Arc<Clip> = clip.clone();
        async move {
            let bed = Bed::postgres(&clip).await;
            let with = With { crash_at: Some(step.into()), ..With::default() };
            let [mut active, standby] = two(&bed, [&with, &With::default()]).await;
            active.signal("TERM");
            assert!(active.died(Duration::from_secs(30)).await, "{step} was never reached");
            let before = bed.listed().await.len();
            until("the standby has taken over", async || bed.listed().await.len() >= before + 4).await;
            standby.kill().await;
            Line { step: step.into(), ledger: bed.ledger().await }
        }
    };
    let lines = each(LEAVING, one).await;
    print("two recorders, the active one killed while it stops", &lines);
    for Line { step, ledger } in &lines {
        assert!(ledger.is_whole() && ledger.runs == 1, "{step}: {ledger:?}");
    }
}

/// The active one of two is killed, the other dies while it takes over and is started again.
#[tokio::test(flavor = "multi_thread")]
async fn taking_over_at_every_step() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let clip = Clip::make(dir.path()).await;
    let one = |step: &'static str| {
        let clip: Arc<Clip> = clip.clone();
        async move {
            let bed = Bed::postgres(&clip).await;
            let with = With { crash_at: Some(step.into()), ..With::default() };
            let [active, mut standby] = two(&bed, [&With::default(), &with]).await;
            active.kill().await;
            assert!(standby.died(Duration::from_secs(30)).await, "{step} was never reached: {}", standby.said());
            let again = bed.start("b", &With::default());
            bed.grows_by(4).await;
            again.stop().await;
            Line { step: step.into(), ledger: bed.ledger().await }
        }
    };
    let lines = each(TAKING, one).await;
    print("two recorders, one killed, the other killed while it takes over", &lines);
    for Line { step, ledger } in &lines {
        assert_eq!(ledger.twice, 0, "{step}: {ledger:?}");
        assert!(ledger.gaps[0].len() <= 1 && ledger.gaps[1].len() <= 1, "{step}: {ledger:?}");
    }
}
