//! TLS of the control plane's own TCP listeners: it shows an SVID that it signs itself, and renews it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use leno_identity::ca::Order;
use leno_identity::request::SigningRequest;
use leno_identity::tls::Options;
use leno_identity::tls::mesh::ClientAuth;
use leno_identity::tls::peer::Peer;
use leno_identity::{Bundles, Error, Identities, KeyPair, Svid, alpn};
use leno_model::spiffe::SpiffeId;
use leno_wire::transport::ServerTls;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;

use super::Authority;

/// The service account that the control plane has in the root namespace.
pub const SERVICE_ACCOUNT: &str = "leno-control";

/// The control plane's own identity.
pub struct OwnTls {
    id: SpiffeId,
    identities: Identities,
    renew_after: f64,
    /// The configuration of an epoch, since making one is a copy.
    made: Mutex<(u64, Arc<ServerConfig>)>,
}

impl OwnTls {
    /// Signs the first certificate. `renew_after` is the share of a certificate's life after which the next one is due.
    ///
    /// # Errors
    /// When nobody signs, or it fails.
    pub async fn new(authority: &Authority, id: SpiffeId, renew_after: f64) -> Result<Self, Error> {
        let identities = Identities::new(Options::default());
        renew(authority, &id, &identities).await?;
        let current = identities.current().ok_or(Error::NoPeerIdentity)?;
        let config = current.server_for(ClientAuth::Optional, &[alpn::H2]);
        Ok(Self { id, identities, renew_after, made: Mutex::new((current.epoch(), config)) })
    }

    /// Signs the next certificate, and takes over the roots that hold now.
    ///
    /// # Errors
    /// When it fails; the last certificate stays in use.
    pub async fn renew(&self, authority: &Authority) -> Result<(), Error> {
        renew(authority, &self.id, &self.identities).await
    }

    /// How long the certificate need not be renewed.
    #[must_use]
    pub fn rest(&self) -> Duration {
        let Some(current) = self.identities.current() else { return Duration::ZERO };
        let (from, to) = (current.svid().not_before(), current.svid().not_after());
        let life = to.duration_since(from).unwrap_or_default();
        let due = from + life.mul_f64(self.renew_after.clamp(0.0, 1.0));
        due.duration_since(SystemTime::now()).unwrap_or_default()
    }
}

async fn renew(authority: &Authority, id: &SpiffeId, identities: &Identities) -> Result<(), Error> {
    let Some(ca) = authority.ca() else {
        return Err(Error::NotOurs { trust_domain: authority.trust_domain.to_string(), id: id.clone() });
    };
    let key = KeyPair::generate()?;
    let der = SigningRequest::make(&key)?;
    let request = SigningRequest::verify(&der)
        .map_err(|_own_request| Error::Crypto { operation: "make a signing request" })?;
    let order = Order { id: id.clone(), request, lifetime: authority.lifetime };
    let issued = ca.issue(&order, SystemTime::now()).await?;
    let bundles = Bundles::new([ca.bundle()?])?;
    identities.install(Svid::new(issued.chain, key)?, Arc::new(bundles)).map(drop)
}

impl ServerTls for OwnTls {
    fn config(&self) -> Arc<ServerConfig> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(current) = self.identities.current().filter(|current| current.epoch() != made.0) {
            *made = (current.epoch(), current.server_for(ClientAuth::Optional, &[alpn::H2]));
        }
        Arc::clone(&made.1)
    }

    fn identify(&self, chain: &[CertificateDer<'_>]) -> Result<SpiffeId, String> {
        Peer::of(Some(chain)).map(|peer| peer.id).map_err(|error| super::error_chain(&error))
    }
}
