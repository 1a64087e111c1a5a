//! The dialling end of HTTP/2 against an `h2` server.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use leno_http::budget::Budget;
use leno_http::client;
use leno_http::exchange::{Answer, Frame, Progress};
use leno_http::h2::ClientConnection;
use leno_http::head::{Connect, Framing, RequestHead, Scheme};
use leno_http::limits;
use leno_model::failure::Failure;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::mpsc;

use crate::support::{body_of, in_time, local, local_set};

type Accepted = (Request<h2::RecvStream>, SendResponse<Bytes>);

fn head(method: Method, framing: Framing) -> RequestHead {
    let mut head = RequestHead::new(method, Scheme::Http, "a", "/x?y").expect("well-formed");
    head.set_framing(framing);
    head
}

fn handshake(io: DuplexStream, config: &client::Config) -> ClientConnection {
    let (connection, driver) = ClientConnection::new(Box::new(io), config);
    local(driver);
    connection
}

/// A client and what arrives at an `h2` server with `streams` streams.
async fn start(streams: u32) -> (ClientConnection, mpsc::Receiver<Accepted>) {
    start_with(streams, &client::Config::default()).await
}

async fn start_with(streams: u32, config: &client::Config) -> (ClientConnection, mpsc::Receiver<Accepted>) {
    let (ours, theirs) = duplex(1 << 16);
    let (tell, told) = mpsc::channel(8);
    let client = handshake(ours, config);
    local(async move {
        let mut builder = h2::server::Builder::new();
        builder.max_concurrent_streams(streams).enable_connect_protocol();
        let mut server = builder.handshake(theirs).await.expect("handshake");
        while let Some(Ok(accepted)) = server.accept().await {
            drop(tell.send(accepted).await);
        }
    });
    (client, told)
}

fn ok() -> Response<()> {
    Response::new(())
}

#[tokio::test]
async fn a_request_with_body_trailers_and_interim_answers() {
    local_set(async {
        let (mut client, mut accepted) = start(10).await;
        assert!(client.is_open() && client.idle_since().is_some());
        let (mut outgoing, mut response) =
            client.send(&head(Method::POST, Framing::Length(5))).await.expect("sent");
        assert_eq!((client.active(), client.idle_since(), response.progress()), (1, None, Progress::Sent));
        let (request, mut respond) = in_time(accepted.recv()).await.expect("a request");
        assert_eq!(request.uri(), "http://a/x?y");
        assert_eq!(request.headers().get("content-length").expect("length"), "5");
        let mut hints = ok();
        *hints.status_mut() = StatusCode::EARLY_HINTS;
        respond.send_informational(hints).expect("sent");
        let Ok(Answer::Informational(hints)) = in_time(response.head()).await else { panic!("hints") };
        assert_eq!(hints.status(), StatusCode::EARLY_HINTS);
        assert_eq!(response.progress(), Progress::ResponseStarted);
        in_time(outgoing.ready()).await.expect("ready");
        outgoing.last(Bytes::from_static(b"hello")).expect("data");
        let mut body = request.into_body();
        let data = in_time(body.data()).await.expect("data").expect("data");
        assert!(data == "hello" && body.is_end_stream(), "the last bytes carry the end");
        let mut send = respond.send_response(ok(), false).expect("sent");
        send.send_data(Bytes::from_static(b"world"), false).expect("sent");
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().expect("value"));
        send.send_trailers(trailers).expect("sent");
        let Ok(Answer::Final(head, mut incoming)) = in_time(response.head()).await else {
            panic!("an answer")
        };
        assert_eq!((head.status(), head.framing()), (StatusCode::OK, Framing::Stream));
        let (bytes, trailers) = body_of(&mut incoming).await;
        assert_eq!((&bytes[..], trailers.map_or(0, |map| map.len())), (&b"world"[..], 1));
        drop((outgoing, response, incoming));
        assert!(client.active() == 0 && client.idle_since().is_some());
    })
    .await;
}

#[tokio::test]
async fn an_answer_is_here_once_its_end_has_come() {
    local_set(async {
        let (mut client, mut accepted) = start(10).await;
        for is_whole in [true, false] {
            let (_outgoing, mut response) =
                client.send(&head(Method::GET, Framing::None)).await.expect("sent");
            let (_request, mut respond) = in_time(accepted.recv()).await.expect("a request");
            let mut send = respond.send_response(ok(), false).expect("sent");
            send.send_data(Bytes::from_static(b"world"), is_whole).expect("sent");
            let Ok(Answer::Final(_, mut incoming)) = in_time(response.head()).await else {
                panic!("an answer")
            };
            assert_eq!((incoming.is_here(), incoming.is_ended()), (is_whole, false));
            let Frame::Data(_) = in_time(incoming.frame()).await else { panic!("data") };
            assert_eq!((incoming.is_here(), incoming.is_ended()), (is_whole, is_whole));
        }
    })
    .await;
}

