//! `istio_requests_total` and what belongs to it.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use leno_runtime::Instant;
use leno_runtime::clock::recent;

use crate::family::OVERFLOW;
use crate::labels;
use crate::metric::{Buckets, Kind, Observations, Own, OwnHistogram};
use crate::registry::{Collect, Desc, Reading, Registry, Shard, Value};

use super::pairs::{Cells, Class, Pair, Pairs};
use super::{Labels, PAIR, Security};

/// [`PAIR`] and what an outcome adds.
const LABELS: [&str; 25] = {
    let mut labels = [""; 25];
    let (pair, outcome) = labels.split_at_mut(PAIR.len());
    pair.copy_from_slice(&PAIR);
    outcome.copy_from_slice(&[
        "request_protocol",
        "response_code",
        "grpc_response_status",
        "response_flags",
        "connection_security_policy",
    ]);
    labels
};

const REQUESTS: Desc = Desc {
    name: "istio_requests_total",
    help: "Requests.",
    kind: Kind::Counter,
    labels: &LABELS,
    buckets: None,
};
const DURATION: Desc = Desc {
    name: "istio_request_duration_milliseconds",
    help: "How long requests took, from their first byte to the end of their response.",
    kind: Kind::Histogram,
    labels: &LABELS,
    buckets: Some(Buckets::MILLISECONDS),
};
const REQUEST_BYTES: Desc = Desc {
    name: "istio_request_bytes",
    help: "Bytes of requests.",
    kind: Kind::Histogram,
    labels: &LABELS,
    buckets: Some(Buckets::BYTES),
};
const RESPONSE_BYTES: Desc = Desc {
    name: "istio_response_bytes",
    help: "Bytes of responses.",
    kind: Kind::Histogram,
    labels: &LABELS,
    buckets: Some(Buckets::BYTES),
};
const REQUEST_MESSAGES: Desc = Desc {
    name: "istio_request_messages_total",
    help: "gRPC messages sent by clients.",
    kind: Kind::Counter,
    labels: &PAIR,
    buckets: None,
};
const RESPONSE_MESSAGES: Desc = Desc {
    name: "istio_response_messages_total",
    help: "gRPC messages sent by servers.",
    kind: Kind::Counter,
    labels: &PAIR,
    buckets: None,
};

/// What a request speaks, as far as its metrics care.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestProtocol {
    /// HTTP of any version.
    #[default]
    Http,
    /// gRPC, whose status is told apart too.
    Grpc,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Of {
        protocol: RequestProtocol,
        response_code: u16,
        grpc_status: Option<u8>,
        response_flags: &'static str,
        security: Security,
    },
    Overflow,
}

impl Class for Outcome {
    const OVERFLOW: Self = Self::Overflow;

    fn render(self) -> String {
        let mut text = String::new();
        let (_, names) = LABELS.split_at(PAIR.len());
        match self {
            Self::Of { protocol, response_code, grpc_status, response_flags, security } => {
                let protocol = match protocol {
                    RequestProtocol::Http => "http",
                    RequestProtocol::Grpc => "grpc",
                };
                let code = response_code.to_string();
                // Empty rather than unknown, as in Istio.
                let grpc_status = grpc_status.map_or_else(String::new, |status| status.to_string());
                let values = [protocol, &code, &grpc_status, response_flags, security.as_str()];
                names.iter().zip(values).for_each(|(name, value)| labels::push(&mut text, name, value));
            }
            Self::Overflow => names.iter().for_each(|name| labels::push(&mut text, name, OVERFLOW)),
        }
        text
    }
}

#[derive(Debug, Default)]
struct Requests {
    duration: OwnHistogram,
    request_bytes: OwnHistogram,
    response_bytes: OwnHistogram,
}

#[derive(Default)]
struct RequestSums {
    duration: Observations,
    request_bytes: Observations,
    response_bytes: Observations,
}

impl Cells for Requests {
    type Sum = RequestSums;

    fn add_to(&self, sum: &mut RequestSums) {
        self.duration.add_to(&mut sum.duration);
        self.request_bytes.add_to(&mut sum.request_bytes);
        self.response_bytes.add_to(&mut sum.response_bytes);
    }

    fn activity(sum: &RequestSums) -> u64 {
        sum.count()
    }
}

impl RequestSums {
    /// Every request has a duration, so the counter needs no cell of its own.
    fn count(&self) -> u64 {
        self.duration.counts.iter().sum()
    }
}

/// Messages aren't told apart by outcome: they count before there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Any;

impl Class for Any {
    const OVERFLOW: Self = Self;

    fn render(self) -> String {
        String::new()
    }
}

type MessagePair = Pair<Any, Messages>;

#[derive(Debug, Default)]
struct Messages {
    request: Own,
    response: Own,
}

impl Cells for Messages {
    type Sum = (u64, u64);

    fn add_to(&self, sum: &mut (u64, u64)) {
        sum.0 = sum.0.wrapping_add(self.request.value());
        sum.1 = sum.1.wrapping_add(self.response.value());
    }

    fn activity(sum: &(u64, u64)) -> u64 {
        sum.0.wrapping_add(sum.1)
    }
}

/// Istio's metrics of requests. Clones are the same metrics.
#[derive(Clone, Debug)]
pub struct HttpMetrics(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    requests: Pairs<Outcome, Requests>,
    messages: Pairs<Any, Messages>,
}

impl HttpMetrics {
    /// Registers them. Once per registry.
    pub fn new(registry: &Registry) -> Self {
        let shared = Arc::new(Shared {
            requests: Pairs::new(registry.overflow(REQUESTS.name)),
            messages: Pairs::new(registry.overflow(REQUEST_MESSAGES.name)),
        });
        let descs = [REQUESTS, DURATION, REQUEST_BYTES, RESPONSE_BYTES, REQUEST_MESSAGES, RESPONSE_MESSAGES];
        registry.register(&descs, shared.clone());
        Self(shared)
    }

