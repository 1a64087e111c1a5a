use std::sync::Arc;
use std::time::Duration;

use leno_model::route::{
    Forward as ForwardAction, HeaderMatch, Match, MatchOrder, PathRewrite, QueryMatch, Redirect,
    RedirectPort, Rewrite,
};
use leno_model::text::{PathMatch, Pattern, TextMatch};

use super::*;
use crate::explain::{Silent, Transcript, Unmet};
use crate::rng::Rng;
use crate::testing::{Request, origin};

mod bench;
mod oracle;

fn backend(host: &str, weight: u32) -> Backend {
    Backend {
        target: Target::Service { host: host.parse().unwrap(), port: Some(80), subset: None },
        weight,
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
        origin: origin(0),
    }
}

fn forward(backends: Vec<Backend>) -> Action {
    Action::Forward(ForwardAction { backends, ..ForwardAction::default() })
}

fn rule(name: &str, matches: Vec<Match>) -> Rule {
    Rule {
        name: Some(name.into()),
        origin: origin(0),
        matches,
        priority: 0,
        action: forward(vec![backend(name, 1)]),
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
    }
}

fn table(order: MatchOrder, rules: Vec<Rule>) -> RouteTable {
    let number = |(line, mut rule): (usize, Rule)| {
        rule.origin = origin(line);
        rule
    };
    RouteTable { order, rules: rules.into_iter().enumerate().map(number).collect() }
}

fn path(path: PathMatch) -> Match {
    Match { path: Some(path), ..Match::default() }
}

fn exact(text: &str) -> Match {
    path(PathMatch::Exact(text.into()))
}

fn prefix(text: &str) -> Match {
    path(PathMatch::Prefix(text.into()))
}

fn under(text: &str) -> Match {
    path(PathMatch::Segments(text.into()))
}

fn regex(text: &str) -> Match {
    path(PathMatch::Regex(Pattern::new(text).unwrap()))
}

fn header(name: &str, value: TextMatch) -> HeaderMatch {
    HeaderMatch { name: name.into(), value, invert: false }
}

fn equals(text: &str) -> TextMatch {
    TextMatch::Exact(text.into())
}

fn with_header(from: Match, name: &str, value: &str) -> Match {
    Match { headers: vec![header(name, equals(value))], ..from }
}

static NOBODY: std::sync::LazyLock<Labels> = std::sync::LazyLock::new(Labels::default);

fn source() -> RouteSource<'static> {
    RouteSource { labels: &NOBODY, namespace: "default", port: 80, scope: &Scope::Mesh }
}

/// The name of the rule that a request falls under; `-` for none.
fn winner(router: &Router, request: &Request) -> String {
    match router.route(request, &source(), 0, &mut Silent) {
        Routed::Forward(Forward { rule: Some(rule), .. })
        | Routed::Redirect { rule, .. }
        | Routed::Respond { rule, .. }
        | Routed::Failed { rule: Some(rule), .. } => rule.name.as_deref().unwrap_or("?").to_owned(),
        Routed::Forward(_) => "default".to_owned(),
        Routed::Failed { rule: None, failure } => {
            assert_eq!(failure, Failure::NoRoute);
            "-".to_owned()
        }
    }
}

fn check_winner(order: MatchOrder, rules: Vec<Rule>, expected: &[(Request, &str)]) {
    let router = Router::compile(&table(order, rules));
    for (request, expected) in expected {
        assert_eq!(winner(&router, request), *expected, "{request:?}");
    }
}

#[test]
fn gateway_api_picks_the_most_specific_match() {
    let with_query = |from: Match, count: usize| Match {
        query: (0..count).map(|_| QueryMatch { name: "q".into(), value: equals("1") }).collect(),
        ..from
    };
    check_winner(
        MatchOrder::MostSpecific,
        vec![
            rule("all", vec![under("")]),
            rule("query", vec![with_query(under("/shop"), 1)]),
            rule("regex", vec![regex("/(shop|img)/.*|/r/.*")]),
            rule("shop", vec![under("/shop"), exact("/alias")]),
            rule("shop-2", vec![under("/shop")]),
            rule("header", vec![with_header(under("/shop"), "x", "1")]),
            rule("post", vec![Match { method: Some(equals("POST")), ..under("/shop") }]),
            rule("cart", vec![under("/shop/cart")]),
            rule("exact", vec![exact("/shop/cart")]),
            rule("header-only", vec![with_header(under(""), "only", "1")]),
        ],
        &[
            (Request::get("/"), "all"),
            (Request::get("/shopping"), "all"),
            (Request::get("/shop"), "shop"),
            (Request::get("/alias"), "shop"),
            (Request::get("/shop/x"), "shop"),
            (Request::get("/shop/x?q=1"), "query"),
            (Request::get("/shop/x?q=1").header("x", "1"), "header"),
            (Request::get("/shop/x?q=1").header("x", "1").method("POST"), "post"),
            (Request::get("/shop/cart/1").method("POST"), "cart"),
            (Request::get("/shop/cart").method("POST"), "exact"),
            (Request::get("/img/1"), "regex"),
            (Request::get("/r/1"), "regex"),
            (Request::get("/r/1").header("only", "1"), "header-only"),
        ],
    );
}

