//! Ways into a snapshot, built once for each: from an address to its service, from labels to workloads, from a host to
//! its routes.
//!
//! Building it costs time in proportion to the snapshot; every question afterwards costs time in proportion to its
//! answer, whatever else the mesh has.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use leno_model::labels::Labels;
use leno_model::name::Host;
use leno_model::policy::{ScopedMtls, ScopedPolicy, Selection};
use leno_model::route::Scope;
use leno_model::service::{Service, Workload};
use leno_model::snapshot::{Attachment, DestinationObject, Key, RouteObject, Snapshot};

use super::host_index::HostIndex;
use crate::limits::MAX_ALIASES;

/// A namespace, and a label that something in it carries.
type Label = (Arc<str>, Arc<str>, Arc<str>);

/// A snapshot with ways into it.
#[derive(Debug)]
pub struct Index {
    snapshot: Arc<Snapshot>,
    by_vip: HashMap<IpAddr, Arc<Service>>,
    by_address: HashMap<IpAddr, Arc<Workload>>,
    /// Services that list an address by hand.
    listing: HashMap<IpAddr, Vec<Arc<Service>>>,
    /// Services by the first label that they select by.
    selecting: HashMap<Label, Vec<Arc<Service>>>,
    carrying: HashMap<Label, Vec<Arc<Workload>>>,
    /// Routes for sidecars, oldest first.
    pub(super) routes: HostIndex<Arc<RouteObject>>,
    gateway_routes: HashMap<Key, Vec<Arc<RouteObject>>>,
    /// Destination settings by their namespace, oldest first.
    destinations: HashMap<Arc<str>, HostIndex<Arc<DestinationObject>>>,
    policies: HashMap<Option<Arc<str>>, Vec<Arc<ScopedPolicy>>>,
    mtls: HashMap<Option<Arc<str>>, Vec<Arc<ScopedMtls>>>,
    /// What names of the mesh end in, after a dot.
    endings: HashSet<Box<str>>,
}

