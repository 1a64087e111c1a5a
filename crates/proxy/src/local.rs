//! Whom a connection belongs to.
//!
//! Every data-path function takes a [`Local`]; nothing about identity is process-wide. A sidecar has one, a node
//! proxy one per workload.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use leno_identity::holder::Identities;
use leno_model::labels::Labels;
use leno_model::name::WorkloadName;
use leno_runtime::clock::Clock;
use serde::{Deserialize, Serialize};

/// One workload that the proxy serves, or the gateway that it is.
#[derive(Debug)]
pub struct Local {
    /// The workload's name.
    pub name: WorkloadName,
    /// Its service account.
    pub service_account: Arc<str>,
    /// Its labels, as it was started with.
    pub labels: Labels,
    /// The deployment it belongs to, for metrics.
    pub owner: Arc<str>,
    /// The cluster, for metrics.
    pub cluster: Arc<str>,
    /// Its current identity.
    pub identities: Arc<Identities>,
    /// Mark of the sockets that the proxy dials with, which capture lets pass; 0 for none.
    pub mark: u32,
    /// Where the application shares the machine's loopback with others: the ports at which it listens there, by the ports
    /// that its services declare. No other port leads to it.
    pub application: Option<BTreeMap<u16, u16>>,
    /// The machine outside of its world, where it may reach that.
    pub host: Option<HostPorts>,
    /// The wall clock that certificates are judged by.
    pub clock: Clock,
}

/// Ports of the machine's own loopback, behind an address that stands for the machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostPorts {
    /// What stands for the machine. No workload has it.
    pub address: IpAddr,
    /// Which ports may be reached.
    pub ports: Vec<u16>,
}

impl HostPorts {
    /// Whether this is one of them.
    pub(crate) fn contain(&self, destination: SocketAddr) -> bool {
        self.address == destination.ip() && self.ports.contains(&destination.port())
    }
}

impl Local {
    /// The time by which certificates are judged and requests are dated.
    #[must_use]
    pub fn wall(&self) -> SystemTime {
        self.clock.recent_wall()
    }
}
