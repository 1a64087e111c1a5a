//! A client that asks once.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app;
use crate::world::soon;

/// An answer: status, head and body.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Sends a request on a connection of its own.
pub(crate) async fn ask(web: SocketAddr, method: &str, fields: &str, body: &str) -> Got {
    let mut stream = TcpStream::connect(web).await.unwrap();
    let request =
        format!("{method} / HTTP/1.1\r\nhost: app\r\ncontent-length: {}\r\n{fields}\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = soon(app::head(&mut stream)).await.expect("an answer");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    soon(stream.read_exact(&mut body)).await.unwrap();
    Got { status, head, body: String::from_utf8(body).unwrap() }
}
