//! A service host for the proxies of one namespace: which routes count, and which destination settings.

use std::collections::BTreeSet;
use std::sync::Arc;

use leno_model::destination::{Destination, TrafficPolicy};
use leno_model::name::Host;
use leno_model::route::{MatchOrder, RouteTable, Scope};
use leno_model::service::Service;
use leno_model::snapshot::{Attachment, DestinationObject, RouteDialect, RouteObject};
use leno_model::span::ObjectRef;
use leno_model::unit::HostUnit;
use leno_wire::Unit;

use super::aged::Aged;
use super::index::Index;
use super::{Inputs, in_scope, is_visible};

/// What a host's unit depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct HostInputs {
    service: Arc<Service>,
    /// The service of the mesh that this one is another name of.
    alias: Option<Arc<Service>>,
    routes: Vec<Aged<RouteObject>>,
    /// Whose own routes these are; `None` for those that the service's side gives to everybody.
    consumer: Option<Arc<str>>,
    /// The first counts; the others add their subsets.
    destinations: Vec<Aged<DestinationObject>>,
}

impl HostInputs {
    /// Selects what counts for clients of a namespace; `None` where there is no such service.
    #[must_use]
    pub fn select(index: &Index, host: &Host, namespace: &Arc<str>) -> Option<Self> {
        let service = Arc::clone(index.service(host.as_str())?);
        let alias = index.alias(&service).cloned();
        let (routes, consumer) = routes(index, host, namespace);
        let destinations = destinations(index, &service, namespace);
        let routes = routes.into_iter().map(Aged).collect();
        let destinations = destinations.into_iter().map(Aged).collect();
        Some(Self { service, alias, routes, consumer, destinations })
    }
}

/// The routes that count, oldest first. Gateway API beats VirtualService. Of Gateway API routes, those that the client's
/// namespace made for itself beat those of the service (GEP-1426). Of VirtualServices only one counts: the oldest of
/// those with the most specific host.
fn routes(index: &Index, host: &Host, namespace: &Arc<str>) -> (Vec<Arc<RouteObject>>, Option<Arc<str>>) {
    let attached = |route: &RouteObject, wanted: Option<&Arc<str>>| {
        route.dialect == RouteDialect::GatewayApi
            && attachments(route, host).any(|(_, consumer)| consumer.as_ref() == wanted)
    };
    let all = index.routes.exact(host);
    for consumer in [Some(namespace), None] {
        let routes: Vec<_> = all.iter().filter(|route| attached(route, consumer)).cloned().collect();
        if !routes.is_empty() {
            return (routes, consumer.cloned());
        }
    }
    let counts = |route: &&Arc<RouteObject>| {
        route.dialect == RouteDialect::Istio && is_visible(route.visible_in.as_deref(), namespace)
    };
    let mut by_host = index.routes.covering(host);
    let oldest = by_host.find_map(|routes| routes.iter().find(counts));
    (oldest.into_iter().cloned().collect(), None)
}

/// Ports and consumers of a route's attachments to exactly this host.
fn attachments<'r>(
    route: &'r RouteObject,
    to: &'r Host,
) -> impl Iterator<Item = (Option<u16>, &'r Option<Arc<str>>)> {
    route.attachments.iter().filter_map(move |attachment| match attachment {
        Attachment::Mesh { host, port, consumer } if host == to => Some((*port, consumer)),
        Attachment::Mesh { .. } | Attachment::Gateway { .. } => None,
    })
}

