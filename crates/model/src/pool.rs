//! Limits and lifetimes of the connections to a destination.

use std::time::Duration;

/// Settings of a destination's connections; what is `None` has no limit of its own.
///
/// Limits hold for one proxy process and for each subset and port on its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConnectionPool {
    /// Connections at once.
    pub connections: Option<u32>,
    /// Requests that may wait for a connection at once.
    pub pending: Option<u32>,
    /// Requests at once, waiting ones included.
    pub requests: Option<u32>,
    /// Requests that a connection carries before it is closed.
    pub requests_per_connection: Option<u32>,
    /// Requests that an HTTP/2 connection carries at once.
    pub streams: Option<u32>,
    /// How long a connection may carry new requests, or opaque bytes at all.
    pub lifetime: Option<Duration>,
    /// How long an opaque connection may be silent; zero is for ever.
    pub opaque_idle: Option<Duration>,
    /// How long a connection for requests may be kept without one; zero is for ever.
    pub http_idle: Option<Duration>,
    /// How a silent connection's peer is probed.
    pub keepalive: Option<Keepalive>,
    /// How the peer of a silent HTTP/2 connection is asked whether it is there.
    pub ping: Option<Ping>,
    /// What is spoken, where the port's protocol shall not decide.
    pub upgrade: Option<Upgrade>,
}

/// TCP keep-alive; what is `None` is the proxy's choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Keepalive {
    /// Silence before the first probe.
    pub idle: Option<Duration>,
    /// Time between probes.
    pub interval: Option<Duration>,
    /// Probes without an answer before the peer counts as gone.
    pub probes: Option<u32>,
}

/// HTTP/2's PING.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ping {
    /// Silence before one is sent.
    pub interval: Duration,
    /// Silence after it before the peer counts as gone; `None` is the proxy's choice.
    pub timeout: Option<Duration>,
}

/// What is spoken to a destination's HTTP ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Upgrade {
    /// HTTP/1, unless the port declares HTTP/2.
    Never,
    /// HTTP/2.
    Http2,
    /// What the client speaks.
    AsClient,
}
