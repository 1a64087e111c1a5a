//! How traffic to a service is balanced, secured and divided into subsets.

use std::sync::Arc;
use std::time::Duration;

use crate::hash::ConsistentHash;
use crate::labels::Labels;
use crate::outlier::OutlierDetection;
use crate::pool::ConnectionPool;
use crate::retry::RetryBudget;
use crate::span::Origin;

/// How an endpoint is chosen among those that may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Balancer {
    /// The better of two drawn at random, by moving average of latency times requests under way (P2C peak-EWMA).
    #[default]
    PeakEwma,
    /// Each in turn, by weight.
    RoundRobin,
    /// Drawn at random, by weight.
    Random,
    /// The one that the request's key leads to.
    Hash(Arc<ConsistentHash>),
}

/// How the share of an endpoint that has just come grows.
///
/// After a time `t` it is the larger of the minimum and `(t / duration) ^ (1 / aggression)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Warmup {
    /// Until the endpoint has its full share.
    pub duration: Duration,
    /// The share it begins with, in millionths of the full one.
    pub minimum: u32,
    /// In thousandths: 1000 grows evenly, more grows faster at first.
    pub aggression: u32,
}

/// What a client's proxy does about TLS towards a destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum TlsMode {
    /// Decided per endpoint: mutual TLS to one inside the mesh, plaintext to one outside.
    #[default]
    Auto,
    /// Plaintext, even to one inside the mesh (its policy decides whether that is served).
    Disable,
    /// Mutual TLS with mesh identities; an endpoint without one fails.
    Mesh,
    /// TLS of the outside world.
    External(ExternalTls),
}

/// The version of the PROXY protocol by which a connection begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ProxyProtocol {
    /// A line of text.
    #[default]
    V1,
    /// Binary.
    V2,
}

/// TLS towards something outside the mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ExternalTls {
    /// Certificate and key file for client authentication.
    pub client: Option<(Arc<str>, Arc<str>)>,
    /// File of roots to trust; the system's where absent.
    pub roots: Option<Arc<str>>,
    /// Names of which the server's certificate must have one; the SNI or host where empty.
    pub subject_alt_names: Vec<Arc<str>>,
    /// The name asked for; the request's host where absent.
    pub sni: Option<Arc<str>>,
    /// No verification at all. Dangerous; only ever what the user wrote.
    pub insecure_skip_verify: bool,
}

/// Settings for connections to a destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TrafficPolicy {
    /// How an endpoint is chosen.
    pub balancer: Option<Balancer>,
    /// What is done about TLS.
    pub tls: Option<TlsMode>,
    /// Time to make a connection.
    pub connect_timeout: Option<Duration>,
    /// How many tries after the first the destination bears.
    pub retry_budget: Option<RetryBudget>,
    /// Tries after the first that may be under way at once.
    pub max_retries: Option<u32>,
    /// How endpoints that have just come are favoured less.
    pub warmup: Option<Warmup>,
    /// Limits and lifetimes of connections. Where they are given, they come with time to connect and limit of tries.
    pub pool: Option<ConnectionPool>,
    /// When endpoints are left out for a while.
    pub outlier: Option<OutlierDetection>,
    /// Connections begin by telling who the client is.
    pub proxy_protocol: Option<ProxyProtocol>,
}

impl TrafficPolicy {
    /// These settings over `base`: what is given here wins.
    #[must_use]
    pub fn over(&self, base: &Self) -> Self {
        // Istio replaces whole parts: balancer and warm-up are one, the pool with its times and limits another.
        let balancing = if self.balancer.is_some() || self.warmup.is_some() { self } else { base };
        let pool = if self.pool.is_some() { &Self::default() } else { base };
        Self {
            balancer: balancing.balancer.clone(),
            tls: self.tls.clone().or_else(|| base.tls.clone()),
            connect_timeout: self.connect_timeout.or(pool.connect_timeout),
            retry_budget: self.retry_budget.or(base.retry_budget),
            max_retries: self.max_retries.or(pool.max_retries),
            warmup: balancing.warmup,
            pool: self.pool.or(base.pool),
            outlier: self.outlier.clone().or_else(|| base.outlier.clone()),
            proxy_protocol: self.proxy_protocol.or(base.proxy_protocol),
        }
    }
}

/// All settings for one service host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destination {
    /// For every port that has no settings of its own.
    pub policy: TrafficPolicy,
    /// By service port; these *replace* [`Destination::policy`] for the port (Istio's `portLevelSettings`).
    pub ports: Vec<(u16, TrafficPolicy)>,
    /// The subsets.
    pub subsets: Vec<Subset>,
    /// The object it comes from; `None` where nothing is configured.
    pub origin: Option<Origin>,
}

/// The endpoints of a service that carry certain labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subset {
    /// The name that routes use.
    pub name: Arc<str>,
    /// Labels an endpoint must carry.
    pub labels: Labels,
    /// Settings over those of the destination.
    pub policy: TrafficPolicy,
    /// Settings by port, over those of the destination for that port.
    pub ports: Vec<(u16, TrafficPolicy)>,
    /// The text it comes from.
    pub origin: Origin,
}

impl Destination {
    /// The settings in effect for a port and subset; without a port's own settings, the general ones.
    #[must_use]
    pub fn effective(&self, port: u16, subset: Option<&Subset>) -> TrafficPolicy {
        let for_port = |ports: &[(u16, TrafficPolicy)]| {
            ports.iter().find(|(number, _)| *number == port).map(|(_, policy)| policy.clone())
        };
        let base = for_port(&self.ports).unwrap_or_else(|| self.policy.clone());
        match subset {
            Some(subset) => for_port(&subset.ports).unwrap_or_else(|| subset.policy.clone()).over(&base),
            None => base,
        }
    }

    /// The subset of that name.
    #[must_use]
    pub fn subset(&self, name: &str) -> Option<&Subset> {
        self.subsets.iter().find(|subset| &*subset.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_replaced_as_wholes() {
        let base = TrafficPolicy {
            balancer: Some(Balancer::RoundRobin),
            warmup: Some(Warmup { duration: Duration::from_secs(9), minimum: 1, aggression: 1000 }),
            connect_timeout: Some(Duration::from_secs(1)),
            max_retries: Some(3),
            pool: Some(ConnectionPool { connections: Some(1), ..ConnectionPool::default() }),
            outlier: Some(OutlierDetection { server_errors: 7, ..OutlierDetection::default() }),
            ..TrafficPolicy::default()
        };
        assert_eq!(TrafficPolicy::default().over(&base), base);
        let given = TrafficPolicy {
            balancer: Some(Balancer::Random),
            max_retries: Some(4),
            pool: Some(ConnectionPool { pending: Some(2), ..ConnectionPool::default() }),
            ..TrafficPolicy::default()
        };
        assert_eq!(given.over(&base), TrafficPolicy { outlier: base.outlier.clone(), ..given.clone() });
    }
}