/// The destination settings that count: those of the client's namespace, else of the service's, else of the root's; in
/// the first namespace that has any, those of the most specific host. Objects for the same host that are visible in the
/// same namespaces are one.
fn destinations(index: &Index, service: &Service, client: &Arc<str>) -> Vec<Arc<DestinationObject>> {
    let root = &index.snapshot().mesh.root_namespace;
    let is_root = client == root;
    // In the root namespace settings for all would hide those of the services; only its private ones come first.
    let counts_first = |object: &DestinationObject| {
        !is_root
            || object.visible_in.as_deref().is_some_and(|namespaces| namespaces.iter().all(|n| n == root))
    };
    let find = |namespace: &str, counts: &dyn Fn(&DestinationObject) -> bool| {
        index.destinations(namespace, &service.host).find_map(|objects| {
            let visible = |object: &&Arc<DestinationObject>| {
                counts(object) && is_visible(object.visible_in.as_deref(), client)
            };
            let first = objects.iter().find(visible)?;
            let joins = |object: &&Arc<DestinationObject>| {
                counts(object) && scope(object.visible_in.as_deref()) == scope(first.visible_in.as_deref())
            };
            Some(objects.iter().filter(joins).cloned().collect::<Vec<_>>())
        })
    };
    find(client, &counts_first)
        .or_else(|| find(&service.namespace, &|_| true))
        .or_else(|| find(root, &|_| true))
        .unwrap_or_default()
}

/// Namespaces as a set.
fn scope(visible_in: Option<&[Arc<str>]>) -> Option<BTreeSet<&str>> {
    visible_in.map(|namespaces| namespaces.iter().map(|namespace| &**namespace).collect())
}

impl Inputs for HostInputs {
    fn compile(&self) -> Unit {
        let service = &self.service;
        let ports = match &self.alias {
            Some(alias) if service.ports.is_empty() => &alias.ports,
            _ => &service.ports,
        };
        let mut ports = ports.clone();
        ports.sort_by_key(|port| port.port);
        ports.dedup_by_key(|port| port.port);
        Unit::Host(Arc::new(HostUnit {
            host: service.host.clone(),
            namespace: service.namespace.clone(),
            name: service.name.clone(),
            vips: service.vips.clone(),
            ports,
            headless: service.is_headless(),
            external: service.external && self.alias.is_none(),
            routes: self.tables(),
            destination: self.destination(),
        }))
    }

    fn objects(&self) -> Vec<ObjectRef> {
        let routes = self.routes.iter().map(|route| &route.origin);
        let destinations = self.destinations.iter().filter_map(|object| object.destination.origin.as_ref());
        let services = [Some(&self.service), self.alias.as_ref()].into_iter().flatten();
        let origins = services.map(|service| &service.origin).chain(routes).chain(destinations);
        origins.map(|origin| origin.object.clone()).collect()
    }
}

impl HostInputs {
    fn tables(&self) -> Vec<(u16, RouteTable)> {
        if let [route] = self.routes.as_slice()
            && route.dialect == RouteDialect::Istio
        {
            let rules = in_scope(&route.rules, &Scope::Mesh).collect();
            return vec![(0, RouteTable { order: route.order, rules })];
        }
        // Port 0 stands for all that have no table of their own.
        let all = self.routes.iter().flat_map(|route| self.ports_of(route));
        let ports: BTreeSet<u16> = all.map(|port| port.unwrap_or(0)).collect();
        let table = |port: u16| {
            let attached = |route: &&Aged<RouteObject>| {
                self.ports_of(route).any(|wanted| wanted.is_none_or(|wanted| wanted == port))
            };
            let routes = self.routes.iter().filter(attached);
            let rules = routes.flat_map(|route| in_scope(&route.rules, &Scope::Mesh)).collect();
            RouteTable { order: MatchOrder::MostSpecific, rules }
        };
        ports.into_iter().map(|port| (port, table(port))).collect()
    }

    /// The ports that a route is attached to; `None` is all.
    fn ports_of<'r>(&'r self, route: &'r RouteObject) -> impl Iterator<Item = Option<u16>> {
        let attachments = attachments(route, &self.service.host);
        attachments.filter(|(_, consumer)| **consumer == self.consumer).map(|(port, _)| port)
    }

    fn destination(&self) -> Destination {
        let mut objects = self.destinations.iter().map(|object| &object.destination);
        let Some(first) = objects.next() else { return Destination::default() };
        let mut joined = first.clone();
        for other in objects {
            if joined.policy == TrafficPolicy::default() && joined.ports.is_empty() {
                joined.policy = other.policy.clone();
                joined.ports = other.ports.clone();
            }
            for subset in &other.subsets {
                if joined.subset(&subset.name).is_none() {
                    joined.subsets.push(subset.clone());
                }
            }
        }
        joined
    }
}
