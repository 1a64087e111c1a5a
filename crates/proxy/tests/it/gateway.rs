//! What clients outside the mesh get from a gateway.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use leno_identity::ca::BuiltIn;
use leno_identity::tls::outside::{self, Settings, Trust};
use leno_identity::tls::{Options, Version};
use leno_identity::{Svid, alpn};
use leno_model::gateway::ListenerProtocol;
use leno_model::policy::{Clause, Condition, ConditionKey, ConditionValue, PolicyAction};
use leno_model::route::RouteTable;
use leno_model::secret::{SecretBytes, TlsSecret};
use leno_model::service::{Protocol, Transport};
use leno_model::text::TextMatch;
use leno_model::unit::{Answer, GatewayUnit, ListenerUnit, Question};
use leno_proxy::listener::{Kind, Socket};
use leno_runtime::task;
use leno_wire::{Subject, Unit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::app::{answer, endless, head, mirror, serving};
use crate::routes::{forward, table};
use crate::world::{OWN, World, authority, deny, host, service, soon, svid_of};

/// A listener without certificates, with routes of these hosts.
pub(crate) fn plain(port: u16, protocol: ListenerProtocol, on: &str, routes: RouteTable) -> ListenerUnit {
    ListenerUnit {
        name: "plain".into(),
        port,
        protocol,
        hostname: None,
        certificates: Vec::new(),
        proxy_protocol: false,
        hosts: vec![(on.parse().unwrap(), routes)],
    }
}

fn listener(port: u16, name: &str, shown: &Svid, asked: Option<&BuiltIn>) -> ListenerUnit {
    let credential = shown.credential();
    let secret = TlsSecret {
        chain: credential.chain_pem().into(),
        key: SecretBytes::new(credential.key_pem().as_bytes()),
        client_roots: asked.map(|authority| authority.trusted().to_pem().into()),
    };
    ListenerUnit {
        name: name.into(),
        hostname: Some(name.parse().unwrap()),
        certificates: vec![Arc::new(secret)],
        ..plain(port, ListenerProtocol::Https, name, table(forward()))
    }
}

/// A port that nobody else gets while this is held.
fn port() -> (u16, socket2::Socket) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    let any: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    socket.bind(&any.into()).unwrap();
    (socket.local_addr().unwrap().as_socket().unwrap().port(), socket)
}

impl World {
    /// Starts a gateway before an app, and returns its port.
    pub(crate) async fn gateway(
        &self,
        app: SocketAddr,
        listeners: impl FnOnce(u16) -> Vec<ListenerUnit>,
    ) -> SocketAddr {
        self.edge(service(Protocol::Http, Transport::Plain, app), listeners).await
    }

