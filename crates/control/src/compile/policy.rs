//! Which policies and mutual TLS settings are about a workload or gateway.

use std::sync::Arc;

use leno_model::labels::Labels;
use leno_model::policy::{Mtls, Policy, PolicyTarget, ScopedMtls, ScopedPolicy, Selection};
use leno_model::service::Service;

use super::aged::Aged;
use super::index::Index;

/// What policies select: a workload with the services it stands behind, or a gateway.
#[derive(Clone, Copy, Debug)]
pub struct Selected<'a> {
    /// Its namespace.
    pub namespace: &'a Arc<str>,
    /// Its labels.
    pub labels: &'a Labels,
    /// What it may be named as.
    pub named: Named<'a>,
}

/// What a policy's targets may name.
#[derive(Clone, Copy, Debug)]
pub enum Named<'a> {
    /// A gateway.
    Gateway(&'a str),
    /// One of the services that a workload stands behind. Until there are waypoints, such a policy is enforced by the
    /// sidecars of all workloads behind the service: the stricter reading, since nobody else would enforce it.
    Services(&'a [Arc<Service>]),
}

/// The policies about something, in the order in which they are shown: those of the root namespace first.
#[must_use]
pub fn policies(index: &Index, selected: &Selected<'_>) -> Vec<Arc<ScopedPolicy>> {
    let root = &index.snapshot().mesh.root_namespace;
    let policies = index.policies(selected.namespace);
    policies.filter(|scoped| selected.is_meant(&scoped.selection, root)).cloned().collect()
}

/// The mutual TLS settings that count for something: one for each level at most, the most specific level first. Of
/// several at one level the oldest counts.
#[must_use]
pub fn mtls(index: &Index, selected: &Selected<'_>) -> Vec<Arc<ScopedMtls>> {
    let root = &index.snapshot().mesh.root_namespace;
    let mut levels: [Option<&Arc<ScopedMtls>>; 3] = [None; 3];
    for setting in
        index.mtls(selected.namespace).filter(|setting| selected.is_meant(&setting.selection, root))
    {
        let [workload, namespace, mesh] = &mut levels;
        let level = match &setting.selection {
            Selection { labels, targets, .. } if !labels.0.is_empty() || !targets.is_empty() => workload,
            Selection { namespace: Some(_), .. } => namespace,
            Selection { namespace: None, .. } => mesh,
        };
        if level.is_none_or(|known| setting.age < known.age) {
            *level = Some(setting);
        }
    }
    levels.into_iter().flatten().cloned().collect()
}

/// The modes that follow from the settings that count, the most specific first. What one leaves open the next one says.
#[must_use]
pub fn modes(settings: &[Aged<ScopedMtls>]) -> Mtls {
    let decided = settings.iter().find(|setting| setting.mode.is_some());
    let mode = decided.and_then(|setting| setting.mode).unwrap_or_default();
    let origin = decided.map(|setting| setting.origin.clone());
    let ports = settings.iter().find(|setting| !setting.ports.is_empty());
    let ports = ports.iter().flat_map(|setting| &setting.ports);
    Mtls { mode, ports: ports.filter_map(|(port, mode)| Some((*port, (*mode)?))).collect(), origin }
}

/// The policies without what they select.
#[must_use]
pub fn unscoped(policies: &[Arc<ScopedPolicy>]) -> Vec<Arc<Policy>> {
    policies.iter().map(|scoped| Arc::clone(&scoped.policy)).collect()
}

impl Selected<'_> {
    fn is_meant(&self, selection: &Selection, root: &Arc<str>) -> bool {
        if selection.namespace.as_ref().is_some_and(|namespace| namespace != self.namespace) {
            return false;
        }
        if selection.targets.is_empty() {
            return self.labels.contains(&selection.labels);
        }
        // What is named is in the policy's own namespace.
        let namespace = selection.namespace.as_ref().unwrap_or(root);
        selection.targets.iter().any(|target| match (target, self.named) {
            (PolicyTarget::Gateway(name), Named::Gateway(gateway)) => {
                **name == *gateway && self.namespace == namespace
            }
            (PolicyTarget::Service(name), Named::Services(services)) => {
                services.iter().any(|service| service.name == *name && service.namespace == *namespace)
            }
            (PolicyTarget::Gateway(_), Named::Services(_))
            | (PolicyTarget::Service(_), Named::Gateway(_)) => false,
        })
    }
}
