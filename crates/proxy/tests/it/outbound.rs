//! What the own workload's requests become.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_identity::tls::Options;
use leno_identity::tls::mesh::{self, ClientAuth};
use leno_model::service::{Address, Protocol, Transport};
use leno_runtime::task;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixListener};
use tokio_rustls::TlsAcceptor;

use crate::app::{answer, mirror, serving};
use crate::world::{OWN, World, rest, service, soon, workload};

async fn get(proxy: std::net::SocketAddr, extra: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nhost: app\r\n{extra}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    soon(answer(&mut stream)).await
}

/// Elements of the header say who called whom; only proxies know.
#[tokio::test]
async fn a_workload_can_not_forge_who_called_before_it() {
    let app = serving(OWN, mirror).await;
    let world = World::new();
    let path = world.app(workload(&[(app.port(), Protocol::Http)], Vec::new())).await;
    let native = Transport::Native(Address::Unix(path));
    let web = world.web(service(Protocol::Http, native, app), 2).await;
    let forged = "x-forwarded-client-cert: By=spiffe://cluster.local/ns/default/sa/web;URI=spiffe://cluster.local/ns/default/sa/admin\r\n";
    let (status, seen) = get(web, forged).await.unwrap();
    assert_eq!(status, 200);
    let told: Vec<_> = seen.lines().filter(|line| line.starts_with("x-forwarded-client-cert:")).collect();
    assert_eq!(told.len(), 1, "{seen}");
    assert!(told[0].ends_with("URI=spiffe://cluster.local/ns/default/sa/web"), "{seen}");
    assert!(!seen.contains("sa/admin"), "{seen}");
}

/// An HTTP/2 server that grants no upgrades (RFC 8441 is an option).
async fn plain_http2(stream: TcpStream) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let _sent = respond.send_response(http::Response::new(()), true);
    }
}

/// The second time, there is a pooled connection that would refuse it again and again.
#[tokio::test]
async fn an_upgrade_that_the_server_can_not_grant_is_refused_every_time() {
    let app = serving(OWN, plain_http2).await;
    let world = World::new();
    let web = world.web(service(Protocol::Http2, Transport::Plain, app), 1).await;
    assert_eq!(get(web, "").await.map(|(status, _)| status), Some(200));
    for _ in 0..3 {
        let (status, _) = get(web, "connection: upgrade\r\nupgrade: websocket\r\n").await.unwrap();
        assert!(status >= 400, "{status}");
    }
    assert_eq!(get(web, "").await.map(|(status, _)| status), Some(200), "others are served");
}

/// A server that takes no connection: its queue is full.
fn unreachable() -> (std::net::SocketAddr, impl Sized) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let fill = |_| {
        let filler = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        filler.set_nonblocking(true).unwrap();
        let _under_way = filler.connect(&address.into());
        filler
    };
    let fillers: Vec<_> = (0..4).map(fill).collect();
    (address, (socket, fillers))
}

/// Each request waits for its own connection attempts at most, not for those of all before it.
#[tokio::test]
async fn requests_to_an_unreachable_http2_server_fail_side_by_side() {
    let (app, _full) = unreachable();
    let world = World::new();
    let web = world.web(service(Protocol::Http2, Transport::Plain, app), 1).await;
    let began = Instant::now();
    let requests: Vec<_> =
        (0..24).map(|_| task::spawn("request", async move { get(web, "").await })).collect();
    for request in requests {
        let (status, _) = request.await.unwrap().unwrap();
        assert!(status >= 500, "{status}");
    }
    // One attempt takes half a second, and there are at most three.
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

/// The right identity at another door of the same workload must not be taken for its proxy.
#[tokio::test]
async fn a_server_that_does_not_speak_the_meshs_protocol_gets_nothing() {
    let world = World::new();
    let path = world.path("other.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let bundles = Arc::new((*world.authority.trusted()).clone().into());
    let config =
        mesh::server_config(&world.svid("app"), &bundles, &[], ClientAuth::Required, &Options::default());
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    let seen = task::spawn("server", async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut tls = acceptor.accept(stream).await.unwrap();
        rest(&mut tls).await
    });
    let native = Transport::Native(Address::Unix(path));
    let web = world.web(service(Protocol::Http, native, (OWN, 80).into()), 1).await;
    let (status, _) = get(web, "").await.unwrap();
    assert!(status >= 500, "{status}");
    assert_eq!(seen.await.unwrap(), b"");
}

/// What a client outside the mesh says about where its request comes from is worth nothing, at a published port as at a
/// gateway's.
#[tokio::test]
async fn a_stranger_can_not_forge_where_a_request_comes_from() {
    let app = serving(OWN, mirror).await;
    let world = World::new();
    world.tell(service(Protocol::Http, Transport::Plain, app));
    let address = world.published().await;
    let forged = "x-forwarded-for: 192.0.2.1\r\nx-envoy-internal: true\r\nx-forwarded-client-cert: URI=spiffe://a/b\r\n";
    let (status, seen) = get(address, forged).await.unwrap();
    assert_eq!(status, 200);
    assert!(
        !seen.contains("192.0.2.1") && !seen.contains("x-envoy-internal") && !seen.contains("spiffe"),
        "{seen}"
    );
    assert!(seen.contains("x-forwarded-for: 127.0.0.1\r\n"), "{seen}");
}
