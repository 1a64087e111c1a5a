//! One rule of a policy, compiled, and the facts it is held against.

use std::cell::LazyCell;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use leno_model::policy::{
    Clause, Condition, ConditionKey, ConditionValue, Operation, Peer, PolicyRule, Source,
};
use leno_model::request::RequestView;
use leno_model::span::Origin;
use leno_model::spiffe::SpiffeId;

use super::host::HostRule;
use crate::explain::PolicyOutcome;
use crate::text::{Path, Text};

/// What an unknown means: allow rules don't match then, and deny rules do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sense {
    Allow,
    Deny,
}

/// What is known of a connection and request.
pub(super) struct Facts<'a, R> {
    peer: &'a Peer,
    request: Option<&'a R>,
    path: &'a [u8],
}

impl<'a, R: RequestView> Facts<'a, R> {
    pub(super) fn new(peer: &'a Peer, request: Option<&'a R>) -> Self {
        Self { peer, request, path: request.map_or(b"", RequestView::path_bytes) }
    }

    /// The same with another reading of the path.
    pub(super) const fn with_path(self, path: &'a [u8]) -> Self {
        Self { path, ..self }
    }

    fn identity(&self) -> Option<&'a SpiffeId> {
        self.peer.identity.as_ref()
    }

    fn namespace(&self) -> Option<&'a str> {
        self.identity()?.service_account().map(|(namespace, _)| namespace)
    }
}

/// A compiled rule.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) origin: Origin,
    sources: Vec<CompiledSource>,
    operations: Vec<CompiledOperation>,
    conditions: Vec<CompiledCondition>,
    /// Has a part that is not understood.
    incomplete: bool,
    /// Looks at something that only HTTP has.
    http: bool,
}

#[derive(Clone, Debug)]
struct CompiledSource {
    principals: Clause<Text>,
    namespaces: Clause<Text>,
    service_accounts: Clause<(Arc<str>, Arc<str>)>,
    trust_domains: Clause<Text>,
    ips: Clause<IpNet>,
    remote_ips: Clause<IpNet>,
}

#[derive(Clone, Debug)]
struct CompiledOperation {
    hosts: Clause<HostRule>,
    ports: Clause<u16>,
    methods: Clause<Text>,
    paths: Clause<Path>,
}

#[derive(Clone, Debug)]
struct CompiledCondition {
    key: ConditionKey,
    values: Clause<Value>,
}

#[derive(Clone, Debug)]
enum Value {
    Text(Text),
    Net(IpNet),
    Port(u16),
}

/// The first part of a rule that does not hold.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unmet {
    Incomplete,
    NotHttp,
    Sources,
    Operations,
    Condition(usize),
}

impl Rule {
    pub(super) fn compile(rule: &PolicyRule) -> Self {
        let mut broken = false;
        let sources = rule.sources.iter().map(|source| CompiledSource::new(source, &mut broken)).collect();
        let operations: Vec<_> =
            rule.operations.iter().map(|operation| CompiledOperation::new(operation, &mut broken)).collect();
        let conditions =
            rule.conditions.iter().map(|condition| CompiledCondition::new(condition, &mut broken)).collect();
        let is_http = |operation: &Operation| {
            !operation.hosts.is_empty() || !operation.methods.is_empty() || !operation.paths.is_empty()
        };
        let is_header = |condition: &Condition| matches!(condition.key, ConditionKey::Header(_));
        Self {
            origin: rule.origin.clone(),
            sources,
            operations,
            conditions,
            incomplete: rule.incomplete || broken,
            http: rule.operations.iter().any(is_http) || rule.conditions.iter().any(is_header),
        }
    }

    /// The first part that does not hold; `None` for a match.
    pub(super) fn unmet<R: RequestView>(&self, sense: Sense, facts: &Facts<'_, R>) -> Option<Unmet> {
        if sense == Sense::Allow && self.incomplete {
            return Some(Unmet::Incomplete);
        }
        if sense == Sense::Allow && self.http && facts.request.is_none() {
            return Some(Unmet::NotHttp);
        }
        let any_source = self.sources.iter().any(|source| source.unmet(sense, facts).is_none());
        if !self.sources.is_empty() && !any_source {
            return Some(Unmet::Sources);
        }
        let any_operation = self.operations.iter().any(|operation| operation.unmet(sense, facts).is_none());
        if !self.operations.is_empty() && !any_operation {
            return Some(Unmet::Operations);
        }
        let unmet = self.conditions.iter().position(|condition| !condition.holds(sense, facts));
        unmet.map(Unmet::Condition)
    }

