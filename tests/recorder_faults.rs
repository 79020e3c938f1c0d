//! The recorder when store, index, sources and its own process fail: nothing is lost, doubled or half there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common_recording;

use common_recording::{Bed, Recorder, clip, ffmpeg, file, name, samples_of, spooled, until};
use evertape::index::Index;
use evertape::index::faults::{FaultyIndex, Rates};
use evertape::janitor;
use evertape::media::UtcUs;
use evertape::recorder::share;
use evertape::store::FaultyStore;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const RATES: Rates =
    Rates { before_percent: 12, after_percent: 12, delay_percent: 30, delay: Duration::from_millis(15) };

/// Whether as many pictures are listed as the clip has.
async fn complete(bed: &Bed, stream: &str, pictures: usize) -> bool {
    let listed = bed.listed(&name(stream)).await;
    listed.iter().filter_map(|s| s.lead()).map(|p| p.sample_count as usize).sum::<usize>() >= pictures
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_behind_a_faulty_store_and_index() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let clip = clip(dir.path()).await;
    let sent = samples_of(&clip);
    assert_eq!(sent[0].len(), 1500);
    let seeds = (1..=4).map(|seed| {
        let (clip, sent) = (&clip, &sent);
        async move {
            let bed = Bed::new().await;
            let store = Arc::new(FaultyStore::seeded(bed.store.clone(), seed, 25));
            let index = FaultyIndex::seeded(bed.index.clone(), seed * 77, RATES);
            let spool = bed.spool("spool").await;
            let recorder = Recorder::start(store.clone(), Arc::new(index.clone()), spool, 4, &[("a/b", file(clip))]);
            until("all is published", async || complete(&bed, "a/b", sent[0].len()).await).await;
            until("the spool is empty", async || spooled(&bed.dir.path().join("spool")).is_empty()).await;
            recorder.stop().await;
            assert!(store.injected() > 0 && index.injected() > 0, "seed {seed} injects nothing");
            let runs = bed.check(&name("a/b")).await;
            assert!(runs == std::slice::from_ref(sent), "seed {seed}: not the samples that were sent");
            assert_eq!(bed.objects().await.len(), bed.listed(&name("a/b")).await.len());
        }
    });
    futures::future::join_all(seeds).await;
}

/// Store or index are away for a while, at the start or in the middle.
#[tokio::test(flavor = "multi_thread")]
async fn outages_delay_and_lose_nothing() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let clip = clip(dir.path()).await;
    let sent = samples_of(&clip);
    let slow = Rates { before_percent: 0, after_percent: 0, delay_percent: 100, delay: Duration::from_millis(40) };
    let cases = [(true, 0), (true, 3), (false, 0), (false, 3)].map(|(store_fails, after)| {
        let (clip, sent) = (&clip, &sent);
        async move {
            let bed = Bed::new().await;
            let store = Arc::new(FaultyStore::seeded(bed.store.clone(), 1, 0));
            let index = FaultyIndex::seeded(bed.index.clone(), 1, slow);
            let away = |away: bool| if store_fails { store.set_down(away) } else { index.set_out(away) };
            away(after == 0);
            let spool = bed.spool("spool").await;
            let recorder = Recorder::start(store.clone(), Arc::new(index.clone()), spool, 2, &[("x", file(clip))]);
            until("some is published", async || bed.listed(&name("x")).await.len() >= after).await;
            away(true);
            tokio::time::sleep(Duration::from_millis(1500)).await;
            let published = bed.listed(&name("x")).await.len();
            assert!(published < 25, "the outage came too late: {published}");
            if store_fails || after > 0 {
                assert!(!spooled(&bed.dir.path().join("spool")).is_empty(), "nothing waits in the spool");
            }
            away(false);
            until("all is published", async || complete(&bed, "x", sent[0].len()).await).await;
            until("the spool is empty", async || spooled(&bed.dir.path().join("spool")).is_empty()).await;
            recorder.stop().await;
            assert!(bed.check(&name("x")).await == std::slice::from_ref(sent), "{store_fails} {after}");
        }
    });
    futures::future::join_all(cases).await;
}

