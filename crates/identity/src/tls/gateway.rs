//! TLS for a gateway's clients: certificates chosen by server name, replaced while serving.
//!
//! A name finds its certificates under its own pattern first, then under the longest wildcard that covers it, then
//! under `*`. Without a match the handshake fails: a gateway never shows a certificate meant for others.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoClientAuth, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;

use super::mesh::without_resumption;
use super::roots::Roots;
use super::{Options, Version, outside_provider};
use crate::alpn;
use crate::credential::Credential;
use crate::error::Error;
use crate::limits::MAX_CERTIFICATES_PER_NAME;

/// The certificates that a listener shows, by server name. Share it by `Arc`; choosing takes no lock.
#[derive(Debug, Default)]
pub struct Certificates(ArcSwap<Table>);

#[derive(Debug, Default)]
struct Table {
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// By what follows the `*.`; the empty key is `*`.
    wildcard: HashMap<String, Vec<Arc<CertifiedKey>>>,
}

impl Certificates {
    /// Replaces all certificates at once. A pattern is a DNS name, `*.` with one (covering any number of labels before
    /// it), or `*`, which also serves clients that name nobody. Several certificates under one pattern must differ in
    /// key type or names: the first that the client can verify and that bears the name is shown.
    ///
    /// # Errors
    /// [`Error::ServerName`] or [`Error::TooMany`]; then nothing changed.
    pub fn replace(&self, entries: impl IntoIterator<Item = (String, Credential)>) -> Result<(), Error> {
        let mut table = Table::default();
        for (pattern, credential) in entries {
            table.insert(&pattern, &credential)?;
        }
        self.0.store(Arc::new(table));
        Ok(())
    }
}

impl Table {
    fn insert(&mut self, pattern: &str, credential: &Credential) -> Result<(), Error> {
        let lower = pattern.to_ascii_lowercase();
        let (map, name) = match lower.strip_prefix("*.") {
            _ if lower == "*" => (&mut self.wildcard, ""),
            Some(parent) => (&mut self.wildcard, parent),
            None => (&mut self.exact, lower.as_str()),
        };
        if !name.is_empty() && !matches!(super::outside::server_name(name)?, ServerName::DnsName(_)) {
            return Err(Error::ServerName { name: pattern.to_owned() });
        }
        let certificates = map.entry(name.to_owned()).or_default();
        if certificates.len() == MAX_CERTIFICATES_PER_NAME {
            let subject = pattern.to_owned();
            return Err(Error::TooMany { subject, what: "certificates", limit: MAX_CERTIFICATES_PER_NAME });
        }
        certificates.push(Arc::new(credential.certified()));
        Ok(())
    }

    fn find(&self, name: Option<&str>) -> Option<&[Arc<CertifiedKey>]> {
        let Some(name) = name else { return self.wildcard.get("").map(Vec::as_slice) };
        let mut found = self.exact.get(name);
        let mut rest = name;
        while found.is_none() && !rest.is_empty() {
            rest = rest.split_once('.').map_or("", |(_label, parent)| parent);
            found = self.wildcard.get(rest);
        }
        found.map(Vec::as_slice)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let table = self.0.load();
        let candidates = table.find(name.as_deref())?;
        let server_name = name.and_then(|name| ServerName::try_from(name).ok());
        let verifiable =
            |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let named = |key: &&Arc<CertifiedKey>| {
            server_name.as_ref().is_some_and(|name| bears(key, name)) && verifiable(key)
        };
        candidates.iter().find(named).or_else(|| candidates.iter().find(verifiable)).cloned()
    }
}

fn bears(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let leaf = key.end_entity_cert().ok().and_then(|der| ParsedCertificate::try_from(der).ok());
    leaf.is_some_and(|leaf| verify_server_name(&leaf, name).is_ok())
}

/// Whom a gateway asks for a certificate.
#[derive(Clone, Debug)]
pub enum Clients {
    /// Nobody (SIMPLE).
    Anonymous,
    /// Everybody may show one, which must then lead to one of these authorities (OPTIONAL_MUTUAL).
    Optional(Roots),
    /// Everybody must (MUTUAL).
    Required(Roots),
}

/// The configuration of one listener.
///
/// # Errors
/// [`Error::TlsConfiguration`].
pub fn server_config(
    certificates: Arc<Certificates>,
    clients: &Clients,
    protocols: &[&[u8]],
    oldest: Version,
    options: &Options,
) -> Result<ServerConfig, Error> {
    let failed = |source| Error::TlsConfiguration { subject: "a gateway listener".to_owned(), source };
    let mut config = ServerConfig::builder_with_details(outside_provider(), Arc::clone(&options.clock))
        .with_protocol_versions(oldest.and_newer())
        .map_err(failed)?
        .with_client_cert_verifier(client_verifier(clients)?)
        .with_cert_resolver(certificates);
    config.alpn_protocols = alpn::owned(protocols);
    config.key_log = Arc::clone(&options.key_log);
    without_resumption(&mut config);
    Ok(config)
}

fn client_verifier(clients: &Clients) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let (roots, optional) = match clients {
        Clients::Anonymous => return Ok(Arc::new(NoClientAuth)),
        Clients::Optional(roots) => (roots, true),
        Clients::Required(roots) => (roots, false),
    };
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots.store()), outside_provider());
    let builder = if optional { builder.allow_unauthenticated() } else { builder };
    builder.build().map_err(|error| Error::TlsConfiguration {
        subject: "a gateway's client authorities".to_owned(),
        source: rustls::Error::General(error.to_string()),
    })
}
