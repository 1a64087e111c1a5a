//! Peers that want to be a burden (RFC 9113 §10.5).
//!
//! A flood either ends the connection with ENHANCE_YOUR_CALM, or stops being read; what the server owes a peer that
//! doesn't read is bounded.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use leno_http::server::{Config, Connection, Protocol};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::hpack::{block, field};
use super::run;
use super::server::{Server, error_of, is_answered};
use super::wire::{
    FRAME, MAX_WINDOW, PREFACE, code, continuation, data, flag, frame, get, headers, kind, ping, post,
    priority, request, rst, setting, settings, settings_ack, window_update,
};
use crate::support::local;

/// More than any limit on what is owed to a peer.
const BOUND: usize = 1 << 20;

/// Writes `frames` for every stream until the connection ends, and reads what comes; how many streams it took.
async fn attack(first: Vec<u8>, most: u32, frames: impl Fn(u32) -> Vec<u8>) -> (Server, Option<u32>, u32) {
    let mut server = Server::open().await;
    server.peer.send(&first).await;
    let mut error = None;
    let mut at = 0;
    while at < most && !server.peer.ended {
        let batch: Vec<u8> = (at..at + 50).flat_map(|at| frames(2 * at + 1)).collect();
        server.peer.send(&batch).await;
        let answers = server.peer.rest().await;
        error = error.or_else(|| error_of(&answers));
        at += 50;
    }
    (server, error, at)
}

/// Floods that cost the server more than the client: the connection ends, of whatever error the frames are.
async fn is_calmed(name: &str, first: Vec<u8>, frames: impl Fn(u32) -> Vec<u8>) {
    let (server, error, at) = attack(first, 5000, frames).await;
    assert!(server.peer.ended, "{name}: goes on after {at}");
    assert_eq!(error, Some(code::CALM), "{name}");
    assert!(server.log.borrow().len() <= 4000, "{name}: {} were seen", server.log.borrow().len());
    assert!(server.end().await.is_some(), "{name}: it is known why");
}

/// CVE-2023-44487.
#[test]
fn rapid_resets_end_the_connection() {
    run(|| async {
        let reset = |path: &'static str| move |at| [get(at, path), rst(at, code::CANCEL)].concat();
        is_calmed("at once", Vec::new(), reset("/hold")).await;
        is_calmed("answered", Vec::new(), reset("/drop")).await;
        is_calmed("with bodies", Vec::new(), |at| {
            [post(at, "/hold"), data(at, 0, b"x"), rst(at, code::NO_ERROR)].concat()
        })
        .await;
    });
}

/// The same where each request was seen before it was reset.
#[test]
fn resets_of_streams_under_way_end_the_connection() {
    run(|| async {
        let mut server = Server::open().await;
        let mut stream = 1;
        let mut error = None;
        while stream < 4000 && error.is_none() {
            server.peer.send(&get(stream, "/hold")).await;
            server.peer.rest().await;
            server.peer.send(&rst(stream, code::CANCEL)).await;
            error = error_of(&server.peer.rest().await);
            stream += 2;
        }
        assert_eq!(error, Some(code::CALM), "{stream}");
        server.end().await;
    });
}

/// CVE-2025-8671: frames that make the server reset its own streams count like resets.
#[test]
fn resets_that_the_client_provokes_end_the_connection() {
    run(|| async {
        let open = |at| get(at, "/hold");
        for (name, provoke) in [
            ("no increment", (|at| window_update(at, 0)) as fn(u32) -> Vec<u8>),
            ("too large a window", |at| window_update(at, MAX_WINDOW)),
            ("data after the end", |at| data(at, 0, b"x")),
            ("headers after the end", |at| headers(at, flag::END_STREAM, &block(&[("x", "y")]))),
            ("a second end", |at| data(at, flag::END_STREAM, b"")),
        ] {
            let (server, error, at) = attack(Vec::new(), 5000, |at| [open(at), provoke(at)].concat()).await;
            assert!(server.peer.ended && error.is_some(), "{name}: goes on after {at}");
            assert!(server.log.borrow().len() <= 2000, "{name}: {} were seen", server.log.borrow().len());
        }
    });
}

