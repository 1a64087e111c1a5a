//! Relays of bodies and of bytes.

use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use leno_http::budget::Budget;
use leno_http::exchange::{Answer, Exchange, Incoming, Outgoing};
use leno_http::head::{Framing, RequestHead, ResponseHead, Scheme};
use leno_http::limits::{BULK_BUFFER, LARGE_BUFFER, RELAY_BUFFER};
use leno_http::relay::{self, BodyEnd, DuplexEnd, Tally};
use leno_http::server::Connection;
use leno_http::{client, h1};
use leno_model::failure::Failure;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use crate::support::{self, in_time, read_all, read_until, server, write};

#[tokio::test]
async fn each_direction_ends_by_itself() {
    let (mut left, mut first) = duplex(100);
    let (mut right, mut second) = duplex(100);
    let (there, back) = (Tally::default(), Tally::default());
    let peers = async {
        write(&mut left, "ping").await;
        left.shutdown().await.expect("shut");
        assert_eq!(read_all(&mut right).await, "ping");
        // The other direction goes on.
        for _ in 0..3 {
            write(&mut right, "pong").await;
            assert_eq!(read_until(&mut left, "pong").await, "pong");
        }
        right.shutdown().await.expect("shut");
        assert_eq!(read_all(&mut left).await, "");
    };
    let (end, ()) = tokio::join!(in_time(relay::duplex(&mut first, &mut second, &there, &back)), peers);
    assert!(matches!(end, DuplexEnd::Complete));
    assert_eq!((there.bytes(), back.bytes()), (4, 12));
}

#[tokio::test]
async fn a_slow_sink_slows_the_source() {
    let (mut left, mut first) = duplex(1000);
    let (right, mut second) = duplex(1000);
    let (there, back) = (Tally::default(), Tally::default());
    let mut relay = std::pin::pin!(relay::duplex(&mut first, &mut second, &there, &back));
    let mut sent = 0;
    loop {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(relay.as_mut().poll(&mut cx).is_pending());
        let mut writing = std::pin::pin!(left.write(&[0; 500]));
        match writing.as_mut().poll(&mut cx) {
            std::task::Poll::Ready(n) => sent += n.expect("written"),
            std::task::Poll::Pending => break,
        }
        assert!(sent < 100_000, "it never stops");
    }
    // Both pipes and one buffer.
    assert!(sent <= 2000 + RELAY_BUFFER, "{sent}");
    drop(right);
    assert!(matches!(in_time(relay).await, DuplexEnd::Second(_)));
}

