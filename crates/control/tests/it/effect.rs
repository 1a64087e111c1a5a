//! Where objects are in effect, from what sessions report.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use leno_control::catalog::{Catalog, Memos};
use leno_control::compile::memo::Counts;
use leno_control::effect::{self, Effect};
use leno_control::status::Answers;
use leno_model::secret::SecretBytes;
use leno_model::span::ObjectRef;
use leno_model::unit::Question;
use leno_wire::malformed::Rejection;
use leno_wire::server::{Registry, SessionReport};
use leno_wire::status::Status;
use leno_wire::{Key, Unit, Version};
use tokio::sync::watch;

use crate::world;

const MESH: &str = "\
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec: {selector: {app: reviews}, ports: [{port: 80, name: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: ratings}
spec: {selector: {app: ratings}, ports: [{port: 80, name: http}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews}}]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ratings}
spec: {host: ratings}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: a}
spec: {address: 10.0.0.1, labels: {app: reviews}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: b}
spec: {address: 10.0.0.2, labels: {app: reviews}}
";

fn catalog(text: &str) -> Arc<Catalog> {
    Arc::new(world::catalog(world::snapshot(text), &Arc::new(Memos::new(&Counts::default()))))
}

/// A session that asked for `reviews` and has everything of a catalog.
fn session(catalog: &Catalog, subject: &str) -> SessionReport {
    let client = world::client(subject);
    let question = Question::Name("reviews".into());
    let closure = catalog.closure(&client, [question]);
    let held: BTreeMap<Key, Version> =
        closure.iter().map(|(key, compiled)| (key.clone(), effect::version(compiled).unwrap())).collect();
    SessionReport {
        id: 1,
        client,
        connected_at: SystemTime::now(),
        acked: Some(1),
        pending: None,
        rejections: Vec::new(),
        held: Arc::new(held),
    }
}

fn object(kind: &str, name: &str) -> ObjectRef {
    ObjectRef { kind: kind.into(), namespace: "default".into(), name: name.into() }
}

#[test]
fn an_object_is_in_effect_where_everything_of_it_is_held() {
    let catalog = catalog(MESH);
    let mut sessions = vec![session(&catalog, "workload:default/a"), session(&catalog, "workload:default/b")];
    let route = object("VirtualService", "reviews");
    let effects = effect::effects(&catalog, &sessions);
    assert_eq!(effects[&route], Effect { proxies: 2, in_effect: 2, ..Effect::default() });
    assert_eq!(effects[&object("Service", "reviews")].proxies, 2);
    assert_eq!(effects[&object("WorkloadEntry", "a")].in_effect, 2, "both proxies send to it");
    assert!(!effects.contains_key(&object("DestinationRule", "ratings")), "nobody asked for ratings");

    let next = crate::effect::catalog(&MESH.replace("http: [{route", "http: [{timeout: 3s, route"));
    let effects = effect::effects(&next, &sessions);
    let waiting = ["workload:default/a", "workload:default/b"].map(str::to_owned).to_vec();
    assert_eq!(effects[&route], Effect { proxies: 2, waiting, ..Effect::default() });

    sessions[0] = session(&next, "workload:default/a");
    let key = Key::Host("reviews.default.svc.cluster.local".parse().unwrap());
    sessions[1].rejections.push(Rejection { key, reason: "routes[0]: no such thing".to_owned() });
    let effects = effect::effects(&next, &sessions);
    let refused = vec![("workload:default/b".to_owned(), "routes[0]: no such thing".to_owned())];
    assert_eq!(effects[&route], Effect { proxies: 2, in_effect: 1, waiting: Vec::new(), refused });
    assert_eq!(effects[&object("WorkloadEntry", "b")].in_effect, 2, "the endpoints are not touched");
}

#[test]
fn status_shows_no_private_key() {
    let secret = "private and confidential";
    let (sender, catalogs) = watch::channel(catalog(MESH));
    let answers = Answers::new(catalogs, Registry::default(), watch::channel(0).1);
    assert_eq!(answers.proxies().snapshot, 1);
    assert_eq!(answers.objects().objects.len(), 6);
    assert!(answers.units("workload:default/a").is_none(), "it is not connected");
    drop(sender);

    let key = SecretBytes::new(secret.as_bytes());
    let tls = leno_model::secret::TlsSecret { chain: "chain".into(), key, client_roots: None };
    assert!(!format!("{tls:?}").contains(secret));
    let gateway = leno_model::unit::GatewayUnit {
        namespace: "default".into(),
        name: "gateway".into(),
        listeners: vec![leno_model::unit::ListenerUnit {
            name: "https".into(),
            port: 443,
            protocol: leno_model::gateway::ListenerProtocol::Https,
            hostname: None,
            certificates: vec![Arc::new(tls)],
            proxy_protocol: false,
            hosts: Vec::new(),
        }],
        policies: Vec::new(),
    };
    let shown = leno_control::status::without_secrets(&Unit::Gateway(Arc::new(gateway)));
    let Unit::Gateway(shown) = shown else { panic!("another unit") };
    assert_eq!(shown.listeners[0].certificates[0].key.expose(), b"[secret]");
    assert_eq!(&*shown.listeners[0].certificates[0].chain, "chain");
}
