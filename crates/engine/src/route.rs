//! Which rule of a route table a request falls under, and what is to be done with it.
//!
//! A [`Router`] is a table compiled once: candidates (one per match of each rule) sorted so that the first that matches
//! wins, whatever the dialect's order. Routing is a walk over them. A CONNECT asks for a tunnel to wherever it likes, so
//! only a match that names a method can be about one (Envoy's routes ignore it likewise); a service without routes
//! gets it as it gets everything, since it is then the service's own affair. Routing changes nothing and never retries: whoever
//! edits headers that rules look at routes again.

mod candidate;
mod order;
mod redirect;
mod rewrite;
mod stream;

use std::borrow::Cow;

use leno_model::failure::Failure;
use leno_model::labels::Labels;
use leno_model::name::Host;
use leno_model::request::RequestView;
use leno_model::route::{Action, Backend, FixedResponse, HeaderEdits, RouteTable, Rule, Scope, Target};

use crate::explain::{Event, Explain, RuleOutcome};
use crate::fault::{self, Injected};
use crate::mirror::Mirrors;
use crate::retry::Settings;
use crate::rng::below;
use candidate::Candidate;

pub(crate) use candidate::query;
pub use stream::{Connection, StreamRouter};

/// What routing may read besides the request: who asks, and where.
#[derive(Clone, Copy, Debug)]
pub struct RouteSource<'a> {
    /// Labels of the workload that sends the request.
    pub labels: &'a Labels,
    /// Its namespace.
    pub namespace: &'a str,
    /// The service port that was dialled, or the gateway listener's.
    pub port: u16,
    /// Where the decision is made: in a sidecar, or in which gateway.
    pub scope: &'a Scope,
}

/// A compiled route table.
#[derive(Clone, Debug)]
pub struct Router {
    rules: Vec<CompiledRule>,
    /// In the order in which they are tried.
    candidates: Vec<Candidate>,
    /// Where a service without a table leads.
    service: Option<Target>,
}

#[derive(Clone, Debug)]
struct CompiledRule {
    rule: Rule,
    /// The path rewrite of the action.
    edit: Option<rewrite::Edit>,
    /// The sum of the backends' weights.
    total: u64,
}

/// What to do with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Routed<'r> {
    /// It is sent on.
    Forward(Forward<'r>),
    /// It is answered with a redirect.
    Redirect {
        /// The rule.
        rule: &'r Rule,
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// The `location` header.
        location: String,
    },
    /// It is answered with a fixed response.
    Respond {
        /// The rule.
        rule: &'r Rule,
        /// The response.
        response: &'r FixedResponse,
    },
    /// It fails.
    Failed {
        /// The rule that fails it; `None` where none matches.
        rule: Option<&'r Rule>,
        /// [`Failure::NoRoute`], [`Failure::NoWeight`], [`Failure::InvalidBackend`], or for a path rewrite
        /// [`Failure::PathRejected`] or [`Failure::Internal`].
        failure: Failure,
    },
}

/// How a request is sent on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward<'r> {
    /// The rule; `None` for a service without routes.
    pub rule: Option<&'r Rule>,
    /// The service that was drawn.
    pub host: &'r Host,
    /// The service port; `None` as in [`Target::Service`] (see [`crate::destination::service_port`]).
    pub port: Option<u16>,
    /// The subset's name.
    pub subset: Option<&'r str>,
    /// The new path, without a query; the request's query stays. `None` leaves the path.
    pub path: Option<Cow<'r, str>>,
    /// The new authority. `None` leaves it.
    pub authority: Option<&'r str>,
    /// Changes to the request's headers, in the order in which they are made.
    pub request_headers: [&'r HeaderEdits; 2],
    /// Changes to the response's headers, in the order in which they are made.
    pub response_headers: [&'r HeaderEdits; 2],
    /// Times, and when it is tried again.
    pub settings: Settings<'r>,
    /// The faults that were drawn for it.
    pub injected: Injected,
    /// Where copies of it go.
    pub mirrors: Mirrors<'r>,
}

static NO_EDITS: HeaderEdits = HeaderEdits { remove: Vec::new(), set: Vec::new(), add: Vec::new() };

impl Router {
    /// Compiles a table.
    #[must_use]
    pub fn compile(table: &RouteTable) -> Self {
        let rules = table.rules.iter().map(CompiledRule::new).collect();
        let mut candidates: Vec<_> = table
            .rules
            .iter()
            .enumerate()
            .flat_map(|(position, rule)| Candidate::of_rule(position, rule))
            .collect();
        order::sort(table.order, &table.rules, &mut candidates);
        Self { rules, candidates, service: None }
    }

    /// Whether a table says anything about requests.
    #[must_use]
    pub fn has_rules(table: &RouteTable) -> bool {
        let is_stream = |rule: &Rule| rule.matches.iter().all(|one| one.stream.is_some());
        table.rules.iter().any(|rule| rule.matches.is_empty() || !is_stream(rule))
    }

    /// The router of a service without routes: every request goes to it.
    #[must_use]
    pub fn to_service(host: Host, port: u16) -> Self {
        let service = Target::Service { host, port: Some(port), subset: None };
        Self { rules: Vec::new(), candidates: Vec::new(), service: Some(service) }
    }

    /// Decides what to do with a request. `draw` is uniform over all 64-bit numbers and decides between backends.
    pub fn route<'r>(
        &'r self,
        request: &impl RequestView,
        source: &RouteSource<'_>,
        draw: u64,
        explain: &mut impl Explain,
    ) -> Routed<'r> {
        if let Some(target) = &self.service {
            return to_target(target);
        }
        let Some((compiled, candidate)) = self.winner(request, source, explain) else {
            return Routed::Failed { rule: None, failure: Failure::NoRoute };
        };
        let rule = &compiled.rule;
        match &rule.action {
            Action::Forward(_) => compiled.forward(candidate, request, draw, explain),
            Action::Redirect(redirect) => {
                let (edit, matched) = (compiled.edit.as_ref(), candidate.path.as_ref());
                match redirect::location(redirect, edit, matched, request, source.port) {
                    Ok(location) => Routed::Redirect { rule, status: redirect.status, location },
                    Err(failure) => Routed::Failed { rule: Some(rule), failure },
                }
            }
            Action::Respond(response) => Routed::Respond { rule, response },
        }
    }

    /// The rules, in listed order.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().map(|compiled| &compiled.rule)
    }

    fn winner<E: Explain>(
        &self,
        request: &impl RequestView,
        source: &RouteSource<'_>,
        explain: &mut E,
    ) -> Option<(&CompiledRule, &Candidate)> {
        let path = request.path_bytes();
        let mut winner = None;
        for candidate in &self.candidates {
            let Some(compiled) = self.rules.get(candidate.rule) else { continue };
            let unmet = candidate.unmet(path, request, source);
            explain.tell(|| Event::Rule {
                origin: compiled.rule.origin.clone(),
                name: compiled.rule.name.clone(),
                index: candidate.index,
                outcome: match unmet {
                    Some(condition) => RuleOutcome::Lost(candidate.describe(&compiled.rule, condition)),
                    None if winner.is_some() => RuleOutcome::Outranked,
                    None => RuleOutcome::Won,
                },
            });
            if unmet.is_none() && winner.is_none() {
                winner = Some((compiled, candidate));
                if !E::LISTENS {
                    break;
                }
            }
        }
        winner
    }
}

