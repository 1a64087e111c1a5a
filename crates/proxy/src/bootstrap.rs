//! What a proxy is told when it starts: who it is, where its control plane is, which sockets it serves.
//!
//! A supervisor hands this over as JSON in an inherited, sealed file ([`Handoff`]); `leno proxy` builds it from its
//! arguments. Nothing here changes while the proxy runs.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use leno_identity::rotation::Settings;
use leno_identity::{Identities, tls};
use leno_model::labels::Labels;
use leno_model::name::WorkloadName;
use leno_model::secret::SecretBytes;
use leno_runtime::clock::Clock;
use leno_telemetry::propagation::{Format, Propagation};
use leno_telemetry::sampling::Sampler;
use leno_wire::transport::{self, Remote};
use serde::{Deserialize, Serialize};

pub use crate::local::HostPorts;
use crate::local::Local;
use crate::traces::{self, Collector, Endpoint, EndpointError, Protocol};

/// The workload that a sidecar stands beside.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkloadIdentity {
    /// The instance's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its service account.
    pub service_account: String,
    /// The deployment that it is an instance of, for metrics; its own name where absent.
    #[serde(default)]
    pub owner: Option<String>,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Its addresses.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// Ports of the machine that it may reach.
    #[serde(default)]
    pub host: Option<HostPorts>,
}

/// How the control plane is reached.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ControlAddress {
    /// Over a Unix socket of this machine.
    Unix(PathBuf),
}

/// How the proxy's certificate is renewed. What is left out is as the control plane and the rotation have it by default.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Renewal {
    /// The validity to ask for, in seconds.
    #[serde(default)]
    pub lifetime_seconds: Option<u64>,
    /// The share of a certificate's life after which the next one is asked for, in per cent.
    #[serde(default)]
    pub after_percent: Option<u8>,
}

/// How the proxy takes part in tracing.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tracing {
    /// The collector: `http://HOST:PORT`, or `https`.
    pub endpoint: String,
    /// What is spoken to it: `grpc` or `http/protobuf`.
    pub protocol: String,
    /// How many of 100 traces are recorded, where nobody has decided before.
    pub sampling: f64,
    /// Formats of trace context in the order in which they are believed: `w3c`, `b3`, `b3multi`.
    pub propagation: Vec<String>,
}

/// A token that proves who the proxy is until it has a certificate. Never printed.
#[derive(Clone, Deserialize, Serialize)]
#[serde(transparent)]
pub struct JoinToken(pub String);

impl std::fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// Descriptors of a sidecar's listening sockets, opened by its supervisor.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SidecarSockets {
    /// TCP listeners that captured connections arrive at (port 15001, IPv4 and IPv6).
    pub outbound: Vec<RawFd>,
    /// The Unix listener that other proxies dial.
    pub inbound: RawFd,
    /// UDP sockets of mesh DNS.
    #[serde(default)]
    pub dns_udp: Vec<RawFd>,
    /// TCP listeners of mesh DNS.
    #[serde(default)]
    pub dns_tcp: Vec<RawFd>,
    /// The Unix listener of the admin interface.
    pub admin: RawFd,
    /// Where nothing is captured: TCP listeners that each stand for one service.
    #[serde(default)]
    pub services: Vec<ServiceSocket>,
}

/// A TCP listener that stands for a service.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceSocket {
    /// The listener.
    pub listener: RawFd,
    /// The service host.
    pub host: String,
    /// The service port.
    pub port: u16,
}

/// What a supervisor hands to a sidecar.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Handoff {
    /// The mesh's name.
    pub mesh: String,
    /// Its trust domain.
    pub trust_domain: String,
    /// Whom the sidecar stands beside.
    pub workload: WorkloadIdentity,
    /// Where the control plane is.
    pub control: ControlAddress,
    /// The token to join with.
    pub join_token: JoinToken,
    /// How its certificate is renewed.
    #[serde(default)]
    pub renewal: Renewal,
    /// How it takes part in tracing.
    #[serde(default)]
    pub tracing: Option<Tracing>,
    /// Data cores; 0 chooses by the machine.
    #[serde(default)]
    pub threads: usize,
    /// The sockets.
    pub sockets: SidecarSockets,
    /// The stream on which the supervisor keeps what outlives a restart.
    #[serde(default)]
    pub vault: Option<RawFd>,
    /// The socket mark that capture lets pass; 0 for none.
    #[serde(default)]
    pub mark: u32,
    /// Where nothing is captured: the ports of the machine's loopback at which the application listens, by the ports that
    /// its services declare.
    #[serde(default)]
    pub application: Option<BTreeMap<u16, u16>>,
}

/// A host port that leads to a service of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Published {
    /// Where the gateway listens.
    pub listen: SocketAddr,
    /// The service host.
    pub host: String,
    /// The service port.
    pub port: u16,
}

