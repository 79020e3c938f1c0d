//! `check` and `reindex` on SQLite with a folder, and on PostgreSQL with S3.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/postgres.rs"]
mod postgres;
mod recorded;
mod support;

use bytes::Bytes;
use evertape::check::{self, CheckError, Kind, Options, Progress, Report};
use evertape::index::faults::{FaultyIndex, Rates};
use evertape::index::{Adopted, Index};
use evertape::janitor;
use evertape::media::segment::SegmentId;
use evertape::media::{ObjectKey, StreamName, UtcUs};
use evertape::recorder::numbers_are_void;
use evertape::store::{self, ByteStream, FaultyStore, ObjectInfo, ObjectStore, Put, StoreError, StoreErrorKind};
use evertape::web::{self, PlaybackOptions};
use metrics_exporter_prometheus::PrometheusBuilder;
use recorded::{Bed, HOUR_US, Plan, all_time, inits, name, start};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// A year after everything was recorded.
fn later() -> UtcUs {
    start().plus_us(365 * 24 * HOUR_US)
}

fn options() -> Options {
    Options { most_named: 100, ..Options::default() }
}

async fn check(bed: &Bed, options: Options) -> Report {
    check_on(bed, bed.index.clone(), options).await
}

async fn check_on(bed: &Bed, index: Arc<dyn Index>, options: Options) -> Report {
    check::check(bed.store.clone(), index, options, Arc::new(Progress::default()), later()).await.unwrap()
}

async fn reindex(bed: &Bed, index: Arc<dyn Index>, into_existing: bool) -> Result<check::Reindexed, CheckError> {
    check::reindex(bed.store.clone(), index, Vec::new(), into_existing, Arc::default()).await
}

/// Counts by kind.
fn counts(report: &Report) -> BTreeMap<Kind, (u64, u64)> {
    report.findings.iter().map(|(kind, group)| (*kind, (group.count, group.repaired))).collect()
}

/// Streams with days, gaps, runs, numbers that were written twice, and one inside another.
async fn history(bed: &Bed) -> Vec<StreamName> {
    let names = ["one", "one/two", "sport/uhd-1"].map(name);
    for (n, stream) in names.iter().enumerate() {
        let mut plans = Vec::new();
        for number in 0..60u64 {
            // Six hours apart in the second half: some days; two runs; a gap of a minute.
            let at_s =
                if number < 40 { number as i64 * 6 + if number > 20 { 60 } else { 0 } } else { number as i64 * 21_600 };
            let run = 1 + u128::from(number > 20) + u128::from(number >= 40);
            let discontinuity = u64::from(number > 20) + number.saturating_sub(39);
            plans.push(Plan { seconds: 6, run, discontinuity, ..Plan::new(stream, number, at_s + n as i64) });
        }
        bed.write(&plans).await;
        // Another recorder wrote the last ones again, one of them on another day.
        let again =
            |p: &Plan| Plan { epoch: 2, run: 9, at_s: p.at_s + if p.sequence == 59 { 86_400 } else { 1 }, ..p.clone() };
        bed.write(&plans[57..60].iter().map(again).collect::<Vec<_>>()).await;
    }
    names.into()
}

async fn serve(bed: &Bed, index: Arc<dyn Index>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let options = PlaybackOptions {
        max_window: Duration::from_secs(400 * 86_400),
        ..PlaybackOptions::new(PrometheusBuilder::new().build_recorder().handle())
    };
    tokio::spawn(web::serve(listener, bed.store.clone(), index, options, Default::default()));
    format!("http://{address}")
}

