//! Whether one match takes every request that another would.

use leno_model::route::Match;
use leno_model::snapshot::RouteObject;
use leno_model::text::PathMatch;

/// Whether `a` certainly matches whatever `b` matches. `false` may also mean that it is not known.
pub(super) fn covers(a: &Match, b: &Match) -> bool {
    let path = match (&a.path, &b.path) {
        (None | Some(PathMatch::Any), _) => true,
        (Some(a_path), Some(b_path)) => {
            (a.path_ignore_case == b.path_ignore_case || !b.path_ignore_case) && covers_path(a_path, b_path)
        }
        (Some(a_path), None) => is_every_path(a_path),
    };
    path && a.stream == b.stream
        && (a.method.is_none() || a.method == b.method)
        && (a.scheme.is_none() || a.scheme == b.scheme)
        && (a.authority.is_none() || a.authority == b.authority)
        && a.headers.iter().all(|header| b.headers.contains(header))
        && a.query.iter().all(|query| b.query.contains(query))
        && (a.port.is_none() || a.port == b.port)
        && b.source_labels.contains(&a.source_labels)
        && (a.source_namespace.is_none() || a.source_namespace == b.source_namespace)
        && match (&a.scopes, &b.scopes) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(a), Some(b)) => b.iter().all(|scope| a.contains(scope)),
        }
}

fn is_every_path(path: &PathMatch) -> bool {
    match path {
        PathMatch::Any => true,
        PathMatch::Prefix(prefix) => matches!(&**prefix, "" | "/"),
        PathMatch::Segments(prefix) => prefix.is_empty(),
        _ => false,
    }
}

fn covers_path(a: &PathMatch, b: &PathMatch) -> bool {
    if a == b || is_every_path(a) {
        return true;
    }
    match (a, b) {
        (PathMatch::Prefix(a), PathMatch::Exact(b) | PathMatch::Prefix(b) | PathMatch::Segments(b)) => {
            b.starts_with(&**a)
        }
        (PathMatch::Segments(a), PathMatch::Exact(b) | PathMatch::Segments(b)) => {
            b.strip_prefix(&**a).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        _ => false,
    }
}

/// A match together with the rule that holds it; a rule without matches holds one that takes everything.
pub(super) fn all(route: &RouteObject) -> Vec<Vec<Match>> {
    let of_rule = |matches: &[Match]| {
        if matches.is_empty() { vec![Match::default()] } else { matches.to_vec() }
    };
    route.rules.iter().map(|rule| of_rule(&rule.matches)).collect()
}

#[cfg(test)]
mod tests {
    use leno_model::route::HeaderMatch;
    use leno_model::text::TextMatch;

    use super::*;

    #[test]
    fn broader_matches_cover_narrower_ones() {
        let path = |path: PathMatch| Match { path: Some(path), ..Match::default() };
        let prefix = |text: &str| path(PathMatch::Prefix(text.into()));
        let exact = |text: &str| path(PathMatch::Exact(text.into()));
        let segments = |text: &str| path(PathMatch::Segments(text.into()));
        let header = |base: Match| Match {
            headers: vec![HeaderMatch { name: "x".into(), value: TextMatch::Present, invert: false }],
            ..base
        };
        for (a, b, expected) in [
            (Match::default(), exact("/a"), true),
            (prefix("/"), Match::default(), true),
            (prefix("/a"), exact("/ab"), true),
            (prefix("/a"), prefix("/a/b"), true),
            (prefix("/a/b"), prefix("/a"), false),
            (segments("/a"), exact("/a/b"), true),
            (segments("/a"), exact("/ab"), false),
            (segments("/a"), prefix("/a/"), false),
            (exact("/a"), exact("/a"), true),
            (exact("/a"), Match::default(), false),
            (prefix("/a"), header(prefix("/a")), true),
            (header(prefix("/a")), prefix("/a"), false),
            (Match { path_ignore_case: true, ..prefix("/a") }, prefix("/a"), true),
            (prefix("/a"), Match { path_ignore_case: true, ..prefix("/a") }, false),
            (Match { port: Some(80), ..Match::default() }, Match::default(), false),
        ] {
            assert_eq!(covers(&a, &b), expected, "{a:?} {b:?}");
        }
    }
}
