//! A client and a server of ours against each other: seeded, over sockets that take and give what they like.
//!
//! Whatever the halves do, everything ends, bodies arrive whole or visibly cut, and what is left when all is quiet is
//! two connections as they were in the beginning.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use http::{HeaderMap, Method, StatusCode};
use leno_model::failure::Failure;
use leno_model::request::RequestView as _;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::conn::Conn;
use super::{ClientConnection, ServerConnection, Settings};
use crate::budget::Budget;
use crate::exchange::{Answer, Exchange, Frame, Incoming, Outgoing, Progress, Response};
use crate::head::{Framing, RequestHead, ResponseHead, Scheme};
use crate::{client, server};

/// More than anything takes but a stall.
const PATIENCE: Duration = Duration::from_secs(600);

/// Seeds of one run of the tests: some seconds.
const SEEDS: u64 = 400;

/// A socket that takes and gives any number of bytes, and isn't ready now and then.
#[derive(Debug)]
struct Odd {
    io: DuplexStream,
    rng: Rng,
    vectors: bool,
}

impl Odd {
    fn pauses(&mut self, cx: &Context<'_>) -> bool {
        let pauses = self.rng.u8(..8) == 0;
        if pauses {
            cx.waker().wake_by_ref();
        }
        pauses
    }
}

impl crate::io::Io for Odd {}

impl AsyncRead for Odd {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.pauses(cx) {
            return Poll::Pending;
        }
        let most = if self.rng.bool() { self.rng.usize(1..50) } else { buf.remaining() };
        let mut part = buf.take(most);
        let read = Pin::new(&mut self.io).poll_read(cx, &mut part);
        let filled = part.filled().len();
        buf.advance(filled);
        read
    }
}

impl AsyncWrite for Odd {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.pauses(cx) {
            return Poll::Pending;
        }
        let most = if self.rng.bool() { self.rng.usize(1..50) } else { buf.len() };
        Pin::new(&mut self.io).poll_write(cx, &buf[..most.min(buf.len())])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.pauses(cx) {
            return Poll::Pending;
        }
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.vectors
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// A body that both ends know.
#[derive(Clone, Copy, Debug)]
struct Body {
    bytes: usize,
    has_trailers: bool,
    is_announced: bool,
    seed: usize,
}

impl Body {
    fn of(rng: &mut Rng, is_small: bool) -> Self {
        let most = [0, 1, 100, 2000, 40_000, 200_000][rng.usize(..if is_small { 4 } else { 6 })];
        Self {
            bytes: rng.usize(..=most),
            has_trailers: rng.bool(),
            is_announced: rng.bool(),
            seed: rng.usize(..251),
        }
    }

    fn framing(self) -> Framing {
        match self {
            Self { is_announced: true, has_trailers: false, bytes, .. } => Framing::Length(bytes as u64),
            _ => Framing::Stream,
        }
    }

    fn piece(self, from: usize, to: usize) -> Bytes {
        (from..to).map(|at| u8::try_from((at + self.seed) % 251).expect("a byte")).collect()
    }

    /// Gives all of it, or so many bytes and then nothing more.
    async fn give(self, outgoing: &mut Outgoing, most: Option<usize>, rng: &mut Rng) -> Result<(), Failure> {
        let end = most.unwrap_or(self.bytes).min(self.bytes);
        let mut at = 0;
        while at < end && !outgoing.is_finished() {
            outgoing.ready().await?;
            let next = (at + rng.usize(1..20_000)).min(end);
            let piece = self.piece(at, next);
            at = next;
            if at == self.bytes && !self.has_trailers && rng.bool() {
                return outgoing.last(piece);
            }
            outgoing.data(piece)?;
            pause(rng).await;
        }
        if most.is_none() && !outgoing.is_finished() {
            if self.has_trailers {
                let mut trailers = HeaderMap::new();
                trailers.insert("x-sum", self.bytes.into());
                outgoing.trailers(trailers);
            } else {
                outgoing.finish();
            }
        }
        Ok(())
    }

