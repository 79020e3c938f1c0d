//! Random bits and cuts in the file of a SQLite index: it is said in a sentence, nothing panics, no media is served under
//! another's name, what `check --deep` calls clean is right, and `reindex` brings all of it back.

use crate::program::{Node, configure, evertape};
use crate::recorded::{Bed, Plan, all_time, name, start};
use evertape::check::{self, Options};
use evertape::container::cmaf::{self, PartCheck};
use evertape::index::{self, Index, IndexError, IndexErrorKind, Row};
use evertape::media::{SampleTable, StreamName, UtcRange, UtcUs};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::process::Command;

/// Files that are damaged for the library; every fourth is asked for media, too.
const LIBRARY_SEEDS: u64 = 80;
/// And for the real program.
const PROGRAM_SEEDS: u64 = 8;
/// Media that is asked for of one damaged file.
const MOST_MEDIA: usize = 40;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// What is done to a file, by its seed.
fn damage(bytes: &[u8], seed: u64) -> (String, Vec<u8>) {
    let mut random = Random(seed);
    let mut bytes = bytes.to_vec();
    let what = match seed % 4 {
        0 | 1 => {
            let flips = if seed.is_multiple_of(4) { 1 } else { 2 + random.below(60) };
            for _ in 0..flips {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
            format!("{flips} bits")
        }
        2 => {
            let (at, length) = (random.below(bytes.len()), 16 << random.below(10));
            let end = (at + length).min(bytes.len());
            bytes[at..end].iter_mut().for_each(|b| *b = random.next() as u8);
            format!("{} bytes at {at}", end - at)
        }
        _ => {
            let length = random.below(bytes.len());
            bytes.truncate(length);
            format!("cut to {length} bytes")
        }
    };
    (what, bytes)
}

/// An archive, its index as a file, and what is right.
struct Archive {
    bed: Bed,
    file: Vec<u8>,
    rows: BTreeMap<StreamName, Vec<Row>>,
    tables: BTreeMap<StreamName, Vec<(u64, Vec<SampleTable>)>>,
    /// Every part of every object.
    parts: BTreeSet<Vec<u8>>,
}

impl Archive {
    async fn new() -> Self {
        let bed = Bed::sqlite().await;
        let (mut rows, mut tables, mut parts) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        for (n, stream) in ["one", "sport/two"].map(name).into_iter().enumerate() {
            let plans: Vec<Plan> =
                (0..150).map(|k| Plan { seconds: 6, ..Plan::new(&stream, k, k as i64 * 6 + n as i64) }).collect();
            bed.write(&plans).await;
            rows.insert(stream.clone(), bed.rows(&stream).await);
            tables.insert(stream.clone(), bed.index.sample_tables(&stream, 0, 1000).await.unwrap());
            for row in &rows[&stream] {
                let object = bed.object(&row.segment.object).await;
                for part in &row.segment.tracks {
                    parts.insert(object[part.offset as usize..(part.offset + part.length) as usize].to_vec());
                }
            }
        }
        let copy = bed.folder.path().join("copy.db");
        let file = bed.url.strip_prefix("sqlite:").unwrap();
        crate::program::tool("sqlite3", &[file, &format!(".backup '{}'", copy.display())]).await;
        let file = std::fs::read(copy).unwrap();
        Self { bed, file, rows, tables, parts }
    }

    /// A damaged copy in a folder of its own.
    fn damaged(&self, seed: u64) -> (tempfile::TempDir, String, String) {
        let folder = tempfile::tempdir().unwrap();
        let (what, bytes) = damage(&self.file, seed);
        std::fs::write(folder.path().join("index.db"), bytes).unwrap();
        let url = format!("sqlite:{}/index.db", folder.path().display());
        (folder, url, what)
    }
}

/// An error that an operator can read and a program can go by.
fn is_said(error: &IndexError, errors: &mut Vec<String>) {
    let text = error.to_string();
    assert!(text.len() > 10 && !text.contains("panicked"), "{text:?}");
    // To wait for a damaged file to get better would be to wait for ever.
    assert_ne!(error.kind, IndexErrorKind::Unavailable, "{text}");
    errors.push(text);
}

/// Asks the index for all it has.
async fn ask_all(index: &dyn Index, streams: &[StreamName]) -> Vec<String> {
    let mut errors = Vec::new();
    macro_rules! ask {
        ($call:expr) => {
            if let Err(error) = $call.await {
                is_said(&error, &mut errors);
            }
        };
    }
    ask!(index.ping());
    ask!(index.streams());
    ask!(index.settings());
    ask!(index.removed());
    ask!(index.reports());
    ask!(index.all_stored_bytes());
    ask!(index.integrity());
    for stream in streams {
        let middle = start().plus_us(300_000_000);
        ask!(index.tail(stream));
        ask!(index.extent(stream));
        ask!(index.holder(stream));
        ask!(index.window(stream, all_time(), None, usize::MAX));
        ask!(index.rows(stream, all_time(), None, usize::MAX));
        ask!(index.newest(stream, middle, 10));
        ask!(index.row(stream, 70));
        ask!(index.sample_tables(stream, 0, 1000));
        ask!(index.ranges(stream, all_time(), 0, 100));
        ask!(index.locks(stream, UtcRange::new(UtcUs(i64::MIN), UtcUs(i64::MAX))));
        ask!(index.stored_bytes(stream));
        ask!(index.bytes_cutoff(Some(stream), 1000));
        ask!(index.expired(stream, middle, middle));
        ask!(index.deletable(stream, middle, 10));
        ask!(index.applied_retention(stream));
        ask!(index.uncarried(stream));
    }
    errors
}

/// Fetches what a playlist names. Whatever is answered with 200 is a part of an object, whole, and the one that was asked
/// for. Says how many were.
async fn media_is_right(archive: &Archive, node: &Node, stream: &StreamName, what: &str) -> usize {
    let from = start().seconds();
    let mut served = 0;
    for track in ["v1", "a1"] {
        let folder = format!("{stream}/tracks-{track}/");
        let Some((200, text)) = node.get(&format!("{folder}archive-{}-600.fmp4.m3u8", from + 100)).await else {
            continue;
        };
        let text = String::from_utf8_lossy(&text).into_owned();
        let uris: Vec<&str> = text.lines().filter(|l| !l.starts_with('#') && !l.is_empty()).collect();
        for uri in uris.iter().step_by((uris.len() / MOST_MEDIA).max(1)) {
            let path = format!("{folder}{uri}");
            if let Some((200, body)) = node.get(&path).await {
                assert_eq!(cmaf::verify_part(&body), PartCheck::Verified, "{what}: {path}");
                assert!(archive.parts.contains(&body), "{what}: {path} is no part of any object");
                served += 1;
            }
        }
    }
    served
}

#[tokio::test(flavor = "multi_thread")]
async fn the_library_says_so_and_serves_nothing_wrong() {
    let archive = Archive::new().await;
    let streams: Vec<StreamName> = archive.rows.keys().cloned().collect();
    // A panic in a task of its own would go unnoticed.
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        before(info);
    }));
    let (mut at_open, mut in_calls, mut by_check, mut harmless, mut served) = (0, 0, 0, 0, 0);
    for seed in 0..LIBRARY_SEEDS {
        let (_folder, url, what) = archive.damaged(seed);
        let what = format!("seed {seed}, {what}");
        let index = match index::open(&url).await {
            Ok(index) => index,
            Err(error) => {
                is_said(&error, &mut Vec::new());
                at_open += 1;
                continue;
            }
        };
        let errors = ask_all(&*index, &streams).await;
        if seed % 4 == 1 {
            let node = Node::start(archive.bed.store.clone(), index.clone()).await;
            for stream in &streams {
                served += media_is_right(&archive, &node, stream, &what).await;
            }
        }
        let options = Options { deep: true, most_named: 3, ..Options::default() };
        let later = start().plus_us(365 * 86_400_000_000);
        let report = check::check(archive.bed.store.clone(), index.clone(), options, Arc::default(), later).await;
        let is_clean = match report {
            Ok(report) => report.is_clean(),
            Err(error) => {
                assert!(error.to_string().len() > 10, "{error}");
                false
            }
        };
        match (errors.is_empty(), is_clean) {
            (false, _) => in_calls += 1,
            (true, false) => by_check += 1,
            (true, true) => harmless += 1,
        }
        if is_clean {
            for stream in &streams {
                let rows = index.rows(stream, all_time(), None, usize::MAX).await.unwrap();
                assert_eq!(rows, archive.rows[stream], "{what}: called clean, and is not what was recorded");
                let tables = index.sample_tables(stream, 0, 1000).await.unwrap();
                assert_eq!(tables, archive.tables[stream], "{what}: called clean, with other sample tables");
            }
        }
    }
    println!(
        "{LIBRARY_SEEDS} damaged files: {at_open} refused when opened, {in_calls} by calls, {by_check} by check --deep \
         alone, {harmless} without effect; {served} parts of media served, all right"
    );
    assert_eq!(PANICS.load(Ordering::SeqCst), 0, "something panicked");
    assert!(at_open > 0 && in_calls > 0 && served > 0);
    assert!(at_open + in_calls + by_check > LIBRARY_SEEDS / 2, "hardly anything was noticed");
}

