//! Route tables and rules.

use leno_model::route::{Action, MatchOrder, RouteTable, Rule};

use super::{Interner, Within, each, interned, origin, route_action, route_match};
use crate::malformed::Malformed;
use crate::proto::units;
use crate::proto::units::rule;

pub(super) fn write_table(table: &RouteTable) -> units::RouteTable {
    let order = match table.order {
        MatchOrder::FirstMatch => units::MatchOrder::FirstMatch,
        MatchOrder::MostSpecific => units::MatchOrder::MostSpecific,
        MatchOrder::Priority => units::MatchOrder::Priority,
    };
    units::RouteTable { order: order.into(), rules: table.rules.iter().map(write_rule).collect() }
}

pub(super) fn read_table(from: units::RouteTable, texts: &mut Interner) -> Result<RouteTable, Malformed> {
    let order = match units::MatchOrder::try_from(from.order) {
        Ok(units::MatchOrder::FirstMatch) => MatchOrder::FirstMatch,
        Ok(units::MatchOrder::MostSpecific) => MatchOrder::MostSpecific,
        Ok(units::MatchOrder::Priority) => MatchOrder::Priority,
        Ok(units::MatchOrder::Unspecified) | Err(_) => return Err(Malformed::missing("order")),
    };
    Ok(RouteTable { order, rules: each("rules", from.rules, |rule| read_rule(rule, texts))? })
}

fn write_rule(rule: &Rule) -> units::Rule {
    units::Rule {
        name: rule.name.as_ref().map(ToString::to_string),
        origin: Some(origin::write(&rule.origin)),
        matches: rule.matches.iter().map(route_match::write).collect(),
        priority: rule.priority,
        action: Some(match &rule.action {
            Action::Forward(forward) => rule::Action::Forward(route_action::write_forward(forward)),
            Action::Redirect(redirect) => rule::Action::Redirect(route_action::write_redirect(redirect)),
            Action::Respond(fixed) => rule::Action::Respond(route_action::write_fixed(fixed)),
        }),
        request_headers: route_action::write_edits(&rule.request_headers),
        response_headers: route_action::write_edits(&rule.response_headers),
    }
}

fn read_rule(from: units::Rule, texts: &mut Interner) -> Result<Rule, Malformed> {
    let action = match from.action.within("action")? {
        rule::Action::Forward(forward) => {
            Action::Forward(route_action::read_forward(forward, texts).within("forward")?)
        }
        rule::Action::Redirect(redirect) => {
            Action::Redirect(route_action::read_redirect(redirect, texts).within("redirect")?)
        }
        rule::Action::Respond(fixed) => Action::Respond(route_action::read_fixed(fixed).within("respond")?),
    };
    Ok(Rule {
        name: from.name.map(|name| interned(&name, texts)),
        origin: origin::required(from.origin, texts)?,
        matches: each("matches", from.matches, |one| route_match::read(one, texts))?,
        priority: from.priority,
        action,
        request_headers: route_action::read_edits(from.request_headers, texts).within("request_headers")?,
        response_headers: route_action::read_edits(from.response_headers, texts)
            .within("response_headers")?,
    })
}
