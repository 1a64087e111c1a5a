//! The certificates that a gateway's listeners show, and those that they ask for.
//!
//! Listeners of one port that ask for client certificates of different roots, or only some of them for any, have
//! configurations of their own: a client that is good enough for one is not let in to another.

use std::sync::Arc;

use leno_engine::vhost::HostMap;
use leno_identity::tls::gateway::{self, Certificates, Clients};
use leno_identity::tls::roots::Roots;
use leno_identity::tls::{Options, Version};
use leno_identity::{Credential, Error, alpn};
use leno_model::name::Host;
use leno_model::unit::ListenerUnit;
use rustls::ServerConfig;

/// Whose certificates clients must show: roots as PEM; `None` asks for none. What differs here must not be mixed up.
pub(crate) type Asked = Option<Arc<str>>;

/// TLS on one port.
#[derive(Debug, Default)]
pub struct PortTls {
    /// By the name that a client asks for.
    by_name: HostMap<Arc<ServerConfig>>,
}

impl PortTls {
    /// From all listeners of the port. A bad certificate is left out and told, since it must not take the good ones of
    /// the port with it; a listener whose roots are bad serves nobody.
    pub(crate) fn new(listeners: &[(usize, &ListenerUnit)]) -> Self {
        let mut groups: Vec<(Asked, Vec<&ListenerUnit>)> = Vec::new();
        for (_, listener) in listeners {
            let asked = asked(listener);
            match groups.iter_mut().find(|(known, _)| *known == asked) {
                Some((_, group)) => group.push(listener),
                None => groups.push((asked, vec![listener])),
            }
        }
        let configurations: Vec<_> =
            groups.iter().map(|(asked, group)| (asked, server_config(asked, group))).collect();
        let of = |listener: &ListenerUnit| {
            let asked = asked(listener);
            configurations.iter().find(|(known, _)| **known == asked).and_then(|(_, config)| config.clone())
        };
        let by_name = listeners.iter().filter_map(|(_, listener)| Some((host(listener)?, of(listener)?)));
        Self { by_name: by_name.collect() }
    }

    /// The configuration for a client that asks for this name.
    pub(crate) fn config(&self, name: Option<&str>) -> Option<Arc<ServerConfig>> {
        let name = name.unwrap_or_default().to_ascii_lowercase();
        self.by_name.find(&name).map(|(_, config)| Arc::clone(config))
    }
}

/// The hosts that a listener serves.
pub(crate) fn host(listener: &ListenerUnit) -> Option<Host> {
    listener.hostname.clone().or_else(|| "*".parse().ok())
}

/// Whose certificates a listener asks for.
pub(crate) fn asked(listener: &ListenerUnit) -> Asked {
    let mut roots = listener.certificates.iter().filter_map(|secret| secret.client_roots.clone());
    let first = roots.next()?;
    let rest: Vec<_> = roots.filter(|roots| *roots != first).collect();
    if rest.is_empty() { Some(first) } else { Some(format!("{first}\n{}", rest.join("\n")).into()) }
}

/// The configuration of listeners that ask for the same; `None` where none has a usable certificate.
fn server_config(asked: &Asked, listeners: &[&ListenerUnit]) -> Option<Arc<ServerConfig>> {
    let mut entries = Vec::new();
    for listener in listeners {
        let pattern = listener.hostname.as_ref().map_or("*", |host| host.as_str());
        for secret in &listener.certificates {
            match Credential::from_pem(secret.chain.as_bytes(), secret.key.expose(), &listener.name) {
                Ok(credential) => entries.push((pattern.to_owned(), credential)),
                Err(error) => {
                    tracing::warn!(listener = &*listener.name, %error, "a listener's certificate cannot be used");
                }
            }
        }
    }
    if entries.is_empty() {
        return None;
    }
    let clients = match asked {
        None => Ok(Clients::Anonymous),
        Some(roots) => Roots::from_pem(roots.as_bytes(), "a listener's client roots").map(Clients::Required),
    };
    clients
        .and_then(|clients| build(entries, &clients))
        .inspect_err(|error| tracing::warn!(%error, "a port's certificates cannot be used"))
        .ok()
        .map(Arc::new)
}

fn build(entries: Vec<(String, Credential)>, clients: &Clients) -> Result<ServerConfig, Error> {
    let certificates = Arc::new(Certificates::default());
    certificates.replace(entries)?;
    gateway::server_config(certificates, clients, alpn::HTTP, Version::Tls12, &Options::default())
}
