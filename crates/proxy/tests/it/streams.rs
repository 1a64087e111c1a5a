//! Connections that aren't looked into, by the name that they ask for or by port: at a gateway, and from a workload.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use leno_identity::alpn;
use leno_identity::ca::BuiltIn;
use leno_identity::tls::gateway::{self as server, Certificates, Clients};
use leno_identity::tls::outside::{self, Settings, Trust};
use leno_identity::tls::{Options, Version};
use leno_model::gateway::ListenerProtocol;
use leno_model::name::Host;
use leno_model::route::{Match, MatchOrder, RouteTable, StreamMatch};
use leno_model::service::{Address, Protocol, Transport};
use leno_model::unit::{Answer, GatewayUnit, Question};
use leno_testkit::programs::{CURL, or_skip};
use leno_wire::Unit;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::app::{echo, serving};
use crate::gateway::plain;
use crate::routes::{forward, table};
use crate::world::{OWN, World, authority, deny, host, rest, service, soon, svid_of, workload};

/// A rule for connections that ask for one of these names; for all where there is none.
fn by_name(names: &[&str]) -> RouteTable {
    let server_names = names.iter().map(|name| name.parse::<Host>().unwrap()).collect();
    let stream = Some(StreamMatch { server_names, subnets: Vec::new() });
    let mut routes = table(forward());
    routes.order = MatchOrder::FirstMatch;
    routes.rules[0].matches = vec![Match { stream, ..Match::default() }];
    routes
}

/// An application that ends TLS itself: it answers a request over it with its name.
async fn tls_app(authority: &BuiltIn, name: &'static str) -> SocketAddr {
    let certificates = Arc::new(Certificates::default());
    certificates.replace(vec![("*".to_owned(), svid_of(authority, "server").credential().clone())]).unwrap();
    let config = server::server_config(
        certificates,
        &Clients::Anonymous,
        &[alpn::HTTP1],
        Version::Tls12,
        &Options::default(),
    );
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    serving(OWN, move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut tls) = acceptor.accept(stream).await else { return };
            let mut bytes = [0; 4096];
            let _request = tls.read(&mut bytes).await;
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{name}",
                name.len()
            );
            let _sent = tls.write_all(answer.as_bytes()).await;
            let _closed = tls.shutdown().await;
        }
    })
    .await
}

/// What is behind a name at this address; `None` where nobody shakes hands.
async fn ask(at: SocketAddr, name: &str) -> Option<String> {
    let settings = Settings {
        trust: Trust::Unverified,
        credential: None,
        protocols: vec![alpn::HTTP1.to_vec()],
        oldest: Version::Tls12,
    };
    let config = outside::client_config(&settings, &Options::default()).unwrap();
    let socket = TcpStream::connect(at).await.unwrap();
    let connecting =
        TlsConnector::from(Arc::new(config)).connect(outside::server_name(name).unwrap(), socket);
    let mut tls = soon(connecting).await.ok()?;
    tls.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.ok()?;
    let text = String::from_utf8(rest(&mut tls).await).unwrap();
    Some(text.rsplit("\r\n\r\n").next().unwrap().to_owned())
}

