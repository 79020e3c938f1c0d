//! JPEG files by an `ffmpeg` beside this process.
//!
//! Comes in: an MP4 of one picture. Goes out: a JPEG file, kept for whoever asks next. Bounded in time, in output and
//! in how many run at once; a process ends with the request that wanted it. Never: gives it an address or a file
//! name, so that nothing in the media can make it open one.

use crate::web::problem::Problem;
use bytes::Bytes;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::Semaphore;

/// What an operator may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JpegOptions {
    /// Program, by path or by name.
    pub ffmpeg: PathBuf,
    /// Width of the pictures.
    pub width: u32,
    /// Most processes at once.
    pub processes: usize,
}

/// One picture takes some hundredths of a second.
const MADE_WITHIN: Duration = Duration::from_secs(8);
/// Longest wait for a place; who waits longer is told to come again.
const PLACE_WITHIN: Duration = Duration::from_secs(8);
/// Largest JPEG file.
const LARGEST_BYTES: u64 = 8 << 20;
/// As much of what it complains is kept for the log.
const COMPLAINT_BYTES: u64 = 4096;
/// Files kept.
const CACHE_BYTES: u64 = 32 << 20;
/// To print its version.
const STARTS_WITHIN: Duration = Duration::from_secs(10);

/// See the module.
pub struct Jpegs {
    options: JpegOptions,
    places: Semaphore,
    made: moka::future::Cache<String, Bytes>,
}

impl Jpegs {
    pub fn new(options: JpegOptions) -> Self {
        let made = moka::future::Cache::builder()
            .weigher(|key: &String, jpeg: &Bytes| u32::try_from(key.len() + jpeg.len()).unwrap_or(u32::MAX))
            .max_capacity(CACHE_BYTES)
            .build();
        Self { places: Semaphore::new(options.processes.max(1)), options, made }
    }

    /// The JPEG of what `mp4` gives, which is asked for only when it is not kept under `name`. Several who ask at once
    /// wait for one process.
    pub async fn of(&self, name: String, mp4: impl Future<Output = Result<Bytes, Problem>>) -> Result<Bytes, Problem> {
        let make = async {
            let place = tokio::time::timeout(PLACE_WITHIN, self.places.acquire()).await;
            let Ok(Ok(_place)) = place else {
                return Err(Problem::unavailable("Too many pictures are being made. Try again in a moment."));
            };
            let made = tokio::time::timeout(MADE_WITHIN, self.run(mp4.await?)).await;
            made.unwrap_or_else(|_| {
                tracing::warn!(program = %self.options.ffmpeg.display(), "a picture took too long");
                Err(Problem::unavailable("Making the picture took too long. Try again in a moment."))
            })
        };
        self.made.try_get_with(name, make).await.map_err(|problem| Problem::clone(&problem))
    }

    async fn run(&self, mp4: Bytes) -> Result<Bytes, Problem> {
        let failed = |error: std::io::Error| {
            tracing::error!(%error, program = %self.options.ffmpeg.display(), "a picture cannot be made; see [preview] ffmpeg");
            Problem::internal()
        };
        // Square pixels; never enlarged.
        let scale = format!("scale=w=trunc(min({}\\,ih*dar)/2)*2:h=trunc(ow/dar/2)*2,setsar=1", self.options.width);
        let mut child = Command::new(&self.options.ffmpeg)
            .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-threads", "1"])
            .args(["-protocol_whitelist", "pipe", "-f", "mov", "-i", "pipe:0", "-frames:v", "1", "-an", "-vf", &scale])
            .args(["-pix_fmt", "yuvj420p", "-c:v", "mjpeg", "-q:v", "4", "-f", "mjpeg"])
            .args(["-protocol_whitelist", "pipe", "pipe:1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (Some(mut stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed(std::io::Error::other("it has no pipes")));
        };
        let write = async {
            // It may end before it has read all; what it made counts.
            let _ = stdin.write_all(&mp4).await;
            drop(stdin);
        };
        let (mut jpeg, mut complaint) = (Vec::new(), Vec::new());
        let read = async {
            let mut stdout = stdout.take(LARGEST_BYTES + 1);
            let read = stdout.read_to_end(&mut jpeg).await;
            drop(stdout);
            read
        };
        let listen = async {
            let mut stderr = stderr.take(COMPLAINT_BYTES);
            let heard = stderr.read_to_end(&mut complaint).await;
            // The rest is taken and thrown away, or it would wait for ever.
            let _ = tokio::io::copy(&mut stderr.into_inner(), &mut tokio::io::sink()).await;
            heard
        };
        let ((), read, _) = tokio::join!(write, read, listen);
        read.map_err(failed)?;
        let status = child.wait().await.map_err(failed)?;
        let is_jpeg = jpeg.starts_with(&[0xff, 0xd8, 0xff]) && jpeg.len() as u64 <= LARGEST_BYTES;
        if status.success() && is_jpeg {
            return Ok(jpeg.into());
        }
        let complaint = String::from_utf8_lossy(&complaint);
        tracing::error!(%status, complaint = complaint.trim(), bytes = jpeg.len(), "a picture could not be made");
        Err(Problem::internal())
    }
}

/// A name for the content.
pub fn tag(jpeg: &[u8]) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(jpeg);
    hex::encode(digest.get(..12).unwrap_or_default())
}

/// Why the program that would make JPEG files cannot: a sentence, or nothing when it starts.
pub async fn cannot_start(ffmpeg: &std::path::Path) -> Option<String> {
    let shown = ffmpeg.display();
    let started = Command::new(ffmpeg)
        .arg("-version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .status();
    match tokio::time::timeout(STARTS_WITHIN, started).await {
        Ok(Ok(status)) if status.success() => None,
        Ok(Ok(status)) => Some(format!("{shown} -version ended with {status}; name an ffmpeg, or leave the key out")),
        Ok(Err(error)) => {
            Some(format!("{shown} cannot be started ({error}); install it, give its path, or leave the key out"))
        }
        Err(_) => Some(format!("{shown} -version does not end; name an ffmpeg, or leave the key out")),
    }
}
