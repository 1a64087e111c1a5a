//! What is told of each request when it has ended: metrics always, a line in the access log where there is one.
//!
//! A record is made when the request begins and told when it is dropped, so that a cancelled request counts too.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use leno_engine::retry;
use leno_http::head::{RequestHead, ResponseHead};
use leno_http::relay::Tally;
use leno_model::failure::{Failure, grpc};
use leno_model::request::RequestView;
use leno_runtime::clock::recent;
use leno_telemetry::access::{AccessLog, AccessRecord, Address};
use leno_telemetry::istio::{HttpHandle, HttpRecord, RequestProtocol};
use leno_telemetry::span as telemetry;

use crate::limits::{LOGGED_BYTES, USUAL_TEXT};
use crate::prepare::REQUEST_ID;
use crate::traces::Span;

/// A request under way.
pub(crate) struct Record {
    metrics: HttpRecord,
    line: Option<Box<Line>>,
    began: Instant,
    is_grpc: bool,
    status: u16,
    failure: Option<Failure>,
    limit: Option<Limit>,
    delayed: bool,
    details: Option<Arc<str>>,
    request: Tally,
    response: Tally,
    service_time: Option<Duration>,
}

/// What only the access log and traces want. Copied, since heads are changed and moved on.
struct Line {
    access: Option<AccessLog>,
    span: Option<Span>,
    start: SystemTime,
    /// What the next five are ranges of: one allocation for all.
    text: Vec<u8>,
    method: Range<usize>,
    path: Range<usize>,
    authority: Range<usize>,
    forwarded_for: Option<Range<usize>>,
    user_agent: Option<Range<usize>>,
    protocol: &'static str,
    request_id: Option<Vec<u8>>,
    ends: Ends,
    upstream: Option<SocketAddr>,
    upstream_local: Option<SocketAddr>,
    cluster: Option<String>,
    route: Option<Arc<str>>,
}

/// What kept a request that went wrong from being tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// The policy's number of tries.
    Exhausted,
    /// The destination's retry budget.
    Overflow,
}

/// The ends of the downstream connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ends {
    /// The client's address.
    pub(crate) remote: Option<SocketAddr>,
    /// Our address: the original destination where traffic is captured.
    pub(crate) local: Option<SocketAddr>,
    /// The TLS server name.
    pub(crate) server_name: Option<Arc<str>>,
}

impl Record {
    pub(crate) fn begin(
        handle: &HttpHandle,
        access: Option<&AccessLog>,
        head: &RequestHead,
        ends: &Ends,
        now: impl FnOnce() -> SystemTime,
    ) -> Self {
        let began = recent();
        let is_grpc = head.is_grpc();
        let mut metrics = handle.start(began);
        metrics.protocol = if is_grpc { RequestProtocol::Grpc } else { RequestProtocol::Http };
        metrics.request_bytes = head.fields().size() as u64;
        Self {
            metrics,
            line: access.map(|access| Box::new(Line::new(Some(access.clone()), head, ends, now()))),
            began: began.into_std(),
            is_grpc,
            status: 0,
            failure: None,
            limit: None,
            delayed: false,
            details: None,
            request: Tally::default(),
            response: Tally::default(),
            service_time: None,
        }
    }

    /// A span tells of it as well.
    pub(crate) fn traced(&mut self, span: Span, head: &RequestHead, ends: &Ends, start: SystemTime) {
        let line = self.line.get_or_insert_with(|| Box::new(Line::new(None, head, ends, start)));
        line.span = Some(span);
    }

    /// It is tried again.
    pub(crate) fn again(&mut self, end: &retry::End<'_>) {
        let after = self.began.elapsed();
        if let Some(span) = self.span() {
            span.again(after, end);
        }
    }

    /// It is tried at another endpoint beside one that takes long.
    pub(crate) fn hedged(&self, target: SocketAddr) {
        if let Some(span) = self.span() {
            span.hedged(self.began.elapsed(), target);
        }
    }

    fn span(&self) -> Option<&Span> {
        self.line.as_ref()?.span.as_ref()
    }

    /// The head is what upstream will see, with its request id.
    pub(crate) fn prepared(&mut self, head: &RequestHead) {
        if let Some(line) = &mut self.line {
            line.request_id = head.fields().get(REQUEST_ID.as_str()).map(|id| cut(id).to_vec());
        }
    }

