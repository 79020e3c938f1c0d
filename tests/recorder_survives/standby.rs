//! Two real recorders of one stream on PostgreSQL: one publishes, the other keeps its last minutes.

use crate::bed::{Bed, Ledger, Process, With, stream, until};
use crate::source::Clip;
use evertape::recorder::share::{self, Peer};

/// Starts two recorders, and waits until the one whose own the stream is publishes, and the other has shadows. On the
/// way there the stream may have been handed over.
pub async fn two(bed: &Bed, with: [&With; 2]) -> [(Process, &'static str); 2] {
    let first = bed.start("a", with[0]);
    bed.grows_by(2).await;
    let second = bed.start("b", with[1]);
    let holder = |name: &str| std::fs::read_to_string(bed.dir.path().join(name).join("holder")).unwrap_or_default();
    until("both have a name", async || !holder("b").is_empty()).await;
    let peer = |name| Peer { recorder: holder(name), capacity: None, held: 0, settled: true };
    let own = share::ranked(&stream(), &[peer("a"), peer("b")])[0].recorder.clone();
    let (active, standby) = if own == holder("a") { ("a", "b") } else { ("b", "a") };
    until("the stream is where it belongs", async || {
        bed.index.holder(&stream()).await.expect("an answer").is_some_and(|l| l.holder == own)
    })
    .await;
    bed.shadows(standby, 2).await;
    bed.grows_by(2).await;
    let mut both = [(first, "a"), (second, "b")];
    if active == "b" {
        both.reverse();
    }
    both
}

fn whole(ledger: &Ledger) {
    assert!(ledger.is_whole(), "{ledger:?}");
    assert_eq!((ledger.runs, ledger.discontinuities, ledger.free_numbers), (1, 0, 0), "{ledger:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_the_other_goes_on_without_a_gap() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let bed = Bed::postgres(&Clip::make(dir.path()).await).await;
    let [(active, _), (standby, _)] = two(&bed, [&With::default(); 2]).await;
    active.kill().await;
    let before = bed.listed().await.len();
    until("the standby has taken over", async || bed.listed().await.len() >= before + 6).await;
    standby.stop().await;
    whole(&bed.ledger().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_in_order_the_other_goes_on_without_a_gap() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let bed = Bed::postgres(&Clip::make(dir.path()).await).await;
    let [(active, _), (standby, _)] = two(&bed, [&With::default(); 2]).await;
    active.stop().await;
    let before = bed.listed().await.len();
    until("the standby has taken over", async || bed.listed().await.len() >= before + 6).await;
    standby.stop().await;
    whole(&bed.ledger().await);
}
