//! How connections end: GOAWAY (RFC 9113 §6.8), draining, and sockets that close at any byte.

use std::time::Duration;

use leno_http::server::Config;

use super::run;
use super::server::{Server, error_of, is_answered};
use super::wire::{
    Frame, MAX_WINDOW, PREFACE, code, continuation, data, flag, frame, get, goaway, headers, kind, padded,
    ping, post, priority, request, rst, setting, settings, settings_ack, window_update,
};

/// The first frame of a kind.
fn find(frames: &[Frame], kind: u8) -> Option<&Frame> {
    frames.iter().find(|frame| frame.kind == kind)
}

/// How far a GOAWAY acts.
fn farewells(frames: &[Frame]) -> Vec<(u32, u32)> {
    let goaways = frames.iter().filter(|frame| frame.kind == kind::GOAWAY);
    goaways.map(|frame| (frame.number(0), frame.code())).collect()
}

fn pong(ping: &Frame) -> Vec<u8> {
    frame(kind::PING, flag::ACK, 0, &ping.payload)
}

/// A client that goes away takes no more streams of the server's, and waits for the answers to its own.
#[test]
fn streams_under_way_finish_after_the_client_s_goaway() {
    run(|| async {
        for (last, goodbye) in [(0, code::NO_ERROR), (MAX_WINDOW, code::NO_ERROR), (0, 0xdead)] {
            let mut server = Server::open().await;
            server.peer.send(&[post(1, "/"), get(3, "/stream/100000"), goaway(last, goodbye)].concat()).await;
            let mut frames = server.peer.rest().await;
            server
                .peer
                .send(
                    &[data(1, flag::END_STREAM, b"x"), window_update(3, 1 << 20), window_update(0, 1 << 20)]
                        .concat(),
                )
                .await;
            frames.extend(server.peer.rest().await);
            assert!(is_answered(&frames, 1) && is_answered(&frames, 3), "{frames:?}");
            assert_eq!(error_of(&frames), None);
            server.end().await;
        }
    });
}

#[test]
fn goaway_may_say_more() {
    run(|| async {
        let mut server = Server::open().await;
        let payload = [&[0; 8][..], &[b'x'; 1000]].concat();
        server
            .peer
            .send(
                &[post(1, "/"), frame(kind::GOAWAY, 0, 0, &payload), goaway(0, 0), data(1, 1, b"x")].concat(),
            )
            .await;
        let frames = server.peer.rest().await;
        assert!(is_answered(&frames, 1), "{frames:?}");
        server.end().await;
    });
}

/// RFC 9113 §6.8: one GOAWAY that refuses nothing, a PING to learn that the client knows, and one that says how far.
#[test]
fn draining_takes_a_round_trip() {
    run(|| async {
        let mut server = Server::open().await;
        server.peer.send(&get(1, "/hold")).await;
        server.peer.rest().await;
        server.drain.begin();
        let frames = server.peer.rest().await;
        assert_eq!(farewells(&frames), [(MAX_WINDOW, code::NO_ERROR)], "{frames:?}");
        let asked = find(&frames, kind::PING).expect("a PING");
        assert!(!asked.has(flag::ACK));
        // Sent before the client knew, and served.
        server.peer.send(&[get(3, "/"), post(5, "/")].concat()).await;
        let frames = server.peer.rest().await;
        assert!(is_answered(&frames, 3) && farewells(&frames).is_empty(), "{frames:?}");
        server.peer.send(&pong(asked)).await;
        let frames = server.peer.rest().await;
        assert_eq!(farewells(&frames), [(5, code::NO_ERROR)], "{frames:?}");
        // Sent after that, and ignored, whatever it is.
        server
            .peer
            .send(&[get(7, "/no"), post(9, "/no"), data(9, 0, b"x"), rst(9, code::CANCEL)].concat())
            .await;
        server.peer.send(&data(5, flag::END_STREAM, b"x")).await;
        let frames = server.peer.rest().await;
        assert!(is_answered(&frames, 5) && !is_answered(&frames, 7), "{frames:?}");
        assert!(!server.peer.ended, "one is under way");
        server.peer.send(&rst(1, code::CANCEL)).await;
        server.peer.rest().await;
        assert!(server.peer.ended, "nothing is left");
        assert!(server.logged().iter().all(|line| !line.contains("/no")), "{:?}", server.logged());
        assert_eq!(server.end().await, None);
    });
}