/// The recorder's tasks are cut off at any moment and begin again on the same spool: what was spooled is listed, once.
#[tokio::test(flavor = "multi_thread")]
async fn ended_at_any_moment_and_begun_again() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let clip = clip(dir.path()).await;
    let sent = samples_of(&clip);
    let bed = Bed::new().await;
    let store = Arc::new(FaultyStore::seeded(bed.store.clone(), 5, 10));
    let index = Arc::new(FaultyIndex::seeded(bed.index.clone(), 5, RATES));
    let mut numbers = 0x5eed_u64;
    let mut spooled_once = BTreeSet::new();
    for _ in 0..12 {
        numbers = numbers.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let spool = bed.spool("spool").await;
        let recorder = Recorder::start(store.clone(), index.clone(), spool, 4, &[("x", file(&clip))]);
        tokio::time::sleep(Duration::from_millis((numbers >> 33) % 700)).await;
        recorder.task.abort();
        let _ = recorder.task.await;
        // Opening waits until the last of its tasks is gone.
        drop(bed.spool("spool").await);
        spooled_once.extend(spooled(&bed.dir.path().join("spool")));
    }
    index.heal();
    let spool = bed.spool("spool").await;
    let recorder = Recorder::start(store.clone(), index.clone(), spool, 4, &[("x", file(&clip))]);
    let folder = bed.dir.path().join("spool");
    let settled = async || {
        let waiting = recorder.status[0].waiting.load(std::sync::atomic::Ordering::Relaxed);
        waiting == 0 && spooled(&folder).is_empty() && complete(&bed, "x", sent[0].len()).await
    };
    until("the last run is whole", settled).await;
    recorder.stop().await;
    let runs = bed.check(&name("x")).await;
    assert!(runs.len() > 1, "it was never ended in the middle");
    for run in &runs {
        for (recorded, sent) in run.iter().zip(&sent) {
            let from = sent.iter().position(|s| Some(s) == recorded.first());
            assert!(
                sent.starts_with(recorded),
                "a run of {} samples from {from:?} is not the beginning of the clip",
                recorded.len()
            );
        }
    }
    assert!(runs.last().is_some_and(|run| *run == sent), "the last run is not the whole clip");
    let objects = bed.objects().await;
    for entry in &spooled_once {
        assert!(objects.iter().any(|o| o.ends_with(entry.as_str())), "{entry} was in the spool and is nowhere");
    }
    assert_eq!(objects.len(), bed.listed(&name("x")).await.len(), "an object without row");
}

/// Two recorders, each with its own spool: one writes, the other takes over when the first has released the stream, or
/// its lease has lapsed.
#[tokio::test(flavor = "multi_thread")]
async fn two_recorders_take_turns() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let clip = clip(dir.path()).await;
    let source = || ("x", format!("file:{}?realtime=1&loop=1", clip.display()));
    let bed = Bed::new().await;
    let count = async || bed.listed(&name("x")).await.len();
    // The stream is the third's own, and rather the first's than the second's: nobody hands it over by himself.
    let peers = ["a", "b", "c"].map(|letter| share::Peer {
        recorder: letter.repeat(32),
        capacity: None,
        held: 0,
        settled: true,
    });
    for (spool, peer) in ["third", "first", "second"].into_iter().zip(share::ranked(&name("x"), &peers)) {
        std::fs::create_dir(bed.dir.path().join(spool)).expect("a folder");
        std::fs::write(bed.dir.path().join(spool).join("holder"), &peer.recorder).expect("a name");
    }
    let (first_spool, second_spool) = (bed.spool("first").await, bed.spool("second").await);
    let second_holder = second_spool.holder().to_owned();
    let start = |spool| Recorder::start(bed.store.clone(), bed.index.clone(), spool, 1, &[source()]);
    let first = start(first_spool);
    until("the first records", async || count().await >= 2).await;
    let second = start(second_spool);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(spooled(&bed.dir.path().join("second")).is_empty(), "the second recorder writes too");
    let epochs = async || bed.listed(&name("x")).await.iter().map(|s| s.id.epoch).collect::<BTreeSet<_>>();
    assert_eq!(epochs().await.len(), 1);

    // An orderly stop hands the stream over within seconds.
    first.stop().await;
    let before = count().await;
    until("the second has taken over", async || count().await >= before + 2).await;
    assert_eq!(epochs().await.len(), 2);

    // A third takes it as if the lease had lapsed, though the second lives: the second must stop by itself.
    let third_spool = bed.spool("third").await;
    let later = evertape::clock::now().plus_us(60_000_000);
    let taken = bed.index.acquire(&name("x"), third_spool.holder(), later, 1_000_000).await;
    assert!(taken.expect("an answer").is_some_and(|lease| lease.holder != second_holder));
    let third = start(third_spool);
    let before = count().await;
    until("the stream has been taken over", async || {
        count().await >= before + 3 && epochs().await.last().is_some_and(|epoch| *epoch > 2)
    })
    .await;
    second.stop().await;
    third.stop().await;
    let runs = bed.check(&name("x")).await;
    let listed = bed.listed(&name("x")).await;
    assert_eq!(epochs().await, BTreeSet::from([1, 2, 3]));
    assert!(runs.len() >= 3, "{} runs of three recorders", runs.len());
    let pairs: BTreeSet<_> = listed.iter().map(|s| (s.id.epoch, s.id.run)).collect();
    assert_eq!(pairs.iter().map(|p| p.1).collect::<BTreeSet<_>>().len(), pairs.len(), "one run of two writers");
}