    /// Tells in full why the rule does not match.
    pub(super) fn describe<R: RequestView>(
        &self,
        unmet: Unmet,
        sense: Sense,
        facts: &Facts<'_, R>,
    ) -> PolicyOutcome {
        match unmet {
            Unmet::Incomplete => PolicyOutcome::Incomplete,
            Unmet::NotHttp => PolicyOutcome::NotHttp,
            Unmet::Sources => PolicyOutcome::Source(
                self.sources.iter().filter_map(|source| source.unmet(sense, facts)).collect(),
            ),
            Unmet::Operations => PolicyOutcome::Operation(
                self.operations.iter().filter_map(|operation| operation.unmet(sense, facts)).collect(),
            ),
            Unmet::Condition(index) => match self.conditions.get(index) {
                Some(condition) => PolicyOutcome::Condition(condition.key.clone()),
                None => PolicyOutcome::Incomplete,
            },
        }
    }
}

impl CompiledSource {
    fn new(from: &Source, broken: &mut bool) -> Self {
        Self {
            principals: compile(&from.principals, Text::compile, broken),
            namespaces: compile(&from.namespaces, Text::compile, broken),
            service_accounts: from.service_accounts.clone(),
            trust_domains: compile(&from.trust_domains, Text::compile, broken),
            ips: from.ips.clone(),
            remote_ips: from.remote_ips.clone(),
        }
    }

    /// The name of the first clause that does not hold.
    fn unmet<R: RequestView>(&self, sense: Sense, facts: &Facts<'_, R>) -> Option<&'static str> {
        let text = |clause: &Clause<Text>, value: Option<&str>| {
            holds(clause, sense, |rule| text_matches(rule, value))
        };
        let net = |clause, ip| holds(clause, sense, |net| net_contains(net, ip));
        let identity = facts.identity();
        // Looked for once, where a clause asks for it.
        let account = LazyCell::new(|| identity.and_then(SpiffeId::service_account));
        let is_namespace = |rule: &Text| text_matches(rule, account.map(|(namespace, _)| namespace));
        let is_account = |(namespace, name): &(Arc<str>, Arc<str>)| Some(*account == Some((namespace, name)));
        if !text(&self.principals, identity.map(SpiffeId::principal)) {
            Some("principals")
        } else if !holds(&self.namespaces, sense, is_namespace) {
            Some("namespaces")
        } else if !holds(&self.service_accounts, sense, is_account) {
            Some("service accounts")
        } else if !text(&self.trust_domains, identity.map(SpiffeId::trust_domain)) {
            Some("trust domains")
        } else if !net(&self.ips, facts.peer.ip) {
            Some("addresses")
        } else if !net(&self.remote_ips, facts.peer.remote_ip) {
            Some("original addresses")
        } else {
            None
        }
    }
}

impl CompiledOperation {
    fn new(from: &Operation, broken: &mut bool) -> Self {
        Self {
            hosts: compile(&from.hosts, HostRule::compile, broken),
            ports: from.ports.clone(),
            methods: compile(&from.methods, Text::compile, broken),
            paths: compile(&from.paths, Path::compile, broken),
        }
    }

    /// The name of the first clause that does not hold. Of opaque traffic only the port is known; a deny rule leaves
    /// the rest out.
    fn unmet<R: RequestView>(&self, sense: Sense, facts: &Facts<'_, R>) -> Option<&'static str> {
        if !holds(&self.ports, sense, |port| Some(*port == facts.peer.destination_port)) {
            return Some("ports");
        }
        let request = facts.request?;
        if !holds(&self.methods, sense, |rule| Some(rule.matches(request.method().as_bytes()))) {
            Some("methods")
        } else if !holds(&self.paths, sense, |rule| Some(rule.matches(facts.path))) {
            Some("paths")
        } else if !holds(&self.hosts, sense, |rule| rule.matches(request.authority())) {
            Some("hosts")
        } else {
            None
        }
    }
}

impl CompiledCondition {
    fn new(from: &Condition, broken: &mut bool) -> Self {
        let value = |value: &ConditionValue| {
            Some(match value {
                ConditionValue::Text(text) => Value::Text(Text::compile(text)?),
                ConditionValue::Net(net) => Value::Net(*net),
                ConditionValue::Port(port) => Value::Port(*port),
            })
        };
        Self { key: from.key.clone(), values: compile(&from.values, value, broken) }
    }

