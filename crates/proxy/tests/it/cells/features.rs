//! What is tried in each cell. A feature's function panics where it doesn't work.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::process::{Command, Stdio};

use bytes::Bytes;
use http::HeaderMap;
use leno_http::client::Connection;
use leno_http::exchange::Incoming;
use leno_http::server::Protocol;
use leno_testkit::programs::{CURL, or_skip};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::peer::{connect, data, field, interim, last, rest, send};
use super::programs;
use super::servers::Server;
use crate::world::soon;

/// Where a cell's client goes, and what is spoken on both sides.
#[derive(Clone, Copy)]
pub(super) struct Cell<'c> {
    pub(super) proxy: SocketAddr,
    /// A file of 1 MiB, and a place for others beside it.
    pub(super) file: &'c Path,
    pub(super) outside: Protocol,
    pub(super) inside: Protocol,
}

type Trying<'c> = Pin<Box<dyn Future<Output = ()> + 'c>>;

/// A row of the page.
pub(super) struct Feature {
    pub(super) name: &'static str,
    pub(super) server: Server,
    /// Who takes part besides the proxies.
    pub(super) peers: &'static str,
    /// Between which versions, and why not between the others.
    pub(super) between: Between,
    pub(super) try_it: for<'c> fn(Cell<'c>) -> Trying<'c>,
}

/// Where a feature exists.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Between {
    All,
    /// Clients of HTTP/1 have it.
    FromHttp1,
    /// Both sides speak gRPC.
    Grpc,
    /// The client speaks nothing but HTTP/2.
    FromHttp2,
    /// The server speaks nothing but HTTP/2.
    ToHttp2,
    /// Both of them.
    Http2,
}

impl Feature {
    /// Why there is no such cell.
    pub(super) fn missing(&self, outside: Protocol, inside: Protocol) -> Option<&'static str> {
        let (from_two, to_two) = (outside == Protocol::Http2, inside == Protocol::Http2);
        match self.between {
            Between::FromHttp1 if from_two => Some("none: HTTP/2 has streams instead"),
            Between::Grpc if !(from_two && to_two) => Some("none: HTTP/1 doesn't carry gRPC"),
            Between::FromHttp2 if !from_two => Some(HTTP2_ALONE),
            Between::ToHttp2 if !to_two => Some(HTTP2_ALONE),
            Between::Http2 if !(from_two && to_two) => Some(HTTP2_ALONE),
            _ => None,
        }
    }
}

macro_rules! features {
    ($($name:literal, $server:ident, $peers:ident, $between:ident = $try_it:path;)*) => {
        &[$(Feature {
            name: $name,
            server: Server::$server,
            peers: $peers,
            between: Between::$between,
            try_it: |cell| Box::pin($try_it(cell)),
        }),*]
    };
}

const HTTP2_ALONE: &str = "none: hyper-h2 speaks HTTP/2 alone";

/// The client is the test's own.
const NODE: &str = "Node as server";
const NGINX: &str = "nginx as server";
const CURL_NODE: &str = "curl as client, Node as server";
const CURL_NGINX: &str = "curl as client, nginx as server";
const HAPROXY_NODE: &str = "HAProxy as client, Node as server";
const ENVOY_NODE: &str = "Envoy as client, Node as server";
const GRPC: &str = "grpcio as client and server";
const HYPER: &str = "hyper-h2 as server";
const HYPER_NODE: &str = "hyper-h2 as client, Node as server";
const HYPERS: &str = "hyper-h2 as client and server";

