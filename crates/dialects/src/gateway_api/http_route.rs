//! HTTPRoute, attached to gateways or (GAMMA) to services.

pub(super) mod backends;
pub(super) mod fields;
mod filters;
mod matches;

use std::sync::Arc;
use std::time::Duration;

use leno_model::name::Host;
use leno_model::retry::{ATTEMPTS, BACKOFF, Condition, Conditions, RetryPolicy};
use leno_model::route::{Action, FixedResponse, Forward, MatchOrder, Rule, Scope};
use leno_model::snapshot::{Attachment, RouteDialect, RouteObject};
use leno_model::text::PathMatch;

use self::filters::Filters;
use super::{GROUP, hostname};
use crate::codes;
use crate::envelope::{API_VERSION, Context, KIND, META, STATUS};
use crate::findings::Position;
use crate::kinds::Kind;
use crate::object::{Object, Reference, Routes};
use crate::retry;
use crate::table::{Field, Shape};
use crate::yaml::{Fields, Value, parse_duration};

/// Routes.
pub(crate) static HTTP_ROUTE: Kind = Kind {
    group: GROUP,
    name: "HTTPRoute",
    versions: &["v1", "v1beta1"],
    namespaced: true,
    shape: Shape::Object(&[API_VERSION, KIND, META, Field::object("spec", fields::SPEC), STATUS]),
    annotations: retry::OF_ROUTES,
    protects: false,
    read,
};

fn read(context: &Context<'_>, fields: &Fields<'_>) -> Option<Object> {
    let spec = fields.required("spec")?.fields()?;
    let attachments = attachments(&spec, context, spec.at());
    let host_values = spec.items("hostnames");
    let hosts = host_values.iter().filter_map(hostname).collect();
    if let Some(first) = host_values.first()
        && !attachments.is_empty()
        && !attachments.iter().any(|attachment| matches!(attachment, Attachment::Gateway { .. }))
    {
        let message = "hostnames have no effect on routes of services";
        first.report_with(codes::INEFFECTIVE, message, "the service's own names are matched");
    }
    let mut references = Vec::new();
    let items = spec.items("rules");
    let mut rules = Vec::new();
    for item in &items {
        rules.extend(rule(item, context, rules.len(), &mut references));
    }
    if items.is_empty() {
        rules.push(empty_rule(context, &spec));
    }
    retry::declare(context, &mut rules);
    spec.finish();
    Some(routes(context, attachments, hosts, rules, references))
}

/// A route of the Gateway API, as read.
pub(super) fn routes(
    context: &Context<'_>,
    attachments: Vec<Attachment>,
    hosts: Vec<Host>,
    rules: Vec<Rule>,
    references: Vec<Reference>,
) -> Object {
    Object::Routes(Routes {
        route: RouteObject {
            origin: context.origin(context.at),
            dialect: RouteDialect::GatewayApi,
            namespace: context.namespace().clone(),
            attachments,
            hosts,
            visible_in: None,
            order: MatchOrder::MostSpecific,
            rules,
            age: 0,
        },
        references,
    })
}

/// The parents; that there is none is reported at `at`.
pub(super) fn attachments(spec: &Fields<'_>, context: &Context<'_>, at: Position) -> Vec<Attachment> {
    let parents = spec.items("parentRefs");
    if parents.is_empty() {
        let message = "the route has no effect: spec.parentRefs names no parent";
        context.findings.report_with(codes::INEFFECTIVE, at, message, "name a Gateway or Service");
    }
    parents.iter().filter_map(|parent| attachment(parent, context)).collect()
}

/// A parent.
fn attachment(value: &Value<'_>, context: &Context<'_>) -> Option<Attachment> {
    let fields = value.fields()?;
    let group = fields.text("group").unwrap_or(GROUP);
    let kind = fields.text("kind").unwrap_or("Gateway");
    let namespace = fields.text("namespace").filter(|namespace| !namespace.is_empty());
    let namespace = namespace.map_or_else(|| context.namespace().clone(), Arc::<str>::from);
    let name = fields.required("name").and_then(|name| name.text());
    let section_value = fields.value("sectionName");
    let section = section_value.as_ref().and_then(Value::text).filter(|section| !section.is_empty());
    let port = fields.port("port");
    fields.finish();
    match (group, kind) {
        (GROUP, "Gateway") => {
            let scope = Scope::Gateway { namespace, name: Arc::from(name?) };
            Some(Attachment::Gateway { scope, section: section.map(Arc::from), port })
        }
        ("" | "core", "Service") => {
            if let Some(value) = section_value.filter(|_| section.is_some()) {
                value.report_with(codes::INEFFECTIVE, "has no effect for a Service", "use port");
            }
            let consumer = (namespace != *context.namespace()).then(|| context.namespace().clone());
            let host = Host::for_service(name?, &namespace, &context.options.cluster_domain);
            match host {
                Ok(host) => Some(Attachment::Mesh { host, port, consumer }),
                Err(error) => {
                    value.invalid(format_args!("does not name a service ({error})"), "name a service");
                    None
                }
            }
        }
        _ => {
            let message = format_args!("a route cannot be attached to a {kind} of {group:?} yet");
            value.report_with(codes::LEFT_OUT, message, "use a Gateway, or a Service with group: \"\"");
            None
        }
    }
}

/// A route without rules has one that matches everything and leads nowhere.
fn empty_rule(context: &Context<'_>, spec: &Fields<'_>) -> Rule {
    Rule {
        name: None,
        origin: context.origin(spec.at()),
        matches: vec![matches::every()],
        priority: 0,
        action: Action::Forward(Forward::default()),
        request_headers: leno_model::route::HeaderEdits::default(),
        response_headers: leno_model::route::HeaderEdits::default(),
    }
}

