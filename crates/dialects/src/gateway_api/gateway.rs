//! Gateway.
//!
//! A listener that cannot be served as written is left out rather than served with less protection.

use std::sync::Arc;

use leno_model::gateway::{AllowedRoutes, Gateway, Listener, ListenerProtocol};
use leno_model::labels::Labels;
use leno_model::span::Location;

use super::{GROUP, hostname};
use crate::codes;
use crate::envelope::{API_VERSION, Context, KIND, META, STATUS};
use crate::kinds::Kind;
use crate::object::{GatewayObject, Object};
use crate::table::{Field, Shape};
use crate::yaml::{Fields, Value};

/// A gateway.
pub(crate) static GATEWAY: Kind = Kind {
    group: GROUP,
    name: "Gateway",
    versions: &["v1", "v1beta1"],
    namespaced: true,
    shape: Shape::Object(&[API_VERSION, KIND, META, Field::object("spec", SPEC), STATUS]),
    annotations: &[Field::text(PROXY_PROTOCOL)],
    protects: false,
    read,
};

/// Names the listeners, separated by commas, whose connections begin with a header of the PROXY protocol; `*` is all.
const PROXY_PROTOCOL: &str = "leno.dev/proxy-protocol";

const SPEC: &[Field] = &[
    Field::text("gatewayClassName"),
    Field::list("listeners", &Shape::Object(LISTENER)),
    Field::list("addresses", &Shape::Object(&[Field::text("type"), Field::text("value")]))
        .not_in_effect("where a gateway listens is not decided by its object"),
    Field::any("infrastructure").irrelevant(),
    Field::any("allowedListeners").not_in_effect("listeners of other objects are not read"),
    Field::any("backendTLS").not_in_effect("no client certificate is presented to backends outside the mesh"),
    Field::object("tls", &[Field::any("backend"), Field::any("frontend")]),
    Field::any("defaultScope").not_in_effect("routes attach to the gateways that they name"),
];

const LISTENER: &[Field] = &[
    Field::text("name"),
    Field::text("hostname"),
    Field::integer("port"),
    Field::text("protocol"),
    Field::object("tls", TLS),
    Field::object("allowedRoutes", ALLOWED_ROUTES),
];

const TLS: &[Field] = &[
    Field::choice("mode", &["Terminate", "Passthrough"]),
    Field::list("certificateRefs", &Shape::Object(CERTIFICATE_REF)),
    Field::any("frontendValidation"),
    Field::labels("options").not_in_effect("TLS is as Leno has it: 1.2 and 1.3 with modern ciphers"),
];

const CERTIFICATE_REF: &[Field] =
    &[Field::text("group"), Field::text("kind"), Field::text("name"), Field::text("namespace")];

const ALLOWED_ROUTES: &[Field] = &[
    Field::object(
        "namespaces",
        &[
            Field::choice("from", &["All", "Selector", "Same", "None"]),
            Field::object(
                "selector",
                &[Field::labels("matchLabels"), Field::list("matchExpressions", &Shape::Any)],
            ),
        ],
    ),
    Field::list("kinds", &Shape::Object(&[Field::text("group"), Field::text("kind")])),
];

fn read(context: &Context<'_>, fields: &Fields<'_>) -> Option<Object> {
    let spec = fields.required("spec")?.fields()?;
    let class_value = spec.required("gatewayClassName")?;
    let class = class_value.text()?;
    if !context.options.gateway_classes.iter().any(|known| &**known == class) {
        let known = context.options.gateway_classes.join(", ");
        class_value.report_with(
            codes::NOT_FOR_THE_MESH,
            format_args!("the class {} is not served by Leno", class_value.shown()),
            format!("classes that Leno serves are {known}"),
        );
        return Some(Object::Foreign);
    }
    if let Some(tls) = spec.value("tls") {
        let message = "client certificates at gateways are not supported yet";
        tls.report_with(codes::UNSUPPORTED, message, "remove it to serve without client certificates");
        let _understood =
            tls.fields().map(|tls| (tls.value("backend").is_some(), tls.value("frontend").is_some()));
    }
    let items = spec.required("listeners").map(|listeners| listeners.items()).unwrap_or_default();
    let mut listeners: Vec<Listener> = Vec::new();
    let mut certificates = Vec::new();
    for item in &items {
        if let Some((listener, locations)) = listener(item, context)
            && is_distinct(item, &listener, &listeners)
        {
            listeners.push(listener);
            certificates.push(locations);
        }
    }
    if listeners.is_empty() && context.findings.errors() == 0 {
        let message = "spec.listeners: no listener can be served";
        context.findings.report_with(codes::UNSUPPORTED, spec.at(), message, "add an HTTP or HTTPS listener");
    }
    spec.finish();
    behind_proxies(context, &mut listeners);
    let gateway = Gateway {
        namespace: context.namespace().clone(),
        name: context.name().clone(),
        service_account: format!("{}-{class}", context.name()).into(),
        labels: context.labels.clone(),
        listeners,
        origin: context.origin(context.at),
    };
    Some(Object::Gateway(GatewayObject { gateway, certificates }))
}

