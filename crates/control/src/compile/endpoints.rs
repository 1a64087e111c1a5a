//! The endpoints of a service host: the workloads that it selects, and the addresses that it lists.
//!
//! An endpoint that is not ready stays among them, so that what is known of it outlives a restart of its workload.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use leno_model::labels::Labels;
use leno_model::name::Host;
use leno_model::service::{
    Endpoint, FixedEndpoint, Locality, Service, ServicePort, TargetPort, Transport, Workload,
};
use leno_model::span::ObjectRef;
use leno_model::unit::EndpointUnit;
use leno_wire::Unit;

use super::Inputs;
use super::index::Index;

/// What the endpoints of a host depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointInputs {
    service: Arc<Service>,
    /// The service of the mesh that this one is another name of: the endpoints are its.
    alias: Option<Arc<Service>>,
    selected: Vec<Arc<Workload>>,
    /// Workloads that have an address which is listed, by the position in the list.
    listed: BTreeMap<usize, Arc<Workload>>,
}

impl EndpointInputs {
    /// Selects a host's endpoints; `None` where there is no such service.
    #[must_use]
    pub fn select(index: &Index, host: &Host) -> Option<Self> {
        let service = Arc::clone(index.service(host.as_str())?);
        let alias = index.alias(&service).cloned();
        let source = alias.as_ref().unwrap_or(&service);
        let listed = source.fixed.iter().enumerate();
        let listed =
            listed.filter_map(|(at, fixed)| Some((at, Arc::clone(index.by_address(fixed.ip)?)))).collect();
        Some(Self { selected: index.selected(source), listed, service, alias })
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        let source = self.alias.as_ref().unwrap_or(&self.service);
        // An alias without ports has those of its service.
        let ports = if self.service.ports.is_empty() { &source.ports } else { &self.service.ports };
        let ports: Vec<Port<'_>> = ports
            .iter()
            .filter_map(|port| Some(Port { number: port.port, source: source.port(port.port)? }))
            .collect();
        let mut endpoints: BTreeMap<Arc<str>, Endpoint> = BTreeMap::new();
        for workload in &self.selected {
            let endpoint = of_workload(workload, &ports, source);
            endpoints.extend(endpoint.map(|endpoint| (endpoint.uid.clone(), endpoint)));
        }
        for (at, fixed) in source.fixed.iter().enumerate() {
            let endpoint = of_address(fixed, &ports, self.listed.get(&at));
            match endpoints.get_mut(&endpoint.uid) {
                Some(known) => join(known, endpoint),
                None => drop(endpoints.insert(endpoint.uid.clone(), endpoint)),
            }
        }
        endpoints.into_values().collect()
    }
}

/// A port as callers know it, and the one of the service that it leads to.
struct Port<'s> {
    number: u16,
    source: &'s ServicePort,
}

/// The endpoint's id of a workload.
#[must_use]
pub fn uid(workload: &Workload) -> Arc<str> {
    workload.name.to_string().into()
}

/// The name of a workload below a headless service.
#[must_use]
pub fn hostname(workload: &Workload, service: &Service) -> Option<Arc<str>> {
    service.is_headless().then(|| workload.name.name.clone())
}

/// Whom to expect at a workload: nobody who could prove it, where it has no proxy.
fn identity(workload: &Workload) -> Option<leno_model::spiffe::SpiffeId> {
    (workload.transport != Transport::Plain).then(|| workload.identity.clone())
}

fn of_workload(workload: &Workload, ports: &[Port<'_>], service: &Service) -> Option<Endpoint> {
    let target = |port: &Port<'_>| target(workload, port.source).map(|target| (port.number, target));
    Some(Endpoint {
        hostname: hostname(workload, service),
        ..of_known(workload, *workload.addresses.first()?, ascending(ports.iter().filter_map(target)))
    })
}

fn of_known(workload: &Workload, ip: IpAddr, ports: Vec<(u16, u16)>) -> Endpoint {
    Endpoint {
        uid: uid(workload),
        ip,
        ports,
        transport: workload.transport.clone(),
        identity: identity(workload),
        labels: workload.labels.clone(),
        owner: workload.owner.clone(),
        namespace: workload.name.namespace.clone(),
        weight: workload.weight.max(1),
        locality: workload.locality.clone(),
        network: workload.network.clone(),
        cluster: workload.cluster.clone(),
        ready: workload.ready,
        hostname: None,
    }
}

/// An address that is listed is reached as the workload that has it, if there is one.
fn of_address(fixed: &FixedEndpoint, ports: &[Port<'_>], workload: Option<&Arc<Workload>>) -> Endpoint {
    let target = |port: &Port<'_>| {
        let listed = fixed.ports.iter().find(|(service, _)| *service == port.source.port);
        listed.map(|(_, target)| (port.number, *target))
    };
    let ports = ascending(ports.iter().filter_map(target));
    let endpoint = match workload {
        Some(workload) => of_known(workload, fixed.ip, ports),
        None => Endpoint {
            uid: fixed.ip.to_string().into(),
            ip: fixed.ip,
            ports,
            transport: Transport::Plain,
            identity: None,
            labels: Labels::default(),
            owner: "".into(),
            namespace: "".into(),
            weight: 1,
            locality: Locality::default(),
            network: "".into(),
            cluster: "".into(),
            ready: true,
            hostname: None,
        },
    };
    Endpoint { ready: endpoint.ready && fixed.ready, hostname: fixed.hostname.clone(), ..endpoint }
}

/// An endpoint that is there twice has the ports of both.
fn join(known: &mut Endpoint, other: Endpoint) {
    known.ports = ascending(known.ports.iter().copied().chain(other.ports));
    known.ready |= other.ready;
    known.hostname = known.hostname.take().or(other.hostname);
}

/// Each service port once, the first target of it counting.
fn ascending(ports: impl IntoIterator<Item = (u16, u16)>) -> Vec<(u16, u16)> {
    let mut unique = BTreeMap::new();
    for (service, target) in ports {
        unique.entry(service).or_insert(target);
    }
    unique.into_iter().collect()
}

/// Where a workload listens for a service port.
#[must_use]
pub fn target(workload: &Workload, port: &ServicePort) -> Option<u16> {
    match &port.target {
        TargetPort::Number(number) => Some(*number),
        TargetPort::Name(name) => {
            workload.named_ports.iter().find(|(known, _)| known == name).map(|(_, number)| *number)
        }
    }
}

impl Inputs for EndpointInputs {
    fn compile(&self) -> Unit {
        let endpoints = self.endpoints();
        Unit::Endpoints(Arc::new(EndpointUnit { host: self.service.host.clone(), endpoints }))
    }

    fn objects(&self) -> Vec<ObjectRef> {
        let services = [Some(&self.service), self.alias.as_ref()].into_iter().flatten();
        let services = services.map(|service| service.origin.object.clone());
        let workloads = self.selected.iter().chain(self.listed.values());
        services.chain(workloads.map(|workload| workload.origin.object.clone())).collect()
    }
}
