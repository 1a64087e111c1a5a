//! Applications behind the proxy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use leno_runtime::task;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::world::OWN;

/// An application that does the same with each connection, and where it listens.
pub(crate) async fn serving<F, Fut>(ip: impl Into<IpAddr>, serve: F) -> SocketAddr
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (listener, held) = listen(ip.into()).await;
    let address = listener.local_addr().unwrap();
    task::spawn("app", async move {
        let _held = held;
        while let Ok((stream, _)) = listener.accept().await {
            task::spawn("app", serve(stream)).detach();
        }
    })
    .detach();
    address
}

/// A listener at a free port, and what keeps that from others on loopback.
async fn listen(ip: IpAddr) -> (TcpListener, Option<[TcpSocket; 2]>) {
    loop {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        if ip != OWN {
            return (listener, None);
        }
        if let Ok(held) = hold_on_loopback(listener.local_addr().unwrap().port()) {
            return (listener, Some(held));
        }
    }
}

/// Keeps a port of the workload's own address from others on loopback, where its proxy looks for the application first.
pub(crate) fn hold_on_loopback(port: u16) -> std::io::Result<[TcpSocket; 2]> {
    let (four, six) = (TcpSocket::new_v4()?, TcpSocket::new_v6()?);
    four.bind((Ipv4Addr::LOCALHOST, port).into())?;
    six.bind((Ipv6Addr::LOCALHOST, port).into())?;
    Ok([four, six])
}

/// Sends back what it gets.
pub(crate) async fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// Answers every HTTP/1 request without a body with its head.
pub(crate) async fn mirror(mut stream: TcpStream) {
    while let Some(head) = head(&mut stream).await {
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{head}", head.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Grants every upgrade and every CONNECT and then sends back what it gets; begins an endless answer to everything else.
pub(crate) async fn endless(mut stream: TcpStream) {
    let Some(head) = head(&mut stream).await else { return };
    if head.starts_with("CONNECT ") {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        return echo(stream).await;
    }
    if head.contains("upgrade") {
        let granted = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
        stream.write_all(granted).await.unwrap();
        return echo(stream).await;
    }
    let begun = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npong\r\n";
    stream.write_all(begun).await.unwrap();
    let _until_closed = stream.read(&mut [0]).await;
}

/// The next head, which nothing follows; `None` at the end.
pub(crate) async fn head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(bytes).unwrap())
}

/// One HTTP/1 answer with a length: status and body.
pub(crate) async fn answer(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<(u16, String)> {
    let head = head(stream).await?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((status, String::from_utf8(body).unwrap()))
}
