//! Which rule an opaque connection falls under: by the name that its ClientHello asks for, and where it goes.
//!
//! Rules for connections stand in the same tables as those for requests; each kind overlooks the other's. They are tried
//! in listed order, whatever the dialect: no API knows another one for them.

use std::net::IpAddr;

use leno_model::failure::Failure;
use leno_model::route::{Action, Match, RouteTable, Rule, StreamMatch};

use super::{CompiledRule, RouteSource, Routed, to_target};
use crate::explain::{Event, Explain, RuleOutcome, Unmet};

/// A connection of which the first bytes are no request.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// The name that its ClientHello asks for, in lower case; `None` where it has none or isn't TLS.
    pub server_name: Option<&'a str>,
    /// Where it goes.
    pub destination: Option<IpAddr>,
}

/// The rules for connections of a table.
#[derive(Clone, Debug, Default)]
pub struct StreamRouter {
    rules: Vec<CompiledRule>,
    reads_names: bool,
}

impl StreamRouter {
    /// Compiles a table's rules for connections.
    #[must_use]
    pub fn compile(table: &RouteTable) -> Self {
        let streams = table.rules.iter().filter(|rule| matches_of(rule).next().is_some());
        let reads_names =
            streams.clone().flat_map(matches_of).any(|(_, _, stream)| !stream.server_names.is_empty());
        Self { rules: streams.map(CompiledRule::new).collect(), reads_names }
    }

    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a rule asks for the server name: then it is waited for.
    #[must_use]
    pub fn reads_names(&self) -> bool {
        self.reads_names
    }

    /// Decides where a connection goes. `draw` is uniform over all 64-bit numbers and decides between backends.
    ///
    /// `None` where no rule matches; what that means is the caller's to say.
    pub fn route<'r, E: Explain>(
        &'r self,
        connection: &Connection<'_>,
        source: &RouteSource<'_>,
        draw: u64,
        explain: &mut E,
    ) -> Option<Routed<'r>> {
        let mut winner = None;
        for compiled in &self.rules {
            for (index, condition, stream) in matches_of(&compiled.rule) {
                let unmet = unmet(condition, stream, connection, source);
                let wins = unmet.is_none() && winner.is_none();
                explain.tell(|| Event::Rule {
                    origin: compiled.rule.origin.clone(),
                    name: compiled.rule.name.clone(),
                    index: Some(index),
                    outcome: match unmet {
                        Some(unmet) => RuleOutcome::Lost(unmet),
                        None if winner.is_some() => RuleOutcome::Outranked,
                        None => RuleOutcome::Won,
                    },
                });
                if wins {
                    winner = Some(compiled);
                }
            }
            if winner.is_some() && !E::LISTENS {
                break;
            }
        }
        winner.map(|compiled| compiled.forward_stream(draw, explain))
    }
}

impl CompiledRule {
    fn forward_stream<'r>(&'r self, draw: u64, explain: &mut impl Explain) -> Routed<'r> {
        let rule = Some(&self.rule);
        let Action::Forward(forward) = &self.rule.action else {
            return Routed::Failed { rule, failure: Failure::Internal };
        };
        let Some(backend) = self.draw(&forward.backends, draw, explain) else {
            return Routed::Failed { rule, failure: Failure::NoWeight };
        };
        match to_target(&backend.target) {
            Routed::Forward(target) => Routed::Forward(super::Forward { rule, ..target }),
            Routed::Failed { failure, .. } => Routed::Failed { rule, failure },
            other => other,
        }
    }
}

/// A rule's matches that are about connections, by their position.
fn matches_of(rule: &Rule) -> impl Iterator<Item = (usize, &Match, &StreamMatch)> {
    let all = rule.matches.iter().enumerate();
    all.filter_map(|(index, condition)| Some((index, condition, condition.stream.as_ref()?)))
}

/// The first condition that does not hold.
fn unmet(
    condition: &Match,
    stream: &StreamMatch,
    connection: &Connection<'_>,
    source: &RouteSource<'_>,
) -> Option<Unmet> {
    let covers =
        |name: &str| stream.server_names.iter().any(|host| host.as_str() == name || host.covers(name));
    if !stream.server_names.is_empty() && !connection.server_name.is_some_and(covers) {
        return Some(Unmet::ServerName(stream.server_names.clone()));
    }
    let within = |ip: IpAddr| stream.subnets.iter().any(|subnet| subnet.contains(&ip));
    if !stream.subnets.is_empty() && !connection.destination.is_some_and(within) {
        return Some(Unmet::Destination);
    }
    if condition.port.is_some_and(|port| port != source.port) {
        return condition.port.map(Unmet::Port);
    }
    if condition.scopes.as_ref().is_some_and(|scopes| !scopes.contains(source.scope)) {
        return Some(Unmet::Scope);
    }
    if let Some(namespace) = condition.source_namespace.as_ref().filter(|name| ***name != *source.namespace) {
        return Some(Unmet::SourceNamespace(namespace.clone()));
    }
    (!source.labels.contains(&condition.source_labels)).then_some(Unmet::SourceLabels)
}

