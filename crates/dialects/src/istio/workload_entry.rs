//! WorkloadEntry: a workload that no platform knows.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use leno_model::labels::Labels;
use leno_model::name::WorkloadName;
use leno_model::service::{Address, Locality, Transport, Workload};
use leno_model::spiffe::SpiffeId;

use crate::codes;
use crate::envelope::{API_VERSION, Context, KIND, META, STATUS};
use crate::kinds::Kind;
use crate::object::Object;
use crate::table::{Field, Shape};
use crate::yaml::{Fields, Value};

/// A workload.
pub(crate) static WORKLOAD_ENTRY: Kind = Kind {
    group: "networking.istio.io",
    name: "WorkloadEntry",
    versions: &["v1", "v1beta1", "v1alpha3"],
    namespaced: true,
    shape: Shape::Object(&[API_VERSION, KIND, META, Field::object("spec", SPEC), STATUS]),
    annotations: &[Field::text(ADDRESS)],
    protects: false,
    read,
};

const SPEC: &[Field] = &[
    Field::text("address"),
    Field::map("ports", &Shape::Integer),
    Field::labels("labels"),
    Field::text("network"),
    Field::text("locality"),
    Field::integer("weight"),
    Field::text("serviceAccount"),
];

/// How the workload is reached: `native` (leno/1) or `none` (plaintext).
const TRANSPORT: &str = "leno.dev/transport";
/// Istio's label for workloads that are reached by HBONE, with the value `http`.
const TUNNEL: &str = "networking.istio.io/tunnel";
/// Istio's label for workloads with a classic sidecar, with the value `istio`.
const TLS_MODE: &str = "security.istio.io/tlsMode";
/// Where the workload's proxy listens, if not on port 15008 of its address: `<ip>:<port>` or `unix:<path>`.
const ADDRESS: &str = "leno.dev/address";
/// Where proxies listen for HBONE and leno/1.
const TUNNEL_PORT: u16 = 15008;

fn read(context: &Context<'_>, fields: &Fields<'_>) -> Option<Object> {
    let spec = fields.required("spec")?.fields()?;
    let ip = spec.required("address").and_then(|address| ip(&address));
    let named_ports = spec.value("ports").map(|ports| named_ports(&ports)).unwrap_or_default();
    let mut labels = context.labels.clone();
    labels.0.extend(spec.labels("labels").0);
    let account = spec.value("serviceAccount");
    let service_account: Arc<str> =
        account.as_ref().and_then(Value::text).filter(|name| !name.is_empty()).unwrap_or("default").into();
    let identity =
        SpiffeId::for_service_account(&context.options.trust_domain, context.namespace(), &service_account);
    let network = spec.text("network").unwrap_or_default().into();
    let locality = locality(spec.text("locality").unwrap_or_default());
    let weight = spec.value("weight").and_then(|weight| weight.unsigned()).unwrap_or(1).max(1);
    spec.finish();
    let identity = match (identity, account) {
        (Ok(identity), _) => Some(identity),
        (Err(error), Some(account)) => {
            account.invalid(
                format_args!("is not a service account ({error})"),
                "use a name as Kubernetes has it",
            );
            None
        }
        (Err(error), None) => {
            context.findings.report(codes::NAME, context.at, error);
            None
        }
    };
    Some(Object::Workload(Arc::new(Workload {
        name: WorkloadName { namespace: context.namespace().clone(), name: context.name().clone() },
        identity: identity?,
        service_account,
        transport: transport(context, &labels, ip?)?,
        labels,
        owner: context.name().clone(),
        addresses: vec![ip?],
        named_ports,
        weight,
        locality,
        network,
        cluster: context.options.cluster.clone(),
        ready: true,
        origin: context.origin(context.at),
    })))
}

fn ip(address: &Value<'_>) -> Option<IpAddr> {
    let text = address.text()?;
    let ip = text.parse().ok();
    if ip.is_none() {
        let message =
            format_args!("{} is not an IP address, and Leno reaches workloads by no other", address.shown());
        address.report_with(codes::UNSUPPORTED, message, "write the workload's IP address");
    }
    ip
}

fn named_ports(ports: &Value<'_>) -> Vec<(Arc<str>, u16)> {
    let port = |(entry, value): (&crate::yaml::Entry, Value<'_>)| Some((entry.key.clone(), value.port()?));
    ports.entries().into_iter().filter_map(port).collect()
}

fn locality(text: &str) -> Locality {
    let mut parts = text.splitn(3, '/').map(Arc::from);
    let mut next = || parts.next().unwrap_or_else(|| "".into());
    Locality { region: next(), zone: next(), subzone: next() }
}

fn transport(context: &Context<'_>, labels: &Labels, ip: IpAddr) -> Option<Transport> {
    let address = match context.annotation(ADDRESS) {
        Some(value) => proxy_address(value)?,
        None => Address::Tcp(SocketAddr::new(ip, TUNNEL_PORT)),
    };
    match (labels.value(TRANSPORT), labels.value(TUNNEL), labels.value(TLS_MODE)) {
        (Some("native"), _, _) => Some(Transport::Native(address)),
        (Some("none"), _, _) => Some(Transport::Plain),
        (Some(other), _, _) => {
            context.findings.report_with(
                codes::INVALID_VALUE,
                context.at,
                format_args!("the label {TRANSPORT} has the unknown value {other:?}"),
                "write native or none",
            );
            None
        }
        (None, Some("http"), _) => Some(Transport::Hbone(address)),
        (None, _, Some("istio")) => Some(Transport::IstioMtls),
        (None, _, _) => Some(Transport::Plain),
    }
}

fn proxy_address(value: &Value<'_>) -> Option<Address> {
    let text = value.text()?;
    let address = match text.strip_prefix("unix:") {
        Some(path) => path.starts_with('/').then(|| Address::Unix(PathBuf::from(path))),
        None => text.parse().ok().map(Address::Tcp),
    };
    if address.is_none() {
        value.invalid("is not an address", "write <ip>:<port> or unix:<absolute path>");
    }
    address
}
