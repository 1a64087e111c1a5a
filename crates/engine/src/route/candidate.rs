//! One match of one rule, compiled.

use std::sync::Arc;

use leno_model::labels::Labels;
use leno_model::request::RequestView;
use leno_model::route::{Match, Rule, Scope};
use leno_model::text::PathMatch;

use super::RouteSource;
use crate::explain::Unmet;
use crate::text::{Path, Text};

pub(crate) mod query;

/// A match and the rule it belongs to.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// Position of the rule in listed order.
    pub(super) rule: usize,
    /// Position of the match in the rule; `None` for a rule without matches.
    pub(super) index: Option<usize>,
    /// What of the path was compared.
    pub(super) path: Option<Path>,
    ignore_case: bool,
    method: Option<Text>,
    scheme: Option<Text>,
    authority: Option<Text>,
    headers: Vec<Header>,
    query: Vec<(Arc<str>, Text)>,
    port: Option<u16>,
    source_labels: Labels,
    source_namespace: Option<Arc<str>>,
    scopes: Option<Vec<Scope>>,
}

#[derive(Clone, Debug)]
struct Header {
    name: Arc<str>,
    value: Text,
    invert: bool,
}

/// The first condition that does not hold, by its place in the match.
#[derive(Clone, Copy, Debug)]
pub(super) enum Condition {
    Path,
    /// Tunnels need a rule that says so.
    Connect,
    Method,
    Scheme,
    Authority,
    Header(usize),
    Query(usize),
    Port,
    SourceLabels,
    SourceNamespace,
    Scope,
}

impl Candidate {
    /// One candidate per match. A match with a pattern that does not compile is left out; patterns are checked when
    /// they are made.
    pub(super) fn of_rule(position: usize, rule: &Rule) -> Vec<Self> {
        if rule.matches.is_empty() {
            return Self::compile(position, None, &Match::default()).into_iter().collect();
        }
        let matches = rule.matches.iter().enumerate().filter(|(_, one)| one.stream.is_none());
        matches.filter_map(|(index, rule)| Self::compile(position, Some(index), rule)).collect()
    }

    fn compile(rule: usize, index: Option<usize>, from: &Match) -> Option<Self> {
        let text = |rule: &Option<_>| rule.as_ref().map(Text::compile);
        let header = |header: &leno_model::route::HeaderMatch| {
            Some(Header {
                name: Arc::clone(&header.name),
                value: Text::compile(&header.value)?,
                invert: header.invert,
            })
        };
        let query = |query: &leno_model::route::QueryMatch| {
            Some((Arc::clone(&query.name), Text::compile(&query.value)?))
        };
        Some(Self {
            rule,
            index,
            path: transpose(from.path.as_ref().map(Path::compile))?,
            ignore_case: from.path_ignore_case,
            method: transpose(text(&from.method))?,
            scheme: transpose(text(&from.scheme))?,
            authority: transpose(text(&from.authority))?,
            headers: from.headers.iter().map(header).collect::<Option<_>>()?,
            query: from.query.iter().map(query).collect::<Option<_>>()?,
            port: from.port,
            source_labels: from.source_labels.clone(),
            source_namespace: from.source_namespace.clone(),
            scopes: from.scopes.clone(),
        })
    }

    /// The first condition that does not hold, the cheap ones first; `None` for a match.
    #[inline]
    pub(super) fn unmet(
        &self,
        path: &[u8],
        request: &impl RequestView,
        source: &RouteSource<'_>,
    ) -> Option<Condition> {
        let path_matches = |rule: &Path| match self.ignore_case {
            false => rule.matches(path),
            true => rule.matches_ignoring_case(path),
        };
        if !self.path.as_ref().is_none_or(path_matches) {
            return Some(Condition::Path);
        }
        if self.port.is_some_and(|port| port != source.port) {
            return Some(Condition::Port);
        }
        let differs = |rule: &Option<Text>, value: &str| {
            rule.as_ref().is_some_and(|rule| !rule.matches(value.as_bytes()))
        };
        if self.method.is_none() {
            if is_tunnel(request) {
                return Some(Condition::Connect);
            }
        } else if differs(&self.method, request.method()) {
            return Some(Condition::Method);
        }
        if self.scheme.is_some() && differs(&self.scheme, request.scheme()) {
            return Some(Condition::Scheme);
        }
        if self.authority.is_some() && differs(&self.authority, request.authority()) {
            return Some(Condition::Authority);
        }
        self.unmet_source(source)
            .or_else(|| self.headers.iter().position(|rule| !rule.holds(request)).map(Condition::Header))
            .or_else(|| self.unmet_query(request))
    }

    fn unmet_source(&self, source: &RouteSource<'_>) -> Option<Condition> {
        if self.scopes.as_ref().is_some_and(|scopes| !scopes.contains(source.scope)) {
            return Some(Condition::Scope);
        }
        if self.source_namespace.as_deref().is_some_and(|namespace| namespace != source.namespace) {
            return Some(Condition::SourceNamespace);
        }
        (!source.labels.contains(&self.source_labels)).then_some(Condition::SourceLabels)
    }

    fn unmet_query(&self, request: &impl RequestView) -> Option<Condition> {
        if self.query.is_empty() {
            return None;
        }
        let query = request.query().unwrap_or_default();
        let holds = |(name, rule): &(Arc<str>, Text)| {
            query::value(query, name).is_some_and(|value| rule.matches(&value))
        };
        self.query.iter().position(|rule| !holds(rule)).map(Condition::Query)
    }

    /// The condition as it was written.
    pub(super) fn describe(&self, rule: &Rule, condition: Condition) -> Unmet {
        if matches!(condition, Condition::Connect) {
            return Unmet::Connect;
        }
        self.index
            .and_then(|index| rule.matches.get(index))
            .and_then(|from| describe(from, condition))
            .unwrap_or(Unmet::Path(PathMatch::Any))
    }
}

/// Whether a request asks for a tunnel to an address of its own choice.
fn is_tunnel(request: &impl RequestView) -> bool {
    request.method() == "CONNECT"
}

fn describe(from: &Match, condition: Condition) -> Option<Unmet> {
    Some(match condition {
        Condition::Connect => Unmet::Connect,
        Condition::Path => Unmet::Path(from.path.clone()?),
        Condition::Method => Unmet::Method(from.method.clone()?),
        Condition::Scheme => Unmet::Scheme(from.scheme.clone()?),
        Condition::Authority => Unmet::Authority(from.authority.clone()?),
        Condition::Header(index) => {
            let header = from.headers.get(index)?.clone();
            Unmet::Header { name: header.name, value: header.value, invert: header.invert }
        }
        Condition::Query(index) => {
            let query = from.query.get(index)?.clone();
            Unmet::Query { name: query.name, value: query.value }
        }
        Condition::Port => Unmet::Port(from.port?),
        Condition::SourceLabels => Unmet::SourceLabels,
        Condition::SourceNamespace => Unmet::SourceNamespace(from.source_namespace.clone()?),
        Condition::Scope => Unmet::Scope,
    })
}

impl Header {
    fn holds(&self, request: &impl RequestView) -> bool {
        let matches = request.header(&self.name).is_some_and(|value| self.value.matches(&value));
        matches != self.invert
    }
}

/// `Some(None)`: nothing given. `None`: given, and it does not compile.
fn transpose<T>(compiled: Option<Option<T>>) -> Option<Option<T>> {
    compiled.map_or(Some(None), |compiled| compiled.map(Some))
}
