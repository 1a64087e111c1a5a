//! What a snapshot becomes: units that every proxy takes, and decisions that can be carried out.

use std::net::IpAddr;
use std::sync::Arc;

use http::{Method, StatusCode};
use leno_control::catalog::{Catalog, Memos};
use leno_control::compile::memo::Counts;
use leno_engine::authorize::Authorizer;
use leno_engine::explain::{Silent, Transcript};
use leno_engine::route::{Forward, RouteSource, Routed, Router};
use leno_http::head::{RequestHead, ResponseHead, Scheme};
use leno_model::labels::Labels;
use leno_model::policy::{Peer, Policy};
use leno_model::request::RequestView;
use leno_model::route::{HeaderEdits, RouteTable, Scope};
use leno_model::snapshot::Snapshot;
use leno_wire::server::Client;
use leno_wire::unit::Unsendable;
use leno_wire::{Key, Unit};

use crate::discovery::unit;

/// Compiles, sends and uses everything in the snapshot.
pub(super) fn check(snapshot: Snapshot) {
    let subject = "workload:default/web-0".parse().expect("a proxy's id");
    let client = Client { subject, identity: None, version: "1".into() };
    let hosts =
        snapshot.services.keys().flat_map(|host| [Key::Host(host.clone()), Key::Endpoints(host.clone())]);
    let workloads = snapshot.workloads.keys().cloned().map(Key::Workload);
    let gateways = snapshot.gateways.keys().cloned();
    let gateways = gateways.map(|(namespace, name)| Key::Gateway { namespace, name });
    let keys: Vec<Key> = hosts.chain(workloads).chain(gateways).chain([Key::Mesh]).collect();

    let memos = Arc::new(Memos::new(&Counts::default()));
    let catalog = Catalog::new(1, Arc::new(snapshot), Vec::new(), memos);
    for key in keys {
        let Some(compiled) = catalog.compiled(&key, &client) else { continue };
        match &compiled.encoded {
            Ok(_) => unit::check(&key, &compiled.unit),
            Err(Unsendable::TooLarge { .. }) => continue,
            Err(Unsendable::Malformed { source, .. }) => panic!("no proxy takes {key}: {source}"),
        }
        match &compiled.unit {
            Unit::Host(host) => {
                host.routes.iter().for_each(|(port, table)| route(table, *port, &Scope::Mesh))
            }
            Unit::Workload(workload) => authorize(&workload.policies),
            Unit::Gateway(gateway) => {
                let scope =
                    Scope::Gateway { namespace: gateway.namespace.clone(), name: gateway.name.clone() };
                for listener in &gateway.listeners {
                    listener.hosts.iter().for_each(|(_, table)| route(table, listener.port, &scope));
                }
                authorize(&gateway.policies);
            }
            Unit::Mesh(_) | Unit::Bundle(_) | Unit::Endpoints(_) | Unit::Answer(..) => {}
        }
    }
}

fn requests() -> impl Iterator<Item = RequestHead> {
    const REQUESTS: [(Method, &str, &str); 4] = [
        (Method::GET, "reviews", "/v2/x?q=aa"),
        (Method::POST, "a.example.com:80", "/old"),
        (Method::OPTIONS, "x.b.example", "*"),
        (Method::GET, "reviews.default.svc.cluster.local", "/%61dmin/.png"),
    ];
    REQUESTS.into_iter().map(|(method, authority, target)| {
        let head = RequestHead::new(method, Scheme::Http, authority, target);
        let mut head = head.expect("a well-formed request");
        head.fields_mut().set("x-canary", b"yes").expect("a field");
        head
    })
}

/// Whatever the rules decide can be carried out, and being listened to changes nothing.
fn route(table: &RouteTable, port: u16, scope: &Scope) {
    let router = Router::compile(table);
    let labels: Labels = [("app", "web")].into_iter().collect();
    let source = RouteSource { labels: &labels, namespace: "default", port, scope };
    for head in requests() {
        for draw in [0, u64::MAX / 2, u64::MAX] {
            let routed = router.route(&head, &source, draw, &mut Silent);
            assert_eq!(routed, router.route(&head, &source, draw, &mut Transcript::default()));
            match routed {
                Routed::Forward(forward) => can_be_sent(&forward, head.clone()),
                Routed::Redirect { status, location, .. } => {
                    assert!((300..400).contains(&status), "a redirect with {status}");
                    let mut answer = ResponseHead::new(StatusCode::FOUND);
                    let written = answer.fields_mut().set("location", location.as_bytes());
                    assert!(written.is_ok(), "no location: {location:?}");
                }
                Routed::Respond { response, .. } => {
                    assert!((200..600).contains(&response.status), "a response with {}", response.status);
                }
                Routed::Failed { .. } => {}
            }
        }
    }
}

fn can_be_sent(forward: &Forward<'_>, mut head: RequestHead) {
    if let Some(path) = &forward.path {
        assert!(head.path() == "*" || head.set_path(path).is_ok(), "no path: {path:?}");
    }
    if let Some(authority) = forward.authority {
        assert!(head.set_authority(authority).is_ok(), "no authority: {authority:?}");
    }
    for HeaderEdits { remove: _, set, add } in
        forward.request_headers.into_iter().chain(forward.response_headers)
    {
        for (name, value) in set.iter().chain(add) {
            let written = head.fields_mut().append(name, value.as_bytes());
            assert!(written.is_ok(), "no header: {name}: {value:?}");
        }
    }
}

/// A verdict is the same whether anybody listens, and opaque traffic has one as well.
fn authorize(policies: &[Arc<Policy>]) {
    let authorizer = Authorizer::compile(policies);
    let ip = IpAddr::from([10, 0, 0, 1]);
    let peer = Peer {
        ip,
        identity: "spiffe://cluster.local/ns/default/sa/web".parse().ok(),
        remote_ip: ip,
        destination_ip: ip,
        destination_port: 9080,
        sni: None,
    };
    for head in requests() {
        let verdict = authorizer.check(&peer, Some(&head), &mut Silent);
        assert_eq!(verdict, authorizer.check(&peer, Some(&head), &mut Transcript::default()));
    }
    let _verdict = authorizer.check_opaque(&peer, &mut Silent);
}
