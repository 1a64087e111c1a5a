//! A gateway's listeners with the routes that may attach to them, and its policies.

use std::collections::BTreeMap;
use std::sync::Arc;

use leno_model::gateway::{AllowedRoutes, Gateway, Listener, ListenerProtocol};
use leno_model::labels::Labels;
use leno_model::name::Host;
use leno_model::policy::ScopedPolicy;
use leno_model::route::{Match, MatchOrder, RouteTable, Rule, Scope};
use leno_model::secret::TlsSecret;
use leno_model::snapshot::{Attachment, Key, RouteDialect, RouteObject};
use leno_model::span::ObjectRef;
use leno_model::text::PathMatch;
use leno_model::unit::{GatewayUnit, ListenerUnit};
use leno_wire::Unit;

use super::aged::Aged;
use super::index::Index;
use super::policy::{self, Named, Selected};
use super::{Inputs, in_scope, is_visible};

/// The label by which Kubernetes marks what belongs to a gateway, so that selectors find it.
const NAME_LABEL: &str = "gateway.networking.k8s.io/gateway-name";

/// What a gateway's unit depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayInputs {
    gateway: Arc<Gateway>,
    /// By listener, in the gateway's order.
    listeners: Vec<ListenerInputs>,
    policies: Vec<Arc<ScopedPolicy>>,
}

/// What a listener depends on.
#[derive(Clone, Debug, PartialEq)]
struct ListenerInputs {
    /// Routes that name the listener and may attach, oldest first.
    routes: Vec<Aged<RouteObject>>,
    secrets: Vec<(Key, Arc<TlsSecret>)>,
}

impl GatewayInputs {
    /// Selects what is about a gateway; `None` where there is none of that name.
    #[must_use]
    pub fn select(index: &Index, namespace: &Arc<str>, name: &Arc<str>) -> Option<Self> {
        let key = (namespace.clone(), name.clone());
        let gateway = Arc::clone(index.snapshot().gateways.get(&key)?);
        let listener = |listener| ListenerInputs::select(index, &key, listener);
        let listeners = gateway.listeners.iter().map(listener).collect();
        let labels = labels(&gateway);
        let selected = Selected { namespace, labels: &labels, named: Named::Gateway(name) };
        Some(Self { listeners, policies: policy::policies(index, &selected), gateway })
    }

    fn scope(&self) -> Scope {
        Scope::Gateway { namespace: self.gateway.namespace.clone(), name: self.gateway.name.clone() }
    }
}

fn labels(gateway: &Gateway) -> Labels {
    let mut labels = gateway.labels.clone();
    labels.0.insert(NAME_LABEL.into(), gateway.name.clone());
    labels
}

impl ListenerInputs {
    fn select(index: &Index, gateway: &Key, listener: &Listener) -> Self {
        let routes = index.gateway_routes(gateway).iter().filter(|route| {
            names(route, gateway, listener)
                && is_visible(route.visible_in.as_deref(), &gateway.0)
                && allows(index, &listener.allowed, gateway, &route.namespace)
        });
        let secret = |key: &Key| Some((key.clone(), Arc::clone(index.snapshot().secrets.get(key)?)));
        let secrets = listener.certificates.iter().filter_map(secret).collect();
        Self { routes: routes.cloned().map(Aged).collect(), secrets }
    }
}

/// Whether a route names a listener of a gateway.
fn names(route: &RouteObject, gateway: &Key, listener: &Listener) -> bool {
    route.attachments.iter().any(|attachment| match attachment {
        Attachment::Gateway { scope: Scope::Gateway { namespace, name }, section, port } => {
            (namespace, name) == (&gateway.0, &gateway.1)
                && section.as_ref().is_none_or(|section| *section == listener.name)
                && port.is_none_or(|port| port == listener.port)
        }
        Attachment::Gateway { scope: Scope::Mesh, .. } | Attachment::Mesh { .. } => false,
    })
}

fn allows(index: &Index, allowed: &AllowedRoutes, gateway: &Key, namespace: &Arc<str>) -> bool {
    match allowed {
        AllowedRoutes::Same => *namespace == gateway.0,
        AllowedRoutes::All => true,
        AllowedRoutes::Selector(labels) => index.namespace_labels(namespace).contains(labels),
    }
}

/// The host that a listener and a route both serve: the narrower of the two where one covers the other.
#[must_use]
pub fn intersection(listener: Option<&Host>, route: Option<&Host>) -> Option<Host> {
    let (Some(listener), Some(route)) = (listener, route) else {
        return listener.or(route).cloned().or_else(|| "*".parse().ok());
    };
    if covers(listener, route) {
        Some(route.clone())
    } else {
        covers(route, listener).then(|| listener.clone())
    }
}

/// Whether every name that `narrow` stands for is one that `wide` stands for.
fn covers(wide: &Host, narrow: &Host) -> bool {
    wide == narrow || wide.covers(narrow.as_str())
}

/// The routes of one host at a listener, while they are gathered.
#[derive(Default)]
struct Gathered<'r> {
    routes: Vec<&'r RouteObject>,
}

