//! HBONE: HTTP/2 connections between proxies, and the tunnels on them.

use crate::family::Family;
use crate::metric::Counter;
use crate::registry::Registry;

/// Counts of both directions.
#[derive(Clone, Debug)]
pub struct Tunnels {
    /// Opened by peers.
    pub inbound: Direction,
    /// Opened by this proxy.
    pub outbound: Direction,
}

/// Counts of one direction.
#[derive(Clone, Debug)]
pub struct Direction {
    name: &'static str,
    /// HTTP/2 connections.
    pub connections: Counter,
    /// Tunnels that were granted.
    pub granted: Counter,
    failures: Family<Counter, 2>,
}

impl Tunnels {
    /// Registers them.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let connections = registry.counters(
            "leno_tunnel_connections_total",
            "HTTP/2 connections for HBONE: `inbound` from peers, `outbound` to them.",
            &["direction"],
        );
        let granted =
            registry.counters("leno_tunnels_total", "HBONE tunnels that were granted.", &["direction"]);
        let failures = registry.counters(
            "leno_tunnel_failures_total",
            "HBONE tunnels that were refused, or that couldn't be opened, by the failure's details as the access log has them.",
            &["direction", "reason"],
        );
        let direction = |name| Direction {
            name,
            connections: connections.with([name]),
            granted: granted.with([name]),
            failures: failures.clone(),
        };
        Self { inbound: direction("inbound"), outbound: direction("outbound") }
    }
}

impl Direction {
    /// Counts one that didn't come to be. `reason` is the failure's details.
    pub fn failed(&self, reason: &'static str) {
        self.failures.with([self.name, reason]).inc();
    }
}
