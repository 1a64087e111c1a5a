use leno_model::policy::{Clause, Condition, ConditionKey, ConditionValue, Operation, PolicyRule, Source};
use leno_model::text::{PathMatch, TextMatch};

use super::*;
use crate::explain::{Silent, Transcript};
use crate::testing::{Request, origin};

mod bench;
mod oracle;

fn peer(principal: Option<&str>) -> Peer {
    Peer {
        ip: "10.0.0.1".parse().unwrap(),
        identity: principal.map(|principal| format!("spiffe://{principal}").parse().unwrap()),
        remote_ip: "192.0.2.1".parse().unwrap(),
        destination_ip: "10.0.0.9".parse().unwrap(),
        destination_port: 8080,
        sni: None,
    }
}

fn web() -> Peer {
    peer(Some("cluster.local/ns/shop/sa/web"))
}

fn nobody() -> Peer {
    peer(None)
}

fn any<T>(values: impl IntoIterator<Item = T>) -> Clause<T> {
    Clause { any: values.into_iter().collect(), none: Vec::new() }
}

fn none<T>(values: impl IntoIterator<Item = T>) -> Clause<T> {
    Clause { any: Vec::new(), none: values.into_iter().collect() }
}

fn text(text: &str) -> TextMatch {
    TextMatch::from_stars(text)
}

fn path(text: &str) -> PathMatch {
    if text.contains("{*") {
        return PathMatch::Template(text.into());
    }
    match TextMatch::from_stars(text) {
        TextMatch::Exact(text) => PathMatch::Exact(text),
        TextMatch::Prefix(text) => PathMatch::Prefix(text),
        TextMatch::Suffix(text) => PathMatch::Suffix(text),
        TextMatch::Regex(pattern) => PathMatch::Regex(pattern),
        TextMatch::Present => PathMatch::Any,
    }
}

fn everything() -> PolicyRule {
    PolicyRule {
        origin: origin(0),
        sources: Vec::new(),
        operations: Vec::new(),
        conditions: Vec::new(),
        incomplete: false,
    }
}

fn from(source: Source) -> PolicyRule {
    PolicyRule { sources: vec![source], ..everything() }
}

fn to(operation: Operation) -> PolicyRule {
    PolicyRule { operations: vec![operation], ..everything() }
}

fn to_paths(paths: Clause<PathMatch>) -> PolicyRule {
    to(Operation { paths, ..Operation::default() })
}

fn when(key: ConditionKey, values: Clause<ConditionValue>) -> PolicyRule {
    PolicyRule { conditions: vec![Condition { key, values }], ..everything() }
}

/// A policy whose rules come from lines `line`, `line + 1` and so on.
fn policy(line: usize, action: PolicyAction, rules: Vec<PolicyRule>) -> Policy {
    let number = |(index, rule): (usize, PolicyRule)| PolicyRule { origin: origin(line + index), ..rule };
    let rules = rules.into_iter().enumerate().map(number).collect();
    Policy { origin: origin(line), action, dry_run: false, rules }
}

fn allow(rules: Vec<PolicyRule>) -> Policy {
    policy(100, PolicyAction::Allow, rules)
}

fn deny(rules: Vec<PolicyRule>) -> Policy {
    policy(200, PolicyAction::Deny, rules)
}

fn shadow(policy: Policy) -> Policy {
    Policy { dry_run: true, ..policy }
}

fn authorizer(policies: Vec<Policy>) -> Authorizer {
    Authorizer::compile(&policies.into_iter().map(Arc::new).collect::<Vec<_>>())
}

/// `allowed`, `denied`, and the line of the rule that says so.
fn word(decision: Decision<'_>) -> String {
    let line = |by: Option<&Origin>| by.map_or(String::new(), |by| format!(" {}", by.location.line));
    match decision {
        Decision::Allowed { by } => format!("allowed{}", line(by)),
        Decision::Denied { by } => format!("denied{}", line(by)),
    }
}

fn check(policies: Vec<Policy>, peer: &Peer, request: Option<&Request>, expected: &str) {
    let authorizer = authorizer(policies.clone());
    let verdict = authorizer.check(peer, request, &mut Silent);
    assert_eq!(word(verdict.decision), expected, "{policies:#?}\n{peer:?}\n{request:?}");
    assert_eq!(
        authorizer.check(peer, request, &mut Transcript::default()),
        verdict,
        "a listener changes nothing"
    );
}

