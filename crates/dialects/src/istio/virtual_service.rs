//! VirtualService.

mod action;
mod fault;
mod fields;
mod headers;
mod matches;
mod mirror;
mod streams;

use std::sync::Arc;

use leno_model::name::Host;
use leno_model::route::{Action, Match, MatchOrder, Rule, Scope};
use leno_model::snapshot::{Attachment, RouteDialect, RouteObject};

use super::host::{export_to, service_host};
use crate::codes;
use crate::envelope::{API_VERSION, Context, KIND, META, STATUS};
use crate::kinds::Kind;
use crate::object::{Object, Routes};
use crate::retry;
use crate::table::{Field, Shape};
use crate::yaml::{Fields, Value};

/// Routes.
pub(crate) static VIRTUAL_SERVICE: Kind = Kind {
    group: "networking.istio.io",
    name: "VirtualService",
    versions: &["v1", "v1beta1", "v1alpha3"],
    namespaced: true,
    shape: Shape::Object(&[API_VERSION, KIND, META, Field::object("spec", fields::SPEC), STATUS]),
    annotations: retry::OF_ROUTES,
    protects: false,
    read,
};

/// The name that stands for all sidecars among `gateways`.
const MESH: &str = "mesh";

fn read(context: &Context<'_>, fields: &Fields<'_>) -> Option<Object> {
    let spec = fields.required("spec")?.fields()?;
    let host_values = spec.items("hosts");
    let hosts: Vec<Host> = host_values.iter().filter_map(|value| service_host(value, context)).collect();
    if host_values.is_empty() {
        let message = "spec.hosts names no host, and delegation is not supported yet";
        context.findings.report_with(
            codes::UNSUPPORTED,
            spec.at(),
            message,
            "name the hosts that are routed",
        );
    }
    let scopes = match spec.value("gateways") {
        Some(gateways) => gateways.items().iter().filter_map(|value| scope(value, context)).collect(),
        None => vec![Scope::Mesh],
    };
    let visible_in = export_to(&spec, context);
    let [http, tls, tcp] = ["http", "tls", "tcp"].map(|name| spec.items(name));
    if http.is_empty() && tls.is_empty() && tcp.is_empty() {
        let message = "the object has no routes";
        context.findings.report_with(
            codes::UNSUPPORTED,
            spec.at(),
            message,
            "add some under http, tls or tcp, or remove the object",
        );
    }
    let mut rules: Vec<Rule> = http.iter().filter_map(|item| rule(item, context, &scopes)).collect();
    retry::declare(context, &mut rules);
    for (items, kind) in [(&tls, streams::Kind::Tls), (&tcp, streams::Kind::Tcp)] {
        rules.extend(items.iter().filter_map(|item| streams::rule(item, kind, context, &scopes, &hosts)));
    }
    spec.finish();
    Some(Object::Routes(Routes {
        route: RouteObject {
            origin: context.origin(context.at),
            dialect: RouteDialect::Istio,
            namespace: context.namespace().clone(),
            attachments: attachments(&hosts, &scopes),
            hosts,
            visible_in,
            order: MatchOrder::FirstMatch,
            rules,
            age: 0,
        },
        references: Vec::new(),
    }))
}

fn attachments(hosts: &[Host], scopes: &[Scope]) -> Vec<Attachment> {
    let mut attachments = Vec::new();
    for scope in scopes {
        match scope {
            Scope::Mesh => attachments.extend(hosts.iter().map(|host| Attachment::Mesh {
                host: host.clone(),
                port: None,
                consumer: None,
            })),
            Scope::Gateway { .. } => {
                attachments.push(Attachment::Gateway { scope: scope.clone(), section: None, port: None });
            }
        }
    }
    attachments
}

/// `mesh`, or a gateway as `namespace/name` or just its name.
fn scope(value: &Value<'_>, context: &Context<'_>) -> Option<Scope> {
    let text = value.text()?;
    if text == MESH {
        return Some(Scope::Mesh);
    }
    let (namespace, name) = match text.split_once('/') {
        Some((".", name)) => (context.namespace().clone(), name),
        Some((namespace, name)) => (Arc::from(namespace), name),
        None => (context.namespace().clone(), text),
    };
    if namespace.is_empty() || name.is_empty() || name.contains('/') {
        value.invalid("is not the name of a gateway", "write mesh, <name> or <namespace>/<name>");
        return None;
    }
    Some(Scope::Gateway { namespace, name: name.into() })
}

/// One entry of `http`. `None` when it is wrong, or when none of its matches can ever hold.
fn rule(item: &Value<'_>, context: &Context<'_>, scopes: &[Scope]) -> Option<Rule> {
    let fields = item.fields()?;
    let name = fields.text("name").filter(|name| !name.is_empty()).map(Arc::from);
    let given = fields.items("match");
    let matches: Vec<Match> = given.iter().filter_map(|item| matches::read(item, context, scopes)).collect();
    let headers = headers::read(fields.value("headers"));
    let action = action::read(&fields, context, headers.authority);
    fields.finish();
    if matches.is_empty() && !given.is_empty() {
        return None;
    }
    Some(Rule {
        name,
        origin: context.origin(item.at()),
        matches,
        priority: 0,
        action: action.unwrap_or_else(nothing),
        request_headers: headers.request,
        response_headers: headers.response,
    })
}

/// Stands for an action that was refused; the object is refused with it.
fn nothing() -> Action {
    Action::Forward(leno_model::route::Forward::default())
}
