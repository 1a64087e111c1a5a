//! Routes and the services that they refer to.

use std::sync::Arc;

use leno_model::route::{Action, Target};
use leno_model::snapshot::{RouteObject, Snapshot};

use super::{Counted, Notes};
use crate::codes::{self, Code};
use crate::gateway_api::GROUP;
use crate::object::{Grant, Object, Part, Reference};

pub(super) fn take(objects: &[Counted<'_>], grants: &[&Grant], snapshot: &mut Snapshot, notes: &mut Notes) {
    for counted in objects {
        let Object::Routes(routes) = counted.object else { continue };
        let mut route = routes.route.clone();
        route.age = counted.age;
        for reference in &routes.references {
            let Some((code, reason)) = failure(reference, &route, grants, snapshot) else { continue };
            if let Some(target) = target_mut(&mut route, reference) {
                *target = Target::Invalid { reason: reason.as_str().into() };
            }
            let hint = (code == codes::INVALID_BACKEND).then(|| hint(reference, snapshot));
            notes.add(counted.parsed, code, &reference.location, reason, hint);
        }
        snapshot.routes.push(Arc::new(route));
    }
}

/// Why a reference does not hold.
fn failure(
    reference: &Reference,
    route: &RouteObject,
    grants: &[&Grant],
    snapshot: &Snapshot,
) -> Option<(&'static Code, String)> {
    let Reference { namespace, name, .. } = reference;
    let granted = *namespace == route.namespace
        || grants.iter().any(|grant| {
            grant.namespace == *namespace
                && grant.allows((GROUP, "HTTPRoute", &route.namespace), ("", "Service", name))
        });
    if !granted {
        let reason = format!("Service {namespace}/{name} is not granted to routes of {}", route.namespace);
        return Some((codes::NOT_GRANTED, reason));
    }
    let Some(service) = snapshot.services.get(&reference.host) else {
        return Some((codes::INVALID_BACKEND, format!("there is no Service {namespace}/{name}")));
    };
    match reference.port {
        Some(port) if service.port(port).is_none() && service.external_name.is_none() => {
            Some((codes::INVALID_BACKEND, format!("Service {namespace}/{name} has no port {port}")))
        }
        Some(_) | None => None,
    }
}

fn hint(reference: &Reference, snapshot: &Snapshot) -> String {
    match snapshot.services.get(&reference.host) {
        Some(service) => {
            let ports: Vec<String> = service.ports.iter().map(|port| port.port.to_string()).collect();
            format!("its ports are {}", ports.join(", "))
        }
        None => {
            let until = match reference.part {
                Part::Backend(_) => "such requests get status 500",
                Part::Mirror(_) => "nothing is mirrored",
            };
            format!("create the service, or correct the name; until then {until}")
        }
    }
}

fn target_mut<'r>(route: &'r mut RouteObject, reference: &Reference) -> Option<&'r mut Target> {
    let Action::Forward(forward) = &mut route.rules.get_mut(reference.rule)?.action else { return None };
    match reference.part {
        Part::Backend(index) => Some(&mut forward.backends.get_mut(index)?.target),
        Part::Mirror(index) => Some(&mut forward.mirrors.get_mut(index)?.target),
    }
}
