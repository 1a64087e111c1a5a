//! A control plane with a few services, on any transport, and a proxy's side of it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use leno_model::name::Host;
use leno_model::service::{Endpoint as ServiceEndpoint, Locality, Transport};
use leno_model::spiffe::SpiffeId;
use leno_model::unit::{Answer, EndpointUnit, HostUnit, MeshSettings, Question};
use leno_runtime::Task;
use leno_wire::client::{Ack, Config, Discovery, Update, Updates};
use leno_wire::server::{
    Authority, Caller, Catalog, Client, Credentials, Denied, Hub, Listener, Services, SignError, Signed,
    serve,
};
use leno_wire::state::State;
use leno_wire::status::{ListObjectsResponse, ListProxiesResponse, ProxyUnit, Status};
use leno_wire::transport::{Address, ClientTls, Endpoint, Remote, ServerTls};
use leno_wire::{Encoded, Key, Subject, Unit};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{oneshot, watch};

/// The longest that anything here takes.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("nothing happened in time")
}

pub(crate) fn subject() -> Subject {
    "workload:default/web-0".parse().unwrap()
}

pub(crate) fn host(name: &str) -> Host {
    name.parse().unwrap()
}

pub(crate) fn name(name: &str) -> Question {
    Question::Name(name.into())
}

/// A directory of its own, gone with it.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let unique = format!("leno-wire-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(unique);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// A catalog of services, each with one endpoint whose owner tells the generation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mesh {
    pub(crate) snapshot: u64,
    pub(crate) services: BTreeMap<&'static str, u32>,
}

impl Mesh {
    pub(crate) fn of(snapshot: u64, services: &[(&'static str, u32)]) -> Arc<dyn Catalog> {
        Arc::new(Self { snapshot, services: services.iter().copied().collect() })
    }

    fn find(&self, key: &Key) -> Option<Unit> {
        match key {
            Key::Mesh => Some(Unit::Mesh(MeshSettings::new("cluster.local".parse().unwrap()).into())),
            Key::Host(host) => {
                let (name, _) = self.services.get_key_value(host.as_str())?;
                Some(Unit::Host(host_unit(name).into()))
            }
            Key::Endpoints(host) => {
                let generation = self.services.get(host.as_str())?;
                Some(Unit::Endpoints(endpoints(host, *generation).into()))
            }
            _ => None,
        }
    }
}

fn host_unit(name: &str) -> HostUnit {
    HostUnit {
        host: host(name),
        namespace: "default".into(),
        name: name.into(),
        vips: Vec::new(),
        ports: Vec::new(),
        headless: false,
        external: false,
        routes: Vec::new(),
        destination: Default::default(),
    }
}

fn endpoints(host: &Host, generation: u32) -> EndpointUnit {
    let endpoint = ServiceEndpoint {
        uid: format!("{host}-0").into(),
        ip: [10, 0, 0, 1].into(),
        ports: vec![(80, 8080)],
        transport: Transport::Plain,
        identity: None,
        labels: Default::default(),
        owner: format!("generation-{generation}").into(),
        namespace: "default".into(),
        weight: 1,
        locality: Locality::default(),
        network: "".into(),
        cluster: "local".into(),
        ready: true,
        hostname: None,
    };
    EndpointUnit { host: host.clone(), endpoints: vec![endpoint] }
}

impl Catalog for Mesh {
    fn snapshot(&self) -> u64 {
        self.snapshot
    }

    fn resident(&self, _client: &Client) -> Vec<Key> {
        vec![Key::Mesh]
    }

    fn answer(&self, question: &Question, _client: &Client) -> Answer {
        match question {
            Question::Name(name) if self.services.contains_key(&**name) => Answer::Service(host(name)),
            Question::Name(name) => Answer::Absent { under: name.clone() },
            Question::Address(..) | Question::Workload(_) => Answer::Absent { under: "*".into() },
        }
    }

    fn unit(&self, key: &Key, _client: &Client) -> Option<Arc<Encoded>> {
        Some(Arc::new(Encoded::new(&self.find(key)?).unwrap()))
    }
}

/// Lets in whoever has the token or a certificate, as `default/web`.
pub(crate) struct Guard;

pub(crate) const TOKEN: &[u8] = b"letmein";

pub(crate) fn web() -> SpiffeId {
    "spiffe://cluster.local/ns/default/sa/web".parse().unwrap()
}

impl Authority for Guard {
    fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Caller, Denied> {
        let by_token = credentials.token.as_ref().is_some_and(|token| token.expose() == TOKEN).then(web);
        match credentials.peer.identity.clone().or(by_token) {
            Some(identity) => Ok(Caller { identity, workload: None }),
            None => Err(Denied { reason: "neither token nor certificate".into() }),
        }
    }

    fn admit(&self, caller: &Caller, subject: &Subject) -> Result<(), Denied> {
        match caller.identity.service_account() {
            Some((namespace, _)) if namespace == &**subject.namespace() => Ok(()),
            _ => Err(Denied { reason: "another namespace".into() }),
        }
    }

    fn sign<'a>(&'a self, caller: &'a Caller, csr: &'a str, validity: Duration) -> Signed<'a> {
        Box::pin(async move {
            match csr {
                "broken" => Err(SignError::Request("not PEM".into())),
                "later" => Err(SignError::Authority("the key 4711 is locked".into())),
                csr => Ok(vec![
                    format!("{csr} for {} of {} s", caller.identity, validity.as_secs()),
                    "root".into(),
                ]),
            }
        })
    }
}

