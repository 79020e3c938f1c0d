//! Two real recorders of one stream on PostgreSQL: one publishes, the other keeps its last minutes.

use crate::bed::{Bed, Ledger, Process, With, behind, stream, until};
use crate::proxy::Proxy;
use crate::source::{Clip, Live};
use evertape::media::Segment;
use std::time::Duration;

/// Starts two recorders: a publishes, b has shadows.
pub async fn two(bed: &Bed, with: [&With; 2]) -> [Process; 2] {
    let active = bed.start("a", with[0]);
    bed.grows_by(2).await;
    let standby = bed.start("b", with[1]);
    bed.shadows("b", 2).await;
    bed.grows_by(2).await;
    [active, standby]
}

/// A recorder whose own the stream is comes to work: it is handed over without a gap.
#[tokio::test(flavor = "multi_thread")]
async fn handed_over_without_a_gap() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut bed = Bed::postgres(&Clip::make(dir.path()).await).await;
    // Also of a stream that has no standby.
    bed.standby = false;
    let other = bed.start("b", &With::default());
    bed.grows_by(2).await;
    let own = bed.start("a", &With::default());
    let holder = async || bed.index.holder(&stream()).await.expect("an answer").map(|l| l.holder);
    let name = std::fs::read_to_string(bed.dir.path().join("a/holder")).expect("a name");
    until("the stream is where it belongs", async || holder().await.as_ref() == Some(&name)).await;
    bed.grows_by(3).await;
    other.stop().await;
    own.stop().await;
    whole(&bed.ledger().await);
}

fn whole(ledger: &Ledger) {
    assert!(ledger.is_whole(), "{ledger:?}");
    assert_eq!((ledger.runs, ledger.discontinuities, ledger.free_numbers), (1, 0, 0), "{ledger:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_the_other_goes_on_without_a_gap() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let bed = Bed::postgres(&Clip::make(dir.path()).await).await;
    let [active, standby] = two(&bed, [&With::default(); 2]).await;
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
    let [active, standby] = two(&bed, [&With::default(); 2]).await;
    active.stop().await;
    let before = bed.listed().await.len();
    until("the standby has taken over", async || bed.listed().await.len() >= before + 6).await;
    standby.stop().await;
    whole(&bed.ledger().await);
}

/// The index as seen through a proxy that can be cut.
pub async fn proxied(bed: &Bed) -> (Proxy, With) {
    let (target, url_at) = behind(&bed.index_url);
    let proxy = Proxy::to(target).await;
    let with = With { index: Some(url_at(proxy.port)), ..With::default() };
    (proxy, with)
}

/// Who publishes is cut off from the index: the other takes over; back again, what the first one has in its spool is in
/// the archive already.
#[tokio::test(flavor = "multi_thread")]
async fn cut_off_from_the_index_the_other_takes_over() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let bed = Bed::postgres(&Clip::make(dir.path()).await).await;
    let (to_a, with_a) = proxied(&bed).await;
    let [active, standby] = two(&bed, [&with_a, &With::default()]).await;
    to_a.set_cut(true);
    let before = bed.listed().await.len();
    until("the standby has taken over", async || bed.listed().await.len() >= before + 4).await;
    assert!(bed.spooled("a") > 0, "the one that is cut off keeps nothing");
    to_a.set_cut(false);
    until("its spool is empty", async || bed.spooled("a") == 0).await;
    bed.grows_by(4).await;
    standby.stop().await;
    active.stop().await;
    whole(&bed.ledger().await);
}

/// A standby that is cut off from the index takes nothing over, and has lost nothing when it is needed afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_is_cut_off_takes_nothing_over() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let bed = Bed::postgres(&Clip::make(dir.path()).await).await;
    let (to_b, with_b) = proxied(&bed).await;
    let [active, standby] = two(&bed, [&With::default(), &with_b]).await;
    let epoch = bed.listed().await.last().expect("a segment").id.epoch;
    to_b.set_cut(true);
    tokio::time::sleep(Duration::from_secs(5)).await;
    bed.grows_by(2).await;
    assert_eq!(bed.listed().await.last().expect("a segment").id.epoch, epoch, "the lease has moved");
    to_b.set_cut(false);
    active.kill().await;
    let before = bed.listed().await.len();
    until("the standby has taken over", async || bed.listed().await.len() >= before + 5).await;
    standby.stop().await;
    whole(&bed.ledger().await);
}

/// A process that was paused past its lease believes that it owns the stream: it publishes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn two_that_believe_they_own_the_stream() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let bed = Bed::postgres(&Clip::make(dir.path()).await).await;
    let [active, standby] = two(&bed, [&With::default(); 2]).await;
    active.signal("STOP");
    let before = bed.listed().await.len();
    until("the standby has taken over", async || bed.listed().await.len() >= before + 4).await;
    active.signal("CONT");
    until("its spool is empty", async || bed.spooled("a") == 0).await;
    bed.grows_by(4).await;
    standby.stop().await;
    active.stop().await;
    whole(&bed.ledger().await);
}