/// A recorder loses its stream for a while and has it again: what it cut meanwhile follows, in order, without a break. Its
/// times are not those at which it cut: they lie behind what the first one has recorded.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_cut_without_the_lease_follows_in_order() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let clip = clip(dir.path()).await;
    let source = || ("x", format!("file:{}?realtime=1&loop=1", clip.display()));
    let bed = Bed::new().await;
    let count = async || bed.listed(&name("x")).await.len();
    let (first_spool, second_spool) = (bed.spool("first").await, bed.spool("second").await);
    let start = |spool| Recorder::start_standby(bed.store.clone(), bed.index.clone(), spool, &[source()]);
    let first = start(first_spool);
    until("the first records", async || count().await >= 3).await;
    let second = start(second_spool);
    // It has media, of a time that the first one records.
    let shadows = || std::fs::read_dir(bed.dir.path().join("second/streams/x/shadow")).map_or(0, |files| files.count());
    until("the second takes in the source", async || shadows() >= 3).await;
    first.stop().await;
    until("the second has taken over", async || bed.listed(&name("x")).await.iter().any(|s| s.id.epoch == 2)).await;
    // Nobody has it, for some seconds.
    let mut lapses = evertape::clock::now().plus_us(3_000_000);
    while bed.index.acquire(&name("x"), "nobody", lapses, 1).await.expect("an answer").is_none() {
        lapses = lapses.plus_us(1_000_000);
    }
    until("the second has it again", async || {
        bed.listed(&name("x")).await.iter().filter(|s| s.id.epoch == 4).count() >= 8
    })
    .await;
    second.stop().await;
    bed.check(&name("x")).await;
    let listed = bed.listed(&name("x")).await;
    let of_second: Vec<_> = listed.iter().filter(|s| s.id.epoch > 1).collect();
    assert!(of_second.iter().any(|s| s.id.epoch == 4));
    let seconds = of_second.iter().map(|s| s.id.duration_us).sum::<i64>() / 1_000_000;
    // The clip has 20 s: only where it begins anew is there a break.
    let breaks = listed.last().expect("a segment").discontinuity - listed[0].discontinuity;
    assert_eq!((of_second.iter().map(|s| s.id.run).collect::<BTreeSet<_>>().len(), breaks), (1, 1), "{seconds} s");
}

/// Retention behind faults: at every moment each listed row has its object and each object its row.
#[tokio::test(flavor = "multi_thread")]
async fn retention_leaves_neither_orphans_nor_holes() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let clip = clip(dir.path()).await;
    let bed = Bed::new().await;
    let spool = bed.spool("spool").await;
    let recorder = Recorder::start(bed.store.clone(), bed.index.clone(), spool, 1, &[("x", file(&clip))]);
    until("all is published", async || complete(&bed, "x", 1500).await).await;
    recorder.stop().await;
    let whole = bed.listed(&name("x")).await;
    let (store, index) =
        (FaultyStore::seeded(bed.store.clone(), 3, 50), FaultyIndex::seeded(bed.index.clone(), 9, RATES));
    let end = whole.last().expect("a segment").id.end();
    let grace = Duration::from_secs(5);
    let keep = janitor::Keep { age: Some(Duration::from_secs(20)), bytes: None };
    let (mut failed, mut clean) = (0, 0);
    for round in 0..400 {
        let now = end.plus_us(round * 1_000_000);
        let rules = janitor::Rules { streams: vec![(name("x"), keep)], max_bytes: None, grace, interval: grace };
        let mode = janitor::Mode { force: true, ..janitor::Mode::default() };
        let rounds = janitor::round(&store, &index, &rules, mode, now).await;
        match rounds.is_ok_and(|rounds| rounds.iter().all(|(_, round)| round.is_ok())) {
            true => clean += 1,
            false => failed += 1,
        }
        let listed = bed.listed(&name("x")).await;
        let objects = bed.objects().await;
        let marked = bed.index.deletable(&name("x"), UtcUs(i64::MAX / 4), 1000).await.expect("marked rows");
        let rows: BTreeSet<String> = marked.iter().map(|d| d.object.to_string()).collect();
        assert!(listed.iter().all(|s| objects.contains(s.object.as_str())), "a listed row without object");
        let listed_keys: BTreeSet<String> = listed.iter().map(|s| s.object.to_string()).collect();
        assert!(objects.iter().all(|o| listed_keys.contains(o) || rows.contains(o)), "an object without row");
        if listed.is_empty() && objects.is_empty() && rows.is_empty() {
            break;
        }
    }
    assert!(failed > 0 && clean > 0, "{failed} rounds failed, {clean} did not");
    assert!(bed.listed(&name("x")).await.is_empty() && bed.objects().await.is_empty());
    // The numbers go on where they were.
    assert_eq!(bed.index.tail(&name("x")).await.expect("a tail").next_sequence, whole.len() as u64);
}

