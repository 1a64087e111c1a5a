//! A whole control plane with real proxies' clients over its sockets.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use leno_control::server::{JoinToken, Listen, Signer};
use leno_control::source::workloads::LocalWorkload;
use leno_control::{Config, ControlPlane, Handle, Workloads};
use leno_identity::request::SigningRequest;
use leno_identity::tls::{Options, mesh, peer::Peer};
use leno_identity::{Bundle, Bundles, KeyPair, Svid, alpn};
use leno_model::labels::Labels;
use leno_model::secret::SecretBytes;
use leno_model::service::{Address, Transport};
use leno_model::spiffe::SpiffeId;
use leno_model::unit::Answer;
use leno_telemetry::exposition::Format;
use leno_wire::certificate;
use leno_wire::server::Catalog as _;
use leno_wire::status::Object;
use leno_wire::transport::{ClientTls, Endpoint};
use leno_wire::{Key, Unit};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

use crate::proxy::{PATIENCE, Proxy, tcp, unix, until};
use crate::temporary::Temporary;
use crate::world;

const SERVICES: &str = "\
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec: {selector: {app: reviews}, ports: [{port: 80, name: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: ratings}
spec: {selector: {app: ratings}, ports: [{port: 80, name: http}]}
";

const ROUTE: &str = "\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http: [{timeout: 1s, route: [{destination: {host: reviews}}]}]
";

/// A control plane in a directory, with workloads `a` and `b`.
struct Plane {
    directory: Temporary,
    handle: Handle,
}

fn token(name: &str) -> String {
    format!("token of the workload {name}")
}

fn id(account: &str) -> SpiffeId {
    format!("spiffe://cluster.local/ns/default/sa/{account}").parse().unwrap()
}

fn config(directory: &Temporary) -> Config {
    let workloads = Workloads::new("cluster.local".parse().unwrap());
    let mut config = Config::new(world::options(), workloads);
    config.state = Some(directory.join("state"));
    config.paths = vec![directory.join("config")];
    config.listeners =
        vec![Listen::Unix(directory.join("control.sock")), Listen::Tls(([127, 0, 0, 1], 0).into())];
    for (name, address) in [("a", [10, 240, 0, 2]), ("b", [10, 240, 0, 3])] {
        let subject = format!("workload:default/{name}").parse().unwrap();
        let token = SecretBytes::new(token(name).into_bytes());
        config.tokens.push(JoinToken { token, identity: id(name), subject });
        config
            .workloads
            .set(LocalWorkload {
                name: name.into(),
                namespace: "default".into(),
                service_account: name.into(),
                owner: name.into(),
                labels: Labels::from_iter([("app", "reviews")]),
                addresses: vec![address.into()],
                transport: Transport::Native(Address::Unix(directory.join(format!("{name}.in")))),
                named_ports: Vec::new(),
                ready: true,
            })
            .unwrap();
    }
    config
}

impl Plane {
    async fn start() -> Self {
        let directory = Temporary::new();
        fs::create_dir(directory.join("config")).unwrap();
        fs::write(directory.join("config/services.yaml"), SERVICES).unwrap();
        fs::write(directory.join("config/route.yaml"), ROUTE).unwrap();
        let handle = ControlPlane::start(config(&directory)).await.unwrap();
        Self { directory, handle }
    }

    fn proxy(&self, name: &str) -> Proxy {
        let remote = unix(&self.directory.join("control.sock"), &token(name));
        Proxy::start(Endpoint::Remote(remote), &format!("workload:default/{name}"))
    }

    /// Replaces a file of configuration as careful programs do.
    fn write(&self, name: &str, text: &str) {
        let draft = self.directory.join("config/.draft");
        fs::write(&draft, text).unwrap();
        fs::rename(draft, self.directory.join("config").join(name)).unwrap();
    }

