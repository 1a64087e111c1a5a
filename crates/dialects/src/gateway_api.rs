//! The Kubernetes Gateway API, for gateways and (GAMMA) for the mesh.

mod gateway;
mod http_route;
mod reference_grant;
mod stream_route;

pub(crate) use gateway::GATEWAY;
pub(crate) use http_route::HTTP_ROUTE;
pub(crate) use reference_grant::REFERENCE_GRANT;
pub(crate) use stream_route::{TCP_ROUTE, TLS_ROUTE};

use leno_model::name::Host;

use crate::yaml::Value;

/// The API's group.
pub(crate) const GROUP: &str = "gateway.networking.k8s.io";

/// A `hostname`: a DNS name that may begin with a `*.` label; neither an address nor `*` alone.
fn hostname(value: &Value<'_>) -> Option<Host> {
    let host: Host = value.parse()?;
    if host.as_str() == "*" || host.as_str().parse::<std::net::IpAddr>().is_ok() {
        value.invalid("is not a DNS name", "write a name such as example.com or *.example.com");
        return None;
    }
    Some(host)
}
