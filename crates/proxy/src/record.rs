//! What is told of each request when it has ended: metrics always, a line in the access log where there is one.
//!
//! A record is made when the request begins and told when it is dropped, so that a cancelled request counts too.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use leno_engine::retry;
use leno_http::head::{RequestHead, ResponseHead};
use leno_http::relay::Tally;
use leno_model::failure::{Failure, grpc};
use leno_model::request::RequestView;
use leno_runtime::clock::recent;
use leno_telemetry::access::{self, AccessLog, AccessRecord, Address};
use leno_telemetry::istio::{HttpHandle, HttpRecord, RequestProtocol};
use leno_telemetry::span as telemetry;

use crate::limits::{LINES_KEPT, LOGGED_BYTES, USUAL_TEXT};
use crate::prepare::REQUEST_ID;
use crate::traces::Span;
use crate::upstream::To;

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
    span: Option<Box<Span>>,
    start: SystemTime,
    /// What the next seven are parts of: one allocation for all.
    text: Vec<u8>,
    method: Part,
    path: Part,
    authority: Part,
    forwarded_for: Option<Part>,
    user_agent: Option<Part>,
    request_id: Option<Part>,
    cluster: Option<Part>,
    protocol: &'static str,
    ends: Ends,
    upstream: Option<SocketAddr>,
    upstream_local: Option<SocketAddr>,
    route: Option<Arc<str>>,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            access: None,
            span: None,
            start: SystemTime::UNIX_EPOCH,
            text: Vec::new(),
            method: Part::default(),
            path: Part::default(),
            authority: Part::default(),
            forwarded_for: None,
            user_agent: None,
            request_id: None,
            cluster: None,
            protocol: "",
            ends: Ends::default(),
            upstream: None,
            upstream_local: None,
            route: None,
        }
    }
}

thread_local! {
    /// Lines that were told, with room for another request's text.
    #[allow(clippy::vec_box, reason = "they are moved from request to request in their boxes")]
    static TOLD: RefCell<Vec<Box<Line>>> = const { RefCell::new(Vec::new()) };
}

