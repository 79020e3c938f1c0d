//! What others need for the same: ffmpeg and nginx, on the same files in the same run.

use super::archive::Clip;
use super::measure;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// CPU-seconds per second of media of `ffmpeg -c copy` to fMP4 HLS.
pub fn ffmpeg_to_fmp4_hls(clip: &Clip, dir: &Path, rounds: u32) -> f64 {
    let folder = dir.join("hls");
    std::fs::create_dir_all(&folder).expect("a folder");
    let (input, list) = (clip.path.to_str().expect("a path"), folder.join("out.m3u8"));
    let mut spent = Duration::ZERO;
    for _ in 0..rounds {
        spent += measure::run(
            "ffmpeg",
            &[
                "-y",
                "-v",
                "error",
                "-i",
                input,
                "-c",
                "copy",
                "-bsf:a",
                "aac_adtstoasc",
                "-f",
                "hls",
                "-hls_time",
                "6",
                "-hls_list_size",
                "0",
                "-hls_segment_type",
                "fmp4",
                list.to_str().expect("a path"),
            ],
        );
    }
    spent.as_secs_f64() / f64::from(rounds) / clip.seconds
}

/// `ffmpeg -c copy +faststart` of the hour.
pub fn print_faststart(file: &Path, dir: &Path) {
    let start = Instant::now();
    let out = dir.join("faststart.mp4");
    let arguments =
        ["-y", "-v", "error", "-i", file.to_str().expect("a path"), "-c", "copy", "-movflags", "+faststart"];
    let spent = measure::run("ffmpeg", &[&arguments[..], &[out.to_str().expect("a path")]].concat());
    let gb = std::fs::metadata(&out).expect("made").len() as f64 / 1e9;
    println!(
        "yardstick: ffmpeg -c copy +faststart                 {:>13.2} GB per CPU-second   {:.2} GB/s by the clock",
        gb / spent.as_secs_f64(),
        gb / start.elapsed().as_secs_f64()
    );
}

/// nginx sending the same file.
pub async fn print_static_file(file: &Path) {
    let dir = file.parent().expect("a folder").display().to_string();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let config = format!(
        "daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/nginx.err;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off; sendfile on; client_body_temp_path {dir}/nb; proxy_temp_path {dir}/np; fastcgi_temp_path {dir}/nf; \
         uwsgi_temp_path {dir}/nu; scgi_temp_path {dir}/ns; server {{ listen {address}; root {dir}; }} }}\n"
    );
    let path = format!("{dir}/nginx.conf");
    std::fs::write(&path, config).expect("written");
    let mut child = Command::new("nginx")
        .args(["-c", &path, "-e", &format!("{dir}/nginx.err")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nginx starts; run scripts/install-deps test");
    let url = format!("http://{address}/{}", file.file_name().and_then(|n| n.to_str()).expect("a name"));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let rounds = 4;
    let before = measure::process_cpu(child.id());
    for _ in 0..rounds {
        measure::run("curl", &["-s", "-f", "-o", "/dev/null", &url]);
    }
    let spent = measure::process_cpu(child.id()) - before;
    let gb = std::fs::metadata(file).expect("made").len() as f64 / 1e9 * f64::from(rounds);
    println!(
        "yardstick: nginx, static file                         {:>13.2} GB per CPU-second",
        gb / spent.as_secs_f64()
    );
    let _ = child.kill();
    let _ = child.wait();
}
