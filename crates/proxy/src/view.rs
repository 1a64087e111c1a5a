//! The configuration that a proxy holds, compiled: one immutable [`View`], replaced as a whole.
//!
//! Updates are applied on the control thread. The next view shares everything that did not change with the last, so
//! that one changed host costs one compilation. A request takes the view once and decides by it to its end.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use leno_engine::authorize::Authorizer;
use leno_engine::destination::Cluster;
use leno_engine::route::{Router, StreamRouter};
use leno_engine::state::StateTable;
use leno_engine::vhost::HostMap;
use leno_model::failure::Failure;
use leno_model::gateway::ListenerProtocol;
use leno_model::name::Host;
use leno_model::route::RouteTable;
use leno_model::service::Protocol;
use leno_model::unit::{
    Answer, BundleUnit, EndpointUnit, GatewayUnit, HostUnit, ListenerUnit, MeshSettings, Question,
    WorkloadUnit,
};
use leno_wire::client::Update;
use leno_wire::{Key, Unit};

use crate::certificate::{self, Asked, PortTls};
use crate::table::Table;

/// Everything in effect.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The snapshot it is of.
    pub snapshot: u64,
    /// The mesh's settings; `None` before the first update.
    pub mesh: Option<Arc<MeshSettings>>,
    /// Service hosts.
    pub hosts: Table<Host, Arc<HostTables>>,
    /// Answers to questions.
    pub answers: HashMap<Question, Arc<Answered>>,
    /// The own workload.
    pub inbound: Option<Arc<InboundTables>>,
    /// The own gateway.
    pub gateway: Option<Arc<GatewayTables>>,
    /// Roots by trust domain.
    pub bundles: Table<String, Arc<BundleUnit>>,
}

/// An answer and when it was last used.
#[derive(Debug)]
pub struct Answered {
    /// The answer.
    pub answer: Answer,
    used: AtomicU64,
    /// Connections that live by it, shared by all answers to one question.
    users: Arc<AtomicUsize>,
}

/// A connection's interest in an answer: it isn't given back while this lives, however long the connection goes on
/// without asking again.
#[derive(Debug)]
pub struct Interest(Arc<AtomicUsize>);

impl Drop for Interest {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Answered {
    /// An answer, in the place of an older one to the same question.
    fn new(answer: Answer, now: u64, older: Option<&Self>) -> Self {
        let users = older.map(|older| Arc::clone(&older.users)).unwrap_or_default();
        Self { answer, used: AtomicU64::new(now), users }
    }

    /// Counts a connection that lives by it.
    pub fn interest(&self) -> Interest {
        self.users.fetch_add(1, Ordering::Relaxed);
        Interest(Arc::clone(&self.users))
    }

    /// Whether a connection lives by it.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.users.load(Ordering::Relaxed) > 0
    }

    /// Says that the answer is of use; `now` in seconds of any steady clock.
    pub fn touch(&self, now: u64) {
        self.used.store(now, Ordering::Relaxed);
    }

    /// When it was last used.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

/// One service host, compiled.
#[derive(Debug)]
pub struct HostTables {
    /// The host.
    pub unit: Arc<HostUnit>,
    /// Its endpoints.
    pub endpoints: Arc<EndpointUnit>,
    routers: Vec<(u16, Router)>,
    streams: Vec<(u16, StreamRouter)>,
    clusters: Vec<Cluster>,
}

impl HostTables {
    fn compile(unit: Arc<HostUnit>, endpoints: Arc<EndpointUnit>, states: &StateTable) -> Self {
        let of_requests = unit.routes.iter().filter(|(_, table)| Router::has_rules(table));
        let mut routers: Vec<_> = of_requests.map(|(port, table)| (*port, Router::compile(table))).collect();
        let streams = unit.routes.iter().map(|(port, table)| (*port, StreamRouter::compile(table)));
        let streams = streams.filter(|(_, router)| !router.is_empty()).collect();
        for port in &unit.ports {
            if !unit.routes_for(port.port).is_some_and(Router::has_rules) {
                routers.push((port.port, Router::to_service(unit.host.clone(), port.port)));
            }
        }
        let subsets = || unit.destination.subsets.iter().map(|subset| Some(&*subset.name));
        let clusters = unit
            .ports
            .iter()
            .flat_map(|port| std::iter::once(None).chain(subsets()).map(move |subset| (port.port, subset)))
            .filter_map(|(port, subset)| {
                Cluster::compile(Arc::clone(&unit), Arc::clone(&endpoints), port, subset, states).ok()
            })
            .collect();
        Self { unit, endpoints, routers, streams, clusters }
    }