    /// The same before a service.
    pub(crate) async fn edge(
        &self,
        service: [Unit; 2],
        listeners: impl FnOnce(u16) -> Vec<ListenerUnit>,
    ) -> SocketAddr {
        let (port, held) = port();
        self.tell(service);
        self.start_edge(listeners(port), Vec::new()).await;
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        // Cores open ports a moment after the configuration is in effect.
        soon(async {
            while TcpStream::connect(address).await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        drop(held);
        address
    }

    /// Starts a gateway that publishes port 80 of the service, and returns where.
    pub(crate) async fn published(&self) -> SocketAddr {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let kind = Kind::Published { host: host(), port: 80 };
        self.start_edge(Vec::new(), vec![(kind, Socket::Tcp(listener))]).await;
        address
    }

    async fn start_edge(&self, listeners: Vec<ListenerUnit>, sockets: Vec<(Kind, Socket)>) {
        self.answer(Question::Name(host().as_str().into()), Answer::Service(host()));
        let (namespace, name): (Arc<str>, Arc<str>) = ("default".into(), "edge".into());
        let subject = Subject::Gateway { namespace: namespace.clone(), name: name.clone() };
        self.tell([Unit::Gateway(Arc::new(GatewayUnit {
            namespace,
            name,
            listeners,
            policies: Vec::new(),
        }))]);
        self.start(subject, "edge", sockets);
        self.settled(1).await;
    }
}

async fn connect(
    gateway: SocketAddr,
    name: &str,
    shown: Option<&Svid>,
    protocol: &[u8],
) -> Option<TlsStream<TcpStream>> {
    let settings = Settings {
        trust: Trust::Unverified,
        credential: shown.map(|svid| svid.credential().clone()),
        protocols: vec![protocol.to_vec()],
        oldest: Version::Tls12,
    };
    let config = outside::client_config(&settings, &Options::default()).unwrap();
    let socket = TcpStream::connect(gateway).await.unwrap();
    let connecting =
        TlsConnector::from(Arc::new(config)).connect(outside::server_name(name).unwrap(), socket);
    soon(connecting).await.ok()
}

/// The status that a client gets; `None` when it is not let in.
async fn status(gateway: SocketAddr, name: &str, shown: Option<&Svid>, asked_for: &str) -> Option<u16> {
    let mut stream = connect(gateway, name, shown, alpn::HTTP1).await?;
    let request = format!("GET / HTTP/1.1\r\nhost: {asked_for}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    soon(answer(&mut stream)).await.map(|(status, _)| status)
}

/// Listeners of one port: two with clients of their own, and one for everybody.
#[tokio::test]
async fn a_client_that_one_listener_knows_is_not_let_in_to_another() {
    let app = serving(OWN, mirror).await;
    let world = World::new();
    let (ours, theirs) = (authority(), authority());
    let shown = world.svid("edge");
    let gateway = world
        .gateway(app, |port| {
            vec![
                listener(port, "ours.test", &shown, Some(&ours)),
                listener(port, "theirs.test", &shown, Some(&theirs)),
                listener(port, "all.test", &shown, None),
            ]
        })
        .await;
    let (we, they) = (svid_of(&ours, "client"), svid_of(&theirs, "client"));
    for (name, shown, asked_for, expected) in [
        ("ours.test", Some(&we), "ours.test", Some(200)),
        ("theirs.test", Some(&they), "theirs.test", Some(200)),
        ("all.test", None, "all.test", Some(200)),
        ("ours.test", Some(&they), "ours.test", None),
        ("theirs.test", Some(&we), "theirs.test", None),
        ("ours.test", None, "ours.test", None),
        ("none.test", None, "all.test", None),
        // Let in by one name and asking for another.
        ("all.test", None, "ours.test", Some(404)),
        ("theirs.test", Some(&they), "ours.test", Some(404)),
        ("ours.test", Some(&we), "all.test", Some(404)),
    ] {
        let got = status(gateway, name, shown, asked_for).await;
        assert_eq!(got, expected, "{asked_for} by {name}, with a certificate: {}", shown.is_some());
    }
}

/// Every browser speaks HTTP/2 over TLS, and few applications do behind it.
#[tokio::test]
async fn an_http2_client_reaches_an_application_that_speaks_http1() {
    let app = serving(OWN, mirror).await;
    let world = World::new();
    let shown = world.svid("edge");
    let gateway = world.gateway(app, |port| vec![listener(port, "all.test", &shown, None)]).await;
    let stream = connect(gateway, "all.test", None, alpn::H2).await.unwrap();
    let (mut send, connection) = soon(h2::client::handshake(stream)).await.unwrap();
    task::spawn("connection", async move { drop(connection.await) }).detach();
    let request = http::Request::get("https://all.test/").body(()).unwrap();
    let (response, _) = send.send_request(request, true).unwrap();
    assert_eq!(soon(response).await.unwrap().status(), 200);
}

/// The route changes what the application sees; the policy is about what the client asked for.
#[tokio::test]
async fn a_tunnel_is_cut_by_a_gateways_policy() {
    let app = serving(OWN, endless).await;
    let world = World::new();
    let shown = world.svid("edge");
    let listeners = |port| {
        let mut listener = listener(port, "all.test", &shown, None);
        listener.hosts[0].1.rules[0].request_headers.set.push(("x-asked".into(), "no".into()));
        vec![listener]
    };
    let gateway = world.gateway(app, listeners).await;
    let mut stream = connect(gateway, "all.test", None, alpn::HTTP1).await.unwrap();
    let asked =
        "GET / HTTP/1.1\r\nhost: all.test\r\nx-asked: yes\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    stream.write_all(asked.as_bytes()).await.unwrap();
    assert!(soon(head(&mut stream)).await.unwrap().starts_with("HTTP/1.1 101 "));
    for (denied, expected) in [("no", &b"ping"[..]), ("yes", b"")] {
        let mut policy = deny(Vec::new());
        let key = ConditionKey::Header("x-asked".into());
        let value = ConditionValue::Text(TextMatch::from_stars(denied));
        let values = Clause { any: vec![value], none: Vec::new() };
        policy.rules[0].conditions.push(Condition { key, values });
        world.tell([Unit::Gateway(Arc::new(GatewayUnit {
            namespace: "default".into(),
            name: "edge".into(),
            listeners: listeners(gateway.port()),
            policies: vec![Arc::new(policy)],
        }))]);
        world.settled(1).await;
        let _gone = stream.write_all(b"ping").await;
        let mut answer = Vec::new();
        while answer.len() < 4
            && let Ok(read @ 1..) = soon(stream.read_buf(&mut answer)).await
        {
            assert!(read <= 4);
        }
        assert_eq!(answer, expected, "{denied}");
    }
}

/// Over HTTP/2 an upgrade is a CONNECT, and the application gets a GET: a policy about GET is about it.
#[tokio::test]
async fn a_policy_about_a_method_covers_what_the_application_gets() {
    let app = serving(OWN, mirror).await;
    let world = World::new();
    let shown = world.svid("edge");
    let gateway = world.gateway(app, |port| vec![listener(port, "all.test", &shown, None)]).await;
    let mut policy = deny(Vec::new());
    assert_eq!(policy.action, PolicyAction::Deny);
    let mut operation = leno_model::policy::Operation::default();
    operation.methods.any.push(TextMatch::from_stars("GET"));
    policy.rules[0].operations.push(operation);
    let unit = GatewayUnit {
        namespace: "default".into(),
        name: "edge".into(),
        listeners: vec![listener(gateway.port(), "all.test", &shown, None)],
        policies: vec![Arc::new(policy)],
    };
    world.tell([Unit::Gateway(Arc::new(unit))]);
    world.settled(1).await;
    let stream = connect(gateway, "all.test", None, alpn::H2).await.unwrap();
    let (mut send, connection) = soon(h2::client::handshake(stream)).await.unwrap();
    task::spawn("connection", async move { drop(connection.await) }).detach();
    soon(async {
        while !send.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut request = http::Request::connect("https://all.test/").body(()).unwrap();
    request.extensions_mut().insert(h2::ext::Protocol::from_static("echo"));
    let (response, _stream) = send.send_request(request, false).unwrap();
    assert_eq!(soon(response).await.unwrap().status(), 403);
}
