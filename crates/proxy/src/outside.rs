//! TLS towards servers outside the mesh: configurations made from settings, kept while they are in use.
//!
//! Files are read when a configuration is first made; a changed file is seen when the settings change or the proxy
//! restarts.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use leno_http::server::Protocol;
use leno_identity::credential::Credential;
use leno_identity::error::Error;
use leno_identity::tls::outside::{self, Names, San, Settings, Trust};
use leno_identity::tls::roots::Roots;
use leno_identity::{alpn, tls};
use leno_model::destination::ExternalTls;
use leno_model::failure::Failure;
use leno_model::name::Host;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::limits::OUTSIDE_CONFIGURATIONS;
use crate::upstream::Spoken;

/// A configuration and the name to ask for.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
    /// Differs where the settings differ.
    pub(crate) fingerprint: Arc<str>,
}

/// Configurations by settings.
#[derive(Debug, Default)]
pub struct Outside {
    made: Mutex<HashMap<(ExternalTls, String, bool), Client>>,
}

impl Outside {
    /// The configuration for settings of a destination; made on first use.
    pub(crate) fn client(
        &self,
        settings: &ExternalTls,
        host: &Host,
        spoken: Spoken,
    ) -> Result<Client, Failure> {
        let name = settings.sni.as_deref().unwrap_or(host.as_str());
        let http2 = spoken == Spoken::Http(Protocol::Http2);
        let key = (settings.clone(), name.to_owned(), http2);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = made.get(&key) {
            return Ok(client.clone());
        }
        let client = make(settings, name, spoken).map_err(|error| {
            tracing::warn!(host = host.as_str(), %error, "the destination's TLS settings cannot be used");
            Failure::TlsFailed
        })?;
        if made.len() >= OUTSIDE_CONFIGURATIONS {
            made.clear();
        }
        made.insert(key, client.clone());
        Ok(client)
    }
}

fn make(settings: &ExternalTls, name: &str, spoken: Spoken) -> Result<Client, Error> {
    let trust = if settings.insecure_skip_verify {
        Trust::Unverified
    } else {
        let roots = match &settings.roots {
            Some(path) => Roots::load(Path::new(&**path))?,
            None => Roots::system()?,
        };
        let names = match settings.subject_alt_names.as_slice() {
            [] => Names::Dialled,
            names => Names::AnyOf(names.iter().map(|name| San::Exact(name.to_string())).collect()),
        };
        Trust::Verified(roots, names)
    };
    let credential = match &settings.client {
        Some((chain, key)) => Some(Credential::load(Path::new(&**chain), Path::new(&**key))?),
        None => None,
    };
    let protocols = match spoken {
        Spoken::Http(Protocol::Http1) => vec![alpn::HTTP1.to_vec()],
        Spoken::Http(Protocol::Http2) => vec![alpn::H2.to_vec()],
        Spoken::Opaque => Vec::new(),
    };
    let made = Settings { trust, credential, protocols, oldest: tls::Version::Tls12 };
    Ok(Client {
        config: Arc::new(outside::client_config(&made, &tls::Options::default())?),
        name: outside::server_name(name)?,
        fingerprint: format!("{settings:?} {name}").into(),
    })
}
