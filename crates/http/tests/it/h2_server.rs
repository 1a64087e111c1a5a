//! The accepting end of HTTP/2 against an `h2` client and raw frames.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Version};
use leno_http::exchange::{Exchange, Frame, Incoming};
use leno_http::head::{Connect, Framing, ResponseHead};
use leno_http::relay::{self, BodyEnd, Tally};
use leno_http::server;
use leno_model::failure::Failure;
use leno_model::request::RequestView as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::sync::mpsc;

use crate::support::{body_of, http2_server as connection, in_time, local, local_set};

type Sender = h2::client::SendRequest<Bytes>;

/// A client and a server connection that handles every exchange by `handler` in a task of its own.
async fn start<F: Future<Output = ()> + 'static>(
    config: server::Config,
    handler: impl Fn(Exchange) -> F + 'static,
) -> (Sender, tokio::task::JoinHandle<()>) {
    let (ours, theirs) = duplex(1 << 16);
    let mut server = connection(theirs, config);
    let served = local(async move {
        while let Some(exchange) = server.accept().await {
            local(handler(exchange));
        }
    });
    let (client, driver) = h2::client::Builder::new()
        .initial_window_size(1 << 20)
        .initial_connection_window_size(1 << 20)
        .handshake(ours)
        .await
        .expect("handshake");
    local(async move { drop(driver.await) });
    (in_time(client.ready()).await.expect("ready"), served)
}

/// The same with a handler that tells something, and what it tells.
async fn start_telling<T: 'static, F: Future<Output = ()> + 'static>(
    handler: impl Fn(Exchange, mpsc::Sender<T>) -> F + 'static,
) -> (Sender, mpsc::Receiver<T>) {
    let (tell, told) = mpsc::channel(1);
    let (client, _) = start(server::Config::default(), move |exchange| handler(exchange, tell.clone())).await;
    (client, told)
}

fn request(method: Method, uri: &str) -> Request<()> {
    Request::builder().method(method).version(Version::HTTP_2).uri(uri).body(()).expect("well-formed")
}

async fn collect(mut body: h2::RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut bytes = Vec::new();
    while let Some(data) = in_time(body.data()).await {
        let data = data?;
        bytes.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len())?;
    }
    Ok((bytes, in_time(body.trailers()).await?))
}

#[tokio::test]
async fn a_request_with_body_and_trailers_is_echoed() {
    local_set(async {
        let (mut client, _) = start(server::Config::default(), |exchange| async move {
            let Exchange { head, mut body, mut reply } = exchange;
            assert_eq!((head.method(), head.authority(), head.path()), ("POST", "a.b", "/x"));
            assert_eq!((head.query(), head.scheme(), head.framing()), (Some("y"), "http", Framing::Stream));
            assert_eq!(head.header("cookie").as_deref(), Some(&b"a=1; b=2"[..]));
            assert!(head.is_grpc() && head.accepts_trailers());
            reply.informational(&ResponseHead::new(StatusCode::EARLY_HINTS)).await.expect("sent");
            let (bytes, trailers) = body_of(&mut body).await;
            let mut head = ResponseHead::new(StatusCode::OK);
            head.set_framing(Framing::Stream);
            let mut outgoing = reply.head(head);
            outgoing.ready().await.expect("ready");
            outgoing.data(Bytes::from(bytes)).expect("data");
            outgoing.trailers(trailers.expect("trailers"));
        })
        .await;
        let mut ask = request(Method::POST, "http://a.b/x?y");
        ask.headers_mut().append("cookie", "a=1".parse().expect("value"));
        ask.headers_mut().append("cookie", "b=2".parse().expect("value"));
        ask.headers_mut().insert("te", "trailers".parse().expect("value"));
        ask.headers_mut().insert("content-type", "application/grpc+proto".parse().expect("value"));
        let (mut response, mut send) = client.send_request(ask, false).expect("open");
        send.send_data(Bytes::from_static(b"hello"), false).expect("data");
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1".parse().expect("value"));
        trailers.insert("content-length", "5".parse().expect("value"));
        send.send_trailers(trailers).expect("trailers");
        let hints = in_time(std::future::poll_fn(|cx| response.poll_informational(cx))).await;
        assert_eq!(hints.expect("one").expect("fine").status(), StatusCode::EARLY_HINTS);
        let (bytes, trailers) =
            collect(in_time(response).await.expect("answer").into_body()).await.expect("body");
        assert_eq!(bytes, b"hello");
        let trailers = trailers.expect("trailers");
        assert!(trailers.contains_key("x-sum") && !trailers.contains_key("content-length"));
    })
    .await;
}

