//! The mesh's settings, with what follows from its services and workloads.

use std::sync::Arc;

use ipnet::IpNet;
use leno_model::name::Host;
use leno_model::snapshot::Snapshot;
use leno_model::span::ObjectRef;
use leno_model::unit::MeshSettings;
use leno_wire::Unit;

use super::Inputs;

/// What the mesh's settings depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshInputs {
    mesh: Arc<MeshSettings>,
    /// Addresses of the mesh outside of the ranges that it has by its settings.
    others: Vec<IpNet>,
    wildcard_hosts: Vec<Host>,
}

impl MeshInputs {
    /// Selects what the settings depend on.
    #[must_use]
    pub fn select(snapshot: &Snapshot) -> Self {
        let mesh = Arc::clone(&snapshot.mesh);
        let services = snapshot.services.values();
        let virtual_ones = services.clone().flat_map(|service| service.vips.iter().copied());
        // A headless service's name resolves to its endpoints, so clients dial them by address.
        let listed = services.filter(|service| service.is_headless()).flat_map(|service| &service.fixed);
        let own = snapshot.workloads.values().flat_map(|workload| workload.addresses.iter().copied());
        let all = virtual_ones.chain(listed.map(|fixed| fixed.ip)).chain(own);
        let others = all.filter(|ip| !mesh.ranges.iter().any(|range| range.contains(ip)));
        let others = IpNet::aggregate(&others.map(IpNet::from).collect());
        Self { others, wildcard_hosts: wildcard_hosts(snapshot), mesh }
    }
}

/// The hosts that stand for many, which no exact question finds.
#[must_use]
pub fn wildcard_hosts(snapshot: &Snapshot) -> Vec<Host> {
    // Wildcards sort before every name: '*' comes before letters and digits.
    snapshot.services.keys().take_while(|host| host.is_wildcard()).cloned().collect()
}

impl Inputs for MeshInputs {
    fn compile(&self) -> Unit {
        let mut mesh = (*self.mesh).clone();
        mesh.ranges.extend(&self.others);
        mesh.wildcard_hosts = self.wildcard_hosts.clone();
        Unit::Mesh(Arc::new(mesh))
    }

    fn objects(&self) -> Vec<ObjectRef> {
        Vec::new()
    }
}