fn to_target(target: &Target) -> Routed<'_> {
    let Target::Service { host, port, subset } = target else {
        return Routed::Failed { rule: None, failure: Failure::InvalidBackend };
    };
    Routed::Forward(Forward {
        rule: None,
        host,
        port: *port,
        subset: subset.as_deref(),
        path: None,
        authority: None,
        request_headers: [&NO_EDITS, &NO_EDITS],
        response_headers: [&NO_EDITS, &NO_EDITS],
        settings: Settings::IMPLICIT,
        injected: Injected::default(),
        mirrors: Mirrors::default(),
    })
}

impl CompiledRule {
    fn new(rule: &Rule) -> Self {
        let (path, total) = match &rule.action {
            Action::Forward(forward) => (
                forward.rewrite.path.as_ref(),
                forward.backends.iter().map(|backend| u64::from(backend.weight)).sum(),
            ),
            Action::Redirect(redirect) => (redirect.path.as_ref(), 0),
            Action::Respond(_) => (None, 0),
        };
        Self { rule: rule.clone(), edit: path.map(rewrite::Edit::compile), total }
    }

    fn forward<'r>(
        &'r self,
        candidate: &Candidate,
        request: &impl RequestView,
        draw: u64,
        explain: &mut impl Explain,
    ) -> Routed<'r> {
        let rule = &self.rule;
        let failed = |failure| Routed::Failed { rule: Some(rule), failure };
        let Action::Forward(forward) = &rule.action else { return failed(Failure::Internal) };
        let Some(backend) = self.draw(&forward.backends, draw, explain) else {
            return failed(Failure::NoWeight);
        };
        let Routed::Forward(target) = to_target(&backend.target) else {
            return failed(Failure::InvalidBackend);
        };
        let edit = self.edit.as_ref().map(|edit| edit.apply(request.path(), candidate.path.as_ref()));
        let path = match edit.transpose() {
            Ok(path) => path.flatten(),
            Err(failure) => return failed(failure),
        };
        Routed::Forward(Forward {
            rule: Some(rule),
            path,
            authority: forward.rewrite.authority.as_deref(),
            request_headers: [&rule.request_headers, &backend.request_headers],
            response_headers: [&backend.response_headers, &rule.response_headers],
            settings: Settings {
                policy: forward.retry.as_ref(),
                repeatable: forward.repeatable,
                hedge_after: forward.hedge_after,
                timeout: forward.timeout,
                per_try: forward.per_try_timeout,
            },
            injected: fault::inject(forward.fault.as_ref(), draw, explain),
            mirrors: Mirrors::draw(&forward.mirrors, draw, explain),
            ..target
        })
    }

    /// Draws a backend by weight; `None` where no backend has any.
    fn draw<'r>(
        &self,
        backends: &'r [Backend],
        draw: u64,
        explain: &mut impl Explain,
    ) -> Option<&'r Backend> {
        let mut left = below(draw, self.total);
        let mut drawn = None;
        for backend in backends {
            let weight = u64::from(backend.weight);
            let hit = drawn.is_none() && left < weight;
            explain.tell(|| Event::Backend {
                origin: backend.origin.clone(),
                target: backend.target.clone(),
                weight: backend.weight,
                total: self.total,
                drawn: hit,
            });
            if hit {
                drawn = Some(backend);
            }
            left = left.saturating_sub(weight);
        }
        drawn
    }
}

#[cfg(test)]
mod tests;