#[tokio::test(start_paused = true)]
async fn idleness_is_noticed_between_one_and_two_limits() {
    let (mut left, mut first) = duplex(100);
    let (mut right, mut second) = duplex(100);
    let (there, back) = (Tally::default(), Tally::default());
    let start = tokio::time::Instant::now();
    let peers = async {
        for _ in 0..5 {
            write(&mut left, "x").await;
            right.read_u8().await.expect("x");
            tokio::time::sleep(Duration::from_secs(8)).await;
        }
        std::future::pending::<()>().await;
    };
    let tallies = [&there, &back];
    tokio::select! {
        _ = relay::duplex(&mut first, &mut second, &there, &back) => panic!("nobody closed"),
        () = peers => {}
        () = relay::idle(&tallies, Duration::from_secs(10)) => {}
    }
    let seconds = start.elapsed().as_secs();
    assert!((42..=52).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn a_head_goes_out_when_nothing_follows_at_once() {
    let (mut peer, io) = duplex(1024);
    write(&mut peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut connection = server(io);
    let Exchange { reply, .. } = in_time(connection.accept()).await.expect("a request");
    // The body comes from another connection, whose server is slow.
    let (mut upstream, io) = duplex(1024);
    let mut from = support::client(io);
    write(&mut upstream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let head = RequestHead::new(Method::GET, Scheme::Http, "a", "/");
    let (_outgoing, mut response) = from.send(&head.expect("well-formed")).expect("open");
    let Ok(Answer::Final(head, mut incoming)) = in_time(response.head()).await else { panic!("an answer") };
    let mut outgoing = reply.head(head);
    let tally = Tally::default();
    let peers = async {
        assert_eq!(
            read_until(&mut peer, "\r\n\r\n").await,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        write(&mut upstream, "5\r\nhello").await;
        assert_eq!(
            read_until(&mut peer, "hello\r\n").await,
            "5\r\nhello\r\n",
            "the chunk is complete at once"
        );
        write(&mut upstream, "\r\n0\r\ngrpc-status: 7\r\n\r\n").await;
        assert_eq!(read_until(&mut peer, "\r\n\r\n").await, "0\r\ngrpc-status: 7\r\n\r\n");
    };
    let (end, ()) = tokio::join!(relay::body(&mut incoming, &mut outgoing, &tally), in_time(peers));
    assert_eq!((end, tally.bytes(), tally.grpc_status()), (BodyEnd::Complete, 5, Some(7)));
}

#[tokio::test]
async fn the_side_that_failed_is_told() {
    // The source breaks off.
    let (mut peer, io) = duplex(1024);
    write(&mut peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut connection = server(io);
    let Exchange { reply, .. } = in_time(connection.accept()).await.expect("a request");
    let (mut upstream, io) = duplex(1024);
    let mut from = support::client(io);
    write(&mut upstream, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello").await;
    upstream.shutdown().await.expect("shut");
    let head = RequestHead::new(Method::GET, Scheme::Http, "a", "/");
    let (_outgoing, mut response) = from.send(&head.expect("well-formed")).expect("open");
    let Ok(Answer::Final(head, mut incoming)) = in_time(response.head()).await else { panic!("an answer") };
    let mut outgoing = reply.head(head);
    let tally = Tally::default();
    let end = in_time(relay::body(&mut incoming, &mut outgoing, &tally)).await;
    assert_eq!(end, BodyEnd::Aborted(Failure::UpstreamClosed));
    outgoing.abort(Failure::UpstreamClosed);
    assert!(in_time(connection.accept()).await.is_none());
    assert!(read_all(&mut peer).await.ends_with("hello"), "what came is passed on");

    // The sink is gone.
    let (mut peer, io) = duplex(1024);
    write(&mut peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut connection = server(io);
    let Exchange { reply, .. } = in_time(connection.accept()).await.expect("a request");
    drop(peer);
    let mut head = ResponseHead::new(StatusCode::OK);
    head.set_framing(Framing::Length(10));
    let mut outgoing = reply.head(head);
    let mut body = Incoming::whole(Bytes::from_static(b"0123456789"));
    let end = in_time(relay::body(&mut body, &mut outgoing, &tally)).await;
    assert_eq!(end, BodyEnd::Stopped(Failure::DownstreamGone));
}

#[tokio::test]
async fn trailers_are_dropped_where_there_is_no_room_for_them() {
    let (mut peer, mut connection, mut outgoing) = asked("Connection: close\r\n", 2).await;
    outgoing.data(Bytes::from_static(b"ok")).expect("data");
    let mut trailers = HeaderMap::new();
    trailers.insert("x", "1".parse().expect("value"));
    outgoing.trailers(trailers);
    assert!(outgoing.is_finished());
    assert!(in_time(connection.accept()).await.is_none());
    assert!(read_all(&mut peer).await.ends_with("\r\n\r\nok"));
}

/// An upstream that has sent an answer with so many bytes, and the half that receives them.
async fn answered(bytes: usize, budget: &Budget) -> (h1::ClientConnection, Incoming, DuplexStream) {
    let (mut upstream, io) = duplex(1 << 21);
    let config = client::Config { budget: Some(budget.clone()), ..client::Config::default() };
    let mut connection = h1::ClientConnection::new(Box::new(io), &config);
    let request = RequestHead::new(Method::GET, Scheme::Http, "a", "/").expect("well-formed");
    let (_outgoing, mut response) = connection.send(&request).expect("sent");
    write(&mut upstream, &format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n")).await;
    in_time(upstream.write_all(&vec![7; bytes])).await.expect("written");
    let Ok(Answer::Final(_, incoming)) = in_time(response.head()).await else { panic!("an answer") };
    (connection, incoming, upstream)
}

/// A client that has asked, its connection, and an answer to it that is to have so many bytes.
async fn asked(fields: &str, bytes: usize) -> (DuplexStream, Connection, Outgoing) {
    let (mut peer, io) = duplex(1024);
    write(&mut peer, &format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).await;
    let mut connection = server(io);
    let Exchange { reply, .. } = in_time(connection.accept()).await.expect("a request");
    let mut head = ResponseHead::new(StatusCode::OK);
    head.set_framing(Framing::Length(bytes as u64));
    (peer, connection, reply.head(head))
}

/// Relays so many bytes to a reader that pauses before the last of them; asserts how much is reserved meanwhile.
async fn relay_to_one_that_pauses(bytes: usize, budget: &Budget, more_than: usize) {
    const LEFT: usize = BULK_BUFFER / 2;
    let (_connection, mut body, _upstream) = answered(bytes, budget).await;
    let (mut peer, _served, mut outgoing) = asked("Connection: close\r\n", bytes).await;
    let tally = Tally::default();
    let mut relaying = std::pin::pin!(relay::body(&mut body, &mut outgoing, &tally));
    let mut most = vec![0; bytes - LEFT];
    tokio::select! {
        end = &mut relaying => panic!("{end:?}"),
        read = in_time(peer.read_exact(&mut most)) => drop(read.expect("read")),
    }
    // Nothing more comes, and nobody reads what did.
    assert!(tokio::time::timeout(Duration::from_millis(20), &mut relaying).await.is_err());
    assert_eq!(tally.bytes(), bytes as u64);
    assert!(budget.used() > more_than, "{}", budget.used());
    let mut rest = vec![0; LEFT];
    let (end, read) = tokio::join!(in_time(relaying), in_time(peer.read_exact(&mut rest)));
    read.expect("read");
    assert_eq!(end, BodyEnd::Complete);
}

#[tokio::test]
async fn what_is_held_for_a_slow_reader_is_on_the_budget_to_the_last_byte() {
    // The last read is a large one.
    let bytes = RELAY_BUFFER + BULK_BUFFER + LARGE_BUFFER - 1000;
    for (budget, more_than) in [
        // The frame itself, and that it stalls.
        (Budget::new(4 * LARGE_BUFFER), LARGE_BUFFER + BULK_BUFFER),
        // No room for a large one.
        (Budget::new(LARGE_BUFFER), RELAY_BUFFER),
    ] {
        relay_to_one_that_pauses(bytes, &budget, more_than).await;
        assert_eq!(budget.used(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_lets_the_last_bytes_lie_is_cut_off_where_there_is_no_room() {
    let budget = Budget::new(RELAY_BUFFER);
    let _used = budget.try_reserve(RELAY_BUFFER).expect("free");
    let (_connection, mut body, _upstream) = answered(8000, &budget).await;
    let (_peer, _served, mut outgoing) = asked("", 8000).await;
    let tally = Tally::default();
    let end = in_time(relay::body(&mut body, &mut outgoing, &tally)).await;
    assert_eq!((end, outgoing.is_finished()), (BodyEnd::Aborted(Failure::Overload), true));
}
