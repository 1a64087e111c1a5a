//! What one object says, before it is joined with the others.
//!
//! These are the model's types where an object stands for itself, and small types of this crate where its meaning
//! depends on other objects (a slice of endpoints on its service, a reference on a grant).

use std::net::IpAddr;
use std::sync::Arc;

use leno_model::destination::Destination;
use leno_model::gateway::Gateway;
use leno_model::labels::Labels;
use leno_model::name::Host;
use leno_model::policy::{ScopedMtls, ScopedPolicy};
use leno_model::retry::RepeatRule;
use leno_model::secret::TlsSecret;
use leno_model::service::{Service, Workload};
use leno_model::snapshot::RouteObject;
use leno_model::span::Location;

/// What one object says.
#[derive(Clone, Debug)]
pub enum Object {
    /// A namespace.
    Namespace {
        /// Its name.
        name: Arc<str>,
        /// Its labels.
        labels: Labels,
        /// What may be repeated in the whole mesh, where the root namespace says so.
        repeat: Option<RepeatRule>,
    },
    /// A service.
    Service(ServiceObject),
    /// Endpoints of a service.
    Endpoints(Endpoints),
    /// Something valid that changes nothing (a service account, an audit policy).
    Inert,
    /// Something of a known kind that another program acts on; it is skipped.
    Foreign,
    /// A TLS secret.
    Secret(Arc<TlsSecret>),
    /// A workload.
    Workload(Arc<Workload>),
    /// Routes.
    Routes(Routes),
    /// Destination settings.
    Destination(Box<DestinationSettings>),
    /// An authorization policy.
    Policy(Arc<ScopedPolicy>),
    /// A mutual TLS setting; its age is counted when it is joined with the others.
    Mtls(ScopedMtls),
    /// A gateway.
    Gateway(GatewayObject),
    /// Permission for references from other namespaces.
    Grant(Grant),
}

/// A service, whose virtual address may have to be chosen.
#[derive(Clone, Debug)]
pub struct ServiceObject {
    /// The service.
    pub service: Service,
    /// Whether it has a virtual address that the text does not name.
    pub wants_vip: bool,
}

/// An EndpointSlice.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// The namespace of slice and service.
    pub namespace: Arc<str>,
    /// The service's name.
    pub service: Arc<str>,
    /// Ports by the service port's name (empty for the only one).
    pub ports: Vec<(Arc<str>, u16)>,
    /// The endpoints.
    pub addresses: Vec<EndpointAddress>,
}

/// One endpoint of a slice.
#[derive(Clone, Debug)]
pub struct EndpointAddress {
    /// Its address.
    pub ip: IpAddr,
    /// Whether it may be used.
    pub ready: bool,
    /// Its name under a headless service.
    pub hostname: Option<Arc<str>>,
}

/// Routes with references that hold only under conditions.
#[derive(Clone, Debug)]
pub struct Routes {
    /// The routes, as if every reference held.
    pub route: RouteObject,
    /// The references to check; a backend whose reference does not hold becomes invalid.
    pub references: Vec<Reference>,
}

/// A backend that must exist, and for another namespace's must be granted (Gateway API).
#[derive(Clone, Debug)]
pub struct Reference {
    /// Which rule's.
    pub rule: usize,
    /// Which part of the rule refers.
    pub part: Part,
    /// The namespace referred to.
    pub namespace: Arc<str>,
    /// The service referred to.
    pub name: Arc<str>,
    /// Its host.
    pub host: Host,
    /// Its port.
    pub port: Option<u16>,
    /// Where the reference is written.
    pub location: Location,
}

/// A part of a rule that refers to a service, by its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// One of the rule's backends.
    Backend(usize),
    /// One of the rule's mirrors.
    Mirror(usize),
}

/// Destination settings as one object states them.
#[derive(Clone, Debug)]
pub struct DestinationSettings {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// The host it is about; may be a wildcard.
    pub host: Host,
    /// Namespaces that see it; `None` is all.
    pub visible_in: Option<Vec<Arc<str>>>,
    /// The settings.
    pub destination: Destination,
}

/// A gateway with the places of its references to secrets.
#[derive(Clone, Debug)]
pub struct GatewayObject {
    /// The gateway.
    pub gateway: Gateway,
    /// Where each listener's references to secrets are written, in the same order.
    pub certificates: Vec<Vec<Location>>,
}

/// A ReferenceGrant: who may refer to what in the grant's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The namespace that grants.
    pub namespace: Arc<str>,
    /// Any of these may refer.
    pub from: Vec<Grantee>,
    /// To any of these.
    pub to: Vec<Granted>,
}

/// Who may refer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grantee {
    /// API group; empty for core Kubernetes.
    pub group: Arc<str>,
    /// Kind.
    pub kind: Arc<str>,
    /// Namespace.
    pub namespace: Arc<str>,
}

/// What may be referred to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// API group; empty for core Kubernetes.
    pub group: Arc<str>,
    /// Kind.
    pub kind: Arc<str>,
    /// Name; `None` is every one.
    pub name: Option<Arc<str>>,
}

impl Grant {
    /// Whether an object of this group, kind and namespace may refer to the one of this group, kind and name.
    #[must_use]
    pub fn allows(&self, from: (&str, &str, &str), to: (&str, &str, &str)) -> bool {
        self.from.iter().any(|f| (&*f.group, &*f.kind, &*f.namespace) == from)
            && self.to.iter().any(|t| {
                (&*t.group, &*t.kind) == (to.0, to.1) && t.name.as_ref().is_none_or(|name| &**name == to.2)
            })
    }
}
