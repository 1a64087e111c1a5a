//! What is tried with programs that others wrote as clients, and with servers that have ways of their own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use leno_http::server::Protocol;
use leno_testkit::ports::free;
use leno_testkit::programs::{CURL, GRPCIO, HAPROXY, HYPER_H2, Package, envoy, or_skip, python};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::features::Cell;
use super::peer::{field, last, rest, send};
use super::servers::{FILE, Running};
use crate::app::head;
use crate::world::soon;

/// What a command prints. It runs beside what this thread serves.
async fn output(mut command: Command) -> (Vec<u8>, String) {
    let running = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = soon(running).await.unwrap();
    (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// curl, which tells the heads on its standard error.
fn curl(version: Protocol, arguments: &[&str], address: SocketAddr, path: &str) -> Option<Command> {
    let mut command = Command::new(or_skip(CURL.find())?);
    let version = match version {
        Protocol::Http1 => "--http1.1",
        Protocol::Http2 => "--http2-prior-knowledge",
    };
    command.args(["-sS", "--max-time", "20", "-D", "/dev/stderr", "-H", "host: app", version]);
    command.args(arguments).arg(format!("http://{address}{path}"));
    Some(command)
}

/// How a program says that it got HTTP/1 or HTTP/2.
fn version(of: Protocol, one: &'static str, two: &'static str) -> &'static str {
    if of == Protocol::Http1 { one } else { two }
}

pub(super) async fn long_poll(cell: Cell<'_>) {
    let mut client = cell.connect().await;
    let (_outgoing, mut response) = send(&mut client, "GET /poll HTTP/1.1\r\nhost: app").await;
    let answered = tokio::time::timeout(std::time::Duration::from_millis(50), response.head()).await;
    assert!(answered.is_err(), "there is nothing to tell yet");
    super::features::go_on(cell).await;
    let (answer, mut body) = last(&mut response).await;
    assert_eq!((answer.status().as_u16(), rest(&mut body).await.unwrap().0), (200, b"news".to_vec()));
}

pub(super) async fn pipelined(cell: Cell<'_>) {
    let mut stream = TcpStream::connect(cell.proxy).await.unwrap();
    let requests = "POST /1 HTTP/1.1\r\nhost: app\r\ncontent-length: 4\r\n\r\nbodyGET /2 HTTP/1.1\r\nhost: app\r\n\r\n\
                    GET /3 HTTP/1.1\r\nhost: app\r\nconnection: close\r\n\r\n";
    stream.write_all(requests.as_bytes()).await.unwrap();
    let first = soon(head(&mut stream)).await.unwrap();
    let rest = crate::world::rest(&mut stream).await;
    let all = first + &String::from_utf8(rest).unwrap();
    let seen: Vec<&str> = all.lines().filter_map(|line| line.strip_prefix("x-seen: ")).collect();
    let expected = ["POST app /1", "GET app /2", "GET app /3"].map(|request| cell.seen(request));
    assert_eq!(seen, expected, "{all}");
}

pub(super) async fn large_download(cell: Cell<'_>) {
    for (arguments, status, bytes) in [
        (&["-f"][..], " 200", 0..FILE),
        (&["-f", "-r", "1000-200999"], " 206", 1000..201_000),
        (&["-f", "-I"], " 200", 0..0),
    ] {
        let Some(command) = curl(cell.outside, arguments, cell.proxy, "/file") else { return };
        let (got, heads) = output(command).await;
        let got = if arguments.contains(&"-I") { &[] } else { &*got };
        let is_right =
            bytes.clone().zip(got).all(|(at, byte)| *byte == b'a' + u8::try_from(at % 23).unwrap());
        assert!(got.len() == bytes.len() && is_right, "{arguments:?}: {} bytes, {heads}", got.len());
        assert!(heads.lines().next().is_some_and(|line| line.contains(status)), "{heads}");
        let seen = version(cell.inside, "x-seen: HTTP/1.1", "x-seen: HTTP/2.0");
        assert!(heads.contains(seen), "{heads}");
    }
}

pub(super) async fn server_closes(cell: Cell<'_>) {
    let mut client = cell.connect().await;
    // The server ends each connection with its third answer; no client sees anything of that.
    for method in ["GET", "POST", "GET", "GET", "DELETE", "GET", "POST", "POST", "GET", "POST"] {
        let head = format!("{method} /small HTTP/1.1\r\nhost: app\r\ncontent-length: 0");
        let (outgoing, mut response) = send(&mut client, &head).await;
        let (answer, mut body) = last(&mut response).await;
        let expected = version(cell.inside, "HTTP/1.1", "HTTP/2.0");
        assert_eq!(
            (answer.status().as_u16(), field(&answer, "x-seen").as_str()),
            (200, expected),
            "{method}"
        );
        assert_eq!(rest(&mut body).await.unwrap().0, b"small");
        drop((outgoing, response, body));
    }
}

/// Not by curl: some of its versions don't look for an answer once the server wants no more of an upload by HTTP/2.
pub(super) async fn too_large(cell: Cell<'_>) {
    let mut client = cell.connect().await;
    let head = "POST /small HTTP/1.1\r\nhost: app\r\ncontent-length: 8388608";
    let (mut outgoing, mut response) = send(&mut client, head).await;
    let uploading = async {
        for _ in 0..512 {
            if outgoing.ready().await.is_err() || outgoing.data(Bytes::from_static(&[b'x'; 16384])).is_err() {
                return;
            }
        }
        outgoing.finish();
    };
    let answered = async {
        let (answer, mut body) = last(&mut response).await;
        (answer.status().as_u16(), rest(&mut body).await.expect("a whole body").0)
    };
    let ((), (status, page)) = soon(async { tokio::join!(uploading, answered) }).await;
    assert!(status == 413 && page.starts_with(b"<html>"), "{status}: {}", page.escape_ascii());
}

pub(super) async fn grpc(cell: Cell<'_>) {
    called(cell, GRPCIO, "grpc_peer.py", "every kind of call works\n").await;
}

pub(super) async fn crumbs(cell: Cell<'_>) {
    called(cell, HYPER_H2, "h2_peer.py", "hyper-h2 is understood\n").await;
}

/// A client in Python is content with what it gets.
async fn called(cell: Cell<'_>, package: Package, script: &str, content: &str) {
    let Some(python) = or_skip(python(&[package])) else { return };
    let mut command = Command::new(python.program("python"));
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cells").join(script));
    command.args(["call", &cell.proxy.to_string()]);
    let (told, why) = output(command).await;
    assert_eq!(String::from_utf8_lossy(&told), content, "{why}");
}

/// A download and an upload through a program in front, which speaks the cell's version to the proxy.
async fn through(cell: Cell<'_>, front: SocketAddr) {
    let big = format!("@{}", cell.file.display());
    for (arguments, method) in
        [(&["-f"][..], "GET"), (&["-f", "--data-binary", &big, "-H", "expect:"], "POST")]
    {
        let Some(command) = curl(Protocol::Http1, arguments, front, "/front") else { return };
        let (got, heads) = output(command).await;
        let sent = if method == "POST" { std::fs::read(cell.file).unwrap() } else { Vec::new() };
        assert!(got == sent, "{method}: {} of {} bytes, {heads}", got.len(), sent.len());
        let seen = format!("x-seen: {}", cell.seen(&format!("{method} app /front")));
        assert!(heads.contains(&seen), "no {seen} in {heads}");
    }
}

pub(super) async fn behind_haproxy(cell: Cell<'_>) {
    let Some(haproxy) = or_skip(HAPROXY.find()) else { return };
    let front = free();
    let speaks = version(cell.outside, "", "proto h2");
    let text = format!(
        "defaults\n mode http\n timeout connect 5s\n timeout client 20s\n timeout server 20s\nlisten in\n bind {front}\n server leno {} {speaks}\n",
        cell.proxy
    );
    let file = cell.file.with_extension("cfg");
    std::fs::write(&file, text).unwrap();
    let mut running = Running::start(Command::new(haproxy).args(["-q", "-db", "-f"]).arg(file));
    running.listening(front).await;
    through(cell, front).await;
}

pub(super) async fn behind_envoy(cell: Cell<'_>) {
    let Some(envoy) = or_skip(envoy()) else { return };
    let front = free();
    let file = cell.file.with_extension("json");
    std::fs::write(&file, envoy_before(front, cell).to_string()).unwrap();
    let mut command = Command::new(envoy);
    command.arg("--config-path").arg(Path::new(&file));
    command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]);
    let mut running = Running::start(&mut command);
    running.listening(front).await;
    through(cell, front).await;
}

fn envoy_before(front: SocketAddr, cell: Cell<'_>) -> Value {
    let address = |at: SocketAddr| json!({"socket_address": {"address": at.ip(), "port_value": at.port()}});
    let kind = |name: &str| format!("type.googleapis.com/{name}");
    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let spoken = version(cell.outside, "http_protocol_options", "http2_protocol_options");
    let manager = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    let router = "envoy.extensions.filters.http.router.v3.Router";
    json!({"static_resources": {
        "listeners": [{"address": address(front), "filter_chains": [{"filters": [{
            "name": "http",
            "typed_config": {
                "@type": kind(manager),
                "stat_prefix": "front",
                "http_filters": [{"name": "router", "typed_config": {"@type": kind(router)}}],
                "route_config": {"virtual_hosts": [{
                    "name": "all", "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "leno"}}],
                }]},
            },
        }]}]}],
        "clusters": [{
            "name": "leno",
            "type": "STATIC",
            "typed_extension_protocol_options":
                {options: {"@type": kind(options), "explicit_http_config": {spoken: {}}}},
            "load_assignment": {"cluster_name": "leno", "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": address(cell.proxy)}},
            ]}]},
        }],
    }})
}
