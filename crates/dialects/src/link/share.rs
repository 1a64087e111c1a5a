//! Sharing with the snapshot before, so that those who compare by pointer see what changed and memory is not spent
//! twice.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use leno_model::snapshot::Snapshot;

pub(super) fn with(snapshot: &mut Snapshot, previous: &Snapshot) {
    if snapshot.mesh == previous.mesh {
        snapshot.mesh = previous.mesh.clone();
    }
    map(&mut snapshot.services, &previous.services);
    map(&mut snapshot.workloads, &previous.workloads);
    map(&mut snapshot.gateways, &previous.gateways);
    map(&mut snapshot.secrets, &previous.secrets);
    list(&mut snapshot.routes, &previous.routes, |route| route.origin.clone());
    list(&mut snapshot.destinations, &previous.destinations, |object| object.destination.origin.clone());
    list(&mut snapshot.policies, &previous.policies, |scoped| scoped.policy.origin.clone());
    list(&mut snapshot.mtls, &previous.mtls, |setting| setting.origin.clone());
    list(&mut snapshot.objects, &previous.objects, |report| report.origin.clone());
}

fn map<K: Ord, V: PartialEq>(now: &mut BTreeMap<K, Arc<V>>, before: &BTreeMap<K, Arc<V>>) {
    for (key, value) in now {
        if let Some(old) = before.get(key)
            && *old == *value
        {
            *value = old.clone();
        }
    }
}

fn list<K: Hash + Eq, V: PartialEq>(now: &mut [Arc<V>], before: &[Arc<V>], key: impl Fn(&V) -> K) {
    let before: HashMap<K, &Arc<V>> = before.iter().map(|value| (key(value), value)).collect();
    for value in now {
        if let Some(old) = before.get(&key(value))
            && **old == *value
        {
            *value = (*old).clone();
        }
    }
}