/// Broken sources beside a good one: the good one does not notice, and of the others all is kept that was whole.
#[tokio::test(flavor = "multi_thread")]
async fn broken_sources_do_not_touch_the_others() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let good = clip(dir.path()).await;
    let sent = samples_of(&good);
    let (jumping, wrapping, garbled) =
        (dir.path().join("jumping.ts"), dir.path().join("wrapping.ts"), dir.path().join("garbled.ts"));
    let bytes = std::fs::read(&good).expect("a clip");
    std::fs::write(&jumping, [&bytes[..], &bytes[..]].concat()).expect("written");
    // 2^33 ticks are 95443.7 s: the wrap lies in the middle.
    let from = good.to_str().expect("a path");
    ffmpeg(&["-v", "error", "-i", from, "-c", "copy", "-output_ts_offset", "95410"], &wrapping).await;
    let mut noise = 7_u64;
    let mut garbage = || {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (noise >> 40) as u8
    };
    let half = bytes.len() / 2;
    let middle: Vec<u8> = (0..300_000).map(|_| garbage()).collect();
    std::fs::write(&garbled, [&bytes[..half], &middle, &bytes[half..]].concat()).expect("written");

    let bed = Bed::new().await;
    let spool = bed.spool("spool").await;
    let sources =
        [("good", file(&good)), ("jump", file(&jumping)), ("wrap", file(&wrapping)), ("garbage", file(&garbled))];
    let recorder = Recorder::start(bed.store.clone(), bed.index.clone(), spool, 2, &sources);
    until("all is published", async || {
        complete(&bed, "good", 1500).await
            && complete(&bed, "jump", 2990).await
            && complete(&bed, "wrap", 1500).await
            && complete(&bed, "garbage", 1400).await
    })
    .await;
    recorder.stop().await;

    assert!(bed.check(&name("good")).await == [sent.clone()], "the good source was touched");
    let wrapped = bed.check(&name("wrap")).await;
    assert!(wrapped == [samples_of(&wrapping)], "{} runs of the source that wraps", wrapped.len());
    let listed = bed.listed(&name("wrap")).await;
    for pair in listed.windows(2) {
        assert_eq!(pair[0].id.end(), pair[1].id.start, "a seam in wall time");
        assert_eq!(pair[0].tracks[0].decode_end(), pair[1].tracks[0].decode_start, "a seam in media time");
    }
    assert!(listed.first().is_some_and(|s| s.anchor.0 < 1 << 33));
    assert!(listed.last().is_some_and(|s| s.anchor.0 > 1 << 33), "the clock did not wrap");

    let jumped = bed.check(&name("jump")).await;
    assert_eq!(jumped.len(), 2, "a jump back begins one new run");
    assert!(jumped[1][0] == sent[0], "the pictures after the jump");
    assert!(sent[0].starts_with(&jumped[0][0]) && jumped[0][0].len() >= 1490, "the pictures before the jump");

    for run in bed.check(&name("garbage")).await {
        for (recorded, sent) in run.iter().zip(&sent) {
            let mut left = sent.iter();
            assert!(recorded.iter().all(|s| left.any(|t| t == s)), "a sample that was never sent, or out of order");
        }
    }
}