#[test]
fn deny_comes_before_allow_and_allow_before_the_default() {
    let get = &Request::get("/");
    let all = || vec![everything()];
    for (policies, expected) in [
        (vec![], "allowed"),
        (vec![allow(all())], "allowed 100"),
        (vec![allow(vec![])], "denied"),
        (vec![allow(vec![to_paths(any([path("/x")])), everything()])], "allowed 101"),
        (vec![deny(vec![])], "allowed"),
        (vec![deny(all())], "denied 200"),
        (vec![allow(all()), deny(all())], "denied 200"),
        (vec![allow(vec![]), allow(all())], "allowed 100"),
        (vec![deny(vec![to_paths(any([path("/x")]))]), allow(vec![])], "denied"),
    ] {
        check(policies, &web(), Some(get), expected);
    }
}

#[test]
fn sources_are_told_by_identity_and_address() {
    let net = |text: &str| text.parse::<ipnet::IpNet>().unwrap();
    let source = Source::default;
    for (source, of_web, of_nobody) in [
        (source(), true, true),
        (Source { principals: any([text("cluster.local/ns/shop/sa/web")]), ..source() }, true, false),
        (Source { principals: any([text("*/sa/web")]), ..source() }, true, false),
        (Source { principals: any([text("*")]), ..source() }, true, false),
        (Source { principals: none([text("*")]), ..source() }, false, true),
        (Source { principals: none([text("td/ns/a/sa/b")]), ..source() }, true, true),
        (Source { namespaces: any([text("shop"), text("other")]), ..source() }, true, false),
        (Source { namespaces: any([text("sho")]), ..source() }, false, false),
        (Source { namespaces: none([text("shop")]), ..source() }, false, true),
        (Source { service_accounts: any([("shop".into(), "web".into())]), ..source() }, true, false),
        (Source { service_accounts: any([("web".into(), "shop".into())]), ..source() }, false, false),
        (Source { trust_domains: any([text("cluster.local")]), ..source() }, true, false),
        (Source { ips: any([net("10.0.0.0/8")]), ..source() }, true, true),
        (Source { ips: none([net("10.0.0.0/8")]), ..source() }, false, false),
        (Source { remote_ips: any([net("192.0.2.0/24")]), ..source() }, true, true),
        (Source { remote_ips: any([net("10.0.0.0/8")]), ..source() }, false, false),
        (
            Source { namespaces: any([text("shop")]), ips: any([net("10.1.0.0/16")]), ..source() },
            false,
            false,
        ),
    ] {
        for (peer, matches) in [(web(), of_web), (nobody(), of_nobody)] {
            let rule = || vec![from(source.clone())];
            check(vec![allow(rule())], &peer, None, if matches { "allowed 100" } else { "denied" });
            check(vec![deny(rule())], &peer, None, if matches { "denied 200" } else { "allowed" });
        }
    }
}

#[test]
fn an_unknown_address_makes_every_rule_stricter() {
    let unix = Peer { ip: "0.0.0.0".parse().unwrap(), ..web() };
    let net = || ["10.0.0.0/8".parse().unwrap()];
    for ips in [any(net()), none(net())] {
        let rule = || vec![from(Source { ips: ips.clone(), ..Source::default() })];
        check(vec![allow(rule())], &unix, None, "denied");
        check(vec![deny(rule())], &unix, None, "denied 200");
    }
    let mapped = Peer { ip: "::ffff:10.0.0.1".parse().unwrap(), ..web() };
    check(
        vec![allow(vec![from(Source { ips: any(net()), ..Source::default() })])],
        &mapped,
        None,
        "allowed 100",
    );
}

#[test]
fn operations_look_at_the_request() {
    let operation = Operation::default;
    let request = Request::get("/api/v1").authority("Shop.example.com:8080");
    for (operation, matches) in [
        (operation(), true),
        (Operation { methods: any([text("GET")]), ..operation() }, true),
        (Operation { methods: any([text("get")]), ..operation() }, false),
        (Operation { methods: none([text("GET")]), ..operation() }, false),
        (Operation { hosts: any([text("shop.example.com")]), ..operation() }, true),
        (Operation { hosts: none([text("*.example.com")]), ..operation() }, false),
        (Operation { ports: any([8080]), ..operation() }, true),
        (Operation { ports: any([80]), ..operation() }, false),
        (Operation { paths: any([path("/api/*")]), ..operation() }, true),
        (Operation { paths: any([path("/api/{*}")]), ..operation() }, true),
        (Operation { paths: none([path("*/v1")]), ..operation() }, false),
        (Operation { paths: any([path("/api/*")]), methods: any([text("POST")]), ..operation() }, false),
    ] {
        let rule = || vec![to(operation.clone())];
        let (allowed, denied) = if matches { ("allowed 100", "denied 200") } else { ("denied", "allowed") };
        check(vec![allow(rule())], &web(), Some(&request), allowed);
        check(vec![deny(rule())], &web(), Some(&request), denied);
    }
}

