//! ReferenceGrant.

use std::sync::Arc;

use super::GROUP;
use crate::envelope::{API_VERSION, Context, KIND, META};
use crate::kinds::Kind;
use crate::object::{Grant, Granted, Grantee, Object};
use crate::table::{Field, Shape};
use crate::yaml::{Fields, Value};

/// Permission for references from other namespaces.
pub(crate) static REFERENCE_GRANT: Kind = Kind {
    group: GROUP,
    name: "ReferenceGrant",
    versions: &["v1beta1", "v1", "v1alpha2"],
    namespaced: true,
    shape: Shape::Object(&[API_VERSION, KIND, META, Field::object("spec", SPEC)]),
    annotations: &[],
    protects: false,
    read,
};

const SPEC: &[Field] = &[
    Field::list(
        "from",
        &Shape::Object(&[Field::text("group"), Field::text("kind"), Field::text("namespace")]),
    ),
    Field::list("to", &Shape::Object(&[Field::text("group"), Field::text("kind"), Field::text("name")])),
];

fn read(context: &Context<'_>, fields: &Fields<'_>) -> Option<Object> {
    let spec = fields.required("spec")?.fields()?;
    let from = spec.required("from").map(|from| from.items()).unwrap_or_default();
    let to = spec.required("to").map(|to| to.items()).unwrap_or_default();
    let from = from.iter().filter_map(grantee).collect();
    let to = to.iter().filter_map(granted).collect();
    spec.finish();
    Some(Object::Grant(Grant { namespace: context.namespace().clone(), from, to }))
}

fn required(fields: &Fields<'_>, name: &str) -> Option<Arc<str>> {
    fields.required(name)?.text().map(Arc::from)
}

fn grantee(value: &Value<'_>) -> Option<Grantee> {
    let fields = value.fields()?;
    let (group, kind) = (required(&fields, "group"), required(&fields, "kind"));
    let namespace = required(&fields, "namespace");
    fields.finish();
    Some(Grantee { group: group?, kind: kind?, namespace: namespace? })
}

fn granted(value: &Value<'_>) -> Option<Granted> {
    let fields = value.fields()?;
    let (group, kind) = (required(&fields, "group"), required(&fields, "kind"));
    let name = fields.text("name").filter(|name| !name.is_empty()).map(Arc::from);
    fields.finish();
    Some(Granted { group: group?, kind: kind?, name })
}
