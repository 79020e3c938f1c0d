//! Killed at every named step: a recorder alone, and a pair of which one takes over.

use crate::bed::{Bed, Ledger, With, stream, until};
use crate::crash_steps::{ALONE, FILLING, LEAVING, RETURNING, RETURNING_AT_START, STANDING_BY, TAKING};
use crate::source::{Clip, Live};
use crate::standby::{proxied, two};
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;

/// Scenarios that run at a time.
const AT_A_TIME: usize = 4;

struct Line {
    step: String,
    ledger: Ledger,
}

impl Line {
    /// What both processes said is printed where it is needed.
    async fn of(step: &str, bed: &Bed) -> Self {
        let line = Self { step: step.into(), ledger: bed.ledger().await };
        if line.ledger.discontinuities != line.ledger.gaps[0].len() as u64 {
            for name in ["a", "b"] {
                let said = std::fs::read_to_string(bed.dir.path().join(format!("{name}.log"))).unwrap_or_default();
                println!("--- {step}: {name} ---\n{said}");
            }
            for s in bed.listed().await {
                println!(
                    "{} {} epoch {} run {} disc. {}",
                    s.id.sequence,
                    s.id.start.millis(),
                    s.id.epoch,
                    s.id.run,
                    s.discontinuity
                );
            }
        }
        line
    }
}

fn print(title: &str, lines: &[Line]) {
    println!("\n{title}");
    println!(
        "{:<28} {:>8} {:>6} {:>6} {:>5} {:>5} {:>5}",
        "killed at", "pictures", "lost", "twice", "gaps", "runs", "disc."
    );
    for Line { step, ledger } in lines {
        let pictures = ledger.pictures.1 + 1 - ledger.pictures.0;
        let gaps = ledger.gaps[0].len();
        println!(
            "{step:<28} {pictures:>8} {:>6} {:>6} {gaps:>5} {:>5} {:>5}",
            ledger.gaps[0].iter().sum::<usize>(),
            ledger.twice,
            ledger.runs,
            ledger.discontinuities
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
            Line::of(step, &bed).await
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
            Line::of(step, &bed).await
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
            Line::of(step, &bed).await
        }
    };
    let lines = each(TAKING, one).await;
    print("two recorders, one killed, the other killed while it takes over", &lines);
    for Line { step, ledger } in &lines {
        assert_eq!(ledger.twice, 0, "{step}: {ledger:?}");
        assert!(ledger.gaps[0].len() <= 1 && ledger.gaps[1].len() <= 1, "{step}: {ledger:?}");
        assert_eq!(u64::try_from(ledger.gaps[0].len()), Ok(ledger.discontinuities), "{step}: a gap that is not stated");
    }
}

/// A standby dies while it looks after its shadows, is started again, and is needed then.
#[tokio::test(flavor = "multi_thread")]
async fn standing_by_at_every_step() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let clip = Clip::make(dir.path()).await;
    let one = |step: &'static str| {
        let clip: Arc<Clip> = clip.clone();
        async move {
            let bed = Bed::postgres(&clip).await;
            let short = With { standby_keep: Some("4s".into()), ..With::default() };
            let with = With { crash_at: Some(step.into()), ..short.clone() };
            let [active, mut standby] = two(&bed, [&short, &with]).await;
            assert!(standby.died(Duration::from_secs(40)).await, "{step} was never reached: {}", standby.said());
            let again = bed.start("b", &short);
            // Long enough that it has taken in what the archive ends with.
            bed.grows_by(4).await;
            active.kill().await;
            bed.grows_by(6).await;
            again.stop().await;
            Line::of(step, &bed).await
        }
    };
    let lines = each(STANDING_BY, one).await;
    print("two recorders, the standby killed and started again, then the other killed", &lines);
    lines.iter().for_each(whole);
}

fn whole(Line { step, ledger }: &Line) {
    assert!(ledger.is_whole(), "{step}: {ledger:?}");
    assert_eq!((ledger.runs, ledger.discontinuities, ledger.free_numbers), (1, 0, 0), "{step}: {ledger:?}");
}

/// Who has the stream, by the name of its spool.
async fn holder(bed: &Bed) -> Option<&'static str> {
    let holder = bed.index.holder(&stream()).await.expect("an answer").map(|l| l.holder)?;
    let name = |spool: &str| std::fs::read_to_string(bed.dir.path().join(spool).join("holder")).expect("a name");
    ["a", "b"].into_iter().find(|spool| name(spool) == holder)
}

