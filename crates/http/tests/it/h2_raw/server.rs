//! A server whose exchanges do what the path says, and what a case makes of it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use leno_http::exchange::{Exchange, Frame as Body, Outgoing};
use leno_http::head::{Connect, Framing, ResponseHead};
use leno_http::server::{BrokenStream, Config, Drain, Tell};
use leno_model::failure::Failure;
use leno_model::request::RequestView as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::task::JoinHandle;

use super::wire::{Frame, PREFACE, Peer, WINDOW, code, flag, get, kind, setting, settings, settings_ack};
use super::{Steps, run};
use crate::support::{http2_server, local};

/// The stream of the request that shows that the connection goes on, above all that cases use.
pub(super) const PROBE: u32 = 0x00ff_ffff;

/// What a case is to lead to. A request on the same connection must be served after all but the first.
pub(super) enum Expect {
    /// A connection error with one of these codes.
    Goaway(&'static [u32]),
    /// A stream error with one of these codes.
    Reset(u32, &'static [u32]),
    /// One of both, with one of these codes.
    Either(u32, &'static [u32]),
    /// One of both, or nothing at all.
    Tolerated(u32, &'static [u32]),
    /// A malformed request (RFC 9113 §8.1.1): answered with 4xx or reset, and seen by nobody.
    Refused(u32),
    /// Nothing unusual.
    Serves,
}

/// What exchanges have seen, in order.
pub(super) type Log = Rc<RefCell<Vec<String>>>;

pub(super) struct Server {
    pub(super) peer: Peer,
    pub(super) log: Log,
    /// Streams on which rules were broken.
    pub(super) broken: Rc<RefCell<Vec<BrokenStream>>>,
    pub(super) drain: Drain,
    /// The settings that the server has sent.
    pub(super) settings: Vec<(u16, u32)>,
    /// The window of the connection that the server has granted.
    pub(super) window: usize,
    ended: JoinHandle<Option<(Failure, String)>>,
}

impl Server {
    /// Before the preface.
    pub(super) fn start(config: Config, buffer: usize) -> Self {
        let (ours, theirs) = duplex(buffer);
        let broken = Rc::<RefCell<Vec<_>>>::default();
        let told = Rc::clone(&broken);
        let tell = Tell::by(move |stream| told.borrow_mut().push(*stream));
        let config = Config { broken_streams: Some(tell), ..config };
        let mut connection = http2_server(theirs, config);
        let (drain, log) = (connection.drain_handle(), Log::default());
        let seen = Rc::clone(&log);
        let ended = local(async move {
            while let Some(exchange) = connection.accept().await {
                let seen = Rc::clone(&seen);
                local(serve(exchange, seen));
            }
            connection.turned_away()
        });
        Self { peer: Peer::new(ours), log, broken, drain, settings: Vec::new(), window: WINDOW, ended }
    }

    /// With the prefaces exchanged.
    pub(super) async fn open() -> Self {
        Self::open_with(Config::default(), &[]).await
    }

    pub(super) async fn open_with(config: Config, values: &[(u16, u32)]) -> Self {
        let mut server = Self::start(config, 1 << 21);
        server.peer.send(&[PREFACE, &settings(values)].concat()).await;
        let frames = server.peer.rest().await;
        let first = frames.first().expect("a preface");
        assert!(first.is(kind::SETTINGS, 0) && !first.has(flag::ACK), "SETTINGS first (RFC 9113 §3.4)");
        server.settings = first.settings();
        for frame in &frames[1..] {
            match frame.kind {
                kind::SETTINGS => assert!(frame.has(flag::ACK), "settings once"),
                kind::WINDOW_UPDATE if frame.stream == 0 => {
                    server.window += usize::try_from(frame.number(0)).expect("a window");
                }
                _ => panic!("{frame:?}"),
            }
        }
        assert!(frames.iter().any(|frame| frame.is(kind::SETTINGS, 0) && frame.has(flag::ACK)));
        server.peer.send(&settings_ack()).await;
        server
    }

    /// A value that the server has set, or what is without it.
    pub(super) fn setting(&self, id: u16, default: u32) -> usize {
        let value = self.settings.iter().find(|(known, _)| *known == id).map_or(default, |(_, value)| *value);
        usize::try_from(value).expect("a size")
    }

    /// The window that the server gives each stream.
    pub(super) fn stream_window(&self) -> usize {
        self.setting(setting::INITIAL_WINDOW_SIZE, 65_535)
    }

    pub(super) fn logged(&self) -> Vec<String> {
        self.log.borrow().clone()
    }

    /// Waits for the end of the connection; why it ended.
    pub(super) async fn end(self) -> Option<(Failure, String)> {
        let Self { mut peer, ended, .. } = self;
        peer.close().await;
        let drained = async { while peer.next().await.is_some() {} };
        // Longer than a server may linger, shorter than it may idle.
        let patience = Duration::from_secs(30);
        let (ended, ()) = tokio::join!(tokio::time::timeout(patience, ended), drained);
        ended.expect("the connection ends").expect("no panic")
    }

    /// Waits for the end of the connection to a peer that is gone without a word.
    pub(super) async fn vanish(self) {
        let Self { peer, ended, .. } = self;
        drop(peer);
        let ended = tokio::time::timeout(Duration::from_secs(30), ended).await;
        ended.expect("the connection ends").expect("no panic");
    }

    /// Sends a request of its own and expects its answer; all frames that came.
    pub(super) async fn probe(&mut self) -> Vec<Frame> {
        self.peer.send(&get(PROBE, "/probe")).await;
        let frames = self.peer.rest().await;
        assert!(is_answered(&frames, PROBE), "the connection goes on: {frames:#?}");
        frames
    }
}

/// Whether a stream got 200 and the end of its body.
pub(super) fn is_answered(frames: &[Frame], stream: u32) -> bool {
    let mut own = frames.iter().filter(|frame| frame.stream == stream && frame.kind <= kind::HEADERS);
    own.clone().any(|frame| frame.status() == Some(200)) && own.any(|frame| frame.has(flag::END_STREAM))
}

/// Whether nothing was said but that windows are open.
pub(super) fn is_quiet(frames: &[Frame]) -> bool {
    frames.iter().all(|frame| frame.kind == kind::WINDOW_UPDATE)
}

/// The code of a stream's reset.
pub(super) fn reset_of(frames: &[Frame], stream: u32) -> Option<u32> {
    frames.iter().find(|frame| frame.is(kind::RST_STREAM, stream)).map(Frame::code)
}

/// The code of a connection error; farewells without one don't count.
pub(super) fn error_of(frames: &[Frame]) -> Option<u32> {
    let codes = frames.iter().filter(|frame| frame.kind == kind::GOAWAY).map(Frame::code);
    codes.rev().find(|code| *code != code::NO_ERROR)
}

/// Runs a case of [`super::cases`].
pub(super) fn check(steps: fn() -> Steps, expect: Expect) {
    run(move || async move {
        let mut server = Server::open().await;
        let mut frames = server.peer.play(&steps().0).await;
        server.peer.send(&get(PROBE, "/probe")).await;
        frames.extend(server.peer.rest().await);
        judge(server, &frames, expect).await;
    });
}

async fn judge(server: Server, frames: &[Frame], expect: Expect) {
    let goaway = error_of(frames);
    let context = format!("{frames:#?}, seen {:?}", server.logged());
    let is_error = |codes: &[u32]| goaway.is_some_and(|code| codes.contains(&code));
    let is_reset = |stream, codes: &[u32]| reset_of(frames, stream).is_some_and(|code| codes.contains(&code));
    let may_end = match expect {
        Expect::Goaway(codes) => {
            assert!(is_error(codes), "GOAWAY {codes:?}: {context}");
            true
        }
        Expect::Reset(stream, codes) => {
            assert!(is_reset(stream, codes), "RST_STREAM {codes:?}: {context}");
            false
        }
        Expect::Either(stream, codes) => {
            assert!(is_error(codes) || is_reset(stream, codes), "an error {codes:?}: {context}");
            true
        }
        Expect::Tolerated(stream, codes) => {
            let reset = reset_of(frames, stream).is_none_or(|code| codes.contains(&code));
            assert!(reset && goaway.is_none_or(|code| codes.contains(&code)), "{codes:?}: {context}");
            true
        }
        Expect::Refused(stream) => {
            let mut heads = frames.iter().filter(|frame| frame.is(kind::HEADERS, stream));
            let is_answered = heads.any(|head| matches!(head.status(), Some(400..500)));
            assert!(is_answered || is_reset(stream, &[code::PROTOCOL]), "refused: {context}");
            assert_eq!(server.logged(), ["GET /probe", "/probe complete"], "seen by nobody: {context}");
            let broken = server.broken.borrow();
            assert!(broken.len() == 1 && !broken[0].is_served, "told once: {broken:?}, {context}");
            false
        }
        Expect::Serves => {
            let is_broken = frames.iter().any(|frame| frame.kind == kind::RST_STREAM);
            assert!(!is_broken && server.broken.borrow().is_empty(), "nothing unusual: {context}");
            false
        }
    };
    match goaway {
        Some(_) => {
            assert!(may_end, "no connection error: {context}");
            assert!(server.peer.ended, "closed: {context}");
            assert!(server.end().await.is_some(), "it is known why");
        }
        None => {
            assert!(is_answered(frames, PROBE), "the connection goes on: {context}");
            assert_eq!(server.end().await, None);
        }
    }
}

pub(super) async fn serve(exchange: Exchange, log: Log) {
    let Exchange { head, mut body, mut reply } = exchange;
    let path = head.path().to_owned();
    log.borrow_mut().push(format!("{} {path}", head.method()));
    let note = |text: &str| log.borrow_mut().push(format!("{path} {text}"));
    if *head.connect() != Connect::None {
        let mut tunnel = reply.head(ResponseHead::new(StatusCode::OK)).into_tunnel(body);
        let mut bytes = Vec::new();
        // An error is the peer's doing.
        let _read = tunnel.read_to_end(&mut bytes).await;
        let _written = tunnel.write_all(&bytes).await;
        let _shut = tunnel.shutdown().await;
        return;
    }
    let (name, argument) = path[1..].split_once('/').unwrap_or_else(|| (&path[1..], ""));
    match name {
        "hold" => {
            let failure = reply.closed().await;
            note(&format!("{failure:?}"));
        }
        "now" => reply.whole(ResponseHead::new(StatusCode::OK), Bytes::from_static(b"now")),
        "drop" => drop(reply),
        // So many bytes, given in one piece.
        "whole" => {
            let bytes = argument.parse().unwrap_or(0);
            reply.whole(ResponseHead::new(StatusCode::OK), Bytes::from(vec![b'x'; bytes]));
        }
        // So many bytes, given as they are taken, and trailers.
        "stream" => {
            let mut head = ResponseHead::new(StatusCode::OK);
            head.set_framing(Framing::Stream);
            let sent = stream(reply.head(head), argument.parse().unwrap_or(0)).await;
            note(&sent.map_or_else(|failure| format!("{failure:?}"), |()| "sent".to_owned()));
        }
        // That status and length, without a body.
        "status" => {
            let mut head = ResponseHead::new(argument.parse().unwrap_or(StatusCode::OK));
            head.set_framing(Framing::Length(5));
            let mut outgoing = reply.head(head);
            if !outgoing.is_finished() {
                outgoing.last(Bytes::from_static(b"hello")).expect("given");
            }
        }
        "hints" => {
            for _ in 0..3 {
                let hints = ResponseHead::new(StatusCode::EARLY_HINTS);
                if let Err(failure) = reply.informational(&hints).await {
                    return note(&format!("{failure:?}"));
                }
            }
            reply.whole(ResponseHead::new(StatusCode::OK), Bytes::from_static(b"after"));
        }
        _ => {
            let text = match take(&mut body).await {
                Ok((0, 0)) => "complete".to_owned(),
                Ok((bytes, trailers)) => format!("complete {bytes} {trailers}"),
                Err(failure) => return note(&format!("{failure:?}")),
            };
            note(&text);
            reply.whole(ResponseHead::new(StatusCode::OK), Bytes::from(text));
        }
    }
}

/// Bytes and trailers of a body.
pub(super) async fn take(body: &mut leno_http::exchange::Incoming) -> Result<(usize, usize), Failure> {
    let (mut bytes, mut trailers) = (0, 0);
    loop {
        match body.frame().await {
            Body::Data(data) => bytes += data.len(),
            Body::Trailers(map) => trailers = map.len(),
            Body::End => return Ok((bytes, trailers)),
            Body::Abort(failure) => return Err(failure),
        }
    }
}

async fn stream(mut outgoing: Outgoing, bytes: usize) -> Result<(), Failure> {
    for chunk in vec![b'x'; bytes].chunks(10_000) {
        outgoing.ready().await?;
        outgoing.data(Bytes::copy_from_slice(chunk))?;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().expect("a value"));
    outgoing.trailers(trailers);
    Ok(())
}
