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

/// b publishes, and is cut off from the index until `waits`; then a takes over, behind a gap, and b is killed. Gives with
/// what b is to be started again, and a.
async fn cut_off_replaced_and_killed(bed: &Bed, waits: impl Fn() -> bool) -> (With, Process) {
    // b, so that the stream is not handed back to it.
    let (to_b, with_b) = proxied(bed).await;
    let first = bed.start("b", &with_b);
    bed.grows_by(2).await;
    to_b.set_cut(true);
    until("enough waits in the spool", async || waits()).await;
    let second = bed.start("a", &With::default());
    until("a publishes", async || bed.listed().await.last().is_some_and(|s| s.id.epoch > 1)).await;
    first.kill().await;
    (With { index: None, ..with_b }, second)
}

/// As below, but the other one dies, too, before the one that is back has looked after anything: it has the stream at
/// once, and what it had still comes into its place.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_one_had_is_filled_in_when_it_takes_over() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let bed = Bed::postgres(&Clip::make(dir.path()).await).await;
    let (with_b, second) = cut_off_replaced_and_killed(&bed, || bed.spooled("b") >= 3).await;
    let of_a = bed.listed().await.into_iter().find(|s| s.id.epoch > 1).expect("a has published");
    let joins = |s: &Segment| s.id.sequence < of_a.id.sequence && of_a.id.start.since(s.id.end()).abs() < 200_000;
    assert!(!bed.listed().await.iter().any(joins), "nothing is missing before {}", of_a.id.sequence);
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
    let (with_b, second) = cut_off_replaced_and_killed(&bed, || bed.spooled("b") >= 3).await;
    second.kill().await;
    assert!(!bed.ledger().await.is_whole(), "nothing is missing");
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
    let (with_b, second) = cut_off_replaced_and_killed(&bed, || bed.spooled("b") >= 3).await;
    assert!(bed.spooled("b") > 0, "nothing was left in the spool");
    assert!(!bed.ledger().await.is_whole(), "nothing is missing");
    let again = bed.start("b", &with_b);
    until("what is missing is filled in", async || bed.ledger().await.is_whole()).await;
    assert_eq!(bed.spooled("b"), 0);
    second.stop().await;
    again.stop().await;
    let ledger = bed.ledger().await;
    assert!(ledger.is_whole(), "{ledger:?}");
    assert_eq!((ledger.runs, ledger.discontinuities), (2, 1), "{ledger:?}");
}

/// It loses its stream with segments in its spool, and cuts more without numbers: one gap is filled from both, in order.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_cut_with_numbers_and_without_is_filled_in() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let bed = Bed::postgres(&Clip::make(dir.path()).await).await;
    let (to_b, with_b) = proxied(&bed).await;
    let first = bed.start("b", &with_b);
    bed.grows_by(2).await;
    to_b.set_cut(true);
    until("some wait in the spool", async || bed.spooled("b") >= 3).await;
    // Somebody has the stream who publishes nothing.
    let later = || evertape::clock::now().plus_us(10_000_000);
    let lease = bed.index.acquire(&stream(), "nobody", later(), 1_000_000).await.expect("an answer").expect("a lease");
    let (index, renewed) = (bed.index.clone(), lease.clone());
    let renewing = tokio::spawn(async move {
        while index.renew(&renewed, later(), 1_000_000).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    });
    to_b.set_cut(false);
    let of_both_kinds = || {
        let shadows = bed.entries("b", "shadow");
        let numbered = shadows.iter().filter(|id| id.epoch > 0).count();
        (numbered, shadows.len() - numbered)
    };
    until("it has no numbers any more", async || of_both_kinds().0 >= 3 && of_both_kinds().1 >= 3).await;
    first.kill().await;
    renewing.abort();
    bed.index.release(&lease).await.expect("released");
    let second = bed.start("a", &With::default());
    until("a publishes", async || bed.listed().await.last().is_some_and(|s| s.id.epoch > 1)).await;
    assert!(!bed.ledger().await.is_whole(), "nothing is missing");
    let again = bed.start("b", &With::default());
    // What nobody took in before a came is missing, in one place.
    let is_filled = |ledger: &Ledger| ledger.gaps[0].len() <= 1 && ledger.lost() < 200;
    until("what is missing is filled in", async || is_filled(&bed.ledger().await)).await;
    second.stop().await;
    again.stop().await;
    let ledger = bed.ledger().await;
    assert_eq!((ledger.twice, ledger.runs, ledger.discontinuities, bed.damaged("b")), (0, 2, 1, 0), "{ledger:?}");
}

/// Of one gap b has the first part, and c, which was cut off as well, also the rest.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_filling_leaves_is_filled_in_by_the_next() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let bed = Bed::postgres(&Clip::make(dir.path()).await).await;
    bed.comes_last("c");
    let ((to_b, with_b), (to_c, with_c)) = (proxied(&bed).await, proxied(&bed).await);
    let first = bed.start("b", &with_b);
    bed.grows_by(2).await;
    let standby = bed.start("c", &with_c);
    bed.shadows("c", 2).await;
    to_b.set_cut(true);
    to_c.set_cut(true);
    until("some wait in the spool", async || bed.spooled("b") >= 3).await;
    first.kill().await;
    let had = bed.shadowed("c");
    until("the other has more", async || bed.shadowed("c") >= had + 4).await;
    let second = bed.start("a", &With::default());
    until("a publishes", async || bed.listed().await.last().is_some_and(|s| s.id.epoch > 1)).await;
    standby.kill().await;
    let missing = bed.ledger().await.lost();
    let first = bed.start("b", &With::default());
    until("a part is filled in", async || bed.ledger().await.lost() < missing).await;
    assert!(!bed.ledger().await.is_whole(), "nothing was left");
    let standby = bed.start("c", &With::default());
    until("the rest is filled in", async || bed.ledger().await.is_whole()).await;
    for process in [first, standby, second] {
        process.stop().await;
    }
    let ledger = bed.ledger().await;
    assert!(ledger.is_whole(), "{ledger:?}");
    assert_eq!((bed.damaged("b"), bed.damaged("c")), (0, 0), "something could not be filled in");
}

/// The disk has damaged one of those that would fill a gap: it is set aside, the others come into their place.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_does_not_keep_the_rest_from_its_place() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let bed = Bed::postgres(&Clip::make(dir.path()).await).await;
    let (with_b, second) = cut_off_replaced_and_killed(&bed, || bed.spooled("b") >= 3).await;
    let mut waiting = bed.entries("b", "");
    waiting.sort_by_key(|id| id.sequence);
    let file = bed.dir.path().join(format!("b/streams/x/{}.cmfs", waiting[1].base_name()));
    std::fs::File::options().write(true).open(file).expect("it is there").set_len(5000).expect("cut short");
    let missing = bed.ledger().await.lost();
    let again = bed.start("b", &with_b);
    until("the rest is filled in", async || bed.ledger().await.lost() < missing).await;
    assert!(bed.damaged("b") > 0, "it is not kept for anybody to look at");
    second.stop().await;
    again.stop().await;
    let ledger = bed.ledger().await;
    assert_eq!((ledger.twice, ledger.unstated, ledger.gaps[0].len()), (0, 0, 1), "{ledger:?}");
}
