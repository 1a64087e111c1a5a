//! HBONE: what arrives as streams of HTTP/2 over mutual TLS, and what leaves so.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Method, Request, StatusCode};
use leno_identity::alpn;
use leno_identity::tls::Options;
use leno_identity::tls::mesh;
use leno_model::service::{Address, Protocol, Transport};
use leno_model::unit::GatewayUnit;
use leno_proxy::bootstrap::HostCaller;
use leno_proxy::listener::{Kind, Socket};
use leno_proxy::local::HostPorts;
use leno_runtime::task;
use leno_wire::{Subject, Unit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::app::{answer, echo, mirror, serving};
use crate::world::{OWN, World, deny, service, soon, workload};

/// A peer's connection that speaks HTTP/2.
async fn dial(proxy: &Path, world: &World) -> SendRequest<Bytes> {
    let bundles = Arc::new((*world.authority.trusted()).clone().into());
    let config = mesh::client_config(&world.svid("web"), &bundles, &[alpn::H2], &Options::default()).unwrap();
    let socket = UnixStream::connect(proxy).await.unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(mesh::server_name(), socket);
    let (send, connection) = h2::client::handshake(soon(connecting).await.unwrap()).await.unwrap();
    task::spawn("peer", async move { drop(connection.await) }).detach();
    send
}

/// Asks for a stream; its status, and both directions.
async fn ask(
    send: &SendRequest<Bytes>,
    method: Method,
    to: &str,
) -> (StatusCode, h2::SendStream<Bytes>, h2::RecvStream) {
    let mut request = Request::new(());
    *request.method_mut() = method.clone();
    *request.uri_mut() =
        if method == Method::CONNECT { to.parse() } else { format!("http://{to}/").parse() }.unwrap();
    let mut send = soon(send.clone().ready()).await.unwrap();
    let (response, stream) = send.send_request(request, method != Method::CONNECT).unwrap();
    let response = soon(response).await.unwrap();
    (response.status(), stream, response.into_body())
}

async fn say(to: (&mut h2::SendStream<Bytes>, &mut h2::RecvStream), bytes: &'static [u8]) -> Vec<u8> {
    let (send, receive) = to;
    send.send_data(Bytes::from_static(bytes), false).unwrap();
    let data = soon(receive.data()).await.unwrap().unwrap();
    receive.flow_control().release_capacity(data.len()).unwrap();
    data.to_vec()
}

#[tokio::test]
async fn streams_of_one_connection_are_connections_to_the_application() {
    let app = serving(OWN, echo).await;
    let world = World::new();
    let proxy = world.app(workload(&[(app.port(), Protocol::Tcp)], Vec::new())).await;
    let peer = dial(&proxy, &world).await;
    let (status, mut one, mut one_back) = ask(&peer, Method::CONNECT, &app.to_string()).await;
    assert_eq!(status, 200);
    let (_, mut two, mut two_back) = ask(&peer, Method::CONNECT, &app.to_string()).await;
    assert_eq!(say((&mut two, &mut two_back), b"second").await, b"second");
    assert_eq!(say((&mut one, &mut one_back), b"first").await, b"first");
    // Half-close passes through: the application ends when its client has.
    one.send_data(Bytes::new(), true).unwrap();
    while let Some(end) = soon(one_back.data()).await {
        assert!(end.unwrap().is_empty());
    }
    assert_eq!(say((&mut two, &mut two_back), b"more").await, b"more");
}

/// Refusals are statuses, and none of them ends the connection.
#[tokio::test]
async fn what_may_not_be_reached_is_refused_with_a_status() {
    let app = serving(OWN, echo).await;
    let unused = std::net::TcpListener::bind((OWN, 0)).unwrap().local_addr().unwrap();
    let world = World::new();
    let ports = [(app.port(), Protocol::Tcp), (unused.port(), Protocol::Tcp)];
    let proxy = world.app(workload(&ports, Vec::new())).await;
    let peer = dial(&proxy, &world).await;
    for (method, to, status) in [
        (Method::GET, app.to_string(), 400),
        (Method::CONNECT, format!("app:{}", app.port()), 400),
        (Method::CONNECT, format!("127.0.0.1:{}", app.port()), 403),
        (Method::CONNECT, format!("0.0.0.0:{}", app.port()), 403),
        (Method::CONNECT, "10.9.9.9:80".to_owned(), 403),
        (Method::CONNECT, format!("[::ffff:{OWN}]:{}", app.port()), 403),
        (Method::CONNECT, format!("{OWN}:15008"), 403),
        (Method::CONNECT, format!("{OWN}:15000"), 403),
        (Method::CONNECT, unused.to_string(), 503),
        (Method::CONNECT, app.to_string(), 200),
    ] {
        assert_eq!(ask(&peer, method, &to).await.0, status, "{to}");
    }
    // Nor is a CONNECT for something else a tunnel.
    let mut request = Request::new(());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = format!("https://{app}/").parse().unwrap();
    request.extensions_mut().insert(h2::ext::Protocol::from_static("connect-udp"));
    let mut send = soon(peer.clone().ready()).await.unwrap();
    let (response, _stream) = send.send_request(request, false).unwrap();
    assert_eq!(soon(response).await.unwrap().status(), 400);
    world.tell([Unit::Workload(Arc::new(workload(&ports, vec![deny(Vec::new())])))]);
    world.settled(1).await;
    assert_eq!(ask(&peer, Method::CONNECT, &app.to_string()).await.0, 403);
    world.counted("app", "leno_tunnel_failures_total", &[("direction", "inbound")], 11.0).await;
    world.counted("app", "leno_tunnel_failures_total", &[("reason", "rbac_access_denied")], 1.0).await;
    world.counted("app", "leno_tunnels_total", &[("direction", "inbound")], 1.0).await;
    world.counted("app", "leno_tunnel_connections_total", &[("direction", "inbound")], 1.0).await;
}

/// A tunnel ends as its end says: what is reset on one side is no orderly end on the other, and others go on.
#[tokio::test]
async fn what_ends_early_ends_on_both_sides() {
    let (ended, mut ends) = tokio::sync::mpsc::channel(1);
    let app = serving(OWN, move |mut stream| {
        let ended = ended.clone();
        async move {
            stream.write_all(b"hello").await.unwrap();
            let end = stream.read(&mut [0]).await;
            let _told = ended.send(matches!(end, Ok(0) | Err(_))).await;
            // Bytes that nobody reads, or a drop, make the kernel reset the connection.
            stream.set_zero_linger().unwrap();
        }
    })
    .await;
    let world = World::new();
    let proxy = world.app(workload(&[(app.port(), Protocol::Tcp)], Vec::new())).await;
    let peer = dial(&proxy, &world).await;
    let (_, mut reset, mut back) = ask(&peer, Method::CONNECT, &app.to_string()).await;
    assert_eq!(&soon(back.data()).await.unwrap().unwrap()[..], b"hello");
    reset.send_reset(h2::Reason::CANCEL);
    assert!(soon(ends.recv()).await.unwrap(), "the application learns of it");
    let (_, mut there, mut back) = ask(&peer, Method::CONNECT, &app.to_string()).await;
    assert_eq!(&soon(back.data()).await.unwrap().unwrap()[..], b"hello");
    there.send_data(Bytes::from_static(b"x"), false).unwrap();
    assert!(!soon(ends.recv()).await.unwrap());
    assert!(soon(back.data()).await.unwrap().is_err(), "a reset is not an orderly end");
}

/// Whoever resets streams as fast as it opens them leaves nothing that goes on dialling.
#[tokio::test]
async fn a_stream_that_is_reset_while_its_application_is_dialled_costs_no_more() {
    let full = tokio::net::TcpSocket::new_v4().unwrap();
    full.bind(SocketAddr::new(OWN, 0)).unwrap();
    let app = full.local_addr().unwrap();
    let listener = full.listen(1).unwrap();
    // Until its queue is full, so that connecting to it takes for ever.
    let mut queue = Vec::new();
    while let Ok(connected) =
        tokio::time::timeout(std::time::Duration::from_millis(500), TcpStream::connect(app)).await
    {
        queue.push(connected.unwrap());
    }
    let world = World::new();
    let proxy = world.app(workload(&[(app.port(), Protocol::Tcp)], Vec::new())).await;
    let peer = dial(&proxy, &world).await;
    let mut streams = Vec::new();
    for _ in 0..100 {
        let mut request = Request::new(());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = app.to_string().parse().unwrap();
        let mut send = soon(peer.clone().ready()).await.unwrap();
        streams.push(send.send_request(request, false).unwrap());
    }
    let tunnels = [("task", "hbone-stream")];
    world.counted("app", "leno_tasks_running", &tunnels, 100.0).await;
    let since = std::time::Instant::now();
    for (_, stream) in &mut streams {
        stream.send_reset(h2::Reason::CANCEL);
    }
    while world.count("app", "leno_tasks_running", &tunnels).await > 0.0 {
        assert!(since.elapsed() < leno_proxy::limits::CONNECT / 2, "they go on dialling");
    }
    drop((listener, queue));
}

/// A gateway's egress takes tunnels as well, and lets out what it lets out of connections by `leno/1`.
#[tokio::test]
async fn a_tunnel_leaves_the_mesh_where_a_connection_may() {
    let app = serving(Ipv4Addr::LOCALHOST, echo).await;
    let world = World::new();
    let path = world.path("egress.sock");
    let socket = Socket::Unix(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let machine = IpAddr::from([10, 9, 8, 7]);
    let callers = [HostCaller {
        namespace: "default".to_owned(),
        service_account: "web".to_owned(),
        host: HostPorts { address: machine, ports: vec![app.port()] },
    }];
    let unit = GatewayUnit {
        namespace: "default".into(),
        name: "out".into(),
        listeners: Vec::new(),
        policies: Vec::new(),
    };
    world.tell([Unit::Gateway(Arc::new(unit))]);
    let subject = Subject::Gateway { namespace: "default".into(), name: "out".into() };
    world.start(subject, "out", vec![(Kind::Egress { host: callers.into() }, socket)]);
    world.settled(1).await;
    let peer = dial(&path, &world).await;
    let led = SocketAddr::new(machine, app.port());
    let (status, mut there, mut back) = ask(&peer, Method::CONNECT, &led.to_string()).await;
    assert_eq!(status, 200);
    assert_eq!(say((&mut there, &mut back), b"out").await, b"out");
    for to in ["240.0.0.1:80", "127.0.0.1:80", "169.254.169.254:80"] {
        assert_ne!(ask(&peer, Method::CONNECT, to).await.0, 200, "{to}");
    }
}

/// Where requests are spoken each is judged by itself: the stream is granted, and the request is not.
#[tokio::test]
async fn requests_inside_of_a_stream_are_judged_one_by_one() {
    let app = serving(OWN, mirror).await;
    let world = World::new();
    let ports = [(app.port(), Protocol::Http)];
    let proxy = world.app(workload(&ports, Vec::new())).await;
    let peer = dial(&proxy, &world).await;
    let (_, mut there, mut back) = ask(&peer, Method::CONNECT, &app.to_string()).await;
    let text = say((&mut there, &mut back), b"GET / HTTP/1.1\r\nhost: app\r\n\r\n").await;
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    world.tell([Unit::Workload(Arc::new(workload(&ports, vec![deny(Vec::new())])))]);
    world.settled(1).await;
    let (status, mut there, mut back) = ask(&peer, Method::CONNECT, &app.to_string()).await;
    assert_eq!(status, 200);
    let text = say((&mut there, &mut back), b"GET / HTTP/1.1\r\nhost: app\r\n\r\n").await;
    assert!(text.starts_with(b"HTTP/1.1 403"), "{}", String::from_utf8_lossy(&text));
}

async fn get(proxy: SocketAddr) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: app\r\n\r\n").await.unwrap();
    soon(answer(&mut stream)).await
}

#[tokio::test]
async fn requests_cross_the_mesh_by_hbone_and_say_who_called() {
    let app = serving(OWN, mirror).await;
    let world = World::new();
    let ports = [(app.port(), Protocol::Http)];
    let path = world.app(workload(&ports, Vec::new())).await;
    let web = world.web(service(Protocol::Http, Transport::Hbone(Address::Unix(path)), app), 2).await;
    for _ in 0..3 {
        let (status, seen) = get(web).await.unwrap();
        assert_eq!(status, 200);
        assert!(seen.contains("URI=spiffe://cluster.local/ns/default/sa/web"), "{seen}");
    }
    world.tell([Unit::Workload(Arc::new(workload(&ports, vec![deny(Vec::new())])))]);
    world.settled(2).await;
    assert_eq!(get(web).await.map(|(status, _)| status), Some(403));
}

#[tokio::test]
async fn opaque_bytes_cross_the_mesh_by_hbone_until_policy_cuts_them() {
    let app = serving(OWN, echo).await;
    let world = World::new();
    let ports = [(app.port(), Protocol::Tcp)];
    let path = world.app(workload(&ports, Vec::new())).await;
    let web = world.web(service(Protocol::Tcp, Transport::Hbone(Address::Unix(path)), app), 2).await;
    let mut streams = Vec::new();
    for number in 0..40_u8 {
        let mut stream = TcpStream::connect(web).await.unwrap();
        stream.write_all(&[number]).await.unwrap();
        assert_eq!(soon(stream.read_u8()).await.unwrap(), number);
        streams.push(stream);
    }
    world.tell([Unit::Workload(Arc::new(workload(&ports, vec![deny(Vec::new())])))]);
    world.settled(2).await;
    for mut stream in streams {
        assert!(matches!(soon(stream.read(&mut [0])).await, Ok(0) | Err(_)), "cut");
    }
    let mut refused = TcpStream::connect(web).await.unwrap();
    assert!(matches!(soon(refused.read(&mut [0])).await, Ok(0) | Err(_)), "refused");
    world.counted("web", "leno_tunnels_total", &[("direction", "outbound")], 40.0).await;
    let failures = [("direction", "outbound"), ("reason", "rbac_access_denied")];
    world.counted("web", "leno_tunnel_failures_total", &failures, 1.0).await;
    // 32 on the first.
    world.counted("web", "leno_tunnel_connections_total", &[("direction", "outbound")], 2.0).await;
}
