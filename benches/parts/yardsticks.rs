//! What others need for the same: ffmpeg and nginx, on the same files in the same run.

use super::archive::Clip;
use super::measure;
use std::path::Path;
use std::process::{Child, Command, Stdio};
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

/// nginx serving a folder on one core, ended when dropped.
pub struct Nginx {
    child: Child,
    pub address: std::net::SocketAddr,
}

impl Nginx {
    pub fn start(folder: &Path) -> Self {
        let dir = folder.display();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let config = format!(
            "daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/nginx.err;\n\
             events {{ worker_connections 256; }}\n\
             http {{ access_log off; sendfile on; tcp_nopush on; open_file_cache max=1000; keepalive_requests 100000000; \
             client_body_temp_path {dir}/nb; proxy_temp_path {dir}/np; fastcgi_temp_path {dir}/nf; \
             uwsgi_temp_path {dir}/nu; scgi_temp_path {dir}/ns; server {{ listen {address}; root {dir}; }} }}\n"
        );
        let path = format!("{dir}/nginx.conf");
        std::fs::write(&path, config).expect("written");
        let child = Command::new("taskset")
            .args(["--cpu-list", "0", "nginx", "-c", &path, "-e", &format!("{dir}/nginx.err")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx starts; run scripts/install-deps test");
        // Dropped, it ends, also where it does not answer.
        let nginx = Self { child, address };
        for _ in 0..100 {
            if std::net::TcpStream::connect(address).is_ok() {
                return nginx;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("nginx does not answer");
    }

    pub fn cpu(&self) -> measure::Cpu {
        measure::process_cpu(self.child.id())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
