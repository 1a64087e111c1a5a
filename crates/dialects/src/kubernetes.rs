//! Kubernetes's own kinds, as far as a mesh needs them.

mod endpoints;
mod protocol;
mod secret;
mod service;

pub(crate) use endpoints::ENDPOINT_SLICE;
pub(crate) use secret::SECRET;
pub(crate) use service::SERVICE;

use crate::envelope::{API_VERSION, KIND, META, STATUS};
use crate::kinds::Kind;
use crate::object::Object;
use crate::table::{Field, Shape};

/// A namespace: its labels, which gateways select by, and for the root namespace what it says of the whole mesh.
pub(crate) static NAMESPACE: Kind = Kind {
    group: "",
    name: "Namespace",
    versions: &["v1"],
    namespaced: false,
    shape: Shape::Object(&[API_VERSION, KIND, META, Field::any("spec").irrelevant(), STATUS]),
    annotations: crate::retry::OF_NAMESPACES,
    protects: false,
    read: |context, _fields| {
        Some(Object::Namespace {
            name: context.name().clone(),
            labels: context.labels.clone(),
            repeat: crate::retry::mesh_wide(context),
        })
    },
};

/// A service account. Identities need its name only, so it is read to be known, and changes nothing.
pub(crate) static SERVICE_ACCOUNT: Kind = Kind {
    group: "",
    name: "ServiceAccount",
    versions: &["v1"],
    namespaced: true,
    shape: Shape::Object(&[
        API_VERSION,
        KIND,
        META,
        Field::any("secrets").irrelevant(),
        Field::any("imagePullSecrets").irrelevant(),
        Field::any("automountServiceAccountToken").irrelevant(),
    ]),
    annotations: &[],
    protects: false,
    read: |_context, _fields| Some(Object::Inert),
};
