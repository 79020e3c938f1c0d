//! What viewers fetch, in random order: playlists, segments, heads and bodies of exports. Beside nginx serving the
//! same bytes as static files, the same client, in the same run. Each server has one processor core.

use super::archive::{Archive, SEGMENTS};
use super::loader;
use super::server::Server;
use super::yardsticks::Nginx;
use std::path::Path;
use std::time::Duration;

const WARM_UP: Duration = Duration::from_millis(700);
const MEASURED: Duration = Duration::from_secs(4);
/// Random windows: from 5 to 30 minutes.
const WINDOWS: usize = 4096;
/// Of the answers, so many become files for the yardstick.
const FILES: usize = 128;

/// What is fetched, and in what it is counted.
struct Figure {
    what: &'static str,
    paths: Vec<String>,
    headers: &'static str,
    in_bytes: bool,
}

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn windows(from: i64, print: impl Fn(i64, u64) -> String) -> Vec<String> {
    let mut numbers = Numbers(7);
    let window = |_| {
        let length = 300 + numbers.below(1501);
        let start = numbers.below(3600 - length);
        print(from + start as i64, length)
    };
    (0..WINDOWS).map(window).collect()
}

/// The URIs of an hour's media playlist; `None` when the node does not make this kind.
async fn segments(server: &Server, archive: &Archive, tracks: &str, kind: &str) -> Option<Vec<String>> {
    let url = server.url(&format!("bench/tracks-{tracks}/archive-{}-3600.{kind}.m3u8", archive.from));
    let text = server.try_get(&url).await?;
    let text = String::from_utf8(text.to_vec()).expect("a playlist");
    let folder = text.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split("segment/").nth(1));
    let paths: Vec<String> = folder.map(|rest| format!("/bench/segment/{rest}")).collect();
    assert_eq!(paths.len() as u64, SEGMENTS, "{url}: {text}");
    Some(paths)
}

async fn figures(server: &Server, archive: &Archive) -> Vec<Figure> {
    let from = archive.from;
    let list = |start: i64, length: u64| format!("/bench/tracks-v1/archive-{start}-{length}.fmp4.m3u8");
    let export = |start: i64, length: u64| format!("/bench/archive-{start}-{length}.mp4");
    let figure = |what, paths, in_bytes| Figure { what, paths, headers: "", in_bytes };
    let mut figures = vec![
        figure("random playlists, 5 to 30 min", windows(from, list), false),
        figure("1-hour playlist", vec![list(from, 3600)], false),
    ];
    for (what, tracks, kind) in [("fMP4 segments", "v1", "fmp4"), ("TS segments", "v1a1", "ts")] {
        match segments(server, archive, tracks, kind).await {
            Some(paths) => figures.push(figure(what, paths, true)),
            None => println!("{what}: this node does not make them"),
        }
    }
    figures.push(Figure {
        headers: "Range: bytes=0-65535\r\n",
        ..figure("64 KiB heads of random exports", windows(from, export), false)
    });
    let bodies = (0..12).map(|n| export(from + n * 300, 300)).collect();
    figures.push(figure("whole export bodies", bodies, true));
    figures
}

/// Prints them all.
pub async fn print(name: &str, server: &Server, archive: &Archive, dir: &Path) {
    for figure in figures(server, archive).await {
        let ours = measure(|time| loader::run(server.address(), &figure.paths, figure.headers, time), || server.cpu());
        let folder = dir.join(format!("static-{name}-{}", figure.what.replace([' ', ','], "-")));
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut files = Vec::new();
        for (n, path) in figure.paths.iter().step_by(figure.paths.len().div_ceil(FILES)).enumerate() {
            let answer = server.get_with(&server.url(path.trim_start_matches('/')), figure.headers).await;
            std::fs::write(folder.join(n.to_string()), answer).expect("written");
            files.push(format!("/{n}"));
        }
        let nginx = Nginx::start(&folder);
        let theirs = measure(|time| loader::run(nginx.address, &files, "", time), || nginx.cpu());
        drop(nginx);
        std::fs::remove_dir_all(&folder).expect("removed");
        let (ours, theirs, unit) = match figure.in_bytes {
            true => (ours.1 / 1e9, theirs.1 / 1e9, "GB"),
            false => (ours.0, theirs.0, ""),
        };
        let digits = if figure.in_bytes { 2 } else { 0 };
        super::super::line(
            &format!("{name}: {}", figure.what),
            format!("{ours:.digits$} {unit} per CPU-second"),
            format!("nginx: {theirs:.digits$} {unit}; ratio {:.2}", ours / theirs),
        );
    }
}

/// Requests and bytes for each CPU-second of the server.
fn measure(load: impl Fn(Duration) -> loader::Load, cpu: impl Fn() -> Duration) -> (f64, f64) {
    load(WARM_UP);
    let before = cpu();
    let done = load(MEASURED);
    let spent = (cpu() - before).as_secs_f64();
    (done.requests as f64 / spent, done.body_bytes as f64 / spent)
}
