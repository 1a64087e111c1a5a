//! Whether a try that went wrong is followed by another, after how long, or why not.
//!
//! Invariant: nothing is repeated that may have taken effect, unless its method changes nothing, the user declares it
//! repeatable, or the mesh says that everything is. What a policy, a budget or a header says comes after that. The
//! decision knows nothing of connections: what happened comes as data, and time and chance are given.

pub mod budget;
mod settled;
mod terms;

use std::time::{Duration, Instant};

use leno_model::failure::{Failure, Fault, grpc};
use leno_model::retry::{Condition, Progress};

use crate::explain::{Event, Explain};
use crate::rng::below;
use crate::time::nanoseconds;
use budget::{Budget, Limits, Permit};

pub use settled::Settled;
pub use terms::{Repeatable, Settings, Terms, Wish, Wishes};

/// By how much the first pause may grow.
const BACKOFF_GROWTH: u32 = 10;

/// A try that has come to an end, or to the head of its answer.
#[derive(Clone, Copy, Debug)]
pub struct Tried<'a> {
    /// What came of it.
    pub end: End<'a>,
    /// Tries so far, this one included; hedges count.
    pub tries: u32,
    /// Whether the request's body can be sent again from its beginning.
    pub replayable: bool,
    /// Time left for the whole exchange.
    pub left: Option<Duration>,
}

/// What came of a try.
#[derive(Clone, Copy, Debug)]
pub enum End<'a> {
    /// No answer.
    Failed(Failure, Progress),
    /// The head of an answer.
    Answered(Answer<'a>),
}

/// What is read of an answer's head.
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    /// The status.
    pub status: u16,
    /// `grpc-status`, where it stands in the head.
    pub grpc_status: Option<u16>,
    /// Whether the head has a field, by lower-case name.
    pub has_field: &'a dyn Fn(&str) -> bool,
    /// What the mesh's proxies say of it.
    pub mark: Option<Mark>,
}

impl std::fmt::Debug for Answer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { status, grpc_status, mark, .. } = self;
        write!(f, "{status} {grpc_status:?} {mark:?}")
    }
}

/// What proxies of one mesh tell each other about a failure that they pass on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Retries were decided on below, so nobody above repeats it: budgets would multiply with every hop.
    Settled,
    /// The application got nothing of the request.
    Untouched,
}

impl Mark {
    /// The response header that carries it, between proxies of the mesh only.
    pub const HEADER: &'static str = "x-leno-retry";

    /// Its value.
    #[must_use]
    pub const fn value(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Untouched => "untouched",
        }
    }

    /// The mark of that value.
    #[must_use]
    pub fn from_value(value: &[u8]) -> Option<Self> {
        [Self::Settled, Self::Untouched].into_iter().find(|mark| mark.value().as_bytes() == value)
    }
}

/// What follows a try.
#[derive(Debug)]
pub enum Verdict {
    /// Another one.
    Again {
        /// After this time.
        pause: Duration,
        /// Counts it as under way, where a budget has paid for it.
        permit: Option<Permit>,
    },
    /// None.
    Enough(Reason),
}

/// Why there is no further try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Nothing went wrong that the policy names.
    NotNamed,
    /// The policy never asks for another try.
    Off,
    /// It was decided on below.
    Settled,
    /// The policy allows no more.
    Exhausted,
    /// The request may have taken effect, and is not known to be repeatable.
    MayHaveTakenEffect,
    /// Too much of the body has been sent for it to be kept.
    BodyNotKept,
    /// Too little time is left.
    NoTime,
    /// The destination's budget is used up.
    Budget,
}

