//! The span of a request that is under way.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use leno_engine::retry;
use leno_telemetry::export::{Exporter, Resource};
use leno_telemetry::limits::SPAN_EVENTS;
use leno_telemetry::propagation::Place;
use leno_telemetry::span::{self as telemetry, Event, Kind};

/// A sampled request's span. It is told when the request has ended.
pub(crate) struct Span {
    exporter: Exporter,
    resource: Arc<Resource>,
    place: Place,
    /// The span below it, where this proxy is asked and asks.
    asks: Option<Place>,
    kind: Kind,
    scheme: &'static str,
    own_service: Option<Arc<str>>,
    /// When the first try began.
    sent: Cell<Option<Duration>>,
    /// Tries after the first.
    resent: Cell<u32>,
    events: RefCell<Vec<Event>>,
}

impl Span {
    pub(super) fn new(
        exporter: Exporter,
        resource: Arc<Resource>,
        place: Place,
        asks: Option<Place>,
        kind: Kind,
        scheme: &'static str,
        own_service: Option<Arc<str>>,
    ) -> Self {
        Self {
            exporter,
            resource,
            place,
            asks,
            kind,
            scheme,
            own_service,
            sent: Cell::new(None),
            resent: Cell::new(0),
            events: RefCell::default(),
        }
    }

    /// The service of the own workload that the request is for.
    pub(crate) fn own_service(&self) -> Option<&str> {
        self.own_service.as_deref()
    }

    /// A try begins.
    pub(crate) fn sent(&self, after: Duration) {
        if self.sent.get().is_none() {
            self.sent.set(Some(after));
        }
    }

    /// A try ended so that there is another.
    pub(crate) fn again(&self, after: Duration, end: &retry::End<'_>) {
        let why = match end {
            retry::End::Failed(failure, _) => failure.name().to_owned(),
            retry::End::Answered(answer) => match answer.grpc_status {
                Some(status) => status.to_string(),
                None => answer.status.to_string(),
            },
        };
        self.happened("retry", after, ("error.type", why));
    }

    /// A try begins beside one that takes long.
    pub(crate) fn hedged(&self, after: Duration, target: SocketAddr) {
        self.happened("hedge", after, ("network.peer.address", target.to_string()));
    }

    fn happened(&self, name: &'static str, after: Duration, attribute: (&'static str, String)) {
        self.resent.set(self.resent.get().saturating_add(1));
        let mut events = self.events.borrow_mut();
        if events.len() < SPAN_EVENTS {
            events.push(Event { name, after, attributes: vec![attribute] });
        }
    }

    /// What was known when the request began.
    pub(crate) fn begun(&self) -> telemetry::Span<'_> {
        telemetry::Span {
            context: self.place.context,
            parent: self.place.parent,
            is_parent_remote: true,
            kind: self.kind,
            start: UNIX_EPOCH,
            duration: Duration::ZERO,
            method: b"",
            scheme: self.scheme,
            authority: b"",
            target: b"",
            protocol: "",
            is_grpc: false,
            user_agent: None,
            request_id: None,
            client: None,
            upstream: None,
            service: None,
            cluster: None,
            status: 0,
            grpc_status: None,
            failure: None,
            flags: "-",
            request_bytes: 0,
            response_bytes: 0,
            resent: 0,
            events: &[],
            common: self.resource.attributes(),
        }
    }

    /// The request has ended.
    pub(crate) fn end(&self, told: telemetry::Span<'_>) {
        let events = self.events.borrow();
        let tries = |span| telemetry::Span { resent: self.resent.get(), events: &events, ..span };
        let Some(asks) = &self.asks else { return self.exporter.record(&self.resource, &tries(told)) };
        self.exporter.record(&self.resource, &told);
        // One that the proxy answered itself was asked of nobody.
        let Some(sent) = self.sent.get() else { return };
        let asking = telemetry::Span {
            context: asks.context,
            parent: asks.parent,
            is_parent_remote: false,
            kind: Kind::Client,
            start: told.start.checked_add(sent).unwrap_or(told.start),
            duration: told.duration.saturating_sub(sent),
            ..told
        };
        self.exporter.record(&self.resource, &tries(asking));
    }
}
