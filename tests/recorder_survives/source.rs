//! A live source for real recorder processes: one clip, sent over HTTP to whoever connects, again and again without a
//! seam: its timestamps and continuity counters go on. In real time, or faster; then it states the time (TDT), because
//! the time of arrival says nothing any more.

use evertape::container::{MediaEvent, mpegts::TsDemuxer};
use evertape::media::{TrackKind, UtcUs};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// So that the end of a connection is a break, not an end.
const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nContent-Length: 1000000000000\r\nConnection: close\r\n\r\n";
/// Seconds of the clip: whole numbers of pictures and of sounds fit into them.
const SECONDS: i64 = 96;
/// Pictures and sounds in it.
const COUNTS: [usize; 2] = [2400, 4500];
/// Pictures in a second.
pub const PICTURES_PER_SECOND: i64 = 25;
const TICKS: i64 = 90_000;
const PACKET: usize = 188;
const WRAP: i64 = 1 << 33;
const TDT_PID: u16 = 0x14;
/// A TDT comes behind so many PCRs of its second: whoever has just connected knows the program and its clock by then, and
/// has not seen a sync sample.
const TDT_BEHIND: usize = 4;

/// What is sent, and where each sample is in it.
pub struct Clip {
    packets: Vec<u8>,
    /// Where each second begins: with the first packet whose PCR has reached it.
    seconds: Vec<usize>,
    /// Packets with payload of each PID, modulo 16: so far do the continuity counters get in one round.
    counters: HashMap<u16, u8>,
    /// Number and DTS of each sample, video and audio, by its bytes: no two are alike.
    numbers: [HashMap<Vec<u8>, (usize, i64)>; 2],
}

impl Clip {
    /// Pictures and noise that never repeat, a sync sample each half second, none of them where a second begins.
    pub async fn make(dir: &Path) -> Arc<Self> {
        let path = dir.join("live.ts");
        let arguments = "-y -v error -f lavfi -i testsrc2=s=160x96:r=25:d=99 \
             -f lavfi -i anoisesrc=r=48000:d=99:seed=7:a=0.3 -c:v libx264 -preset ultrafast -bf 2 -g 250 \
             -force_key_frames expr:gte(t,n_forced*0.5-0.2) -sc_threshold 0 -pix_fmt yuv420p -c:a aac -b:a 64k -pes_payload_size 0";
        let arguments: Vec<&str> = arguments.split(' ').filter(|a| !a.is_empty()).collect();
        let status = tokio::process::Command::new("ffmpeg").args(&arguments).arg(&path).status().await;
        assert!(status.expect("ffmpeg starts; run `scripts/install-deps test`").success(), "ffmpeg {arguments:?}");
        let packets = first_of_each(&std::fs::read(&path).expect("a clip"));
        let mut events = Vec::new();
        let mut demuxer = TsDemuxer::new();
        demuxer.push(&packets, &mut events);
        demuxer.flush(&mut events);
        let video = events.iter().find_map(|e| match e {
            MediaEvent::Track { track, params } if params.kind() == TrackKind::Video => Some(*track),
            _ => None,
        });
        let mut numbers = [HashMap::new(), HashMap::new()];
        for event in events {
            if let MediaEvent::Sample(sample) = event {
                let of = &mut numbers[usize::from(Some(sample.track) != video)];
                let number = (of.len(), sample.dts.0);
                assert_eq!(of.insert(sample.data.to_vec(), number), None, "two samples of the clip are alike");
            }
        }
        assert_eq!([numbers[0].len(), numbers[1].len()], COUNTS);
        let (mut seconds, mut counters) = (vec![0], HashMap::new());
        let mut first_pcr = None;
        for (at, packet) in packets.chunks_exact(PACKET).enumerate() {
            if let Some(pcr) = pcr(packet) {
                let since = pcr - *first_pcr.get_or_insert(pcr);
                while since >= seconds.len() as i64 * TICKS && (seconds.len() as i64) < SECONDS {
                    seconds.push(at * PACKET);
                }
            }
            if packet[3] & 0x10 != 0 {
                *counters.entry(pid(packet)).or_insert(0_u8) += 1;
                counters.entry(pid(packet)).and_modify(|count| *count &= 15);
            }
        }
        assert_eq!(seconds.len() as i64, SECONDS, "a second without a PCR");
        Arc::new(Self { packets, seconds, counters, numbers })
    }

