//! What keeps requests from endpoints and destinations: ejections and limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::metric::{Counter, Kind};
use crate::registry::{Collect, Desc, Reading, Registry, Value};

const EJECTIONS: Desc = Desc {
    name: "leno_outlier_ejections_total",
    help: "Endpoints that were left out for a time because they did badly, each time anew.",
    kind: Kind::Counter,
    labels: &[],
    buckets: None,
};

/// Counts of what limits refused.
#[derive(Clone, Debug)]
pub struct Upstreams {
    /// A connection beyond the limit, where none may wait for one.
    pub connections: Counter,
    /// A request that would have waited for a connection, beyond the limit or for too long.
    pub pending: Counter,
    /// A request beyond the limit.
    pub requests: Counter,
}

impl Upstreams {
    /// Registers them. `ejections` counts every ejection.
    #[must_use]
    pub fn new(registry: &Registry, ejections: Arc<AtomicU64>) -> Self {
        registry.register(&[EJECTIONS], Arc::new(Ejections(ejections)));
        let overflows = registry.counters(
            "leno_upstream_overflows_total",
            "What a destination's limits refused: `connections` of opaque bytes, requests `pending` for a connection, `requests` at once.",
            &["limit"],
        );
        Self {
            connections: overflows.with(["connections"]),
            pending: overflows.with(["pending"]),
            requests: overflows.with(["requests"]),
        }
    }
}

struct Ejections(Arc<AtomicU64>);

impl Collect for Ejections {
    fn collect(&self, _desc: &Desc) -> Vec<Reading> {
        vec![Reading::alone(Value::Count(self.0.load(Ordering::Relaxed)))]
    }
}