#[tokio::test]
async fn a_gateway_passes_tls_on_by_the_name_that_it_asks_for() {
    let app = tls_app(&authority(), "app").await;
    let world = World::new();
    let gateway = world
        .gateway(app, |port| {
            vec![plain(
                port,
                ListenerProtocol::Tls,
                "*.example.com",
                by_name(&["a.example.com", "*.b.example.com"]),
            )]
        })
        .await;
    assert_eq!(ask(gateway, "a.example.com").await.as_deref(), Some("app"));
    assert_eq!(ask(gateway, "x.b.example.com").await.as_deref(), Some("app"));
    assert_eq!(ask(gateway, "c.example.com").await, None, "no rule");
    assert_eq!(ask(gateway, "a.example.org").await, None, "no host");
    // Neither is a client that says nothing of the kind.
    let mut client = TcpStream::connect(gateway).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: a.example.com\r\n\r\n").await.unwrap();
    assert_eq!(rest(&mut client).await, b"");
    if let Some(curl) = or_skip(CURL.find()) {
        let to = format!("a.example.com:443:127.0.0.1:{}", gateway.port());
        let mut command = std::process::Command::new(curl);
        command.args([
            "-sSk",
            "--http1.1",
            "--max-time",
            "20",
            "--connect-to",
            &to,
            "https://a.example.com/",
        ]);
        // The application is served by this thread.
        let output = std::thread::spawn(move || command.output().unwrap());
        soon(async {
            while !output.is_finished() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(output.join().unwrap().stdout, b"app");
    }
    // A policy about the gateway is about these connections, too.
    let unit = GatewayUnit {
        namespace: "default".into(),
        name: "edge".into(),
        listeners: vec![plain(gateway.port(), ListenerProtocol::Tls, "*", by_name(&["a.example.com"]))],
        policies: vec![Arc::new(deny(Vec::new()))],
    };
    world.tell([Unit::Gateway(Arc::new(unit))]);
    world.settled(1).await;
    assert_eq!(ask(gateway, "a.example.com").await, None, "denied");
}

#[tokio::test]
async fn a_gateway_passes_bytes_on_by_port() {
    let app = serving(OWN, echo).await;
    let world = World::new();
    let gateway =
        world.gateway(app, |port| vec![plain(port, ListenerProtocol::Tcp, "*", by_name(&[]))]).await;
    let mut stream = TcpStream::connect(gateway).await.unwrap();
    stream.write_all(b"ping").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(rest(&mut stream).await, b"ping");
}

/// One service's connections lead to another by the name that they ask for, whatever is declared of the port.
#[tokio::test]
async fn a_workload_s_tls_is_routed_by_name() {
    for protocol in [Protocol::Tls, Protocol::Tcp, Protocol::Auto] {
        let (own, other) = (tls_app(&authority(), "own").await, tls_app(&authority(), "other").await);
        let world = World::new();
        let path = world.app(workload(&[(other.port(), protocol)], Vec::new())).await;
        // The service of the routes' helper is the one that is led to.
        let there = service(protocol, Transport::Native(Address::Unix(path)), other);
        let [Unit::Host(mut dialled), Unit::Endpoints(mut endpoints)] =
            service(protocol, Transport::Plain, own)
        else {
            panic!("a host and its endpoints")
        };
        let front: Host = "front.default.svc.cluster.local".parse().unwrap();
        let unit = Arc::make_mut(&mut dialled);
        unit.host = front.clone();
        unit.routes = vec![(0, by_name(&["other.test"]))];
        Arc::make_mut(&mut endpoints).host = front.clone();
        world.tell(there);
        world.answer(Question::Name(host().as_str().into()), Answer::Service(host()));
        let web = world.front(front, [Unit::Host(dialled), Unit::Endpoints(endpoints)]).await;
        assert_eq!(ask(web, "other.test").await.as_deref(), Some("other"), "{protocol:?}");
        assert_eq!(
            ask(web, "own.test").await.as_deref(),
            Some("own"),
            "{protocol:?}: no rule, so as dialled"
        );
    }
}

impl World {
    /// Starts the proxy beside the caller, whose listener leads to this service.
    async fn front(&self, front: Host, units: [Unit; 2]) -> SocketAddr {
        use leno_proxy::listener::{Kind, Socket};
        self.tell(units);
        self.answer(Question::Name(front.as_str().into()), Answer::Service(front.clone()));
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let unit = leno_model::unit::WorkloadUnit {
            name: leno_model::name::WorkloadName { namespace: "default".into(), name: "web-0".into() },
            identity: "spiffe://cluster.local/ns/default/sa/web".parse().unwrap(),
            addresses: vec![Ipv4Addr::new(127, 0, 0, 3).into()],
            ..workload(&[], Vec::new())
        };
        self.tell([Unit::Workload(Arc::new(unit))]);
        let kind = Kind::Service { host: front, port: 80 };
        let subject = "workload:default/web-0".parse().unwrap();
        self.start(subject, "web", vec![(kind, Socket::Tcp(listener))]);
        self.settled(2).await;
        address
    }
}
