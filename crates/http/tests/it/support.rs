//! What the tests share: raw peers, a server loop and the smallest proxy.

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use leno_http::client;
use leno_http::exchange::{Answer, Exchange, Frame, Incoming, Reply, Response};
use leno_http::h1;
use leno_http::head::{Connect, ResponseHead};
use leno_http::io::Io;
use leno_http::relay::{self, Tally};
use leno_http::server::{self, Protocol};
use leno_model::failure::Failure;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

/// Longer than any step of a test takes.
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future).await.expect("in time")
}

pub(crate) fn server(io: impl Io) -> server::Connection {
    server::Connection::new(Protocol::Http1, Box::new(io), Rc::new(server::Config::default()))
}

pub(crate) fn client(io: impl Io) -> h1::ClientConnection {
    h1::ClientConnection::new(Box::new(io), &client::Config::default())
}

/// Reads until the peer closes.
pub(crate) async fn read_all(io: &mut DuplexStream) -> String {
    let mut bytes = Vec::new();
    in_time(io.read_to_end(&mut bytes)).await.expect("read");
    String::from_utf8(bytes).expect("text")
}

/// Reads until what was read ends with `end`.
pub(crate) async fn read_until(io: &mut DuplexStream, end: &str) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end.as_bytes()) {
        let byte = in_time(io.read_u8()).await;
        bytes.push(byte.unwrap_or_else(|error| panic!("{error} after {}", bytes.escape_ascii())));
    }
    String::from_utf8(bytes).expect("text")
}

pub(crate) async fn write(io: &mut DuplexStream, text: &str) {
    in_time(io.write_all(text.as_bytes())).await.expect("write");
}

/// A whole body, and whether it had trailers.
pub(crate) async fn body_of(incoming: &mut Incoming) -> (Vec<u8>, Option<http::HeaderMap>) {
    let mut body = Vec::new();
    let mut trailers = None;
    loop {
        match in_time(incoming.frame()).await {
            Frame::Data(data) => body.extend_from_slice(&data),
            Frame::Trailers(map) => trailers = Some(map),
            Frame::End => return (body, trailers),
            Frame::Abort(failure) => panic!("{failure:?} after {}", body.escape_ascii()),
        }
    }
}

/// Serves every request with `text`.
pub(crate) async fn serve_text(mut connection: server::Connection, text: &'static str) -> usize {
    let mut served = 0;
    while let Some(Exchange { mut body, reply, .. }) = connection.accept().await {
        body_of(&mut body).await;
        reply.whole(ResponseHead::new(StatusCode::OK), Bytes::from_static(text.as_bytes()));
        served += 1;
    }
    served
}

/// Waits for the final head, passing interim ones on.
async fn answer(mut response: Response, reply: &mut Reply) -> Result<(ResponseHead, Incoming), Failure> {
    loop {
        match response.head().await? {
            Answer::Informational(head) => reply.informational(&head).await?,
            Answer::Final(head, incoming) => return Ok((head, incoming)),
        }
    }
}

/// The smallest proxy: one upstream connection for one exchange.
pub(crate) async fn proxy_one(exchange: Exchange, upstream: &mut client::Connection) {
    let Exchange { head, mut body, mut reply } = exchange;
    let (mut outgoing, response) = match upstream.send(&head).await {
        Ok(sent) => sent,
        Err(unsent) => return reply.local(unsent.failure, head.is_grpc()),
    };
    let (up, down) = (Tally::default(), Tally::default());
    if *head.connect() != Connect::None {
        return match answer(response, &mut reply).await {
            Ok((head, mut incoming)) if head.status() == 101 || head.status().is_success() => {
                let mut first = reply.head(head).into_tunnel(body);
                let mut second = outgoing.into_tunnel(std::mem::replace(&mut incoming, Incoming::empty()));
                relay::duplex(&mut first, &mut second, &up, &down).await;
            }
            Ok((head, mut incoming)) => {
                relay::body(&mut incoming, &mut reply.head(head), &down).await;
            }
            Err(failure) => reply.local(failure, false),
        };
    }
    let request = async {
        match relay::body(&mut body, &mut outgoing, &up).await {
            relay::BodyEnd::Aborted(failure) => outgoing.abort(failure),
            relay::BodyEnd::Complete | relay::BodyEnd::Stopped(_) => {}
        }
    };
    let response = async {
        let (head, mut incoming) = match answer(response, &mut reply).await {
            Ok(answer) => answer,
            Err(failure) => return reply.local(failure, head.is_grpc()),
        };
        let mut downstream = reply.head(head);
        if let relay::BodyEnd::Aborted(failure) = relay::body(&mut incoming, &mut downstream, &down).await {
            downstream.abort(failure);
        }
    };
    tokio::join!(request, response);
}

/// A task on this core.
pub(crate) fn local<T: 'static>(future: impl Future<Output = T> + 'static) -> tokio::task::JoinHandle<T> {
    tokio::task::spawn_local(future)
}

pub(crate) async fn local_set(test: impl Future<Output = ()>) {
    tokio::task::LocalSet::new().run_until(test).await;
}

pub(crate) fn http2_server(io: DuplexStream, config: server::Config) -> server::Connection {
    server::Connection::new(Protocol::Http2, Box::new(io), Rc::new(config))
}
