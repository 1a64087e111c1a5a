//! The snapshot: one immutable, complete configuration of a mesh.
//!
//! Snapshots share their objects (`Arc`), so making the next one from the last costs what changed. A snapshot is
//! whole or not at all: it never holds half of a change.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::destination::Destination;
use crate::gateway::Gateway;
use crate::labels::Labels;
use crate::name::{Host, WorkloadName};
use crate::policy::{ScopedMtls, ScopedPolicy};
use crate::route::{MatchOrder, Rule, Scope};
use crate::secret::TlsSecret;
use crate::service::{Service, Workload};
use crate::span::{Diagnostic, Origin, Verdict};
use crate::spiffe::TrustDomain;
use crate::unit::MeshSettings;

/// Namespace and name of an object.
pub type Key = (Arc<str>, Arc<str>);

/// A complete configuration.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Counts up by one with every change that is taken into effect.
    pub version: u64,
    /// Mesh-wide settings.
    pub mesh: Arc<MeshSettings>,
    /// Labels of namespaces.
    pub namespaces: BTreeMap<Arc<str>, Labels>,
    /// Services by canonical host.
    pub services: BTreeMap<Host, Arc<Service>>,
    /// Workloads by name.
    pub workloads: BTreeMap<WorkloadName, Arc<Workload>>,
    /// Routes, oldest first.
    pub routes: Vec<Arc<RouteObject>>,
    /// Destination settings, oldest first.
    pub destinations: Vec<Arc<DestinationObject>>,
    /// Authorization policies.
    pub policies: Vec<Arc<ScopedPolicy>>,
    /// Mutual TLS settings.
    pub mtls: Vec<Arc<ScopedMtls>>,
    /// Gateways by namespace and name.
    pub gateways: BTreeMap<Key, Arc<Gateway>>,
    /// TLS secrets by namespace and name.
    pub secrets: BTreeMap<Key, Arc<TlsSecret>>,
    /// Every object that was read, with its verdict.
    pub objects: Vec<Arc<ObjectReport>>,
}

impl Snapshot {
    /// An empty mesh.
    #[must_use]
    pub fn empty(trust_domain: TrustDomain) -> Self {
        Self {
            version: 0,
            mesh: Arc::new(MeshSettings::new(trust_domain)),
            namespaces: BTreeMap::new(),
            services: BTreeMap::new(),
            workloads: BTreeMap::new(),
            routes: Vec::new(),
            destinations: Vec::new(),
            policies: Vec::new(),
            mtls: Vec::new(),
            gateways: BTreeMap::new(),
            secrets: BTreeMap::new(),
            objects: Vec::new(),
        }
    }
}

/// What became of one object that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectReport {
    /// The object and its place.
    pub origin: Origin,
    /// Whether and how it is in effect.
    pub verdict: Verdict,
    /// Everything there is to say about it.
    pub diagnostics: Vec<Diagnostic>,
    /// A hash of its content, by which a change is noticed.
    pub content: u64,
}

/// Which API a route was written in. For one service host the earlier variant wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RouteDialect {
    /// Gateway API: the primary one.
    GatewayApi,
    /// Istio's VirtualService.
    Istio,
}

/// Routes as one object states them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteObject {
    /// The object.
    pub origin: Origin,
    /// The API.
    pub dialect: RouteDialect,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// What it is attached to.
    pub attachments: Vec<Attachment>,
    /// For gateways: the hosts it serves; empty is all that the listener serves.
    pub hosts: Vec<Host>,
    /// Namespaces that see it; `None` is all.
    pub visible_in: Option<Vec<Arc<str>>>,
    /// How its rules are ordered.
    pub order: MatchOrder,
    /// The rules.
    pub rules: Vec<Rule>,
    /// Position among objects by age.
    pub age: u32,
}

/// What routes are attached to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Attachment {
    /// Requests that sidecars send to a service host.
    Mesh {
        /// The host; may be a wildcard.
        host: Host,
        /// Only this service port.
        port: Option<u16>,
        /// Only callers of this namespace (a Gateway API consumer route).
        consumer: Option<Arc<str>>,
    },
    /// Requests that come in through a gateway.
    Gateway {
        /// The gateway.
        scope: Scope,
        /// Only this listener.
        section: Option<Arc<str>>,
        /// Only listeners on this port.
        port: Option<u16>,
    },
}

/// Destination settings as one object states them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationObject {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// The host it is about; may be a wildcard.
    pub host: Host,
    /// Namespaces that see it; `None` is all.
    pub visible_in: Option<Vec<Arc<str>>>,
    /// The settings.
    pub destination: Destination,
    /// Position among objects by age.
    pub age: u32,
}