pub(super) const FEATURES: &[Feature] = features! {
    "requests without and with a body, by length and as a stream", Node, NODE, All = requests;
    "several requests on one connection", Node, NODE, All = kept_connections;
    "pipelined requests, answered in order", Node, NODE, FromHttp1 = programs::pipelined;
    "a server that ends its connections after a few requests", Nginx, NGINX, All = programs::server_closes;
    "trailers of requests and of answers", Node, NODE, All = trailers;
    "103 Early Hints", Node, NODE, All = early_hints;
    "Expect: 100-continue, granted", Node, NODE, All = expect_continue;
    "Expect: 100-continue, refused", Node, NODE, All = expect_refused;
    "an answer before the request's body has ended", Node, NODE, All = early_answer;
    "a body that is refused for its size while it is sent", Nginx, NGINX, All = programs::too_large;
    "bodies in both directions at once, frame by frame, each ending by itself", Node, NODE, All = duplex;
    "server-sent events, unbuffered", Node, NODE, All = events;
    "long polls", Node, NODE, All = programs::long_poll;
    "an answer that breaks off is seen to", Node, NODE, All = broken;
    "WebSocket (RFC 6455, RFC 8441), with half-close", Node, NODE, All = websocket;
    "CONNECT to an application that is a proxy server, with half-close", Node, NODE, All = plain_connect;
    "gRPC: all kinds of call, statuses, metadata, deadlines", Grpc, GRPC, Grpc = programs::grpc;
    "bodies, trailers, interim and early answers, Expect, half-closes, through small windows and a small table", Hyper, HYPER, ToHttp2 = narrow;
    "WebSocket and CONNECT likewise, with half-close", Hyper, HYPER, ToHttp2 = narrow_tunnels;
    "heads and bodies in crumbs, padding, windows that change, trailers, interim and early answers, WebSocket with half-close", Node, HYPER_NODE, FromHttp2 = programs::crumbs;
    "the same between two that hold their peers to the letter", Hyper, HYPERS, Http2 = programs::crumbs;
    "downloads, and uploads with and without Expect", Node, CURL_NODE, All = by_curl;
    "a download of 16 MiB, a range of it, and its head alone", Nginx, CURL_NGINX, All = programs::large_download;
    "a proxy in front, bodies of 1 MiB in both directions", Node, HAPROXY_NODE, All = programs::behind_haproxy;
    "another proxy in front, bodies of 1 MiB in both directions", Node, ENVOY_NODE, All = programs::behind_envoy;
};

impl Cell<'_> {
    pub(super) async fn connect(self) -> Connection {
        connect(self.proxy, self.outside).await
    }

    /// What Node tells of a request.
    pub(super) fn seen(self, request: &str) -> String {
        let version = match self.inside {
            Protocol::Http1 => "1.1",
            Protocol::Http2 => "2.0",
        };
        format!("{request} {version}")
    }
}

async fn requests(cell: Cell<'_>) {
    let mut client = cell.connect().await;
    for (head, pieces) in [
        ("GET /a?b=c HTTP/1.1\r\nhost: app", &[][..]),
        ("DELETE /a HTTP/1.1\r\nhost: app", &[]),
        ("POST /a HTTP/1.1\r\nhost: app\r\ncontent-length: 0", &[]),
        ("PUT /a HTTP/1.1\r\nhost: app\r\ncontent-length: 9", &["some", "bytes"]),
        ("PUT /a HTTP/1.1\r\nhost: app\r\ntransfer-encoding: chunked", &["some", "more", "bytes"]),
    ] {
        let (mut outgoing, mut response) = send(&mut client, head).await;
        for piece in pieces {
            soon(outgoing.ready()).await.unwrap();
            outgoing.data(Bytes::from_static(piece.as_bytes())).unwrap();
        }
        outgoing.finish();
        let (answer, mut body) = last(&mut response).await;
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        assert_eq!(field(&answer, "x-seen"), cell.seen(&format!("{method} app {target}")));
        let (bytes, _) = rest(&mut body).await.expect("a whole body");
        assert_eq!(String::from_utf8(bytes).unwrap(), pieces.concat(), "{head}");
        // The connection's next exchange begins when both halves of this one are gone.
        drop((outgoing, response, body));
    }
}

async fn kept_connections(cell: Cell<'_>) {
    let mut client = cell.connect().await;
    for _ in 0..20 {
        let (outgoing, mut response) = send(&mut client, "GET / HTTP/1.1\r\nhost: app").await;
        let (answer, mut body) = last(&mut response).await;
        assert_eq!(answer.status(), 200);
        rest(&mut body).await.expect("a whole body");
        drop((outgoing, response, body));
        assert!(client.is_reusable());
    }
}