/// A recorder is cut off from the index, loses its stream with segments waiting, comes back and dies while these lose
/// their numbers.
/// Started again it gets its stream back: what it has in its spool is in the archive already.
#[tokio::test(flavor = "multi_thread")]
async fn returning_at_every_step() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let clip = Clip::make(dir.path()).await;
    let one = |step: &'static str| {
        let clip: Arc<Clip> = clip.clone();
        async move {
            let bed = Bed::postgres(&clip).await;
            let (to_a, mut with_a) = proxied(&bed).await;
            with_a.crash_at = Some(step.into());
            let [mut active, standby] = two(&bed, [&with_a, &With::default()]).await;
            to_a.set_cut(true);
            until("the standby has taken over", async || holder(&bed).await == Some("b")).await;
            until("segments wait in its spool", async || bed.spooled("a") >= 3).await;
            // Now it sees that another has the stream.
            to_a.set_cut(false);
            assert!(active.died(Duration::from_secs(40)).await, "{step} was never reached: {}", active.said());
            bed.grows_by(2).await;
            let again = bed.start("a", &With::default());
            until("the stream is handed back", async || holder(&bed).await == Some("a")).await;
            bed.grows_by(4).await;
            standby.stop().await;
            again.stop().await;
            assert_eq!(bed.spooled("a"), 0, "{step}: something is left in the spool");
            Line::of(step, &bed).await
        }
    };
    let lines = each(RETURNING, one).await;
    print("two recorders, one cut off and killed, started again and given its stream back", &lines);
    lines.iter().for_each(whole);
}

/// A recorder dies with a segment waiting; the other takes over; started again, it gets its stream back and dies while
/// what waited loses its number; the other takes over once more, and gives it back once more.
#[tokio::test(flavor = "multi_thread")]
async fn returning_at_the_start_at_every_step() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let clip = Clip::make(dir.path()).await;
    let one = |step: &'static str| {
        let clip: Arc<Clip> = clip.clone();
        async move {
            let bed = Bed::postgres(&clip).await;
            let waiting = With { crash_at: Some("publish.inits-stored:6".into()), ..With::default() };
            let [mut active, standby] = two(&bed, [&waiting, &With::default()]).await;
            assert!(active.died(Duration::from_secs(30)).await, "nothing waits: {}", active.said());
            assert!(bed.spooled("a") > 0, "nothing waits");
            until("the standby has taken over", async || holder(&bed).await == Some("b")).await;
            bed.grows_by(2).await;
            let mut returned = bed.start("a", &With { crash_at: Some(step.into()), ..With::default() });
            assert!(returned.died(Duration::from_secs(40)).await, "{step} was never reached: {}", returned.said());
            bed.grows_by(3).await;
            let again = bed.start("a", &With::default());
            until("the stream is handed back", async || holder(&bed).await == Some("a")).await;
            bed.grows_by(3).await;
            standby.stop().await;
            again.stop().await;
            assert_eq!(bed.spooled("a"), 0, "{step}: something is left in the spool");
            Line::of(step, &bed).await
        }
    };
    let lines = each(RETURNING_AT_START, one).await;
    print("two recorders, one killed, started again and killed where it goes on", &lines);
    lines.iter().for_each(whole);
}

/// The active one's source breaks for some seconds, the standby's does not; the standby dies while it fills in what is
/// missing, and is started again.
#[tokio::test(flavor = "multi_thread")]
async fn filling_at_every_step() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let clip = Clip::make(dir.path()).await;
    let one = |step: &'static str| {
        let clip: Arc<Clip> = clip.clone();
        async move {
            let bed = Bed::postgres(&clip).await;
            let sources = [Live::start(clip.clone(), bed.began).await, Live::start(clip.clone(), bed.began).await];
            let with = sources.each_ref().map(|s| With { source: Some(s.url.clone()), ..With::default() });
            let dying = With { crash_at: Some(step.into()), ..with[1].clone() };
            let [active, mut standby] = two(&bed, [&with[0], &dying]).await;
            sources[0].set_cut(true);
            tokio::time::sleep(Duration::from_millis(2500)).await;
            sources[0].set_cut(false);
            assert!(standby.died(Duration::from_secs(40)).await, "{step} was never reached: {}", standby.said());
            let again = bed.start("b", &with[1]);
            until("it is filled in", async || bed.ledger().await.is_whole()).await;
            bed.grows_by(2).await;
            again.stop().await;
            active.stop().await;
            Line::of(step, &bed).await
        }
    };
    let lines = each(FILLING, one).await;
    print("two recorders, the standby killed while it fills a gap of the other's", &lines);
    for Line { step, ledger } in &lines {
        assert!(ledger.is_whole(), "{step}: {ledger:?}");
        assert_eq!((ledger.runs, ledger.discontinuities), (2, 1), "{step}: {ledger:?}");
    }
}
