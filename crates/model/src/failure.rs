//! The failure table: the one place that turns what went wrong into log flag, details, HTTP and gRPC status.
//!
//! Flags and details are Envoy's where Envoy has the same failure, since dashboards and runbooks know them; Leno's
//! own are marked. A failure also carries whose fault it is and how far the request had got, as data.

/// Whose doing a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The client: it broke the protocol or went away.
    Downstream,
    /// The server or the way to it.
    Upstream,
    /// This proxy: a limit of its own.
    Local,
    /// A rule forbids it.
    Policy,
    /// Configuration or identity is missing.
    Control,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The response flag in access logs and metrics; `-` for none.
    pub flag: &'static str,
    /// The flags where a retry policy allowed no further try: [`Row::flag`] and `URX`.
    pub flag_exhausted: &'static str,
    /// The flags where a limit of retries allowed no further try: [`Row::flag`] and `UO`.
    pub flag_overflow: &'static str,
    /// The flags of a request that a fault rule had delayed: `DI` and [`Row::flag`], in Envoy's order.
    pub flag_delayed: &'static str,
    /// The same with `URX`.
    pub flag_delayed_exhausted: &'static str,
    /// The same with `UO`.
    pub flag_delayed_overflow: &'static str,
    /// `response_code_details` in access logs.
    pub details: &'static str,
    /// Status of the local reply; 0 where the connection is cut without one.
    pub http: u16,
    /// `grpc-status` of the local reply to a gRPC request.
    pub grpc: u8,
    /// Whose doing it is.
    pub fault: Fault,
    /// The body of the local reply, a short plain sentence that gives nothing away.
    pub body: &'static str,
}

/// One flag with others, in the order in which Envoy writes them.
macro_rules! flags {
    ("-", $others:literal) => {
        $others
    };
    ("FI", "DI") => {
        "DI,FI"
    };
    ("DC", "DI") => {
        "DI,DC"
    };
    ($flag:tt, $others:literal) => {
        concat!($flag, ",", $others)
    };
}

