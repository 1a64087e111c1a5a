//! The authorizer against a plain reading of the policies, on random ones.

use std::net::IpAddr;

use proptest::prelude::{Strategy, prop_assert_eq, proptest};
use proptest::sample::select;

use super::*;
use crate::testing::cases;

/// Yes, no, or not known.
type Known = Option<bool>;

fn clause<T>(clause: &Clause<T>, deny: bool, matches: impl Fn(&T) -> Known) -> bool {
    let positive = clause.any.is_empty()
        || clause.any.iter().any(|value| match matches(value) {
            Some(known) => known,
            None => deny,
        });
    let negative = clause.none.iter().all(|value| match matches(value) {
        Some(known) => !known,
        None => deny,
    });
    positive && negative
}

fn text_matches(rule: &TextMatch, value: Option<&str>) -> Known {
    let Some(value) = value else { return Some(false) };
    Some(match rule {
        TextMatch::Exact(text) => value == &**text,
        TextMatch::Prefix(text) => value.starts_with(&**text),
        TextMatch::Suffix(text) => value.ends_with(&**text),
        TextMatch::Regex(_) => unreachable!("not generated"),
        TextMatch::Present => true,
    })
}

fn path_matches(rule: &PathMatch, path: &str) -> Known {
    Some(match rule {
        PathMatch::Exact(text) => path == &**text,
        PathMatch::Prefix(text) => path.starts_with(&**text),
        PathMatch::Suffix(text) => path.ends_with(&**text),
        PathMatch::Any => true,
        _ => unreachable!("not generated"),
    })
}

fn host_matches(rule: &TextMatch, authority: &str) -> Known {
    let host = authority.split(':').next().unwrap().trim_end_matches('.').to_lowercase();
    text_matches(rule, Some(&host))
}

fn ip_matches(net: &ipnet::IpNet, ip: IpAddr) -> Known {
    (!ip.is_unspecified()).then(|| net.contains(&ip))
}

fn rule_matches(rule: &PolicyRule, deny: bool, peer: &Peer, request: Option<(&Request, &str)>) -> bool {
    let is_http = |o: &Operation| !o.hosts.is_empty() || !o.methods.is_empty() || !o.paths.is_empty();
    let http = rule.operations.iter().any(is_http) || !rule.conditions.is_empty();
    if !deny && (rule.incomplete || (http && request.is_none())) {
        return false;
    }
    let identity = peer.identity.as_ref();
    let source = |source: &Source| {
        let namespace =
            identity.and_then(|identity| identity.service_account()).map(|(namespace, _)| namespace);
        clause(&source.principals, deny, |rule| {
            text_matches(rule, identity.map(|identity| identity.principal()))
        }) && clause(&source.namespaces, deny, |rule| text_matches(rule, namespace))
            && clause(&source.ips, deny, |net| ip_matches(net, peer.ip))
    };
    let operation = |operation: &Operation| {
        clause(&operation.ports, deny, |port| Some(*port == peer.destination_port))
            && request.is_none_or(|(request, path)| {
                clause(&operation.methods, deny, |rule| text_matches(rule, Some(&request.method)))
                    && clause(&operation.paths, deny, |rule| path_matches(rule, path))
                    && clause(&operation.hosts, deny, |rule| host_matches(rule, &request.authority))
            })
    };
    let condition = |condition: &Condition| {
        request.is_none_or(|(request, _)| {
            let value = request.headers.iter().find(|(name, _)| name == "x").map(|(_, value)| value.as_str());
            clause(&condition.values, deny, |rule| match rule {
                ConditionValue::Text(rule) => text_matches(rule, value),
                _ => None,
            })
        })
    };
    (rule.sources.is_empty() || rule.sources.iter().any(source))
        && (rule.operations.is_empty() || rule.operations.iter().any(operation))
        && rule.conditions.iter().all(condition)
}

fn allowed(policies: &[&Policy], peer: &Peer, request: Option<(&Request, &str)>) -> bool {
    let matched = |policy: &Policy| {
        let deny = policy.action == PolicyAction::Deny;
        policy.rules.iter().any(|rule| rule_matches(rule, deny, peer, request))
    };
    let of = |action| policies.iter().filter(move |policy| policy.action == action);
    !of(PolicyAction::Deny).any(|policy| matched(policy))
        && (of(PolicyAction::Allow).count() == 0 || of(PolicyAction::Allow).any(|policy| matched(policy)))
}

/// Decodes by replacing what the generator makes, and resolves by repeated rewriting.
fn lenient(path: &str) -> String {
    let mut path = path.replace("%2f", "/").replace("%2e", ".").replace("%61", "a").replace('\\', "/");
    while path.contains("//") {
        path = path.replace("//", "/");
    }
    while let Some(at) = path.find("/./") {
        path.replace_range(at..at + 2, "");
    }
    if path.ends_with("/.") {
        path.pop();
    }
    while let Some(at) = path.find("/../").or_else(|| path.ends_with("/..").then(|| path.len() - 3)) {
        let start = path[..at].rfind('/').unwrap_or(0);
        let rest = path.get(at + 4..).unwrap_or("").to_owned();
        path = format!("{}/{rest}", &path[..start]);
    }
    path
}