#[tokio::test]
async fn what_http1_would_refuse_is_refused() {
    local_set(async {
        let (client, _) =
            start(server::Config { head_fields: 3, ..server::Config::default() }, |exchange| async move {
                panic!("{:?}", exchange.head)
            })
            .await;
        let host = |value: &str| {
            let mut ask = request(Method::GET, "http://a/");
            ask.headers_mut().append("host", value.parse().expect("value"));
            ask
        };
        let mut many = request(Method::GET, "http://a/");
        for at in 0..4 {
            many.headers_mut().append("x", at.into());
        }
        let mut lengths = request(Method::POST, "http://a/");
        lengths.headers_mut().append("content-length", "0".parse().expect("value"));
        lengths.headers_mut().append("content-length", "0".parse().expect("value"));
        let mut expect = request(Method::POST, "http://a/");
        expect.headers_mut().append("expect", "cake".parse().expect("value"));
        for (ask, status) in [
            (host("b"), 400),
            (request(Method::GET, "http://u@a/"), 400),
            (request(Method::GET, "http://a/%ff/ü"), 400),
            (many, 431),
            (lengths, 400),
            (expect, 400),
        ] {
            let mut client = in_time(client.clone().ready()).await.expect("ready");
            let text = format!("{ask:?}");
            let (response, _) = client.send_request(ask, true).expect("open");
            assert_eq!(in_time(response).await.expect("answer").status(), status, "{text}");
        }
    })
    .await;
}

#[tokio::test]
async fn local_replies_and_aborts() {
    local_set(async {
        let (client, _) = start(server::Config::default(), |exchange| async move {
            match exchange.head.path() {
                "/none" => drop(exchange.reply),
                "/denied" => {
                    let grpc = exchange.head.is_grpc();
                    exchange.reply.local(Failure::Denied, grpc);
                }
                _ => {
                    let mut head = ResponseHead::new(StatusCode::OK);
                    head.set_framing(Framing::Length(10));
                    let mut outgoing = exchange.reply.head(head);
                    outgoing.data(Bytes::from_static(b"hello")).expect("data");
                    outgoing.finish();
                }
            }
        })
        .await;
        for (path, grpc, status) in
            [("denied", false, Some(403)), ("denied", true, Some(200)), ("none", false, None)]
        {
            let mut client = in_time(client.clone().ready()).await.expect("ready");
            let mut ask = request(Method::GET, &format!("http://a/{path}"));
            if grpc {
                ask.headers_mut().insert("content-type", "application/grpc".parse().expect("value"));
            }
            let (response, _) = client.send_request(ask, true).expect("open");
            match (in_time(response).await, status) {
                (Ok(answer), Some(status)) => {
                    assert_eq!(answer.status(), status);
                    assert_eq!(answer.headers().contains_key("grpc-status"), grpc);
                    let body = collect(answer.into_body()).await.expect("body").0;
                    assert_eq!(body.is_empty(), grpc);
                }
                (Err(error), None) => assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR)),
                (answer, _) => panic!("{path}: {answer:?}"),
            }
        }
        let mut client = in_time(client.ready()).await.expect("ready");
        let (response, _) = client.send_request(request(Method::GET, "http://a/short"), true).expect("open");
        // The reset may overtake the head.
        let short = match in_time(response).await {
            Ok(answer) => collect(answer.into_body()).await.err(),
            Err(error) => Some(error),
        };
        assert_eq!(short.expect("visibly short").reason(), Some(h2::Reason::INTERNAL_ERROR));
    })
    .await;
}