#[test]
fn bodies_that_make_the_server_reset_end_the_connection() {
    run(|| async {
        let (server, error, at) = attack(Vec::new(), 5000, |at| {
            let head = headers(at, 0, &request("POST", "/hold", &[("content-length", "1")]));
            [head, data(at, 0, b"22")].concat()
        })
        .await;
        assert!(server.peer.ended && error.is_some(), "goes on after {at}");
    });
}

/// CVE-2024-27316: blocks that never end, of fragments that are large, small or empty.
#[test]
fn heads_that_never_end() {
    run(|| async {
        for (name, fragment) in [
            ("empty", Vec::new()),
            ("small", field(b"x", b"")),
            ("large", field(b"x", &[b'y'; 16_000])),
            ("never whole", vec![0, 0x7f, 0xff, 0xff, 0xff, 0x07]),
        ] {
            // A request's head, and the trailers of one that was accepted.
            for is_trailers in [false, true] {
                let mut server = Server::open().await;
                if is_trailers {
                    server.peer.send(&post(1, "/hold")).await;
                    server.peer.rest().await;
                }
                let stream = if is_trailers { 1 } else { 3 };
                server.peer.send(&frame(kind::HEADERS, flag::END_STREAM, stream, b"")).await;
                let flood = continuation(stream, 0, &fragment);
                let mut taken = 0;
                let mut error = None;
                while taken < 100_000 && error.is_none() && !server.peer.ended {
                    server.peer.send(&flood.repeat(10)).await;
                    error = error_of(&server.peer.rest().await);
                    taken += 10;
                }
                assert!(error.is_some(), "{name} goes on after {taken}");
                server.end().await;
            }
        }
    });
}

/// Writes a flood without reading; how much of it was taken, and what comes once it is read.
async fn unread(first: Vec<u8>, flood: &[u8]) -> (Server, usize) {
    let mut server = Server::start(Config::default(), 4096);
    server.peer.stuff(&[PREFACE, &settings(&[])].concat()).await;
    server.peer.rest().await;
    server.peer.stuff(&[settings_ack(), first].concat()).await;
    let mut taken = 0;
    while taken < 16 * BOUND {
        let more = server.peer.stuff(flood).await;
        taken += more;
        if more < flood.len() {
            break;
        }
    }
    (server, taken)
}

/// CVE-2019-9512, CVE-2019-9515 and their kin: each frame asks for an answer, and none is read. The answers must not
/// be queued for ever.
#[test]
fn answers_that_are_not_read_are_bounded() {
    run(|| async {
        let streams =
            |frames: fn(u32) -> Vec<u8>| (0..30_000).flat_map(|at| frames(2 * at + 1)).collect::<Vec<u8>>();
        for (name, flood) in [
            ("PING", ping(b"12345678").repeat(30_000)),
            ("SETTINGS", settings(&[]).repeat(50_000)),
            ("SETTINGS with values", settings(&[(setting::INITIAL_WINDOW_SIZE, 1)]).repeat(50_000)),
            ("refused streams", streams(|at| post(at, "/hold"))),
            ("malformed requests", streams(|at| headers(at, flag::END_STREAM, &request("GET", "no", &[])))),
            (
                "malformed heads",
                streams(|at| headers(at, flag::END_STREAM, &request("GET", "/no", &[("te", "x")]))),
            ),
            ("requests", streams(|at| get(at, "/whole/0"))),
            ("requests with hints", streams(|at| get(at, "/hints"))),
        ] {
            let (mut server, taken) = unread(Vec::new(), &flood).await;
            assert!(taken < BOUND, "{name}: {taken} bytes were taken");
            let mut owed = 0;
            while let Some(frame) = server.peer.next().await {
                owed += frame.payload.len() + 9;
            }
            assert!(owed < 4 * BOUND, "{name}: {owed} bytes were owed");
            server.end().await;
        }
    });
}

/// CVE-2019-9511 and CVE-2019-9517: windows that open by a byte for a peer that doesn't read. What they opened is one
/// frame by then.
#[test]
fn tiny_windows_make_no_queue_of_tiny_frames() {
    run(|| async {
        let first = [settings(&[(setting::INITIAL_WINDOW_SIZE, 0)]), get(1, "/whole/60000")].concat();
        let (mut server, taken) = unread(first, &window_update(1, 1).repeat(10_000)).await;
        let mut frames = 0;
        while let Some(frame) = server.peer.next().await {
            frames += usize::from(frame.kind == kind::DATA);
        }
        assert!(frames <= 1000, "{frames} frames of {taken} bytes");
        server.end().await;
    });
}

