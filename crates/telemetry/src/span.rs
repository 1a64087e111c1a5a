//! Spans of requests, with the names of OpenTelemetry's semantic conventions and of Istio.
//!
//! A span is written once, when its request has ended, as a field of an OTLP message. Credentials are not fields of it,
//! and neither is a request's query, which often holds some. Every text is cut at a limit.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::limits::{SPAN_EVENTS, SPAN_NAME, SPAN_VALUE};
use crate::otlp::Writer;
use crate::trace::TraceContext;

#[cfg(test)]
pub(crate) mod tests;

/// On whose side of a request a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of the one that is asked.
    Server,
    /// Of the one that asks.
    Client,
}

/// Something that happened while a request was under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub name: &'static str,
    /// How long after the request's beginning.
    pub after: Duration,
    /// More about it.
    pub attributes: Vec<(&'static str, String)>,
}

/// A request that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// Its place in its trace.
    pub context: TraceContext,
    /// The span above it.
    pub parent: Option<u64>,
    /// Whether that span is another process's.
    pub is_parent_remote: bool,
    /// Whose side it is on.
    pub kind: Kind,
    /// When it began.
    pub start: SystemTime,
    /// How long it took.
    pub duration: Duration,
    /// The method.
    pub method: &'a [u8],
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The requested host, with its port if it was given.
    pub authority: &'a [u8],
    /// Path and query.
    pub target: &'a [u8],
    /// `HTTP/1.1`, `HTTP/2`.
    pub protocol: &'a str,
    /// Whether it is a call of gRPC.
    pub is_grpc: bool,
    /// The header `user-agent`.
    pub user_agent: Option<&'a [u8]>,
    /// The header `x-request-id`.
    pub request_id: Option<&'a [u8]>,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// The endpoint that got it.
    pub upstream: Option<SocketAddr>,
    /// The service that it is for.
    pub service: Option<&'a str>,
    /// The destination in Istio's notation.
    pub cluster: Option<&'a str>,
    /// The status that the client got; 0 for none.
    pub status: u16,
    /// The status of a call of gRPC.
    pub grpc_status: Option<u8>,
    /// What went wrong, from the failure table: its name and what is said of it.
    pub failure: Option<(&'a str, &'a str)>,
    /// Flags as in the access log; `-` for none.
    pub flags: &'a str,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
    /// Tries after the first.
    pub resent: u32,
    /// What happened.
    pub events: &'a [Event],
    /// Attributes that all spans of the workload have; see [`Resource::attributes`](crate::export::Resource).
    pub common: &'a [u8],
}

/// Field numbers of `Span`.
const TRACE_ID: u32 = 1;
const SPAN_ID: u32 = 2;
const PARENT_SPAN_ID: u32 = 4;
const NAME: u32 = 5;
const KIND: u32 = 6;
const START: u32 = 7;
const END: u32 = 8;
/// Public to those who write attributes beforehand.
pub(crate) const ATTRIBUTES: u32 = 9;
const EVENTS: u32 = 11;
const STATUS: u32 = 15;
const FLAGS: u32 = 16;

/// Whether it is known where the parent is, and that it is another process's.
const PARENT_KNOWN: u32 = 0x100;
const PARENT_REMOTE: u32 = 0x200;

const ERROR: u64 = 2;

