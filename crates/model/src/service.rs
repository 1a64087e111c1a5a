//! Services, workloads and the endpoints that join them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use crate::labels::Labels;
use crate::name::{Host, WorkloadName};
use crate::span::Origin;
use crate::spiffe::SpiffeId;

/// What is spoken on a port, as declared; `Auto` where nothing is declared and the proxy looks at the bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// Undeclared.
    #[default]
    Auto,
    /// HTTP/1.x, or HTTP/2 with prior knowledge: told apart by the preface.
    Http,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// gRPC over HTTP/2 with prior knowledge.
    Grpc,
    /// TLS of the application's own; routed by SNI, never opened.
    Tls,
    /// Opaque bytes.
    Tcp,
}

impl Protocol {
    /// Whether requests are seen on it (unless detection decides otherwise for `Auto`).
    #[must_use]
    pub const fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Http2 | Self::Grpc)
    }

    /// The word used in configuration and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Http => "http",
            Self::Http2 => "http2",
            Self::Grpc => "grpc",
            Self::Tls => "tls",
            Self::Tcp => "tcp",
        }
    }
}

/// One port of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServicePort {
    /// The port that clients dial.
    pub port: u16,
    /// The port's name; empty if it has none.
    pub name: Arc<str>,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// Where the workload listens.
    pub target: TargetPort,
}

/// A workload's side of a service port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TargetPort {
    /// This number on every workload.
    Number(u16),
    /// The port that the workload declares under this name.
    Name(Arc<str>),
}

/// A name with ports that workloads stand behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The canonical DNS name.
    pub host: Host,
    /// The namespace it belongs to.
    pub namespace: Arc<str>,
    /// The short name.
    pub name: Arc<str>,
    /// Virtual addresses; empty for a headless service.
    pub vips: Vec<IpAddr>,
    /// The ports, by ascending number.
    pub ports: Vec<ServicePort>,
    /// Which workloads stand behind it. `None`: endpoints are listed by hand ([`Service::fixed`]).
    pub selector: Option<Labels>,
    /// Endpoints listed by hand (EndpointSlice); used besides the selected ones.
    pub fixed: Vec<FixedEndpoint>,
    /// A host outside the mesh that the name stands for (`ExternalName`).
    pub external_name: Option<Host>,
    /// Whether the service stands for something outside the mesh.
    pub external: bool,
    /// Where it was declared.
    pub origin: Origin,
}

impl Service {
    /// A service without virtual address: its name resolves to the endpoints' addresses.
    #[must_use]
    pub fn is_headless(&self) -> bool {
        self.vips.is_empty() && self.external_name.is_none()
    }

    /// The port with that number.
    #[must_use]
    pub fn port(&self, number: u16) -> Option<&ServicePort> {
        self.ports.iter().find(|port| port.port == number)
    }
}

/// An endpoint written down by its address, not by a workload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FixedEndpoint {
    /// The address.
    pub ip: IpAddr,
    /// Target ports by service port number.
    pub ports: Vec<(u16, u16)>,
    /// Whether it may be used.
    pub ready: bool,
    /// Host name of the endpoint in a headless service, if it has one.
    pub hostname: Option<Arc<str>>,
}

/// How a workload is reached through the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// It has no proxy: plaintext to its own address.
    Plain,
    /// `leno/1` over mutual TLS to this address.
    Native(Address),
    /// HTTP/2 CONNECT over mutual TLS to this address.
    Hbone(Address),
    /// Istio's classic mutual TLS to the application's own port.
    IstioMtls,
}

/// An address that a proxy can dial.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix stream socket's path; crosses network namespaces of one machine.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Where a workload runs, for locality-aware decisions; parts may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Locality {
    /// Region.
    pub region: Arc<str>,
    /// Zone.
    pub zone: Arc<str>,
    /// Sub-zone.
    pub subzone: Arc<str>,
}

/// One running instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its name.
    pub name: WorkloadName,
    /// Its identity.
    pub identity: SpiffeId,
    /// The service account, the identity's last part.
    pub service_account: Arc<str>,
    /// Its labels.
    pub labels: Labels,
    /// The deployment it belongs to (`reviews-v1`), for metrics.
    pub owner: Arc<str>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Ports it declares by name.
    pub named_ports: Vec<(Arc<str>, u16)>,
    /// How other proxies reach it.
    pub transport: Transport,
    /// Load-balancing weight, at least 1.
    pub weight: u32,
    /// Where it runs.
    pub locality: Locality,
    /// The network it is on; empty for the only one.
    pub network: Arc<str>,
    /// The cluster it belongs to.
    pub cluster: Arc<str>,
    /// Whether it is ready to serve.
    pub ready: bool,
    /// Where it was declared.
    pub origin: Origin,
}

/// A workload as a client's proxy sees it: one destination of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Stable id: the workload's name, or the address for one without. State (latencies, ejections) hangs on it.
    pub uid: Arc<str>,
    /// The workload's own address.
    pub ip: IpAddr,
    /// Target ports by service port number, ascending.
    pub ports: Vec<(u16, u16)>,
    /// How to get there.
    pub transport: Transport,
    /// Whom to expect there; `None` outside the mesh.
    pub identity: Option<SpiffeId>,
    /// Its labels, for subsets.
    pub labels: Labels,
    /// The deployment it belongs to, for metrics.
    pub owner: Arc<str>,
    /// Its namespace, for metrics.
    pub namespace: Arc<str>,
    /// Load-balancing weight, at least 1.
    pub weight: u32,
    /// Where it runs.
    pub locality: Locality,
    /// The network it is on.
    pub network: Arc<str>,
    /// The cluster it belongs to.
    pub cluster: Arc<str>,
    /// Whether it may get new requests.
    pub ready: bool,
    /// Its name under a headless service.
    pub hostname: Option<Arc<str>>,
}

impl Endpoint {
    /// Where the workload listens for a service port.
    #[must_use]
    pub fn target_port(&self, service_port: u16) -> Option<u16> {
        self.ports.iter().find(|(port, _)| *port == service_port).map(|(_, target)| *target)
    }
}
