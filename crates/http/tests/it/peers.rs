//! With hyper on both sides of the smallest proxy: every combination of versions, over TCP.

use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use leno_http::server::Protocol;
use leno_http::{client, h1, h2, server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{in_time, local, proxy_one};

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, std::io::Error>;

const VERSIONS: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

/// Frames as a body.
fn body(frames: Vec<Frame<Bytes>>) -> Body {
    StreamBody::new(futures_util::stream::iter(frames.into_iter().map(Ok))).boxed_unsync()
}

/// Echoes body and trailers, and tells in headers what arrived; `/status/N` answers with that status.
async fn echo(request: Request<Incoming>) -> Result<Response<Body>, std::io::Error> {
    if request.headers().contains_key("upgrade") || request.method() == Method::CONNECT {
        return Ok(upgrade(request));
    }
    let mut answer = Response::builder();
    if let Some(status) = request.uri().path().strip_prefix("/status/") {
        answer = answer.status(status);
    }
    let host = request.headers().get("host").map(|v| v.to_str().expect("text").to_owned());
    let authority = host.or_else(|| request.uri().authority().map(ToString::to_string)).unwrap_or_default();
    let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    answer = answer.header("x-seen", format!("{} {authority} {target}", request.method()));
    for name in ["x-echo", "cookie", "te", "content-length"] {
        for value in request.headers().get_all(name) {
            answer = answer.header(format!("x-saw-{name}"), value);
        }
    }
    let is_head = request.method() == Method::HEAD;
    let collected = request.into_body().collect().await.map_err(std::io::Error::other)?;
    let trailers = collected.trailers().cloned();
    let bytes = collected.to_bytes();
    if is_head {
        return Ok(answer.header("content-length", 7).body(body(vec![])).expect("response"));
    }
    let mut frames: Vec<_> = if bytes.is_empty() { vec![] } else { vec![Frame::data(bytes)] };
    if let Some(trailers) = trailers {
        answer = answer.header("trailer", "x-sum");
        frames.push(Frame::trailers(trailers));
    }
    Ok(answer.body(body(frames)).expect("response"))
}

/// Grants an upgrade or CONNECT and echoes what comes.
fn upgrade(mut request: Request<Incoming>) -> Response<Body> {
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut io = TokioIo::new(upgraded.await.expect("upgraded"));
        let mut bytes = Vec::new();
        io.read_to_end(&mut bytes).await.expect("read");
        io.write_all(&bytes).await.expect("write");
        io.shutdown().await.expect("shut");
    });
    let mut response = Response::builder();
    if request.method() != Method::CONNECT {
        response = response.status(101).header("connection", "upgrade").header("upgrade", "websocket");
    }
    if let Some(key) = request.headers().get("sec-websocket-key") {
        response = response.header("x-key-length", key.len());
    }
    if let Some(authority) = request.uri().authority() {
        response = response.header("x-authority", authority.as_str());
    }
    response.body(body(vec![])).expect("response")
}

async fn hyper_server(protocol: Protocol) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.expect("accept");
            let io = TokioIo::new(socket);
            let service = hyper::service::service_fn(echo);
            match protocol {
                Protocol::Http1 => {
                    let connection = hyper::server::conn::http1::Builder::new().serve_connection(io, service);
                    tokio::spawn(connection.with_upgrades());
                }
                Protocol::Http2 => {
                    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    builder.enable_connect_protocol();
                    tokio::spawn(builder.serve_connection(io, service));
                }
            }
        }
    });
    address
}

async fn dial(upstream: SocketAddr, protocol: Protocol) -> client::Connection {
    let socket = Box::new(TcpStream::connect(upstream).await.expect("connect"));
    let config = client::Config::default();
    match protocol {
        Protocol::Http1 => client::Connection::H1(h1::ClientConnection::new(socket, &config)),
        Protocol::Http2 => {
            let (connection, driver) = h2::ClientConnection::new(socket, &config);
            local(driver);
            client::Connection::H2(connection)
        }
    }
}

/// A proxy that speaks `inside` to `upstream` and `outside` to its clients.
async fn start_proxy(outside: Protocol, upstream: SocketAddr, inside: Protocol) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    local(async move {
        loop {
            let (socket, _) = listener.accept().await.expect("accept");
            let config = Rc::new(server::Config::default());
            let mut connection = server::Connection::new(outside, Box::new(socket), config);
            local(async move {
                while let Some(exchange) = connection.accept().await {
                    let mut upstream = dial(upstream, inside).await;
                    let serving = async move { proxy_one(exchange, &mut upstream).await };
                    match outside {
                        Protocol::Http1 => serving.await,
                        Protocol::Http2 => drop(local(serving)),
                    }
                }
            });
        }
    });
    address
}