/// Lets a server drain, and the client say that it has heard.
async fn drain_and_hear(server: &mut Server) {
    server.drain.begin();
    let frames = server.peer.rest().await;
    server.peer.send(&pong(find(&frames, kind::PING).expect("a PING"))).await;
    server.peer.rest().await;
}

/// What is ignored is the connection's nevertheless: its fields and its windows.
#[test]
fn what_draining_ignores_is_read() {
    run(|| async {
        let mut server = Server::open().await;
        server.peer.send(&post(1, "/")).await;
        server.peer.rest().await;
        drain_and_hear(&mut server).await;
        // Fields of a stream that is ignored enter the table.
        let ignored = [request("POST", "/no", &[]), super::hpack::indexed(b"x-late", b"1")].concat();
        server.peer.send(&headers(3, 0, &ignored)).await;
        let mut window = server.window;
        for _ in 0..100 {
            let bytes = window.min(16_384);
            assert!(bytes > 0, "the window is given back");
            server.peer.send(&data(3, 0, &vec![0; bytes])).await;
            window -= bytes;
            let updates = server.peer.rest().await;
            window += updates
                .iter()
                .filter(|f| f.is(kind::WINDOW_UPDATE, 0))
                .map(|f| f.number(0) as usize)
                .sum::<usize>();
        }
        server.peer.send(&headers(1, flag::END_STREAM, &[0xbe])).await;
        let frames = server.peer.rest().await;
        assert!(is_answered(&frames, 1), "{frames:?}");
        assert_eq!(server.logged(), ["POST /", "/ complete 0 1"]);
        server.end().await;
    });
}

#[test]
fn draining_an_idle_connection_ends_it() {
    run(|| async {
        for answers in [true, false] {
            let mut server = Server::open().await;
            server.drain.begin();
            let frames = server.peer.rest().await;
            assert_eq!(farewells(&frames)[0], (MAX_WINDOW, code::NO_ERROR), "{frames:?}");
            if answers {
                server.peer.send(&pong(find(&frames, kind::PING).expect("a PING"))).await;
                let frames = server.peer.rest().await;
                assert_eq!(farewells(&frames), [(0, code::NO_ERROR)], "{frames:?}");
                assert!(server.peer.ended);
            }
            assert_eq!(server.end().await, None, "a client that never answers is left as well");
        }
    });
}

#[test]
fn draining_before_the_preface_ends_the_connection() {
    run(|| async {
        let server = Server::start(Config::default(), 1 << 16);
        server.drain.begin();
        assert_eq!(server.end().await, None);
    });
}

/// Every frame type, and a request whose body waits.
fn conversation() -> Vec<Vec<u8>> {
    let block = request("POST", "/", &[("x", "y")]);
    vec![
        settings(&[(setting::MAX_CONCURRENT_STREAMS, 5)]),
        settings_ack(),
        ping(b"12345678"),
        priority(1, 0, 3),
        frame(kind::HEADERS, 0, 1, &block[..9]),
        continuation(1, flag::END_HEADERS, &block[9..]),
        data(1, flag::PADDED, &padded(b"hello", 5)),
        window_update(1, 5),
        window_update(0, 5),
        post(3, "/hold"),
        rst(3, code::CANCEL),
        frame(0xbe, 0, 0, b"unknown"),
        goaway(0, 0),
    ]
}

