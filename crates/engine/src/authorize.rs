//! Whether a connection or request is allowed.
//!
//! Deny policies first; then, where any allow policy is in force, one of them must match (Istio's AZ-7). Whatever is
//! not known or not understood makes the result stricter: an allow rule then does not match, and a deny rule does.
//!
//! A request's path is judged as it goes upstream *and* as a server may read it: percent-decoded, backslashes as
//! slashes, slashes merged, dot segments resolved. A request is allowed only if both readings are.

mod host;
mod reading;
mod rule;

use std::sync::Arc;

use leno_model::policy::{Condition, ConditionKey, Peer, Policy, PolicyAction, PolicyRule};
use leno_model::request::RequestView;
use leno_model::span::Origin;

use crate::explain::{Event, Explain, PolicyOutcome};
use rule::{Facts, Rule, Sense};

/// The policies in force at one workload, compiled.
#[derive(Clone, Debug, Default)]
pub struct Authorizer {
    live: Policies,
    shadow: Policies,
    /// Whether any rule looks at paths, so that how a path reads can matter.
    reads_paths: bool,
    /// Whether any rule looks at where a connection or request comes from.
    reads_addresses: bool,
}

#[derive(Clone, Debug, Default)]
struct Policies {
    deny: Vec<Compiled>,
    allow: Vec<Compiled>,
}

#[derive(Clone, Debug)]
struct Compiled {
    policy: Arc<Policy>,
    rules: Vec<Rule>,
}

/// What the policies say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// What is done.
    pub decision: Decision<'a>,
    /// What would be done if the shadow policies (dry run) were in force, too; `None` without any.
    pub shadow: Option<Decision<'a>>,
}

/// Allowed or denied, and by which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision<'a> {
    /// It goes on.
    Allowed {
        /// The rule that allows it; `None` where no allow policy is in force.
        by: Option<&'a Origin>,
    },
    /// It ends here.
    Denied {
        /// The rule that denies it; `None` where allow policies are in force and none matches.
        by: Option<&'a Origin>,
    },
}

impl Decision<'_> {
    /// Whether it is allowed.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }
}

impl Verdict<'_> {
    /// Whether it is allowed.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        self.decision.is_allowed()
    }

    /// The verdict on two readings of one request: the first denial counts.
    fn and(self, other: Self) -> Self {
        Self {
            decision: stricter(self.decision, other.decision),
            shadow: self.shadow.zip(other.shadow).map(|(a, b)| stricter(a, b)),
        }
    }
}

const fn stricter<'a>(a: Decision<'a>, b: Decision<'a>) -> Decision<'a> {
    if a.is_allowed() && !b.is_allowed() { b } else { a }
}

impl Authorizer {
    /// Compiles policies, shadow ones among them.
    #[must_use]
    pub fn compile(policies: &[Arc<Policy>]) -> Self {
        let mut compiled = Self::default();
        for policy in policies {
            let set = if policy.dry_run { &mut compiled.shadow } else { &mut compiled.live };
            let list = match policy.action {
                PolicyAction::Deny => &mut set.deny,
                PolicyAction::Allow => &mut set.allow,
            };
            let operations = policy.rules.iter().flat_map(|rule| &rule.operations);
            compiled.reads_paths |= operations.into_iter().any(|operation| !operation.paths.is_empty());
            compiled.reads_addresses |= policy.rules.iter().any(reads_addresses);
            let rules = policy.rules.iter().map(Rule::compile).collect();
            list.push(Compiled { policy: Arc::clone(policy), rules });
        }
        compiled
    }