    /// Counts under these labels from now on: the destination is known only after routing.
    pub(crate) fn move_to(&mut self, handle: HttpHandle) {
        self.metrics.move_to(handle);
    }

    /// Whether the client speaks gRPC.
    pub(crate) fn is_grpc(&self) -> bool {
        self.is_grpc
    }

    /// The endpoint that the request goes to.
    pub(crate) fn upstream(
        &mut self,
        target: SocketAddr,
        local: Option<SocketAddr>,
        cluster: impl FnOnce() -> String,
    ) {
        if let Some(line) = &mut self.line {
            line.upstream = Some(target);
            line.upstream_local = local;
            line.cluster = Some(cluster());
            if let Some(span) = &line.span {
                span.sent(self.began.elapsed());
            }
        }
    }

    /// Our end of the connection to it.
    pub(crate) fn upstream_local(&mut self, local: Option<SocketAddr>) {
        if let Some(line) = &mut self.line {
            line.upstream_local = local;
        }
    }

    /// The route that matched, and more about why, for the log.
    pub(crate) fn decided(&mut self, route: Option<&Arc<str>>, details: Option<String>) {
        if let Some(line) = &mut self.line {
            line.route = route.cloned();
        }
        self.details = details.map(Into::into);
    }

    /// The response's head is about to be sent.
    pub(crate) fn answered(&mut self, head: &ResponseHead) {
        self.status = head.status().as_u16();
        self.metrics.response_bytes = head.fields().size() as u64;
        self.metrics.grpc_status = head.grpc_status().and_then(|status| u8::try_from(status).ok());
    }

    /// The upstream's response has begun.
    pub(crate) fn service_time(&mut self, time: Duration) {
        self.service_time = Some(time);
    }

    /// The request ended otherwise than with a complete answer of the upstream's.
    pub(crate) fn failed(&mut self, failure: Failure) {
        self.failure = Some(failure);
        let row = failure.row();
        if self.status == 0 {
            self.status = match (row.http, self.is_grpc) {
                (0, _) | (_, false) => row.http,
                (_, true) => 200,
            };
        }
        if self.is_grpc {
            self.metrics.grpc_status = Some(row.grpc);
        }
    }

    /// It went wrong, and would have been tried again but for a limit.
    pub(crate) fn limited(&mut self, limit: Limit) {
        self.limit = Some(limit);
    }

    /// A fault rule has made it wait.
    pub(crate) fn delayed(&mut self) {
        self.delayed = true;
    }

    /// A fault rule answers it with this head.
    pub(crate) fn aborted(&mut self, head: &ResponseHead) {
        self.answered(head);
        self.failure = Some(Failure::FaultAbort);
    }

    fn flag(&self) -> &'static str {
        match (self.failure.map(Failure::row), self.limit, self.delayed) {
            (None, None, false) => "-",
            (None, Some(Limit::Exhausted), false) => "URX",
            (None, Some(Limit::Overflow), false) => "UO",
            (None, None, true) => "DI",
            (None, Some(Limit::Exhausted), true) => "DI,URX",
            (None, Some(Limit::Overflow), true) => "UO,DI",
            (Some(row), None, false) => row.flag,
            (Some(row), Some(Limit::Exhausted), false) => row.flag_exhausted,
            (Some(row), Some(Limit::Overflow), false) => row.flag_overflow,
            (Some(row), None, true) => row.flag_delayed,
            (Some(row), Some(Limit::Exhausted), true) => row.flag_delayed_exhausted,
            (Some(row), Some(Limit::Overflow), true) => row.flag_delayed_overflow,
        }
    }

    /// More about why, for the log: the policy that denied.
    pub(crate) fn details(&mut self, details: String) {
        self.details = Some(details.into());
    }

    /// Bytes of the request's body so far.
    pub(crate) fn request_tally(&self) -> &Tally {
        &self.request
    }

    /// Bytes of the response's body so far.
    pub(crate) fn response_tally(&self) -> &Tally {
        &self.response
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let flag = self.flag();
        self.metrics.response_code = self.status;
        self.metrics.response_flags = flag;
        self.metrics.request_bytes += self.request.bytes();
        self.metrics.response_bytes += self.response.bytes();
        if self.is_grpc && self.failure.is_none() {
            let trailer = self.response.grpc_status().and_then(|status| u8::try_from(status).ok());
            // A stream that ended without a status is unknown to its client (gRPC over HTTP/2).
            self.metrics.grpc_status = trailer.or(self.metrics.grpc_status).or(Some(grpc::UNKNOWN));
        }
        if let Some(line) = self.line.take() {
            line.write(self, flag);
            line.tell(self, flag);
        }
    }
}

