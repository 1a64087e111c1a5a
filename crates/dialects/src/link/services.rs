//! Services and their endpoints.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use leno_model::name::Host;
use leno_model::service::{FixedEndpoint, Service};
use leno_model::snapshot::{Key, Snapshot};

use super::{Counted, Notes};
use crate::codes;
use crate::object::{Endpoints, Object};

pub(super) fn take(
    objects: &[Counted<'_>],
    vips: &mut dyn FnMut(&Host) -> Vec<IpAddr>,
    snapshot: &mut Snapshot,
    notes: &mut Notes,
) {
    let mut services: BTreeMap<Key, Service> = BTreeMap::new();
    for counted in objects {
        if let Object::Service(declared) = counted.object {
            let mut service = declared.service.clone();
            if declared.wants_vip {
                service.vips = vips(&service.host);
            }
            services.insert((service.namespace.clone(), service.name.clone()), service);
        }
    }
    for counted in objects {
        if let Object::Endpoints(endpoints) = counted.object {
            let key = (endpoints.namespace.clone(), endpoints.service.clone());
            let added = services.get_mut(&key).map(|service| add_endpoints(service, endpoints));
            if let Some(message) = orphaned(added, endpoints) {
                notes.add(counted.parsed, codes::ORPHANED_ENDPOINTS, &counted.parsed.location, message, None);
            }
        }
    }
    for service in services.into_values() {
        snapshot.services.insert(service.host.clone(), Arc::new(service));
    }
}

/// Adds a slice's endpoints to its service; whether any port has the same name.
fn add_endpoints(service: &mut Service, endpoints: &Endpoints) -> bool {
    let target =
        |name: &str| endpoints.ports.iter().find(|(known, _)| **known == *name).map(|(_, port)| *port);
    let ports: Vec<(u16, u16)> =
        service.ports.iter().filter_map(|port| Some((port.port, target(&port.name)?))).collect();
    service.fixed.extend(endpoints.addresses.iter().map(|address| FixedEndpoint {
        ip: address.ip,
        ports: ports.clone(),
        ready: address.ready,
        hostname: address.hostname.clone(),
    }));
    !ports.is_empty()
}

fn orphaned(added: Option<bool>, endpoints: &Endpoints) -> Option<String> {
    let Endpoints { namespace, service, .. } = endpoints;
    match added {
        Some(true) => None,
        Some(false) => {
            Some(format!("the slice has no port of the name of a port of Service {namespace}/{service}"))
        }
        None => Some(format!("there is no Service {namespace}/{service} for the slice's endpoints")),
    }
}
