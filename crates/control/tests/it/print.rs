//! Units as text, as far as compiling decides about them.

use std::fmt::Write;

use leno_model::labels::Labels;
use leno_model::route::{Action, Match, RouteTable, Rule};
use leno_model::service::Endpoint;
use leno_model::unit::{EndpointUnit, GatewayUnit, HostUnit, WorkloadUnit};
use leno_wire::Unit;

pub(crate) fn unit(unit: &Unit) -> String {
    let mut text = String::new();
    match unit {
        Unit::Mesh(mesh) => {
            writeln!(text, "  ranges {}", join(&mesh.ranges)).unwrap();
            writeln!(text, "  wildcards {}", join(&mesh.wildcard_hosts)).unwrap();
        }
        Unit::Host(unit) => host(&mut text, unit),
        Unit::Endpoints(unit) => endpoints(&mut text, unit),
        Unit::Workload(unit) => workload(&mut text, unit),
        Unit::Gateway(unit) => gateway(&mut text, unit),
        Unit::Answer(_, answer) => writeln!(text, "  {answer:?}").unwrap(),
        Unit::Bundle(bundle) => writeln!(text, "  {} roots", bundle.roots.len()).unwrap(),
    }
    text
}

fn join<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn labels(labels: &Labels) -> String {
    labels.0.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

fn host(text: &mut String, unit: &HostUnit) {
    let ports = unit.ports.iter().map(|port| format!("{}/{}", port.port, port.protocol.as_str()));
    let ports = ports.collect::<Vec<_>>().join(" ");
    let kind = match (unit.headless, unit.external) {
        (true, _) => " headless",
        (false, true) => " external",
        (false, false) => "",
    };
    writeln!(text, "  {} in {}{kind} vips [{}] ports {ports}", unit.name, unit.namespace, join(&unit.vips))
        .unwrap();
    for (port, routes) in &unit.routes {
        writeln!(text, "  routes for {}", if *port == 0 { "all ports".to_owned() } else { port.to_string() })
            .unwrap();
        table(text, routes, "    ");
    }
    let Some(origin) = &unit.destination.origin else { return };
    writeln!(text, "  settings of {origin}: {:?}", unit.destination.policy.balancer).unwrap();
    for (port, policy) in &unit.destination.ports {
        writeln!(text, "    port {port}: {:?}", policy.balancer).unwrap();
    }
    for subset in &unit.destination.subsets {
        writeln!(text, "    subset {} {} of {}", subset.name, labels(&subset.labels), subset.origin).unwrap();
    }
}

fn table(text: &mut String, table: &RouteTable, indent: &str) {
    writeln!(text, "{indent}{:?}", table.order).unwrap();
    for rule in &table.rules {
        writeln!(text, "{indent}{} {} -> {}", rule.origin, matches(rule), action(rule)).unwrap();
    }
}

fn matches(rule: &Rule) -> String {
    let one = |condition: &Match| {
        let mut parts: Vec<String> = condition.path.iter().map(|path| format!("path {path}")).collect();
        parts.extend(
            condition.headers.iter().map(|header| format!("header {} {}", header.name, header.value)),
        );
        parts.extend(condition.source_namespace.iter().map(|namespace| format!("from {namespace}")));
        parts.extend(condition.scopes.iter().map(|scopes| format!("in {scopes:?}")));
        if parts.is_empty() { "everything".to_owned() } else { parts.join(", ") }
    };
    if rule.matches.is_empty() {
        return "[all]".to_owned();
    }
    format!("[{}]", rule.matches.iter().map(one).collect::<Vec<_>>().join(" | "))
}

fn action(rule: &Rule) -> String {
    match &rule.action {
        Action::Forward(forward) => {
            let backend =
                |backend: &leno_model::route::Backend| format!("{} x{}", backend.target, backend.weight);
            forward.backends.iter().map(backend).collect::<Vec<_>>().join(", ")
        }
        Action::Redirect(redirect) => format!("redirect {}", redirect.status),
        Action::Respond(response) => format!("respond {}", response.status),
    }
}

fn endpoints(text: &mut String, unit: &EndpointUnit) {
    for endpoint in &unit.endpoints {
        let Endpoint { uid, ip, ports, transport, ready, hostname, .. } = endpoint;
        let identity = endpoint.identity.as_ref().map_or("nobody", |id| id.principal());
        let ports: Vec<String> =
            ports.iter().map(|(service, target)| format!("{service}>{target}")).collect();
        let ready = if *ready { "" } else { " not ready" };
        let hostname = hostname.as_ref().map(|name| format!(" named {name}")).unwrap_or_default();
        writeln!(text, "  {uid} at {ip} {} by {transport:?} is {identity}{ready}{hostname}", ports.join(" "))
            .unwrap();
    }
}

fn workload(text: &mut String, unit: &WorkloadUnit) {
    writeln!(text, "  is {}", unit.identity.principal()).unwrap();
    for port in &unit.ports {
        let service = port.service.as_ref().map_or("none", |(host, ..)| host.as_str());
        writeln!(text, "  port {}/{} for {service}", port.port, port.protocol.as_str()).unwrap();
    }
    let origin = unit.mtls.origin.as_ref().map_or_else(|| "the default".to_owned(), ToString::to_string);
    let ports =
        unit.mtls.ports.iter().map(|(port, mode)| format!(", {port} {}", mode.as_str())).collect::<String>();
    writeln!(text, "  mtls {} by {origin}{ports}", unit.mtls.mode.as_str()).unwrap();
    for policy in &unit.policies {
        writeln!(text, "  policy {} {:?}", policy.origin, policy.action).unwrap();
    }
}

fn gateway(text: &mut String, unit: &GatewayUnit) {
    for listener in &unit.listeners {
        let hostname = listener.hostname.as_ref().map_or("*", |host| host.as_str());
        let certificates = listener.certificates.len();
        writeln!(
            text,
            "  {} on {} for {hostname}, {certificates} certificates",
            listener.name, listener.port
        )
        .unwrap();
        for (host, routes) in &listener.hosts {
            writeln!(text, "    {host}").unwrap();
            table(text, routes, "      ");
        }
    }
    for policy in &unit.policies {
        writeln!(text, "  policy {} {:?}", policy.origin, policy.action).unwrap();
    }
}
