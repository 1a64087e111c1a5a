//! The engine's limits, each with its reason.

use std::time::Duration;

/// Endpoints with state of their own, at most. State is some 200 bytes each, its key included; a proxy with more endpoints than this
/// balances the rest without memory of earlier configurations.
pub const MAX_STATES: usize = 65_536;

/// How far back "recent requests" reaches for a retry budget that doesn't say so. Long enough for a share of a trickle
/// to mean something, short enough that a quiet hour doesn't pay for a storm.
pub const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Share of recent requests that may be retried where nothing is configured, in millionths (20 %, as Linkerd's and
/// Istio's budgets).
pub const RETRY_SHARE: u32 = 200_000;

/// Retries per second that are allowed whatever their share where nothing is configured, so that services with few
/// requests have any (Linkerd's number).
pub const RETRIES_PER_SECOND: u32 = 10;

/// Service ports with a retry budget that survives changes of configuration, at most.
pub const MAX_BUDGETS: usize = 16_384;

/// Ids of requests whose failure was retried that are remembered for the answer they lead to. A failure is answered
/// within seconds; at 8 bytes each, a thousand failures per second cost little.
pub const SETTLED_REQUESTS: usize = 1024;

/// Largest compiled program of a path rewrite, in bytes. A pattern is checked against
/// [`leno_model::text::MAX_PROGRAM_BYTES`] in its anchored form; the unanchored one may be a little larger.
pub const MAX_REWRITE_PROGRAM_BYTES: usize = 2 * leno_model::text::MAX_PROGRAM_BYTES;

/// Service ports and subsets whose limits are counted across changes of configuration, at most.
pub const MAX_BREAKERS: usize = 16_384;

/// Places of a table that are looked at for a key whose endpoint may not be used, besides eight for each endpoint.
pub const PROBES: usize = 64;

/// Endpoints drawn for one pick before the next that isn't ejected is taken, whatever its slow start: where one in ten
/// may be used, five picks of six find one by then.
pub const DRAWS: usize = 16;

/// An endpoint is ejected for no longer than this, unless its base time is longer (Envoy's `max_ejection_time`).
pub const LONGEST_EJECTION: Duration = Duration::from_secs(300);

/// Requests to an endpoint within an interval before its success rate means anything (Envoy's).
pub const RATED_REQUESTS: u32 = 100;

/// Endpoints with a success rate before one of them can be far from the others (Envoy's).
pub const RATED_ENDPOINTS: usize = 5;

/// Answers of an endpoint within an interval before their average latency means anything.
pub const LATENCY_ANSWERS: u32 = 20;

/// Endpoints with an average latency before there is a median to be far from.
pub const LATENCY_ENDPOINTS: usize = 3;

/// Latencies that differ by less are alike: nobody is ejected for a difference that nobody feels.
pub const LATENCY_DIFFERENCE: Duration = Duration::from_millis(5);

/// Longest path that a rewrite may make, in bytes: as long as the longest request head that is taken in. A pattern
/// that matches everywhere would otherwise multiply a long path by the length of its substitution.
pub const MAX_REWRITTEN_PATH_BYTES: usize = 64 * 1024;