    /// Where requests with these labels count on this thread. Costs about a microsecond: hold on to it.
    pub fn resolve(&self, shard: &Shard, labels: &Labels<'_>) -> HttpHandle {
        let pair = labels.render(|text| self.0.requests.pair(text));
        HttpHandle(Rc::new(Resolved {
            metrics: self.0.clone(),
            pair,
            security: labels.security,
            shard: shard.index,
            outcomes: RefCell::default(),
            messages: OnceCell::new(),
        }))
    }
}

/// Where requests of one pair of source and destination count, on one thread.
#[derive(Clone, Debug)]
pub struct HttpHandle(Rc<Resolved>);

#[derive(Debug)]
struct Resolved {
    metrics: Arc<Shared>,
    pair: Arc<Pair<Outcome, Requests>>,
    security: Security,
    shard: u32,
    /// The outcomes there were; a handful.
    outcomes: RefCell<Vec<(Outcome, Arc<Requests>)>>,
    /// Made when there is a message; the pair is kept so that it stays in use.
    messages: OnceCell<(Arc<MessagePair>, Arc<Messages>)>,
}

impl HttpHandle {
    /// Starts a request that began at `started`.
    pub fn start(&self, started: Instant) -> HttpRecord {
        HttpRecord {
            handle: self.clone(),
            started,
            took: None,
            protocol: RequestProtocol::Http,
            response_code: 0,
            response_flags: "-",
            grpc_status: None,
            request_bytes: 0,
            response_bytes: 0,
        }
    }

    fn with_outcome(&self, outcome: Outcome, f: impl FnOnce(&Requests)) {
        let Resolved { metrics, pair, shard, outcomes, .. } = &*self.0;
        let mut outcomes = outcomes.borrow_mut();
        if let Some((_, cells)) = outcomes.iter().find(|(known, _)| *known == outcome) {
            return f(cells);
        }
        let cells = metrics.requests.cells(pair, outcome, *shard);
        f(&cells);
        // The codes that an upstream invents would make this list long; they are found the slow way.
        if outcomes.len() < 16 {
            outcomes.push((outcome, cells));
        }
    }

    fn messages(&self) -> &Messages {
        let Resolved { metrics, pair, shard, messages, .. } = &*self.0;
        let (_pair, cells) = messages.get_or_init(|| {
            let pair = metrics.messages.pair(&pair.labels);
            let cells = metrics.messages.cells(&pair, Any, *shard);
            (pair, cells)
        });
        cells
    }
}

/// A request under way. Counts when dropped; what wasn't set by then stays as it is: no response code is 0, as in
/// Istio.
#[derive(Debug)]
pub struct HttpRecord {
    handle: HttpHandle,
    started: Instant,
    /// How long it took, where that is known already; else until the record is dropped.
    pub took: Option<Duration>,
    /// What it speaks.
    pub protocol: RequestProtocol,
    /// The status of the response.
    pub response_code: u16,
    /// What went wrong, from the failure table; `-` for nothing.
    pub response_flags: &'static str,
    /// The gRPC status, where there was one.
    pub grpc_status: Option<u8>,
    /// Bytes of the request as received, head included.
    pub request_bytes: u64,
    /// Bytes of the response as sent, head included.
    pub response_bytes: u64,
}

impl HttpRecord {
    /// Counts the request with other labels from now on: the destination is known only after routing.
    pub fn move_to(&mut self, handle: HttpHandle) {
        self.handle = handle;
    }

    /// Counts gRPC messages of the client, at once.
    pub fn request_messages(&self, n: u64) {
        self.handle.messages().request.add(n);
    }

    /// Counts gRPC messages of the server, at once.
    pub fn response_messages(&self, n: u64) {
        self.handle.messages().response.add(n);
    }
}

impl Drop for HttpRecord {
    fn drop(&mut self) {
        let outcome = Outcome::Of {
            protocol: self.protocol,
            response_code: self.response_code,
            grpc_status: self.grpc_status,
            response_flags: self.response_flags,
            security: self.handle.0.security,
        };
        let took = self.took.unwrap_or_else(|| recent().saturating_duration_since(self.started));
        self.handle.with_outcome(outcome, |cells| {
            cells.duration.observe(&Buckets::MILLISECONDS, micros(took));
            cells.request_bytes.observe(&Buckets::BYTES, self.request_bytes);
            cells.response_bytes.observe(&Buckets::BYTES, self.response_bytes);
        });
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Shared {
    fn histogram(&self, of: fn(&RequestSums) -> &Observations) -> Vec<Reading> {
        self.requests.show(|sums| {
            let Observations { counts, sum } = of(sums);
            Value::Histogram { counts: Box::new(*counts), sum: *sum }
        })
    }
}

impl Collect for Shared {
    fn collect(&self, desc: &Desc) -> Vec<Reading> {
        match desc.name {
            name if name == REQUEST_MESSAGES.name => {
                self.messages.show(|(requests, _)| Value::Count(*requests))
            }
            name if name == RESPONSE_MESSAGES.name => {
                self.messages.show(|(_, responses)| Value::Count(*responses))
            }
            name if name == DURATION.name => self.histogram(|sums| &sums.duration),
            name if name == REQUEST_BYTES.name => self.histogram(|sums| &sums.request_bytes),
            name if name == RESPONSE_BYTES.name => self.histogram(|sums| &sums.response_bytes),
            _ => self.requests.show(|sums| Value::Count(sums.count())),
        }
    }
}
