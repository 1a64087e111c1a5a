//! How near a proxy is to its limits: connections and buffered bytes, each with what it may have at most.

use std::sync::Arc;

use crate::metric::{Counter, Gauge, Held, Kind};
use crate::registry::{Collect, Desc, Reading, Registry, Value};

const BUFFERED: Desc = desc(
    "leno_buffered_bytes",
    "Bytes that are buffered beyond what each connection may hold anyway: large heads, queues and windows of slow readers.",
);
const BUFFERED_MAX: Desc = desc("leno_buffered_bytes_max", "The budget of buffered bytes.");

const fn desc(name: &'static str, help: &'static str) -> Desc {
    Desc { name, help, kind: Kind::Gauge, labels: &[], buckets: None }
}

/// The metrics of a process's limits.
#[derive(Clone, Debug)]
pub struct Load {
    open: Gauge,
    cut_silent: Counter,
    cut_idle: Counter,
    waited: Counter,
    upstream: Gauge,
}

impl Load {
    /// Registers them. `connections` is the most that are accepted at once; `buffered` tells the bytes buffered now.
    pub fn new(
        registry: &Registry,
        connections: usize,
        budget: usize,
        buffered: impl Fn() -> usize + Send + Sync + 'static,
    ) -> Self {
        registry.register(&[BUFFERED, BUFFERED_MAX], Arc::new(Buffered { budget, buffered }));
        let most = registry.gauge("leno_connections_max", "Connections that may be open at once.");
        most.set(i64::try_from(connections).unwrap_or(i64::MAX));
        let cut = registry.counters(
            "leno_connections_cut_total",
            "Connections closed to make room for others: `silent` ones had not begun anything, `idle` ones had nothing under way.",
            &["state"],
        );
        Self {
            open: registry.gauge("leno_connections", "Connections that were accepted and are open."),
            cut_silent: cut.with(["silent"]),
            cut_idle: cut.with(["idle"]),
            waited: registry.counter(
                "leno_connections_waited_total",
                "Connections that waited because as many as may be were open, and none could be closed.",
            ),
            upstream: registry.gauge(
                "leno_upstream_connections",
                "Connections for requests to endpoints, in use or kept for the next one.",
            ),
        }
    }

    /// Counts an open connection until the result is dropped.
    pub fn open(&self) -> Held {
        self.open.hold()
    }

    /// Those to endpoints, to be held while each is open.
    #[must_use]
    pub fn upstream(&self) -> Gauge {
        self.upstream.clone()
    }

    /// A connection that had not begun anything was closed.
    pub fn cut_silent(&self) {
        self.cut_silent.inc();
    }

    /// A connection with nothing under way was closed.
    pub fn cut_idle(&self) {
        self.cut_idle.inc();
    }

    /// A connection waits.
    pub fn waited(&self) {
        self.waited.inc();
    }
}

struct Buffered<F> {
    budget: usize,
    buffered: F,
}

impl<F: Fn() -> usize + Send + Sync + 'static> Collect for Buffered<F> {
    fn collect(&self, desc: &Desc) -> Vec<Reading> {
        let value = if desc.name == BUFFERED.name { (self.buffered)() } else { self.budget };
        vec![Reading::alone(Value::Number(value as f64))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::Format;

    #[test]
    fn what_is_open_and_what_is_buffered() {
        let registry = Registry::new();
        let load = Load::new(&registry, 7, 100, || 42);
        let open = load.open();
        load.cut_idle();
        let text = registry.encode_to_string(Format::Text);
        for line in [
            "leno_buffered_bytes 42",
            "leno_buffered_bytes_max 100",
            "leno_connections 1",
            "leno_connections_max 7",
            "leno_connections_cut_total{state=\"idle\"} 1",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in {text}");
        }
        drop(open);
        assert!(registry.encode_to_string(Format::Text).contains("leno_connections 0"));
    }
}
