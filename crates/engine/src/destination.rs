//! The endpoints that a request to one service port and subset may go to, and how each is reached.
//!
//! A [`Cluster`] is compiled from the units that say so and shares them. It is immutable but for the turns taken and
//! the cells of [`crate::state`]. Which endpoint a request gets is decided in [`crate::balance`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use leno_model::destination::{Balancer, ExternalTls, TlsMode, TrafficPolicy};
use leno_model::failure::Failure;
use leno_model::service::{Address, Endpoint, Transport};
use leno_model::spiffe::SpiffeId;
use leno_model::unit::{EndpointUnit, HostUnit};

use crate::breaker;
use crate::explain::EndpointOutcome;
use crate::outlier::{Detector, Ejections};
use crate::retry::Purse;
use crate::retry::budget::{Budget, Limits};
use crate::state::{EndpointState, InFlight, Reading, StateTable};
use slots::Slots;
use table::Table;

pub(crate) mod slots;
pub(crate) mod table;

/// How an endpoint is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connect<'c> {
    /// Plaintext to the workload.
    Plain,
    /// `leno/1` over mutual TLS.
    Native {
        /// What is dialled.
        address: &'c Address,
        /// Whom to expect there.
        identity: &'c SpiffeId,
    },
    /// HTTP/2 CONNECT over mutual TLS.
    Hbone {
        /// What is dialled.
        address: &'c Address,
        /// Whom to expect there.
        identity: &'c SpiffeId,
    },
    /// Istio's classic mutual TLS to the workload's own port.
    IstioMtls {
        /// Whom to expect there.
        identity: &'c SpiffeId,
    },
    /// TLS of the outside world, to the workload's own port.
    External(&'c ExternalTls),
}

impl Connect<'_> {
    /// The transport's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Plain => "plaintext",
            Self::Native { .. } => "leno/1",
            Self::Hbone { .. } => "HBONE",
            Self::IstioMtls { .. } => "Istio's mutual TLS",
            Self::External(_) => "TLS",
        }
    }
}

/// The endpoints for one service port and subset.
#[derive(Debug)]
pub struct Cluster {
    /// In Istio's notation.
    name: Box<str>,
    host: Arc<HostUnit>,
    unit: Arc<EndpointUnit>,
    port: u16,
    subset: Option<Arc<str>>,
    policy: TrafficPolicy,
    budget: Arc<Budget>,
    retry_limits: Limits,
    /// Those that can be reached; the ready ones first.
    candidates: Vec<Candidate>,
    /// How many of them are ready.
    ready: usize,
    /// Why the others are none, by position in the unit.
    excluded: Vec<(usize, EndpointOutcome)>,
    limits: Option<Arc<breaker::Limits>>,
    ejections: Arc<Ejections>,
    detector: Option<Arc<Detector>>,
    /// The ready ones' turns and shares.
    pub(crate) slots: Slots,
    /// Where keys lead among the ready ones.
    pub(crate) table: Option<Table>,
    pub(crate) turn: AtomicU64,
}

/// An endpoint that can be reached.
#[derive(Debug)]
pub(crate) struct Candidate {
    position: usize,
    target: SocketAddr,
    pub(crate) state: Arc<EndpointState>,
}

/// The service port that a destination means: the one it names; else the only one the service has; else the one that
/// was dialled, if the service has it (Istio's rule).
#[must_use]
pub fn service_port(host: &HostUnit, named: Option<u16>, dialled: u16) -> Option<u16> {
    let wanted = named.unwrap_or(match host.ports.as_slice() {
        [only] => only.port,
        _ => dialled,
    });
    host.port(wanted).map(|port| port.port)
}

