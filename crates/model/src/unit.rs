//! Units: what proxies get. One unit is compiled as a whole and pushed as a whole.
//!
//! A unit names other units only by host; a proxy that holds a [`HostUnit`] whose routes lead to a host it does not
//! hold yet keeps using the old unit until it does.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::destination::Destination;
use crate::gateway::ListenerProtocol;
use crate::labels::Labels;
use crate::name::{Host, WorkloadName};
use crate::policy::{Mtls, Policy};
use crate::retry::RepeatRule;
use crate::route::{Action, RouteTable, Target};
use crate::secret::TlsSecret;
use crate::service::{Address, Endpoint, Protocol, ServicePort};
use crate::spiffe::{SpiffeId, TrustDomain};

/// Everything needed to send requests to one service host, except its endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostUnit {
    /// The canonical name.
    pub host: Host,
    /// The service's namespace, for metrics.
    pub namespace: Arc<str>,
    /// The service's short name, for metrics.
    pub name: Arc<str>,
    /// Virtual addresses.
    pub vips: Vec<IpAddr>,
    /// Ports, by ascending number.
    pub ports: Vec<ServicePort>,
    /// Whether the name resolves to endpoint addresses.
    pub headless: bool,
    /// Whether the service stands for something outside the mesh.
    pub external: bool,
    /// Route tables by service port; port 0 is for every port without one of its own.
    pub routes: Vec<(u16, RouteTable)>,
    /// Balancing, TLS and subsets.
    pub destination: Destination,
}

impl HostUnit {
    /// The routes for a service port.
    #[must_use]
    pub fn routes_for(&self, port: u16) -> Option<&RouteTable> {
        let table =
            |number: u16| self.routes.iter().find(|(port, _)| *port == number).map(|(_, table)| table);
        table(port).or_else(|| table(0))
    }

    /// The port with that number.
    #[must_use]
    pub fn port(&self, number: u16) -> Option<&ServicePort> {
        self.ports.iter().find(|port| port.port == number)
    }

    /// Every other host that the routes lead to.
    pub fn referenced_hosts(&self) -> impl Iterator<Item = &Host> {
        self.routes.iter().flat_map(|(_, table)| referenced_hosts(table)).filter(|host| **host != self.host)
    }
}

/// Every host that a table's routes lead to.
pub fn referenced_hosts(table: &RouteTable) -> impl Iterator<Item = &Host> {
    table.rules.iter().flat_map(|rule| {
        let (backends, mirrors) = match &rule.action {
            Action::Forward(forward) => (forward.backends.as_slice(), forward.mirrors.as_slice()),
            Action::Redirect(_) | Action::Respond(_) => (&[][..], &[][..]),
        };
        let targets = backends.iter().map(|backend| &backend.target);
        targets.chain(mirrors.iter().map(|mirror| &mirror.target)).filter_map(|target| match target {
            Target::Service { host, .. } => Some(host),
            Target::Invalid { .. } => None,
        })
    })
}

/// The endpoints of one service host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointUnit {
    /// The host.
    pub host: Host,
    /// The endpoints, by ascending uid.
    pub endpoints: Vec<Endpoint>,
}

/// What a workload's own proxy needs to serve it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadUnit {
    /// The workload.
    pub name: WorkloadName,
    /// Its identity.
    pub identity: SpiffeId,
    /// Its labels.
    pub labels: Labels,
    /// The deployment it belongs to, for metrics.
    pub owner: Arc<str>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The cluster it belongs to, for metrics.
    pub cluster: Arc<str>,
    /// The ports on which services reach it, by ascending number.
    pub ports: Vec<InboundPort>,
    /// What it demands of peers.
    pub mtls: Mtls,
    /// The policies in force, those of the root namespace first.
    pub policies: Vec<Arc<Policy>>,
}

impl WorkloadUnit {
    /// The declared port with that number.
    #[must_use]
    pub fn port(&self, number: u16) -> Option<&InboundPort> {
        self.ports.iter().find(|port| port.port == number)
    }
}

/// A port on which a workload serves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InboundPort {
    /// The workload's port.
    pub port: u16,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// The service behind which it stands, for metrics: host, short name, namespace.
    pub service: Option<(Host, Arc<str>, Arc<str>)>,
}

