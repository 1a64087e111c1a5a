//! Faults that a route injects, to see how its callers bear them.

use std::time::Duration;

/// All of something counted in millionths.
pub const WHOLE: u32 = 1_000_000;

/// What is injected into a route's requests. Whether a request is delayed and whether it is aborted are two draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FaultInjection {
    /// Requests that wait before anything else happens to them.
    pub delay: Option<Delay>,
    /// Requests that are answered by the proxy, after their delay.
    pub abort: Option<Abort>,
}

/// A wait before a request is sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Delay {
    /// Share of the requests, in millionths.
    pub share: u32,
    /// How long.
    pub time: Duration,
}

/// An answer of the proxy's own instead of the destination's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Abort {
    /// Share of the requests, in millionths.
    pub share: u32,
    /// With what they are answered.
    pub status: AbortStatus,
}

/// The status of an injected answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AbortStatus {
    /// An HTTP status, 200..=599. A gRPC request gets the gRPC status that stands for it.
    Http(u16),
    /// A gRPC status, 0..=16. A request that isn't gRPC gets 200, as from Envoy.
    Grpc(u8),
}
