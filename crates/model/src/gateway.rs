//! Gateways: listeners for traffic from outside the mesh.

use std::sync::Arc;

use crate::labels::Labels;
use crate::name::Host;
use crate::span::Origin;

/// A Gateway API gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// The service account that its proxies run as.
    pub service_account: Arc<str>,
    /// Its labels, for policies that select by them.
    pub labels: Labels,
    /// Its listeners, in listed order.
    pub listeners: Vec<Listener>,
    /// The object.
    pub origin: Origin,
}

/// What a gateway's listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListenerProtocol {
    /// HTTP/1.x and HTTP/2 with prior knowledge, in plaintext.
    Http,
    /// HTTP over TLS, ended here.
    Https,
    /// TLS that isn't ended here: it is passed on by the name that it asks for.
    Tls,
    /// Bytes.
    Tcp,
}

/// One listener of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name, unique in the gateway (`sectionName` of routes).
    pub name: Arc<str>,
    /// The port.
    pub port: u16,
    /// What it speaks.
    pub protocol: ListenerProtocol,
    /// The hosts it serves; `None` is all.
    pub hostname: Option<Host>,
    /// Secrets that hold its certificates, by namespace and name.
    pub certificates: Vec<(Arc<str>, Arc<str>)>,
    /// Which namespaces' routes may attach.
    pub allowed: AllowedRoutes,
    /// Whether connections begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// The text it comes from.
    pub origin: Origin,
}

/// Which namespaces' routes may attach to a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AllowedRoutes {
    /// Those of the gateway's own namespace.
    #[default]
    Same,
    /// All.
    All,
    /// Those of namespaces with these labels.
    Selector(Labels),
}
