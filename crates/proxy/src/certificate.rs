//! The certificates that a gateway's listeners show.

use std::sync::Arc;

use leno_identity::tls::gateway::{self, Certificates, Clients};
use leno_identity::tls::roots::Roots;
use leno_identity::tls::{Options, Version};
use leno_identity::{Credential, Error, alpn};
use leno_model::unit::ListenerUnit;
use rustls::ServerConfig;

/// The TLS configuration of one port, from all its listeners; `None` where none has a usable certificate. A bad
/// certificate is left out and told, since it must not take the good ones of the port with it.
pub(crate) fn server_config<'u>(
    listeners: impl Iterator<Item = &'u ListenerUnit>,
) -> Option<Arc<ServerConfig>> {
    let mut entries = Vec::new();
    let mut clients = Clients::Anonymous;
    for listener in listeners {
        let pattern = listener.hostname.as_ref().map_or("*", |host| host.as_str());
        for secret in &listener.certificates {
            match Credential::from_pem(secret.chain.as_bytes(), secret.key.expose(), &listener.name) {
                Ok(credential) => entries.push((pattern.to_owned(), credential)),
                Err(error) => {
                    tracing::warn!(listener = &*listener.name, %error, "a listener's certificate cannot be used");
                }
            }
            if let Some(roots) = &secret.client_roots {
                clients = match Roots::from_pem(roots.as_bytes(), &listener.name) {
                    Ok(roots) => Clients::Required(roots),
                    Err(error) => {
                        tracing::warn!(listener = &*listener.name, %error, "client roots cannot be used");
                        return None;
                    }
                };
            }
        }
    }
    if entries.is_empty() {
        return None;
    }
    build(entries, &clients)
        .inspect_err(|error| tracing::warn!(%error, "a port's certificates cannot be used"))
        .ok()
        .map(Arc::new)
}

fn build(entries: Vec<(String, Credential)>, clients: &Clients) -> Result<ServerConfig, Error> {
    let certificates = Arc::new(Certificates::default());
    certificates.replace(entries)?;
    gateway::server_config(certificates, clients, alpn::HTTP, Version::Tls12, &Options::default())
}
