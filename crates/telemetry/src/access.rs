//! What is written down of each request or connection.
//!
//! [`AccessRecord`] has the fields of Istio's default formats and no others: headers that carry credentials can't get
//! into a log, because there is no field for them. [`AccessLog`] writes records to a file or stream and never lets
//! traffic wait for it.

mod field;
mod json;
mod log;
mod text;
mod timestamp;

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

pub use field::{Shown, is_plain};
pub use log::{AccessLog, OpenError, Target};
pub use timestamp::Timestamp;

#[cfg(test)]
mod tests;

/// How records are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Istio's default text format.
    #[default]
    Text,
    /// Istio's default JSON keys, one object per line.
    Json,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address<'a> {
    /// An IP address and port.
    Ip(SocketAddr),
    /// The path of a Unix socket.
    Unix(&'a str),
}

impl From<SocketAddr> for Address<'_> {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

/// What is known of a request, or of an opaque connection, when it has ended. Values that came from a client are bytes:
/// they are escaped when written; words of the program's own, which are `&'static str`, need none. Absent ones are written
/// as `-` in text and `null` in JSON, as Envoy does.
#[derive(Clone, Copy, Debug)]
pub struct AccessRecord<'a> {
    /// When it began.
    pub start_time: SystemTime,
    /// The method; `None` for a connection.
    pub method: Option<&'a [u8]>,
    /// The path and query as the client sent them, before any rewrite.
    pub path: Option<&'a [u8]>,
    /// `HTTP/1.1`, `HTTP/2`, ...
    pub protocol: Option<&'static str>,
    /// The status that the client got; 0 for none.
    pub response_code: u16,
    /// What went wrong, from the failure table; `-` for nothing.
    pub response_flags: &'static str,
    /// Why the status is what it is.
    pub response_code_details: Option<&'a str>,
    /// Why the connection was cut.
    pub connection_termination_details: Option<&'a str>,
    /// Why there was no connection to the upstream.
    pub upstream_transport_failure_reason: Option<&'a str>,
    /// Bytes of the request's body, or received on the connection.
    pub bytes_received: u64,
    /// Bytes of the response's body, or sent on the connection.
    pub bytes_sent: u64,
    /// From the first byte to the end.
    pub duration: Duration,
    /// How long the upstream took until its response began.
    pub upstream_service_time: Option<Duration>,
    /// The header `x-forwarded-for`.
    pub x_forwarded_for: Option<&'a [u8]>,
    /// The header `user-agent`.
    pub user_agent: Option<&'a [u8]>,
    /// The header `x-request-id`.
    pub request_id: Option<&'a [u8]>,
    /// The requested host.
    pub authority: Option<&'a [u8]>,
    /// The endpoint that was used.
    pub upstream_host: Option<Address<'a>>,
    /// The destination, in Istio's notation `outbound|PORT|SUBSET|HOST`.
    pub upstream_cluster: Option<&'a [u8]>,
    /// Our end of the connection to the endpoint.
    pub upstream_local_address: Option<Address<'a>>,
    /// Our end of the client's connection: the original destination where traffic is captured.
    pub downstream_local_address: Option<Address<'a>>,
    /// The client's end.
    pub downstream_remote_address: Option<Address<'a>>,
    /// The TLS server name.
    pub requested_server_name: Option<&'a [u8]>,
    /// The route that matched.
    pub route_name: Option<&'a str>,
    /// Whether [`is_plain`] has said so of `method`, `path`, `x_forwarded_for`, `user_agent`, `request_id` and `authority`, for
    /// instance by a text that they are parts of: then they aren't looked at one by one.
    pub is_plain: bool,
}

impl AccessRecord<'_> {
    /// A record of something that began at `start_time` and of which nothing else is known.
    pub fn new(start_time: SystemTime) -> Self {
        Self {
            start_time,
            method: None,
            path: None,
            protocol: None,
            response_code: 0,
            response_flags: "-",
            response_code_details: None,
            connection_termination_details: None,
            upstream_transport_failure_reason: None,
            bytes_received: 0,
            bytes_sent: 0,
            duration: Duration::ZERO,
            upstream_service_time: None,
            x_forwarded_for: None,
            user_agent: None,
            request_id: None,
            authority: None,
            upstream_host: None,
            upstream_cluster: None,
            upstream_local_address: None,
            downstream_local_address: None,
            downstream_remote_address: None,
            requested_server_name: None,
            route_name: None,
            is_plain: false,
        }
    }

    /// Appends the record as one line. Allocates only where `out` must grow, or an address is new.
    pub fn encode(&self, format: Format, shown: &mut Shown, out: &mut Vec<u8>) {
        match format {
            Format::Text => text::encode(self, shown, out),
            Format::Json => json::encode(self, shown, out),
        }
    }
}
