//! Spans on their way to a collector, without letting traffic wait.
//!
//! A span is encoded on the thread that made it and appended to a batch; one task sends batch after batch, and repeats
//! what the collector couldn't take. Invariants: at most [`TRACE_BACKLOG`] bytes are held, what is under way included;
//! what doesn't fit or can't be delivered is dropped and counted; a batch is of one resource and delivered whole or not
//! at all. How bytes get to the collector is a [`Transport`]'s affair.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use leno_runtime::time::{sleep, sleep_until, timeout};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::limits::{
    TRACE_BACKLOG, TRACE_BATCH, TRACE_EXPORT, TRACE_FLUSH, TRACE_PATIENCE, TRACE_PAUSE, TRACE_PAUSE_LONGEST,
    TRACE_SCRATCH,
};
use crate::otlp::{self, Writer};
use crate::span::{self, Span};
use crate::{Counter, Gauge, Registry};

#[cfg(test)]
mod tests;

/// Whose spans these are.
#[derive(Debug, PartialEq, Eq)]
pub struct Resource {
    message: Vec<u8>,
    attributes: Vec<u8>,
}

impl Resource {
    /// A resource with these attributes, and the attributes that each of its spans has.
    pub fn new<'a>(
        resource: impl IntoIterator<Item = (&'a str, &'a str)>,
        span: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let (mut message, mut attributes) = (Vec::new(), Vec::new());
        for (key, value) in resource {
            Writer(&mut message).text(1, key, value);
        }
        for (key, value) in span {
            Writer(&mut attributes).text(span::ATTRIBUTES, key, value);
        }
        Self { message, attributes }
    }

    /// What [`Span::common`] is to be.
    pub fn attributes(&self) -> &[u8] {
        &self.attributes
    }
}

/// How exports get to the collector.
pub trait Transport {
    /// Sends an `ExportTraceServiceRequest` and waits for what comes of it. Dropping this ends the attempt.
    fn export(&self, request: &[u8]) -> impl Future<Output = Outcome>;

    /// Tells whoever looks after the process that spans were not delivered.
    fn undelivered(&self, spans: u64, reason: &str);
}

/// What came of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The collector took it, but for this many spans.
    Taken {
        /// Spans that it refuses.
        rejected: u64,
    },
    /// It may take it another time.
    Later {
        /// Not before.
        after: Option<Duration>,
        /// What it said.
        reason: String,
    },
    /// It won't take it.
    Refused(String),
}

/// Takes spans. Clones give to the same collector.
#[derive(Clone, Debug)]
pub struct Exporter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    wake: Notify,
    closed: watch::Sender<bool>,
    /// Becomes true when everything was sent or given up after closing.
    done: watch::Sender<bool>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Waiting {
    batches: VecDeque<Batch>,
    /// Of all batches, and of the one under way.
    bytes: usize,
    closed: bool,
}

#[derive(Debug)]
struct Batch {
    resource: Arc<Resource>,
    spans: Vec<u8>,
    count: u64,
}

#[derive(Debug)]
struct Metrics {
    exported: Counter,
    dropped: Counter,
    refused: Counter,
    lost: Counter,
    exports: Counter,
    repeated: Counter,
    failed: Counter,
    backlog: Gauge,
}

