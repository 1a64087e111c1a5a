//! What `leno up` tells its control plane: one JSON document in a sealed memory file, and what changes afterwards as
//! lines of JSON on an inherited descriptor.
//!
//! The document is complete: a control plane that is started again gets it anew. Names are camel case, and unknown
//! fields are refused on both sides. It holds join tokens, so it is never printed as a whole.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use leno_model::service;
use serde::{Deserialize, Serialize};

/// A local mesh as its control plane is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Local {
    /// The mesh's name.
    pub mesh: String,
    /// The mesh's trust domain: `cluster.local`.
    pub trust_domain: String,
    /// The mesh's state directory. The authority's keys, virtual addresses and tokens are kept in directories of
    /// their own below it, which are made with mode 0700. It must exist and belong to the user alone.
    pub state: PathBuf,
    /// The Unix socket to serve discovery, certificates and status on. It is made with mode 0600, in the place of one
    /// that is there already; its directory must be the user's alone.
    pub socket: PathBuf,
    /// Directories and files of configuration, which are watched. Names in findings begin as they are written here.
    #[serde(default)]
    pub config: Vec<PathBuf>,
    /// The mesh file's services.
    #[serde(default)]
    pub services: Vec<Service>,
    /// Every replica of the mesh file's workloads.
    #[serde(default)]
    pub workloads: Vec<Workload>,
    /// The mesh's gateway, if it has one.
    #[serde(default)]
    pub gateway: Option<Gateway>,
    /// The ranges that the workloads' addresses come from. Addresses in them, and virtual ones, are the mesh's; every
    /// other address is outside.
    #[serde(default)]
    pub ranges: Vec<IpNet>,
    /// How long certificates are valid, in seconds; 0 is the default of six hours.
    #[serde(default)]
    pub svid_lifetime_seconds: u64,
    /// The share of its own certificate's life after which the control plane renews it, in per cent; a sixth by default.
    #[serde(default)]
    pub svid_renew_after_percent: Option<u8>,
    /// A pipe or Unix stream on which [`Change`]s come, one JSON document a line. Its end means nothing.
    #[serde(default)]
    pub changes: Option<RawFd>,
    /// The Unix stream of the supervisor's vault: the control plane says on it that it is ready, and is told on it to
    /// drain. It keeps nothing there.
    #[serde(default)]
    pub vault: Option<RawFd>,
    /// A listening Unix socket for the admin interface: `/metrics` and `/healthz/ready` over HTTP.
    #[serde(default)]
    pub admin: Option<RawFd>,
}

/// A service of the mesh file. Workloads whose label `app` is its name stand behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// Its name, a DNS label.
    pub name: String,
    /// Its namespace: `default`.
    pub namespace: String,
    /// Its ports.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// Whether it has no virtual address: its name resolves to the workloads' own.
    #[serde(default)]
    pub headless: bool,
    /// The mesh file it is written in, for findings and `leno status`.
    pub file: String,
    /// The line it begins on; 0 where unknown.
    #[serde(default)]
    pub line: u32,
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Port {
    /// Its name; empty for none.
    #[serde(default)]
    pub name: String,
    /// The number that callers use.
    pub port: u16,
    /// Where workloads listen.
    pub target_port: u16,
    /// What it speaks; absent where it is found out from the first bytes.
    #[serde(default)]
    pub protocol: Option<Protocol>,
}

/// What a port speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.x, or HTTP/2 with prior knowledge.
    Http,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// gRPC.
    Grpc,
    /// TLS of the application's own.
    Tls,
    /// Opaque bytes.
    Tcp,
}

impl From<Protocol> for service::Protocol {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Http => Self::Http,
            Protocol::Http2 => Self::Http2,
            Protocol::Grpc => Self::Grpc,
            Protocol::Tls => Self::Tls,
            Protocol::Tcp => Self::Tcp,
        }
    }
}

/// One replica of a workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Workload {
    /// Unique in its namespace.
    pub name: String,
    /// Its namespace: `default`.
    pub namespace: String,
    /// Its service account, the last part of its identity.
    pub service_account: String,
    /// The workload that it is a replica of, for metrics; its own name where absent.
    #[serde(default)]
    pub owner: Option<String>,
    /// Its labels, `app` and `version` among them.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Its own addresses; the first one is where endpoints point to.
    pub addresses: Vec<IpAddr>,
    /// The Unix socket on which its sidecar takes connections of other proxies.
    pub inbound: PathBuf,
    /// Ports by name, for services that name their target.
    #[serde(default)]
    pub named_ports: BTreeMap<String, u16>,
    /// What its sidecar joins with.
    pub join_token: Token,
    /// Whether it is ready now.
    #[serde(default)]
    pub ready: bool,
}

/// The mesh's gateway. Routes attach to it by its namespace and name; a Gateway object of that name says what it
/// listens to, and without one it has no listeners.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gateway {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its service account, whatever class a Gateway object of its name has.
    pub service_account: String,
    /// Its labels, for policies.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What its proxy joins with.
    pub join_token: Token,
    /// The Unix socket on which it takes traffic that leaves the mesh; absent where sidecars reach the outside
    /// themselves.
    #[serde(default)]
    pub egress: Option<PathBuf>,
}

/// The secret that proves whose proxy calls: any text of 16 to 8192 bytes that nobody can guess. Prints as a
/// placeholder.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Something that changed after the start: one line of JSON, such as
/// `{"ready":{"namespace":"default","name":"reviews-v1","ready":true}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Change {
    /// A workload has become ready, or is so no more.
    Ready {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Whether it may get new requests.
        ready: bool,
    },
    /// A workload has come, or is described anew.
    Workload(Box<Workload>),
    /// A workload is gone for good.
    Removed {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A service has come, or is described anew.
    Service(Service),
    /// A service is gone for good.
    RemovedService {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl Local {
    /// How long certificates are valid.
    #[must_use]
    pub fn svid_lifetime(&self) -> Duration {
        match self.svid_lifetime_seconds {
            0 => crate::limits::DEFAULT_SVID_LIFETIME,
            seconds => Duration::from_secs(seconds),
        }
    }

    /// The share of its own certificate's life after which the control plane renews it.
    #[must_use]
    pub fn svid_renew_after(&self) -> f64 {
        let percent = self.svid_renew_after_percent.map(|percent| f64::from(percent) / 100.0);
        percent.unwrap_or(crate::limits::DEFAULT_SVID_RENEW_AFTER)
    }
}
