//! Services and endpoints.

use std::sync::Arc;

use leno_model::destination::{Destination, Subset, TrafficPolicy};
use leno_model::labels::Labels;
use leno_model::service::{Address, Endpoint, Locality, Protocol, ServicePort, TargetPort, Transport};
use leno_model::unit::{EndpointUnit, HostUnit};

use super::origin;

/// A service on ports 80 and 90 with subsets `v1`, `v2` and `v9` by label `version`.
pub(crate) fn host(policy: TrafficPolicy) -> HostUnit {
    let port = |port, target| ServicePort {
        port,
        name: "".into(),
        protocol: Protocol::Http,
        target: TargetPort::Number(target),
    };
    let subset = |name: &str| Subset {
        name: name.into(),
        labels: [("version", name)].into_iter().collect(),
        policy: TrafficPolicy::default(),
        ports: Vec::new(),
        origin: origin(1),
    };
    HostUnit {
        host: "reviews.default.svc.cluster.local".parse().unwrap(),
        namespace: "default".into(),
        name: "reviews".into(),
        vips: Vec::new(),
        ports: vec![port(80, 8080), port(90, 9090)],
        headless: false,
        external: false,
        routes: Vec::new(),
        destination: Destination {
            policy,
            ports: Vec::new(),
            subsets: ["v1", "v2", "v9"].map(subset).into(),
            origin: None,
        },
    }
}

/// An endpoint of version `v1` behind a native proxy.
pub(crate) fn endpoint(number: u8) -> Endpoint {
    let labels: Labels = [("version", "v1")].into_iter().collect();
    Endpoint {
        uid: format!("default/reviews-{number}").into(),
        ip: [10, 0, 0, number].into(),
        ports: vec![(80, 8080)],
        transport: Transport::Native(Address::Tcp(([10, 0, 0, number], 15008).into())),
        identity: Some("spiffe://cluster.local/ns/default/sa/reviews".parse().unwrap()),
        labels,
        owner: "reviews-v1".into(),
        namespace: "default".into(),
        weight: 1,
        locality: Locality::default(),
        network: "".into(),
        cluster: "".into(),
        ready: true,
        hostname: None,
    }
}

pub(crate) fn unit(endpoints: Vec<Endpoint>) -> Arc<EndpointUnit> {
    Arc::new(EndpointUnit { host: "reviews.default.svc.cluster.local".parse().unwrap(), endpoints })
}
