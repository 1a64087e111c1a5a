//! The router against a plain reading of the rules, on random tables and requests.

use leno_model::labels::Labels;
use leno_model::request::RequestView as _;
use leno_model::route::{Action, HeaderMatch, Match, MatchOrder, PathRewrite, QueryMatch, RouteTable, Scope};
use leno_model::text::{PathMatch, Pattern, TextMatch};
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::{select, subsequence};

use super::super::{RouteSource, Routed, Router};
use super::{backend, forward, rule, table};
use crate::explain::{Silent, Transcript};
use crate::testing::{Request, cases};

fn text_holds(rule: &TextMatch, value: &str) -> bool {
    match rule {
        TextMatch::Exact(text) => value == &**text,
        TextMatch::Prefix(text) => value.starts_with(&**text),
        TextMatch::Suffix(text) => value.ends_with(&**text),
        TextMatch::Regex(pattern) => {
            let whole = format!("^(?:{pattern})$");
            regex::Regex::new(&whole).unwrap().is_match(value)
        }
        TextMatch::Present => true,
    }
}

fn path_holds(rule: &PathMatch, ignore_case: bool, path: &str) -> bool {
    let fold = |text: &str| if ignore_case { text.to_ascii_lowercase() } else { text.to_owned() };
    match rule {
        PathMatch::Exact(text) => fold(text) == fold(path),
        PathMatch::Prefix(text) => fold(path).starts_with(&fold(text)),
        PathMatch::Segments(text) => {
            let (path, text) = (fold(path), fold(text));
            path.starts_with('/') && (path == text || path.starts_with(&format!("{text}/")))
        }
        PathMatch::Suffix(text) => path.ends_with(&**text),
        PathMatch::Regex(pattern) => text_holds(&TextMatch::Regex(pattern.clone()), path),
        PathMatch::Template(text) => {
            let pattern = text.replace("{**}", ".*").replace("{*}", "[^/]+");
            regex::Regex::new(&format!("^{pattern}$")).unwrap().is_match(path)
        }
        PathMatch::Any => true,
    }
}

fn holds(rule: &Match, request: &Request, source: &RouteSource<'_>) -> bool {
    let optional =
        |rule: &Option<TextMatch>, value: &str| rule.as_ref().is_none_or(|rule| text_holds(rule, value));
    let header = |rule: &HeaderMatch| {
        let value = request.header(&rule.name).map(|value| String::from_utf8(value.into_owned()).unwrap());
        value.is_some_and(|value| text_holds(&rule.value, &value)) != rule.invert
    };
    let query = |rule: &QueryMatch| {
        let pairs =
            request.query().unwrap_or("").split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let first = pairs.filter(|(key, _)| *key == &*rule.name).map(|(_, value)| value).next();
        first.is_some_and(|value| text_holds(&rule.value, value))
    };
    rule.path.as_ref().is_none_or(|path| path_holds(path, rule.path_ignore_case, &request.path))
        && optional(&rule.method, &request.method)
        && (request.method != "CONNECT" || rule.method.is_some())
        && optional(&rule.scheme, &request.scheme)
        && optional(&rule.authority, &request.authority)
        && rule.headers.iter().all(header)
        && rule.query.iter().all(query)
        && rule.port.is_none_or(|port| port == source.port)
        && source.labels.contains(&rule.source_labels)
        && rule.source_namespace.as_deref().is_none_or(|namespace| namespace == source.namespace)
        && rule.scopes.as_ref().is_none_or(|scopes| scopes.contains(source.scope))
}

