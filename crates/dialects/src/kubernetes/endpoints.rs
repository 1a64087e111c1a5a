//! EndpointSlice: endpoints of a service that are written down by hand.

use std::sync::Arc;

use crate::address;
use crate::codes;
use crate::envelope::{API_VERSION, Context, KIND, META};
use crate::kinds::Kind;
use crate::object::{EndpointAddress, Endpoints, Object};
use crate::table::{Field, Shape};
use crate::yaml::{Fields, Value};

/// An EndpointSlice.
pub(crate) static ENDPOINT_SLICE: Kind = Kind {
    group: "discovery.k8s.io",
    name: "EndpointSlice",
    versions: &["v1"],
    namespaced: true,
    shape: Shape::Object(&[
        API_VERSION,
        KIND,
        META,
        Field::choice("addressType", &["IPv4", "IPv6", "FQDN"]),
        Field::list("endpoints", &Shape::Object(ENDPOINT)),
        Field::list("ports", &Shape::Object(PORT)),
    ]),
    annotations: &[],
    protects: false,
    read,
};

const ENDPOINT: &[Field] = &[
    Field::texts("addresses"),
    Field::object("conditions", CONDITIONS),
    Field::text("hostname"),
    Field::any("deprecatedTopology").irrelevant(),
    Field::any("hints").irrelevant(),
    Field::any("nodeName").irrelevant(),
    Field::any("targetRef").irrelevant(),
    Field::any("zone").irrelevant(),
];

const CONDITIONS: &[Field] =
    &[Field::boolean("ready"), Field::any("serving").irrelevant(), Field::any("terminating").irrelevant()];

const PORT: &[Field] = &[
    Field::text("name"),
    Field::integer("port"),
    Field::choice("protocol", &["TCP", "UDP", "SCTP"]),
    Field::any("appProtocol").irrelevant(),
];

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// The controller that writes slices for services with selectors, whose workloads are known anyway.
const SELECTOR_CONTROLLER: &str = "endpointslice-controller.k8s.io";

fn read(context: &Context<'_>, fields: &Fields<'_>) -> Option<Object> {
    let address_type = fields.required("addressType")?;
    if address_type.choice() == Some("FQDN") {
        let message = "endpoints by name are not supported";
        address_type.report_with(codes::UNSUPPORTED, message, "use a Service of type ExternalName");
        return None;
    }
    let addresses = fields.items("endpoints").iter().filter_map(endpoint).flatten().collect();
    let ports = fields.items("ports").iter().filter_map(port).collect();
    let Some(service) = context.labels.value(SERVICE_NAME) else {
        let message = format_args!("the slice has no label {SERVICE_NAME}");
        context.findings.report(codes::ORPHANED_ENDPOINTS, context.at, message);
        return Some(Object::Inert);
    };
    if context.labels.value(MANAGED_BY) == Some(SELECTOR_CONTROLLER) {
        return Some(Object::Inert);
    }
    Some(Object::Endpoints(Endpoints {
        namespace: context.namespace().clone(),
        service: service.into(),
        ports,
        addresses,
    }))
}

fn endpoint(item: &Value<'_>) -> Option<Vec<EndpointAddress>> {
    let fields = item.fields()?;
    let conditions = fields.object("conditions");
    let ready = conditions.as_ref().and_then(|conditions| conditions.boolean("ready")).unwrap_or(true);
    if let Some(conditions) = conditions {
        conditions.finish();
    }
    let hostname: Option<Arc<str>> = fields.text("hostname").map(Into::into);
    let addresses = fields.items("addresses");
    fields.finish();
    let address = |value: &Value<'_>| -> Option<EndpointAddress> {
        let ip = address::ip(value)?;
        Some(EndpointAddress { ip, ready, hostname: hostname.clone() })
    };
    Some(addresses.iter().filter_map(address).collect())
}

fn port(item: &Value<'_>) -> Option<(Arc<str>, u16)> {
    let fields = item.fields()?;
    let name = fields.text("name").unwrap_or_default();
    let number = fields.required("port").and_then(|port| port.port());
    let transport = fields.choice("protocol").unwrap_or("TCP");
    fields.finish();
    (transport == "TCP").then_some((name.into(), number?))
}
