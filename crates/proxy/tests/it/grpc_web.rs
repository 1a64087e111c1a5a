//! gRPC-Web at a gateway: what browsers send, and what the application sees of it.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use leno_model::gateway::ListenerProtocol;
use leno_model::service::{Protocol, Transport};
use leno_testkit::programs::or_skip;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::serving;
use crate::cells::servers;
use crate::gateway::plain;
use crate::routes::{forward, table};
use crate::world::{OWN, World, rest, service, soon};

/// A gRPC server that sends messages back and ends with a status; `/none` fails without a message.
async fn grpc(stream: TcpStream) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        leno_runtime::task::spawn("call", async move {
            let is_grpc =
                request.headers().get("content-type").is_some_and(|kind| kind == "application/grpc+proto");
            let takes_trailers = request.headers().get("te").is_some_and(|te| te == "trailers");
            assert!(is_grpc && takes_trailers, "{request:?}");
            let answer = http::Response::builder().header("content-type", "application/grpc+proto");
            if request.uri().path() == "/p.S/None" {
                let answer = answer.header("grpc-status", "5").body(()).unwrap();
                respond.send_response(answer, true).unwrap();
                return;
            }
            let mut body = request.into_body();
            let mut send = respond.send_response(answer.body(()).unwrap(), false).unwrap();
            while let Some(Ok(data)) = body.data().await {
                body.flow_control().release_capacity(data.len()).unwrap();
                send.send_data(data, false).unwrap();
            }
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            send.send_data(Bytes::new(), false).unwrap();
            send.send_trailers(trailers).unwrap();
        })
        .detach();
    }
}

/// A gateway before it.
async fn gateway(world: &World, app: SocketAddr) -> SocketAddr {
    let app = service(Protocol::Grpc, Transport::Plain, app);
    world.edge(app, |port| vec![plain(port, ListenerProtocol::Http, "*", table(forward()))]).await
}

/// Calls as a browser does; the answer's head and body.
async fn call(gateway: SocketAddr, path: &str, kind: &str, sent: &[u8]) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(gateway).await.unwrap();
    let length = sent.len();
    let head = format!(
        "POST {path} HTTP/1.0\r\nhost: app\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), sent].concat()).await.unwrap();
    let all = rest(&mut stream).await;
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let (head, body) = all.split_at(end);
    let head = String::from_utf8(head.to_vec()).unwrap();
    let told = head.lines().find_map(|line| line.strip_prefix("content-type: "));
    // What a message is in may be left unsaid.
    let is_kind = told.is_some_and(|told| told == kind || told == kind.trim_end_matches("+proto"));
    assert!(head.starts_with("HTTP/1.1 200") && is_kind, "{head}");
    (head, body.to_vec())
}

#[tokio::test]
async fn browsers_call_grpc_services() {
    let app = serving(OWN, grpc).await;
    let world = World::new();
    let gateway = gateway(&world, app).await;
    let message: &[u8] = b"\0\0\0\0\x05hello";
    let trailers: &[u8] = b"\x80\0\0\0\x10grpc-status: 0\r\n";
    let answered = [message, trailers].concat();
    for (path, kind, sent, expected) in [
        ("/p.S/Echo", "application/grpc-web+proto", message.to_vec(), answered.clone()),
        (
            "/p.S/Echo",
            "application/grpc-web-text+proto",
            STANDARD.encode(message).into_bytes(),
            STANDARD.encode(&answered).into_bytes(),
        ),
        ("/p.S/None", "application/grpc-web+proto", message.to_vec(), Vec::new()),
    ] {
        let (head, body) = call(gateway, path, kind, &sent).await;
        assert_eq!(body, expected, "{}", body.escape_ascii());
        assert_eq!(head.contains("grpc-status: 5"), path == "/p.S/None", "{head}");
    }
    // Text that is none never becomes bytes of a call.
    let mut stream = TcpStream::connect(gateway).await.unwrap();
    let head = "POST /p.S/Echo HTTP/1.1\r\nhost: app\r\ncontent-type: application/grpc-web-text+proto\r\ncontent-length: 4\r\n\r\n!!!!";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    soon(stream.read_buf(&mut answer)).await.unwrap();
    assert!(
        !answer.starts_with(b"HTTP/1.1 200") || !String::from_utf8_lossy(&answer).contains("grpc-status: 0"),
        "{}",
        answer.escape_ascii()
    );
}

/// A frame of gRPC, or of trailers.
fn framed(flag: u8, bytes: &[u8]) -> Vec<u8> {
    [&[flag], &u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// The frames of an answer.
fn frames(mut body: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some((&[flag, a, b, c, d], rest)) = body.split_first_chunk::<5>() {
        let (bytes, rest) = rest.split_at(usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap());
        frames.push((flag, bytes.to_vec()));
        body = rest;
    }
    assert!(body.is_empty(), "{}", body.escape_ascii());
    frames
}

#[tokio::test]
async fn browsers_call_a_server_that_others_wrote() {
    let Some((_running, app)) = or_skip(servers::grpc()) else { return };
    let world = World::new();
    let gateway = gateway(&world, app).await;
    let big = vec![b'x'; 200_000];
    let letters = [b"x".to_vec(), b"y".to_vec(), b"z".to_vec()];
    for (path, sent, messages, status) in [
        ("/p.S/Unary", &[&b"hello"[..]][..], &[b"hello".to_vec()][..], "grpc-status: 0"),
        ("/p.S/Unary", &[&big], std::slice::from_ref(&big), "grpc-status: 0"),
        ("/p.S/Up", &[b"a", b"b"], &[b"ab".to_vec()], "grpc-status: 0"),
        ("/p.S/Down", &[b"xyz"], &letters, "grpc-status: 0"),
        ("/p.S/Both", &[b"x", b"y", b"z"], &letters, "x-count: 3"),
        ("/p.S/Refuse", &[b"x"], &[], "grpc-status: 9"),
        ("/p.S/None", &[b"x"], &[], "grpc-status: 12"),
    ] {
        let sent = sent.iter().map(|message| framed(0, message)).collect::<Vec<_>>().concat();
        for is_text in [false, true] {
            let (head, body) = if is_text {
                let text = STANDARD.encode(&sent).into_bytes();
                let (head, body) = call(gateway, path, "application/grpc-web-text+proto", &text).await;
                (head, STANDARD.decode(body).expect("one text"))
            } else {
                call(gateway, path, "application/grpc-web+proto", &sent).await
            };
            let mut frames = frames(&body);
            // A status alone may be in the head.
            let trailers = frames.pop_if(|(flag, _)| *flag == 0x80).unwrap_or_default().1;
            let end = head.to_ascii_lowercase() + &String::from_utf8(trailers).unwrap();
            assert!(end.lines().any(|line| line == status), "{path}: {end}");
            assert!(frames.iter().all(|(flag, _)| *flag == 0), "{path}: {}", body.escape_ascii());
            let got: Vec<_> = frames.into_iter().map(|(_, message)| message).collect();
            assert!(got == messages, "{path}: {} messages", got.len());
        }
    }
}