enum Client {
    H1(hyper::client::conn::http1::SendRequest<Body>),
    H2(hyper::client::conn::http2::SendRequest<Body>),
}

impl Client {
    async fn connect(address: SocketAddr, protocol: Protocol) -> Self {
        let io = TokioIo::new(TcpStream::connect(address).await.expect("connect"));
        match protocol {
            Protocol::Http1 => {
                let (send, connection) = hyper::client::conn::http1::handshake(io).await.expect("handshake");
                tokio::spawn(connection.with_upgrades());
                Self::H1(send)
            }
            Protocol::Http2 => {
                let executor = TokioExecutor::new();
                let (send, connection) =
                    hyper::client::conn::http2::handshake(executor, io).await.expect("handshake");
                tokio::spawn(connection);
                Self::H2(send)
            }
        }
    }

    async fn send(&mut self, request: Request<Body>) -> Response<Incoming> {
        match self {
            Self::H1(send) => {
                in_time(send.ready()).await.expect("ready");
                in_time(send.send_request(request)).await.expect("answer")
            }
            Self::H2(send) => {
                in_time(send.ready()).await.expect("ready");
                in_time(send.send_request(request)).await.expect("answer")
            }
        }
    }
}

/// A request in the form that the version's client wants.
fn request(protocol: Protocol, method: Method, target: &str) -> http::request::Builder {
    match protocol {
        Protocol::Http1 => Request::builder().method(method).uri(target).header("host", "a.b:80"),
        Protocol::Http2 => Request::builder().method(method).uri(format!("http://a.b:80{target}")),
    }
}

async fn with_every_pair<F: Future<Output = ()>>(test: impl Fn(Client, Protocol, Protocol) -> F) {
    tokio::task::LocalSet::new()
        .run_until(async {
            for outside in VERSIONS {
                for inside in VERSIONS {
                    let upstream = hyper_server(inside).await;
                    let proxy = start_proxy(outside, upstream, inside).await;
                    test(Client::connect(proxy, outside).await, outside, inside).await;
                }
            }
        })
        .await;
}

#[tokio::test]
async fn requests_without_bodies() {
    with_every_pair(|mut client, outside, inside| async move {
        for (method, target, status) in [
            (Method::GET, "/a?b=c", 200),
            (Method::DELETE, "/status/404", 404),
            (Method::GET, "/status/204", 204),
            (Method::GET, "/status/304", 304),
            (Method::POST, "/", 200),
            (Method::HEAD, "/h", 200),
        ] {
            let ask = request(outside, method.clone(), target).header("x-echo", "1").header("x-echo", "2");
            let ask = ask.header("cookie", "a=1").header("cookie", "b=2").header("te", "trailers");
            let answer = client.send(ask.body(body(vec![])).expect("request")).await;
            let context = format!("{outside:?} to {inside:?}: {method} {target}");
            assert_eq!(answer.status(), status, "{context}");
            let all = |name| -> Vec<String> {
                answer.headers().get_all(name).iter().map(|v| v.to_str().expect("text").to_owned()).collect()
            };
            assert_eq!(all("x-seen"), [format!("{method} a.b:80 {target}")], "{context}");
            assert_eq!(all("x-saw-x-echo"), ["1", "2"], "{context}");
            assert_eq!(all("x-saw-cookie").join("; "), "a=1; b=2", "{context}");
            assert_eq!(all("x-saw-te"), ["trailers"], "{context}");
            if method == Method::HEAD {
                assert_eq!(all("content-length"), ["7"], "{context}");
            }
            let bytes = in_time(answer.into_body().collect()).await.expect("body").to_bytes();
            assert!(bytes.is_empty(), "{context}");
        }
    })
    .await;
}

#[tokio::test]
async fn bodies_with_a_length_and_without_and_trailers() {
    with_every_pair(|mut client, outside, inside| async move {
        let context = format!("{outside:?} to {inside:?}");
        let big = Bytes::from((0..1_000_000_u32).map(|at| at.to_le_bytes()[0]).collect::<Vec<u8>>());
        for size in [1, 1000, 5000, 100_000, 1_000_000] {
            let sent = big.slice(..size);
            let whole = Full::new(sent.clone()).map_err(|never| match never {}).boxed_unsync();
            let answer = client.send(request(outside, Method::PUT, "/").body(whole).expect("request")).await;
            assert_eq!(answer.headers()["x-saw-content-length"], size.to_string(), "{context}");
            let got = in_time(answer.into_body().collect()).await.expect("body").to_bytes();
            assert!(got == sent, "{context}: {size}");
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "42".parse().expect("value"));
        let frames = big.chunks(30_000).map(|chunk| Frame::data(Bytes::copy_from_slice(chunk)));
        let frames = frames.chain([Frame::trailers(trailers)]).collect();
        let ask = request(outside, Method::PUT, "/").header("trailer", "x-sum").header("te", "trailers");
        let ask = match outside {
            Protocol::Http1 => ask.header("connection", "te"),
            Protocol::Http2 => ask,
        };
        let answer = client.send(ask.body(body(frames)).expect("request")).await;
        let collected = in_time(answer.into_body().collect()).await.expect("body");
        assert_eq!(
            collected.trailers().map(|t| t["x-sum"].clone()),
            Some("42".parse().expect("value")),
            "{context}"
        );
        assert!(collected.to_bytes() == big, "{context}");
    })
    .await;
}

