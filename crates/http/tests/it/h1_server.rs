//! The accepting end of HTTP/1 against raw bytes.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use leno_http::exchange::{Exchange, Frame};
use leno_http::h1::{Refusal, ServerConnection};
use leno_http::head::{Connect, Framing, ResponseHead};
use leno_http::server::{self, Connection};
use leno_model::failure::Failure;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use crate::support::{body_of, in_time, read_all, read_until, serve_text, server, write};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn stream_head() -> ResponseHead {
    let mut head = ResponseHead::new(StatusCode::OK);
    head.set_framing(Framing::Stream);
    head
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_in_order_and_the_last_closes() {
    let (mut peer, io) = duplex(64);
    let requests = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
                    POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
                    GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /4 HTTP/1.1\r\n";
    let (served, (), text) = tokio::join!(serve_text(server(io), "ok"), async {}, async {
        let (mut read, mut writing) = tokio::io::split(&mut peer);
        let mut text = String::new();
        let (read, _) = tokio::join!(read.read_to_string(&mut text), writing.write_all(requests.as_bytes()));
        read.expect("read");
        text
    });
    let closing = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    assert_eq!((served, text), (3, format!("{OK}{OK}{closing}")));
}

/// Whatever the socket takes at a time: the next frame waits for the end of the chunk before.
#[tokio::test(start_paused = true)]
async fn a_frame_never_overtakes_the_chunk_before() {
    for room in 1..=8 {
        let (mut peer, io) = duplex(room);
        let mut connection = server(io);
        let frames = [vec![b'a'; 2000], vec![b'b'], vec![b'c'; 2001], vec![b'd'; 3], vec![b'e'; 5000]];
        let serving = async {
            let Exchange { reply, .. } = connection.accept().await.expect("a request");
            let mut outgoing = reply.head(stream_head());
            for frame in &frames {
                in_time(poll_fn(|cx| outgoing.poll_room(cx))).await.expect("room");
                outgoing.data(Bytes::copy_from_slice(frame)).expect("room");
            }
            outgoing.finish();
            assert!(connection.accept().await.is_none());
        };
        let asking = async {
            write(&mut peer, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
            read_all(&mut peer).await
        };
        let ((), text) = tokio::join!(serving, asking);
        let (_, body) = text.split_once("\r\n\r\n").expect("a head");
        let chunk = |frame: &Vec<u8>| format!("{:x}\r\n{}\r\n", frame.len(), String::from_utf8_lossy(frame));
        let expected = frames.iter().map(chunk).collect::<String>() + "0\r\n\r\n";
        assert!(body == expected, "{room} bytes at a time: {body}");
    }
}

#[tokio::test]
async fn malformed_requests_are_answered_and_end_the_connection() {
    for (text, status, refusal) in [
        ("GET / HTTP/1.1\nHost: a\n\n", "400 Bad Request", Refusal::BareLf),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400 Bad Request",
            Refusal::LengthAndEncoding,
        ),
        ("GET / HTTP/1.1\r\nX: ", "431 Request Header Fields Too Large", Refusal::HeadTooLarge),
    ] {
        let (mut peer, io) = duplex(1 << 20);
        write(&mut peer, text).await;
        if refusal == Refusal::HeadTooLarge {
            write(&mut peer, &"x".repeat(61 * 1024)).await;
        }
        write(&mut peer, "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n").await;
        peer.shutdown().await.expect("shut");
        let mut connection = ServerConnection::new(Box::new(io), Rc::new(server::Config::default()));
        assert!(in_time(connection.accept()).await.is_none(), "{text:?}");
        assert_eq!(connection.turned_away().and_then(|turned| turned.refusal), Some(refusal));
        let answer = read_all(&mut peer).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "one answer only: {answer}");
    }
}

