//! Names of what travels: the type of a resource, its name, and the proxy that it is for.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use leno_model::name::{Host, WorkloadName};
use leno_model::spiffe::TrustDomain;
use leno_model::unit::Question;

use crate::malformed::Malformed;
use crate::question;

const TYPES: &str = "type.googleapis.com/leno.discovery.v1alpha1.";

/// The type of a resource. The order is the one in which a batch carries them: what others refer to comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// [`MeshSettings`](leno_model::unit::MeshSettings).
    Mesh,
    /// [`BundleUnit`](leno_model::unit::BundleUnit).
    Bundle,
    /// [`EndpointUnit`](leno_model::unit::EndpointUnit).
    Endpoints,
    /// [`HostUnit`](leno_model::unit::HostUnit).
    Host,
    /// [`WorkloadUnit`](leno_model::unit::WorkloadUnit).
    Workload,
    /// [`GatewayUnit`](leno_model::unit::GatewayUnit).
    Gateway,
    /// [`Answer`](leno_model::unit::Answer).
    Answer,
}

impl Kind {
    /// Every kind, in the order of a batch.
    pub const ALL: [Self; 7] =
        [Self::Mesh, Self::Bundle, Self::Endpoints, Self::Host, Self::Workload, Self::Gateway, Self::Answer];

    /// The protobuf message's name, also used in output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mesh => "MeshSettings",
            Self::Bundle => "BundleUnit",
            Self::Endpoints => "EndpointUnit",
            Self::Host => "HostUnit",
            Self::Workload => "WorkloadUnit",
            Self::Gateway => "GatewayUnit",
            Self::Answer => "Answer",
        }
    }

    /// The type URL on the wire.
    #[must_use]
    pub fn type_url(self) -> String {
        format!("{TYPES}{}", self.as_str())
    }

    /// The kind of a type URL.
    #[must_use]
    pub fn from_type_url(url: &str) -> Option<Self> {
        let name = url.strip_prefix(TYPES)?;
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// The name of one resource. The order is that of [`Kind`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// The mesh's settings.
    Mesh,
    /// The roots of a trust domain.
    Bundle(TrustDomain),
    /// The endpoints of a service host.
    Endpoints(Host),
    /// A service host.
    Host(Host),
    /// A workload's own configuration.
    Workload(WorkloadName),
    /// A gateway's own configuration.
    Gateway {
        /// Its namespace.
        namespace: Arc<str>,
        /// Its name.
        name: Arc<str>,
    },
    /// The answer to a question.
    Answer(Question),
}

impl Key {
    /// The type of the resource.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Mesh => Kind::Mesh,
            Self::Bundle(_) => Kind::Bundle,
            Self::Endpoints(_) => Kind::Endpoints,
            Self::Host(_) => Kind::Host,
            Self::Workload(_) => Kind::Workload,
            Self::Gateway { .. } => Kind::Gateway,
            Self::Answer(_) => Kind::Answer,
        }
    }

    /// The name on the wire, unique among those of its kind.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Mesh => "mesh".to_owned(),
            Self::Bundle(domain) => domain.to_string(),
            Self::Endpoints(host) | Self::Host(host) => host.to_string(),
            Self::Workload(name) => name.to_string(),
            Self::Gateway { namespace, name } => format!("{namespace}/{name}"),
            Self::Answer(question) => question::name(question),
        }
    }

    /// Reads a name; only its one canonical spelling is accepted.
    ///
    /// # Errors
    /// When it is not the name of a resource of that kind.
    pub fn parse(kind: Kind, name: &str) -> Result<Self, Malformed> {
        let host = |name: &str| name.parse::<Host>().map_err(Malformed::new);
        let key = match kind {
            Kind::Mesh => Self::Mesh,
            Kind::Bundle => Self::Bundle(name.parse().map_err(Malformed::new)?),
            Kind::Endpoints => Self::Endpoints(host(name)?),
            Kind::Host => Self::Host(host(name)?),
            Kind::Workload => {
                let (namespace, name) = object_name(name)?;
                Self::Workload(WorkloadName { namespace, name })
            }
            Kind::Gateway => {
                let (namespace, name) = object_name(name)?;
                Self::Gateway { namespace, name }
            }
            Kind::Answer => Self::Answer(question::parse(name)?),
        };
        if key.name() == name {
            Ok(key)
        } else {
            Err(Malformed::new("the name is not in its canonical form"))
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind().as_str(), self.name())
    }
}

