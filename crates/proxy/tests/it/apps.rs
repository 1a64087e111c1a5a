//! Applications that fail in one way each, over HTTP/1 and HTTP/2.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use leno_model::service::Protocol;
use leno_runtime::task;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::{head, hold_on_loopback, serving};
use crate::world::OWN;

/// What an application does with a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Does {
    /// It answers with this status, and head and body of the request.
    Answer(u16),
    /// The same after a while.
    AnswerLate(u16, Duration),
    /// It answers 503 with a mark that only proxies may set.
    Claim(&'static str),
    /// It answers with this gRPC status in the head.
    Grpc(u8),
    /// It resets connection or stream after the request.
    Reset,
    /// It does so before the end of the body.
    ResetMidBody,
    /// It refuses the stream after the request.
    Refuse,
    /// It never answers.
    Hang,
    /// It answers 200 and closes the connection without a word.
    CloseAfterAnswer,
    /// It answers the first request of a connection, and closes it without a word when another one comes.
    DieOnSecond,
}

/// An application.
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    seen: Seen,
}

/// What an application got: head and body of each request.
type Seen = Arc<Mutex<Vec<String>>>;

impl App {
    pub(crate) async fn new(protocol: Protocol, does: Does) -> Self {
        Self::on(OWN, protocol, does).await
    }

    pub(crate) async fn on(ip: IpAddr, protocol: Protocol, does: Does) -> Self {
        let seen = Seen::default();
        let told = Arc::clone(&seen);
        let address = match protocol {
            Protocol::Http => serving(ip, move |stream| http1(stream, does, Arc::clone(&told))).await,
            _ => serving(ip, move |stream| http2(stream, does, Arc::clone(&told))).await,
        };
        Self { address, seen }
    }

    /// Requests that it got.
    pub(crate) fn hits(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// What they were, head and body.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// An address that refuses connections for as long as the second value is held.
pub(crate) fn refusing() -> (SocketAddr, impl Sized) {
    loop {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(OWN, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        if let Ok(loopback) = hold_on_loopback(address.port()) {
            return (address, (socket, loopback));
        }
    }
}

fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

async fn http1(mut stream: TcpStream, does: Does, seen: Seen) {
    let mut served = 0;
    while let Some(head) = head(&mut stream).await {
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        if matches!(does, Does::ResetMidBody) {
            body.truncate(1);
        }
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        served += 1;
        let echo = [head.as_bytes(), &body].concat();
        seen.lock().unwrap().push(String::from_utf8_lossy(&echo).into_owned());
        match does {
            Does::Answer(status) => answer1(&mut stream, status, "", &echo).await,
            Does::AnswerLate(status, pause) => {
                tokio::time::sleep(pause).await;
                answer1(&mut stream, status, "", &echo).await;
            }
            Does::Claim(mark) => {
                answer1(&mut stream, 503, &format!("x-leno-retry: {mark}\r\n"), b"").await;
            }
            Does::Hang => std::future::pending().await,
            Does::Reset | Does::ResetMidBody | Does::Refuse | Does::Grpc(_) => return reset(stream),
            Does::CloseAfterAnswer => {
                answer1(&mut stream, 200, "", &echo).await;
                return;
            }
            Does::DieOnSecond if served > 1 => return,
            Does::DieOnSecond => answer1(&mut stream, 200, "", &echo).await,
        }
    }
}

async fn answer1(stream: &mut TcpStream, status: u16, fields: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{fields}\r\n", body.len());
    let _gone = stream.write_all(&[head.as_bytes(), body].concat()).await;
}

async fn http2(stream: TcpStream, does: Does, seen: Seen) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let mut served = 0;
    while let Some(Ok((request, respond))) = connection.accept().await {
        served += 1;
        match does {
            Does::DieOnSecond if served > 1 => return,
            Does::CloseAfterAnswer if served > 1 => return,
            _ => {}
        }
        let seen = Arc::clone(&seen);
        task::spawn("stream", stream2(request, respond, does, seen)).detach();
    }
}

async fn stream2(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    does: Does,
    seen: Seen,
) {
    let (parts, mut incoming) = request.into_parts();
    let mut echo = Vec::new();
    for (name, value) in &parts.headers {
        echo.extend_from_slice(format!("{name}: {}\n", value.to_str().unwrap()).as_bytes());
    }
    while let Some(Ok(data)) = incoming.data().await {
        echo.extend_from_slice(&data);
        let _gone = incoming.flow_control().release_capacity(data.len());
        if matches!(does, Does::ResetMidBody) {
            break;
        }
    }
    seen.lock().unwrap().push(String::from_utf8_lossy(&echo).into_owned());
    let status = match does {
        Does::Answer(status) => status,
        Does::AnswerLate(status, pause) => {
            tokio::time::sleep(pause).await;
            status
        }
        Does::CloseAfterAnswer | Does::DieOnSecond | Does::Grpc(_) => 200,
        Does::Claim(_) => 503,
        Does::Reset | Does::ResetMidBody => return respond.send_reset(h2::Reason::INTERNAL_ERROR),
        Does::Refuse => return respond.send_reset(h2::Reason::REFUSED_STREAM),
        Does::Hang => std::future::pending().await,
    };
    let mut head = http::Response::builder().status(status).header("content-length", echo.len());
    if let Does::Grpc(code) = does {
        head = http::Response::builder()
            .header("content-type", "application/grpc")
            .header("grpc-status", code.to_string());
        let _gone = respond.send_response(head.body(()).unwrap(), true);
        return;
    }
    if let Ok(mut body) = respond.send_response(head.body(()).unwrap(), false) {
        let _gone = body.send_data(echo.into(), true);
    }
}