/// At whatever byte the socket closes, the connection has ended, and so have its exchanges.
#[test]
fn a_socket_that_closes_amid_each_frame() {
    run(|| async {
        let whole = conversation().concat();
        for end in 0..=whole.len() {
            let mut server = Server::start(Config::default(), 1 << 16);
            server.peer.send(&[PREFACE, &settings(&[])].concat()).await;
            server.peer.rest().await;
            server.peer.send(&whole[..end]).await;
            server.peer.rest().await;
            let log = server.log.clone();
            // Panics unless the connection ends.
            server.end().await;
            let log = log.borrow();
            assert!(!log.iter().any(|line| line.contains("complete")), "{end} {log:?}");
            let heads = log.iter().filter(|line| line.starts_with("POST")).count();
            assert_eq!(log.len(), 2 * heads, "each learns of it: {end} {log:?}");
        }
    });
}

/// The same where the peer is gone without a word, amid what it was to read.
#[test]
fn a_peer_that_is_gone() {
    run(|| async {
        for room in [1, 100, 5000, 20_000] {
            let mut server = Server::start(Config::default(), room);
            let ask = [PREFACE, &settings(&[]), &get(1, "/stream/600000"), &get(3, "/hold"), &post(5, "/")]
                .concat();
            for byte in ask.chunks(room) {
                if server.peer.stuff(byte).await < byte.len() {
                    break;
                }
            }
            let log = server.log.clone();
            server.vanish().await;
            let log = log.borrow();
            assert!(
                !log.iter().any(|line| line.contains("complete") || line.contains("sent")),
                "{room} {log:?}"
            );
            let heads = log.iter().filter(|line| line.contains(" /")).count();
            assert_eq!(log.len(), 2 * heads, "each learns of it: {room} {log:?}");
        }
    });
}

/// After a connection error nothing more is served, and what was under way learns of it.
#[test]
fn a_connection_error_ends_all_exchanges() {
    run(|| async {
        let mut server = Server::open().await;
        server.peer.send(&[post(1, "/"), get(3, "/hold"), get(5, "/stream/100000")].concat()).await;
        server.peer.rest().await;
        server.peer.send(&[data(0, 0, b"x"), get(7, "/no")].concat()).await;
        let frames = server.peer.rest().await;
        assert_eq!(farewells(&frames), [(5, code::PROTOCOL)], "{frames:?}");
        assert!(server.peer.ended);
        let log = server.log.clone();
        assert!(server.end().await.is_some());
        let log = log.borrow();
        assert_eq!(log.len(), 6, "each learns of it: {log:?}");
        assert!(log.iter().all(|line| !line.contains("complete") && !line.contains("/no")), "{log:?}");
    });
}

/// RFC 9113 §6.8: what was refused once stays so, whatever comes after.
#[test]
fn a_last_word_takes_nothing_back() {
    run(|| async {
        let mut server = Server::open().await;
        server.peer.send(&get(1, "/hold")).await;
        server.peer.rest().await;
        drain_and_hear(&mut server).await;
        server.peer.send(&[get(3, "/no"), frame(kind::PING, 0, 0, b"short")].concat()).await;
        let frames = server.peer.rest().await;
        let last = find(&frames, kind::GOAWAY).expect("an error");
        assert_eq!((last.number(0), last.code()), (1, code::FRAME_SIZE));
        server.end().await;
    });
}

/// An answer whose end is queued is still being served: a server that drains waits for a client that reads slowly.
#[test]
fn a_slow_reader_gets_the_rest_while_the_server_drains() {
    run(|| async {
        let mut server = Server::start(Config::default(), 10_000);
        let windows = settings(&[(setting::INITIAL_WINDOW_SIZE, 1 << 30)]);
        let asked =
            [PREFACE, &windows, &settings_ack(), &window_update(0, 1 << 30), &get(1, "/stream/200000")];
        server.peer.send(&asked.concat()).await;
        let mut come = 0;
        let mut paused = 0;
        let mut ended = false;
        while let Some(frame) = server.peer.next().await {
            match frame.kind {
                kind::DATA => come += frame.payload.len(),
                kind::HEADERS => ended |= frame.has(flag::END_STREAM),
                kind::PING if !frame.has(flag::ACK) => {
                    server.peer.send(&pong(&frame)).await;
                }
                _ => {}
            }
            if come > 0 {
                server.drain.begin();
                paused += 1;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        assert!(ended && come == 200_000, "{come} bytes, in {paused} seconds");
        server.end().await;
    });
}