fn rule(
    item: &Value<'_>,
    context: &Context<'_>,
    index: usize,
    references: &mut Vec<Reference>,
) -> Option<Rule> {
    let fields = item.fields()?;
    let name = fields.text("name").filter(|name| !name.is_empty()).map(Arc::from);
    let given = fields.items("matches");
    let mut matches: Vec<_> = given.iter().filter_map(matches::read).collect();
    if given.is_empty() {
        matches.push(matches::every());
    }
    let filters = filters::read(&fields.items("filters"));
    let prefix_only = |path: &Option<PathMatch>| matches!(path, Some(PathMatch::Segments(_)));
    if filters.needs_prefix && !matches.iter().all(|read| prefix_only(&read.path)) {
        item.invalid(
            "replaces a prefix, but not all of its matches are of type PathPrefix",
            "match by PathPrefix",
        );
    }
    let (timeout, per_try_timeout) = timeouts(&fields);
    let retry = fields.object("retry").map(retries);
    let backends = fields.items("backendRefs");
    let mut read = Vec::new();
    for value in &backends {
        if let Some((backend, reference)) = backends::read(value, context, index, read.len()) {
            read.push(backend);
            references.extend(reference);
        }
    }
    if filters.redirect.is_some() && !backends.is_empty() {
        item.invalid("both redirects and has backends", "remove backendRefs");
    }
    fields.finish();
    let Filters { request, response, redirect, rewrite, mirrors, fails, .. } = filters;
    let mut mirrored = Vec::new();
    for value in &mirrors {
        if let Some((mirror, reference)) = backends::mirror(value, context, index, mirrored.len()) {
            mirrored.push(mirror);
            references.extend(reference);
        }
    }
    let action = match redirect {
        _ if fails => Action::Respond(FixedResponse { status: 500, body: Arc::from([]) }),
        Some(redirect) => Action::Redirect(redirect),
        None => Action::Forward(Forward {
            backends: read,
            rewrite: rewrite.unwrap_or_default(),
            timeout,
            per_try_timeout,
            retry,
            repeatable: false,
            hedge_after: None,
            fault: None,
            mirrors: mirrored,
        }),
    };
    if fails {
        references.retain(|reference| reference.rule != index);
    }
    Some(Rule {
        name,
        origin: context.origin(item.at()),
        matches,
        priority: 0,
        action,
        request_headers: request,
        response_headers: response,
    })
}

fn timeouts(fields: &Fields<'_>) -> (Option<Duration>, Option<Duration>) {
    let Some(timeouts) = fields.object("timeouts") else { return (None, None) };
    let request = timeouts.value("request").as_ref().and_then(duration);
    let backend_value = timeouts.value("backendRequest");
    let backend = backend_value.as_ref().and_then(duration);
    timeouts.finish();
    let is_longer = |limit: Duration| backend.is_some_and(|backend| backend > limit);
    if let (Some(value), Some(request)) = (backend_value, request.filter(|limit| !limit.is_zero()))
        && is_longer(request)
    {
        value.invalid("is longer than the timeout of the whole request", "make it at most as long");
    }
    let limit = |timeout: Option<Duration>| timeout.filter(|timeout| !timeout.is_zero());
    (limit(request), limit(backend))
}

/// The policy of GEP-1731: the codes given, and failures without an answer.
fn retries(fields: Fields<'_>) -> RetryPolicy {
    let codes = fields.items("codes");
    let statuses: Vec<u16> =
        codes.iter().filter_map(|code| code.integer(400, 599)?.try_into().ok()).collect();
    let attempts = fields.value("attempts").map_or(Some(ATTEMPTS), |value| retry::attempts(&value));
    let backoff = fields.value("backoff").as_ref().and_then(duration).filter(|pause| !pause.is_zero());
    fields.finish();
    RetryPolicy {
        attempts: attempts.unwrap_or_default(),
        on: Conditions::DEFAULT.with(Condition::Reset),
        statuses,
        backoff: backoff.unwrap_or(BACKOFF),
        ..RetryPolicy::IMPLICIT
    }
}

/// A duration of GEP-2257: at most four numbers of at most five digits, each with `h`, `m`, `s` or `ms`.
fn duration(value: &Value<'_>) -> Option<Duration> {
    let text = value.text()?;
    let duration = parse_duration(text).filter(|_| is_gep_2257(text));
    if duration.is_none() {
        value.invalid("is not a duration", "write whole numbers with h, m, s or ms, such as 1m30s or 500ms");
    }
    duration
}

fn is_gep_2257(text: &str) -> bool {
    let mut rest = text;
    for _ in 0..4 {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let Some(tail) = rest.get(digits..).filter(|_| (1..=5).contains(&digits)) else { return false };
        let Some(tail) = ["ms", "h", "m", "s"].iter().find_map(|unit| tail.strip_prefix(unit)) else {
            return false;
        };
        if tail.is_empty() {
            return true;
        }
        rest = tail;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_gep_2257() {
        for (text, expected) in [
            ("1h", true),
            ("1h2m3s4ms", true),
            ("0s", true),
            ("99999ms", true),
            ("100000ms", false),
            ("1.5s", false),
            ("1h1h1h1h1h", false),
            ("5", false),
            ("5us", false),
            ("", false),
        ] {
            assert_eq!(is_gep_2257(text), expected, "{text}");
        }
    }
}