    /// Which picture (`kind` 0) or sound (1) of the whole stream, all rounds counted, has these bytes at this media
    /// time. `None` when it was never sent.
    pub fn number(&self, kind: usize, data: &[u8], dts_ticks: i64) -> Option<usize> {
        let (number, dts) = self.numbers[kind].get(data)?;
        let since = (dts_ticks - dts).rem_euclid(WRAP);
        let round = since / (SECONDS * TICKS);
        let off = since - round * SECONDS * TICKS;
        (off == 0).then(|| number + usize::try_from(round).unwrap_or(0) * COUNTS[kind])
    }

    /// The packets of second `second` of the whole stream.
    fn second(&self, second: i64, stated: Option<UtcUs>) -> Vec<u8> {
        let (round, n) = (second / SECONDS, (second % SECONDS) as usize);
        let range = self.seconds[n]..self.seconds.get(n + 1).copied().unwrap_or(self.packets.len());
        let mut out = Vec::with_capacity(range.len() + PACKET);
        let mut pcrs = 0;
        for packet in self.packets[range].chunks_exact(PACKET) {
            let mut packet = packet.to_vec();
            let steps = self.counters.get(&pid(&packet)).copied().unwrap_or(0);
            packet[3] = packet[3] & 0xf0 | (packet[3] & 0x0f).wrapping_add((round as u8).wrapping_mul(steps)) & 0x0f;
            shift_times(&mut packet, round * SECONDS * TICKS);
            out.extend_from_slice(&packet);
            if pcr(&packet).is_some() {
                pcrs += 1;
                if let (TDT_BEHIND, Some(utc)) = (pcrs, stated) {
                    out.extend_from_slice(&tdt(utc, second));
                }
            }
        }
        out
    }
}

/// The packets of as many pictures and sounds as the clip has; each is a PES packet of its own.
fn first_of_each(packets: &[u8]) -> Vec<u8> {
    let mut seen: HashMap<u16, (usize, usize)> = HashMap::new();
    let mut out = Vec::with_capacity(packets.len());
    for packet in packets.chunks_exact(PACKET) {
        let most = pes_at(packet).map(|at| COUNTS[usize::from(packet[at + 3] & 0xf0 != 0xe0)]);
        if let Some(most) = most {
            seen.entry(pid(packet)).or_insert((0, most)).0 += 1;
        }
        if seen.get(&pid(packet)).is_none_or(|(count, most)| count <= most) {
            out.extend_from_slice(packet);
        }
        if seen.len() == 2 && seen.values().all(|(count, most)| count > most) {
            break;
        }
    }
    out
}

/// Where a PES packet begins.
fn pes_at(packet: &[u8]) -> Option<usize> {
    let start = if packet[3] & 0x20 != 0 { 5 + usize::from(packet[4]) } else { 4 };
    let has_payload = packet[3] & 0x10 != 0;
    (packet[1] & 0x40 != 0 && has_payload && packet.get(start..start + 3) == Some(&[0, 0, 1])).then_some(start)
}

fn pid(packet: &[u8]) -> u16 {
    u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2])
}

/// The PCR's base, in ticks (ISO/IEC 13818-1 2.4.3.5).
fn pcr(packet: &[u8]) -> Option<i64> {
    let has = packet[3] & 0x20 != 0 && packet[4] >= 7 && packet[5] & 0x10 != 0;
    has.then(|| {
        packet[6..10].iter().fold(0, |base, byte| base << 8 | i64::from(*byte)) << 1 | i64::from(packet[10] >> 7)
    })
}

/// Adds to PCR, PTS and DTS.
fn shift_times(packet: &mut [u8], by: i64) {
    if let Some(pcr) = pcr(packet) {
        let base = (pcr + by) % WRAP;
        packet[6..10].copy_from_slice(&((base >> 1) as u32).to_be_bytes());
        packet[10] = packet[10] & 0x7f | ((base & 1) as u8) << 7;
    }
    let Some(start) = pes_at(packet) else { return };
    let fields = match packet[start + 7] >> 6 {
        3 => 2,
        2 => 1,
        _ => 0,
    };
    for field in 0..fields {
        let at = start + 9 + 5 * field;
        let bytes = &mut packet[at..at + 5];
        let time = i64::from(bytes[0] >> 1 & 7) << 30
            | i64::from(bytes[1]) << 22
            | i64::from(bytes[2] >> 1) << 15
            | i64::from(bytes[3]) << 7
            | i64::from(bytes[4] >> 1);
        let time = (time + by) % WRAP;
        bytes[0] = bytes[0] & 0xf1 | ((time >> 30) as u8 & 7) << 1;
        bytes[1] = (time >> 22) as u8;
        bytes[2] = ((time >> 15) as u8) << 1 | 1;
        bytes[3] = (time >> 7) as u8;
        bytes[4] = (time as u8) << 1 | 1;
    }
}

