//! A mesh around a proxy: an authority, a control plane that says what a test says, and peers of the mesh.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use leno_identity::ca::{self, BuiltIn, Order};
use leno_identity::request::SigningRequest;
use leno_identity::tls::Options;
use leno_identity::tls::mesh;
use leno_identity::{Bundles, Identities, KeyPair, Svid};
use leno_model::destination::Destination;
use leno_model::labels::Labels;
use leno_model::name::{Host, WorkloadName};
use leno_model::policy::{Mtls, MtlsMode, Policy, PolicyAction, PolicyRule};
use leno_model::service::{Endpoint as ServiceEndpoint, Protocol, ServicePort, TargetPort, Transport};
use leno_model::span::{Location, ObjectRef, Origin};
use leno_model::unit::{
    Answer, BundleUnit, EndpointUnit, HostUnit, InboundPort, MeshSettings, Question, WorkloadUnit,
};
use leno_proxy::listener::{Kind, Listener, Socket};
use leno_proxy::local::Local;
use leno_proxy::process::{self, Door, Identity, Setup};
use leno_proxy::takeover::Succession;
use leno_proxy::traces::Settings;
use leno_runtime::clock::Clock;
use leno_runtime::cores::LocalRuntime;
use leno_wire::open::{self, Open, Source};
use leno_wire::server::{Authority, Caller, Catalog, Client, Credentials, Denied, Hub, SignError, Signed};
use leno_wire::transport::Endpoint;
use leno_wire::{Encoded, Key, Subject, Unit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The longest that anything here takes.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("nothing happened in time")
}

/// The address of the workload that the proxy under test stands beside.
pub(crate) const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

const DOMAIN: &str = "cluster.local";

/// One snapshot.
#[derive(Clone, Debug, Default)]
struct Snapshot {
    number: u64,
    units: BTreeMap<Key, Unit>,
    answers: HashMap<Question, Answer>,
}

impl Catalog for Snapshot {
    fn snapshot(&self) -> u64 {
        self.number
    }

    fn resident(&self, client: &Client) -> Vec<Key> {
        let bundles = self.units.keys().filter(|key| matches!(key, Key::Bundle(_))).cloned();
        bundles.chain([Key::Mesh, client.subject.key()]).collect()
    }

    fn answer(&self, question: &Question, _client: &Client) -> Answer {
        self.answers.get(question).cloned().unwrap_or_else(|| Answer::Absent { under: "*".into() })
    }

    fn unit(&self, key: &Key, _client: &Client) -> Option<Arc<Encoded>> {
        self.units.get(key).map(|unit| Arc::new(Encoded::new(unit).unwrap()))
    }
}

/// The control plane is in this process: nobody has to prove anything.
struct Nobody;

impl Authority for Nobody {
    fn authenticate(&self, _credentials: &Credentials<'_>) -> Result<Caller, Denied> {
        Err(Denied { reason: "nobody calls from outside".into() })
    }

    fn admit(&self, _caller: &Caller, _subject: &Subject) -> Result<(), Denied> {
        Err(Denied { reason: "nobody calls from outside".into() })
    }

    fn sign<'a>(&'a self, _caller: &'a Caller, _csr: &'a str, _validity: Duration) -> Signed<'a> {
        Box::pin(async { Err(SignError::Authority("nobody signs".into())) })
    }
}

/// A mesh.
pub(crate) struct World {
    pub(crate) authority: BuiltIn,
    snapshot: Mutex<Snapshot>,
    catalogs: watch::Sender<Arc<dyn Catalog>>,
    hub: Hub,
    directory: PathBuf,
    /// Of each proxy that is started.
    pub(crate) cores: usize,
    /// Of each proxy that is started.
    pub(crate) tracing: Option<Settings>,
}

impl World {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let unique = format!("leno-proxy-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(unique);
        std::fs::create_dir_all(&directory).unwrap();
        let (catalogs, receiver) = watch::channel(Arc::new(Snapshot::default()) as Arc<dyn Catalog>);
        let world = Self {
            authority: authority(),
            snapshot: Mutex::default(),
            catalogs,
            hub: Hub::new(receiver, Arc::new(Nobody)),
            directory,
            cores: 1,
            tracing: None,
        };
        let mut settings = MeshSettings::new(DOMAIN.parse().unwrap());
        settings.ranges = vec!["240.0.0.0/8".parse().unwrap()];
        world.tell([Unit::Mesh(Arc::new(settings)), world.bundle(&[&world.authority])]);
        world
    }

