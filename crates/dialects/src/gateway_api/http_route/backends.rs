//! `backendRefs[]`.

use std::sync::Arc;

use leno_model::name::Host;
use leno_model::route::{Backend, Target};

use super::filters::{self, Filters};
use crate::codes;
use crate::envelope::Context;
use crate::object::Reference;
use crate::yaml::Value;

/// Reads a backend, and the reference to check when objects are joined.
pub(super) fn read(
    item: &Value<'_>,
    context: &Context<'_>,
    rule: usize,
    index: usize,
) -> Option<(Backend, Option<Reference>)> {
    let fields = item.fields()?;
    let group = fields.text("group").unwrap_or_default();
    let kind = fields.text("kind").unwrap_or("Service");
    let name = fields.required("name").and_then(|name| name.text());
    let namespace = fields.text("namespace").filter(|namespace| !namespace.is_empty());
    let port = fields.value("port").map(|port| port.port());
    let weight = fields.value("weight").map_or(Some(1), |weight| weight.integer(0, 1_000_000));
    let filters = filters::read(&fields.items("filters"));
    fields.finish();
    let namespace = namespace.map_or_else(|| context.namespace().clone(), Arc::from);
    let mut reference = None;
    let target = if !matches!((group, kind), ("" | "core", "Service")) {
        let group = if group.is_empty() { "core" } else { group };
        invalid(item, format!("backends of kind {kind} ({group}) are not known"), "refer to a Service")
    } else if filters.fails {
        Target::Invalid { reason: "a filter of the backend is not supported yet".into() }
    } else {
        let host = service(item, name?, &namespace, context)?;
        let port = match port {
            Some(port) => Some(port?),
            None => {
                item.report(codes::REQUIRED, "port is missing");
                return None;
            }
        };
        reference = Some(Reference {
            rule,
            backend: index,
            name: Arc::from(name?),
            namespace,
            host: host.clone(),
            port,
            location: item.at().in_file(context.findings.file()),
        });
        Target::Service { host, port, subset: None }
    };
    no_rewrite(item, &filters);
    let backend = Backend {
        target,
        weight: u32::try_from(weight?).ok()?,
        request_headers: filters.request,
        response_headers: filters.response,
        origin: context.origin(item.at()),
    };
    Some((backend, reference))
}

fn invalid(item: &Value<'_>, reason: String, hint: &str) -> Target {
    item.report_with(codes::INVALID_BACKEND, &reason, hint);
    Target::Invalid { reason: reason.into() }
}

fn service(item: &Value<'_>, name: &str, namespace: &str, context: &Context<'_>) -> Option<Host> {
    match Host::for_service(name, namespace, &context.options.cluster_domain) {
        Ok(host) => Some(host),
        Err(error) => {
            item.invalid(
                format_args!("does not name a service ({error})"),
                "name a service and its namespace",
            );
            None
        }
    }
}

/// A backend's own redirect or rewrite has no place in the model.
fn no_rewrite(item: &Value<'_>, filters: &Filters) {
    if filters.redirect.is_some() || filters.rewrite.is_some() {
        item.report_with(
            codes::UNSUPPORTED,
            "redirects and rewrites of one backend are not supported yet",
            "put the filter into the rule",
        );
    }
}