impl Cluster {
    /// Compiles the endpoints of `unit` for a port and subset of `host`.
    ///
    /// # Errors
    /// [`Failure::NoDestination`] when the service has no such port or subset.
    pub fn compile(
        host: Arc<HostUnit>,
        unit: Arc<EndpointUnit>,
        port: u16,
        subset: Option<&str>,
        states: &StateTable,
    ) -> Result<Self, Failure> {
        host.port(port).ok_or(Failure::NoDestination)?;
        let subset = match subset {
            Some(name) => Some(host.destination.subset(name).ok_or(Failure::NoDestination)?),
            None => None,
        };
        let policy = host.destination.effective(port, subset);
        let (mut candidates, mut waiting, mut excluded) = (Vec::new(), Vec::new(), Vec::new());
        for (position, endpoint) in unit.endpoints.iter().enumerate() {
            if subset.is_some_and(|subset| !endpoint.labels.contains(&subset.labels)) {
                excluded.push((position, EndpointOutcome::NotInSubset));
                continue;
            }
            let Some(target) = endpoint.target_port(port) else {
                excluded.push((position, EndpointOutcome::NoPort));
                continue;
            };
            if let Err(failure) = connect(policy.tls.as_ref(), endpoint) {
                excluded.push((position, EndpointOutcome::Unreachable(failure)));
                continue;
            }
            let candidate = Candidate {
                position,
                target: SocketAddr::new(endpoint.ip, target),
                state: states.endpoint(&host.host, port, &endpoint.uid),
            };
            if endpoint.ready {
                candidates.push(candidate);
            } else {
                candidate.state.cool();
                waiting.push(candidate);
            }
        }
        let ready = || candidates.iter().filter_map(|candidate| unit.endpoints.get(candidate.position));
        let slots = Slots::new(ready().map(|endpoint| endpoint.weight));
        let table = match &policy.balancer {
            Some(Balancer::Hash(hash)) => {
                Some(Table::new(hash.table, ready().map(|endpoint| (&*endpoint.uid, endpoint.weight))))
            }
            _ => None,
        };
        let ready = candidates.len();
        let ejections = states.ejections(&host.host, port);
        let detector = policy.outlier.clone().map(|settings| {
            let endpoints = candidates.iter().map(|candidate| Arc::clone(&candidate.state)).collect();
            Arc::new(Detector::new(settings, states.epoch(), endpoints, Arc::clone(&ejections)))
        });
        candidates.append(&mut waiting);
        let turn = AtomicU64::new(states.spread(u64::from(port)));
        let subset = subset.map(|subset| Arc::clone(&subset.name));
        let limits = policy.pool.map(|pool| {
            let breaker = states.breaker(&host.host, port, subset.as_ref());
            Arc::new(breaker::Limits { pool, breaker })
        });
        let (budget, retry_limits) = (states.budget(&host.host, port), Limits::of(&policy));
        let name = format!("outbound|{port}|{}|{}", subset.as_deref().unwrap_or_default(), host.host).into();
        Ok(Self {
            name,
            host,
            unit,
            port,
            subset,
            policy,
            budget,
            retry_limits,
            candidates,
            ready,
            excluded,
            limits,
            ejections,
            detector,
            slots,
            table,
            turn,
        })
    }

    /// The name in Istio's notation, as logs have it: `outbound|PORT|SUBSET|HOST`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The service.
    #[must_use]
    pub fn host(&self) -> &Arc<HostUnit> {
        &self.host
    }

    /// The service port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The subset's name.
    #[must_use]
    pub fn subset(&self) -> Option<&str> {
        self.subset.as_deref()
    }

    /// The settings in effect.
    #[must_use]
    pub const fn policy(&self) -> &TrafficPolicy {
        &self.policy
    }

