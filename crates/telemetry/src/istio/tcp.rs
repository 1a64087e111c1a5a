//! `istio_tcp_connections_opened_total` and what belongs to it.

use std::rc::Rc;
use std::sync::Arc;

use crate::family::OVERFLOW;
use crate::labels;
use crate::metric::{Kind, Own};
use crate::registry::{Collect, Desc, Reading, Registry, Shard, Value};

use super::pairs::{Cells, Class, Pair, Pairs};
use super::{Labels, PAIR, Security};

/// [`PAIR`] and what an outcome adds.
const LABELS: [&str; 23] = {
    let mut labels = [""; 23];
    let (pair, outcome) = labels.split_at_mut(PAIR.len());
    pair.copy_from_slice(&PAIR);
    outcome.copy_from_slice(&["request_protocol", "response_flags", "connection_security_policy"]);
    labels
};

const fn counter(name: &'static str, help: &'static str) -> Desc {
    Desc { name, help, kind: Kind::Counter, labels: &LABELS, buckets: None }
}

// The directions are Istio's: of the downstream connection, "received" is what the client sent.
const SENT: Desc = counter("istio_tcp_sent_bytes_total", "Bytes sent to clients.");
const RECEIVED: Desc = counter("istio_tcp_received_bytes_total", "Bytes received from clients.");
const OPENED: Desc = counter("istio_tcp_connections_opened_total", "Connections opened.");
const CLOSED: Desc = counter("istio_tcp_connections_closed_total", "Connections closed.");

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Of { response_flags: &'static str, security: Security },
    Overflow,
}

impl Class for Outcome {
    const OVERFLOW: Self = Self::Overflow;

    fn render(self) -> String {
        let mut text = String::new();
        let values = match self {
            Self::Of { response_flags, security } => ["tcp", response_flags, security.as_str()],
            Self::Overflow => [OVERFLOW; 3],
        };
        let (_, names) = LABELS.split_at(PAIR.len());
        names.iter().zip(values).for_each(|(name, value)| labels::push(&mut text, name, value));
        text
    }
}

#[derive(Debug, Default)]
struct Connections {
    opened: Own,
    closed: Own,
    sent: Own,
    received: Own,
}

#[derive(Clone, Copy, Default)]
struct Sums {
    opened: u64,
    closed: u64,
    sent: u64,
    received: u64,
}

impl Cells for Connections {
    type Sum = Sums;

    fn add_to(&self, sum: &mut Sums) {
        sum.opened = sum.opened.wrapping_add(self.opened.value());
        sum.closed = sum.closed.wrapping_add(self.closed.value());
        sum.sent = sum.sent.wrapping_add(self.sent.value());
        sum.received = sum.received.wrapping_add(self.received.value());
    }

    fn activity(sum: &Sums) -> u64 {
        [sum.opened, sum.closed, sum.sent, sum.received].into_iter().fold(0, u64::wrapping_add)
    }
}

/// Istio's metrics of opaque connections. Clones are the same metrics.
#[derive(Clone, Debug)]
pub struct TcpMetrics(Arc<Shared>);

#[derive(Debug)]
struct Shared(Pairs<Outcome, Connections>);

impl TcpMetrics {
    /// Registers them. Once per registry.
    pub fn new(registry: &Registry) -> Self {
        let shared = Arc::new(Shared(Pairs::new(registry.overflow(OPENED.name))));
        registry.register(&[SENT, RECEIVED, OPENED, CLOSED], shared.clone());
        Self(shared)
    }

    /// Where connections with these labels count on this thread. Costs about a microsecond: hold on to it.
    pub fn resolve(&self, shard: &Shard, labels: &Labels<'_>) -> TcpHandle {
        let pair = labels.render(|text| self.0.0.pair(text));
        let handle =
            Resolved { metrics: self.0.clone(), pair, security: labels.security, shard: shard.index };
        TcpHandle(Rc::new(handle))
    }
}

/// Where connections of one pair of source and destination count, on one thread.
#[derive(Clone, Debug)]
pub struct TcpHandle(Rc<Resolved>);

#[derive(Debug)]
struct Resolved {
    metrics: Arc<Shared>,
    pair: Arc<Pair<Outcome, Connections>>,
    security: Security,
    shard: u32,
}

impl TcpHandle {
    /// Counts a connection whose both sides are open; it counts as closed when the record is dropped.
    pub fn open(&self) -> TcpRecord {
        self.record("-")
    }

    /// Counts a connection that was accepted and came to nothing, with the failure's flag.
    pub fn failed(&self, response_flags: &'static str) {
        drop(self.record(response_flags));
    }

    fn record(&self, response_flags: &'static str) -> TcpRecord {
        let Resolved { metrics, pair, security, shard } = &*self.0;
        let outcome = Outcome::Of { response_flags, security: *security };
        let cells = metrics.0.cells(pair, outcome, *shard);
        cells.opened.add(1);
        TcpRecord { cells, _handle: self.clone() }
    }
}

/// An open connection. Bytes count at once, the close when it is dropped.
///
/// Istio labels a connection's series when it opens, so a failure later on shows in the access log and not here.
#[derive(Debug)]
pub struct TcpRecord {
    cells: Arc<Connections>,
    /// Keeps the pair in use, and the record on its thread.
    _handle: TcpHandle,
}

impl TcpRecord {
    /// Counts bytes sent to the client.
    pub fn sent(&self, bytes: u64) {
        self.cells.sent.add(bytes);
    }

    /// Counts bytes received from the client.
    pub fn received(&self, bytes: u64) {
        self.cells.received.add(bytes);
    }
}

impl Drop for TcpRecord {
    fn drop(&mut self) {
        self.cells.closed.add(1);
    }
}

impl Collect for Shared {
    fn collect(&self, desc: &Desc) -> Vec<Reading> {
        let count = |sums: &Sums| match desc.name {
            name if name == SENT.name => sums.sent,
            name if name == RECEIVED.name => sums.received,
            name if name == OPENED.name => sums.opened,
            _ => sums.closed,
        };
        self.0.show(|sums| Value::Count(count(sums)))
    }
}
