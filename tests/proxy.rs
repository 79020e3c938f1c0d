//! The proxy that other suites break connections with: each of its modes does what it says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/proxy.rs"]
mod proxy;

use proxy::{Direction, Flow, Mode, Proxy};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Long enough for what must not come.
const NEVER: Duration = Duration::from_millis(400);
/// Long enough for what must come.
const SOON: Duration = Duration::from_secs(20);

/// Sends back what it gets. Gives its address.
async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = client.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

async fn connect(proxy: &Proxy) -> std::io::Result<TcpStream> {
    TcpStream::connect(("127.0.0.1", proxy.port)).await
}

/// Sends `bytes` and says what has come back once as many have, or the connection has ended.
async fn there_and_back(client: &mut TcpStream, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    client.write_all(bytes).await?;
    let mut back = vec![0; bytes.len()];
    let mut got = 0;
    while got < back.len() {
        match tokio::time::timeout(SOON, client.read(&mut back[got..])).await.expect("an answer in time")? {
            0 => break,
            count => got += count,
        }
    }
    back.truncate(got);
    Ok(back)
}

async fn nothing_comes(client: &mut TcpStream) -> bool {
    tokio::time::timeout(NEVER, client.read(&mut [0; 16])).await.is_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn passes_and_counts() {
    let proxy = Proxy::to(echo().await).await;
    let noise: Vec<u8> = (0..1_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let client = connect(&proxy).await.unwrap();
    let (mut from, mut to) = client.into_split();
    let sent = noise.clone();
    let sending = tokio::spawn(async move {
        to.write_all(&sent).await.unwrap();
        to.shutdown().await.unwrap();
    });
    let mut back = Vec::new();
    from.read_to_end(&mut back).await.unwrap();
    sending.await.unwrap();
    assert!(back == noise);
    let counted = proxy.counted();
    assert_eq!((counted.connections, counted.bytes_up, counted.bytes_down), (1, 1_000_000, 1_000_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn latency_and_throttle_take_their_time_and_lose_nothing() {
    let proxy = Proxy::to(echo().await).await;
    let mut client = connect(&proxy).await.unwrap();
    proxy.set(Mode::Latency(Duration::from_millis(150)));
    let began = Instant::now();
    assert_eq!(there_and_back(&mut client, b"late").await.unwrap(), b"late");
    assert!(began.elapsed() >= Duration::from_millis(300), "both ways are late: {:?}", began.elapsed());
    proxy.set_one_way(Direction::Down, Flow::Throttle(20_000));
    let began = Instant::now();
    let bytes = vec![7; 10_000];
    assert!(there_and_back(&mut client, &bytes).await.unwrap() == bytes);
    assert!(began.elapsed() >= Duration::from_millis(400), "half a second's worth: {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn hangs_and_goes_on() {
    let proxy = Proxy::to(echo().await).await;
    let mut old = connect(&proxy).await.unwrap();
    assert_eq!(there_and_back(&mut old, b"one").await.unwrap(), b"one");
    proxy.set(Mode::Hang);
    let mut new = connect(&proxy).await.unwrap();
    for client in [&mut old, &mut new] {
        client.write_all(b"two").await.unwrap();
        assert!(nothing_comes(client).await);
    }
    proxy.set(Mode::Pass);
    for client in [&mut old, &mut new] {
        let mut back = [0; 3];
        tokio::time::timeout(SOON, client.read_exact(&mut back)).await.unwrap().unwrap();
        assert_eq!(&back, b"two");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn truncates_each_connection() {
    let proxy = Proxy::to(echo().await).await;
    let mut old = connect(&proxy).await.unwrap();
    assert_eq!(there_and_back(&mut old, b"before").await.unwrap(), b"before");
    proxy.set(Mode::Truncate(1000));
    assert_eq!(there_and_back(&mut old, &[1; 5000]).await.unwrap().len(), 1000);
    let mut new = connect(&proxy).await.unwrap();
    assert_eq!(there_and_back(&mut new, &[1; 999]).await.unwrap().len(), 999);
    assert_eq!(there_and_back(&mut new, &[1; 999]).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn resets_open_connections_and_new_ones() {
    let proxy = Proxy::to(echo().await).await;
    let mut client = connect(&proxy).await.unwrap();
    assert_eq!(there_and_back(&mut client, b"one").await.unwrap(), b"one");
    proxy.set(Mode::Reset);
    let reset = async |client: &mut TcpStream| {
        let read = tokio::time::timeout(SOON, client.read(&mut [0; 1])).await.expect("an end in time");
        assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
    };
    reset(&mut client).await;
    match connect(&proxy).await {
        Ok(mut client) => reset(&mut client).await,
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    proxy.set(Mode::Pass);
    let mut client = connect(&proxy).await.unwrap();
    assert_eq!(there_and_back(&mut client, b"two").await.unwrap(), b"two");
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_while_cut_and_keeps_its_port() {
    let proxy = Proxy::to(echo().await).await;
    for _ in 0..3 {
        let mut client = connect(&proxy).await.unwrap();
        assert_eq!(there_and_back(&mut client, b"one").await.unwrap(), b"one");
        proxy.set_cut(true);
        let read = tokio::time::timeout(SOON, client.read(&mut [0; 1])).await.expect("an end in time");
        assert_eq!(read.unwrap_or(0), 0);
        // The listener goes a moment after the connections.
        let until = Instant::now() + SOON;
        while connect(&proxy).await.is_ok() {
            assert!(Instant::now() < until, "it is never refused");
        }
        assert_eq!(connect(&proxy).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        proxy.set_cut(false);
        let until = Instant::now() + SOON;
        while connect(&proxy).await.is_err() {
            assert!(Instant::now() < until, "it stays refused");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_black_hole_swallows_bytes_and_accepts_nobody() {
    let proxy = Proxy::to(echo().await).await;
    let mut old = connect(&proxy).await.unwrap();
    assert_eq!(there_and_back(&mut old, b"one").await.unwrap(), b"one");
    proxy.set(Mode::Blackhole);
    old.write_all(b"two").await.unwrap();
    assert!(nothing_comes(&mut old).await);
    // Filling the queue takes a moment.
    tokio::time::sleep(2 * NEVER).await;
    let address = ("127.0.0.1", proxy.port);
    let before = proxy.counted().connections;
    let connecting = tokio::time::timeout(NEVER, TcpStream::connect(address)).await;
    assert!(connecting.is_err(), "somebody has accepted: {connecting:?}");
    proxy.set(Mode::Pass);
    // The kernel tries again after a second or three.
    let mut new = tokio::time::timeout(SOON, TcpStream::connect(address)).await.unwrap().unwrap();
    assert_eq!(there_and_back(&mut new, b"three").await.unwrap(), b"three");
    old.write_all(b"four").await.unwrap();
    assert!(nothing_comes(&mut old).await, "a connection that has lost bytes goes on");
    // Nobody ever got to see the connections that filled the queue.
    assert!((1..=2).contains(&(proxy.counted().connections - before)));
}

/// An HTTP server that counts what it was asked to do.
async fn counting() -> (String, Arc<AtomicU64>) {
    let done = Arc::new(AtomicU64::new(0));
    let count = done.clone();
    let app = axum::Router::new().fallback(move |request: axum::extract::Request| {
        let count = count.clone();
        async move {
            let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            body.len().to_string()
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (address, done)
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_503_to_a_share_that_the_seed_decides() {
    let mut seen = Vec::new();
    for seed in [7, 7, 8] {
        let (address, done) = counting().await;
        let proxy = Proxy::seeded(address, seed).await;
        proxy.set(Mode::Unavailable(30));
        let client = reqwest::Client::new();
        let mut answers = Vec::new();
        for n in 0..200 {
            let body = vec![1_u8; n * 100];
            let url = format!("http://127.0.0.1:{}/{n}", proxy.port);
            let answer = client.put(url).body(body).send().await.unwrap();
            answers.push(answer.status().as_u16());
            if answer.status() == 200 {
                assert_eq!(answer.text().await.unwrap(), (n * 100).to_string());
            }
        }
        let refused = answers.iter().filter(|status| **status == 503).count() as u64;
        assert!((40..=80).contains(&refused), "{refused} of 200");
        assert_eq!(proxy.counted().unavailable, refused);
        assert_eq!((proxy.counted().requests, done.load(Ordering::Relaxed)), (200, 200 - refused));
        seen.push(answers);
    }
    assert!(seen[0] == seen[1] && seen[0] != seen[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn loses_the_answers_to_puts_that_were_carried_out() {
    let (address, done) = counting().await;
    let proxy = Proxy::to(address).await;
    // A connection for each request: one that is open from before ends when the mode changes.
    let client = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
    let url = format!("http://127.0.0.1:{}/x", proxy.port);
    assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
    proxy.set(Mode::LostPuts(100));
    for n in 1..=5 {
        assert!(client.put(&url).body("body").send().await.is_err());
        assert_eq!(proxy.counted().lost_puts, n);
        assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
    }
    assert_eq!(done.load(Ordering::Relaxed), 11);
    proxy.set(Mode::Pass);
    assert_eq!(client.put(&url).body("body").send().await.unwrap().status(), 200);
}
