//! Routes against routes: hosts that several route, rules that others leave nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use leno_model::name::Host;
use leno_model::route::{Match, MatchOrder};
use leno_model::snapshot::{Attachment, RouteDialect, RouteObject};

use super::{Analysis, matches};
use crate::codes;
use crate::limits::MAX_COMPARED_MATCHES;

pub(super) fn check(analysis: &mut Analysis<'_>) {
    let snapshot = analysis.snapshot;
    let mut by_host: BTreeMap<&Host, Vec<&Arc<RouteObject>>> = BTreeMap::new();
    for route in &snapshot.routes {
        for attachment in &route.attachments {
            if let Attachment::Mesh { host, .. } = attachment {
                let routes = by_host.entry(host).or_default();
                if !routes.iter().any(|known| Arc::ptr_eq(known, route)) {
                    routes.push(route);
                }
            }
        }
        check_rules(analysis, route);
    }
    for (host, routes) in by_host {
        check_host(analysis, host, &routes);
    }
}

fn check_host(analysis: &mut Analysis<'_>, host: &Host, routes: &[&Arc<RouteObject>]) {
    let has_service = analysis.has_service(host);
    let primary = routes.iter().find(|route| route.dialect == RouteDialect::GatewayApi);
    let mut older: Vec<&Arc<RouteObject>> = Vec::new();
    for route in routes {
        // A host of the world outside is no mistake where a gateway serves it.
        let at_gateway = |attachment: &Attachment| matches!(attachment, Attachment::Gateway { .. });
        if !has_service && !route.attachments.iter().any(at_gateway) {
            let hint = analysis.host_hint(host);
            let message = format_args!("the routes are for {host}, and no service has this host");
            analysis.report_with(codes::UNKNOWN_ROUTE_HOST, &route.origin, message, hint);
        }
        if route.dialect != RouteDialect::Istio {
            continue;
        }
        if let Some(winner) = primary {
            let message = format_args!("for {host} {} counts instead", winner.origin);
            analysis.report(codes::BEATEN, &route.origin, message);
        }
        if let Some(winner) = older.iter().find(|older| see_each_other(older, route)) {
            let message = format_args!("{} already routes {host}, and counts instead", winner.origin);
            analysis.report(codes::CONFLICTING_HOSTS, &route.origin, message);
        }
        older.push(route);
    }
}

/// Whether some namespace sees both.
fn see_each_other(a: &RouteObject, b: &RouteObject) -> bool {
    match (&a.visible_in, &b.visible_in) {
        (Some(a), Some(b)) => a.iter().any(|namespace| b.contains(namespace)),
        (Some(only), None) | (None, Some(only)) => !only.is_empty(),
        (None, None) => true,
    }
}

fn check_rules(analysis: &mut Analysis<'_>, route: &RouteObject) {
    let rules = matches::all(route);
    let mut before: Vec<(u32, &Match)> = Vec::new();
    for (rule, matches) in route.rules.iter().zip(&rules) {
        if before.len() + matches.len() > MAX_COMPARED_MATCHES {
            return;
        }
        let taken: Vec<Option<u32>> =
            matches.iter().map(|found| taken_by(&before, found, route.order)).collect();
        let line = rule.origin.location.line;
        match taken.iter().flatten().next() {
            Some(by) if taken.iter().all(Option::is_some) => {
                let message =
                    format_args!("the rule is never used: the rule on line {by} takes its requests");
                analysis.report(codes::UNREACHABLE_RULE, &rule.origin, message);
            }
            Some(by) => {
                let message = format_args!(
                    "a match of the rule is never used: the rule on line {by} takes its requests"
                );
                analysis.report(codes::DUPLICATE_MATCH, &rule.origin, message);
            }
            None => {}
        }
        before.extend(matches.iter().map(|found| (line, found)));
    }
}

/// The line of a rule before that takes everything that `found` matches.
fn taken_by(before: &[(u32, &Match)], found: &Match, order: MatchOrder) -> Option<u32> {
    let takes = |earlier: &Match| match order {
        MatchOrder::FirstMatch => matches::covers(earlier, found),
        // The more specific match wins wherever it stands; only an equal one leaves nothing.
        MatchOrder::MostSpecific => earlier == found,
        MatchOrder::Priority => false,
    };
    before.iter().find(|(_, earlier)| takes(earlier)).map(|(line, _)| *line)
}
