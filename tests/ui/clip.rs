//! Clips with a clock in the picture that a program can read: the number of the picture as black and white boxes, and
//! below it the same number with every bit turned over.
//!
//! Comes in: which pictures, in what codec, with which sounds. Goes out: MPEG-TS. `ui/e2e/clock.mjs` reads the numbers.

use std::ops::Range;
use std::path::Path;
use std::process::Stdio;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Pictures a second of every clip: few, so that hours of archive are made in seconds.
pub const FPS: i64 = 10;
/// Boxes side by side: enough for weeks of pictures.
pub const BITS: usize = 24;
pub const WIDTH: usize = 256;
pub const HEIGHT: usize = 144;
const DARK: u8 = 30;
const BRIGHT: u8 = 220;

/// How a clip is made.
pub struct Clip {
    /// Numbers of its pictures.
    pub pictures: Range<i64>,
    /// H.265 instead of H.264: Debian's Chromium does not play it.
    pub is_hevc: bool,
    /// Languages of its sound tracks, ISO 639-2; each has a tone of its own.
    pub sounds: &'static [&'static str],
}

impl Clip {
    /// Writes the clip.
    pub async fn write(&self, path: &Path) {
        let count = self.pictures.end - self.pictures.start;
        let (fps, size) = (FPS.to_string(), format!("{WIDTH}x{HEIGHT}"));
        let key_frames = (FPS * 2).to_string();
        let mut command = Command::new("ffmpeg");
        command
            .args(["-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", &size, "-r", &fps, "-i", "-"]);
        for n in 0..self.sounds.len() {
            let seconds = format!("{}.{}", (count - 1) / FPS, (count - 1) % FPS);
            let tone = format!("sine=frequency={}:sample_rate=48000:duration={seconds}", 440 + 220 * n);
            command.args(["-f", "lavfi", "-i", &tone]);
        }
        command.args(["-map", "0:v"]);
        for (n, language) in self.sounds.iter().enumerate() {
            command.args(["-map", &format!("{}:a", n + 1)]);
            command.args([&format!("-metadata:s:a:{n}"), &format!("language={language}")]);
        }
        let x265 = format!("keyint={key_frames}:min-keyint={key_frames}:scenecut=0:log-level=error");
        match self.is_hevc {
            true => command.args(["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", &x265]),
            false => command.args([
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-crf",
                "20",
                "-bf",
                "2",
                "-g",
                &key_frames,
                "-sc_threshold",
                "0",
            ]),
        };
        // Far from zero, and both tracks begin with the first picture: its wall time is the clip's.
        command.args(["-c:a", "aac", "-b:a", "48k", "-muxdelay", "0", "-output_ts_offset", "10", "-f", "mpegts"]);
        let mut child = command
            .arg(path)
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|e| panic!("ffmpeg cannot be started ({e}); run `scripts/install-deps test`"));
        let mut input = child.stdin.take().expect("a pipe");
        let mut picture = backdrop();
        for number in self.pictures.clone() {
            draw(&mut picture, number);
            input.write_all(&picture).await.expect("ffmpeg reads");
        }
        drop(input);
        assert!(child.wait().await.expect("ffmpeg ends").success(), "ffmpeg cannot make {}", path.display());
    }
}

/// Colours in the lower half, so that pictures look like some; the boxes' part is grey.
fn backdrop() -> Vec<u8> {
    const BARS: [(u8, u8, u8); 8] = [
        (235, 128, 128),
        (210, 16, 146),
        (170, 166, 16),
        (145, 54, 34),
        (106, 202, 222),
        (81, 90, 240),
        (41, 240, 110),
        (60, 128, 128),
    ];
    let bar = |x: usize, width: usize| BARS[x * BARS.len() / width];
    let mut planes = vec![128u8; WIDTH * HEIGHT * 3 / 2];
    for y in HEIGHT / 2..HEIGHT {
        for x in 0..WIDTH {
            planes[y * WIDTH + x] = bar(x, WIDTH).0;
        }
    }
    let (wide, high) = (WIDTH / 2, HEIGHT / 2);
    for y in high / 2..high {
        for x in 0..wide {
            let at = WIDTH * HEIGHT + y * wide + x;
            planes[at] = bar(x, wide).1;
            planes[at + wide * high] = bar(x, wide).2;
        }
    }
    planes
}

fn draw(planes: &mut [u8], number: i64) {
    let is_set = |x: usize| number >> (x * BITS / WIDTH) & 1 == 1;
    let row =
        |bright: bool| -> Vec<u8> { (0..WIDTH).map(|x| if is_set(x) == bright { BRIGHT } else { DARK }).collect() };
    let rows = [row(true), row(false)];
    for y in 0..HEIGHT / 2 {
        planes[y * WIDTH..(y + 1) * WIDTH].copy_from_slice(&rows[usize::from(y >= HEIGHT / 4)]);
    }
    // Something that moves.
    let at = usize::try_from(number.rem_euclid(WIDTH as i64 / 4)).expect("not below zero") * 4;
    for y in HEIGHT * 15 / 16..HEIGHT {
        let row = &mut planes[y * WIDTH..(y + 1) * WIDTH];
        row.fill(DARK);
        row[at..at + 4].fill(BRIGHT);
    }
}
