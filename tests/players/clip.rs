//! Clips whose frames carry their number in black and white boxes, and the reader of such numbers.

use std::ops::Range;
use std::path::Path;
use std::process::Stdio;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Frames a second of every clip.
pub const FPS: i64 = 25;

/// Boxes side by side in a row. Two rows: the number, and below it the number with every bit turned over.
const BITS: usize = 16;
const DARK: u8 = 30;
const BRIGHT: u8 = 220;

/// How a clip is made.
pub struct Clip {
    /// Numbers of its frames.
    pub frames: Range<i64>,
    pub width: usize,
    pub height: usize,
    /// Of libx264.
    pub profile: &'static str,
    /// Audio: sample rate and channels.
    pub sound: (u32, u32),
}

impl Clip {
    /// Writes the clip as MPEG-TS. Its timestamps begin at `offset_frames`.
    pub async fn write(&self, path: &Path, offset_frames: i64) {
        let (size, count) = (format!("{}x{}", self.width, self.height), self.frames.end - self.frames.start);
        let seconds = |frames: i64| format!("{}.{:02}", frames / FPS, frames % FPS * 4);
        let (rate, channels) = (self.sound.0.to_string(), self.sound.1.to_string());
        // The encoder adds a packet before it: so the sound does not reach into a clip that is joined on.
        let tone = format!("sine=frequency=440:sample_rate={rate}:duration={}", seconds(count - 1));
        // Far from zero: or the muxer moves what would be negative, and a clip that is joined on would overlap.
        let (fps, offset) = (FPS.to_string(), seconds(offset_frames + 10 * FPS));
        let mut child = Command::new("ffmpeg")
            .args(["-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "gray", "-s", &size, "-r", &fps, "-i", "-"])
            .args(["-f", "lavfi", "-i", &tone, "-c:v", "libx264", "-preset", "veryfast", "-profile:v", self.profile])
            .args(["-pix_fmt", "yuv420p", "-g", &fps, "-sc_threshold", "0", "-bf", "2"])
            // Both tracks begin with the first frame: its wall time is the clip's.
            .args(["-c:a", "aac", "-b:a", "64k", "-ar", &rate, "-ac", &channels, "-muxdelay", "0"])
            .args(["-output_ts_offset", &offset, "-f", "mpegts"])
            .arg(path)
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|e| panic!("ffmpeg cannot be started ({e}); run `scripts/install-deps test`"));
        let mut input = child.stdin.take().expect("a pipe");
        for number in self.frames.clone() {
            input.write_all(&self.picture(number)).await.expect("ffmpeg reads");
        }
        drop(input);
        assert!(child.wait().await.expect("ffmpeg ends").success(), "ffmpeg cannot make {}", path.display());
    }

    fn picture(&self, number: i64) -> Vec<u8> {
        let (width, height) = (self.width, self.height);
        let mut luma = vec![128u8; width * height];
        for y in height / 4..height * 3 / 4 {
            for x in 0..width {
                let bit = number >> (x * BITS / width) & 1 == 1;
                luma[y * width + x] = if bit == (y < height / 2) { BRIGHT } else { DARK };
            }
        }
        // Something that moves, so that no two pictures compress to the same.
        let bar = number as usize * 4 % width;
        for row in luma.chunks_exact_mut(width).skip(height * 7 / 8) {
            row[bar..(bar + 8).min(width)].fill(BRIGHT);
        }
        luma
    }
}

/// The number in a picture; `None` where the boxes are not plainly black and white.
pub fn number_of(luma: &[u8], width: usize, height: usize) -> Option<i64> {
    let mut number = 0;
    for bit in 0..BITS {
        let x = (2 * bit + 1) * width / (2 * BITS);
        let upper = *luma.get(height * 3 / 8 * width + x)?;
        let lower = *luma.get(height * 5 / 8 * width + x)?;
        if upper.abs_diff(lower) < 100 {
            return None;
        }
        number |= i64::from(upper > lower) << bit;
    }
    Some(number)
}

/// Joins MPEG-TS files so that the continuity counters go on.
pub fn join(parts: &[&Path], whole: &Path) {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend(std::fs::read(part).expect("a clip"));
    }
    let mut counters = std::collections::HashMap::new();
    for packet in bytes.chunks_exact_mut(188) {
        let pid = u16::from_be_bytes([packet[1], packet[2]]) & 0x1fff;
        let counter: &mut u8 = counters.entry(pid).or_insert(15);
        if packet[3] & 0x10 != 0 {
            *counter = (*counter + 1) % 16;
        }
        packet[3] = packet[3] & 0xf0 | *counter;
    }
    std::fs::write(whole, bytes).expect("written");
}