    /// Takes all of it, or about so many bytes; what doesn't end so must have been cut visibly.
    async fn take(self, incoming: &mut Incoming, most: Option<usize>, rng: &mut Rng) -> Result<(), Failure> {
        let (mut at, mut trailers) = (0, false);
        while most.is_none_or(|most| at < most) {
            match incoming.frame().await {
                Frame::Data(data) => {
                    assert_eq!(data, self.piece(at, at + data.len()), "what was given");
                    at += data.len();
                }
                Frame::Trailers(map) => trailers = map.contains_key("x-sum"),
                Frame::End => {
                    assert_eq!((at, trailers), (self.bytes, self.has_trailers), "whole");
                    return Ok(());
                }
                Frame::Abort(failure) => return Err(failure),
            }
            pause(rng).await;
        }
        Ok(())
    }
}

/// Sometimes others go first, or time passes.
async fn pause(rng: &mut Rng) {
    match rng.u8(..12) {
        0 => sleep(Duration::from_millis(rng.u64(1..50))).await,
        1 => tokio::task::yield_now().await,
        _ => {}
    }
}

/// What both ends do with one exchange.
#[derive(Clone, Copy, Debug)]
struct Plan {
    request: Body,
    response: Body,
    /// What the client gives of the request before it drops it.
    gives: Option<usize>,
    takes: Option<usize>,
    drops_response: bool,
    reads: Option<usize>,
    answers: Option<usize>,
    aborts: bool,
    is_early: bool,
    interims: usize,
}

impl Plan {
    fn of(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let is_small = seed.is_multiple_of(2);
        let (request, response) = (Body::of(rng, is_small), Body::of(rng, is_small));
        let mut part = |body: Body| (rng.u8(..6) == 0).then(|| rng.usize(..=body.bytes));
        let (gives, takes, reads, answers) = (part(request), part(response), part(request), part(response));
        // Two ends that go on giving and have both stopped taking wait for each other, as their contract has it.
        let takes = takes.filter(|_| reads.is_none());
        Self {
            request,
            response,
            gives,
            takes,
            reads,
            answers,
            drops_response: rng.u8(..10) == 0 && reads.is_none(),
            aborts: rng.bool(),
            is_early: rng.u8(..3) == 0,
            interims: rng.usize(..3),
        }
    }

    /// Whether nobody breaks anything off.
    fn is_polite(self) -> bool {
        let parts = [self.gives, self.takes, self.reads, self.answers];
        parts.iter().all(Option::is_none) && !self.drops_response
    }

    async fn ask(self, mut connection: ClientConnection, seed: u64) -> Result<(), Progress> {
        let rng = &mut Rng::with_seed(seed ^ 1);
        let target = format!("/{seed}");
        let mut head = RequestHead::new(Method::POST, Scheme::Http, "a", &target).expect("well-formed");
        head.set_framing(self.request.framing());
        let sent = connection.send(&head).await;
        drop(connection);
        let (outgoing, mut response) = sent.map_err(|unsent| unsent.progress)?;
        let up = &mut rng.fork();
        let request = async move {
            let mut outgoing = outgoing;
            if let Err(failure) = self.request.give(&mut outgoing, self.gives, up).await
                && self.aborts
            {
                outgoing.abort(failure);
            }
        };
        let asked = async {
            let taken = if self.drops_response { None } else { self.hear(&mut response, rng).await };
            let progress = response.progress();
            drop(response);
            taken.ok_or(progress)
        };
        let ((), answered) = tokio::join!(request, asked);
        answered
    }

    async fn hear(self, response: &mut Response, rng: &mut Rng) -> Option<()> {
        loop {
            match response.head().await.ok()? {
                Answer::Informational(head) => assert_eq!(head.status(), StatusCode::EARLY_HINTS),
                Answer::Final(head, mut body) => {
                    if head.status() == StatusCode::OK {
                        return self.response.take(&mut body, self.takes, rng).await.ok();
                    }
                    return None;
                }
            }
        }
    }

    async fn serve(self, exchange: Exchange, seed: u64) {
        let rng = &mut Rng::with_seed(seed ^ 2);
        let Exchange { mut body, mut reply, .. } = exchange;
        if !self.is_early && self.request.take(&mut body, self.reads, rng).await.is_err() {
            return reply.abort(Failure::DownstreamGone);
        }
        for _ in 0..self.interims {
            let _gone = reply.informational(&ResponseHead::new(StatusCode::EARLY_HINTS)).await;
        }
        let mut head = ResponseHead::new(StatusCode::OK);
        head.set_framing(self.response.framing());
        let down = &mut rng.fork();
        let answer = async move {
            let mut outgoing = reply.head(head);
            let given = self.response.give(&mut outgoing, self.answers, down).await;
            if given.is_err() && self.aborts {
                outgoing.abort(Failure::UpstreamReset);
            }
        };
        let request = async move {
            // Read to its end if it wasn't, since that is what a polite client waits for.
            if self.is_early {
                let _cut = self.request.take(&mut body, self.reads, rng).await;
            }
        };
        tokio::join!(answer, request);
    }
}

/// What one run is like.
struct Case {
    rng: Rng,
    room: usize,
    settings: [Settings; 2],
    budget: Option<Budget>,
    requests: u64,
    drains: bool,
}

impl Case {
    fn of(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut settings = || {
            let stream_window = [1, 100, 5000, 65_535, 128 * 1024][rng.usize(..5)];
            let connection_window = [65_535, 100_000, 512 * 1024][rng.usize(..3)];
            let grown_window = connection_window * rng.u32(1..4);
            let streams = [1, 3, 256][rng.usize(..3)];
            Settings { streams, stream_window, connection_window, grown_window, ..Settings::default() }
        };
        let settings = [settings(), settings()];
        let budget = (rng.u8(..4) == 0).then(|| Budget::new(rng.usize(1..1 << 20)));
        let room = [1, 10, 100, 5000, 100_000][rng.usize(..5)];
        Self { room, settings, budget, requests: rng.u64(1..30), drains: rng.u8(..4) == 0, rng }
    }