/// A part of a line's text. What a client has sent is cut, so that there is less than 64 KiB of it; a destination's name
/// beyond that would be left out.
#[derive(Clone, Copy, Default)]
struct Part {
    start: u16,
    end: u16,
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
            line: access.map(|access| Line::begin(Some(access.clone()), head, ends, now())),
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
        let line = self.line.get_or_insert_with(|| Line::begin(None, head, ends, start));
        line.span = Some(Box::new(span));
    }

    /// It is tried again.
    pub(crate) fn again(&mut self, end: &retry::End<'_>) {
        if let Some(span) = self.span() {
            span.again(since(self.began), end);
        }
    }

    /// It is tried at another endpoint beside one that takes long.
    pub(crate) fn hedged(&self, target: SocketAddr) {
        if let Some(span) = self.span() {
            span.hedged(since(self.began), target);
        }
    }

    fn span(&self) -> Option<&Span> {
        self.line.as_ref()?.span.as_deref()
    }

    /// The head is what upstream will see, with its request id.
    pub(crate) fn prepared(&mut self, head: &RequestHead) {
        if let Some(line) = &mut self.line {
            line.request_id = head.fields().get(REQUEST_ID.as_str()).map(|id| line.copy(id));
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

    /// The endpoint that the request goes to, of this destination.
    pub(crate) fn upstream(&mut self, target: SocketAddr, to: &To<'_>) {
        let began = self.began;
        if let Some(line) = &mut self.line {
            line.upstream = Some(target);
            line.upstream_local = None;
            // Another try is mostly one at the same destination.
            let cluster = line.cluster.map_or(line.text.len(), |last| last.start.into());
            line.text.truncate(cluster);
            to.write_name(&mut line.text);
            line.cluster = Some(line.since(cluster));
            if let Some(span) = &line.span {
                span.sent(since(began));
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

    /// The response's head is about to be sent. Only gRPC's status counts as one (Istio's `grpc_response_status`).
    pub(crate) fn answered(&mut self, head: &ResponseHead) {
        self.status = head.status().as_u16();
        self.metrics.response_bytes = head.fields().size() as u64;
        if self.is_grpc {
            self.metrics.grpc_status = head.grpc_status().and_then(|status| u8::try_from(status).ok());
        }
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
        let duration = recent().into_std().saturating_duration_since(self.began);
        self.metrics.took = Some(duration);
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
            line.write(self, flag, duration);
            line.tell(self, flag, duration);
            line.end();
        }
    }
}

impl Line {
    /// One of those that were told, begun anew, where there is one.
    fn begin(access: Option<AccessLog>, head: &RequestHead, ends: &Ends, start: SystemTime) -> Box<Self> {
        let mut line = TOLD.with_borrow_mut(Vec::pop).unwrap_or_default();
        line.text.reserve(USUAL_TEXT);
        line.access = access;
        line.start = start;
        line.ends = ends.clone();
        line.protocol = head.version().as_str();
        line.method = line.copy(head.method().as_bytes());
        line.path = line.copy(head.target_bytes());
        line.authority = line.copy(head.authority_bytes());
        line.forwarded_for = head.fields().joined("x-forwarded-for").map(|value| line.copy(&value));
        line.user_agent = head.fields().joined("user-agent").map(|value| line.copy(&value));
        line
    }

    /// Forgets everything, and waits for the next request.
    fn end(mut self: Box<Self>) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        text.shrink_to(4 * USUAL_TEXT);
        *self = Self { text, ..Self::default() };
        let _gone_with_the_thread = TOLD.try_with(|told| {
            if let Ok(mut told) = told.try_borrow_mut()
                && told.len() < LINES_KEPT
            {
                told.push(self);
            }
        });
    }

    fn copy(&mut self, value: &[u8]) -> Part {
        let at = self.text.len();
        self.text.extend_from_slice(value.get(..LOGGED_BYTES).unwrap_or(value));
        self.since(at)
    }

    /// The part of the text that begins there.
    fn since(&self, start: usize) -> Part {
        let [start, end] = [start, self.text.len()].map(|at| u16::try_from(at).unwrap_or(u16::MAX));
        Part { start, end }
    }

    fn part(&self, part: Part) -> &[u8] {
        self.text.get(part.start.into()..part.end.into()).unwrap_or_default()
    }

    fn optional(&self, part: Option<Part>) -> Option<&[u8]> {
        part.map(|part| self.part(part))
    }

    fn cluster(&self) -> Option<&str> {
        std::str::from_utf8(self.part(self.cluster?)).ok()
    }

    /// Tells the collector.
    fn tell(&self, record: &Record, flag: &'static str, duration: Duration) {
        let Some(span) = &self.span else { return };
        let of_mesh = self.cluster().and_then(|cluster| cluster.rsplit_once('|'));
        let service = of_mesh.map(|(_, host)| host).filter(|host| !host.is_empty());
        let details = |failure: Failure| record.details.as_deref().unwrap_or_else(|| failure.row().details);
        span.end(telemetry::Span {
            start: self.start,
            duration,
            method: self.part(self.method),
            authority: self.part(self.authority),
            target: self.part(self.path),
            protocol: self.protocol,
            is_grpc: record.is_grpc,
            user_agent: self.optional(self.user_agent),
            request_id: self.optional(self.request_id),
            client: self.ends.remote.map(|remote| remote.ip()),
            upstream: self.upstream,
            service: service.or_else(|| span.own_service()),
            cluster: self.cluster(),
            status: record.status,
            grpc_status: record.metrics.grpc_status,
            failure: record.failure.map(|failure| (failure.name(), details(failure))),
            flags: flag,
            request_bytes: record.request.bytes(),
            response_bytes: record.response.bytes(),
            ..span.begun()
        });
    }

    fn write(&self, record: &Record, flag: &'static str, duration: Duration) {
        let Some(access) = &self.access else { return };
        let details = record.failure.map_or("via_upstream", |failure| failure.row().details);
        access.record(&AccessRecord {
            method: Some(self.part(self.method)),
            path: Some(self.part(self.path)),
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
            duration,
            upstream_service_time: record.service_time,
            x_forwarded_for: self.optional(self.forwarded_for),
            user_agent: self.optional(self.user_agent),
            request_id: self.optional(self.request_id),
            authority: Some(self.part(self.authority)),
            upstream_host: self.upstream.map(Address::Ip),
            upstream_cluster: self.optional(self.cluster),
            upstream_local_address: self.upstream_local.map(Address::Ip),
            downstream_local_address: self.ends.local.map(Address::Ip),
            downstream_remote_address: self.ends.remote.map(Address::Ip),
            requested_server_name: self.ends.server_name.as_deref().map(str::as_bytes),
            route_name: self.route.as_deref(),
            is_plain: access::is_plain(&self.text),
            ..AccessRecord::new(self.start)
        });
    }
}

/// The time since then by the task's clock, as all times of a record are.
fn since(began: Instant) -> Duration {
    recent().into_std().saturating_duration_since(began)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&str, &str)]) -> RequestHead {
        let mut head =
            RequestHead::new(http::Method::GET, leno_http::head::Scheme::Http, "a:1", "/x").unwrap();
        for (name, value) in fields {
            head.fields_mut().append(name, value.as_bytes()).unwrap();
        }
        head
    }

    #[test]
    fn nothing_of_a_request_is_told_of_the_next() {
        let long = "u".repeat(3 * LOGGED_BYTES);
        let first = head(&[("x-forwarded-for", "1.2.3.4"), ("user-agent", &long), ("x-request-id", "id")]);
        let ends = Ends { server_name: Some("name".into()), ..Ends::default() };
        let mut line = Line::begin(None, &first, &ends, SystemTime::now());
        line.request_id = Some(line.copy(b"id"));
        line.cluster = Some(line.copy(b"outbound|1||a"));
        line.upstream = Some(([1, 2, 3, 4], 5).into());
        line.upstream_local = line.upstream;
        line.route = Some("route".into());
        assert_eq!(line.optional(line.user_agent).map(<[u8]>::len), Some(LOGGED_BYTES));
        assert_eq!(line.cluster(), Some("outbound|1||a"));
        let place = std::ptr::from_ref(&*line);
        line.end();

        let line = Line::begin(None, &head(&[]), &Ends::default(), SystemTime::UNIX_EPOCH);
        assert_eq!(std::ptr::from_ref(&*line), place, "its room is used again");
        assert!(line.text.capacity() <= 4 * USUAL_TEXT, "but not what is more than usual");
        assert_eq!(
            (line.part(line.method), line.part(line.path), line.part(line.authority)),
            (&b"GET"[..], &b"/x"[..], &b"a:1"[..])
        );
        let texts = [line.forwarded_for, line.user_agent, line.request_id, line.cluster];
        assert!(texts.iter().all(Option::is_none));
        assert!(line.upstream.is_none() && line.upstream_local.is_none() && line.route.is_none());
        assert!(line.ends.server_name.is_none() && line.span.is_none() && line.access.is_none());
    }

    #[test]
    fn no_more_lines_are_kept_than_wanted() {
        let begin = || Line::begin(None, &head(&[]), &Ends::default(), SystemTime::UNIX_EPOCH);
        let lines: Vec<_> = (0..2 * LINES_KEPT).map(|_| begin()).collect();
        lines.into_iter().for_each(Line::end);
        assert_eq!(TOLD.with_borrow(Vec::len), LINES_KEPT);
    }
}