    /// All ports and subsets.
    pub(crate) fn clusters(&self) -> &[Cluster] {
        &self.clusters
    }

    /// The routes for a service port.
    #[must_use]
    pub fn router(&self, port: u16) -> Option<&Router> {
        let find =
            |number: u16| self.routers.iter().find(|(port, _)| *port == number).map(|(_, router)| router);
        find(port).or_else(|| find(0))
    }

    /// The routes of connections to a service port; `None` where there are none.
    #[must_use]
    pub fn stream_router(&self, port: u16) -> Option<&StreamRouter> {
        let find =
            |number: u16| self.streams.iter().find(|(port, _)| *port == number).map(|(_, router)| router);
        find(port).or_else(|| find(0))
    }

    /// The endpoints for a service port and subset.
    ///
    /// # Errors
    /// [`Failure::NoDestination`] when the service has no such port or subset.
    pub fn cluster(&self, port: u16, subset: Option<&str>) -> Result<&Cluster, Failure> {
        self.clusters
            .iter()
            .find(|cluster| cluster.port() == port && cluster.subset() == subset)
            .ok_or(Failure::NoDestination)
    }

    /// What is spoken on a service port, as declared.
    #[must_use]
    pub fn protocol(&self, port: u16) -> Protocol {
        self.unit.port(port).map_or(Protocol::Auto, |port| port.protocol)
    }
}

/// The own workload, compiled.
#[derive(Debug)]
pub struct InboundTables {
    /// The unit.
    pub unit: Arc<WorkloadUnit>,
    /// Its policies.
    pub authorizer: Authorizer,
}

/// The own gateway, compiled.
#[derive(Debug)]
pub struct GatewayTables {
    /// The unit.
    pub unit: Arc<GatewayUnit>,
    /// Its policies.
    pub authorizer: Authorizer,
    /// Its listeners by port, in listed order.
    pub ports: HashMap<u16, PortTables>,
}

/// All listeners on one port: which serves a request is decided by its host.
#[derive(Debug)]
pub struct PortTables {
    /// What is spoken; the same for all listeners of a port.
    pub protocol: ListenerProtocol,
    /// Whether connections begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// TLS on an HTTPS port.
    pub tls: Arc<PortTls>,
    /// Positions of the listeners in the unit, by the host they serve, with whose certificates they ask clients for.
    listeners: HostMap<(usize, Asked)>,
    /// Routes by position of the listener, then by host.
    hosts: HashMap<usize, HostMap<Router>>,
    /// Routes of connections, likewise.
    streams: HashMap<usize, HostMap<StreamRouter>>,
}

impl GatewayTables {
    fn compile(unit: Arc<GatewayUnit>) -> Self {
        let mut by_port: HashMap<u16, Vec<(usize, &ListenerUnit)>> = HashMap::new();
        for (position, listener) in unit.listeners.iter().enumerate() {
            by_port.entry(listener.port).or_default().push((position, listener));
        }
        let ports =
            by_port.into_iter().map(|(port, listeners)| (port, PortTables::compile(&listeners))).collect();
        Self { authorizer: Authorizer::compile(&unit.policies), ports, unit }
    }
}

impl PortTables {
    fn compile(listeners: &[(usize, &ListenerUnit)]) -> Self {
        let protocol = listeners.first().map_or(ListenerProtocol::Http, |(_, listener)| listener.protocol);
        Self {
            protocol,
            proxy_protocol: listeners.iter().any(|(_, listener)| listener.proxy_protocol),
            tls: Arc::new(PortTls::new(listeners)),
            listeners: listeners
                .iter()
                .filter(|(_, listener)| listener.protocol == protocol)
                .filter_map(|(position, listener)| {
                    Some((certificate::host(listener)?, (*position, certificate::asked(listener))))
                })
                .collect(),
            hosts: by_listener(listeners, Router::compile),
            streams: by_listener(listeners, StreamRouter::compile),
        }
    }

    /// The routes for a connection that asks for this name: those of the listener that serves it.
    #[must_use]
    pub fn stream_router(&self, name: &str) -> Option<&StreamRouter> {
        let (_, (position, _)) = self.listeners.find(name)?;
        self.streams.get(position)?.find(name).map(|(_, router)| router)
    }

    /// The routes for an authority: those of the listener that serves it.
    #[must_use]
    pub fn router(&self, authority: &str) -> Option<&Router> {
        let (_, (position, _)) = self.listeners.find(authority)?;
        self.hosts.get(position)?.find(authority).map(|(_, router)| router)
    }