#[tokio::test]
async fn values_that_are_in_no_table_arrive_all_the_same() {
    local_set(async {
        let (mut client, mut accepted) = start(10).await;
        for number in 0..3 {
            let mut head = head(Method::GET, Framing::None);
            let sent = ["x-request-id", "traceparent", "traceparent", "x-other"]
                .into_iter()
                .zip(["a", "b", "c", "d"].map(|value| format!("{number} {value}")));
            for (name, value) in sent.clone() {
                head.fields_mut().append(name, value.as_bytes()).expect("appended");
            }
            let _sent = client.send(&head).await.expect("sent");
            let (request, _respond) = in_time(accepted.recv()).await.expect("a request");
            let seen = request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str()));
            let seen: Vec<_> = seen.map(|(name, value)| (name, value.expect("text").to_owned())).collect();
            assert_eq!(seen, sent.collect::<Vec<_>>());
        }
    })
    .await;
}

#[tokio::test]
async fn refused_streams_are_told_from_reset_ones() {
    local_set(async {
        for (reason, failure, progress) in [
            (h2::Reason::REFUSED_STREAM, Failure::UpstreamRefused, Progress::Refused),
            (h2::Reason::INTERNAL_ERROR, Failure::UpstreamReset, Progress::Sent),
            (h2::Reason::CANCEL, Failure::UpstreamReset, Progress::Sent),
        ] {
            let (mut client, mut accepted) = start(10).await;
            let (_outgoing, mut response) =
                client.send(&head(Method::GET, Framing::None)).await.expect("sent");
            let (_request, mut respond) = in_time(accepted.recv()).await.expect("a request");
            respond.send_reset(reason);
            assert_eq!(in_time(response.head()).await.err(), Some(failure));
            assert_eq!(response.progress(), progress, "{reason:?}");
            assert!(client.is_open());
        }
        // The send half learns it too.
        let (mut client, mut accepted) = start(10).await;
        let (mut outgoing, response) = client.send(&head(Method::POST, Framing::Stream)).await.expect("sent");
        let (_request, mut respond) = in_time(accepted.recv()).await.expect("a request");
        respond.send_reset(h2::Reason::REFUSED_STREAM);
        let stopped = in_time(poll_fn(|cx| outgoing.poll_stopped(cx))).await;
        assert_eq!((stopped, response.progress()), (Failure::UpstreamRefused, Progress::Refused));
        assert_eq!(in_time(outgoing.ready()).await, Err(Failure::UpstreamRefused));
        // After the head it isn't refused any more.
        let (mut client, mut accepted) = start(10).await;
        let (_outgoing, mut response) = client.send(&head(Method::GET, Framing::None)).await.expect("sent");
        let (_request, mut respond) = in_time(accepted.recv()).await.expect("a request");
        let mut send = respond.send_response(ok(), false).expect("sent");
        let Ok(Answer::Final(_, mut incoming)) = in_time(response.head()).await else { panic!("an answer") };
        send.send_reset(h2::Reason::REFUSED_STREAM);
        assert!(matches!(in_time(incoming.frame()).await, Frame::Abort(Failure::UpstreamReset)));
        assert_eq!(response.progress(), Progress::ResponseStarted);
    })
    .await;
}

/// Reads what the client sends and drops it.
async fn sink(mut io: tokio::io::ReadHalf<DuplexStream>) {
    let mut bytes = vec![0; 4096];
    while !matches!(io.read(&mut bytes).await, Ok(0) | Err(_)) {}
}