    /// Whether every connection and request is allowed, so that nothing need be asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        [&self.live, &self.shadow].iter().all(|set| set.deny.is_empty() && set.allow.is_empty())
    }

    /// Whether a caller's address can matter, so that it is worth finding out.
    #[must_use]
    pub fn reads_addresses(&self) -> bool {
        self.reads_addresses
    }

    /// The verdict on a request, or on opaque traffic where there is none.
    pub fn check(
        &self,
        peer: &Peer,
        request: Option<&impl RequestView>,
        explain: &mut impl Explain,
    ) -> Verdict<'_> {
        let verdict = self.judge(&Facts::new(peer, request), explain);
        let request_path = request.filter(|_| self.reads_paths).map(RequestView::path_bytes);
        let Some(decoded) = request_path.and_then(reading::decoded) else { return verdict };
        explain.tell(|| Event::Reading { path: String::from_utf8_lossy(&decoded).into_owned() });
        verdict.and(self.judge(&Facts::new(peer, request).with_path(&decoded), explain))
    }

    /// The verdict on opaque traffic.
    pub fn check_opaque(&self, peer: &Peer, explain: &mut impl Explain) -> Verdict<'_> {
        self.check(peer, None::<&NoRequest>, explain)
    }

    fn judge<R: RequestView>(&self, facts: &Facts<'_, R>, explain: &mut impl Explain) -> Verdict<'_> {
        let denied = first_match(&self.live.deny, Sense::Deny, facts, explain);
        // Whom a deny rule has matched, no allow rule can help.
        let allowed = match denied {
            Some(_) => None,
            None => first_match(&self.live.allow, Sense::Allow, facts, explain),
        };
        let decision = decide(denied, allowed, self.live.allow.is_empty());
        if self.shadow.deny.is_empty() && self.shadow.allow.is_empty() {
            return Verdict { decision, shadow: None };
        }
        let denied = denied.or_else(|| first_match(&self.shadow.deny, Sense::Deny, facts, explain));
        let allowed = match (denied, allowed) {
            (None, None) => first_match(&self.shadow.allow, Sense::Allow, facts, explain),
            _ => allowed,
        };
        let open = self.live.allow.is_empty() && self.shadow.allow.is_empty();
        Verdict { decision, shadow: Some(decide(denied, allowed, open)) }
    }
}

fn reads_addresses(rule: &PolicyRule) -> bool {
    let by_source = rule.sources.iter().any(|source| !source.ips.is_empty() || !source.remote_ips.is_empty());
    let is_address =
        |condition: &Condition| matches!(condition.key, ConditionKey::SourceIp | ConditionKey::RemoteIp);
    by_source || rule.conditions.iter().any(is_address)
}

/// `open` says that no allow policy is in force.
const fn decide<'a>(denied: Option<&'a Origin>, allowed: Option<&'a Origin>, open: bool) -> Decision<'a> {
    match (denied, allowed) {
        (Some(_), _) => Decision::Denied { by: denied },
        (None, None) if !open => Decision::Denied { by: None },
        (None, _) => Decision::Allowed { by: allowed },
    }
}

fn first_match<'a, R: RequestView, E: Explain>(
    policies: &'a [Compiled],
    sense: Sense,
    facts: &Facts<'_, R>,
    explain: &mut E,
) -> Option<&'a Origin> {
    let mut winner = None;
    for Compiled { policy, rules } in policies {
        let event = |origin: &Origin, outcome| Event::Policy {
            origin: origin.clone(),
            action: policy.action,
            dry_run: policy.dry_run,
            outcome,
        };
        if rules.is_empty() {
            explain.tell(|| event(&policy.origin, PolicyOutcome::NoRules));
        }
        for rule in rules {
            let unmet = rule.unmet(sense, facts);
            explain.tell(|| {
                let outcome = match unmet {
                    Some(unmet) => rule.describe(unmet, sense, facts),
                    None if winner.is_some() => PolicyOutcome::Outranked,
                    None => PolicyOutcome::Won,
                };
                event(&rule.origin, outcome)
            });
            if unmet.is_none() && winner.is_none() {
                winner = Some(&rule.origin);
                if !E::LISTENS {
                    return winner;
                }
            }
        }
    }
    winner
}

/// Stands for the request of opaque traffic; there is none.
#[derive(Debug)]
enum NoRequest {}

impl RequestView for NoRequest {
    fn method(&self) -> &str {
        match *self {}
    }

    fn scheme(&self) -> &str {
        match *self {}
    }

    fn authority(&self) -> &str {
        match *self {}
    }

    fn path(&self) -> &str {
        match *self {}
    }

    fn query(&self) -> Option<&str> {
        match *self {}
    }

    fn header(&self, _name: &str) -> Option<std::borrow::Cow<'_, [u8]>> {
        match *self {}
    }
}

#[cfg(test)]
mod tests;