#[tokio::test]
async fn a_tunnel_by_connect_and_by_extended_connect() {
    local_set(async {
        let (client, _) = start(server::Config::default(), |exchange| async move {
            let tunnel = exchange.head.connect().clone();
            assert!(
                matches!(&tunnel, Connect::Connect)
                    || matches!(&tunnel, Connect::Extended(p) if &**p == "websocket")
            );
            let mut tunnel =
                exchange.reply.head(ResponseHead::new(StatusCode::OK)).into_tunnel(exchange.body);
            let mut bytes = Vec::new();
            tunnel.read_to_end(&mut bytes).await.expect("read");
            tunnel.write_all(&bytes).await.expect("write");
            tunnel.shutdown().await.expect("shut");
        })
        .await;
        for extended in [false, true] {
            let mut client = in_time(client.clone().ready()).await.expect("ready");
            in_time(async {
                while !client.is_extended_connect_protocol_enabled() {
                    tokio::task::yield_now().await;
                }
            })
            .await;
            let mut ask = request(Method::CONNECT, if extended { "http://a/chat" } else { "a:443" });
            if extended {
                ask.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
            }
            let (response, mut send) = client.send_request(ask, false).expect("open");
            let answer = in_time(response).await.expect("answer");
            assert_eq!(answer.status(), StatusCode::OK);
            send.send_data(Bytes::from_static(b"there and"), false).expect("data");
            send.send_data(Bytes::from_static(b" back"), true).expect("data");
            assert_eq!(collect(answer.into_body()).await.expect("body").0, b"there and back");
        }
    })
    .await;
}

