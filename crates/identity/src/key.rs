//! Private keys.
//!
//! A [`KeyPair`] is made in the process that uses it or loaded from a file, and leaves it only through
//! [`KeyPair::to_pem`]. It prints as its kind alone, and its bytes are wiped when the last copy is dropped.

mod sign;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;
use zeroize::{Zeroize, Zeroizing};

pub(crate) use sign::CertificateSigner;

use crate::error::Error;
use crate::pem;

/// A private key and its public half. Cheap to clone; copies share the key.
#[derive(Clone)]
pub struct KeyPair {
    signer: Arc<dyn SigningKey>,
    public: Arc<[u8]>,
    secret: Arc<Secret>,
}

/// The key's encoding, wiped when dropped.
struct Secret(PrivateKeyDer<'static>);

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl KeyPair {
    /// Makes a fresh P-256 key.
    ///
    /// # Errors
    /// [`Error::Crypto`] when the system has no randomness.
    pub fn generate() -> Result<Self, Error> {
        let failed = |_unspecified| Error::Crypto { operation: "make a key" };
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(failed)?;
        let pkcs8 = key.to_pkcs8v1().map_err(failed)?;
        let der = PrivatePkcs8KeyDer::from(pkcs8.as_ref().to_vec());
        Self::from_der(der.into(), "a fresh key")
    }

    /// Takes a key in PKCS #8, PKCS #1 or SEC 1 encoding: RSA, ECDSA (P-256, P-384, P-521) or Ed25519. `subject` says
    /// in errors where it came from.
    ///
    /// # Errors
    /// [`Error::UnusableKey`].
    pub fn from_der(der: PrivateKeyDer<'static>, subject: &str) -> Result<Self, Error> {
        let secret = Secret(der);
        let unusable = || Error::UnusableKey { subject: subject.to_owned() };
        let signer = any_supported_type(&secret.0).map_err(|_detail| unusable())?;
        let public = signer.public_key().ok_or_else(unusable)?.as_ref().into();
        Ok(Self { signer, public, secret: Arc::new(secret) })
    }

    /// Reads the one private key of a PEM text; certificates in it are passed over.
    ///
    /// # Errors
    /// [`Error::Pem`] or [`Error::UnusableKey`].
    pub fn from_pem(pem: &[u8], subject: &str) -> Result<Self, Error> {
        Self::from_der(pem::private_key(pem, subject)?, subject)
    }

    /// Reads the one private key of a PEM file.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Pem`] or [`Error::UnusableKey`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        Self::from_pem(&pem::read(path)?, &path.display().to_string())
    }

    /// The key as PEM in the encoding that it was loaded in; PKCS #8 for one made here. The text is wiped when dropped:
    /// whoever copies it owns a secret.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        pem::private_key_text(&self.secret.0)
    }

    /// The form that rustls signs with.
    #[must_use]
    pub fn signer(&self) -> Arc<dyn SigningKey> {
        Arc::clone(&self.signer)
    }

    /// The public half as a DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.public
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({:?}, secret)", self.signer.algorithm())
    }
}