async fn trailers(cell: Cell<'_>) {
    let mut client = cell.connect().await;
    let head = "POST / HTTP/1.1\r\nhost: app\r\nte: trailers\r\nconnection: te\r\ntrailer: x-sent\r\ntransfer-encoding: chunked";
    let (mut outgoing, mut response) = send(&mut client, head).await;
    soon(outgoing.ready()).await.unwrap();
    outgoing.data(Bytes::from_static(b"body")).unwrap();
    soon(outgoing.ready()).await.unwrap();
    let sent = [("x-sent".parse().unwrap(), "checksum".parse().unwrap())];
    outgoing.trailers(HeaderMap::from_iter(sent));
    let (_, mut body) = last(&mut response).await;
    let (bytes, trailers) = rest(&mut body).await.expect("a whole body");
    assert_eq!(bytes, b"body");
    assert_eq!(trailers, ["x-got: checksum", "x-sum: 4"]);
}

async fn early_hints(cell: Cell<'_>) {
    let mut client = cell.connect().await;
    let (_outgoing, mut response) = send(&mut client, "GET /hints HTTP/1.1\r\nhost: app").await;
    let hints = interim(&mut response).await;
    assert_eq!(hints.status(), 103);
    assert_eq!(field(&hints, "link"), "</a.css>; rel=preload");
    let (answer, mut body) = last(&mut response).await;
    assert_eq!((answer.status().as_u16(), rest(&mut body).await.unwrap().0), (200, b"hinted".to_vec()));
}

async fn expect_continue(cell: Cell<'_>) {
    let mut client = cell.connect().await;
    let head = "POST / HTTP/1.1\r\nhost: app\r\nexpect: 100-continue\r\ncontent-length: 4";
    let (mut outgoing, mut response) = send(&mut client, head).await;
    assert_eq!(interim(&mut response).await.status(), 100);
    soon(outgoing.ready()).await.unwrap();
    outgoing.data(Bytes::from_static(b"body")).unwrap();
    outgoing.finish();
    let (answer, mut body) = last(&mut response).await;
    assert_eq!((answer.status().as_u16(), rest(&mut body).await.unwrap().0), (200, b"body".to_vec()));
}

async fn expect_refused(cell: Cell<'_>) {
    let mut client = cell.connect().await;
    let head = "POST /refused HTTP/1.1\r\nhost: app\r\nexpect: 100-continue\r\ncontent-length: 4";
    let (_outgoing, mut response) = send(&mut client, head).await;
    assert_eq!(last(&mut response).await.0.status(), 417, "and no byte of the body was asked for");
}

async fn early_answer(cell: Cell<'_>) {
    let mut client = cell.connect().await;
    let head = "POST /early HTTP/1.1\r\nhost: app\r\ntransfer-encoding: chunked";
    let (mut outgoing, mut response) = send(&mut client, head).await;
    soon(outgoing.ready()).await.unwrap();
    outgoing.data(Bytes::from_static(b"the first of many")).unwrap();
    let (answer, mut body) = last(&mut response).await;
    assert_eq!((answer.status().as_u16(), rest(&mut body).await.unwrap().0), (413, b"too much".to_vec()));
    // Whatever became of that connection, the proxy serves others.
    drop((outgoing, response, body, client));
    kept_connections(cell).await;
}

async fn duplex(cell: Cell<'_>) {
    let mut client = cell.connect().await;
    let head = "POST / HTTP/1.1\r\nhost: app\r\ntransfer-encoding: chunked";
    let (mut outgoing, mut response) = send(&mut client, head).await;
    let (_, mut body) = last(&mut response).await;
    for piece in [&b"first"[..], b"second", b"third"] {
        soon(outgoing.ready()).await.unwrap();
        outgoing.data(Bytes::from_static(piece)).unwrap();
        soon(outgoing.ready()).await.unwrap();
        assert_eq!(data(&mut body).await, piece, "it comes back while the request goes on");
    }
    outgoing.finish();
    soon(outgoing.ready()).await.unwrap();
    assert_eq!(rest(&mut body).await.unwrap().1, ["x-got: none", "x-sum: 16"]);
}

/// Has the server go on with every answer that waits for this.
pub(super) async fn go_on(cell: Cell<'_>) {
    let mut client = cell.connect().await;
    let (_outgoing, mut told) = send(&mut client, "GET /more HTTP/1.1\r\nhost: app").await;
    assert_eq!(last(&mut told).await.0.status(), 200);
}

async fn events(cell: Cell<'_>) {
    let mut client = cell.connect().await;
    let (_outgoing, mut response) = send(&mut client, "GET /events HTTP/1.1\r\nhost: app").await;
    let (answer, mut body) = last(&mut response).await;
    assert_eq!(field(&answer, "content-type"), "text/event-stream");
    assert_eq!(data(&mut body).await, "data: one\n\n");
    go_on(cell).await;
    assert_eq!(rest(&mut body).await.unwrap().0, b"data: two\n\n");
}

