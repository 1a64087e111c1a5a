//! Host names and visibility, as all of Istio's traffic kinds write them.

use std::sync::Arc;

use leno_model::name::Host;

use crate::envelope::{Context, is_label};
use crate::yaml::{Fields, Value};

/// A service host. A name without dots is a service of the object's own namespace, whatever namespace asks.
pub(super) fn service_host(value: &Value<'_>, context: &Context<'_>) -> Option<Host> {
    let text = value.text()?;
    if text.contains(['.', '*']) || text.is_empty() {
        return value.parse();
    }
    match Host::for_service(text, context.namespace(), &context.options.cluster_domain) {
        Ok(host) => Some(host),
        Err(error) => {
            value.invalid(
                format_args!("is not a host ({error})"),
                "name a service, or write its full DNS name",
            );
            None
        }
    }
}

/// `exportTo`: the namespaces that see the object; `None` is all.
pub(super) fn export_to(spec: &Fields<'_>, context: &Context<'_>) -> Option<Vec<Arc<str>>> {
    let items = spec.items("exportTo");
    if items.is_empty() {
        return None;
    }
    let mut namespaces = Vec::new();
    let mut everywhere = false;
    for item in &items {
        match item.text() {
            Some("*") => everywhere = true,
            Some(".") => namespaces.push(context.namespace().clone()),
            Some("~") => {}
            Some(namespace) if is_label(namespace) => namespaces.push(namespace.into()),
            Some(_) => item.invalid("is not a namespace", "write a namespace, . for this one, or * for all"),
            None => {}
        }
    }
    (!everywhere).then_some(namespaces)
}
