//! CONNECT: to an application that is a proxy server itself, and nowhere else.

use std::net::SocketAddr;
use std::sync::Arc;

use leno_model::gateway::ListenerProtocol;
use leno_model::policy::Operation;
use leno_model::route::{Match, RouteTable};
use leno_model::service::{Address, Protocol, Transport};
use leno_model::text::TextMatch;
use leno_wire::Unit;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::{endless, head, serving};
use crate::gateway::plain;
use crate::routes::{forward, table};
use crate::world::{OWN, World, deny, service, soon, workload};

const CONNECT: &[u8] = b"CONNECT far.example.com:443 HTTP/1.1\r\nhost: far.example.com:443\r\n\r\n";

/// The status of a CONNECT; where it is granted, bytes come back and each direction ends by itself.
async fn connect(proxy: SocketAddr) -> u16 {
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    stream.write_all(CONNECT).await.unwrap();
    let head = soon(head(&mut stream)).await.unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    if status == 200 {
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut back = Vec::new();
        soon(stream.read_to_end(&mut back)).await.unwrap();
        assert_eq!(back, b"GET / HTTP/1.1\r\n\r\n", "nothing in a tunnel is a request");
    }
    status
}

/// An application that is a proxy server for one connection, over HTTP/2.
async fn http2_proxy(stream: TcpStream) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        assert_eq!(request.method(), http::Method::CONNECT);
        assert_eq!(request.uri().to_string(), "far.example.com:443");
        let mut body = request.into_body();
        let mut send = respond.send_response(http::Response::new(()), false).unwrap();
        leno_runtime::task::spawn("tunnel", async move {
            while let Some(Ok(data)) = body.data().await {
                body.flow_control().release_capacity(data.len()).unwrap();
                send.send_data(data, false).unwrap();
            }
            send.send_data(bytes::Bytes::new(), true).unwrap();
        })
        .detach();
    }
}

#[tokio::test]
async fn an_application_that_is_a_proxy_server_gets_it_through_both_sidecars() {
    for protocol in [Protocol::Http, Protocol::Auto, Protocol::Tcp, Protocol::Http2] {
        let app = match protocol {
            Protocol::Http2 => serving(OWN, http2_proxy).await,
            _ => serving(OWN, endless).await,
        };
        let world = World::new();
        let path = world.app(workload(&[(app.port(), protocol)], Vec::new())).await;
        let native = Transport::Native(Address::Unix(path));
        let web = world.web(service(protocol, native, app), 2).await;
        assert_eq!(connect(web).await, 200, "{protocol:?}");
    }
}

#[tokio::test]
async fn policy_is_about_it_as_about_every_method() {
    let app = serving(OWN, endless).await;
    let world = World::new();
    let mut policy = deny(Vec::new());
    let mut operation = Operation::default();
    operation.methods.any.push(TextMatch::from_stars("CONNECT"));
    policy.rules[0].operations.push(operation);
    let path = world.app(workload(&[(app.port(), Protocol::Http)], vec![policy])).await;
    let native = Transport::Native(Address::Unix(path));
    let web = world.web(service(Protocol::Http, native, app), 2).await;
    assert_eq!(connect(web).await, 403);
}

#[tokio::test]
async fn routes_pass_it_on_only_where_they_name_it() {
    let app = serving(OWN, endless).await;
    let world = World::new();
    let web = world.web(service(Protocol::Http, Transport::Plain, app), 1).await;
    assert_eq!(connect(web).await, 200, "a service without routes");
    for (routes, expected) in [(table(forward()), 404), (naming(), 200)] {
        let [host, endpoints] = service(Protocol::Http, Transport::Plain, app);
        let Unit::Host(mut unit) = host else { panic!() };
        Arc::make_mut(&mut unit).routes = vec![(80, routes)];
        world.tell([Unit::Host(unit), endpoints]);
        world.settled(1).await;
        assert_eq!(connect(web).await, expected);
    }
}

fn naming() -> RouteTable {
    let mut routes = table(forward());
    let method = Some(TextMatch::Exact("CONNECT".into()));
    routes.rules[0].matches = vec![Match { method, ..Match::default() }];
    routes
}

/// Whoever may send requests to a gateway must not get anywhere else by it.
#[tokio::test]
async fn strangers_get_none_unless_a_route_says_so() {
    for (routes, expected) in [(table(forward()), 404), (naming(), 200)] {
        let app = serving(OWN, endless).await;
        let world = World::new();
        let gateway = world.gateway(app, |port| vec![plain(port, ListenerProtocol::Http, "*", routes)]).await;
        assert_eq!(connect(gateway).await, expected);
    }
    // A published port is for an application's requests.
    let app = serving(OWN, endless).await;
    let world = World::new();
    world.tell(service(Protocol::Http, Transport::Plain, app));
    assert_eq!(connect(world.published().await).await, 403);
}