#[tokio::test]
async fn an_answer_is_not_lost_to_a_client_that_goes_on_sending() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let serving = async {
        let (socket, _) = listener.accept().await.expect("accept");
        assert!(server(socket).accept().await.is_none());
    };
    let client = async {
        let mut socket = tokio::net::TcpStream::connect(address).await.expect("connect");
        socket.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n").await.expect("write");
        // A close with bytes unread would reset the connection, and with it the answer.
        for _ in 0..10 {
            socket.write_all(&[b'x'; 10_000]).await.expect("write");
            tokio::task::yield_now().await;
        }
        socket.shutdown().await.expect("shut");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("no reset");
        answer
    };
    let ((), answer) = tokio::join!(in_time(serving), in_time(client));
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn large_heads_are_held_on_the_budget() {
    let budget = leno_http::budget::Budget::new(20 * 1024);
    let config = Rc::new(server::Config { budget: Some(budget.clone()), ..server::Config::default() });
    let open = || {
        let (peer, io) = duplex(1 << 20);
        (peer, ServerConnection::new(Box::new(io), Rc::clone(&config)))
    };
    let start = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(12 * 1024));
    let mut cx = Context::from_waker(Waker::noop());
    let (mut first_peer, mut first) = open();
    write(&mut first_peer, &start).await;
    assert!(first.poll_accept(&mut cx).is_pending());
    assert!(budget.used() > 12 * 1024);
    // There isn't enough left for another one, but for a usual head there needn't be.
    let (mut second_peer, mut second) = open();
    write(&mut second_peer, &start).await;
    second_peer.shutdown().await.expect("shut");
    assert!(in_time(second.accept()).await.is_none());
    assert_eq!(second.turned_away().and_then(|turned| turned.refusal), Some(Refusal::Overload));
    assert!(read_all(&mut second_peer).await.starts_with("HTTP/1.1 503"));
    let (mut third_peer, mut third) = open();
    write(&mut third_peer, "GET / HTTP/1.1\r\nHo").await;
    assert!(third.poll_accept(&mut cx).is_pending());
    write(&mut third_peer, "st: a\r\n\r\n").await;
    assert!(in_time(third.accept()).await.is_some());
    write(&mut first_peer, "\r\n\r\n").await;
    let exchange = in_time(first.accept()).await.expect("a request");
    assert!(budget.used() > 12 * 1024, "the head is still held");
    exchange.reply.whole(ResponseHead::new(StatusCode::OK), Bytes::new());
    drop(exchange.body);
    assert!(first.poll_accept(&mut cx).is_pending());
    assert_eq!(budget.used(), 0);
}

#[tokio::test]
async fn a_request_whose_body_is_malformed_from_the_start_is_none() {
    let (mut peer, io) = duplex(1024);
    write(&mut peer, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n+1\r\ny\r\n")
        .await;
    let mut connection = server(io);
    drop(peer.shutdown().await);
    assert!(in_time(connection.accept()).await.is_none());
    let answer = read_all(&mut peer).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("malformed chunk size"), "{answer}");
}