/// All forms of all answers that say what is recorded. Those that slide with the clock come last.
fn addresses(stream: &StreamName, now_s: i64) -> Vec<String> {
    let from = start().seconds();
    let mut all = Vec::new();
    for (from, seconds) in
        [(from, 600), (from + 30, 200), (from + 100, 60), (from, 20 * 86_400), (from + 12 * 86_400, 3600)]
    {
        for form in ["archive", "index"] {
            for kind in ["m3u8", "fmp4.m3u8", "ts.m3u8"] {
                all.push(format!("{stream}/{form}-{from}-{seconds}.{kind}"));
                all.push(format!("{stream}/tracks-v1/{form}-{from}-{seconds}.{kind}"));
                all.push(format!("{stream}/tracks-a1/{form}-{from}-{seconds}.{kind}"));
                all.push(format!("{stream}/mono-{from}-{seconds}.{kind}"));
            }
            all.push(format!("{stream}/{form}-{from}-now.fmp4.m3u8"));
            all.push(format!("{stream}/tracks-v1/{form}-{from}-now.fmp4.m3u8"));
        }
        all.push(format!("{stream}/recording_status.json?from={from}&to={}&request=ranges", from + seconds));
    }
    all.push(format!("{stream}/archive-{from}-300.mp4"));
    all.push(format!("{stream}/ranges.json"));
    all.push(format!("{stream}/media_info.json"));
    for form in ["index".to_owned(), "rewind-3600".to_owned(), format!("timeshift_rel-{}", now_s - from - 150)] {
        for kind in ["m3u8", "fmp4.m3u8", "ts.m3u8"] {
            all.push(format!("{stream}/{form}.{kind}"));
            all.push(format!("{stream}/tracks-v1/{form}.{kind}"));
        }
    }
    all
}

async fn get(client: &reqwest::Client, base: &str, path: &str) -> (u16, Option<String>, Vec<u8>) {
    let answer = client.get(format!("{base}/{path}")).send().await.unwrap();
    let etag = answer.headers().get("etag").map(|v| v.to_str().unwrap().to_owned());
    (answer.status().as_u16(), etag, answer.bytes().await.unwrap().to_vec())
}

async fn reindexing_gives_the_same_playlists(bed: Bed) {
    let names = history(&bed).await;
    let (again, _ground) = bed.empty_index().await;
    let done = reindex(&bed, again.clone(), false).await.unwrap();
    assert_eq!((done.damaged, done.foreign), (0, 0), "{:?}", done.first_damaged);
    assert_eq!(done.adopted.written + done.adopted.superseded, 3 * 63);
    for stream in &names {
        let rows = bed.rows(stream).await;
        assert_eq!(again.rows(stream, all_time(), None, 1000).await.unwrap(), rows);
        assert_eq!(
            again.sample_tables(stream, 0, 99).await.unwrap(),
            bed.index.sample_tables(stream, 0, 99).await.unwrap()
        );
        assert_eq!(again.tail(stream).await.unwrap(), bed.index.tail(stream).await.unwrap());
        assert_eq!(again.extent(stream).await.unwrap(), bed.index.extent(stream).await.unwrap());
        assert_eq!(again.stored_bytes(stream).await.unwrap(), bed.index.stored_bytes(stream).await.unwrap());
        let hashes: Vec<_> = inits().iter().map(|(info, _)| info.hash).collect();
        assert_eq!(again.inits(stream, &hashes).await.unwrap().len(), 2);
        let lease = again.acquire(stream, "the next", later(), 1_000_000).await.unwrap().unwrap();
        assert_eq!(lease.epoch, 3, "the next recorder writes above what is there");
    }
    // Byte for byte.
    let (one, two) = (serve(&bed, bed.index.clone()).await, serve(&bed, again.clone()).await);
    let client = reqwest::Client::new();
    let (mut compared, mut good) = (0, 0);
    for stream in &names {
        let now_s = evertape::clock::now().seconds();
        for path in addresses(stream, now_s) {
            let mut same = false;
            for _ in 0..10 {
                let before = get(&client, &one, &path).await;
                let other = get(&client, &two, &path).await;
                // What slides may have moved on between the two.
                if before == get(&client, &one, &path).await {
                    assert!(
                        before == other,
                        "{path}:\n{}\n{}",
                        String::from_utf8_lossy(&before.2),
                        String::from_utf8_lossy(&other.2)
                    );
                    same = true;
                    good += usize::from(before.0 == 200);
                    break;
                }
            }
            assert!(same, "{path} never stands still");
            compared += 1;
        }
    }
    assert!(good * 4 > compared * 3, "only {good} of {compared} were answered");
    // An index with rows is not written to, unless that is asked for; then nothing changes.
    assert!(matches!(reindex(&bed, again.clone(), false).await, Err(CheckError::Refused(_))));
    let done = reindex(&bed, again.clone(), true).await.unwrap();
    assert_eq!(done.adopted, Adopted { kept: 180, superseded: 9, ..Adopted::default() });
    let report = check_on(&bed, again, Options { deep: true, ..options() }).await;
    assert_eq!(counts(&report), BTreeMap::from([(Kind::SupersededObject, (9, 0))]));
}