    fn object(&self, kind: &str, name: &str) -> Object {
        let objects = self.handle.status().objects().objects;
        objects.into_iter().find(|object| object.kind == kind && object.name == name).unwrap()
    }

    /// Waits until a session has changed in such a way that this holds.
    async fn until(&self, what: &str, holds: impl FnMut() -> bool) {
        until(self.handle.hub().registry().changes(), what, holds).await;
    }

    /// Waits for a snapshot other than this one.
    async fn next_snapshot(&self, number: u64) {
        let catalogs = self.handle.catalogs();
        let newest = catalogs.clone();
        until(catalogs, "another snapshot", || newest.borrow().snapshot() > number).await;
    }
}

fn reviews() -> Key {
    Key::Host("reviews.default.svc.cluster.local".parse().unwrap())
}

#[tokio::test]
async fn a_change_is_told_in_effect_by_proxy_and_a_refusal_with_its_reason() {
    let plane = Plane::start().await;
    let (a, b) = (plane.proxy("a"), plane.proxy("b"));
    assert_eq!(a.ask("reviews").await, Answer::Service("reviews.default.svc.cluster.local".parse().unwrap()));
    assert_eq!(b.ask("reviews").await, a.ask("reviews").await);
    let effect = || {
        let object = plane.object("VirtualService", "reviews");
        (object.in_effect, object.proxies)
    };
    plane.until("both have the route", || effect() == (2, 2)).await;

    let began = Instant::now();
    plane.write("route.yaml", &ROUTE.replace("timeout: 1s", "timeout: 2s"));
    plane.next_snapshot(1).await;
    plane.until("both have the change", || effect() == (2, 2)).await;
    let took = began.elapsed();
    for proxy in [&a, &b] {
        let Some(Unit::Host(unit)) = proxy.unit(&reviews()) else { panic!("no host") };
        assert!(format!("{:?}", unit.routes).contains("2s"));
    }

    b.refuse(reviews(), "routes[0]: this proxy is too old for it");
    plane.write("route.yaml", &ROUTE.replace("timeout: 1s", "timeout: 3s"));
    plane
        .until("one has it, the other refuses", || {
            effect() == (1, 2) && plane.object("VirtualService", "reviews").diagnostics.len() == 1
        })
        .await;
    let shown = plane.object("VirtualService", "reviews");
    assert_eq!((shown.verdict.as_str(), shown.line), ("exact", 1));
    assert_eq!(shown.diagnostics[0].code, "LENO0806");
    let message = &shown.diagnostics[0].message;
    assert_eq!(message, "workload:default/b refuses it: routes[0]: this proxy is too old for it");
    assert_eq!(plane.object("Service", "ratings").proxies, 0, "nobody asked for it");
    println!("from the rename to the last acknowledgement: {took:?}");
}

#[tokio::test]
async fn a_broken_edit_leaves_the_route_in_effect_and_is_told() {
    let plane = Plane::start().await;
    let a = plane.proxy("a");
    a.ask("reviews").await;
    let updates = a.count();
    plane.write("route.yaml", &ROUTE.replace("timeout", "timeuot"));
    plane.next_snapshot(1).await;
    plane
        .until("the proxy has the snapshot", || plane.handle.status().proxies().proxies[0].snapshot == 2)
        .await;
    let history = plane.handle.history().published();
    assert_eq!(
        history.iter().map(|published| (published.number, published.changed)).collect::<Vec<_>>(),
        [(1, 3), (2, 1)]
    );
    assert_eq!(history[1].objects[0].to_string(), "VirtualService default/reviews");
    let shown = plane.object("VirtualService", "reviews");
    assert_eq!((shown.verdict.as_str(), shown.in_effect, shown.proxies), ("refused", 1, 1));
    let finding = shown.diagnostics.iter().find(|found| found.message.contains("timeuot")).unwrap();
    assert!(
        finding.file.ends_with("route.yaml") && finding.line == 6 && finding.hint.is_some(),
        "{finding:?}"
    );
    assert!(a.changed(updates).is_empty());
}

