//! `make bench`: the figures of the product, each beside its yardstick, in one run on one machine.
//!
//! CPU-seconds are the kernel's own accounting of whole processes (`/proc/PID/stat`, or the waited-for children),
//! so a busy machine changes them little; ratios are between things measured in this run.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../tests/support/mod.rs"]
mod support;

mod parts {
    pub mod archive;
    pub mod delivery;
    pub mod loader;
    pub mod measure;
    pub mod server;
    pub mod yardsticks;
}

use parts::archive::{self, Archive};
use parts::delivery;
use parts::measure::{self, Cpu};
use parts::server::Server;
use parts::yardsticks;
use std::time::Duration;

const EXPORTS_AT_ONCE: usize = 10;

fn main() {
    // Test runners start this too, without `--bench`; there is nothing to check in that.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(figures());
}

fn line(what: &str, value: String, yardstick: String) {
    println!("{what:<52} {value:>26}   {yardstick}");
}

/// Figures to print: those whose name holds a word of the command line (`cargo bench --bench figures -- directory`),
/// or all.
fn wanted(name: &str) -> bool {
    let mut words = std::env::args().skip(1).filter(|a| !a.starts_with('-')).peekable();
    words.peek().is_none() || words.any(|word| name.contains(&word))
}

async fn figures() {
    println!("{:<52} {:>26}   yardstick in the same run", "figure", "evertape");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let clip = archive::clip(dir.path());
    if wanted("ingest") {
        ingest(&clip, dir.path());
    }

    println!("\nOne hour of {:.2} Mbit/s, {} segments", clip.mbit_per_s(), archive::SEGMENTS);
    if wanted("directory") {
        let archive = Archive::in_folder(dir.path(), &clip).await;
        served("directory", &archive, dir.path()).await;
        let one_file = archive.whole_export(dir.path()).await;
        yardsticks::print_faststart(&one_file, dir.path());
    }
    if wanted("S3") {
        // Garage.
        let archive = Archive::in_s3(dir.path(), &clip).await;
        served("S3", &archive, dir.path()).await;
    }
}

async fn served(name: &str, archive: &Archive, dir: &std::path::Path) {
    let server = Server::start(archive).await;
    delivery::print(name, &server, archive, dir).await;
    exports(name, &server, archive).await;
}

/// TS to CMAF objects, beside `ffmpeg -c copy` to fMP4 HLS.
fn ingest(clip: &archive::Clip, dir: &std::path::Path) {
    let rounds = 8;
    archive::to_cmaf(clip);
    let before = measure::thread_cpu();
    let mut segments = 0;
    for _ in 0..rounds {
        segments = archive::to_cmaf(clip).len();
    }
    let ours = (measure::thread_cpu() - before).as_secs_f64() / f64::from(rounds) / clip.seconds;
    let theirs = yardsticks::ffmpeg_to_fmp4_hls(clip, dir, 5);
    line(
        "TS to CMAF, CPU-ms per second of media",
        format!("{:.3} ({segments} segments)", ours * 1e3),
        format!("ffmpeg -c copy to fMP4 HLS: {:.3}; ratio {:.2}", theirs * 1e3, ours / theirs),
    );
}

async fn exports(name: &str, server: &Server, archive: &Archive) {
    let url = server.url(&format!("bench/archive-{}-3600.mp4", archive.from));
    let cold = server.first_byte(&url).await;
    let warm: Duration = server.first_byte(&url).await;
    line(
        &format!("{name}: 1-hour MP4, first byte"),
        format!("{:.1} ms", cold.as_secs_f64() * 1e3),
        format!("{:.1} ms when asked again", warm.as_secs_f64() * 1e3),
    );
    let before = (server.cpu(), std::time::Instant::now());
    let bytes = server.drain(&url).await;
    let (spent, took): (Cpu, Duration) = (server.cpu() - before.0, before.1.elapsed());
    let gb = bytes as f64 / 1e9;
    line(
        &format!("{name}: 1-hour MP4, {gb:.2} GB"),
        format!("{:.2} GB per CPU-second", gb / spent.as_secs_f64()),
        format!("{:.2} GB/s by the clock", gb / took.as_secs_f64()),
    );
    let idle_kb = server.resident_kb();
    let all = (0..EXPORTS_AT_ONCE).map(|_| server.drain(&url));
    let watch = server.peak_while(futures::future::join_all(all)).await;
    line(
        &format!("{name}: memory while {EXPORTS_AT_ONCE} such exports run"),
        format!("{:.1} MB at most", watch as f64 / 1e3),
        format!(
            "{:.1} MB before; {:.1} MB for each export",
            idle_kb as f64 / 1e3,
            watch.saturating_sub(idle_kb) as f64 / 1e3 / EXPORTS_AT_ONCE as f64
        ),
    );
}
