//! What a decision considered, told to whoever listens.
//!
//! Decisions take an `&mut impl Explain` and tell it their steps. [`Silent`] costs nothing; [`Transcript`] keeps the
//! steps as data. A listener never changes a decision: it only makes it go on to name the candidates that lost after
//! the winner was found.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use leno_model::failure::Failure;
use leno_model::fault::AbortStatus;
use leno_model::hash::HashKey;
use leno_model::name::Host;
use leno_model::policy::{ConditionKey, PolicyAction};
use leno_model::retry::Conditions;
use leno_model::route::Target;
use leno_model::span::Origin;
use leno_model::text::{PathMatch, TextMatch};

use crate::retry::{Reason, Repeatable};

/// A listener to a decision's steps.
pub trait Explain {
    /// Whether anybody listens. Where nobody does, a decision stops at its winner.
    const LISTENS: bool;

    /// Takes a step. The event is only made when somebody listens.
    fn tell(&mut self, event: impl FnOnce() -> Event);
}

/// Nobody listens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Explain for Silent {
    const LISTENS: bool = false;

    #[inline]
    fn tell(&mut self, _event: impl FnOnce() -> Event) {}
}

/// Keeps every step, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    /// The steps.
    pub events: Vec<Event>,
}

impl Explain for Transcript {
    const LISTENS: bool = true;

    fn tell(&mut self, event: impl FnOnce() -> Event) {
        self.events.push(event());
    }
}

/// One step of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A rule of a route table was considered, by one of its matches. In the table's order.
    Rule {
        /// The rule.
        origin: Origin,
        /// Its name.
        name: Option<Arc<str>>,
        /// Which of the rule's matches, counted from 0; `None` for a rule without matches.
        index: Option<usize>,
        /// What became of it.
        outcome: RuleOutcome,
    },
    /// A backend of the winning rule was considered.
    Backend {
        /// The backend.
        origin: Origin,
        /// Where it leads.
        target: Target,
        /// Its weight.
        weight: u32,
        /// The sum of all weights.
        total: u64,
        /// Whether it was drawn.
        drawn: bool,
    },
    /// A request's key, where the destination sends requests of one key to one endpoint.
    Key {
        /// What the key is.
        key: HashKey,
        /// Whether the request has one.
        found: bool,
        /// Whether its client is given one.
        given: bool,
    },
    /// Whether a mirror gets a copy was drawn.
    Mirror {
        /// The mirror.
        origin: Origin,
        /// Where it leads.
        target: Target,
        /// Share of the requests that it gets, in millionths.
        share: u32,
        /// Whether it gets this one.
        drawn: bool,
    },
    /// Whether a fault is injected was drawn.
    Fault {
        /// The fault.
        fault: Fault,
        /// Share of the requests that have it, in millionths.
        share: u32,
        /// Whether this one has.
        drawn: bool,
    },
    /// Policies are evaluated against this reading of the request's path, too.
    Reading {
        /// The decoded path; bytes that are not UTF-8 are replaced.
        path: String,
    },
    /// A rule of a policy was considered.
    Policy {
        /// The rule; the policy's own origin for a policy without rules.
        origin: Origin,
        /// What its policy does.
        action: PolicyAction,
        /// Whether it is only a shadow.
        dry_run: bool,
        /// What became of it.
        outcome: PolicyOutcome,
    },
    /// What holds for the tries of the request.
    Tries(Tries),
    /// A try has ended otherwise than it should.
    Retry {
        /// Tries so far.
        tries: u32,
        /// The pause before the next one, or why there is none.
        outcome: Result<Duration, Reason>,
    },
    /// An endpoint was considered.
    Endpoint {
        /// Its id.
        uid: Arc<str>,
        /// What became of it.
        outcome: EndpointOutcome,
    },
}

/// A fault that a route injects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A wait.
    Delay(Duration),
    /// An answer of the proxy's own.
    Abort(AbortStatus),
}