#[tokio::test]
async fn credit_is_given_only_for_what_was_taken() {
    local_set(async {
        let window = server::Config::default().h2.stream_window as usize;
        let (mut client, mut told) =
            start_telling(|exchange, tell| async move { drop(tell.send(exchange).await) }).await;
        let (_response, mut send) =
            client.send_request(request(Method::POST, "http://a/"), false).expect("open");
        let Exchange { mut body, reply: _reply, .. } = in_time(told.recv()).await.expect("an exchange");
        send.reserve_capacity(4 * window);
        while send.capacity() < window {
            in_time(std::future::poll_fn(|cx| send.poll_capacity(cx))).await;
        }
        assert_eq!(send.capacity(), window);
        send.send_data(Bytes::from(vec![0; window]), false).expect("data");
        let Frame::Data(first) = in_time(body.frame()).await else { panic!("data") };
        // Taking a frame gives nothing; asking for the next ones gives credit for those before.
        let mut taken = first.len();
        assert_eq!(send.capacity(), 0);
        while taken < window {
            let Frame::Data(data) = in_time(body.frame()).await else { panic!("data") };
            taken += data.len();
        }
        let capacity = in_time(std::future::poll_fn(|cx| send.poll_capacity(cx))).await;
        let capacity = capacity.expect("open").expect("fine");
        assert!(capacity > 0 && capacity < window, "{capacity}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_holds_the_sender() {
    local_set(async {
        let (mut client, mut told) = start_telling(|exchange, tell| async move {
            let mut head = ResponseHead::new(StatusCode::OK);
            head.set_framing(Framing::Stream);
            let mut outgoing = exchange.reply.head(head);
            let mut given = 0;
            // The clock is paused: it moves on when nothing else can.
            while let Ok(ready) = tokio::time::timeout(Duration::from_secs(1), outgoing.ready()).await {
                ready.expect("ready");
                outgoing.data(Bytes::from(vec![0; 16 * 1024])).expect("data");
                given += 16 * 1024;
            }
            assert_eq!(outgoing.data(Bytes::from_static(b"x")), Err(Failure::Internal), "ready was skipped");
            tell.send(given).await.expect("told");
        })
        .await;
        let (response, _) = client.send_request(request(Method::GET, "http://a/"), true).expect("open");
        let _answer = in_time(response).await.expect("answer");
        let given = in_time(told.recv()).await.expect("given");
        // The peer's window and one frame.
        let bound = (1 << 20) + 16 * 1024;
        assert!(given >= 1 << 20 && given <= bound, "{given}");
    })
    .await;
}

#[tokio::test]
async fn a_body_is_relayed_once_its_end_was_sent() {
    local_set(async {
        let (mut client, mut told) = start_telling(|exchange, tell| async move {
            let mut head = ResponseHead::new(StatusCode::OK);
            // More than the client's window.
            head.set_framing(Framing::Length(2 << 20));
            let mut outgoing = exchange.reply.head(head);
            let mut body = Incoming::whole(Bytes::from(vec![0; 2 << 20]));
            let end = relay::body(&mut body, &mut outgoing, &Tally::default()).await;
            tell.send(end).await.expect("told");
        })
        .await;
        for (is_read, expected) in
            [(true, BodyEnd::Complete), (false, BodyEnd::Stopped(Failure::DownstreamGone))]
        {
            let (response, _) = client.send_request(request(Method::GET, "http://a/"), true).expect("open");
            let (_, body) = in_time(response).await.expect("answer").into_parts();
            assert!(tokio::time::timeout(Duration::from_millis(20), told.recv()).await.is_err());
            if is_read {
                let (bytes, _) = in_time(collect(body)).await.expect("a body");
                assert_eq!(bytes.len(), 2 << 20);
            } else {
                drop(body);
            }
            assert_eq!(in_time(told.recv()).await, Some(expected));
        }
    })
    .await;
}

#[tokio::test]
async fn an_end_that_waits_for_a_window_can_be_cut_off() {
    local_set(async {
        let (mut client, _) = start(server::Config::default(), |exchange| async {
            let mut head = ResponseHead::new(StatusCode::OK);
            head.set_framing(Framing::Length(2 << 20));
            let mut outgoing = exchange.reply.head(head);
            outgoing.last(Bytes::from(vec![0; 2 << 20])).expect("given");
            outgoing.abort(Failure::UpstreamTimeout);
        })
        .await;
        let (response, _) = client.send_request(request(Method::GET, "http://a/"), true).expect("open");
        let (_, body) = in_time(response).await.expect("answer").into_parts();
        assert!(in_time(collect(body)).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_protocol_cannot_smuggle_lines_into_http1() {
    local_set(async {
        let (client, _) =
            start(server::Config::default(), |exchange| async move { panic!("{:?}", exchange.head) }).await;
        for (protocol, status) in [("websocket\r\nx: y", None), ("web socket", Some(400)), ("", Some(400))] {
            let mut client = in_time(client.clone().ready()).await.expect("ready");
            in_time(async {
                while !client.is_extended_connect_protocol_enabled() {
                    tokio::task::yield_now().await;
                }
            })
            .await;
            let mut ask = request(Method::CONNECT, "http://a/");
            ask.extensions_mut().insert(h2::ext::Protocol::from(protocol));
            let (response, _send) = client.send_request(ask, false).expect("open");
            match (in_time(response).await, status) {
                (Ok(answer), Some(status)) => assert_eq!(answer.status(), status, "{protocol:?}"),
                (Err(error), None) => assert_eq!(error.reason(), Some(h2::Reason::PROTOCOL_ERROR)),
                (answer, _) => panic!("{protocol:?}: {answer:?}"),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_resets_is_noticed() {
    local_set(async {
        let (mut client, mut told) = start_telling(|exchange, tell| async move {
            let Exchange { mut body, mut reply, .. } = exchange;
            tell.send(None).await.expect("told");
            let failure = reply.closed().await;
            let Frame::Abort(aborted) = body.frame().await else { panic!("aborted") };
            tell.send(Some((failure, aborted))).await.expect("told");
        })
        .await;
        let (response, mut send) =
            client.send_request(request(Method::POST, "http://a/"), false).expect("open");
        assert_eq!(in_time(told.recv()).await, Some(None));
        send.send_reset(h2::Reason::CANCEL);
        drop(response);
        let gone = Failure::DownstreamGone;
        assert_eq!(in_time(told.recv()).await, Some(Some((gone, gone))));
    })
    .await;
}

#[tokio::test]
async fn draining_says_goodbye_and_finishes_what_is_open() {
    local_set(async {
        let (ours, theirs) = duplex(1 << 16);
        let mut server = connection(theirs, server::Config::default());
        let drain = server.drain_handle();
        let (tell, mut told) = mpsc::channel(1);
        let served = local(async move {
            while let Some(exchange) = server.accept().await {
                drop(tell.send(exchange).await);
            }
        });
        let (client, driver) = h2::client::handshake(ours).await.expect("handshake");
        let driven = local(driver);
        let mut client = in_time(client.ready()).await.expect("ready");
        let (response, _) = client.send_request(request(Method::GET, "http://a/"), true).expect("open");
        let exchange = in_time(told.recv()).await.expect("an exchange");
        drain.begin();
        // The client learns of it although the exchange is still open.
        let mut refused = in_time(async {
            loop {
                match std::future::poll_fn(|cx| client.poll_ready(cx)).await {
                    Ok(()) => tokio::task::yield_now().await,
                    Err(error) => return error,
                }
            }
        })
        .await;
        assert!(refused.is_go_away() && refused.is_remote(), "{refused}");
        exchange.reply.whole(ResponseHead::new(StatusCode::OK), Bytes::from_static(b"bye"));
        let answer = in_time(response).await.expect("answer");
        assert_eq!(collect(answer.into_body()).await.expect("body").0, b"bye");
        in_time(served).await.expect("ended");
        drop(client);
        refused = in_time(driven).await.expect("ended").err().unwrap_or(refused);
        assert_ne!(refused.reason(), Some(h2::Reason::PROTOCOL_ERROR));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn silence_ends_by_its_own_timeout() {
    local_set(async {
        let config = server::Config {
            header_timeout: Duration::from_secs(3),
            idle_timeout: Duration::from_secs(10),
            ..server::Config::default()
        };
        let start_time = tokio::time::Instant::now();
        let (mut ours, theirs) = duplex(1 << 16);
        let mut server = connection(theirs, config.clone());
        assert!(server.accept().await.is_none());
        assert_eq!(start_time.elapsed().as_secs(), 3, "no preface");
        drop(server);
        let mut text = Vec::new();
        ours.read_to_end(&mut text).await.expect("closed");

        let (client, served) = start(config, |_| async {}).await;
        let start_time = tokio::time::Instant::now();
        served.await.expect("ended");
        assert_eq!(start_time.elapsed().as_secs(), 10, "no request");
        drop(client);
    })
    .await;
}

/// Long polls and event streams may be silent for as long as they like.
#[tokio::test(start_paused = true)]
async fn a_stream_under_way_is_not_idle() {
    const SILENCE: Duration = Duration::from_secs(25);
    local_set(async {
        let config = server::Config { idle_timeout: Duration::from_secs(10), ..server::Config::default() };
        let (mut client, served) = start(config, |exchange| async move {
            tokio::time::sleep(SILENCE).await;
            let mut head = ResponseHead::new(StatusCode::OK);
            head.set_framing(Framing::Stream);
            let mut outgoing = exchange.reply.head(head);
            for event in ["first;", "second;"] {
                outgoing.data(Bytes::from(event)).expect("data");
                outgoing.ready().await.expect("sent");
                tokio::time::sleep(SILENCE).await;
            }
            outgoing.finish();
        })
        .await;
        let (answer, _) = client.send_request(request(Method::GET, "http://a/"), true).expect("sent");
        let mut body = answer.await.expect("an answer").into_body();
        let mut text = Vec::new();
        while let Some(data) = body.data().await {
            text.extend_from_slice(&data.expect("not cut"));
        }
        assert_eq!(text, b"first;second;");
        served.await.expect("ended by itself, since it is idle now");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_peer_is_found_by_ping() {
    local_set(async {
        let mut config = server::Config::default();
        config.h2.ping_interval = Some(Duration::from_secs(30));
        config.h2.ping_timeout = Duration::from_secs(20);
        let (mut ours, theirs) = duplex(1 << 16);
        ours.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("preface");
        let start_time = tokio::time::Instant::now();
        let mut server = connection(theirs, config);
        assert!(server.accept().await.is_none());
        let elapsed = start_time.elapsed().as_secs();
        assert!((50..=80).contains(&elapsed), "{elapsed}");
    })
    .await;
}