    /// What pays for tries after the first.
    #[must_use]
    pub const fn purse(&self) -> Purse<'_> {
        Purse { budget: &self.budget, limits: self.retry_limits }
    }

    /// Every endpoint that can be reached, ready or not, with its state.
    pub fn endpoints(&self) -> impl Iterator<Item = (&Endpoint, &Arc<EndpointState>)> {
        self.candidates.iter().filter_map(|candidate| Some((self.endpoint(candidate)?, &candidate.state)))
    }

    /// What the next pick depends on besides its draw.
    #[must_use]
    pub fn export(&self, now: Instant) -> ClusterState {
        let endpoints =
            self.endpoints().map(|(endpoint, state)| (Arc::clone(&endpoint.uid), state.read(now)));
        ClusterState { turn: self.turn.load(Ordering::Relaxed), endpoints: endpoints.collect() }
    }

    /// Takes over what a proxy exported, so that `explain` picks as that proxy would have. Endpoints that the cluster
    /// doesn't have are left out.
    pub fn restore(&self, exported: &ClusterState, now: Instant) {
        self.turn.store(exported.turn, Ordering::Relaxed);
        for (endpoint, state) in self.endpoints() {
            if let Some((_, reading)) = exported.endpoints.iter().find(|(uid, _)| *uid == endpoint.uid) {
                state.restore(reading, now, &self.ejections);
            }
        }
    }

    /// How much may be under way, where that is limited.
    #[must_use]
    pub const fn limits(&self) -> Option<&Arc<breaker::Limits>> {
        self.limits.as_ref()
    }

    /// How often an endpoint of the service port was ejected.
    #[must_use]
    pub fn ejections(&self) -> u64 {
        self.ejections.count()
    }

    /// Outlier detection, where there is any.
    pub(crate) const fn detector(&self) -> Option<&Arc<Detector>> {
        self.detector.as_ref()
    }

    /// The candidates that are ready.
    pub(crate) fn ready(&self) -> &[Candidate] {
        self.candidates.get(..self.ready).unwrap_or_default()
    }

    /// All candidates.
    pub(crate) fn reachable(&self) -> &[Candidate] {
        &self.candidates
    }

    /// A candidate's endpoint.
    pub(crate) fn endpoint(&self, candidate: &Candidate) -> Option<&Endpoint> {
        self.unit.endpoints.get(candidate.position)
    }

    /// A candidate as a result.
    pub(crate) fn pick_of<'c>(&'c self, candidate: &'c Candidate) -> Result<Pick<'c>, Failure> {
        let endpoint = self.endpoint(candidate).ok_or(Failure::Internal)?;
        let connect = connect(self.policy.tls.as_ref(), endpoint)?;
        let place = Place { unit: &self.unit, position: candidate.position };
        let (state, detector) = (&candidate.state, self.detector.as_ref());
        Ok(Pick { endpoint, place, target: candidate.target, connect, state, detector })
    }

    /// The endpoints that are no candidates, and why; those that are merely not ready among them.
    pub(crate) fn excluded(&self) -> impl Iterator<Item = (&Endpoint, EndpointOutcome)> {
        let excluded = self.excluded.iter().filter_map(|(position, outcome)| {
            self.unit.endpoints.get(*position).map(|endpoint| (endpoint, outcome.clone()))
        });
        let waiting = self.candidates.get(self.ready..).unwrap_or_default();
        let waiting = waiting.iter().filter_map(|candidate| self.endpoint(candidate));
        excluded.chain(waiting.map(|endpoint| (endpoint, EndpointOutcome::NotReady)))
    }

    /// What a request fails with when nothing is ready: that no endpoint can be reached in the way demanded, or that
    /// there is none.
    pub(crate) fn failure(&self) -> Failure {
        let unreachable = self.excluded.iter().find_map(|(_, outcome)| match outcome {
            EndpointOutcome::Unreachable(failure) => Some(*failure),
            _ => None,
        });
        match unreachable {
            Some(failure) if self.candidates.is_empty() => failure,
            _ => Failure::NoEndpoint,
        }
    }
}

/// A cluster's state at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterState {
    /// Turns taken.
    pub turn: u64,
    /// Endpoints by uid.
    pub endpoints: Vec<(Arc<str>, Reading)>,
}

/// Where an endpoint stands.
#[derive(Clone, Copy, Debug)]
pub struct Place<'c> {
    /// The unit that it is of.
    pub unit: &'c Arc<EndpointUnit>,
    /// Its position there.
    pub position: usize,
}

/// An endpoint that was picked.
#[derive(Clone, Copy, Debug)]
pub struct Pick<'c> {
    /// The endpoint.
    pub endpoint: &'c Endpoint,
    /// Where it stands, to hold on to it beyond the view without a copy.
    pub place: Place<'c>,
    /// The workload's own address and port: what is dialled, or what the peer's proxy is asked for.
    pub target: SocketAddr,
    /// How to get there.
    pub connect: Connect<'c>,
    /// Its state; count the request in with [`Pick::start`].
    pub state: &'c Arc<EndpointState>,
    detector: Option<&'c Arc<Detector>>,
}

impl Pick<'_> {
    /// Counts a request in, until the result is finished or dropped.
    pub fn start(&self) -> InFlight {
        self.state.start_watched(self.detector.cloned())
    }
}

/// How an endpoint is reached under a TLS mode.
///
/// # Errors
/// [`Failure::TlsFailed`] when the way needs an identity to expect and the endpoint has none.
fn connect<'c>(mode: Option<&'c TlsMode>, endpoint: &'c Endpoint) -> Result<Connect<'c>, Failure> {
    match (mode.unwrap_or(&TlsMode::Auto), &endpoint.transport) {
        (TlsMode::External(tls), _) => Ok(Connect::External(tls)),
        (TlsMode::Disable, _) | (TlsMode::Auto, Transport::Plain) => Ok(Connect::Plain),
        (TlsMode::Mesh, Transport::Plain) => Err(Failure::TlsFailed),
        (TlsMode::Auto | TlsMode::Mesh, transport) => {
            let identity = endpoint.identity.as_ref().ok_or(Failure::TlsFailed)?;
            Ok(match transport {
                Transport::Plain => Connect::Plain,
                Transport::Native(address) => Connect::Native { address, identity },
                Transport::Hbone(address) => Connect::Hbone { address, identity },
                Transport::IstioMtls => Connect::IstioMtls { identity },
            })
        }
    }
}

#[cfg(test)]
mod tests;