#[tokio::test]
async fn unrelated_services_change_nothing_for_a_proxy() {
    let plane = Plane::start().await;
    let a = plane.proxy("a");
    a.ask("reviews").await;
    let updates = a.count();
    let mut text = String::new();
    for i in 0..1_000 {
        write!(text, "apiVersion: v1\nkind: Service\nmetadata: {{name: s{i}, namespace: other}}\nspec: {{selector: {{app: s{i}}}, ports: [{{port: 80, name: http}}]}}\n---\n").unwrap();
    }
    plane.write("many.yaml", &text);
    plane.next_snapshot(1).await;
    assert_eq!(plane.handle.catalogs().borrow().configuration().services.len(), 1_002);
    plane
        .until("the proxy has the snapshot", || plane.handle.status().proxies().proxies[0].snapshot == 2)
        .await;
    assert_eq!(a.count(), updates, "nothing was sent: {:?}", a.changed(updates));
}

#[tokio::test]
async fn readiness_reaches_those_who_send_there() {
    let plane = Plane::start().await;
    let a = plane.proxy("a");
    a.ask("reviews").await;
    let key = Key::Endpoints("reviews.default.svc.cluster.local".parse().unwrap());
    let ready = |proxy: &Proxy| match proxy.unit(&key) {
        Some(Unit::Endpoints(unit)) => unit.endpoints.iter().filter(|endpoint| endpoint.ready).count(),
        other => panic!("{other:?}"),
    };
    assert_eq!(ready(&a), 2);
    let name = leno_model::name::WorkloadName { namespace: "default".into(), name: "b".into() };
    plane.handle.workloads().ready(&name, false);
    plane.until("b gets nothing new", || ready(&a) == 1).await;
}

#[tokio::test]
async fn after_a_restart_proxies_come_back_and_get_only_what_differs() {
    let Plane { directory, handle } = Plane::start().await;
    let remote = unix(&directory.join("control.sock"), &token("a"));
    let a = Proxy::start(Endpoint::Remote(remote), "workload:default/a");
    a.ask("reviews").await;
    let vips = |handle: &Handle| {
        let catalog = handle.catalogs().borrow().clone();
        catalog.configuration().services.values().map(|service| service.vips.clone()).collect::<Vec<_>>()
    };
    let (before, roots) = (vips(&handle), handle.authority().bundles().borrow().clone());
    let updates = a.count();
    handle.stop().await;
    assert!(!directory.join("control.sock").exists());

    // While it is away a service comes that sorts first, and the route changes.
    fs::write(directory.join("config/a.yaml"), SERVICES.replace("reviews", "aaa").replace("ratings", "aab"))
        .unwrap();
    fs::write(directory.join("config/route.yaml"), ROUTE.replace("1s", "5s")).unwrap();
    let handle = ControlPlane::start(config(&directory)).await.unwrap();
    let after = vips(&handle);
    assert!(after.len() == 4 && before.iter().all(|vip| after.contains(vip)), "{before:?} {after:?}");
    assert_eq!(*handle.authority().bundles().borrow(), roots);
    until(handle.hub().registry().changes(), "the proxy is back", || {
        handle.hub().registry().sessions().iter().any(|session| session.acked == Some(1))
    })
    .await;
    assert_eq!(a.changed(updates), [reviews()]);
    handle.stop().await;
}

#[tokio::test]
async fn another_ones_token_is_refused() {
    let plane = Plane::start().await;
    let remote = unix(&plane.directory.join("control.sock"), &token("a"));
    for subject in ["workload:default/b", "workload:default/none", "gateway:default/a"] {
        let proxy = Proxy::start(Endpoint::Remote(remote.clone()), subject);
        let connection = proxy.discovery.connection();
        let newest = connection.clone();
        until(connection, "a refusal", || newest.borrow().last_error.is_some()).await;
        assert_eq!(proxy.count(), 0);
    }
    assert!(plane.handle.hub().registry().sessions().is_empty());
    let text = plane_metrics(&plane.handle);
    assert!(!text.contains("leno_control_refused_callers_total 0"), "{text}");
}