impl Reason {
    /// The reason in words, as the end of a sentence about a request.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::NotNamed => "the policy names nothing that went wrong",
            Self::Off => "the policy asks for no further tries",
            Self::Settled => "retries were decided on by the proxy below",
            Self::Exhausted => "the policy allows no more tries",
            Self::MayHaveTakenEffect => "it may have taken effect, and is not known to be repeatable",
            Self::BodyNotKept => "its body was too large to keep",
            Self::NoTime => "too little time is left",
            Self::Budget => "the destination's retry budget is used up",
        }
    }

    /// Whether a try was wanted, and nobody above is to make up for it.
    #[must_use]
    pub const fn settles(self) -> bool {
        matches!(self, Self::Settled | Self::Exhausted | Self::Budget)
    }
}

/// What pays for tries after the first.
#[derive(Clone, Copy, Debug)]
pub struct Purse<'a> {
    /// What is left of it.
    pub budget: &'a std::sync::Arc<Budget>,
    /// What it is given.
    pub limits: Limits,
}

/// Decides what follows a try. `draw` is uniform over all 64-bit numbers and spreads the pauses. A try of which nothing
/// was processed needs no purse: it cost the destination nothing.
pub fn decide(
    terms: &Terms<'_>,
    tried: &Tried<'_>,
    purse: Option<Purse<'_>>,
    now: Instant,
    draw: u64,
    explain: &mut impl Explain,
) -> Verdict {
    let verdict = judge(terms, tried, purse, now, draw);
    explain.tell(|| Event::Retry {
        tries: tried.tries,
        outcome: match &verdict {
            Verdict::Again { pause, .. } => Ok(*pause),
            Verdict::Enough(reason) => Err(*reason),
        },
    });
    verdict
}

fn judge(terms: &Terms<'_>, tried: &Tried<'_>, purse: Option<Purse<'_>>, now: Instant, draw: u64) -> Verdict {
    let unprocessed = tried.end.is_unprocessed();
    if !is_failure(terms, &tried.end) {
        return Verdict::Enough(Reason::NotNamed);
    }
    if terms.attempts == 0 {
        return Verdict::Enough(Reason::Off);
    }
    if tried.end.mark() == Some(Mark::Settled) {
        return Verdict::Enough(Reason::Settled);
    }
    if tried.tries > terms.attempts {
        return Verdict::Enough(Reason::Exhausted);
    }
    if !unprocessed && terms.repeatable == Repeatable::No {
        return Verdict::Enough(Reason::MayHaveTakenEffect);
    }
    if !tried.replayable {
        return Verdict::Enough(Reason::BodyNotKept);
    }
    // What cost nothing may be made up for at once, at another endpoint.
    let pause =
        if unprocessed && tried.tries == 1 { Duration::ZERO } else { pause(terms, tried.tries, draw) };
    if tried.left.is_some_and(|left| left <= pause) {
        return Verdict::Enough(Reason::NoTime);
    }
    match purse.filter(|_| !unprocessed).map(|purse| Budget::withdraw(purse.budget, purse.limits, now)) {
        None => Verdict::Again { pause, permit: None },
        Some(Some(permit)) => Verdict::Again { pause, permit: Some(permit) },
        Some(None) => Verdict::Enough(Reason::Budget),
    }
}

/// Whether a second try may start while the first goes on, and what counts it then.
pub fn hedge(
    terms: &Terms<'_>,
    tries: u32,
    replayable: bool,
    purse: Option<Purse<'_>>,
    now: Instant,
) -> Result<Option<Permit>, Reason> {
    if terms.repeatable == Repeatable::No {
        return Err(Reason::MayHaveTakenEffect);
    }
    if tries > terms.attempts {
        return Err(Reason::Exhausted);
    }
    if !replayable {
        return Err(Reason::BodyNotKept);
    }
    match purse {
        None => Ok(None),
        Some(purse) => Budget::withdraw(purse.budget, purse.limits, now).map(Some).ok_or(Reason::Budget),
    }
}

