//! Gateways, their secrets, and the routes attached to them.

use std::sync::Arc;

use leno_model::gateway::{AllowedRoutes, Gateway, Listener, ListenerProtocol};
use leno_model::labels::Labels;
use leno_model::name::Host;
use leno_model::route::Scope;
use leno_model::snapshot::{Attachment, RouteDialect, RouteObject};

use super::Analysis;
use crate::codes;

pub(super) fn check(analysis: &mut Analysis<'_>) {
    let snapshot = analysis.snapshot;
    for gateway in snapshot.gateways.values() {
        check_secrets(analysis, gateway);
    }
    for route in &snapshot.routes {
        for attachment in &route.attachments {
            if let Attachment::Gateway { scope: Scope::Gateway { namespace, name }, section, port } =
                attachment
            {
                let key = (namespace.clone(), name.clone());
                match snapshot.gateways.get(&key) {
                    Some(gateway) => check_attachment(analysis, route, gateway, section.as_deref(), *port),
                    None => {
                        let message = format_args!("there is no Gateway {namespace}/{name}");
                        analysis.report(codes::NOT_FOUND, &route.origin, message);
                    }
                }
            }
        }
    }
}

fn check_secrets(analysis: &mut Analysis<'_>, gateway: &Gateway) {
    for listener in &gateway.listeners {
        for (namespace, name) in &listener.certificates {
            if analysis.snapshot.secrets.contains_key(&(namespace.clone(), name.clone())) {
                continue;
            }
            let is_it = |object: &leno_model::span::ObjectRef| {
                &*object.kind == "Secret" && object.namespace == *namespace && object.name == *name
            };
            if analysis.snapshot.objects.iter().any(|report| is_it(&report.origin.object)) {
                let message = format_args!("Secret {namespace}/{name} holds no usable certificate and key");
                analysis.report(codes::BAD_CREDENTIAL, &listener.origin, message);
            } else {
                let message = format_args!("there is no Secret {namespace}/{name}");
                analysis.report(codes::NOT_FOUND, &listener.origin, message);
            }
        }
    }
}

fn check_attachment(
    analysis: &mut Analysis<'_>,
    route: &RouteObject,
    gateway: &Gateway,
    section: Option<&str>,
    port: Option<u16>,
) {
    let named = |listener: &&Listener| {
        section.is_none_or(|section| *listener.name == *section)
            && port.is_none_or(|port| listener.port == port)
    };
    let listeners: Vec<&Listener> = gateway.listeners.iter().filter(named).collect();
    let Gateway { namespace, name, .. } = gateway;
    if listeners.is_empty() {
        let section = section.map(|section| format!(" {section:?}")).unwrap_or_default();
        let port = port.map(|port| format!(" on port {port}")).unwrap_or_default();
        let message = format_args!("Gateway {namespace}/{name} has no listener{section}{port}");
        analysis.report(codes::NOT_FOUND, &route.origin, message);
        return;
    }
    if route.dialect == RouteDialect::GatewayApi && !listeners.iter().any(|listener| speaks(listener, route))
    {
        let what = if is_about_connections(route) { "connections unread" } else { "requests" };
        let message =
            format_args!("no listener of Gateway {namespace}/{name} that it names passes {what} on");
        analysis.report(codes::OTHER_LISTENER, &route.origin, message);
        return;
    }
    let allowed: Vec<&Listener> =
        listeners.into_iter().filter(|listener| allows(analysis, gateway, listener, route)).collect();
    if allowed.is_empty() {
        let message =
            format_args!("Gateway {namespace}/{name} lets no route of namespace {} attach", route.namespace);
        analysis.report(codes::NOT_ALLOWED, &route.origin, message);
        return;
    }
    for host in &route.hosts {
        if !allowed.iter().any(|listener| serves(listener, host)) {
            let message = format_args!("no listener of Gateway {namespace}/{name} serves the host {host}");
            analysis.report(codes::HOST_NOT_AT_GATEWAY, &route.origin, message);
        }
    }
}

/// Whether a listener does with connections what the route is about.
fn speaks(listener: &Listener, route: &RouteObject) -> bool {
    let unread = matches!(listener.protocol, ListenerProtocol::Tls | ListenerProtocol::Tcp);
    unread == is_about_connections(route)
}

/// Rules of the Gateway API are about one or the other.
fn is_about_connections(route: &RouteObject) -> bool {
    route.rules.iter().flat_map(|rule| &rule.matches).any(|condition| condition.stream.is_some())
}

/// Whether a listener takes routes of the route's namespace. Istio's routes name gateways of any namespace.
fn allows(analysis: &Analysis<'_>, gateway: &Gateway, listener: &Listener, route: &RouteObject) -> bool {
    if route.dialect == RouteDialect::Istio {
        return true;
    }
    match &listener.allowed {
        AllowedRoutes::All => true,
        AllowedRoutes::Same => gateway.namespace == route.namespace,
        AllowedRoutes::Selector(labels) => namespace_labels(analysis, &route.namespace).contains(labels),
    }
}

/// A namespace's labels, with the one that Kubernetes gives every namespace.
fn namespace_labels(analysis: &Analysis<'_>, namespace: &Arc<str>) -> Labels {
    let mut labels = analysis.snapshot.namespaces.get(namespace).cloned().unwrap_or_default();
    labels.0.insert("kubernetes.io/metadata.name".into(), namespace.clone());
    labels
}

/// Whether a listener serves a host at least in part.
fn serves(listener: &Listener, host: &Host) -> bool {
    match &listener.hostname {
        None => true,
        Some(served) => served == host || served.covers(host.as_str()) || host.covers(served.as_str()),
    }
}