async fn one_stream_of_several_and_damaged_objects(bed: Bed) {
    let names = history(&bed).await;
    let rows = bed.rows(&names[0]).await;
    let key = &rows[3].segment.object;
    let object = bed.object(key).await;
    bed.overwrite(key, object.slice(..object.len() - 1)).await;
    let (again, _ground) = bed.empty_index().await;
    let only = vec![names[0].clone()];
    let done = check::reindex(bed.store.clone(), again.clone(), only, false, Arc::default()).await.unwrap();
    assert_eq!((done.adopted.written + done.adopted.superseded, done.damaged), (62, 1));
    assert_eq!(done.first_damaged[0].0, *key);
    assert_eq!(again.streams().await.unwrap(), names[..1]);
}

/// A recorder that lost its stream had stored a number that it could not commit; the next one had not come so far.
async fn void_numbers_have_no_row(bed: Bed) {
    let stream = name("one");
    let mut plans: Vec<Plan> =
        (0..7).map(|n| Plan { seconds: 6, epoch: 2, ..Plan::new(&stream, n, n as i64 * 6) }).collect();
    plans.push(Plan { seconds: 6, epoch: 4, run: 2, discontinuity: 1, ..Plan::new(&stream, 7, 44) });
    bed.write(&plans).await;
    let (object, void) = Plan { seconds: 6, epoch: 2, ..Plan::new(&stream, 8, 48) }.object();
    bed.store.put(&void.segment.object, object, "video/mp4").await.unwrap();
    let (again, _ground) = bed.empty_index().await;
    for into_existing in [false, true] {
        let done = reindex(&bed, again.clone(), into_existing).await.unwrap();
        assert_eq!((done.void, done.damaged), (1, 0));
        assert_eq!(again.rows(&stream, all_time(), None, 1000).await.unwrap(), bed.rows(&stream).await);
        assert_eq!(again.tail(&stream).await.unwrap(), bed.index.tail(&stream).await.unwrap());
        assert_eq!(again.extent(&stream).await.unwrap(), bed.index.extent(&stream).await.unwrap());
    }
    // Nothing is thrown away, and nothing of it listed.
    let report = check_on(&bed, again.clone(), Options { repair: true, ..options() }).await;
    assert_eq!(counts(&report), BTreeMap::from([(Kind::ObjectWithoutRow, (1, 0))]));
    assert_eq!(again.rows(&stream, all_time(), None, 1000).await.unwrap().len(), 8);
}

/// What waits in a spool under a number that has another object by now is placed anew: it takes the place of nothing.
async fn numbers_that_others_have_are_void(bed: Bed) {
    let stream = name("one");
    let id = |sequence: u64, epoch: u64| {
        let plan = Plan { epoch, seconds: 6, ..Plan::new(&stream, sequence, sequence as i64 * 6) };
        plan.object().1.segment.id
    };
    let void = async |pending: &[SegmentId]| {
        let tail = bed.index.tail(&stream).await.unwrap();
        numbers_are_void(&*bed.index, &tail, pending).await.unwrap()
    };
    assert!(!void(&[id(0, 1)]).await, "nothing is committed");
    let rows: Vec<Plan> =
        (0..3).map(|n| Plan { epoch: 2, seconds: 6, ..Plan::new(&stream, n, n as i64 * 6) }).collect();
    bed.write(&rows).await;
    assert!(!void(&[]).await);
    assert!(!void(&[id(3, 2), id(4, 2)]).await, "behind what is committed");
    assert!(!void(&[id(2, 2), id(3, 2)]).await, "committed, and its answer was lost");
    assert!(void(&[id(3, 1)]).await, "another recorder has published since");
    assert!(void(&[id(2, 3), id(3, 3)]).await, "an older object was adopted under its number");
    bed.index.mark(&[id(2, 2)], later()).await.unwrap();
    bed.index.delete(&[id(2, 2)]).await.unwrap();
    assert!(void(&[id(2, 2)]).await, "what it would go on from is gone");
}

