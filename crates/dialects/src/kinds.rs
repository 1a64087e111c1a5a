//! The kinds that are known: those Leno acts on, with their tables and readers, and those it only recognises.

use crate::envelope::Context;
use crate::object::Object;
use crate::table::{Field, Shape, nearest};
use crate::yaml::Fields;
use crate::{gateway_api, istio, kubernetes};

mod recognised;

/// A kind that Leno acts on.
pub struct Kind {
    /// Its API group; empty for core Kubernetes.
    pub group: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The versions that are read, the preferred one first. Their fields do not differ.
    pub versions: &'static [&'static str],
    /// Whether its objects belong to namespaces.
    pub namespaced: bool,
    /// Its fields.
    pub shape: Shape,
    /// The annotations that mean something to a mesh.
    pub annotations: &'static [Field],
    /// Whether it protects something, so that a broken one counts in its strictest sense.
    pub protects: bool,
    /// Reads the fields. With errors among the findings the result counts only if the kind protects.
    pub(crate) read: fn(&Context<'_>, &Fields<'_>) -> Option<Object>,
}

impl Kind {
    /// Group and preferred version, as `apiVersion` has it.
    #[must_use]
    pub fn api_version(&self) -> String {
        let version = self.versions.first().copied().unwrap_or_default();
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }

    /// Its fields.
    #[must_use]
    pub const fn fields(&self) -> &'static [Field] {
        match self.shape {
            Shape::Object(fields) => fields,
            _ => &[],
        }
    }
}

/// What is known of a kind.
pub(crate) enum Known {
    /// Leno acts on it.
    Supported(&'static Kind),
    /// Leno could act on it and does not yet; the text says what to do instead.
    Unsupported(&'static str),
    /// It is Kubernetes's or another program's business.
    Foreign,
    /// The mesh file of a local mesh, which has a reader of its own.
    LocalMesh,
    /// Nothing.
    Unknown {
        /// The kind that may have been meant.
        near: Option<&'static Kind>,
        /// What to do about it.
        hint: String,
    },
}

/// Every kind that Leno acts on.
pub static SUPPORTED: &[&Kind] = &[
    &kubernetes::NAMESPACE,
    &kubernetes::SERVICE,
    &kubernetes::ENDPOINT_SLICE,
    &kubernetes::SERVICE_ACCOUNT,
    &kubernetes::SECRET,
    &gateway_api::GATEWAY,
    &gateway_api::HTTP_ROUTE,
    &gateway_api::TLS_ROUTE,
    &gateway_api::TCP_ROUTE,
    &gateway_api::REFERENCE_GRANT,
    &istio::VIRTUAL_SERVICE,
    &istio::DESTINATION_RULE,
    &istio::PEER_AUTHENTICATION,
    &istio::AUTHORIZATION_POLICY,
    &istio::WORKLOAD_ENTRY,
];

/// What is known of a kind of a group.
pub(crate) fn find(group: &str, kind: &str) -> Known {
    if let Some(supported) = SUPPORTED.iter().find(|known| known.group == group && known.name == kind) {
        return Known::Supported(supported);
    }
    if (group, kind) == ("leno.dev", "LocalMesh") {
        return Known::LocalMesh;
    }
    if let Some(why) = recognised::unsupported(group, kind) {
        return Known::Unsupported(why);
    }
    if recognised::is_foreign(group, kind) {
        return Known::Foreign;
    }
    let near = near(group, kind);
    Known::Unknown { near, hint: hint(near) }
}

fn near(group: &str, kind: &str) -> Option<&'static Kind> {
    let name = nearest(kind, SUPPORTED.iter().map(|known| known.name))?;
    let mut named = SUPPORTED.iter().copied().filter(|known| known.name == name);
    named.clone().find(|known| known.group == group).or_else(|| named.next())
}

fn hint(near: Option<&Kind>) -> String {
    match near {
        Some(known) => format!("did you mean kind: {} with apiVersion: {}?", known.name, known.api_version()),
        None => {
            let names: Vec<&str> = SUPPORTED.iter().map(|known| known.name).collect();
            format!("Leno acts on {}", names.join(", "))
        }
    }
}
