//! A TCP proxy that misbehaves on demand, because the kernel of a test machine has nothing that does.
//!
//! Comes in: connections to a local port, and a [`Mode`] that may be switched while they are open. Goes out: the same
//! bytes to the target (`host:port`, or the path of a socket) and back; late, slowly, in part, or not at all. Counts
//! what went past. Never: changes a byte that it passes on, but for the HTTP modes, which add `Connection: close`.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "no suite uses all of it")]

#[path = "proxy_http.rs"]
mod http;
#[path = "proxy_pump.rs"]
mod pump;

use socket2::{Domain, SockRef, Socket, Type};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Connections that may wait to be accepted, while any are.
const BACKLOG: i32 = 512;
/// Connections that are made to fill the backlog of a black hole, at most.
const MOST_FILLERS: usize = 8;
/// A connection to oneself that takes longer is not accepted any more.
const FILLED_AFTER: Duration = Duration::from_millis(300);

/// What becomes of the bytes of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// They go on at once.
    Pass,
    /// They go on so much later.
    Latency(Duration),
    /// They go on at so many bytes per second.
    Throttle(u64),
    /// They wait until the mode changes.
    Hang,
    /// They are taken and are gone. A connection that has lost some never gets over it.
    Vanish,
    /// So many more go on, then the connection ends on both sides as if all had been said.
    Truncate(u64),
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the target.
    Up,
    /// From the target to the client.
    Down,
}

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Open,
    /// Open ones end, new ones are refused.
    Refused,
    /// Open ones and new ones are reset (RST).
    Reset,
    /// Nobody accepts new ones; the kernel does not even answer.
    Silent,
}

/// The whole proxy's behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As if it were not there.
    Pass,
    /// Both directions are late.
    Latency(Duration),
    /// Both directions are slow: bytes per second.
    Throttle(u64),
    /// Accepts, and passes nothing on.
    Hang,
    /// What is sent vanishes, new connections are accepted by nobody.
    Blackhole,
    /// Answers end after so many bytes.
    Truncate(u64),
    /// Every connection is reset.
    Reset,
    /// Connections end, new ones are refused.
    Cut,
    /// HTTP: so many percent of the requests are answered with 503.
    Unavailable(u32),
    /// HTTP: so many percent of the PUTs are carried out, and nobody hears of it.
    LostPuts(u32),
}

/// [`Mode`] taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rules {
    up: Flow,
    down: Flow,
    door: Door,
    http: Option<http::Rules>,
}

impl Rules {
    const PASS: Self = Self { up: Flow::Pass, down: Flow::Pass, door: Door::Open, http: None };

    fn of(mode: Mode) -> Self {
        let both = |flow| Self { up: flow, down: flow, ..Self::PASS };
        let http = |unavailable_percent, lost_put_percent| Self {
            http: Some(http::Rules { unavailable_percent, lost_put_percent }),
            ..Self::PASS
        };
        match mode {
            Mode::Pass => Self::PASS,
            Mode::Latency(time) => both(Flow::Latency(time)),
            Mode::Throttle(bytes_per_second) => both(Flow::Throttle(bytes_per_second)),
            Mode::Hang => both(Flow::Hang),
            Mode::Blackhole => Self { door: Door::Silent, ..both(Flow::Vanish) },
            Mode::Truncate(bytes) => Self { down: Flow::Truncate(bytes), ..Self::PASS },
            Mode::Reset => Self { door: Door::Reset, ..Self::PASS },
            Mode::Cut => Self { door: Door::Refused, ..Self::PASS },
            Mode::Unavailable(percent) => http(percent, 0),
            Mode::LostPuts(percent) => http(0, percent),
        }
    }

    fn flow(&self, direction: Direction) -> Flow {
        match direction {
            Direction::Up => self.up,
            Direction::Down => self.down,
        }
    }
}

/// What went past.
#[derive(Debug, Default)]
struct Counters {
    connections: AtomicU64,
    bytes: [AtomicU64; 2],
    requests: AtomicU64,
    unavailable: AtomicU64,
    lost_puts: AtomicU64,
}

/// What went past, until now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Connections accepted.
    pub connections: u64,
    /// Bytes passed on to the target.
    pub bytes_up: u64,
    /// Bytes passed on to clients.
    pub bytes_down: u64,
    /// Requests seen in the HTTP modes.
    pub requests: u64,
    /// Requests answered with 503.
    pub unavailable: u64,
    /// PUTs whose answer was swallowed.
    pub lost_puts: u64,
}

/// A proxy under way. Ends, with its connections, when dropped.
pub struct Proxy {
    pub port: u16,
    rules: Arc<watch::Sender<Rules>>,
    counters: Arc<Counters>,
    task: JoinHandle<()>,
    /// Holds the port while nobody listens on it.
    _reserved: Socket,
}

impl Proxy {
    /// Begins to listen; the seed decides which requests the HTTP modes pick.
    pub async fn seeded(target: impl Into<String>, seed: u64) -> Self {
        let reserved = bound(0);
        let port = reserved.local_addr().expect("an address").as_socket().expect("an IP address").port();
        let rules = Arc::new(watch::Sender::new(Rules::PASS));
        let counters = Arc::new(Counters::default());
        let place = Place { target: target.into(), counters: counters.clone(), dice: Arc::new(http::Dice::new(seed)) };
        let task = tokio::spawn(keep_door(listen(port), port, place, rules.subscribe()));
        Self { port, rules, counters, task, _reserved: reserved }
    }