#[test]
fn conditions_look_at_everything_else() {
    let peer = Peer { sni: Some("shop.example.com".into()), ..web() };
    let request = Request::get("/").header("x-team", "a").header("x-team", "b");
    let texts = |value: &str| any([ConditionValue::Text(text(value))]);
    let nets = |value: &str| any([ConditionValue::Net(value.parse().unwrap())]);
    for (key, values, matches) in [
        (ConditionKey::Header("x-team".into()), texts("a,b"), true),
        (ConditionKey::Header("x-team".into()), texts("a"), false),
        (ConditionKey::Header("x-other".into()), texts("*"), false),
        (ConditionKey::Header("x-other".into()), none([ConditionValue::Text(text("*"))]), true),
        (ConditionKey::SourceIp, nets("10.0.0.0/24"), true),
        (ConditionKey::RemoteIp, nets("10.0.0.0/24"), false),
        (ConditionKey::DestinationIp, nets("10.0.0.9/32"), true),
        (ConditionKey::DestinationPort, any([ConditionValue::Port(8080)]), true),
        (ConditionKey::SourceNamespace, texts("shop"), true),
        (ConditionKey::SourcePrincipal, texts("cluster.local/*"), true),
        (ConditionKey::SourceTrustDomain, texts("other"), false),
        (ConditionKey::SourceServiceAccount, texts("shop/web"), true),
        (ConditionKey::SourceServiceAccount, texts("shop/w*"), true),
        (ConditionKey::SourceServiceAccount, texts("shop/db"), false),
        (ConditionKey::ConnectionSni, texts("*.example.com"), true),
    ] {
        let rule = || vec![when(key.clone(), values.clone())];
        let (allowed, denied) = if matches { ("allowed 100", "denied 200") } else { ("denied", "allowed") };
        check(vec![allow(rule())], &peer, Some(&request), allowed);
        check(vec![deny(rule())], &peer, Some(&request), denied);
    }
    let absurd = || vec![when(ConditionKey::SourceIp, texts("*"))];
    check(vec![allow(absurd())], &peer, Some(&request), "denied");
    check(vec![deny(absurd())], &peer, Some(&request), "denied 200");
}

#[test]
fn rules_about_http_are_strict_with_opaque_traffic() {
    let http = || Operation { methods: any([text("GET")]), ports: any([8080]), ..Operation::default() };
    let header = || when(ConditionKey::Header("x".into()), any([ConditionValue::Text(text("a"))]));
    let both = || PolicyRule {
        operations: vec![http(), Operation { ports: any([8080]), ..Operation::default() }],
        ..everything()
    };
    for rule in [to(http()), header(), both()] {
        check(vec![allow(vec![rule.clone()])], &web(), None, "denied");
        check(vec![deny(vec![rule])], &web(), None, "denied 200");
    }
    let elsewhere = Operation { ports: any([9090]), ..http() };
    check(vec![deny(vec![to(elsewhere)])], &web(), None, "allowed");
    let authorizer = authorizer(vec![allow(vec![everything()])]);
    assert!(authorizer.check_opaque(&web(), &mut Silent).is_allowed());
}

#[test]
fn callers_addresses_are_worth_finding_out_only_where_a_rule_looks_at_them() {
    let net = || Clause { any: vec!["10.0.0.0/8".parse().unwrap()], none: Vec::new() };
    let value = || Clause { any: vec![ConditionValue::Net("10.0.0.0/8".parse().unwrap())], none: Vec::new() };
    for (rule, expected) in [
        (everything(), false),
        (to_paths(Clause { any: vec![PathMatch::Exact("/a".into())], none: Vec::new() }), false),
        (when(ConditionKey::DestinationIp, value()), false),
        (from(Source { ips: net(), ..Source::default() }), true),
        (from(Source { remote_ips: net(), ..Source::default() }), true),
        (when(ConditionKey::SourceIp, value()), true),
        (when(ConditionKey::RemoteIp, value()), true),
    ] {
        let shadow = authorizer(vec![shadow(deny(vec![rule.clone()]))]);
        let got =
            (authorizer(vec![allow(vec![everything(), rule])]).reads_addresses(), shadow.reads_addresses());
        assert_eq!(got, (expected, expected));
    }
}