/// Rows were lost, and their objects exclude each other: the later recorder had seen how far the earlier one had come.
async fn of_orphans_that_overlap_the_later_epoch_is_adopted(bed: Bed) {
    let stream = name("one");
    let rows: Vec<Plan> = (0..3).map(|n| Plan { seconds: 6, ..Plan::new(&stream, n, n as i64 * 6) }).collect();
    bed.write(&rows).await;
    let earlier = Plan { seconds: 8, ..Plan::new(&stream, 3, 18) };
    // It lies behind what the later one has, and yet its number was void by then.
    let void = Plan { seconds: 6, discontinuity: 1, ..Plan::new(&stream, 6, 60) };
    let later =
        |n: u64, at_s: i64| Plan { seconds: 6, epoch: 2, run: 2, discontinuity: 1, ..Plan::new(&stream, n, at_s) };
    let later = [later(4, 24), later(5, 30)];
    for plan in later.iter().chain([&earlier, &void]) {
        let (object, row) = plan.object();
        bed.store.put(&row.segment.object, object, "video/mp4").await.unwrap();
    }
    let report = check(&bed, Options { repair: true, ..options() }).await;
    assert_eq!(counts(&report), BTreeMap::from([(Kind::ObjectWithoutRow, (4, 2))]), "{report}");
    let adopted = bed.rows(&stream).await.split_off(3);
    let epochs: Vec<(u64, u64)> = adopted.iter().map(|r| (r.segment.id.sequence, r.segment.id.epoch)).collect();
    assert_eq!(epochs, [(4, 2), (5, 2)]);
}

async fn index_and_bucket_agree(bed: Bed) {
    assert!(check(&bed, options()).await.is_clean(), "nothing is nothing");
    let names = history(&bed).await;
    for options in [options(), Options { deep: true, ..options() }] {
        let deep = options.deep;
        let report = check(&bed, options).await;
        assert_eq!(counts(&report), BTreeMap::from([(Kind::SupersededObject, (9, 0))]), "{report}");
        assert_eq!((report.streams, report.rows, report.objects), (3, 180, 189));
        assert_eq!((report.verified_parts, report.unverified_parts), (if deep { 360 } else { 0 }, 0));
    }
    let report = check(&bed, Options { streams: vec![names[1].clone()], ..options() }).await;
    assert_eq!((report.streams, report.rows, report.objects), (1, 60, 63));
}