impl Line {
    fn new(access: Option<AccessLog>, head: &RequestHead, ends: &Ends, start: SystemTime) -> Self {
        let [forwarded_for, user_agent] =
            ["x-forwarded-for", "user-agent"].map(|name| head.fields().joined(name));
        let mut text = Vec::with_capacity(USUAL_TEXT);
        let mut copy = |value: &[u8]| {
            let at = text.len();
            text.extend_from_slice(cut(value));
            at..text.len()
        };
        let method = copy(head.method().as_bytes());
        let path = copy(head.target_bytes());
        let authority = copy(head.authority_bytes());
        let [forwarded_for, user_agent] =
            [forwarded_for, user_agent].map(|value| value.map(|value| copy(&value)));
        Self {
            access,
            span: None,
            start,
            text,
            method,
            path,
            authority,
            forwarded_for,
            user_agent,
            protocol: head.version().as_str(),
            request_id: None,
            ends: ends.clone(),
            upstream: None,
            upstream_local: None,
            cluster: None,
            route: None,
        }
    }

    fn copied(&self, range: &Range<usize>) -> &[u8] {
        self.text.get(range.clone()).unwrap_or_default()
    }

    /// Tells the collector.
    fn tell(&self, record: &Record, flag: &'static str) {
        let Some(span) = &self.span else { return };
        let of_mesh = self.cluster.as_deref().and_then(|cluster| cluster.rsplit_once('|'));
        let service = of_mesh.map(|(_, host)| host).filter(|host| !host.is_empty());
        let details = |failure: Failure| record.details.as_deref().unwrap_or_else(|| failure.row().details);
        span.end(telemetry::Span {
            start: self.start,
            duration: record.began.elapsed(),
            method: self.copied(&self.method),
            authority: self.copied(&self.authority),
            target: self.copied(&self.path),
            protocol: self.protocol,
            is_grpc: record.is_grpc,
            user_agent: self.user_agent.as_ref().map(|range| self.copied(range)),
            request_id: self.request_id.as_deref(),
            client: self.ends.remote.map(|remote| remote.ip()),
            upstream: self.upstream,
            service: service.or_else(|| span.own_service()),
            cluster: self.cluster.as_deref(),
            status: record.status,
            grpc_status: record.metrics.grpc_status,
            failure: record.failure.map(|failure| (failure.name(), details(failure))),
            flags: flag,
            request_bytes: record.request.bytes(),
            response_bytes: record.response.bytes(),
            ..span.begun()
        });
    }

    fn write(&self, record: &Record, flag: &'static str) {
        let Some(access) = &self.access else { return };
        let details = record.failure.map_or("via_upstream", |failure| failure.row().details);
        access.record(&AccessRecord {
            method: Some(self.copied(&self.method)),
            path: Some(self.copied(&self.path)),
            protocol: Some(self.protocol),
            response_code: record.status,
            response_flags: flag,
            response_code_details: Some(record.details.as_deref().unwrap_or(details)),
            upstream_transport_failure_reason: match record.failure {
                Some(Failure::TlsFailed | Failure::WrongIdentity) => Some(details),
                _ => None,
            },
            bytes_received: record.request.bytes(),
            bytes_sent: record.response.bytes(),
            duration: record.began.elapsed(),
            upstream_service_time: record.service_time,
            x_forwarded_for: self.forwarded_for.as_ref().map(|range| self.copied(range)),
            user_agent: self.user_agent.as_ref().map(|range| self.copied(range)),
            request_id: self.request_id.as_deref(),
            authority: Some(self.copied(&self.authority)),
            upstream_host: self.upstream.map(Address::Ip),
            upstream_cluster: self.cluster.as_deref(),
            upstream_local_address: self.upstream_local.map(Address::Ip),
            downstream_local_address: self.ends.local.map(Address::Ip),
            downstream_remote_address: self.ends.remote.map(Address::Ip),
            requested_server_name: self.ends.server_name.as_deref().map(str::as_bytes),
            route_name: self.route.as_deref(),
            ..AccessRecord::new(self.start)
        });
    }
}

fn cut(value: &[u8]) -> &[u8] {
    value.get(..LOGGED_BYTES).unwrap_or(value)
}
