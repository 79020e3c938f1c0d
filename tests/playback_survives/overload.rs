//! More than a node can do: it says so at once, its memory stays what it was, and what is under way goes on.

use crate::web_bed::Bed;
use evertape::web::Limits;
use futures::StreamExt;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn header<'a>(answer: &'a reqwest::Response, name: &str) -> &'a str {
    answer.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
}

/// A base address without `http://`, and without the stream.
fn host(base: &str) -> &str {
    base.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap()
}

/// Asks and does not take the answer.
async fn asks_only(base: &str, path: &str) -> TcpStream {
    let mut tcp = TcpStream::connect(host(base)).await.unwrap();
    let request = format!("GET /demo/{path} HTTP/1.1\r\nHost: {}\r\n\r\n", host(base));
    tcp.write_all(request.as_bytes()).await.unwrap();
    tcp
}

/// Waits until the head of the answer is there.
async fn status_of(tcp: &mut TcpStream) -> u16 {
    let mut head = [0; 12];
    tcp.read_exact(&mut head).await.unwrap();
    std::str::from_utf8(&head[9..]).unwrap().parse().unwrap()
}

/// Resident bytes of this process.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_are_told_so() {
    let bed = Bed::new().await;
    let limits = Limits { max_connections: 4, ..Limits::default() };
    let base = bed.node_with(|options| options.limits = limits).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut tcp = asks_only(&base, &format!("archive-{}-60.mp4", bed.from)).await;
        assert_eq!(status_of(&mut tcp).await, 200);
        held.push(tcp);
    }
    for _ in 0..200 {
        let mut tcp = asks_only(&base, "index.m3u8").await;
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("\r\nRetry-After: 2"), "{answer}");
        let problem: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["status"], 503);
    }
    // One that goes makes room for one that comes.
    held.pop();
    let client = reqwest::Client::new();
    let mut tries = 0;
    while client.get(format!("{base}/index.m3u8")).send().await.unwrap().status() != 200 {
        tries += 1;
        assert!(tries < 100, "no room was made");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Requests that wait for a slow index fill the room there is: others get 503 at once, and all is well when it answers.
#[tokio::test(flavor = "multi_thread")]
async fn requests_beyond_the_limit_are_told_so() {
    let bed = Bed::new().await;
    let base = bed.node_with(|options| options.max_requests = 3).await;
    let client = reqwest::Client::new();
    bed.index.set_delay(Duration::from_secs(5));
    let waiting: Vec<_> = (0..3)
        .map(|n| {
            let (client, url) = (client.clone(), format!("{base}/archive-{}-{}.mp4", bed.from, 20 + n));
            // Whoever is told to come again does.
            tokio::spawn(async move {
                loop {
                    let status = client.get(&url).send().await.unwrap().status().as_u16();
                    if status != 503 {
                        return status;
                    }
                }
            })
        })
        .collect();
    let url = format!("{base}/tracks-v1/index-{}-60.m3u8", bed.from);
    let mut refused = 0;
    for _ in 0..2000 {
        // One that is not refused waits, as the others do; its peer does not.
        let asked = client.get(&url).timeout(Duration::from_millis(300)).send().await;
        if let Ok(answer) = asked
            && answer.status() == 503
        {
            assert_eq!((header(&answer, "retry-after"), header(&answer, "cache-control")), ("2", "no-store"));
            refused += 1;
        }
        // Whether the node is alive is asked by others than viewers: that has room of its own.
        let health = client.get(format!("http://{}/healthz", host(&base))).send().await.unwrap();
        assert_eq!(health.status(), 200);
        if refused == 20 {
            break;
        }
    }
    assert_eq!(refused, 20);
    bed.index.set_delay(Duration::ZERO);
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap(), 200);
    }
    assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_beyond_the_limit_are_told_so() {
    // Larger than what the sockets take by themselves.
    let bed = Bed::with_sample_bytes(20_000).await;
    let base = bed.node_with(|options| options.max_exports = 9).await;
    let mut ts = asks_only(&base, &format!("archive-{}-180.ts", bed.from)).await;
    assert_eq!(status_of(&mut ts).await, 200);
    let mut mp4 = asks_only(&base, &format!("archive-{}-180.mp4", bed.from)).await;
    assert_eq!(status_of(&mut mp4).await, 200);
    for kind in ["mp4", "ts"] {
        let answer = reqwest::get(format!("{base}/archive-{}-100.{kind}", bed.from)).await.unwrap();
        assert_eq!((answer.status().as_u16(), header(&answer, "retry-after")), (503, "2"), "{kind}");
        // To look costs nothing.
        assert_eq!(reqwest::get(format!("{base}/tracks-v1/index-{}-60.m3u8", bed.from)).await.unwrap().status(), 200);
    }
    drop(ts);
    let mut tries = 0;
    while reqwest::get(format!("{base}/archive-{}-100.ts", bed.from)).await.unwrap().status() != 200 {
        tries += 1;
        assert!(tries < 100, "the export that was given up still has its place");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Hundreds of peers that take nothing: no more memory than the caches may have, and others are served.
#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_cost_only_their_socket() {
    const READERS: usize = 400;
    // Three megabytes to a segment.
    let bed = Bed::with_sample_bytes(20_000).await;
    let lent_mib = 64;
    let base = bed.node_with(|options| options.media_cache_bytes = lent_mib << 20).await;
    let list = reqwest::get(format!("{base}/tracks-v1/index-{}-120.fmp4.m3u8", bed.from)).await.unwrap();
    let list = list.text().await.unwrap();
    let segments: Vec<&str> = list.lines().filter_map(|l| l.strip_prefix("../")).collect();
    let paths: Vec<String> = (0..READERS)
        .map(|n| match n % 2 {
            0 => segments[n / 2 % segments.len()].to_owned(),
            _ => format!("archive-{}-{}.mp4", bed.from, 60 + n % 100),
        })
        .collect();
    // What the first few need is needed once.
    let mut held = Vec::new();
    for path in &paths[..20] {
        let mut tcp = asks_only(&base, path).await;
        assert_eq!(status_of(&mut tcp).await, 200, "{path}");
        held.push(tcp);
    }
    let before = resident_bytes();
    let more: Vec<TcpStream> = futures::stream::iter(&paths[20..])
        .map(async |path| {
            let mut tcp = asks_only(&base, path).await;
            assert_eq!(status_of(&mut tcp).await, 200, "{path}");
            tcp
        })
        .buffer_unordered(16)
        .collect()
        .await;
    held.extend(more);
    let grown_mib = (resident_bytes().saturating_sub(before)) >> 20;
    println!("{READERS} readers that take nothing: {grown_mib} MiB more");
    // Cache, what is on its way, what is lent; and for each reader what a connection and a read-ahead of the store take.
    // The segments that they asked for have 1.2 GB.
    assert!(grown_mib <= 3 * lent_mib + READERS as u64 / 2, "{grown_mib} MiB");
    // Somebody who reads gets all of it, and what was held back is right to the last byte.
    let expected = bed.get(segments[3]).await.bytes().await.unwrap();
    assert_eq!(reqwest::get(format!("{base}/{}", segments[3])).await.unwrap().bytes().await.unwrap(), expected);
    let index = paths.iter().position(|p| p == segments[5]).unwrap();
    let mut taken = Vec::new();
    let mut tcp = held.swap_remove(index);
    let expected = bed.get(segments[5]).await.bytes().await.unwrap();
    while !taken.ends_with(&expected) {
        let mut buffer = vec![0; 1 << 16];
        let n = tokio::time::timeout(Duration::from_secs(30), tcp.read(&mut buffer)).await.unwrap().unwrap();
        assert!(n > 0, "it broke off after {} bytes", taken.len());
        taken.extend_from_slice(&buffer[..n]);
    }
}

/// A peer that takes nothing for long is given up.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_nothing_is_given_up() {
    let bed = Bed::with_sample_bytes(20_000).await;
    let limits = Limits { take_within: Duration::from_millis(300), max_connections: 1, ..Limits::default() };
    let base = bed.node_with(|options| options.limits = limits).await;
    let mut held = asks_only(&base, &format!("archive-{}-180.mp4", bed.from)).await;
    assert_eq!(status_of(&mut held).await, 200);
    let mut tries = 0;
    while reqwest::get(format!("{base}/index.m3u8")).await.unwrap().status() != 200 {
        tries += 1;
        assert!(tries < 200, "it still has its place");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A node that is stopped finishes what it has begun, takes nothing new, and gives up what takes too long.
#[tokio::test(flavor = "multi_thread")]
async fn stopping_drains() {
    let bed = Bed::with_sample_bytes(20_000).await;
    let path = format!("archive-{}-180.mp4", bed.from);
    let expected = bed.get(&path).await.bytes().await.unwrap();
    for (drain, takes_it) in [(Duration::from_secs(60), true), (Duration::from_millis(200), false)] {
        let (base, stop, stopped) = bed.node_to_stop(Limits { drain, ..Limits::default() }).await;
        let answer = reqwest::get(format!("{base}/{path}")).await.unwrap();
        assert_eq!(answer.status(), 200);
        stop.cancel();
        let mut tries = 0;
        while TcpStream::connect(host(&base)).await.is_ok() {
            tries += 1;
            assert!(tries < 200, "it still takes connections");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let ended = tokio::time::timeout(Duration::from_secs(60), stopped);
        if takes_it {
            let (whole, ended) = tokio::join!(answer.bytes(), ended);
            assert_eq!(whole.unwrap(), expected);
            ended.expect("it ends").unwrap();
        } else {
            // It ends though nobody takes the rest; what was sent is not the whole, and does not look so.
            ended.await.expect("it ends").unwrap();
            assert!(answer.bytes().await.is_err(), "a part of the file looks like the whole");
        }
    }
}