/// Tells of one proxy.
pub(crate) struct Told(pub Vec<ProxyUnit>);

impl Status for Told {
    fn proxies(&self) -> ListProxiesResponse {
        ListProxiesResponse { snapshot: 3, proxies: Vec::new(), changes: 0 }
    }

    fn objects(&self) -> ListObjectsResponse {
        ListObjectsResponse { snapshot: 3, objects: Vec::new() }
    }

    fn units(&self, proxy: &str) -> Option<(u64, Vec<ProxyUnit>)> {
        (proxy == subject().to_string()).then(|| (3, self.0.clone()))
    }
}

/// How proxy and control plane meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Memory,
    Unix,
    UnixTls,
    Tcp,
    TcpTls,
}

impl Way {
    pub(crate) const ALL: [Self; 5] = [Self::Memory, Self::Unix, Self::UnixTls, Self::Tcp, Self::TcpTls];

    fn is_tls(self) -> bool {
        matches!(self, Self::UnixTls | Self::TcpTls)
    }
}

/// A control plane that can be stopped and started again where it was.
pub(crate) struct Control {
    pub(crate) way: Way,
    pub(crate) catalogs: watch::Sender<Arc<dyn Catalog>>,
    pub(crate) hub: Hub,
    pub(crate) directory: Directory,
    address: Address,
    served: Option<(oneshot::Sender<()>, Task<std::io::Result<()>>)>,
    status: Arc<dyn Status>,
}

impl Control {
    pub(crate) async fn start(way: Way, catalog: Arc<dyn Catalog>) -> Self {
        let catalogs = watch::Sender::new(catalog);
        let directory = Directory::new();
        let hub = Hub::new(catalogs.subscribe(), Arc::new(Guard));
        let address = Address::Unix(directory.join("control"));
        let mut control =
            Self { way, catalogs, hub, directory, address, served: None, status: Arc::new(Told(Vec::new())) };
        control.serve().await;
        control
    }

    pub(crate) fn tell(&mut self, units: Vec<ProxyUnit>) {
        self.status = Arc::new(Told(units));
    }

    /// Begins to listen, at the address where it did before.
    pub(crate) async fn serve(&mut self) {
        let listener = match (self.way, &self.address) {
            (Way::Memory, _) => return,
            (Way::Unix | Way::UnixTls, Address::Unix(path)) => {
                let _none = std::fs::remove_file(path);
                Listener::Unix(UnixListener::bind(path).unwrap())
            }
            (_, Address::Tcp(address)) => Listener::Tcp(TcpListener::bind(&**address).await.unwrap()),
            _ => {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                self.address = Address::Tcp(listener.local_addr().unwrap().to_string().into());
                Listener::Tcp(listener)
            }
        };
        let services = Services {
            discovery: Some(self.hub.clone()),
            certificates: Some(Arc::new(Guard)),
            status: Some(self.status.clone()),
        };
        let tls = self.way.is_tls().then(|| Arc::new(ControlTls) as Arc<dyn ServerTls>);
        let (stop, stopped) = oneshot::channel();
        let stopped = async { drop(stopped.await) };
        self.served =
            Some((stop, leno_runtime::spawn("test.control", serve(listener, tls, services, stopped))));
    }

    /// Stops listening, and closes what is open.
    pub(crate) async fn stop(&mut self) {
        if let Some((stop, served)) = self.served.take() {
            drop(stop);
            soon(served).await.unwrap().unwrap();
        }
    }

    /// Where it is for a proxy with these credentials.
    pub(crate) fn remote(&self) -> Remote {
        let tls = self.way.is_tls().then(|| Arc::new(ProxyTls::default()) as Arc<dyn ClientTls>);
        let token = (!self.way.is_tls() && matches!(self.address, Address::Unix(_)))
            .then(|| leno_model::secret::SecretBytes::new(TOKEN));
        Remote { address: self.address.clone(), tls, token }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        match self.way {
            Way::Memory => Endpoint::Memory(self.hub.clone()),
            _ => Endpoint::Remote(self.remote()),
        }
    }

    pub(crate) fn set(&self, catalog: Arc<dyn Catalog>) {
        self.catalogs.send_replace(catalog);
    }

    /// Waits until the only session is as demanded.
    pub(crate) async fn session(&self, is_so: impl Fn(&leno_wire::server::SessionReport) -> bool) {
        let mut changes = self.hub.registry().changes();
        soon(async {
            while !matches!(self.hub.registry().sessions().as_slice(), [session] if is_so(session)) {
                changes.changed().await.unwrap();
            }
        })
        .await;
    }
}