fn oracle(policies: &[Policy], dry: bool, peer: &Peer, request: Option<&Request>) -> bool {
    let policies: Vec<_> = policies.iter().filter(|policy| dry || !policy.dry_run).collect();
    match request {
        None => allowed(&policies, peer, None),
        Some(request) => {
            let lenient = lenient(&request.path);
            [&*request.path, &*lenient].iter().all(|path| allowed(&policies, peer, Some((request, path))))
        }
    }
}

fn a_clause<T: std::fmt::Debug + Clone + 'static>(
    value: impl Strategy<Value = T> + Clone,
) -> impl Strategy<Value = Clause<T>> {
    let list = |share| {
        proptest::option::weighted(share, proptest::collection::vec(value.clone(), 1..3))
            .prop_map(Option::unwrap_or_default)
    };
    (list(0.3), list(0.15)).prop_map(|(any, none)| Clause { any, none })
}

fn a_rule() -> impl Strategy<Value = PolicyRule> {
    let texts = |values: Vec<&'static str>| select(values).prop_map(text);
    let source = (
        a_clause(texts(vec!["cluster.local/ns/shop/sa/web", "*/sa/web", "cluster.local/*", "*"])),
        a_clause(texts(vec!["shop", "sho*", "other"])),
        a_clause(
            select(vec!["10.0.0.0/8", "10.0.0.1/32", "192.0.2.0/24"]).prop_map(|net| net.parse().unwrap()),
        ),
    )
        .prop_map(|(principals, namespaces, ips)| Source {
            principals,
            namespaces,
            ips,
            ..Source::default()
        });
    let operation = (
        a_clause(texts(vec!["shop.example.com", "*.example.com", "shop*"])),
        a_clause(select(vec![8080_u16, 80])),
        a_clause(texts(vec!["GET", "P*"])),
        a_clause(select(vec!["/a", "/a/*", "*/b", "/b*", "*"]).prop_map(path)),
    )
        .prop_map(|(hosts, ports, methods, paths)| Operation { hosts, ports, methods, paths });
    let condition = a_clause(texts(vec!["1", "2*", "*"]).prop_map(ConditionValue::Text))
        .prop_map(|values| Condition { key: ConditionKey::Header("x".into()), values });
    (
        proptest::collection::vec(source, 0..3),
        proptest::collection::vec(operation, 0..3),
        proptest::collection::vec(condition, 0..2),
        proptest::bool::weighted(0.1),
    )
        .prop_map(|(sources, operations, conditions, incomplete)| PolicyRule {
            origin: origin(0),
            sources,
            operations,
            conditions,
            incomplete,
        })
}

fn a_policy() -> impl Strategy<Value = Policy> {
    let action = select(vec![PolicyAction::Allow, PolicyAction::Deny]);
    (action, proptest::bool::weighted(0.2), proptest::collection::vec(a_rule(), 0..3))
        .prop_map(|(action, dry_run, rules)| Policy { dry_run, ..policy(1, action, rules) })
}

fn a_peer() -> impl Strategy<Value = Peer> {
    let identity = select(vec![
        None,
        Some("cluster.local/ns/shop/sa/web"),
        Some("cluster.local/ns/other/sa/db"),
        Some("td/x"),
    ]);
    let ip = select(vec!["10.0.0.1", "10.1.0.1", "192.0.2.1", "0.0.0.0"]);
    (identity, ip, select(vec![8080, 80])).prop_map(|(identity, ip, destination_port)| Peer {
        ip: ip.parse().unwrap(),
        destination_port,
        ..peer(identity)
    })
}

fn a_request() -> impl Strategy<Value = Request> {
    let piece = select(vec!["a", "b", "..", ".", "", "%2e%2e", "%2f", "%61", "b\\a"]);
    let authority = select(vec!["shop.example.com", "SHOP.example.com:80", "shop.example.com.", "other.org"]);
    (
        proptest::collection::vec(piece, 0..4),
        select(vec!["GET", "POST"]),
        authority,
        proptest::option::of(select(vec!["1", "22"])),
    )
        .prop_map(|(pieces, method, authority, header)| {
            let request = Request::get(&format!("/{}", pieces.join("/"))).method(method).authority(authority);
            match header {
                Some(value) => request.header("x", value),
                None => request,
            }
        })
}

proptest! {
    #![proptest_config(cases(4_000))]

    #[test]
    fn the_authorizer_agrees_with_a_plain_reading(
        policies in proptest::collection::vec(a_policy(), 0..4),
        peer in a_peer(),
        request in proptest::option::weighted(0.8, a_request()),
    ) {
        let compiled = authorizer(policies.clone());
        let verdict = compiled.check(&peer, request.as_ref(), &mut Silent);
        prop_assert_eq!(verdict.is_allowed(), oracle(&policies, false, &peer, request.as_ref()));
        let dry = policies.iter().any(|policy| policy.dry_run);
        let expected = dry.then(|| oracle(&policies, true, &peer, request.as_ref()));
        prop_assert_eq!(verdict.shadow.map(|shadow| shadow.is_allowed()), expected);
        prop_assert_eq!(compiled.check(&peer, request.as_ref(), &mut Transcript::default()), verdict);
    }

    #[test]
    fn no_text_makes_the_authorizer_panic(
        policies in proptest::collection::vec(a_policy(), 0..3), path in ".*", authority in ".*", value in ".*",
    ) {
        let mut request = Request::get("/").authority(&authority).header("x", &value);
        request.path = path;
        let _ = authorizer(policies).check(&web(), Some(&request), &mut Transcript::default());
    }
}