#[test]
fn istio_picks_the_first_match() {
    check_winner(
        MatchOrder::FirstMatch,
        vec![
            rule("canary", vec![with_header(Match::default(), "end-user", "jason")]),
            rule("api", vec![prefix("/api"), exact("/v1")]),
            rule("late", vec![exact("/api/x")]),
            rule("no-match", vec![]),
        ],
        &[
            (Request::get("/api/x").header("end-user", "jason"), "canary"),
            (Request::get("/api/x"), "api"),
            (Request::get("/apix"), "api"),
            (Request::get("/v1"), "api"),
            (Request::get("/v1/"), "no-match"),
            (Request::get("*").method("OPTIONS"), "no-match"),
        ],
    );
}

#[test]
fn app_mesh_picks_the_lowest_priority_then_the_longest_prefix() {
    let priority = |priority, rule| Rule { priority, ..rule };
    check_winner(
        MatchOrder::Priority,
        vec![
            priority(10, rule("low", vec![prefix("/a/b/c")])),
            priority(5, rule("short", vec![prefix("/a")])),
            priority(5, rule("long", vec![prefix("/a/b")])),
            priority(5, rule("long-2", vec![prefix("/a/b")])),
        ],
        &[(Request::get("/a/b/c"), "long"), (Request::get("/a/x"), "short"), (Request::get("/x"), "-")],
    );
}

#[test]
fn every_condition_must_hold() {
    let text = |rule: TextMatch| Some(rule);
    let all = Match {
        path: Some(PathMatch::Prefix("/A".into())),
        path_ignore_case: true,
        method: text(TextMatch::Regex(Pattern::new("GET|HEAD").unwrap())),
        scheme: text(equals("http")),
        authority: text(TextMatch::Suffix(".example.com".into())),
        headers: vec![
            header("present", TextMatch::Present),
            header("version", TextMatch::Prefix("v1".into())),
            HeaderMatch { name: "debug".into(), value: TextMatch::Present, invert: true },
        ],
        query: vec![QueryMatch { name: "q".into(), value: TextMatch::Suffix("z".into()) }],
        port: Some(80),
        source_labels: [("app", "web")].into_iter().collect(),
        source_namespace: Some("default".into()),
        scopes: Some(vec![Scope::Mesh]),
        stream: None,
    };
    let router = Router::compile(&table(MatchOrder::FirstMatch, vec![rule("all", vec![all])]));
    let good = || Request::get("/abc?q=xyz").header("present", "").header("version", "v1.2");
    let labels: Labels = [("app", "web"), ("version", "v1")].into_iter().collect();
    let from = RouteSource { labels: &labels, ..source() };
    let gateway = Scope::Gateway { namespace: "default".into(), name: "g".into() };
    let lost = |request: &Request, source: &RouteSource<'_>| {
        let mut transcript = Transcript::default();
        let routed = router.route(request, source, 0, &mut transcript);
        match (routed, transcript.events.pop()) {
            (Routed::Forward(_), _) => String::new(),
            (Routed::Failed { .. }, Some(Event::Rule { outcome: RuleOutcome::Lost(unmet), .. })) => {
                unmet.to_string()
            }
            other => panic!("{other:?}"),
        }
    };
    for (request, source, expected) in [
        (good(), from, ""),
        (Request { path: "/b".into(), ..good() }, from, "path starts with /A"),
        (good().method("get"), from, "method matches GET|HEAD"),
        (good().scheme("https"), from, "scheme = http"),
        (good().authority("example.com"), from, "authority ends with .example.com"),
        (Request { headers: vec![], ..good() }, from, "header present is present"),
        (good().header("version", "v2").header("debug", ""), from, "header debug not is present"),
        (Request { query: None, ..good() }, from, "query parameter q ends with z"),
        (Request { query: Some("q=zy&q=z".into()), ..good() }, from, "query parameter q ends with z"),
        (good(), RouteSource { port: 81, ..from }, "port 80"),
        (good(), source(), "labels of the caller"),
        (good(), RouteSource { namespace: "other", ..from }, "caller in namespace default"),
        (good(), RouteSource { scope: &gateway, ..from }, "the place where the rule applies"),
    ] {
        assert_eq!(lost(&request, &source), expected, "{request:?} {source:?}");
    }
}