#[tokio::test]
async fn a_malformed_body_aborts_it_and_closes() {
    let (mut peer, io) = duplex(1024);
    write(&mut peer, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n").await;
    let mut connection = server(io);
    let Exchange { mut body, reply, .. } = in_time(connection.accept()).await.expect("a request");
    write(&mut peer, "+1\r\ny\r\n").await;
    assert!(matches!(body.frame().await, Frame::Data(data) if data == "x"));
    assert!(matches!(body.frame().await, Frame::Abort(Failure::BadRequest)));
    assert!(matches!(body.frame().await, Frame::Abort(Failure::BadRequest)), "it stays so");
    reply.local(Failure::BadRequest, false);
    drop(peer.shutdown().await);
    assert!(in_time(connection.accept()).await.is_none());
    let answer = read_all(&mut peer).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("connection: close"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn silence_ends_by_its_own_timeout() {
    let config = server::Config {
        header_timeout: Duration::from_secs(3),
        idle_timeout: Duration::from_secs(10),
        ..server::Config::default()
    };
    for (text, seconds, answer) in [("", 10, ""), ("GET / HT", 3, "HTTP/1.1 408 Request Timeout\r\n")] {
        let (mut peer, io) = duplex(1024);
        write(&mut peer, text).await;
        let start = tokio::time::Instant::now();
        let mut connection = ServerConnection::new(Box::new(io), Rc::new(config.clone()));
        let (end, answered) = tokio::join!(connection.accept(), async {
            let text = read_all(&mut peer).await;
            drop(peer);
            text
        });
        assert!(end.is_none());
        assert_eq!(start.elapsed().as_secs(), seconds, "{text:?}");
        assert!(answered.starts_with(answer) && answered.is_empty() == answer.is_empty(), "{answered}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_idle_time_begins_with_the_last_answer() {
    let config = server::Config { idle_timeout: Duration::from_secs(10), ..server::Config::default() };
    let (mut peer, io) = duplex(1024);
    let connection = Connection::H1(ServerConnection::new(Box::new(io), Rc::new(config)));
    let start = tokio::time::Instant::now();
    let (served, ()) = tokio::join!(serve_text(connection, "ok"), async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(8)).await;
            write(&mut peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert_eq!(read_until(&mut peer, "ok").await, OK);
        }
        assert_eq!(read_all(&mut peer).await, "");
    });
    assert_eq!((served, start.elapsed().as_secs()), (3, 34));
}

/// Long polls and event streams may be silent for as long as they like.
#[tokio::test(start_paused = true)]
async fn an_exchange_under_way_is_not_idle() {
    const SILENCE: Duration = Duration::from_secs(25);
    let config = server::Config { idle_timeout: SILENCE / 2, ..server::Config::default() };
    let (mut peer, io) = duplex(1024);
    let mut connection = ServerConnection::new(Box::new(io), Rc::new(config));
    let (rest, text) = tokio::join!(
        async {
            let Exchange { reply, .. } = connection.accept().await.expect("a request");
            tokio::time::sleep(SILENCE).await;
            let mut head = ResponseHead::new(StatusCode::OK);
            head.set_framing(Framing::Stream);
            let mut outgoing = reply.head(head);
            for event in ["first;", "second;"] {
                outgoing.data(Bytes::from(event)).expect("data");
                outgoing.ready().await.expect("sent");
                tokio::time::sleep(SILENCE).await;
            }
            outgoing.finish();
            connection.accept().await.is_some()
        },
        async {
            write(&mut peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let mut text = String::new();
            peer.read_to_string(&mut text).await.map(|_| text).expect("read")
        }
    );
    assert!(!rest && text.contains("first;") && text.ends_with("second;\r\n0\r\n\r\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn draining_closes_idle_connections_and_announces_it_on_others() {
    // Idle for so long when the drain begins, and closed so much later.
    for (idle, left) in [(0, 1000), (400, 600), (5000, 0)] {
        let (mut peer, io) = duplex(1024);
        let mut connection = server(io);
        let drain = connection.drain_handle();
        let (end, begun) = tokio::join!(connection.accept(), async {
            tokio::time::sleep(Duration::from_millis(idle)).await;
            drain.begin();
            tokio::time::Instant::now()
        });
        assert!(end.is_none());
        assert_eq!(begun.elapsed().as_millis(), left);
        assert_eq!(read_all(&mut peer).await, "");
    }

    // One that was on its way is served, as the last.
    let (mut peer, io) = duplex(1024);
    let mut connection = server(io);
    connection.drain();
    let (served, answer) = tokio::join!(serve_text(connection, "ok"), async {
        tokio::time::sleep(Duration::from_millis(900)).await;
        write(&mut peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        read_all(&mut peer).await
    });
    assert!(served == 1 && answer.contains("connection: close\r\n"), "{answer}");

    let (mut peer, io) = duplex(1024);
    let mut connection = server(io);
    write(&mut peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let exchange = in_time(connection.accept()).await.expect("a request");
    connection.drain();
    exchange.reply.whole(ResponseHead::new(StatusCode::OK), Bytes::from_static(b"ok"));
    assert!(in_time(connection.accept()).await.is_none());
    assert!(read_all(&mut peer).await.contains("connection: close\r\n"));
}

#[tokio::test]
async fn bodies_are_framed_for_request_and_version() {
    let last = "0\r\ngrpc-status: 0\r\n\r\n";
    for (line, fields, expected) in [
        ("GET / HTTP/1.1", "", format!("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n{last}")),
        ("GET / HTTP/1.0", "", "connection: close\r\n\r\nhello".into()),
        ("GET / HTTP/1.0", "Connection: keep-alive\r\n", "connection: close\r\n\r\nhello".into()),
        ("HEAD / HTTP/1.1", "", "\r\n".into()),
    ] {
        let (mut peer, io) = duplex(1024);
        write(&mut peer, &format!("{line}\r\nHost: a\r\n{fields}\r\n")).await;
        peer.shutdown().await.expect("shut");
        let mut connection = server(io);
        let Exchange { reply, .. } = in_time(connection.accept()).await.expect("a request");
        let mut outgoing = reply.head(stream_head());
        if !outgoing.is_finished() {
            outgoing.ready().await.expect("ready");
            outgoing.data(Bytes::from_static(b"hello")).expect("data");
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().expect("value"));
            outgoing.trailers(trailers);
        }
        drop(outgoing);
        assert!(in_time(connection.accept()).await.is_none());
        assert_eq!(read_all(&mut peer).await, format!("HTTP/1.1 200 OK\r\n{expected}"), "{line} {fields:?}");
    }
}

#[tokio::test]
async fn statuses_without_a_body_have_none() {
    for (status, length, expected) in [
        (204, Some(3), ""),
        (304, Some(3), "content-length: 3\r\n"),
        (304, None, ""),
        (200, None, "content-length: 0\r\n"),
    ] {
        let (mut peer, io) = duplex(1024);
        write(&mut peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        peer.shutdown().await.expect("shut");
        let mut connection = server(io);
        let Exchange { reply, .. } = in_time(connection.accept()).await.expect("a request");
        let mut head = ResponseHead::new(StatusCode::from_u16(status).expect("status"));
        head.set_framing(length.map_or(Framing::None, Framing::Length));
        assert!(reply.head(head).is_finished());
        assert!(in_time(connection.accept()).await.is_none());
        let answer = read_all(&mut peer).await;
        assert!(answer.ends_with(&format!("\r\n{expected}\r\n")), "{status}: {answer}");
        assert_eq!(answer.contains("content-length"), !expected.is_empty(), "{answer}");
    }
}

#[tokio::test]
async fn an_unread_body_is_drained_or_ends_the_connection() {
    for (size, expect, kept) in
        [(60 * 1024, "", true), (65 * 1024, "", false), (5, "Expect: 100-continue\r\n", false)]
    {
        let (mut peer, io) = duplex(1 << 20);
        write(&mut peer, &format!("POST / HTTP/1.1\r\nHost: a\r\n{expect}Content-Length: {size}\r\n\r\n"))
            .await;
        if expect.is_empty() {
            write(&mut peer, &"x".repeat(size)).await;
        }
        write(&mut peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        peer.shutdown().await.expect("shut");
        let mut connection = server(io);
        let Exchange { body, reply, head } = in_time(connection.accept()).await.expect("a request");
        assert_eq!(head.expects_continue(), !expect.is_empty());
        drop(body);
        reply.whole(ResponseHead::new(StatusCode::OK), Bytes::from_static(b"ok"));
        let next = in_time(connection.accept()).await;
        assert_eq!(next.is_some(), kept, "{size} {expect:?}");
        if let Some(next) = next {
            next.reply.whole(ResponseHead::new(StatusCode::OK), Bytes::from_static(b"ok"));
            assert!(in_time(connection.accept()).await.is_none());
        }
        assert!(read_all(&mut peer).await.starts_with("HTTP/1.1 200 OK"));
    }
}

#[tokio::test]
async fn continue_is_sent_when_asked_for() {
    let (mut peer, io) = duplex(1024);
    write(&mut peer, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n").await;
    let mut connection = server(io);
    let Exchange { mut body, mut reply, .. } = in_time(connection.accept()).await.expect("a request");
    reply.informational(&ResponseHead::new(StatusCode::CONTINUE)).await.expect("sent");
    assert_eq!(read_until(&mut peer, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    write(&mut peer, "hi").await;
    assert_eq!(body_of(&mut body).await.0, b"hi");
    reply.whole(ResponseHead::new(StatusCode::OK), Bytes::from_static(b"ok"));
    let (next, answer) = tokio::join!(in_time(connection.accept()), async {
        let answer = read_until(&mut peer, "ok").await;
        write(&mut peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        answer
    });
    assert_eq!(answer, OK);
    assert!(next.is_some(), "the connection goes on");
}

#[tokio::test]
async fn an_upgrade_becomes_a_tunnel_with_half_close() {
    let (mut peer, io) = duplex(1024);
    write(&mut peer, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly").await;
    let mut connection = server(io);
    let Exchange { head, mut body, reply } = in_time(connection.accept()).await.expect("a request");
    assert_eq!(*head.connect(), Connect::Upgrade("echo".into()));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(body.poll_frame(&mut cx).is_pending(), "not decided yet");
    let mut tunnel = reply.head(ResponseHead::switching("echo")).into_tunnel(body);
    let echo = async {
        let mut bytes = Vec::new();
        tunnel.read_to_end(&mut bytes).await.expect("read");
        tunnel.write_all(&bytes).await.expect("write");
        tunnel.shutdown().await.expect("shut");
        drop(tunnel);
        assert!(connection.accept().await.is_none());
    };
    let client = async {
        let head = read_until(&mut peer, "\r\n\r\n").await;
        assert_eq!(head, "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
        write(&mut peer, " and late").await;
        peer.shutdown().await.expect("shut");
        assert_eq!(read_all(&mut peer).await, "early and late");
    };
    tokio::join!(in_time(echo), in_time(client));
}

#[tokio::test]
async fn the_end_of_a_tunnel_goes_out_when_nobody_waits_for_it() {
    let (mut peer, io) = duplex(1024);
    write(&mut peer, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n").await;
    let mut connection = server(io);
    let Exchange { body, reply, .. } = in_time(connection.accept()).await.expect("a request");
    drop(body);
    reply.head(ResponseHead::new(StatusCode::OK)).finish();
    let (next, text) = tokio::join!(in_time(connection.accept()), read_all(&mut peer));
    assert!(next.is_none());
    assert_eq!(text, "HTTP/1.1 200 OK\r\n\r\n");
}

#[tokio::test]
async fn a_declined_upgrade_leaves_the_connection_usable_but_a_declined_connect_does_not() {
    for (request, kept) in [
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", true),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", false),
    ] {
        let (mut peer, io) = duplex(1024);
        write(&mut peer, request).await;
        write(&mut peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        peer.shutdown().await.expect("shut");
        let mut connection = server(io);
        let Exchange { mut body, reply, .. } = in_time(connection.accept()).await.expect("a request");
        reply.whole(ResponseHead::new(StatusCode::FORBIDDEN), Bytes::new());
        assert!(matches!(body.frame().await, Frame::End));
        assert_eq!(in_time(connection.accept()).await.is_some(), kept, "{request}");
        assert_eq!(read_until(&mut peer, "\r\n\r\n").await.contains("connection: close"), !kept);
    }
}

#[tokio::test]
async fn dropped_halves_cut_the_message_visibly_short() {
    let (mut peer, io) = duplex(1024);
    write(&mut peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut connection = server(io);
    let exchange = in_time(connection.accept()).await.expect("a request");
    drop(exchange);
    assert!(in_time(connection.accept()).await.is_none());
    assert_eq!(read_all(&mut peer).await, "");

    for (framing, given) in [(Framing::Stream, "5\r\nhello\r\n"), (Framing::Length(6), "hello")] {
        let (mut peer, io) = duplex(1024);
        write(&mut peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut connection = server(io);
        let Exchange { reply, .. } = in_time(connection.accept()).await.expect("a request");
        let mut head = ResponseHead::new(StatusCode::OK);
        head.set_framing(framing);
        let mut outgoing = reply.head(head);
        outgoing.data(Bytes::from_static(b"hello")).expect("data");
        // Ending early is the same as not ending.
        if framing == Framing::Length(6) {
            outgoing.finish();
        }
        drop(outgoing);
        assert!(in_time(connection.accept()).await.is_none());
        let answer = read_all(&mut peer).await;
        assert!(answer.ends_with(&format!("\r\n\r\n{given}")), "{answer}");
    }
}

#[tokio::test]
async fn more_than_was_announced_is_not_sent() {
    let (mut peer, io) = duplex(1024);
    write(&mut peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut connection = server(io);
    let Exchange { reply, .. } = in_time(connection.accept()).await.expect("a request");
    let mut head = ResponseHead::new(StatusCode::OK);
    head.set_framing(Framing::Length(3));
    let mut outgoing = reply.head(head);
    assert_eq!(outgoing.data(Bytes::from_static(b"1234")), Err(Failure::Internal));
    assert!(in_time(connection.accept()).await.is_none());
    assert!(!read_all(&mut peer).await.contains("1234"));
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed() {
    let (mut peer, io) = duplex(1024);
    write(&mut peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next").await;
    let mut connection = server(io);
    let Exchange { mut reply, .. } = in_time(connection.accept()).await.expect("a request");
    let mut cx = Context::from_waker(Waker::noop());
    assert!(reply.poll_closed(&mut cx).is_pending());
    drop(peer);
    assert_eq!(in_time(reply.closed()).await, Failure::DownstreamGone);
    drop(reply);
    assert!(in_time(connection.accept()).await.is_none());
}

#[tokio::test]
async fn a_slow_reader_holds_the_sender_and_no_more_than_a_frame() {
    let (mut peer, io) = duplex(64);
    write(&mut peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut connection = server(io);
    let Exchange { reply, .. } = in_time(connection.accept()).await.expect("a request");
    let mut outgoing = reply.head(stream_head());
    let mut cx = Context::from_waker(Waker::noop());
    let frame = Bytes::from(vec![b'x'; 16 * 1024]);
    let mut given = 0;
    while outgoing.poll_room(&mut cx) == Poll::Ready(Ok(())) {
        outgoing.data(frame.clone()).expect("data");
        given += 1;
        assert!(given < 10, "it never says no");
    }
    assert_eq!(given, 1);
    assert_eq!(outgoing.data(frame), Err(Failure::Internal), "what skips ready is refused");
}

/// A socket whose writes are counted.
struct Counted(tokio::io::DuplexStream, Rc<std::cell::Cell<usize>>);

impl leno_http::io::Io for Counted {}

impl tokio::io::AsyncRead for Counted {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl tokio::io::AsyncWrite for Counted {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.1.set(self.1.get() + 1);
        std::pin::Pin::new(&mut self.0).poll_write(cx, buf)
    }
    fn poll_write_vectored(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        self.1.set(self.1.get() + 1);
        std::pin::Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        true
    }
    fn poll_flush(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn head_body_and_end_go_out_in_one_write() {
    for (framing, size) in [
        (Framing::Length(2), 2),
        (Framing::Stream, 2),
        (Framing::Length(10_000), 10_000),
        (Framing::Stream, 10_000),
    ] {
        let (mut peer, io) = duplex(1 << 20);
        let writes = Rc::new(std::cell::Cell::new(0));
        let mut connection = server(Counted(io, Rc::clone(&writes)));
        write(&mut peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let Exchange { reply, .. } = in_time(connection.accept()).await.expect("a request");
        let mut head = ResponseHead::new(StatusCode::OK);
        head.set_framing(framing);
        let mut outgoing = reply.head(head);
        let mut body = leno_http::exchange::Incoming::whole(Bytes::from(vec![b'x'; size]));
        let tally = leno_http::relay::Tally::default();
        let end = leno_http::relay::body(&mut body, &mut outgoing, &tally).await;
        assert_eq!(end, leno_http::relay::BodyEnd::Complete);
        assert_eq!((writes.get(), tally.bytes()), (1, size as u64), "{framing:?}");
    }
}
