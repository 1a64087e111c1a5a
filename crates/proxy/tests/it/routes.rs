//! Routes to the service of these tests.

use std::net::SocketAddr;
use std::sync::Arc;

use leno_model::destination::Balancer;
use leno_model::route::{Action, Backend, Forward, HeaderEdits, MatchOrder, RouteTable, Rule, Target};
use leno_model::service::{Protocol, Transport};
use leno_model::unit::{EndpointUnit, HostUnit};
use leno_wire::Unit;

use crate::world::{deny, host, service};

/// Everything to the service; nothing is limited or repeated.
pub(crate) fn forward() -> Forward {
    let backend = Backend {
        target: Target::Service { host: host(), port: Some(80), subset: None },
        weight: 1,
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
        origin: deny(Vec::new()).origin,
    };
    Forward { backends: vec![backend], ..Forward::default() }
}

/// One rule for all requests.
pub(crate) fn table(forward: Forward) -> RouteTable {
    let rule = Rule {
        name: None,
        origin: deny(Vec::new()).origin,
        matches: Vec::new(),
        priority: 0,
        action: Action::Forward(forward),
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
    };
    RouteTable { order: MatchOrder::FirstMatch, rules: vec![rule] }
}

/// The service with these endpoints, each in its turn.
pub(crate) fn routed(protocol: Protocol, targets: &[SocketAddr], forward: Forward) -> [Unit; 2] {
    let [Unit::Host(unit), Unit::Endpoints(endpoints)] = service(protocol, Transport::Plain, targets[0])
    else {
        panic!("a host and its endpoints");
    };
    let mut unit = HostUnit::clone(&unit);
    unit.routes = vec![(80, table(forward))];
    unit.destination.policy.balancer = Some(Balancer::RoundRobin);
    let template = endpoints.endpoints[0].clone();
    let endpoint = |(index, target): (usize, &SocketAddr)| {
        let mut endpoint = template.clone();
        endpoint.uid = format!("default/app-{index}").into();
        endpoint.ip = target.ip();
        endpoint.ports = vec![(80, target.port())];
        endpoint
    };
    let endpoints = targets.iter().enumerate().map(endpoint).collect();
    let endpoints = EndpointUnit { host: host(), endpoints };
    [Unit::Host(Arc::new(unit)), Unit::Endpoints(Arc::new(endpoints))]
}
