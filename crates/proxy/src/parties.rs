//! Who talks to whom, as metrics name it: labels of both ends and of the service.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use leno_model::labels::Labels;
use leno_model::name::Host;
use leno_model::service::Endpoint;
use leno_model::spiffe::SpiffeId;
use leno_telemetry::istio::{self, Reporter, Security};

use crate::core::HandleKey;
use crate::local::Local;

/// The service name of traffic that no service explains (Istio's).
const PASSTHROUGH: &str = "PassthroughCluster";

/// The service name of inbound traffic that no service explains (Istio's).
const INBOUND_PASSTHROUGH: &str = "InboundPassthroughCluster";

/// The other end, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Party {
    /// What tells it apart from others: an endpoint's uid, or a caller's workload name.
    pub(crate) uid: Arc<str>,
    pub(crate) owner: Arc<str>,
    pub(crate) namespace: Arc<str>,
    pub(crate) cluster: Arc<str>,
    pub(crate) identity: Option<SpiffeId>,
    pub(crate) labels: Labels,
}

impl Party {
    /// An endpoint.
    pub(crate) fn of_endpoint(endpoint: &Endpoint) -> Self {
        Self {
            uid: Arc::clone(&endpoint.uid),
            owner: Arc::clone(&endpoint.owner),
            namespace: Arc::clone(&endpoint.namespace),
            cluster: Arc::clone(&endpoint.cluster),
            identity: endpoint.identity.clone(),
            labels: endpoint.labels.clone(),
        }
    }
}

/// The service that traffic is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ServiceName {
    pub(crate) host: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) namespace: Arc<str>,
}

impl ServiceName {
    pub(crate) fn new(host: &Host, name: &Arc<str>, namespace: &Arc<str>) -> Self {
        Self { host: host.as_str().into(), name: Arc::clone(name), namespace: Arc::clone(namespace) }
    }

    /// Traffic out of the mesh, under the host that the client named.
    pub(crate) fn outside(host: &str) -> Self {
        Self { host: host.into(), name: PASSTHROUGH.into(), namespace: Arc::default() }
    }

    /// Inbound traffic for a port that no service declares.
    pub(crate) fn undeclared(host: &str) -> Self {
        Self { host: host.into(), name: INBOUND_PASSTHROUGH.into(), namespace: Arc::default() }
    }
}

/// Both ends of some traffic.
pub(crate) struct Parties<'a> {
    pub(crate) reporter: Reporter,
    pub(crate) local: &'a Local,
    pub(crate) remote: &'a Party,
    pub(crate) service: &'a ServiceName,
    pub(crate) security: Security,
}

impl Parties<'_> {
    /// What tells this pair apart within a core.
    pub(crate) fn key(&self) -> HandleKey {
        let mut hasher = DefaultHasher::new();
        (self.reporter as u8, self.security as u8).hash(&mut hasher);
        (&self.remote.identity, &self.remote.owner, &self.remote.labels).hash(&mut hasher);
        HandleKey {
            local: Arc::clone(&self.local.name.name),
            remote: Arc::clone(&self.remote.uid),
            service: Arc::clone(&self.service.host),
            kind: hasher.finish(),
        }
    }

    /// Calls `f` with the labels.
    pub(crate) fn labels<T>(&self, f: impl FnOnce(&istio::Labels<'_>) -> T) -> T {
        let identity = self.local.identities.current();
        let own = workload(
            &self.local.owner,
            &self.local.name.namespace,
            &self.local.cluster,
            identity.as_ref().map(|current| current.id()),
            &self.local.labels,
        );
        let remote = &self.remote;
        let other = workload(
            &remote.owner,
            &remote.namespace,
            &remote.cluster,
            remote.identity.as_ref(),
            &remote.labels,
        );
        let (source, destination) = match self.reporter {
            Reporter::Source | Reporter::Waypoint => (own, other),
            Reporter::Destination => (other, own),
        };
        let service = istio::Service {
            host: &self.service.host,
            name: &self.service.name,
            namespace: &self.service.namespace,
        };
        f(&istio::Labels { reporter: self.reporter, source, destination, service, security: self.security })
    }
}

/// A workload as metrics and traces name it.
pub(crate) fn workload<'a>(
    owner: &'a str,
    namespace: &'a str,
    cluster: &'a str,
    identity: Option<&'a SpiffeId>,
    labels: &'a Labels,
) -> istio::Workload<'a> {
    let first = |keys: &[&str]| keys.iter().find_map(|key| labels.value(key));
    let canonical = ["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"];
    let revision = ["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"];
    istio::Workload {
        name: owner,
        namespace,
        principal: identity.map_or("", SpiffeId::as_str),
        app: labels.value("app").unwrap_or(""),
        version: labels.value("version").unwrap_or(""),
        cluster,
        canonical_service: first(&canonical).unwrap_or(owner),
        canonical_revision: if owner.is_empty() { "" } else { first(&revision).unwrap_or("latest") },
    }
}