/// A proxy that takes every update.
pub(crate) struct Proxy {
    pub(crate) discovery: Discovery,
    pub(crate) updates: Updates,
    pub(crate) units: BTreeMap<Key, Unit>,
    _run: Task<()>,
}

impl Proxy {
    pub(crate) fn start(endpoint: Endpoint, restored: Option<State>) -> Self {
        Self::start_as(subject(), endpoint, restored)
    }

    pub(crate) fn start_as(subject: Subject, endpoint: Endpoint, restored: Option<State>) -> Self {
        let config = Config { endpoint, subject, version: "1".into(), restored };
        let (discovery, updates, run) = leno_wire::client::start(config);
        let run = leno_runtime::spawn("test.proxy", run);
        Self { discovery, updates, units: BTreeMap::new(), _run: run }
    }

    pub(crate) async fn next(&mut self) -> (Update, Ack) {
        soon(self.updates.next()).await.expect("discovery ended")
    }

    /// Takes the next update into effect.
    pub(crate) async fn take(&mut self) -> Update {
        let (update, ack) = self.next().await;
        self.units.extend(update.changed.iter().map(|unit| (unit.key(), unit.clone())));
        update.removed.iter().for_each(|key| drop(self.units.remove(key)));
        ack.applied();
        update
    }

    /// Asks, and takes updates until the answer comes.
    pub(crate) async fn ask(&mut self, question: Question) -> Answer {
        let discovery = self.discovery.clone();
        let answer = discovery.ask(question, Duration::from_secs(20));
        tokio::pin!(answer);
        loop {
            tokio::select! {
                answer = &mut answer => return answer.unwrap(),
                _update = self.take() => {}
            }
        }
    }

    pub(crate) fn keys(&self) -> BTreeSet<String> {
        self.units.keys().map(ToString::to_string).collect()
    }

    /// Waits until the stream is open, or isn't.
    pub(crate) async fn connected(&self, is_connected: bool) -> Option<String> {
        let mut connection = self.discovery.connection();
        let wanted = |state: &leno_wire::client::Connection| {
            state.connected == is_connected && (is_connected || state.last_error.is_some())
        };
        soon(connection.wait_for(wanted)).await.unwrap().last_error.clone()
    }
}

/// Certificates of the test's two parties.
pub(crate) struct Pki {
    pub(crate) root: CertificateDer<'static>,
    control: (CertificateDer<'static>, Vec<u8>),
    proxy: (CertificateDer<'static>, Vec<u8>),
}

pub(crate) fn pki() -> &'static Pki {
    static PKI: OnceLock<Pki> = OnceLock::new();
    PKI.get_or_init(|| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::new(params, key);
        let leaf = |name: &str| {
            let key = rcgen::KeyPair::generate().unwrap();
            let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
            (params.signed_by(&key, &issuer).unwrap().der().clone(), key.serialize_der())
        };
        Pki { root: root.der().clone(), control: leaf("control.test"), proxy: leaf("web.test") }
    })
}

fn roots() -> Arc<rustls::RootCertStore> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(pki().root.clone()).unwrap();
    Arc::new(roots)
}

fn key(der: &[u8]) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(der.to_vec()).into()
}

/// The control plane's TLS: a client certificate is welcome, not demanded.
pub(crate) struct ControlTls;

impl ServerTls for ControlTls {
    fn config(&self) -> Arc<rustls::ServerConfig> {
        let (certificate, private) = &pki().control;
        let verifier = WebPkiClientVerifier::builder(roots()).allow_unauthenticated().build().unwrap();
        let mut config = rustls::ServerConfig::builder()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate.clone()], key(private))
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }

    fn identify(&self, chain: &[CertificateDer<'_>]) -> Result<SpiffeId, String> {
        if chain.first() == Some(&pki().proxy.0) { Ok(web()) } else { Err("a stranger".into()) }
    }
}

/// A proxy's TLS.
#[derive(Default)]
pub(crate) struct ProxyTls {
    /// Expects somebody else.
    pub(crate) is_wary: bool,
    /// Shows no certificate.
    pub(crate) is_anonymous: bool,
}

impl ClientTls for ProxyTls {
    fn config(&self) -> Arc<rustls::ClientConfig> {
        let builder = rustls::ClientConfig::builder().with_root_certificates(roots());
        let (certificate, private) = &pki().proxy;
        let mut config = match self.is_anonymous {
            true => builder.with_no_client_auth(),
            false => builder.with_client_auth_cert(vec![certificate.clone()], key(private)).unwrap(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }

    fn server_name(&self) -> ServerName<'static> {
        "control.test".try_into().unwrap()
    }

    fn check(&self, chain: &[CertificateDer<'_>]) -> Result<(), String> {
        match self.is_wary || chain.first() != Some(&pki().control.0) {
            true => Err("not whom I know".into()),
            false => Ok(()),
        }
    }
}