/// A packet with a TDT (EN 300 468 5.2.5, annex C).
fn tdt(utc: UtcUs, counter: i64) -> Vec<u8> {
    let seconds = utc.0 / 1_000_000;
    let day = u16::try_from(seconds / 86_400 + 40_587).expect("a day before 2038");
    let bcd = |n: i64| (((n / 10) << 4) | (n % 10)) as u8;
    let of_day = seconds % 86_400;
    let mut packet = vec![0x47, 0x40 | (TDT_PID >> 8) as u8, TDT_PID as u8, 0x10 | (counter & 15) as u8, 0];
    packet.extend([0x70, 0x70, 5]);
    packet.extend(day.to_be_bytes());
    packet.extend([bcd(of_day / 3600), bcd(of_day / 60 % 60), bcd(of_day % 60)]);
    packet.resize(PACKET, 0xff);
    packet
}

/// How fast a source is, and whether it says what time it is.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Seconds of media in a second.
    pub speed: u32,
    /// Wall time of the beginning, in whole seconds, where it is stated.
    pub stated: Option<UtcUs>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { speed: 1, stated: None }
    }
}

impl Pace {
    /// Microseconds of media that have been sent when the source has been under way for `time`.
    pub fn media_us(&self, time: Duration) -> i64 {
        i64::try_from(time.as_micros()).unwrap_or(i64::MAX) * i64::from(self.speed)
    }
}

/// A source under way.
pub struct Live {
    pub url: String,
    paused: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Live {
    /// Begins to send; the clip's beginning is at `began`, for everybody who connects.
    pub async fn start(clip: Arc<Clip>, began: Instant) -> Self {
        Self::paced(clip, began, Pace::default()).await
    }

    /// As [`Live::start`], at another pace.
    pub async fn paced(clip: Arc<Clip>, began: Instant, pace: Pace) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/live.ts", listener.local_addr().expect("an address"));
        let paused = Arc::new(AtomicBool::new(false));
        let cut = paused.clone();
        let task = tokio::spawn(async move {
            let mut clients = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                clients.spawn(serve(client, clip.clone(), began, pace, cut.clone()));
            }
        });
        Self { url, paused, task }
    }

    /// Cuts all connections and takes no new ones, or takes them again.
    pub fn set_cut(&self, cut: bool) {
        self.paused.store(cut, Ordering::Relaxed);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: TcpStream, clip: Arc<Clip>, began: Instant, pace: Pace, cut: Arc<AtomicBool>) -> Option<()> {
    let mut request = [0; 2048];
    // Whatever is asked, the answer is the same.
    let _asked_bytes = client.read(&mut request).await.ok()?;
    if cut.load(Ordering::Relaxed) {
        return None;
    }
    client.write_all(HEAD).await.ok()?;
    let mut second = pace.media_us(began.elapsed()) / 1_000_000;
    if pace.stated.is_some() && second % SECONDS == 0 {
        // The clip itself begins with a sync sample.
        second += 1;
    }
    let due = |second: i64, packets: &[u8]| {
        let into_us = (pace.media_us(began.elapsed()) - second * 1_000_000).clamp(0, 1_000_000);
        (packets.len() as i64 / PACKET as i64 * into_us / 1_000_000) as usize * PACKET
    };
    let mut packets = clip.second(second, stated(pace, second));
    // Where the time is stated, from the second that is under way: so the first thing said is what time it is.
    let mut at = if pace.stated.is_some() { 0 } else { due(second, &packets) };
    loop {
        while at < packets.len() {
            let to = due(second, &packets);
            if cut.load(Ordering::Relaxed) {
                return None;
            }
            if to > at {
                client.write_all(&packets[at..to]).await.ok()?;
                at = to;
            } else {
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
        }
        second += 1;
        packets = clip.second(second, stated(pace, second));
        at = 0;
    }
}

fn stated(pace: Pace, second: i64) -> Option<UtcUs> {
    pace.stated.map(|utc| utc.plus_us(second * 1_000_000))
}
