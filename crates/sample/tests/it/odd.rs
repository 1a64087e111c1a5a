//! Servers that misbehave on purpose.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// A server on a free port; it ends when the value is dropped.
pub(crate) struct Odd {
    pub(crate) address: String,
    _tasks: JoinSet<()>,
}

impl Odd {
    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}/", self.address)
    }
}

/// An address that refuses every connection for as long as the value lives: taken, but nobody listens.
pub(crate) struct Nobody {
    pub(crate) address: String,
    _socket: TcpSocket,
}

pub(crate) fn nobody() -> Nobody {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    Nobody { address: socket.local_addr().unwrap().to_string(), _socket: socket }
}

/// Runs `serve` on every connection; it gets the connection's number, from 0.
pub(crate) async fn server<F>(serve: impl Fn(TcpStream, u64) -> F + Send + 'static) -> Odd
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (mut connections, mut count) = (JoinSet::new(), 0);
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            connections.spawn(serve(stream, count));
            count += 1;
        }
    });
    Odd { address, _tasks: tasks }
}

/// Reads one request without body; false at the end of the connection.
pub(crate) async fn request(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_ended) => return false,
        }
    }
    true
}

/// Answers every request with the same bytes; closes after each one if told so.
pub(crate) async fn always(answer: &'static str, then_close: bool) -> Odd {
    server(move |mut stream, _| async move {
        while request(&mut stream).await {
            if stream.write_all(answer.as_bytes()).await.is_err() || then_close {
                return;
            }
        }
    })
    .await
}

/// Answers at once, but from request number `from` on nobody is answered for `pause`, once.
pub(crate) async fn stalling(from: u64, pause: Duration) -> Odd {
    let (served, gate) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(())));
    server(move |mut stream, _| {
        let (served, gate) = (Arc::clone(&served), Arc::clone(&gate));
        async move {
            while request(&mut stream).await {
                let pass = gate.lock().await;
                if served.fetch_add(1, Ordering::Relaxed) == from {
                    tokio::time::sleep(pause).await;
                }
                drop(pass);
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            }
        }
    })
    .await
}

/// HTTP/2 that says goodbye after every `requests` requests, with the streams under way finished.
pub(crate) async fn leaving(requests: u64) -> Odd {
    server(move |stream, number| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let mut left = requests;
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let version = format!("connection-{number}");
            let head = Response::builder().header("x-version", version).body(()).unwrap();
            let is_grpc = request.headers().contains_key("te");
            let mut stream = respond.send_response(head, false).unwrap();
            stream.send_data(Bytes::from_static(b"ok"), !is_grpc).unwrap();
            if is_grpc {
                let status = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
                stream.send_trailers(status).unwrap();
            }
            left -= 1;
            if left == 0 {
                connection.graceful_shutdown();
            }
            left = left.max(1);
        }
    })
    .await
}
