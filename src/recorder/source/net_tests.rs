//! Datagrams and plain HTTP over loopback.

use super::testing::{breaks, context, start, times, video};
use std::net::UdpSocket as StdUdpSocket;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn free_port() -> u16 {
    StdUdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn rtp(sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 33];
    packet.extend(sequence.to_be_bytes());
    packet.extend([0, 0, 0, 0, 0, 0, 0, 1]);
    packet.extend(payload);
    packet
}

/// Waits until the source listens, by sending nothing that it wants.
async fn listening(port: u16) {
    for _ in 0..200 {
        if StdUdpSocket::bind(("127.0.0.1", port)).is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("nothing listens on {port}");
}

#[tokio::test]
async fn plain_datagrams() {
    let port = free_port();
    let mut source = start(&format!("udp://127.0.0.1:{port}"), context());
    listening(port).await;
    let sender = StdUdpSocket::bind("127.0.0.1:0").unwrap();
    let other = StdUdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(b"garbage", ("127.0.0.1", port)).unwrap();
    for n in 0..20 {
        sender.send_to(&video(n * 7 * 3600, 7), ("127.0.0.1", port)).unwrap();
        // A second sender on the same port is kept out.
        other.send_to(&video(1_000_000, 7), ("127.0.0.1", port)).unwrap();
    }
    let events = source.until(|all| times(all, 0).len() >= 139).await;
    assert_eq!(times(&events, 0), (0..139).map(|n| n * 3600).collect::<Vec<_>>());
    assert!(source.counters.packets_damaged.load(Ordering::Relaxed) >= 1);
    assert!(source.counters.connected.load(Ordering::Relaxed));
}

#[tokio::test]
async fn rtp_in_disorder_and_with_losses() {
    let port = free_port();
    let mut source = start(&format!("rtp://127.0.0.1:{port}"), context());
    listening(port).await;
    let sender = StdUdpSocket::bind("127.0.0.1:0").unwrap();
    let send = |n: i64| {
        let packet = rtp((65_500 + n) as u16, &video(n * 7 * 3600, 7));
        sender.send_to(&packet, ("127.0.0.1", port)).unwrap();
    };
    for n in [0, 1, 3, 2, 5, 4, 4] {
        send(n);
    }
    // 50 is lost; the wrap of the sequence numbers is inside.
    (6..50).for_each(send);
    (51..60).for_each(send);
    let events = source.until(|all| times(all, 0).len() >= 59 * 7 - 1).await;
    let expected: Vec<i64> = (0..60 * 7).filter(|n| n / 7 != 50).map(|n| n * 3600).take(59 * 7 - 1).collect();
    assert_eq!(times(&events, 0), expected);
    assert_eq!(source.counters.packets_damaged.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn multicast_on_loopback() {
    let port = free_port();
    let mut source = start(&format!("udp://@239.255.77.7:{port}?iface=127.0.0.1"), context());
    let sender = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    sender.set_multicast_if_v4(&std::net::Ipv4Addr::LOCALHOST).unwrap();
    sender.set_multicast_loop_v4(true).unwrap();
    let to: std::net::SocketAddr = format!("239.255.77.7:{port}").parse().unwrap();
    let keep_sending = tokio::spawn(async move {
        for n in 0..400 {
            let _ = sender.send_to(&video(n * 7 * 3600, 7), &to.into());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let events = source.until(|all| times(all, 0).len() >= 20).await;
    assert!(times(&events, 0).windows(2).all(|p| p[1] - p[0] == 3600));
    keep_sending.abort();
}

#[tokio::test]
async fn silence_is_noticed_and_the_break_is_told() {
    let port = free_port();
    let mut context = context();
    context.stall = Duration::from_millis(300);
    let mut source = start(&format!("udp://127.0.0.1:{port}"), context);
    listening(port).await;
    let sender = StdUdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(&video(0, 7), ("127.0.0.1", port)).unwrap();
    source.until(|all| times(all, 0).len() >= 6).await;
    for _ in 0..100 {
        if source.counters.stalls.load(Ordering::Relaxed) > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(source.counters.error().unwrap().contains("stalled"));
    assert!(!source.counters.connected.load(Ordering::Relaxed));
    let keep_sending = tokio::spawn(async move {
        for n in 0..100 {
            let _ = sender.send_to(&video(900_000 + n * 7 * 3600, 7), ("127.0.0.1", port));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let events = source.until(|all| times(all, 0).len() >= 7).await;
    assert_eq!(breaks(&events[..1]), 1);
    assert_eq!(breaks(&events), 1);
    keep_sending.abort();
}

#[tokio::test]
async fn a_taken_port_is_a_clear_error() {
    let taken = StdUdpSocket::bind("127.0.0.1:0").unwrap();
    let source = start(&format!("udp://127.0.0.1:{}", taken.local_addr().unwrap().port()), context());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(source.counters.error().unwrap().contains("another program has this port"));
}

/// Answers each connection with the next of `answers`, byte for byte, then closes it.
async fn scripted(answers: Vec<Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for answer in answers {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
        }
        // Later connections are accepted by nobody and time out.
        std::future::pending::<()>().await;
    });
    format!("http://joe:secret@{address}/live.ts?token=secret")
}

fn ok(body: &[u8]) -> Vec<u8> {
    [b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n", body].concat()
}

#[tokio::test]
async fn http_streams_are_connected_anew() {
    let refusal = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".to_vec();
    let url = scripted(vec![refusal, ok(&video(0, 5)), ok(&video(90_000, 5))]).await;
    let mut source = start(&url, context());
    let events = source.until(|all| times(all, 0).len() >= 10).await;
    assert_eq!(times(&events, 0)[4..6], [14_400, 90_000]);
    assert_eq!(breaks(&events), 1);
    let broken_at = events.iter().position(|e| matches!(e, crate::container::MediaEvent::Discontinuity(_))).unwrap();
    assert_eq!(times(&events[..broken_at], 0).len(), 5);
}

#[tokio::test]
async fn http_errors_hold_no_secret() {
    let url = scripted(vec![b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n".to_vec(); 50]).await;
    let source = start(&url, context());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let error = source.counters.error().unwrap();
    assert!(error.contains("403") && !error.contains("secret") && !error.contains("joe"), "{error}");
}

#[tokio::test]
async fn an_http_stream_that_falls_silent_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(&ok(&video(0, 5))).await;
            held.push(stream);
        }
    });
    let mut context = context();
    context.stall = Duration::from_millis(250);
    let mut source = start(&format!("http://{address}/x"), context);
    let events = source.until(|all| times(all, 0).len() >= 12).await;
    assert!(breaks(&events) >= 2);
    assert!(source.counters.reconnects.load(Ordering::Relaxed) >= 2);
}