impl Index {
    /// Builds the index of a snapshot.
    #[must_use]
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        let mut index = Self {
            by_vip: HashMap::new(),
            by_address: HashMap::new(),
            listing: HashMap::new(),
            selecting: HashMap::new(),
            carrying: HashMap::new(),
            routes: HostIndex::default(),
            gateway_routes: HashMap::new(),
            destinations: HashMap::new(),
            policies: by_namespace(&snapshot.policies, |scoped| &scoped.selection),
            mtls: by_namespace(&snapshot.mtls, |scoped| &scoped.selection),
            endings: HashSet::new(),
            snapshot: Arc::clone(&snapshot),
        };
        for service in snapshot.services.values() {
            index.add_service(service);
        }
        for workload in snapshot.workloads.values() {
            index.add_workload(workload);
        }
        for route in &snapshot.routes {
            index.add_route(route);
        }
        for object in &snapshot.destinations {
            let of_namespace = index.destinations.entry(object.namespace.clone()).or_default();
            of_namespace.add(object.host.clone(), Arc::clone(object));
        }
        index
    }

    fn add_service(&mut self, service: &Arc<Service>) {
        for vip in &service.vips {
            self.by_vip.entry(*vip).or_insert_with(|| Arc::clone(service));
        }
        for fixed in &service.fixed {
            let listing = self.listing.entry(fixed.ip).or_default();
            if !listing.iter().any(|known| Arc::ptr_eq(known, service)) {
                listing.push(Arc::clone(service));
            }
        }
        if let Some((key, value)) = service.selector.iter().find_map(|selector| selector.0.iter().next()) {
            let label = (service.namespace.clone(), key.clone(), value.clone());
            self.selecting.entry(label).or_default().push(Arc::clone(service));
        }
        let name = service.host.as_str();
        if service.is_headless() && !service.host.is_wildcard() {
            self.endings.insert(name.into());
        }
        for (at, dot) in name.match_indices('.') {
            if let Some(ending) = name.get(at + dot.len()..) {
                self.endings.insert(ending.into());
            }
        }
    }

    fn add_workload(&mut self, workload: &Arc<Workload>) {
        for address in &workload.addresses {
            self.by_address.entry(*address).or_insert_with(|| Arc::clone(workload));
        }
        for (key, value) in &workload.labels.0 {
            let label = (workload.name.namespace.clone(), key.clone(), value.clone());
            self.carrying.entry(label).or_default().push(Arc::clone(workload));
        }
    }

    fn add_route(&mut self, route: &Arc<RouteObject>) {
        let mut hosts: Vec<&Host> = Vec::new();
        let mut gateways: Vec<Key> = Vec::new();
        for attachment in &route.attachments {
            match attachment {
                Attachment::Mesh { host, .. } if !hosts.contains(&host) => hosts.push(host),
                Attachment::Gateway { scope: Scope::Gateway { namespace, name }, .. } => {
                    let key = (namespace.clone(), name.clone());
                    if !gateways.contains(&key) {
                        gateways.push(key);
                    }
                }
                Attachment::Mesh { .. } | Attachment::Gateway { scope: Scope::Mesh, .. } => {}
            }
        }
        for host in hosts {
            self.routes.add(host.clone(), Arc::clone(route));
        }
        for gateway in gateways {
            self.gateway_routes.entry(gateway).or_default().push(Arc::clone(route));
        }
    }

    /// The snapshot.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The service of a host.
    #[must_use]
    pub fn service(&self, host: &str) -> Option<&Arc<Service>> {
        self.snapshot.services.get(host)
    }

    /// The service that a service is only another name of, if that is one of the mesh.
    #[must_use]
    pub fn alias(&self, service: &Service) -> Option<&Arc<Service>> {
        let mut target = self.service(service.external_name.as_ref()?.as_str())?;
        for _ in 0..MAX_ALIASES {
            let Some(next) = &target.external_name else { return Some(target) };
            target = self.service(next.as_str())?;
        }
        None
    }

    /// The service that has a virtual address.
    #[must_use]
    pub fn by_vip(&self, ip: IpAddr) -> Option<&Arc<Service>> {
        self.by_vip.get(&ip)
    }

    /// The workload that has an address.
    #[must_use]
    pub fn by_address(&self, ip: IpAddr) -> Option<&Arc<Workload>> {
        self.by_address.get(&ip)
    }

    /// The services that list an address by hand, by host.
    #[must_use]
    pub fn listing(&self, ip: IpAddr) -> &[Arc<Service>] {
        self.listing.get(&ip).map_or(&[], Vec::as_slice)
    }

    /// The workloads that a service selects, by name.
    #[must_use]
    pub fn selected(&self, service: &Service) -> Vec<Arc<Workload>> {
        // A service without labels to select by selects nothing, as in Kubernetes.
        let Some(selector) = service.selector.as_ref().filter(|selector| !selector.0.is_empty()) else {
            return Vec::new();
        };
        let carrying = |(key, value): (&Arc<str>, &Arc<str>)| {
            let label = (service.namespace.clone(), key.clone(), value.clone());
            self.carrying.get(&label).map_or(&[][..], Vec::as_slice)
        };
        // The rarest of the labels has the fewest workloads to look at.
        let rarest =
            selector.0.iter().map(carrying).min_by_key(|workloads| workloads.len()).unwrap_or_default();
        rarest.iter().filter(|workload| workload.labels.contains(selector)).cloned().collect()
    }

    /// The services behind which a workload stands, by host: those that select it and those that list its address.
    #[must_use]
    pub fn services_of(&self, workload: &Workload) -> Vec<Arc<Service>> {
        let mut services: Vec<Arc<Service>> = Vec::new();
        for (key, value) in &workload.labels.0 {
            let label = (workload.name.namespace.clone(), key.clone(), value.clone());
            let selecting = self.selecting.get(&label).into_iter().flatten();
            let selects = |service: &&Arc<Service>| selects(service, &workload.labels);
            services.extend(selecting.filter(selects).cloned());
        }
        for address in &workload.addresses {
            services.extend(self.listing(*address).iter().cloned());
        }
        services.sort_by(|a, b| a.host.cmp(&b.host));
        services.dedup_by(|a, b| a.host == b.host);
        services
    }

    /// The routes that name a gateway, oldest first.
    #[must_use]
    pub fn gateway_routes(&self, gateway: &Key) -> &[Arc<RouteObject>] {
        self.gateway_routes.get(gateway).map_or(&[], Vec::as_slice)
    }

    /// The destination settings of a namespace that cover a host, those of the most specific host first.
    pub fn destinations<'s>(
        &'s self,
        namespace: &str,
        host: &'s Host,
    ) -> impl Iterator<Item = &'s [Arc<DestinationObject>]> {
        self.destinations.get(namespace).into_iter().flat_map(|index| index.covering(host))
    }

    /// The policies that may be about something in a namespace: those of the root namespace first.
    pub fn policies(&self, namespace: &Arc<str>) -> impl Iterator<Item = &Arc<ScopedPolicy>> {
        scoped(&self.policies, namespace)
    }

    /// The mutual TLS settings that may be about something in a namespace: those of the root namespace first.
    pub fn mtls(&self, namespace: &Arc<str>) -> impl Iterator<Item = &Arc<ScopedMtls>> {
        scoped(&self.mtls, namespace)
    }

    /// Whether there is a name that has something before this and a dot.
    #[must_use]
    pub fn is_ending(&self, name: &str) -> bool {
        self.endings.contains(name)
    }

    /// The labels of a namespace, the one that every namespace has among them.
    #[must_use]
    pub fn namespace_labels(&self, name: &Arc<str>) -> Labels {
        let mut labels = self.snapshot.namespaces.get(name).cloned().unwrap_or_default();
        labels.0.insert("kubernetes.io/metadata.name".into(), name.clone());
        labels
    }
}

fn selects(service: &Service, labels: &Labels) -> bool {
    service.selector.as_ref().is_some_and(|selector| !selector.0.is_empty() && labels.contains(selector))
}

fn by_namespace<T>(
    objects: &[Arc<T>],
    selection: impl Fn(&T) -> &Selection,
) -> HashMap<Option<Arc<str>>, Vec<Arc<T>>> {
    let mut index: HashMap<_, Vec<_>> = HashMap::new();
    for object in objects {
        index.entry(selection(object).namespace.clone()).or_default().push(Arc::clone(object));
    }
    index
}

fn scoped<'i, T>(
    index: &'i HashMap<Option<Arc<str>>, Vec<Arc<T>>>,
    namespace: &Arc<str>,
) -> impl Iterator<Item = &'i Arc<T>> {
    let own = index.get(&Some(namespace.clone()));
    index.get(&None).into_iter().chain(own).flatten()
}
