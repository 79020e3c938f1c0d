//! MPEG-TS in datagrams: unicast and multicast, plain and inside RTP.
//!
//! One sender at a time: another is followed only after the first has been silent, since two interleaved streams
//! make no sense of either.

use super::rtp::{Datagram, Reorder, classify};
use super::sink::Sink;
use super::spec::{Interface, UdpSpec};
use super::{End, SourceContext, SourceCounters, SourceError, now_utc};
use crate::container::MediaEvent;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::Instant;

/// What is asked of the kernel: a second of 30 Mbit/s.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Datagrams are gathered for this long before they are demuxed.
const GATHER: Duration = Duration::from_millis(10);
/// Most bytes gathered at once.
const MAX_GATHERED: usize = 1 << 20;
/// Silence after which another sender is followed.
const SENDER_SILENT: Duration = Duration::from_secs(1);

/// Opens the socket: buffer, address, group.
fn open(spec: &UdpSpec) -> Result<UdpSocket, SourceError> {
    let fail = |what: &str, e: std::io::Error| {
        let hint = match e.kind() {
            ErrorKind::AddrInUse => "; another program has this port",
            ErrorKind::AddrNotAvailable => "; listen on an address of this host, or on udp://:port",
            ErrorKind::PermissionDenied => "; ports below 1024 need a privilege",
            _ if what.contains("join") => "; say which interface with iface=",
            _ => "",
        };
        SourceError::failed(format!("port {}: cannot {what}: {e}{hint}", spec.port))
    };
    let socket =
        Socket::new(Domain::for_address(SocketAddr::new(spec.address, spec.port)), Type::DGRAM, Some(Protocol::UDP))
            .map_err(|e| fail("open a socket", e))?;
    let multicast = spec.address.is_multicast();
    if multicast {
        // Several recorders on one host may listen to one group.
        socket.set_reuse_address(true).map_err(|e| fail("share the port", e))?;
    }
    if socket.set_recv_buffer_size(RECEIVE_BUFFER).is_ok()
        && let Ok(granted) = socket.recv_buffer_size()
        && granted < RECEIVE_BUFFER
    {
        tracing::warn!(
            granted,
            wanted = RECEIVE_BUFFER,
            "a small receive buffer may lose packets; raise net.core.rmem_max"
        );
    }
    socket.set_nonblocking(true).map_err(|e| fail("make the socket non-blocking", e))?;
    // Bound to the group itself, the socket gets nothing that is meant for other groups on the same port.
    socket.bind(&SocketAddr::new(spec.address, spec.port).into()).map_err(|e| fail("listen", e))?;
    if multicast {
        let v4 = match spec.interface {
            Some(Interface::Address(ip)) => ip,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        let joined = match (spec.address, spec.sender) {
            (IpAddr::V4(group), Some(IpAddr::V4(sender))) => socket.join_ssm_v4(&sender, &group, &v4),
            (IpAddr::V4(group), _) => socket.join_multicast_v4(&group, &v4),
            (IpAddr::V6(group), _) => {
                let index = match spec.interface {
                    Some(Interface::Index(index)) => index,
                    _ => 0,
                };
                socket.join_multicast_v6(&group, index)
            }
        };
        joined.map_err(|e| fail("join the group", e))?;
    }
    UdpSocket::from_std(socket.into()).map_err(|e| fail("use the socket", e))
}

/// Receives until something breaks.
pub(super) async fn session(spec: UdpSpec, context: &SourceContext, sink: &mut Sink) -> Result<End, SourceError> {
    let socket = open(&spec)?;
    tracing::info!(address = %spec.address, port = spec.port, "listening");
    let mut gatherer = Gatherer::new(spec.sender);
    let mut demuxer = context.demuxers.ts();
    let mut bytes = Vec::new();
    loop {
        if gatherer.reorder.is_waiting() {
            // A missing packet is waited for in small steps.
            let _ = tokio::time::timeout(GATHER, socket.readable()).await;
        } else {
            socket.readable().await.map_err(|e| SourceError::failed(format!("receiving failed: {e}")))?;
        }
        tokio::time::sleep(GATHER).await;
        bytes.clear();
        let (lost_before, stray_before) = (gatherer.reorder.lost, gatherer.stray);
        let broken = gatherer.gather(&socket, &mut bytes)?;
        let mut events = Vec::new();
        if broken {
            demuxer.discontinuity(&mut events);
            if !events.iter().any(|e| matches!(e, MediaEvent::Discontinuity(_))) {
                events.push(MediaEvent::Discontinuity("another sender"));
            }
        }
        let lost = gatherer.reorder.lost - lost_before;
        if lost > 0 {
            events.push(MediaEvent::Damage("RTP packets were lost on the way"));
            SourceCounters::add(&context.counters.packets_damaged, lost - 1);
        }
        if gatherer.stray > stray_before {
            events.push(MediaEvent::Damage("datagrams that hold no MPEG-TS, or from another sender"));
        }
        if !bytes.is_empty() {
            sink.received(bytes.len());
            demuxer.push(&bytes, &mut events);
        }
        sink.send(events, Some(now_utc())).await?;
    }
}

/// Empties the socket.
struct Gatherer {
    /// The only sender that is wanted.
    only: Option<IpAddr>,
    current: Option<(SocketAddr, Instant)>,
    reorder: Reorder,
    epoch: Instant,
    buffer: Box<[u8]>,
    /// Datagrams that were dropped.
    stray: u64,
}

impl Gatherer {
    fn new(only: Option<IpAddr>) -> Self {
        Self {
            only,
            current: None,
            reorder: Reorder::default(),
            epoch: Instant::now(),
            buffer: vec![0; 65_536].into_boxed_slice(),
            stray: 0,
        }
    }

    /// Appends all that is there to `out`, up to a bound. True when another sender took over: then `out` holds
    /// only what came from the new one.
    fn gather(&mut self, socket: &UdpSocket, out: &mut Vec<u8>) -> Result<bool, SourceError> {
        let mut broken = false;
        let now = Instant::now();
        let now_ms = u64::try_from((now - self.epoch).as_millis()).unwrap_or(u64::MAX);
        // Empty or stray datagrams do not grow `out`: the number of reads is bounded too.
        for _ in 0..MAX_GATHERED / 188 {
            if out.len() >= MAX_GATHERED {
                break;
            }
            let (size, from) = match socket.try_recv_from(&mut self.buffer) {
                Ok(received) => received,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                // An ICMP answer to something; not about what we receive.
                Err(e) if matches!(e.kind(), ErrorKind::ConnectionRefused | ErrorKind::Interrupted) => continue,
                Err(e) => return Err(SourceError::failed(format!("receiving failed: {e}"))),
            };
            if self.only.is_some_and(|only| only != from.ip()) {
                self.stray += 1;
                continue;
            }
            let datagram = classify(self.buffer.get(..size).unwrap_or_default());
            if datagram == Datagram::Other {
                self.stray += 1;
                continue;
            }
            match self.current {
                Some((sender, last)) if sender != from => {
                    if now - last < SENDER_SILENT {
                        self.stray += 1;
                        continue;
                    }
                    tracing::info!(sender = %from, "another sender took over");
                    broken = true;
                    out.clear();
                    self.reorder.forget();
                }
                _ => {}
            }
            self.current = Some((from, now));
            match datagram {
                Datagram::Plain(ts) => out.extend_from_slice(ts),
                Datagram::Rtp(packet) => {
                    if self.reorder.push(packet, now_ms, out) {
                        // The demuxer sees by itself how the media go on; the numbers alone say little.
                        tracing::info!("the RTP numbering began anew");
                    }
                }
                Datagram::Other => {}
            }
        }
        self.reorder.release(now_ms, out);
        Ok(broken)
    }
}