async fn broken(cell: Cell<'_>) {
    let mut client = cell.connect().await;
    let (_outgoing, mut response) = send(&mut client, "GET /broken HTTP/1.1\r\nhost: app").await;
    let (_, mut body) = last(&mut response).await;
    assert_eq!(data(&mut body).await, "half");
    go_on(cell).await;
    assert_eq!(rest(&mut body).await, Err(Vec::new()), "not taken for the whole");
}

/// Bytes come back; then either direction ends by itself.
async fn echo_through(outgoing: leno_http::exchange::Outgoing, incoming: Incoming) {
    let mut tunnel = outgoing.into_tunnel(incoming);
    for _ in 0..3 {
        tunnel.write_all(b"ping").await.unwrap();
        tunnel.flush().await.unwrap();
        let mut back = [0; 4];
        soon(tunnel.read_exact(&mut back)).await.unwrap();
        assert_eq!(&back, b"ping");
    }
    let many = vec![b'x'; 100_000];
    let (mut reading, mut writing) = tokio::io::split(tunnel);
    let write = async {
        writing.write_all(&many).await.unwrap();
        writing.shutdown().await.unwrap();
    };
    let mut back = Vec::new();
    let read = async { reading.read_to_end(&mut back).await.unwrap() };
    soon(async { tokio::join!(write, read) }).await;
    assert!(back == many, "{}", back.len());
}

async fn websocket(cell: Cell<'_>) {
    let mut client = cell.connect().await;
    let head = "GET /chat HTTP/1.1\r\nhost: app\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
    let (outgoing, mut response) = send(&mut client, head).await;
    let (answer, incoming) = last(&mut response).await;
    // The client's own codec makes a 101 of HTTP/2's 200.
    assert_eq!(answer.status(), 101);
    assert_eq!(field(&answer, "sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    echo_through(outgoing, incoming).await;
}

async fn plain_connect(cell: Cell<'_>) {
    let mut client = cell.connect().await;
    let head = "CONNECT far.example.com:443 HTTP/1.1\r\nhost: far.example.com:443";
    let (outgoing, mut response) = send(&mut client, head).await;
    let (answer, incoming) = last(&mut response).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(field(&answer, "x-authority"), "far.example.com:443");
    echo_through(outgoing, incoming).await;
}

async fn narrow(cell: Cell<'_>) {
    requests(cell).await;
    kept_connections(cell).await;
    trailers(cell).await;
    early_hints(cell).await;
    expect_continue(cell).await;
    expect_refused(cell).await;
    early_answer(cell).await;
    duplex(cell).await;
    events(cell).await;
    broken(cell).await;
}

async fn narrow_tunnels(cell: Cell<'_>) {
    websocket(cell).await;
    plain_connect(cell).await;
}

async fn by_curl(cell: Cell<'_>) {
    let Some(curl) = or_skip(CURL.find()) else { return };
    let version = match cell.outside {
        Protocol::Http1 => "--http1.1",
        Protocol::Http2 => "--http2-prior-knowledge",
    };
    let big = "0123456789abcdef".repeat(50_000);
    for (arguments, method, sent) in [
        (&[][..], "GET", ""),
        (&["--data-binary", "@-", "-H", "expect:"], "POST", "small"),
        (&["--data-binary", "@-", "-H", "expect: 100-continue"], "POST", "small"),
        (&["--data-binary", "@-"], "POST", &*big),
        (&["-T", "-"], "PUT", &*big),
    ] {
        let mut command = Command::new(&curl);
        command
            .args(["-sS", "--fail", "--max-time", "20", "-D", "/dev/stderr", version, "-H", "host: app"])
            .args(arguments);
        command
            .arg(format!("http://{}/curl", cell.proxy))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = sent.to_owned();
        let writing = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        let _read_or_not = writing.join();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.stdout == sent.as_bytes(), "{arguments:?}: {text:.400}");
        let seen = format!("x-seen: {}", cell.seen(&format!("{method} app /curl")));
        assert!(text.contains(&seen), "{arguments:?}: no {seen} in {text:.400}");
    }
}
