//! Routes: which requests go where, and what is changed on the way.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::fault::FaultInjection;
use crate::labels::Labels;
use crate::name::Host;
use crate::retry::RetryPolicy;
use crate::span::Origin;
use crate::text::{PathMatch, Pattern, TextMatch};

/// How the rules of a table are ordered; each dialect keeps its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOrder {
    /// The first rule in listed order (Istio, Consul, Linkerd's profiles).
    FirstMatch,
    /// The most specific match (Gateway API): exact path, longest prefix, method, most headers, most query
    /// parameters; then listed order.
    MostSpecific,
    /// The lowest [`Rule::priority`], then the longest path prefix, then listed order (App Mesh).
    Priority,
}

/// All rules for the requests to one host or listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteTable {
    /// Which rule wins.
    pub order: MatchOrder,
    /// The rules, in listed order; those of older objects first.
    pub rules: Vec<Rule>,
}

/// One rule: matches, and what to do then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The rule's name where the user gave one; used as `route_name` in logs.
    pub name: Option<Arc<str>>,
    /// The text it comes from.
    pub origin: Origin,
    /// Any of these; an empty list matches every request.
    pub matches: Vec<Match>,
    /// Priority for [`MatchOrder::Priority`]; lower wins.
    pub priority: u32,
    /// What to do with a request that matches.
    pub action: Action,
    /// Changes to the request on its way up.
    pub request_headers: HeaderEdits,
    /// Changes to the response on its way down.
    pub response_headers: HeaderEdits,
}

/// Conditions on a request; all of those given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// The path.
    pub path: Option<PathMatch>,
    /// Whether the path (exact and prefix only) is compared without regard to case.
    pub path_ignore_case: bool,
    /// The method.
    pub method: Option<TextMatch>,
    /// The scheme.
    pub scheme: Option<TextMatch>,
    /// The authority, as sent.
    pub authority: Option<TextMatch>,
    /// Headers, by lower-case name.
    pub headers: Vec<HeaderMatch>,
    /// Query parameters, by exact name; the first parameter of a name counts.
    pub query: Vec<QueryMatch>,
    /// The service port that was dialled.
    pub port: Option<u16>,
    /// Labels of the calling workload.
    pub source_labels: Labels,
    /// Namespace of the calling workload.
    pub source_namespace: Option<Arc<str>>,
    /// Where the match applies, when narrower than its object.
    pub scopes: Option<Vec<Scope>>,
    /// It is about connections that carry no requests for the proxy to see, and about these alone; of the other
    /// conditions only port, labels, namespace and scopes are given then.
    pub stream: Option<StreamMatch>,
}

/// Conditions on a connection; all of those given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamMatch {
    /// Its ClientHello asks for one of these names; an empty list holds for every connection, TLS or not.
    pub server_names: Vec<Host>,
    /// It goes to one of these addresses; an empty list is all.
    pub subnets: Vec<IpNet>,
}

/// A condition on one header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderMatch {
    /// Lower-case name.
    pub name: Arc<str>,
    /// The condition on its value.
    pub value: TextMatch,
    /// Whether the condition must *not* hold (Istio's `withoutHeaders`).
    pub invert: bool,
}

/// A condition on one query parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryMatch {
    /// The name, compared exactly after percent-decoding.
    pub name: Arc<str>,
    /// The condition on its value.
    pub value: TextMatch,
}

/// Where routes apply.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// All sidecars.
    Mesh,
    /// The gateway of this namespace and name.
    Gateway {
        /// Its namespace.
        namespace: Arc<str>,
        /// Its name.
        name: Arc<str>,
    },
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is sent to a backend.
    Forward(Forward),
    /// It is answered with a redirect.
    Redirect(Redirect),
    /// It is answered with a fixed response.
    Respond(FixedResponse),
}

