//! Destinations of routes, targets of policies.

use std::sync::Arc;

use leno_model::policy::PolicyTarget;
use leno_model::route::{Action, Target};
use leno_model::snapshot::RouteDialect;
use leno_model::span::Origin;

use super::Analysis;
use crate::codes;

pub(super) fn check(analysis: &mut Analysis<'_>) {
    let snapshot = analysis.snapshot;
    for route in &snapshot.routes {
        // Backends of Gateway API routes were checked when the snapshot was made, where it changes what happens.
        if route.dialect != RouteDialect::Istio {
            continue;
        }
        for rule in &route.rules {
            if let Action::Forward(forward) = &rule.action {
                for backend in &forward.backends {
                    check_destination(
                        analysis,
                        &backend.target,
                        &backend.origin,
                        "such requests get status 503",
                    );
                }
                for mirror in &forward.mirrors {
                    check_destination(analysis, &mirror.target, &mirror.origin, "nothing is mirrored");
                }
            }
        }
    }
    for object in &snapshot.destinations {
        if let Some(origin) = &object.destination.origin
            && !analysis.has_service(&object.host)
        {
            let hint = analysis.host_hint(&object.host);
            analysis.report_with(
                codes::UNKNOWN_DESTINATION,
                origin,
                format_args!("no service has the host {}", object.host),
                hint,
            );
        }
    }
    for scoped in &snapshot.policies {
        for target in &scoped.selection.targets {
            check_target(analysis, target, &scoped.policy.origin);
        }
    }
}

/// `until` is what happens while the destination doesn't exist.
fn check_destination(analysis: &mut Analysis<'_>, target: &Target, origin: &Origin, until: &str) {
    let Target::Service { host, port, subset } = target else { return };
    let Some(service) = analysis.service(host) else {
        let hint = analysis.host_hint(host);
        analysis.report_with(codes::NOT_FOUND, origin, format_args!("no service has the host {host}"), hint);
        return;
    };
    match port {
        Some(port) if service.port(*port).is_none() && service.external_name.is_none() => {
            let ports: Vec<String> = service.ports.iter().map(|port| port.port.to_string()).collect();
            let message = format_args!("the service {host} has no port {port}");
            let hint = format!("its ports are {}", ports.join(", "));
            analysis.report_with(codes::NOT_FOUND, origin, message, hint);
        }
        None if service.ports.len() > 1 => {
            let count = service.ports.len();
            let message = format_args!("the destination names no port, and {host} has {count}");
            analysis.report(codes::PORT_NEEDED, origin, message);
        }
        Some(_) | None => {}
    }
    if let Some(name) = subset
        && analysis.subset(host, name).is_none()
    {
        let message = format_args!("no DestinationRule for {host} has a subset {name}");
        let hint = format!("add the subset; until then {until}");
        analysis.report_with(codes::NOT_FOUND, origin, message, hint);
    }
}

fn check_target(analysis: &mut Analysis<'_>, target: &PolicyTarget, origin: &Origin) {
    let namespace = &origin.object.namespace;
    let (kind, name, exists) = match target {
        PolicyTarget::Gateway(name) => {
            ("Gateway", name, analysis.snapshot.gateways.contains_key(&(namespace.clone(), name.clone())))
        }
        PolicyTarget::Service(name) => {
            let is_it = |service: &Arc<leno_model::service::Service>| {
                service.namespace == *namespace && service.name == *name
            };
            ("Service", name, analysis.snapshot.services.values().any(is_it))
        }
    };
    if !exists {
        analysis.report(codes::NOT_FOUND, origin, format_args!("there is no {kind} {namespace}/{name}"));
    }
}
