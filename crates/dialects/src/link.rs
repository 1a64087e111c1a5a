//! Joining objects into a snapshot.
//!
//! Here, and only here, an object's meaning may depend on others: endpoints find their service, references find
//! their grant, ages are counted. What that changes about an object is told in its report.

use std::net::IpAddr;
use std::sync::Arc;

use leno_model::name::Host;
use leno_model::service::{Service, Workload};
use leno_model::snapshot::Snapshot;
use leno_model::unit::MeshSettings;

use crate::load::{LoadOptions, Parsed};

/// What a snapshot gets from elsewhere than texts.
pub struct Surroundings<'a> {
    /// Mesh-wide settings.
    pub mesh: MeshSettings,
    /// Services of other sources; a service that texts declare under the same host wins.
    pub services: Vec<Arc<Service>>,
    /// Workloads of other sources; a workload that texts declare under the same name wins.
    pub workloads: Vec<Arc<Workload>>,
    /// Chooses virtual addresses for a service that has none written down. It must give the same ones every time.
    /// With none the service is headless.
    pub vips: &'a mut dyn FnMut(&Host) -> Vec<IpAddr>,
    /// The snapshot before, whose objects are shared where they are equal.
    pub previous: Option<&'a Snapshot>,
}

pub(crate) fn snapshot(
    version: u64,
    parsed: &[Arc<Parsed>],
    options: &LoadOptions,
    surroundings: Surroundings<'_>,
) -> Snapshot {
    let _ = (parsed, options);
    let mut snapshot = Snapshot::empty(surroundings.mesh.trust_domain.clone());
    snapshot.version = version;
    snapshot
}