/// Callers that may reach ports of the machine, through the egress.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostCaller {
    /// The caller's namespace.
    pub namespace: String,
    /// Its service account.
    pub service_account: String,
    /// Ports of the machine's loopback, and the address that stands for it.
    pub host: HostPorts,
}

/// What `leno up` hands to a gateway.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayHandoff {
    /// The mesh's name.
    pub mesh: String,
    /// Its trust domain.
    pub trust_domain: String,
    /// The gateway: namespace, name and service account.
    pub workload: WorkloadIdentity,
    /// Where the control plane is.
    pub control: ControlAddress,
    /// The token to join with.
    pub join_token: JoinToken,
    /// How its certificate is renewed.
    #[serde(default)]
    pub renewal: Renewal,
    /// How it takes part in tracing.
    #[serde(default)]
    pub tracing: Option<Tracing>,
    /// Data cores; 0 chooses by the machine.
    #[serde(default)]
    pub threads: usize,
    /// The address that listeners bind to.
    pub bind: IpAddr,
    /// Host ports that lead straight to services.
    #[serde(default)]
    pub published: Vec<Published>,
    /// The Unix listener of the egress service, for traffic that leaves the mesh.
    #[serde(default)]
    pub egress: Option<RawFd>,
    /// Where processes succeed each other: this one takes over from whoever listens there, and then listens itself.
    #[serde(default)]
    pub take_over: Option<PathBuf>,
    /// Who may reach the machine through it.
    #[serde(default)]
    pub host_callers: Vec<HostCaller>,
    /// The Unix listener of the admin interface.
    pub admin: RawFd,
    /// The stream on which the parent keeps what outlives a restart.
    #[serde(default)]
    pub vault: Option<RawFd>,
}

/// Why a handoff is not usable.
#[derive(Debug, thiserror::Error)]
pub enum HandoffError {
    /// The trust domain.
    #[error("the trust domain in the handoff is not valid")]
    TrustDomain(#[source] leno_model::spiffe::ParseError),
    /// A published service.
    #[error("a published service in the handoff is not a host name")]
    Host(#[source] leno_model::name::HostError),
    /// A descriptor.
    #[error("{what} was not inherited")]
    Descriptor {
        /// What it should be.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: std::io::Error,
    },
    /// An earlier process.
    #[error(transparent)]
    TakeOver(#[from] crate::takeover::TakeOverError),
    /// The collector of traces.
    #[error("the collector's address in the handoff is not valid")]
    Collector(#[source] EndpointError),
    /// Another word about traces.
    #[error("the handoff says {0:?} about traces, which nobody knows")]
    Tracing(String),
    /// A port of the host.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl WorkloadIdentity {
    /// The workload as the data path knows it.
    #[must_use]
    pub fn local(&self, cluster: &str, mark: u32, tls: tls::Options) -> Local {
        let labels: Labels = self.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        Local {
            name: WorkloadName { namespace: self.namespace.as_str().into(), name: self.name.as_str().into() },
            service_account: self.service_account.as_str().into(),
            owner: self.owner.as_deref().unwrap_or(&self.name).into(),
            cluster: cluster.into(),
            identities: Arc::new(Identities::new(tls)),
            mark,
            application: None,
            host: self.host.clone(),
            clock: Clock::system(),
            labels,
        }
    }
}

impl Tracing {
    /// What the proxy is told. `by_egress`: its own network leads nowhere.
    ///
    /// # Errors
    /// When a word of it isn't known.
    pub fn settings(self, by_egress: bool) -> Result<traces::Settings, HandoffError> {
        let known = Protocol::named(&self.protocol).ok_or(HandoffError::Tracing(self.protocol))?;
        let endpoint = Endpoint::parse(&self.endpoint, known).map_err(HandoffError::Collector)?;
        let formats = self
            .propagation
            .iter()
            .map(|name| Format::named(name).ok_or_else(|| HandoffError::Tracing(name.clone())));
        let formats = formats.collect::<Result<Vec<_>, _>>()?;
        Ok(traces::Settings {
            propagation: Propagation::of(formats).unwrap_or_default(),
            sampler: Sampler::of(self.sampling / 100.0),
            collector: Some(Collector { endpoint, headers: Vec::new(), by_egress, roots: None }),
            service: None,
            attributes: Vec::new(),
        })
    }
}

impl Renewal {
    /// What the rotation is told.
    #[must_use]
    pub fn settings(self) -> Settings {
        let default = Settings::default();
        Settings {
            lifetime: self.lifetime_seconds.map_or(default.lifetime, Duration::from_secs),
            renew_after: self.after_percent.map_or(default.renew_after, |percent| f64::from(percent) / 100.0),
            ..default
        }
    }
}

impl ControlAddress {
    /// The control plane with the token to join by.
    #[must_use]
    pub fn remote(&self, token: &JoinToken) -> Remote {
        let Self::Unix(path) = self;
        Remote {
            address: transport::Address::Unix(path.clone()),
            tls: None,
            token: Some(SecretBytes::new(token.0.as_bytes())),
        }
    }
}
