//! Clients that mean well, and what they see.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Longer than this no client waits for anything, on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between a client's requests.
const PACE: Duration = Duration::from_millis(10);

/// A body that takes more than one read, and less than any window.
const BODY: usize = 20_000;

/// How long the requests take that are to be under way at once.
const DELAY: Duration = Duration::from_millis(50);

/// Which clients there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clients {
    fresh: bool,
}

/// Clients at work.
pub(super) struct Running {
    over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Seen>,
}

/// What they saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    served: [usize; 3],
    slowest: Duration,
    failures: Vec<String>,
    fresh: bool,
}

impl Clients {
    /// One on a connection of HTTP/1.1, one on a connection of HTTP/2, and one that connects for each request, with ever
    /// more of them at once, so that new connections behind the proxy are needed as well.
    pub(super) fn all() -> Self {
        Self { fresh: true }
    }

    /// Only those that are connected already.
    pub(super) fn connected() -> Self {
        Self { fresh: false }
    }

    /// Lets them work until they are stopped; returns when all have been served once.
    pub(super) fn start(self, port: SocketAddr) -> Running {
        let over = Arc::new(AtomicBool::new(false));
        let (connected, begun) = std::sync::mpsc::sync_channel(1);
        let stop = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            runtime().block_on(async {
                let mut first = connect1(port).await.unwrap();
                let mut second = connect2(port).await.unwrap();
                get1(&mut first, &bytes()).await.unwrap();
                get2(&mut second).await.unwrap();
                connected.send(()).unwrap();
                let mut seen = Seen { fresh: self.fresh, ..Seen::default() };
                let mut at_once = 0;
                while !stop.load(Ordering::Relaxed) {
                    seen.note(0, get1(&mut first, &bytes()).await);
                    seen.note(1, get2(&mut second).await);
                    if self.fresh {
                        at_once += 1;
                        seen.note(2, many(port, at_once).await);
                    }
                    tokio::time::sleep(PACE).await;
                }
                seen
            })
        });
        begun.recv().unwrap();
        Running { over, thread }
    }
}

impl Running {
    pub(super) fn stop(self) -> Seen {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

impl Seen {
    fn note(&mut self, client: usize, outcome: Result<Duration, String>) {
        match outcome {
            Ok(took) => {
                self.served[client] += 1;
                self.slowest = self.slowest.max(took);
            }
            Err(failure) => self.failures.push(format!("client {client}: {failure}")),
        }
    }

    pub(super) fn assert_well_served(&self) {
        assert!(self.failures.is_empty(), "{:#?}", self.failures);
        let working = if self.fresh { &self.served[..] } else { &self.served[..2] };
        assert!(working.iter().all(|served| *served >= 5), "{self:?}");
        assert!(self.slowest < PATIENCE, "{self:?}");
    }
}

/// A request over each protocol on a connection of its own, and many at once, which need as many connections behind
/// the proxy; how long they took together.
pub(super) fn fresh(port: SocketAddr) -> Result<Duration, String> {
    runtime().block_on(async {
        let begin = Instant::now();
        fresh1(port).await?;
        get2(&mut connect2(port).await?).await?;
        many(port, 8).await?;
        Ok(begin.elapsed())
    })
}

/// So many requests at once, which need as many connections behind the proxy; less the time that each takes anyway.
async fn many(port: SocketAddr, count: usize) -> Result<Duration, String> {
    let mut all = JoinSet::new();
    for _ in 0..count {
        all.spawn(
            async move { get1(&mut connect1(port).await?, &format!("/delay/{}", DELAY.as_millis())).await },
        );
    }
    let mut slowest = Duration::ZERO;
    while let Some(one) = all.join_next().await {
        slowest = slowest.max(one.unwrap()?);
    }
    Ok(slowest.saturating_sub(DELAY))
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn connect1(port: SocketAddr) -> Result<TcpStream, String> {
    match timeout(PATIENCE, TcpStream::connect(port)).await {
        Ok(Ok(socket)) => Ok(socket),
        other => Err(format!("cannot connect: {other:?}")),
    }
}

async fn connect2(port: SocketAddr) -> Result<SendRequest<Bytes>, String> {
    let socket = connect1(port).await?;
    let (send, connection) = h2::client::handshake(socket).await.map_err(|error| error.to_string())?;
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    driver.detach_all();
    Ok(send)
}

async fn fresh1(port: SocketAddr) -> Result<Duration, String> {
    let begin = Instant::now();
    let mut socket = connect1(port).await?;
    get1(&mut socket, &bytes()).await?;
    Ok(begin.elapsed())
}

fn bytes() -> String {
    format!("/bytes/{BODY}")
}

async fn get1(socket: &mut TcpStream, path: &str) -> Result<Duration, String> {
    let begin = Instant::now();
    let exchange = async {
        let request = format!("GET {path} HTTP/1.1\r\nHost: web\r\n\r\n");
        socket.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
        let mut answer = Vec::new();
        let mut end = usize::MAX;
        while answer.len() < end {
            let read = socket.read_buf(&mut answer).await;
            if !matches!(read, Ok(1..)) {
                let text = String::from_utf8_lossy(&answer[..answer.len().min(300)]).into_owned();
                return Err(format!("{read:?} after {} bytes: {text}", answer.len()));
            }
            if let Some(head) = answer.windows(4).position(|w| w == b"\r\n\r\n") {
                end = head + 4 + length(&answer[..head]).ok_or("no length")?;
            }
        }
        if answer.starts_with(b"HTTP/1.1 200") {
            Ok(begin.elapsed())
        } else {
            Err(String::from_utf8_lossy(&answer[..answer.len().min(300)]).into_owned())
        }
    };
    timeout(PATIENCE, exchange).await.unwrap_or_else(|_elapsed| Err("HTTP/1.1: no answer in time".into()))
}

/// What a head says of its body.
fn length(head: &[u8]) -> Option<usize> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    head.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse().ok()
}

async fn get2(send: &mut SendRequest<Bytes>) -> Result<Duration, String> {
    let begin = Instant::now();
    let exchange = async {
        let mut send = send.clone().ready().await.map_err(|error| format!("not ready: {error}"))?;
        let request = http::Request::get(format!("http://web/bytes/{BODY}")).body(()).unwrap();
        let (response, _) = send.send_request(request, true).map_err(|error| error.to_string())?;
        let (head, mut body) = response.await.map_err(|error| format!("no head: {error}"))?.into_parts();
        let mut length = 0;
        while let Some(data) = body.data().await {
            let data = data.map_err(|error| format!("after {length} bytes: {error}"))?;
            length += data.len();
            let _credit = body.flow_control().release_capacity(data.len());
        }
        if head.status == 200 && length == BODY {
            Ok(begin.elapsed())
        } else {
            Err(format!("{} and {length} bytes", head.status))
        }
    };
    timeout(PATIENCE, exchange).await.unwrap_or_else(|_elapsed| Err("HTTP/2: no answer in time".into()))
}