impl Gathered<'_> {
    /// Gateway API beats VirtualService. VirtualServices for one host are joined, and their rules for all requests go
    /// last, so that none hides another object's.
    fn table(&self, scope: &Scope) -> RouteTable {
        let of = |dialect| self.routes.iter().filter(move |route| route.dialect == dialect);
        let rules = |dialect| of(dialect).flat_map(|route| in_scope(&route.rules, scope)).collect::<Vec<_>>();
        if of(RouteDialect::GatewayApi).next().is_some() {
            return RouteTable { order: MatchOrder::MostSpecific, rules: rules(RouteDialect::GatewayApi) };
        }
        RouteTable { order: MatchOrder::FirstMatch, rules: catch_all_last(rules(RouteDialect::Istio)) }
    }
}

/// Moves matches of all requests behind the others, as Istio's gateways do.
fn catch_all_last(rules: Vec<Rule>) -> Vec<Rule> {
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for mut rule in rules {
        let (catch_all, others): (Vec<_>, Vec<_>) = rule.matches.drain(..).partition(is_catch_all);
        if !others.is_empty() {
            first.push(Rule { matches: others, ..rule.clone() });
            if catch_all.is_empty() {
                continue;
            }
        }
        last.push(Rule { matches: catch_all, ..rule });
    }
    first.extend(last);
    first
}

/// A match of every path, on nothing else that a request says.
fn is_catch_all(condition: &Match) -> bool {
    let every_path = match &condition.path {
        None | Some(PathMatch::Any) => true,
        Some(PathMatch::Prefix(prefix)) => &**prefix == "/",
        Some(PathMatch::Segments(segments)) => segments.is_empty(),
        Some(PathMatch::Regex(pattern)) => matches!(pattern.as_str(), "*" | ".*" | "/.*"),
        Some(PathMatch::Exact(_) | PathMatch::Suffix(_) | PathMatch::Template(_)) => false,
    };
    every_path
        && condition.stream.is_none()
        && condition.method.is_none()
        && condition.scheme.is_none()
        && condition.authority.is_none()
        && condition.headers.is_empty()
        && condition.query.is_empty()
}

impl Inputs for GatewayInputs {
    fn compile(&self) -> Unit {
        let listeners = self.gateway.listeners.iter().zip(&self.listeners);
        Unit::Gateway(Arc::new(GatewayUnit {
            namespace: self.gateway.namespace.clone(),
            name: self.gateway.name.clone(),
            listeners: listeners.map(|(listener, inputs)| self.listener(listener, inputs)).collect(),
            policies: policy::unscoped(&self.policies),
        }))
    }

    fn objects(&self) -> Vec<ObjectRef> {
        let routes = self.listeners.iter().flat_map(|listener| &listener.routes).map(|route| &route.origin);
        let policies = self.policies.iter().map(|scoped| &scoped.policy.origin);
        let origins = [&self.gateway.origin].into_iter().chain(routes).chain(policies);
        let secrets =
            self.listeners.iter().flat_map(|listener| &listener.secrets).map(|((namespace, name), _)| {
                ObjectRef { kind: "Secret".into(), namespace: namespace.clone(), name: name.clone() }
            });
        // By their labels namespaces decide whose routes may attach.
        let selecting = self
            .gateway
            .listeners
            .iter()
            .zip(&self.listeners)
            .filter(|(listener, _)| matches!(listener.allowed, AllowedRoutes::Selector(_)));
        let namespaces = selecting.flat_map(|(_, inputs)| &inputs.routes).map(|route| ObjectRef {
            kind: "Namespace".into(),
            namespace: "".into(),
            name: route.namespace.clone(),
        });
        origins.map(|origin| origin.object.clone()).chain(secrets).chain(namespaces).collect()
    }
}

impl GatewayInputs {
    fn listener(&self, listener: &Listener, inputs: &ListenerInputs) -> ListenerUnit {
        let scope = self.scope();
        let mut by_host: BTreeMap<Host, Gathered<'_>> = BTreeMap::new();
        for route in &inputs.routes {
            // Bytes ask for no host.
            let is_hostless = route.hosts.is_empty() || listener.protocol == ListenerProtocol::Tcp;
            let own: Vec<Option<&Host>> =
                if is_hostless { vec![None] } else { route.hosts.iter().map(Some).collect() };
            let shared = own.into_iter().filter_map(|host| intersection(listener.hostname.as_ref(), host));
            for host in shared {
                let gathered = by_host.entry(host).or_default();
                // Two hosts of one route may narrow to the same.
                if !gathered.routes.iter().any(|known| std::ptr::eq(*known, &**route)) {
                    gathered.routes.push(route);
                }
            }
        }
        ListenerUnit {
            name: listener.name.clone(),
            port: listener.port,
            protocol: listener.protocol,
            hostname: listener.hostname.clone(),
            certificates: inputs.secrets.iter().map(|(_, secret)| Arc::clone(secret)).collect(),
            proxy_protocol: listener.proxy_protocol,
            hosts: by_host.into_iter().map(|(host, gathered)| (host, gathered.table(&scope))).collect(),
        }
    }
}
