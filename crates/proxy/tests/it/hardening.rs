//! What a few rude clients cost everybody else: nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use leno_identity::tls::Options;
use leno_identity::tls::mesh;
use leno_model::service::Protocol;
use leno_wire::open;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::app::{answer, echo, mirror, serving};
use crate::world::{OWN, World, dial, open_to, soon, workload};

/// Longer than anything takes that works, shorter than any time-out of the proxy.
const PROMPTLY: Duration = Duration::from_secs(8);

#[tokio::test]
async fn silent_connections_keep_nobody_from_shaking_hands() {
    let app = serving(OWN, echo).await;
    let world = World::new();
    let proxy = world.app(workload(&[(app.port(), Protocol::Tcp)], Vec::new())).await;
    let mut rude = Vec::new();
    for _ in 0..200 {
        rude.push(UnixStream::connect(&proxy).await.unwrap());
    }
    let open = open_to(SocketAddr::new(OWN, app.port()), open::Protocol::Opaque);
    let connected = async {
        let mut stream = dial(&proxy, &world, "web", &open).await;
        stream.read_u8().await.unwrap()
    };
    let verdict = tokio::time::timeout(PROMPTLY, connected).await;
    assert_eq!(verdict.expect("handshakes wait for nobody"), 0);
}

/// They have said who they are, too, and don't go on.
#[tokio::test]
async fn connections_that_stop_after_their_hello_keep_nobody_from_shaking_hands() {
    let app = serving(OWN, echo).await;
    let world = World::new();
    let proxy = world.app(workload(&[(app.port(), Protocol::Tcp)], Vec::new())).await;
    let bundles = Arc::new((*world.authority.trusted()).clone().into());
    let config = mesh::client_config(&world.svid("web"), &bundles, &[open::ALPN], &Options::default());
    let config = Arc::new(config.unwrap());
    let mut rude = Vec::new();
    for _ in 0..100 {
        let mut hello = Vec::new();
        let mut session = rustls::ClientConnection::new(Arc::clone(&config), mesh::server_name()).unwrap();
        session.write_tls(&mut hello).unwrap();
        let mut stream = UnixStream::connect(&proxy).await.unwrap();
        stream.write_all(&hello).await.unwrap();
        rude.push((stream, session));
    }
    let open = open_to(SocketAddr::new(OWN, app.port()), open::Protocol::Opaque);
    let connected = async {
        let mut stream = dial(&proxy, &world, "web", &open).await;
        stream.read_u8().await.unwrap()
    };
    let verdict = tokio::time::timeout(PROMPTLY, connected).await;
    assert_eq!(verdict.expect("handshakes wait for nobody"), 0);
}

/// A client behind a slow link takes its time from the connection to its first byte.
#[tokio::test]
async fn a_slow_peer_is_waited_for_where_mutual_tls_is_demanded() {
    let app = serving(Ipv4Addr::LOCALHOST, mirror).await;
    let world = World::new();
    let unit = workload(&[(app.port(), Protocol::Http)], Vec::new());
    let address = world.direct(unit, app.port()).await;
    let bundles = Arc::new((*world.authority.trusted()).clone().into());
    let config = mesh::client_config(&world.svid("web"), &bundles, &[open::ALPN], &Options::default());
    let socket = TcpStream::connect(address).await.unwrap();
    // What is tested is the silence itself.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let connecting = TlsConnector::from(Arc::new(config.unwrap())).connect(mesh::server_name(), socket);
    let mut tls = soon(connecting).await.unwrap();
    let open = open_to(SocketAddr::new(OWN, app.port()), open::Protocol::Http1);
    tls.write_all(&open.encode()).await.unwrap();
    tls.write_all(b"GET / HTTP/1.1\r\nhost: app\r\n\r\n").await.unwrap();
    assert_eq!(soon(answer(&mut tls)).await.unwrap().0, 200);
}

/// What a short client says before it closes its direction is not enough to tell what it speaks.
#[tokio::test]
async fn a_client_that_says_little_and_closes_is_served() {
    for said in [&b"PING"[..], b""] {
        let app = serving(OWN, async |mut stream: TcpStream| {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            all.extend_from_slice(b" bye");
            stream.write_all(&all).await.unwrap();
        });
        let app = app.await;
        let world = World::new();
        let proxy = world.app(workload(&[(app.port(), Protocol::Auto)], Vec::new())).await;
        let open = open_to(SocketAddr::new(OWN, app.port()), open::Protocol::Opaque);
        let mut stream = dial(&proxy, &world, "web", &open).await;
        stream.write_all(said).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = crate::world::rest(&mut stream).await;
        assert_eq!(answer, [b"\0", said, b" bye"].concat());
    }
}
