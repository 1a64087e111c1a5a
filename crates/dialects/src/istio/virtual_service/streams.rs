//! `tls` and `tcp`: where connections go that are no HTTP.

use std::sync::Arc;

use ipnet::IpNet;
use leno_model::name::Host;
use leno_model::route::{Action, Forward, HeaderEdits, Match, Rule, Scope, StreamMatch};

use super::{action, matches};
use crate::codes;
use crate::envelope::Context;
use crate::yaml::{Fields, Value};

/// What is routed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// By the name that a ClientHello asks for.
    Tls,
    /// By address and port.
    Tcp,
}

/// Reads an entry; `hosts` are those of the object. `None` when it is wrong.
pub(super) fn rule(
    item: &Value<'_>,
    kind: Kind,
    context: &Context<'_>,
    scopes: &[Scope],
    hosts: &[Host],
) -> Option<Rule> {
    let fields = item.fields()?;
    let given = fields.items("match");
    let mut matches: Vec<Match> =
        given.iter().filter_map(|item| matching(item, kind, context, scopes, hosts)).collect();
    if given.is_empty() && kind == Kind::Tls {
        let message = "match is missing";
        item.report_with(codes::REQUIRED, message, "name the hosts in sniHosts");
    }
    if given.is_empty() && kind == Kind::Tcp {
        matches.push(Match { stream: Some(StreamMatch::default()), ..Match::default() });
    }
    let backends = action::backends(&fields, context, "the rule has no route");
    fields.finish();
    if matches.is_empty() {
        return None;
    }
    Some(Rule {
        name: None,
        origin: context.origin(item.at()),
        matches,
        priority: 0,
        action: Action::Forward(Forward { backends: backends?, ..Forward::default() }),
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
    })
}

fn matching(
    item: &Value<'_>,
    kind: Kind,
    context: &Context<'_>,
    scopes: &[Scope],
    hosts: &[Host],
) -> Option<Match> {
    let fields = item.fields()?;
    let stream = StreamMatch {
        server_names: match kind {
            Kind::Tls => server_names(&fields, item, hosts),
            Kind::Tcp => Vec::new(),
        },
        subnets: subnets(&fields),
    };
    let source_subnet = fields.value("sourceSubnet");
    let read = Match {
        stream: Some(stream),
        port: fields.port("port"),
        source_labels: fields.labels("sourceLabels"),
        source_namespace: fields.text("sourceNamespace").filter(|name| !name.is_empty()).map(Arc::from),
        scopes: fields.value("gateways").map(|gateways| matches::match_scopes(&gateways, context, scopes)),
        ..Match::default()
    };
    fields.finish();
    if kind == Kind::Tls && read.stream.as_ref().is_none_or(|stream| stream.server_names.is_empty()) {
        return None;
    }
    if let Some(value) = source_subnet.filter(|value| value.text().is_some_and(|text| !text.is_empty())) {
        let message = "callers are not told apart by address, so the match never holds";
        value.report_with(codes::LEFT_OUT, message, "use sourceLabels or sourceNamespace");
        return None;
    }
    Some(read)
}

/// The names, each of which one of the object's hosts must cover.
fn server_names(fields: &Fields<'_>, item: &Value<'_>, hosts: &[Host]) -> Vec<Host> {
    let items = fields.items("sniHosts");
    if items.is_empty() {
        item.report_with(
            codes::REQUIRED,
            "sniHosts is missing",
            "name the hosts, each covered by spec.hosts",
        );
    }
    let covered = |value: &Value<'_>| {
        let name: Host = value.parse()?;
        if !hosts.iter().any(|host| *host == name || host.covers(name.as_str())) {
            value.invalid("is not covered by spec.hosts", "add it to spec.hosts");
            return None;
        }
        Some(name)
    };
    items.iter().filter_map(covered).collect()
}

/// Addresses stand for themselves.
fn subnets(fields: &Fields<'_>) -> Vec<IpNet> {
    let read = |value: &Value<'_>| {
        let text = value.text()?;
        let subnet = text.parse().ok().or_else(|| text.parse().ok().map(|ip: std::net::IpAddr| ip.into()));
        if subnet.is_none() {
            value.invalid("is neither an address nor a subnet", "write it such as 10.0.0.0/8");
        }
        subnet
    };
    fields.items("destinationSubnets").iter().filter_map(read).collect()
}