/// Whether match `a` stands before match `b` where both match and `a` is listed later.
fn beats(order: MatchOrder, a: (&Match, u32), b: (&Match, u32)) -> bool {
    let length = |rule: &Match| match &rule.path {
        Some(PathMatch::Exact(text) | PathMatch::Prefix(text) | PathMatch::Segments(text)) => text.len(),
        _ => 0,
    };
    match order {
        MatchOrder::FirstMatch => false,
        MatchOrder::Priority => a.1 < b.1 || (a.1 == b.1 && length(a.0) > length(b.0)),
        MatchOrder::MostSpecific => {
            let size = |rule: &Match| match &rule.path {
                Some(PathMatch::Regex(pattern)) => pattern.as_str().len(),
                Some(PathMatch::Suffix(text) | PathMatch::Template(text)) => text.len(),
                Some(PathMatch::Prefix(text)) if &**text == "/" => 0,
                _ => length(rule),
            };
            let kind = |rule: &Match| match &rule.path {
                Some(PathMatch::Exact(_)) => 0,
                Some(PathMatch::Regex(_) | PathMatch::Suffix(_) | PathMatch::Template(_)) => 2,
                _ if size(rule) == 0
                    && rule.method.is_none()
                    && rule.headers.is_empty()
                    && rule.query.is_empty() =>
                {
                    3
                }
                _ => 1,
            };
            for (a, b) in [
                (10 - kind(a.0), 10 - kind(b.0)),
                (size(a.0), size(b.0)),
                (usize::from(a.0.method.is_some()), usize::from(b.0.method.is_some())),
                (a.0.headers.len(), b.0.headers.len()),
                (a.0.query.len(), b.0.query.len()),
            ] {
                if a != b {
                    return a > b;
                }
            }
            false
        }
    }
}

/// The position of the rule that decides, and its match.
fn oracle(table: &RouteTable, request: &Request, source: &RouteSource<'_>) -> Option<(usize, Match)> {
    let mut best: Option<(usize, Match, u32)> = None;
    for (position, rule) in table.rules.iter().enumerate() {
        let all = vec![Match::default()];
        for candidate in if rule.matches.is_empty() { &all } else { &rule.matches } {
            let better = match &best {
                None => true,
                Some((_, held, priority)) => {
                    beats(table.order, (candidate, rule.priority), (held, *priority))
                }
            };
            if holds(candidate, request, source) && better {
                best = Some((position, candidate.clone(), rule.priority));
            }
        }
    }
    best.map(|(position, rule, _)| (position, rule))
}

fn text() -> impl Strategy<Value = TextMatch> {
    let word = select(vec!["", "a", "b", "ab", "GET", "POST", "http", "v1"]);
    (0..5, word).prop_map(|(kind, word)| match kind {
        0 => TextMatch::Exact(word.into()),
        1 => TextMatch::Prefix(word.into()),
        2 => TextMatch::Suffix(word.into()),
        3 => TextMatch::Regex(Pattern::new(select_pattern(word)).unwrap()),
        _ => TextMatch::Present,
    })
}

fn select_pattern(word: &str) -> &'static str {
    match word {
        "" => ".*",
        "a" => "a|b",
        "b" => "[a-z]+",
        _ => "[A-Z]+",
    }
}

fn request_path() -> impl Strategy<Value = String> {
    let segment = select(vec!["a", "b", "ab", "A", ""]);
    prop_oneof![
        20 => proptest::collection::vec(segment, 0..4).prop_map(|segments| format!("/{}", segments.join("/"))),
        1 => Just("*".to_owned()),
        1 => Just(String::new()),
    ]
}

fn path_match() -> impl Strategy<Value = PathMatch> {
    (0..7, request_path(), select(vec!["/{*}", "/a/{**}", "/{**}/b", "/{*}/a"])).prop_map(
        |(kind, path, template)| match kind {
            0 => PathMatch::Exact(path.into()),
            1 => PathMatch::Prefix(path.into()),
            2 => PathMatch::Segments(path.trim_matches('*').trim_end_matches('/').into()),
            3 => PathMatch::Suffix(path.into()),
            4 => PathMatch::Regex(Pattern::new(&format!("{}.*", path.replace('*', ""))).unwrap()),
            5 => PathMatch::Template(template.into()),
            _ => PathMatch::Any,
        },
    )
}