/// The proxy that asks: whose configuration it carries out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// A workload's sidecar.
    Workload(WorkloadName),
    /// A gateway.
    Gateway {
        /// Its namespace.
        namespace: Arc<str>,
        /// Its name.
        name: Arc<str>,
    },
}

impl Subject {
    /// The namespace it belongs to, by which visibility is decided.
    #[must_use]
    pub fn namespace(&self) -> &Arc<str> {
        match self {
            Self::Workload(name) => &name.namespace,
            Self::Gateway { namespace, .. } => namespace,
        }
    }

    /// The unit that is the subject's own.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Workload(name) => Key::Workload(name.clone()),
            Self::Gateway { namespace, name } => {
                Key::Gateway { namespace: namespace.clone(), name: name.clone() }
            }
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workload(name) => write!(f, "workload:{name}"),
            Self::Gateway { namespace, name } => write!(f, "gateway:{namespace}/{name}"),
        }
    }
}

impl FromStr for Subject {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (role, name) = text.split_once(':').ok_or_else(|| Malformed::new("not a proxy's id"))?;
        let (namespace, name) = object_name(name)?;
        match role {
            "workload" => Ok(Self::Workload(WorkloadName { namespace, name })),
            "gateway" => Ok(Self::Gateway { namespace, name }),
            _ => Err(Malformed::new("not a proxy's id")),
        }
    }
}

/// Splits `namespace/name`. Neither part may be empty or have characters that Kubernetes names don't have.
pub(crate) fn object_name(text: &str) -> Result<(Arc<str>, Arc<str>), Malformed> {
    match text.split_once('/') {
        Some((namespace, name)) if is_object_name(namespace) && is_object_name(name) => {
            Ok((namespace.into(), name.into()))
        }
        _ => Err(Malformed::new("a name is NAMESPACE/NAME of letters, digits, '-', '_' and '.'")),
    }
}

pub(crate) fn is_object_name(part: &str) -> bool {
    (1..=253).contains(&part.len())
        && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_spelling() {
        for (kind, name) in [
            (Kind::Mesh, "mesh"),
            (Kind::Bundle, "cluster.local"),
            (Kind::Host, "reviews.default.svc.cluster.local"),
            (Kind::Endpoints, "*.example.com"),
            (Kind::Workload, "default/reviews-v1-0"),
            (Kind::Gateway, "edge/public"),
            (Kind::Answer, "name:reviews"),
            (Kind::Answer, "address:10.0.0.1:80"),
            (Kind::Answer, "address:[fd00::1]:80"),
            (Kind::Answer, "workload:default/web-0"),
        ] {
            let key = Key::parse(kind, name).unwrap();
            assert_eq!((key.kind(), key.name().as_str()), (kind, name));
            assert_eq!(Kind::from_type_url(&kind.type_url()), Some(kind));
        }
    }

    #[test]
    fn other_names_are_refused() {
        for (kind, name) in [
            (Kind::Mesh, "Mesh"),
            (Kind::Bundle, "Cluster.local"),
            (Kind::Host, "Reviews"),
            (Kind::Host, "reviews."),
            (Kind::Workload, "reviews"),
            (Kind::Workload, "a/b/c"),
            (Kind::Workload, "/b"),
            (Kind::Gateway, "a/"),
            (Kind::Answer, "reviews"),
            (Kind::Answer, "name:Reviews"),
            (Kind::Answer, "address:10.0.0.01:80"),
            (Kind::Answer, "address:fd00::1:80"),
            (Kind::Answer, "workload:web-0"),
            (Kind::Answer, "workload:a/b c"),
        ] {
            assert!(Key::parse(kind, name).is_err(), "{kind:?} {name}");
        }
        assert_eq!(Kind::from_type_url("type.googleapis.com/envoy.config.cluster.v3.Cluster"), None);
    }

    #[test]
    fn subjects_survive_text() {
        for text in ["workload:default/web-0", "gateway:edge/public"] {
            assert_eq!(text.parse::<Subject>().unwrap().to_string(), text);
        }
        for text in ["default/web-0", "node:a/b", "workload:a", "workload:a/b c"] {
            assert!(text.parse::<Subject>().is_err(), "{text}");
        }
    }
}