/// `evertape play` or `run` on a damaged file: it answers, or ends with a sentence.
async fn answers_or_ends(folder: &Path, role: &str) -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_evertape"));
    command.args([role, "--log-format", "text", "--config"]).arg(folder.join("evertape.toml")).current_dir(folder);
    command.env("EVERTAPE_HTTP__LISTEN", format!("127.0.0.1:{port}"));
    let log = folder.join(format!("{role}.log"));
    let file = std::fs::File::create(&log).unwrap();
    command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
    let path = format!("one/tracks-v1/archive-{}-600.fmp4.m3u8", start().seconds());
    let mut outcome = None;
    for _ in 0..600 {
        if let Ok(answer) = client.get(format!("http://127.0.0.1:{port}/{path}")).send().await {
            let status = answer.status().as_u16();
            assert!([200, 404, 500, 503].contains(&status), "{status}");
            outcome = Some(format!("{role}: {status}"));
            break;
        }
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.code().is_some_and(|c| c == 1 || c == 2), "{role} ended with {status}");
            outcome = Some(format!("{role}: refused"));
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let _ = child.kill().await;
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(!said.contains("panicked"), "{said}");
    let outcome = outcome.unwrap_or_else(|| panic!("{role} neither answers nor ends: {said}"));
    if outcome.ends_with("refused") {
        assert!(said.contains("index"), "it does not say what is wrong: {said}");
    }
    outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_says_so_and_reindex_brings_it_back() {
    let archive = Archive::new().await;
    for seed in 0..PROGRAM_SEEDS {
        let (folder, url, what) = archive.damaged(1000 + seed);
        let folder = folder.path();
        configure(&archive.bed, folder, &url, "");
        let play = answers_or_ends(folder, "play").await;
        let run = answers_or_ends(folder, "run").await;
        let (code, said) = evertape(folder, &["check", "--deep"]).await;
        assert!(code.is_some_and(|c| (0..=2).contains(&c)) && !said.contains("panicked"), "{code:?}: {said}");
        let first = said.lines().find(|l| l.contains("damage") || l.contains("evertape:")).unwrap_or("").trim();
        println!("{what}: {play}, {run}, check --deep: {code:?} {first}");
        // The way out: another file, from the bucket.
        configure(&archive.bed, folder, &format!("sqlite:{}/new.db", folder.display()), "");
        let (code, said) = evertape(folder, &["reindex"]).await;
        assert_eq!(code, Some(0), "{said}");
        let index = index::open(&format!("sqlite:{}/new.db", folder.display())).await.unwrap();
        for (stream, rows) in &archive.rows {
            assert_eq!(&index.rows(stream, all_time(), None, usize::MAX).await.unwrap(), rows);
        }
        let (code, said) = evertape(folder, &["check", "--deep"]).await;
        assert_eq!(code, Some(0), "{said}");
    }
}