/// Marks the listeners that an annotation says are behind proxies. Those of one port share its connections, so they are
/// all marked or none.
fn behind_proxies(context: &Context<'_>, listeners: &mut [Listener]) {
    let Some(value) = context.annotation(PROXY_PROTOCOL) else { return };
    for name in value.text().unwrap_or_default().split(',').map(str::trim) {
        let port = listeners.iter().find(|listener| &*listener.name == name).map(|listener| listener.port);
        if name != "*" && port.is_none() {
            value.invalid(
                format_args!("names {name}, which is no listener that is served"),
                "name listeners, separated by commas, or *",
            );
        }
        for listener in listeners.iter_mut().filter(|listener| name == "*" || Some(listener.port) == port) {
            listener.proxy_protocol = true;
        }
    }
}

/// Names are unique, and listeners on one port differ in hostname and agree in protocol.
fn is_distinct(item: &Value<'_>, listener: &Listener, others: &[Listener]) -> bool {
    if others.iter().any(|other| other.name == listener.name) {
        item.invalid(
            format_args!("has the name {} of a listener above", listener.name),
            "give it another name",
        );
        return false;
    }
    let same_port = others.iter().filter(|other| other.port == listener.port);
    for other in same_port {
        let conflict = if other.protocol != listener.protocol {
            "protocol"
        } else if other.hostname == listener.hostname {
            "hostname"
        } else {
            continue;
        };
        let message = format_args!(
            "the listener conflicts with {} on port {} by its {conflict}, and is not served",
            other.name, listener.port
        );
        item.report(codes::CONFLICTING_LISTENERS, message);
        return false;
    }
    true
}

fn listener(item: &Value<'_>, context: &Context<'_>) -> Option<(Listener, Vec<Location>)> {
    let fields = item.fields()?;
    let name = fields.required("name").and_then(|name| name.text());
    let port = fields.required("port").and_then(|port| port.port());
    let host = fields.value("hostname").filter(|value| value.node().text() != Some(""));
    let host = host.map(|value| hostname(&value));
    let protocol = fields.required("protocol").and_then(|protocol| protocol.text());
    let allowed = allowed_routes(&fields);
    let tls = fields.value("tls");
    let left_out = |message: std::fmt::Arguments<'_>, hint: &str| {
        item.report_with(codes::LISTENER_LEFT_OUT, message, hint);
        None
    };
    let (protocol, certificates) = match protocol? {
        "HTTP" => {
            if let Some(tls) = &tls {
                tls.invalid("stands at a listener of protocol HTTP", "remove it, or use HTTPS");
            }
            (ListenerProtocol::Http, Vec::new())
        }
        "HTTPS" => match certificates(tls.as_ref(), item, context) {
            Some(certificates) => (ListenerProtocol::Https, certificates),
            None => {
                return left_out(
                    format_args!("the listener is not served"),
                    "see the other findings about it",
                );
            }
        },
        "TLS" if tls.as_ref().is_some_and(passes_through) => (ListenerProtocol::Tls, Vec::new()),
        "TCP" if tls.is_none() => (ListenerProtocol::Tcp, Vec::new()),
        "TLS" | "TCP" | "UDP" => {
            let _understood = tls.map(|tls| certificates_of(&tls, context));
            return left_out(
                format_args!("the protocol of the listener is not served so"),
                "use HTTP, HTTPS, TCP, or TLS with mode Passthrough",
            );
        }
        _ => {
            let hint = "use HTTP, HTTPS, TLS or TCP";
            return left_out(format_args!("the protocol of the listener is not known"), hint);
        }
    };
    fields.finish();
    let (certificates, locations) = certificates.into_iter().unzip();
    let listener = Listener {
        name: Arc::from(name?),
        port: port?,
        protocol,
        hostname: match host {
            Some(host) => Some(host?),
            None => None,
        },
        certificates,
        allowed,
        proxy_protocol: false,
        origin: context.origin(item.at()),
    };
    Some((listener, locations))
}