impl End<'_> {
    /// Whether it is certain that nothing of the request was processed.
    #[must_use]
    pub fn is_unprocessed(&self) -> bool {
        match self {
            Self::Failed(_, progress) => matches!(progress, Progress::NotSent | Progress::Refused),
            Self::Answered(answer) => answer.mark == Some(Mark::Untouched),
        }
    }

    fn mark(&self) -> Option<Mark> {
        match self {
            Self::Failed(..) => None,
            Self::Answered(answer) => answer.mark,
        }
    }
}

/// Whether one of the policy's conditions holds (Envoy's meaning of each).
#[must_use]
pub fn is_failure(terms: &Terms<'_>, end: &End<'_>) -> bool {
    match end {
        End::Failed(failure, progress) => names_failure(terms, *failure, *progress),
        End::Answered(answer) => names_answer(terms, answer),
    }
}

fn names_failure(terms: &Terms<'_>, failure: Failure, progress: Progress) -> bool {
    // Without an endpoint there is nobody to ask again, and with the whole time gone no time to. An endpoint that
    // takes no more connections is like one that is gone.
    let of_a_try = failure.row().fault == Fault::Upstream
        && !matches!(failure, Failure::NoEndpoint | Failure::UpstreamTimeout)
        || failure == Failure::Overflow;
    of_a_try
        && terms.on.iter().any(|condition| match condition {
            Condition::ServerError | Condition::GatewayError | Condition::Reset => true,
            Condition::ResetBeforeRequest | Condition::ConnectFailure => progress == Progress::NotSent,
            Condition::RefusedStream => progress == Progress::Refused,
            _ => false,
        })
}

/// The conditions that an answer can meet which is no error.
const OF_GOOD: [Condition; 3] =
    [Condition::RetriableStatusCodes, Condition::RetriableHeaders, Condition::EnvoyRateLimited];

fn names_answer(terms: &Terms<'_>, answer: &Answer<'_>) -> bool {
    let is_good = answer.status < 400 && answer.grpc_status.is_none_or(|code| code == 0);
    // Nearly all are.
    if is_good && answer.mark.is_none() {
        return OF_GOOD
            .into_iter()
            .any(|condition| terms.on.contains(condition) && meets(terms, answer, condition));
    }
    terms.on.iter().any(|condition| meets(terms, answer, condition))
}

fn meets(terms: &Terms<'_>, answer: &Answer<'_>, condition: Condition) -> bool {
    let grpc = |code: u8| answer.grpc_status == Some(u16::from(code));
    match condition {
        Condition::ServerError => (500..600).contains(&answer.status),
        Condition::GatewayError => (502..=504).contains(&answer.status),
        Condition::Retriable4xx => answer.status == 409,
        Condition::RetriableStatusCodes => terms.has_status(answer.status),
        Condition::RetriableHeaders => terms.headers().any(|name| (answer.has_field)(name)),
        Condition::EnvoyRateLimited => (answer.has_field)("x-envoy-ratelimited"),
        Condition::Cancelled => grpc(grpc::CANCELLED),
        Condition::DeadlineExceeded => grpc(grpc::DEADLINE_EXCEEDED),
        Condition::ResourceExhausted => grpc(grpc::RESOURCE_EXHAUSTED),
        Condition::Internal => grpc(grpc::INTERNAL),
        Condition::Unavailable => grpc(grpc::UNAVAILABLE),
        // The proxy in front of the application got no connection to it: what a direct client would have seen.
        Condition::ConnectFailure => answer.mark == Some(Mark::Untouched),
        Condition::Reset | Condition::ResetBeforeRequest | Condition::RefusedStream => false,
    }
}

/// Random below a bound that doubles with every try.
fn pause(terms: &Terms<'_>, tries: u32, draw: u64) -> Duration {
    let most = terms.backoff.saturating_mul(BACKOFF_GROWTH);
    let doubled = 1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX);
    let bound = terms.backoff.saturating_mul(doubled).min(most);
    Duration::from_nanos(below(draw, nanoseconds(bound)))
}

#[cfg(test)]
mod tests;