fn plane_metrics(handle: &Handle) -> String {
    handle.metrics().encode_to_string(Format::Text)
}

#[tokio::test]
async fn metrics_show_what_is_known_and_how_fast_changes_go() {
    let plane = Plane::start().await;
    let a = plane.proxy("a");
    a.ask("reviews").await;
    plane.write("route.yaml", &ROUTE.replace("1s", "2s"));
    plane.next_snapshot(1).await;
    let shows = |line: &str| plane_metrics(&plane.handle).lines().any(|shown| shown == line);
    let deadline = Instant::now() + PATIENCE;
    // Acknowledgements are measured a little after they come.
    while !shows("pilot_proxy_convergence_time_count 1") {
        assert!(Instant::now() < deadline, "{}", plane_metrics(&plane.handle));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for line in [
        "leno_control_snapshot 2",
        "pilot_services 2",
        "pilot_virt_services 1",
        "pilot_xds{version=\"test\"} 1",
        "leno_control_objects{verdict=\"exact\"} 3",
        "leno_control_addresses 2",
    ] {
        assert!(shows(line), "{line} is not in\n{}", plane_metrics(&plane.handle));
    }
}

/// TLS towards the control plane, with the roots and certificate that the proxy has so far.
struct Towards(Mutex<Arc<rustls::ClientConfig>>);

impl ClientTls for Towards {
    fn config(&self) -> Arc<rustls::ClientConfig> {
        Arc::clone(&self.0.lock().unwrap())
    }

    fn server_name(&self) -> ServerName<'static> {
        mesh::server_name()
    }

    fn check(&self, chain: &[CertificateDer<'_>]) -> Result<(), String> {
        let control = "spiffe://cluster.local/ns/istio-system/sa/leno-control".parse().unwrap();
        let peer = Peer::of(Some(chain)).map_err(|error| error.to_string())?;
        peer.require(&[control]).map_err(|error| error.to_string())
    }
}

#[tokio::test]
async fn over_tcp_a_token_gets_a_certificate_and_the_certificate_everything_else() {
    let plane = Plane::start().await;
    let address = plane.handle.addresses()[0];
    let bundle = plane.handle.authority().bundles().borrow()[0].clone();
    let roots = bundle.roots.iter().map(|root| CertificateDer::from(root.to_vec()));
    let bundles = Arc::new(Bundles::from(Bundle::new(bundle.trust_domain.clone(), roots, 1).unwrap()));
    let client = |svid: &Svid| {
        let config = mesh::client_config(svid, &bundles, &[alpn::H2], &Options::default()).unwrap();
        Arc::new(Towards(Mutex::new(Arc::new(config))))
    };
    let stranger = stranger(&bundles);
    let key = KeyPair::generate().unwrap();
    let csr = csr(&key);
    let remote = tcp(address, Arc::new(Towards(Mutex::new(stranger))), Some(&token("a")));
    let chain = certificate::request(&remote, &csr, Duration::ZERO).await.unwrap();
    let mut chain: Vec<CertificateDer<'static>> =
        chain.iter().map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).collect();
    chain.pop();
    let svid = Svid::new(chain, key).unwrap();
    assert_eq!(svid.id(), &id("a"));
    assert!(svid.not_after() > SystemTime::now());

    let own = Proxy::start(Endpoint::Remote(tcp(address, client(&svid), None)), "workload:default/a");
    own.ask("reviews").await;
    assert_eq!(plane.handle.status().proxies().proxies[0].identity, id("a").as_str());
    let another = Proxy::start(Endpoint::Remote(tcp(address, client(&svid), None)), "workload:default/b");
    let connection = another.discovery.connection();
    let newest = connection.clone();
    until(connection, "a refusal", || newest.borrow().last_error.is_some()).await;
    assert_eq!(another.count(), 0);
}

