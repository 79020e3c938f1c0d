//! Players that are programs: ffmpeg, GStreamer and VLC. Each decodes to raw pictures, of which the numbers are read.

use super::cases::{Case, Container, Form};
use super::clip::{FPS, number_of};
use super::expect::Expected;
use super::process;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);
/// Pictures that are read of a playlist without an end.
const PICTURES: usize = 11 * FPS as usize;
/// Size to which the pictures are scaled before they are read.
const SIZE: (usize, usize) = (320, 192);

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn numbers(raw: &[u8]) -> Vec<Option<i64>> {
    raw.chunks_exact(SIZE.0 * SIZE.1).map(|picture| number_of(picture, SIZE.0, SIZE.1)).collect()
}

/// What a program without a clock of its own must decode: every picture, in order.
fn every_picture(case: &Case) -> Expected {
    let least = match case.form {
        Form::ArchiveGap => 20 * FPS as usize,
        Form::ArchiveCodec => 40 * FPS as usize,
        Form::ExportTs => 60 * FPS as usize,
        // Sent in real time.
        Form::StreamAbs | Form::StreamRel => 6 * FPS as usize,
        _ => PICTURES,
    };
    Expected { first: case.first_now(), least, most_missing: 0, last: case.last, seams: case.seams.clone() }
}

/// ffmpeg: the numbers of what it decodes, with options before the input.
async fn ffmpeg_frames(options: &str, url: &str, count: Option<usize>) -> Result<Vec<Option<i64>>, String> {
    let mut arguments = words("-v error");
    arguments.extend(words(options));
    arguments.extend(["-i".to_owned(), url.to_owned()]);
    arguments.extend(words("-map 0:v:0 -vf scale=320:192:flags=area,format=gray -fps_mode passthrough"));
    if let Some(count) = count {
        arguments.extend(["-frames:v".to_owned(), count.to_string()]);
    }
    arguments.extend(words("-f rawvideo -"));
    let ended = process::run("ffmpeg", &arguments, LIMIT).await?;
    if !ended.well {
        return Err(format!("ffmpeg failed: {}; {} pictures", ended.said, numbers(&ended.output).len()));
    }
    Ok(numbers(&ended.output))
}

/// ffmpeg plays a case.
pub async fn ffmpeg(case: &Case) -> Result<(), String> {
    let mut expected = every_picture(case);
    let (options, count) = match case.form {
        Form::ArchiveGap | Form::ArchiveCodec | Form::ExportTs => ("", None),
        Form::StreamAbs | Form::StreamRel => ("", Some(expected.least)),
        Form::Now => ("-prefer_x_start 1", Some(PICTURES)),
        Form::TimeshiftAbs | Form::TimeshiftRel => ("-live_start_index 0", Some(PICTURES)),
        Form::Live | Form::Rewind => ("", Some(4 * FPS as usize)),
    };
    if let Some(count) = count {
        expected.least = count;
    }
    if case.container == Container::Fmp4 {
        // Two faults of ffmpeg's HLS reader, see docs/players.md. After a discontinuity it leaves out the first
        // segment where the timestamps of a new run are below those before.
        expected.most_missing = 2 * FPS;
        expected.least -= 2 * FPS as usize;
        // And it keeps the first init segment: what follows a change of parameters cannot be decoded.
        let readable = match case.form {
            Form::ArchiveCodec => Some(10 * FPS as usize),
            Form::TimeshiftRel => Some(4 * FPS as usize),
            _ => None,
        };
        if let Some(readable) = readable {
            expected = Expected { least: readable, last: None, seams: vec![], ..expected };
            return expected.check(&ffmpeg_frames(options, &case.url(), Some(readable)).await?);
        }
    }
    expected.check(&ffmpeg_frames(options, &case.url(), count).await?)?;
    if case.form == Form::ArchiveGap {
        ffprobe(case).await?;
    }
    // In fMP4 HLS, its own included, ffmpeg 5.1 finds no picture after a seek. See docs/players.md.
    if case.form == Form::ArchiveGap && case.container == Container::Ts {
        let sought = ffmpeg_frames("-ss 5", &case.url(), Some(25)).await?;
        let at = expected.first.start + 5 * FPS;
        let slack = Expected { first: at - 3..at + 4, least: 25, most_missing: 0, last: None, seams: vec![] };
        slack.check(&sought).map_err(|e| format!("after a seek of 5 s: {e}"))?;
    }
    Ok(())
}

/// ffprobe finds both tracks and the length of what is listed.
async fn ffprobe(case: &Case) -> Result<(), String> {
    let mut arguments = words("-v error -show_entries stream=codec_name:format=duration -of json");
    arguments.push(case.url());
    let ended = process::run("ffprobe", &arguments, LIMIT).await?;
    let json: serde_json::Value = serde_json::from_slice(&ended.output).unwrap_or_default();
    let codecs: Vec<&str> =
        json["streams"].as_array().into_iter().flatten().filter_map(|s| s["codec_name"].as_str()).collect();
    let seconds = json["format"]["duration"].as_str().and_then(|d| d.parse::<f64>().ok()).unwrap_or(0.0);
    if codecs.contains(&"h264") && codecs.contains(&"aac") && (seconds - 20.0).abs() < 0.1 {
        Ok(())
    } else {
        Err(format!("ffprobe sees {codecs:?}, {seconds} s: {}", ended.said))
    }
}

/// GStreamer (`hlsdemux2`) plays a case.
pub async fn gstreamer(case: &Case) -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let raw = dir.path().join("pictures");
    // It knows no EXT-X-START: what grows is played from its live edge.
    let case = if case.form == Form::Now { &case.as_live() } else { case };
    let mut expected = every_picture(case);
    if matches!(case.form, Form::TimeshiftAbs | Form::TimeshiftRel) && case.container == Container::Fmp4 {
        // GStreamer 1.22 stops at a discontinuity of a sliding playlist, though not at one of a finished one; it
        // begins 4 s before it. See docs/players.md.
        expected.seams.clear();
        expected.least = 2 * FPS as usize;
    }
    let mut arguments = words("-q uridecodebin3 caps=video/x-raw");
    arguments.push(format!("uri={}", case.url()));
    arguments.extend(words("! videoconvert ! videoscale"));
    arguments.extend(words("! video/x-raw,format=GRAY8,width=320,height=192,pixel-aspect-ratio=1/1"));
    if case.last.is_none() {
        if case.first.is_none() {
            expected.least = 4 * FPS as usize;
        }
        arguments.extend(words("! identity"));
        arguments.push(format!("eos-after={}", expected.least + 1));
    }
    arguments.extend(words("! filesink"));
    arguments.push(format!("location={}", raw.display()));
    let ended = process::run("gst-launch-1.0", &arguments, LIMIT).await?;
    let mut frames = numbers(&std::fs::read(&raw).unwrap_or_default());
    if case.last.is_none() {
        // Some more come through after the end was ordered.
        frames.truncate(expected.least);
    }
    expected.check(&frames).map_err(|e| format!("{e}; it said: {}", ended.said))
}
