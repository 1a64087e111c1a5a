//! Service.

use std::net::IpAddr;
use std::sync::Arc;

use leno_model::name::Host;
use leno_model::service::{Protocol, Service, ServicePort, TargetPort};

use super::protocol;
use crate::address;
use crate::codes;
use crate::envelope::{API_VERSION, Context, KIND, META, STATUS};
use crate::kinds::Kind;
use crate::object::{Object, ServiceObject};
use crate::table::{Field, Shape};
use crate::yaml::{Fields, Kind as NodeKind, Value};

/// A service.
pub(crate) static SERVICE: Kind = Kind {
    group: "",
    name: "Service",
    versions: &["v1"],
    namespaced: true,
    shape: Shape::Object(&[API_VERSION, KIND, META, Field::object("spec", SPEC), STATUS]),
    annotations: &[
        Field::text("networking.istio.io/exportTo").not_in_effect("every namespace sees every service"),
        Field::text("networking.istio.io/traffic-distribution")
            .not_in_effect("endpoints are not preferred by where they run"),
    ],
    protects: false,
    read,
};

const SPEC: &[Field] = &[
    Field::choice("type", &["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]),
    Field::text("clusterIP"),
    Field::texts("clusterIPs"),
    Field::list("ports", &Shape::Object(PORT)),
    Field::labels("selector"),
    Field::text("externalName"),
    Field::boolean("publishNotReadyAddresses")
        .not_in_effect("endpoints that are not ready get no traffic")
        .unless("false"),
    Field::texts("externalIPs").not_in_effect("the service is not reached by these addresses"),
    Field::choice("sessionAffinity", &["None", "ClientIP"])
        .not_in_effect("requests of one client go to any endpoint")
        .unless("None"),
    Field::any("sessionAffinityConfig").irrelevant(),
    Field::choice("internalTrafficPolicy", &["Cluster", "Local"])
        .not_in_effect("endpoints on every node are used")
        .unless("Cluster"),
    Field::text("trafficDistribution").not_in_effect("endpoints are not preferred by where they run"),
    Field::any("allocateLoadBalancerNodePorts").irrelevant(),
    Field::any("externalTrafficPolicy").irrelevant(),
    Field::any("healthCheckNodePort").irrelevant(),
    Field::any("ipFamilies").irrelevant(),
    Field::any("ipFamilyPolicy").irrelevant(),
    Field::any("loadBalancerClass").irrelevant(),
    Field::any("loadBalancerIP").irrelevant(),
    Field::any("loadBalancerSourceRanges").irrelevant(),
];

const PORT: &[Field] = &[
    Field::text("name"),
    Field::integer("port"),
    Field::new("targetPort", Shape::IntOrText),
    Field::choice("protocol", &["TCP", "UDP", "SCTP"]),
    Field::text("appProtocol"),
    Field::any("nodePort").irrelevant(),
];

fn read(context: &Context<'_>, fields: &Fields<'_>) -> Option<Object> {
    let spec = fields.required("spec")?.fields()?;
    let host = service_host(context)?;
    let kind = spec.choice("type").unwrap_or("ClusterIP");
    let external_name = external_name(&spec, kind == "ExternalName");
    let addresses = addresses(&spec);
    let ports = ports(&spec);
    let selector = Some(spec.labels("selector")).filter(|labels| !labels.0.is_empty());
    let is_external = external_name.is_some();
    let is_headless = matches!(addresses, Addresses::Headless);
    if spec.items("ports").is_empty() && kind != "ExternalName" && !is_headless {
        spec.findings().report(codes::REQUIRED, spec.at(), "spec.ports is missing");
    }
    spec.finish();
    Some(Object::Service(ServiceObject {
        wants_vip: !is_external && matches!(addresses, Addresses::Unassigned),
        service: Service {
            host,
            namespace: context.namespace().clone(),
            name: context.name().clone(),
            vips: match addresses {
                Addresses::Given(vips) if !is_external => vips,
                Addresses::Given(_) | Addresses::Unassigned | Addresses::Headless => Vec::new(),
            },
            ports,
            selector: selector.filter(|_| !is_external),
            fixed: Vec::new(),
            external: is_external,
            external_name,
            origin: context.origin(context.at),
        },
    }))
}

fn service_host(context: &Context<'_>) -> Option<Host> {
    let host = Host::for_service(context.name(), context.namespace(), &context.options.cluster_domain);
    host.map_err(|error| context.findings.report(codes::NAME, context.at, error)).ok()
}

fn external_name(spec: &Fields<'_>, wanted: bool) -> Option<Host> {
    if !wanted {
        if let Some(value) = spec.value("externalName") {
            value.invalid("is given, but the service's type is not ExternalName", "remove it");
        }
        return None;
    }
    let value = spec.required("externalName")?;
    let host: Host = value.parse()?;
    if host.is_wildcard() || host.as_str().parse::<IpAddr>().is_ok() {
        value.invalid(
            "is not a host name",
            "for an address, use a Service without selector and an EndpointSlice",
        );
        return None;
    }
    Some(host)
}

enum Addresses {
    Headless,
    Unassigned,
    Given(Vec<IpAddr>),
}

fn addresses(spec: &Fields<'_>) -> Addresses {
    let mut given: Vec<IpAddr> = Vec::new();
    let first = spec.value("clusterIP").into_iter();
    for value in first.chain(spec.items("clusterIPs")) {
        match value.text() {
            Some("None") => return Addresses::Headless,
            Some("") | None => {}
            Some(_) => given.extend(address::ip(&value)),
        }
    }
    let mut seen = Vec::new();
    given.retain(|ip| {
        !seen.contains(ip) && {
            seen.push(*ip);
            true
        }
    });
    if given.is_empty() { Addresses::Unassigned } else { Addresses::Given(given) }
}

fn ports(spec: &Fields<'_>) -> Vec<ServicePort> {
    let items = spec.items("ports");
    let mut ports: Vec<ServicePort> = Vec::new();
    for item in &items {
        let Some(port) = port(item, items.len() > 1) else { continue };
        if let Some(twin) = ports.iter().find(|twin| twin.port == port.port || *twin.name == *port.name) {
            let message = format_args!("port {} ({}) is already there", twin.port, twin.name);
            item.report_with(codes::INVALID_VALUE, message, "give each port its own number and name");
            continue;
        }
        ports.push(port);
    }
    ports.sort_by_key(|port| port.port);
    ports
}

fn port(item: &Value<'_>, name_required: bool) -> Option<ServicePort> {
    let fields = item.fields()?;
    let number = fields.required("port").and_then(|port| port.port());
    let name = if name_required { fields.required("name") } else { fields.value("name") };
    let name = name.and_then(|name| name.text()).unwrap_or_default();
    let app_protocol = fields.text("appProtocol");
    let transport = fields.choice("protocol").unwrap_or("TCP");
    let target = fields.value("targetPort").map(|value| target(&value));
    fields.finish();
    let port = number?;
    let target = match target {
        Some(target) => target?,
        None => TargetPort::Number(port),
    };
    if transport != "TCP" || app_protocol == Some("udp") {
        item.report(codes::NOT_TCP, format_args!("port {port} is not TCP"));
        return None;
    }
    let protocol = protocol::declared(port, name, app_protocol);
    if protocol == Protocol::Auto && !name.is_empty() {
        item.report(
            codes::UNDECLARED_PORT,
            format_args!("the name of port {port} (`{name}`) does not say its protocol"),
        );
    }
    Some(ServicePort { port, name: Arc::from(name), protocol, target })
}

fn target(value: &Value<'_>) -> Option<TargetPort> {
    match &value.node().kind {
        NodeKind::Scalar(scalar) if matches!(scalar.resolve(), crate::yaml::Resolved::Text(_)) => {
            let name = value.text()?;
            if name.is_empty() || name.len() > 15 {
                value.invalid("is not the name of a port", "a port's name has 1 to 15 characters");
                return None;
            }
            Some(TargetPort::Name(name.into()))
        }
        _ => value.port().map(TargetPort::Number),
    }
}
