//! The client of a cell, which is sent whole heads.

use std::net::SocketAddr;
use std::rc::Rc;

use leno_http::exchange::{Answer, Exchange, Frame, Incoming, Outgoing, Response};
use leno_http::head::{RequestHead, ResponseHead};
use leno_http::server::{self, Protocol};
use leno_http::{client, h1, h2};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::world::soon;

/// The head that HTTP/1 writes so. It can be sent in either version: the codec translates it.
pub(super) async fn head(text: &str) -> RequestHead {
    let (mut peer, io) = tokio::io::duplex(64 * 1024);
    peer.write_all(format!("{text}\r\n\r\n").as_bytes()).await.unwrap();
    let mut connection = server::Connection::new(Protocol::Http1, Box::new(io), Rc::default());
    let Exchange { head, .. } = soon(connection.accept()).await.expect("a well-formed head");
    head
}

/// A client's connection.
pub(super) async fn connect(address: SocketAddr, protocol: Protocol) -> client::Connection {
    let socket = Box::new(TcpStream::connect(address).await.unwrap());
    let config = client::Config::default();
    match protocol {
        Protocol::Http1 => client::Connection::H1(h1::ClientConnection::new(socket, &config)),
        Protocol::Http2 => {
            let (connection, driver) = h2::ClientConnection::new(socket, &config);
            leno_runtime::task::spawn_local("connection", driver).detach();
            client::Connection::H2(connection)
        }
    }
}

/// Sends a head; the body is the caller's to send.
pub(super) async fn send(to: &mut client::Connection, text: &str) -> (Outgoing, Response) {
    soon(to.send(&head(text).await)).await.expect("a connection that takes it")
}

/// The next head that isn't final.
pub(super) async fn interim(response: &mut Response) -> ResponseHead {
    match soon(response.head()).await {
        Ok(Answer::Informational(head)) => head,
        other => panic!("{other:?}"),
    }
}

/// The final head, and what follows it.
pub(super) async fn last(response: &mut Response) -> (ResponseHead, Incoming) {
    match soon(response.head()).await {
        Ok(Answer::Final(head, incoming)) => (head, incoming),
        other => panic!("{other:?}"),
    }
}

/// A field as text; empty where there is none.
pub(super) fn field(head: &ResponseHead, name: &str) -> String {
    String::from_utf8_lossy(head.fields().get(name).unwrap_or_default()).into_owned()
}

/// The next bytes.
pub(super) async fn data(incoming: &mut Incoming) -> bytes::Bytes {
    match soon(incoming.frame()).await {
        Frame::Data(data) => data,
        other => panic!("{other:?}"),
    }
}

/// Everything that follows, and the trailers as text.
pub(super) async fn rest(incoming: &mut Incoming) -> Result<(Vec<u8>, Vec<String>), Vec<u8>> {
    let (mut bytes, mut trailers) = (Vec::new(), Vec::new());
    loop {
        match soon(incoming.frame()).await {
            Frame::Data(data) => bytes.extend_from_slice(&data),
            Frame::Trailers(map) => {
                trailers =
                    map.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
                trailers.sort();
            }
            Frame::End => return Ok((bytes, trailers)),
            Frame::Abort(_) => return Err(bytes),
        }
    }
}