impl Metrics {
    fn new(registry: &Registry) -> Self {
        let spans = registry.counters(
            "leno_trace_spans_total",
            "Spans of sampled requests: `exported`; `dropped` because too many wait for the collector; `refused` by the \
             collector; `lost` since it took none for too long, or the process ended.",
            &["outcome"],
        );
        let exports = registry.counters(
            "leno_trace_exports_total",
            "Exports to the collector: `taken`, to be `repeated` later, `failed` for good.",
            &["outcome"],
        );
        Self {
            exported: spans.with(["exported"]),
            dropped: spans.with(["dropped"]),
            refused: spans.with(["refused"]),
            lost: spans.with(["lost"]),
            exports: exports.with(["taken"]),
            repeated: exports.with(["repeated"]),
            failed: exports.with(["failed"]),
            backlog: registry
                .gauge("leno_trace_backlog_bytes", "Bytes of spans that wait for the collector."),
        }
    }
}

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Exporter {
    /// Takes spans from now on. They wait until somebody runs [`Self::run`].
    pub fn new(registry: &Registry) -> Self {
        Self(Arc::new(Shared {
            waiting: Mutex::default(),
            wake: Notify::new(),
            closed: watch::Sender::new(false),
            done: watch::Sender::new(false),
            metrics: Metrics::new(registry),
        }))
    }

    /// Takes a span, or drops and counts it. Never waits.
    pub fn record(&self, resource: &Arc<Resource>, span: &Span<'_>) {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            span.encode(scratch);
            self.0.append(resource, scratch);
            scratch.shrink_to(TRACE_SCRATCH);
        });
    }

    /// Sends what is taken, until [`Self::finish`] and everything is sent.
    pub async fn run(self, transport: impl Transport) {
        let mut request = Vec::new();
        while let Some(batch) = self.0.next().await {
            request.clear();
            otlp::request(&batch.resource.message, &batch.spans, &mut request);
            self.deliver(&transport, &request, &batch).await;
            self.0.ended(&batch);
            request.shrink_to(TRACE_BATCH);
        }
        self.0.done.send_replace(true);
    }

    /// Takes no more spans, and waits until those taken are sent or given up. Returns false when that takes longer than
    /// `patience`: then they are lost.
    pub async fn finish(&self, patience: Duration) -> bool {
        self.0.lock().closed = true;
        self.0.closed.send_replace(true);
        self.0.wake.notify_one();
        let mut done = self.0.done.subscribe();
        timeout(patience, done.wait_for(|done| *done)).await.is_ok()
    }

    /// Offers a batch until it is taken or refused, or patience ends.
    async fn deliver(&self, transport: &impl Transport, request: &[u8], batch: &Batch) {
        let metrics = &self.0.metrics;
        let end = Instant::now() + TRACE_PATIENCE;
        let mut pause = TRACE_PAUSE;
        loop {
            let outcome = match timeout(TRACE_EXPORT, transport.export(request)).await {
                Ok(outcome) => outcome,
                Err(_elapsed) => Outcome::Later { after: None, reason: "no answer in time".to_owned() },
            };
            let (after, reason) = match outcome {
                Outcome::Taken { rejected } => {
                    let rejected = rejected.min(batch.count);
                    metrics.exports.inc();
                    metrics.exported.add(batch.count - rejected);
                    return metrics.refused.add(rejected);
                }
                Outcome::Refused(reason) => {
                    transport.undelivered(batch.count, &reason);
                    metrics.failed.inc();
                    return metrics.refused.add(batch.count);
                }
                Outcome::Later { after, reason } => (after, reason),
            };
            let rest = after
                .map_or_else(|| jittered(pause), |after| after.max(TRACE_PAUSE))
                .min(TRACE_PAUSE_LONGEST);
            // There is one chance when the process ends.
            if *self.0.closed.borrow() || Instant::now() + rest > end {
                transport.undelivered(batch.count, &reason);
                metrics.failed.inc();
                return metrics.lost.add(batch.count);
            }
            metrics.repeated.inc();
            pause = pause.saturating_mul(2).min(TRACE_PAUSE_LONGEST);
            let mut closed = self.0.closed.subscribe();
            tokio::select! {
                () = sleep(rest) => {}
                _ = closed.wait_for(|closed| *closed) => {}
            }
        }
    }
}

fn gauge(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Between three quarters and all of a pause: proxies that lost their collector together don't come back as one.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.75 + fastrand::f64() / 4.0)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, resource: &Arc<Resource>, span: &[u8]) {
        let mut waiting = self.lock();
        if waiting.closed || waiting.bytes + span.len() > TRACE_BACKLOG {
            drop(waiting);
            return self.metrics.dropped.inc();
        }
        let wakes = waiting.batches.is_empty();
        waiting.bytes += span.len();
        self.metrics.backlog.set(gauge(waiting.bytes));
        let fits = |batch: &&mut Batch| {
            Arc::ptr_eq(&batch.resource, resource) && batch.spans.len() + span.len() <= TRACE_BATCH
        };
        match waiting.batches.back_mut().filter(fits) {
            Some(batch) => {
                batch.spans.extend_from_slice(span);
                batch.count += 1;
                return;
            }
            None => {
                let batch = Batch { resource: Arc::clone(resource), spans: span.to_vec(), count: 1 };
                waiting.batches.push_back(batch);
            }
        }
        // The first span, or one with which a batch is full.
        if wakes || waiting.batches.len() == 2 {
            drop(waiting);
            self.wake.notify_one();
        }
    }

    /// The next batch: one that is full, or whatever there is once the first span has waited for a while; `None` at the
    /// end.
    async fn next(&self) -> Option<Batch> {
        let mut flush = None;
        loop {
            {
                let mut waiting = self.lock();
                let is_due = flush.is_some_and(|flush| Instant::now() >= flush);
                if waiting.batches.len() > 1 || is_due || waiting.closed {
                    if let Some(batch) = waiting.batches.pop_front() {
                        return Some(batch);
                    }
                    if waiting.closed {
                        return None;
                    }
                }
                if waiting.batches.is_empty() {
                    flush = None;
                } else if flush.is_none() {
                    flush = Some(Instant::now() + TRACE_FLUSH);
                }
            }
            match flush {
                None => self.wake.notified().await,
                Some(flush) => {
                    tokio::select! {
                        () = self.wake.notified() => {}
                        () = sleep_until(flush) => {}
                    }
                }
            }
        }
    }

    /// A batch is over and gives its room back.
    fn ended(&self, batch: &Batch) {
        let mut waiting = self.lock();
        waiting.bytes = waiting.bytes.saturating_sub(batch.spans.len());
        self.metrics.backlog.set(gauge(waiting.bytes));
    }
}