#[test]
fn rules_that_are_not_understood_only_ever_deny() {
    let rule = |source| PolicyRule { incomplete: true, ..from(source) };
    let other = Source { namespaces: any([text("other")]), ..Source::default() };
    check(vec![allow(vec![rule(Source::default())])], &web(), None, "denied");
    check(vec![deny(vec![rule(Source::default())])], &web(), None, "denied 200");
    check(vec![deny(vec![rule(other)])], &web(), None, "allowed");
}

#[test]
fn path_tricks_pass_no_policy() {
    for trick in [
        "/admin/x",
        "//admin/x",
        "/./admin/x",
        "/public/../admin/x",
        "/public/%2e%2e/admin/x",
        "/public%2f..%2fadmin%2fx",
        "/public/..%5cadmin/x",
        "/public\\..\\admin\\x",
        "/%61dmin/x",
        "/admin%2Fx",
    ] {
        let request = Request::get(trick);
        check(vec![deny(vec![to_paths(any([path("/admin/*")]))])], &web(), Some(&request), "denied 200");
        check(vec![deny(vec![to_paths(none([path("/public/*")]))])], &web(), Some(&request), "denied 200");
        check(vec![allow(vec![to_paths(any([path("/public*")]))])], &web(), Some(&request), "denied");
        check(vec![allow(vec![to_paths(none([path("/admin/*")]))])], &web(), Some(&request), "denied");
    }
    let honest = Request::get("/public/a%20b/");
    check(vec![allow(vec![to_paths(any([path("/public/*")]))])], &web(), Some(&honest), "allowed 100");
    // What is written with an escape in the policy is denied in this form, too.
    check(
        vec![deny(vec![to_paths(any([path("/a%20b")]))])],
        &web(),
        Some(&Request::get("/a%20b")),
        "denied 200",
    );
}

#[test]
fn shadows_tell_what_would_be_and_change_nothing() {
    let all = || vec![everything()];
    for (policies, decision, expected) in [
        (vec![allow(all())], "allowed 100", None),
        (vec![shadow(deny(all()))], "allowed", Some("denied 200")),
        (vec![shadow(allow(vec![]))], "allowed", Some("denied")),
        (vec![allow(vec![]), shadow(policy(300, PolicyAction::Allow, all()))], "denied", Some("allowed 300")),
        (vec![allow(all()), shadow(allow(vec![]))], "allowed 100", Some("allowed 100")),
        (vec![deny(all()), shadow(policy(300, PolicyAction::Deny, all()))], "denied 200", Some("denied 200")),
        (vec![shadow(deny(vec![to_paths(any([path("/admin")]))]))], "allowed", Some("denied 200")),
    ] {
        let authorizer = authorizer(policies.clone());
        let verdict = authorizer.check(&web(), Some(&Request::get("/x/../admin")), &mut Silent);
        assert_eq!(word(verdict.decision), decision, "{policies:#?}");
        assert_eq!(verdict.shadow.map(word).as_deref(), expected, "{policies:#?}");
        assert!(!authorizer.is_empty());
    }
    assert!(authorizer(vec![]).is_empty());
}

#[test]
fn a_transcript_names_what_decided_and_what_did_not() {
    let source = Source { namespaces: any([text("other")]), ..Source::default() };
    let policies = vec![
        deny(vec![from(source), to_paths(any([path("/admin")]))]),
        allow(vec![PolicyRule { incomplete: true, ..everything() }, everything(), everything()]),
        policy(300, PolicyAction::Allow, vec![]),
    ];
    let mut transcript = Transcript::default();
    let _ = authorizer(policies).check(&web(), Some(&Request::get("/%61")), &mut transcript);
    let steps: Vec<_> = transcript
        .events
        .into_iter()
        .map(|event| match event {
            Event::Policy { origin, outcome, .. } => format!("{} {outcome:?}", origin.location.line),
            Event::Reading { path } => format!("reading {path}"),
            other => panic!("{other:?}"),
        })
        .collect();
    let round = [
        r#"200 Source(["namespaces"])"#,
        r#"201 Operation(["paths"])"#,
        "100 Incomplete",
        "101 Won",
        "102 Outranked",
        "300 NoRules",
    ];
    assert_eq!(steps, [&round[..], &["reading /a"], &round[..]].concat());
}
