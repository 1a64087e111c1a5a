//! From a decision to a connection: which endpoint, how it is dialled, and which pooled connections fit.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use leno_engine::affinity::Affinity;
use leno_engine::breaker::Taken;
use leno_engine::destination::{Cluster, Connect, Pick};
use leno_engine::explain::{Explain, Silent};
use leno_engine::state::InFlight;
use leno_http::head::RequestHead;
use leno_http::proxy_protocol;
use leno_http::server::Protocol;
use leno_model::failure::Failure;
use leno_model::name::Host;
use leno_model::service::{Address, Endpoint};
use leno_model::spiffe::SpiffeId;
use leno_model::unit::EndpointUnit;
use leno_runtime::clock::recent;
use leno_runtime::place::boxed;

use crate::circuit::Circuit;
use crate::core::Core;
use crate::dial::{Dialled, Proxy, Purpose, Way, dial_with};
use crate::limits::CONNECT;
use crate::local::Local;
use crate::path::Path;
use crate::pool::Key;
use crate::record::Ends;

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

/// An endpoint of the mesh, held by the unit that it is of: nothing of it is copied.
#[derive(Clone, Debug)]
pub(crate) struct Picked {
    /// The unit.
    pub(crate) unit: Arc<EndpointUnit>,
    /// The endpoint's position in it.
    pub(crate) position: usize,
    /// The endpoint's uid.
    pub(crate) uid: Arc<str>,
}

/// An endpoint that was chosen, and how to get there.
pub(crate) struct Chosen {
    /// How it is dialled.
    pub(crate) way: Way,
    /// Time to connect.
    pub(crate) limit: Duration,
    /// The endpoint, where it is one of the mesh.
    pub(crate) picked: Option<Picked>,
    /// The workload's own address.
    pub(crate) target: SocketAddr,
    /// Counts the request in.
    pub(crate) in_flight: Option<InFlight>,
    /// The destination's limits, where it has any.
    pub(crate) circuit: Option<Circuit>,
    /// The request's place among those.
    place: Option<Taken>,
    service: Option<Host>,
    outside: Option<Arc<str>>,
    /// What the connection begins with, before everything else.
    first: Option<Arc<[u8]>>,
}

impl Picked {
    fn of(pick: &Pick<'_>) -> Self {
        Self {
            unit: Arc::clone(pick.place.unit),
            position: pick.place.position,
            uid: Arc::clone(&pick.endpoint.uid),
        }
    }

    /// The endpoint.
    pub(crate) fn endpoint(&self) -> Option<&Endpoint> {
        self.unit.endpoints.get(self.position)
    }
}

/// The client on whose behalf a connection is chosen; none, where it is the proxy itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Client<'c> {
    /// The ends of its connection.
    pub(crate) ends: Option<&'c Ends>,
    /// What binds it to an endpoint, where anything does.
    pub(crate) key: Option<u64>,
}

impl<'c> Client<'c> {
    /// Of a connection that isn't looked into, on its way there.
    pub(crate) fn opaque(to: &To<'_>, ends: &'c Ends) -> Self {
        let key = match to {
            To::Cluster { cluster, .. } => cluster.opaque_key(ends.remote.map(|client| client.ip())),
            To::Application { .. } | To::External { .. } => None,
        };
        Self { ends: Some(ends), key }
    }
}

/// What binds a request to an endpoint of its destination. Without a key nothing is drawn.
pub(crate) fn affinity(
    to: &To<'_>,
    head: &RequestHead,
    path: &Path,
    draw: impl FnOnce() -> u64,
    explain: &mut impl Explain,
) -> Affinity {
    match to {
        To::Cluster { cluster, only: None } if cluster.by_key().is_some() => {
            cluster.affinity(head, path.ends().remote, draw(), explain)
        }
        _ => Affinity::default(),
    }
}

/// Chooses an endpoint: the one that the client's key leads to, where it counts. `tried` are those that have failed this
/// request already.
pub(crate) fn choose(
    core: &Core,
    to: &To<'_>,
    spoken: Spoken,
    client: Client<'_>,
    tried: &[Arc<str>],
) -> Result<Box<Chosen>, Failure> {
    match to {
        To::Cluster { cluster, only } => {
            let pick = match only {
                Some(uid) => cluster.pick_by_uid(uid, &mut Silent)?,
                None => cluster.pick_for(client.key, recent().into_std(), core.draw(), tried, &mut Silent)?,
            };
            let mut chosen = from_pick(core, cluster, &pick, spoken)?;
            chosen.announce(cluster, spoken, client.ends);
            Ok(chosen)
        }
        To::Application { port, declared, ip } => Ok(Box::new(application(*port, *declared, *ip))),
        To::External { address, egress } => Ok(Box::new(external(*address, egress.as_ref()))),
    }
}

