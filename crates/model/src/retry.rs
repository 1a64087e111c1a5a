//! When a request is sent again: policies, budgets, and how far a try got.
//!
//! These are wishes of the configuration. Whether a request may be repeated at all is decided by the engine, whose
//! first rule is that nothing is repeated that may have taken effect, unless it is known to be repeatable.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How far a try got, the only thing about its transport that a retry decision reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Progress {
    /// Not a byte left this process.
    NotSent,
    /// The peer said that it did nothing with it: REFUSED_STREAM, a stream above GOAWAY's last, or a TLS alert about
    /// the client's certificate.
    Refused,
    /// Some of it may have arrived.
    Sent,
    /// A response head has arrived.
    ResponseStarted,
}

/// One way for a try to go wrong, by Envoy's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Condition {
    /// Any answer of 500 or more, or none at all.
    ServerError,
    /// 502, 503 or 504, or no answer at all.
    GatewayError,
    /// No answer at all: no connection, a reset, a per-try timeout.
    Reset,
    /// No answer at all, and nothing of the request was sent.
    ResetBeforeRequest,
    /// No connection.
    ConnectFailure,
    /// The peer refused the request before it looked at it.
    RefusedStream,
    /// 409.
    Retriable4xx,
    /// One of the policy's statuses.
    RetriableStatusCodes,
    /// One of the policy's headers in the answer.
    RetriableHeaders,
    /// The header `x-envoy-ratelimited` in the answer.
    EnvoyRateLimited,
    /// gRPC's CANCELLED (1) in the answer's head.
    Cancelled,
    /// gRPC's DEADLINE_EXCEEDED (4) in the answer's head.
    DeadlineExceeded,
    /// gRPC's RESOURCE_EXHAUSTED (8) in the answer's head.
    ResourceExhausted,
    /// gRPC's INTERNAL (13) in the answer's head.
    Internal,
    /// gRPC's UNAVAILABLE (14) in the answer's head.
    Unavailable,
}

impl Condition {
    /// Every condition.
    pub const ALL: [Self; 15] = [
        Self::ServerError,
        Self::GatewayError,
        Self::Reset,
        Self::ResetBeforeRequest,
        Self::ConnectFailure,
        Self::RefusedStream,
        Self::Retriable4xx,
        Self::RetriableStatusCodes,
        Self::RetriableHeaders,
        Self::EnvoyRateLimited,
        Self::Cancelled,
        Self::DeadlineExceeded,
        Self::ResourceExhausted,
        Self::Internal,
        Self::Unavailable,
    ];

    /// The name in `retryOn` and `x-envoy-retry-on`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ServerError => "5xx",
            Self::GatewayError => "gateway-error",
            Self::Reset => "reset",
            Self::ResetBeforeRequest => "reset-before-request",
            Self::ConnectFailure => "connect-failure",
            Self::RefusedStream => "refused-stream",
            Self::Retriable4xx => "retriable-4xx",
            Self::RetriableStatusCodes => "retriable-status-codes",
            Self::RetriableHeaders => "retriable-headers",
            Self::EnvoyRateLimited => "envoy-ratelimited",
            Self::Cancelled => "cancelled",
            Self::DeadlineExceeded => "deadline-exceeded",
            Self::ResourceExhausted => "resource-exhausted",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
        }
    }

    /// The condition of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|condition| condition.name() == name)
    }

    const fn bit(self) -> u32 {
        1 << self as u8
    }
}

/// A set of conditions.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Conditions(u32);

impl Conditions {
    /// None.
    pub const NONE: Self = Self(0);

    /// Istio's where nothing else is said.
    pub const DEFAULT: Self = Self(
        Condition::ConnectFailure.bit()
            | Condition::RefusedStream.bit()
            | Condition::Unavailable.bit()
            | Condition::Cancelled.bit()
            | Condition::RetriableStatusCodes.bit(),
    );

    /// This set with one more.
    #[must_use]
    pub const fn with(self, condition: Condition) -> Self {
        Self(self.0 | condition.bit())
    }

    /// What is in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it is in.
    #[must_use]
    pub const fn contains(self, condition: Condition) -> bool {
        self.0 & condition.bit() != 0
    }

    /// Whether none is in.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are in.
    pub fn iter(self) -> impl Iterator<Item = Condition> {
        Condition::ALL.into_iter().filter(move |condition| self.contains(*condition))
    }
}

impl FromIterator<Condition> for Conditions {
    fn from_iter<T: IntoIterator<Item = Condition>>(conditions: T) -> Self {
        conditions.into_iter().fold(Self::NONE, Self::with)
    }
}

/// By name, with commas between.
impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, condition) in self.iter().enumerate() {
            f.write_str(if position == 0 { "" } else { "," })?;
            f.write_str(condition.name())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Shortest pause between tries where nothing else is said (Envoy's).
pub const BACKOFF: Duration = Duration::from_millis(25);

/// Tries after the first where nothing else is said (Istio's).
pub const ATTEMPTS: u32 = 2;

/// When and how often a request is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RetryPolicy {
    /// Tries after the first; 0 is none.
    pub attempts: u32,
    /// What has to have gone wrong.
    pub on: Conditions,
    /// Statuses of [`Condition::RetriableStatusCodes`].
    pub statuses: Vec<u16>,
    /// Lower-case names of [`Condition::RetriableHeaders`].
    pub headers: Vec<Arc<str>>,
    /// The first pause is random and shorter than this; every further one may be twice as long, up to ten times this.
    pub backoff: Duration,
    /// Whether endpoints that have failed the request are tried again only when there is no other. Where nothing is
    /// said they are, unless the request's key leads to its endpoint.
    pub skip_previous: Option<bool>,
}

impl RetryPolicy {
    /// Istio's policy for routes that have none.
    pub const IMPLICIT: Self = Self {
        attempts: ATTEMPTS,
        on: Conditions::DEFAULT,
        statuses: Vec::new(),
        headers: Vec::new(),
        backoff: BACKOFF,
        skip_previous: None,
    };
}

/// What may be repeated, for a whole mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RepeatRule {
    /// Only what cannot have taken effect, what changes nothing by its method, and what is declared repeatable.
    #[default]
    Safe,
    /// Everything that a policy names, as Istio does it.
    Any,
}

/// How many tries after the first a destination can bear, besides what the policy of each request says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RetryBudget {
    /// Their share of recent requests, in millionths.
    pub share: u32,
    /// As many may be under way whatever their share.
    pub minimum: u32,
    /// How far back "recent" reaches; `None` is the engine's choice.
    pub interval: Option<Duration>,
}

impl RetryBudget {
    /// What is meant where only one part is given (Istio's values).
    pub const DEFAULT: Self = Self { share: 200_000, minimum: 3, interval: None };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_have_names() {
        for condition in Condition::ALL {
            assert_eq!(Condition::from_name(condition.name()), Some(condition));
            assert_eq!(Conditions::NONE.with(condition).iter().collect::<Vec<_>>(), [condition]);
        }
        assert_eq!(Condition::from_name("6xx"), None);
        assert_eq!(
            Conditions::DEFAULT.to_string(),
            "connect-failure,refused-stream,retriable-status-codes,cancelled,unavailable"
        );
    }
}