/// Frames that ask for nothing may be borne or not, but must not stop the connection, and what is kept of them is
/// bounded.
#[test]
fn frames_that_ask_for_nothing_do_no_harm() {
    run(|| async {
        let hold = post(1, "/hold");
        for (name, flood) in [
            ("PRIORITY", priority(1, 0, 9)),
            ("PRIORITY of idle streams", priority(0x00ff_0001, 3, 9)),
            ("unknown", frame(0xbe, 0, 0, b"")),
            ("unknown on a stream", frame(0xbe, 0, 1, b"x")),
            ("PING answers", frame(kind::PING, flag::ACK, 0, &[0; 8])),
            ("WINDOW_UPDATE", window_update(1, 1)),
            ("resets of a closed stream", rst(3, code::CANCEL)),
        ] {
            let mut server = Server::open().await;
            server.peer.send(&[hold.clone(), get(3, "/")].concat()).await;
            server.peer.rest().await;
            let mut frames = Vec::new();
            for _ in 0..100 {
                server.peer.send(&flood.repeat(1000)).await;
                frames.extend(server.peer.rest().await);
            }
            let error = error_of(&frames);
            assert!(matches!(error, None | Some(code::CALM)), "{name} {frames:?}");
            if error.is_none() {
                server.probe().await;
            }
            server.end().await;
        }
    });
}

/// CVE-2019-9518: frames without bytes need no window, so nothing else would stop them.
#[test]
fn empty_frames_of_data_end_the_connection() {
    run(|| async {
        for empty in [data(1, 0, b""), data(1, flag::PADDED, &[0])] {
            let mut server = Server::open().await;
            server.peer.send(&post(1, "/hold")).await;
            server.peer.rest().await;
            let mut error = None;
            for _ in 0..100 {
                server.peer.send(&empty.repeat(1000)).await;
                let frames = server.peer.rest().await;
                error = error.or_else(|| error_of(&frames));
                if server.peer.ended {
                    break;
                }
            }
            assert!(matches!(error, Some(code::CALM | code::FLOW_CONTROL)), "{error:?}");
            server.end().await;
        }
    });
}

/// A client that means well sends some of each.
#[test]
fn a_few_of_each_are_borne() {
    run(|| async {
        let mut server = Server::open().await;
        for round in 0..20 {
            let stream = 20 * round + 1;
            let frames = [
                ping(b"12345678").repeat(3),
                settings(&[]),
                priority(stream, 0, 1).repeat(5),
                post(stream, "/"),
                data(stream, 0, b"").repeat(3),
                data(stream, flag::END_STREAM, &[0; FRAME]),
                get(stream + 2, "/hold"),
                rst(stream + 2, code::CANCEL),
                window_update(0, 1).repeat(10),
            ];
            server.peer.send(&frames.concat()).await;
            let frames = server.peer.rest().await;
            assert!(is_answered(&frames, stream), "{frames:?}");
        }
        server.probe().await;
    });
}

/// A socket that has always more of what asks for nothing, and never makes who reads it pause.
#[derive(Debug)]
struct Endless(Vec<u8>);

impl leno_http::io::Io for Endless {}

impl AsyncRead for Endless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0.len() < buf.remaining() {
            let more = frame(kind::PING, flag::ACK, 0, b"whatever").repeat(3000);
            self.0.extend_from_slice(&more);
        }
        let now: Vec<u8> = self.0.drain(..buf.remaining()).collect();
        buf.put_slice(&now);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Others on the same core are served nevertheless.
#[test]
fn a_peer_that_never_pauses_does_not_hold_the_core() {
    run(|| async {
        let endless = Endless([PREFACE, &settings(&[])].concat());
        let config = Rc::new(Config::default());
        let mut connection = Connection::new(Protocol::Http2, Box::new(endless), config);
        let flooded = local(async move { connection.accept().await.is_none() });
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        flooded.abort();
    });
}