    /// Adds or replaces units.
    pub(crate) fn tell(&self, units: impl IntoIterator<Item = Unit>) {
        self.change(|snapshot| {
            snapshot.units.extend(units.into_iter().map(|unit| (unit.key(), unit)));
        });
    }

    /// Adds an answer.
    pub(crate) fn answer(&self, question: Question, answer: Answer) {
        self.change(|snapshot| drop(snapshot.answers.insert(question, answer)));
    }

    fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        let mut snapshot = self.snapshot.lock().unwrap();
        change(&mut snapshot);
        snapshot.number += 1;
        self.catalogs.send_replace(Arc::new(snapshot.clone()));
    }

    /// Waits until every proxy has the newest snapshot in effect.
    pub(crate) async fn settled(&self, proxies: usize) {
        let number = self.snapshot.lock().unwrap().number;
        let registry = self.hub.registry();
        let mut changes = registry.changes();
        soon(async {
            loop {
                let sessions = registry.sessions();
                if sessions.len() == proxies && sessions.iter().all(|one| one.acked == Some(number)) {
                    return;
                }
                changes.changed().await.unwrap();
            }
        })
        .await;
    }

    /// The roots of the mesh's trust domain.
    pub(crate) fn bundle(&self, authorities: &[&BuiltIn]) -> Unit {
        let roots = authorities.iter().flat_map(|authority| {
            authority.trusted().roots().map(|root| Arc::from(&**root)).collect::<Vec<_>>()
        });
        let sequence = self.snapshot.lock().unwrap().number + 1;
        Unit::Bundle(Arc::new(BundleUnit {
            trust_domain: DOMAIN.parse().unwrap(),
            roots: roots.collect(),
            sequence,
        }))
    }

    /// A certificate of the mesh for a service account of the default namespace.
    pub(crate) fn svid(&self, account: &str) -> Svid {
        svid_of(&self.authority, account)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Starts a proxy with these listeners, each of which may serve one more meaning of a connection.
    pub(crate) fn start(
        &self,
        subject: Subject,
        account: &str,
        listeners: Vec<(Kind, Socket)>,
    ) -> Arc<Local> {
        let name = match &subject {
            Subject::Workload(name) => name.clone(),
            Subject::Gateway { namespace, name } => {
                WorkloadName { namespace: Arc::clone(namespace), name: Arc::clone(name) }
            }
        };
        let local = Arc::new(Local {
            owner: Arc::clone(&name.name),
            service_account: account.into(),
            labels: Labels::default(),
            cluster: "test".into(),
            identities: Arc::new(Identities::new(Options::default())),
            application: None,
            mark: 0,
            host: None,
            clock: Clock::system(),
            name,
        });
        let listener = |(kind, socket)| Listener { kind, socket, local: Arc::clone(&local) };
        let setup = Setup {
            local: Arc::clone(&local),
            bind: matches!(subject, Subject::Gateway { .. }).then_some(Ipv4Addr::LOCALHOST.into()),
            subject,
            trust_domain: DOMAIN.parse().unwrap(),
            control: Endpoint::Memory(self.hub.clone()),
            identity: Identity::Given {
                svid: Box::new(self.svid(account)),
                roots: (*self.authority.trusted()).clone(),
            },
            listeners: listeners.into_iter().map(listener).collect(),
            dns: Vec::new(),
            admin: vec![self.admin(account)],
            vault: None,
            cores: self.cores,
            access: None,
            tracing: self.tracing.clone(),
            seed: None,
            succession: Succession::default(),
        };
        let run = move || async move { process::run(setup).await.unwrap() };
        // It runs until the tests end.
        drop(LocalRuntime::start("proxy", run).unwrap());
        local
    }

    fn admin(&self, account: &str) -> Door {
        let path = self.path(&format!("{account}-admin.sock"));
        Door::Operator(std::os::unix::net::UnixListener::bind(path).unwrap())
    }

    /// What the proxy of a service account shows to its operator, head and all.
    pub(crate) async fn admin_page(&self, account: &str, path: &str) -> String {
        let socket = self.path(&format!("{account}-admin.sock"));
        let mut stream = UnixStream::connect(socket).await.unwrap();
        // Of version 1.0, so that the answer's body isn't in chunks.
        let request = format!("GET {path} HTTP/1.0\r\nhost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        String::from_utf8(rest(&mut stream).await).unwrap()
    }

    /// What the proxy of a service account counts, summed over the series of `name` with all of these labels.
    pub(crate) async fn count(&self, account: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
        let text = self.admin_page(account, "/metrics").await;
        let wanted: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        let is_wanted = |line: &&str| {
            let series = line.split([' ', '{']).next();
            series == Some(name) && wanted.iter().all(|label| line.contains(label))
        };
        let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
        text.lines().filter(is_wanted).filter_map(value).sum()
    }

    /// Waits until the proxy counts so much.
    pub(crate) async fn counted(&self, account: &str, name: &str, labels: &[(&str, &str)], expected: f64) {
        let deadline = tokio::time::Instant::now() + SOON;
        loop {
            let count = self.count(account, name, labels).await;
            if count == expected {
                return;
            }
            assert!(
                count < expected && tokio::time::Instant::now() < deadline,
                "{account} counts {count} of {name} {labels:?}, not {expected}"
            );
            tokio::task::yield_now().await;
        }
    }

    /// Changes what the mesh repeats.
    pub(crate) fn repeat(&self, rule: leno_model::retry::RepeatRule) {
        let mut settings = MeshSettings::new(DOMAIN.parse().unwrap());
        settings.ranges = vec!["240.0.0.0/8".parse().unwrap()];
        settings.repeat = rule;
        self.tell([Unit::Mesh(Arc::new(settings))]);
    }

    /// Starts the proxy beside `default/app-0`, and returns where other proxies reach it.
    pub(crate) async fn app(&self, unit: WorkloadUnit) -> PathBuf {
        let path = self.path("app.sock");
        let socket = Socket::Unix(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let subject = Subject::Workload(unit.name.clone());
        self.tell([Unit::Workload(Arc::new(unit))]);
        self.start(subject, "app", vec![(Kind::Mesh, socket)]);
        self.settled(1).await;
        path
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.directory);
    }
}

pub(crate) fn authority() -> BuiltIn {
    BuiltIn::ephemeral(DOMAIN.parse().unwrap(), ca::Settings::default(), SystemTime::now()).unwrap()
}

pub(crate) fn svid_of(authority: &BuiltIn, account: &str) -> Svid {
    let key = KeyPair::generate().unwrap();
    let request = SigningRequest::verify(&SigningRequest::make(&key).unwrap()).unwrap();
    let id = format!("spiffe://{DOMAIN}/ns/default/sa/{account}").parse().unwrap();
    let order = Order { id, request, lifetime: Duration::from_secs(3600) };
    Svid::new(authority.sign(&order, SystemTime::now()).unwrap().chain, key).unwrap()
}

/// What the workload's own proxy needs: ports as declared, and policies.
pub(crate) fn workload(ports: &[(u16, Protocol)], policies: Vec<Policy>) -> WorkloadUnit {
    let port = |&(port, protocol): &(u16, Protocol)| InboundPort { port, protocol, service: None };
    let mut ports: Vec<InboundPort> = ports.iter().map(port).collect();
    ports.sort_by_key(|port| port.port);
    WorkloadUnit {
        name: WorkloadName { namespace: "default".into(), name: "app-0".into() },
        identity: format!("spiffe://{DOMAIN}/ns/default/sa/app").parse().unwrap(),
        labels: Labels::default(),
        owner: "app".into(),
        addresses: vec![OWN],
        cluster: "test".into(),
        ports,
        mtls: Mtls { mode: MtlsMode::Strict, ports: Vec::new(), origin: None },
        policies: policies.into_iter().map(Arc::new).collect(),
    }
}

/// The first flight of a caller that says it is `web-0`.
pub(crate) fn open_to(address: SocketAddr, protocol: open::Protocol) -> Open {
    Open {
        ip: address.ip(),
        port: address.port(),
        service: None,
        protocol,
        source: Source { namespace: "default".into(), workload: "web-0".into(), ..Source::default() },
        machine: None,
    }
}

/// A connection of a peer's proxy, after its handshake and first flight.
pub(crate) async fn dial(
    proxy: &std::path::Path,
    world: &World,
    account: &str,
    open: &Open,
) -> TlsStream<UnixStream> {
    dial_as(proxy, &world.svid(account), &Arc::new((*world.authority.trusted()).clone().into()), open).await
}

pub(crate) async fn dial_as(
    proxy: &std::path::Path,
    svid: &Svid,
    bundles: &Arc<Bundles>,
    open: &Open,
) -> TlsStream<UnixStream> {
    let config = mesh::client_config(svid, bundles, &[open::ALPN], &Options::default()).unwrap();
    let socket = UnixStream::connect(proxy).await.unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(mesh::server_name(), socket);
    let mut tls = soon(connecting).await.unwrap();
    tls.write_all(&open.encode()).await.unwrap();
    tls.flush().await.unwrap();
    tls
}

/// Everything until the peer ends, however it does that.
pub(crate) async fn rest(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = soon(stream.read(&mut buffer)).await {
        all.extend_from_slice(&buffer[..read]);
    }
    all
}

/// A policy that denies everything, or everything from some addresses.
pub(crate) fn deny(sources: Vec<leno_model::policy::Source>) -> Policy {
    let origin = Origin {
        object: ObjectRef {
            kind: "AuthorizationPolicy".into(),
            namespace: "default".into(),
            name: "no".into(),
        },
        location: Location { file: "no.yaml".into(), line: 1, column: 1 },
    };
    let rule = PolicyRule {
        origin: origin.clone(),
        sources,
        operations: Vec::new(),
        conditions: Vec::new(),
        incomplete: false,
    };
    Policy { origin, action: PolicyAction::Deny, dry_run: false, rules: vec![rule] }
}

/// The host of the service that the app stands behind.
pub(crate) fn host() -> Host {
    "app.default.svc.cluster.local".parse().unwrap()
}

/// The service on port 80, and its one endpoint.
pub(crate) fn service(protocol: Protocol, transport: Transport, target: SocketAddr) -> [Unit; 2] {
    let identity = format!("spiffe://{DOMAIN}/ns/default/sa/app").parse().unwrap();
    let endpoint = ServiceEndpoint {
        uid: "default/app-0".into(),
        ip: target.ip(),
        ports: vec![(80, target.port())],
        identity: (transport != Transport::Plain).then_some(identity),
        transport,
        labels: Labels::default(),
        owner: "app".into(),
        namespace: "default".into(),
        weight: 1,
        locality: Default::default(),
        network: "".into(),
        cluster: "test".into(),
        ready: true,
        hostname: None,
    };
    let port =
        ServicePort { port: 80, name: "main".into(), protocol, target: TargetPort::Number(target.port()) };
    let mut destination = Destination::default();
    destination.policy.connect_timeout = Some(Duration::from_millis(500));
    let unit = HostUnit {
        host: host(),
        namespace: "default".into(),
        name: "app".into(),
        vips: Vec::new(),
        ports: vec![port],
        headless: false,
        external: false,
        routes: Vec::new(),
        destination,
    };
    let endpoints = EndpointUnit { host: host(), endpoints: vec![endpoint] };
    [Unit::Host(Arc::new(unit)), Unit::Endpoints(Arc::new(endpoints))]
}

impl World {
    /// Starts the proxy beside a workload that listens at a port of its own, and returns where the port is served.
    pub(crate) async fn direct(&self, unit: WorkloadUnit, port: u16) -> SocketAddr {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let subject = Subject::Workload(unit.name.clone());
        self.tell([Unit::Workload(unit.into())]);
        self.start(subject, "app", vec![(Kind::Direct { port: Some(port) }, Socket::Tcp(listener))]);
        self.settled(1).await;
        address
    }

    /// Starts the proxy beside the caller `default/web-0`, and returns where the service's port leads.
    pub(crate) async fn web(&self, service: [Unit; 2], proxies: usize) -> SocketAddr {
        self.tell(service);
        self.answer(Question::Name(host().as_str().into()), Answer::Service(host()));
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let kind = Kind::Service { host: host(), port: 80 };
        let subject = "workload:default/web-0".parse().unwrap();
        let unit = WorkloadUnit {
            name: WorkloadName { namespace: "default".into(), name: "web-0".into() },
            identity: format!("spiffe://{DOMAIN}/ns/default/sa/web").parse().unwrap(),
            addresses: vec![Ipv4Addr::new(127, 0, 0, 3).into()],
            ..workload(&[], Vec::new())
        };
        self.tell([Unit::Workload(Arc::new(unit))]);
        self.start(subject, "web", vec![(kind, Socket::Tcp(listener))]);
        self.settled(proxies).await;
        address
    }
}