fn csr(key: &KeyPair) -> String {
    use base64::Engine;
    let der = SigningRequest::make(key).unwrap();
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n")
}

/// A client that trusts the mesh's roots and has no certificate.
fn stranger(bundles: &Arc<Bundles>) -> Arc<rustls::ClientConfig> {
    let key = KeyPair::generate().unwrap();
    let ca = leno_identity::ca::BuiltIn::ephemeral(
        "cluster.local".parse().unwrap(),
        leno_identity::ca::Settings::default(),
        SystemTime::now(),
    )
    .unwrap();
    let request = SigningRequest::verify(&SigningRequest::make(&key).unwrap()).unwrap();
    let order = leno_identity::ca::Order { id: id("x"), request, lifetime: Duration::from_secs(60) };
    let issued = ca.sign(&order, SystemTime::now()).unwrap();
    let svid = Svid::new(issued.chain, key).unwrap();
    let mut config = mesh::client_config(&svid, bundles, &[alpn::H2], &Options::default()).unwrap();
    config.client_auth_cert_resolver = Arc::new(Nobody);
    Arc::new(config)
}

/// Shows no certificate.
#[derive(Debug)]
struct Nobody;

impl rustls::client::ResolvesClientCert for Nobody {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn without_a_signer_a_proxy_of_the_same_process_is_served() {
    let directory = Temporary::new();
    fs::write(directory.join("mesh.yaml"), format!("{SERVICES}---\n{ROUTE}")).unwrap();
    let mut config = config(&directory);
    config.paths = vec![directory.join("mesh.yaml")];
    config.state = None;
    config.listeners.clear();
    config.signer = Signer::Nobody(Vec::new());
    let handle = ControlPlane::start(config).await.unwrap();
    let proxy = Proxy::start(Endpoint::Memory(handle.hub()), "workload:default/a");
    proxy.ask("reviews.default").await;
    let Some(Unit::Host(unit)) = proxy.unit(&reviews()) else { panic!("no host") };
    assert_eq!(unit.vips.len(), 2);
    assert!(
        proxy
            .unit(&Key::Workload(leno_model::name::WorkloadName {
                namespace: "default".into(),
                name: "a".into()
            }))
            .is_some()
    );
    handle.stop().await;
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let directory = Temporary::new();
    let started = |config: Config| async move {
        match ControlPlane::start(config).await {
            Ok(_) => panic!("it started"),
            Err(error) => error_chain(&error),
        }
    };
    let mut wrong = config(&directory);
    fs::write(directory.join("file"), "").unwrap();
    wrong.listeners = vec![Listen::Unix(directory.join("file"))];
    assert!(started(wrong).await.contains("it is there, and no socket"));
    let running = ControlPlane::start(config(&directory)).await.unwrap();
    let second = started(config(&directory)).await;
    assert!(
        second.contains("state cannot be used")
            && second.contains(&*directory.join("state").to_string_lossy()),
        "{second}"
    );
    running.stop().await;
    let mut wrong = config(&directory);
    wrong.tokens[0].token = SecretBytes::new(&b"short"[..]);
    assert!(started(wrong).await.contains("workload:default/a"));
    permissions(&directory.join("state"));
}

fn permissions(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(
            mode,
            if entry.metadata().unwrap().is_dir() { 0o700 } else { 0o600 },
            "{:?}",
            entry.path()
        );
        if entry.metadata().unwrap().is_dir() {
            permissions(&entry.path());
        }
    }
}

fn error_chain(error: &dyn std::error::Error) -> String {
    let source = error.source().map(|source| format!(": {}", error_chain(source)));
    format!("{error}{}", source.unwrap_or_default())
}
