//! `backendRefs[]`, and the references of mirrors.

use std::sync::Arc;

use leno_model::fault::WHOLE;
use leno_model::name::Host;
use leno_model::route::{Backend, Mirror, Target};

use super::filters::{self, Filters};
use crate::codes;
use crate::envelope::Context;
use crate::object::{Part, Reference};
use crate::yaml::{Fields, Value};

/// Reads a backend, and the reference to check when objects are joined.
pub(in crate::gateway_api) fn read(
    item: &Value<'_>,
    context: &Context<'_>,
    rule: usize,
    index: usize,
) -> Option<(Backend, Option<Reference>)> {
    let fields = item.fields()?;
    let named = Named::read(&fields);
    let weight = fields.value("weight").map_or(Some(1), |weight| weight.integer(0, 1_000_000));
    let filters = filters::read(&fields.items("filters"));
    fields.finish();
    let (target, reference) = if filters.fails {
        (Target::Invalid { reason: "a filter of the backend is not supported yet".into() }, None)
    } else {
        named.target(item, context, rule, Part::Backend(index))?
    };
    no_rewrite(item, &filters);
    if let Some(first) = filters.mirrors.first() {
        let message = "requests for one backend only are not mirrored yet";
        first.report_with(codes::LEFT_OUT, message, "put the filter into the rule");
        // Mistakes below are told all the same.
        let _understood = mirror(first, context, rule, 0);
    }
    let backend = Backend {
        target,
        weight: u32::try_from(weight?).ok()?,
        request_headers: filters.request,
        response_headers: filters.response,
        origin: context.origin(item.at()),
    };
    Some((backend, reference))
}

/// Reads a mirror of a rule, and the reference to check when objects are joined.
pub(super) fn mirror(
    value: &Value<'_>,
    context: &Context<'_>,
    rule: usize,
    index: usize,
) -> Option<(Mirror, Option<Reference>)> {
    let fields = value.fields()?;
    fields.at_most_one(&["percent", "fraction"]);
    let target = fields.required("backendRef").and_then(|item| {
        let fields = item.fields()?;
        let named = Named::read(&fields);
        fields.finish();
        named.target(&item, context, rule, Part::Mirror(index))
    });
    let percent = fields.value("percent").map(|percent| Some(whole(&percent, 0, 100)? * (WHOLE / 100)));
    let fraction = fields.value("fraction").map(|value| fraction(&value));
    fields.finish();
    let share = percent.or(fraction).unwrap_or(Some(WHOLE))?;
    let (target, reference) = target?;
    Some((Mirror { target, share, origin: context.origin(value.at()) }, reference))
}

fn whole(value: &Value<'_>, low: i64, high: i64) -> Option<u32> {
    value.integer(low, high).and_then(|number| u32::try_from(number).ok())
}

/// A fraction of the requests, in millionths; of hundred if nothing else is said.
fn fraction(value: &Value<'_>) -> Option<u32> {
    let fields = value.fields()?;
    let most = i64::from(i32::MAX);
    let numerator = fields.required("numerator").and_then(|number| whole(&number, 0, most));
    let denominator = fields.value("denominator").map_or(Some(100), |number| whole(&number, 1, most));
    fields.finish();
    let (numerator, denominator) = (numerator?, denominator?);
    if numerator > denominator {
        value.invalid("is more than all requests", "make the numerator at most as large as the denominator");
        return None;
    }
    let share = u64::from(numerator) * u64::from(WHOLE) / u64::from(denominator.max(1));
    u32::try_from(share).ok()
}

/// What a reference says, before it is known what it means.
struct Named<'a> {
    group: &'a str,
    kind: &'a str,
    name: Option<&'a str>,
    namespace: Option<&'a str>,
    port: Option<Option<u16>>,
}

impl<'a> Named<'a> {
    fn read(fields: &Fields<'a>) -> Self {
        Self {
            group: fields.text("group").unwrap_or_default(),
            kind: fields.text("kind").unwrap_or("Service"),
            name: fields.required("name").and_then(|name| name.text()),
            namespace: fields.text("namespace").filter(|namespace| !namespace.is_empty()),
            port: fields.value("port").map(|port| port.port()),
        }
    }

    /// What is meant; with a service comes the reference to check.
    fn target(
        &self,
        item: &Value<'_>,
        context: &Context<'_>,
        rule: usize,
        part: Part,
    ) -> Option<(Target, Option<Reference>)> {
        let (group, kind) = (self.group, self.kind);
        if !matches!((group, kind), ("" | "core", "Service")) {
            let group = if group.is_empty() { "core" } else { group };
            let reason = format!("backends of kind {kind} ({group}) are not known");
            return Some((invalid(item, reason, "refer to a Service"), None));
        }
        let namespace = self.namespace.map_or_else(|| context.namespace().clone(), Arc::from);
        let name = self.name?;
        let host = service(item, name, &namespace, context)?;
        let Some(port) = self.port else {
            item.report(codes::REQUIRED, "port is missing");
            return None;
        };
        let port = Some(port?);
        let reference = Reference {
            rule,
            part,
            name: Arc::from(name),
            namespace,
            host: host.clone(),
            port,
            location: item.at().in_file(context.findings.file()),
        };
        Some((Target::Service { host, port, subset: None }, Some(reference)))
    }
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
fn no_rewrite(item: &Value<'_>, filters: &Filters<'_>) {
    if filters.redirect.is_some() || filters.rewrite.is_some() {
        item.report_with(
            codes::UNSUPPORTED,
            "redirects and rewrites of one backend are not supported yet",
            "put the filter into the rule",
        );
    }
}