async fn what_does_not_fit_is_found_and_mended(bed: Bed) {
    let names = history(&bed).await;
    let stream = &names[0];
    let listed = bed.listed(stream).await;
    let key = |text: &str| ObjectKey::parse(text).unwrap();
    // A row without object; one that is marked, whose object may be gone.
    bed.index.mark(&[listed[50].id.clone()], later()).await.unwrap();
    bed.store.delete(&[listed[5].object.clone(), listed[50].object.clone()]).await.unwrap();
    // Objects without row: in a day that has rows, in one that has none, of a stream nobody knows of; a young one.
    let (other, new) = (name("other"), name("one/three"));
    let orphans = [
        Plan { epoch: 2, discontinuity: 30, ..Plan::new(stream, 100, 59 * 21_600 + 86_400 + 70) },
        Plan { epoch: 2, discontinuity: 31, ..Plan::new(stream, 101, 100 * 86_400) },
        Plan::new(&other, 0, 0),
        Plan { epoch: 7, run: 8, seconds: 6, ..Plan::new(stream, 8, 48) },
        Plan::new(&new, 0, 365 * 86_400 - 60),
    ];
    for plan in &orphans {
        let (bytes, row) = plan.object();
        bed.store.put(&row.segment.object, bytes, "video/mp4").await.unwrap();
    }
    // Foreign files, at the top and in a day.
    for foreign in ["readme.txt", "one/notes.txt", "zzz/a/b", "one/2014/08/27/00/-x", "one/2014/08/27/00/zzz.cmfs"] {
        bed.store.put(&key(foreign), "no segment".into(), "text/plain").await.unwrap();
    }
    // Another size.
    let cut = &listed[7].object;
    bed.overwrite(cut, bed.object(cut).await.slice(..500)).await;
    // Init segments.
    let inits = inits();
    let init = |stream: &StreamName, n: usize| ObjectKey::init(stream, inits[n].0.hash);
    bed.store.delete(&[init(stream, 0)]).await.unwrap();
    bed.overwrite(&init(&names[1], 1), "not an init segment").await;

    let report = check(&bed, options()).await;
    let expected = BTreeMap::from([
        (Kind::RowWithoutObject, (1, 0)),
        (Kind::ObjectWithoutRow, (4, 0)),
        (Kind::SizeDiffers, (1, 0)),
        (Kind::SupersededObject, (9, 0)),
        (Kind::ForeignFile, (5, 0)),
        (Kind::InitMissing, (1, 0)),
        (Kind::InitDamaged, (1, 0)),
    ]);
    assert_eq!(counts(&report), expected, "{report}");
    assert!(!report.is_clean());
    let text = report.to_string();
    for part in [listed[5].object.as_str(), "readme.txt", "→ recordings that nobody can see: --repair adopts them"] {
        assert!(text.contains(part), "{text}");
    }
    let json: serde_json::Value = serde_json::to_value(&report).unwrap();
    assert_eq!(json["findings"]["row_without_object"]["count"], 1);
    assert_eq!(json["findings"]["row_without_object"]["first"][0]["key"], listed[5].object.as_str());
    // Checking has changed nothing.
    assert_eq!(counts(&check(&bed, options()).await), expected);

    let report = check(&bed, Options { repair: true, ..options() }).await;
    let mut mended = expected.clone();
    mended.insert(Kind::RowWithoutObject, (1, 1));
    mended.insert(Kind::ObjectWithoutRow, (4, 4));
    mended.insert(Kind::InitMissing, (1, 1));
    assert_eq!(counts(&report), mended, "{report}");
    let now = bed.listed(stream).await;
    assert!(now.iter().any(|s| s.id.sequence == 101) && !now.iter().any(|s| s.id.sequence == 5));
    assert!(now.iter().any(|s| s.id.sequence == 8 && s.id.epoch == 7), "the higher epoch holds");
    assert_eq!(bed.listed(&other).await.len(), 1);
    assert_eq!(bed.listed(&new).await, [], "somebody may be about to publish it");
    // What the one that was replaced leaves behind is superseded; of the new stream the init segments are missing.
    let left = counts(&check(&bed, options()).await);
    let expected = BTreeMap::from([
        (Kind::SizeDiffers, (1, 0)),
        (Kind::SupersededObject, (10, 0)),
        (Kind::ForeignFile, (5, 0)),
        (Kind::InitMissing, (2, 0)),
        (Kind::InitDamaged, (1, 0)),
    ]);
    assert_eq!(left, expected);
}

async fn deep_reads_what_is_inside(bed: Bed) {
    let names = history(&bed).await;
    let listed = bed.listed(&names[2]).await;
    // One bit of a sample; one of a header; an object that is whole and of the same size, but another.
    let flip = async |n: usize, at: u64| {
        let key = &listed[n].object;
        let mut bytes = bed.object(key).await.to_vec();
        bytes[at as usize] ^= 4;
        bed.overwrite(key, bytes).await;
    };
    let part = &listed[2].tracks[0];
    flip(2, part.offset + u64::from(part.payload_offset) + 10).await;
    flip(4, 40).await;
    let plan = Plan { seconds: 6, discontinuity: 5, ..Plan::new(&names[2], 6, 6 * 6 + 2) };
    let (bytes, row) = plan.object();
    assert_eq!((&row.segment.object, row.segment.object_length), (&listed[6].object, listed[6].object_length));
    bed.overwrite(&listed[6].object, bytes).await;
    assert_eq!(counts(&check(&bed, options()).await), BTreeMap::from([(Kind::SupersededObject, (9, 0))]));
    let report = check(&bed, Options { deep: true, ..options() }).await;
    let expected =
        BTreeMap::from([(Kind::SupersededObject, (9, 0)), (Kind::DamagedObject, (2, 0)), (Kind::RowDiffers, (1, 0))]);
    assert_eq!(counts(&report), expected, "{report}");
    let damaged: Vec<_> = report.findings[&Kind::DamagedObject].first.iter().map(|f| &f.key).collect();
    assert_eq!(damaged, [&listed[2].object, &listed[4].object]);
}