    fn holds<R: RequestView>(&self, sense: Sense, facts: &Facts<'_, R>) -> bool {
        let peer = facts.peer;
        let identity = facts.identity();
        match &self.key {
            ConditionKey::Header(name) => {
                // A deny rule leaves a condition about HTTP out for opaque traffic; an allow rule isn't asked.
                let Some(request) = facts.request else { return sense == Sense::Deny };
                let value = request.header(name);
                holds(&self.values, sense, |rule| match rule {
                    Value::Text(text) => Some(value.as_ref().is_some_and(|value| text.matches(value))),
                    Value::Net(_) | Value::Port(_) => None,
                })
            }
            ConditionKey::SourceIp => self.address(sense, peer.ip),
            ConditionKey::RemoteIp => self.address(sense, peer.remote_ip),
            ConditionKey::DestinationIp => self.address(sense, peer.destination_ip),
            ConditionKey::DestinationPort => holds(&self.values, sense, |value| match value {
                Value::Port(port) => Some(*port == peer.destination_port),
                Value::Text(_) | Value::Net(_) => None,
            }),
            ConditionKey::SourceNamespace => self.text(sense, facts.namespace()),
            ConditionKey::SourcePrincipal => self.text(sense, identity.map(SpiffeId::principal)),
            ConditionKey::SourceTrustDomain => self.text(sense, identity.map(SpiffeId::trust_domain)),
            ConditionKey::ConnectionSni => self.text(sense, peer.sni.as_deref()),
            ConditionKey::SourceServiceAccount => {
                let account = identity.and_then(SpiffeId::service_account);
                holds(&self.values, sense, |value| match value {
                    Value::Text(rule) => Some(account.is_some_and(|account| account_matches(rule, account))),
                    Value::Net(_) | Value::Port(_) => None,
                })
            }
        }
    }

    fn text(&self, sense: Sense, text: Option<&str>) -> bool {
        holds(&self.values, sense, |value| match value {
            Value::Text(rule) => text_matches(rule, text),
            Value::Net(_) | Value::Port(_) => None,
        })
    }

    fn address(&self, sense: Sense, ip: IpAddr) -> bool {
        holds(&self.values, sense, |value| match value {
            Value::Net(net) => net_contains(net, ip),
            Value::Text(_) | Value::Port(_) => None,
        })
    }
}

/// Whether a clause is satisfied, given what it means that one value matches, if that is known.
fn holds<T>(clause: &Clause<T>, sense: Sense, mut matches: impl FnMut(&T) -> Option<bool>) -> bool {
    let deny = sense == Sense::Deny;
    (clause.any.is_empty() || clause.any.iter().any(|value| matches(value).unwrap_or(deny)))
        && !clause.none.iter().any(|value| matches(value).unwrap_or(!deny))
}

/// A clause with compiled values. One that doesn't compile is left out, and the rule is incomplete.
fn compile<A, B>(clause: &Clause<A>, value: impl Fn(&A) -> Option<B>, broken: &mut bool) -> Clause<B> {
    let list = |values: &[A]| values.iter().map(&value).collect::<Option<Vec<_>>>();
    match (list(&clause.any), list(&clause.none)) {
        (Some(any), Some(none)) => Clause { any, none },
        _ => {
            *broken = true;
            Clause::default()
        }
    }
}

#[allow(clippy::unnecessary_wraps, reason = "the shape that clauses ask for")]
fn text_matches(rule: &Text, value: Option<&str>) -> Option<bool> {
    Some(value.is_some_and(|value| rule.matches(value.as_bytes())))
}

/// Whether an address is in a network. An unspecified address stands for one that is not known (a Unix socket's).
fn net_contains(net: &IpNet, ip: IpAddr) -> Option<bool> {
    let ip = ip.to_canonical();
    (!ip.is_unspecified()).then(|| net.contains(&ip))
}

/// Compares `namespace/name` without joining it: the rule is nearly always exact.
fn account_matches(rule: &Text, (namespace, name): (&str, &str)) -> bool {
    match rule {
        Text::Exact(text) => text.split_once('/') == Some((namespace, name)),
        Text::Present => true,
        _ => rule.matches(format!("{namespace}/{name}").as_bytes()),
    }
}