impl Span<'_> {
    /// Writes it as one of the `spans` of a `ScopeSpans`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        Writer(out).message(2, |span| {
            span.bytes(TRACE_ID, &self.context.trace_id().to_be_bytes());
            span.bytes(SPAN_ID, &self.context.span_id().to_be_bytes());
            if let Some(parent) = self.parent {
                span.bytes(PARENT_SPAN_ID, &parent.to_be_bytes());
            }
            span.bytes(NAME, self.name().as_bytes());
            span.number(
                KIND,
                match self.kind {
                    Kind::Server => 2,
                    Kind::Client => 3,
                },
            );
            span.fixed64(START, nanoseconds(self.start, Duration::ZERO));
            span.fixed64(END, nanoseconds(self.start, self.duration));
            self.request(span);
            self.ends(span);
            self.answer(span);
            span.0.extend_from_slice(self.common);
            for event in self.events.iter().take(SPAN_EVENTS) {
                span.message(EVENTS, |out| {
                    out.fixed64(1, nanoseconds(self.start, event.after));
                    out.bytes(2, event.name.as_bytes());
                    for (key, value) in &event.attributes {
                        out.text(3, key, cut(value, SPAN_VALUE));
                    }
                });
            }
            self.status(span);
            let remote = if self.is_parent_remote { PARENT_REMOTE } else { 0 };
            let parent = if self.parent.is_some() { PARENT_KNOWN | remote } else { PARENT_KNOWN };
            span.fixed32(FLAGS, u32::from(self.context.flags()) | parent);
        });
    }

    /// `POST reviews.default.svc.cluster.local`, or the called method of gRPC: few different ones, whatever clients ask for.
    fn name(&self) -> Cow<'_, str> {
        let path = text(self.path());
        if let Some(method) = path.strip_prefix('/').filter(|_| self.is_grpc) {
            return Cow::Owned(cut(method, SPAN_NAME).to_owned());
        }
        let method = known_method(self.method).unwrap_or("HTTP");
        match self.service {
            Some(service) => Cow::Owned(format!("{method} {}", cut(service, SPAN_NAME))),
            None => Cow::Borrowed(method),
        }
    }

    fn path(&self) -> &[u8] {
        self.target.split(|byte| *byte == b'?').next().unwrap_or_default()
    }

    fn request(&self, span: &mut Writer<'_>) {
        match known_method(self.method) {
            Some(method) => span.text(ATTRIBUTES, "http.request.method", method),
            None => {
                span.text(ATTRIBUTES, "http.request.method", "_OTHER");
                span.value("http.request.method_original", self.method);
            }
        }
        let (authority, path) = (text(self.authority), text(self.path()));
        span.text(ATTRIBUTES, "url.scheme", self.scheme);
        span.text(ATTRIBUTES, "url.path", cut(&path, SPAN_VALUE));
        if self.kind == Kind::Client {
            let full = format!("{}://{authority}{path}", self.scheme);
            span.text(ATTRIBUTES, "url.full", cut(&full, SPAN_VALUE));
        }
        let (host, port) = split(&authority);
        span.text(ATTRIBUTES, "server.address", cut(host, SPAN_VALUE));
        if let Some(port) = port {
            span.integer(ATTRIBUTES, "server.port", u64::from(port));
        }
        let version = self.protocol.strip_prefix("HTTP/").unwrap_or(self.protocol);
        span.text(ATTRIBUTES, "network.protocol.version", version);
        if self.is_grpc {
            span.text(ATTRIBUTES, "rpc.system", "grpc");
            if let Some((service, method)) = path.strip_prefix('/').and_then(|path| path.rsplit_once('/')) {
                span.text(ATTRIBUTES, "rpc.service", cut(service, SPAN_VALUE));
                span.text(ATTRIBUTES, "rpc.method", cut(method, SPAN_VALUE));
            }
        }
        if let Some(agent) = self.user_agent {
            span.value("user_agent.original", agent);
        }
        if let Some(id) = self.request_id {
            span.value("guid:x-request-id", id);
        }
    }

    fn ends(&self, span: &mut Writer<'_>) {
        if let Some(client) = self.client.filter(|_| self.kind == Kind::Server) {
            span.text(ATTRIBUTES, "client.address", &client.to_string());
        }
        if let Some(upstream) = self.upstream {
            // The peer of a server is its client.
            let (address, port) = match self.kind {
                Kind::Client => ("network.peer.address", "network.peer.port"),
                Kind::Server => ("upstream.address", "upstream.port"),
            };
            span.text(ATTRIBUTES, address, &upstream.ip().to_string());
            span.integer(ATTRIBUTES, port, u64::from(upstream.port()));
        }
        if let Some(service) = self.service.filter(|_| self.kind == Kind::Client) {
            span.text(ATTRIBUTES, "peer.service", cut(service, SPAN_VALUE));
        }
        if let Some(cluster) = self.cluster {
            span.text(ATTRIBUTES, "upstream_cluster", cut(cluster, SPAN_VALUE));
        }
    }

    fn answer(&self, span: &mut Writer<'_>) {
        if self.status != 0 {
            span.integer(ATTRIBUTES, "http.response.status_code", u64::from(self.status));
        }
        if let Some(status) = self.grpc_status {
            span.integer(ATTRIBUTES, "rpc.grpc.status_code", u64::from(status));
        }
        span.integer(ATTRIBUTES, "http.request.body.size", self.request_bytes);
        span.integer(ATTRIBUTES, "http.response.body.size", self.response_bytes);
        if self.resent > 0 {
            span.integer(ATTRIBUTES, "http.request.resend_count", u64::from(self.resent));
        }
        span.text(ATTRIBUTES, "response_flags", self.flags);
        if let Some(error) = self.error() {
            span.text(ATTRIBUTES, "error.type", &error);
        }
    }

    /// What went wrong: a failure of the mesh's own, else the status where it is an error to this side.
    fn error(&self) -> Option<Cow<'_, str>> {
        if let Some((failure, _)) = self.failure {
            return Some(Cow::Borrowed(failure));
        }
        match self.grpc_status.filter(|_| self.is_grpc) {
            Some(status) => self.is_grpc_error(status).then(|| Cow::Owned(status.to_string())),
            None => self.is_http_error().then(|| Cow::Owned(self.status.to_string())),
        }
    }

    /// A server isn't to blame for what its client did wrong.
    fn is_http_error(&self) -> bool {
        match self.kind {
            Kind::Server => self.status >= 500,
            Kind::Client => self.status >= 400,
        }
    }

    fn is_grpc_error(&self, status: u8) -> bool {
        match self.kind {
            // UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS.
            Kind::Server => matches!(status, 2 | 4 | 12 | 13 | 14 | 15),
            Kind::Client => status != 0,
        }
    }

    fn status(&self, span: &mut Writer<'_>) {
        // A request without a status was cut off.
        let is_error = match self.grpc_status.filter(|_| self.is_grpc) {
            Some(status) => self.is_grpc_error(status),
            None => self.is_http_error() || (self.status == 0 && self.failure.is_some()),
        };
        if !is_error {
            return;
        }
        span.message(STATUS, |status| {
            if let Some((_, details)) = self.failure {
                status.bytes(2, cut(details, SPAN_VALUE).as_bytes());
            }
            status.number(3, ERROR);
        });
    }
}

impl Writer<'_> {
    fn value(&mut self, key: &str, value: &[u8]) {
        self.text(ATTRIBUTES, key, cut(&text(value), SPAN_VALUE));
    }
}

fn nanoseconds(start: SystemTime, after: Duration) -> u64 {
    let since = start.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_add(after);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// The beginning of a text.
fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

/// The methods that everybody knows (RFC 9110 §9, RFC 5789).
fn known_method(method: &[u8]) -> Option<&'static str> {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    KNOWN.into_iter().find(|known| known.as_bytes() == method)
}

/// Host and port.
fn split(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_name) => (authority, None),
        },
        _ => (authority, None),
    }
}
