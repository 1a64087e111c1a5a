//! From a decision to a connection: which endpoint, how it is dialled, and which pooled connections fit.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_engine::destination::{Cluster, Connect, Pick};
use leno_engine::explain::Silent;
use leno_engine::state::InFlight;
use leno_http::server::Protocol;
use leno_model::failure::Failure;
use leno_model::name::Host;
use leno_model::service::{Address, Endpoint};
use leno_model::spiffe::SpiffeId;
use leno_wire::open::{self, Open};

use crate::core::Core;
use crate::dial::Way;
use crate::limits::CONNECT;
use crate::local::Local;
use crate::pool::Key;

/// What is spoken on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// Requests.
    Http(Protocol),
    /// Opaque bytes.
    Opaque,
}

/// Where traffic is to go.
#[derive(Clone, Debug)]
pub(crate) enum To<'v> {
    /// To an endpoint of a cluster.
    Cluster {
        /// The cluster.
        cluster: &'v Cluster,
        /// The one endpoint that was meant, where the client dialled it by its own address.
        only: Option<Arc<str>>,
    },
    /// To the application that this proxy serves.
    Application {
        /// Its port.
        port: u16,
        /// Whether a service declares the port: then the application may listen on loopback.
        declared: bool,
        /// The workload's own address that was asked for.
        ip: IpAddr,
    },
    /// Out of the mesh.
    External {
        /// The address that was dialled.
        address: SocketAddr,
        /// The proxy that external traffic leaves through, where there is one.
        egress: Option<(Address, SpiffeId)>,
    },
}

/// An endpoint that was chosen, and how to get there.
pub(crate) struct Chosen {
    /// How it is dialled.
    pub(crate) way: Way,
    /// Time to connect.
    pub(crate) limit: Duration,
    /// The endpoint, where it is one of the mesh.
    pub(crate) endpoint: Option<Endpoint>,
    /// The workload's own address.
    pub(crate) target: SocketAddr,
    /// Counts the request in.
    pub(crate) in_flight: Option<InFlight>,
    identity: Option<SpiffeId>,
    service: Option<Host>,
    outside: Option<Arc<str>>,
}

/// Chooses an endpoint. `tried` are those that have failed this request already.
pub(crate) fn choose(
    core: &Core,
    local: &Local,
    to: &To<'_>,
    spoken: Spoken,
    tried: &[Arc<str>],
) -> Result<Chosen, Failure> {
    match to {
        To::Cluster { cluster, only } => {
            let pick = match only {
                Some(uid) => cluster.pick_by_uid(uid, &mut Silent)?,
                None => cluster.pick(Instant::now(), core.draw(), tried, &mut Silent)?,
            };
            from_pick(core, local, cluster, &pick, spoken)
        }
        To::Application { port, declared, ip } => Ok(application(*port, *declared, *ip)),
        To::External { address, egress } => external(local, *address, egress.as_ref()),
    }
}

fn from_pick(
    core: &Core,
    local: &Local,
    cluster: &Cluster,
    pick: &Pick<'_>,
    spoken: Spoken,
) -> Result<Chosen, Failure> {
    let host = cluster.host();
    let mut chosen = Chosen {
        way: Way::Plain(pick.target),
        limit: cluster.policy().connect_timeout.unwrap_or(CONNECT),
        endpoint: Some(pick.endpoint.clone()),
        target: pick.target,
        in_flight: Some(pick.state.start()),
        identity: None,
        service: Some(host.host.clone()),
        outside: None,
    };
    match pick.connect {
        Connect::Plain => {}
        Connect::Native { address, identity } => {
            chosen.identity = Some(identity.clone());
            chosen.way = Way::Native {
                address: address.clone(),
                expected: identity.clone(),
                open: Box::new(open_for(local, pick.target, Some(host.host.clone()), spoken)),
            };
        }
        Connect::External(settings) => {
            let outside = core.shared.outside.client(settings, &host.host, spoken)?;
            chosen.outside = Some(outside.fingerprint);
            chosen.way = Way::Outside { address: pick.target, config: outside.config, name: outside.name };
        }
        // Not spoken yet: fails closed.
        Connect::Hbone { .. } | Connect::IstioMtls { .. } => return Err(Failure::TlsFailed),
    }
    Ok(chosen)
}

/// The first flight to a peer's proxy.
fn open_for(local: &Local, target: SocketAddr, service: Option<Host>, spoken: Spoken) -> Open {
    Open {
        ip: target.ip(),
        port: target.port(),
        service,
        protocol: match spoken {
            Spoken::Http(Protocol::Http1) => open::Protocol::Http1,
            Spoken::Http(Protocol::Http2) => open::Protocol::Http2,
            Spoken::Opaque => open::Protocol::Opaque,
        },
        source: open::Source {
            namespace: Arc::clone(&local.name.namespace),
            workload: Arc::clone(&local.name.name),
            owner: Arc::clone(&local.owner),
            cluster: Arc::clone(&local.cluster),
            labels: local.labels.clone(),
        },
    }
}

/// A declared port may be bound to loopback only, so loopback is tried first; any other port is reached by the
/// workload's own address alone, or peers could reach what listens on loopback for good reason.
fn application(port: u16, declared: bool, ip: IpAddr) -> Chosen {
    let own = SocketAddr::new(ip, port);
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let mut addresses = Vec::with_capacity(3);
    if declared {
        addresses.extend(loopback.map(|ip| SocketAddr::new(ip, port)));
    }
    addresses.push(own);
    Chosen {
        way: Way::Application(addresses),
        limit: CONNECT,
        endpoint: None,
        target: own,
        in_flight: None,
        identity: None,
        service: None,
        outside: None,
    }
}

fn external(
    local: &Local,
    address: SocketAddr,
    egress: Option<&(Address, SpiffeId)>,
) -> Result<Chosen, Failure> {
    let way = match egress {
        // What leaves the mesh is opaque to the proxy that lets it out.
        Some((proxy, identity)) => Way::Native {
            address: proxy.clone(),
            expected: identity.clone(),
            open: Box::new(open_for(local, address, None, Spoken::Opaque)),
        },
        None => Way::Plain(address),
    };
    Ok(Chosen {
        way,
        limit: CONNECT,
        endpoint: None,
        target: address,
        in_flight: None,
        identity: egress.map(|(_, identity)| identity.clone()),
        service: None,
        outside: None,
    })
}

impl Chosen {
    /// What another request must have in common with this one to share its connection.
    pub(crate) fn key(&self, local: &Local, protocol: Protocol) -> Key {
        Key {
            epoch: if self.identity.is_some() { local.identities.epoch() } else { 0 },
            peer: self.identity.clone(),
            endpoint: match &self.endpoint {
                Some(endpoint) => Arc::clone(&endpoint.uid),
                None => self.target.ip().to_string().into(),
            },
            port: self.target.port(),
            service: self.service.clone(),
            protocol,
            outside: self.outside.clone(),
        }
    }

    /// The service by which it was chosen.
    pub(crate) fn service(&self) -> Option<&Host> {
        self.service.as_ref()
    }

    /// What stands in the log as the upstream's address.
    pub(crate) fn uid(&self) -> Option<&Arc<str>> {
        self.endpoint.as_ref().map(|endpoint| &endpoint.uid)
    }
}
