//! What a name or address means to a client.
//!
//! Names are read as a resolver with the client's search list would read them (`reviews`, `reviews.shop`,
//! `reviews.shop.svc`, the full name), except that a name which is a host as it stands is that host before anything
//! else. An answer that something doesn't exist names the broadest wildcard under which nothing does.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use leno_model::name::{Host, WorkloadName};
use leno_model::service::{Service, Workload};
use leno_model::spiffe::SpiffeId;
use leno_model::unit::{Answer, Question};

use super::endpoints;
use super::index::Index;

/// The answer to a question of a client in a namespace.
#[must_use]
pub fn answer(index: &Index, question: &Question, namespace: &str) -> Answer {
    match question {
        Question::Name(name) => by_name(index, name, namespace),
        Question::Address(ip, port) => by_address(index, *ip, *port),
        Question::Workload(name) => by_workload(index, name),
    }
}

fn by_name(index: &Index, name: &Arc<str>, namespace: &str) -> Answer {
    let tails = tails(index, namespace);
    let exact = tails.iter().find_map(|tail| named(index, &format!("{name}{tail}")));
    exact.or_else(|| wildcard(index, name)).unwrap_or_else(|| absent(index, name, &tails))
}

/// What a resolver appends to a name, in the order in which it is tried.
fn tails(index: &Index, namespace: &str) -> [String; 4] {
    let domain = &index.snapshot().mesh.cluster_domain;
    [String::new(), format!(".{namespace}.svc.{domain}"), format!(".svc.{domain}"), format!(".{domain}")]
}

/// What has exactly this name: a service, or an endpoint below a headless one.
fn named(index: &Index, name: &str) -> Option<Answer> {
    if let Some(service) = index.service(name).filter(|service| !service.host.is_wildcard()) {
        let service = index.alias(service).unwrap_or(service);
        return Some(Answer::Service(service.host.clone()));
    }
    let (first, rest) = name.split_once('.')?;
    let service = index.service(rest).filter(|service| service.is_headless())?;
    let uid = endpoint_named(index, service, first)?;
    Some(Answer::Endpoint { host: Some(service.host.clone()), uid })
}

/// The id of a headless service's endpoint of this name.
fn endpoint_named(index: &Index, service: &Service, name: &str) -> Option<Arc<str>> {
    let selected = index.selected(service);
    let by_name = |workload: &&Arc<Workload>| {
        endpoints::hostname(workload, service).is_some_and(|hostname| *hostname == *name)
    };
    let listed = || service.fixed.iter().find(|fixed| fixed.hostname.as_deref() == Some(name));
    match selected.iter().find(by_name) {
        Some(workload) => Some(endpoints::uid(workload)),
        None => listed().map(|fixed| address_uid(index, fixed.ip)),
    }
}

/// The id of the endpoint that a listed address is.
fn address_uid(index: &Index, ip: IpAddr) -> Arc<str> {
    index.by_address(ip).map_or_else(|| ip.to_string().into(), |workload| endpoints::uid(workload))
}

fn wildcard(index: &Index, name: &str) -> Option<Answer> {
    let host: Host = name.parse().ok()?;
    let name = host.as_str();
    let wildcards =
        name.match_indices('.').filter_map(|(at, _)| name.get(at..)).map(|suffix| format!("*{suffix}"));
    let mut wildcards = wildcards.chain(["*".to_owned()]);
    let service = wildcards.find_map(|wildcard| index.service(&wildcard))?;
    Some(Answer::Service(service.host.clone()))
}

/// The broadest suffix of the name that nothing of the mesh ends in, with whatever a resolver may append.
fn absent(index: &Index, name: &Arc<str>, tails: &[String]) -> Answer {
    let exists = |suffix: &str| tails.iter().any(|tail| index.is_ending(&format!("{suffix}{tail}")));
    let suffixes = name.rmatch_indices('.').filter_map(|(at, dot)| name.get(at + dot.len()..));
    let broadest = suffixes.into_iter().find(|suffix| !exists(suffix));
    Answer::Absent { under: broadest.map_or_else(|| name.clone(), |suffix| format!("*.{suffix}").into()) }
}

/// Who has the name of a workload or gateway: what a proxy checks against what a caller proves.
fn by_workload(index: &Index, name: &WorkloadName) -> Answer {
    let snapshot = index.snapshot();
    if let Some(workload) = snapshot.workloads.get(name) {
        let (identity, addresses) = (workload.identity.clone(), workload.addresses.clone());
        return Answer::Workload { identity, addresses };
    }
    let gateway = snapshot.gateways.get(&(name.namespace.clone(), name.name.clone()));
    let identity = gateway.and_then(|gateway| {
        let domain = &snapshot.mesh.trust_domain;
        SpiffeId::for_service_account(domain, &name.namespace, &gateway.service_account).ok()
    });
    match identity {
        Some(identity) => Answer::Workload { identity, addresses: Vec::new() },
        None => Answer::Absent { under: format!("workload:{name}").into() },
    }
}

fn by_address(index: &Index, ip: IpAddr, port: u16) -> Answer {
    if let Some(service) = index.by_vip(ip) {
        return Answer::Service(service.host.clone());
    }
    if let Some(workload) = index.by_address(ip) {
        let services = index.services_of(workload);
        // Of several services the one with that port; clients of a headless one dial the workload's own.
        let listens = |service: &&Arc<Service>| {
            service.ports.iter().any(|declared| endpoints::target(workload, declared) == Some(port))
        };
        let best = services.iter().filter(listens).max_by_key(|service| service.is_headless());
        let host = best.or_else(|| services.first()).map(|service| service.host.clone());
        return Answer::Endpoint { host, uid: endpoints::uid(workload) };
    }
    let headless = index.listing(ip).iter().find(|service| service.is_headless());
    match headless {
        Some(service) => Answer::Endpoint { host: Some(service.host.clone()), uid: address_uid(index, ip) },
        None => Answer::Absent { under: SocketAddr::new(ip, port).to_string().into() },
    }
}