    pub async fn to(target: impl Into<String>) -> Self {
        Self::seeded(target, 1).await
    }

    /// From now on, for open connections as for new ones.
    pub fn set(&self, mode: Mode) {
        self.set_rules(Rules::of(mode));
    }

    /// One direction misbehaves, the other does not.
    pub fn set_one_way(&self, direction: Direction, flow: Flow) {
        self.set_rules(match direction {
            Direction::Up => Rules { up: flow, ..Rules::PASS },
            Direction::Down => Rules { down: flow, ..Rules::PASS },
        });
    }

    /// Cut, or as if it were not there.
    pub fn set_cut(&self, cut: bool) {
        self.set(if cut { Mode::Cut } else { Mode::Pass });
    }

    fn set_rules(&self, rules: Rules) {
        self.rules.send_if_modified(|old| std::mem::replace(old, rules) != rules);
    }

    pub fn counted(&self) -> Counted {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let of = &self.counters;
        Counted {
            connections: read(&of.connections),
            bytes_up: read(&of.bytes[0]),
            bytes_down: read(&of.bytes[1]),
            requests: read(&of.requests),
            unavailable: read(&of.unavailable),
            lost_puts: read(&of.lost_puts),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where connections go, and who counts.
#[derive(Clone)]
struct Place {
    target: String,
    counters: Arc<Counters>,
    dice: Arc<http::Dice>,
}

trait Both: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Both for T {}

impl Place {
    async fn connect(&self) -> std::io::Result<Box<dyn Both>> {
        if self.target.starts_with('/') {
            return Ok(Box::new(UnixStream::connect(&self.target).await?));
        }
        let server = TcpStream::connect(&self.target).await?;
        server.set_nodelay(true)?;
        Ok(Box::new(server))
    }
}

fn bound(port: u16) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    // So that the port may be bound again while it is reserved, or has connections of old.
    socket.set_reuse_address(true).expect("an option");
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).expect("the proxy's port is free");
    socket
}

fn listen(port: u16) -> TcpListener {
    let socket = bound(port);
    socket.listen(BACKLOG).expect("it listens");
    socket.set_nonblocking(true).expect("an option");
    TcpListener::from_std(socket.into()).expect("a listener")
}

async fn keep_door(listener: TcpListener, port: u16, place: Place, mut rules: watch::Receiver<Rules>) {
    let mut connections = JoinSet::new();
    let mut listening = Some(listener);
    let mut fillers: Vec<TcpStream> = Vec::new();
    loop {
        let door = rules.borrow_and_update().door;
        match door {
            Door::Refused => listening = None,
            Door::Silent => {
                let listener = listening.get_or_insert_with(|| listen(port));
                fillers.extend(fill(listener, port).await);
            }
            Door::Open | Door::Reset => {
                let listener = listening.get_or_insert_with(|| listen(port));
                if !fillers.is_empty() {
                    let _ = SockRef::from(&*listener).listen(BACKLOG);
                }
            }
        }
        let accepts = matches!(door, Door::Open | Door::Reset);
        let accepted = async {
            match &listening {
                Some(listener) if accepts => listener.accept().await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = rules.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            accepted = accepted => {
                let Ok((client, from)) = accepted else { continue };
                let own = fillers.iter().position(|f| f.local_addr().is_ok_and(|address| address == from));
                if let Some(own) = own {
                    fillers.swap_remove(own);
                    continue;
                }
                place.counters.connections.fetch_add(1, Ordering::Relaxed);
                connections.spawn(serve(client, place.clone(), rules.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Makes the kernel drop further attempts to connect: its queue is short, and full of connections of our own.
async fn fill(listener: &TcpListener, port: u16) -> Vec<TcpStream> {
    let _ = SockRef::from(listener).listen(0);
    let mut fillers = Vec::new();
    while fillers.len() < MOST_FILLERS {
        match tokio::time::timeout(FILLED_AFTER, TcpStream::connect((Ipv4Addr::LOCALHOST, port))).await {
            Ok(Ok(filler)) => fillers.push(filler),
            Ok(Err(_)) | Err(_) => break,
        }
    }
    fillers
}

/// How a connection is to end.
enum End {
    Orderly,
    Reset,
}

async fn serve(mut client: TcpStream, place: Place, mut rules: watch::Receiver<Rules>) {
    let _ = client.set_nodelay(true);
    let now = *rules.borrow_and_update();
    let end = if now.door == Door::Reset {
        End::Reset
    } else if let Some(http) = now.http {
        tokio::select! {
            end = http::serve(&mut client, &place, http) => end,
            end = until_shut(rules.clone(), now.http) => end,
        }
    } else {
        tokio::select! {
            () = pump::both_ways(&mut client, &place, &rules) => End::Orderly,
            end = until_shut(rules.clone(), None) => end,
        }
    };
    if matches!(end, End::Reset) {
        let _ = SockRef::from(&client).set_linger(Some(Duration::ZERO));
    }
}

/// Waits until open connections must end, or are to be treated by other rules than they began with.
async fn until_shut(mut rules: watch::Receiver<Rules>, http: Option<http::Rules>) -> End {
    loop {
        let now = *rules.borrow_and_update();
        match now.door {
            Door::Reset => return End::Reset,
            Door::Refused => return End::Orderly,
            Door::Open | Door::Silent if now.http != http => return End::Orderly,
            Door::Open | Door::Silent => {}
        }
        if rules.changed().await.is_err() {
            return End::Orderly;
        }
    }
}