/// Whether TLS goes on to the backends; nothing else has a meaning then.
fn passes_through(tls: &Value<'_>) -> bool {
    let Some(fields) = tls.fields() else { return false };
    let passes = fields.choice("mode") == Some("Passthrough");
    if passes {
        let _without_effect = (fields.value("frontendValidation"), fields.items("certificateRefs"));
        fields.finish();
    }
    passes
}

type Certificate = ((Arc<str>, Arc<str>), Location);

/// The certificates of an HTTPS listener; `None` if it cannot be served as written.
fn certificates(
    tls: Option<&Value<'_>>,
    item: &Value<'_>,
    context: &Context<'_>,
) -> Option<Vec<Certificate>> {
    let Some(tls) = tls else {
        item.report_with(codes::REQUIRED, "tls is missing", "name a secret in tls.certificateRefs");
        return None;
    };
    certificates_of(tls, context)
}

fn certificates_of(tls: &Value<'_>, context: &Context<'_>) -> Option<Vec<Certificate>> {
    let fields = tls.fields()?;
    let mode = fields.choice("mode").unwrap_or("Terminate");
    let validation = fields.value("frontendValidation");
    let refs = fields.items("certificateRefs");
    fields.finish();
    if let Some(validation) = validation {
        let message = "client certificates at gateways are not supported yet";
        validation.report_with(codes::LEFT_OUT, message, "remove it to serve without client certificates");
        return None;
    }
    if mode == "Passthrough" {
        let message = "requests cannot be read from TLS that is passed through";
        tls.report_with(codes::LEFT_OUT, message, "use mode Terminate, or the protocol TLS");
        return None;
    }
    if refs.is_empty() {
        tls.report_with(
            codes::REQUIRED,
            "certificateRefs is missing",
            "name a secret of type kubernetes.io/tls",
        );
        return None;
    }
    Some(refs.iter().filter_map(|value| certificate_ref(value, context)).collect())
}

fn certificate_ref(value: &Value<'_>, context: &Context<'_>) -> Option<Certificate> {
    let fields = value.fields()?;
    let group = fields.text("group").unwrap_or_default();
    let kind = fields.text("kind").unwrap_or("Secret");
    let name = fields.required("name").and_then(|name| name.text());
    let namespace = fields.text("namespace").filter(|namespace| !namespace.is_empty());
    fields.finish();
    if !matches!(group, "" | "core") || kind != "Secret" {
        value.report_with(
            codes::LEFT_OUT,
            format_args!("a {kind} is not a certificate"),
            "refer to a Secret",
        );
        return None;
    }
    let namespace = namespace.map_or_else(|| context.namespace().clone(), Arc::from);
    Some(((namespace, Arc::from(name?)), value.at().in_file(context.findings.file())))
}

fn allowed_routes(listener: &Fields<'_>) -> AllowedRoutes {
    let Some(fields) = listener.object("allowedRoutes") else { return AllowedRoutes::Same };
    let namespaces = fields.object("namespaces");
    let kinds = fields.items("kinds");
    fields.finish();
    let allowed = match namespaces {
        Some(namespaces) => allowed_namespaces(namespaces),
        None => AllowedRoutes::Same,
    };
    let takes_some = |kind: &Value<'_>| {
        let Some(fields) = kind.fields() else { return false };
        let group = fields.text("group").unwrap_or(GROUP);
        let name = fields.required("kind").and_then(|kind| kind.text());
        fields.finish();
        group == GROUP && matches!(name, Some("HTTPRoute" | "TLSRoute" | "TCPRoute"))
    };
    let any = kinds.iter().fold(kinds.is_empty(), |any, kind| takes_some(kind) | any);
    if any { allowed } else { nobody() }
}

fn allowed_namespaces(namespaces: Fields<'_>) -> AllowedRoutes {
    let from = namespaces.choice("from").unwrap_or("Same");
    let selector = namespaces.object("selector").map(|selector| {
        let labels = selector.labels("matchLabels");
        let expressions = selector.value("matchExpressions");
        selector.finish();
        (labels, expressions)
    });
    namespaces.finish();
    match (from, selector) {
        ("All", _) => AllowedRoutes::All,
        ("Same", _) => AllowedRoutes::Same,
        ("Selector", Some((labels, None))) => AllowedRoutes::Selector(labels),
        ("Selector", Some((_, Some(expressions)))) => {
            let message = "expressions are not supported yet, so no route may attach";
            expressions.report_with(codes::LEFT_OUT, message, "use matchLabels");
            nobody()
        }
        _ => nobody(),
    }
}

/// No namespace at all: none has a label without a name.
fn nobody() -> AllowedRoutes {
    AllowedRoutes::Selector(Labels::from_iter([("", "")]))
}