fn from_pick(
    core: &Core,
    cluster: &Cluster,
    pick: &Pick<'_>,
    spoken: Spoken,
) -> Result<Box<Chosen>, Failure> {
    let host = cluster.host();
    let limit = cluster.policy().connect_timeout.unwrap_or(CONNECT);
    let mut chosen = boxed(|| Chosen {
        way: Way::Plain(pick.target),
        limit,
        picked: Some(Picked::of(pick)),
        target: pick.target,
        in_flight: None,
        circuit: Circuit::of(cluster, &core.shared.gates, limit),
        place: None,
        service: Some(host.host.clone()),
        outside: None,
        first: None,
    });
    if let Some(circuit) = &chosen.circuit
        && matches!(spoken, Spoken::Http(_))
    {
        chosen.place = circuit.request()?;
    }
    chosen.in_flight = Some(pick.start());
    match pick.connect {
        Connect::Plain => {}
        Connect::Native { identity, .. } => {
            chosen.way = Way::Native {
                proxy: Proxy::Of(Picked::of(pick)),
                expected: identity.clone(),
                purpose: Purpose { target: pick.target, service: Some(host.host.clone()), spoken },
            };
        }
        Connect::External(settings) => {
            let outside = core.shared.outside.client(settings, &host.host, spoken)?;
            chosen.outside = Some(outside.fingerprint);
            chosen.way = Way::Outside { address: pick.target, config: outside.config, name: outside.name };
        }
        Connect::Hbone { identity, .. } => {
            chosen.way = Way::Hbone {
                proxy: Proxy::Of(Picked::of(pick)),
                expected: identity.clone(),
                target: pick.target,
            };
        }
        // Not spoken yet: fails closed.
        Connect::IstioMtls { .. } => return Err(Failure::TlsFailed),
    }
    Ok(chosen)
}

fn application(port: u16, declared: bool, ip: IpAddr) -> Chosen {
    let own = SocketAddr::new(ip, port);
    Chosen {
        way: Way::Application { own, declared },
        limit: CONNECT,
        picked: None,
        target: own,
        in_flight: None,
        circuit: None,
        place: None,
        service: None,
        outside: None,
        first: None,
    }
}

fn external(address: SocketAddr, egress: Option<&(Address, SpiffeId)>) -> Chosen {
    let way = match egress {
        // What leaves the mesh is opaque to the proxy that lets it out.
        Some((proxy, identity)) => Way::Native {
            proxy: Proxy::At(proxy.clone()),
            expected: identity.clone(),
            purpose: Purpose { target: address, service: None, spoken: Spoken::Opaque },
        },
        None => Way::Plain(address),
    };
    Chosen {
        way,
        limit: CONNECT,
        picked: None,
        target: address,
        in_flight: None,
        circuit: None,
        place: None,
        service: None,
        outside: None,
        first: None,
    }
}

impl Chosen {
    /// What another request must have in common with this one to share its connection.
    pub(crate) fn key(&self, local: &Local, protocol: Protocol) -> Key<'_> {
        let peer = match &self.way {
            Way::Native { expected, .. } | Way::Hbone { expected, .. } => Some(expected),
            Way::Plain(_) | Way::Application { .. } | Way::Outside { .. } => None,
        };
        Key {
            epoch: if peer.is_some() { local.identities.epoch() } else { 0 },
            peer,
            tunnel: matches!(self.way, Way::Hbone { .. }),
            endpoint: self.uid(),
            target: self.target,
            service: self.service.as_ref(),
            protocol,
            outside: self.outside.as_ref(),
            first: self.first.as_ref(),
        }
    }

    /// Has the connection begin with who the client is, where the destination's settings say so. Requests that cross the
    /// mesh carry that in their heads instead: the proxy at the other end speaks to the application.
    fn announce(&mut self, cluster: &Cluster, spoken: Spoken, ends: Option<&Ends>) {
        let Some(version) = cluster.policy().proxy_protocol else { return };
        if matches!(self.way, Way::Native { .. } | Way::Hbone { .. }) && spoken != Spoken::Opaque {
            return;
        }
        let ends = ends.and_then(|ends| ends.remote.zip(ends.local));
        let ends = ends.map(|(source, destination)| proxy_protocol::Ends { source, destination });
        self.first = Some(proxy_protocol::encode(version, ends).into());
    }

    /// Dials it.
    pub(crate) async fn dial(&self, core: &Core, local: &Local) -> Result<Dialled, Failure> {
        let keepalive = self.circuit.as_ref().and_then(|circuit| circuit.pool().keepalive);
        let first = self.first.as_deref().unwrap_or_default();
        dial_with(core, local, &self.way, self.limit, keepalive, first).await
    }

    /// The service by which it was chosen.
    pub(crate) fn service(&self) -> Option<&Host> {
        self.service.as_ref()
    }

    /// The endpoint, where it is one of the mesh.
    pub(crate) fn endpoint(&self) -> Option<&Endpoint> {
        self.picked.as_ref()?.endpoint()
    }

    /// What stands in the log as the upstream's address.
    pub(crate) fn uid(&self) -> Option<&Arc<str>> {
        self.picked.as_ref().map(|picked| &picked.uid)
    }
}