#[tokio::test]
async fn streams_above_goaway_s_last_are_refused() {
    local_set(async {
        for (last, first, second) in [
            (1_u32, (Failure::UpstreamClosed, Progress::Sent), (Failure::UpstreamRefused, Progress::Refused)),
            (0, (Failure::UpstreamRefused, Progress::Refused), (Failure::UpstreamRefused, Progress::Refused)),
        ] {
            let (ours, theirs) = duplex(1 << 16);
            let mut client = handshake(ours, &client::Config::default());
            let (read, mut write) = tokio::io::split(theirs);
            local(sink(read));
            let (_one, mut a) = client.send(&head(Method::GET, Framing::None)).await.expect("sent");
            let (_two, mut b) = client.send(&head(Method::GET, Framing::None)).await.expect("sent");
            // SETTINGS, then GOAWAY with NO_ERROR.
            write.write_all(b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0").await.expect("write");
            write.write_all(&[last.to_be_bytes(), [0; 4]].concat()).await.expect("write");
            assert_eq!(in_time(b.head()).await.err(), Some(second.0));
            assert_eq!(b.progress(), second.1);
            assert!(!client.is_open());
            let unsent = client.send(&head(Method::GET, Framing::None)).await.expect_err("closed");
            assert_eq!((unsent.failure, unsent.progress), (Failure::UpstreamClosed, Progress::NotSent));
            write.shutdown().await.expect("shut");
            assert_eq!(in_time(a.head()).await.err(), Some(first.0));
            assert_eq!(a.progress(), first.1);
        }
    })
    .await;
}

#[tokio::test]
async fn broken_sockets_and_broken_rules() {
    local_set(async {
        for (bytes, failure) in [
            (&b""[..], Failure::UpstreamClosed),
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", Failure::UpstreamProtocol),
        ] {
            let (ours, mut theirs) = duplex(1 << 16);
            let mut client = handshake(ours, &client::Config::default());
            let (_outgoing, mut response) =
                client.send(&head(Method::GET, Framing::None)).await.expect("sent");
            theirs.write_all(bytes).await.expect("write");
            theirs.shutdown().await.expect("shut");
            assert_eq!(in_time(response.head()).await.err(), Some(failure));
            assert_eq!(response.progress(), Progress::Sent);
            assert!(!client.is_open());
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_peer_s_limit_of_streams_is_kept() {
    local_set(async {
        let (mut client, mut accepted) = start(1).await;
        let (_outgoing, first) = client.send(&head(Method::GET, Framing::None)).await.expect("sent");
        let (_request, mut respond) = in_time(accepted.recv()).await.expect("a request");
        assert_eq!(client.available(), 0);
        let mut other = client.clone();
        let second = head(Method::GET, Framing::None);
        let waiting = other.send(&second);
        tokio::pin!(waiting);
        assert!(tokio::time::timeout(Duration::from_millis(50), &mut waiting).await.is_err());
        respond.send_response(ok(), true).expect("sent");
        let (_outgoing, mut second) = in_time(waiting).await.expect("sent");
        let (_request, mut respond) = in_time(accepted.recv()).await.expect("the second");
        respond.send_response(ok(), true).expect("sent");
        assert!(matches!(in_time(second.head()).await, Ok(Answer::Final(..))));
        drop(first);
    })
    .await;
}

/// Answers with so many bytes, as fast as windows let it.
async fn pour(mut respond: SendResponse<Bytes>, mut bytes: usize) {
    let mut head = ok();
    head.headers_mut().insert("x-some", "x".repeat(600).parse().expect("value"));
    let mut send = respond.send_response(head, false).expect("sent");
    while bytes > 0 {
        send.reserve_capacity(bytes.min(16 * 1024));
        let Some(Ok(room)) = poll_fn(|cx| send.poll_capacity(cx)).await else { return };
        let piece = room.min(bytes);
        bytes -= piece;
        send.send_data(vec![0; piece].into(), bytes == 0).expect("sent");
    }
}

#[tokio::test]
async fn a_stream_flows_beside_as_many_as_there_may_be_that_nobody_reads() {
    local_set(async {
        let streams = u32::try_from(limits::H2_UPSTREAM_STREAMS).expect("few");
        let window = limits::H2_UPSTREAM_CONNECTION_WINDOW as usize;
        let budget = Budget::new(1);
        let _used = budget.try_reserve(1).expect("free");
        let config = client::Config { budget: Some(budget), ..client::Config::default() };
        let (mut client, mut accepted) = start_with(streams, &config).await;
        let mut ask = async |bytes| {
            let (_outgoing, response) = client.send(&head(Method::GET, Framing::None)).await.expect("sent");
            let (_request, respond) = in_time(accepted.recv()).await.expect("a request");
            local(pour(respond, bytes));
            let mut response = response;
            let Ok(Answer::Final(_, incoming)) = in_time(response.head()).await else { panic!("an answer") };
            incoming
        };
        // Of what has been read, this much isn't worth a frame to the peer.
        let unannounced = window / 2 - limits::H2_FRAME as usize;
        let first = body_of(&mut ask(unannounced).await).await.0.len();
        assert_eq!(first, unannounced);
        let mut stalled = Vec::new();
        for _ in 1..streams {
            stalled.push(ask(usize::MAX).await);
        }
        // They fill their windows before the last one asks.
        tokio::time::sleep(Duration::from_millis(100)).await;
        for _ in 0..3 {
            let last = body_of(&mut ask(100_000).await).await.0.len();
            assert_eq!(last, 100_000);
        }
    })
    .await;
}

#[tokio::test]
async fn tunnels_by_connect_and_by_upgrade() {
    local_set(async {
        let (mut client, mut accepted) = start(10).await;
        let connect = RequestHead::new(Method::CONNECT, Scheme::Http, "b:443", "").expect("well-formed");
        let text = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let leno_http::h1::parse::Parsed::Complete(upgrade, _) =
            leno_http::h1::parse::request(text.as_bytes(), leno_http::h1::parse::Limits::default())
        else {
            panic!("well-formed")
        };
        // The upgrade comes first: it waits for the server's settings, which allow it.
        for (head, uri, protocol) in
            [(upgrade.head, "http://a/chat", Some("websocket")), (connect, "b:443", None)]
        {
            let (outgoing, mut response) = in_time(client.send(&head)).await.expect("sent");
            let (mut request, mut respond) = in_time(accepted.recv()).await.expect("a request");
            assert_eq!((request.method(), request.uri().to_string()), (&Method::CONNECT, uri.to_owned()));
            let asked = request.extensions_mut().remove::<h2::ext::Protocol>();
            assert_eq!(asked.as_ref().map(h2::ext::Protocol::as_str), protocol);
            assert!(!request.headers().contains_key("sec-websocket-key"));
            let mut send = respond.send_response(ok(), false).expect("sent");
            let Ok(Answer::Final(answer, incoming)) = in_time(response.head()).await else {
                panic!("granted")
            };
            if *head.connect() == Connect::Connect {
                assert_eq!(answer.status(), StatusCode::OK);
            } else {
                assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
                let accept = answer.fields().get("sec-websocket-accept");
                assert_eq!(accept, Some(&b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="[..]));
            }
            let mut tunnel = outgoing.into_tunnel(incoming);
            tunnel.write_all(b"hello").await.expect("write");
            tunnel.shutdown().await.expect("shut");
            let mut body = request.into_body();
            assert_eq!(in_time(body.data()).await.expect("data").expect("data"), "hello");
            send.send_data(Bytes::from_static(b"bye"), true).expect("sent");
            let mut text = String::new();
            in_time(tunnel.read_to_string(&mut text)).await.expect("read");
            assert_eq!(text, "bye");
        }
    })
    .await;
}

#[tokio::test]
async fn extended_connect_needs_the_peer_s_consent() {
    local_set(async {
        let (ours, theirs) = duplex(1 << 16);
        let mut client = handshake(ours, &client::Config::default());
        let _server = local(async move {
            let mut server = h2::server::handshake(theirs).await.expect("handshake");
            while server.accept().await.is_some() {}
        });
        let text = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        let leno_http::h1::parse::Parsed::Complete(upgrade, _) =
            leno_http::h1::parse::request(text.as_bytes(), leno_http::h1::parse::Limits::default())
        else {
            panic!("well-formed")
        };
        let unsent = client.send(&upgrade.head).await.expect_err("refused");
        assert_eq!((unsent.failure, unsent.progress), (Failure::UpgradeRefused, Progress::NotSent));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_peer_is_found_by_ping() {
    local_set(async {
        let mut config = client::Config::default();
        config.h2.ping_interval = Some(Duration::from_secs(10));
        config.h2.ping_timeout = Duration::from_secs(5);
        let (ours, mut theirs) = duplex(1 << 16);
        theirs.write_all(b"\0\0\0\x04\0\0\0\0\0").await.expect("settings");
        let (mut client, driver) = ClientConnection::new(Box::new(ours), &config);
        local(driver);
        let start = tokio::time::Instant::now();
        let (_outgoing, mut response) = client.send(&head(Method::GET, Framing::None)).await.expect("sent");
        assert!(matches!(response.head().await, Err(Failure::UpstreamClosed)));
        assert!((15..=25).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    })
    .await;
}