    /// Whether a client that was let in under `name` may ask for `authority`: the listeners of both must ask for the
    /// same client certificates, or it could get around those of one by the other's name (RFC 9110 §7.4).
    pub(crate) fn admits(&self, name: Option<&str>, authority: &str) -> bool {
        let asked = |host: &str| self.listeners.find(host).map(|(_, (_, asked))| asked);
        self.protocol == ListenerProtocol::Http || asked(name.unwrap_or_default()) == asked(authority)
    }
}

/// The tables of each listener's hosts, compiled.
fn by_listener<T>(
    listeners: &[(usize, &ListenerUnit)],
    compile: impl Fn(&RouteTable) -> T,
) -> HashMap<usize, HostMap<T>> {
    let of = |(position, listener): &(usize, &ListenerUnit)| {
        let tables = listener.hosts.iter().map(|(host, table)| (host.clone(), compile(table)));
        (*position, tables.collect())
    };
    listeners.iter().map(of).collect()
}

impl View {
    /// The view after an update. `now` in seconds, for the idleness of answers.
    #[must_use]
    pub fn after(&self, update: Update, states: &StateTable, now: u64) -> Self {
        let mut next = self.clone();
        next.snapshot = update.snapshot;
        let mut units: HashMap<Host, Arc<HostUnit>> = HashMap::new();
        let mut endpoints: HashMap<Host, Arc<EndpointUnit>> = HashMap::new();
        for key in update.removed {
            next.remove(&key);
        }
        for unit in update.changed {
            match unit {
                Unit::Mesh(mesh) => next.mesh = Some(mesh),
                Unit::Bundle(unit) => {
                    next.bundles.insert(unit.trust_domain.to_string(), unit);
                }
                Unit::Endpoints(unit) => {
                    endpoints.insert(unit.host.clone(), unit);
                }
                Unit::Host(unit) => {
                    units.insert(unit.host.clone(), unit);
                }
                Unit::Workload(unit) => {
                    let authorizer = Authorizer::compile(&unit.policies);
                    next.inbound = Some(Arc::new(InboundTables { unit, authorizer }));
                }
                Unit::Gateway(unit) => next.gateway = Some(Arc::new(GatewayTables::compile(unit))),
                Unit::Answer(..) => {}
            }
        }
        next.join(units, endpoints, states);
        for (question, answer) in update.answers {
            match answer {
                Some(answer) => {
                    let older = next.answers.get(&question).map(AsRef::as_ref);
                    let answered = Arc::new(Answered::new(answer, now, older));
                    next.answers.insert(question, answered)
                }
                None => next.answers.remove(&question),
            };
        }
        next
    }

    fn remove(&mut self, key: &Key) {
        match key {
            Key::Mesh => self.mesh = None,
            Key::Bundle(domain) => {
                self.bundles.remove(domain.as_str());
            }
            // A host without endpoints stays as a host; its own removal comes under its own key.
            Key::Endpoints(_) | Key::Answer(_) => {}
            Key::Host(host) => {
                self.hosts.remove(host.as_str());
            }
            Key::Workload(_) => self.inbound = None,
            Key::Gateway { .. } => self.gateway = None,
        }
    }

    /// Compiles every host of which either half changed.
    fn join(
        &mut self,
        mut units: HashMap<Host, Arc<HostUnit>>,
        mut endpoints: HashMap<Host, Arc<EndpointUnit>>,
        states: &StateTable,
    ) {
        let mut changed: Vec<Host> = units.keys().chain(endpoints.keys()).cloned().collect();
        changed.sort_unstable();
        changed.dedup();
        for host in changed {
            let held = self.hosts.get(&host);
            let Some(unit) = units.remove(&host).or_else(|| held.map(|held| Arc::clone(&held.unit))) else {
                continue;
            };
            let endpoints = endpoints
                .remove(&host)
                .or_else(|| held.map(|held| Arc::clone(&held.endpoints)))
                .unwrap_or_else(|| Arc::new(EndpointUnit { host: host.clone(), endpoints: Vec::new() }));
            self.hosts.insert(host, Arc::new(HostTables::compile(unit, endpoints, states)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interest_outlives_a_changed_answer() {
        let answer = || Answer::Absent { under: "nobody.example".into() };
        let old = Answered::new(answer(), 0, None);
        let interest = old.interest();
        let new = Answered::new(answer(), 5, Some(&old));
        assert!(new.is_in_use() && old.is_in_use());
        drop(interest);
        assert!(!new.is_in_use());
    }
}