/// Sending a request on. The default says nothing: no backend, no change, no limit, no policy of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forward {
    /// Where to; one is drawn by weight. An empty list, or only weights of zero, has a named failure.
    pub backends: Vec<Backend>,
    /// Changes to path and host.
    pub rewrite: Rewrite,
    /// Time for the whole exchange, all tries included, until the response is complete; `None` is no limit.
    pub timeout: Option<Duration>,
    /// Time for one try.
    pub per_try_timeout: Option<Duration>,
    /// When it is tried again; `None` is [`RetryPolicy::IMPLICIT`].
    pub retry: Option<RetryPolicy>,
    /// Whether the user says that every request may be sent more than once without harm.
    pub repeatable: bool,
    /// Where no answer has begun after this time, a request that is repeatable is sent to another endpoint as well,
    /// and the first good answer counts.
    pub hedge_after: Option<Duration>,
    /// Faults that are injected.
    pub fault: Option<FaultInjection>,
    /// Where copies of requests go, whose answers nobody waits for.
    pub mirrors: Vec<Mirror>,
}

/// A destination for copies of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Where it leads.
    pub target: Target,
    /// Share of the requests, in millionths; of each mirror on its own.
    pub share: u32,
    /// The text it comes from.
    pub origin: Origin,
}

/// A weighted destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Where it leads.
    pub target: Target,
    /// Share relative to the sum of all; zero gets nothing.
    pub weight: u32,
    /// Changes to requests that go here, after the rule's.
    pub request_headers: HeaderEdits,
    /// Changes to responses that come from here, before the rule's.
    pub response_headers: HeaderEdits,
    /// The text it comes from.
    pub origin: Origin,
}

/// What a backend names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A service's port, or the endpoints of one subset of it.
    Service {
        /// The service.
        host: Host,
        /// The service port. `None`: the port that was dialled, or the only one that the service has.
        port: Option<u16>,
        /// The subset's name.
        subset: Option<Arc<str>>,
    },
    /// Something that cannot be used; requests fail with `InvalidBackend` (Gateway API says 500).
    Invalid {
        /// Why, for `explain`.
        reason: Arc<str>,
    },
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service { host, port, subset } => {
                write!(f, "{host}")?;
                if let Some(port) = port {
                    write!(f, ":{port}")?;
                }
                if let Some(subset) = subset {
                    write!(f, " subset {subset}")?;
                }
                Ok(())
            }
            Self::Invalid { reason } => write!(f, "invalid: {reason}"),
        }
    }
}

/// Changes to headers, done in the order remove, set, add. Names are lower-case and valid; `host` and pseudo-headers
/// are never among them (see [`Rewrite`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct HeaderEdits {
    /// Removed.
    pub remove: Vec<Arc<str>>,
    /// Set, replacing what was there.
    pub set: Vec<(Arc<str>, Arc<str>)>,
    /// Added beside what was there.
    pub add: Vec<(Arc<str>, Arc<str>)>,
}

impl HeaderEdits {
    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}

/// Changes to where a request says it is going.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rewrite {
    /// A new authority.
    pub authority: Option<Arc<str>>,
    /// A new path.
    pub path: Option<PathRewrite>,
}

/// How a path is changed. The query stays.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathRewrite {
    /// The whole path becomes this.
    Full(Arc<str>),
    /// What the rule's path match covered becomes this: the prefix of a prefix match, else the whole path.
    Matched(Arc<str>),
    /// Every match of the pattern is replaced; `\1` names a group (RE2's rewrite syntax).
    Regex {
        /// What is looked for, anywhere in the path.
        pattern: Pattern,
        /// What replaces it.
        substitution: Arc<str>,
    },
}

/// A redirect answer; parts not given are those of the request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Redirect {
    /// New scheme.
    pub scheme: Option<Arc<str>>,
    /// New host.
    pub host: Option<Arc<str>>,
    /// Which port the location names.
    pub port: RedirectPort,
    /// New path.
    pub path: Option<PathRewrite>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// The port in a redirect's location.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RedirectPort {
    /// With a new scheme its well-known port (not written out), else the listener's (Gateway API).
    #[default]
    Derived,
    /// The port that was dialled, or the listener's (Istio's `FROM_REQUEST_PORT`).
    Request,
    /// None of its own: a new host gets the scheme's default; the request's host keeps the port it was written with,
    /// unless that was only the old scheme's default (Istio's default, as Envoy does it).
    SchemeDefault,
    /// This one; left out where it is the scheme's default.
    Fixed(u16),
}

/// An answer given by the proxy as a rule says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FixedResponse {
    /// The status, 200..=599.
    pub status: u16,
    /// The body.
    pub body: Arc<[u8]>,
}