/// The active one's source breaks for some seconds, the standby's does not: what is missing is filled in.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_other_has_is_filled_in() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let bed = Bed::postgres(&Clip::make(dir.path()).await).await;
    let sources = [Live::start(bed.clip.clone(), bed.began).await, Live::start(bed.clip.clone(), bed.began).await];
    let with = sources.each_ref().map(|s| With { source: Some(s.url.clone()), ..With::default() });
    let [active, standby] = two(&bed, [&with[0], &with[1]]).await;
    sources[0].set_cut(true);
    tokio::time::sleep(Duration::from_millis(2500)).await;
    sources[0].set_cut(false);
    until("the break is there", async || bed.listed().await.last().is_some_and(|s| s.discontinuity > 0)).await;
    until("and filled in", async || bed.ledger().await.is_whole()).await;
    bed.grows_by(3).await;
    standby.stop().await;
    active.stop().await;
    let ledger = bed.ledger().await;
    assert!(ledger.is_whole(), "{ledger:?}");
    assert_eq!((ledger.runs, ledger.discontinuities), (2, 1), "{ledger:?}");
}

/// As below, but the other one dies, too, before the one that is back has looked after anything: it has the stream at
/// once, and what it had still comes into its place.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_one_had_is_filled_in_when_it_takes_over() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let bed = Bed::postgres(&Clip::make(dir.path()).await).await;
    let (to_b, with_b) = proxied(&bed).await;
    let first = bed.start("b", &with_b);
    bed.grows_by(2).await;
    to_b.set_cut(true);
    until("some wait in the spool", async || bed.spooled("b") >= 3).await;
    let second = bed.start("a", &With::default());
    until("a publishes", async || bed.listed().await.last().is_some_and(|s| s.id.epoch > 1)).await;
    first.kill().await;
    let of_a = bed.listed().await.into_iter().find(|s| s.id.epoch > 1).expect("a has published");
    let joins = |s: &Segment| s.id.sequence < of_a.id.sequence && of_a.id.start.since(s.id.end()).abs() < 200_000;
    assert!(!bed.listed().await.iter().any(joins), "nothing is missing before {}", of_a.id.sequence);
    to_b.set_cut(false);
    let again = bed.start("b", &with_b);
    second.kill().await;
    bed.grows_by(3).await;
    until("what is missing is filled in", async || bed.listed().await.iter().any(joins)).await;
    again.stop().await;
    let ledger = bed.ledger().await;
    assert_eq!((ledger.twice, bed.spooled("b")), (0, 0), "{ledger:?}");
    assert_eq!(bed.damaged("b"), 0, "something could not be filled in");
    // What nobody took in between the two deaths is missing, in one place, and told.
    assert!(ledger.gaps[0].len() <= 1, "{ledger:?}");
}

/// The stream is nobody's any more, and not in the configuration either: what waited for an earlier gap still fills it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_stream_without_a_source_is_filled_in() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let bed = Bed::postgres(&Clip::make(dir.path()).await).await;
    let (to_b, with_b) = proxied(&bed).await;
    let first = bed.start("b", &with_b);
    bed.grows_by(2).await;
    to_b.set_cut(true);
    until("some wait in the spool", async || bed.spooled("b") >= 3).await;
    let second = bed.start("a", &With::default());
    until("a publishes", async || bed.listed().await.last().is_some_and(|s| s.id.epoch > 1)).await;
    first.kill().await;
    second.kill().await;
    assert!(!bed.ledger().await.is_whole(), "nothing is missing");
    to_b.set_cut(false);
    let again = bed.start("b", &With { forgets_stream: true, ..with_b });
    until("what is missing is filled in", async || bed.ledger().await.is_whole()).await;
    until("nothing is left", async || bed.spooled("b") == 0 && bed.shadowed("b") == 0).await;
    until("the stream is let go", async || bed.index.holder(&stream()).await.expect("an answer").is_none()).await;
    again.stop().await;
    assert_eq!(bed.damaged("b"), 0, "something could not be filled in");
}

/// Killed with segments in its spool that nobody else has, while another takes over: when it is back it stands by, and
/// fills in what it had.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_one_had_in_its_spool_is_filled_in() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let bed = Bed::postgres(&Clip::make(dir.path()).await).await;
    // b, so that the stream is not handed back to it.
    let (to_b, with_b) = proxied(&bed).await;
    let first = bed.start("b", &with_b);
    bed.grows_by(2).await;
    to_b.set_cut(true);
    until("some wait in the spool", async || bed.spooled("b") >= 3).await;
    // It begins where the first one's spool ends, about.
    let second = bed.start("a", &With::default());
    until("a publishes", async || bed.listed().await.last().is_some_and(|s| s.id.epoch > 1)).await;
    first.kill().await;
    assert!(bed.spooled("b") > 0, "nothing was left in the spool");
    assert!(!bed.ledger().await.is_whole(), "nothing is missing");
    to_b.set_cut(false);
    let again = bed.start("b", &with_b);
    until("what is missing is filled in", async || bed.ledger().await.is_whole()).await;
    assert_eq!(bed.spooled("b"), 0);
    second.stop().await;
    again.stop().await;
    let ledger = bed.ledger().await;
    assert!(ledger.is_whole(), "{ledger:?}");
    assert_eq!((ledger.runs, ledger.discontinuities), (2, 1), "{ledger:?}");
}
