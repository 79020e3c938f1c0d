//! Two real recorders of one stream on PostgreSQL: one publishes, the other keeps its last minutes.

use crate::bed::{Bed, Ledger, Process, With, stream, until};
use crate::proxy::Proxy;
use crate::source::{Clip, Live};
use evertape::recorder::share::{self, Peer};
use std::time::Duration;

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

/// The index as seen through a proxy that can be cut.
async fn proxied(bed: &Bed) -> (Proxy, With) {
    let mut url = url::Url::parse(&bed.index_url).expect("an address");
    let socket = url.query_pairs().find(|(key, _)| key == "host").map(|(_, folder)| format!("{folder}/.s.PGSQL.5432"));
    let target = match socket {
        Some(socket) => socket,
        None => format!("{}:{}", url.host_str().expect("a host"), url.port().unwrap_or(5432)),
    };
    let proxy = Proxy::to(target).await;
    url.set_query(None);
    url.set_host(Some("127.0.0.1")).expect("an address");
    url.set_port(Some(proxy.port)).expect("an address");
    let with = With { index: Some(url.into()), ..With::default() };
    (proxy, with)
}

/// Who publishes is cut off from the index: the other takes over; back again, what the first one has in its spool is in
/// the archive already.
#[tokio::test(flavor = "multi_thread")]
async fn cut_off_from_the_index_the_other_takes_over() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let bed = Bed::postgres(&Clip::make(dir.path()).await).await;
    let ((to_a, with_a), (to_b, with_b)) = (proxied(&bed).await, proxied(&bed).await);
    let [(active, name), (standby, other)] = two(&bed, [&with_a, &with_b]).await;
    let (of_active, of_standby) = if name == "a" { (to_a, to_b) } else { (to_b, to_a) };
    of_active.set_cut(true);
    let before = bed.listed().await.len();
    until("the standby has taken over", async || bed.listed().await.len() >= before + 4).await;
    assert!(bed.spooled(name) > 0, "the one that is cut off keeps nothing");
    of_active.set_cut(false);
    until("its spool is empty", async || bed.spooled(name) == 0).await;
    bed.grows_by(4).await;
    // The standby in its turn: nothing happens but that it is not seen.
    let _ = (of_standby, other);
    standby.stop().await;
    active.stop().await;
    whole(&bed.ledger().await);
}

/// A standby that is cut off from the index takes nothing over, and has lost nothing when it is needed afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_is_cut_off_takes_nothing_over() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let bed = Bed::postgres(&Clip::make(dir.path()).await).await;
    let ((to_a, with_a), (to_b, with_b)) = (proxied(&bed).await, proxied(&bed).await);
    let [(active, name), (standby, _)] = two(&bed, [&with_a, &with_b]).await;
    let of_standby = if name == "a" { to_b } else { to_a };
    let epoch = bed.listed().await.last().expect("a segment").id.epoch;
    of_standby.set_cut(true);
    tokio::time::sleep(Duration::from_secs(5)).await;
    bed.grows_by(2).await;
    assert_eq!(bed.listed().await.last().expect("a segment").id.epoch, epoch, "the lease has moved");
    of_standby.set_cut(false);
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
    let [(active, name), (standby, _)] = two(&bed, [&With::default(); 2]).await;
    active.signal("STOP");
    let before = bed.listed().await.len();
    until("the standby has taken over", async || bed.listed().await.len() >= before + 4).await;
    active.signal("CONT");
    until("its spool is empty", async || bed.spooled(name) == 0).await;
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
    let [(active, name), (standby, _)] = two(&bed, [&with[0], &with[1]]).await;
    let of_active = &sources[usize::from(name == "b")];
    of_active.set_cut(true);
    tokio::time::sleep(Duration::from_millis(2500)).await;
    of_active.set_cut(false);
    until("the break is there", async || bed.listed().await.last().is_some_and(|s| s.discontinuity > 0)).await;
    until("and filled in", async || bed.listed().await.iter().any(|s| s.id.epoch == 0)).await;
    bed.grows_by(3).await;
    standby.stop().await;
    active.stop().await;
    let ledger = bed.ledger().await;
    assert!(ledger.is_whole(), "{ledger:?}");
    assert_eq!((ledger.runs, ledger.discontinuities), (2, 1), "{ledger:?}");
}