async fn the_wrong_bucket_is_noticed(bed: Bed) {
    let names = history(&bed).await;
    let listed = bed.listed(&names[0]).await;
    let most: Vec<ObjectKey> = listed[..40].iter().map(|s| s.object.clone()).collect();
    bed.store.delete(&most).await.unwrap();
    let few: Vec<ObjectKey> = bed.listed(&names[1]).await[..20].iter().map(|s| s.object.clone()).collect();
    bed.store.delete(&few).await.unwrap();
    let repair = Options { repair: true, ..options() };
    let report = check(&bed, repair.clone()).await;
    assert_eq!(report.refused.len(), 1, "{report}");
    assert!(report.to_string().contains("40 of 60 objects of one are not there"), "{report}");
    assert!(!report.is_clean());
    assert_eq!(bed.listed(&names[0]).await.len(), 60);
    assert_eq!(bed.listed(&names[1]).await.len(), 40);
    check(&bed, Options { force: true, ..repair }).await;
    assert_eq!(bed.listed(&names[0]).await.len(), 20);
}

/// Store and index that now and then do not answer: the same report, the same index.
async fn patience_with_faults(bed: Bed) {
    let names = history(&bed).await;
    let listed = bed.listed(&names[0]).await;
    bed.store.delete(&[listed[5].object.clone()]).await.unwrap();
    let rates = Rates { before_percent: 2, after_percent: 2, delay_percent: 1, delay: Duration::from_millis(1) };
    let index: Arc<dyn Index> = Arc::new(FaultyIndex::seeded(bed.index.clone(), 11, rates));
    let store: Arc<dyn ObjectStore> = Arc::new(FaultyStore::seeded(bed.store.clone(), 5, 5));
    let deep = Options { deep: true, ..options() };
    let found = check::check(store.clone(), index, deep, Arc::default(), later()).await.unwrap();
    let expected = BTreeMap::from([(Kind::SupersededObject, (9, 0)), (Kind::RowWithoutObject, (1, 0))]);
    assert_eq!(counts(&found), expected, "{found}");
    let (again, _ground) = bed.empty_index().await;
    let faulty: Arc<dyn Index> = Arc::new(FaultyIndex::seeded(again.clone(), 3, rates));
    check::reindex(store.clone(), faulty, Vec::new(), false, Arc::default()).await.unwrap();
    assert_eq!(again.rows(&names[1], all_time(), None, 100).await.unwrap(), bed.rows(&names[1]).await);
    // Away for good: an error, no report.
    let away = FaultyIndex::seeded(again, 3, rates);
    away.set_out(true);
    let away: Arc<dyn Index> = Arc::new(away);
    let checked = check::check(store.clone(), away, options(), Arc::default(), later());
    assert!(tokio::time::timeout(Duration::from_secs(60), checked).await.expect("it gives up").is_err());
    let (again, _ground) = bed.empty_index().await;
    let store: Arc<dyn ObjectStore> = Arc::new(Unreadable(store));
    let done = check::reindex(store, again, Vec::new(), false, Arc::default());
    assert!(tokio::time::timeout(Duration::from_secs(60), done).await.expect("it gives up").is_err());
}

