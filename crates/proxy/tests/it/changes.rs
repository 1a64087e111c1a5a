//! Policy and trust that change while connections are open: what is denied from then on is cut.

use std::net::SocketAddr;
use std::sync::Arc;

use leno_identity::tls::Options;
use leno_identity::tls::mesh::{self, ClientAuth};
use leno_model::service::{Address, Protocol, Transport};
use leno_runtime::task;
use leno_wire::Unit;
use leno_wire::open;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::client::TlsStream;

use crate::app::{answer, echo, endless, head, mirror, serving};
use crate::world::{OWN, World, authority, deny, dial, open_to, rest, service, soon, workload};

async fn ping(stream: &mut TlsStream<UnixStream>) {
    stream.write_all(b"ping").await.unwrap();
    let mut answer = [0; 4];
    soon(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"ping");
}

/// Opaque bytes that are flowing already.
async fn flowing(world: &World) -> (TlsStream<UnixStream>, u16) {
    let app = serving(OWN, echo).await;
    let proxy = world.app(workload(&[(app.port(), Protocol::Tcp)], Vec::new())).await;
    let open = open_to(SocketAddr::new(OWN, app.port()), open::Protocol::Opaque);
    let mut stream = dial(&proxy, world, "web", &open).await;
    assert_eq!(soon(stream.read_u8()).await.unwrap(), 0);
    (stream, app.port())
}

fn denied(port: u16, protocol: Protocol) -> Unit {
    Unit::Workload(workload(&[(port, protocol)], vec![deny(Vec::new())]).into())
}

#[tokio::test]
async fn opaque_bytes_are_cut_by_a_policy() {
    let world = World::new();
    let (mut stream, port) = flowing(&world).await;
    ping(&mut stream).await;
    world.tell([denied(port, Protocol::Tcp)]);
    assert_eq!(rest(&mut stream).await, b"");
}

/// Both sides are silent, so that it isn't known what is spoken, for as long as the client likes.
#[tokio::test]
async fn a_policy_that_comes_before_the_first_byte_counts() {
    let world = World::new();
    let reached = Arc::new(Notify::new());
    let reaching = Arc::clone(&reached);
    let app = serving(OWN, move |stream| {
        reaching.notify_one();
        echo(stream)
    });
    let app = app.await;
    let proxy = world.app(workload(&[(app.port(), Protocol::Auto)], Vec::new())).await;
    let open = open_to(SocketAddr::new(OWN, app.port()), open::Protocol::Opaque);
    let mut stream = dial(&proxy, &world, "web", &open).await;
    assert_eq!(soon(stream.read_u8()).await.unwrap(), 0);
    soon(reached.notified()).await;
    world.tell([denied(app.port(), Protocol::Auto)]);
    world.settled(1).await;
    let _gone = stream.write_all(b"\x01ping").await;
    assert_eq!(rest(&mut stream).await, b"");
}

#[tokio::test]
async fn opaque_bytes_are_cut_when_the_peers_root_is_trusted_no_more() {
    let world = World::new();
    let (mut stream, _) = flowing(&world).await;
    ping(&mut stream).await;
    let other = authority();
    world.tell([world.bundle(&[&world.authority, &other])]);
    world.settled(1).await;
    ping(&mut stream).await;
    world.tell([world.bundle(&[&other])]);
    assert_eq!(rest(&mut stream).await, b"");
}

#[tokio::test]
async fn requests_are_refused_when_the_peers_root_is_trusted_no_more() {
    let world = World::new();
    let app = serving(OWN, mirror).await;
    let proxy = world.app(workload(&[(app.port(), Protocol::Http)], Vec::new())).await;
    let open = open_to(SocketAddr::new(OWN, app.port()), open::Protocol::Http1);
    let mut stream = dial(&proxy, &world, "web", &open).await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: app\r\n\r\n").await.unwrap();
    assert_eq!(soon(answer(&mut stream)).await.unwrap().0, 200);
    world.tell([world.bundle(&[&authority()])]);
    world.settled(1).await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: app\r\n\r\n").await.unwrap();
    assert_eq!(soon(answer(&mut stream)).await, None, "nobody whom it could answer");
}

async fn under_way(world: &World, request: &str, begun: &str) -> (TlsStream<UnixStream>, u16) {
    let app = serving(OWN, endless).await;
    let proxy = world.app(workload(&[(app.port(), Protocol::Http)], Vec::new())).await;
    let open = open_to(SocketAddr::new(OWN, app.port()), open::Protocol::Http1);
    let mut stream = dial(&proxy, world, "web", &open).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = soon(head(&mut stream)).await.unwrap();
    assert!(head.starts_with(begun), "{head}");
    (stream, app.port())
}

#[tokio::test]
async fn a_tunnel_is_cut_by_a_policy() {
    let world = World::new();
    let upgrade = "GET / HTTP/1.1\r\nhost: app\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    let (mut stream, port) = under_way(&world, upgrade, "HTTP/1.1 101 ").await;
    ping(&mut stream).await;
    world.tell([Unit::Workload(workload(&[(port, Protocol::Http)], Vec::new()).into())]);
    world.settled(1).await;
    ping(&mut stream).await;
    world.tell([denied(port, Protocol::Http)]);
    assert_eq!(rest(&mut stream).await, b"");
}

#[tokio::test]
async fn an_answer_under_way_is_cut_by_a_policy() {
    let world = World::new();
    let (mut stream, port) = under_way(&world, "GET / HTTP/1.1\r\nhost: app\r\n\r\n", "HTTP/1.1 200 ").await;
    let mut chunk = [0; 9];
    soon(stream.read_exact(&mut chunk)).await.unwrap();
    assert_eq!(&chunk, b"4\r\npong\r\n");
    world.tell([denied(port, Protocol::Http)]);
    assert_eq!(rest(&mut stream).await, b"", "cut short, not ended");
}

/// A server that was trusted when it was dialled, and isn't now.
#[tokio::test]
async fn opaque_bytes_are_cut_when_the_servers_root_is_trusted_no_more() {
    let world = World::new();
    let path = world.path("other.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let bundles = Arc::new((*world.authority.trusted()).clone().into());
    let svid = world.svid("app");
    let config =
        mesh::server_config(&svid, &bundles, &[open::ALPN], ClientAuth::Required, &Options::default());
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    task::spawn("server", async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut tls = acceptor.accept(stream).await.unwrap();
        let length = tls.read_u32().await.unwrap();
        tls.read_exact(&mut vec![0; length as usize]).await.unwrap();
        tls.write_all(b"\0hello").await.unwrap();
        tls.flush().await.unwrap();
        drop(rest(&mut tls).await);
    })
    .detach();
    let native = Transport::Native(Address::Unix(path));
    let web = world.web(service(Protocol::Tcp, native, (OWN, 80).into()), 1).await;
    let mut stream = TcpStream::connect(web).await.unwrap();
    let mut hello = [0; 5];
    soon(stream.read_exact(&mut hello)).await.unwrap();
    assert_eq!(&hello, b"hello");
    world.tell([world.bundle(&[&authority()])]);
    assert_eq!(rest(&mut stream).await, b"");
}