/// What a gateway's proxy needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayUnit {
    /// Namespace and name of the gateway.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Its listeners.
    pub listeners: Vec<ListenerUnit>,
    /// Policies in force at the gateway.
    pub policies: Vec<Arc<Policy>>,
}

/// One listener of a gateway, with the routes of those that may attach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerUnit {
    /// Its name.
    pub name: Arc<str>,
    /// The port.
    pub port: u16,
    /// What it speaks.
    pub protocol: ListenerProtocol,
    /// The hosts it serves; `None` is all.
    pub hostname: Option<Host>,
    /// Its certificates.
    pub certificates: Vec<Arc<TlsSecret>>,
    /// Whether connections begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// Routes by host; the most specific host that covers the request's is used.
    pub hosts: Vec<(Host, RouteTable)>,
}

impl GatewayUnit {
    /// Every host that the routes lead to.
    pub fn referenced_hosts(&self) -> impl Iterator<Item = &Host> {
        self.listeners
            .iter()
            .flat_map(|listener| &listener.hosts)
            .flat_map(|(_, table)| referenced_hosts(table))
    }
}

/// The roots of one trust domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleUnit {
    /// The trust domain.
    pub trust_domain: TrustDomain,
    /// DER certificates of the roots.
    pub roots: Vec<Arc<[u8]>>,
    /// Counts up with every change.
    pub sequence: u64,
}

/// What happens to traffic for addresses that no service has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OutboundMode {
    /// It is passed through, except to host loopback, link-local and metadata addresses.
    #[default]
    AllowAny,
    /// It is refused.
    RegistryOnly,
}

/// Mesh-wide settings that every proxy holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshSettings {
    /// The mesh's own trust domain.
    pub trust_domain: TrustDomain,
    /// The domain of service names.
    pub cluster_domain: Arc<str>,
    /// The namespace whose policies hold for the whole mesh.
    pub root_namespace: Arc<str>,
    /// Addresses that belong to the mesh; any other address is external and never asked for.
    pub ranges: Vec<IpNet>,
    /// Hosts with a wildcard, which no exact question finds.
    pub wildcard_hosts: Vec<Host>,
    /// What happens to external traffic.
    pub outbound: OutboundMode,
    /// The proxy through which external traffic leaves; `None` where every proxy dials the outside itself.
    pub egress: Option<Egress>,
    /// What may be repeated.
    pub repeat: RepeatRule,
}

/// The one proxy through which traffic for addresses outside the mesh leaves it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Egress {
    /// Where other proxies reach it, over `leno/1` with mutual TLS.
    pub address: Address,
    /// Whom to expect there.
    pub identity: SpiffeId,
}

impl MeshSettings {
    /// Istio's defaults.
    #[must_use]
    pub fn new(trust_domain: TrustDomain) -> Self {
        Self {
            trust_domain,
            cluster_domain: "cluster.local".into(),
            root_namespace: "istio-system".into(),
            ranges: Vec::new(),
            wildcard_hosts: Vec::new(),
            outbound: OutboundMode::default(),
            egress: None,
            repeat: RepeatRule::default(),
        }
    }
}

/// A question that a proxy asks when it meets a name or address for the first time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Question {
    /// A host name as the application wrote it, lower-cased.
    Name(Arc<str>),
    /// An address and port that the application dialled.
    Address(IpAddr, u16),
    /// A workload or gateway that says it has this name.
    Workload(WorkloadName),
}

/// The answer to a [`Question`]. The units it refers to come in the same batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The question is about this service host.
    Service(Host),
    /// The question is about one endpoint of this service host: it was dialled by its own address.
    Endpoint {
        /// The service; `None` for a workload that stands behind no service.
        host: Option<Host>,
        /// The endpoint's uid.
        uid: Arc<str>,
    },
    /// Who has that name, and where it is.
    Workload {
        /// Its identity; whoever says it is this workload and proves another is not.
        identity: SpiffeId,
        /// Its addresses; none for a gateway, which serves from its host.
        addresses: Vec<IpAddr>,
    },
    /// Nothing has that name or address. For a name, nothing under `under` exists either (`*.example.com`), so that
    /// one answer spares many questions; the exact name itself where something near it does exist.
    Absent {
        /// The broadest name known not to exist.
        under: Arc<str>,
    },
}