/// A recorder that publishes and a janitor that deletes leave nothing to be found, whenever one looks.
async fn beside_a_recorder_and_a_janitor(bed: Bed) {
    let stream = name("x");
    let now = evertape::clock::now();
    let second = |n: u64| now.since(start()) / 1_000_000 - 4000 + n as i64;
    bed.write(&(0..300).map(|n| Plan::new(&stream, n, second(n))).collect::<Vec<_>>()).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let recording = async {
        let lease = bed.index.acquire(&stream, "x", now, HOUR_US).await.unwrap().unwrap();
        let inits: Vec<_> = inits().into_iter().map(|(info, _)| info).collect();
        for n in 300.. {
            let (bytes, mut row) = Plan { epoch: lease.epoch, run: 2, ..Plan::new(&stream, n, second(n)) }.object();
            row.segment.discontinuity = 0;
            bed.store.put(&row.segment.object, bytes, "video/mp4").await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            bed.index.publish(&lease, &row, &inits).await.unwrap();
            if stop.is_cancelled() {
                return n;
            }
        }
        0
    };
    let deleting = async {
        let keep = janitor::Keep { age: Some(Duration::from_secs(10)), bytes: None };
        let rules = |n: u64| janitor::Rules {
            streams: vec![(stream.clone(), keep)],
            max_bytes: None,
            grace: Duration::from_secs(30),
            interval: Duration::from_secs(1 + n),
        };
        for n in 0..300u64 {
            let mode = janitor::Mode { force: true, ..janitor::Mode::default() };
            let at = now.plus_us(-4_000_000_000 + n as i64 * 5_000_000);
            for (_, round) in janitor::round(&*bed.store, &*bed.index, &rules(n), mode, at).await.unwrap() {
                round.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let checking = async {
        for deep in [false, true, false, true, false] {
            let report =
                check::check(bed.store.clone(), bed.index.clone(), Options { deep, ..options() }, Arc::default(), now);
            let report = report.await.unwrap();
            assert_eq!(counts(&report), BTreeMap::new(), "{report}");
        }
        stop.cancel();
    };
    let (last, (), ()) = tokio::join!(recording, deleting, checking);
    assert!(last > 310, "{last}");
    assert!(!bed.objects().await.iter().any(|o| o.contains("/0000000000-")), "nothing was deleted");
}

/// Lists, and gives nothing.
struct Unreadable(Arc<dyn ObjectStore>);

#[async_trait::async_trait]
impl ObjectStore for Unreadable {
    async fn put(&self, key: &ObjectKey, body: Bytes, content_type: &'static str) -> store::Result<Put> {
        self.0.put(key, body, content_type).await
    }
    async fn get(&self, _key: &ObjectKey, _range: Range<u64>) -> store::Result<ByteStream> {
        Err(StoreError::new(StoreErrorKind::Unavailable, "away"))
    }
    async fn head(&self, key: &ObjectKey) -> store::Result<u64> {
        self.0.head(key).await
    }
    async fn delete(&self, keys: &[ObjectKey]) -> store::Result<()> {
        self.0.delete(keys).await
    }
    async fn list(&self, prefix: &str, after: Option<&ObjectKey>, limit: usize) -> store::Result<Vec<ObjectInfo>> {
        self.0.list(prefix, after, limit).await
    }
    async fn ping(&self) -> store::Result<()> {
        self.0.ping().await
    }
}

macro_rules! on_both {
    ($($case:ident,)*) => {
        mod on_sqlite_and_folder {
            $(#[tokio::test(flavor = "multi_thread")] async fn $case() { super::$case(super::Bed::sqlite().await).await })*
        }
        mod on_postgres_and_s3 {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() { super::$case(super::Bed::postgres_and_s3().await).await })*
        }
    };
}

on_both! {
    reindexing_gives_the_same_playlists,
    one_stream_of_several_and_damaged_objects,
    void_numbers_have_no_row,
    numbers_that_others_have_are_void,
    of_orphans_that_overlap_the_later_epoch_is_adopted,
    index_and_bucket_agree,
    what_does_not_fit_is_found_and_mended,
    deep_reads_what_is_inside,
    the_wrong_bucket_is_noticed,
    patience_with_faults,
    beside_a_recorder_and_a_janitor,
}
