//! gRPC-Web at a gateway: what browsers send, and what the application sees of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use leno_model::gateway::ListenerProtocol;
use leno_model::service::{Protocol, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::serving;
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

#[tokio::test]
async fn browsers_call_grpc_services() {
    let app = serving(OWN, grpc).await;
    let world = World::new();
    let gateway = world
        .edge(service(Protocol::Grpc, Transport::Plain, app), |port| {
            vec![plain(port, ListenerProtocol::Http, "*", table(forward()))]
        })
        .await;
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
        let mut stream = TcpStream::connect(gateway).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.0\r\nhost: app\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            sent.len()
        );
        stream.write_all(&[head.as_bytes(), &sent].concat()).await.unwrap();
        let all = rest(&mut stream).await;
        let end = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let (head, body) = all.split_at(end);
        let head = String::from_utf8(head.to_vec()).unwrap();
        assert!(
            head.starts_with("HTTP/1.1 200") && head.contains(&format!("content-type: {kind}\r\n")),
            "{head}"
        );
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