/// A route for everything is no leave to tunnel anywhere.
#[test]
fn a_tunnel_needs_a_rule_that_names_its_method() {
    let named = Match { method: Some(equals("CONNECT")), ..Match::default() };
    let connect = Request { path: String::new(), ..Request::get("/").method("CONNECT").authority("a.b:443") };
    let rules = vec![rule("all", vec![]), rule("path", vec![prefix("/")]), rule("tunnel", vec![named])];
    for order in [MatchOrder::FirstMatch, MatchOrder::MostSpecific, MatchOrder::Priority] {
        check_winner(order, rules.clone(), &[(connect.clone(), "tunnel")]);
    }
    let router = Router::compile(&table(MatchOrder::FirstMatch, vec![rule("all", vec![])]));
    let mut transcript = Transcript::default();
    let routed = router.route(&connect, &source(), 0, &mut transcript);
    assert!(matches!(routed, Routed::Failed { rule: None, failure: Failure::NoRoute }), "{routed:?}");
    let [Event::Rule { outcome: RuleOutcome::Lost(why), .. }] = &transcript.events[..] else { panic!() };
    assert_eq!(why.to_string(), "a method, which CONNECT needs");
}

#[test]
fn weights_are_kept_within_a_percentage_point() {
    let split = Rule {
        action: forward(vec![backend("a", 90), backend("none", 0), backend("b", 10)]),
        ..rule("r", vec![])
    };
    let router = Router::compile(&table(MatchOrder::FirstMatch, vec![split]));
    let mut rng = Rng::new(20_261_125);
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..10_000 {
        let Routed::Forward(forward) = router.route(&Request::get("/"), &source(), rng.draw(), &mut Silent)
        else {
            panic!("not forwarded");
        };
        *counts.entry(forward.host.as_str()).or_insert(0_u32) += 1;
    }
    assert!((8_900..=9_100).contains(&counts["a"]), "{counts:?}");
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn failures_have_names() {
    let invalid = Backend { target: Target::Invalid { reason: "no such service".into() }, ..backend("x", 1) };
    for (action, expected) in [
        (forward(vec![]), Failure::NoWeight),
        (forward(vec![backend("a", 0), backend("b", 0)]), Failure::NoWeight),
        (forward(vec![invalid]), Failure::InvalidBackend),
    ] {
        let router =
            Router::compile(&table(MatchOrder::FirstMatch, vec![Rule { action, ..rule("r", vec![]) }]));
        let routed = router.route(&Request::get("/"), &source(), 7, &mut Silent);
        let Routed::Failed { rule: Some(_), failure } = routed else { panic!("{routed:?}") };
        assert_eq!(failure, expected);
    }
}

#[test]
fn a_service_without_routes_gets_everything() {
    let router = Router::to_service("reviews".parse().unwrap(), 9080);
    let routed = router.route(&Request::get("/x?y"), &source(), 1, &mut Silent);
    let Routed::Forward(forward) = routed else { panic!("{routed:?}") };
    assert_eq!((forward.host.as_str(), forward.port, forward.subset), ("reviews", Some(9080), None));
    assert!(
        forward.rule.is_none()
            && forward.path.is_none()
            && forward.request_headers.iter().all(|e| e.is_empty())
    );
}

#[test]
fn edits_come_in_the_order_in_which_they_are_made() {
    let edits = |value: &str| HeaderEdits { set: vec![("x".into(), value.into())], ..HeaderEdits::default() };
    let target =
        Backend { request_headers: edits("backend"), response_headers: edits("backend"), ..backend("a", 1) };
    let edited = Rule {
        request_headers: edits("rule"),
        response_headers: edits("rule"),
        action: Action::Forward(ForwardAction {
            backends: vec![target],
            rewrite: Rewrite {
                authority: Some("other".into()),
                path: Some(PathRewrite::Matched("/v2".into())),
            },
            timeout: Some(Duration::from_secs(3)),
            per_try_timeout: Some(Duration::from_secs(1)),
            ..ForwardAction::default()
        }),
        ..rule("r", vec![exact("/nothing"), under("/v1")])
    };
    let router = Router::compile(&table(MatchOrder::FirstMatch, vec![edited]));
    let routed = router.route(&Request::get("/v1/x?q"), &source(), 0, &mut Silent);
    let Routed::Forward(forward) = routed else { panic!("{routed:?}") };
    let values = |edits: [&HeaderEdits; 2]| edits.map(|edits| edits.set[0].1.to_string());
    assert_eq!(values(forward.request_headers), ["rule", "backend"]);
    assert_eq!(values(forward.response_headers), ["backend", "rule"]);
    assert_eq!((forward.path.as_deref(), forward.authority), (Some("/v2/x"), Some("other")));
    assert_eq!(
        (forward.settings.timeout, forward.settings.per_try),
        (Some(Duration::from_secs(3)), Some(Duration::from_secs(1)))
    );
}

fn check_redirect(redirect: Redirect, request: &Request, listener: u16, expected: &str) {
    let status = redirect.status;
    let rule = Rule { action: Action::Redirect(redirect), ..rule("r", vec![under("/old")]) };
    let router = Router::compile(&table(MatchOrder::FirstMatch, vec![rule]));
    let source = RouteSource { port: listener, ..source() };
    let routed = router.route(request, &source, 0, &mut Silent);
    let Routed::Redirect { status: got, location, .. } = routed else { panic!("{routed:?}") };
    assert_eq!((got, location.as_str()), (status, expected), "{request:?}");
}

#[test]
fn redirects_lead_where_both_apis_say() {
    use RedirectPort::{Derived, Fixed, Request as OfRequest, SchemeDefault};
    let plain = || Redirect { scheme: None, host: None, port: Derived, path: None, status: 302 };
    let scheme = |scheme: &str, port| Redirect { scheme: Some(scheme.into()), port, ..plain() };
    let host = |host: &str, port| Redirect { host: Some(host.into()), port, ..plain() };
    let path = |path| Redirect { path: Some(path), ..plain() };
    let request = || Request::get("/old/x?q=1");
    let at = |authority: &str| request().authority(authority);
    for (redirect, request, listener, expected) in [
        (plain(), request(), 80, "http://shop.example.com/old/x?q=1"),
        (plain(), request(), 8080, "http://shop.example.com:8080/old/x?q=1"),
        (plain(), request().scheme("https"), 443, "https://shop.example.com/old/x?q=1"),
        (plain(), at("shop.example.com:9000"), 80, "http://shop.example.com/old/x?q=1"),
        (scheme("https", Derived), at("a:8080"), 8080, "https://a/old/x?q=1"),
        (scheme("ftp", Derived), at("a"), 8080, "ftp://a:8080/old/x?q=1"),
        (scheme("https", Fixed(8443)), at("a"), 80, "https://a:8443/old/x?q=1"),
        (scheme("https", Fixed(443)), at("a"), 80, "https://a/old/x?q=1"),
        (host("b", Derived), at("a"), 8080, "http://b:8080/old/x?q=1"),
        (host("b", SchemeDefault), at("a:8080"), 8080, "http://b/old/x?q=1"),
        (Redirect { port: SchemeDefault, ..plain() }, at("a:8080"), 80, "http://a:8080/old/x?q=1"),
        (scheme("https", SchemeDefault), at("a:80"), 80, "https://a/old/x?q=1"),
        (scheme("https", SchemeDefault), at("a:8080"), 80, "https://a:8080/old/x?q=1"),
        (Redirect { port: OfRequest, ..plain() }, at("a"), 8080, "http://a:8080/old/x?q=1"),
        (plain(), at("[::1]:80"), 8080, "http://[::1]:8080/old/x?q=1"),
        (plain(), at(""), 8080, "/old/x?q=1"),
        (path(PathRewrite::Full("/new".into())), at("a"), 80, "http://a/new?q=1"),
        (path(PathRewrite::Full("/new?z".into())), at("a"), 80, "http://a/new?z"),
        (path(PathRewrite::Matched("/new/".into())), at("a"), 80, "http://a/new/x?q=1"),
        (Redirect { status: 308, ..plain() }, Request::get("/old").authority("a"), 80, "http://a/old"),
    ] {
        check_redirect(redirect, &request, listener, expected);
    }
}

#[test]
fn a_transcript_names_winner_and_losers() {
    let rules =
        vec![rule("first", vec![exact("/x")]), rule("second", vec![prefix("/a")]), rule("third", vec![])];
    let router = Router::compile(&table(MatchOrder::FirstMatch, rules));
    let mut transcript = Transcript::default();
    let _ = router.route(&Request::get("/a"), &source(), 0, &mut transcript);
    let event = |line, name: &str, index, outcome| Event::Rule {
        origin: origin(line),
        name: Some(Arc::from(name)),
        index,
        outcome,
    };
    let backend = Event::Backend {
        origin: origin(0),
        target: Target::Service { host: "second".parse().unwrap(), port: Some(80), subset: None },
        weight: 1,
        total: 1,
        drawn: true,
    };
    let lost = RuleOutcome::Lost(Unmet::Path(PathMatch::Exact("/x".into())));
    assert_eq!(
        transcript.events,
        [
            event(0, "first", Some(0), lost),
            event(1, "second", Some(0), RuleOutcome::Won),
            event(2, "third", None, RuleOutcome::Outranked),
            backend,
        ]
    );
}