#[tokio::test]
async fn many_requests_at_once_over_http2() {
    tokio::task::LocalSet::new()
        .run_until(async {
            let upstream = hyper_server(Protocol::Http1).await;
            let proxy = start_proxy(Protocol::Http2, upstream, Protocol::Http1).await;
            let Client::H2(send) = Client::connect(proxy, Protocol::Http2).await else { panic!("http/2") };
            let tasks: Vec<_> = (0..100)
                .map(|at| {
                    let mut send = send.clone();
                    local(async move {
                        let sent = Bytes::from(vec![b'x'; at * 1000]);
                        let whole = Full::new(sent.clone()).map_err(|never| match never {}).boxed_unsync();
                        let ask = request(Protocol::Http2, Method::POST, "/").body(whole).expect("request");
                        let answer = in_time(send.send_request(ask)).await.expect("answer");
                        let got = in_time(answer.into_body().collect()).await.expect("body").to_bytes();
                        assert!(got == sent, "{at}");
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("fine");
            }
        })
        .await;
}

/// The key of RFC 6455 §1.3, and what it is answered with.
const KEY: [&str; 2] = ["dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="];

/// A WebSocket as the version asks for it: an upgrade (RFC 6455), or an extended CONNECT (RFC 8441).
fn websocket(protocol: Protocol) -> Request<Body> {
    let method = match protocol {
        Protocol::Http1 => Method::GET,
        Protocol::Http2 => Method::CONNECT,
    };
    let mut ask = request(protocol, method, "/chat").header("sec-websocket-version", "13");
    if protocol == Protocol::Http1 {
        ask = ask.header("connection", "upgrade").header("upgrade", "websocket");
        ask = ask.header("sec-websocket-key", KEY[0]);
    }
    let mut ask = ask.body(body(vec![])).expect("request");
    if protocol == Protocol::Http2 {
        ask.extensions_mut().insert(hyper::ext::Protocol::from_static("websocket"));
    }
    ask
}

#[tokio::test]
async fn websockets() {
    with_every_pair(|mut client, outside, inside| async move {
        let context = format!("{outside:?} to {inside:?}");
        // The upstream connection is new: nothing is known of its server yet.
        let answer = client.send(websocket(outside)).await;
        let header = |name| answer.headers().get(name).map(|v| v.to_str().expect("text").to_owned());
        match outside {
            Protocol::Http1 => {
                assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS, "{context}");
                assert_eq!(header("upgrade").as_deref(), Some("websocket"), "{context}");
                if inside == Protocol::Http2 {
                    assert_eq!(header("sec-websocket-accept").as_deref(), Some(KEY[1]), "{context}");
                }
            }
            Protocol::Http2 => assert_eq!(answer.status(), StatusCode::OK, "{context}"),
        }
        // HTTP/1 servers get a key, the client's or one of the proxy's own.
        let key = (inside == Protocol::Http1).then_some("24");
        assert_eq!(header("x-key-length").as_deref(), key, "{context}");
        echo_through(TokioIo::new(hyper::upgrade::on(answer).await.expect("upgraded"))).await;
    })
    .await;
}

#[tokio::test]
async fn plain_connect() {
    with_every_pair(|mut client, outside, inside| async move {
        let context = format!("{outside:?} to {inside:?}");
        let ask = Request::builder().method(Method::CONNECT).uri("c.d:8443").header("host", "c.d:8443");
        let answer = client.send(ask.body(body(vec![])).expect("request")).await;
        assert_eq!(answer.status(), StatusCode::OK, "{context}");
        assert_eq!(answer.headers()["x-authority"], "c.d:8443", "{context}");
        echo_through(TokioIo::new(hyper::upgrade::on(answer).await.expect("upgraded"))).await;
    })
    .await;
}

async fn echo_through(mut io: TokioIo<hyper::upgrade::Upgraded>) {
    let sent: Vec<u8> = (0..200_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    in_time(io.write_all(&sent)).await.expect("write");
    in_time(io.shutdown()).await.expect("shut");
    let mut got = Vec::new();
    in_time(io.read_to_end(&mut got)).await.expect("read");
    assert!(got == sent, "{}", got.len());
}