/// What holds for the tries of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tries {
    /// Tries after the first, at most.
    pub attempts: u32,
    /// What has to go wrong for another.
    pub on: Conditions,
    /// Whether it may be sent again though it may have taken effect.
    pub repeatable: Repeatable,
    /// Time for the whole exchange.
    pub timeout: Option<Duration>,
    /// Time for one try.
    pub per_try: Option<Duration>,
    /// When a second try starts beside the first.
    pub hedge_after: Option<Duration>,
}

/// What became of a rule's match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleOutcome {
    /// It decides.
    Won,
    /// It matches too, but stands after the winner.
    Outranked,
    /// This condition does not hold.
    Lost(Unmet),
}

/// A condition of a route's match that a request does not meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// The path.
    Path(PathMatch),
    /// The method.
    Method(TextMatch),
    /// The request is a CONNECT, and the match doesn't name its method.
    Connect,
    /// The scheme.
    Scheme(TextMatch),
    /// The authority.
    Authority(TextMatch),
    /// A header.
    Header {
        /// Its name.
        name: Arc<str>,
        /// The condition.
        value: TextMatch,
        /// Whether the condition must not hold.
        invert: bool,
    },
    /// A query parameter.
    Query {
        /// Its name.
        name: Arc<str>,
        /// The condition.
        value: TextMatch,
    },
    /// The name that a ClientHello asks for.
    ServerName(Vec<Host>),
    /// The address that was dialled.
    Destination,
    /// The dialled port.
    Port(u16),
    /// The caller's labels.
    SourceLabels,
    /// The caller's namespace.
    SourceNamespace(Arc<str>),
    /// The rule is for other places (gateways, or sidecars).
    Scope,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "path {path}"),
            Self::Method(method) => write!(f, "method {method}"),
            Self::Connect => f.write_str("a method, which CONNECT needs"),
            Self::Scheme(scheme) => write!(f, "scheme {scheme}"),
            Self::Authority(authority) => write!(f, "authority {authority}"),
            Self::Header { name, value, invert: false } => write!(f, "header {name} {value}"),
            Self::Header { name, value, invert: true } => write!(f, "header {name} not {value}"),
            Self::Query { name, value } => write!(f, "query parameter {name} {value}"),
            Self::ServerName(names) => {
                let names: Vec<&str> = names.iter().map(Host::as_str).collect();
                write!(f, "server name {}", names.join(" or "))
            }
            Self::Destination => f.write_str("destination's address"),
            Self::Port(port) => write!(f, "port {port}"),
            Self::SourceLabels => f.write_str("labels of the caller"),
            Self::SourceNamespace(namespace) => write!(f, "caller in namespace {namespace}"),
            Self::Scope => f.write_str("the place where the rule applies"),
        }
    }
}

/// What became of a policy's rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyOutcome {
    /// It matches and decides.
    Won,
    /// It matches too, but another one has decided.
    Outranked,
    /// The policy has no rules and never matches.
    NoRules,
    /// An allow rule with a part that is not understood never matches.
    Incomplete,
    /// An allow rule about HTTP never matches opaque traffic.
    NotHttp,
    /// No source matches; for each, the first clause that does not hold.
    Source(Vec<&'static str>),
    /// No operation matches; for each, the first clause that does not hold.
    Operation(Vec<&'static str>),
    /// This condition does not hold.
    Condition(ConditionKey),
}

/// What became of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointOutcome {
    /// It gets the request.
    Picked,
    /// It was compared with the one picked and is the more costly; costs in nanoseconds of waiting.
    Costlier {
        /// Its cost.
        cost: u64,
        /// The cost of the one picked.
        picked: u64,
    },
    /// It could have been picked, but was not drawn.
    NotDrawn,
    /// It was tried before for this request.
    Tried,
    /// It is left out for a time, because it did badly.
    Ejected {
        /// How long from now on.
        left: Duration,
    },
    /// It is not ready.
    NotReady,
    /// It does not serve the port.
    NoPort,
    /// It is not one of the subset.
    NotInSubset,
    /// It cannot be reached in the way that the destination's settings demand.
    Unreachable(Failure),
}
