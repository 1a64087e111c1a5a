//! Gateways and the secrets that they refer to.

use std::sync::Arc;

use leno_model::snapshot::Snapshot;

use super::{Counted, Notes};
use crate::codes;
use crate::gateway_api::GROUP;
use crate::object::{Grant, Object};

pub(super) fn take(objects: &[Counted<'_>], grants: &[&Grant], snapshot: &mut Snapshot, notes: &mut Notes) {
    for counted in objects {
        let Object::Gateway(declared) = counted.object else { continue };
        let mut gateway = declared.gateway.clone();
        let namespace = gateway.namespace.clone();
        for (listener, locations) in gateway.listeners.iter_mut().zip(&declared.certificates) {
            let mut locations = locations.iter();
            listener.certificates.retain(|(secret_namespace, secret)| {
                let location = locations.next().unwrap_or(&listener.origin.location);
                let granted = *secret_namespace == namespace
                    || grants.iter().any(|grant| {
                        *grant.namespace == **secret_namespace
                            && grant.allows((GROUP, "Gateway", &namespace), ("", "Secret", secret))
                    });
                if !granted {
                    let message = format!(
                        "Secret {secret_namespace}/{secret} is not granted to gateways of {namespace}"
                    );
                    notes.add(counted.parsed, codes::NOT_GRANTED, location, message, None);
                }
                granted
            });
        }
        snapshot.gateways.insert((namespace, gateway.name.clone()), Arc::new(gateway));
    }
}
