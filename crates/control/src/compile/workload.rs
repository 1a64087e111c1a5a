//! What a workload's own proxy needs to serve it: ports, mutual TLS modes, policies.

use std::collections::BTreeMap;
use std::sync::Arc;

use leno_model::name::WorkloadName;
use leno_model::policy::{ScopedMtls, ScopedPolicy};
use leno_model::service::{Protocol, Service, Workload};
use leno_model::span::ObjectRef;
use leno_model::unit::{InboundPort, WorkloadUnit};
use leno_wire::Unit;

use super::aged::Aged;
use super::index::Index;
use super::policy::{self, Named, Selected};
use super::{Inputs, endpoints};

/// What a workload's unit depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadInputs {
    workload: Arc<Workload>,
    services: Vec<Arc<Service>>,
    mtls: Vec<Aged<ScopedMtls>>,
    policies: Vec<Arc<ScopedPolicy>>,
}

impl WorkloadInputs {
    /// Selects what is about a workload; `None` where there is none of that name.
    #[must_use]
    pub fn select(index: &Index, name: &WorkloadName) -> Option<Self> {
        let workload = Arc::clone(index.snapshot().workloads.get(name)?);
        let services = index.services_of(&workload);
        let selected = Selected {
            namespace: &workload.name.namespace,
            labels: &workload.labels,
            named: Named::Services(&services),
        };
        let mtls = policy::mtls(index, &selected).into_iter().map(Aged).collect();
        let policies = policy::policies(index, &selected);
        Some(Self { workload, services, mtls, policies })
    }

    /// The ports on which services reach the workload. Of several services behind one port the one counts that declares
    /// a protocol, then the one with a virtual address, then the first by host.
    fn ports(&self) -> Vec<InboundPort> {
        let mut ports: BTreeMap<u16, ((bool, bool), InboundPort)> = BTreeMap::new();
        for service in &self.services {
            for (target, protocol) in self.targets(service) {
                let rank = (protocol == Protocol::Auto, service.is_headless());
                let name = (service.host.clone(), service.name.clone(), service.namespace.clone());
                let port = InboundPort { port: target, protocol, service: Some(name) };
                match ports.get(&target) {
                    Some((known, _)) if *known <= rank => {}
                    _ => drop(ports.insert(target, (rank, port))),
                }
            }
        }
        ports.into_values().map(|(_, port)| port).collect()
    }

    /// Where the workload listens for a service, and for what.
    fn targets(&self, service: &Service) -> Vec<(u16, Protocol)> {
        let selected =
            service.selector.as_ref().is_some_and(|s| !s.0.is_empty() && self.workload.labels.contains(s));
        let listed = service.fixed.iter().filter(|fixed| self.workload.addresses.contains(&fixed.ip));
        let listed: Vec<(u16, u16)> = listed.flat_map(|fixed| fixed.ports.iter().copied()).collect();
        let targets = service.ports.iter().flat_map(|port| {
            let by_label = endpoints::target(&self.workload, port).filter(|_| selected);
            let by_address =
                listed.iter().filter(|(number, _)| *number == port.port).map(|(_, target)| *target);
            by_label.into_iter().chain(by_address).map(|target| (target, port.protocol))
        });
        targets.collect()
    }
}

impl Inputs for WorkloadInputs {
    fn compile(&self) -> Unit {
        let workload = &self.workload;
        Unit::Workload(Arc::new(WorkloadUnit {
            name: workload.name.clone(),
            identity: workload.identity.clone(),
            labels: workload.labels.clone(),
            owner: workload.owner.clone(),
            addresses: workload.addresses.clone(),
            cluster: workload.cluster.clone(),
            ports: self.ports(),
            mtls: policy::modes(&self.mtls),
            policies: policy::unscoped(&self.policies),
        }))
    }

    fn objects(&self) -> Vec<ObjectRef> {
        let services = self.services.iter().map(|service| &service.origin);
        let mtls = self.mtls.iter().map(|setting| &setting.origin);
        let policies = self.policies.iter().map(|scoped| &scoped.policy.origin);
        let origins = [&self.workload.origin].into_iter().chain(services).chain(mtls).chain(policies);
        origins.map(|origin| origin.object.clone()).collect()
    }
}