#[cfg(test)]
mod tests {
    use leno_model::labels::Labels;
    use leno_model::name::Host;
    use leno_model::route::{Backend, Forward, HeaderEdits, MatchOrder, Scope, Target};
    use leno_model::span::{Location, ObjectRef, Origin};

    use super::*;
    use crate::explain::{Silent, Transcript};
    use crate::route::Router;

    fn origin() -> Origin {
        let object =
            ObjectRef { kind: "VirtualService".into(), namespace: "default".into(), name: "r".into() };
        Origin { object, location: Location { file: "r.yaml".into(), line: 1, column: 1 } }
    }

    fn rule(to: &str, names: &[&str], subnets: &[&str], port: Option<u16>) -> Rule {
        let target = Target::Service { host: to.parse().unwrap(), port: Some(443), subset: None };
        let none = HeaderEdits::default;
        let backend = Backend {
            target,
            weight: 1,
            request_headers: none(),
            response_headers: none(),
            origin: origin(),
        };
        let stream = StreamMatch {
            server_names: names.iter().map(|name| name.parse::<Host>().unwrap()).collect(),
            subnets: subnets.iter().map(|subnet| subnet.parse().unwrap()).collect(),
        };
        Rule {
            name: None,
            origin: origin(),
            matches: vec![Match { stream: Some(stream), port, ..Match::default() }],
            priority: 0,
            action: Action::Forward(Forward { backends: vec![backend], ..Forward::default() }),
            request_headers: none(),
            response_headers: none(),
        }
    }

    fn source(labels: &Labels) -> RouteSource<'_> {
        RouteSource { labels, namespace: "default", port: 443, scope: &Scope::Mesh }
    }

    #[test]
    fn the_first_rule_that_holds_decides() {
        let rules = vec![
            rule("one", &["a.test", "b.test"], &[], None),
            rule("two", &["*.b.test"], &[], None),
            rule("near", &[], &["10.0.0.0/8"], None),
            rule("port", &["a.test", "c.test"], &[], Some(8443)),
            rule("rest", &["c.test"], &[], None),
        ];
        let router = StreamRouter::compile(&RouteTable { order: MatchOrder::MostSpecific, rules });
        assert!(router.reads_names());
        let labels = Labels::default();
        for (name, ip, expected) in [
            (Some("a.test"), "192.0.2.1", "one"),
            (Some("b.test"), "10.1.1.1", "one"),
            (Some("x.b.test"), "10.1.1.1", "two"),
            (Some("d.test"), "10.1.1.1", "near"),
            (None, "10.1.1.1", "near"),
            (Some("c.test"), "192.0.2.1", "rest"),
            (Some("d.test"), "192.0.2.1", "-"),
            (None, "192.0.2.1", "-"),
        ] {
            let connection = Connection { server_name: name, destination: ip.parse().ok() };
            let routed = router.route(&connection, &source(&labels), 0, &mut Silent);
            let host = match &routed {
                Some(Routed::Forward(forward)) => forward.host.as_str(),
                None => "-",
                other => panic!("{other:?}"),
            };
            assert_eq!(host, expected, "{name:?} to {ip}");
        }
    }

    #[test]
    fn a_transcript_says_why_rules_lost() {
        let rules = vec![rule("one", &["a.test"], &[], None), rule("two", &[], &["10.0.0.0/8"], None)];
        let router = StreamRouter::compile(&RouteTable { order: MatchOrder::FirstMatch, rules });
        let mut transcript = Transcript::default();
        let connection = Connection { server_name: Some("b.test"), destination: "192.0.2.1".parse().ok() };
        assert_eq!(router.route(&connection, &source(&Labels::default()), 0, &mut transcript), None);
        let why = |event: &Event| match event {
            Event::Rule { outcome: RuleOutcome::Lost(unmet), .. } => unmet.to_string(),
            other => panic!("{other:?}"),
        };
        let whys: Vec<String> = transcript.events.iter().map(why).collect();
        assert_eq!(whys, ["server name a.test", "destination's address"]);
    }

    #[test]
    fn requests_and_connections_have_rules_of_their_own() {
        let table = RouteTable { order: MatchOrder::FirstMatch, rules: vec![rule("one", &[], &[], None)] };
        assert!(!Router::has_rules(&table), "none for requests");
        assert!(!StreamRouter::compile(&table).is_empty());
        let mut request = rule("one", &[], &[], None);
        request.matches = vec![Match::default()];
        let table = RouteTable { order: MatchOrder::FirstMatch, rules: vec![request.clone()] };
        assert!(Router::has_rules(&table) && StreamRouter::compile(&table).is_empty());
        request.matches = Vec::new();
        let table = RouteTable { order: MatchOrder::FirstMatch, rules: vec![request] };
        assert!(Router::has_rules(&table) && StreamRouter::compile(&table).is_empty());
    }
}