macro_rules! table {
    ($($(#[$doc:meta])* $name:ident = $flag:tt, $details:literal, $http:literal, $grpc:ident, $fault:ident, $body:literal;)*) => {
        /// Everything that can end a request or connection other than a complete answer.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Failure { $($(#[$doc])* $name,)* }

        impl Failure {
            /// Every failure, in the table's order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The failure's row.
            #[must_use]
            pub const fn row(self) -> &'static Row {
                match self {
                    $(Self::$name => &Row {
                        flag: $flag,
                        flag_exhausted: flags!($flag, "URX"),
                        flag_overflow: flags!($flag, "UO"),
                        flag_delayed: flags!($flag, "DI"),
                        flag_delayed_exhausted: flags!($flag, "DI,URX"),
                        flag_delayed_overflow: flags!($flag, "UO,DI"),
                        details: $details, http: $http, grpc: grpc::$grpc, fault: Fault::$fault, body: $body,
                    },)*
                }
            }

            /// The variant's name, as `explain` and the documentation write it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }
        }
    };
}

/// gRPC status codes (grpc/doc/statuscodes.md).
pub mod grpc {
    #![allow(missing_docs, reason = "the names are the specification's")]
    pub const OK: u8 = 0;
    pub const CANCELLED: u8 = 1;
    pub const UNKNOWN: u8 = 2;
    pub const INVALID_ARGUMENT: u8 = 3;
    pub const DEADLINE_EXCEEDED: u8 = 4;
    pub const NOT_FOUND: u8 = 5;
    pub const PERMISSION_DENIED: u8 = 7;
    pub const RESOURCE_EXHAUSTED: u8 = 8;
    pub const UNIMPLEMENTED: u8 = 12;
    pub const INTERNAL: u8 = 13;
    pub const UNAVAILABLE: u8 = 14;
    pub const UNAUTHENTICATED: u8 = 16;

    /// The HTTP status that says what a gRPC status says, as Envoy translates it.
    #[must_use]
    pub const fn http_status(status: u16) -> u16 {
        match status {
            0 => 200,
            1 => 499,
            3 | 9 | 11 => 400,
            4 => 504,
            5 => 404,
            6 | 10 => 409,
            7 => 403,
            8 => 429,
            12 => 501,
            14 => 503,
            16 => 401,
            _ => 500,
        }
    }
}

table! {
    /// The bytes are not a well-formed or not an unambiguous request.
    BadRequest = "DPE", "http1.codec_error", 400, INTERNAL, Downstream, "bad request";
    /// The request head is larger than the limit.
    HeadTooLarge = "DPE", "request_headers_too_large", 431, INTERNAL, Downstream, "request header fields too large";
    /// The client broke HTTP/2's rules.
    DownstreamProtocol = "DPE", "http2.violation.of.messaging.rule", 0, INTERNAL, Downstream, "";
    /// A body is larger than may be buffered for it.
    PayloadTooLarge = "-", "request_payload_too_large", 413, INTERNAL, Downstream, "payload too large";
    /// The path cannot be normalized safely.
    PathRejected = "-", "path_normalization_failed", 400, INTERNAL, Downstream, "bad request";
    /// The client did not send its request in time.
    RequestTimeout = "-", "request_overall_timeout", 408, DEADLINE_EXCEEDED, Downstream, "request timeout";
    /// The client went away first.
    DownstreamGone = "DC", "downstream_remote_disconnect", 0, CANCELLED, Downstream, "";
    /// A stream without traffic for longer than its idle timeout.
    StreamIdle = "SI", "stream_idle_timeout", 408, DEADLINE_EXCEEDED, Local, "stream timeout";
    /// No route of the service or listener matches.
    NoRoute = "NR", "route_not_found", 404, UNIMPLEMENTED, Control, "";
    /// A route names a service or subset that does not exist.
    NoDestination = "NC", "cluster_not_found", 503, UNAVAILABLE, Control, "no such destination";
    /// A route's backends all have weight zero.
    NoWeight = "NR", "no_weighted_backend", 500, UNKNOWN, Control, "no backend has a weight";
    /// A Gateway API backend reference is not valid.
    InvalidBackend = "NR", "invalid_backend_reference", 500, UNKNOWN, Control, "invalid backend reference";
    /// The destination has no endpoint that may be used.
    NoEndpoint = "UH", "no_healthy_upstream", 503, UNAVAILABLE, Upstream, "no healthy upstream";
    /// The connection to the endpoint could not be made.
    ConnectFailed = "UF", "upstream_reset_before_response_started{connection_failure}", 503, UNAVAILABLE, Upstream, "upstream connection failed";
    /// The connection to the endpoint was not made in time.
    ConnectTimeout = "UF", "upstream_reset_before_response_started{connection_timeout}", 503, UNAVAILABLE, Upstream, "upstream connection timed out";
    /// The endpoint's TLS handshake failed.
    TlsFailed = "UF", "upstream_reset_before_response_started{tls_failure}", 503, UNAVAILABLE, Upstream, "upstream TLS failed";
    /// The endpoint presented another identity than the one expected of it.
    WrongIdentity = "UF", "upstream_reset_before_response_started{identity_mismatch}", 503, UNAVAILABLE, Upstream, "upstream identity mismatch";
    /// The endpoint closed the connection before its answer was complete.
    UpstreamClosed = "UC", "upstream_reset_before_response_started{connection_termination}", 503, UNAVAILABLE, Upstream, "upstream closed the connection";
    /// The endpoint reset the stream.
    UpstreamReset = "UR", "upstream_reset_before_response_started{remote_reset}", 503, UNAVAILABLE, Upstream, "upstream reset the stream";
    /// The endpoint refused the stream before doing anything.
    UpstreamRefused = "UR", "upstream_reset_before_response_started{remote_refused_stream_reset}", 503, UNAVAILABLE, Upstream, "upstream refused the stream";
    /// The endpoint's answer is not well-formed or not unambiguous.
    UpstreamProtocol = "UPE", "upstream_reset_before_response_started{protocol_error}", 502, UNAVAILABLE, Upstream, "upstream protocol error";
    /// The route's timeout passed without a complete answer.
    UpstreamTimeout = "UT", "response_timeout", 504, DEADLINE_EXCEEDED, Upstream, "upstream request timeout";
    /// A try's own timeout passed before its answer began.
    TryTimeout = "UT", "upstream_per_try_timeout", 504, DEADLINE_EXCEEDED, Upstream, "upstream request timeout";
    /// A limit of connections, requests or waiting requests of the destination is reached.
    Overflow = "UO", "upstream_overflow", 503, UNAVAILABLE, Local, "upstream limit reached";
    /// The process-wide budget of buffered bytes, or another limit of the proxy, is used up.
    Overload = "OM", "overload", 503, UNAVAILABLE, Local, "overloaded";
    /// An authorization policy denies the request.
    Denied = "-", "rbac_access_denied", 403, PERMISSION_DENIED, Policy, "RBAC: access denied";
    /// Mutual TLS is required and the peer has no mesh identity.
    NoPeerIdentity = "-", "mutual_tls_required", 0, UNAUTHENTICATED, Policy, "";
    /// A client's TLS handshake with a gateway failed.
    DownstreamTls = "-", "downstream_tls_handshake_failed", 0, UNAUTHENTICATED, Downstream, "";
    /// A connection that must begin with a header of the PROXY protocol doesn't.
    ProxyHeader = "DPE", "proxy_protocol_error", 0, INTERNAL, Downstream, "";
    /// A peer's first flight is not an `Open` (Leno's own).
    NoOpen = "DPE", "open_expected", 0, INTERNAL, Downstream, "";
    /// The destination may not be reached from this workload (host loopback, metadata, Leno's own ports).
    ForbiddenDestination = "-", "destination_forbidden", 403, PERMISSION_DENIED, Policy, "destination forbidden";
    /// The proxy's own certificate has expired and could not be renewed (Leno's own flag).
    IdentityExpired = "IX", "own_identity_expired", 503, UNAVAILABLE, Control, "this workload's mesh identity has expired";
    /// The proxy has no certificate yet (Leno's own flag).
    NoIdentity = "IX", "no_own_identity", 503, UNAVAILABLE, Control, "this workload has no mesh identity yet";
    /// The control plane did not say in time where the destination is (Leno's own flag).
    NotDiscovered = "ND", "destination_not_discovered", 503, UNAVAILABLE, Control, "destination not discovered in time";
    /// The proxy is draining and takes no new work.
    Draining = "-", "draining", 503, UNAVAILABLE, Local, "draining";
    /// A fault rule aborts the request.
    FaultAbort = "FI", "fault_filter_abort", 503, UNAVAILABLE, Policy, "fault filter abort";
    /// A protocol upgrade that the proxy does not pass on.
    UpgradeRefused = "-", "upgrade_failed", 403, PERMISSION_DENIED, Local, "upgrade refused";
    /// An error in Leno itself; always worth a report.
    Internal = "LR", "internal_error", 500, INTERNAL, Local, "internal error";
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.row().details)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_complete() {
        for failure in Failure::ALL {
            let row = failure.row();
            assert!(!row.flag.is_empty() && !row.details.is_empty(), "{failure:?}");
            assert!(row.http == 0 || (400..=599).contains(&row.http), "{failure:?}");
            assert_ne!(row.grpc, grpc::OK, "{failure:?}");
            assert!(!row.flag_delayed.contains('-') && row.flag_delayed.contains("DI"), "{failure:?}");
        }
    }
}
