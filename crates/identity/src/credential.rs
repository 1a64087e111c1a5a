//! A certificate chain with its private key, whatever the certificate says.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::key::KeyPair;
use crate::limits::MAX_CHAIN;
use crate::pem;

/// A chain (leaf first) and the leaf's key. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Credential {
    chain: Arc<[CertificateDer<'static>]>,
    key: KeyPair,
}

impl Credential {
    /// Joins a chain and the key of its leaf. `subject` says in errors where they came from.
    ///
    /// # Errors
    /// [`Error::TooMany`], [`Error::MalformedCertificate`] (also for an empty chain) or [`Error::KeyMismatch`].
    pub fn new(chain: Vec<CertificateDer<'static>>, key: KeyPair, subject: &str) -> Result<Self, Error> {
        if chain.len() > MAX_CHAIN {
            let subject = subject.to_owned();
            return Err(Error::TooMany { subject, what: "certificates in a chain", limit: MAX_CHAIN });
        }
        let malformed = || Error::MalformedCertificate { subject: subject.to_owned() };
        for certificate in &chain {
            crate::svid::parse(certificate).map_err(|_violation| malformed())?;
        }
        let leaf =
            crate::svid::parse(chain.first().ok_or_else(malformed)?).map_err(|_violation| malformed())?;
        if leaf.public_key().raw != key.public_key() {
            return Err(Error::KeyMismatch { subject: subject.to_owned() });
        }
        Ok(Self { chain: chain.into(), key })
    }

    /// Reads chain and key from PEM texts; they may be the same.
    ///
    /// # Errors
    /// As [`Credential::new`], [`Error::Pem`] and [`Error::UnusableKey`].
    pub fn from_pem(chain: &[u8], key: &[u8], subject: &str) -> Result<Self, Error> {
        Self::new(pem::certificates(chain, subject)?, KeyPair::from_pem(key, subject)?, subject)
    }

    /// Reads chain and key from PEM files; they may be the same.
    ///
    /// # Errors
    /// As [`Credential::from_pem`], and [`Error::File`].
    pub fn load(chain: &Path, key: &Path) -> Result<Self, Error> {
        let subject = chain.display().to_string();
        Self::new(pem::certificates(&pem::read(chain)?, &subject)?, KeyPair::load(key)?, &subject)
    }

    /// The certificates, leaf first.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The leaf's key.
    #[must_use]
    pub fn key(&self) -> &KeyPair {
        &self.key
    }

    /// The chain as PEM.
    #[must_use]
    pub fn chain_pem(&self) -> String {
        pem::certificates_text(self.chain.iter())
    }

    /// The key as PEM, wiped when dropped; see [`KeyPair::to_pem`].
    #[must_use]
    pub fn key_pem(&self) -> Zeroizing<String> {
        self.key.to_pem()
    }

    /// The form that rustls presents.
    #[must_use]
    pub fn certified(&self) -> CertifiedKey {
        CertifiedKey::new(self.chain.to_vec(), self.key.signer())
    }
}
