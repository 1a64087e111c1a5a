//! In which order the matches of a table are tried, so that the first that holds is the one that its dialect picks.

use std::cmp::Reverse;

use leno_model::route::{Match, MatchOrder, Rule};
use leno_model::text::PathMatch;

use super::candidate::Candidate;

/// Sorts candidates that are in listed order. The sort is stable: listed order decides last.
pub(super) fn sort(order: MatchOrder, rules: &[Rule], candidates: &mut [Candidate]) {
    let none = Match::default();
    let of = |candidate: &Candidate| {
        let rule = rules.get(candidate.rule);
        let from = rule.zip(candidate.index).and_then(|(rule, index)| rule.matches.get(index));
        (rule.map_or(0, |rule| rule.priority), from.unwrap_or(&none))
    };
    match order {
        MatchOrder::FirstMatch => {}
        MatchOrder::MostSpecific => candidates.sort_by_key(|candidate| Reverse(specificity(of(candidate).1))),
        MatchOrder::Priority => candidates.sort_by_key(|candidate| {
            let (priority, from) = of(candidate);
            (priority, Reverse(prefix_length(from)))
        }),
    }
}

/// Gateway API's precedence (HTTPRouteRule.matches): exact path, longest prefix, method, most headers, most query
/// parameters. It leaves open where regular expressions stand; here, as in Istio, after every prefix, but before a
/// match for everything.
fn specificity(from: &Match) -> (bool, (u8, usize), bool, usize, usize) {
    let conditional = from.method.is_some() || !from.headers.is_empty() || !from.query.is_empty();
    let rank = path_rank(from);
    let matches_all = rank == (2, 0) && !conditional;
    (!matches_all, rank, from.method.is_some(), from.headers.len(), from.query.len())
}

/// Length of the path's beginning that is told literally.
fn prefix_length(from: &Match) -> usize {
    match &from.path {
        Some(PathMatch::Exact(text) | PathMatch::Prefix(text) | PathMatch::Segments(text)) => text.len(),
        _ => 0,
    }
}

/// Kind and length of the path's condition; more is more specific. The prefix `/` is no condition.
fn path_rank(from: &Match) -> (u8, usize) {
    match &from.path {
        Some(PathMatch::Prefix(text)) if &**text == "/" => (2, 0),
        Some(PathMatch::Prefix(text) | PathMatch::Segments(text)) => (2, text.len()),
        Some(PathMatch::Exact(text)) => (3, text.len()),
        Some(PathMatch::Regex(pattern)) => (1, pattern.as_str().len()),
        Some(PathMatch::Suffix(text) | PathMatch::Template(text)) => (1, text.len()),
        Some(PathMatch::Any) | None => (2, 0),
    }
}