    fn odd(&mut self, io: DuplexStream) -> Box<Odd> {
        Box::new(Odd { io, rng: self.rng.fork(), vectors: self.rng.bool() })
    }

    async fn run(mut self) {
        let (near, far) = duplex(self.room);
        let budget = self.budget.clone();
        let [ours, theirs] = self.settings.clone();
        let config = client::Config { h2: ours, budget: budget.clone(), ..client::Config::default() };
        let (connection, driver) = ClientConnection::new(self.odd(near), &config);
        let config = server::Config { h2: theirs, budget: budget.clone(), ..server::Config::default() };
        let server = ServerConnection::new(self.odd(far), Rc::new(config));
        let (drain, conns) =
            (server.drain_handle(), [Rc::clone(connection.conn()), Rc::clone(server.conn())]);
        let weak = conns.each_ref().map(Rc::downgrade);
        let driven = tokio::task::spawn_local(driver);
        let served = tokio::task::spawn_local(accept(server));
        let asked: Vec<_> = (0..self.requests).map(|_| self.ask(&connection)).collect();
        if self.drains {
            sleep(Duration::from_millis(self.rng.u64(..500))).await;
            drain.begin();
        }
        let is_undisturbed = budget.is_none();
        for (polite, task) in asked {
            let outcome = timeout(PATIENCE, task).await.expect("it ends").expect("no panic");
            let is_fine =
                outcome.is_ok() || self.drains && outcome.is_err_and(|far| far <= Progress::Refused);
            assert!(is_fine || !polite || !is_undisturbed, "a polite exchange fails: {outcome:?}");
        }
        sleep(Duration::from_secs(5)).await;
        if !self.drains {
            assert_eq!(conns[0].unrest(&conns[1]), None, "the client");
            assert_eq!(conns[1].unrest(&conns[0]), None, "the server");
        }
        drop((connection, conns));
        timeout(PATIENCE, driven).await.expect("it ends").expect("no panic");
        let exchanges = timeout(PATIENCE, served).await.expect("it ends").expect("no panic");
        for exchange in exchanges {
            timeout(PATIENCE, exchange).await.expect("it ends").expect("no panic");
        }
        assert!(weak.iter().all(|conn: &Weak<Conn>| conn.upgrade().is_none()), "nothing is left");
        assert_eq!(budget.map_or(0, |budget| budget.used()), 0);
    }

    fn ask(&mut self, connection: &ClientConnection) -> (bool, JoinHandle<Result<(), Progress>>) {
        // Where a byte takes a round trip, bodies are small.
        let is_slow = self.room < 100 || self.settings.iter().any(|settings| settings.stream_window < 100);
        let seed = self.rng.u64(..1 << 50) << 1 | u64::from(!is_slow);
        let (plan, connection, wait) = (Plan::of(seed), connection.clone(), self.rng.u64(..400));
        let asked = tokio::task::spawn_local(async move {
            sleep(Duration::from_millis(wait)).await;
            plan.ask(connection, seed).await
        });
        (plan.is_polite(), asked)
    }
}

async fn accept(mut server: ServerConnection) -> Vec<JoinHandle<()>> {
    let mut exchanges = Vec::new();
    while let Some(exchange) = server.accept().await {
        let seed = exchange.head.path()[1..].parse().expect("a seed");
        exchanges.push(tokio::task::spawn_local(Plan::of(seed).serve(exchange, seed)));
    }
    assert_eq!(server.broken(), None);
    exchanges
}

#[test]
fn two_ends_of_ours_always_come_to_rest() {
    let only = std::env::var("LENO_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = only.map_or(0..SEEDS, |seed: u64| seed..seed + 1);
    for seed in seeds {
        let told = Told(seed);
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().expect("a runtime");
        tokio::task::LocalSet::new().block_on(&runtime, Box::pin(Case::of(seed).run()));
        std::mem::forget(told);
    }
}

/// Tells the seed of a run that fails.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        eprintln!("LENO_SEED={}", self.0);
    }
}
