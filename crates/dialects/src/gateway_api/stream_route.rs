//! TLSRoute and TCPRoute: where connections go whose bytes are not looked into.
//!
//! A rule has no matches: which connections it is about is said by hostnames, listener and port.

use std::sync::Arc;

use leno_model::name::Host;
use leno_model::route::{Action, Forward, HeaderEdits, Match, Rule, StreamMatch};

use super::http_route::{attachments, backends, fields::PARENT, routes};
use super::{GROUP, hostname};
use crate::envelope::{API_VERSION, Context, KIND, META, STATUS};
use crate::kinds::Kind;
use crate::object::{Object, Reference};
use crate::table::{Field, Shape};
use crate::yaml::{Fields, Value};

/// By the name that a ClientHello asks for.
pub(crate) static TLS_ROUTE: Kind = Kind {
    group: GROUP,
    name: "TLSRoute",
    versions: &["v1", "v1alpha3", "v1alpha2"],
    namespaced: true,
    shape: Shape::Object(&[API_VERSION, KIND, META, Field::object("spec", TLS_SPEC), STATUS]),
    annotations: &[],
    protects: false,
    read: |context, fields| read(context, fields, true),
};

/// By port alone.
pub(crate) static TCP_ROUTE: Kind = Kind {
    group: GROUP,
    name: "TCPRoute",
    versions: &["v1", "v1alpha2"],
    namespaced: true,
    shape: Shape::Object(&[API_VERSION, KIND, META, Field::object("spec", TCP_SPEC), STATUS]),
    annotations: &[],
    protects: false,
    read: |context, fields| read(context, fields, false),
};

const TLS_SPEC: &[Field] = &[
    Field::list("parentRefs", &Shape::Object(PARENT)),
    Field::texts("hostnames"),
    Field::list("rules", &Shape::Object(RULE)),
    Field::any("useDefaultGateways").not_in_effect("routes attach to the parents that they name"),
];

const TCP_SPEC: &[Field] = &[
    Field::list("parentRefs", &Shape::Object(PARENT)),
    Field::list("rules", &Shape::Object(RULE)),
    Field::any("useDefaultGateways").not_in_effect("routes attach to the parents that they name"),
];

const RULE: &[Field] = &[Field::text("name"), Field::list("backendRefs", &Shape::Object(BACKEND))];

const BACKEND: &[Field] = &[
    Field::text("group"),
    Field::text("kind"),
    Field::text("name"),
    Field::text("namespace"),
    Field::integer("port"),
    Field::integer("weight"),
];

fn read(context: &Context<'_>, fields: &Fields<'_>, is_tls: bool) -> Option<Object> {
    let spec = fields.required("spec")?.fields()?;
    let attachments = attachments(&spec, context, fields.at());
    let host_values = if is_tls { spec.items("hostnames") } else { Vec::new() };
    let hosts: Vec<Host> = host_values.iter().filter_map(hostname).collect();
    let mut references = Vec::new();
    let mut rules: Vec<Rule> = Vec::new();
    for item in spec.items("rules") {
        let read = rule(&item, context, rules.len(), &hosts, &mut references);
        rules.extend(read);
    }
    spec.finish();
    Some(routes(context, attachments, hosts, rules, references))
}

fn rule(
    item: &Value<'_>,
    context: &Context<'_>,
    index: usize,
    hosts: &[Host],
    references: &mut Vec<Reference>,
) -> Option<Rule> {
    let fields = item.fields()?;
    let name = fields.text("name").filter(|name| !name.is_empty()).map(Arc::from);
    let mut read = Vec::new();
    for value in fields.items("backendRefs") {
        if let Some((backend, reference)) = backends::read(&value, context, index, read.len()) {
            read.push(backend);
            references.extend(reference);
        }
    }
    fields.finish();
    let stream = StreamMatch { server_names: hosts.to_vec(), subnets: Vec::new() };
    Some(Rule {
        name,
        origin: context.origin(item.at()),
        matches: vec![Match { stream: Some(stream), ..Match::default() }],
        priority: 0,
        action: Action::Forward(Forward { backends: read, ..Forward::default() }),
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
    })
}