fn a_match() -> impl Strategy<Value = Match> {
    let named = || (select(vec!["x", "y"]), text(), any::<bool>());
    let rare = |strategy| proptest::option::weighted(0.2, strategy);
    let scopes = vec![Scope::Mesh, Scope::Gateway { namespace: "n".into(), name: "g".into() }];
    (
        proptest::option::weighted(0.8, path_match()),
        any::<bool>(),
        (rare(text()), rare(text()), rare(text())),
        proptest::collection::vec(named(), 0..3),
        proptest::collection::vec(named(), 0..3),
        (proptest::option::weighted(0.2, 80_u16..82), any::<bool>(), any::<bool>()),
        proptest::option::weighted(0.2, subsequence(scopes, 0..=2)),
    )
        .prop_map(
            |(
                path,
                path_ignore_case,
                (method, scheme, authority),
                headers,
                query,
                (port, labelled, spaced),
                scopes,
            )| {
                Match {
                    path,
                    path_ignore_case,
                    method,
                    scheme,
                    authority,
                    headers: headers
                        .into_iter()
                        .map(|(name, value, invert)| HeaderMatch { name: name.into(), value, invert })
                        .collect(),
                    query: query
                        .into_iter()
                        .map(|(name, value, _)| QueryMatch { name: name.into(), value })
                        .collect(),
                    port,
                    source_labels: labelled.then_some(("app", "a")).into_iter().collect(),
                    source_namespace: spaced.then(|| "n".into()),
                    scopes,
                    stream: None,
                }
            },
        )
}

fn a_table() -> impl Strategy<Value = RouteTable> {
    let order = select(vec![MatchOrder::FirstMatch, MatchOrder::MostSpecific, MatchOrder::Priority]);
    let rewrites = select(vec![
        None,
        Some(PathRewrite::Full("/full".into())),
        Some(PathRewrite::Matched("/matched".into())),
        Some(PathRewrite::Regex { pattern: Pattern::new("a(.?)").unwrap(), substitution: r"<\1>".into() }),
    ]);
    let weights = proptest::collection::vec(0_u32..3, 0..4);
    let a_rule = (proptest::collection::vec(a_match(), 0..3), 0_u32..3, weights, rewrites).prop_map(
        |(matches, priority, weights, rewrite)| {
            let mut rule = rule("r", matches);
            rule.priority = priority;
            rule.action = forward(weights.into_iter().map(|weight| backend("b", weight)).collect());
            if let Action::Forward(forward) = &mut rule.action {
                forward.rewrite.path = rewrite;
            }
            rule
        },
    );
    (order, proptest::collection::vec(a_rule, 0..6)).prop_map(|(order, rules)| table(order, rules))
}

fn a_request() -> impl Strategy<Value = Request> {
    let word = || select(vec!["", "a", "b", "ab", "v1"]);
    let pair = || (select(vec!["x", "y"]), word());
    (
        request_path(),
        select(vec!["GET", "POST", "CONNECT"]),
        word(),
        proptest::collection::vec(pair(), 0..3),
        proptest::option::of(proptest::collection::vec(pair(), 0..3)),
    )
        .prop_map(|(path, method, authority, headers, query)| {
            let mut request = Request::get(&path).method(method).authority(authority);
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let join = |(name, value)| format!("{name}={value}");
            request.query = query.map(|query| query.into_iter().map(join).collect::<Vec<_>>().join("&"));
            request
        })
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn the_router_agrees_with_a_plain_reading(
        table in a_table(), request in a_request(), draw in any::<u64>(), labelled in any::<bool>(), port in 80_u16..82,
    ) {
        let labels: Labels = labelled.then_some(("app", "a")).into_iter().collect();
        let source = RouteSource { labels: &labels, namespace: "n", port, scope: &Scope::Mesh };
        let router = Router::compile(&table);
        let routed = router.route(&request, &source, draw, &mut Silent);
        let rule = match &routed {
            Routed::Forward(forward) => forward.rule,
            Routed::Failed { rule, .. } => *rule,
            Routed::Redirect { rule, .. } | Routed::Respond { rule, .. } => Some(*rule),
        };
        let expected = oracle(&table, &request, &source).map(|(position, _)| &table.rules[position].origin);
        prop_assert_eq!(rule.map(|rule| &rule.origin), expected);

        let mut transcript = Transcript::default();
        prop_assert_eq!(&router.route(&request, &source, draw, &mut transcript), &routed, "a listener changes nothing");
    }

    #[test]
    fn no_text_makes_the_router_panic(table in a_table(), path in ".*", query in ".*", authority in ".*", value in ".*") {
        let mut request = Request::get("/").authority(&authority).header("x", &value);
        request.path = path;
        request.query = Some(query);
        let labels = Labels::default();
        let source = RouteSource { labels: &labels, namespace: "n", port: 80, scope: &Scope::Mesh };
        let _ = Router::compile(&table).route(&request, &source, 1, &mut Transcript::default());
    }
}
